package wycheproof

import (
	"os"
	"os/exec"
	"testing"
)

// TestOnLesserProcessors runs the vectors again as on processors that have less than
// this one (docs/DESIGN.md), each time in a process of its own.
func TestOnLesserProcessors(t *testing.T) {
	const variable = "PERILUNE_ISA"
	if os.Getenv(variable) != "" {
		return // this is one of them
	}
	for _, level := range []string{"portable", "adx", "ifma"} {
		t.Run(level, func(t *testing.T) {
			cmd := exec.Command(os.Args[0], "-test.run", "^TestFiles$")
			cmd.Env = append(os.Environ(), variable+"="+level)
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}
