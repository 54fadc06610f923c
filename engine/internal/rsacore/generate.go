package rsacore

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math/bits"

	"filippo.io/bigmod"

	"github.com/perilune/perilune/engine/internal/adx"
	"github.com/perilune/perilune/engine/internal/ifma"
)

// MinBits is the shortest modulus of a new key.
const MinBits = 256

// ErrExponent refuses a public exponent that no key can have.
var ErrExponent = errors.New("rsacore: unusable public exponent")

// Generate makes a key with a modulus of exactly size bits and the public
// exponent e, of random primes that are probably prime (FIPS 186-5, appendix
// A.1.3).
func Generate(size int, e []byte, random io.Reader) (Numbers, error) {
	return generate(size, e, random, randomPrime)
}

// GenerateAuxiliary is Generate with primes p for which p-1 and p+1 have a
// large prime factor each (FIPS 186-5, appendix A.1.6; ANSI X9.31, section
// 4.1).
func GenerateAuxiliary(size int, e []byte, random io.Reader) (Numbers, error) {
	return generate(size, e, random, auxiliaryPrime)
}

// finder finds a prime of so many bits, at least 2^(size-1/2), for which e and
// p-1 have no common divisor; and the random number from which it was found.
type finder func(size int, e []byte, random io.Reader) (p, from []byte, err error)

func generate(size int, e []byte, random io.Reader, find finder) (Numbers, error) {
	e = bytes.Clone(trim(e))
	if len(e) == 0 || e[len(e)-1]&1 == 0 || len(e) == 1 && e[0] < 3 || len(e)*8 >= size/2 {
		return Numbers{}, ErrExponent
	}
	if size < MinBits || size > MaxBits {
		return Numbers{}, ErrKey
	}
	for {
		c, err := generatePrimes(size, e, random, find)
		if err != nil {
			return Numbers{}, err
		}
		if c.D != nil {
			return Complete(c)
		}
	}
}

// generatePrimes makes primes and D; D is nil if they do not suit.
func generatePrimes(size int, e []byte, random io.Reader, find finder) (Numbers, error) {
	p, fromP, err := find((size+1)/2, e, random)
	if err != nil {
		return Numbers{}, err
	}
	q, fromQ, err := find(size/2, e, random)
	if err != nil {
		return Numbers{}, err
	}
	if tooClose(p, q, size) || tooClose(fromP, fromQ, size) {
		return Numbers{}, nil
	}
	if bytesLess(p, q) {
		p, q = q, p
	}
	n, err := bigmod.NewModulusProduct(p, q)
	if err != nil || n.BitLen() != size {
		return Numbers{}, err
	}
	c := Numbers{N: toBytes(n.Nat(), n), E: e, P: p, Q: q}
	d, err := privateExponent(p, q, e)
	// FIPS 186-5, A.1.1: d > 2^(size/2).
	if err == nil && bitLen(d) > size/2 {
		c.D = d
	}
	return c, nil
}

func bitLen(b []byte) int {
	if b = trim(b); len(b) == 0 {
		return 0
	}
	return len(b)*8 - bits.LeadingZeros8(b[0])
}

// tooClose reports whether p and q, of half of size bits, differ by 2^(size/2 -
// 100) or less (FIPS 186-5, A.1.3 step 5.5).
func tooClose(p, q []byte, size int) bool {
	if bytesLess(p, q) {
		p, q = q, p
	}
	diff := bytes.Clone(p)
	q = append(make([]byte, len(p)-len(q)), q...)
	borrow := 0
	for i := len(diff) - 1; i >= 0; i-- {
		x := int(p[i]) - int(q[i]) - borrow
		diff[i], borrow = byte(x), x>>8&1
	}
	return bitLen(diff) <= size/2-100
}

// privateExponent returns e^-1 mod lcm(p-1, q-1).
func privateExponent(p, q, e []byte) ([]byte, error) {
	lcm, err := lcmMinusOne(p, q)
	if err != nil {
		return nil, err
	}
	x, err := bigmod.NewNat().SetBytes(e, lcm)
	if err != nil {
		return nil, ErrExponent
	}
	d, ok := bigmod.NewNat().InverseVarTime(x, lcm)
	if !ok {
		return nil, ErrExponent
	}
	return trim(toBytes(d, lcm)), nil
}

