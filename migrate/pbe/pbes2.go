package pbe

import (
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha3"
	"crypto/sha512"
	"encoding/asn1"
	"fmt"
	"hash"

	"golang.org/x/crypto/scrypt"
)

// PBES2 with PBKDF2 or scrypt, and a cipher in CBC mode (RFC 8018, RFC 7914). It
// is what OpenSSL, Java and Go programs write today.

var (
	oidPBES2  = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 13}
	oidPBMAC1 = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 14}
	oidPBKDF2 = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 12}
	oidScrypt = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 11591, 4, 11}
	oidDigest = asn1.ObjectIdentifier{1, 2, 840, 113549, 2}
	oidNIST   = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4}
)

// hashes are hash functions by their OID and that of their HMAC, which is the
// pseudo-random function of PBKDF2; the first is its default.
var hashes = []struct {
	oid, hmac asn1.ObjectIdentifier
	new       func() hash.Hash
}{
	{asn1.ObjectIdentifier{1, 3, 14, 3, 2, 26}, arc(oidDigest, 7), sha1.New},
	{append(arc(oidNIST, 2), 4), arc(oidDigest, 8), sha256.New224},
	{append(arc(oidNIST, 2), 1), arc(oidDigest, 9), sha256.New},
	{append(arc(oidNIST, 2), 2), arc(oidDigest, 10), sha512.New384},
	{append(arc(oidNIST, 2), 3), arc(oidDigest, 11), sha512.New},
	{append(arc(oidNIST, 2), 5), arc(oidDigest, 12), sha512.New512_224},
	{append(arc(oidNIST, 2), 6), arc(oidDigest, 13), sha512.New512_256},
	{append(arc(oidNIST, 2), 8), append(arc(oidNIST, 2), 14), func() hash.Hash { return sha3.New256() }},
	{append(arc(oidNIST, 2), 10), append(arc(oidNIST, 2), 16), func() hash.Hash { return sha3.New512() }},
}

func hashNamed(oid asn1.ObjectIdentifier) func() hash.Hash {
	for _, h := range hashes {
		if h.oid.Equal(oid) {
			return h.new
		}
	}
	return nil
}

func hmacNamed(oid asn1.ObjectIdentifier) func() hash.Hash {
	for _, h := range hashes {
		if h.hmac.Equal(oid) {
			return h.new
		}
	}
	return nil
}

// pbes2Ciphers have their IV as parameter; RC2 does not, and is not among them.
var pbes2Ciphers = []struct {
	oid    asn1.ObjectIdentifier
	cipher block
	size   int // of the key, where the cipher leaves it open
}{
	{append(arc(oidNIST, 1), 2), aes128, 0},
	{append(arc(oidNIST, 1), 22), aes192, 0},
	{append(arc(oidNIST, 1), 42), aes256, 0},
	{asn1.ObjectIdentifier{1, 2, 840, 113549, 3, 7}, des3, 0},
	{asn1.ObjectIdentifier{1, 3, 14, 3, 2, 7}, des, 0},
	{asn1.ObjectIdentifier{1, 2, 392, 200011, 61, 1, 1, 1, 2}, camellia, 16},
	{asn1.ObjectIdentifier{1, 2, 392, 200011, 61, 1, 1, 1, 3}, camellia, 24},
	{asn1.ObjectIdentifier{1, 2, 392, 200011, 61, 1, 1, 1, 4}, camellia, 32},
	{asn1.ObjectIdentifier{1, 2, 410, 200004, 1, 4}, seed, 0},
}

func openPBES2(params, password, data []byte) ([]byte, error) {
	var p struct{ KDF, Cipher Algorithm }
	if rest, err := asn1.Unmarshal(params, &p); err != nil || len(rest) > 0 {
		return nil, ErrScheme
	}
	for _, c := range pbes2Ciphers {
		if !c.oid.Equal(p.Cipher.OID) {
			continue
		}
		key, err := derive(p.KDF, password, max(c.size, c.cipher.size))
		if err != nil {
			return nil, err
		}
		defer clear(key)
		var iv []byte
		if _, err := asn1.Unmarshal(p.Cipher.Params.FullBytes, &iv); err != nil {
			return nil, ErrScheme
		}
		return c.cipher.open(key, iv, data)
	}
	return nil, ErrScheme
}

// derive makes a key; size 0 leaves its length to the parameter.
func derive(kdf Algorithm, password []byte, size int) ([]byte, error) {
	switch {
	case kdf.OID.Equal(oidPBKDF2):
		return pbkdf2Key(kdf.Params.FullBytes, password, size)
	case kdf.OID.Equal(oidScrypt):
		return scryptKey(kdf.Params.FullBytes, password, size)
	}
	return nil, ErrScheme
}

func pbkdf2Key(params, password []byte, size int) ([]byte, error) {
	var p struct {
		Salt       []byte
		Iterations int
		Length     int       `asn1:"optional"`
		PRF        Algorithm `asn1:"optional"`
	}
	if _, err := asn1.Unmarshal(params, &p); err != nil || p.Iterations < 1 || p.Iterations > MaxIterations {
		return nil, ErrScheme
	}
	if size == 0 {
		size = p.Length
	}
	h := sha1.New
	if len(p.PRF.OID) > 0 {
		h = hmacNamed(p.PRF.OID)
	}
	if h == nil || size < 1 || size > 1024 {
		return nil, ErrScheme
	}
	return pbkdf2.Key(h, string(password), p.Salt, p.Iterations, size)
}

func scryptKey(params, password []byte, size int) ([]byte, error) {
	var p struct {
		Salt    []byte
		N, R, P int
		Length  int `asn1:"optional"`
	}
	if _, err := asn1.Unmarshal(params, &p); err != nil || p.N < 2 || p.R < 1 || p.P < 1 || p.P > 64 ||
		p.R > 64 || p.N > MaxScryptMemory/128/p.R || size == 0 {
		return nil, ErrScheme
	}
	key, err := scrypt.Key(password, p.Salt, p.N, p.R, p.P, size)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrScheme, err)
	}
	return key, nil
}

// pbmac1 is the MAC of RFC 8018 section 7.1.
func pbmac1(params, password, content []byte) ([]byte, error) {
	var p struct{ KDF, MAC Algorithm }
	if rest, err := asn1.Unmarshal(params, &p); err != nil || len(rest) > 0 {
		return nil, ErrScheme
	}
	h := hmacNamed(p.MAC.OID)
	if h == nil {
		return nil, fmt.Errorf("its MAC is made with an algorithm that this program does not have (OID %v)", p.MAC.OID)
	}
	key, err := derive(p.KDF, password, 0)
	if err != nil {
		return nil, err
	}
	defer clear(key)
	m := hmac.New(h, key)
	m.Write(content)
	return m.Sum(nil), nil
}
