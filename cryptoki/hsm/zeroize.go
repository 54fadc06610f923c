package hsm

import (
	"context"
	"errors"
	"maps"
	"slices"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/cryptoki/p11"
	"github.com/perilune/perilune/store"
)

// Destruction has two parts. First one transaction takes away the keys: the
// roles, whose records hold the partition key, and the salt of the keys of public
// objects. From then on nothing can be read, and a mark in the records says that
// the files are not clean yet. Then clean removes the keys from the files, the
// objects from the store, and those from the files. A process that is killed
// anywhere in between leaves the mark to the next.

// destruction says what an act takes away beside all partitions.
type destruction struct {
	so      bool // the HSM SO, and the label that he gave
	auditor bool
	setting bool // policies and profile are again what they are in a new HSM
}

var (
	// emptying is to initialise an HSM that has an SO, and a policy whose
	// change destroys.
	emptying = destruction{}
	// zeroizing is the command, and what too many wrong PINs of the HSM SO do.
	zeroizing = destruction{so: true}
	// resetting leaves nothing but the serial numbers.
	resetting = destruction{so: true, auditor: true, setting: true}
)

// destroyAll destroys all partitions and what else d says. Change, if there is
// one, is made to the HSM's record in the same transaction.
func (h *HSM) destroyAll(ctx context.Context, d destruction, change func(*hsmState)) error {
	err := h.store.Update(ctx, func(tx store.Tx) error {
		m, err := h.readMeta(tx)
		if err != nil {
			return err
		}
		if err := h.destroyIn(tx, m, d); err != nil {
			return err
		}
		if change != nil {
			change(&m.hsm)
		}
		return h.replaceMeta(tx, 0, kindHSM, &m.hsm.record, &m.hsm)
	})
	if err != nil {
		return storeError(err)
	}
	return h.clean(ctx)
}

// destroyIn destroys all partitions and what else d says in a transaction, which
// then has to store the record of the HSM.
func (h *HSM) destroyIn(tx store.Tx, m *metaState, d destruction) error {
	if err := h.bury(tx, m); err != nil {
		return err
	}
	for i := range m.parts {
		m.parts[i].Removing = true
		if err := h.destroyKeys(tx, &m.parts[i]); err != nil {
			return err
		}
	}
	if err := h.destroyRoles(tx, d); err != nil {
		return err
	}
	d.apply(&m.hsm)
	m.hsm.Unclean = randomBytes(8)
	return nil
}

// destroyRoles deletes those roles of the HSM that d takes away, and with the HSM
// SO all whose records are damaged: one may be his.
func (h *HSM) destroyRoles(tx store.Tx, d destruction) error {
	if d.auditor {
		if err := h.forgetAudit(tx); err != nil {
			return err
		}
	}
	if d.so {
		if _, err := h.deleteDamagedRoles(tx, 0); err != nil {
			return err
		}
	}
	roles, err := h.readRoles(tx, 0)
	if err != nil {
		return err
	}
	for role, gone := range map[p11.Role]bool{p11.RoleHSMSO: d.so, p11.RoleAuditor: d.auditor} {
		if r := roles[role]; r != nil && gone {
			if err := tx.Delete(r.ref, r.version); err != nil {
				return err
			}
		}
	}
	return nil
}

func (d destruction) apply(s *hsmState) {
	if d.so {
		s.Initialized, s.Label, s.Life, s.Domain = false, "", randomBytes(8), nil
	}
	if d.setting {
		prof := findProfile("")
		s.Policies, s.Profile, s.Storage = nil, prof.name, prof.storage
	}
}

// zeroizeHSM destroys the HSM SO and all partitions. Policies and the Auditor
// stay.
func (h *HSM) zeroizeHSM(ctx context.Context, byHand bool) error {
	return h.destroyAll(ctx, zeroizing, func(s *hsmState) { s.Zeroized, s.ByHand = true, byHand })
}

func (h *HSM) handleZeroizeHSM(ctx context.Context, _ *p11.ZeroizeHSM, _ *p11.None) error {
	return h.zeroizeHSM(ctx, true)
}

func (h *HSM) handleFactoryReset(ctx context.Context, _ *p11.FactoryReset, _ *p11.None) error {
	return h.destroyAll(ctx, resetting, func(s *hsmState) { s.Zeroized, s.ByHand = true, true })
}

// zeroizePartition destroys the contents of a partition and its roles; with
// remove the partition too.
func (h *HSM) zeroizePartition(ctx context.Context, space store.Space, remove bool) error {
	err := h.store.Update(ctx, func(tx store.Tx) error {
		s, err := h.toDestroy(tx, space)
		if err != nil || s == nil {
			return err
		}
		s.Removing = remove
		return h.destroyKeys(tx, s)
	})
	if err != nil {
		return storeError(err)
	}
	return h.clean(ctx)
}

