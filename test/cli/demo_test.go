package cli

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/perilune/perilune/test/built"
)

// The demo works with the tools of this machine, and without any.
func TestDemo(t *testing.T) {
	built.Program(t)
	script, err := filepath.Abs("../demo")
	if err != nil {
		t.Fatal(err)
	}
	for _, tools := range []string{"", "none"} {
		t.Run("tools="+tools, func(t *testing.T) {
			need(t, "gcc")
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			cmd := exec.CommandContext(ctx, script)
			places := t.TempDir()
			cmd.Env = append(os.Environ(), "DEMO_TOOLS="+tools, "TMPDIR="+places)
			out, err := cmd.CombinedOutput()
			if err != nil || !strings.Contains(string(out), "Verified OK") || !strings.Contains(string(out), "Done in") {
				t.Errorf("%v\n%s", err, out)
			}
			left, _ := filepath.Glob(filepath.Join(places, "tmp.*"))
			if len(left) > 0 {
				t.Errorf("the demo left %v behind", left)
			}
		})
	}
}
