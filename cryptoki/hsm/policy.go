package hsm

import (
	"context"
	"fmt"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/cryptoki/p11"
	"github.com/perilune/perilune/store"
)

// settings are the values of all policies of the HSM or of a partition, by
// number. They are immutable: a change makes new ones.
type settings [numPolicies]uint64

// on reports whether a policy is on.
func (s *settings) on(id uint64) bool { return s[id] != 0 }

// settingsOf are the values of the table as the profile has them, but for what
// was set.
func settingsOf(table []policy, profile, set map[uint64]uint64) *settings {
	s := new(settings)
	for i := range table {
		p := &table[i]
		s[p.id] = p.def
		if v, ok := profile[p.id]; ok {
			s[p.id] = v
		}
		if v, ok := set[p.id]; ok && p.text != "" && !p.fixed {
			s[p.id] = v
		}
	}
	return s
}

func (s *hsmState) profile() *profile {
	if p := findProfile(s.Profile); p != nil {
		return p
	}
	return behaviours()[0]
}

func (s *hsmState) settings() *settings {
	return settingsOf(hsmPolicies, s.profile().hsmPolicies, s.Policies)
}

// settings are the partition's; those of the HSM that bind them do so here.
func (s *partitionState) settings(p *profile) *settings {
	return settingsOf(partitionPolicies, p.partitionPolicies, s.Policies)
}

func findPolicy(table []policy, id uint64) *policy {
	for i := range table {
		if table[i].id == id {
			return &table[i]
		}
	}
	return nil
}

// policies are the HSM's settings now.
func (h *HSM) policies() *settings { return h.settings.Load() }

// applyPolicies makes the profile and the settings what the store says. The caller holds h.mu.
func (h *HSM) applyPolicies() {
	s := h.info.settings()
	h.settings.Store(s)
	h.behaviour.Store(h.info.profile())
	h.fipsMode.Store(!s.on(policyNonFIPS))
}

func (h *HSM) handleListHSMPolicies(_ context.Context, _ *p11.ListHSMPolicies, r *p11.PolicyList) error {
	s := h.policies()
	for i := range hsmPolicies {
		if p := &hsmPolicies[i]; p.text != "" {
			r.Policies = append(r.Policies, p11.PolicyInfo{ID: p.id, Text: p.text, Value: s[p.id]})
		}
	}
	return nil
}

// handleSetHSMPolicy is for the HSM SO. Keys that exist stay: what may be done
// with them is decided at each use.
func (h *HSM) handleSetHSMPolicy(ctx context.Context, _ *session, q *p11.SetHSMPolicy, _ *p11.None) error {
	p := findPolicy(hsmPolicies, q.ID)
	if p == nil {
		return fmt.Errorf("there is no HSM policy %d: %w", q.ID, ck.CKR_POLICY_ID_INVALID)
	}
	if p.text == "" || p.fixed || q.Value > p.cap || q.Value < p.min {
		return fmt.Errorf("HSM policy %d takes %d to %d: %w", q.ID, p.min, p.cap, ck.CKR_CONFIG_ILLEGAL)
	}
	err := h.store.Update(ctx, func(tx store.Tx) error {
		m, err := h.readMeta(tx)
		if err != nil {
			return err
		}
		if m.hsm.Policies == nil {
			m.hsm.Policies = map[uint64]uint64{}
		}
		m.hsm.Policies[q.ID] = q.Value
		return h.replaceMeta(tx, 0, kindHSM, &m.hsm.record, &m.hsm)
	})
	if err != nil {
		return storeError(err)
	}
	return h.refresh(ctx)
}
