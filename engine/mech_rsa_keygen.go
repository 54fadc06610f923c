package engine

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/engine/internal/rsacore"
)

// rsaKeygenLeaks: divisions, greatest common divisors and inverses are not in
// constant time, once for each key.
const rsaKeygenLeaks = "the time of a generation: how many candidates there were, and a little of the primes"

const rsaKeygenVectors = "Wycheproof primality; NIST CAVP KeyGen RSA (X9.31)"

func init() { later(rsaKeygenMechanisms) }

func rsaKeygenMechanisms() {
	register(
		// FIPS mode has the two below in its place, which restrict the exponent.
		&Mechanism{
			Type: ck.CKM_RSA_PKCS_KEY_PAIR_GEN,
			Keys: rsaKeys, Makes: ck.CKK_RSA, Min: rsaMinBits, Max: rsaMaxBits,
			GeneratePair: rsaGenerator(rsaKeygen{find: rsacore.Generate, min: rsaMinBits, multiple: 1}),
			Leaks:        rsaKeygenLeaks,
			Vectors:      rsaKeygenVectors,
			SelfTest:     testGenerateRSA,
		},
		// ANSI X9.31, section 4.1: moduli of 1024 + 256s bits (PKCS#11 v3.1,
		// section 6.1.6).
		&Mechanism{
			Type: ck.CKM_RSA_X9_31_KEY_PAIR_GEN,
			Keys: rsaKeys, Makes: ck.CKK_RSA, Min: 1024, Max: rsaMaxBits,
			GeneratePair: rsaGenerator(rsaKeygen{find: rsacore.GenerateAuxiliary, min: 1024, multiple: 256, x931: true}),
			Leaks:        rsaKeygenLeaks,
			Vectors:      rsaKeygenVectors,
			SelfTest:     testGenerateRSA,
		},
		// FIPS 186-3, appendix B.3.3, which is A.1.3 of FIPS 186-5: primes that
		// are probably prime.
		&Mechanism{
			Type: ck.CKM_RSA_FIPS_186_3_PRIME_KEY_PAIR_GEN,
			Keys: rsaKeys, Makes: ck.CKK_RSA, Min: rsaFIPSBits, Max: rsaMaxBits, FIPS: true, FIPSMin: rsaFIPSBits,
			GeneratePair: rsaGenerator(rsaKeygen{find: rsacore.Generate, min: rsaFIPSBits, multiple: 2, fips: true}),
			Leaks:        rsaKeygenLeaks,
			Vectors:      rsaKeygenVectors,
			SelfTest:     testGenerateRSA,
		},
		// FIPS 186-3, appendix B.3.6, which is A.1.6 of FIPS 186-5: the same with
		// auxiliary primes that are probably prime. These keys are as X9.31 wants
		// them.
		&Mechanism{
			Type: ck.CKM_RSA_FIPS_186_3_AUX_PRIME_KEY_PAIR_GEN,
			Keys: rsaKeys, Makes: ck.CKK_RSA, Min: rsaLegacyBits, Max: rsaMaxBits,
			FIPS: true, FIPSMin: rsaFIPSBits, LegacyMin: rsaLegacyBits,
			GeneratePair: rsaGenerator(rsaKeygen{find: rsacore.GenerateAuxiliary, min: rsaLegacyBits, multiple: 2, fips: true, x931: true}),
			Leaks:        rsaKeygenLeaks,
			Vectors:      rsaKeygenVectors,
			SelfTest:     testGenerateRSA,
		},
	)
}

// rsaKeygen is one way to make key pairs.
type rsaKeygen struct {
	find          func(bits int, e []byte, random io.Reader) (rsacore.Numbers, error)
	min, multiple uint64 // of the modulus in bits
	fips          bool   // 2^16 < e < 2^256 (FIPS 186-5, A.1.1)
	x931          bool   // the primes are as X9.31 wants them
}

// rsaGenerator makes a key pair of CKA_MODULUS_BITS bits with
// CKA_PUBLIC_EXPONENT, 65537 if the template has none (PKCS#11 v3.1, section
// 6.1.4).
func rsaGenerator(g rsaKeygen) func(p any, public, private []ck.Attribute) (pub, priv []ck.Attribute, err error) {
	return func(p any, public, _ []ck.Attribute) (pub, priv []ck.Attribute, err error) {
		if err := noParam(p); err != nil {
			return nil, nil, err
		}
		bits, err := g.modulusBits(public)
		if err != nil {
			return nil, nil, err
		}
		e, err := g.exponent(public)
		if err != nil {
			return nil, nil, err
		}
		c, err := g.find(bits, e, Reader)
		switch {
		case errors.Is(err, rsacore.ErrExponent):
			return nil, nil, errRSAExponent
		case errors.As(err, new(ck.RV)): // of the random number generator
			return nil, nil, err
		case err != nil:
			return nil, nil, fmt.Errorf("cannot generate an RSA key: %w", ck.CKR_FUNCTION_FAILED)
		}
		pub, priv = rsaPublicAttributes(bytes.Clone(c.N), e), rsaPrivateAttributes(&c)
		if g.x931 {
			x931 := ck.NewBool(ck.CKA_X9_31_GENERATED, true)
			pub, priv = append(pub, x931), append(priv, x931)
		}
		return pub, priv, nil
	}
}

var errRSAExponent = fmt.Errorf("unusable CKA_PUBLIC_EXPONENT: %w", ck.CKR_ATTRIBUTE_VALUE_INVALID)

func (g *rsaKeygen) exponent(public []ck.Attribute) ([]byte, error) {
	a := ck.Find(public, ck.CKA_PUBLIC_EXPONENT)
	if a == nil {
		return []byte{1, 0, 1}, nil
	}
	e := bytes.Clone(trimZeros(a.Value))
	if g.fips && (len(e) < 3 || len(e) > 32) {
		return nil, errRSAExponent
	}
	return e, nil
}

func (g *rsaKeygen) modulusBits(public []ck.Attribute) (int, error) {
	a := ck.Find(public, ck.CKA_MODULUS_BITS)
	if a == nil {
		return 0, fmt.Errorf("CKA_MODULUS_BITS is missing: %w", ck.CKR_TEMPLATE_INCOMPLETE)
	}
	bits, ok := ck.ULong(a.Value)
	if !ok {
		return 0, fmt.Errorf("CKA_MODULUS_BITS is not a CK_ULONG: %w", ck.CKR_ATTRIBUTE_VALUE_INVALID)
	}
	if bits < g.min || bits > rsaMaxBits || bits%g.multiple != 0 {
		return 0, fmt.Errorf("such RSA keys have %d to %d bits, a multiple of %d: %w", g.min, rsaMaxBits, g.multiple, ck.CKR_KEY_SIZE_RANGE)
	}
	return int(bits), nil
}
