package hsm

import (
	"math/rand/v2"
	"testing"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/cryptoki/p11"
	"github.com/perilune/perilune/store"
)

func TestSessionAndLoginRules(t *testing.T) {
	h := newTestHSM(t)
	ro := open(t, h, 0, false)
	want(t, h, ck.CKR_SESSION_READ_ONLY_EXISTS, &p11.Login{Session: ro, User: ck.CKU_SO, PIN: []byte(soPIN)})
	want(t, h, ck.CKR_SESSION_EXISTS, &p11.InitToken{Slot: 0, PIN: []byte(soPIN)})
	login(t, h, ro)
	want(t, h, ck.CKR_USER_ALREADY_LOGGED_IN, &p11.Login{Session: ro, User: ck.CKU_USER, PIN: []byte(userPIN)})
	want(t, h, ck.CKR_USER_ANOTHER_ALREADY_LOGGED_IN, &p11.Login{Session: ro, User: ck.CKU_CRYPTO_USER, PIN: []byte(userPIN)})
	want(t, h, ck.CKR_USER_TYPE_INVALID, &p11.Login{Session: ro, User: 77, PIN: []byte(userPIN)})
	want(t, h, ck.CKR_OPERATION_NOT_INITIALIZED, &p11.Login{Session: ro, User: ck.CKU_CONTEXT_SPECIFIC, PIN: []byte(userPIN)})
	want(t, h, ck.CKR_SESSION_READ_ONLY, &p11.SetPIN{Session: ro, Old: []byte(userPIN), New: []byte("another")})
	rw := open(t, h, 0, true)
	if got := must(t, h, &p11.GetSessionInfo{Session: rw}).State; got != ck.CKS_RW_USER_FUNCTIONS {
		t.Errorf("a new session of a logged-in application has state %v", got)
	}
	want(t, h, ck.CKR_USER_NOT_LOGGED_IN, &p11.InitPIN{Session: rw, PIN: []byte("xxxxx")})
	must(t, h, &p11.Logout{Session: rw})
	want(t, h, ck.CKR_USER_NOT_LOGGED_IN, &p11.Logout{Session: rw})
	must(t, h, &p11.CloseSession{Session: ro})
	must(t, h, &p11.Login{Session: rw, User: ck.CKU_SO, PIN: []byte(soPIN)})
	want(t, h, ck.CKR_SESSION_READ_WRITE_SO_EXISTS, &p11.OpenSession{Slot: 0, Flags: ck.CKF_SERIAL_SESSION})
	must(t, h, &p11.CloseAllSessions{Slot: 0})
	want(t, h, ck.CKR_SESSION_HANDLE_INVALID, &p11.GetSessionInfo{Session: rw})
	s := open(t, h, 0, true)
	if got := must(t, h, &p11.GetSessionInfo{Session: s}).State; got != ck.CKS_RW_PUBLIC_SESSION {
		t.Errorf("the login outlived the last session: state %v", got)
	}
	want(t, h, ck.CKR_SESSION_PARALLEL_NOT_SUPPORTED, &p11.OpenSession{Slot: 0})
	want(t, h, ck.CKR_SLOT_ID_INVALID, &p11.OpenSession{Slot: 99, Flags: ck.CKF_SERIAL_SESSION})
}

