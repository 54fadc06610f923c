package ifma

import (
	"math/bits"
	"sync"

	"github.com/perilune/perilune/engine/internal/ct"
)

// Public is a modulus with a public exponent, ready for use by many at once.
type Public struct {
	one residues
	n   *modulus
	rr  []uint64
	e   uint
}

// NewPublic prepares a modulus of at most 4096 bits and an odd exponent of 3 or
// more.
func NewPublic(n []byte, e uint) (*Public, error) {
	c := classFor((8*len(n) + 1) / 2)
	if c == nil {
		return nil, ErrSize
	}
	return c.newPublic(n, e)
}

// newPublic is NewPublic with the digits of a class. The check of a private key has
// those of the key, which may be more than its modulus needs: primes need not be of
// one length.
func (c *class) newPublic(n []byte, e uint) (*Public, error) {
	digits := lanes * c.width
	m, err := newModulus(n, digits)
	if err != nil {
		return nil, err
	}
	k := &Public{one: c.residues(m), n: m, e: e}
	k.rr = k.one.twoTo(2*digitBits*digits, k.one.lay(m.r))
	return k, nil
}

// below returns 1 if x is less than the modulus, else 0.
func (k *Public) below(x []uint64) uint64 { return less(x, k.n.m[:len(x)]) }

// spare is the memory of a public operation.
type spare struct{ x, z, a, b []uint64 }

var spares [len(classes)]sync.Pool

// clear wipes what may be a secret: what is encrypted.
func (w *spare) clear() {
	for _, b := range [][]uint64{w.x, w.z, w.a, w.b} {
		clear(b)
	}
}

// Power sets dst to src^e mod n. src is less than n, else ErrRange is returned and
// dst unchanged; both have its length.
func (k *Public) Power(dst, src []byte) error {
	pool := &spares[k.one.class.index]
	w, ok := pool.Get().(*spare)
	if !ok {
		n := lanes * k.one.width
		w = &spare{make([]uint64, n), make([]uint64, n), vectors(k.one.width), vectors(k.one.width)}
	}
	defer pool.Put(w)
	defer w.clear()
	split(w.x, src)
	if ct.Reveal(k.below(w.x)) != 1 {
		return ErrRange
	}
	k.power(w.z, w.x, w.a, w.b)
	join(dst, w.z)
	return nil
}

// power sets z to x^e mod n, in digits. a and b are scratch of width vectors.
func (k *Public) power(z, x, a, b []uint64) {
	one := &k.one
	one.set(b, 0, x)
	one.mul(a, b, k.rr)
	z = z[:len(x)]
	top := bits.Len(k.e) - 1
	if k.e != 65537 {
		c := b // the base in Montgomery form stays
		copy(c, a)
		for i := top - 1; i > 0; i-- {
			one.square(a, 1)
			if k.e>>i&1 == 1 {
				one.mul(a, a, c)
			}
		}
		one.square(a, 1)
		one.set(b, 0, x)
	} else {
		one.square(a, top)
	}
	one.mul(a, a, b) // by the base as it is: out of Montgomery's form
	one.get(z, a, 0)
	subtract(z, k.n.m[:len(z)])
}
