package engine

import (
	"crypto/subtle"
	"encoding/binary"
	"fmt"
	"math"

	"golang.org/x/crypto/chacha20"
	//lint:ignore SA1019 the standard has it as a mechanism of its own
	"golang.org/x/crypto/poly1305"

	"github.com/perilune/perilune/cryptoki/ck"
)

// ChaCha20 and Poly1305 (RFC 8439; PKCS#11 v3.1 sections 6.58 and 6.60).

func init() { later(chachaMechanisms) }

func chachaMechanisms() {
	register(
		chachaKeyGen(ck.CKM_CHACHA20_KEY_GEN, ck.CKK_CHACHA20),
		chachaKeyGen(ck.CKM_POLY1305_KEY_GEN, ck.CKK_POLY1305),
		wrappingToo(&Mechanism{
			Type: ck.CKM_CHACHA20, Param: (*ChaCha20Params)(nil),
			Keys: []ck.KeyType{ck.CKK_CHACHA20}, Min: 32, Max: 32,
			Encrypt: newChaCha20, Decrypt: newChaCha20,
			Vectors:  "RFC 8439; draft-strombergson-chacha-test-vectors; draft-irtf-cfrg-xchacha",
			SelfTest: func() error { return testKnown(ck.CKM_CHACHA20, chachaAnswers) },
		}),
		&Mechanism{
			Type: ck.CKM_POLY1305, Keys: []ck.KeyType{ck.CKK_POLY1305}, Min: 32, Max: 32,
			Sign:    func(k *Key, p any) (Op, error) { return newSign(newPoly1305(k, p)) },
			Verify:  func(k *Key, p any) (Verifier, error) { return newVerify(newPoly1305(k, p)) },
			Vectors: "RFC 8439",
			SelfTest: func() error {
				return testKnown(ck.CKM_POLY1305, []known{{ // RFC 8439, section 2.5.2
					"85d6be7857556d337f4452fe42d506a80103808afb0db2fd4abff6af4149f51b", nil,
					"43727970746f6772617068696320466f72756d2052657365617263682047726f7570",
					"a8061dc1305136c6c22b8baf0c0127a9",
				}})
			},
		},
	)
}

// chachaKeyGen is the row of the generation of keys of 32 bytes.
func chachaKeyGen(t ck.MechanismType, makes ck.KeyType) *Mechanism {
	return &Mechanism{
		Type: t, Makes: makes, Min: 32, Max: 32, Vectors: formOnly,
		Generate: func(p any, template []ck.Attribute) ([]ck.Attribute, error) {
			return generateOf(makes, p, template)
		},
		SelfTest: func() error { return testSecretGen(t) },
	}
}

// ChaCha20Params is CK_CHACHA20_PARAMS. The block counter is little-endian, as
// it stands in the state of the cipher.
type ChaCha20Params struct {
	BlockCounter []byte `c:"ptr,bits"`
	CounterBits  uint64 `c:"-"`
	Nonce        []byte `c:"ptr,bits"`
	NonceBits    uint64 `c:"-"`
}

// newChaCha20 makes the variant that the length of the nonce asks for: with 64
// bits the original one, whose counter has 64 bits as well; with 96 bits that of
// RFC 8439, with a counter of 32; with 192 bits XChaCha20, the original one under
// a key made of the first 128.
func newChaCha20(k *Key, param any) (Op, error) {
	p, err := structParam[ChaCha20Params](param)
	if err != nil {
		return nil, err
	}
	whole, err := chachaKeyOf(k)
	if err != nil {
		return nil, err
	}
	var first, last uint64
	switch n := len(p.BlockCounter); {
	case p.CounterBits == 32 && n == 4:
		first, last = uint64(binary.LittleEndian.Uint32(p.BlockCounter)), math.MaxUint32
	case p.CounterBits == 64 && n == 8 && p.NonceBits != 96:
		first, last = binary.LittleEndian.Uint64(p.BlockCounter), math.MaxUint64
	default:
		return nil, fmt.Errorf("the block counter has 32 bits, or 64 if the nonce has not 96: %w", ck.CKR_MECHANISM_PARAM_INVALID)
	}
	if n := uint64(len(p.Nonce)); n*8 != p.NonceBits || n != 8 && n != 12 && n != 24 {
		return nil, fmt.Errorf("a nonce has 64, 96 or 192 bits: %w", ck.CKR_MECHANISM_PARAM_INVALID)
	}
	key, nonce, err := chachaSubkey(whole, p.Nonce)
	if err != nil {
		return nil, err
	}
	return newStreamOp(first, last, func(dst, src []byte, block uint64) {
		xorChaCha20(dst, src, key, nonce, block)
	}), nil
}

// chachaSubkey is the key and the nonce of 8 or 12 bytes that XChaCha20 leaves of
// a nonce of 24.
func chachaSubkey(key, nonce []byte) ([]byte, []byte, error) {
	if len(nonce) != chacha20.NonceSizeX {
		return key, nonce, nil
	}
	sub, err := chacha20.HChaCha20(key, nonce[:16])
	if err != nil {
		return nil, nil, ck.CKR_KEY_SIZE_RANGE
	}
	return sub, nonce[16:], nil
}

