package main

import (
	"bytes"
	"context"
	"database/sql"
	"debug/buildinfo"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/perilune/perilune/config"
	"github.com/perilune/perilune/cryptoki/hsm"
	"github.com/perilune/perilune/cryptoki/local"
	"github.com/perilune/perilune/cryptoki/p11"
	"github.com/perilune/perilune/engine"
)

// Results of a check.
const (
	statusOK   = "OK"
	statusWarn = "WARN"
	statusFail = "FAIL"
)

// check is one line of the doctor's findings.
type check struct {
	Name   string `json:"check"`
	Status string `json:"status"`
	Detail string `json:"detail"`
	Advice string `json:"advice,omitempty"`
}

// doctor gathers findings.
type doctor struct {
	*app
	checks []check
	module string // path of the library to look at; empty to look for it
	prove  bool   // run all self-tests
}

func (d *doctor) ok(name, format string, args ...any) {
	d.checks = append(d.checks, check{name, statusOK, fmt.Sprintf(format, args...), ""})
}

func (d *doctor) warn(name, advice, format string, args ...any) {
	d.checks = append(d.checks, check{name, statusWarn, fmt.Sprintf(format, args...), advice})
}

func (d *doctor) fail(name, advice, format string, args ...any) {
	d.checks = append(d.checks, check{name, statusFail, fmt.Sprintf(format, args...), advice})
}

func (a *app) doctorCommand() *cobra.Command {
	var (
		d      = &doctor{app: a}
		asJSON *bool
	)
	cmd := a.command("doctor", "Check the installation and the HSM, and say what to do", `Checks the configuration, the directory of the HSM, its root key and database, the
library, and the surroundings. Each line is OK, WARN (works, but should be looked
at) or FAIL, with what to do. Nothing is changed, and no HSM is made where there
is none. Exit status: 0 if nothing fails, 1 if something does.`,
		func(cmd *cobra.Command, _ []string) error {
			d.examine(cmd.Context())
			failed := slices.ContainsFunc(d.checks, func(c check) bool { return c.Status == statusFail })
			if *asJSON {
				if err := a.printJSON(d.checks); err != nil {
					return err
				}
			} else {
				d.print()
			}
			if failed {
				return silentError(exitFailed)
			}
			return nil
		})
	cmd.Flags().StringVar(&d.module, "module", "", "the library to check (default: libperilune.so beside this program, or where it is installed)")
	cmd.Flags().BoolVar(&d.prove, "self-test", false, "let every mechanism give its known answer, which takes some seconds")
	asJSON = jsonFlag(cmd)
	return cmd
}

func (d *doctor) print() {
	n := map[string]int{}
	for _, c := range d.checks {
		n[c.Status]++
		fmt.Fprintf(d.stdout, "%-4s  %-14s %s\n", c.Status, c.Name, printable(c.Detail))
		if c.Advice != "" {
			fmt.Fprintf(d.stdout, "      %-14s -> %s\n", "", printable(c.Advice))
		}
	}
	fmt.Fprintf(d.stdout, "\n%s: %d OK, %d WARN, %d FAIL\n", count(len(d.checks), "check"), n[statusOK], n[statusWarn], n[statusFail])
}

func (d *doctor) examine(ctx context.Context) {
	v := thisVersion()
	d.ok("program", "perilune %s, %s, SQLite %s, %s", v.Version, v.Go, v.SQLite, v.System)
	d.ok("cryptography", "this program is served by %s", engine.Module())
	if d.prove {
		d.selfTests()
	}
	d.library(ctx)
	c, err := config.Load(d.env)
	if err != nil {
		d.fail("configuration", "Mend the file; docs/configuration.md has all settings", "%v", err)
		return
	}
	d.configuration(c)
	if d.home(c) {
		d.rootKey(c)
		d.database(ctx, c)
		d.leftovers(c)
	}
	d.space(c)
	d.limits()
}

func (d *doctor) configuration(c *config.Config) {
	if c.Path == "" {
		d.ok("configuration", "no file, which is fine; the HSM is in %s", c.Home)
	} else {
		d.ok("configuration", "%s; the HSM is in %s", c.Path, c.Home)
	}
	if p := c.Password; p.Passes != 0 && (p.MemoryKiB < 7*1024 || uint64(p.Passes)*uint64(p.MemoryKiB) < 19*1024) {
		d.warn("passwords", "Raise [password] in "+c.Path+", or take it out for the default; then let the roles change their PINs",
			"the cost of guessing a PIN is low: %s over %d KiB", plural(uint64(p.Passes), "pass", "passes"), p.MemoryKiB)
	}
}

