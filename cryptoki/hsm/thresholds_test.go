package hsm

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/cryptoki/p11"
	"github.com/perilune/perilune/store"
)

// labHost is a place with an HSM of some profile: HSM SO, Auditor, and one
// partition with its SO, Crypto Officer and Crypto User, who have set their own
// PINs, and a private key.
type labHost struct {
	*testHost
	t   *testing.T
	now time.Time
	key ck.ObjectHandle
}

func newLab(t *testing.T, profile string) *labHost {
	t.Helper()
	lab := &labHost{testHost: newTestHost(), t: t, now: time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)}
	b := &rightsBench{t: t}
	h := lab.process()
	b.makeHSM(h, profile)
	b.makeRoles(h, profile)
	s := lab.login(h, p11.RoleCryptoOfficer)
	lab.key = b.aes(h, s)
	must(t, h, &p11.CloseSession{Session: s})
	return lab
}

// process is one more process, with the lab's clock.
func (lab *labHost) process() *HSM {
	lab.t.Helper()
	h := lab.testHost.process(lab.t)
	h.opts.Now = func() time.Time { return lab.now }
	return h
}

func slotOfRole(role p11.Role) ck.SlotID {
	if roleTable[role].admin {
		return p11.AdminSlot
	}
	return 0
}

// login logs a role in on a session of its own.
func (lab *labHost) login(h *HSM, role p11.Role) ck.SessionHandle {
	lab.t.Helper()
	s := open(lab.t, h, slotOfRole(role), true)
	must(lab.t, h, &p11.Login{Session: s, User: role.User(), PIN: rightsPIN(role)})
	return s
}

// try logs a role in with a PIN, wants an answer, and leaves nothing behind.
func (lab *labHost) try(h *HSM, role p11.Role, pin string, rv ck.RV) {
	lab.t.Helper()
	s := open(lab.t, h, slotOfRole(role), true)
	want(lab.t, h, rv, &p11.Login{Session: s, User: role.User(), PIN: []byte(pin)})
	_, _ = p11.Call(context.Background(), h, &p11.CloseSession{Session: s}) // which may have gone
}

func (lab *labHost) info(h *HSM, role p11.Role) p11.RoleInfo {
	lab.t.Helper()
	return roleInfo(lab.t, h, slotOfRole(role), role)
}

const wrongPIN = "a wrong pin"

// TestLastTries: what each role can bear, what the last try and later ones
// answer, and that a right PIN before the last begins the count anew.
func TestLastTries(t *testing.T) {
	for _, c := range []struct {
		role        p11.Role
		tries       int
		last, after ck.RV
	}{
		{p11.RoleHSMSO, 3, ck.CKR_SO_LOGIN_FAILURE_THRESHOLD, ck.CKR_USER_PIN_NOT_INITIALIZED},
		{p11.RoleAuditor, 10, ck.CKR_AUDIT_LOGIN_FAILURE_THRESHOLD, ck.CKR_AUDIT_LOGIN_TIMEOUT_IN_PROGRESS},
		{p11.RolePartitionSO, 10, ck.CKR_PIN_INCORRECT, ck.CKR_USER_PIN_NOT_INITIALIZED},
		{p11.RoleCryptoOfficer, 10, ck.CKR_PIN_INCORRECT, ck.CKR_PIN_LOCKED},
		{p11.RoleLimitedCryptoOfficer, 10, ck.CKR_PIN_INCORRECT, ck.CKR_PIN_LOCKED},
		{p11.RoleCryptoUser, 10, ck.CKR_PIN_INCORRECT, ck.CKR_PIN_LOCKED},
	} {
		lab := newLab(t, profileStandard)
		h, other := lab.process(), lab.process()
		for i := range c.tries - 1 {
			lab.try([]*HSM{h, other}[i%2], c.role, wrongPIN, ck.CKR_PIN_INCORRECT)
		}
		if got := lab.info(other, c.role); got.AttemptsLeft != 1 || got.Threshold != c.tries || got.Locked {
			t.Errorf("%v before the last try: %+v", c.role, got)
		}
		lab.try(h, c.role, rightsPINs[c.role], ck.CKR_OK)
		if got := lab.info(other, c.role).AttemptsLeft; got != c.tries {
			t.Errorf("%v after a right PIN has %d tries", c.role, got)
		}
		for range c.tries - 1 {
			lab.try(h, c.role, wrongPIN, ck.CKR_PIN_INCORRECT)
		}
		lab.try(other, c.role, wrongPIN, c.last)
		for _, pin := range []string{wrongPIN, rightsPINs[c.role]} {
			lab.try(h, c.role, pin, c.after)
		}
	}
}

