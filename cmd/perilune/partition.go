package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/cryptoki/p11"
)

func (a *app) partitionCommand() *cobra.Command {
	cmd := a.group("partition", "Partitions: where keys are kept", "")
	cmd.AddCommand(a.partitionCreateCommand(), a.partitionInitCommand(), a.partitionListCommand(),
		a.partitionShowCommand(), a.partitionSetDomainCommand(), a.partitionCloneCommand(), a.partitionArchiveCommand(),
		a.partitionResizeCommand(), a.partitionRenameCommand(), a.partitionLabelCommand(),
		a.partitionClearCommand(), a.partitionCheckCommand(), a.partitionDeleteCommand(), a.partitionPolicyCommand())
	return cmd
}

// partitionJSON is what --json tells of a partition.
type partitionJSON struct {
	Slot        uint64      `json:"slot"`
	Name        string      `json:"name"`
	Label       string      `json:"label"`
	Serial      string      `json:"serial"`
	Initialized bool        `json:"initialized"`
	Created     string      `json:"created"`
	Objects     uint64      `json:"objects"`
	Storage     storageJSON `json:"storage"`
	Damaged     bool        `json:"damaged"`
}

func newPartitionJSON(p p11.PartitionInfo) partitionJSON {
	return partitionJSON{
		Slot: uint64(p.Slot), Name: p.Name, Label: p.Label, Serial: p.Serial,
		Initialized: p.Initialized, Created: p.Created, Objects: p.Objects, Storage: newStorageJSON(p.Storage), Damaged: p.Damaged,
	}
}

func (a *app) partitionCreateCommand() *cobra.Command {
	var (
		name   string
		size   *sizeFlags
		so     *pinFlag
		asJSON *bool
	)
	cmd := a.command("create", "Create an empty partition, as the HSM SO", `Creates an empty partition, as the HSM SO. Whoever is to be its Partition SO then
initialises it with 'perilune partition init'.

Without --size and --all-free a partition of an HSM with a storage total gets an
equal share of what is free for each partition that may still be made, and one of
an HSM without a total has no limit.`,
		func(cmd *cobra.Command, _ []string) error {
			ctx := cmd.Context()
			m, session, err := a.loginHSMSO(ctx, so, "create a partition")
			if err != nil {
				return err
			}
			info, err := p11.Call(ctx, m, &p11.CreatePartition{Session: session, Name: name, Size: size.bytes, AllFree: size.all})
			if err != nil {
				return failing(err, "cannot create partition %q", name)
			}
			if *asJSON {
				return a.printJSON(newPartitionJSON(info))
			}
			fmt.Fprintf(a.stdout, "Partition %q is created, with serial number %s, in slot %d. Next: `perilune partition init --slot %d --label LABEL`.\n",
				info.Name, info.Serial, uint64(info.Slot), uint64(info.Slot))
			return nil
		})
	cmd.Flags().StringVar(&name, "name", "", "`name` of the partition, unique on the HSM (required)")
	_ = cmd.MarkFlagRequired("name")
	size = newSizeFlags(cmd)
	so = pin(cmd, "hsm-so-pin", "PIN of the HSM SO")
	asJSON = jsonFlag(cmd)
	return cmd
}

// loginHSMSO logs in as the HSM SO, if there is one.
func (a *app) loginHSMSO(ctx context.Context, f *pinFlag, doing string) (p11.Module, ck.SessionHandle, error) {
	info, err := a.hsmInfo(ctx, "cannot "+doing)
	if err != nil {
		return nil, 0, err
	}
	if !info.Initialized {
		return nil, 0, &problem{doing: "cannot " + doing, err: errors.New("the HSM has no HSM SO, who alone may do this"),
			fix: "`perilune hsm init` makes one. Without an HSM SO, `perilune partition init` makes a partition in the free slot"}
	}
	return a.login(ctx, admin, p11.RoleHSMSO, f, "hsm-so-pin")
}

