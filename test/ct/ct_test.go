// Package ct runs the tests of constant time under valgrind's memcheck. The
// tests themselves are those of package engine with the build tag valgrind:
// there, secrets are marked as undefined memory, and memcheck reports branches
// and addresses that depend on them. docs/SECURITY.md says what that proves.
package ct

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// binary is the test binary of package engine, vectors that of package ifma.
var binary, vectors string

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	missing := ""
	if _, err := exec.LookPath("valgrind"); err != nil {
		missing = "valgrind is not there: run test/setup"
	} else if runtime.GOOS != "linux" || runtime.GOARCH != "amd64" {
		missing = "these tests run on Linux on amd64"
	}
	if missing != "" {
		fmt.Fprintln(os.Stderr, "CONSTANT TIME IS NOT TESTED: "+missing)
		if os.Getenv("CI") == "true" {
			return 1
		}
		return 0
	}
	dir, err := os.MkdirTemp("", "perilune-ct")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	binary, vectors = filepath.Join(dir, "engine.test"), filepath.Join(dir, "ifma.test")
	for pkg, to := range map[string]string{"./engine": binary, "./engine/internal/ifma": vectors} {
		if err := build(pkg, to); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	return m.Run()
}

func build(pkg, to string) error {
	cmd := exec.Command("go", "test", "-c", "-tags", "valgrind", "-o", to, pkg)
	cmd.Dir = "../.."
	// Valgrind of Debian 12 reads inlined functions, which suppressions name,
	// from DWARF of version 4 only.
	cmd.Env = append(os.Environ(), "GOEXPERIMENT=nodwarf5")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("building the tests of %s: %v\n%s", pkg, err, out)
	}
	return nil
}

// valgrind runs tests of a binary, with more in the environment, and returns what it and they say.
func valgrind(t *testing.T, binary, tests string, env ...string) (string, error) {
	t.Helper()
	cmd := exec.Command("valgrind", "--error-exitcode=77", "--error-limit=no", "--leak-check=no", "--num-callers=40",
		"--suppressions=testdata/ct.supp", binary, "-test.run", tests, "-test.v")
	// One thread at a time is all that valgrind has. Go's preemption and
	// collection would look at memory that is marked.
	cmd.Env = append(append(os.Environ(), "GOMAXPROCS=1", "GODEBUG=asyncpreemptoff=1", "GOGC=400"), env...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	return out.String(), err
}

// failed reports whether the tests themselves failed, or did not run.
func failed(out string) bool {
	return strings.Contains(out, "--- FAIL") || strings.Contains(out, "panic:") || !strings.Contains(out, "\nPASS\n")
}

// TestLeaksAreFound is the control: leaks are found, what is none is not, and
// valgrind's exit status tells.
func TestLeaksAreFound(t *testing.T) {
	out, err := valgrind(t, binary, "^TestLeaks$")
	if exit, ok := err.(*exec.ExitError); !ok || exit.ExitCode() != 77 {
		t.Errorf("valgrind ended with %v, and should have found errors", err)
	}
	if failed(out) {
		t.Errorf("leaks were not found:\n%s", tail(out))
	}
}

// TestConstantTime is of the mechanisms that leak nothing.
func TestConstantTime(t *testing.T) {
	out, err := valgrind(t, binary, "^(TestMechanisms|TestGenerator|TestVectors)$")
	if err != nil || failed(out) {
		t.Errorf("%v\n%s", err, tail(out))
	}
	t.Logf("%d operations", strings.Count(out, "--- PASS: "))
}

// TestOtherPaths is of RSA on lesser processors: with MULX, ADCX and ADOX, of which
// valgrind knows the assembly itself, and in portable code.
func TestOtherPaths(t *testing.T) {
	for _, path := range []string{"adx", "portable"} {
		out, err := valgrind(t, binary, "^TestMechanisms$/RSA", "PERILUNE_ISA="+path)
		if err != nil || failed(out) {
			t.Errorf("%s: %v\n%s", path, err, tail(out))
		}
		t.Logf("%s: %d operations", path, strings.Count(out, "--- PASS: "))
	}
}

// TestPasses is of RSA operations that share a pass, which those of one caller
// never do.
func TestPasses(t *testing.T) {
	if out, err := valgrind(t, vectors, "^TestSecrets$"); err != nil || failed(out) {
		t.Errorf("%v\n%s", err, tail(out))
	}
}

// TestDeclaredLeaks is of those that say that they leak.
func TestDeclaredLeaks(t *testing.T) {
	out, err := valgrind(t, binary, "^TestLeakingMechanisms$")
	if exit, ok := err.(*exec.ExitError); !ok || exit.ExitCode() != 77 || failed(out) {
		t.Errorf("%v\n%s", err, tail(out))
	}
}

// tail is a report without what went well, or the end of it.
func tail(s string) string {
	var b strings.Builder
	for line := range strings.Lines(s) {
		if text := strings.TrimSpace(line); !strings.HasPrefix(text, "=== RUN") && !strings.HasPrefix(text, "--- PASS") {
			b.WriteString(line)
		}
	}
	const most = 20000
	if s = b.String(); len(s) > most {
		s = "...\n" + s[len(s)-most:]
	}
	return s
}
