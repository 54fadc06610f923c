package hsm

import (
	"context"
	"fmt"
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
	if err := h.viewStorage(ctx, &r.Storage); err != nil {
		return err
	}
	h.mu.RLock()
	defer h.mu.RUnlock()
	*r = p11.HSMInfo{
		Initialized: h.info.Initialized, Zeroized: h.info.Zeroized, Label: h.info.Label,
		Serial: h.info.Serial, Profile: h.info.Profile, Created: h.info.Created,
		MaxPartitions: h.info.licensed(), Storage: r.Storage, Restored: h.restored(), StorageLocation: h.opts.Location,
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
		if q.Storage != nil {
			m.hsm.Storage = *q.Storage
		}
		if err := h.limitAll(tx, m); err != nil {
			return err
		}
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
