package ifma

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// flow follows secrets through the assembly, from the top down. Secret are vectors
// and masks, and general registers that were computed from them.
type flow struct {
	secret map[string]bool // general registers
	flags  bool            // they come from a secret
}

var (
	register = regexp.MustCompile(`\b(R[0-9]+|[A-D]X|[SD]I|BP|K[0-7]|Z[0-9]+)\b`)
	memory   = regexp.MustCompile(`\(([A-Z0-9]+)(\)\(([A-Z0-9]+)\*[1248])?\)`)
	address  = regexp.MustCompile(`\([^)]*\)`)
)

func (f *flow) isSecret(r string) bool { return r[0] == 'Z' || r[0] == 'K' || f.secret[r] }

// step follows one instruction, and says what is wrong with it.
func (f *flow) step(line string) string {
	op, operands, _ := strings.Cut(line, " ")
	for _, m := range memory.FindAllStringSubmatch(operands, -1) {
		if f.isSecret(m[1]) || m[3] != "" && f.isSecret(m[3]) {
			return "an address depends on a secret"
		}
	}
	if op[0] == 'J' {
		if op != "JMP" && f.flags {
			return "a jump depends on a secret"
		}
		return ""
	}
	used := register.FindAllString(address.ReplaceAllString(operands, ""), -1)
	if len(used) == 0 {
		return ""
	}
	into := used[len(used)-1]
	tainted := slices.ContainsFunc(used[:len(used)-1], f.isSecret)
	switch {
	case op == "CMPQ":
		f.flags = slices.ContainsFunc(used, f.isSecret)
	case strings.HasPrefix(op, "ADD"), strings.HasPrefix(op, "SUB"), strings.HasPrefix(op, "AND"), strings.HasPrefix(op, "XOR"),
		strings.HasPrefix(op, "SHL"):
		f.secret[into] = f.secret[into] || tainted
		f.flags = f.secret[into]
	default:
		if into[0] != 'Z' && into[0] != 'K' {
			f.secret[into] = tainted
		}
	}
	return ""
}

// TestConstantFlow reads the assembly: no jump and no address depends on what is in
// vectors and masks. Kernels know their instructions: one that this test does not
// know fails it.
func TestConstantFlow(t *testing.T) {
	text, err := os.ReadFile("kernels_amd64.s")
	if err != nil {
		t.Fatal(err)
	}
	known := regexp.MustCompile(`^(V[A-Z0-9]+(\.Z)?|K(MOV|XOR|XNOR)[BQ]|(MOV|ADD|SUB|CMP|LEA|SHL)Q|(ADD|AND|XOR)[LQ]|J(E|NE|Z|NZ|HI|MP)|RET)$`)
	var f *flow
	lines, functions := 0, 0
	for line := range strings.Lines(string(text)) {
		line = strings.Join(strings.Fields(line), " ")
		switch {
		case strings.HasPrefix(line, "TEXT"):
			f = &flow{secret: map[string]bool{}}
			functions++
			continue
		case f == nil, line == "", strings.HasPrefix(line, "//"), strings.HasSuffix(line, ":"):
			continue
		}
		lines++
		if op, _, _ := strings.Cut(line, " "); !known.MatchString(op) {
			t.Errorf("%s: an instruction that this test does not know", line)
		}
		if wrong := f.step(line); wrong != "" {
			t.Errorf("%s: %s", line, wrong)
		}
	}
	if functions != 8 || lines < 2000 {
		t.Errorf("%d functions with %d instructions", functions, lines)
	}
}

// TestFlowFindsLeaks is the control.
func TestFlowFindsLeaks(t *testing.T) {
	for _, c := range []struct {
		lines string
		wrong bool
	}{
		{"KMOVB K1, AX; MOVQ 8(AX), BX", true},
		{"KMOVB K1, AX; MOVQ AX, CX; VMOVDQU64 (CX), Z1", true},
		{"KMOVB K1, AX; ADDL AX, BX; JZ somewhere", true},
		{"KMOVB K1, AX; CMPQ AX, $0x01; JNE somewhere", true},
		{"KMOVB K1, AX; MOVQ $0x01, AX; MOVQ 8(AX), BX", false},
		{"KMOVB K1, AX; SUBQ $0x01, BX; JNZ somewhere; VMOVDQU64 64(DX), Z1", false},
	} {
		f, found := &flow{secret: map[string]bool{}}, false
		for line := range strings.SplitSeq(c.lines, "; ") {
			found = found || f.step(line) != ""
		}
		if found != c.wrong {
			t.Errorf("%s: %v", c.lines, found)
		}
	}
}
