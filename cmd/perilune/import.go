package main

import (
	"context"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/migrate"
)

func (a *app) importCommand() *cobra.Command {
	cmd := a.group("import", "Bring keys and certificates from elsewhere", `Brings keys, certificates and data from elsewhere into a partition, with the
attributes that they have there. Every private and secret key is proven
afterwards: what it makes in the HSM must be accepted by its public key, or by
another copy of it, and the other way round. A key that fails is removed again.

What is in the partition already is left as it is, so an import that was
interrupted is simply started again. --dry-run tries everything with objects
that vanish, and changes nothing.`)
	cmd.AddCommand(a.importSoftHSMCommand(), a.importPKCS12Command(), a.importPEMCommand(), a.importJKSCommand())
	return cmd
}

// importFlags are the flags of all commands that import with a report.
type importFlags struct {
	keys               *keyFlags
	dry, asJSON, shown *bool
	mismatched         *bool
}

func (a *app) importFlags(cmd *cobra.Command) *importFlags {
	return &importFlags{
		keys:       a.keyFlags(cmd, false),
		dry:        cmd.Flags().Bool("dry-run", false, "try everything, and leave the partition as it is"),
		mismatched: cmd.Flags().Bool("mismatched", false, "import private keys even if their public key or certificate in the source belongs to another"),
		asJSON:     jsonFlag(cmd),
		shown:      progressFlag(cmd),
	}
}

// entry is one thing of a source: an object, or why it cannot be read or need
// not be imported.
type entry struct {
	source string // where in the source it is
	object *migrate.Object
	of     *migrate.Object // the private key of which it is the public half
	err    error
	skip   string
}

// importReport is what an import tells with --json.
type importReport struct {
	Source    string          `json:"source"`
	Slot      uint64          `json:"slot"`
	Partition string          `json:"partition"`
	DryRun    bool            `json:"dry_run"`
	Imported  int             `json:"imported"`
	Skipped   int             `json:"skipped"`
	Failed    int             `json:"failed"`
	Left      int             `json:"left"` // not looked at, after an interruption
	Remarks   []string        `json:"remarks"`
	Objects   []importedEntry `json:"objects"`
}

// importedEntry is what became of one entry.
type importedEntry struct {
	Source     string         `json:"source"`
	Class      string         `json:"class"`
	Type       string         `json:"type"`
	Label      string         `json:"label"`
	ID         string         `json:"id"`
	Status     string         `json:"status"` // imported, skipped or failed
	Reason     string         `json:"reason,omitempty"`
	Proof      string         `json:"proof,omitempty"`
	Handle     uint64         `json:"handle,omitempty"`
	NotCarried []migrate.Loss `json:"not_carried"`
}

// bring imports the entries of a source and reports.
func (a *app) bring(ctx context.Context, f *importFlags, k *keys, source string, entries []entry, remarks ...string) error {
	im := &migrate.Importer{Module: k.module, Session: k.session, Rehearse: *f.dry, Mismatched: *f.mismatched}
	rep := importReport{Source: source, Slot: uint64(k.target.slot), Partition: k.target.info.Label, DryRun: *f.dry, Objects: []importedEntry{}, Remarks: append([]string{}, remarks...)}
	p := a.newProgress(*f.shown, "importing")
	failed := map[*migrate.Object]bool{}
	for i, e := range entries {
		if e.of != nil && failed[e.of] {
			e.skip = "its private key was not imported"
		}
		if ctx.Err() != nil {
			break
		}
		j := described(e)
		p.step("importing %d of %d: %s", i+1, len(entries), j.what())
		k.carry(ctx, im, e, &j)
		if ctx.Err() != nil {
			break // what failed may have failed for that; nothing of it is left
		}
		rep.add(j)
		failed[e.object] = j.Status == "failed"
	}
	p.stop()
	rep.Left = len(entries) - len(rep.Objects)
	if *f.asJSON {
		if err := a.printJSON(rep); err != nil {
			return err
		}
	} else {
		a.printReport(&rep, k.target)
	}
	switch {
	case ctx.Err() != nil:
		return failing(ctx.Err(), "%d of %d objects were looked at; the same command goes on", len(rep.Objects), len(entries))
	case rep.Failed > 0:
		return fmt.Errorf("%d of %d objects were not imported into %s", rep.Failed, len(entries), k.target)
	}
	return nil
}

