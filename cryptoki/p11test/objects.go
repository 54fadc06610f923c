package p11test

import (
	"bytes"
	"slices"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/cryptoki/p11"
)

func testObjects(h *host) {
	h.token()
	for _, token := range []bool{false, true} {
		for _, private := range []bool{false, true} {
			o := h.create(data("one", token, private)...)
			if o == 0 {
				h.Error("handle 0")
			}
			if string(h.get(o, ck.CKA_VALUE)) != "value of one" || h.getBool(o, ck.CKA_TOKEN) != token || h.getBool(o, ck.CKA_PRIVATE) != private {
				h.Error("the object is another than was asked for")
			}
			must(h, &p11.SetAttributeValue{Session: h.s, Object: o, Template: []ck.Attribute{text(ck.CKA_LABEL, "two")}})
			if string(h.get(o, ck.CKA_LABEL)) != "two" {
				h.Error("the label did not change")
			}
			if got := h.find(h.s, text(ck.CKA_LABEL, "two")); !slices.Equal(got, []ck.ObjectHandle{o}) {
				h.Errorf("a search finds %v, not %v", got, o)
			}
			if got := h.find(h.s, text(ck.CKA_LABEL, "one")); len(got) != 0 {
				h.Errorf("a search by the old label finds %v", got)
			}
			if n := must(h, &p11.GetObjectSize{Session: h.s, Object: o}).Bytes; n < 10 {
				h.Errorf("%d bytes", n)
			}
			must(h, &p11.DestroyObject{Session: h.s, Object: o})
			refused(h, &p11.DestroyObject{Session: h.s, Object: o}, ck.CKR_OBJECT_HANDLE_INVALID)
			refused(h, &p11.GetAttributeValue{Session: h.s, Object: o, Types: []ck.AttributeType{ck.CKA_LABEL}}, ck.CKR_OBJECT_HANDLE_INVALID)
			if got := h.find(h.s, text(ck.CKA_LABEL, "two")); len(got) != 0 {
				h.Errorf("a search finds what was destroyed: %v", got)
			}
		}
	}
}

// testVisibility: who sees what.
func testVisibility(h *host) {
	h.token()
	h.initToken(1)
	elsewhere := h.open(1, true)
	h.login(elsewhere)
	second := h.open(0, false)
	all := map[string]ck.ObjectHandle{}
	for name, v := range map[string][2]bool{"public token": {true, false}, "private token": {true, true}, "public session": {false, false}, "private session": {false, true}} {
		all[name] = h.create(data(name, v[0], v[1])...)
	}
	visible := func(what string, s ck.SessionHandle, names ...string) {
		h.Helper()
		for name, o := range all {
			want := slices.Contains(names, name)
			if _, err := h.label(s, o); (err == nil) != want {
				h.Errorf("%s: %s object visible: %v, want %v", what, name, err == nil, want)
			}
			if got := h.find(s, text(ck.CKA_LABEL, name)); (len(got) == 1) != want {
				h.Errorf("%s: a search for the %s object finds %v", what, name, got)
			}
		}
	}
	visible("its own session", h.s, "public token", "private token", "public session", "private session")
	visible("another session", second, "public token", "private token", "public session", "private session")
	visible("another slot", elsewhere)
	must(h, &p11.Logout{Session: h.s})
	visible("nobody", h.s, "public token", "public session")
	h.login(h.s)
	visible("after another login", h.s, "public token", "private token", "public session")
	must(h, &p11.CloseSession{Session: h.s})
	visible("without the session that made them", second, "public token", "private token")
}

