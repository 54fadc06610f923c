package ifma

import (
	"sync"

	"github.com/perilune/perilune/engine/internal/ct"
)

// lone is the memory of one private operation.
type lone struct {
	lo, hi, x    []uint64
	table, index []uint64
	c, m, back   []uint64 // as long as the modulus
	u, v, w      []uint64 // as long as a prime
}

var lones [len(classes)]sync.Pool

func (k *Key) newLone() *lone {
	n, digits := k.width, k.width*lanes/2
	return &lone{
		lo: vectors(n), hi: vectors(n), x: vectors(n), table: vectors(1 << pairWindow * n), index: vectors(1),
		c: make([]uint64, 2*digits), m: make([]uint64, 2*digits), back: make([]uint64, 2*digits),
		u: make([]uint64, digits), v: make([]uint64, digits), w: make([]uint64, digits),
	}
}

// clear wipes what depends on the key.
func (w *lone) clear() {
	for _, b := range [][]uint64{w.lo, w.hi, w.x, w.table, w.index, w.c, w.m, w.back, w.u, w.v, w.w} {
		clear(b)
	}
}

// single is Private for a lone operation.
func (k *Key) single(dst, src []byte) error {
	pool := &lones[k.class.index]
	w, ok := pool.Get().(*lone)
	if !ok {
		w = k.newLone()
	}
	defer pool.Put(w)
	defer w.clear()
	split(w.c, src)
	if ct.Reveal(k.check.below(w.c)) != 1 {
		return ErrRange
	}
	k.power(w)
	k.combine(w)
	k.check.power(w.back, w.m, w.lo, w.hi)
	if ct.Reveal(equal(w.back, w.c)) != 1 {
		return ErrFault
	}
	join(dst, w.m)
	return nil
}

// power leaves the base to dp and dq in x.
func (k *Key) power(w *lone) {
	s, two := &k.alone, &k.alone.pq
	digits := len(w.u)
	for g := range 2 {
		two.set(w.lo, g, w.c[:digits])
		two.set(w.hi, g, w.c[digits:])
	}
	// The base is lo + R*hi; in Montgomery's form, R*lo + R^2*hi.
	two.mul(w.x, w.lo, s.rr)
	two.mul(w.hi, w.hi, s.rrr)
	two.add(w.x, w.hi)
	entry := func(i int) []uint64 { return w.table[i*lanes*k.width:][:lanes*k.width] }
	copy(entry(0), s.r)
	copy(entry(1), w.x)
	for i := 2; i < 1<<pairWindow; i++ {
		two.mul(entry(i), entry(i-1), w.x)
	}
	for i := range s.dp {
		for l := range lanes / 2 {
			w.index[l], w.index[lanes/2+l] = uint64(s.dp[len(s.dp)-1-i]), uint64(s.dq[len(s.dq)-1-i])
		}
		k.pick(&w.lo[0], &w.table[0], &w.index[0], k.width, 1<<pairWindow)
		if i == 0 {
			copy(w.x, w.lo)
			continue
		}
		two.square(w.x, pairWindow)
		two.mul(w.x, w.x, w.lo)
	}
}

// combine leaves in m the number that is what x is modulo p and modulo q:
// q * ((mp - mq) / q mod p) + mq.
func (k *Key) combine(w *lone) {
	s, two := &k.alone, &k.alone.pq
	one := w.u
	clear(one)
	one[0] = 1
	two.set(w.lo, 0, one)
	two.set(w.lo, 1, one)
	two.mul(w.x, w.x, w.lo)
	two.get(w.u, w.x, 0)
	two.get(w.v, w.x, 1)
	subtract(w.v, k.q)
	clear(w.m)
	copy(w.m, w.v)

	two.set(w.x, 0, w.u)
	two.set(w.x, 1, w.v)
	s.pp.mul(w.x, w.x, s.qInv)
	two.get(w.u, w.x, 0)
	two.get(w.v, w.x, 1)
	difference(w.w, w.u, w.v, k.p)
	two.set(w.x, 0, w.w)
	s.pp.mul(w.x, w.x, w.lo)
	two.get(w.u, w.x, 0)
	subtract(w.u, k.p)
	addProduct(w.m, w.u, k.q)
}
