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
// random bases. It reports whether w passed all. A test of Fermat with base 2, which is
// faster, sorts nearly all composite numbers out before.
func MillerRabin(w []byte, bits, rounds int, random io.Reader) (bool, error) {
	blocks := blocksFor(len(w))
	pool := &testers[blocks]
	t, ok := pool.Get().(*tester)
	if !ok {
		t = newTester(blocks)
	}
	defer pool.Put(t)
	defer t.clear()
	t.set(w, t.t)
	if !t.fermat(bits) {
		return false, nil
	}
	zeros := t.prepare(bits)
	for range rounds {
		if passed, err := t.round(len(w), bits, zeros, random); !passed || err != nil {
			return false, err
		}
	}
	return true, nil
}

// fermat reports whether 2^(w-1) = 1 mod w. A window is five squarings and a shift to
// the left, which costs a division by 2^64. That is 4^32: x is four times what it
// should be before each window, and after each but the last.
func (t *tester) fermat(bits int) bool {
	even := t.y
	copy(even, t.m)
	even[0] &^= 1
	exponent := t.windows(even, bits)
	copy(t.x, t.r)
	double(t.x, t.m)
	double(t.x, t.m)
	for i := len(exponent) - 1; i >= 0; i-- {
		t.square(t.x, t.x, t.t, window)
		by := uint64(exponent[i])
		if i > 0 {
			by += 2
		}
		t.shift(t.x, by)
	}
	t.normalise(t.x, t.t)
	return ct.Reveal(equal(t.x, t.r)) == 1
}

// windows has the windows of an exponent of so many bits.
func (t *tester) windows(e []uint64, bits int) []byte {
	join(t.base, e)
	w := t.exponent[:(bits+window-1)/window]
	setWindows(w, t.base)
	return w
}

// prepare finds the odd r and the zeros for which w - 1 = 2^zeros * r; how many
// zeros there are, shows.
func (t *tester) prepare(bits int) (zeros int) {
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
	t.windows(odd, bits)
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