// testObjectRules: what sessions, roles and attributes forbid.
func testObjectRules(h *host) {
	h.token()
	o := h.create(data("x", true, false)...)
	ro := h.open(0, false)
	no := ck.RV(ck.CKR_SESSION_READ_ONLY)
	refused(h, &p11.CreateObject{Session: ro, Template: data("y", true, false)}, no)
	refused(h, &p11.SetAttributeValue{Session: ro, Object: o, Template: []ck.Attribute{text(ck.CKA_LABEL, "z")}}, no)
	refused(h, &p11.DestroyObject{Session: ro, Object: o}, no)
	must(h, &p11.CreateObject{Session: ro, Template: data("y", false, true)})
	must(h, &p11.CloseSession{Session: ro})
	for name, row := range map[string]struct {
		template []ck.Attribute
		rv       []ck.RV
	}{
		"nothing":            {nil, []ck.RV{ck.CKR_TEMPLATE_INCOMPLETE}},
		"no type":            {[]ck.Attribute{ck.NewULong(ck.CKA_CLASS, ck.CKO_SECRET_KEY)}, []ck.RV{ck.CKR_TEMPLATE_INCOMPLETE}},
		"no value":           {key(ck.CKK_AES, nil)[:2], []ck.RV{ck.CKR_TEMPLATE_INCOMPLETE}},
		"unknown class":      {[]ck.Attribute{ck.NewULong(ck.CKA_CLASS, ck.ObjectClass(99))}, []ck.RV{ck.CKR_ATTRIBUTE_VALUE_INVALID}},
		"unknown attribute":  {append(data("x", false, false), ck.NewBytes(0x7fffffff, []byte{1})), []ck.RV{ck.CKR_ATTRIBUTE_TYPE_INVALID}},
		"another's":          {append(data("x", false, false), ck.NewBytes(ck.CKA_MODULUS, []byte{1})), []ck.RV{ck.CKR_TEMPLATE_INCONSISTENT}},
		"read-only":          {append(data("x", false, false), text(ck.CKA_UNIQUE_ID, "x")), []ck.RV{ck.CKR_ATTRIBUTE_READ_ONLY}},
		"a long truth value": {append(data("x", false, false), ck.NewBytes(ck.CKA_COPYABLE, []byte{1, 1})), []ck.RV{ck.CKR_ATTRIBUTE_VALUE_INVALID}},
		"two values":         {append(data("x", false, false), text(ck.CKA_LABEL, "y")), []ck.RV{ck.CKR_TEMPLATE_INCONSISTENT}},
		"AES of 17 bytes":    {key(ck.CKK_AES, sequence(17)), []ck.RV{ck.CKR_ATTRIBUTE_VALUE_INVALID, ck.CKR_KEY_SIZE_RANGE}},
	} {
		_, err := ask(h, &p11.CreateObject{Session: h.s, Template: row.template})
		h.wants(name, err, row.rv...)
	}
	// A change is made as a whole or not at all.
	refused(h, &p11.SetAttributeValue{Session: h.s, Object: o, Template: []ck.Attribute{text(ck.CKA_LABEL, "half"), text(ck.CKA_UNIQUE_ID, "x")}}, ck.CKR_ATTRIBUTE_READ_ONLY)
	if got, _ := h.label(h.s, o); got != "x" {
		h.Errorf("a refused change left the label %q", got)
	}
	fixed := h.create(append(data("fixed", true, false), ck.NewBool(ck.CKA_MODIFIABLE, false), ck.NewBool(ck.CKA_DESTROYABLE, false), ck.NewBool(ck.CKA_COPYABLE, false))...)
	refused(h, &p11.SetAttributeValue{Session: h.s, Object: fixed, Template: []ck.Attribute{text(ck.CKA_LABEL, "y")}}, ck.CKR_ACTION_PROHIBITED)
	refused(h, &p11.DestroyObject{Session: h.s, Object: fixed}, ck.CKR_ACTION_PROHIBITED)
	refused(h, &p11.CopyObject{Session: h.s, Object: fixed}, ck.CKR_ACTION_PROHIBITED)
	must(h, &p11.Logout{Session: h.s})
	refused(h, &p11.CreateObject{Session: h.s, Template: data("y", false, true)}, ck.CKR_USER_NOT_LOGGED_IN)
}

// testAttributes: replies with errors inside.
func testAttributes(h *host) {
	h.token()
	o := h.create(key(ck.CKK_AES, sequence(16))...)
	hidden := h.create(ck.NewULong(ck.CKA_CLASS, ck.CKO_SECRET_KEY), ck.NewULong(ck.CKA_KEY_TYPE, ck.CKK_AES), ck.NewBytes(ck.CKA_VALUE, sequence(16)),
		ck.NewBool(ck.CKA_SENSITIVE, true), text(ck.CKA_LABEL, "hidden"))
	types := []ck.AttributeType{ck.CKA_LABEL, ck.CKA_VALUE, ck.CKA_MODULUS, ck.CKA_KEY_TYPE, 0x7fffffff}
	check := func(o ck.ObjectHandle, rv ck.RV, want ...ck.RV) ck.Attribute {
		h.Helper()
		r, err := ask(h, &p11.GetAttributeValue{Session: h.s, Object: o, Types: types})
		h.wants("GetAttributeValue", err, rv)
		if len(r.Results) != len(types) {
			h.Fatalf("%d results for %d attributes", len(r.Results), len(types))
		}
		for i, a := range r.Results {
			if a.RV != want[i] || a.Type != types[i] || a.RV != ck.CKR_OK && a.Value != nil {
				h.Errorf("%v: %v %x, want %v", a.Type, a.RV, a.Value, want[i])
			}
		}
		return r.Results[1].Attribute
	}
	missing, secret, ok := ck.RV(ck.CKR_ATTRIBUTE_TYPE_INVALID), ck.RV(ck.CKR_ATTRIBUTE_SENSITIVE), ck.RV(ck.CKR_OK)
	if v := check(o, missing, ok, ok, missing, ok, missing); !bytes.Equal(v.Value, sequence(16)) {
		h.Errorf("value %x", v.Value)
	}
	check(hidden, secret, ok, secret, missing, ok, missing)
	// What a reply holds is the caller's: changing it changes no object.
	r := must(h, &p11.GetAttributeValue{Session: h.s, Object: o, Types: []ck.AttributeType{ck.CKA_ID}})
	if len(r.Results[0].Value) != 0 {
		h.Error("CKA_ID by default")
	}
	nested := []ck.Attribute{ck.NewULong(ck.CKA_KEY_TYPE, ck.CKK_AES), text(ck.CKA_LABEL, "inner")}
	o = h.create(key(ck.CKK_AES, sequence(16), ck.Attribute{Type: ck.CKA_WRAP_TEMPLATE, Template: nested})...)
	r = must(h, &p11.GetAttributeValue{Session: h.s, Object: o, Types: []ck.AttributeType{ck.CKA_WRAP_TEMPLATE}})
	got := r.Results[0].Template
	if len(got) != 2 {
		h.Fatalf("nested template %v", got)
	}
	for _, a := range nested {
		if b := ck.Find(got, a.Type); b == nil || !bytes.Equal(b.Value, a.Value) {
			h.Errorf("%v in the nested template: %v", a.Type, b)
		}
	}
}

