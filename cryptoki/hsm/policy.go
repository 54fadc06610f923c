package hsm

import (
	"context"
	"fmt"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/cryptoki/p11"
	"github.com/perilune/perilune/engine"
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
		if v, ok := set[p.id]; ok && p.settable() {
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
	v := settingsOf(hsmPolicies, s.profile().hsmPolicies, s.Policies)
	v[policyStorage] = s.Storage
	return v
}

// settings are the partition's on an HSM with its own: what needs a policy of
// the HSM that is off, is off.
func (s *partitionState) settings(m *hsmState) *settings {
	v, hsm := settingsOf(partitionPolicies, m.profile().partitionPolicies, s.Policies), m.settings()
	for i := range partitionPolicies {
		if p := &partitionPolicies[i]; p.needs != 0 && !hsm.on(p.needs) {
			v[p.id] = 0
		}
	}
	return v
}

// partitionDefaults are the settings of a partition where nobody set any.
func (s *hsmState) partitionDefaults() *settings { return (&partitionState{}).settings(s) }

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

// fips reports whether only approved mechanisms and keys serve here: policy 12
// of the HSM or policy 43 of the partition is off.
func (p *partition) fips() bool { return !p.policies.Load().on(policyPartitionNonFIPS) }

// applyPolicies makes the profile and the settings what the store says. The
// caller holds h.mu.
func (h *HSM) applyPolicies() {
	h.settings.Store(h.info.settings())
	h.behaviour.Store(h.info.profile())
}

// permits says whether the policies let p have a mechanism at all.
func (h *HSM) permits(p *partition, m *engine.Mechanism) error {
	s := p.policies.Load()
	switch {
	case !m.FIPS && p.fips():
		return deny(refuseMechanismFIPS, "FIPS mode does not allow %v", m.Type)
	case m.Korean && !h.policies().on(policyKorean):
		return deny(refuseKorean, "%v is a Korean algorithm", m.Type)
	case m.RawRSA && !s.on(policyRawRSA):
		return deny(refuseRawRSA, "%v pads nothing", m.Type)
	case m.RSAPKCS && !s.on(policyRSAPKCS):
		return deny(refuseRSAPKCS, "%v is switched off", m.Type)
	}
	return nil
}

// info is what a client learns of a row.
func (p *policy) info(s *settings, profile map[uint64]uint64, more directions) p11.PolicyInfo {
	def, ok := profile[p.id]
	if !ok {
		def = p.def
	}
	return p11.PolicyInfo{
		ID: p.id, Capability: p.capability, Greatest: p.cap, Least: p.min, Text: p.text, Value: s[p.id], Default: def,
		Number: p.number, Settable: p.settable(), OffOn: p.offOn || more.offOn(), OnOff: p.onOff || more.onOff(),
	}
}

func (h *HSM) handleListHSMPolicies(_ context.Context, _ *p11.ListHSMPolicies, r *p11.PolicyList) error {
	s := h.policies()
	for i := range hsmPolicies {
		info := hsmPolicies[i].info(s, h.profile().hsmPolicies, 0)
		if info.ID == policyStorage {
			info.Greatest = info.Value
		}
		r.Policies = append(r.Policies, info)
	}
	return nil
}

func (h *HSM) handleListPartitionPolicies(_ context.Context, q *p11.ListPartitionPolicies, r *p11.PolicyList) error {
	p, err := h.memberPartition(q.Slot)
	if err != nil {
		return err
	}
	state, s := p.stateNow(), p.policies.Load()
	for i := range partitionPolicies {
		row := &partitionPolicies[i]
		r.Policies = append(r.Policies, row.info(s, h.profile().partitionPolicies, state.Destructive[row.id]))
	}
	return nil
}

// memberPartition is the partition in a slot, or the one that the free slot
// would make.
func (h *HSM) memberPartition(slot ck.SlotID) (*partition, error) {
	p, err := h.partition(slot)
	if err == nil && p.admin() {
		err = fmt.Errorf("the administration's slot is no partition: %w", ck.CKR_SLOT_ID_INVALID)
	}
	return p, err
}

// handleSetHSMPolicy is for the HSM SO. A change that destroys makes all
// partitions unreadable in the transaction that makes it; the HSM SO and the
// Auditor stay.
func (h *HSM) handleSetHSMPolicy(ctx context.Context, _ *session, q *p11.SetHSMPolicy, _ *p11.None) error {
	err := h.store.Update(ctx, func(tx store.Tx) error {
		m, err := h.readMeta(tx)
		if err != nil {
			return err
		}
		c := m.policyChange(q.Policies)
		if err := c.agreed(q.Destroy); err != nil {
			return err
		}
		m.hsm.Policies = c.merged(m.hsm.Policies)
		if c.destroys {
			if err := h.destroyIn(tx, m, emptying); err != nil {
				return err
			}
		}
		return h.replaceMeta(tx, 0, kindHSM, &m.hsm.record, &m.hsm)
	})
	if err != nil {
		return storeError(err)
	}
	return h.clean(ctx)
}

// handleSetPartitionPolicy is for the Partition SO. A change that destroys makes
// the objects unreadable in the transaction that makes it; the roles stay. All
// sessions end with it, the caller's too, for they have to do with keys that
// are no more.
func (h *HSM) handleSetPartitionPolicy(ctx context.Context, s *session, q *p11.SetPartitionPolicy, _ *p11.None) error {
	p := s.part
	epoch := p.stateNow().Epoch
	err := h.store.Update(ctx, func(tx store.Tx) error {
		m, state, err := h.sameEpoch(tx, p, epoch)
		if err != nil {
			return err
		}
		c := state.policyChange(&m.hsm, q.Policies)
		if err := c.agreed(q.Destroy); err != nil {
			return err
		}
		state.Policies = c.merged(state.Policies)
		if c.destroys {
			return h.eraseObjects(tx, state)
		}
		return h.replaceMeta(tx, 0, kindPartition, &state.record, state)
	})
	if err != nil {
		return storeError(err)
	}
	return h.clean(ctx)
}

func (h *HSM) handleCheckHSMPolicies(ctx context.Context, q *p11.CheckHSMPolicies, r *p11.PolicyVerdicts) error {
	return h.checkPolicies(ctx, r, func(m *metaState) (*policyChange, error) {
		if !q.New {
			return m.policyChange(q.Policies), nil
		}
		prof := findProfile(q.Profile)
		if prof == nil {
			return nil, fmt.Errorf("there is no profile %q: %w", q.Profile, ck.CKR_ARGUMENTS_BAD)
		}
		return m.firstPolicies(prof, q.Policies), nil
	})
}

func (h *HSM) handleCheckPartitionPolicies(ctx context.Context, q *p11.CheckPartitionPolicies, r *p11.PolicyVerdicts) error {
	p, err := h.memberPartition(q.Slot)
	if err != nil {
		return err
	}
	return h.checkPolicies(ctx, r, func(m *metaState) (*policyChange, error) {
		if q.New {
			return m.hsm.firstPartitionPolicies(q.Policies), nil
		}
		state := p.stateNow()
		return state.policyChange(&m.hsm, q.Policies), nil
	})
}

// checkPolicies answers what a change would.
func (h *HSM) checkPolicies(ctx context.Context, r *p11.PolicyVerdicts, change func(*metaState) (*policyChange, error)) error {
	var c *policyChange
	err := h.store.View(ctx, func(tx store.Tx) error {
		m, err := h.readMeta(tx)
		if err != nil {
			return err
		}
		c, err = change(m)
		return err
	})
	if err != nil {
		return storeError(err)
	}
	r.Destroys = c.destroys
	for _, err := range c.verdicts {
		v := p11.PolicyVerdict{}
		if err != nil {
			v = p11.PolicyVerdict{RV: ck.RVOf(err), Text: err.Error()}
		}
		r.Verdicts = append(r.Verdicts, v)
	}
	return nil
}
