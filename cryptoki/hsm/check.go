package hsm

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/cryptoki/p11"
	"github.com/perilune/perilune/store"
)

// Damage. A record that does not open takes away what it is about and nothing
// else: an object, a role, or a partition. It is logged when it is met, and
// nothing is deleted because of it, for a copy may bring it back.

// noteDamage logs a record that does not open, once.
func (h *HSM) noteDamage(rec *store.Record, err error) {
	if _, known := h.damaged.LoadOrStore(rec.Ref, true); !known {
		h.log.Error("a record is damaged", "record", uint64(rec.Ref), "of", nameOf(rec.Kind), "error", err,
			"advice", "`perilune doctor` says what that means and what to do")
	}
}

func isDamage(err error) bool { return errors.Is(err, store.ErrCorrupt) }

// nameOf says what records of a kind are about.
func nameOf(kind store.Kind) string {
	switch kind {
	case kindHSM:
		return "the HSM"
	case kindPartition:
		return "a partition"
	case kindRole:
		return "a role"
	case kindPublicObject:
		return "a public object"
	case kindPrivateObject:
		return "a private object"
	case kindAccess:
		return "an application id"
	case kindAuditConfig:
		return "the configuration of the audit log"
	case kindAuditSecret:
		return "a secret of the audit log"
	case kindAuditMark:
		return "the audit log's place"
	}
	return fmt.Sprintf("kind %d", kind)
}

// findLost finds the numbers of the partitions whose records are damaged or
// astray: there is something in their spaces, and nobody knows what they are.
func (m *metaState) findLost(tx store.Tx) error {
	for n := uint64(1); n < m.hsm.NextPartition; n++ {
		if slices.ContainsFunc(m.parts, func(s partitionState) bool { return s.Number == n }) {
			continue
		}
		used, err := inUse(tx, spaceOf(n))
		if err != nil {
			return err
		}
		if used {
			m.lost = append(m.lost, n)
		}
	}
	return nil
}

func inUse(tx store.Tx, space store.Space) (bool, error) {
	for _, kind := range []store.Kind{kindRole, kindPublicObject, kindPrivateObject} {
		refs, err := tx.Find(space, kind, nil, 0, 1)
		if err != nil || len(refs) > 0 {
			return true, err
		}
	}
	return false, nil
}

// unopened says why the record of the HSM does not open: because the root key is
// another one, or, if others open, because it is damaged.
func (h *HSM) unopened(tx store.Tx, err error) error {
	for _, kind := range []store.Kind{kindPartition, kindRole} {
		for space := range store.Space(MaxPartitions) {
			recs, listErr := tx.List(space, kind, 0, 0)
			if listErr != nil {
				return listErr
			}
			for _, rec := range recs {
				if _, otherErr := h.meta.open(&rec); otherErr == nil {
					return fmt.Errorf("the record of the HSM itself in the store in %s is damaged, and others are not: put the directory back from a copy: %w",
						h.opts.Location, err)
				}
			}
		}
	}
	return fmt.Errorf("the root key does not fit the store in %s: put back the one that the store was made with: %w", h.opts.Location, err)
}

// errDamagedPartition is for everything that is done on such a slot.
func errDamagedPartition(slot ck.SlotID) error {
	return fmt.Errorf("the record of the partition in slot %d is damaged: put the directory of the HSM back from a copy, or give the partition up by deleting it: %w",
		uint64(slot), ck.CKR_DEVICE_ERROR)
}

func (h *HSM) isLost(slot ck.SlotID) bool {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return h.lost[slot]
}

// bury puts a new record in the place of each damaged one, so that what is in
// the partitions can be destroyed like everything else.
func (h *HSM) bury(tx store.Tx, m *metaState) error {
	for _, d := range m.damaged {
		if err := tx.Delete(d.Ref, d.Version); err != nil {
			return err
		}
	}
	for _, n := range m.lost {
		s := partitionState{Number: n, Name: fmt.Sprintf("partition%d", n), Epoch: randomBytes(16), Salt: randomBytes(32), Created: h.timestamp()}
		if err := h.insertMeta(tx, 0, kindPartition, &s.record, &s); err != nil {
			return err
		}
		m.parts = append(m.parts, s)
	}
	m.damaged, m.lost = nil, nil
	return nil
}

// toDestroy is readPartition for destroying a partition, the record of which may
// be damaged, if it is the only one.
func (h *HSM) toDestroy(tx store.Tx, space store.Space) (*partitionState, error) {
	m, s, err := h.readPartition(tx, space)
	if err != nil || s != nil || !slices.Contains(m.lost, uint64(space)) {
		return s, err
	}
	if len(m.damaged) > 1 || len(m.lost) > 1 {
		return nil, fmt.Errorf("the records of several partitions are damaged, and nobody knows which is whose: put the directory of the HSM back from a copy, or zeroize the HSM: %w",
			ck.CKR_DEVICE_ERROR)
	}
	if err := h.bury(tx, m); err != nil {
		return nil, err
	}
	return &m.parts[len(m.parts)-1], nil
}

// absent says why there is no record of a role: because nobody made one, or
// because one is damaged, nobody knows whose.
func (h *HSM) absent(tx store.Tx, space store.Space, role p11.Role) error {
	whole, err := h.allRolesThere(tx, space)
	if err != nil {
		return err
	}
	if !whole {
		return errDamagedRole
	}
	if role == p11.RoleHSMSO {
		return deny(refuseNotInitialized, "the %s has no PIN yet", role)
	}
	return deny(refuseNoPIN, "the %s has no PIN yet", role)
}

