package sqlite

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/perilune/perilune/ownfile"
	"github.com/perilune/perilune/store"
)

// The files of a store. SQLite adds -wal and -shm to the first.
const (
	dbName   = "perilune.db"
	lockName = "perilune.lock"
	genName  = "perilune.gen"
)

// place is the directory of a store.
type place struct {
	dir      string
	readOnly bool
}

func (p place) db() string   { return filepath.Join(p.dir, dbName) }
func (p place) lock() string { return filepath.Join(p.dir, lockName) }
func (p place) gen() string  { return filepath.Join(p.dir, genName) }

// findPlace makes the directory if there is none, and refuses it if others
// could put their own records there.
func findPlace(dir string) (place, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return place{}, fmt.Errorf("store: %w", err)
	}
	if err := makeDir(dir); err != nil {
		return place{}, err
	}
	info, err := os.Stat(dir)
	if err != nil {
		return place{}, fmt.Errorf("store: %w", err)
	}
	if !info.IsDir() {
		return place{}, fmt.Errorf("store: %s is not a directory", dir)
	}
	if err := checkOwner(dir, info); err != nil {
		return place{}, err
	}
	p := place{dir: dir}
	return p, p.checkFiles()
}

// makeDir makes a directory of mode 0700, whatever the umask.
func makeDir(dir string) error {
	if _, err := os.Stat(dir); err == nil {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o700); err != nil {
		return fmt.Errorf("store: %w", err)
	}
	err := os.Mkdir(dir, 0o700)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err == nil {
		err = os.Chmod(dir, 0o700)
	}
	if err == nil {
		err = wrap(ownfile.SyncDir(filepath.Dir(dir)))
	}
	if err != nil {
		return fmt.Errorf("store: %w", err)
	}
	return nil
}

// checkFiles checks the files that exist, and notes whether one of them or the
// directory cannot be written.
func (p *place) checkFiles() error {
	p.readOnly = !mayWrite(p.dir)
	db := p.db()
	for _, file := range []string{db, db + "-wal", db + "-shm", db + "-journal", p.lock(), p.gen()} {
		info, err := os.Lstat(file)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return fmt.Errorf("store: %w", err)
		}
		if !info.Mode().IsRegular() {
			return fmt.Errorf("store: %s is not a regular file; to keep the store elsewhere, link the whole directory", file)
		}
		if err := checkOwner(file, info); err != nil {
			return err
		}
		p.readOnly = p.readOnly || !mayWrite(file)
	}
	return nil
}

// checkOwner refuses what somebody else than this user or root owns or may
// write. Root may use anybody's: a server that starts as root and goes on as
// another user opens that user's store first (nginx with a key in the module).
func checkOwner(path string, info fs.FileInfo) error {
	if info.Mode().Perm()&0o022 != 0 {
		return fmt.Errorf("store: %s can be written by other users (mode %#o); run `chmod go-w %s`",
			path, info.Mode().Perm(), path)
	}
	return ownedBy(path, info, os.Geteuid())
}

// ownedBy refuses what belongs neither to me nor to root, unless I am root.
func ownedBy(path string, info fs.FileInfo, me int) error {
	if st, ok := info.Sys().(*syscall.Stat_t); ok && me != 0 && st.Uid != 0 && int(st.Uid) != me {
		return fmt.Errorf("store: %s belongs to user %d and this process runs as user %d; run it as that user, or `chown %d %s`",
			path, st.Uid, me, me, path)
	}
	return nil
}

// mayWrite reports whether the effective user may write a file or directory.
func mayWrite(path string) bool {
	return unix.Faccessat(unix.AT_FDCWD, path, unix.W_OK, unix.AT_EACCESS) == nil
}

// errReadOnly says that the place cannot be written.
func (p place) errReadOnly() error {
	return fmt.Errorf("%w: this user cannot write %s or a file in it; %s", store.ErrReadOnly, p.dir, adviseWritable)
}

// openPrivate opens a file for reading and writing, or creates it for the owner
// of the directory alone. SQLite does the same with its own files.
func openPrivate(path string) (*os.File, error) {
	f, err := ownfile.Open(path, os.O_RDWR|os.O_CREATE)
	return f, wrap(err)
}

// createDB makes an empty database file if there is none. The caller holds the
// opening lock, so nobody in this process has the file open: closing ours
// drops no lock of SQLite's.
func (p place) createDB() error {
	if _, err := os.Lstat(p.db()); err == nil {
		return nil
	}
	f, err := openPrivate(p.db())
	if err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return wrap(err)
	}
	return wrap(ownfile.SyncDir(p.dir))
}

// wrap makes an error of the operating system one of the store's.
func wrap(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EDQUOT):
		return fmt.Errorf("%w: %w; free some space on its file system and try again", store.ErrFull, err)
	case errors.Is(err, unix.EROFS), errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%w: %w; %s", store.ErrReadOnly, err, adviseWritable)
	}
	return fmt.Errorf("store: %w", err)
}

// fileID names a file whatever its path.
type fileID struct{ dev, ino uint64 }

func idOf(path string) (fileID, error) { return toID(os.Stat(path)) }

func idOfFile(f *os.File) (fileID, error) { return toID(f.Stat()) }

func toID(info fs.FileInfo, err error) (fileID, error) {
	if err != nil {
		return fileID{}, wrap(err)
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return fileID{}, errors.New("store: this system does not number files")
	}
	return fileID{uint64(st.Dev), uint64(st.Ino)}, nil //nolint:unconvert // the types differ between systems
}
