package hsm

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
)

// policyDoc is what docs/policies.md has in the line of a policy, up to the
// column that says what it is about.
func policyDoc(p *policy, standard, luna map[uint64]uint64) string {
	value := func(profile map[uint64]uint64) string {
		v, ok := profile[p.id]
		if !ok {
			v = p.def
		}
		switch {
		case p.number:
			return fmt.Sprint(v)
		case v == 0:
			return "off"
		}
		return "on"
	}
	takes, destroys := "off, on", "-"
	switch {
	case p.fixed:
		takes = "fixed"
	case p.number:
		takes = fmt.Sprintf("%d to %d", p.min, p.cap)
	}
	switch {
	case p.offOn && p.onOff:
		destroys = "both"
	case p.offOn:
		destroys = "off to on"
	case p.onOff:
		destroys = "on to off"
	}
	return fmt.Sprintf("| %d | %s | %s | %s | %s | %s |", p.id, p.text, takes, value(standard), value(luna), destroys)
}

// numbered is the beginning of a line about a policy.
var numbered = regexp.MustCompile(`(?m)^\| [0-9]`)

// docs/policies.md has a line for each policy, with what the table says of it,
// and names each capability without one.
func TestPolicyDocs(t *testing.T) {
	text, err := os.ReadFile("../../docs/policies.md")
	if err != nil {
		t.Fatal(err)
	}
	doc := string(text)
	hsm, partition, found := strings.Cut(doc, "\n## Policies of a partition\n")
	if !found {
		t.Fatal("docs/policies.md has no section for partitions")
	}
	standard, luna := findProfile(profileStandard), findProfile(profileLuna72)
	check := func(section string, table []policy, standard, luna map[uint64]uint64) {
		lines := len(numbered.FindAllString(section, -1))
		words := strings.Join(strings.Fields(section), " ")
		for i := range table {
			p := &table[i]
			if p.text == "" {
				if !strings.Contains(words, fmt.Sprintf("%d %s", p.id, p.capability)) {
					t.Errorf("capability %d, %q, is not there", p.id, p.capability)
				}
				continue
			}
			lines--
			if want := policyDoc(p, standard, luna); !strings.Contains(section, "\n"+want+" ") {
				t.Errorf("no line begins with\n%s", want)
			}
		}
		if lines != 0 {
			t.Errorf("%d lines more than policies", lines)
		}
	}
	check(hsm, hsmPolicies, standard.hsmPolicies, luna.hsmPolicies)
	partition, _, _ = strings.Cut(partition, "\n## ")
	check(partition, partitionPolicies, standard.partitionPolicies, luna.partitionPolicies)
}
