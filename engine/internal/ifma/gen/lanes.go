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
func lanes() {
	row()
	squares()
	reduce()
}

// load fetches ten digits.
func load(p Register, to []VecPhysical) {
	for i := range tile {
		VMOVDQU64(at(p, i), to[i])
	}
}

// products adds the product of ten digits in memory and ten in z20 to z29 to the
// columns z0 to z19.
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

// nextTile stores the ten columns that are complete, makes the next ten the
// first, and advances t. Those after them come from memory, or are zero where
// the mask K1 is.
func nextTile(t Register) {
	for i := range tile {
		VMOVDQU64(z[i], at(t, i))
	}
	ADDQ(U32(step), t)
	for i := range tile {
		VMOVDQA64(z[tile+i], z[i])
	}
	for i := range tile {
		VMOVDQU64_Z(at(t, tile+i), K1, z[tile+i])
	}
}

func storeColumns(t Register) {
	for i := range 2 * tile {
		VMOVDQU64(z[i], at(t, i))
	}
}

func row() {
	TEXT("row", NOSPLIT, "func(t, x, y *uint64, n int, fresh uint64)")
	Pragma("noescape")
	Doc("row adds the product of x, which is one tile, and y, which is n tiles, to t. The",
		"last ten digits of the sum are taken for zero before, and if fresh is 1, all.")
	t, x, y, n, fresh := argument("t"), argument("x"), argument("y"), argument("n"), argument("fresh")
	mask := GP64()
	MOVQ(fresh, mask)
	SUBQ(Imm(1), mask) // 0 if fresh, else all ones
	KMOVB(mask.As32(), K1)
	for i := range tile {
		VMOVDQU64_Z(at(t, i), K1, z[i])
	}
	// Whether the columns that the next tile adds have been there before.
	last := func(label string) {
		CMPQ(n, Imm(1))
		JNE(LabelRef(label))
		KXORQ(K1, K1, K1)
		Label(label)
	}
	last("first")
	for i := range tile {
		VMOVDQU64_Z(at(t, tile+i), K1, z[tile+i])
	}
	Label("tiles")
	load(y, z[20:])
	products(x)
	ADDQ(U32(step), y)
	SUBQ(Imm(1), n)
	JZ(LabelRef("done"))
	last("next")
	nextTile(t)
	JMP(LabelRef("tiles"))
	Label("done")
	storeColumns(t)
	VZEROUPPER()
	RET()
}

func squares() {
	TEXT("squares", NOSPLIT, "func(t, x *uint64, n int)")
	Pragma("noescape")
	Doc("squares completes a square: t holds the products of different tiles of x, which",
		"count twice, and gets those within each of the n tiles. The first and the last ten",
		"digits of t are taken for zero before.")
	t, x, n := argument("t"), argument("x"), argument("n")
	KXORQ(K1, K1, K1)  // for the first columns
	KXNORQ(K2, K2, K2) // for the last
	Label("tiles")
	CMPQ(n, Imm(1))
	JNE(LabelRef("more"))
	KXORQ(K2, K2, K2)
	Label("more")
	for i := range tile {
		VMOVDQU64_Z(at(t, i), K1, z[i])
	}
	for i := range tile {
		VMOVDQU64_Z(at(t, tile+i), K2, z[tile+i])
	}
	KXNORQ(K1, K1, K1)
	d := z[20:30]
	load(x, d)
	for i := range tile - 1 {
		for j := i + 1; j < tile; j++ {
			VPMADD52LUQ(d[i], d[j], z[i+j])
		}
		for j := i + 1; j < tile; j++ {
			VPMADD52HUQ(d[i], d[j], z[i+j+1])
		}
	}
	for i := range 2 * tile {
		VPADDQ(z[i], z[i], z[i])
	}
	for i := range tile {
		VPMADD52LUQ(d[i], d[i], z[2*i])
		VPMADD52HUQ(d[i], d[i], z[2*i+1])
	}
	storeColumns(t)
	ADDQ(U32(2*step), t)
	ADDQ(U32(step), x)
	SUBQ(Imm(1), n)
	JNZ(LabelRef("tiles"))
	VZEROUPPER()
	RET()
}

func reduce() {
	TEXT("reduce", NOSPLIT, "func(z, t, m, k0 *uint64, n int)")
	Pragma("noescape")
	Doc("reduce makes z = t/2^(520n) mod m, below 2m, from t of 2n tiles, which it",
		"destroys. k0 is -1/m mod 2^52.")
	out, t, m, k0, n := argument("z"), argument("t"), argument("m"), argument("k0"), argument("n")
	rows, y, quotients, inner := GP64(), GP64(), GP64(), GP64()
	d, q, tmp := z[20:30], z[30], z[31]
	MOVQ(n, rows)

	Label("rows")
	for i := range 2 * tile {
		VMOVDQU64(at(t, i), z[i])
	}
	load(m, d)
	// Each digit of the quotient clears a column; what that carries goes to the
	// next. The digits take the place of the columns in memory.
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
	MOVQ(t, quotients)
	MOVQ(m, y)
	MOVQ(n, inner)
	Label("tiles")
	ADDQ(U32(step), t)
	for i := range tile {
		VMOVDQA64(z[tile+i], z[i])
	}
	SUBQ(Imm(1), inner)
	JZ(LabelRef("stored"))
	for i := range tile {
		VMOVDQU64(at(t, tile+i), z[tile+i])
	}
	ADDQ(U32(step), y)
	load(y, d)
	products(quotients)
	for i := range tile {
		VMOVDQU64(z[i], at(t, i))
	}
	JMP(LabelRef("tiles"))
	Label("stored")
	for i := range tile {
		VMOVDQU64(z[i], at(t, i))
	}
	// The next row begins a tile after this one did.
	LEAQ(Mem{Base: quotients, Disp: step}, t)
	SUBQ(Imm(1), rows)
	JNZ(LabelRef("rows"))

	// The upper half with its carries.
	mask := z[30]
	MOVQ(U64(1<<52-1), inner)
	VPBROADCASTQ(inner, mask)
	VPXORQ(tmp, tmp, tmp)
	Label("carries")
	for i := range tile {
		VPADDQ(at(t, i), tmp, z[0])
		VPSRLQ(Imm(52), z[0], tmp)
		VPANDQ(mask, z[0], z[0])
		VMOVDQU64(z[0], at(out, i))
	}
	ADDQ(U32(step), t)
	ADDQ(U32(step), out)
	SUBQ(Imm(1), n)
	JNZ(LabelRef("carries"))
	VZEROUPPER()
	RET()
}
