package hsm

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/cryptoki/p11"
	"github.com/perilune/perilune/store"
)

func TestFindObjects(t *testing.T) {
	h, s := officer(t)
	var all []ck.ObjectHandle
	add := func(pairs ...any) ck.ObjectHandle {
		all = append(all, create(t, h, s, pairs...))
		return all[len(all)-1]
	}
	aes := []any{ck.CKA_CLASS, ck.CKO_SECRET_KEY, ck.CKA_KEY_TYPE, ck.CKK_AES, ck.CKA_VALUE, "0123456789abcdef"}
	data := []any{ck.CKA_CLASS, ck.CKO_DATA, ck.CKA_APPLICATION, "app"}
	der := testCertificate(t)
	a := add(append(aes, ck.CKA_LABEL, "a", ck.CKA_ID, "1", ck.CKA_TOKEN, true)...)
	b := add(append(aes, ck.CKA_LABEL, "b", ck.CKA_ID, "1", ck.CKA_TOKEN, true, ck.CKA_PRIVATE, false, ck.CKA_EXTRACTABLE, true)...)
	c := add(append(aes, ck.CKA_LABEL, "a", ck.CKA_ID, "2")...)
	d := add(append(data, ck.CKA_LABEL, "a", ck.CKA_VALUE, "v", ck.CKA_TOKEN, true)...)
	e := add(append(data, ck.CKA_VALUE, "v", ck.CKA_PRIVATE, false)...)
	cert := add(ck.CKA_CLASS, ck.CKO_CERTIFICATE, ck.CKA_CERTIFICATE_TYPE, ck.CKC_X_509, ck.CKA_SUBJECT, "s", ck.CKA_VALUE, der,
		ck.CKA_TOKEN, true, ck.CKA_ISSUER, "i", ck.CKA_SERIAL_NUMBER, "n", ck.CKA_ID, "1")
	info, _ := read(h, s, cert, ck.CKA_PUBLIC_KEY_INFO)
	type hs = []ck.ObjectHandle
	for name, x := range map[string]struct {
		template []any
		want     hs
	}{
		"all":                  {nil, all},
		"token":                {[]any{ck.CKA_TOKEN, true}, hs{a, b, d, cert}},
		"session":              {[]any{ck.CKA_TOKEN, false}, hs{c, e}},
		"private":              {[]any{ck.CKA_PRIVATE, true}, hs{a, c, d}},
		"public tokens":        {[]any{ck.CKA_PRIVATE, false, ck.CKA_TOKEN, true}, hs{b, cert}},
		"class":                {[]any{ck.CKA_CLASS, ck.CKO_SECRET_KEY}, hs{a, b, c}},
		"label":                {[]any{ck.CKA_LABEL, "a"}, hs{a, c, d}},
		"no label":             {[]any{ck.CKA_LABEL, ""}, hs{e, cert}},
		"id":                   {[]any{ck.CKA_ID, "1"}, hs{a, b, cert}},
		"id and class":         {[]any{ck.CKA_ID, "1", ck.CKA_CLASS, ck.CKO_SECRET_KEY}, hs{a, b}},
		"id, class, type":      {[]any{ck.CKA_ID, "1", ck.CKA_CLASS, ck.CKO_SECRET_KEY, ck.CKA_KEY_TYPE, ck.CKK_AES, ck.CKA_LABEL, "b"}, hs{b}},
		"not indexed":          {[]any{ck.CKA_ENCRYPT, true}, hs{a, b, c}},
		"true is not 0":        {[]any{ck.CKA_ENCRYPT, "\xff"}, hs{a, b, c}},
		"mixed":                {[]any{ck.CKA_EXTRACTABLE, true, ck.CKA_ID, "1"}, hs{b}},
		"value of data":        {[]any{ck.CKA_CLASS, ck.CKO_DATA, ck.CKA_VALUE, "v"}, hs{d, e}},
		"value of anything":    {[]any{ck.CKA_VALUE, "v"}, hs{d, e}},
		"value of certificate": {[]any{ck.CKA_CLASS, ck.CKO_CERTIFICATE, ck.CKA_VALUE, der}, hs{cert}},
		"value of keys":        {[]any{ck.CKA_CLASS, ck.CKO_SECRET_KEY, ck.CKA_VALUE, "0123456789abcdef"}, hs{b}},
		"value, no class":      {[]any{ck.CKA_VALUE, "0123456789abcdef"}, hs{b}},
		"issuer and serial":    {[]any{ck.CKA_ISSUER, "i", ck.CKA_SERIAL_NUMBER, "n"}, hs{cert}},
		"key info":             {[]any{ck.CKA_PUBLIC_KEY_INFO, info}, hs{cert}},
		"application":          {[]any{ck.CKA_APPLICATION, "app"}, hs{d, e}},
		"two classes":          {[]any{ck.CKA_CLASS, ck.CKO_DATA, ck.CKA_CLASS, ck.CKO_SECRET_KEY}, nil},
		"unknown attribute":    {[]any{ck.AttributeType(0x7777), "x"}, nil},
		"bad length":           {[]any{ck.CKA_CLASS, "\x04"}, nil},
		"bad bool":             {[]any{ck.CKA_TOKEN, 1}, nil},
		"hardware":             {[]any{ck.CKA_CLASS, ck.CKO_HW_FEATURE}, nil},
	} {
		got := find(t, h, s, x.template...)
		slices.Sort(got)
		slices.Sort(x.want)
		if !slices.Equal(got, x.want) {
			t.Errorf("%s: %v, want %v", name, got, x.want)
		}
	}
	must(t, h, &p11.Logout{Session: s})
	got := find(t, h, s)
	slices.Sort(got)
	if want := (hs{b, cert, e}); !slices.Equal(got, want) {
		t.Errorf("without login: %v, want %v", got, want)
	}
	if got := find(t, h, s, ck.CKA_PRIVATE, true); len(got) != 0 {
		t.Errorf("private objects without login: %v", got)
	}
}

