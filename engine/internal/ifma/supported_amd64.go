//go:build !valgrind

package ifma

import "github.com/perilune/perilune/engine/internal/isa"

// Supported reports whether the processor has what this package needs. Without
// it no function but this one may be called.
func Supported() bool { return isa.IFMA() }
