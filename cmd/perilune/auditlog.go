package main

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/perilune/perilune/cryptoki/audit"
	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/cryptoki/p11"
)

// auditVerificationJSON is what `audit verify --json` prints.
type auditVerificationJSON struct {
	Serial  string             `json:"serial"`
	Right   bool               `json:"right"`
	Records uint64             `json:"records"`
	First   uint64             `json:"first"`
	Last    uint64             `json:"last"`
	Files   []auditVerifiedRow `json:"files"`
	Faults  []auditFaultRow    `json:"faults"`
	More    bool               `json:"more_faults,omitempty"`
}

type auditVerifiedRow struct {
	Name    string `json:"name"`
	Records uint64 `json:"records"`
	First   uint64 `json:"first"`
	Last    uint64 `json:"last"`
}

type auditFaultRow struct {
	Kind  string `json:"kind"`
	First uint64 `json:"first"`
	Last  uint64 `json:"last"`
	File  string `json:"file"`
	Line  int    `json:"line,omitempty"`
	Text  string `json:"text"`
}

func (a *app) auditVerifyCommand() *cobra.Command {
	var (
		pin, domain    *pinFlag
		asJSON         *bool
		files          []string
		serial, secret string
	)
	cmd := a.command("verify", "Verify that no record was changed, removed or cut off", `Verifies the whole log of this HSM: every record, their order, and that the newest
are there. With --file, which can be given several times, only these files, oldest
first; with --serial as the log of another HSM, whose secret was imported.

With --secret, the file of an exported log secret, and --domain, its audit domain,
files are verified without any HSM and without the Auditor.

The exit status is 1 if anything is wrong, and every fault is named.`,
		func(cmd *cobra.Command, _ []string) error {
			ctx := cmd.Context()
			if secret != "" {
				if len(files) == 0 || pin.source != "" || serial != "" {
					return usagef("--secret verifies files without an HSM: it needs --file, and neither --audit-pin nor --serial")
				}
				r, err := a.verifyOffline(ctx, secret, domain, files)
				if err != nil {
					return err
				}
				return a.reportVerification(r, *asJSON)
			}
			if domain.source != "" {
				return usagef("--domain is for --secret: the HSM has its own audit domain")
			}
			m, s, err := a.auditor(ctx, pin)
			if err != nil {
				return err
			}
			r, err := p11.Call(ctx, m, &p11.VerifyAuditFiles{Session: s, Serial: serial, Paths: files})
			if err != nil {
				return failing(err, "cannot verify the audit log")
			}
			return a.reportVerification(r, *asJSON)
		})
	pin = auditPIN(cmd)
	asJSON = jsonFlag(cmd)
	cmd.Flags().StringArrayVar(&files, "file", nil, "`path` of a file of a log")
	cmd.Flags().StringVar(&serial, "serial", "", "serial `number` of the HSM whose log it is")
	cmd.Flags().StringVar(&secret, "secret", "", "`path` of an exported log secret")
	domain = auditDomainFlag(cmd, "the audit domain that --secret was exported under")
	return cmd
}

// verifyOffline verifies files with an exported secret.
func (a *app) verifyOffline(ctx context.Context, path string, domain *pinFlag, files []string) (p11.AuditVerification, error) {
	var r p11.AuditVerification
	if domain.source == "" {
		return r, usagef("--secret needs --domain, the audit domain that it was exported under")
	}
	data, err := readSecretFile(path)
	if err != nil {
		return r, failing(err, "cannot read the log secret")
	}
	text, err := a.domain(ctx, domain)
	if err != nil {
		return r, err
	}
	defer clear(text)
	secret, err := audit.ImportSecret(data, text)
	if err != nil {
		return r, failing(err, "cannot open the log secret in %s", path)
	}
	v := audit.NewVerifier(secret.Secret, 0, 0)
	for _, f := range files {
		if err := v.ReadFile(audit.File{Name: f, Path: f, Archived: true}, 0); err != nil {
			return r, failing(err, "cannot verify the audit log")
		}
	}
	found := v.End(audit.Head{})
	r = p11.AuditVerification{Serial: secret.Serial, Records: found.Records, First: found.First, Last: found.Last, More: found.More}
	for _, f := range found.Files {
		r.Files = append(r.Files, p11.AuditVerified(f))
	}
	for _, f := range found.Faults {
		r.Faults = append(r.Faults, p11.AuditFault{Kind: string(f.Kind), First: f.First, Last: f.Last, File: f.File, Line: f.Line, Text: f.String()})
	}
	return r, nil
}

