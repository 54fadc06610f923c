package ifma

import (
	"errors"

	"filippo.io/bigmod"
)

// Errors of this package.
var (
	ErrSize  = errors.New("ifma: no key of a size that is served")
	ErrRange = errors.New("ifma: value not below the modulus")
	ErrFault = errors.New("ifma: private operation failed its check")
)

// Numbers are the components of a private key, big-endian, all there and
// consistent with each other.
type Numbers struct {
	N, P, Q, DP, DQ, QInv []byte
	E                     uint
}

// Key is a private key with two primes, ready for use by many at once.
type Key struct {
	*class
	p, q    []uint64 // in as many digits as a pair has, which no lane has less than
	alone   pairKey
	batched laneKey
	check   *Public
}

// pairKey is what a lone operation needs, laid out across the lanes.
type pairKey struct {
	two        layout
	pq, pp     operands // modulo p and q; modulo p twice
	r, rr, rrr []uint64 // of p and q
	dp, dq     []byte   // windows of the exponents
	qInv       []uint64 // qInv*R^2 mod p, twice
}

// laneKey is what an operation of many needs.
type laneKey struct {
	p, q, n *modulus
	qInv    []uint64 // qInv*R^2 mod p
	dp, dq  []byte   // windows of the exponents
}

// Bits of an exponent that are looked up at once. The larger table, of what is in
// eight lanes, would not fit the first cache with five bits.
const (
	pairWindow = 5
	laneWindow = 4
)

// operands are those of a pair kernel that stay.
type operands struct{ m, k0 []uint64 }

// NewKey prepares a key.
func NewKey(c *Numbers) (*Key, error) {
	bits := 8 * max(len(c.P), len(c.Q))
	k := &Key{class: classFor(bits)}
	if k.class == nil || bits <= minBits || 8*len(c.N) > 2*k.bits {
		return nil, ErrSize
	}
	if err := k.preparePair(c); err != nil {
		return nil, err
	}
	if err := k.prepareLanes(c); err != nil {
		return nil, err
	}
	var err error
	if k.check, err = k.newPublic(c.N, c.E); err != nil {
		return nil, err
	}
	return k, nil
}

func (k *Key) preparePair(c *Numbers) error {
	s := &k.alone
	s.two = layout{&shapes[2], k.width}
	digits := k.width * lanes / 2
	p, err := newModulus(c.P, digits)
	if err != nil {
		return err
	}
	q, err := newModulus(c.Q, digits)
	if err != nil {
		return err
	}
	k.p, k.q = p.m, q.m
	s.pq, s.pp = s.two.operands(p, q), s.two.operands(p, p)
	s.r, s.rr, s.rrr = s.two.both(p.r, q.r), s.two.both(p.rr, q.rr), s.two.both(p.rrr, q.rrr)
	s.dp, s.dq = windows(c.DP, k.bits, pairWindow), windows(c.DQ, k.bits, pairWindow)
	qInv, err := timesRR(c.QInv, c.P, digits)
	s.qInv = s.two.both(qInv, qInv)
	return err
}

func (k *Key) prepareLanes(c *Numbers) (err error) {
	l, digits := &k.batched, 10*k.tiles
	if l.p, err = newModulus(c.P, digits); err != nil {
		return err
	}
	if l.q, err = newModulus(c.Q, digits); err != nil {
		return err
	}
	if l.n, err = newModulus(c.N, 2*digits); err != nil {
		return err
	}
	l.dp, l.dq = windows(c.DP, k.bits, laneWindow), windows(c.DQ, k.bits, laneWindow)
	l.qInv, err = timesRR(c.QInv, c.P, digits)
	return err
}

// timesRR returns x*R^2 mod m.
func timesRR(x, m []byte, digits int) ([]uint64, error) {
	n, err := bigmod.NewModulus(m)
	if err != nil {
		return nil, err
	}
	y, err := bigmod.NewNat().SetBytes(x, n)
	if err != nil {
		return nil, err
	}
	two := bigmod.NewNat().SetUint(2).ExpandFor(n)
	rr := bigmod.NewNat().ExpShortVarTime(two, uint(2*digitBits*digits), n)
	return digitsOf(y.Mul(rr, n).Bytes(n), digits), nil
}

// both lays two numbers out.
func (s *layout) both(a, b []uint64) []uint64 {
	z := vectors(s.width)
	s.set(z, 0, a)
	s.set(z, 1, b)
	return z
}

func (s *layout) operands(a, b *modulus) operands {
	o := operands{s.both(a.m, b.m), vectors(1)}
	for l := range lanes {
		o.k0[l] = a.k0
		if l >= lanes/2 {
			o.k0[l] = b.k0
		}
	}
	return o
}
