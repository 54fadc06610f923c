package p11test

import (
	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/cryptoki/p11"
)

func (h *host) state(s ck.SessionHandle, want ck.SessionState) {
	h.Helper()
	if got := must(h, &p11.GetSessionInfo{Session: s}).State; got != want {
		h.Errorf("session state %v, want %v", got, want)
	}
}

func testSessions(h *host) {
	refused(h, &p11.OpenSession{Slot: 0, Flags: ck.CKF_RW_SESSION}, ck.CKR_SESSION_PARALLEL_NOT_SUPPORTED)
	refused(h, &p11.OpenSession{Slot: 77, Flags: ck.CKF_SERIAL_SESSION}, ck.CKR_SLOT_ID_INVALID)
	h.initToken(0)
	h.initToken(1)
	rw, ro, other := h.open(0, true), h.open(0, false), h.open(1, true)
	if rw == 0 || rw == ro || rw == other {
		h.Errorf("handles %d, %d, %d", rw, ro, other)
	}
	info := must(h, &p11.GetSessionInfo{Session: ro})
	if info.SlotID != 0 || info.Flags != ck.CKF_SERIAL_SESSION {
		h.Errorf("CK_SESSION_INFO %+v", info)
	}
	if n := must(h, &p11.GetTokenInfo{Slot: 0}); n.SessionCount != 2 || n.RwSessionCount != 1 {
		h.Errorf("%d sessions, %d R/W", n.SessionCount, n.RwSessionCount)
	}
	must(h, &p11.CloseSession{Session: ro})
	refused(h, &p11.CloseSession{Session: ro}, ck.CKR_SESSION_HANDLE_INVALID)
	must(h, &p11.CloseAllSessions{Slot: 0})
	refused(h, &p11.GetSessionInfo{Session: rw}, ck.CKR_SESSION_HANDLE_INVALID)
	must(h, &p11.GetSessionInfo{Session: other})
}

// testBadSession gives every request of a session one that is closed.
func testBadSession(h *host) {
	h.token()
	s := h.open(0, true)
	must(h, &p11.CloseSession{Session: s})
	bad := ck.RV(ck.CKR_SESSION_HANDLE_INVALID)
	for _, s := range []ck.SessionHandle{s, 0, s + 1000, ^ck.SessionHandle(0)} {
		refused(h, &p11.InitPIN{Session: s, PIN: []byte("1234")}, bad)
		refused(h, &p11.SetPIN{Session: s}, bad)
		refused(h, &p11.CloseSession{Session: s}, bad)
		refused(h, &p11.GetSessionInfo{Session: s}, bad)
		refused(h, &p11.SessionCancel{Session: s}, bad)
		refused(h, &p11.GetOperationState{Session: s}, bad)
		refused(h, &p11.SetOperationState{Session: s}, bad)
		refused(h, &p11.Login{Session: s, User: ck.CKU_USER}, bad)
		refused(h, &p11.Logout{Session: s}, bad)
		refused(h, &p11.CreateObject{Session: s}, bad)
		refused(h, &p11.CopyObject{Session: s}, bad)
		refused(h, &p11.DestroyObject{Session: s}, bad)
		refused(h, &p11.GetObjectSize{Session: s}, bad)
		refused(h, &p11.GetAttributeValue{Session: s}, bad)
		refused(h, &p11.SetAttributeValue{Session: s}, bad)
		refused(h, &p11.FindObjectsInit{Session: s}, bad)
		refused(h, &p11.FindObjects{Session: s}, bad)
		refused(h, &p11.FindObjectsFinal{Session: s}, bad)
		for op := range p11.Operation(p11.NumOperations) {
			refused(h, &p11.Begin{Session: s, Op: op}, bad)
			refused(h, &p11.Update{Session: s, Op: op}, bad)
			refused(h, &p11.Finish{Session: s, Op: op}, bad)
			refused(h, &p11.Message{Session: s, Op: op}, bad)
			refused(h, &p11.EndMessages{Session: s, Op: op}, bad)
		}
		refused(h, &p11.DigestKey{Session: s}, bad)
		refused(h, &p11.DualUpdate{Session: s}, bad)
		refused(h, &p11.GenerateKey{Session: s}, bad)
		refused(h, &p11.GenerateKeyPair{Session: s}, bad)
		refused(h, &p11.WrapKey{Session: s}, bad)
		refused(h, &p11.UnwrapKey{Session: s}, bad)
		refused(h, &p11.DeriveKey{Session: s}, bad)
		refused(h, &p11.SeedRandom{Session: s}, bad)
		refused(h, &p11.GenerateRandom{Session: s}, bad)
		refused(h, &p11.CreatePartition{Session: s}, bad)
		refused(h, &p11.DeletePartition{Session: s}, bad)
		refused(h, &p11.InitRole{Session: s}, bad)
		refused(h, &p11.ResetRole{Session: s}, bad)
	}
}

