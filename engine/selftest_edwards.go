package engine

import (
	"bytes"
	_ "embed"
	"sync"

	"github.com/perilune/perilune/cryptoki/ck"
)

// The self-tests of the mechanisms on Edwards and Montgomery curves. Their
// answers were published by others: see the heads of selftest_edwards.txt and
// selftest_asym.txt.

//go:embed selftest_edwards.txt
var edwardsAnswersText string

var edwardsAnswers = sync.OnceValue(func() map[string]answer { return parseAnswers(edwardsAnswersText) })

func testGenerateEdwards() error {
	if err := testPoint("edwards25519", asymAnswers()["ed25519"], "point"); err != nil {
		return err
	}
	return testPoint("edwards448", edwardsAnswers()["ed448"], "point")
}

func testGenerateMontgomery() error {
	if err := testPoint("curve25519", asymAnswers()["x25519"], "own"); err != nil {
		return err
	}
	if err := testPoint("curve448", edwardsAnswers()["x448"], "own"); err != nil {
		return err
	}
	a := edwardsAnswers()["x448"]
	secret, err := agreeX448(a["value"], a["point"])
	if err != nil {
		return err
	}
	if !bytes.Equal(secret, a["secret"]) {
		return errWrongAnswer
	}
	return nil
}

func testEdDSA() error {
	for section, p := range map[string]*EDDSAParams{
		"ed25519":    nil,
		"ed25519ctx": {ContextData: []byte("foo")},
		"ed25519ph":  {PhFlag: true},
	} {
		if err := testEdDSAWith("edwards25519", asymAnswers()[section], p); err != nil {
			return err
		}
	}
	for section, ph := range map[string]bool{
		"ed448": false, "ed448 context": false, "ed448ph": true, "ed448ph context": true,
	} {
		a := edwardsAnswers()[section]
		if err := testEdDSAWith("edwards448", a, &EDDSAParams{PhFlag: ph, ContextData: a["context"]}); err != nil {
			return err
		}
	}
	return nil
}

func testEdDSAWith(curve string, a answer, p *EDDSAParams) error {
	c := testCurve(curve)
	op, err := eddsaSign(c.testKey(a), p)
	if err := expect(op, err, a["message"], a["signature"]); err != nil {
		return err
	}
	return expectSignature(eddsaVerify, c.testVerifyKey(a), p, a["message"], a["signature"])
}

// testHashedEdDSA compares a row that signs a digest with the published
// signature of a SHA-512 digest, and with CKM_EDDSA over the row's own.
func testHashedEdDSA(m ck.MechanismType, h *hashFunction) error {
	c, a := testCurve("edwards25519"), edwardsAnswers()["ed25519 digest"]
	sha512 := findHash(ck.CKM_SHA512)
	op, err := eddsaSignHashed(sha512)(c.testKey(a), nil)
	if err := expect(op, err, a["message"], a["signature"]); err != nil {
		return err
	}
	if err := expectSignature(eddsaVerifyHashed(sha512), c.testVerifyKey(a), nil, a["message"], a["signature"]); err != nil {
		return err
	}
	digest := h.new()
	digest.Write(a["message"])
	op, err = Find(m).Sign(c.testKey(a), nil)
	if err != nil {
		return err
	}
	sig := make([]byte, len(a["signature"]))
	if _, err := op.Finish(sig, a["message"]); err != nil {
		return err
	}
	v, err := eddsaVerify(c.testVerifyKey(a), nil)
	if err != nil {
		return err
	}
	return v.Verify(digest.Sum(nil), sig)
}
