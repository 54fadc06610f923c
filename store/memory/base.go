package memory

import (
	"maps"
	"slices"

	"github.com/perilune/perilune/store"
)

// entry is a record and the moment of its last change; a deleted record stays
// as a tombstone until forgotten.
type entry struct {
	record store.Record
	moment uint64
	gone   bool
}

// counters are the numbers of a place that only grow.
type counters struct {
	lastRef store.Ref
	moment  uint64
}

// group names the records of one kind in one space.
type group struct {
	space store.Space
	kind  store.Kind
}

// posting names the records of a group that carry a term.
type posting struct {
	group group
	term  store.Term
}

// base is the committed content of a place.
type base struct {
	entries   map[store.Ref]*entry
	tombs     map[store.Ref]*entry
	forgotten uint64 // the last moment whose deletions are no longer known
	byGroup   map[group][]store.Ref
	byTerm    map[posting][]store.Ref
	charged   map[store.Space]uint64
}

func newBase() base {
	return base{
		entries: map[store.Ref]*entry{},
		tombs:   map[store.Ref]*entry{},
		byGroup: map[group][]store.Ref{},
		byTerm:  map[posting][]store.Ref{},
		charged: map[store.Space]uint64{},
	}
}

// put replaces whatever the base has under ref.
func (b *base) put(ref store.Ref, e *entry) {
	if old := b.entries[ref]; old != nil {
		b.unindex(old.record)
		delete(b.entries, ref)
	}
	if e.gone {
		b.tombs[ref] = e
		return
	}
	b.entries[ref] = e
	b.index(e.record)
}

func (b *base) index(r store.Record) {
	g := group{r.Space, r.Kind}
	b.byGroup[g] = with(b.byGroup[g], r.Ref)
	b.charged[r.Space] += r.Charge
	for _, t := range r.Terms {
		p := posting{g, t}
		b.byTerm[p] = with(b.byTerm[p], r.Ref)
	}
}

func (b *base) unindex(r store.Record) {
	g := group{r.Space, r.Kind}
	b.byGroup[g] = without(b.byGroup[g], r.Ref)
	b.charged[r.Space] -= r.Charge
	for _, t := range r.Terms {
		p := posting{g, t}
		if b.byTerm[p] = without(b.byTerm[p], r.Ref); len(b.byTerm[p]) == 0 {
			delete(b.byTerm, p)
		}
	}
}

// forget drops the oldest tombstones beyond keep.
func (b *base) forget(keep int) {
	if len(b.tombs) <= keep {
		return
	}
	moments := make([]uint64, 0, len(b.tombs))
	for _, e := range b.tombs {
		moments = append(moments, e.moment)
	}
	slices.Sort(moments)
	b.forgotten = moments[len(moments)-keep-1]
	maps.DeleteFunc(b.tombs, func(_ store.Ref, e *entry) bool { return e.moment <= b.forgotten })
}

// with adds ref to a sorted list, once.
func with(list []store.Ref, ref store.Ref) []store.Ref {
	at, found := slices.BinarySearch(list, ref)
	if found {
		return list
	}
	return slices.Insert(list, at, ref)
}

// without removes ref from a sorted list.
func without(list []store.Ref, ref store.Ref) []store.Ref {
	at, found := slices.BinarySearch(list, ref)
	if !found {
		return list
	}
	return slices.Delete(list, at, at+1)
}
