package adx

import (
	"encoding/binary"
	"math/bits"
)

// split makes limbs of a big-endian string, which must fit.
func split(x []uint64, b []byte) {
	clear(x)
	for i := range x {
		if len(b) >= 8 {
			x[i] = binary.BigEndian.Uint64(b[len(b)-8:])
			b = b[:len(b)-8]
			continue
		}
		for j, v := range b {
			x[i] |= uint64(v) << (8 * (len(b) - 1 - j))
		}
		return
	}
}

// join writes limbs to a big-endian string, and drops what does not fit.
func join(b []byte, x []uint64) {
	for i := range b {
		at := len(b) - 1 - i // significance in bytes
		b[i] = 0
		if at/8 < len(x) {
			b[i] = byte(x[at/8] >> (at % 8 * 8))
		}
	}
}

// less returns 1 if x < y, else 0.
func less(x, y []uint64) (borrow uint64) {
	for i := range x {
		_, borrow = bits.Sub64(x[i], y[i], borrow)
	}
	return borrow
}

// equal returns 1 if x = y, else 0.
func equal(x, y []uint64) uint64 {
	var d uint64
	for i := range x {
		d |= x[i] ^ y[i]
	}
	return 1 ^ (d|-d)>>63
}

// isZero returns 1 if x = 0, else 0.
func isZero(x []uint64) uint64 {
	var d uint64
	for _, v := range x {
		d |= v
	}
	return 1 ^ (d|-d)>>63
}

// sub makes x -= y where mask is all ones, and returns what was borrowed.
func sub(x, y []uint64, mask uint64) (borrow uint64) {
	for i := range x {
		x[i], borrow = bits.Sub64(x[i], y[i]&mask, borrow)
	}
	return borrow
}

// add makes x += y where mask is all ones, and returns what was carried.
func add(x, y []uint64, mask uint64) (carry uint64) {
	for i := range x {
		x[i], carry = bits.Add64(x[i], y[i]&mask, carry)
	}
	return carry
}

// once makes x, with a bit above it, x - m if that is not negative.
func once(x, m []uint64, above uint64) { sub(x, m, -(above | (1 ^ less(x, m)))) }

// double makes x = 2x mod m, for x below m.
func double(x, m []uint64) { once(x, m, add(x, x, ^uint64(0))) }

// addProduct makes z += x*y. z has as many limbs as x and y together, and its
// upper ones, from len(y), are 0 before.
func addProduct(z, x, y []uint64) {
	for i, d := range x {
		var carry uint64
		for j, e := range y {
			hi, lo := bits.Mul64(d, e)
			lo, c := bits.Add64(lo, carry, 0)
			hi += c
			z[i+j], c = bits.Add64(z[i+j], lo, 0)
			carry = hi + c
		}
		z[i+len(y)] = carry
	}
}

// window is how many bits of an exponent are looked up at once.
const window = 5

// windows cuts an exponent of so many bits into windows, the last one first.
func windows(b []byte, bits int) []byte {
	w := make([]byte, (bits+window-1)/window)
	setWindows(w, b)
	return w
}

func setWindows(w, b []byte) {
	clear(w)
	for i := range w {
		for j := range window {
			if bit := window*i + j; bit < 8*len(b) {
				w[i] |= b[len(b)-1-bit/8] >> (bit % 8) & 1 << j
			}
		}
	}
}
