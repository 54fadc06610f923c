package capi

import (
	"unsafe"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/cryptoki/cmem"
	"github.com/perilune/perilune/cryptoki/p11"
)

// Capabilities and policies by the vendor's functions.

// policyQuestion is a function that tells policies: whose, what of each, all or
// one, and the argument that its own begin with.
type policyQuestion struct {
	whose  func(call) ([]p11.PolicyInfo, error)
	view   view
	answer func(c call, i int, all []p11.PolicyInfo, v view) error
	first  int
}

func (q policyQuestion) tell(c call) error {
	all, err := q.whose(c)
	if err != nil {
		return err
	}
	return q.answer(c, q.first, all, q.view)
}

var (
	hsmCapabilities        = policyQuestion{ofHSM, capability, call.policySet, 1}
	hsmCapability          = policyQuestion{ofHSM, capability, call.policyValue, 1}
	hsmPolicies            = policyQuestion{ofHSM, setting, call.policySet, 1}
	hsmPolicy              = policyQuestion{ofHSM, setting, call.policyValue, 1}
	defaultHSMPolicy       = policyQuestion{ofHSM, byDefault, call.policyValue, 1}
	containerCapabilities  = policyQuestion{ofContainer, capability, call.policySet, 2}
	containerCapability    = policyQuestion{ofContainer, capability, call.policyValue, 2}
	containerPolicies      = policyQuestion{ofContainer, setting, call.policySet, 2}
	containerPolicy        = policyQuestion{ofContainer, setting, call.policyValue, 2}
	tokenCapabilities      = policyQuestion{ofSlot, capability, call.policySet, 1}
	tokenPolicies          = policyQuestion{ofSlot, setting, call.policySet, 1}
	defaultPartitionPolicy = policyQuestion{ofSlot, byDefault, call.policyValue, 1}
)

func ofHSM(c call) ([]p11.PolicyInfo, error) {
	if err := c.onAnySlot(); err != nil {
		return nil, err
	}
	r, err := ask(c, &p11.ListHSMPolicies{})
	return r.Policies, err
}

// ofSlot are the policies of the partition in the slot that argument 0 is.
func ofSlot(c call) ([]p11.PolicyInfo, error) { return c.policiesIn(c.slot(0)) }

// ofContainer are the policies of the partition that argument 0 and a container
// number name.
func ofContainer(c call) ([]p11.PolicyInfo, error) {
	p, err := c.container()
	if err != nil {
		return nil, err
	}
	return c.policiesIn(p.Slot)
}

func (c call) policiesIn(slot ck.SlotID) ([]p11.PolicyInfo, error) {
	r, err := ask(c, &p11.ListPartitionPolicies{Slot: slot})
	return r.Policies, err
}

// A view is what of each row is asked for; false leaves the row out.
type view func(p11.PolicyInfo) (uint64, bool)

func capability(p p11.PolicyInfo) (uint64, bool) { return p.Greatest, true }
func setting(p p11.PolicyInfo) (uint64, bool)    { return p.Value, p.Text != "" }
func byDefault(p p11.PolicyInfo) (uint64, bool)  { return p.Default, p.Text != "" }

// policySet answers with two lists, of numbers and of values, from argument i on.
func (c call) policySet(i int, all []p11.PolicyInfo, v view) error {
	if err := c.needs(i+1, i+3); err != nil {
		return err
	}
	var ids, values []uint64
	for _, p := range all {
		if value, there := v(p); there {
			ids, values = append(ids, p.ID), append(values, value)
		}
	}
	// Both lengths are told, also where the first list has too little room.
	first := list(c, i, ids)
	if err := list(c, i+2, values); err != nil {
		return err
	}
	return first
}

// policyValue stores the value of the policy that argument i names where the
// next points.
func (c call) policyValue(i int, all []p11.PolicyInfo, v view) error {
	if err := c.needs(i + 1); err != nil {
		return err
	}
	for _, p := range all {
		if value, there := v(p); there && p.ID == c.number(i) {
			set(c, i+1, value)
			return nil
		}
	}
	return ck.CKR_POLICY_ID_INVALID
}

// settings are a number of policies, which argument i is, with their numbers
// and values, which the next two point to.
func (c call) settings(i int) ([]p11.PolicySetting, error) {
	n := c.number(i)
	if n == 0 || n > maxPolicies || c.needs(i+1, i+2) != nil {
		return nil, ck.CKR_ARGUMENTS_BAD
	}
	s := make([]p11.PolicySetting, n)
	for k := range s {
		s[k].ID, s[k].Value = c.element(i+1, k), c.element(i+2, k)
	}
	return s, nil
}

// maxPolicies bounds a list of policies.
const maxPolicies = 1000

// one is the setting of the policy that argument i names to the value that the
// next is.
func (c call) one(i int) []p11.PolicySetting {
	return []p11.PolicySetting{{ID: c.number(i), Value: c.number(i + 1)}}
}

func (c call) setHSM(s []p11.PolicySetting, destroy bool) error {
	return c.do(&p11.SetHSMPolicy{Session: c.session(), Policies: s, Destroy: destroy}, new(p11.None))
}

func setHSMPolicy(c call) error         { return c.setHSM(c.one(1), false) }
func destroyByHSMPolicy(c call) error   { return c.setHSM(c.one(1), true) }
func setHSMPolicies(c call) error       { return c.setHSMList(false) }
func destroyByHSMPolicies(c call) error { return c.setHSMList(true) }

func (c call) setHSMList(destroy bool) error {
	s, err := c.settings(1)
	if err != nil {
		return err
	}
	return c.setHSM(s, destroy)
}

