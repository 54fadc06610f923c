package sqlite

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/perilune/perilune/store"
	"github.com/perilune/perilune/store/storetest"
)

func TestConformance(t *testing.T) {
	storetest.Run(t, func(t *testing.T) storetest.Opener {
		dir := t.TempDir()
		return func() (store.Store, error) { return Open(t.Context(), dir, Options{}) }
	})
}

// openTest opens a store that is closed when the test ends.
func openTest(t testing.TB, dir string, opts Options) *Store {
	t.Helper()
	s, err := open(context.Background(), dir, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return s
}

// add inserts a record and returns its ref.
func add(s store.Store, sealed string, terms ...store.Term) (ref store.Ref, err error) {
	err = s.Update(context.Background(), func(tx store.Tx) (err error) {
		if ref, err = tx.NewRef(); err != nil {
			return err
		}
		return tx.Insert(store.Record{Ref: ref, Space: 1, Kind: 1, Version: 1, Sealed: []byte(sealed), Terms: terms})
	})
	return ref, err
}

func mustAdd(t testing.TB, s store.Store, sealed string, terms ...store.Term) store.Ref {
	t.Helper()
	ref, err := add(s, sealed, terms...)
	if err != nil {
		t.Fatal(err)
	}
	return ref
}

// all returns the refs of all records.
func all(t testing.TB, s store.Store) (refs []store.Ref) {
	t.Helper()
	err := s.View(context.Background(), func(tx store.Tx) (err error) {
		refs, err = tx.Find(1, 1, nil, 0, 0)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return refs
}

func wantErr(t testing.TB, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: error is %v, want %v", what, err, want)
	}
}

// umask sets the umask of the process for one test.
func umask(t *testing.T, mask int) {
	old := syscall.Umask(mask)
	t.Cleanup(func() { syscall.Umask(old) })
}

func TestModesDoNotDependOnUmask(t *testing.T) {
	for _, mask := range []int{0, 0o077, 0o277} {
		t.Run(fmt.Sprintf("%#o", mask), func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "store")
			umask(t, mask)
			s := openTest(t, dir, Options{})
			mustAdd(t, s, "a")
			wantMode(t, dir, 0o700)
			for _, name := range []string{dbName, dbName + "-wal", dbName + "-shm", lockName, genName} {
				wantMode(t, filepath.Join(dir, name), 0o600)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			names, err := filepath.Glob(filepath.Join(dir, "*"))
			if err != nil || len(names) != 5 {
				t.Errorf("files are %v, %v", names, err)
			}
		})
	}
}

func wantMode(t *testing.T, path string, want os.FileMode) {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Error(err)
	} else if got := info.Mode().Perm(); got != want {
		t.Errorf("mode of %s is %#o, want %#o", path, got, want)
	}
}

func TestRefusesWhatOthersMayWrite(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "store")
	if err := openTest(t, dir, Options{}).Close(); err != nil {
		t.Fatal(err)
	}
	refused := func(path, advice string) {
		t.Helper()
		_, err := Open(t.Context(), dir, Options{})
		if err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), advice) {
			t.Errorf("Open: %v; want a word on %s and %q", err, path, advice)
		}
	}
	for _, path := range []string{dir, filepath.Join(dir, dbName), filepath.Join(dir, lockName), filepath.Join(dir, genName)} {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, bit := range []os.FileMode{0o020, 0o002} {
			must(t, os.Chmod(path, info.Mode()|bit))
			refused(path, "chmod go-w "+path)
		}
		must(t, os.Chmod(path, info.Mode()))
	}
	gen := filepath.Join(dir, genName)
	must(t, os.Remove(gen))
	must(t, os.Symlink(lockName, gen))
	refused(gen, "not a regular file")
	must(t, os.Remove(gen))
	must(t, os.Chmod(dir, 0o755)) // to be read is no harm
	mustAdd(t, openTest(t, dir, Options{}), "a")
}

