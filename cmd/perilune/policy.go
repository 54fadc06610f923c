package main

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/cryptoki/p11"
)

func (a *app) hsmPolicyCommand() *cobra.Command {
	cmd := a.group("policy", "Policies of the HSM", "")
	cmd.AddCommand(a.hsmPolicyListCommand(), a.hsmPolicySetCommand(), a.hsmPolicyExportCommand())
	return cmd
}

func (a *app) partitionPolicyCommand() *cobra.Command {
	cmd := a.group("policy", "Policies of a partition", "")
	cmd.AddCommand(a.partitionPolicyListCommand(), a.partitionPolicySetCommand(), a.partitionPolicyExportCommand())
	return cmd
}

// policyJSON is what --json tells of a policy.
type policyJSON struct {
	ID         uint64  `json:"id"`
	Capability string  `json:"capability"`
	Greatest   uint64  `json:"capability_value"`
	Text       *string `json:"text"` // null where there is nothing to set
	Value      uint64  `json:"value"`
	Default    uint64  `json:"default"`
	Least      uint64  `json:"least"`
	Number     bool    `json:"number"`
	Settable   bool    `json:"settable"`
	OffOn      bool    `json:"off_to_on_destroys"`
	OnOff      bool    `json:"on_to_off_destroys"`
}

func newPolicyJSON(p p11.PolicyInfo) policyJSON {
	j := policyJSON{
		ID: p.ID, Capability: p.Capability, Greatest: p.Greatest, Value: p.Value, Default: p.Default,
		Least: p.Least, Number: p.Number, Settable: p.Settable, OffOn: p.OffOn, OnOff: p.OnOff,
	}
	if p.Text != "" {
		j.Text = &p.Text
	}
	return j
}

// listPolicies is the body of both list commands.
func (a *app) listPolicies(list []p11.PolicyInfo, capabilities, asJSON bool) error {
	shown := list
	if !capabilities {
		shown = nil
		for _, p := range list {
			if p.Text != "" {
				shown = append(shown, p)
			}
		}
	}
	if asJSON {
		out := []policyJSON{}
		for _, p := range shown {
			out = append(out, newPolicyJSON(p))
		}
		return a.printJSON(out)
	}
	if capabilities {
		if err := a.printCapabilities(list); err != nil {
			return err
		}
	}
	var rows [][]string
	for _, p := range list {
		if p.Text != "" {
			rows = append(rows, []string{fmt.Sprint(p.ID), p.Text, policyText(p, p.Value), changeable(p), direction(p, p.OffOn), direction(p, p.OnOff)})
		}
	}
	return table(a.stdout, []string{"Id", "Policy", "Value", "Can change", "Off to on destroys", "On to off destroys"}, rows)
}

func (a *app) printCapabilities(list []p11.PolicyInfo) error {
	var rows [][]string
	for _, p := range list {
		value := map[bool]string{true: "Allowed", false: "Disallowed"}[p.Greatest != 0]
		if p.Number {
			value = fmt.Sprint(p.Greatest)
		}
		rows = append(rows, []string{fmt.Sprint(p.ID), p.Capability, value})
	}
	err := table(a.stdout, []string{"Id", "Capability", "Value"}, rows)
	fmt.Fprintln(a.stdout)
	return err
}

func changeable(p p11.PolicyInfo) string {
	if p.Settable {
		return "yes"
	}
	return "no"
}

// policyText is the value of a policy for people.
func policyText(p p11.PolicyInfo, v uint64) string {
	if p.Number {
		return fmt.Sprint(v)
	}
	return onOff(v)
}

func onOff(v uint64) string {
	switch v {
	case 0:
		return "off"
	case 1:
		return "on"
	}
	return fmt.Sprint(v)
}

func onOffWord(b bool) string {
	if b {
		return "on"
	}
	return "off"
}

func (a *app) hsmPolicies(ctx context.Context) ([]p11.PolicyInfo, error) {
	m, err := a.hsm(ctx)
	if err != nil {
		return nil, err
	}
	list, err := p11.Call(ctx, m, &p11.ListHSMPolicies{})
	return list.Policies, failing(err, "cannot list the policies")
}

func (a *app) partitionPolicies(ctx context.Context, t target) ([]p11.PolicyInfo, error) {
	list, err := p11.Call(ctx, a.module, &p11.ListPartitionPolicies{Slot: t.slot})
	return list.Policies, failing(err, "cannot list the policies of %s", t)
}

