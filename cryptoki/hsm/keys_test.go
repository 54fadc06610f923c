package hsm

import (
	"bytes"
	"context"
	"testing"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/cryptoki/p11"
	"github.com/perilune/perilune/engine"
)

func TestGenerateKey(t *testing.T) {
	b := newBench(t)
	gen := func(m *ck.Mechanism, template ...ck.Attribute) *p11.GenerateKey {
		return &p11.GenerateKey{Session: b.s, Mechanism: m, Template: template}
	}
	aes := mech(ck.CKM_AES_KEY_GEN)
	key := ok(b, gen(aes, with([]ck.Attribute{valueLen(32)}, extractable)...)).Object
	if v := b.attr(key, ck.CKA_VALUE); len(v) != 32 || bytes.Equal(v, make([]byte, 32)) {
		t.Errorf("value %x", v)
	}
	if !b.truth(key, ck.CKA_LOCAL) {
		t.Error("CKA_LOCAL is false")
	}
	if m, _ := ck.ULong(b.attr(key, ck.CKA_KEY_GEN_MECHANISM)); ck.MechanismType(m) != ck.CKM_AES_KEY_GEN {
		t.Errorf("CKA_KEY_GEN_MECHANISM %#x", m)
	}
	other := ok(b, gen(aes, with([]ck.Attribute{valueLen(32)}, extractable)...)).Object
	if bytes.Equal(b.attr(key, ck.CKA_VALUE), b.attr(other, ck.CKA_VALUE)) {
		t.Error("two keys are equal")
	}
	ok(b, gen(aes, ck.NewULong(ck.CKA_CLASS, ck.CKO_SECRET_KEY), ck.NewULong(ck.CKA_KEY_TYPE, ck.CKK_AES), valueLen(16), ck.NewBool(ck.CKA_TOKEN, true)))

	fails(b, ck.CKR_ARGUMENTS_BAD, gen(nil))
	fails(b, ck.CKR_MECHANISM_INVALID, gen(mech(ck.CKM_AES_CBC)))
	fails(b, ck.CKR_MECHANISM_INVALID, gen(mech(ck.CKM_EC_KEY_PAIR_GEN)))
	fails(b, ck.CKR_TEMPLATE_INCOMPLETE, gen(aes))
	fails(b, ck.CKR_ATTRIBUTE_VALUE_INVALID, gen(aes, valueLen(33)))
	fails(b, ck.CKR_TEMPLATE_INCONSISTENT, gen(aes, valueLen(16), ck.NewULong(ck.CKA_CLASS, ck.CKO_PRIVATE_KEY)))
	fails(b, ck.CKR_TEMPLATE_INCONSISTENT, gen(aes, valueLen(16), ck.NewULong(ck.CKA_KEY_TYPE, ck.CKK_GENERIC_SECRET)))
	fails(b, ck.CKR_ATTRIBUTE_READ_ONLY, gen(aes, valueLen(16), ck.NewBytes(ck.CKA_VALUE, testAESKey)))
	fails(b, ck.CKR_MECHANISM_PARAM_INVALID, gen(mech(ck.CKM_AES_KEY_GEN, &engine.GCMParams{}), valueLen(16)))

	ro := ok(b, &p11.OpenSession{Flags: ck.CKF_SERIAL_SESSION}).Session
	fails(b, ck.CKR_SESSION_READ_ONLY, &p11.GenerateKey{Session: ro, Mechanism: aes, Template: append(yes(ck.CKA_TOKEN), valueLen(16))})
	ok(b, &p11.GenerateKey{Session: ro, Mechanism: aes, Template: []ck.Attribute{valueLen(16)}})
}

