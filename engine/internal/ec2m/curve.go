// Package ec2m is elliptic curves over fields of characteristic two,
// y^2 + xy = x^3 + ax^2 + b over GF(2^m), in a polynomial basis: those of SEC 2
// and ANSI X9.62, and curves with parameters of the caller's.
//
// Multiplication by a scalar is a ladder of Montgomery's with the formulas of
// López and Dahab: the same operations for every scalar and point, none of
// which branches or looks up a table by a secret. What is said to be for public
// data is not constant-time.
package ec2m

import (
	"errors"

	"github.com/perilune/perilune/engine/internal/ct"
)

// Errors of this package.
var (
	ErrPoint       = errors.New("ec2m: not a point of the curve")
	ErrInfinity    = errors.New("ec2m: the result is the point at infinity")
	ErrScalar      = errors.New("ec2m: scalar too long")
	ErrParams      = errors.New("ec2m: invalid curve parameters")
	ErrUnsupported = errors.New("ec2m: field not supported")
)

// Curve is a curve with a base point. It is immutable.
type Curve struct {
	params Params
	f      *field
	a, b   element
	// rootB is the square root of b.
	rootB element
	// tau has the trace 1.
	tau element
	g   point
}

// point is a point in affine coordinates, which mean nothing if infinite is 1.
type point struct {
	x, y     element
	infinite uint64
}

// Params returns the parameters of the curve, with the base point in its
// uncompressed form. The caller must not change them.
func (c *Curve) Params() *Params { return &c.params }

// Size is the length in bytes of a coordinate.
func (c *Curve) Size() int { return c.f.size() }

// Decode returns the uncompressed form of an encoded point: uncompressed,
// compressed or hybrid (SEC 1, section 2.3.4). The point at infinity is
// refused. It is for public data.
func (c *Curve) Decode(b []byte) ([]byte, error) {
	p, err := c.decode(b)
	if err != nil {
		return nil, err
	}
	return c.encode(&p)
}

// Compress returns the compressed form of an encoded point. It is for public
// data.
func (c *Curve) Compress(b []byte) ([]byte, error) {
	p, err := c.decode(b)
	if err != nil {
		return nil, err
	}
	out := make([]byte, 1+c.Size())
	out[0] = 2 | byte(c.yBit(&p))
	c.f.encode(out[1:], &p.x)
	return out, nil
}

// InSubgroup reports whether an encoded point is a multiple of the base point.
// It is for public data.
func (c *Curve) InSubgroup(b []byte) bool {
	p, err := c.decode(b)
	if err != nil {
		return false
	}
	p = c.ladder(&p, c.params.N)
	return p.infinite == 1
}

// ScalarBaseMult returns the multiple k of the base point, uncompressed. k is
// big-endian, no longer than the order.
func (c *Curve) ScalarBaseMult(k []byte) ([]byte, error) {
	return c.scalarMult(&c.g, k)
}

// ScalarMult returns the multiple k of an encoded point, uncompressed. k is
// big-endian, no longer than the order.
func (c *Curve) ScalarMult(b, k []byte) ([]byte, error) {
	p, err := c.decode(b)
	if err != nil {
		return nil, err
	}
	return c.scalarMult(&p, k)
}

func (c *Curve) scalarMult(p *point, k []byte) ([]byte, error) {
	if len(k) > len(c.params.N) {
		return nil, ErrScalar
	}
	q := c.ladder(p, c.pad(k))
	return c.encode(&q)
}

// pad brings a scalar to the length of the order.
func (c *Curve) pad(k []byte) []byte {
	return append(make([]byte, len(c.params.N)-len(k), len(c.params.N)), k...)
}

// CombinedMult returns the sum of the multiple u of the base point and the
// multiple v of an encoded point, uncompressed. It is for public data.
func (c *Curve) CombinedMult(u, b, v []byte) ([]byte, error) {
	p, err := c.decode(b)
	if err != nil {
		return nil, err
	}
	if max(len(u), len(v)) > len(c.params.N) {
		return nil, ErrScalar
	}
	l, r := c.ladder(&c.g, c.pad(u)), c.ladder(&p, c.pad(v))
	sum := c.add(&l, &r)
	return c.encode(&sum)
}

