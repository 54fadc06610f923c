package cmem

import (
	"errors"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"unsafe"

	"github.com/perilune/perilune/cryptoki/ck"
)

// The structures of the tests have every kind of field.
type (
	inner struct {
		A    byte
		B    ck.MechanismType
		C    bool
		Name [3]byte
	}
	withBits struct {
		IV      []byte `c:"ptr,len,inout"`
		Fixed   uint64
		Method  ck.GeneratorFunction
		Tag     []byte `c:"ptr,bits,inout"`
		TagBits uint64 `c:"-"`
	}
	everything struct {
		Flag     bool
		Inner    inner
		Data     []byte `c:"len,ptr"`
		Key      ck.ObjectHandle
		Raw      uintptr
		Nested   *withBits      `c:"ptr"`
		Version  *inner         `c:"ptr,inout"`
		Length   *uint64        `c:"ptr,inout"`
		Vector   *[4]byte       `c:"ptr,inout"`
		List     []inner        `c:"ptr,len,inout"`
		Types    []ck.PRF       `c:"len,ptr"`
		Template []ck.Attribute `c:"ptr,len"`
		Last     byte
	}
)

func (a *arena) inner(v inner) *object {
	c := byte(0)
	if v.C {
		c = 1
	}
	return a.object().bytes(v.A).ulong(uint64(v.B)).bytes(c).bytes(v.Name[:]...)
}

func (a *arena) withBits(iv, tag string, bits uint64) *object {
	return a.object().ptr(a.put([]byte(iv)...)).ulong(uint64(len(iv))).ulong(5).ulong(6).
		ptr(a.put([]byte(tag)...)).ulong(bits)
}

func sampleInner(n byte) inner {
	return inner{A: n, B: ck.MechanismType(n) << 24, C: n&1 != 0, Name: [3]byte{n, n + 1, n + 2}}
}

// everything builds the sample in the arena.
func (a *arena) everything() (addr uint64, size int) {
	first := a.inner(sampleInner(1)).end()
	o := a.object().bytes(1)
	align := 1
	if !a.abi.Packed {
		align = a.abi.ULong
	}
	o.pad(align)
	o.bytes(first...)
	list := append(a.inner(sampleInner(3)).end(), a.inner(sampleInner(4)).end()...)
	types := a.object().ulong(7).ulong(0xFFFFFFF0).end()
	label := a.put([]byte("label")...)
	template := a.object().ulong(uint64(ck.CKA_LABEL)).ptr(label).ulong(5).end()
	o.ulong(4).ptr(a.put([]byte("data")...)).
		ulong(0x1234).ptr(0x77).
		ptr(a.put(a.withBits("an iv", "tag", 20).end()...)).
		ptr(a.put(a.inner(sampleInner(2)).end()...)).
		ptr(a.put(a.object().ulong(99).end()...)).
		ptr(a.put(1, 2, 3, 4)).
		ptr(a.put(list...)).ulong(2).
		ulong(2).ptr(a.put(types...)).
		ptr(a.put(template...)).ulong(1).
		bytes(0xAB)
	b := o.end()
	return a.put(b...), len(b)
}

func sample() *everything {
	version, length, list := sampleInner(2), uint64(99), []inner{sampleInner(3), sampleInner(4)}
	return &everything{
		Flag: true, Inner: sampleInner(1), Data: []byte("data"), Key: 0x1234, Raw: 0x77,
		Nested:  &withBits{IV: []byte("an iv"), Fixed: 5, Method: 6, Tag: []byte("tag"), TagBits: 20},
		Version: &version, Length: &length, Vector: &[4]byte{1, 2, 3, 4}, List: list,
		Types:    []ck.PRF{7, 0xFFFFFFF0},
		Template: []ck.Attribute{{Type: ck.CKA_LABEL, Value: []byte("label")}},
		Last:     0xAB,
	}
}

func TestDecode(t *testing.T) {
	forEachABI(t, func(t *testing.T, abi ABI) {
		a := newArena(abi)
		addr, size := a.everything()
		v, err := a.space().decode((*everything)(nil), addr, uint64(size))
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(v, sample()) {
			t.Errorf("%+v, want %+v", v, sample())
		}
		for i := range a.mem {
			a.mem[i] = 0xCC
		}
		if !reflect.DeepEqual(v, sample()) {
			t.Error("what was decoded changes with the memory")
		}
		for n := range uint64(3 * size) {
			if n == 0 || n == uint64(size) {
				continue
			}
			if _, err := a.space().decode((*everything)(nil), addr, n); !errors.Is(err, ck.CKR_MECHANISM_PARAM_INVALID) {
				t.Errorf("length %d: %v", n, err)
			}
		}
	})
}

