package cli

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"
)

// dialog is the program on a terminal of its own.
type dialog struct {
	*host
	cmd       *exec.Cmd
	term, tty *os.File
	output    chan []byte
	seen      bytes.Buffer // all that appeared on the screen
	met       int          // how much of that was expected already
}

func (h *host) talk(args ...string) *dialog {
	h.t.Helper()
	return h.talkIn(nil, args...)
}

// talkIn is talk on a terminal of some size.
func (h *host) talkIn(size *pty.Winsize, args ...string) *dialog {
	h.t.Helper()
	d := &dialog{host: h, cmd: h.command(args...), output: make(chan []byte, 1024)}
	var err error
	if d.term, d.tty, err = pty.Open(); err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { d.term.Close(); d.tty.Close() })
	if size != nil {
		if err := pty.Setsize(d.tty, size); err != nil {
			h.t.Fatal(err)
		}
	}
	d.cmd.Stdin, d.cmd.Stdout, d.cmd.Stderr = d.tty, d.tty, d.tty
	d.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := d.cmd.Start(); err != nil {
		h.t.Fatal(err)
	}
	go d.read()
	return d
}

// expect reads the screen until a text appears after what was expected before.
func (d *dialog) expect(text string) *dialog {
	d.t.Helper()
	for {
		if i := strings.Index(d.seen.String()[d.met:], text); i >= 0 {
			d.met += i + len(text)
			return d
		}
		select {
		case part, ok := <-d.output:
			if !ok {
				d.t.Fatalf("the terminal closed before %q; the screen:\n%s", text, d.seen.String())
			}
			d.seen.Write(part)
		case <-time.After(patience):
			d.t.Fatalf("waiting for %q; the screen:\n%s", text, d.seen.String())
		}
	}
}

// read passes on what appears on the screen, until the terminal is closed.
func (d *dialog) read() {
	defer close(d.output)
	for {
		part := make([]byte, 1024)
		n, err := d.term.Read(part)
		if n > 0 {
			d.output <- part[:n]
		}
		if err != nil {
			return
		}
	}
}

// enter types a line.
func (d *dialog) enter(line string) *dialog {
	d.t.Helper()
	if _, err := io.WriteString(d.term, line+"\n"); err != nil {
		d.t.Fatal(err)
	}
	return d
}

// ends waits for the end of the program and returns the screen.
func (d *dialog) ends(status int) string {
	d.t.Helper()
	_ = d.cmd.Wait() // the exit status tells all
	const end = "[end of screen]"
	if _, err := io.WriteString(d.tty, end); err != nil {
		d.t.Fatal(err)
	}
	d.expect(end)
	if got := d.cmd.ProcessState.ExitCode(); got != status {
		d.t.Errorf("exit status %d, want %d; the screen:\n%s", got, status, d.seen.String())
	}
	d.noPIN(d.seen.String())
	return d.seen.String()
}

// terminate sends SIGTERM.
func terminate(t *testing.T, d *dialog) {
	t.Helper()
	if err := d.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
}

// echoes reports whether the terminal shows what is typed.
func (d *dialog) echoes() bool {
	d.t.Helper()
	t, err := unix.IoctlGetTermios(int(d.tty.Fd()), unix.TCGETS)
	if err != nil {
		d.t.Fatal(err)
	}
	return t.Lflag&unix.ECHO != 0
}

