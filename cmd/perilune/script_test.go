package main

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/rogpeppe/go-internal/txtar"
	"github.com/spf13/cobra"

	"github.com/perilune/perilune/config"
	"github.com/perilune/perilune/cryptoki/p11"
)

// The scripts in testdata/script run this program as people do, and compare all
// that it says. docs/DESIGN.md tells how to write one.

var update = flag.Bool("update", false, "write what the program says now into the scripts, and the generated files of docs")

// TestMain lets this binary be the program, where it is called so.
func TestMain(m *testing.M) {
	if filepath.Base(os.Args[0]) == "perilune" {
		main()
	}
	os.Exit(m.Run())
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script", UpdateScripts: *update, RequireUniqueNames: true,
		Setup: func(e *testscript.Env) error { return newStory(t, e) },
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"perilune":   func(ts *testscript.TestScript, neg bool, args []string) { storyOf(ts).perilune(ts, neg, args) },
			"transcript": func(ts *testscript.TestScript, _ bool, _ []string) { storyOf(ts).transcript(ts) },
			"forget":     func(ts *testscript.TestScript, _ bool, _ []string) { storyOf(ts).told.Reset() },
			"hsm":        func(ts *testscript.TestScript, _ bool, _ []string) { ts.Check(storyOf(ts).fresh(ts.Getenv)) },
		},
	})
}

// scriptPINs are in the environment of every script. None may ever be printed.
var scriptPINs = map[string]string{
	"HSM_SO": "Very-Secret-1-hsm-so", "AUDITOR": "Very-Secret-2-auditor", "SO": "Very-Secret-3-partition-so",
	"CO": "Very-Secret-4-officer", "LCO": "Very-Secret-5-limited", "CU": "Very-Secret-6-user",
	"NEW": "Very-Secret-7-new", "WRONG": "Very-Secret-8-nobody", "DOMAIN": "Very-Secret-9-domain", "OTHER_DOMAIN": "Very-Secret-10-domain",
}

const scriptPIN = "Very-Secret-"

type storyKey struct{}

// story is a run of a script: what was said since the last comparison, and what
// the normaliser remembers.
type story struct {
	t       *testing.T
	told    strings.Builder
	work    string
	serials []uint64            // of the HSMs, in the order of their making
	seen    map[string][]string // values of each kind, in the order of appearance
}

func storyOf(ts *testscript.TestScript) *story { return ts.Value(storyKey{}).(*story) }

// newStory makes an HSM for a script, and an environment that reaches no other.
func newStory(t *testing.T, e *testscript.Env) error {
	conf := filepath.Join(e.WorkDir, "perilune.toml")
	if err := os.WriteFile(conf, []byte("[password]\npasses = 1\nmemory_kib = 64\nthreads = 1\n"), 0o600); err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	bin := filepath.Join(e.WorkDir, ".bin")
	if err := errors.Join(os.Mkdir(bin, 0o700), os.Symlink(self, filepath.Join(bin, "perilune"))); err != nil {
		return err
	}
	e.Setenv("PATH", bin+string(filepath.ListSeparator)+e.Getenv("PATH"))
	e.Setenv("HOME", filepath.Join(e.WorkDir, "user"))
	e.Setenv("PERILUNE_CONF", conf)
	e.Setenv("PERILUNE_HOME", filepath.Join(e.WorkDir, "home"))
	e.Setenv("TZ", "UTC")
	for dir, from := range map[string]string{"softhsm": "softhsm2/testdata/tokens", "pkcs12": "pkcs12/testdata", "jks": "jks/testdata"} {
		if err := os.CopyFS(filepath.Join(e.WorkDir, dir), os.DirFS("../../migrate/"+from)); err != nil {
			return err
		}
	}
	for name, pin := range scriptPINs {
		e.Setenv(name, pin)
	}
	s := &story{t: t, work: e.WorkDir, seen: map[string][]string{}}
	e.Values[storyKey{}] = s
	e.Defer(func() {
		if s.told.Len() > 0 && !t.Failed() {
			e.T().Log("the script ends with a `perilune` that no `transcript` and no `forget` follows")
			e.T().FailNow()
		}
	})
	return s.fresh(e.Getenv)
}

