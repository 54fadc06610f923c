package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/cryptoki/p11"
)

// shell is a run of `perilune shell`: what lasts longer than one command.
type shell struct {
	*app
	chosen string // number of the slot that commands work on, empty for none
	logins map[ck.SlotID]login
	ended  bool // `exit` was entered
}

// login is a role that stays logged in. Its session keeps it so.
type login struct {
	target  target
	role    p11.Role
	session ck.SessionHandle
}

// lineSource is where a shell's lines come from.
type lineSource interface {
	// next returns a line, io.EOF at the end, or errDropped.
	next(ctx context.Context, prompt string) (string, error)
	// keep is told which lines are worth to be offered again.
	keep(line string)
	// interactive tells that somebody sees what fails, and goes on.
	interactive() bool
}

// errDropped is a line that was given up with Ctrl-C.
var errDropped = errors.New("dropped")

func (a *app) shellCommand() *cobra.Command {
	var (
		commands             []string
		keepGoing, noHistory bool
	)
	cmd := a.command("shell", "Run many commands on the open HSM, interactively or from a script", `Runs commands one after the other, with the HSM open and roles logged in all the
while. A command is what stands behind 'perilune' elsewhere, with words quoted
as in other shells ('...', "...", \), and # before a comment. These are more:

  use PARTITION      work on this partition (name, label, serial or slot number)
  login --role co    log a role in, and use its partition; logout ends it
  help COMMAND       explain a command
  exit               end, as Ctrl-D does

Commands of the role that is logged in need no PIN. On a terminal, lines can be
edited, completed with the Tab key and found again with the arrow keys and
Ctrl-R; Ctrl-C drops a line. Lines whose commands and flags are known are kept in
$XDG_STATE_HOME/perilune/history, where ~/.local/state is the default. PINs are not.

Without a terminal, or with -c, the first command that fails ends the shell with
its exit status.`,
		func(cmd *cobra.Command, _ []string) error {
			sh := &shell{app: a, logins: map[ck.SlotID]login{}}
			a.shell = sh
			if len(commands) == 0 && a.editable {
				return sh.interact(!noHistory)
			}
			var src lineSource = &plainLines{app: a}
			if len(commands) > 0 {
				src = &givenLines{lines: commands}
			}
			return sh.obey(cmd.Context(), src, keepGoing)
		})
	cmd.Flags().StringArrayVarP(&commands, "command", "c", nil, "run this `line` and those of further -c, instead of reading lines")
	cmd.Flags().BoolVarP(&keepGoing, "keep-going", "k", false, "go on after a command that fails; the exit status is that of the first one")
	cmd.Flags().BoolVar(&noHistory, "no-history", false, "neither read nor write the file of former lines")
	return cmd
}

