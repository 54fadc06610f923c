package rsacore

import (
	"io"
	"sync"

	"filippo.io/bigmod"
)

// Base blinding (Kocher 1996, section 10): the private operation works on the input
// times r^e and its result is divided by r. Nothing of this package depends on the
// input anyway; this is for those who want both.

// blinder holds the next pair of factors.
type blinder struct {
	mu       sync.Mutex
	in, out  *bigmod.Nat // r^e and 1/r
	usesLeft int
}

// blindings is how often a pair is squared, which makes another one, before a new
// random one is made.
const blindings = 256

// Blinded is Private, blinded by random numbers.
func (k *PrivateKey) Blinded(dst, src []byte, random io.Reader) error {
	x, err := bigmod.NewNat().SetBytes(src, k.n)
	if err != nil {
		return ErrRange
	}
	in, out, err := k.factors(random)
	if err != nil {
		return err
	}
	b := make([]byte, k.n.Size())
	defer clear(b)
	fill(b, x.Mul(in, k.n))
	if err := k.Private(b, b); err != nil {
		return err
	}
	if x, err = x.SetBytes(b, k.n); err != nil {
		return ErrFault
	}
	fill(dst, x.Mul(out, k.n))
	return nil
}

// factors returns the factor for an input and the one for its result.
func (k *PrivateKey) factors(random io.Reader) (in, out *bigmod.Nat, err error) {
	b := &k.blinder
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.usesLeft == 0 {
		if err := k.newFactors(b, random); err != nil {
			return nil, nil, err
		}
		b.usesLeft = blindings
	}
	b.usesLeft--
	in, out = bigmod.NewNat().Mod(b.in, k.n), bigmod.NewNat().Mod(b.out, k.n)
	b.in.Mul(in, k.n)
	b.out.Mul(out, k.n)
	return in, out, nil
}

// newFactors takes a random r^e for which the private operation finds r. Its inverse
// is found in variable time, but of r times another random number.
func (k *PrivateKey) newFactors(b *blinder, random io.Reader) error {
	for {
		in, err := randomNat(k.n, random)
		if err != nil {
			return err
		}
		mask, err := randomNat(k.n, random)
		if err != nil {
			return err
		}
		r := toBytes(in, k.n)
		err = k.Private(r, r)
		out, _ := bigmod.NewNat().SetBytes(r, k.n)
		clear(r)
		if err != nil {
			return err
		}
		inverse, ok := bigmod.NewNat().InverseVarTime(out.Mul(mask, k.n), k.n)
		if ok { // else the numbers have a factor with n in common: never
			b.in, b.out = in, inverse.Mul(mask, k.n)
			return nil
		}
	}
}

// randomNat returns a random number less than m, not 0.
func randomNat(m *bigmod.Modulus, random io.Reader) (*bigmod.Nat, error) {
	b := make([]byte, m.Size())
	defer clear(b)
	for {
		if _, err := io.ReadFull(random, b); err != nil {
			return nil, err
		}
		b[0] &= 0xff >> (8*len(b) - m.BitLen())
		if x, err := bigmod.NewNat().SetBytes(b, m); err == nil && x.IsZero() == 0 {
			return x, nil
		}
	}
}
