// Package ripemd is the digests RIPEMD-128 and RIPEMD-160 (H. Dobbertin,
// A. Bosselaers, B. Preneel: RIPEMD-160, a strengthened version of RIPEMD,
// 1996; ISO/IEC 10118-3). Their states can be saved, which those of other
// packages cannot.
package ripemd

import (
	"encoding/binary"
	"errors"
	"hash"
	"math/bits"
)

// Sizes of digests and of a block, in bytes.
const (
	Size128   = 16
	Size160   = 20
	BlockSize = 64
)

// digest is a computation under way, of either function.
type digest struct {
	h    [5]uint32 // of which RIPEMD-128 uses four
	buf  [BlockSize]byte
	len  uint64 // bytes taken so far
	size int
}

// New128 returns a new RIPEMD-128; it can be saved.
func New128() hash.Hash { return newDigest(Size128) }

// New160 returns a new RIPEMD-160; it can be saved.
func New160() hash.Hash { return newDigest(Size160) }

func newDigest(size int) *digest {
	d := &digest{size: size}
	d.Reset()
	return d
}

func (d *digest) Size() int      { return d.size }
func (d *digest) BlockSize() int { return BlockSize }

func (d *digest) Reset() {
	d.h = [5]uint32{0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0}
	d.len = 0
}

func (d *digest) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		at := int(d.len % BlockSize)
		m := copy(d.buf[at:], p)
		d.len += uint64(m)
		p = p[m:]
		if at+m == BlockSize {
			d.block()
		}
	}
	return n, nil
}

// Sum pads as MD4 does: a bit, zeros, and the length in bits.
func (d *digest) Sum(b []byte) []byte {
	c := *d
	var pad [BlockSize + 8]byte
	pad[0] = 0x80
	zeros := (BlockSize + 56 - 1 - c.len%BlockSize) % BlockSize
	binary.LittleEndian.PutUint64(pad[1+zeros:], c.len<<3)
	c.Write(pad[:1+zeros+8])
	for _, w := range c.h[:c.size/4] {
		b = binary.LittleEndian.AppendUint32(b, w)
	}
	return b
}

// block takes in the 64 bytes of buf.
func (d *digest) block() {
	var x [16]uint32
	for i := range x {
		x[i] = binary.LittleEndian.Uint32(d.buf[4*i:])
	}
	if d.size == Size128 {
		d.block128(&x)
	} else {
		d.block160(&x)
	}
}

func (d *digest) block160(x *[16]uint32) {
	l, r := d.h, d.h
	for i := range 80 {
		step160(&l, mix(i/16, l[1], l[2], l[3])+x[wordsLeft[i]]+constLeft[i/16], shiftsLeft[i])
		step160(&r, mix(4-i/16, r[1], r[2], r[3])+x[wordsRight[i]]+constRight[i/16], shiftsRight[i])
	}
	h := d.h
	for i := range 5 {
		d.h[i] = h[(i+1)%5] + l[(i+2)%5] + r[(i+3)%5]
	}
}

func step160(v *[5]uint32, f uint32, shift uint8) {
	t := bits.RotateLeft32(v[0]+f, int(shift)) + v[4]
	*v = [5]uint32{v[4], t, v[1], bits.RotateLeft32(v[2], 10), v[3]}
}

// block128 has four rounds, and other constants in the last of the right line.
func (d *digest) block128(x *[16]uint32) {
	l, r := d.h, d.h
	for i := range 64 {
		step128(&l, mix(i/16, l[1], l[2], l[3])+x[wordsLeft[i]]+constLeft[i/16], shiftsLeft[i])
		k := constRight[i/16]
		if i >= 48 {
			k = 0
		}
		step128(&r, mix(3-i/16, r[1], r[2], r[3])+x[wordsRight[i]]+k, shiftsRight[i])
	}
	h := d.h
	for i := range 4 {
		d.h[i] = h[(i+1)%4] + l[(i+2)%4] + r[(i+3)%4]
	}
}

func step128(v *[5]uint32, f uint32, shift uint8) {
	t := bits.RotateLeft32(v[0]+f, int(shift))
	v[0], v[1], v[2], v[3] = v[3], t, v[1], v[2]
}

