package engine

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/perilune/perilune/cryptoki/ck"
)

// deviceRow is a line of testdata/device.txt.
type deviceRow struct {
	number, newer          ck.MechanismType // newer: 0 for none
	name                   string
	fips                   bool
	functions              []string
	min, fips140, old, max uint64 // in bits; 0 for none
}

func deviceRows(t *testing.T) (list []deviceRow) {
	t.Helper()
	b, err := os.ReadFile("testdata/device.txt")
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
var deviceDifferences = map[string]string{}

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
	unit := m.unit()
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

// unit is how many bits the unit of Min and Max is: keys that are bytes are
// measured in bytes, but where the standard has bits.
func (m *Mechanism) unit() uint64 {
	if m.Type == ck.CKM_GENERIC_SECRET_KEY_GEN {
		return 1
	}
	types := m.Keys
	if len(types) == 0 {
		types = []ck.KeyType{m.Makes}
	}
	switch types[0] {
	case ck.CKK_RSA, ck.CKK_DSA, ck.CKK_DH, ck.CKK_X9_42_DH, ck.CKK_KCDSA, ck.CKK_EC, ck.CKK_EC_EDWARDS, ck.CKK_EC_MONTGOMERY,
		ck.CKK_RC2, ck.CKK_RC4:
		return 1
	}
	return 8
}