// Add returns the sum of two encoded points, uncompressed. It is for public
// data.
func (c *Curve) Add(a, b []byte) ([]byte, error) {
	p, err := c.decode(a)
	if err != nil {
		return nil, err
	}
	q, err := c.decode(b)
	if err != nil {
		return nil, err
	}
	sum := c.add(&p, &q)
	return c.encode(&sum)
}

func (c *Curve) encode(p *point) ([]byte, error) {
	if ct.Reveal(p.infinite) == 1 {
		return nil, ErrInfinity
	}
	out := make([]byte, 1+2*c.Size())
	out[0] = 4
	c.f.encode(out[1:1+c.Size()], &p.x)
	c.f.encode(out[1+c.Size():], &p.y)
	return out, nil
}

func (c *Curve) decode(b []byte) (point, error) {
	var p point
	size := c.Size()
	switch {
	case len(b) == 1+size && b[0]|1 == 3:
		if c.f.decode(&p.x, b[1:]) && c.findY(&p, uint64(b[0]&1)) {
			return p, nil
		}
	case len(b) == 1+2*size && (b[0] == 4 || b[0]|1 == 7):
		if c.f.decode(&p.x, b[1:1+size]) && c.f.decode(&p.y, b[1+size:]) && c.onCurve(&p) &&
			(b[0] == 4 || uint64(b[0]&1) == c.yBit(&p)) {
			return p, nil
		}
	}
	return point{}, ErrPoint
}

// yBit is the bit that tells a point from its negative (SEC 1, section 2.3.3).
func (c *Curve) yBit(p *point) uint64 {
	var z element
	c.f.inv(&z, &p.x)
	c.f.mul(&z, &z, &p.y)
	return z[0] & 1
}

// findY computes the y that belongs to p.x: with y = xz, the equation of the
// curve becomes z^2 + z = x + a + b/x^2.
func (c *Curve) findY(p *point, bit uint64) bool {
	f := c.f
	if f.isZero(&p.x) == 1 {
		p.y = c.rootB
		return bit == 0
	}
	var t, z element
	f.inv(&t, &p.x)
	f.mul(&t, &t, &c.rootB)
	f.sqr(&t, &t)
	f.add(&t, &t, &c.a)
	f.add(&t, &t, &p.x)
	if !f.solve(&z, &t, &c.tau) {
		return false
	}
	z[0] ^= z[0]&1 ^ bit // z+1 is the other solution
	f.mul(&p.y, &p.x, &z)
	return true
}

func (c *Curve) onCurve(p *point) bool {
	f := c.f
	var l, r element
	f.add(&l, &p.y, &p.x) // y^2 + xy
	f.mul(&l, &l, &p.y)
	f.add(&r, &p.x, &c.a) // (x+a) x^2 + b
	f.mul(&r, &r, &p.x)
	f.mul(&r, &r, &p.x)
	f.add(&r, &r, &c.b)
	return f.equal(&l, &r)
}

// add is for public data.
func (c *Curve) add(p, q *point) point {
	f := c.f
	switch {
	case p.infinite == 1:
		return *q
	case q.infinite == 1:
		return *p
	case !f.equal(&p.x, &q.x):
	case f.equal(&p.y, &q.y) && f.isZero(&p.x) == 0:
		return c.double(p)
	default:
		return point{infinite: 1}
	}
	var slope, dx, t element
	f.add(&dx, &p.x, &q.x)
	f.inv(&t, &dx)
	f.add(&slope, &p.y, &q.y)
	f.mul(&slope, &slope, &t)
	var r point
	f.sqr(&r.x, &slope)
	f.add(&r.x, &r.x, &slope)
	f.add(&r.x, &r.x, &dx)
	f.add(&r.x, &r.x, &c.a)
	f.add(&t, &p.x, &r.x)
	f.mul(&r.y, &slope, &t)
	f.add(&r.y, &r.y, &r.x)
	f.add(&r.y, &r.y, &p.y)
	return r
}