// Output of a length that the structure does not tell.
func TestOut(t *testing.T) {
	type params struct {
		N   uint64
		Out []byte `c:"ptr,out"`
	}
	forEachABI(t, func(t *testing.T, abi ABI) {
		a := newArena(abi)
		room := a.put([]byte("........")...)
		at := a.put(a.object().ulong(3).ptr(room).end()...)
		null := a.put(a.object().ulong(3).ptr(0).end()...)
		size, err := Size((*params)(nil), abi)
		if err != nil {
			t.Fatal(err)
		}
		decode := func(at uint64) *params {
			v, err := a.space().decode((*params)(nil), at, uint64(size))
			if err != nil {
				t.Fatal(err)
			}
			return v.(*params)
		}
		p := decode(at)
		if p.N != 3 || p.Out == nil || len(p.Out) != 0 {
			t.Errorf("%+v", p)
		}
		p.Out = append(p.Out, "abc"...)
		if err := a.space().writeBack(p, at, uint64(size)); err != nil {
			t.Error(err)
		}
		if got := a.at(room, 8); string(got) != "abc....." {
			t.Errorf("%q", got)
		}
		if p = decode(null); p.Out != nil {
			t.Errorf("%+v", p)
		}
		p.Out = []byte("abc")
		if err := a.space().writeBack(p, null, uint64(size)); err != nil {
			t.Errorf("output to nowhere: %v", err)
		}
	})
}

// Only what is inout is written, and not beyond the room there is.
func TestWriteBack(t *testing.T) {
	forEachABI(t, func(t *testing.T, abi ABI) {
		a := newArena(abi)
		addr, size := a.everything()
		v := sample()
		v.Flag, v.Inner, v.Key, v.Data[0], v.Types[0], v.Last = false, inner{}, 1, 'X', 1, 0 // not inout
		v.Nested.Fixed = 1
		v.Nested.IV, v.Nested.Tag = []byte("AN IV AND MORE"), []byte("T")
		*v.Version, *v.Length, *v.Vector = sampleInner(8), 55, [4]byte{9, 8, 7, 6}
		v.List[1] = sampleInner(9)
		if err := a.space().writeBack(v, addr, uint64(size)); err != nil {
			t.Fatal(err)
		}
		want := sample()
		want.Nested.IV, want.Nested.Tag = []byte("AN IV"), []byte("Tag")
		*want.Version, *want.Length, *want.Vector = sampleInner(8), 55, [4]byte{9, 8, 7, 6}
		want.List[1] = sampleInner(9)
		got, err := a.space().decode((*everything)(nil), addr, uint64(size))
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%+v, want %+v", got, want)
		}
	})
}

func TestWipeParameter(t *testing.T) {
	v := sample()
	WipeParameter(v)
	want := sample()
	clear(want.Data)
	clear(want.Nested.IV)
	clear(want.Nested.Tag)
	clear(want.Template[0].Value)
	if !reflect.DeepEqual(v, want) {
		t.Errorf("%+v, want %+v", v, want)
	}
	b := []byte("bytes")
	WipeParameter(b)
	if string(b) != "\x00\x00\x00\x00\x00" {
		t.Errorf("%q", b)
	}
	for _, v := range []any{nil, uint64(5), (*everything)(nil)} {
		WipeParameter(v)
	}
}

func TestWriteBackOfNothing(t *testing.T) {
	for _, v := range []any{nil, []byte("iv"), uint64(1), (*everything)(nil), &inner{}} {
		if err := WriteBack(v, nil, 0, Host); err != nil {
			t.Errorf("%T: %v", v, err)
		}
	}
}

