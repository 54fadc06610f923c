package adx

import (
	"sync"

	"github.com/perilune/perilune/engine/internal/ct"
)

// Numbers are the components of a private key, big-endian, all there and
// consistent with each other.
type Numbers struct {
	N, P, Q, DP, DQ, QInv []byte
	E                     uint
}

// Key is a private key with two primes, ready for use by many at once.
type Key struct {
	p, q        *modulus // of as many blocks as the longer one has
	rrrP, rrrQ  []uint64 // R^3 modulo p and q
	dp, dq      []byte   // windows of the exponents
	qInv, qInvR []uint64 // 1/q mod p, and that in Montgomery's form
	check       *Public  // of twice as many blocks
}

// NewKey prepares a key.
func NewKey(c *Numbers) (k *Key, err error) {
	length := max(len(c.P), len(c.Q))
	blocks := blocksFor(length)
	if 8*length <= minBits || 2*blocks > maxBlocks {
		return nil, ErrSize
	}
	k = &Key{dp: windows(c.DP, 8*length), dq: windows(c.DQ, 8*length)}
	if k.p, err = newModulus(c.P, blocks); err != nil {
		return nil, err
	}
	if k.q, err = newModulus(c.Q, blocks); err != nil {
		return nil, err
	}
	k.prepare(c.QInv)
	k.check, err = newPublic(c.N, c.E, 2*blocks)
	return k, err
}

func (k *Key) prepare(qInv []byte) {
	t := k.p.number(2)
	cube := func(m *modulus) []uint64 {
		z := m.number(1)
		m.square(z, m.rr, t, 1)
		m.normalise(z, t)
		return z
	}
	k.rrrP, k.rrrQ = cube(k.p), cube(k.q)
	k.qInv, k.qInvR = k.p.number(1), k.p.number(1)
	split(k.qInv, qInv)
	k.p.multiply(k.qInvR, k.qInv, k.p.rr, t)
	once(k.qInvR, k.p.m, 0)
	clear(t)
}

// work is the memory of one private operation.
type work struct {
	*powers
	first            []uint64 // as long as a prime
	c, m, back, base []uint64 // as long as the modulus
	t                []uint64 // twice as long
}

var works [maxBlocks/2 + 1]sync.Pool

func (k *Key) newWork() *work {
	return &work{
		powers: newPowers(k.p.blocks), first: k.p.number(1),
		c: k.p.number(2), m: k.p.number(2), back: k.p.number(2), base: k.p.number(2), t: k.p.number(4),
	}
}

// clear wipes what depends on the key.
func (w *work) clear() {
	w.powers.clear()
	for _, b := range [][]uint64{w.first, w.c, w.m, w.back, w.base, w.t} {
		clear(b)
	}
}

// Private sets dst to src^d mod n. src is less than n; both have its length. It
// returns ErrRange if src is not, and ErrFault if the result did not stand its check;
// dst is then unchanged.
func (k *Key) Private(dst, src []byte) error {
	pool := &works[k.p.blocks]
	w, ok := pool.Get().(*work)
	if !ok {
		w = k.newWork()
	}
	defer pool.Put(w)
	defer w.clear()
	split(w.c, src)
	if ct.Reveal(less(w.c, k.check.n.m)) != 1 {
		return ErrRange
	}
	k.power(w)
	k.check.power(w.back, w.m, w.base, w.t)
	if ct.Reveal(equal(w.back, w.c)) != 1 {
		return ErrFault
	}
	join(dst, w.m)
	return nil
}

// power leaves c^d mod n in m. Garner: with a and b for c^d modulo p and q, that is
// q * ((a - b) / q mod p) + b.
func (k *Key) power(w *work) {
	p, t := k.p, w.powers.t
	k.half(w, p, k.rrrP, k.dp)
	p.multiply(w.first, w.x, k.qInv, t) // a/q, out of Montgomery's form
	once(w.first, p.m, 0)

	k.half(w, k.q, k.rrrQ, k.dq)
	k.q.plain(w.x, t)
	clear(w.m)
	copy(w.m, w.x)
	p.multiply(w.y, w.x, k.qInvR, t) // b/q
	once(w.y, p.m, 0)

	add(w.first, p.m, -sub(w.first, w.y, ^uint64(0)))
	addProduct(w.m, w.first, k.q.m)
}

// half leaves c^d modulo a prime in x, in Montgomery's form.
func (k *Key) half(w *work, m *modulus, rrr []uint64, d []byte) {
	t := w.powers.t
	copy(t, w.c)
	m.reduce(w.x, t) // c/R
	m.multiply(w.x, w.x, rrr, t)
	m.raise(w.powers, d)
}
