package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/peterh/liner"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/sys/unix"
	"golang.org/x/term"
)

// pinFlag is a flag that says where a PIN comes from.
type pinFlag struct {
	source  string
	prompts bool   // it is of a domain: "prompt" asks, and nothing means none
	kind    string // of the domain
}

// String is empty so that no text of the program can show what was given.
func (f *pinFlag) String() string { return "" }

// Set implements pflag.Value. It refuses nothing, because pflag would repeat
// what it refused, and that may be a PIN: checkPINFlags does.
func (f *pinFlag) Set(source string) error { f.source = source; return nil }

// Type is what help calls the value.
func (f *pinFlag) Type() string { return "source" }

// pin adds a PIN flag to a command.
func pin(cmd *cobra.Command, name, whose string) *pinFlag {
	f := new(pinFlag)
	cmd.Flags().Var(f, name, whose+": env:NAME, file:PATH, fd:N or stdin (default: asks)")
	_ = cmd.RegisterFlagCompletionFunc(name, cobra.FixedCompletions(
		[]string{"env:", "file:", "fd:", "stdin"}, cobra.ShellCompDirectiveNoSpace|cobra.ShellCompDirectiveNoFileComp))
	return f
}

// checkPINFlags refuses sources that are none before anything is done.
func checkPINFlags(flags *pflag.FlagSet) (err error) {
	flags.Visit(func(f *pflag.Flag) {
		if p, ok := f.Value.(*pinFlag); ok && err == nil {
			err = p.check("--" + f.Name)
		}
	})
	return err
}

const pinSources = "env:NAME, file:PATH, fd:N or stdin"

func (f *pinFlag) check(flag string) error {
	kind, rest, _ := strings.Cut(f.source, ":")
	switch {
	case f.source == "stdin", f.source == "prompt" && f.prompts:
		return nil
	case kind == "env" && rest != "", kind == "file" && rest != "":
		return nil
	case kind == "fd":
		if n, err := strconv.Atoi(rest); err == nil && n >= 0 {
			return nil
		}
		return usagef("%s: fd: takes the number of an open file descriptor, as in fd:3", flag)
	case kind == "env" || kind == "file":
		return usagef("%s: %s: needs a name after the colon", flag, kind)
	}
	if f.prompts {
		return usagef(`%s takes the place of a domain, not the domain: on the command line every user of this machine could read it.
  Give %s, or prompt to be asked. If that was a domain, choose another one.`, flag, pinSources)
	}
	return usagef(`%s takes the place of a PIN, not the PIN: on the command line every user of this machine could read it.
  Leave %s out to be asked, or give %s. If that was a PIN, choose a new one.`, flag, flag, pinSources)
}

// lineReaders keeps what was read beyond the first line of a descriptor, for
// the next PIN that comes from there.
type lineReaders map[int]*bufio.Reader

// read returns the PIN from the flag's source.
func (a *app) read(f *pinFlag) ([]byte, error) {
	kind, rest, _ := strings.Cut(f.source, ":")
	switch kind {
	case "env":
		v := a.env(rest)
		if v == "" {
			return nil, fmt.Errorf("the environment variable %s is empty or not set", rest)
		}
		return []byte(v), nil
	case "file":
		return readPINFile(rest)
	case "fd":
		n, _ := strconv.Atoi(rest)
		return a.readLine(n)
	}
	return a.readLine(0)
}

// maxPINFile bounds what is read from a file: a PIN has 255 bytes at most.
const maxPINFile = 1024

// readPINFile reads a file of one line. It refuses a file that any user can
// read or that others can write; members of its group may read it, so that a
// service can be given one.
func readPINFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if mode := info.Mode().Perm(); mode&0o026 != 0 {
		return nil, fmt.Errorf("other users can read or write the file %s (mode %04o); run: chmod go-w,o-r %s", path, mode, path)
	}
	b, err := io.ReadAll(io.LimitReader(f, maxPINFile))
	if err != nil {
		return nil, err
	}
	line := trimLine(b)
	if bytes.ContainsAny(line, "\r\n") || len(b) == maxPINFile {
		return nil, fmt.Errorf("the file %s has more than one line; it should hold the PIN and nothing else", path)
	}
	if len(line) == 0 {
		return nil, fmt.Errorf("the file %s is empty", path)
	}
	return line, nil
}

