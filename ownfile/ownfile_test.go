package ownfile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// TestModes makes what it makes under a umask that takes more and one that takes
// less than it should.
func TestModes(t *testing.T) {
	for _, umask := range []int{0, 0o777} {
		dir := t.TempDir()
		old := syscall.Umask(umask)
		made, err := Open(filepath.Join(dir, "file"), os.O_RDWR|os.O_CREATE)
		err = errors.Join(err, MakeDir(filepath.Join(dir, "dir")))
		syscall.Umask(old)
		if err != nil {
			t.Fatal(err)
		}
		made.Close()
		for name, want := range map[string]fs.FileMode{"file": 0o600, "dir": fs.ModeDir | 0o700} {
			if info, err := os.Lstat(filepath.Join(dir, name)); err != nil || info.Mode() != want {
				t.Errorf("umask %03o: %s: %v, %v", umask, name, info.Mode(), err)
			}
		}
	}
}

func TestOpen(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "file")
	if _, err := Open(path, os.O_RDWR); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a file that is not there: %v", err)
	}
	if err := os.WriteFile(path, []byte("here"), 0o640); err != nil {
		t.Fatal(err)
	}
	f, err := Open(path, os.O_RDWR|os.O_CREATE)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if info, _ := f.Stat(); info.Mode() != 0o640 || info.Size() != 4 {
		t.Errorf("what was there became %v with %d bytes", info.Mode(), info.Size())
	}
	link := filepath.Join(dir, "link")
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(link, os.O_RDWR|os.O_CREATE); !errors.Is(err, syscall.ELOOP) {
		t.Errorf("through a symbolic link: %v", err)
	}
}

// TestCreate makes a file twice: the first one stays, and nothing is beside it.
func TestCreate(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "file")
	if err := Create(path, ".file-*", []byte("first")); err != nil {
		t.Fatal(err)
	}
	if err := Create(path, ".file-*", []byte("second")); !errors.Is(err, fs.ErrExist) {
		t.Errorf("the second time: %v", err)
	}
	if b, err := os.ReadFile(path); err != nil || string(b) != "first" {
		t.Errorf("the file holds %q, %v", b, err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if list, err := os.ReadDir(dir); err != nil || len(list) != 1 {
		t.Errorf("%v, %v", list, err)
	}
}

// TestOwner makes what root makes in the directory of another user.
func TestOwner(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can give files away")
	}
	const nobody = 65534
	dir := t.TempDir()
	if err := os.Chown(dir, nobody, nobody); err != nil {
		t.Fatal(err)
	}
	f, err := Open(filepath.Join(dir, "opened"), os.O_RDWR|os.O_CREATE)
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
	if err := errors.Join(Create(filepath.Join(dir, "created"), ".x-*", nil), MakeDir(filepath.Join(dir, "dir"))); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"opened", "created", "dir"} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if st := info.Sys().(*syscall.Stat_t); st.Uid != nobody || st.Gid != nobody {
			t.Errorf("%s belongs to %d:%d", name, st.Uid, st.Gid)
		}
	}
}
