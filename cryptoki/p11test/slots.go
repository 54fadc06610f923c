package p11test

import (
	"context"
	"slices"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/cryptoki/p11"
)

func testInformation(h *host) {
	info := must(h, &p11.GetInfo{})
	if info.ManufacturerID == "" || info.LibraryDescription == "" || info.CryptokiVersion.Major < 3 || info.Flags != 0 {
		h.Errorf("CK_INFO %+v", info)
	}
	slot := must(h, &p11.GetSlotInfo{Slot: 0})
	if slot.Flags&ck.CKF_TOKEN_PRESENT == 0 || slot.SlotDescription == "" {
		h.Errorf("CK_SLOT_INFO %+v", slot)
	}
	refused(h, &p11.GetSlotInfo{Slot: 77}, ck.CKR_SLOT_ID_INVALID)
	refused(h, &p11.GetTokenInfo{Slot: 77}, ck.CKR_SLOT_ID_INVALID)
	refused(h, &p11.GetMechanismList{Slot: 77}, ck.CKR_SLOT_ID_INVALID)
	list := must(h, &p11.GetMechanismList{Slot: 0}).Mechanisms
	if !slices.Contains(list, ck.CKM_AES_GCM) || !slices.Contains(list, ck.CKM_SHA256) {
		h.Errorf("%d mechanisms lack some that every module has", len(list))
	}
	seen := map[ck.MechanismType]bool{}
	for _, m := range list {
		if seen[m] {
			h.Errorf("%v is listed twice", m)
		}
		seen[m] = true
		if info := must(h, &p11.GetMechanismInfo{Slot: 0, Type: m}); info.Flags == 0 || info.MinKeySize > info.MaxKeySize {
			h.Errorf("%v: %+v", m, info)
		}
	}
	refused(h, &p11.GetMechanismInfo{Slot: 0, Type: 0x7fffffff}, ck.CKR_MECHANISM_INVALID)
}

func testSlots(h *host) {
	want := func(n int) {
		h.Helper()
		if got := must(h, &p11.GetSlotList{TokenPresent: true}).Slots; len(got) != n {
			h.Errorf("slots %v, want %d", got, n)
		}
	}
	want(1)
	if f := must(h, &p11.GetTokenInfo{Slot: 0}).Flags; f&ck.CKF_TOKEN_INITIALIZED != 0 {
		h.Errorf("a free slot has the flags %#x", uint64(f))
	}
	h.initToken(0)
	want(2) // a free one follows
	info := must(h, &p11.GetTokenInfo{Slot: 0})
	if info.Flags&ck.CKF_TOKEN_INITIALIZED == 0 || info.Flags&ck.CKF_USER_PIN_INITIALIZED == 0 || info.Label != "p11test" || info.SerialNumber == "" {
		h.Errorf("CK_TOKEN_INFO %+v", info)
	}
	h.initToken(1)
	want(3)
	if other := must(h, &p11.GetTokenInfo{Slot: 1}); other.SerialNumber == info.SerialNumber {
		h.Error("two tokens have one serial number")
	}
}

func testSlotEvents(h *host) {
	for range 5 {
		if _, err := ask(h, &p11.WaitForSlotEvent{}); ck.RVOf(err) == ck.CKR_NO_EVENT {
			break
		}
	}
	refused(h, &p11.WaitForSlotEvent{}, ck.CKR_NO_EVENT)
	done := make(chan error, 1)
	go func() {
		_, err := ask(h, &p11.WaitForSlotEvent{Block: true})
		done <- err
	}()
	h.initToken(0) // a slot appears and one changes
	h.wants("waiting for an event", <-done, ck.CKR_OK)
	// A context that ends ends the waiting.
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	for range 5 { // events may be left
		if err := h.m.Do(ctx, &p11.WaitForSlotEvent{Block: true}, new(p11.SlotEvent)); err != nil {
			return
		}
	}
	h.Error("waiting did not end with its context")
}

func testInitToken(h *host) {
	refused(h, &p11.InitToken{Slot: 0, PIN: []byte("abc"), Label: "x"}, ck.CKR_PIN_LEN_RANGE)
	h.token()
	must(h, &p11.CreateObject{Session: h.s, Template: data("old", true, false)})
	refused(h, &p11.InitToken{Slot: 0, PIN: []byte(soPIN), Label: "x"}, ck.CKR_SESSION_EXISTS)
	must(h, &p11.CloseAllSessions{Slot: 0})
	refused(h, &p11.InitToken{Slot: 0, PIN: []byte("wrong pin"), Label: "x"}, ck.CKR_PIN_INCORRECT)
	must(h, &p11.InitToken{Slot: 0, PIN: []byte(soPIN), Label: "again"})
	if info := must(h, &p11.GetTokenInfo{Slot: 0}); info.Label != "again" || info.Flags&ck.CKF_USER_PIN_INITIALIZED != 0 {
		h.Errorf("CK_TOKEN_INFO %+v", info)
	}
	h.s = h.open(0, true)
	if got := h.find(h.s, text(ck.CKA_LABEL, "old")); len(got) != 0 {
		h.Errorf("objects survived: %v", got)
	}
	refused(h, &p11.Login{Session: h.s, User: ck.CKU_USER, PIN: []byte(userPIN)}, ck.CKR_USER_PIN_NOT_INITIALIZED)
}
