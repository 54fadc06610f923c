//go:build valgrind && linux

#include "textflag.h"

// func request(code uint64, b []byte) uint64
//
// The request and five arguments lie in memory at AX. Valgrind knows the rest by
// its odd rotations, which change nothing; the answer comes in DX.
TEXT ·request(SB), NOSPLIT, $48-40
	MOVQ code+0(FP), AX
	MOVQ AX, 0(SP)
	MOVQ b_base+8(FP), AX
	MOVQ AX, 8(SP)
	MOVQ b_len+16(FP), AX
	MOVQ AX, 16(SP)
	XORL AX, AX
	MOVQ AX, 24(SP)
	MOVQ AX, 32(SP)
	MOVQ AX, 40(SP)
	LEAQ 0(SP), AX
	XORL DX, DX
	ROLQ $3, DI
	ROLQ $13, DI
	ROLQ $61, DI
	ROLQ $51, DI
	XCHGQ BX, BX
	MOVQ DX, ret+32(FP)
	RET
