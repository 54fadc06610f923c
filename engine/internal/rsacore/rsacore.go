// Package rsacore is RSA without paddings: the public and the private
// operation, completion of imported keys and key generation.
//
// The private operation is constant-time (over filippo.io/bigmod, or packages
// ifma or adx where the processor has their instructions), uses the Chinese remainder theorem where the primes are known, and is checked with
// the public operation before its result leaves this package, so that a
// computation gone wrong does not give a prime away. It needs no blinding,
// for neither its run time nor its memory accesses depend on the input; who wants it
// all the same finds it in Blinded.
package rsacore

import (
	"bytes"
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"math/bits"

	"filippo.io/bigmod"

	"github.com/perilune/perilune/engine/internal/ct"
)

// MaxBits bounds the modulus: beyond it one operation takes seconds, and a
// caller could keep a processor busy with a few calls.
const MaxBits = 8192

// Errors of this package.
var (
	ErrKey   = errors.New("rsacore: inconsistent key")
	ErrRange = errors.New("rsacore: value not below the modulus")
	ErrFault = errors.New("rsacore: private operation failed its check")
)

// Numbers are the components of a key, big-endian. A private key has N and D;
// E and the rest, all or none, may be missing.
type Numbers struct {
	N, E, D, P, Q, DP, DQ, QInv []byte
}

// PublicKey is a key ready for the public operation.
type PublicKey struct {
	n     *bigmod.Modulus
	e     []byte     // without leading zeros
	short uint       // e if it fits, else 0
	fast  publicPath // nil where the processor or the size does not allow it
}

// NewPublicKey checks that n is odd and of a reasonable size, and that e is
// odd, at least 3 and less than n.
func NewPublicKey(n, e []byte) (*PublicKey, error) {
	mod, err := newModulus(n)
	if err != nil {
		return nil, err
	}
	e = trim(e)
	if len(e) == 0 || e[len(e)-1]&1 == 0 || len(e) == 1 && e[0] < 3 {
		return nil, ErrKey
	}
	if _, err := bigmod.NewNat().SetBytes(e, mod); err != nil {
		return nil, ErrKey
	}
	k := &PublicKey{n: mod, e: bytes.Clone(e)}
	if len(e) <= bits.UintSize/8 {
		k.short = uint(binary.BigEndian.Uint64(append(make([]byte, 8-len(e), 8), e...)))
	}
	k.accelerate(n)
	return k, nil
}

// newModulus makes a modulus of an odd number of at most MaxBits bits. Below
// nine bits there is no room for two primes. That it is odd, and its length, may
// show of a secret one.
func newModulus(n []byte) (*bigmod.Modulus, error) {
	n = trim(n)
	if len(n) < 2 || len(n) > MaxBits/8 || ct.Reveal(n[len(n)-1]&1) == 0 {
		return nil, ErrKey
	}
	return bigmod.NewModulus(n)
}

// Size is the length of the modulus in bytes.
func (k *PublicKey) Size() int { return k.n.Size() }

// Bits is the length of the modulus in bits.
func (k *PublicKey) Bits() int { return k.n.BitLen() }

// Public sets dst, which has the size of the modulus, to src^e mod n. src may
// be shorter than the modulus; dst and src may be the same.
func (k *PublicKey) Public(dst, src []byte) error {
	if k.fast != nil {
		return k.fastPublic(dst, src)
	}
	x, err := bigmod.NewNat().SetBytes(src, k.n)
	if err != nil {
		return ErrRange
	}
	fill(dst, k.power(x))
	return nil
}

func (k *PublicKey) power(x *bigmod.Nat) *bigmod.Nat {
	if k.short != 0 {
		return bigmod.NewNat().ExpShortVarTime(x, k.short, k.n)
	}
	return bigmod.NewNat().Exp(x, k.e, k.n)
}

// Negative returns n - x, in the length of the modulus. x is less than n and has
// that length.
func (k *PublicKey) Negative(x []byte) []byte { return negative(x, k.n) }

// Negative is that of the public key.
func (k *PrivateKey) Negative(x []byte) []byte { return negative(x, k.n) }

func negative(x []byte, n *bigmod.Modulus) []byte {
	b := toBytes(n.Nat(), n)
	borrow := 0
	for i := len(b) - 1; i >= 0; i-- {
		d := int(b[i]) - int(x[i]) - borrow
		b[i], borrow = byte(d), d>>8&1
	}
	return b
}

// PrivateKey is a key ready for the private operation.
type PrivateKey struct {
	// PublicKey is nil if the public exponent is not known; the result of
	// the private operation is then not checked.
	*PublicKey
	n *bigmod.Modulus
	d []byte
	// With the primes:
	p, q   *bigmod.Modulus
	dp, dq []byte
	qInv   *bigmod.Nat
	qModN  *bigmod.Nat
	// Where the processor and the size allow it; else nil.
	fast    path
	blinder blinder
}

