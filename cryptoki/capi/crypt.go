package capi

import (
	"sync"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/cryptoki/cmem"
	"github.com/perilune/perilune/cryptoki/p11"
)

// Operations (PKCS#11 v3.1 sections 5.8 to 5.17).

// requests are what the busiest functions need, to be used again.
type requests struct {
	begin  p11.Begin
	update p11.Update
	finish p11.Finish
	random p11.GenerateRandom
	open   p11.OpenSession
	close  p11.CloseSession
	opened p11.Session
	length p11.Length
	none   p11.None

	mechanism ck.Mechanism
	param     cmem.Scratch
	proto     any              // of the parameter
	protoOf   ck.MechanismType // of this mechanism, if known
	known     bool
	done      func() // over
}

var pool sync.Pool

func newRequests() *requests {
	if r, ok := pool.Get().(*requests); ok {
		return r
	}
	r := new(requests)
	r.done = r.over
	return r
}

// over ends the use of a request to begin an operation, and of the parameter.
func (r *requests) over() {
	r.begin = p11.Begin{}
	r.mechanism = ck.Mechanism{}
	r.param.Clear()
	pool.Put(r)
}

// begin serves the Init functions. Without a mechanism it cancels the
// operation under way.
func begin(c call) error {
	if c.op == p11.OpDigest {
		return c.begin(0, nil)
	}
	return c.begin(c.object(2), nil)
}

func (c call) begin(key ck.ObjectHandle, signature []byte) error {
	r := newRequests()
	r.begin = p11.Begin{Session: c.session(), Op: c.op, Key: key, Signature: signature}
	if c.words[1] == 0 {
		defer r.over()
		return c.do(&r.begin, &r.none)
	}
	raw, lent, err := c.mechanismInto(r)
	if err != nil {
		r.over()
		return err
	}
	if lent {
		r.begin.Done = r.done
	}
	err = c.do(&r.begin, &r.none)
	switch {
	case err != nil:
		r.over()
		return err
	case lent: // it is the module's now, and nothing is written back
		return nil
	}
	defer r.over()
	return raw.WriteBack(r.mechanism.Param)
}

// mechanismInto is mechanism for r, and tells whether its parameter lies in r.
func (c call) mechanismInto(r *requests) (raw cmem.Mechanism, lent bool, err error) {
	p := c.ptr(1)
	raw = cmem.NewMechanism(p, cmem.Host)
	r.mechanism.Type = raw.Type
	if !r.known || r.protoOf != raw.Type {
		r.proto, _, _, r.known = library.params(raw.Type)
		r.protoOf = raw.Type
	}
	if r.known { // else the module knows what to answer
		r.mechanism.Param, lent, err = raw.DecodeInto(&r.param, r.proto)
	}
	r.begin.Mechanism = &r.mechanism
	return raw, lent, err
}

// abandon ends an operation whose function was called with arguments that
// never reach the module: any error but CKR_BUFFER_TOO_SMALL ends it.
func (c call) abandon(ops ...p11.Operation) error {
	for _, op := range ops {
		_, _ = ask(c, &p11.Begin{Session: c.session(), Op: op})
	}
	return ck.CKR_ARGUMENTS_BAD
}

// update serves the Update functions without output.
func update(c call) error {
	in, err := c.bytes(1)
	if err != nil {
		return c.abandon(c.op)
	}
	r := newRequests()
	r.update = p11.Update{Session: c.session(), Op: c.op, In: in}
	err = c.do(&r.update, &r.length)
	r.update = p11.Update{}
	pool.Put(r)
	return err
}

// updateOut serves the Update functions with output.
func updateOut(c call) error {
	in, err1 := c.bytes(1)
	out, err2 := c.output(3)
	if err1 != nil || err2 != nil {
		return c.abandon(c.op)
	}
	copied := apart(&in, out)
	r := newRequests()
	r.update = p11.Update{Session: c.session(), Op: c.op, In: in, Out: out}
	r.length.N = 0
	err := c.wrote(3, &r.length, c.do(&r.update, &r.length))
	r.update = p11.Update{}
	pool.Put(r)
	clear(copied)
	return err
}

