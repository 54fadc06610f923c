package engine

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"sync"

	"github.com/perilune/perilune/cryptoki/ck"
)

// The self-tests of the post-quantum mechanisms. Their answers were published
// by others: see the head of selftest_pqc.txt.

//go:embed selftest_pqc.txt
var pqcAnswersText string

var pqcAnswers = sync.OnceValue(func() map[string]answer { return parseAnswers(pqcAnswersText) })

// testExpand checks what becomes of published seeds, in every parameter set
// that has a section.
func (f *pqcFamily) testExpand(sections map[uint64]string) error {
	for _, s := range f.sets {
		if sections[s.id] == "" {
			continue
		}
		a := pqcAnswers()[sections[s.id]]
		public, private, err := s.expand(a["seed"])
		if err != nil {
			return err
		}
		if sum := sha256.Sum256(append(public, private...)); !bytes.Equal(sum[:], a["hash"]) {
			return errWrongAnswer
		}
	}
	return nil
}

// testKey is a private key made from a published seed.
func (f *pqcFamily) testKey(id uint64, seed []byte) (*Key, error) {
	k := &Key{Class: ck.CKO_PRIVATE_KEY, Type: f.key, Attrs: []ck.Attribute{
		ck.NewULong(ck.CKA_PARAMETER_SET, id),
		ck.NewBytes(ck.CKA_SEED, seed),
	}}
	made, err := f.complete(k)
	k.Attrs = append(k.Attrs, made...)
	return k, err
}

// publicHalf is the public key that belongs to a private key.
func (f *pqcFamily) publicHalf(k *Key) (*Key, error) {
	value, err := f.publicValue(k)
	if err != nil {
		return nil, err
	}
	return &Key{Class: ck.CKO_PUBLIC_KEY, Type: f.key, Attrs: []ck.Attribute{
		*ck.Find(k.Attrs, ck.CKA_PARAMETER_SET),
		ck.NewBytes(ck.CKA_VALUE, value),
	}}, nil
}

func testGenerateMLKEM() error {
	return mlkemFamily.testExpand(map[uint64]string{
		ck.CKP_ML_KEM_512:  "ML-KEM-512 keygen",
		ck.CKP_ML_KEM_768:  "ML-KEM-768 keygen",
		ck.CKP_ML_KEM_1024: "ML-KEM-1024 keygen",
	})
}

// testMLKEM decapsulates published ciphertexts, and what it encapsulated.
func testMLKEM() error {
	for id, section := range map[uint64]string{
		ck.CKP_ML_KEM_512: "ML-KEM-512", ck.CKP_ML_KEM_768: "ML-KEM-768", ck.CKP_ML_KEM_1024: "ML-KEM-1024",
	} {
		a := pqcAnswers()[section]
		k, err := mlkemFamily.testKey(id, a["seed"])
		if err != nil {
			return err
		}
		secret, err := mlkemDecapsulate(k, nil, nil, a["ciphertext"])
		if err != nil {
			return err
		}
		if !bytes.Equal(secret, a["secret"]) {
			return errWrongAnswer
		}
		if err := testEncapsulate(k); err != nil {
			return err
		}
	}
	return nil
}

func testEncapsulate(k *Key) error {
	pub, err := mlkemFamily.publicHalf(k)
	if err != nil {
		return err
	}
	ciphertext, secret, err := mlkemEncapsulate(pub, nil, nil)
	if err != nil {
		return err
	}
	found, err := mlkemDecapsulate(k, nil, nil, ciphertext)
	if err != nil {
		return err
	}
	if !bytes.Equal(found, secret) {
		return errWrongAnswer
	}
	return nil
}

func testGenerateMLDSA() error {
	return mldsaFamily.testExpand(map[uint64]string{
		ck.CKP_ML_DSA_44: "ML-DSA-44 keygen",
		ck.CKP_ML_DSA_65: "ML-DSA-65 keygen",
		ck.CKP_ML_DSA_87: "ML-DSA-87 keygen",
	})
}

// testHashed makes a deterministic signature of data, whose hash was published,
// and verifies it.
func (f *pqcFamily) testHashed(m *Mechanism, k *Key, p any, data, hash []byte) error {
	op, err := m.Sign(k, p)
	if err != nil {
		return err
	}
	n, _ := op.FinishLen(len(data))
	sig := make([]byte, n)
	if _, err := op.Finish(sig, data); err != nil {
		return err
	}
	if sum := sha256.Sum256(sig); !bytes.Equal(sum[:], hash) {
		return errWrongAnswer
	}
	pub, err := f.publicHalf(k)
	if err != nil {
		return err
	}
	return expectSignature(m.Verify, pub, p, data, sig)
}

func testMLDSA() error {
	for id, section := range map[uint64]string{
		ck.CKP_ML_DSA_44: "ML-DSA-44", ck.CKP_ML_DSA_65: "ML-DSA-65", ck.CKP_ML_DSA_87: "ML-DSA-87",
	} {
		a := pqcAnswers()[section]
		k, err := mldsaFamily.testKey(id, a["seed"])
		if err != nil {
			return err
		}
		p := &SignAdditionalContext{ck.CKH_DETERMINISTIC_REQUIRED, a["context"]}
		if err := mldsaFamily.testHashed(Find(ck.CKM_ML_DSA), k, p, a["message"], a["hash"]); err != nil {
			return err
		}
	}
	return nil
}

