package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// A block is eight limbs of 64 bits: as many as fit the registers.
const (
	limbs = 8
	block = 8 * limbs // bytes
)

// A sum that is worked on is in acc. rx, ry and rt point to a factor, whose limbs
// are taken one by one, to the other, and to the product.
var (
	acc        = []GPPhysical{R8, R9, R10, R11, R12, R13, R14, R15}
	lo, hi     = RAX, RBX
	rx, ry, rt = RSI, RCX, RDI
	zero       = RBP // holds 0: to clear a register clears the carries too
)

func limb(base Register, i int) Mem { return Mem{Base: base, Disp: 8 * i} }

// slot is a word of the frame.
func slot(i int) Mem { return Mem{Base: StackPointer, Disp: 8 * i} }

// rotated is acc from register k on: in row k of a block, what it begins with has
// the significance of limb k.
func rotated(k int) (a []GPPhysical) {
	return append(append(a, acc[k:]...), acc[:k]...)
}

// rows adds the product of two blocks to t and acc, which are of the same
// significance: of x*y + t + acc, which always fits two blocks, t becomes the lower
// one and acc the upper one. Low and high halves of the products of limbs are added
// in two chains of carries; the limb of t begins the second one.
func rows() {
	TEXT("rows", NOSPLIT, "func()")
	Doc("rows is for the routines beside it only: its arguments are in registers.")
	for k := range limbs {
		a := rotated(k)
		MOVQ(limb(rx, k), RDX)
		XORL(lo.As32(), lo.As32()) // no carries
		ADOXQ(limb(rt, k), a[0])
		row(a, func() { MOVQ(a[0], limb(rt, k)) })
	}
	RET()
}

// row adds the product of RDX and the block at ry to a, which goes on in another
// order: the first register, done with once it has its sum, is the last one of the
// next row.
func row(a []GPPhysical, done func()) {
	for j := range limbs {
		high := GPPhysical(hi)
		if j == limbs-1 {
			high = a[0]
		}
		MULXQ(limb(ry, j), lo, high)
		ADCXQ(lo, a[j])
		if j == 0 {
			done()
		}
		if j < limbs-1 {
			ADOXQ(high, a[j+1])
		}
	}
	ADCXQ(zero, a[0])
	ADOXQ(zero, a[0])
}

// The frame of reduction.
var (
	slotK0    = slot(0)
	slotSize  = slot(1) // bytes of a number
	slotM     = slot(2)
	slotEnd   = slot(3) // of the modulus
	slotCarry = slot(4)
	slotCount = slot(5) // bytes that are left
)

