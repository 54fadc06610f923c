package engine

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"math/big"
	"sync"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/engine/internal/dl"
	"github.com/perilune/perilune/engine/internal/has160"
	"github.com/perilune/perilune/engine/internal/mont"
)

// The self-tests of the mechanisms over discrete logarithms modulo a prime.
// Their answers were published by others: see the head of selftest_dl.txt.

//go:embed selftest_dl.txt
var dlAnswersText string

var dlAnswers = sync.OnceValue(func() map[string]answer { return parseAnswers(dlAnswersText) })

// testKey is a key of an answer, with the value and the base that are named.
func (t *dlType) testKey(class ck.ObjectClass, a answer, value, base string) *Key {
	return &Key{Class: class, Type: t.key, Attrs: []ck.Attribute{
		ck.NewBytes(ck.CKA_PRIME, a["p"]), ck.NewBytes(ck.CKA_SUBPRIME, a["q"]), ck.NewBytes(ck.CKA_BASE, a[base]),
		ck.NewBytes(ck.CKA_VALUE, a[value]),
	}}
}

// testPublic checks the public value that belongs to a private one.
func (t *dlType) testPublic(section string) error {
	a := dlAnswers()[section]
	_, y, err := t.publicValue(t.testKey(ck.CKO_PRIVATE_KEY, a, "x", "g"))
	if err != nil {
		return err
	}
	if !bytes.Equal(y, trimZeros(a["y"])) {
		return errWrongAnswer
	}
	return nil
}

func testGenerateDSA() error { return dsaType.testPublic("dsa") }

func testGenerateDH() error {
	if err := dhType.testPublic("dh"); err != nil {
		return err
	}
	return x942Type.testPublic("dh")
}

func testGenerateKCDSA() error { return kcdsaType.testPublic("kcdsa-has160") }

// testDSA checks the published signature with the nonce of RFC 6979, and a
// signature with a nonce of ours. With SHA-3 there is none published.
func testDSA(m ck.MechanismType, h *hashFunction) error {
	dsa := dlAnswers()["dsa"]
	private := dsaType.testKey(ck.CKO_PRIVATE_KEY, dsa, "x", "g")
	public := dsaType.testKey(ck.CKO_PUBLIC_KEY, dsa, "y", "g")
	message := []byte("sample")
	if a, ok := dlAnswers()[m.String()]; ok {
		digest := h.new()
		digest.Write(message)
		s, err := dsaPrivate(private, nil)
		if err != nil {
			return err
		}
		sig, err := s.DSA(digest.Sum(nil), nil, h.new)
		if err != nil {
			return err
		}
		if !bytes.Equal(sig, a["signature"]) {
			return errWrongAnswer
		}
		if err := expectSignature(Find(m).Verify, public, nil, message, sig); err != nil {
			return err
		}
	}
	op, err := Find(m).Sign(private, nil)
	if err != nil {
		return err
	}
	v, err := Find(m).Verify(public, nil)
	if err != nil {
		return err
	}
	return signThenVerify(op, v, message)
}

// testRawDSA is testDSA for the mechanism that takes a digest.
func testRawDSA() error {
	digest := sha256.Sum256([]byte("sample"))
	public := dsaType.testKey(ck.CKO_PUBLIC_KEY, dlAnswers()["dsa"], "y", "g")
	return expectSignature(dsaVerify, public, nil, digest[:], dlAnswers()[ck.CKM_DSA_SHA256.String()]["signature"])
}

// seededRandom gives the bytes of an answer instead of random ones, and random ones
// after them.
func seededRandom(b []byte) func([]byte) error {
	return func(dst []byte) error {
		if b == nil {
			return Random(dst)
		}
		copy(dst, b)
		b = nil
		return nil
	}
}

// samePrimes compares attributes with the primes of an answer.
func (a answer) samePrimes(attrs []ck.Attribute) error {
	p, q := ck.Find(attrs, ck.CKA_PRIME), ck.Find(attrs, ck.CKA_SUBPRIME)
	if p == nil || q == nil || !bytes.Equal(p.Value, a["p"]) || !bytes.Equal(q.Value, a["q"]) {
		return errWrongAnswer
	}
	return nil
}

