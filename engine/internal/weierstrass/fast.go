package weierstrass

import (
	"math/big"
	"math/bits"
	"sync"

	"github.com/perilune/perilune/engine/internal/ct"
	"github.com/perilune/perilune/engine/internal/mont"
)

// Curves of prime order with a = -3 or a = 0, or with a point by point image that
// has a = -3 (those are practically all), are computed in Jacobian coordinates,
// by formulas that are faster than the complete ones and wrong in some cases.
// Which cases can occur is known:
//
// Scalars are made odd, by n-k for k, and cut into digits that are all odd, so that
// none is 0 and the sum, from the highest digit on, is never infinity. Before digit i
// it is a multiple 32*A of the base, or of 32^i times the base, where 32*A is at most
// n/32^i + 32, and |d| < 32 for the digit. They are the same point, or opposite ones,
// only if 32*A-d or 32*A+d is n, and so only at the last digit, i = 0. That last
// addition is made for any two points.

// jacobian is the fast arithmetic of a curve.
type jacobian struct {
	f     *mont.Modulus
	n     []uint64 // the order
	count int      // of digits of a scalar
	zero  bool     // a = 0
	// twist maps the curve to its image with a = -3: x to x*u^2, y to y*u^3. nil
	// stands for the curve itself.
	twist *twist
	base  affine
	// comb has the odd multiples of 32^i times the base, for each digit i.
	comb func() []uint64
	// wide has more odd multiples of the base, for verification.
	wide func() []uint64
}

type affine struct{ x, y mont.Element }

type twist struct{ u2, u3, back2, back3 mont.Element }

const (
	// odds is how many odd multiples tables have.
	odds = 1 << (window - 1)
	// naf and wideNAF are the bits of digits in verification, where most are 0:
	// those for odds multiples, and for the larger table.
	naf      = window + 1
	wideNAF  = 8
	wideOdds = 1 << (wideNAF - 2)
)

// newJacobian returns the fast arithmetic of c, or nil if there is none.
func newJacobian(c *Curve, params *Params) *jacobian {
	n := new(big.Int).SetBytes(c.n)
	if c.h != 1 || n.Bit(0) == 0 {
		return nil
	}
	j := &jacobian{f: c.f, zero: c.kind == zeroA, count: (n.BitLen() + window - 1) / window}
	if c.kind == anyA && !j.findTwist(c.p, params.A) {
		return nil
	}
	j.n = j.scalar(c.n)
	// The coordinates of c.base are those of an affine point.
	j.base = affine{c.base.x, c.base.y}
	j.in(&j.base)
	j.comb = sync.OnceValue(j.makeComb)
	j.wide = sync.OnceValue(j.makeWide)
	return j
}

// findTwist looks for a u with a*u^4 = -3. All of this is public.
func (j *jacobian) findTwist(p *big.Int, aBytes []byte) bool {
	a := new(big.Int).SetBytes(aBytes)
	ratio := new(big.Int).ModInverse(a, p)
	if ratio == nil {
		return false
	}
	ratio.Mul(ratio, big.NewInt(-3)).Mod(ratio, p)
	u2 := new(big.Int).ModSqrt(ratio, p)
	if u2 == nil {
		return false
	}
	u := new(big.Int).ModSqrt(u2, p)
	if u == nil {
		u2.Sub(p, u2)
		if u = new(big.Int).ModSqrt(u2, p); u == nil {
			return false
		}
	}
	t := &twist{}
	j.f.Set(&t.u2, u2.Bytes())
	j.f.Set(&t.u3, u.Bytes())
	j.f.Mul(&t.u3, &t.u3, &t.u2)
	j.f.Invert(&t.back2, &t.u2)
	j.f.Invert(&t.back3, &t.u3)
	j.twist = t
	return true
}

// in takes a point of the curve to its image.
func (j *jacobian) in(p *affine) {
	if j.twist != nil {
		j.f.Mul(&p.x, &p.x, &j.twist.u2)
		j.f.Mul(&p.y, &p.y, &j.twist.u3)
	}
}

