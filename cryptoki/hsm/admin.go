package hsm

import (
	"context"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/cryptoki/p11"
	"github.com/perilune/perilune/engine"
	"github.com/perilune/perilune/store"
)

func (h *HSM) handleGetHSMInfo(ctx context.Context, _ *p11.GetHSMInfo, r *p11.HSMInfo) error {
	roles, err := h.viewRoles(ctx, 0)
	if err != nil {
		return err
	}
	h.mu.RLock()
	defer h.mu.RUnlock()
	*r = p11.HSMInfo{
		Initialized: h.info.Initialized, Zeroized: h.info.Zeroized, Label: h.info.Label,
		Serial: h.info.Serial, Profile: h.info.Profile, Created: h.info.Created,
		MaxPartitions: MaxPartitions, StorageLocation: h.opts.Location,
		FIPSMode: h.fipsMode.Load(), Cryptography: engine.Module(),
	}
	if so := roles[p11.RoleHSMSO]; so != nil {
		r.SOAttemptsLeft = h.parts[p11.AdminSlot].attemptsLeft(so)
	}
	for _, p := range h.parts {
		if s := p.stateNow(); !s.free() {
			r.Partitions++
		}
	}
	return nil
}

// handleInitHSM makes the HSM SO. Partitions that were made through the free
// slot stay; an HSM that has an SO is emptied, and only its SO can do that.
func (h *HSM) handleInitHSM(ctx context.Context, q *p11.InitHSM, _ *p11.None) error {
	prof := findProfile(q.Profile)
	if prof == nil {
		return fmt.Errorf("there is no profile %q: %w", q.Profile, ck.CKR_ARGUMENTS_BAD)
	}
	if err := checkPINLength(q.PIN, prof.minSOPIN, greatestPIN); err != nil {
		return err
	}
	if len(q.Label) > 32 || !utf8.ValidString(q.Label) {
		return fmt.Errorf("an HSM label is at most 32 bytes of UTF-8: %w", ck.CKR_ARGUMENTS_BAD)
	}
	release, err := h.lockRole(ctx, 0, p11.RoleHSMSO)
	if err != nil {
		return err
	}
	defer release()
	if err := h.refresh(ctx); err != nil {
		return err
	}
	if h.initialized() {
		if err := h.mayReinit(q.Session); err != nil {
			return err
		}
		if err := h.zeroizeHSM(ctx, false); err != nil {
			return err
		}
	}
	so, err := h.newRoleState(0, p11.RoleHSMSO, q.PIN, nil)
	if err != nil {
		return err
	}
	err = h.store.Update(ctx, func(tx store.Tx) error {
		m, err := h.readMeta(tx)
		if err != nil {
			return err
		}
		m.hsm.Initialized, m.hsm.Zeroized, m.hsm.Label = true, false, q.Label
		m.hsm.Profile, m.hsm.Storage = prof.name, prof.storage
		if err := h.replaceMeta(tx, 0, kindHSM, &m.hsm.record, &m.hsm); err != nil {
			return err
		}
		return h.putRole(tx, 0, so)
	})
	if err != nil {
		return storeError(err)
	}
	return h.refresh(ctx)
}

func (h *HSM) initialized() bool {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return h.info.Initialized
}

func (h *HSM) mayReinit(handle ck.SessionHandle) error {
	s, err := h.session(handle)
	if err != nil || s.role() != p11.RoleHSMSO {
		return fmt.Errorf("the HSM has an SO, who must be logged in to initialise it anew: %w", ck.CKR_USER_NOT_LOGGED_IN)
	}
	return nil
}

func (h *HSM) handleZeroizeHSM(ctx context.Context, _ *p11.ZeroizeHSM, _ *p11.None) error {
	return h.zeroizeHSM(ctx, false)
}

// partitionNameChars are the characters of a partition's name besides letters
// and digits.
const partitionNameChars = "!#$%'()*+,-./:=@[]^_{}~"

func checkPartitionName(name string) error {
	ok := len(name) >= 1 && len(name) <= 32
	for _, c := range []byte(name) {
		letter := c|0x20 >= 'a' && c|0x20 <= 'z'
		ok = ok && (letter || c >= '0' && c <= '9' || strings.IndexByte(partitionNameChars, c) >= 0)
	}
	if !ok {
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
		made, err = h.createPartition(tx, m, q.Name)
		return err
	})
	if err != nil {
		return storeError(err)
	}
	if err := h.refresh(ctx); err != nil {
		return err
	}
	*r = h.partitionInfo(*made, 0)
	return nil
}

func (h *HSM) partitionInfo(s partitionState, objects uint64) p11.PartitionInfo {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return p11.PartitionInfo{
		Slot: slotOf(spaceOf(s.Number)), Name: s.Name, Label: s.Label, Serial: h.serialOf(s.Number),
		Initialized: s.Initialized, Created: s.Created, Objects: objects,
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
			public, err := tx.Count(spaceOf(s.Number), kindPublicObject)
			if err != nil {
				return err
			}
			private, err := tx.Count(spaceOf(s.Number), kindPrivateObject)
			if err != nil {
				return err
			}
			r.Partitions = append(r.Partitions, h.partitionInfo(s, public+private))
		}
		return nil
	}))
}

func (h *HSM) handleListRoles(ctx context.Context, q *p11.ListRoles, r *p11.RoleList) error {
	p, err := h.partition(q.Slot)
	if err != nil {
		return err
	}
	roles, err := h.viewRoles(ctx, p.space)
	if err != nil {
		return err
	}
	for _, role := range h.rolesOn(p) {
		info := p11.RoleInfo{Role: role, Threshold: p.threshold(role), AttemptsLeft: p.threshold(role)}
		if state := roles[role]; state != nil {
			info.Initialized, info.Locked, info.AttemptsLeft = true, p.locked(state), p.attemptsLeft(state)
		}
		r.Roles = append(r.Roles, info)
	}
	return nil
}

func (h *HSM) handleInitRole(ctx context.Context, s *session, q *p11.InitRole, _ *p11.None) error {
	return h.ruleRole(ctx, s, q.Role, q.PIN, false)
}

func (h *HSM) handleResetRole(ctx context.Context, s *session, q *p11.ResetRole, _ *p11.None) error {
	return h.ruleRole(ctx, s, q.Role, q.PIN, true)
}

func (h *HSM) ruleRole(ctx context.Context, s *session, role p11.Role, pin []byte, exists bool) error {
	var ruler p11.Role
	if int(role) < p11.NumRoles {
		ruler = roleTable[role].ruler
	}
	if ruler == p11.RoleNone {
		return fmt.Errorf("nobody sets the PIN of the %s for it: %w", role, ck.CKR_USER_TYPE_INVALID)
	}
	if s.role() != ruler {
		return fmt.Errorf("the %s sets the PIN of the %s: %w", ruler, role, ck.CKR_USER_NOT_AUTHORIZED)
	}
	roles, err := h.viewRoles(ctx, s.part.space)
	if err != nil {
		return err
	}
	if exists && roles[role] == nil {
		return fmt.Errorf("the %s has no PIN yet: %w", role, ck.CKR_USER_PIN_NOT_INITIALIZED)
	}
	if !exists && roles[role] != nil {
		return fmt.Errorf("the %s has a PIN already; reset it: %w", role, ck.CKR_OPERATION_NOT_ALLOWED)
	}
	return h.initRole(ctx, s, role, pin)
}
