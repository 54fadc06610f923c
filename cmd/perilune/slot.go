package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/cryptoki/p11"
)

func (a *app) slotCommand() *cobra.Command {
	cmd := a.group("slot", "Slots, as PKCS#11 programs see them", "")
	cmd.AddCommand(a.slotListCommand())
	return cmd
}

// slotJSON is what `slot list --json` tells of a slot.
type slotJSON struct {
	Slot        uint64 `json:"slot"`
	Free        bool   `json:"free"`
	Partition   string `json:"partition,omitempty"`
	Label       string `json:"label"`
	Serial      string `json:"serial"`
	Initialized bool   `json:"initialized"`
}

func (a *app) slotListCommand() *cobra.Command {
	var asJSON *bool
	cmd := a.command("list", "List the slots", `Lists the slots as PKCS#11 programs see them: one for each partition. On an HSM
that was never initialised there is one free slot more, whose initialisation
makes a partition.`,
		func(cmd *cobra.Command, _ []string) error {
			targets, err := a.targets(cmd.Context())
			if err != nil {
				return err
			}
			list := []slotJSON{}
			var rows [][]string
			for _, t := range targets {
				list = append(list, slotJSON{
					Slot: uint64(t.slot), Free: t.free, Partition: t.info.Name, Label: t.info.Label,
					Serial: t.info.Serial, Initialized: t.info.Initialized,
				})
				rows = append(rows, []string{fmt.Sprint(uint64(t.slot)), t.info.Serial, t.info.Label, or(t.info.Name, "-"), t.state()})
			}
			if *asJSON {
				return a.printJSON(list)
			}
			return table(a.stdout, []string{"Slot", "Serial #", "Label", "Partition", "State"}, rows)
		})
	asJSON = jsonFlag(cmd)
	return cmd
}

// target is a slot that a command works on.
type target struct {
	slot ck.SlotID
	free bool // no partition yet
	info p11.PartitionInfo
}

// admin is where the HSM SO logs in.
var admin = target{slot: p11.AdminSlot}

func (t target) String() string {
	switch {
	case t.slot == p11.AdminSlot:
		return "the HSM"
	case t.free:
		return fmt.Sprintf("the free slot %d", uint64(t.slot))
	}
	if t.info.Damaged {
		return fmt.Sprintf("the damaged partition in slot %d", uint64(t.slot))
	}
	return fmt.Sprintf("partition %q (slot %d)", t.info.Name, uint64(t.slot))
}

func (t target) state() string {
	switch {
	case t.free:
		return "free"
	case t.info.Damaged:
		return "damaged"
	case t.info.Initialized:
		return "initialised"
	}
	return "not initialised"
}

// targets lists the slots with their partitions.
func (a *app) targets(ctx context.Context) ([]target, error) {
	m, err := a.hsm(ctx)
	if err != nil {
		return nil, err
	}
	slots, err := p11.Call(ctx, m, &p11.GetSlotList{})
	if err != nil {
		return nil, failing(err, "cannot list the slots")
	}
	parts, err := p11.Call(ctx, m, &p11.ListPartitions{})
	if err != nil {
		return nil, failing(err, "cannot list the partitions")
	}
	byslot := map[ck.SlotID]p11.PartitionInfo{}
	for _, p := range parts.Partitions {
		byslot[p.Slot] = p
	}
	var list []target
	for _, slot := range slots.Slots {
		info, ok := byslot[slot]
		list = append(list, target{slot: slot, free: !ok, info: info})
	}
	for _, p := range parts.Partitions {
		if p.Damaged { // programs do not see it
			list = append(list, target{slot: p.Slot, info: p})
		}
	}
	return list, nil
}

// targetFlags are --slot and --partition.
type targetFlags struct{ slot, partition string }

func (a *app) targetFlags(cmd *cobra.Command) *targetFlags {
	f := new(targetFlags)
	cmd.Flags().StringVar(&f.slot, "slot", "", "the partition in the slot with this `number`")
	cmd.Flags().StringVar(&f.partition, "partition", "", "the partition with this `name`, label or serial number")
	cmd.MarkFlagsMutuallyExclusive("slot", "partition")
	_ = cmd.RegisterFlagCompletionFunc("slot", a.completeTargets(func(t target) string {
		return fmt.Sprintf("%d\t%s", uint64(t.slot), t.info.Label)
	}))
	_ = cmd.RegisterFlagCompletionFunc("partition", a.completeTargets(partitionCompletion))
	return f
}

