package storetest

import (
	"bytes"
	"context"
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/perilune/perilune/store"
)

func testInsertAndGet(t *testing.T, p place) {
	s := p.handle()
	a := s.insert(1, 2, "alpha", term(1))
	b := s.insert(1, 3, "", term(1))
	c := s.insert(math.MaxUint64, 255, "gamma")
	wantRecord(t, s.get(a), store.Record{Ref: a, Space: 1, Kind: 2, Version: 1, Sealed: []byte("alpha")})
	wantRecord(t, s.get(b), store.Record{Ref: b, Space: 1, Kind: 3, Version: 1})
	wantRecord(t, s.get(c), store.Record{Ref: c, Space: math.MaxUint64, Kind: 255, Version: 1, Sealed: []byte("gamma")})
	if a != 1 || b <= a || c <= b {
		t.Errorf("refs are %d, %d, %d: they must start at 1 and grow", a, b, c)
	}
}

func testInsertRefuses(t *testing.T, p place) {
	s := p.handle()
	old := s.insert(1, 1, "old")
	gone := s.insert(1, 1, "gone")
	s.delete(gone, 1)
	for what, r := range map[string]store.Record{
		"ref 0":                  {Version: 1},
		"ref never given":        {Ref: 1 << 40, Version: 1},
		"absurd ref":             {Ref: math.MaxUint64, Version: 1},
		"ref of a record":        {Ref: old, Space: 1, Kind: 1, Version: 1},
		"ref of a deleted one":   {Ref: gone, Space: 1, Kind: 1, Version: 1},
		"ref in another space":   {Ref: old, Space: 2, Kind: 1, Version: 1},
		"known ref at version 2": {Ref: old, Space: 1, Kind: 1, Version: 2},
	} {
		wantAnyErr(t, what, s.Update(ctx, func(tx store.Tx) error { return tx.Insert(r) }))
	}
	for _, version := range []uint64{0, 2, math.MaxUint64} {
		wantAnyErr(t, "a version other than 1", s.Update(ctx, func(tx store.Tx) error {
			ref, err := tx.NewRef()
			if err != nil {
				t.Errorf("NewRef: %v", err)
			}
			return tx.Insert(store.Record{Ref: ref, Version: version})
		}))
	}
	want(t, "count after refusals", s.count(1, 1), 1)
	wantRecord(t, s.get(old), store.Record{Ref: old, Space: 1, Kind: 1, Version: 1, Sealed: []byte("old")})
}

func testReplace(t *testing.T, p place) {
	s := p.handle()
	ref := s.insert(1, 2, "one", term(1), term(2))
	other := s.insert(1, 2, "other", term(1), term(2))
	s.replace(store.Record{Ref: ref, Space: 1, Kind: 2, Version: 2, Sealed: []byte("two"), Terms: []store.Term{term(2), term(3)}})
	wantRecord(t, s.get(ref), store.Record{Ref: ref, Space: 1, Kind: 2, Version: 2, Sealed: []byte("two")})
	wantRefs(t, "old term", s.find(1, 2, term(1)), other)
	wantRefs(t, "kept term", s.find(1, 2, term(2)), ref, other)
	wantRefs(t, "new term", s.find(1, 2, term(3)), ref)
	want(t, "count", s.count(1, 2), 2)
	s.replace(store.Record{Ref: ref, Space: 1, Kind: 2, Version: 3})
	wantRecord(t, s.get(ref), store.Record{Ref: ref, Space: 1, Kind: 2, Version: 3})
	wantRefs(t, "term of a record without terms", s.find(1, 2, term(3)))
}

