package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/perilune/perilune/migrate"
	"github.com/perilune/perilune/migrate/softhsm2"
)

func (a *app) importSoftHSMCommand() *cobra.Command {
	var (
		f        *importFlags
		token    string
		user, so *pinFlag
	)
	cmd := a.command("softhsm2 [DIRECTORY]", "Bring a token of SoftHSM 2", `Brings the objects of a token of SoftHSM 2: private, public and secret keys,
certificates and data, whether they are extractable or not. DIRECTORY is where
SoftHSM keeps its tokens (directories.tokendir), or one token in it; without it,
SoftHSM's configuration says. SoftHSM need not be installed, and its files are
only read.

The PIN of the token is its user's; --source-so-pin takes the SO's in its place.`,
		func(cmd *cobra.Command, args []string) error {
			ctx := cmd.Context()
			t, err := a.softHSMToken(args, token)
			if err != nil {
				return err
			}
			entries, err := a.softHSMObjects(ctx, t, user, so)
			if err != nil {
				return err
			}
			k, err := a.openKeys(ctx, f.keys)
			if err != nil {
				return err
			}
			return a.bring(ctx, f, k, fmt.Sprintf("SoftHSM token %q", printable(t.Label)), entries)
		})
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if len(args) > 1 {
			return usagef("`%s` takes one directory; one import is of one token", cmd.CommandPath())
		}
		return nil
	}
	f = a.importFlags(cmd)
	cmd.Flags().StringVar(&token, "token", "", "label or serial number of the `token`, if there are several")
	user = pin(cmd, "source-pin", "PIN of the token's user")
	so = pin(cmd, "source-so-pin", "PIN of the token's SO")
	cmd.MarkFlagsMutuallyExclusive("source-pin", "source-so-pin")
	return cmd
}

// softHSMToken finds the token to import.
func (a *app) softHSMToken(args []string, wanted string) (*softhsm2.Token, error) {
	var dir string
	var err error
	if len(args) > 0 {
		dir = args[0]
	} else if dir, err = softhsm2.DefaultDir(a.env); err != nil {
		return nil, &problem{doing: "cannot find SoftHSM's tokens", err: err, fix: "Give the directory as the argument"}
	}
	list, err := softhsm2.Tokens(dir)
	if err != nil {
		return nil, failing(err, "cannot read the tokens in %s", dir)
	}
	var found []*softhsm2.Token
	var names []string
	for _, t := range list {
		if wanted == "" || wanted == t.Label || wanted == t.Serial {
			found = append(found, t)
		}
		names = append(names, fmt.Sprintf("%q (serial %s)", printable(t.Label), t.Serial))
	}
	switch {
	case len(found) == 1:
		return found[0], nil
	case len(found) == 0:
		return nil, usagef("no token in %s has the label or serial number %q; there are %s", dir, wanted, strings.Join(names, ", "))
	}
	return nil, usagef("there are %d tokens in %s; choose one with --token: %s", len(found), dir, strings.Join(names, ", "))
}

// softHSMObjects reads the token.
func (a *app) softHSMObjects(ctx context.Context, t *softhsm2.Token, user, so *pinFlag) ([]entry, error) {
	whose, flag, from := "user", "source-pin", user
	if so.source != "" {
		whose, flag, from = "SO", "source-so-pin", so
	}
	secret, err := a.currentPIN(ctx, from, flag, fmt.Sprintf("%s of the SoftHSM token %q", whose, printable(t.Label)))
	if err != nil {
		return nil, err
	}
	defer clear(secret)
	objects, err := t.Open(secret, so.source != "")
	if err != nil {
		p := &problem{doing: fmt.Sprintf("cannot open the SoftHSM token %q", printable(t.Label)), err: err}
		if errors.Is(err, softhsm2.ErrPIN) {
			p.fix = "SoftHSM counts no tries: try again"
		}
		return nil, p
	}
	return softHSMEntries(objects), nil
}

func softHSMEntries(objects []softhsm2.Object) []entry {
	list := make([]*migrate.Object, 0, len(objects))
	names := map[*migrate.Object]string{}
	var entries []entry
	for _, o := range objects {
		if o.Err != nil {
			entries = append(entries, entry{source: o.Name, err: o.Err})
			continue
		}
		m := &migrate.Object{Attrs: o.Attrs}
		list, names[m] = append(list, m), o.Name
	}
	migrate.Arrange(list)
	for _, m := range list {
		entries = append(entries, entry{source: names[m], object: m})
	}
	return entries
}