func (a *app) partitionInitCommand() *cobra.Command {
	var (
		at              *targetFlags
		label, policies string
		so              *pinFlag
		domain          *pinFlag
		force           *bool
	)
	cmd := a.command("init", "Initialise a partition: label it and give it a Partition SO", `Initialises a partition: gives it a label and its Partition SO a PIN. On an HSM
that was never initialised this also makes the partition, in the free slot.

A partition that is initialised already is emptied first: all its keys are
destroyed. --so-pin must then be the PIN that its Partition SO has.`,
		func(cmd *cobra.Command, _ []string) error {
			ctx := cmd.Context()
			t, err := a.target(ctx, at, func(t target) bool { return !t.info.Initialized }, "slot to be initialised", "slots to be initialised")
			if err != nil {
				return err
			}
			first, err := a.firstPartitionPolicies(ctx, policies, t)
			if err != nil {
				return err
			}
			pin, err := a.initPIN(ctx, t, so, *force)
			if err != nil {
				return err
			}
			defer clear(pin)
			text, err := a.domain(ctx, domain)
			if err != nil {
				return err
			}
			defer clear(text)
			_, err = p11.Call(ctx, a.module, &p11.InitToken{Slot: t.slot, PIN: pin, Label: label, Policies: first, Domain: text})
			if err != nil {
				return a.loginProblem(ctx, err, "cannot initialise "+t.String(), t, p11.RolePartitionSO)
			}
			fmt.Fprintf(a.stdout, "The partition in slot %d is initialised, with the label %q. Next: `perilune role init --role co --slot %d`.\n",
				uint64(t.slot), label, uint64(t.slot))
			return nil
		})
	at = a.targetFlags(cmd)
	cmd.Flags().StringVar(&label, "label", "", "label of the partition, at most 32 bytes (required)")
	policiesFlag(cmd, &policies)
	_ = cmd.MarkFlagRequired("label")
	so = pin(cmd, "so-pin", "PIN of the Partition SO")
	domain = domainFlag(cmd, "cloning domain of the partition (default: none yet)")
	force = forceFlag(cmd)
	return cmd
}

// initPIN gets the PIN of the Partition SO: a new one, or the one it has.
func (a *app) initPIN(ctx context.Context, t target, f *pinFlag, force bool) ([]byte, error) {
	const so = p11.RolePartitionSO
	whose := fmt.Sprintf("%s of %s", so, t)
	if !t.info.Initialized {
		return a.newPIN(ctx, f, "so-pin", whose)
	}
	err := a.confirm(ctx, force, fmt.Sprintf("%s is initialised already, with the label %q. To initialise it anew destroys %s in it.",
		capital(t.String()), t.info.Label, count(t.info.Objects, "object")))
	if err != nil {
		return nil, err
	}
	return a.currentPIN(ctx, f, "so-pin", whose+a.warnTries(ctx, t, so))
}

func (a *app) partitionListCommand() *cobra.Command {
	var asJSON *bool
	cmd := a.command("list", "List the partitions", `Lists the partitions, with the bytes that their objects may take (Total), and do.`, func(cmd *cobra.Command, _ []string) error {
		ctx := cmd.Context()
		m, err := a.hsm(ctx)
		if err != nil {
			return err
		}
		parts, err := p11.Call(ctx, m, &p11.ListPartitions{})
		if err != nil {
			return failing(err, "cannot list the partitions")
		}
		list := []partitionJSON{}
		var rows [][]string
		for _, p := range parts.Partitions {
			list = append(list, newPartitionJSON(p))
			rows = append(rows, []string{fmt.Sprint(uint64(p.Slot)), or(p.Name, "(damaged)"), p.Serial, or(p.Label, "-"), yesNo(p.Initialized), fmt.Sprint(p.Objects),
				limit(p.Storage, p.Storage.Total), fmt.Sprint(p.Storage.Used), limit(p.Storage, p.Storage.Free)})
		}
		switch {
		case *asJSON:
			return a.printJSON(list)
		case len(list) == 0:
			fmt.Fprintln(a.stdout, "There are no partitions.")
			return nil
		}
		return table(a.stdout, []string{"Slot", "Name", "Serial #", "Label", "Initialized", "Objects", "Total", "Used", "Free"}, rows)
	})
	asJSON = jsonFlag(cmd)
	return cmd
}

// partitionDetailsJSON is what `partition show --json` prints.
type partitionDetailsJSON struct {
	partitionJSON
	OUID         string     `json:"ouid"`
	HasDomain    bool       `json:"has_domain"`
	Model        string     `json:"model"`
	Manufacturer string     `json:"manufacturer"`
	TokenFlags   []string   `json:"token_flags"`
	Roles        []roleJSON `json:"roles"`
}

