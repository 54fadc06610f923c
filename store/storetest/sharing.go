package storetest

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"testing"

	"github.com/perilune/perilune/store"
)

func testTwoHandles(t *testing.T, p place) {
	a, b := p.handle(), p.handle()
	ref := a.insert(1, 1, "from a", term(1))
	wantRecord(t, b.get(ref), store.Record{Ref: ref, Space: 1, Kind: 1, Version: 1, Sealed: []byte("from a")})
	b.replace(store.Record{Ref: ref, Space: 1, Kind: 1, Version: 2, Sealed: []byte("from b"), Terms: []store.Term{term(2)}})
	wantRecord(t, a.get(ref), store.Record{Ref: ref, Space: 1, Kind: 1, Version: 2, Sealed: []byte("from b")})
	wantErr(t, "stale replacement", a.Update(ctx, func(tx store.Tx) error {
		return tx.Replace(store.Record{Ref: ref, Space: 1, Kind: 1, Version: 2})
	}), store.ErrConflict)
	wantRefs(t, "find", a.find(1, 1, term(2)), ref)
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	b.delete(ref, 2)
	want(t, "count", b.count(1, 1), 0)
}

// parallel runs fn in n goroutines, spread over three handles.
func parallel(p place, n int, fn func(s handle, i int) error) {
	p.t.Helper()
	handles := []handle{p.handle(), p.handle(), p.handle()}
	errs := make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { errs[i] = fn(handles[i%len(handles)], i) })
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		p.t.Fatal(err)
	}
}

// testCounter adds to one number from many goroutines: none may be lost.
func testCounter(t *testing.T, p place) {
	s := p.handle()
	ref := s.insert(1, 1, number(0))
	const workers, rounds = 8, 12
	parallel(p, workers, func(s handle, _ int) error {
		for range rounds {
			if err := s.Update(ctx, func(tx store.Tx) error { return add(tx, ref, 1) }); err != nil {
				return err
			}
		}
		return nil
	})
	r := s.get(ref)
	want(t, "sum", amount(r), workers*rounds)
	want(t, "version", r.Version, 1+workers*rounds)
}

// testTransfers moves amounts between records while readers watch the sum.
func testTransfers(t *testing.T, p place) {
	s := p.handle()
	const accounts, start = 5, 100
	var refs []store.Ref
	for range accounts {
		refs = append(refs, s.insert(1, 1, number(start)))
	}
	sum := func(s handle) (total int64, err error) {
		err = s.View(ctx, func(tx store.Tx) error {
			records, err := tx.List(1, 1, 0, 0)
			for _, r := range records {
				total += amount(r)
				runtime.Gosched()
			}
			return err
		})
		return total, err
	}
	parallel(p, 6, func(s handle, i int) error {
		for k := range 15 {
			from, to := refs[(i+k)%accounts], refs[(i*k+1)%accounts]
			err := s.Update(ctx, func(tx store.Tx) error {
				if err := add(tx, from, -3); err != nil {
					return err
				}
				return add(tx, to, 3)
			})
			if err != nil {
				return err
			}
			total, err := sum(s)
			if err != nil {
				return err
			}
			if total != accounts*start {
				return fmt.Errorf("sum is %d, want %d", total, accounts*start)
			}
		}
		return nil
	})
}

// testWriteSkew has transactions that each read what the other writes: only
// one of the two may find both records on duty.
func testWriteSkew(t *testing.T, p place) {
	s := p.handle()
	for range 10 {
		refs := [2]store.Ref{s.insert(1, 1, number(1)), s.insert(1, 1, number(1))}
		parallel(place{t, p.open}, 2, func(s handle, i int) error {
			return s.Update(ctx, func(tx store.Tx) error {
				other, err := tx.Get(refs[1-i])
				if err != nil || amount(other) == 0 {
					return err
				}
				return add(tx, refs[i], -1)
			})
		})
		want(t, "records on duty", amount(s.get(refs[0]))+amount(s.get(refs[1])), 1)
	}
}

