// Package dl computes with discrete logarithms modulo a prime: groups and how
// they are made, Diffie-Hellman, MQV, DSA and KCDSA.
//
// What depends on private keys and nonces runs on filippo.io/bigmod in constant
// time, save for the length in bytes of an exponent. What is public (groups,
// public keys, signatures to verify) runs on math/big.
package dl

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"math/big"
	"sync"

	"filippo.io/bigmod"

	"github.com/perilune/perilune/engine/internal/ct"
)

// Sizes of the prime p in bits.
const (
	MinBits = 512
	MaxBits = 8192
)

// minOrder is the least length of q in bits (ANSI X9.42, section 7.1).
const minOrder = 160

var (
	// ErrGroup refuses numbers that are no group.
	ErrGroup = errors.New("dl: not a prime p, a prime q that divides p-1, and a g of order q")
	// ErrPublic refuses a public key that is not in its group, or too special.
	ErrPublic = errors.New("dl: not a public key of the group")
	// ErrPrivate refuses a private key that is out of range.
	ErrPrivate = errors.New("dl: not a private key of the group")
)

// Group is the subgroup that g generates in the integers modulo p. It has the
// prime order q, or an order that nobody has told: Q is nil then.
type Group struct {
	// P, Q and G are big-endian without leading zeros, and not to be changed.
	P, Q, G []byte

	p, q *bigmod.Modulus
	g    *bigmod.Nat
	// The same once more, for what is public.
	bp, bq, bg *big.Int

	safe func() bool // p = 2q' + 1 for a prime q'
}

// NewGroup checks a group. Groups that were good are remembered, because tests
// for primes take long. q may be empty.
func NewGroup(p, q, g []byte) (*Group, error) {
	p, q, g = trim(p), trim(q), trim(g)
	if len(p) > MaxBits/8 || len(q) > len(p) || len(g) > len(p) {
		return nil, ErrGroup
	}
	key := groupKey(p, q, g)
	if known := groups.get(key); known != nil {
		return known, nil
	}
	group, err := checkGroup(bytes.Clone(p), bytes.Clone(q), bytes.Clone(g)) // the caller may erase its own
	if err != nil {
		return nil, err
	}
	groups.put(key, group)
	return group, nil
}

// groupCache holds groups that were checked.
type groupCache struct {
	mu sync.Mutex
	m  map[[32]byte]*Group
}

var groups groupCache

// maxGroups bounds the cache. Few applications know more than one group.
const maxGroups = 64

func groupKey(numbers ...[]byte) (key [32]byte) {
	h := sha256.New()
	for _, n := range numbers {
		h.Write(binary.BigEndian.AppendUint32(nil, uint32(len(n))))
		h.Write(n)
	}
	h.Sum(key[:0])
	return key
}

func (c *groupCache) get(key [32]byte) *Group {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.m[key]
}

func (c *groupCache) put(key [32]byte, g *Group) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.m == nil || len(c.m) >= maxGroups {
		c.m = map[[32]byte]*Group{}
	}
	c.m[key] = g
}

var one = big.NewInt(1)

// checkGroup is FIPS 186-4, appendix A.1.1.3 and A.2.2, without the seed. The
// primes of the standard groups are not tested.
func checkGroup(p, q, g []byte) (*Group, error) {
	group := &Group{P: p, G: g, bp: new(big.Int).SetBytes(p), bg: new(big.Int).SetBytes(g)}
	if n := group.bp.BitLen(); n < MinBits || n > MaxBits || group.bp.Bit(0) == 0 {
		return nil, ErrGroup
	}
	if !group.inside(group.bg) {
		return nil, ErrGroup
	}
	if len(q) > 0 {
		group.Q, group.bq = q, new(big.Int).SetBytes(q)
		if err := group.checkOrder(); err != nil {
			return nil, err
		}
	}
	if !isNamed(group.bp) && !probablyPrime(group.bp) {
		return nil, ErrGroup
	}
	group.safe = sync.OnceValue(func() bool {
		return isNamed(group.bp) || probablyPrime(new(big.Int).Rsh(group.bp, 1))
	})
	return group, group.prepare()
}

// checkOrder checks that q is a prime and the order of g.
func (g *Group) checkOrder() error {
	rest := new(big.Int).Mod(new(big.Int).Sub(g.bp, one), g.bq)
	switch {
	case g.bq.BitLen() < minOrder, g.bq.Bit(0) == 0, g.bq.Cmp(g.bp) >= 0, rest.Sign() != 0:
		return ErrGroup
	case !probablyPrime(g.bq) && !isNamed(new(big.Int).Add(new(big.Int).Lsh(g.bq, 1), one)):
		return ErrGroup
	case new(big.Int).Exp(g.bg, g.bq, g.bp).Cmp(one) != 0:
		return ErrGroup
	}
	return nil
}

// inside reports whether 1 < x < p-1.
func (g *Group) inside(x *big.Int) bool {
	return x.Cmp(one) > 0 && new(big.Int).Add(x, one).Cmp(g.bp) < 0
}

func (g *Group) prepare() (err error) {
	if g.p, err = bigmod.NewModulus(g.P); err != nil {
		return ErrGroup
	}
	if g.g, err = bigmod.NewNat().SetBytes(g.G, g.p); err != nil {
		return ErrGroup
	}
	if g.Q == nil {
		return nil
	}
	if g.q, err = bigmod.NewModulus(g.Q); err != nil {
		return ErrGroup
	}
	return nil
}

