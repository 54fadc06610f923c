package engine

import (
	"bytes"
	"crypto/subtle"
	"errors"
	"fmt"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/engine/internal/slhdsa"
)

// SLH-DSA (FIPS 205; PKCS#11 v3.2, section 6.69).

var slhdsaParameters = map[uint64]*slhdsa.Parameters{
	ck.CKP_SLH_DSA_SHA2_128S: slhdsa.SHA2128s, ck.CKP_SLH_DSA_SHAKE_128S: slhdsa.SHAKE128s,
	ck.CKP_SLH_DSA_SHA2_128F: slhdsa.SHA2128f, ck.CKP_SLH_DSA_SHAKE_128F: slhdsa.SHAKE128f,
	ck.CKP_SLH_DSA_SHA2_192S: slhdsa.SHA2192s, ck.CKP_SLH_DSA_SHAKE_192S: slhdsa.SHAKE192s,
	ck.CKP_SLH_DSA_SHA2_192F: slhdsa.SHA2192f, ck.CKP_SLH_DSA_SHAKE_192F: slhdsa.SHAKE192f,
	ck.CKP_SLH_DSA_SHA2_256S: slhdsa.SHA2256s, ck.CKP_SLH_DSA_SHAKE_256S: slhdsa.SHAKE256s,
	ck.CKP_SLH_DSA_SHA2_256F: slhdsa.SHA2256f, ck.CKP_SLH_DSA_SHAKE_256F: slhdsa.SHAKE256f,
}

// The object identifiers are those of RFC 9909, section 3.
var slhdsaFamily = &pqcFamily{key: ck.CKK_SLH_DSA, sets: []*pqcSet{
	slhdsaSet(ck.CKP_SLH_DSA_SHA2_128S, "2.16.840.1.101.3.4.3.20"),
	slhdsaSet(ck.CKP_SLH_DSA_SHA2_128F, "2.16.840.1.101.3.4.3.21"),
	slhdsaSet(ck.CKP_SLH_DSA_SHA2_192S, "2.16.840.1.101.3.4.3.22"),
	slhdsaSet(ck.CKP_SLH_DSA_SHA2_192F, "2.16.840.1.101.3.4.3.23"),
	slhdsaSet(ck.CKP_SLH_DSA_SHA2_256S, "2.16.840.1.101.3.4.3.24"),
	slhdsaSet(ck.CKP_SLH_DSA_SHA2_256F, "2.16.840.1.101.3.4.3.25"),
	slhdsaSet(ck.CKP_SLH_DSA_SHAKE_128S, "2.16.840.1.101.3.4.3.26"),
	slhdsaSet(ck.CKP_SLH_DSA_SHAKE_128F, "2.16.840.1.101.3.4.3.27"),
	slhdsaSet(ck.CKP_SLH_DSA_SHAKE_192S, "2.16.840.1.101.3.4.3.28"),
	slhdsaSet(ck.CKP_SLH_DSA_SHAKE_192F, "2.16.840.1.101.3.4.3.29"),
	slhdsaSet(ck.CKP_SLH_DSA_SHAKE_256S, "2.16.840.1.101.3.4.3.30"),
	slhdsaSet(ck.CKP_SLH_DSA_SHAKE_256F, "2.16.840.1.101.3.4.3.31"),
}}

func init() { later(slhdsaMechanisms) }

