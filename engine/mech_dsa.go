package engine

import (
	"bytes"
	"crypto/sha256"
	"crypto/sha512"
	"fmt"
	"hash"
	"math/big"
	"slices"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/engine/internal/dl"
)

// DSA (FIPS 186-4; PKCS#11 v3.1, section 6.2). A signature is r and s, each as
// long as the order of the group.

// Lengths of the prime in bits.
const (
	dsaMinBits = 1024
	dsaMaxBits = 3072
)

// DSAParameterGenParams is CK_DSA_PARAMETER_GEN_PARAM (PKCS#11 v3.1, section
// 6.2.4).
type DSAParameterGenParams struct {
	Hash  ck.MechanismType
	Seed  []byte `c:"ptr,len,inout"`
	Index uint64
}

var dsaKeys = []ck.KeyType{ck.CKK_DSA}

func init() { later(dsaMechanisms) }

func dsaMechanisms() {
	generate := func(t ck.MechanismType, proto any, f func(any, []ck.Attribute) ([]ck.Attribute, error), vectors string, test func() error) *Mechanism {
		return dsaRow(&Mechanism{
			Type: t, Param: proto, Makes: ck.CKK_DSA, Vectors: vectors,
			GenerateParameters: f, Approve: approveParameterHash, SelfTest: test,
		})
	}
	const cavp = "NIST CAVP PQGGen (FIPS 186-3)"
	param := (*DSAParameterGenParams)(nil)
	register(
		generate(ck.CKM_DSA_PARAMETER_GEN, nil, generateDSAParameters, cavp, testProbablePrimes),
		generate(ck.CKM_DSA_PROBABILISTIC_PARAMETER_GEN, param, generateProbable, cavp, testProbablePrimes),
		generate(ck.CKM_DSA_SHAWE_TAYLOR_PARAMETER_GEN, param, generateProvable, cavp, testProvablePrimes),
		generate(ck.CKM_DSA_FIPS_G_GEN, param, generateBase, cavp, testCanonicalBase),
		dsaRow(&Mechanism{
			Type: ck.CKM_DSA_KEY_PAIR_GEN, Makes: ck.CKK_DSA, Vectors: "RFC 6979 A.2 (public key of a private one)",
			GeneratePair: dsaType.generatePair, SelfTest: testGenerateDSA,
		}),
		dsaRow(&Mechanism{
			Type: ck.CKM_DSA, Keys: dsaKeys, Vectors: "RFC 6979 A.2; Wycheproof dsa_*_p1363",
			Sign: dsaSign, Verify: dsaVerify, SelfTest: testRawDSA,
		}),
	)
	for _, r := range []struct {
		t, hash ck.MechanismType
		aliases []ck.MechanismType
	}{
		{t: ck.CKM_DSA_SHA1, hash: ck.CKM_SHA_1},
		{t: ck.CKM_DSA_SHA224, hash: ck.CKM_SHA224, aliases: []ck.MechanismType{ck.CKM_DSA_SHA224_OLD}},
		{t: ck.CKM_DSA_SHA256, hash: ck.CKM_SHA256, aliases: []ck.MechanismType{ck.CKM_DSA_SHA256_OLD}},
		{t: ck.CKM_DSA_SHA384, hash: ck.CKM_SHA384},
		{t: ck.CKM_DSA_SHA512, hash: ck.CKM_SHA512},
		{t: ck.CKM_DSA_SHA3_224, hash: ck.CKM_SHA3_224},
		{t: ck.CKM_DSA_SHA3_256, hash: ck.CKM_SHA3_256},
		{t: ck.CKM_DSA_SHA3_384, hash: ck.CKM_SHA3_384},
		{t: ck.CKM_DSA_SHA3_512, hash: ck.CKM_SHA3_512},
	} {
		register(dsaHashRow(r.t, findHash(r.hash), r.aliases))
	}
}

// dsaRow adds what all rows have. SP 800-131A: keys of 1024 bits, and SHA-1, for
// old signatures only.
func dsaRow(m *Mechanism) *Mechanism {
	m.Min, m.Max = dsaMinBits, dsaMaxBits
	m.FIPS, m.FIPSMin, m.LegacyMin = true, 2048, 1024
	return m
}

