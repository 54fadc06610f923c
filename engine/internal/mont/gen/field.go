package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// kernel is the arithmetic of numbers of n limbs.
type kernel struct {
	name string
	n    int
	// room says that moduli leave the top bits of the last limb unused.
	room bool
	// p256 is for the modulus of P-256 alone.
	p256 bool
}

var kernels = []*kernel{
	{name: "4", n: 4},
	{name: "6", n: 6},
	{name: "8", n: 8},
	{name: "9", n: 9, room: true},
	{name: "P256", n: 4, p256: true},
}

// The layout of type Modulus, in bytes.
const (
	element = 72 // size of an Element; the modulus is the first
	inverse = element
)

// The routines within the assembly take z = x op y and the modulus in these
// registers, and change all registers but SP.
var (
	rz, rx, ry, rm = RDI, RSI, RBX, RCX
	lo, hi         = RAX, RBP
	// Sums of limbs are in these, and for 8 and 9 limbs in those of rx and rz too,
	// which are then read from the frame when they are needed.
	sums = []GPPhysical{R8, R9, R10, R11, R12, R13, R14, R15, RSI, RDI}
)

func limb(base Register, i int) Mem { return Mem{Base: base, Disp: 8 * i} }

func spill(i int) Mem { return Mem{Base: StackPointer, Disp: 8 * i} }

func (k *kernel) field() {
	for _, op := range []struct {
		name, does string
		body       func()
	}{
		{"mul", fmt.Sprintf("x*y/2^%d mod m, for x < 2^%d and y < m", 64*k.n, 64*k.n), k.mul},
		{"add", "x+y mod m", k.add},
		{"sub", "x-y mod m", k.sub},
	} {
		TEXT(k.internal(op.name), NOSPLIT, "func()")
		Doc(fmt.Sprintf("%s is for the routines beside it only: its arguments are in registers.", k.internal(op.name)))
		AllocLocal(24) // which saves BP too
		op.body()
		RET()

		TEXT(op.name+k.name+"ADX", NOSPLIT, "func(z, x, y, m *uint64)")
		Pragma("noescape")
		Doc(fmt.Sprintf("%s%sADX makes z = %s.", op.name, k.name, op.does))
		Load(Param("z"), rz)
		Load(Param("x"), rx)
		Load(Param("y"), ry)
		Load(Param("m"), rm)
		CALL(LabelRef("·" + k.internal(op.name) + "(SB)"))
		RET()
	}
}

func (k *kernel) internal(op string) string { return op + k.name + "Inner" }

// mul is Montgomery multiplication, a row of products and a row of the reduction
// in turn. Low and high halves are added in two chains of carries.
func (k *kernel) mul() {
	n := k.n
	extra := 2 // limbs above the n of a sum
	if k.room {
		extra = 1
	}
	t := sums[:n+extra]
	x := Register(rx)
	MOVQ(I32(0), spill(2))
	if n+extra > 8 {
		MOVQ(rx, spill(0))
		MOVQ(rz, spill(1))
	}
	digit := func(i int) {
		if n+extra > 8 {
			MOVQ(spill(0), RDX)
			MOVQ(limb(RDX, i), RDX)
			return
		}
		MOVQ(limb(x, i), RDX)
	}
	for i := range n {
		Comment(fmt.Sprintf("x[%d]", i))
		digit(i)
		if i == 0 {
			k.firstRow(t)
		} else {
			k.row(t, ry)
		}
		k.reduceRow(t)
		t = append(append([]GPPhysical{}, t[1:]...), t[0]) // t[0] is 0 now
	}
	if n+extra > 8 {
		MOVQ(spill(1), RDX)
		k.finish(RDX, t[:n], t[n:])
		return
	}
	k.finish(rz, t[:n], t[n:])
}

// firstRow makes t = RDX*y.
func (k *kernel) firstRow(t []GPPhysical) {
	n := k.n
	MULXQ(limb(ry, 0), t[0], t[1])
	for j := 1; j < n; j++ {
		MULXQ(limb(ry, j), lo, t[j+1])
		if j == 1 {
			ADDQ(lo, t[j])
		} else {
			ADCQ(lo, t[j])
		}
	}
	ADCQ(Imm(0), t[n])
	for _, r := range t[n+1:] {
		XORL(r.As32(), r.As32())
	}
}

