package engine

import (
	"bytes"
	"crypto/sha1"
	_ "embed"
	"sync"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/engine/internal/rsacore"
)

// The self-tests of the mechanisms with key pairs. Their answers were published
// by others: see the head of selftest_asym.txt.

//go:embed selftest_asym.txt
var asymAnswersText string

// asymAnswers is the file by section and name.
var asymAnswers = sync.OnceValue(func() map[string]answer { return parseAnswers(asymAnswersText) })

// testRSAKey is the private key of the RSA answers.
var testRSAKey = sync.OnceValues(func() (*Key, error) {
	attrs, err := unmarshalRSA(asymAnswers()["rsa"]["pkcs8"])
	if err != nil {
		return nil, err
	}
	return &Key{Class: ck.CKO_PRIVATE_KEY, Type: ck.CKK_RSA, Attrs: attrs}, nil
})

// rsaVerifyKey is the public key of an answer with a signature.
func rsaVerifyKey(a answer) *Key {
	e := a["e"]
	if e == nil {
		e = []byte{1, 0, 1}
	}
	return &Key{Class: ck.CKO_PUBLIC_KEY, Type: ck.CKK_RSA, Attrs: rsaPublicAttributes(a["n"], e)}
}

func testRawRSA() error {
	k, err := testRSAKey()
	if err != nil {
		return err
	}
	a := asymAnswers()["rsa-raw"]
	op, err := rawDecrypt(k, nil)
	if err := expect(op, err, a["input"], a["output"]); err != nil {
		return err
	}
	op, err = rawEncrypt(k, nil)
	return expect(op, err, a["output"], a["input"])
}

// testPKCS1 covers the private key, good and bad paddings.
func testPKCS1() error {
	k, err := testRSAKey()
	if err != nil {
		return err
	}
	for _, section := range []string{"rsa-pkcs1", "rsa-pkcs1-rejected"} {
		a := asymAnswers()[section]
		op, err := pkcs1Decrypt(k, nil)
		if err := expect(op, err, a["input"], a["output"]); err != nil {
			return err
		}
	}
	a := asymAnswers()["rsa-sign"]
	op, err := pkcs1Sign(k, nil)
	return expect(op, err, append([]byte(findHash(ck.CKM_SHA_1).info), a["input"]...), a["output"])
}

func testPKCS1Hash(m ck.MechanismType) error {
	a := asymAnswers()[m.String()]
	if err := expectSignature(Find(m).Verify, rsaVerifyKey(a), nil, a["message"], a["signature"]); err != nil {
		return err
	}
	return testSignThenVerify(m, nil)
}

// testSignThenVerify is the part of a self-test that has no published answer.
func testSignThenVerify(m ck.MechanismType, p any) error {
	k, err := testRSAKey()
	if err != nil {
		return err
	}
	op, err := Find(m).Sign(k, p)
	if err != nil {
		return err
	}
	v, err := Find(m).Verify(k, p)
	if err != nil {
		return err
	}
	return signThenVerify(op, v, []byte("abc"))
}

func testOAEP() error {
	k, err := testRSAKey()
	if err != nil {
		return err
	}
	a := asymAnswers()["rsa-oaep"]
	op, err := oaepDecrypt(k, &OAEPParams{HashAlg: ck.CKM_SHA_1, MGF: ck.CKG_MGF1_SHA1, Source: ck.CKZ_DATA_SPECIFIED})
	return expect(op, err, a["input"], a["output"])
}

// testPSS checks a published signature. There are none with SHA-3: for these
// the encoding rests on the others, the hash on its own row.
func testPSS(m, h ck.MechanismType) error {
	p := &PSSParams{HashAlg: h, SaltLen: uint64(findHash(h).size)}
	for g, mgf := range mgfHashes {
		if mgf == h {
			p.MGF = g
		}
	}
	if a, ok := asymAnswers()[m.String()]; ok {
		if err := expectSignature(Find(m).Verify, rsaVerifyKey(a), p, a["message"], a["signature"]); err != nil {
			return err
		}
	}
	return testSignThenVerify(m, p)
}

