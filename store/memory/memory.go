// Package memory is a store that lives in the memory of one process. It is for
// tests: nothing survives the process, and nobody else can share it.
package memory

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/perilune/perilune/store"
)

// keepGone is how many deletions a place remembers for Changes.
const keepGone = 100_000

// Place is what several handles share: the counterpart of a directory.
type Place struct {
	writer chan struct{} // holds one token: who has it may update

	mu    sync.RWMutex // guards everything up to the blank line
	base  base
	state counters

	generation atomic.Uint64
	locks      locks
	keepGone   int
}

// New returns an empty place.
func New() *Place {
	p := &Place{
		writer:   make(chan struct{}, 1),
		base:     newBase(),
		locks:    locks{held: map[string]*lock{}},
		keepGone: keepGone,
	}
	p.writer <- struct{}{}
	p.generation.Store(1)
	return p
}

// Copy returns another place with the same records.
func (p *Place) Copy() *Place {
	p.mu.RLock()
	defer p.mu.RUnlock()
	c := New()
	for _, entries := range []map[store.Ref]*entry{p.base.entries, p.base.tombs} {
		for ref, e := range entries {
			same := *e
			c.base.put(ref, &same)
		}
	}
	c.base.forgotten, c.state = p.base.forgotten, p.state
	return c
}

// Open returns one more handle on the place.
func (p *Place) Open() store.Store {
	return &handle{place: p, held: map[*func()]struct{}{}, done: make(chan struct{})}
}

// handle is a store.Store on a place.
type handle struct {
	place *Place

	mu     sync.Mutex // guards closed, held and the adding to active
	closed bool
	held   map[*func()]struct{} // releases of the locks held through this handle
	active sync.WaitGroup       // transactions under way
	done   chan struct{}        // closed by Close
}

var errOver = errors.New("store: this transaction is over; fn must not keep its tx")

// enter counts one transaction in, unless the handle is closed.
func (h *handle) enter(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return store.ErrClosed
	}
	h.active.Add(1)
	return nil
}

// View implements store.Store.
func (h *handle) View(ctx context.Context, fn func(store.Tx) error) error {
	if err := h.enter(ctx); err != nil {
		return err
	}
	defer h.active.Done()
	p := h.place
	p.mu.RLock()
	defer p.mu.RUnlock()
	tx := &tx{ctx: ctx, place: p, counters: p.state, readOnly: true}
	defer tx.finish()
	return fn(tx)
}

// Update implements store.Store. The transaction works on an overlay, which is
// put on the place at the end: readers never see half of it.
func (h *handle) Update(ctx context.Context, fn func(store.Tx) error) error {
	if err := h.enter(ctx); err != nil {
		return err
	}
	defer h.active.Done()
	p := h.place
	select {
	case <-p.writer:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { p.writer <- struct{}{} }()

	tx := &tx{ctx: ctx, place: p, counters: p.state, over: map[store.Ref]*entry{}}
	defer tx.finish()
	err := fn(tx)
	if err != nil {
		return err
	}
	p.commit(tx)
	return nil
}

// Generation implements store.Store.
func (h *handle) Generation() (uint64, error) {
	select {
	case <-h.done:
		return 0, store.ErrClosed
	default:
		return h.place.generation.Load(), nil
	}
}

// Lock implements store.Store.
func (h *handle) Lock(ctx context.Context, name string) (func(), error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	select {
	case <-h.done:
		return nil, store.ErrClosed
	default:
	}
	release, err := h.place.locks.take(ctx, h.done, name)
	if err != nil {
		return nil, err
	}
	return h.hold(release)
}

// hold notes a lock, so that Close can free it, and returns its release.
func (h *handle) hold(free func()) (release func(), err error) {
	free = sync.OnceFunc(free)
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		free()
		return nil, store.ErrClosed
	}
	h.held[&free] = struct{}{}
	return func() {
		h.mu.Lock()
		delete(h.held, &free)
		h.mu.Unlock()
		free()
	}, nil
}

// Close implements store.Store.
func (h *handle) Close() error {
	h.mu.Lock()
	first := !h.closed
	h.closed = true
	h.mu.Unlock()
	h.active.Wait()
	if !first {
		return nil
	}
	close(h.done)
	for _, free := range h.letGo() {
		free()
	}
	return nil
}

// letGo returns the releases of all locks still held.
func (h *handle) letGo() (list []func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for free := range h.held {
		list = append(list, *free)
	}
	clear(h.held)
	return list
}

// commit puts the overlay of a transaction on the place.
func (p *Place) commit(t *tx) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if t.moment == p.state.moment {
		return
	}
	p.state = counters{lastRef: p.state.lastRef, moment: t.moment}
	for ref, e := range t.over {
		p.base.put(ref, e)
	}
	p.base.forget(p.keepGone)
	p.generation.Add(1)
}

// locks are the named locks of a place.
type locks struct {
	mu   sync.Mutex
	held map[string]*lock
}

// lock is one name: users counts the holder and those who wait.
type lock struct {
	token chan struct{}
	users int
}

func (l *locks) take(ctx context.Context, closed <-chan struct{}, name string) (func(), error) {
	k := l.join(name)
	select {
	case k.token <- struct{}{}:
		return func() { <-k.token; l.leave(name) }, nil
	case <-closed:
		l.leave(name)
		return nil, store.ErrClosed
	case <-ctx.Done():
		l.leave(name)
		return nil, fmt.Errorf("lock %q: %w: %w", name, store.ErrBusy, ctx.Err())
	}
}

func (l *locks) join(name string) *lock {
	l.mu.Lock()
	defer l.mu.Unlock()
	k := l.held[name]
	if k == nil {
		k = &lock{token: make(chan struct{}, 1)}
		l.held[name] = k
	}
	k.users++
	return k
}

func (l *locks) leave(name string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	k := l.held[name]
	if k.users--; k.users == 0 {
		delete(l.held, name)
	}
}

// clone copies what a caller hands in or is handed out.
func clone(r store.Record) store.Record {
	r.Sealed = slices.Clone(r.Sealed)
	r.Terms = slices.Clone(r.Terms)
	return r
}
