// Package mont is arithmetic modulo odd numbers of up to 576 bits, in constant
// time: the fields of elliptic curves and the integers modulo their orders.
//
// Elements are in Montgomery form, x*r mod m, and always reduced. r is 2^(64*limbs),
// and 1 for the field of P-521 in assembly.
// No time and no memory access depends on their values, only on the modulus.
package mont

import (
	"errors"
	"math/big"
	"math/bits"

	"github.com/perilune/perilune/engine/internal/isa"
)

//go:generate go run gen.go
//go:generate go run -C gen . -out ../kernels_amd64.s -stubs ../stubs_amd64.go -pkg mont

// MaxBits bounds the modulus.
const MaxBits = 64 * len(Element{})

// Element is a number modulo m in Montgomery form. The zero value is 0.
type Element [9]uint64

// Modulus is an odd number and what is known of it.
type Modulus struct {
	// The assembly knows where these three are.
	m       Element // itself, as it is
	inverse uint64  // -1/m mod 2^64
	_       uint64  // 0

	limbs  int
	kernel kernel
	rr     Element // r^2 mod m
	one    Element // 1 in Montgomery form
	full   Element // 2^(64*limbs) in Montgomery form
	size   int     // length of m in bytes
	steps  int     // of Invert
}

// kernel says which code multiplies, adds and subtracts.
type kernel int

const (
	portable kernel = iota
	adx4            // assembly with MULX, ADCX and ADOX for so many limbs
	adx6
	adx8
	adx9
	adxP256 // and for these fields
	adxP521
)

// New makes a modulus of the bytes of m, big-endian without leading zeros.
// Numbers of up to width bits can be brought into its form.
func New(m []byte, width int) (*Modulus, error) { return NewFor(m, width, isa.ADX()) }

// NewFor is New, with the assembly or without it.
func NewFor(m []byte, width int, adx bool) (*Modulus, error) {
	n := new(big.Int).SetBytes(m)
	limbs := max(3, (max(n.BitLen(), width)+63)/64)
	if limbs > len(Element{}) || n.Bit(0) == 0 || n.BitLen() < 2 {
		return nil, errors.New("mont: unusable modulus")
	}
	f := &Modulus{limbs: limbs, size: (n.BitLen() + 7) / 8, steps: stepsFor(n.BitLen())}
	f.m = limbsOf(n)
	f.inverse = negatedInverse(f.m[0])
	if adx {
		f.accelerate()
	}
	full := new(big.Int).Lsh(big.NewInt(1), uint(64*f.limbs))
	r := full
	if f.kernel == adxP521 {
		r = big.NewInt(1)
	}
	f.one = limbsOf(new(big.Int).Mod(r, n))
	f.rr = limbsOf(new(big.Int).Mod(new(big.Int).Mul(r, r), n))
	f.full = limbsOf(new(big.Int).Mod(new(big.Int).Mul(full, r), n))
	return f, nil
}

// accelerate chooses the assembly for the next number of limbs that there is one
// for.
func (m *Modulus) accelerate() {
	for _, x := range []struct {
		kernel
		limbs int
		top   uint64 // bound of the last limb
	}{
		{adxP256, 4, 1<<64 - 1},
		{adxP521, 9, 1<<64 - 1},
		{adx4, 4, 1<<64 - 1},
		{adx6, 6, 1<<64 - 1},
		{adx8, 8, 1<<64 - 1},
		{adx9, 9, 1 << 60},
	} {
		only, special := specialFields[x.kernel]
		if m.limbs <= x.limbs && m.m[x.limbs-1] <= x.top && (!special || m.m == only) {
			m.kernel, m.limbs = x.kernel, x.limbs
			return
		}
	}
}

// The fields of P-256 and of P-521.
var (
	p256 = Element{1<<64 - 1, 1<<32 - 1, 0, 0xffffffff00000001}
	p521 = Element{
		1<<64 - 1, 1<<64 - 1, 1<<64 - 1, 1<<64 - 1,
		1<<64 - 1, 1<<64 - 1, 1<<64 - 1, 1<<64 - 1, 1<<9 - 1,
	}
)

