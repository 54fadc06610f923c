// Package built finds what `make build` made, or what the environment names in
// its place, for tests in folders beside this one.
package built

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// CheapPINs are lines of a configuration by which hashing PINs costs next to
// nothing.
const CheapPINs = "[password]\npasses = 1\nmemory_kib = 64\nthreads = 1\n"

// Library is the shared library, or what PERILUNE_MODULE names.
func Library(t testing.TB) string {
	t.Helper()
	return must(t)(FindLibrary())
}

// Program is the administration program, or what PERILUNE_PROGRAM names.
func Program(t testing.TB) string {
	t.Helper()
	return must(t)(FindProgram())
}

// FindLibrary is Library where there is no test yet.
func FindLibrary() (string, error) {
	return find("libperilune.so", "PERILUNE_MODULE")
}

// FindProgram is Program where there is no test yet.
func FindProgram() (string, error) {
	return find("perilune", "PERILUNE_PROGRAM")
}

func find(name, variable string) (string, error) {
	path := os.Getenv(variable)
	if path == "" {
		path = filepath.Join("../../build", name)
	}
	path, err := filepath.Abs(path)
	if err == nil {
		_, err = os.Stat(path)
	}
	if err != nil {
		return "", fmt.Errorf("%s is not built (%w): run make build, or name one in %s", name, err, variable)
	}
	return path, nil
}

func must(t testing.TB) func(string, error) string {
	return func(path string, err error) string {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return path
	}
}
