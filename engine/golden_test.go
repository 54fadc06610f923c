package engine

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/perilune/perilune/cryptoki/ck"
)

var update = flag.Bool("update", false, "write the golden files anew")

// TestGolden compares the list of all mechanisms with the one on file, so that
// a change of any row is seen.
func TestGolden(t *testing.T) {
	const file = "testdata/mechanisms.golden"
	var b strings.Builder
	b.WriteString("# number name flags min-max makes keys fips param message-param\n")
	for _, m := range Mechanisms() {
		b.WriteString(describe(m) + "\n")
	}
	if *update {
		if err := os.WriteFile(file, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	got := strings.Split(b.String(), "\n")
	old := strings.Split(string(want), "\n")
	for _, line := range missing(old, got) {
		t.Errorf("not there any more: %s", line)
	}
	for _, line := range missing(got, old) {
		t.Errorf("not in %s: %s", file, line)
	}
	if t.Failed() {
		t.Log("if this is meant: go test ./engine -run Golden -update")
	}
}

// missing returns the lines of a that b lacks.
func missing(a, b []string) (list []string) {
	have := map[string]bool{}
	for _, line := range b {
		have[line] = true
	}
	for _, line := range a {
		if !have[line] {
			list = append(list, line)
		}
	}
	return list
}

// describe puts a row into one line.
func describe(m *Mechanism) string {
	info := m.Info()
	fields := []string{
		fmt.Sprintf("%#08x", uint64(m.Type)),
		m.Type.String(),
		flagNames(info.Flags),
		fmt.Sprintf("%d-%d", info.MinKeySize, info.MaxKeySize),
		"-",
		"-",
		"-",
		paramName(m.Param),
		paramName(m.MessageParam),
	}
	if m.Makes != 0 || m.GeneratePair != nil {
		if fields[4] = m.Makes.String(); m.Makes == AnySecret {
			fields[4] = "any secret"
		}
	}
	if len(m.Keys) > 0 {
		var keys []string
		for _, k := range m.Keys {
			if k == AnySecret {
				keys = append(keys, "any-secret")
				continue
			}
			keys = append(keys, k.String())
		}
		fields[5] = strings.Join(keys, ",")
	}
	if m.FIPS {
		fields[6] = "fips"
		if m.Legacy {
			fields[6] = "fips-legacy"
		}
		if m.FIPSMin != 0 || m.LegacyMin != 0 {
			fields[6] += fmt.Sprintf("(%d,%d)", m.FIPSMin, m.LegacyMin)
		}
		if m.Approve != nil {
			fields[6] += "+"
		}
	}
	for _, mark := range []struct {
		set  bool
		name string
	}{{m.Korean, "korean"}, {m.RawRSA, "raw-rsa"}, {m.RSAPKCS, "rsa-pkcs"}, {m.CBCPad, "cbc-pad"}} {
		if mark.set {
			fields = append(fields, mark.name)
		}
	}
	if m.WrapParam != nil {
		fields = append(fields, paramName(m.WrapParam))
	}
	if m.Optional {
		fields[7] += "?"
	}
	return strings.Join(fields, " ")
}

func paramName(p any) string {
	if p == nil {
		return "-"
	}
	return strings.ReplaceAll(strings.TrimPrefix(fmt.Sprintf("%T", p), "*engine."), " ", "")
}

// flagNames names the flags that a row can have.
func flagNames(f ck.Flags) string {
	var names []string
	for _, x := range []struct {
		flag ck.Flags
		name string
	}{
		{ck.CKF_MESSAGE_ENCRYPT, "message-encrypt"},
		{ck.CKF_MESSAGE_DECRYPT, "message-decrypt"},
		{ck.CKF_ENCRYPT, "encrypt"},
		{ck.CKF_DECRYPT, "decrypt"},
		{ck.CKF_DIGEST, "digest"},
		{ck.CKF_SIGN, "sign"},
		{ck.CKF_SIGN_RECOVER, "sign-recover"},
		{ck.CKF_VERIFY, "verify"},
		{ck.CKF_VERIFY_RECOVER, "verify-recover"},
		{ck.CKF_GENERATE, "generate"},
		{ck.CKF_GENERATE_KEY_PAIR, "generate-pair"},
		{ck.CKF_WRAP, "wrap"},
		{ck.CKF_UNWRAP, "unwrap"},
		{ck.CKF_DERIVE, "derive"},
		{ck.CKF_MESSAGE_SIGN, "message-sign"},
		{ck.CKF_MESSAGE_VERIFY, "message-verify"},
		{ck.CKF_ENCAPSULATE, "encapsulate"},
		{ck.CKF_DECAPSULATE, "decapsulate"},
	} {
		if f&x.flag != 0 {
			names = append(names, x.name)
			f &^= x.flag
		}
	}
	if f != 0 {
		names = append(names, fmt.Sprintf("%#x", uint64(f)))
	}
	return strings.Join(names, ",")
}
