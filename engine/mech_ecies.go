package engine

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/des"
	"crypto/hmac"
	"crypto/subtle"
	"fmt"
	"hash"
	"slices"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/engine/internal/ct"
)

// ECIES, encryption for the holder of an elliptic curve key (SEC 1, section
// 5.1; IEEE 1363a and ISO/IEC 18033-2 without DHAES mode): an ephemeral point,
// what is encrypted, and an authentication code of it.

func init() { later(eciesMechanisms) }

func eciesMechanisms() {
	register(&Mechanism{
		Type: ck.CKM_ECIES, Param: (*ECIESParams)(nil),
		Keys: []ck.KeyType{ck.CKK_EC, ck.CKK_EC_MONTGOMERY, ck.CKK_BIP32},
		Min:  ecMinBits, Max: ecMaxBits, Flags: ecFlags,
		FIPS: true, FIPSMin: ecFIPSBits, LegacyMin: ecLegacyBits,
		Vectors: "GEC 2 section 3; Botan's vectors, made with Bouncy Castle",
		Leaks:   "with 3DES: " + sboxLeaks,
		Approve: approveAll(approveCurve, approveKDF, approveECIES),
		Encrypt: eciesEncrypt, Decrypt: eciesDecrypt,
		SelfTest: testECIES,
	})
}

// ECIESParams is CK_ECIES_PARAMS.
type ECIESParams struct {
	DHPrimitive uint64
	KDF         ck.KDF
	SharedData1 []byte `c:"len,ptr"`
	EncScheme   uint64
	EncKeyBits  uint64
	MACScheme   uint64
	MACKeyBits  uint64
	MACBits     uint64
	SharedData2 []byte `c:"len,ptr"`
}

// eciesScheme is one choice of everything that can be chosen.
type eciesScheme struct {
	eciesCipher
	cofactor bool
	kdf      ecKDF
	encKey   int // length of the key in bytes
	info1    []byte

	hash           func() hash.Hash
	hmac           bool
	macKey, macLen int // in bytes
	info2          []byte
}

// eciesCipher is a way to encrypt. new is nil for XOR with as many bytes of
// key as there are of message.
type eciesCipher struct {
	new      func(key []byte) (cipher.Block, error)
	block    int
	keyBits  []uint64
	isPadded bool
}

var (
	eciesAES  = eciesCipher{new: aes.NewCipher, block: aes.BlockSize, keyBits: []uint64{128, 192, 256}}
	eciesDES3 = eciesCipher{new: newDES3, block: des.BlockSize, keyBits: []uint64{128, 192}}
)

var eciesCiphers = map[uint64]eciesCipher{
	ck.CKES_XOR:          {block: 1},
	ck.CKES_AES_CBC:      eciesAES,
	ck.CKES_AES_CBC_PAD:  eciesAES.padded(),
	ck.CKES_DES3_CBC:     eciesDES3,
	ck.CKES_DES3_CBC_PAD: eciesDES3.padded(),
}

func (c eciesCipher) padded() eciesCipher {
	c.isPadded = true
	return c
}

// eciesHashes are those of the authentication schemes: of the odd ones under
// HMAC, of the even ones with the key before the message.
var eciesHashes = map[uint64]ck.MechanismType{
	ck.CKMS_HMAC_SHA1: ck.CKM_SHA_1, ck.CKMS_SHA1: ck.CKM_SHA_1,
	ck.CKMS_HMAC_SHA224: ck.CKM_SHA224, ck.CKMS_SHA224: ck.CKM_SHA224,
	ck.CKMS_HMAC_SHA256: ck.CKM_SHA256, ck.CKMS_SHA256: ck.CKM_SHA256,
	ck.CKMS_HMAC_SHA384: ck.CKM_SHA384, ck.CKMS_SHA384: ck.CKM_SHA384,
	ck.CKMS_HMAC_SHA512: ck.CKM_SHA512, ck.CKMS_SHA512: ck.CKM_SHA512,
	ck.CKMS_HMAC_RIPEMD160: ck.CKM_RIPEMD160, ck.CKMS_RIPEMD160: ck.CKM_RIPEMD160,
}

// eciesMaxMACKey is longer than the blocks of all these, so that a longer key
// would be none the better.
const eciesMaxMACKey = 256

