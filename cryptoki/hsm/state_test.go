package hsm

import (
	"bytes"
	"crypto/sha256"
	"testing"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/cryptoki/p11"
	"github.com/perilune/perilune/engine"
)

func (b *bench) saveState() []byte {
	b.t.Helper()
	n := ok(b, &p11.GetOperationState{Session: b.s, Out: p11.Output{Query: true}}).N
	if got := fails(b, ck.CKR_BUFFER_TOO_SMALL, &p11.GetOperationState{Session: b.s, Out: p11.Output{Buf: make([]byte, n-1)}}).N; got != n {
		b.t.Errorf("needed %d, after a query said %d", got, n)
	}
	buf := make([]byte, n+5)
	return buf[:ok(b, &p11.GetOperationState{Session: b.s, Out: p11.Output{Buf: buf}}).N]
}

// The example of section 5.6.7.
func TestDigestState(t *testing.T) {
	b := newBench(t)
	fails(b, ck.CKR_OPERATION_NOT_INITIALIZED, &p11.GetOperationState{Session: b.s, Out: p11.Output{Query: true}})
	b.begin(p11.OpDigest, mech(ck.CKM_SHA256), 0)
	b.update(p11.OpDigest, []byte("one"))
	state := b.saveState()
	b.update(p11.OpDigest, []byte("two"))
	ok(b, &p11.SetOperationState{Session: b.s, State: state})
	b.update(p11.OpDigest, []byte("three"))
	want := sha256.Sum256([]byte("onethree"))
	sameBytes(t, "digest", b.final(p11.OpDigest), want[:])

	other := b.open()
	other.begin(p11.OpEncrypt, mech(ck.CKM_AES_CBC, testIV), b.aes())
	ok(other, &p11.FindObjectsInit{Session: other.s})
	ok(other, &p11.SetOperationState{Session: other.s, State: state})
	fails(other, ck.CKR_OPERATION_NOT_INITIALIZED, &p11.Finish{Session: other.s, Op: p11.OpEncrypt})
	fails(other, ck.CKR_OPERATION_NOT_INITIALIZED, &p11.FindObjects{Session: other.s})
	fails(other, ck.CKR_OPERATION_ACTIVE, &p11.Finish{Session: other.s, Op: p11.OpDigest, Single: true})
	want = sha256.Sum256([]byte("one"))
	sameBytes(t, "digest in another session", other.final(p11.OpDigest), want[:])
}

