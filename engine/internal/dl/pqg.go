package dl

import (
	"encoding/binary"
	"errors"
	"hash"
	"math/big"
)

// ErrSeed says that a seed leads to no primes, or that there is no g.
var ErrSeed = errors.New("dl: the seed gives no domain parameters")

// ProbablePrimes makes p of bits bits and q of order bits from a seed, by FIPS
// 186-4, appendix A.1.1.2. ok is false if another seed is needed.
func ProbablePrimes(bits, order int, newHash func() hash.Hash, seed []byte) (p, q *big.Int, counter int, ok bool) {
	s := &seedHash{newHash, new(big.Int).SetBytes(seed), len(seed)}
	q = s.sum(0, 1)
	setBits(q, order)
	if !newPrime(q) {
		return nil, nil, 0, false
	}
	size := 8 * newHash().Size()
	n := (bits + size - 1) / size // words of a candidate
	twoQ := new(big.Int).Lsh(q, 1)
	for counter = range 4 * bits {
		x := s.sum(1+counter*n, n)
		x.SetBit(lowBits(x, bits-1), bits-1, 1)
		c := new(big.Int).Mod(x, twoQ)
		if p = x.Sub(x, c.Sub(c, one)); p.BitLen() == bits && newPrime(p) {
			return p, q, counter, true
		}
	}
	return nil, nil, 0, false
}

// setBits makes n a number of exactly so many bits, and odd.
func setBits(n *big.Int, bits int) {
	lowBits(n, bits-1)
	n.SetBit(n, bits-1, 1).SetBit(n, 0, 1)
}

// lowBits cuts n to its last bits.
func lowBits(n *big.Int, bits int) *big.Int {
	mask := new(big.Int).Lsh(one, uint(bits))
	return n.And(n, mask.Sub(mask, one))
}

// seedHash is a seed that is counted up, modulo 2 to its length, and hashed.
type seedHash struct {
	newHash func() hash.Hash
	seed    *big.Int
	size    int // in bytes
}

// sum is the number that the hashes of seed+first, seed+first+1 ... make, the
// first one being the least significant.
func (s *seedHash) sum(first, n int) *big.Int {
	var b []byte
	for i := n - 1; i >= 0; i-- {
		b = append(b, s.digest(first+i)...)
	}
	return new(big.Int).SetBytes(b)
}

func (s *seedHash) digest(i int) []byte {
	n := new(big.Int).Add(s.seed, big.NewInt(int64(i)))
	h := s.newHash()
	h.Write(lowBits(n, 8*s.size).FillBytes(make([]byte, s.size)))
	return h.Sum(nil)
}

// ProvablePrimes makes p and q from a seed by FIPS 186-4, appendix A.1.2.1.2
// (Shawe and Taylor), with the seeds at which p and q were found.
func ProvablePrimes(bits, order int, newHash func() hash.Hash, first []byte) (p, q *big.Int, pSeed, qSeed []byte, ok bool) {
	s := &seedHash{newHash, new(big.Int).SetBytes(first), len(first)}
	q, _, ok = s.provablePrime(order)
	if !ok {
		return nil, nil, nil, nil, false
	}
	qSeed = s.bytes()
	p0, count, ok := s.provablePrime((bits+1)/2 + 1)
	if !ok {
		return nil, nil, nil, nil, false
	}
	p, _, ok = s.extend(bits, q, p0, count)
	return p, q, s.bytes(), qSeed, ok
}

// bytes is the seed as it stands: longer than at first if it was counted over.
func (s *seedHash) bytes() []byte {
	return s.seed.FillBytes(make([]byte, max(s.size, (s.seed.BitLen()+7)/8)))
}

// provablePrime is ST_Random_Prime (appendix C.6): the seed is counted on.
func (s *seedHash) provablePrime(bits int) (c *big.Int, count int, ok bool) {
	if bits < 33 {
		return s.shortPrime(bits)
	}
	c0, count, ok := s.provablePrime((bits+1)/2 + 1)
	if !ok {
		return nil, 0, false
	}
	return s.extend(bits, one, c0, count)
}

