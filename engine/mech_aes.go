package engine

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/subtle"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math"
	"math/bits"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/engine/internal/ct"
)

// AES (PKCS#11 v3.1 section 6.10 and 6.11): keys, ECB, CBC, CTR.

func init() {
	ecbEncrypt := func(k *Key, p any) (Op, error) { return newECB(k, p, blockOp{}) }
	ecbDecrypt := func(k *Key, p any) (Op, error) { return newECB(k, p, blockOp{decrypt: true}) }
	cbcEncrypt := func(k *Key, p any) (Op, error) { return newCBC(k, p, blockOp{}) }
	cbcDecrypt := func(k *Key, p any) (Op, error) { return newCBC(k, p, blockOp{decrypt: true}) }
	padEncrypt := func(k *Key, p any) (Op, error) { return newCBC(k, p, blockOp{pad: pkcs7}) }
	padDecrypt := func(k *Key, p any) (Op, error) { return newCBC(k, p, blockOp{pad: pkcs7, decrypt: true}) }
	ecbWrap := func(k *Key, p any) (Op, error) { return newECB(k, p, blockOp{pad: zeros}) }
	cbcWrap := func(k *Key, p any) (Op, error) { return newCBC(k, p, blockOp{pad: zeros}) }

	register(
		&Mechanism{
			Type: ck.CKM_AES_KEY_GEN, Makes: ck.CKK_AES, Min: 16, Max: 32, FIPS: true,
			Generate: generateAES,
			SelfTest: testAESKeyGen,
		},
		aesRow(&Mechanism{
			Type:    ck.CKM_AES_ECB,
			Encrypt: ecbEncrypt, Decrypt: ecbDecrypt,
			Wrap: wrapping(ecbWrap), Unwrap: unwrapping(ecbDecrypt), Wrapped: Wrapped{Zeros: 15, SecretOnly: true},
			SelfTest: func() error { return testCipher(ck.CKM_AES_ECB, nil, aesECBAnswer) },
		}),
		aesRow(&Mechanism{
			Type: ck.CKM_AES_CBC, Param: []byte(nil),
			Encrypt: cbcEncrypt, Decrypt: cbcDecrypt,
			Wrap: wrapping(cbcWrap), Unwrap: unwrapping(cbcDecrypt), Wrapped: Wrapped{Zeros: 15, SecretOnly: true},
			SelfTest: func() error { return testCipher(ck.CKM_AES_CBC, unhex(aesCBCIV), aesCBCAnswer) },
		}),
		aesRow(&Mechanism{
			Type: ck.CKM_AES_CBC_PAD, Param: []byte(nil),
			Encrypt: padEncrypt, Decrypt: padDecrypt,
			Wrap: wrapping(padEncrypt), Unwrap: unwrapping(padDecrypt),
			SelfTest: func() error { return testCipher(ck.CKM_AES_CBC_PAD, unhex(aesPadIV), aesPadAnswer) },
		}),
		aesRow(&Mechanism{
			Type: ck.CKM_AES_CTR, Param: (*CTRParams)(nil),
			Encrypt: newCTR, Decrypt: newCTR,
			Wrap: wrapping(newCTR), Unwrap: unwrapping(newCTR),
			SelfTest: func() error {
				p := &CTRParams{CounterBits: 128, CB: [16]byte(unhex(aesCTRCounter))}
				return testCipher(ck.CKM_AES_CTR, p, aesCTRAnswer)
			},
		}),
		notApproved(aesRow(&Mechanism{
			Type: ck.CKM_AES_ECB_ENCRYPT_DATA, Param: (*StringDataParams)(nil),
			Derive: deriveECBEncryptData,
			SelfTest: func() error {
				return testEncryptData(ck.CKM_AES_ECB_ENCRYPT_DATA, aesECBAnswer,
					func(data []byte) any { return &StringDataParams{Data: data} })
			},
		})),
		notApproved(aesRow(&Mechanism{
			Type: ck.CKM_AES_CBC_ENCRYPT_DATA, Param: (*AESCBCEncryptDataParams)(nil),
			Derive: deriveCBCEncryptData,
			SelfTest: func() error {
				return testEncryptData(ck.CKM_AES_CBC_ENCRYPT_DATA, aesCBCAnswer, func(data []byte) any {
					return &AESCBCEncryptDataParams{IV: [16]byte(unhex(aesCBCIV)), Data: data}
				})
			},
		})),
	)
}

// aesRow completes the row of a mechanism that uses AES keys.
func aesRow(m *Mechanism) *Mechanism {
	m.Keys, m.Min, m.Max, m.FIPS = []ck.KeyType{ck.CKK_AES}, 16, 32, true
	return m
}

