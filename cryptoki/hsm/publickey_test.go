package hsm

import (
	"bytes"
	"testing"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/cryptoki/p11"
)

// The public key of a private key is that of the pair, and may do what goes with
// it.
func TestPublicKeyFromPrivateKey(t *testing.T) {
	b := newBench(t)
	params := func(set uint64) []ck.Attribute { return []ck.Attribute{ck.NewULong(ck.CKA_PARAMETER_SET, set)} }
	curve := func(oid string) []ck.Attribute { return []ck.Attribute{ck.NewBytes(ck.CKA_EC_PARAMS, unhex(oid))} }
	for _, x := range []struct {
		generate ck.MechanismType
		public   []ck.Attribute
		values   []ck.AttributeType
	}{
		{ck.CKM_RSA_PKCS_KEY_PAIR_GEN, []ck.Attribute{ck.NewULong(ck.CKA_MODULUS_BITS, uint64(2048))}, []ck.AttributeType{ck.CKA_MODULUS, ck.CKA_PUBLIC_EXPONENT, ck.CKA_MODULUS_BITS}},
		{ck.CKM_EC_KEY_PAIR_GEN, curve("06082a8648ce3d030107"), []ck.AttributeType{ck.CKA_EC_PARAMS, ck.CKA_EC_POINT}},
		{ck.CKM_EC_KEY_PAIR_GEN, curve("06052b8104001a"), []ck.AttributeType{ck.CKA_EC_PARAMS, ck.CKA_EC_POINT}},
		{ck.CKM_EC_EDWARDS_KEY_PAIR_GEN, curve("06032b6570"), []ck.AttributeType{ck.CKA_EC_PARAMS, ck.CKA_EC_POINT}},
		{ck.CKM_EC_MONTGOMERY_KEY_PAIR_GEN, curve("06032b656e"), []ck.AttributeType{ck.CKA_EC_PARAMS, ck.CKA_EC_POINT}},
		{ck.CKM_ML_KEM_KEY_PAIR_GEN, params(ck.CKP_ML_KEM_768), []ck.AttributeType{ck.CKA_PARAMETER_SET, ck.CKA_VALUE}},
		{ck.CKM_ML_DSA_KEY_PAIR_GEN, params(ck.CKP_ML_DSA_44), []ck.AttributeType{ck.CKA_PARAMETER_SET, ck.CKA_VALUE}},
		{ck.CKM_SLH_DSA_KEY_PAIR_GEN, params(ck.CKP_SLH_DSA_SHA2_128F), []ck.AttributeType{ck.CKA_PARAMETER_SET, ck.CKA_VALUE}},
	} {
		pair := ok(b, &p11.GenerateKeyPair{
			Session: b.s, Mechanism: mech(x.generate), Public: x.public,
			Private: []ck.Attribute{
				ck.NewBool(ck.CKA_DERIVE, false), ck.NewBool(ck.CKA_PRIVATE, true), ck.NewBool(ck.CKA_SENSITIVE, true),
				ck.NewBool(ck.CKA_EXTRACTABLE, false), ck.NewBytes(ck.CKA_ID, []byte{7}), ck.NewBytes(ck.CKA_SUBJECT, []byte("subject")),
			},
		})
		public := ok(b, b.derive(mech(ck.CKM_PUB_KEY_FROM_PRIV_KEY), pair.Private)).Object
		for _, a := range append(x.values, ck.CKA_CLASS, ck.CKA_KEY_TYPE, ck.CKA_PUBLIC_KEY_INFO) {
			if got, want := b.attr(public, a), b.attr(pair.Public, a); len(want) == 0 || !bytes.Equal(got, want) {
				t.Errorf("%v: %v is %x, and of the pair's public key %x", x.generate, a, got, want)
			}
		}
		for _, half := range publicHalves {
			if got := b.truth(public, half.public); got != b.truth(pair.Private, half.private) {
				t.Errorf("%v: %v is %v", x.generate, half.public, got)
			}
		}
		if b.truth(public, ck.CKA_TOKEN) || b.truth(public, ck.CKA_PRIVATE) || b.truth(public, ck.CKA_LOCAL) ||
			!bytes.Equal(b.attr(public, ck.CKA_ID), []byte{7}) || !bytes.Equal(b.attr(public, ck.CKA_SUBJECT), []byte("subject")) {
			t.Errorf("%v: other attributes of the public key", x.generate)
		}
		fails(b, ck.CKR_KEY_TYPE_INCONSISTENT, b.derive(mech(ck.CKM_PUB_KEY_FROM_PRIV_KEY), pair.Public))
	}

	pair := b.ecPair(ck.NewBool(ck.CKA_ALWAYS_AUTHENTICATE, true), ck.NewBool(ck.CKA_PRIVATE, true))
	m := mech(ck.CKM_PUB_KEY_FROM_PRIV_KEY)
	public := ok(b, b.derive(m, pair.Private, ck.NewBool(ck.CKA_VERIFY, false), ck.NewBool(ck.CKA_TOKEN, true), ck.NewBytes(ck.CKA_LABEL, []byte("half")))).Object
	if b.truth(public, ck.CKA_VERIFY) || !b.truth(public, ck.CKA_TOKEN) || string(b.attr(public, ck.CKA_LABEL)) != "half" {
		t.Error("the template does not count")
	}
	ok(b, b.derive(m, pair.Private, ck.NewULong(ck.CKA_CLASS, ck.CKO_PUBLIC_KEY), ck.NewULong(ck.CKA_KEY_TYPE, ck.CKK_EC)))
	fails(b, ck.CKR_TEMPLATE_INCONSISTENT, b.derive(m, pair.Private, ck.NewULong(ck.CKA_CLASS, ck.CKO_SECRET_KEY)))
	fails(b, ck.CKR_TEMPLATE_INCONSISTENT, b.derive(m, pair.Private, ck.NewULong(ck.CKA_KEY_TYPE, ck.CKK_RSA)))
	fails(b, ck.CKR_TEMPLATE_INCONSISTENT, b.derive(m, pair.Private, ck.NewBytes(ck.CKA_EC_PARAMS, unhex("06052b81040022"))))
	fails(b, ck.CKR_MECHANISM_PARAM_INVALID, b.derive(mech(ck.CKM_PUB_KEY_FROM_PRIV_KEY, []byte{1}), pair.Private))
	fails(b, ck.CKR_KEY_TYPE_INCONSISTENT, b.derive(m, b.aes()))
}
