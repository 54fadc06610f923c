package hsm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/store"
)

// Handles. A token object's handle is its reference in the store; the HSM's own
// objects and session objects have theirs above all references.
const (
	firstSessionObject ck.ObjectHandle = 1 << 30
	firstBuiltin                       = firstSessionObject - 256
	// lastSessionObject keeps handles within a CK_ULONG of 32 bits.
	lastSessionObject ck.ObjectHandle = 1<<32 - 2
)

// storeError gives an error of the store the code that a caller gets for it.
// Errors that carry a code already keep it.
func storeError(err error) error {
	var rv ck.RV
	if err == nil || errors.As(err, &rv) {
		return err
	}
	for _, m := range []struct {
		err error
		rv  ck.RV
	}{
		{store.ErrFull, ck.CKR_DEVICE_MEMORY},
		{store.ErrReadOnly, ck.CKR_TOKEN_WRITE_PROTECTED},
		{store.ErrClosed, ck.CKR_CRYPTOKI_NOT_INITIALIZED},
		{context.Canceled, ck.CKR_FUNCTION_CANCELED},
		{context.DeadlineExceeded, ck.CKR_FUNCTION_CANCELED},
	} {
		if errors.Is(err, m.err) {
			return fmt.Errorf("%w: %w", m.rv, err)
		}
	}
	return fmt.Errorf("%w: %w", ck.CKR_DEVICE_ERROR, err)
}

// isConflict reports that a record changed since it was read.
func isConflict(err error) bool { return errors.Is(err, store.ErrConflict) }

// privateKeys are the keys of private objects, nil if nobody may read them.
func (p *partition) privateKeys() *spaceKeys { return p.who().keys }

// kindOf is the kind of record that a token object is kept in, and keysOf the
// keys that seal it, nil if there are none now.
func kindOf(private bool) store.Kind {
	if private {
		return kindPrivateObject
	}
	return kindPublicObject
}

func (p *partition) keysOf(kind store.Kind) *spaceKeys {
	if kind == kindPrivateObject {
		return p.privateKeys()
	}
	return p.public
}

// load reads a token object and caches it.
func (h *HSM) load(ctx context.Context, p *partition, ref store.Ref) (*object, error) {
	if ref <= p.stateNow().WipedTo {
		return nil, ck.CKR_OBJECT_HANDLE_INVALID
	}
	t := p.objects.ticket()
	var rec store.Record
	err := h.store.View(ctx, func(tx store.Tx) (err error) {
		rec, err = tx.Get(ref)
		return err
	})
	if err != nil {
		return nil, missing(err)
	}
	o, err := p.open(&rec)
	if isDamage(err) {
		h.noteDamage(&rec, err)
	}
	if err != nil {
		return nil, err
	}
	p.objects.put(o, t)
	return o, nil
}

// missing is storeError where a handle may name nothing.
func missing(err error) error {
	if errors.Is(err, store.ErrNotFound) {
		return ck.CKR_OBJECT_HANDLE_INVALID
	}
	return storeError(err)
}

// open makes the object of a record. Records that are no objects of this
// partition, or private ones that nobody may read now, are no valid handles.
func (p *partition) open(rec *store.Record) (*object, error) {
	if rec.Space != p.space || rec.Kind != kindPublicObject && rec.Kind != kindPrivateObject {
		return nil, ck.CKR_OBJECT_HANDLE_INVALID
	}
	keys := p.keysOf(rec.Kind)
	if keys == nil {
		return nil, ck.CKR_OBJECT_HANDLE_INVALID
	}
	plain, err := keys.open(rec)
	if err != nil {
		return nil, storeError(err)
	}
	attrs, err := parseFlat(plain)
	if err != nil {
		return nil, damaged(rec, err)
	}
	o, err := newObject(attrs)
	if err != nil {
		return nil, damaged(rec, err)
	}
	if kindOf(o.private()) != rec.Kind || !o.bool(ck.CKA_TOKEN) {
		return nil, damaged(rec, errFlat)
	}
	o.ref, o.handle, o.version, o.home = rec.Ref, ck.ObjectHandle(rec.Ref), rec.Version, p.home
	return o, nil
}

func damaged(rec *store.Record, err error) error {
	return fmt.Errorf("%w: record %d: %w: %w", ck.CKR_DEVICE_ERROR, rec.Ref, err, store.ErrCorrupt)
}

// recordOf is the record of a token object at a version.
func (p *partition) recordOf(o *object, keys *spaceKeys, ref store.Ref, version uint64, terms []store.Term) store.Record {
	rec := store.Record{Ref: ref, Space: p.space, Kind: kindOf(o.private()), Version: version, Terms: terms, Charge: o.charge()}
	keys.seal(&rec, o.attrs)
	return rec
}

// add stores all of the objects or none, and returns their handles. Token
// objects are stored in one transaction.
func (h *HSM) add(ctx context.Context, s *session, objs ...*object) ([]ck.ObjectHandle, error) {
	return h.addIf(ctx, s, func(store.Tx) error { return nil }, objs...)
}