// reduction makes the number at t, of twice the length of m, that divided by R,
// modulo m, in the length of m, at z. A block of multiples of m is added at a time: first
// those multiples are found, each of which makes a limb vanish, then the rest of m
// is multiplied by them.
//
// Arguments: rt, ry (m), rx (z), RDX (k0), RBX (bytes of a number).
func reduction() {
	TEXT("reduction", NOSPLIT, "func()")
	Doc("reduction is for the routines beside it only: its arguments are in registers.")
	AllocLocal(56)
	z := slot(6)
	MOVQ(RDX, slotK0)
	MOVQ(RBX, slotSize)
	MOVQ(ry, slotM)
	MOVQ(rx, z)
	MOVQ(RBX, slotCount)
	ADDQ(ry, RBX)
	MOVQ(RBX, slotEnd)
	XORL(zero.As32(), zero.As32())
	MOVQ(zero, slotCarry)

	Label("blocks")
	Comment("The multiples: they go where the limbs were that they make vanish.")
	MOVQ(slotM, ry)
	load(acc, rt)
	for k := range limbs {
		a := rotated(k)
		MOVQ(slotK0, RDX)
		IMULQ(a[0], RDX)
		MOVQ(RDX, limb(rt, k))
		XORL(lo.As32(), lo.As32())
		row(a, func() {})
	}
	Comment("The rest of m.")
	MOVQ(rt, rx)
	JMP(LabelRef("next"))
	Label("rest")
	CALL(LabelRef("·rows(SB)"))
	Label("next")
	ADDQ(Imm(block), rt)
	ADDQ(Imm(block), ry)
	CMPQ(ry, slotEnd)
	JNE(LabelRef("rest"))
	addTo(rt, slotCarry)
	LEAQ(Mem{Base: rx, Disp: block}, rt)
	SUBQ(Imm(block), slotCount)
	JNE(LabelRef("blocks"))

	Comment("The sum may be longer than m by a bit; then m is taken from it.")
	MOVQ(slotM, ry)
	MOVQ(slotCarry, hi)
	MOVQ(z, rx)
	MOVQ(slotSize, lo)
	MOVQ(lo, slotCount)
	XORL(lo.As32(), lo.As32())
	Label("subtract")
	for i, r := range acc {
		MOVQ(limb(ry, i), r)
		ANDQ(hi, r)
	}
	ADDQ(lo, lo) // the borrow
	for i, r := range acc {
		MOVQ(limb(rt, i), RDX)
		SBBQ(r, RDX)
		MOVQ(RDX, limb(rx, i))
	}
	SBBQ(lo, lo)
	for _, r := range []Register{rt, ry, rx} {
		ADDQ(Imm(block), r)
	}
	SUBQ(Imm(block), slotCount)
	JNE(LabelRef("subtract"))
	RET()
}

// load fills registers from memory.
func load(to []GPPhysical, from Register) {
	for i, r := range to {
		MOVQ(limb(from, i), r)
	}
}

// addTo adds acc to the block at t. A carry, 0 or -1, comes in and goes out.
func addTo(t Register, carry Mem) {
	MOVQ(carry, lo)
	ADDQ(lo, lo)
	for i, r := range acc {
		ADCQ(limb(t, i), r)
		MOVQ(r, limb(t, i))
	}
	SBBQ(lo, lo)
	MOVQ(lo, carry)
}

// The frame of what calls reduction.
var (
	slotXEnd  = slot(0)
	slotYEnd  = slot(1)
	slotFirst = slot(2) // block of the other factor
	slotT     = slot(3) // where in t the product with it begins
	slotSum   = slot(4) // a carry
	slotTimes = slot(5)
)

const frame = 48

// function begins a function for Go.
func function(name, signature string, doc ...string) {
	TEXT(name, NOSPLIT, signature)
	Pragma("noescape")
	Doc(doc...)
}

// finish has reduction write the result.
func finish() {
	Load(Param("t").Base(), rt)
	Load(Param("m").Base(), ry)
	Load(Param("z").Base(), rx)
	Load(Param("k0"), RDX)
	bytes(RBX)
	CALL(LabelRef("·reduction(SB)"))
}

// bytes loads the length of a number.
func bytes(r Register) {
	Load(Param("m").Len(), r)
	SHLQ(Imm(3), r)
}

func multiply() {
	function("multiply", "func(z, x, y, m, t []uint64, k0 uint64)",
		"multiply makes z = x*y/R mod m, for R = 2^(64*len(m)) and any x and y below R;",
		"z is below R. All have a multiple of 8 limbs. k0 is -1/m mod 2^64; t is scratch, twice as long.")
	AllocLocal(frame)
	Load(Param("t").Base(), rt)
	Load(Param("x").Base(), rx)
	Load(Param("y").Base(), ry)
	bytes(RDX)
	LEAQ(Mem{Base: rx, Index: RDX, Scale: 1}, lo)
	MOVQ(lo, slotXEnd)
	LEAQ(Mem{Base: ry, Index: RDX, Scale: 1}, lo)
	MOVQ(lo, slotYEnd)
	MOVQ(rt, slotT)
	XORL(zero.As32(), zero.As32())
	Comment("What the first row of blocks is added to.")
	Label("clear")
	for i := range limbs {
		MOVQ(zero, limb(rt, i))
	}
	ADDQ(Imm(block), rt)
	SUBQ(Imm(block), RDX)
	JNE(LabelRef("clear"))

	Label("blocks")
	MOVQ(slotT, rt)
	Load(Param("y").Base(), ry)
	for _, r := range acc {
		MOVQ(zero, r)
	}
	Label("rows")
	CALL(LabelRef("·rows(SB)"))
	ADDQ(Imm(block), rt)
	ADDQ(Imm(block), ry)
	CMPQ(ry, slotYEnd)
	JNE(LabelRef("rows"))
	for i, r := range acc {
		MOVQ(r, limb(rt, i))
	}
	ADDQ(Imm(block), slotT)
	ADDQ(Imm(block), rx)
	CMPQ(rx, slotXEnd)
	JNE(LabelRef("blocks"))
	finish()
	RET()
}