// selfTests lets every mechanism prove itself.
func (d *doctor) selfTests() {
	const name = "self-tests"
	bad := false
	for _, m := range engine.Mechanisms() {
		if err := m.Proven(); err != nil {
			bad = true
			d.fail(name, "Do not use this build; report it", "%v: %v", m.Type, err)
		}
	}
	if !bad {
		d.ok(name, "all %d mechanisms give their known answers", len(engine.Mechanisms()))
	}
}

// home looks at the directory; false if there is no HSM to look at.
func (d *doctor) home(c *config.Config) bool {
	const name = "home"
	info, err := os.Stat(c.Home)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		d.warn(name, "Nothing to do: the first use makes an HSM there. If there should be one, check PERILUNE_HOME and the configuration",
			"%s does not exist", c.Home)
		return false
	case err != nil:
		d.fail(name, "Run this program as the user who owns the HSM", "%v", err)
		return false
	case !info.IsDir():
		d.fail(name, "Move the file away, or set PERILUNE_HOME to another directory", "%s is not a directory", c.Home)
		return false
	}
	if st, ok := info.Sys().(*syscall.Stat_t); ok && int(st.Uid) != os.Geteuid() && st.Uid != 0 {
		d.fail(name, "Run this program, and those that use the library, as that user",
			"%s belongs to user %d, and this is user %d", c.Home, st.Uid, os.Geteuid())
		return false
	}
	switch mode := info.Mode().Perm(); {
	case mode&0o022 != 0:
		d.fail(name, "chmod 700 "+c.Home, "others can write %s (mode %04o)", c.Home, mode)
	case mode&0o077 != 0:
		d.warn(name, "chmod 700 "+c.Home, "others can look into %s (mode %04o)", c.Home, mode)
	case unix.Access(c.Home, unix.W_OK) != nil:
		d.warn(name, "Give the directory back its permission to write, unless this is meant: no key can be made and nobody can log in", "%s cannot be written", c.Home)
	default:
		d.ok(name, "%s, mode %04o", c.Home, mode)
	}
	if kind := networkFS(c.Home); kind != "" {
		d.fail("file system", "Move the HSM to a local file system: the store of one HSM cannot be shared by several hosts", "%s is on %s", c.Home, kind)
	}
	if entries, err := os.ReadDir(c.Home); err == nil && len(entries) == 0 {
		d.warn(name, "Nothing to do: the first use makes an HSM there. If there should be one, check PERILUNE_HOME and the configuration", "%s is empty", c.Home)
		return false
	}
	return true
}

// networkFS names the file system of a path if hosts share it.
func networkFS(path string) string {
	var st unix.Statfs_t
	if unix.Statfs(path, &st) != nil {
		return ""
	}
	return map[int64]string{
		unix.NFS_SUPER_MAGIC: "NFS", unix.SMB_SUPER_MAGIC: "SMB", unix.SMB2_SUPER_MAGIC: "SMB", unix.CIFS_SUPER_MAGIC: "SMB",
		unix.CEPH_SUPER_MAGIC: "Ceph", unix.AFS_FS_MAGIC: "AFS", unix.V9FS_MAGIC: "9P",
	}[int64(st.Type)]
}

func (d *doctor) rootKey(c *config.Config) {
	const name = "root key"
	path := string(local.RootKey(c))
	_, err := local.RootKey(c).Load()
	switch {
	case errors.Is(err, hsm.ErrNoRootKey):
		if _, statErr := os.Stat(filepath.Join(c.Home, "perilune.db")); statErr == nil {
			d.fail(name, "Put "+path+" back from a copy: without it nothing in the HSM can be opened", "there is none, but there is a database")
		} else {
			d.warn(name, "Nothing to do: the first use makes one", "there is none yet")
		}
	case err != nil:
		d.fail(name, "See the message; keep a copy of this file apart from the database", "%v", err)
	default:
		d.ok(name, "%s, readable by its owner only", path)
	}
}

