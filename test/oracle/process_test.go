package oracle

import (
	"bufio"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// oracle is another implementation. Most are processes that answer lines.
type oracle struct {
	name string
	// start says how to start the process, after building it into a folder;
	// nil for oracles that are no process.
	start func(dir string) (*exec.Cmd, error)
	// ready is for those that are none.
	ready func() error

	once  sync.Once
	err   error
	cmd   *exec.Cmd
	in    io.WriteCloser
	lines *bufio.Reader
}

var (
	openssl = &oracle{name: "OpenSSL", start: func(dir string) (*exec.Cmd, error) {
		program := filepath.Join(dir, "openssl")
		return exec.Command(program), build(exec.Command("gcc", "-O1", "-o", program, "testdata/openssl.c", "-lcrypto", "-ldl"))
	}}
	// The program that has OpenSSL reaches libsodium, too.
	sodium = &oracle{name: "libsodium", start: openssl.start}
	bouncy = &oracle{name: "Bouncy Castle", start: func(dir string) (*exec.Cmd, error) {
		const jar = "/usr/share/java/bcprov.jar"
		if _, err := os.Stat(jar); err != nil {
			return nil, err
		}
		return exec.Command("java", "-cp", dir+":"+jar, "BouncyCastle"),
			build(exec.Command("javac", "-nowarn", "-cp", jar, "-d", dir, "testdata/BouncyCastle.java"))
	}}
)

func build(cmd *exec.Cmd) error {
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%v: %w\n%s", cmd, err, out)
	}
	return nil
}

// need ends a test whose oracle is not there: with a failure in CI, elsewhere
// with a skip that says what to install.
func (o *oracle) need(t *testing.T) {
	t.Helper()
	o.once.Do(func() { o.err = o.begin() })
	if o.err == nil {
		return
	}
	if os.Getenv("CI") == "true" {
		t.Fatalf("%s: %v (test/setup installs it)", o.name, o.err)
	}
	t.Skipf("LEFT OUT, for %s is not there: %v (test/setup installs it)", o.name, o.err)
}

func (o *oracle) begin() error {
	if o.start == nil {
		return o.ready()
	}
	dir, err := os.MkdirTemp(scratch, "")
	if err != nil {
		return err
	}
	cmd, err := o.start(dir)
	if err != nil {
		return err
	}
	cmd.Stderr = os.Stderr
	if o.in, err = cmd.StdinPipe(); err != nil {
		return err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	o.lines = bufio.NewReader(out)
	if err := cmd.Start(); err != nil {
		return err
	}
	o.cmd = cmd
	return nil
}

func stopOracles() {
	for _, o := range []*oracle{openssl, sodium, bouncy} {
		if o.cmd != nil {
			o.in.Close()
			o.cmd.Wait()
		}
	}
}

// ask sends a request: words, numbers, and byte strings.
func (o *oracle) ask(list ...any) ([]byte, error) {
	var line strings.Builder
	for i, w := range list {
		if i > 0 {
			line.WriteByte(' ')
		}
		if b, ok := w.([]byte); ok {
			w = hex.EncodeToString(b)
			if len(b) == 0 {
				w = "-"
			}
		}
		fmt.Fprint(&line, w)
	}
	if _, err := fmt.Fprintln(o.in, line.String()); err != nil {
		return nil, err
	}
	answer, err := o.lines.ReadString('\n')
	if err != nil {
		return nil, fmt.Errorf("it died of %.200s: %w", line.String(), err)
	}
	state, rest, _ := strings.Cut(strings.TrimSpace(answer), " ")
	switch {
	case state != "ok":
		return nil, errors.New(strings.TrimSpace(fmt.Sprintf("%.120s: %s", line.String(), rest)))
	case rest == "-":
		return nil, nil
	}
	return hex.DecodeString(rest)
}

// option is a word name=value for the parameters of OpenSSL's functions; bytes
// are given in hexadecimal under a name that begins with "hex".
func option(name string, value any) string {
	if b, ok := value.([]byte); ok {
		return fmt.Sprintf("hex%s=%x", name, b)
	}
	return fmt.Sprintf("%s=%v", name, value)
}
