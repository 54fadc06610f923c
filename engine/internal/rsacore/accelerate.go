package rsacore

import (
	"errors"
	"io"
	"sync"

	"github.com/perilune/perilune/engine/internal/ifma"
)

// accelerate prepares the key for the vectors of the processor, if it has them
// and the key is of a size that they serve. Keys without a public exponent stay
// with what is portable: their results cannot be checked.
func (k *PrivateKey) accelerate(c *Numbers) {
	if k.PublicKey == nil || k.short == 0 || !ifma.Supported() {
		return
	}
	k.vectors, _ = ifma.NewKey(&ifma.Numbers{N: trim(c.N), P: trim(c.P), Q: trim(c.Q), DP: c.DP, DQ: c.DQ, QInv: c.QInv, E: k.short})
}

// accelerate is that of the private key.
func (k *PublicKey) accelerate(n []byte) {
	if k.short != 0 && ifma.Supported() {
		k.vectors, _ = ifma.NewPublic(trim(n), k.short)
	}
}

// vectorPrivate is Private.
func (k *PrivateKey) vectorPrivate(dst, src []byte) error {
	return inPlace(dst, src, k.n.Size(), k.vectors.Private)
}

// vectorPublic is Public.
func (k *PublicKey) vectorPublic(dst, src []byte) error {
	return inPlace(dst, src, k.n.Size(), k.vectors.Power)
}

// inPlace has an operation of vectors work on numbers of other lengths than the
// modulus.
func inPlace(dst, src []byte, size int, operation func(dst, src []byte) error) error {
	b := widened.Get().(*[MaxBits / 8]byte)
	defer widened.Put(b)
	defer clear(b[:])
	if len(src) > size {
		src = trim(src)
	}
	if len(src) > size {
		return ErrRange
	}
	x := b[:size]
	copy(x[size-len(src):], src)
	switch err := operation(x, x); {
	case errors.Is(err, ifma.ErrRange):
		return ErrRange
	case err != nil:
		return ErrFault
	}
	clear(dst)
	copy(dst[max(0, len(dst)-size):], x[max(0, size-len(dst)):])
	return nil
}

// together is oneByOne for as many numbers as the vectors have lanes: a first test
// sorts out nearly all that are composite, and one that remains is tested as often as
// any other.
func together(size int, e []byte, random io.Reader) ([]byte, error) {
	var list [ifma.Candidates][]byte
	for i := range list {
		var err error
		if list[i], err = candidate(size, random); err != nil {
			return nil, err
		}
	}
	for i, composite := range ifma.Fermat(&list, size) {
		if composite {
			continue
		}
		ok, err := ifma.MillerRabin(list[i], size, rounds(size), random)
		if err != nil {
			return nil, err
		}
		if ok && coprimeMinusOne(list[i], e) {
			return list[i], nil
		}
	}
	return nil, nil
}

var widened = sync.Pool{New: func() any { return new([MaxBits / 8]byte) }}
