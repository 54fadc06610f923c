// Package imports moves keys from where people keep them, SoftHSM and the files
// of OpenSSL and Java, with build/perilune, and looks whether they work in the
// library as they did at home.
package imports

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/miekg/pkcs11"

	"github.com/perilune/perilune/test/built"
)

// patience ends a program that hangs.
const patience = 2 * time.Minute

// host is a place with a partition and the program to administer it.
type host struct {
	*testing.T
	program, module, dir string
	env                  []string
}

const officerPIN = "very secret of co"

func newHost(t *testing.T) *host {
	t.Helper()
	dir := t.TempDir()
	h := &host{T: t, dir: dir, program: built.Program(t), module: built.Library(t)}
	conf := h.file("perilune.toml", built.CheapPINs)
	t.Setenv("PERILUNE_CONF", conf)
	t.Setenv("PERILUNE_HOME", filepath.Join(dir, "home"))
	h.env = append(os.Environ(), "SO=very secret of so", "CO="+officerPIN, "SOURCE=very secret source", "KEY=very secret key", "WRONG=very secret none")
	h.must("partition init --label app --so-pin env:SO")
	h.must("role init --role co --so-pin env:SO --new-pin env:CO")
	return h
}

// file makes a file in the host's directory.
func (h *host) file(name, text string) string {
	h.Helper()
	path := filepath.Join(h.dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		h.Fatal(err)
	}
	return path
}

