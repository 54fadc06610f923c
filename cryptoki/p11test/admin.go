package p11test

import (
	"context"
	"errors"
	"sync"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/cryptoki/p11"
)

const hsmPIN = "p11test hsm so"

// hsmSO initialises the HSM and logs its SO in.
func (h *host) hsmSO() (s ck.SessionHandle) {
	h.Helper()
	must(h, &p11.InitHSM{Label: "lab", PIN: []byte(hsmPIN)})
	s = h.open(p11.AdminSlot, true)
	must(h, &p11.Login{Session: s, User: ck.CKU_SO, PIN: []byte(hsmPIN)})
	return s
}

func testHSM(h *host) {
	if info := must(h, &p11.GetHSMInfo{}); info.Initialized || info.Serial == 0 {
		h.Errorf("a new HSM: %+v", info)
	}
	refused(h, &p11.InitHSM{Label: "lab", PIN: []byte("abc")}, ck.CKR_PIN_LEN_RANGE)
	refused(h, &p11.InitHSM{Label: "lab", PIN: []byte(hsmPIN), Profile: "no such"}, ck.CKR_ARGUMENTS_BAD)
	s := h.hsmSO()
	if info := must(h, &p11.GetHSMInfo{}); !info.Initialized || info.Label != "lab" || info.Partitions != 0 {
		h.Errorf("%+v", info)
	}
	if slots := must(h, &p11.GetSlotList{}).Slots; len(slots) != 0 {
		h.Errorf("slots %v of an HSM without partitions", slots)
	}
	refused(h, &p11.InitHSM{Label: "other", PIN: []byte(hsmPIN)}, ck.CKR_USER_NOT_LOGGED_IN)
	// The administration's slot holds no objects.
	no := ck.RV(ck.CKR_FUNCTION_NOT_SUPPORTED)
	refused(h, &p11.CreateObject{Session: s, Template: data("x", false, false)}, no)
	refused(h, &p11.FindObjectsInit{Session: s}, no)
	refused(h, &p11.Begin{Session: s, Op: p11.OpDigest, Mechanism: mech(ck.CKM_SHA256, nil)}, no)
	must(h, &p11.GenerateRandom{Session: s, Buf: make([]byte, 8)})
	must(h, &p11.SetPIN{Session: s, Old: []byte(hsmPIN), New: []byte("another hsm pin")})
	must(h, &p11.Logout{Session: s})
	refused(h, &p11.Login{Session: s, User: ck.CKU_SO, PIN: []byte(hsmPIN)}, ck.CKR_PIN_INCORRECT)
	must(h, &p11.Login{Session: s, User: ck.CKU_SO, PIN: []byte("another hsm pin")})
	must(h, &p11.CreatePartition{Session: s, Name: "gone"})
	refused(h, &p11.InitHSM{Session: s, Label: "second life", PIN: []byte(hsmPIN)}, ck.CKR_ARGUMENTS_BAD)
	must(h, &p11.InitHSM{Session: s, Label: "second life"})
	if info := must(h, &p11.GetHSMInfo{}); info.Label != "second life" || info.Partitions != 0 {
		h.Errorf("after another initialisation: %+v", info)
	}
	must(h, &p11.CreatePartition{Session: s, Name: "two"})
}

func testPartitions(h *host) {
	s := h.hsmSO()
	p := must(h, &p11.CreatePartition{Session: s, Name: "one"})
	refused(h, &p11.CreatePartition{Session: s, Name: "one"}, ck.CKR_OBJECT_ALREADY_EXISTS)
	refused(h, &p11.CreatePartition{Session: s, Name: ""}, ck.CKR_ARGUMENTS_BAD)
	h.initToken(p.Slot)
	h.s = h.open(p.Slot, true)
	h.login(h.s)
	h.create(data("object", true, true)...)
	list := must(h, &p11.ListPartitions{}).Partitions
	if len(list) != 1 || list[0].Name != "one" || list[0].Objects != 1 || !list[0].Initialized || list[0].Serial != p.Serial {
		h.Errorf("%+v", list)
	}
	// Partitions are the HSM SO's, not the user's.
	refused(h, &p11.CreatePartition{Session: h.s, Name: "two"}, ck.CKR_USER_NOT_AUTHORIZED)
	refused(h, &p11.DeletePartition{Session: h.s, Slot: p.Slot}, ck.CKR_USER_NOT_AUTHORIZED)
	refused(h, &p11.DeletePartition{Session: s, Slot: 77}, ck.CKR_SLOT_ID_INVALID)
	must(h, &p11.DeletePartition{Session: s, Slot: p.Slot})
	refused(h, &p11.GetSessionInfo{Session: h.s}, ck.CKR_SESSION_HANDLE_INVALID)
	refused(h, &p11.GetSlotInfo{Slot: p.Slot}, ck.CKR_SLOT_ID_INVALID)
	if again := must(h, &p11.CreatePartition{Session: s, Name: "one"}); again.Slot == p.Slot || again.Serial == p.Serial {
		h.Error("a slot or serial number came again")
	}
	must(h, &p11.Logout{Session: s})
	refused(h, &p11.CreatePartition{Session: s, Name: "two"}, ck.CKR_USER_NOT_LOGGED_IN)
}

