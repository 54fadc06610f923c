package archive

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func names(t *testing.T, dir string) (list []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		list = append(list, e.Name())
	}
	return list
}

func begin(t *testing.T, path, text string) *File {
	t.Helper()
	f, err := NewFile(path)
	if err == nil {
		_, err = f.WriteString(text)
	}
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// The final name has the old file or the new one, whole.
func TestFileIsWholeOrNotThere(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a.parc")
	first := begin(t, path, "first")
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Fatal("the file has its name before it is finished")
	}
	if err := first.Commit(); err != nil {
		t.Fatal(err)
	}
	begin(t, path, "second").Discard()
	if got := names(t, dir); !slices.Equal(got, []string{"a.parc"}) {
		t.Errorf("files %q", got)
	}
	if b, _ := os.ReadFile(path); string(b) != "first" {
		t.Errorf("after a discarded file there is %q", b)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Error(info.Mode(), err)
	}
}

// What a killed program left goes with the next backup of that name; what another
// one writes just now stays.
func TestLeftFilesAreSwept(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a.parc")
	left := filepath.Join(dir, ".a.parc.part-1")
	if err := errors.Join(os.WriteFile(left, []byte("left"), 0o600), os.WriteFile(filepath.Join(dir, ".b.parc.part-1"), nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	one, two := begin(t, path, "one"), begin(t, path, "two")
	if got := len(names(t, dir)); got != 3 {
		t.Errorf("files %q", names(t, dir))
	}
	if err := errors.Join(one.Commit(), two.Commit()); err != nil {
		t.Fatal(err)
	}
	if b, _ := os.ReadFile(path); string(b) != "two" {
		t.Errorf("there is %q", b)
	}
	if got := names(t, dir); !slices.Equal(got, []string{".b.parc.part-1", "a.parc"}) {
		t.Errorf("files %q", got)
	}
}

func TestList(t *testing.T) {
	dir := t.TempDir()
	if list, err := List(filepath.Join(dir, "none")); err != nil || len(list) > 0 {
		t.Error(list, err)
	}
	good := write(t, 5)
	err := errors.Join(
		os.WriteFile(filepath.Join(dir, "good.parc"), good, 0o600),
		os.WriteFile(filepath.Join(dir, "short.parc"), good[:len(good)-1], 0o600),
		os.WriteFile(filepath.Join(dir, "text.parc"), []byte("no archive"), 0o600),
		os.WriteFile(filepath.Join(dir, "other.txt"), nil, 0o600),
		os.WriteFile(filepath.Join(dir, ".good.parc.part-7"), nil, 0o600),
		os.Mkdir(filepath.Join(dir, "dir.parc"), 0o700),
	)
	if err != nil {
		t.Fatal(err)
	}
	list, err := List(dir)
	if err != nil || len(list) != 3 {
		t.Fatal(list, err)
	}
	if e := list[0]; e.Name != "good" || e.Objects != 5 || e.Size != int64(len(good)) || e.Err != nil || e.Info.Label != "vector" {
		t.Errorf("%+v", e)
	}
	if e := list[1]; !errors.Is(e.Err, ErrDamaged) || e.Info.Label != "vector" {
		t.Errorf("%+v", e)
	}
	if e := list[2]; !errors.Is(e.Err, ErrFormat) {
		t.Errorf("%+v", e)
	}
	if _, _, err := OpenFile(filepath.Join(dir, "dir.parc")); err == nil {
		t.Error("a directory was opened as an archive")
	}
}

func TestNames(t *testing.T) {
	for _, good := range []string{"a", "nightly-2026_11.21", string(bytes.Repeat([]byte("x"), 64))} {
		if err := CheckName(good); err != nil {
			t.Error(err)
		}
	}
	for _, bad := range []string{"", ".a", "a/b", "a b", "ä", "a\x00", string(bytes.Repeat([]byte("x"), 65))} {
		if CheckName(bad) == nil {
			t.Errorf("%q is a name", bad)
		}
	}
}
