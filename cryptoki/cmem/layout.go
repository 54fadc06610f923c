package cmem

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"unsafe"

	"github.com/perilune/perilune/cryptoki/ck"
)

// layout is the place of every field of a Go type in its C counterpart, worked
// out once per type and ABI. A type that is not a structure is one field.
type layout struct {
	typ     reflect.Type // the value's own type, never a pointer
	pointer bool         // the prototype was a pointer to it
	size    int
	align   int
	fields  []field
	inout   bool // something in it is written back
	flat    bool // a structure of numbers and bytes that is never written back
}

type kind uint8

const (
	kindULong kind = iota
	kindBool
	kindByte
	kindAddress  // uintptr
	kindArray    // [N]byte
	kindStruct   // inside the structure
	kindBytes    // []byte
	kindPointer  // *T
	kindSlice    // []T
	kindTemplate // []ck.Attribute
	kindOut      // []byte, for output only
	kindVariant  // any
)

type field struct {
	kind  kind
	c     int     // offset in C of the value or of the pointer
	count int     // offset in C of the length
	bits  bool    // the length counts bits, kept at offset bitsGo
	nonce bool    // the length counts bytes, or bits if it is 64 or more
	any   bool    // the length may be a pointer to it
	size  int     // of an array
	inout bool    // written back
	sub   *layout // of what is inside or pointed to

	typ    reflect.Type // of the Go field; of the structure for a variant
	goOff  uintptr
	bitsGo uintptr
}

// plain tells that the field is a number or bytes.
func (f *field) plain() bool {
	switch f.kind {
	case kindULong, kindBool, kindByte, kindArray, kindBytes:
		return true
	}
	return false
}

// layouts holds a map from types to their layouts for every ABI.
var layouts [8]sync.Map

func (a ABI) index() int {
	i := a.ULong&8>>1 | a.Ptr&8>>2
	if a.Packed {
		i |= 1
	}
	return i
}

// maxNesting bounds structures in structures, so that a type that holds
// pointers to itself is found out.
const maxNesting = 6

// layoutOf returns the layout of t, or of what t points to.
func layoutOf(t reflect.Type, abi ABI) (*layout, error) {
	if t == nil {
		return nil, errors.New("cmem: no type")
	}
	if l, ok := layouts[abi.index()].Load(t); ok {
		return l.(*layout), nil
	}
	base, pointer := t, false
	if t.Kind() == reflect.Pointer {
		base, pointer = t.Elem(), true
	}
	l, err := (&builder{abi: abi}).build(base)
	if err != nil {
		return nil, fmt.Errorf("cmem: %v: %w", t, err)
	}
	l.pointer = pointer
	l.flat = base.Kind() == reflect.Struct && !l.inout && !slices.ContainsFunc(l.fields, func(f field) bool { return !f.plain() })
	layouts[abi.index()].Store(t, l)
	return l, nil
}

// builder works out layouts.
type builder struct {
	abi   ABI
	depth int
}

func (b *builder) build(t reflect.Type) (*layout, error) {
	if b.depth++; b.depth > maxNesting {
		return nil, fmt.Errorf("%v is nested too deeply", t)
	}
	defer func() { b.depth-- }()

	l := &layout{typ: t, align: 1}
	if t.Kind() != reflect.Struct {
		return l, b.add(l, reflect.StructField{Type: t}, nil)
	}
	for i := 0; i < t.NumField(); i++ {
		f := t.Field(i)
		if f.Tag.Get("c") == "-" {
			if err := b.keepBits(l, f); err != nil {
				return nil, err
			}
			continue
		}
		var tags []string
		if tag := f.Tag.Get("c"); tag != "" {
			tags = strings.Split(tag, ",")
		}
		if err := b.add(l, f, tags); err != nil {
			return nil, fmt.Errorf("field %s: %w", f.Name, err)
		}
	}
	l.size = b.aligned(l.size, l.align)
	return l, nil
}

// keepBits makes f the place of the number of bits of the field before it.
func (b *builder) keepBits(l *layout, f reflect.StructField) error {
	if len(l.fields) == 0 || f.Type.Kind() != reflect.Uint64 {
		return fmt.Errorf("field %s follows no bits", f.Name)
	}
	last := &l.fields[len(l.fields)-1]
	if !last.bits {
		return fmt.Errorf("field %s follows no bits", f.Name)
	}
	last.bitsGo = f.Offset
	return nil
}

