package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// Numbers are worked on in tiles of so many digits; a vector of 64 bytes holds
// one digit of eight numbers.
const (
	tile   = 10
	vector = 64
	step   = tile * vector
)

var z = []VecPhysical{Z0, Z1, Z2, Z3, Z4, Z5, Z6, Z7, Z8, Z9, Z10, Z11, Z12, Z13, Z14, Z15,
	Z16, Z17, Z18, Z19, Z20, Z21, Z22, Z23, Z24, Z25, Z26, Z27, Z28, Z29, Z30, Z31}

func at(base Register, i int) Mem { return Mem{Base: base, Disp: i * vector} }

// argument loads a parameter into a register.
func argument(name string) Register { return Load(Param(name), GP64()) }

// lanes writes the kernels that work on eight numbers at once, each in a lane.
//
// They go from column to column, ten at a time: z0 to z19 are the ten that are to
// be completed and the ten after them. All products of two tiles that begin in
// the ten are added up before they are stored, so that nothing is loaded again.
func lanes() {
	product()
	square()
	reduce()
}

// load fetches digits.
func load(p Register, to []VecPhysical) {
	for i := range to {
		VMOVDQU64(at(p, i), to[i])
	}
}

// products adds the product of ten digits in memory and ten in z20 to z29 to the
// columns.
func products(px Register) {
	x, y := z[30], z[20:30]
	for i := range tile {
		VMOVDQU64(at(px, i), x)
		for j := range tile {
			VPMADD52LUQ(x, y[j], z[i+j])
		}
		for j := range tile {
			VPMADD52HUQ(x, y[j], z[i+j+1])
		}
	}
}

// tilePairs adds the products of count tiles from x upwards with as many from y downwards.
func tilePairs(label string, x, y, count Register) {
	px, py, left := GP64(), GP64(), GP64()
	MOVQ(x, px)
	MOVQ(y, py)
	MOVQ(count, left)
	CMPQ(left, Imm(0))
	JE(LabelRef(label + "_end"))
	Label(label)
	load(py, z[20:30])
	products(px)
	ADDQ(U32(step), px)
	SUBQ(U32(step), py)
	SUBQ(Imm(1), left)
	JNZ(LabelRef(label))
	Label(label + "_end")
}

func clearColumns(from, to int) {
	for i := from; i < to; i++ {
		VPXORQ(z[i], z[i], z[i])
	}
}

// slide makes the upper ten columns the lower ones.
func slide() {
	for i := range tile {
		VMOVDQA64(z[tile+i], z[i])
	}
	clearColumns(tile, 2*tile)
}

func product() {
	TEXT("product", NOSPLIT, "func(t, x, y *uint64, n int)")
	Pragma("noescape")
	Doc("product makes t, of 2n tiles, the product of x and y, of n tiles. What its digits",
		"have above 52 bits is not carried.")
	t, x, y, n := argument("t"), argument("x"), argument("y"), argument("n")
	count, left := GP64(), GP64()
	MOVQ(U32(1), count)
	LEAQ(Mem{Base: n, Index: n, Scale: 1}, left)
	clearColumns(0, 2*tile)
	Label("columns")
	tilePairs("pairs", x, y, count)
	for i := range tile {
		VMOVDQU64(z[i], at(t, i))
	}
	slide()
	ADDQ(U32(step), t)
	SUBQ(Imm(1), left)
	JZ(LabelRef("done"))
	CMPQ(left, n)
	JHI(LabelRef("more"))
	ADDQ(U32(step), x)
	SUBQ(Imm(1), count)
	JMP(LabelRef("columns"))
	Label("more")
	ADDQ(U32(step), y)
	ADDQ(Imm(1), count)
	JMP(LabelRef("columns"))
	Label("done")
	VZEROUPPER()
	RET()
}

