// Package has160 is the Korean hash function HAS-160 (TTAS.KO-12.0011/R1).
//
// Its collision resistance is at most that of 80 bits, and attacks on reduced
// versions are known: it is here for KCDSA and for what is old.
package has160

import (
	"encoding/binary"
	"errors"
	"hash"
	"math/bits"
)

// Sizes in bytes of a digest and of a block.
const (
	Size      = 20
	BlockSize = 64
)

type digest struct {
	h   [5]uint32
	buf [BlockSize]byte // the first n%BlockSize bytes wait for the others
	n   uint64          // length of the message so far
}

// New starts a digest. It can be saved: it is an encoding.BinaryMarshaler and
// encoding.BinaryUnmarshaler too.
func New() hash.Hash {
	d := new(digest)
	d.Reset()
	return d
}

func (d *digest) Size() int      { return Size }
func (d *digest) BlockSize() int { return BlockSize }

func (d *digest) Reset() {
	*d = digest{h: [5]uint32{0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0}}
}

func (d *digest) Write(p []byte) (int, error) {
	n := len(p)
	if used := int(d.n % BlockSize); used > 0 {
		m := copy(d.buf[used:], p)
		d.n += uint64(m)
		p = p[m:]
		if d.n%BlockSize != 0 {
			return n, nil
		}
		d.block(&d.buf)
	}
	for len(p) >= BlockSize {
		d.block((*[BlockSize]byte)(p))
		d.n += BlockSize
		p = p[BlockSize:]
	}
	copy(d.buf[:], p)
	d.n += uint64(len(p))
	return n, nil
}

// Sum appends the digest; the message can go on afterwards. It ends with a bit
// 1, zeros and its length in bits.
func (d *digest) Sum(dst []byte) []byte {
	end := *d
	var pad [BlockSize + 8]byte
	pad[0] = 0x80
	zeros := (2*BlockSize - 9 - end.n%BlockSize) % BlockSize
	binary.LittleEndian.PutUint64(pad[1+zeros:], end.n*8)
	end.Write(pad[:1+zeros+8])
	for _, h := range end.h {
		dst = binary.LittleEndian.AppendUint32(dst, h)
	}
	return dst
}

const magic = "has160\x01"

// MarshalBinary saves the state.
func (d *digest) MarshalBinary() ([]byte, error) {
	b := []byte(magic)
	for _, h := range d.h {
		b = binary.BigEndian.AppendUint32(b, h)
	}
	b = append(b, d.buf[:]...)
	return binary.BigEndian.AppendUint64(b, d.n), nil
}

// UnmarshalBinary takes a state that MarshalBinary saved.
func (d *digest) UnmarshalBinary(b []byte) error {
	if len(b) != len(magic)+Size+BlockSize+8 || string(b[:len(magic)]) != magic {
		return errors.New("has160: not a saved state")
	}
	b = b[len(magic):]
	for i := range d.h {
		d.h[i], b = binary.BigEndian.Uint32(b), b[4:]
	}
	copy(d.buf[:], b)
	d.n = binary.BigEndian.Uint64(b[BlockSize:])
	return nil
}

// order says which word each of a round's 20 steps takes. The words from 16 on
// are sums of four others each.
var order = [4][20]uint8{
	{18, 0, 1, 2, 3, 19, 4, 5, 6, 7, 16, 8, 9, 10, 11, 17, 12, 13, 14, 15},
	{18, 3, 6, 9, 12, 19, 15, 2, 5, 8, 16, 11, 14, 1, 4, 17, 7, 10, 13, 0},
	{18, 12, 5, 14, 7, 19, 0, 9, 2, 11, 16, 4, 13, 6, 15, 17, 8, 1, 10, 3},
	{18, 7, 2, 13, 8, 19, 3, 14, 9, 4, 16, 15, 10, 5, 0, 17, 11, 6, 1, 12},
}

// The constants of the rounds, and the rotations of the steps and of the rounds.
var (
	constants = [4]uint32{0, 0x5a827999, 0x6ed9eba1, 0x8f1bbcdc}
	shifts    = [20]int{5, 11, 7, 15, 6, 13, 8, 14, 7, 12, 9, 11, 8, 15, 6, 12, 9, 14, 5, 13}
	turns     = [4]int{10, 17, 25, 30}
)

func (d *digest) block(p *[BlockSize]byte) {
	var x [20]uint32
	for i := range 16 {
		x[i] = binary.LittleEndian.Uint32(p[4*i:])
	}
	a, b, c, dd, e := d.h[0], d.h[1], d.h[2], d.h[3], d.h[4]
	for round := range 4 {
		// The four words between one sum and the next make the sum that comes
		// two places later: those of steps 1 to 4 make word 16, and so on.
		o := &order[round]
		for i := range 4 {
			x[16+i] = x[o[5*i+1]] ^ x[o[5*i+2]] ^ x[o[5*i+3]] ^ x[o[5*i+4]]
		}
		for step := range 20 {
			t := bits.RotateLeft32(a, shifts[step]) + mix(round, b, c, dd) + e + x[o[step]] + constants[round]
			a, b, c, dd, e = t, a, bits.RotateLeft32(b, turns[round]), c, dd
		}
	}
	d.h[0] += a
	d.h[1] += b
	d.h[2] += c
	d.h[3] += dd
	d.h[4] += e
}

// mix is the Boolean function of a round.
func mix(round int, x, y, z uint32) uint32 {
	switch round {
	case 0:
		return x&y | ^x&z
	case 2:
		return y ^ (x | ^z)
	}
	return x ^ y ^ z
}
