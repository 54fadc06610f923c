package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/cryptoki/p11"
)

// shells are those that completion is made for, and how its script is used.
var shells = []struct {
	name, title, use string
	write            func(root *cobra.Command, w io.Writer) error
}{
	{"bash", "bash", `For this shell:
  source <(perilune completion bash)
For every one (the package bash-completion must be installed):
  perilune completion bash > ~/.local/share/bash-completion/completions/perilune`,
		func(root *cobra.Command, w io.Writer) error { return root.GenBashCompletionV2(w, true) }},
	{"zsh", "zsh", `For every shell, with a directory of fpath:
  perilune completion zsh > "${fpath[1]}/_perilune"`,
		func(root *cobra.Command, w io.Writer) error { return root.GenZshCompletion(w) }},
	{"fish", "fish", `For this shell:
  perilune completion fish | source
For every one:
  perilune completion fish > ~/.config/fish/completions/perilune.fish`,
		func(root *cobra.Command, w io.Writer) error { return root.GenFishCompletion(w, true) }},
	{"powershell", "PowerShell", `For this shell:
  perilune completion powershell | Out-String | Invoke-Expression
For every one, add that line to the profile.`,
		func(root *cobra.Command, w io.Writer) error { return root.GenPowerShellCompletionWithDesc(w) }},
}

func (a *app) completionCommand() *cobra.Command {
	cmd := a.group("completion", "Completion of command lines, for shells",
		"Prints a script that teaches a shell to complete the commands and flags of\nperilune, and the partitions, roles and keys of the HSM.")
	for _, shell := range shells {
		cmd.AddCommand(a.command(shell.name, "Print the completion script for "+shell.title, "Prints the completion script for "+shell.title+".\n\n"+shell.use,
			func(cmd *cobra.Command, _ []string) error { return shell.write(cmd.Root(), a.stdout) }))
	}
	return cmd
}

// completePolicies completes the number of a policy that can be changed.
func (a *app) completePolicies(known func(context.Context) ([]p11.PolicyInfo, error)) cobra.CompletionFunc {
	return func(cmd *cobra.Command, _ []string, _ string) (list []string, _ cobra.ShellCompDirective) {
		if a.homeExists() {
			policies, _ := known(cmd.Context())
			for _, p := range policies {
				if p.Settable {
					list = append(list, fmt.Sprintf("%d\t%s", p.ID, p.Text))
				}
			}
		}
		return list, cobra.ShellCompDirectiveNoFileComp
	}
}

// maxCompleted bounds the keys that completion reads: it must be quick.
const maxCompleted = 200

// completeKeys completes a flag by the keys that can be seen: the public ones,
// since completion asks for no PIN, and all where a shell keeps a role logged in.
func (a *app) completeKeys(f *keyFlags, value func(keyJSON) string) cobra.CompletionFunc {
	return func(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
		var list []string
		if a.homeExists() {
			for _, j := range a.visibleKeys(cmd.Context(), f) {
				if v := value(j); v != "" {
					list = append(list, fmt.Sprintf("%s\t%s %s %s", v, j.Type, j.Class, j.Label))
				}
			}
		}
		return list, cobra.ShellCompDirectiveNoFileComp
	}
}

func (a *app) visibleKeys(ctx context.Context, f *keyFlags) (list []keyJSON) {
	t, err := a.theInitialised(ctx, f.at)
	if err != nil {
		return nil
	}
	k := &keys{target: t}
	if k.module, k.session, err = a.openSession(ctx, t); err != nil {
		return nil
	}
	handles, err := k.find(ctx, []ck.Attribute{ck.NewBool(ck.CKA_TOKEN, true)})
	if err != nil {
		return nil
	}
	for _, h := range handles[:min(len(handles), maxCompleted)] {
		if j, err := k.described(ctx, h); err == nil {
			list = append(list, j)
		}
	}
	return list
}