// lcmMinusOne returns lcm(p-1, q-1) as a modulus. It fails, and other primes
// must be found, in the rare case that the odd part of the greatest common
// divisor does not fit 32 bits.
func lcmMinusOne(p, q []byte) (*bigmod.Modulus, error) {
	a, az, err := splitMinusOne(p)
	if err != nil {
		return nil, err
	}
	b, bz, err := splitMinusOne(q)
	if err != nil {
		return nil, err
	}
	g, err := bigmod.NewNat().GCDVarTime(a, b)
	if err != nil || g.BitLenVarTime() > 32 {
		return nil, ErrKey
	}
	if b.DivShortVarTime(g.Bits()[0]) != 0 {
		return nil, ErrKey
	}
	// Both are odd now; the lcm has the larger of the two powers of 2, which
	// goes back into a number one bit shorter than its prime at least.
	odd, err := bigmod.NewModulusProduct(natBytes(a), natBytes(b))
	if err != nil {
		return nil, err
	}
	return bigmod.NewModulusProduct(natBytes(odd.Nat()), powerOfTwo(max(az, bz)))
}

// splitMinusOne returns the odd r and the z for which p - 1 = 2^z * r.
func splitMinusOne(p []byte) (r *bigmod.Nat, z uint, err error) {
	m, err := bigmod.NewModulus(p)
	if err != nil {
		return nil, 0, err
	}
	x := m.Nat().SubOne(m)
	z = x.TrailingZeroBitsVarTime()
	return x.ShiftRightVarTime(z), z, nil
}

func powerOfTwo(z uint) []byte {
	b := make([]byte, z/8+1)
	b[0] = 1 << (z % 8)
	return b
}

func natBytes(x *bigmod.Nat) []byte {
	b := make([]byte, len(x.Bits())*8)
	fill(b, x)
	return b
}

// randomPrime is a finder that tries random numbers.
func randomPrime(size int, e []byte, random io.Reader) (p, from []byte, err error) {
	test := oneByOne
	if vectors() && ifma.Testable(size) {
		test = together
	}
	for {
		p, err := test(size, e, random)
		if p != nil || err != nil {
			return p, p, err
		}
	}
}

// candidate returns a random odd number that may be a prime.
func candidate(size int, random io.Reader) ([]byte, error) {
	b := make([]byte, (size+7)/8)
	for {
		if err := randomTop(b, size, random); err != nil {
			return nil, err
		}
		setBit(b, 0)
		if !divisible(b) {
			return b, nil
		}
	}
}

// oneByOne tests a random number; it returns nil if that is no prime that suits e.
func oneByOne(size int, e []byte, random io.Reader) ([]byte, error) {
	b, err := candidate(size, random)
	if err != nil {
		return nil, err
	}
	if ok, err := ProbablyPrime(b, random); !ok || err != nil || !coprimeMinusOne(b, e) {
		return nil, err
	}
	return b, nil
}

// rootOfHalf is 2^64 divided by the square root of 2.
const rootOfHalf = 0xb504f333f9de6484

// randomTop fills b with a random number of exactly size bits that is more than
// 2^(size-1/2): the product of two of them has no bit less than both together.
func randomTop(b []byte, size int, random io.Reader) error {
	excess := len(b)*8 - size
	for {
		if _, err := io.ReadFull(random, b); err != nil {
			return err
		}
		b[0] &= 0xff >> excess
		setBit(b, size-1)
		top := binary.BigEndian.Uint64(b)<<excess | uint64(b[8])>>(8-excess)
		if top > rootOfHalf {
			return nil
		}
	}
}

func setBit(b []byte, i int) { b[len(b)-1-i/8] |= 1 << (i % 8) }

// auxiliaryPrime is a finder by two auxiliary primes.
func auxiliaryPrime(size int, e []byte, random io.Reader) (p, from []byte, err error) {
	var r [2][]byte
	for i := range r {
		x := make([]byte, (auxiliaryBits(size)+7)/8)
		if _, err := io.ReadFull(random, x); err != nil {
			return nil, nil, err
		}
		x[0] &= 0xff >> (len(x)*8 - auxiliaryBits(size))
		setBit(x, auxiliaryBits(size)-1)
		if r[i], err = nextPrime(x, random); err != nil {
			return nil, nil, err
		}
	}
	l, err := newLattice(r[0], r[1])
	if err != nil {
		return nil, nil, err
	}
	for {
		x := make([]byte, (size+7)/8)
		if err := randomTop(x, size, random); err != nil {
			return nil, nil, err
		}
		p, err := l.search(x, size, e, random)
		if err != nil {
			return nil, nil, err
		}
		if p != nil {
			return p, x, nil
		}
	}
}

// auxiliaryBits is the length of the auxiliary primes for a prime of so many
// bits, the least of FIPS 186-5, table A.1, and for shorter ones of X9.31.
func auxiliaryBits(size int) int {
	switch {
	case size >= 2048:
		return 201
	case size >= 1536:
		return 171
	case size >= 1024:
		return 141
	}
	return 101
}