// TestWhatCounts: a PIN of a length that the role's cannot have, and none at
// all, do not count; a wrong old PIN of C_SetPIN does.
func TestWhatCounts(t *testing.T) {
	for profile, badLength := range map[string]ck.RV{profileStandard: ck.CKR_PIN_INCORRECT, profileLuna72: ck.CKR_PIN_LEN_RANGE} {
		lab := newLab(t, profile)
		h := lab.process()
		for _, pin := range []string{"", "abc", strings.Repeat("x", 256)} {
			lab.try(h, p11.RoleCryptoOfficer, pin, badLength)
		}
		if profile == profileLuna72 {
			lab.try(h, p11.RoleCryptoOfficer, "6 char", badLength)
		}
		if got := lab.info(h, p11.RoleCryptoOfficer).AttemptsLeft; got != 10 {
			t.Errorf("%s: after PINs of wrong lengths %d tries are left", profile, got)
		}
		s := lab.login(h, p11.RoleCryptoOfficer)
		for range 9 {
			want(t, h, ck.CKR_PIN_INCORRECT, &p11.SetPIN{Session: s, Old: []byte(wrongPIN), New: []byte("new pin 1")})
		}
		if got := lab.info(h, p11.RoleCryptoOfficer).AttemptsLeft; got != 1 {
			t.Errorf("%s: after 9 wrong old PINs %d tries are left", profile, got)
		}
		want(t, h, ck.CKR_PIN_LEN_RANGE, &p11.SetPIN{Session: s, Old: []byte(wrongPIN), New: []byte("new")}) // not even tried
		must(t, h, &p11.SetPIN{Session: s, Old: rightsPIN(p11.RoleCryptoOfficer), New: []byte("new pin 1")})
		if got := lab.info(h, p11.RoleCryptoOfficer).AttemptsLeft; got != 10 {
			t.Errorf("%s: after a change %d tries are left", profile, got)
		}
	}
}

// TestLastTryOfSetPIN: the session that zeroizes its own partition, or HSM, ends
// with it.
func TestLastTryOfSetPIN(t *testing.T) {
	lab := newLab(t, profileStandard)
	h := lab.process()
	so := lab.login(h, p11.RolePartitionSO)
	for range 10 {
		want(t, h, ck.CKR_PIN_INCORRECT, &p11.SetPIN{Session: so, Old: []byte(wrongPIN), New: []byte("new pin 1")})
	}
	want(t, h, ck.CKR_SESSION_HANDLE_INVALID, &p11.GetSessionInfo{Session: so})
	hsm := lab.login(h, p11.RoleHSMSO)
	set := &p11.SetPIN{Session: hsm, Old: []byte(wrongPIN), New: []byte("new pin 1")}
	for range 2 {
		want(t, h, ck.CKR_PIN_INCORRECT, set)
	}
	_, err := p11.Call(t.Context(), h, set)
	var r *p11.Refusal
	if !errors.As(err, &r) || r.Code != ck.CKR_SO_LOGIN_FAILURE_THRESHOLD || r.Rule != "so-threshold" {
		t.Errorf("the last try of the HSM SO: %+v", err)
	}
	want(t, h, ck.CKR_SESSION_HANDLE_INVALID, &p11.GetSessionInfo{Session: hsm})
}

// TestAuditorPause: the Auditor unlocks by itself after ten minutes, and a clock
// that is set back makes them no more than ten minutes from the next try.
func TestAuditorPause(t *testing.T) {
	lab := newLab(t, profileLuna72)
	h, other := lab.process(), lab.process()
	lock := func() {
		for range 9 {
			lab.try(h, p11.RoleAuditor, wrongPIN, ck.CKR_PIN_INCORRECT)
		}
		lab.try(h, p11.RoleAuditor, wrongPIN, ck.CKR_AUDIT_LOGIN_FAILURE_THRESHOLD)
	}
	lock()
	if got := lab.info(other, p11.RoleAuditor); !got.Locked || got.AttemptsLeft != 0 || got.LockedUntil != "2026-11-21T12:10:00Z" {
		t.Errorf("locked: %+v", got)
	}
	lab.now = lab.now.Add(10*time.Minute - time.Second)
	lab.try(other, p11.RoleAuditor, rightsPINs[p11.RoleAuditor], ck.CKR_AUDIT_LOGIN_TIMEOUT_IN_PROGRESS)
	lab.now = lab.now.Add(time.Second)
	if got := lab.info(other, p11.RoleAuditor); got.Locked || got.AttemptsLeft != 10 {
		t.Errorf("the pause is over: %+v", got)
	}
	lab.try(other, p11.RoleAuditor, wrongPIN, ck.CKR_PIN_INCORRECT)
	lab.try(other, p11.RoleAuditor, rightsPINs[p11.RoleAuditor], ck.CKR_OK)

	lock()
	lab.now = lab.now.Add(-48 * time.Hour)
	lab.try(h, p11.RoleAuditor, rightsPINs[p11.RoleAuditor], ck.CKR_AUDIT_LOGIN_TIMEOUT_IN_PROGRESS)
	lab.now = lab.now.Add(9 * time.Minute)
	lab.try(h, p11.RoleAuditor, rightsPINs[p11.RoleAuditor], ck.CKR_AUDIT_LOGIN_TIMEOUT_IN_PROGRESS)
	lab.now = lab.now.Add(time.Minute)
	lab.try(h, p11.RoleAuditor, rightsPINs[p11.RoleAuditor], ck.CKR_OK)

	s := lab.login(h, p11.RoleAuditor)
	must(t, h, &p11.SetPIN{Session: s, Old: rightsPIN(p11.RoleAuditor), New: []byte("auditor pin 2")})
	if got := must(t, h, &p11.GetSessionInfo{Session: s}).State; got != ck.CKS_RW_AUDIT_FUNCTIONS {
		t.Errorf("the Auditor's session has state %#x", got)
	}
}

