package clients

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"strings"
)

// Some clients are libraries, driven by a program of ours in their language.
// Such a program prints one line for each of its steps,
//
//	ok NAME
//	failed NAME: WHAT HAPPENED
//
// and "end" when it came to its end. What it prints beside that is for people.

// childVariable names the Go program that this test binary has to be, for
// clients that are Go packages: a process of their own per module gives each
// its own environment, and a crash there its own report.
const childVariable = "CLIENTS_CHILD"

var children = map[string]func(r *reporter, tok childToken){}

// A childToken is what a child is told about its token.
type childToken struct {
	library, label, pin string
}

func (s *step) childEnv() []string {
	return []string{
		"CLIENTS_LIBRARY=" + s.library,
		"CLIENTS_LABEL=" + s.label,
		"CLIENTS_PIN=" + s.pin,
	}
}

func runChild(name string) int {
	child, ok := children[name]
	if !ok {
		fmt.Fprintf(os.Stderr, "%s=%s: no such child\n", childVariable, name)
		return 2
	}
	child(&reporter{os.Stdout}, childToken{
		library: os.Getenv("CLIENTS_LIBRARY"),
		label:   os.Getenv("CLIENTS_LABEL"),
		pin:     os.Getenv("CLIENTS_PIN"),
	})
	fmt.Println("end")
	return 0
}

// A reporter prints the steps of a child written in Go.
type reporter struct{ w io.Writer }

// step runs one step, which ends early by panicking with an error.
func (r *reporter) step(name string, f func()) {
	if err := attempt(f); err != nil {
		fmt.Fprintf(r.w, "failed %s: %s\n", name, strings.ReplaceAll(err.Error(), "\n", "; "))
		return
	}
	fmt.Fprintf(r.w, "ok %s\n", name)
}

// check ends a step of a child where a condition does not hold.
func check(ok bool, format string, args ...any) {
	if !ok {
		panic(fmt.Errorf(format, args...))
	}
}

// goChild runs this test binary as the named child and turns the lines that it
// prints into steps.
func (c *client) goChild(name string) {
	c.t.Helper()
	self, err := os.Executable()
	if err != nil {
		c.t.Fatal(err)
	}
	c.program([]string{childVariable + "=" + name}, self)
}

// program runs a program that reports steps, and returns their names.
func (c *client) program(env []string, name string, args ...string) []string {
	c.t.Helper()
	s := &step{client: c}
	s.env = append(s.childEnv(), env...)
	out, err := s.try(nil, name, args...)
	var (
		names []string
		ended bool
	)
	lines := bufio.NewScanner(strings.NewReader(out))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		line := lines.Text()
		if title, ok := strings.CutPrefix(line, "ok "); ok {
			names = append(names, title)
			c.step(title, func(*step) {})
		} else if rest, ok := strings.CutPrefix(line, "failed "); ok {
			title, what, _ := strings.Cut(rest, ": ")
			names = append(names, title)
			c.step(title, func(s *step) { s.fail("%s", what) })
		} else if line == "end" {
			ended = true
		}
	}
	if err != nil || !ended || len(names) == 0 {
		c.t.Errorf("the program did not come to its end (%v); it printed:\n%s", err, out)
	}
	return names
}