// out makes coordinates of the curve, if p is not infinity.
func (j *jacobian) out(q *affine, p *mont.Point) {
	var inverse mont.Element
	j.f.Invert(&inverse, &p.Z)
	j.toAffine(q, p, &inverse)
	if j.twist != nil {
		j.f.Mul(&q.x, &q.x, &j.twist.back2)
		j.f.Mul(&q.y, &q.y, &j.twist.back3)
	}
}

// finite makes coordinates of the curve, unless p is infinity.
func (j *jacobian) finite(q *affine, p *mont.Point) (ok bool) {
	if ct.Reveal(j.f.IsZero(&p.Z)) == 1 {
		return false
	}
	j.out(q, p)
	return true
}

// isX reports whether the first coordinate of p is r modulo n, without division:
// x = X/Z^2 is r, r+n and so on as long as that is below the modulus.
func (j *jacobian) isX(p *mont.Point, r []byte) bool {
	if j.f.IsZero(&p.Z) == 1 {
		return false
	}
	var zz, t, x mont.Element
	j.f.Mul(&zz, &p.Z, &p.Z)
	if j.twist != nil {
		j.f.Mul(&zz, &zz, &j.twist.u2)
	}
	var z [maxScalarLimbs]uint64
	scalarLimbs(z[:], r)
	for j.f.SetLimbs(&x, z[:]) {
		j.f.Mul(&t, &x, &zz)
		if j.f.Equal(&t, &p.X) == 1 {
			return true
		}
		var carry uint64
		for i := range z {
			z[i], carry = bits.Add64(z[i], j.n[i], carry)
		}
	}
	return false
}

// toAffine makes q = p, with the inverse of its Z.
func (j *jacobian) toAffine(q *affine, p *mont.Point, inverse *mont.Element) {
	var zz mont.Element
	j.f.Mul(&zz, inverse, inverse)
	j.f.Mul(&q.x, &p.X, &zz)
	j.f.Mul(&zz, &zz, inverse)
	j.f.Mul(&q.y, &p.Y, &zz)
}

// multiples is what odd multiples are computed in.
type multiples struct {
	points   [odds]mont.Point
	products [odds]mont.Element
}

// oddMultiples writes p, 3p, 5p and so on to the table, limb after limb. p is not
// infinity. They are computed on the curve on which 2p has Z = 1: there each comes
// of the one before by adding an affine point. Its Z, times that of 2p, is the one
// on this curve.
func (j *jacobian) oddMultiples(table []uint64, p *affine, points []mont.Point, products []mont.Element) {
	f := j.f
	var two mont.Point
	j.double(&two, j.point(p))
	var zz mont.Element
	f.Mul(&zz, &two.Z, &two.Z)
	f.Mul(&points[0].X, &p.x, &zz)
	f.Mul(&zz, &zz, &two.Z)
	f.Mul(&points[0].Y, &p.y, &zz)
	points[0].Z = *f.One()
	for i := 1; i < len(points); i++ {
		f.AddAffine(&points[i], &points[i-1], &two.X, &two.Y)
	}
	for i := range points {
		f.Mul(&points[i].Z, &points[i].Z, &two.Z)
	}
	j.allAffine(table, points, products)
}

// allAffine writes the coordinates of points with one inversion (Montgomery's
// trick).
func (j *jacobian) allAffine(table []uint64, points []mont.Point, products []mont.Element) {
	f, limbs, last := j.f, j.f.Limbs(), len(points)-1
	products[0] = points[0].Z
	for i := 1; i <= last; i++ {
		f.Mul(&products[i], &products[i-1], &points[i].Z)
	}
	var rest, inverse mont.Element // the inverse of all Z up to i, and of that of i
	f.Invert(&rest, &products[last])
	for i := last; i >= 0; i-- {
		inverse = rest
		if i > 0 {
			f.Mul(&inverse, &rest, &products[i-1])
			f.Mul(&rest, &rest, &points[i].Z)
		}
		var q affine
		j.toAffine(&q, &points[i], &inverse)
		entry := table[i*2*limbs:]
		copy(entry, q.x[:limbs])
		copy(entry[limbs:], q.y[:limbs])
	}
}

// point makes p Jacobian.
func (j *jacobian) point(p *affine) *mont.Point {
	return &mont.Point{X: p.x, Y: p.y, Z: *j.f.One()}
}

func (j *jacobian) double(r, p *mont.Point) { j.f.Double(r, p, 1, j.zero) }