func capabilitiesFlag(cmd *cobra.Command) *bool {
	return cmd.Flags().Bool("capabilities", false, "list the capabilities too, those without a policy among them")
}

func (a *app) hsmPolicyListCommand() *cobra.Command {
	var asJSON, capabilities *bool
	cmd := a.command("list", "List the policies of the HSM", "", func(cmd *cobra.Command, _ []string) error {
		list, err := a.hsmPolicies(cmd.Context())
		if err != nil {
			return err
		}
		return a.listPolicies(list, *capabilities, *asJSON)
	})
	capabilities = capabilitiesFlag(cmd)
	asJSON = jsonFlag(cmd)
	return cmd
}

func (a *app) partitionPolicyListCommand() *cobra.Command {
	var (
		at                   *targetFlags
		asJSON, capabilities *bool
	)
	cmd := a.command("list", "List the policies of a partition", "", func(cmd *cobra.Command, _ []string) error {
		ctx := cmd.Context()
		t, err := a.theMade(ctx, at)
		if err != nil {
			return err
		}
		list, err := a.partitionPolicies(ctx, t)
		if err != nil {
			return err
		}
		return a.listPolicies(list, *capabilities, *asJSON)
	})
	at = a.targetFlags(cmd)
	capabilities = capabilitiesFlag(cmd)
	asJSON = jsonFlag(cmd)
	return cmd
}

// policyFlags are --id and --value of the set commands: several of each, for
// one change.
type policyFlags struct{ ids, values []string }

func (a *app) policyFlags(cmd *cobra.Command, known func(context.Context) ([]p11.PolicyInfo, error)) *policyFlags {
	f := new(policyFlags)
	cmd.Flags().StringSliceVar(&f.ids, "id", nil, "`number` of the policy, or several with commas between (required)")
	cmd.Flags().StringSliceVar(&f.values, "value", nil, "`value`: on, off, or a number; as many as there are numbers of policies (required)")
	_ = cmd.MarkFlagRequired("id")
	_ = cmd.MarkFlagRequired("value")
	_ = cmd.RegisterFlagCompletionFunc("id", a.completePolicies(known))
	_ = cmd.RegisterFlagCompletionFunc("value", cobra.FixedCompletions([]string{"on", "off"}, cobra.ShellCompDirectiveNoFileComp))
	return f
}

func (f *policyFlags) settings() (list []p11.PolicySetting, err error) {
	if len(f.ids) != len(f.values) {
		return nil, usagef("--id names %s, --value gives %s: there must be as many", plural(len(f.ids), "policy", "policies"), count(len(f.values), "value"))
	}
	for i, id := range f.ids {
		var s p11.PolicySetting
		if s.ID, err = strconv.ParseUint(id, 10, 64); err != nil {
			return nil, usagef("--id takes the numbers of policies, not %q", id)
		}
		if s.Value, err = policyValue(f.values[i]); err != nil {
			return nil, usagef("--value: %v", err)
		}
		list = append(list, s)
	}
	return list, nil
}

func policyValue(s string) (uint64, error) {
	switch s {
	case "on":
		return 1, nil
	case "off":
		return 0, nil
	}
	v, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%q is neither on nor off nor a number", s)
	}
	return v, nil
}

// describe says what a change sets: `policy 12, "Allow non-FIPS algorithms", to off`.
func describePolicies(list []p11.PolicySetting, known []p11.PolicyInfo) string {
	var parts []string
	for _, s := range list {
		text := fmt.Sprintf("policy %d to %s", s.ID, onOff(s.Value))
		if p := findPolicy(known, s.ID); p != nil {
			text = fmt.Sprintf("policy %d, %q, to %s", s.ID, p.Text, policyText(*p, s.Value))
		}
		parts = append(parts, text)
	}
	return strings.Join(parts, " and ")
}

// saySet tells what the policies are now.
func (a *app) saySet(kind policyKind, list []p11.PolicySetting, known []p11.PolicyInfo) {
	for _, s := range list {
		if p := findPolicy(known, s.ID); p != nil {
			fmt.Fprintf(a.stdout, "%s policy %d, %q, is %s.\n", capital(kind.of), s.ID, p.Text, policyText(*p, s.Value))
		}
	}
}

// verdict is the first refusal among verdicts, and its place.
func verdict(v p11.PolicyVerdicts) (int, error) {
	for i, one := range v.Verdicts {
		if one.RV != ck.CKR_OK {
			return i, fmt.Errorf("%s: %w", strings.TrimSuffix(one.Text, ": "+one.RV.Error()), one.RV)
		}
	}
	return 0, nil
}

