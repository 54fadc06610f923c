package engine

import (
	"crypto/sha512"
	"fmt"
	"hash"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/engine/internal/dl"
)

// KCDSA (TTAK.KO-12.0001, ISO/IEC 14888-3), under the numbers of devices. A
// signature is r, as long as a digest or as the order of the group, whichever is
// shorter, and s, as long as the order.
//
// KCDSA hashes z before the message: data that stand for the signer's
// certificate, as many bits as the hash function has in a block. They are the
// last bits of the public value: so says the current text of the standard, and
// nShield documents the same for its CKM_KCDSA_* mechanisms.
//
// Nobody documents what CKM_KCDSA_*_NO_PAD are. We take the padding for z, the
// only thing that KCDSA adds to a message: these mechanisms hash what they are
// given and nothing else, which serves callers who put a z of their own in front,
// such as the certificate's hash in the first text of the standard.

// Lengths of the prime in bits.
const (
	kcdsaMinBits = 1024
	kcdsaMaxBits = 3072
)

var kcdsaKeys = []ck.KeyType{ck.CKK_KCDSA}

func init() { later(kcdsaMechanisms) }

func kcdsaMechanisms() {
	row := func(m *Mechanism) *Mechanism {
		m.Korean, m.Min, m.Max = true, kcdsaMinBits, kcdsaMaxBits
		return m
	}
	register(
		row(&Mechanism{
			Type: ck.CKM_KCDSA_PARAMETER_GEN, Makes: ck.CKK_KCDSA, Vectors: "TTAK.KO-12.0001/R4 annex II",
			GenerateParameters: generateKCDSAParameters, SelfTest: testKCDSAParameters,
		}),
		row(&Mechanism{
			Type: ck.CKM_KCDSA_KEY_PAIR_GEN, Makes: ck.CKK_KCDSA, Vectors: "TTAK.KO-12.0001/R4 annex II (public key of a private one)",
			GeneratePair: kcdsaType.generatePair, SelfTest: testGenerateKCDSA,
		}),
	)
	for _, r := range []struct {
		padded, plain ck.MechanismType
		hash          ck.MechanismType
		answer        string
	}{
		{ck.CKM_KCDSA_HAS160, ck.CKM_KCDSA_HAS160_NO_PAD, ck.CKM_HAS160, "kcdsa-has160"},
		{ck.CKM_KCDSA_SHA1, ck.CKM_KCDSA_SHA1_NO_PAD, ck.CKM_SHA_1, ""},
		{ck.CKM_KCDSA_SHA224, ck.CKM_KCDSA_SHA224_NO_PAD, ck.CKM_SHA224, "kcdsa-sha224"},
		{ck.CKM_KCDSA_SHA256, ck.CKM_KCDSA_SHA256_NO_PAD, ck.CKM_SHA256, "kcdsa-sha256"},
		{ck.CKM_KCDSA_SHA384, ck.CKM_KCDSA_SHA384_NO_PAD, ck.CKM_SHA384, ""},
		{ck.CKM_KCDSA_SHA512, ck.CKM_KCDSA_SHA512_NO_PAD, ck.CKM_SHA512, ""},
	} {
		f := kcdsaHash{newHash: findHash(r.hash).new, prefix: true, answer: r.answer}
		register(row(f.row(r.padded)))
		f.prefix = false
		register(row(f.row(r.plain)))
	}
}

// kcdsaHash is KCDSA with a hash function.
type kcdsaHash struct {
	newHash func() hash.Hash
	prefix  bool   // z goes before the message
	answer  string // the section of the published answer, if there is one
}

func (f kcdsaHash) row(t ck.MechanismType) *Mechanism {
	vectors := "KCDSA and the hash function have their own"
	if f.answer != "" {
		vectors = "TTAK.KO-12.0001/R4 annex II"
	}
	return &Mechanism{
		Type: t, Keys: kcdsaKeys, Vectors: vectors,
		Sign: f.sign, Verify: f.verify,
		SelfTest: func() error { return testKCDSA(t, f) },
	}
}

