package hsm

import (
	"bytes"
	"testing"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/cryptoki/p11"
	"github.com/perilune/perilune/engine"
)

// TestPostQuantumKeys generates, uses, wraps and creates keys of the algorithms
// with CKA_PARAMETER_SET.
func TestPostQuantumKeys(t *testing.T) {
	b := newBench(t)
	kek := b.aes()
	for _, x := range []struct {
		generate, sign ck.MechanismType
		kt             ck.KeyType
		set            uint64
		seed           int
	}{
		{ck.CKM_ML_KEM_KEY_PAIR_GEN, 0, ck.CKK_ML_KEM, ck.CKP_ML_KEM_768, 64},
		{ck.CKM_ML_DSA_KEY_PAIR_GEN, ck.CKM_ML_DSA, ck.CKK_ML_DSA, ck.CKP_ML_DSA_44, 32},
		{ck.CKM_SLH_DSA_KEY_PAIR_GEN, ck.CKM_HASH_SLH_DSA_SHA256, ck.CKK_SLH_DSA, ck.CKP_SLH_DSA_SHA2_128F, 0},
	} {
		set := []ck.Attribute{ck.NewULong(ck.CKA_PARAMETER_SET, x.set)}
		uses := []ck.AttributeType{ck.CKA_SIGN, ck.CKA_VERIFY}
		if x.sign == 0 {
			uses = []ck.AttributeType{ck.CKA_DECAPSULATE, ck.CKA_ENCAPSULATE}
		}
		pair := ok(b, &p11.GenerateKeyPair{
			Session: b.s, Mechanism: mech(x.generate), Public: with(set, yes(uses[1])),
			Private: with(yes(uses[0]), extractable),
		})
		if x.seed > 0 && len(b.attr(pair.Private, ck.CKA_SEED)) != x.seed {
			t.Errorf("%v: CKA_SEED", x.generate)
		}
		if x.sign != 0 {
			sig := b.whole(p11.OpSign, mech(x.sign), pair.Private, []byte("message"))
			if rv := b.verify(mech(x.sign), pair.Public, []byte("message"), sig); rv != ck.CKR_OK {
				t.Errorf("%v: %v", x.sign, rv)
			}
		}
		wrapped := b.wrap(mech(ck.CKM_AES_KEY_WRAP_KWP), kek, pair.Private)
		again := b.unwrap(mech(ck.CKM_AES_KEY_WRAP_KWP), kek, wrapped, with([]ck.Attribute{
			ck.NewULong(ck.CKA_CLASS, ck.CKO_PRIVATE_KEY), ck.NewULong(ck.CKA_KEY_TYPE, x.kt),
		}, extractable)...)
		for _, a := range []ck.AttributeType{ck.CKA_VALUE, ck.CKA_PARAMETER_SET, ck.CKA_PUBLIC_KEY_INFO} {
			if !bytes.Equal(b.attr(again, a), b.attr(pair.Private, a)) {
				t.Errorf("%v: %v is lost in wrapping", x.kt, a)
			}
		}
		public := []ck.Attribute{
			ck.NewULong(ck.CKA_CLASS, ck.CKO_PUBLIC_KEY), ck.NewULong(ck.CKA_KEY_TYPE, x.kt),
			ck.NewBytes(ck.CKA_VALUE, b.attr(pair.Public, ck.CKA_VALUE)),
		}
		ok(b, &p11.CreateObject{Session: b.s, Template: with(public, set)})
		fails(b, ck.CKR_TEMPLATE_INCOMPLETE, &p11.CreateObject{Session: b.s, Template: public})
		fails(b, ck.CKR_TEMPLATE_INCOMPLETE, &p11.GenerateKeyPair{Session: b.s, Mechanism: mech(x.generate)})
		private := []ck.Attribute{ck.NewULong(ck.CKA_CLASS, ck.CKO_PRIVATE_KEY), ck.NewULong(ck.CKA_KEY_TYPE, x.kt)}
		if x.seed > 0 { // from the seed alone
			made := ok(b, &p11.CreateObject{Session: b.s, Template: with(private, set, extractable,
				[]ck.Attribute{ck.NewBytes(ck.CKA_SEED, b.attr(pair.Private, ck.CKA_SEED))})}).Object
			if !bytes.Equal(b.attr(made, ck.CKA_VALUE), b.attr(pair.Private, ck.CKA_VALUE)) {
				t.Errorf("%v: the seed makes another key", x.kt)
			}
		}
		fails(b, ck.CKR_TEMPLATE_INCOMPLETE, &p11.CreateObject{Session: b.s, Template: with(private, set)})
	}
}

// TestStatefulKeys creates public keys of HSS. There are no private ones.
func TestStatefulKeys(t *testing.T) {
	b := newBench(t)
	value := append([]byte{0, 0, 0, 2, 0, 0, 0, 5, 0, 0, 0, 4}, make([]byte, 48)...)
	template := []ck.Attribute{
		ck.NewULong(ck.CKA_CLASS, ck.CKO_PUBLIC_KEY), ck.NewULong(ck.CKA_KEY_TYPE, ck.CKK_HSS), ck.NewBytes(ck.CKA_VALUE, value),
	}
	key := ok(b, &p11.CreateObject{Session: b.s, Template: template}).Object
	if n, _ := ck.ULong(b.attr(key, ck.CKA_HSS_LEVELS)); n != 2 {
		t.Errorf("CKA_HSS_LEVELS %d", n)
	}
	if rv := b.verify(mech(ck.CKM_HSS), key, []byte("message"), make([]byte, 2644)); rv != ck.CKR_SIGNATURE_INVALID {
		t.Errorf("a signature of zeros: %v", rv)
	}
	template[0] = ck.NewULong(ck.CKA_CLASS, ck.CKO_PRIVATE_KEY)
	if engine.FindKeyType(ck.CKK_HSS).MarshalPKCS8 != nil {
		t.Error("there are private keys")
	}
	fails(b, ck.CKR_ATTRIBUTE_VALUE_INVALID, &p11.CreateObject{Session: b.s, Template: template})
}
