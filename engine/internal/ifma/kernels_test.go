package ifma

import (
	"os"
	"regexp"
	"testing"

	"github.com/perilune/perilune/engine/internal/flow"
)

// TestConstantFlow reads the assembly: no jump and no address depends on what is in
// vectors, masks and memory.
func TestConstantFlow(t *testing.T) {
	text, err := os.ReadFile("kernels_amd64.s")
	if err != nil {
		t.Fatal(err)
	}
	known := regexp.MustCompile(`^(V[A-Z0-9]+(\.Z)?|K(MOV|XOR|XNOR)[BQ]|(MOV|ADD|SUB|CMP|LEA|SHL)Q|(ADD|AND|XOR)[LQ]|J(E|NE|Z|NZ|HI|MP)|RET)$`)
	r := flow.Check(string(text), known)
	for _, wrong := range r.Wrong {
		t.Error(wrong)
	}
	if r.Functions != 8 || r.Instructions < 2000 {
		t.Errorf("%d functions with %d instructions", r.Functions, r.Instructions)
	}
}
