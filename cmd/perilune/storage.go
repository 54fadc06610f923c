package main

import (
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/perilune/perilune/cryptoki/p11"
)

// unlimited is what stands where there is no limit.
const unlimited = "unlimited"

// storageJSON is an account. Without a limit, total and free are null.
type storageJSON struct {
	Total    *uint64 `json:"total"`
	Used     uint64  `json:"used"`
	Free     *uint64 `json:"free"`
	Overhead uint64  `json:"overhead"`
}

func newStorageJSON(s p11.Storage) storageJSON {
	j := storageJSON{Used: s.Used, Overhead: s.Overhead}
	if s.Total != 0 {
		j.Total, j.Free = &s.Total, &s.Free
	}
	return j
}

// limit is a number of bytes of an account that may have no limit.
func limit(s p11.Storage, n uint64) string {
	if s.Total == 0 {
		return unlimited
	}
	return fmt.Sprint(n)
}

func storageLine(s p11.Storage) string {
	return fmt.Sprintf("Total=%s, Used=%d, Free=%s", limit(s, s.Total), s.Used, limit(s, s.Free))
}

// sizeFlags are --size and --all-free.
type sizeFlags struct {
	bytes uint64
	all   bool
}

func newSizeFlags(cmd *cobra.Command) *sizeFlags {
	f := new(sizeFlags)
	cmd.Flags().Uint64Var(&f.bytes, "size", 0, "`bytes` that the objects may take, beside the overhead of the partition")
	cmd.Flags().BoolVar(&f.all, "all-free", false, "give the partition all that the HSM has left")
	cmd.MarkFlagsMutuallyExclusive("size", "all-free")
	return f
}

// storageTotal reads --storage; nil if it was not given.
func storageTotal(text string) (*uint64, error) {
	var n uint64
	switch text {
	case "":
		return nil, nil
	case unlimited:
		return &n, nil
	}
	n, err := strconv.ParseUint(text, 10, 48)
	if err != nil || n == 0 {
		return nil, usagef("--storage %q is neither a number of bytes nor %s", text, unlimited)
	}
	return &n, nil
}

func (a *app) partitionResizeCommand() *cobra.Command {
	var (
		at     *targetFlags
		size   *sizeFlags
		so     *pinFlag
		asJSON *bool
	)
	cmd := a.command("resize", "Give a partition more or less storage, as the HSM SO", `Gives a partition another size, as the HSM SO, but not less than its objects take.
--size 0 takes the limit away, on an HSM that has no storage total.`,
		func(cmd *cobra.Command, _ []string) error {
			ctx := cmd.Context()
			if !at.given() {
				return usagef("say which partition to resize, with --slot or --partition")
			}
			if !cmd.Flags().Changed("size") && !size.all {
				return usagef("say how large it shall be, with --size or --all-free")
			}
			t, err := a.theMade(ctx, at)
			if err != nil {
				return err
			}
			m, session, err := a.loginHSMSO(ctx, so, "resize "+t.String())
			if err != nil {
				return err
			}
			info, err := p11.Call(ctx, m, &p11.ResizePartition{Session: session, Slot: t.slot, Size: size.bytes, AllFree: size.all})
			if err != nil {
				return failing(err, "cannot resize %s", t)
			}
			if *asJSON {
				return a.printJSON(newPartitionJSON(info))
			}
			fmt.Fprintf(a.stdout, "%s is resized: %s bytes.\n", capital(t.String()), storageLine(info.Storage))
			return nil
		})
	at = a.targetFlags(cmd)
	size = newSizeFlags(cmd)
	so = pin(cmd, "hsm-so-pin", "PIN of the HSM SO")
	asJSON = jsonFlag(cmd)
	return cmd
}

func (a *app) partitionRenameCommand() *cobra.Command {
	var (
		at   *targetFlags
		name string
		so   *pinFlag
	)
	cmd := a.command("rename", "Change the name of a partition, as the HSM SO", `Changes the name that the HSM SO gave a partition. Its label, which programs see,
is changed by 'perilune partition changelabel'.`,
		func(cmd *cobra.Command, _ []string) error {
			ctx := cmd.Context()
			if !at.given() {
				return usagef("say which partition to rename, with --slot or --partition")
			}
			t, err := a.theMade(ctx, at)
			if err != nil {
				return err
			}
			m, session, err := a.loginHSMSO(ctx, so, "rename "+t.String())
			if err != nil {
				return err
			}
			if _, err := p11.Call(ctx, m, &p11.RenamePartition{Session: session, Slot: t.slot, Name: name}); err != nil {
				return failing(err, "cannot rename %s", t)
			}
			fmt.Fprintf(a.stdout, "%s is renamed to %q.\n", capital(t.String()), name)
			return nil
		})
	at = a.targetFlags(cmd)
	cmd.Flags().StringVar(&name, "name", "", "the new `name`, unique on the HSM (required)")
	_ = cmd.MarkFlagRequired("name")
	so = pin(cmd, "hsm-so-pin", "PIN of the HSM SO")
	return cmd
}

func (a *app) partitionLabelCommand() *cobra.Command {
	var (
		at    *targetFlags
		label string
		so    *pinFlag
	)
	cmd := a.command("changelabel", "Change the label of a partition, as its Partition SO", "", func(cmd *cobra.Command, _ []string) error {
		ctx := cmd.Context()
		t, err := a.theInitialised(ctx, at)
		if err != nil {
			return err
		}
		m, session, err := a.login(ctx, t, p11.RolePartitionSO, so, "so-pin")
		if err != nil {
			return err
		}
		if _, err := p11.Call(ctx, m, &p11.LabelPartition{Session: session, Label: label}); err != nil {
			return failing(err, "cannot change the label of %s", t)
		}
		fmt.Fprintf(a.stdout, "%s has the label %q now.\n", capital(t.String()), label)
		return nil
	})
	at = a.targetFlags(cmd)
	cmd.Flags().StringVar(&label, "label", "", "the new label, at most 32 bytes (required)")
	_ = cmd.MarkFlagRequired("label")
	so = pin(cmd, "so-pin", "PIN of the Partition SO")
	return cmd
}

func (a *app) partitionClearCommand() *cobra.Command {
	var (
		at    *targetFlags
		co    *pinFlag
		force *bool
	)
	cmd := a.command("clear", "Delete all keys and other objects of a partition, as the Crypto Officer", `Deletes the objects of a partition that the Crypto Officer may delete: all but
those that were made not to be destroyed (CKA_DESTROYABLE). Roles, label and
policies stay.`,
		func(cmd *cobra.Command, _ []string) error {
			ctx := cmd.Context()
			t, err := a.theInitialised(ctx, at)
			if err != nil {
				return err
			}
			err = a.confirm(ctx, *force, fmt.Sprintf("This deletes the objects of %s, label %q: there are %d.", t, t.info.Label, t.info.Objects))
			if err != nil {
				return err
			}
			m, session, err := a.login(ctx, t, p11.RoleCryptoOfficer, co, "pin")
			if err != nil {
				return err
			}
			r, err := p11.Call(ctx, m, &p11.ClearPartition{Session: session})
			if err != nil {
				return failing(err, "cannot clear %s", t)
			}
			fmt.Fprintf(a.stdout, "%s deleted.\n", plural(r.Objects, "object was", "objects were"))
			return nil
		})
	at = a.targetFlags(cmd)
	co = pin(cmd, "pin", "PIN of the Crypto Officer")
	force = forceFlag(cmd)
	return cmd
}
