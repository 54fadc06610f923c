package engine

import (
	"bytes"
	"crypto/cipher"
	"encoding/binary"
	"fmt"
	"slices"

	"golang.org/x/crypto/chacha20"
	"golang.org/x/crypto/chacha20poly1305"
	//lint:ignore SA1019 for ciphertext that must leave piece by piece
	"golang.org/x/crypto/poly1305"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/engine/internal/ct"
)

// ChaCha20-Poly1305 (RFC 8439; PKCS#11 v3.1 section 6.61).
//
// A message that comes in one part goes through package chacha20poly1305. For
// ciphertext that must leave piece by piece, for tags kept apart from it and for
// the original variant there is chachaPoly.

func init() { later(chachapolyMechanisms) }

func chachapolyMechanisms() {
	register(
		chachaPolyRow(ck.CKM_CHACHA20_POLY1305, []int{8, 12, 24}, slices.Concat(chachaPolyAnswers, xchachaPolyAnswers)),
		// What a nonce of 192 bits makes of it, under a name of its own.
		chachaPolyRow(ck.CKM_XCHACHA20_POLY1305, []int{24}, xchachaPolyAnswers),
	)
}

// chachaPolyRow is the row of the variants with nonces of these lengths.
func chachaPolyRow(t ck.MechanismType, nonces []int, answers []known) *Mechanism {
	begin := func(decrypt bool) begin {
		return func(k *Key, param any) (Op, error) {
			p, err := structParam[ChaChaPolyParams](param)
			if err != nil {
				return nil, err
			}
			key, err := newChachaPolyKey(k, p.Nonce, nonces)
			if err != nil {
				return nil, err
			}
			if decrypt {
				o := chachaPolyDecrypts.get()
				o.key, o.aad = key, p.AAD
				return o, nil
			}
			o := chachaPolyEncrypts.get()
			o.key, o.aad = key, p.AAD
			return o, nil
		}
	}
	message := func(decrypt bool) func(*Key, any) (MessageOp, error) {
		return func(k *Key, _ any) (MessageOp, error) {
			_, err := chachaKeyOf(k)
			return &chachaMessages{k, nonces, decrypt}, err
		}
	}
	return &Mechanism{
		Type: t, Param: (*ChaChaPolyParams)(nil), MessageParam: (*ChaChaMessageParams)(nil),
		Keys: []ck.KeyType{ck.CKK_CHACHA20}, Min: 32, Max: 32,
		Encrypt: begin(false), Decrypt: begin(true),
		MessageEncrypt: message(false), MessageDecrypt: message(true),
		Vectors:  "RFC 8439; draft-agl-tls-chacha20poly1305; draft-irtf-cfrg-xchacha; Wycheproof",
		SelfTest: func() error { return testKnown(t, answers) },
	}
}

// ChaChaPolyParams is CK_SALSA20_CHACHA20_POLY1305_PARAMS.
type ChaChaPolyParams struct {
	Nonce []byte `c:"ptr,nonce"`
	AAD   []byte `c:"ptr,len"`
}

// ChaChaMessageParams is CK_SALSA20_CHACHA20_POLY1305_MSG_PARAMS.
type ChaChaMessageParams struct {
	Nonce []byte    `c:"ptr,nonce"`
	Tag   *[16]byte `c:"ptr,inout"`
}

// chachaPolyMax is the longest message: all blocks but the first, whose number
// has 32 bits (RFC 8439, section 2.8).
const chachaPolyMax = (1<<32 - 1) * 64

// chachaPolyKey is a key with the nonce of one message.
type chachaPolyKey struct {
	key      []byte
	nonce    [chacha20.NonceSize]byte
	aead     chachaAEAD // with this key
	original bool       // without padding, as in draft-agl-tls-chacha20poly1305-04
}

func chachaKeyOf(k *Key) ([]byte, error) {
	if k.Type != ck.CKK_CHACHA20 {
		return nil, ck.CKR_KEY_TYPE_INCONSISTENT
	}
	if len(k.Value()) != chacha20.KeySize {
		return nil, ck.CKR_KEY_SIZE_RANGE
	}
	return k.Value(), nil
}

