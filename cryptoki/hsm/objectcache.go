package hsm

import (
	"sync"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/store"
)

// objectCache holds token objects that this process read or made, up to
// maxCached bytes of them. Its zero value is empty.
//
// Whoever reads the store and puts what he found takes a ticket first: what
// another process changed in between, told to forget, is then not put.
type objectCache struct {
	shards [cacheShards]cacheShard
}

const (
	cacheShards = 16
	// maxCached bounds the memory of one partition's cache.
	maxCached = 256 << 20
	// perCached is about what an object takes beside its attributes, and
	// perKey what a key takes besides once it is used: its cipher, its table.
	// What is made of an RSA key is some perRSA times as long as the key.
	// BenchmarkCache measures them.
	perCached = 200
	perKey    = 1800
	perRSA    = 9
)

type cacheShard struct {
	mu      sync.RWMutex
	objects map[store.Ref]*object
	bytes   int
	epoch   uint64 // how often something was forgotten or replaced
}

// ticket is a moment in the life of a cache.
type ticket [cacheShards]uint64

func (c *objectCache) shard(ref store.Ref) *cacheShard { return &c.shards[ref%cacheShards] }

// ticket is taken before reading from the store.
func (c *objectCache) ticket() (t ticket) {
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.RLock()
		t[i] = s.epoch
		s.mu.RUnlock()
	}
	return t
}

// get returns a cached object, or nil.
func (c *objectCache) get(ref store.Ref) *object {
	s := c.shard(ref)
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.objects[ref]
}

// put adds an object in the place of older versions, unless something was
// forgotten since the ticket was taken.
func (c *objectCache) put(o *object, t ticket) {
	s := c.shard(o.ref)
	s.mu.Lock()
	defer s.mu.Unlock()
	if old := s.objects[o.ref]; old != nil {
		if old.version >= o.version {
			return
		}
		s.drop(old)
		s.epoch++ // nobody may put the old one back
	} else if s.epoch != t[o.ref%cacheShards] {
		return
	}
	if s.objects == nil {
		s.objects = map[store.Ref]*object{}
	}
	s.objects[o.ref] = o
	o.live.Store(true)
	s.bytes += o.cost()
	s.shrink(o)
}

// shrink drops objects at random, but keep, until the rest fits.
func (s *cacheShard) shrink(keep *object) {
	for _, o := range s.objects {
		if s.bytes <= maxCached/cacheShards {
			return
		}
		if o != keep {
			s.drop(o)
		}
	}
}

func (s *cacheShard) drop(o *object) {
	delete(s.objects, o.ref)
	o.live.Store(false)
	s.bytes -= o.cost()
}

// cost is what an object takes of the memory, a key as if it had been used.
func (o *object) cost() int {
	n := perCached + len(o.attrs)
	switch {
	case !isKey(o.class):
		return n
	case o.class == ck.CKO_PRIVATE_KEY && o.keyType() == ck.CKK_RSA:
		return n + perRSA*len(o.attrs)
	}
	return n + perKey
}

// forget drops an object that is now at the given version, 0 if it is gone.
func (c *objectCache) forget(ref store.Ref, version uint64) {
	s := c.shard(ref)
	s.mu.Lock()
	defer s.mu.Unlock()
	old := s.objects[ref]
	if old != nil && old.version == version {
		return
	}
	s.epoch++
	if old != nil {
		s.drop(old)
	}
}

// clear drops everything.
func (c *objectCache) clear() { c.dropIf(func(*object) bool { return true }) }

// dropPrivate drops the private objects, which nobody may read any more.
func (c *objectCache) dropPrivate() { c.dropIf((*object).private) }

func (c *objectCache) dropIf(f func(*object) bool) {
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.Lock()
		s.epoch++
		for _, o := range s.objects {
			if f(o) {
				s.drop(o)
			}
		}
		s.mu.Unlock()
	}
}
