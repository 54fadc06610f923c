package capi

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/cryptoki/p11"
)

// vendorHost answers what the vendor's functions ask about roles and
// partitions.
func vendorHost(destroyed *[]ck.ObjectHandle) func(p11.Request, any) error {
	return func(req p11.Request, reply any) error {
		switch q := req.(type) {
		case *p11.ListRoles:
			*reply.(*p11.RoleList) = p11.RoleList{Roles: []p11.RoleInfo{
				{Role: p11.RolePartitionSO, Initialized: true, AttemptsLeft: 10, Threshold: 10},
				{Role: p11.RoleCryptoOfficer, Initialized: true, Locked: true, Threshold: 10},
				{Role: p11.RoleCryptoUser, AttemptsLeft: 10, Threshold: 10},
			}}
		case *p11.ListPartitions:
			*reply.(*p11.PartitionList) = p11.PartitionList{Partitions: []p11.PartitionInfo{
				{Slot: 0, Name: "first"}, {Slot: 4, Name: "fifth"},
			}}
		case *p11.GetHSMInfo:
			reply.(*p11.HSMInfo).MaxPartitions = 100
		case *p11.DestroyObject:
			if q.Object == 13 {
				return ck.CKR_OBJECT_HANDLE_INVALID
			}
			*destroyed = append(*destroyed, q.Object)
		}
		return nil
	}
}

func TestVendorFunctions(t *testing.T) {
	var destroyed []ck.ObjectHandle
	use(t, vendorHost(&destroyed))

	state := make([]byte, 4)
	for user, expect := range map[ck.UserType][]byte{
		ck.CKU_SO: {1, 10, 1, 0}, ck.CKU_USER: {3, 0, 1, 0}, ck.CKU_CRYPTO_USER: {0, 10, 0, 0},
	} {
		want(t, ck.CKR_OK, "CA_RoleStateGet", 0, uint64(user), state)
		if !slices.Equal(state, expect) {
			t.Errorf("state of user %#x is %v, want %v", uint64(user), state, expect)
		}
	}
	want(t, ck.CKR_USER_TYPE_INVALID, "CA_RoleStateGet", 0, 77, state)
	want(t, ck.CKR_ARGUMENTS_BAD, "CA_RoleStateGet", 0, 0, nil)
	want(t, ck.CKR_OK, "CA_Deactivate", 0, 1)
	want(t, ck.CKR_USER_TYPE_INVALID, "CA_Deactivate", 0, 77)
	want(t, ck.CKR_OK, "CA_SessionCancel", 3, 0)

	n := []uint64{0}
	want(t, ck.CKR_OK, "CA_GetContainerList", 0, 0, 0, nil, n)
	numbers := make([]uint64, n[0])
	want(t, ck.CKR_OK, "CA_GetContainerList", 0, 0, 0, numbers, n)
	if !slices.Equal(numbers, []uint64{1, 5}) {
		t.Errorf("containers %v", numbers)
	}
	slot := []uint64{99}
	want(t, ck.CKR_OK, "CA_GetSlotIdForContainer", 0, 5, slot)
	if slot[0] != 4 {
		t.Errorf("container 5 is in slot %d", slot[0])
	}
	want(t, ck.CKR_CONTAINER_HANDLE_INVALID, "CA_GetSlotIdForContainer", 0, 3, slot)
	want(t, ck.CKR_OK, "CA_FindAdminSlotForSlot", 0, slot)
	if ck.SlotID(slot[0]) != p11.AdminSlot {
		t.Errorf("administration in slot %#x", slot[0])
	}
	name, length := make([]byte, 5), []uint64{4}
	want(t, ck.CKR_BUFFER_TOO_SMALL, "CA_GetContainerName", 4, 0, name, length)
	want(t, ck.CKR_OK, "CA_GetContainerName", 4, 0, name, length)
	if string(name) != "fifth" || length[0] != 5 {
		t.Errorf("container in slot 4 is %q", name)
	}
	want(t, ck.CKR_OK, "CA_GetNumberOfAllowedContainers", 0, n)
	if n[0] != 100 {
		t.Errorf("%d containers allowed", n[0])
	}

	index := []uint64{77}
	want(t, ck.CKR_OK, "CA_DestroyMultipleObjects", 3, 2, []uint64{11, 12}, index)
	want(t, ck.CKR_OBJECT_HANDLE_INVALID, "CA_DestroyMultipleObjects", 3, 3, []uint64{14, 13, 15}, index)
	if index[0] != 1 || !slices.Equal(destroyed, []ck.ObjectHandle{11, 12, 14}) {
		t.Errorf("destroyed %v, stopped at %d", destroyed, index[0])
	}
	want(t, ck.CKR_ARGUMENTS_BAD, "CA_DestroyMultipleObjects", 3, 1, nil, index)
	want(t, ck.CKR_ARGUMENTS_BAD, "CA_DestroyMultipleObjects", 3, ^uint64(0), []uint64{1}, index)
}