func parseECIES(p any) (*eciesScheme, error) {
	params, err := structParam[ECIESParams](p)
	if err != nil {
		return nil, err
	}
	s := &eciesScheme{
		cofactor: params.DHPrimitive == ck.CKDHP_ECDH1_COFACTOR,
		info1:    params.SharedData1, info2: params.SharedData2,
	}
	if !s.cofactor && params.DHPrimitive != ck.CKDHP_STANDARD {
		return nil, fmt.Errorf("unknown Diffie-Hellman primitive: %w", ck.CKR_MECHANISM_PARAM_INVALID)
	}
	var known bool
	if s.kdf, known = ecKDFs[params.KDF]; !known || s.kdf.der {
		return nil, fmt.Errorf("unknown key derivation function: %w", ck.CKR_MECHANISM_PARAM_INVALID)
	}
	if err := s.setCipher(params); err != nil {
		return nil, err
	}
	if err := s.setMAC(params); err != nil {
		return nil, err
	}
	return s, nil
}

func (s *eciesScheme) setCipher(params *ECIESParams) error {
	var known bool
	if s.eciesCipher, known = eciesCiphers[params.EncScheme]; !known {
		return fmt.Errorf("unknown encryption scheme: %w", ck.CKR_MECHANISM_PARAM_INVALID)
	}
	if s.new == nil {
		return nil // whatever length of key the caller put there
	}
	if !slices.Contains(s.keyBits, params.EncKeyBits) {
		return fmt.Errorf("the cipher has no keys of this length: %w", ck.CKR_MECHANISM_PARAM_INVALID)
	}
	s.encKey = int(params.EncKeyBits / 8)
	return nil
}

func (s *eciesScheme) setMAC(params *ECIESParams) error {
	h := findHash(eciesHashes[params.MACScheme]) // no digest has the number 0
	if h == nil {
		return fmt.Errorf("unknown authentication scheme: %w", ck.CKR_MECHANISM_PARAM_INVALID)
	}
	if !isByteLength(params.MACKeyBits, eciesMaxMACKey) || !isByteLength(params.MACBits, h.size) {
		return fmt.Errorf("wrong length of an authentication key or code: %w", ck.CKR_MECHANISM_PARAM_INVALID)
	}
	s.hash, s.hmac = h.new, params.MACScheme%2 == 1
	s.macKey, s.macLen = int(params.MACKeyBits/8), int(params.MACBits/8)
	return nil
}

// isByteLength reports whether bits make 1 to max bytes.
func isByteLength(bits uint64, max int) bool {
	return bits > 0 && bits%8 == 0 && bits <= 8*uint64(max)
}

// keys derives the keys for n bytes of encrypted data.
func (s *eciesScheme) keys(secret []byte, n int) (enc, mac []byte) {
	size := s.encKey
	if s.new == nil {
		size = n
	}
	b := s.kdf.derive(secret, s.info1, size+s.macKey)
	return b[:size], b[size:]
}

// encryptedLen is the length of n bytes when encrypted.
func (s *eciesScheme) encryptedLen(n int) int {
	if s.isPadded {
		return n - n%s.block + s.block
	}
	return n
}

// isEncryptedLen reports whether encrypted data can be n bytes long.
func (s *eciesScheme) isEncryptedLen(n int) bool {
	switch {
	case s.new == nil:
		return n <= maxDerived-s.macKey
	case s.isPadded && n == 0:
		return false
	}
	return n%s.block == 0
}

// seal encrypts message into dst, and appends the code.
func (s *eciesScheme) seal(dst, secret, message []byte) error {
	n := s.encryptedLen(len(message))
	enc, mac := s.keys(secret, n)
	defer clear(enc)
	defer clear(mac)
	body := dst[:n]
	if s.new == nil {
		subtle.XORBytes(body, message, enc)
	} else {
		block, err := s.new(enc)
		if err != nil {
			return err
		}
		for i := copy(body, message); i < n; i++ {
			body[i] = byte(n - len(message))
		}
		cipher.NewCBCEncrypter(block, make([]byte, s.block)).CryptBlocks(body, body)
	}
	copy(dst[n:], s.tag(mac, body))
	return nil
}

// open checks the code and decrypts in place.
func (s *eciesScheme) open(secret, sealed []byte) ([]byte, error) {
	n := len(sealed) - s.macLen
	body := sealed[:n]
	enc, mac := s.keys(secret, n)
	defer clear(enc)
	defer clear(mac)
	if ct.Reveal(ct.Equal(s.tag(mac, body), sealed[n:])) != 1 {
		return nil, ck.CKR_ENCRYPTED_DATA_INVALID
	}
	if s.new == nil {
		subtle.XORBytes(body, body, enc)
		return body, nil
	}
	block, err := s.new(enc)
	if err != nil {
		return nil, err
	}
	cipher.NewCBCDecrypter(block, make([]byte, s.block)).CryptBlocks(body, body)
	if !s.isPadded {
		return body, nil
	}
	last := n - s.block
	rest, ok := ct.PKCS7Len(body[last:])
	if ct.Reveal(ok) != 1 {
		clear(body)
		return nil, ck.CKR_ENCRYPTED_DATA_INVALID
	}
	return body[:last+ct.Reveal(rest)], nil
}

