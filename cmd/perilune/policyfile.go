package main

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/perilune/perilune/cryptoki/p11"
)

// A template of policies is a text for people to edit: a heading that says
// whose policies they are, and a line for each. docs/policies.md describes it.

// policyKind says whose policies are meant.
type policyKind struct {
	name   string // as in the heading of a template
	of     string // for people
	victim string // what a destructive change destroys
}

var (
	hsmPolicies       = policyKind{"hsm", "HSM", "all partitions"}
	partitionPolicies = policyKind{"partition", "partition", "all objects"}
)

const (
	maxPolicyFile  = 64 << 10
	policyHeading  = "policies:"
	policyFileForm = "NUMBER | TEXT | VALUE | OFF-TO-ON DESTROYS | ON-TO-OFF DESTROYS"
)

// policyLine is a line of a template.
type policyLine struct {
	line  int
	id    uint64
	text  string
	value string
	// offOn and onOff are yes, no or -; empty where they are left out.
	offOn, onOff string
}

// readPolicyFile reads a template and holds it against the policies there are. A
// template without lines sets all policies to their defaults: it is an empty list,
// not none.
func readPolicyFile(path string, kind policyKind, known []p11.PolicyInfo) ([]p11.PolicySetting, []policyLine, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, nil, failing(err, "cannot read the policies")
	}
	lines, err := parsePolicies(text, kind)
	if err != nil {
		return nil, nil, usagef("%s:%v", path, err)
	}
	list := []p11.PolicySetting{}
	for _, l := range lines {
		s, err := l.setting(kind, known)
		if err != nil {
			return nil, nil, usagef("%s:%d: %v", path, l.line, err)
		}
		list = append(list, s)
	}
	return list, lines, nil
}

// parsePolicies reads the lines of a template. Errors begin with the number of
// the line.
func parsePolicies(text []byte, kind policyKind) (list []policyLine, err error) {
	if len(text) > maxPolicyFile {
		return nil, fmt.Errorf("1: %d bytes are too many for a list of policies", len(text))
	}
	seen := map[uint64]int{}
	heading := false
	for i, raw := range bytes.Split(text, []byte("\n")) {
		n, line := i+1, strings.TrimSpace(string(raw))
		switch {
		case !utf8.ValidString(line) || strings.ContainsFunc(line, func(r rune) bool { return unicode.IsControl(r) && r != '\t' }):
			return nil, fmt.Errorf("%d: this is no line of text", n)
		case line == "" || line[0] == '#':
		case !heading:
			if heading = strings.Join(strings.Fields(line), " ") == policyHeading+" "+kind.name; !heading {
				return nil, fmt.Errorf("%d: a list of policies of the %s begins with the line %q", n, kind.of, policyHeading+" "+kind.name)
			}
		default:
			l, err := parsePolicyLine(line)
			if err != nil {
				return nil, fmt.Errorf("%d: %w", n, err)
			}
			if first, twice := seen[l.id]; twice {
				return nil, fmt.Errorf("%d: policy %d is in line %d already", n, l.id, first)
			}
			seen[l.id], l.line = n, n
			list = append(list, l)
		}
	}
	if !heading {
		return nil, fmt.Errorf("1: the list is empty; it begins with the line %q", policyHeading+" "+kind.name)
	}
	return list, nil
}

func parsePolicyLine(line string) (l policyLine, err error) {
	f := strings.Split(line, "|")
	if len(f) != 3 && len(f) != 5 {
		return l, fmt.Errorf("a line is %s, the last two or none", policyFileForm)
	}
	for i := range f {
		f[i] = strings.TrimSpace(f[i])
	}
	if l.id, err = strconv.ParseUint(f[0], 10, 32); err != nil {
		return l, fmt.Errorf("%q is no number of a policy", f[0])
	}
	l.text, l.value = f[1], f[2]
	if len(f) == 3 {
		return l, nil
	}
	for _, s := range f[3:] {
		if s != "yes" && s != "no" && s != "-" {
			return l, fmt.Errorf("%q: whether a change destroys is yes or no, or - for numbers", s)
		}
	}
	l.offOn, l.onOff = f[3], f[4]
	return l, nil
}

// setting is what the line sets.
func (l *policyLine) setting(kind policyKind, known []p11.PolicyInfo) (s p11.PolicySetting, err error) {
	p := findPolicy(known, l.id)
	if p == nil {
		return s, fmt.Errorf("there is no %s policy %d", kind.of, l.id)
	}
	if l.text != "" && l.text != p.Text {
		return s, fmt.Errorf("%s policy %d is %q, not %q", kind.of, l.id, p.Text, l.text)
	}
	s.ID = l.id
	if s.Value, err = policyValue(l.value); err != nil {
		return s, err
	}
	if p.Number && (l.value == "on" || l.value == "off") {
		return s, fmt.Errorf("%s policy %d takes a number, not %q", kind.of, l.id, l.value)
	}
	if s.OffOn, err = l.stricter(kind, "off-to-on", l.offOn, p.OffOn); err == nil {
		s.OnOff, err = l.stricter(kind, "on-to-off", l.onOff, p.OnOff)
	}
	return s, err
}

// stricter reports whether a direction is to become destructive. No line makes
// one harmless that is not.
func (l *policyLine) stricter(kind policyKind, direction, want string, is bool) (bool, error) {
	switch {
	case want == "no" && is:
		return false, fmt.Errorf("%s of %s policy %d destroys %s, and no list of policies changes that", direction, kind.of, l.id, kind.victim)
	case want == "yes" && !is && kind == hsmPolicies:
		return false, fmt.Errorf("%s of HSM policy %d does not destroy; only lists for partitions can make it so", direction, l.id)
	}
	return want == "yes" && !is, nil
}

func findPolicy(list []p11.PolicyInfo, id uint64) *p11.PolicyInfo {
	for i := range list {
		if list[i].ID == id && list[i].Text != "" {
			return &list[i]
		}
	}
	return nil
}

// formatPolicies is the template of the policies as they are.
func formatPolicies(kind policyKind, list []p11.PolicyInfo) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "# Policies of the %s, for `perilune %s init --policies FILE`.\n", kind.of, kind.name)
	fmt.Fprintf(&b, "# %s\n", policyFileForm)
	b.WriteString("# Lines can be left out: what they would set is then as the profile has it.\n")
	if kind == partitionPolicies {
		b.WriteString("# Where a change does not destroy all objects, \"no\" may become \"yes\", not the contrary.\n")
	}
	fmt.Fprintf(&b, "\n%s %s\n\n", policyHeading, kind.name)
	width := 0
	for _, p := range list {
		width = max(width, len(p.Text))
	}
	for _, p := range list {
		if p.Settable {
			fmt.Fprintf(&b, "%2d | %-*s | %-3s | %-3s | %s\n", p.ID, width, p.Text, policyText(p, p.Value), direction(p, p.OffOn), direction(p, p.OnOff))
		}
	}
	return b.Bytes()
}

// direction says whether a change destroys, - where it is of a number.
func direction(p p11.PolicyInfo, destroys bool) string {
	switch {
	case p.Number:
		return "-"
	case destroys:
		return "yes"
	}
	return "no"
}
