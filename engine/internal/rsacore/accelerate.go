package rsacore

import (
	"errors"
	"io"
	"sync"

	"github.com/perilune/perilune/engine/internal/adx"
	"github.com/perilune/perilune/engine/internal/ifma"
	"github.com/perilune/perilune/engine/internal/isa"
)

// path is a private operation for processors that have certain instructions, and
// publicPath a public one. Numbers are as long as the modulus.
type path interface{ Private(dst, src []byte) error }

type publicPath interface{ Power(dst, src []byte) error }

// vectors reports whether package ifma serves.
func vectors() bool { return isa.IFMA() && ifma.Supported() }

// accelerate prepares the key for what the processor does best, if it is of a size
// that is served there. Keys without a public exponent stay with what is portable:
// their results cannot be checked.
func (k *PrivateKey) accelerate(c *Numbers) {
	if k.PublicKey == nil || k.short == 0 {
		return
	}
	n, p, q := trim(c.N), trim(c.P), trim(c.Q)
	if vectors() {
		if fast, err := ifma.NewKey(&ifma.Numbers{N: n, P: p, Q: q, DP: c.DP, DQ: c.DQ, QInv: c.QInv, E: k.short}); err == nil {
			k.fast = fast
			return
		}
	}
	if adx.Supported() {
		if fast, err := adx.NewKey(&adx.Numbers{N: n, P: p, Q: q, DP: c.DP, DQ: c.DQ, QInv: c.QInv, E: k.short}); err == nil {
			k.fast = fast
		}
	}
}

// accelerate is that of the private key.
func (k *PublicKey) accelerate(n []byte) {
	if k.short == 0 {
		return
	}
	n = trim(n)
	if vectors() {
		if fast, err := ifma.NewPublic(n, k.short); err == nil {
			k.fast = fast
			return
		}
	}
	if adx.Supported() {
		if fast, err := adx.NewPublic(n, k.short); err == nil {
			k.fast = fast
		}
	}
}

// fastPrivate is Private.
func (k *PrivateKey) fastPrivate(dst, src []byte) error {
	return inPlace(dst, src, k.n.Size(), k.fast.Private)
}

// fastPublic is Public.
func (k *PublicKey) fastPublic(dst, src []byte) error {
	return inPlace(dst, src, k.n.Size(), k.fast.Power)
}

// inPlace has an operation work on numbers of other lengths than the
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
	case errors.Is(err, ifma.ErrRange), errors.Is(err, adx.ErrRange):
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
