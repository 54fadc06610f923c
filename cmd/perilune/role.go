package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/cryptoki/p11"
)

func (a *app) roleCommand() *cobra.Command {
	cmd := a.group("role", "Roles: who may do what, and their PINs", `Roles: who may do what, and their PINs.

  so   HSM SO                  makes and deletes partitions, sets policies of the HSM
  au   Auditor                 keeps the audit log
  po   Partition SO            sets policies of a partition and its Crypto Officer's PIN
  co   Crypto Officer          makes and uses keys, sets the PINs of the other two
  lco  Limited Crypto Officer  makes and uses keys
  cu   Crypto User             uses keys`)
	cmd.AddCommand(a.roleInitCommand(), a.roleListCommand(), a.roleShowCommand(), a.roleChangeCommand(), a.roleResetCommand())
	return cmd
}

// roleDef is what the program knows of a role.
type roleDef struct {
	short, long string
	role        p11.Role
	flag        string // of its own PIN
	ruler       string // short name of the role that sets its PIN
	first       string // command that sets the first PIN, if it is not `role init`
}

var roleDefs = []roleDef{
	{short: "so", long: "hsm-so", role: p11.RoleHSMSO, flag: "hsm-so-pin", first: "perilune hsm init"},
	{short: "po", long: "partition-so", role: p11.RolePartitionSO, flag: "so-pin", first: "perilune partition init"},
	{short: "co", long: "crypto-officer", role: p11.RoleCryptoOfficer, flag: "pin", ruler: "po"},
	{short: "cu", long: "crypto-user", role: p11.RoleCryptoUser, flag: "pin", ruler: "co"},
	{short: "lco", long: "limited-crypto-officer", role: p11.RoleLimitedCryptoOfficer, flag: "pin", ruler: "co"},
	{short: "au", long: "auditor", role: p11.RoleAuditor, flag: "audit-pin", first: "perilune audit init"},
}

// roleNamed finds a role by its short or long name.
func roleNamed(name string) (roleDef, error) {
	for _, d := range roleDefs {
		if strings.EqualFold(name, d.short) || strings.EqualFold(name, d.long) {
			return d, nil
		}
	}
	return roleDef{}, usagef("--role %q: the roles are so, po, co, lco, cu and au", name)
}

// ofHSM tells that a role belongs to the HSM and to no partition.
func (d roleDef) ofHSM() bool { return d.role == p11.RoleHSMSO || d.role == p11.RoleAuditor }

// loginFlags are the flags for the PINs of all roles.
func loginFlags() (flags []string) {
	for _, d := range roleDefs {
		if !slices.Contains(flags, d.flag) {
			flags = append(flags, d.flag)
		}
	}
	return flags
}

// roleNames are the short names of all roles.
func roleNames() (names []string) {
	for _, d := range roleDefs {
		names = append(names, d.short)
	}
	return names
}

// defOf is what the program knows of a role.
func defOf(role p11.Role) roleDef {
	for _, d := range roleDefs {
		if d.role == role {
			return d
		}
	}
	return roleDef{role: role}
}

func shortOf(role p11.Role) string { return defOf(role).short }

// roleFlag adds --role, required unless there is a default.
func roleFlag(cmd *cobra.Command, byDefault string, names ...string) *string {
	f := cmd.Flags().String("role", byDefault, "the role: "+strings.Join(names, ", "))
	if byDefault == "" {
		_ = cmd.MarkFlagRequired("role")
	}
	_ = cmd.RegisterFlagCompletionFunc("role", cobra.FixedCompletions(names, cobra.ShellCompDirectiveNoFileComp))
	return f
}

// pinFlags are the flags for the PINs of all roles.
type pinFlags map[string]*pinFlag

func newPINFlags(cmd *cobra.Command, names ...string) pinFlags {
	whose := map[string]string{
		"hsm-so-pin": "PIN of the HSM SO",
		"so-pin":     "PIN of the Partition SO",
		"pin":        "PIN of the Crypto Officer, Limited Crypto Officer or Crypto User",
		"audit-pin":  "PIN of the Auditor",
		"new-pin":    "the new PIN",
	}
	flags := pinFlags{}
	for _, name := range names {
		flags[name] = pin(cmd, name, whose[name])
	}
	return flags
}

