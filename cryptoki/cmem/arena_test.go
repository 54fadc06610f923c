package cmem

import (
	"fmt"
	"testing"
)

// arena is simulated memory: what lies outside cannot be read.
type arena struct {
	base uint64
	mem  []byte
	abi  ABI
}

var abis = []ABI{LP64, ILP32, Windows64, Windows32}

func newArena(abi ABI) *arena { return &arena{base: 0x1000, abi: abi} }

func (a *arena) space() *space { return &space{ABI: a.abi, at: a.at} }

func (a *arena) at(addr uint64, n int) []byte {
	if addr < a.base || addr-a.base > uint64(len(a.mem)) || uint64(n) > uint64(len(a.mem))-(addr-a.base) {
		return nil
	}
	return a.mem[addr-a.base:][:n:n]
}

// put places bytes and returns their address.
func (a *arena) put(b ...byte) uint64 {
	a.mem = append(a.mem, b...)
	return a.base + uint64(len(a.mem)-len(b))
}

// object builds a structure by the rules of a C compiler.
type object struct {
	abi   ABI
	b     []byte
	align int
}

func (a *arena) object() *object { return &object{abi: a.abi, align: 1} }

func (o *object) pad(align int) {
	if o.abi.Packed {
		return
	}
	o.align = max(o.align, align)
	for len(o.b)%align != 0 {
		o.b = append(o.b, 0xEE) // what lies between fields is anything
	}
}

func (o *object) number(size int, v uint64) *object {
	o.pad(size)
	o.b = append(o.b, make([]byte, size)...)
	putNumber(o.b[len(o.b)-size:], size, v)
	return o
}

func (o *object) ulong(v uint64) *object { return o.number(o.abi.ULong, v) }
func (o *object) ptr(v uint64) *object   { return o.number(o.abi.Ptr, v) }
func (o *object) bytes(b ...byte) *object {
	o.b = append(o.b, b...)
	return o
}

func (o *object) end() []byte {
	o.pad(o.align)
	return o.b
}

func forEachABI(t *testing.T, f func(t *testing.T, abi ABI)) {
	for _, abi := range abis {
		t.Run(fmt.Sprintf("%+v", abi), func(t *testing.T) { f(t, abi) })
	}
}
