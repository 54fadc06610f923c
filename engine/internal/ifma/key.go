package ifma

import "errors"

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
	pq, pp     residues
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
	return k, k.prepareCheck(c)
}

func (k *Key) preparePair(c *Numbers) error {
	s, digits := &k.alone, k.width*lanes/2
	p, err := newModulus(c.P, digits)
	if err != nil {
		return err
	}
	q, err := newModulus(c.Q, digits)
	if err != nil {
		return err
	}
	k.p, k.q = p.m, q.m
	s.pq, s.pp = k.residues(p, q), k.residues(p, p)
	s.r = s.pq.lay(p.r, q.r)
	s.rr, s.rrr = s.pq.twoTo(2*digitBits*digits, s.r), s.pq.twoTo(3*digitBits*digits, s.r)
	s.dp, s.dq = windows(c.DP, k.bits, pairWindow), windows(c.DQ, k.bits, pairWindow)
	s.qInv = k.timesTwoTo(c.QInv, 2*digitBits*digits)
	return nil
}

// timesTwoTo returns x*2^n mod p, twice.
func (k *Key) timesTwoTo(x []byte, n int) []uint64 {
	s, digits := &k.alone, len(k.p)
	r := s.pq.number(digits, s.r, 0)
	z, d := s.pp.twoTo(n+digitBits*digits, s.pp.lay(r, r)), digitsOf(x, digits)
	s.pp.mul(z, z, s.pp.lay(d, d))
	return z
}

func (k *Key) prepareLanes(c *Numbers) (err error) {
	l, digits := &k.batched, 10*k.tiles
	if l.p, err = newModulus(c.P, digits); err != nil {
		return err
	}
	if l.q, err = newModulus(c.Q, digits); err != nil {
		return err
	}
	two := &k.alone.pq
	rr, rrr := two.twoTo(2*digitBits*digits, k.alone.r), two.twoTo(3*digitBits*digits, k.alone.r)
	for g, m := range []*modulus{l.p, l.q} {
		m.rr, m.rrr = two.number(digits, rr, g), two.number(digits, rrr, g)
	}
	l.dp, l.dq = windows(c.DP, k.bits, laneWindow), windows(c.DQ, k.bits, laneWindow)
	l.qInv = two.number(digits, k.timesTwoTo(c.QInv, 2*digitBits*digits), 0)
	return nil
}

func (k *Key) prepareCheck(c *Numbers) (err error) {
	if k.check, err = k.newPublic(c.N, c.E); err != nil {
		return err
	}
	digits := 20 * k.tiles
	if k.batched.n, err = newModulus(c.N, digits); err != nil {
		return err
	}
	one := &k.check.one
	k.batched.n.rr = one.number(digits, one.twoTo(2*digitBits*digits, one.lay(k.check.n.r)), 0)
	return nil
}
