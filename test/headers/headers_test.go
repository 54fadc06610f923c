package headers

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/perilune/perilune/cryptoki/ck"
)

func TestConstants(t *testing.T) {
	mine := constants(t, ours(t))
	witnessed := make(map[string]bool)
	for _, h := range packaged(t) {
		theirs := constants(t, h)
		for _, name := range slices.Sorted(maps.Keys(theirs)) {
			value, ok := mine[name]
			switch {
			case !ok:
				report(t, h, name, fmt.Sprintf("%#x there, absent here", theirs[name]), absentReason(name))
			case value != theirs[name]:
				d := valueDifferences[name]
				reason := ""
				if slices.Contains(d.theirs, theirs[name]) {
					reason = d.reason
				}
				report(t, h, name, fmt.Sprintf("%#x there, %#x here", theirs[name], value), reason)
			default:
				witnessed[name] = true
			}
		}
		t.Logf("%s: %d constants compared", h.name, len(theirs))
	}

	// What no packaged header confirms must be in the second table of numbers.
	for _, name := range slices.Sorted(maps.Keys(mine)) {
		if witnessed[name] {
			continue
		}
		second, ok := unpackaged[name]
		if !ok {
			t.Errorf("%s: in no packaged header and not in the table of later constants", name)
		} else if second != mine[name] {
			t.Errorf("%s: %#x in pkcs11.h, %#x in the table of later constants", name, mine[name], second)
		}
	}
	for name := range unpackaged {
		if _, ok := mine[name]; !ok {
			t.Errorf("%s: missing from pkcs11.h", name)
		}
	}
}

// report logs a difference that has a reason and fails for one that has not.
func report(t *testing.T, h header, name, difference, reason string) {
	t.Helper()
	if reason == "" {
		t.Errorf("%s: %s: %s", h.name, name, difference)
		return
	}
	t.Logf("%s: %s: %s: %s", h.name, name, difference, reason)
}

func absentReason(name string) string {
	if reason, ok := absentHere[name]; ok {
		return reason
	}
	if strings.Contains(name, "NSS") {
		return "vendor constant of NSS"
	}
	return ""
}

func TestStructures(t *testing.T) {
	mine := structures(t, ours(t))
	witnessed := make(map[string]bool)
	for _, h := range packaged(t) {
		theirs := structures(t, h)
		if len(theirs) < 20 {
			t.Errorf("%s: only %d structures found in the header", h.name, len(theirs))
		}
		for _, name := range slices.Sorted(maps.Keys(theirs)) {
			s, ok := mine[name]
			if !ok {
				report(t, h, name, "structure there, absent here", absentReason(name))
				continue
			}
			if here, there := layout(s), layout(theirs[name]); here != there {
				d, reason := structureDifferences[name], ""
				if d.theirs == there {
					reason = d.reason
				}
				report(t, h, name, there+" there, "+here+" here", reason)
				continue
			}
			witnessed[name] = true
		}
		t.Logf("%s: %d structures compared", h.name, len(theirs))
	}
	for _, name := range slices.Sorted(maps.Keys(mine)) {
		if witnessed[name] || name == "CK_FUNCTION_LIST_3_2" { // see TestFunctionLists
			continue
		}
		want, ok := unpackagedStructures[name]
		if !ok {
			t.Errorf("%s: in no packaged header and not in the table of later structures", name)
		} else if got := layout(mine[name]); got != want {
			t.Errorf("%s:\n got %s\nwant %s", name, got, want)
		}
	}
}

// layout prints a structure on one line: name@offset+size for each field, and
// the size of the whole.
func layout(s structure) string {
	var b strings.Builder
	for _, f := range s.fields {
		fmt.Fprintf(&b, "%s@%d+%d ", f.name, f.offset, f.size)
	}
	fmt.Fprintf(&b, "size %d", s.size)
	return b.String()
}