// newChachaPolyKey goes by the length of the nonce: 64 bits make the original
// variant, 96 that of RFC 8439, 192 XChaCha20, which is the second one under a
// derived key and the nonce's last 64 bits.
func newChachaPolyKey(k *Key, nonce []byte, lengths []int) (c chachaPolyKey, err error) {
	if !slices.Contains(lengths, len(nonce)) {
		return c, fmt.Errorf("a nonce has one of %v bytes: %w", lengths, ck.CKR_MECHANISM_PARAM_INVALID)
	}
	whole, err := chachaKeyOf(k)
	if err != nil {
		return c, err
	}
	key, rest, err := chachaSubkey(whole, nonce)
	if err != nil {
		return c, err
	}
	c.key, c.original = key, len(nonce) == 8
	copy(c.nonce[len(c.nonce)-len(rest):], rest)
	if len(nonce) == chacha20.NonceSizeX {
		c.aead, err = newChachaAEAD(key)
	} else {
		c.aead, err = Parsed(k, func(k *Key) (chachaAEAD, error) { return newChachaAEAD(k.Value()) })
	}
	return c, err
}

// chachaAEAD is package chacha20poly1305 with a key.
type chachaAEAD struct{ cipher.AEAD }

func newChachaAEAD(key []byte) (chachaAEAD, error) {
	aead, err := chacha20poly1305.New(key)
	if err != nil {
		return chachaAEAD{}, ck.CKR_KEY_SIZE_RANGE
	}
	return chachaAEAD{aead}, nil
}

// open decrypts the whole message src, without its tag, if the tag is right.
func (k *chachaPolyKey) open(dst, src, tag, aad []byte) bool {
	c := newChachaPoly(k, aad)
	c.n = uint64(len(src))
	c.mac.Write(src)
	var want [poly1305.TagSize]byte
	c.tag(&want)
	if ct.Reveal(ct.Equal(want[:], tag)) != 1 {
		return false
	}
	c.stream.XORKeyStream(dst[:len(src)], src)
	return true
}

// chachaPoly is a message under way.
type chachaPoly struct {
	stream   *chacha20.Cipher
	mac      *poly1305.MAC
	aad, n   uint64
	original bool
}

// newChachaPoly makes the key of the code from the first block (RFC 8439,
// section 2.6) and starts the code with the associated data.
func newChachaPoly(k *chachaPolyKey, aad []byte) *chachaPoly {
	stream, err := chacha20.NewUnauthenticatedCipher(k.key, k.nonce[:])
	if err != nil {
		panic(err) // the lengths are right
	}
	var one [32]byte
	stream.XORKeyStream(one[:], one[:])
	stream.SetCounter(1)
	c := &chachaPoly{stream: stream, mac: poly1305.New(&one), aad: uint64(len(aad)), original: k.original}
	clear(one[:])
	c.mac.Write(aad)
	if c.original {
		c.length(c.aad)
	} else {
		c.pad(c.aad)
	}
	return c
}

// pad fills up a part of n bytes to whole blocks.
func (c *chachaPoly) pad(n uint64) {
	var zero [16]byte
	c.mac.Write(zero[:-n%16])
}

func (c *chachaPoly) length(n uint64) {
	c.mac.Write(binary.LittleEndian.AppendUint64(nil, n))
}

func (c *chachaPoly) encrypt(dst, src []byte) error {
	if uint64(len(src)) > chachaPolyMax-c.n {
		return fmt.Errorf("the message is too long: %w", ck.CKR_DATA_LEN_RANGE)
	}
	c.n += uint64(len(src))
	c.stream.XORKeyStream(dst[:len(src)], src)
	c.mac.Write(dst[:len(src)])
	return nil
}

// tag ends the code.
func (c *chachaPoly) tag(out *[poly1305.TagSize]byte) {
	if c.original {
		c.length(c.n)
	} else {
		c.pad(c.n)
		c.length(c.aad)
		c.length(c.n)
	}
	c.mac.Sum(out[:0])
}

// chachaPolyEncrypt puts the tag behind the ciphertext.
type chachaPolyEncrypt struct {
	key    chachaPolyKey
	aad    []byte
	stream *chachaPoly // once a part came
}

var chachaPolyEncrypts recycler[chachaPolyEncrypt]