// notApproved takes a row out of FIPS mode.
func notApproved(m *Mechanism) *Mechanism {
	m.FIPS = false
	return m
}

// CTRParams is CK_AES_CTR_PARAMS (PKCS#11 v3.1 section 6.11.2).
type CTRParams struct {
	CounterBits uint64
	CB          [16]byte
}

// StringDataParams is CK_KEY_DERIVATION_STRING_DATA (PKCS#11 v3.1 section 6.43.2).
type StringDataParams struct {
	Data []byte `c:"ptr,len"`
}

// AESCBCEncryptDataParams is CK_AES_CBC_ENCRYPT_DATA_PARAMS (PKCS#11 v3.1
// section 6.27.1).
type AESCBCEncryptDataParams struct {
	IV   [16]byte
	Data []byte `c:"ptr,len"`
}

// aesCipher is the parsed form of an AES key.
func aesCipher(k *Key) (cipher.Block, error) {
	return Parsed(k, func(k *Key) (cipher.Block, error) {
		if k.Type != ck.CKK_AES {
			return nil, ck.CKR_KEY_TYPE_INCONSISTENT
		}
		block, err := aes.NewCipher(k.Value())
		if err != nil {
			return nil, ck.CKR_KEY_SIZE_RANGE
		}
		return block, nil
	})
}

// generateAES is CKM_AES_KEY_GEN.
func generateAES(p any, template []ck.Attribute) ([]ck.Attribute, error) {
	if err := noParam(p); err != nil {
		return nil, err
	}
	n, err := valueLen(template)
	if err != nil {
		return nil, err
	}
	if n != 16 && n != 24 && n != 32 {
		return nil, fmt.Errorf("an AES key has 16, 24 or 32 bytes: %w", ck.CKR_ATTRIBUTE_VALUE_INVALID)
	}
	return randomSecret(n)
}

// padding is how a block mode treats the end of the message.
type padding int

const (
	unpadded padding = iota // the message must end with a whole block
	pkcs7                   // RFC 5652, section 6.3
	zeros                   // filled up with zeros; for wrapping
)

// blockOp encrypts or decrypts with a mode that takes whole blocks.
type blockOp struct {
	block   cipher.Block
	chained bool // CBC rather than ECB
	pad     padding
	decrypt bool

	mode  cipher.BlockMode
	held  [16]byte // the message from the last block boundary on, or its last block
	n     int      // bytes in held
	chain [16]byte // the last block of ciphertext, for Save
	buf   []byte   // for parts that do not begin with a block
}

func newECB(k *Key, p any, o blockOp) (Op, error) {
	if err := noParam(p); err != nil {
		return nil, err
	}
	return newBlockOp(k, o)
}

func newCBC(k *Key, p any, o blockOp) (Op, error) {
	iv, err := ivParam(p, 16)
	if err != nil {
		return nil, err
	}
	o.chained = true
	copy(o.chain[:], iv)
	return newBlockOp(k, o)
}

func newBlockOp(k *Key, o blockOp) (Op, error) {
	var err error
	if o.block, err = aesCipher(k); err != nil {
		return nil, err
	}
	op := &o
	op.start()
	return op, nil
}

// start begins with the block in chain as IV.
func (o *blockOp) start() {
	switch {
	case !o.chained:
		o.mode = ecb{o.block, o.decrypt}
	case o.decrypt:
		o.mode = cipher.NewCBCDecrypter(o.block, o.chain[:])
	default:
		o.mode = cipher.NewCBCEncrypter(o.block, o.chain[:])
	}
}

// ecb is the electronic codebook.
type ecb struct {
	block   cipher.Block
	decrypt bool
}

func (e ecb) BlockSize() int { return e.block.BlockSize() }

func (e ecb) CryptBlocks(dst, src []byte) {
	crypt := e.block.Encrypt
	if e.decrypt {
		crypt = e.block.Decrypt
	}
	for i := 0; i < len(src); i += 16 {
		crypt(dst[i:i+16], src[i:i+16])
	}
}

// holdsLast tells that the last whole block must wait, as it may be padding.
func (o *blockOp) holdsLast() bool { return o.pad == pkcs7 && o.decrypt }

// UpdateLen counts the blocks that n more bytes complete.
func (o *blockOp) UpdateLen(n int) int {
	total := o.n + n
	if o.holdsLast() {
		total--
	}
	return max(total, 0) &^ 15
}

func (o *blockOp) Update(dst, src []byte) (int, error) {
	n := o.UpdateLen(len(src))
	o.crypt(dst[:n], src)
	return n, nil
}

