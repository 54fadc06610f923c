package storetest

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/perilune/perilune/store"
)

// model is what a store should hold, in the simplest form.
type model map[store.Ref]store.Record

func (m model) charged() (sum uint64) {
	for _, r := range m {
		sum += r.Charge
	}
	return sum
}

// testModel does random things to a store, through handles opened and closed
// at random, and to a model, and compares the two.
func testModel(t *testing.T, p place) {
	for seed := range uint64(3) {
		t.Run(fmt.Sprint("seed", seed), func(t *testing.T) {
			w := &walk{t: t, p: p, rnd: rand.New(rand.NewPCG(seed, 1)), model: model{}, gone: map[store.Ref]bool{}}
			w.space = store.Space(100 + seed) // the place is shared by the seeds
			w.handles = []handle{p.handle(), p.handle()}
			for range 60 {
				w.step()
			}
			w.compare()
		})
	}
}

// walk is one random walk.
type walk struct {
	t       *testing.T
	p       place
	rnd     *rand.Rand
	handles []handle
	space   store.Space
	model   model
	gone    map[store.Ref]bool
	moment  uint64             // asked for at some time
	since   map[store.Ref]bool // what changed after it; nil before the first time
}

func (w *walk) step() {
	switch n := w.rnd.IntN(20); {
	case n < 13:
		w.transaction()
	case n < 17:
		w.compare()
	case n < 19:
		w.reopen()
	default:
		w.handle().view(func(tx store.Tx) (err error) {
			w.moment, err = tx.Now()
			w.since = map[store.Ref]bool{}
			return err
		})
	}
}

func (w *walk) handle() handle { return w.handles[w.rnd.IntN(len(w.handles))] }

// reopen replaces a handle by a new one.
func (w *walk) reopen() {
	i := w.rnd.IntN(len(w.handles))
	if err := w.handles[i].Close(); err != nil {
		w.t.Fatalf("Close: %v", err)
	}
	w.handles[i] = w.p.handle()
}

// transaction does a few changes and commits them or not.
func (w *walk) transaction() {
	next, touched := maps.Clone(w.model), map[store.Ref]bool{}
	fail := w.rnd.IntN(4) == 0
	err := w.handle().Update(ctx, func(tx store.Tx) error {
		for range 1 + w.rnd.IntN(6) {
			ref, err := w.change(tx, next)
			if err != nil {
				return err
			}
			if ref != 0 {
				touched[ref] = true
			}
		}
		w.compareIn(tx, next)
		if fail {
			return errTest
		}
		return nil
	})
	switch {
	case fail && !errors.Is(err, errTest), !fail && err != nil:
		w.t.Fatalf("Update: %v", err)
	case fail:
		return
	}
	w.commit(next, touched)
}

func (w *walk) commit(next model, touched map[store.Ref]bool) {
	for ref := range touched {
		if _, there := next[ref]; !there {
			w.gone[ref] = true
		}
	}
	if w.since != nil {
		maps.Copy(w.since, touched)
	}
	w.model = next
}

// change does one random change to both sides and returns the ref it touched.
func (w *walk) change(tx store.Tx, m model) (store.Ref, error) {
	refs := slices.Sorted(maps.Keys(m))
	if len(refs) == 0 || w.rnd.IntN(3) == 0 {
		return w.insert(tx, m)
	}
	r := m[refs[w.rnd.IntN(len(refs))]]
	switch w.rnd.IntN(5) {
	case 0:
		delete(m, r.Ref)
		return r.Ref, tx.Delete(r.Ref, r.Version)
	case 1:
		wantErr(w.t, "stale deletion", tx.Delete(r.Ref, r.Version+1), store.ErrConflict)
		return 0, nil
	case 2:
		wantErr(w.t, "stale replacement", tx.Replace(r), store.ErrConflict)
		return 0, nil
	default:
		r.Version++
		r.Sealed, r.Charge, r.Terms = w.sealed(), w.charge(), w.terms()
		m[r.Ref] = r
		return r.Ref, tx.Replace(r)
	}
}

