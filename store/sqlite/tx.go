package sqlite

import (
	"bytes"
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"iter"
	"math"
	"slices"
	"sync/atomic"

	"github.com/perilune/perilune/store"
)

type txFunc = func(store.Tx) error

// tx is one transaction of a View or an Update.
type tx struct {
	ctx   context.Context
	store *Store
	conn  *conn
	state *state
	over  atomic.Bool

	// Of an Update only:
	gen    *mapping         // nil in a View
	tally  map[tallied]sums // what was added and removed
	broken error            // a statement failed half way: nothing may be kept
}

// tallied names a row of the table tally, and sums is what is in it.
type tallied struct {
	space store.Space
	kind  store.Kind
}

type sums struct{ n, charge int64 }

var errOver = errors.New("store: this transaction is over; fn must not keep its tx")

// usable says whether the transaction may go on.
func (t *tx) usable() error {
	if t.over.Load() {
		return errOver
	}
	if t.broken != nil {
		return t.broken
	}
	return t.ctx.Err()
}

// writable is usable for the changing methods.
func (t *tx) writable() error {
	if err := t.usable(); err != nil {
		return err
	}
	if t.gen == nil {
		return fmt.Errorf("%w: a record was to be changed inside View", store.ErrReadOnly)
	}
	return nil
}

// NewRef implements store.Tx.
func (t *tx) NewRef() (store.Ref, error) {
	if err := t.writable(); err != nil {
		return 0, err
	}
	ref, ok := t.gen.takeRef(t.state.lastRef)
	if !ok {
		return 0, errGenGone(t.store.place)
	}
	t.state.lastRef = ref
	return store.Ref(ref), nil
}

// Insert implements store.Tx.
func (t *tx) Insert(r store.Record) error {
	if err := t.writable(); err != nil {
		return err
	}
	if err := t.mayInsert(r); err != nil {
		return err
	}
	terms := joinTerms(r.Terms)
	t.state.moment++
	err := t.exec("INSERT INTO record (ref, space, kind, version, moment, terms, sealed, charge) VALUES (?, ?, ?, 1, ?, ?, ?, ?)",
		int64(r.Ref), int64(r.Space), int64(r.Kind), int64(t.state.moment), terms, notNil(r.Sealed), int64(r.Charge))
	if err != nil {
		return err
	}
	t.count(r, 1, int64(r.Charge))
	return t.setTerms(r, nil, terms)
}

func (t *tx) mayInsert(r store.Record) error {
	if r.Ref == 0 || uint64(r.Ref) > t.state.lastRef {
		return fmt.Errorf("store: insert of record %d: this ref was never given out by NewRef", r.Ref)
	}
	if r.Version != 1 {
		return fmt.Errorf("store: insert of record %d: version is %d and must be 1", r.Ref, r.Version)
	}
	if err := checkCharge(r); err != nil {
		return err
	}
	known := false
	err := t.query("SELECT 1 FROM record WHERE ref = ?1 UNION ALL SELECT 1 FROM gone WHERE ref = ?1",
		func(*row) error { known = true; return nil }, int64(r.Ref))
	if err == nil && known {
		err = fmt.Errorf("%w: record %d exists or existed", store.ErrConflict, r.Ref)
	}
	return err
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
	old, oldTerms, err := t.at(r.Ref, r.Version-1)
	if err != nil {
		return err
	}
	if old.Space != r.Space || old.Kind != r.Kind {
		return fmt.Errorf("store: replacement of record %d: its space and kind may not change", r.Ref)
	}
	if err := checkCharge(r); err != nil {
		return err
	}
	terms := joinTerms(r.Terms)
	t.state.moment++
	err = t.exec("UPDATE record SET version = ?, moment = ?, terms = ?, sealed = ?, charge = ? WHERE ref = ?",
		int64(r.Version), int64(t.state.moment), terms, notNil(r.Sealed), int64(r.Charge), int64(r.Ref))
	if err != nil {
		return err
	}
	t.count(r, 0, int64(r.Charge)-int64(old.Charge))
	return t.setTerms(r, oldTerms, terms)
}

