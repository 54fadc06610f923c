package capi

import (
	"reflect"
	"slices"
	"testing"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/cryptoki/p11"
)

// twoPolicies are one that can be set and a capability that cannot.
var twoPolicies = p11.PolicyList{Policies: []p11.PolicyInfo{
	{ID: 3, Capability: "Enable numbers", Text: "Allow numbers", Greatest: 100, Value: 10, Default: 7, Number: true, Settable: true, OffOn: true},
	{ID: 5, Capability: "Enable magic", Greatest: 1},
}}

func policyHost(got *p11.Request) func(p11.Request, any) error {
	return func(req p11.Request, reply any) error {
		switch req.(type) {
		case *p11.ListPartitions:
			*reply.(*p11.PartitionList) = p11.PartitionList{Partitions: []p11.PartitionInfo{{Slot: 4}}}
			return nil
		case *p11.GetSessionInfo:
			reply.(*ck.SessionInfo).SlotID = 4
			return nil
		case *p11.ListHSMPolicies, *p11.ListPartitionPolicies:
			*reply.(*p11.PolicyList) = twoPolicies
		case *p11.CheckHSMPolicies, *p11.CheckPartitionPolicies:
			reply.(*p11.PolicyVerdicts).Verdicts = []p11.PolicyVerdict{{RV: ck.CKR_OK}, {RV: ck.CKR_CONFIG_ILLEGAL}}
		}
		*got = clone(req)
		return nil
	}
}

func TestVendorPolicyReading(t *testing.T) {
	var got p11.Request
	use(t, policyHost(&got))
	room := func() ([]uint64, []uint64) { return make([]uint64, 2), []uint64{2} }
	hsm, partition := p11.Request(&p11.ListHSMPolicies{}), p11.Request(&p11.ListPartitionPolicies{Slot: 4})
	for _, c := range []struct {
		function string
		first    []any
		request  p11.Request
		ids      []uint64
		values   []uint64
	}{
		{"CA_GetHSMCapabilitySet", []any{4}, hsm, []uint64{3, 5}, []uint64{100, 1}},
		{"CA_GetHSMPolicySet", []any{4}, hsm, []uint64{3}, []uint64{10}},
		{"CA_GetContainerCapabilitySet", []any{0, 5}, partition, []uint64{3, 5}, []uint64{100, 1}},
		{"CA_GetContainerPolicySet", []any{0, 5}, partition, []uint64{3}, []uint64{10}},
		{"CA_GetTokenCapabilities", []any{4}, partition, []uint64{3, 5}, []uint64{100, 1}},
		{"CA_GetTokenPolicies", []any{4}, partition, []uint64{3}, []uint64{10}},
	} {
		ids, n := room()
		values, m := room()
		want(t, ck.CKR_OK, c.function, append(slices.Clone(c.first), ids, n, values, m)...)
		if !slices.Equal(ids[:n[0]], c.ids) || !slices.Equal(values[:m[0]], c.values) || !reflect.DeepEqual(got, c.request) {
			t.Errorf("%s: %v %v, asks %#v", c.function, ids[:n[0]], values[:m[0]], got)
		}
		n[0], m[0] = 0, 0
		want(t, ck.CKR_OK, c.function, append(slices.Clone(c.first), nil, n, nil, m)...)
		if n[0] != uint64(len(c.ids)) || m[0] != n[0] {
			t.Errorf("%s: %d ids, %d values", c.function, n[0], m[0])
		}
		n[0], m[0] = 0, 0
		want(t, ck.CKR_BUFFER_TOO_SMALL, c.function, append(slices.Clone(c.first), ids, n, values, m)...)
		want(t, ck.CKR_ARGUMENTS_BAD, c.function, append(slices.Clone(c.first), ids, nil, values, m)...)
	}
	value := []uint64{0}
	for _, c := range []struct {
		function string
		args     []any
		value    uint64
	}{
		{"CA_GetHSMCapabilitySetting", []any{4, 5, value}, 1},
		{"CA_GetHSMPolicySetting", []any{4, 3, value}, 10},
		{"CA_GetContainerCapabilitySetting", []any{0, 5, 3, value}, 100},
		{"CA_GetContainerPolicySetting", []any{0, 5, 3, value}, 10},
		{"CA_GetDefaultHSMPolicyValue", []any{4, 3, value}, 7},
		{"CA_GetDefaultPartitionPolicyValue", []any{4, 3, value}, 7},
	} {
		want(t, ck.CKR_OK, c.function, c.args...)
		if value[0] != c.value {
			t.Errorf("%s: %d, want %d", c.function, value[0], c.value)
		}
	}
	want(t, ck.CKR_POLICY_ID_INVALID, "CA_GetHSMPolicySetting", 4, 5, value) // nothing to set
	want(t, ck.CKR_POLICY_ID_INVALID, "CA_GetHSMCapabilitySetting", 4, 77, value)
	want(t, ck.CKR_ARGUMENTS_BAD, "CA_GetHSMPolicySetting", 4, 3, nil)

	bits, destructive, restricted := []uint64{0}, []uint64{0}, []uint64{0}
	text, n := make([]byte, 40), []uint64{40}
	want(t, ck.CKR_OK, "CA_GetConfigurationElementDescription", 4, 1, 0, 3, bits, destructive, restricted, text, n)
	if string(text[:n[0]]) != "Allow numbers" || bits[0] != 32 || destructive[0] != 1 || restricted[0] != 0 {
		t.Errorf("%q %v %v %v", text[:n[0]], bits, destructive, restricted)
	}
	n[0] = 40
	want(t, ck.CKR_OK, "CA_GetConfigurationElementDescription", 4, 0, 1, 5, bits, destructive, restricted, text, n)
	if string(text[:n[0]]) != "Enable magic" || bits[0] != 1 || destructive[0] != 0 || restricted[0] != 1 {
		t.Errorf("%q %v %v %v", text[:n[0]], bits, destructive, restricted)
	}
	want(t, ck.CKR_POLICY_ID_INVALID, "CA_GetConfigurationElementDescription", 4, 0, 0, 5, bits, destructive, restricted, text, n)
}

