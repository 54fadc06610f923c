package hsm

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"time"
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
		Initialized: h.info.Initialized, Zeroized: h.info.Zeroized, ZeroizedByHand: h.info.ByHand, Label: h.info.Label,
		Serial: h.info.Serial, Profile: h.info.Profile, Created: h.info.Created,
		MaxPartitions: h.info.licensed(), Storage: r.Storage, Restored: h.restored(), StorageLocation: h.opts.Location,
		HasDomain: len(h.info.Domain) > 0, FIPSMode: !h.policies().on(policyNonFIPS), Cryptography: engine.Module(),
		Firmware: cmp.Or(h.profile().info.firmware, fmt.Sprintf("%d.%d.0", Version.Major, Version.Minor)),
	}
	if so := roles[p11.RoleHSMSO]; so != nil {
		r.SOAttemptsLeft = h.attemptsLeft(h.parts[p11.AdminSlot], so)
	}
	r.AuditorInitialized = roles[p11.RoleAuditor] != nil
	for _, p := range h.parts {
		if s := p.stateNow(); !s.free() {
			r.Partitions++
		}
	}
	return nil
}

// handleInitHSM makes the HSM SO. Partitions that were made through the free
// slot stay. An HSM that has an SO is emptied, which only its SO can do; the SO,
// the Auditor and the policies stay.
func (h *HSM) handleInitHSM(ctx context.Context, q *p11.InitHSM, _ *p11.None) error {
	prof := h.profile()
	if q.Profile != "" {
		prof = findProfile(q.Profile)
	}
	if prof == nil {
		return fmt.Errorf("there is no profile %q: %w", q.Profile, ck.CKR_ARGUMENTS_BAD)
	}
	label, err := prof.label(q.Label, prof.hsmLabels)
	if err != nil {
		return err
	}
	release, err := h.lockRole(ctx, 0, p11.RoleHSMSO)
	if err != nil {
		return err
	}
	defer release()
	if err := h.refresh(ctx); err != nil {
		return err
	}
	first, err := h.checkFirstPolicies(ctx, prof, q)
	if err != nil {
		return err
	}
	if h.initialized() {
		return h.initAnew(ctx, q, label, prof, first)
	}
	return h.initFirst(ctx, q, label, prof)
}

