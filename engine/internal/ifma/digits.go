package ifma

import (
	"errors"
	"math/bits"

	"github.com/perilune/perilune/engine/internal/ct"
)

var errModulus = errors.New("ifma: unusable modulus")

// split makes digits of a big-endian string, which must fit.
func split(digits []uint64, b []byte) {
	clear(digits)
	for i, v := range b {
		bit := 8 * (len(b) - 1 - i)
		d, shift := bit/digitBits, bit%digitBits
		digits[d] |= uint64(v) << shift & digitMask
		if shift > digitBits-8 && d+1 < len(digits) {
			digits[d+1] |= uint64(v) >> (digitBits - shift)
		}
	}
}

// join writes digits to a big-endian string, and drops what does not fit.
func join(b []byte, digits []uint64) {
	for i := range b {
		bit := 8 * (len(b) - 1 - i)
		d, shift := bit/digitBits, bit%digitBits
		var v uint64
		if d < len(digits) {
			v = digits[d] >> shift
		}
		if shift > digitBits-8 && d+1 < len(digits) {
			v |= digits[d+1] << (digitBits - shift)
		}
		b[i] = byte(v)
	}
}

// subtract makes x -= y if that is not negative.
func subtract(x, y []uint64) {
	keep := less(x, y) - 1 // all ones if x >= y
	var borrow int64
	for i := range x {
		d := int64(x[i]) - int64(y[i]&keep) + borrow
		x[i], borrow = uint64(d)&digitMask, d>>digitBits
	}
}

// sub makes x -= y, which must not be negative.
func sub(x, y []uint64) {
	var borrow int64
	for i := range x {
		d := int64(x[i]) - int64(y[i]) + borrow
		x[i], borrow = uint64(d)&digitMask, d>>digitBits
	}
}

// less returns 1 if x < y, else 0.
func less(x, y []uint64) uint64 {
	var borrow int64
	for i := range x {
		borrow = (int64(x[i]) - int64(y[i]) + borrow) >> digitBits
	}
	return uint64(borrow) & 1
}

// equal returns 1 if x = y, else 0.
func equal(x, y []uint64) uint64 {
	var d uint64
	for i := range x {
		d |= x[i] ^ y[i]
	}
	return 1 ^ (d|-d)>>63
}

// double makes x = 2x mod m.
func double(x, m []uint64) {
	var carry uint64
	for i, d := range x {
		d = d<<1 | carry
		x[i], carry = d&digitMask, d>>digitBits
	}
	subtract(x, m)
}

// difference makes z = x - y + 2p, which must not be negative.
func difference(z, x, y, p []uint64) {
	var carry int64
	for i := range z {
		d := int64(x[i]) - int64(y[i]) + 2*int64(p[i]) + carry
		z[i], carry = uint64(d)&digitMask, d>>digitBits
	}
}

// addProduct makes z += x*y. z has as many digits as x and y together, and its
// upper ones, from len(y), are 0 before.
func addProduct(z, x, y []uint64) {
	for i, d := range x {
		var carry uint64
		for j, e := range y {
			hi, lo := bits.Mul64(d, e)
			lo, c := bits.Add64(lo, z[i+j]+carry, 0)
			z[i+j] = lo & digitMask
			carry = (hi+c)<<(64-digitBits) | lo>>digitBits
		}
		z[i+len(y)] = carry
	}
}

// windows cuts an exponent of so many bits into parts of a width, the last one
// first.
func windows(b []byte, bits, width int) []byte {
	w := make([]byte, (bits+width-1)/width)
	for i := range w {
		for j := range width {
			if bit := width*i + j; bit < 8*len(b) {
				w[i] |= b[len(b)-1-bit/8] >> (bit % 8) & 1 << j
			}
		}
	}
	return w
}

// modulus is an odd number and what is known of it, for a radix R of 2^52 to the
// power of the number of digits.
type modulus struct {
	m, r    []uint64 // itself; R modulo it
	rr, rrr []uint64 // R^2 and R^3 modulo it, where somebody needs them
	k0      uint64   // -1/m mod 2^52
}

// newModulus takes an odd number without leading zeros. That it is odd, and its
// length in bytes, show.
func newModulus(b []byte, digits int) (*modulus, error) {
	if len(b) == 0 || 8*len(b) > digitBits*digits-slack || ct.Reveal(b[len(b)-1]&1) == 0 || ct.Reveal(b[0]) == 0 {
		return nil, errModulus
	}
	m := &modulus{m: digitsOf(b, digits), r: make([]uint64, digits)}
	m.k0 = negativeInverse(m.m[0])
	// A power of two that is less than m, doubled until it is R.
	below := 8*len(b) - 8
	m.r[below/digitBits] = 1 << (below % digitBits)
	for range digitBits*digits - below {
		double(m.r, m.m)
	}
	return m, nil
}

// negativeInverse is -1/m mod 2^52, by Newton's iteration.
func negativeInverse(m uint64) uint64 {
	x := m // right in the last 3 bits
	for range 5 {
		x *= 2 - m*x
	}
	return -x & digitMask
}

func digitsOf(b []byte, n int) []uint64 {
	d := make([]uint64, n)
	split(d, b)
	return d
}
