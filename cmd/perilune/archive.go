package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/perilune/perilune/config"
	"github.com/perilune/perilune/cryptoki/archive"
	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/cryptoki/p11"
)

func (a *app) partitionArchiveCommand() *cobra.Command {
	cmd := a.group("archive", "Backups of partitions", `Backups of partitions: archives that hold all token objects of a partition,
sealed for its cloning domain. Every partition with that domain, on any HSM, can
restore them.

An archive is a file. With --name it is in the directory archives of the HSM's
home, with --file it is anywhere. Copy archives to another disk.`)
	cmd.AddCommand(a.archiveBackupCommand(), a.archiveRestoreCommand(), a.archiveListCommand(), a.archiveContentsCommand(), a.archiveDeleteCommand())
	return cmd
}

// archiveFlags are --name and --file.
type archiveFlags struct{ name, file string }

func (a *app) archiveFlags(cmd *cobra.Command) *archiveFlags {
	f := new(archiveFlags)
	cmd.Flags().StringVar(&f.name, "name", "", "`name` of an archive in the HSM's home, at most 64 letters, digits and -._")
	cmd.Flags().StringVar(&f.file, "file", "", "`path` of an archive anywhere")
	cmd.MarkFlagsMutuallyExclusive("name", "file")
	_ = cmd.RegisterFlagCompletionFunc("name", a.completeArchives)
	return f
}

func (a *app) completeArchives(*cobra.Command, []string, string) (names []string, _ cobra.ShellCompDirective) {
	if dir, err := a.archives(); err == nil {
		list, _ := archive.List(dir)
		for _, e := range list {
			names = append(names, e.Name+"\t"+e.Info.Label)
		}
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

// archives is the directory of archives.
func (a *app) archives() (string, error) {
	c, err := config.Load(a.env)
	if err != nil {
		return "", err
	}
	return filepath.Join(c.Home, "archives"), nil
}

// path is where the archive is that the flags name.
func (a *app) archivePath(f *archiveFlags) (string, error) {
	switch {
	case f.file != "":
		return f.file, nil
	case f.name == "":
		return "", usagef("say which archive, with --name or --file; `perilune partition archive list` lists those in the HSM's home")
	}
	if err := archive.CheckName(f.name); err != nil {
		return "", usagef("--name %q: %v", f.name, err)
	}
	dir, err := a.archives()
	return filepath.Join(dir, f.name+archive.Extension), err
}

// openArchiveFile opens an archive that has to be there.
func (a *app) openArchiveFile(doing, path string) (*os.File, int64, error) {
	f, size, err := archive.OpenFile(path)
	if errors.Is(err, os.ErrNotExist) {
		err = &problem{doing: doing, err: fmt.Errorf("there is no archive %s", path), fix: "`perilune partition archive list` lists those in the HSM's home"}
		return nil, 0, err
	}
	return f, size, failing(err, "%s", doing)
}

// archiveResultJSON is what --json tells of a backup or a restore.
type archiveResultJSON struct {
	Archive    string   `json:"archive"`
	Objects    uint64   `json:"objects"`
	Added      uint64   `json:"added"`
	Present    uint64   `json:"present"`
	Replaced   uint64   `json:"replaced"`
	Unreadable []uint64 `json:"unreadable"`
	Refused    []string `json:"refused"`
}

func (a *app) archiveBackupCommand() *cobra.Command {
	var (
		at              *targetFlags
		where           *archiveFlags
		co              *pinFlag
		append, replace bool
		force, asJSON   *bool
		shown           *bool
	)
	cmd := a.command("backup", "Make an archive of a partition", `Makes an archive of a partition, as its Crypto Officer: all token objects, with
all attributes. PINs, roles and policies are not in it. Programs can go on using
the partition; the archive has what was there at one moment.

An archive that exists is replaced when the new one is complete. With --append the
new one has what the old one had, too; of objects that are in both it has the old
state, or with --replace the present one.`,
		func(cmd *cobra.Command, _ []string) error {
			if replace && !append {
				return usagef("--replace goes with --append; without them the new archive takes the place of the old one")
			}
			path, err := a.archivePath(where)
			if err != nil {
				return err
			}
			ctx := cmd.Context()
			t, err := a.theInitialised(ctx, at)
			if err != nil {
				return err
			}
			if err := a.mayReplaceArchive(ctx, path, append, *force); err != nil {
				return err
			}
			q := &p11.BackupArchive{Replace: replace}
			if _, q.Session, err = a.login(ctx, t, p11.RoleCryptoOfficer, co, "pin"); err != nil {
				return err
			}
			r, err := a.backup(ctx, t, path, q, append, *shown)
			if err != nil {
				return err
			}
			return a.reportBackup(t, path, r, *asJSON)
		})
	at = a.targetFlags(cmd)
	where = a.archiveFlags(cmd)
	co = pin(cmd, "pin", "PIN of the Crypto Officer")
	cmd.Flags().BoolVar(&append, "append", false, "keep what the archive has, and add what it lacks")
	cmd.Flags().BoolVar(&replace, "replace", false, "with --append: replace what the archive has already")
	force = forceFlag(cmd)
	shown = progressFlag(cmd)
	asJSON = jsonFlag(cmd)
	return cmd
}

// mayReplaceArchive asks before an archive is lost.
func (a *app) mayReplaceArchive(ctx context.Context, path string, append, force bool) error {
	_, err := os.Stat(path)
	if append || errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return failing(err, "cannot look at %s", path)
	}
	what := "no archive"
	if e := archive.Look(path); e.Err == nil {
		what = fmt.Sprintf("an archive of partition %q with %s, made %s", e.Info.Label, count(e.Objects, "object"), e.Info.Created)
	}
	return a.confirm(ctx, force, fmt.Sprintf("%s exists: %s. The new archive takes its place; --append would keep what it has.", path, what))
}

// backup writes the archive beside its place, and puts it there when it is whole.
func (a *app) backup(ctx context.Context, t target, path string, q *p11.BackupArchive, append, shown bool) (p11.ArchiveResult, error) {
	doing := fmt.Sprintf("cannot back up %s", t)
	if append {
		old, size, err := a.openArchiveFile(doing, path)
		if err != nil {
			return p11.ArchiveResult{}, err
		}
		defer old.Close()
		q.Old, q.Size = old, size
	} else if dir, err := a.archives(); err == nil && filepath.Dir(path) == dir {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return p11.ArchiveResult{}, failing(err, "%s", doing)
		}
	}
	file, err := archive.NewFile(path)
	if err != nil {
		return p11.ArchiveResult{}, failing(err, "%s", doing)
	}
	q.To = file
	p := a.newProgress(shown, "backing up")
	q.Progress = p.ofArchive("backing up")
	r, err := p11.Call(ctx, a.module, q)
	p.stop()
	if err != nil {
		file.Discard()
		return r, failing(err, "%s", doing)
	}
	return r, failing(file.Commit(), "cannot finish %s", path)
}