func partitionCompletion(t target) string {
	if t.free {
		return ""
	}
	return t.info.Name + "\t" + t.info.Label
}

func (f *targetFlags) given() bool { return f.slot != "" || f.partition != "" }

// target finds the slot that the flags name. Without any it is the one that a
// shell uses, or else the only one for which fallback is true.
func (a *app) target(ctx context.Context, f *targetFlags, fallback func(target) bool, one, many string) (target, error) {
	list, err := a.targets(ctx)
	if err != nil {
		return target{}, err
	}
	if f.slot != "" {
		return bySlot(list, f.slot)
	}
	if f.partition != "" {
		return byPartition(list, f.partition)
	}
	if a.shell != nil && a.shell.chosen != "" {
		return bySlot(list, a.shell.chosen)
	}
	var found []target
	for _, t := range list {
		if fallback(t) {
			found = append(found, t)
		}
	}
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		return target{}, &problem{doing: "cannot choose a partition", err: errors.New("there is no " + one),
			fix: "`perilune slot list` shows the slots; `perilune partition create` and `perilune partition init` make partitions"}
	}
	return target{}, usagef("there are %d %s; choose one with --slot or --partition (`perilune slot list` shows them)", len(found), many)
}

func bySlot(list []target, text string) (target, error) {
	n, err := strconv.ParseUint(text, 0, 64)
	if err != nil {
		return target{}, usagef("--slot %q is not a number; --partition takes a name, label or serial number", text)
	}
	for _, t := range list {
		if uint64(t.slot) == n {
			return t, nil
		}
	}
	return target{}, &problem{doing: fmt.Sprintf("cannot use slot %d", n), err: errors.New("there is no such slot"),
		fix: "`perilune slot list` shows the slots there are"}
}

// byPartition looks for a name first, for names are unique, then for a serial
// number, then for a label.
func byPartition(list []target, text string) (target, error) {
	for _, key := range []func(target) string{
		func(t target) string { return t.info.Name },
		func(t target) string { return t.info.Serial },
		func(t target) string { return t.info.Label },
	} {
		var found []target
		for _, t := range list {
			if !t.free && key(t) == text {
				found = append(found, t)
			}
		}
		if len(found) == 1 {
			return found[0], nil
		}
		if len(found) > 1 {
			return target{}, usagef("%d partitions have the label %q; choose one with --slot (`perilune slot list` shows them)", len(found), text)
		}
	}
	return target{}, &problem{doing: fmt.Sprintf("cannot use partition %q", text),
		err: errors.New("no partition has this name, label or serial number"),
		fix: "`perilune partition list` shows the partitions there are"}
}

// initialised accepts the partitions that can be logged in to.
func initialised(t target) bool { return t.info.Initialized }

// theInitialised is target for commands that log in.
func (a *app) theInitialised(ctx context.Context, f *targetFlags) (target, error) {
	t, err := a.target(ctx, f, initialised, "initialised partition", "initialised partitions")
	if err == nil && !t.info.Initialized {
		err = &problem{doing: "cannot use " + t.String(), err: errors.New("it is not initialised"),
			fix: fmt.Sprintf("`perilune partition init --slot %d --label LABEL` initialises it", uint64(t.slot))}
	}
	return t, err
}

// theMade is target for commands on any partition, initialised or not.
func (a *app) theMade(ctx context.Context, f *targetFlags) (target, error) {
	t, err := a.target(ctx, f, func(t target) bool { return !t.free }, "partition", "partitions")
	if err == nil && t.free {
		err = &problem{doing: "cannot use " + t.String(), err: errors.New("it holds no partition"),
			fix: fmt.Sprintf("`perilune partition init --slot %d --label LABEL` makes one", uint64(t.slot))}
	}
	return t, err
}

// open opens a session on a slot.
func (a *app) openSession(ctx context.Context, t target) (p11.Module, ck.SessionHandle, error) {
	m, err := a.hsm(ctx)
	if err != nil {
		return nil, 0, err
	}
	r, err := p11.Call(ctx, m, &p11.OpenSession{Slot: t.slot, Flags: ck.CKF_SERIAL_SESSION | ck.CKF_RW_SESSION})
	if err == nil {
		a.sessions = append(a.sessions, r.Session)
	}
	return m, r.Session, failing(err, "cannot open a session on %s", t)
}