func testProbablePrimes() error {
	a := dlAnswers()["probable-primes"]
	attrs, err := dsaType.newParameters(seededRandom(a["seed"]), 1024, 160)
	if err != nil {
		return err
	}
	return a.samePrimes(attrs)
}

func testProvablePrimes() error {
	a := dlAnswers()["provable-primes"]
	p, q, pSeed, qSeed, ok := dl.ProvablePrimes(1024, 160, sha256.New, a["first"])
	if !ok || !bytes.Equal(pSeed, a["pseed"]) || !bytes.Equal(qSeed, a["qseed"]) {
		return errWrongAnswer
	}
	return a.samePrimes(primeAttributes(p, q))
}

func testCanonicalBase() error {
	a := dlAnswers()["canonical-base"]
	attrs, err := canonicalBase(a["p"], a["q"], sha256.New, a["seed"], a["index"][0])
	if err != nil {
		return err
	}
	if !bytes.Equal(ck.Find(attrs, ck.CKA_BASE).Value, trimZeros(a["g"])) {
		return errWrongAnswer
	}
	return nil
}

func testKCDSAParameters() error {
	a := dlAnswers()["kcdsa-has160"]
	attrs, err := newKCDSAParameters(seededRandom(a["seed"]), has160.New, 1024, 160)
	if err != nil {
		return err
	}
	return a.samePrimes(attrs)
}

// testDHParameters checks primes that RFC 3526 and RFC 7919 publish, by the
// SHA-256 of what OpenSSL has, and that a new prime of ours is a safe one.
func testDHParameters() error {
	for bits, want := range map[int]string{
		1536: "64fcc83ec403930bf18393dbc883ccaa1fbb08ac876f77f7aa99748ca945019b",
		2048: "9cd3b7f336872f46c09428d1bbc19877a4d440512cda8d1c1cf0cd6e33698966",
	} {
		sum := sha256.Sum256(dl.NamedPrime(bits).Bytes())
		if hex.EncodeToString(sum[:]) != want {
			return errWrongAnswer
		}
	}
	p, err := dl.NewSafePrime(Random, dhMinBits)
	if err != nil {
		return err
	}
	if p.BitLen() != dhMinBits || !p.ProbablyPrime(4) || !new(big.Int).Rsh(p, 1).ProbablyPrime(4) {
		return errWrongAnswer
	}
	return nil
}

// expectSecret compares a derived secret with a published one.
func expectSecret(got []byte, err error, want ...[]byte) error {
	if err != nil {
		return err
	}
	if !bytes.Equal(got, bytes.Join(want, nil)) {
		return errWrongAnswer
	}
	return nil
}

func testDH() error {
	a := dlAnswers()["dh"]
	z, err := dhDerive(dhType.testKey(ck.CKO_PRIVATE_KEY, a, "x", "g"), a["other"], &Derivation{})
	return expectSecret(z, err, a["z"])
}

// testX942 checks the shared secret, and the key of RFC 2631, section 2.1.6.
func testX942() error {
	a := dlAnswers()["dh"]
	k := x942Type.testKey(ck.CKO_PRIVATE_KEY, a, "x", "g")
	z, err := x942Derive(k, &X942DH1Params{KDF: ck.CKD_NULL, PublicData: a["other"]}, &Derivation{})
	if err := expectSecret(z, err, a["z"]); err != nil {
		return err
	}
	info := unhex("301d3013060b2a864886f70d0109100306040400000001a2060404000000c0")
	key, err := deriveECKey(ck.CKD_SHA1_KDF_ASN1, unhex("000102030405060708090a0b0c0d0e0f10111213"), info, 24)
	return expectSecret(key, err, unhex("a09661392376f7044d9052a397883246b67f5f1ef63eb5fb"))
}

// testX942Hybrid has the same published pairs as the first and the second keys.
func testX942Hybrid() error {
	a := dlAnswers()["dh"]
	k := x942Type.testKey(ck.CKO_PRIVATE_KEY, a, "x", "g")
	p := &X942DH2Params{KDF: ck.CKD_NULL, PublicData: a["other"], PublicData2: a["other"]}
	z, err := x942Hybrid(k, p, &Derivation{Keys: []*Key{k}})
	return expectSecret(z, err, a["z"], a["z"])
}

