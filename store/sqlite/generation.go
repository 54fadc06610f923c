package sqlite

import (
	"context"
	"os"
	"sync"
	"sync/atomic"
)

// The generation is the number of the last commit. The truth is in the
// database, in state.generation: a commit writes its own number there, so the
// number becomes visible together with what it stands for. The generation file
// is a copy of that truth which costs nothing to read. It has two counters:
//
//	begin  set to the number n of a commit before the commit
//	end    set to n after it
//
// Whoever holds the write turn changes them, in these steps:
//
//  1. BEGIN IMMEDIATE, read g = state.generation
//  2. n = 1 + the greatest of g, begin, end
//  3. state.generation = n
//  4. begin = n
//  5. COMMIT
//  6. end = n
//
// A reader that finds begin == end takes that number; otherwise it reads
// state.generation. Why no commit can hide from it, whenever a writer dies:
//
//   - Numbers grow, because n is greater than all that were there.
//   - begin == end == m means that commit m is visible (end is set after it)
//     and that none after m was, at the time begin was read: its writer would
//     have set begin first, to a number that is not m.
//   - Dead before step 4: nothing is visible, and the file says so. Nothing
//     happened.
//   - Dead between 4 and 6: begin != end, so all read the database, which knows
//     whether the commit took place. That it is slower is all; the next writer
//     or reader that gets the turn repairs the file (see repair). Before step 5
//     is through, a reader returns the old number, and returns another one
//     after it; this is right, as the change was not visible before.
//   - A commit that fails leaves begin != end as well. Its number n may be used
//     again by the next, which is right: nobody was told n, for it was not in
//     the database.
//   - The counters are single words in memory shared through the page cache,
//     so they survive any process and are never half written. After a loss of
//     power they may be older than the database; nobody is left then who
//     remembers a number, and the next commit is greater than both.
//   - A new, emptied or damaged file has zeros or anything else in it. Zero
//     never counts as equal, so a new file means reading the database. A wrong
//     but equal pair is a wrong number, but it changes with the next commit
//     like a right one, and that is all that is promised.
//   - A deleted file: the next writer makes a new one and counts there. Those
//     who mapped the old one would not notice; they look once a second whether
//     theirs is still in place (see Store.watch).
//
// The file also holds last_ref, the last ref given out by NewRef. It is stored
// before the ref is handed to the caller, so that a ref is not given out again
// when its transaction is rolled back or its process killed.
type generation struct {
	place   place
	lock    *lockFile
	current atomic.Pointer[mapping] // nil: there is only the database

	mu sync.Mutex // held to replace current
}

// implausible is a distance from the database at which a counter of the file
// is taken for damage.
const implausible = 1 << 40

// open maps the file for the first time.
func (g *generation) open(ctx context.Context) error {
	m, err := mapGen(g.place.gen(), g.place.readOnly)
	if g.place.readOnly {
		if err == nil && m.valid() {
			g.current.Store(m)
		}
		return nil
	}
	if err != nil {
		return err
	}
	if !m.valid() {
		release, err := g.lock.turn(ctx)
		if err != nil {
			return err
		}
		defer release()
		m.initialize()
	}
	g.current.Store(m)
	return nil
}

// initialize makes a valid file of a new or a damaged one. The caller holds
// the write turn.
func (m *mapping) initialize() {
	m.guard(func() {
		if m.magic.Load() == magicWord {
			return
		}
		m.end.Store(0)
		m.begin.Store(0)
		m.lastRef.Store(0)
		m.magic.Store(magicWord)
	})
}

// inPlace reports whether the file that is mapped is still the file to map.
func (g *generation) inPlace() bool {
	m := g.current.Load()
	if m == nil {
		return false
	}
	info, err := os.Stat(g.place.gen())
	if err != nil || info.Size() < genSize {
		return false
	}
	id, err := toID(info, nil)
	return err == nil && id == m.id && m.valid()
}

// renew maps the file anew if it is not in place. The caller holds the turn.
func (g *generation) renew() (*mapping, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.inPlace() {
		return g.current.Load(), nil
	}
	m, err := mapGen(g.place.gen(), false)
	if err != nil {
		return nil, err
	}
	m.initialize()
	g.current.Store(m)
	return m, nil
}

// check is what the watch does: it lets go of a file that is not in place.
func (g *generation) check() {
	if g.place.readOnly {
		g.checkReadOnly()
		return
	}
	if g.inPlace() {
		return
	}
	release, ok := g.lock.tryTurn()
	if !ok { // a writer will renew it; until then the database is asked
		g.current.Store(nil)
		return
	}
	defer release()
	if _, err := g.renew(); err != nil {
		g.current.Store(nil)
	}
}

func (g *generation) checkReadOnly() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.inPlace() {
		return
	}
	g.current.Store(nil)
	if m, err := mapGen(g.place.gen(), true); err == nil && m.valid() {
		g.current.Store(m)
	}
}

// read returns the generation if the file knows it.
func (g *generation) read() (n uint64, ok bool) {
	m := g.current.Load()
	if m == nil {
		return 0, false
	}
	return m.stable()
}

// repair makes the file say what the database says, if that is still so under
// the write turn, which it tries to get.
func (g *generation) repair(inDatabase func() (uint64, error)) {
	if g.place.readOnly {
		return
	}
	release, ok := g.lock.tryTurn()
	if !ok {
		return
	}
	defer release()
	n, err := inDatabase()
	if err != nil {
		return
	}
	m, err := g.renew()
	if err != nil {
		return
	}
	m.guard(func() {
		m.end.Store(0)
		m.begin.Store(n)
		m.end.Store(n)
	})
}

// after returns the number of the commit that follows number n of the
// database. The caller holds the write turn.
func (m *mapping) after(n uint64) (next uint64, ok bool) {
	ok = m.guard(func() {
		for _, counter := range []*atomic.Uint64{m.begin, m.end} {
			if c := counter.Load(); c > n && c-n < implausible {
				n = c
			}
		}
	})
	return n + 1, ok
}

// takeRef returns the ref after the last one given out, last being the one
// that the database knows of. The caller holds the write turn.
func (m *mapping) takeRef(last uint64) (ref uint64, ok bool) {
	ok = m.guard(func() {
		if c := m.lastRef.Load(); c > last && c-last < implausible {
			last = c
		}
		m.lastRef.Store(last + 1)
	})
	return last + 1, ok
}
