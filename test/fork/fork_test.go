// Package fork checks that the library survives fork: see testdata/prefork.c
// for what the processes do.
package fork

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/perilune/perilune/test/abi/ctest"
)

// operations of each process. Calls in a child hang at its first garbage
// collections, which a short test does not see.
const operations = "300000"

const source = "testdata/prefork.c"

func start(t *testing.T, program, module string, options ...string) (string, error) {
	t.Helper()
	return ctest.Run(t, program, append([]string{module, operations}, options...)...)
}

func TestFork(t *testing.T) {
	module, program := ctest.Library(t), ctest.CC(t, source)
	for _, options := range []string{
		"", "early", "global", "racing", "daemon", "raw", "thread", "living",
		"busy", "busy global racing", "busy thread",
	} {
		t.Run(strings.ReplaceAll(options, " ", "+"), func(t *testing.T) {
			if out, err := start(t, program, module, append(strings.Fields(options), "alarm=300")...); err != nil {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}

// A program may be linked with the library, which is then among the global
// symbols before everything that is loaded later.
func TestLinked(t *testing.T) {
	module := ctest.Library(t)
	program := ctest.CC(t, source, "-DLINKED", module, "-Wl,-rpath,"+filepath.Dir(module))
	if out, err := start(t, program, module, "alarm=300"); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// Many short lives, of a parent that never rests. The fake behind the C layer
// spares them a login that takes its time.
func TestManyChildren(t *testing.T) {
	out, err := ctest.Run(t, ctest.CC(t, source), ctest.Testlib(t), "1000", "busy", "children=100", "alarm=200")
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// Kernels that do not wipe pages for children, and systems where memory may not
// be executed, are served in other ways.
func TestFallbacks(t *testing.T) {
	module := ctest.Testlib(t, "-DPERILUNE_NO_WIPEONFORK", "-DPERILUNE_NO_MEMFD")
	tmp := t.TempDir()
	out, err := ctest.RunEnv(t, []string{"TMPDIR=" + tmp}, ctest.CC(t, source), module, operations, "busy", "racing", "alarm=300")
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	if left, err := os.ReadDir(tmp); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// An upgrade removes the file that a running server loaded.
func TestFileRemoved(t *testing.T) {
	module, program := ctest.Testlib(t), ctest.CC(t, source)
	if out, err := start(t, program, module, "unlinked", "alarm=300"); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// With the file removed and its descriptor closed nothing can be loaded, and
// that is said.
func TestFileLost(t *testing.T) {
	module, program := ctest.Testlib(t), ctest.CC(t, source)
	out, err := start(t, program, module, "unlinked", "daemon", "lost", "alarm=300")
	if err != nil || !strings.Contains(out, "cannot load a fresh copy") {
		t.Errorf("%v\n%s", err, out)
	}
}

// These tests can fail: without the guard the children of a busy parent hang.
func TestHangsWithoutGuard(t *testing.T) {
	module, program := ctest.Testlib(t, "-DPERILUNE_NO_FORK_GUARD"), ctest.CC(t, source)
	out, err := start(t, program, module, "busy", "inherit", "alarm=20")
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		t.Errorf("children without the guard came to an end: %v\n%s", err, out)
	}
	t.Logf("%v: %s", err, out)
}
