package audit

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// ArchiveDir is where full files wait for the Auditor, below the log's directory.
const ArchiveDir = "ready_for_archive"

// File is one file of the log.
type File struct {
	Name     string
	Path     string
	Number   uint32 // from 1, in the order of the records
	Size     int64
	Archived bool // in ArchiveDir: nothing is written to it any more
}

// FileName is the name of the file of a number.
func FileName(serial string, number uint32) string {
	return fmt.Sprintf("hsm_%s_%08x.log", serial, number)
}

// ParseFileName tells whose file a name belongs to, and its number.
func ParseFileName(name string) (serial string, number uint32, ok bool) {
	rest, ok := strings.CutPrefix(name, "hsm_")
	if !ok {
		return "", 0, false
	}
	rest, ok = strings.CutSuffix(rest, ".log")
	serial, digits, found := strings.Cut(rest, "_")
	n, err := strconv.ParseUint(digits, 16, 32)
	if !ok || !found || err != nil || serial == "" || FileName(serial, uint32(n)) != name {
		return "", 0, false
	}
	return serial, uint32(n), true
}

// Files lists the files of an HSM's log below dir, in order.
func Files(dir, serial string) (list []File, err error) {
	for _, archived := range []bool{true, false} {
		where := dir
		if archived {
			where = filepath.Join(dir, ArchiveDir)
		}
		entries, err := os.ReadDir(where)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			whose, number, ok := ParseFileName(e.Name())
			if !ok || whose != serial || !e.Type().IsRegular() {
				continue
			}
			info, err := e.Info()
			if errors.Is(err, fs.ErrNotExist) {
				continue // moved meanwhile
			}
			if err != nil {
				return nil, err
			}
			list = append(list, File{Name: e.Name(), Path: filepath.Join(where, e.Name()), Number: number, Size: info.Size(), Archived: archived})
		}
	}
	slices.SortStableFunc(list, func(a, b File) int { return int(int64(a.Number) - int64(b.Number)) })
	return list, nil
}

func totalSize(files []File) (n int64) {
	for _, f := range files {
		n += f.Size
	}
	return n
}

// readBounded reads a small file.
func readBounded(path string, limit int64) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, limit))
}

// reserve makes sure that n bytes after size have room on the disk. Where the
// file system cannot promise that, nothing is promised.
func reserve(f *os.File, size, n int64) error {
	err := unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_KEEP_SIZE, size, n)
	if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EINVAL) {
		return nil
	}
	return err
}
