package engine

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/cloudflare/circl/kem"
	"github.com/cloudflare/circl/kem/mlkem/mlkem1024"
	"github.com/cloudflare/circl/kem/mlkem/mlkem512"
	"github.com/cloudflare/circl/kem/mlkem/mlkem768"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/engine/internal/ct"
)

// ML-KEM (FIPS 203; PKCS#11 v3.2, section 6.68).

var mlkemSchemes = map[uint64]kem.Scheme{
	ck.CKP_ML_KEM_512:  mlkem512.Scheme(),
	ck.CKP_ML_KEM_768:  mlkem768.Scheme(),
	ck.CKP_ML_KEM_1024: mlkem1024.Scheme(),
}

var mlkemFamily = &pqcFamily{key: ck.CKK_ML_KEM, sets: []*pqcSet{
	mlkemSet(ck.CKP_ML_KEM_512, "2.16.840.1.101.3.4.4.1"),
	mlkemSet(ck.CKP_ML_KEM_768, "2.16.840.1.101.3.4.4.2"),
	mlkemSet(ck.CKP_ML_KEM_1024, "2.16.840.1.101.3.4.4.3"),
}}

func init() { later(mlkemMechanisms) }

func mlkemMechanisms() {
	registerKeyType(mlkemFamily.row())
	min, max := mlkemFamily.sizes()
	register(
		&Mechanism{
			Type: ck.CKM_ML_KEM_KEY_PAIR_GEN,
			Keys: []ck.KeyType{ck.CKK_ML_KEM}, Makes: ck.CKK_ML_KEM, Min: min, Max: max, FIPS: true,
			Vectors:      "NIST ACVP ML-KEM-keyGen; Wycheproof",
			GeneratePair: mlkemFamily.generate,
			SelfTest:     testGenerateMLKEM,
		},
		&Mechanism{
			Type: ck.CKM_ML_KEM,
			Keys: []ck.KeyType{ck.CKK_ML_KEM}, Min: min, Max: max, FIPS: true,
			Vectors:       "NIST ACVP ML-KEM-encapDecap; Wycheproof",
			Encapsulate:   mlkemEncapsulate,
			CiphertextLen: mlkemCiphertextLen,
			Decapsulate:   mlkemDecapsulate,
			SelfTest:      testMLKEM,
		},
	)
}

func mlkemSet(id uint64, oid string) *pqcSet {
	scheme := mlkemSchemes[id]
	return &pqcSet{
		id: id, oid: oid,
		public: scheme.PublicKeySize(), private: scheme.PrivateKeySize(), seed: scheme.SeedSize(),
		expand: func(seed []byte) (public, private []byte, err error) {
			pub, priv := scheme.DeriveKeyPair(seed)
			public, err1 := pub.MarshalBinary()
			private, err2 := priv.MarshalBinary()
			return public, private, errors.Join(err1, err2)
		},
		publicOf: func(private []byte) ([]byte, error) { return mlkemPublicOf(scheme, private) },
		// The check of the modulus (FIPS 203, section 7.2).
		checkPublic: func(public []byte) error {
			_, err := scheme.UnmarshalBinaryPublicKey(public)
			return err
		},
	}
}

// mlkemPublicOf is the encapsulation key in a decapsulation key. It has the
// checks of FIPS 203, section 7.3 (the hash) and 7.2 (the modulus), and that of
// the pair, section 7.1: what is encapsulated is found again.
func mlkemPublicOf(scheme kem.Scheme, private []byte) ([]byte, error) {
	priv, err := scheme.UnmarshalBinaryPrivateKey(private)
	if err != nil {
		return nil, err
	}
	public := private[scheme.PrivateKeySize()-64-scheme.PublicKeySize() : scheme.PrivateKeySize()-64]
	pub, err := scheme.UnmarshalBinaryPublicKey(public)
	if err != nil {
		return nil, err
	}
	ciphertext, secret, err := scheme.EncapsulateDeterministically(pub, make([]byte, scheme.EncapsulationSeedSize()))
	if err != nil {
		return nil, err
	}
	found, err := scheme.Decapsulate(priv, ciphertext)
	if err != nil {
		return nil, err
	}
	if ct.Reveal(ct.Equal(secret, found)) != 1 {
		return nil, errors.New("the two halves of the key do not belong together")
	}
	return bytes.Clone(public), nil
}

