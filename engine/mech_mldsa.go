package engine

import (
	"crypto/sha3"
	"errors"
	"fmt"

	circl "github.com/cloudflare/circl/sign"
	"github.com/cloudflare/circl/sign/mldsa/mldsa44"
	"github.com/cloudflare/circl/sign/mldsa/mldsa65"
	"github.com/cloudflare/circl/sign/mldsa/mldsa87"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/engine/internal/mldsa"
)

// ML-DSA (FIPS 204; PKCS#11 v3.2, section 6.67). Messages are signed by the
// library, digests (HashML-DSA), which it does not know, by our own code.

// mldsaCode is what computes in one parameter set.
type mldsaCode struct {
	scheme circl.Scheme
	own    *mldsa.Parameters
	sign   func(k circl.PrivateKey, message, context []byte, hedged bool, sig []byte) error
}

var mldsaCodes = map[uint64]*mldsaCode{
	ck.CKP_ML_DSA_44: {mldsa44.Scheme(), mldsa.MLDSA44, func(k circl.PrivateKey, message, context []byte, hedged bool, sig []byte) error {
		return mldsa44.SignTo(k.(*mldsa44.PrivateKey), message, context, hedged, sig)
	}},
	ck.CKP_ML_DSA_65: {mldsa65.Scheme(), mldsa.MLDSA65, func(k circl.PrivateKey, message, context []byte, hedged bool, sig []byte) error {
		return mldsa65.SignTo(k.(*mldsa65.PrivateKey), message, context, hedged, sig)
	}},
	ck.CKP_ML_DSA_87: {mldsa87.Scheme(), mldsa.MLDSA87, func(k circl.PrivateKey, message, context []byte, hedged bool, sig []byte) error {
		return mldsa87.SignTo(k.(*mldsa87.PrivateKey), message, context, hedged, sig)
	}},
}

var mldsaFamily = &pqcFamily{key: ck.CKK_ML_DSA, sets: []*pqcSet{
	mldsaSet(ck.CKP_ML_DSA_44, "2.16.840.1.101.3.4.3.17"),
	mldsaSet(ck.CKP_ML_DSA_65, "2.16.840.1.101.3.4.3.18"),
	mldsaSet(ck.CKP_ML_DSA_87, "2.16.840.1.101.3.4.3.19"),
}}

func init() { later(mldsaMechanisms) }

func mldsaMechanisms() {
	registerKeyType(mldsaFamily.row())
	min, max := mldsaFamily.sizes()
	keys := []ck.KeyType{ck.CKK_ML_DSA}
	register(
		&Mechanism{
			Type: ck.CKM_ML_DSA_KEY_PAIR_GEN,
			Keys: keys, Makes: ck.CKK_ML_DSA, Min: min, Max: max, FIPS: true,
			Vectors:      "NIST ACVP ML-DSA-keyGen; Wycheproof",
			GeneratePair: mldsaFamily.generate,
			SelfTest:     testGenerateMLDSA,
		},
		&Mechanism{
			Type: ck.CKM_ML_DSA, Param: (*SignAdditionalContext)(nil), Optional: true,
			Keys: keys, Min: min, Max: max, FIPS: true,
			Vectors:  "NIST ACVP ML-DSA-sigGen and -sigVer; Wycheproof",
			Sign:     pqcSigner(mldsaSigner).with(pureContext, true),
			Verify:   pqcVerifier(mldsaVerifier).with(pureContext, true),
			SelfTest: testMLDSA,
		},
		&Mechanism{
			Type: ck.CKM_HASH_ML_DSA, Param: (*HashSignAdditionalContext)(nil),
			Keys: keys, Min: min, Max: max, FIPS: true,
			Vectors:  "NIST ACVP ML-DSA-sigGen; Wycheproof (signatures of µ)",
			Sign:     pqcSigner(mldsaSigner).with(digestContext, false),
			Verify:   pqcVerifier(mldsaVerifier).with(digestContext, false),
			SelfTest: testHashMLDSA,
		},
	)
	for i := range preHashes {
		h := &preHashes[i]
		if h.mldsa == 0 {
			continue
		}
		read := hashContext(h)
		register(&Mechanism{
			Type: h.mldsa, Param: (*SignAdditionalContext)(nil), Optional: true,
			Keys: keys, Min: min, Max: max, FIPS: true,
			Vectors:  "NIST ACVP ML-DSA-sigGen, or where that has none SLH-DSA-sigGen for the hash",
			Sign:     pqcSigner(mldsaSigner).with(read, true),
			Verify:   pqcVerifier(mldsaVerifier).with(read, true),
			SelfTest: func() error { return testHashMLDSAWith(h) },
		})
	}
}

func mldsaSet(id uint64, oid string) *pqcSet {
	code := mldsaCodes[id]
	return &pqcSet{
		id: id, oid: oid,
		public: code.scheme.PublicKeySize(), private: code.scheme.PrivateKeySize(), seed: code.scheme.SeedSize(),
		expand: func(seed []byte) (public, private []byte, err error) {
			pub, priv := code.scheme.DeriveKey(seed)
			public, err1 := pub.MarshalBinary()
			private, err2 := priv.MarshalBinary()
			return public, private, errors.Join(err1, err2)
		},
		publicOf: func(private []byte) ([]byte, error) {
			k, err := mldsa.NewPrivateKey(code.own, private)
			if err != nil {
				return nil, err
			}
			return k.Public(), nil
		},
		// Every string of the right length is a public key.
		checkPublic: func([]byte) error { return nil },
	}
}

