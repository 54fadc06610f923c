package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// The layout of type shape, in bytes.
const (
	shapeFirst = iota * vector  // indices: the first lane of each group
	shapeDown                   // the lane above
	shapeUp                     // the lane below
	shapeOnes                   // 1
	shapeMask                   // 2^52-1
	shapeLows                   // a mask: first lanes of groups; then others
	shapeTops  = shapeLows + 8  // not the last lanes
	shapeHighs = shapeLows + 16 // not the first lanes
)

// pairs writes the kernels that work on one or two numbers whose digits lie
// across the lanes: digit d is in lane d/s of vector d mod s. That a number moves
// down by a digit is then another name for s-1 vectors, and a permutation of one.
func pairs() {
	for _, s := range []int{5, 8, 10} {
		pair(s)
	}
}

func pair(s int) {
	TEXT(fmt.Sprintf("pair%d", s), NOSPLIT, "func(z, a, b, m, k0, s *uint64, lanes, n int)")
	Pragma("noescape")
	Doc(fmt.Sprintf("pair%d makes z = a*b/2^(52*digits) mod m, below 2m, of numbers of %d vectors, n times:", s, s),
		"with z for a and b, it squares so often. lanes is how many each number has.")
	out, pa, pb, pm, k0, sh, n := argument("z"), argument("a"), argument("b"), argument("m"), argument("k0"), argument("s"), argument("n")
	all, lanes := argument("lanes"), GP64()
	field := func(disp int) Mem { return Mem{Base: sh, Disp: disp} }
	acc := z[:s]
	m := z[s : 2*s]
	var a []VecPhysical
	if 3*s <= 24 {
		a = z[2*s : 3*s]
	}
	digit := func(i int) Op {
		if a == nil {
			return at(pa, i)
		}
		return a[i]
	}
	b, next, q, high, carry, index, first, down := z[24], z[25], z[26], z[27], z[28], z[29], z[30], z[31]

	for i := range s {
		VMOVDQU64(at(pm, i), m[i])
	}
	KMOVB(field(shapeLows), K1)
	KMOVB(field(shapeTops), K2)
	KMOVB(field(shapeHighs), K5)

	Label("again")
	for i := range a {
		VMOVDQU64(at(pa, i), a[i])
	}
	VMOVDQU64(field(shapeFirst), first)
	VMOVDQU64(field(shapeDown), down)
	VMOVDQA64(first, index)
	MOVQ(all, lanes)
	KXNORB(K3, K3, K3)
	for i := range s {
		VPXORQ(acc[i], acc[i], acc[i])
	}
	VPERMQ(at(pb, 0), index, b)
	VPMADD52LUQ(digit(0), b, acc[0])

	Label("lanes")
	CMPQ(lanes, Imm(1))
	JNE(LabelRef("digits"))
	KXORB(K3, K3, K3) // no digit after the last
	Label("digits")
	for v := range s {
		A := func(i int) VecPhysical { return acc[(v+i)%s] }
		VPXORQ(q, q, q)
		VPMADD52LUQ(at(k0, 0), A(0), q)
		VPERMQ(q, first, q)
		if v == s-1 {
			VPADDQ(field(shapeOnes), index, index)
			VPERMQ_Z(at(pb, 0), index, K3, next)
		} else {
			VPERMQ(at(pb, v+1), index, next)
		}
		// The products with a; those with the next digit already for the
		// next quotient.
		VPMADD52LUQ(digit(1), b, A(1))
		VPMADD52HUQ(digit(0), b, A(1))
		VPMADD52LUQ(digit(0), next, A(1))
		for w := 2; w < s; w++ {
			VPMADD52LUQ(digit(w), b, A(w))
			VPMADD52HUQ(digit(w-1), b, A(w))
		}
		// Those with m, which clear digit 0; its carry goes to digit 1.
		VPMADD52LUQ(m[0], q, A(0))
		VPXORQ(high, high, high)
		VPMADD52HUQ(m[0], q, high)
		VPMADD52LUQ(m[1], q, A(1))
		VPSRLQ_Z(Imm(52), A(0), K1, carry)
		VPADDQ(high, A(1), A(1))
		VPADDQ(carry, A(1), A(1))
		for w := 2; w < s; w++ {
			VPMADD52LUQ(m[w], q, A(w))
			VPMADD52HUQ(m[w-1], q, A(w))
		}
		VPERMQ_Z(A(0), down, K2, A(0))
		VPMADD52HUQ(digit(s-1), b, A(0))
		VPMADD52HUQ(m[s-1], q, A(0))
		b, next = next, b
	}
	if s%2 == 1 {
		VMOVDQA64(b, next)
		b, next = next, b
	}
	SUBQ(Imm(1), lanes)
	JNZ(LabelRef("lanes"))

	normalise(acc, field, q, high, carry, index, first)
	for i := range s {
		VMOVDQU64(acc[i], at(out, i))
	}
	SUBQ(Imm(1), n)
	JNZ(LabelRef("again"))
	VZEROUPPER()
	RET()
}

// normalise carries, exactly: every digit ends below 2^52.
func normalise(acc []VecPhysical, field func(int) Mem, c, and, top, mask, up VecPhysical) {
	s := len(acc)
	VMOVDQU64(field(shapeMask), mask)
	VMOVDQU64(field(shapeUp), up)
	// All at once: what remains to be carried is 0 or 1.
	VPSRLQ(Imm(52), acc[s-1], top)
	VPERMQ_Z(top, up, K5, top)
	for i := s - 1; i >= 0; i-- {
		VPANDQ(mask, acc[i], acc[i])
		if i > 0 {
			VPSRLQ(Imm(52), acc[i-1], c)
			VPADDQ(c, acc[i], acc[i])
		}
	}
	VPADDQ(top, acc[0], acc[0])
	ripple(acc, c)
	// From lane to lane as an addition of bits: where a lane carries, and where
	// it would hand a carry on.
	VPCMPUQ(Imm(6), mask, acc[s-1], K4)
	VPANDQ(acc[0], acc[1], and)
	for i := range s {
		VPANDQ(mask, acc[i], acc[i])
		VPANDQ(acc[i], and, and)
	}
	VPCMPEQQ(mask, and, K6)
	generate, propagate := GP32(), GP32()
	KMOVB(K4, generate)
	KMOVB(K6, propagate)
	ADDL(generate, generate)
	ANDL(field(shapeHighs), generate)
	ADDL(propagate, generate)
	XORL(propagate, generate)
	KMOVB(generate, K4)
	VPADDQ(field(shapeOnes), acc[0], K4, acc[0])
	ripple(acc, c)
	for i := range s {
		VPANDQ(mask, acc[i], acc[i])
	}
}

// ripple carries from vector to vector within each lane.
func ripple(acc []VecPhysical, c VecPhysical) {
	for i := range len(acc) - 1 {
		VPSRLQ(Imm(52), acc[i], c)
		VPADDQ(c, acc[i+1], acc[i+1])
	}
}
