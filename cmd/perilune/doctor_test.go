package main

import (
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// findings runs the doctor and returns what it says on one point.
func (b *bench) findings(status int, name string) (found []check) {
	b.t.Helper()
	r := b.run("doctor", "--json")
	if r.status != status {
		b.t.Errorf("exit status %d, want %d:\n%s%s", r.status, status, r.stdout, r.stderr)
	}
	for _, c := range decode[[]check](b.t, r.stdout) {
		if c.Status != statusOK && c.Advice == "" {
			b.t.Errorf("no advice: %+v", c)
		}
		if c.Name == name {
			found = append(found, c)
		}
	}
	return found
}

// expect wants a finding that says something.
func (b *bench) expect(status int, name, result, text string) {
	b.t.Helper()
	list := b.findings(status, name)
	for _, c := range list {
		if c.Status == result && strings.Contains(c.Detail+c.Advice, text) {
			return
		}
	}
	b.t.Errorf("no %s on %q with %q, but %+v", result, name, text, list)
}

func TestDoctorWithoutHSM(t *testing.T) {
	b := newBench(t)
	b.expect(exitDone, "home", statusWarn, "does not exist")
	if _, err := os.Stat(b.home); err == nil {
		t.Error("the doctor made an HSM")
	}
	if err := os.Mkdir(b.home, 0o700); err != nil {
		t.Fatal(err)
	}
	b.expect(exitDone, "home", statusWarn, "is empty")
	if list, _ := os.ReadDir(b.home); len(list) > 0 {
		t.Errorf("the doctor made %v", list)
	}
}

func TestDoctor(t *testing.T) {
	b := ready(t)
	b.do("hsm init --label lab --so-pin env:HSM_SO")
	b.do("key generate --type aes --pin env:CO")
	b.expect(exitDone, "database", statusOK, "1 partition with 1 object")
	b.expect(exitDone, "integrity", statusOK, "schema version")
	b.expect(exitDone, "HSM", statusOK, `label "lab"`)
	b.expect(exitDone, "leftovers", statusOK, "none")
	b.expect(exitDone, "passwords", statusWarn, "cost of guessing")
	text := b.do("doctor")
	if !strings.Contains(text, "OK    root key") || !strings.Contains(text, " 0 FAIL") {
		t.Errorf("the text:\n%s", text)
	}
	for range 10 {
		b.fails(exitFailed, "key list --pin env:OTHER")
	}
	b.expect(exitDone, "roles", statusWarn, "Crypto Officer of partition")

	stray := write(t, filepath.Join(b.home, ".root.key-123"), "")
	b.expect(exitDone, "leftovers", statusWarn, "rm "+stray)
}

// TestDoctorFindsDamagedRecords: a public object, a private one, and a partition, of
// which the HSM SO deletes what is left.
func TestDoctorFindsDamagedRecords(t *testing.T) {
	b := ready(t)
	b.do("hsm init --label lab --so-pin env:HSM_SO")
	b.do("key generate --type ec:P-256 --label pair --pin env:CO")
	b.do("partition create --name other --hsm-so-pin env:HSM_SO")
	b.expect(exitDone, "records", statusOK, "sound; 1 more is of private objects")
	b.do("partition check --slot 0 --pin env:CO")

	damage := func(kind int) {
		t.Helper()
		db, err := sql.Open("sqlite3", filepath.Join(b.home, "perilune.db"))
		if err == nil {
			_, err = db.Exec("UPDATE record SET sealed = CAST(zeroblob(1) || substr(sealed, 2) AS BLOB) WHERE ref = (SELECT min(ref) FROM record WHERE kind = ?)", kind)
			err = errors.Join(err, db.Close())
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	damage(4)
	b.expect(exitFailed, "records", statusFail, "a public object")
	b.do("key list --slot 0 --pin env:CO")
	damage(5)
	if r := b.run("partition", "check", "--slot", "0", "--pin", "env:CO"); r.status != exitFailed ||
		!strings.Contains(r.stdout, "a private object") || !strings.Contains(r.stdout, "from a copy") || !strings.Contains(r.stdout, "2 are damaged.") {
		t.Errorf("partition check: %d\n%s%s", r.status, r.stdout, r.stderr)
	}
	damage(2)
	b.expect(exitFailed, "records", statusFail, "a partition")
	if list := b.do("partition list"); !strings.Contains(list, "(damaged)") || !strings.Contains(list, "other") {
		t.Errorf("partition list:\n%s", list)
	}
	b.fails(exitFailed, "partition init --slot 0 --label new --so-pin env:PO --force", "damaged")
	b.do("partition delete --slot 0 --hsm-so-pin env:HSM_SO --force")
	b.expect(exitDone, "records", statusOK, "sound")
}

// What helps a locked role is not the same for all of them.
func TestDoctorOnLockedRoles(t *testing.T) {
	b := ready(t)
	b.do("audit init --audit-pin env:CO")
	for range 10 {
		b.fails(exitFailed, "key list --role cu --pin env:OTHER")
		b.fails(exitFailed, "audit login --audit-pin env:OTHER")
	}
	b.expect(exitDone, "roles", statusWarn, "The Crypto Officer can give a new PIN: `perilune role resetpw --role cu")
	b.expect(exitDone, "roles", statusWarn, "It can log in again after")
	for range 10 {
		b.fails(exitFailed, "key list --pin env:OTHER")
	}
	b.expect(exitDone, "roles", statusWarn, "The Partition SO can give a new PIN: `perilune role resetpw --role co")
}

func TestDoctorFindsDamage(t *testing.T) {
	damage := func(f func(b *bench) error) *bench {
		b := ready(t)
		if err := f(b); err != nil {
			t.Fatal(err)
		}
		return b
	}
	rootKey := func(b *bench) string { return filepath.Join(b.home, "root.key") }
	database := func(b *bench) string { return filepath.Join(b.home, "perilune.db") }

	b := damage(func(b *bench) error { return os.Chmod(b.home, 0o755) })
	b.expect(exitDone, "home", statusWarn, "chmod 700")
	b = damage(func(b *bench) error { return os.Chmod(b.home, 0o777) })
	b.expect(exitFailed, "home", statusFail, "chmod 700")
	b = damage(func(b *bench) error { return os.Chmod(rootKey(b), 0o644) })
	b.expect(exitFailed, "root key", statusFail, "chmod 600")
	b = damage(func(b *bench) error { return os.Remove(rootKey(b)) })
	b.expect(exitFailed, "root key", statusFail, "from a copy")
	b = damage(func(b *bench) error { return os.WriteFile(rootKey(b), []byte("nonsense"), 0o600) })
	b.expect(exitFailed, "root key", statusFail, "damaged")
	b = damage(func(b *bench) error {
		return os.WriteFile(database(b), []byte(strings.Repeat("nonsense", 1000)), 0o600)
	})
	b.expect(exitFailed, "database", statusFail, database(b))
	b = damage(func(b *bench) error { return os.Truncate(database(b), 0) })
	b.expect(exitFailed, "database", statusFail, database(b))
	b = damage(func(b *bench) error {
		return os.WriteFile(b.env["PERILUNE_CONF"], []byte("[log]\nlevel = \"loud\"\n"), 0o600)
	})
	b.expect(exitFailed, "configuration", statusFail, "loud")
	b = damage(func(b *bench) error { return os.Chmod(b.env["PERILUNE_CONF"], 0o622) })
	b.expect(exitFailed, "configuration", statusFail, "chmod go-w")
}

// A page that SQLite finds broken, in a database that still opens.
func TestDoctorFindsBrokenPage(t *testing.T) {
	b := ready(t)
	for range 20 {
		b.do("key generate --type generic:2000 --pin env:CO")
	}
	path := filepath.Join(b.home, "perilune.db")
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	const page = 4096
	last := len(data)/page - 1
	for i := range page {
		data[last*page+i] = 0xff
	}
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	failed := false
	for _, c := range decode[[]check](t, b.run("doctor", "--json").stdout) {
		failed = failed || c.Status == statusFail && (c.Name == "integrity" || c.Name == "database")
	}
	if !failed {
		t.Error("a page of 0xff passed")
	}
}

func TestDoctorLooksAtLibrary(t *testing.T) {
	b := newBench(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		filepath.Join(t.TempDir(), "none.so"):             "no such file",
		write(t, filepath.Join(t.TempDir(), "a.so"), "x"): "no shared library",
		self: "no shared library for this processor",
	} {
		r := b.run("doctor", "--module", path)
		if r.status != exitFailed || !strings.Contains(r.stdout, "FAIL  library") || !strings.Contains(r.stdout, want) {
			t.Errorf("%s: exit status %d\n%s", path, r.status, r.stdout)
		}
	}
}
