// Package config finds and reads perilune.toml. None is needed: every setting
// has a default.
package config

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/BurntSushi/toml"
)

// Config is the content of perilune.toml with defaults filled in.
type Config struct {
	// Home is the directory of the HSM.
	Home string `toml:"home"`
	// Log says what is logged, and where.
	Log struct {
		// Level is debug, info, warn or error.
		Level string `toml:"level"`
		// File is appended to; empty for standard error.
		File string `toml:"file"`
	} `toml:"log"`
	// Password is the cost of hashing PINs that are set from now on (Argon2id).
	Password struct {
		Passes    uint32 `toml:"passes"`
		MemoryKiB uint32 `toml:"memory_kib"`
		Threads   uint8  `toml:"threads"`
	} `toml:"password"`

	// Compatibility is for programs that were written for devices.
	Compatibility struct {
		// RemapRSAKeyGen lets FIPS mode make RSA key pairs by the mechanisms of
		// FIPS 186 when the usual ones are asked for.
		RemapRSAKeyGen bool `toml:"remap_rsa_key_generation"`
	} `toml:"compatibility"`

	// Audit says where copies of audit records go.
	Audit struct {
		Syslog []Syslog `toml:"syslog"`
	} `toml:"audit"`

	// Path is the file that was read, empty for none.
	Path string `toml:"-"`
}

// Syslog is a syslog server that gets a copy of every audit record.
type Syslog struct {
	Protocol   string `toml:"protocol"` // unix, udp, tcp or tls
	Address    string `toml:"address"`
	CA         string `toml:"ca"`
	ServerName string `toml:"server_name"`
	Cert       string `toml:"cert"`
	CertKey    string `toml:"cert_key"`
}

// Env looks up an environment variable; os.Getenv will do in a program, but
// not in a library whose host changes its environment.
type Env func(name string) string

// Load reads the configuration: the file that PERILUNE_CONF names, else the
// user's, else /etc/perilune/perilune.toml, else none. PERILUNE_HOME overrides
// the home that it names.
func Load(env Env) (*Config, error) {
	c := new(Config)
	for _, path := range paths(env) {
		err := c.read(path)
		if errors.Is(err, fs.ErrNotExist) && path != env("PERILUNE_CONF") {
			continue
		}
		if err != nil {
			return nil, err
		}
		c.Path = path
		break
	}
	if err := c.complete(env); err != nil {
		return nil, err
	}
	return c, nil
}

func paths(env Env) []string {
	if p := env("PERILUNE_CONF"); p != "" {
		return []string{p}
	}
	var list []string
	if dir := env("XDG_CONFIG_HOME"); dir != "" {
		list = append(list, filepath.Join(dir, "perilune", "perilune.toml"))
	} else if dir := env("HOME"); dir != "" {
		list = append(list, filepath.Join(dir, ".config", "perilune", "perilune.toml"))
	}
	return append(list, "/etc/perilune/perilune.toml")
}

func (c *Config) read(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("configuration: %w", err)
	}
	defer f.Close()
	if err := trusted(f, path); err != nil {
		return err
	}
	meta, err := toml.NewDecoder(f).Decode(c)
	if err != nil {
		return fmt.Errorf("configuration %s: %w", path, err)
	}
	if unknown := meta.Undecoded(); len(unknown) > 0 {
		return fmt.Errorf("configuration %s: unknown setting %q; see docs/configuration.md for the settings there are", path, unknown[0])
	}
	return nil
}

// trusted refuses a file that others could have written.
func trusted(f *os.File, path string) error {
	info, err := f.Stat()
	if err != nil {
		return fmt.Errorf("configuration: %w", err)
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("configuration %s: not a regular file", path)
	}
	if info.Mode().Perm()&0o022 != 0 {
		return fmt.Errorf("configuration %s: others may write it (mode %04o); run: chmod go-w %s", path, info.Mode().Perm(), path)
	}
	if st, ok := info.Sys().(*syscall.Stat_t); ok && st.Uid != 0 && st.Uid != uint32(os.Geteuid()) {
		return fmt.Errorf("configuration %s: belongs to user %d, not to root or to this process's user", path, st.Uid)
	}
	return nil
}

func (c *Config) complete(env Env) error {
	if home := env("PERILUNE_HOME"); home != "" {
		c.Home = home
	}
	if c.Home == "" {
		home, err := defaultHome(env)
		if err != nil {
			return err
		}
		c.Home = home
	}
	abs, err := filepath.Abs(c.Home)
	if err != nil {
		return fmt.Errorf("home %q: %w", c.Home, err)
	}
	c.Home = abs
	if _, err := c.LogLevel(); err != nil {
		return err
	}
	p := c.Password
	if set := p.Passes != 0 || p.MemoryKiB != 0 || p.Threads != 0; set && (p.Passes == 0 || p.Threads == 0 || p.MemoryKiB < 8*uint32(p.Threads)) {
		return fmt.Errorf("configuration %s: [password] needs passes and threads of 1 or more and memory_kib of at least 8 for each thread", c.Path)
	}
	if p.Passes > 1000 || p.MemoryKiB > 4<<20 {
		return fmt.Errorf("configuration %s: [password] would take minutes for one login; passes are at most 1000 and memory_kib at most 4194304", c.Path)
	}
	return nil
}

func defaultHome(env Env) (string, error) {
	if os.Geteuid() == 0 {
		return "/var/lib/perilune", nil
	}
	if dir := env("XDG_DATA_HOME"); dir != "" {
		return filepath.Join(dir, "perilune"), nil
	}
	if dir := env("HOME"); dir != "" {
		return filepath.Join(dir, ".local", "share", "perilune"), nil
	}
	return "", errors.New("no place for the HSM: set PERILUNE_HOME, or home in perilune.toml, or HOME")
}

// LogLevel is the level that the log has, warn unless set.
func (c *Config) LogLevel() (slog.Level, error) {
	if c.Log.Level == "" {
		return slog.LevelWarn, nil
	}
	var level slog.Level
	if err := level.UnmarshalText([]byte(strings.ToUpper(c.Log.Level))); err != nil {
		return 0, fmt.Errorf("configuration %s: log level %q is none of debug, info, warn, error", c.Path, c.Log.Level)
	}
	return level, nil
}
