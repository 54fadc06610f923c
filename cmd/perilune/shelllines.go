package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"unicode/utf8"

	"github.com/peterh/liner"
	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/perilune/perilune/config"
)

// givenLines are the lines of -c.
type givenLines struct{ lines []string }

func (g *givenLines) next(ctx context.Context, _ string) (string, error) {
	if len(g.lines) == 0 {
		return "", io.EOF
	}
	line := g.lines[0]
	g.lines = g.lines[1:]
	return line, ctx.Err()
}

func (*givenLines) keep(string)       {}
func (*givenLines) interactive() bool { return false }

// plainLines are the lines of the standard input. PINs of `--pin stdin` come
// from there as well, so both read through one buffer.
type plainLines struct{ *app }

func (p *plainLines) next(ctx context.Context, prompt string) (string, error) {
	if p.terminal == nil {
		return p.nextLine(ctx)
	}
	line, err := p.terminal.line(ctx, prompt)
	if err == nil && line == "" {
		err = io.EOF
	}
	return line, err
}

// maxLine bounds a line of a script.
const maxLine = 64 * 1024

func (p *plainLines) nextLine(ctx context.Context) (string, error) {
	line, err := wait(ctx, func() (string, error) {
		var line []byte
		for r := p.reader(0); ; {
			part, err := r.ReadSlice('\n')
			line = append(line, part...)
			if len(line) > maxLine {
				return "", errors.New("a line of the standard input is longer than 64 KiB")
			}
			if err == nil || errors.Is(err, io.EOF) && len(line) > 0 {
				return string(line), nil
			}
			if !errors.Is(err, bufio.ErrBufferFull) {
				return "", err
			}
		}
	})
	return line, err
}

func (*plainLines) keep(string)         {}
func (p *plainLines) interactive() bool { return p.terminal != nil }

// editor reads lines from a terminal, with editing, completion and history, and
// asks there for PINs. The terminal is its own only while it reads: commands
// find it as it was.
type editor struct {
	sh           *shell
	liner        *liner.State
	cooked, edit liner.ModeApplier
	history      *history
}

func newEditor(sh *shell, keep bool) *editor {
	e := &editor{sh: sh}
	e.cooked, _ = liner.TerminalMode()
	e.liner = liner.NewLiner()
	noSignals()
	e.edit, _ = liner.TerminalMode()
	_ = e.cooked.ApplyMode()
	e.liner.SetCtrlCAborts(true)
	e.liner.SetTabCompletionStyle(liner.TabPrints)
	e.liner.SetBeep(false)
	if keep {
		e.history = openHistory(sh.env)
		_, _ = e.liner.ReadHistory(strings.NewReader(e.history.load()))
	}
	return e
}

// noSignals makes Ctrl-C a key like others from before the prompt shows, not only
// from when the editor waits for keys.
func noSignals() {
	fd := int(os.Stdin.Fd())
	if mode, err := unix.IoctlGetTermios(fd, unix.TCGETS); err == nil {
		mode.Lflag &^= unix.ISIG
		_ = unix.IoctlSetTermios(fd, unix.TCSETS, mode)
	}
}

func (e *editor) close() { _ = e.liner.Close() }

func (*editor) interactive() bool { return true }

func (e *editor) keep(line string) {
	e.liner.AppendHistory(line)
	if e.history != nil {
		e.history.append(line)
	}
}

func (e *editor) next(ctx context.Context, prompt string) (string, error) {
	e.liner.SetWordCompleter(func(line string, pos int) (string, []string, string) { return e.sh.complete(ctx, line, pos) })
	defer e.liner.SetWordCompleter(nil)
	line, err := e.read(ctx, func() (string, error) { return e.liner.Prompt(prompt) })
	if errors.Is(err, io.EOF) {
		fmt.Fprintln(e.sh.stdout)
	}
	return line, err
}

// secret implements terminal. Ctrl-C ends the command that asks.
func (e *editor) secret(ctx context.Context, prompt string) ([]byte, error) {
	pin, err := e.read(ctx, func() (string, error) { return e.liner.PasswordPrompt(printable(prompt)) })
	return []byte(pin), e.asked(ctx, err)
}

// line implements terminal.
func (e *editor) line(ctx context.Context, prompt string) (string, error) {
	answer, err := e.read(ctx, func() (string, error) { return e.liner.Prompt(printable(prompt)) })
	return answer, e.asked(ctx, err)
}

func (e *editor) asked(ctx context.Context, err error) error {
	switch {
	case errors.Is(err, errDropped):
		e.sh.cancel()
		return ctx.Err()
	case errors.Is(err, io.EOF):
		return errors.New("the input ended where an answer was expected; nothing was changed")
	}
	return err
}

