package adx

import (
	"errors"
	"math/bits"

	"github.com/perilune/perilune/engine/internal/ct"
)

var errModulus = errors.New("adx: unusable modulus")

// modulus is an odd number and what is known of it, for R = 2^(512*blocks).
type modulus struct {
	blocks int
	m      []uint64
	r, rr  []uint64 // R and R^2 modulo m, below it
	k0     uint64   // -1/m mod 2^64
}

// newModulus takes an odd number without leading zeros. That it is odd, and its
// length in bytes, show.
func newModulus(b []byte, blocks int) (*modulus, error) {
	if len(b) == 0 || blocks < blocksFor(len(b)) || ct.Reveal(b[0]) == 0 || ct.Reveal(b[len(b)-1]&1) == 0 {
		return nil, errModulus
	}
	m := makeModulus(blocks)
	m.set(b, m.number(2))
	return m, nil
}

// makeModulus has room for a modulus.
func makeModulus(blocks int) *modulus {
	m := &modulus{blocks: blocks}
	m.m, m.r, m.rr = m.number(1), m.number(1), m.number(1)
	return m
}

// number has room for a number of so many times the length of the modulus.
func (m *modulus) number(times int) []uint64 { return make([]uint64, times*limbs*m.blocks) }

// set finds what newModulus has to find. t is scratch.
func (m *modulus) set(b []byte, t []uint64) {
	split(m.m, b)
	m.k0 = negativeInverse(m.m[0])
	// A power of 2 just below m, doubled until it is R mod m.
	clear(m.r)
	bit := 8 * (len(b) - 1)
	m.r[bit/64] = 1 << (bit % 64)
	for range blockBits*m.blocks - bit {
		double(m.r, m.m)
	}
	// 2^blocks in Montgomery's form is R, squared nine times.
	copy(m.rr, m.r)
	for range m.blocks {
		double(m.rr, m.m)
	}
	m.square(m.rr, m.rr, t, 9)
	m.normalise(m.rr, t)
}

// negativeInverse is -1/m mod 2^64, by Newton's iteration.
func negativeInverse(m uint64) uint64 {
	x := m // right in the last 3 bits
	for range 5 {
		x *= 2 - m*x
	}
	return -x
}

// multiply makes z = x*y/R mod m. t is scratch, twice as long.
func (m *modulus) multiply(z, x, y, t []uint64) {
	multiply(z, x, y, m.m, t, m.k0)
}

// square makes z = x*x/R mod m, and goes on with that, so many times in all.
func (m *modulus) square(z, x, t []uint64, times int) {
	square(z, x, m.m, t, m.k0, times)
}

// normalise brings x, which is in Montgomery's form, below m.
func (m *modulus) normalise(x, t []uint64) {
	m.multiply(x, x, m.r, t)
	once(x, m.m, 0)
}

// plain takes x out of Montgomery's form, and below m.
func (m *modulus) plain(x, t []uint64) {
	copy(t, x)
	clear(t[len(x):])
	m.reduce(x, t)
	once(x, m.m, 0)
}

// reduce makes z = t/R mod m, and destroys t.
func (m *modulus) reduce(z, t []uint64) { reduce(z, t, m.m, m.k0) }

// shift makes x = x * 2^by / 2^64 mod m, for by below 64: a reduction by one limb.
func (m *modulus) shift(x []uint64, by uint64) {
	by &= 63
	q := x[0] << by * m.k0
	var below, carry, c uint64
	for i, v := range x {
		hi, lo := bits.Mul64(q, m.m[i])
		lo, c = bits.Add64(lo, v<<by|below, 0)
		hi += c
		lo, c = bits.Add64(lo, carry, 0)
		carry = hi + c
		below = v >> 1 >> (63 - by)
		if i > 0 {
			x[i-1] = lo
		}
	}
	x[len(x)-1], c = bits.Add64(carry, below, 0)
	sub(x, m.m, -c)
}

// powers is the memory of an exponentiation.
type powers struct {
	x, y, t []uint64
	table   []uint64
}

func newPowers(blocks int) *powers {
	n := limbs * blocks
	return &powers{make([]uint64, n), make([]uint64, n), make([]uint64, 2*n), make([]uint64, n<<window)}
}

func (w *powers) clear() {
	clear(w.x)
	clear(w.y)
	clear(w.t)
	clear(w.table)
}

// entry is one of the table of powers of the base.
func (w *powers) entry(i int) []uint64 { return w.table[i*len(w.x):][:len(w.x)] }

// raise raises w.x, in Montgomery's form, to an exponent in windows.
func (m *modulus) raise(w *powers, exponent []byte) {
	copy(w.entry(0), m.r)
	copy(w.entry(1), w.x)
	for i := 2; i < 1<<window; i += 2 {
		m.square(w.entry(i), w.entry(i/2), w.t, 1)
		m.multiply(w.entry(i+1), w.entry(i), w.x, w.t)
	}
	look := func(z []uint64, i int) {
		pick(z, w.table, uint64(exponent[i]))
	}
	last := len(exponent) - 1
	look(w.x, last)
	for i := last - 1; i >= 0; i-- {
		m.square(w.x, w.x, w.t, window)
		look(w.y, i)
		m.multiply(w.x, w.x, w.y, w.t)
	}
}