// carry imports one entry.
func (k *keys) carry(ctx context.Context, im *migrate.Importer, e entry, j *importedEntry) {
	switch {
	case e.err != nil:
		j.Status, j.Reason = "failed", reason(e.err)
		return
	case e.skip != "":
		j.Status, j.Reason = "skipped", e.skip
		return
	}
	r := im.Import(ctx, *e.object)
	j.Handle, j.Proof = uint64(r.Handle), r.Proof
	j.NotCarried = append(j.NotCarried, r.Lost...)
	switch r.Status {
	case migrate.Present:
		j.Status, j.Reason = "skipped", "it is in the partition already"
	case migrate.Failed:
		j.Status, j.Reason = "failed", reason(r.Err)
	default:
		j.Status = "imported"
	}
	if e.object.AnyID && r.Handle != 0 { // the one it has, not the one it would have got
		if attrs, err := k.attributes(ctx, r.Handle, ck.CKA_ID); err == nil {
			j.ID = hex.EncodeToString(value(attrs, ck.CKA_ID))
		}
	}
}

// described says what an entry is.
func described(e entry) importedEntry {
	j := importedEntry{Source: e.source, NotCarried: []migrate.Loss{}}
	if e.object == nil {
		return j
	}
	attrs := e.object.Attrs
	class := e.object.Class()
	j.Class, j.Label, j.ID = className(class), string(value(attrs, ck.CKA_LABEL)), hex.EncodeToString(value(attrs, ck.CKA_ID))
	j.Type = objectType(class, withLength(attrs))
	if class == ck.CKO_DATA {
		j.Class = "data"
	}
	return j
}

// withLength adds the length of a secret key, by which types are named.
func withLength(attrs []ck.Attribute) []ck.Attribute {
	if v := value(attrs, ck.CKA_VALUE); v != nil && ck.Find(attrs, ck.CKA_VALUE_LEN) == nil {
		return append(slices.Clone(attrs), ck.NewULong(ck.CKA_VALUE_LEN, uint64(len(v))))
	}
	return attrs
}

func (r *importReport) add(j importedEntry) {
	switch j.Status {
	case "imported":
		r.Imported++
	case "skipped":
		r.Skipped++
	default:
		r.Failed++
	}
	r.Objects = append(r.Objects, j)
}

// what names an entry in a sentence.
func (j *importedEntry) what() string {
	if j.Class == "" {
		return printable(j.Source)
	}
	return strings.TrimSpace(fmt.Sprintf("%s %s %q, id %s", j.Type, nounOf(j.Class), printable(j.Label), or(j.ID, "-")))
}

// printReport prints a report for people.
func (a *app) printReport(r *importReport, t target) {
	verb := "Imported into " + t.String()
	if r.DryRun {
		verb = "Would be imported into " + t.String()
	}
	a.printEntries(verb+":", r, "imported", func(j importedEntry) string {
		if j.Proof != "" {
			return j.what() + ": " + j.Proof
		}
		return j.what()
	})
	withReason := func(j importedEntry) string {
		return fmt.Sprintf("%s (%s): %s", j.what(), printable(j.Source), j.Reason)
	}
	a.printEntries("Skipped:", r, "skipped", withReason)
	a.printEntries("Failed:", r, "failed", withReason)
	a.printLosses(r)
	for _, text := range r.Remarks {
		fmt.Fprintf(a.stdout, "Note: %s.\n", text)
	}
	fmt.Fprintf(a.stdout, "%s: %d imported, %d skipped, %d failed.", r.Source, r.Imported, r.Skipped, r.Failed)
	if r.Left > 0 {
		fmt.Fprintf(a.stdout, " %d were not looked at.", r.Left)
	}
	if r.DryRun {
		fmt.Fprint(a.stdout, " That was a rehearsal: nothing was changed.")
	}
	fmt.Fprintln(a.stdout)
}

func (a *app) printEntries(heading string, r *importReport, status string, line func(importedEntry) string) {
	for _, j := range r.Objects {
		if j.Status != status {
			continue
		}
		if heading != "" {
			fmt.Fprintln(a.stdout, heading)
			heading = ""
		}
		fmt.Fprintln(a.stdout, "  "+line(j))
	}
}

// printLosses tells what could not be carried: each reason once, since most hold
// for many objects.
func (a *app) printLosses(r *importReport) {
	var order []migrate.Loss
	of := map[migrate.Loss][]string{}
	for _, j := range r.Objects {
		for _, l := range j.NotCarried {
			if of[l] == nil {
				order = append(order, l)
			}
			of[l] = append(of[l], j.what())
		}
	}
	if len(order) > 0 {
		fmt.Fprintln(a.stdout, "Not carried:")
	}
	for _, l := range order {
		where := of[l][0]
		if n := len(of[l]); n > 1 {
			where = count(n, "object")
		}
		fmt.Fprintf(a.stdout, "  %s (%s): %s\n", l.What, where, l.Why)
	}
}
