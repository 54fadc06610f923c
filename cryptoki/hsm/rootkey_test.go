package hsm

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

func derived(t *testing.T, k RootKey) []byte {
	t.Helper()
	b, err := k.Derive("test", nil)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestRootKeyFile(t *testing.T) {
	path := RootKeyFile(filepath.Join(t.TempDir(), "root.key"))
	if _, err := path.Load(); !errors.Is(err, ErrNoRootKey) {
		t.Fatalf("no file: %v", err)
	}
	var wg sync.WaitGroup
	keys := make([]RootKey, 8)
	for i := range keys { // all that create it at once get the same
		wg.Go(func() {
			k, err := path.Create()
			if err != nil {
				t.Error(err)
			}
			keys[i] = k
		})
	}
	wg.Wait()
	again, err := path.Load()
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range keys {
		if k != nil && !bytes.Equal(derived(t, k), derived(t, again)) {
			t.Error("two root keys were made")
		}
	}
	info, err := os.Stat(string(path))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	left, err := os.ReadDir(filepath.Dir(string(path)))
	if err != nil || len(left) != 1 {
		t.Errorf("files left behind: %v, %v", left, err)
	}
}

func TestRootKeyRefused(t *testing.T) {
	good := rootKeyMagic + strings.Repeat("ab", 32) + "\n"
	for name, c := range map[string]struct {
		text string
		mode os.FileMode
		say  string
	}{
		"readable by others": {good, 0o640, "chmod 600"},
		"empty":              {"", 0o600, "damaged"},
		"short":              {good[:40], 0o600, "damaged"},
		"long":               {good + "00", 0o600, "damaged"},
		"no hexadecimal":     {rootKeyMagic + strings.Repeat("xy", 32), 0o600, "damaged"},
	} {
		path := filepath.Join(t.TempDir(), "root.key")
		if err := os.WriteFile(path, []byte(c.text), c.mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, c.mode); err != nil {
			t.Fatal(err)
		}
		_, err := RootKeyFile(path).Load()
		if err == nil || !strings.Contains(err.Error(), c.say) {
			t.Errorf("%s: %v", name, err)
		}
		if err != nil && strings.Contains(err.Error(), "abab") {
			t.Errorf("%s: the error gives the key away", name)
		}
	}
	if _, err := RootKeyFile(t.TempDir()).Load(); err == nil {
		t.Error("a directory was taken for a root key")
	}
}

// FuzzRootKey: any file is a key of 32 bytes or an error.
func FuzzRootKey(f *testing.F) {
	f.Add(rootKeyMagic + strings.Repeat("ab", 32) + "\n")
	f.Fuzz(func(t *testing.T, text string) {
		k, err := parseRootKey("root.key", text)
		if err == nil && len(k.(RootKeyBytes)) != 32 {
			t.Errorf("key %x", k)
		}
	})
}
