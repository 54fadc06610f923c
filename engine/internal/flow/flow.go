// Package flow reads assembly for amd64 and finds jumps and addresses that depend on
// secrets: for tests of kernels that valgrind cannot run.
package flow

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

var (
	register = regexp.MustCompile(`\b(R[0-9]+|[A-D]X|[SD]I|BP|[ABCD]L|K[0-7]|[XYZ][0-9]+)\b`)
	memory   = regexp.MustCompile(`\(([A-Z0-9]+)(\)\(([A-Z0-9]+)\*[1248])?\)`)
	address  = regexp.MustCompile(`\([^)]*\)`)
	flagless = regexp.MustCompile(`^(V|K|P|AES|MOV|LEA|CMOV|SH[LR]X|BSWAP|NOT)`)
)

// state is what is known at an instruction. Secret are vectors, all memory but the
// arguments, and general registers that were computed from them.
type state struct {
	secret map[string]bool // general registers
	flags  bool            // they come from a secret
}

// Result is how much was read, and what is wrong.
type Result struct {
	Functions, Instructions int
	Wrong                   []string
}

// Check follows what is secret through functions, from the top down, which will do for
// loops that leave registers to secrets or to what is public. An instruction that
// known does not match is wrong.
func Check(assembly string, known *regexp.Regexp) (r Result) {
	var s *state
	for line := range strings.Lines(assembly) {
		line = strings.Join(strings.Fields(line), " ")
		switch {
		case strings.HasPrefix(line, "TEXT"):
			s = &state{secret: map[string]bool{}}
			r.Functions++
			continue
		case s == nil, line == "", strings.HasPrefix(line, "//"), strings.HasSuffix(line, ":"),
			strings.HasPrefix(line, "DATA"), strings.HasPrefix(line, "GLOBL"):
			continue
		}
		r.Instructions++
		if op, _, _ := strings.Cut(line, " "); !known.MatchString(op) {
			r.Wrong = append(r.Wrong, fmt.Sprintf("%s: an instruction that this test does not know", line))
		}
		if wrong := s.step(line); wrong != "" {
			r.Wrong = append(r.Wrong, fmt.Sprintf("%s: %s", line, wrong))
		}
	}
	return r
}

// vector reports whether r is a vector.
func vector(r string) bool { return strings.ContainsRune("XYZ", rune(r[0])) }

func (s *state) isSecret(r string) bool { return vector(r) || s.secret[r] }

// step follows one instruction, and says what is wrong with it.
func (s *state) step(line string) string {
	op, operands, _ := strings.Cut(line, " ")
	loads := false
	for _, m := range memory.FindAllStringSubmatch(operands, -1) {
		if s.isSecret(m[1]) || m[3] != "" && s.isSecret(m[3]) {
			return "an address depends on a secret"
		}
		loads = loads || m[1] != "FP" && m[1] != "SB"
	}
	if op[0] == 'J' {
		if op != "JMP" && s.flags {
			return "a jump depends on a secret"
		}
		return ""
	}
	used := register.FindAllString(address.ReplaceAllString(operands, ""), -1)
	// LEA computes from the registers of the address, which were found public.
	loads = loads && !strings.HasPrefix(op, "LEA")
	tainted := loads || slices.ContainsFunc(used, s.isSecret)
	if strings.HasPrefix(op, "CMP") || strings.HasPrefix(op, "TEST") {
		s.flags = tainted
		return ""
	}
	if !flagless.MatchString(op) {
		s.flags = tainted
	}
	if len(used) == 0 || !strings.HasSuffix(operands, used[len(used)-1]) {
		return "" // into memory, or nothing
	}
	into := used[len(used)-1]
	switch {
	case vector(into):
	case strings.HasPrefix(op, "MOV"), strings.HasPrefix(op, "KMOV"), strings.HasPrefix(op, "LEA"):
		s.secret[into] = loads || slices.ContainsFunc(used[:len(used)-1], s.isSecret)
	default: // arithmetic, on what is there
		s.secret[into] = tainted || strings.HasPrefix(op, "CMOV") && s.flags
	}
	return ""
}
