package engine

import (
	"crypto/hkdf"
	"fmt"
	"hash"

	"github.com/perilune/perilune/cryptoki/ck"
)

// HKDF (PKCS#11 v3.1 section 6.62; RFC 5869).

func init() { later(hkdfMechanisms) }

func hkdfMechanisms() {
	row := func(t ck.MechanismType) *Mechanism {
		return &Mechanism{
			Type: t, Param: (*HKDFParams)(nil), Keys: []ck.KeyType{ck.CKK_HKDF, ck.CKK_GENERIC_SECRET},
			Min: 1, Max: maxSecret, FIPS: true, FIPSMin: hmacFIPSMin, Vectors: "RFC 5869 A; Wycheproof",
			Derive: deriveHKDF, DerivesData: t == ck.CKM_HKDF_DATA,
			SelfTest: func() error { return testHKDF(t) },
		}
	}
	register(
		row(ck.CKM_HKDF_DERIVE),
		row(ck.CKM_HKDF_DATA),
		&Mechanism{
			Type: ck.CKM_HKDF_KEY_GEN, Makes: ck.CKK_HKDF, Min: 1, Max: maxSecret, FIPS: true, FIPSMin: hmacFIPSMin,
			Generate: generateSecret, Vectors: formOnly,
			SelfTest: func() error { return testSecretGen(ck.CKM_HKDF_KEY_GEN) },
		},
	)
}

// HKDFParams is CK_HKDF_PARAMS (PKCS#11 v3.1 section 6.62.2).
type HKDFParams struct {
	Extract  bool
	Expand   bool
	Hash     ck.MechanismType
	SaltType uint64
	Salt     []byte `c:"ptr,len"`
	SaltKey  ck.ObjectHandle
	Info     []byte `c:"ptr,len"`
}

// deriveHKDF is CKM_HKDF_DERIVE and, to a data object, CKM_HKDF_DATA.
func deriveHKDF(base *Key, param any, d *Derivation) ([]byte, error) {
	p, err := structParam[HKDFParams](param)
	if err != nil {
		return nil, err
	}
	h := shaFor(p.Hash)
	if h == nil {
		return nil, fmt.Errorf("HKDF does not take this hash: %w", ck.CKR_MECHANISM_PARAM_INVALID)
	}
	if !p.Extract && !p.Expand {
		return nil, fmt.Errorf("HKDF must extract or expand: %w", ck.CKR_MECHANISM_PARAM_INVALID)
	}
	secret := base.Value()
	if p.Extract {
		salt, err := p.salt(d)
		if err != nil {
			return nil, err
		}
		if secret, err = hkdf.Extract(h.new, secret, salt); err != nil {
			return nil, fmt.Errorf("HKDF: %w", ck.CKR_FUNCTION_FAILED)
		}
	}
	if !p.Expand {
		return extracted(secret, d)
	}
	if p.Extract {
		defer clear(secret)
	}
	return expanded(h.new, secret, p.Info, d)
}

// salt returns the salt that the parameter names; none means zeros.
func (p *HKDFParams) salt(d *Derivation) ([]byte, error) {
	switch p.SaltType {
	case ck.CKF_HKDF_SALT_NULL:
		return nil, nil
	case ck.CKF_HKDF_SALT_DATA:
		return p.Salt, nil
	case ck.CKF_HKDF_SALT_KEY:
		if len(d.Keys) == 1 && d.Keys[0] != nil && d.Keys[0].Class == ck.CKO_SECRET_KEY {
			return d.Keys[0].Value(), nil
		}
		return nil, fmt.Errorf("the salt key is missing or not secret: %w", ck.CKR_MECHANISM_PARAM_INVALID)
	}
	return nil, fmt.Errorf("unknown salt type: %w", ck.CKR_MECHANISM_PARAM_INVALID)
}

// extracted returns the pseudorandom key, which is as long as the hash.
func extracted(prk []byte, d *Derivation) ([]byte, error) {
	if n := derivedLen(d, len(prk)); n != 0 && n != len(prk) {
		return nil, fmt.Errorf("extraction yields %d bytes: %w", len(prk), ck.CKR_TEMPLATE_INCONSISTENT)
	}
	return prk, nil
}

func expanded(newHash func() hash.Hash, prk, info []byte, d *Derivation) ([]byte, error) {
	n, err := wantedLen(d)
	if err != nil {
		return nil, err
	}
	if limit := 255 * newHash().Size(); n > limit {
		return nil, fmt.Errorf("this hash yields at most %d bytes: %w", limit, ck.CKR_KEY_SIZE_RANGE)
	}
	out, err := hkdf.Expand(newHash, prk, string(info), n)
	if err != nil {
		return nil, fmt.Errorf("HKDF: %w", ck.CKR_FUNCTION_FAILED)
	}
	return out, nil
}

// testHKDF checks test cases 1 and 3 of RFC 5869, appendix A, and the
// pseudorandom key of case 1.
func testHKDF(t ck.MechanismType) error {
	ikm := unhex("0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b")
	salt := unhex("000102030405060708090a0b0c")
	saltKey := secretKey(ck.CKK_GENERIC_SECRET, salt)
	for _, a := range []struct {
		p    HKDFParams
		want string
	}{
		{HKDFParams{true, true, ck.CKM_SHA256, ck.CKF_HKDF_SALT_DATA, salt, 0, unhex("f0f1f2f3f4f5f6f7f8f9")},
			"3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865"},
		{HKDFParams{true, false, ck.CKM_SHA256, ck.CKF_HKDF_SALT_KEY, nil, 1, nil},
			"077709362c2e32df0ddc3f0dc47bba6390b6c73bb50f9c3122ec844ad7c2b3e5"},
		{HKDFParams{true, true, ck.CKM_SHA256, ck.CKF_HKDF_SALT_NULL, nil, 0, nil},
			"8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8"},
	} {
		if err := testDerive(t, ikm, &a.p, a.want, saltKey); err != nil {
			return err
		}
	}
	return nil
}
