package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// Manual pages are made from the commands, so that they are never out of date:
// their texts are plain, with what is to stay as it is indented by two blanks.

func (a *app) manCommand() *cobra.Command {
	cmd := a.command("man DIRECTORY", "Write the manual pages into a directory", `Writes the manual pages of this program, one for each command, into a directory,
which is made if there is none. 'man -l perilune-key-list.1' shows one.`,
		func(cmd *cobra.Command, args []string) error {
			if err := os.MkdirAll(args[0], 0o755); err != nil {
				return failing(err, "cannot write the manual pages")
			}
			n := 0
			for _, c := range manPages(cmd.Root()) {
				path := filepath.Join(args[0], manName(c)+".1")
				if err := os.WriteFile(path, manPage(c), 0o644); err != nil {
					return failing(err, "cannot write the manual pages")
				}
				n++
			}
			fmt.Fprintf(a.stdout, "%s written into %s.\n", count(n, "manual page"), args[0])
			return nil
		})
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if len(args) != 1 {
			return usagef("`%s` takes one directory", cmd.CommandPath())
		}
		return nil
	}
	return cmd
}

// manPages are the commands that have a page.
func manPages(c *cobra.Command) []*cobra.Command {
	list := []*cobra.Command{c}
	for _, sub := range c.Commands() {
		if sub.IsAvailableCommand() {
			list = append(list, manPages(sub)...)
		}
	}
	return list
}

func manName(c *cobra.Command) string { return strings.ReplaceAll(c.CommandPath(), " ", "-") }

// manPage is a page in the macros of man(7).
func manPage(c *cobra.Command) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, ".TH %s 1 \"\" %s Perilune\n", roff(strings.ToUpper(manName(c))), roffQuote("Perilune "+version))
	fmt.Fprintf(&b, ".SH NAME\n%s \\- %s\n", roff(manName(c)), roff(c.Short))
	b.WriteString(".SH SYNOPSIS\n")
	roffSynopsis(&b, c)
	b.WriteString(".SH DESCRIPTION\n")
	roffText(&b, or(c.Long, c.Short+"."))
	roffCommands(&b, c)
	roffOptions(&b, c)
	if !c.HasParent() {
		roffSurroundings(&b)
	}
	b.WriteString(".SH EXIT STATUS\n0 if done, 1 if failed, 2 for wrong usage, 130 if interrupted.\n")
	roffSeeAlso(&b, c)
	return b.Bytes()
}

func roffSynopsis(b *bytes.Buffer, c *cobra.Command) {
	_, arguments, _ := strings.Cut(c.Use, " ")
	fmt.Fprintf(b, ".B %s\n", roff(c.CommandPath()))
	if c.HasAvailableSubCommands() {
		arguments = "COMMAND"
	}
	c.LocalFlags().VisitAll(func(f *pflag.Flag) {
		if f.Hidden || f.Name == "help" || f.Name == "version" {
			return
		}
		text := roffFlag(f)
		if f.Annotations[cobra.BashCompOneRequiredFlag] == nil {
			text = "[" + text + "]"
		}
		b.WriteString(text + "\n")
	})
	if arguments != "" {
		fmt.Fprintf(b, "\\fI%s\\fR\n", roff(arguments))
	}
}

// roffFlag is a flag and its value.
func roffFlag(f *pflag.Flag) string {
	text := `\fB` + roff("--"+f.Name) + `\fR`
	if value, _ := pflag.UnquoteUsage(f); value != "" {
		text += ` \fI` + roff(value) + `\fR`
	}
	return text
}

func roffCommands(b *bytes.Buffer, c *cobra.Command) {
	if !c.HasAvailableSubCommands() {
		return
	}
	b.WriteString(".SH COMMANDS\n")
	for _, sub := range c.Commands() {
		if sub.IsAvailableCommand() {
			fmt.Fprintf(b, ".TP\n.B %s\n%s.\n", roff(sub.Use), roff(sub.Short))
		}
	}
}

