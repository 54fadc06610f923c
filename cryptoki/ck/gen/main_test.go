package main

import (
	"bytes"
	"os"
	"testing"
)

func TestOutputIsCurrent(t *testing.T) {
	want, err := generate("../../../include")
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile("../" + output)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s does not match the headers: run go generate ./cryptoki/ck", output)
	}
}

func TestParseConstants(t *testing.T) {
	const header = `
#define CKA_PLAIN 0x00000010UL /* a comment */
#define CKA_SHORT 5
#define CKA_OLD CKA_PLAIN
#define CKF_BIT 0x40000000UL
#define CKA_ARRAY (CKF_BIT | 0x00000011UL)
#define CK_ALL (~0UL)
#define CK_PTR *
#define CK_MACRO(x) x
/* #define CKA_COMMENTED 1UL */
`
	known := make(map[string]uint64)
	list, err := parseConstants(logicalLines(header), known)
	if err != nil {
		t.Fatal(err)
	}
	want := []constant{
		{"CKA_PLAIN", 0x10, ""},
		{"CKA_SHORT", 5, ""},
		{"CKA_OLD", 0x10, "CKA_PLAIN"},
		{"CKF_BIT", 0x40000000, ""},
		{"CKA_ARRAY", 0x40000011, ""},
		{"CK_ALL", 1<<64 - 1, ""},
	}
	if len(list) != len(want) {
		t.Fatalf("got %d constants, want %d: %v", len(list), len(want), list)
	}
	for i := range want {
		if list[i] != want[i] {
			t.Errorf("constant %d is %v, want %v", i, list[i], want[i])
		}
	}
	for _, bad := range []string{"#define CKA_X CKA_UNKNOWN", "#define CKA_PLAIN 1UL"} {
		if _, err := parseConstants([]string{bad}, known); err == nil {
			t.Errorf("no error for %q", bad)
		}
	}
}

func TestSharedNumberIsRefused(t *testing.T) {
	consts := []constant{{"CKM_A", 1, ""}, {"CKM_B", 1, ""}}
	if err := writeNames(new(bytes.Buffer), "MechanismType", consts); err == nil {
		t.Error("two names for one number were accepted")
	}
}
