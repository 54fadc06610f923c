package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/cryptoki/p11"
)

// domainFlag adds --domain, which takes what flags for PINs take, or prompt.
func domainFlag(cmd *cobra.Command, usage string) *pinFlag {
	f := &pinFlag{prompts: true, kind: "cloning"}
	cmd.Flags().Var(f, "domain", usage+": env:NAME, file:PATH, fd:N, stdin, or prompt to be asked")
	_ = cmd.RegisterFlagCompletionFunc("domain", cobra.FixedCompletions(
		[]string{"env:", "file:", "fd:", "stdin", "prompt"}, cobra.ShellCompDirectiveNoSpace|cobra.ShellCompDirectiveNoFileComp))
	return f
}

// domain gets the domain from where the flag says; nil if it says nothing.
func (a *app) domain(ctx context.Context, f *pinFlag) ([]byte, error) {
	if f.source == "" {
		return nil, nil
	}
	if f.source != "prompt" && !a.asks(f) {
		b, err := a.read(f)
		return b, failing(err, "cannot get the %s domain (--domain)", f.kind)
	}
	if a.terminal == nil {
		return nil, usagef("there is no terminal to ask on; give --domain as %s", pinSources)
	}
	return a.askTwice(ctx, "domain", capital(f.kind)+" domain: ", "domain")
}

func (a *app) partitionSetDomainCommand() *cobra.Command {
	var (
		at     *targetFlags
		role   *string
		domain *pinFlag
		pins   pinFlags
	)
	cmd := a.command("set-domain", "Give a partition its cloning domain", `Gives a partition its cloning domain, if `+"`perilune partition init`"+` did not. Partitions
with the same domain, on any HSM, can clone objects to each other and read each
other's archives. A partition has one domain, until it is initialised anew.

The domain is worth a key: whoever knows it can read the archives. It has 1 to
128 characters. Random ones are best: openssl rand -base64 24 | tr +/ -_`,
		func(cmd *cobra.Command, _ []string) error {
			ctx := cmd.Context()
			d, err := roleNamed(*role)
			if err != nil {
				return err
			}
			if d.role != p11.RoleCryptoOfficer && d.role != p11.RolePartitionSO {
				return usagef("--role %s: the Crypto Officer (co) or the Partition SO (po) gives a partition its domain", d.short)
			}
			if err := pins.only("--role "+d.short, d.flag); err != nil {
				return err
			}
			t, err := a.theInitialised(ctx, at)
			if err != nil {
				return err
			}
			m, session, err := a.login(ctx, t, d.role, pins[d.flag], d.flag)
			if err != nil {
				return err
			}
			text, err := a.domain(ctx, domain)
			if err != nil {
				return err
			}
			defer clear(text)
			if _, err := p11.Call(ctx, m, &p11.SetCloningDomain{Session: session, Domain: text}); err != nil {
				return failing(err, "cannot set the cloning domain of %s", t)
			}
			fmt.Fprintf(a.stdout, "%s has its cloning domain now.\n", capital(t.String()))
			return nil
		})
	at = a.targetFlags(cmd)
	role = roleFlag(cmd, "co", "co", "po")
	domain = domainFlag(cmd, "the cloning domain (required)")
	_ = cmd.MarkFlagRequired("domain")
	pins = newPINFlags(cmd, "pin", "so-pin")
	return cmd
}

// cloneJSON is what `partition clone --json` tells of an object.
type cloneJSON struct {
	Handle uint64 `json:"handle"`
	Label  string `json:"label"`
	OUID   string `json:"ouid"`
	Clone  uint64 `json:"clone"` // 0 if it failed
	Error  string `json:"error"`
}

func (j cloneJSON) String() string {
	if j.Label == "" {
		return fmt.Sprintf("handle %d", j.Handle)
	}
	return fmt.Sprintf("handle %d (%q)", j.Handle, printable(j.Label))
}

