package sqlite

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/perilune/perilune/store"
)

func init() { children["die"] = dieAt }

// dieAt replaces record 1 and kills itself at a step of the commit.
func dieAt(args []string) error {
	dir, step := args[0], args[1]
	s, err := open(bg, dir, Options{step: func(name string) {
		if name == step {
			kill()
		}
	}})
	if err != nil {
		return err
	}
	err = s.Update(bg, func(tx store.Tx) error {
		r, err := tx.Get(1)
		if err != nil {
			return err
		}
		ref, err := tx.NewRef()
		fmt.Println(ref)
		if err != nil {
			return err
		}
		if step == "taken" {
			kill()
		}
		r.Version++
		if err := tx.Replace(r); err != nil {
			return err
		}
		if step == "replaced" {
			kill()
		}
		return nil
	})
	return fmt.Errorf("still alive after step %s: %w", step, err)
}

// kill ends this process at once, as kill -9 does.
func kill() {
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {}
}

// TestWriterDies kills a writer at each step, in another process, while a store
// is open here that must notice exactly what became visible.
func TestWriterDies(t *testing.T) {
	committed := map[string]bool{
		"taken": false, "replaced": false, "written": false, "announced": false, "committed": true, "ended": true,
	}
	dir := t.TempDir()
	s := openTest(t, dir, Options{})
	reader := openTest(t, dir, Options{})
	mustAdd(t, s, "the record")
	taken := map[string]bool{"1": true}
	take := func(ref string) {
		t.Helper()
		if taken[ref] {
			t.Errorf("ref %s was given out twice", ref)
		}
		taken[ref] = true
	}
	for range 2 {
		for step, visible := range committed {
			before, version := generationOf(t, reader), versionOf(t, reader)
			out, err := child("die", dir, step).Output()
			if err == nil || !strings.Contains(err.Error(), "killed") {
				t.Fatalf("the writer that should die when %s: %v", step, err)
			}
			take(strings.TrimSpace(string(out)))
			changed := versionOf(t, reader) != version
			if changed != visible {
				t.Errorf("dead when %s: changed %v", step, changed)
			}
			after := generationOf(t, reader)
			if (after != before) != changed {
				t.Errorf("dead when %s: generation was %d and is %d, changed %v", step, before, after, changed)
			}
			if n := generationOf(t, s); n != after {
				t.Errorf("dead when %s: generation is %d here, %d there", step, after, n)
			}
			if step == "announced" {
				continue // the next writer finds the file as the dead one left it, or repaired
			}
			take(fmt.Sprint(mustAdd(t, s, "after")))
			if n := generationOf(t, reader); n == before || n == after {
				t.Errorf("dead when %s: generation %d was seen before", step, n)
			}
		}
	}
}

// versionOf returns the version of record 1.
func versionOf(t *testing.T, s store.Store) (version uint64) {
	t.Helper()
	must(t, s.View(t.Context(), func(tx store.Tx) error {
		r, err := tx.Get(1)
		version = r.Version
		return err
	}))
	return version
}

// TestCommitInProgress looks at the generation from within a commit.
func TestCommitInProgress(t *testing.T) {
	dir := t.TempDir()
	reader := openTest(t, dir, Options{})
	seen := map[string]uint64{}
	versions := map[string]uint64{}
	look := func(name string) {
		seen[name], versions[name] = generationOf(t, reader), versionOf(t, reader)
	}
	mustAdd(t, reader, "the record")
	look("before")
	s := openTest(t, dir, Options{step: look})
	must(t, s.Update(t.Context(), func(tx store.Tx) error {
		return tx.Replace(store.Record{Ref: 1, Space: 1, Kind: 1, Version: 2})
	}))
	look("after")
	for _, name := range []string{"before", "written", "announced", "committed", "ended", "after"} {
		wantVersion, wantGeneration := uint64(1), seen["before"]
		if name == "committed" || name == "ended" || name == "after" {
			wantVersion, wantGeneration = 2, seen["before"]+1
		}
		if versions[name] != wantVersion || seen[name] != wantGeneration {
			t.Errorf("%s: version %d, generation %d; want %d, %d", name, versions[name], seen[name], wantVersion, wantGeneration)
		}
	}
}