func (h *HSM) handleZeroizePartition(ctx context.Context, s *session, _ *p11.ZeroizePartition, _ *p11.None) error {
	return h.zeroizePartition(ctx, s.part.space, false)
}

// destroyKeys makes the contents of a partition unreadable: the roles, which
// hold the partition key, go, and the keys of objects. The objects themselves
// are deleted later, by clean.
func (h *HSM) destroyKeys(tx store.Tx, s *partitionState) error {
	if err := deleteAll(tx, spaceOf(s.Number), kindRole); err != nil {
		return err
	}
	s.Initialized, s.Label, s.Domain = false, "", nil
	return h.eraseObjects(tx, s)
}

// eraseObjects makes the objects of a partition unreadable, public and private,
// and leaves the roles: the salts go that the objects' keys are made with, and
// the logins that processes share, as all sessions end. The objects are deleted
// later, by clean, which tells them by their references from those that come
// after.
func (h *HSM) eraseObjects(tx store.Tx, s *partitionState) (err error) {
	if err := deleteAll(tx, spaceOf(s.Number), kindAccess); err != nil {
		return err
	}
	if s.WipedTo, err = tx.NewRef(); err != nil {
		return err
	}
	s.Wiping, s.Epoch = true, randomBytes(16)
	s.Salt, s.ObjectSalt = randomBytes(32), randomBytes(32)
	return h.replaceMeta(tx, 0, kindPartition, &s.record, s)
}

func deleteAll(tx store.Tx, space store.Space, kind store.Kind) error {
	recs, err := tx.List(space, kind, 0, 0)
	for _, r := range recs {
		err = errors.Join(err, tx.Delete(r.Ref, r.Version))
	}
	return err
}

// leftOver is what has to be cleaned.
type leftOver struct {
	mark  []byte                 // of the HSM
	parts map[store.Space][]byte // the partitions being wiped, and their epochs
}

func (l *leftOver) none() bool { return len(l.mark) == 0 && len(l.parts) == 0 }

// uncleaned reads what has to be cleaned.
func (h *HSM) uncleaned(ctx context.Context) (*leftOver, error) {
	m, err := h.viewMeta(ctx)
	if err != nil {
		return nil, err
	}
	l := &leftOver{mark: m.hsm.Unclean, parts: map[store.Space][]byte{}}
	for _, s := range m.parts {
		if s.Wiping {
			l.parts[spaceOf(s.Number)] = s.Epoch
		}
	}
	return l, nil
}

// clean removes what was destroyed from the store and from its files: keys
// first. It may be interrupted and called again, by several processes at once.
func (h *HSM) clean(ctx context.Context) error {
	l, err := h.uncleaned(ctx)
	if err == nil && !l.none() {
		err = h.cleanUp(ctx, l)
	}
	if err != nil {
		return storeError(err)
	}
	return h.refresh(ctx)
}

func (h *HSM) cleanUp(ctx context.Context, l *leftOver) error {
	if err := h.refresh(ctx); err != nil { // ends the sessions of what was destroyed
		return err
	}
	if err := h.scrub(ctx); err != nil {
		return err
	}
	for space, epoch := range l.parts {
		if err := h.wipe(ctx, space, epoch); err != nil {
			return err
		}
	}
	if len(l.parts) > 0 {
		if err := h.scrub(ctx); err != nil {
			return err
		}
	}
	return h.store.Update(ctx, func(tx store.Tx) error { return h.takeMarks(tx, l) })
}

// scrub makes sure that what was deleted is gone from the disk too.
func (h *HSM) scrub(ctx context.Context) error {
	if s, ok := h.store.(store.Scrubber); ok {
		return s.Scrub(ctx)
	}
	return nil
}

