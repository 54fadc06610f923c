package hsm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/cryptoki/p11"
	"github.com/perilune/perilune/engine"
	"github.com/perilune/perilune/store"
)

// roleSession opens a session of a role on slot 0; RoleNone logs nobody in.
func roleSession(t *testing.T, h *HSM, role p11.Role, rw bool) ck.SessionHandle {
	t.Helper()
	s := open(t, h, 0, rw)
	switch role {
	case p11.RoleCryptoOfficer:
		login(t, h, s)
	case p11.RolePartitionSO:
		must(t, h, &p11.Login{Session: s, User: ck.CKU_SO, PIN: []byte(soPIN)})
	case p11.RoleCryptoUser:
		must(t, h, &p11.Login{Session: s, User: ck.CKU_CRYPTO_USER, PIN: []byte("cu pin 12")})
	}
	return s
}

func addCryptoUser(t *testing.T, h *HSM) {
	t.Helper()
	s := roleSession(t, h, p11.RoleCryptoOfficer, true)
	must(t, h, &p11.InitRole{Session: s, Role: p11.RoleCryptoUser, PIN: []byte("cu pin 12")})
	must(t, h, &p11.CloseSession{Session: s})
}

var roleTemplates = map[string][]ck.Attribute{
	"data":   tmpl(ck.CKA_CLASS, ck.CKO_DATA),
	"cert":   tmpl(ck.CKA_CLASS, ck.CKO_CERTIFICATE, ck.CKA_CERTIFICATE_TYPE, ck.CKC_X_509, ck.CKA_SUBJECT, "s", ck.CKA_VALUE, "v"),
	"public": tmpl(ck.CKA_CLASS, ck.CKO_PUBLIC_KEY, ck.CKA_KEY_TYPE, ck.CKK_EC_EDWARDS, ck.CKA_EC_PARAMS, ed25519Params, ck.CKA_EC_POINT, bytes.Repeat([]byte{0x66}, 31)),
	"secret": tmpl(ck.CKA_CLASS, ck.CKO_SECRET_KEY, ck.CKA_KEY_TYPE, ck.CKK_AES, ck.CKA_VALUE, "0123456789abcdef"),
}

func init() { // the base point of Ed25519, 4/5: 58 66..66
	point := append([]byte{0x58}, bytes.Repeat([]byte{0x66}, 31)...)
	roleTemplates["public"][3].Value = point
}

// TestWhoMayMakeWhat has a cell for every role, kind of session and object:
// created, changed, copied and destroyed.
func TestWhoMayMakeWhat(t *testing.T) {
	const (
		ok = ck.CKR_OK
		ro = ck.CKR_SESSION_READ_ONLY
		nl = ck.CKR_USER_NOT_LOGGED_IN
		na = ck.CKR_USER_NOT_AUTHORIZED
		no = ck.CKR_OBJECT_HANDLE_INVALID // not visible
	)
	h := newTestHSM(t)
	addCryptoUser(t, h)
	kinds := []string{"data", "cert", "public", "secret"}
	for _, c := range []struct {
		role    p11.Role
		rw      bool
		private bool
		token   bool
		create  [4]ck.RV // data, certificate, public key, secret key
		modify  [4]ck.RV
		destroy [4]ck.RV
	}{
		{p11.RoleNone, false, false, false, [4]ck.RV{}, [4]ck.RV{}, [4]ck.RV{}},
		{p11.RoleNone, false, false, true, [4]ck.RV{ro, ro, ro, ro}, [4]ck.RV{ro, ro, ro, ro}, [4]ck.RV{ro, ro, ro, ro}},
		{p11.RoleNone, true, false, true, [4]ck.RV{}, [4]ck.RV{}, [4]ck.RV{}},
		{p11.RoleNone, true, true, true, [4]ck.RV{nl, nl, nl, nl}, [4]ck.RV{no, no, no, no}, [4]ck.RV{no, no, no, no}},
		{p11.RoleNone, true, true, false, [4]ck.RV{nl, nl, nl, nl}, [4]ck.RV{no, no, no, no}, [4]ck.RV{no, no, no, no}},

		{p11.RolePartitionSO, true, false, true, [4]ck.RV{ok, ok, ok, na}, [4]ck.RV{ok, ok, ok, na}, [4]ck.RV{ok, ok, ok, na}},
		{p11.RolePartitionSO, true, true, true, [4]ck.RV{nl, nl, nl, nl}, [4]ck.RV{no, no, no, no}, [4]ck.RV{no, no, no, no}},

		{p11.RoleCryptoOfficer, true, true, true, [4]ck.RV{}, [4]ck.RV{}, [4]ck.RV{}},
		{p11.RoleCryptoOfficer, true, false, true, [4]ck.RV{}, [4]ck.RV{}, [4]ck.RV{}},
		{p11.RoleCryptoOfficer, false, true, false, [4]ck.RV{}, [4]ck.RV{}, [4]ck.RV{}},
		{p11.RoleCryptoOfficer, false, true, true, [4]ck.RV{ro, ro, ro, ro}, [4]ck.RV{ro, ro, ro, ro}, [4]ck.RV{ro, ro, ro, ro}},

		{p11.RoleCryptoUser, true, false, true, [4]ck.RV{ok, ok, ok, na}, [4]ck.RV{na, na, na, na}, [4]ck.RV{ok, ok, ok, na}},
		{p11.RoleCryptoUser, true, true, true, [4]ck.RV{na, na, na, na}, [4]ck.RV{na, na, na, na}, [4]ck.RV{na, na, na, na}},
		{p11.RoleCryptoUser, true, true, false, [4]ck.RV{na, na, na, na}, [4]ck.RV{na, na, na, na}, [4]ck.RV{ok, ok, ok, ok}},
	} {
		name := fmt.Sprintf("%v rw %v private %v token %v", c.role, c.rw, c.private, c.token)
		flags := tmpl(ck.CKA_PRIVATE, c.private, ck.CKA_TOKEN, c.token)

		// The Crypto Officer makes what the role then works on.
		var made [4]ck.ObjectHandle
		if c.token {
			s := roleSession(t, h, p11.RoleCryptoOfficer, true)
			for i, k := range kinds {
				made[i] = must(t, h, &p11.CreateObject{Session: s, Template: slices.Concat(roleTemplates[k], flags)}).Object
			}
			must(t, h, &p11.CloseSession{Session: s})
		}

		s := roleSession(t, h, c.role, c.rw)
		for i, k := range kinds {
			template := slices.Concat(roleTemplates[k], flags)
			r, err := p11.Call(t.Context(), h, &p11.CreateObject{Session: s, Template: template})
			if ck.RVOf(err) != c.create[i] {
				t.Errorf("%s: create %s: %v, want %v", name, k, err, c.create[i])
			}
			if !c.token {
				made[i] = r.Object
				if r.Object == 0 {
					made[i] = sessionObjectOf(t, h, s, template)
				}
			}
			_, err = p11.Call(t.Context(), h, &p11.SetAttributeValue{Session: s, Object: made[i], Template: tmpl(ck.CKA_LABEL, "x")})
			if ck.RVOf(err) != c.modify[i] {
				t.Errorf("%s: modify %s: %v, want %v", name, k, err, c.modify[i])
			}
			wantCopy := c.create[i]
			if c.modify[i] == no {
				wantCopy = no
			}
			if _, err = p11.Call(t.Context(), h, &p11.CopyObject{Session: s, Object: made[i]}); ck.RVOf(err) != wantCopy {
				t.Errorf("%s: copy %s: %v, want %v", name, k, err, wantCopy)
			}
			if _, err = p11.Call(t.Context(), h, &p11.DestroyObject{Session: s, Object: made[i]}); ck.RVOf(err) != c.destroy[i] {
				t.Errorf("%s: destroy %s: %v, want %v", name, k, err, c.destroy[i])
			}
		}
		must(t, h, &p11.CloseSession{Session: s})
	}
}

