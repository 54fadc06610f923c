package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// flagError puts into our words what pflag refuses.
func flagError(cmd *cobra.Command, err error) error {
	text := err.Error()
	var invalid *pflag.InvalidValueError
	if errors.As(err, &invalid) {
		text = fmt.Sprintf("--%s takes %s, not %q", invalid.GetFlag().Name, flagKind(invalid.GetFlag()), invalid.GetValue())
	}
	return usagef("%s; `%s --help` lists the flags", text, cmd.CommandPath())
}

// flagKind is what a flag takes, for people.
func flagKind(f *pflag.Flag) string {
	switch f.Value.Type() {
	case "int", "int64", "uint", "uint8", "uint16", "uint32", "uint64":
		return "a number"
	case "bool":
		return "true or false"
	case "duration":
		return "a time such as 90s or 10m"
	}
	return "a " + f.Value.Type()
}

// exclusive is the annotation by which cobra knows flags that exclude each other.
const exclusive = "cobra_annotation_mutually_exclusive"

// checkFlags looks at the flags before a command runs. It refuses PINs that are
// bare, and what cobra would refuse next, in our words: flags that are missing
// and flags that exclude each other.
func (a *app) checkFlags(cmd *cobra.Command, _ []string) error {
	if err := checkPINFlags(cmd.Flags()); err != nil {
		return err
	}
	if err := checkTogether(cmd); err != nil {
		return err
	}
	a.started = !cmd.HasSubCommands()
	return nil
}

func checkTogether(cmd *cobra.Command) error {
	var missing, clashing []string
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if slices.Contains(f.Annotations[cobra.BashCompOneRequiredFlag], "true") && !f.Changed {
			missing = append(missing, "--"+f.Name)
		}
		for _, group := range f.Annotations[exclusive] {
			if given := givenOf(cmd, strings.Fields(group)); len(given) > 1 {
				clashing = given
			}
		}
	})
	switch {
	case len(missing) > 0:
		return usagef("`%s` needs %s; `%s --help` lists the flags", cmd.CommandPath(), strings.Join(missing, " and "), cmd.CommandPath())
	case len(clashing) > 0:
		return usagef("%s exclude each other: give one of them", strings.Join(clashing, " and "))
	}
	return nil
}

// givenOf are those of some flags that were given.
func givenOf(cmd *cobra.Command, names []string) (given []string) {
	for _, name := range names {
		if f := cmd.Flags().Lookup(name); f != nil && f.Changed {
			given = append(given, "--"+name)
		}
	}
	return given
}