// database opens the HSM as every program does, and reads all that can be read
// without a PIN.
func (d *doctor) database(ctx context.Context, c *config.Config) {
	const name = "database"
	if _, err := os.Stat(filepath.Join(c.Home, "perilune.db")); errors.Is(err, fs.ErrNotExist) {
		d.warn(name, "Nothing to do: the first use makes one", "there is none yet")
		return
	}
	m, err := d.hsm(ctx)
	if err != nil {
		d.fail(name, "See the message. If the database is damaged, put the whole directory back from a copy", "%s", strings.TrimSuffix(describe(err), "."))
		return
	}
	info, err := p11.Call(ctx, m, &p11.GetHSMInfo{})
	var parts p11.PartitionList
	if err == nil {
		parts, err = p11.Call(ctx, m, &p11.ListPartitions{})
	}
	if err != nil {
		d.fail(name, "Put the whole directory back from a copy", "it opens, but its records do not: %v", err)
		return
	}
	var objects uint64
	for _, p := range parts.Partitions {
		objects += p.Objects
	}
	d.ok(name, "opens; %s with %s", count(len(parts.Partitions), "partition"), count(objects, "object"))
	d.integrity(ctx, c)
	d.records(ctx)
	d.restored(info)
	d.state(ctx, info, parts.Partitions)
	d.clock(info, c)
}

// integrity lets SQLite check the whole file, while the HSM has it open.
func (d *doctor) integrity(ctx context.Context, c *config.Config) {
	const name = "integrity"
	advice := "Stop the programs that use the HSM, and put the whole directory back from a copy"
	dsn := url.URL{Scheme: "file", Path: filepath.Join(c.Home, "perilune.db"), RawQuery: "mode=ro&_busy_timeout=5000"}
	db, err := sql.Open("sqlite3", dsn.String())
	if err != nil {
		d.fail(name, advice, "%v", err)
		return
	}
	defer db.Close()
	var result string
	var schema int
	err = db.QueryRowContext(ctx, "PRAGMA integrity_check(1)").Scan(&result)
	if err == nil {
		err = db.QueryRowContext(ctx, "PRAGMA user_version").Scan(&schema)
	}
	switch {
	case err != nil:
		d.fail(name, advice, "SQLite cannot check the database: %v", err)
	case result != "ok":
		d.fail(name, advice, "the database is damaged: %s", result)
	default:
		d.ok(name, "SQLite finds the database sound; schema version %d", schema)
	}
}

func (d *doctor) state(ctx context.Context, info p11.HSMInfo, parts []p11.PartitionInfo) {
	const name = "HSM"
	switch {
	case info.Zeroized:
		d.warn(name, "`perilune hsm init` begins anew; keys come back only from a copy", "it was zeroized by too many wrong PINs of the HSM SO")
	case !info.Initialized:
		d.ok(name, "serial number %d, no HSM SO: partitions are made through the free slot", info.Serial)
	default:
		d.ok(name, "serial number %d, label %q, HSM SO with %s left", info.Serial, info.Label, plural(info.SOAttemptsLeft, "try", "tries"))
	}
	targets := []target{admin}
	for _, p := range parts {
		targets = append(targets, target{slot: p.Slot, info: p})
	}
	for _, t := range targets {
		roles, err := d.roles(ctx, t)
		if err != nil {
			d.fail("roles", "Put the whole directory back from a copy", "%s", describe(err))
			continue
		}
		for _, r := range roles {
			switch {
			case r.Locked:
				def, _ := roleNamed(r.Role)
				d.warn("roles", d.unlock(ctx, t, def.role), "the %s of %s is locked out", r.Name, t)
			case r.Initialized && r.AttemptsLeft == 1:
				d.warn("roles", "Find out who enters wrong PINs; a login with the right PIN clears the count", "the %s of %s has one try left", r.Name, t)
			}
		}
	}
}

// leftovers looks for files that do not belong there.
func (d *doctor) leftovers(c *config.Config) {
	const name = "leftovers"
	known := []string{"perilune.db", "perilune.db-wal", "perilune.db-shm", "perilune.lock", "perilune.gen", "perilune.mark", "root.key", "perilune.toml", "archives", "audit"}
	entries, err := os.ReadDir(c.Home)
	if err != nil {
		d.fail(name, "Run this program as the user who owns the HSM", "%v", err)
		return
	}
	found := false
	for _, e := range entries {
		path := filepath.Join(c.Home, e.Name())
		switch {
		case slices.Contains(known, e.Name()) || path == c.Log.File:
		case strings.HasPrefix(e.Name(), ".root.key-"):
			found = true
			d.warn(name, "rm "+path, "%s was left by a program that was killed while it made the root key", path)
		case e.Name() == "perilune.db-journal":
			found = true
			d.warn(name, "Find out which program opened the database; only Perilune should", "%s is not from this program", path)
		default:
			found = true
			d.warn(name, "Move it elsewhere; copies of the HSM should lie on another disk", "%s does not belong to the HSM", path)
		}
	}
	if !found {
		d.ok(name, "none")
	}
}

