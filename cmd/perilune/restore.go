package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/cryptoki/p11"
)

// restoredJSON is what --json tells of a database that was put back.
type restoredJSON struct {
	Text    string `json:"text"`
	Had     uint64 `json:"had"`
	Found   uint64 `json:"found"`
	Noticed string `json:"noticed"`
}

func newRestoredJSON(r *p11.Restored) *restoredJSON {
	if r == nil {
		return nil
	}
	return &restoredJSON{r.Text, r.Had, r.Found, r.Noticed}
}

// restored tells whether the database is an older copy, as far as can be noticed.
func (d *doctor) restored(info p11.HSMInfo) {
	const name = "newest copy"
	if r := info.Restored; r != nil {
		d.warn(name, "If it was put back on purpose, `perilune hsm accept-restore` says so. Else find out who did it, and put the newest copy back: PINs, policies and deletions of since then do not hold",
			"the database may be an older copy, noticed at %s: %s", r.Noticed, r.Text)
		return
	}
	d.ok(name, "the database is no older than it was ever seen to be")
}

func (a *app) hsmAcceptRestoreCommand() *cobra.Command {
	var so *pinFlag
	cmd := a.command("accept-restore", "Say that an older copy of the database was put back on purpose", `Says that the database was put back from a copy on purpose, which 'hsm show' and
'doctor' warn of. Nothing but that warning goes away. PINs, policies, failure
counts, keys and deletions are those of the copy's time; see which have to be
done again. On an HSM with an HSM SO he must log in.`,
		func(cmd *cobra.Command, _ []string) error {
			ctx := cmd.Context()
			info, err := a.hsmInfo(ctx, "cannot look at the HSM")
			if err != nil {
				return err
			}
			if info.Restored == nil {
				fmt.Fprintln(a.stdout, "There is nothing to accept: no older copy was noticed.")
				return nil
			}
			session, err := a.adminSession(cmd, info, so)
			if err != nil {
				return err
			}
			if _, err := p11.Call(ctx, a.module, &p11.AcceptRestore{Session: session}); err != nil {
				return failing(err, "cannot accept the copy")
			}
			fmt.Fprintln(a.stdout, "The database is accepted as the newest copy that there is.")
			return nil
		})
	so = pin(cmd, "hsm-so-pin", "PIN of the HSM SO, if there is one")
	return cmd
}

// adminSession is a session on the HSM's own slot, of the HSM SO if there is one.
func (a *app) adminSession(cmd *cobra.Command, info p11.HSMInfo, so *pinFlag) (ck.SessionHandle, error) {
	if info.Initialized {
		_, session, err := a.login(cmd.Context(), admin, p11.RoleHSMSO, so, "hsm-so-pin")
		return session, err
	}
	_, session, err := a.openSession(cmd.Context(), admin)
	return session, err
}