// shortPrime is the part of ST_Random_Prime for less than 33 bits.
func (s *seedHash) shortPrime(bits int) (*big.Int, int, bool) {
	for count := 1; count <= 4*bits; count++ {
		c := s.sum(0, 1)
		c.Xor(c, s.sum(1, 1))
		setBits(c, bits)
		s.step(2)
		if c.ProbablyPrime(0) { // never wrong below 2^64
			return c, count, true
		}
	}
	return nil, 0, false
}

func (s *seedHash) step(n int) { s.seed.Add(s.seed, big.NewInt(int64(n))) }

// extend finds a prime 2tq*c0 + 1 for the prime c0, and proves it prime by a
// theorem of Pocklington.
func (s *seedHash) extend(bits int, q, c0 *big.Int, count int) (*big.Int, int, bool) {
	size := 8 * s.newHash().Size()
	n := (bits + size - 1) / size
	half := new(big.Int).Lsh(one, uint(bits-1))
	x := s.sum(0, n)
	s.step(n)
	x.SetBit(lowBits(x, bits-1), bits-1, 1)
	unit := new(big.Int).Mul(q, c0)
	unit.Lsh(unit, 1)
	t := ceilDiv(x, unit)
	for limit := count + 4*bits; ; {
		c := new(big.Int).Mul(t, unit)
		if c.Add(c, one).BitLen() > bits {
			t = ceilDiv(half, unit)
			c.Mul(t, unit).Add(c, one)
		}
		count++
		a := s.sum(0, n)
		s.step(n)
		if provedPrime(c, a, new(big.Int).Mul(t, q), c0) {
			return c, count, true
		}
		if count >= limit {
			return nil, 0, false
		}
		t.Add(t, one)
	}
}

// provedPrime reports whether a proves c = 2tc0 + 1 a prime.
func provedPrime(c, a, t, c0 *big.Int) bool {
	if smallFactor(c) {
		return false // no a would
	}
	a.Mod(a, new(big.Int).Sub(c, big.NewInt(3))).Add(a, big.NewInt(2))
	z := new(big.Int).Exp(a, t.Lsh(t, 1), c)
	less := new(big.Int).Sub(z, one)
	return less.GCD(nil, nil, less, c).Cmp(one) == 0 && z.Exp(z, c0, c).Cmp(one) == 0
}

// ceilDiv is x/y rounded up.
func ceilDiv(x, y *big.Int) *big.Int {
	q, r := new(big.Int).QuoRem(x, y, new(big.Int))
	if r.Sign() > 0 {
		q.Add(q, one)
	}
	return q
}

// Generator makes a g of order q (FIPS 186-4, appendix A.2.1).
func Generator(random func([]byte) error, p, q *big.Int) (*big.Int, error) {
	e := new(big.Int).Sub(p, one)
	e.Div(e, q)
	for {
		h, err := randomBits(random, p.BitLen()-1) // more than 1, less than p-1
		if err != nil {
			return nil, err
		}
		if g := h.Exp(h, e, p); g.Cmp(one) > 0 {
			return g, nil
		}
	}
}

// CanonicalGenerator makes the g that a seed and an index give (FIPS 186-4,
// appendix A.2.3).
func CanonicalGenerator(newHash func() hash.Hash, p, q *big.Int, seed []byte, index byte) (*big.Int, error) {
	e := new(big.Int).Sub(p, one)
	e.Div(e, q)
	for count := uint16(1); count != 0; count++ {
		h := newHash()
		h.Write(seed)
		h.Write([]byte("ggen"))
		h.Write([]byte{index})
		h.Write(binary.BigEndian.AppendUint16(nil, count))
		g := new(big.Int).SetBytes(h.Sum(nil))
		if g.Exp(g, e, p).Cmp(one) > 0 {
			return g, nil
		}
	}
	return nil, ErrSeed
}