// Bits is the length of p in bits, OrderBits that of q, 0 if it is not known.
func (g *Group) Bits() int { return g.bp.BitLen() }

// OrderBits is the length of q in bits, 0 if it is not known.
func (g *Group) OrderBits() int {
	if g.bq == nil {
		return 0
	}
	return g.bq.BitLen()
}

// CheckPublic checks a public key and returns it without leading zeros: 1 < y <
// p-1, and y is in the subgroup if its order is known (NIST SP 800-56A, section
// 5.6.2.3.1). Without the order, the check is all there is to do if p is a safe
// prime.
func (g *Group) CheckPublic(y []byte) ([]byte, error) {
	y = trim(y)
	if len(y) > len(g.P) {
		return nil, ErrPublic
	}
	n := new(big.Int).SetBytes(y)
	if !g.inside(n) || g.bq != nil && new(big.Int).Exp(n, g.bq, g.bp).Cmp(one) != 0 {
		return nil, ErrPublic
	}
	return y, nil
}

// CheckPrivate checks a private key and returns it at a length that tells
// little: that of q, or else a multiple of eight bytes.
func (g *Group) CheckPrivate(x []byte) ([]byte, error) {
	size, max := len(g.Q), g.q
	if g.Q == nil {
		// Of p-1 and greater ones there are too few to look for.
		x = trim(x)
		size, max = min((len(x)+7)/8*8, len(g.P)), g.p
	}
	for len(x) > size && ct.Reveal(x[0]) == 0 {
		x = x[1:]
	}
	if len(x) == 0 || len(x) > size {
		return nil, ErrPrivate
	}
	x = append(make([]byte, size-len(x), size), x...)
	if n, err := bigmod.NewNat().SetBytes(x, max); err != nil || isTrue(n.IsZero()) {
		return nil, ErrPrivate
	}
	return x, nil
}

// NewPrivate makes a private key: less than q (FIPS 186-4, appendix B.1.2), or
// if bits is not 0, or q is not known, of exactly so many bits (PKCS #3, section
// 7.1). For safe primes, bits 0 means a length that serves (NIST SP 800-56A,
// section 5.6.1.1.1).
func (g *Group) NewPrivate(random func([]byte) error, bits int) ([]byte, error) {
	if g.q != nil && bits == 0 {
		x, _, err := g.below(random)
		return x, err
	}
	if bits == 0 {
		bits = g.defaultBits()
	}
	x := make([]byte, (bits+7)/8)
	if err := random(x); err != nil {
		return nil, err
	}
	top := (bits - 1) % 8
	x[0] = x[0]&(1<<top-1) | 1<<top
	return g.CheckPrivate(x)
}

// defaultBits is twice the strength that p can give, for safe primes; all bits
// for others, of which nobody knows what small subgroups they have.
func (g *Group) defaultBits() int {
	n := g.Bits()
	if !g.safe() {
		return n - 1
	}
	switch {
	case n <= 2048:
		return min(256, n-1)
	case n <= 3072:
		return 320
	case n <= 4096:
		return 384
	}
	return 512
}

// below makes a random number from 1 to q-1.
func (g *Group) below(random func([]byte) error) ([]byte, *bigmod.Nat, error) {
	x := make([]byte, len(g.Q))
	for {
		if err := random(x); err != nil {
			return nil, nil, err
		}
		x[0] &= 0xff >> (8*len(g.Q) - g.OrderBits())
		if n, err := bigmod.NewNat().SetBytes(x, g.q); err == nil && !isTrue(n.IsZero()) {
			return x, n, nil
		}
	}
}

// Public is g^x, the public key of a private key from CheckPrivate or
// NewPrivate.
func (g *Group) Public(x []byte) []byte {
	y := g.exp(g.g, x).Bytes(g.p)
	ct.Public(y)
	return trim(y)
}

// exp is b^x mod p.
func (g *Group) exp(b *bigmod.Nat, x []byte) *bigmod.Nat { return bigmod.NewNat().Exp(b, x, g.p) }

// element is a number less than p, such as a public key that was checked.
func (g *Group) element(y []byte) (*bigmod.Nat, error) {
	n, err := bigmod.NewNat().SetBytes(trim(y), g.p)
	if err != nil {
		return nil, ErrPublic
	}
	return n, nil
}

// probablyPrime is for numbers that somebody may have chosen to deceive. Each
// round lets pass one in four of such, and there is none known that the Lucas
// test lets pass too.
func probablyPrime(n *big.Int) bool {
	switch bits := n.BitLen(); {
	case bits <= 512:
		return n.ProbablyPrime(32)
	case bits <= 2048:
		return n.ProbablyPrime(4)
	}
	return n.ProbablyPrime(1) // seconds, for the longest
}

// isTrue is for what is found of secrets and may show: that they do not serve.
func isTrue[T ~uint](x T) bool { return ct.Reveal(x) == 1 }

// trim removes leading zeros. The position of the first other byte shows, as
// it does in every encoding of the number.
func trim(b []byte) []byte {
	for len(b) > 0 && ct.Reveal(b[0]) == 0 {
		b = b[1:]
	}
	return b
}
