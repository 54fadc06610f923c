package dl

import (
	"math/big"
	"sync"
)

// The safe primes that standards name have the digits of pi (RFC 3526, and RFC
// 2409 for the two shortest) or of e (RFC 7919) between 64 bits 1 at each end:
//
//	p = 2^n - 2^(n-64) - 1 + 2^64 (floor(2^(n-130) c) + x)
//
// The least x that makes p a safe prime is what each standard states.
var piGroups = map[int]int64{
	768: 149686, 1024: 129093, 1536: 741804, 2048: 124476, 3072: 1690314, 4096: 240904, 6144: 929484, 8192: 4743158,
}

var eGroups = map[int]int64{2048: 560316, 3072: 2625351, 4096: 5736041, 6144: 15705020, 8192: 10965728}

// named are the primes of the standard groups by length; the one of RFC 7919
// comes first.
var named = sync.OnceValue(func() map[int][]*big.Int {
	list := map[int][]*big.Int{}
	for _, family := range []struct {
		c      *big.Int
		groups map[int]int64
	}{{eulerDigits(), eGroups}, {piDigits(), piGroups}} {
		for n, x := range family.groups {
			list[n] = append(list[n], namedPrime(n, family.c, x))
		}
	}
	return list
})

// digitBits is how many bits behind the point the constants have.
const digitBits = MaxBits + 64

func namedPrime(n int, c *big.Int, x int64) *big.Int {
	power := func(i int) *big.Int { return new(big.Int).Lsh(one, uint(i)) }
	p := new(big.Int).Rsh(c, uint(digitBits-(n-130)))
	p.Add(p, big.NewInt(x)).Lsh(p, 64)
	return p.Add(p, power(n)).Sub(p, power(n-64)).Sub(p, one)
}

// eulerDigits is e, the sum of 1/i!.
func eulerDigits() *big.Int {
	term := new(big.Int).Lsh(one, digitBits+64)
	sum := new(big.Int).Set(term)
	for i := int64(1); term.Sign() > 0; i++ {
		sum.Add(sum, term.Div(term, big.NewInt(i)))
	}
	return sum.Rsh(sum, 64)
}

// piDigits is pi by Machin's formula, 16 arctan(1/5) - 4 arctan(1/239).
func piDigits() *big.Int {
	a, b := arctanInverse(5), arctanInverse(239)
	a.Lsh(a, 4).Sub(a, b.Lsh(b, 2))
	return a.Rsh(a, 64)
}

// arctanInverse is arctan(1/x), with 64 bits more than the digits.
func arctanInverse(x int64) *big.Int {
	power := new(big.Int).Div(new(big.Int).Lsh(one, digitBits+64), big.NewInt(x))
	square := big.NewInt(x * x)
	sum, term := new(big.Int), new(big.Int)
	for i := int64(1); power.Sign() > 0; i += 2 {
		term.Div(power, big.NewInt(i))
		if i%4 == 1 {
			sum.Add(sum, term)
		} else {
			sum.Sub(sum, term)
		}
		power.Div(power, square)
	}
	return sum
}

// isNamed reports whether p is the prime of a standard group.
func isNamed(p *big.Int) bool {
	for _, n := range named()[p.BitLen()] {
		if n.Cmp(p) == 0 {
			return true
		}
	}
	return false
}

// NamedPrime is the prime of a standard group of this length, that of RFC 7919
// if it has one; nil if there is none.
func NamedPrime(bits int) *big.Int {
	if list := named()[bits]; len(list) > 0 {
		return new(big.Int).Set(list[0])
	}
	return nil
}