func (a *app) hsmPolicySetCommand() *cobra.Command {
	var (
		flags *policyFlags
		so    *pinFlag
		force *bool
	)
	cmd := a.command("set", "Change policies of the HSM, as the HSM SO", `Changes policies of the HSM, as the HSM SO, all that are named or none. They hold
at once, in every program.

A change that 'perilune hsm policy list' marks destroys all partitions, with all
keys in them. The HSM SO and the Auditor stay. Policy 12, "Allow non-FIPS
algorithms", switched off, is FIPS mode.`,
		func(cmd *cobra.Command, _ []string) error {
			ctx := cmd.Context()
			list, err := flags.settings()
			if err != nil {
				return err
			}
			known, err := a.hsmPolicies(ctx)
			if err != nil {
				return err
			}
			const doing = "cannot change the policies of the HSM"
			check, err := p11.Call(ctx, a.module, &p11.CheckHSMPolicies{Policies: list})
			if err == nil {
				_, err = verdict(check)
			}
			if err != nil {
				return failing(err, "%s", doing)
			}
			if check.Destroys {
				if err := a.confirmHSMPolicies(ctx, *force, list, known); err != nil {
					return err
				}
			}
			m, session, err := a.loginHSMSO(ctx, so, "change a policy")
			if err != nil {
				return err
			}
			if _, err := p11.Call(ctx, m, &p11.SetHSMPolicy{Session: session, Policies: list, Destroy: check.Destroys}); err != nil {
				return failing(err, "%s", doing)
			}
			a.saySet(hsmPolicies, list, known)
			if check.Destroys {
				fmt.Fprintln(a.stdout, "All partitions are destroyed, with all keys in them.")
			}
			return nil
		})
	flags = a.policyFlags(cmd, a.hsmPolicies)
	so = pin(cmd, "hsm-so-pin", "PIN of the HSM SO")
	force = forceFlag(cmd)
	return cmd
}

// confirmHSMPolicies asks before a change that destroys all partitions.
func (a *app) confirmHSMPolicies(ctx context.Context, force bool, list []p11.PolicySetting, known []p11.PolicyInfo) error {
	info, err := a.hsmInfo(ctx, "cannot change a policy")
	if err != nil {
		return err
	}
	return a.confirm(ctx, force, fmt.Sprintf("To set HSM %s destroys all partitions, %s now, and all keys in them. The HSM SO and the Auditor stay.",
		describePolicies(list, known), countOrNone(info.Partitions)))
}

func countOrNone(n int) string {
	if n == 0 {
		return "none"
	}
	return fmt.Sprint(n)
}

func (a *app) partitionPolicySetCommand() *cobra.Command {
	var (
		at    *targetFlags
		flags *policyFlags
		so    *pinFlag
		force *bool
	)
	cmd := a.command("set", "Change policies of a partition, as its Partition SO", `Changes policies of a partition, as its Partition SO, all that are named or none.
They hold at once, in every program.

A change that 'perilune partition policy list' marks destroys all objects of the
partition. Its roles and their PINs stay; programs that have the partition open
must open it anew.`,
		func(cmd *cobra.Command, _ []string) error {
			ctx := cmd.Context()
			list, err := flags.settings()
			if err != nil {
				return err
			}
			t, err := a.theMade(ctx, at)
			if err != nil {
				return err
			}
			known, err := a.partitionPolicies(ctx, t)
			if err != nil {
				return err
			}
			doing := "cannot change the policies of " + t.String()
			check, err := p11.Call(ctx, a.module, &p11.CheckPartitionPolicies{Slot: t.slot, Policies: list})
			if err == nil {
				_, err = verdict(check)
			}
			if err != nil {
				return failing(err, "%s", doing)
			}
			if check.Destroys {
				err := a.confirm(ctx, *force, fmt.Sprintf("To set %s of %s destroys %s in it. Its roles stay.", describePolicies(list, known), t, count(t.info.Objects, "object")))
				if err != nil {
					return err
				}
			}
			m, session, err := a.login(ctx, t, p11.RolePartitionSO, so, "so-pin")
			if err != nil {
				return err
			}
			if _, err := p11.Call(ctx, m, &p11.SetPartitionPolicy{Session: session, Policies: list, Destroy: check.Destroys}); err != nil {
				return failing(err, "%s", doing)
			}
			a.saySet(partitionPolicies, list, known)
			if check.Destroys {
				fmt.Fprintf(a.stdout, "All objects of %s are destroyed.\n", t)
			}
			return nil
		})
	at = a.targetFlags(cmd)
	flags = a.policyFlags(cmd, func(ctx context.Context) ([]p11.PolicyInfo, error) {
		t, err := a.theMade(ctx, at)
		if err != nil {
			return nil, err
		}
		return a.partitionPolicies(ctx, t)
	})
	so = pin(cmd, "so-pin", "PIN of the Partition SO")
	force = forceFlag(cmd)
	return cmd
}