func mlkemScheme(k *Key) (kem.Scheme, error) {
	set, err := mlkemFamily.set(k)
	if err != nil {
		return nil, err
	}
	return mlkemSchemes[set.id], nil
}

// Keys of the library, in types by which Parsed can tell them apart.
type (
	mlkemPublic  struct{ kem.PublicKey }
	mlkemPrivate struct{ kem.PrivateKey }
)

var errMLKEMKey = fmt.Errorf("unusable ML-KEM key: %w", ck.CKR_KEY_TYPE_INCONSISTENT)

func parseMLKEMPublic(k *Key) (mlkemPublic, error) {
	value, err := mlkemFamily.publicValue(k)
	if err != nil {
		return mlkemPublic{}, err
	}
	scheme, err := mlkemScheme(k)
	if err != nil {
		return mlkemPublic{}, err
	}
	pub, err := scheme.UnmarshalBinaryPublicKey(value)
	if err != nil {
		return mlkemPublic{}, errMLKEMKey
	}
	return mlkemPublic{pub}, nil
}

func parseMLKEMPrivate(k *Key) (mlkemPrivate, error) {
	scheme, err := mlkemScheme(k)
	if err != nil {
		return mlkemPrivate{}, err
	}
	priv, err := scheme.UnmarshalBinaryPrivateKey(k.Value())
	if err != nil {
		return mlkemPrivate{}, errMLKEMKey
	}
	return mlkemPrivate{priv}, nil
}

func mlkemCiphertextLen(public *Key, p any) (int, error) {
	if err := noParam(p); err != nil {
		return 0, err
	}
	scheme, err := mlkemScheme(public)
	if err != nil {
		return 0, err
	}
	return scheme.CiphertextSize(), nil
}

func mlkemEncapsulate(public *Key, p any, d *Derivation) (ciphertext, secret []byte, err error) {
	if err := noParam(p); err != nil {
		return nil, nil, err
	}
	pub, err := Parsed(public, parseMLKEMPublic)
	if err != nil {
		return nil, nil, err
	}
	m := make([]byte, pub.Scheme().EncapsulationSeedSize())
	defer clear(m)
	if err := Random(m); err != nil {
		return nil, nil, fmt.Errorf("cannot encapsulate: %w", ck.CKR_FUNCTION_FAILED)
	}
	ciphertext, secret, err = pub.Scheme().EncapsulateDeterministically(pub.PublicKey, m)
	if err != nil {
		return nil, nil, fmt.Errorf("cannot encapsulate: %w", ck.CKR_FUNCTION_FAILED)
	}
	if secret, err = firstBytes(secret, d); err != nil {
		return nil, nil, err
	}
	return ciphertext, secret, nil
}

// mlkemDecapsulate finds the secret again. For a ciphertext that nobody made
// from the public key it finds another one, and no error (FIPS 203, algorithm
// 18: implicit rejection).
func mlkemDecapsulate(private *Key, p any, d *Derivation, ciphertext []byte) ([]byte, error) {
	if err := noParam(p); err != nil {
		return nil, err
	}
	priv, err := Parsed(private, parseMLKEMPrivate)
	if err != nil {
		return nil, err
	}
	if len(ciphertext) != priv.Scheme().CiphertextSize() {
		return nil, fmt.Errorf("an encapsulated key has %d bytes: %w", priv.Scheme().CiphertextSize(), ck.CKR_WRAPPED_KEY_LEN_RANGE)
	}
	secret, err := priv.Scheme().Decapsulate(priv.PrivateKey, ciphertext)
	if err != nil {
		return nil, fmt.Errorf("cannot decapsulate: %w", ck.CKR_FUNCTION_FAILED)
	}
	return firstBytes(secret, d)
}

// firstBytes is the secret, or as much of its beginning as the new key takes:
// each part of the secret is as good as the whole (SP 800-227, section 4.4).
func firstBytes(secret []byte, d *Derivation) ([]byte, error) {
	if d == nil || d.Len == 0 || d.Len == len(secret) {
		return secret, nil
	}
	if d.Len < 0 || d.Len > len(secret) {
		clear(secret)
		return nil, fmt.Errorf("the shared secret has %d bytes only: %w", len(secret), ck.CKR_KEY_SIZE_RANGE)
	}
	clear(secret[d.Len:])
	return secret[:d.Len:d.Len], nil
}
