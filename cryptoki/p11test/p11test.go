// Package p11test is the suite that every [p11.Module] must pass. It looks at
// requests and their replies only, and knows no more of a module than that.
package p11test

import (
	"context"
	"testing"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/cryptoki/p11"
)

// Suite is what the suite needs to know of the module under test.
type Suite struct {
	// Open gives a new HSM that nobody initialised: one free slot, number 0.
	// The suite closes it.
	Open func(t *testing.T) p11.Module
	// GCMMessage makes the parameter of a message for CKM_AES_GCM, with an IV
	// to be used as it is and the place of a tag, which the module fills or
	// checks.
	GCMMessage func(iv, tag []byte) any
}

// Run runs the suite, each part on an HSM of its own.
func Run(t *testing.T, s Suite) {
	for _, c := range []struct {
		name string
		test func(*host)
	}{
		{"Information", testInformation},
		{"Slots", testSlots},
		{"SlotEvents", testSlotEvents},
		{"InitToken", testInitToken},
		{"Sessions", testSessions},
		{"BadSession", testBadSession},
		{"Login", testLogin},
		{"LoginEndsWithSessions", testLoginEnds},
		{"PINs", testPINs},
		{"Lockout", testLockout},
		{"CryptoUser", testCryptoUser},
		{"Objects", testObjects},
		{"Visibility", testVisibility},
		{"ObjectRules", testObjectRules},
		{"Attributes", testAttributes},
		{"Find", testFind},
		{"Copy", testCopy},
		{"Output", testOutput},
		{"Order", testOrder},
		{"Ciphers", testCiphers},
		{"Signatures", testSignatures},
		{"Digests", testDigests},
		{"Recover", testRecover},
		{"Dual", testDual},
		{"Messages", testMessages},
		{"OperationState", testOperationState},
		{"Cancel", testCancel},
		{"GenerateKeys", testGenerateKeys},
		{"Wrap", testWrap},
		{"Derive", testDerive},
		{"Random", testRandom},
		{"RequestBelongsToCaller", testRequestBelongsToCaller},
		{"HSM", testHSM},
		{"Partitions", testPartitions},
		{"Roles", testRoles},
		{"Zeroize", testZeroize},
		{"Errors", testErrors},
		{"Concurrent", testConcurrent},
		{"Close", testClose},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := &host{T: t, suite: s, m: s.Open(t)}
			t.Cleanup(func() { h.m.Close() })
			c.test(h)
		})
	}
}

// host is an HSM under test.
type host struct {
	*testing.T
	suite Suite
	m     p11.Module
	s     ck.SessionHandle // where the helpers work
}

const (
	soPIN   = "p11test so pin"
	userPIN = "p11test user pin"
)

// ask sends a request.
func ask[R any](h *host, req p11.Typed[R]) (R, error) {
	return p11.Call(context.Background(), h.m, req)
}

// must sends a request that has to succeed.
func must[R any](h *host, req p11.Typed[R]) R {
	h.Helper()
	r, err := ask(h, req)
	if err != nil {
		h.Fatalf("%v: %v", req.Kind(), err)
	}
	return r
}

// refused sends a request that has to end with one of the codes.
func refused[R any](h *host, req p11.Typed[R], codes ...ck.RV) {
	h.Helper()
	_, err := ask(h, req)
	h.wants(req.Kind().String(), err, codes...)
}

func (h *host) wants(what string, err error, codes ...ck.RV) {
	h.Helper()
	for _, rv := range codes {
		if ck.RVOf(err) == rv {
			return
		}
	}
	h.Errorf("%s: %v (%v), want %v", what, ck.RVOf(err), err, codes)
}

// token initialises slot 0, and its user, and logs him in on h.s.
func (h *host) token() {
	h.Helper()
	h.initToken(0)
	h.s = h.open(0, true)
	h.login(h.s)
}

func (h *host) initToken(slot ck.SlotID) {
	h.Helper()
	must(h, &p11.InitToken{Slot: slot, PIN: []byte(soPIN), Label: "p11test"})
	s := h.open(slot, true)
	must(h, &p11.Login{Session: s, User: ck.CKU_SO, PIN: []byte(soPIN)})
	must(h, &p11.InitPIN{Session: s, PIN: []byte(userPIN)})
	must(h, &p11.CloseSession{Session: s})
}

func (h *host) login(s ck.SessionHandle) {
	h.Helper()
	must(h, &p11.Login{Session: s, User: ck.CKU_USER, PIN: []byte(userPIN)})
}

