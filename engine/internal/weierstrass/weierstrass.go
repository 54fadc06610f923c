// Package weierstrass is elliptic curves y^2 = x^3 + a*x + b over prime fields,
// any of 112 to 521 bits, in constant time.
//
// There is one implementation for all curves, over the limbs of package mont, and
// a faster one for most: see [jacobian]. In the one for all, points are added with the complete formulas of Renes, Costello and Batina
// ("Complete addition formulas for prime order elliptic curves", 2016): one
// formula for all inputs, infinity and doubling included, so that nothing needs
// to branch on what a secret scalar has made of a point. Tables are read in
// full. Encoded points and whether they are infinity are public.
//
// In a group of even order the formulas fail for two points whose difference
// has order 2, which cannot happen among multiples of the base; they then give
// (0 : 0 : 0), which stays what it is from there on and is no point.
package weierstrass

import (
	"bytes"
	"math/big"
	"math/bits"
	"sync"

	"github.com/perilune/perilune/engine/internal/isa"
	"github.com/perilune/perilune/engine/internal/mont"
)

// Params are the domain parameters of a curve. Numbers are big-endian and may
// have zeros in front; Base is a point in any encoding; H is the cofactor.
type Params struct {
	P, A, B, Base, N []byte
	H                uint64
}

// Curve is a curve ready for use.
type Curve struct {
	f        *mont.Modulus // the field
	p        *big.Int
	a, b, b3 mont.Element // b3 is 3*b
	kind     coefficient
	base     point
	n        []byte
	h        uint64
	comb     func() []table
	// fast is faster arithmetic, if the curve has some.
	fast *jacobian
}

// coefficient tells which short cut a allows.
type coefficient int

const (
	anyA coefficient = iota
	zeroA
	minus3A
)

// New makes a curve of parameters that are known to be good, P being a prime in
// any case: see [Check].
func New(params *Params) (*Curve, error) { return newFor(params, isa.ADX()) }

// newFor is New, with the assembly or without it.
func newFor(params *Params, adx bool) (*Curve, error) {
	c := &Curve{
		p: new(big.Int).SetBytes(params.P),
		n: bytes.TrimLeft(params.N, "\x00"),
		h: params.H,
	}
	var err error
	if c.f, err = mont.NewFor(c.p.Bytes(), 0, adx); err != nil {
		return nil, ErrParams
	}
	if !c.set(&c.a, params.A) || !c.set(&c.b, params.B) {
		return nil, ErrParams
	}
	c.f.Add(&c.b3, &c.b, &c.b)
	c.f.Add(&c.b3, &c.b3, &c.b)
	c.kind = c.kindOf(&c.a)
	base, ok := c.Decode(params.Base)
	if !ok || !c.decodeUncompressed(&c.base, base) {
		return nil, ErrParams
	}
	c.comb = sync.OnceValue(c.makeComb)
	c.fast = newJacobian(c, params)
	return c, nil
}

// set reads a coefficient.
func (c *Curve) set(z *mont.Element, b []byte) bool {
	x := new(big.Int).SetBytes(b)
	return x.Cmp(c.p) < 0 && c.f.SetReduced(z, x.FillBytes(make([]byte, c.f.Size())))
}

func (c *Curve) kindOf(a *mont.Element) coefficient {
	if c.f.IsZero(a) == 1 {
		return zeroA
	}
	t := *a
	for range 3 {
		c.f.Add(&t, &t, c.f.One())
	}
	if c.f.IsZero(&t) == 1 {
		return minus3A
	}
	return anyA
}

// FieldBits is the length of p in bits.
func (c *Curve) FieldBits() int { return c.p.BitLen() }

// Order is n, big-endian without leading zeros.
func (c *Curve) Order() []byte { return c.n }

// Cofactor is the number of points divided by n.
func (c *Curve) Cofactor() uint64 { return c.h }

// point is a point in homogeneous coordinates: x/z and y/z; infinity is
// (0 : 1 : 0).
type point struct{ x, y, z mont.Element }

