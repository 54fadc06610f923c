package hsm

import (
	"testing"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/cryptoki/p11"
)

func TestSignMessages(t *testing.T) {
	b := newBench(t)
	key := b.hmac()
	m := mech(ck.CKM_SHA256_HMAC)
	sign := func(q p11.Message) *p11.Message { q.Session, q.Op = b.s, p11.OpMessageSign; return &q }
	check := func(q p11.Message) *p11.Message { q.Session, q.Op = b.s, p11.OpMessageVerify; return &q }
	b.begin(p11.OpMessageSign, m, key)
	b.begin(p11.OpMessageVerify, m, key)
	for _, text := range []string{"one", "two messages", ""} {
		data := []byte(text)
		sig := b.whole(p11.OpSign, m, key, data)

		one := p11.Message{Whole: true, In: data, Out: p11.Output{Query: true}}
		if n := ok(b, sign(one)).N; n != len(sig) {
			t.Errorf("query: %d", n)
		}
		one.Out = p11.Output{Buf: make([]byte, len(sig)-1)}
		if n := fails(b, ck.CKR_BUFFER_TOO_SMALL, sign(one)).N; n != len(sig) {
			t.Errorf("needed: %d", n)
		}
		one.Out = p11.Output{Buf: make([]byte, len(sig))}
		ok(b, sign(one))
		sameBytes(t, "signature", one.Out.Buf, sig)

		ok(b, sign(p11.Message{Start: true}))
		ok(b, sign(p11.Message{In: data[:len(data)/2]}))
		last := p11.Message{Last: true, In: data[len(data)/2:], Out: p11.Output{Query: true}}
		ok(b, sign(last))
		last.Out = p11.Output{Buf: make([]byte, 64)}
		sameBytes(t, "signature of parts", last.Out.Buf[:ok(b, sign(last)).N], sig)

		ok(b, check(p11.Message{Whole: true, In: data, Signature: sig}))
		ok(b, check(p11.Message{Start: true}))
		ok(b, check(p11.Message{In: data[:len(data)/2]}))
		ok(b, check(p11.Message{Last: true, In: data[len(data)/2:], Signature: sig}))
		sig[0]++
		fails(b, ck.CKR_SIGNATURE_INVALID, check(p11.Message{Whole: true, In: data, Signature: sig}))
		ok(b, check(p11.Message{Start: true}))
		fails(b, ck.CKR_SIGNATURE_INVALID, check(p11.Message{Last: true, In: data, Signature: sig}))
		fails(b, ck.CKR_OPERATION_NOT_INITIALIZED, check(p11.Message{In: data}))
	}
	fails(b, ck.CKR_MECHANISM_PARAM_INVALID, sign(p11.Message{Start: true, Param: []byte{1}}))
	ok(b, &p11.EndMessages{Session: b.s, Op: p11.OpMessageSign})
	ok(b, &p11.EndMessages{Session: b.s, Op: p11.OpMessageVerify})
}

func TestVerifySignature(t *testing.T) {
	b := newBench(t)
	pair := b.ecPair()
	m := mech(ck.CKM_ECDSA_SHA256)
	data := []byte("a message whose signature is known first")
	sig := b.whole(p11.OpSign, m, pair.Private, data)
	begin := &p11.Begin{Session: b.s, Op: p11.OpVerifySignature, Mechanism: m, Key: pair.Public, Signature: sig}
	whole := &p11.Finish{Session: b.s, Op: p11.OpVerifySignature, Single: true, In: data}
	fails(b, ck.CKR_OPERATION_NOT_INITIALIZED, whole)
	ok(b, begin)
	fails(b, ck.CKR_OPERATION_ACTIVE, begin)
	ok(b, whole)
	fails(b, ck.CKR_OPERATION_NOT_INITIALIZED, whole)

	ok(b, begin)
	for _, part := range [][]byte{data[:5], data[5:]} {
		ok(b, &p11.Update{Session: b.s, Op: p11.OpVerifySignature, In: part})
	}
	fails(b, ck.CKR_OPERATION_ACTIVE, whole)
	ok(b, &p11.Finish{Session: b.s, Op: p11.OpVerifySignature})

	ok(b, begin)
	fails(b, ck.CKR_SIGNATURE_INVALID, &p11.Finish{Session: b.s, Op: p11.OpVerifySignature, Single: true, In: data[1:]})
	ok(b, begin)
	clear(sig) // the caller's memory is the caller's
	ok(b, whole)
	ok(b, begin)
	fails(b, ck.CKR_SIGNATURE_INVALID, whole)
	begin.Signature = sig[1:]
	ok(b, begin)
	fails(b, ck.CKR_SIGNATURE_LEN_RANGE, whole)
	begin.Key = pair.Private
	fails(b, ck.CKR_KEY_FUNCTION_NOT_PERMITTED, begin)
}

