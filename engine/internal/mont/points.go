package mont

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

// doubleGo is formula dbl-2001-b of the Explicit-Formulas Database.
func (m *Modulus) doubleGo(r, p *Point, zero bool) {
	var beta, gamma, alpha, delta, t Element
	m.mul(&delta, &p.Z, &p.Z)
	m.mul(&gamma, &p.Y, &p.Y)
	if zero {
		m.mul(&alpha, &p.X, &p.X)
	} else {
		m.sub(&alpha, &p.X, &delta)
		m.add(&t, &p.X, &delta)
		m.mul(&alpha, &alpha, &t)
	}
	m.add(&t, &alpha, &alpha)
	m.add(&alpha, &alpha, &t) // 3*x^2 + a*z^4
	m.mul(&t, &p.Y, &p.Z)
	m.add(&r.Z, &t, &t)
	m.add(&gamma, &gamma, &gamma) // 2*y^2
	m.mul(&beta, &p.X, &gamma)    // 2*x*y^2
	m.add(&beta, &beta, &beta)    // 4*x*y^2
	m.mul(&gamma, &gamma, &gamma) // 4*y^4
	m.add(&gamma, &gamma, &gamma) // 8*y^4
	m.mul(&t, &alpha, &alpha)
	m.sub(&t, &t, &beta)
	m.sub(&r.X, &t, &beta)
	m.sub(&beta, &beta, &r.X)
	m.mul(&beta, &beta, &alpha)
	m.sub(&r.Y, &beta, &gamma)
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