// xorChaCha20 crypts from the start of a block on. The high half of a counter of
// 64 bits stands where the nonce of 96 bits begins.
func xorChaCha20(dst, src, key, nonce []byte, block uint64) {
	for len(src) > 0 {
		var n [chacha20.NonceSize]byte
		copy(n[len(n)-len(nonce):], nonce)
		if len(nonce) == 8 {
			binary.LittleEndian.PutUint32(n[:], uint32(block>>32))
		}
		c, err := chacha20.NewUnauthenticatedCipher(key, n[:])
		if err != nil {
			panic(err) // the lengths are right
		}
		c.SetCounter(uint32(block))
		left := (1<<32 - block&math.MaxUint32) * 64
		now := len(src)
		if uint64(now) > left {
			now = int(left)
		}
		c.XORKeyStream(dst[:now], src[:now])
		dst, src, block = dst[now:], src[now:], block+uint64(now+63)/64
	}
}

// streamOp is a stream of blocks of 64 bytes with a counter.
type streamOp struct {
	// xor crypts from the start of the given block on.
	xor   func(dst, src []byte, block uint64)
	first uint64 // the block to begin with
	used  uint64 // bytes so far
	left  uint64 // bytes until the counter comes to its end, or very many
}

// newStreamOp begins at block first; last is the highest there is.
func newStreamOp(first, last uint64, xor func(dst, src []byte, block uint64)) *streamOp {
	o := &streamOp{xor: xor, first: first, left: math.MaxInt64}
	if n := last - first; n < math.MaxInt64/64 {
		o.left = (n + 1) * 64
	}
	return o
}

func (o *streamOp) UpdateLen(n int) int { return n }

func (o *streamOp) Update(dst, src []byte) (int, error) {
	n := len(src)
	if uint64(n) > o.left {
		return 0, fmt.Errorf("the block counter would wrap: %w", ck.CKR_DATA_LEN_RANGE)
	}
	dst = dst[:n]
	if at := int(o.used % 64); at > 0 {
		var stream [64]byte
		o.xor(stream[:], stream[:], o.first+o.used/64)
		done := subtle.XORBytes(dst, src, stream[at:])
		clear(stream[:])
		o.used += uint64(done)
		o.left -= uint64(done)
		dst, src = dst[done:], src[done:]
	}
	o.xor(dst, src, o.first+o.used/64)
	o.used += uint64(len(src))
	o.left -= uint64(len(src))
	return n, nil
}

func (o *streamOp) FinishLen(n int) (int, bool) { return n, true }

func (o *streamOp) Finish(dst, src []byte) (int, error) { return o.Update(dst, src) }

// Save returns the position in the stream.
func (o *streamOp) Save() ([]byte, error) { return binary.BigEndian.AppendUint64(nil, o.used), nil }

// Load takes what Save returned.
func (o *streamOp) Load(state []byte) error {
	if len(state) != 8 {
		return ck.CKR_SAVED_STATE_INVALID
	}
	used := binary.BigEndian.Uint64(state)
	if used > o.left {
		return ck.CKR_SAVED_STATE_INVALID
	}
	o.used, o.left = used, o.left-used
	return nil
}

// poly is Poly1305 under way.
type poly struct{ *poly1305.MAC }

func newPoly1305(k *Key, p any) (mac, error) {
	if err := noParam(p); err != nil {
		return nil, err
	}
	if k.Type != ck.CKK_POLY1305 {
		return nil, ck.CKR_KEY_TYPE_INCONSISTENT
	}
	if len(k.Value()) != 32 {
		return nil, ck.CKR_KEY_SIZE_RANGE
	}
	return poly{poly1305.New((*[32]byte)(k.Value()))}, nil
}

func (p poly) write(src []byte) error {
	_, err := p.Write(src)
	return err
}

func (poly) size() int { return poly1305.TagSize }

func (p poly) sum(dst []byte) []byte { return p.Sum(dst) }

var chachaAnswers = []known{
	// RFC 8439, section 2.4.2
	{"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
		&ChaCha20Params{[]byte{1, 0, 0, 0}, 32, unhex("000000000000004a00000000"), 96},
		sunscreen,
		"6e2e359a2568f98041ba0728dd0d6981e97e7aec1d4360c20a27afccfd9fae0b" +
			"f91b65c5524733ab8f593dabcd62b3571639d624e65152ab8f530c359f0861d8" +
			"07ca0dbf500d6a6156a38e088a22b65e52bc514d16ccf806818ce91ab7793736" +
			"5af90bbf74a35be6b40b8eedf2785e42874d"},
	// draft-strombergson-chacha-test-vectors-01, TC1: the original variant
	{"0000000000000000000000000000000000000000000000000000000000000000",
		&ChaCha20Params{make([]byte, 8), 64, make([]byte, 8), 64},
		"0000000000000000000000000000000000000000000000000000000000000000",
		"76b8e0ada0f13d90405d6ae55386bd28bdd219b8a08ded1aa836efcc8b770dc7"},
	// draft-irtf-cfrg-xchacha-03, appendix A.3.2, the first two blocks
	{"808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f",
		&ChaCha20Params{make([]byte, 8), 64, unhex("404142434445464748494a4b4c4d4e4f5051525354555658"), 192},
		"5468652064686f6c65202870726f6e6f756e6365642022646f6c652229206973" +
			"20616c736f206b6e6f776e2061732074686520417369617469632077696c6420",
		"4559abba4e48c16102e8bb2c05e6947f50a786de162f9b0b7e592a9b53d0d4e9" +
			"8d8d6410d540a1a6375b26d80dace4fab52384c731acbf16a5923c0c48d3575d"},
}
