package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/perilune/perilune/cryptoki/p11"
)

// someCapabilities are policies of each sort.
var someCapabilities = []p11.PolicyInfo{
	{ID: 1, Capability: "Enable PED-based authentication"},
	{ID: 7, Text: "Allow cloning", Greatest: 1, Value: 1, Settable: true, OffOn: true},
	{ID: 12, Text: "Allow non-FIPS algorithms", Greatest: 1, Settable: true, OffOn: true, OnOff: true},
	{ID: 33, Text: "Current maximum number of partitions", Greatest: 100, Value: 10, Number: true, Settable: true},
}

// What is written is read again, and sets what is.
func TestPolicyFileRoundTrip(t *testing.T) {
	for _, kind := range []policyKind{hsmPolicies, partitionPolicies} {
		path := filepath.Join(t.TempDir(), "policies.txt")
		if err := os.WriteFile(path, formatPolicies(kind, someCapabilities), 0o600); err != nil {
			t.Fatal(err)
		}
		list, lines, err := readPolicyFile(path, kind, someCapabilities)
		if err != nil || len(list) != 3 || len(lines) != 3 {
			t.Fatalf("%s: %+v, %v", kind.name, list, err)
		}
		for i, s := range list {
			if p := someCapabilities[i+1]; s != (p11.PolicySetting{ID: p.ID, Value: p.Value}) {
				t.Errorf("%s: %+v of %+v", kind.name, s, p)
			}
		}
	}
}

// Every refusal names its line and what is wrong with it.
func TestPolicyFileRefusals(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"", "1: the list is empty"},
		{"# nothing\n\n", "1: the list is empty"},
		{"policies: partition\n", `1: a list of policies of the HSM begins with the line "policies: hsm"`},
		{"7 | Allow cloning | on\n", "1: a list of policies of the HSM begins"},
		{"policies: hsm\n7 | Allow cloning\n", "2: a line is NUMBER | TEXT"},
		{"policies: hsm\n7 | Allow cloning | on | yes\n", "2: a line is NUMBER | TEXT"},
		{"policies: hsm\nseven | Allow cloning | on\n", `2: "seven" is no number of a policy`},
		{"policies: hsm\n7 | Allow cloning | on\n\n7 | Allow cloning | off\n", "4: policy 7 is in line 2 already"},
		{"policies: hsm\n7 | Allow cloning | perhaps\n", `2: "perhaps" is neither on nor off nor a number`},
		{"policies: hsm\n7 | Allow flying | on\n", `2: HSM policy 7 is "Allow cloning", not "Allow flying"`},
		{"policies: hsm\n8 | Allow flying | on\n", "2: there is no HSM policy 8"},
		{"policies: hsm\n1 | | on\n", "2: there is no HSM policy 1"},
		{"policies: hsm\n33 | | on\n", "2: HSM policy 33 takes a number"},
		{"policies: hsm\n7 | | on | maybe | no\n", `2: "maybe": whether a change destroys`},
		{"policies: hsm\n7 | | on | no | no\n", "2: off-to-on of HSM policy 7 destroys all partitions"},
		{"policies: hsm\n7 | | on | yes | yes\n", "2: on-to-off of HSM policy 7 does not destroy"},
		{"policies: hsm\n7 | | \x1b[31mon\n", "2: this is no line of text"},
		{"policies: hsm\n7 | | \xff\n", "2: this is no line of text"},
		{strings.Repeat("#", maxPolicyFile+1), "1: 65537 bytes are too many"},
	} {
		path := filepath.Join(t.TempDir(), "p.txt")
		if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, _, err := readPolicyFile(path, hsmPolicies, someCapabilities); err == nil || !strings.Contains(err.Error(), "p.txt:"+c.want) {
			t.Errorf("%.60q: %v, want %q", c.text, err, c.want)
		}
	}
}

// Whatever the text, reading it ends, and what is accepted is one line for each
// policy, in the lines that are said.
func FuzzPolicyFile(f *testing.F) {
	f.Add(formatPolicies(hsmPolicies, someCapabilities))
	f.Add([]byte("policies: hsm\n7 | Allow cloning | on | yes | no\n 33||10|-|-\n"))
	f.Add([]byte("policies: hsm\r\n7||on\r\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		list, err := parsePolicies(text, hsmPolicies)
		if err != nil {
			return
		}
		lines := strings.Split(string(text), "\n")
		seen := map[uint64]bool{}
		for _, l := range list {
			if seen[l.id] || l.line < 1 || l.line > len(lines) || !strings.Contains(lines[l.line-1], "|") {
				t.Errorf("%+v of %q", l, text)
			}
			seen[l.id] = true
			l.setting(hsmPolicies, someCapabilities)
			l.setting(partitionPolicies, someCapabilities)
		}
	})
}
