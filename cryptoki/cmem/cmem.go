// Package cmem turns C parameter structures into Go structures and back, led
// by the tags of the Go fields. It reads memory that the caller of the library
// owns, so it is the only package besides capi that uses unsafe; it uses no
// cgo, and is tested and fuzzed as plain Go.
//
// Everything that [Decode] and [ReadTemplate] return is a copy: the caller of
// the library may change or free its memory at any time.
//
// # Tags
//
// A parameter structure lists its fields in the order of the C structure. By
// kind, without a tag:
//
//	uint64 and named types over it   CK_ULONG
//	bool                             CK_BBOOL
//	byte                             CK_BYTE
//	uintptr                          a pointer, which is not followed
//	[N]byte                          an array inside the structure
//	a structure                      a structure inside the structure
//
// With the tag `c:"..."`:
//
//	[]byte   `c:"ptr,len"`   a pointer, then its length as CK_ULONG
//	[]byte   `c:"len,ptr"`   the length first
//	[]byte   `c:"ptr,bits"`  a pointer, then its length in bits
//	[]byte   `c:"ptr,nonce"` a pointer, then its length in bytes, or in bits if
//	                         that is 64 or more: the standard counts the bits
//	                         of these nonces, and those who use them the bytes
//	[]byte   `c:"ptr,anylen"` a pointer, then its length or a pointer to it
//	*T       `c:"ptr"`       a pointer to one value, null for nil
//	[]T      `c:"ptr,len"`   an array of values, `c:"len,ptr"` the same with
//	                         the count first
//	[]byte   `c:"ptr,out"`   a pointer to memory that is written only, as much
//	                         as the slice holds after the call; empty before
//	any      `c:"ptr,len"`   a pointer and length whose meaning the fields before
//	                         tell: see [Variant]
//	...      `c:"...,inout"` what it holds or points to is written back after
//	                         the call
//
// T is a structure, a CK_ULONG or an array of bytes; []ck.Attribute is a
// template. For `ptr,bits` the structure keeps the number of bits in the next
// field, which has the tag `c:"-"`: it takes no room of its own.
//
// In `ptr,anylen` a number too low for an address is a length. It is for one
// structure whose field was a pointer by mistake, before a second version of the
// same size mended that.
//
// A pointer that is not null but has length 0 makes an empty slice; only null
// makes a nil one.
package cmem

import (
	"encoding/binary"
	"fmt"
	"reflect"
	"runtime"
	"unsafe"

	"github.com/perilune/perilune/cryptoki/ck"
)

// ABI is how a platform lays out the structures of PKCS#11.
type ABI struct {
	ULong  int  // size of a CK_ULONG: 8, or 4
	Ptr    int  // size of a pointer: 8, or 4
	Packed bool // no padding between fields, as pkcs11.h has it on Windows
}

// The platforms that differ.
var (
	LP64      = ABI{ULong: 8, Ptr: 8}
	ILP32     = ABI{ULong: 4, Ptr: 4}
	Windows64 = ABI{ULong: 4, Ptr: 8, Packed: true}
	Windows32 = ABI{ULong: 4, Ptr: 4, Packed: true}
)

// Host is the ABI of the process itself.
var Host = host(runtime.GOOS, int(unsafe.Sizeof(uintptr(0))))

func host(goos string, ptr int) ABI {
	if goos == "windows" {
		return ABI{ULong: 4, Ptr: ptr, Packed: true}
	}
	return ABI{ULong: ptr, Ptr: ptr}
}

// MaxLen bounds every length that describes memory to be copied: whoever
// passes more has passed a wrong length.
const MaxLen = 1<<31 - 1

// lowestAddress is where the memory of a process can begin: no system that we
// know maps anything below.
const lowestAddress = 1 << 16

// memory gives the n bytes at an address, or nil if it has none there. The
// process's own memory cannot tell; tests put an arena in its place.
type memory func(addr uint64, n int) []byte

func process(addr uint64, n int) []byte {
	a := uintptr(addr)
	// The address came from C, so there is no Go pointer to derive it from.
	return unsafe.Slice((*byte)(*(*unsafe.Pointer)(unsafe.Pointer(&a))), n)
}

