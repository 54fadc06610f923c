package clients

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

const (
	soPIN   = "so-pin-31415926"
	userPIN = "user-pin-271828"
)

// A module is one PKCS#11 library under test.
type module struct {
	name string
	path func() (string, error)
	// env makes an empty home for the module in dir and returns the
	// environment that leads the library there.
	env func(dir string) ([]string, error)
}

var modules = []module{
	{name: "perilune", path: periluneLibrary, env: periluneHome},
	{name: "softhsm2", path: softHSMLibrary, env: softHSMHome},
}

func periluneLibrary() (string, error) {
	if path := os.Getenv("PERILUNE_MODULE"); path != "" {
		if !filepath.IsAbs(path) {
			return "", fmt.Errorf("PERILUNE_MODULE is %q: give an absolute path", path)
		}
		return path, exists(path)
	}
	root, err := repositoryRoot()
	if err != nil {
		return "", err
	}
	path := filepath.Join(root, "build", "libperilune.so")
	if err := exists(path); err != nil {
		return "", fmt.Errorf("%w; run `make build` first, or name the library in PERILUNE_MODULE", err)
	}
	return path, nil
}

// repositoryRoot walks up from the package to the folder that holds the main
// module's header and this test module.
func repositoryRoot() (string, error) {
	start, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for dir := start; ; dir = filepath.Dir(dir) {
		if exists(filepath.Join(dir, "include", "pkcs11.h")) == nil {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", fmt.Errorf("no folder above %s holds include/pkcs11.h: run the tests inside the repository", start)
		}
	}
}

func periluneHome(dir string) ([]string, error) {
	// An empty configuration file keeps the machine's own away from the tests.
	conf := filepath.Join(dir, "perilune.toml")
	if err := os.WriteFile(conf, nil, 0o644); err != nil {
		return nil, err
	}
	return []string{
		"PERILUNE_CONF=" + conf,
		"PERILUNE_HOME=" + filepath.Join(dir, "hsm"),
	}, nil
}

func softHSMLibrary() (string, error) {
	candidates := []string{
		"/usr/lib/softhsm/libsofthsm2.so",
		"/usr/lib64/softhsm/libsofthsm2.so",
		"/usr/local/lib/softhsm/libsofthsm2.so",
	}
	for _, path := range candidates {
		if exists(path) == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("libsofthsm2.so is in none of %s: run test/setup", strings.Join(candidates, ", "))
}

func softHSMHome(dir string) ([]string, error) {
	tokens := filepath.Join(dir, "tokens")
	if err := os.Mkdir(tokens, 0o700); err != nil {
		return nil, err
	}
	conf := filepath.Join(dir, "softhsm2.conf")
	text := "directories.tokendir = " + tokens + "\nobjectstore.backend = file\nlog.level = ERROR\nslots.removable = false\n"
	return []string{"SOFTHSM2_CONF=" + conf}, os.WriteFile(conf, []byte(text), 0o644)
}

// A token is an initialised token of one module, alone in its home.
type token struct {
	module  string
	library string
	dir     string // scratch space of the test, and the working directory of its commands
	env     []string
	label   string
	soPIN   string
	pin     string

	credential *syscall.Credential // the user who runs the commands; nil for the caller
}

// newHome gives a module an empty home: no token is initialised yet.
func newHome(t *testing.T, m module) *token {
	t.Helper()
	library, err := m.path()
	if err != nil {
		missing(t, err.Error())
	}
	dir := scratch(t)
	env, err := m.env(dir)
	if err != nil {
		t.Fatal(err)
	}
	return &token{
		module:  m.name,
		library: library,
		dir:     dir,
		env:     env,
		label:   "clients",
		soPIN:   soPIN,
		pin:     userPIN,
	}
}

// scratch is t.TempDir under a short path: sockets of ssh-agent do not fit
// into a long one.
func scratch(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "clients")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Errorf("removing the scratch folder: %v", err)
		}
	})
	return dir
}

func exists(path string) error {
	_, err := os.Stat(path)
	return err
}