// initFirst makes the HSM SO.
func (h *HSM) initFirst(ctx context.Context, q *p11.InitHSM, label string, prof *profile) error {
	if err := prof.checkPIN(q.PIN, prof.minSOPIN, greatestPIN); err != nil {
		return err
	}
	secret := randomBytes(32)
	defer clear(secret)
	domain, err := wrapDomain(q.Domain, secret)
	if err != nil {
		return err
	}
	so, err := h.newRoleState(0, p11.RoleHSMSO, q.PIN, prof.minSOPIN, secret)
	if err != nil {
		return err
	}
	err = h.store.Update(ctx, func(tx store.Tx) error {
		m, err := h.readMeta(tx)
		if err != nil {
			return err
		}
		if q.Policies != nil {
			c := m.firstPolicies(prof, q.Policies)
			if err := c.agreed(q.Destroy); err != nil {
				return err
			}
			m.hsm.Policies = c.merged(nil)
			if c.destroys {
				if err := h.destroyIn(tx, m, emptying); err != nil {
					return err
				}
				m.parts = nil
			}
		}
		m.hsm.Initialized, m.hsm.Zeroized, m.hsm.ByHand, m.hsm.Domain = true, false, false, domain
		m.hsm.begin(label, prof, q.Storage)
		if err := h.limitAll(tx, m); err != nil {
			return err
		}
		if err := h.replaceMeta(tx, 0, kindHSM, &m.hsm.record, &m.hsm); err != nil {
			return err
		}
		if err := h.putRole(tx, 0, so); err != nil {
			return err
		}
		// The profile may not let the SOs of old partitions keep their keys.
		for i := range m.parts {
			if _, err := h.takeSOKey(tx, spaceOf(m.parts[i].Number), m.hsm.settings()); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return storeError(err)
	}
	return h.clean(ctx)
}

// checkFirstPolicies judges the policies that an initialisation sets, before
// anything is destroyed, and returns them; nil for none.
func (h *HSM) checkFirstPolicies(ctx context.Context, prof *profile, q *p11.InitHSM) (c *policyChange, err error) {
	if q.Policies == nil {
		return nil, nil
	}
	err = h.store.View(ctx, func(tx store.Tx) error {
		m, err := h.readMeta(tx)
		if err == nil {
			c = m.firstPolicies(prof, q.Policies)
		}
		return err
	})
	if err != nil {
		return nil, storeError(err)
	}
	return c, c.agreed(q.Destroy)
}

// initAnew empties an HSM for its SO.
func (h *HSM) initAnew(ctx context.Context, q *p11.InitHSM, label string, prof *profile, first *policyChange) error {
	if err := h.mayReinit(q.Session); err != nil {
		return err
	}
	if len(q.PIN) > 0 {
		return fmt.Errorf("the HSM SO keeps its PIN; it can change it before or afterwards: %w", ck.CKR_ARGUMENTS_BAD)
	}
	domain, err := h.newAdminDomain(q.Domain)
	if err != nil {
		return err
	}
	return h.destroyAll(ctx, emptying, func(s *hsmState) {
		s.begin(label, prof, q.Storage)
		if first != nil {
			s.Policies = first.merged(nil)
		}
		if domain != nil {
			s.Domain = domain
		}
	})
}

// begin gives the HSM its label and profile, and a total of storage if there is
// one.
func (s *hsmState) begin(label string, prof *profile, storage *uint64) {
	s.Label = label
	if s.Profile != prof.name {
		s.Profile, s.Storage = prof.name, prof.storage
	}
	if storage != nil {
		s.Storage = *storage
	}
}

// label is the label that the profile makes of a text.
func (prof *profile) label(text string, chars alphabet) (string, error) {
	text = strings.TrimRight(text, " ")
	if prof.cutLabels && len(text) > maxLabel {
		text = strings.TrimRight(text[:maxLabel], " ")
	}
	if len(text) > maxLabel || !utf8.ValidString(text) {
		return "", fmt.Errorf("a label is at most %d bytes of UTF-8: %w", maxLabel, ck.CKR_ARGUMENTS_BAD)
	}
	if chars != "" && (text == "" || !chars.allows([]byte(text))) {
		return "", fmt.Errorf("a label has 1 to %d letters, digits and %s: %w", maxLabel, strings.TrimLeft(string(chars), " "), ck.CKR_ARGUMENTS_BAD)
	}
	return text, nil
}

// maxLabel is the length of labels in CK_TOKEN_INFO, in bytes.
const maxLabel = 32

func (h *HSM) initialized() bool {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return h.info.Initialized
}

func (h *HSM) mayReinit(handle ck.SessionHandle) error {
	s, err := h.session(handle)
	switch {
	case err != nil || s.role() == p11.RoleNone:
		return deny(refuseNotLoggedIn, "the HSM has an SO, who must be logged in to initialise it anew")
	case s.role() != p11.RoleHSMSO:
		return deny(refuseRole, "the HSM has an SO, who alone initialises it anew, not the %s", s.role())
	}
	return nil
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
			info.Initialized, info.MustChange, info.AttemptsLeft = true, state.MustChange, h.attemptsLeft(p, state)
			info.Locked = info.AttemptsLeft == 0 || h.lockedWith(role, roles) != nil
			if until := state.lockedUntil(); info.Locked && !until.IsZero() {
				info.LockedUntil = until.Format(time.RFC3339)
			}
		}
		r.Roles = append(r.Roles, info)
	}
	return nil
}
