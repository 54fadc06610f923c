package engine

import (
	"bytes"
	"fmt"

	"github.com/perilune/perilune/cryptoki/ck"
)

// The public key of a private key (new in PKCS#11 v3.2), for programs that find only
// half of a pair in a token.

func init() { later(publickeyMechanisms) }

func publickeyMechanisms() {
	register(&Mechanism{
		Type: ck.CKM_PUB_KEY_FROM_PRIV_KEY,
		Keys: []ck.KeyType{
			ck.CKK_RSA, ck.CKK_EC, ck.CKK_EC_EDWARDS, ck.CKK_EC_MONTGOMERY,
			ck.CKK_DSA, ck.CKK_DH, ck.CKK_X9_42_DH, ck.CKK_KCDSA,
			ck.CKK_ML_KEM, ck.CKK_ML_DSA, ck.CKK_SLH_DSA,
		},
		DerivesPublic: true, DeriveKeys: derivePublicKey,
		Vectors: "RFC 8032", SelfTest: testPublicKey,
	})
}

func derivePublicKey(private *Key, p any, _ *Derivation) ([]Derived, error) {
	if err := noParam(p); err != nil {
		return nil, err
	}
	t := FindKeyType(private.Type)
	if t == nil || t.PublicInfo == nil || private.Class != ck.CKO_PRIVATE_KEY {
		return nil, ck.CKR_KEY_TYPE_INCONSISTENT
	}
	info, err := t.PublicInfo(private)
	if err != nil {
		return nil, err
	}
	if len(info) == 0 {
		return nil, fmt.Errorf("the private key does not tell its public half: %w", ck.CKR_KEY_FUNCTION_NOT_PERMITTED)
	}
	found, values, err := UnmarshalPublicKey(info)
	if err != nil {
		return nil, err
	}
	if found != private.Type {
		return nil, fmt.Errorf("the public key is one of type %v: %w", found, ck.CKR_KEY_TYPE_INCONSISTENT)
	}
	return []Derived{{Values: values}}, nil
}

// testPublicKey uses the first test of RFC 8032, section 7.1.
func testPublicKey() error {
	k := &Key{Class: ck.CKO_PRIVATE_KEY, Type: ck.CKK_EC_EDWARDS, Attrs: []ck.Attribute{
		ck.NewBytes(ck.CKA_EC_PARAMS, unhex("06032b6570")),
		ck.NewBytes(ck.CKA_VALUE, unhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")),
	}}
	made, err := derivePublicKey(k, nil, &Derivation{})
	if err != nil {
		return err
	}
	point := ck.Find(made[0].Values, ck.CKA_EC_POINT)
	if point == nil || !bytes.Equal(point.Value, unhex("0420d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")) {
		return errSelfTest(ck.CKM_PUB_KEY_FROM_PRIV_KEY)
	}
	return nil
}