// TestThresholdIsPolicy20: the partition says how many tries its Crypto roles
// have. A lower number leaves at least one to who has used up more, and a
// higher one unlocks nobody.
func TestThresholdIsPolicy20(t *testing.T) {
	lab := newLab(t, profileStandard)
	h := lab.process()
	set := func(n uint64) {
		changeMeta(t, h, func(m *metaState) { m.parts[0].Policies = map[uint64]uint64{policyMaxFailedLogins: n} })
	}
	for range 5 {
		lab.try(h, p11.RoleCryptoUser, wrongPIN, ck.CKR_PIN_INCORRECT)
	}
	set(2)
	if got := lab.info(h, p11.RoleCryptoUser); got.AttemptsLeft != 1 || got.Threshold != 2 {
		t.Errorf("with a lower threshold: %+v", got)
	}
	lab.try(h, p11.RoleCryptoUser, rightsPINs[p11.RoleCryptoUser], ck.CKR_OK)
	lab.try(h, p11.RoleCryptoUser, wrongPIN, ck.CKR_PIN_INCORRECT)
	lab.try(h, p11.RoleCryptoUser, wrongPIN, ck.CKR_PIN_INCORRECT)
	set(10)
	lab.try(h, p11.RoleCryptoUser, rightsPINs[p11.RoleCryptoUser], ck.CKR_PIN_LOCKED)

	set(1)
	if f := must(t, h, &p11.GetTokenInfo{}).Flags; f&ck.CKF_USER_PIN_FINAL_TRY == 0 || f&ck.CKF_USER_PIN_COUNT_LOW != 0 {
		t.Errorf("with one try and none used: flags %#x", f)
	}
}

// TestCryptoOfficerLocksAll: with the officer locked nobody gets at the keys;
// when the Partition SO has reset its PIN everybody does, each with his own
// count.
func TestCryptoOfficerLocksAll(t *testing.T) {
	lab := newLab(t, profileStandard)
	h := lab.process()
	for range 10 {
		lab.try(h, p11.RoleCryptoOfficer, wrongPIN, ck.CKR_PIN_INCORRECT)
	}
	users := []p11.Role{p11.RoleCryptoUser, p11.RoleLimitedCryptoOfficer}
	for _, role := range users {
		lab.try(h, role, rightsPINs[role], ck.CKR_PIN_LOCKED)
		if got := lab.info(h, role); !got.Locked || got.AttemptsLeft != 10 {
			t.Errorf("%v: %+v", role, got)
		}
	}
	s := lab.login(h, p11.RolePartitionSO)
	must(t, h, &p11.ResetRole{Session: s, Role: p11.RoleCryptoOfficer, PIN: rightsPIN(p11.RoleCryptoOfficer)})
	must(t, h, &p11.CloseSession{Session: s})
	for _, role := range append(users, p11.RoleCryptoOfficer) {
		s := lab.login(h, role)
		must(t, h, &p11.Begin{Session: s, Op: p11.OpEncrypt, Mechanism: rightsWrap, Key: lab.key})
		must(t, h, &p11.CloseSession{Session: s})
	}

	for range 10 {
		lab.try(h, p11.RoleCryptoUser, wrongPIN, ck.CKR_PIN_INCORRECT)
	}
	lab.try(h, p11.RoleLimitedCryptoOfficer, rightsPINs[p11.RoleLimitedCryptoOfficer], ck.CKR_OK)
	s = lab.login(h, p11.RoleCryptoOfficer)
	must(t, h, &p11.ResetRole{Session: s, Role: p11.RoleCryptoUser, PIN: []byte("user pin 2")})
	must(t, h, &p11.CloseSession{Session: s})
	lab.try(h, p11.RoleCryptoUser, "user pin 2", ck.CKR_OK)
}