// sessionObjectOf makes a session object behind the rules' back.
func sessionObjectOf(t *testing.T, h *HSM, s ck.SessionHandle, template []ck.Attribute) ck.ObjectHandle {
	t.Helper()
	ses := mustSession(t, h, s)
	d := &draft{origin: originCreate, template: template}
	l, err := canonicalList(template)
	if err != nil {
		t.Fatal(err)
	}
	sch, err := d.findSchema(l, nil)
	if err != nil {
		t.Fatal(err)
	}
	l = sch.withDefaults(&circumstances{role: ses.role(), profile: h.profile()}, originCreate, l)
	o, err := d.finish(ses, sch, l)
	if err != nil {
		t.Fatal(err)
	}
	if err := h.objects.add(ses.part, o); err != nil {
		return 1 << 31 // nobody is logged in: there are no such objects
	}
	return o.handle
}

// TestTrusted: only the Partition SO makes CKA_TRUSTED true.
func TestTrusted(t *testing.T) {
	h := newTestHSM(t)
	co := roleSession(t, h, p11.RoleCryptoOfficer, true)
	public := must(t, h, &p11.CreateObject{Session: co, Template: append(roleTemplates["public"], tmpl(ck.CKA_TOKEN, true)...)}).Object
	cert := must(t, h, &p11.CreateObject{Session: co, Template: append(roleTemplates["cert"], tmpl(ck.CKA_TOKEN, true)...)}).Object
	trust := func(s ck.SessionHandle, o ck.ObjectHandle, v bool) *p11.SetAttributeValue {
		return &p11.SetAttributeValue{Session: s, Object: o, Template: tmpl(ck.CKA_TRUSTED, v)}
	}
	want(t, h, ck.CKR_ATTRIBUTE_READ_ONLY, trust(co, public, true))
	must(t, h, trust(co, public, false))
	secret := must(t, h, &p11.CreateObject{Session: co, Template: append(roleTemplates["secret"], tmpl(ck.CKA_TOKEN, true, ck.CKA_PRIVATE, false)...)}).Object
	must(t, h, &p11.CloseSession{Session: co})

	so := roleSession(t, h, p11.RolePartitionSO, true)
	must(t, h, trust(so, public, true))
	must(t, h, trust(so, cert, true))
	must(t, h, trust(so, secret, true))
	want(t, h, ck.CKR_USER_NOT_AUTHORIZED, &p11.SetAttributeValue{Session: so, Object: secret, Template: tmpl(ck.CKA_TRUSTED, true, ck.CKA_LABEL, "x")})
	must(t, h, &p11.SetAttributeValue{Session: so, Object: public, Template: tmpl(ck.CKA_LABEL, "x")})
	must(t, h, &p11.SetAttributeValue{Session: so, Object: cert, Template: tmpl(ck.CKA_LABEL, "x")})
	own := must(t, h, &p11.CreateObject{Session: so, Template: append(roleTemplates["cert"], tmpl(ck.CKA_TRUSTED, true, ck.CKA_TOKEN, true)...)}).Object
	check(t, h, so, own, ck.CKA_TRUSTED, true)
	must(t, h, &p11.CloseSession{Session: so})

	co = roleSession(t, h, p11.RoleCryptoOfficer, true)
	check(t, h, co, public, ck.CKA_TRUSTED, true)
	check(t, h, co, cert, ck.CKA_TRUSTED, true, ck.CKA_LABEL, "x")
	want(t, h, ck.CKR_ATTRIBUTE_READ_ONLY, trust(co, public, false))
	must(t, h, &p11.SetAttributeValue{Session: co, Object: public, Template: tmpl(ck.CKA_LABEL, "y")})
	want(t, h, ck.CKR_ACTION_PROHIBITED, &p11.SetAttributeValue{Session: co, Object: cert, Template: tmpl(ck.CKA_LABEL, "y")})
	c := must(t, h, &p11.CopyObject{Session: co, Object: public}).Object
	check(t, h, co, c, ck.CKA_TRUSTED, false)
}