// run runs the program in the host's directory.
func (h *host) run(args ...string) (stdout, stderr string, status int) {
	h.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, h.program, args...)
	cmd.Env, cmd.Dir = h.env, h.dir
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		h.Fatal(err)
	}
	if strings.Contains(out.String()+errs.String(), "very secret") {
		h.Errorf("a PIN was printed:\n%s%s", out.String(), errs.String())
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

func (h *host) must(line string) string {
	h.Helper()
	stdout, stderr, status := h.run(strings.Fields(line)...)
	if status != 0 {
		h.Fatalf("perilune %s: exit status %d\n%s%s", line, status, stdout, stderr)
	}
	return stdout
}

// refused runs a command line that must fail and say all of texts.
func (h *host) refused(line string, texts ...string) {
	h.Helper()
	stdout, stderr, status := h.run(strings.Fields(line)...)
	if status == 0 {
		h.Errorf("perilune %s succeeded:\n%s", line, stdout)
	}
	for _, text := range texts {
		if !strings.Contains(stdout+stderr, text) {
			h.Errorf("perilune %s does not say %q:\n%s%s", line, text, stdout, stderr)
		}
	}
}

// tool runs another program, and skips the test where it is missing: test/setup
// installs it, or fails in CI.
func (h *host) tool(name string, args ...string) string {
	h.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		if os.Getenv("CI") == "true" {
			h.Fatal(err)
		}
		h.Skipf("%s is not installed; test/setup installs it", name)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Env, cmd.Dir = append(h.env, "LC_ALL=C"), h.dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		h.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// report is what `perilune import --json` says.
type report struct {
	Imported, Skipped, Failed int
	Objects                   []struct {
		Source, Class, Type, Label, ID, Status, Reason, Proof string
		Handle                                                uint64
		NotCarried                                            []struct{ What, Why string } `json:"not_carried"`
	}
}

// imports runs an import with --json.
func (h *host) imports(line string) (r report) {
	h.Helper()
	stdout, stderr, _ := h.run(append(strings.Fields(line), "--pin", "env:CO", "--json")...)
	if err := json.Unmarshal([]byte(stdout), &r); err != nil {
		h.Fatalf("perilune %s: %v\n%s%s", line, err, stdout, stderr)
	}
	return r
}

// expect checks how many objects there were of each status, and that all keys
// were proven.
func (h *host) expect(r report, imported, skipped, failed int) {
	h.Helper()
	if r.Imported != imported || r.Skipped != skipped || r.Failed != failed {
		h.Errorf("%d imported, %d skipped, %d failed; want %d, %d, %d", r.Imported, r.Skipped, r.Failed, imported, skipped, failed)
		for _, o := range r.Objects {
			h.Logf("%+v", o)
		}
	}
	for _, o := range r.Objects {
		if (o.Class == "private" || o.Class == "secret") && o.Status == "imported" && o.Proof == "" {
			h.Errorf("%s %s was not proven", o.Type, o.Label)
		}
	}
}

// client is a module with somebody logged in.
type client struct {
	*testing.T
	m *pkcs11.Ctx
	s pkcs11.SessionHandle
}

func connect(t *testing.T, module, label, pin string) *client {
	t.Helper()
	m := pkcs11.New(module)
	if m == nil {
		t.Fatalf("%s does not load", module)
	}
	if err := m.Initialize(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Finalize(); m.Destroy() })
	slots, err := m.GetSlotList(true)
	if err != nil {
		t.Fatal(err)
	}
	for _, slot := range slots {
		if info, err := m.GetTokenInfo(slot); err != nil || strings.TrimRight(info.Label, " \x00") != label {
			continue
		}
		s, err := m.OpenSession(slot, pkcs11.CKF_SERIAL_SESSION|pkcs11.CKF_RW_SESSION)
		if err != nil {
			t.Fatal(err)
		}
		if err := m.Login(s, pkcs11.CKU_USER, pin); err != nil {
			t.Fatal(err)
		}
		return &client{t, m, s}
	}
	t.Fatalf("%s has no token %q", module, label)
	return nil
}

// app is the partition through the library.
func (h *host) app() *client { return connect(h.T, h.module, "app", officerPIN) }

func attr(t uint, v any) *pkcs11.Attribute { return pkcs11.NewAttribute(t, v) }

// key finds the one object of a class and label.
func (c *client) key(class uint, label string) pkcs11.ObjectHandle {
	c.Helper()
	if err := c.m.FindObjectsInit(c.s, []*pkcs11.Attribute{attr(pkcs11.CKA_CLASS, class), attr(pkcs11.CKA_LABEL, label)}); err != nil {
		c.Fatal(err)
	}
	found, _, err := c.m.FindObjects(c.s, 2)
	if err := c.m.FindObjectsFinal(c.s); err != nil {
		c.Fatal(err)
	}
	if err != nil || len(found) != 1 {
		c.Fatalf("class %d, label %q: found %v, %v", class, label, found, err)
	}
	return found[0]
}

// read reads attributes; nil where there is none.
func (c *client) read(h pkcs11.ObjectHandle, t uint) []byte {
	list, err := c.m.GetAttributeValue(c.s, h, []*pkcs11.Attribute{attr(t, nil)})
	if err != nil {
		return nil
	}
	return list[0].Value
}

func (c *client) sign(m uint, key pkcs11.ObjectHandle, text []byte) []byte {
	c.Helper()
	if err := c.m.SignInit(c.s, []*pkcs11.Mechanism{pkcs11.NewMechanism(m, nil)}, key); err != nil {
		c.Fatalf("mechanism %#x: %v", m, err)
	}
	b, err := c.m.Sign(c.s, text)
	if err != nil {
		c.Fatalf("mechanism %#x: %v", m, err)
	}
	return b
}

func (c *client) verify(m uint, key pkcs11.ObjectHandle, text, signature []byte) {
	c.Helper()
	if err := c.m.VerifyInit(c.s, []*pkcs11.Mechanism{pkcs11.NewMechanism(m, nil)}, key); err != nil {
		c.Fatalf("mechanism %#x: %v", m, err)
	}
	if err := c.m.Verify(c.s, text, signature); err != nil {
		c.Errorf("mechanism %#x: %v", m, err)
	}
}

// kill runs the program until what it said on stderr satisfies enough, and kills
// it there.
func (h *host) kill(enough func(string) bool, args ...string) {
	h.Helper()
	cmd := exec.Command(h.program, args...)
	cmd.Env, cmd.Dir = h.env, h.dir
	stderr, err := cmd.StderrPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		h.Fatal(err)
	}
	var said bytes.Buffer
	for b := make([]byte, 1); !enough(said.String()); {
		if _, err := stderr.Read(b); err != nil {
			h.Fatalf("it ended before: %v\n%s", err, said.String())
		}
		said.Write(b)
	}
	if err := cmd.Process.Kill(); err != nil {
		h.Fatal(err)
	}
	_ = cmd.Wait()
}
