// Package local opens the HSM of this host as the configuration says. The
// library and the administration program both begin here.
package local

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/perilune/perilune/config"
	"github.com/perilune/perilune/cryptoki/audit"
	"github.com/perilune/perilune/cryptoki/hsm"
	"github.com/perilune/perilune/store/sqlite"
)

// Open opens the HSM, making it in an empty or missing home.
func Open(ctx context.Context, c *config.Config) (*hsm.HSM, error) {
	log, err := logger(c)
	if err != nil {
		return nil, err
	}
	remotes, err := auditRemotes(c)
	if err != nil {
		return nil, err
	}
	st, err := sqlite.Open(ctx, c.Home, sqlite.Options{})
	if err != nil {
		return nil, err
	}
	h, err := hsm.Open(ctx, hsm.Options{
		Store:    st,
		RootKey:  RootKey(c),
		Mark:     Mark(c),
		Location: c.Home,
		AuditDir: hsm.AuditDir(c.Home), AuditRemotes: remotes,
		Password: hsm.PasswordCost(c.Password),
		Log:      log,

		RemapKeyGen: c.Compatibility.RemapRSAKeyGen,
	})
	if err != nil {
		st.Close()
		return nil, err
	}
	return h, nil
}

// auditRemotes are the syslog servers of the configuration.
func auditRemotes(c *config.Config) (list []audit.Remote, err error) {
	for _, s := range c.Audit.Syslog {
		r := audit.Remote{Protocol: s.Protocol, Address: s.Address, CAFile: s.CA, ServerName: s.ServerName, CertFile: s.Cert, KeyFile: s.CertKey}
		if err := r.Check(); err != nil {
			return nil, fmt.Errorf("configuration %s: [[audit.syslog]]: %w", c.Path, err)
		}
		list = append(list, r)
	}
	return list, nil
}

// RootKey is the place of the root key: a file beside the database.
func RootKey(c *config.Config) hsm.RootKeyFile {
	return hsm.RootKeyFile(filepath.Join(c.Home, "root.key"))
}

// Mark is the place of the mark: a file beside the database, or what is linked
// there.
func Mark(c *config.Config) hsm.MarkFile {
	return hsm.MarkFile(filepath.Join(c.Home, "perilune.mark"))
}

// logger makes the log. Its file is opened for each line, so that nothing stays
// open in the host's process and the file can be rotated.
func logger(c *config.Config) (*slog.Logger, error) {
	level, err := c.LogLevel()
	if err != nil {
		return nil, err
	}
	var w io.Writer = os.Stderr
	if c.Log.File != "" {
		w = appender(c.Log.File)
		if _, err := w.Write(nil); err != nil {
			return nil, fmt.Errorf("log: %w", err)
		}
	}
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: level})), nil
}

type appender string

func (path appender) Write(line []byte) (int, error) {
	f, err := os.OpenFile(string(path), os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	return f.Write(line)
}
