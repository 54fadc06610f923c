package ec2m

import (
	"bytes"
	"math/big"
	"slices"
)

// Params are the domain parameters of a curve (SEC 1, section 3.1.2).
type Params struct {
	M int
	// Middle holds the exponents between M and 0 of the modulus, the largest
	// first: one of a trinomial, three of a pentanomial.
	Middle []int
	// Numbers and elements, big-endian; leading zeros do not matter.
	A, B []byte
	G    []byte // the base point, encoded
	N    []byte // its order
	H    []byte // the cofactor; may be missing
}

// minDegree is the smallest m: that of sect113r1.
const minDegree = 113

// New checks parameters, as section 3.1.2.2.1 of SEC 1 says, and returns their
// curve: ErrUnsupported if the field is none of ours, or ErrParams. It is for
// public data, and takes up to some tens of milliseconds.
func New(p Params) (*Curve, error) {
	if err := checkField(p.M, p.Middle); err != nil {
		return nil, err
	}
	c, err := newCurve(p)
	if err != nil {
		return nil, err
	}
	if !c.checkOrder() || !irreducible(c.f) {
		return nil, ErrParams
	}
	return c, nil
}

// checkField accepts a trinomial or pentanomial whose second exponent leaves
// the room that the reduction needs. ANSI X9.62 and SEC 2 have no others: they
// take the irreducible polynomial with the smallest exponents.
func checkField(m int, middle []int) error {
	if len(middle) != 1 && len(middle) != 3 {
		return ErrParams
	}
	above := m
	for _, k := range middle {
		if k < 1 || k >= above {
			return ErrParams
		}
		above = k
	}
	if m < minDegree || m > maxDegree || m-middle[0] < limbBits {
		return ErrUnsupported
	}
	return nil
}

// newCurve makes the curve of parameters whose field is checked.
func newCurve(p Params) (*Curve, error) {
	c := &Curve{f: newField(p.M, p.Middle)}
	if !c.f.decode(&c.a, p.A) || !c.f.decode(&c.b, p.B) || c.f.isZero(&c.b) == 1 {
		return nil, ErrParams
	}
	c.f.sqrt(&c.rootB, &c.b)
	for i := 0; c.f.trace(&c.tau) == 0; i++ {
		if i == p.M { // then this is no field
			return nil, ErrParams
		}
		c.tau = element{}
		c.tau[i/limbBits] = 1 << (i % limbBits)
	}
	var err error
	if c.g, err = c.decode(p.G); err != nil {
		return nil, ErrParams
	}
	base, err := c.encode(&c.g)
	if err != nil {
		return nil, ErrParams
	}
	c.params = Params{
		M: p.M, Middle: slices.Clone(p.Middle),
		A: c.element(&c.a), B: c.element(&c.b), G: base, N: trim(p.N), H: trim(p.H),
	}
	return c, nil
}

func (c *Curve) element(x *element) []byte {
	b := make([]byte, c.Size())
	c.f.encode(b, x)
	return b
}

// trim copies a number without its leading zeros.
func trim(b []byte) []byte { return bytes.Clone(bytes.TrimLeft(b, "\x00")) }

// weakDegrees bounds the extension fields into which a pairing must not carry
// the logarithm (SEC 1, section 3.1.2.1).
const weakDegrees = 100

// maxCofactorBits is far more than the 16 bits of X9.62's curves.
const maxCofactorBits = 64

// checkOrder checks n and h, and finds a missing h. As n is a prime above
// 4 sqrt(2^m), Hasse's bound leaves one multiple of it for the number of points.
func (c *Curve) checkOrder() bool {
	q := new(big.Int).Lsh(big.NewInt(1), uint(c.f.m))
	n := new(big.Int).SetBytes(c.params.N)
	h := new(big.Int).SetBytes(c.params.H)
	if n.BitLen() > c.f.m+1 || new(big.Int).Mul(n, n).Cmp(new(big.Int).Lsh(q, 4)) <= 0 || !n.ProbablyPrime(32) {
		return false
	}
	width := new(big.Int).Sqrt(new(big.Int).Lsh(q, 2))
	middle := new(big.Int).Add(q, big.NewInt(1))
	want := new(big.Int).Add(middle, width)
	want.Div(want, n)
	points := new(big.Int).Mul(want, n)
	if points.Cmp(middle.Sub(middle, width)) < 0 || points.Cmp(q) == 0 || want.BitLen() > maxCofactorBits {
		return false
	}
	if h.Sign() != 0 && h.Cmp(want) != 0 {
		return false
	}
	c.params.H = want.Bytes()
	if o := c.ladder(&c.g, c.params.N); o.infinite == 0 {
		return false
	}
	power := big.NewInt(1)
	for range weakDegrees {
		power.Mul(power, q).Mod(power, n)
		if power.Cmp(big.NewInt(1)) == 0 {
			return false
		}
	}
	return true
}

// irreducible is Rabin's test of the modulus f: t^(2^m) = t modulo f, and f has
// no factor in common with t^(2^(m/q)) - t for any prime factor q of m.
func irreducible(f *field) bool {
	modulus := new(big.Int).SetBit(new(big.Int), f.m, 1)
	for _, k := range f.low {
		modulus.SetBit(modulus, k, 1)
	}
	t := element{2}
	for q := 2; q <= f.m; q++ {
		if f.m%q != 0 || !big.NewInt(int64(q)).ProbablyPrime(0) {
			continue
		}
		var x element
		f.sqrs(&x, &t, f.m/q)
		f.add(&x, &x, &t)
		b := make([]byte, f.size())
		f.encode(b, &x)
		if gcd(modulus, new(big.Int).SetBytes(b)).BitLen() != 1 {
			return false
		}
	}
	var x element
	f.sqrs(&x, &t, f.m)
	return f.equal(&x, &t)
}

// gcd is the greatest common divisor of polynomials over GF(2), whose
// coefficients are the bits of a and b.
func gcd(a, b *big.Int) *big.Int {
	a, b = new(big.Int).Set(a), new(big.Int).Set(b)
	for b.Sign() != 0 {
		for a.BitLen() >= b.BitLen() {
			a.Xor(a, new(big.Int).Lsh(b, uint(a.BitLen()-b.BitLen())))
		}
		a, b = b, a
	}
	return a
}
