// Package store is the contract between the HSM and whatever keeps its
// records. A store sees sealed bytes and keyed hashes only: it knows nothing of
// keys, roles or PKCS#11.
//
// Every implementation passes the suite in storetest.
package store

import (
	"context"
	"errors"
)

// Ref names a record for ever: refs are small, start at 1, grow, and are never
// given out twice, not even after the record is deleted or a transaction that
// took one is rolled back and its number lost.
type Ref uint64

// Space groups records: 0 is the HSM itself, every other number a partition.
type Space uint64

// Kind tells what a record is. The store only compares kinds.
type Kind uint8

// Term is one entry of the blind index: a keyed hash of an attribute and its
// value, made by the caller. The store cannot tell what it stands for.
type Term [16]byte

// Record is one sealed record.
type Record struct {
	Ref     Ref
	Space   Space
	Kind    Kind
	Version uint64 // 1 when inserted, one more at each replacement
	Sealed  []byte
	Charge  uint64 // what the caller accounts for it, at most MaxCharge; see Charged
	Terms   []Term // what Find finds it by; replaced together with Sealed
}

// MaxCharge is the greatest charge of one record. It keeps sums from overflowing.
const MaxCharge = 1 << 40

// Change says that a record was inserted, replaced or deleted.
type Change struct {
	Ref   Ref
	Space Space
	Kind  Kind
	// Version is the record's present version, 0 if it is deleted.
	Version uint64
}

// Gone reports that the record was deleted.
func (c Change) Gone() bool { return c.Version == 0 }

var (
	// ErrNotFound says that no record has the ref asked for.
	ErrNotFound = errors.New("store: no such record")
	// ErrConflict says that a record is not at the version that the caller
	// read, because somebody changed or deleted it since.
	ErrConflict = errors.New("store: record changed meanwhile")
	// ErrFull says that the disk, or the store's own limit, has no room left.
	ErrFull = errors.New("store: no space left")
	// ErrReadOnly says that the place of the store cannot be written.
	ErrReadOnly = errors.New("store: read-only")
	// ErrCorrupt says that the stored bytes are damaged.
	ErrCorrupt = errors.New("store: damaged")
	// ErrBusy says that another process held the store for longer than the
	// caller's context, or the store's patience of a minute, allowed.
	ErrBusy = errors.New("store: held by another process for too long")
	// ErrVersion says that a newer program wrote the store.
	ErrVersion = errors.New("store: written by a newer version")
	// ErrClosed says that the store was closed.
	ErrClosed = errors.New("store: closed")
)

// Store keeps records for any number of processes and threads at once.
type Store interface {
	// View runs fn on one consistent state. fn must not keep tx.
	View(ctx context.Context, fn func(tx Tx) error) error

	// Update runs fn and commits what it did, or nothing when fn returns an
	// error (which Update returns). Transactions are serialisable across
	// threads and processes. When Update returns nil the change is durable:
	// it survives kill -9 and loss of power. Several callers may share one
	// commit; the failure of one fn does not touch the others. fn runs once
	// or more, never twice at the same time, so it must not leave traces
	// outside tx before Update returns.
	Update(ctx context.Context, fn func(tx Tx) error) error

	// Generation returns a number that differs from every number returned
	// before if any process committed in between. It costs a few nanoseconds
	// when nothing happened. A caller that reads Generation, then reads
	// records, and finds the same Generation later may trust what it read.
	Generation() (uint64, error)

	// Lock takes the named lock, shared with all threads and all processes
	// on this store, waiting for it as long as ctx allows. It is freed by
	// release or by the death of the process. Locks are advisory and
	// independent of transactions.
	Lock(ctx context.Context, name string) (release func(), err error)

	// Close waits for the transactions under way and frees everything.
	Close() error
}

// Tx is one transaction. It belongs to the goroutine that runs fn. In View
// the changing methods return ErrReadOnly.
type Tx interface {
	// NewRef reserves a ref, so that a record can be sealed under its own name.
	NewRef() (Ref, error)
	// Insert adds r, whose Ref came from NewRef and whose Version must be 1.
	Insert(r Record) error
	// Replace puts r in the place of the record of the same Ref whose Version
	// is r.Version-1, or returns ErrConflict (ErrNotFound if it is gone).
	// Space and Kind may not change.
	Replace(r Record) error
	// Delete removes a record at the given version, or returns ErrConflict or
	// ErrNotFound. The deleted bytes are overwritten in the file.
	Delete(ref Ref, version uint64) error

	// Get returns a record with its Sealed, without its Terms.
	Get(ref Ref) (Record, error)
	// List returns the records of a space and kind in the order of their
	// refs, from after on, at most limit of them (0: all), without Terms.
	List(space Space, kind Kind, after Ref, limit int) ([]Record, error)
	// Find returns, in rising order, the refs of the records of a space and
	// kind that carry all the terms (no terms: all records), in a time that
	// follows from the rarest of them. At most limit are returned (0: all),
	// only refs greater than after.
	Find(space Space, kind Kind, terms []Term, after Ref, limit int) ([]Ref, error)
	// Count returns how many records of a kind a space has, without reading them.
	Count(space Space, kind Kind) (uint64, error)
	// Charged returns the sum of the charges of all records of a space, without
	// reading them.
	Charged(space Space) (uint64, error)

	// Changes returns what changed after the moment since (0: the beginning),
	// each ref once, and the present moment to ask with next time. Known is
	// false when the store no longer remembers that far: the caller must
	// then distrust everything that it holds. Moments are not Generations.
	Changes(since uint64) (list []Change, now uint64, known bool, err error)
	// Now returns the present moment without listing changes.
	Now() (uint64, error)
}

// Scrubber is a Store that can be told to leave no trace of deleted records in
// any of its files, beyond what Delete does at once: in a log, for example.
type Scrubber interface {
	// Scrub waits for the transactions that still need such traces, as long
	// as ctx and the store's patience allow.
	Scrub(ctx context.Context) error
}

// Checker is a Store that can compare what it keeps with itself: indexes with
// records, sums with what they add up.
type Checker interface {
	// Check says what does not fit, in words for people. Others may go on
	// meanwhile. It takes time for all that is in the store.
	Check(ctx context.Context) (found []string, err error)
}