func TestSessionObjectsLiveAsLongAsTheirSession(t *testing.T) {
	h := newTestHSM(t)
	s1, s2 := open(t, h, 0, true), open(t, h, 0, false)
	login(t, h, s1)
	mine := create(t, h, s1, ck.CKA_CLASS, ck.CKO_DATA, ck.CKA_LABEL, "1", ck.CKA_PRIVATE, false)
	other := create(t, h, s2, ck.CKA_CLASS, ck.CKO_DATA, ck.CKA_LABEL, "2", ck.CKA_PRIVATE, false)
	secret := create(t, h, s2, ck.CKA_CLASS, ck.CKO_DATA, ck.CKA_LABEL, "3")
	token := create(t, h, s1, ck.CKA_CLASS, ck.CKO_DATA, ck.CKA_LABEL, "4", ck.CKA_TOKEN, true)
	for _, o := range []ck.ObjectHandle{mine, other, secret} {
		if o < firstSessionObject {
			t.Errorf("session object %d", o)
		}
	}
	if got, want := find(t, h, s1), []ck.ObjectHandle{mine, other, secret, token}; !slices.Equal(got, want) {
		t.Errorf("all: %v, want %v", got, want)
	}
	check(t, h, s2, mine, ck.CKA_LABEL, "1") // visible to all sessions of the slot
	must(t, h, &p11.SetAttributeValue{Session: s2, Object: mine, Template: tmpl(ck.CKA_LABEL, "one")})
	check(t, h, s1, mine, ck.CKA_LABEL, "one")

	must(t, h, &p11.CloseSession{Session: s1})
	if _, rv := read(h, s2, mine, ck.CKA_LABEL); rv != ck.CKR_OBJECT_HANDLE_INVALID {
		t.Error(rv)
	}
	check(t, h, s2, other, ck.CKA_LABEL, "2")
	must(t, h, &p11.Logout{Session: s2})
	for _, o := range []ck.ObjectHandle{secret, token} {
		if _, rv := read(h, s2, o, ck.CKA_LABEL); rv != ck.CKR_OBJECT_HANDLE_INVALID {
			t.Errorf("%d after logout: %v", o, rv)
		}
	}
	login(t, h, s2)
	if _, rv := read(h, s2, secret, ck.CKA_LABEL); rv != ck.CKR_OBJECT_HANDLE_INVALID {
		t.Errorf("a private session object outlived the login: %v", rv)
	}
	check(t, h, s2, token, ck.CKA_LABEL, "4")
	check(t, h, s2, other, ck.CKA_LABEL, "2")
	must(t, h, &p11.DestroyObject{Session: s2, Object: other})
	want(t, h, ck.CKR_OBJECT_HANDLE_INVALID, &p11.DestroyObject{Session: s2, Object: other})
	if n := h.objects.byHandle.n + len(h.objects.byOwner[mustSession(t, h, s2)]); n != 0 {
		t.Errorf("%d leftovers", n)
	}
	if next := create(t, h, s2, ck.CKA_CLASS, ck.CKO_DATA); next <= secret {
		t.Errorf("handle %d was used before", next)
	}
	must(t, h, &p11.CloseSession{Session: s2})
	if n := h.objects.byHandle.n + len(h.objects.byOwner); n != 0 {
		t.Errorf("%d leftovers of sessions that ended", n)
	}
}

func TestTokenObjectsOutliveTheProcess(t *testing.T) {
	host := newTestHost()
	h1 := host.process(t)
	initPartition(t, h1, 0)
	s1 := open(t, h1, 0, true)
	login(t, h1, s1)
	o := create(t, h1, s1, ck.CKA_CLASS, ck.CKO_SECRET_KEY, ck.CKA_KEY_TYPE, ck.CKK_AES, ck.CKA_VALUE, "0123456789abcdef",
		ck.CKA_TOKEN, true, ck.CKA_EXTRACTABLE, true, ck.CKA_LABEL, "kept")
	id, _ := read(h1, s1, o, ck.CKA_UNIQUE_ID)
	if err := h1.Close(); err != nil {
		t.Fatal(err)
	}
	h2 := host.process(t)
	s2 := open(t, h2, 0, true)
	if _, rv := read(h2, s2, o, ck.CKA_LABEL); rv != ck.CKR_OBJECT_HANDLE_INVALID {
		t.Errorf("private object without login: %v", rv)
	}
	if got := find(t, h2, s2, ck.CKA_LABEL, "kept"); len(got) != 0 {
		t.Errorf("private object found without login: %v", got)
	}
	login(t, h2, s2)
	check(t, h2, s2, o, ck.CKA_LABEL, "kept", ck.CKA_UNIQUE_ID, id, ck.CKA_VALUE, "0123456789abcdef")
	if got := find(t, h2, s2, ck.CKA_LABEL, "kept"); !slices.Equal(got, []ck.ObjectHandle{o}) {
		t.Error(got)
	}
}

func TestProcessesSeeEachOther(t *testing.T) {
	host := newTestHost()
	h1, h2 := host.process(t), host.process(t)
	initPartition(t, h1, 0)
	s1, s2 := open(t, h1, 0, true), open(t, h2, 0, true)
	login(t, h1, s1)
	login(t, h2, s2)
	o := create(t, h1, s1, ck.CKA_CLASS, ck.CKO_DATA, ck.CKA_LABEL, "1", ck.CKA_TOKEN, true)
	check(t, h2, s2, o, ck.CKA_LABEL, "1")
	must(t, h1, &p11.SetAttributeValue{Session: s1, Object: o, Template: tmpl(ck.CKA_LABEL, "2")})
	check(t, h2, s2, o, ck.CKA_LABEL, "2")
	if got := find(t, h2, s2, ck.CKA_LABEL, "1"); len(got) != 0 {
		t.Errorf("found by the old label: %v", got)
	}
	must(t, h2, &p11.SetAttributeValue{Session: s2, Object: o, Template: tmpl(ck.CKA_LABEL, "3")})
	check(t, h1, s1, o, ck.CKA_LABEL, "3")
	must(t, h2, &p11.DestroyObject{Session: s2, Object: o})
	want(t, h1, ck.CKR_OBJECT_HANDLE_INVALID, &p11.SetAttributeValue{Session: s1, Object: o, Template: tmpl(ck.CKA_LABEL, "4")})
	want(t, h1, ck.CKR_OBJECT_HANDLE_INVALID, &p11.DestroyObject{Session: s1, Object: o})
	if _, rv := read(h1, s1, o, ck.CKA_LABEL); rv != ck.CKR_OBJECT_HANDLE_INVALID {
		t.Error(rv)
	}
}

