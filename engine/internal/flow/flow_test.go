package flow

import (
	"regexp"
	"strings"
	"testing"
)

// TestCheck: leaks are found, and what is none is not.
func TestCheck(t *testing.T) {
	for _, c := range []struct {
		lines string
		wrong bool
	}{
		{"KMOVB K1, AX; MOVQ AX, CX; VMOVDQU64 (CX), Z1", false},
		{"VMOVD X1, AX; MOVQ 8(AX), BX", true},
		{"VMOVD X1, AX; MOVQ AX, CX; VMOVDQU64 (CX), Z1", true},
		{"VPCMPEQQ Z1, Z2, K1; KMOVB K1, AX; MOVQ 8(AX), BX", true},
		{"VMOVD X1, AX; ADDL AX, BX; JZ somewhere", true},
		{"VMOVD X1, AX; CMPQ AX, $0x01; JNE somewhere", true},
		{"VMOVD X1, AX; TESTQ AX, AX; JNE somewhere", true},
		{"VMOVD X1, AX; MOVQ $0x01, AX; MOVQ 8(AX), BX", false},
		{"VMOVD X1, AX; LEAQ 1(AX), BX", true},
		{"MOVQ (AX), BX; MOVQ (BX), CX", true},
		{"MOVQ x+0(FP), BX; MOVQ (BX), CX; MOVQ x+0(FP), CX; MOVQ (CX)(BX*1), DX", false},
		{"MOVQ (AX), BX; TESTQ BX, BX; CMOVQLT CX, DX; MOVQ (DX), DX", true},
		{"VMOVD X1, AX; SUBQ $0x01, BX; JNZ somewhere; VMOVDQU64 64(DX), Z1", false},
		{"VMOVD X1, AX; ADDQ AX, BX; SHLXQ CX, CX, CX; JNZ somewhere", true},
		{"VMOVD X1, AX; ADDQ AX, BX; KMOVB CX, K1; JNZ somewhere", true},
		{"VMOVD X1, AX; ADDQ AX, BX; ADDQ CX, DX; JNZ somewhere", false},
		{"VMOVD X1, AX; FANCY AX, BX", true},
	} {
		text := "TEXT ·f(SB), NOSPLIT, $0-8\n" + strings.ReplaceAll(c.lines, "; ", "\n")
		known := regexp.MustCompile(`^(V?MOV[A-Z0-9]+|VPCMPEQQ|KMOVB|ADDL|CMPQ|(ADD|SUB|TEST|SHLX)Q|LEAQ|CMOVQLT|J[A-Z]+)$`)
		if r := Check(text, known); (len(r.Wrong) > 0) != c.wrong || r.Functions != 1 {
			t.Errorf("%s: %v", c.lines, r)
		}
	}
}