func dsaHashRow(t ck.MechanismType, h *hashFunction, aliases []ck.MechanismType) *Mechanism {
	vectors := "RFC 6979 A.2; Wycheproof"
	if t >= ck.CKM_DSA_SHA3_224 {
		vectors = "DSA and SHA-3 have their own"
	}
	return dsaRow(&Mechanism{
		Type: t, Aliases: aliases, Keys: dsaKeys, Vectors: vectors, Legacy: h.digest == ck.CKM_SHA_1,
		Sign: func(k *Key, p any) (Op, error) {
			s, err := dsaPrivate(k, p)
			if err != nil {
				return nil, err
			}
			return newHashedOp(h.start(), 2*len(s.Q), s), nil
		},
		Verify: func(k *Key, p any) (Verifier, error) {
			v, err := dsaPublic(k, p)
			if err != nil {
				return nil, err
			}
			return newHashedVerifier(h.start(), v), nil
		},
		SelfTest: func() error { return testDSA(t, h) },
	})
}

func dsaSign(k *Key, p any) (Op, error) {
	s, err := dsaPrivate(k, p)
	if err != nil {
		return nil, err
	}
	return &once{max: 2 * len(s.Q), exact: true, run: func(dst, src []byte) (int, error) {
		if !isDigestLen(len(src)) {
			return 0, errDigestLen
		}
		return s.sign(dst, src)
	}}, nil
}

func dsaVerify(k *Key, p any) (Verifier, error) {
	v, err := dsaPublic(k, p)
	if err != nil {
		return nil, err
	}
	return onceVerifier(func(src, sig []byte) error {
		if !isDigestLen(len(src)) {
			return errDigestLen
		}
		return v.verify(src, sig)
	}), nil
}

var errDigestLen = fmt.Errorf("CKM_DSA signs a digest of 20, 28, 32, 48 or 64 bytes: %w", ck.CKR_DATA_LEN_RANGE)

// isDigestLen reports whether CKM_DSA takes data of n bytes (section 6.2.13).
func isDigestLen(n int) bool { return slices.Contains([]int{20, 28, 32, 48, 64}, n) }

// dsaSigner is a private key ready to sign.
type dsaSigner struct{ *dl.Signer }

func dsaPrivate(k *Key, p any) (*dsaSigner, error) {
	if err := noParam(p); err != nil {
		return nil, err
	}
	return Parsed(k, func(k *Key) (*dsaSigner, error) {
		g, x, err := dsaType.private(k)
		if err != nil {
			return nil, err
		}
		s, err := g.NewSigner(x)
		return &dsaSigner{s}, dlError(err)
	})
}

func (s *dsaSigner) sign(dst, digest []byte) (int, error) {
	random, err := hedge()
	if err != nil {
		return 0, err
	}
	sig, err := s.DSA(digest, random, sha512.New)
	if err != nil {
		return 0, fmt.Errorf("cannot sign: %w", ck.CKR_FUNCTION_FAILED)
	}
	return copy(dst, sig), nil
}

// hedge is the randomness that goes into a nonce beside key and digest.
func hedge() ([]byte, error) {
	b := make([]byte, 32)
	return b, Random(b)
}

// dsaChecker is a public key ready to verify.
type dsaChecker struct {
	*dl.Group
	y []byte
}

func dsaPublic(k *Key, p any) (*dsaChecker, error) {
	if err := noParam(p); err != nil {
		return nil, err
	}
	return Parsed(k, func(k *Key) (*dsaChecker, error) {
		g, y, err := dsaType.publicValue(k)
		if err != nil {
			return nil, err
		}
		return &dsaChecker{g, y}, nil
	})
}

func (v *dsaChecker) verify(digest, sig []byte) error {
	if len(sig) != 2*len(v.Q) {
		return ck.CKR_SIGNATURE_LEN_RANGE
	}
	if !v.VerifyDSA(v.y, digest, sig) {
		return ck.CKR_SIGNATURE_INVALID
	}
	return nil
}