func testReplaceRefuses(t *testing.T, p place) {
	s := p.handle()
	ref := s.insert(1, 2, "one")
	s.replace(store.Record{Ref: ref, Space: 1, Kind: 2, Version: 2, Sealed: []byte("two")})
	replace := func(r store.Record) error {
		return s.Update(ctx, func(tx store.Tx) error { return tx.Replace(r) })
	}
	for _, version := range []uint64{0, 1, 2, 4, math.MaxUint64} {
		wantErr(t, "stale or absurd version", replace(store.Record{Ref: ref, Space: 1, Kind: 2, Version: version}), store.ErrConflict)
	}
	for _, unknown := range []store.Ref{0, ref + 1, 1 << 40, math.MaxInt64, math.MaxUint64} {
		wantErr(t, "unknown ref", replace(store.Record{Ref: unknown, Space: 1, Kind: 2, Version: 3}), store.ErrNotFound)
	}
	wantAnyErr(t, "another space", replace(store.Record{Ref: ref, Space: 2, Kind: 2, Version: 3}))
	wantAnyErr(t, "another kind", replace(store.Record{Ref: ref, Space: 1, Kind: 3, Version: 3}))
	wantRecord(t, s.get(ref), store.Record{Ref: ref, Space: 1, Kind: 2, Version: 2, Sealed: []byte("two")})
}

func testDelete(t *testing.T, p place) {
	s := p.handle()
	ref := s.insert(1, 2, "one", term(1))
	remove := func(ref store.Ref, version uint64) error {
		return s.Update(ctx, func(tx store.Tx) error { return tx.Delete(ref, version) })
	}
	wantErr(t, "wrong version", remove(ref, 2), store.ErrConflict)
	wantErr(t, "version 0", remove(ref, 0), store.ErrConflict)
	wantErr(t, "unknown ref", remove(ref+1, 1), store.ErrNotFound)
	wantErr(t, "ref 0", remove(0, 1), store.ErrNotFound)
	s.delete(ref, 1)
	wantErr(t, "again", remove(ref, 1), store.ErrNotFound)
	wantErr(t, "get", s.View(ctx, func(tx store.Tx) error { _, err := tx.Get(ref); return err }), store.ErrNotFound)
	wantErr(t, "replace", s.Update(ctx, func(tx store.Tx) error {
		return tx.Replace(store.Record{Ref: ref, Space: 1, Kind: 2, Version: 2})
	}), store.ErrNotFound)
	wantRefs(t, "find", s.find(1, 2, term(1)))
	want(t, "count", s.count(1, 2), 0)
}

func testRefs(t *testing.T, p place) {
	seen := map[store.Ref]string{}
	var last store.Ref
	note := func(what string, ref store.Ref) {
		if seen[ref] != "" {
			t.Fatalf("ref %d was given out twice: %s, then %s", ref, seen[ref], what)
		}
		if ref <= last {
			t.Fatalf("ref %d (%s) is not greater than %d", ref, what, last)
		}
		seen[ref], last = what, ref
	}
	for range 3 {
		s := p.handle()
		for range 3 {
			ref := s.insert(0, 0, "deleted again")
			note("deleted", ref)
			s.delete(ref, 1)
			note("kept", s.insert(0, 0, "kept"))
			wantErr(t, "rollback", s.Update(ctx, func(tx store.Tx) error {
				ref, err := insert(tx, 0, 0, "rolled back")
				note("rolled back", ref)
				return errors.Join(err, errTest)
			}), errTest)
			s.update(func(tx store.Tx) error {
				ref, err := tx.NewRef()
				note("never used", ref)
				return err
			})
		}
		if err := s.Close(); err != nil {
			t.Fatalf("Close: %v", err)
		}
	}
}

func testRefTakenEarlier(t *testing.T, p place) {
	a, b := p.handle(), p.handle()
	var ref store.Ref
	a.update(func(tx store.Tx) (err error) {
		ref, err = tx.NewRef()
		return err
	})
	other := b.insert(1, 1, "between")
	if other == ref {
		t.Fatalf("ref %d was given out twice", ref)
	}
	a.update(func(tx store.Tx) error { return tx.Insert(store.Record{Ref: ref, Space: 1, Kind: 1, Version: 1}) })
	wantRefs(t, "all", b.find(1, 1), ref, other)
}