// holders are the roles of the lab's partition that have a wrap of its key.
func holders(t *testing.T, h *HSM) (list []p11.Role) {
	t.Helper()
	roles, err := h.viewRoles(t.Context(), spaceOf(1))
	if err != nil {
		t.Fatal(err)
	}
	for role := p11.RoleNone; int(role) < p11.NumRoles; role++ {
		if r := roles[role]; r != nil && len(r.Wrap) > 0 {
			list = append(list, role)
		}
	}
	return list
}

func wantHolders(t *testing.T, h *HSM, want ...p11.Role) {
	t.Helper()
	got := holders(t, h)
	same := len(got) == len(want)
	for i := range got {
		same = same && got[i] == want[i]
	}
	if !same {
		t.Errorf("the partition key is held by %v, not %v", got, want)
	}
}

// TestNobodyResetsTheOfficer: without policy 15 the Partition SO has no way to
// the keys once there is a Crypto Officer, and a locked officer has none either.
func TestNobodyResetsTheOfficer(t *testing.T) {
	lab := newLab(t, profileLuna72)
	h := lab.process()
	wantHolders(t, h, p11.RoleCryptoOfficer, p11.RoleCryptoUser)
	s := lab.login(h, p11.RolePartitionSO)
	want(t, h, ck.CKR_OPERATION_NOT_ALLOWED, &p11.ResetRole{Session: s, Role: p11.RoleCryptoOfficer, PIN: []byte("officer pin 2")})
	want(t, h, ck.CKR_OPERATION_NOT_ALLOWED, &p11.InitPIN{Session: s, PIN: []byte("officer pin 2")})
	must(t, h, &p11.SetPIN{Session: s, Old: rightsPIN(p11.RolePartitionSO), New: rightsPIN(p11.RolePartitionSO)})
	wantHolders(t, h, p11.RoleCryptoOfficer, p11.RoleCryptoUser)
	must(t, h, &p11.CloseSession{Session: s})

	for range 10 {
		lab.try(h, p11.RoleCryptoOfficer, wrongPIN, ck.CKR_PIN_INCORRECT)
	}
	wantHolders(t, h)
	lab.try(h, p11.RoleCryptoOfficer, rightsPINs[p11.RoleCryptoOfficer], ck.CKR_PIN_LOCKED)
	lab.try(h, p11.RoleCryptoUser, rightsPINs[p11.RoleCryptoUser], ck.CKR_PIN_LOCKED)
	s = lab.login(h, p11.RolePartitionSO)
	want(t, h, ck.CKR_OPERATION_NOT_ALLOWED, &p11.ResetRole{Session: s, Role: p11.RoleCryptoOfficer, PIN: []byte("officer pin 2")})
	must(t, h, &p11.CloseSession{Session: s})

	// Only another initialisation helps, and brings no key back.
	must(t, h, &p11.InitToken{PIN: rightsPIN(p11.RolePartitionSO), Label: "again"})
	s = lab.login(h, p11.RolePartitionSO)
	must(t, h, &p11.InitPIN{Session: s, PIN: rightsPIN(p11.RoleCryptoOfficer)})
	if n := must(t, h, &p11.ListPartitions{}).Partitions[0].Objects; n != 0 {
		t.Errorf("%d objects are left", n)
	}
}

// TestSOKeyIsTaken: from the record of the Partition SO and from the memory of
// every process in which it is logged in.
func TestSOKeyIsTaken(t *testing.T) {
	lab := newLab(t, profileLuna72)
	h, other := lab.process(), lab.process()
	must(t, h, &p11.InitToken{PIN: rightsPIN(p11.RolePartitionSO), Label: "again"})
	wantHolders(t, h, p11.RolePartitionSO)
	s, o := lab.login(h, p11.RolePartitionSO), lab.login(other, p11.RolePartitionSO)
	must(t, h, &p11.InitRole{Session: s, Role: p11.RoleCryptoOfficer, PIN: rightsPIN(p11.RoleCryptoOfficer)})
	must(t, other, &p11.GetSessionInfo{Session: o})
	for i, process := range []*HSM{h, other} {
		if process.parts[0].soHolds() {
			t.Errorf("process %d still has the key in memory", i)
		}
	}
	wantHolders(t, h, p11.RoleCryptoOfficer)

	// An HSM that gets the profile later treats its old partitions alike.
	std := newTestHSM(t)
	wantHolders(t, std, p11.RolePartitionSO, p11.RoleCryptoOfficer)
	must(t, std, &p11.InitHSM{Label: "later", PIN: []byte("hsm so pin"), Profile: profileLuna72})
	wantHolders(t, std, p11.RoleCryptoOfficer)
}

