package weierstrass

import (
	"math/big"

	"github.com/perilune/perilune/engine/internal/ct"
	"github.com/perilune/perilune/engine/internal/mont"
)

// encode returns p uncompressed, unless it is infinity or no point.
func (c *Curve) encode(p *point) (_ []byte, ok bool) {
	var q affine
	if !c.affine(&q, p) {
		return nil, false
	}
	return c.bytes(&q), true
}

// affine makes the coordinates of p, unless it is infinity or no point.
func (c *Curve) affine(q *affine, p *point) (ok bool) {
	if ct.Reveal(c.f.IsZero(&p.z)) == 1 {
		return false
	}
	var z mont.Element
	c.f.Invert(&z, &p.z)
	c.f.Mul(&q.x, &p.x, &z)
	c.f.Mul(&q.y, &p.y, &z)
	return true
}

func (c *Curve) bytes(q *affine) []byte {
	size := c.f.Size()
	b := make([]byte, 1+2*size)
	b[0] = 4
	c.f.Bytes(b[1:1+size], &q.x)
	c.f.Bytes(b[1+size:], &q.y)
	return b
}

// Decode takes a point in uncompressed, compressed or hybrid form (SEC 1,
// section 2.3.4) and returns it uncompressed. It must be on the curve.
func (c *Curve) Decode(b []byte) (_ []byte, ok bool) {
	size := c.f.Size()
	switch {
	case len(b) == 1+size && b[0]|1 == 3:
		return c.decompress(b[1:], uint(b[0]&1))
	case len(b) == 1+2*size && (b[0] == 4 || b[0] == 6|b[2*size]&1):
		point := append([]byte{4}, b[1:]...)
		return point, c.isPoint(point)
	}
	return nil, false
}

func (c *Curve) isPoint(uncompressed []byte) bool {
	var p point
	return c.decodeUncompressed(&p, uncompressed)
}

func (c *Curve) decodeUncompressed(p *point, b []byte) bool {
	size := c.f.Size()
	if len(b) != 1+2*size || b[0] != 4 {
		return false
	}
	p.z = *c.f.One()
	return c.f.SetReduced(&p.x, b[1:1+size]) && c.f.SetReduced(&p.y, b[1+size:]) && c.onCurve(&p.x, &p.y)
}

// onCurve reports whether y^2 = x^3 + a*x + b.
func (c *Curve) onCurve(x, y *mont.Element) bool {
	var left, right mont.Element
	c.f.Mul(&left, y, y)
	c.square(&right, x)
	return c.f.Equal(&left, &right) == 1
}

// square makes z = x^3 + a*x + b.
func (c *Curve) square(z, x *mont.Element) {
	var t mont.Element
	c.f.Mul(&t, x, x)
	c.f.Add(&t, &t, &c.a)
	c.f.Mul(&t, &t, x)
	c.f.Add(z, &t, &c.b)
}

// decompress finds y by its last bit. Points are public, so math/big may take
// the root.
func (c *Curve) decompress(xBytes []byte, odd uint) (_ []byte, ok bool) {
	var x, yy mont.Element
	if !c.f.SetReduced(&x, xBytes) {
		return nil, false
	}
	c.square(&yy, &x)
	size := c.f.Size()
	b := append([]byte{4}, make([]byte, 2*size)...)
	copy(b[1:], xBytes)
	c.f.Bytes(b[1+size:], &yy)
	y := new(big.Int).SetBytes(b[1+size:])
	if y.ModSqrt(y, c.p) == nil || y.Sign() == 0 && odd == 1 {
		return nil, false
	}
	if y.Bit(0) != odd {
		y.Sub(c.p, y)
	}
	y.FillBytes(b[1+size:])
	return b, true
}