func TestFindStates(t *testing.T) {
	h, s := officer(t)
	want(t, h, ck.CKR_OPERATION_NOT_INITIALIZED, &p11.FindObjects{Session: s, Max: 1})
	want(t, h, ck.CKR_OPERATION_NOT_INITIALIZED, &p11.FindObjectsFinal{Session: s})
	must(t, h, &p11.FindObjectsInit{Session: s})
	want(t, h, ck.CKR_OPERATION_ACTIVE, &p11.FindObjectsInit{Session: s})
	other := open(t, h, 0, false)
	must(t, h, &p11.FindObjectsInit{Session: other})
	must(t, h, &p11.FindObjectsFinal{Session: other})
	for _, max := range []int{0, -1, 10} {
		if r := must(t, h, &p11.FindObjects{Session: s, Max: max}); len(r.Objects) != 0 {
			t.Errorf("max %d: %v", max, r.Objects)
		}
	}
	must(t, h, &p11.FindObjectsFinal{Session: s})
	want(t, h, ck.CKR_OPERATION_NOT_INITIALIZED, &p11.FindObjectsFinal{Session: s})
}

func TestFindPages(t *testing.T) {
	h, s := officer(t)
	var all []ck.ObjectHandle
	for i := range 150 {
		all = append(all, create(t, h, s, ck.CKA_CLASS, ck.CKO_DATA, ck.CKA_TOKEN, i%3 != 0, ck.CKA_PRIVATE, i%2 == 0, ck.CKA_LABEL, "x"))
	}
	slices.Sort(all)
	for _, max := range []int{1, 7, 32, 33, 1000} {
		for _, template := range [][]ck.Attribute{nil, tmpl(ck.CKA_LABEL, "x"), tmpl(ck.CKA_MODIFIABLE, true)} {
			must(t, h, &p11.FindObjectsInit{Session: s, Template: template})
			var got []ck.ObjectHandle
			for {
				page := must(t, h, &p11.FindObjects{Session: s, Max: max}).Objects
				if len(page) > max {
					t.Fatalf("%d of %d", len(page), max)
				}
				if len(page) == 0 {
					break
				}
				got = append(got, page...)
			}
			must(t, h, &p11.FindObjectsFinal{Session: s})
			if slices.Sort(got); !slices.Equal(got, all) {
				t.Errorf("max %d: %d objects, want %d", max, len(got), len(all))
			}
		}
	}
}

// TestFindWhileObjectsGo: what is destroyed during a search may be left out; the
// rest is found once.
func TestFindWhileObjectsGo(t *testing.T) {
	h, s := officer(t)
	var all []ck.ObjectHandle
	for range 100 {
		all = append(all, create(t, h, s, ck.CKA_CLASS, ck.CKO_DATA, ck.CKA_TOKEN, true))
	}
	must(t, h, &p11.FindObjectsInit{Session: s, Template: tmpl(ck.CKA_MODIFIABLE, true)})
	got := must(t, h, &p11.FindObjects{Session: s, Max: 10}).Objects
	for _, o := range all[50:] {
		must(t, h, &p11.DestroyObject{Session: s, Object: o})
	}
	got = append(got, must(t, h, &p11.FindObjects{Session: s, Max: 1000}).Objects...)
	if !slices.Equal(got, all[:50]) {
		t.Errorf("%d found", len(got))
	}
}