// A slot that there is not is refused also where any slot would do, because the
// function is about the whole HSM.
func TestVendorSlots(t *testing.T) {
	use(t, func(req p11.Request, _ any) error {
		if q, ok := req.(*p11.GetSlotInfo); ok && q.Slot == 77 {
			return ck.CKR_SLOT_ID_INVALID
		}
		t.Errorf("%#v reached the module", req)
		return nil
	})
	n, template := []uint64{0}, []uint64{3, 8, 0, 0}
	for function, args := range map[string][]any{
		"CA_GetFirmwareVersion": {n, n, n}, "CA_FindAdminSlotForSlot": {n},
		"CA_GetContainerList": {0, 0, nil, n}, "CA_GetNumberOfAllowedContainers": {n},
		"CA_GetHSMStorageInformation": {n, n, n, n}, "CA_GetHSMCapabilitySet": {nil, n, nil, n},
		"CA_GetHSMCapabilitySetting": {3, n}, "CA_GetHSMPolicySet": {nil, n, nil, n},
		"CA_GetHSMPolicySetting": {3, n}, "CA_GetDefaultHSMPolicyValue": {3, n},
		"CA_ValidateHSMPolicySet":               {1, template, n},
		"CA_GetConfigurationElementDescription": {0, 0, 3, n, n, n, nil, n},
		"CA_Zeroize":                            {0}, "CA_FactoryReset": {0}, "CA_InitAudit": {pin, 4, nil},
	} {
		want(t, ck.CKR_SLOT_ID_INVALID, function, append([]any{77}, args...)...)
	}
}

// The requests that functions about PINs make.
func TestVendorPINs(t *testing.T) {
	var got p11.Request
	use(t, func(req p11.Request, _ any) error { got = clone(req); return nil })
	want(t, ck.CKR_OK, "CA_InitRolePIN", 3, 0x80000001, pin, 4)
	if q, ok := got.(*p11.InitRole); !ok || q.Role != p11.RoleCryptoUser || q.Session != 3 || len(q.PIN) != 4 {
		t.Errorf("%+v", got)
	}
	want(t, ck.CKR_USER_TYPE_INVALID, "CA_InitRolePIN", 3, 0x80000002, pin, 4)
	want(t, ck.CKR_OK, "CA_ResetPIN", 3, pin, 4)
	if q, ok := got.(*p11.ResetRole); !ok || q.Role != p11.RoleCryptoOfficer || len(q.PIN) != 4 {
		t.Errorf("%+v", got)
	}
	want(t, ck.CKR_ARGUMENTS_BAD, "CA_ResetPIN", 3, nil, 4)
}

func TestVendorUsageCount(t *testing.T) {
	var got p11.ModifyUsageCount
	use(t, func(req p11.Request, _ any) error { got = *req.(*p11.ModifyUsageCount); return nil })
	want(t, ck.CKR_OK, "CA_ModifyUsageCount", 3, 9, uint64(ck.CA_USAGE_COUNT_INCREMENT), 5)
	if got != (p11.ModifyUsageCount{Session: 3, Key: 9, Value: 5}) {
		t.Errorf("%+v", got)
	}
	want(t, ck.CKR_OK, "CA_ModifyUsageCount", 3, 9, uint64(ck.CA_USAGE_COUNT_SET), 7)
	if got != (p11.ModifyUsageCount{Session: 3, Key: 9, Set: true, Value: 7}) {
		t.Errorf("%+v", got)
	}
	want(t, ck.CKR_ARGUMENTS_BAD, "CA_ModifyUsageCount", 3, 9, 3, 7)
}

func TestEveryVendorFunctionHasATest(t *testing.T) {
	files, err := filepath.Glob("vendor*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	var all []byte
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, text...)
	}
	for _, name := range ck.VendorFunctionNames {
		if !bytes.Contains(all, []byte(`"`+name+`",`)) && name != "CA_GetFunctionList" {
			t.Errorf("%s: no test", name)
		}
	}
}
