package sqlite

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"testing"
)

// Some tests need other processes. Those are this test binary again, told by
// its environment which of these functions to run instead of the tests.
var children = map[string]func(args []string) error{
	"cat": func(args []string) error {
		f, err := os.Open(args[0])
		if err != nil {
			return err
		}
		_, err = io.Copy(os.Stdout, f)
		return err
	},
}

const childEnv = "PERILUNE_TEST_CHILD"

func TestMain(m *testing.M) {
	name := os.Getenv(childEnv)
	if name == "" {
		os.Exit(m.Run())
	}
	if err := children[name](os.Args[1:]); err != nil {
		fmt.Fprintf(os.Stderr, "child %s: %v\n", name, err)
		os.Exit(1)
	}
}

// child prepares a process that runs one of the functions above.
func child(name string, args ...string) *exec.Cmd {
	c := exec.Command(os.Args[0], args...)
	c.Env = append(os.Environ(), childEnv+"="+name)
	c.Stderr = os.Stderr
	return c
}

// readElsewhere reads a file in another process.
func readElsewhere(path string) ([]byte, error) { return child("cat", path).Output() }

// lines starts a child and returns what it writes, line by line. The channel
// is closed when the child ends.
func lines(t *testing.T, c *exec.Cmd) <-chan string {
	t.Helper()
	out, err := c.StdoutPipe()
	must(t, err)
	must(t, c.Start())
	ch := make(chan string, 1<<16)
	go func() {
		defer close(ch)
		for s := bufio.NewScanner(out); s.Scan(); {
			ch <- s.Text()
		}
	}()
	return ch
}