func TestProfileObjects(t *testing.T) {
	h, s := officer(t)
	list := find(t, h, s, ck.CKA_CLASS, ck.CKO_PROFILE)
	if len(list) != len(profiles) {
		t.Fatal(list)
	}
	o := find(t, h, s, ck.CKA_CLASS, ck.CKO_PROFILE, ck.CKA_PROFILE_ID, ck.CKP_BASELINE_PROVIDER)
	if len(o) != 1 {
		t.Fatal(o)
	}
	check(t, h, s, o[0], ck.CKA_CLASS, ck.CKO_PROFILE, ck.CKA_PROFILE_ID, ck.CKP_BASELINE_PROVIDER)
	id, _ := read(h, s, o[0], ck.CKA_UNIQUE_ID)
	if got := find(t, h, s, ck.CKA_UNIQUE_ID, id); !slices.Equal(got, o) {
		t.Errorf("by CKA_UNIQUE_ID: %v", got)
	}
	want(t, h, ck.CKR_ACTION_PROHIBITED, &p11.DestroyObject{Session: s, Object: o[0]})
	want(t, h, ck.CKR_ACTION_PROHIBITED, &p11.CopyObject{Session: s, Object: o[0]})
	want(t, h, ck.CKR_ACTION_PROHIBITED, &p11.SetAttributeValue{Session: s, Object: o[0], Template: tmpl(ck.CKA_LABEL, "x")})
	if got := find(t, h, s); len(got) != 0 {
		t.Errorf("an empty token lists %v", got)
	}
	if _, rv := read(h, s, firstBuiltin+100, ck.CKA_CLASS); rv != ck.CKR_OBJECT_HANDLE_INVALID {
		t.Error(rv)
	}
}

// counting counts what a store is asked for.
type counting struct {
	store.Store
	gets, finds, changes atomic.Int64
}

type countingTx struct {
	store.Tx
	c *counting
}

func (c *counting) View(ctx context.Context, fn func(store.Tx) error) error {
	return c.Store.View(ctx, func(tx store.Tx) error { return fn(countingTx{tx, c}) })
}

func (tx countingTx) Get(ref store.Ref) (store.Record, error) {
	tx.c.gets.Add(1)
	return tx.Tx.Get(ref)
}

func (tx countingTx) Find(space store.Space, kind store.Kind, terms []store.Term, after store.Ref, limit int) ([]store.Ref, error) {
	tx.c.finds.Add(1)
	return tx.Tx.Find(space, kind, terms, after, limit)
}

func (tx countingTx) Changes(since uint64) ([]store.Change, uint64, bool, error) {
	tx.c.changes.Add(1)
	return tx.Tx.Changes(since)
}

// TestFindDoesNotOpenRecords: a search by indexed attributes reads no object.
func TestFindDoesNotOpenRecords(t *testing.T) {
	h, s := officer(t)
	for i := range 50 {
		create(t, h, s, ck.CKA_CLASS, ck.CKO_DATA, ck.CKA_TOKEN, true, ck.CKA_LABEL, fmt.Sprint(i))
	}
	c := &counting{Store: h.store}
	h.store = c
	p := mustSession(t, h, s).part
	p.objects.clear()
	if got := find(t, h, s, ck.CKA_CLASS, ck.CKO_DATA, ck.CKA_LABEL, "7", ck.CKA_TOKEN, true, ck.CKA_PRIVATE, true); len(got) != 1 {
		t.Error(got)
	}
	find(t, h, s)
	if n := c.gets.Load(); n != 0 {
		t.Errorf("%d records read", n)
	}
	if n := c.finds.Load(); n > 5 {
		t.Errorf("%d searches in the store", n)
	}
	find(t, h, s, ck.CKA_MODIFIABLE, true)
	if n := c.gets.Load(); n != 50 {
		t.Errorf("%d records read, want 50", n)
	}
	find(t, h, s, ck.CKA_MODIFIABLE, true)
	if n := c.gets.Load(); n != 50 {
		t.Errorf("%d records read: the cache was not used", n)
	}
}