// ofArchive shows how far a backup or restore is: every hundredth part of it, so
// that a log does not fill with it.
func (p *progress) ofArchive(what string) func(p11.ArchiveProgress) {
	if p == nil {
		return nil
	}
	var last p11.ArchiveProgress
	return func(now p11.ArchiveProgress) {
		step := max(now.Total/100, 1)
		if now.Verifying == last.Verifying && now.Done < last.Done+step && now.Done != now.Total {
			return
		}
		last = now
		verb := what
		if now.Verifying {
			verb = "verifying"
		}
		p.step("%s: %d of %s", verb, now.Done, count(now.Total, "object"))
	}
}

func newArchiveResultJSON(path string, r p11.ArchiveResult) archiveResultJSON {
	j := archiveResultJSON{Archive: path, Objects: r.Objects, Added: r.Added, Present: r.Present, Replaced: r.Replaced,
		Unreadable: []uint64{}, Refused: []string{}}
	j.Unreadable = append(j.Unreadable, r.Unreadable...)
	for _, o := range r.Strangers {
		j.Refused = append(j.Refused, fmt.Sprintf("%x", o.UID))
	}
	return j
}

func (a *app) reportBackup(t target, path string, r p11.ArchiveResult, asJSON bool) error {
	if asJSON {
		if err := a.printJSON(newArchiveResultJSON(path, r)); err != nil {
			return err
		}
	} else {
		fmt.Fprintf(a.stdout, "The archive %s has %s: of %s %d were added and %d replaced; %d are kept from before.\n",
			path, count(r.Objects, "object"), t, r.Added, r.Replaced, r.Objects-r.Added-r.Replaced)
	}
	if n := len(r.Unreadable); n > 0 {
		return &problem{doing: "the backup is not complete",
			err: fmt.Errorf("%s of %s cannot be read and are not in the archive: %s", count(n, "record"), t, numbers(r.Unreadable)),
			fix: "`perilune doctor` looks for the cause"}
	}
	return nil
}

func numbers(list []uint64) string {
	const most = 20
	text := strings.Trim(fmt.Sprint(list[:min(len(list), most)]), "[]")
	if len(list) > most {
		text += " and more"
	}
	return text
}

