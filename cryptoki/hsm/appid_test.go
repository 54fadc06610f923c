package hsm

import (
	"testing"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/cryptoki/p11"
)

// loggedIn reports whether a session has the rights of a user.
func loggedIn(t *testing.T, h *HSM, s ck.SessionHandle) bool {
	t.Helper()
	return must(t, h, &p11.GetSessionInfo{Session: s}).State == ck.CKS_RW_USER_FUNCTIONS
}

func TestApplicationIDsKeepLogins(t *testing.T) {
	host := newTestHost()
	h := host.process(t)
	initPartition(t, h, 0)
	id := p11.AppID{1, 2, 3}

	// The process that logs in, and ends.
	must(t, h, &p11.SetAppID{ID: id})
	must(t, h, &p11.OpenAppID{Slot: 0, ID: id})
	want(t, h, ck.CKR_ACCESS_ID_ALREADY_EXISTS, &p11.OpenAppID{Slot: 0, ID: id})
	s := open(t, h, 0, true)
	if loggedIn(t, h, s) {
		t.Fatal("logged in before C_Login")
	}
	login(t, h, s)
	must(t, h, &p11.CreateObject{Session: s, Template: []ck.Attribute{
		ck.NewULong(ck.CKA_CLASS, uint64(ck.CKO_DATA)), ck.NewBool(ck.CKA_TOKEN, true), ck.NewBool(ck.CKA_PRIVATE, true),
	}})
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}

	// One that sets the same id is logged in, one with an id of its own is not.
	same, other := host.process(t), host.process(t)
	must(t, same, &p11.SetAppID{ID: id})
	s1, s2 := open(t, same, 0, true), open(t, other, 0, true)
	if !loggedIn(t, same, s1) || loggedIn(t, other, s2) {
		t.Fatal("the wrong process is logged in")
	}
	must(t, same, &p11.FindObjectsInit{Session: s1, Template: nil})
	if n := len(must(t, same, &p11.FindObjects{Session: s1, Max: 100}).Objects); n == 0 {
		t.Error("the login opens no objects")
	}
	must(t, same, &p11.FindObjectsFinal{Session: s1})
	want(t, same, ck.CKR_USER_ALREADY_LOGGED_IN, &p11.Login{Session: s1, User: ck.CKU_USER, PIN: []byte(userPIN)})

	// Logging out ends it everywhere, and the id stays open for another login.
	third := host.process(t)
	must(t, third, &p11.SetAppID{ID: id})
	s3 := open(t, third, 0, true)
	must(t, same, &p11.Logout{Session: s1})
	if loggedIn(t, third, s3) {
		t.Error("still logged in where another process logged out")
	}
	login(t, third, s3)
	must(t, same, &p11.CloseSession{Session: s1})
	if s1 = open(t, same, 0, true); !loggedIn(t, same, s1) {
		t.Error("the second login is not shared")
	}

	// Closing the id ends the logins, and is refused for one that is not open.
	must(t, other, &p11.CloseAppID{Slot: 0, ID: id})
	want(t, other, ck.CKR_ACCESS_ID_INVALID, &p11.CloseAppID{Slot: 0, ID: id})
	if loggedIn(t, same, s1) || loggedIn(t, third, s3) {
		t.Error("logged in under an id that was closed")
	}
	login(t, third, s3)
	must(t, same, &p11.CloseSession{Session: s1})
	if s1 = open(t, same, 0, true); loggedIn(t, same, s1) {
		t.Error("the login of an id that is not open is shared")
	}
}

func TestRestartEndsAllSessions(t *testing.T) {
	host := newTestHost()
	h, other := host.process(t), host.process(t)
	initPartition(t, h, 0)
	id := p11.AppID{9}
	for _, each := range []*HSM{h, other} {
		must(t, each, &p11.SetAppID{ID: id})
	}
	must(t, h, &p11.OpenAppID{Slot: 0, ID: id})
	s1, s2 := open(t, h, 0, true), open(t, other, 0, true)
	login(t, h, s1)
	must(t, other, &p11.RestartSlot{Slot: 0})
	want(t, h, ck.CKR_SESSION_HANDLE_INVALID, &p11.GetSessionInfo{Session: s1})
	want(t, other, ck.CKR_SESSION_HANDLE_INVALID, &p11.GetSessionInfo{Session: s2})
	if s1 = open(t, h, 0, true); loggedIn(t, h, s1) {
		t.Error("logged in after a restart")
	}
	login(t, h, s1)
	want(t, h, ck.CKR_SLOT_ID_INVALID, &p11.RestartSlot{Slot: 77})
}

// What destroys the keys of a partition ends the logins to it.
func TestInitialisingClosesApplicationIDs(t *testing.T) {
	h := newTestHSM(t)
	id := p11.AppID{5}
	must(t, h, &p11.SetAppID{ID: id})
	must(t, h, &p11.OpenAppID{Slot: 0, ID: id})
	s := open(t, h, 0, true)
	login(t, h, s)
	must(t, h, &p11.CloseSession{Session: s})
	initPartition(t, h, 0)
	if s = open(t, h, 0, true); loggedIn(t, h, s) {
		t.Error("logged in to a partition that was initialised anew")
	}
	want(t, h, ck.CKR_ACCESS_ID_INVALID, &p11.CloseAppID{Slot: 0, ID: id})
}

func TestProcessesHaveIDsOfTheirOwn(t *testing.T) {
	host := newTestHost()
	a, b := host.process(t), host.process(t)
	idOf := func(h *HSM) p11.AppID { return must(t, h, &p11.GetAppID{}).ID }
	if idOf(a) == idOf(b) || idOf(a) == (p11.AppID{}) {
		t.Error("two processes with one id")
	}
	before := idOf(a)
	must(t, a, &p11.SetAppID{Random: true})
	if idOf(a) == before {
		t.Error("the random id is the old one")
	}
}