// dsaLengths reads the lengths of p and q from a template, and checks that FIPS
// 186-4, section 4.2 knows them.
func dsaLengths(template []ck.Attribute) (prime, order int, err error) {
	if prime, err = templateBits(template, ck.CKA_PRIME_BITS, 0); err != nil {
		return 0, 0, err
	}
	usual := 256
	if prime == 1024 {
		usual = 160
	}
	if order, err = templateBits(template, ck.CKA_SUBPRIME_BITS, usual); err != nil {
		return 0, 0, err
	}
	switch [2]int{prime, order} {
	case [2]int{1024, 160}, [2]int{2048, 224}, [2]int{2048, 256}, [2]int{3072, 256}:
		return prime, order, nil
	}
	return 0, 0, fmt.Errorf("DSA has no parameters of %d and %d bits: %w", prime, order, ck.CKR_KEY_SIZE_RANGE)
}

// generateDSAParameters is CKM_DSA_PARAMETER_GEN: FIPS 186-4, appendices A.1.1.2
// and A.2.1.
func generateDSAParameters(p any, template []ck.Attribute) ([]ck.Attribute, error) {
	if err := noParam(p); err != nil {
		return nil, err
	}
	if err := refuseValues(template, ck.CKA_PRIME, ck.CKA_SUBPRIME, ck.CKA_BASE); err != nil {
		return nil, err
	}
	prime, order, err := dsaLengths(template)
	if err != nil {
		return nil, err
	}
	return dsaType.newParameters(Random, prime, order)
}

// newParameters makes a group with probable primes.
func (t *dlType) newParameters(random func([]byte) error, prime, order int) ([]ck.Attribute, error) {
	newHash := sha256.New
	if order > 256 {
		newHash = sha512.New
	}
	p, q, err := probablePrimes(random, prime, order, newHash, make([]byte, (order+7)/8))
	if err != nil {
		return nil, err
	}
	base, err := dl.Generator(random, p, q)
	if err != nil {
		return nil, err
	}
	g, err := dl.NewGroup(p.Bytes(), q.Bytes(), base.Bytes())
	if err != nil {
		return nil, dlError(err)
	}
	return t.attributes(g), nil
}

// probablePrimes draws seeds until one gives primes.
func probablePrimes(random func([]byte) error, prime, order int, newHash func() hash.Hash, seed []byte) (p, q *big.Int, err error) {
	for {
		if err := random(seed); err != nil {
			return nil, nil, err
		}
		if p, q, _, ok := dl.ProbablePrimes(prime, order, newHash, seed); ok {
			return p, q, nil
		}
	}
}

// dsaGeneration reads what the mechanisms with a CK_DSA_PARAMETER_GEN_PARAM have
// in common.
func dsaGeneration(p any, template []ck.Attribute) (params *DSAParameterGenParams, prime, order int, newHash func() hash.Hash, err error) {
	if params, err = structParam[DSAParameterGenParams](p); err != nil {
		return nil, 0, 0, nil, err
	}
	if err := refuseValues(template, ck.CKA_PRIME, ck.CKA_SUBPRIME, ck.CKA_BASE); err != nil {
		return nil, 0, 0, nil, err
	}
	if prime, order, err = dsaLengths(template); err != nil {
		return nil, 0, 0, nil, err
	}
	newHash, err = params.hashFor(order)
	return params, prime, order, newHash, err
}

// hashFor is the hash function, whose digests must be as long as the order.
func (p *DSAParameterGenParams) hashFor(order int) (func() hash.Hash, error) {
	h := shaFor(p.Hash)
	if h == nil || 8*h.size < order {
		return nil, fmt.Errorf("no hash function for this order: %w", ck.CKR_MECHANISM_PARAM_INVALID)
	}
	return h.new, nil
}

// maxSeed bounds a seed.
const maxSeed = 1 << 12

var errSeedLen = fmt.Errorf("the seed must be as long as the order, at least: %w", ck.CKR_MECHANISM_PARAM_INVALID)

// generateProbable is CKM_DSA_PROBABILISTIC_PARAMETER_GEN: p and q, without a g.
// The seed is returned: all of the buffer that is passed for it, if there is one.
func generateProbable(param any, template []ck.Attribute) ([]ck.Attribute, error) {
	params, prime, order, newHash, err := dsaGeneration(param, template)
	if err != nil {
		return nil, err
	}
	seed := params.Seed
	if len(seed) == 0 {
		seed = make([]byte, order/8)
	}
	if len(seed) < order/8 || len(seed) > maxSeed {
		return nil, errSeedLen
	}
	p, q, err := probablePrimes(Random, prime, order, newHash, seed)
	if err != nil {
		return nil, err
	}
	return primeAttributes(p, q), nil
}