// reader is the one buffer that a descriptor is read through.
func (a *app) reader(fd int) *bufio.Reader {
	if a.lines == nil {
		a.lines = lineReaders{}
	}
	r := a.lines[fd]
	if r == nil {
		src := a.stdin
		if fd != 0 {
			src = os.NewFile(uintptr(fd), fmt.Sprintf("fd:%d", fd))
		}
		r = bufio.NewReaderSize(src, 2*maxPINFile)
		a.lines[fd] = r
	}
	return r
}

// readLine reads the next line of a descriptor.
func (a *app) readLine(fd int) ([]byte, error) {
	b, err := a.reader(fd).ReadSlice('\n')
	name := fmt.Sprintf("descriptor %d", fd)
	if fd == 0 {
		name = "the standard input"
	}
	line := bytes.Clone(trimLine(b))
	switch {
	case errors.Is(err, bufio.ErrBufferFull):
		return nil, fmt.Errorf("the line from %s is too long for a PIN", name)
	case err != nil && !errors.Is(err, io.EOF):
		return nil, fmt.Errorf("cannot read %s: %w", name, err)
	case len(line) == 0 && err != nil:
		return nil, fmt.Errorf("%s ended where a PIN was expected", name)
	case len(line) == 0:
		return nil, fmt.Errorf("%s gave an empty line where a PIN was expected", name)
	}
	return line, nil
}

func trimLine(b []byte) []byte {
	return bytes.TrimSuffix(bytes.TrimSuffix(b, []byte("\n")), []byte("\r"))
}

// asks reports whether a PIN is to be asked for: if nothing says where it comes
// from, and also if somebody would have to type it on the standard input, where
// everybody could watch.
func (a *app) asks(f *pinFlag) bool {
	return f.source == "" || a.terminal != nil && (f.source == "stdin" || f.source == "fd:0")
}

// currentPIN gets the PIN of somebody who has one. flag is the flag's name.
func (a *app) currentPIN(ctx context.Context, f *pinFlag, flag, whose string) ([]byte, error) {
	if !a.asks(f) {
		b, err := a.read(f)
		return b, failing(err, "cannot get the PIN of the %s (--%s)", whose, flag)
	}
	return a.ask(ctx, flag, fmt.Sprintf("PIN of the %s: ", whose))
}

// newPIN gets a PIN that is to be set; on the terminal twice.
func (a *app) newPIN(ctx context.Context, f *pinFlag, flag, whose string) ([]byte, error) {
	if !a.asks(f) {
		b, err := a.read(f)
		return b, failing(err, "cannot get the new PIN of the %s (--%s)", whose, flag)
	}
	return a.askTwice(ctx, flag, fmt.Sprintf("New PIN of the %s: ", whose), "PIN")
}

// askTwice asks for what is to be set, so that nobody sets what he mistyped.
func (a *app) askTwice(ctx context.Context, flag, prompt, what string) ([]byte, error) {
	first, err := a.ask(ctx, flag, prompt)
	if err != nil {
		return nil, err
	}
	again, err := a.ask(ctx, flag, "The same "+what+" again: ")
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(first, again) {
		return nil, fmt.Errorf("the two %ss differ; nothing was changed", what)
	}
	return first, nil
}

func (a *app) ask(ctx context.Context, flag, prompt string) ([]byte, error) {
	if a.terminal == nil {
		return nil, usagef("there is no terminal to ask for a PIN on; give --%s as %s", flag, pinSources)
	}
	b, err := a.terminal.secret(ctx, prompt)
	if err == nil && len(b) == 0 {
		err = errors.New("no PIN was entered; nothing was changed")
	}
	return b, err
}

