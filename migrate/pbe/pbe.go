// Package pbe opens what was encrypted with a password: private keys in PKCS #8
// and the contents of PKCS #12 and Java key stores, by today's and by older
// schemes (RFC 8018, RFC 7292, RFC 9579).
package pbe

import (
	"bytes"
	"crypto/hmac"
	"crypto/md5"
	"crypto/sha1"
	"encoding/asn1"
	"errors"
	"fmt"
	"hash"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/engine"
)

// Algorithm is an AlgorithmIdentifier.
type Algorithm struct {
	OID    asn1.ObjectIdentifier
	Params asn1.RawValue `asn1:"optional"`
}

// Errors.
var (
	ErrScheme   = errors.New("it is encrypted in a way that this program does not read; convert it: openssl pkcs8 -topk8 -v2 aes256 -in FILE -out NEW")
	ErrPassword = errors.New("the password of the encrypted key is wrong, or the file is damaged")
)

// MaxIterations and MaxScryptMemory keep a damaged file from being computed on
// for hours. Fuzzing lowers them.
var (
	MaxIterations   = 100_000_000
	MaxScryptMemory = 1 << 30
)

// block is a cipher in CBC mode, or RC4.
type block struct {
	m       ck.MechanismType
	keyType ck.KeyType
	size    int // of the key
	ivSize  int
	bits    uint64 // effective bits of RC2
}

var (
	aes128    = block{m: ck.CKM_AES_CBC, keyType: ck.CKK_AES, size: 16, ivSize: 16}
	aes192    = block{m: ck.CKM_AES_CBC, keyType: ck.CKK_AES, size: 24, ivSize: 16}
	aes256    = block{m: ck.CKM_AES_CBC, keyType: ck.CKK_AES, size: 32, ivSize: 16}
	des3      = block{m: ck.CKM_DES3_CBC, keyType: ck.CKK_DES3, size: 24, ivSize: 8}
	des2      = block{m: ck.CKM_DES3_CBC, keyType: ck.CKK_DES2, size: 16, ivSize: 8}
	des       = block{m: ck.CKM_DES_CBC, keyType: ck.CKK_DES, size: 8, ivSize: 8}
	rc2of128  = block{m: ck.CKM_RC2_CBC, keyType: ck.CKK_RC2, size: 16, ivSize: 8, bits: 128}
	rc2of64   = block{m: ck.CKM_RC2_CBC, keyType: ck.CKK_RC2, size: 8, ivSize: 8, bits: 64}
	rc2of40   = block{m: ck.CKM_RC2_CBC, keyType: ck.CKK_RC2, size: 5, ivSize: 8, bits: 40}
	rc4of128  = block{m: ck.CKM_RC4, keyType: ck.CKK_RC4, size: 16}
	rc4of40   = block{m: ck.CKM_RC4, keyType: ck.CKK_RC4, size: 5}
	camellia  = block{m: ck.CKM_CAMELLIA_CBC, keyType: ck.CKK_CAMELLIA, ivSize: 16}
	seed      = block{m: ck.CKM_SEED_CBC, keyType: ck.CKK_SEED, size: 16, ivSize: 16}
	oidPKCS5  = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5}
	oidPKCS12 = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 12, 1}
)

// scheme is a scheme with its cipher: PBES1 (RFC 8018 section 6.1), or that of PKCS
// #12 (RFC 7292 appendix C).
type scheme struct {
	oid    asn1.ObjectIdentifier
	cipher block
	hash   func() hash.Hash // of PBES1; that of PKCS #12 is SHA-1
}

func arc(base asn1.ObjectIdentifier, last int) asn1.ObjectIdentifier {
	return append(append(asn1.ObjectIdentifier{}, base...), last)
}

var schemes = []scheme{
	{oid: arc(oidPKCS12, 1), cipher: rc4of128}, {oid: arc(oidPKCS12, 2), cipher: rc4of40},
	{oid: arc(oidPKCS12, 3), cipher: des3}, {oid: arc(oidPKCS12, 4), cipher: des2},
	{oid: arc(oidPKCS12, 5), cipher: rc2of128}, {oid: arc(oidPKCS12, 6), cipher: rc2of40},
	{oid: arc(oidPKCS5, 3), cipher: des, hash: md5.New}, {oid: arc(oidPKCS5, 6), cipher: rc2of64, hash: md5.New},
	{oid: arc(oidPKCS5, 10), cipher: des, hash: sha1.New}, {oid: arc(oidPKCS5, 11), cipher: rc2of64, hash: sha1.New},
}

