package cmem_test

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"reflect"
	"testing"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/cryptoki/cmem"
	"github.com/perilune/perilune/engine"
)

// prototypes are those of all parameters of all mechanisms, each once.
func prototypes() (list []any) {
	seen := map[reflect.Type]bool{}
	for _, m := range engine.Mechanisms() {
		for _, p := range []any{m.Param, m.MessageParam, m.WrapParam} {
			if t := reflect.TypeOf(p); p != nil && !seen[t] {
				seen[t] = true
				list = append(list, p)
			}
		}
	}
	return list
}

const base = 0x1000 // the address of simulated memory

// words is memory of 512 bytes that looks like many a structure: words that are
// addresses in it where odd says so, and small lengths or types otherwise.
func words(abi cmem.ABI, odd bool) []byte {
	var b []byte
	for i := 0; len(b) < 512; i++ {
		v := uint64(1 + i%5)
		size := abi.ULong
		if i%2 == 1 == odd {
			v, size = base+uint64(64+8*(i%16)), abi.Ptr
		}
		if size == 4 {
			b = binary.NativeEndian.AppendUint32(b, uint32(v))
		} else {
			b = binary.NativeEndian.AppendUint64(b, v)
		}
	}
	return b
}

// FuzzPrototypes decodes the parameter of every mechanism out of memory of any
// content, changes nothing, and writes it back.
func FuzzPrototypes(f *testing.F) {
	protos := prototypes()
	for i, proto := range protos {
		for j, abi := range cmem.ABIs {
			size := uint64(16) // of an IV
			if n, err := cmem.Size(proto, abi); err == nil {
				size = uint64(n)
			}
			for _, mem := range [][]byte{make([]byte, 512), words(abi, true), words(abi, false)} {
				f.Add(byte(i), byte(j), uint64(base), size, mem)
			}
		}
	}
	f.Fuzz(func(t *testing.T, proto, abi byte, addr, n uint64, mem []byte) {
		p := protos[int(proto)%len(protos)]
		s := cmem.NewSimulated(cmem.ABIs[int(abi)%len(cmem.ABIs)], bytes.Clone(mem))
		v, err := s.Decode(p, addr, n)
		if err != nil {
			switch ck.RVOf(err) {
			case ck.CKR_MECHANISM_PARAM_INVALID, ck.CKR_ARGUMENTS_BAD, ck.CKR_ATTRIBUTE_VALUE_INVALID:
			default:
				t.Fatalf("%T: %v", p, err)
			}
			return
		}
		if v != nil && reflect.TypeOf(v) != reflect.TypeOf(p) {
			t.Fatalf("decoded a %T, and not a %T", v, p)
		}
		before := text(t, v)
		if err := s.WriteBack(v, addr, n); err != nil {
			t.Fatalf("%T: write back: %v", p, err)
		}
		if after := text(t, v); after != before {
			t.Fatalf("%T: %s became %s by writing it back", p, before, after)
		}
		cmem.WipeParameter(v)
	})
}

// text is a copy of v that shares no memory with it.
func text(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestPrototypesHaveSeeds decodes something of every prototype on every platform
// that is not empty.
func TestPrototypesHaveSeeds(t *testing.T) {
	for _, p := range prototypes() {
		for _, abi := range cmem.ABIs {
			size := uint64(16)
			if n, err := cmem.Size(p, abi); err == nil {
				size = uint64(n)
			}
			if v, err := cmem.NewSimulated(abi, make([]byte, 512)).Decode(p, base, size); err != nil || v == nil {
				t.Errorf("%T, %+v: zeros decode to %v, %v", p, abi, v, err)
			}
		}
	}
}
