package memory

import (
	"testing"

	"github.com/perilune/perilune/store"
	"github.com/perilune/perilune/store/storetest"
)

func TestConformance(t *testing.T) {
	storetest.Run(t, func(*testing.T) storetest.Opener {
		p := New()
		return func() (store.Store, error) { return p.Open(), nil }
	})
}

func TestForgottenDeletions(t *testing.T) {
	p := New()
	p.keepGone = 3
	s := p.Open()
	for range 5 {
		deleteOne(t, s)
	}
	err := s.View(t.Context(), func(tx store.Tx) error {
		for since, want := range map[uint64]bool{0: false, 3: false, 4: true, 10: true, 11: false} {
			list, now, known, err := tx.Changes(since)
			if err != nil || known != want || now != 10 {
				t.Errorf("since %d: known %v, now %d, %v", since, known, now, err)
			}
			if since == 4 && len(list) != 3 {
				t.Errorf("since 4: %v", list)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// deleteOne takes two moments: an insertion and a deletion.
func deleteOne(t *testing.T, s store.Store) {
	t.Helper()
	err := s.Update(t.Context(), func(tx store.Tx) error {
		ref, err := tx.NewRef()
		if err != nil {
			return err
		}
		if err := tx.Insert(store.Record{Ref: ref, Version: 1}); err != nil {
			return err
		}
		return tx.Delete(ref, 1)
	})
	if err != nil {
		t.Fatal(err)
	}
}
