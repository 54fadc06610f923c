package rsacore

import (
	"math/bits"

	"filippo.io/bigmod"
)

// Complete checks the private key c and returns it with all components that
// can be found: the primes from N, E and D, the CRT values from the primes,
// and E from the primes and D. Where E stays unknown and there are no primes,
// N and D alone come back. Components have no leading zeros.
//
// This runs once, when a key comes in. It is not constant-time in the parts
// that recover a missing component (divisions and greatest common divisors).
func Complete(c Numbers) (Numbers, error) {
	c = c.trimmed()
	n, err := newModulus(c.N)
	if err != nil {
		return c, err
	}
	if _, err := fixed(c.D, n); err != nil {
		return c, err
	}
	given := c
	if err := c.findPrimes(n); err != nil {
		return c, err
	}
	if c.P != nil {
		err = c.completeCRT(n)
	}
	if err != nil && given.modulusOnly() {
		// A key with more than two primes works without them.
		given.E = c.E
		c, err = given, nil
	}
	if err != nil {
		return c, err
	}
	return c, c.try()
}

// modulusOnly reports whether nothing but N, D and perhaps E is there.
func (c *Numbers) modulusOnly() bool {
	return c.P == nil && c.Q == nil && c.DP == nil && c.DQ == nil && c.QInv == nil
}

func (c Numbers) trimmed() Numbers {
	for _, b := range []*[]byte{&c.N, &c.E, &c.D, &c.P, &c.Q, &c.DP, &c.DQ, &c.QInv} {
		if *b = trim(*b); len(*b) == 0 {
			*b = nil
		}
	}
	return c
}

// findPrimes sets P and Q if they are missing and E is known or guessed. A
// single prime that was given decides which of the two is P.
func (c *Numbers) findPrimes(n *bigmod.Modulus) error {
	if c.P != nil && c.Q != nil {
		return nil
	}
	if c.E == nil {
		c.guessExponent(n)
	}
	if c.E == nil {
		if c.modulusOnly() {
			return nil
		}
		return ErrKey // half a key: nothing to check it with
	}
	p, q, err := factor(n, c.E, c.D)
	if err != nil {
		return err
	}
	if c.P != nil && equal(c.P, q) || c.Q != nil && equal(c.Q, p) {
		p, q = q, p
	}
	if c.P != nil && !equal(c.P, p) || c.Q != nil && !equal(c.Q, q) {
		return ErrKey
	}
	if c.P == nil && c.Q == nil && bytesLess(p, q) {
		p, q = q, p // the usual order, p > q
	}
	c.P, c.Q = trim(p), trim(q)
	return nil
}

// guessExponent sets E to the one of the common public exponents that
// inverts D, if any does.
func (c *Numbers) guessExponent(n *bigmod.Modulus) {
	d, err := fixed(c.D, n)
	if err != nil {
		return
	}
	two := bigmod.NewNat().SetUint(2).ExpandFor(n)
	s := bigmod.NewNat().Exp(two, d, n)
	for _, e := range []uint{65537, 3, 17, 5, 257, 35, 37} {
		if bigmod.NewNat().ExpShortVarTime(s, e, n).Equal(two) == 1 {
			c.E = uintBytes(e)
			return
		}
	}
}

// factor finds the primes of n: from e*d - 1 = 2^t * r, a multiple of the
// order of every element, comes a square root of 1 other than 1 and -1 (NIST
// SP 800-56B, appendix C.1). The bases are small numbers rather than random
// ones: each works for at least half of all keys, so that 32 of them fail only
// for a modulus that is the power of one prime.
func factor(n *bigmod.Modulus, e, d []byte) (p, q []byte, err error) {
	ed, err := bigmod.NewModulusProduct(e, d)
	if err != nil {
		return nil, nil, ErrKey
	}
	k := ed.Nat()
	if k.IsOdd() == 0 {
		return nil, nil, ErrKey
	}
	if !undoes(n, e, d) {
		return nil, nil, ErrKey
	}
	k.Bits()[0] &^= 1
	t := k.TrailingZeroBitsVarTime()
	r := k.ShiftRightVarTime(t)
	if len(r.Bits()) == 0 || r.IsZero() == 1 {
		return nil, nil, ErrKey
	}
	exponent := toBytes(r, ed)
	one := bigmod.NewNat().SetUint(1).ExpandFor(n)
	for base := uint(2); base < 34; base++ {
		g := bigmod.NewNat().Mod(bigmod.NewNat().SetUint(base), n)
		x := bigmod.NewNat().Exp(g, exponent, n)
		root := squareRootOfOne(x, t, n)
		if root == nil {
			continue
		}
		a, err := bigmod.NewNat().GCDVarTime(bigmod.NewNat().Mod(root, n).Sub(one, n), n.Nat())
		if err != nil {
			return nil, nil, ErrKey
		}
		b, err := bigmod.NewNat().GCDVarTime(bigmod.NewNat().Mod(root, n).Add(one, n), n.Nat())
		if err != nil {
			return nil, nil, ErrKey
		}
		return trim(toBytes(a, n)), trim(toBytes(b, n)), nil
	}
	return nil, nil, ErrKey
}

