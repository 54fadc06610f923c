package ec2m

import "math/bits"

// Elements of GF(2^m) are polynomials over GF(2) in limbs of 60 bits, the
// constant term in the lowest bit of the first limb. 60 is a multiple of 4,
// and leaves the room that mul needs.
const (
	limbBits = 60
	limbMask = 1<<limbBits - 1
	maxLimbs = 10
	// maxDegree is the largest m: that of sect571.
	maxDegree = 571
)

type element [maxLimbs]uint64

// product is a polynomial of twice the length; one limb more lets shifts run
// over its end.
type product [2*maxLimbs + 1]uint64

// field is GF(2^m) with a trinomial or pentanomial for modulus. Nothing but m
// and the modulus decides what its methods do in which order, nor where in
// memory they look.
type field struct {
	m, n int // the degree, and how many limbs it needs
	// low holds the exponents of the modulus below m: those in the middle, at
	// most m-limbBits, and 0.
	low []int
	// folds say where a whole limb above the modulus goes, in the order of low.
	folds []fold
}

// fold moves a limb down by so many limbs, and then its bits up.
type fold struct{ down, up int }

func newField(m int, middle []int) *field {
	f := &field{m: m, n: (m + limbBits - 1) / limbBits}
	f.low = append(append(f.low, middle...), 0)
	for _, k := range f.low {
		down := (m - k + limbBits - 1) / limbBits
		f.folds = append(f.folds, fold{down, down*limbBits - (m - k)})
	}
	return f
}

// size is the length in bytes of an encoded element.
func (f *field) size() int { return (f.m + 7) / 8 }

// decode reads a big-endian element; it fails on a degree of m or more.
func (f *field) decode(z *element, b []byte) bool {
	*z = element{}
	var over byte
	for i, x := range b {
		low := 8 * (len(b) - 1 - i) // the exponent of the lowest bit of x
		if low >= f.m {
			over |= x
			continue
		}
		if low+8 > f.m {
			over |= x >> (f.m - low)
		}
		z[low/limbBits] |= uint64(x) << (low % limbBits) & limbMask
		if low%limbBits > limbBits-8 {
			z[low/limbBits+1] |= uint64(x) >> (limbBits - low%limbBits)
		}
	}
	return over == 0
}

// encode fills b, which has at least f.size bytes.
func (f *field) encode(b []byte, x *element) {
	for i := range b {
		low := 8 * (len(b) - 1 - i)
		if low >= f.m {
			b[i] = 0
			continue
		}
		b[i] = byte(x[low/limbBits] >> (low % limbBits))
		if low%limbBits > limbBits-8 && low/limbBits+1 < maxLimbs {
			b[i] |= byte(x[low/limbBits+1] << (limbBits - low%limbBits))
		}
	}
}

func (f *field) add(z, x, y *element) {
	for i := range f.n {
		z[i] = x[i] ^ y[i]
	}
}

// isZero is 1 if x is zero, else 0.
func (f *field) isZero(x *element) uint64 {
	var or uint64
	for i := range f.n {
		or |= x[i]
	}
	return (or - 1) >> 63 // limbs are shorter than 63 bits
}

func (f *field) equal(x, y *element) bool {
	var d element
	f.add(&d, x, y)
	return f.isZero(&d) == 1
}

// swap exchanges x and y if bit is 1.
func (f *field) swap(x, y *element, bit uint64) {
	for i := range f.n {
		d := (x[i] ^ y[i]) & -bit
		x[i] ^= d
		y[i] ^= d
	}
}

// set makes z equal to x if bit is 1.
func (f *field) set(z, x *element, bit uint64) {
	for i := range f.n {
		z[i] ^= (z[i] ^ x[i]) & -bit
	}
}

// Multiplication without carries is done by the multiplication of integers:
// where only each fourth bit of both factors can be set, and at most 15 are,
// each fourth bit of the product has the sum modulo 2 of the terms there, and
// the carries stay in the three bits above it.
//
// A polynomial a is therefore written as a0 + a1 t + a2 t^2 + a3 t^3, where
// the ai are polynomials in t^4, and two of these are multiplied by Karatsuba's
// method, twice: 9 products instead of 16.

const fourth = 0x1111111111111111 & limbMask

// parts are a0, a1, a2, a3 of a limb and the sums of them whose products are
// needed.
type parts [9]uint64

func (f *field) split(p *[maxLimbs]parts, x *element) {
	for i := range f.n {
		a0, a1, a2, a3 := x[i]&fourth, x[i]>>1&fourth, x[i]>>2&fourth, x[i]>>3&fourth
		p[i] = parts{a0, a1, a0 ^ a1, a2, a3, a2 ^ a3, a0 ^ a2, a1 ^ a3, a0 ^ a1 ^ a2 ^ a3}
	}
}

func (f *field) mul(z, x, y *element) {
	var a, b [maxLimbs]parts
	f.split(&a, x)
	f.split(&b, y)
	var r product
	var low parts
	for c := range 2 * f.n {
		var high parts
		for i := max(0, c-f.n+1); i <= min(c, f.n-1); i++ {
			multiply(&high, &low, &a[i], &b[c-i])
		}
		for i := range high { // as products have limbs of 60 bits too
			high[i] = high[i]<<(64-limbBits) | low[i]>>limbBits
		}
		r.join(c, &low)
		low = high
	}
	f.reduce(z, &r)
}

