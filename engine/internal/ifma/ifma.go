// Package ifma is RSA with the 52-bit multiply-and-add instructions of AVX-512,
// in constant time: for four private operations at once, with a prime in each
// lane of the vectors, and for a lone one across the lanes.
//
// Numbers are strings of digits in base 2^52, the least significant first. In
// between they are not fully reduced: all moduli are at least ten bits shorter
// than the digits, so that everything below 2^5 times the modulus can be a factor
// and gives a result below twice the modulus.
package ifma

import "unsafe"

//go:generate go run -C gen . -out ../kernels_amd64.s -stubs ../stubs_amd64.go -pkg ifma

const (
	digitBits = 52
	digitMask = 1<<digitBits - 1
	lanes     = 8
	slack     = 10  // bits by which moduli are shorter than their digits
	minBits   = 512 // primes that are not longer are better served elsewhere
)

// class is a size of numbers: what the kernels need to know of it.
type class struct {
	bits  int // of a prime, at most
	tiles int // of ten digits, for a prime in a lane
	width int // vectors, for a pair of primes across the lanes
	pair  func(z, a, b, m, k0, s *uint64, lanes, n int)
	pick  func(z, table, index *uint64, n, entries int)
	index int
}

var classes = [...]class{
	{1024, 2, 5, pair5, select5, 0},
	{1536, 3, 8, pair8, select8, 1},
	{2048, 4, 10, pair10, select5, 2},
}

// classFor is that of primes of so many bits, nil if they are too long.
func classFor(bits int) *class {
	for i := range classes {
		if c := &classes[i]; bits <= c.bits {
			return c
		}
	}
	return nil
}

// vectors returns memory for n vectors, aligned to the lines of the cache:
// vectors that straddle two take more than twice the time.
func vectors(n int) []uint64 {
	b := make([]uint64, lanes*n+lanes-1)
	skip := -int(uintptr(unsafe.Pointer(&b[0]))/8) & (lanes - 1)
	return b[skip:][: lanes*n : lanes*n]
}
