package oracle

import (
	"crypto/mlkem"
	"crypto/sha3"

	"filippo.io/mldsa"
	"filippo.io/mldsa/mldsacrypto"

	"github.com/perilune/perilune/cryptoki/ck"
)

// ML-KEM and ML-DSA in their final form are in Go's standard library and in a
// module by the same author; the library under test has them from elsewhere.

var (
	goMLKEM = &oracle{name: "Go's crypto/mlkem", ready: func() error { return nil }}
	goMLDSA = &oracle{name: "filippo.io/mldsa", ready: func() error { return nil }}
)

func init() {
	compare(goMLKEM, kemGenerates, ck.CKM_ML_KEM_KEY_PAIR_GEN)
	compare(goMLKEM, kem, ck.CKM_ML_KEM)
	compare(goMLDSA, mldsaGenerates, ck.CKM_ML_DSA_KEY_PAIR_GEN)
	compare(goMLDSA, mldsaPure, ck.CKM_ML_DSA)
	for m, own := range sorted(map[ck.MechanismType]ck.MechanismType{
		ck.CKM_HASH_ML_DSA_SHA224: ck.CKM_HASH_SLH_DSA_SHA224, ck.CKM_HASH_ML_DSA_SHA256: ck.CKM_HASH_SLH_DSA_SHA256,
		ck.CKM_HASH_ML_DSA_SHA384: ck.CKM_HASH_SLH_DSA_SHA384, ck.CKM_HASH_ML_DSA_SHA512: ck.CKM_HASH_SLH_DSA_SHA512,
		ck.CKM_HASH_ML_DSA_SHA3_224: ck.CKM_HASH_SLH_DSA_SHA3_224, ck.CKM_HASH_ML_DSA_SHA3_256: ck.CKM_HASH_SLH_DSA_SHA3_256,
		ck.CKM_HASH_ML_DSA_SHA3_384: ck.CKM_HASH_SLH_DSA_SHA3_384, ck.CKM_HASH_ML_DSA_SHA3_512: ck.CKM_HASH_SLH_DSA_SHA3_512,
		ck.CKM_HASH_ML_DSA_SHAKE128: ck.CKM_HASH_SLH_DSA_SHAKE128, ck.CKM_HASH_ML_DSA_SHAKE256: ck.CKM_HASH_SLH_DSA_SHAKE256,
	}) {
		compare(goMLDSA, mldsaHashed(preHashes[own]), m, ck.CKM_HASH_ML_DSA)
	}
}

// encapsulator is a public key of either size.
type encapsulator interface {
	Bytes() []byte
	Encapsulate() (sharedKey, ciphertext []byte)
}

// decapsulator is a private key, with the bytes of its public one.
type decapsulator struct {
	public      []byte
	decapsulate func(ciphertext []byte) ([]byte, error)
	other       encapsulator
}

// kemKey makes Go's keys of a seed.
func (c *check) kemKey(set uint64, seed []byte) decapsulator {
	c.Helper()
	if set == uint64(ck.CKP_ML_KEM_768) {
		k, err := mlkem.NewDecapsulationKey768(seed)
		if err != nil {
			c.Fatal(err)
		}
		return decapsulator{k.EncapsulationKey().Bytes(), k.Decapsulate, k.EncapsulationKey()}
	}
	k, err := mlkem.NewDecapsulationKey1024(seed)
	if err != nil {
		c.Fatal(err)
	}
	return decapsulator{k.EncapsulationKey().Bytes(), k.Decapsulate, k.EncapsulationKey()}
}

// kemSets are those that Go has.
var kemSets = []uint64{uint64(ck.CKP_ML_KEM_768), uint64(ck.CKP_ML_KEM_1024)}

// generatedPair has the module make a pair of a parameter set, and reads the seed
// and the public value.
func (c *check) generatedPair(m ck.MechanismType, set uint64, publicUse, privateUse ck.AttributeType) (pub, priv uint64, seed, public []byte) {
	c.Helper()
	pub, priv, rv := mod.GeneratePair(c.a, session, c.mechOf(m, nil), append(bools(true, publicUse), ck.NewULong(ck.CKA_PARAMETER_SET, set)),
		append(bools(true, privateUse, ck.CKA_EXTRACTABLE), ck.NewBool(ck.CKA_SENSITIVE, false)))
	c.good("C_GenerateKeyPair", rv)
	c.keep(pub)
	c.keep(priv)
	return pub, priv, c.get(priv, ck.CKA_SEED), c.get(pub, ck.CKA_VALUE)
}