// nextPrime returns the first prime from the number x on, which it changes.
func nextPrime(x []byte, random io.Reader) ([]byte, error) {
	x = append([]byte{0}, x...) // room to grow
	setBit(x, 0)
	for {
		if !divisible(x) {
			if ok, err := ProbablyPrime(x, random); ok || err != nil {
				return x, err
			}
		}
		addBytes(x, []byte{2})
	}
}

// lattice is the numbers that are 1 modulo 2r1 and -1 modulo r2: the primes
// among them have r1 as a factor of p-1 and r2 as one of p+1.
type lattice struct {
	step  *bigmod.Modulus // 2 * r1 * r2
	start *bigmod.Nat     // the first of them
}

// newLattice takes two odd primes, which differ.
func newLattice(r1, r2 []byte) (*lattice, error) {
	double := append([]byte{0}, r1...)
	addBytes(double, r1)
	m1, err := bigmod.NewModulus(double)
	if err != nil {
		return nil, ErrKey
	}
	m2, err := bigmod.NewModulus(r2)
	if err != nil {
		return nil, ErrKey
	}
	step, err := bigmod.NewModulusProduct(double, r2)
	if err != nil {
		return nil, ErrKey
	}
	// FIPS 186-5, B.9 step 1: R = (r2^-1 mod 2r1) r2 - ((2r1)^-1 mod r2) 2r1.
	a, ok1 := bigmod.NewNat().InverseVarTime(bigmod.NewNat().Mod(m2.Nat(), m1), m1)
	b, ok2 := bigmod.NewNat().InverseVarTime(bigmod.NewNat().Mod(m1.Nat(), m2), m2)
	if !ok1 || !ok2 {
		return nil, ErrKey
	}
	a.ExpandFor(step).Mul(m2.Nat().ExpandFor(step), step)
	b.ExpandFor(step).Mul(m1.Nat().ExpandFor(step), step)
	return &lattice{step, a.Sub(b, step)}, nil
}

// search returns the first prime of the lattice, from x on, of size bits, for
// which e and p-1 have no common divisor; nil if there is none in reach.
func (l *lattice) search(x []byte, size int, e []byte, random io.Reader) ([]byte, error) {
	y := append([]byte{0}, x...) // room to grow
	all, err := bigmod.NewModulus(bytes.Repeat([]byte{0xff}, len(y)))
	if err != nil {
		return nil, ErrKey
	}
	from, err := bigmod.NewNat().SetBytes(y, all)
	if err != nil {
		return nil, ErrKey
	}
	from = bigmod.NewNat().Mod(from, l.step)
	delta := bigmod.NewNat().Mod(l.start, l.step).Sub(from, l.step)
	addBytes(y, toBytes(delta, l.step))

	step := toBytes(l.step.Nat(), l.step)
	s := newSieve(y, step)
	for range 5 * size { // FIPS 186-5, B.9 step 9; X9.31 knows no limit
		if bitLen(y) > size {
			return nil, nil
		}
		if !s.divisible() {
			ok, err := ProbablyPrime(y, random)
			if err != nil {
				return nil, err
			}
			if ok && coprimeMinusOne(y, e) {
				return trim(y), nil
			}
		}
		addBytes(y, step)
		s.next()
	}
	return nil, nil
}

// addBytes adds b to a, which is long enough for the sum.
func addBytes(a, b []byte) {
	carry := 0
	for i := 1; i <= len(a); i++ {
		x := int(a[len(a)-i]) + carry
		if i <= len(b) {
			x += int(b[len(b)-i])
		}
		a[len(a)-i], carry = byte(x), x>>8
	}
}

// sieve follows the remainders of a number that grows in equal steps.
type sieve struct{ at, step []uint }

func newSieve(from, step []byte) *sieve {
	s := &sieve{make([]uint, len(smallPrimes)), make([]uint, len(smallPrimes))}
	for i, p := range smallPrimes {
		s.at[i], s.step[i] = remainder(from, p), remainder(step, p)
	}
	return s
}

func remainder(b []byte, p uint) (r uint) {
	for _, x := range b {
		r = (r<<8 | uint(x)) % p
	}
	return r
}

func (s *sieve) divisible() bool {
	for _, r := range s.at {
		if r == 0 {
			return true
		}
	}
	return false
}

func (s *sieve) next() {
	for i, p := range smallPrimes {
		s.at[i] = (s.at[i] + s.step[i]) % p
	}
}

