package adx

import (
	"io"
	"sync"

	"github.com/perilune/perilune/engine/internal/ct"
)

// Testable reports whether numbers of so many bits can be tested.
func Testable(bits int) bool { return bits > minBits && bits <= blockBits*maxBlocks/2 }

// tester is the memory of a test of primes.
type tester struct {
	*modulus
	*powers
	minus    []uint64 // -1 in Montgomery's form
	exponent []byte
	base     []byte
}

var testers [maxBlocks/2 + 1]sync.Pool

func newTester(blocks int) *tester {
	return &tester{makeModulus(blocks), newPowers(blocks), make([]uint64, limbs*blocks),
		make([]byte, (blockBits*blocks+window-1)/window), make([]byte, blockBits/8*blocks)}
}

func (t *tester) clear() {
	t.powers.clear()
	for _, b := range [][]uint64{t.m, t.r, t.rr, t.minus} {
		clear(b)
	}
	clear(t.exponent)
	clear(t.base)
	t.k0 = 0
}

// MillerRabin makes so many rounds of the test of Miller and Rabin (FIPS 186-5,
// appendix B.3.1) for an odd number of so many bits, the highest of which is 1, with
// random bases. It reports whether w passed all.
func MillerRabin(w []byte, bits, rounds int, random io.Reader) (bool, error) {
	blocks := blocksFor(len(w))
	pool := &testers[blocks]
	t, ok := pool.Get().(*tester)
	if !ok {
		t = newTester(blocks)
	}
	defer pool.Put(t)
	defer t.clear()
	zeros := t.prepare(w, bits)
	for range rounds {
		if passed, err := t.round(len(w), bits, zeros, random); !passed || err != nil {
			return false, err
		}
	}
	return true, nil
}

// prepare finds the odd r and the zeros for which w - 1 = 2^zeros * r; how many
// zeros there are, shows.
func (t *tester) prepare(w []byte, bits int) (zeros int) {
	t.set(w, t.t)
	copy(t.minus, t.m)
	sub(t.minus, t.r, ^uint64(0))
	odd := t.x
	copy(odd, t.m)
	odd[0] &^= 1
	for ct.Reveal(odd[0]&1) == 0 {
		zeros++
		for i := range odd {
			odd[i] >>= 1
			if i+1 < len(odd) {
				odd[i] |= odd[i+1] << 63
			}
		}
	}
	join(t.base, odd)
	setWindows(t.exponent, t.base)
	return zeros
}

// round is one round with a random base.
func (t *tester) round(size, bits, zeros int, random io.Reader) (bool, error) {
	if err := t.randomBase(t.base[:size], bits, random); err != nil {
		return false, err
	}
	t.raise(t.powers, t.exponent[:(bits+window-1)/window])
	for i := range zeros {
		t.normalise(t.x, t.t)
		if ct.Reveal(equal(t.x, t.minus)) == 1 || i == 0 && ct.Reveal(equal(t.x, t.r)) == 1 {
			return true, nil
		}
		t.square(t.x, t.x, t.t, 1)
	}
	return false, nil
}

// randomBase draws a base other than 0, 1 and -1. That it is drawn in Montgomery's
// form makes no difference.
func (t *tester) randomBase(b []byte, bits int, random io.Reader) error {
	for {
		if _, err := io.ReadFull(random, b); err != nil {
			return err
		}
		b[0] &= 0xff >> (8*len(b) - bits)
		split(t.x, b)
		bad := isZero(t.x) | (1 ^ less(t.x, t.m)) | equal(t.x, t.r) | equal(t.x, t.minus)
		if ct.Reveal(bad) == 0 {
			return nil
		}
	}
}
