package cmem

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"reflect"
	"runtime"
	"testing"
	"unsafe"
)

// gcmLike is a parameter of numbers and bytes; nested is one with more in it.
type (
	gcmLike struct {
		IV   []byte `c:"ptr,len"`
		Bits uint64
		AAD  []byte `c:"ptr,len"`
		Tag  uint64
	}
	nested struct {
		Inner *gcmLike `c:"ptr"`
	}
)

// pinned is where b lies, and stays until the test ends: on a stack, it could move.
func pinned(t *testing.T, b []byte) uint64 {
	if len(b) > 0 {
		var pin runtime.Pinner
		pin.Pin(unsafe.SliceData(b))
		t.Cleanup(pin.Unpin)
	}
	return address(unsafe.Pointer(unsafe.SliceData(b)))
}

// inMemory is a gcmLike as a C program on this platform has it.
func inMemory(t *testing.T, iv, aad []byte, tag uint64) []byte {
	var b []byte
	word := func(v uint64) { b = binary.NativeEndian.AppendUint64(b, v) }
	word(pinned(t, iv))
	word(uint64(len(iv)))
	word(96)
	word(pinned(t, aad))
	word(uint64(len(aad)))
	word(tag)
	return b
}

// TestScratch: decoding into memory that served before gives what decoding
// gives, whatever was there before, and clearing leaves nothing of it.
func TestScratch(t *testing.T) {
	if Host != LP64 {
		t.Skip("the structures here are those of LP64")
	}
	random := rand.New(rand.NewPCG(1, 2))
	fill := func(max int) []byte {
		b := make([]byte, random.IntN(max))
		for i := range b {
			b[i] = byte(random.Uint32())
		}
		return b
	}
	var s Scratch
	for range 2000 {
		iv, aad := fill(20), fill(300)
		if random.IntN(4) == 0 {
			aad = nil
		}
		var proto any = (*gcmLike)(nil)
		mem := inMemory(t, iv, aad, 128)
		wantInside := true
		switch random.IntN(5) {
		case 0:
			proto, mem = []byte(nil), fill(40)
			wantInside = len(mem) > 0
		case 1:
			mem = mem[:len(mem)-8]
			wantInside = false
		case 2:
			mem = binary.NativeEndian.AppendUint64(nil, pinned(t, mem))
			proto, wantInside = (*nested)(nil), false
		}
		m := Mechanism{p: pinned(t, mem), n: uint64(len(mem)), abi: Host}
		want, wantErr := m.Decode(proto)
		got, inside, err := m.DecodeInto(&s, proto)
		if inside != wantInside || (err == nil) != (wantErr == nil) || !reflect.DeepEqual(got, want) {
			t.Fatalf("%T of %d bytes: %+v, %v, %v; want %+v, %v", proto, len(mem), got, inside, err, want, wantErr)
		}
		if !inside {
			continue
		}
		s.Clear()
		switch p := got.(type) {
		case []byte:
			if !bytes.Equal(p, make([]byte, len(p))) {
				t.Fatalf("left behind: %x", p)
			}
		case *gcmLike:
			if !reflect.DeepEqual(*p, gcmLike{}) || !bytes.Equal(s.arena[:cap(s.arena)], make([]byte, cap(s.arena))) {
				t.Fatalf("left behind: %+v, %x", *p, s.arena[:cap(s.arena)])
			}
		}
	}
}

// TestScratchAllocatesNothing, once it has grown.
func TestScratchAllocatesNothing(t *testing.T) {
	iv, aad := make([]byte, 12), make([]byte, 200)
	mem := inMemory(t, iv, aad, 128)
	m := Mechanism{p: pinned(t, mem), n: uint64(len(mem)), abi: Host}
	var s Scratch
	if n := testing.AllocsPerRun(100, func() {
		if _, inside, err := m.DecodeInto(&s, (*gcmLike)(nil)); !inside || err != nil {
			t.Fatal(inside, err)
		}
		s.Clear()
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}