func mldsaCodeOf(k *Key) (*mldsaCode, error) {
	set, err := mldsaFamily.set(k)
	if err != nil {
		return nil, err
	}
	return mldsaCodes[set.id], nil
}

var errMLDSAKey = fmt.Errorf("unusable ML-DSA key: %w", ck.CKR_KEY_TYPE_INCONSISTENT)

// parseMLDSA reads a key with one of the functions for it.
func parseMLDSA[T any](read func(code *mldsaCode, value []byte) (T, error), value func(*Key) ([]byte, error)) func(*Key) (T, error) {
	return func(k *Key) (T, error) {
		var none T
		code, err := mldsaCodeOf(k)
		if err != nil {
			return none, err
		}
		b, err := value(k)
		if err != nil {
			return none, err
		}
		parsed, err := read(code, b)
		if err != nil {
			return none, errMLDSAKey
		}
		return parsed, nil
	}
}

func privateValueOf(k *Key) ([]byte, error) {
	if k.Class != ck.CKO_PRIVATE_KEY {
		return nil, ck.CKR_KEY_TYPE_INCONSISTENT
	}
	return k.Value(), nil
}

// Keys of the library, in types by which Parsed can tell them apart.
type (
	mldsaPrivate struct{ circl.PrivateKey }
	mldsaPublic  struct{ circl.PublicKey }
)

var (
	parseMLDSAPrivate = parseMLDSA(func(c *mldsaCode, b []byte) (mldsaPrivate, error) {
		k, err := c.scheme.UnmarshalBinaryPrivateKey(b)
		return mldsaPrivate{k}, err
	}, privateValueOf)
	parseMLDSAPublic = parseMLDSA(func(c *mldsaCode, b []byte) (mldsaPublic, error) {
		k, err := c.scheme.UnmarshalBinaryPublicKey(b)
		return mldsaPublic{k}, err
	}, mldsaFamily.publicValue)
	parseOwnMLDSAPrivate = parseMLDSA(func(c *mldsaCode, b []byte) (*mldsa.PrivateKey, error) {
		return mldsa.NewPrivateKey(c.own, b)
	}, privateValueOf)
	parseOwnMLDSAPublic = parseMLDSA(func(c *mldsaCode, b []byte) (*mldsa.PublicKey, error) {
		return mldsa.NewPublicKey(c.own, b)
	}, mldsaFamily.publicValue)
)

func mldsaSigner(k *Key, c *signContext) (int, func(dst, message []byte) (int, error), error) {
	code, err := mldsaCodeOf(k)
	if err != nil {
		return 0, nil, err
	}
	size := code.scheme.SignatureSize()
	if c.hash != nil {
		priv, err := Parsed(k, parseOwnMLDSAPrivate)
		return size, func(dst, digest []byte) (int, error) { return mldsaSignDigest(priv, c, dst, digest) }, err
	}
	priv, err := Parsed(k, parseMLDSAPrivate)
	return size, func(dst, message []byte) (int, error) {
		sig := make([]byte, size)
		if err := code.sign(priv.PrivateKey, message, c.context, !c.deterministic, sig); err != nil {
			return 0, fmt.Errorf("cannot sign: %w", ck.CKR_FUNCTION_FAILED)
		}
		return copy(dst, sig), nil
	}, err
}

func mldsaSignDigest(priv *mldsa.PrivateKey, c *signContext, dst, digest []byte) (int, error) {
	var random [mldsa.RandomSize]byte
	if err := c.hedge(random[:]); err != nil {
		return 0, err
	}
	sig := priv.Sign(c.mu(priv.Hash(), digest), &random)
	if sig == nil {
		return 0, fmt.Errorf("cannot sign: %w", ck.CKR_FUNCTION_FAILED)
	}
	return copy(dst, sig), nil
}

// mu is the message representative of a digest (FIPS 204, algorithm 7, line 6).
func (c *signContext) mu(hash, digest []byte) *[mldsa.MuSize]byte {
	var mu [mldsa.MuSize]byte
	h := sha3.NewSHAKE256()
	h.Write(hash)
	h.Write(c.message(digest))
	h.Read(mu[:])
	return &mu
}

func mldsaVerifier(k *Key, c *signContext) (func(message, sig []byte) error, error) {
	code, err := mldsaCodeOf(k)
	if err != nil {
		return nil, err
	}
	var valid func(message, sig []byte) bool
	if c.hash != nil {
		pub, err := Parsed(k, parseOwnMLDSAPublic)
		if err != nil {
			return nil, err
		}
		valid = func(digest, sig []byte) bool { return pub.Verify(c.mu(pub.Hash(), digest), sig) }
	} else {
		pub, err := Parsed(k, parseMLDSAPublic)
		if err != nil {
			return nil, err
		}
		o := &circl.SignatureOpts{Context: string(c.context)}
		valid = func(message, sig []byte) bool { return code.scheme.Verify(pub.PublicKey, message, sig, o) }
	}
	return checkingLength(code.scheme.SignatureSize(), valid), nil
}
