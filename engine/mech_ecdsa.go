package engine

import (
	"crypto/ecdsa"
	"crypto/rand"
	"fmt"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/engine/internal/ct"
)

// ECDSA (FIPS 186-5, section 6; PKCS#11 v3.1, section 6.3). A
// signature is r and s, each as long as the order of the curve.

// Field sizes of CKK_EC in bits: those of the device, some of whose curves are
// over binary fields. In FIPS mode, keys of less than 224 bits are for what
// exists already.
const (
	ecMinBits    = 105
	ecMaxBits    = 571
	ecFIPSBits   = 224
	ecLegacyBits = 160
)

// ecFlags: prime and binary fields, curves by OID, name or parameters, points
// compressed or not.
const ecFlags = ck.CKF_EC_F_P | ck.CKF_EC_F_2M | ck.CKF_EC_OID | ck.CKF_EC_CURVENAME | ck.CKF_EC_ECPARAMETERS |
	ck.CKF_EC_UNCOMPRESS | ck.CKF_EC_COMPRESS

// ecKeys is the key type of mechanisms on curves whose points have coordinates.
// The device's table adds that of BIP 32 to some.
var (
	ecKeys    = []ck.KeyType{ck.CKK_EC}
	ecdsaKeys = []ck.KeyType{ck.CKK_EC, ck.CKK_BIP32}
)

func init() { later(ecdsaMechanisms) }

func ecdsaMechanisms() {
	register(
		ecRow(&Mechanism{
			Type:         ck.CKM_EC_KEY_PAIR_GEN,
			Makes:        ck.CKK_EC,
			Vectors:      "RFC 6979 A.2.5; RFC 7027",
			GeneratePair: generateEC(ck.CKK_EC),
			SelfTest:     testGenerateEC,
		}),
		ecRow(&Mechanism{
			Type: ck.CKM_EC_KEY_PAIR_GEN_W_EXTRA_BITS, Aliases: []ck.MechanismType{ck.CKM_ECDSA_KEY_PAIR_GEN_W_EXTRA_BITS},
			Makes:        ck.CKK_EC,
			Vectors:      "RFC 6979 A.2.5; RFC 7027",
			GeneratePair: generateECExtraBits,
			SelfTest:     testGenerateECExtraBits,
		}),
		ecdsaRow(&Mechanism{
			Type:     ck.CKM_ECDSA,
			Vectors:  "NIST ACVP; Wycheproof; RFC 6979",
			Sign:     ecdsaSign,
			Verify:   ecdsaVerify,
			SelfTest: testRawECDSA,
		}),
	)
	for _, x := range []struct {
		m, hash ck.MechanismType
		aliases []ck.MechanismType
	}{
		{ck.CKM_ECDSA_SHA1, ck.CKM_SHA_1, nil},
		{ck.CKM_ECDSA_SHA224, ck.CKM_SHA224, []ck.MechanismType{ck.CKM_ECDSA_SHA224_OLD}},
		{ck.CKM_ECDSA_SHA256, ck.CKM_SHA256, []ck.MechanismType{ck.CKM_ECDSA_SHA256_OLD}},
		{ck.CKM_ECDSA_SHA384, ck.CKM_SHA384, []ck.MechanismType{ck.CKM_ECDSA_SHA384_OLD}},
		{ck.CKM_ECDSA_SHA512, ck.CKM_SHA512, []ck.MechanismType{ck.CKM_ECDSA_SHA512_OLD}},
		{ck.CKM_ECDSA_SHA3_224, ck.CKM_SHA3_224, nil},
		{ck.CKM_ECDSA_SHA3_256, ck.CKM_SHA3_256, nil},
		{ck.CKM_ECDSA_SHA3_384, ck.CKM_SHA3_384, nil},
		{ck.CKM_ECDSA_SHA3_512, ck.CKM_SHA3_512, nil},
	} {
		m := ecdsaHashRow(x.m, findHash(x.hash))
		m.Aliases = x.aliases
		register(m)
	}
}

// ecRow fills in what the rows of CKK_EC have in common.
func ecRow(m *Mechanism) *Mechanism {
	m.Keys = ecKeys
	m.Min, m.Max, m.Flags = ecMinBits, ecMaxBits, ecFlags
	m.FIPS, m.FIPSMin, m.LegacyMin = true, ecFIPSBits, ecLegacyBits
	m.Approve = approveCurve
	if m.GeneratePair != nil {
		m.Approve = approveNewCurve
	}
	return m
}

// ecdsaRow is ecRow for ECDSA.
func ecdsaRow(m *Mechanism) *Mechanism {
	m = ecRow(m)
	m.Keys = ecdsaKeys
	return m
}

func ecdsaHashRow(m ck.MechanismType, h *hashFunction) *Mechanism {
	return ecdsaRow(&Mechanism{
		Type:    m,
		Legacy:  h.digest == ck.CKM_SHA_1,
		Vectors: "NIST ACVP; Wycheproof; RFC 6979",
		Sign: func(k *Key, p any) (Op, error) {
			s, err := ecdsaPrivate(k, p)
			if err != nil {
				return nil, err
			}
			return newHashedOp(h.start(), 2*s.size, s), nil
		},
		Verify:   ecdsaHashVerify(h),
		SelfTest: func() error { return testECDSA(m) },
	})
}

