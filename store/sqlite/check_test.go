package sqlite

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/perilune/perilune/store"
)

// TestCheckFinds breaks each rule by one statement, and expects that to be found.
func TestCheckFinds(t *testing.T) {
	s := openTest(t, damaged(t, sound(t)), Options{})
	if found, err := s.Check(t.Context()); err != nil || len(found) > 0 {
		t.Fatalf("a sound store: %v, %v", found, err)
	}
	must(t, s.Close())
	for change, want := range map[string]string{
		"UPDATE record SET moment = moment + 1000 WHERE ref = 2":                 "record 2: changed at moment",
		"UPDATE record SET version = 0 WHERE ref = 2":                            "record 2: version 0",
		"UPDATE record SET kind = 256 WHERE ref = 2":                             "record 2: version",
		"UPDATE record SET ref = 7777 WHERE ref = 2":                             "record 7777 (version 1): this ref was never given out",
		"INSERT INTO gone VALUES (2, 1, 1, 3); UPDATE state SET gone = gone + 1": "record 2: it is there, and was deleted",
		"UPDATE record SET charge = charge + 1 WHERE ref = 2":                    "the charge of its records",
		"UPDATE record SET space = 9 WHERE ref = 2":                              "space 9, kind 1: its records were never counted",
		"UPDATE tally SET n = n - 1":                                             "the number or the charge",
		"UPDATE tally SET charge = 5":                                            "the number or the charge",
		"DELETE FROM tally":                                                      "were never counted",
		"UPDATE record SET terms = zeroblob(16) WHERE ref = 2":                   "record 2: the index lacks",
		"UPDATE record SET terms = x'00' WHERE ref = 2":                          "record 2: the index lacks",
		"DELETE FROM term WHERE ref = 2":                                         "record 2: the index lacks",
		"UPDATE term SET term = randomblob(16) WHERE ref = 2":                    "record 2: the index lacks",
		"INSERT INTO term VALUES (1, 1, zeroblob(16), 2)":                        "the index has",
		"INSERT INTO term VALUES (1, 1, zeroblob(16), 7777)":                     "record 7777: the index of space 1 names it",
		"UPDATE state SET gone = gone + 1":                                       "records were deleted",
		"DELETE FROM gone WHERE ref = (SELECT min(ref) FROM gone)":               "records were deleted",
	} {
		dir := damaged(t, sound(t))
		c, err := openConn(filepath.Join(dir, dbName))
		must(t, err)
		must(t, c.run(change))
		must(t, c.close())
		s := openTest(t, dir, Options{})
		found, err := s.Check(t.Context())
		if err != nil || !strings.Contains(strings.Join(found, "\n"), want) {
			t.Errorf("%s: found %q, %v; want %q", change, found, err, want)
		}
		must(t, s.Close())
	}
}

// TestCheckWhileOthersWrite: what is under way is no damage.
func TestCheckWhileOthersWrite(t *testing.T) {
	dir := t.TempDir()
	s, other := openTest(t, dir, Options{}), openTest(t, dir, Options{})
	done := make(chan error)
	go func() {
		var err error
		for i := uint64(0); i < 100 && err == nil; i++ {
			err = other.Update(bg, func(tx store.Tx) error {
				ref, err := insertBench(tx, i)
				if err != nil || i%3 > 0 {
					return err
				}
				return tx.Delete(ref, 1)
			})
		}
		done <- err
	}()
	for range 20 {
		if found, err := s.Check(t.Context()); err != nil || len(found) > 0 {
			t.Errorf("found %v, %v", found, err)
		}
	}
	must(t, <-done)
	if found, err := s.Check(t.Context()); err != nil || len(found) > 0 {
		t.Errorf("in the end: %v, %v", found, err)
	}
}
