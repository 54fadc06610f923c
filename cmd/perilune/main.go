// Command perilune administers a Perilune HSM: its partitions, roles and keys.
// It holds flags, prompts and words for people; all work is done by requests to
// the HSM (package p11), the same that the shared library makes.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/perilune/perilune/config"
	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/cryptoki/local"
	"github.com/perilune/perilune/cryptoki/p11"
)

// version is set by the linker: see the Makefile.
var version = "unknown"

// Exit statuses. They are part of the interface: docs/administration.md.
const (
	exitDone        = 0
	exitFailed      = 1
	exitUsage       = 2
	exitInterrupted = 130
)

func main() {
	a := &app{
		stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr,
		env: os.Getenv, open: openLocal, interruptible: untilSignal,
	}
	a.findTerminals()
	os.Exit(a.run(context.Background(), os.Args[1:]))
}

// untilSignal is a context that ends with Ctrl-C or SIGTERM.
func untilSignal(parent context.Context) (context.Context, context.CancelFunc) {
	ctx, stop := signal.NotifyContext(parent, os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the program at once
	return ctx, stop
}

// app is one run of the program.
type app struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	env            config.Env
	// open opens the HSM.
	open func(context.Context, *config.Config) (p11.Module, error)
	// terminal is where people are asked; nil if nobody is there.
	terminal terminal
	// editable says that lines can be edited on the terminal.
	editable bool
	// animate says that stderr is a terminal, on which progress can be shown.
	animate bool

	// interruptible makes the context of a command, which Ctrl-C ends; nil if
	// nobody interrupts.
	interruptible func(context.Context) (context.Context, context.CancelFunc)

	module   p11.Module // opened by hsm()
	sessions []ck.SessionHandle
	lines    lineReaders

	base   context.Context // of the program, which Ctrl-C does not end
	cancel func()          // ends the context of the command that runs
	shell  *shell          // nil outside of `perilune shell`

	started bool // a command's own code runs: flags and arguments were right
	busy    bool // a request was left behind by an interruption
}

func openLocal(ctx context.Context, c *config.Config) (p11.Module, error) {
	h, err := local.Open(ctx, c)
	if err != nil {
		return nil, err
	}
	return h, nil
}

// run runs the program and returns the exit status.
func (a *app) run(ctx context.Context, args []string) int {
	a.base = ctx
	status := a.execute(ctx, args)
	if a.module == nil || a.busy {
		return status
	}
	if err := a.module.Close(); err != nil && status == exitDone {
		return a.report(ctx, fmt.Errorf("cannot close the HSM: %w", err))
	}
	return status
}

// execute runs one command and returns its exit status.
func (a *app) execute(ctx context.Context, args []string) int {
	if a.interruptible != nil {
		var stop context.CancelFunc
		ctx, stop = a.interruptible(ctx)
		defer stop()
	}
	ctx, a.cancel = context.WithCancel(ctx)
	defer a.cancel()
	a.started = false
	root := a.rootCommand()
	root.SetArgs(args)
	root.SetIn(a.stdin)
	root.SetOut(a.stdout)
	root.SetErr(a.stderr)
	return a.report(ctx, root.ExecuteContext(ctx))
}

// report prints an error for people and returns the exit status.
func (a *app) report(ctx context.Context, err error) int {
	var silent silentError
	switch {
	case err == nil:
		return exitDone
	case errors.As(err, &silent):
		return int(silent)
	case ctx.Err() != nil, errors.Is(err, context.Canceled): // a shell has a context of its own
		fmt.Fprintln(a.stderr, "perilune: interrupted:", interruption(err))
		return exitInterrupted
	}
	fmt.Fprintln(a.stderr, "perilune:", describe(err))
	var usage usageError
	if !a.started || errors.As(err, &usage) {
		return exitUsage
	}
	return exitFailed
}

// silentError is an exit status about which everything was said already.
type silentError int

func (e silentError) Error() string { return fmt.Sprintf("exit status %d", int(e)) }

// hsm opens the HSM that the configuration names, once.
func (a *app) hsm(ctx context.Context) (p11.Module, error) {
	if a.module != nil {
		return a.module, nil
	}
	c, err := config.Load(a.env)
	if err != nil {
		return nil, err
	}
	m, err := a.open(ctx, c)
	if err != nil {
		return nil, &problem{doing: "cannot open the HSM in " + c.Home, err: err,
			fix: "`perilune doctor` looks for the cause"}
	}
	a.module = m
	return m, nil
}

func (a *app) rootCommand() *cobra.Command {
	root := a.group("perilune", "Administers a Perilune software HSM", `Administers a Perilune software HSM: its partitions, roles and keys.

PINs are asked for on the terminal, or come from where a flag says:
  env:NAME    the environment variable NAME
  file:PATH   the file PATH, which other users may not read
  fd:N        the next line of the open file descriptor N
  stdin       the next line of the standard input
A PIN itself is never written on the command line.

Exit status: 0 done, 1 failed, 2 wrong usage, 130 interrupted.`)
	root.Version = thisVersion().String()
	root.SetVersionTemplate("{{.Version}}\n")
	root.SilenceErrors = true
	root.SilenceUsage = true
	root.PersistentPreRunE = a.checkFlags
	root.CompletionOptions.DisableDefaultCmd = true
	root.SetFlagErrorFunc(flagError)
	root.AddCommand(
		a.hsmCommand(),
		a.partitionCommand(),
		a.roleCommand(),
		a.slotCommand(),
		a.keyCommand(),
		a.auditCommand(),
		a.importCommand(),
		a.profileCommand(),
		a.shellCommand(),
		a.doctorCommand(),
		a.versionCommand(),
		a.completionCommand(),
		a.manCommand(),
	)
	if a.shell != nil {
		a.shell.addCommands(root)
	}
	return root
}

// group is a command that only holds others.
func (a *app) group(use, short, long string) *cobra.Command {
	return &cobra.Command{
		Use: use, Short: short, Long: long,
		Args:                       cobra.ArbitraryArgs,
		DisableFlagsInUseLine:      true,
		SuggestionsMinimumDistance: 2,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				cmd.SetOut(a.stderr)
				_ = cmd.Help()
				return silentError(exitUsage)
			}
			err := fmt.Sprintf("there is no command %q", cmd.CommandPath()+" "+args[0])
			if like := cmd.SuggestionsFor(args[0]); len(like) > 0 {
				err += fmt.Sprintf("; did you mean %q?", cmd.CommandPath()+" "+like[0])
			} else {
				err += fmt.Sprintf("; `%s --help` lists the commands", cmd.CommandPath())
			}
			return usagef("%s", err)
		},
	}
}

// command is a command that does something. It takes no arguments unless Args
// is set afterwards.
func (a *app) command(use, short, long string, do func(cmd *cobra.Command, args []string) error) *cobra.Command {
	return &cobra.Command{
		Use: use, Short: short, Long: long,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 { // not repeated: it could be a PIN that lost its flag
				return usagef("`%s` takes flags only, no arguments; `%s --help` lists them", cmd.CommandPath(), cmd.CommandPath())
			}
			return nil
		},
		RunE: do,
	}
}