// scalar reads a big-endian number.
func (j *jacobian) scalar(k []byte) []uint64 {
	return scalarLimbs(make([]uint64, maxScalarLimbs), k)
}

// maxScalarLimbs is enough for scalars, and a limb of zeros behind them.
const maxScalarLimbs = 10

func scalarLimbs(z []uint64, k []byte) []uint64 {
	clear(z)
	for i, v := range k {
		at := len(k) - 1 - i
		z[at/8] |= uint64(v) << (at % 8 * 8)
	}
	return z
}

// recoded is an odd number from which the digits of a scalar are read.
type recoded struct {
	k [maxScalarLimbs]uint64
	// negative is 1 if it stands for n minus the scalar.
	negative uint64
}

// recode makes k odd. It reports whether k < n.
func (j *jacobian) recode(r *recoded, k []byte) bool {
	scalarLimbs(r.k[:], k)
	r.negative = 1 - r.k[0]&1
	var minus [maxScalarLimbs]uint64
	var borrow uint64
	for i := range minus {
		minus[i], borrow = bits.Sub64(j.n[i], r.k[i], borrow)
	}
	mask := -r.negative
	for i := range minus {
		r.k[i] ^= mask & (r.k[i] ^ minus[i])
	}
	return ct.Reveal(borrow) == 0
}

// digit is the odd digit i, as its place in a table of odd multiples and its sign.
func (r *recoded) digit(i, count int) (place, negative uint64) {
	at := i * window
	v := r.k[at/64] >> (at % 64)
	if at%64 > 64-window-1 {
		v |= r.k[at/64+1] << (64 - at%64)
	}
	// The number without the digits below is odd again: its last bit is set.
	v = v&(1<<(window+1)-1) | 1
	if i == count-1 {
		return v >> 1, 0
	}
	// v - 32, odd, -31 to 31.
	negative = 1 - v>>window
	mask := -negative
	size := ((v - 1<<window) ^ mask) - mask
	return size >> 1, negative
}

// lookup makes q the multiple in the table that is at a place, or minus that.
func (j *jacobian) lookup(q *affine, table []uint64, place, negative uint64) {
	j.f.Lookup(&q.x, &q.y, table, place)
	var minus mont.Element
	j.f.Negate(&minus, &q.y)
	j.f.Select(&q.y, &minus, negative)
}

// entries is how many words a table of odds multiples has.
func (j *jacobian) entries() int { return odds * 2 * j.f.Limbs() }

// oddTable is room for odds multiples.
type oddTable [odds * 2 * len(mont.Element{})]uint64

// mult makes r = k*p for 0 <= k < n, in constant time; for 0 that has Z = 0.
func (j *jacobian) mult(r *mont.Point, k *recoded, p *affine) {
	var room oddTable
	var m multiples
	table := room[:j.entries()]
	j.oddMultiples(table, p, m.points[:], m.products[:])
	j.begin(r, table, k)
	var q affine
	for i := j.count - 2; i >= 0; i-- {
		j.f.Double(r, r, window, j.zero)
		place, negative := k.digit(i, j.count)
		j.lookup(&q, table, place, negative)
		j.addDigit(r, &q, i == 0)
	}
	j.negate(r, k.negative)
}

// begin makes r what the highest digit says.
func (j *jacobian) begin(r *mont.Point, table []uint64, k *recoded) {
	place, negative := k.digit(j.count-1, j.count)
	var q affine
	j.lookup(&q, table, place, negative)
	*r = *j.point(&q)
}

// baseMult makes r = k*base in the same way, without doublings.
func (j *jacobian) baseMult(r *mont.Point, k *recoded) {
	comb, size := j.comb(), j.entries()
	j.begin(r, comb[(j.count-1)*size:], k)
	var q affine
	for i := j.count - 2; i >= 0; i-- {
		place, negative := k.digit(i, j.count)
		j.lookup(&q, comb[i*size:(i+1)*size], place, negative)
		j.addDigit(r, &q, i == 0)
	}
	j.negate(r, k.negative)
}