// only refuses PINs of roles that the command has no use for.
func (f pinFlags) only(what string, names ...string) error {
	for name, flag := range f {
		used := false
		for _, n := range names {
			used = used || n == name
		}
		if !used && flag.source != "" {
			return usagef("%s has no use for --%s; it takes --%s", what, name, strings.Join(names, " and --"))
		}
	}
	return nil
}

// roleJSON is what --json tells of a role.
type roleJSON struct {
	Slot         *uint64 `json:"slot"` // null for the roles of the HSM
	Partition    string  `json:"partition,omitempty"`
	Role         string  `json:"role"`
	Name         string  `json:"name"`
	Initialized  bool    `json:"initialized"`
	Locked       bool    `json:"locked"`
	LockedUntil  string  `json:"locked_until,omitempty"`
	MustChange   bool    `json:"must_change"`
	AttemptsLeft int     `json:"attempts_left"`
	Threshold    int     `json:"threshold"`
}

// roles lists the roles of a slot.
func (a *app) roles(ctx context.Context, t target) ([]roleJSON, error) {
	m, err := a.hsm(ctx)
	if err != nil {
		return nil, err
	}
	r, err := p11.Call(ctx, m, &p11.ListRoles{Slot: t.slot})
	if err != nil {
		return nil, failing(err, "cannot list the roles of %s", t)
	}
	list := []roleJSON{}
	for _, r := range r.Roles {
		j := roleJSON{
			Partition: t.info.Name, Role: shortOf(r.Role), Name: r.Role.String(), Initialized: r.Initialized,
			Locked: r.Locked, LockedUntil: r.LockedUntil, MustChange: r.MustChange,
			AttemptsLeft: r.AttemptsLeft, Threshold: r.Threshold,
		}
		if t.slot != p11.AdminSlot {
			slot := uint64(t.slot)
			j.Slot = &slot
		}
		list = append(list, j)
	}
	return list, nil
}

// state is the state of a role in words.
func (r roleJSON) state() string {
	switch {
	case !r.Initialized:
		return "not initialised"
	case r.Locked && r.LockedUntil != "":
		return "locked out until " + r.LockedUntil
	case r.Locked:
		return "locked out"
	case r.MustChange:
		return "PIN change required"
	}
	return "initialised"
}

func (r roleJSON) triesLeft() string {
	switch {
	case !r.Initialized:
		return "-"
	case r.Locked:
		return "0"
	}
	return fmt.Sprintf("%d of %d", r.AttemptsLeft, r.Threshold)
}

func (a *app) printRoles(roles []roleJSON) error {
	var rows [][]string
	for _, r := range roles {
		slot := "-"
		if r.Slot != nil {
			slot = fmt.Sprint(*r.Slot)
		}
		rows = append(rows, []string{slot, or(r.Partition, "-"), r.Name, r.Role, r.state(), r.triesLeft()})
	}
	return table(a.stdout, []string{"Slot", "Partition", "Role", "Short", "State", "Tries left"}, rows)
}

func (a *app) roleListCommand() *cobra.Command {
	var (
		at     *targetFlags
		asJSON *bool
	)
	cmd := a.command("list", "List the roles, whether they are initialised or locked, and the tries they have left",
		"Lists the roles of the HSM and of all partitions, or of the partition that is named.",
		func(cmd *cobra.Command, _ []string) error {
			ctx := cmd.Context()
			var targets []target
			if at.given() {
				t, err := a.theMade(ctx, at)
				if err != nil {
					return err
				}
				targets = []target{t}
			} else {
				list, err := a.targets(ctx)
				if err != nil {
					return err
				}
				targets = append([]target{admin}, list...)
			}
			all := []roleJSON{}
			for _, t := range targets {
				if t.free {
					continue
				}
				roles, err := a.roles(ctx, t)
				if err != nil {
					return err
				}
				all = append(all, roles...)
			}
			if *asJSON {
				return a.printJSON(all)
			}
			return a.printRoles(all)
		})
	at = a.targetFlags(cmd)
	asJSON = jsonFlag(cmd)
	return cmd
}

