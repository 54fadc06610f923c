package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// strides is how many vectors are hashed with one reduction.
const strides = 16

// product is a sum of products of blocks: the low and the high halves, and what lies
// across both.
type product struct{ low, high, across VecPhysical }

func (p *product) clear() {
	for _, v := range []VecPhysical{p.low, p.high, p.across} {
		VPXORQ(v, v, v)
	}
}

// add adds x*h.
func (p *product) add(x, h, t VecPhysical) {
	for _, half := range []struct {
		which uint64
		to    VecPhysical
	}{{0x00, p.low}, {0x11, p.high}, {0x01, p.across}, {0x10, p.across}} {
		VPCLMULQDQ(Imm(half.which), h, x, t)
		VPXORQ(t, half.to, half.to)
	}
}

// reduce makes x the sum. Multiples of the polynomial clear the low half, in two
// steps of 64 bits.
func (p *product) reduce(polynomial, t, x VecPhysical) {
	VPSLLDQ(Imm(8), p.across, x)
	VPSRLDQ(Imm(8), p.across, t)
	VPXORQ(x, p.low, p.low)
	VPXORQ(t, p.high, p.high)
	for range 2 {
		VPCLMULQDQ(Imm(0x00), polynomial, p.low, t)
		VPSHUFD(Imm(0x4e), p.low, p.low)
		VPXORQ(t, p.low, p.low)
	}
	VPXORQ(p.low, p.high, x)
}

// ghash hashes four blocks side by side: each lane of a vector is hashed on its own,
// with the fourth power of the key, and at the end the lanes are put together. So
// that the last block comes to the last lane, the first vector may begin with zeros.
func ghash(k *constants) {
	TEXT("ghash", NOSPLIT, "func(hash *[16]byte, src []byte, powers *[20][16]byte)")
	Pragma("noescape")
	Doc("ghash continues a hash with whole blocks, at least one.")
	y, src, blocks, powers := argument("hash"), pointer("src"), length("src"), argument("powers")
	x, h, t, polynomial, turned := Z0, Z1, Z2, Z3, Z4
	sum := &product{Z5, Z6, Z7}
	hash, first, firstPower := Z9, Z10, Z11

	VBROADCASTI32X4(k.turn, turned)
	VPBROADCASTQ(k.polynomial, polynomial)
	SHRQ(Imm(4), blocks)
	begin(y, src, blocks, x, t)
	VPSHUFB(turned, x, x)
	SUBQ(Imm(1), blocks)
	SHRQ(Imm(2), blocks) // vectors
	JZ(LabelRef("together"))
	VPXORQ(hash, hash, hash)

	// A group of vectors, each times the power for its distance from the end. The
	// first comes last, since it waits for the reduction of the group before.
	Label("groups")
	group, power := GP64(), GP64()
	MOVQ(U32(strides), group)
	CMPQ(blocks, group)
	CMOVQCS(blocks, group)
	SUBQ(group, blocks)
	MOVQ(group, power)
	SHLQ(Imm(4), power)
	LEAQ(Mem{Base: powers, Index: power, Scale: 1, Disp: vector - block}, power)
	VMOVDQA64(x, first)
	VBROADCASTI32X4(Mem{Base: power}, firstPower)
	sum.clear()
	JMP(LabelRef("next"))
	Label("vectors")
	SUBQ(Imm(block), power)
	VBROADCASTI32X4(Mem{Base: power}, h)
	sum.add(x, h, t)
	Label("next")
	VMOVDQU64(at(src, 0), x)
	VPSHUFB(turned, x, x)
	ADDQ(U32(vector), src)
	SUBQ(Imm(1), group)
	JNZ(LabelRef("vectors"))
	VPXORQ(hash, first, first)
	sum.add(first, firstPower, t)
	sum.reduce(polynomial, t, hash)
	TESTQ(blocks, blocks)
	JNZ(LabelRef("groups"))
	VPXORQ(hash, x, x)

	Label("together")
	VMOVDQU64(at(powers, 0), h)
	sum.clear()
	sum.add(x, h, t)
	sum.reduce(polynomial, t, x)
	fold(x, t, turned, y)
	VZEROUPPER()
	RET()
}

// fold adds the lanes of x, and writes the sum to y.
func fold(x, t, turned VecPhysical, y Register) {
	VEXTRACTI64X4(Imm(1), x, t.AsY())
	VPXORQ(t.AsY(), x.AsY(), x.AsY())
	VEXTRACTI128(Imm(1), x.AsY(), t.AsX())
	VPXORQ(t.AsX(), x.AsX(), x.AsX())
	VPSHUFB(turned.AsX(), x.AsX(), x.AsX())
	VMOVDQU(x.AsX(), Mem{Base: y})
}

// begin loads the blocks of the first vector, one to four, into its last lanes, adds
// y to the first of them, and advances src.
func begin(y, src, blocks GPVirtual, x, t VecPhysical) {
	more, words, mask := GP64(), GP64(), GP64()
	LEAQ(Mem{Base: blocks, Disp: -1}, more)
	ANDQ(Imm(3), more)
	LEAQ(Mem{Base: more, Index: more, Scale: 1, Disp: 2}, words)
	MOVQ(U32(0xff00), mask)
	SHRXQ(words, mask, mask)
	KMOVB(mask.As32(), K1)
	NEGQ(words)
	ADDQ(Imm(8), words) // those before
	MOVQ(U32(3), mask)
	SHLXQ(words, mask, mask)
	KMOVB(mask.As32(), K2)
	VPEXPANDQ_Z(Mem{Base: src}, K1, x)
	VBROADCASTI32X4(Mem{Base: y}, t)
	VPXORQ(t, x, K2, x)
	SHLQ(Imm(4), more)
	LEAQ(Mem{Base: src, Index: more, Scale: 1, Disp: block}, src)
}

// subWord is not for the vectors, but for the round keys.
func subWord() {
	TEXT("subWord", NOSPLIT, "func(w uint32) uint32")
	Doc("subWord applies the S-box of AES to each byte of w.")
	w := GP32()
	Load(Param("w"), w)
	MOVD(w, X0)
	PSHUFD(Imm(0), X0, X0)
	AESKEYGENASSIST(Imm(0), X0, X0)
	MOVD(X0, w)
	PXOR(X0, X0)
	Store(w, ReturnIndex(0))
	RET()
}