// double is for public data, and for points with an x other than 0.
func (c *Curve) double(p *point) point {
	f := c.f
	var slope, t element
	f.inv(&slope, &p.x)
	f.mul(&slope, &slope, &p.y)
	f.add(&slope, &slope, &p.x)
	var r point
	f.sqr(&r.x, &slope)
	f.add(&r.x, &r.x, &slope)
	f.add(&r.x, &r.x, &c.a)
	f.sqr(&r.y, &p.x)
	f.mul(&t, &slope, &r.x)
	f.add(&r.y, &r.y, &t)
	f.add(&r.y, &r.y, &r.x)
	return r
}

// projective is the x coordinate x/z of a point; z is 0 at infinity.
type projective struct{ x, z element }

// ladder multiplies p by k. It holds two multiples of p that differ by p, the
// first of which begins at infinity, so that k may be any number of its length
// and p any point. (Julio López, Ricardo Dahab, "Fast Multiplication on
// Elliptic Curves over GF(2^m) without Precomputation", CHES 1999.)
func (c *Curve) ladder(p *point, k []byte) point {
	var r, next projective // kP and (k+1)P for the bits of k read
	r.x[0] = 1
	next.x, next.z[0] = p.x, 1
	var swapped uint64
	for _, b := range k {
		for i := 7; i >= 0; i-- {
			bit := uint64(b>>i) & 1
			c.swap(&r, &next, bit^swapped)
			swapped = bit
			c.ladderAdd(&next, &r, &p.x)
			c.ladderDouble(&r)
		}
	}
	c.swap(&r, &next, swapped)
	return c.recover(p, &r, &next)
}

func (c *Curve) swap(p, q *projective, bit uint64) {
	c.f.swap(&p.x, &q.x, bit)
	c.f.swap(&p.z, &q.z, bit)
}

// ladderAdd adds q to p; x is that of their difference.
func (c *Curve) ladderAdd(p, q *projective, x *element) {
	f := c.f
	var s, t element
	f.mul(&s, &p.x, &q.z)
	f.mul(&t, &q.x, &p.z)
	f.add(&p.z, &s, &t)
	f.sqr(&p.z, &p.z)
	f.mul(&s, &s, &t)
	f.mul(&t, x, &p.z)
	f.add(&p.x, &s, &t)
}

// ladderDouble makes x^4 + b z^4 over x^2 z^2.
func (c *Curve) ladderDouble(p *projective) {
	f := c.f
	var xx, zz element
	f.sqr(&xx, &p.x)
	f.sqr(&zz, &p.z)
	f.mul(&p.z, &xx, &zz)
	f.mul(&zz, &zz, &c.rootB)
	f.add(&xx, &xx, &zz)
	f.sqr(&p.x, &xx)
}

// recover returns r with its y, which follows from p and next = r + p:
//
//	x' = X1 / Z1
//	y' = (x + x') ((X1 + x Z1)(X2 + x Z2) + (x^2 + y) Z1 Z2) / (x Z1 Z2) + y
//
// Where that divides by zero, r is infinite, or next is and r is -p, or p is
// the point with x = 0 and r too, for which the formulas hold with 1/0 = 0.
func (c *Curve) recover(p *point, r, next *projective) point {
	f := c.f
	var q point
	var zz, xz, inverse, s, t element
	f.mul(&zz, &r.z, &next.z)
	f.mul(&inverse, &zz, &p.x)
	f.inv(&inverse, &inverse)
	f.mul(&xz, &p.x, &next.z)
	f.mul(&q.x, &xz, &inverse)
	f.mul(&q.x, &q.x, &r.x)

	f.add(&s, &next.x, &xz)
	f.mul(&t, &p.x, &r.z)
	f.add(&t, &t, &r.x)
	f.mul(&s, &s, &t)
	f.sqr(&t, &p.x)
	f.add(&t, &t, &p.y)
	f.mul(&t, &t, &zz)
	f.add(&s, &s, &t)
	f.add(&t, &p.x, &q.x)
	f.mul(&s, &s, &t)
	f.mul(&s, &s, &inverse)
	f.add(&q.y, &s, &p.y)

	q.infinite = f.isZero(&r.z)
	opposite := f.isZero(&next.z)
	var y element
	f.add(&y, &p.x, &p.y)
	f.set(&q.x, &p.x, opposite)
	f.set(&q.y, &y, opposite)
	return q
}