// TestKilledInTheLastTry: who kills the process between the counting and the
// answer gets no more than who waits for the answer.
func TestKilledInTheLastTry(t *testing.T) {
	killed := func(t *testing.T, lab *labHost, role p11.Role) *HSM {
		h := lab.process()
		p, err := h.partition(slotOfRole(role))
		if err != nil {
			t.Fatal(err)
		}
		for range p.threshold(role) {
			if _, err := h.countTry(t.Context(), p, role, len(rightsPINs[role])); err != nil {
				t.Fatal(err)
			}
		}
		return lab.process() // the next one
	}
	t.Run("HSM SO", func(t *testing.T) {
		lab := newLab(t, profileStandard)
		h := killed(t, lab, p11.RoleHSMSO)
		if info := must(t, h, &p11.GetHSMInfo{}); !info.Zeroized || info.ZeroizedByHand || info.Partitions != 0 {
			t.Errorf("%+v", info)
		}
	})
	t.Run("Partition SO", func(t *testing.T) {
		lab := newLab(t, profileStandard)
		h := killed(t, lab, p11.RolePartitionSO)
		if p := must(t, h, &p11.ListPartitions{}).Partitions[0]; p.Initialized || p.Objects != 0 {
			t.Errorf("%+v", p)
		}
	})
	t.Run("Crypto Officer", func(t *testing.T) {
		lab := newLab(t, profileLuna72)
		h := killed(t, lab, p11.RoleCryptoOfficer)
		wantHolders(t, h)
		lab.try(h, p11.RoleCryptoOfficer, rightsPINs[p11.RoleCryptoOfficer], ck.CKR_PIN_LOCKED)
	})
	t.Run("Auditor", func(t *testing.T) {
		lab := newLab(t, profileStandard)
		h := killed(t, lab, p11.RoleAuditor)
		lab.try(h, p11.RoleAuditor, rightsPINs[p11.RoleAuditor], ck.CKR_AUDIT_LOGIN_TIMEOUT_IN_PROGRESS)
	})
	t.Run("in another try", func(t *testing.T) { // the right PIN clears that
		lab := newLab(t, profileStandard)
		h := lab.process()
		p, _ := h.partition(0)
		if _, err := h.countTry(t.Context(), p, p11.RoleCryptoUser, 8); err != nil {
			t.Fatal(err)
		}
		next := lab.process()
		if got := lab.info(next, p11.RoleCryptoUser).AttemptsLeft; got != 9 {
			t.Errorf("%d tries are left", got)
		}
		lab.try(next, p11.RoleCryptoUser, rightsPINs[p11.RoleCryptoUser], ck.CKR_OK)
	})
}

// TestTokenFlags: PKCS#11 v3.1 table 8, for the Crypto Officer and the SO.
func TestTokenFlags(t *testing.T) {
	lab := newLab(t, profileStandard)
	h := lab.process()
	flags := func(slot ck.SlotID, mask, want ck.Flags) {
		t.Helper()
		if got := must(t, h, &p11.GetTokenInfo{Slot: slot}).Flags & mask; got != want {
			t.Errorf("slot %d: flags %#x, want %#x", slot, got, want)
		}
	}
	const (
		user = ck.CKF_USER_PIN_COUNT_LOW | ck.CKF_USER_PIN_FINAL_TRY | ck.CKF_USER_PIN_LOCKED | ck.CKF_USER_PIN_TO_BE_CHANGED
		so   = ck.CKF_SO_PIN_COUNT_LOW | ck.CKF_SO_PIN_FINAL_TRY | ck.CKF_SO_PIN_LOCKED | ck.CKF_SO_PIN_TO_BE_CHANGED
	)
	flags(0, user|so, 0)
	flags(p11.AdminSlot, user|so, 0)
	lab.try(h, p11.RoleCryptoOfficer, wrongPIN, ck.CKR_PIN_INCORRECT)
	lab.try(h, p11.RoleHSMSO, wrongPIN, ck.CKR_PIN_INCORRECT)
	flags(0, user|so, ck.CKF_USER_PIN_COUNT_LOW)
	flags(p11.AdminSlot, user|so, ck.CKF_SO_PIN_COUNT_LOW)
	for range 8 {
		lab.try(h, p11.RoleCryptoOfficer, wrongPIN, ck.CKR_PIN_INCORRECT)
		lab.try(h, p11.RolePartitionSO, wrongPIN, ck.CKR_PIN_INCORRECT)
	}
	lab.try(h, p11.RolePartitionSO, wrongPIN, ck.CKR_PIN_INCORRECT)
	flags(0, user|so, ck.CKF_USER_PIN_COUNT_LOW|ck.CKF_USER_PIN_FINAL_TRY|ck.CKF_SO_PIN_COUNT_LOW|ck.CKF_SO_PIN_FINAL_TRY)
	lab.try(h, p11.RoleCryptoOfficer, wrongPIN, ck.CKR_PIN_INCORRECT)
	flags(0, user, ck.CKF_USER_PIN_LOCKED)
}