func testLogin(h *host) {
	h.initToken(0)
	rw := h.open(0, true)
	login := func(user ck.UserType, pin string) error {
		_, err := ask(h, &p11.Login{Session: rw, User: user, PIN: []byte(pin)})
		return err
	}
	refused(h, &p11.Logout{Session: rw}, ck.CKR_USER_NOT_LOGGED_IN)
	h.wants("unknown user type", login(99, userPIN), ck.CKR_USER_TYPE_INVALID)
	h.wants("wrong PIN", login(ck.CKU_USER, "wrong pin"), ck.CKR_PIN_INCORRECT)
	h.wants("user", login(ck.CKU_USER, userPIN), ck.CKR_OK)
	h.wants("user again", login(ck.CKU_USER, userPIN), ck.CKR_USER_ALREADY_LOGGED_IN)
	h.wants("SO beside the user", login(ck.CKU_SO, soPIN), ck.CKR_USER_ANOTHER_ALREADY_LOGGED_IN)
	ro := h.open(0, false)
	h.state(rw, ck.CKS_RW_USER_FUNCTIONS)
	h.state(ro, ck.CKS_RO_USER_FUNCTIONS)
	must(h, &p11.Logout{Session: ro})
	h.state(rw, ck.CKS_RW_PUBLIC_SESSION)
	h.state(ro, ck.CKS_RO_PUBLIC_SESSION)
	h.wants("SO beside a R/O session", login(ck.CKU_SO, soPIN), ck.CKR_SESSION_READ_ONLY_EXISTS)
	must(h, &p11.CloseSession{Session: ro})
	h.wants("SO", login(ck.CKU_SO, soPIN), ck.CKR_OK)
	h.state(rw, ck.CKS_RW_SO_FUNCTIONS)
	refused(h, &p11.OpenSession{Slot: 0, Flags: ck.CKF_SERIAL_SESSION}, ck.CKR_SESSION_READ_WRITE_SO_EXISTS)
}

func testLoginEnds(h *host) {
	h.token()
	second := h.open(0, true)
	must(h, &p11.CloseSession{Session: h.s})
	h.state(second, ck.CKS_RW_USER_FUNCTIONS)
	must(h, &p11.CloseSession{Session: second})
	h.state(h.open(0, true), ck.CKS_RW_PUBLIC_SESSION)
}