func TestDecodeSimple(t *testing.T) {
	forEachABI(t, func(t *testing.T, abi ABI) {
		a := newArena(abi)
		bytes, number := a.put([]byte("some bytes")...), a.put(a.object().ulong(0x89ABCDEF).end()...)
		ul := uint64(abi.ULong)
		invalid := ck.CKR_MECHANISM_PARAM_INVALID
		for _, c := range []struct {
			name    string
			proto   any
			addr, n uint64
			want    any
			err     error
		}{
			{"none", nil, 0, 0, nil, nil},
			{"none, empty", nil, bytes, 0, nil, nil},
			{"none, something", nil, bytes, 1, nil, invalid},
			{"bytes", []byte(nil), bytes, 4, []byte("some"), nil},
			{"bytes, null", []byte(nil), 0, 0, nil, nil},
			{"bytes, empty", []byte(nil), bytes, 0, []byte{}, nil},
			{"bytes, null with length", []byte(nil), 0, 4, nil, invalid},
			{"bytes, too many", []byte(nil), bytes, MaxLen + 1, nil, invalid},
			{"bytes, round the end", []byte(nil), ^uint64(0) >> (64 - 8*abi.Ptr), 4, nil, invalid},
			{"number", uint64(0), number, ul, uint64(0x89ABCDEF), nil},
			{"number, named", ck.ObjectHandle(0), number, ul, ck.ObjectHandle(0x89ABCDEF), nil},
			{"number, null", uint64(0), 0, 0, nil, nil},
			{"number, too short", uint64(0), number, ul - 1, nil, invalid},
			{"number, too long", uint64(0), number, ul + 1, nil, invalid},
			{"structure, null", (*inner)(nil), 0, 0, nil, nil},
			{"structure, empty", (*inner)(nil), bytes, 0, nil, nil},
			{"structure, null with length", (*inner)(nil), 0, 8, nil, invalid},
		} {
			v, err := a.space().decode(c.proto, c.addr, c.n)
			if !errors.Is(err, c.err) || !reflect.DeepEqual(v, c.want) {
				t.Errorf("%s: %#v, %v", c.name, v, err)
			}
		}
	})
}

// orBytes is a structure that may be passed as plain bytes.
type orBytes struct {
	IV   []byte `c:"ptr,len"`
	Bits uint64
}

func (p *orBytes) FromBytes(b []byte) error {
	if len(b) > 5 {
		return ck.CKR_MECHANISM_PARAM_INVALID
	}
	*p = orBytes{IV: b, Bits: 128}
	return nil
}

func TestDecodeFromBytes(t *testing.T) {
	forEachABI(t, func(t *testing.T, abi ABI) {
		a := newArena(abi)
		iv := a.put([]byte("an iv and more")...)
		whole := a.object().ptr(iv).ulong(5).ulong(96).end()
		structure := a.put(whole...)
		for _, c := range []struct {
			addr, n uint64
			want    any
			err     error
		}{
			{structure, uint64(len(whole)), &orBytes{IV: []byte("an iv"), Bits: 96}, nil},
			{iv, 5, &orBytes{IV: []byte("an iv"), Bits: 128}, nil},
			{iv, 6, &orBytes{}, ck.CKR_MECHANISM_PARAM_INVALID},
			{0, 5, nil, ck.CKR_MECHANISM_PARAM_INVALID},
			{0, 0, nil, nil},
		} {
			v, err := a.space().decode((*orBytes)(nil), c.addr, c.n)
			if !errors.Is(err, c.err) || !reflect.DeepEqual(v, c.want) {
				t.Errorf("%d bytes: %+v, %v", c.n, v, err)
			}
		}
	})
}

// The length of a nonce may be in bytes or in bits.
func TestDecodeNonce(t *testing.T) {
	forEachABI(t, func(t *testing.T, abi ABI) {
		type nonce struct {
			N []byte `c:"ptr,nonce"`
		}
		for n, want := range map[uint64]int{0: 0, 8: 8, 12: 12, 24: 24, 63: 63, 64: 8, 96: 12, 97: 13, 192: 24} {
			a := newArena(abi)
			b := a.object().ptr(a.put(make([]byte, 64)...)).ulong(n).end()
			v, err := a.space().decode((*nonce)(nil), a.put(b...), uint64(len(b)))
			if err != nil || len(v.(*nonce).N) != want {
				t.Errorf("%d: %+v, %v", n, v, err)
			}
		}
	})
}