// kcdsaKey is a key ready to use.
type kcdsaKey struct {
	*dl.Group
	signer *dl.Signer // of a private key
	y      []byte
}

func parseKCDSA(k *Key, p any) (*kcdsaKey, error) {
	if err := noParam(p); err != nil {
		return nil, err
	}
	return Parsed(k, func(k *Key) (*kcdsaKey, error) {
		g, y, err := kcdsaType.publicValue(k)
		if err != nil {
			return nil, err
		}
		key := &kcdsaKey{Group: g, y: y}
		if k.Class != ck.CKO_PRIVATE_KEY {
			return key, nil
		}
		x, err := g.CheckPrivate(k.Value())
		if err != nil {
			return nil, dlError(err)
		}
		key.signer, err = g.NewSigner(x)
		return key, dlError(err)
	})
}

// start is the digest of a message, with z before it.
func (f kcdsaHash) start(key *kcdsaKey) *hasher {
	h := f.newHash()
	if f.prefix {
		h.Write(dl.KCDSA(f.newHash).Prefix(key.y))
	}
	return &hasher{Hash: h}
}

func (f kcdsaHash) sign(k *Key, p any) (Op, error) {
	key, err := parseKCDSA(k, p)
	if err != nil {
		return nil, err
	}
	if key.signer == nil {
		return nil, ck.CKR_KEY_TYPE_INCONSISTENT
	}
	scheme := dl.KCDSA(f.newHash)
	return newHashedOp(f.start(key), scheme.Size(key.Group), signFunc(func(dst, digest []byte) (int, error) {
		random, err := hedge()
		if err != nil {
			return 0, err
		}
		sig, err := scheme.Sign(key.signer, digest, random, sha512.New)
		if err != nil {
			return 0, fmt.Errorf("cannot sign: %w", ck.CKR_FUNCTION_FAILED)
		}
		return copy(dst, sig), nil
	})), nil
}

func (f kcdsaHash) verify(k *Key, p any) (Verifier, error) {
	key, err := parseKCDSA(k, p)
	if err != nil {
		return nil, err
	}
	scheme := dl.KCDSA(f.newHash)
	return newHashedVerifier(f.start(key), verifyFunc(func(digest, sig []byte) error {
		if len(sig) != scheme.Size(key.Group) {
			return ck.CKR_SIGNATURE_LEN_RANGE
		}
		if !scheme.Verify(key.Group, key.y, digest, sig) {
			return ck.CKR_SIGNATURE_INVALID
		}
		return nil
	})), nil
}

// generateKCDSAParameters makes parameters of the lengths that the texts of the
// standard have had: primes of 1024 to 3072 bits in steps of 256, and orders of
// 160 to 256 bits in steps of 32.
func generateKCDSAParameters(p any, template []ck.Attribute) ([]ck.Attribute, error) {
	if err := noParam(p); err != nil {
		return nil, err
	}
	if err := refuseValues(template, ck.CKA_PRIME, ck.CKA_SUBPRIME, ck.CKA_BASE); err != nil {
		return nil, err
	}
	prime, err := templateBits(template, ck.CKA_PRIME_BITS, 0)
	if err != nil {
		return nil, err
	}
	usual := 256
	switch {
	case prime < 2048:
		usual = 160
	case prime == 2048:
		usual = 224
	}
	order, err := templateBits(template, ck.CKA_SUBPRIME_BITS, usual)
	if err != nil {
		return nil, err
	}
	if !kcdsaType.fits(prime, order) || prime%256 != 0 {
		return nil, fmt.Errorf("KCDSA has no parameters of %d and %d bits: %w", prime, order, ck.CKR_KEY_SIZE_RANGE)
	}
	return newKCDSAParameters(Random, findHash(ck.CKM_SHA256).new, prime, order)
}

func newKCDSAParameters(random func([]byte) error, newHash func() hash.Hash, prime, order int) ([]ck.Attribute, error) {
	g, err := dl.KCDSA(newHash).NewGroup(random, prime, order)
	if err != nil {
		return nil, dlError(err)
	}
	return kcdsaType.attributes(g), nil
}