func TestGenerateKeyPair(t *testing.T) {
	b := newBench(t)
	params := bytes.Clone(p256)
	gen := func(public, private []ck.Attribute) *p11.GenerateKeyPair {
		return &p11.GenerateKeyPair{Session: b.s, Mechanism: mech(ck.CKM_EC_KEY_PAIR_GEN), Public: public, Private: private}
	}
	curve := []ck.Attribute{ck.NewBytes(ck.CKA_EC_PARAMS, params)}
	count := func() int {
		t.Helper()
		ok(b, &p11.FindObjectsInit{Session: b.s})
		defer ok(b, &p11.FindObjectsFinal{Session: b.s})
		return len(ok(b, &p11.FindObjects{Session: b.s, Max: 100}).Objects)
	}
	before := count()
	for _, c := range []struct {
		public, private []ck.Attribute
		want            ck.RV
	}{
		{nil, nil, ck.CKR_TEMPLATE_INCOMPLETE},
		{curve, []ck.Attribute{ck.NewULong(ck.CKA_CLASS, ck.CKO_PUBLIC_KEY)}, ck.CKR_TEMPLATE_INCONSISTENT},
		{append(with(curve), ck.NewULong(ck.CKA_KEY_TYPE, ck.CKK_RSA)), nil, ck.CKR_TEMPLATE_INCONSISTENT},
		{curve, []ck.Attribute{ck.NewBytes(ck.CKA_VALUE, []byte{1})}, ck.CKR_ATTRIBUTE_READ_ONLY},
		{curve, yes(ck.CKA_TRUSTED), ck.CKR_TEMPLATE_INCONSISTENT},
		{append(with(curve), ck.NewBytes(0x7ffffff0, nil)), nil, ck.CKR_ATTRIBUTE_TYPE_INVALID},
	} {
		fails(b, c.want, gen(c.public, c.private))
	}
	if n := count(); n != before {
		t.Errorf("%d objects after failures, %d before", n, before)
	}
	pair := ok(b, gen(with(curve, yes(ck.CKA_TOKEN, ck.CKA_VERIFY)), with(yes(ck.CKA_TOKEN, ck.CKA_SIGN), extractable)))
	sameBytes(t, "the caller's template", params, p256)
	if n := count(); n != before+2 {
		t.Errorf("%d objects, %d before", n, before)
	}
	for _, key := range []ck.ObjectHandle{pair.Public, pair.Private} {
		if !b.truth(key, ck.CKA_LOCAL) {
			t.Error("CKA_LOCAL is false")
		}
		sameBytes(t, "CKA_EC_PARAMS", b.attr(key, ck.CKA_EC_PARAMS), p256)
	}
	data := bytes.Repeat([]byte{9}, 32)
	sig := b.whole(p11.OpSign, mech(ck.CKM_ECDSA), pair.Private, data)
	if rv := b.verify(mech(ck.CKM_ECDSA), pair.Public, data, sig); rv != ck.CKR_OK {
		t.Error(rv)
	}
	if len(b.attr(pair.Private, ck.CKA_VALUE)) != 32 || bytes.Equal(b.attr(pair.Private, ck.CKA_VALUE), make([]byte, 32)) {
		t.Error("the private value is gone")
	}
}

// What the engine made is wiped once the objects have it; what it took from the
// caller's template is not.
func TestValuesAreWiped(t *testing.T) {
	value, params, public := []byte("secret"), bytes.Clone(p256), []byte("point")
	wipeValues([]*draft{
		{class: ck.CKO_PRIVATE_KEY, values: []ck.Attribute{ck.NewBytes(ck.CKA_VALUE, value), ck.NewBytes(ck.CKA_EC_PARAMS, params)}},
		{class: ck.CKO_PUBLIC_KEY, values: []ck.Attribute{ck.NewBytes(ck.CKA_VALUE, public)}},
	})
	sameBytes(t, "secret value", value, make([]byte, 6))
	sameBytes(t, "parameters", params, p256)
	sameBytes(t, "public value", public, []byte("point"))
}

