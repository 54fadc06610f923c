package engine

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/perilune/perilune/cryptoki/ck"
)

// Keys and IVs from passwords, by the functions of PKCS #5 v1 (PBKDF1, RFC 8018,
// section 5.1) and of PKCS #12 (RFC 7292, appendix B.2). PKCS#11 v3.1 sections
// 6.37 and 6.38; PKCS#11 historical mechanisms v3.1.

// pbe is one mechanism: what it makes and how.
type pbe struct {
	mechanism ck.MechanismType
	old       []ck.MechanismType
	makes     ck.KeyType
	hash      ck.MechanismType
	// length is that of the key; variable says that the template may ask for
	// another, up to max.
	length, max int
	// pkcs12 is the purpose of the key in PKCS #12; 0 stands for PBKDF1.
	pkcs12 byte
	noIV   bool
	parity bool // DES keys

	test    pbeTest
	vectors string
}

// pbeTest is a known answer.
type pbeTest struct {
	password, salt string
	iterations     uint64
	key, iv        string
}

const (
	vectorsPBKDF1SHA1 = "PyCryptodome's test of PBKDF1 (di-mgt.com.au)"
	vectorsPBKDF1     = "tests of Crypt::PBE (Perl), for MD5 also of passlib"
	vectorsPKCS12     = "OpenSSL PKCS#12 FAQ test.txt (S. Henson), as in GnuTLS and Bouncy Castle"
)

// The answers, which are also those of the mechanisms with shorter keys: the
// functions return the beginning of the same bytes.
var (
	pbkdf1MD2  = pbeTest{"password", "73616c74", 1000, "da02961ebd4484c3", "1f40ea81eec14aff"}
	pbkdf1SHA1 = pbeTest{"password", "78578e5a5d63cb06", 1000, "dc19847e05c64d2f", "af10ebfb4a3d2a20"}
	pbkdf1MD5  = pbeTest{"password", "73616c74", 1000, "8475c6a8531a5d27", "e386cd496457812c"}
	pkcs12Key  = pbeTest{"smeg", "0a58cf64530d823f", 1, "8aaae6297b6cb04642ab5b077851284eb7128f1a2a7fbca3", "79993dfe048d3b76"}
)

var pbes = []pbe{
	{mechanism: ck.CKM_PBE_MD2_DES_CBC, makes: ck.CKK_DES, hash: ck.CKM_MD2, length: 8, max: 8, parity: true,
		test: pbkdf1MD2, vectors: vectorsPBKDF1},
	{mechanism: ck.CKM_PBE_MD5_DES_CBC, makes: ck.CKK_DES, hash: ck.CKM_MD5, length: 8, max: 8, parity: true,
		test: pbkdf1MD5, vectors: vectorsPBKDF1},
	// PBKDF1 yields 16 and 20 bytes, of which the IV takes 8.
	{mechanism: ck.CKM_PBE_MD5_CAST128_CBC, makes: ck.CKK_CAST128, hash: ck.CKM_MD5, length: 8, max: 8,
		test: pbkdf1MD5, vectors: vectorsPBKDF1},
	{mechanism: ck.CKM_PBE_SHA1_CAST128_CBC, makes: ck.CKK_CAST128, hash: ck.CKM_SHA_1, length: 8, max: 12,
		test: pbkdf1SHA1, vectors: vectorsPBKDF1SHA1},

	{mechanism: ck.CKM_PBE_SHA1_RC4_128, makes: ck.CKK_RC4, hash: ck.CKM_SHA_1, length: 16, max: 16, pkcs12: 1, noIV: true,
		test: pkcs12Key, vectors: vectorsPKCS12},
	{mechanism: ck.CKM_PBE_SHA1_RC4_40, makes: ck.CKK_RC4, hash: ck.CKM_SHA_1, length: 5, max: 5, pkcs12: 1, noIV: true,
		test: pkcs12Key, vectors: vectorsPKCS12},
	// What the old numbers did otherwise is not published.
	{mechanism: ck.CKM_PBE_SHA1_DES3_EDE_CBC, old: []ck.MechanismType{ck.CKM_PBE_SHA1_DES3_EDE_CBC_OLD}, makes: ck.CKK_DES3,
		hash: ck.CKM_SHA_1, length: 24, max: 24, pkcs12: 1, parity: true, test: pkcs12Key, vectors: vectorsPKCS12},
	{mechanism: ck.CKM_PBE_SHA1_DES2_EDE_CBC, old: []ck.MechanismType{ck.CKM_PBE_SHA1_DES2_EDE_CBC_OLD}, makes: ck.CKK_DES2,
		hash: ck.CKM_SHA_1, length: 16, max: 16, pkcs12: 1, parity: true, test: pkcs12Key, vectors: vectorsPKCS12},
	{mechanism: ck.CKM_PBE_SHA1_RC2_128_CBC, makes: ck.CKK_RC2, hash: ck.CKM_SHA_1, length: 16, max: 16, pkcs12: 1,
		test: pkcs12Key, vectors: vectorsPKCS12},
	{mechanism: ck.CKM_PBE_SHA1_RC2_40_CBC, makes: ck.CKK_RC2, hash: ck.CKM_SHA_1, length: 5, max: 5, pkcs12: 1,
		test: pkcs12Key, vectors: vectorsPKCS12},
	{mechanism: ck.CKM_PBA_SHA1_WITH_SHA1_HMAC, makes: ck.CKK_GENERIC_SECRET, hash: ck.CKM_SHA_1, length: 20, max: 20,
		pkcs12: 3, noIV: true,
		test:    pbeTest{"smeg", "3d83c0e4546ac140", 1, "8d967d88f6caa9d714800ab3d48051d63f73a312", ""},
		vectors: vectorsPKCS12},
}