// TestGenerationFileLost deletes, shortens or overwrites the generation file
// under two open stores. Both must go on, and notice each other's commits.
func TestGenerationFileLost(t *testing.T) {
	for name, spoil := range map[string]func(file string) error{
		"deleted":   os.Remove,
		"emptied":   func(file string) error { return os.Truncate(file, 0) },
		"shortened": func(file string) error { return os.Truncate(file, 100) },
		"zeroed":    func(file string) error { return overwrite(file, make([]byte, genSize)) },
		"garbage":   func(file string) error { return overwrite(file, []byte(strings.Repeat("garbage!", 16))) },
		"ones":      func(file string) error { return overwrite(file, []byte(strings.Repeat("\xff", genSize))) },
		"big numbers": func(file string) error {
			return overwrite(file, append([]byte(genMagic), strings.Repeat("\xff", 24)...))
		},
		"replaced": func(file string) error {
			if err := os.WriteFile(file+".new", make([]byte, genSize), 0o600); err != nil {
				return err
			}
			return os.Rename(file+".new", file)
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			a, b := openTest(t, dir, Options{}), openTest(t, dir, Options{})
			ref := mustAdd(t, a, "a")
			before := generationOf(t, b)
			must(t, spoil(filepath.Join(dir, genName)))
			a.gen.check() // what the watch does each second
			b.gen.check()
			middle := generationOf(t, b)
			if next := mustAdd(t, a, "b"); next <= ref || next > ref+10 {
				t.Errorf("the ref after %d is %d", ref, next)
			}
			a.gen.check()
			b.gen.check()
			after := generationOf(t, b)
			if after == before || after == middle {
				t.Errorf("generation was %d, then %d, and is %d after a commit", before, middle, after)
			}
			if n := generationOf(t, a); n != after {
				t.Errorf("generation is %d and %d", n, after)
			}
			mustAdd(t, b, "c")
			if n := generationOf(t, a); n == after {
				t.Errorf("generation stays %d after a commit", n)
			}
			c := openTest(t, dir, Options{})
			if n, want := generationOf(t, c), generationOf(t, b); n != want {
				t.Errorf("generation is %d in a new store, %d in an old one", n, want)
			}
		})
	}
}

// overwrite changes the bytes of a file without making it shorter.
func overwrite(file string, content []byte) error {
	f, err := os.OpenFile(file, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = f.WriteAt(content, 0)
	return err
}

// TestGenerationFileEmptiedInUse has nobody look after the file: what touches
// it must bear the missing memory.
func TestGenerationFileEmptiedInUse(t *testing.T) {
	dir := t.TempDir()
	s := openTest(t, dir, Options{})
	mustAdd(t, s, "a")
	before := generationOf(t, s)
	must(t, s.Update(t.Context(), func(tx store.Tx) error {
		must(t, os.Truncate(filepath.Join(dir, genName), 0))
		_, err := tx.NewRef()
		wantErr(t, "NewRef", err, store.ErrCorrupt)
		if n := generationOf(t, s); n != before {
			t.Errorf("generation was %d and is %d", before, n)
		}
		return nil
	}))
	mustAdd(t, s, "b")
	if n := generationOf(t, s); n != before+1 {
		t.Errorf("generation was %d and is %d", before, n)
	}
}

// TestLockFileLost deletes the lock file in use, which nobody may do: then two
// stores have the write turn at once. SQLite still keeps them apart.
func TestLockFileLost(t *testing.T) {
	dir := t.TempDir()
	a := openTest(t, dir, Options{})
	ref := mustAdd(t, a, "a")
	must(t, os.Remove(filepath.Join(dir, lockName)))
	b := openTest(t, dir, Options{})
	var wg sync.WaitGroup
	for _, s := range []*Store{a, b} {
		wg.Go(func() {
			for range 30 {
				if _, err := add(s, "b"); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	refs := all(t, a)
	if len(refs) != 61 || len(slices.Compact(refs)) != 61 || refs[0] != ref {
		t.Errorf("refs are %v", refs)
	}
	before := generationOf(t, a)
	mustAdd(t, b, "c")
	if n := generationOf(t, a); n == before {
		t.Errorf("generation stays %d after a commit", n)
	}
}

// TestDatabaseEmptied must not be taken for a new store.
func TestDatabaseEmptied(t *testing.T) {
	dir := t.TempDir()
	s := openTest(t, dir, Options{})
	mustAdd(t, s, "a")
	must(t, s.Close())
	must(t, os.Truncate(filepath.Join(dir, dbName), 0))
	_, err := Open(t.Context(), dir, Options{})
	wantErr(t, "Open", err, store.ErrCorrupt)
}