// testRawPSS is testPSS for the mechanism that takes a digest.
func testRawPSS() error {
	a := asymAnswers()[ck.CKM_SHA256_RSA_PKCS_PSS.String()]
	h := findHash(ck.CKM_SHA256).new()
	h.Write(a["message"])
	p := &PSSParams{HashAlg: ck.CKM_SHA256, MGF: ck.CKG_MGF1_SHA256, SaltLen: 32}
	return expectSignature(pssVerify, rsaVerifyKey(a), p, h.Sum(nil), a["signature"])
}

// testX931Hash signs and verifies: the signatures do not depend on chance. One
// of the published ones is not the smaller of the two numbers.
func testX931Hash(m ck.MechanismType, x x931) error {
	for _, y := range x931Hashes {
		if y.id != x.id {
			continue
		}
		a := asymAnswers()[y.strict.String()]
		pub, priv := rsaVerifyKey(a), x931Key(a)
		n, err := rsaPublic(pub)
		if err != nil {
			return err
		}
		sig := a["signature"]
		smaller := min(string(sig), string(n.Negative(sig)))
		if err := expectSignature(Find(m).Verify, pub, nil, a["message"], sig); err != nil {
			return err
		}
		op, err := Find(m).Sign(priv, nil)
		return expect(op, err, a["message"], []byte(smaller))
	}
	return errWrongAnswer
}

// testX931 is testX931Hash for the mechanisms that take a digest.
func testX931(m ck.MechanismType) error {
	a := asymAnswers()[ck.CKM_SHA256_RSA_X9_31.String()]
	h := findHash(ck.CKM_SHA256).new()
	h.Write(a["message"])
	digest := append(h.Sum(nil), 0x34)
	if err := expectSignature(Find(m).Verify, rsaVerifyKey(a), nil, digest, a["signature"]); err != nil {
		return err
	}
	op, err := Find(m).Sign(x931Key(a), nil)
	return expect(op, err, digest, a["signature"])
}

func x931Key(a answer) *Key {
	return &Key{
		Class: ck.CKO_PRIVATE_KEY, Type: ck.CKK_RSA,
		Attrs: rsaPrivateAttributes(&rsacore.Numbers{N: a["n"], E: a["e"], D: a["d"]}),
	}
}

// testTPM looks at what the inner mechanism, which has a published answer of its
// own, finds in a message.
func testTPM(m ck.MechanismType, p any, encrypt, decrypt func(*Key, any) (Op, error)) error {
	k, err := testRSAKey()
	if err != nil {
		return err
	}
	message, bound := []byte("message"), []byte("\x01\x01\x00\x00\x02message")
	op, err := Find(m).Encrypt(k, nil)
	sealed, err := runOp(op, err, message)
	if err != nil {
		return err
	}
	op, err = decrypt(k, p)
	if err := expect(op, err, sealed, bound); err != nil {
		return err
	}
	op, err = encrypt(k, p)
	if sealed, err = runOp(op, err, bound); err != nil {
		return err
	}
	op, err = Find(m).Decrypt(k, nil)
	return expect(op, err, sealed, message)
}

// testSETOAEP wraps and unwraps, and looks at the block as the comment at
// CKM_KEY_WRAP_SET_OAEP has it, with masks computed in another way.
func testSETOAEP() error {
	k, err := testRSAKey()
	if err != nil {
		return err
	}
	key, x := []byte("DES key!"), []byte("further data")
	op, err := setWrap(k, &KeyWrapSETOAEPParams{BC: 0x42, X: x})
	wrapped, err := runOp(op, err, key)
	if err != nil {
		return err
	}
	p := &KeyWrapSETOAEPParams{X: make([]byte, 128)}
	op, err = setUnwrap(k, p)
	if err := expect(op, err, wrapped, key); err != nil {
		return err
	}
	if p.BC != 0x42 || !bytes.Equal(p.X, append(x, make([]byte, setMaxX-len(x))...)) {
		return errWrongAnswer
	}
	op, err = rawDecrypt(k, nil)
	em, err := runOp(op, err, wrapped)
	if err != nil {
		return err
	}
	block, salt := em[1:len(em)-setSalt], em[len(em)-setSalt:]
	h := sha1.Sum(append(bytes.Clone(block), 0, 0, 0, 0))
	for i := range salt {
		salt[i] ^= h[i]
	}
	for i := range block {
		if i%sha1.Size == 0 {
			h = sha1.Sum(append(bytes.Clone(salt), 0, 0, 0, byte(i/sha1.Size)))
		}
		block[i] ^= h[i%sha1.Size]
	}
	want := append([]byte{3, 0x42, 0, 0, 0, 0, 0, 0, 0}, "DES key!further data"...)
	if em[0] != 0 || !bytes.Equal(block, append(want, make([]byte, len(block)-len(want))...)) {
		return errWrongAnswer
	}
	return nil
}