func square() {
	function("square", "func(z, x, m, t []uint64, k0 uint64, times int)",
		"square is multiply of x by itself, so many times.")
	AllocLocal(frame)
	Load(Param("times"), lo)
	MOVQ(lo, slotTimes)
	Load(Param("x").Base(), rx)
	Label("again")
	Load(Param("t").Base(), rt)
	MOVQ(rx, slotFirst)
	bytes(RDX)
	ADDQ(rx, RDX)
	MOVQ(RDX, slotXEnd)
	XORL(zero.As32(), zero.As32())
	Comment("Products of different limbs of a block.")
	Label("triangles")
	triangle()
	ADDQ(Imm(2*block), rt)
	ADDQ(Imm(block), rx)
	CMPQ(rx, slotXEnd)
	JNE(LabelRef("triangles"))

	Comment("Products of different blocks.")
	Load(Param("t").Base(), rt)
	MOVQ(slotFirst, rx)
	ADDQ(Imm(block), rt)
	MOVQ(zero, slotSum)
	Label("blocks")
	MOVQ(rt, slotT)
	LEAQ(Mem{Base: rx, Disp: block}, ry)
	for _, r := range acc {
		MOVQ(zero, r)
	}
	JMP(LabelRef("next"))
	Label("rows")
	CALL(LabelRef("·rows(SB)"))
	ADDQ(Imm(block), rt)
	ADDQ(Imm(block), ry)
	Label("next")
	CMPQ(ry, slotXEnd)
	JNE(LabelRef("rows"))
	addTo(rt, slotSum)
	MOVQ(slotT, rt)
	ADDQ(Imm(2*block), rt)
	ADDQ(Imm(block), rx)
	CMPQ(rx, slotXEnd)
	JNE(LabelRef("blocks"))

	Comment("Both count twice, and squares of limbs are added.")
	Load(Param("t").Base(), rt)
	MOVQ(slotFirst, rx)
	XORL(ry.As32(), ry.As32()) // what is carried
	Label("squares")
	doubleAndSquares()
	ADDQ(Imm(2*block), rt)
	ADDQ(Imm(block), rx)
	CMPQ(rx, slotXEnd)
	JNE(LabelRef("squares"))
	finish()
	Load(Param("z").Base(), rx)
	SUBQ(Imm(1), slotTimes)
	JNE(LabelRef("again"))
	RET()
}

