package capi

import (
	"reflect"
	"slices"
	"testing"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/cryptoki/p11"
)

func TestVendorPartitions(t *testing.T) {
	var got p11.Request
	use(t, func(req p11.Request, reply any) error {
		switch req.(type) {
		case *p11.ListPartitions:
			*reply.(*p11.PartitionList) = p11.PartitionList{Partitions: []p11.PartitionInfo{
				{Slot: 0}, {Slot: 4, Objects: 3, Storage: p11.Storage{Total: 100, Used: 30, Free: 70, Overhead: 9648}},
				{Slot: 9, HasDomain: true},
			}}
			return nil
		case *p11.GetSessionInfo:
			reply.(*ck.SessionInfo).SlotID = 4
			return nil
		case *p11.CreatePartition:
			reply.(*p11.PartitionInfo).Slot = 6
		case *p11.GetHSMInfo:
			reply.(*p11.HSMInfo).Storage = p11.Storage{Used: 5, Overhead: 7}
			return nil
		case *p11.GetTokenInfo:
			*reply.(*ck.TokenInfo) = ck.TokenInfo{SessionCount: 8, RwSessionCount: 2}
			return nil
		case *p11.ListRoles:
			reply.(*p11.RoleList).Roles = []p11.RoleInfo{
				{Role: p11.RolePartitionSO, Initialized: true, AttemptsLeft: 8, Threshold: 10},
				{Role: p11.RoleCryptoOfficer, Initialized: true, Locked: true, Threshold: 10},
				{Role: p11.RoleCryptoUser, AttemptsLeft: 10, Threshold: 10},
			}
			return nil
		}
		got = clone(req)
		return nil
	})
	number := []uint64{0}
	text := []byte("a name")
	for _, c := range []struct {
		function string
		args     []any
		request  p11.Request
	}{
		{"CA_CreateContainer", []any{3, 0, text, 6, nil, 0, 0, 0, 0, 0, 4096, number}, &p11.CreatePartition{Session: 3, Name: "a name", Size: 4096}},
		{"CA_DeleteContainerWithHandle", []any{3, 5}, &p11.DeletePartition{Session: 3, Slot: 4}},
		{"CA_TokenDelete", []any{3, 4}, &p11.DeletePartition{Session: 3, Slot: 4}},
		{"CA_SetContainerSize", []any{3, 5, 777}, &p11.ResizePartition{Session: 3, Slot: 4, Size: 777}},
		{"CA_ChangeLabel", []any{3, 4, text, 6}, &p11.LabelPartition{Session: 3, Label: "a name"}},
	} {
		want(t, ck.CKR_OK, c.function, c.args...)
		if !reflect.DeepEqual(got, c.request) {
			t.Errorf("%s asks %#v, want %#v", c.function, got, c.request)
		}
	}
	if number[0] != 7 {
		t.Errorf("the new container is %d", number[0])
	}
	want(t, ck.CKR_ARGUMENTS_BAD, "CA_CreateContainer", 3, 0, text, 6, text, 6, 0, 0, 0, 0, 0, number)
	want(t, ck.CKR_SLOT_ID_INVALID, "CA_ChangeLabel", 3, 5, text, 6)
	want(t, ck.CKR_CONTAINER_HANDLE_INVALID, "CA_DeleteContainerWithHandle", 3, 0)
	want(t, ck.CKR_CONTAINER_HANDLE_INVALID, "CA_SetContainerSize", 3, 99, 1)

	n := make([][]uint64, 5)
	for i := range n {
		n[i] = []uint64{0}
	}
	all := func() (list []uint64) {
		for _, v := range n {
			list = append(list, v[0])
		}
		return list
	}
	want(t, ck.CKR_OK, "CA_GetContainerStatus", 4, 0, n[0], n[1], n[2], n[3])
	if flags := uint64(0x01058400); !slices.Equal(all()[:4], []uint64{flags &^ 0x10000, 2, 10, 0}) {
		t.Errorf("status %#x", all())
	}
	for function, args := range map[string][]any{
		"CA_GetContainerStatus": {0, 10, n[0], nil, nil, nil}, "CA_GetTokenStatus": {9, n[0], nil, nil},
	} {
		want(t, ck.CKR_OK, function, args...)
		if n[0][0] != 0x03048400 {
			t.Errorf("%s with a cloning domain: %#x", function, n[0][0])
		}
		n[0][0] = 0
	}
	want(t, ck.CKR_OK, "CA_GetTokenStatus", uint64(p11.AdminSlot), n[0], nil, nil)
	want(t, ck.CKR_OK, "CA_GetTokenStatus", 4, nil, n[1], n[2])
	if !slices.Equal(all()[1:3], []uint64{8, 2}) {
		t.Errorf("sessions %v", all())
	}
	want(t, ck.CKR_OK, "CA_GetTokenStorageInformation", 4, n[0], n[1], n[2], n[3], n[4])
	if !slices.Equal(all(), []uint64{9648, 100, 30, 70, 3}) {
		t.Errorf("storage %v", all())
	}
	want(t, ck.CKR_OK, "CA_GetContainerStorageInformation", 0, 5, n[4], n[3], n[2], n[1], n[0])
	if !slices.Equal(all(), []uint64{3, 70, 30, 100, 9648}) {
		t.Errorf("storage %v", all())
	}
	want(t, ck.CKR_OK, "CA_GetHSMStorageInformation", 4, n[0], n[1], n[2], n[3])
	if !slices.Equal(all()[:4], []uint64{7, ck.UnavailableInformation, 5, ck.UnavailableInformation}) {
		t.Errorf("storage of the HSM %v", all())
	}
}