var errDamagedRole = fmt.Errorf("the record of a role is damaged: put the directory of the HSM back from a copy; other roles can log in: %w", ck.CKR_DEVICE_ERROR)

// allRolesThere reports whether no role's record is damaged or astray.
func (h *HSM) allRolesThere(tx store.Tx, space store.Space) (bool, error) {
	roles, err := h.readRoles(tx, space)
	if err != nil {
		return false, err
	}
	n, err := tx.Count(space, kindRole)
	return n == uint64(len(roles)), err
}

// deleteDamagedRoles is for the destruction of keys: nobody knows what a damaged
// record of a role held, or whether it can be mended.
func (h *HSM) deleteDamagedRoles(tx store.Tx, space store.Space) (deleted bool, err error) {
	recs, err := tx.List(space, kindRole, 0, 0)
	for _, rec := range recs {
		if _, openErr := h.meta.open(&rec); !isDamage(openErr) {
			continue
		}
		err = errors.Join(err, tx.Delete(rec.Ref, rec.Version))
		deleted = true
	}
	return deleted, err
}

// handleCheckRecords opens every record for which there is a key: all but the
// private objects of partitions where nobody is logged in.
func (h *HSM) handleCheckRecords(ctx context.Context, _ *p11.CheckRecords, r *p11.RecordReport) error {
	if c, ok := h.store.(store.Checker); ok {
		found, err := c.Check(ctx)
		if err != nil {
			return storeError(err)
		}
		for _, text := range found {
			r.Problems = append(r.Problems, p11.RecordProblem{What: text, Advice: adviseCopy})
		}
	}
	m, err := h.viewMeta(ctx)
	if err != nil {
		return storeError(err)
	}
	for n := uint64(0); n < m.hsm.NextPartition; n++ {
		if err := h.checkSpace(ctx, spaceOf(n), r); err != nil {
			return storeError(err)
		}
	}
	return nil
}

const adviseCopy = "Stop the programs that use the HSM, and put its directory back from a copy"

// advice says what to do about a damaged record of a kind.
func advice(kind store.Kind, space store.Space) string {
	switch kind {
	case kindPartition:
		return adviseCopy + ". `perilune partition delete` gives the partition up; all others work"
	case kindRole:
		return adviseCopy + ". All other roles can log in"
	}
	return adviseCopy + fmt.Sprintf(", or do without it; everything else in slot %d works", uint64(slotOf(space)))
}

func (h *HSM) viewMeta(ctx context.Context) (m *metaState, err error) {
	err = h.store.View(ctx, func(tx store.Tx) error {
		m, err = h.readMeta(tx)
		return err
	})
	return m, err
}

// lastKind is the greatest kind of record that there is.
const lastKind store.Kind = 31

func (h *HSM) checkSpace(ctx context.Context, space store.Space, r *p11.RecordReport) error {
	h.mu.RLock()
	p := h.parts[slotOf(space)]
	h.mu.RUnlock()
	for kind := kindHSM; kind <= lastKind; kind++ {
		check := h.metaChecker()
		if slices.Contains(objectKinds, kind) {
			check = p.objectChecker(kind)
		}
		if err := h.checkKind(ctx, space, kind, check, r); err != nil {
			return err
		}
	}
	return nil
}

// checker finds what is wrong with a record; nil where no key opens it.
type checker func(tx store.Tx, rec *store.Record) error

func (h *HSM) metaChecker() checker {
	return func(_ store.Tx, rec *store.Record) error {
		_, err := h.meta.open(rec)
		return err
	}
}

func (p *partition) objectChecker(kind store.Kind) checker {
	if p == nil {
		return nil
	}
	keys := p.keysOf(kind)
	if keys == nil {
		return nil
	}
	return func(tx store.Tx, rec *store.Record) error {
		o, err := p.open(rec)
		if err != nil {
			return err
		}
		refs, err := tx.Find(rec.Space, rec.Kind, o.terms(keys), rec.Ref-1, 1)
		if err == nil && !slices.Contains(refs, rec.Ref) {
			err = fmt.Errorf("record %d: searches do not find it: %w", rec.Ref, store.ErrCorrupt)
		}
		return err
	}
}

// checkKind goes through the records of a kind, some in each transaction.
func (h *HSM) checkKind(ctx context.Context, space store.Space, kind store.Kind, check checker, r *p11.RecordReport) error {
	const page = 200
	for after, more := store.Ref(0), true; more; {
		err := h.store.View(ctx, func(tx store.Tx) error {
			recs, err := tx.List(space, kind, after, page)
			if err != nil {
				return err
			}
			for _, rec := range recs {
				after = rec.Ref
				if check == nil {
					r.Sealed++
					continue
				}
				r.Checked++
				err := check(tx, &rec)
				if err != nil && !isDamage(err) {
					return err
				}
				if err != nil {
					r.Problems = append(r.Problems, p11.RecordProblem{Record: uint64(rec.Ref), What: fmt.Sprintf("%s: %v", nameOf(kind), err), Advice: advice(kind, space)})
				}
			}
			more = len(recs) == page
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}