// fresh makes the HSM in PERILUNE_HOME. Serial numbers are random; they shall be
// of one length, so that tables look the same in every run.
func (s *story) fresh(env config.Env) error {
	for {
		serial, err := makeHSM(env)
		if err != nil {
			return err
		}
		if partitionSerial(serial, 1) >= 1e13 {
			s.serials = append(s.serials, serial)
			return nil
		}
		if err := os.RemoveAll(env("PERILUNE_HOME")); err != nil {
			return err
		}
	}
}

func makeHSM(env config.Env) (serial uint64, err error) {
	ctx := context.Background()
	c, err := config.Load(env)
	if err != nil {
		return 0, err
	}
	m, err := openLocal(ctx, c)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, m.Close()) }()
	info, err := p11.Call(ctx, m, &p11.GetHSMInfo{})
	return info.Serial, err
}

// partitionSerial is the serial number of an HSM's nth partition.
func partitionSerial(hsm, n uint64) uint64 { return hsm*2_328_306 + n }

// perilune runs the program and adds to the transcript what it said.
func (s *story) perilune(ts *testscript.TestScript, neg bool, args []string) {
	err := ts.Exec("perilune", args...)
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		ts.Fatalf("cannot run perilune: %v", err)
	}
	stdout, stderr := ts.ReadFile("stdout"), ts.ReadFile("stderr")
	if strings.Contains(stdout+stderr, scriptPIN) {
		ts.Fatalf("the program printed a PIN")
	}
	if (err != nil) != neg {
		ts.Fatalf("%v; a run that is to fail begins with !", err)
	}
	if err == nil && slices.Contains(args, "--json") && !json.Valid([]byte(stdout)) {
		ts.Fatalf("what --json printed is no JSON")
	}
	stdout, stderr = s.normalize(stdout), s.normalize(stderr)
	fmt.Fprint(ts.Stdout(), stdout)
	fmt.Fprint(ts.Stderr(), stderr)
	s.tell(args, stdout, stderr, exit)
}

// tell adds a run to the transcript.
func (s *story) tell(args []string, stdout, stderr string, exit *exec.ExitError) {
	line := "$ perilune"
	for _, a := range args {
		if a == "" || strings.ContainsAny(a, " '\"\\$\n;") {
			a = "'" + strings.ReplaceAll(a, "'", `'\''`) + "'"
		}
		line += " " + a
	}
	fmt.Fprintln(&s.told, s.normalize(line))
	s.told.WriteString(stdout)
	if stdout != "" && !strings.HasSuffix(stdout, "\n") {
		s.told.WriteString("[no newline]\n")
	}
	for l := range strings.Lines(stderr) {
		s.told.WriteString("2> " + strings.TrimSuffix(l, "\n") + "\n")
	}
	if exit != nil {
		fmt.Fprintf(&s.told, "[exit status %d]\n", exit.ExitCode())
	}
}

// transcript makes all that was said since the last one the output to compare.
func (s *story) transcript(ts *testscript.TestScript) {
	fmt.Fprint(ts.Stdout(), s.told.String())
	s.told.Reset()
}

