package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/cryptoki/p11"
)

// usageError is a command line that cannot be carried out.
type usageError struct{ text string }

func (e usageError) Error() string { return e.text }

func usagef(format string, args ...any) error { return usageError{fmt.Sprintf(format, args...)} }

// problem is something that did not work: what was being done, why it failed,
// and what to do about it.
type problem struct {
	doing string
	err   error
	fix   string
}

func (p *problem) Error() string { return p.doing + ": " + p.err.Error() }
func (p *problem) Unwrap() error { return p.err }

// failing wraps an error with what was being done.
func failing(err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	return &problem{doing: fmt.Sprintf(format, args...), err: err}
}

// describe is the text that people read: what happened, to what, what to do.
func describe(err error) string {
	var p *problem
	if !errors.As(err, &p) {
		return reason(err)
	}
	text := p.doing + ": " + reason(p.err)
	fix := p.fix
	if rv := ck.RV(0); fix == "" && errors.As(p.err, &rv) {
		fix = remedies[rv]
	}
	if r := (*p11.Refusal)(nil); fix == "" && errors.As(p.err, &r) {
		fix = r.Remedy
	}
	if fix != "" {
		text += "\n  " + fix + "."
	}
	return text
}

// reason is why something failed. Return codes keep their name, so that it can
// be looked up, but are put into words.
func reason(err error) string {
	var rv ck.RV
	if !errors.As(err, &rv) {
		return err.Error()
	}
	text := strings.TrimSuffix(strings.TrimSuffix(err.Error(), rv.Error()), ": ")
	if text == "" {
		text = reasons[rv]
	}
	if text == "" {
		return rv.Error()
	}
	return text + " (" + rv.Error() + ")"
}

// interruption tells what an interrupted command had been doing.
func interruption(err error) string {
	var p *problem
	if errors.As(err, &p) {
		return p.doing
	}
	return "nothing was changed"
}

// reasons puts into words the return codes that come without words of their own.
var reasons = map[ck.RV]string{
	ck.CKR_USER_NOT_LOGGED_IN:             "nobody is logged in",
	ck.CKR_USER_NOT_AUTHORIZED:            "the role that is logged in may not do this",
	ck.CKR_USER_ALREADY_LOGGED_IN:         "the role is logged in already",
	ck.CKR_USER_ANOTHER_ALREADY_LOGGED_IN: "another role is logged in",
	ck.CKR_PIN_INCORRECT:                  "wrong PIN",
	ck.CKR_PIN_LOCKED:                     "the role is locked after too many wrong PINs",
	ck.CKR_PIN_LEN_RANGE:                  "the PIN is too short or too long",
	ck.CKR_PIN_EXPIRED:                    "the PIN must be changed first",
	ck.CKR_USER_PIN_NOT_INITIALIZED:       "the role has no PIN yet",
	ck.CKR_SO_LOGIN_FAILURE_THRESHOLD:     "that was the last try at the HSM SO's PIN: the HSM was zeroized",
	ck.CKR_SESSION_EXISTS:                 "sessions are open on the slot",
	ck.CKR_SLOT_ID_INVALID:                "there is no such slot",
	ck.CKR_DEVICE_REMOVED:                 "the partition was emptied or deleted by another program",
	ck.CKR_TOKEN_NOT_RECOGNIZED:           "the slot holds no initialised partition",
	ck.CKR_TOKEN_WRITE_PROTECTED:          "the HSM cannot be written",
	ck.CKR_DEVICE_MEMORY:                  "there is no room left",
	ck.CKR_DEVICE_ERROR:                   "the stored data cannot be read",
	ck.CKR_MECHANISM_INVALID:              "the HSM does not have the mechanism",
	ck.CKR_KEY_SIZE_RANGE:                 "the HSM does not make keys of this size",
	ck.CKR_CURVE_NOT_SUPPORTED:            "the HSM does not have the curve",
	ck.CKR_ATTRIBUTE_VALUE_INVALID:        "a value is not allowed",
	ck.CKR_TEMPLATE_INCONSISTENT:          "the wishes contradict each other",
	ck.CKR_ACTION_PROHIBITED:              "the object does not allow it",
	ck.CKR_OBJECT_HANDLE_INVALID:          "the object is gone",
	ck.CKR_FUNCTION_NOT_SUPPORTED:         "the HSM does not offer this",
}

