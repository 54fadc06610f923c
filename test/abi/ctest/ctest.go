// Package ctest builds and runs the C programs of the tests, and finds the
// library that they load.
package ctest

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Root is the top of the source tree.
func Root(t testing.TB) string {
	t.Helper()
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/perilune/perilune").Output()
	if err != nil {
		t.Fatalf("go list -m: %v", err)
	}
	return strings.TrimSpace(string(out))
}

// Library is the built library.
func Library(t testing.TB) string {
	t.Helper()
	path := filepath.Join(Root(t), "build", "libperilune.so")
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("%v: run make build first", err)
	}
	return path
}

// Testlib builds the library of cryptoki/capi/testlib: the C layer with a fake
// behind it.
func Testlib(t testing.TB, cflags ...string) string {
	t.Helper()
	root := Root(t)
	out := filepath.Join(t.TempDir(), "testlib.so")
	cmd := exec.Command("go", "build", "-buildmode=c-shared", "-o", out, "-ldflags",
		"-linkmode=external -extldflags=-Wl,--version-script="+root+"/cryptoki/libperilune.map", "./cryptoki/capi/testlib")
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "CGO_ENABLED=1", "CGO_CFLAGS=-O2 "+strings.Join(cflags, " "))
	must(t, cmd)
	return out
}

// CC compiles a program of one source file with a strict eye. args are further
// arguments for the compiler.
func CC(t testing.TB, source string, args ...string) string {
	t.Helper()
	out := filepath.Join(t.TempDir(), strings.TrimSuffix(filepath.Base(source), ".c"))
	all := []string{"-std=gnu11", "-O1", "-Wall", "-Wextra", "-Werror", "-I", filepath.Join(Root(t), "include"), "-o", out, source}
	must(t, exec.Command("cc", append(append(all, args...), "-ldl", "-lpthread")...))
	return out
}

func must(t testing.TB, cmd *exec.Cmd) {
	t.Helper()
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", cmd, err, out)
	}
}

// Run runs a program with an HSM of its own and returns what it printed.
func Run(t testing.TB, program string, args ...string) (string, error) {
	t.Helper()
	return RunEnv(t, nil, program, args...)
}

// RunEnv is Run with more variables in the environment.
func RunEnv(t testing.TB, env []string, program string, args ...string) (string, error) {
	t.Helper()
	// Programs have their own alarms; this is for what escapes them.
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	home := t.TempDir()
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Env = append(os.Environ(), "HOME="+home, "XDG_CONFIG_HOME=", "PERILUNE_HOME="+home, "PERILUNE_CONF=")
	cmd.Env = append(cmd.Env, env...)
	out, err := cmd.CombinedOutput()
	return string(out), err
}