// read reads with the terminal in the editor's mode. Signals that would leave it
// so are kept off.
func (e *editor) read(ctx context.Context, fn func() (string, error)) (string, error) {
	interrupts := make(chan os.Signal, 1)
	signal.Notify(interrupts, os.Interrupt)
	defer signal.Stop(interrupts)
	if err := e.edit.ApplyMode(); err != nil {
		return "", fmt.Errorf("cannot read from the terminal: %w", err)
	}
	defer func() { _ = e.cooked.ApplyMode() }()
	text, err := wait(ctx, fn)
	if errors.Is(err, liner.ErrPromptAborted) {
		err = errDropped
	}
	return text, err
}

// complete offers what could follow in a line, as the completion of other shells
// does: by the hidden command __complete.
func (sh *shell) complete(ctx context.Context, line string, pos int) (head string, candidates []string, tail string) {
	runes := []rune(line)
	before, tail := string(runes[:pos]), string(runes[pos:])
	s := split(before)
	args := s.words
	if len(args) > 0 && args[0] == "perilune" {
		args = args[1:]
	}
	var out strings.Builder
	started := sh.started
	root := sh.rootCommand()
	root.SetArgs(append(append([]string{cobra.ShellCompRequestCmd}, args...), s.word.String()))
	root.SetOut(&out)
	root.SetErr(io.Discard)
	err := root.ExecuteContext(ctx)
	sh.tidy(ctx)
	sh.started = started
	if err != nil {
		return before, nil, tail
	}
	return before[:s.start], candidatesOf(out.String(), s.word.String()), tail
}

// candidatesOf reads the answer of __complete: a candidate per line, with a
// description behind a tab, and what to do with them.
func candidatesOf(answer, word string) (list []string) {
	text, directive, _ := strings.Cut(answer, "\n:")
	if strings.HasPrefix(answer, ":") {
		text, directive = "", answer[1:]
	}
	var d cobra.ShellCompDirective
	_, _ = fmt.Sscan(directive, (*int)(&d))
	end := " "
	if d&cobra.ShellCompDirectiveNoSpace != 0 {
		end = ""
	}
	for c := range strings.Lines(text) {
		c, _, _ = strings.Cut(strings.TrimSuffix(c, "\n"), "\t")
		if c != "" && strings.HasPrefix(c, word) {
			list = append(list, quoted(c)+end)
		}
	}
	if len(list) == 0 && d&cobra.ShellCompDirectiveNoFileComp == 0 {
		list = filesOf(word)
	}
	return list
}

// filesOf completes the name of a file.
func filesOf(word string) (list []string) {
	dir, prefix := filepath.Split(word)
	entries, _ := os.ReadDir(or(dir, "."))
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), prefix) || prefix == "" && strings.HasPrefix(e.Name(), ".") {
			continue
		}
		if e.IsDir() {
			list = append(list, quoted(dir+e.Name()+"/"))
		} else {
			list = append(list, quoted(dir+e.Name())+" ")
		}
	}
	return list
}

// history is the file of former lines; nil if there is no place for one.
type history struct{ path string }

// openHistory finds the file: $XDG_STATE_HOME/perilune/history.
func openHistory(env config.Env) *history {
	dir := env("XDG_STATE_HOME")
	if dir == "" && env("HOME") != "" {
		dir = filepath.Join(env("HOME"), ".local", "state")
	}
	if !filepath.IsAbs(dir) {
		return nil
	}
	return &history{path: filepath.Join(dir, "perilune", "history")}
}

// open opens the file, which its owner alone may read, and follows no link.
func (h *history) open(flags int) (*os.File, error) {
	if err := os.MkdirAll(filepath.Dir(h.path), 0o700); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(h.path, flags|os.O_CREATE|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0o600)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is no file", h.path)
	}
	if err == nil {
		err = f.Chmod(0o600)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// maxHistory is the size in bytes from which the older half is forgotten.
const maxHistory = 256 * 1024

// load reads the lines. A history that cannot be read is an empty one: nobody
// misses it enough to be kept from working.
func (h *history) load() string {
	if h == nil {
		return ""
	}
	f, err := h.open(os.O_RDWR)
	if err != nil {
		return ""
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, 4*maxHistory))
	if err != nil || !utf8.Valid(b) {
		return ""
	}
	text := string(b)
	if len(text) > maxHistory {
		text = text[len(text)-maxHistory/2:]
		text = text[strings.IndexByte(text, '\n')+1:]
		if f.Truncate(0) == nil {
			_, _ = f.WriteAt([]byte(text), 0)
		}
	}
	return text
}

// append adds a line, in one write, for other shells may do the same.
func (h *history) append(line string) {
	f, err := h.open(os.O_WRONLY | os.O_APPEND)
	if err != nil {
		return
	}
	defer f.Close()
	_, _ = f.WriteString(strings.ReplaceAll(line, "\n", " ") + "\n")
}