func (s *eciesScheme) tag(key, body []byte) []byte {
	var h hash.Hash
	if s.hmac {
		h = hmac.New(s.hash, key)
	} else {
		h = s.hash()
		h.Write(key)
	}
	h.Write(body)
	h.Write(s.info2)
	return h.Sum(nil)[:s.macLen]
}

// eciesMaxParts bounds a message that comes in parts, as these are collected.
const eciesMaxParts = 1 << 16

// eciesOp collects a message, and encrypts or decrypts it at the end.
type eciesOp struct {
	*eciesScheme
	curve *curve
	point []byte   // of the recipient, to encrypt
	key   *ecdhKey // to decrypt
	held  []byte
}

func eciesEncrypt(k *Key, p any) (Op, error) {
	s, err := parseECIES(p)
	if err != nil {
		return nil, err
	}
	c, err := ecCurve(k)
	if err != nil {
		return nil, err
	}
	point, err := ecPublicPoint(k, c)
	if err != nil {
		return nil, fmt.Errorf("unusable EC public key: %w", ck.CKR_KEY_TYPE_INCONSISTENT)
	}
	return &eciesOp{eciesScheme: s, curve: c, point: point}, nil
}

func eciesDecrypt(k *Key, p any) (Op, error) {
	s, err := parseECIES(p)
	if err != nil {
		return nil, err
	}
	key, err := ecdhPrivate(k)
	if err != nil {
		return nil, err
	}
	return &eciesOp{eciesScheme: s, curve: key.curve, key: key}, nil
}

func (o *eciesOp) UpdateLen(int) int { return 0 }

func (o *eciesOp) Update(_, src []byte) (int, error) {
	if len(o.held)+len(src) > eciesMaxParts {
		return 0, o.lengthError()
	}
	grown := append(o.held[:len(o.held):len(o.held)], src...)
	clear(o.held)
	o.held = grown
	return 0, nil
}

func (o *eciesOp) lengthError() error {
	if o.key != nil {
		return ck.CKR_ENCRYPTED_DATA_LEN_RANGE
	}
	return ck.CKR_DATA_LEN_RANGE
}

// FinishLen takes the ephemeral point that we write as uncompressed; those that
// we read may be compressed.
func (o *eciesOp) FinishLen(n int) (int, bool) {
	n += len(o.held)
	if o.key == nil {
		return o.pointLen(4) + o.encryptedLen(n) + o.macLen, true
	}
	return max(0, n-o.pointLen(2)-o.macLen), false
}

// pointLen is the length of a point that begins with a byte.
func (o *eciesOp) pointLen(first byte) int {
	switch {
	case o.curve.group == nil:
		return o.curve.size
	case first == 2 || first == 3:
		return 1 + o.curve.size
	}
	return 1 + 2*o.curve.size
}

func (o *eciesOp) Finish(dst, src []byte) (int, error) {
	message := slices.Concat(o.held, src)
	defer clear(message)
	clear(o.held)
	if o.key == nil {
		return o.encrypt(dst, message)
	}
	return o.decrypt(dst, message)
}

func (o *eciesOp) encrypt(dst, message []byte) (int, error) {
	if !o.isEncryptedLen(o.encryptedLen(len(message))) {
		return 0, ck.CKR_DATA_LEN_RANGE
	}
	value, point, err := o.curve.generate()
	if err != nil {
		return 0, fmt.Errorf("cannot generate a key: %w", ck.CKR_FUNCTION_FAILED)
	}
	defer clear(value)
	return o.encryptWith(dst, message, value, point)
}

