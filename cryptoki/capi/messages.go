package capi

import (
	"sync"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/cryptoki/cmem"
	"github.com/perilune/perilune/cryptoki/p11"
)

// Message-based operations (PKCS#11 v3.1 sections 5.9, 5.11, 5.14 and 5.16).

// messages remembers what the message parameters of each session look like,
// which only the mechanism of the operation tells.
type messages struct {
	mu     sync.RWMutex
	protos map[messageKey]any
}

type messageKey struct {
	session ck.SessionHandle
	op      p11.Operation
}

func (m *messages) remember(k messageKey, proto any) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if proto == nil {
		delete(m.protos, k)
		return
	}
	if m.protos == nil {
		m.protos = make(map[messageKey]any)
	}
	m.protos[k] = proto
}

func (m *messages) proto(k messageKey) any {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.protos[k]
}

func (m *messages) forget(s ck.SessionHandle) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.protos) == 0 {
		return
	}
	for op := p11.OpMessageEncrypt; op <= p11.OpMessageVerify; op++ {
		delete(m.protos, messageKey{s, op})
	}
}

// sweep forgets the sessions that are not alive any more.
func (m *messages) sweep(alive func(ck.SessionHandle) bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for k := range m.protos {
		if !alive(k.session) {
			delete(m.protos, k)
		}
	}
}

func (c call) messageKey() messageKey { return messageKey{c.session(), c.op} }

func beginMessages(c call) error {
	if err := c.begin(c.object(2), nil); err != nil {
		return err
	}
	var proto any
	if p := c.ptr(1); p != nil {
		_, proto, _, _ = library.params(cmem.NewMechanism(p, cmem.Host).Type)
	}
	c.in.messages.remember(c.messageKey(), proto)
	return nil
}

// message asks for a step of a message. Its parameter is arguments 1 and 2,
// its output argument i, none if i is 0.
func (c call) message(req p11.Message, i int) error {
	req.Session, req.Op = c.session(), c.op
	if proto := c.in.messages.proto(c.messageKey()); proto != nil {
		var err error
		if req.Param, err = cmem.Decode(proto, c.ptr(1), c.number(2), cmem.Host); err != nil {
			return err
		}
	}
	copy1, copy2 := apart(&req.In, req.Out), apart(&req.AAD, req.Out)
	r, err := ask(c, &req)
	clear(copy1)
	clear(copy2)
	if i != 0 {
		err = c.wrote(i, &r, err)
	}
	if err != nil || req.Out.Query || req.Param == nil {
		return err
	}
	return cmem.WriteBack(req.Param, c.ptr(1), c.number(2), cmem.Host)
}

func cryptMessage(c call) error {
	aad, err1 := c.bytes(3)
	in, err2 := c.bytes(5)
	out, err3 := c.output(7)
	if err1 != nil || err2 != nil || err3 != nil {
		return ck.CKR_ARGUMENTS_BAD
	}
	return c.message(p11.Message{Whole: true, AAD: aad, In: in, Out: out}, 7)
}

func cryptMessageBegin(c call) error {
	aad, err := c.bytes(3)
	if err != nil {
		return err
	}
	return c.message(p11.Message{Start: true, AAD: aad}, 0)
}

func cryptMessageNext(c call) error {
	in, err1 := c.bytes(3)
	out, err2 := c.output(5)
	if err1 != nil || err2 != nil {
		return ck.CKR_ARGUMENTS_BAD
	}
	last := ck.Flags(c.words[7])&ck.CKF_END_OF_MESSAGE != 0
	return c.message(p11.Message{Last: last, In: in, Out: out}, 5)
}

func signMessage(c call) error {
	in, err1 := c.bytes(3)
	out, err2 := c.output(5)
	if err1 != nil || err2 != nil {
		return ck.CKR_ARGUMENTS_BAD
	}
	return c.message(p11.Message{Whole: true, In: in, Out: out}, 5)
}

func signMessageBegin(c call) error { return c.message(p11.Message{Start: true}, 0) }

// signMessageNext takes the last part if the caller has a place for the
// signature's length.
func signMessageNext(c call) error {
	in, err := c.bytes(3)
	if err != nil {
		return err
	}
	if c.words[6] == 0 {
		return c.message(p11.Message{In: in}, 0)
	}
	out, err := c.output(5)
	if err != nil {
		return err
	}
	return c.message(p11.Message{Last: true, In: in, Out: out}, 5)
}

func verifyMessage(c call) error {
	in, err1 := c.bytes(3)
	sig, err2 := c.bytes(5)
	if err1 != nil || err2 != nil {
		return ck.CKR_ARGUMENTS_BAD
	}
	return c.message(p11.Message{Whole: true, In: in, Signature: sig}, 0)
}

// verifyMessageNext takes the last part if there is a signature to check.
func verifyMessageNext(c call) error {
	in, err1 := c.bytes(3)
	sig, err2 := c.bytes(5)
	if err1 != nil || err2 != nil {
		return ck.CKR_ARGUMENTS_BAD
	}
	return c.message(p11.Message{Last: sig != nil, In: in, Signature: sig}, 0)
}

func endMessages(c call) error {
	err := c.do(&p11.EndMessages{Session: c.session(), Op: c.op}, new(p11.None))
	if err == nil {
		c.in.messages.remember(c.messageKey(), nil)
	}
	return err
}
