// Package mont is arithmetic modulo odd numbers of up to 576 bits, in constant
// time: the fields of elliptic curves and the integers modulo their orders.
//
// Elements are in Montgomery form, x*2^(64*limbs) mod m, and always reduced.
// No time and no memory access depends on their values, only on the modulus.
package mont

import (
	"errors"
	"math/big"
	"math/bits"
)

//go:generate go run gen.go

// MaxBits bounds the modulus.
const MaxBits = 64 * len(Element{})

// Element is a number modulo m in Montgomery form. The zero value is 0.
type Element [9]uint64

// Modulus is an odd number and what is known of it.
type Modulus struct {
	m       Element // itself, as it is
	limbs   int
	inverse uint64  // -1/m mod 2^64
	rr      Element // 2^(128*limbs) mod m
	one     Element // 1 in Montgomery form
	size    int     // length of m in bytes
	minus2  []byte  // m-2
}

// New makes a modulus of the bytes of m, big-endian without leading zeros.
// Numbers of up to width bits can be brought into its form.
func New(m []byte, width int) (*Modulus, error) {
	n := new(big.Int).SetBytes(m)
	limbs := max(3, (max(n.BitLen(), width)+63)/64)
	if limbs > len(Element{}) || n.Bit(0) == 0 || n.BitLen() < 2 {
		return nil, errors.New("mont: unusable modulus")
	}
	f := &Modulus{limbs: limbs, size: (n.BitLen() + 7) / 8}
	f.m = limbsOf(n)
	f.inverse = negatedInverse(f.m[0])
	r := new(big.Int).Lsh(big.NewInt(1), uint(64*limbs))
	f.one = limbsOf(new(big.Int).Mod(r, n))
	f.rr = limbsOf(r.Mod(r.Mul(r, r), n))
	f.minus2 = new(big.Int).Sub(n, big.NewInt(2)).Bytes()
	return f, nil
}

func limbsOf(x *big.Int) (z Element) {
	var buf [8 * len(Element{})]byte
	x.FillBytes(buf[:])
	setLimbs(&z, buf[:])
	return z
}

// negatedInverse finds -1/m mod 2^64 by Newton's iteration.
func negatedInverse(m uint64) uint64 {
	x := m // right in the last 3 bits
	for range 5 {
		x *= 2 - m*x
	}
	return -x
}

// setLimbs reads a big-endian string of at most 72 bytes.
func setLimbs(z *Element, b []byte) {
	*z = Element{}
	for i, v := range b {
		at := len(b) - 1 - i
		z[at/8] |= uint64(v) << (at % 8 * 8)
	}
}

// Size is the length of the modulus in bytes.
func (m *Modulus) Size() int { return m.size }

// One is 1.
func (m *Modulus) One() *Element { return &m.one }

// Set makes z the number b mod m; b is big-endian and not longer than the width.
func (m *Modulus) Set(z *Element, b []byte) {
	if len(b) > 8*m.limbs {
		panic("mont: number too long") // a mistake of ours
	}
	var x Element
	setLimbs(&x, b)
	m.mul(z, &x, &m.rr) // reduces whatever fits the limbs
}

// SetReduced is Set for numbers that must be less than m.
func (m *Modulus) SetReduced(z *Element, b []byte) bool {
	if len(b) != m.size {
		return false
	}
	var x Element
	setLimbs(&x, b)
	var borrow uint64
	for i := range m.limbs {
		_, borrow = bits.Sub64(x[i], m.m[i], borrow)
	}
	m.mul(z, &x, &m.rr)
	return borrow == 1
}

// Bytes writes x to dst, which has Size bytes.
func (m *Modulus) Bytes(dst []byte, x *Element) {
	var z Element
	m.mul(&z, x, &Element{1})
	for i := range dst {
		at := len(dst) - 1 - i
		dst[i] = byte(z[at/8] >> (at % 8 * 8))
	}
}

// Add makes z = x + y.
func (m *Modulus) Add(z, x, y *Element) { m.add(z, x, y) }

// Sub makes z = x - y.
func (m *Modulus) Sub(z, x, y *Element) { m.sub(z, x, y) }

// Mul makes z = x * y.
func (m *Modulus) Mul(z, x, y *Element) { m.mul(z, x, y) }

// IsZero returns 1 if x = 0, else 0.
func (m *Modulus) IsZero(x *Element) uint64 {
	var all uint64
	for i := range m.limbs {
		all |= x[i]
	}
	return 1 ^ (all|-all)>>63
}

// Equal returns 1 if x = y, else 0.
func (m *Modulus) Equal(x, y *Element) uint64 {
	var z Element
	m.sub(&z, x, y)
	return m.IsZero(&z)
}

// Select makes z = x if pick is 1, and leaves it if pick is 0.
func (m *Modulus) Select(z, x *Element, pick uint64) {
	mask := -pick
	for i := range m.limbs {
		z[i] ^= mask & (z[i] ^ x[i])
	}
}

// Invert makes z = 1/x for a prime m, and 0 for 0: x^(m-2), the theorem of
// Fermat, with an exponent that is public, four bits at a time.
func (m *Modulus) Invert(z, x *Element) {
	var powers [16]Element
	powers[0], powers[1] = m.one, *x
	for i := 2; i < len(powers); i++ {
		m.mul(&powers[i], &powers[i-1], x)
	}
	r := m.one
	for _, b := range m.minus2 {
		for _, d := range [2]byte{b >> 4, b & 15} {
			for range 4 {
				m.mul(&r, &r, &r)
			}
			m.mul(&r, &r, &powers[d])
		}
	}
	*z = r
}

// Limbs returns how many limbs elements use, for those who store many.
func (m *Modulus) Limbs() int { return m.limbs }
