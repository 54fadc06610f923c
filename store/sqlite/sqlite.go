// Package sqlite keeps the records of a store in an SQLite database, for any
// number of processes of one host. docs/FORMAT.md describes its files.
//
// A store that stays open over a fork is harmless as long as the child leaves
// it alone: the child holds no locks, and nothing runs at its exit.
package sqlite

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mattn/go-sqlite3"

	"github.com/perilune/perilune/store"
)

// Options may all be left at zero.
type Options struct {
	// Readers is how many Views may run at once; more wait. The default is one
	// for each processor, but at least 4 and at most 16.
	Readers int

	// For tests:
	patience  time.Duration
	groupTime time.Duration
	keepGone  uint64
	maxPages  int               // the size at which the disk is full
	step      func(name string) // called at each step of a commit
}

const (
	defaultPatience  = time.Minute
	defaultGroupTime = 20 * time.Millisecond
	defaultKeepGone  = 100_000
	watchEvery       = time.Second
)

// complete puts defaults in the place of zeros.
func (o Options) complete() Options {
	if o.Readers <= 0 {
		o.Readers = min(max(runtime.GOMAXPROCS(0), 4), 16)
	}
	o.patience = cmp.Or(o.patience, defaultPatience)
	o.groupTime = cmp.Or(o.groupTime, defaultGroupTime)
	o.keepGone = cmp.Or(o.keepGone, defaultKeepGone)
	return o
}

// Store is a store.Store, a store.Scrubber and a store.Checker.
type Store struct {
	place   place
	opts    Options
	lock    *lockFile // nil if the place is read-only
	gen     generation
	readers *pool
	writer  writer

	asking sync.Mutex // guards asker
	asker  *conn      // asks for the generation when the file does not know it

	mu     sync.Mutex // guards held, and active against Close
	held   map[*func()]struct{}
	active sync.WaitGroup // calls under way
	closed atomic.Bool
	life   context.Context // ends when the store is closed
	end    context.CancelCauseFunc

	watching sync.WaitGroup
	once     sync.Once // of Close
	ended    error     // its result
}

var (
	_ store.Store    = (*Store)(nil)
	_ store.Scrubber = (*Store)(nil)
	_ store.Checker  = (*Store)(nil)
)

// Open opens the store in a directory, and makes both if there are none.
// Several stores, of one process or of many, may be open on one directory.
func Open(ctx context.Context, dir string, opts Options) (store.Store, error) {
	s, err := open(ctx, dir, opts)
	if err != nil {
		return nil, err
	}
	return s, nil
}

func open(ctx context.Context, dir string, opts Options) (*Store, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	p, err := findPlace(dir)
	if err != nil {
		return nil, err
	}
	s := newStore(p, opts)
	if err := s.start(ctx); err != nil {
		_ = s.Close()
		return nil, s.explain("open", err)
	}
	return s, nil
}

func newStore(p place, opts Options) *Store {
	s := &Store{place: p, opts: opts.complete(), held: map[*func()]struct{}{}}
	s.readers = newPool(s.opts.Readers, s.connect)
	s.writer.store = s
	s.life, s.end = context.WithCancelCause(context.Background())
	return s
}

// start opens the files, and makes or migrates the database, while no other
// process does the same.
func (s *Store) start(ctx context.Context) error {
	ctx, cancel := s.patience(ctx)
	defer cancel()
	if s.place.readOnly {
		return s.startReadOnly(ctx)
	}
	lock, err := lockFiles.open(s.place.lock())
	if err != nil {
		return err
	}
	s.lock = lock
	release, err := lock.take(ctx, byteOpen)
	if err != nil {
		return err
	}
	defer release()
	s.gen = generation{place: s.place, lock: lock}
	if err := s.gen.open(ctx); err != nil {
		return err
	}
	if err := s.refuseEmptied(); err != nil {
		return err
	}
	if err := s.place.createDB(); err != nil {
		return err
	}
	if err := patiently(ctx, func() error { return s.prepare("PRAGMA journal_mode = WAL") }); err != nil {
		return err
	}
	s.watching.Go(s.watch)
	return nil
}

func (s *Store) startReadOnly(ctx context.Context) error {
	if _, err := os.Stat(s.place.db()); errors.Is(err, fs.ErrNotExist) {
		return s.place.errReadOnly()
	}
	s.gen = generation{place: s.place}
	if err := s.gen.open(ctx); err != nil {
		return err
	}
	if err := patiently(ctx, func() error { return s.prepare("PRAGMA query_only = ON") }); err != nil {
		return err
	}
	s.watching.Go(s.watch)
	return nil
}