func TestKeyedStates(t *testing.T) {
	b := newBench(t)
	key, mac := b.aes(), b.hmac()
	again := b.aes()
	ctr := mech(ck.CKM_AES_CTR, &engine.CTRParams{CounterBits: 64, CB: [16]byte(testIV)})
	data := bytes.Repeat([]byte("some data "), 9)
	ctrWant := b.whole(p11.OpEncrypt, ctr, key, data)

	// Two operations at once, one of them with a structure as its parameter.
	b.begin(p11.OpEncrypt, ctr, key)
	b.begin(p11.OpSign, mech(ck.CKM_SHA256_HMAC), mac)
	head := b.update(p11.OpEncrypt, data[:33])
	b.update(p11.OpSign, data[:33])
	state := b.saveState()
	s := b.open()
	set := func(enc, auth ck.ObjectHandle) *p11.SetOperationState {
		return &p11.SetOperationState{Session: s.s, State: state, EncryptionKey: enc, AuthKey: auth}
	}
	fails(s, ck.CKR_KEY_NEEDED, set(0, 0))
	fails(s, ck.CKR_KEY_NEEDED, set(key, 0))
	fails(s, ck.CKR_KEY_NEEDED, set(0, mac))
	fails(s, ck.CKR_KEY_CHANGED, set(again, mac))
	fails(s, ck.CKR_KEY_CHANGED, set(mac, mac))
	fails(s, ck.CKR_KEY_HANDLE_INVALID, set(key, 4711))
	fails(s, ck.CKR_OPERATION_NOT_INITIALIZED, &p11.Finish{Session: s.s, Op: p11.OpEncrypt})
	ok(s, set(key, mac))
	tail := s.update(p11.OpEncrypt, data[33:])
	sameBytes(t, "ciphertext", append(append(head, tail...), s.final(p11.OpEncrypt)...), ctrWant)
	s.update(p11.OpSign, data[33:])
	sameBytes(t, "code", s.final(p11.OpSign), hmacOf(data))

	// One operation: the other key is not needed.
	for _, c := range []struct {
		op  p11.Operation
		m   *ck.Mechanism
		key ck.ObjectHandle
	}{
		{p11.OpEncrypt, mech(ck.CKM_AES_CBC_PAD, testIV), key},
		{p11.OpDecrypt, mech(ck.CKM_AES_CBC_PAD, testIV), key},
		{p11.OpVerify, mech(ck.CKM_SHA256_HMAC), mac},
	} {
		ok(b, &p11.SessionCancel{Session: b.s, Flags: ^ck.Flags(0)})
		b.begin(c.op, c.m, c.key)
		in, want := data[:20], []byte(nil)
		switch c.op {
		case p11.OpEncrypt:
			want = cbcPadded(data)
		case p11.OpDecrypt:
			in = cbcPadded(data)
		}
		first := b.update(c.op, in[:20])
		state = b.saveState()
		if c.op == p11.OpVerify {
			fails(s, ck.CKR_KEY_NOT_NEEDED, set(key, mac))
			ok(s, set(0, mac))
			s.update(c.op, data[20:])
			ok(s, &p11.Finish{Session: s.s, Op: c.op, Signature: hmacOf(data)})
			continue
		}
		fails(s, ck.CKR_KEY_NOT_NEEDED, set(key, mac))
		ok(s, set(key, 0))
		if c.op == p11.OpEncrypt {
			in = data
		} else {
			want = data
		}
		first = append(first, s.update(c.op, in[20:])...)
		sameBytes(t, "the whole", append(first, s.final(c.op)...), want)
	}
	b.begin(p11.OpDigest, mech(ck.CKM_SHA256), 0)
	ok(b, &p11.SessionCancel{Session: b.s, Flags: ck.CKF_VERIFY})
	state = b.saveState()
	fails(s, ck.CKR_KEY_NOT_NEEDED, set(key, 0))
}

func TestUnsaveable(t *testing.T) {
	b := newBench(t)
	key := b.aes()
	pair := b.ecPair()
	get := &p11.GetOperationState{Session: b.s, Out: p11.Output{Buf: make([]byte, 2000)}}
	cancel := &p11.SessionCancel{Session: b.s, Flags: ^ck.Flags(0)}

	b.begin(p11.OpSign, mech(ck.CKM_ECDSA), pair.Private)
	fails(b, ck.CKR_STATE_UNSAVEABLE, get)
	b.begin(p11.OpDigest, mech(ck.CKM_SHA256), 0)
	fails(b, ck.CKR_STATE_UNSAVEABLE, get)
	ok(b, cancel)

	b.begin(p11.OpMessageEncrypt, mech(ck.CKM_AES_GCM), key)
	fails(b, ck.CKR_OPERATION_NOT_INITIALIZED, get)
	b.begin(p11.OpDigest, mech(ck.CKM_SHA256), 0)
	fails(b, ck.CKR_STATE_UNSAVEABLE, get)
	ok(b, cancel)

	// A result that waits for its buffer.
	b.begin(p11.OpDecrypt, mech(ck.CKM_AES_CBC_PAD, testIV), key)
	fails(b, ck.CKR_BUFFER_TOO_SMALL, &p11.Finish{Session: b.s, Op: p11.OpDecrypt, Single: true, In: cbcPadded([]byte("text"))})
	fails(b, ck.CKR_STATE_UNSAVEABLE, get)
	ok(b, cancel)

	// Two keys where C_SetOperationState takes one.
	b.begin(p11.OpEncrypt, mech(ck.CKM_AES_CBC, testIV), key)
	b.begin(p11.OpDecrypt, mech(ck.CKM_AES_CBC, testIV), b.aes())
	fails(b, ck.CKR_STATE_UNSAVEABLE, get)
	ok(b, &p11.Begin{Session: b.s, Op: p11.OpDecrypt})
	b.begin(p11.OpDecrypt, mech(ck.CKM_AES_CBC, testIV), key)
	ok(b, get)
}

