package engine

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/perilune/perilune/cryptoki/ck"
)

const docsHead = `# Mechanisms

Generated from the rows of package engine by ` + "`make generate`" + `; do not edit.

Every mechanism has a self-test with an answer that this project did not compute, and rests on the vectors in the last
column. *Size* is what C_GetMechanismInfo reports, in bits or bytes as the standard has it for the family. *FIPS* says whether
HSM policy 12, switched off, leaves the mechanism, and from which size on; "to read" is the size from which keys may
still verify, decrypt and unwrap, and "reads only" marks mechanisms that do no more than that. *Time* is empty where nothing
that is secret can be told from timing or caches, as far as this project's code goes; [SECURITY](SECURITY.md) says how that is
tested. Every mechanism that signs also serves C_MessageSign and C_VerifySignature, unless a second message under one
parameter would break it.

| number | mechanism | functions | size | FIPS | time | vectors |
|---|---|---|---|---|---|---|
`

// TestMechanismDocs compares docs/mechanisms.md with the rows.
func TestMechanismDocs(t *testing.T) {
	var b strings.Builder
	b.WriteString(docsHead)
	for _, m := range Mechanisms() {
		if m.Vectors == "" {
			t.Errorf("%v: no word on what proves it", m.Type)
		}
		fmt.Fprintf(&b, "| 0x%08x | %s | %s | %s | %s | %s | %s |\n", uint64(m.Type),
			strings.TrimPrefix(m.Type.String(), "CKM_"), docFunctions(m), docSize(m), docFIPS(m), m.Leaks, m.Vectors)
	}
	b.WriteString("\n" + docsCount())
	const file = "../docs/mechanisms.md"
	if *update {
		if err := os.WriteFile(file, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if have, err := os.ReadFile(file); err != nil || string(have) != b.String() {
		t.Errorf("%s is not what the rows say (%v): make generate", file, err)
	}
}

func docsCount() string {
	aliases := 0
	for _, m := range Mechanisms() {
		if m.alias {
			aliases++
		}
	}
	return fmt.Sprintf("%d mechanisms, and %d further numbers that devices gave some of them before the standard did.\n",
		len(Mechanisms())-aliases, aliases)
}

func docFunctions(m *Mechanism) string {
	names := strings.Split(flagNames(m.Info().Flags&^(ck.CKF_MESSAGE_SIGN|ck.CKF_MESSAGE_VERIFY)), ",")
	names = slices.DeleteFunc(names, func(s string) bool { return strings.HasPrefix(s, "0x") })
	return strings.Join(names, ", ")
}

func docSize(m *Mechanism) string {
	if m.Max == 0 {
		return ""
	}
	name := "bits"
	if m.Unit() == 8 {
		name = "bytes"
	}
	if m.Min == m.Max {
		return fmt.Sprintf("%d %s", m.Min, name)
	}
	return fmt.Sprintf("%d to %d %s", m.Min, m.Max, name)
}

func docFIPS(m *Mechanism) string {
	if !m.FIPS {
		return ""
	}
	s := "yes"
	if m.Legacy {
		s = "reads only"
	}
	if strong := m.ApprovedMin(true); strong > m.Min && !m.Legacy {
		s += fmt.Sprintf(", from %d", strong)
	}
	if weak := m.ApprovedMin(false); weak < m.ApprovedMin(true) || m.Legacy && weak > m.Min {
		s += fmt.Sprintf(", to read %d", weak)
	}
	return s
}