func TestPrompts(t *testing.T) {
	h := newHost(t)
	h.talk("hsm", "init", "--label", "lab").
		expect("New PIN of the HSM SO: ").enter(hsmPIN).expect("The same PIN again: ").enter(hsmPIN).
		expect("is initialised").ends(done)
	h.talk("partition", "create", "--name", "app").
		expect("PIN of the HSM SO: ").enter(hsmPIN).expect("is created").ends(done)
	h.talk("partition", "init", "--label", "app").
		expect("New PIN of the Partition SO").enter(soPIN).expect("again: ").enter(soPIN).expect("is initialised").ends(done)
	h.talk("role", "init", "--role", "co").
		expect("PIN of the Partition SO").enter(soPIN).
		expect("New PIN of the Crypto Officer").enter(pin).expect("again: ").enter(wrong).
		expect("differ; nothing was changed").ends(failed)
	h.talk("role", "init", "--role", "co").
		expect("PIN of the Partition SO").enter(soPIN).
		expect("New PIN of the Crypto Officer").enter(pin).expect("again: ").enter(pin).ends(done)
	h.talk("key", "list").expect("PIN of the Crypto Officer").enter(wrong).expect("9 of 10 tries are left").ends(failed)
	h.talk("key", "list").expect("(9 tries left): ").enter(pin).expect("No keys").ends(done)
	h.talk("key", "list", "--pin", "stdin").expect("PIN of the Crypto Officer").enter(pin).expect("No keys").ends(done)

	d := h.talk("hsm", "zeroize").expect("Type 'proceed'")
	d.enter("no").expect("nothing was changed").ends(failed)
	h.run(done, "key list --pin env:CO")
	h.talk("hsm", "zeroize").expect("Type 'proceed'").enter("proceed").expect("is zeroized").ends(done)
}

// Ctrl-C at a prompt ends the program, changes nothing and leaves a terminal
// that shows again what is typed.
func TestInterruptedPrompt(t *testing.T) {
	h := newHost(t)
	d := h.talk("partition", "init", "--label", "app").expect("New PIN of the Partition SO")
	if d.echoes() {
		t.Error("the terminal shows what is typed at a prompt for a PIN")
	}
	if _, err := io.WriteString(d.term, "half a P\x03"); err != nil {
		t.Fatal(err)
	}
	d.expect("interrupted").ends(interrupted)
	if !d.echoes() {
		t.Error("the terminal does not show what is typed")
	}
	if o := h.run(done, "slot list"); !strings.Contains(o.stdout, "free") {
		t.Errorf("something was changed:\n%s", o.stdout)
	}
	d = h.talk("hsm", "zeroize").expect("Type 'proceed'")
	if _, err := io.WriteString(d.term, "\x03"); err != nil {
		t.Fatal(err)
	}
	d.expect("interrupted").ends(interrupted)
}

// Ctrl-C while a key is generated leaves an HSM that is in order.
func TestInterruptedWork(t *testing.T) {
	h := ready(t)
	d := h.talk("key", "generate", "--type", "rsa:8192", "--label", "big", "--pin", "env:CO").expect("generating rsa:8192")
	if _, err := io.WriteString(d.term, "\x03"); err != nil {
		t.Fatal(err)
	}
	d.expect("interrupted").ends(interrupted)
	h.run(done, "key list --pin env:CO")
	o := h.run(done, "doctor --module "+h.module)
	if !strings.Contains(o.stdout, "OK    integrity") {
		t.Errorf("after an interruption:\n%s", o.stdout)
	}
}

func TestProgress(t *testing.T) {
	h := ready(t)
	h.talk("key", "generate", "--type", "rsa:4096", "--label", "k", "--pin", "env:CO").
		expect("generating rsa:4096 ").expect("Generated in").ends(done)
	o := h.run(done, "key generate --type rsa:2048 --pin env:CO")
	if o.stderr != "" {
		t.Errorf("progress without a terminal: %q", o.stderr)
	}
	o = h.run(done, "key generate --type rsa:2048 --pin env:CO --progress")
	if !strings.Contains(o.stderr, "generating rsa:2048\n") || strings.Contains(o.stderr, "\x1b") {
		t.Errorf("progress that was asked for: %q", o.stderr)
	}
	// Output that is piped stays clean even if progress shows on the terminal.
	file := filepath.Join(h.dir, "out.json")
	d := h.shell("exec " + h.program + " key list --json --pin env:CO > " + file)
	d.ends(done)
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	shape(t, string(text))
}

// shell is talk with a shell in between.
func (h *host) shell(line string) *dialog {
	h.t.Helper()
	program := h.program
	defer func() { h.program = program }()
	h.program = "/bin/sh"
	return h.talk("-c", line)
}
