package hsm

import (
	"context"
	"encoding/binary"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/cryptoki/p11"
	"github.com/perilune/perilune/store"
)

// birthplace is where objects get their OUIDs: three numbers of 32 bits, lowest
// byte first, of which the first counts and the others are the HSM's own. What
// counts is the reference in the store, so OUIDs need no counter, and objects of
// every age have one. An object that came from elsewhere carries the OUID that
// it was born with as CKA_OUID.
type birthplace struct{ epoch, serial uint32 }

// epochOf makes the second word of the root key, for each life of the HSM. Serial
// numbers are short and random: this keeps two HSMs that happen to have the same
// one apart.
func epochOf(root RootKey, life []byte) (uint32, error) {
	b, err := root.Derive("object identities", life)
	if err != nil {
		return 0, err
	}
	return binary.LittleEndian.Uint32(b), nil
}

// findHome makes h.home fit h.info. The caller holds h.mu.
func (h *HSM) findHome() error {
	epoch, err := epochOf(h.root, h.info.Life)
	h.home = &birthplace{epoch, uint32(h.info.Serial)}
	return err
}

// uid is the OUID of what has the reference ref.
func (b *birthplace) uid(ref store.Ref) (id p11.OUID) {
	binary.LittleEndian.PutUint32(id[0:], uint32(ref))
	binary.LittleEndian.PutUint32(id[4:], b.epoch)
	binary.LittleEndian.PutUint32(id[8:], b.serial)
	return id
}

// ref is the reference of what was born here with an OUID; 0 if it was not.
func (b *birthplace) ref(id p11.OUID) store.Ref {
	ref := store.Ref(binary.LittleEndian.Uint32(id[0:]))
	if b.uid(ref) != id {
		return 0
	}
	return ref
}

// ouid is the object's OUID; false for objects that have none, which are those
// of sessions and the HSM's own.
func (o *object) ouid() (id p11.OUID, ok bool) {
	if v := o.bytes(ck.CKA_OUID); len(v) == len(id) {
		return p11.OUID(v), true
	}
	if o.home == nil || o.ref == 0 {
		return id, false
	}
	return o.home.uid(o.ref), true
}

// implied returns the value of an attribute that is not stored but follows.
func (o *object) implied(t ck.AttributeType) ([]byte, bool) {
	if t != ck.CKA_OUID {
		return nil, false
	}
	id, ok := o.ouid()
	return id[:], ok
}

// bornWith are the sources of a search for an OUID among the objects of a kind:
// those that carry it, and the one that was given it here.
func (p *partition) bornWith(value []byte, kind store.Kind, keys *spaceKeys) []source {
	if len(value) != len(p11.OUID{}) {
		return nil
	}
	from := p.stateNow().WipedTo
	terms := []store.Term{keys.term(ck.CKA_OUID, value)}
	list := []source{{kind: kind, terms: terms, after: from}}
	if ref := p.home.ref(p11.OUID(value)); ref > from {
		list = append(list, source{kind: kind, only: ref, terms: terms})
	}
	return list
}

// byOUID finds the object of a partition that has an OUID, nil if there is none
// that can be read now.
func (p *partition) byOUID(tx store.Tx, id p11.OUID) (*object, error) {
	for _, kind := range objectKinds {
		keys := p.keysOf(kind)
		if keys == nil {
			continue
		}
		for _, s := range p.bornWith(id[:], kind, keys) {
			refs, err := s.page(tx, p, 1)
			if err != nil {
				return nil, err
			}
			for _, ref := range refs {
				rec, err := tx.Get(ref)
				if err != nil {
					return nil, err
				}
				o, err := p.open(&rec)
				if err != nil {
					return nil, err
				}
				if have, _ := o.ouid(); have == id {
					return o, nil
				}
			}
		}
	}
	return nil, nil
}

func (h *HSM) handleGetObjectUID(ctx context.Context, q *p11.GetObjectUID, r *p11.ObjectUID) error {
	p, err := h.partition(q.Slot)
	if err != nil {
		return err
	}
	o, err := h.lookUp(ctx, p, q.Object)
	if err != nil {
		return err
	}
	var ok bool
	if r.UID, ok = o.ouid(); !ok || o.private() && p.privateKeys() == nil {
		return ck.CKR_OBJECT_HANDLE_INVALID
	}
	return nil
}

func (h *HSM) handleGetObjectHandle(ctx context.Context, q *p11.GetObjectHandle, r *p11.Handle) error {
	p, err := h.realPartition(q.Slot)
	if err != nil {
		return err
	}
	return storeError(h.store.View(ctx, func(tx store.Tx) error {
		o, err := p.byOUID(tx, q.UID)
		if err != nil {
			return err
		}
		if o == nil {
			return ck.CKR_OBJECT_HANDLE_INVALID
		}
		r.Object = o.handle
		return nil
	}))
}
