// Package adx is RSA with the instructions MULX, ADCX and ADOX, in constant time:
// private and public operations and the exponentiations of tests for primes, with
// moduli of any length.
//
// Numbers are strings of limbs of 64 bits, the least significant first, in blocks of
// eight: a block fits the registers, and the kernels are loops over blocks, so that one
// body serves all lengths. A product is computed whole and then reduced (Montgomery
// 1985). Squares take the products of different limbs once. Between multiplications
// numbers are below R, a power of 2^512, and not always below the modulus; only the bit
// that a reduction leaves above R is cleared, by taking the modulus or 0 away.
package adx

import (
	"errors"

	"github.com/perilune/perilune/engine/internal/isa"
)

//go:generate go run -C gen . -out ../kernels_amd64.s -stubs ../stubs_amd64.go -pkg adx

// Supported reports whether the processor has what this package needs. Without
// it no function but this one may be called.
func Supported() bool { return isa.ADX() && isa.AVX2() }

// Errors of this package.
var (
	ErrSize  = errors.New("adx: no key of a size that is served")
	ErrRange = errors.New("adx: value not below the modulus")
	ErrFault = errors.New("adx: private operation failed its check")
)

const (
	limbs     = 8 // of a block
	blockBits = 64 * limbs
	minBits   = 256 // what is not longer is better served elsewhere
	maxBlocks = 16  // of a modulus; 8192 bits
)

// blocksFor is how many blocks a number of so many bytes takes.
func blocksFor(bytes int) int { return (8*bytes + blockBits - 1) / blockBits }
