package hsm

import (
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"syscall"

	"github.com/perilune/perilune/ownfile"
)

// RootKey is the secret of the HSM that is not in its store: without it the
// store gives nothing. A file keeps it by default; the interface is this small
// so that a TPM or a key management service can.
type RootKey interface {
	// Derive returns 32 bytes that depend on the root key, the label and the
	// context, and tell nothing of one another.
	Derive(label string, context []byte) ([]byte, error)
}

// RootKeySource finds or makes the root key.
type RootKeySource interface {
	// Load returns the root key, or ErrNoRootKey.
	Load() (RootKey, error)
	// Create makes one, or loads the one that somebody else just made.
	Create() (RootKey, error)
}

// ErrNoRootKey says that there is no root key yet.
var ErrNoRootKey = errors.New("no root key")

// RootKeyBytes is a root key in memory.
type RootKeyBytes []byte

// Derive implements RootKey by HKDF-SHA256 (RFC 5869).
func (k RootKeyBytes) Derive(label string, context []byte) ([]byte, error) {
	return hkdf.Key(sha256.New, k, context, "perilune root: "+label, 32)
}

// Load implements RootKeySource, so that tests can pass the key itself.
func (k RootKeyBytes) Load() (RootKey, error) { return k, nil }

// Create implements RootKeySource.
func (k RootKeyBytes) Create() (RootKey, error) { return k, nil }

// RootKeyFile keeps the root key in a file that only its owner can read.
type RootKeyFile string

const rootKeyMagic = "perilune-root-key-1 "

// Load implements RootKeySource. It refuses a file that others may read or write.
func (path RootKeyFile) Load() (RootKey, error) {
	f, err := os.Open(string(path))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("root key %s: %w", path, ErrNoRootKey)
	}
	if err != nil {
		return nil, fmt.Errorf("root key: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("root key: %w", err)
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("root key %s: not a regular file", path)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("root key %s: others may read or write it (mode %04o); run: chmod 600 %s", path, info.Mode().Perm(), path)
	}
	if st, ok := info.Sys().(*syscall.Stat_t); ok && os.Geteuid() != 0 && st.Uid != uint32(os.Geteuid()) && st.Uid != 0 {
		return nil, fmt.Errorf("root key %s: belongs to user %d, not to this process's user", path, st.Uid)
	}
	buf := make([]byte, 256)
	n, _ := f.Read(buf)
	return parseRootKey(path, string(buf[:n]))
}

func parseRootKey(path RootKeyFile, text string) (RootKey, error) {
	rest, ok := strings.CutPrefix(text, rootKeyMagic)
	key, err := hex.DecodeString(strings.TrimSuffix(rest, "\n"))
	if !ok || err != nil || len(key) != 32 {
		return nil, fmt.Errorf("root key %s: the file is damaged; restore it from a copy, for the keys of this HSM cannot be opened without it", path)
	}
	return RootKeyBytes(key), nil
}

// Create implements RootKeySource. The file appears whole or not at all, and of
// several processes that create it at once all get the same key.
func (path RootKeyFile) Create() (RootKey, error) {
	key := make([]byte, 32)
	rand.Read(key)
	text := rootKeyMagic + hex.EncodeToString(key) + "\n"
	if err := ownfile.Create(string(path), ".root.key-*", []byte(text)); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("create root key: %w", err)
	}
	return path.Load()
}
