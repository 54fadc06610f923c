package migrate

import (
	"bytes"
	"context"
	"encoding/asn1"
	"errors"
	"fmt"
	"slices"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/cryptoki/p11"
	"github.com/perilune/perilune/engine"
)

// agreement is how keys for key agreement are proven: a new pair in the same
// group agrees with the key, once with each private key, and both must find the
// same.
type agreement struct {
	generate ck.MechanismType
	group    []ck.AttributeType // of the public key
	public   ck.AttributeType
	param    func(public []byte) any
}

var agreements = map[ck.KeyType]agreement{
	ck.CKK_EC:            {ck.CKM_EC_KEY_PAIR_GEN, []ck.AttributeType{ck.CKA_EC_PARAMS}, ck.CKA_EC_POINT, ecdhParam},
	ck.CKK_EC_MONTGOMERY: {ck.CKM_EC_MONTGOMERY_KEY_PAIR_GEN, []ck.AttributeType{ck.CKA_EC_PARAMS}, ck.CKA_EC_POINT, ecdhParam},
	ck.CKK_DH:            {ck.CKM_DH_PKCS_KEY_PAIR_GEN, []ck.AttributeType{ck.CKA_PRIME, ck.CKA_BASE}, ck.CKA_VALUE, func(p []byte) any { return p }},
	ck.CKK_X9_42_DH: {ck.CKM_X9_42_DH_KEY_PAIR_GEN, []ck.AttributeType{ck.CKA_PRIME, ck.CKA_SUBPRIME, ck.CKA_BASE}, ck.CKA_VALUE,
		func(p []byte) any { return &engine.X942DH1Params{KDF: ck.CKD_NULL, PublicData: p} }},
}

// ecdhParam is the parameter for a point, in an OCTET STRING or not.
func ecdhParam(point []byte) any {
	var inner []byte
	if rest, err := asn1.Unmarshal(point, &inner); err == nil && len(rest) == 0 {
		point = inner
	}
	return &engine.ECDH1DeriveParams{KDF: ck.CKD_NULL, PublicData: point}
}

func (j *job) agree(ctx context.Context, h ck.ObjectHandle, m ck.MechanismType) error {
	a, known := agreements[j.keyType]
	if !known {
		return errRefused
	}
	_, values, err := engine.UnmarshalPublicKey(j.public)
	if err != nil {
		return err
	}
	pair, err := j.newPair(ctx, &a, values)
	if err != nil {
		return refusal{err}
	}
	err = j.agreeWith(ctx, h, pair, &a, m, values)
	return errors.Join(err, j.destroy(ctx, pair.Public), j.destroy(ctx, pair.Private))
}

// newPair makes a key pair in the group of the key.
func (j *job) newPair(ctx context.Context, a *agreement, values []ck.Attribute) (p11.KeyPair, error) {
	public := append(onlyFor(ck.CKO_PUBLIC_KEY), ck.NewBool(ck.CKA_TOKEN, false))
	for _, t := range a.group {
		v := ck.Find(values, t)
		if v == nil {
			return p11.KeyPair{}, fmt.Errorf("the key has no %v", t)
		}
		public = append(public, *v)
	}
	private := append(onlyFor(ck.CKO_PRIVATE_KEY, ck.CKA_DERIVE), ck.NewBool(ck.CKA_TOKEN, false), ck.NewBool(ck.CKA_SENSITIVE, true))
	return p11.Call(ctx, j.Module, &p11.GenerateKeyPair{Session: j.Session, Mechanism: &ck.Mechanism{Type: a.generate}, Public: public, Private: private})
}

func (j *job) agreeWith(ctx context.Context, h ck.ObjectHandle, pair p11.KeyPair, a *agreement, m ck.MechanismType, values []ck.Attribute) error {
	theirs, err := j.attribute(ctx, pair.Public, a.public)
	if err != nil {
		return err
	}
	ours := ck.Find(values, a.public)
	if theirs == nil || ours == nil {
		return errRefused
	}
	one, err := j.derive(ctx, &ck.Mechanism{Type: m, Param: a.param(slices.Clone(theirs.Value))}, h)
	if err != nil {
		return err
	}
	two, err := j.derive(ctx, &ck.Mechanism{Type: m, Param: a.param(slices.Clone(ours.Value))}, pair.Private)
	if err == nil && !bytes.Equal(one, two) {
		err = errMismatch
	}
	return err
}
