package hsm

import (
	"context"
	"fmt"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/cryptoki/p11"
	"github.com/perilune/perilune/store"
)

// What the HSM SO does with partitions, and the Partition SO with his own.

// partitionNameChars are the characters of a partition's name besides letters
// and digits.
const partitionNameChars = "!#$%'()*+,-./:=@[]^_{}~"

func checkPartitionName(name string) error {
	if len(name) < 1 || len(name) > 32 || !alphabet(partitionNameChars).allows([]byte(name)) {
		return fmt.Errorf("a partition name has 1 to 32 letters, digits and %s: %w", partitionNameChars, ck.CKR_ARGUMENTS_BAD)
	}
	return nil
}

func (h *HSM) handleCreatePartition(ctx context.Context, _ *session, q *p11.CreatePartition, r *p11.PartitionInfo) error {
	if err := checkPartitionName(q.Name); err != nil {
		return err
	}
	var made *partitionState
	err := h.store.Update(ctx, func(tx store.Tx) error {
		m, err := h.readMeta(tx)
		if err != nil {
			return err
		}
		made, err = h.createPartition(tx, m, q.Name, wish{q.Size, q.AllFree})
		return err
	})
	if err != nil {
		return storeError(err)
	}
	if err := h.refresh(ctx); err != nil {
		return err
	}
	*r = h.partitionInfo(*made, usage{})
	return nil
}

func (h *HSM) partitionInfo(s partitionState, u usage) p11.PartitionInfo {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return p11.PartitionInfo{
		Slot: slotOf(spaceOf(s.Number)), Name: s.Name, Label: s.Label, Serial: h.serialOf(s.Number),
		Initialized: s.Initialized, Created: s.Created, Objects: u.objects, Storage: u.storage(s.Size),
		UID: h.home.uid(s.ref), HasDomain: len(s.Domain) > 0,
	}
}

// realPartition is the partition in a slot, which must not be the free slot.
func (h *HSM) realPartition(slot ck.SlotID) (*partition, error) {
	p, err := h.partition(slot)
	if err != nil {
		return nil, err
	}
	if s := p.stateNow(); s.free() {
		return nil, errNoFreeSlot
	}
	return p, nil
}

func (h *HSM) handleDeletePartition(ctx context.Context, _ *session, q *p11.DeletePartition, _ *p11.None) error {
	if h.isLost(q.Slot) {
		return h.zeroizePartition(ctx, store.Space(q.Slot+1), true)
	}
	p, err := h.realPartition(q.Slot)
	if err != nil {
		return err
	}
	return h.zeroizePartition(ctx, p.space, true)
}

func (h *HSM) handleListPartitions(ctx context.Context, _ *p11.ListPartitions, r *p11.PartitionList) error {
	return storeError(h.store.View(ctx, func(tx store.Tx) error {
		m, err := h.readMeta(tx)
		if err != nil {
			return err
		}
		for _, s := range m.parts {
			u, err := usageOf(tx, spaceOf(s.Number))
			if err != nil {
				return err
			}
			r.Partitions = append(r.Partitions, h.partitionInfo(s, u))
		}
		for _, n := range m.lost {
			u, err := usageOf(tx, spaceOf(n))
			if err != nil {
				return err
			}
			lost := h.partitionInfo(partitionState{Number: n}, u)
			lost.Damaged = true
			r.Partitions = append(r.Partitions, lost)
		}
		return nil
	}))
}

// changePartition changes the record of the partition in a slot.
func (h *HSM) changePartition(ctx context.Context, slot ck.SlotID, change func(store.Tx, *metaState, *partitionState) error) error {
	p, err := h.realPartition(slot)
	if err != nil {
		return err
	}
	err = h.store.Update(ctx, func(tx store.Tx) error {
		m, s, err := h.readPartition(tx, p.space)
		if err != nil {
			return err
		}
		if s == nil || s.Removing {
			return fmt.Errorf("the partition was deleted meanwhile: %w", ck.CKR_DEVICE_REMOVED)
		}
		if err := change(tx, m, s); err != nil {
			return err
		}
		return h.replaceMeta(tx, 0, kindPartition, &s.record, s)
	})
	if err != nil {
		return storeError(err)
	}
	return h.refresh(ctx)
}

