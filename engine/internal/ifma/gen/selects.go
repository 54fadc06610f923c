package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// selects writes the look-ups. They read tables whole, so that addresses tell
// nothing of the indices.
func selects() {
	for _, block := range []int{5, 8} {
		TEXT(fmt.Sprintf("select%d", block), NOSPLIT, "func(z, table, index *uint64, n, entries int)")
		Pragma("noescape")
		Doc(fmt.Sprintf("select%d copies an entry of n vectors, a multiple of %d, from a table of so", block, block),
			"many entries: in each lane the entry that the lane's index names.")
		out, table, index, n, entries := argument("z"), argument("table"), argument("index"), argument("n"), argument("entries")
		stride, entry, count := GP64(), GP64(), GP64()
		want, now, one := z[20], z[21], z[22]
		MOVQ(n, stride)
		SHLQ(Imm(6), stride)
		VMOVDQU64(at(index, 0), want)
		MOVQ(U64(1), count)
		VPBROADCASTQ(count, one)
		Label("blocks")
		MOVQ(table, entry)
		MOVQ(entries, count)
		VPXORQ(now, now, now)
		for i := range block {
			VPXORQ(z[i], z[i], z[i])
		}
		Label("entries")
		VPCMPEQQ(now, want, K1)
		VPADDQ(one, now, now)
		for i := range block {
			VMOVDQU64(at(entry, i), K1, z[i])
		}
		ADDQ(stride, entry)
		SUBQ(Imm(1), count)
		JNZ(LabelRef("entries"))
		for i := range block {
			VMOVDQU64(z[i], at(out, i))
		}
		ADDQ(U32(block*vector), table)
		ADDQ(U32(block*vector), out)
		SUBQ(U32(block), n)
		JNZ(LabelRef("blocks"))
		VZEROUPPER()
		RET()
	}
}
