package engine

import (
	"bytes"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"github.com/perilune/perilune/cryptoki/ck"
)

// What self-tests share. Answers stand beside their mechanism, or in the files
// selftest_*.txt where they are long.

// errSelfTest is what a failed self-test returns.
func errSelfTest(t ck.MechanismType) error {
	return fmt.Errorf("self-test of %v: wrong answer: %w", t, ck.CKR_GENERAL_ERROR)
}

var errWrongAnswer = fmt.Errorf("self-test: wrong answer: %w", ck.CKR_GENERAL_ERROR)

// unhex decodes a constant.
func unhex(s string) []byte {
	b, err := hex.DecodeString(s)
	if err != nil {
		panic(err)
	}
	return b
}

// secretKey makes a key for self-tests.
func secretKey(t ck.KeyType, value []byte) *Key {
	return &Key{Class: ck.CKO_SECRET_KEY, Type: t, Attrs: []ck.Attribute{ck.NewBytes(ck.CKA_VALUE, value)}}
}

// xorBytes adds a and b, which are equally long.
func xorBytes(a, b []byte) []byte {
	out := make([]byte, len(a))
	subtle.XORBytes(out, a, b)
	return out
}

// parseAnswers reads a file of answers, by section and name.
func parseAnswers(text string) map[string]answer {
	all := map[string]answer{}
	var section answer
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		name, value, isValue := strings.Cut(line, " = ")
		switch {
		case line == "" || line[0] == '#':
		case isValue:
			section[name], _ = hex.DecodeString(value) // the tests would notice
		default:
			section = answer{}
			all[strings.Trim(line, "[]")] = section
		}
	}
	return all
}

// answer is one section of the file.
type answer map[string][]byte

// expect finishes op in one part and compares the output.
func expect(op Op, err error, input, want []byte) error {
	got, err := runOp(op, err, input)
	if err != nil {
		return err
	}
	if !bytes.Equal(got, want) {
		return errWrongAnswer
	}
	return nil
}

// expectSignature checks that v takes the signature of the answer, and not
// that of another message.
func expectSignature(verify func(*Key, any) (Verifier, error), k *Key, p any, message, sig []byte) error {
	v, err := verify(k, p)
	if err != nil {
		return err
	}
	if err := v.Verify(message, sig); err != nil {
		return err
	}
	if v, err = verify(k, p); err != nil {
		return err
	}
	message = bytes.Clone(message)
	message[0] ^= 1
	if err := v.Verify(message, sig); !errors.Is(err, ck.CKR_SIGNATURE_INVALID) {
		return errWrongAnswer
	}
	return nil
}

// signThenVerify checks that verification takes what signing gives: the
// pairwise part of the self-tests of randomised signatures.
func signThenVerify(op Op, v Verifier, message []byte) error {
	sig, err := runOp(op, nil, message)
	if err != nil {
		return err
	}
	return v.Verify(message, sig)
}
