package cmem

import (
	"reflect"
	"unsafe"
)

// Scratch is memory for the parameters of mechanisms, one after the other, so
// that those that come often allocate nothing. Its zero value is ready for use.
type Scratch struct {
	proto reflect.Type // of what value is
	value any
	bytes []byte        // what value is, if it is plain bytes
	elem  reflect.Value // what value points to, if it is a structure
	at    unsafe.Pointer

	layout *layout // of the last structure that was asked for
	of     reflect.Type
	abi    ABI

	arena []byte // for what the structure has slices of
	short int    // by how much the arena was too small
}

// A parameter with more in it is decoded into memory of its own.
const (
	leastArena = 64
	mostArena  = 4096
)

// DecodeInto is Decode into s, whose last parameter nobody needs any longer. It
// reports whether the result lies in s: it does not if the parameter is of a
// kind that is too rare or too large.
func (m *Mechanism) DecodeInto(s *Scratch, proto any) (v any, inside bool, err error) {
	sp := space{ABI: m.abi, at: process}
	if proto != nil && m.n != 0 {
		v, inside, err = s.decode(&sp, proto, m.p, m.n)
	}
	if !inside && err == nil {
		v, err = m.Decode(proto)
	}
	return v, inside, err
}

func (s *Scratch) decode(sp *space, proto any, addr, n uint64) (v any, inside bool, err error) {
	if _, plain := proto.([]byte); plain {
		mem, ok := sp.bytes(addr, n)
		if !ok || n > mostArena {
			return nil, false, nil
		}
		return s.plain(mem), true, nil
	}
	l, err := s.layoutOf(reflect.TypeOf(proto), sp.ABI)
	if err != nil || !l.flat || !l.pointer || uint64(l.size) != n {
		return nil, false, err
	}
	mem, ok := sp.bytes(addr, n)
	if !ok {
		return nil, false, nil
	}
	s.shape(reflect.TypeOf(proto), l)
	sp.arena = s
	if err := sp.load(l, mem, s.at); err != nil {
		s.Clear()
		return nil, false, err
	}
	return s.value, true, nil
}

// layoutOf is the layout of t, which is mostly that of the last time.
func (s *Scratch) layoutOf(t reflect.Type, abi ABI) (l *layout, err error) {
	if s.of == t && s.abi == abi {
		return s.layout, nil
	}
	if l, err = layoutOf(t, abi); err == nil {
		s.layout, s.of, s.abi = l, t, abi
	}
	return l, err
}

var plainType = reflect.TypeFor[[]byte]()

// plain makes the value a copy of mem. What is as long as the last one takes its
// place.
func (s *Scratch) plain(mem []byte) any {
	if s.proto != plainType || len(s.bytes) != len(mem) {
		s.bytes = make([]byte, len(mem))
		s.proto, s.value, s.at = plainType, s.bytes, nil
	}
	copy(s.bytes, mem)
	return s.value
}

// shape makes the value a zero structure.
func (s *Scratch) shape(proto reflect.Type, l *layout) {
	if s.proto != proto {
		v := reflect.New(l.typ)
		s.proto, s.value, s.elem, s.at = proto, v.Interface(), v.Elem(), v.UnsafePointer()
		s.bytes = nil
	}
	if want := cap(s.arena) + s.short; s.arena == nil || s.short > 0 && want <= mostArena {
		s.arena = make([]byte, 0, max(leastArena, want))
	}
	s.short = 0
}

// clone copies b to the arena, or elsewhere if there is no room.
func (s *Scratch) clone(b []byte) []byte {
	if s == nil || len(b) > cap(s.arena)-len(s.arena) {
		if s != nil {
			s.short += len(b)
		}
		return append(make([]byte, 0, len(b)), b...)
	}
	at := len(s.arena)
	s.arena = append(s.arena, b...)
	return s.arena[at:len(s.arena):len(s.arena)]
}

// Clear forgets the parameter.
func (s *Scratch) Clear() {
	clear(s.bytes)
	if s.at != nil {
		s.elem.SetZero()
	}
	clear(s.arena)
	s.arena = s.arena[:0]
}