// handleResizePartition serves initialised partitions too. What is there stays:
// a partition is not made smaller than its objects.
func (h *HSM) handleResizePartition(ctx context.Context, _ *session, q *p11.ResizePartition, r *p11.PartitionInfo) error {
	return h.changePartition(ctx, q.Slot, func(tx store.Tx, m *metaState, s *partitionState) error {
		if q.Size == 0 && !q.AllFree && m.hsm.Storage != 0 {
			return fmt.Errorf("a partition of this HSM must have a size: %w", ck.CKR_ARGUMENTS_BAD)
		}
		u, err := usageOf(tx, spaceOf(s.Number))
		if err != nil {
			return err
		}
		size, err := m.sizeOf(wish{q.Size, q.AllFree}, s.Number)
		if err != nil {
			return err
		}
		if size != 0 && size < u.used {
			return fmt.Errorf("the objects of the partition take %d bytes, so it cannot be made %d bytes large: %w",
				u.used, size, ck.CKR_CONTAINER_OBJECT_STORAGE_FULL)
		}
		s.Size = size
		*r = h.partitionInfo(*s, u)
		return nil
	})
}

func (h *HSM) handleRenamePartition(ctx context.Context, _ *session, q *p11.RenamePartition, _ *p11.None) error {
	if err := checkPartitionName(q.Name); err != nil {
		return err
	}
	return h.changePartition(ctx, q.Slot, func(_ store.Tx, m *metaState, s *partitionState) error {
		if err := m.nameIsFree(q.Name, s.Number); err != nil {
			return err
		}
		s.Name = q.Name
		return nil
	})
}

// nameIsFree says whether no partition, but one, has a name.
func (m *metaState) nameIsFree(name string, but uint64) error {
	for i := range m.parts {
		if m.parts[i].Name == name && m.parts[i].Number != but {
			return fmt.Errorf("a partition named %q exists: %w", name, ck.CKR_OBJECT_ALREADY_EXISTS)
		}
	}
	return nil
}

func (h *HSM) handleLabelPartition(ctx context.Context, s *session, q *p11.LabelPartition, _ *p11.None) error {
	label, err := h.profile().label(q.Label, h.profile().labels)
	if err != nil {
		return err
	}
	return h.changePartition(ctx, s.part.slot, func(_ store.Tx, _ *metaState, s *partitionState) error {
		s.Label = label
		return nil
	})
}

// handleClearPartition deletes a few objects at a time, so that a large
// partition does not hold up everybody else. What an interruption leaves, the
// next one takes.
func (h *HSM) handleClearPartition(ctx context.Context, s *session, _ *p11.ClearPartition, r *p11.Cleared) error {
	for _, kind := range []store.Kind{kindPrivateObject, kindPublicObject} {
		n, err := h.clear(ctx, s, kind)
		r.Objects += n
		if err != nil {
			return storeError(err)
		}
	}
	return nil
}

func (h *HSM) clear(ctx context.Context, s *session, kind store.Kind) (deleted uint64, err error) {
	const batch = 200
	for after, more := store.Ref(0), true; more; {
		var gone []store.Ref
		last := after
		err := h.write(ctx, s.part, func(tx store.Tx) error {
			gone, last = nil, after
			recs, err := tx.List(s.part.space, kind, after, batch)
			if err != nil {
				return err
			}
			for _, rec := range recs {
				last = rec.Ref
				if !h.mayClear(s, &rec) {
					continue
				}
				if err := tx.Delete(rec.Ref, rec.Version); err != nil {
					return err
				}
				gone = append(gone, rec.Ref)
			}
			more = len(recs) == batch
			return nil
		})
		if err != nil {
			return deleted, err
		}
		for _, ref := range gone {
			s.part.objects.forget(ref, 0)
		}
		after, deleted = last, deleted+uint64(len(gone))
	}
	return deleted, nil
}

// mayClear says whether the role may delete the object of a record. What cannot
// be read stays: it may be one that a copy brings back.
func (h *HSM) mayClear(s *session, rec *store.Record) bool {
	o, err := s.part.open(rec)
	return err == nil && o.bool(ck.CKA_DESTROYABLE) && s.mayDestroy(o) == nil
}