// A length may be a pointer to the length.
func TestDecodeAnyLength(t *testing.T) {
	type password struct {
		Text []byte `c:"ptr,anylen"`
	}
	forEachABI(t, func(t *testing.T, abi ABI) {
		a := newArena(abi)
		a.base = 2 * lowestAddress
		text := a.put([]byte("password and more")...)
		a.put(make([]byte, 7)...)
		five, many := a.put(a.object().ulong(5).end()...), a.put(a.object().ulong(lowestAddress).end()...)
		for _, c := range []struct {
			addr, n uint64
			want    string
			ok      bool
		}{
			{text, 8, "password", true},
			{text, five, "passw", abi.ULong == abi.Ptr},
			{text, many, "", false},
			{text, five + 1, "", false},
			{text, a.base - 8, "", false},
			{text, ^uint64(0), "", false},
			{text, 1 << 62, "", false},
			{text, 1000, "", false},
			{0, five, "", false},
			{0, 0, "", true},
		} {
			b := a.object().ptr(c.addr).ulong(c.n).end()
			if abi.ULong == 4 && c.n > 1<<32 {
				continue
			}
			v, err := a.space().decode((*password)(nil), a.put(b...), uint64(len(b)))
			if (err == nil) != c.ok || err != nil && ck.RVOf(err) != ck.CKR_MECHANISM_PARAM_INVALID {
				t.Errorf("%#x: %+v, %v", c.n, v, err)
			} else if err == nil && string(v.(*password).Text) != c.want {
				t.Errorf("%#x: %q, want %q", c.n, v.(*password).Text, c.want)
			}
		}
	})
}

// variant is a structure with a field of several meanings.
type (
	variant struct {
		Kind  uint64
		Value any `c:"ptr,len"`
	}
	variants struct {
		List []variant `c:"len,ptr"`
	}
)

func (v *variant) Variant() any {
	switch v.Kind {
	case 1:
		return (*inner)(nil)
	case 2:
		return []byte(nil)
	case 3:
		return uint64(0)
	}
	return nil
}

// badVariant has its length in the wrong place.
type badVariant struct {
	Value any `c:"len,ptr"`
}

func (*badVariant) Variant() any { return nil }

// variants builds one of each kind.
func (a *arena) variants() (addr uint64, size int) {
	first := a.inner(sampleInner(1)).end()
	number := a.object().ulong(77).end()
	var list []byte
	for _, v := range []struct{ kind, addr, n uint64 }{
		{1, a.put(first...), uint64(len(first))},
		{2, a.put([]byte("bytes")...), 5},
		{3, a.put(number...), uint64(len(number))},
		{4, 0, 0},
		{1, 0, 0},
		{4, 0x1000, 0},
	} {
		list = append(list, a.object().ulong(v.kind).ptr(v.addr).ulong(v.n).end()...)
	}
	b := a.object().ulong(6).ptr(a.put(list...)).end()
	return a.put(b...), len(b)
}

func TestDecodeVariant(t *testing.T) {
	forEachABI(t, func(t *testing.T, abi ABI) {
		a := newArena(abi)
		addr, size := a.variants()
		v, err := a.space().decode((*variants)(nil), addr, uint64(size))
		if err != nil {
			t.Fatal(err)
		}
		first := sampleInner(1)
		want := &variants{[]variant{{1, &first}, {2, []byte("bytes")}, {3, uint64(77)}, {4, nil}, {1, nil}, {4, nil}}}
		if !reflect.DeepEqual(v, want) {
			t.Errorf("%+v, want %+v", v, want)
		}
		before := append([]byte(nil), a.mem...)
		if err := a.space().writeBack(v, addr, uint64(size)); err != nil || string(before) != string(a.mem) {
			t.Errorf("written back: %v", err)
		}
		WipeParameter(v)
		if b := v.(*variants).List[1].Value.([]byte); string(b) != "\x00\x00\x00\x00\x00" {
			t.Errorf("after wiping: %q", b)
		}
		for _, c := range []struct{ kind, addr, n uint64 }{
			{1, 0x1000, 5}, {1, 0, 8}, {2, 0, 1}, {2, 0x1000, 0x10000}, {2, 0x1000, ^uint64(0)},
			{3, 0x1000, 3}, {4, 0x1000, 1}, {4, 0, 1},
		} {
			b := a.object().ulong(c.kind).ptr(c.addr).ulong(c.n).end()
			if v, err := a.space().decode((*variant)(nil), a.put(b...), uint64(len(b))); ck.RVOf(err) != ck.CKR_MECHANISM_PARAM_INVALID {
				t.Errorf("%+v: %+v, %v", c, v, err)
			}
		}
	})
}