func (a *app) roleShowCommand() *cobra.Command {
	var (
		at     *targetFlags
		role   *string
		asJSON *bool
	)
	cmd := a.command("show", "Show the state of one role", "", func(cmd *cobra.Command, _ []string) error {
		ctx := cmd.Context()
		d, err := roleNamed(*role)
		if err != nil {
			return err
		}
		t, err := a.placeOf(ctx, d, at)
		if err != nil {
			return err
		}
		roles, err := a.roles(ctx, t)
		if err != nil {
			return err
		}
		for _, r := range roles {
			if r.Role != d.short {
				continue
			}
			if *asJSON {
				return a.printJSON(r)
			}
			return a.showRole(ctx, t, d, r)
		}
		return fmt.Errorf("%s has no %s", t, d.role)
	})
	at = a.targetFlags(cmd)
	role = roleFlag(cmd, "", roleNames()...)
	asJSON = jsonFlag(cmd)
	return cmd
}

func (a *app) showRole(ctx context.Context, t target, d roleDef, r roleJSON) error {
	from := "`" + d.first + "`"
	if d.ruler != "" {
		ruler, _ := roleNamed(d.ruler)
		from = "the " + ruler.role.String()
	}
	details(a.stdout, "State of the "+d.role.String(), []field{
		{"Of", t.String()},
		{"Short name", d.short},
		{"State", r.state()},
		{"Authentication", "Password"},
		{"Tries left", r.triesLeft()},
		{"After the last wrong PIN", a.consequence(ctx, d.role)},
		{"First PIN from", from},
	})
	return nil
}

// placeOf is where a role logs in: the HSM, or the partition that the flags name.
func (a *app) placeOf(ctx context.Context, d roleDef, at *targetFlags) (target, error) {
	if !d.ofHSM() {
		return a.theInitialised(ctx, at)
	}
	if at.given() {
		return target{}, usagef("the %s belongs to no partition: leave --slot and --partition out", d.role)
	}
	_, err := a.hsm(ctx)
	return admin, err
}

func (a *app) roleInitCommand() *cobra.Command {
	var (
		at   *targetFlags
		role *string
		pins pinFlags
	)
	cmd := a.command("init", "Give a role its first PIN", `Gives a role its first PIN. The Partition SO does that for the Crypto Officer
(--so-pin is the SO's, --new-pin the officer's), and the Crypto Officer for the
Limited Crypto Officer and the Crypto User (--pin is the officer's, --new-pin the
other's).`,
		func(cmd *cobra.Command, _ []string) error {
			return a.setPINOf(cmd.Context(), *role, at, pins, false)
		})
	at = a.targetFlags(cmd)
	role = roleFlag(cmd, "", "co", "lco", "cu")
	pins = newPINFlags(cmd, "so-pin", "pin", "new-pin")
	return cmd
}

func (a *app) roleResetCommand() *cobra.Command {
	var (
		at   *targetFlags
		role *string
		pins pinFlags
	)
	cmd := a.command("resetpw", "Give a role that forgot its PIN, or is locked, a new one", `Gives a role that forgot its PIN, or is locked, a new one. The keys stay. The
Partition SO does that for the Crypto Officer (--so-pin is the SO's, --new-pin
the officer's), and the Crypto Officer for the Limited Crypto Officer and the
Crypto User (--pin is the officer's, --new-pin the other's).`,
		func(cmd *cobra.Command, _ []string) error {
			return a.setPINOf(cmd.Context(), *role, at, pins, true)
		})
	at = a.targetFlags(cmd)
	role = roleFlag(cmd, "", "co", "lco", "cu")
	pins = newPINFlags(cmd, "so-pin", "pin", "new-pin")
	return cmd
}

