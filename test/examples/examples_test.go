// Package examples builds every program of c-examples with a strict eye, runs
// it on Perilune and on SoftHSM2, and checks what it prints with code that has
// nothing to do with either.
package examples

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

const (
	sources = "../../c-examples"
	include = "../../include"
)

// patience ends a program that hangs; none comes near it otherwise.
const patience = 2 * time.Minute

// example is what is to be known of a program.
type example struct {
	check func(output)
	// noPIN programs take the module only.
	noPIN bool
	// softFlags are for the compiler, and softCheck is for the output, on
	// SoftHSM2, if something is different there.
	softFlags []string
	softCheck func(output)
	// softRefuses is what the program says on SoftHSM2 if it cannot work there.
	softRefuses string
	// forks tells that it cannot run on Perilune with the address sanitizer.
	forks bool
}

var examples = map[string]example{
	"list-slots":    {check: checkListSlots, noPIN: true},
	"generate-sign": {check: checkGenerateSign},
	"encrypt-gcm":   {check: checkEncryptGCM},
	"wrap-unwrap":   {check: checkWrapUnwrap},
	"find-objects":  {check: checkFindObjects},
	"threads-sign":  {check: checkThreadsSign},
	// SoftHSM2's processes read the token's file while another rewrites it at a
	// login, so it gets one worker. Perilune has threads, and the allocator of the
	// address sanitizer, unlike that of the C library, does not set its locks free
	// in a child: one that a thread held at the fork is held for ever. It also
	// takes for lost what the parent's copy of the module had allocated.
	"fork-sign": {
		check: checkForkSign(3), softCheck: checkForkSign(1), softFlags: []string{"-DWORKERS=1"}, forks: true,
	},
	"govern":      {check: checkGovern, softRefuses: "this module has no CA_GetFunctionList"},
	"message-gcm": {check: checkMessageGCM, softRefuses: "this module has no C_GetInterface"},
}