func TestVendorPolicySetting(t *testing.T) {
	var got p11.Request
	use(t, policyHost(&got))
	ids, values := []uint64{3, 5}, []uint64{8, 1}
	two := []p11.PolicySetting{{ID: 3, Value: 8}, {ID: 5, Value: 1}}
	template := []uint64{3, 8, 1, 0, 5, 1, 0, 0}
	strict := []p11.PolicySetting{{ID: 3, Value: 8, OffOn: true}, {ID: 5, Value: 1}}
	results := make([]uint64, 2)
	label, dom := slices.Repeat([]byte("x"), 32), []byte("a domain")
	for _, c := range []struct {
		function string
		args     []any
		request  p11.Request
	}{
		{"CA_SetHSMPolicy", []any{3, 3, 8}, &p11.SetHSMPolicy{Session: 3, Policies: two[:1]}},
		{"CA_SetHSMPolicies", []any{3, 2, ids, values}, &p11.SetHSMPolicy{Session: 3, Policies: two}},
		{"CA_SetDestructiveHSMPolicy", []any{3, 3, 8}, &p11.SetHSMPolicy{Session: 3, Policies: two[:1], Destroy: true}},
		{"CA_SetDestructiveHSMPolicies", []any{3, 2, ids, values}, &p11.SetHSMPolicy{Session: 3, Policies: two, Destroy: true}},
		{"CA_SetContainerPolicy", []any{3, 5, 3, 8}, &p11.SetPartitionPolicy{Session: 3, Policies: two[:1], Destroy: true}},
		{"CA_SetContainerPolicy", []any{3, 0, 3, 8}, &p11.SetPartitionPolicy{Session: 3, Policies: two[:1], Destroy: true}},
		{"CA_SetContainerPolicies", []any{3, 5, 2, ids, values}, &p11.SetPartitionPolicy{Session: 3, Policies: two, Destroy: true}},
		{"CA_SetTokenPolicies", []any{3, 4, 2, ids, values}, &p11.SetPartitionPolicy{Session: 3, Policies: two, Destroy: true}},
		{"CA_ValidateHSMPolicySet", []any{4, 2, template, results}, &p11.CheckHSMPolicies{Policies: strict}},
		{"CA_ValidateContainerPolicySet", []any{4, 2, template, results}, &p11.CheckPartitionPolicies{Slot: 4, Policies: strict}},
		{"CA_InitToken", []any{4, pin, 4, label, dom, 8, 2, template, 0, nil},
			&p11.InitToken{Slot: 4, PIN: pin[:4], Label: string(label), Domain: dom, Policies: strict}},
		{"CA_InitToken", []any{uint64(p11.AdminSlot), pin, 4, label, dom, 8, 0, nil, 2, template},
			&p11.InitHSM{PIN: pin[:4], Label: string(label), Domain: dom, Policies: strict}},
	} {
		want(t, ck.CKR_OK, c.function, c.args...)
		if !reflect.DeepEqual(got, c.request) {
			t.Errorf("%s asks %#v, want %#v", c.function, got, c.request)
		}
	}
	if !slices.Equal(results, []uint64{uint64(ck.CKR_OK), uint64(ck.CKR_CONFIG_ILLEGAL)}) {
		t.Errorf("verdicts %x", results)
	}
	want(t, ck.CKR_USER_NOT_AUTHORIZED, "CA_SetTokenPolicies", 3, 5, 2, ids, values)
	for function, args := range map[string][]any{
		"CA_SetHSMPolicies": {3, 2, nil, values}, "CA_SetTokenPolicies": {3, 4, ^uint64(0), ids, values},
		"CA_ValidateHSMPolicySet": {4, 2, nil, results}, "CA_ValidateContainerPolicySet": {4, 2, template, nil},
		"CA_InitToken": {4, pin, 4, label, dom, 8, 0, nil, 2, template},
	} {
		want(t, ck.CKR_ARGUMENTS_BAD, function, args...)
	}
	want(t, ck.CKR_ARGUMENTS_BAD, "CA_InitToken", uint64(p11.AdminSlot), pin, 4, label, dom, 8, 2, template, 0, nil)
	want(t, ck.CKR_ARGUMENTS_BAD, "CA_InitToken", 4, pin, 4, nil, dom, 8, 0, nil, 0, nil)
}
