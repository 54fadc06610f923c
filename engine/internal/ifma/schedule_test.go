package ifma

import (
	"slices"
	"sync"
	"testing"
)

// bench is a scheduler of so many cores whose operations begin when the test says
// so: it tells what began, and each ends when the test lets it.
type bench struct {
	*scheduler
	began chan []*job
	end   chan struct{}
	wg    sync.WaitGroup
}

func newBench(cores int) *bench {
	b := &bench{began: make(chan []*job), end: make(chan struct{})}
	b.scheduler = &scheduler{free: cores, yield: func() {}, run: func(jobs []*job) {
		b.began <- slices.Clone(jobs)
		<-b.end
		for _, j := range jobs {
			j.Dst[0], j.Err = j.Src[0]+1, nil
		}
	}}
	return b
}

// call asks for an operation; its result is looked at when it is there.
func (b *bench) call(t *testing.T, k *Key, n byte) {
	b.wg.Go(func() {
		dst := make([]byte, 1)
		if err := b.do(k, dst, []byte{n}); err != nil || dst[0] != n+1 {
			t.Errorf("operation %d: %v, %v", n, dst[0], err)
		}
	})
}

// waiting returns when so many wait.
func (b *bench) waiting(n int) {
	for {
		b.mu.Lock()
		have := len(b.queue)
		b.mu.Unlock()
		if have == n {
			return
		}
	}
}

// idle returns when so many cores are free.
func (b *bench) idle(n int) {
	for {
		b.mu.Lock()
		have := b.free
		b.mu.Unlock()
		if have == n {
			return
		}
	}
}

func numbers(jobs []*job) (list []byte) {
	for _, j := range jobs {
		list = append(list, j.Src[0])
	}
	return list
}

func keyLike(c *class, e uint) *Key { return &Key{class: c, check: &Public{e: e}} }

// TestSchedule has one core: the first computes alone, those who come meanwhile
// share passes in the order in which they came, and only with keys like theirs.
func TestSchedule(t *testing.T) {
	b := newBench(1)
	short, long, odd := keyLike(&classes[0], 65537), keyLike(&classes[2], 65537), keyLike(&classes[0], 3)
	b.call(t, short, 1)
	if got := numbers(<-b.began); !slices.Equal(got, []byte{1}) {
		t.Fatal(got)
	}
	for i, k := range []*Key{short, long, short, odd, short, short, short, long} {
		b.call(t, k, byte(10+i))
		b.waiting(i + 1)
	}
	for _, want := range [][]byte{{10, 12, 14, 15}, {11, 17}, {13}, {16}} {
		b.end <- struct{}{}
		if got := numbers(<-b.began); !slices.Equal(got, want) {
			t.Errorf("%v together, want %v", got, want)
		}
	}
	b.end <- struct{}{}
	b.wg.Wait()
	b.waiting(0)
	b.call(t, short, 2) // the core is free again
	<-b.began
	b.end <- struct{}{}
	b.wg.Wait()
}

// TestTwoCores: a lone caller does not wait while another computes, and both cores
// serve those who wait.
func TestTwoCores(t *testing.T) {
	b := newBench(2)
	k := keyLike(&classes[0], 65537)
	b.call(t, k, 1)
	<-b.began
	b.call(t, k, 2)
	<-b.began
	for i := range 8 {
		b.call(t, k, byte(10+i))
		b.waiting(i + 1)
	}
	b.end <- struct{}{}
	b.end <- struct{}{}
	if x, y := <-b.began, <-b.began; len(x) != batch || len(y) != batch {
		t.Errorf("passes of %d and %d", len(x), len(y))
	}
	b.end <- struct{}{}
	b.end <- struct{}{}
	b.wg.Wait()
	b.idle(2)
}

// TestGather: who comes back while the core is offered to others shares the next
// pass, although nobody waited when the one before ended.
func TestGather(t *testing.T) {
	b := newBench(1)
	k := keyLike(&classes[0], 65537)
	b.call(t, k, 1)
	<-b.began
	for i := range batch {
		b.call(t, k, byte(10+i))
		b.waiting(i + 1)
	}
	back := 0
	b.yield = func() {
		if back < batch {
			b.call(t, k, byte(20+back))
			back++
			b.waiting(back)
		}
	}
	b.end <- struct{}{}
	<-b.began
	b.end <- struct{}{}
	if got := numbers(<-b.began); !slices.Equal(got, []byte{20, 21, 22, 23}) {
		t.Errorf("%v together", got)
	}
	b.end <- struct{}{}
	b.wg.Wait()
	b.idle(1)
}

// TestPanic: whoever waits gets an answer even if the computation panics, and the
// core is not lost.
func TestPanic(t *testing.T) {
	b := newBench(1)
	k := keyLike(&classes[0], 65537)
	b.call(t, k, 1)
	<-b.began
	usual := b.run
	b.run = func([]*job) { panic("a mistake of ours") }
	var errs [3]error
	for i := range errs {
		b.wg.Go(func() { errs[i] = b.do(k, make([]byte, 1), []byte{5}) })
	}
	b.waiting(3)
	b.end <- struct{}{}
	b.wg.Wait()
	for _, err := range errs {
		if err != ErrFault {
			t.Error(err)
		}
	}
	b.idle(1)
	b.run = usual
	b.call(t, k, 2)
	<-b.began
	b.end <- struct{}{}
	b.wg.Wait()
}