func (a *app) archiveRestoreCommand() *cobra.Command {
	var (
		at            *targetFlags
		where         *archiveFlags
		co            *pinFlag
		replace       bool
		asJSON, shown *bool
	)
	cmd := a.command("restore", "Put the objects of an archive into a partition", `Puts the objects of an archive into a partition with the same cloning domain, as
its Crypto Officer. Objects that are there already, by their OUID, stay as they
are, unless --replace is given; other objects are not touched.

The whole archive is verified first: if anything in it was changed, nothing is
restored. A restore that was interrupted is simply started again.`,
		func(cmd *cobra.Command, _ []string) error {
			path, err := a.archivePath(where)
			if err != nil {
				return err
			}
			ctx := cmd.Context()
			t, err := a.theInitialised(ctx, at)
			if err != nil {
				return err
			}
			doing := fmt.Sprintf("cannot restore %s to %s", path, t)
			file, size, err := a.openArchiveFile(doing, path)
			if err != nil {
				return err
			}
			defer file.Close()
			q := &p11.RestoreArchive{From: file, Size: size, Replace: replace}
			if _, q.Session, err = a.login(ctx, t, p11.RoleCryptoOfficer, co, "pin"); err != nil {
				return err
			}
			p := a.newProgress(*shown, "verifying")
			q.Progress = p.ofArchive("restoring")
			r, err := p11.Call(ctx, a.module, q)
			p.stop()
			if err != nil {
				return archiveProblem(err, doing)
			}
			return a.reportRestore(t, path, r, *asJSON)
		})
	at = a.targetFlags(cmd)
	where = a.archiveFlags(cmd)
	co = pin(cmd, "pin", "PIN of the Crypto Officer")
	cmd.Flags().BoolVar(&replace, "replace", false, "replace objects that are there already")
	shown = progressFlag(cmd)
	asJSON = jsonFlag(cmd)
	return cmd
}

// archiveProblem says what to do about an archive that is not read.
func archiveProblem(err error, doing string) error {
	p := &problem{doing: doing, err: err}
	if ck.RVOf(err) == ck.CKR_ENCRYPTED_DATA_INVALID {
		p.fix = "Take another copy of the archive; nothing was restored from this one"
	}
	return p
}

func (a *app) reportRestore(t target, path string, r p11.ArchiveResult, asJSON bool) error {
	if asJSON {
		if err := a.printJSON(newArchiveResultJSON(path, r)); err != nil {
			return err
		}
	} else {
		fmt.Fprintf(a.stdout, "Of %s in %s, %d were restored to %s, %d replaced, and %d were there already.\n",
			count(r.Objects, "object"), path, r.Added, t, r.Replaced, r.Present)
	}
	if n := len(r.Strangers); n > 0 {
		var names []string
		for _, o := range r.Strangers {
			names = append(names, fmt.Sprintf("%q (%x)", o.Label, o.UID))
		}
		return &problem{doing: "the restore is not complete",
			err: fmt.Errorf("%s has other objects with the OUIDs of %s: one of the HSMs was put back from an old copy", t, strings.Join(names, ", ")),
			fix: "Restore the archive to an empty partition, or with --replace if the objects of the partition are the ones to lose"}
	}
	return nil
}

// archiveJSON is what `partition archive list --json` tells of an archive.
type archiveJSON struct {
	Name    string `json:"name"`
	Path    string `json:"path"`
	Label   string `json:"label"`
	Serial  string `json:"serial"`
	HSM     string `json:"hsm"`
	Created string `json:"created"`
	Objects uint64 `json:"objects"`
	Bytes   int64  `json:"bytes"`
	Error   string `json:"error"` // empty if nothing is wrong
}

func (a *app) archiveListCommand() *cobra.Command {
	var (
		file   string
		asJSON *bool
	)
	cmd := a.command("list", "List the archives", `Lists the archives in the HSM's home, or the one that --file names. Nobody has to
log in: what is shown is what the archives say of themselves. Whether it is true,
and whether they are intact, `+"`perilune partition archive contents`"+` tells.`, func(cmd *cobra.Command, _ []string) error {
		entries, err := a.archiveEntries(file)
		if err != nil {
			return failing(err, "cannot list the archives")
		}
		list := []archiveJSON{}
		var rows [][]string
		for _, e := range entries {
			j := archiveJSON{Name: e.Name, Path: e.Path, Label: e.Info.Label, Serial: e.Info.Serial, HSM: fmt.Sprint(e.Info.HSM),
				Created: e.Info.Created, Objects: e.Objects, Bytes: e.Size}
			state := "complete"
			if e.Err != nil {
				j.Error, state = e.Err.Error(), e.Err.Error()
			}
			list = append(list, j)
			rows = append(rows, []string{j.Name, or(j.Label, "-"), or(j.Serial, "-"), or(j.Created, "-"), fmt.Sprint(j.Objects), fmt.Sprint(j.Bytes), state})
		}
		switch {
		case *asJSON:
			return a.printJSON(list)
		case len(list) == 0:
			fmt.Fprintln(a.stdout, "There are no archives.")
			return nil
		}
		return table(a.stdout, []string{"Name", "Label", "Serial #", "Created", "Objects", "Bytes", "State"}, rows)
	})
	cmd.Flags().StringVar(&file, "file", "", "`path` of an archive anywhere")
	asJSON = jsonFlag(cmd)
	return cmd
}

