package hsm

import (
	"testing"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/cryptoki/p11"
)

// TestClearanceEnds: a session that did something a moment ago is refused as any
// other is, whatever took the right away.
func TestClearanceEnds(t *testing.T) {
	for name, c := range map[string]struct {
		change func(t *testing.T, h *HSM, s ck.SessionHandle, key ck.ObjectHandle)
		rv     ck.RV
	}{
		"nothing happened": {func(*testing.T, *HSM, ck.SessionHandle, ck.ObjectHandle) {}, ck.CKR_OK},
		"the key lost the attribute": {func(t *testing.T, h *HSM, s ck.SessionHandle, key ck.ObjectHandle) {
			must(t, h, &p11.SetAttributeValue{Session: s, Object: key, Template: tmpl(ck.CKA_SIGN, false)})
		}, ck.CKR_KEY_FUNCTION_NOT_PERMITTED},
		"the key got a limit that is used up": {func(t *testing.T, h *HSM, s ck.SessionHandle, key ck.ObjectHandle) {
			must(t, h, &p11.SetAttributeValue{Session: s, Object: key, Template: tmpl(ck.CKA_USAGE_LIMIT, uint64(1))})
			must(t, h, &p11.Begin{Session: s, Op: p11.OpSign, Mechanism: mech(ck.CKM_SHA256_HMAC), Key: key})
			must(t, h, &p11.Begin{Session: s, Op: p11.OpSign})
		}, ck.CKR_KEY_NOT_ACTIVE},
		"the key was destroyed": {func(t *testing.T, h *HSM, s ck.SessionHandle, key ck.ObjectHandle) {
			must(t, h, &p11.DestroyObject{Session: s, Object: key})
		}, ck.CKR_KEY_HANDLE_INVALID},
		"the role logged out": {func(t *testing.T, h *HSM, s ck.SessionHandle, key ck.ObjectHandle) {
			must(t, h, &p11.Logout{Session: s})
		}, ck.CKR_KEY_HANDLE_INVALID},
		"the Partition SO took over": {func(t *testing.T, h *HSM, s ck.SessionHandle, key ck.ObjectHandle) {
			must(t, h, &p11.Logout{Session: s})
			must(t, h, &p11.Login{Session: s, User: ck.CKU_SO, PIN: []byte(soPIN)})
		}, ck.CKR_USER_NOT_AUTHORIZED},
	} {
		for where, token := range map[string]bool{"token object": true, "session object": false} {
			t.Run(name+", "+where, func(t *testing.T) {
				h, s := officer(t)
				key := create(t, h, s, ck.CKA_CLASS, ck.CKO_SECRET_KEY, ck.CKA_KEY_TYPE, ck.CKK_GENERIC_SECRET, ck.CKA_VALUE, "a secret of some length",
					ck.CKA_SIGN, true, ck.CKA_TOKEN, token, ck.CKA_PRIVATE, true)
				begin := &p11.Begin{Session: s, Op: p11.OpSign, Mechanism: mech(ck.CKM_SHA256_HMAC), Key: key}
				sign := func(rv ck.RV) {
					t.Helper()
					want(t, h, rv, begin)
					if rv == ck.CKR_OK {
						must(t, h, &p11.Finish{Session: s, Op: p11.OpSign, Single: true, In: []byte("message"), Out: p11.Output{Buf: make([]byte, 32)}})
					}
				}
				sign(ck.CKR_OK)
				if mustSession(t, h, s).clear[p11.OpSign] == nil {
					t.Fatal("no clearance, so that this test is of no use")
				}
				sign(ck.CKR_OK)
				c.change(t, h, s, key)
				sign(c.rv)
			})
		}
	}
}

// TestNoClearance: where more is to be looked at than what is immutable, each
// time is like the first.
func TestNoClearance(t *testing.T) {
	h, s := officer(t)
	p := mustSession(t, h, s).part
	settings := *p.policies.Load()
	settings[policyDates] = 1
	p.policies.Store(&settings)
	for name, more := range map[string][]any{
		"dates":        {ck.CKA_END_DATE, "20991231"},
		"a limit":      {ck.CKA_USAGE_LIMIT, uint64(9)},
		"nothing more": nil,
	} {
		key := create(t, h, s, append([]any{ck.CKA_CLASS, ck.CKO_SECRET_KEY, ck.CKA_KEY_TYPE, ck.CKK_GENERIC_SECRET, ck.CKA_VALUE, "a secret of some length",
			ck.CKA_SIGN, true}, more...)...)
		ses := mustSession(t, h, s)
		ses.clear[p11.OpSign] = nil
		for range 2 {
			must(t, h, &p11.Begin{Session: s, Op: p11.OpSign, Mechanism: mech(ck.CKM_SHA256_HMAC), Key: key})
			must(t, h, &p11.Begin{Session: s, Op: p11.OpSign})
		}
		if got, want := ses.clear[p11.OpSign] != nil, more == nil; got != want {
			t.Errorf("%s: clearance %v", name, got)
		}
	}
}

// TestClearanceOfOtherProcess: what another process does to a key counts at the
// next call.
func TestClearanceOfOtherProcess(t *testing.T) {
	host := newTestHost()
	h, other := host.process(t), host.process(t)
	must(t, h, &p11.InitToken{PIN: []byte(soPIN), Label: "test"})
	so := open(t, h, 0, true)
	must(t, h, &p11.Login{Session: so, User: ck.CKU_SO, PIN: []byte(soPIN)})
	must(t, h, &p11.InitPIN{Session: so, PIN: []byte(userPIN)})
	must(t, h, &p11.CloseSession{Session: so})
	s, theirs := open(t, h, 0, true), open(t, other, 0, true)
	login(t, h, s)
	login(t, other, theirs)
	key := create(t, h, s, ck.CKA_CLASS, ck.CKO_SECRET_KEY, ck.CKA_KEY_TYPE, ck.CKK_GENERIC_SECRET, ck.CKA_VALUE, "a secret of some length",
		ck.CKA_SIGN, true, ck.CKA_TOKEN, true)
	begin := &p11.Begin{Session: s, Op: p11.OpSign, Mechanism: mech(ck.CKM_SHA256_HMAC), Key: key}
	for range 2 {
		must(t, h, begin)
		must(t, h, &p11.Begin{Session: s, Op: p11.OpSign})
	}
	must(t, other, &p11.SetAttributeValue{Session: theirs, Object: key, Template: tmpl(ck.CKA_SIGN, false)})
	want(t, h, ck.CKR_KEY_FUNCTION_NOT_PERMITTED, begin)
	must(t, other, &p11.SetAttributeValue{Session: theirs, Object: key, Template: tmpl(ck.CKA_SIGN, true)})
	must(t, h, begin)
	must(t, h, &p11.Begin{Session: s, Op: p11.OpSign})
	must(t, other, &p11.DestroyObject{Session: theirs, Object: key})
	want(t, h, ck.CKR_KEY_HANDLE_INVALID, begin)
}