// space is a piece of memory read with the eyes of an ABI.
type space struct {
	ABI
	at    memory
	arena *Scratch // where copies go; nil for memory of their own
}

func address(p unsafe.Pointer) uint64 { return uint64(uintptr(p)) }

// bytes is the memory of n bytes at addr; ok is false for null, for absurd
// lengths and for memory that would wrap around the end.
func (s *space) bytes(addr, n uint64) (b []byte, ok bool) {
	if addr == 0 || n > MaxLen || addr > s.top()-n {
		return nil, false
	}
	b = s.at(addr, int(n))
	return b, b != nil
}

// top is the highest address.
func (s *space) top() uint64 { return ^uint64(0) >> (64 - 8*s.Ptr) }

func number(b []byte, size int) uint64 {
	if size == 4 {
		return uint64(binary.NativeEndian.Uint32(b))
	}
	return binary.NativeEndian.Uint64(b)
}

func putNumber(b []byte, size int, v uint64) {
	if size == 4 {
		binary.NativeEndian.PutUint32(b, uint32(v))
	} else {
		binary.NativeEndian.PutUint64(b, v)
	}
}

func (s *space) ulong(b []byte) uint64       { return number(b, s.ULong) }
func (s *space) putULong(b []byte, v uint64) { putNumber(b, s.ULong, v) }
func (s *space) ptr(b []byte) uint64         { return number(b, s.Ptr) }

// FromBytes is a parameter structure that may also be passed as plain bytes,
// told from the structure by another length.
type FromBytes interface {
	FromBytes(b []byte) error
}

// Variant is a parameter structure with a field of type any.
type Variant interface {
	// Variant returns the prototype of that field (see [Decode]), nil if there
	// must be nothing. The fields before it are filled in. It is not written
	// back.
	Variant() any
}

// Decode reads the n bytes at p as the parameter that proto describes: nil for
// none, []byte(nil) for plain bytes, a uint64 (or a named type over it) for
// one CK_ULONG, or a nil pointer to a parameter structure. It returns a value
// of the type of proto, or nil where the caller passed nothing. What does not
// fit is CKR_MECHANISM_PARAM_INVALID.
func Decode(proto any, p unsafe.Pointer, n uint64, abi ABI) (any, error) {
	return (&space{ABI: abi, at: process}).decode(proto, address(p), n)
}

func (s *space) decode(proto any, addr, n uint64) (any, error) {
	if n == 0 {
		if _, plain := proto.([]byte); plain && addr != 0 {
			return []byte{}, nil
		}
		return nil, nil
	}
	mem, ok := s.bytes(addr, n)
	if !ok || proto == nil {
		return nil, badParam("no parameter fits", n)
	}
	if _, plain := proto.([]byte); plain {
		return append([]byte(nil), mem...), nil
	}
	l, err := layoutOf(reflect.TypeOf(proto), s.ABI)
	if err != nil {
		return nil, err
	}
	v := reflect.New(l.typ)
	if uint64(l.size) != n {
		if f, ok := v.Interface().(FromBytes); ok {
			return f, f.FromBytes(append([]byte(nil), mem...))
		}
		return nil, badParam(l.typ.String(), n)
	}
	if err := s.load(l, mem, v.UnsafePointer()); err != nil {
		return nil, err
	}
	if l.pointer {
		return v.Interface(), nil
	}
	return v.Elem().Interface(), nil
}

// WriteBack writes the inout fields of v, which [Decode] made from the n bytes
// at p and somebody then changed, to where they came from. Other values than
// structures have none. It never writes beyond what the caller passed.
func WriteBack(v any, p unsafe.Pointer, n uint64, abi ABI) error {
	return (&space{ABI: abi, at: process}).writeBack(v, address(p), n)
}

func (s *space) writeBack(v any, addr, n uint64) error {
	r := reflect.ValueOf(v)
	if r.Kind() != reflect.Pointer || r.IsNil() {
		return nil
	}
	l, err := layoutOf(r.Type(), s.ABI)
	if err != nil || !l.inout {
		return err
	}
	mem, ok := s.bytes(addr, n)
	if !ok || uint64(l.size) != n {
		return badParam(l.typ.String(), n)
	}
	return s.store(l, r.UnsafePointer(), mem, false)
}