// addCopy stores the copy of an object, unless the original changed meanwhile.
func (h *HSM) addCopy(ctx context.Context, s *session, o, base *object) ([]ck.ObjectHandle, error) {
	return h.addIf(ctx, s, func(tx store.Tx) error {
		if !base.token() {
			return nil
		}
		rec, err := tx.Get(base.ref)
		if err == nil && rec.Version != base.version {
			err = store.ErrConflict
		}
		return err
	}, o)
}

func (h *HSM) addIf(ctx context.Context, s *session, condition func(store.Tx) error, objs ...*object) ([]ck.ObjectHandle, error) {
	var tokens, others []*object
	for _, o := range objs {
		if o.token() {
			tokens = append(tokens, o)
		} else {
			others = append(others, o)
		}
	}
	if len(tokens) > 0 {
		if err := h.insert(ctx, s.part, condition, tokens); err != nil {
			return nil, err
		}
	}
	if err := h.objects.add(s.part, others...); err != nil {
		return nil, err
	}
	handles := make([]ck.ObjectHandle, len(objs))
	for i, o := range objs {
		handles[i] = o.handle
	}
	return handles, nil
}

// insert puts new token objects into the store and the cache.
func (h *HSM) insert(ctx context.Context, p *partition, condition func(store.Tx) error, objs []*object) error {
	if p.public == nil {
		return errNoFreeSlot
	}
	keys := make([]*spaceKeys, len(objs))
	terms := make([][]store.Term, len(objs))
	for i, o := range objs {
		if keys[i] = p.keysOf(kindOf(o.private())); keys[i] == nil {
			return deny(refuseNotLoggedIn, "the role logged out meanwhile")
		}
		terms[i] = o.terms(keys[i])
	}
	t := p.objects.ticket()
	refs := make([]store.Ref, len(objs))
	err := h.write(ctx, p, func(tx store.Tx) error {
		if err := condition(tx); err != nil {
			return err
		}
		for i, o := range objs {
			ref, err := tx.NewRef()
			if err != nil {
				return err
			}
			if ck.ObjectHandle(ref) >= firstBuiltin {
				return fmt.Errorf("the store has given out all object handles: %w", ck.CKR_DEVICE_MEMORY)
			}
			if err := tx.Insert(p.recordOf(o, keys[i], ref, 1, terms[i])); err != nil {
				return err
			}
			refs[i] = ref
		}
		return nil
	})
	if err != nil {
		return missing(err)
	}
	for i, o := range objs {
		o.ref, o.handle, o.version, o.home = refs[i], ck.ObjectHandle(refs[i]), 1, p.home
		p.objects.put(o, t)
	}
	return nil
}

// write runs fn in a transaction, unless the partition was initialised anew:
// objects written then would be sealed under keys that nobody has. Nothing comes
// into a partition by another way, so its size is heeded here.
func (h *HSM) write(ctx context.Context, p *partition, fn func(store.Tx) error) error {
	state := p.stateNow()
	return h.store.Update(ctx, func(tx store.Tx) error {
		rec, err := tx.Get(state.ref)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return err
		}
		size := state.Size
		if err != nil || rec.Version != state.version { // it changed: how?
			_, now, err := h.sameEpoch(tx, p, state.Epoch)
			if err != nil {
				return err
			}
			size = now.Size
		}
		return within(tx, p.space, size, fn)
	})
}

// modify replaces the attributes of a token object by what change makes of
// them. Change sees the object as it is in the transaction and may be called
// several times.
func (h *HSM) modify(ctx context.Context, p *partition, ref store.Ref, change func(*object) (flat, error)) error {
	t := p.objects.ticket()
	var next *object
	err := h.write(ctx, p, func(tx store.Tx) (err error) {
		next, err = p.replace(tx, ref, change)
		return err
	})
	if err != nil {
		return missing(err)
	}
	if next != nil {
		p.objects.put(next, t)
	}
	return nil
}

// replace returns the new object, nil if nothing changes.
func (p *partition) replace(tx store.Tx, ref store.Ref, change func(*object) (flat, error)) (*object, error) {
	rec, err := tx.Get(ref)
	if err != nil {
		return nil, err
	}
	now, err := p.open(&rec)
	if err != nil {
		return nil, err
	}
	attrs, err := change(now)
	if err != nil || bytes.Equal(attrs, now.attrs) {
		return nil, err
	}
	keys := p.keysOf(rec.Kind)
	if keys == nil {
		return nil, ck.CKR_OBJECT_HANDLE_INVALID // logged out meanwhile
	}
	next := now.with(attrs)
	next.version++
	return next, tx.Replace(p.recordOf(next, keys, ref, next.version, next.terms(keys)))
}

// with is the same object with other attributes. Key material never changes.
func (o *object) with(attrs flat) *object {
	next := &object{handle: o.handle, owner: o.owner, ref: o.ref, version: o.version, home: o.home,
		class: o.class, schema: o.schema, attrs: attrs, isPrivate: o.isPrivate}
	next.parsed.Store(o.parsed.Load())
	return next
}