func testRoles(h *host) {
	h.initToken(0)
	roles := func() map[p11.Role]p11.RoleInfo {
		m := map[p11.Role]p11.RoleInfo{}
		for _, r := range must(h, &p11.ListRoles{Slot: 0}).Roles {
			m[r.Role] = r
		}
		return m
	}
	if r := roles(); !r[p11.RolePartitionSO].Initialized || !r[p11.RoleCryptoOfficer].Initialized || r[p11.RoleCryptoUser].Initialized {
		h.Errorf("%+v", r)
	}
	s := h.open(0, true)
	refused(h, &p11.InitRole{Session: s, Role: p11.RoleCryptoUser, PIN: []byte("crypto user")}, ck.CKR_USER_NOT_LOGGED_IN)
	h.login(s)
	must(h, &p11.InitRole{Session: s, Role: p11.RoleCryptoUser, PIN: []byte("crypto user")})
	refused(h, &p11.InitRole{Session: s, Role: p11.RoleCryptoUser, PIN: []byte("crypto user")}, ck.CKR_OPERATION_NOT_ALLOWED)
	refused(h, &p11.ResetRole{Session: s, Role: p11.RoleCryptoOfficer, PIN: []byte("officer")}, ck.CKR_USER_NOT_AUTHORIZED)
	must(h, &p11.ResetRole{Session: s, Role: p11.RoleCryptoUser, PIN: []byte("other pin")})
	must(h, &p11.Logout{Session: s})
	must(h, &p11.Login{Session: s, User: ck.CKU_CRYPTO_USER, PIN: []byte("other pin")})
	refused(h, &p11.ListRoles{Slot: 77}, ck.CKR_SLOT_ID_INVALID)
}

func testZeroize(h *host) {
	h.token()
	h.create(data("object", true, true)...)
	must(h, &p11.Logout{Session: h.s})
	refused(h, &p11.ZeroizePartition{Session: h.s}, ck.CKR_USER_NOT_LOGGED_IN)
	must(h, &p11.Login{Session: h.s, User: ck.CKU_SO, PIN: []byte(soPIN)})
	must(h, &p11.ZeroizePartition{Session: h.s})
	refused(h, &p11.GetSessionInfo{Session: h.s}, ck.CKR_SESSION_HANDLE_INVALID)
	if list := must(h, &p11.ListPartitions{}).Partitions; len(list) != 1 || list[0].Initialized || list[0].Objects != 0 {
		h.Errorf("a zeroized partition: %+v", list)
	}

	h.token()
	h.create(data("object", true, true)...)
	must(h, &p11.ZeroizeHSM{})
	refused(h, &p11.GetSessionInfo{Session: h.s}, ck.CKR_SESSION_HANDLE_INVALID)
	if list := must(h, &p11.ListPartitions{}).Partitions; len(list) != 0 {
		h.Errorf("partitions %+v", list)
	}
	if info := must(h, &p11.GetHSMInfo{}); info.Initialized || !info.Zeroized || !info.ZeroizedByHand {
		h.Errorf("a zeroized HSM: %+v", info)
	}

	s := h.hsmSO()
	must(h, &p11.FactoryReset{})
	refused(h, &p11.GetSessionInfo{Session: s}, ck.CKR_SESSION_HANDLE_INVALID)
	if info := must(h, &p11.GetHSMInfo{}); info.Initialized || info.Label != "" {
		h.Errorf("a reset HSM: %+v", info)
	}
}