// Pointers inside are as suspect as those outside.
func TestDecodePointersInside(t *testing.T) {
	forEachABI(t, func(t *testing.T, abi ABI) {
		const absurd = ^uint64(0)
		for _, c := range []struct {
			name                   string
			iv, ivLen, tag, tagLen uint64
			ok                     bool
		}{
			{"all null", 0, 0, 0, 0, true},
			{"null with length", 0, 1, 0, 0, false},
			{"null with bits", 0, 0, 0, 1, false},
			{"no length", 0x1000, 0, 0x1000, 0, true},
			{"absurd length", 0x1000, absurd, 0, 0, false},
			{"absurd bits", 0, 0, 0x1000, absurd, false},
			{"outside", 0x1000, 0x10000, 0, 0, false},
		} {
			a := newArena(abi)
			b := a.object().ptr(c.iv).ulong(c.ivLen).ulong(0).ulong(0).ptr(c.tag).ulong(c.tagLen).end()
			v, err := a.space().decode((*withBits)(nil), a.put(b...), uint64(len(b)))
			if (err == nil) != c.ok || err != nil && ck.RVOf(err) != ck.CKR_MECHANISM_PARAM_INVALID {
				t.Errorf("%s: %+v, %v", c.name, v, err)
			}
		}
		a := newArena(abi)
		type lists struct {
			L []inner `c:"ptr,len"`
		}
		for _, n := range []uint64{maxCount, maxCount + 1, absurd, absurd / 8} {
			b := a.object().ptr(a.base).ulong(n).end()
			if v, err := a.space().decode((*lists)(nil), a.put(b...), uint64(len(b))); ck.RVOf(err) != ck.CKR_MECHANISM_PARAM_INVALID {
				t.Errorf("%d elements: %+v, %v", n, v, err)
			}
		}
	})
}

// Types that no layout fits are found out by Size, which tests call for every
// prototype.
func TestBadTypes(t *testing.T) {
	type list struct {
		Next *list `c:"ptr"`
	}
	for _, proto := range []any{
		nil, (*list)(nil), (*int)(nil), (*string)(nil),
		(*struct{ X int })(nil),
		(*struct{ X []byte })(nil),
		(*struct{ X *inner })(nil),
		(*struct{ X [3]uint64 })(nil),
		(*struct {
			X uint64 `c:"ptr"`
		})(nil),
		(*struct {
			X *inner `c:"ptr,len"`
		})(nil),
		(*struct {
			X []inner `c:"ptr,bits"`
		})(nil),
		(*struct {
			X []inner `c:"ptr,nonce"`
		})(nil),
		(*struct {
			X []byte `c:"bits,ptr"`
		})(nil),
		(*struct {
			X []byte `c:"ptr, len"`
		})(nil),
		(*struct {
			X []ck.Attribute `c:"ptr,len,inout"`
		})(nil),
		(*struct {
			X uint64 `c:"-"`
		})(nil),
		(*struct {
			X any `c:"ptr,len"`
		})(nil),
		(*badVariant)(nil),
		(*struct {
			X []byte `c:"ptr,len"`
			Y uint64 `c:"-"`
		})(nil),
		(*struct {
			X []byte `c:"ptr,bits"`
			Y byte   `c:"-"`
		})(nil),
	} {
		if n, err := Size(proto, LP64); err == nil {
			t.Errorf("%T has size %d", proto, n)
		} else if !strings.HasPrefix(err.Error(), "cmem: ") {
			t.Errorf("%T: %v", proto, err)
		}
	}
}