// The requests that functions about PINs and destruction make.
func TestVendorRoles(t *testing.T) {
	var got p11.Request
	use(t, func(req p11.Request, reply any) error {
		switch req.(type) {
		case *p11.GetSessionInfo:
			reply.(*ck.SessionInfo).SlotID = 4
			return nil
		case *p11.GetHSMInfo:
			reply.(*p11.HSMInfo).Firmware = "7.0.3"
			return nil
		}
		got = clone(req)
		return nil
	})
	for _, c := range []struct {
		function string
		args     []any
		request  p11.Request
	}{
		{"CA_InitSlotRolePIN", []any{3, 4, 1, pin, 4}, &p11.InitRole{Session: 3, Role: p11.RoleCryptoOfficer, PIN: pin[:4]}},
		{"CA_Zeroize", []any{uint64(p11.AdminSlot), 0}, &p11.ZeroizeHSM{}},
		{"CA_FactoryReset", []any{uint64(p11.AdminSlot), 0}, &p11.FactoryReset{}},
		{"CA_ZeroizeContainer", []any{3}, &p11.ZeroizePartition{Session: 3}},
		{"CA_TokenZeroize", []any{3, 4, 0}, &p11.ZeroizePartition{Session: 3}},
	} {
		want(t, ck.CKR_OK, c.function, c.args...)
		if !reflect.DeepEqual(got, c.request) {
			t.Errorf("%s asks %#v, want %#v", c.function, got, c.request)
		}
	}
	got = nil
	for _, f := range []string{"CA_Zeroize", "CA_FactoryReset"} {
		want(t, ck.CKR_SLOT_ID_INVALID, f, 0, 0)
	}
	want(t, ck.CKR_USER_NOT_AUTHORIZED, "CA_TokenZeroize", 3, 5, 0)
	want(t, ck.CKR_USER_NOT_AUTHORIZED, "CA_InitSlotRolePIN", 3, 5, 1, pin, 4)
	want(t, ck.CKR_CANCEL, "CA_CreateLoginChallenge", 3, 1, 0, nil, nil, nil)
	want(t, ck.CKR_CANCEL, "CA_CreateContainerLoginChallenge", 3, 4, 1, 0, nil, nil, nil)
	if got != nil {
		t.Errorf("%#v reached the module", got)
	}
	major, minor, sub := []uint64{9}, []uint64{9}, []uint64{9}
	want(t, ck.CKR_OK, "CA_GetFirmwareVersion", 4, major, minor, sub)
	if major[0] != 7 || minor[0] != 0 || sub[0] != 3 {
		t.Error(major, minor, sub)
	}
}

func TestExplainRefusal(t *testing.T) {
	refused := p11.Explanation{Request: "WrapKey", Refusal: p11.Refusal{
		Rule: "policy", Code: ck.CKR_KEY_NOT_WRAPPABLE, Text: "the key may not be wrapped", Policy: "1", Remedy: "switch it on",
	}}
	use(t, func(_ p11.Request, reply any) error {
		*reply.(*p11.Explanation) = refused
		return nil
	})
	n := []uint64{0}
	want(t, ck.CKR_OK, "CA_ExplainRefusal", 3, nil, n)
	text := make([]byte, n[0])
	want(t, ck.CKR_OK, "CA_ExplainRefusal", 3, text, n)
	const expect = "request: WrapKey\ncode: CKR_KEY_NOT_WRAPPABLE\nrefused: the key may not be wrapped\nrule: policy\npolicy: 1\nremedy: switch it on\n"
	if string(text) != expect {
		t.Errorf("%q", text)
	}
	refused = p11.Explanation{}
	want(t, ck.CKR_OK, "CA_ExplainRefusal", 3, text, n)
	if n[0] != 0 {
		t.Errorf("%d bytes about nothing", n[0])
	}
	want(t, ck.CKR_ARGUMENTS_BAD, "CA_ExplainRefusal", 3, text, nil)
}
