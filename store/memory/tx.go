package memory

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync/atomic"

	"github.com/perilune/perilune/store"
)

// tx is one transaction: the base of its place with an overlay of changes.
type tx struct {
	ctx      context.Context
	place    *Place
	counters                      // as this transaction sees them
	over     map[store.Ref]*entry // nil in a View
	readOnly bool
	finished atomic.Bool
}

func (t *tx) finish() { t.finished.Store(true) }

// usable says whether the transaction may go on.
func (t *tx) usable() error {
	if t.finished.Load() {
		return errOver
	}
	return t.ctx.Err()
}

// writable is usable for the changing methods.
func (t *tx) writable() error {
	if err := t.usable(); err != nil {
		return err
	}
	if t.readOnly {
		return fmt.Errorf("%w: changed inside View", store.ErrReadOnly)
	}
	return nil
}

// NewRef implements store.Tx. The number is taken from the place at once, so
// that a rollback loses it.
func (t *tx) NewRef() (store.Ref, error) {
	if err := t.writable(); err != nil {
		return 0, err
	}
	t.place.mu.Lock()
	defer t.place.mu.Unlock()
	t.place.state.lastRef++
	t.lastRef = t.place.state.lastRef
	return t.lastRef, nil
}

// Insert implements store.Tx.
func (t *tx) Insert(r store.Record) error {
	if err := t.writable(); err != nil {
		return err
	}
	if r.Ref == 0 || r.Ref > t.lastRef {
		return fmt.Errorf("store: insert of record %d: this ref was never given out by NewRef", r.Ref)
	}
	if r.Version != 1 {
		return fmt.Errorf("store: insert of record %d: version is %d and must be 1", r.Ref, r.Version)
	}
	if err := checkCharge(r); err != nil {
		return err
	}
	if e := t.look(r.Ref); e != nil {
		return fmt.Errorf("%w: record %d exists or existed", store.ErrConflict, r.Ref)
	}
	t.put(r, false)
	return nil
}

func checkCharge(r store.Record) error {
	if r.Charge > store.MaxCharge {
		return fmt.Errorf("store: record %d is charged with %d, and %d is the most", r.Ref, r.Charge, uint64(store.MaxCharge))
	}
	return nil
}

// Replace implements store.Tx.
func (t *tx) Replace(r store.Record) error {
	if err := t.writable(); err != nil {
		return err
	}
	old, err := t.at(r.Ref, r.Version-1)
	if err != nil {
		return err
	}
	if old.Space != r.Space || old.Kind != r.Kind {
		return fmt.Errorf("store: replacement of record %d: its space and kind may not change", r.Ref)
	}
	if err := checkCharge(r); err != nil {
		return err
	}
	t.put(r, false)
	return nil
}

// Delete implements store.Tx.
func (t *tx) Delete(ref store.Ref, version uint64) error {
	if err := t.writable(); err != nil {
		return err
	}
	old, err := t.at(ref, version)
	if err != nil {
		return err
	}
	t.put(store.Record{Ref: ref, Space: old.Space, Kind: old.Kind}, true)
	return nil
}

// put lays a change over the base.
func (t *tx) put(r store.Record, gone bool) {
	t.moment++
	t.over[r.Ref] = &entry{record: clone(r), moment: t.moment, gone: gone}
}

// look returns the entry or tombstone of a ref, or nil.
func (t *tx) look(ref store.Ref) *entry {
	if e := t.over[ref]; e != nil {
		return e
	}
	if e := t.place.base.entries[ref]; e != nil {
		return e
	}
	return t.place.base.tombs[ref]
}

// at returns the record of ref if it is at the given version.
func (t *tx) at(ref store.Ref, version uint64) (store.Record, error) {
	e := t.look(ref)
	switch {
	case e == nil || e.gone:
		return store.Record{}, fmt.Errorf("%w: %d", store.ErrNotFound, ref)
	case e.record.Version != version:
		return store.Record{}, fmt.Errorf("%w: record %d is at version %d, not %d",
			store.ErrConflict, ref, e.record.Version, version)
	}
	return e.record, nil
}

// Get implements store.Tx.
func (t *tx) Get(ref store.Ref) (store.Record, error) {
	if err := t.usable(); err != nil {
		return store.Record{}, err
	}
	e := t.look(ref)
	if e == nil || e.gone {
		return store.Record{}, fmt.Errorf("%w: %d", store.ErrNotFound, ref)
	}
	return bare(e.record), nil
}