func (b *builder) add(l *layout, sf reflect.StructField, tags []string) error {
	f := field{typ: sf.Type, goOff: sf.Offset}
	if n := len(tags); n > 0 && tags[n-1] == "inout" {
		f.inout, tags = true, tags[:n-1]
	}
	var err error
	switch tag := strings.Join(tags, ","); tag {
	case "":
		err = b.inside(l, &f)
	case "ptr":
		if sf.Type.Kind() != reflect.Pointer {
			return fmt.Errorf("tag %q on %v", tag, sf.Type)
		}
		f.kind = kindPointer
		f.c = b.place(l, b.abi.Ptr)
		f.sub, err = b.build(sf.Type.Elem())
	case "ptr,out":
		if sf.Type != reflect.TypeFor[[]byte]() {
			return fmt.Errorf("tag %q on %v", tag, sf.Type)
		}
		f.kind, f.inout = kindOut, true
		f.c = b.place(l, b.abi.Ptr)
	case "ptr,len", "ptr,bits", "ptr,nonce", "len,ptr", "ptr,anylen":
		if sf.Type == anyType {
			return b.variant(l, &f, tag)
		}
		onlyBytes := tag == "ptr,bits" || tag == "ptr,nonce" || tag == "ptr,anylen"
		if sf.Type.Kind() != reflect.Slice || onlyBytes && sf.Type.Elem().Kind() != reflect.Uint8 {
			return fmt.Errorf("tag %q on %v", tag, sf.Type)
		}
		if tag == "len,ptr" {
			f.count = b.place(l, b.abi.ULong)
			f.c = b.place(l, b.abi.Ptr)
		} else {
			f.c = b.place(l, b.abi.Ptr)
			f.count = b.place(l, b.abi.ULong)
		}
		f.bits, f.nonce, f.any = tag == "ptr,bits", tag == "ptr,nonce", tag == "ptr,anylen"
		f.bitsGo = noBits
		err = b.elements(&f, sf.Type.Elem())
	default:
		return fmt.Errorf("unknown tag %q", tag)
	}
	if err != nil {
		return err
	}
	l.inout = l.inout || f.inout || f.sub != nil && f.sub.inout
	l.fields = append(l.fields, f)
	return nil
}

var anyType, variantType = reflect.TypeFor[any](), reflect.TypeFor[Variant]()

// variant lays out a pointer and a length whose meaning l's type tells.
func (b *builder) variant(l *layout, f *field, tag string) error {
	if tag != "ptr,len" || f.inout || !reflect.PointerTo(l.typ).Implements(variantType) {
		return fmt.Errorf("tag %q on a variant in %v", tag, l.typ)
	}
	f.kind, f.typ = kindVariant, l.typ
	f.c = b.place(l, b.abi.Ptr)
	f.count = b.place(l, b.abi.ULong)
	l.fields = append(l.fields, *f)
	return nil
}

// noBits is the offset of a number of bits that no field keeps.
const noBits = ^uintptr(0)

// elements says what a slice consists of.
func (b *builder) elements(f *field, elem reflect.Type) (err error) {
	switch {
	case elem.Kind() == reflect.Uint8:
		f.kind = kindBytes
	case elem == reflect.TypeFor[ck.Attribute]():
		f.kind = kindTemplate
		if f.inout {
			return fmt.Errorf("a template is not written back")
		}
	default:
		f.kind = kindSlice
		f.sub, err = b.build(elem)
	}
	return err
}

// inside lays out a value that is part of the structure itself.
func (b *builder) inside(l *layout, f *field) (err error) {
	switch f.typ.Kind() {
	case reflect.Uint64:
		f.kind, f.c = kindULong, b.place(l, b.abi.ULong)
	case reflect.Bool:
		f.kind, f.c = kindBool, b.place(l, 1)
	case reflect.Uint8:
		f.kind, f.c = kindByte, b.place(l, 1)
	case reflect.Uintptr:
		f.kind, f.c = kindAddress, b.place(l, b.abi.Ptr)
	case reflect.Array:
		if f.typ.Elem().Kind() != reflect.Uint8 {
			return fmt.Errorf("unsupported type %v", f.typ)
		}
		f.kind, f.size = kindArray, f.typ.Len()
		f.c = l.size
		l.size += f.size
	case reflect.Struct:
		f.kind = kindStruct
		if f.sub, err = b.build(f.typ); err != nil {
			return err
		}
		l.size = b.aligned(l.size, f.sub.align)
		l.align = max(l.align, f.sub.align)
		f.c = l.size
		l.size += f.sub.size
	default:
		return fmt.Errorf("unsupported type %v without a tag", f.typ)
	}
	return nil
}

// place makes room for a number or a pointer of size bytes.
func (b *builder) place(l *layout, size int) int {
	l.size = b.aligned(l.size, size)
	l.align = max(l.align, size)
	at := l.size
	l.size += size
	return at
}

func (b *builder) aligned(n, align int) int {
	if b.abi.Packed {
		return n
	}
	return (n + align - 1) / align * align
}