// TestForcedChange: who got its PIN from another role logs in, and then changes
// it before it does anything else.
func TestForcedChange(t *testing.T) {
	lab := newLab(t, profileLuna72)
	h := lab.process()
	s := lab.login(h, p11.RoleCryptoOfficer)
	must(t, h, &p11.ResetRole{Session: s, Role: p11.RoleCryptoUser, PIN: rightsPIN(p11.RoleCryptoUser)})
	must(t, h, &p11.CloseSession{Session: s})

	next := lab.process() // it survives the process
	if !lab.info(next, p11.RoleCryptoUser).MustChange {
		t.Error("the role does not say that it must change its PIN")
	}
	u := lab.login(next, p11.RoleCryptoUser)
	begin := &p11.Begin{Session: u, Op: p11.OpEncrypt, Mechanism: rightsWrap, Key: lab.key}
	want(t, next, ck.CKR_PIN_EXPIRED, begin)
	must(t, next, &p11.GenerateRandom{Session: u, Buf: make([]byte, 8)})
	if got := must(t, next, &p11.GetSessionInfo{Session: u}).State; got != ck.CKS_RW_USER_FUNCTIONS {
		t.Errorf("session state %v", got)
	}
	must(t, next, &p11.SetPIN{Session: u, Old: rightsPIN(p11.RoleCryptoUser), New: rightsPIN(p11.RoleCryptoUser)}) // the same will do
	must(t, next, begin)
	if lab.info(next, p11.RoleCryptoUser).MustChange {
		t.Error("it still must")
	}

	// The officer of a new partition, and not the SOs, who chose their PINs.
	must(t, h, &p11.InitToken{PIN: rightsPIN(p11.RolePartitionSO), Label: "again"})
	s = lab.login(h, p11.RolePartitionSO)
	must(t, h, &p11.InitPIN{Session: s, PIN: rightsPIN(p11.RoleCryptoOfficer)})
	must(t, h, &p11.CloseSession{Session: s})
	if f := must(t, h, &p11.GetTokenInfo{}).Flags; f&ck.CKF_USER_PIN_TO_BE_CHANGED == 0 || f&ck.CKF_SO_PIN_TO_BE_CHANGED != 0 {
		t.Errorf("token flags %#x", f)
	}
	c := lab.login(h, p11.RoleCryptoOfficer)
	want(t, h, ck.CKR_PIN_EXPIRED, &p11.FindObjectsInit{Session: c})
	must(t, h, &p11.Logout{Session: c})
	must(t, h, &p11.FindObjectsInit{Session: c}) // as nobody
	must(t, h, &p11.CloseSession{Session: c})

	// C_SetPIN without a login is the officer's, too.
	c = open(t, h, 0, true)
	must(t, h, &p11.SetPIN{Session: c, Old: rightsPIN(p11.RoleCryptoOfficer), New: []byte("officer pin 2")})
	must(t, h, &p11.Login{Session: c, User: ck.CKU_USER, PIN: []byte("officer pin 2")})
	must(t, h, &p11.FindObjectsInit{Session: c})
	if f := must(t, h, &p11.GetTokenInfo{}).Flags; f&ck.CKF_USER_PIN_TO_BE_CHANGED != 0 {
		t.Errorf("token flags %#x", f)
	}
}