// add makes r = p + q.
func (c *Curve) add(r, p, q *point) {
	f := c.f
	var xx, yy, zz, xy, xz, yz, s, t mont.Element
	f.Mul(&xx, &p.x, &q.x)
	f.Mul(&yy, &p.y, &q.y)
	f.Mul(&zz, &p.z, &q.z)

	// The mixed terms, such as xy = p.x*q.y + p.y*q.x, cost one multiplication.
	f.Add(&s, &p.x, &p.y)
	f.Add(&t, &q.x, &q.y)
	f.Mul(&xy, &s, &t)
	f.Sub(&xy, &xy, &xx)
	f.Sub(&xy, &xy, &yy)
	f.Add(&s, &p.x, &p.z)
	f.Add(&t, &q.x, &q.z)
	f.Mul(&xz, &s, &t)
	f.Sub(&xz, &xz, &xx)
	f.Sub(&xz, &xz, &zz)
	f.Add(&s, &p.y, &p.z)
	f.Add(&t, &q.y, &q.z)
	f.Mul(&yz, &s, &t)
	f.Sub(&yz, &yz, &yy)
	f.Sub(&yz, &yz, &zz)

	c.finish(r, &xx, &yy, &zz, &xy, &xz, &yz)
	f.Add(&t, &yy, &xz) // yy + u
	f.Mul(&r.z, &yz, &t)
	f.Mul(&s, &xy, &xx) // xy * w
	f.Add(&r.z, &r.z, &s)
}

// double makes r = 2*p.
func (c *Curve) double(r, p *point) {
	f := c.f
	var xx, yy, zz, xy, xz, yz mont.Element
	f.Mul(&xx, &p.x, &p.x)
	f.Mul(&yy, &p.y, &p.y)
	f.Mul(&zz, &p.z, &p.z)
	f.Mul(&xy, &p.x, &p.y)
	f.Add(&xy, &xy, &xy)
	f.Mul(&xz, &p.x, &p.z)
	f.Add(&xz, &xz, &xz)
	f.Mul(&yz, &p.y, &p.z)
	f.Add(&yz, &yz, &yz)

	c.finish(r, &xx, &yy, &zz, &xy, &xz, &yz)
	f.Mul(&r.z, &yz, &yy) // the sum of add comes to 8*y^3*z here
	f.Add(&r.z, &r.z, &r.z)
	f.Add(&r.z, &r.z, &r.z)
}

// finish computes r.x and r.y of a sum from the products of the coordinates,
// and leaves in xz and xx the terms u and w below for r.z. In one formula:
//
//	u = a*xz + 3*b*zz
//	v = a*(xx - a*zz) + 3*b*xz
//	w = 3*xx + a*zz
//
//	x = xy*(yy - u) - yz*v
//	y = (yy + u)*(yy - u) + v*w
//	z = yz*(yy + u) + xy*w
func (c *Curve) finish(r *point, xx, yy, zz, xy, xz, yz *mont.Element) {
	f := c.f
	var u, v, w, s, t mont.Element
	c.terms(&u, &v, &w, xx, zz, xz)
	f.Sub(&s, yy, &u)
	f.Add(&t, yy, &u)
	f.Mul(&r.y, &s, &t)
	f.Mul(&t, &v, &w)
	f.Add(&r.y, &r.y, &t)
	f.Mul(&r.x, xy, &s)
	f.Mul(&t, yz, &v)
	f.Sub(&r.x, &r.x, &t)
	*xz, *xx = u, w
}

// terms computes u, v and w of finish, by what a is.
func (c *Curve) terms(u, v, w, xx, zz, xz *mont.Element) {
	f := c.f
	switch c.kind {
	case zeroA:
		f.Mul(u, &c.b3, zz)
		f.Mul(v, &c.b3, xz)
		c.triple(w, xx)
	case minus3A: // all three are 3 times something
		var zz3 mont.Element
		f.Mul(u, &c.b, zz)
		f.Sub(u, u, xz)
		c.triple(u, u)
		c.triple(&zz3, zz)
		f.Mul(v, &c.b, xz)
		f.Sub(v, v, xx)
		f.Sub(v, v, &zz3)
		c.triple(v, v)
		c.triple(w, xx)
		f.Sub(w, w, &zz3)
	default:
		var t, azz mont.Element
		f.Mul(&azz, &c.a, zz)
		f.Mul(u, &c.a, xz)
		f.Mul(&t, &c.b3, zz)
		f.Add(u, u, &t)
		f.Sub(v, xx, &azz)
		f.Mul(v, v, &c.a)
		f.Mul(&t, &c.b3, xz)
		f.Add(v, v, &t)
		c.triple(w, xx)
		f.Add(w, w, &azz)
	}
}

