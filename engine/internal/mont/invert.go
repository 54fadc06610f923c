package mont

import "math/bits"

// Inversion by the division steps of Bernstein and Yang ("Fast constant-time gcd
// computation and modular inversion", 2019), in the variant that begins with
// delta = 1/2. Sixty-two steps look at the last bits of both numbers only and
// come to a matrix, by which the whole numbers are multiplied then.

// steps62 is how many division steps make one matrix.
const steps62 = 62

const low62 = 1<<62 - 1

// stepsFor is how many matrices do for numbers of so many bits: the bound on the
// steps that Bernstein, Yang and Wuille computed for this variant, and that has
// been verified by machine, is (45907*bits + 26313)/19929.
func stepsFor(bits int) int {
	return ((45907*bits+26313)/19929 + steps62 - 1) / steps62
}

// signed is a number in digits of 62 bits, the last of which has the sign.
type signed [10]int64

// digits is how many digits a number needs that can be -2m to 2m.
func (m *Modulus) digits() int { return (8*m.size+2)/62 + 1 }

// fromLimbs cuts limbs into digits.
func fromLimbs(z *signed, x *Element) {
	for i := range z {
		at := 62 * i
		limb, shift := at/64, at%64
		if limb >= len(x) {
			z[i] = 0
			continue
		}
		v := x[limb] >> shift
		if limb+1 < len(x) && shift > 2 {
			v |= x[limb+1] << (64 - shift)
		}
		z[i] = int64(v & low62)
	}
}

// toLimbs is the way back, for numbers that are not negative.
func toLimbs(z *Element, x *signed) {
	for i := range z {
		at := 64 * i
		digit, shift := at/62, at%62
		v := uint64(x[digit]) >> shift
		if digit+1 < len(x) {
			v |= uint64(x[digit+1]) << (62 - shift)
		}
		if shift > 60 && digit+2 < len(x) {
			v |= uint64(x[digit+2]) << (124 - shift)
		}
		z[i] = v
	}
}

// matrix is what 62 division steps do, times 2^62.
type matrix struct{ u, v, q, r int64 }

// Invert makes z = 1/x for a prime m, and 0 for 0.
func (m *Modulus) Invert(z, x *Element) {
	var f, g, d, e, mod signed
	fromLimbs(&mod, &m.m)
	fromLimbs(&g, x)
	// x is a*2^(64*limbs); 1/a times the same comes of dividing its square.
	fromLimbs(&e, &m.rr)
	f = mod
	n := m.digits()
	inverse := int64(-m.inverse & low62) // of m mod 2^62
	zeta := int64(-1)
	for range m.steps {
		var t matrix
		zeta = t.divide(zeta, uint64(f[0]), uint64(g[0]))
		t.updateDE(d[:n], e[:n], mod[:n], inverse)
		t.updateFG(f[:n], g[:n])
	}
	normalize(d[:n], mod[:n], f[n-1])
	toLimbs(z, &d)
}

// divide makes 62 division steps of the last bits of f and g.
func (t *matrix) divide(zeta int64, f, g uint64) int64 {
	u, v, q, r := uint64(1), uint64(0), uint64(0), uint64(1)
	for range steps62 {
		swap, odd := uint64(zeta>>63), -(g & 1)
		g += ((f ^ swap) - swap) & odd
		q += ((u ^ swap) - swap) & odd
		r += ((v ^ swap) - swap) & odd
		swap &= odd
		zeta = (zeta ^ int64(swap)) - 1
		f += g & swap
		u += q & swap
		v += r & swap
		g >>= 1
		u <<= 1
		v <<= 1
	}
	*t = matrix{int64(u), int64(v), int64(q), int64(r)}
	return zeta
}

// sum is a signed number of 128 bits.
type sum struct{ hi, lo uint64 }

// add adds x*y.
func (s *sum) add(x, y int64) {
	hi, lo := bits.Mul64(uint64(x), uint64(y))
	hi -= uint64(x>>63&y) + uint64(y>>63&x)
	var c uint64
	s.lo, c = bits.Add64(s.lo, lo, 0)
	s.hi += hi + c
}

// digit takes the last 62 bits away.
func (s *sum) digit() int64 {
	v := s.lo & low62
	s.lo = s.lo>>62 | s.hi<<2
	s.hi = uint64(int64(s.hi) >> 62)
	return int64(v)
}

// updateFG multiplies f and g by the matrix; the divisions by 2^62 have no rest.
func (t *matrix) updateFG(f, g []int64) {
	g = g[:len(f)]
	var a, b sum
	for i := range f {
		a.add(t.u, f[i])
		a.add(t.v, g[i])
		b.add(t.q, f[i])
		b.add(t.r, g[i])
		x, y := a.digit(), b.digit()
		if i > 0 {
			f[i-1], g[i-1] = x, y
		}
	}
	f[len(f)-1], g[len(f)-1] = int64(a.lo), int64(b.lo)
}

// updateDE does the same with d and e modulo m: multiples of m are added that make
// the rests vanish, and keep both between -2m and m.
func (t *matrix) updateDE(d, e, m []int64, inverse int64) {
	e, m = e[:len(d)], m[:len(d)]
	last := len(d) - 1
	dSign, eSign := d[last]>>63, e[last]>>63
	dm := t.u&dSign + t.v&eSign
	em := t.q&dSign + t.r&eSign
	dm -= (inverse*(t.u*d[0]+t.v*e[0]) + dm) & low62
	em -= (inverse*(t.q*d[0]+t.r*e[0]) + em) & low62
	var a, b sum
	for i := range d {
		a.add(t.u, d[i])
		a.add(t.v, e[i])
		a.add(dm, m[i])
		b.add(t.q, d[i])
		b.add(t.r, e[i])
		b.add(em, m[i])
		x, y := a.digit(), b.digit()
		if i > 0 {
			d[i-1], e[i-1] = x, y
		}
	}
	d[last], e[last] = int64(a.lo), int64(b.lo)
}

// normalize brings d, between -2m and m, to 0 to m-1, with the sign changed if
// that of sign is minus.
func normalize(d, m []int64, sign int64) {
	m = m[:len(d)]
	last := len(d) - 1
	add, negate := d[last]>>63, sign>>63
	for i := range d {
		d[i] = (d[i] + m[i]&add ^ negate) - negate
	}
	carry(d)
	add = d[last] >> 63
	for i := range d {
		d[i] += m[i] & add
	}
	carry(d)
}

// carry makes all digits but the last 62 bits long.
func carry(d []int64) {
	for i := range len(d) - 1 {
		d[i+1] += d[i] >> 62
		d[i] &= low62
	}
}
