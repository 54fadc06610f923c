package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/mattn/go-sqlite3"
	"github.com/spf13/cobra"
)

// versionJSON is what `version --json` prints.
type versionJSON struct {
	Version  string `json:"version"`
	Revision string `json:"revision,omitempty"`
	Go       string `json:"go"`
	SQLite   string `json:"sqlite"`
	System   string `json:"system"`
}

func thisVersion() versionJSON {
	v := versionJSON{Version: version, Go: runtime.Version(), System: runtime.GOOS + "/" + runtime.GOARCH}
	v.SQLite, _, _ = sqlite3.Version()
	if info, ok := debug.ReadBuildInfo(); ok {
		v.Revision = revision(info)
	}
	return v
}

func (v versionJSON) String() string {
	return fmt.Sprintf("perilune %s (%s, SQLite %s, %s)", v.Version, v.Go, v.SQLite, v.System)
}

// revision is the commit that a binary was built from.
func revision(info *debug.BuildInfo) string {
	var rev, modified string
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			rev = s.Value
		case "vcs.modified":
			modified = s.Value
		}
	}
	if rev != "" && modified == "true" {
		return rev + "-modified"
	}
	return rev
}

func (a *app) versionCommand() *cobra.Command {
	var asJSON *bool
	cmd := a.command("version", "Show the version of this program and what it is made of", "", func(*cobra.Command, []string) error {
		v := thisVersion()
		if *asJSON {
			return a.printJSON(v)
		}
		_, err := fmt.Fprintln(a.stdout, v)
		return err
	})
	asJSON = jsonFlag(cmd)
	return cmd
}