func TestSignatures(t *testing.T) {
	mine := signatures(t, ours(t))
	if len(mine) != len(ck.FunctionNames) {
		t.Errorf("%d function types in pkcs11.h, %d functions in package ck", len(mine), len(ck.FunctionNames))
	}
	witnessed := make(map[string]bool)
	for _, h := range packaged(t) {
		theirs := signatures(t, h)
		for _, name := range slices.Sorted(maps.Keys(theirs)) {
			if mine[name] == theirs[name] {
				witnessed[name] = true
				continue
			}
			report(t, h, name, fmt.Sprintf("%s there, %s here", theirs[name], mine[name]), "")
		}
		t.Logf("%s: %d signatures compared", h.name, len(theirs))
	}
	for _, f := range laterFunctions {
		want := strings.NewReplacer("ulong", "unsigned long", "byte", "unsigned char").
			Replace("ulong (*)(" + f.parameters + ")")
		if mine[f.name] != want {
			t.Errorf("%s:\n got %s\nwant %s", f.name, mine[f.name], want)
		}
		witnessed[f.name] = true
	}
	for _, f := range ck.FunctionNames {
		if !witnessed[f.Name] {
			t.Errorf("%s: in no packaged header and not in the table of later functions", f.Name)
		}
	}
}

// TestFunctionLists checks that the three lists continue one another. The
// first two are compared with packaged headers as structures.
func TestFunctionLists(t *testing.T) {
	s := structures(t, ours(t))
	var (
		list240 = s["CK_FUNCTION_LIST"].fields
		list30  = s["CK_FUNCTION_LIST_3_0"].fields
		list32  = s["CK_FUNCTION_LIST_3_2"].fields
	)
	if len(list32) != 1+len(ck.FunctionNames) {
		t.Fatalf("the 3.2 list has %d members, package ck knows %d functions", len(list32), len(ck.FunctionNames))
	}
	for i, f := range ck.FunctionNames {
		if list32[i+1].name != f.Name {
			t.Errorf("member %d of the 3.2 list is %s, want %s", i+1, list32[i+1].name, f.Name)
		}
	}
	if !slices.Equal(list240, list30[:len(list240)]) || !slices.Equal(list30, list32[:len(list30)]) {
		t.Error("a later function list does not begin with the earlier one")
	}
	rest := list32[len(list30):]
	if len(rest) != len(laterFunctions) {
		t.Fatalf("3.2 adds %d functions, want %d", len(rest), len(laterFunctions))
	}
	for i, f := range laterFunctions {
		if rest[i].name != f.name {
			t.Errorf("addition %d of 3.2 is %s, want %s", i, rest[i].name, f.name)
		}
	}
}

// TestPacking checks that every structure is packed to single bytes where the
// header follows Windows.
func TestPacking(t *testing.T) {
	packed := structures(t, ours(t), "-DCRYPTOKI_FORCE_WIN32")
	if len(packed) < 90 {
		t.Fatalf("only %d structures found", len(packed))
	}
	for name, s := range packed {
		end := 0
		for _, f := range s.fields {
			if f.offset != end {
				t.Errorf("%s.%s is at %d, want %d", name, f.name, f.offset, end)
			}
			end = f.offset + f.size
		}
		if s.size != end {
			t.Errorf("%s has %d bytes, want %d", name, s.size, end)
		}
	}
}

// TestGeneratedConstants holds the names that package ck prints against the
// values that the compiler sees, with the vendor header.
func TestGeneratedConstants(t *testing.T) {
	h := ours(t)
	h.include = "#include <perilune.h>\n"
	for name, value := range constants(t, h) {
		var printed string
		prefix, _, _ := strings.Cut(name, "_")
		switch prefix {
		case "CKA":
			printed = ck.AttributeType(value).String()
		case "CKK":
			printed = ck.KeyType(value).String()
		case "CKM":
			printed = ck.MechanismType(value).String()
		case "CKO":
			printed = ck.ObjectClass(value).String()
		case "CKR":
			printed = ck.RV(value).String()
		case "CKU":
			printed = ck.UserType(value).String()
		default:
			continue
		}
		if printed != name && olderNames[name] != printed {
			t.Errorf("%s = %#x prints as %s", name, value, printed)
		}
	}
}