// clock compares the clock with the time when the HSM was made.
func (d *doctor) clock(info p11.HSMInfo, c *config.Config) {
	const name = "clock"
	now := time.Now()
	made, err := time.Parse(time.RFC3339, info.Created)
	switch {
	case err != nil:
		d.warn(name, "Report this; nothing depends on it", "the HSM's time of creation %q cannot be read", info.Created)
	case now.Before(made.Add(-time.Minute)):
		d.warn(name, "Set the clock of this machine", "it is %s, but the HSM was made on %s", now.UTC().Format(time.RFC3339), info.Created)
	default:
		d.ok(name, "%s; the HSM was made on %s", now.UTC().Format(time.RFC3339), info.Created)
	}
}

// Limits of free space.
const (
	littleSpace = 200 << 20
	noSpace     = 10 << 20
)

func (d *doctor) space(c *config.Config) {
	const name = "disk space"
	dir := c.Home
	for {
		if _, err := os.Stat(dir); err == nil || dir == filepath.Dir(dir) {
			break
		}
		dir = filepath.Dir(dir)
	}
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		d.warn(name, "Look at the file system of "+dir, "%v", err)
		return
	}
	free := st.Bavail * uint64(st.Bsize)
	advice := "Free some space on the file system of " + dir
	switch {
	case free < noSpace:
		d.fail(name, advice, "%d MiB free: soon nobody can log in, since each login is written down", free>>20)
	case free < littleSpace:
		d.warn(name, advice, "%d MiB free", free>>20)
	case st.Files > 0 && st.Ffree < 100:
		d.warn(name, advice, "%d files can still be made", st.Ffree)
	default:
		d.ok(name, "%d MiB free", free>>20)
	}
}

// limits looks at what keeps keys in use from the disk.
func (d *doctor) limits() {
	var lock, core unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_MEMLOCK, &lock); err == nil {
		text := "as much memory as they like"
		if lock.Cur != unix.RLIM_INFINITY {
			text = fmt.Sprintf("%d KiB of memory", lock.Cur>>10)
		}
		d.ok("memory lock", "programs can lock %s; the library of this version locks none", text)
	}
	if swaps := plainSwaps(); len(swaps) > 0 {
		d.warn("swap", "Encrypt the swap space, or switch it off", "keys in use may be written to %s", strings.Join(swaps, ", "))
	} else {
		d.ok("swap", "none that is known to be unencrypted")
	}
	if err := unix.Getrlimit(unix.RLIMIT_CORE, &core); err == nil {
		if core.Cur > 0 {
			d.warn("core dumps", "ulimit -c 0, or LimitCORE=0 in systemd, for programs that use the library", "they are on: a crash would write keys in use to disk")
		} else {
			d.ok("core dumps", "off")
		}
	}
}

// plainSwaps are the swap spaces that are neither in memory nor on a mapped
// device, which is what encrypted ones are on.
func plainSwaps() (list []string) {
	b, err := os.ReadFile("/proc/swaps")
	if err != nil {
		return nil
	}
	for i, line := range strings.Split(string(b), "\n") {
		f := strings.Fields(line)
		if i > 0 && len(f) > 0 && !strings.HasPrefix(f[0], "/dev/zram") && !strings.HasPrefix(f[0], "/dev/dm-") {
			list = append(list, f[0])
		}
	}
	return list
}