// TestRootUsesAnothersStore: what root makes in another user's directory is
// that user's, and others may not use it.
func TestRootUsesAnothersStore(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can give files away")
	}
	const owner = 12345
	dir := filepath.Join(t.TempDir(), "store")
	must(t, os.Mkdir(dir, 0o700))
	must(t, os.Chown(dir, owner, owner))
	st := openTest(t, dir, Options{})
	mustAdd(t, st, "a")
	entries, err := os.ReadDir(dir)
	must(t, err)
	for _, e := range entries {
		info, err := e.Info()
		must(t, err)
		if uid := info.Sys().(*syscall.Stat_t).Uid; uid != owner {
			t.Errorf("%s belongs to user %d", e.Name(), uid)
		}
	}
	info, err := os.Stat(dir)
	must(t, err)
	if err := ownedBy(dir, info, owner+1); err == nil || !strings.Contains(err.Error(), "belongs to user 12345") {
		t.Errorf("another user's store: %v", err)
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestOpenRefusesOtherThings(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	must(t, os.WriteFile(file, nil, 0o600))
	for _, dir := range []string{file, filepath.Join(file, "below")} {
		if s, err := Open(t.Context(), dir, Options{}); err == nil {
			s.Close()
			t.Errorf("Open of %s succeeded", dir)
		}
	}
}

func TestOddDirectoryNames(t *testing.T) {
	for _, name := range []string{"a b", "a?b=c", "a#b", "a%41b", "a'b;c", "äö"} {
		dir := filepath.Join(t.TempDir(), name, "store")
		mustAdd(t, openTest(t, dir, Options{}), "a")
		if _, err := os.Stat(filepath.Join(dir, dbName)); err != nil {
			t.Error(err)
		}
	}
}

// TestNothingLeaks compares goroutines and open files before and after.
func TestNothingLeaks(t *testing.T) {
	use := func(dir string) {
		s, other := openTest(t, dir, Options{}), openTest(t, dir, Options{})
		mustAdd(t, s, "a")
		mustAdd(t, other, "b")
		all(t, s)
		release, err := s.Lock(t.Context(), "held until Close")
		must(t, err)
		_ = release
		must(t, s.Close())
		must(t, other.Close())
	}
	use(t.TempDir())
	goroutines, files := runtime.NumGoroutine(), openFiles(t)
	for range 5 {
		use(t.TempDir())
	}
	for range 1000 { // ended goroutines are counted until they are scheduled away
		if runtime.NumGoroutine() <= goroutines {
			break
		}
		runtime.Gosched()
	}
	if n := runtime.NumGoroutine(); n > goroutines {
		t.Errorf("%d goroutines, %d before", n, goroutines)
	}
	if n := openFiles(t); n > files {
		t.Errorf("%d open files, %d before", n, files)
	}
	if n := len(lockFiles.m); n != 0 {
		t.Errorf("%d lock files are still known", n)
	}
}

func openFiles(t *testing.T) int {
	names, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skip("this system does not list open files")
	}
	return len(names)
}

// TestGroupCommit holds one Update open while others queue: all of those share
// the next commit.
func TestGroupCommit(t *testing.T) {
	const followers = 40
	s := openTest(t, t.TempDir(), Options{groupTime: time.Hour})
	before := generationOf(t, s)
	release := holdWriter(s)
	var wg sync.WaitGroup
	for i := range followers {
		wg.Go(func() {
			if _, err := add(s, fmt.Sprint(i)); err != nil {
				t.Error(err)
			}
		})
	}
	waitQueued(s, followers)
	release()
	wg.Wait()
	if n := generationOf(t, s) - before; n != 1 {
		t.Errorf("%d commits for %d queued updates", n, followers)
	}
	if n := len(all(t, s)); n != followers {
		t.Errorf("%d records", n)
	}
}

// holdWriter returns when an Update is under way, which ends with release.
func holdWriter(s *Store) (release func()) {
	inside, leave, left := make(chan struct{}), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(left)
		_ = s.Update(context.Background(), func(store.Tx) error {
			close(inside)
			<-leave
			return errors.New("nothing to do")
		})
	}()
	<-inside
	return func() { close(leave); <-left }
}

// waitQueued waits until so many calls are in the queue.
func waitQueued(s *Store, n int) {
	for {
		s.writer.queue.mu.Lock()
		queued := len(s.writer.queue.waiting)
		s.writer.queue.mu.Unlock()
		if queued == n {
			return
		}
		runtime.Gosched()
	}
}

