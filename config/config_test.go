package config

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// env is an environment for one test.
func env(pairs ...string) Env {
	return func(name string) string {
		for i := 0; i < len(pairs); i += 2 {
			if pairs[i] == name {
				return pairs[i+1]
			}
		}
		return ""
	}
}

func write(t *testing.T, text string, mode os.FileMode) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "perilune.toml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestLoad(t *testing.T) {
	path := write(t, "home = \"/h\"\n[log]\nlevel = \"debug\"\nfile = \"/l\"\n[password]\npasses = 1\nmemory_kib = 64\nthreads = 1\n", 0o600)
	c, err := Load(env("PERILUNE_CONF", path))
	if err != nil {
		t.Fatal(err)
	}
	level, _ := c.LogLevel()
	if c.Home != "/h" || c.Log.File != "/l" || level != slog.LevelDebug || c.Password.MemoryKiB != 64 || c.Path != path {
		t.Errorf("%+v", c)
	}
	if c, err = Load(env("PERILUNE_CONF", path, "PERILUNE_HOME", "/other")); err != nil || c.Home != "/other" {
		t.Errorf("PERILUNE_HOME does not win: %+v, %v", c, err)
	}
}

// TestPlaces: which file is read, and where the HSM is without one.
func TestPlaces(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "perilune"), 0o700); err != nil {
		t.Fatal(err)
	}
	user := filepath.Join(dir, "perilune", "perilune.toml")
	if err := os.WriteFile(user, []byte("home = \"/user\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if c, err := Load(env("XDG_CONFIG_HOME", dir)); err != nil || c.Home != "/user" || c.Path != user {
		t.Errorf("the user's file: %+v, %v", c, err)
	}
	c, err := Load(env("XDG_CONFIG_HOME", t.TempDir(), "HOME", "/home/u"))
	if err != nil {
		t.Fatal(err)
	}
	want := "/home/u/.local/share/perilune"
	if os.Geteuid() == 0 {
		want = "/var/lib/perilune"
	}
	if c.Path == "" && c.Home != want {
		t.Errorf("without a file the home is %s, want %s", c.Home, want)
	}
}

func TestRefused(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		mode os.FileMode
		say  string
	}{
		"writable by others": {"", 0o622, "chmod go-w"},
		"unknown setting":    {"hime = \"/h\"\n", 0o600, "unknown setting"},
		"not TOML":           {"home = \n", 0o600, "perilune.toml"},
		"unknown level":      {"home = \"/h\"\n[log]\nlevel = \"loud\"\n", 0o600, "debug, info, warn, error"},
		"half a cost":        {"home = \"/h\"\n[password]\npasses = 1\n", 0o600, "memory_kib"},
		"absurd cost":        {"home = \"/h\"\n[password]\npasses = 4000000000\nmemory_kib = 64\nthreads = 1\n", 0o600, "minutes"},
		"negative cost":      {"home = \"/h\"\n[password]\npasses = -1\n", 0o600, "perilune.toml"},
	} {
		if _, err := Load(env("PERILUNE_CONF", write(t, c.text, c.mode))); err == nil || !strings.Contains(err.Error(), c.say) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := Load(env("PERILUNE_CONF", "/nowhere/perilune.toml")); err == nil {
		t.Error("a file that PERILUNE_CONF names and that is not there was passed over")
	}
}

// FuzzLoad: any file gives a configuration or an error.
func FuzzLoad(f *testing.F) {
	f.Add([]byte("home = \"/h\"\n[log]\nlevel = \"debug\"\n"))
	path := filepath.Join(f.TempDir(), "perilune.toml")
	f.Fuzz(func(t *testing.T, text []byte) {
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		c, err := Load(env("PERILUNE_CONF", path, "HOME", "/home/u"))
		if err == nil && !filepath.IsAbs(c.Home) {
			t.Errorf("home %q", c.Home)
		}
	})
}
