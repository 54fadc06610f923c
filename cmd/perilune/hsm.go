package main

import (
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/perilune/perilune/config"
	"github.com/perilune/perilune/cryptoki/p11"
)

func (a *app) hsmCommand() *cobra.Command {
	cmd := a.group("hsm", "The HSM as a whole", "")
	cmd.AddCommand(a.hsmInitCommand(), a.hsmShowCommand(), a.hsmPolicyCommand(), a.hsmAcceptRestoreCommand(),
		a.hsmZeroizeCommand(), a.hsmFactoryResetCommand())
	return cmd
}

// hsmJSON is what `hsm show --json` prints.
type hsmJSON struct {
	Initialized    bool        `json:"initialized"`
	Zeroized       bool        `json:"zeroized"`
	ByHand         bool        `json:"manually_zeroized"`
	Auditor        bool        `json:"audit_role_initialized"`
	Label          string      `json:"label"`
	Serial         string      `json:"serial"`
	Profile        string      `json:"profile"`
	Model          string      `json:"model"`
	Version        string      `json:"version"`
	SOAttemptsLeft int         `json:"so_attempts_left"`
	Partitions     int         `json:"partitions"`
	MaxPartitions  int         `json:"max_partitions"`
	Created        string      `json:"created"`
	Home           string      `json:"home"`
	HasDomain      bool        `json:"has_domain"`
	FIPSMode       bool        `json:"fips_mode"`
	Cryptography   string      `json:"cryptography"`
	Storage        storageJSON `json:"storage"`
	// Restored is null if nothing was noticed.
	Restored *restoredJSON `json:"restored"`
}

func (a *app) hsmShowCommand() *cobra.Command {
	var asJSON *bool
	cmd := a.command("show", "Show the state of the HSM", "", func(cmd *cobra.Command, _ []string) error {
		ctx := cmd.Context()
		info, err := a.hsmInfo(ctx, "cannot show the HSM")
		if err != nil {
			return err
		}
		token, err := p11.Call(ctx, a.module, &p11.GetTokenInfo{Slot: p11.AdminSlot})
		if err != nil {
			return failing(err, "cannot show the HSM")
		}
		parts, err := p11.Call(ctx, a.module, &p11.ListPartitions{})
		if err != nil {
			return failing(err, "cannot list the partitions")
		}
		if *asJSON {
			return a.printJSON(hsmJSON{
				Initialized: info.Initialized, Zeroized: info.Zeroized, ByHand: info.ZeroizedByHand, Auditor: info.AuditorInitialized,
				Label: info.Label, Serial: fmt.Sprint(info.Serial),
				Profile: info.Profile, Model: token.Model, Version: version, SOAttemptsLeft: info.SOAttemptsLeft,
				Partitions: info.Partitions, MaxPartitions: info.MaxPartitions, Created: info.Created, Home: info.StorageLocation,
				HasDomain: info.HasDomain, FIPSMode: info.FIPSMode, Cryptography: info.Cryptography, Storage: newStorageJSON(info.Storage), Restored: newRestoredJSON(info.Restored),
			})
		}
		a.showHSM(info, token.Model, parts.Partitions)
		return nil
	})
	asJSON = jsonFlag(cmd)
	return cmd
}