// triangle writes the products of different limbs of the block at rx to t, with 0
// for the limbs at both ends. Limb i of the sum is in register i-1 of acc, modulo 8.
func triangle() {
	at := func(i int) GPPhysical { return acc[(i+limbs-1)%limbs] }
	MOVQ(zero, limb(rt, 0))
	MOVQ(limb(rx, 0), RDX)
	MULXQ(limb(rx, 1), at(1), at(2))
	for j := 2; j < limbs; j++ {
		MULXQ(limb(rx, j), lo, at(j+1))
		if j == 2 {
			ADDQ(lo, at(j))
		} else {
			ADCQ(lo, at(j))
		}
	}
	ADCQ(Imm(0), at(limbs))
	for i := 1; i < limbs-1; i++ {
		MOVQ(at(2*i-1), limb(rt, 2*i-1))
		MOVQ(at(2*i), limb(rt, 2*i))
		MOVQ(limb(rx, i), RDX)
		XORL(lo.As32(), lo.As32())
		for j := i + 1; j < limbs; j++ {
			high := GPPhysical(hi)
			if j == limbs-1 {
				high = at(i + j + 1)
			}
			MULXQ(limb(rx, j), lo, high)
			ADCXQ(lo, at(i+j))
			if j < limbs-1 {
				ADOXQ(high, at(i+j+1))
			}
		}
		ADCXQ(zero, at(i+limbs))
		if i < limbs-2 {
			ADOXQ(zero, at(i+limbs))
		}
	}
	for i := 2*limbs - 3; i < 2*limbs-1; i++ {
		MOVQ(at(i), limb(rt, i))
	}
	MOVQ(zero, limb(rt, 2*limbs-1))
}

// doubleAndSquares doubles two blocks of t, and adds the squares of the limbs of
// the block at rx. ry, from 0 to 2, is carried.
func doubleAndSquares() {
	for i := range limbs {
		MOVQ(limb(rx, i), RDX)
		MULXQ(RDX, lo, hi)
		if i == 0 {
			ADDQ(ry, lo)               // this never carries: a square is 0 or 1 modulo 4
			XORL(ry.As32(), ry.As32()) // no carries
		}
		for j, half := range []GPPhysical{lo, hi} {
			r := acc[(2*i+j)%limbs]
			MOVQ(limb(rt, 2*i+j), r)
			ADCXQ(r, r)
			ADOXQ(half, r)
			MOVQ(r, limb(rt, 2*i+j))
		}
	}
	ADCXQ(zero, ry)
	ADOXQ(zero, ry)
}

func reduce() {
	function("reduce", "func(z, t, m []uint64, k0 uint64)",
		"reduce makes z = t/R mod m, below R, from t, which is twice as long and which it destroys.",
		"If t is below R, then z is at most m.")
	AllocLocal(frame)
	finish()
	RET()
}

// pick reads the table whole, so that addresses tell nothing of the index.
func pick() {
	function("pick", "func(z, table []uint64, index uint64)",
		"pick copies to z the entry that index names, of a table of entries as long as z, which",
		"is a multiple of 8 limbs.")
	z, left := Load(Param("z").Base(), GP64()), Load(Param("z").Len(), GP64())
	table, end := Load(Param("table").Base(), GP64()), Load(Param("table").Len(), GP64())
	stride, entry := GP64(), GP64()
	want, now, one, mask := YMM(), YMM(), YMM(), YMM()
	sums, loads := []VecVirtual{YMM(), YMM()}, []VecVirtual{YMM(), YMM()}
	index, _ := Param("index").Resolve()
	VPBROADCASTQ(index.Addr, want)
	VPCMPEQQ(one, one, one) // -1
	LEAQ(Mem{Base: table, Index: end, Scale: 8}, end)
	MOVQ(left, stride)
	SHLQ(Imm(3), stride)
	Label("blocks")
	MOVQ(table, entry)
	VPXOR(now, now, now)
	for _, s := range sums {
		VPXOR(s, s, s)
	}
	Label("entries")
	VPCMPEQQ(now, want, mask)
	VPSUBQ(one, now, now)
	for i, s := range sums {
		VPAND(Mem{Base: entry, Disp: 32 * i}, mask, loads[i])
		VPOR(loads[i], s, s)
	}
	ADDQ(stride, entry)
	CMPQ(entry, end)
	JCS(LabelRef("entries"))
	for i, s := range sums {
		VMOVDQU(s, Mem{Base: z, Disp: 32 * i})
	}
	ADDQ(Imm(block), table)
	ADDQ(Imm(block), z)
	SUBQ(Imm(limbs), left)
	JNE(LabelRef("blocks"))
	VZEROUPPER()
	RET()
}