func square() {
	TEXT("square", NOSPLIT, "func(t, x *uint64, n int)")
	Pragma("noescape")
	Doc("square makes t, of 2n tiles, the square of x, of n tiles. What its digits have",
		"above 52 bits is not carried.")
	t, x, n := argument("t"), argument("x"), argument("n")
	first, last, px, py, single, left := GP64(), GP64(), GP64(), GP64(), GP64(), GP64()
	MOVQ(x, first)
	MOVQ(x, last)
	MOVQ(x, single)
	LEAQ(Mem{Base: n, Index: n, Scale: 1}, left)
	d := z[20:30]
	clearColumns(0, 2*tile)

	// Products of different digits, once; they count twice.
	Label("columns")
	MOVQ(first, px)
	MOVQ(last, py)
	Label("pairs")
	CMPQ(px, py)
	JHI(LabelRef("store"))
	load(py, d)
	JE(LabelRef("same"))
	products(px)
	ADDQ(U32(step), px)
	SUBQ(U32(step), py)
	JMP(LabelRef("pairs"))
	Label("same")
	for i := range tile - 1 {
		for j := i + 1; j < tile; j++ {
			VPMADD52LUQ(d[i], d[j], z[i+j])
		}
		for j := i + 1; j < tile; j++ {
			VPMADD52HUQ(d[i], d[j], z[i+j+1])
		}
	}
	// The squares of digits are in every other column.
	Label("store")
	load(single, d[:tile/2])
	for i := range tile {
		VPADDQ(z[i], z[i], z[i])
		if i%2 == 0 {
			VPMADD52LUQ(d[i/2], d[i/2], z[i])
		} else {
			VPMADD52HUQ(d[i/2], d[i/2], z[i])
		}
		VMOVDQU64(z[i], at(t, i))
	}
	slide()
	ADDQ(U32(step), t)
	ADDQ(U32(step/2), single)
	SUBQ(Imm(1), left)
	JZ(LabelRef("done"))
	CMPQ(left, n)
	JHI(LabelRef("more"))
	ADDQ(U32(step), first)
	JMP(LabelRef("columns"))
	Label("more")
	ADDQ(U32(step), last)
	JMP(LabelRef("columns"))
	Label("done")
	VZEROUPPER()
	RET()
}

func reduce() {
	TEXT("reduce", NOSPLIT, "func(z, t, m, k0 *uint64, n int)")
	Pragma("noescape")
	Doc("reduce makes z = t/2^(520n) mod m, below 2m, from t of 2n tiles, of which it",
		"destroys the first n. k0 is -1/m mod 2^52.")
	out, t, m, k0, n := argument("z"), argument("t"), argument("m"), argument("k0"), argument("n")
	quotients, y, count := GP64(), GP64(), GP64()
	d, q, tmp := z[20:30], z[30], z[31]
	MOVQ(t, quotients)
	MOVQ(m, y)
	XORQ(count, count)
	clearColumns(0, 2*tile)
	addT := func() {
		for i := range tile {
			VPADDQ(at(t, i), z[i], z[i])
		}
	}

	// The lower half is cleared by multiples of m. Each digit of the quotient clears
	// a column; what that carries goes to the next. The digits take the place of t.
	Label("lower")
	addT()
	tilePairs("below", quotients, y, count)
	load(m, d)
	for i := range tile {
		VPXORQ(q, q, q)
		VPMADD52LUQ(at(k0, 0), z[i], q)
		VPMADD52LUQ(d[0], q, z[i])
		VPMADD52LUQ(d[1], q, z[i+1])
		VPMADD52HUQ(d[0], q, z[i+1])
		VPSRLQ(Imm(52), z[i], tmp)
		VPADDQ(tmp, z[i+1], z[i+1])
		VMOVDQU64(q, at(t, i))
		for j := 2; j < tile; j++ {
			VPMADD52LUQ(d[j], q, z[i+j])
		}
		for j := 1; j < tile; j++ {
			VPMADD52HUQ(d[j], q, z[i+j+1])
		}
	}
	slide()
	ADDQ(U32(step), t)
	ADDQ(U32(step), y)
	ADDQ(Imm(1), count)
	CMPQ(count, n)
	JNE(LabelRef("lower"))

	// The upper half, with its carries.
	carry, mask, bits := z[31], z[30], GP64()
	VPXORQ(carry, carry, carry)
	SUBQ(U32(step), y)
	Label("upper")
	SUBQ(Imm(1), count)
	ADDQ(U32(step), quotients)
	addT()
	tilePairs("above", quotients, y, count)
	MOVQ(U64(1<<52-1), bits)
	VPBROADCASTQ(bits, mask)
	for i := range tile {
		VPADDQ(carry, z[i], z[i])
		VPSRLQ(Imm(52), z[i], carry)
		VPANDQ(mask, z[i], z[i])
		VMOVDQU64(z[i], at(out, i))
	}
	slide()
	ADDQ(U32(step), t)
	ADDQ(U32(step), out)
	CMPQ(count, Imm(0))
	JNE(LabelRef("upper"))
	VZEROUPPER()
	RET()
}
