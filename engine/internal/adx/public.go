package adx

import (
	"math/bits"
	"sync"

	"github.com/perilune/perilune/engine/internal/ct"
)

// Public is a modulus with a public exponent, ready for use by many at once.
type Public struct {
	n *modulus
	e uint
}

// NewPublic prepares a modulus and an odd exponent of 3 or more.
func NewPublic(n []byte, e uint) (*Public, error) { return newPublic(n, e, blocksFor(len(n))) }

func newPublic(n []byte, e uint, blocks int) (*Public, error) {
	if 8*len(n) <= minBits || blocks > maxBlocks {
		return nil, ErrSize
	}
	m, err := newModulus(n, blocks)
	if err != nil {
		return nil, err
	}
	return &Public{m, e}, nil
}

// spare is the memory of a public operation.
type spare struct{ x, z, base, t []uint64 }

var spares [maxBlocks + 1]sync.Pool

// clear wipes what may be a secret: what is encrypted.
func (w *spare) clear() {
	clear(w.x)
	clear(w.z)
	clear(w.base)
	clear(w.t)
}

// Power sets dst to src^e mod n. src is less than n, else ErrRange is returned and
// dst unchanged; both have its length.
func (k *Public) Power(dst, src []byte) error {
	pool := &spares[k.n.blocks]
	w, ok := pool.Get().(*spare)
	if !ok {
		w = &spare{k.n.number(1), k.n.number(1), k.n.number(1), k.n.number(2)}
	}
	defer pool.Put(w)
	defer w.clear()
	split(w.x, src)
	if ct.Reveal(less(w.x, k.n.m)) != 1 {
		return ErrRange
	}
	k.power(w.z, w.x, w.base, w.t)
	join(dst, w.z)
	return nil
}

// atOnce is how many squarings are made without a chance for Go to stop them.
const atOnce = 4

// power sets z to x^e mod n, for x below n. base is scratch of that length, t of twice
// it.
func (k *Public) power(z, x, base, t []uint64) {
	n := k.n
	n.multiply(base, x, n.rr, t)
	copy(z, base)
	squares := 0
	for i := bits.Len(k.e) - 2; i >= 0; i-- {
		squares++
		one := k.e>>i&1 == 1
		if one || squares == atOnce {
			n.square(z, z, t, squares)
			squares = 0
		}
		switch {
		case i == 0:
			n.multiply(z, z, x, t) // by the base as it is: out of Montgomery's form
		case one:
			n.multiply(z, z, base, t)
		}
	}
	once(z, n.m, 0)
}
