package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/pflag"
)

// There is a page for every command, with its flags and its subcommands.
func TestManPages(t *testing.T) {
	b := newBench(t)
	dir := filepath.Join(t.TempDir(), "man", "man1")
	b.run("man", dir)
	pages := manPages((&app{}).rootCommand())
	files, _ := os.ReadDir(dir)
	if len(files) != len(pages) || len(pages) < len(runnable((&app{}).rootCommand())) {
		t.Errorf("%d files for %d commands", len(files), len(pages))
	}
	for _, c := range pages {
		text, err := os.ReadFile(filepath.Join(dir, manName(c)+".1"))
		if err != nil {
			t.Error(err)
			continue
		}
		c.LocalFlags().VisitAll(func(f *pflag.Flag) {
			if !f.Hidden && !strings.Contains(string(text), "\n\\fB"+roff("--"+f.Name)+`\fR`) && !strings.Contains(string(text), ", \\fB"+roff("--"+f.Name)+`\fR`) {
				t.Errorf("%s does not explain --%s", manName(c), f.Name)
			}
		})
		for _, sub := range c.Commands() {
			if sub.IsAvailableCommand() && !strings.Contains(string(text), ".BR "+roff(manName(sub))+" (1)") {
				t.Errorf("%s does not name %s", manName(c), manName(sub))
			}
		}
	}
	groff(t, dir)
}

// groff lets groff read the pages, as man does, and wants no complaint.
func groff(t *testing.T, dir string) {
	t.Helper()
	if _, err := exec.LookPath("groff"); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip("NOT TESTED: groff is not installed")
	}
	files, _ := filepath.Glob(filepath.Join(dir, "*.1"))
	out, err := exec.Command("groff", append([]string{"-man", "-ww", "-Tutf8", "-z"}, files...)...).CombinedOutput()
	if err != nil || len(out) > 0 {
		t.Errorf("groff: %v\n%s", err, out)
	}
}

// What a text could do to a page, it does not do.
func TestRoff(t *testing.T) {
	for text, want := range map[string]string{
		".so /etc/passwd":  `\&.so /etc/passwd`,
		"'quoted' `x`":     `\(aqquoted\(aq \(gax\(ga`,
		`a\fBb --c`:        `a\efBb \-\-c`,
		"plain, (nothing)": "plain, (nothing)",
	} {
		if got := roff(text); got != want {
			t.Errorf("roff(%q) = %q, want %q", text, got, want)
		}
	}
}
