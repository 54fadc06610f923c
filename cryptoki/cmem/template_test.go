package cmem

import (
	"bytes"
	"reflect"
	"runtime"
	"testing"
	"unsafe"

	"github.com/perilune/perilune/cryptoki/ck"
)

// attr is an attribute as a program writes it: values in the form of the ABI.
type attr struct {
	typ   ck.AttributeType
	value []byte // nil for a null pointer
	len   int    // of the room, if more than the value
	sub   []attr
	addr  uint64 // where the value came to lie
}

func (a *arena) template(list []attr) uint64 {
	o := a.object()
	for i := range list {
		e := &list[i]
		n := uint64(max(len(e.value), e.len))
		switch {
		case e.sub != nil:
			e.addr = a.template(e.sub)
			n = uint64(len(e.sub) * a.space().attribute().size)
		case e.value != nil:
			e.addr = a.put(append(e.value, make([]byte, int(n)-len(e.value))...)...)
		}
		o.ulong(uint64(e.typ)).ptr(e.addr).ulong(n)
		o.pad(o.align)
	}
	return a.put(o.end()...)
}

func TestTemplateSizes(t *testing.T) {
	for abi, want := range map[ABI]int{LP64: 24, ILP32: 12, Windows64: 16, Windows32: 12} {
		if got := (&space{ABI: abi}).attribute().size; got != want {
			t.Errorf("%+v: %d, want %d", abi, got, want)
		}
	}
}

func TestReadTemplate(t *testing.T) {
	forEachABI(t, func(t *testing.T, abi ABI) {
		a := newArena(abi)
		ul := func(v ...uint64) []byte {
			o := a.object()
			for _, x := range v {
				o.ulong(x)
			}
			return o.end()
		}
		addr := a.template([]attr{
			{typ: ck.CKA_LABEL, value: []byte("text")},
			{typ: ck.CKA_CLASS, value: ul(uint64(ck.CKO_SECRET_KEY))},
			{typ: ck.CKA_MODULUS_BITS, value: ul(^uint64(0))},
			{typ: ck.CKA_TOKEN, value: []byte{1}},
			{typ: ck.CKA_ID},
			{typ: ck.CKA_VALUE_LEN, value: []byte{1, 2, 3}},
			{typ: ck.CKA_ALLOWED_MECHANISMS, value: ul(uint64(ck.CKM_AES_GCM), uint64(ck.CKM_SHA256))},
			{typ: ck.CKA_WRAP_TEMPLATE, sub: []attr{
				{typ: ck.CKA_KEY_TYPE, value: ul(uint64(ck.CKK_AES))},
				{typ: ck.CKA_UNWRAP_TEMPLATE, sub: []attr{{typ: ck.CKA_SIGN, value: []byte{0}}}},
			}},
			{typ: ck.CKA_SUBJECT, value: []byte{}},
			{typ: 0x80001234, value: ul(5)},
		})
		want := []ck.Attribute{
			ck.NewBytes(ck.CKA_LABEL, []byte("text")),
			ck.NewULong(ck.CKA_CLASS, ck.CKO_SECRET_KEY),
			ck.NewULong(ck.CKA_MODULUS_BITS, ck.UnavailableInformation),
			ck.NewBool(ck.CKA_TOKEN, true),
			{Type: ck.CKA_ID},
			ck.NewBytes(ck.CKA_VALUE_LEN, []byte{1, 2, 3}), // wrong, for the module to say so
			ck.NewBytes(ck.CKA_ALLOWED_MECHANISMS, ck.PutMechanismTypes(ck.CKM_AES_GCM, ck.CKM_SHA256)),
			{Type: ck.CKA_WRAP_TEMPLATE, Template: []ck.Attribute{
				ck.NewULong(ck.CKA_KEY_TYPE, ck.CKK_AES),
				{Type: ck.CKA_UNWRAP_TEMPLATE, Template: []ck.Attribute{ck.NewBool(ck.CKA_SIGN, false)}},
			}},
			ck.NewBytes(ck.CKA_SUBJECT, []byte{}),
			ck.NewBytes(0x80001234, ul(5)), // of the vendor's, and unknown: bytes
		}
		got, err := a.space().template(addr, 10)
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%+v, want %+v", got, want)
		}
		for i := range a.mem {
			a.mem[i] = 0xCC
		}
		if !reflect.DeepEqual(got, want) {
			t.Error("the template changes with the memory")
		}
		Wipe(got)
		if string(got[0].Value) != "\x00\x00\x00\x00" || got[7].Template[0].Value[0] != 0 {
			t.Errorf("wiped: %+v", got)
		}
	})
}

