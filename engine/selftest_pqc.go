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