func benchmarkHSM(b *testing.B, n int) (*HSM, ck.SessionHandle) {
	b.Helper()
	host := newTestHost()
	h, err := Open(context.Background(), Options{Store: host.place.Open(), RootKey: host.root, Password: cheap})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { h.Close() })
	call := func(req p11.Request, reply any) {
		if err := h.Do(context.Background(), req, reply); err != nil {
			b.Fatalf("%v: %v", req.Kind(), err)
		}
	}
	var s p11.Session
	var none p11.None
	call(&p11.InitToken{PIN: []byte(soPIN)}, &none)
	call(&p11.OpenSession{Flags: ck.CKF_SERIAL_SESSION | ck.CKF_RW_SESSION}, &s)
	call(&p11.Login{Session: s.Session, User: ck.CKU_SO, PIN: []byte(soPIN)}, &none)
	call(&p11.InitPIN{Session: s.Session, PIN: []byte(userPIN)}, &none)
	call(&p11.Logout{Session: s.Session}, &none)
	call(&p11.Login{Session: s.Session, User: ck.CKU_USER, PIN: []byte(userPIN)}, &none)
	ses, err := h.session(s.Session)
	if err != nil {
		b.Fatal(err)
	}
	for i := 0; i < n; {
		var objs []*object
		for ; i < n && len(objs) < 1000; i++ {
			o, err := h.build(context.Background(), ses, &draft{origin: originCreate, template: tmpl(ck.CKA_CLASS, ck.CKO_SECRET_KEY,
				ck.CKA_KEY_TYPE, ck.CKK_AES, ck.CKA_VALUE, "0123456789abcdef", ck.CKA_TOKEN, true, ck.CKA_ID, fmt.Sprint(i), ck.CKA_LABEL, "many")})
			if err != nil {
				b.Fatal(err)
			}
			objs = append(objs, o)
		}
		if _, err := h.add(context.Background(), ses, objs...); err != nil {
			b.Fatal(err)
		}
	}
	return h, s.Session
}

// BenchmarkFindRare is C_FindObjectsInit, C_FindObjects and C_FindObjectsFinal by
// CKA_ID and CKA_CLASS among 100,000 objects, over the store in memory.
func BenchmarkFindRare(b *testing.B) {
	h, s := benchmarkHSM(b, 100_000)
	ctx := context.Background()
	template := tmpl(ck.CKA_CLASS, ck.CKO_SECRET_KEY, ck.CKA_ID, "77777", ck.CKA_TOKEN, true)
	b.ReportAllocs()
	for b.Loop() {
		var none p11.None
		var r p11.Handles
		if h.Do(ctx, &p11.FindObjectsInit{Session: s, Template: template}, &none) != nil ||
			h.Do(ctx, &p11.FindObjects{Session: s, Max: 10}, &r) != nil || len(r.Objects) != 1 ||
			h.Do(ctx, &p11.FindObjectsFinal{Session: s}, &none) != nil {
			b.Fatal(r)
		}
	}
}

// BenchmarkListAll lists 100,000 objects, 100 at a time.
func BenchmarkListAll(b *testing.B) {
	h, s := benchmarkHSM(b, 100_000)
	ctx := context.Background()
	for b.Loop() {
		var none p11.None
		h.Do(ctx, &p11.FindObjectsInit{Session: s}, &none)
		n := 0
		for {
			var r p11.Handles
			if h.Do(ctx, &p11.FindObjects{Session: s, Max: 100}, &r); len(r.Objects) == 0 {
				break
			}
			n += len(r.Objects)
		}
		h.Do(ctx, &p11.FindObjectsFinal{Session: s}, &none)
		if n != 100_000 {
			b.Fatal(n)
		}
	}
}

// BenchmarkLookUp is what every operation pays to find its key.
func BenchmarkLookUp(b *testing.B) {
	h, s := benchmarkHSM(b, 1000)
	ses, err := h.session(s)
	if err != nil {
		b.Fatal(err)
	}
	key := someKey(b, h, s)
	b.ReportAllocs()
	for b.Loop() {
		o, err := h.keyObject(context.Background(), ses, key)
		if err != nil || !o.bool(ck.CKA_ENCRYPT) || o.key() == nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkLoad reads an object that is not in the cache.
func BenchmarkLoad(b *testing.B) {
	h, s := benchmarkHSM(b, 1000)
	ses, err := h.session(s)
	if err != nil {
		b.Fatal(err)
	}
	key := someKey(b, h, s)
	b.ReportAllocs()
	for b.Loop() {
		ses.part.objects.forget(store.Ref(key), 0)
		if _, err := h.keyObject(context.Background(), ses, key); err != nil {
			b.Fatal(err)
		}
	}
}

// someKey is the handle of one of the keys of benchmarkHSM.
func someKey(b *testing.B, h *HSM, s ck.SessionHandle) ck.ObjectHandle {
	b.Helper()
	if _, err := p11.Call(context.Background(), h, &p11.FindObjectsInit{Session: s, Template: tmpl(ck.CKA_ID, "500")}); err != nil {
		b.Fatal(err)
	}
	r, err := p11.Call(context.Background(), h, &p11.FindObjects{Session: s, Max: 1})
	if err != nil || len(r.Objects) != 1 {
		b.Fatal(err)
	}
	return r.Objects[0]
}
