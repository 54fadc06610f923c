package sqlite

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/perilune/perilune/store"
)

// sound returns the bytes of a small database with a few records.
func sound(t testing.TB) []byte {
	t.Helper()
	dir := t.TempDir()
	s := openTest(t, dir, Options{})
	for i := range uint64(20) {
		must(t, s.Update(bg, func(tx store.Tx) error {
			ref, err := insertBench(tx, i)
			if err != nil || i%4 > 0 {
				return err
			}
			return tx.Delete(ref, 1)
		}))
	}
	must(t, s.Close())
	content, err := os.ReadFile(filepath.Join(dir, dbName))
	must(t, err)
	return content
}

// useDamaged opens a directory and uses whatever can be used of it. It must
// return, with an error or without.
func useDamaged(dir string) error {
	ctx, cancel := context.WithTimeout(bg, 20*time.Second)
	defer cancel()
	s, err := open(ctx, dir, Options{})
	if err != nil {
		return err
	}
	_, generation := s.Generation()
	view := s.View(ctx, func(tx store.Tx) error { return readAll(tx) })
	_, insert := add(s, strings.Repeat("x", 10_000), benchTerm(1))
	update := s.Update(ctx, func(tx store.Tx) error {
		r, err := tx.Get(2)
		if err != nil {
			return err
		}
		r.Version++
		return errors.Join(tx.Replace(r), tx.Delete(3, 1))
	})
	return errors.Join(generation, view, insert, update, s.Scrub(ctx), s.Close())
}

func readAll(tx store.Tx) error {
	_, list := tx.List(1, 1, 0, 0)
	_, all := tx.Find(1, 1, nil, 0, 0)
	_, some := tx.Find(1, 1, []store.Term{benchTerm(termOfAll), benchTerm(1)}, 0, 0)
	_, count := tx.Count(1, 1)
	_, _, _, changes := tx.Changes(0)
	return errors.Join(list, all, some, count, changes)
}

func damaged(t testing.TB, db []byte) (dir string) {
	t.Helper()
	dir = t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, dbName), db, 0o600))
	return dir
}

func TestDamagedDatabase(t *testing.T) {
	db := sound(t)
	if err := useDamaged(damaged(t, db)); err != nil {
		t.Fatalf("a sound database: %v", err)
	}
	change := func(fn func(db []byte) []byte) []byte { return fn(append([]byte(nil), db...)) }
	for name, content := range map[string][]byte{
		"text":        []byte(strings.Repeat("this is no database\n", 1000)),
		"short text":  []byte("short"),
		"half header": db[:50],
		"half":        db[:len(db)/2/4096*4096],
		"half a page": db[:len(db)/2/4096*4096+100],
		"other magic": change(func(db []byte) []byte { db[0]++; return db }),
		"other application": change(func(db []byte) []byte {
			db[68]++
			return db
		}),
		"page size": change(func(db []byte) []byte { db[16] = 0xff; return db }),
		"zeroed pages": change(func(db []byte) []byte {
			clear(db[4096:])
			return db
		}),
		"ones": change(func(db []byte) []byte {
			for i := range db[4096:] {
				db[4096+i] = 0xff
			}
			return db
		}),
		"shifted": change(func(db []byte) []byte { copy(db[4096:], db[4097:]); return db }),
	} {
		if err := useDamaged(damaged(t, content)); !errors.Is(err, store.ErrCorrupt) {
			t.Errorf("%s: error is %v, want ErrCorrupt", name, err)
		}
	}
}

// TestStrangeSchema opens databases that have our mark but not our layout.
func TestStrangeSchema(t *testing.T) {
	for _, change := range []string{
		"CREATE TRIGGER t AFTER INSERT ON record BEGIN DELETE FROM record; END",
		"CREATE VIEW v AS SELECT * FROM record",
		"CREATE TABLE more (a)",
		"DROP TABLE term",
		"DROP INDEX record_by_kind",
		"DELETE FROM state",
		"ALTER TABLE state RENAME COLUMN moment TO m",
		"ALTER TABLE record RENAME COLUMN sealed TO s",
	} {
		dir := damaged(t, sound(t))
		c, err := openConn(filepath.Join(dir, dbName))
		must(t, err)
		must(t, c.run(change))
		must(t, c.close())
		if err := useDamaged(dir); !errors.Is(err, store.ErrCorrupt) {
			t.Errorf("%s: error is %v, want ErrCorrupt", change, err)
		}
	}
}

// FuzzDatabase opens databases with changed bytes, and logs of any bytes.
func FuzzDatabase(f *testing.F) {
	db := sound(f)
	f.Add(uint32(100), []byte{13, 0, 0, 0, 9}, uint32(0), []byte(nil))
	f.Add(uint32(4096), []byte{5, 0xff}, uint32(4096*3+5), []byte("a log"))
	f.Add(uint32(0), []byte("SQLite format 4"), uint32(28), []byte{0x37, 0x7f, 0x06, 0x82, 0, 0x2d, 0xe2, 0x18})
	f.Fuzz(func(t *testing.T, at uint32, change []byte, at2 uint32, log []byte) {
		content := append([]byte(nil), db...)
		copy(content[int(at)%len(content):], change)
		copy(content[int(at2)%len(content):], change)
		dir := damaged(t, content)
		must(t, os.WriteFile(filepath.Join(dir, dbName+"-wal"), log, 0o600))
		_ = useDamaged(dir)
	})
}

// FuzzGenerationFile opens stores with any generation file: it may be wrong,
// but must differ after a commit, be equal in all stores, and leave refs sane.
func FuzzGenerationFile(f *testing.F) {
	db := sound(f)
	for _, seed := range []string{"", "x", genMagic, genMagic + strings.Repeat("\x01", 24), strings.Repeat("\xff", genSize+1)} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		dir := damaged(t, db)
		must(t, os.WriteFile(filepath.Join(dir, genName), content, 0o600))
		a, b := openTest(t, dir, Options{}), openTest(t, dir, Options{})
		before := generationOf(t, b)
		ref := mustAdd(t, a, "a")
		after := generationOf(t, b)
		if before == after || generationOf(t, a) != after {
			t.Errorf("generations are %d before, %d after, %d there", before, after, generationOf(t, a))
		}
		if ref <= 20 || ref > implausible+21 {
			t.Errorf("ref after 20 is %d", ref)
		}
	})
}