// TestPINRules: lengths and characters of PINs by profile.
func TestPINRules(t *testing.T) {
	allowed := "aZ09 !#$%'*+,-./:=?@[]^_{}~"
	for _, c := range []struct {
		profile, pin   string
		partition, hsm ck.RV // for a partition's role, and for the HSM SO
	}{
		{profileStandard, "123", ck.CKR_PIN_LEN_RANGE, ck.CKR_PIN_LEN_RANGE},
		{profileStandard, "1234", ck.CKR_OK, ck.CKR_OK},
		{profileStandard, " \x00\xff\"", ck.CKR_OK, ck.CKR_OK},
		{profileStandard, strings.Repeat("x", 255), ck.CKR_OK, ck.CKR_OK},
		{profileStandard, strings.Repeat("x", 256), ck.CKR_PIN_LEN_RANGE, ck.CKR_PIN_LEN_RANGE},
		{profileLuna72, "123456", ck.CKR_PIN_LEN_RANGE, ck.CKR_PIN_LEN_RANGE},
		{profileLuna72, "1234567", ck.CKR_OK, ck.CKR_PIN_LEN_RANGE},
		{profileLuna72, "12345678", ck.CKR_OK, ck.CKR_OK},
		{profileLuna72, allowed, ck.CKR_OK, ck.CKR_OK},
		{profileLuna72, " begins with a space", ck.CKR_PIN_INVALID, ck.CKR_PIN_INVALID},
		{profileLuna72, strings.Repeat("x", 255), ck.CKR_OK, ck.CKR_OK},
		{profileLuna72, strings.Repeat("x", 256), ck.CKR_PIN_LEN_RANGE, ck.CKR_PIN_LEN_RANGE},
	} {
		h := newTestHost().process(t)
		want(t, h, c.hsm, &p11.InitHSM{Label: "pins", PIN: []byte(c.pin), Profile: c.profile})
		lab := newLab(t, c.profile)
		h = lab.process()
		s := lab.login(h, p11.RoleCryptoUser)
		want(t, h, c.partition, &p11.SetPIN{Session: s, Old: rightsPIN(p11.RoleCryptoUser), New: []byte(c.pin)})
	}
	lab := newLab(t, profileLuna72)
	h := lab.process()
	s := lab.login(h, p11.RoleCryptoUser)
	for _, c := range "\"&;<>\\`|()\x7f\té" {
		want(t, h, ck.CKR_PIN_INVALID, &p11.SetPIN{Session: s, Old: rightsPIN(p11.RoleCryptoUser), New: []byte("12345678" + string(c))})
	}
	if info := must(t, h, &p11.GetTokenInfo{}); info.MinPinLen != 7 || info.MaxPinLen != 255 {
		t.Errorf("a PIN has %d to %d bytes", info.MinPinLen, info.MaxPinLen)
	}
}

// TestLabelRules: labels of the HSM and of partitions by profile.
func TestLabelRules(t *testing.T) {
	long := strings.Repeat("l", 40)
	for _, c := range []struct {
		profile, label string
		hsm, partition string // what they become; "!" for a refusal
	}{
		{profileStandard, "", "", ""},
		{profileStandard, "Größe \"?", "Größe \"?", "Größe \"?"},
		{profileStandard, "padded   ", "padded", "padded"},
		{profileStandard, long, "!", "!"},
		{profileStandard, "\xff", "!", "!"},
		{profileLuna72, "", "!", "!"},
		{profileLuna72, "my_hsm1", "my_hsm1", "my_hsm1"},
		{profileLuna72, "my hsm-1", "!", "my hsm-1"},
		{profileLuna72, " x", "!", "!"},
		{profileLuna72, "what?", "!", "!"},
		{profileLuna72, `"x"`, "!", "!"},
		{profileLuna72, long, long[:32], long[:32]},
	} {
		answer := map[bool]ck.RV{true: ck.CKR_ARGUMENTS_BAD}
		h := newTestHost().process(t)
		want(t, h, answer[c.hsm == "!"], &p11.InitHSM{Label: c.label, PIN: []byte("hsm so pin"), Profile: c.profile})
		if got := must(t, h, &p11.GetHSMInfo{}).Label; c.hsm != "!" && got != c.hsm {
			t.Errorf("%s: HSM label %q became %q", c.profile, c.label, got)
		}
		lab := newLab(t, c.profile)
		h = lab.process()
		want(t, h, answer[c.partition == "!"], &p11.InitToken{PIN: rightsPIN(p11.RolePartitionSO), Label: c.label})
		if got := must(t, h, &p11.GetTokenInfo{}).Label; c.partition != "!" && got != c.partition {
			t.Errorf("%s: partition label %q became %q", c.profile, c.label, got)
		}
	}
}