func testList(t *testing.T, p place) {
	s := p.handle()
	var mine []store.Ref
	for range 5 {
		mine = append(mine, s.insert(1, 2, "mine", term(1)))
		s.insert(1, 3, "other kind")
		s.insert(2, 2, "other space")
	}
	list := func(after store.Ref, limit int) (refs []store.Ref) {
		s.view(func(tx store.Tx) error {
			records, err := tx.List(1, 2, after, limit)
			for _, r := range records {
				wantRecord(t, r, store.Record{Ref: r.Ref, Space: 1, Kind: 2, Version: 1, Sealed: []byte("mine")})
				refs = append(refs, r.Ref)
			}
			return err
		})
		return refs
	}
	wantRefs(t, "all", list(0, 0), mine...)
	wantRefs(t, "limit 2", list(0, 2), mine[:2]...)
	wantRefs(t, "limit 5", list(0, 5), mine...)
	wantRefs(t, "limit 6", list(0, 6), mine...)
	wantRefs(t, "after the first", list(mine[0], 0), mine[1:]...)
	wantRefs(t, "between two", list(mine[1]+1, 1), mine[2])
	wantRefs(t, "after the last", list(mine[4], 0))
	wantRefs(t, "after everything", list(math.MaxUint64, 0))
}

func testFind(t *testing.T, p place) {
	s := p.handle()
	const rare, common, other, nobody = 1, 2, 3, 4
	a := s.insert(1, 1, "a", term(common), term(rare), term(common))
	b := s.insert(1, 1, "b", term(common), term(other))
	c := s.insert(1, 1, "c", term(other), term(rare), term(common))
	d := s.insert(1, 1, "d")
	s.insert(1, 2, "other kind", term(rare), term(common))
	s.insert(2, 1, "other space", term(rare), term(common))

	wantRefs(t, "no terms", s.find(1, 1), a, b, c, d)
	wantRefs(t, "common", s.find(1, 1, term(common)), a, b, c)
	wantRefs(t, "rare", s.find(1, 1, term(rare)), a, c)
	wantRefs(t, "rare, common", s.find(1, 1, term(rare), term(common)), a, c)
	wantRefs(t, "common, rare", s.find(1, 1, term(common), term(rare)), a, c)
	wantRefs(t, "three", s.find(1, 1, term(rare), term(common), term(other)), c)
	wantRefs(t, "the same twice", s.find(1, 1, term(rare), term(rare)), a, c)
	wantRefs(t, "nobody's", s.find(1, 1, term(nobody)))
	wantRefs(t, "one of them nobody's", s.find(1, 1, term(common), term(nobody)))
	wantRefs(t, "zero term", s.find(1, 1, store.Term{}))
	wantRefs(t, "empty space", s.find(3, 1, term(common)))

	s.view(func(tx store.Tx) error {
		for _, c := range []struct {
			terms []store.Term
			after store.Ref
			limit int
			want  []store.Ref
		}{
			{nil, 0, 2, []store.Ref{a, b}},
			{nil, b, 1, []store.Ref{c}},
			{[]store.Term{term(common)}, 0, 1, []store.Ref{a}},
			{[]store.Term{term(common)}, a, 1, []store.Ref{b}},
			{[]store.Term{term(common)}, a, 0, []store.Ref{b, c}},
			{[]store.Term{term(common), term(rare)}, a, 5, []store.Ref{c}},
			{[]store.Term{term(common)}, math.MaxUint64, 5, nil},
			{[]store.Term{term(common)}, math.MaxInt64, 0, nil},
			{nil, math.MaxUint64, 0, nil},
		} {
			got, err := tx.Find(1, 1, c.terms, c.after, c.limit)
			if err != nil {
				return err
			}
			wantRefs(t, "find with after and limit", got, c.want...)
		}
		return nil
	})
}

func testFindManyTerms(t *testing.T, p place) {
	s := p.handle()
	var terms []store.Term
	for i := range 200 {
		terms = append(terms, term(i))
	}
	all := s.insert(1, 1, "all", terms...)
	but := s.insert(1, 1, "all but the last", terms[:199]...)
	for _, n := range []int{5, 9, 17, 33, 65, 199} {
		wantRefs(t, "terms of both", s.find(1, 1, terms[:n]...), all, but)
	}
	wantRefs(t, "all terms", s.find(1, 1, terms...), all)
	s.view(func(tx store.Tx) error {
		got, err := tx.Find(1, 1, terms[:100], 0, 1)
		wantRefs(t, "limit", got, all)
		return err
	})
	s.replace(store.Record{Ref: all, Space: 1, Kind: 1, Version: 2, Terms: terms[100:]})
	s.delete(but, 1)
	wantRefs(t, "dropped terms", s.find(1, 1, terms[99]))
	wantRefs(t, "kept terms", s.find(1, 1, terms[100:]...), all)
}

