// Check does for `make demo`, on a machine without OpenSSL, what OpenSSL would:
//
//	check verify PUBLIC.pem MESSAGE SIGNATURE
//	check encrypt PUBLIC.pem MESSAGE OUT
//
// It knows nothing of Perilune: Go's own cryptography checks the library's.
package main

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"os"
)

func main() {
	if len(os.Args) != 5 {
		fmt.Fprintln(os.Stderr, "usage: check verify|encrypt PUBLIC.pem MESSAGE SIGNATURE|OUT")
		os.Exit(2)
	}
	if err := run(os.Args[1], os.Args[2], os.Args[3], os.Args[4]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(what, public, message, file string) error {
	key, err := readKey(public)
	if err != nil {
		return err
	}
	text, err := os.ReadFile(message)
	if err != nil {
		return err
	}
	switch key := key.(type) {
	case *ecdsa.PublicKey:
		if what == "verify" {
			return verify(key, text, file)
		}
	case *rsa.PublicKey:
		if what == "encrypt" {
			sealed, err := rsa.EncryptOAEP(sha256.New(), rand.Reader, key, text, nil)
			if err != nil {
				return err
			}
			return os.WriteFile(file, sealed, 0o600)
		}
	}
	return fmt.Errorf("cannot %s with a %T", what, key)
}

func readKey(path string) (any, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, fmt.Errorf("%s is not PEM", path)
	}
	return x509.ParsePKIXPublicKey(block.Bytes)
}

// verify checks a signature as PKCS#11 has it, which is r and s in a row.
func verify(key *ecdsa.PublicKey, text []byte, file string) error {
	sig, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	r, s := new(big.Int).SetBytes(sig[:len(sig)/2]), new(big.Int).SetBytes(sig[len(sig)/2:])
	digest := sha256.Sum256(text)
	if !ecdsa.Verify(key, digest[:], r, s) {
		return errors.New("verification failure")
	}
	fmt.Println("Verified OK")
	return nil
}