func testHashMLDSA() error { return testHashMLDSADigest(&preHashes[1]) }

// testHashMLDSADigest signs the digest of a published message.
func testHashMLDSADigest(h *preHash) error {
	a := pqcAnswers()[h.mldsa.String()]
	k := &Key{Class: ck.CKO_PRIVATE_KEY, Type: ck.CKK_ML_DSA, Attrs: []ck.Attribute{
		ck.NewULong(ck.CKA_PARAMETER_SET, uint64(ck.CKP_ML_DSA_44)),
		ck.NewBytes(ck.CKA_VALUE, a["private"]),
	}}
	p := &HashSignAdditionalContext{ck.CKH_DETERMINISTIC_REQUIRED, a["context"], h.digest}
	return mldsaFamily.testHashed(Find(ck.CKM_HASH_ML_DSA), k, p, a["digest"], a["hash"])
}

// testHashMLDSAWith tests a row that hashes the message: against the row that
// takes the digest, and against a published signature. For some hashes that is
// one of SLH-DSA, which has the hash and what is made of it in common.
func testHashMLDSAWith(h *preHash) error {
	test := testHashMLDSADigest
	if pqcAnswers()[h.mldsa.String()] == nil {
		test = testHashSLHDSAWith
	}
	if err := test(h); err != nil {
		return err
	}
	k, err := mldsaFamily.testKey(ck.CKP_ML_DSA_44, pqcAnswers()["ML-DSA-44"]["seed"])
	if err != nil {
		return err
	}
	message := []byte("abc")
	op, err := Find(h.mldsa).Sign(k, nil)
	if err != nil {
		return err
	}
	v, err := Find(ck.CKM_HASH_ML_DSA).Verify(k, &HashSignAdditionalContext{Hash: h.digest})
	if err != nil {
		return err
	}
	n, _ := op.FinishLen(len(message))
	sig := make([]byte, n)
	if _, err := op.Finish(sig, message); err != nil {
		return err
	}
	digest := h.new()
	digest.Write(message)
	return v.Verify(digest.Sum(nil), sig)
}

func testGenerateSLHDSA() error {
	return slhdsaFamily.testExpand(map[uint64]string{
		ck.CKP_SLH_DSA_SHA2_128F:  "SLH-DSA-SHA2-128f keygen",
		ck.CKP_SLH_DSA_SHA2_192F:  "SLH-DSA-SHA2-192f keygen",
		ck.CKP_SLH_DSA_SHAKE_128F: "SLH-DSA-SHAKE-128f keygen",
	})
}

// slhdsaTestKey is a published key. The parameter sets for fast signatures have
// the same code as the others.
func slhdsaTestKey(a answer) *Key {
	return &Key{Class: ck.CKO_PRIVATE_KEY, Type: ck.CKK_SLH_DSA, Attrs: []ck.Attribute{
		ck.NewULong(ck.CKA_PARAMETER_SET, uint64(a["set"][0])),
		ck.NewBytes(ck.CKA_VALUE, a["private"]),
	}}
}

func testSLHDSA() error {
	for _, section := range []string{"SLH-DSA-SHA2-128f", "SLH-DSA-SHA2-192f", "SLH-DSA-SHAKE-128f"} {
		a := pqcAnswers()[section]
		p := &SignAdditionalContext{ck.CKH_DETERMINISTIC_REQUIRED, a["context"]}
		if err := slhdsaFamily.testHashed(Find(ck.CKM_SLH_DSA), slhdsaTestKey(a), p, a["message"], a["hash"]); err != nil {
			return err
		}
	}
	return nil
}

func testHashSLHDSA() error {
	h := &preHashes[1]
	a := pqcAnswers()[h.slhdsa.String()]
	digest := h.new()
	digest.Write(a["message"])
	p := &HashSignAdditionalContext{ck.CKH_DETERMINISTIC_REQUIRED, a["context"], h.digest}
	return slhdsaFamily.testHashed(Find(ck.CKM_HASH_SLH_DSA), slhdsaTestKey(a), p, digest.Sum(nil), a["hash"])
}

func testHashSLHDSAWith(h *preHash) error {
	a := pqcAnswers()[h.slhdsa.String()]
	p := &SignAdditionalContext{ck.CKH_DETERMINISTIC_REQUIRED, a["context"]}
	return slhdsaFamily.testHashed(Find(h.slhdsa), slhdsaTestKey(a), p, a["message"], a["hash"])
}

func testHSS() error {
	for _, section := range []string{"hss", "hss shake"} {
		a := pqcAnswers()[section]
		k := &Key{Class: ck.CKO_PUBLIC_KEY, Type: ck.CKK_HSS, Attrs: []ck.Attribute{ck.NewBytes(ck.CKA_VALUE, a["public"])}}
		if err := expectSignature(hssVerify, k, nil, a["message"], a["signature"]); err != nil {
			return err
		}
	}
	return nil
}

func testXMSS(m ck.MechanismType, t ck.KeyType) error {
	a := pqcAnswers()[m.String()]
	k := &Key{Class: ck.CKO_PUBLIC_KEY, Type: t, Attrs: []ck.Attribute{ck.NewBytes(ck.CKA_VALUE, a["public"])}}
	return expectSignature(xmssVerify, k, nil, a["message"], a["signature"])
}