func (a *app) partitionShowCommand() *cobra.Command {
	var (
		at     *targetFlags
		asJSON *bool
	)
	cmd := a.command("show", "Show one partition", "", func(cmd *cobra.Command, _ []string) error {
		ctx := cmd.Context()
		t, err := a.theMade(ctx, at)
		if err != nil {
			return err
		}
		token, err := p11.Call(ctx, a.module, &p11.GetTokenInfo{Slot: t.slot})
		if err != nil {
			return failing(err, "cannot show %s", t)
		}
		roles, err := a.roles(ctx, t)
		if err != nil {
			return err
		}
		if *asJSON {
			return a.printJSON(partitionDetailsJSON{newPartitionJSON(t.info), fmt.Sprintf("%x", t.info.UID), t.info.HasDomain, token.Model, token.ManufacturerID, tokenFlags(token.Flags), roles})
		}
		details(a.stdout, "Partition Details", []field{
			{"Partition Name", t.info.Name},
			{"Partition Label", or(t.info.Label, "no label")},
			{"Partition Manufacturer", token.ManufacturerID},
			{"Partition Model", token.Model},
			{"Partition Serial Number", t.info.Serial},
			{"Slot Id", fmt.Sprint(uint64(t.slot))},
			{"Initialized", yesNo(t.info.Initialized)},
			{"Created", t.info.Created},
			{"Partition OUID", fmt.Sprintf("%x", t.info.UID)},
			{"Cloning Domain", domainWord(t.info.HasDomain)},
			{"Object Count", fmt.Sprint(t.info.Objects)},
			{"Storage (Bytes)", storageLine(t.info.Storage)},
			{"Storage Overhead (Bytes)", fmt.Sprint(t.info.Storage.Overhead)},
			{"Token Flags", ""},
		})
		for _, f := range tokenFlags(token.Flags) {
			fmt.Fprintf(a.stdout, "%-32s %s\n", "", f)
		}
		fmt.Fprintln(a.stdout)
		return a.printRoles(roles)
	})
	at = a.targetFlags(cmd)
	asJSON = jsonFlag(cmd)
	return cmd
}

func domainWord(has bool) string {
	if has {
		return "set"
	}
	return "none"
}

// tokenFlags are the names of CK_TOKEN_INFO's flags.
func tokenFlags(flags ck.Flags) []string {
	names := []string{}
	for _, f := range []struct {
		flag ck.Flags
		name string
	}{
		{ck.CKF_RNG, "CKF_RNG"},
		{ck.CKF_WRITE_PROTECTED, "CKF_WRITE_PROTECTED"},
		{ck.CKF_LOGIN_REQUIRED, "CKF_LOGIN_REQUIRED"},
		{ck.CKF_USER_PIN_INITIALIZED, "CKF_USER_PIN_INITIALIZED"},
		{ck.CKF_RESTORE_KEY_NOT_NEEDED, "CKF_RESTORE_KEY_NOT_NEEDED"},
		{ck.CKF_DUAL_CRYPTO_OPERATIONS, "CKF_DUAL_CRYPTO_OPERATIONS"},
		{ck.CKF_TOKEN_INITIALIZED, "CKF_TOKEN_INITIALIZED"},
		{ck.CKF_USER_PIN_COUNT_LOW, "CKF_USER_PIN_COUNT_LOW"},
		{ck.CKF_USER_PIN_FINAL_TRY, "CKF_USER_PIN_FINAL_TRY"},
		{ck.CKF_USER_PIN_LOCKED, "CKF_USER_PIN_LOCKED"},
		{ck.CKF_USER_PIN_TO_BE_CHANGED, "CKF_USER_PIN_TO_BE_CHANGED"},
		{ck.CKF_SO_PIN_COUNT_LOW, "CKF_SO_PIN_COUNT_LOW"},
		{ck.CKF_SO_PIN_FINAL_TRY, "CKF_SO_PIN_FINAL_TRY"},
		{ck.CKF_SO_PIN_LOCKED, "CKF_SO_PIN_LOCKED"},
		{ck.CKF_SO_PIN_TO_BE_CHANGED, "CKF_SO_PIN_TO_BE_CHANGED"},
	} {
		if flags&f.flag != 0 {
			names = append(names, f.name)
		}
	}
	return names
}

func (a *app) partitionDeleteCommand() *cobra.Command {
	var (
		at    *targetFlags
		so    *pinFlag
		force *bool
	)
	cmd := a.command("delete", "Delete a partition and all keys in it, as the HSM SO", "", func(cmd *cobra.Command, _ []string) error {
		ctx := cmd.Context()
		if !at.given() {
			return usagef("say which partition to delete, with --slot or --partition")
		}
		t, err := a.theMade(ctx, at)
		if err != nil {
			return err
		}
		err = a.confirm(ctx, *force, fmt.Sprintf("This deletes %s, label %q, serial number %s, and %s in it.", t, t.info.Label, t.info.Serial, count(t.info.Objects, "object")))
		if err != nil {
			return err
		}
		m, session, err := a.loginHSMSO(ctx, so, "delete "+t.String())
		if err != nil {
			return err
		}
		if _, err := p11.Call(ctx, m, &p11.DeletePartition{Session: session, Slot: t.slot}); err != nil {
			return failing(err, "cannot delete %s", t)
		}
		fmt.Fprintf(a.stdout, "%s is deleted, with all keys in it.\n", capital(t.String()))
		return nil
	})
	at = a.targetFlags(cmd)
	so = pin(cmd, "hsm-so-pin", "PIN of the HSM SO")
	force = forceFlag(cmd)
	return cmd
}

// capital begins a sentence.
func capital(s string) string {
	if s != "" && s[0] >= 'a' && s[0] <= 'z' {
		return string(s[0]-'a'+'A') + s[1:]
	}
	return s
}
