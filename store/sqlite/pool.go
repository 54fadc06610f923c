package sqlite

import (
	"context"
	"sync"
)

// pool lends connections to readers. It opens them when they are needed.
type pool struct {
	open  func() (*conn, error)
	slots chan struct{} // one for each connection lent

	mu   sync.Mutex
	idle []*conn
}

func newPool(size int, open func() (*conn, error)) *pool {
	return &pool{open: open, slots: make(chan struct{}, size)}
}

// get lends a connection, the one used last if there is a choice: its page
// cache is warm.
func (p *pool) get(ctx context.Context) (*conn, error) {
	select {
	case p.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if c := p.pop(); c != nil {
		return c, nil
	}
	var c *conn
	err := patiently(ctx, func() (err error) {
		c, err = p.open()
		return err
	})
	if err != nil {
		<-p.slots
		return nil, err
	}
	return c, nil
}

func (p *pool) pop() *conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.idle) == 0 {
		return nil
	}
	c := p.idle[len(p.idle)-1]
	p.idle = p.idle[:len(p.idle)-1]
	return c
}

// put takes a connection back, or closes it if it is still in a transaction.
func (p *pool) put(c *conn) {
	defer func() { <-p.slots }()
	if !c.db.AutoCommit() {
		_ = c.close()
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.idle = append(p.idle, c)
}

// close closes the connections, all of which were put back.
func (p *pool) close() (err error) {
	for c := p.pop(); c != nil; c = p.pop() {
		if e := c.close(); e != nil {
			err = e
		}
	}
	return err
}