// crypt fills dst, a number of blocks that held and src are enough for, and
// holds the rest of src. dst may start where src does.
func (o *blockOp) crypt(dst, src []byte) {
	if o.n > 0 {
		o.cryptHeld(dst, src)
		return
	}
	o.n = copy(o.held[:], src[len(dst):])
	o.blocks(dst, src[:len(dst)])
}

// cryptHeld is crypt when there are held bytes to begin with. The bytes that a
// write to dst covers are read from src before it.
func (o *blockOp) cryptHeld(dst, src []byte) {
	if o.buf == nil {
		o.buf = make([]byte, 512)
	}
	buf := o.buf
	for len(dst) > 0 && len(src) >= 16 {
		n := min(len(dst), len(src)&^15, len(buf))
		copy(buf, o.held[:o.n])
		copy(buf[o.n:n], src)
		copy(o.held[:o.n], src[n-o.n:n])
		o.blocks(dst[:n], buf[:n])
		dst, src = dst[n:], src[n:]
	}
	if len(dst) > 0 {
		used := 16 - o.n
		copy(buf, o.held[:o.n])
		copy(buf[o.n:16], src)
		o.n = copy(o.held[:], src[used:])
		o.blocks(dst, buf[:16])
	} else {
		o.n += copy(o.held[o.n:], src)
	}
	clear(buf)
}

// blocks crypts whole blocks and notes the last block of ciphertext.
func (o *blockOp) blocks(dst, src []byte) {
	n := len(src)
	if n == 0 {
		return
	}
	if o.decrypt {
		copy(o.chain[:], src[n-16:])
	}
	o.mode.CryptBlocks(dst, src)
	if !o.decrypt {
		copy(o.chain[:], dst[n-16:n])
	}
}

// FinishLen is exact but for a padded decryption.
func (o *blockOp) FinishLen(n int) (int, bool) {
	total := o.n + n
	switch {
	case o.holdsLast():
		return total, false
	case o.pad == pkcs7:
		return total&^15 + 16, true
	case o.pad == zeros:
		return (total + 15) &^ 15, true
	}
	return total &^ 15, true
}

func (o *blockOp) Finish(dst, src []byte) (int, error) {
	total := o.n + len(src)
	if o.holdsLast() {
		return o.finishPadded(dst, src)
	}
	if total%16 != 0 && o.pad == unpadded {
		return 0, o.lengthError()
	}
	n := total &^ 15
	o.crypt(dst[:n], src)
	if o.pad == pkcs7 || o.pad == zeros && o.n > 0 {
		var fill byte
		if o.pad == pkcs7 {
			fill = byte(16 - o.n)
		}
		for i := o.n; i < 16; i++ {
			o.held[i] = fill
		}
		o.blocks(dst[n:n+16], o.held[:])
		n += 16
	}
	clear(o.held[:])
	return n, nil
}

// finishPadded decrypts the rest and takes the padding off, in the same time
// and with the same error whatever is wrong with it.
func (o *blockOp) finishPadded(dst, src []byte) (int, error) {
	total := o.n + len(src)
	if total == 0 || total%16 != 0 {
		return 0, o.lengthError()
	}
	o.crypt(dst[:total-16], src)
	var last [16]byte
	o.blocks(last[:], o.held[:])
	n, ok := ct.PKCS7Len(last[:])
	if ok != 1 {
		clear(dst[:total-16])
		clear(last[:])
		return 0, ck.CKR_ENCRYPTED_DATA_INVALID
	}
	copy(dst[total-16:], last[:n])
	clear(last[:])
	return total - 16 + n, nil
}

func (o *blockOp) lengthError() error {
	if o.decrypt {
		return ck.CKR_ENCRYPTED_DATA_LEN_RANGE
	}
	return ck.CKR_DATA_LEN_RANGE
}

// Save returns the chaining block and the bytes held.
func (o *blockOp) Save() ([]byte, error) {
	return append(bytes.Clone(o.chain[:]), o.held[:o.n]...), nil
}

// Load takes what Save returned.
func (o *blockOp) Load(state []byte) error {
	n := len(state) - 16
	if n < 0 || n > 16 || n == 16 && !o.holdsLast() {
		return ck.CKR_SAVED_STATE_INVALID
	}
	copy(o.chain[:], state)
	o.n = copy(o.held[:], state[16:])
	o.start()
	return nil
}

// ctrOp is CKM_AES_CTR. The counter never passes the end of its bits, so that
// a counter over the whole block does the same.
type ctrOp struct {
	block  cipher.Block
	start  [16]byte
	stream cipher.Stream
	used   uint64 // bytes so far
	left   uint64 // bytes until the counter is exhausted, or very many
}