func (a *app) hsmPolicyExportCommand() *cobra.Command {
	var out string
	cmd := a.command("export", "Write the policies of the HSM as a list that `hsm init` takes", `Writes the policies of the HSM that can be set as a text for
'perilune hsm init --policies FILE', to be edited before.`,
		func(cmd *cobra.Command, _ []string) error {
			list, err := a.hsmPolicies(cmd.Context())
			if err != nil {
				return err
			}
			return a.writePolicies(out, hsmPolicies, list)
		})
	outFlag(cmd, &out)
	return cmd
}

func (a *app) partitionPolicyExportCommand() *cobra.Command {
	var (
		at  *targetFlags
		out string
	)
	cmd := a.command("export", "Write the policies of a partition as a list that `partition init` takes", `Writes the policies of a partition that can be set as a text for
'perilune partition init --policies FILE', to be edited before. Of a slot that
holds no partition yet they are those that one would have.`,
		func(cmd *cobra.Command, _ []string) error {
			ctx := cmd.Context()
			t, err := a.target(ctx, at, func(t target) bool { return !t.free }, "partition", "partitions")
			if err != nil {
				return err
			}
			list, err := a.partitionPolicies(ctx, t)
			if err != nil {
				return err
			}
			return a.writePolicies(out, partitionPolicies, list)
		})
	at = a.targetFlags(cmd)
	outFlag(cmd, &out)
	return cmd
}

func outFlag(cmd *cobra.Command, out *string) {
	cmd.Flags().StringVar(out, "out", "", "write to this `file`")
}

func (a *app) writePolicies(out string, kind policyKind, list []p11.PolicyInfo) error {
	text := formatPolicies(kind, list)
	if out != "" {
		return failing(os.WriteFile(out, text, 0o644), "cannot write the policies")
	}
	_, err := a.stdout.Write(text)
	return err
}

// policiesFlag adds --policies to a command that initialises.
func policiesFlag(cmd *cobra.Command, path *string) {
	cmd.Flags().StringVar(path, "policies", "", "`file` with the policies to begin with; `policy export` writes one")
}

// firstHSMPolicies reads the file of `hsm init --policies` and has it judged.
func (a *app) firstHSMPolicies(ctx context.Context, path string, q *p11.InitHSM, force bool) error {
	if path == "" {
		return nil
	}
	known, err := a.hsmPolicies(ctx)
	if err != nil {
		return err
	}
	list, lines, err := readPolicyFile(path, hsmPolicies, known)
	if err != nil {
		return err
	}
	check, err := p11.Call(ctx, a.module, &p11.CheckHSMPolicies{New: true, Profile: q.Profile, Policies: list})
	if err = judged(path, lines, check, err); err != nil {
		return failing(err, "cannot initialise the HSM")
	}
	if check.Destroys {
		err = a.confirm(ctx, force, "The HSM has partitions already, and these policies destroy them, with all keys in them.")
	}
	q.Policies, q.Destroy = list, check.Destroys
	return err
}

// firstPartitionPolicies does the same for `partition init --policies`.
func (a *app) firstPartitionPolicies(ctx context.Context, path string, t target) ([]p11.PolicySetting, error) {
	if path == "" {
		return nil, nil
	}
	known, err := a.partitionPolicies(ctx, t)
	if err != nil {
		return nil, err
	}
	list, lines, err := readPolicyFile(path, partitionPolicies, known)
	if err != nil {
		return nil, err
	}
	check, err := p11.Call(ctx, a.module, &p11.CheckPartitionPolicies{Slot: t.slot, New: true, Policies: list})
	return list, failing(judged(path, lines, check, err), "cannot initialise %s", t)
}

// judged names the line of a file that a verdict is about.
func judged(path string, lines []policyLine, check p11.PolicyVerdicts, err error) error {
	if err != nil {
		return err
	}
	i, err := verdict(check)
	if err != nil {
		return fmt.Errorf("%s:%d: %w", path, lines[i].line, err)
	}
	return nil
}