func TestReadBadTemplates(t *testing.T) {
	const absurd = ^uint64(0)
	forEachABI(t, func(t *testing.T, abi ABI) {
		a := newArena(abi)
		good := a.put([]byte("value...value...")...)
		one := func(typ ck.AttributeType, addr, n uint64) uint64 {
			return a.put(a.object().ulong(uint64(typ)).ptr(addr).ulong(n).end()...)
		}
		size := uint64(a.space().attribute().size)
		deep := one(ck.CKA_WRAP_TEMPLATE, good, 0)
		for range maxTemplateDepth {
			deep = one(ck.CKA_WRAP_TEMPLATE, deep, size)
		}
		self := a.base + uint64(len(a.mem))
		one(ck.CKA_WRAP_TEMPLATE, self, size)
		// Four of them that all point to the same many.
		many := a.put(make([]byte, maxCount/3*size)...)
		wide := one(ck.CKA_WRAP_TEMPLATE, many, maxCount/3*size)
		for range 3 {
			one(ck.CKA_WRAP_TEMPLATE, many, maxCount/3*size)
		}
		for _, c := range []struct {
			name        string
			addr, count uint64
			rv          ck.RV
		}{
			{"nothing", 0, 0, ck.CKR_OK},
			{"null", 0, 1, ck.CKR_ARGUMENTS_BAD},
			{"too many", good, maxCount + 1, ck.CKR_ARGUMENTS_BAD},
			{"absurdly many", good, absurd, ck.CKR_ARGUMENTS_BAD},
			{"null value", one(ck.CKA_LABEL, 0, 1), 1, ck.CKR_ATTRIBUTE_VALUE_INVALID},
			{"absurd value", one(ck.CKA_LABEL, good, absurd), 1, ck.CKR_ATTRIBUTE_VALUE_INVALID},
			{"negative value", one(ck.CKA_LABEL, good, absurd-7), 1, ck.CKR_ATTRIBUTE_VALUE_INVALID},
			{"null nested", one(ck.CKA_WRAP_TEMPLATE, 0, size), 1, ck.CKR_ATTRIBUTE_VALUE_INVALID},
			{"half nested", one(ck.CKA_WRAP_TEMPLATE, good, size-1), 1, ck.CKR_ATTRIBUTE_VALUE_INVALID},
			{"absurd nested", one(ck.CKA_WRAP_TEMPLATE, good, absurd/size*size), 1, ck.CKR_ATTRIBUTE_VALUE_INVALID},
			{"too deep", deep, 1, ck.CKR_ATTRIBUTE_VALUE_INVALID},
			{"wide", wide, 2, ck.CKR_OK},
			{"too wide", wide, 4, ck.CKR_ATTRIBUTE_VALUE_INVALID},
			{"itself", self, 1, ck.CKR_ATTRIBUTE_VALUE_INVALID},
		} {
			if list, err := a.space().template(c.addr, c.count); ck.RVOf(err) != c.rv {
				t.Errorf("%s: %+v, %v", c.name, list, err)
			}
			if c.rv == ck.CKR_ARGUMENTS_BAD {
				if _, err := newTemplate(*a.space(), c.addr, c.count); ck.RVOf(err) != c.rv {
					t.Errorf("%s, to fill: %v", c.name, err)
				}
			}
		}
	})
}

// Eight bytes are no CK_ULONG where it has four, and must not look like one
// above.
func TestWrongULong(t *testing.T) {
	a := newArena(Windows64)
	addr := a.template([]attr{{typ: ck.CKA_CLASS, value: make([]byte, 8)}})
	if list, err := a.space().template(addr, 1); ck.RVOf(err) != ck.CKR_ATTRIBUTE_VALUE_INVALID {
		t.Errorf("%+v, %v", list, err)
	}
}