func (a *app) showHSM(info p11.HSMInfo, model string, parts []p11.PartitionInfo) {
	label, attempts := info.Label, fmt.Sprintf("%d before HSM zeroization!", info.SOAttemptsLeft)
	switch {
	case info.Zeroized:
		label, attempts = "no label", "HSM is zeroized!"
	case !info.Initialized:
		label, attempts = "no label", "HSM is not initialised"
	}
	details(a.stdout, "HSM Details", []field{
		{"HSM Label", label},
		{"Serial #", fmt.Sprint(info.Serial)},
		{"HSM Model", model},
		{"Software Version", version},
		{"Authentication Method", "Password"},
		{"Initialized", yesNo(info.Initialized)},
		{"Zeroized", yesNo(info.Zeroized)},
		{"Manually Zeroized", yesNo(info.ZeroizedByHand)},
		{"HSM SO login attempts left", attempts},
		{"Audit Role Initialized", yesNo(info.AuditorInitialized)},
		{"Profile", info.Profile},
		{"Created", info.Created},
		{"Cloning domain", domainWord(info.HasDomain)},
		{"FIPS mode", onOffWord(info.FIPSMode)},
		{"Cryptography", info.Cryptography},
	})
	fmt.Fprintln(a.stdout)
	if r := info.Restored; r != nil {
		details(a.stdout, "OLDER COPY OF THE DATABASE", []field{
			{"Noticed", r.Noticed},
			{"Reason", r.Text},
			{"What to do", "see `perilune hsm accept-restore --help`"},
		})
		fmt.Fprintln(a.stdout)
	}
	details(a.stdout, "Partitions created on HSM", nil)
	if len(parts) == 0 {
		fmt.Fprintln(a.stdout, "There are no partitions.")
	}
	for _, p := range parts {
		fmt.Fprintf(a.stdout, "Partition: %s, Name: %s\n", printable(p.Serial), printable(p.Name))
	}
	fmt.Fprintf(a.stdout, "%-32s %d\n%-32s %d\n\n", "Number of partitions allowed:", info.MaxPartitions, "Number of partitions created:", info.Partitions)
	details(a.stdout, "HSM Storage Information", []field{
		{"Directory", info.StorageLocation},
		{"Maximum Storage Space (Bytes)", limit(info.Storage, info.Storage.Total)},
		{"Space In Use (Bytes)", fmt.Sprint(info.Storage.Used)},
		{"Free Space Left (Bytes)", limit(info.Storage, info.Storage.Free)},
	})
}

func (a *app) hsmInitCommand() *cobra.Command {
	var (
		label, profile, storage, policies string

		so     *pinFlag
		domain *pinFlag
		force  *bool
	)
	cmd := a.command("init", "Initialise the HSM: label it and give it an HSM SO", `Initialises the HSM: gives it a label and its HSM SO a PIN. From then on only
the HSM SO makes and deletes partitions. Partitions that were made through the
free slot before stay as they are.

An HSM that has an HSM SO is initialised anew by its HSM SO only. All partitions
are deleted and the label changes. The HSM SO and its PIN, the Auditor and the
policies stay; after `+"`perilune hsm zeroize`"+` there is a new HSM SO, too.`,
		func(cmd *cobra.Command, _ []string) error {
			ctx := cmd.Context()
			info, err := a.hsmInfo(ctx, "cannot initialise the HSM")
			if err != nil {
				return err
			}
			q := &p11.InitHSM{Label: label, Profile: profile}
			if q.Storage, err = storageTotal(storage); err != nil {
				return err
			}
			if err := a.firstHSMPolicies(ctx, policies, q, *force); err != nil {
				return err
			}
			if info.Initialized {
				err = a.confirmInit(ctx, q, info, so, *force)
			} else {
				q.PIN, err = a.newPIN(ctx, so, "so-pin", "HSM SO")
			}
			if err != nil {
				return err
			}
			defer clear(q.PIN)
			if q.Domain, err = a.domain(ctx, domain); err != nil {
				return err
			}
			defer clear(q.Domain)
			if _, err := p11.Call(ctx, a.module, q); err != nil {
				return failing(err, "cannot initialise the HSM")
			}
			fmt.Fprintf(a.stdout, "The HSM is initialised, with the label %q. Its HSM SO can make partitions: `perilune partition create`.\n", label)
			return nil
		})
	cmd.Flags().StringVar(&label, "label", "", "label of the HSM, at most 32 bytes (required)")
	_ = cmd.MarkFlagRequired("label")
	cmd.Flags().StringVar(&profile, "profile", "", "how the HSM behaves (default: as before; a new HSM as \"standard\")")
	policiesFlag(cmd, &policies)
	cmd.Flags().StringVar(&storage, "storage", "", "`bytes` that the HSM has for partitions, or unlimited (default: what the profile says)")
	so = pin(cmd, "so-pin", "PIN of the HSM SO")
	domain = domainFlag(cmd, "cloning domain of the HSM's administration (default: none)")
	force = forceFlag(cmd)
	return cmd
}

