package archive

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/perilune/perilune/ownfile"
)

// Extension is that of archives in a directory.
const Extension = ".parc"

// maxName is the greatest length of an archive's name.
const maxName = 64

// CheckName says whether an archive in a directory can be called so.
func CheckName(name string) error {
	ok := len(name) >= 1 && len(name) <= maxName && name[0] != '.'
	for _, c := range []byte(name) {
		letter := c|0x20 >= 'a' && c|0x20 <= 'z'
		ok = ok && (letter || c >= '0' && c <= '9' || strings.IndexByte("-._", c) >= 0)
	}
	if !ok {
		return fmt.Errorf("an archive's name has 1 to %d letters, digits, dots, dashes and underscores, and does not begin with a dot", maxName)
	}
	return nil
}

// File is an archive that is being written, under a name that nobody takes for
// an archive. Only Commit gives it its own, when all of it is on the disk.
type File struct {
	*bufio.Writer
	file *os.File
	path string
}

// temporary is how the names of unfinished files begin.
func temporary(path string) string { return "." + filepath.Base(path) + ".part-" }

// NewFile begins the file that will be at path. It removes what programs left
// there that were killed before they finished.
func NewFile(path string) (*File, error) {
	dir := filepath.Dir(path)
	if err := sweep(dir, temporary(path)); err != nil {
		return nil, err
	}
	f, err := os.CreateTemp(dir, temporary(path)+"*")
	if err != nil {
		return nil, err
	}
	// The lock tells a file that is being written from one that was left.
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil, errors.Join(err, f.Close(), os.Remove(f.Name()))
	}
	return &File{bufio.NewWriterSize(f, 256<<10), f, path}, nil
}

// sweep removes unfinished files that nobody writes any more.
func sweep(dir, prefix string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), prefix) {
			if err := removeLeft(filepath.Join(dir, e.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

func removeLeft(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	if unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) != nil {
		return nil // somebody writes it
	}
	return os.Remove(path)
}

// Commit brings the file to the disk, and then to its place, where it replaces
// what was there.
func (f *File) Commit() error {
	err := errors.Join(f.Flush(), f.file.Sync())
	if err == nil {
		err = os.Rename(f.file.Name(), f.path)
	}
	if err != nil {
		f.Discard()
		return err
	}
	return errors.Join(f.file.Close(), ownfile.SyncDir(filepath.Dir(f.path)))
}

// Discard removes the file.
func (f *File) Discard() {
	_ = os.Remove(f.file.Name())
	_ = f.file.Close()
}

// Entry is an archive in a directory.
type Entry struct {
	Name    string
	Path    string
	Size    int64
	Info    Info
	Objects uint64
	Err     error // what is wrong with it, as far as can be seen without the key
}

// List lists the archives in a directory, by their names. A directory that does
// not exist has none.
func List(dir string) ([]Entry, error) {
	files, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var list []Entry
	for _, f := range files {
		name, is := strings.CutSuffix(f.Name(), Extension)
		if !is || CheckName(name) != nil || !f.Type().IsRegular() {
			continue
		}
		list = append(list, Look(filepath.Join(dir, f.Name())))
	}
	return list, nil
}

// Look looks at one archive.
func Look(path string) Entry {
	e := Entry{Name: strings.TrimSuffix(filepath.Base(path), Extension), Path: path}
	f, size, err := OpenFile(path)
	if err != nil {
		e.Err = err
		return e
	}
	defer f.Close()
	e.Size = size
	e.Info, e.Objects, e.Err = Stat(f, size)
	return e
}

// OpenFile opens an archive for reading.
func OpenFile(path string) (*os.File, int64, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, 0, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is no regular file", path)
	}
	if err != nil {
		return nil, 0, errors.Join(err, f.Close())
	}
	return f, info.Size(), nil
}