// Delete implements store.Tx.
func (t *tx) Delete(ref store.Ref, version uint64) error {
	if err := t.writable(); err != nil {
		return err
	}
	old, terms, err := t.at(ref, version)
	if err != nil {
		return err
	}
	t.state.moment++
	t.state.gone++
	t.count(old, -1, -int64(old.Charge))
	if err := t.exec("DELETE FROM record WHERE ref = ?", int64(ref)); err != nil {
		return err
	}
	if err := t.setTerms(old, terms, nil); err != nil {
		return err
	}
	return t.exec("INSERT INTO gone (ref, space, kind, moment) VALUES (?, ?, ?, ?)",
		int64(ref), int64(old.Space), int64(old.Kind), int64(t.state.moment))
}

// at returns the record of ref, without what is sealed, and its terms, if it is
// at the given version.
func (t *tx) at(ref store.Ref, version uint64) (r store.Record, terms []byte, err error) {
	err = t.query("SELECT space, kind, version, terms, charge FROM record WHERE ref = ?", func(v *row) error {
		r = store.Record{Ref: ref, Space: store.Space(v.uint(0)), Kind: store.Kind(v.uint(1)), Version: v.uint(2), Charge: v.uint(4)}
		terms = v.bytes(3)
		return nil
	}, int64(ref))
	switch {
	case err != nil:
	case r.Version == 0:
		err = errNotFound(ref)
	case r.Version != version:
		err = fmt.Errorf("%w: record %d is at version %d, not %d", store.ErrConflict, ref, r.Version, version)
	}
	return r, terms, err
}

func errNotFound(ref store.Ref) error { return fmt.Errorf("%w: %d", store.ErrNotFound, ref) }

// setTerms changes the index entries of a record from one list of terms to
// another. One statement for each entry is faster than one for all, for which
// SQLite keeps a journal of its own.
func (t *tx) setTerms(r store.Record, from, to []byte) error {
	for term := range without(from, to) {
		err := t.exec("DELETE FROM term WHERE space = ? AND kind = ? AND term = ? AND ref = ?",
			int64(r.Space), int64(r.Kind), term, int64(r.Ref))
		if err != nil {
			return err
		}
	}
	for term := range without(to, from) {
		err := t.exec("INSERT INTO term (space, kind, term, ref) VALUES (?, ?, ?, ?)",
			int64(r.Space), int64(r.Kind), term, int64(r.Ref))
		if err != nil {
			return err
		}
	}
	return nil
}

// without yields the terms of a that are not in b. Both are sorted.
func without(a, b []byte) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for term := range slices.Chunk(a, termSize) {
			for len(b) >= termSize && bytes.Compare(b[:termSize], term) < 0 {
				b = b[termSize:]
			}
			if !bytes.HasPrefix(b, term) && !yield(term) {
				return
			}
		}
	}
}

const termSize = len(store.Term{})

// joinTerms concatenates terms, sorted, each once.
func joinTerms(terms []store.Term) []byte {
	terms = slices.Clone(terms)
	slices.SortFunc(terms, func(a, b store.Term) int { return bytes.Compare(a[:], b[:]) })
	terms = slices.Compact(terms)
	joined := make([]byte, 0, termSize*len(terms))
	for _, t := range terms {
		joined = append(joined, t[:]...)
	}
	return joined
}