func (j *jacobian) makeComb() []uint64 {
	comb, size := make([]uint64, j.count*j.entries()), j.entries()
	var m multiples
	p := j.base
	for i := range j.count {
		j.oddMultiples(comb[i*size:(i+1)*size], &p, m.points[:], m.products[:])
		r := *j.point(&p)
		j.f.Double(&r, &r, window, j.zero)
		var inverse mont.Element
		j.f.Invert(&inverse, &r.Z)
		j.toAffine(&p, &r, &inverse)
	}
	return comb
}

func (j *jacobian) makeWide() []uint64 {
	table := make([]uint64, wideOdds*2*j.f.Limbs())
	j.oddMultiples(table, &j.base, make([]mont.Point, wideOdds), make([]mont.Element, wideOdds))
	return table
}

// addDigit adds q. At the last digit r and q may be the same point.
func (j *jacobian) addDigit(r *mont.Point, q *affine, last bool) {
	j.f.AddAffine(r, r, &q.x, &q.y)
	if !last {
		return
	}
	same := j.f.IsZero(&r.Z) & j.f.IsZero(&r.X)
	var twice mont.Point
	j.double(&twice, j.point(q))
	j.f.Select(&r.X, &twice.X, same)
	j.f.Select(&r.Y, &twice.Y, same)
	j.f.Select(&r.Z, &twice.Z, same)
}

// negate makes r = -r if negative is 1.
func (j *jacobian) negate(r *mont.Point, negative uint64) {
	var minus mont.Element
	j.f.Negate(&minus, &r.Y)
	j.f.Select(&r.Y, &minus, negative)
}

// combine makes r = u*base + v*p, all of them public and u, v < n.
func (j *jacobian) combine(r *mont.Point, u, v []byte, p *affine) {
	var room oddTable
	var m multiples
	points := room[:j.entries()]
	j.oddMultiples(points, p, m.points[:], m.products[:])
	base := j.wide()
	var uDigits, vDigits [nafLen]int8
	top := max(nonAdjacent(&uDigits, u, wideNAF), nonAdjacent(&vDigits, v, naf))
	*r = mont.Point{}
	finite, doubles := false, 0
	for i := top - 1; i >= 0; i-- {
		doubles++
		if uDigits[i]|vDigits[i] == 0 && i > 0 {
			continue
		}
		if finite {
			j.f.Double(r, r, doubles, j.zero)
		}
		doubles = 0
		if d := uDigits[i]; d != 0 {
			finite = j.addPublic(r, finite, base, d)
		}
		if d := vDigits[i]; d != 0 {
			finite = j.addPublic(r, finite, points, d)
		}
	}
}

// addPublic adds the multiple d of a table, and reports whether the sum is finite,
// as r was if finite is set.
func (j *jacobian) addPublic(r *mont.Point, finite bool, table []uint64, d int8) bool {
	negative := d < 0
	if negative {
		d = -d
	}
	limbs := j.f.Limbs()
	entry := table[int(d)/2*2*limbs:]
	var q affine
	copy(q.x[:limbs], entry)
	copy(q.y[:limbs], entry[limbs:])
	if negative {
		j.f.Negate(&q.y, &q.y)
	}
	if !finite {
		*r = *j.point(&q)
		return true
	}
	j.f.AddAffine(r, r, &q.x, &q.y)
	if j.f.IsZero(&r.Z) == 0 {
		return true
	}
	if j.f.IsZero(&r.X) == 0 {
		return false
	}
	j.double(r, j.point(&q))
	return true
}

// nafLen is the number of digits of the longest scalar.
const nafLen = 64*maxScalarLimbs - 60

// nonAdjacent cuts a public number into digits of so many bits with a sign, of
// which most are 0 and the others odd. It returns how many there are.
func nonAdjacent(digits *[nafLen]int8, k []byte, width int) (count int) {
	var z [maxScalarLimbs]uint64
	scalarLimbs(z[:], k)
	carry := uint64(0)
	for i := 0; i <= 8*len(k); {
		v := z[i/64] >> (i % 64)
		if i%64 > 64-width && i/64+1 < len(z) {
			v |= z[i/64+1] << (64 - i%64)
		}
		if v&1 == carry { // the bit and the carry make 0, or 2
			i++
			continue
		}
		v = v&(1<<width-1) + carry
		carry = v >> (width - 1)
		digits[i] = int8(int(v) - int(carry)<<width)
		count = i + 1
		i += width
	}
	return count
}
