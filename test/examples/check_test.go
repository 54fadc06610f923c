package examples

import (
	"bytes"
	"crypto"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math/big"
	"regexp"
	"strings"
	"testing"
)

// output is what a program printed. Its methods end the test when something in
// it is wrong; they compute with Go's cryptography, and never with the module.
type output struct {
	t    *testing.T
	text string
}

func (o output) contains(texts ...string) {
	o.t.Helper()
	for _, text := range texts {
		if !strings.Contains(o.text, text) {
			o.t.Fatalf("it does not print %q, but:\n%s", text, o.text)
		}
	}
}

// all reads every number printed in a line that begins with a text.
func (o output) all(text string, count int) [][]byte {
	o.t.Helper()
	found := regexp.MustCompile(`(?m)^`+regexp.QuoteMeta(text)+`: ([0-9a-f]+)$`).FindAllStringSubmatch(o.text, -1)
	if len(found) != count {
		o.t.Fatalf("it prints %d lines with %q, not %d:\n%s", len(found), text, count, o.text)
	}
	var numbers [][]byte
	for _, match := range found {
		b, err := hex.DecodeString(match[1])
		if err != nil {
			o.t.Fatalf("%s: %v", text, err)
		}
		numbers = append(numbers, b)
	}
	return numbers
}

func (o output) one(text string) []byte {
	o.t.Helper()
	return o.all(text, 1)[0]
}

func (o output) verifyECDSA(message string, signature []byte) {
	o.t.Helper()
	key, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), o.one("public key"))
	if err != nil {
		o.t.Fatalf("the public key: %v\n%s", err, o.text)
	}
	if len(signature) != 64 {
		o.t.Fatalf("a signature of %d bytes, not 64", len(signature))
	}
	digest := sha256.Sum256([]byte(message))
	r, s := new(big.Int).SetBytes(signature[:32]), new(big.Int).SetBytes(signature[32:])
	if !ecdsa.Verify(key, digest[:], r, s) {
		o.t.Fatalf("the signature of %q is wrong:\n%s", message, o.text)
	}
}

func checkListSlots(o output) {
	o.contains("PKCS#11 version: ", "  token: "+label+"\n", "flags: initialised, user PIN set, login required")
}

func checkGenerateSign(o output) {
	o.contains("the signature is valid\n", "for another message: CKR_SIGNATURE_INVALID\n")
	o.verifyECDSA("a message to sign", o.one("signature"))
}

const gcmHeader = "a header that everyone may read"

func (o output) openGCM(nonce, sealed []byte, want string) {
	o.t.Helper()
	block, err := aes.NewCipher(gcmKey)
	if err != nil {
		o.t.Fatal(err)
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		o.t.Fatal(err)
	}
	message, err := gcm.Open(nil, nonce, sealed, []byte(gcmHeader))
	if err != nil || string(message) != want {
		o.t.Fatalf("decrypted with other code: %q, %v, not %q\n%s", message, err, want, o.text)
	}
}

func checkEncryptGCM(o output) {
	o.contains("decrypted: a message to keep secret\n", "with another header: CKR_")
	o.openGCM(o.one("nonce"), o.one("ciphertext and tag"), "a message to keep secret\x00")
}

func checkMessageGCM(o output) {
	nonces, sealed, tags := o.all("nonce", 2), o.all("ciphertext", 2), o.all("tag", 2)
	for i, want := range []string{"the first message", "the second message, in two parts"} {
		o.contains("decrypted: " + want + "\n")
		o.openGCM(nonces[i], append(sealed[i], tags[i]...), want+"\x00")
	}
	if bytes.Equal(nonces[0], nonces[1]) {
		o.t.Fatal("both messages have the same nonce")
	}
	o.contains("with another tag: CKR_AEAD_DECRYPT_FAILED\n")
}

func checkWrapUnwrap(o output) {
	o.contains("the key is back\n", "a key that must stay: CKR_KEY_UNEXTRACTABLE\n", "a changed key: CKR_")
	key, err := unwrap(wrapKey, o.one("wrapped key"))
	if err != nil || len(key) != 32 {
		o.t.Fatalf("unwrapped with other code: %d bytes, %v", len(key), err)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		o.t.Fatal(err)
	}
	want := make([]byte, aes.BlockSize)
	block.Encrypt(want, want)
	if got := o.one("zeros under it"); !bytes.Equal(got, want) {
		o.t.Fatalf("the unwrapped key makes %x of zeros, not %x", got, want)
	}
}

// unwrap is section 2.2.2 of RFC 3394, written for this test.
func unwrap(kek, wrapped []byte) ([]byte, error) {
	if len(wrapped) < 24 || len(wrapped)%8 != 0 {
		return nil, fmt.Errorf("a wrapped key of %d bytes", len(wrapped))
	}
	block, err := aes.NewCipher(kek)
	if err != nil {
		return nil, err
	}
	n := len(wrapped)/8 - 1
	a, r := bytes.Clone(wrapped[:8]), bytes.Clone(wrapped[8:])
	for t := 6 * n; t > 0; t-- {
		part := r[(t-1)%n*8:][:8]
		buffer := binary.BigEndian.AppendUint64(nil, binary.BigEndian.Uint64(a)^uint64(t))
		buffer = append(buffer, part...)
		block.Decrypt(buffer, buffer)
		copy(a, buffer[:8])
		copy(part, buffer[8:])
	}
	if subtle.ConstantTimeCompare(a, bytes.Repeat([]byte{0xa6}, 8)) != 1 {
		return nil, fmt.Errorf("the check value is %x", a)
	}
	return r, nil
}

func checkFindObjects(o output) {
	o.contains("3 objects of this program\n", "  label: breakfast\n  value: bread\n", "  label: lunch\n  value: soup\n", "  label: dinner\n  value: rice\n",
		"changed\n  label: supper\n", "3 objects destroyed, 0 left\n")
}

func checkThreadsSign(o output) {
	o.contains("8 threads made and verified 400 signatures\n")
	key := &rsa.PublicKey{N: new(big.Int).SetBytes(o.one("modulus")), E: 65537}
	for i, signature := range o.all("last signature", 8) {
		message := fmt.Sprintf("message 49 of thread %d", i)
		digest := sha256.Sum256([]byte(message))
		if err := rsa.VerifyPKCS1v15(key, crypto.SHA256, digest[:], signature); err != nil {
			o.t.Fatalf("the signature of %q: %v", message, err)
		}
	}
}

func checkForkSign(workers int) func(o output) {
	return func(o output) {
		o.contains(fmt.Sprintf("%d workers made %d signatures\n", workers, workers*20))
		for i := range workers {
			message := fmt.Sprintf("request 20 of worker %d", i+1)
			o.verifyECDSA(message, o.one(message))
		}
		o.verifyECDSA("the parent's own", o.one("the parent's own"))
	}
}

func checkGovern(o output) {
	o.contains(
		"Crypto Officer: has a PIN, 10 wrong PINs more lock it\n", "Crypto User: has no PIN, 10 ",
		"policy 18: Allow raw RSA operations: 1 (switching it on erases the objects)\n",
		"the key takes 156 bytes", "found by its identity: yes\n",
		"signing with a key that may not: CKR_KEY_FUNCTION_NOT_PERMITTED\n",
		"\ncode: CKR_KEY_FUNCTION_NOT_PERMITTED\n", "\nrule: ", "\nattribute: CKA_SIGN\n", "\nremedy: ",
		"logged in without a login: yes\n",
	)
}
