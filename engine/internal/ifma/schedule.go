package ifma

import (
	"runtime"
	"sync"
	"syscall"
)

// scheduler shares the processor's cores between private operations. Who finds
// one free computes at once, alone. Otherwise operations wait in the order in
// which they came, and a core that becomes free takes the oldest, and with it
// those that go together with it.
type scheduler struct {
	mu    sync.Mutex
	free  int // cores; above 0 only if nobody waits
	queue []*request
	run   func([]*job)
	yield func() // lets other threads have the core
}

// request is a job, and how to wait for it.
type request struct {
	job
	alone [1]*job
	done  chan struct{}
}

var requests = sync.Pool{New: func() any {
	r := &request{done: make(chan struct{}, 1)}
	r.alone[0] = &r.job
	return r
}}

var cores = scheduler{free: runtime.NumCPU(), run: runJobs, yield: yield}

func yield() { syscall.RawSyscall(syscall.SYS_SCHED_YIELD, 0, 0, 0) }

// Private sets dst to src^d mod n. src is less than n; both have its length. It
// returns ErrRange if src is not, and ErrFault if the result did not stand its check;
// dst is then unchanged. Calls at the same time may share a pass.
func (k *Key) Private(dst, src []byte) error { return cores.do(k, dst, src) }

func (s *scheduler) do(k *Key, dst, src []byte) error {
	r := requests.Get().(*request)
	defer requests.Put(r)
	r.job = job{Key: k, Dst: dst, Src: src}
	defer func() { r.job = job{} }()
	if s.enter(r) {
		defer s.leave()
		s.run(r.alone[:])
	} else {
		<-r.done
	}
	return r.Err
}

// enter takes a core, or has the request wait.
func (s *scheduler) enter(r *request) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.free > 0 {
		s.free--
		return true
	}
	s.queue = append(s.queue, r)
	return false
}

// leave gives a core back, or to those who wait.
func (s *scheduler) leave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.queue) == 0 {
		s.free++
		return
	}
	go s.work()
}

// work serves those who wait until there are none.
func (s *scheduler) work() {
	var list [batch]*request
	for {
		n := s.next(&list)
		if n == 0 {
			return
		}
		s.serve(list[:n])
		if n >= worthwhile {
			s.gather()
		}
	}
}

// gather gives those whose operations have just ended the time of the core to come
// back with their next ones: they would find it free and compute alone, or
// find less than a pass can take.
func (s *scheduler) gather() {
	const yields = 4 // more bring no more
	for range yields {
		s.mu.Lock()
		n := len(s.queue)
		s.mu.Unlock()
		if n >= batch {
			return
		}
		s.yield()
	}
}

// next takes the oldest request and those that go together with it; with none, it
// gives the core back.
func (s *scheduler) next(list *[batch]*request) (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	rest := s.queue[:0]
	for _, r := range s.queue {
		if n == 0 || n < batch && together(list[0].Key, r.Key) {
			list[n] = r
			n++
		} else {
			rest = append(rest, r)
		}
	}
	clear(s.queue[len(rest):])
	s.queue = rest
	if n == 0 {
		s.free++
	}
	return n
}

// serve carries out requests. Should that panic, none of them succeeded: nobody
// above could report it.
func (s *scheduler) serve(list []*request) {
	var jobs [batch]*job
	for i, r := range list {
		jobs[i] = &r.job
	}
	defer func() {
		failed := recover() != nil
		for _, r := range list {
			if failed {
				r.Err = ErrFault
			}
			r.done <- struct{}{}
		}
	}()
	s.run(jobs[:len(list)])
}

// worthwhile is how many operations make a pass faster than one after the other.
const worthwhile = 3

func runJobs(jobs []*job) {
	if len(jobs) >= worthwhile {
		privates(jobs)
		return
	}
	for _, j := range jobs {
		j.Err = j.Key.single(j.Dst, j.Src)
	}
}