// remedies says what to do about return codes, where no command knows better.
var remedies = map[ck.RV]string{
	ck.CKR_USER_PIN_NOT_INITIALIZED:         "`perilune role list` shows which roles have a PIN; `perilune partition init` and `perilune role init` give them one",
	ck.CKR_SO_LOGIN_FAILURE_THRESHOLD:       "All partitions and keys are destroyed. `perilune hsm init` begins anew",
	ck.CKR_SESSION_EXISTS:                   "Stop the programs that use the slot, `logout` in a shell that is logged in to it, and try again",
	ck.CKR_SLOT_ID_INVALID:                  "`perilune slot list` shows the slots there are",
	ck.CKR_DEVICE_REMOVED:                   "`perilune partition list` shows how things are now",
	ck.CKR_TOKEN_NOT_RECOGNIZED:             "`perilune partition init` initialises the partition",
	ck.CKR_TOKEN_WRITE_PROTECTED:            "Run the command as the user who owns the HSM's directory; `perilune doctor` shows its state",
	ck.CKR_DEVICE_MEMORY:                    "Free some space on the file system of the HSM; `perilune doctor` shows how much there is",
	ck.CKR_DEVICE_ERROR:                     "`perilune doctor` looks for the cause",
	ck.CKR_LOG_FULL:                         "The Auditor makes room: `perilune audit archive --remove`, or a greater limit by `perilune audit config --limit`",
	ck.CKR_LOG_FILE_WRITE_ERROR:             "`perilune audit show` says more; what must be recorded is refused until the log can be written",
	ck.CKR_LOG_RESYNC_NEEDED:                "`perilune audit show` shows how far each server is; --unsent removes the files all the same",
	ck.CKR_GENERAL_ERROR:                    "`perilune doctor` looks for the cause",
	ck.CKR_CONTAINER_OBJECT_STORAGE_FULL:    "Delete what is no longer needed, or let the HSM SO give the partition more: `perilune partition resize`",
	ck.CKR_HSM_STORAGE_FULL:                 "`perilune partition list` shows what each partition has; `perilune partition resize` takes some back",
	ck.CKR_CLONING_PARAMETER_MISSING:        "`perilune partition set-domain` gives the partition its cloning domain",
	ck.CKR_CLONING_PARAMETER_ALREADY_EXISTS: "`perilune partition init` gives a partition another domain, and destroys what is in it",
	ck.CKR_UNWRAPPING_ERROR:                 "Use a partition with the same cloning domain",
	ck.CKR_LICENSE_CAPACITY_EXCEEDED:        "Delete a partition that is no longer needed: `perilune partition delete`",
}

// consequences is what the last wrong PIN of each role does.
var consequences = map[p11.Role]string{
	p11.RoleHSMSO:                "the HSM is zeroized and everything in it is destroyed",
	p11.RoleAuditor:              "the Auditor is locked for 10 minutes",
	p11.RolePartitionSO:          "the partition is zeroized and everything in it is destroyed",
	p11.RoleCryptoOfficer:        "the Crypto Officer is locked, until the Partition SO gives a new PIN",
	p11.RoleLimitedCryptoOfficer: "the Limited Crypto Officer is locked, until the Crypto Officer gives a new PIN",
	p11.RoleCryptoUser:           "the Crypto User is locked, until the Crypto Officer gives a new PIN",
}

// consequence is what the last wrong PIN of a role does on this HSM.
func (a *app) consequence(ctx context.Context, role p11.Role) string {
	if role == p11.RoleCryptoOfficer && !a.policyOn(ctx, policySOResets) {
		return "the Crypto Officer is locked for ever, and the private keys of the partition are lost"
	}
	return consequences[role]
}