func kemGenerates(c *check) {
	for _, set := range kemSets {
		for range 3 {
			_, _, seed, public := c.generatedPair(c.m, set, ck.CKA_ENCAPSULATE, ck.CKA_DECAPSULATE)
			c.equal("public key", public, c.kemKey(set, seed).public)
		}
	}
}

func kem(c *check) {
	for _, set := range kemSets {
		pub, priv, seed, _ := c.generatedPair(ck.CKM_ML_KEM_KEY_PAIR_GEN, set, ck.CKA_ENCAPSULATE, ck.CKA_DECAPSULATE)
		k := c.kemKey(set, seed)
		for range 5 {
			ciphertext, o, rv := mod.Encapsulate(c.a, session, c.mech(nil), pub, derivedTemplate(0)...)
			c.good("C_EncapsulateKey", rv)
			want, err := k.decapsulate(ciphertext)
			if err != nil {
				c.Fatal(err)
			}
			c.equal("secret that we encapsulated", c.get(c.keep(o), ck.CKA_VALUE), want)

			want, ciphertext = k.other.Encapsulate()
			o, rv = mod.Decapsulate(c.a, session, c.mech(nil), priv, ciphertext, derivedTemplate(0)...)
			c.good("C_DecapsulateKey", rv)
			c.equal("secret that Go encapsulated", c.get(c.keep(o), ck.CKA_VALUE), want)

			// A wrong ciphertext gives a secret too, and that is defined.
			ciphertext[7] ^= 1
			if want, err = k.decapsulate(ciphertext); err != nil {
				c.Fatal(err)
			}
			o, rv = mod.Decapsulate(c.a, session, c.mech(nil), priv, ciphertext, derivedTemplate(0)...)
			c.good("C_DecapsulateKey of a wrong ciphertext", rv)
			c.equal("secret of a wrong ciphertext", c.get(c.keep(o), ck.CKA_VALUE), want)
		}
	}
}

var mldsaSets = map[uint64]mldsa.Parameters{
	uint64(ck.CKP_ML_DSA_44): mldsa.MLDSA44(), uint64(ck.CKP_ML_DSA_65): mldsa.MLDSA65(), uint64(ck.CKP_ML_DSA_87): mldsa.MLDSA87(),
}

// mldsaKey makes a pair in the module, and the same elsewhere.
func (c *check) mldsaKey(set uint64) (pub, priv uint64, k *mldsa.PrivateKey) {
	c.Helper()
	pub, priv, seed, public := c.generatedPair(ck.CKM_ML_DSA_KEY_PAIR_GEN, set, ck.CKA_VERIFY, ck.CKA_SIGN)
	k, err := mldsa.NewPrivateKey(mldsaSets[set], seed)
	if err != nil {
		c.Fatal(err)
	}
	c.equal("public key", public, k.PublicKey().Bytes())
	return pub, priv, k
}

func mldsaGenerates(c *check) {
	for set := range sorted(mldsaSets) {
		for range 3 {
			c.mldsaKey(set)
		}
	}
}

// deterministic is CKH_DETERMINISTIC_REQUIRED.
const deterministic = uint64(ck.CKH_DETERMINISTIC_REQUIRED)

func mldsaPure(c *check) {
	for set := range sorted(mldsaSets) {
		pub, priv, k := c.mldsaKey(set)
		for _, n := range []int{0, 1, 255} {
			for _, size := range []int{0, 1, 1000} {
				context, m := c.bytes(n), c.bytes(size)
				opts := &mldsa.Options{Context: string(context)}
				param := func(hedge uint64) []byte { return words(hedge, c.a.Ptr(context), uint64(n)) }
				got, rv := mod.Single(c.a, mod.Signing(), session, c.mech(param(0)), priv, m)
				c.good("C_Sign", rv)
				c.compared++
				if err := mldsa.Verify(k.PublicKey(), m, got, opts); err != nil {
					c.Errorf("a signature of the module: %v", err)
				}
				want, err := k.SignDeterministic(m, opts)
				if err != nil {
					c.Fatal(err)
				}
				got, rv = mod.Single(c.a, mod.Signing(), session, c.mech(param(deterministic)), priv, m)
				c.good("C_Sign", rv)
				c.equal("deterministic signature", got, want)
				want, err = k.Sign(nil, m, opts)
				if err != nil {
					c.Fatal(err)
				}
				c.verifies(param(0), pub, m, want)
			}
		}
	}
}

