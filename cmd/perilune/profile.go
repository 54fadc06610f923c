package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/perilune/perilune/cryptoki/p11"
)

func (a *app) profileCommand() *cobra.Command {
	cmd := a.group("profile", "Profiles of behaviour", `Profiles of behaviour: what the HSM does where PKCS#11 and devices differ.
`+"`perilune hsm init --profile NAME`"+` chooses one.`)
	cmd.AddCommand(a.profileListCommand(), a.profileShowCommand(), a.profileDiffCommand())
	return cmd
}

// profiles asks the HSM for the profiles.
func (a *app) profiles(ctx context.Context) ([]p11.Profile, error) {
	m, err := a.hsm(ctx)
	if err != nil {
		return nil, err
	}
	list, err := p11.Call(ctx, m, &p11.ListProfiles{})
	return list.Profiles, failing(err, "cannot list the profiles")
}

// profileJSON is what --json tells of a profile in a list.
type profileJSON struct {
	Name  string `json:"name"`
	About string `json:"about"`
	Used  bool   `json:"used"`
}

func (a *app) profileListCommand() *cobra.Command {
	var asJSON *bool
	cmd := a.command("list", "List the profiles", "", func(cmd *cobra.Command, _ []string) error {
		ctx := cmd.Context()
		list, err := a.profiles(ctx)
		if err != nil {
			return err
		}
		info, err := a.hsmInfo(ctx, "cannot ask for the profile of the HSM")
		if err != nil {
			return err
		}
		out, rows := []profileJSON{}, [][]string{}
		for _, p := range list {
			used := p.Name == info.Profile
			out = append(out, profileJSON{p.Name, p.About, used})
			rows = append(rows, []string{p.Name, yesNo(used), p.About})
		}
		if *asJSON {
			return a.printJSON(out)
		}
		return table(a.stdout, []string{"Profile", "In use", "For"}, rows)
	})
	asJSON = jsonFlag(cmd)
	return cmd
}

// profileFactJSON is one fact; profileShowJSON is what `profile show --json` prints.
type (
	profileFactJSON struct {
		Section string `json:"section"`
		Name    string `json:"name"`
		Value   string `json:"value"`
	}
	profileShowJSON struct {
		Name  string            `json:"name"`
		About string            `json:"about"`
		Facts []profileFactJSON `json:"facts"`
	}
)

func (a *app) profileShowCommand() *cobra.Command {
	var (
		asJSON   *bool
		sections *[]string
	)
	cmd := a.command("show NAME", "Show what a profile does", `Shows what a profile does: what C_GetInfo and its kin say, PINs, storage, policies
at first, defaults of attributes, rules for templates, FIPS mode, functions,
return codes by rule, mechanisms. --section shows one of them; without it
mechanisms are only counted.`,
		func(cmd *cobra.Command, args []string) error {
			list, err := a.profiles(cmd.Context())
			if err != nil {
				return err
			}
			p, err := profileNamed(list, args[0])
			if err != nil {
				return err
			}
			facts, err := inSections(p.Facts, *sections)
			if err != nil {
				return err
			}
			if *asJSON {
				out := profileShowJSON{Name: p.Name, About: p.About, Facts: []profileFactJSON{}}
				for _, f := range facts {
					out.Facts = append(out.Facts, profileFactJSON(f))
				}
				return a.printJSON(out)
			}
			fmt.Fprintf(a.stdout, "%s: %s\n", p.Name, p.About)
			return a.showFacts(facts, len(*sections) == 0)
		})
	cmd.Args = func(_ *cobra.Command, args []string) error {
		if len(args) != 1 {
			return usagef("`perilune profile show` takes the name of a profile; `perilune profile list` lists them")
		}
		return nil
	}
	asJSON, sections = jsonFlag(cmd), sectionFlag(cmd)
	return cmd
}

// showFacts prints facts under the names of their sections; the mechanisms only
// by their number if there is more to see.
func (a *app) showFacts(facts []p11.ProfileFact, brief bool) error {
	for _, section := range sectionsOf(facts) {
		heading(a.stdout, section)
		var rows [][]string
		for _, f := range facts {
			if f.Section == section {
				rows = append(rows, []string{f.Name, f.Value})
			}
		}
		if brief && section == manySection {
			fmt.Fprintf(a.stdout, "%s; --section %s lists them\n", count(len(rows), "mechanism"), section)
			continue
		}
		if err := columns(a.stdout, rows); err != nil {
			return err
		}
	}
	return nil
}

// profileDiffJSON is what `profile diff --json` prints. A value is null where
// the profile has no such thing.
type profileDiffJSON struct {
	Profiles    [2]string               `json:"profiles"`
	Differences []profileDifferenceJSON `json:"differences"`
}

type profileDifferenceJSON struct {
	Section string     `json:"section"`
	Name    string     `json:"name"`
	Values  [2]*string `json:"values"`
}