// Every program is in the table above, and is as long as a page or two.
func TestComplete(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(sources, "*.c"))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	readme := read(t, filepath.Join(sources, "README.md"))
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".c")
		names = append(names, name)
		if lines := strings.Count(read(t, file), "\n"); lines < 60 || lines > 150 {
			t.Errorf("%s has %d lines; an example has 60 to 150", file, lines)
		}
		if !strings.Contains(readme, "\n| "+name+" |") {
			t.Errorf("the README of the examples does not list %s", name)
		}
	}
	if known := slices.Sorted(maps.Keys(examples)); !slices.Equal(names, known) {
		t.Errorf("the examples are %v, and this test knows %v", names, known)
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// The Makefile builds all of them with the compilers that are there.
func TestMakefile(t *testing.T) {
	t.Parallel()
	need(t, "make", "make")
	need(t, "gcc", "gcc")
	for _, compiler := range []string{"gcc", "clang"} {
		t.Run(compiler, func(t *testing.T) {
			if _, err := exec.LookPath(compiler); err != nil {
				t.Skipf("%s is not here; it is a second opinion, which nothing depends on", compiler)
			}
			out := t.TempDir()
			must(t, exec.Command("make", "-C", sources, "OUT="+out, "CC="+compiler))
			for name := range examples {
				if _, err := os.Stat(filepath.Join(out, name)); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

func need(t *testing.T, program, debianPackage string) {
	t.Helper()
	if _, err := exec.LookPath(program); err != nil {
		missing(t, program, debianPackage)
	}
}

func must(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", cmd, err, out)
	}
}

// compile makes a program, without the Makefile, so that its warnings cannot be
// turned off there.
func compile(t *testing.T, dir, name string, flags ...string) string {
	t.Helper()
	program := filepath.Join(dir, name)
	args := []string{"-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-O1", "-g", "-D_POSIX_C_SOURCE=200809L", "-pthread"}
	args = append(append(args, flags...), "-I", include, "-o", program, filepath.Join(sources, name+".c"), "-ldl")
	must(t, exec.Command("gcc", args...))
	return program
}

// run runs a program on a module and returns what it wrote to standard output
// and standard error, and its exit status.
func (m *module) run(t *testing.T, env []string, program string, args ...string) (stdout, stderr string, status int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Env = append(slices.DeleteFunc(os.Environ(), isPIN), append(m.env, env...)...)
	// One that hangs ends with its children, who have its output open.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("%v: %v", cmd, err)
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

func isPIN(variable string) bool {
	return strings.HasPrefix(variable, "PKCS11_PIN=")
}

// variant is a way to compile the programs.
type variant struct {
	name    string
	flags   []string
	forking []string // the flags for programs that fork, on Perilune
}

var variants = []variant{
	{"plain", nil, nil},
	{
		"sanitized",
		[]string{"-fsanitize=address,undefined", "-fno-sanitize-recover=all"},
		[]string{"-fsanitize=undefined", "-fno-sanitize-recover=all"},
	},
}

func TestPerilune(t *testing.T) { testModule(t, perilune, false) }
func TestSoftHSM2(t *testing.T) { testModule(t, soft, true) }

func testModule(t *testing.T, place func(*testing.T) *module, isSoft bool) {
	t.Parallel()
	need(t, "gcc", "gcc")
	for _, v := range variants {
		t.Run(v.name, func(t *testing.T) {
			m := place(t)
			m.initialise(t)
			bin := t.TempDir()
			for _, name := range slices.Sorted(maps.Keys(examples)) {
				t.Run(name, func(t *testing.T) { testExample(t, m, isSoft, v, bin, name) })
			}
		})
	}
}

func testExample(t *testing.T, m *module, isSoft bool, v variant, bin, name string) {
	e := examples[name]
	flags, check, env := v.flags, e.check, []string{"PKCS11_PIN=" + userPIN}
	if isSoft {
		flags = slices.Concat(flags, e.softFlags)
		if e.softCheck != nil {
			check = e.softCheck
		}
	} else if e.forks {
		flags = v.forking
	}
	program := compile(t, bin, name, flags...)
	args := [][]string{{m.path, label}, {m.path, "-"}, {m.path}}
	if e.noPIN {
		args, env = args[2:], nil
	}
	if isSoft && e.softRefuses != "" {
		m.refuses(t, 1, e.softRefuses, env, program, args[0]...)
		return
	}
	for _, args := range args {
		stdout, stderr, status := m.run(t, env, program, args...)
		if status != 0 || stderr != "" {
			t.Fatalf("%v: exit status %d\n%s%s", args, status, stdout, stderr)
		}
		check(output{t, stdout})
	}
}

// refuses checks that a program fails in a certain way.
func (m *module) refuses(t *testing.T, want int, says string, env []string, program string, args ...string) {
	t.Helper()
	stdout, stderr, status := m.run(t, env, program, args...)
	if status != want || !strings.Contains(stderr, says) {
		t.Errorf("%s %v: exit status %d, not %d with %q\n%s%s", filepath.Base(program), args, status, want, says, stdout, stderr)
	}
	if strings.Contains(stdout+stderr, userPIN) || strings.Contains(stdout+stderr, wrongPIN) {
		t.Errorf("%s prints the PIN:\n%s%s", filepath.Base(program), stdout, stderr)
	}
}

const wrongPIN = "not-the-pin"

// What can go wrong is said, by every program.
func TestErrors(t *testing.T) {
	t.Parallel()
	need(t, "gcc", "gcc")
	t.Run("Perilune", func(t *testing.T) { perilune(t).testErrors(t, perilune(t)) })
	t.Run("SoftHSM2", func(t *testing.T) { soft(t).testErrors(t, soft(t)) })
}

func (m *module) testErrors(t *testing.T, fresh *module) {
	m.initialise(t)
	bin := t.TempDir()
	signer := compile(t, t.TempDir(), "generate-sign")
	for _, name := range slices.Sorted(maps.Keys(examples)) {
		t.Run(name, func(t *testing.T) {
			program := compile(t, bin, name)
			pin := []string{"PKCS11_PIN=" + userPIN}
			m.refuses(t, 2, "usage: ", pin, program)
			m.refuses(t, 1, "cannot open shared object file", pin, program, "/nowhere/module.so")
			m.refuses(t, 1, "no C_GetFunctionList", pin, program, "libm.so.6")
			if examples[name].noPIN {
				m.refuses(t, 2, "usage: ", pin, program, m.path, label)
				return
			}
			m.refuses(t, 2, "PKCS11_PIN", nil, program, m.path, label)
			m.refuses(t, 2, "usage: ", pin, program, m.path, label, userPIN)
			m.refuses(t, 1, "no token has this label", pin, program, m.path, "another token")
			fresh.refuses(t, 1, "no token is initialised", pin, program, fresh.path)
			m.refuses(t, 1, "C_Login: CKR_PIN_INCORRECT (0xa0)\n", []string{"PKCS11_PIN=" + wrongPIN}, program, m.path, label)
			// The right PIN keeps the wrong ones of all programs from adding up to a lock.
			if stdout, stderr, status := m.run(t, pin, signer, m.path, label); status != 0 {
				t.Fatalf("with the right PIN: exit status %d\n%s%s", status, stdout, stderr)
			}
		})
	}
}

// Nothing is left in the token but what was there before.
func TestLeavesNothing(t *testing.T) {
	t.Parallel()
	need(t, "gcc", "gcc")
	need(t, "pkcs11-tool", "opensc")
	m := perilune(t)
	m.initialise(t)
	bin := t.TempDir()
	pin := []string{"PKCS11_PIN=" + userPIN}
	for name, e := range examples {
		if e.noPIN {
			continue
		}
		if stdout, stderr, status := m.run(t, pin, compile(t, bin, name), m.path); status != 0 {
			t.Fatalf("%s: exit status %d\n%s%s", name, status, stdout, stderr)
		}
	}
	stdout, stderr, status := m.run(t, pin, "pkcs11-tool", "--module", m.path, "--token-label", label, "--login", "--pin", "env:PKCS11_PIN", "--list-objects")
	if count := strings.Count(stdout, "label:"); status != 0 || count != 2 {
		t.Errorf("exit status %d, and %d objects, not 2, are in the token:\n%s%s", status, count, stdout, stderr)
	}
}