// Release implements Releaser.
func (o *chachaPolyEncrypt) Release() {
	*o = chachaPolyEncrypt{}
	chachaPolyEncrypts.put(o)
}

func (o *chachaPolyEncrypt) UpdateLen(n int) int { return n }

func (o *chachaPolyEncrypt) Update(dst, src []byte) (int, error) {
	if o.stream == nil {
		o.stream = newChachaPoly(&o.key, o.aad)
	}
	return len(src), o.stream.encrypt(dst, src)
}

func (o *chachaPolyEncrypt) FinishLen(n int) (int, bool) { return n + poly1305.TagSize, true }

func (o *chachaPolyEncrypt) Finish(dst, src []byte) (int, error) {
	n := len(src) + poly1305.TagSize
	if o.stream == nil && !o.key.original && uint64(len(src)) <= chachaPolyMax {
		o.key.aead.Seal(dst[:0:n], o.key.nonce[:], src, o.aad)
		return n, nil
	}
	if _, err := o.Update(dst, src); err != nil {
		return 0, err
	}
	o.stream.tag((*[poly1305.TagSize]byte)(dst[len(src):n]))
	return n, nil
}

// chachaPolyDecrypt keeps everything back until the tag is checked.
type chachaPolyDecrypt struct {
	key chachaPolyKey
	aad []byte
	buf []byte
}

var chachaPolyDecrypts recycler[chachaPolyDecrypt]

// Release implements Releaser.
func (o *chachaPolyDecrypt) Release() {
	*o = chachaPolyDecrypt{}
	chachaPolyDecrypts.put(o)
}

func (o *chachaPolyDecrypt) UpdateLen(int) int { return 0 }

func (o *chachaPolyDecrypt) Update(_, src []byte) (int, error) {
	o.buf = append(o.buf, src...)
	return 0, nil
}

func (o *chachaPolyDecrypt) FinishLen(n int) (int, bool) {
	return max(0, len(o.buf)+n-poly1305.TagSize), true
}

func (o *chachaPolyDecrypt) Finish(dst, src []byte) (int, error) {
	if len(o.buf) > 0 {
		src = append(o.buf, src...)
	}
	n := len(src) - poly1305.TagSize
	if n < 0 || uint64(n) > chachaPolyMax {
		return 0, ck.CKR_ENCRYPTED_DATA_LEN_RANGE
	}
	if !o.key.openWhole(dst[:n:n], src, o.aad) {
		return 0, ck.CKR_ENCRYPTED_DATA_INVALID
	}
	return n, nil
}

// openWhole decrypts a message with its tag.
func (k *chachaPolyKey) openWhole(dst, src, aad []byte) bool {
	n := len(dst)
	if k.original {
		return k.open(dst, src[:n], src[n:], aad)
	}
	_, err := k.aead.Open(dst[:0], k.nonce[:], src, aad)
	return err == nil
}

// chachaMessages is a message-based operation.
type chachaMessages struct {
	key     *Key
	nonces  []int
	decrypt bool
}

// Begin starts a message.
func (m *chachaMessages) Begin(param any, aad []byte) (Op, error) {
	p, err := chachaMessageParam(param)
	if err != nil {
		return nil, err
	}
	key, err := newChachaPolyKey(m.key, bytes.Clone(p.Nonce), m.nonces)
	if err != nil {
		return nil, err
	}
	if m.decrypt {
		return &chachaMessageDecrypt{p: p, key: &key, aad: bytes.Clone(aad)}, nil
	}
	return &chachaMessageEncrypt{p, newChachaPoly(&key, aad)}, nil
}

func chachaMessageParam(param any) (*ChaChaMessageParams, error) {
	p, err := structParam[ChaChaMessageParams](param)
	if err == nil && p.Tag == nil {
		err = fmt.Errorf("no room for the tag: %w", ck.CKR_MECHANISM_PARAM_INVALID)
	}
	return p, err
}

// chachaMessageEncrypt is one message; the tag goes to the parameter.
type chachaMessageEncrypt struct {
	p      *ChaChaMessageParams
	stream *chachaPoly
}

// Param implements MessageStep.
func (o *chachaMessageEncrypt) Param(p any) (err error) {
	o.p, err = chachaMessageParam(p)
	return err
}

