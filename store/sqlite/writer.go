package sqlite

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"time"

	"github.com/perilune/perilune/store"
)

// writer runs the Updates of one store. The first Update to come leads. It opens
// a transaction, runs its own fn, then has every Update that waits run in the
// same transaction, each in its own savepoint, commits once for all, and passes
// the lead. So a lone Update waits for nobody, and many share the price of one
// fsync.
//
// The functions of those who wait run one after the other in one goroutine, not
// each in its caller's: callers are threads of a C program, and to switch
// between those takes longer than most functions.
type writer struct {
	store *Store
	queue queue
	conn  *conn // the leader's
}

// group is one transaction and the calls that share it.
type group struct {
	w       *writer
	conn    *conn
	gen     *mapping
	release func() // gives the write turn back
	begun   time.Time

	loaded state // as it was in the database
	state  state // with the changes of this group
	calls  []*call
	broken error // the whole transaction is lost
	full   bool  // there was no room for it
}

// maxGroup is how many calls may share a transaction. Options.groupTime limits
// how long calls are taken along.
const maxGroup = 256

var (
	// errAgain says that a call must run again, alone: because those that it
	// shared a transaction with spoiled it, or because room was made for it.
	errAgain = errors.New("store: run again")
	// errUnwound is the result of a fn that did not return.
	errUnwound = errors.New("store: the function given to Update panicked or ended its goroutine")
)

// update runs a call to its end.
func (w *writer) update(c *call) error {
	for {
		err := w.once(c)
		if err != errAgain {
			return err
		}
		c.alone = true
	}
}

func (w *writer) once(c *call) error {
	c.wake = make(chan role, 1)
	switch w.queue.wait(c) {
	case lead:
		return w.lead(c)
	case gaveUp:
		return w.store.lock.tooLong(c.patient)
	}
	c.unwind()
	return c.err
}

// unwind ends a call in its caller's goroutine as its fn ended elsewhere.
func (c *call) unwind() {
	switch {
	case c.exited:
		runtime.Goexit()
	case c.panicked != nil:
		panic(c.panicked)
	}
}

// lead runs the call in a transaction of its own and takes others along. If fn
// panics, the panic goes on to the caller after all the others are served.
func (w *writer) lead(c *call) (err error) {
	g, err := w.begin(c.patient)
	if err != nil {
		w.queue.pass()
		return err
	}
	defer func() {
		w.finish(g, c.alone)
		err = c.err
	}()
	g.run(c)
	return nil
}

// begin takes the write turn and opens a transaction.
func (w *writer) begin(ctx context.Context) (g *group, err error) {
	release, err := w.store.lock.turn(ctx)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			w.reset()
			release()
		}
	}()
	g = &group{w: w, release: release, begun: time.Now()}
	if g.gen, err = w.store.gen.renew(); err != nil {
		return nil, err
	}
	err = patiently(ctx, func() error { return w.open(ctx, g) })
	return g, w.store.explain("write", err)
}

// open opens the connection if need be, and the transaction.
func (w *writer) open(ctx context.Context, g *group) (err error) {
	if w.conn == nil {
		if w.conn, err = w.store.connect(); err != nil {
			return err
		}
	}
	g.conn = w.conn
	if _, err := g.conn.exec("BEGIN IMMEDIATE"); err != nil {
		return err
	}
	g.loaded, err = g.conn.state(ctx)
	g.state = g.loaded
	return err
}

// reset makes sure that the connection is out of any transaction.
func (w *writer) reset() {
	if w.conn == nil || w.conn.db.AutoCommit() {
		return
	}
	_, err := w.conn.exec("ROLLBACK")
	if err != nil || !w.conn.db.AutoCommit() {
		_ = w.conn.close()
		w.conn = nil
	}
}

// run runs one call in the group's transaction, whole or not at all.
func (g *group) run(c *call) {
	g.calls = append(g.calls, c)
	c.err = errUnwound
	if _, err := g.conn.exec("SAVEPOINT one"); err != nil {
		c.err = g.w.store.explain("write", err)
		g.broken = c.err
		return
	}
	before := g.state
	t := &tx{ctx: c.ctx, store: g.w.store, conn: g.conn, state: &g.state, gen: g.gen}
	defer func() {
		t.over.Store(true)
		if c.err == nil {
			c.err = g.keep(t)
		}
		if c.err != nil {
			g.undo(before)
		}
		if g.isFull(t.broken) && !c.alone {
			c.err = errAgain
		}
	}()
	c.err = c.fn(t)
}

