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
	// p256 and p521 are for these moduli alone.
	p256, p521 bool
}

var kernels = []*kernel{
	{name: "4", n: 4},
	{name: "6", n: 6},
	{name: "8", n: 8},
	{name: "9", n: 9, room: true},
	{name: "P256", n: 4, p256: true},
	{name: "P521", n: 9, room: true, p521: true},
}

// The layout of type Modulus, in bytes.
const (
	element = 72 // size of an Element; the modulus is the first
	inverse = element
	zero    = element + 8
)

// A number that is worked on is in the first registers of limbs; the others are
// for more of a sum. rx, ry and rm point to factors and the modulus.
var (
	limbs      = []GPPhysical{R8, R9, R10, R11, R12, R13, R14, R15, RSI, RDI}
	rx, ry, rm = RSI, RBX, RCX
	lo         = RAX
)

func limb(base Register, i int) Mem { return Mem{Base: base, Disp: 8 * i} }

// large says that registers are short: rx is in the frame, and so are copies.
func (k *kernel) large() bool { return k.n > 6 }

// high is for the high half of a product.
func (k *kernel) high() GPPhysical {
	if k.large() {
		return RBP
	}
	return RDI
}

// frame is how much the code of a routine needs of the frame, for a copy of a
// number and rx. Having a frame saves BP too.
func (k *kernel) frame() int {
	if k.large() {
		return 8*k.n + 8
	}
	return 0
}

func (k *kernel) x() Mem { return Mem{Base: StackPointer, Disp: 8 * k.n} }

func (k *kernel) number() []GPPhysical { return limbs[:k.n] }

func (k *kernel) field() {
	k.mulInner()
	does := fmt.Sprintf("x*y/2^%d mod m, for x < 2^%d and y < m", 64*k.n, 64*k.n)
	if k.p521 {
		does = "x*y mod m, for x and y < m, and for y = 1"
	}
	k.operation("mul", does, func() {
		Load(Param("x"), rx)
		Load(Param("y"), ry)
		k.call()
	})
	if k.p256 || k.p521 {
		return // sums are those of any modulus
	}
	k.operation("add", "x+y mod m", func() {
		Load(Param("x"), rx)
		Load(Param("y"), ry)
		k.load(rx)
		k.add(ry)
	})
	k.operation("sub", "x-y mod m", func() {
		Load(Param("x"), rx)
		Load(Param("y"), ry)
		k.load(rx)
		k.sub(ry)
	})
}

// operation is a function for Go.
func (k *kernel) operation(name, does string, body func()) {
	TEXT(name+k.name+"ADX", NOSPLIT, "func(z, x, y, m *uint64)")
	Pragma("noescape")
	Doc(fmt.Sprintf("%s%sADX makes z = %s.", name, k.name, does))
	AllocLocal(k.frame())
	Load(Param("m"), rm)
	body()
	Load(Param("z"), rm)
	k.store(rm, 0)
	RET()
}

// call multiplies the numbers at rx and ry. All registers but rm change.
func (k *kernel) call() { CALL(LabelRef("·mul" + k.name + "Inner(SB)")) }

// mulInner is Montgomery multiplication, a row of products and a row of the
// reduction in turn. Low and high halves are added in two chains of carries.
func (k *kernel) mulInner() {
	if k.p256 {
		k.p256Inner()
		return
	}
	if k.p521 {
		k.p521Inner()
		return
	}
	name := "mul" + k.name + "Inner"
	TEXT(name, NOSPLIT, "func()")
	Doc(name + " is for the routines beside it only: its arguments are in registers.")
	AllocLocal(k.frame())
	extra := 2 // limbs above the n of a sum
	if k.room {
		extra = 1
	}
	// After n rows, t begins with the first register.
	t := append(append([]GPPhysical{}, limbs[extra:k.n+extra]...), limbs[:extra]...)
	if k.large() {
		MOVQ(rx, k.x())
	}
	for i := range k.n {
		Comment(fmt.Sprintf("x[%d]", i))
		if k.large() {
			MOVQ(k.x(), RDX)
			MOVQ(limb(RDX, i), RDX)
		} else {
			MOVQ(limb(rx, i), RDX)
		}
		if i == 0 {
			k.firstRow(t)
		} else {
			k.row(t, ry)
		}
		k.reduceRow(t)
		t = append(append([]GPPhysical{}, t[1:]...), t[0]) // t[0] is 0 now
	}
	k.reduceOnce(t[k.n])
	RET()
}

// firstRow makes t = RDX*y.
func (k *kernel) firstRow(t []GPPhysical) {
	MULXQ(limb(ry, 0), t[0], t[1])
	for j := 1; j < k.n; j++ {
		MULXQ(limb(ry, j), lo, t[j+1])
		chain(j == 1, ADDQ, ADCQ)(lo, t[j])
	}
	ADCQ(Imm(0), t[k.n])
	for _, r := range t[k.n+1:] { // of a sum that can be longer
		XORL(r.As32(), r.As32())
	}
}