// A pair with a private key may be half public: nobody logged in makes neither.
func TestGeneratePairNeedsLogin(t *testing.T) {
	h := newTestHSM(t)
	b := &bench{t, h, open(t, h, 0, true)}
	q := &p11.GenerateKeyPair{
		Session: b.s, Mechanism: mech(ck.CKM_EC_KEY_PAIR_GEN),
		Public:  []ck.Attribute{ck.NewBytes(ck.CKA_EC_PARAMS, p256)},
		Private: yes(ck.CKA_PRIVATE),
	}
	fails(b, ck.CKR_USER_NOT_LOGGED_IN, q)
	ok(b, &p11.FindObjectsInit{Session: b.s, Template: []ck.Attribute{ck.NewULong(ck.CKA_CLASS, ck.CKO_PUBLIC_KEY)}})
	if got := ok(b, &p11.FindObjects{Session: b.s, Max: 10}).Objects; len(got) != 0 {
		t.Errorf("half a pair is left: %v", got)
	}
	q.Private = []ck.Attribute{ck.NewBool(ck.CKA_PRIVATE, false)}
	ok(b, q)
}

// No request, whatever it names, may panic: all of engine's mechanisms with
// wrong and missing parameters, keys and templates.
func TestEveryMechanismEverywhere(t *testing.T) {
	b := newBench(t)
	keys := []ck.ObjectHandle{0, b.aes(), b.hmac(), 4711}
	for _, pair := range []p11.KeyPair{b.ecPair(extractable...), b.rsaPair(extractable...)} {
		keys = append(keys, pair.Public, pair.Private)
	}
	out := p11.Output{Buf: make([]byte, 4096)}
	call := func(req p11.Request, reply any) {
		defer func() {
			if r := recover(); r != nil {
				t.Fatalf("%T %+v: %v", req, req, r)
			}
		}()
		b.h.Do(context.Background(), req, reply)
	}
	for _, row := range engine.Mechanisms() {
		for _, param := range []any{nil, row.Param, row.MessageParam, []byte{}, testIV, uint64(8), ck.ObjectHandle(keys[1]), "text"} {
			m := &ck.Mechanism{Type: row.Type, Param: param}
			for _, key := range keys {
				for op := range p11.Operation(p11.NumOperations) {
					call(&p11.Begin{Session: b.s, Op: op, Mechanism: m, Key: key}, new(p11.None))
					for range 2 {
						call(&p11.Update{Session: b.s, Op: op, In: testIV, Out: out}, new(p11.Length))
					}
					call(&p11.Message{Session: b.s, Op: op, Start: true, Param: param}, new(p11.Length))
					call(&p11.Message{Session: b.s, Op: op, Param: param, In: testIV, Out: out, Last: true}, new(p11.Length))
					call(&p11.Message{Session: b.s, Op: op, Whole: true, Param: param, In: testIV, Out: out}, new(p11.Length))
					call(&p11.Finish{Session: b.s, Op: op, Signature: testIV, Out: out}, new(p11.Length))
					call(&p11.Begin{Session: b.s, Op: op, Mechanism: m, Key: key}, new(p11.None))
					call(&p11.Finish{Session: b.s, Op: op, Single: true, In: testIV, Signature: testIV, Out: out}, new(p11.Length))
					call(&p11.Begin{Session: b.s, Op: op}, new(p11.None))
				}
				call(&p11.WrapKey{Session: b.s, Mechanism: m, WrappingKey: key, Key: keys[1], Out: out}, new(p11.Length))
				call(&p11.UnwrapKey{Session: b.s, Mechanism: m, UnwrappingKey: key, Wrapped: make([]byte, 256),
					Template: newKey(ck.CKO_PRIVATE_KEY, ck.CKK_EC)}, new(p11.Handle))
				call(&p11.DeriveKey{Session: b.s, Mechanism: m, BaseKey: key, Template: []ck.Attribute{valueLen(16)}}, new(p11.Handle))
				call(&p11.DeriveKey{Session: b.s, Mechanism: m, BaseKey: key}, new(p11.Handle))
			}
			if row.Makes != ck.CKK_RSA {
				call(&p11.GenerateKeyPair{Session: b.s, Mechanism: m}, new(p11.KeyPair))
			}
			call(&p11.GenerateKey{Session: b.s, Mechanism: m}, new(p11.Handle))
		}
	}
}
