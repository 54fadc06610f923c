package engine

import (
	"sync"
	"sync/atomic"
)

// Releaser is an Op or a Verifier of a busy mechanism, whose memory serves the
// next operation. Release ends it, at whatever step, and makes it forget the
// key and the message. Nobody may use it afterwards.
type Releaser interface{ Release() }

// Release ends an operation (an Op, a Verifier or nil) that its owner needs no
// longer. That is no duty: one that is just dropped is left to the garbage
// collector.
func Release(op any) {
	if r, ok := op.(Releaser); ok {
		r.Release()
	}
}

// recycler keeps operations that were released for those that begin.
type recycler[T any] struct{ pool sync.Pool }

// get returns an operation as it was put, or a zero one.
func (r *recycler[T]) get() *T {
	if x, ok := r.pool.Get().(*T); ok {
		return x
	}
	return new(T)
}

// put takes an operation that holds nothing of a key or a message any more.
func (r *recycler[T]) put(x *T) { r.pool.Put(x) }

// shelf keeps with a key what is dear to make of it and serves one operation at
// a time, so that it goes when the key goes.
type shelf[T any] struct{ places [4]atomic.Pointer[T] }

// take returns one, or nil if there is none.
func (s *shelf[T]) take() *T {
	for i := range s.places {
		if p := &s.places[i]; p.Load() != nil {
			if x := p.Swap(nil); x != nil {
				return x
			}
		}
	}
	return nil
}

// put back keeps x, unless there are enough.
func (s *shelf[T]) put(x *T) {
	for i := range s.places {
		if s.places[i].CompareAndSwap(nil, x) {
			return
		}
	}
}
