package dl

import (
	"math/big"
	"sync"
)

// smallPrimes are the odd primes below 2^16.
var smallPrimes = sync.OnceValue(func() (list []uint32) {
	composite := make([]bool, 1<<16)
	for i := 3; i < len(composite); i += 2 {
		if composite[i] {
			continue
		}
		list = append(list, uint32(i))
		for j := i * i; j < len(composite); j += 2 * i {
			composite[j] = true
		}
	}
	return list
})

// trialPrimes is how many small primes a candidate is divided by before the
// real test.
const trialPrimes = 600

// trialProducts are products of the first small primes, as many as fit in a word.
var trialProducts = sync.OnceValue(func() (list []uint64) {
	product := uint64(1)
	for _, p := range smallPrimes()[:trialPrimes] {
		if product > (1<<63)/uint64(p) {
			list = append(list, product)
			product = 1
		}
		product *= uint64(p)
	}
	return append(list, product)
})

// smallFactor reports whether an odd n, greater than all small primes, has one
// of them as a factor.
func smallFactor(n *big.Int) bool {
	var word, rest big.Int
	for _, product := range trialProducts() {
		word.SetUint64(product)
		r := rest.Mod(n, &word).Uint64()
		if gcd(product, r) != 1 {
			return true
		}
	}
	return false
}

func gcd(a, b uint64) uint64 {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

// newPrime is probablyPrime for random numbers, nearly all of which are not.
func newPrime(n *big.Int) bool {
	return n.Bit(0) == 1 && n.BitLen() > 32 && !smallFactor(n) && probablyPrime(n)
}

// NewSafePrime makes a random safe prime p = 2q + 1 of so many bits, for which 2
// generates the subgroup of order q: p is 23 mod 24, as for the primes of RFC
// 3526 (appendix C of it says why).
func NewSafePrime(random func([]byte) error, bits int) (*big.Int, error) {
	for {
		q, err := randomBits(random, bits-1)
		if err != nil {
			return nil, err
		}
		// q is 11 mod 12, and a little more than what was drawn.
		q.Sub(q, new(big.Int).Mod(q, big.NewInt(12))).Add(q, big.NewInt(11))
		if p := safePrimeFrom(q, bits); p != nil {
			return p, nil
		}
	}
}

// randomBits is a random number of so many bits.
func randomBits(random func([]byte) error, bits int) (*big.Int, error) {
	b := make([]byte, (bits+7)/8)
	if err := random(b); err != nil {
		return nil, err
	}
	n := new(big.Int).SetBytes(b)
	n.SetBit(n.Rsh(n, uint(8*len(b)-bits)), bits-1, 1)
	return n, nil
}

// window is how many candidates, twelve apart, one start gives.
const window = 1 << 16

// safePrimeFrom looks through a window of candidates from q on.
func safePrimeFrom(q *big.Int, bits int) *big.Int {
	out := sieve(q)
	for i := range out {
		if out[i] {
			continue
		}
		half := new(big.Int).Add(q, big.NewInt(12*int64(i)))
		p := new(big.Int).Lsh(half, 1)
		p.Add(p, one)
		if p.BitLen() != bits {
			return nil
		}
		// One quick round each, and then the real tests.
		if fermat(half) && fermat(p) && probablyPrime(half) && probablyPrime(p) {
			return p
		}
	}
	return nil
}

func fermat(n *big.Int) bool {
	e := new(big.Int).Sub(n, one)
	return e.Exp(big.NewInt(2), e, n).Cmp(one) == 0
}

// sieve marks the i for which q+12i or 2(q+12i)+1 has a small factor.
func sieve(q *big.Int) []bool {
	out := make([]bool, window)
	var word, rest big.Int
	for _, prime := range smallPrimes()[1:] { // 3 is dealt with by the choice of q
		s := uint64(prime)
		r := rest.Mod(q, word.SetUint64(s)).Uint64()
		inverse := inverse12(s)
		for _, zero := range [2]uint64{0, (s - 1) / 2} {
			for i := (zero + s - r) % s * inverse % s; i < window; i += s {
				out[i] = true
			}
		}
	}
	return out
}

// inverse12 is 1/12 mod the prime s: (k s + 1)/12 for the k that fits.
func inverse12(s uint64) uint64 {
	for k := uint64(0); ; k++ {
		if (k*s+1)%12 == 0 {
			return (k*s + 1) / 12
		}
	}
}