// destroy deletes a token object if it may be destroyed.
func (h *HSM) destroy(ctx context.Context, p *partition, ref store.Ref) error {
	err := h.write(ctx, p, func(tx store.Tx) error {
		rec, err := tx.Get(ref)
		if err != nil {
			return err
		}
		now, err := p.open(&rec)
		if err != nil {
			return err
		}
		if !now.bool(ck.CKA_DESTROYABLE) {
			return errNotDestroyable()
		}
		return tx.Delete(ref, rec.Version)
	})
	if err != nil {
		return missing(err)
	}
	p.objects.forget(ref, 0)
	return nil
}

// lastHandle is the last handle of a session object, of all HSMs in the
// process: a handle from before C_Finalize must not name another object after
// the next C_Initialize.
var lastHandle atomic.Uint64

// sessionObjects are the session objects of an application, on all slots. Its
// zero value is empty.
type sessionObjects struct {
	mu       sync.RWMutex // guards what follows, but for looking up
	byHandle objectTable
	// byOwner has the sessions that ever had objects, until they end.
	byOwner map[*session]map[ck.ObjectHandle]*object
}

func (t *sessionObjects) get(handle ck.ObjectHandle) *object {
	if handle > lastSessionObject {
		return nil
	}
	return t.byHandle.get(handle)
}

// add gives the objects handles. Private ones are refused when nobody is logged
// in any more: logging out holds p.mu while it drops them.
func (t *sessionObjects) add(p *partition, objs ...*object) error {
	if len(objs) == 0 {
		return nil
	}
	p.mu.RLock()
	defer p.mu.RUnlock()
	for _, o := range objs {
		if o.private() && p.privateKeys() == nil {
			return deny(refuseNotLoggedIn, "the role logged out meanwhile")
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, o := range objs {
		o.handle = firstSessionObject - 1 + ck.ObjectHandle(lastHandle.Add(1))
		if o.handle > lastSessionObject {
			return fmt.Errorf("the process has used all handles of session objects: %w", ck.CKR_DEVICE_MEMORY)
		}
		t.put(o)
	}
	return nil
}

func (t *sessionObjects) put(o *object) {
	if t.byOwner == nil {
		t.byOwner = map[*session]map[ck.ObjectHandle]*object{}
	}
	mine := t.byOwner[o.owner]
	if mine == nil {
		mine = map[ck.ObjectHandle]*object{}
		t.byOwner[o.owner] = mine
	}
	mine[o.handle] = o
	t.byHandle.put(o)
	o.live.Store(true)
	o.owner.owns.Store(true)
}

// remove drops an object, in whatever version.
func (t *sessionObjects) remove(o *object) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.drop(o)
}

func (t *sessionObjects) drop(o *object) {
	if now := t.byHandle.remove(o.handle); now != nil {
		now.live.Store(false)
	}
	delete(t.byOwner[o.owner], o.handle)
}

// modify replaces the attributes of an object by what change makes of them.
func (t *sessionObjects) modify(handle ck.ObjectHandle, change func(*object) (flat, error)) error {
	for {
		now := t.get(handle)
		if now == nil {
			return ck.CKR_OBJECT_HANDLE_INVALID
		}
		attrs, err := change(now)
		if err != nil {
			return err
		}
		if t.swap(now, now.with(attrs)) {
			return nil
		}
	}
}

// swap replaces an object if it is still the same.
func (t *sessionObjects) swap(old, next *object) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.byHandle.get(old.handle) != old {
		return false
	}
	old.live.Store(false)
	t.put(next)
	return true
}

// dropIf drops the objects of the sessions that f1 picks, those that f2 picks.
func (t *sessionObjects) dropIf(ofSession func(*session) bool, which func(*object) bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for s, mine := range t.byOwner {
		if !ofSession(s) {
			continue
		}
		for _, o := range mine {
			if which(o) {
				t.drop(o)
			}
		}
	}
}

// matching returns the handles of the objects on a slot that f picks.
func (t *sessionObjects) matching(p *partition, f func(*object) bool) (list []ck.ObjectHandle) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	for s, mine := range t.byOwner {
		if s.part != p {
			continue
		}
		for handle, o := range mine {
			if f(o) {
				list = append(list, handle)
			}
		}
	}
	return list
}

// dropSessionObjects drops what dies with a session.
func (h *HSM) dropSessionObjects(s *session) {
	if !s.owns.Load() {
		return
	}
	h.objects.mu.Lock()
	defer h.objects.mu.Unlock()
	for _, o := range h.objects.byOwner[s] {
		h.objects.drop(o)
	}
	delete(h.objects.byOwner, s)
}

// dropPrivate drops what logging out takes away: private session objects, and
// private token objects from the cache. The caller holds p.mu.
func (h *HSM) dropPrivate(p *partition) {
	h.objects.dropIf(func(s *session) bool { return s.part == p }, (*object).private)
	p.objects.dropPrivate()
}