func TestCryptoUser(t *testing.T) {
	h := newTestHSM(t)
	s := open(t, h, 0, true)
	want(t, h, ck.CKR_USER_PIN_NOT_INITIALIZED, &p11.Login{Session: s, User: ck.CKU_CRYPTO_USER, PIN: []byte("cu pin")})
	login(t, h, s)
	must(t, h, &p11.InitRole{Session: s, Role: p11.RoleCryptoUser, PIN: []byte("cu pin")})
	want(t, h, ck.CKR_OPERATION_NOT_ALLOWED, &p11.InitRole{Session: s, Role: p11.RoleCryptoUser, PIN: []byte("cu pin")})
	want(t, h, ck.CKR_USER_NOT_AUTHORIZED, &p11.InitRole{Session: s, Role: p11.RoleCryptoOfficer, PIN: []byte("cu pin")})
	must(t, h, &p11.Logout{Session: s})
	must(t, h, &p11.Login{Session: s, User: ck.CKU_CRYPTO_USER, PIN: []byte("cu pin")})
	want(t, h, ck.CKR_USER_NOT_AUTHORIZED, &p11.GenerateKey{Session: s, Mechanism: &ck.Mechanism{Type: ck.CKM_AES_KEY_GEN}})
	must(t, h, &p11.SetPIN{Session: s, Old: []byte("cu pin"), New: []byte("cu pin 2")})
	must(t, h, &p11.Logout{Session: s})
	login(t, h, s)
	must(t, h, &p11.ResetRole{Session: s, Role: p11.RoleCryptoUser, PIN: []byte("cu pin 3")})
	must(t, h, &p11.Logout{Session: s})
	must(t, h, &p11.Login{Session: s, User: ck.CKU_LIMITED_USER_OLD, PIN: []byte("cu pin 3")})
}

// TestInitTokenNeedsTheSO shows that an initialised token is emptied only by
// its SO, and that a wrong PIN there counts.
func TestInitTokenNeedsTheSO(t *testing.T) {
	h := newTestHSM(t)
	want(t, h, ck.CKR_PIN_INCORRECT, &p11.InitToken{Slot: 0, PIN: []byte("wrong pin"), Label: "x"})
	if got := roleInfo(t, h, 0, p11.RolePartitionSO).AttemptsLeft; got != 9 {
		t.Errorf("%d tries left after a wrong one", got)
	}
	must(t, h, &p11.InitToken{Slot: 0, PIN: []byte(soPIN), Label: "again"})
	if roleInfo(t, h, 0, p11.RoleCryptoOfficer).Initialized {
		t.Error("the Crypto Officer outlived C_InitToken")
	}
	want(t, h, ck.CKR_PIN_LEN_RANGE, &p11.InitToken{Slot: 1, PIN: []byte("123")})
}

func roleInfo(t *testing.T, h *HSM, slot ck.SlotID, role p11.Role) p11.RoleInfo {
	t.Helper()
	for _, r := range must(t, h, &p11.ListRoles{Slot: slot}).Roles {
		if r.Role == role {
			return r
		}
	}
	t.Fatalf("slot %d has no %v", slot, role)
	return p11.RoleInfo{}
}

// TestThresholds fires random logins, right and wrong, of all roles of a
// partition from two processes at a simple model of counters.
func TestThresholds(t *testing.T) {
	for seed := range uint64(6) {
		rng := rand.New(rand.NewPCG(1, seed))
		host := newTestHost()
		procs := []*HSM{host.process(t), host.process(t)}
		initPartition(t, procs[0], 0)
		s := open(t, procs[0], 0, true)
		login(t, procs[0], s)
		must(t, procs[0], &p11.InitRole{Session: s, Role: p11.RoleCryptoUser, PIN: []byte("cu pin")})
		must(t, procs[0], &p11.CloseSession{Session: s})

		users := []struct {
			user ck.UserType
			pin  string
		}{{ck.CKU_SO, soPIN}, {ck.CKU_USER, userPIN}, {ck.CKU_CRYPTO_USER, "cu pin"}}
		failures := map[ck.UserType]int{}
		zeroized := false
		for range 60 {
			h := procs[rng.IntN(2)]
			u := users[rng.IntN(3)]
			right := rng.IntN(5) == 0
			pin := u.pin
			if !right {
				pin = "wrong pin"
			}
			var model ck.RV
			switch {
			case zeroized:
				model = ck.CKR_USER_PIN_NOT_INITIALIZED
			case u.user != ck.CKU_SO && failures[ck.CKU_USER] >= 10, failures[u.user] >= 10:
				model = ck.CKR_PIN_LOCKED
			case right:
				failures[u.user] = 0
			default:
				model = ck.CKR_PIN_INCORRECT
				failures[u.user]++
				zeroized = u.user == ck.CKU_SO && failures[u.user] == 10
			}
			s := open(t, h, 0, true)
			want(t, h, model, &p11.Login{Session: s, User: u.user, PIN: []byte(pin)})
			if zeroized && model == ck.CKR_PIN_INCORRECT {
				want(t, h, ck.CKR_SESSION_HANDLE_INVALID, &p11.CloseSession{Session: s})
				continue
			}
			must(t, h, &p11.CloseSession{Session: s})
		}
	}
}

