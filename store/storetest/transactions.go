package storetest

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"testing"

	"github.com/perilune/perilune/store"
)

func testReadOnlyView(t *testing.T, p place) {
	s := p.handle()
	ref := s.insert(1, 1, "a")
	s.view(func(tx store.Tx) error {
		_, err := tx.NewRef()
		wantErr(t, "NewRef", err, store.ErrReadOnly)
		wantErr(t, "Insert", tx.Insert(store.Record{Ref: ref, Version: 1}), store.ErrReadOnly)
		wantErr(t, "Replace", tx.Replace(store.Record{Ref: ref, Space: 1, Kind: 1, Version: 2}), store.ErrReadOnly)
		wantErr(t, "Delete", tx.Delete(ref, 1), store.ErrReadOnly)
		return nil
	})
	wantErr(t, "View", s.View(ctx, func(store.Tx) error { return errTest }), errTest)
	wantRecord(t, s.get(ref), store.Record{Ref: ref, Space: 1, Kind: 1, Version: 1, Sealed: []byte("a")})
}

func testFailedUpdate(t *testing.T, p place) {
	s := p.handle()
	a := s.insert(1, 1, "a", term(1))
	b := s.insert(1, 1, "b", term(1))
	wantErr(t, "Update", s.Update(ctx, func(tx store.Tx) error {
		_, err := insert(tx, 1, 1, "c", term(1))
		return errors.Join(err,
			tx.Replace(store.Record{Ref: a, Space: 1, Kind: 1, Version: 2, Sealed: []byte("changed"), Terms: []store.Term{term(2)}}),
			tx.Delete(b, 1),
			errTest)
	}), errTest)
	wantRecord(t, s.get(a), store.Record{Ref: a, Space: 1, Kind: 1, Version: 1, Sealed: []byte("a")})
	wantRefs(t, "find", s.find(1, 1, term(1)), a, b)
	wantRefs(t, "find the new term", s.find(1, 1, term(2)))
	want(t, "count", s.count(1, 1), 2)
	wantChanges(t, s, 0, 0, a, b)
}

func testOwnWrites(t *testing.T, p place) {
	s := p.handle()
	a := s.insert(1, 1, "a", term(1))
	s.update(func(tx store.Tx) error {
		b, err := insert(tx, 1, 1, "b", term(1))
		if err != nil {
			return err
		}
		err = tx.Replace(store.Record{Ref: a, Space: 1, Kind: 1, Version: 2, Sealed: []byte("a2"), Terms: []store.Term{term(2)}})
		if err != nil {
			return err
		}
		got, err := tx.Get(a)
		if err != nil {
			return err
		}
		wantRecord(t, got, store.Record{Ref: a, Space: 1, Kind: 1, Version: 2, Sealed: []byte("a2")})
		refs, err := tx.Find(1, 1, []store.Term{term(1)}, 0, 0)
		if err != nil {
			return err
		}
		wantRefs(t, "find inside", refs, b)
		records, err := tx.List(1, 1, 0, 0)
		if err != nil {
			return err
		}
		want(t, "records inside", len(records), 2)
		if err := tx.Delete(a, 2); err != nil {
			return err
		}
		_, err = tx.Get(a)
		wantErr(t, "get of what was deleted inside", err, store.ErrNotFound)
		refs, err = tx.Find(1, 1, nil, 0, 0)
		wantRefs(t, "all inside", refs, b)
		return err
	})
}

func testSwallowedErrors(t *testing.T, p place) {
	s := p.handle()
	a := s.insert(1, 1, "a")
	var b store.Ref
	s.update(func(tx store.Tx) (err error) {
		wantErr(t, "conflict", tx.Delete(a, 7), store.ErrConflict)
		wantErr(t, "not found", tx.Delete(1<<40, 1), store.ErrNotFound)
		wantAnyErr(t, "bad insert", tx.Insert(store.Record{Version: 1}))
		b, err = insert(tx, 1, 1, "b")
		return err
	})
	wantRefs(t, "all", s.find(1, 1), a, b)
}