// setPartition changes policies of the session's own partition.
func (c call) setPartition(slot ck.SlotID, s []p11.PolicySetting) error {
	if err := c.onSlot(slot); err != nil {
		return err
	}
	return c.do(&p11.SetPartitionPolicy{Session: c.session(), Policies: s, Destroy: true}, new(p11.None))
}

// ownContainer is the slot of a container number, which argument 1 is, and
// which is 0 for the session's own.
func (c call) ownContainer() (ck.SlotID, error) {
	if c.number(1) != 0 {
		p, err := c.partition(c.number(1))
		return p.Slot, err
	}
	info, err := ask(c, &p11.GetSessionInfo{Session: c.session()})
	return info.SlotID, err
}

func setContainerPolicy(c call) error {
	slot, err := c.ownContainer()
	if err != nil {
		return err
	}
	return c.setPartition(slot, c.one(2))
}

func setContainerPolicies(c call) error {
	slot, err := c.ownContainer()
	if err != nil {
		return err
	}
	s, err := c.settings(2)
	if err != nil {
		return err
	}
	return c.setPartition(slot, s)
}

func setTokenPolicies(c call) error {
	s, err := c.settings(2)
	if err != nil {
		return err
	}
	return c.setPartition(c.slot(1), s)
}

// policyInfo is CK_POLICY_INFO.
type policyInfo struct{ ID, Value, OffToOn, OnToOff uint64 }

// policyTemplate is the policies that a number, which argument i is, of CK_POLICY_INFO
// tell, which the next points to.
func (c call) policyTemplate(i int) ([]p11.PolicySetting, error) {
	n := c.number(i)
	if n > maxPolicies || n != 0 && c.words[i+1] == 0 {
		return nil, ck.CKR_ARGUMENTS_BAD
	}
	size, err := cmem.Size(new(policyInfo), cmem.Host)
	if err != nil {
		return nil, err
	}
	var s []p11.PolicySetting
	for k := range int(n) {
		var info policyInfo
		if err := cmem.Load(&info, unsafe.Add(c.ptr(i+1), k*size), cmem.Host); err != nil {
			return nil, err
		}
		s = append(s, p11.PolicySetting{ID: info.ID, Value: info.Value, OffOn: info.OffToOn != 0, OnOff: info.OnToOff != 0})
	}
	return s, nil
}

func validateHSMPolicies(c call) error {
	return c.validate(func(s []p11.PolicySetting) (p11.PolicyVerdicts, error) {
		if err := c.onAnySlot(); err != nil {
			return p11.PolicyVerdicts{}, err
		}
		return ask(c, &p11.CheckHSMPolicies{Policies: s})
	})
}

func validateContainerPolicies(c call) error {
	return c.validate(func(s []p11.PolicySetting) (p11.PolicyVerdicts, error) {
		return ask(c, &p11.CheckPartitionPolicies{Slot: c.slot(0), Policies: s})
	})
}

// validate stores a verdict for each policy.
func (c call) validate(check func([]p11.PolicySetting) (p11.PolicyVerdicts, error)) error {
	s, err := c.policyTemplate(1)
	if err != nil || len(s) == 0 || c.needs(3) != nil {
		return ck.CKR_ARGUMENTS_BAD
	}
	r, err := check(s)
	if err != nil {
		return err
	}
	codes := make([]ck.RV, len(r.Verdicts))
	for i, v := range r.Verdicts {
		codes[i] = v.RV
	}
	array(c, 3, codes)
	return nil
}

func describePolicy(c call) error {
	out, err := c.output(7)
	if err != nil {
		return err
	}
	whose := ofHSM
	if c.number(1) != 0 {
		whose = ofSlot
	}
	all, err := whose(c)
	if err != nil {
		return err
	}
	for _, p := range all {
		if p.ID == c.number(3) && (c.number(2) != 0 || p.Text != "") {
			return c.describe(p, out)
		}
	}
	return ck.CKR_POLICY_ID_INVALID
}

// describe answers with the length of the value in bits, the directions that
// destroy, whether it cannot be set, and the text.
func (c call) describe(p p11.PolicyInfo, out p11.Output) error {
	text, bits, destructive, restricted := p.Text, uint64(1), uint64(0), uint64(0)
	if c.number(2) != 0 {
		text = p.Capability
	}
	if p.Number {
		bits = 32
	}
	if p.OffOn {
		destructive |= ck.CA_DESTRUCTIVE_OFF_TO_ON
	}
	if p.OnOff {
		destructive |= ck.CA_DESTRUCTIVE_ON_TO_OFF
	}
	if !p.Settable || c.number(2) != 0 {
		restricted = 1
	}
	c.numbers(4, bits, destructive, restricted)
	return c.give(7, out, []byte(text))
}

// vendorInitToken is C_InitToken with a cloning domain and policies; on the
// slot of the administration it initialises the HSM.
func vendorInitToken(c call) error {
	pin, err := c.bytes(1)
	if err != nil || c.needs(3) != nil {
		return ck.CKR_ARGUMENTS_BAD
	}
	domain, err := c.bytes(4)
	if err != nil {
		return err
	}
	partition, err := c.policyTemplate(6)
	if err != nil {
		return err
	}
	hsm, err := c.policyTemplate(8)
	if err != nil {
		return err
	}
	label := unpad(unsafe.Slice((*byte)(c.ptr(3)), 32))
	if c.slot(0) == p11.AdminSlot {
		if len(partition) != 0 {
			return ck.CKR_ARGUMENTS_BAD
		}
		return c.do(&p11.InitHSM{PIN: pin, Label: label, Domain: domain, Policies: hsm}, new(p11.None))
	}
	if len(hsm) != 0 {
		return ck.CKR_ARGUMENTS_BAD
	}
	return c.do(&p11.InitToken{Slot: c.slot(0), PIN: pin, Label: label, Domain: domain, Policies: partition}, new(p11.None))
}