func generationOf(t testing.TB, s store.Store) uint64 {
	t.Helper()
	n, err := s.Generation()
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestPanicInGroup has calls of one group panic, as leader and as follower.
func TestPanicInGroup(t *testing.T) {
	s := openTest(t, t.TempDir(), Options{})
	release := holdWriter(s)
	var wg sync.WaitGroup
	panics := make(chan any, 4)
	for i := range 12 {
		wg.Go(func() {
			if i%3 == 0 {
				defer func() { panics <- recover() }()
			}
			_ = s.Update(context.Background(), func(tx store.Tx) error {
				ref, err := tx.NewRef()
				if err != nil {
					return err
				}
				err = tx.Insert(store.Record{Ref: ref, Space: 1, Kind: 1, Version: 1})
				if i%3 == 0 {
					panic(i)
				}
				return err
			})
		})
	}
	waitQueued(s, 12)
	release()
	wg.Wait()
	for range 4 {
		if p, ok := (<-panics).(int); !ok || p%3 != 0 {
			t.Errorf("panic is %v", p)
		}
	}
	if n := len(all(t, s)); n != 8 {
		t.Errorf("%d records, want 8", n)
	}
}

// TestExitInGroup has calls of one group end their goroutines: each ends its own
// caller's, and nobody else's.
func TestExitInGroup(t *testing.T) {
	s := openTest(t, t.TempDir(), Options{})
	release := holdWriter(s)
	var wg sync.WaitGroup
	var returned atomic.Int32
	for i := range 12 {
		wg.Go(func() {
			_ = s.Update(context.Background(), func(tx store.Tx) error {
				ref, err := tx.NewRef()
				if err != nil {
					return err
				}
				err = tx.Insert(store.Record{Ref: ref, Space: 1, Kind: 1, Version: 1})
				if i%3 == 0 {
					runtime.Goexit()
				}
				return err
			})
			returned.Add(1)
		})
	}
	waitQueued(s, 12)
	release()
	wg.Wait()
	if n, kept := returned.Load(), len(all(t, s)); n != 8 || kept != 8 {
		t.Errorf("%d calls returned and %d records were kept, want 8 of each", n, kept)
	}
}

// TestFullDisk fills a store whose size is limited, then deletes and goes on.
func TestFullDisk(t *testing.T) {
	s := openTest(t, t.TempDir(), Options{maxPages: 200})
	big := strings.Repeat("x", 50_000)
	var refs []store.Ref
	for {
		ref, err := add(s, big)
		if err != nil {
			wantErr(t, "insert into a full store", err, store.ErrFull)
			break
		}
		refs = append(refs, ref)
	}
	if len(refs) < 5 {
		t.Fatalf("only %d records fitted", len(refs))
	}
	mustAdd(t, s, "a small one still fits")
	must(t, s.Update(t.Context(), func(tx store.Tx) error { return tx.Delete(refs[0], 1) }))
	mustAdd(t, s, big[:len(big)/2])
	if n := len(all(t, s)); n != len(refs)+1 {
		t.Errorf("%d records, want %d", n, len(refs)+1)
	}
}

// TestFullDiskInGroup has one call too big for the disk in the company of
// small ones: those must be kept.
func TestFullDiskInGroup(t *testing.T) {
	s := openTest(t, t.TempDir(), Options{maxPages: 200})
	release := holdWriter(s)
	var wg sync.WaitGroup
	for i := range 10 {
		wg.Go(func() {
			if i != 5 {
				_, err := add(s, "small")
				wantErr(t, "small record", err, nil)
				return
			}
			_, err := add(s, strings.Repeat("x", 2<<20))
			wantErr(t, "big record", err, store.ErrFull)
		})
	}
	waitQueued(s, 10)
	release()
	wg.Wait()
	if n := len(all(t, s)); n != 9 {
		t.Errorf("%d records, want 9", n)
	}
}

// TestForgottenDeletions lets the store forget, and asks.
func TestForgottenDeletions(t *testing.T) {
	s := openTest(t, t.TempDir(), Options{keepGone: 3})
	for range 5 { // moments 1 to 10
		ref := mustAdd(t, s, "a")
		must(t, s.Update(t.Context(), func(tx store.Tx) error { return tx.Delete(ref, 1) }))
	}
	must(t, s.View(t.Context(), func(tx store.Tx) error {
		for since, want := range map[uint64]bool{0: false, 3: false, 4: true, 10: true, 11: false} {
			list, now, known, err := tx.Changes(since)
			if err != nil || known != want || now != 10 {
				t.Errorf("since %d: known %v, now %d, %v", since, known, now, err)
			}
			if since == 4 && len(list) != 3 {
				t.Errorf("since 4: %v", list)
			}
		}
		return nil
	}))
}

// TestScrub changes and deletes many records at random, which makes SQLite move
// records between pages, and looks for the bytes of dead ones in the files.
func TestScrub(t *testing.T) {
	w := &scrubWalk{
		t: t, dir: t.TempDir(), rnd: rand.New(rand.NewPCG(3, 2)), live: map[store.Ref]uint64{}, dead: map[string]bool{},
	}
	s := openTest(t, w.dir, Options{})
	for range 30 {
		must(t, s.Update(t.Context(), w.step))
	}
	if w.traces() == 0 {
		t.Fatal("the test looks in the wrong place: it finds no trace of what is not scrubbed")
	}
	must(t, s.Scrub(t.Context()))
	if n := w.traces(); n != 0 {
		t.Errorf("%d of %d dead records have left traces", n, len(w.dead))
	}
	if n := len(all(t, s)); n != len(w.live) {
		t.Errorf("%d records after the scrubbing, want %d", n, len(w.live))
	}
	mustAdd(t, s, "after")
}

type scrubWalk struct {
	t    *testing.T
	dir  string
	rnd  *rand.Rand
	live map[store.Ref]uint64 // versions
	dead map[string]bool      // marks
}

// mark is what a version of a record consists of.
func mark(ref store.Ref, version uint64) string { return fmt.Sprintf("%06d.%03d", ref, version) }

func (w *scrubWalk) step(tx store.Tx) error {
	for range 80 {
		if err := w.change(tx); err != nil {
			return err
		}
	}
	return nil
}

func (w *scrubWalk) change(tx store.Tx) error {
	if w.rnd.IntN(2) == 0 || len(w.live) == 0 {
		ref, err := tx.NewRef()
		if err != nil {
			return err
		}
		w.live[ref] = 1
		return tx.Insert(w.record(ref, 1))
	}
	refs := slices.Sorted(maps.Keys(w.live))
	ref := refs[w.rnd.IntN(len(refs))]
	version := w.live[ref]
	w.dead[mark(ref, version)] = true
	if w.rnd.IntN(2) == 0 {
		delete(w.live, ref)
		return tx.Delete(ref, version)
	}
	w.live[ref]++
	return tx.Replace(w.record(ref, version+1))
}

func (w *scrubWalk) record(ref store.Ref, version uint64) store.Record {
	r := store.Record{Ref: ref, Space: 1, Kind: 1, Version: version, Terms: make([]store.Term, 6)}
	r.Sealed = []byte(strings.Repeat("<"+mark(ref, version)+">", []int{3, 10, 40, 200}[w.rnd.IntN(4)]))
	for i := range r.Terms {
		copy(r.Terms[i][:], fmt.Sprintf("<%s>%d", mark(ref, version), i))
	}
	return r
}

// traces counts the dead records whose marks are in a file. It reads the files
// in another process: closing them here would drop SQLite's locks.
func (w *scrubWalk) traces() int {
	found := map[string]bool{}
	for _, name := range []string{dbName, dbName + "-wal"} {
		content, err := readElsewhere(filepath.Join(w.dir, name))
		must(w.t, err)
		for _, m := range regexp.MustCompile(`<\d{6}\.\d{3}>`).FindAll(content, -1) {
			if m := string(m[1 : len(m)-1]); w.dead[m] {
				found[m] = true
			}
		}
	}
	return len(found)
}

// TestScrubWaits has a reader that needs the log.
func TestScrubWaits(t *testing.T) {
	dir := t.TempDir()
	other, hasty := openTest(t, dir, Options{}), openTest(t, dir, Options{})
	hasty.opts.patience = time.Millisecond
	mustAdd(t, other, "a")
	must(t, other.View(t.Context(), func(store.Tx) error {
		mustAdd(t, other, "b")
		wantErr(t, "Scrub beside a reader", hasty.Scrub(t.Context()), store.ErrBusy)
		return nil
	}))
	must(t, other.Scrub(t.Context()))
}

// TestHeldByOthers has another program hold the database's own lock.
func TestHeldByOthers(t *testing.T) {
	dir := t.TempDir()
	hasty, patient := openTest(t, dir, Options{}), openTest(t, dir, Options{})
	hasty.opts.patience = time.Millisecond
	c, err := patient.connect()
	must(t, err)
	defer c.close()
	must(t, c.run("BEGIN IMMEDIATE"))
	_, err = add(hasty, "a")
	wantErr(t, "Update beside another writer", err, store.ErrBusy)
	if errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the store's patience looks like the caller's: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	go cancel()
	err = patient.Update(ctx, func(store.Tx) error { return nil })
	wantErr(t, "Update", err, context.Canceled)
	all(t, patient)
	must(t, c.run("ROLLBACK"))
	mustAdd(t, patient, "a")
}

func TestNewerVersion(t *testing.T) {
	dir := t.TempDir()
	s := openTest(t, dir, Options{})
	mustAdd(t, s, "a")
	c, err := s.connect()
	must(t, err)
	defer c.close()
	must(t, c.run(fmt.Sprintf("PRAGMA user_version = %d; UPDATE state SET schema = %d", schemaVersion+1, schemaVersion+1)))
	_, err = Open(t.Context(), dir, Options{})
	wantErr(t, "Open", err, store.ErrVersion)
	_, err = add(s, "b")
	wantErr(t, "Update of a store migrated meanwhile", err, store.ErrVersion)
	must(t, c.run("DROP TABLE state"))
	wantErr(t, "View", s.View(t.Context(), func(store.Tx) error { return nil }), store.ErrVersion)
}
