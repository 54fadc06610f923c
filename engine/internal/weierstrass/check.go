package weierstrass

import (
	"crypto/rand"
	"errors"
	"math/big"

	"github.com/perilune/perilune/engine/internal/rsacore"
)

// ErrParams says that domain parameters are not those of a usable curve.
var ErrParams = errors.New("weierstrass: unusable domain parameters")

// Bounds of the field in bits. What is smaller is no group to hide anything in.
const (
	MinBits = 112
	MaxBits = 521
)

// embedding is how far the embedding degree is looked at: below it, discrete
// logarithms could be moved to the field of p^i elements (SEC 1, section
// 3.1.1.2.1).
const embedding = 100

// Check validates parameters that somebody else chose (SEC 1, section
// 3.1.1.2.1; ANSI X9.62): everything but that they were chosen at random. An H
// of 0 stands for one that was not told, and is filled in.
func Check(params *Params) error {
	p, n := new(big.Int).SetBytes(params.P), new(big.Int).SetBytes(params.N)
	if p.BitLen() < MinBits || p.BitLen() > MaxBits || n.BitLen() > p.BitLen()+1 || p.Cmp(n) == 0 {
		return ErrParams
	}
	h, ok := cofactor(p, n)
	if !ok || params.H != 0 && params.H != h {
		return ErrParams
	}
	params.H = h
	if !isPrime(p) || !isPrime(n) || smallDegree(p, n) {
		return ErrParams
	}
	c, err := New(params)
	if err != nil {
		return err
	}
	if singular(params, p) || !c.hasOrderN(&c.base) {
		return ErrParams
	}
	return nil
}

// cofactor finds the h for which h*n can be the number of points by the theorem
// of Hasse: |h*n - (p+1)| <= 2*sqrt(p). With n > 4*sqrt(p) there is one at
// most. Beyond a byte it would waste what the field costs.
func cofactor(p, n *big.Int) (h uint64, ok bool) {
	if new(big.Int).Lsh(p, 4).Cmp(new(big.Int).Mul(n, n)) >= 0 {
		return 0, false
	}
	points := new(big.Int).Add(p, big.NewInt(1))
	width := new(big.Int).Lsh(p, 2) // (2*sqrt(p))^2
	// The upper end is p+1+floor(2*sqrt(p)).
	top := new(big.Int).Add(points, new(big.Int).Sqrt(width))
	q := new(big.Int).Div(top, n)
	off := new(big.Int).Sub(new(big.Int).Mul(q, n), points)
	if off.Mul(off, off).Cmp(width) > 0 || q.Sign() == 0 || q.BitLen() > 8 {
		return 0, false
	}
	return q.Uint64(), true
}

// smallDegree reports whether n divides p^i - 1 for a small i.
func smallDegree(p, n *big.Int) bool {
	one, power := big.NewInt(1), big.NewInt(1)
	for range embedding {
		if power.Mod(power.Mul(power, p), n).Cmp(one) == 0 {
			return true
		}
	}
	return false
}

// isPrime uses the test of Baillie and PSW, and that of Miller and Rabin with
// bases that nobody could foresee, often enough for numbers that somebody chose
// to deceive.
func isPrime(x *big.Int) bool {
	if x.Bit(0) == 0 || !x.ProbablyPrime(0) {
		return false
	}
	ok, err := rsacore.MillerRabin(x.Bytes(), 64, rand.Reader)
	return ok && err == nil
}

// singular reports whether 4*a^3 + 27*b^2 = 0.
func singular(params *Params, p *big.Int) bool {
	a, b := new(big.Int).SetBytes(params.A), new(big.Int).SetBytes(params.B)
	a.Mul(new(big.Int).Mul(a, a), a).Lsh(a, 2)
	b.Mul(b, b).Mul(b, big.NewInt(27))
	return a.Add(a, b).Mod(a, p).Sign() == 0
}