// testSharedCommit has many goroutines of one handle update at once, every
// third of which fails: the others' work must be whole, and the failures' gone.
func testSharedCommit(t *testing.T, p place) {
	s := p.handle()
	const workers, rounds = 24, 4
	var mu sync.Mutex
	committed := map[store.Ref]string{}
	var wg sync.WaitGroup
	for i := range workers {
		wg.Go(func() {
			for k := range rounds {
				var ref store.Ref
				text := fmt.Sprintf("worker %d round %d", i, k)
				err := s.Update(ctx, func(tx store.Tx) (err error) {
					if ref, err = insert(tx, 1, 1, text, term(i), term(1000+k)); err != nil {
						return err
					}
					if i%3 == 0 {
						return errTest
					}
					return nil
				})
				if i%3 == 0 {
					wantErr(t, text, err, errTest)
					continue
				}
				if err != nil {
					t.Errorf("%s: %v", text, err)
				}
				mu.Lock()
				committed[ref] = text
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	want(t, "count", s.count(1, 1), uint64(len(committed)))
	want(t, "distinct refs", len(committed), workers/3*2*rounds)
	for ref, text := range committed {
		want(t, "sealed", string(s.get(ref).Sealed), text)
	}
	for i := range workers {
		n := rounds
		if i%3 == 0 {
			n = 0
		}
		want(t, "found", len(s.find(1, 1, term(i))), n)
	}
}

// testLock counts without any other guard under the lock; the race detector
// and the count both see a lock that does not exclude.
func testLock(t *testing.T, p place) {
	const workers, rounds = 6, 30
	n := 0
	parallel(p, workers, func(s handle, _ int) error {
		for range rounds {
			release, err := s.Lock(ctx, "counter")
			if err != nil {
				return err
			}
			n++
			release()
			release() // more than once does nothing
		}
		return nil
	})
	want(t, "count under the lock", n, workers*rounds)
}

// testLockManyNames holds many locks at once, through two handles.
func testLockManyNames(t *testing.T, p place) {
	a, b := p.handle(), p.handle()
	var releases []func()
	for i := range 50 {
		s := a
		if i%2 == 1 {
			s = b
		}
		release, err := s.Lock(ctx, fmt.Sprint("name ", i))
		if err != nil {
			t.Fatal(err)
		}
		releases = append(releases, release)
	}
	a.insert(1, 1, "locks and transactions are independent")
	for _, release := range releases {
		release()
	}
}

func testLockGivesUp(t *testing.T, p place) {
	a, b := p.handle(), p.handle()
	release, err := a.Lock(ctx, "name")
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []handle{a, b} {
		waiting, cancel := context.WithCancel(ctx)
		go cancel()
		_, err := s.Lock(waiting, "name")
		wantErr(t, "Lock of a held name", err, context.Canceled)
	}
	release()
	for _, s := range []handle{b, a} {
		release, err := s.Lock(ctx, "name")
		if err != nil {
			t.Fatal(err)
		}
		release()
	}
}

func testLockFreedByClose(t *testing.T, p place) {
	a, b := p.handle(), p.handle()
	release, err := a.Lock(ctx, "name")
	if err != nil {
		t.Fatal(err)
	}
	waiting := make(chan error)
	go func() {
		release, err := b.Lock(ctx, "name")
		if err == nil {
			release()
		}
		waiting <- err
	}()
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-waiting; err != nil {
		t.Errorf("Lock after the holder closed: %v", err)
	}
	release()
}

func testCancelledWhileWaiting(t *testing.T, p place) {
	a, b := p.handle(), p.handle()
	inside, leave, left := make(chan struct{}), make(chan struct{}), make(chan error)
	go func() {
		left <- a.Update(ctx, func(tx store.Tx) error {
			close(inside)
			<-leave
			_, err := insert(tx, 1, 1, "slow")
			return err
		})
	}()
	<-inside
	for _, s := range []handle{a, b} {
		waiting, cancel := context.WithCancel(ctx)
		go cancel()
		wantErr(t, "Update that waits for another", s.Update(waiting, func(store.Tx) error { return nil }), context.Canceled)
	}
	close(leave)
	if err := <-left; err != nil {
		t.Errorf("the slow Update: %v", err)
	}
	want(t, "count", b.count(1, 1), 1)
}

func testClose(t *testing.T, p place) {
	s := p.handle()
	s.insert(1, 1, "a")
	for range 2 {
		if err := s.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	}
	nothing := func(store.Tx) error { t.Error("fn ran after Close"); return nil }
	wantErr(t, "View", s.View(ctx, nothing), store.ErrClosed)
	wantErr(t, "Update", s.Update(ctx, nothing), store.ErrClosed)
	_, err := s.Generation()
	wantErr(t, "Generation", err, store.ErrClosed)
	_, err = s.Lock(ctx, "name")
	wantErr(t, "Lock", err, store.ErrClosed)
}

func testCloseWaits(t *testing.T, p place) {
	s, other := p.handle(), p.handle()
	inside, leave := make(chan struct{}), make(chan struct{})
	updated, closed := make(chan error, 1), make(chan error, 1)
	go func() {
		updated <- s.Update(ctx, func(tx store.Tx) error {
			close(inside)
			<-leave
			_, err := insert(tx, 1, 1, "slow")
			return err
		})
	}()
	<-inside
	go func() { closed <- s.Close() }()
	select {
	case <-closed:
		t.Error("Close did not wait for an Update under way")
	default:
	}
	close(leave)
	if err := <-closed; err != nil {
		t.Errorf("Close: %v", err)
	}
	if err := <-updated; err != nil {
		t.Errorf("Update: %v", err)
	}
	want(t, "count", other.count(1, 1), 1)
}

func testReopen(t *testing.T, p place) {
	s := p.handle()
	a := s.insert(1, 1, "a", term(1))
	b := s.insert(1, 1, "b", term(2))
	s.delete(b, 1)
	moment := wantChanges(t, s, 0, 0, a, b)
	generation := s.generation()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	again := p.handle()
	wantRecord(t, again.get(a), store.Record{Ref: a, Space: 1, Kind: 1, Version: 1, Sealed: []byte("a")})
	wantRefs(t, "find", again.find(1, 1, term(1)), a)
	want(t, "count", again.count(1, 1), 1)
	wantChanges(t, again, 0, moment)
	again.replace(store.Record{Ref: a, Space: 1, Kind: 1, Version: 2})
	if again.generation() == generation {
		t.Errorf("generation is %d as before the change", generation)
	}
	wantChanges(t, again, 0, moment, a)
}

// add changes the amount of a record.
func add(tx store.Tx, ref store.Ref, n int64) error {
	r, err := tx.Get(ref)
	if err != nil {
		return err
	}
	r.Sealed = []byte(number(amount(r) + n))
	r.Version++
	return tx.Replace(r)
}

func number(n int64) string {
	return string(binary.BigEndian.AppendUint64(nil, uint64(n)))
}

func amount(r store.Record) int64 {
	return int64(binary.BigEndian.Uint64(r.Sealed))
}