// NewPrivateKey prepares a key. The numbers are expected to have gone through
// Complete, and only what would make the operation fail is checked here.
func NewPrivateKey(c *Numbers) (*PrivateKey, error) {
	n, err := newModulus(c.N)
	if err != nil {
		return nil, err
	}
	k := &PrivateKey{n: n}
	if len(trim(c.E)) > 0 {
		if k.PublicKey, err = NewPublicKey(c.N, c.E); err != nil {
			return nil, err
		}
	}
	if len(c.P) == 0 {
		return k, k.usePlain(c)
	}
	if err := k.useCRT(c); err != nil {
		return nil, err
	}
	k.accelerate(c)
	return k, nil
}

func (k *PrivateKey) usePlain(c *Numbers) (err error) {
	k.d, err = fixed(c.D, k.n)
	return err
}

func (k *PrivateKey) useCRT(c *Numbers) (err error) {
	if k.p, err = newModulus(c.P); err != nil {
		return err
	}
	if k.q, err = newModulus(c.Q); err != nil {
		return err
	}
	if k.dp, err = fixed(c.DP, k.p); err != nil {
		return err
	}
	if k.dq, err = fixed(c.DQ, k.q); err != nil {
		return err
	}
	if k.qInv, err = bigmod.NewNat().SetBytes(c.QInv, k.p); err != nil {
		return ErrKey
	}
	if k.qModN, err = bigmod.NewNat().SetBytes(c.Q, k.n); err != nil {
		return ErrKey
	}
	return nil
}

// Size is the length of the modulus in bytes.
func (k *PrivateKey) Size() int { return k.n.Size() }

// Bits is the length of the modulus in bits.
func (k *PrivateKey) Bits() int { return k.n.BitLen() }

// Private sets dst, which has the size of the modulus, to src^d mod n. src
// may be shorter than the modulus; dst and src may be the same. After an
// error dst is unchanged.
func (k *PrivateKey) Private(dst, src []byte) error {
	if k.fast != nil {
		return k.fastPrivate(dst, src)
	}
	c, err := bigmod.NewNat().SetBytes(src, k.n)
	if err != nil {
		return ErrRange
	}
	m := k.privatePower(c)
	if k.PublicKey != nil && ct.Reveal(k.power(m).Equal(c)) != 1 {
		return ErrFault
	}
	fill(dst, m)
	return nil
}

func (k *PrivateKey) privatePower(c *bigmod.Nat) *bigmod.Nat {
	if k.p == nil {
		return bigmod.NewNat().Exp(c, k.d, k.n)
	}
	t := bigmod.NewNat()
	m1 := bigmod.NewNat().Exp(t.Mod(c, k.p), k.dp, k.p)
	m2 := bigmod.NewNat().Exp(t.Mod(c, k.q), k.dq, k.q)
	// Garner: m = m2 + q * ((m1 - m2) * qInv mod p), which is less than n.
	h := m1.Sub(t.Mod(m2, k.p), k.p).Mul(k.qInv, k.p)
	return h.ExpandFor(k.n).Mul(k.qModN, k.n).Add(m2.ExpandFor(k.n), k.n)
}

// fill writes x to dst, big-endian and filled up with zeros on the left. dst
// must be long enough for every non-zero byte.
func fill(dst []byte, x *bigmod.Nat) {
	const limb = bits.UintSize / 8
	for i := range dst {
		at := len(dst) - 1 - i // significance of dst[i] in bytes
		var b byte
		if words := x.Bits(); at/limb < len(words) {
			b = byte(words[at/limb] >> (at % limb * 8))
		}
		dst[i] = b
	}
}

// toBytes returns x in the length of m.
func toBytes(x *bigmod.Nat, m *bigmod.Modulus) []byte {
	b := make([]byte, m.Size())
	fill(b, x)
	return b
}

// fixed returns the exponent b, which must be less than m, in the length of m,
// so that the time of an exponentiation does not tell how short it is.
func fixed(b []byte, m *bigmod.Modulus) ([]byte, error) {
	x, err := bigmod.NewNat().SetBytes(b, m)
	if err != nil || ct.Reveal(x.IsZero()) == 1 {
		return nil, ErrKey
	}
	return toBytes(x, m), nil
}

// trim removes leading zeros. How many there are, shows.
func trim(b []byte) []byte {
	for len(b) > 0 && ct.Reveal(b[0]) == 0 {
		b = b[1:]
	}
	return b
}

// equal compares two numbers of any lengths without telling where they
// differ.
func equal(a, b []byte) bool {
	return subtle.ConstantTimeCompare(trim(a), trim(b)) == 1
}
