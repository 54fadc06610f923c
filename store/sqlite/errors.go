package sqlite

import (
	"errors"
	"fmt"
	"syscall"

	"github.com/mattn/go-sqlite3"

	"github.com/perilune/perilune/store"
)

// explain turns an error of SQLite into one of the store's, with a text that
// says what failed, on what file, and what to do. Other errors pass unchanged.
func explain(doing, file string, err error) error {
	e, ok := err.(sqlite3.Error)
	if !ok {
		return err
	}
	kind, advice := classify(e)
	if kind == nil {
		return fmt.Errorf("store: %s %s: %w", doing, file, err)
	}
	return fmt.Errorf("%w: %s %s: %w; %s", kind, doing, file, err, advice)
}

// classify says which sentinel error an error of SQLite is (nil: none) and
// what its reader can do about it.
func classify(e sqlite3.Error) (kind error, advice string) {
	switch e.Code {
	case sqlite3.ErrFull:
		return store.ErrFull, "free some space on its file system and try again"
	case sqlite3.ErrTooBig:
		return store.ErrFull, "a record must be smaller than 1 GB"
	case sqlite3.ErrReadonly, sqlite3.ErrPerm:
		return store.ErrReadOnly, adviseWritable
	case sqlite3.ErrCorrupt, sqlite3.ErrNotADB, sqlite3.ErrFormat, sqlite3.ErrError, sqlite3.ErrConstraint, sqlite3.ErrMismatch:
		return store.ErrCorrupt, adviseRestore
	case sqlite3.ErrBusy, sqlite3.ErrLocked, sqlite3.ErrProtocol:
		return store.ErrBusy, "find the process that holds it, with `fuser` for example"
	case sqlite3.ErrIoErr, sqlite3.ErrCantOpen:
		return classifyIO(e)
	}
	return nil, ""
}

const (
	adviseWritable = "make the directory and the files in it writable for this user"
	adviseRestore  = "restore the directory from a backup"
)

// classifyIO is classify for an error of the operating system.
func classifyIO(e sqlite3.Error) (kind error, advice string) {
	switch e.SystemErrno {
	case syscall.ENOSPC, syscall.EDQUOT, syscall.EFBIG:
		return store.ErrFull, "free some space on its file system, or raise the quota or file size limit, and try again"
	case syscall.EROFS, syscall.EACCES, syscall.EPERM:
		return store.ErrReadOnly, adviseWritable
	}
	if e.ExtendedCode == sqlite3.ErrIoErrShortRead {
		return store.ErrCorrupt, adviseRestore
	}
	return nil, ""
}

// isBusy says whether trying again may help.
func isBusy(err error) bool {
	var e sqlite3.Error
	return errors.As(err, &e) && (e.Code == sqlite3.ErrBusy || e.Code == sqlite3.ErrLocked || e.Code == sqlite3.ErrProtocol)
}
