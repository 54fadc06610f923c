package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// p521Inner is multiplication modulo p = 2^521 - 1, without Montgomery's factor:
// what of a product is above 2^521 is added to what is below. The lower half of
// the product goes to the frame.
func (k *kernel) p521Inner() {
	TEXT("mulP521Inner", NOSPLIT, "func()")
	Doc("mulP521Inner is for the routines beside it only: its arguments are in registers.")
	AllocLocal(k.frame())
	low := func(i int) Mem { return Mem{Base: StackPointer, Disp: 8 * i} }
	// After 9 rows, t begins with the second register.
	t := append(append([]GPPhysical{}, limbs[2:]...), limbs[:2]...)
	MOVQ(rx, k.x())
	for i := range k.n {
		MOVQ(k.x(), RDX)
		MOVQ(limb(RDX, i), RDX)
		if i == 0 {
			k.firstRow(t)
		} else {
			XORL(t[k.n].As32(), t[k.n].As32()) // and no carries
			for j := range k.n {
				MULXQ(limb(ry, j), lo, k.high())
				ADCXQ(lo, t[j])
				ADOXQ(k.high(), t[j+1])
			}
			ADCXQ(none, t[k.n])
		}
		MOVQ(t[0], low(i))
		t = append(append([]GPPhysical{}, t[1:]...), t[0])
	}
	MOVQ(low(8), lo)
	MOVQ(lo, limbs[0])
	SHRQ(Imm(9), limbs[0])
	ANDQ(U32(511), lo)
	for i := range k.n { // moves all from t on right by 9 bits
		MOVQ(t[i], RDX)
		SHLQ(Imm(55), RDX)
		ORQ(RDX, limbs[i])
		if i < k.n-1 {
			SHRQ(Imm(9), t[i])
		}
	}
	for i, r := range k.number() {
		if i == k.n-1 {
			ADCQ(lo, r)
		} else {
			chain(i == 0, ADDQ, ADCQ)(low(i), r)
		}
	}
	XORL(RDX.As32(), RDX.As32())
	k.reduceOnce(RDX)
	RET()
}
