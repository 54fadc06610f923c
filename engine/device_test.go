package engine

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/perilune/perilune/cryptoki/ck"
)

// deviceRow is a line of the device's table, which is part of its profile.
type deviceRow struct {
	number, newer          ck.MechanismType // newer: 0 for none
	name                   string
	fips                   bool
	functions              []string
	min, fips140, old, max uint64 // in bits; 0 for none
}

func deviceRows(t *testing.T) (list []deviceRow) {
	t.Helper()
	b, err := os.ReadFile("../cryptoki/hsm/mechanisms-luna-7.2.txt")
	if err != nil {
		t.Fatal(err)
	}
	number := func(s string) uint64 {
		if s == "-" {
			return 0
		}
		n, err := strconv.ParseUint(s, 0, 64)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	for line := range strings.Lines(string(b)) {
		f := strings.Fields(line)
		if strings.HasPrefix(line, "#") {
			continue
		}
		list = append(list, deviceRow{
			number: ck.MechanismType(number(f[0])), newer: ck.MechanismType(number(f[1])), name: f[2], fips: f[3] == "yes",
			functions: strings.Split(f[4], ","), min: number(f[5]), fips140: number(f[6]), old: number(f[7]), max: number(f[8]),
		})
	}
	return list
}

// deviceFlags are the functions by the names of the table.
var deviceFlags = map[string]ck.Flags{
	"Enc": ck.CKF_ENCRYPT, "Dec": ck.CKF_DECRYPT, "Sign": ck.CKF_SIGN, "Ver": ck.CKF_VERIFY, "Dig": ck.CKF_DIGEST,
	"Wrap": ck.CKF_WRAP, "Unw": ck.CKF_UNWRAP, "Der": ck.CKF_DERIVE, "GenKey": ck.CKF_GENERATE, "GenKP": ck.CKF_GENERATE_KEY_PAIR,
}

// deviceDifferences explains every difference from the table that is meant.
var deviceDifferences = func() map[string]string {
	const (
		cast3  = "CAST3 was never published"
		ariaL  = "nobody says what the L forms of ARIA are"
		taken  = "the standard has given the number to CKM_AES_CTS; the newer one is there"
		xts    = "the standard counts both halves of the key"
		x25519 = "the device's own text says that it is not approved, and so says NIST"
	)
	list := map[string]string{
		"CKM_AES_CMAC_GENERAL 0x00001089: does not serve Sign":                   taken,
		"CKM_AES_CMAC_GENERAL 0x00001089: does not serve Ver":                    taken,
		"CKM_AES_XTS 0x00001071: sizes 256 to 512 bits, there 128 to 256":        xts,
		"CKM_AES_XTS 0x00001071: approved as legacy from 256 bits, there 128":    xts,
		"CKM_EC_MONTGOMERY_KEY_PAIR_GEN 0x00001056: approved: false, there true": x25519,
		"CKM_EC_MONTGOMERY_KEY_PAIR_GEN 0x80000d01: approved: false, there true": x25519,
		"CKM_PBE_SHA1_CAST5_CBC 0x000003a5: sizes 8 to 96 bits, there 64 to 128": "SHA-1 gives 20 bytes, of which the IV takes 8",
	}
	for i, name := range []string{"KEY_GEN", "ECB", "CBC", "MAC", "MAC_GENERAL", "CBC_PAD"} {
		list[fmt.Sprintf("CKM_CAST3_%s %#08x: missing", name, 0x310+i)] = cast3
	}
	for i, name := range []string{"ECB", "CBC", "CBC_PAD", "MAC", "MAC_GENERAL"} {
		list[fmt.Sprintf("CKM_ARIA_L_%s %#08x: missing", name, 0x80000130+i)] = ariaL
	}
	return list
}()

// TestDevice compares our table with the device's: every mechanism is there
// under each of its numbers, does at least what it does there, bears at least
// the sizes that it bears there, and is approved where it is approved there.
func TestDevice(t *testing.T) {
	unused := map[string]bool{}
	for k := range deviceDifferences {
		unused[k] = true
	}
	for _, d := range deviceRows(t) {
		numbers := []ck.MechanismType{d.number}
		if d.newer != 0 {
			numbers = append(numbers, d.newer)
		}
		for _, number := range numbers {
			for _, difference := range d.compare(number) {
				key := fmt.Sprintf("%s %s", d.name, difference)
				if _, ok := deviceDifferences[key]; ok {
					delete(unused, key)
					continue
				}
				t.Error(key)
			}
		}
	}
	for k := range unused {
		t.Errorf("no such difference any more: %s", k)
	}
}

func (d deviceRow) compare(number ck.MechanismType) (differences []string) {
	differ := func(format string, args ...any) {
		differences = append(differences, fmt.Sprintf("%#08x: ", uint64(number))+fmt.Sprintf(format, args...))
	}
	m := Find(number)
	if m == nil {
		differ("missing")
		return differences
	}
	info := m.Info()
	for _, f := range d.functions {
		if info.Flags&deviceFlags[f] == 0 {
			differ("does not serve %s", f)
		}
	}
	unit := m.Unit()
	if d.max != 0 && (m.Min*unit > d.min || m.Max*unit < d.max) {
		differ("sizes %d to %d bits, there %d to %d", m.Min*unit, m.Max*unit, d.min, d.max)
	}
	if m.FIPS != d.fips {
		differ("approved: %v, there %v", m.FIPS, d.fips)
	}
	if !m.FIPS || !d.fips || d.max == 0 {
		return differences
	}
	if produce := max(d.fips140, d.min); d.fips140 != 0 && m.ApprovedMin(true)*unit != produce {
		differ("approved from %d bits, there %d", m.ApprovedMin(true)*unit, produce)
	}
	if d.old != 0 && m.ApprovedMin(false)*unit > max(d.old, d.min) {
		differ("approved as legacy from %d bits, there %d", m.ApprovedMin(false)*unit, d.old)
	}
	return differences
}