// coprimeMinusOne reports whether gcd(e, p-1) = 1.
func coprimeMinusOne(p, e []byte) bool {
	m, err := bigmod.NewModulus(p)
	if err != nil {
		return false
	}
	x, err := bigmod.NewNat().SetBytes(e, m)
	if err != nil {
		return false
	}
	g, err := bigmod.NewNat().GCDVarTime(x, m.Nat().SubOne(m))
	return err == nil && g.IsOne() == 1
}

// smallPrimes are the first odd primes. The product of any three fits 32 bits.
var smallPrimes = primesTo(1620)

func primesTo(limit uint) (list []uint) {
	composite := make([]bool, limit)
	for i := uint(3); i < limit; i += 2 {
		if composite[i] {
			continue
		}
		list = append(list, i)
		for j := i * i; j < limit; j += 2 * i {
			composite[j] = true
		}
	}
	return list
}

// divisible reports whether a small prime divides the odd number b, which it
// clobbers in between: bigmod makes an even modulus without the constants that
// exponentiation needs, and so much faster.
func divisible(b []byte) bool {
	last := len(b) - 1
	b[last] &^= 1
	m, err := bigmod.NewModulus(b)
	b[last] |= 1
	if err != nil {
		return true
	}
	odd := m.Nat()
	odd.Bits()[0] |= 1
	x := m.Nat()
	for i := 0; i+2 < len(smallPrimes); i += 3 {
		p, q, r := smallPrimes[i], smallPrimes[i+1], smallPrimes[i+2]
		copy(x.Bits(), odd.Bits())
		rest := x.DivShortVarTime(p * q * r)
		if rest%p == 0 || rest%q == 0 || rest%r == 0 {
			return true
		}
	}
	return false
}

// rounds is the number of Miller-Rabin rounds for a random candidate of so
// many bits, enough for an error probability of 2^-128 (the bounds of
// Damgård, Landrock and Pomerance; FIPS 186-5, table B.1, asks for fewer).
func rounds(bits int) int {
	switch {
	case bits >= 1536:
		return 5
	case bits >= 1024:
		return 6
	case bits >= 512:
		return 9
	}
	return 64
}

// ProbablyPrime runs the Miller-Rabin test of FIPS 186-5, appendix B.3.1, often
// enough for a random odd number. One that somebody else chose needs
// MillerRabin with more rounds.
func ProbablyPrime(w []byte, random io.Reader) (bool, error) {
	return MillerRabin(w, rounds(bitLen(w)), random)
}

// MillerRabin runs so many rounds: a number that is not prime passes each of
// them with a probability of a quarter at most.
func MillerRabin(w []byte, rounds int, random io.Reader) (bool, error) {
	if w = trim(w); bitLen(w) < 3 {
		return len(w) == 1 && w[0] >= 2, nil
	}
	if adx.Supported() && w[len(w)-1]&1 == 1 && adx.Testable(bitLen(w)) {
		return adx.MillerRabin(w, bitLen(w), rounds, random)
	}
	m, err := bigmod.NewModulus(w)
	if err != nil || m.Nat().IsOdd() == 0 {
		return false, nil
	}
	r, a, err := splitMinusOne(w)
	if err != nil || a == 0 {
		return false, nil
	}
	exponent := trim(natBytes(r))
	base := make([]byte, m.Size())
	for range rounds {
		b, err := randomBase(base, m, random)
		if err != nil {
			return false, err
		}
		if !strongProbablePrime(bigmod.NewNat().Exp(b, exponent, m), a, m) {
			return false, nil
		}
	}
	return true, nil
}

// randomBase returns a random number from 2 to m-2.
func randomBase(buf []byte, m *bigmod.Modulus, random io.Reader) (*bigmod.Nat, error) {
	excess := len(buf)*8 - m.BitLen()
	for {
		if _, err := io.ReadFull(random, buf); err != nil {
			return nil, err
		}
		buf[0] &= 0xff >> excess
		b, err := bigmod.NewNat().SetBytes(buf, m)
		if err != nil || b.IsZero() == 1 || b.IsOne() == 1 || b.IsMinusOne(m) == 1 {
			continue
		}
		return b, nil
	}
}

// strongProbablePrime squares x = base^r up to a-1 times in search of -1.
func strongProbablePrime(x *bigmod.Nat, a uint, m *bigmod.Modulus) bool {
	if x.IsOne() == 1 || x.IsMinusOne(m) == 1 {
		return true
	}
	for range a - 1 {
		x.Mul(x, m)
		if x.IsMinusOne(m) == 1 {
			return true
		}
	}
	return false
}