// TestLockedOfficerIsReset: the keys stay when the SO sets a new PIN.
func TestLockedOfficerIsReset(t *testing.T) {
	h := newTestHSM(t)
	s := open(t, h, 0, true)
	for range 10 {
		want(t, h, ck.CKR_PIN_INCORRECT, &p11.Login{Session: s, User: ck.CKU_USER, PIN: []byte("wrong pin")})
	}
	want(t, h, ck.CKR_PIN_LOCKED, &p11.Login{Session: s, User: ck.CKU_USER, PIN: []byte(userPIN)})
	if f := must(t, h, &p11.GetTokenInfo{}).Flags; f&ck.CKF_USER_PIN_LOCKED == 0 {
		t.Errorf("token flags %#x", f)
	}
	must(t, h, &p11.Login{Session: s, User: ck.CKU_SO, PIN: []byte(soPIN)})
	must(t, h, &p11.ResetRole{Session: s, Role: p11.RoleCryptoOfficer, PIN: []byte("new pin")})
	must(t, h, &p11.Logout{Session: s})
	must(t, h, &p11.Login{Session: s, User: ck.CKU_USER, PIN: []byte("new pin")})
}

// TestKilledTriesCount: a process that dies between counting and clearing has
// used up a try, and the threshold holds all the same.
func TestKilledTriesCount(t *testing.T) {
	h := newTestHSM(t)
	p, err := h.partition(0)
	if err != nil {
		t.Fatal(err)
	}
	for range 10 { // ten processes that died before they looked at the PIN
		if _, err := h.countTry(t.Context(), p, p11.RolePartitionSO, len(soPIN)); err != nil {
			t.Fatal(err)
		}
	}
	s := open(t, h, 0, true)
	want(t, h, ck.CKR_PIN_LOCKED, &p11.Login{Session: s, User: ck.CKU_SO, PIN: []byte(soPIN)})
	if must(t, h, &p11.ListPartitions{}).Partitions[0].Initialized {
		t.Error("the partition was not zeroized")
	}
}

