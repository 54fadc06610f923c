package sqlite

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/perilune/perilune/store"
)

// testdata/v1, v2, ... keep a database of each schema version, as the program
// of its time wrote it. They are never written again: -update makes only the
// newest, and only if it is missing.
var update = flag.Bool("update", false, "make the database of the newest schema version")

func oldDatabase(version int64) string {
	return filepath.Join("testdata", fmt.Sprint("v", version), dbName)
}

// oldRecords are what every old database holds: record 3 was replaced, and
// record 4 is deleted.
func oldRecords() (records []store.Record) {
	for i := 1; i <= 6; i++ {
		r := store.Record{
			Ref: store.Ref(i), Space: store.Space(i % 2), Kind: store.Kind(1 + i%3), Version: 1,
			Sealed: bytes.Repeat([]byte{byte(i)}, 1<<(2*i)), // up to a page
			Terms:  []store.Term{benchTerm(uint64(i)), benchTerm(1000)},
			Charge: uint64(100 * i), // since version 2
		}
		if i == 3 {
			r.Version, r.Space = 2, ^store.Space(0)
		}
		if i != 4 {
			records = append(records, r)
		}
	}
	return records
}

func TestMakeOldDatabase(t *testing.T) {
	file := oldDatabase(schemaVersion)
	if _, err := os.Stat(file); err == nil || !*update {
		t.Skip("nothing to make")
	}
	dir := t.TempDir()
	s := openTest(t, dir, Options{})
	must(t, s.Update(t.Context(), func(tx store.Tx) error {
		for range 6 {
			_, err := tx.NewRef()
			must(t, err)
		}
		for _, r := range append(oldRecords(), store.Record{Ref: 4, Version: 1, Terms: []store.Term{benchTerm(1000)}}) {
			if r.Ref == 3 {
				must(t, tx.Insert(store.Record{Ref: 3, Space: r.Space, Kind: r.Kind, Version: 1, Terms: []store.Term{benchTerm(4)}}))
				must(t, tx.Replace(r))
				continue
			}
			must(t, tx.Insert(r))
		}
		return tx.Delete(4, 1)
	}))
	must(t, s.Scrub(t.Context()))
	must(t, s.Close())
	must(t, os.MkdirAll(filepath.Dir(file), 0o755))
	copyFile(t, filepath.Join(dir, dbName), file)
}

func copyFile(t testing.TB, from, to string) {
	t.Helper()
	content, err := os.ReadFile(from)
	must(t, err)
	must(t, os.WriteFile(to, content, 0o600))
}

// TestOldDatabases opens a copy of each old database, reads all that is in it,
// and goes on with it.
func TestOldDatabases(t *testing.T) {
	for version := int64(1); version <= schemaVersion; version++ {
		t.Run(fmt.Sprint("v", version), func(t *testing.T) {
			dir := t.TempDir()
			copyFile(t, oldDatabase(version), filepath.Join(dir, dbName))
			s := openTest(t, dir, Options{})
			before := generationOf(t, s)
			must(t, s.View(t.Context(), func(tx store.Tx) error { return checkOld(t, tx) }))
			must(t, s.View(t.Context(), func(tx store.Tx) error { return checkOldCharges(t, tx, version) }))
			if ref := mustAdd(t, s, "new"); ref != 7 {
				t.Errorf("the next ref is %d", ref)
			}
			if n := generationOf(t, s); n <= before {
				t.Errorf("generation went from %d to %d", before, n)
			}
		})
	}
}

// checkOldCharges expects the length of what is sealed where the version knew no
// charges.
func checkOldCharges(t *testing.T, tx store.Tx, version int64) error {
	sums := map[store.Space]uint64{}
	for _, want := range oldRecords() {
		if version < 2 {
			want.Charge = uint64(len(want.Sealed))
		}
		sums[want.Space] += want.Charge
		got, err := tx.Get(want.Ref)
		if err != nil {
			return err
		}
		if got.Charge != want.Charge {
			t.Errorf("record %d is charged with %d, want %d", want.Ref, got.Charge, want.Charge)
		}
	}
	for space, want := range sums {
		if got, err := tx.Charged(space); got != want || err != nil {
			t.Errorf("space %d is charged with %d, want %d: %v", space, got, want, err)
		}
	}
	return nil
}

func checkOld(t *testing.T, tx store.Tx) error {
	for _, want := range oldRecords() {
		got, err := tx.Get(want.Ref)
		if err != nil {
			return err
		}
		if got.Space != want.Space || got.Kind != want.Kind || got.Version != want.Version || !bytes.Equal(got.Sealed, want.Sealed) {
			t.Errorf("record %d is %v, want %v", want.Ref, got, want)
		}
		refs, err := tx.Find(want.Space, want.Kind, want.Terms, 0, 0)
		if err != nil || len(refs) != 1 || refs[0] != want.Ref {
			t.Errorf("record %d is not found by its terms: %v, %v", want.Ref, refs, err)
		}
		if n, err := tx.Count(want.Space, want.Kind); n == 0 || err != nil {
			t.Errorf("count of record %d's kind: %d, %v", want.Ref, n, err)
		}
	}
	list, now, known, err := tx.Changes(0)
	if len(list) != 6 || now != 8 || !known || !list[len(list)-1].Gone() {
		t.Errorf("changes are %v, now %d, known %v", list, now, known)
	}
	return err
}