// preHash is a function that hashes the message before ML-DSA and SLH-DSA.
type preHash struct {
	digest  ck.MechanismType
	arc     byte // the last one of its identifier
	openssl string
	size    int // where that is to be said
}

// preHashes are listed by the mechanisms of SLH-DSA.
var preHashes = map[ck.MechanismType]preHash{
	ck.CKM_HASH_SLH_DSA_SHA224: {ck.CKM_SHA224, 4, "SHA224", 0}, ck.CKM_HASH_SLH_DSA_SHA256: {ck.CKM_SHA256, 1, "SHA256", 0},
	ck.CKM_HASH_SLH_DSA_SHA384: {ck.CKM_SHA384, 2, "SHA384", 0}, ck.CKM_HASH_SLH_DSA_SHA512: {ck.CKM_SHA512, 3, "SHA512", 0},
	ck.CKM_HASH_SLH_DSA_SHA3_224: {ck.CKM_SHA3_224, 7, "SHA3-224", 0}, ck.CKM_HASH_SLH_DSA_SHA3_256: {ck.CKM_SHA3_256, 8, "SHA3-256", 0},
	ck.CKM_HASH_SLH_DSA_SHA3_384: {ck.CKM_SHA3_384, 9, "SHA3-384", 0}, ck.CKM_HASH_SLH_DSA_SHA3_512: {ck.CKM_SHA3_512, 10, "SHA3-512", 0},
	ck.CKM_HASH_SLH_DSA_SHAKE128: {ck.CKM_SHAKE_128_KEY_DERIVATION, 11, "SHAKE128", 32},
	ck.CKM_HASH_SLH_DSA_SHAKE256: {ck.CKM_SHAKE_256_KEY_DERIVATION, 12, "SHAKE256", 64},
}

// signed is what is signed in the place of a message (FIPS 204, algorithm 4;
// FIPS 205, algorithm 23).
func (h preHash) signed(context, digest []byte) []byte {
	return cat([]byte{1, byte(len(context))}, context, []byte{6, 9, 0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, h.arc}, digest)
}

// mldsaHashed gives the other side µ, which is all that ML-DSA signs.
func mldsaHashed(h preHash) func(*check) {
	return func(c *check) {
		openssl.need(c.T)
		for set := range sorted(mldsaSets) {
			pub, priv, k := c.mldsaKey(set)
			m, context := c.bytes(70), c.bytes(9)
			digest := c.askOf(openssl, "digest", h.openssl, h.size, m)
			tr, mu := make([]byte, 64), make([]byte, 64)
			x := sha3.NewSHAKE256()
			x.Write(k.PublicKey().Bytes())
			x.Read(tr)
			x.Reset()
			x.Write(tr)
			x.Write(h.signed(context, digest))
			x.Read(mu)
			param := func(hedge uint64) []byte {
				p := words(hedge, c.a.Ptr(context), 9)
				if c.m == ck.CKM_HASH_ML_DSA {
					p = append(p, words(uint64(h.digest))...)
				}
				return p
			}
			if c.m == ck.CKM_HASH_ML_DSA {
				m = digest
			}
			want, err := k.SignDeterministic(mu, mldsacrypto.MLDSAMu)
			if err != nil {
				c.Fatal(err)
			}
			got, rv := mod.Single(c.a, mod.Signing(), session, c.mech(param(deterministic)), priv, m)
			c.good("C_Sign", rv)
			c.equal("deterministic signature", got, want)
			if want, err = k.Sign(nil, mu, mldsacrypto.MLDSAMu); err != nil {
				c.Fatal(err)
			}
			c.verifies(param(0), pub, m, want)
		}
	}
}