// testRSAAESKeyWrap wraps and unwraps: both halves have self-tests with
// published answers of their own.
func testRSAAESKeyWrap() error {
	k, err := testRSAKey()
	if err != nil {
		return err
	}
	p := &RSAAESKeyWrapParams{AESKeyBits: 256, OAEP: &OAEPParams{HashAlg: ck.CKM_SHA256, MGF: ck.CKG_MGF1_SHA256, Source: ck.CKZ_DATA_SPECIFIED}}
	key := []byte("a key to wrap")
	op, err := rsaAESWrap(k, p)
	if err != nil {
		return err
	}
	n, _ := op.FinishLen(len(key))
	wrapped := make([]byte, n)
	if n, err = op.Finish(wrapped, key); err != nil {
		return err
	}
	op, err = rsaAESUnwrap(k, p)
	return expect(op, err, wrapped[:n], key)
}

// testGenerateRSA gives the completion of keys the published n, e and d, from
// which it must find the published primes and CRT values.
func testGenerateRSA() error {
	k, err := testRSAKey()
	if err != nil {
		return err
	}
	want := rsaNumbers(k)
	got, err := rsacore.Complete(rsacore.Numbers{N: want.N, E: want.E, D: want.D})
	if err != nil {
		return err
	}
	for _, x := range [][2][]byte{
		{got.P, want.P}, {got.Q, want.Q}, {got.DP, want.DP}, {got.DQ, want.DQ}, {got.QInv, want.QInv},
	} {
		if !bytes.Equal(x[0], x[1]) {
			return errWrongAnswer
		}
	}
	prime, err := rsacore.ProbablyPrime(want.P, Reader)
	if err != nil {
		return err
	}
	composite, err := rsacore.ProbablyPrime(want.N, Reader)
	if err != nil {
		return err
	}
	if !prime || composite {
		return errWrongAnswer
	}
	return nil
}

// testCurve is one of our curves by its first name.
func testCurve(name string) *curve {
	c, err := curveByName(name)
	if err != nil {
		panic("engine: no curve " + name) // a constant of ours
	}
	return c
}

// testKey is a private key with the value and the point of an answer.
func (c *curve) testKey(a answer) *Key {
	k := &Key{Class: ck.CKO_PRIVATE_KEY, Type: c.key, Attrs: []ck.Attribute{ck.NewBytes(ck.CKA_EC_PARAMS, c.params())}}
	if len(a["value"]) > 0 {
		k.Attrs = append(k.Attrs, ck.NewBytes(ck.CKA_VALUE, a["value"]))
	}
	return k
}

// testVerifyKey is the public key of an answer.
func (c *curve) testVerifyKey(a answer) *Key {
	return &Key{Class: ck.CKO_PUBLIC_KEY, Type: c.key, Attrs: []ck.Attribute{
		ck.NewBytes(ck.CKA_EC_PARAMS, c.params()),
		ck.NewBytes(ck.CKA_EC_POINT, storedPoint(a["point"])),
	}}
}

// testPoint checks the point, by its name, that belongs to a private value.
func testPoint(curve string, a answer, name string) error {
	point, err := testCurve(curve).pointOf(a["value"])
	if err != nil {
		return err
	}
	if !bytes.Equal(point, a[name]) {
		return errWrongAnswer
	}
	return nil
}

func testGenerateEC() error { return testPoint("secp256r1", asymAnswers()["ec-key"], "point") }

