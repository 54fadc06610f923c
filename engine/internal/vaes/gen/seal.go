package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// seal encrypts a group of vectors while the one before is hashed, as ghash does it:
// between two rounds is the product of a vector. The first vector of a group waits in
// a register for the group before it to be reduced.
func seal(k *constants) {
	TEXT("seal", NOSPLIT, "func(dst, src []byte, counter *[16]byte, round *[15][16]byte, rounds int, hash *[16]byte, powers *[20][16]byte)")
	Pragma("noescape")
	Doc("seal is ctr and then ghash of dst, for a multiple of 512 bytes, at least one.")
	dst, src, n, counter := pointer("dst"), pointer("src"), length("src"), argument("counter")
	keys, rounds := argument("round"), argument("rounds")
	c := newCipher(rounds)
	c.load(keys, counter, k)
	advance(counter, n)
	y, powers := argument("hash"), argument("powers")
	x, h, t := Z11, Z12, Z13
	sum := &product{Z14, Z15, Z31}

	// add adds the product of the ith vector of the group before, or of what is in x.
	add := func(i int, power int) {
		if i > 0 {
			VMOVDQU64(at(dst, i-many), x)
			VPSHUFB(c.turn, x, x)
		}
		VBROADCASTI32X4(Mem{Base: powers, Disp: vector + block*(power-1)}, h)
		sum.add(x, h, t)
	}
	c.encrypt(dst, src, nil)
	VBROADCASTI32X4(Mem{Base: y}, x)
	lane := GP32()
	MOVL(U32(3), lane)
	KMOVB(lane, K1)
	VMOVDQU64_Z(x, K1, x)
	VPXORQ(z[0], x, x)
	VPSHUFB(c.turn, x, x)
	SUBQ(U32(many*vector), n)
	JZ(LabelRef("last"))

	Label("groups")
	sum.clear()
	c.encrypt(dst, src, func(round int) {
		if round < 9 {
			add(round-1, many+1-round)
			return
		}
		VPBROADCASTQ(k.polynomial, h)
		sum.reduce(h, t, x)
	})
	VPSHUFB(c.turn, z[0], t)
	VPXORQ(t, x, x)
	SUBQ(U32(many*vector), n)
	JNZ(LabelRef("groups"))

	// The rest of the last group, and all lanes together.
	Label("last")
	sum.clear()
	for i := range many - 1 {
		add(i, many-1-i)
	}
	VPBROADCASTQ(k.polynomial, z[0])
	sum.reduce(z[0], t, x)
	VMOVDQU64(at(dst, -1), t)
	VPSHUFB(c.turn, t, t)
	VPXORQ(t, x, x)
	VMOVDQU64(at(powers, 0), h)
	sum.clear()
	sum.add(x, h, t)
	sum.reduce(z[0], t, x)
	fold(x, t, c.turn, y)
	VZEROUPPER()
	RET()
}
