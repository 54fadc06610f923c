package capi

import (
	"reflect"
	"slices"
	"testing"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/cryptoki/p11"
)

// The requests that come of calls with application ids.
func TestApplicationIDs(t *testing.T) {
	id := p11.AppID{1, 2, 0, 0, 0, 0, 0, 0, 3}
	var got p11.Request
	use(t, func(req p11.Request, reply any) error {
		switch q := req.(type) {
		case *p11.ListPartitions:
			*reply.(*p11.PartitionList) = p11.PartitionList{Partitions: []p11.PartitionInfo{{Slot: 4}}}
			return nil
		case *p11.GetAppID:
			reply.(*p11.AppIDReply).ID = id
		case *p11.OpenSession:
			if q.App != nil {
				copied := *q.App
				q = &p11.OpenSession{Slot: q.Slot, Flags: q.Flags, App: &copied}
			}
			got = q
			reply.(*p11.Session).Session = 77
			return nil
		}
		got = clone(req)
		return nil
	})
	handle, out := []uint64{0}, make([]byte, 16)
	for _, c := range []struct {
		function string
		args     []any
		request  p11.Request
	}{
		{"CA_SetApplicationID", []any{0x201, 3}, &p11.SetAppID{ID: id}},
		{"CA_OpenApplicationID", []any{4, 0x201, 3}, &p11.OpenAppID{Slot: 4, ID: id}},
		{"CA_CloseApplicationID", []any{4, 0x201, 3}, &p11.CloseAppID{Slot: 4, ID: id}},
		{"CA_OpenApplicationIDForContainer", []any{0, 5, 0x201, 3}, &p11.OpenAppID{Slot: 4, ID: id}},
		{"CA_CloseApplicationIDForContainer", []any{0, 5, 0x201, 3}, &p11.CloseAppID{Slot: 4, ID: id}},
		{"CA_SetApplicationIDV2", []any{id[:]}, &p11.SetAppID{ID: id}},
		{"CA_GetApplicationID", []any{out}, &p11.GetAppID{}},
		{"CA_OpenApplicationIDV2", []any{4, id[:]}, &p11.OpenAppID{Slot: 4, ID: id}},
		{"CA_CloseApplicationIDV2", []any{4, id[:]}, &p11.CloseAppID{Slot: 4, ID: id}},
		{"CA_RandomizeApplicationID", nil, &p11.SetAppID{Random: true}},
		{"CA_OpenSession", []any{4, 0, 6, nil, nil, handle}, &p11.OpenSession{Slot: 4, Flags: 6}},
		{"CA_OpenSession", []any{0, 5, 6, nil, nil, handle}, &p11.OpenSession{Slot: 4, Flags: 6}},
		{"CA_OpenSessionWithAppID", []any{4, 6, 0x201, 3, nil, nil, handle}, &p11.OpenSession{Slot: 4, Flags: 6, App: &id}},
		{"CA_Restart", []any{4}, &p11.RestartSlot{Slot: 4}},
		{"CA_RestartForContainer", []any{0, 5}, &p11.RestartSlot{Slot: 4}},
	} {
		want(t, ck.CKR_OK, c.function, c.args...)
		if !reflect.DeepEqual(got, c.request) {
			t.Errorf("%s asks %#v, want %#v", c.function, got, c.request)
		}
	}
	if handle[0] != 77 || !slices.Equal(out, id[:]) {
		t.Errorf("session %d, id %x", handle[0], out)
	}
	for _, f := range []string{"CA_SetApplicationIDV2", "CA_GetApplicationID"} {
		want(t, ck.CKR_ARGUMENTS_BAD, f, nil)
	}
	want(t, ck.CKR_ARGUMENTS_BAD, "CA_OpenApplicationIDV2", 4, nil)
	want(t, ck.CKR_ARGUMENTS_BAD, "CA_CloseApplicationIDV2", 4, nil)
	want(t, ck.CKR_ARGUMENTS_BAD, "CA_OpenSession", 4, 0, 6, nil, nil, nil)
	want(t, ck.CKR_CONTAINER_HANDLE_INVALID, "CA_RestartForContainer", 0, 9)
	want(t, ck.CKR_CONTAINER_HANDLE_INVALID, "CA_OpenSession", 0, 9, 6, nil, nil, handle)
}

func TestVendorSessions(t *testing.T) {
	use(t, func(req p11.Request, reply any) error {
		switch q := req.(type) {
		case *p11.GetSessionInfo:
			*reply.(*ck.SessionInfo) = ck.SessionInfo{SlotID: 4, State: ck.CKS_RW_USER_FUNCTIONS}
		case *p11.GetAppID:
			reply.(*p11.AppIDReply).ID = p11.AppID{7, 8: 9}
		case *p11.IsActive:
			reply.(*p11.Answer).Yes = q.Op == p11.OpSign
		case *p11.WaitForSlotEvent:
			if q.Block {
				t.Error("waits for an event")
			}
			return ck.CKR_NO_EVENT
		}
		return nil
	})
	high, low, container, level := []uint64{0}, []uint64{0}, []uint64{0}, []uint64{0}
	want(t, ck.CKR_OK, "CA_GetSessionInfo", 3, high, low, container, level)
	if high[0] != 7 || low[0] != 9 || container[0] != 5 || level[0] != uint64(ck.CKS_RW_USER_FUNCTIONS) {
		t.Error(high, low, container, level)
	}
	want(t, ck.CKR_OK, "CA_GetSessionInfo", 3, nil, nil, nil, nil)
	for op, active := range map[int]byte{0: 0, 2: 1, 4: 0} {
		flag := []byte{99}
		want(t, ck.CKR_OK, "CA_CheckOperationState", 3, op, flag)
		if flag[0] != active {
			t.Errorf("operation %d: %d", op, flag[0])
		}
	}
	want(t, ck.CKR_ARGUMENTS_BAD, "CA_CheckOperationState", 3, 5, []byte{0})
	history, slot := []uint64{1, 2}, []uint64{0}
	want(t, ck.CKR_NO_EVENT, "CA_WaitForSlotEvent", 1, history, slot, nil)
	if !slices.Equal(history, []uint64{0, 0}) {
		t.Errorf("history %v", history)
	}
}
