package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/perilune/perilune/cryptoki/p11"
)

// maxProblems is how many damaged records are told of one by one.
const maxProblems = 20

// records looks whether every record opens, as far as it can without a PIN.
func (d *doctor) records(ctx context.Context) {
	const name = "records"
	r, err := p11.Call(ctx, d.app.module, &p11.CheckRecords{})
	if err != nil {
		d.fail(name, "Put the whole directory back from a copy", "they cannot be read: %v", err)
		return
	}
	for i, p := range r.Problems {
		if i == maxProblems {
			d.fail(name, p.Advice, "and %s more", count(len(r.Problems)-i, "problem"))
			return
		}
		d.fail(name, p.Advice, "damaged: %s", p.What)
	}
	if len(r.Problems) == 0 {
		d.ok(name, "%s sound; %s of private objects, which `perilune partition check` reads",
			plural(r.Checked, "record is", "records are"), plural(r.Sealed, "more is", "more are"))
	}
}

// reportJSON is what `partition check --json` prints.
type reportJSON struct {
	Checked  uint64        `json:"checked"`
	Sealed   uint64        `json:"sealed"`
	Problems []problemJSON `json:"problems"`
}

type problemJSON struct {
	Record uint64 `json:"record"`
	What   string `json:"what"`
	Advice string `json:"advice"`
}

func newReportJSON(r p11.RecordReport) reportJSON {
	j := reportJSON{Checked: r.Checked, Sealed: r.Sealed, Problems: []problemJSON{}}
	for _, p := range r.Problems {
		j.Problems = append(j.Problems, problemJSON(p))
	}
	return j
}

func (a *app) partitionCheckCommand() *cobra.Command {
	var (
		at     *targetFlags
		co     *pinFlag
		asJSON *bool
	)
	cmd := a.command("check", "Read all keys and other objects of a partition, and look for damage", `Logs in and reads every object of the partition, and all that can be read of the
rest of the HSM: whether it is damaged, and whether searches find it. Nothing is
changed. Exit status: 1 if something is damaged.`,
		func(cmd *cobra.Command, _ []string) error {
			ctx := cmd.Context()
			t, err := a.theInitialised(ctx, at)
			if err != nil {
				return err
			}
			m, _, err := a.login(ctx, t, p11.RoleCryptoOfficer, co, "pin")
			if err != nil {
				return err
			}
			r, err := p11.Call(ctx, m, &p11.CheckRecords{})
			if err != nil {
				return failing(err, "cannot check %s", t)
			}
			return a.tellReport(r, *asJSON)
		})
	at = a.targetFlags(cmd)
	co = pin(cmd, "pin", "PIN of the Crypto Officer")
	asJSON = jsonFlag(cmd)
	return cmd
}

// tellReport prints what a check found; the error is that it found something.
func (a *app) tellReport(r p11.RecordReport, asJSON bool) error {
	if asJSON {
		if err := a.printJSON(newReportJSON(r)); err != nil {
			return err
		}
	} else {
		for _, p := range r.Problems {
			fmt.Fprintf(a.stdout, "Damaged: %s\n  %s.\n", printable(p.What), printable(p.Advice))
		}
		fmt.Fprintf(a.stdout, "%s read, %s damaged.\n", plural(r.Checked, "record was", "records were"), plural(len(r.Problems), "is", "are"))
	}
	if len(r.Problems) > 0 {
		return silentError(exitFailed)
	}
	return nil
}