// primeAttributes are the attributes of domain parameters without a g.
func primeAttributes(p, q *big.Int) []ck.Attribute {
	return []ck.Attribute{ck.NewBytes(ck.CKA_PRIME, p.Bytes()), ck.NewBytes(ck.CKA_SUBPRIME, q.Bytes())}
}

// generateProvable is CKM_DSA_SHAWE_TAYLOR_PARAMETER_GEN. The seed that is
// returned has three parts of equal length: the first seed, and those of p and q
// (FIPS 186-4, appendix A.1.2.1.2, has them in this order as the seed for g).
func generateProvable(param any, template []ck.Attribute) ([]ck.Attribute, error) {
	params, prime, order, newHash, err := dsaGeneration(param, template)
	if err != nil {
		return nil, err
	}
	n := len(params.Seed) / 3
	if len(params.Seed) == 0 {
		n = order / 8
	}
	if n < order/8 || len(params.Seed)%3 != 0 || n > maxSeed {
		return nil, errSeedLen
	}
	first := make([]byte, n)
	for {
		if err := Random(first); err != nil {
			return nil, err
		}
		p, q, pSeed, qSeed, ok := dl.ProvablePrimes(prime, order, newHash, first)
		if ok && len(pSeed) == n && len(qSeed) == n {
			copy(params.Seed, slices.Concat(first, pSeed, qSeed))
			return primeAttributes(p, q), nil
		}
	}
}

// generateBase is CKM_DSA_FIPS_G_GEN: the g that belongs to p, q, a seed and an
// index (FIPS 186-4, appendix A.2.3).
func generateBase(param any, template []ck.Attribute) ([]ck.Attribute, error) {
	params, err := structParam[DSAParameterGenParams](param)
	if err != nil {
		return nil, err
	}
	if err := refuseValues(template, ck.CKA_BASE); err != nil {
		return nil, err
	}
	numbers := make([][]byte, 2)
	for i, t := range []ck.AttributeType{ck.CKA_PRIME, ck.CKA_SUBPRIME} {
		a := ck.Find(template, t)
		if a == nil {
			return nil, fmt.Errorf("%v is missing: %w", t, ck.CKR_TEMPLATE_INCOMPLETE)
		}
		numbers[i] = trimZeros(a.Value)
	}
	if !dsaType.fits(bitLen(numbers[0]), bitLen(numbers[1])) {
		return nil, ck.CKR_KEY_SIZE_RANGE
	}
	newHash, err := params.hashFor(bitLen(numbers[1]))
	if err != nil {
		return nil, err
	}
	if len(params.Seed) < len(numbers[1]) || len(params.Seed) > maxSeed || params.Index > 255 {
		return nil, fmt.Errorf("seed or index out of range: %w", ck.CKR_MECHANISM_PARAM_INVALID)
	}
	return canonicalBase(numbers[0], numbers[1], newHash, params.Seed, byte(params.Index))
}

// canonicalBase makes the domain parameters with the g of a seed. That p and q
// are primes shows when they are taken as a group.
func canonicalBase(p, q []byte, newHash func() hash.Hash, seed []byte, index byte) ([]ck.Attribute, error) {
	bp, bq := new(big.Int).SetBytes(p), new(big.Int).SetBytes(q)
	rest := new(big.Int).Sub(bp, big.NewInt(1))
	if bp.Bit(0) == 0 || rest.Mod(rest, bq).Sign() != 0 {
		return nil, dlError(dl.ErrGroup)
	}
	base, err := dl.CanonicalGenerator(newHash, bp, bq, seed, index)
	if err != nil {
		return nil, dlError(err)
	}
	g, err := dl.NewGroup(bytes.Clone(p), bytes.Clone(q), base.Bytes())
	if err != nil {
		return nil, dlError(err)
	}
	return dsaType.attributes(g), nil
}