func testPINs(h *host) {
	h.initToken(0)
	s := h.open(0, true)
	set := func(old, new string) error {
		_, err := ask(h, &p11.SetPIN{Session: s, Old: []byte(old), New: []byte(new)})
		return err
	}
	h.wants("nobody logged in", set(userPIN, "second pin"), ck.CKR_OK)
	h.wants("wrong old PIN", set(userPIN, "third pin"), ck.CKR_PIN_INCORRECT)
	h.wants("too short", set("second pin", "abc"), ck.CKR_PIN_LEN_RANGE)
	h.wants("too long", set("second pin", string(make([]byte, 256))), ck.CKR_PIN_LEN_RANGE)
	must(h, &p11.Login{Session: s, User: ck.CKU_USER, PIN: []byte("second pin")})
	h.wants("user logged in", set("second pin", userPIN), ck.CKR_OK)
	refused(h, &p11.InitPIN{Session: s, PIN: []byte("third pin")}, ck.CKR_USER_NOT_LOGGED_IN)
	ro := h.open(0, false)
	refused(h, &p11.SetPIN{Session: ro, Old: []byte(userPIN), New: []byte("third pin")}, ck.CKR_SESSION_READ_ONLY)
	must(h, &p11.CloseSession{Session: ro})

	// The SO resets the user's PIN, and the user's keys stay.
	h.s = s
	o := h.create(key(ck.CKK_AES, sequence(16), ck.NewBool(ck.CKA_TOKEN, true), ck.NewBool(ck.CKA_PRIVATE, true))...)
	must(h, &p11.Logout{Session: s})
	must(h, &p11.Login{Session: s, User: ck.CKU_SO, PIN: []byte(soPIN)})
	must(h, &p11.InitPIN{Session: s, PIN: []byte("forgotten")})
	h.wants("SO's own PIN", set(soPIN, "another so pin"), ck.CKR_OK)
	must(h, &p11.Logout{Session: s})
	must(h, &p11.Login{Session: s, User: ck.CKU_USER, PIN: []byte("forgotten")})
	must(h, &p11.Begin{Session: s, Op: p11.OpEncrypt, Mechanism: mech(ck.CKM_AES_ECB, nil), Key: o})
}

func testLockout(h *host) {
	h.initToken(0)
	s := h.open(0, true)
	left := -1
	for range 10 {
		for _, r := range must(h, &p11.ListRoles{Slot: 0}).Roles {
			if r.Role == p11.RoleCryptoOfficer {
				if left >= 0 && r.AttemptsLeft != left-1 {
					h.Errorf("%d tries left after %d", r.AttemptsLeft, left)
				}
				left = r.AttemptsLeft
			}
		}
		refused(h, &p11.Login{Session: s, User: ck.CKU_USER, PIN: []byte("wrong pin")}, ck.CKR_PIN_INCORRECT)
	}
	refused(h, &p11.Login{Session: s, User: ck.CKU_USER, PIN: []byte(userPIN)}, ck.CKR_PIN_LOCKED)
	if f := must(h, &p11.GetTokenInfo{Slot: 0}).Flags; f&ck.CKF_USER_PIN_LOCKED == 0 {
		h.Errorf("flags %#x lack CKF_USER_PIN_LOCKED", uint64(f))
	}
	must(h, &p11.Login{Session: s, User: ck.CKU_SO, PIN: []byte(soPIN)})
	must(h, &p11.InitPIN{Session: s, PIN: []byte(userPIN)})
	must(h, &p11.Logout{Session: s})
	h.login(s)
}

// testCryptoUser: uses keys, and makes none on the token.
func testCryptoUser(h *host) {
	h.token()
	o := h.create(key(ck.CKK_AES, sequence(16), ck.NewBool(ck.CKA_TOKEN, true))...)
	must(h, &p11.InitRole{Session: h.s, Role: p11.RoleCryptoUser, PIN: []byte("crypto user")})
	must(h, &p11.Logout{Session: h.s})
	must(h, &p11.Login{Session: h.s, User: ck.CKU_CRYPTO_USER, PIN: []byte("crypto user")})
	must(h, &p11.Begin{Session: h.s, Op: p11.OpEncrypt, Mechanism: mech(ck.CKM_AES_ECB, nil), Key: o})
	no := ck.RV(ck.CKR_USER_NOT_AUTHORIZED)
	refused(h, &p11.GenerateKey{Session: h.s, Mechanism: mech(ck.CKM_AES_KEY_GEN, nil), Template: []ck.Attribute{ck.NewULong(ck.CKA_VALUE_LEN, uint64(16)), ck.NewBool(ck.CKA_TOKEN, true)}}, no)
	refused(h, &p11.SetAttributeValue{Session: h.s, Object: o, Template: []ck.Attribute{text(ck.CKA_LABEL, "x")}}, no)
	refused(h, &p11.DestroyObject{Session: h.s, Object: o}, no)
	refused(h, &p11.InitRole{Session: h.s, Role: p11.RoleCryptoUser, PIN: []byte("crypto user")}, no)
}
