package ifma

import (
	"io"
	"sync"

	"github.com/perilune/perilune/engine/internal/ct"
)

// Candidates is how many numbers are tested at once.
const Candidates = lanes

// tester is the memory of a test of primes.
type tester struct {
	*powers
	m, r, u   [lanes][]uint64 // moduli; 1 in Montgomery's form; scratch
	exponents [lanes][]byte
}

var testers [len(classes)]sync.Pool

// Testable reports whether numbers of so many bits can be tested.
func Testable(bits int) bool { return bits > minBits && classFor(bits) != nil }

func withTester(bits int, do func(*tester)) {
	c := classFor(bits)
	pool := &testers[c.index]
	t, ok := pool.Get().(*tester)
	if !ok {
		t = &tester{powers: newPowers(c.tiles)}
		for l := range lanes {
			t.m[l], t.r[l], t.u[l] = make([]uint64, 10*c.tiles), make([]uint64, 10*c.tiles), make([]uint64, 10*c.tiles)
		}
	}
	defer pool.Put(t)
	defer t.clear()
	do(t)
}

func (t *tester) clear() {
	for _, b := range [][]uint64{t.x, t.y, t.table, t.index, t.group.m, t.group.k0, t.t} {
		clear(b)
	}
	for l := range lanes {
		clear(t.m[l])
		clear(t.r[l])
		clear(t.u[l])
		clear(t.exponents[l])
	}
}

// setCandidate gives lane l an odd modulus of so many bits, the highest of which
// is 1.
func (t *tester) setCandidate(l int, w []byte, bits int) {
	m, r := t.m[l], t.r[l]
	split(m, w)
	t.set(t.group.m, l, m)
	t.k0[l] = negativeInverse(m[0])
	// 2^bits - m is less than m; doubled until it is R mod m.
	clear(r)
	r[bits/digitBits] = 1 << (bits % digitBits)
	sub(r, m)
	for range digitBits*len(m) - bits {
		double(r, m)
	}
}

// Fermat tells which of the odd numbers of so many bits, the highest of which is
// 1, are composite for certain: those for which 2^(w-1) is not 1 modulo w.
func Fermat(candidates *[Candidates][]byte, bits int) (composite [Candidates]bool) {
	withTester(bits, func(t *tester) {
		for l, w := range candidates {
			t.setCandidate(l, w, bits)
			copy(t.u[l], t.r[l])
			double(t.u[l], t.m[l])
			t.set(t.entry(0), l, t.r[l])
			t.set(t.x, l, t.u[l])
			t.exponents[l] = windows(w, bits, laneWindow)
			t.exponents[l][0] &^= 1 // w - 1
		}
		t.raise(&t.exponents)
		for l := range lanes {
			t.get(t.u[l], t.x, l)
			subtract(t.u[l], t.m[l])
			composite[l] = ct.Reveal(equal(t.u[l], t.r[l])) != 1
		}
	})
	return composite
}

// MillerRabin makes so many rounds or more, a multiple of eight, of the test of
// Miller and Rabin (FIPS 186-5, appendix B.3.1) for an odd number of so many bits,
// the highest of which is 1, with random bases. It reports whether w passed all.
func MillerRabin(w []byte, bits, rounds int, random io.Reader) (prime bool, err error) {
	prime = true
	withTester(bits, func(t *tester) {
		for done := 0; done < rounds && prime && err == nil; done += lanes {
			prime, err = t.round(w, bits, random)
		}
	})
	return prime && err == nil, err
}

func (t *tester) round(w []byte, bits int, random io.Reader) (bool, error) {
	minus := make([]uint64, len(t.u[0])) // -1 in Montgomery's form
	defer clear(minus)
	odd, zeros := oddPart(w)
	defer clear(odd)
	for l := range lanes {
		t.setCandidate(l, w, bits)
		if l == 0 {
			copy(minus, t.m[0])
			sub(minus, t.r[0])
		}
		if err := t.randomBase(l, w, minus, bits, random); err != nil {
			return false, err
		}
		t.set(t.entry(0), l, t.r[l])
		t.exponents[l] = windows(odd, bits, laneWindow)
	}
	t.raise(&t.exponents)
	var passed [lanes]bool
	for i := range zeros {
		all := true
		for l := range lanes {
			t.get(t.u[l], t.x, l)
			subtract(t.u[l], t.m[l])
			passed[l] = passed[l] || ct.Reveal(equal(t.u[l], minus)) == 1 || i == 0 && ct.Reveal(equal(t.u[l], t.r[l])) == 1
			all = all && passed[l]
		}
		if all {
			return true, nil
		}
		t.square(t.x, t.x)
	}
	return false, nil
}

// randomBase gives lane l a random base other than 0, 1 and -1. That it is drawn in
// Montgomery's form makes no difference.
func (t *tester) randomBase(l int, w []byte, minus []uint64, bits int, random io.Reader) error {
	b := make([]byte, len(w))
	defer clear(b)
	for {
		if _, err := io.ReadFull(random, b); err != nil {
			return err
		}
		b[0] &= 0xff >> (8*len(b) - bits)
		u := t.u[l]
		split(u, b)
		var any uint64
		for _, d := range u {
			any |= d
		}
		if ct.Reveal(any) != 0 && ct.Reveal(less(u, t.m[l])) == 1 && ct.Reveal(equal(u, t.r[l])) != 1 && ct.Reveal(equal(u, minus)) != 1 {
			t.set(t.x, l, u)
			return nil
		}
	}
}

// oddPart returns the odd r and the z for which w - 1 = 2^z * r; z shows.
func oddPart(w []byte) (r []byte, z int) {
	r = append([]byte(nil), w...)
	r[len(r)-1] &^= 1
	for bit := 0; ct.Reveal(r[len(r)-1-bit/8]>>(bit%8)&1) == 0; bit++ {
		z++
	}
	for range z {
		var carry byte
		for i, v := range r {
			r[i], carry = v>>1|carry<<7, v&1
		}
	}
	return r, z
}