func testFind(h *host) {
	h.token()
	var want []ck.ObjectHandle
	for i := range 10 {
		token := i%2 == 0
		o := h.create(append(data("many", token, i%3 == 0), text(ck.CKA_APPLICATION, string(rune('a'+i%2))))...)
		want = append(want, o)
	}
	sorted := func(l []ck.ObjectHandle) []ck.ObjectHandle { return slices.Sorted(slices.Values(l)) }
	if got := h.find(h.s, text(ck.CKA_LABEL, "many")); !slices.Equal(sorted(got), sorted(want)) {
		h.Errorf("found %v, want %v", got, want)
	}
	if got := h.find(h.s, text(ck.CKA_LABEL, "many"), text(ck.CKA_APPLICATION, "a")); len(got) != 5 {
		h.Errorf("with two attributes: %v", got)
	}
	if got := h.find(h.s, text(ck.CKA_LABEL, "many"), ck.NewBool(ck.CKA_TOKEN, false)); len(got) != 5 {
		h.Errorf("session objects: %v", got)
	}
	for _, a := range []ck.Attribute{text(ck.CKA_LABEL, "man"), text(ck.CKA_LABEL, ""), ck.NewBytes(0x7fffffff, []byte{1})} {
		if got := h.find(h.s, text(ck.CKA_APPLICATION, "a"), a); len(got) != 0 {
			h.Errorf("%v: %v", a, got)
		}
	}
	if got := h.find(h.s); len(got) < 10 {
		h.Errorf("everything: %v", got)
	}
	refused(h, &p11.FindObjects{Session: h.s, Max: 1}, ck.CKR_OPERATION_NOT_INITIALIZED)
	refused(h, &p11.FindObjectsFinal{Session: h.s}, ck.CKR_OPERATION_NOT_INITIALIZED)
	must(h, &p11.FindObjectsInit{Session: h.s})
	refused(h, &p11.FindObjectsInit{Session: h.s}, ck.CKR_OPERATION_ACTIVE)
	if r := must(h, &p11.FindObjects{Session: h.s, Max: 0}); len(r.Objects) != 0 {
		h.Error("handles where none were asked for")
	}
	// A search bears that its objects go.
	for _, o := range want {
		must(h, &p11.DestroyObject{Session: h.s, Object: o})
	}
	must(h, &p11.FindObjects{Session: h.s, Max: 100})
	must(h, &p11.FindObjectsFinal{Session: h.s})
	// A sensitive value cannot be searched for, or it could be guessed by searching.
	h.create(key(ck.CKK_AES, sequence(16))[:3]...)
	h.create(ck.NewULong(ck.CKA_CLASS, ck.CKO_SECRET_KEY), ck.NewULong(ck.CKA_KEY_TYPE, ck.CKK_AES), ck.NewBytes(ck.CKA_VALUE, sequence(24)), ck.NewBool(ck.CKA_SENSITIVE, true))
	if got := h.find(h.s, ck.NewBytes(ck.CKA_VALUE, sequence(24))); len(got) != 0 {
		h.Error("a search by a sensitive value finds the key")
	}
}

func testCopy(h *host) {
	h.token()
	o := h.create(key(ck.CKK_AES, sequence(16), ck.NewBool(ck.CKA_PRIVATE, true))...)
	copyOf := func(rv ck.RV, a ...ck.Attribute) ck.ObjectHandle {
		h.Helper()
		r, err := ask(h, &p11.CopyObject{Session: h.s, Object: o, Template: a})
		h.wants("CopyObject", err, rv)
		return r.Object
	}
	c := copyOf(ck.CKR_OK, ck.NewBool(ck.CKA_TOKEN, true), text(ck.CKA_LABEL, "copy"), ck.NewBool(ck.CKA_SENSITIVE, true))
	if !h.getBool(c, ck.CKA_TOKEN) || string(h.get(c, ck.CKA_LABEL)) != "copy" || bytes.Equal(h.get(c, ck.CKA_UNIQUE_ID), h.get(o, ck.CKA_UNIQUE_ID)) {
		h.Error("the copy lacks its changes")
	}
	copyOf(ck.CKR_ATTRIBUTE_READ_ONLY, ck.NewBytes(ck.CKA_VALUE, sequence(16)))
	copyOf(ck.CKR_TEMPLATE_INCONSISTENT, ck.NewBool(ck.CKA_PRIVATE, false))
	o = c
	copyOf(ck.CKR_ATTRIBUTE_READ_ONLY, ck.NewBool(ck.CKA_SENSITIVE, false))
}
