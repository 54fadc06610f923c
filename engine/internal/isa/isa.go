// Package isa says which instructions beyond the usual may be used here.
package isa

import (
	"os"
	"slices"

	"golang.org/x/sys/cpu"
)

// Variable limits what is used, for tests and for comparison: "portable" for no
// more than Go's compiler emits, "adx" for the integer instructions MULX, ADCX and
// ADOX and vectors of 256 bits as well, "ifma" for the arithmetic of larger ones too,
// "vaes" for their AES. Anything else, or nothing, is no limit.
const Variable = "PERILUNE_ISA"

// Levels are what the variable can say, each with those before it.
var Levels = []string{"portable", "adx", "ifma", "vaes"}

var level = limit()

func limit() int {
	if i := slices.Index(Levels, os.Getenv(Variable)); i >= 0 {
		return i
	}
	return len(Levels) - 1
}

// ADX reports whether MULX, ADCX and ADOX may be used.
func ADX() bool { return level >= 1 && (cpu.X86.HasADX || hidden) && cpu.X86.HasBMI2 }

// AVX2 reports whether vectors of 256 bits may be used.
func AVX2() bool { return level >= 1 && cpu.X86.HasAVX2 }

// IFMA reports whether the multiplication of 52-bit numbers in vectors of 512 bits
// may be used.
func IFMA() bool {
	there := cpu.X86.HasAVX512IFMA && cpu.X86.HasAVX512F && cpu.X86.HasAVX512BW && cpu.X86.HasAVX512DQ
	return level >= 2 && (there || hidden)
}

// VAES reports whether AES and carry-less multiplication in vectors of 512 bits may be
// used.
func VAES() bool {
	there := cpu.X86.HasAVX512VAES && cpu.X86.HasAVX512VPCLMULQDQ && cpu.X86.HasAVX512F && cpu.X86.HasAVX512BW &&
		cpu.X86.HasAVX512DQ && cpu.X86.HasAVX512VL && cpu.X86.HasBMI2
	return level >= 3 && (there || hidden)
}
