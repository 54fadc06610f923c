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
	advice, kind := classify(e)
	if kind == nil {
		return fmt.Errorf("store: %s %s: %w", doing, file, err)
	}
	return fmt.Errorf("%w: %s %s: %w; %s", kind, doing, file, err, advice)
}

// classify says what the reader of an error of SQLite can do about it, and
// which sentinel error it is (nil: none).
func classify(e sqlite3.Error) (advice string, kind error) {
	switch e.Code {
	case sqlite3.ErrFull:
		return "free some space on its file system and try again", store.ErrFull
	case sqlite3.ErrTooBig:
		return "a record must be smaller than 1 GB", store.ErrFull
	case sqlite3.ErrReadonly, sqlite3.ErrPerm:
		return adviseWritable, store.ErrReadOnly
	case sqlite3.ErrCorrupt, sqlite3.ErrNotADB, sqlite3.ErrFormat, sqlite3.ErrError, sqlite3.ErrConstraint, sqlite3.ErrMismatch:
		return adviseRestore, store.ErrCorrupt
	case sqlite3.ErrBusy, sqlite3.ErrLocked, sqlite3.ErrProtocol:
		return "find the process that holds it, with `fuser` for example", store.ErrBusy
	case sqlite3.ErrIoErr, sqlite3.ErrCantOpen:
		return classifyIO(e)
	}
	return "", nil
}

const (
	adviseWritable = "make the directory and the files in it writable for this user"
	adviseRestore  = "restore the directory from a backup"
)

// classifyIO is classify for an error of the operating system.
func classifyIO(e sqlite3.Error) (advice string, kind error) {
	switch e.SystemErrno {
	case syscall.ENOSPC, syscall.EDQUOT, syscall.EFBIG:
		return "free some space on its file system, or raise the quota or file size limit, and try again", store.ErrFull
	case syscall.EROFS, syscall.EACCES, syscall.EPERM:
		return adviseWritable, store.ErrReadOnly
	}
	if e.ExtendedCode == sqlite3.ErrIoErrShortRead {
		return adviseRestore, store.ErrCorrupt
	}
	return "", nil
}

// isBusy says whether trying again may help.
func isBusy(err error) bool {
	var e sqlite3.Error
	return errors.As(err, &e) && (e.Code == sqlite3.ErrBusy || e.Code == sqlite3.ErrLocked || e.Code == sqlite3.ErrProtocol)
}