// confirmInit asks whether an HSM that has an SO is to be emptied, and logs its
// SO in.
func (a *app) confirmInit(ctx context.Context, q *p11.InitHSM, info p11.HSMInfo, so *pinFlag, force bool) error {
	err := a.confirm(ctx, force, fmt.Sprintf("The HSM %q is initialised already. To initialise it anew destroys %s and all keys. The HSM SO keeps its PIN.",
		info.Label, count(info.Partitions, "partition")))
	if err != nil {
		return err
	}
	_, q.Session, err = a.login(ctx, admin, p11.RoleHSMSO, so, "so-pin")
	return err
}

func (a *app) hsmZeroizeCommand() *cobra.Command {
	return a.destroyCommand(destroyHSM{
		use: "zeroize", short: "Destroy the HSM SO, all partitions and all keys of the HSM",
		long: `Destroys the HSM SO, all partitions and all keys of the HSM. The policies, the
profile and the Auditor stay. It needs no PIN: whoever may write the HSM's files
could delete them too. Nothing brings the keys back, other than a copy of the
HSM's directory.`,
		warning: "This destroys all partitions and keys of the HSM %q in %s: %s. Policies and the Auditor stay.",
		request: &p11.ZeroizeHSM{},
		done:    "The HSM in %s is zeroized: its HSM SO, all partitions and all keys are destroyed.\n",
	})
}

func (a *app) hsmFactoryResetCommand() *cobra.Command {
	return a.destroyCommand(destroyHSM{
		use: "factory-reset", short: "Make the HSM what it was when it was new",
		long: `Destroys the HSM SO, the Auditor, all partitions and all keys of the HSM, and
makes all policies and the profile what they are in a new HSM. Only the serial
numbers go on. It needs no PIN: whoever may write the HSM's files could delete
them too. Nothing brings the keys back, other than a copy of the HSM's directory.`,
		warning: "This destroys all that is in the HSM %q in %s: %s, the Auditor and the policies.",
		request: &p11.FactoryReset{},
		done:    "The HSM in %s is as a new one: all keys, roles, partitions and policies are gone.\n",
	})
}

// destroyHSM is a command that destroys the HSM as a whole.
type destroyHSM struct {
	use, short, long string
	warning          string // with the label, the place and the number of partitions
	request          p11.Typed[p11.None]
	done             string // with the place
}

func (a *app) destroyCommand(d destroyHSM) *cobra.Command {
	var force *bool
	doing := "cannot " + strings.ReplaceAll(d.use, "-", " ") + " the HSM"
	cmd := a.command(d.use, d.short, d.long, func(cmd *cobra.Command, _ []string) error {
		ctx := cmd.Context()
		info, err := a.hsmInfo(ctx, doing)
		if err != nil {
			return err
		}
		err = a.confirm(ctx, *force, fmt.Sprintf(d.warning, info.Label, info.StorageLocation, count(info.Partitions, "partition")))
		if err != nil {
			return err
		}
		if _, err := p11.Call(ctx, a.module, d.request); err != nil {
			return failing(err, "%s", doing)
		}
		fmt.Fprintf(a.stdout, d.done, info.StorageLocation)
		return nil
	})
	force = forceFlag(cmd)
	return cmd
}

// hsmInfo opens the HSM and asks for its state.
func (a *app) hsmInfo(ctx context.Context, doing string) (p11.HSMInfo, error) {
	m, err := a.hsm(ctx)
	if err != nil {
		return p11.HSMInfo{}, err
	}
	info, err := p11.Call(ctx, m, &p11.GetHSMInfo{})
	return info, failing(err, "%s", doing)
}

// homeExists tells whether there is an HSM to look at.
func (a *app) homeExists() bool {
	c, err := config.Load(a.env)
	if err != nil {
		return false
	}
	_, err = os.Stat(c.Home)
	return err == nil
}