func TestSavedStateIsBound(t *testing.T) {
	b := newBench(t)
	b.begin(p11.OpDigest, mech(ck.CKM_SHA256), 0)
	b.update(p11.OpDigest, []byte("data"))
	state := b.saveState()
	set := func(s ck.SessionHandle, state []byte) *p11.SetOperationState {
		return &p11.SetOperationState{Session: s, State: state}
	}
	for i := range state {
		bad := bytes.Clone(state)
		bad[i] ^= 0x20
		fails(b, ck.CKR_SAVED_STATE_INVALID, set(b.s, bad))
	}
	for _, bad := range [][]byte{nil, {}, {1}, state[:len(state)-1], append(bytes.Clone(state), 0)} {
		fails(b, ck.CKR_SAVED_STATE_INVALID, set(b.s, bad))
	}
	b.update(p11.OpDigest, []byte(" more")) // refused states changed nothing

	ro := ok(b, &p11.OpenSession{Flags: ck.CKF_SERIAL_SESSION}).Session
	fails(b, ck.CKR_SAVED_STATE_INVALID, set(ro, state))
	ok(b, &p11.Logout{Session: b.s})
	fails(b, ck.CKR_SAVED_STATE_INVALID, set(b.s, state))
	login(b.t.(*testing.T), b.h, b.s)
	ok(b, set(b.s, state))
	sum := sha256.Sum256([]byte("data"))
	sameBytes(t, "digest", b.final(p11.OpDigest), sum[:])
}

// Another process of the same HSM can go on with what is saved.
func TestStateInAnotherProcess(t *testing.T) {
	host := newTestHost()
	h1 := host.process(t)
	initPartition(t, h1, 0)
	h2 := host.process(t)
	b1, b2 := &bench{t, h1, open(t, h1, 0, true)}, &bench{t, h2, open(t, h2, 0, true)}
	login(t, h1, b1.s)
	login(t, h2, b2.s)
	key := b1.aes(ck.NewBool(ck.CKA_TOKEN, true))
	m := mech(ck.CKM_AES_CBC_PAD, testIV)
	data := bytes.Repeat([]byte("x"), 50)
	b1.begin(p11.OpEncrypt, m, key)
	head := b1.update(p11.OpEncrypt, data[:30])
	ok(b2, &p11.SetOperationState{Session: b2.s, State: b1.saveState(), EncryptionKey: key})
	head = append(head, b2.update(p11.OpEncrypt, data[30:])...)
	sameBytes(t, "ciphertext", append(head, b2.final(p11.OpEncrypt)...), cbcPadded(data))

	// The key's attributes are looked at anew.
	b1.update(p11.OpEncrypt, data)
	state := b1.saveState()
	ok(b1, &p11.SetAttributeValue{Session: b1.s, Object: key, Template: []ck.Attribute{ck.NewBool(ck.CKA_ENCRYPT, false)}})
	fails(b2, ck.CKR_KEY_FUNCTION_NOT_PERMITTED, &p11.SetOperationState{Session: b2.s, State: state, EncryptionKey: key})
}

// A restored operation of a key with CKA_ALWAYS_AUTHENTICATE needs a login again.
func TestStateNeedsLogin(t *testing.T) {
	b := newBench(t)
	pair := b.ecPair(yes(ck.CKA_ALWAYS_AUTHENTICATE, ck.CKA_PRIVATE)...)
	m := mech(ck.CKM_ECDSA_SHA256)
	context := &p11.Login{Session: b.s, User: ck.CKU_CONTEXT_SPECIFIC, PIN: []byte(userPIN)}
	b.begin(p11.OpSign, m, pair.Private)
	update := &p11.Update{Session: b.s, Op: p11.OpSign, In: []byte("message")}
	fails(b, ck.CKR_USER_NOT_LOGGED_IN, update)
	ok(b, context)
	ok(b, update)
	state := b.saveState()
	b.final(p11.OpSign)
	ok(b, &p11.SetOperationState{Session: b.s, State: state, AuthKey: pair.Private})
	final := &p11.Finish{Session: b.s, Op: p11.OpSign, Out: p11.Output{Buf: make([]byte, 100)}}
	fails(b, ck.CKR_USER_NOT_LOGGED_IN, final)
	ok(b, context)
	n := ok(b, final).N
	if rv := b.verify(m, pair.Public, []byte("message"), final.Out.Buf[:n]); rv != ck.CKR_OK {
		t.Error(rv)
	}
}
