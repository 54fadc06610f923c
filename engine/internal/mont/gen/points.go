package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// place is where a number is: in the frame, or a coordinate of the point or the
// number that an argument points to.
type place struct {
	arg string // or "" for the frame
	at  int    // which number of the frame, or the offset in bytes
}

func temp(i int) place { return place{"", i} }

func x(arg string) place { return place{arg, 0} }
func y(arg string) place { return place{arg, element} }
func z(arg string) place { return place{arg, 2 * element} }

// address returns a register and an offset at which a place is. The register is r
// unless the place is in the frame, which begins with what the operations need.
func (k *kernel) address(p place, r GPPhysical) (base Register, disp int) {
	if p.arg == "" {
		return StackPointer, k.frame() + 8*k.n*p.at
	}
	Load(Param(p.arg), r)
	return r, p.at
}

// at makes r point to a place.
func (k *kernel) at(p place, r GPPhysical) GPPhysical {
	base, disp := k.address(p, r)
	if base != r || disp != 0 {
		LEAQ(Mem{Base: base, Disp: disp}, r)
	}
	return r
}

// product makes the number a*b.
func (k *kernel) product(a, b place) {
	k.at(a, rx)
	if k.p256 && a == b {
		CALL(LabelRef("·sqrP256Inner(SB)"))
		return
	}
	k.at(b, ry)
	k.call()
}

// plus and minus add to and subtract from the number.
func (k *kernel) plus(p place)  { k.add(k.at(p, lo)) }
func (k *kernel) minus(p place) { k.sub(k.at(p, lo)) }

// get makes the number that at a place, put writes it there.
func (k *kernel) get(p place) { k.load(k.at(p, lo)) }

func (k *kernel) put(p place) {
	base, disp := k.address(p, lo)
	k.store(base, disp)
}

func (k *kernel) points() {
	k.double("double", "-3", func(t, u place) {
		k.get(x("p"))
		k.minus(t)
		k.put(u)
		k.get(x("p"))
		k.plus(t)
		k.put(t)
		k.product(t, u)
	})
	if k.name == "4" {
		k.double("doubleZero", "0", func(t, u place) { k.product(x("p"), x("p")) })
	}
	k.addAffine()
}

// double is Modulus.doubleGo, many times. third makes the number two thirds of the
// slope; z^2 is in t, and u is free. What does not wait for the step before it
// comes after it, as a processor works on two or three products at a time.
func (k *kernel) double(name, a string, third func(t, u place)) {
	TEXT(name+k.name+"ADX", NOSPLIT, "func(r, p, m *uint64, times int)")
	Pragma("noescape")
	Doc(fmt.Sprintf("%s%sADX makes r = 2^times * p, for a = %s and times > 0.", name, k.name, a))
	AllocLocal(k.frame() + 8*k.n*4)
	Load(Param("m"), rm)
	Label("again")
	alpha, beta, gamma, t := temp(0), temp(1), temp(2), temp(3)
	k.product(z("p"), z("p"))
	k.put(alpha)
	k.product(y("p"), y("p"))
	k.put(gamma)
	third(alpha, t)
	k.put(alpha)
	k.half()
	k.plus(alpha)
	k.put(alpha)
	k.product(x("p"), gamma)
	k.put(beta)
	k.twice()
	k.put(t)
	k.product(y("p"), z("p"))
	k.put(z("r"))
	k.product(alpha, alpha)
	k.minus(t)
	k.put(x("r"))
	k.put(t)
	k.get(beta)
	k.minus(t)
	k.put(beta)
	k.product(gamma, gamma)
	k.put(gamma)
	k.product(beta, alpha)
	k.minus(gamma)
	k.put(y("r"))
	Load(Param("r"), lo)
	Store(lo, Param("p"))
	Load(Param("times"), lo)
	SUBQ(Imm(1), lo)
	Store(lo, Param("times"))
	JNZ(LabelRef("again"))
	RET()
}

// addAffine is Modulus.addAffineGo.
func (k *kernel) addAffine() {
	TEXT("addAffine"+k.name+"ADX", NOSPLIT, "func(r, p, x, y, m *uint64)")
	Pragma("noescape")
	Doc(fmt.Sprintf("addAffine%sADX makes r = p + (x, y).", k.name))
	AllocLocal(k.frame() + 8*k.n*5)
	Load(Param("m"), rm)
	slope, h, v, cube, t := temp(0), temp(1), temp(2), temp(3), temp(4)
	k.product(z("p"), z("p"))
	k.put(t)
	k.product(t, z("p"))
	k.put(v)
	k.product(place{"x", 0}, t)
	k.minus(x("p"))
	k.put(h)
	k.product(place{"y", 0}, v)
	k.minus(y("p"))
	k.put(slope)
	k.product(h, h)
	k.put(t)
	k.product(z("p"), h)
	k.put(z("r"))
	k.product(t, h)
	k.put(cube)
	k.product(t, x("p"))
	k.put(v)
	k.product(slope, slope)
	k.minus(cube)
	k.minus(v)
	k.minus(v)
	k.put(t)
	k.get(v)
	k.minus(t)
	k.put(v)
	k.product(cube, y("p"))
	k.put(cube)
	k.get(t)
	k.put(x("r"))
	k.product(v, slope)
	k.minus(cube)
	k.put(y("r"))
	RET()
}

// selects writes look-ups, which read tables whole, so that addresses tell nothing
// of the index.
func selects() {
	for _, words := range []int{8, 12, 16, 18} {
		TEXT(fmt.Sprintf("select%d", words), NOSPLIT, "func(z, table *uint64, entries, index uint64)")
		Pragma("noescape")
		Doc(fmt.Sprintf("select%d copies the entry that index names, of a table of entries of %d words.", words, words))
		z, table, entries := Load(Param("z"), GP64()), Load(Param("table"), GP64()), Load(Param("entries"), GP64())
		index, zero := GP64(), GP64()
		Load(Param("index"), index)
		want, now, one, mask, t := XMM(), XMM(), XMM(), XMM(), XMM()
		var sums []VecVirtual
		for range words / 2 {
			sums = append(sums, XMM())
		}
		MOVQ(index, want)
		PSHUFD(Imm(0), want, want)
		MOVQ(U32(1), zero)
		MOVQ(zero, one)
		PSHUFD(Imm(0), one, one)
		PXOR(now, now)
		for _, s := range sums {
			PXOR(s, s)
		}
		Label("entries")
		MOVO(now, mask)
		PCMPEQL(want, mask)
		PADDL(one, now)
		for i, s := range sums {
			MOVOU(Mem{Base: table, Disp: 16 * i}, t)
			PAND(mask, t)
			POR(t, s)
		}
		ADDQ(Imm(uint64(8*words)), table)
		SUBQ(Imm(1), entries)
		JNZ(LabelRef("entries"))
		for i, s := range sums {
			MOVOU(s, Mem{Base: z, Disp: 16 * i})
		}
		RET()
	}
}