// notNil keeps the driver from storing NULL.
func notNil(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

// count notes that the group of a record grew or shrank.
func (t *tx) count(r store.Record, n, charge int64) {
	if n == 0 && charge == 0 {
		return
	}
	if t.tally == nil {
		t.tally = map[tallied]sums{}
	}
	group := tallied{r.Space, r.Kind}
	was := t.tally[group]
	t.tally[group] = sums{was.n + n, was.charge + charge}
}

// flush writes what was only noted while fn ran.
func (t *tx) flush() error {
	for group, more := range t.tally {
		err := t.exec("INSERT INTO tally (space, kind, n, charge) VALUES (?, ?, ?, ?)"+
			" ON CONFLICT DO UPDATE SET n = n + excluded.n, charge = charge + excluded.charge",
			int64(group.space), int64(group.kind), more.n, more.charge)
		if err != nil {
			return err
		}
	}
	return t.forget()
}

// forget drops the oldest tombstones when there are too many, a hundredth of
// them at a time.
func (t *tx) forget() error {
	keep := t.store.opts.keepGone
	if t.state.gone <= keep+keep/100 {
		return nil
	}
	excess := t.state.gone - keep
	err := t.query("SELECT moment FROM gone ORDER BY moment LIMIT 1 OFFSET ?", func(r *row) error {
		t.state.forgotten = r.uint(0)
		return nil
	}, int64(excess-1))
	if err != nil {
		return err
	}
	t.state.gone = keep
	return t.exec("DELETE FROM gone WHERE moment <= ?", int64(t.state.forgotten))
}

// Get implements store.Tx.
func (t *tx) Get(ref store.Ref) (r store.Record, err error) {
	if err := t.usable(); err != nil {
		return r, err
	}
	err = t.query("SELECT ref, space, kind, version, sealed, charge FROM record WHERE ref = ?", func(v *row) error {
		r = record(v)
		return nil
	}, int64(ref))
	if err == nil && r.Version == 0 {
		err = errNotFound(ref)
	}
	return r, err
}

func record(v *row) store.Record {
	return store.Record{
		Ref: store.Ref(v.uint(0)), Space: store.Space(v.uint(1)), Kind: store.Kind(v.uint(2)), Version: v.uint(3),
		Sealed: v.bytes(4), Charge: v.uint(5),
	}
}

// List implements store.Tx.
func (t *tx) List(space store.Space, kind store.Kind, after store.Ref, limit int) (list []store.Record, err error) {
	if err := t.usable(); err != nil || after > math.MaxInt64 {
		return nil, err
	}
	err = t.query("SELECT ref, space, kind, version, sealed, charge FROM record INDEXED BY record_by_kind"+
		" WHERE unlikely(space = ?) AND unlikely(kind = ?) AND ref > ? ORDER BY ref",
		func(v *row) error {
			list = append(list, record(v))
			return enough(limit, len(list))
		}, int64(space), int64(kind), int64(after))
	return list, err
}

// enough ends a query that has given as many rows as the caller wants.
func enough(limit, n int) error {
	if limit > 0 && n >= limit {
		return io.EOF
	}
	return nil
}

// Count implements store.Tx.
func (t *tx) Count(space store.Space, kind store.Kind) (uint64, error) {
	if err := t.usable(); err != nil {
		return 0, err
	}
	n := t.tally[tallied{space, kind}].n
	err := t.query("SELECT n FROM tally WHERE space = ? AND kind = ?", func(r *row) error {
		n += r.int(0)
		return nil
	}, int64(space), int64(kind))
	return uint64(n), err
}

// Charged implements store.Tx.
func (t *tx) Charged(space store.Space) (uint64, error) {
	if err := t.usable(); err != nil {
		return 0, err
	}
	var charge int64
	for group, more := range t.tally {
		if group.space == space {
			charge += more.charge
		}
	}
	err := t.query("SELECT charge FROM tally WHERE unlikely(space = ?)", func(r *row) error {
		charge += r.int(0)
		return nil
	}, int64(space))
	return uint64(charge), err
}

// Changes implements store.Tx.
func (t *tx) Changes(since uint64) (list []store.Change, now uint64, known bool, err error) {
	if err := t.usable(); err != nil {
		return nil, 0, false, err
	}
	now = t.state.moment
	if since < t.state.forgotten || since > now {
		return nil, now, false, nil
	}
	if since == now {
		return nil, now, true, nil
	}
	err = t.query("SELECT ref, space, kind, version, moment FROM record INDEXED BY record_by_moment WHERE moment > ?1"+
		" UNION ALL SELECT ref, space, kind, 0, moment FROM gone INDEXED BY gone_by_moment WHERE moment > ?1 ORDER BY moment",
		func(v *row) error {
			list = append(list, store.Change{
				Ref: store.Ref(v.uint(0)), Space: store.Space(v.uint(1)), Kind: store.Kind(v.uint(2)), Version: v.uint(3),
			})
			return nil
		}, int64(since))
	return list, now, err == nil, err
}

// Now implements store.Tx.
func (t *tx) Now() (uint64, error) {
	if err := t.usable(); err != nil {
		return 0, err
	}
	return t.state.moment, nil
}

// exec runs a changing statement. When it fails the transaction is broken.
func (t *tx) exec(query string, args ...driver.Value) error {
	if _, err := t.conn.exec(query, args...); err != nil {
		t.broken = t.store.explain("write", err)
	}
	return t.broken
}

func (t *tx) query(query string, scan func(*row) error, args ...driver.Value) error {
	return t.store.explain("read", t.conn.query(t.ctx, query, scan, args...))
}