// library looks at the PKCS#11 module.
func (d *doctor) library(ctx context.Context) {
	const name = "library"
	path := d.module
	if path == "" {
		if path = findLibrary(); path == "" {
			d.warn(name, "Give its place with --module, or install it: make install", "libperilune.so is not beside this program and not where it is installed")
			return
		}
	}
	exports, err := cryptokiExports(path)
	if err != nil {
		d.fail(name, "Build or install it again: make install", "%s: %v", path, err)
		return
	}
	if why := loads(ctx, path); why != "" {
		d.fail(name, "Install what it asks for, or build it on this system: make install", "%s does not load: %s", path, why)
		return
	}
	info, err := buildinfo.ReadFile(path)
	if err != nil {
		d.warn(name, "Build it again: make build", "%s loads (%d functions), but does not tell its version: %v", path, exports, err)
		return
	}
	mine := thisVersion()
	rev := revision(info)
	switch {
	case !strings.HasPrefix(info.Path, "github.com/perilune/perilune/"):
		d.warn(name, "Give the place of Perilune's library with --module", "%s is a PKCS#11 module, but not Perilune's", path)
	case rev != mine.Revision || info.GoVersion != mine.Go:
		d.warn(name, "Install both from one build: make install", "%s loads (%d functions), but is from another build than this program (%s %s, %s %s)",
			path, exports, info.GoVersion, or(rev, "unknown"), mine.Go, or(mine.Revision, "unknown"))
	default:
		d.ok(name, "%s loads; %d functions; %s; %s", path, exports, info.GoVersion, builtModule(info))
	}
}

// builtModule says which cryptographic module a library was built with.
func builtModule(info *buildinfo.BuildInfo) string {
	for _, s := range info.Settings {
		if s.Key == "GOFIPS140" && s.Value != "off" {
			return "Go FIPS 140-3 module " + s.Value + " (on, unless a program that loads it has GODEBUG=fips140=off)"
		}
	}
	return "Go's cryptography, not as FIPS 140-3 module"
}

// findLibrary looks where `make build` and `make install` put the library.
func findLibrary() string {
	self, err := os.Executable()
	if err != nil {
		return ""
	}
	if real, err := filepath.EvalSymlinks(self); err == nil {
		self = real
	}
	dir := filepath.Dir(self)
	for _, place := range []string{".", "../lib/pkcs11", "../lib"} {
		path := filepath.Join(dir, place, "libperilune.so")
		if _, err := os.Stat(path); err == nil {
			return path
		}
	}
	return ""
}

// cryptokiExports counts the C_ functions that a shared library offers.
func cryptokiExports(path string) (n int, err error) {
	f, err := elf.Open(path)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
		return 0, err
	}
	if err != nil {
		return 0, fmt.Errorf("it is no shared library (%w)", err)
	}
	defer f.Close()
	machine := map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64, "386": elf.EM_386,
		"arm": elf.EM_ARM, "riscv64": elf.EM_RISCV, "ppc64le": elf.EM_PPC64, "s390x": elf.EM_S390}[runtime.GOARCH]
	if f.Type != elf.ET_DYN || f.Machine != machine {
		return 0, fmt.Errorf("it is no shared library for this processor (%s, %s)", f.Type, f.Machine)
	}
	symbols, err := f.DynamicSymbols()
	if err != nil {
		return 0, err
	}
	entry := false
	for _, s := range symbols {
		if s.Section == elf.SHN_UNDEF || !strings.HasPrefix(s.Name, "C_") {
			continue
		}
		n++
		entry = entry || s.Name == "C_GetFunctionList"
	}
	if !entry {
		return 0, errors.New("it is no PKCS#11 module: C_GetFunctionList is missing")
	}
	return n, nil
}

// loads lets the dynamic linker load a library in a process of its own, which
// runs no code of it, and returns the complaint; empty if there is none or if
// there is no way to tell.
func loads(ctx context.Context, path string) string {
	linker := dynamicLinker()
	if linker == "" {
		return ""
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		return err.Error()
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, linker, "--list", abs)
	cmd.Env = append(os.Environ(), "LD_BIND_NOW=1", "LD_WARN=1")
	var stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = io.Discard, &stderr
	var out bytes.Buffer
	cmd.Stdout = &out
	err = cmd.Run()
	for line := range strings.Lines(out.String() + stderr.String()) {
		if line = strings.TrimSpace(line); strings.Contains(line, "not found") || strings.Contains(line, "undefined symbol") {
			return line
		}
	}
	if err != nil {
		return strings.TrimSpace(strings.SplitN(stderr.String(), "\n", 2)[0] + " " + err.Error())
	}
	return ""
}

// dynamicLinker is the one that started this program.
func dynamicLinker() string {
	self, err := os.Executable()
	if err != nil {
		return ""
	}
	f, err := elf.Open(self)
	if err != nil {
		return ""
	}
	defer f.Close()
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			b, err := io.ReadAll(p.Open())
			if err != nil {
				return ""
			}
			return string(bytes.TrimRight(b, "\x00"))
		}
	}
	return ""
}
