package sqlite

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/perilune/perilune/store"
)

var bg = context.Background()

func init() {
	children["write"] = writeUntilKilled
	children["create"] = createAndAdd
	children["lock"] = holdLock
	children["readonly"] = useReadOnly
	children["small files"] = fillSmallFiles
}

// --- kill -9 ---

// A text is what a record of the kill test holds. It is long enough for
// several pages, and says in every part which version it is.
func killText(worker string, version uint64) string {
	return strings.Repeat(fmt.Sprintf("[%s %d]", worker, version), 400)
}

// killTerms are its terms: one of all versions and one of this one.
func killTerms(ref store.Ref, version uint64) []store.Term {
	return []store.Term{benchTerm(1<<32 + uint64(ref)), benchTerm(1<<33 + uint64(ref)<<10 + version)}
}

// writeUntilKilled adds and replaces records from several goroutines, and says
// so on standard output once it is durable.
func writeUntilKilled(args []string) error {
	dir, id := args[0], args[1]
	s, err := open(bg, dir, Options{})
	if err != nil {
		return err
	}
	var wg sync.WaitGroup
	errs := make([]error, 3)
	for i := range errs {
		wg.Go(func() { errs[i] = writeForever(s, fmt.Sprintf("%s.%d", id, i)) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

func writeForever(s *Store, worker string) error {
	for {
		r := store.Record{Space: 1, Kind: 1}
		for r.Version = 1; r.Version <= 3; r.Version++ {
			err := s.Update(bg, func(tx store.Tx) (err error) {
				if r.Version == 1 {
					if r.Ref, err = tx.NewRef(); err != nil {
						return err
					}
				}
				r.Sealed, r.Terms = []byte(killText(worker, r.Version)), killTerms(r.Ref, r.Version)
				if r.Version == 1 {
					return tx.Insert(r)
				}
				return tx.Replace(r)
			})
			if err != nil {
				return err
			}
			if _, err := os.Stdout.WriteString(fmt.Sprintln(r.Ref, r.Version, worker)); err != nil {
				return err
			}
		}
	}
}

// TestKill has two writers at a time, kills one at a random moment, starts
// another, and so on; then it checks that every record that was acknowledged
// is there, at the version acknowledged or a later one, and whole.
// PERILUNE_KILLS sets the number of kills.
func TestKill(t *testing.T) {
	kills := 50
	if n, err := strconv.Atoi(os.Getenv("PERILUNE_KILLS")); err == nil {
		kills = n
	}
	dir := t.TempDir()
	k := &killTest{acknowledged: map[store.Ref]uint64{}, writer: map[store.Ref]string{}}
	rnd := rand.New(rand.NewPCG(1, 1))
	k.start(t, dir, 0)
	for i := 1; i <= kills; i++ {
		k.start(t, dir, i)
		k.readSome(rnd.IntN(12))
		time.Sleep(time.Duration(rnd.IntN(3000)) * time.Microsecond) // the moment of the kill, not a synchronisation
		k.killOldest(t)
		if i%10 == 0 {
			k.check(t, dir)
		}
	}
	k.killOldest(t)
	k.check(t, dir)
	t.Logf("%d kills, %d records acknowledged", kills, len(k.acknowledged))
}

type killTest struct {
	running      []*exec.Cmd
	output       []<-chan string
	acknowledged map[store.Ref]uint64 // the last version
	writer       map[store.Ref]string
}

func (k *killTest) start(t *testing.T, dir string, id int) {
	t.Helper()
	c := child("write", dir, fmt.Sprint(id))
	k.output = append(k.output, lines(t, c))
	k.running = append(k.running, c)
}

// readSome waits for so many words of the youngest writer.
func (k *killTest) readSome(n int) {
	for range n {
		line, ok := <-k.output[len(k.output)-1]
		if !ok {
			return
		}
		k.note(line)
	}
}

func (k *killTest) note(line string) {
	var ref store.Ref
	var version uint64
	var worker string
	if n, _ := fmt.Sscan(line, &ref, &version, &worker); n == 3 {
		k.acknowledged[ref], k.writer[ref] = version, worker
	}
}

func (k *killTest) killOldest(t *testing.T) {
	t.Helper()
	must(t, k.running[0].Process.Kill())
	for line := range k.output[0] {
		k.note(line)
	}
	if err := k.running[0].Wait(); err == nil || !strings.Contains(err.Error(), "killed") {
		t.Fatalf("a writer ended by itself: %v", err)
	}
	k.running, k.output = k.running[1:], k.output[1:]
}

func (k *killTest) check(t *testing.T, dir string) {
	t.Helper()
	s, err := open(bg, dir, Options{})
	must(t, err)
	defer s.Close()
	must(t, s.View(bg, func(tx store.Tx) error {
		list, err := tx.List(1, 1, 0, 0)
		if err != nil {
			return err
		}
		n, err := tx.Count(1, 1)
		if n != uint64(len(list)) {
			t.Errorf("count is %d for %d records", n, len(list))
		}
		found := map[store.Ref]bool{}
		for _, r := range list {
			found[r.Ref] = true
			k.checkRecord(t, tx, r)
		}
		for ref := range k.acknowledged {
			if !found[ref] {
				t.Errorf("record %d was acknowledged and is not there", ref)
			}
		}
		return err
	}))
	c, err := s.connect()
	must(t, err)
	defer c.close()
	must(t, c.query(bg, "PRAGMA integrity_check", func(r *row) error {
		if r.text(0) != "ok" {
			t.Errorf("integrity check: %s", r.text(0))
		}
		return nil
	}))
}

func (k *killTest) checkRecord(t *testing.T, tx store.Tx, r store.Record) {
	t.Helper()
	if v := k.acknowledged[r.Ref]; r.Version < v {
		t.Errorf("record %d is at version %d, acknowledged was %d", r.Ref, r.Version, v)
	}
	worker, _, _ := strings.Cut(strings.TrimPrefix(string(r.Sealed), "["), " ")
	if string(r.Sealed) != killText(worker, r.Version) {
		t.Errorf("record %d is not whole", r.Ref)
	}
	if w := k.writer[r.Ref]; w != "" && w != worker {
		t.Errorf("record %d is by %s, not by %s", r.Ref, worker, w)
	}
	for version := uint64(1); version <= 3; version++ {
		refs, err := tx.Find(1, 1, killTerms(r.Ref, version), 0, 0)
		must(t, err)
		if found := len(refs) == 1; found != (version == r.Version) {
			t.Errorf("record %d at version %d: found by the terms of version %d: %v", r.Ref, r.Version, version, found)
		}
	}
}

// --- creation ---

// createAndAdd opens a store, which may not exist, and adds a record.
func createAndAdd(args []string) error {
	s, err := open(bg, args[0], Options{})
	if err != nil {
		return err
	}
	if _, err := add(s, "a"); err != nil {
		return err
	}
	return s.Close()
}

// TestCreateAtOnce has several processes create one store.
func TestCreateAtOnce(t *testing.T) {
	for range 3 {
		dir := filepath.Join(t.TempDir(), "store")
		var running []*exec.Cmd
		for range 6 {
			c := child("create", dir)
			must(t, c.Start())
			running = append(running, c)
		}
		for _, c := range running {
			must(t, c.Wait())
		}
		if n := len(all(t, openTest(t, dir, Options{}))); n != 6 {
			t.Errorf("%d records by 6 processes", n)
		}
	}
}

// TestKilledCreation kills processes that create a store.
func TestKilledCreation(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 15 {
		dir := filepath.Join(t.TempDir(), "store")
		for range 2 {
			c := child("create", dir)
			must(t, c.Start())
			time.Sleep(time.Duration(rnd.IntN(15_000)) * time.Microsecond) // the moment of the kill, not a synchronisation
			_ = c.Process.Kill()
			_ = c.Wait()
		}
		mustAdd(t, openTest(t, dir, Options{}), "a")
	}
}

// --- locks ---

// holdLock takes a lock, says so, and holds it until its input ends.
func holdLock(args []string) error {
	s, err := open(bg, args[0], Options{})
	if err != nil {
		return err
	}
	if _, err := s.Lock(bg, args[1]); err != nil {
		return err
	}
	fmt.Println("locked")
	_, err = bufio.NewReader(os.Stdin).ReadString('\n')
	return err
}

// TestLockOfDeadProcess kills the holder of a lock.
func TestLockOfDeadProcess(t *testing.T) {
	dir := t.TempDir()
	s := openTest(t, dir, Options{})
	c := child("lock", dir, "name")
	in, err := c.StdinPipe()
	must(t, err)
	defer in.Close()
	if line := <-lines(t, c); line != "locked" {
		t.Fatalf("the child says %q", line)
	}
	ctx, cancel := context.WithTimeout(bg, time.Millisecond)
	defer cancel()
	_, err = s.Lock(ctx, "name")
	wantErr(t, "Lock beside another process", err, store.ErrBusy)
	wantErr(t, "Lock beside another process", err, context.DeadlineExceeded)
	mustAdd(t, s, "locks and transactions are independent")
	release, err := s.Lock(bg, "another name")
	must(t, err)
	release()
	must(t, c.Process.Kill())
	_ = c.Wait()
	release, err = s.Lock(bg, "name")
	must(t, err)
	release()
}

// TestLockSurvivesOtherStores closes another store of this process on the same
// directory, which must not drop the locks of this one.
func TestLockSurvivesOtherStores(t *testing.T) {
	dir := t.TempDir()
	s := openTest(t, dir, Options{})
	release, err := s.Lock(bg, "name")
	must(t, err)
	other := openTest(t, dir, Options{})
	mustAdd(t, other, "a")
	must(t, other.Close())
	c := child("lock", dir, "name")
	in, err := c.StdinPipe()
	must(t, err)
	defer in.Close()
	out := lines(t, c)
	mustAdd(t, s, "b")
	select {
	case line := <-out:
		t.Errorf("the child has the lock as well: %q", line)
	case <-time.After(200 * time.Millisecond): // long enough to catch most mistakes; a slow child fails nothing
	}
	release()
	if line := <-out; line != "locked" {
		t.Errorf("the child says %q", line)
	}
	must(t, c.Process.Kill())
	_ = c.Wait()
}

// --- what the operating system refuses ---

// useReadOnly becomes an ordinary user, if need be, and uses a directory that
// this user may only read.
func useReadOnly(args []string) error {
	dir := args[0]
	if os.Geteuid() == 0 {
		if err := syscall.Setuid(nobody); err != nil {
			return err
		}
	}
	s, err := open(bg, dir, Options{})
	if err != nil {
		return err
	}
	defer s.Close()
	if _, err := add(s, "b"); !errors.Is(err, store.ErrReadOnly) || !strings.Contains(err.Error(), dir) {
		return fmt.Errorf("update: %v", err)
	}
	if _, err := s.Lock(bg, "name"); !errors.Is(err, store.ErrReadOnly) {
		return fmt.Errorf("lock: %v", err)
	}
	if err := s.Scrub(bg); !errors.Is(err, store.ErrReadOnly) {
		return fmt.Errorf("scrub: %v", err)
	}
	if _, err := s.Generation(); err != nil {
		return err
	}
	return s.View(bg, func(tx store.Tx) error {
		r, err := tx.Get(1)
		if err == nil && string(r.Sealed) != "a" {
			err = fmt.Errorf("record 1 is %q", r.Sealed)
		}
		return err
	})
}

const nobody = 65534

func TestReadOnlyDirectory(t *testing.T) {
	dir, err := os.MkdirTemp("", "perilune-test")
	must(t, err)
	defer os.RemoveAll(dir)
	must(t, os.Chmod(dir, 0o755))
	dir = filepath.Join(dir, "store")
	s := openTest(t, dir, Options{})
	mustAdd(t, s, "a")
	forbid := func(files os.FileMode) {
		names, err := filepath.Glob(filepath.Join(dir, "*"))
		must(t, err)
		for _, name := range append(names, dir) {
			mode := files
			if name == dir {
				mode = 0o500
			}
			must(t, os.Chmod(name, mode))
			if os.Geteuid() == 0 {
				must(t, os.Chown(name, nobody, -1))
			}
		}
	}
	try := func(what string) {
		t.Helper()
		if err := child("readonly", dir).Run(); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	forbid(0o400)
	try("files and directory, in use by a writer")
	forbid(0o600)
	try("directory, in use by a writer")
	must(t, s.Close())
	forbid(0o400)
	try("files and directory")
	forbid(0o600)
	try("directory")
	must(t, os.Chmod(dir, 0o700))
}

// fillSmallFiles adds big records until the system refuses to let the files
// grow, then goes on with what still fits, and with more when it may.
func fillSmallFiles(args []string) error {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		return err
	}
	unlimited := limit.Cur
	limit.Cur = 1 << 20
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		return err
	}
	s, err := open(bg, args[0], Options{})
	if err != nil {
		return err
	}
	defer s.Close()
	if err := rewriteOften(s); err != nil {
		return fmt.Errorf("what fits if the log is emptied in time: %w", err)
	}
	for i := 0; err == nil; i++ {
		if _, err = add(s, strings.Repeat("x", 300_000)); i == 100 {
			return errors.New("30 MB in files of 1 MB")
		}
	}
	if !errors.Is(err, store.ErrFull) {
		return fmt.Errorf("full: %w", err)
	}
	if err := s.View(bg, func(tx store.Tx) error { _, err := tx.Get(1); return err }); err != nil {
		return err
	}
	limit.Cur = unlimited
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		return err
	}
	_, err = add(s, strings.Repeat("x", 300_000))
	return err
}

// rewriteOften replaces one record so often that the log would grow to 3 MB.
func rewriteOften(s *Store) error {
	ref, err := add(s, "")
	for version := uint64(2); version <= 30 && err == nil; version++ {
		err = s.Update(bg, func(tx store.Tx) error {
			return tx.Replace(store.Record{Ref: ref, Space: 1, Kind: 1, Version: version, Sealed: make([]byte, 100_000)})
		})
	}
	return err
}

func TestFileSizeLimit(t *testing.T) {
	dir := t.TempDir()
	must(t, child("small files", dir).Run())
	mustAdd(t, openTest(t, dir, Options{}), strings.Repeat("x", 300_000))
}