// undoes reports whether d inverts e for one number at least. It sorts out
// wrong keys before any of the longer work.
func undoes(n *bigmod.Modulus, e, d []byte) bool {
	two := bigmod.NewNat().SetUint(2).ExpandFor(n)
	x := bigmod.NewNat().Exp(two, e, n)
	return bigmod.NewNat().Exp(x, d, n).Equal(two) == 1
}

// squareRootOfOne squares x up to t times and returns the number, neither 1
// nor -1, whose square is 1, or nil if it meets none.
func squareRootOfOne(x *bigmod.Nat, t uint, n *bigmod.Modulus) *bigmod.Nat {
	if x.IsZero() == 1 || x.IsOne() == 1 || x.IsMinusOne(n) == 1 {
		return nil
	}
	for range t {
		y := bigmod.NewNat().Mod(x, n).Mul(x, n)
		if y.IsOne() == 1 {
			return x
		}
		if y.IsMinusOne(n) == 1 {
			return nil
		}
		x = y
	}
	return nil
}

// completeCRT checks P, Q and D against N and E, and sets or checks the rest.
func (c *Numbers) completeCRT(n *bigmod.Modulus) error {
	p, err := newModulus(c.P)
	if err != nil {
		return err
	}
	q, err := newModulus(c.Q)
	if err != nil {
		return err
	}
	product, err := bigmod.NewModulusProduct(c.P, c.Q)
	if err != nil || !equal(toBytes(product.Nat(), product), c.N) || equal(c.P, c.Q) {
		return ErrKey
	}
	dp, pm, err := reduceExponent(c.D, p, n)
	if err != nil {
		return err
	}
	dq, qm, err := reduceExponent(c.D, q, n)
	if err != nil {
		return err
	}
	if c.E == nil {
		// The public exponent is less than p-1 in every key that anyone
		// makes, and then it is the inverse of d modulo p-1.
		e, ok := bigmod.NewNat().InverseVarTime(dp, pm)
		if !ok {
			return ErrKey
		}
		c.E = trim(toBytes(e, pm))
	}
	if !inverse(c.E, dp, pm, n) || !inverse(c.E, dq, qm, n) {
		return ErrKey
	}
	qInv, ok := bigmod.NewNat().InverseVarTime(bigmod.NewNat().Mod(q.Nat(), p), p)
	if !ok {
		return ErrKey
	}
	return c.merge(toBytes(dp, pm), toBytes(dq, qm), toBytes(qInv, p))
}

// reduceExponent returns d mod p-1 and the modulus p-1.
func reduceExponent(d []byte, p, n *bigmod.Modulus) (*bigmod.Nat, *bigmod.Modulus, error) {
	m, err := bigmod.NewModulus(toBytes(p.Nat().SubOne(p), p))
	if err != nil {
		return nil, nil, ErrKey
	}
	x, err := bigmod.NewNat().SetBytes(d, n)
	if err != nil {
		return nil, nil, ErrKey
	}
	return bigmod.NewNat().Mod(x, m), m, nil
}

// inverse reports whether e*d = 1 mod m, where d is reduced and e < n is not.
func inverse(e []byte, d *bigmod.Nat, m, n *bigmod.Modulus) bool {
	x, err := bigmod.NewNat().SetBytes(e, n)
	if err != nil {
		return false
	}
	return bigmod.NewNat().Mod(x, m).Mul(d, m).IsOne() == 1
}

// merge takes the computed CRT values, and refuses a given one that differs.
func (c *Numbers) merge(dp, dq, qInv []byte) error {
	for _, x := range []struct {
		given    *[]byte
		computed []byte
	}{{&c.DP, dp}, {&c.DQ, dq}, {&c.QInv, qInv}} {
		if *x.given != nil && !equal(*x.given, x.computed) {
			return ErrKey
		}
		*x.given = trim(x.computed)
	}
	return nil
}

// try runs the private operation once. Where E is known, its check finds what
// the comparisons cannot: "primes" that are composite.
func (c *Numbers) try() error {
	k, err := NewPrivateKey(c)
	if err != nil {
		return err
	}
	var out = make([]byte, k.Size())
	if err := k.Private(out, []byte{2}); err != nil {
		return ErrKey
	}
	return nil
}

func bytesLess(a, b []byte) bool {
	a, b = trim(a), trim(b)
	return len(a) < len(b) || len(a) == len(b) && string(a) < string(b)
}

func uintBytes(v uint) []byte {
	b := make([]byte, (bits.Len(v)+7)/8)
	for i := range b {
		b[len(b)-1-i] = byte(v >> (8 * i))
	}
	return b
}