func ecdsaHashVerify(h *hashFunction) func(k *Key, p any) (Verifier, error) {
	return func(k *Key, p any) (Verifier, error) {
		v, err := ecdsaPublic(k, p)
		if err != nil {
			return nil, err
		}
		return newHashedVerifier(h.start(), v), nil
	}
}

func ecdsaSign(k *Key, p any) (Op, error) {
	return opOf(ecdsaPrivate(k, p))
}

func ecdsaVerify(k *Key, p any) (Verifier, error) {
	return verifierOf(ecdsaPublic(k, p))
}

// ecdsaSigner is a private key ready to sign: the Op of signing a digest, which
// has no state.
type ecdsaSigner struct {
	onePart
	std  *ecdsa.PrivateKey // where Go's FIPS mode is on and has the curve
	own  *ecdsaPrivateKey  // elsewhere
	size int               // of r and of s
}

func ecdsaPrivate(k *Key, p any) (*ecdsaSigner, error) {
	if err := noParam(p); err != nil {
		return nil, err
	}
	return Parsed(k, func(k *Key) (*ecdsaSigner, error) {
		c, value, err := parseECPrivate(k)
		if err != nil {
			return nil, err
		}
		s := &ecdsaSigner{size: c.scalarSize()}
		if c.standardOnly() {
			s.std, err = ecdsa.ParseRawPrivateKey(c.nist, value)
		} else {
			s.own, err = newECDSAPrivateKey(c.group(), value)
		}
		if err != nil {
			return nil, errUnusablePrivate
		}
		return s, nil
	})
}

func (s *ecdsaSigner) FinishLen(int) (int, bool) { return 2 * s.size, true }

func (s *ecdsaSigner) Finish(dst, src []byte) (int, error) { return s.sign(dst, src) }

var errUnusablePrivate = fmt.Errorf("unusable EC private key: %w", ck.CKR_KEY_TYPE_INCONSISTENT)

// parseECPrivate returns the curve of a key, which must be one with a group, and
// the private value.
func parseECPrivate(k *Key) (*curve, []byte, error) {
	c, err := parseCurve(k)
	if err != nil {
		return nil, nil, err
	}
	if c.group == nil {
		return nil, nil, ck.CKR_KEY_TYPE_INCONSISTENT
	}
	value, err := c.privateValue(k.Value())
	return c, value, err
}

var errSign = fmt.Errorf("cannot sign: %w", ck.CKR_FUNCTION_FAILED)

func (s *ecdsaSigner) sign(dst, digest []byte) (int, error) {
	if s.own != nil {
		n, err := s.own.signHedged(dst, digest)
		if err != nil {
			return 0, errSign
		}
		return n, nil
	}
	der, err := ecdsa.SignASN1(rand.Reader, s.std, digest)
	ct.Public(der)
	if err != nil || !ecdsaRaw(dst[:2*s.size], der) {
		return 0, errSign
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

// ecdsaChecker is a public key ready to verify: the Verifier of digests, which
// has no state.
type ecdsaChecker struct {
	std   *ecdsa.PublicKey // where the standard library verifies, or nil
	group group
	n     *scalarField
	point []byte
	size  int // of r and of s
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
		if c.group == nil {
			return nil, ck.CKR_KEY_TYPE_INCONSISTENT
		}
		point, err := ecPublicPoint(k, c)
		if err != nil {
			return nil, err
		}
		v := &ecdsaChecker{group: c.group(), point: point, size: c.scalarSize()}
		if c.standardServes() {
			v.std, err = ecdsa.ParseUncompressedPublicKey(c.nist, point)
		} else {
			v.n, err = newScalarField(v.group)
		}
		if err != nil {
			return nil, fmt.Errorf("unusable EC public key: %w", ck.CKR_KEY_TYPE_INCONSISTENT)
		}
		return v, nil
	})
}

func (*ecdsaChecker) Update([]byte) error { return ck.CKR_FUNCTION_NOT_SUPPORTED }

func (v *ecdsaChecker) Verify(src, sig []byte) error { return v.verify(src, sig) }

func (v *ecdsaChecker) verify(digest, sig []byte) error {
	if len(sig) != 2*v.size {
		return ck.CKR_SIGNATURE_LEN_RANGE
	}
	if !v.isSignature(digest, sig) {
		return ck.CKR_SIGNATURE_INVALID
	}
	return nil
}

func (v *ecdsaChecker) isSignature(digest, sig []byte) bool {
	if v.std == nil {
		return verifyECDSA(v.group, v.n, v.point, digest, sig[:v.size], sig[v.size:])
	}
	var buf [3 + 2*(3+66)]byte // of P-521
	return ecdsa.VerifyASN1(v.std, digest, ecdsaDER(buf[:0], sig))
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