func testCount(t *testing.T, p place) {
	s := p.handle()
	want(t, "count of nothing", s.count(1, 1), 0)
	a := s.insert(1, 1, "a")
	s.insert(1, 1, "b")
	s.insert(1, 2, "c")
	s.insert(2, 1, "d")
	want(t, "count", s.count(1, 1), 2)
	want(t, "count of another kind", s.count(1, 2), 1)
	want(t, "count of another space", s.count(2, 1), 1)
	s.update(func(tx store.Tx) error {
		if _, err := insert(tx, 1, 1, "e"); err != nil {
			return err
		}
		n, err := tx.Count(1, 1)
		want(t, "count inside the transaction", n, 3)
		if err != nil {
			return err
		}
		if err := tx.Delete(a, 1); err != nil {
			return err
		}
		n, err = tx.Count(1, 1)
		want(t, "count after a deletion inside", n, 2)
		return err
	})
	want(t, "count after", s.count(1, 1), 2)
	wantErr(t, "rollback", s.Update(ctx, func(tx store.Tx) error {
		_, err := insert(tx, 1, 1, "f")
		return errors.Join(err, errTest)
	}), errTest)
	want(t, "count after a rollback", s.count(1, 1), 2)
}

func testCharged(t *testing.T, p place) {
	s := p.handle()
	want(t, "charge of nothing", s.charged(1), 0)
	var a, b store.Ref
	s.update(func(tx store.Tx) (err error) {
		if a, err = insertCharged(tx, 1, 1, 100); err != nil {
			return err
		}
		if b, err = insertCharged(tx, 1, 2, 20); err != nil {
			return err
		}
		charge, err := tx.Charged(1)
		want(t, "charge inside the transaction", charge, 120)
		return err
	})
	s.insert(1, 1, "for nothing")
	s.update(func(tx store.Tx) error { _, err := insertCharged(tx, 2, 1, 7); return err })
	want(t, "charge of two kinds", s.charged(1), 120)
	want(t, "charge of another space", s.charged(2), 7)
	want(t, "charge of a record", s.get(a).Charge, 100)

	s.replace(store.Record{Ref: a, Space: 1, Kind: 1, Version: 2, Charge: 130})
	want(t, "charge after growing", s.charged(1), 150)
	s.replace(store.Record{Ref: a, Space: 1, Kind: 1, Version: 3, Charge: 30})
	want(t, "charge after shrinking", s.charged(1), 50)
	s.update(func(tx store.Tx) error {
		if err := tx.Delete(b, 1); err != nil {
			return err
		}
		charge, err := tx.Charged(1)
		want(t, "charge after a deletion inside", charge, 30)
		return err
	})
	wantErr(t, "rollback", s.Update(ctx, func(tx store.Tx) error {
		_, err := insertCharged(tx, 1, 1, 5000)
		return errors.Join(err, tx.Delete(a, 3), errTest)
	}), errTest)
	want(t, "charge after a rollback", s.charged(1), 30)
	s.delete(a, 3)
	want(t, "charge in the end", s.charged(1), 0)
	want(t, "charge in another handle", p.handle().charged(2), 7)
}

func insertCharged(tx store.Tx, space store.Space, kind store.Kind, charge uint64) (store.Ref, error) {
	ref, err := tx.NewRef()
	if err != nil {
		return 0, err
	}
	return ref, tx.Insert(store.Record{Ref: ref, Space: space, Kind: kind, Version: 1, Charge: charge})
}

func testChargeRefuses(t *testing.T, p place) {
	s := p.handle()
	var ref store.Ref
	s.update(func(tx store.Tx) (err error) { ref, err = insertCharged(tx, 1, 1, store.MaxCharge); return err })
	for _, charge := range []uint64{store.MaxCharge + 1, math.MaxInt64, math.MaxUint64} {
		wantAnyErr(t, "insert", s.Update(ctx, func(tx store.Tx) error { _, err := insertCharged(tx, 1, 1, charge); return err }))
		wantAnyErr(t, "replace", s.Update(ctx, func(tx store.Tx) error {
			return tx.Replace(store.Record{Ref: ref, Space: 1, Kind: 1, Version: 2, Charge: charge})
		}))
	}
	want(t, "charge after refusals", s.charged(1), store.MaxCharge)
}

