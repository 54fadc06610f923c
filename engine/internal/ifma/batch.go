package ifma

import (
	"math/bits"
	"sync"

	"github.com/perilune/perilune/engine/internal/ct"
)

// batch is how many private operations share a pass.
const batch = lanes / 2

// job is one private operation: what Private takes and returns.
type job struct {
	Key      *Key
	Dst, Src []byte
	Err      error
}

// together reports whether operations with two keys can share a pass.
func together(a, b *Key) bool { return a.class == b.class && a.check.e == b.check.e }

// many is the memory of a pass.
type many struct {
	*powers             // modulo the primes
	n          *group   // modulo the modulus
	base, back []uint64 // twice as long, for n
	c, m       [batch][]uint64
	u, v, w    []uint64
}

var manies [len(classes)]sync.Pool

func (c *class) newMany() *many {
	d := 10 * c.tiles
	w := &many{
		powers: newPowers(c.tiles), n: newGroup(2 * c.tiles),
		base: vectors(2 * d), back: vectors(2 * d),
		u: make([]uint64, d), v: make([]uint64, d), w: make([]uint64, d),
	}
	for i := range batch {
		w.c[i], w.m[i] = make([]uint64, 2*d), make([]uint64, 2*d)
	}
	return w
}

func (w *many) clear() {
	for _, b := range [][]uint64{w.x, w.y, w.table, w.index, w.base, w.back, w.u, w.v, w.w, w.t, w.group.m, w.group.k0, w.n.t} {
		clear(b)
	}
	for i := range batch {
		clear(w.c[i])
		clear(w.m[i])
	}
}

// privates carries out up to batch jobs, whose keys go together.
func privates(jobs []*job) {
	c := jobs[0].Key.class
	pool := &manies[c.index]
	w, ok := pool.Get().(*many)
	if !ok {
		w = c.newMany()
	}
	defer pool.Put(w)
	defer w.clear()
	for i := range batch {
		split(w.c[i], jobs[i%len(jobs)].Src)
		k := &keyOf(jobs, 2*i).batched
		w.setModulus(2*i, k.p)
		w.setModulus(2*i+1, k.q)
		w.n.setModulus(2*i, k.n)
		w.n.setModulus(2*i+1, k.n)
	}
	w.bases(jobs)
	w.combine(jobs)
	w.check(jobs)
	for i, j := range jobs {
		again := w.table[:len(w.m[i])]
		w.n.get(again, w.back, 2*i)
		subtract(again, j.Key.batched.n.m)
		switch {
		case ct.Reveal(j.Key.check.below(w.c[i])) != 1:
			j.Err = ErrRange
		case ct.Reveal(equal(again, w.c[i])) != 1:
			j.Err = ErrFault
		default:
			j.Err = nil
			join(j.Dst, w.m[i])
		}
	}
}

// prime is the modulus of a lane.
func prime(jobs []*job, l int) *modulus {
	if l%2 == 0 {
		return keyOf(jobs, l).batched.p
	}
	return keyOf(jobs, l).batched.q
}

// keyOf is the key of a lane: lanes without one repeat others.
func keyOf(jobs []*job, l int) *Key {
	return jobs[l/2%len(jobs)].Key
}

// bases raises what is to be decrypted to the exponents.
func (w *many) bases(jobs []*job) {
	g, d := w.group, len(w.u)
	// The base is lo + R*hi; in Montgomery's form, R*lo + R^2*hi.
	hi, r := w.table, w.table[lanes*d:]
	for l := range lanes {
		m := prime(jobs, l)
		g.set(w.x, l, w.c[l/2][:d])
		g.set(hi, l, w.c[l/2][d:])
		g.set(w.y, l, m.rr)
		g.set(r, l, m.rrr)
	}
	g.mul(w.x, w.x, w.y)
	g.mul(hi, hi, r)
	g.add(w.x, hi[:lanes*d])
	var exponents [lanes][]byte
	for l := range lanes {
		g.set(w.entry(0), l, prime(jobs, l).r)
		k := &keyOf(jobs, l).batched
		if exponents[l] = k.dp; l%2 == 1 {
			exponents[l] = k.dq
		}
	}
	w.raise(&exponents)
}

// combine leaves in m of each job the number that x is modulo its primes.
func (w *many) combine(jobs []*job) {
	g := w.group
	clear(w.y)
	for l := range lanes {
		w.y[l] = 1
	}
	g.mul(w.x, w.x, w.y)
	one := w.table[:len(w.y)]
	copy(one, w.y)
	for i := range batch {
		k := keyOf(jobs, 2*i)
		g.get(w.v, w.x, 2*i+1)
		subtract(w.v, k.batched.q.m)
		g.set(w.x, 2*i+1, w.v)
		clear(w.m[i])
		copy(w.m[i], w.v)
		g.setModulus(2*i+1, k.batched.p)
		g.set(w.y, 2*i, k.batched.qInv)
		g.set(w.y, 2*i+1, k.batched.qInv)
	}
	g.mul(w.x, w.x, w.y)
	for i := range batch {
		k := &keyOf(jobs, 2*i).batched
		g.get(w.u, w.x, 2*i)
		g.get(w.v, w.x, 2*i+1)
		difference(w.w, w.u, w.v, k.p.m)
		g.set(w.x, 2*i, w.w)
	}
	g.mul(w.x, w.x, one)
	for i := range batch {
		k := &keyOf(jobs, 2*i).batched
		g.get(w.u, w.x, 2*i)
		subtract(w.u, k.p.m)
		addProduct(w.m[i], w.u, k.q.m)
	}
}

// check raises the results to the public exponent again.
func (w *many) check(jobs []*job) {
	n := w.n
	for l := range lanes {
		n.set(w.base, l, w.m[l/2])
		n.set(w.back, l, keyOf(jobs, l).batched.n.rr)
	}
	n.mul(w.back, w.base, w.back)
	e := jobs[0].Key.check.e
	first := w.table[:len(w.back)]
	copy(first, w.back)
	for i := bits.Len(e) - 2; i >= 0; i-- {
		n.square(w.back, w.back)
		switch {
		case i == 0:
			n.mul(w.back, w.back, w.base)
		case e>>i&1 == 1:
			n.mul(w.back, w.back, first)
		}
	}
}