// testGenerateECExtraBits has no published answer of its own but the points: it
// checks the reduction at its edges.
func testGenerateECExtraBits() error {
	n := testCurve("secp256r1").group().Order()
	for _, x := range []struct{ sub, want byte }{{1, 1}, {2, 0}} { // n-1 gives 1, n-2 gives n-1
		wide := append(make([]byte, 8), n...)
		wide[len(wide)-1] -= x.sub
		want := bytes.Clone(n)
		want[len(want)-1]--
		if x.want == 1 {
			clear(want)
			want[len(want)-1] = 1
		}
		if !bytes.Equal(reduceToScalar(wide, n), want) {
			return errWrongAnswer
		}
	}
	return testGenerateEC()
}

func testECDSA(m ck.MechanismType) error {
	c := testCurve("secp256r1")
	a := asymAnswers()[m.String()]
	if err := expectSignature(Find(m).Verify, c.testVerifyKey(a), nil, a["message"], a["signature"]); err != nil {
		return err
	}
	k := c.testKey(asymAnswers()["ec-key"])
	op, err := Find(m).Sign(k, nil)
	if err != nil {
		return err
	}
	v, err := Find(m).Verify(k, nil)
	if err != nil {
		return err
	}
	return signThenVerify(op, v, []byte("abc"))
}

// testRawECDSA is testECDSA for the mechanism that takes a digest.
func testRawECDSA() error {
	a := asymAnswers()[ck.CKM_ECDSA_SHA256.String()]
	h := findHash(ck.CKM_SHA256).new()
	h.Write(a["message"])
	return expectSignature(ecdsaVerify, testCurve("secp256r1").testVerifyKey(a), nil, h.Sum(nil), a["signature"])
}

// testGBCS signs "sample" as RFC 6979, section A.2.5, does.
func testGBCS() error {
	c := testCurve("secp256r1")
	a := asymAnswers()["gbcs"]
	k := c.testKey(asymAnswers()["ec-key"])
	op, err := Find(ck.CKM_ECDSA_GBCS_SHA256).Sign(k, nil)
	if err := expect(op, err, a["message"], a["signature"]); err != nil {
		return err
	}
	return expectSignature(Find(ck.CKM_ECDSA_GBCS_SHA256).Verify, k, nil, a["message"], a["signature"])
}

func testECDH(m ck.MechanismType) error {
	for section, name := range map[string]string{
		"ecdh-224": "secp224r1", "ecdh-256": "secp256r1", "ecdh-384": "secp384r1", "ecdh-521": "secp521r1",
		"ecdh-brainpool": "brainpoolP256r1", "x25519": "curve25519",
	} {
		a, c := asymAnswers()[section], testCurve(name)
		if !Find(m).Takes(ck.CKO_PRIVATE_KEY, c.key) {
			continue
		}
		secret, err := Find(m).Derive(c.testKey(a), &ECDH1DeriveParams{KDF: ck.CKD_NULL, PublicData: a["point"]}, &Derivation{})
		if err != nil {
			return err
		}
		if !bytes.Equal(secret, a["secret"]) {
			return errWrongAnswer
		}
	}
	return testECKDF()
}

func testMQV() error {
	a, c := asymAnswers()["mqv"], testCurve("secp160r1")
	p := &ECMQVDeriveParams{KDF: ck.CKD_NULL, PublicData: a["point"], PublicData2: a["point2"]}
	second := c.testKey(answer{"value": a["value2"]})
	secret, err := mqvDerive(c.testKey(a), p, &Derivation{Keys: []*Key{second, nil}})
	if err != nil {
		return err
	}
	if !bytes.Equal(secret, a["secret"]) {
		return errWrongAnswer
	}
	return nil
}

func testECKDF() error {
	for section, kdf := range map[string]ck.KDF{"x963": ck.CKD_SHA256_KDF, "onestep": ck.CKD_SHA256_KDF_SP800} {
		a := asymAnswers()[section]
		if !bytes.Equal(ecKDFs[kdf].derive(a["secret"], a["info"], len(a["key"])), a["key"]) {
			return errWrongAnswer
		}
	}
	return nil
}