func (w *walk) insert(tx store.Tx, m model) (store.Ref, error) {
	ref, err := tx.NewRef()
	if err != nil {
		return 0, err
	}
	if _, there := w.model[ref]; there || w.gone[ref] {
		w.t.Fatalf("ref %d was given out twice", ref)
	}
	r := store.Record{
		Ref: ref, Space: w.space, Kind: store.Kind(w.rnd.IntN(2)), Version: 1, Sealed: w.sealed(), Charge: w.charge(), Terms: w.terms(),
	}
	m[ref] = r
	return ref, tx.Insert(r)
}

// sealed returns random bytes, mostly few, sometimes more than a page.
func (w *walk) sealed() []byte {
	n := w.rnd.IntN(200)
	if w.rnd.IntN(8) == 0 {
		n *= 100
	}
	return bytes.Repeat([]byte{byte(w.rnd.IntN(256))}, n)
}

// charge returns a random charge, sometimes none.
func (w *walk) charge() uint64 { return w.rnd.Uint64N(4) * w.rnd.Uint64N(1_000_000) }

func (w *walk) terms() (terms []store.Term) {
	for range w.rnd.IntN(5) {
		terms = append(terms, w.term())
	}
	return terms
}

func (w *walk) term() store.Term { return term(w.rnd.IntN(6)) }

func (w *walk) compare() {
	w.handle().view(func(tx store.Tx) error {
		w.compareIn(tx, w.model)
		w.compareChanges(tx)
		return nil
	})
}

// compareIn compares what every reading method says.
func (w *walk) compareIn(tx store.Tx, m model) {
	w.t.Helper()
	for kind := range store.Kind(2) {
		all := w.expect(m, kind, nil, 0, 0)
		n, err := tx.Count(w.space, kind)
		w.check(err)
		want(w.t, "count", n, uint64(len(all)))
		list, err := tx.List(w.space, kind, 0, 0)
		w.check(err)
		var got []store.Ref
		for _, r := range list {
			got = append(got, r.Ref)
			w.compareRecord(r, m[r.Ref])
		}
		wantRefs(w.t, "list", got, all...)
		w.compareFind(tx, m, kind)
	}
	charged, err := tx.Charged(w.space)
	w.check(err)
	want(w.t, "charge of the space", charged, m.charged())
	for ref := range w.gone {
		_, err := tx.Get(ref)
		wantErr(w.t, "get of a deleted record", err, store.ErrNotFound)
	}
}

func (w *walk) compareFind(tx store.Tx, m model, kind store.Kind) {
	w.t.Helper()
	for n := range 4 {
		var terms []store.Term
		for range n {
			terms = append(terms, w.term())
		}
		after, limit := store.Ref(w.rnd.IntN(40)), w.rnd.IntN(6)
		got, err := tx.Find(w.space, kind, terms, after, limit)
		w.check(err)
		wantRefs(w.t, "find", got, w.expect(m, kind, terms, after, limit)...)
	}
}

func (w *walk) compareRecord(got, model store.Record) {
	w.t.Helper()
	if !bytes.Equal(got.Sealed, model.Sealed) {
		w.t.Errorf("record %d: sealed differs from the model", got.Ref)
	}
	model.Terms = nil
	wantRecord(w.t, got, model)
}

// compareChanges compares what changed since the last time it was asked.
func (w *walk) compareChanges(tx store.Tx) {
	if w.since == nil {
		return
	}
	list, _, known, err := tx.Changes(w.moment)
	w.check(err)
	want(w.t, "known", known, true)
	var got []store.Ref
	for _, c := range list {
		got = append(got, c.Ref)
		_, there := w.model[c.Ref]
		want(w.t, "gone", c.Gone(), !there)
	}
	slices.Sort(got)
	wantRefs(w.t, "changes", got, slices.Sorted(maps.Keys(w.since))...)
}

// expect is Find on the model.
func (w *walk) expect(m model, kind store.Kind, terms []store.Term, after store.Ref, limit int) (refs []store.Ref) {
	for _, ref := range slices.Sorted(maps.Keys(m)) {
		r := m[ref]
		match := r.Kind == kind && ref > after
		for _, t := range terms {
			match = match && slices.Contains(r.Terms, t)
		}
		if match && (limit == 0 || len(refs) < limit) {
			refs = append(refs, ref)
		}
	}
	return refs
}

func (w *walk) check(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}