func newCTR(k *Key, param any) (Op, error) {
	p, err := structParam[CTRParams](param)
	if err != nil {
		return nil, err
	}
	if p.CounterBits < 1 || p.CounterBits > 128 {
		return nil, fmt.Errorf("ulCounterBits must be 1 to 128: %w", ck.CKR_MECHANISM_PARAM_INVALID)
	}
	block, err := aesCipher(k)
	if err != nil {
		return nil, err
	}
	return &ctrOp{
		block:  block,
		start:  p.CB,
		stream: cipher.NewCTR(block, p.CB[:]),
		left:   ctrBytes(p.CB, uint(p.CounterBits)),
	}, nil
}

// ctrBytes is how many bytes can be encrypted until the low width bits of the
// counter block come round to 0; it stops counting at 2^63-1.
func ctrBytes(cb [16]byte, width uint) uint64 {
	hi, lo := ^binary.BigEndian.Uint64(cb[:8]), ^binary.BigEndian.Uint64(cb[8:])
	if width < 64 {
		hi, lo = 0, lo&(1<<width-1)
	} else if width < 128 {
		hi &= 1<<(width-64) - 1
	}
	if hi != 0 || lo >= math.MaxInt64/16 {
		return math.MaxInt64
	}
	return (lo + 1) * 16
}

func (o *ctrOp) UpdateLen(n int) int { return n }

func (o *ctrOp) Update(dst, src []byte) (int, error) {
	if uint64(len(src)) > o.left {
		return 0, fmt.Errorf("the counter would wrap: %w", ck.CKR_DATA_LEN_RANGE)
	}
	o.left -= uint64(len(src))
	o.used += uint64(len(src))
	o.stream.XORKeyStream(dst[:len(src)], src)
	return len(src), nil
}

func (o *ctrOp) FinishLen(n int) (int, bool) { return n, true }

func (o *ctrOp) Finish(dst, src []byte) (int, error) { return o.Update(dst, src) }

// Save returns the position in the stream.
func (o *ctrOp) Save() ([]byte, error) { return binary.BigEndian.AppendUint64(nil, o.used), nil }

// Load takes what Save returned.
func (o *ctrOp) Load(state []byte) error {
	if len(state) != 8 {
		return ck.CKR_SAVED_STATE_INVALID
	}
	used := binary.BigEndian.Uint64(state)
	if used > o.left {
		return ck.CKR_SAVED_STATE_INVALID
	}
	cb := o.start
	addCounter(&cb, used/16)
	o.stream = cipher.NewCTR(o.block, cb[:])
	var skip [16]byte
	o.stream.XORKeyStream(skip[:used%16], skip[:used%16])
	o.used, o.left = used, o.left-used
	return nil
}

// addCounter adds n to the big-endian number in cb.
func addCounter(cb *[16]byte, n uint64) {
	lo, carry := bits.Add64(binary.BigEndian.Uint64(cb[8:]), n, 0)
	binary.BigEndian.PutUint64(cb[8:], lo)
	binary.BigEndian.PutUint64(cb[:8], binary.BigEndian.Uint64(cb[:8])+carry)
}

// deriveECBEncryptData is CKM_AES_ECB_ENCRYPT_DATA (PKCS#11 v3.1 section 6.27).
func deriveECBEncryptData(base *Key, param any, d *Derivation) ([]byte, error) {
	p, err := structParam[StringDataParams](param)
	if err != nil {
		return nil, err
	}
	op, err := newECB(base, nil, blockOp{})
	if err != nil {
		return nil, err
	}
	return deriveByEncryption(op, p.Data, d)
}

// deriveCBCEncryptData is CKM_AES_CBC_ENCRYPT_DATA.
func deriveCBCEncryptData(base *Key, param any, d *Derivation) ([]byte, error) {
	p, err := structParam[AESCBCEncryptDataParams](param)
	if err != nil {
		return nil, err
	}
	op, err := newCBC(base, p.IV[:], blockOp{})
	if err != nil {
		return nil, err
	}
	return deriveByEncryption(op, p.Data, d)
}

func deriveByEncryption(op Op, data []byte, d *Derivation) ([]byte, error) {
	if len(data) == 0 || len(data)%16 != 0 {
		return nil, fmt.Errorf("the data must be whole blocks: %w", ck.CKR_MECHANISM_PARAM_INVALID)
	}
	out := make([]byte, len(data))
	if _, err := op.Finish(out, data); err != nil {
		return nil, err
	}
	return leading(out, d)
}

// Known answers of NIST SP 800-38A, appendix F (AES-128), and for CBC with
// padding case 21 of Wycheproof's aes_cbc_pkcs5_test.json.