// load fills the Go value at dst from its C counterpart in mem.
func (s *space) load(l *layout, mem []byte, dst unsafe.Pointer) error {
	for i := range l.fields {
		if err := s.loadField(&l.fields[i], mem, dst); err != nil {
			return err
		}
	}
	return nil
}

func (s *space) loadField(f *field, mem []byte, dst unsafe.Pointer) error {
	q := unsafe.Add(dst, f.goOff)
	switch f.kind {
	case kindULong:
		*(*uint64)(q) = s.ulong(mem[f.c:])
	case kindBool:
		*(*bool)(q) = mem[f.c] != 0
	case kindByte:
		*(*byte)(q) = mem[f.c]
	case kindAddress:
		*(*uintptr)(q) = uintptr(s.ptr(mem[f.c:]))
	case kindArray:
		copy(unsafe.Slice((*byte)(q), f.size), mem[f.c:])
	case kindStruct:
		return s.load(f.sub, mem[f.c:f.c+f.sub.size], q)
	case kindBytes:
		return s.loadBytes(f, mem, dst)
	case kindPointer:
		return s.loadPointer(f, mem, q)
	case kindSlice:
		return s.loadSlice(f, mem, q)
	case kindOut:
		if s.ptr(mem[f.c:]) != 0 {
			*(*[]byte)(q) = []byte{}
		}
	case kindTemplate:
		t, err := s.template(s.ptr(mem[f.c:]), s.ulong(mem[f.count:]))
		*(*[]ck.Attribute)(q) = t
		return err
	case kindVariant:
		proto := reflect.NewAt(f.typ, dst).Interface().(Variant).Variant()
		v, err := s.decode(proto, s.ptr(mem[f.c:]), s.ulong(mem[f.count:]))
		if err == nil {
			*(*any)(q) = v
		}
		return err
	}
	return nil
}

func (s *space) loadBytes(f *field, mem []byte, dst unsafe.Pointer) error {
	addr, n := s.ptr(mem[f.c:]), s.ulong(mem[f.count:])
	if f.bits && f.bitsGo != noBits {
		*(*uint64)(unsafe.Add(dst, f.bitsGo)) = n
	}
	n = f.bytes(n)
	if f.any {
		var ok bool
		if n, ok = s.lengthAt(n); !ok {
			return badParam("a length inside", n)
		}
	}
	if addr == 0 && n == 0 {
		return nil
	}
	b, ok := s.bytes(addr, n)
	if !ok {
		return badParam("a pointer and length inside", n)
	}
	*(*[]byte)(unsafe.Add(dst, f.goOff)) = s.arena.clone(b)
	return nil
}

// bytes is how many bytes a length of n stands for.
func (f *field) bytes(n uint64) uint64 {
	if f.bits || f.nonce && n >= 64 {
		n = n/8 + (n%8+7)/8
	}
	return n
}

// lengthAt is the length n, or the one that the address n points to. What is
// neither is not followed.
func (s *space) lengthAt(n uint64) (length uint64, ok bool) {
	if n < lowestAddress {
		return n, true
	}
	size := uint64(s.ULong)
	if s.ULong != s.Ptr || n%size != 0 || s.Ptr == 8 && n >= 1<<47 {
		return n, false
	}
	b, ok := s.bytes(n, size)
	if !ok {
		return n, false
	}
	n = s.ulong(b)
	return n, n < lowestAddress
}

func (s *space) loadPointer(f *field, mem []byte, q unsafe.Pointer) error {
	addr := s.ptr(mem[f.c:])
	if addr == 0 {
		return nil
	}
	b, ok := s.bytes(addr, uint64(f.sub.size))
	if !ok {
		return badParam("a pointer inside", uint64(f.sub.size))
	}
	v := reflect.New(f.typ.Elem())
	*(*unsafe.Pointer)(q) = v.UnsafePointer()
	return s.load(f.sub, b, v.UnsafePointer())
}

func (s *space) loadSlice(f *field, mem []byte, q unsafe.Pointer) error {
	addr, n := s.ptr(mem[f.c:]), s.ulong(mem[f.count:])
	if addr == 0 && n == 0 {
		return nil
	}
	if n > maxCount {
		return badParam("a count inside", n)
	}
	b, ok := s.bytes(addr, n*uint64(f.sub.size))
	if !ok {
		return badParam("a pointer and count inside", n)
	}
	v := reflect.MakeSlice(f.typ, int(n), int(n))
	reflect.NewAt(f.typ, q).Elem().Set(v)
	for i := range int(n) {
		elem := v.Index(i).Addr().UnsafePointer()
		if err := s.load(f.sub, b[i*f.sub.size:][:f.sub.size], elem); err != nil {
			return err
		}
	}
	return nil
}

