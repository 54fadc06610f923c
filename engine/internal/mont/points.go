package mont

import "math/bits"

// Points of curves y^2 = x^3 + a*x + b, in the two operations that multiplication
// by a scalar consists of. They are here because the assembly does each in one go.

// Point is (X/Z^2, Y/Z^3), or infinity if Z = 0.
type Point struct{ X, Y, Z Element }

// Double makes r = 2^times * p on a curve with a = -3, or a = 0 if zero is set, whose
// points have an odd order. Infinity stays what it is. times is not 0.
func (m *Modulus) Double(r, p *Point, times int, zero bool) { m.double(r, p, times, zero) }

func (m *Modulus) doublesGo(r, p *Point, times int, zero bool) {
	m.doubleGo(r, p, zero)
	for range times - 1 {
		m.doubleGo(r, r, zero)
	}
}

// AddAffine makes r = p + (x, y), if p is not infinity. If p is -(x, y), the result
// has Z = 0; if p is (x, y) itself, it has X = 0 too and is wrong.
func (m *Modulus) AddAffine(r, p *Point, x, y *Element) { m.addAffine(r, p, x, y) }

// doubleGo is formula dbl-2001-b of the Explicit-Formulas Database for a point with
// half the Z, which saves doublings: slope is half of what it is there.
func (m *Modulus) doubleGo(r, p *Point, zero bool) {
	var yy, xyy, slope, t Element
	m.mul(&t, &p.Z, &p.Z)
	m.mul(&yy, &p.Y, &p.Y)
	if zero {
		m.mul(&slope, &p.X, &p.X)
	} else {
		m.sub(&slope, &p.X, &t)
		m.add(&t, &p.X, &t)
		m.mul(&slope, &slope, &t)
	}
	m.half(&t, &slope)
	m.add(&slope, &slope, &t) // (3*x^2 + a*z^4) / 2
	m.mul(&xyy, &p.X, &yy)
	m.mul(&r.Z, &p.Y, &p.Z)
	m.mul(&t, &slope, &slope)
	m.sub(&t, &t, &xyy)
	m.sub(&r.X, &t, &xyy)
	m.sub(&xyy, &xyy, &r.X)
	m.mul(&xyy, &xyy, &slope)
	m.mul(&yy, &yy, &yy)
	m.sub(&r.Y, &xyy, &yy)
}

// half makes z = x/2.
func (m *Modulus) half(z, x *Element) {
	mask := -(x[0] & 1) // with m, an odd number becomes even
	var sum Element
	var carry uint64
	for i := range m.limbs {
		sum[i], carry = bits.Add64(x[i], m.m[i]&mask, carry)
	}
	for i := range m.limbs {
		next := carry
		if i+1 < m.limbs {
			next = sum[i+1]
		}
		z[i] = sum[i]>>1 | next<<63
	}
}

// addAffineGo is formula madd-2004-hmv.
func (m *Modulus) addAffineGo(r, p *Point, x, y *Element) {
	var slope, h, v, cube, t Element
	m.mul(&t, &p.Z, &p.Z)
	m.mul(&h, x, &t)
	m.mul(&t, &t, &p.Z)
	m.mul(&slope, y, &t)
	m.sub(&h, &h, &p.X)
	m.sub(&slope, &slope, &p.Y)
	m.mul(&r.Z, &p.Z, &h)
	m.mul(&t, &h, &h)
	m.mul(&cube, &t, &h)
	m.mul(&v, &t, &p.X)
	m.mul(&t, &slope, &slope)
	m.sub(&t, &t, &cube)
	m.sub(&t, &t, &v)
	m.sub(&r.X, &t, &v)
	m.sub(&v, &v, &r.X)
	m.mul(&v, &v, &slope)
	m.mul(&cube, &cube, &p.Y)
	m.sub(&r.Y, &v, &cube)
}

// Lookup copies the entry at index of a table of pairs of elements, limb after
// limb. It reads the whole table.
func (m *Modulus) Lookup(x, y *Element, table []uint64, index uint64) {
	var pair [2 * len(Element{})]uint64
	m.lookup(&pair, table, index)
	copy(x[:m.limbs], pair[:])
	copy(y[:m.limbs], pair[m.limbs:])
}

func (m *Modulus) lookupGo(pair *[2 * len(Element{})]uint64, table []uint64, index uint64) {
	words := 2 * m.limbs
	sum := pair[:words]
	for i := uint64(0); len(table) >= words; i++ {
		entry := table[:words]
		mask := ((i ^ index) - 1) >> 63 // 1 if they are equal, for both are small
		mask = -mask
		for j := range sum {
			sum[j] |= mask & entry[j]
		}
		table = table[words:]
	}
}

// Negate makes z = -x.
func (m *Modulus) Negate(z, x *Element) {
	var zero Element
	m.sub(z, &zero, x)
}