func TestFillTemplate(t *testing.T) {
	forEachABI(t, func(t *testing.T, abi ABI) {
		a := newArena(abi)
		list := []attr{
			{typ: ck.CKA_LABEL, value: []byte("........")},
			{typ: ck.CKA_CLASS, value: []byte("........")},
			{typ: ck.CKA_CLASS},
			{typ: ck.CKA_ALLOWED_MECHANISMS, value: bytes.Repeat([]byte{'.'}, 2*abi.ULong)},
			{typ: ck.CKA_ALLOWED_MECHANISMS, value: bytes.Repeat([]byte{'.'}, 2*abi.ULong-1)},
			{typ: ck.CKA_ID, value: []byte("........")},
			{typ: ck.CKA_VALUE_LEN, value: []byte("........")},
		}
		addr := a.template(list)
		tmpl, err := newTemplate(*a.space(), addr, uint64(len(list)))
		if err != nil {
			t.Fatal(err)
		}
		types := tmpl.Types()
		for i := range list {
			if types[i] != list[i].typ {
				t.Errorf("type %d: %v", i, types[i])
			}
		}
		mechs := ck.PutMechanismTypes(ck.CKM_AES_GCM, ck.CKM_SHA256)
		put := func(i int, rv ck.RV, v []byte) {
			t.Helper()
			if err := tmpl.Put(i, &ck.Attribute{Type: list[i].typ, Value: v}); ck.RVOf(err) != rv {
				t.Errorf("attribute %d: %v", i, err)
			}
		}
		put(0, ck.CKR_OK, []byte("text"))
		put(1, ck.CKR_OK, ck.PutULong(ck.CKO_SECRET_KEY))
		put(2, ck.CKR_OK, ck.PutULong(ck.CKO_SECRET_KEY))
		put(3, ck.CKR_OK, mechs)
		put(4, ck.CKR_BUFFER_TOO_SMALL, mechs)
		tmpl.Unavailable(5)
		put(6, ck.CKR_OK, ck.PutULong(ck.UnavailableInformation))

		const unavailable = -1
		ul := abi.ULong
		for i, want := range []int{4, ul, ul, 2 * ul, unavailable, unavailable, ul} {
			at := tmpl.mem[i*tmpl.layout.size+tmpl.layout.len:]
			got := tmpl.ulong(at)
			if want == unavailable && got != ^uint64(0)>>(64-8*ul) || want >= 0 && got != uint64(want) {
				t.Errorf("attribute %d: length %#x, want %d", i, got, want)
			}
		}
		value := func(i, n int) []byte { return a.at(list[i].addr, n) }
		if got := value(0, 8); string(got) != "text...." {
			t.Errorf("label %q", got)
		}
		if got := tmpl.ulong(value(1, ul)); got != uint64(ck.CKO_SECRET_KEY) {
			t.Errorf("class %d", got)
		}
		if got := [2]uint64{tmpl.ulong(value(3, ul)), tmpl.ulong(value(3, 2*ul)[ul:])}; got != [2]uint64{uint64(ck.CKM_AES_GCM), uint64(ck.CKM_SHA256)} {
			t.Errorf("mechanisms %#x", got)
		}
		if got := value(4, 2*ul-1); !bytes.Equal(got, list[4].value) {
			t.Errorf("too small, but written: %q", got)
		}
	})
}

// Templates in the process's own memory, through the exported functions.
func TestProcessTemplates(t *testing.T) {
	if Host != LP64 {
		t.Skip("needs structures that Go lays out as C does")
	}
	label := []byte("label")
	c := &[1]struct {
		t uint64
		p unsafe.Pointer
		n uint64
	}{{uint64(ck.CKA_LABEL), unsafe.Pointer(&label[0]), 5}}
	list, err := ReadTemplate(unsafe.Pointer(c), 1, Host)
	if err != nil || len(list) != 1 || string(list[0].Value) != "label" {
		t.Errorf("%+v, %v", list, err)
	}
	tmpl, err := NewTemplate(unsafe.Pointer(c), 1, Host)
	if err != nil {
		t.Fatal(err)
	}
	if err := tmpl.Put(0, &ck.Attribute{Type: ck.CKA_LABEL, Value: []byte("LAB")}); err != nil || string(label) != "LABel" || c[0].n != 3 {
		t.Errorf("%q, %d, %v", label, c[0].n, err)
	}
	runtime.KeepAlive(c)
}
