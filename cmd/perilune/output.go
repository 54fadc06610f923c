package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"sync"
	"text/tabwriter"
	"time"
	"unicode"

	"github.com/spf13/cobra"
)

// jsonFlag adds --json to a command that lists or shows something.
func jsonFlag(cmd *cobra.Command) *bool {
	return cmd.Flags().Bool("json", false, "print JSON")
}

// printJSON prints one JSON value. docs/administration.md describes the shapes.
func (a *app) printJSON(v any) error {
	enc := json.NewEncoder(a.stdout)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

// printable makes a text that came from a store or a file safe to print.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return unicode.ReplacementChar
		}
		return r
	}, s)
}

// table prints columns under underlined headings.
func table(w io.Writer, headings []string, rows [][]string) error {
	underline := make([]string, len(headings))
	for i, h := range headings {
		underline[i] = strings.Repeat("=", len(h))
	}
	return columns(w, append([][]string{headings, underline}, rows...))
}

// columns prints rows with their cells below each other.
func columns(w io.Writer, rows [][]string) error {
	tw := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	for _, row := range rows {
		for i, cell := range row {
			row[i] = printable(cell)
		}
		fmt.Fprintln(tw, strings.TrimRight(strings.Join(row, "\t"), "\t"))
	}
	return tw.Flush()
}

// field is one line of a description.
type field struct{ name, value string }

// details prints a heading and a description.
func details(w io.Writer, heading string, fields []field) {
	fmt.Fprintf(w, "%s:\n%s\n", heading, strings.Repeat("=", len(heading)+1))
	for _, f := range fields {
		fmt.Fprintf(w, "%-32s %s\n", f.name+":", printable(f.value))
	}
}

// count is a number of things in words.
func count[T int | uint64](n T, thing string) string { return plural(n, thing, thing+"s") }

func plural[T int | uint64](n T, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

func yesNo(b bool) string {
	if b {
		return "Yes"
	}
	return "No"
}

// or is s, or the text for an empty one.
func or(s, empty string) string {
	if s == "" {
		return empty
	}
	return s
}

// progressFlag adds --progress to a command that can take long.
func progressFlag(cmd *cobra.Command) *bool {
	return cmd.Flags().Bool("progress", false, "show progress on stderr even if it is no terminal")
}

// progress shows on stderr that something takes its time. On a terminal it is
// one line that changes; elsewhere, and only with --progress, a line per step.
type progress struct {
	w       io.Writer
	animate bool
	quit    chan struct{}
	done    sync.WaitGroup

	mu   sync.Mutex
	text string
}

// newProgress returns nil, which shows nothing, unless somebody looks.
func (a *app) newProgress(asked bool, text string) *progress {
	if !a.animate && !asked {
		return nil
	}
	p := &progress{w: a.stderr, animate: a.animate, text: text, quit: make(chan struct{})}
	if !p.animate {
		fmt.Fprintln(p.w, text)
		return p
	}
	p.done.Go(p.spin)
	return p
}

const spinner = `|/-\`

func (p *progress) spin() {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for i := 0; ; i++ {
		select {
		case <-p.quit:
			if i > 0 {
				fmt.Fprint(p.w, "\r\x1b[K")
			}
			return
		case <-tick.C:
			p.mu.Lock()
			fmt.Fprintf(p.w, "\r\x1b[K%s %c", p.text, spinner[i%len(spinner)])
			p.mu.Unlock()
		}
	}
}

// step says what is being done now.
func (p *progress) step(format string, args ...any) {
	if p == nil {
		return
	}
	p.mu.Lock()
	p.text = fmt.Sprintf(format, args...)
	if !p.animate {
		fmt.Fprintln(p.w, p.text)
	}
	p.mu.Unlock()
}

// stop clears the line.
func (p *progress) stop() {
	if p == nil {
		return
	}
	close(p.quit)
	p.done.Wait()
}