// chain is the instruction that begins a chain of carries, or one that goes on.
func chain(begin bool, first, next func(a, b Op)) func(a, b Op) {
	if begin {
		return first
	}
	return next
}

// row makes t += RDX*y.
func (k *kernel) row(t []GPPhysical, y Register) {
	XORL(lo.As32(), lo.As32()) // no carries
	for j := range k.n {
		MULXQ(limb(y, j), lo, k.high())
		ADCXQ(lo, t[j])
		ADOXQ(k.high(), t[j+1])
	}
	ADCXQ(none, t[k.n])
	if !k.room {
		ADCXQ(none, t[k.n+1])
		ADOXQ(none, t[k.n+1])
	}
}

// reduceRow adds the multiple of m that makes t[0] zero.
func (k *kernel) reduceRow(t []GPPhysical) {
	MOVQ(t[0], RDX)
	IMULQ(Mem{Base: rm, Disp: inverse}, RDX)
	k.row(t, rm)
}

// copies is where a copy of the number fits: registers that are free but for those
// of the limb above it, or the frame.
func (k *kernel) copies() (list []Op) {
	free := []GPPhysical{RAX, RDX, RDI, RSI, RBX, R15}
	for i := range k.n {
		if k.large() {
			list = append(list, Mem{Base: StackPointer, Disp: 8 * i})
		} else {
			list = append(list, free[i])
		}
	}
	return list
}

// reduceOnce takes m from the number, with top as one more limb, unless that is
// negative.
func (k *kernel) reduceOnce(top GPPhysical) {
	was := k.copies()
	for i, r := range k.number() {
		MOVQ(r, was[i])
	}
	k.reduceCopied(top, was)
}

// reduceCopied does so with a number of which there is a copy.
func (k *kernel) reduceCopied(top GPPhysical, was []Op) {
	for i, r := range k.number() {
		chain(i == 0, SUBQ, SBBQ)(limb(rm, i), r)
	}
	SBBQ(Imm(0), top)
	for i, r := range k.number() {
		CMOVQCS(was[i], r)
	}
}

func (k *kernel) load(from Register) {
	for i, r := range k.number() {
		MOVQ(limb(from, i), r)
	}
}

// store writes the number to memory.
func (k *kernel) store(to Register, disp int) {
	for i, r := range k.number() {
		MOVQ(r, Mem{Base: to, Disp: disp + 8*i})
	}
}

// top is the limb above the number while it is added to.
func (k *kernel) top() GPPhysical {
	if k.large() {
		return RDX
	}
	return limbs[k.n]
}

// add makes the number that plus the one at y.
func (k *kernel) add(y Register) {
	XORL(k.top().As32(), k.top().As32())
	for i, r := range k.number() {
		chain(i == 0, ADDQ, ADCQ)(limb(y, i), r)
	}
	ADCQ(Imm(0), k.top())
	k.reduceOnce(k.top())
}

// twice doubles the number.
func (k *kernel) twice() {
	XORL(k.top().As32(), k.top().As32())
	for i, r := range k.number() {
		chain(i == 0, ADDQ, ADCQ)(r, r)
	}
	ADCQ(Imm(0), k.top())
	k.reduceOnce(k.top())
}

// sub takes the number at y from the number.
func (k *kernel) sub(y Register) {
	for i, r := range k.number() {
		chain(i == 0, SUBQ, SBBQ)(limb(y, i), r)
	}
	// Back by m if that is negative.
	SBBQ(k.top(), k.top())
	if k.p256 {
		k.addMasked(k.top())
		return
	}
	was := k.copies()
	for i, r := range k.number() {
		MOVQ(r, was[i])
	}
	for i, r := range k.number() {
		chain(i == 0, ADDQ, ADCQ)(limb(rm, i), r)
	}
	TESTQ(k.top(), k.top())
	for i, r := range k.number() {
		CMOVQEQ(was[i], r)
	}
}

// addMasked adds m to the number where mask is all ones, and nothing where it is
// zero. The carry is what is above.
func (k *kernel) addMasked(mask GPPhysical) {
	masked := k.copies()
	for i := range k.n {
		switch {
		case k.large():
			MOVQ(mask, lo)
			ANDQ(limb(rm, i), lo)
			MOVQ(lo, masked[i])
		case k.p256 && i == 0: // all ones
			masked[i] = mask
		case k.p256 && i == 1: // half of them
			MOVQ(mask, masked[i])
			SHRQ(Imm(32), masked[i])
		case k.p256 && i == 2:
			masked[i] = Imm(0)
		default:
			MOVQ(mask, masked[i])
			ANDQ(limb(rm, i), masked[i])
		}
	}
	for i, r := range k.number() {
		chain(i == 0, ADDQ, ADCQ)(masked[i], r)
	}
}

// half halves the number, after adding m if it is odd.
func (k *kernel) half() {
	mask := k.top()
	MOVQ(limbs[0], mask)
	ANDQ(Imm(1), mask)
	NEGQ(mask)
	k.addMasked(mask)
	for i := range k.n {
		RCRQ(Imm(1), limbs[k.n-1-i])
	}
}