func TestValidationFlags(t *testing.T) {
	b := newBench(t)
	b.whole(p11.OpSign, mech(ck.CKM_SHA256_HMAC), b.hmac(), nil)
	if f := ok(b, &p11.GetValidationFlags{Session: b.s, Type: ck.CKS_LAST_VALIDATION_OK}).Flags; f != 0 {
		t.Errorf("validated: %#x", f)
	}
	fails(b, ck.CKR_ARGUMENTS_BAD, &p11.GetValidationFlags{Session: b.s, Type: 2})
}

func TestWrapAuthenticated(t *testing.T) {
	b := newBench(t)
	wrapping := b.aes()
	secret := []byte("a secret of thirty one bytes ..")
	key := b.secret(ck.CKK_GENERIC_SECRET, secret)
	aad := []byte("what it is for")
	p := gcmParams("any iv bytes")
	q := &p11.WrapKey{
		Session: b.s, Mechanism: mech(ck.CKM_AES_GCM, p), WrappingKey: wrapping, Key: key,
		Authenticated: true, AAD: aad, Out: p11.Output{Query: true},
	}
	if n := ok(b, q).N; n != len(secret) {
		t.Errorf("query: %d", n)
	}
	q.Out = p11.Output{Buf: make([]byte, len(secret)-1)}
	if n := fails(b, ck.CKR_BUFFER_TOO_SMALL, q).N; n != len(secret) {
		t.Errorf("needed: %d", n)
	}
	q.Out = p11.Output{Buf: make([]byte, len(secret))}
	ok(b, q)
	ct, tag := gcmSealed("any iv bytes", aad, secret)
	sameBytes(t, "wrapped key", q.Out.Buf, ct)
	sameBytes(t, "tag", p.Tag, tag)

	u := &p11.UnwrapKey{
		Session: b.s, Mechanism: q.Mechanism, UnwrappingKey: wrapping, Wrapped: ct, Authenticated: true, AAD: aad,
		Template: []ck.Attribute{
			ck.NewULong(ck.CKA_CLASS, ck.CKO_SECRET_KEY), ck.NewULong(ck.CKA_KEY_TYPE, ck.CKK_GENERIC_SECRET),
			ck.NewBool(ck.CKA_SENSITIVE, false),
		},
	}
	sameBytes(t, "key", b.attr(ok(b, u).Object, ck.CKA_VALUE), secret)
	u.AAD = aad[1:]
	fails(b, ck.CKR_WRAPPED_KEY_INVALID, u)
	u.AAD = aad
	p.Tag[3]++
	fails(b, ck.CKR_WRAPPED_KEY_INVALID, u)

	// What C_WrapKey refuses, this function refuses too.
	q.Key = b.secret(ck.CKK_GENERIC_SECRET, secret, ck.NewBool(ck.CKA_EXTRACTABLE, false))
	fails(b, ck.CKR_KEY_UNEXTRACTABLE, q)
	q.Mechanism = mech(ck.CKM_AES_KEY_WRAP)
	fails(b, ck.CKR_MECHANISM_INVALID, q)

	pair := b.ecPair(ck.NewBool(ck.CKA_EXTRACTABLE, true))
	private := &p11.WrapKey{
		Session: b.s, Mechanism: mech(ck.CKM_AES_GCM, gcmParams("other iv....")), WrappingKey: wrapping, Key: pair.Private,
		Authenticated: true, Out: p11.Output{Buf: make([]byte, 500)},
	}
	n := ok(b, private).N
	u = &p11.UnwrapKey{
		Session: b.s, Mechanism: private.Mechanism, UnwrappingKey: wrapping, Wrapped: private.Out.Buf[:n], Authenticated: true,
		Template: []ck.Attribute{ck.NewULong(ck.CKA_CLASS, ck.CKO_PRIVATE_KEY), ck.NewULong(ck.CKA_KEY_TYPE, ck.CKK_EC), ck.NewBool(ck.CKA_SIGN, true)},
	}
	back := ok(b, u).Object
	sig := b.whole(p11.OpSign, mech(ck.CKM_ECDSA_SHA256), back, secret)
	if rv := b.verify(mech(ck.CKM_ECDSA_SHA256), pair.Public, secret, sig); rv != ck.CKR_OK {
		t.Errorf("signature by the unwrapped key: %v", rv)
	}
}