// testX942MQV takes a public key as the base of the group, of which the answer tells
// none. MQV does not use it.
func testX942MQV() error {
	a := dlAnswers()["mqv"]
	key := func(class ck.ObjectClass, value string) *Key {
		return x942Type.testKey(class, a, value, "otherstatic")
	}
	p := &X942MQVParams{KDF: ck.CKD_NULL, PublicData: a["otherstatic"], PublicData2: a["otherephemeral"]}
	z, err := x942MQV(key(ck.CKO_PRIVATE_KEY, "x"), p, &Derivation{
		Keys: []*Key{key(ck.CKO_PRIVATE_KEY, "r"), key(ck.CKO_PUBLIC_KEY, "t")},
	})
	return expectSecret(z, err, a["z"])
}

// testKCDSA checks the published signature, whose z comes with the message for
// the mechanisms that add none, and one of our own.
func testKCDSA(m ck.MechanismType, f kcdsaHash) error {
	section := f.answer
	if section == "" {
		section = "kcdsa-sha224" // its key, with another hash function
	}
	a := dlAnswers()[section]
	private := kcdsaType.testKey(ck.CKO_PRIVATE_KEY, a, "x", "g")
	public := kcdsaType.testKey(ck.CKO_PUBLIC_KEY, a, "y", "g")
	message := []byte("This is a test message for KCDSA usage!")
	if !f.prefix {
		message = append(bytes.Clone(a["z"]), message...)
	}
	if f.answer != "" {
		if err := expectSignature(Find(m).Verify, public, nil, message, a["signature"]); err != nil {
			return err
		}
	}
	op, err := Find(m).Sign(private, nil)
	if err != nil {
		return err
	}
	v, err := Find(m).Verify(public, nil)
	if err != nil {
		return err
	}
	return signThenVerify(op, v, message)
}

// testECKCDSA checks the published private key, the signature with its nonce, and
// a signature with a nonce of ours.
func testECKCDSA(m, h ck.MechanismType, f ecKCDSA) error {
	curve, section := "secp256r1", "eckcdsa-256-sha256"
	if h == ck.CKM_SHA224 {
		curve, section = "secp224r1", "eckcdsa-224-sha224"
	}
	a := dlAnswers()[section]
	private, err := ecKCDSATestKey(curve, a)
	if err != nil {
		return err
	}
	public := testCurve(curve).testVerifyKey(a)
	if h == ck.CKM_SHA224 || h == ck.CKM_SHA256 {
		if err := f.expectNonce(private, a); err != nil {
			return err
		}
		if err := expectSignature(f.verify, public, nil, a["message"], a["signature"]); err != nil {
			return err
		}
	}
	op, err := f.sign(private, nil)
	if err != nil {
		return err
	}
	v, err := f.verify(public, nil)
	if err != nil {
		return err
	}
	return signThenVerify(op, v, a["message"])
}

// ecKCDSATestKey is the private key of an answer, whose CKA_VALUE is 1/d.
func ecKCDSATestKey(curve string, a answer) (*Key, error) {
	c := testCurve(curve)
	n, err := newScalarField(c.group())
	if err != nil {
		return nil, err
	}
	var d mont.Element
	n.Set(&d, a["d"])
	n.Invert(&d, &d)
	k := c.testKey(answer{"value": n.bytes(&d)})
	point, err := ecPublicPoint(k, c)
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(point, a["point"]) {
		return nil, errWrongAnswer
	}
	return k, nil
}

// expectNonce checks the published signature with its nonce.
func (f ecKCDSA) expectNonce(private *Key, a answer) error {
	key, err := parseECKCDSA(private, nil)
	if err != nil {
		return err
	}
	start := hashed{f.start(key)}
	sig, ok := f.signature(key, bytes.Clone(a["k"]), start.digest(a["message"]))
	if !ok || !bytes.Equal(sig, a["signature"]) {
		return errWrongAnswer
	}
	return nil
}