// Known reports whether Open knows a scheme.
func Known(oid asn1.ObjectIdentifier) bool {
	for _, s := range schemes {
		if s.oid.Equal(oid) {
			return true
		}
	}
	return oid.Equal(oidPBES2)
}

// Open decrypts data. The password is UTF-8. Whether it was the right one, the
// padding tells, though not for sure, and not at all with RC4.
func Open(alg Algorithm, password, data []byte) ([]byte, error) {
	if alg.OID.Equal(oidPBES2) {
		return openPBES2(alg.Params.FullBytes, password, data)
	}
	for _, s := range schemes {
		if s.oid.Equal(alg.OID) {
			return s.open(alg.Params.FullBytes, password, data)
		}
	}
	return nil, ErrScheme
}

// Params are the parameters of all schemes but PBES2.
type Params struct {
	Salt       []byte
	Iterations int
}

// ReadParams reads them.
func ReadParams(der []byte) (p Params, err error) {
	if rest, err := asn1.Unmarshal(der, &p); err != nil || len(rest) > 0 || p.Iterations < 1 || p.Iterations > MaxIterations {
		return p, ErrScheme
	}
	return p, nil
}

func (s *scheme) open(params, password, data []byte) ([]byte, error) {
	p, err := ReadParams(params)
	if err != nil {
		return nil, err
	}
	if s.hash != nil {
		dk := kdf1(s.hash, password, p)
		defer clear(dk)
		return s.cipher.open(dk[:8], dk[8:16], data)
	}
	text, err := BMP(password)
	if err != nil {
		return nil, err
	}
	defer clear(text)
	plain, err := s.openPKCS12(text, p, data)
	if err != nil && len(password) == 0 { // some take no password for no bytes, others for an end of string
		plain, err = s.openPKCS12(nil, p, data)
	}
	return plain, err
}

func (s *scheme) openPKCS12(text []byte, p Params, data []byte) ([]byte, error) {
	key := KDF(sha1.New, keyForKey, text, p, s.cipher.size)
	defer clear(key)
	return s.cipher.open(key, KDF(sha1.New, keyForIV, text, p, s.cipher.ivSize), data)
}

// kdf1 is PBKDF1 (RFC 8018 section 5.1), with all bytes of the last hash.
func kdf1(h func() hash.Hash, password []byte, p Params) []byte {
	d := append(bytes.Clone(password), p.Salt...)
	for range p.Iterations {
		m := h()
		m.Write(d)
		d = m.Sum(nil)
	}
	return d
}

// What KDF makes its bytes for (RFC 7292 appendix B.3).
const (
	keyForKey = 1
	keyForIV  = 2
	keyForMAC = 3
)

// KDF is the key derivation of PKCS #12 (RFC 7292 appendix B.2). text is a password
// as BMP makes it.
func KDF(h func() hash.Hash, id byte, text []byte, p Params, size int) (out []byte) {
	v := h().BlockSize()
	fill := func(b []byte) (full []byte) {
		if len(b) > 0 {
			full = bytes.Repeat(b, (len(b)+v-1)/v*v/len(b)+1)[:(len(b)+v-1)/v*v]
		}
		return full
	}
	d, i := bytes.Repeat([]byte{id}, v), append(fill(p.Salt), fill(text)...)
	for len(out) < size {
		a := append(bytes.Clone(d), i...)
		for range p.Iterations {
			m := h()
			m.Write(a)
			a = m.Sum(nil)
		}
		out = append(out, a...)
		b := bytes.Repeat(a, v/len(a)+1)[:v]
		for j := 0; j < len(i); j += v {
			addOne(i[j:j+v], b)
		}
	}
	return out[:size]
}

// addOne adds b and 1 to a, big-endian, without what does not fit.
func addOne(a, b []byte) {
	carry := 1
	for k := len(a) - 1; k >= 0; k-- {
		carry += int(a[k]) + int(b[k])
		a[k], carry = byte(carry), carry>>8
	}
}