// wipe deletes the objects of a partition whose keys are destroyed, a few at a
// time so that a large partition does not hold up everybody else.
func (h *HSM) wipe(ctx context.Context, space store.Space, epoch []byte) error {
	const batch = 500
	for more := true; more; {
		err := h.store.Update(ctx, func(tx store.Tx) error {
			// Another process may have finished this and given the partition
			// new contents, which are none of ours.
			_, s, err := h.readPartition(tx, space)
			if more = err == nil && s.beingWiped(epoch); !more {
				return err
			}
			left := batch
			for _, kind := range []store.Kind{kindPrivateObject, kindPublicObject} {
				n, err := wipeSome(tx, s, kind, left)
				if err != nil {
					return err
				}
				if left -= n; left == 0 {
					return nil // there may be more
				}
			}
			more = false
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// wipeSome deletes some records of a kind, at most limit, and tells how many.
func wipeSome(tx store.Tx, s *partitionState, kind store.Kind, limit int) (int, error) {
	recs, err := tx.List(spaceOf(s.Number), kind, 0, limit)
	if err != nil {
		return 0, err
	}
	for i, r := range recs {
		if s.WipedTo != 0 && r.Ref > s.WipedTo {
			return i, nil // it came after
		}
		if err := tx.Delete(r.Ref, r.Version); err != nil {
			return i, err
		}
	}
	return len(recs), nil
}

// beingWiped reports whether a partition is still as it was when its keys were
// destroyed.
func (s *partitionState) beingWiped(epoch []byte) bool {
	return s != nil && s.Wiping && string(s.Epoch) == string(epoch)
}

// takeMarks notes that everything in l is clean, and deletes the partitions that
// are to go.
func (h *HSM) takeMarks(tx store.Tx, l *leftOver) error {
	m, err := h.readMeta(tx)
	if err != nil {
		return err
	}
	for i := range m.parts {
		s := &m.parts[i]
		epoch, ours := l.parts[spaceOf(s.Number)]
		switch {
		case !ours || !s.beingWiped(epoch):
		case s.Removing:
			err = tx.Delete(s.ref, s.version)
		default:
			s.Wiping = false
			err = h.replaceMeta(tx, 0, kindPartition, &s.record, s)
		}
		if err != nil {
			return err
		}
	}
	if len(l.mark) == 0 || string(m.hsm.Unclean) != string(l.mark) {
		return nil
	}
	m.hsm.Unclean = nil
	return h.replaceMeta(tx, 0, kindHSM, &m.hsm.record, &m.hsm)
}

// destroyWraps makes the private objects of a partition unreadable for ever: no
// role holds the partition key any more. The roles stay, to be seen as locked.
func (h *HSM) destroyWraps(ctx context.Context, space store.Space) error {
	err := h.store.Update(ctx, func(tx store.Tx) error {
		roles, err := h.readRoles(tx, space)
		if err != nil {
			return err
		}
		changed, err := h.deleteDamagedRoles(tx, space)
		if err != nil {
			return err
		}
		for _, r := range roles {
			if len(r.Wrap) == 0 {
				continue
			}
			changed, r.Wrap = true, nil
			if err := h.replaceMeta(tx, space, kindRole, &r.record, r); err != nil {
				return err
			}
		}
		if !changed {
			return nil
		}
		if err := deleteAll(tx, space, kindAccess); err != nil {
			return err
		}
		return h.markUnclean(tx)
	})
	if err != nil {
		return storeError(err)
	}
	return h.clean(ctx)
}

// markUnclean notes that what this transaction deletes must be cleaned away.
func (h *HSM) markUnclean(tx store.Tx) error {
	m, err := h.readMeta(tx)
	if err != nil {
		return err
	}
	m.hsm.Unclean = randomBytes(8)
	return h.replaceMeta(tx, 0, kindHSM, &m.hsm.record, &m.hsm)
}

// settle does what wrong PINs earned and a process that was killed in its last
// try did not come to do.
func (h *HSM) settle(ctx context.Context) error {
	debts, err := h.debts(ctx)
	if err != nil {
		return storeError(err)
	}
	for _, d := range debts {
		if err := h.settleRole(ctx, d.p, d.role); err != nil {
			return err
		}
	}
	return nil
}

// debt is a role of a partition that may owe.
type debt struct {
	p    *partition
	role p11.Role
}

func (h *HSM) debts(ctx context.Context) (list []debt, err error) {
	h.mu.RLock()
	parts := slices.Collect(maps.Values(h.parts))
	h.mu.RUnlock()
	err = h.store.View(ctx, func(tx store.Tx) error {
		for _, p := range parts {
			roles, err := h.readRoles(tx, p.space)
			if err != nil {
				return err
			}
			for role, r := range roles {
				if h.owes(r) {
					list = append(list, debt{p, role})
				}
			}
		}
		return nil
	})
	return list, err
}

// settleRole waits for a try under way, if there is one, before it judges.
func (h *HSM) settleRole(ctx context.Context, p *partition, role p11.Role) error {
	release, err := h.lockRole(ctx, p.space, role)
	if err != nil {
		return err
	}
	defer release()
	roles, err := h.viewRoles(ctx, p.space)
	if err != nil {
		return err
	}
	if r := roles[role]; r == nil || !h.owes(r) {
		return nil
	}
	return h.punish(ctx, p, role)
}

// owes reports whether a role is locked and what follows from that was not done.
func (h *HSM) owes(r *roleState) bool {
	if !h.locked(r) {
		return false
	}
	switch r.Role {
	case p11.RoleHSMSO, p11.RolePartitionSO:
		return true
	case p11.RoleCryptoOfficer:
		return !h.policies().on(policySOResetsPIN) && len(r.Wrap) > 0
	}
	return false
}

// emptied reports whether a partition's slot can be initialised at once; if its
// old contents are not gone yet, they go now.
func (h *HSM) emptied(ctx context.Context, slot ck.SlotID) (*partition, error) {
	p, err := h.partition(slot)
	if err != nil || !p.stateNow().Wiping {
		return p, err
	}
	if err := h.clean(ctx); err != nil {
		return nil, err
	}
	return h.partition(slot)
}