// In the process's own memory, through the exported functions.
func TestProcessMemory(t *testing.T) {
	if Host != LP64 {
		t.Skip("needs structures that Go lays out as C does")
	}
	iv, tag := []byte("an iv"), []byte("tag")
	c := &struct {
		iv                 unsafe.Pointer
		len, fixed, method uint64
		tag                unsafe.Pointer
		bits               uint64
	}{unsafe.Pointer(&iv[0]), 5, 7, 8, unsafe.Pointer(&tag[0]), 24}
	p, n := unsafe.Pointer(c), uint64(unsafe.Sizeof(*c))
	v, err := Decode((*withBits)(nil), p, n, Host)
	want := &withBits{IV: []byte("an iv"), Fixed: 7, Method: 8, Tag: []byte("tag"), TagBits: 24}
	if err != nil || !reflect.DeepEqual(v, want) {
		t.Fatalf("%+v, %v", v, err)
	}
	w := v.(*withBits)
	w.IV[0], w.Tag[0], w.Fixed = 'A', 'T', 0
	if err := WriteBack(w, p, n, Host); err != nil || string(iv) != "An iv" || string(tag) != "Tag" || c.fixed != 7 {
		t.Errorf("%q %q %d %v", iv, tag, c.fixed, err)
	}

	var whole withBits
	if err := Load(&whole, p, Host); err != nil || whole.Fixed != 7 || string(whole.Tag) != "Tag" {
		t.Errorf("%+v, %v", whole, err)
	}
	whole.Fixed = 9
	if err := Store(&whole, p, Host); err != nil || c.fixed != 9 {
		t.Errorf("%d, %v", c.fixed, err)
	}
	for _, err := range []error{Load(&whole, nil, Host), Store(&whole, nil, Host)} {
		if !errors.Is(err, ck.CKR_ARGUMENTS_BAD) {
			t.Error(err)
		}
	}

	m := &struct {
		t    uint64
		p    unsafe.Pointer
		n    uint64
		more byte
	}{uint64(ck.CKM_AES_GCM), p, n, 0}
	mech := NewMechanism(unsafe.Pointer(m), Host)
	if v, err := mech.Decode((*withBits)(nil)); err != nil || mech.Type != ck.CKM_AES_GCM || v.(*withBits).TagBits != 24 {
		t.Errorf("%+v, %v", v, err)
	}
	w.IV[0] = 'Z'
	if err := mech.WriteBack(w); err != nil || iv[0] != 'Z' {
		t.Errorf("%q, %v", iv, err)
	}
	runtime.KeepAlive(c)
	runtime.KeepAlive(m)
}

func TestStore(t *testing.T) {
	type out struct {
		Text    [5]byte
		Flags   ck.Flags
		Version ck.Version
		OK      bool
		B       byte
	}
	forEachABI(t, func(t *testing.T, abi ABI) {
		v := out{[5]byte{1, 2, 3, 4, 5}, ck.Flags(ck.UnavailableInformation), ck.Version{Major: 6, Minor: 7}, true, 8}
		n, err := Size(&v, abi)
		if err != nil {
			t.Fatal(err)
		}
		a := newArena(abi)
		addr, s := a.put(make([]byte, n)...), a.space()
		if err := s.storeWhole(&v, addr); err != nil {
			t.Fatal(err)
		}
		want := a.object().bytes(1, 2, 3, 4, 5).ulong(^uint64(0)).bytes(6, 7, 1, 8).end()
		for i := range want {
			if want[i] == 0xEE {
				want[i] = 0
			}
		}
		if !reflect.DeepEqual(a.mem, want) {
			t.Errorf("%v, want %v", a.mem, want)
		}
		v.OK = false
		back := out{OK: true}
		if err := errors.Join(s.storeWhole(&v, addr), s.loadWhole(&back, addr)); err != nil {
			t.Fatal(err)
		}
		v.Flags = ck.Flags(^uint64(0) >> (64 - 8*abi.ULong))
		if back != v {
			t.Errorf("%+v, want %+v", back, v)
		}
	})
}

func TestULong(t *testing.T) {
	for _, abi := range abis {
		buf := make([]byte, 9)
		p := unsafe.Pointer(&buf[1]) // packed structures align nothing
		StoreULong(p, 0x01020304, abi)
		if got := LoadULong(p, abi); got != 0x01020304 {
			t.Errorf("%+v: %#x", abi, got)
		}
	}
}

func TestHost(t *testing.T) {
	for _, c := range []struct {
		goos string
		ptr  int
		want ABI
	}{{"linux", 8, LP64}, {"linux", 4, ILP32}, {"windows", 8, Windows64}, {"windows", 4, Windows32}} {
		if got := host(c.goos, c.ptr); got != c.want {
			t.Errorf("%s %d: %+v", c.goos, c.ptr, got)
		}
	}
}

func BenchmarkDecode(b *testing.B) {
	a := newArena(LP64)
	o := a.withBits("twelve bytes", "sixteen bytes...", 128).end()
	addr := a.put(o...)
	s := a.space()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.decode((*withBits)(nil), addr, uint64(len(o))); err != nil {
			b.Fatal(err)
		}
	}
}