// testErrors: every error carries a code, and no panic comes of nonsense.
func testErrors(h *host) {
	h.token()
	for _, err := range []error{
		func() error { _, err := ask(h, &p11.Begin{Session: h.s, Op: 200}); return err }(),
		func() error { _, err := ask(h, &p11.Update{Session: h.s, Op: 200}); return err }(),
		func() error { _, err := ask(h, &p11.Finish{Session: h.s, Op: 200}); return err }(),
		func() error { _, err := ask(h, &p11.Message{Session: h.s, Op: 200}); return err }(),
		func() error { _, err := ask(h, &p11.EndMessages{Session: h.s, Op: 200}); return err }(),
		func() error { _, err := ask(h, &p11.DualUpdate{Session: h.s, First: 200, Second: 201}); return err }(),
		func() error { _, err := ask(h, &p11.WrapKey{Session: h.s}); return err }(),
		func() error { _, err := ask(h, &p11.UnwrapKey{Session: h.s}); return err }(),
		func() error { _, err := ask(h, &p11.DeriveKey{Session: h.s}); return err }(),
		func() error { _, err := ask(h, &p11.FindObjects{Session: h.s, Max: -1}); return err }(),
		func() error { _, err := ask(h, &p11.InitRole{Session: h.s, Role: 99}); return err }(),
	} {
		var rv ck.RV
		if !errors.As(err, &rv) || rv == ck.CKR_OK || rv == ck.CKR_GENERAL_ERROR {
			h.Errorf("%v carries no code", err)
		}
	}
	// A parameter of a type that the mechanism does not have.
	type stranger struct{ A int }
	k := h.aes()
	for _, param := range []any{stranger{}, &stranger{}, 7, "text", []int{1}, (*stranger)(nil)} {
		_, err := ask(h, &p11.Begin{Session: h.s, Op: p11.OpEncrypt, Mechanism: mech(ck.CKM_AES_CBC, param), Key: k})
		h.wants("a strange parameter", err, ck.CKR_MECHANISM_PARAM_INVALID)
	}
}

// testConcurrent works on sessions of their own and on one that is shared.
func testConcurrent(h *host) {
	h.token()
	k := h.aes()
	want := h.single(p11.OpEncrypt, mech(ck.CKM_AES_ECB, nil), k, sequence(16))
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			s, err := ask(h, &p11.OpenSession{Slot: 0, Flags: ck.CKF_SERIAL_SESSION | ck.CKF_RW_SESSION})
			if err != nil {
				h.Error(err)
				return
			}
			for range 30 {
				h.encryptOn(s.Session, k, string(want))
				// The shared session may be busy, but nothing else may go wrong.
				_, err := ask(h, &p11.Begin{Session: h.s, Op: p11.OpDigest, Mechanism: mech(ck.CKM_SHA256, nil)})
				h.wants("Begin on a shared session", err, ck.CKR_OK, ck.CKR_OPERATION_ACTIVE)
				_, err = ask(h, &p11.Finish{Session: h.s, Op: p11.OpDigest, Out: p11.Output{Buf: make([]byte, 32)}})
				h.wants("Finish on a shared session", err, ck.CKR_OK, ck.CKR_OPERATION_NOT_INITIALIZED)
			}
			o, err := ask(h, &p11.CreateObject{Session: s.Session, Template: data("mine", true, true)})
			h.wants("CreateObject", err, ck.CKR_OK)
			_, err = ask(h, &p11.DestroyObject{Session: s.Session, Object: o.Object})
			h.wants("DestroyObject", err, ck.CKR_OK)
			_, err = ask(h, &p11.CloseSession{Session: s.Session})
			h.wants("CloseSession", err, ck.CKR_OK)
		})
	}
	wg.Wait()
	if n := must(h, &p11.GetTokenInfo{Slot: 0}).SessionCount; n != 1 {
		h.Errorf("%d sessions are left", n)
	}
}

func (h *host) encryptOn(s ck.SessionHandle, k ck.ObjectHandle, want string) {
	_, err := ask(h, &p11.Begin{Session: s, Op: p11.OpEncrypt, Mechanism: mech(ck.CKM_AES_ECB, nil), Key: k})
	h.wants("Begin", err, ck.CKR_OK)
	out := make([]byte, 16)
	_, err = ask(h, &p11.Finish{Session: s, Op: p11.OpEncrypt, Single: true, In: sequence(16), Out: p11.Output{Buf: out}})
	if h.wants("Finish", err, ck.CKR_OK); string(out) != want {
		h.Errorf("another ciphertext %x", out)
	}
}

func testClose(h *host) {
	h.token()
	waiting := make(chan error, 1)
	go func() {
		var err error
		for err == nil { // events of the beginning come first
			_, err = ask(h, &p11.WaitForSlotEvent{Block: true})
		}
		waiting <- err
	}()
	if err := h.m.Close(); err != nil {
		h.Error(err)
	}
	h.wants("waiting for an event", <-waiting, ck.CKR_CRYPTOKI_NOT_INITIALIZED, ck.CKR_FUNCTION_CANCELED)
	refused(h, &p11.GetInfo{}, ck.CKR_CRYPTOKI_NOT_INITIALIZED)
	refused(h, &p11.GetSessionInfo{Session: h.s}, ck.CKR_CRYPTOKI_NOT_INITIALIZED)
	refused(h, &p11.OpenSession{Slot: 0, Flags: ck.CKF_SERIAL_SESSION}, ck.CKR_CRYPTOKI_NOT_INITIALIZED)
	if err := h.m.Do(context.Background(), &p11.GetSlotList{}, new(p11.SlotList)); ck.RVOf(err) != ck.CKR_CRYPTOKI_NOT_INITIALIZED {
		h.Error(err)
	}
	if err := h.m.Close(); err != nil {
		h.Errorf("closing twice: %v", err)
	}
}
