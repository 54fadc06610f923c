package sqlite

import (
	"context"
	"sync"
)

// queue lets one Update of this store at a time lead a transaction, and hands
// it those that came meanwhile to take along.
type queue struct {
	mu      sync.Mutex
	led     bool // somebody leads
	waiting []*call
}

// call is one Update.
type call struct {
	ctx     context.Context
	patient context.Context // ends when the call has waited long enough
	fn      txFunc
	alone   bool      // shares its commit with nobody
	wake    chan role // what to do next
	err     error     // what Update returns

	// How fn ended that ran in another goroutine and did not return:
	panicked any
	exited   bool // by runtime.Goexit
}

// role is what a call is woken for.
type role int

const (
	lead   role = iota // open a transaction
	done               // the leader did it: the result is there
	gaveUp             // the context ended before anything happened
)

// wait queues a call until it is to lead, was taken along, or its context ends.
func (q *queue) wait(c *call) role {
	if q.join(c) {
		return lead
	}
	select {
	case r := <-c.wake:
		return r
	case <-c.patient.Done():
		if q.withdraw(c) {
			return gaveUp
		}
		return <-c.wake
	}
}

// join reports true if the call leads at once.
func (q *queue) join(c *call) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.led {
		q.led = true
		return true
	}
	q.waiting = append(q.waiting, c)
	return false
}

// busy reports whether a transaction is under way.
func (q *queue) busy() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.led
}

// withdraw removes a call that nobody has woken.
func (q *queue) withdraw(c *call) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	for i, w := range q.waiting {
		if w == c {
			q.waiting = append(q.waiting[:i], q.waiting[i+1:]...)
			return true
		}
	}
	return false
}

// next returns a call for the leader to take along, or nil.
func (q *queue) next() *call {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.waiting) == 0 || q.waiting[0].alone {
		return nil
	}
	return q.shift()
}

// pass ends a lead and begins that of the call that waited longest.
func (q *queue) pass() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.waiting) == 0 {
		q.led = false
		return
	}
	q.shift().wake <- lead
}

func (q *queue) shift() *call {
	c := q.waiting[0]
	q.waiting[0] = nil
	q.waiting = q.waiting[1:]
	return c
}
