// Package sm4 implements the block cipher SM4 (GB/T 32907-2016) in constant
// time.
package sm4

import (
	"crypto/cipher"
	"encoding/binary"
	"math/bits"
	"strconv"

	"github.com/perilune/perilune/engine/internal/sbox"
)

// BlockSize and KeySize are the sizes of blocks and keys in bytes.
const (
	BlockSize = 16
	KeySize   = 16
)

// KeySizeError is a key length that is not 16 bytes.
type KeySizeError int

func (e KeySizeError) Error() string { return "sm4: invalid key size " + strconv.Itoa(int(e)) }

// The S-box of section 6.2 of the standard.
var (
	box = sbox.Box{
		In:  sbox.Affine{Bits: [8]byte{0x9a, 0x9c, 0xc6, 0x85, 0x95, 0x8e, 0xeb, 0x5d}, Const: 0xac},
		Out: sbox.Affine{Bits: [8]byte{0xcb, 0x71, 0x4e, 0xb0, 0xf9, 0x24, 0x46, 0x2d}, Const: 0xd3},
	}
	boxes = sbox.NewLayer([8]sbox.Box{box, box, box, box, box, box, box, box})
)

// t is the transformation T of the rounds.
func t(x uint32) uint32 {
	y := uint32(boxes.Sub(uint64(x)))
	return y ^ bits.RotateLeft32(y, 2) ^ bits.RotateLeft32(y, 10) ^
		bits.RotateLeft32(y, 18) ^ bits.RotateLeft32(y, 24)
}

// tKey is the transformation T' of the key expansion.
func tKey(x uint32) uint32 {
	y := uint32(boxes.Sub(uint64(x)))
	return y ^ bits.RotateLeft32(y, 13) ^ bits.RotateLeft32(y, 23)
}

// sm4 is the keys of the rounds, for both directions.
type sm4 struct{ enc, dec [32]uint32 }

// NewCipher makes a cipher of a key of 16 bytes.
func NewCipher(key []byte) (cipher.Block, error) {
	if len(key) != KeySize {
		return nil, KeySizeError(len(key))
	}
	s := new(sm4)
	k := load(key)
	for i, fk := range [4]uint32{0xa3b1bac6, 0x56aa3350, 0x677d9197, 0xb27022dc} {
		k[i] ^= fk
	}
	for i := range s.enc {
		next := k[0] ^ tKey(k[1]^k[2]^k[3]^constant(i))
		k = block{k[1], k[2], k[3], next}
		s.enc[i], s.dec[31-i] = next, next
	}
	return s, nil
}

// constant is CK_i: four bytes that count on in steps of 7.
func constant(i int) (ck uint32) {
	for j := range 4 {
		ck = ck<<8 | uint32(byte((4*i+j)*7))
	}
	return ck
}

func (s *sm4) BlockSize() int { return BlockSize }

func (s *sm4) Encrypt(dst, src []byte) { crypt(&s.enc, dst, src) }

func (s *sm4) Decrypt(dst, src []byte) { crypt(&s.dec, dst, src) }

type block [4]uint32

func load(src []byte) (b block) {
	_ = src[15]
	for i := range b {
		b[i] = binary.BigEndian.Uint32(src[4*i:])
	}
	return b
}

func crypt(keys *[32]uint32, dst, src []byte) {
	_ = dst[15]
	x := load(src)
	for _, k := range keys {
		x = block{x[1], x[2], x[3], x[0] ^ t(x[1]^x[2]^x[3]^k)}
	}
	for i := range x {
		binary.BigEndian.PutUint32(dst[4*i:], x[3-i])
	}
}