// loginProblem says what a refused PIN means for a role.
func (a *app) loginProblem(ctx context.Context, err error, doing string, t target, role p11.Role) error {
	if err == nil {
		return nil
	}
	p := &problem{doing: doing, err: err}
	switch ck.RVOf(err) {
	case ck.CKR_PIN_INCORRECT:
		p.err = fmt.Errorf("wrong PIN for the %s: %w", role, ck.CKR_PIN_INCORRECT)
		p.fix = a.triesLeft(ctx, t, role)
	case ck.CKR_PIN_LOCKED, ck.CKR_AUDIT_LOGIN_TIMEOUT_IN_PROGRESS:
		p.err = fmt.Errorf("the %s is locked after too many wrong PINs: %w", role, ck.RVOf(err))
		p.fix = a.unlock(ctx, t, role)
	case ck.CKR_PIN_EXPIRED:
		p.fix = fmt.Sprintf("`perilune role changepw --role %s` changes it", shortOf(role))
	case ck.CKR_USER_PIN_NOT_INITIALIZED:
		p.err = fmt.Errorf("the %s has no PIN yet: %w", role, ck.CKR_USER_PIN_NOT_INITIALIZED)
		p.fix = firstPIN(t, role)
	}
	return p
}

func (a *app) triesLeft(ctx context.Context, t target, role p11.Role) string {
	info, err := a.roleInfo(ctx, t.slot, role)
	switch {
	case err != nil:
		return ""
	case !info.Initialized:
		return "That was the last try: " + a.consequence(ctx, role)
	case info.Locked || info.AttemptsLeft == 0:
		return "That was the last try. " + a.unlock(ctx, t, role)
	case info.AttemptsLeft == 1:
		return "1 try is left. If it fails, " + a.consequence(ctx, role)
	}
	return fmt.Sprintf("%d of %d tries are left. When none is, %s", info.AttemptsLeft, info.Threshold, a.consequence(ctx, role))
}

// unlock is how a locked role can log in again.
func (a *app) unlock(ctx context.Context, t target, role p11.Role) string {
	if info, err := a.roleInfo(ctx, t.slot, role); err == nil && info.LockedUntil != "" {
		return "It can log in again after " + info.LockedUntil
	}
	d := defOf(role)
	also := ""
	if d.ruler == "co" {
		if co, err := a.roleInfo(ctx, t.slot, p11.RoleCryptoOfficer); err == nil && co.Locked {
			also, d = "The Crypto Officer is locked too. ", defOf(p11.RoleCryptoOfficer)
		}
	}
	if d.ruler == "po" && !a.policyOn(ctx, policySOResets) {
		return also + "HSM policy 15 forbids the Partition SO to give a new PIN: the Crypto Officer is locked for ever"
	}
	ruler, _ := roleNamed(d.ruler)
	return also + fmt.Sprintf("The %s can give a new PIN: `perilune role resetpw --role %s --slot %d`; the keys stay", ruler.role, d.short, t.slot)
}

// policySOResets is the HSM policy "SO can reset partition PIN".
const policySOResets = 15

// policyOn tells that a policy of the HSM is on; one that cannot be read is.
func (a *app) policyOn(ctx context.Context, id uint64) bool {
	list, err := a.hsmPolicies(ctx)
	p := findPolicy(list, id)
	return err != nil || p == nil || p.Value != 0
}

// firstPIN is how a role gets its first PIN.
func firstPIN(t target, role p11.Role) string {
	d := defOf(role)
	switch {
	case role == p11.RolePartitionSO:
		return fmt.Sprintf("`perilune partition init --slot %d --label LABEL` initialises the partition and gives its SO a PIN", t.slot)
	case d.first != "":
		return fmt.Sprintf("`%s` gives the %s a PIN", d.first, role)
	}
	return fmt.Sprintf("`perilune role init --role %s --slot %d` gives the %s a PIN", d.short, t.slot, role)
}
