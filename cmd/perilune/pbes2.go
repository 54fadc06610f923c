package main

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/des"
	"crypto/pbkdf2"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/asn1"
	"errors"
	"fmt"
	"hash"

	"golang.org/x/crypto/scrypt"

	"github.com/perilune/perilune/engine"
)

// Encrypted PKCS #8 keys: PBES2 with PBKDF2 or scrypt, and AES or triple DES in
// CBC mode (RFC 8018, RFC 7914). It is what OpenSSL, Java and Go programs write
// today.

type encryptedKeyInfo struct {
	Algorithm struct {
		OID    asn1.ObjectIdentifier
		Params pbes2Params
	}
	Data []byte
}

type pbes2Params struct{ KDF, Cipher algorithm }

var (
	oidPBES2  = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 13}
	oidPBKDF2 = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 12}
	oidScrypt = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 11591, 4, 11}
)

// pbkdf2Hashes are the pseudo-random functions by OID; the first is the default.
var pbkdf2Hashes = []struct {
	oid  asn1.ObjectIdentifier
	hash func() hash.Hash
}{
	{asn1.ObjectIdentifier{1, 2, 840, 113549, 2, 7}, sha1.New},
	{asn1.ObjectIdentifier{1, 2, 840, 113549, 2, 8}, sha256.New224},
	{asn1.ObjectIdentifier{1, 2, 840, 113549, 2, 9}, sha256.New},
	{asn1.ObjectIdentifier{1, 2, 840, 113549, 2, 10}, sha512.New384},
	{asn1.ObjectIdentifier{1, 2, 840, 113549, 2, 11}, sha512.New},
}

var pbes2Ciphers = []struct {
	oid  asn1.ObjectIdentifier
	size int
	new  func([]byte) (cipher.Block, error)
}{
	{asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 1, 2}, 16, aes.NewCipher},
	{asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 1, 22}, 24, aes.NewCipher},
	{asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 1, 42}, 32, aes.NewCipher},
	{asn1.ObjectIdentifier{1, 2, 840, 113549, 3, 7}, 24, des.NewTripleDESCipher},
}

var (
	errPBES2    = errors.New("it is encrypted in a way that this program does not read; convert it: openssl pkcs8 -topk8 -v2 aes256 -in FILE -out NEW")
	errPassword = errors.New("the password of the encrypted key is wrong, or the file is damaged")
)

// isPBES2 tells an encrypted key by its algorithm.
func isPBES2(der []byte) bool {
	var info struct {
		Algorithm algorithm
		Data      []byte
	}
	rest, err := asn1.Unmarshal(der, &info)
	return err == nil && len(rest) == 0 && info.Algorithm.OID.Equal(oidPBES2)
}

// openPBES2 decrypts a key to PKCS #8.
func openPBES2(der, password []byte) ([]byte, error) {
	var info encryptedKeyInfo
	if _, err := asn1.Unmarshal(der, &info); err != nil {
		return nil, errPBES2
	}
	for _, c := range pbes2Ciphers {
		if !c.oid.Equal(info.Algorithm.Params.Cipher.OID) {
			continue
		}
		key, err := pbes2Key(info.Algorithm.Params.KDF, password, c.size)
		if err != nil {
			return nil, err
		}
		defer clear(key)
		block, err := c.new(key)
		if err != nil {
			return nil, err
		}
		return openCBC(block, info.Algorithm.Params.Cipher.Params.FullBytes, info.Data)
	}
	return nil, errPBES2
}

func pbes2Key(kdf algorithm, password []byte, size int) ([]byte, error) {
	switch {
	case kdf.OID.Equal(oidPBKDF2):
		return pbkdf2Key(kdf.Params.FullBytes, password, size)
	case kdf.OID.Equal(oidScrypt):
		return scryptKey(kdf.Params.FullBytes, password, size)
	}
	return nil, errPBES2
}

// maxIterations and maxScryptMemory keep a damaged file from being computed on
// for hours. Fuzzing lowers them.
var (
	maxIterations   = 100_000_000
	maxScryptMemory = 1 << 30
)

func pbkdf2Key(params, password []byte, size int) ([]byte, error) {
	var p struct {
		Salt       []byte
		Iterations int
		Length     int       `asn1:"optional"`
		PRF        algorithm `asn1:"optional"`
	}
	if _, err := asn1.Unmarshal(params, &p); err != nil || p.Iterations < 1 || p.Iterations > maxIterations {
		return nil, errPBES2
	}
	for i, h := range pbkdf2Hashes {
		if h.oid.Equal(p.PRF.OID) || i == 0 && len(p.PRF.OID) == 0 {
			return pbkdf2.Key(h.hash, string(password), p.Salt, p.Iterations, size)
		}
	}
	return nil, errPBES2
}

func scryptKey(params, password []byte, size int) ([]byte, error) {
	var p struct {
		Salt    []byte
		N, R, P int
		Length  int `asn1:"optional"`
	}
	if _, err := asn1.Unmarshal(params, &p); err != nil || p.N < 2 || p.R < 1 || p.P < 1 || p.P > 64 ||
		p.R > 64 || p.N > maxScryptMemory/128/p.R {
		return nil, errPBES2
	}
	key, err := scrypt.Key(password, p.Salt, p.N, p.R, p.P, size)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errPBES2, err)
	}
	return key, nil
}

// openCBC decrypts and removes the padding. That a wrong password is told from
// a damaged key by nothing but what comes out is of no use to anybody here: who
// runs the program has the file.
func openCBC(block cipher.Block, params, data []byte) ([]byte, error) {
	var iv []byte
	if _, err := asn1.Unmarshal(params, &iv); err != nil || len(iv) != block.BlockSize() {
		return nil, errPBES2
	}
	n := len(data)
	if n == 0 || n%block.BlockSize() != 0 {
		return nil, errPassword
	}
	plain := make([]byte, n)
	cipher.NewCBCDecrypter(block, iv).CryptBlocks(plain, data)
	pad := int(plain[n-1])
	if pad < 1 || pad > block.BlockSize() {
		return nil, errPassword
	}
	plain = plain[:n-pad]
	if _, err := engine.PrivateKeyAlgorithm(plain); err != nil {
		return nil, errPassword
	}
	return plain, nil
}
