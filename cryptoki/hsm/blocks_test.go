package hsm

import (
	"bytes"
	"testing"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/cryptoki/p11"
	"github.com/perilune/perilune/engine"
)

// A key that the parameter of an encryption names must permit encryption as
// well (the tweak's key of CKM_AES_XTS_OLD).
func TestKeyInParameter(t *testing.T) {
	b := newBench(t)
	one := b.secret(ck.CKK_AES, bytes.Repeat([]byte{0x11}, 16), yes(ck.CKA_ENCRYPT, ck.CKA_DECRYPT)...)
	two := b.secret(ck.CKK_AES, bytes.Repeat([]byte{0x22}, 16), yes(ck.CKA_ENCRYPT, ck.CKA_DECRYPT)...)
	xts := func(tweak ck.ObjectHandle) *ck.Mechanism {
		return mech(ck.CKM_AES_XTS_OLD, &engine.AESXTSParams{TweakKey: tweak, CB: [16]byte{0x33, 0x33, 0x33, 0x33, 0x33}})
	}
	// IEEE 1619, annex B, vector 2.
	b.begin(p11.OpEncrypt, xts(two), one)
	out := make([]byte, 32)
	ok(b, &p11.Finish{Session: b.s, Op: p11.OpEncrypt, Single: true, In: bytes.Repeat([]byte{0x44}, 32), Out: p11.Output{Buf: out}})
	if want := "\xc4\x54\x18\x5e\x6a\x16\x93\x6e"; string(out[:8]) != want {
		t.Errorf("%x", out)
	}

	begin := func(tweak ck.ObjectHandle) *p11.Begin {
		return &p11.Begin{Session: b.s, Op: p11.OpEncrypt, Mechanism: xts(tweak), Key: one}
	}
	fails(b, ck.CKR_MECHANISM_PARAM_INVALID, begin(0))
	fails(b, ck.CKR_KEY_HANDLE_INVALID, begin(4711))
	fails(b, ck.CKR_KEY_TYPE_INCONSISTENT, begin(b.secret(ck.CKK_DES2, bytes.Repeat([]byte{1}, 16), yes(ck.CKA_ENCRYPT)...)))
	fails(b, ck.CKR_KEY_FUNCTION_NOT_PERMITTED, begin(b.secret(ck.CKK_AES, bytes.Repeat([]byte{1}, 16),
		ck.NewBool(ck.CKA_ENCRYPT, false))))
}

// The type that a derivation makes, where the template does not say.
func TestDerivedType(t *testing.T) {
	b := newBench(t)
	base := b.secret(ck.CKK_DES2, []byte("\x01\x23\x45\x67\x89\xab\xcd\xef\xfe\xdc\xba\x98\x76\x54\x32\x10"), yes(ck.CKA_DERIVE)...)
	pin := mech(ck.CKM_DES2_DUKPT_PIN, &engine.StringDataParams{Data: []byte("\xff\xff\x98\x76\x54\x32\x10\xe0\x00\x01")})
	for _, template := range [][]ck.Attribute{extractable, append(with(extractable), newKey(ck.CKO_SECRET_KEY, ck.CKK_DES2)...)} {
		got := ok(b, b.derive(pin, base, template...)).Object
		sameBytes(t, "key", b.attr(got, ck.CKA_VALUE), []byte("\x04\x26\x66\xb4\x91\x84\xcf\x5c\x68\xde\x96\x28\xd0\x39\x7b\x36"))
		if kt, _ := ck.ULong(b.attr(got, ck.CKA_KEY_TYPE)); ck.KeyType(kt) != ck.CKK_DES2 {
			t.Errorf("key type %#x", kt)
		}
	}
	fails(b, ck.CKR_TEMPLATE_INCONSISTENT, b.derive(pin, base, newKey(ck.CKO_SECRET_KEY, ck.CKK_AES, valueLen(16))...))
}

// Keys of one length are generated without CKA_VALUE_LEN; others not.
func TestGenerateLength(t *testing.T) {
	b := newBench(t)
	generate := func(m ck.MechanismType, template ...ck.Attribute) *p11.GenerateKey {
		return &p11.GenerateKey{Session: b.s, Mechanism: mech(m), Template: append(template, extractable...)}
	}
	for m, n := range map[ck.MechanismType]int{ck.CKM_DES_KEY_GEN: 8, ck.CKM_DES2_KEY_GEN: 16, ck.CKM_DES3_KEY_GEN: 24} {
		key := ok(b, generate(m)).Object
		if got := len(b.attr(key, ck.CKA_VALUE)); got != n {
			t.Errorf("%v: %d bytes", m, got)
		}
		ok(b, generate(m, valueLen(n)))
		fails(b, ck.CKR_ATTRIBUTE_VALUE_INVALID, generate(m, valueLen(n+1)))
	}
	fails(b, ck.CKR_TEMPLATE_INCOMPLETE, generate(ck.CKM_AES_KEY_GEN))
	fails(b, ck.CKR_TEMPLATE_INCOMPLETE, generate(ck.CKM_AES_XTS_KEY_GEN))
	fails(b, ck.CKR_TEMPLATE_INCOMPLETE, generate(ck.CKM_GENERIC_SECRET_KEY_GEN))
}
