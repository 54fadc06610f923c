package cmem

import (
	"encoding/json"
	"testing"

	"github.com/perilune/perilune/cryptoki/ck"
)

// The fuzzers own the whole memory: its bytes are the structure, what its
// pointers point to, and, at low addresses that are easy to guess, each other.

var fuzzProtos = []any{
	nil, []byte(nil), uint64(0), ck.ObjectHandle(0), (*variants)(nil),
	(*inner)(nil), (*withBits)(nil), (*everything)(nil),
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

func FuzzDecode(f *testing.F) {
	for i, abi := range abis {
		a := newArena(abi)
		addr, size := a.everything()
		f.Add(byte(i), byte(len(fuzzProtos)-1), addr, uint64(size), a.mem)
		a = newArena(abi)
		b := a.withBits("iv", "tag", 24).end()
		f.Add(byte(i), byte(len(fuzzProtos)-2), a.put(b...), uint64(len(b)), a.mem)
	}
	for i, abi := range abis {
		a := newArena(abi)
		addr, size := a.variants()
		f.Add(byte(i), byte(4), addr, uint64(size), a.mem)
	}
	f.Add(byte(0), byte(1), uint64(0x1000), uint64(1<<63), []byte("bytes"))
	f.Fuzz(func(t *testing.T, abi, proto byte, addr, n uint64, mem []byte) {
		a := newArena(abis[int(abi)%len(abis)])
		a.mem = append([]byte(nil), mem...)
		s := a.space()
		v, err := s.decode(fuzzProtos[int(proto)%len(fuzzProtos)], addr, n)
		if err != nil {
			switch ck.RVOf(err) {
			case ck.CKR_MECHANISM_PARAM_INVALID, ck.CKR_ARGUMENTS_BAD, ck.CKR_ATTRIBUTE_VALUE_INVALID:
			default:
				t.Fatalf("decode: %v", err)
			}
			return
		}
		before := text(t, v)
		if err := s.writeBack(v, addr, n); err != nil {
			t.Fatalf("write back: %v", err)
		}
		for i := range a.mem {
			a.mem[i] ^= 0xFF
		}
		if after := text(t, v); after != before {
			t.Fatalf("%s became %s with the memory", before, after)
		}
		_ = s.writeBack(v, addr, n) // whatever the memory has become
	})
}

func FuzzTemplate(f *testing.F) {
	for i, abi := range abis {
		a := newArena(abi)
		addr := a.template([]attr{
			{typ: ck.CKA_LABEL, value: []byte("text")},
			{typ: ck.CKA_CLASS, value: make([]byte, abi.ULong)},
			{typ: ck.CKA_WRAP_TEMPLATE, sub: []attr{{typ: ck.CKA_KEY_TYPE, value: make([]byte, abi.ULong)}}},
		})
		f.Add(byte(i), addr, uint64(3), a.mem)
	}
	f.Add(byte(0), uint64(0x1000), ^uint64(0), []byte("short"))
	f.Fuzz(func(t *testing.T, abi byte, addr, count uint64, mem []byte) {
		a := newArena(abis[int(abi)%len(abis)])
		a.mem = append([]byte(nil), mem...)
		s := a.space()
		list, err := s.template(addr, count)
		if err != nil {
			switch ck.RVOf(err) {
			case ck.CKR_ARGUMENTS_BAD, ck.CKR_ATTRIBUTE_VALUE_INVALID:
			default:
				t.Fatalf("read: %v", err)
			}
		}
		before := text(t, list)
		tmpl, err := newTemplate(*s, addr, count)
		if err != nil {
			return
		}
		for i, typ := range tmpl.Types() {
			answer := &ck.Attribute{Type: typ, Value: []byte("12345678")}
			if typ.IsTemplate() {
				answer.Template = []ck.Attribute{{Type: ck.CKA_CLASS, Value: make([]byte, 8)}, {Type: ck.CKA_WRAP_TEMPLATE, Template: list}}
			}
			_ = tmpl.Put(i, answer)
			if i%5 == 4 {
				tmpl.Unavailable(i)
			}
		}
		if after := text(t, list); after != before {
			t.Fatalf("%s became %s with the memory", before, after)
		}
	})
}