func (a *app) reportVerification(r p11.AuditVerification, asJSON bool) error {
	if asJSON {
		j := auditVerificationJSON{Serial: r.Serial, Right: len(r.Faults) == 0, Records: r.Records, First: r.First, Last: r.Last,
			Files: []auditVerifiedRow{}, Faults: []auditFaultRow{}, More: r.More}
		for _, f := range r.Files {
			j.Files = append(j.Files, auditVerifiedRow{f.Name, f.Records, f.First, f.Last})
		}
		for _, f := range r.Faults {
			j.Faults = append(j.Faults, auditFaultRow(f))
		}
		if err := a.printJSON(j); err != nil {
			return err
		}
	} else {
		a.showVerification(r)
	}
	if len(r.Faults) > 0 {
		return silentError(exitFailed)
	}
	return nil
}

func (a *app) showVerification(r p11.AuditVerification) {
	fmt.Fprintf(a.stdout, "Log of the HSM with the serial number %s\n", r.Serial)
	for _, f := range r.Files {
		if f.Records == 0 {
			fmt.Fprintf(a.stdout, "%s: no right record\n", printable(f.Name))
			continue
		}
		fmt.Fprintf(a.stdout, "%s: verified records %d to %d\n", printable(f.Name), f.First, f.Last)
	}
	if len(r.Faults) == 0 {
		fmt.Fprintf(a.stdout, "The log is right: %s, %d to %d.\n", count(r.Records, "record"), r.First, r.Last)
		return
	}
	for _, f := range r.Faults {
		fmt.Fprintf(a.stdout, "WRONG: %s\n", printable(f.Text))
	}
	if r.More {
		fmt.Fprintln(a.stdout, "WRONG: there are more faults than are listed here")
	}
	fmt.Fprintf(a.stdout, "The log is NOT right: %s, and %s that verify.\n", count(len(r.Faults), "fault"), count(r.Records, "record"))
}

func (a *app) auditExportCommand() *cobra.Command {
	var (
		pin *pinFlag
		out string
	)
	cmd := a.command("export", "Export the log secret, for another HSM to verify the log with", `Exports the log secret, encrypted under the audit domain, into a file. An HSM with
the same domain imports it and can then verify the log of this one. The file is
called SERIAL.lws in the working directory, unless --out says otherwise.`,
		func(cmd *cobra.Command, _ []string) error {
			ctx := cmd.Context()
			m, s, err := a.auditor(ctx, pin)
			if err != nil {
				return err
			}
			secret, err := p11.Call(ctx, m, &p11.ExportAuditSecret{Session: s})
			if err != nil {
				return failing(err, "cannot export the log secret")
			}
			path := or(out, secret.Name)
			err = writeNew(path, func(w io.Writer) error {
				_, err := w.Write(secret.Data)
				return err
			})
			if err != nil {
				return failing(err, "cannot write the log secret")
			}
			fmt.Fprintf(a.stdout, "The log secret is in %s, encrypted under the audit domain.\n", printable(path))
			return nil
		})
	pin = auditPIN(cmd)
	cmd.Flags().StringVar(&out, "out", "", "write to this `file`")
	return cmd
}

// writeNew writes a file that must not be there yet, for its owner alone. It is
// whole or not there.
func writeNew(path string, write func(io.Writer) error) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	if err = errors.Join(write(f), f.Sync(), f.Close()); err != nil {
		err = errors.Join(err, os.Remove(path))
	}
	return err
}

func (a *app) auditImportCommand() *cobra.Command {
	var (
		pin  *pinFlag
		file string
	)
	cmd := a.command("import", "Import the log secret of another HSM", `Imports the log secret that another HSM exported under the same audit domain. Its
log can then be verified here: `+"`perilune audit verify --serial NUMBER --file PATH`"+`.`,
		func(cmd *cobra.Command, _ []string) error {
			ctx := cmd.Context()
			data, err := readSecretFile(file)
			if err != nil {
				return failing(err, "cannot read the log secret")
			}
			m, s, err := a.auditor(ctx, pin)
			if err != nil {
				return err
			}
			info, err := p11.Call(ctx, m, &p11.ImportAuditSecret{Session: s, Data: data})
			if err != nil {
				return failing(err, "cannot import the log secret in %s", file)
			}
			fmt.Fprintf(a.stdout, "The log secret of the HSM %s is imported.\n", info.Serial)
			return nil
		})
	pin = auditPIN(cmd)
	cmd.Flags().StringVar(&file, "file", "", "`path` of the exported log secret (required)")
	_ = cmd.MarkFlagRequired("file")
	return cmd
}

func readSecretFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, audit.MaxSecretFile+1))
}

func (a *app) auditArchiveCommand() *cobra.Command {
	var (
		pin            *pinFlag
		out            string
		remove, unsent bool
	)
	cmd := a.command("archive", "Pack the files of the log, and remove them from the HSM if wanted", `Ends the current file of the log and packs all that are full or ended into a gzipped
tar file, which is called audit-SERIAL-NUMBER.tgz in the working directory unless
--out says otherwise; NUMBER is that of the last file in it. With --remove they are
deleted afterwards. Verify them first, and keep them: what was removed
cannot be verified here any more, only its files can.`,
		func(cmd *cobra.Command, _ []string) error {
			ctx := cmd.Context()
			m, s, err := a.auditor(ctx, pin)
			if err != nil {
				return err
			}
			list, err := p11.Call(ctx, m, &p11.RotateAuditLog{Session: s})
			if err != nil {
				return failing(err, "cannot end the current file of the audit log")
			}
			var names, paths []string
			for _, f := range list.Files {
				if f.Archived {
					names, paths = append(names, f.Name), append(paths, f.Path)
				}
			}
			if len(names) == 0 {
				fmt.Fprintln(a.stdout, "There is nothing to archive.")
				return nil
			}
			path := or(out, archiveName(names[len(names)-1]))
			if err := writeNew(path, func(w io.Writer) error { return packFiles(w, paths) }); err != nil {
				return failing(err, "cannot write the archive %s", path)
			}
			fmt.Fprintf(a.stdout, "%s of the audit log %s in %s.\n", count(len(names), "file"), map[bool]string{true: "is", false: "are"}[len(names) == 1], printable(path))
			if !remove {
				return nil
			}
			if _, err := p11.Call(ctx, m, &p11.RemoveAuditFiles{Session: s, Names: names, Unsent: unsent}); err != nil {
				return failing(err, "cannot remove the files from the HSM")
			}
			fmt.Fprintln(a.stdout, "They are removed from the HSM.")
			return nil
		})
	pin = auditPIN(cmd)
	cmd.Flags().StringVar(&out, "out", "", "write to this `file`")
	cmd.Flags().BoolVar(&remove, "remove", false, "delete the files from the HSM when they are packed")
	cmd.Flags().BoolVar(&unsent, "unsent", false, "delete also what a remote host has not got yet")
	return cmd
}

func archiveName(last string) string {
	serial, number, _ := audit.ParseFileName(last)
	return fmt.Sprintf("audit-%s-%08x.tgz", serial, number)
}

// packFiles writes files as a gzipped tar file.
func packFiles(w io.Writer, files []string) error {
	zip := gzip.NewWriter(w)
	pack := tar.NewWriter(zip)
	for _, name := range files {
		if err := packFile(pack, name); err != nil {
			return err
		}
	}
	return errors.Join(pack.Close(), zip.Close())
}

func packFile(pack *tar.Writer, path string) error {
	in, err := os.Open(path)
	if err != nil {
		return err
	}
	defer in.Close()
	info, err := in.Stat()
	if err != nil {
		return err
	}
	head := &tar.Header{Name: filepath.Base(path), Mode: 0o600, Size: info.Size(), ModTime: info.ModTime(), Format: tar.FormatPAX}
	if err := pack.WriteHeader(head); err != nil {
		return err
	}
	_, err = io.Copy(pack, in)
	return err
}

func (a *app) auditLogCommand() *cobra.Command {
	cmd := a.group("log", "The files of the audit log and the records in them", "")
	cmd.AddCommand(a.auditLogListCommand(), a.auditLogTailCommand())
	return cmd
}

// auditFileJSON is a file of the log.
type auditFileJSON struct {
	Name     string `json:"name"`
	Path     string `json:"path"`
	Size     uint64 `json:"size"`
	Archived bool   `json:"archived"`
}

