package engine

import (
	"crypto/ecdsa"
	"crypto/rand"
	"fmt"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"github.com/perilune/perilune/cryptoki/ck"
)

// ECDSA (FIPS 186-5, section 6; PKCS#11 v3.1, section 6.3). A
// signature is r and s, each as long as the order of the curve.

// Field sizes of CKK_EC in bits.
const (
	ecMinBits = 224
	ecMaxBits = 521
)

// ecFlags: prime fields, curves by OID, name or known parameters, points
// compressed or not.
const ecFlags = ck.CKF_EC_F_P | ck.CKF_EC_OID | ck.CKF_EC_CURVENAME | ck.CKF_EC_ECPARAMETERS |
	ck.CKF_EC_UNCOMPRESS | ck.CKF_EC_COMPRESS

var ecKeys = []ck.KeyType{ck.CKK_EC}

func init() {
	register(
		&Mechanism{
			Type: ck.CKM_EC_KEY_PAIR_GEN,
			Keys: ecKeys, Makes: ck.CKK_EC, Min: ecMinBits, Max: ecMaxBits, Flags: ecFlags, FIPS: true,
			GeneratePair: generateEC(ck.CKK_EC),
			SelfTest:     testGenerateEC,
		},
		&Mechanism{
			Type: ck.CKM_ECDSA,
			Keys: ecKeys, Min: ecMinBits, Max: ecMaxBits, Flags: ecFlags, FIPS: true,
			Sign:     ecdsaSign,
			Verify:   ecdsaVerify,
			SelfTest: testRawECDSA,
		},
	)
	for m, h := range map[ck.MechanismType]ck.MechanismType{
		ck.CKM_ECDSA_SHA1:     ck.CKM_SHA_1,
		ck.CKM_ECDSA_SHA224:   ck.CKM_SHA224,
		ck.CKM_ECDSA_SHA256:   ck.CKM_SHA256,
		ck.CKM_ECDSA_SHA384:   ck.CKM_SHA384,
		ck.CKM_ECDSA_SHA512:   ck.CKM_SHA512,
		ck.CKM_ECDSA_SHA3_224: ck.CKM_SHA3_224,
		ck.CKM_ECDSA_SHA3_256: ck.CKM_SHA3_256,
		ck.CKM_ECDSA_SHA3_384: ck.CKM_SHA3_384,
		ck.CKM_ECDSA_SHA3_512: ck.CKM_SHA3_512,
	} {
		register(ecdsaHashRow(m, findHash(h)))
	}
}

func ecdsaHashRow(m ck.MechanismType, h *hashFunction) *Mechanism {
	return &Mechanism{
		Type: m,
		Keys: ecKeys, Min: ecMinBits, Max: ecMaxBits, Flags: ecFlags, FIPS: h.digest != ck.CKM_SHA_1,
		Sign: func(k *Key, p any) (Op, error) {
			s, err := ecdsaPrivate(k, p)
			if err != nil {
				return nil, err
			}
			return &hashedOp{hashed: hashed{h: h.new()}, size: 2 * s.size, sign: s.sign}, nil
		},
		Verify: func(k *Key, p any) (Verifier, error) {
			v, err := ecdsaPublic(k, p)
			if err != nil {
				return nil, err
			}
			return &hashedVerifier{hashed: hashed{h: h.new()}, verify: v.verify}, nil
		},
		SelfTest: func() error { return testECDSA(m) },
	}
}

func ecdsaSign(k *Key, p any) (Op, error) {
	s, err := ecdsaPrivate(k, p)
	if err != nil {
		return nil, err
	}
	return &once{max: 2 * s.size, exact: true, run: s.sign}, nil
}

func ecdsaVerify(k *Key, p any) (Verifier, error) {
	v, err := ecdsaPublic(k, p)
	if err != nil {
		return nil, err
	}
	return onceVerifier(v.verify), nil
}

// ecdsaSigner is a private key ready to sign.
type ecdsaSigner struct {
	key  *ecdsa.PrivateKey
	size int // of r and of s
}

