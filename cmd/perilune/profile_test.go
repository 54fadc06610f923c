package main

import (
	"bytes"
	"context"
	"os"
	"strings"
	"testing"
)

const profilesPage = "../../docs/profiles.md"

// The page has what `perilune profile diff` says.
func TestProfilesPage(t *testing.T) {
	page, err := os.ReadFile(profilesPage)
	if err != nil {
		t.Fatal(err)
	}
	var stdout, stderr bytes.Buffer
	home := t.TempDir()
	a := &app{stdout: &stdout, stderr: &stderr, open: openLocal, env: func(name string) string {
		return map[string]string{"PERILUNE_HOME": home, "HOME": home}[name]
	}}
	if status := a.run(context.Background(), []string{"profile", "diff"}); status != exitDone {
		t.Fatalf("status %d: %s", status, &stderr)
	}
	before, rest, ok := strings.Cut(string(page), "<!-- profile diff -->\n")
	_, after, ok2 := strings.Cut(rest, "<!-- end -->")
	if !ok || !ok2 {
		t.Fatal("the page has no place for the differences")
	}
	want := before + "<!-- profile diff -->\n```\n" + stdout.String() + "```\n<!-- end -->" + after
	if want == string(page) {
		return
	}
	if !*update {
		t.Fatal("docs/profiles.md does not say what `perilune profile diff` says: run `go test -tags sqlite_omit_load_extension ./cmd/perilune -run ProfilesPage -update`")
	}
	if err := os.WriteFile(profilesPage, []byte(want), 0o644); err != nil {
		t.Fatal(err)
	}
}