// mix is the function of a round.
func mix(round int, x, y, z uint32) uint32 {
	switch round {
	case 0:
		return x ^ y ^ z
	case 1:
		return x&y | ^x&z
	case 2:
		return (x | ^y) ^ z
	case 3:
		return x&z | y&^z
	}
	return x ^ (y | ^z)
}

// MarshalBinary implements encoding.BinaryMarshaler.
func (d *digest) MarshalBinary() ([]byte, error) {
	b := make([]byte, 0, stateSize)
	b = append(b, magic...)
	b = append(b, byte(d.size))
	for _, w := range d.h {
		b = binary.LittleEndian.AppendUint32(b, w)
	}
	b = append(b, d.buf[:]...)
	return binary.LittleEndian.AppendUint64(b, d.len), nil
}

// UnmarshalBinary implements encoding.BinaryUnmarshaler.
func (d *digest) UnmarshalBinary(b []byte) error {
	if len(b) != stateSize || string(b[:len(magic)]) != magic || int(b[len(magic)]) != d.size {
		return errors.New("ripemd: no saved state of this digest")
	}
	b = b[len(magic)+1:]
	for i := range d.h {
		d.h[i] = binary.LittleEndian.Uint32(b[4*i:])
	}
	copy(d.buf[:], b[20:])
	d.len = binary.LittleEndian.Uint64(b[20+BlockSize:])
	return nil
}

const (
	magic     = "rmd\x01"
	stateSize = len(magic) + 1 + 5*4 + BlockSize + 8
)

// The words, shifts and constants of both lines; RIPEMD-128 has four rounds of
// five.
var (
	wordsLeft = [80]uint8{
		0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15,
		7, 4, 13, 1, 10, 6, 15, 3, 12, 0, 9, 5, 2, 14, 11, 8,
		3, 10, 14, 4, 9, 15, 8, 1, 2, 7, 0, 6, 13, 11, 5, 12,
		1, 9, 11, 10, 0, 8, 12, 4, 13, 3, 7, 15, 14, 5, 6, 2,
		4, 0, 5, 9, 7, 12, 2, 10, 14, 1, 3, 8, 11, 6, 15, 13,
	}
	wordsRight = [80]uint8{
		5, 14, 7, 0, 9, 2, 11, 4, 13, 6, 15, 8, 1, 10, 3, 12,
		6, 11, 3, 7, 0, 13, 5, 10, 14, 15, 8, 12, 4, 9, 1, 2,
		15, 5, 1, 3, 7, 14, 6, 9, 11, 8, 12, 2, 10, 0, 4, 13,
		8, 6, 4, 1, 3, 11, 15, 0, 5, 12, 2, 13, 9, 7, 10, 14,
		12, 15, 10, 4, 1, 5, 8, 7, 6, 2, 13, 14, 0, 3, 9, 11,
	}
	shiftsLeft = [80]uint8{
		11, 14, 15, 12, 5, 8, 7, 9, 11, 13, 14, 15, 6, 7, 9, 8,
		7, 6, 8, 13, 11, 9, 7, 15, 7, 12, 15, 9, 11, 7, 13, 12,
		11, 13, 6, 7, 14, 9, 13, 15, 14, 8, 13, 6, 5, 12, 7, 5,
		11, 12, 14, 15, 14, 15, 9, 8, 9, 14, 5, 6, 8, 6, 5, 12,
		9, 15, 5, 11, 6, 8, 13, 12, 5, 12, 13, 14, 11, 8, 5, 6,
	}
	shiftsRight = [80]uint8{
		8, 9, 9, 11, 13, 15, 15, 5, 7, 7, 8, 11, 14, 14, 12, 6,
		9, 13, 15, 7, 12, 8, 9, 11, 7, 7, 12, 7, 6, 15, 13, 11,
		9, 7, 15, 11, 8, 6, 6, 14, 12, 13, 5, 14, 13, 13, 7, 5,
		15, 5, 8, 11, 14, 14, 6, 14, 6, 9, 12, 9, 12, 5, 15, 8,
		8, 5, 12, 9, 12, 5, 14, 6, 8, 13, 6, 5, 15, 13, 11, 11,
	}
	constLeft  = [5]uint32{0, 0x5a827999, 0x6ed9eba1, 0x8f1bbcdc, 0xa953fd4e}
	constRight = [5]uint32{0x50a28be6, 0x5c4dd124, 0x6d703ef3, 0x7a6d76e9, 0}
)