func TestHSMSOThreshold(t *testing.T) {
	h := newTestHost().process(t)
	must(t, h, &p11.InitHSM{Label: "hsm", PIN: []byte("hsm so pin")})
	s := open(t, h, p11.AdminSlot, true)
	must(t, h, &p11.Login{Session: s, User: ck.CKU_SO, PIN: []byte("hsm so pin")})
	p := must(t, h, &p11.CreatePartition{Session: s, Name: "p1"})
	initPartition(t, h, p.Slot)
	must(t, h, &p11.Logout{Session: s})
	want(t, h, ck.CKR_PIN_INCORRECT, &p11.Login{Session: s, User: ck.CKU_SO, PIN: []byte("wrong pin")})
	want(t, h, ck.CKR_PIN_INCORRECT, &p11.Login{Session: s, User: ck.CKU_SO, PIN: []byte("wrong pin")})
	if got := must(t, h, &p11.GetHSMInfo{}).SOAttemptsLeft; got != 1 {
		t.Errorf("%d tries left", got)
	}
	want(t, h, ck.CKR_SO_LOGIN_FAILURE_THRESHOLD, &p11.Login{Session: s, User: ck.CKU_SO, PIN: []byte("wrong pin")})
	info := must(t, h, &p11.GetHSMInfo{})
	if !info.Zeroized || info.Initialized || info.Partitions != 0 {
		t.Errorf("after the threshold: %+v", info)
	}
	err := h.store.View(t.Context(), func(tx store.Tx) error {
		for _, kind := range []store.Kind{kindRole, kindPublicObject, kindPrivateObject} {
			for _, space := range []store.Space{0, spaceOf(1)} {
				if n, err := tx.Count(space, kind); err != nil || n != 0 {
					t.Errorf("space %d has %d records of kind %d (%v)", space, n, kind, err)
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	must(t, h, &p11.InitHSM{Label: "hsm", PIN: []byte("hsm so pin")})
}

// TestZeroizeSurvivesInterruption: with the keys destroyed and the process
// dead, the next one deletes the rest.
func TestZeroizeSurvivesInterruption(t *testing.T) {
	host := newTestHost()
	h := host.process(t)
	initPartition(t, h, 0)
	s := open(t, h, 0, true)
	login(t, h, s)
	must(t, h, &p11.CreateObject{Session: s, Template: []ck.Attribute{
		ck.NewULong(ck.CKA_CLASS, ck.CKO_DATA), ck.NewBool(ck.CKA_TOKEN, true), ck.NewBool(ck.CKA_PRIVATE, true),
	}})
	err := h.store.Update(t.Context(), func(tx store.Tx) error {
		_, st, err := h.readPartition(tx, spaceOf(1))
		if err != nil {
			return err
		}
		return h.destroyKeys(tx, st)
	})
	if err != nil {
		t.Fatal(err)
	}
	next := host.process(t)
	if got := must(t, next, &p11.ListPartitions{}).Partitions[0]; got.Initialized || got.Objects != 0 {
		t.Errorf("after the restart: %+v", got)
	}
}

// TestLateWipeSparesNewContents: a process that is still deleting what was
// zeroized must not touch what another has put there since.
func TestLateWipeSparesNewContents(t *testing.T) {
	host := newTestHost()
	slow, fast := host.process(t), host.process(t)
	initPartition(t, slow, 0)
	if err := slow.zeroizePartition(t.Context(), spaceOf(1), false); err != nil {
		t.Fatal(err)
	}
	old := slow.parts[0].stateNow().Epoch
	initPartition(t, fast, 0)
	s := open(t, fast, 0, true)
	login(t, fast, s)
	must(t, fast, &p11.CreateObject{Session: s, Template: []ck.Attribute{
		ck.NewULong(ck.CKA_CLASS, ck.CKO_DATA), ck.NewBool(ck.CKA_TOKEN, true), ck.NewBool(ck.CKA_PRIVATE, true),
	}})
	if err := slow.wipe(t.Context(), spaceOf(1), old); err != nil { // as if it had been at it all the time
		t.Fatal(err)
	}
	if got := must(t, fast, &p11.ListPartitions{}).Partitions[0]; !got.Initialized || got.Objects != 1 {
		t.Errorf("after the late wipe: %+v", got)
	}
}

// TestWipeOfManyObjects: more than one batch.
func TestWipeOfManyObjects(t *testing.T) {
	h := newTestHSM(t)
	s := open(t, h, 0, true)
	login(t, h, s)
	for range 1003 {
		must(t, h, &p11.CreateObject{Session: s, Template: []ck.Attribute{
			ck.NewULong(ck.CKA_CLASS, ck.CKO_DATA), ck.NewBool(ck.CKA_TOKEN, true),
		}})
	}
	must(t, h, &p11.CloseSession{Session: s})
	must(t, h, &p11.InitToken{Slot: 0, PIN: []byte(soPIN), Label: "again"})
	if got := must(t, h, &p11.ListPartitions{}).Partitions[0]; !got.Initialized || got.Objects != 0 {
		t.Errorf("after C_InitToken: %+v", got)
	}
}