var specialFields = map[kernel]Element{adxP256: p256, adxP521: p521}

func limbsOf(x *big.Int) (z Element) {
	var buf [8 * len(Element{})]byte
	x.FillBytes(buf[:])
	setLimbs(&z, buf[:])
	return z
}

// negatedInverse finds -1/m mod 2^64 by Newton's iteration.
func negatedInverse(m uint64) uint64 {
	x := m // right in the last 3 bits
	for range 5 {
		x *= 2 - m*x
	}
	return -x
}

// setLimbs reads a big-endian string of at most 72 bytes.
func setLimbs(z *Element, b []byte) {
	*z = Element{}
	for i, v := range b {
		at := len(b) - 1 - i
		z[at/8] |= uint64(v) << (at % 8 * 8)
	}
}

// Size is the length of the modulus in bytes.
func (m *Modulus) Size() int { return m.size }

// One is 1.
func (m *Modulus) One() *Element { return &m.one }

// Set makes z the number b mod m; b is big-endian and not longer than the width.
func (m *Modulus) Set(z *Element, b []byte) {
	if len(b) > 8*m.limbs {
		panic("mont: number too long") // a mistake of ours
	}
	var x Element
	setLimbs(&x, b)
	m.mul(z, &x, &m.rr) // reduces whatever fits the limbs
}

// SetWide makes z = b mod m, for numbers up to twice as long as the width.
func (m *Modulus) SetWide(z *Element, b []byte) {
	low := b[max(0, len(b)-8*m.limbs):]
	var x Element
	m.Set(&x, b[:len(b)-len(low)])
	m.mul(&x, &x, &m.full)
	m.Set(z, low)
	m.add(z, z, &x)
}

// SetReduced is Set for numbers that must be less than m.
func (m *Modulus) SetReduced(z *Element, b []byte) bool {
	if len(b) != m.size {
		return false
	}
	var x Element
	setLimbs(&x, b)
	var borrow uint64
	for i := range m.limbs {
		_, borrow = bits.Sub64(x[i], m.m[i], borrow)
	}
	m.mul(z, &x, &m.rr)
	return borrow == 1
}

// SetLimbs is SetReduced for limbs, of which there may be more than the modulus has.
func (m *Modulus) SetLimbs(z *Element, limbs []uint64) bool {
	var x Element
	var borrow uint64
	for i, limb := range limbs {
		var v uint64
		if i < len(x) {
			x[i], v = limb, m.m[i]
		}
		_, borrow = bits.Sub64(limb, v, borrow)
	}
	m.mul(z, &x, &m.rr)
	return borrow == 1
}

// Bytes writes x to dst, which has Size bytes.
func (m *Modulus) Bytes(dst []byte, x *Element) {
	var z Element
	m.mul(&z, x, &Element{1})
	for i := range dst {
		at := len(dst) - 1 - i
		dst[i] = byte(z[at/8] >> (at % 8 * 8))
	}
}

// Add makes z = x + y.
func (m *Modulus) Add(z, x, y *Element) { m.add(z, x, y) }

// Sub makes z = x - y.
func (m *Modulus) Sub(z, x, y *Element) { m.sub(z, x, y) }

// Mul makes z = x * y.
func (m *Modulus) Mul(z, x, y *Element) { m.mul(z, x, y) }

// IsZero returns 1 if x = 0, else 0.
func (m *Modulus) IsZero(x *Element) uint64 {
	var all uint64
	for i := range m.limbs {
		all |= x[i]
	}
	return 1 ^ (all|-all)>>63
}

// Equal returns 1 if x = y, else 0.
func (m *Modulus) Equal(x, y *Element) uint64 {
	var z Element
	m.sub(&z, x, y)
	return m.IsZero(&z)
}

// Select makes z = x if pick is 1, and leaves it if pick is 0.
func (m *Modulus) Select(z, x *Element, pick uint64) {
	mask := -pick
	for i := range m.limbs {
		z[i] ^= mask & (z[i] ^ x[i])
	}
}

// Limbs returns how many limbs elements use, for those who store many.
func (m *Modulus) Limbs() int { return m.limbs }
