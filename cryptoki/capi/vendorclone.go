package capi

import (
	"bytes"
	"sync"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/cryptoki/p11"
)

// Identities of objects, cloning domains and cloning by the vendor's functions.

// uidOf stores the identity of an object where argument i points.
func (c call) uidOf(slot ck.SlotID, object uint64, i int) error {
	if err := c.needs(i); err != nil {
		return err
	}
	r, err := ask(c, &p11.GetObjectUID{Slot: slot, Object: ck.ObjectHandle(object)})
	if err == nil {
		c.store(i, r.UID[:])
	}
	return err
}

func objectUID(c call) error {
	p, err := c.container()
	if err != nil {
		return err
	}
	return c.uidOf(p.Slot, c.number(3), 4)
}

func tokenObjectUID(c call) error { return c.uidOf(c.slot(0), c.number(2), 3) }

// byUID finds the object whose identity argument i points to, and stores its
// type and its handle where the next two point.
func (c call) byUID(slot ck.SlotID, i int) error {
	var id p11.OUID
	if err := c.load(i, id[:]); err != nil {
		return err
	}
	if err := c.needs(i + 2); err != nil {
		return err
	}
	r, err := ask(c, &p11.GetObjectHandle{Slot: slot, UID: id})
	if err == nil {
		c.numbers(i+1, ck.CA_OBJECT_TYPE_CRYPTOKI, uint64(r.Object))
	}
	return err
}

func objectByUID(c call) error {
	p, err := c.container()
	if err != nil {
		return err
	}
	return c.byUID(p.Slot, 2)
}

func tokenObjectByUID(c call) error { return c.byUID(c.slot(0), 1) }

// domain is the cloning domain that the program set for the partitions that it
// initialises from now on.
type domain struct {
	mu    sync.Mutex
	value []byte
}

func (d *domain) get() []byte {
	d.mu.Lock()
	defer d.mu.Unlock()
	return bytes.Clone(d.value)
}

func setNextDomain(c call) error {
	value, err := c.bytes(0)
	if err != nil {
		return err
	}
	d := &c.in.domain
	d.mu.Lock()
	defer d.mu.Unlock()
	clear(d.value)
	d.value = bytes.Clone(value)
	return nil
}

func setDomain(c call) error {
	value, err := c.bytes(1)
	if err != nil {
		return err
	}
	return c.do(&p11.SetCloningDomain{Session: c.session(), Domain: value}, new(p11.None))
}

// cryptoki refuses objects of other kinds than PKCS#11 knows.
func (c call) cryptoki(i int) error {
	if c.number(i) != ck.CA_OBJECT_TYPE_CRYPTOKI {
		return ck.CKR_OBJECT_TYPE_INVALID
	}
	return nil
}

func cloneObject(c call) error {
	if err := c.needs(4); err != nil {
		return err
	}
	if err := c.cryptoki(2); err != nil {
		return err
	}
	r, err := ask(c, &p11.CloneObject{Session: c.session(), Source: ck.SessionHandle(c.words[1]), Object: c.object(3)})
	return c.made(4, r, err)
}

// What the parts of the protocol are never longer than: part 1, and part 2
// beyond the object.
const (
	maxPart1    = 8192
	moreInPart2 = 4096
)

func cloneAsTargetInit(c call) error {
	out, err := c.output(6)
	if err != nil {
		return err
	}
	if out.Query {
		return c.wrote(6, &p11.Length{N: maxPart1}, nil)
	}
	r, err := ask(c, &p11.CloneAsTargetInit{Session: c.session()})
	if err != nil {
		return err
	}
	return c.give(6, out, r.Part)
}

func cloneAsSource(c call) error {
	part1, err := c.bytes(3)
	if err != nil {
		return err
	}
	out, err := c.output(6)
	if err != nil {
		return err
	}
	if err := c.cryptoki(1); err != nil {
		return err
	}
	if out.Query {
		r, err := ask(c, &p11.GetObjectSize{Session: c.session(), Object: c.object(2)})
		if err != nil {
			return err
		}
		return c.wrote(6, &p11.Length{N: int(r.Bytes) + moreInPart2}, nil)
	}
	r, err := ask(c, &p11.CloneAsSource{Session: c.session(), Object: c.object(2), Part: part1})
	if err != nil {
		return err
	}
	return c.give(6, out, r.Part)
}

func cloneAsTarget(c call) error {
	part2, err := c.bytes(3)
	if err != nil {
		return err
	}
	if err := c.needs(8); err != nil {
		return err
	}
	if err := c.cryptoki(5); err != nil {
		return err
	}
	r, err := ask(c, &p11.CloneAsTarget{Session: c.session(), Part: part2})
	return c.made(8, r, err)
}
