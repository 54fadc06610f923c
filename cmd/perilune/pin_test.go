package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestPINFromFile(t *testing.T) {
	b := ready(t)
	pin := b.env[co]
	dir := t.TempDir()
	for i, c := range []struct {
		text string
		mode os.FileMode
		want string // of the message; empty if the PIN is good
	}{
		{pin, 0o600, ""},
		{pin + "\n", 0o400, ""},
		{pin + "\r\n", 0o640, ""},
		{pin, 0o644, "chmod"},
		{pin, 0o602, "chmod"},
		{pin, 0o660, "chmod"},
		{"", 0o600, "is empty"},
		{"\n", 0o600, "is empty"},
		{pin + "\nmore\n", 0o600, "more than one line"},
		{strings.Repeat("x", 5000), 0o600, "more than one line"},
	} {
		path := filepath.Join(dir, fmt.Sprint(i))
		write(t, path, c.text)
		if err := os.Chmod(path, c.mode); err != nil {
			t.Fatal(err)
		}
		if c.want == "" {
			b.do("key list --pin file:" + path)
		} else {
			b.fails(exitFailed, "key list --pin file:"+path, c.want, "PIN of the Crypto Officer")
		}
	}
	b.fails(exitFailed, "key list --pin file:"+filepath.Join(dir, "none"), "no such file")
}

func TestPINFromEnvironment(t *testing.T) {
	b := ready(t)
	b.fails(exitFailed, "key list --pin env:NOT_SET", "NOT_SET is empty or not set")
	for _, source := range []string{"env:", "file:", "fd:", "fd:-1", "fd:x", "ENV:CO", "CO", "std-in"} {
		b.fails(exitUsage, "key list --pin "+source, "--pin")
	}
}

func TestPINFromStandardInput(t *testing.T) {
	b := ready(t)
	b.stdin = b.env[co] + "\n"
	b.do("key list --pin stdin")
	b.stdin = b.env[co] // without a newline
	b.do("key list --pin fd:0")
	// In the order in which they are needed: who acts first, then the new PIN.
	b.stdin = b.env[co] + "\r\n" + b.env[other] + "\n"
	b.do("role changepw --role co --pin stdin --new-pin stdin")
	b.do("key list --pin env:OTHER")

	b.stdin = ""
	b.fails(exitFailed, "key list --pin stdin", "the standard input ended")
	b.stdin = "\n"
	b.fails(exitFailed, "key list --pin stdin", "empty line")
	b.stdin = strings.Repeat("x", 10000)
	b.fails(exitFailed, "key list --pin stdin", "too long for a PIN")
}

func TestPINFromDescriptor(t *testing.T) {
	b := ready(t)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	fmt.Fprintf(w, "%s\n%s\n", b.env[co], b.env[other])
	w.Close()
	n, err := unix.Dup(int(r.Fd())) // the program's own
	if err != nil {
		t.Fatal(err)
	}
	fd := fmt.Sprintf("fd:%d", n)
	b.do("role changepw --role co --pin " + fd + " --new-pin " + fd)
	b.fails(exitFailed, "key list --pin fd:987", "descriptor 987")
}

func TestPrompts(t *testing.T) {
	b := newBench(t)
	b.answers = []string{b.env[hsmSO], b.env[hsmSO]}
	b.do("hsm init --label lab")
	b.answers = []string{b.env[hsmSO]}
	b.do("partition create --name app")
	b.answers = []string{b.env[po], b.env[po]}
	b.do("partition init --label app")
	b.answers = []string{b.env[po], b.env[co], b.env[co]}
	b.do("role init --role co")
	b.answers = []string{b.env[co]}
	b.do("key list")

	// A standard input that is a terminal is asked, not read: nobody watches.
	b.answers = []string{b.env[co]}
	b.do("key list --pin stdin")

	b.answers = []string{b.env[co], b.env[other], b.env[cu]}
	b.fails(exitFailed, "role init --role cu", "the two PINs differ; nothing was changed")
	b.answers = []string{""}
	b.fails(exitFailed, "key list", "no PIN was entered")

	// Prompts say whose PIN is wanted, and how many tries are left.
	b.answers = []string{b.env[other]}
	b.fails(exitFailed, "key list", "9 of 10")
	b.prompts, b.answers = nil, []string{b.env[other]}
	b.fails(exitFailed, "key list", "8 of 10")
	if want := `PIN of the Crypto Officer of partition "app" (slot 0) (9 tries left): `; len(b.prompts) != 1 || b.prompts[0] != want {
		t.Errorf("prompts %q, want %q", b.prompts, want)
	}
}
