// Package seed implements the block cipher SEED (RFC 4269) in constant time.
package seed

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

func (e KeySizeError) Error() string { return "seed: invalid key size " + strconv.Itoa(int(e)) }

// The S-boxes of RFC 4269, appendix A.
var (
	s1 = sbox.Box{
		In:  sbox.Affine{Bits: [8]byte{0x01, 0x62, 0x79, 0xc9, 0x68, 0xee, 0xfc, 0x7d}},
		Out: sbox.Affine{Bits: [8]byte{0x2c, 0xa7, 0x18, 0x91, 0xb9, 0xd9, 0x9e, 0xb7}, Const: 0xa9},
	}
	s2 = sbox.Box{
		In:  sbox.Affine{Bits: [8]byte{0x01, 0x62, 0x79, 0xc9, 0x68, 0xee, 0xfc, 0x7d}},
		Out: sbox.Affine{Bits: [8]byte{0xd0, 0x52, 0x5d, 0x56, 0x9d, 0xd7, 0xa4, 0xff}, Const: 0x38},
	}
	boxes = sbox.NewLayer([8]sbox.Box{s2, s1, s2, s1, s2, s1, s2, s1})
)

// g is the function G (section 2.2): S-boxes, then each byte of the result
// takes some bits of each byte.
func g(x uint32) uint32 {
	y := uint32(boxes.Sub(uint64(x)))
	return y&0xcffccffc ^ bits.RotateLeft32(y, 8)&0xf33ff33f ^
		bits.RotateLeft32(y, 16)&0xfccffccf ^ bits.RotateLeft32(y, 24)&0x3ff33ff3
}

// f is the function F (section 2.1) over the halves c and d.
func f(c, d uint32, key [2]uint32) (uint32, uint32) {
	c ^= key[0]
	d ^= key[1]
	d = g(c ^ d)
	c = g(c + d)
	d = g(c + d)
	return c + d, d
}

// seed is the keys of the rounds.
type seed [16][2]uint32

// NewCipher makes a cipher of a key of 16 bytes.
func NewCipher(key []byte) (cipher.Block, error) {
	if len(key) != KeySize {
		return nil, KeySizeError(len(key))
	}
	s := new(seed)
	hi, lo := binary.BigEndian.Uint64(key), binary.BigEndian.Uint64(key[8:])
	for i := range s { // section 2.3
		c := bits.RotateLeft32(0x9e3779b9, i)
		s[i] = [2]uint32{
			g(uint32(hi>>32) + uint32(lo>>32) - c),
			g(uint32(hi) - uint32(lo) + c),
		}
		if i%2 == 0 {
			hi = bits.RotateLeft64(hi, -8)
		} else {
			lo = bits.RotateLeft64(lo, 8)
		}
	}
	return s, nil
}

func (s *seed) BlockSize() int { return BlockSize }

func (s *seed) Encrypt(dst, src []byte) {
	b := load(src)
	for i := range s {
		b.round(s[i])
	}
	b.store(dst)
}

func (s *seed) Decrypt(dst, src []byte) {
	b := load(src)
	for i := range s {
		b.round(s[15-i])
	}
	b.store(dst)
}

// block is the two halves of two words each.
type block [4]uint32

func load(src []byte) (b block) {
	_ = src[15]
	for i := range b {
		b[i] = binary.BigEndian.Uint32(src[4*i:])
	}
	return b
}

// round adds F of the right half to the left one and exchanges them.
func (b *block) round(key [2]uint32) {
	c, d := f(b[2], b[3], key)
	b[0], b[1], b[2], b[3] = b[2], b[3], b[0]^c, b[1]^d
}

// store takes the last exchange back.
func (b *block) store(dst []byte) {
	_ = dst[15]
	for i := range b {
		binary.BigEndian.PutUint32(dst[4*i:], b[(i+2)%4])
	}
}