// confirm asks before something is destroyed.
func (a *app) confirm(ctx context.Context, force bool, warning string) error {
	if force {
		return nil
	}
	if a.terminal == nil {
		return usagef("%s\n  There is no terminal to ask on: give --force if that is what you want.", warning)
	}
	fmt.Fprintln(a.stderr, warning)
	answer, err := a.terminal.line(ctx, "Type 'proceed' to go on: ")
	if err != nil {
		return err
	}
	if strings.TrimSpace(answer) != "proceed" {
		return errors.New("not confirmed; nothing was changed")
	}
	return nil
}

// forceFlag adds --force to a command that destroys something.
func forceFlag(cmd *cobra.Command) *bool {
	return cmd.Flags().Bool("force", false, "do not ask for confirmation")
}

// terminal is where people are asked. Both methods return an error of ctx when
// it ends first.
type terminal interface {
	secret(ctx context.Context, prompt string) ([]byte, error)
	line(ctx context.Context, prompt string) (string, error)
}

// findTerminals looks whether somebody sits at the standard input, and whether
// progress can be shown.
func (a *app) findTerminals() {
	fd := int(os.Stdin.Fd())
	if term.IsTerminal(fd) {
		a.terminal = console{fd: fd, in: bufio.NewReader(os.Stdin), out: os.Stderr}
	}
	if width, _, err := term.GetSize(int(os.Stdout.Fd())); err == nil {
		a.editable = a.terminal != nil && width > 0 && liner.TerminalSupported()
	}
	a.animate = term.IsTerminal(int(os.Stderr.Fd())) && a.env("TERM") != "dumb"
}

// console is the terminal of the standard input. Prompts go to stderr, so that
// output can be piped.
type console struct {
	fd  int
	in  *bufio.Reader
	out io.Writer
}

// secret switches the echo off before it asks, so that not even what is typed
// at once can be seen.
func (c console) secret(ctx context.Context, prompt string) ([]byte, error) {
	state, err := unix.IoctlGetTermios(c.fd, unix.TCGETS)
	if err != nil {
		return nil, fmt.Errorf("cannot ask on the terminal: %w", err)
	}
	silent := *state
	silent.Lflag = silent.Lflag&^unix.ECHO | unix.ICANON | unix.ISIG
	silent.Iflag |= unix.ICRNL
	if err := unix.IoctlSetTermios(c.fd, unix.TCSETS, &silent); err != nil {
		return nil, fmt.Errorf("cannot ask on the terminal: %w", err)
	}
	fmt.Fprint(c.out, prompt)
	// What waits must leave the terminal's mode alone: it may begin only when
	// Ctrl-C has ended this function already.
	b, err := wait(ctx, func() ([]byte, error) { return readLine(c.fd) })
	_ = unix.IoctlSetTermios(c.fd, unix.TCSETS, state)
	fmt.Fprintln(c.out)
	if errors.Is(err, io.EOF) {
		return nil, errors.New("the input ended where a PIN was expected; nothing was changed")
	}
	return b, err
}

// readLine reads a line, without its end; io.EOF if there is none.
func readLine(fd int) (line []byte, err error) {
	for b := make([]byte, 1); ; {
		switch n, err := unix.Read(fd, b); {
		case err == unix.EINTR:
		case err != nil:
			return nil, err
		case n == 0 && len(line) == 0:
			return nil, io.EOF
		case n == 0 || b[0] == '\n':
			return line, nil
		default:
			line = append(line, b[0])
		}
	}
}

func (c console) line(ctx context.Context, prompt string) (string, error) {
	fmt.Fprint(c.out, prompt)
	s, err := wait(ctx, func() (string, error) { return c.in.ReadString('\n') })
	if errors.Is(err, io.EOF) {
		err = nil
	}
	if ctx.Err() != nil || !strings.HasSuffix(s, "\n") {
		fmt.Fprintln(c.out)
	}
	return s, err
}

// wait runs fn, which cannot be interrupted, until it returns or ctx ends.
func wait[T any](ctx context.Context, fn func() (T, error)) (T, error) {
	type result struct {
		value T
		err   error
	}
	done := make(chan result, 1)
	go func() {
		v, err := fn()
		done <- result{v, err}
	}()
	select {
	case r := <-done:
		return r.value, r.err
	case <-ctx.Done():
		var zero T
		return zero, ctx.Err()
	}
}
