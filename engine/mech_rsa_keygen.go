package engine

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/engine/internal/rsacore"
)

func init() {
	register(&Mechanism{
		Type: ck.CKM_RSA_PKCS_KEY_PAIR_GEN,
		Keys: rsaKeys, Makes: ck.CKK_RSA, Min: rsaMinNewBits, Max: rsaMaxBits, FIPS: true,
		GeneratePair: generateRSA,
		SelfTest:     testGenerateRSA,
	})
}

// generateRSA makes a key pair of CKA_MODULUS_BITS bits with
// CKA_PUBLIC_EXPONENT, 65537 if the template has none (PKCS#11 v3.1, section
// 6.1).
func generateRSA(p any, public, _ []ck.Attribute) (pub, priv []ck.Attribute, err error) {
	if err := noParam(p); err != nil {
		return nil, nil, err
	}
	bits, err := modulusBits(public)
	if err != nil {
		return nil, nil, err
	}
	e := []byte{1, 0, 1}
	if a := ck.Find(public, ck.CKA_PUBLIC_EXPONENT); a != nil {
		e = a.Value
	}
	c, err := rsacore.Generate(bits, bytes.Clone(e), Reader)
	switch {
	case errors.Is(err, rsacore.ErrExponent):
		return nil, nil, fmt.Errorf("unusable CKA_PUBLIC_EXPONENT: %w", ck.CKR_ATTRIBUTE_VALUE_INVALID)
	case err != nil:
		return nil, nil, fmt.Errorf("cannot generate an RSA key: %w", ck.CKR_FUNCTION_FAILED)
	}
	return rsaPublicAttributes(bytes.Clone(c.N), bytes.Clone(e)), rsaPrivateAttributes(&c), nil
}

func modulusBits(public []ck.Attribute) (int, error) {
	a := ck.Find(public, ck.CKA_MODULUS_BITS)
	if a == nil {
		return 0, fmt.Errorf("CKA_MODULUS_BITS is missing: %w", ck.CKR_TEMPLATE_INCOMPLETE)
	}
	bits, ok := ck.ULong(a.Value)
	if !ok {
		return 0, fmt.Errorf("CKA_MODULUS_BITS is not a CK_ULONG: %w", ck.CKR_ATTRIBUTE_VALUE_INVALID)
	}
	if bits < rsaMinBits || bits > rsaMaxBits {
		return 0, fmt.Errorf("RSA keys have %d to %d bits: %w", rsaMinNewBits, rsaMaxBits, ck.CKR_KEY_SIZE_RANGE)
	}
	return int(bits), nil
}