func slhdsaMechanisms() {
	registerKeyType(slhdsaFamily.row())
	min, max := slhdsaFamily.sizes()
	keys := []ck.KeyType{ck.CKK_SLH_DSA}
	const vectors = "NIST ACVP SLH-DSA-sigGen and -sigVer"
	register(
		&Mechanism{
			Type: ck.CKM_SLH_DSA_KEY_PAIR_GEN,
			Keys: keys, Makes: ck.CKK_SLH_DSA, Min: min, Max: max, FIPS: true,
			Vectors:      "NIST ACVP SLH-DSA-keyGen",
			GeneratePair: slhdsaFamily.generate,
			SelfTest:     testGenerateSLHDSA,
		},
		&Mechanism{
			Type: ck.CKM_SLH_DSA, Param: (*SignAdditionalContext)(nil), Optional: true,
			Keys: keys, Min: min, Max: max, FIPS: true,
			Vectors:  vectors,
			Sign:     pqcSigner(slhdsaSigner).with(pureContext, true),
			Verify:   pqcVerifier(slhdsaVerifier).with(pureContext, true),
			SelfTest: testSLHDSA,
		},
		&Mechanism{
			Type: ck.CKM_HASH_SLH_DSA, Param: (*HashSignAdditionalContext)(nil),
			Keys: keys, Min: min, Max: max, FIPS: true,
			Vectors:  vectors,
			Sign:     pqcSigner(slhdsaSigner).with(digestContext, false),
			Verify:   pqcVerifier(slhdsaVerifier).with(digestContext, false),
			SelfTest: testHashSLHDSA,
		},
	)
	for i := range preHashes {
		h := &preHashes[i]
		if h.slhdsa == 0 {
			continue
		}
		read := hashContext(h)
		register(&Mechanism{
			Type: h.slhdsa, Param: (*SignAdditionalContext)(nil), Optional: true,
			Keys: keys, Min: min, Max: max, FIPS: true,
			Vectors:  vectors,
			Sign:     pqcSigner(slhdsaSigner).with(read, true),
			Verify:   pqcVerifier(slhdsaVerifier).with(read, true),
			SelfTest: func() error { return testHashSLHDSAWith(h) },
		})
	}
}

func slhdsaSet(id uint64, oid string) *pqcSet {
	p := slhdsaParameters[id]
	return &pqcSet{
		id: id, oid: oid, public: p.PublicSize(), private: p.PrivateSize(),
		expand: func(seed []byte) (public, private []byte, err error) {
			private, err = p.NewKey(seed[:p.SeedSize()])
			if err != nil {
				return nil, nil, err
			}
			return bytes.Clone(private[len(private)-p.PublicSize():]), private, nil
		},
		publicOf: func(private []byte) ([]byte, error) {
			return bytes.Clone(private[len(private)-p.PublicSize():]), nil
		},
		// The root must be that of the seeds. With the small parameter sets
		// this takes a tenth of the time of a signature.
		check: func(private []byte) error {
			again, err := p.NewKey(private[:p.SeedSize()])
			defer clear(again)
			if err == nil && subtle.ConstantTimeCompare(again, private) != 1 {
				err = errors.New("the root is of another key")
			}
			return err
		},
		// Every string of the right length is a public key.
		checkPublic: func([]byte) error { return nil },
	}
}

func slhdsaParametersOf(k *Key) (*slhdsa.Parameters, error) {
	set, err := slhdsaFamily.set(k)
	if err != nil {
		return nil, err
	}
	return slhdsaParameters[set.id], nil
}

func slhdsaSigner(k *Key, c *signContext) (int, func(dst, message []byte) (int, error), error) {
	p, err := slhdsaParametersOf(k)
	if err != nil {
		return 0, nil, err
	}
	private, err := privateValueOf(k)
	return p.SignatureSize(), func(dst, message []byte) (int, error) {
		var random []byte
		if !c.deterministic {
			random = make([]byte, p.RandomSize())
			if err := c.hedge(random); err != nil {
				return 0, err
			}
		}
		sig, err := p.Sign(private, c.anyMessage(message), random)
		if err != nil {
			return 0, fmt.Errorf("cannot sign: %w", ck.CKR_FUNCTION_FAILED)
		}
		return copy(dst, sig), nil
	}, err
}

func slhdsaVerifier(k *Key, c *signContext) (func(message, sig []byte) error, error) {
	p, err := slhdsaParametersOf(k)
	if err != nil {
		return nil, err
	}
	public, err := slhdsaFamily.publicValue(k)
	if err != nil {
		return nil, err
	}
	return checkingLength(p.SignatureSize(), func(message, sig []byte) bool {
		return p.Verify(public, c.anyMessage(message), sig)
	}), nil
}

// anyMessage is M' of a digest, or of a message.
func (c *signContext) anyMessage(message []byte) []byte {
	if c.hash != nil {
		return c.message(message)
	}
	m := append([]byte{0, byte(len(c.context))}, c.context...)
	return append(m, message...)
}