// multiply adds the products of the parts of two limbs.
func multiply(high, low, a, b *parts) {
	var h, l uint64
	h, l = bits.Mul64(a[0], b[0])
	high[0], low[0] = high[0]^h, low[0]^l
	h, l = bits.Mul64(a[1], b[1])
	high[1], low[1] = high[1]^h, low[1]^l
	h, l = bits.Mul64(a[2], b[2])
	high[2], low[2] = high[2]^h, low[2]^l
	h, l = bits.Mul64(a[3], b[3])
	high[3], low[3] = high[3]^h, low[3]^l
	h, l = bits.Mul64(a[4], b[4])
	high[4], low[4] = high[4]^h, low[4]^l
	h, l = bits.Mul64(a[5], b[5])
	high[5], low[5] = high[5]^h, low[5]^l
	h, l = bits.Mul64(a[6], b[6])
	high[6], low[6] = high[6]^h, low[6]^l
	h, l = bits.Mul64(a[7], b[7])
	high[7], low[7] = high[7]^h, low[7]^l
	h, l = bits.Mul64(a[8], b[8])
	high[8], low[8] = high[8]^h, low[8]^l
}

// join puts the products of parts together, at the limb i of r.
func (r *product) join(i int, p *parts) {
	p0, p1, p2 := p[0]&fourth, p[3]&fourth, p[6]&fourth
	q0, q1, q2 := p[1]&fourth, p[4]&fourth, p[7]&fourth
	// The low, high and middle products of the outer step.
	l0, l1, l2 := p0, p[2]&fourth^p0^q0, q0
	h0, h1, h2 := p1, p[5]&fourth^p1^q1, q1
	m0, m1, m2 := p2^l0^h0, p[8]&fourth^p2^q2^l1^h1, q2^l2^h2
	r.add(i, l0|l1<<1|(l2^m0)<<2|m1<<3, 0)
	r.add(i, (h0^m2)|h1<<1|h2<<2, 4)
}

// add adds the limb w, shifted up by fewer than limbBits bits, to the limbs
// from i on.
func (r *product) add(i int, w uint64, up int) {
	to := r[i : i+2 : i+2]
	to[0] ^= w << (up & 63) & limbMask
	to[1] ^= w >> ((limbBits - up) & 63)
}

func (f *field) sqr(z, x *element) {
	var r product
	for i := range f.n {
		r[2*i] = interleave(x[i] & (1<<30 - 1))
		r[2*i+1] = interleave(x[i] >> 30)
	}
	f.reduce(z, &r)
}

// interleave puts a zero above each of the 32 low bits of x.
func interleave(x uint64) uint64 {
	x = (x | x<<16) & 0x0000ffff0000ffff
	x = (x | x<<8) & 0x00ff00ff00ff00ff
	x = (x | x<<4) & 0x0f0f0f0f0f0f0f0f
	x = (x | x<<2) & 0x3333333333333333
	return (x | x<<1) & 0x5555555555555555
}

// reduce takes r modulo the modulus: first whole limbs, from above, then what
// is left in the limb of t^m. As the modulus has no terms from m-limbBits to m,
// nothing comes back to where it was.
func (f *field) reduce(z *element, r *product) {
	for i := 2*f.n - 1; i*limbBits >= f.m; i-- {
		w := r[i]
		r[i] = 0
		for _, x := range f.folds {
			r.add(i-x.down, w, x.up)
		}
	}
	if top := f.m % limbBits; top > 0 {
		w := r[f.n-1] >> top
		r[f.n-1] &= 1<<top - 1
		for _, k := range f.low {
			r.add(k/limbBits, w, k%limbBits)
		}
	}
	copy(z[:f.n], r[:f.n])
}

// sqrs squares n times.
func (f *field) sqrs(z, x *element, n int) {
	*z = *x
	for range n {
		f.sqr(z, z)
	}
}

func (f *field) sqrt(z, x *element) { f.sqrs(z, x, f.m-1) }

// inv is the inverse of x, and 0 for 0: x to the power of 2^m - 2 by the
// method of Itoh and Tsujii, which goes through x^(2^k - 1) for the leading
// bits k of m-1.
func (f *field) inv(z, x *element) {
	e := uint(f.m - 1)
	power, k := *x, 1
	for i := bits.Len(e) - 2; i >= 0; i-- {
		var t element
		f.sqrs(&t, &power, k)
		f.mul(&power, &power, &t)
		k *= 2
		if e>>i&1 == 1 {
			f.sqr(&power, &power)
			f.mul(&power, &power, x)
			k++
		}
	}
	f.sqr(z, &power)
}

// trace is the sum of the conjugates of x, 0 or 1.
func (f *field) trace(x *element) uint64 {
	sum, t := *x, *x
	for range f.m - 1 {
		f.sqr(&t, &t)
		f.add(&sum, &sum, &t)
	}
	return sum[0] & 1
}

// solve finds a z with z^2 + z = x, if there is one; tau is any element with
// the trace 1 (IEEE 1363, section A.4.7).
func (f *field) solve(z, x, tau *element) bool {
	var sum, t, check element
	w := *x
	for range f.m - 1 {
		f.sqr(&w, &w)
		f.mul(&t, &w, tau)
		f.sqr(&sum, &sum)
		f.add(&sum, &sum, &t)
		f.add(&w, &w, x)
	}
	f.sqr(&check, &sum)
	f.add(&check, &check, &sum)
	*z = sum
	return f.equal(&check, x)
}
