package clients

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// patience ends a command that hangs; no command comes near it otherwise.
const patience = 2 * time.Minute

// A client is one program at work on one token.
type client struct {
	*token
	t    *testing.T
	name string
}

// onEachModule runs f on a fresh token of every module, side by side.
func onEachModule(t *testing.T, needs []string, f func(c *client)) {
	t.Helper()
	onEachHome(t, append([]string{"pkcs11-tool"}, needs...), func(c *client) {
		c.initToken()
		f(c)
	})
}

// onEachHome is onEachModule with nothing initialised yet.
func onEachHome(t *testing.T, needs []string, f func(c *client)) {
	t.Helper()
	t.Parallel()
	requireTools(t, needs)
	name := t.Name()
	for _, m := range modules {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			f(&client{token: newHome(t, m), t: t, name: name})
		})
	}
}

// initToken makes the client's token with pkcs11-tool, which is the same
// program for every module.
func (c *client) initToken() {
	c.t.Helper()
	err := attempt(func() {
		s := &step{client: c}
		s.run("pkcs11-tool", "--module", c.library, "--init-token", "--slot-index", "0", "--label", c.label, "--so-pin", c.soPIN)
		s.run("pkcs11-tool", "--module", c.library, "--token-label", c.label, "--login", "--login-type", "so",
			"--so-pin", c.soPIN, "--init-pin", "--new-pin", c.pin)
	})
	if err != nil {
		c.t.Fatalf("making a token: %v", err)
	}
}

// step runs one thing that a user does with the client. It reports whether
// that was done, so that steps which build on it can be left out.
func (c *client) step(name string, f func(s *step)) bool {
	c.t.Helper()
	return c.t.Run(name, func(t *testing.T) {
		t.Helper()
		d := explained(c.name, name, c.module)
		if d != nil && d.never {
			t.Logf("explained difference, not tried: %s", d.why)
			return
		}
		judge(t, c.module, d, attempt(func() { f(&step{client: c}) }))
	}) && explained(c.name, name, c.module) == nil
}

// A step is a running step: its methods end it with an error when something
// is not as it should be.
type step struct {
	*client
	env []string // further environment of the commands
}

// attempt runs f, which ends early by panicking with an error.
func attempt(f func()) (err error) {
	defer func() {
		switch r := recover().(type) {
		case nil:
		case runtime.Error:
			panic(r) // a mistake of the test's own
		case error:
			err = r
		default:
			panic(r)
		}
	}()
	f()
	return nil
}

// must ends a step with an error.
func must(err error) {
	if err != nil {
		panic(err)
	}
}

func must2[T any](v T, err error) T {
	must(err)
	return v
}

func must3[T, U any](a T, b U, err error) (T, U) {
	must(err)
	return a, b
}

func (s *step) fail(format string, args ...any) {
	panic(fmt.Errorf(format, args...))
}

// run runs a command in the token's environment and returns what it printed
// to its standard output and error together.
func (s *step) run(name string, args ...string) string {
	return s.runWith(nil, name, args...)
}

// runWith is run with a standard input.
func (s *step) runWith(stdin []byte, name string, args ...string) string {
	return must2(s.try(stdin, name, args...))
}

// refuse runs a command that has to fail with want in its output.
func (s *step) refuse(want, name string, args ...string) {
	out, err := s.try(nil, name, args...)
	if err == nil {
		s.fail("%s %s succeeded, and had to fail with %q:\n%s", name, strings.Join(args, " "), want, out)
	}
	if !strings.Contains(out, want) {
		s.fail("%s failed without saying %q: %v", name, want, err)
	}
}

func (s *step) try(stdin []byte, name string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := s.command(ctx, name, args...)
	cmd.Stdin = bytes.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	if ctx.Err() != nil {
		err = fmt.Errorf("hung for %v", patience)
	}
	if err != nil {
		err = fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out), err
}

// command prepares a command with the token's environment and nothing of the
// caller's that could lead a client elsewhere.
func (s *step) command(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = s.dir
	cmd.Env = slices.Concat([]string{
		"PATH=" + os.Getenv("PATH") + ":/usr/sbin:/sbin",
		"HOME=" + s.dir,
		"TMPDIR=" + s.dir,
		"LC_ALL=C.UTF-8",
	}, s.token.env, s.env)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: s.credential}
	cmd.WaitDelay = 5 * time.Second
	return cmd
}

// path names a file in the scratch folder.
func (s *step) path(name string) string { return filepath.Join(s.dir, name) }

func (s *step) write(name string, data []byte) {
	must(os.WriteFile(s.path(name), data, 0o600))
	if s.credential != nil {
		must(os.Chown(s.path(name), int(s.credential.Uid), int(s.credential.Gid)))
	}
}

func (s *step) read(name string) []byte {
	data, err := os.ReadFile(s.path(name))
	must(err)
	return data
}

// contains checks that a text has all of the wanted parts.
func (s *step) contains(text string, wanted ...string) {
	for _, want := range wanted {
		if !strings.Contains(text, want) {
			s.fail("%q is missing in this output:\n%s", want, text)
		}
	}
}

func (s *step) equal(what string, got, want []byte) {
	if !bytes.Equal(got, want) {
		s.fail("%s: got %x, want %x", what, got, want)
	}
}

// judge compares what a step did with what the table of differences says.
func judge(t *testing.T, module string, d *difference, err error) {
	t.Helper()
	switch {
	case err == nil && d == nil:
	case err == nil:
		t.Errorf("%s does this now, so take the explained difference out of differences_test.go: %s", module, d.why)
	case d == nil:
		t.Error(err)
	case !strings.Contains(err.Error(), d.says):
		t.Errorf("the explained difference says %q, and this is something else: %v", d.says, err)
	default:
		t.Logf("explained difference: %s", d.why)
	}
}

// skippedSomething tells TestMain that not every step had its chance.
var skippedSomething atomic.Bool

func requireTools(t *testing.T, tools []string) {
	t.Helper()
	for _, tool := range tools {
		if err := findTool(tool); err != nil {
			missing(t, err.Error())
		}
	}
}

func findTool(tool string) error {
	if filepath.IsAbs(tool) {
		return exists(tool)
	}
	if _, err := exec.LookPath(tool); err == nil {
		return nil
	}
	if exists(filepath.Join("/usr/sbin", tool)) == nil {
		return nil
	}
	return fmt.Errorf("%s is not installed", tool)
}

// missing ends a test for which the machine lacks something: an error in CI, a
// skip elsewhere, which -v shows and of which test/setup has warned.
func missing(t *testing.T, what string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf("%s; test/setup installs what these tests need", what)
	}
	fmt.Fprintf(os.Stderr, "NOT TESTED: %s: %s; test/setup installs what these tests need\n", t.Name(), what)
	skippedSomething.Store(true)
	t.Skip(what)
}
