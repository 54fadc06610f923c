package conformance

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/perilune/perilune/test/built"
)

// missingTool reports a tool that is not there: an error in CI, elsewhere a skip
// that says so.
func missingTool(t *testing.T, text string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatal(text)
	}
	t.Skip("NOT TESTED: " + text)
}

// driver compiles testdata/driver.c.
func driver(t *testing.T, flags ...string) string {
	t.Helper()
	cc, err := exec.LookPath("gcc")
	if err != nil {
		missingTool(t, "gcc is not there: run test/setup")
	}
	bin := filepath.Join(t.TempDir(), "driver")
	args := append(flags, "-g", "-Wall", "-Wextra", "-Werror", "-I../../include", "-o", bin, "testdata/driver.c", "-ldl")
	if out, err := exec.Command(cc, args...).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return bin
}

func runDriver(t *testing.T, env []string, command ...string) (string, error) {
	t.Helper()
	_, homeEnv := home(t)
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Env = append(append(os.Environ(), homeEnv...), env...)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// TestAddressSanitizer runs the driver with every buffer watched. What it sees:
// reads and writes beyond a buffer by the C library's functions (memcpy and the
// like), which the sanitizer replaces. What it does not see: loads and stores
// of Go code and of our stubs, which are not instrumented; for these there is
// the next test.
func TestAddressSanitizer(t *testing.T) {
	bin := driver(t, "-fsanitize=address", "-fno-omit-frame-pointer")
	// Go's runtime keeps memory to the end, which is no leak of the driver's.
	env := []string{"ASAN_OPTIONS=detect_leaks=0:abort_on_error=0"}
	module := built.Library(t)
	if out, err := runDriver(t, env, bin, module); err != nil || !strings.Contains(out, "done") {
		t.Errorf("%v\n%s", err, out)
	}
	if out, err := runDriver(t, env, bin, "prove", module); err == nil || !strings.Contains(out, "heap-buffer-overflow") {
		t.Errorf("the sanitizer does not see a read beyond a buffer (%v):\n%s", err, out)
	}
}

// TestAddressSanitizerInGo builds the library with Go's own instrumentation, so
// that loads and stores of Go code in C memory are watched, too. It takes
// minutes when nothing is cached, so it is for PERILUNE_SOAK=1.
func TestAddressSanitizerInGo(t *testing.T) {
	if os.Getenv("PERILUNE_SOAK") == "" {
		t.Skip("takes minutes: run with PERILUNE_SOAK=1")
	}
	module := filepath.Join(t.TempDir(), "libperilune.so")
	build := exec.Command("go", "build", "-asan", "-tags", "sqlite_omit_load_extension", "-buildmode=c-shared", "-o", module, "./cryptoki")
	build.Dir = "../.."
	build.Env = append(os.Environ(), "CGO_ENABLED=1")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	bin := driver(t, "-fsanitize=address", "-fno-omit-frame-pointer")
	out, err := runDriver(t, []string{"ASAN_OPTIONS=detect_leaks=0"}, bin, module)
	if err != nil || !strings.Contains(out, "done") {
		t.Errorf("%v\n%s", err, out)
	}
}

// TestValgrind runs the driver under valgrind's memcheck. Go's garbage
// collector and its stacks, which move, look to it like reads of uninitialised
// memory; testdata/go.supp suppresses what comes from inside of the library.
// What remains are errors in the C library's functions and in the driver. A
// stack that Go uses again looks like invalid writes, too, for to valgrind
// nothing below the stack pointer is memory: see ofGo.
func TestValgrind(t *testing.T) {
	tool, err := exec.LookPath("valgrind")
	if err != nil {
		missingTool(t, "valgrind is not there: run test/setup")
	}
	bin := driver(t)
	supp, err := filepath.Abs("testdata/go.supp")
	if err != nil {
		t.Fatal(err)
	}
	run := func(args ...string) (out string, found []string, err error) {
		out, err = runDriver(t, []string{"GODEBUG=asyncpreemptoff=1"}, append([]string{tool, "--error-limit=no", "--undef-value-errors=no",
			"--suppressions=" + supp, "-q", bin}, args...)...)
		return out, reports(out), err
	}
	out, found, err := run(built.Library(t))
	if err != nil || !strings.Contains(out, "done") {
		t.Errorf("%v\n%s", err, tail(out))
	}
	for _, r := range found {
		t.Errorf("valgrind reports:\n%s", tail(r))
	}
	out, found, _ = run("prove", built.Library(t))
	if len(found) == 0 || !strings.Contains(found[0], "Invalid read") {
		t.Errorf("valgrind does not see a read beyond a buffer:\n%s", tail(out))
	}
}

// reports are valgrind's, but for those of memory that only Go has.
func reports(out string) (list []string) {
	var report strings.Builder
	end := func() {
		if text := report.String(); strings.Contains(text, "    at 0x") && !ofGo(text) {
			list = append(list, text)
		}
		report.Reset()
	}
	for line := range strings.Lines(out) {
		if !strings.HasPrefix(line, "==") {
			continue // what the driver says
		}
		report.WriteString(line)
		if _, text, _ := strings.Cut(line[2:], "=="); strings.TrimSpace(text) == "" {
			end()
		}
	}
	end()
	return list
}

// ofGo reports whether code of the library touches memory that no allocator of C
// gave out: Go's own.
func ofGo(report string) bool {
	_, top, _ := strings.Cut(report, "    at 0x")
	top, _, _ = strings.Cut(top, "\n")
	return strings.Contains(top, "libperilune.so)") && strings.Contains(report, "is in a rw- anonymous segment")
}

func tail(s string) string {
	b := []byte(s)
	if len(b) > 6000 {
		b = b[:6000]
	}
	return string(bytes.TrimSpace(b))
}