// setPINOf sets the PIN of a role as the role that rules it.
func (a *app) setPINOf(ctx context.Context, name string, at *targetFlags, pins pinFlags, exists bool) error {
	d, err := roleNamed(name)
	if err != nil {
		return err
	}
	if d.ruler == "" {
		if exists {
			return usagef("nobody can give the %s a new PIN; it can change the one it has: `perilune role changepw --role %s`", d.role, d.short)
		}
		return usagef("the %s gets its first PIN from `%s`", d.role, d.first)
	}
	ruler, err := roleNamed(d.ruler)
	if err != nil {
		return err
	}
	if err := pins.only("setting the PIN of the "+d.role.String(), ruler.flag, "new-pin"); err != nil {
		return err
	}
	t, err := a.theInitialised(ctx, at)
	if err != nil {
		return err
	}
	doing := fmt.Sprintf("cannot set the PIN of the %s of %s", d.role, t)
	if err := a.mayBeSet(ctx, doing, t, d, exists); err != nil {
		return err
	}
	m, session, err := a.login(ctx, t, ruler.role, pins[ruler.flag], ruler.flag)
	if err != nil {
		return err
	}
	pin, err := a.newPIN(ctx, pins["new-pin"], "new-pin", fmt.Sprintf("%s of %s", d.role, t))
	if err != nil {
		return err
	}
	defer clear(pin)
	if exists {
		_, err = p11.Call(ctx, m, &p11.ResetRole{Session: session, Role: d.role, PIN: pin})
	} else {
		_, err = p11.Call(ctx, m, &p11.InitRole{Session: session, Role: d.role, PIN: pin})
	}
	if err != nil {
		return failing(err, "%s", doing)
	}
	what := "has its PIN and can log in."
	if exists {
		what = "has a new PIN and is not locked."
	}
	if info, err := a.roleInfo(ctx, t.slot, d.role); err == nil && info.MustChange {
		what += fmt.Sprintf(" It must change the PIN before it does anything else: `perilune role changepw --role %s --slot %d`.", d.short, uint64(t.slot))
	}
	fmt.Fprintf(a.stdout, "The %s of %s %s\n", d.role, t, what)
	return nil
}

// mayBeSet says what the HSM would say, before anybody has to enter PINs.
func (a *app) mayBeSet(ctx context.Context, doing string, t target, d roleDef, exists bool) error {
	info, err := a.roleInfo(ctx, t.slot, d.role)
	switch {
	case err != nil:
		return failing(err, "%s", doing)
	case exists && !info.Initialized:
		return a.loginProblem(ctx, ck.CKR_USER_PIN_NOT_INITIALIZED, doing, t, d.role)
	case !exists && info.Initialized:
		return &problem{doing: doing, err: errors.New("it has one already"),
			fix: fmt.Sprintf("`perilune role resetpw --role %s --slot %d` gives a new one, `perilune role changepw` lets the role change its own", d.short, uint64(t.slot))}
	}
	return nil
}

func (a *app) roleChangeCommand() *cobra.Command {
	var (
		at   *targetFlags
		role *string
		pins pinFlags
	)
	cmd := a.command("changepw", "Change the PIN of a role, as that role", `Changes the PIN of a role, as that role. The present PIN is --hsm-so-pin for the
HSM SO, --audit-pin for the Auditor, --so-pin for the Partition SO, and --pin for
the other roles. A wrong present PIN counts as a failed login.`,
		func(cmd *cobra.Command, _ []string) error {
			ctx := cmd.Context()
			d, err := roleNamed(*role)
			if err != nil {
				return err
			}
			if err := pins.only("changing the PIN of the "+d.role.String(), d.flag, "new-pin"); err != nil {
				return err
			}
			t, err := a.placeOf(ctx, d, at)
			if err != nil {
				return err
			}
			return a.changePIN(ctx, t, d, pins)
		})
	at = a.targetFlags(cmd)
	role = roleFlag(cmd, "", roleNames()...)
	pins = newPINFlags(cmd, append(loginFlags(), "new-pin")...)
	return cmd
}

func (a *app) changePIN(ctx context.Context, t target, d roleDef, pins pinFlags) error {
	doing := fmt.Sprintf("cannot change the PIN of the %s of %s", d.role, t)
	if err := a.mayLogin(ctx, doing, t, d.role); err != nil {
		return err
	}
	whose := fmt.Sprintf("%s of %s", d.role, t)
	old, err := a.currentPIN(ctx, pins[d.flag], d.flag, whose+a.warnTries(ctx, t, d.role))
	if err != nil {
		return err
	}
	defer clear(old)
	m, session, err := a.loginWith(ctx, t, d.role, old)
	if err != nil {
		return err
	}
	pin, err := a.newPIN(ctx, pins["new-pin"], "new-pin", whose)
	if err != nil {
		return err
	}
	defer clear(pin)
	if _, err := p11.Call(ctx, m, &p11.SetPIN{Session: session, Old: old, New: pin}); err != nil {
		return a.loginProblem(ctx, err, doing, t, d.role)
	}
	fmt.Fprintf(a.stdout, "The %s of %s has a new PIN.\n", d.role, t)
	return nil
}