func ecdsaPrivate(k *Key, p any) (*ecdsaSigner, error) {
	if err := noParam(p); err != nil {
		return nil, err
	}
	return Parsed(k, func(k *Key) (*ecdsaSigner, error) {
		c, err := parseCurve(k)
		if err != nil {
			return nil, err
		}
		if c.nist == nil {
			return nil, ck.CKR_KEY_TYPE_INCONSISTENT
		}
		value, err := c.privateValue(k.Value())
		if err != nil {
			return nil, err
		}
		priv, err := ecdsa.ParseRawPrivateKey(c.nist, value)
		if err != nil {
			return nil, fmt.Errorf("unusable EC private key: %w", ck.CKR_KEY_TYPE_INCONSISTENT)
		}
		return &ecdsaSigner{priv, c.size}, nil
	})
}

func (s *ecdsaSigner) sign(dst, digest []byte) (int, error) {
	der, err := ecdsa.SignASN1(rand.Reader, s.key, digest)
	if err != nil || !ecdsaRaw(dst[:2*s.size], der) {
		return 0, fmt.Errorf("cannot sign: %w", ck.CKR_FUNCTION_FAILED)
	}
	return 2 * s.size, nil
}

// ecdsaRaw turns a DER ECDSA-Sig-Value into r and s of half the length of dst.
func ecdsaRaw(dst, der []byte) bool {
	half := len(dst) / 2
	s := cryptobyte.String(der)
	var seq cryptobyte.String
	return s.ReadASN1(&seq, asn1.SEQUENCE) && readFixed(&seq, dst[:half]) && readFixed(&seq, dst[half:])
}

// readFixed reads an INTEGER into dst, filled up with zeros on the left.
func readFixed(s *cryptobyte.String, dst []byte) bool {
	var n cryptobyte.String
	if !s.ReadASN1(&n, asn1.INTEGER) {
		return false
	}
	n = trimZeros(n)
	if len(n) > len(dst) {
		return false
	}
	zeros := len(dst) - len(n)
	clear(dst[:zeros])
	copy(dst[zeros:], n)
	return true
}

// ecdsaChecker is a public key ready to verify.
type ecdsaChecker struct {
	key  *ecdsa.PublicKey
	size int // of r and of s
}

func ecdsaPublic(k *Key, p any) (*ecdsaChecker, error) {
	if err := noParam(p); err != nil {
		return nil, err
	}
	return Parsed(k, func(k *Key) (*ecdsaChecker, error) {
		c, err := parseCurve(k)
		if err != nil {
			return nil, err
		}
		if c.nist == nil {
			return nil, ck.CKR_KEY_TYPE_INCONSISTENT
		}
		point, err := ecPublicPoint(k, c)
		if err != nil {
			return nil, err
		}
		pub, err := ecdsa.ParseUncompressedPublicKey(c.nist, point)
		if err != nil {
			return nil, fmt.Errorf("unusable EC public key: %w", ck.CKR_KEY_TYPE_INCONSISTENT)
		}
		return &ecdsaChecker{pub, c.size}, nil
	})
}

func (v *ecdsaChecker) verify(digest, sig []byte) error {
	if len(sig) != 2*v.size {
		return ck.CKR_SIGNATURE_LEN_RANGE
	}
	var buf [3 + 2*(3+66)]byte // of P-521
	if !ecdsa.VerifyASN1(v.key, digest, ecdsaDER(buf[:0], sig)) {
		return ck.CKR_SIGNATURE_INVALID
	}
	return nil
}

// ecdsaDER appends the DER ECDSA-Sig-Value of r and s to dst.
func ecdsaDER(dst, sig []byte) []byte {
	r, s := trimZeros(sig[:len(sig)/2]), trimZeros(sig[len(sig)/2:])
	n := integerLen(r) + integerLen(s)
	dst = append(dst, byte(asn1.SEQUENCE))
	if n >= 0x80 {
		dst = append(dst, 0x81)
	}
	dst = append(dst, byte(n))
	return appendInteger(appendInteger(dst, r), s)
}

// integerLen is the length of the DER INTEGER of n, less than 128 bytes long
// and without leading zeros.
func integerLen(n []byte) int {
	if len(n) == 0 || n[0] >= 0x80 {
		return len(n) + 3
	}
	return len(n) + 2
}

func appendInteger(dst, n []byte) []byte {
	dst = append(dst, byte(asn1.INTEGER), byte(integerLen(n)-2))
	if integerLen(n) == len(n)+3 {
		dst = append(dst, 0)
	}
	return append(dst, n...)
}