// login opens a session and logs a role in, with the PIN from a flag. It refuses
// before asking for a PIN that could not be right.
func (a *app) login(ctx context.Context, t target, role p11.Role, f *pinFlag, flag string) (p11.Module, ck.SessionHandle, error) {
	doing := fmt.Sprintf("cannot log in as %s of %s", role, t)
	if err := a.mayLogin(ctx, doing, t, role); err != nil {
		return nil, 0, err
	}
	if _, ok := a.held(t.slot); ok {
		if f.source != "" {
			return nil, 0, usagef("the %s is logged in already: leave --%s out, or `logout` first", role, flag)
		}
		return a.openSession(ctx, t)
	}
	whose := role.String()
	if t.slot != p11.AdminSlot {
		whose = fmt.Sprintf("%s of %s", role, t)
	}
	pin, err := a.currentPIN(ctx, f, flag, whose+a.warnTries(ctx, t, role))
	if err != nil {
		return nil, 0, err
	}
	defer clear(pin)
	return a.loginWith(ctx, t, role, pin)
}

// loginWith is login with a PIN at hand, which is proven even if the shell keeps
// the role logged in.
func (a *app) loginWith(ctx context.Context, t target, role p11.Role, pin []byte) (p11.Module, ck.SessionHandle, error) {
	m, session, err := a.openSession(ctx, t)
	if err != nil {
		return nil, 0, err
	}
	if l, ok := a.held(t.slot); ok {
		_, _ = p11.Call(ctx, m, &p11.Logout{Session: l.session})
	}
	_, err = p11.Call(ctx, m, &p11.Login{Session: session, User: role.User(), PIN: pin})
	return m, session, a.loginProblem(ctx, err, fmt.Sprintf("cannot log in as %s of %s", role, t), t, role)
}

// mayLogin says at once what no PIN would change.
func (a *app) mayLogin(ctx context.Context, doing string, t target, role p11.Role) error {
	info, err := a.roleInfo(ctx, t.slot, role)
	switch {
	case err != nil:
		return failing(err, "%s", doing)
	case !info.Initialized:
		return a.loginProblem(ctx, ck.CKR_USER_PIN_NOT_INITIALIZED, doing, t, role)
	case info.LockedUntil != "":
		return a.loginProblem(ctx, ck.CKR_AUDIT_LOGIN_TIMEOUT_IN_PROGRESS, doing, t, role)
	case info.Locked:
		return a.loginProblem(ctx, ck.CKR_PIN_LOCKED, doing, t, role)
	}
	return a.mayJoin(doing, t, role)
}

// warnTries is added to a prompt when PINs were wrong lately.
func (a *app) warnTries(ctx context.Context, t target, role p11.Role) string {
	info, err := a.roleInfo(ctx, t.slot, role)
	if err != nil || info.AttemptsLeft >= info.Threshold {
		return ""
	}
	if info.AttemptsLeft == 1 {
		return " (last try)"
	}
	return fmt.Sprintf(" (%d tries left)", info.AttemptsLeft)
}

// roleInfo is the state of one role of a slot.
func (a *app) roleInfo(ctx context.Context, slot ck.SlotID, role p11.Role) (p11.RoleInfo, error) {
	m, err := a.hsm(ctx)
	if err != nil {
		return p11.RoleInfo{}, err
	}
	list, err := p11.Call(ctx, m, &p11.ListRoles{Slot: slot})
	if err != nil {
		return p11.RoleInfo{}, err
	}
	for _, r := range list.Roles {
		if r.Role == role {
			return r, nil
		}
	}
	return p11.RoleInfo{}, fmt.Errorf("there is no %s on slot %d: %w", role, uint64(slot), ck.CKR_USER_TYPE_INVALID)
}

// completeTargets completes a flag that names a slot. It makes no HSM where
// there is none.
func (a *app) completeTargets(text func(target) string) cobra.CompletionFunc {
	return func(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
		var list []string
		if a.homeExists() {
			targets, _ := a.targets(cmd.Context())
			for _, t := range targets {
				if s := text(t); s != "" {
					list = append(list, s)
				}
			}
		}
		return list, cobra.ShellCompDirectiveNoFileComp
	}
}
