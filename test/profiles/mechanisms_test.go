package profiles

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/test/c11"
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

// TestRemap: in FIPS mode the usual generation of RSA keys is not there, unless
// the configuration lets the approved one stand in for it.
func TestRemap(t *testing.T) {
	usual := c11.Mech{Type: ck.CKM_RSA_PKCS_KEY_PAIR_GEN}
	size := []ck.Attribute{ck.NewULong(ck.CKA_MODULUS_BITS, uint64(2048))}

	h := inFIPSMode(t, luna).asOfficer()
	if _, _, rv := h.GeneratePair(h.Arena, h.s, usual, size, nil); rv != ck.CKR_MECHANISM_INVALID {
		t.Errorf("without the setting: %v", rv)
	}
	h.close()

	h = inFIPSMode(t, luna, "[compatibility]", "remap_rsa_key_generation = true").asOfficer()
	_, private, rv := h.GeneratePair(h.Arena, h.s, usual, size, nil)
	h.answers(ck.CKR_OK, "C_GenerateKeyPair", rv)
	made, rv := h.Get(h.s, private, ck.CKA_KEY_GEN_MECHANISM)
	h.answers(ck.CKR_OK, "C_GetAttributeValue", rv)
	if v, _ := ck.ULong(made); ck.MechanismType(v) != ck.CKM_RSA_FIPS_186_3_PRIME_KEY_PAIR_GEN {
		t.Errorf("made by %v", ck.MechanismType(v))
	}
	info, rv := h.MechanismInfo(h.Arena, 0, ck.CKM_RSA_PKCS_KEY_PAIR_GEN)
	if rv != ck.CKR_OK || info.MinKeySize != 2048 {
		t.Errorf("C_GetMechanismInfo: %v, %+v", rv, info)
	}
}