func (o *chachaMessageEncrypt) UpdateLen(n int) int { return n }

func (o *chachaMessageEncrypt) Update(dst, src []byte) (int, error) {
	return len(src), o.stream.encrypt(dst, src)
}

func (o *chachaMessageEncrypt) FinishLen(n int) (int, bool) { return n, true }

func (o *chachaMessageEncrypt) Finish(dst, src []byte) (int, error) {
	n, err := o.Update(dst, src)
	if err != nil {
		return 0, err
	}
	o.stream.tag(o.p.Tag)
	return n, nil
}

// chachaMessageDecrypt is one message, kept back until its tag is checked.
type chachaMessageDecrypt struct {
	p   *ChaChaMessageParams
	key *chachaPolyKey
	aad []byte
	buf []byte
}

// Param implements MessageStep.
func (o *chachaMessageDecrypt) Param(p any) (err error) {
	o.p, err = chachaMessageParam(p)
	return err
}

func (o *chachaMessageDecrypt) UpdateLen(int) int { return 0 }

func (o *chachaMessageDecrypt) Update(_, src []byte) (int, error) {
	o.buf = append(o.buf, src...)
	return 0, nil
}

func (o *chachaMessageDecrypt) FinishLen(n int) (int, bool) { return len(o.buf) + n, true }

func (o *chachaMessageDecrypt) Finish(dst, src []byte) (int, error) {
	if len(o.buf) > 0 {
		src = append(o.buf, src...)
	}
	if uint64(len(src)) > chachaPolyMax {
		return 0, ck.CKR_ENCRYPTED_DATA_LEN_RANGE
	}
	if !o.key.open(dst, src, o.p.Tag[:], o.aad) {
		return 0, ck.CKR_AEAD_DECRYPT_FAILED
	}
	return len(src), nil
}

const sunscreen = "4c616469657320616e642047656e746c656d656e206f662074686520636c6173" +
	"73206f66202739393a204966204920636f756c64206f6666657220796f75206f" +
	"6e6c79206f6e652074697020666f7220746865206675747572652c2073756e73" +
	"637265656e20776f756c642062652069742e"

var chachaPolyAnswers = []known{
	// RFC 8439, section 2.8.2
	{"808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f",
		&ChaChaPolyParams{unhex("070000004041424344454647"), unhex("50515253c0c1c2c3c4c5c6c7")}, sunscreen,
		"d31a8d34648e60db7b86afbc53ef7ec2a4aded51296e08fea9e2b5a736ee62d6" +
			"3dbea45e8ca9671282fafb69da92728b1a71de0a9e060b2905d6a5b67ecd3b36" +
			"92ddbd7f2d778b8c9803aee328091b58fab324e4fad675945585808b4831d7bc" +
			"3ff4def08e4b7a9de576d26586cec64b6116" + "1ae10b594f09e26a7e902ecbd0600691"},
	// draft-agl-tls-chacha20poly1305-04, section 7
	{"4290bcb154173531f314af57f3be3b5006da371ece272afa1b5dbdd1100a1007",
		&ChaChaPolyParams{unhex("cd7cf67be39c794a"), unhex("87e229d4500845a079c0")},
		"86d09974840bded2a5ca", "e3e446f7ede9a19b62a4" + "677dabf4e3d24b876bb284753896e1d6"},
}

// xchachaPolyAnswers is draft-irtf-cfrg-xchacha-03, appendix A.3.1.
var xchachaPolyAnswers = []known{
	{"808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f",
		&ChaChaPolyParams{unhex("404142434445464748494a4b4c4d4e4f5051525354555657"), unhex("50515253c0c1c2c3c4c5c6c7")}, sunscreen,
		"bd6d179d3e83d43b9576579493c0e939572a1700252bfaccbed2902c21396cbb" +
			"731c7f1b0b4aa6440bf3a82f4eda7e39ae64c6708c54c216cb96b72e1213b452" +
			"2f8c9ba40db5d945b11b69b982c1bb9e3f3fac2bc369488f76b2383565d3fff9" +
			"21f9664c97637da9768812f615c68b13b52e" + "c0875924c1c7987947deafd8780acf49"},
}
