// Package aria implements the block cipher ARIA (RFC 5794) in constant time.
package aria

import (
	"crypto/cipher"
	"encoding/binary"
	"math/bits"
	"strconv"

	"github.com/perilune/perilune/engine/internal/sbox"
)

// BlockSize is the size of a block in bytes.
const BlockSize = 16

// KeySizeError is a key length that is not 16, 24 or 32 bytes.
type KeySizeError int

func (e KeySizeError) Error() string { return "aria: invalid key size " + strconv.Itoa(int(e)) }

// The S-boxes of RFC 5794, section 2.4.2. SB1 is that of AES; SB3 and SB4
// invert SB1 and SB2.
var (
	sb1 = sbox.Box{
		In:  sbox.Affine{Bits: [8]byte{0x01, 0x20, 0x46, 0x4c, 0x3c, 0xd5, 0x34, 0xe5}},
		Out: sbox.Affine{Bits: [8]byte{0x1f, 0xb2, 0xab, 0x36, 0x52, 0x3e, 0x65, 0x60}, Const: 0x63},
	}
	sb2 = sbox.Box{
		In:  sbox.Affine{Bits: [8]byte{0x01, 0x20, 0x46, 0x4c, 0x3c, 0xd5, 0x34, 0xe5}},
		Out: sbox.Affine{Bits: [8]byte{0xac, 0x98, 0x03, 0xdd, 0x05, 0xfd, 0x5d, 0x50}, Const: 0xe2},
	}
	sb3 = sbox.Box{
		In:  sbox.Affine{Bits: [8]byte{0x58, 0x9f, 0x98, 0x28, 0x76, 0x79, 0xf9, 0x92}, Const: 0x47},
		Out: sbox.Affine{Bits: [8]byte{0x01, 0x5c, 0xe0, 0x50, 0xa2, 0x02, 0xb8, 0xdb}},
	}
	sb4 = sbox.Box{
		In:  sbox.Affine{Bits: [8]byte{0xa1, 0xa5, 0xb1, 0xd0, 0x9a, 0x28, 0x1a, 0x48}, Const: 0xdf},
		Out: sbox.Affine{Bits: [8]byte{0x01, 0x5c, 0xe0, 0x50, 0xa2, 0x02, 0xb8, 0xdb}},
	}

	sl1 = sbox.NewLayer([8]sbox.Box{sb1, sb2, sb3, sb4, sb1, sb2, sb3, sb4})
	sl2 = sbox.NewLayer([8]sbox.Box{sb3, sb4, sb1, sb2, sb3, sb4, sb1, sb2})
)

// block is 128 bits, big-endian.
type block struct{ hi, lo uint64 }

func load(b []byte) block {
	return block{binary.BigEndian.Uint64(b), binary.BigEndian.Uint64(b[8:])}
}

func (b block) store(dst []byte) {
	binary.BigEndian.PutUint64(dst, b.hi)
	binary.BigEndian.PutUint64(dst[8:], b.lo)
}

func (b block) xor(c block) block { return block{b.hi ^ c.hi, b.lo ^ c.lo} }

// rotateLeft turns b by n bits, 0 < n < 128.
func (b block) rotateLeft(n uint) block {
	if n >= 64 {
		b.hi, b.lo = b.lo, b.hi
		n -= 64
	}
	return block{b.hi<<n | b.lo>>(64-n), b.lo<<n | b.hi>>(64-n)}
}

func (b block) sub(l *sbox.Layer) block {
	hi, lo := l.Sub2(b.hi, b.lo)
	return block{hi, lo}
}

// diffuse is the involution A of section 2.4.3: each byte becomes the sum of
// seven. It is done in four steps over words of 32 bits.
func (b block) diffuse() block {
	t0, t1 := others(uint32(b.hi>>32)), others(uint32(b.hi))
	t2, t3 := others(uint32(b.lo>>32)), others(uint32(b.lo))
	t0, t1, t2, t3 = mix(t0, t1, t2, t3)
	t1 = bits.ReverseBytes32(bits.RotateLeft32(t1, 16))
	t2 = bits.RotateLeft32(t2, 16)
	t3 = bits.ReverseBytes32(t3)
	t0, t1, t2, t3 = mix(t0, t1, t2, t3)
	return block{uint64(t0)<<32 | uint64(t1), uint64(t2)<<32 | uint64(t3)}
}

// others makes each byte the sum of the other three.
func others(t uint32) uint32 {
	return bits.RotateLeft32(t, 8) ^ bits.RotateLeft32(t, 16) ^ bits.RotateLeft32(t, 24)
}

// mix makes each word the sum of three.
func mix(t0, t1, t2, t3 uint32) (_, _, _, _ uint32) {
	all := t0 ^ t1 ^ t2 ^ t3
	return all ^ t3, all ^ t1, all ^ t2, all ^ t0
}

// odd and even are the round functions FO and FE (section 2.4.1).
func odd(d, key block) block  { return d.xor(key).sub(sl1).diffuse() }
func even(d, key block) block { return d.xor(key).sub(sl2).diffuse() }

// aria is the round keys, of which there are n, for both directions.
type aria struct {
	enc, dec [17]block
	n        int
}

// NewCipher makes a cipher of a key of 16, 24 or 32 bytes.
func NewCipher(key []byte) (cipher.Block, error) {
	switch len(key) {
	case 16, 24, 32:
	default:
		return nil, KeySizeError(len(key))
	}
	a := &aria{n: len(key)/4 + 9}
	a.expand(key)
	return a, nil
}

// The constants C1 to C3 of section 2.2.
var constants = [3]block{
	{0x517cc1b727220a94, 0xfe13abe8fa9a6ee0},
	{0x6db14acc9e21c820, 0xff28b1d5ef5de2b0},
	{0xdb92371d2126e970, 0x0324977504e8c90e},
}

// expand makes the round keys (section 2.2).
func (a *aria) expand(key []byte) {
	var k [32]byte
	copy(k[:], key)
	first := (len(key) - 16) / 8
	var w [4]block
	w[0] = load(k[:])
	w[1] = odd(w[0], constants[first]).xor(load(k[16:]))
	w[2] = even(w[1], constants[(first+1)%3]).xor(w[0])
	w[3] = odd(w[2], constants[(first+2)%3]).xor(w[1])
	clear(k[:])

	turns := [5]uint{128 - 19, 128 - 31, 61, 31, 19}
	for i := range a.n {
		a.enc[i] = w[i%4].xor(w[(i+1)%4].rotateLeft(turns[i/4]))
	}
	for i := range a.n {
		a.dec[i] = a.enc[a.n-1-i]
		if i > 0 && i < a.n-1 {
			a.dec[i] = a.dec[i].diffuse()
		}
	}
}

func (a *aria) BlockSize() int { return BlockSize }

func (a *aria) Encrypt(dst, src []byte) { a.crypt(&a.enc, dst, src) }

func (a *aria) Decrypt(dst, src []byte) { a.crypt(&a.dec, dst, src) }

func (a *aria) crypt(keys *[17]block, dst, src []byte) {
	_, _ = src[15], dst[15]
	d := load(src)
	last := a.n - 1
	d = odd(d, keys[0])
	for i := 1; i < last-1; i += 2 {
		d = even(d, keys[i])
		d = odd(d, keys[i+1])
	}
	d.xor(keys[last-1]).sub(sl2).xor(keys[last]).store(dst)
}