func init() { later(pbeMechanisms) }

func pbeMechanisms() {
	for _, b := range pbes {
		leaks := ""
		if b.hash == ck.CKM_MD2 {
			leaks = sboxLeaks
		}
		unit := uint64(1)
		if b.makes == ck.CKK_RC2 || b.makes == ck.CKK_RC4 {
			unit = 8 // their sizes are in bits
		}
		register(&Mechanism{
			Type: b.mechanism, Aliases: b.old, Param: (*PBEParams)(nil), Makes: b.makes,
			Min: unit * uint64(b.min()), Max: unit * uint64(b.max),
			Generate: b.generate,
			SelfTest: b.selfTest,
			Leaks:    leaks, Vectors: b.vectors,
		})
	}
}

// PBEParams is CK_PBE_PARAMS.
type PBEParams struct {
	IV         *[8]byte `c:"ptr,inout"` // returned
	Password   []byte   `c:"ptr,len"`   // UTF-8
	Salt       []byte   `c:"ptr,len"`
	Iterations uint64
}

func (b *pbe) min() int {
	if b.makes == ck.CKK_CAST128 {
		return 1
	}
	return b.length
}

// generate makes the value attributes of the key, and fills in the IV.
func (b *pbe) generate(param any, template []ck.Attribute) ([]ck.Attribute, error) {
	p, err := structParam[PBEParams](param)
	if err != nil {
		return nil, err
	}
	n, err := b.keyLen(template)
	if err != nil {
		return nil, err
	}
	if p.Iterations < 1 || p.Iterations > maxPBKDF2Work/8 {
		return nil, fmt.Errorf("too few or too many iterations: %w", ck.CKR_MECHANISM_PARAM_INVALID)
	}
	if p.IV == nil && !b.noIV {
		return nil, fmt.Errorf("there is no place for the IV: %w", ck.CKR_MECHANISM_PARAM_INVALID)
	}
	h := findHash(b.hash)
	var key, iv []byte
	if b.pkcs12 == 0 {
		out := pbkdf1(h.new(), p.Password, p.Salt, p.Iterations)
		key, iv = out[:n], out[n:n+8]
	} else {
		password, err := bmpString(p.Password)
		if err != nil {
			return nil, err
		}
		key = pkcs12KDF(h.new(), b.pkcs12, password, p.Salt, p.Iterations, n)
		if !b.noIV {
			iv = pkcs12KDF(h.new(), pkcs12IV, password, p.Salt, p.Iterations, 8)
		}
		clear(password)
	}
	if !b.noIV {
		copy(p.IV[:], iv)
	}
	if b.parity {
		oddParity(key)
	}
	return secretValue(key), nil
}

