package sqlite

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/perilune/perilune/store"
)

// The lock file holds no data. Its bytes, far beyond its end, are locked with
// POSIX record locks: the kernel frees those when the process dies, and a
// forked child does not inherit them, as it would flock or OFD locks. A POSIX
// lock does not exclude threads of one process, and all are lost when the
// process closes any descriptor of the file. So a process has one lockFile for
// each lock file, with one descriptor, shared by all its stores there.
const (
	byteTurn  = 0 // held by who writes
	byteNext  = 1 // held by who writes next: see turn
	byteOpen  = 2 // held by who opens, creates or migrates
	byteNames = 1 << 32
)

// byteOfName returns the byte that stands for a named lock. Two names meet in
// one byte with a probability that does not matter.
func byteOfName(name string) int64 {
	sum := sha256.Sum256([]byte(name))
	return byteNames + int64(binary.BigEndian.Uint64(sum[:])>>2)
}

// lockFile is one lock file as this process holds it.
type lockFile struct {
	id     fileID
	path   string
	stores int // guarded by lockFiles.mu

	mu    sync.Mutex
	file  *os.File
	bytes map[int64]*byteLock
}

// byteLock queues the threads of this process that want one byte.
type byteLock struct {
	token chan struct{}
	users int
}

// lockFiles are the lock files of this process.
var lockFiles = lockFileSet{m: map[fileID]*lockFile{}}

type lockFileSet struct {
	mu sync.Mutex
	m  map[fileID]*lockFile
}

// open opens a lock file, or creates it.
func (s *lockFileSet) open(path string) (*lockFile, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if id, err := idOf(path); err == nil && s.m[id] != nil {
		s.m[id].stores++
		return s.m[id], nil
	}
	f, err := openPrivate(path)
	if err != nil {
		return nil, err
	}
	id, err := idOfFile(f)
	if err != nil {
		return nil, err
	}
	if s.m[id] != nil {
		// The file was swapped between our two looks at it. Closing f would
		// drop the locks held on it, so it stays open.
		return nil, fmt.Errorf("store: %s was replaced while it was being opened; try again", path)
	}
	l := &lockFile{id: id, path: path, stores: 1, file: f, bytes: map[int64]*byteLock{}}
	s.m[id] = l
	return l, nil
}

// close forgets one store's use of the file, and closes it after the last.
func (s *lockFileSet) close(l *lockFile) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if l.stores--; l.stores == 0 {
		delete(s.m, l.id)
		_ = l.file.Close()
	}
}

// turn takes the write turn. Who waits holds byteNext meanwhile, so that a
// process which gives the turn back and wants it again at once finds somebody
// before it: without that, it would win nearly every time.
func (l *lockFile) turn(ctx context.Context) (release func(), err error) {
	if release, ok := l.tryTurn(); ok {
		return release, nil
	}
	next, err := l.take(ctx, byteNext)
	if err != nil {
		return nil, err
	}
	defer next()
	return l.take(ctx, byteTurn)
}

// tryTurn takes the write turn if nobody has it or waits for it.
func (l *lockFile) tryTurn() (release func(), ok bool) {
	next, ok := l.try(byteNext)
	if !ok {
		return nil, false
	}
	defer next()
	return l.try(byteTurn)
}

// try takes a byte if it is free.
func (l *lockFile) try(b int64) (release func(), ok bool) {
	k := l.join(b)
	select {
	case k.token <- struct{}{}:
	default:
		l.leave(b)
		return nil, false
	}
	if locked, err := l.fcntl(unix.F_WRLCK, b); err != nil || !locked {
		l.giveUp(k, b)
		return nil, false
	}
	return func() { l.release(k, b) }, true
}

// take takes a byte, waiting first for the threads of this process, in the
// order they came, then for other processes.
func (l *lockFile) take(ctx context.Context, b int64) (release func(), err error) {
	k := l.join(b)
	select {
	case k.token <- struct{}{}:
	case <-ctx.Done():
		l.leave(b)
		return nil, l.tooLong(ctx)
	}
	if err := l.poll(ctx, b); err != nil {
		l.giveUp(k, b)
		return nil, err
	}
	return func() { l.release(k, b) }, nil
}

const (
	shortestPause = 50 * time.Microsecond
	longestPause  = 2 * time.Millisecond
)

// poll tries for the kernel's lock until it is free. The blocking call of the
// kernel would heed neither ctx nor Close.
func (l *lockFile) poll(ctx context.Context, b int64) error {
	pause := shortestPause
	for {
		locked, err := l.fcntl(unix.F_WRLCK, b)
		if err != nil {
			return fmt.Errorf("store: lock %s: %w", l.path, err)
		}
		if locked {
			return nil
		}
		if !sleep(ctx, pause) {
			return l.tooLong(ctx)
		}
		pause = min(2*pause, longestPause)
	}
}

// sleep waits, and reports false when ctx ends first.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

func (l *lockFile) tooLong(ctx context.Context) error {
	return fmt.Errorf("%w: %w; `fuser %s` shows who uses it", store.ErrBusy, why(ctx), l.path)
}

// fcntl sets or frees the kernel's lock on a byte; false says that another
// process holds it.
func (l *lockFile) fcntl(kind int16, b int64) (locked bool, err error) {
	how := unix.Flock_t{Type: kind, Whence: 0, Start: b, Len: 1}
	for {
		err := unix.FcntlFlock(l.file.Fd(), unix.F_SETLK, &how)
		switch {
		case err == nil:
			return true, nil
		case errors.Is(err, unix.EAGAIN), errors.Is(err, unix.EACCES):
			return false, nil
		case !errors.Is(err, unix.EINTR):
			return false, err
		}
	}
}

func (l *lockFile) release(k *byteLock, b int64) {
	_, _ = l.fcntl(unix.F_UNLCK, b)
	l.giveUp(k, b)
}

// giveUp passes a byte that is not locked on to the next thread.
func (l *lockFile) giveUp(k *byteLock, b int64) {
	<-k.token
	l.leave(b)
}

func (l *lockFile) join(b int64) *byteLock {
	l.mu.Lock()
	defer l.mu.Unlock()
	k := l.bytes[b]
	if k == nil {
		k = &byteLock{token: make(chan struct{}, 1)}
		l.bytes[b] = k
	}
	k.users++
	return k
}

func (l *lockFile) leave(b int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	k := l.bytes[b]
	if k.users--; k.users == 0 {
		delete(l.bytes, b)
	}
}