// encryptWith encrypts with an ephemeral key.
func (o *eciesOp) encryptWith(dst, message, value, point []byte) (int, error) {
	ephemeral, err := newECDHKey(o.curve, value)
	if err != nil {
		return 0, err
	}
	secret, err := ephemeral.multiply(o.point, o.cofactor)
	if err != nil { // a point of small order
		return 0, fmt.Errorf("unusable EC public key: %w", ck.CKR_KEY_TYPE_INCONSISTENT)
	}
	defer clear(secret)
	n := copy(dst, point)
	size := o.encryptedLen(len(message)) + o.macLen
	if err := o.seal(dst[n:n+size], secret, message); err != nil {
		return 0, fmt.Errorf("cannot encrypt: %w", ck.CKR_FUNCTION_FAILED)
	}
	return n + size, nil
}

func (o *eciesOp) decrypt(dst, message []byte) (int, error) {
	if len(message) == 0 {
		return 0, ck.CKR_ENCRYPTED_DATA_LEN_RANGE
	}
	n := o.pointLen(message[0])
	if body := len(message) - n - o.macLen; body < 0 || !o.isEncryptedLen(body) {
		return 0, ck.CKR_ENCRYPTED_DATA_LEN_RANGE
	}
	secret, err := o.key.multiply(message[:n], o.cofactor)
	if err != nil {
		return 0, ck.CKR_ENCRYPTED_DATA_INVALID
	}
	defer clear(secret)
	plain, err := o.open(secret, message[n:])
	if err != nil {
		return 0, ck.CKR_ENCRYPTED_DATA_INVALID
	}
	return copy(dst, plain), nil
}

// eciesAnswer is a ciphertext and all that belongs to it.
type eciesAnswer struct {
	curve, value, ephemeral   string
	params                    *ECIESParams
	plain, point, sealed, tag string
}

var eciesAnswers = []eciesAnswer{
	// GEC 2 (version 0.3), section 3.1.
	{
		curve: "secp160r1", value: "0045fb58a92a17ad4b15101c66e74f277e2b460866",
		ephemeral: "007b012db7681a3f28b9185c8b2ac5d528decd52da",
		params: &ECIESParams{
			DHPrimitive: ck.CKDHP_STANDARD, KDF: ck.CKD_SHA1_KDF, EncScheme: ck.CKES_XOR,
			MACScheme: ck.CKMS_HMAC_SHA1, MACKeyBits: 160, MACBits: 160,
		},
		plain: "6162636465666768696a6b6c6d6e6f7071727374",
		point: "02ce2873e5be449563391feb47ddcba2dc16379191", sealed: "7123c870a31a81ea7583290d1ba17bc8759435ed",
		tag: "1ccda9eb4ed27360be896729ad185493622591e5",
	},
	// src/tests/data/pubkey/ecies.vec of Botan, made with Bouncy Castle 1.54.
	{
		curve: "secp160r1", value: "00dbf9258a3fd0aba93584b7b0a24d4c8447ce25d9",
		ephemeral: "00d91c971f9e7567baf329ea8f8cdab2fc4b4c9054",
		params: &ECIESParams{
			DHPrimitive: ck.CKDHP_STANDARD, KDF: ck.CKD_SHA1_KDF, EncScheme: ck.CKES_AES_CBC_PAD, EncKeyBits: 256,
			MACScheme: ck.CKMS_HMAC_SHA256, MACKeyBits: 160, MACBits: 256,
		},
		plain: "00",
		point: "02b26eafa6b51a39790c32a75c2f10b3e8e89d698a", sealed: "6da2667af153734225c8922800db5e10",
		tag: "b73975848cceac0fc78cef589b2e93a81cc204dbc7b9b901cbaa4509e61141d7",
	},
}

func testECIES() error {
	for _, a := range eciesAnswers {
		if err := a.test(); err != nil {
			return err
		}
	}
	return nil
}

// test decrypts the answer, and encrypts it again with its ephemeral key.
func (a *eciesAnswer) test() error {
	c := testCurve(a.curve)
	k := c.testKey(answer{"value": unhex(a.value)})
	op, err := eciesDecrypt(k, a.params)
	if err := expect(op, err, unhex(a.point+a.sealed+a.tag), unhex(a.plain)); err != nil {
		return err
	}
	op, err = eciesEncrypt(k, a.params)
	if err != nil {
		return err
	}
	point, err := c.decodePoint(unhex(a.point))
	if err != nil {
		return err
	}
	max, _ := op.FinishLen(len(a.plain) / 2)
	got := make([]byte, max)
	n, err := op.(*eciesOp).encryptWith(got, unhex(a.plain), unhex(a.ephemeral), point)
	if err != nil {
		return err
	}
	if !bytes.Equal(got[:n], append(point, unhex(a.sealed+a.tag)...)) {
		return errSelfTest(ck.CKM_ECIES)
	}
	return nil
}