func testAbsurdInput(t *testing.T, p place) {
	s := p.handle()
	s.insert(1, 1, "present")
	s.view(func(tx store.Tx) error {
		for _, ref := range []store.Ref{0, 2, 1 << 40, math.MaxInt64, math.MaxInt64 + 1, math.MaxUint64} {
			_, err := tx.Get(ref)
			wantErr(t, "unknown ref", err, store.ErrNotFound)
		}
		for _, since := range []uint64{1 << 40, math.MaxInt64, math.MaxUint64} {
			list, _, known, err := tx.Changes(since)
			if err != nil || known || list != nil {
				t.Errorf("Changes since a moment to come: %v, known %v, %v; want nothing known", list, known, err)
			}
		}
		for _, limit := range []int{math.MaxInt, math.MaxInt32} {
			refs, err := tx.Find(1, 1, nil, 0, limit)
			wantRefs(t, "huge limit", refs, 1)
			if err != nil {
				return err
			}
			records, err := tx.List(1, 1, 0, limit)
			want(t, "records at a huge limit", len(records), 1)
			if err != nil {
				return err
			}
		}
		return nil
	})
	name := strings.Repeat("a long name / with ../ odd \x00 bytes ", 100)
	release, err := s.Lock(ctx, name)
	if err != nil {
		t.Fatalf("Lock with an odd name: %v", err)
	}
	release()
	release()
}

func testBytesAreCopied(t *testing.T, p place) {
	s := p.handle()
	r := store.Record{Space: 1, Kind: 1, Version: 1, Sealed: []byte("sealed"), Terms: []store.Term{term(1)}}
	s.update(func(tx store.Tx) (err error) {
		if r.Ref, err = tx.NewRef(); err != nil {
			return err
		}
		err = tx.Insert(r)
		clear(r.Sealed)
		clear(r.Terms)
		return err
	})
	clear(s.get(r.Ref).Sealed)
	want(t, "sealed", string(s.get(r.Ref).Sealed), "sealed")
	wantRefs(t, "find", s.find(1, 1, term(1)), r.Ref)
}

func testBigRecords(t *testing.T, p place) {
	s := p.handle()
	big := bytes.Repeat([]byte("0123456789abcdef"), 5<<20/16)
	ref := s.insert(1, 1, string(big), term(1))
	if got := s.get(ref).Sealed; !bytes.Equal(got, big) {
		t.Fatalf("a record of %d bytes came back with %d bytes or others", len(big), len(got))
	}
	s.replace(store.Record{Ref: ref, Space: 1, Kind: 1, Version: 2, Sealed: big[:len(big)-1]})
	if got := s.get(ref).Sealed; !bytes.Equal(got, big[:len(big)-1]) {
		t.Fatalf("a big replacement came back with %d bytes or others", len(got))
	}
	s.delete(ref, 2)
	want(t, "count", s.count(1, 1), 0)
}

// testScrub is for those stores that are Scrubbers: it may change nothing that
// can be seen.
func testScrub(t *testing.T, p place) {
	s, other := p.handle(), p.handle()
	scrubber, ok := s.Store.(store.Scrubber)
	if !ok {
		t.Skip("this store has nothing to scrub")
	}
	a := s.insert(1, 1, "a", term(1))
	b := s.insert(1, 1, "b", term(1))
	s.delete(b, 1)
	moment := wantChanges(t, other, 0, 0, a, b)
	for range 2 {
		if err := scrubber.Scrub(ctx); err != nil {
			t.Fatalf("Scrub: %v", err)
		}
	}
	wantRefs(t, "find", other.find(1, 1, term(1)), a)
	wantRecord(t, other.get(a), store.Record{Ref: a, Space: 1, Kind: 1, Version: 1, Sealed: []byte("a")})
	wantChanges(t, other, 0, moment)
	if c := other.insert(1, 1, "c"); c <= b {
		t.Errorf("ref %d after %d", c, b)
	}
	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	wantErr(t, "Scrub under a cancelled context", scrubber.Scrub(cancelled), context.Canceled)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	wantErr(t, "Scrub after Close", scrubber.Scrub(ctx), store.ErrClosed)
}
