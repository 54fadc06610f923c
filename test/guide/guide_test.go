// Package guide runs the commands of the operator's guide: every block of
// docs/operators-guide.md that is marked sh, in the order of the page. A block
// marked output after it is what the commands print; a line of it may have ...
// for anything, and one of ... alone stands for any lines. Each chapter (a heading of two #) begins in a new directory
// with a new HSM.
package guide

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

const (
	page     = "../../docs/operators-guide.md"
	build    = "../../build"
	patience = 3 * time.Minute
)

// block is one block of commands and what they shall print.
type block struct {
	line     int // of the page
	commands string
	output   string
	checked  bool // there is an output block
}

// chapter is a heading and its blocks.
type chapter struct {
	name   string
	blocks []block
}

// parse finds the chapters of the guide.
func parse(text string) (list []chapter, err error) {
	var fence string // the mark of the block that we are in
	var body []string
	for i, line := range strings.Split(text, "\n") {
		mark, isFence := strings.CutPrefix(line, "```")
		switch {
		case isFence && fence == "":
			if fence = mark; fence == "" {
				return nil, fmt.Errorf("line %d: a block without a mark", i+1)
			}
			body = nil
		case isFence:
			if err := add(list, fence, strings.Join(body, "\n"), i+1); err != nil {
				return nil, err
			}
			fence = ""
		case fence != "":
			body = append(body, line)
		case strings.HasPrefix(line, "## "):
			list = append(list, chapter{name: line[3:]})
		}
	}
	if fence != "" {
		return nil, fmt.Errorf("the page ends inside a block marked %q", fence)
	}
	return list, nil
}

func add(list []chapter, mark, body string, line int) error {
	if mark == "text" { // not run
		return nil
	}
	if len(list) == 0 {
		return fmt.Errorf("line %d: a block before the first chapter", line)
	}
	c := &list[len(list)-1]
	switch mark {
	case "sh":
		c.blocks = append(c.blocks, block{line: line, commands: body})
	case "output":
		if len(c.blocks) == 0 || c.blocks[len(c.blocks)-1].checked {
			return fmt.Errorf("line %d: output of what?", line)
		}
		last := &c.blocks[len(c.blocks)-1]
		last.output, last.checked = body, true
	default:
		return fmt.Errorf("line %d: a block marked %q", line, mark)
	}
	return nil
}

func TestGuide(t *testing.T) {
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	chapters, err := parse(string(text))
	if err != nil {
		t.Fatal(err)
	}
	run := 0
	for _, c := range chapters {
		if len(c.blocks) > 0 {
			t.Run(c.name, func(t *testing.T) { c.run(t) })
			run++
		}
	}
	if run == 0 {
		t.Error("the guide has no commands")
	}
}

// run runs a chapter in one shell. A line before each block tells where in its
// output the block begins.
func (c *chapter) run(t *testing.T) {
	dir := t.TempDir()
	var script strings.Builder
	script.WriteString("set -eu -o pipefail\n")
	for i, b := range c.blocks {
		fmt.Fprintf(&script, "echo '%s'\n%s\n", begins(i), b.commands)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "bash", "-c", script.String())
	cmd.Dir = dir
	cmd.Env = environment(t, dir)
	out, err := cmd.CombinedOutput()
	parts := strings.Split("\n"+string(out), "\n[block ")
	for i, b := range c.blocks {
		if i+1 >= len(parts) {
			break
		}
		_, printed, _ := strings.Cut(parts[i+1], "]\n")
		if b.checked && !matches(b.output, printed) {
			t.Errorf("line %d: the commands\n%s\nprint\n%s\nnot\n%s", b.line, b.commands, printed, b.output)
		}
	}
	if err != nil {
		t.Fatalf("%v in block %d, which begins with line %d:\n%s", err, len(parts)-1, c.blocks[max(0, len(parts)-2)].line, out)
	}
	if len(parts) != len(c.blocks)+1 {
		t.Errorf("%d of %d blocks ran:\n%s", len(parts)-1, len(c.blocks), out)
	}
}

func begins(i int) string { return fmt.Sprintf("[block %d]", i) }

// environment has the program on the path, the module in MODULE, and a home of
// its own.
func environment(t *testing.T, dir string) []string {
	t.Helper()
	bin, err := filepath.Abs(build)
	if err != nil {
		t.Fatal(err)
	}
	return []string{
		"PATH=" + bin + ":" + os.Getenv("PATH"), "HOME=" + dir, "PERILUNE_HOME=" + filepath.Join(dir, "hsm"),
		"MODULE=" + filepath.Join(bin, "libperilune.so"), "LANG=C.UTF-8", "TZ=UTC",
	}
}

var anything = regexp.MustCompile(regexp.QuoteMeta(regexp.QuoteMeta("...")))

// matches compares what was printed with what the guide says. A line of ...
// alone stands for any lines, or none.
func matches(guide, printed string) bool {
	var pattern strings.Builder
	for _, line := range strings.Split(strings.TrimRight(guide, "\n"), "\n") {
		if line == "..." {
			pattern.WriteString(`(?:.*\n)*`)
			continue
		}
		pattern.WriteString(anything.ReplaceAllString(regexp.QuoteMeta(line), ".*") + `\n`)
	}
	return regexp.MustCompile(`^` + pattern.String() + `$`).MatchString(strings.TrimRight(printed, "\n") + "\n")
}

// What the runner would overlook, it must not: a difference in the output.
func TestMatches(t *testing.T) {
	for _, c := range []struct {
		guide, printed string
		same           bool
	}{
		{"a\nb", "a\nb\n", true}, {"a ... c", "a 123 c\n", true}, {"a\nb", "a\n", false},
		{"a", "a\nb\n", false}, {"a ... c", "a\nc\n", false}, {"1.2", "1x2\n", false},
		{"...\nb", "a\na\nb\n", true}, {"...\nb\n...", "b\n", true}, {"...\nb", "a\nc\n", false},
	} {
		if matches(c.guide, c.printed) != c.same {
			t.Errorf("guide %q, printed %q", c.guide, c.printed)
		}
	}
	if _, err := parse("## x\n```sh\nls\n```\n```output\na\n```\n```output\nb\n```\n"); err == nil {
		t.Error("two outputs of one block pass")
	}
	if _, err := parse("## x\n```sh\nls\n"); err == nil {
		t.Error("a block without an end passes")
	}
}
