//go:build !amd64 || valgrind

package vaes

import (
	"crypto/subtle"
	"encoding/binary"
	"math/bits"
)

// The kernels in Go, in constant time, for the tests of that: valgrind does not know
// the vectors. They are too slow for anything else.

func ctr(dst, src []byte, counter *[BlockSize]byte, round *[15][BlockSize]byte, rounds int) {
	for i := range src {
		if i%BlockSize == 0 {
			stream := encrypt(*counter, round[:rounds+1])
			subtle.XORBytes(dst[i:], src[i:], stream[:])
			binary.BigEndian.PutUint32(counter[12:], binary.BigEndian.Uint32(counter[12:])+1)
		}
	}
}

// encrypt is the cipher (NIST FIPS 197, section 5.1).
func encrypt(x [BlockSize]byte, round [][BlockSize]byte) [BlockSize]byte {
	add := func(k *[BlockSize]byte) {
		for i := range x {
			x[i] ^= k[i]
		}
	}
	add(&round[0])
	for r := range round[1:] {
		var y [BlockSize]byte
		for i := 0; i < BlockSize; i += 8 {
			binary.LittleEndian.PutUint64(y[i:], subBytes(binary.LittleEndian.Uint64(x[i:])))
		}
		for i := range x {
			x[i] = y[(i+i%4*4)%BlockSize] // ShiftRows
		}
		if r < len(round)-2 {
			for i := 0; i < BlockSize; i += 4 {
				w := binary.LittleEndian.Uint32(x[i:])
				v := w ^ bits.RotateLeft32(w, -8)
				w = uint32(double(uint64(v))) ^ bits.RotateLeft32(w, -8) ^ bits.RotateLeft32(v, -16)
				binary.LittleEndian.PutUint32(x[i:], w)
			}
		}
		add(&round[r+1])
	}
	return x
}

func subWord(w uint32) uint32 { return uint32(subBytes(uint64(w))) }

const lows = 0x0101010101010101 // the lowest bit of each byte

// double multiplies each byte by x.
func double(a uint64) uint64 { return a&(0x7f*lows)<<1 ^ a>>7&lows*0x1b }

// multiply multiplies bytes.
func multiply(a, b uint64) (c uint64) {
	for range 8 {
		c ^= a & (b & lows * 0xff)
		a, b = double(a), b>>1
	}
	return c
}

// subBytes applies the S-box to each byte: the inverse, which is the power of 254, in
// an affine map.
func subBytes(a uint64) uint64 {
	inverse := a
	for range 6 {
		inverse = multiply(multiply(inverse, inverse), a)
	}
	inverse = multiply(inverse, inverse)
	sum := uint64(0x63 * lows)
	for i := range 5 {
		sum ^= inverse<<i&(0xff<<i&0xff*lows) | inverse>>(8-i)&(0xff>>(8-i)*lows)
	}
	return sum
}

func seal(dst, src []byte, counter *[BlockSize]byte, round *[15][BlockSize]byte, rounds int, hash *[BlockSize]byte, powers *powers) {
	ctr(dst, src, counter, round, rounds)
	ghash(hash, dst[:len(src)], powers)
}

func ghash(hash *[BlockSize]byte, src []byte, powers *powers) {
	key := &powers[lanes-1]
	for ; len(src) > 0; src = src[BlockSize:] {
		ahi := binary.BigEndian.Uint64(hash[:]) ^ binary.BigEndian.Uint64(src)
		alo := binary.BigEndian.Uint64(hash[8:]) ^ binary.BigEndian.Uint64(src[8:])
		hi, lo := binary.LittleEndian.Uint64(key[8:]), binary.LittleEndian.Uint64(key[:])
		var zhi, zlo uint64
		for range 128 {
			// The power was divided by x.
			over := -(lo & 1)
			hi, lo = hi>>1^over&(0xe1<<56), lo>>1|hi<<63
			use := -(ahi >> 63)
			zhi, zlo = zhi^hi&use, zlo^lo&use
			ahi, alo = ahi<<1|alo>>63, alo<<1
		}
		binary.BigEndian.PutUint64(hash[:], zhi)
		binary.BigEndian.PutUint64(hash[8:], zlo)
	}
}