// TestManyChangesAtOnce: a process that is idle while another changes more than
// it would look at one by one sees all of it, stays logged in, and does not take
// note of each.
func TestManyChangesAtOnce(t *testing.T) {
	host := newTestHost()
	h1, h2 := host.process(t), host.process(t)
	initPartition(t, h1, 0)
	s1, s2 := open(t, h1, 0, true), open(t, h2, 0, true)
	login(t, h1, s1)
	login(t, h2, s2)
	var objs []ck.ObjectHandle
	for range 3 {
		objs = append(objs, create(t, h1, s1, ck.CKA_CLASS, ck.CKO_DATA, ck.CKA_LABEL, "0", ck.CKA_TOKEN, true, ck.CKA_PRIVATE, true))
	}
	for _, o := range objs {
		check(t, h2, s2, o, ck.CKA_LABEL, "0")
	}
	must(t, h1, &p11.SetAttributeValue{Session: s1, Object: objs[0], Template: tmpl(ck.CKA_LABEL, "changed")})
	must(t, h1, &p11.DestroyObject{Session: s1, Object: objs[1]})
	p := mustSession(t, h1, s1).part
	for i := range maxChanges {
		if err := h1.modify(t.Context(), p, store.Ref(objs[2]), func(o *object) (flat, error) {
			l := o.attrs.list()
			l.put(ck.NewBytes(ck.CKA_LABEL, fmt.Append(nil, i)))
			return flatten(l), nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	c := &counting{Store: h2.store}
	h2.store = c
	check(t, h2, s2, objs[0], ck.CKA_LABEL, "changed")
	if _, rv := read(h2, s2, objs[1], ck.CKA_LABEL); rv != ck.CKR_OBJECT_HANDLE_INVALID {
		t.Errorf("the destroyed object: %v", rv)
	}
	check(t, h2, s2, objs[2], ck.CKA_LABEL, fmt.Sprint(maxChanges-1))
	if n := c.changes.Load(); n != 0 {
		t.Errorf("asked %d times for all changes", n)
	}
	must(t, h1, &p11.SetAttributeValue{Session: s1, Object: objs[0], Template: tmpl(ck.CKA_LABEL, "again")})
	check(t, h2, s2, objs[0], ck.CKA_LABEL, "again")
	if n := c.changes.Load(); n != 1 {
		t.Errorf("asked %d times for a few changes, want once", n)
	}
}

// TestConcurrentChangesBothWin: processes and threads that change different
// attributes of one object lose nothing.
func TestConcurrentChangesBothWin(t *testing.T) {
	host := newTestHost()
	setup := host.process(t)
	initPartition(t, setup, 0)
	s := open(t, setup, 0, true)
	login(t, setup, s)
	o := create(t, setup, s, ck.CKA_CLASS, ck.CKO_SECRET_KEY, ck.CKA_KEY_TYPE, ck.CKK_AES, ck.CKA_VALUE, "0123456789abcdef", ck.CKA_TOKEN, true)
	attrs := []ck.AttributeType{ck.CKA_LABEL, ck.CKA_ID, ck.CKA_START_DATE, ck.CKA_ENCRYPT}
	values := [][]any{{"a", "b", "c"}, {"1", "2", "3"}, {"20240101", "20250101", "20260101"}, {false, true, false}}
	var wg sync.WaitGroup
	for i := range attrs {
		h := host.process(t)
		s := open(t, h, 0, true)
		login(t, h, s)
		wg.Go(func() {
			for range 30 {
				for _, v := range values[i] {
					_, err := p11.Call(context.Background(), h, &p11.SetAttributeValue{Session: s, Object: o, Template: tmpl(attrs[i], v)})
					got, _ := read(h, s, o, attrs[i])
					if err != nil || !bytes.Equal(got, attr(attrs[i], v).Value) {
						t.Errorf("%v: %v, then %q", attrs[i], err, got)
						return
					}
				}
			}
		})
	}
	wg.Wait()
	check(t, setup, s, o, ck.CKA_LABEL, "c", ck.CKA_ID, "3", ck.CKA_START_DATE, "20260101", ck.CKA_ENCRYPT, false)
}

// TestCopyMeetsChange: a copy is made of the object as it is, not of an old
// version that this process still has in its cache.
func TestCopyMeetsChange(t *testing.T) {
	host := newTestHost()
	h1, h2 := host.process(t), host.process(t)
	initPartition(t, h1, 0)
	s1, s2 := open(t, h1, 0, true), open(t, h2, 0, true)
	login(t, h1, s1)
	login(t, h2, s2)
	ses := mustSession(t, h1, s1)
	copyOf := func(o ck.ObjectHandle) (ck.ObjectHandle, error) { // as if the change came right after dispatch
		var r p11.Handle
		err := h1.handleCopyObject(t.Context(), ses, &p11.CopyObject{Session: s1, Object: o, Template: tmpl(ck.CKA_TOKEN, true)}, &r)
		return r.Object, err
	}
	o := create(t, h1, s1, ck.CKA_CLASS, ck.CKO_DATA, ck.CKA_LABEL, "1", ck.CKA_TOKEN, true)
	must(t, h2, &p11.SetAttributeValue{Session: s2, Object: o, Template: tmpl(ck.CKA_LABEL, "2")})
	c, err := copyOf(o)
	if err != nil {
		t.Fatal(err)
	}
	check(t, h1, s1, c, ck.CKA_LABEL, "2")
	c, err = copyOf(create(t, h1, s1, ck.CKA_CLASS, ck.CKO_DATA, ck.CKA_LABEL, "session"))
	if err != nil {
		t.Fatal(err)
	}
	check(t, h2, s2, c, ck.CKA_LABEL, "session")
	check(t, h1, s1, o, ck.CKA_LABEL, "2")
	must(t, h2, &p11.SetAttributeValue{Session: s2, Object: o, Template: tmpl(ck.CKA_COPYABLE, false)})
	if _, err := copyOf(o); ck.RVOf(err) != ck.CKR_ACTION_PROHIBITED {
		t.Error(err)
	}
	must(t, h2, &p11.DestroyObject{Session: s2, Object: c})
	if _, err := copyOf(c); ck.RVOf(err) != ck.CKR_OBJECT_HANDLE_INVALID {
		t.Error(err)
	}
}

// TestManyThreads has sessions of one process create, find, change and destroy
// token and session objects at once, and log out and in again. Run it with -race.
func TestManyThreads(t *testing.T) {
	h := newTestHSM(t)
	keeper := open(t, h, 0, true)
	login(t, h, keeper)
	shared := create(t, h, keeper, ck.CKA_CLASS, ck.CKO_DATA, ck.CKA_LABEL, "shared", ck.CKA_TOKEN, true, ck.CKA_PRIVATE, false)
	sharedSession := create(t, h, keeper, ck.CKA_CLASS, ck.CKO_DATA, ck.CKA_LABEL, "shared", ck.CKA_PRIVATE, false)
	var wg sync.WaitGroup
	var stop atomic.Bool
	for i := range 8 {
		wg.Go(func() {
			defer stop.Store(true)
			label := fmt.Sprint("thread ", i)
			for n := range 40 {
				opened, err := p11.Call(context.Background(), h, &p11.OpenSession{Flags: ck.CKF_SERIAL_SESSION | ck.CKF_RW_SESSION})
				if err != nil {
					t.Error(err)
					return
				}
				s, token := opened.Session, n%2 == 0
				r, err := p11.Call(context.Background(), h, &p11.CreateObject{Session: s, Template: tmpl(ck.CKA_CLASS, ck.CKO_DATA,
					ck.CKA_LABEL, label, ck.CKA_TOKEN, token, ck.CKA_PRIVATE, n%3 == 0)})
				if err == nil {
					_, err = p11.Call(context.Background(), h, &p11.SetAttributeValue{Session: s, Object: r.Object, Template: tmpl(ck.CKA_LABEL, label+"x")})
				}
				if err == nil {
					p11.Call(context.Background(), h, &p11.FindObjectsInit{Session: s, Template: tmpl(ck.CKA_LABEL, label+"x", ck.CKA_APPLICATION, "")})
					p11.Call(context.Background(), h, &p11.FindObjects{Session: s, Max: 10})
					p11.Call(context.Background(), h, &p11.FindObjectsFinal{Session: s})
					_, err = p11.Call(context.Background(), h, &p11.DestroyObject{Session: s, Object: r.Object})
				}
				switch ck.RVOf(err) {
				case ck.CKR_OK, ck.CKR_USER_NOT_LOGGED_IN, ck.CKR_OBJECT_HANDLE_INVALID: // logged out meanwhile
				default:
					t.Error(err)
				}
				for _, o := range []ck.ObjectHandle{shared, sharedSession} {
					if _, err := p11.Call(context.Background(), h, &p11.SetAttributeValue{Session: s, Object: o, Template: tmpl(ck.CKA_LABEL, label)}); err != nil {
						t.Error(err)
					}
					if _, rv := read(h, s, o, ck.CKA_LABEL); rv != ck.CKR_OK {
						t.Error(rv)
					}
				}
				p11.Call(context.Background(), h, &p11.CloseSession{Session: s})
			}
		})
	}
	wg.Go(func() {
		for !stop.Load() {
			p11.Call(context.Background(), h, &p11.Logout{Session: keeper})
			p11.Call(context.Background(), h, &p11.Login{Session: keeper, User: ck.CKU_USER, PIN: []byte(userPIN)})
		}
	})
	wg.Wait()
}

// TestLogoutMeetsCreation: a private session object never outlives the login,
// however the calls meet.
func TestLogoutMeetsCreation(t *testing.T) {
	h := newTestHSM(t)
	s := open(t, h, 0, true)
	ses := mustSession(t, h, s)
	for range 200 {
		p := ses.part
		p.mu.Lock()
		p.relogin(func(l *presence) { l.keys = p.public }) // as if logged in
		p.mu.Unlock()
		o, err := newObject(flatten(attrList{ck.NewULong(ck.CKA_CLASS, ck.CKO_DATA), ck.NewBool(ck.CKA_PRIVATE, true)}))
		if err != nil {
			t.Fatal(err)
		}
		o.owner = ses
		var wg sync.WaitGroup
		wg.Go(func() { h.objects.add(p, o) })
		wg.Go(func() {
			p.mu.Lock()
			h.forgetLogin(p)
			p.mu.Unlock()
		})
		wg.Wait()
		if n := h.objects.byHandle.n; n != 0 {
			t.Fatalf("%d private objects after logout", n)
		}
	}
}

func TestDamagedRecords(t *testing.T) {
	h, s := officer(t)
	good := create(t, h, s, ck.CKA_CLASS, ck.CKO_DATA, ck.CKA_LABEL, "same", ck.CKA_VALUE, "good", ck.CKA_TOKEN, true)
	bad := create(t, h, s, ck.CKA_CLASS, ck.CKO_DATA, ck.CKA_LABEL, "same", ck.CKA_VALUE, "bad", ck.CKA_TOKEN, true)
	p := mustSession(t, h, s).part
	damage := func(change func(r *store.Record)) {
		t.Helper()
		err := h.store.Update(t.Context(), func(tx store.Tx) error {
			r, err := tx.Get(store.Ref(bad))
			if err != nil {
				return err
			}
			r.Version++
			r.Terms = []store.Term{p.who().keys.term(ck.CKA_LABEL, []byte("same"))}
			change(&r)
			return tx.Replace(r)
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for name, change := range map[string]func(r *store.Record){
		"bit flipped": func(r *store.Record) { r.Sealed[20] ^= 1 },
		"cut":         func(r *store.Record) { r.Sealed = r.Sealed[:3] },
		"no object":   func(r *store.Record) { p.who().keys.seal(r, []byte("no object")) },
		"no class":    func(r *store.Record) { p.who().keys.seal(r, flatten(attrList{ck.NewBool(ck.CKA_TOKEN, true)})) },
		"class without schema": func(r *store.Record) {
			p.who().keys.seal(r, flatten(attrList{ck.NewULong(ck.CKA_CLASS, ck.ObjectClass(77))}))
		},
		"public in a private record": func(r *store.Record) {
			p.who().keys.seal(r, flatten(attrList{ck.NewULong(ck.CKA_CLASS, ck.CKO_DATA), ck.NewBool(ck.CKA_TOKEN, true)}))
		},
	} {
		damage(change)
		if _, rv := read(h, s, bad, ck.CKA_LABEL); rv != ck.CKR_DEVICE_ERROR {
			t.Errorf("%s: %v", name, rv)
		}
		want(t, h, ck.CKR_DEVICE_ERROR, &p11.SetAttributeValue{Session: s, Object: bad, Template: tmpl(ck.CKA_LABEL, "x")})
		// The rest can be found all the same.
		if got := find(t, h, s, ck.CKA_LABEL, "same", ck.CKA_MODIFIABLE, true); !slices.Equal(got, []ck.ObjectHandle{good}) {
			t.Errorf("%s: found %v", name, got)
		}
	}
}

// TestHandlesOfOtherRecords: records of other kinds and of other partitions are
// no objects.
func TestHandlesOfOtherRecords(t *testing.T) {
	h := newTestHSM(t)
	must(t, h, &p11.InitToken{Slot: 1, PIN: []byte(soPIN), Label: "two"})
	s0, s1 := open(t, h, 0, true), open(t, h, 1, true)
	o := create(t, h, s0, ck.CKA_CLASS, ck.CKO_DATA, ck.CKA_PRIVATE, false, ck.CKA_TOKEN, true)
	session := create(t, h, s0, ck.CKA_CLASS, ck.CKO_DATA, ck.CKA_PRIVATE, false)
	for _, x := range []ck.ObjectHandle{o, session} {
		if _, rv := read(h, s1, x, ck.CKA_LABEL); rv != ck.CKR_OBJECT_HANDLE_INVALID {
			t.Errorf("object of another slot: %v", rv)
		}
	}
	for x := ck.ObjectHandle(0); x < o; x++ {
		if _, rv := read(h, s0, x, ck.CKA_LABEL); rv != ck.CKR_OBJECT_HANDLE_INVALID {
			t.Errorf("handle %d: %v", x, rv)
		}
	}
	free := open(t, h, 2, true)
	want(t, h, ck.CKR_TOKEN_NOT_RECOGNIZED, &p11.CreateObject{Session: free, Template: tmpl(ck.CKA_CLASS, ck.CKO_DATA, ck.CKA_PRIVATE, false, ck.CKA_TOKEN, true)})
	mine := create(t, h, free, ck.CKA_CLASS, ck.CKO_DATA, ck.CKA_PRIVATE, false)
	if got := find(t, h, free); !slices.Equal(got, []ck.ObjectHandle{mine}) {
		t.Errorf("on the free slot: %v", got)
	}
}

// TestWriteAfterReinitialisation: a process that has not noticed that another
// one initialised the partition anew cannot write under the old keys.
func TestWriteAfterReinitialisation(t *testing.T) {
	host := newTestHost()
	h1, h2 := host.process(t), host.process(t)
	initPartition(t, h1, 0)
	s := open(t, h1, 0, true)
	login(t, h1, s)
	ses := mustSession(t, h1, s)
	o, err := h1.build(t.Context(), ses, &draft{origin: originCreate, template: tmpl(ck.CKA_CLASS, ck.CKO_DATA, ck.CKA_TOKEN, true)})
	if err != nil {
		t.Fatal(err)
	}
	must(t, h2, &p11.InitToken{Slot: 0, PIN: []byte(soPIN), Label: "anew"})
	if _, err := h1.add(t.Context(), ses, o); ck.RVOf(err) != ck.CKR_DEVICE_REMOVED {
		t.Error(err)
	}
}

func TestAddIsAllOrNothing(t *testing.T) {
	h := newTestHSM(t)
	s := open(t, h, 0, true)
	ses := mustSession(t, h, s)
	login(t, h, s)
	var objs []*object
	for _, private := range []bool{false, true} {
		o, err := h.build(t.Context(), ses, &draft{origin: originCreate, template: tmpl(ck.CKA_CLASS, ck.CKO_DATA, ck.CKA_TOKEN, true, ck.CKA_PRIVATE, private)})
		if err != nil {
			t.Fatal(err)
		}
		objs = append(objs, o)
	}
	must(t, h, &p11.Logout{Session: s})
	if _, err := h.add(t.Context(), ses, objs...); ck.RVOf(err) != ck.CKR_USER_NOT_LOGGED_IN {
		t.Error(err)
	}
	if got := find(t, h, s); len(got) != 0 {
		t.Errorf("half of a pair: %v", got)
	}
	login(t, h, s)
	handles, err := h.add(t.Context(), ses, objs...)
	if err != nil || len(handles) != 2 || handles[0] == handles[1] || !slices.Equal(find(t, h, s), handles) {
		t.Errorf("%v, %v", handles, err)
	}
}

func TestStoreError(t *testing.T) {
	for _, c := range []struct {
		err  error
		want ck.RV
	}{
		{nil, ck.CKR_OK},
		{store.ErrFull, ck.CKR_DEVICE_MEMORY},
		{fmt.Errorf("x: %w", store.ErrReadOnly), ck.CKR_TOKEN_WRITE_PROTECTED},
		{store.ErrCorrupt, ck.CKR_DEVICE_ERROR},
		{store.ErrBusy, ck.CKR_DEVICE_ERROR},
		{store.ErrVersion, ck.CKR_DEVICE_ERROR},
		{store.ErrNotFound, ck.CKR_DEVICE_ERROR},
		{store.ErrClosed, ck.CKR_CRYPTOKI_NOT_INITIALIZED},
		{context.Canceled, ck.CKR_FUNCTION_CANCELED},
		{errors.New("x"), ck.CKR_DEVICE_ERROR},
		{fmt.Errorf("x: %w", ck.CKR_ACTION_PROHIBITED), ck.CKR_ACTION_PROHIBITED},
	} {
		got := storeError(c.err)
		if ck.RVOf(got) != c.want || c.err != nil && !errors.Is(got, c.err) {
			t.Errorf("%v: %v", c.err, got)
		}
	}
}

// failing is a store whose updates fail.
type failing struct {
	store.Store
	err error
}

func (f *failing) Update(ctx context.Context, fn func(store.Tx) error) error {
	if err := f.Store.Update(ctx, func(tx store.Tx) error { fn(tx); return f.err }); err != nil {
		return err
	}
	return nil
}

func TestStoreFailures(t *testing.T) {
	h, s := officer(t)
	o := create(t, h, s, ck.CKA_CLASS, ck.CKO_DATA, ck.CKA_LABEL, "1", ck.CKA_TOKEN, true)
	h.store = &failing{h.store, store.ErrFull}
	want(t, h, ck.CKR_DEVICE_MEMORY, &p11.CreateObject{Session: s, Template: tmpl(ck.CKA_CLASS, ck.CKO_DATA, ck.CKA_TOKEN, true)})
	want(t, h, ck.CKR_DEVICE_MEMORY, &p11.CopyObject{Session: s, Object: o})
	want(t, h, ck.CKR_DEVICE_MEMORY, &p11.SetAttributeValue{Session: s, Object: o, Template: tmpl(ck.CKA_LABEL, "2")})
	want(t, h, ck.CKR_DEVICE_MEMORY, &p11.DestroyObject{Session: s, Object: o})
	check(t, h, s, o, ck.CKA_LABEL, "1")
	if got := find(t, h, s); !slices.Equal(got, []ck.ObjectHandle{o}) {
		t.Error(got)
	}
}

func TestGetObjectSize(t *testing.T) {
	h, s := officer(t)
	small := create(t, h, s, ck.CKA_CLASS, ck.CKO_DATA)
	large := create(t, h, s, ck.CKA_CLASS, ck.CKO_DATA, ck.CKA_VALUE, make([]byte, 1000))
	a := must(t, h, &p11.GetObjectSize{Session: s, Object: small}).Bytes
	b := must(t, h, &p11.GetObjectSize{Session: s, Object: large}).Bytes
	if b-a != 1000 {
		t.Errorf("%d and %d", a, b)
	}
	want(t, h, ck.CKR_OBJECT_HANDLE_INVALID, &p11.GetObjectSize{Session: s, Object: 1 << 29})
}

func cached(ref store.Ref, version uint64, size int) *object {
	return &object{ref: ref, version: version, attrs: make(flat, size)}
}

func TestCacheTickets(t *testing.T) {
	var c objectCache
	now := c.ticket()
	c.put(cached(5, 1, 10), now)
	if c.get(5) == nil || c.get(21) != nil {
		t.Fatal("not cached")
	}
	// An older version does not push out a newer one.
	old := c.ticket()
	c.put(cached(5, 3, 10), old)
	c.put(cached(5, 2, 10), old)
	if c.get(5).version != 3 {
		t.Errorf("version %d", c.get(5).version)
	}
	// What was read before a change is not cached after it.
	now = c.ticket()
	c.forget(5, 4)
	c.put(cached(5, 3, 10), now)
	if c.get(5) != nil {
		t.Error("a stale version was cached")
	}
	now = c.ticket()
	c.put(cached(5, 4, 10), now)
	c.forget(5, 4) // the news about our own change
	if c.get(5) == nil {
		t.Error("our own version was forgotten")
	}
	c.forget(5, 0)
	if c.get(5) != nil {
		t.Error("a destroyed object is still cached")
	}
	now = c.ticket()
	c.clear()
	c.put(cached(7, 1, 10), now)
	if c.get(7) != nil {
		t.Error("cached after clear")
	}
	for i := range c.shards {
		if s := &c.shards[i]; s.bytes != 0 || len(s.objects) != 0 {
			t.Errorf("shard %d: %d bytes, %d objects", i, s.bytes, len(s.objects))
		}
	}
}

func TestCacheIsBounded(t *testing.T) {
	var c objectCache
	const size = 1 << 20
	for ref := range store.Ref(400) {
		c.put(cached(ref, 1, size), c.ticket())
		if c.get(ref) == nil {
			t.Fatal("the newest object is not cached")
		}
	}
	total := 0
	for i := range c.shards {
		s := &c.shards[i]
		sum := 0
		for _, o := range s.objects {
			sum += o.cost()
		}
		if sum != s.bytes {
			t.Errorf("shard %d: %d bytes, counted %d", i, sum, s.bytes)
		}
		total += sum
	}
	if total > maxCached+cacheShards*size {
		t.Errorf("%d bytes cached", total)
	}
}

func TestFlatForm(t *testing.T) {
	l := attrList{
		ck.NewULong(ck.CKA_CLASS, ck.CKO_DATA),
		ck.NewBytes(ck.CKA_LABEL, []byte("label")),
		ck.NewBytes(ck.CKA_ID, []byte{}),
		{Type: ck.CKA_WRAP_TEMPLATE, Template: attrList{ck.NewBool(ck.CKA_SIGN, true), {Type: ck.CKA_DERIVE_TEMPLATE, Template: attrList{}}}},
	}
	f := flatten(l)
	if len(f) != flatSize(l) || cap(f) != len(f) {
		t.Errorf("%d bytes, %d computed", len(f), flatSize(l))
	}
	g, err := parseFlat(f)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(flatten(g.list()), f) {
		t.Error("not the same after parsing")
	}
	for i := range l {
		v, ok := g.get(l[i].Type)
		if !ok || !l[i].Type.IsTemplate() && !bytes.Equal(v, l[i].Value) {
			t.Errorf("%v: %x, %v", l[i].Type, v, ok)
		}
	}
	if _, ok := g.get(ck.CKA_VALUE); ok {
		t.Error("CKA_VALUE out of nothing")
	}
	// docs/FORMAT.md has this vector.
	vector := "\x01\x00\x02\x00" + "\x00\x00\x00\x00" + "\x08\x00\x00\x00" + "\x03\x00\x00\x00" + "\x0d\x00\x00\x00" +
		"\x00\x00\x00\x00\x00\x00\x00\x00" + "label"
	if got := flatten(l[:2]); string(got) != vector {
		t.Errorf("%x, want %x", got, vector)
	}
}

func TestMalformedFlat(t *testing.T) {
	good := string(flatten(attrList{ck.NewULong(ck.CKA_CLASS, ck.CKO_DATA), ck.NewBytes(ck.CKA_LABEL, []byte("label"))}))
	put := func(at int, b byte) string { return good[:at] + string([]byte{b}) + good[at+1:] }
	for name, b := range map[string]string{
		"empty":           "",
		"short":           good[:3],
		"version":         put(0, 2),
		"reserved":        put(1, 1),
		"more entries":    put(2, 3),
		"all entries":     put(3, 0xff),
		"trailing byte":   good + "x",
		"missing byte":    good[:len(good)-1],
		"type twice":      put(12, 0),
		"end falls":       put(8, 0x0e),
		"end beyond":      put(16, 0xff),
		"nested garbage":  string(flatten(attrList{ck.NewBytes(ck.CKA_WRAP_TEMPLATE, []byte("garbage"))})),
		"nested for ever": nestedFlat(20),
	} {
		if _, err := parseFlat([]byte(b)); err == nil {
			t.Errorf("%s was accepted", name)
		}
	}
	if _, err := parseFlat([]byte(nestedFlat(3))); err != nil {
		t.Error("three levels of templates are fine:", err)
	}
}

func nestedFlat(n int) string {
	f := string(flatten(nil))
	for range n {
		f = string(flatten(attrList{ck.NewBytes(ck.CKA_WRAP_TEMPLATE, nil)})[:flatHeader+4]) +
			string([]byte{byte(len(f)), byte(len(f) >> 8), 0, 0}) + f
	}
	return f
}

// FuzzObjectRecord feeds the parser of records: whatever it accepts has exactly
// one form, and no accessor panics on it.
func FuzzObjectRecord(f *testing.F) {
	f.Add([]byte(flatten(attrList{ck.NewULong(ck.CKA_CLASS, ck.CKO_DATA), ck.NewBytes(ck.CKA_LABEL, []byte("x"))})))
	f.Add([]byte(nestedFlat(2)))
	f.Add([]byte(flatten(attrList{
		ck.NewULong(ck.CKA_CLASS, ck.CKO_SECRET_KEY), ck.NewBool(ck.CKA_TOKEN, true), ck.NewBytes(ck.CKA_VALUE, make([]byte, 16)),
		ck.NewULong(ck.CKA_KEY_TYPE, ck.CKK_AES), ck.NewBool(ck.CKA_SENSITIVE, true),
		{Type: ck.CKA_WRAP_TEMPLATE, Template: attrList{ck.NewBool(ck.CKA_SIGN, true)}},
	})))
	f.Fuzz(func(t *testing.T, b []byte) {
		a, err := parseFlat(b)
		if err != nil {
			return
		}
		if again := flatten(a.list()); !bytes.Equal(again, b) {
			t.Fatalf("%x becomes %x", b, again)
		}
		o, err := newObject(a)
		if err != nil {
			return
		}
		for i := range a.count() {
			at, _ := a.entry(i)
			o.read(at)
			o.bool(at)
			o.ulong(at)
			o.template(at)
			o.hides(at)
		}
		o.matches(a.list())
		o.key()
		o.changed(p11.RoleCryptoOfficer, new(settings), tmpl(ck.CKA_LABEL, "x"))
		o.terms(fuzzKeys)
	})
}

var fuzzKeys, _ = newSpaceKeys(make([]byte, 32))

// TestSchemas checks the tables themselves.
func TestSchemas(t *testing.T) {
	shape := map[ck.AttributeType]shape{}
	for key, s := range schemas() {
		name := fmt.Sprintf("%v %#x", key.class, key.subtype)
		for i, r := range s.rows {
			if i > 0 && s.rows[i-1].t >= r.t {
				t.Errorf("%s: %v is out of order", name, r.t)
			}
			if sh, ok := shape[r.t]; ok && sh != r.shape {
				t.Errorf("%s: %v has another shape elsewhere", name, r.t)
			}
			shape[r.t] = r.shape
			if r.t.Name() == "" {
				t.Errorf("%s: %#x has no name", name, uint64(r.t))
			}
			if (r.shape == shapeTemplate) != r.t.IsTemplate() {
				t.Errorf("%s: %v and templates", name, r.t)
			}
			if r.rules&hideable != 0 && (r.rules&(mutable|material) != material || !isSecretKind(key.class)) {
				t.Errorf("%s: %v is hidden, but changeable or no key material", name, r.t)
			}
			if r.def != nil {
				for o := originCreate; o <= originModify; o++ {
					if _, err := canonical(ck.NewBytes(r.t, r.def(o)), r.shape); err != nil {
						t.Errorf("%s: default: %v", name, err)
					}
				}
			}
			if strings.HasSuffix(r.t.String(), "_BITS") && r.shape != shapeULong {
				t.Errorf("%s: %v is a number", name, r.t)
			}
		}
	}
}

// TestEveryKeyTypeHasASchema: a key type of the engine without a line in
// schemaTable could not be stored.
func TestEveryKeyTypeHasASchema(t *testing.T) {
	for _, kt := range engine.KeyTypes() {
		classes := []ck.ObjectClass{ck.CKO_SECRET_KEY}
		if kt.PublicInfo != nil {
			classes = []ck.ObjectClass{ck.CKO_PUBLIC_KEY, ck.CKO_PRIVATE_KEY}
		}
		if kt.PublicInfo != nil && kt.MarshalPKCS8 == nil {
			classes = classes[:1] // there are public keys of it only
		}
		for _, c := range classes {
			if findSchema(c, uint64(kt.Type)) == nil {
				t.Errorf("no schema for %v of type %v", c, kt.Type)
			}
		}
	}
}

func TestRandomTemplatesDoNotPanic(t *testing.T) {
	h, s := officer(t)
	rng := rand.New(rand.NewPCG(1, 2))
	var types []ck.AttributeType
	for a := range shapes() {
		types = append(types, a)
	}
	slices.Sort(types)
	values := []any{nil, "", "\x00", "\x01", "\x01", "12345678", "20240229", "\x03\x00\x00\x00\x00\x00\x00\x00", make([]byte, 8),
		tmpl(ck.CKA_SIGN, true), strings.Repeat("x", 32)}
	starts := [][]ck.Attribute{roleTemplates["data"], roleTemplates["cert"], roleTemplates["public"], roleTemplates["secret"],
		tmpl(ck.CKA_CLASS, ck.CKO_DOMAIN_PARAMETERS, ck.CKA_KEY_TYPE, ck.CKK_DH, ck.CKA_PRIME, testPrime, ck.CKA_BASE, testBase), nil}
	made := 0
	for range 3000 {
		list := slices.Clone(starts[rng.IntN(len(starts))])
		for range rng.IntN(4) {
			list = append(list, attr(types[rng.IntN(len(types))], values[rng.IntN(len(values))]))
		}
		r, err := p11.Call(t.Context(), h, &p11.CreateObject{Session: s, Template: list})
		p11.Call(t.Context(), h, &p11.FindObjectsInit{Session: s, Template: list})
		p11.Call(t.Context(), h, &p11.FindObjects{Session: s, Max: 5})
		p11.Call(t.Context(), h, &p11.FindObjectsFinal{Session: s})
		if err == nil {
			made++
			p11.Call(t.Context(), h, &p11.SetAttributeValue{Session: s, Object: r.Object, Template: list})
			p11.Call(t.Context(), h, &p11.CopyObject{Session: s, Object: r.Object, Template: list})
		} else if ck.RVOf(err) == ck.CKR_GENERAL_ERROR || ck.RVOf(err) == ck.CKR_DEVICE_ERROR {
			t.Fatalf("%v: %v", list, err)
		}
	}
	if made < 100 {
		t.Errorf("only %d of 3000 were objects", made)
	}
}
