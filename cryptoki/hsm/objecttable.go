package hsm

import (
	"sync/atomic"

	"github.com/perilune/perilune/cryptoki/ck"
)

// objectTable finds session objects by their handles without a lock. Handles are
// given out one after the other and never again, so that the table is pages of
// pointers in their order; pages on which nothing is left go. Its zero value is
// empty. Whoever changes it holds a lock.
type objectTable struct {
	pages  atomic.Pointer[objectPages]
	newest uint64 // the page of the last handle, which stays
	n      int    // objects
}

// objectPages are the pages from number first on.
type objectPages struct {
	first uint64
	list  []atomic.Pointer[objectPage]
}

type objectPage struct {
	places [objectsOnPage]atomic.Pointer[object]
	n      int
}

const objectsOnPage = 256

func pageOf(handle ck.ObjectHandle) (page uint64, place int) {
	n := uint64(handle - firstSessionObject)
	return n / objectsOnPage, int(n % objectsOnPage)
}

// page is a page by its number, or nil.
func (p *objectPages) page(number uint64) *objectPage {
	if p == nil || number-p.first >= uint64(len(p.list)) { // smaller ones wrap
		return nil
	}
	return p.list[number-p.first].Load()
}

// get returns the object of a handle, or nil.
func (t *objectTable) get(handle ck.ObjectHandle) *object {
	number, place := pageOf(handle)
	if page := t.pages.Load().page(number); page != nil {
		return page.places[place].Load()
	}
	return nil
}

// put adds an object, or puts it in the place of the one with its handle.
func (t *objectTable) put(o *object) {
	number, place := pageOf(o.handle)
	page := t.pages.Load().page(number)
	if page == nil {
		page = t.add(number)
	}
	if page.places[place].Swap(o) == nil {
		page.n++
		t.n++
	}
}

// add adds a page.
func (t *objectTable) add(number uint64) *objectPage {
	last := t.newest
	t.newest = number
	t.dropEmpty(last)
	page, pages := new(objectPage), t.room(number)
	pages.list[number-pages.first].Store(page)
	return page
}

// dropEmpty drops a page if nothing is on it.
func (t *objectTable) dropEmpty(number uint64) {
	pages := t.pages.Load()
	if page := pages.page(number); page != nil && page.n == 0 && number != t.newest {
		pages.list[number-pages.first].Store(nil)
	}
}

// room makes sure that there is a place for a page.
func (t *objectTable) room(number uint64) *objectPages {
	old := t.pages.Load()
	switch {
	case old == nil:
		old = &objectPages{first: number}
	case number-old.first < uint64(len(old.list)):
		return old
	}
	gone := 0
	for gone < len(old.list) && old.list[gone].Load() == nil {
		gone++
	}
	kept := old.list[gone:]
	next := &objectPages{first: old.first + uint64(gone)}
	if len(kept) == 0 {
		next.first = number
	}
	next.list = make([]atomic.Pointer[objectPage], 2*(number-next.first)+4)
	for i := range kept {
		next.list[i].Store(kept[i].Load())
	}
	t.pages.Store(next)
	return next
}

// remove takes an object out, and returns it; nil if there is none.
func (t *objectTable) remove(handle ck.ObjectHandle) *object {
	number, place := pageOf(handle)
	page := t.pages.Load().page(number)
	if page == nil {
		return nil
	}
	o := page.places[place].Swap(nil)
	if o != nil {
		page.n--
		t.n--
		t.dropEmpty(number)
	}
	return o
}
