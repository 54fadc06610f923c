package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// cipher is what stays in registers while blocks are encrypted: the round keys,
// each in all blocks of a vector, the counters of the next vector with their bytes
// turned round, and constants.
type cipher struct {
	keys           []VecPhysical // the first, nine that all keys have, four that longer ones have
	last           VecPhysical
	next, up, turn VecPhysical
	rounds         GPVirtual
	label          int
}

// many is how many vectors are encrypted side by side.
const many = 8

func newCipher(rounds GPVirtual) *cipher {
	return &cipher{keys: z[16:30], last: Z30, next: Z8, up: Z9, turn: Z10, rounds: rounds}
}

func ctr(k *constants) {
	TEXT("ctr", NOSPLIT, "func(dst, src []byte, counter *[16]byte, round *[15][16]byte, rounds int)")
	Pragma("noescape")
	Doc("ctr encrypts or decrypts src in counter mode, and leaves the next counter in",
		"counter. Of the round keys, the first rounds+1 count.")
	dst, src, n, counter := pointer("dst"), pointer("src"), length("src"), argument("counter")
	keys, rounds := argument("round"), argument("rounds")
	c := newCipher(rounds)
	c.load(keys, counter, k)
	advance(counter, n)

	SUBQ(U32(many*vector), n)
	JB(LabelRef("rest"))
	Label("many")
	c.encrypt(dst, src, nil)
	SUBQ(U32(many*vector), n)
	JAE(LabelRef("many"))

	// What is left, less than that, with a mask for the bytes of each vector.
	const few = 4
	Label("rest")
	ADDQ(U32(many*vector), n)
	JZ(LabelRef("done"))
	Label("few")
	c.stream(z[:few], nil)
	zero, full, part, mask := GP64(), GP64(), GP64(), GP64()
	XORL(zero.As32(), zero.As32())
	MOVQ(U32(vector), full)
	for i := range few {
		LEAQ(Mem{Base: n, Disp: -i * vector}, part)
		TESTQ(part, part)
		CMOVQLT(zero, part)
		CMPQ(part, full)
		CMOVQGT(full, part)
		MOVQ(I32(-1), mask)
		BZHIQ(part, mask, mask)
		KMOVQ(mask, K1)
		VMOVDQU8_Z(at(src, i), K1, Z11)
		VPXORQ(Z11, z[i], z[i])
		VMOVDQU8(z[i], K1, at(dst, i))
	}
	ADDQ(U32(few*vector), src)
	ADDQ(U32(few*vector), dst)
	SUBQ(U32(few*vector), n)
	JGT(LabelRef("few"))
	Label("done")
	VZEROUPPER()
	RET()
}

// load fills the registers.
func (c *cipher) load(keys, counter Register, k *constants) {
	for i, key := range c.keys {
		VBROADCASTI32X4(Mem{Base: keys, Disp: block * i}, key)
	}
	last := GP64()
	MOVQ(c.rounds, last)
	SHLQ(Imm(4), last)
	VBROADCASTI32X4(Mem{Base: keys, Index: last, Scale: 1}, c.last)
	VBROADCASTI32X4(k.turn, c.turn)
	VBROADCASTI32X4(Mem{Base: counter}, c.next)
	VPSHUFB(c.turn, c.next, c.next)
	VPADDD(k.counts, c.next, c.next)
	VMOVDQU64(k.counts.Offset(vector), c.up)
}

// advance adds the blocks that n bytes begin to the last 32 bits of the counter.
func advance(counter, n Register) {
	blocks, next := GP64(), GP32()
	LEAQ(Mem{Base: n, Disp: block - 1}, blocks)
	SHRQ(Imm(4), blocks)
	MOVL(Mem{Base: counter, Disp: 12}, next)
	BSWAPL(next)
	ADDL(blocks.As32(), next)
	BSWAPL(next)
	MOVL(next, Mem{Base: counter, Disp: 12})
}

// encrypt encrypts many vectors from src to dst, and advances both.
func (c *cipher) encrypt(dst, src GPVirtual, between func(round int)) {
	c.stream(z[:many], between)
	for i := range many {
		VPXORQ(at(src, i), z[i], z[i])
		VMOVDQU64(z[i], at(dst, i))
	}
	ADDQ(U32(many*vector), src)
	ADDQ(U32(many*vector), dst)
}

// stream encrypts the next counters. After each round that all keys have, between may
// do something else.
func (c *cipher) stream(to []VecPhysical, between func(round int)) {
	c.label++
	last := fmt.Sprintf("last%d", c.label)
	for _, v := range to {
		VPSHUFB(c.turn, c.next, v)
		VPADDD(c.up, c.next, c.next)
		VPXORQ(c.keys[0], v, v)
	}
	for i, k := range c.keys[1:] {
		switch i + 1 {
		case 10:
			CMPQ(c.rounds, Imm(12))
			JB(LabelRef(last))
		case 12:
			JE(LabelRef(last))
		}
		for _, v := range to {
			VAESENC(k, v, v)
		}
		if round := i + 1; round < 10 && between != nil {
			between(round)
		}
	}
	Label(last)
	for _, v := range to {
		VAESENCLAST(c.last, v, v)
	}
}