func testPanic(t *testing.T, p place) {
	s := p.handle()
	a := s.insert(1, 1, "a")
	want(t, "panic of Update", panicOf(func() {
		_ = s.Update(ctx, func(tx store.Tx) error {
			if err := tx.Delete(a, 1); err != nil {
				return err
			}
			panic("test")
		})
	}), any("test"))
	want(t, "panic of View", panicOf(func() {
		_ = s.View(ctx, func(store.Tx) error { panic("test") })
	}), any("test"))
	exited := make(chan struct{})
	go func() {
		defer close(exited)
		_ = s.Update(ctx, func(tx store.Tx) error {
			_ = tx.Delete(a, 1)
			runtime.Goexit()
			return nil
		})
	}()
	<-exited
	b := s.insert(1, 1, "b")
	wantRefs(t, "all", s.find(1, 1), a, b)
}

func panicOf(fn func()) (p any) {
	defer func() { p = recover() }()
	fn()
	return nil
}

func testTxOver(t *testing.T, p place) {
	s := p.handle()
	var kept []store.Tx
	s.view(func(tx store.Tx) error { kept = append(kept, tx); return nil })
	s.update(func(tx store.Tx) error { kept = append(kept, tx); return nil })
	for _, tx := range kept {
		_, err := tx.Get(1)
		wantAnyErr(t, "Get after the end", err)
		_, err = tx.NewRef()
		wantAnyErr(t, "NewRef after the end", err)
		wantAnyErr(t, "Delete after the end", tx.Delete(1, 1))
	}
}

// wantChanges checks that exactly the records of refs changed since a moment,
// and, when generation is not 0, that a View sees nothing newer than it.
func wantChanges(t *testing.T, s handle, generation, since uint64, refs ...store.Ref) (now uint64) {
	t.Helper()
	if generation != 0 {
		want(t, "generation", s.generation(), generation)
	}
	s.view(func(tx store.Tx) error {
		list, n, known, err := tx.Changes(since)
		if err != nil {
			return err
		}
		want(t, "known", known, true)
		var got []store.Ref
		for _, c := range list {
			got = append(got, c.Ref)
			wantChange(t, tx, c)
		}
		slices.Sort(got)
		wantRefs(t, "changes", got, refs...)
		if now, err = tx.Now(); now != n {
			t.Errorf("Now is %d, Changes says %d", now, n)
		}
		return err
	})
	return now
}

// wantChange checks one change against the record itself.
func wantChange(t *testing.T, tx store.Tx, c store.Change) {
	t.Helper()
	r, err := tx.Get(c.Ref)
	if c.Gone() {
		wantErr(t, "get of a deleted record", err, store.ErrNotFound)
		return
	}
	if err != nil {
		t.Errorf("get of a changed record: %v", err)
	}
	want(t, "change", c, store.Change{Ref: r.Ref, Space: r.Space, Kind: r.Kind, Version: r.Version})
}

func testChanges(t *testing.T, p place) {
	s, other := p.handle(), p.handle()
	start := wantChanges(t, s, 0, 0)
	a := s.insert(1, 2, "a")
	b := other.insert(3, 4, "b")
	m1 := wantChanges(t, s, 0, start, a, b)
	wantChanges(t, other, 0, m1)
	other.replace(store.Record{Ref: a, Space: 1, Kind: 2, Version: 2})
	other.replace(store.Record{Ref: a, Space: 1, Kind: 2, Version: 3})
	m2 := wantChanges(t, s, 0, m1, a)
	s.delete(b, 1)
	wantChanges(t, s, 0, m2, b)
	wantChanges(t, s, 0, m1, a, b)
	m3 := wantChanges(t, other, 0, 0, a, b)
	s.view(func(tx store.Tx) error {
		list, _, _, err := tx.Changes(m2)
		if len(list) != 1 || list[0] != (store.Change{Ref: b, Space: 3, Kind: 4}) || !list[0].Gone() {
			t.Errorf("changes of a deletion: %v", list)
		}
		return err
	})
	wantErr(t, "Update", s.Update(ctx, func(tx store.Tx) error { return errors.Join(tx.Delete(a, 3), errTest) }), errTest)
	wantChanges(t, s, 0, m3)
	wantChanges(t, p.handle(), 0, m2, b)
}

