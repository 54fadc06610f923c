// Gen writes the assembly of package vaes with avo. It has a module of its own,
// so that what it needs is no dependency of the library.
package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// A vector holds four blocks.
const (
	block  = 16
	vector = 4 * block
)

var z = []VecPhysical{Z0, Z1, Z2, Z3, Z4, Z5, Z6, Z7, Z8, Z9, Z10, Z11, Z12, Z13, Z14, Z15,
	Z16, Z17, Z18, Z19, Z20, Z21, Z22, Z23, Z24, Z25, Z26, Z27, Z28, Z29, Z30, Z31}

func at(base Register, i int) Mem { return Mem{Base: base, Disp: i * vector} }

// argument loads a parameter into a register.
func argument(name string) GPVirtual { return Load(Param(name), GP64()).(GPVirtual) }

// pointer and length load those of a slice.
func pointer(name string) GPVirtual { return Load(Param(name).Base(), GP64()).(GPVirtual) }
func length(name string) GPVirtual  { return Load(Param(name).Len(), GP64()).(GPVirtual) }

// constants are in memory.
type constants struct {
	turn       Mem // what VPSHUFB needs to turn the bytes of each block round
	counts     Mem // 0 to 3 in the lowest 32 bits of the blocks; then 4 in all of them
	polynomial Mem // the highest 64 bits, without the term x^128
}

func newConstants() *constants {
	k := new(constants)
	k.turn = GLOBL("turn", RODATA|NOPTR)
	DATA(0, U64(0x08090a0b0c0d0e0f))
	DATA(8, U64(0x0001020304050607))
	k.counts = GLOBL("counts", RODATA|NOPTR)
	for i, count := range []uint64{0, 1, 2, 3, 4, 4, 4, 4} {
		DATA(block*i, U64(count))
		DATA(block*i+8, U64(0))
	}
	k.polynomial = GLOBL("polynomial", RODATA|NOPTR)
	DATA(0, U64(0xc200000000000000))
	return k
}

func main() {
	ConstraintExpr("amd64,!valgrind")
	k := newConstants()
	ctr(k)
	ghash(k)
	seal(k)
	subWord()
	Generate()
}