// whole serves the functions that take all input and give all output.
func whole(c call) error {
	in, err1 := c.bytes(1)
	out, err2 := c.output(3)
	if err1 != nil || err2 != nil {
		return c.abandon(c.op)
	}
	copied := apart(&in, out)
	r := c.finishing()
	r.finish.Single, r.finish.In, r.finish.Out = true, in, out
	err := c.finish(r, 3)
	clear(copied)
	return err
}

// finishing is a request for the end of the call's operation, to be filled in
// and passed to finish.
func (c call) finishing() *requests {
	r := newRequests()
	r.finish.Session, r.finish.Op = c.session(), c.op
	r.length.N = 0
	return r
}

// finish asks for the end of an operation, with its output as argument i, or
// none if i is 0.
func (c call) finish(r *requests, i int) error {
	err := c.do(&r.finish, &r.length)
	if i != 0 {
		err = c.wrote(i, &r.length, err)
	}
	r.finish = p11.Finish{}
	pool.Put(r)
	return err
}

// final serves the Final functions with output.
func final(c call) error {
	out, err := c.output(1)
	if err != nil {
		return c.abandon(c.op)
	}
	r := c.finishing()
	r.finish.Out = out
	return c.finish(r, 1)
}

func verify(c call) error {
	in, err1 := c.bytes(1)
	sig, err2 := c.bytes(3)
	if err1 != nil || err2 != nil {
		return c.abandon(c.op)
	}
	r := c.finishing()
	r.finish.Single, r.finish.In, r.finish.Signature = true, in, sig
	return c.finish(r, 0)
}

func verifyFinal(c call) error {
	sig, err := c.bytes(1)
	if err != nil {
		return c.abandon(c.op)
	}
	r := c.finishing()
	r.finish.Signature = sig
	return c.finish(r, 0)
}

// verifySignatureInit begins a verification that knows its signature from the
// start (PKCS#11 v3.2 section 5.16).
func verifySignatureInit(c call) error {
	sig, err := c.bytes(3)
	if err != nil {
		return err
	}
	return c.begin(c.object(2), sig)
}

func verifySignature(c call) error {
	in, err := c.bytes(1)
	if err != nil {
		return c.abandon(c.op)
	}
	r := c.finishing()
	r.finish.Single, r.finish.In = true, in
	return c.finish(r, 0)
}

func verifySignatureFinal(c call) error { return c.finish(c.finishing(), 0) }

func verifyRecover(c call) error {
	sig, err1 := c.bytes(1)
	out, err2 := c.output(3)
	if err1 != nil || err2 != nil {
		return c.abandon(c.op)
	}
	copied := apart(&sig, out)
	r := c.finishing()
	r.finish.Single, r.finish.Signature, r.finish.Out = true, sig, out
	err := c.finish(r, 3)
	clear(copied)
	return err
}

func digestKey(c call) error {
	return c.do(&p11.DigestKey{Session: c.session(), Key: c.object(1)}, new(p11.None))
}

func dualEncrypt(c call) error { return c.dual(p11.OpEncrypt) }
func dualDecrypt(c call) error { return c.dual(p11.OpDecrypt) }

func (c call) dual(second p11.Operation) error {
	in, err1 := c.bytes(1)
	out, err2 := c.output(3)
	if err1 != nil || err2 != nil {
		return c.abandon(c.op, second)
	}
	copied := apart(&in, out)
	r, err := ask(c, &p11.DualUpdate{Session: c.session(), First: c.op, Second: second, In: in, Out: out})
	clear(copied)
	return c.wrote(3, &r, err)
}

func generateRandom(c call) error {
	buf, err := c.bytes(1)
	if err != nil {
		return err
	}
	r := newRequests()
	r.random = p11.GenerateRandom{Session: c.session(), Buf: buf}
	err = c.do(&r.random, &r.none)
	r.random = p11.GenerateRandom{}
	pool.Put(r)
	return err
}

func seedRandom(c call) error {
	seed, err := c.bytes(1)
	if err != nil {
		return err
	}
	return c.do(&p11.SeedRandom{Session: c.session(), Seed: seed}, new(p11.None))
}