func testChangesInsideUpdate(t *testing.T, p place) {
	s := p.handle()
	var a, b store.Ref
	var between uint64
	s.update(func(tx store.Tx) (err error) {
		if a, err = insert(tx, 1, 1, "a"); err != nil {
			return err
		}
		list, now, known, err := tx.Changes(0)
		if len(list) != 1 || list[0].Ref != a || !known {
			t.Errorf("changes inside: %v, known %v", list, known)
		}
		if err != nil {
			return err
		}
		between = now
		b, err = insert(tx, 1, 1, "b")
		return err
	})
	wantChanges(t, s, 0, between, b)
	wantChanges(t, s, 0, 0, a, b)
}

func testGeneration(t *testing.T, p place) {
	s, other := p.handle(), p.handle()
	seen := map[uint64]bool{}
	fresh := func(what string) {
		t.Helper()
		g := s.generation()
		if seen[g] {
			t.Errorf("after %s the generation is %d, as it was before", what, g)
		}
		seen[g] = true
		want(t, "generation asked again", s.generation(), g)
		want(t, "generation through another handle", other.generation(), g)
	}
	fresh("opening")
	ref := s.insert(1, 1, "a")
	fresh("an insertion")
	other.replace(store.Record{Ref: ref, Space: 1, Kind: 1, Version: 2})
	fresh("a replacement through another handle")
	other.delete(ref, 2)
	fresh("a deletion through another handle")
	third := p.handle()
	third.insert(1, 1, "b")
	if err := third.Close(); err != nil {
		t.Fatal(err)
	}
	fresh("an insertion through a handle closed since")
}

// testGenerationGuardsReads plays the cache of the HSM: what was read after a
// Generation must still be true while the Generation is the same.
func testGenerationGuardsReads(t *testing.T, p place) {
	writer, reader := p.handle(), p.handle()
	ref := writer.insert(1, 1, "")
	const rounds = 200
	finished := make(chan error, 1)
	go func() {
		for version := uint64(2); version < 2+rounds; version++ {
			err := writer.Update(ctx, func(tx store.Tx) error {
				return tx.Replace(store.Record{Ref: ref, Space: 1, Kind: 1, Version: version})
			})
			if err != nil {
				finished <- err
				return
			}
		}
		finished <- nil
	}()
	version := func() (v uint64) {
		reader.view(func(tx store.Tx) error {
			r, err := tx.Get(ref)
			v = r.Version
			return err
		})
		return v
	}
	for done := false; !done; {
		select {
		case err := <-finished:
			if err != nil {
				t.Fatal(err)
			}
			done = true
		default:
		}
		before := reader.generation()
		cached := version()
		now := version()
		if reader.generation() == before && cached != now {
			t.Fatalf("version went from %d to %d under generation %d", cached, now, before)
		}
	}
	want(t, "last version", version(), 1+rounds)
}

func testCancelled(t *testing.T, p place) {
	s := p.handle()
	ref := s.insert(1, 1, "a")
	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	ran := func(store.Tx) error { t.Error("fn ran under a cancelled context"); return nil }
	wantErr(t, "Update", s.Update(cancelled, ran), context.Canceled)
	wantErr(t, "View", s.View(cancelled, ran), context.Canceled)
	_, err := s.Lock(cancelled, "name")
	wantErr(t, "Lock", err, context.Canceled)

	later, cancel := context.WithCancel(ctx)
	wantErr(t, "Update", s.Update(later, func(tx store.Tx) error {
		if err := tx.Replace(store.Record{Ref: ref, Space: 1, Kind: 1, Version: 2}); err != nil {
			t.Errorf("Replace: %v", err)
		}
		cancel()
		return tx.Delete(ref, 2)
	}), context.Canceled)
	wantRecord(t, s.get(ref), store.Record{Ref: ref, Space: 1, Kind: 1, Version: 1, Sealed: []byte("a")})
}