// keep ends the savepoint of a transaction that succeeded.
func (g *group) keep(t *tx) error {
	if t.broken != nil {
		return t.broken
	}
	if err := t.flush(); err != nil {
		return err
	}
	if _, err := g.conn.exec("RELEASE one"); err != nil {
		return g.w.store.explain("write", err)
	}
	return nil
}

// undo takes back what the last call did. The refs that it took are lost.
func (g *group) undo(before state) {
	before.lastRef = g.state.lastRef
	g.state = before
	if g.conn.db.AutoCommit() { // SQLite rolled everything back
		g.broken = errAgain
		return
	}
	for _, s := range []string{"ROLLBACK TO one", "RELEASE one"} {
		if _, err := g.conn.exec(s); err != nil {
			g.broken = errAgain
			return
		}
	}
}

// finish takes along those who wait, commits, and tells everyone the result.
func (w *writer) finish(g *group, alone bool) {
	if !alone {
		w.takeAlong(g)
	}
	g.settle(g.commit(), alone)
	w.reset()
	if g.full {
		w.makeRoom()
	}
	g.release()
	w.queue.pass()
	for _, c := range g.calls[1:] {
		c.wake <- done
	}
}

// takeAlong runs those who wait, in one goroutine for all; in another one after
// a fn has ended that.
func (w *writer) takeAlong(g *group) {
	for c := g.next(); c != nil; c = g.next() {
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			debug.SetPanicOnFault(true) // a fn may look at its caller's memory
			for ; c != nil; c = g.next() {
				g.runFor(c)
			}
		}()
		<-ended
	}
}

// next is the next call to take along, nil if it is time to commit.
func (g *group) next() *call {
	if g.broken != nil || len(g.calls) >= maxGroup || time.Since(g.begun) >= g.w.store.opts.groupTime {
		return nil
	}
	return g.w.queue.next()
}

// runFor runs the call of another goroutine, and notes for it how its fn ended.
func (g *group) runFor(c *call) {
	c.exited = true
	defer func() {
		if c.panicked = recover(); c.panicked != nil {
			c.exited = false
		}
	}()
	g.run(c)
	c.exited = false
}

// makeRoom gives the space of the log back. Without that, a log that has taken
// the last of the disk would leave none for the transactions that delete.
func (w *writer) makeRoom() {
	if w.conn != nil {
		_ = w.conn.truncateLog() // what it cannot do now, a later checkpoint does
	}
}

// isFull reports, and notes, whether an error says that there is no room.
func (g *group) isFull(err error) bool {
	full := errors.Is(err, store.ErrFull)
	g.full = g.full || full
	return full
}

// settle gives the result of the commit to the calls that succeeded so far.
func (g *group) settle(err error, alone bool) {
	if err == nil {
		return
	}
	if g.isFull(err) && !alone || len(g.calls) > 1 {
		err = errAgain
	}
	for _, c := range g.calls {
		if c.err == nil {
			c.err = err
		}
	}
}

// commit makes the group's changes durable, and visible to all processes.
func (g *group) commit() error {
	if g.broken != nil {
		return g.broken
	}
	if g.nothingToDo() {
		return nil
	}
	n, ok := g.gen.after(g.state.generation)
	g.state.generation = n
	if !ok {
		return errGenGone(g.w.store.place)
	}
	err := g.conn.writeState(g.state)
	if err != nil {
		return g.w.store.explain("write", err)
	}
	g.w.store.step("written")
	if !g.gen.guard(func() { g.gen.begin.Store(n) }) {
		return errGenGone(g.w.store.place)
	}
	g.w.store.step("announced")
	if _, err := g.conn.exec("COMMIT"); err != nil {
		return g.w.store.explain("commit to", err)
	}
	g.w.store.step("committed")
	g.gen.guard(func() { g.gen.end.Store(n) })
	g.w.store.step("ended")
	return nil
}

// nothingToDo reports whether no call that succeeded changed anything.
func (g *group) nothingToDo() bool {
	for _, c := range g.calls {
		if c.err == nil && g.state != g.loaded {
			return false
		}
	}
	return true
}

func errGenGone(p place) error {
	return fmt.Errorf("%w: %s was cut short while in use; try again", store.ErrCorrupt, p.gen())
}