// bare is a copy of a record without its terms.
func bare(r store.Record) store.Record {
	r.Terms = nil
	return clone(r)
}

// List implements store.Tx.
func (t *tx) List(space store.Space, kind store.Kind, after store.Ref, limit int) ([]store.Record, error) {
	refs, err := t.Find(space, kind, nil, after, limit)
	if err != nil {
		return nil, err
	}
	list := make([]store.Record, len(refs))
	for i, ref := range refs {
		list[i] = bare(t.look(ref).record)
	}
	return list, nil
}

// Find implements store.Tx.
func (t *tx) Find(space store.Space, kind store.Kind, terms []store.Term, after store.Ref, limit int) ([]store.Ref, error) {
	if err := t.usable(); err != nil {
		return nil, err
	}
	g := group{space, kind}
	var found []store.Ref
	for _, ref := range t.candidates(g, terms, after) {
		if limit > 0 && len(found) == limit {
			break
		}
		if t.matches(ref, g, terms) {
			found = append(found, ref)
		}
	}
	return found, nil
}

// candidates returns, sorted, every ref beyond after that may match.
func (t *tx) candidates(g group, terms []store.Term, after store.Ref) []store.Ref {
	list := t.place.base.byGroup[g]
	if len(terms) > 0 {
		list = t.place.base.byTerm[posting{g, terms[0]}]
	}
	at, _ := slices.BinarySearch(list, after+1)
	if after+1 == 0 {
		at = len(list)
	}
	list = list[at:]
	if len(t.over) == 0 {
		return list
	}
	list = slices.Clone(list)
	for ref := range t.over {
		if ref > after {
			list = append(list, ref)
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}

func (t *tx) matches(ref store.Ref, g group, terms []store.Term) bool {
	e := t.look(ref)
	if e.gone || e.record.Space != g.space || e.record.Kind != g.kind {
		return false
	}
	for _, want := range terms {
		if !slices.Contains(e.record.Terms, want) {
			return false
		}
	}
	return true
}

// Count implements store.Tx.
func (t *tx) Count(space store.Space, kind store.Kind) (uint64, error) {
	if err := t.usable(); err != nil {
		return 0, err
	}
	g := group{space, kind}
	n := len(t.place.base.byGroup[g])
	for ref, e := range t.over {
		if e.record.Space != space || e.record.Kind != kind {
			continue
		}
		if t.place.base.entries[ref] != nil {
			n--
		}
		if !e.gone {
			n++
		}
	}
	return uint64(n), nil
}

// Charged implements store.Tx.
func (t *tx) Charged(space store.Space) (uint64, error) {
	if err := t.usable(); err != nil {
		return 0, err
	}
	charge := t.place.base.charged[space]
	for ref, e := range t.over {
		if e.record.Space != space {
			continue
		}
		if old := t.place.base.entries[ref]; old != nil {
			charge -= old.record.Charge
		}
		charge += e.record.Charge // a tombstone's is 0
	}
	return charge, nil
}

// Changes implements store.Tx.
func (t *tx) Changes(since uint64) ([]store.Change, uint64, bool, error) {
	if err := t.usable(); err != nil {
		return nil, 0, false, err
	}
	if since < t.place.base.forgotten || since > t.moment {
		return nil, t.moment, false, nil
	}
	var changed []*entry
	collect := func(entries map[store.Ref]*entry) {
		for ref, e := range entries {
			if e.moment > since && t.look(ref) == e {
				changed = append(changed, e)
			}
		}
	}
	collect(t.place.base.entries)
	collect(t.place.base.tombs)
	collect(t.over)
	slices.SortFunc(changed, func(a, b *entry) int { return cmp.Compare(a.moment, b.moment) })
	var list []store.Change
	for _, e := range changed {
		r := e.record // a tombstone's version is 0
		list = append(list, store.Change{Ref: r.Ref, Space: r.Space, Kind: r.Kind, Version: r.Version})
	}
	return list, t.moment, true, nil
}

// Now implements store.Tx.
func (t *tx) Now() (uint64, error) {
	if err := t.usable(); err != nil {
		return 0, err
	}
	return t.moment, nil
}