// prepare opens the first connection, sets it up, and checks or migrates the
// schema. The connection then serves readers.
func (s *Store) prepare(setting string) error {
	c, err := openConn(s.place.db())
	if err != nil {
		return err
	}
	_, err = checkVersion(c, s.place.db()) // before anything is changed in a file that is not ours
	if err == nil {
		err = c.run(setting)
	}
	if err == nil {
		err = migrate(c, s.place.db(), !s.place.readOnly)
	}
	if err != nil {
		_ = c.close()
		return err
	}
	s.readers.idle = append(s.readers.idle, c)
	return nil
}

// refuseEmptied refuses a database of no bytes where there was one before: to
// make a new one in its place would hide the loss.
func (s *Store) refuseEmptied() error {
	info, err := os.Stat(s.place.db())
	if err != nil || info.Size() > 0 {
		return nil
	}
	if n, ok := s.gen.read(); ok {
		return fmt.Errorf("%w: %s is empty, but %d commits were made to it; %s",
			store.ErrCorrupt, s.place.db(), n, adviseRestore)
	}
	return nil
}

// connect opens one more connection.
func (s *Store) connect() (*conn, error) {
	c, err := openConn(s.place.db())
	if err != nil || s.opts.maxPages == 0 {
		return c, err
	}
	return c, c.run(fmt.Sprint("PRAGMA max_page_count = ", s.opts.maxPages))
}

// enter counts one call in, unless the store is closed.
func (s *Store) enter(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed.Load() {
		return store.ErrClosed
	}
	s.active.Add(1)
	return nil
}

// View implements store.Store.
func (s *Store) View(ctx context.Context, fn func(store.Tx) error) error {
	if err := s.enter(ctx); err != nil {
		return err
	}
	defer s.active.Done()
	patient, cancel := s.patience(ctx)
	defer cancel()
	c, err := s.readers.get(patient)
	if err != nil {
		return s.explain("open", err)
	}
	defer s.readers.put(c)
	state, err := c.begin(patient)
	if err != nil {
		return s.explain("read", err)
	}
	t := &tx{ctx: ctx, store: s, conn: c, state: &state}
	defer func() {
		t.over.Store(true)
		_, _ = c.exec("COMMIT")
	}()
	return fn(t)
}

// begin opens a transaction for reading, and reads the state, which fixes what
// it sees: from then on no other process can make it wait.
func (c *conn) begin(ctx context.Context) (st state, err error) {
	err = patiently(ctx, func() error {
		if _, err := c.exec("BEGIN"); err != nil {
			return err
		}
		if st, err = c.state(ctx); err != nil {
			_, _ = c.exec("ROLLBACK")
		}
		return err
	})
	return st, err
}

// Update implements store.Store.
func (s *Store) Update(ctx context.Context, fn func(store.Tx) error) error {
	if err := s.enter(ctx); err != nil {
		return err
	}
	defer s.active.Done()
	if s.place.readOnly {
		return s.place.errReadOnly()
	}
	patient, cancel := s.patience(ctx)
	defer cancel()
	return s.writer.update(&call{ctx: ctx, patient: patient, fn: fn})
}

// Generation implements store.Store.
func (s *Store) Generation() (uint64, error) {
	if s.closed.Load() {
		return 0, store.ErrClosed
	}
	if n, ok := s.gen.read(); ok {
		return n, nil
	}
	return s.askGeneration()
}

// askGeneration asks the database, and repairs the file if it can.
func (s *Store) askGeneration() (uint64, error) {
	ctx := context.Background()
	if err := s.enter(ctx); err != nil {
		return 0, err
	}
	defer s.active.Done()
	s.asking.Lock()
	defer s.asking.Unlock()
	if n, ok := s.gen.read(); ok { // the commit ended meanwhile
		return n, nil
	}
	patient, cancel := s.patience(ctx)
	defer cancel()
	n, err := s.generationInDatabase(patient)
	if err != nil {
		return 0, s.explain("read", err)
	}
	if !s.writer.queue.busy() { // who writes does it anyway
		s.gen.repair(func() (uint64, error) { return s.generationInDatabase(patient) })
	}
	return n, nil
}

func (s *Store) generationInDatabase(ctx context.Context) (n uint64, err error) {
	err = patiently(ctx, func() error {
		if s.asker == nil {
			if s.asker, err = s.connect(); err != nil {
				return err
			}
		}
		st, err := s.asker.state(ctx)
		n = st.generation
		return err
	})
	return n, err
}