// keyLen is the length of the key that the template describes.
func (b *pbe) keyLen(template []ck.Attribute) (int, error) {
	if a := ck.Find(template, ck.CKA_KEY_TYPE); a != nil {
		if t, ok := ck.ULong(a.Value); !ok || ck.KeyType(t) != b.makes {
			return 0, fmt.Errorf("the mechanism makes another type of key: %w", ck.CKR_TEMPLATE_INCONSISTENT)
		}
	}
	if ck.Find(template, ck.CKA_VALUE_LEN) == nil {
		return b.length, nil
	}
	n, err := valueLen(template)
	if err == nil && (n < b.min() || n > b.max) {
		err = fmt.Errorf("a key of the mechanism has %d to %d bytes: %w", b.min(), b.max, ck.CKR_ATTRIBUTE_VALUE_INVALID)
	}
	return n, err
}

// pbkdf1 is RFC 8018, section 5.1, to its full length.
func pbkdf1(h hash.Hash, password, salt []byte, iterations uint64) []byte {
	h.Write(password)
	h.Write(salt)
	t := h.Sum(nil)
	for range iterations - 1 {
		h.Reset()
		h.Write(t)
		t = h.Sum(t[:0])
	}
	return t
}

// pkcs12IV is the purpose of an IV; pbe.pkcs12 has those of keys (RFC 7292,
// appendix B.3).
const pkcs12IV = 2

// pkcs12KDF is RFC 7292, appendix B.2.
func pkcs12KDF(h hash.Hash, purpose byte, password, salt []byte, iterations uint64, n int) []byte {
	v := h.BlockSize()
	diversifier := make([]byte, v)
	for i := range diversifier {
		diversifier[i] = purpose
	}
	input := append(stretched(salt, v), stretched(password, v)...)
	defer clear(input)
	out := make([]byte, 0, n+h.Size())
	for {
		h.Reset()
		h.Write(diversifier)
		h.Write(input)
		a := h.Sum(nil)
		for range iterations - 1 {
			h.Reset()
			h.Write(a)
			a = h.Sum(a[:0])
		}
		if out = append(out, a...); len(out) >= n {
			return out[:n]
		}
		b := stretched(a, v)
		for i := 0; i < len(input); i += v {
			addOne(input[i:i+v], b)
		}
	}
}

// stretched repeats b to whole blocks of v bytes.
func stretched(b []byte, v int) []byte {
	out := make([]byte, (len(b)+v-1)/v*v)
	for n := 0; n < len(out); {
		n += copy(out[n:], b)
	}
	return out
}

// addOne adds b and 1 to a, which are numbers of the same length; the highest
// byte is the first.
func addOne(a, b []byte) {
	carry := uint16(1)
	for i := len(a) - 1; i >= 0; i-- {
		carry += uint16(a[i]) + uint16(b[i])
		a[i] = byte(carry)
		carry >>= 8
	}
}

// bmpString is a password as PKCS #12 has it: UTF-16, the high byte first, with
// a zero at the end (RFC 7292, appendix B.1). No password, in contrast to an
// empty one, is nothing at all.
func bmpString(password []byte) ([]byte, error) {
	if password == nil {
		return nil, nil
	}
	if !utf8.Valid(password) {
		return nil, fmt.Errorf("the password is no UTF-8: %w", ck.CKR_MECHANISM_PARAM_INVALID)
	}
	out := make([]byte, 0, 2*len(password)+2)
	for len(password) > 0 {
		r, n := utf8.DecodeRune(password)
		password = password[n:]
		if r1, r2 := utf16.EncodeRune(r); r1 != utf8.RuneError {
			out = binary.BigEndian.AppendUint16(out, uint16(r1))
			r = r2
		}
		out = binary.BigEndian.AppendUint16(out, uint16(r))
	}
	return append(out, 0, 0), nil
}

func (b *pbe) selfTest() error {
	iv := new([8]byte)
	attrs, err := b.generate(&PBEParams{iv, []byte(b.test.password), unhex(b.test.salt), b.test.iterations}, nil)
	if err != nil {
		return err
	}
	want := unhex(b.test.key)[:b.length]
	if b.parity {
		oddParity(want)
	}
	v := ck.Find(attrs, ck.CKA_VALUE)
	if v == nil || string(v.Value) != string(want) || !b.noIV && hex.EncodeToString(iv[:]) != b.test.iv {
		return errSelfTest(b.mechanism)
	}
	return nil
}