func (a *app) partitionCloneCommand() *cobra.Command {
	var (
		at             *targetFlags
		objects, to    string
		from, pinOther *pinFlag
		replace        bool
		asJSON         *bool
	)
	cmd := a.command("clone", "Clone objects to another partition of this HSM", `Clones objects to another partition of this HSM with the same cloning domain.
Clones have all attributes of the original, its OUID too, and handles of their own.
Each object is cloned by itself: if one fails, the others go on.

To clone to another HSM, make an archive and restore it there:
`+"`perilune partition archive`"+`.`,
		func(cmd *cobra.Command, _ []string) error {
			ctx := cmd.Context()
			source, err := a.theInitialised(ctx, at)
			if err != nil {
				return err
			}
			list, err := a.targets(ctx)
			if err != nil {
				return err
			}
			target, err := byPartition(list, to)
			if err != nil {
				return err
			}
			if target.slot == source.slot {
				return usagef("%s is the source, and --to is to name another partition", source)
			}
			k := &keys{target: source}
			if k.module, k.session, err = a.login(ctx, source, p11.RoleCryptoOfficer, from, "pin"); err != nil {
				return err
			}
			handles, err := k.handles(ctx, objects)
			if err != nil {
				return err
			}
			_, session, err := a.login(ctx, target, p11.RoleCryptoOfficer, pinOther, "to-pin")
			if err != nil {
				return err
			}
			return a.clone(ctx, k, target, session, handles, replace, *asJSON)
		})
	at = a.targetFlags(cmd)
	cmd.Flags().StringVar(&objects, "objects", "", "`handles` of the objects, separated by commas, or all (required)")
	cmd.Flags().StringVar(&to, "to", "", "the partition with this `name`, label or serial number (required)")
	_ = cmd.MarkFlagRequired("objects")
	_ = cmd.MarkFlagRequired("to")
	cmd.Flags().BoolVar(&replace, "replace", false, "replace objects that are there already")
	from = pin(cmd, "pin", "PIN of the source's Crypto Officer")
	pinOther = pin(cmd, "to-pin", "PIN of the target's Crypto Officer")
	asJSON = jsonFlag(cmd)
	return cmd
}

// handles reads a list of handles; all stands for those of all objects.
func (k *keys) handles(ctx context.Context, text string) (list []ck.ObjectHandle, err error) {
	if text == "all" {
		list, err = k.find(ctx, []ck.Attribute{ck.NewBool(ck.CKA_TOKEN, true)})
		return list, failing(err, "cannot list the objects of %s", k.target)
	}
	for _, word := range strings.Split(text, ",") {
		n, err := strconv.ParseUint(strings.TrimSpace(word), 0, 64)
		if err != nil {
			return nil, usagef("--objects takes handles, separated by commas, or all; %q is no handle", word)
		}
		list = append(list, ck.ObjectHandle(n))
	}
	return list, nil
}

// clone clones one object after the other.
func (a *app) clone(ctx context.Context, k *keys, target target, session ck.SessionHandle, handles []ck.ObjectHandle, replace, asJSON bool) error {
	done := []cloneJSON{}
	failed := 0
	for _, handle := range handles {
		j := cloneJSON{Handle: uint64(handle)}
		err := k.cloneOne(ctx, &j, session, replace)
		if ctx.Err() != nil {
			return failing(err, "cloned %s, and then stopped", count(len(done)-failed, "object"))
		}
		if err != nil {
			failed++
			j.Error = reason(err)
			p := &problem{doing: "cannot clone " + j.String(), err: err}
			if ck.RVOf(err) == ck.CKR_OBJECT_ALREADY_EXISTS {
				p.fix = "--replace replaces it"
			}
			fmt.Fprintln(a.stderr, "perilune:", describe(p))
		} else if !asJSON {
			fmt.Fprintf(a.stdout, "%s on slot %d is now handle %d on slot %d\n", j, uint64(k.target.slot), j.Clone, uint64(target.slot))
		}
		done = append(done, j)
	}
	if asJSON {
		if err := a.printJSON(done); err != nil {
			return err
		}
	}
	if failed > 0 {
		return fmt.Errorf("%d of %d objects were not cloned to %s", failed, len(handles), target)
	}
	return nil
}

func (k *keys) cloneOne(ctx context.Context, j *cloneJSON, session ck.SessionHandle, replace bool) error {
	handle := ck.ObjectHandle(j.Handle)
	attrs, err := k.attributes(ctx, handle, ck.CKA_LABEL, ck.CKA_OUID)
	if err != nil {
		return err
	}
	j.Label, j.OUID = string(value(attrs, ck.CKA_LABEL)), fmt.Sprintf("%x", value(attrs, ck.CKA_OUID))
	r, err := p11.Call(ctx, k.module, &p11.CloneObject{Session: session, Source: k.session, Object: handle, Replace: replace})
	j.Clone = uint64(r.Object)
	return err
}