// BMP is a password as PKCS #12 hashes it: UTF-16, big-endian, with its end.
func BMP(password []byte) ([]byte, error) {
	if !utf8.Valid(password) {
		return nil, errors.New("the password is not in UTF-8")
	}
	var out []byte
	for _, u := range append(utf16.Encode([]rune(string(password))), 0) {
		out = append(out, byte(u>>8), byte(u))
	}
	return out, nil
}

// open decrypts and removes the padding. That a wrong password is told from
// a damaged file by nothing but what comes out is of no use to anybody here: who
// runs the program has the file.
func (b *block) open(key, iv, data []byte) ([]byte, error) {
	if len(iv) != b.ivSize {
		return nil, ErrScheme
	}
	if b.ivSize > 0 && (len(data) == 0 || len(data)%b.ivSize != 0) {
		return nil, ErrPassword
	}
	var param any
	switch {
	case b.bits > 0:
		param = &engine.RC2CBCParams{EffectiveBits: b.bits, IV: [8]byte(iv)}
	case b.ivSize > 0:
		param = iv
	}
	op, err := engine.Find(b.m).Decrypt(&engine.Key{Class: ck.CKO_SECRET_KEY, Type: b.keyType, Attrs: []ck.Attribute{ck.NewBytes(ck.CKA_VALUE, key)}}, param)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrScheme, err)
	}
	plain := make([]byte, len(data)+b.ivSize)
	n, err := op.Finish(plain, data)
	if err != nil {
		return nil, ErrPassword
	}
	if b.ivSize == 0 {
		return plain[:n], nil
	}
	return unpad(plain[:n], b.ivSize)
}

func unpad(plain []byte, size int) ([]byte, error) {
	if len(plain) == 0 {
		return nil, ErrPassword
	}
	pad := int(plain[len(plain)-1])
	if pad < 1 || pad > size || pad > len(plain) || !bytes.HasSuffix(plain, bytes.Repeat([]byte{byte(pad)}, pad)) {
		return nil, ErrPassword
	}
	return plain[:len(plain)-pad], nil
}

// OpenDES3 and OpenAES256 are for schemes of others that end in triple DES or AES,
// in CBC mode with padding.
func OpenDES3(key, iv, data []byte) ([]byte, error)   { return des3.open(key, iv, data) }
func OpenAES256(key, iv, data []byte) ([]byte, error) { return aes256.open(key, iv, data) }

// EncryptedKey is EncryptedPrivateKeyInfo (RFC 5958 section 3).
type EncryptedKey struct {
	Algorithm Algorithm
	Data      []byte
}

// IsSequence reports whether der is a SEQUENCE and nothing else, as a decrypted key
// is. Padding can be right by chance.
func IsSequence(der []byte) bool {
	var v asn1.RawValue
	rest, err := asn1.Unmarshal(der, &v)
	return err == nil && len(rest) == 0 && v.Tag == asn1.TagSequence
}

// CheckMAC checks the MAC of a PKCS #12 file (RFC 7292 section 4, RFC 9579).
func CheckMAC(alg Algorithm, p Params, password, content, mac []byte) (bool, error) {
	if alg.OID.Equal(oidPBMAC1) {
		want, err := pbmac1(alg.Params.FullBytes, password, content)
		return hmac.Equal(want, mac), err
	}
	h := hashNamed(alg.OID)
	if h == nil {
		return false, fmt.Errorf("its MAC is made with an algorithm that this program does not have (OID %v)", alg.OID)
	}
	if p.Iterations < 1 || p.Iterations > MaxIterations {
		return false, errors.New("it is damaged: its MAC has no possible number of iterations")
	}
	text, err := BMP(password)
	if err != nil {
		return false, err
	}
	defer clear(text)
	if checkMAC(h, text, p, content, mac) {
		return true, nil
	}
	return len(password) == 0 && checkMAC(h, nil, p, content, mac), nil
}

func checkMAC(h func() hash.Hash, text []byte, p Params, content, mac []byte) bool {
	key := KDF(h, keyForMAC, text, p, h().Size())
	defer clear(key)
	m := hmac.New(h, key)
	m.Write(content)
	return hmac.Equal(m.Sum(nil), mac)
}