func (a *app) archiveEntries(file string) ([]archive.Entry, error) {
	if file != "" {
		e := archive.Look(file)
		if errors.Is(e.Err, os.ErrNotExist) {
			return nil, e.Err
		}
		return []archive.Entry{e}, nil
	}
	dir, err := a.archives()
	if err != nil {
		return nil, err
	}
	return archive.List(dir)
}

// archivedJSON is what `partition archive contents --json` tells of an object.
type archivedJSON struct {
	OUID    string `json:"ouid"`
	Class   string `json:"class"`
	Type    string `json:"type"`
	Label   string `json:"label"`
	ID      string `json:"id"`
	Private bool   `json:"private"`
}

func newArchivedJSON(o p11.ArchivedObject) archivedJSON {
	j := archivedJSON{OUID: fmt.Sprintf("%x", o.UID), Class: className(o.Class), Label: o.Label, ID: fmt.Sprintf("%x", o.ID), Private: o.Private}
	if kind := kindOf(o.KeyType, nil); kind != nil {
		j.Type = kind.name
	} else if o.KeyType != ck.KeyType(ck.UnavailableInformation) {
		j.Type = o.KeyType.String()
	}
	return j
}

func (a *app) archiveContentsCommand() *cobra.Command {
	var (
		at     *targetFlags
		where  *archiveFlags
		co     *pinFlag
		asJSON *bool
	)
	cmd := a.command("contents", "List the objects of an archive", `Lists the objects of an archive, as the Crypto Officer of a partition with the same
cloning domain, and verifies all of it.`,
		func(cmd *cobra.Command, _ []string) error {
			path, err := a.archivePath(where)
			if err != nil {
				return err
			}
			ctx := cmd.Context()
			t, err := a.theInitialised(ctx, at)
			if err != nil {
				return err
			}
			doing := fmt.Sprintf("cannot read the archive %s", path)
			file, size, err := a.openArchiveFile(doing, path)
			if err != nil {
				return err
			}
			defer file.Close()
			list := []archivedJSON{}
			q := &p11.ReadArchive{From: file, Size: size, Each: func(o p11.ArchivedObject) { list = append(list, newArchivedJSON(o)) }}
			if _, q.Session, err = a.login(ctx, t, p11.RoleCryptoOfficer, co, "pin"); err != nil {
				return err
			}
			if _, err := p11.Call(ctx, a.module, q); err != nil {
				return archiveProblem(err, doing)
			}
			if *asJSON {
				return a.printJSON(list)
			}
			var rows [][]string
			for _, j := range list {
				rows = append(rows, []string{j.Class, or(j.Type, "-"), or(j.Label, "-"), or(j.ID, "-"), j.OUID})
			}
			if err := table(a.stdout, []string{"Class", "Type", "Label", "ID", "OUID"}, rows); err != nil {
				return err
			}
			fmt.Fprintf(a.stdout, "\nThe archive is intact. Number of objects: %d\n", len(list))
			return nil
		})
	at = a.targetFlags(cmd)
	where = a.archiveFlags(cmd)
	co = pin(cmd, "pin", "PIN of the Crypto Officer")
	asJSON = jsonFlag(cmd)
	return cmd
}

func (a *app) archiveDeleteCommand() *cobra.Command {
	var (
		name  string
		force *bool
	)
	cmd := a.command("delete", "Delete an archive", `Deletes an archive in the HSM's home. It needs no PIN: whoever may write the HSM's
files could delete it too.`, func(cmd *cobra.Command, _ []string) error {
		path, err := a.archivePath(&archiveFlags{name: name})
		if err != nil {
			return err
		}
		doing := fmt.Sprintf("cannot delete the archive %q", name)
		f, _, err := a.openArchiveFile(doing, path)
		if err != nil {
			return err
		}
		f.Close()
		e := archive.Look(path)
		err = a.confirm(cmd.Context(), *force, fmt.Sprintf("This deletes the archive %q of partition %q with %s, made %s.",
			name, e.Info.Label, count(e.Objects, "object"), e.Info.Created))
		if err != nil {
			return err
		}
		if err := os.Remove(path); err != nil {
			return failing(err, "%s", doing)
		}
		fmt.Fprintf(a.stdout, "The archive %q is deleted.\n", name)
		return nil
	})
	cmd.Flags().StringVar(&name, "name", "", "`name` of the archive (required)")
	_ = cmd.MarkFlagRequired("name")
	_ = cmd.RegisterFlagCompletionFunc("name", a.completeArchives)
	force = forceFlag(cmd)
	return cmd
}