func roffOptions(b *bytes.Buffer, c *cobra.Command) {
	b.WriteString(".SH OPTIONS\n")
	c.InitDefaultHelpFlag()
	c.LocalFlags().VisitAll(func(f *pflag.Flag) {
		if f.Hidden {
			return
		}
		_, usage := pflag.UnquoteUsage(f)
		if f.Name == "help" {
			usage = "explain the command"
		}
		text := roffFlag(f)
		if f.Shorthand != "" {
			text = `\fB` + roff("-"+f.Shorthand) + `\fR, ` + text
		}
		fmt.Fprintf(b, ".TP\n%s\n%s", text, roff(usage))
		switch f.DefValue {
		case "", "false", "0", "[]":
		default:
			fmt.Fprintf(b, " (default: %s)", roff(f.DefValue))
		}
		b.WriteString(".\n")
	})
}

// surroundings are what the program reads besides its command line.
var surroundings = []struct {
	section string
	entries [][2]string
}{
	{"ENVIRONMENT", [][2]string{
		{"PERILUNE_CONF", "the configuration file, instead of those below"},
		{"PERILUNE_HOME", "the directory of the HSM, instead of the one that the configuration names"},
		{"XDG_CONFIG_HOME, XDG_DATA_HOME, XDG_STATE_HOME", "where users keep configuration, data and history; ~/.config, ~/.local/share and ~/.local/state unless set"},
	}},
	{"FILES", [][2]string{
		{"~/.config/perilune/perilune.toml, /etc/perilune/perilune.toml", "the configuration; the first that exists counts"},
		{"~/.local/share/perilune, /var/lib/perilune", "the HSM of a user, and that of root"},
		{"~/.local/state/perilune/history", "former lines of 'perilune shell'"},
	}},
}

func roffSurroundings(b *bytes.Buffer) {
	for _, s := range surroundings {
		fmt.Fprintf(b, ".SH %s\n", s.section)
		for _, e := range s.entries {
			fmt.Fprintf(b, ".TP\n.B %s\n%s.\n", roff(e[0]), roff(e[1]))
		}
	}
}

func roffSeeAlso(b *bytes.Buffer, c *cobra.Command) {
	var names []string
	if c.HasParent() {
		names = append(names, manName(c.Parent()))
	}
	for _, sub := range c.Commands() {
		if sub.IsAvailableCommand() {
			names = append(names, manName(sub))
		}
	}
	b.WriteString(".SH SEE ALSO\n")
	for i, name := range names {
		comma := " ,"
		if i == len(names)-1 {
			comma = ""
		}
		fmt.Fprintf(b, ".BR %s (1)%s\n", roff(name), comma)
	}
}

// roffText writes paragraphs. Indented lines stay as they are.
func roffText(b *bytes.Buffer, text string) {
	kept := false
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		indented := strings.HasPrefix(line, "  ")
		if indented != kept && line != "" {
			b.WriteString(map[bool]string{true: ".RS 2\n.nf\n", false: ".fi\n.RE\n"}[indented])
			kept = indented
		}
		switch {
		case line != "":
			b.WriteString(roff(strings.TrimPrefix(line, "  ")) + "\n")
		case kept:
			b.WriteString(".sp\n")
		default:
			b.WriteString(".PP\n")
		}
	}
	if kept {
		b.WriteString(".fi\n.RE\n")
	}
}

var roffEscapes = strings.NewReplacer(`\`, `\e`, "-", `\-`, "'", `\(aq`, "`", `\(ga`, "^", `\(ha`, "~", `\(ti`)

// roff escapes a text, whose first character must not be taken for a request.
func roff(s string) string {
	s = roffEscapes.Replace(s)
	if strings.HasPrefix(s, ".") {
		s = `\&` + s
	}
	return s
}

// roffQuote is a text as one argument of a macro.
func roffQuote(s string) string { return `"` + strings.ReplaceAll(roff(s), `"`, `""`) + `"` }
