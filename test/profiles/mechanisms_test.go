package profiles

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/perilune/perilune/cryptoki/ck"
)

const goldenMechanisms = "testdata/mechanisms-luna-7.2.golden"

// TestMechanisms compares what C_GetMechanismList and C_GetMechanismInfo say with
// a file, in FIPS mode and out of it. The engine's own test compares the rows
// with the documentation of devices.
func TestMechanisms(t *testing.T) {
	outside := newHost(t, luna)
	text := "# number name flags least greatest\n" + outside.mechanisms()
	outside.close()
	text += "\n# in FIPS mode\n" + inFIPSMode(t, luna).mechanisms()
	if *update {
		if err := os.WriteFile(goldenMechanisms, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(goldenMechanisms)
	if err != nil {
		t.Fatal(err)
	}
	if text != string(want) {
		t.Errorf("the mechanisms are others; `go test ./profiles -run Mechanisms -update` writes what they are now\n%s", text)
	}
}

func (h *host) mechanisms() string {
	h.t.Helper()
	list, rv := h.Mechanisms(h.Arena, 0)
	h.answers(ck.CKR_OK, "C_GetMechanismList", rv)
	var b strings.Builder
	for _, m := range list {
		info, rv := h.MechanismInfo(h.Arena, 0, m)
		h.answers(ck.CKR_OK, "C_GetMechanismInfo", rv)
		fmt.Fprintf(&b, "0x%08x %v %#x %d %d\n", uint64(m), m, uint64(info.Flags), info.MinKeySize, info.MaxKeySize)
	}
	return b.String()
}