func (a *app) auditLogListCommand() *cobra.Command {
	var (
		pin    *pinFlag
		asJSON *bool
	)
	cmd := a.command("list", "List the files of the audit log", "Lists the files of the audit log, oldest first.",
		func(cmd *cobra.Command, _ []string) error {
			files, err := a.auditFiles(cmd.Context(), pin)
			if err != nil {
				return err
			}
			list, rows := []auditFileJSON{}, [][]string(nil)
			for _, f := range files {
				list = append(list, auditFileJSON(f))
				rows = append(rows, []string{f.Name, fmt.Sprint(f.Size), map[bool]string{true: "ready for archive", false: "current"}[f.Archived]})
			}
			if *asJSON {
				return a.printJSON(list)
			}
			return table(a.stdout, []string{"File", "Bytes", "State"}, rows)
		})
	pin = auditPIN(cmd)
	asJSON = jsonFlag(cmd)
	return cmd
}

func (a *app) auditFiles(ctx context.Context, f *pinFlag) ([]p11.AuditFile, error) {
	m, s, err := a.auditor(ctx, f)
	if err != nil {
		return nil, err
	}
	list, err := p11.Call(ctx, m, &p11.ListAuditFiles{Session: s})
	return list.Files, failing(err, "cannot list the files of the audit log")
}

// auditRecordJSON is a record as it stands in its file.
type auditRecordJSON struct {
	Number  uint64 `json:"number"`
	Time    string `json:"time"`
	Event   string `json:"event"`
	Code    string `json:"code"`
	Message string `json:"message"`
}

func (a *app) auditLogTailCommand() *cobra.Command {
	var (
		pin    *pinFlag
		asJSON *bool
		n      int
		search string
		file   string
	)
	cmd := a.command("tail", "Show the newest records", `Shows the newest records of the log, or of one of its files, and only those in which
a text stands. It does not verify them.`,
		func(cmd *cobra.Command, _ []string) error {
			if n < 1 {
				return usagef("--entries takes a number from 1")
			}
			files, err := a.auditFiles(cmd.Context(), pin)
			if err != nil {
				return err
			}
			records, err := newestRecords(files, file, search, n)
			if err != nil {
				return failing(err, "cannot read the audit log")
			}
			if *asJSON {
				list := []auditRecordJSON{}
				for _, r := range records {
					list = append(list, auditRecordJSON{r.Sequence, r.Time.Format("2006-01-02T15:04:05.000000000Z"), r.Event.String(), ck.RV(r.Code).String(), r.Message})
				}
				return a.printJSON(list)
			}
			for _, r := range records {
				fmt.Fprintf(a.stdout, "%d %s %s\n", r.Sequence, r.Time.Format("2006-01-02T15:04:05Z"), printable(r.Message))
			}
			return nil
		})
	pin = auditPIN(cmd)
	asJSON = jsonFlag(cmd)
	cmd.Flags().IntVar(&n, "entries", 10, "how `many` records")
	cmd.Flags().StringVar(&search, "search", "", "only records with this `text`")
	cmd.Flags().StringVar(&file, "name", "", "only the file of this `name`, as `audit log list` shows it")
	return cmd
}

// newestRecords reads files from the newest backwards until there are n records.
func newestRecords(files []p11.AuditFile, name, search string, n int) (records []audit.Record, err error) {
	found := name == ""
	for i := len(files) - 1; i >= 0 && len(records) < n; i-- {
		if name != "" && files[i].Name != name {
			continue
		}
		found = true
		more, err := recordsOf(files[i].Path, search)
		if err != nil {
			return nil, err
		}
		records = append(more, records...)
	}
	if !found {
		return nil, fmt.Errorf("there is no file %q; `perilune audit log list` shows the files there are", name)
	}
	return records[max(0, len(records)-n):], nil
}

func recordsOf(path, search string) (records []audit.Record, err error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	for ; len(data) >= audit.LineSize; data = data[audit.LineSize:] {
		r, err := audit.ParseLine(data[:audit.LineSize])
		if err != nil {
			return nil, fmt.Errorf("%s holds what is no record; `perilune audit verify` says more", path)
		}
		if strings.Contains(r.Message, search) {
			records = append(records, r)
		}
	}
	return records, nil
}
