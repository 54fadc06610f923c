package main

import (
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/perilune/perilune/cryptoki/p11"
)

func (a *app) hsmPolicyCommand() *cobra.Command {
	cmd := a.group("policy", "Policies of the HSM", "")
	cmd.AddCommand(a.hsmPolicyListCommand(), a.hsmPolicySetCommand())
	return cmd
}

// policyJSON is what --json tells of a policy.
type policyJSON struct {
	ID    uint64 `json:"id"`
	Text  string `json:"text"`
	Value uint64 `json:"value"`
}

func (a *app) hsmPolicyListCommand() *cobra.Command {
	var asJSON *bool
	cmd := a.command("list", "List the policies of the HSM", "", func(cmd *cobra.Command, _ []string) error {
		ctx := cmd.Context()
		m, err := a.hsm(ctx)
		if err != nil {
			return err
		}
		list, err := p11.Call(ctx, m, &p11.ListHSMPolicies{})
		if err != nil {
			return failing(err, "cannot list the policies")
		}
		if *asJSON {
			out := []policyJSON{}
			for _, p := range list.Policies {
				out = append(out, policyJSON(p))
			}
			return a.printJSON(out)
		}
		var rows [][]string
		for _, p := range list.Policies {
			rows = append(rows, []string{fmt.Sprint(p.ID), p.Text, onOff(p.Value)})
		}
		return table(a.stdout, []string{"Id", "Policy", "Value"}, rows)
	})
	asJSON = jsonFlag(cmd)
	return cmd
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

func (a *app) hsmPolicySetCommand() *cobra.Command {
	var (
		id    uint64
		value string
		so    *pinFlag
	)
	cmd := a.command("set", "Change a policy of the HSM, as the HSM SO", `Changes a policy of the HSM, as the HSM SO. It holds at once, in every program.

Policy 12, "Allow non-FIPS algorithms", switched off, is FIPS mode: mechanisms
that are not approved are not listed and not served, and keys below the approved
sizes only verify, decrypt and unwrap. Keys that exist stay.`,
		func(cmd *cobra.Command, _ []string) error {
			ctx := cmd.Context()
			v, err := policyValue(value)
			if err != nil {
				return err
			}
			m, session, err := a.loginHSMSO(ctx, so, "change a policy")
			if err != nil {
				return err
			}
			if _, err := p11.Call(ctx, m, &p11.SetHSMPolicy{Session: session, ID: id, Value: v}); err != nil {
				return failing(err, "cannot set HSM policy %d to %s", id, onOff(v))
			}
			fmt.Fprintf(a.stdout, "HSM policy %d is %s.\n", id, onOff(v))
			return nil
		})
	cmd.Flags().Uint64Var(&id, "id", 0, "number of the policy (required)")
	cmd.Flags().StringVar(&value, "value", "", "on, off, or a number (required)")
	_ = cmd.MarkFlagRequired("id")
	_ = cmd.MarkFlagRequired("value")
	so = pin(cmd, "hsm-so-pin", "PIN of the HSM SO")
	return cmd
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
		return 0, usagef("--value %q: it must be on, off or a number", s)
	}
	return v, nil
}

func onOffWord(b bool) string {
	if b {
		return "on"
	}
	return "off"
}