// TestLimitedOfficer: what it makes is its own, also after a restart, until
// somebody else copies it.
func TestLimitedOfficer(t *testing.T) {
	lab := newLab(t, profileStandard)
	h := lab.process()
	b := &rightsBench{t: t}
	s := lab.login(h, p11.RoleLimitedCryptoOfficer)
	mine := b.aes(h, s)
	madeBy := func(h *HSM, s ck.SessionHandle, o ck.ObjectHandle) bool {
		t.Helper()
		r, err := p11.Call(context.Background(), h, &p11.GetAttributeValue{Session: s, Object: o, Types: []ck.AttributeType{ck.CKA_MADE_BY}})
		if err != nil && ck.RVOf(err) != ck.CKR_ATTRIBUTE_TYPE_INVALID {
			t.Fatal(err)
		}
		v, _ := ck.ULong(r.Results[0].Value)
		return err == nil && ck.UserType(v) == ck.CKU_LIMITED_CRYPTO_OFFICER
	}
	if !madeBy(h, s, mine) || madeBy(h, s, lab.key) {
		t.Error("CKA_MADE_BY does not tell who made a key")
	}
	copied := must(t, h, &p11.CopyObject{Session: s, Object: lab.key, Template: tmpl(ck.CKA_LABEL, "copy")}).Object
	must(t, h, &p11.DestroyObject{Session: s, Object: copied})
	want(t, h, ck.CKR_ATTRIBUTE_READ_ONLY, &p11.CreateObject{Session: s, Template: tmpl(ck.CKA_CLASS, ck.CKO_DATA, ck.CKA_MADE_BY, 1)})
	must(t, h, &p11.CloseSession{Session: s})

	next := lab.process()
	s = lab.login(next, p11.RoleCryptoOfficer)
	taken := must(t, next, &p11.CopyObject{Session: s, Object: mine, Template: tmpl(ck.CKA_LABEL, "taken")}).Object
	must(t, next, &p11.CloseSession{Session: s})
	s = lab.login(next, p11.RoleLimitedCryptoOfficer)
	if madeBy(next, s, taken) {
		t.Error("the officer's copy belongs to the Limited Crypto Officer")
	}
	want(t, next, ck.CKR_USER_NOT_AUTHORIZED, &p11.DestroyObject{Session: s, Object: taken})
	must(t, next, &p11.DestroyObject{Session: s, Object: mine})
}

// TestEveryRoleLogsInWhereItBelongs, by the numbers of PKCS#11 and of devices.
func TestEveryRoleLogsInWhereItBelongs(t *testing.T) {
	lab := newLab(t, profileStandard)
	h := lab.process()
	for _, c := range []struct {
		slot  ck.SlotID
		user  ck.UserType
		role  p11.Role
		state ck.SessionState
	}{
		{0, 0, p11.RolePartitionSO, ck.CKS_RW_SO_FUNCTIONS},
		{0, 1, p11.RoleCryptoOfficer, ck.CKS_RW_USER_FUNCTIONS},
		{0, 0x80000001, p11.RoleCryptoUser, ck.CKS_RW_USER_FUNCTIONS},
		{0, 0x08000001, p11.RoleCryptoUser, ck.CKS_RW_USER_FUNCTIONS},
		{0, 0x80000003, p11.RoleLimitedCryptoOfficer, ck.CKS_RW_USER_FUNCTIONS},
		{0, 0x80000002, p11.RoleNone, 0},
		{0, 0xFFFFFFFF, p11.RoleNone, 0},
		{p11.AdminSlot, 0, p11.RoleHSMSO, ck.CKS_RW_SO_FUNCTIONS},
		{p11.AdminSlot, 0x80000002, p11.RoleAuditor, 0x90000001},
		{p11.AdminSlot, 1, p11.RoleNone, 0},
	} {
		s := open(t, h, c.slot, true)
		login := &p11.Login{Session: s, User: c.user, PIN: rightsPIN(c.role)}
		if c.role == p11.RoleNone {
			want(t, h, ck.CKR_USER_TYPE_INVALID, login)
		} else {
			must(t, h, login)
			if got := must(t, h, &p11.GetSessionInfo{Session: s}).State; got != c.state {
				t.Errorf("user type %#x: session state %#x, want %#x", c.user, got, c.state)
			}
		}
		must(t, h, &p11.CloseSession{Session: s})
	}
	lab = newLab(t, profileLuna72)
	lab.try(lab.process(), p11.RoleLimitedCryptoOfficer, "limited pin", ck.CKR_USER_TYPE_INVALID)
}

// destroyed counts the records of kinds that hold keys and objects.
func destroyed(t *testing.T, h *HSM, space store.Space) (n uint64) {
	t.Helper()
	err := h.store.View(t.Context(), func(tx store.Tx) error {
		for _, kind := range []store.Kind{kindRole, kindPublicObject, kindPrivateObject, kindAccess} {
			k, err := tx.Count(space, kind)
			if err != nil {
				return err
			}
			n += k
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}
