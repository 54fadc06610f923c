//go:build !race

package engine

import (
	"os"
	"os/exec"
	"testing"

	"github.com/perilune/perilune/engine/internal/isa"
)

// TestOnLesserProcessors runs the tests, vectors and clients' checks of all that has
// code for certain processors as on those that have less than this one.
func TestOnLesserProcessors(t *testing.T) {
	if os.Getenv(isa.Variable) != "" {
		return // this is one of them
	}
	for _, level := range isa.Levels[:len(isa.Levels)-1] {
		cmd := exec.Command(os.Args[0], "-test.run", "RSA|PSS|OAEP|PKCS1|Implicit|X931|ECDSA|ECDH|ACVP|PrimeCurves|GCM|GMAC|CTR|Message")
		cmd.Env = append(os.Environ(), isa.Variable+"="+level)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", level, err, out)
		}
	}
}