func (h *host) open(slot ck.SlotID, rw bool) ck.SessionHandle {
	h.Helper()
	f := ck.Flags(ck.CKF_SERIAL_SESSION)
	if rw {
		f |= ck.CKF_RW_SESSION
	}
	return must(h, &p11.OpenSession{Slot: slot, Flags: f}).Session
}

// create makes an object on h.s.
func (h *host) create(a ...ck.Attribute) ck.ObjectHandle {
	h.Helper()
	return must(h, &p11.CreateObject{Session: h.s, Template: a}).Object
}

// key is the template of a secret key that can do everything and be read.
func key(t ck.KeyType, value []byte, more ...ck.Attribute) []ck.Attribute {
	a := []ck.Attribute{
		ck.NewULong(ck.CKA_CLASS, ck.CKO_SECRET_KEY), ck.NewULong(ck.CKA_KEY_TYPE, t), ck.NewBytes(ck.CKA_VALUE, value),
		ck.NewBool(ck.CKA_SENSITIVE, false), ck.NewBool(ck.CKA_EXTRACTABLE, true),
	}
	for _, u := range []ck.AttributeType{ck.CKA_ENCRYPT, ck.CKA_DECRYPT, ck.CKA_SIGN, ck.CKA_VERIFY, ck.CKA_WRAP, ck.CKA_UNWRAP, ck.CKA_DERIVE} {
		a = append(a, ck.NewBool(u, true))
	}
	return append(a, more...)
}

// useless is the template of a key that may not be used for anything.
func useless(t ck.KeyType, value []byte) []ck.Attribute {
	a := key(t, value)
	for i := range a[5:] {
		a[5+i] = ck.NewBool(a[5+i].Type, false)
	}
	return a
}

// data is the template of a data object.
func data(label string, token, private bool) []ck.Attribute {
	return []ck.Attribute{
		ck.NewULong(ck.CKA_CLASS, ck.CKO_DATA), ck.NewBytes(ck.CKA_LABEL, []byte(label)),
		ck.NewBool(ck.CKA_TOKEN, token), ck.NewBool(ck.CKA_PRIVATE, private), ck.NewBytes(ck.CKA_VALUE, []byte("value of "+label)),
	}
}

func (h *host) aes() ck.ObjectHandle {
	h.Helper()
	return h.create(key(ck.CKK_AES, sequence(32))...)
}

// get reads one attribute that must be there.
func (h *host) get(o ck.ObjectHandle, t ck.AttributeType) []byte {
	h.Helper()
	r := must(h, &p11.GetAttributeValue{Session: h.s, Object: o, Types: []ck.AttributeType{t}})
	if len(r.Results) != 1 || r.Results[0].RV != ck.CKR_OK || r.Results[0].Type != t {
		h.Fatalf("%v: reply %+v", t, r)
	}
	return r.Results[0].Value
}

func (h *host) getBool(o ck.ObjectHandle, t ck.AttributeType) bool {
	h.Helper()
	v, ok := ck.Bool(h.get(o, t))
	if !ok {
		h.Fatalf("%v is no truth value", t)
	}
	return v
}

func (h *host) label(s ck.SessionHandle, o ck.ObjectHandle) (string, error) {
	r, err := ask(h, &p11.GetAttributeValue{Session: s, Object: o, Types: []ck.AttributeType{ck.CKA_LABEL}})
	if err != nil {
		return "", err
	}
	return string(r.Results[0].Value), nil
}

// find is a whole search.
func (h *host) find(s ck.SessionHandle, a ...ck.Attribute) (found []ck.ObjectHandle) {
	h.Helper()
	must(h, &p11.FindObjectsInit{Session: s, Template: a})
	for {
		r := must(h, &p11.FindObjects{Session: s, Max: 3})
		if len(r.Objects) > 3 {
			h.Fatalf("%d handles where at most 3 were asked for", len(r.Objects))
		}
		if len(r.Objects) == 0 {
			break
		}
		found = append(found, r.Objects...)
	}
	must(h, &p11.FindObjectsFinal{Session: s})
	return found
}

// sequence is n bytes that differ from their neighbours.
func sequence(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i*11 + 5)
	}
	return b
}

func mech(t ck.MechanismType, param any) *ck.Mechanism { return &ck.Mechanism{Type: t, Param: param} }

func text(t ck.AttributeType, s string) ck.Attribute { return ck.NewBytes(t, []byte(s)) }
