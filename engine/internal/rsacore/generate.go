package rsacore

import (
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"io"

	"filippo.io/bigmod"
)

// ErrExponent refuses a public exponent that no key can have.
var ErrExponent = errors.New("rsacore: unusable public exponent")

// Generate makes a key with a modulus of exactly bits bits and the public
// exponent e. For e = 65537 it uses Go's generator, which follows FIPS 186-5,
// appendix A.1.3, inside the FIPS module; Generate follows the same process
// for the others, and random is used only for these.
func Generate(bits int, e []byte, random io.Reader) (Numbers, error) {
	e = trim(e)
	if equal(e, []byte{1, 0, 1}) {
		return generateStandard(bits)
	}
	if len(e) == 0 || e[len(e)-1]&1 == 0 || len(e) == 1 && e[0] < 3 || len(e)*8 >= bits/2 {
		return Numbers{}, ErrExponent
	}
	if bits < 512 || bits > MaxBits {
		return Numbers{}, ErrKey
	}
	for {
		c, err := generatePrimes(bits, e, random)
		if err != nil {
			return Numbers{}, err
		}
		if c.D == nil {
			continue
		}
		return Complete(c)
	}
}

func generateStandard(bits int) (Numbers, error) {
	k, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		return Numbers{}, err
	}
	return Numbers{
		N: k.N.Bytes(), E: []byte{1, 0, 1}, D: k.D.Bytes(),
		P: k.Primes[0].Bytes(), Q: k.Primes[1].Bytes(),
		DP: k.Precomputed.Dp.Bytes(), DQ: k.Precomputed.Dq.Bytes(), QInv: k.Precomputed.Qinv.Bytes(),
	}, nil
}

// generatePrimes makes primes and D; D is nil if they do not suit.
func generatePrimes(bits int, e []byte, random io.Reader) (Numbers, error) {
	p, err := prime((bits+1)/2, e, random)
	if err != nil {
		return Numbers{}, err
	}
	q, err := prime(bits/2, e, random)
	if err != nil {
		return Numbers{}, err
	}
	if bytesLess(p, q) {
		p, q = q, p
	}
	n, err := bigmod.NewModulusProduct(p, q)
	if err != nil || n.BitLen() != bits || tooClose(p, q) {
		return Numbers{}, err
	}
	c := Numbers{N: toBytes(n.Nat(), n), E: e, P: p, Q: q}
	d, err := privateExponent(p, q, e)
	// FIPS 186-5, A.1.1: d > 2^(bits/2).
	if err == nil && len(d) > bits/16 {
		c.D = d
	}
	return c, nil
}

// tooClose reports whether the first 100 bits of p and q agree (FIPS 186-5,
// A.1.3 step 5.5), give or take the rounding to whole bytes.
func tooClose(p, q []byte) bool {
	return len(p) == len(q) && string(p[:12]) == string(q[:12])
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

// prime returns a random prime p of exactly bits bits, the first two of them
// set, so that products have their full length, for which e and p-1 have no
// common divisor.
func prime(bits int, e []byte, random io.Reader) ([]byte, error) {
	b := make([]byte, (bits+7)/8)
	excess := len(b)*8 - bits
	for {
		if _, err := io.ReadFull(random, b); err != nil {
			return nil, err
		}
		b[0] &= 0xff >> excess
		setBit(b, bits-1)
		setBit(b, bits-2)
		setBit(b, 0)
		if divisible(b) {
			continue
		}
		ok, err := ProbablyPrime(b, random)
		if err != nil {
			return nil, err
		}
		if ok && coprimeMinusOne(b, e) {
			return b, nil
		}
	}
}

func setBit(b []byte, i int) { b[len(b)-1-i/8] |= 1 << (i % 8) }

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
var smallPrimes = sieve(1620)

func sieve(limit uint) (list []uint) {
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

// ProbablyPrime runs the Miller-Rabin test of FIPS 186-5, appendix B.3.1, on a
// random odd number greater than 3.
func ProbablyPrime(w []byte, random io.Reader) (bool, error) {
	m, err := bigmod.NewModulus(w)
	if err != nil || m.Nat().IsOdd() == 0 || m.BitLen() < 3 {
		return false, nil
	}
	r, a, err := splitMinusOne(w)
	if err != nil || a == 0 {
		return false, nil
	}
	exponent := trim(natBytes(r))
	base := make([]byte, m.Size())
	for range rounds(m.BitLen()) {
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
