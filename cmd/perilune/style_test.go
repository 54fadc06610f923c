package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// goTypes are words that pflag shows where nobody said what a flag takes.
var goTypes = []string{"int", "int64", "uint", "uint64", "float", "strings", "stringArray", "ints"}

var flagName = regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)*$`)

// Commands and flags are alike everywhere: a flag takes the same wherever it is,
// and says so in words.
func TestStyle(t *testing.T) {
	takes := map[string]string{} // what a flag takes, and where that was first seen
	for _, c := range manPages(wholeTree()) {
		if c.Short == "" || strings.HasSuffix(c.Short, ".") || c.Short[:1] != strings.ToUpper(c.Short[:1]) {
			t.Errorf("%s: the description %q should begin with a capital and end without a full stop", c.CommandPath(), c.Short)
		}
		for line := range strings.Lines(c.Long) {
			if len(line) > 100 {
				t.Errorf("%s: a line of the explanation is longer than a terminal is wide: %q", c.CommandPath(), line)
			}
		}
		c.LocalFlags().VisitAll(func(f *pflag.Flag) {
			value, usage := pflag.UnquoteUsage(f)
			switch {
			case !flagName.MatchString(f.Name):
				t.Errorf("%s: --%s is no name for a flag", c.CommandPath(), f.Name)
			case slices.Contains(goTypes, value):
				t.Errorf("%s: --%s takes %q; name that in the description, in backquotes", c.CommandPath(), f.Name, value)
			case usage == "" || usage[:1] != strings.ToLower(usage[:1]) && !strings.HasPrefix(usage, "PIN") || strings.HasSuffix(usage, "."):
				t.Errorf("%s: the description of --%s should begin small and end without a full stop: %q", c.CommandPath(), f.Name, usage)
			}
			if f.Name == "type" || f.Name == "id" {
				return // of keys here, of something else there
			}
			if known, ok := takes[f.Name]; ok && known != value {
				t.Errorf("%s: --%s takes %q, elsewhere %q", c.CommandPath(), f.Name, value, known)
			}
			takes[f.Name] = value
		})
		mustHave(t, c)
	}
}

// mustHave demands the flags that commands of a kind have in common.
func mustHave(t *testing.T, c *cobra.Command) {
	t.Helper()
	for _, need := range []struct {
		names []string
		flags []string
	}{
		{[]string{"list", "show", "diff", "check", "verify", "doctor", "version"}, []string{"json"}},
		{[]string{"delete", "zeroize", "clear"}, []string{"force"}},
	} {
		for _, flag := range need.flags {
			if slices.Contains(need.names, c.Name()) && c.Flags().Lookup(flag) == nil {
				t.Errorf("%s: no --%s", c.CommandPath(), flag)
			}
		}
	}
	if (c.Flags().Lookup("slot") == nil) != (c.Flags().Lookup("partition") == nil) {
		t.Errorf("%s: --slot and --partition go together", c.CommandPath())
	}
}

// Every name that --json prints in a script is in docs/administration.md.
func TestEveryJSONNameIsDocumented(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "administration.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, names, ok := strings.Cut(string(text), "| command | names |")
	if !ok {
		t.Fatal("docs/administration.md has no table of names")
	}
	names, _, _ = strings.Cut(names, "\n\n")
	_, transcripts := scriptRuns(t)
	for _, r := range transcripts {
		if !slices.Contains(r.args, "--json") {
			continue
		}
		for _, m := range jsonName.FindAllStringSubmatch(r.output, -1) {
			if !regexp.MustCompile(`\b` + m[1] + `\b`).MatchString(names) {
				t.Errorf("docs/administration.md does not have %q, which `perilune %s` prints", m[1], strings.Join(r.args, " "))
			}
		}
	}
}

var jsonName = regexp.MustCompile(`(?m)^ *"([a-z0-9_]+)":`)

// Every command is in the table of docs/administration.md.
func TestEveryCommandIsDocumented(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "administration.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range runnable(wholeTree()) {
		name := strings.TrimPrefix(c.CommandPath(), "perilune ")
		if c.Parent().Name() == "completion" {
			name = "completion bash"
		}
		if !regexp.MustCompile("`" + regexp.QuoteMeta(name) + "[ `]").Match(text) {
			t.Errorf("docs/administration.md does not say what `%s` does", name)
		}
	}
}