// WipeParameter overwrites the bytes in v, which [Decode] copied: passwords and
// other things that should not lie about.
func WipeParameter(v any) {
	if b, plain := v.([]byte); plain {
		clear(b)
		return
	}
	r := reflect.ValueOf(v)
	if r.Kind() != reflect.Pointer || r.IsNil() {
		return
	}
	if l, err := layoutOf(r.Type(), Host); err == nil {
		l.wipe(r.UnsafePointer())
	}
}

// Load fills the structure that v points to from p, which the caller of the
// library promises to be one.
func Load(v any, p unsafe.Pointer, abi ABI) error {
	return (&space{ABI: abi, at: process}).loadWhole(v, address(p))
}

func (s *space) loadWhole(v any, addr uint64) error {
	l, mem, err := s.whole(v, addr)
	if err != nil {
		return err
	}
	return s.load(l, mem, reflect.ValueOf(v).UnsafePointer())
}

// Store writes the structure that v points to, without what its pointers point
// to, to p. It fills the information structures (CK_TOKEN_INFO and its kin).
func Store(v any, p unsafe.Pointer, abi ABI) error {
	return (&space{ABI: abi, at: process}).storeWhole(v, address(p))
}

func (s *space) storeWhole(v any, addr uint64) error {
	l, mem, err := s.whole(v, addr)
	if err != nil {
		return err
	}
	return s.store(l, reflect.ValueOf(v).UnsafePointer(), mem, true)
}

// whole is the memory at addr that the structure of v takes.
func (s *space) whole(v any, addr uint64) (*layout, []byte, error) {
	l, err := layoutOf(reflect.TypeOf(v), s.ABI)
	if err != nil {
		return nil, nil, err
	}
	mem, ok := s.bytes(addr, uint64(l.size))
	if !ok {
		return nil, nil, ck.CKR_ARGUMENTS_BAD
	}
	return l, mem, nil
}

// Size is the size in C of the type of proto: a pointer to a structure or a
// CK_ULONG. The error says what is wrong with its tags.
func Size(proto any, abi ABI) (int, error) {
	l, err := layoutOf(reflect.TypeOf(proto), abi)
	if err != nil {
		return 0, err
	}
	return l.size, nil
}

// Mechanism is a CK_MECHANISM as it lies in memory.
type Mechanism struct {
	Type ck.MechanismType
	p, n uint64
	abi  ABI
}

// NewMechanism reads the CK_MECHANISM at p.
func NewMechanism(p unsafe.Pointer, abi ABI) Mechanism {
	at := (&space{ABI: abi}).attribute() // the same three fields
	mem := unsafe.Slice((*byte)(p), at.size)
	return Mechanism{
		Type: ck.MechanismType(number(mem[at.typ:], abi.ULong)),
		p:    number(mem[at.value:], abi.Ptr),
		n:    number(mem[at.len:], abi.ULong),
		abi:  abi,
	}
}

// Decode decodes its parameter (see the function [Decode]).
func (m *Mechanism) Decode(proto any) (any, error) {
	return (&space{ABI: m.abi, at: process}).decode(proto, m.p, m.n)
}

// WriteBack writes the inout fields of its parameter.
func (m *Mechanism) WriteBack(v any) error {
	return (&space{ABI: m.abi, at: process}).writeBack(v, m.p, m.n)
}

// LoadULong reads a CK_ULONG.
func LoadULong(p unsafe.Pointer, abi ABI) uint64 {
	return number(unsafe.Slice((*byte)(p), abi.ULong), abi.ULong)
}

// StoreULong writes a CK_ULONG; the highest value, CK_UNAVAILABLE_INFORMATION,
// stays the highest in every width.
func StoreULong(p unsafe.Pointer, v uint64, abi ABI) {
	putNumber(unsafe.Slice((*byte)(p), abi.ULong), abi.ULong, v)
}

func badParam(what string, n uint64) error {
	return fmt.Errorf("%w: %s, %d bytes passed", ck.CKR_MECHANISM_PARAM_INVALID, what, n)
}