// unsteady is what differs from run to run: a pattern, of which the first group
// is replaced, and what the nth different value of its kind becomes. A text of
// the same width keeps tables straight.
var unsteady = []struct {
	kind    string
	pattern *regexp.Regexp
	becomes func(n int, value string) string
}{
	{"time", regexp.MustCompile(`\b(20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z)\b`), func(int, string) string { return "2026-01-02T03:04:05Z" }},
	{"uuid", regexp.MustCompile(`\b([0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12})\b`), numbered("00000000-0000-4000-8000-%012d")},
	{"hash", regexp.MustCompile(`\b([0-9a-f]{64})\b`), numbered("HASH-%d")},
	{"ouid", regexp.MustCompile(`\b([0-9a-f]{24})\b`), numbered("OUID-%019d")},
	{"id", regexp.MustCompile(`\b([0-9a-f]{16})\b`), numbered("RANDOM-ID-%06d")},
	{"check", regexp.MustCompile(`(?:"check_value": "|Check value: +)([0-9a-f]{6})\b`), numbered("CHECK%d")},
	{"handle", regexp.MustCompile(`(?m)(?:handle"?:? |"clone": |Object Handle: +)(\d+)\b`), numbered("H%d")},
	{"handle", regexp.MustCompile(`(?m)^(\d+) +(?:private|public|secret|cert|data) `), func(n int, v string) string { return pad(fmt.Sprintf("H%d", n), len(v)) }},
	{"access", regexp.MustCompile(`Access (\d+:\d+) `), numbered("HIGH:LOW")},
	{"go", regexp.MustCompile(`\b(go1\.\d+(?:\.\d+)?(?:[-a-zA-Z0-9.]*))`), numbered("go1.99")},
	{"sqlite", regexp.MustCompile(`(?:SQLite |"sqlite": ")(3\.\d+\.\d+)`), numbered("3.99.9")},
	{"system", regexp.MustCompile(`\b((?:linux|darwin|freebsd|windows)/[a-z0-9]+)\b`), numbered("linux/amd64")},
}

func numbered(format string) func(int, string) string {
	return func(n int, _ string) string {
		if !strings.Contains(format, "%") {
			return format
		}
		return fmt.Sprintf(format, n)
	}
}

// pad makes up in spaces for what a value is longer than its stand-in. It marks
// where the stand-in is longer: realign takes that out.
func pad(s string, width int) string {
	if len(s) > width {
		return s + strings.Repeat("\b", len(s)-width)
	}
	return s + strings.Repeat(" ", width-len(s))
}

// normalize replaces what differs from run to run.
func (s *story) normalize(text string) string {
	text = strings.ReplaceAll(text, s.work, "$WORK")
	text = uriID.ReplaceAllStringFunc(text, func(id string) string {
		b, _ := hex.DecodeString(strings.ReplaceAll(id, "%", ""))
		return hex.EncodeToString(b)
	})
	text = replaceGroup(logName, s.steadySerials(text), s.steadySerials)
	for _, u := range unsteady {
		text = replaceGroup(u.pattern, text, func(value string) string {
			return u.becomes(s.number(u.kind, value), value)
		})
	}
	return realign.ReplaceAllString(text, "")
}

// logName has a serial number between underscores.
var logName = regexp.MustCompile(`hsm_(\d{7})_`)

// uriID is a random identifier in a PKCS#11 URI.
var uriID = regexp.MustCompile(`(?:%[0-9A-F]{2}){8}`)

// realign takes as many spaces as a stand-in is too long.
var realign = regexp.MustCompile("\b ")

// number says which value of its kind this is, from 1.
func (s *story) number(kind, value string) int {
	if i := slices.Index(s.seen[kind], value); i >= 0 {
		return i + 1
	}
	s.seen[kind] = append(s.seen[kind], value)
	return len(s.seen[kind])
}

var number7to14 = regexp.MustCompile(`\b(\d{7}|\d{14})\b`)

// steadySerials gives the first HSM the serial number 5000000, the second
// 5000001 and so on, and their partitions what follows from that.
func (s *story) steadySerials(text string) string {
	return number7to14.ReplaceAllStringFunc(text, func(digits string) string {
		v, _ := strconv.ParseUint(digits, 10, 64)
		for i, serial := range s.serials {
			steady := uint64(5_000_000 + i)
			first := partitionSerial(serial, 0)
			switch {
			case v == serial:
				return fmt.Sprint(steady)
			case v > first && v < first+1000:
				return fmt.Sprint(partitionSerial(steady, v-first))
			}
		}
		return digits
	})
}

// replaceGroup replaces the first group of each match.
func replaceGroup(re *regexp.Regexp, text string, by func(string) string) string {
	var b strings.Builder
	end := 0
	for _, m := range re.FindAllStringSubmatchIndex(text, -1) {
		b.WriteString(text[end:m[2]])
		b.WriteString(by(text[m[2]:m[3]]))
		end = m[3]
	}
	return b.String() + text[end:]
}