func (c *Curve) triple(z, x *mont.Element) {
	var t mont.Element
	c.f.Add(&t, x, x)
	c.f.Add(z, &t, x)
}

// window is the number of bits of a digit.
const window = 5

// digit is one of -15 to 16, by size and sign.
type digit struct{ size, negative uint64 }

// digits recodes a scalar into signed digits, the lowest first. How many there
// are depends on its length only.
func digits(k []byte) []digit {
	list := make([]digit, 8*len(k)/window+1)
	var carry uint64
	for i := range list {
		v := bitsAt(k, i*window) + carry // 0 to 32
		carry = (v + 15) >> window       // 1 from 17 on
		negative := -carry
		list[i] = digit{size: (v ^ negative) - negative + 32&negative, negative: carry}
	}
	return list
}

// bitsAt returns the bits of k from bit at on, counted from the end.
func bitsAt(k []byte, at int) uint64 {
	var v uint64
	for i := range 2 {
		if j := len(k) - 1 - at/8 - i; j >= 0 {
			v |= uint64(k[j]) << (8 * i)
		}
	}
	return v >> (at % 8) & (1<<window - 1)
}

// table holds 1 to 16 times a point, limb after limb.
type table []uint64

const tableSize = 1 << (window - 1)

func (c *Curve) newTable(p *point) table {
	limbs := c.f.Limbs()
	t := make(table, 0, tableSize*3*limbs)
	sum := *p
	for i := range tableSize {
		if i > 0 {
			c.add(&sum, &sum, p)
		}
		t = append(t, sum.x[:limbs]...)
		t = append(t, sum.y[:limbs]...)
		t = append(t, sum.z[:limbs]...)
	}
	return t
}

// lookup makes r the multiple that d says, reading the whole table.
func (c *Curve) lookup(r *point, t table, d digit) {
	limbs := c.f.Limbs()
	*r = point{}
	for i := range uint64(tableSize) {
		mask := equalMask(d.size, i+1)
		x, y, z := t[:limbs], t[limbs:2*limbs], t[2*limbs:3*limbs]
		for j := range limbs {
			r.x[j] |= mask & x[j]
			r.y[j] |= mask & y[j]
			r.z[j] |= mask & z[j]
		}
		t = t[3*limbs:]
	}
	c.f.Select(&r.y, c.f.One(), equalMask(d.size, 0)&1)
	var minus mont.Element
	c.f.Sub(&minus, &minus, &r.y)
	c.f.Select(&r.y, &minus, d.negative)
}

// equalMask is all ones if x = y; both are small.
func equalMask(x, y uint64) uint64 {
	_, borrow := bits.Sub64(x^y, 1, 0)
	return -borrow
}

// mult makes r = k*p, for k of any length.
func (c *Curve) mult(r *point, k []byte, p *point) {
	t := c.newTable(p)
	list := digits(k)
	var q point
	c.lookup(r, t, list[len(list)-1])
	for i := len(list) - 2; i >= 0; i-- {
		for range window {
			c.double(r, r)
		}
		c.lookup(&q, t, list[i])
		c.add(r, r, &q)
	}
}

// makeComb makes a table for each digit of a scalar below n, with the multiples
// of the base at its place, so that baseMult needs no doublings.
func (c *Curve) makeComb() []table {
	list := make([]table, 8*len(c.n)/window+1)
	p := c.base
	for i := range list {
		list[i] = c.newTable(&p)
		for range window {
			c.double(&p, &p)
		}
	}
	return list
}

// baseMult makes r = k*base.
func (c *Curve) baseMult(r *point, k []byte) {
	comb := c.comb()
	*r = point{y: *c.f.One()}
	var q point
	for i, d := range digits(k) {
		c.lookup(&q, comb[i], d)
		c.add(r, r, &q)
	}
}