func (a *app) profileDiffCommand() *cobra.Command {
	var (
		asJSON   *bool
		sections *[]string
	)
	cmd := a.command("diff [A B]", "Show what changes from one profile to another", `Shows what changes for an application from profile A to profile B, by default
from the default profile to that of devices. Mechanisms that come or go are only
counted; --section mechanisms lists them.`,
		func(cmd *cobra.Command, args []string) error {
			list, err := a.profiles(cmd.Context())
			if err != nil {
				return err
			}
			from, to := list[0], list[1]
			if len(args) == 2 {
				if from, err = profileNamed(list, args[0]); err != nil {
					return err
				}
				if to, err = profileNamed(list, args[1]); err != nil {
					return err
				}
			}
			if _, err := inSections(from.Facts, *sections); err != nil {
				return err
			}
			d := differences(from, to, *sections)
			if *asJSON {
				return a.printJSON(d)
			}
			return a.showDifferences(d, len(*sections) == 0)
		})
	cmd.Args = func(_ *cobra.Command, args []string) error {
		if len(args) != 0 && len(args) != 2 {
			return usagef("`perilune profile diff` takes the names of two profiles, or none")
		}
		return nil
	}
	asJSON, sections = jsonFlag(cmd), sectionFlag(cmd)
	return cmd
}

// manySection is the section with hundreds of facts.
const manySection = "mechanisms"

func sectionFlag(cmd *cobra.Command) *[]string {
	return cmd.Flags().StringSlice("section", nil, "only this `section` (can be given more than once)")
}

func profileNamed(list []p11.Profile, name string) (p11.Profile, error) {
	var names []string
	for _, p := range list {
		if p.Name == name {
			return p, nil
		}
		names = append(names, p.Name)
	}
	return p11.Profile{}, usagef("there is no profile %q; there are %s", printable(name), strings.Join(names, " and "))
}

// inSections picks the facts of the sections, all for none.
func inSections(facts []p11.ProfileFact, sections []string) ([]p11.ProfileFact, error) {
	all := sectionsOf(facts)
	for _, s := range sections {
		if !slices.Contains(all, s) {
			return nil, usagef("--section %q: there are %s", printable(s), strings.Join(all, ", "))
		}
	}
	if len(sections) == 0 {
		return facts, nil
	}
	return slices.DeleteFunc(slices.Clone(facts), func(f p11.ProfileFact) bool { return !slices.Contains(sections, f.Section) }), nil
}

// sectionsOf lists the sections in their order.
func sectionsOf(facts []p11.ProfileFact) (list []string) {
	for _, f := range facts {
		if !slices.Contains(list, f.Section) {
			list = append(list, f.Section)
		}
	}
	return list
}

// differences compares the facts of two profiles, in the order of the first,
// and behind those of each section what only the second has.
func differences(from, to p11.Profile, sections []string) profileDiffJSON {
	d := profileDiffJSON{Profiles: [2]string{from.Name, to.Name}, Differences: []profileDifferenceJSON{}}
	value := func(p p11.Profile, section, name string) *string {
		for i := range p.Facts {
			if f := &p.Facts[i]; f.Section == section && f.Name == name {
				return &f.Value
			}
		}
		return nil
	}
	for _, section := range sectionsOf(slices.Concat(from.Facts, to.Facts)) {
		if len(sections) > 0 && !slices.Contains(sections, section) {
			continue
		}
		for _, f := range slices.Concat(from.Facts, to.Facts) {
			if f.Section != section {
				continue
			}
			old, now := value(from, section, f.Name), value(to, section, f.Name)
			known := slices.ContainsFunc(d.Differences, func(x profileDifferenceJSON) bool { return x.Section == section && x.Name == f.Name })
			if !known && (old == nil || now == nil || *old != *now) {
				d.Differences = append(d.Differences, profileDifferenceJSON{section, f.Name, [2]*string{old, now}})
			}
		}
	}
	return d
}

func (a *app) showDifferences(d profileDiffJSON, brief bool) error {
	if len(d.Differences) == 0 {
		fmt.Fprintf(a.stdout, "%s and %s do the same.\n", d.Profiles[0], d.Profiles[1])
		return nil
	}
	fmt.Fprintf(a.stdout, "From %s to %s:\n", d.Profiles[0], d.Profiles[1])
	for _, s := range d.sections() {
		heading(a.stdout, s.name)
		if brief && s.name == manySection {
			fmt.Fprintf(a.stdout, "%d go, %d come, %d do otherwise; --section %s lists them\n", s.gone, s.new, s.changed, s.name)
			continue
		}
		rows := [][]string{{"", d.Profiles[0], d.Profiles[1]}}
		for _, x := range s.list {
			rows = append(rows, []string{x.Name, valueOr(x.Values[0]), valueOr(x.Values[1])})
		}
		if err := columns(a.stdout, rows); err != nil {
			return err
		}
	}
	return nil
}

// differingSection is the differences of one section.
type differingSection struct {
	name               string
	list               []profileDifferenceJSON
	gone, new, changed int
}

func (d *profileDiffJSON) sections() (list []differingSection) {
	for _, x := range d.Differences {
		if len(list) == 0 || list[len(list)-1].name != x.Section {
			list = append(list, differingSection{name: x.Section})
		}
		s := &list[len(list)-1]
		s.list = append(s.list, x)
		switch {
		case x.Values[1] == nil:
			s.gone++
		case x.Values[0] == nil:
			s.new++
		default:
			s.changed++
		}
	}
	return list
}

func valueOr(v *string) string {
	if v == nil {
		return "-"
	}
	return *v
}

func heading(w io.Writer, s string) {
	fmt.Fprintf(w, "\n%s\n%s\n", s, strings.Repeat("=", len(s)))
}
