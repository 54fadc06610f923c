// Package abi looks at the built library from outside: its symbols, what it
// needs, how it bears being loaded, and what C programs get from it.
package abi

import (
	"debug/elf"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/test/abi/ctest"
)

func open(t *testing.T) *elf.File {
	t.Helper()
	f, err := elf.Open(ctest.Library(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// absent are the vendor's functions that are there in name only.
func absent(t *testing.T) (names []string) {
	text, err := os.ReadFile("../../cryptoki/capi/absent.h")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile(`(?m)^ABSENT\((\w+)\)`).FindAllStringSubmatch(string(text), -1) {
		names = append(names, m[1])
	}
	return names
}

// The library shows the functions of PKCS#11 and the vendor's and nothing else, above all none
// of the SQLite inside it.
func TestExports(t *testing.T) {
	symbols, err := open(t).DynamicSymbols()
	if err != nil {
		t.Fatal(err)
	}
	var got, want []string
	for _, s := range symbols {
		if s.Section != elf.SHN_UNDEF {
			got = append(got, s.Name)
		}
	}
	for _, f := range ck.FunctionNames {
		want = append(want, f.Name)
	}
	want = append(want, ck.VendorFunctionNames...)
	want = append(want, absent(t)...)
	slices.Sort(got)
	slices.Sort(want)
	for _, name := range got {
		if _, found := slices.BinarySearch(want, name); !found {
			t.Errorf("%s is visible", name)
		}
	}
	for _, name := range want {
		if _, found := slices.BinarySearch(got, name); !found {
			t.Errorf("%s is missing", name)
		}
	}
}

func TestNeededLibraries(t *testing.T) {
	libs, err := open(t).ImportedLibraries()
	if err != nil {
		t.Fatal(err)
	}
	for _, lib := range libs {
		// The last two are part of libc since glibc 2.34; the linker's own name
		// appears for thread-local storage on some architectures.
		if !slices.ContainsFunc([]string{"libc.so", "libpthread.so", "libdl.so", "ld-linux"}, func(s string) bool { return strings.HasPrefix(lib, s) }) {
			t.Errorf("needs %s", lib)
		}
	}
}

func TestHardening(t *testing.T) {
	f := open(t)
	flags := func(tag elf.DynTag) (v uint64) {
		values, err := f.DynValue(tag)
		if err != nil {
			t.Fatal(err)
		}
		for _, x := range values {
			v |= x
		}
		return v
	}
	if flags(elf.DT_FLAGS_1)&uint64(elf.DF_1_NODELETE) == 0 {
		t.Error("can be unloaded, which a Go runtime does not survive")
	}
	if flags(elf.DT_FLAGS)&uint64(elf.DF_BIND_NOW) == 0 && flags(elf.DT_FLAGS_1)&uint64(elf.DF_1_NOW) == 0 {
		t.Error("binds its symbols lazily")
	}
	for _, tag := range []elf.DynTag{elf.DT_RPATH, elf.DT_RUNPATH} {
		if flags(tag) != 0 {
			t.Errorf("has %v", tag)
		}
	}
	relro := false
	for _, p := range f.Progs {
		relro = relro || p.Type == elf.PT_GNU_RELRO
		if p.Flags&(elf.PF_W|elf.PF_X) == elf.PF_W|elf.PF_X {
			t.Errorf("%v is writable and executable", p.Type)
		}
	}
	if !relro {
		t.Error("tables of addresses stay writable")
	}
}

// runs compiles a program and expects it to find nothing wrong.
func runs(t *testing.T, source string, args ...string) {
	t.Helper()
	out, err := ctest.Run(t, ctest.CC(t, source), args...)
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	if testing.Verbose() && out != "" {
		t.Log(out)
	}
}

func TestLoadAgainAndAgain(t *testing.T) { runs(t, "testdata/reload.c", ctest.Library(t)) }

// TestSignals: a signal that a thread of ours took would not wake the program.
func TestSignals(t *testing.T) { runs(t, "testdata/signals.c", ctest.Library(t)) }

func TestInterfaces(t *testing.T) { runs(t, "testdata/interfaces.c", ctest.Library(t)) }

// Another module in the process, whose functions have the same names.
func TestTwoModules(t *testing.T) {
	other := softhsm(t)
	config := t.TempDir() + "/softhsm2.conf"
	if err := os.WriteFile(config, fmt.Appendf(nil, "directories.tokendir = %s\n", t.TempDir()), 0o600); err != nil {
		t.Fatal(err)
	}
	program := ctest.CC(t, "testdata/two.c")
	ours := ctest.Library(t)
	for _, args := range [][]string{
		{ours, other, "local"},
		{other, ours, "local"},
		// With ours first, SoftHSM2 would take our functions for its own, as it
		// would with any other module.
		{other, ours, "global"},
	} {
		if out, err := ctest.RunEnv(t, []string{"SOFTHSM2_CONF=" + config}, program, args...); err != nil {
			t.Errorf("%v: %v\n%s", args, err, out)
		}
	}
}

func softhsm(t *testing.T) string {
	t.Helper()
	for _, path := range []string{
		"/usr/lib/softhsm/libsofthsm2.so",
		"/usr/local/lib/softhsm/libsofthsm2.so",
		"/usr/lib64/pkcs11/libsofthsm2.so",
	} {
		if _, err := os.Stat(path); err == nil {
			return path
		}
	}
	t.Fatal("SoftHSM2 not found: install the Debian package softhsm2")
	return ""
}

// Through the real stubs, with a module that panics and is passed what nobody
// should pass. What panics say may be secret.
func TestEdges(t *testing.T) {
	out, err := ctest.Run(t, ctest.CC(t, "testdata/edges.c"), ctest.Testlib(t))
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	if n := strings.Count(out, "perilune: panic"); n == 0 || n != strings.Count(out, "\n") {
		t.Errorf("%d panics reported:\n%s", n, out)
	}
	if strings.Contains(out, "a secret") {
		t.Errorf("a secret was reported:\n%s", out)
	}
}

func TestThreads(t *testing.T) { runs(t, "testdata/threads.c", ctest.Testlib(t)) }

// Processes end without a crash or a hang, however often.
func TestExit(t *testing.T) {
	module, program := ctest.Library(t), ctest.CC(t, "testdata/exit.c")
	for _, how := range []string{"finalized", "initialized", "busy", "late"} {
		for range 25 {
			if out, err := ctest.Run(t, program, module, how); err != nil {
				t.Fatalf("%s: %v\n%s", how, err, out)
			}
		}
	}
}

// BenchmarkCalls measures what a call costs beside its work. The figures are
// those of the thread's own time.
func BenchmarkCalls(b *testing.B) {
	out, err := ctest.Run(b, ctest.CC(b, "testdata/calls.c", "-O2"), ctest.Testlib(b), fmt.Sprint(max(b.N, 1000)))
	if err != nil {
		b.Fatalf("%v\n%s", err, out)
	}
	for line := range strings.Lines(out) {
		var name string
		var ns float64
		if _, err := fmt.Sscanf(line, "%s %f", &name, &ns); err != nil {
			b.Fatalf("%q: %v", line, err)
		}
		b.ReportMetric(ns, name+"-ns")
	}
}
