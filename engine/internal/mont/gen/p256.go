package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// The field of P-256: p = 2^256 - 2^224 + 2^192 + 2^96 - 1. A product is computed
// whole, in eight registers, since its reduction hardly needs any more.

var t = limbs[:8]

// none is a zero in memory. The assembler clears a register with XOR, and the
// carries with it.
var none = Mem{Base: rm, Disp: zero}

func (k *kernel) p256Inner() {
	TEXT("mulP256Inner", NOSPLIT, "func()")
	Doc("mulP256Inner is for the routines beside it only: its arguments are in registers.")
	for i := range 4 {
		MOVQ(limb(rx, i), RDX)
		if i == 0 {
			k.firstRow(t[:5])
			continue
		}
		XORL(t[i+4].As32(), t[i+4].As32()) // and no carries
		for j := range 4 {
			MULXQ(limb(ry, j), lo, k.high())
			ADCXQ(lo, t[i+j])
			ADOXQ(k.high(), t[i+j+1])
		}
		ADCXQ(none, t[i+4])
	}
	k.reduceP256()

	TEXT("sqrP256Inner", NOSPLIT, "func()")
	Doc("sqrP256Inner is such a routine too.")
	k.crossProducts()
	k.doubleAndSquares()
	k.reduceP256()
}

// crossProducts makes the products of different limbs, from t[1] on.
func (k *kernel) crossProducts() {
	hi := k.high()
	MOVQ(limb(rx, 0), RDX)
	MULXQ(limb(rx, 1), t[1], t[2])
	MULXQ(limb(rx, 2), lo, t[3])
	ADDQ(lo, t[2])
	MULXQ(limb(rx, 3), lo, t[4])
	ADCQ(lo, t[3])
	ADCQ(Imm(0), t[4])
	MOVQ(limb(rx, 1), RDX)
	XORL(lo.As32(), lo.As32())
	MULXQ(limb(rx, 2), lo, hi)
	ADCXQ(lo, t[3])
	ADOXQ(hi, t[4])
	MULXQ(limb(rx, 3), lo, t[5])
	ADCXQ(lo, t[4])
	ADCXQ(none, t[5])
	ADOXQ(none, t[5])
	MOVQ(limb(rx, 2), RDX)
	MULXQ(limb(rx, 3), lo, t[6])
	ADDQ(lo, t[5])
	ADCQ(Imm(0), t[6])
}

// doubleAndSquares counts them twice, and adds the squares of the limbs.
func (k *kernel) doubleAndSquares() {
	XORL(t[7].As32(), t[7].As32())
	for i := range 4 {
		MOVQ(limb(rx, i), RDX)
		low, high := GPPhysical(lo), k.high()
		if i == 0 {
			low = t[0]
		}
		MULXQ(RDX, low, high)
		if i > 0 {
			ADCXQ(t[2*i], t[2*i])
			ADOXQ(low, t[2*i])
		}
		if i < 3 {
			ADCXQ(t[2*i+1], t[2*i+1])
		} else {
			ADCXQ(none, t[7])
		}
		ADOXQ(high, t[2*i+1])
	}
}

// reduceP256 makes the number t/2^256 mod p. Four times a multiple q*p, with the
// lowest limb for q, makes that limb vanish: 2^96*q and 2^192*(2^64-2^32+1)*q are
// added above it, which never overflows the four limbs there.
func (k *kernel) reduceP256() {
	half := rx
	MOVQ(U32(32), half)
	MOVQ(U64(0xffffffff00000001), RDX)
	a, next := t[:4], k.high()
	for range 4 {
		SHLXQ(half, a[0], lo)
		SHRXQ(half, a[0], ry)
		MULXQ(a[0], a[0], next)
		ADDQ(lo, a[1])
		ADCQ(ry, a[2])
		ADCQ(a[0], a[3])
		ADCQ(Imm(0), next)
		a, next = append(append([]GPPhysical{}, a[1:]...), next), a[0]
	}
	XORL(ry.As32(), ry.As32())
	for i := range 4 {
		chain(i == 0, ADDQ, ADCQ)(a[i], t[4+i])
	}
	ADCQ(Imm(0), ry)
	var sum []Op
	for _, r := range t[4:] {
		sum = append(sum, r)
	}
	for i, r := range k.number() {
		MOVQ(sum[i], r)
	}
	k.reduceCopied(ry, sum)
	RET()
}