// store writes the Go value at src to its C counterpart in mem: the inout
// fields, or with all set everything that lies in the structure itself.
func (s *space) store(l *layout, src unsafe.Pointer, mem []byte, all bool) error {
	for i := range l.fields {
		f := &l.fields[i]
		if err := s.storeField(f, unsafe.Add(src, f.goOff), mem, all || f.inout); err != nil {
			return err
		}
	}
	return nil
}

func (s *space) storeField(f *field, q unsafe.Pointer, mem []byte, write bool) error {
	switch f.kind {
	case kindStruct:
		return s.store(f.sub, q, mem[f.c:f.c+f.sub.size], write)
	case kindPointer:
		return s.storePointer(f, q, mem, write)
	case kindSlice:
		return s.storeSlice(f, q, mem, write)
	}
	if !write {
		return nil
	}
	switch f.kind {
	case kindULong:
		s.putULong(mem[f.c:], *(*uint64)(q))
	case kindBool:
		mem[f.c] = 0
		if *(*bool)(q) {
			mem[f.c] = 1
		}
	case kindByte:
		mem[f.c] = *(*byte)(q)
	case kindArray:
		copy(mem[f.c:], unsafe.Slice((*byte)(q), f.size))
	case kindBytes:
		return s.storeBytes(f, *(*[]byte)(q), mem)
	case kindOut:
		return s.storeOut(f, *(*[]byte)(q), mem)
	}
	return nil
}

// storeOut writes as much as there is: how much room the caller must have, the
// mechanism says.
func (s *space) storeOut(f *field, v, mem []byte) error {
	addr := s.ptr(mem[f.c:])
	if addr == 0 || len(v) == 0 {
		return nil
	}
	b, ok := s.bytes(addr, uint64(len(v)))
	if !ok {
		return badParam("a pointer for output", uint64(len(v)))
	}
	copy(b, v)
	return nil
}

// storeBytes writes what still fits in the caller's memory: the length that
// the caller passed is the room there is. Less than that is told.
func (s *space) storeBytes(f *field, v, mem []byte) error {
	addr, room := s.ptr(mem[f.c:]), s.ulong(mem[f.count:])
	room = f.bytes(room)
	n := min(room, uint64(len(v)))
	if n == 0 {
		return nil
	}
	b, ok := s.bytes(addr, n)
	if !ok {
		return badParam("a pointer and length inside", n)
	}
	if copy(b, v); n < room && !f.bits {
		s.putULong(mem[f.count:], n)
	}
	return nil
}

func (s *space) storePointer(f *field, q unsafe.Pointer, mem []byte, write bool) error {
	v, addr := *(*unsafe.Pointer)(q), s.ptr(mem[f.c:])
	if v == nil || addr == 0 || !write && !f.sub.inout {
		return nil
	}
	b, ok := s.bytes(addr, uint64(f.sub.size))
	if !ok {
		return badParam("a pointer inside", uint64(f.sub.size))
	}
	return s.store(f.sub, v, b, write)
}

func (s *space) storeSlice(f *field, q unsafe.Pointer, mem []byte, write bool) error {
	v := reflect.NewAt(f.typ, q).Elem()
	n := min(uint64(v.Len()), s.ulong(mem[f.count:]))
	if n == 0 || !write && !f.sub.inout {
		return nil
	}
	b, ok := s.bytes(s.ptr(mem[f.c:]), n*uint64(f.sub.size))
	if !ok {
		return badParam("a pointer and count inside", n)
	}
	for i := range int(n) {
		elem := v.Index(i).Addr().UnsafePointer()
		if err := s.store(f.sub, elem, b[i*f.sub.size:][:f.sub.size], write); err != nil {
			return err
		}
	}
	return nil
}

// wipe overwrites the bytes that a Go value holds slices of or points to.
func (l *layout) wipe(v unsafe.Pointer) {
	for i := range l.fields {
		f := &l.fields[i]
		q := unsafe.Add(v, f.goOff)
		switch f.kind {
		case kindBytes, kindOut:
			clear(*(*[]byte)(q))
		case kindStruct:
			f.sub.wipe(q)
		case kindPointer:
			if p := *(*unsafe.Pointer)(q); p != nil {
				f.sub.wipe(p)
			}
		case kindSlice:
			list := reflect.NewAt(f.typ, q).Elem()
			for i := range list.Len() {
				f.sub.wipe(list.Index(i).Addr().UnsafePointer())
			}
		case kindVariant:
			WipeParameter(*(*any)(q))
		case kindTemplate:
			Wipe(*(*[]ck.Attribute)(q))
		}
	}
}