// row makes t += RDX*y.
func (k *kernel) row(t []GPPhysical, y Register) {
	n := k.n
	XORL(lo.As32(), lo.As32()) // no carries
	for j := range n {
		MULXQ(limb(y, j), lo, hi)
		ADCXQ(lo, t[j])
		ADOXQ(hi, t[j+1])
	}
	k.carry(t)
}

// carry adds both carries behind t[n-1] and t[n].
func (k *kernel) carry(t []GPPhysical) {
	zero := spill(2) // the assembler would clear a register with XOR, and the carries
	ADCXQ(zero, t[k.n])
	if !k.room {
		ADCXQ(zero, t[k.n+1])
		ADOXQ(zero, t[k.n+1])
	}
}

// reduceRow adds the multiple of m that makes t[0] zero.
func (k *kernel) reduceRow(t []GPPhysical) {
	if k.p256 {
		k.reduceRowP256(t)
		return
	}
	MOVQ(t[0], RDX)
	IMULQ(Mem{Base: rm, Disp: inverse}, RDX)
	k.row(t, rm)
}

// reduceRowP256 adds q = t[0] times p = 2^256 - 2^224 + 2^192 + 2^96 - 1: with
// 2^96*q and 2^192*(2^64-2^32+1)*q, and what is below 2^64 vanishes.
func (k *kernel) reduceRowP256(t []GPPhysical) {
	MOVQ(t[0], RDX)
	MOVQ(t[0], lo)
	SHLQ(Imm(32), RDX)
	SHRQ(Imm(32), lo)
	MOVQ(t[0], hi)
	// (2^64-2^32+1)*q = 2^64*q - (2^32-1)*q = hi:t[0].
	SUBQ(RDX, t[0])
	SBBQ(lo, hi)
	ADDQ(RDX, t[1])
	ADCQ(lo, t[2])
	ADCQ(t[0], t[3])
	ADCQ(hi, t[4])
	ADCQ(Imm(0), t[5])
	XORL(t[0].As32(), t[0].As32())
}

// finish writes t, with top as more limbs, or t-m if that is not negative.
func (k *kernel) finish(z Register, t, top []GPPhysical) {
	for i, r := range t {
		MOVQ(r, limb(z, i))
	}
	for i, r := range t {
		if i == 0 {
			SUBQ(limb(rm, i), r)
		} else {
			SBBQ(limb(rm, i), r)
		}
	}
	for _, r := range top[:1] {
		SBBQ(Imm(0), r)
	}
	for i, r := range t {
		CMOVQCS(limb(z, i), r)
		MOVQ(r, limb(z, i))
	}
}

func (k *kernel) add() {
	t, top := sums[:k.n], lo
	for i, r := range t {
		MOVQ(limb(rx, i), r)
	}
	XORL(top.As32(), top.As32())
	for i, r := range t {
		if i == 0 {
			ADDQ(limb(ry, i), r)
		} else {
			ADCQ(limb(ry, i), r)
		}
	}
	ADCQ(Imm(0), top)
	k.finish(rz, t, []GPPhysical{top})
}

func (k *kernel) sub() {
	t := sums[:k.n]
	for i, r := range t {
		MOVQ(limb(rx, i), r)
	}
	for i, r := range t {
		if i == 0 {
			SUBQ(limb(ry, i), r)
		} else {
			SBBQ(limb(ry, i), r)
		}
	}
	// Back by m if that is negative.
	SBBQ(lo, lo)
	for i := range t {
		MOVQ(limb(rm, i), hi)
		ANDQ(lo, hi)
		MOVQ(hi, limb(rz, i))
	}
	for i, r := range t {
		if i == 0 {
			ADDQ(limb(rz, i), r)
		} else {
			ADCQ(limb(rz, i), r)
		}
		MOVQ(r, limb(rz, i))
	}
}