// cipherAnswer is a known answer: key, plaintext and ciphertext in hexadecimal.
type cipherAnswer struct{ key, plain, cipher string }

const (
	aesCBCIV      = "000102030405060708090a0b0c0d0e0f"
	aesCTRCounter = "f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff"
	aesPadIV      = "088e01c2c65b26e7ad6af7b92ea09d73"
	sp80038aKey   = "2b7e151628aed2a6abf7158809cf4f3c"
	sp80038aPlain = "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51" +
		"30c81c46a35ce411e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710"
)

var (
	aesECBAnswer = cipherAnswer{sp80038aKey, sp80038aPlain,
		"3ad77bb40d7a3660a89ecaf32466ef97f5d3d58503b9699de785895a96fdbaaf" +
			"43b1cd7f598ece23881b00e3ed0306887b0c785e27e8ad3f8223207104725dd4"}
	aesCBCAnswer = cipherAnswer{sp80038aKey, sp80038aPlain,
		"7649abac8119b246cee98e9b12e9197d5086cb9b507219ee95db113a917678b2" +
			"73bed6b8e3c1743b7116e69e222295163ff1caa1681fac09120eca307586e1a7"}
	aesPadAnswer = cipherAnswer{"cbffc6c8c7f76f46349c32d666f4efb0",
		"6df067add738195fd55ac2e76b476971b9a0e6d8",
		"e9199842355ea0c3dbf1b2a94fef1c802a95d024df9e407883cf5bf1f02c3cdc"}
	aesCTRAnswer = cipherAnswer{sp80038aKey, sp80038aPlain,
		"874d6191b620e3261bef6864990db6ce9806f66b7970fdff8617187bb9fffdff" +
			"5ae4df3edbd5d35e5b4f09020db03eab1e031dda2fbe03d1792170a0f3009cee"}
)

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

// errSelfTest is what a failed self-test returns.
func errSelfTest(t ck.MechanismType) error {
	return fmt.Errorf("self-test of %v: wrong answer: %w", t, ck.CKR_GENERAL_ERROR)
}

// runOp finishes op over src in one part.
func runOp(op Op, err error, src []byte) ([]byte, error) {
	if err != nil {
		return nil, err
	}
	n, _ := op.FinishLen(len(src))
	dst := make([]byte, n)
	n, err = op.Finish(dst, src)
	return dst[:n], err
}

// testCipher checks a known answer of an AES mechanism in both directions.
func testCipher(t ck.MechanismType, p any, a cipherAnswer) error {
	m, k := Find(t), secretKey(ck.CKK_AES, unhex(a.key))
	op, err := m.Encrypt(k, p)
	out, err := runOp(op, err, unhex(a.plain))
	if err != nil {
		return err
	}
	if hex.EncodeToString(out) != a.cipher {
		return errSelfTest(t)
	}
	op, err = m.Decrypt(k, p)
	out, err = runOp(op, err, unhex(a.cipher))
	if err != nil {
		return err
	}
	if hex.EncodeToString(out) != a.plain {
		return errSelfTest(t)
	}
	return nil
}

// testEncryptData checks a derivation by encryption with an answer for the
// encryption.
func testEncryptData(t ck.MechanismType, a cipherAnswer, param func(data []byte) any) error {
	d := &Derivation{Type: ck.CKK_GENERIC_SECRET}
	out, err := Find(t).Derive(secretKey(ck.CKK_AES, unhex(a.key)), param(unhex(a.plain)), d)
	if err != nil {
		return err
	}
	if hex.EncodeToString(out) != a.cipher {
		return errSelfTest(t)
	}
	return nil
}

// testAESKeyGen generates a key, which has no known answer, and checks its form
// and that the cipher it is for works (NIST FIPS 197, appendix C).
func testAESKeyGen() error {
	attrs, err := generateAES(nil, []ck.Attribute{ck.NewULong(ck.CKA_VALUE_LEN, uint64(32))})
	if err != nil {
		return err
	}
	if a := ck.Find(attrs, ck.CKA_VALUE); a == nil || len(a.Value) != 32 {
		return errSelfTest(ck.CKM_AES_KEY_GEN)
	}
	block, err := aes.NewCipher(unhex("000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"))
	if err != nil {
		return err
	}
	var out [16]byte
	block.Encrypt(out[:], unhex("00112233445566778899aabbccddeeff"))
	if subtle.ConstantTimeCompare(out[:], unhex("8ea2b7ca516745bfeafc49904b496089")) != 1 {
		return errSelfTest(ck.CKM_AES_KEY_GEN)
	}
	return nil
}
