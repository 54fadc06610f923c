// Package ownfile makes files and directories that are their owner's alone. What
// root makes belongs to the owner of the directory that it is in, who will need
// it: a server often starts as root and goes on as another user.
package ownfile

import (
	"cmp"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

// Open opens a file, but through no symbolic link. With os.O_CREATE among the
// flags it makes one with mode 0600, whatever the umask, if there is none.
func Open(path string, flags int) (*os.File, error) {
	f, err := os.OpenFile(path, flags&^os.O_CREATE|unix.O_NOFOLLOW, 0)
	if !errors.Is(err, fs.ErrNotExist) || flags&os.O_CREATE == 0 {
		return f, err
	}
	f, err = os.OpenFile(path, flags|os.O_EXCL|unix.O_NOFOLLOW, 0o600)
	if errors.Is(err, fs.ErrExist) { // another process was faster
		return Open(path, flags)
	}
	if err != nil {
		return nil, err
	}
	if err := errors.Join(f.Chmod(0o600), giveToOwner(f, filepath.Dir(path))); err != nil {
		_ = f.Close()
		return nil, err
	}
	return f, nil
}

// Create makes a file that appears whole or not at all, and is durable then. Its
// error is fs.ErrExist if somebody else made it, which is durable too. What the
// file is called until it is whole follows temporary, as in os.CreateTemp.
func Create(path, temporary string, b []byte) error {
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, temporary) // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(b)
	if err := errors.Join(err, giveToOwner(f, dir), f.Sync(), f.Close()); err != nil {
		return err
	}
	err = os.Link(f.Name(), path)
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return cmp.Or(SyncDir(dir), err)
}

// MakeDir makes a directory of mode 0700, whatever the umask, durably. One that
// is there is left as it is.
func MakeDir(dir string) error {
	err := os.Mkdir(dir, 0o700)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err == nil {
		err = os.Chmod(dir, 0o700)
	}
	if err != nil {
		return err
	}
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	return errors.Join(giveToOwner(f, filepath.Dir(dir)), SyncDir(filepath.Dir(dir)))
}

// SyncDir makes the names in a directory durable.
func SyncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// giveToOwner gives what root made to the owner of the directory.
func giveToOwner(f *os.File, dir string) error {
	info, err := os.Stat(dir)
	if err != nil || os.Geteuid() != 0 {
		return err
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok || st.Uid == 0 {
		return nil
	}
	return f.Chown(int(st.Uid), int(st.Gid))
}
