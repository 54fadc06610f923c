// Package storetest is the suite that every store.Store must pass.
package storetest

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/perilune/perilune/store"
)

// Opener opens one more handle on one and the same place.
type Opener func() (store.Store, error)

// Run runs the suite. open makes a new, empty place each time it is called.
func Run(t *testing.T, open func(t *testing.T) Opener) {
	for _, c := range []struct {
		name string
		test func(*testing.T, place)
	}{
		{"InsertAndGet", testInsertAndGet},
		{"InsertRefuses", testInsertRefuses},
		{"Replace", testReplace},
		{"ReplaceRefuses", testReplaceRefuses},
		{"Delete", testDelete},
		{"RefsAreNeverReused", testRefs},
		{"RefTakenEarlier", testRefTakenEarlier},
		{"List", testList},
		{"Find", testFind},
		{"FindManyTerms", testFindManyTerms},
		{"Count", testCount},
		{"Charged", testCharged},
		{"ChargeRefuses", testChargeRefuses},
		{"AbsurdInput", testAbsurdInput},
		{"BytesAreCopied", testBytesAreCopied},
		{"BigRecords", testBigRecords},
		{"ReadOnlyView", testReadOnlyView},
		{"FailedUpdateLeavesNothing", testFailedUpdate},
		{"OwnWritesAreSeen", testOwnWrites},
		{"SwallowedErrors", testSwallowedErrors},
		{"Panic", testPanic},
		{"TxIsOverAfterFn", testTxOver},
		{"Changes", testChanges},
		{"ChangesInsideUpdate", testChangesInsideUpdate},
		{"Generation", testGeneration},
		{"GenerationGuardsReads", testGenerationGuardsReads},
		{"TwoHandles", testTwoHandles},
		{"Counter", testCounter},
		{"Transfers", testTransfers},
		{"WriteSkew", testWriteSkew},
		{"SharedCommit", testSharedCommit},
		{"Lock", testLock},
		{"LockManyNames", testLockManyNames},
		{"LockGivesUp", testLockGivesUp},
		{"LockFreedByClose", testLockFreedByClose},
		{"Cancelled", testCancelled},
		{"CancelledWhileWaiting", testCancelledWhileWaiting},
		{"Close", testClose},
		{"CloseWaits", testCloseWaits},
		{"Reopen", testReopen},
		{"Scrub", testScrub},
		{"Model", testModel},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, place{t, open(t)}) })
	}
}

// place opens handles that are closed when the test ends.
type place struct {
	t    *testing.T
	open Opener
}

func (p place) handle() handle {
	p.t.Helper()
	s, err := p.open()
	if err != nil {
		p.t.Fatalf("open: %v", err)
	}
	p.t.Cleanup(func() { _ = s.Close() })
	return handle{p.t, s}
}

// handle is a store with methods that end the test when they fail.
type handle struct {
	t *testing.T
	store.Store
}

func (h handle) update(fn func(tx store.Tx) error) {
	h.t.Helper()
	if err := h.Update(ctx, fn); err != nil {
		h.t.Fatalf("Update: %v", err)
	}
}

func (h handle) view(fn func(tx store.Tx) error) {
	h.t.Helper()
	if err := h.View(ctx, fn); err != nil {
		h.t.Fatalf("View: %v", err)
	}
}

// insert adds a record in a transaction of its own and returns its ref.
func (h handle) insert(space store.Space, kind store.Kind, sealed string, terms ...store.Term) (ref store.Ref) {
	h.t.Helper()
	h.update(func(tx store.Tx) (err error) {
		ref, err = insert(tx, space, kind, sealed, terms...)
		return err
	})
	return ref
}

func (h handle) replace(r store.Record) {
	h.t.Helper()
	h.update(func(tx store.Tx) error { return tx.Replace(r) })
}

func (h handle) delete(ref store.Ref, version uint64) {
	h.t.Helper()
	h.update(func(tx store.Tx) error { return tx.Delete(ref, version) })
}

func (h handle) get(ref store.Ref) (r store.Record) {
	h.t.Helper()
	h.view(func(tx store.Tx) (err error) {
		r, err = tx.Get(ref)
		return err
	})
	return r
}

func (h handle) find(space store.Space, kind store.Kind, terms ...store.Term) (refs []store.Ref) {
	h.t.Helper()
	h.view(func(tx store.Tx) (err error) {
		refs, err = tx.Find(space, kind, terms, 0, 0)
		return err
	})
	return refs
}

func (h handle) count(space store.Space, kind store.Kind) (n uint64) {
	h.t.Helper()
	h.view(func(tx store.Tx) (err error) {
		n, err = tx.Count(space, kind)
		return err
	})
	return n
}

func (h handle) charged(space store.Space) (charge uint64) {
	h.t.Helper()
	h.view(func(tx store.Tx) (err error) {
		charge, err = tx.Charged(space)
		return err
	})
	return charge
}

func (h handle) generation() uint64 {
	h.t.Helper()
	g, err := h.Generation()
	if err != nil {
		h.t.Fatalf("Generation: %v", err)
	}
	return g
}

// insert adds a record at version 1 under a new ref.
func insert(tx store.Tx, space store.Space, kind store.Kind, sealed string, terms ...store.Term) (store.Ref, error) {
	ref, err := tx.NewRef()
	if err != nil {
		return 0, err
	}
	return ref, tx.Insert(store.Record{
		Ref: ref, Space: space, Kind: kind, Version: 1, Sealed: []byte(sealed), Terms: terms,
	})
}

// term makes a term that stands for n.
func term(n int) (t store.Term) {
	binary.BigEndian.PutUint64(t[:], uint64(n)*0x9e3779b97f4a7c15)
	binary.BigEndian.PutUint64(t[8:], uint64(n))
	return t
}

var (
	ctx     = context.Background()
	errTest = errors.New("an error of the test")
)

func wantErr(t *testing.T, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: error is %v, want %v", what, err, want)
	}
}

func wantAnyErr(t *testing.T, what string, err error) {
	t.Helper()
	if err == nil {
		t.Errorf("%s: no error", what)
	}
}

func want[T comparable](t *testing.T, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s is %v, want %v", what, got, want)
	}
}

func wantRefs(t *testing.T, what string, got []store.Ref, want ...store.Ref) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: refs are %v, want %v", what, got, want)
	}
}

func wantRecord(t *testing.T, got, want store.Record) {
	t.Helper()
	g, w := describe(got), describe(want)
	if g != w {
		t.Errorf("record is %s, want %s", g, w)
	}
	if got.Terms != nil {
		t.Errorf("record %d came with terms", got.Ref)
	}
}

func describe(r store.Record) string {
	return fmt.Sprintf("ref %d space %d kind %d version %d charge %d sealed %.40q (%d bytes)",
		r.Ref, r.Space, r.Kind, r.Version, r.Charge, r.Sealed, len(r.Sealed))
}
