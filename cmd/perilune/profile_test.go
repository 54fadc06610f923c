package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
)

const profilesPage = "../../docs/profiles.md"

// The page has what `perilune profile diff` says, and all rules with their codes.
func TestProfilesPage(t *testing.T) {
	page, err := os.ReadFile(profilesPage)
	if err != nil {
		t.Fatal(err)
	}
	want := between(t, string(page), "profile diff", "```\n"+says(t, "profile", "diff")+"```\n")
	want = between(t, want, "rules", ruleTable(t))
	if want == string(page) {
		return
	}
	if !*update {
		t.Fatal("docs/profiles.md does not say what `perilune profile` says: run `go test -tags sqlite_omit_load_extension ./cmd/perilune -run ProfilesPage -update`")
	}
	if err := os.WriteFile(profilesPage, []byte(want), 0o644); err != nil {
		t.Fatal(err)
	}
}

// says is what a command prints, without an HSM that anybody initialised.
func says(t *testing.T, args ...string) string {
	t.Helper()
	var stdout, stderr bytes.Buffer
	home := t.TempDir()
	a := &app{stdout: &stdout, stderr: &stderr, open: openLocal, env: func(name string) string {
		return map[string]string{"PERILUNE_HOME": home, "HOME": home}[name]
	}}
	if status := a.run(context.Background(), args); status != exitDone {
		t.Fatalf("%v: status %d: %s", args, status, &stderr)
	}
	return stdout.String()
}

// between puts text behind the mark of that name on the page.
func between(t *testing.T, page, name, text string) string {
	t.Helper()
	mark, end := "<!-- "+name+" -->\n", "<!-- end -->"
	before, rest, ok := strings.Cut(page, mark)
	_, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("the page has no place for %q", name)
	}
	return before + mark + text + end + after
}

// ruleTable has the rules that refuse, with the code of each profile.
func ruleTable(t *testing.T) string {
	t.Helper()
	names := []string{"standard", "luna-7.2"}
	profiles := make([]profileShowJSON, len(names))
	for i, name := range names {
		if err := json.Unmarshal([]byte(says(t, "profile", "show", name, "--section", "codes", "--json")), &profiles[i]); err != nil {
			t.Fatal(err)
		}
	}
	text := "| rule | `standard` | `luna-7.2` |\n|---|---|---|\n"
	for i, f := range profiles[0].Facts {
		other := profiles[1].Facts[i]
		if other.Name != f.Name {
			t.Fatalf("%s and %s in one line", f.Name, other.Name)
		}
		if other.Value == f.Value {
			other.Value = "the same"
		}
		text += fmt.Sprintf("| %s | %s | %s |\n", f.Name, f.Value, other.Value)
	}
	return text
}