// interact obeys somebody at a terminal. Ctrl-C ends a command, never the shell.
func (sh *shell) interact(history bool) error {
	ctx, stop := signal.NotifyContext(sh.base, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	e := newEditor(sh, history)
	defer e.close()
	asked := sh.terminal
	sh.terminal = e
	defer func() { sh.terminal = asked }()
	fmt.Fprintln(sh.stdout, "`help` lists the commands, Tab completes them, `exit` ends.")
	return sh.obey(ctx, e, true)
}

// obey runs lines until they end, or one fails and nobody said to go on.
func (sh *shell) obey(ctx context.Context, src lineSource, keepGoing bool) error {
	first := exitDone
	for n := 1; !sh.ended; n++ {
		sh.refresh(ctx)
		line, err := src.next(ctx, sh.prompt(ctx))
		switch {
		case errors.Is(err, errDropped):
			continue
		case errors.Is(err, io.EOF):
			sh.ended = true
			continue
		case err != nil:
			return err
		}
		status := sh.line(ctx, line)
		if sh.started {
			src.keep(line)
		}
		if status == exitDone || src.interactive() {
			continue
		}
		if first == exitDone {
			first = status
		}
		if !keepGoing || status == exitInterrupted {
			fmt.Fprintf(sh.stderr, "perilune: the shell stopped at line %d\n", n)
			break
		}
	}
	if first != exitDone {
		return silentError(first)
	}
	return nil
}

// line runs one line and returns its exit status.
func (sh *shell) line(ctx context.Context, text string) int {
	sh.started = false
	args, err := words(text)
	if err != nil {
		return sh.report(ctx, usagef("%v", err))
	}
	if len(args) > 0 && args[0] == "perilune" {
		args = args[1:]
	}
	if len(args) == 0 {
		return exitDone
	}
	status := sh.execute(ctx, args)
	started := sh.started
	sh.tidy(ctx)
	sh.started = started
	return status
}

// tidy ends what a command left behind: its sessions, and with the last session
// of a slot its login, but for those that are to stay.
func (sh *shell) tidy(ctx context.Context) {
	sessions := sh.sessions
	sh.sessions = nil
	if sh.busy {
		// A request still runs and cannot be waited for. The HSM is opened anew.
		sh.busy, sh.module = false, nil
		if len(sh.logins) > 0 {
			clear(sh.logins)
			fmt.Fprintln(sh.stderr, "perilune: the interruption has ended all logins")
		}
		return
	}
	ctx = context.WithoutCancel(ctx)
	for _, s := range sessions {
		_, _ = p11.Call(ctx, sh.module, &p11.CloseSession{Session: s}) // it may be gone
	}
}

// refresh forgets logins that have ended and a choice that is gone.
func (sh *shell) refresh(ctx context.Context) {
	for slot, l := range sh.logins {
		info, err := p11.Call(ctx, sh.module, &p11.GetSessionInfo{Session: l.session})
		if err == nil && info.State != ck.CKS_RW_PUBLIC_SESSION && info.State != ck.CKS_RO_PUBLIC_SESSION {
			continue
		}
		delete(sh.logins, slot)
		if err == nil {
			_, _ = p11.Call(ctx, sh.module, &p11.CloseSession{Session: l.session})
		}
		fmt.Fprintf(sh.stderr, "perilune: the %s of %s is no longer logged in\n", l.role, l.target)
	}
	if _, err := sh.theChosen(ctx); err != nil {
		sh.chosen = ""
	}
}

// theChosen is the partition that was chosen by `use` or `login`.
func (sh *shell) theChosen(ctx context.Context) (target, error) {
	if sh.chosen == "" {
		return target{}, nil
	}
	list, err := sh.targets(ctx)
	if err != nil {
		return target{}, err
	}
	return bySlot(list, sh.chosen)
}

// prompt shows the HSM, the chosen partition, and who is logged in to them:
// lab[so] app[co]>
func (sh *shell) prompt(ctx context.Context) string {
	name := "perilune"
	if m, err := sh.hsm(ctx); err == nil {
		if info, err := p11.Call(ctx, m, &p11.GetHSMInfo{}); err == nil && info.Label != "" {
			name = info.Label
		}
	}
	text := short(name) + sh.badge(p11.AdminSlot)
	if t, err := sh.theChosen(ctx); err == nil && sh.chosen != "" {
		text += " " + short(or(t.info.Label, or(t.info.Name, "slot "+sh.chosen))) + sh.badge(t.slot)
	}
	return text + "> "
}

func (sh *shell) badge(slot ck.SlotID) string {
	l, ok := sh.logins[slot]
	if !ok {
		return ""
	}
	return "[" + shortOf(l.role) + "]"
}

// short is a name for the prompt, which a terminal must have room for.
func short(name string) string {
	const most = 16
	r := []rune(printable(name))
	if len(r) > most {
		return string(r[:most-1]) + "~"
	}
	return string(r)
}

// held is the login that a shell keeps on a slot.
func (a *app) held(slot ck.SlotID) (l login, ok bool) {
	if a.shell != nil {
		l, ok = a.shell.logins[slot]
	}
	return l, ok
}

// mayJoin refuses a role where the shell keeps another one logged in: a program
// is one role on a slot (PKCS#11 section 5.6.8, C_Login).
func (a *app) mayJoin(doing string, t target, role p11.Role) error {
	l, ok := a.held(t.slot)
	if !ok || l.role == role {
		return nil
	}
	return &problem{doing: doing, err: fmt.Errorf("the %s is logged in there: %w", l.role, ck.CKR_USER_ANOTHER_ALREADY_LOGGED_IN), fix: "`logout` ends that"}
}

// shellCommands are the commands that only a shell has. The device's tools have
// them with the roles and slots.
func (sh *shell) addCommands(root *cobra.Command) {
	for _, c := range root.Commands() {
		switch c.Name() {
		case "role":
			c.AddCommand(sh.loginCommand(), sh.logoutCommand())
		case "slot":
			c.AddCommand(sh.slotSetCommand())
		case "shell":
			root.RemoveCommand(c)
		}
	}
	root.AddCommand(sh.useCommand(), sh.loginCommand(), sh.logoutCommand(), sh.exitCommand())
}

func (sh *shell) loginCommand() *cobra.Command {
	var (
		at   *targetFlags
		role *string
		pins pinFlags
	)
	cmd := sh.command("login", "Log a role in until `logout`, and use its partition", `Logs a role in until 'logout' or the end of the shell. Commands of that role need
no PIN then. The PIN is --hsm-so-pin for the HSM SO, --audit-pin for the Auditor,
--so-pin for the Partition SO, and --pin for the other roles.`,
		func(cmd *cobra.Command, _ []string) error {
			ctx := cmd.Context()
			d, err := roleNamed(*role)
			if err != nil {
				return err
			}
			if err := pins.only("logging in as "+d.role.String(), d.flag); err != nil {
				return err
			}
			t, err := sh.placeOf(ctx, d, at)
			if err != nil {
				return err
			}
			return sh.logIn(ctx, t, d, pins[d.flag])
		})
	at = sh.targetFlags(cmd)
	role = roleFlag(cmd, "co", roleNames()...)
	pins = newPINFlags(cmd, loginFlags()...)
	return cmd
}

func (sh *shell) logIn(ctx context.Context, t target, d roleDef, pin *pinFlag) error {
	if l, ok := sh.held(t.slot); ok && l.role == d.role {
		return &problem{doing: fmt.Sprintf("cannot log in as %s of %s", d.role, t), err: errors.New("the role is logged in already"), fix: "`logout` ends that"}
	}
	_, session, err := sh.login(ctx, t, d.role, pin, d.flag)
	if err != nil {
		return err
	}
	sh.sessions = slices.DeleteFunc(sh.sessions, func(s ck.SessionHandle) bool { return s == session })
	sh.logins[t.slot] = login{target: t, role: d.role, session: session}
	if t.slot != p11.AdminSlot {
		sh.chosen = fmt.Sprint(uint64(t.slot))
	}
	fmt.Fprintf(sh.stdout, "The %s of %s is logged in.\n", d.role, t)
	return nil
}

func (sh *shell) logoutCommand() *cobra.Command {
	var role *string
	cmd := sh.command("logout", "Log out all roles, or one", "", func(cmd *cobra.Command, _ []string) error {
		gone := maps.Clone(sh.logins)
		if *role != "" {
			d, err := roleNamed(*role)
			if err != nil {
				return err
			}
			maps.DeleteFunc(gone, func(_ ck.SlotID, l login) bool { return l.role != d.role })
		}
		if len(gone) == 0 {
			return &problem{doing: "cannot log out", err: errors.New("nobody is logged in"), fix: "`login` logs a role in"}
		}
		for _, slot := range slices.Sorted(maps.Keys(gone)) {
			l := gone[slot]
			if _, err := p11.Call(cmd.Context(), sh.module, &p11.CloseSession{Session: l.session}); err != nil {
				return failing(err, "cannot log out the %s of %s", l.role, l.target)
			}
			delete(sh.logins, slot)
			fmt.Fprintf(sh.stdout, "The %s of %s is logged out.\n", l.role, l.target)
		}
		return nil
	})
	role = cmd.Flags().String("role", "", "log out this role only: "+strings.Join(roleNames(), ", "))
	_ = cmd.RegisterFlagCompletionFunc("role", cobra.FixedCompletions(roleNames(), cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

func (sh *shell) useCommand() *cobra.Command {
	cmd := sh.command("use [PARTITION]", "Work on this partition from now on; without one, on none in particular", `Chooses the partition that commands work on if they are not told another one, by
name, label, serial number or number of its slot. Without a name the choice ends.
'partition delete' still wants to be told.`,
		func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				sh.chosen = ""
				fmt.Fprintln(sh.stdout, "No partition is chosen.")
				return nil
			}
			list, err := sh.targets(cmd.Context())
			if err != nil {
				return err
			}
			t, err := byPartition(list, args[0])
			if err != nil {
				if s, slotErr := bySlot(list, args[0]); slotErr == nil {
					t, err = s, nil
				}
			}
			return sh.choose(t, err)
		})
	cmd.Args = func(_ *cobra.Command, args []string) error {
		if len(args) > 1 {
			return usagef("`use` takes one partition; a name with blanks stands in quotes")
		}
		return nil
	}
	cmd.ValidArgsFunction = sh.completeTargets(partitionCompletion)
	return cmd
}

func (sh *shell) choose(t target, err error) error {
	if err != nil {
		return err
	}
	sh.chosen = fmt.Sprint(uint64(t.slot))
	fmt.Fprintf(sh.stdout, "Commands work on %s.\n", t)
	return nil
}

func (sh *shell) slotSetCommand() *cobra.Command {
	var at *targetFlags
	cmd := sh.command("set", "Work on this slot from now on, as `use` does", "", func(cmd *cobra.Command, _ []string) error {
		if !at.given() {
			return usagef("say which slot, with --slot or --partition")
		}
		return sh.choose(sh.target(cmd.Context(), at, nil, "", ""))
	})
	at = sh.targetFlags(cmd)
	return cmd
}

func (sh *shell) exitCommand() *cobra.Command {
	cmd := sh.command("exit", "End the shell", "", func(*cobra.Command, []string) error {
		sh.ended = true
		return nil
	})
	cmd.Aliases = []string{"quit"}
	return cmd
}