// BaseMult returns k times the base, uncompressed. k is as long as n. ok is
// false if that is infinity.
func (c *Curve) BaseMult(k []byte) (_ []byte, ok bool) {
	if len(k) != len(c.n) {
		return nil, false
	}
	var q affine
	if !c.baseMultAffine(&q, k) {
		return nil, false
	}
	return c.bytes(&q), true
}

// BaseX writes the first coordinate of k times the base to x.
func (c *Curve) BaseX(x, k []byte) (ok bool) {
	var q affine
	if len(k) != len(c.n) || !c.baseMultAffine(&q, k) {
		return false
	}
	c.f.Bytes(x, &q.x)
	return true
}

func (c *Curve) baseMultAffine(q *affine, k []byte) (ok bool) {
	var digits recoded
	if c.fast != nil && c.fast.recode(&digits, k) {
		var r mont.Point
		c.fast.baseMult(&r, &digits)
		return c.fast.finite(q, &r)
	}
	var r point
	c.baseMult(&r, k)
	return c.affine(q, &r)
}

// Mult returns k times a point that [Curve.Decode] has returned.
func (c *Curve) Mult(k, uncompressed []byte) (_ []byte, ok bool) {
	var p point
	if len(k) != len(c.n) || !c.decodeUncompressed(&p, uncompressed) {
		return nil, false
	}
	q := affine{p.x, p.y}
	var digits recoded
	if c.fast != nil && c.fast.recode(&digits, k) {
		var r mont.Point
		c.fast.in(&q)
		c.fast.mult(&r, &digits, &q)
		ok = c.fast.finite(&q, &r)
	} else {
		c.mult(&p, k, &p)
		ok = c.affine(&q, &p)
	}
	if !ok {
		return nil, false
	}
	return c.bytes(&q), true
}

// Add returns the sum of two points.
func (c *Curve) Add(a, b []byte) (_ []byte, ok bool) {
	var p, q point
	if !c.decodeUncompressed(&p, a) || !c.decodeUncompressed(&q, b) {
		return nil, false
	}
	c.add(&p, &p, &q)
	return c.encode(&p)
}

// Combine returns u times the base plus v times a point, all of them public.
func (c *Curve) Combine(u, v, uncompressed []byte) (_ []byte, ok bool) {
	var p, q, r point
	if len(u) != len(c.n) || len(v) != len(c.n) || !c.decodeUncompressed(&p, uncompressed) {
		return nil, false
	}
	if c.fast != nil {
		var sum mont.Point
		a := affine{p.x, p.y}
		c.fast.in(&a)
		c.fast.combine(&sum, u, v, &a)
		if !c.fast.finite(&a, &sum) {
			return nil, false
		}
		return c.bytes(&a), true
	}
	c.baseMult(&q, u)
	c.mult(&r, v, &p)
	c.add(&r, &r, &q)
	return c.encode(&r)
}

// CombinesTo reports whether the first coordinate of u times the base plus v times
// a point is r modulo n. All of it is public, and r < n.
func (c *Curve) CombinesTo(r, u, v, uncompressed []byte) bool {
	if c.fast == nil {
		sum, ok := c.Combine(u, v, uncompressed)
		if !ok {
			return false
		}
		x := new(big.Int).SetBytes(sum[1 : 1+c.f.Size()])
		return x.Mod(x, new(big.Int).SetBytes(c.n)).Cmp(new(big.Int).SetBytes(r)) == 0
	}
	var p point
	if len(u) != len(c.n) || len(v) != len(c.n) || !c.decodeUncompressed(&p, uncompressed) {
		return false
	}
	var sum mont.Point
	a := affine{p.x, p.y}
	c.fast.in(&a)
	c.fast.combine(&sum, u, v, &a)
	return c.fast.isX(&sum, r)
}

// InSubgroup reports whether n times the point is infinity.
func (c *Curve) InSubgroup(uncompressed []byte) bool {
	var p point
	return c.h == 1 || c.decodeUncompressed(&p, uncompressed) && c.hasOrderN(&p)
}

func (c *Curve) hasOrderN(p *point) bool {
	var r point
	c.mult(&r, c.n, p)
	return c.f.IsZero(&r.z) == 1 && c.f.IsZero(&r.y) == 0
}