// Lock implements store.Store.
func (s *Store) Lock(ctx context.Context, name string) (release func(), err error) {
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	defer s.active.Done()
	if s.place.readOnly {
		return nil, s.place.errReadOnly()
	}
	waiting, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(s.life, func() { cancel(store.ErrClosed) })()
	free, err := s.lock.take(waiting, byteOfName(name))
	if err != nil {
		return nil, fmt.Errorf("lock %q: %w", name, err)
	}
	return s.hold(free)
}

// hold notes a lock, so that Close can free it, and returns its release.
func (s *Store) hold(free func()) (release func(), err error) {
	free = sync.OnceFunc(free)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed.Load() {
		free()
		return nil, store.ErrClosed
	}
	s.held[&free] = struct{}{}
	return func() {
		s.mu.Lock()
		delete(s.held, &free)
		s.mu.Unlock()
		free()
	}, nil
}

// Scrub implements store.Scrubber. It empties the write-ahead log, which has
// old versions of pages, after moving it to the database file. There, deleted
// records were overwritten in their place, but SQLite moves records between
// pages and sometimes leaves a copy in the unused part of one; so the file is
// built anew as well. That takes time and memory for all that is in it. Readers
// go on meanwhile; Scrub waits for those that still need the log.
func (s *Store) Scrub(ctx context.Context) error {
	if err := s.enter(ctx); err != nil {
		return err
	}
	defer s.active.Done()
	if s.place.readOnly {
		return s.place.errReadOnly()
	}
	ctx, cancel := s.patience(ctx)
	defer cancel()
	release, err := s.lock.turn(ctx)
	if err != nil {
		return err
	}
	defer release()
	c, err := s.connect()
	if err != nil {
		return s.explain("open", err)
	}
	defer c.close()
	for _, step := range []func() error{c.truncateLog, c.rebuild, c.truncateLog} {
		if err := patiently(ctx, step); err != nil {
			return s.explain("scrub", err)
		}
	}
	return nil
}

func (c *conn) rebuild() error { return c.run("VACUUM") }

func (c *conn) truncateLog() error {
	busy, err := c.number("PRAGMA wal_checkpoint(TRUNCATE)")
	if err == nil && busy != 0 {
		err = sqlite3.Error{Code: sqlite3.ErrBusy}
	}
	return err
}

// Close implements store.Store. The last store to close on a directory, of all
// processes, moves the write-ahead log to the database file.
func (s *Store) Close() error {
	s.once.Do(func() { s.ended = s.close() })
	return s.ended
}

func (s *Store) close() error {
	s.mu.Lock()
	s.closed.Store(true)
	s.mu.Unlock()
	s.end(store.ErrClosed)
	s.active.Wait()
	s.watching.Wait()
	err := s.readers.close()
	for _, c := range []*conn{s.asker, s.writer.conn} {
		if c != nil {
			err = errors.Join(err, c.close())
		}
	}
	for free := range s.held {
		(*free)()
	}
	if s.lock != nil {
		lockFiles.close(s.lock)
	}
	return s.explain("close", err)
}

// watch looks after the generation file until the store is closed.
func (s *Store) watch() {
	t := time.NewTicker(watchEvery)
	defer t.Stop()
	for {
		select {
		case <-t.C:
			s.gen.check()
		case <-s.life.Done():
			return
		}
	}
}

// explain makes an error of SQLite one of the store's.
func (s *Store) explain(doing string, err error) error { return explain(doing, s.place.db(), err) }

// step tells a test how far a commit is.
func (s *Store) step(name string) {
	if s.opts.step != nil {
		s.opts.step(name)
	}
}

var errPatience = errors.New("the store's patience ended")

// patience limits how long a call waits for other processes.
func (s *Store) patience(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, s.opts.patience, errPatience)
}

// patiently calls try until it does not find the database locked.
func patiently(ctx context.Context, try func() error) error {
	for {
		err := try()
		if !isBusy(err) {
			return err
		}
		if !sleep(ctx, longestPause) {
			return fmt.Errorf("%w: %w: %w", store.ErrBusy, why(ctx), err)
		}
	}
}

// why tells the end of the caller's own context from the other ends.
func why(ctx context.Context) error {
	if cause := context.Cause(ctx); cause == errPatience || cause == store.ErrClosed {
		return cause
	}
	return ctx.Err()
}
