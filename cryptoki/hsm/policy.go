package hsm

import (
	"context"
	"fmt"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/cryptoki/p11"
	"github.com/perilune/perilune/store"
)

// policy is a row of the table of HSM policies: what the HSM SO can change.
type policy struct {
	id   uint64
	text string
	def  uint64
	max  uint64
}

// policyNonFIPS, switched off, is FIPS mode: the list of mechanisms, their
// sizes and what is refused follow the FIPS columns of the engine's rows.
const policyNonFIPS = 12

var hsmPolicies = []policy{
	{id: policyNonFIPS, text: "Allow non-FIPS algorithms", def: 1, max: 1},
}

func findHSMPolicy(id uint64) *policy {
	for i := range hsmPolicies {
		if hsmPolicies[i].id == id {
			return &hsmPolicies[i]
		}
	}
	return nil
}

// value is the setting of the policy.
func (p *policy) value(s *hsmState) uint64 {
	if v, ok := s.Policies[p.id]; ok {
		return v
	}
	return p.def
}

// applyPolicies makes the settings what the store says. The caller holds h.mu.
func (h *HSM) applyPolicies() {
	h.fipsMode.Store(findHSMPolicy(policyNonFIPS).value(&h.info) == 0)
}

func (h *HSM) handleListHSMPolicies(_ context.Context, _ *p11.ListHSMPolicies, r *p11.PolicyList) error {
	h.mu.RLock()
	defer h.mu.RUnlock()
	for i := range hsmPolicies {
		p := &hsmPolicies[i]
		r.Policies = append(r.Policies, p11.PolicyInfo{ID: p.id, Text: p.text, Value: p.value(&h.info)})
	}
	return nil
}

// handleSetHSMPolicy is for the HSM SO. Keys that exist stay: what may be done
// with them is decided at each use.
func (h *HSM) handleSetHSMPolicy(ctx context.Context, _ *session, q *p11.SetHSMPolicy, _ *p11.None) error {
	p := findHSMPolicy(q.ID)
	if p == nil {
		return fmt.Errorf("there is no HSM policy %d: %w", q.ID, ck.CKR_POLICY_ID_INVALID)
	}
	if q.Value > p.max {
		return fmt.Errorf("HSM policy %d takes 0 to %d: %w", q.ID, p.max, ck.CKR_CONFIG_ILLEGAL)
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