// told is one run of the program in a script or a transcript.
type told struct {
	args   []string
	fails  bool
	output string // transcripts only
}

// scriptRuns reads the runs of all scripts: the lines of the scripts, and what
// their transcripts say.
func scriptRuns(t *testing.T) (lines, transcripts []told) {
	t.Helper()
	files, err := filepath.Glob("testdata/script/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	for _, file := range files {
		archive, err := txtar.ParseFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(archive.Comment)) {
			args, _ := words(line)
			fails := len(args) > 0 && args[0] == "!"
			if fails {
				args = args[1:]
			}
			if len(args) > 0 && args[0] == "perilune" {
				lines = append(lines, told{args: args[1:], fails: fails})
				lines = append(lines, shellRuns(args[1:], fails)...)
			}
		}
		for _, f := range archive.Files {
			for part := range strings.SplitSeq("\n"+string(f.Data), "\n$ perilune ") {
				line, output, _ := strings.Cut(part, "\n")
				transcripts = append(transcripts, told{args: strings.Fields(line), output: output})
			}
		}
	}
	return lines, transcripts
}

// shellRuns are the commands of `perilune shell -c`, the last of which may fail.
func shellRuns(args []string, fails bool) (runs []told) {
	for i, a := range args {
		if a == "-c" && args[0] == "shell" && i+1 < len(args) {
			in, _ := words(args[i+1])
			runs = append(runs, told{args: in})
		}
	}
	if len(runs) > 0 {
		runs[len(runs)-1].fails = fails
	}
	return runs
}

// demands is what the scripts must show of a command.
var demands = []struct {
	what string
	of   func(*cobra.Command) bool
	met  func(r told) bool
	in   string // "lines" or "transcripts"
}{
	{"running well", func(*cobra.Command) bool { return true },
		func(r told) bool { return !r.fails && !slices.Contains(r.args, "--help") }, "lines"},
	{"refusing something (a line that begins with !)", func(*cobra.Command) bool { return true },
		func(r told) bool { return r.fails }, "lines"},
	{"with --json", func(c *cobra.Command) bool { return c.Flags().Lookup("json") != nil },
		func(r told) bool { return !r.fails && slices.Contains(r.args, "--json") }, "lines"},
	{"refusing to destroy without --force (in a transcript)", func(c *cobra.Command) bool { return c.Flags().Lookup("force") != nil },
		func(r told) bool { return strings.Contains(r.output, "give --force if that is what you want") }, "transcripts"},
}

// Every command has a script that shows it working and refusing, its JSON, and
// that it destroys nothing unless told.
func TestEveryCommandHasAScript(t *testing.T) {
	lines, transcripts := scriptRuns(t)
	root := wholeTree()
	for _, cmd := range runnable(root) {
		name := strings.TrimPrefix(cmd.CommandPath(), "perilune ")
		var missing []string
		for _, d := range demands {
			runs := lines
			if d.in == "transcripts" {
				runs = transcripts
			}
			met := slices.ContainsFunc(runs, func(r told) bool {
				found, _, err := root.Find(r.args)
				return err == nil && found == cmd && d.met(r)
			})
			if d.of(cmd) && !met {
				missing = append(missing, d.what)
			}
		}
		if len(missing) > 0 {
			t.Errorf("no script in testdata/script shows `perilune %s` %s (docs/DESIGN.md, \"To add a command\")", name, strings.Join(missing, ", nor "))
		}
	}
}

// wholeTree is the tree of commands with those of the shell.
func wholeTree() *cobra.Command {
	a := &app{}
	root := a.rootCommand()
	(&shell{app: a}).addCommands(root)
	root.AddCommand(a.shellCommand())
	return root
}

// runnable lists the commands that do something.
func runnable(c *cobra.Command) (list []*cobra.Command) {
	for _, sub := range c.Commands() {
		list = append(list, runnable(sub)...)
	}
	if !c.HasSubCommands() {
		list = append(list, c)
	}
	return list
}
