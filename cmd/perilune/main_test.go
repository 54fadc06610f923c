package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/perilune/perilune/config"
	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/cryptoki/p11"
)

// bench is an HSM in a temporary directory and what surrounds the program. PINs
// are in its environment, by name.
type bench struct {
	t     *testing.T
	env   map[string]string
	home  string
	stdin string
	// answers are typed on the terminal; nil for no terminal.
	answers []string
	prompts []string // what the terminal was asked
	open    func(context.Context, *config.Config) (p11.Module, error)
	ctx     context.Context
}

// Variables of the environment that hold PINs.
const (
	hsmSO = "HSM_SO" // HSM SO
	po    = "PO"     // Partition SO
	co    = "CO"     // Crypto Officer
	cu    = "CU"     // Crypto User
	other = "OTHER"  // nobody's
)

func newBench(t *testing.T) *bench {
	t.Helper()
	dir := t.TempDir()
	conf := filepath.Join(dir, "perilune.toml")
	write(t, conf, "[password]\npasses = 1\nmemory_kib = 64\nthreads = 1\n")
	home := filepath.Join(dir, "home")
	return &bench{t: t, home: home, open: openLocal, ctx: t.Context(), env: map[string]string{
		"PERILUNE_CONF": conf, "PERILUNE_HOME": home,
		hsmSO: "pin-of-hsm-so", po: "pin-of-partition-so", co: "pin-of-officer", cu: "pin-of-user", other: "pin-of-nobody",
	}}
}

func write(t *testing.T, path, text string) string {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// ready is a bench with an initialised partition "app", all roles set.
func ready(t *testing.T) *bench {
	t.Helper()
	b := newBench(t)
	b.do("partition init --label app --so-pin env:PO")
	b.do("role init --role co --so-pin env:PO --new-pin env:CO")
	b.do("role init --role cu --pin env:CO --new-pin env:CU")
	return b
}

// result is what one run of the program did.
type result struct {
	status         int
	stdout, stderr string
}

// run runs the program. Whatever it prints, it must print no PIN.
func (b *bench) run(args ...string) result {
	b.t.Helper()
	var stdout, stderr bytes.Buffer
	a := &app{
		stdin: strings.NewReader(b.stdin), stdout: &stdout, stderr: &stderr,
		env: func(name string) string { return b.env[name] }, open: b.open,
	}
	if b.answers != nil {
		a.terminal = b
	}
	r := result{status: a.run(b.ctx, args)}
	r.stdout, r.stderr = stdout.String(), stderr.String()
	for name, pin := range b.env {
		if !strings.HasPrefix(name, "PERILUNE_") && strings.Contains(r.stdout+r.stderr, pin) {
			b.t.Errorf("perilune %v printed the PIN %s", args, name)
		}
	}
	return r
}

// do runs a command line that must succeed, and returns what it printed.
func (b *bench) do(line string) string {
	b.t.Helper()
	r := b.run(strings.Fields(line)...)
	if r.status != exitDone {
		b.t.Fatalf("perilune %s: exit status %d\n%s%s", line, r.status, r.stdout, r.stderr)
	}
	return r.stdout
}

// fails runs a command line that must end with a status and say all of texts.
func (b *bench) fails(status int, line string, texts ...string) result {
	b.t.Helper()
	r := b.run(strings.Fields(line)...)
	if r.status != status {
		b.t.Errorf("perilune %s: exit status %d, want %d\n%s%s", line, r.status, status, r.stdout, r.stderr)
	}
	if !strings.Contains(r.stderr, "perilune: ") && r.status != exitDone {
		b.t.Errorf("perilune %s: no message on stderr: %q", line, r.stderr)
	}
	for _, text := range texts {
		if !strings.Contains(r.stderr, text) {
			b.t.Errorf("perilune %s: the message does not say %q:\n%s", line, text, r.stderr)
		}
	}
	return r
}

// decode reads JSON and refuses fields that T does not have.
func decode[T any](t *testing.T, text string) (v T) {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&v); err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	return v
}

// secret and line make the bench a terminal.
func (b *bench) secret(_ context.Context, prompt string) ([]byte, error) {
	s, err := b.answer(prompt)
	return []byte(s), err
}

func (b *bench) line(_ context.Context, prompt string) (string, error) { return b.answer(prompt) }

func (b *bench) answer(prompt string) (string, error) {
	b.prompts = append(b.prompts, prompt)
	if len(b.answers) == 0 {
		return "", fmt.Errorf("asked once too often: %q", prompt)
	}
	s := b.answers[0]
	b.answers = b.answers[1:]
	return s, nil
}

func TestFirstSteps(t *testing.T) {
	b := newBench(t)
	if list := decode[[]slotJSON](t, b.do("slot list --json")); len(list) != 1 || !list[0].Free {
		t.Errorf("slots of a fresh HSM: %+v", list)
	}
	b.do("hsm init --label lab --so-pin env:HSM_SO")
	if list := decode[[]slotJSON](t, b.do("slot list --json")); len(list) != 0 {
		t.Errorf("slots of an HSM with an SO: %+v", list)
	}
	made := decode[partitionJSON](t, b.do("partition create --name app1 --hsm-so-pin env:HSM_SO --json"))
	if made.Name != "app1" || made.Initialized || made.Serial == "" {
		t.Errorf("created: %+v", made)
	}
	b.do("partition init --partition app1 --label first --so-pin env:PO")
	b.do("role init --partition first --role co --so-pin env:PO --new-pin env:CO")
	b.do("role init --partition " + made.Serial + " --role cu --pin env:CO --new-pin env:CU")

	show := decode[partitionDetailsJSON](t, b.do("partition show --json"))
	if show.Label != "first" || len(show.Roles) != 4 {
		t.Errorf("partition show: %+v", show)
	}
	for _, r := range show.Roles {
		if r.Initialized != (r.Role != "lco") || r.Locked || r.AttemptsLeft != 10 || r.Threshold != 10 || *r.Slot != show.Slot {
			t.Errorf("role: %+v", r)
		}
	}
	h := decode[hsmJSON](t, b.do("hsm show --json"))
	if !h.Initialized || h.Label != "lab" || h.Partitions != 1 || h.SOAttemptsLeft != 3 || h.Home != b.home {
		t.Errorf("hsm show: %+v", h)
	}
	for _, cmd := range []string{"hsm show", "partition list", "partition show", "role list", "slot list", "version"} {
		if out := b.do(cmd); out == "" {
			t.Errorf("%s printed nothing", cmd)
		}
	}
	b.do("partition delete --partition first --hsm-so-pin env:HSM_SO --force")
	if list := decode[[]partitionJSON](t, b.do("partition list --json")); len(list) != 0 {
		t.Errorf("after the deletion: %+v", list)
	}
}

func TestFreeSlot(t *testing.T) {
	b := newBench(t)
	b.do("partition init --label one --so-pin env:PO")
	list := decode[[]slotJSON](t, b.do("slot list --json"))
	if len(list) != 2 || list[0].Free || list[0].Label != "one" || !list[1].Free {
		t.Fatalf("slots: %+v", list)
	}
	b.fails(exitFailed, "partition create --name x --hsm-so-pin env:HSM_SO", "has no HSM SO", "perilune hsm init")
	b.fails(exitFailed, "role list --slot 1", "holds no partition", "partition init --slot 1")
	b.do("partition init --label two --so-pin env:PO")
	b.fails(exitUsage, "role init --role co --so-pin env:PO --new-pin env:CO", "there are 2 initialised partitions", "--slot or --partition")
}

func TestHSMInitAnew(t *testing.T) {
	b := ready(t)
	b.do("hsm init --label lab --so-pin env:HSM_SO")
	if h := decode[hsmJSON](t, b.do("hsm show --json")); h.Partitions != 1 {
		t.Errorf("the first initialisation destroyed partitions: %+v", h)
	}
	b.fails(exitUsage, "hsm init --label x --so-pin env:HSM_SO", "destroys 1 partition", "--force")
	b.fails(exitFailed, "hsm init --label x --so-pin env:OTHER --force", "wrong PIN for the HSM SO", "2 of 3 tries are left")
	b.do("hsm init --label y --so-pin env:HSM_SO --force")
	h := decode[hsmJSON](t, b.do("hsm show --json"))
	if h.Label != "y" || h.Partitions != 0 {
		t.Errorf("after that: %+v", h)
	}
	b.do("partition create --name a --hsm-so-pin env:HSM_SO") // the SO keeps its PIN
	b.do("hsm zeroize --force")
	b.do("hsm init --label z --so-pin env:OTHER")
	b.do("partition create --name a --hsm-so-pin env:OTHER")
}

func TestWrongPINs(t *testing.T) {
	b := ready(t)
	b.do("hsm init --label lab --so-pin env:HSM_SO")
	for left := 9; left > 1; left-- {
		b.fails(exitFailed, "key list --pin env:OTHER", "wrong PIN for the Crypto Officer", fmt.Sprintf("%d of 10 tries are left", left), "CKR_PIN_INCORRECT")
	}
	b.fails(exitFailed, "key list --pin env:OTHER", "1 try is left. If it fails, the Crypto Officer is locked")
	b.fails(exitFailed, "key list --pin env:OTHER", "That was the last try", "role resetpw --role co --slot 0")
	b.fails(exitFailed, "key list --pin env:CO", "locked", "CKR_PIN_LOCKED", "role resetpw --role co")
	b.fails(exitFailed, "key list --role cu --pin env:CU", "CKR_PIN_LOCKED", "role resetpw --role co")
	b.do("role resetpw --role co --so-pin env:PO --new-pin env:CO")
	b.do("key list --pin env:CO")
	b.do("key list --role cu --pin env:CU")

	b.fails(exitFailed, "role changepw --role co --pin env:OTHER --new-pin env:CO", "9 of 10")
	b.fails(exitFailed, "partition create --name x --hsm-so-pin env:OTHER", "2 of 3")
	b.fails(exitFailed, "partition create --name x --hsm-so-pin env:OTHER", "1 try is left. If it fails, the HSM is zeroized")
	b.fails(exitFailed, "partition create --name x --hsm-so-pin env:OTHER", "zeroized", "CKR_SO_LOGIN_FAILURE_THRESHOLD", "perilune hsm init")
	if h := decode[hsmJSON](t, b.do("hsm show --json")); !h.Zeroized || h.Initialized || h.Partitions != 0 {
		t.Errorf("the HSM is not zeroized: %+v", h)
	}
	if out := b.do("hsm show"); !strings.Contains(out, "HSM is zeroized!") {
		t.Errorf("hsm show does not tell:\n%s", out)
	}
}

func TestPartitionSOLosesItsPartition(t *testing.T) {
	b := ready(t)
	for range 9 {
		b.fails(exitFailed, "role changepw --role po --so-pin env:OTHER --new-pin env:PO", "wrong PIN for the Partition SO")
	}
	b.fails(exitFailed, "role changepw --role po --so-pin env:OTHER --new-pin env:PO", "That was the last try", "the partition is zeroized")
	if p := decode[[]partitionJSON](t, b.do("partition list --json")); len(p) != 1 || p[0].Initialized {
		t.Errorf("partitions: %+v", p)
	}
	b.fails(exitFailed, "key list --pin env:CO", "there is no initialised partition")
	b.fails(exitFailed, "key list --slot 0 --pin env:CO", "not initialised", "partition init --slot 0")
}

func TestChangePIN(t *testing.T) {
	b := ready(t)
	b.do("hsm init --label lab --so-pin env:HSM_SO")
	for _, c := range []struct{ role, flag, pin string }{
		{"so", "hsm-so-pin", hsmSO}, {"po", "so-pin", po}, {"co", "pin", co}, {"cu", "pin", cu}, {"crypto-user", "pin", other},
	} {
		change := "role changepw --role " + c.role + " --" + c.flag + " env:"
		if c.pin == other {
			b.do(change + other + " --new-pin env:CU")
			continue
		}
		b.do(change + c.pin + " --new-pin env:OTHER")
		b.fails(exitFailed, change+c.pin+" --new-pin env:OTHER", "wrong PIN")
	}
	b.fails(exitFailed, "role init --role co --so-pin env:OTHER --new-pin env:CO", "it has one already", "resetpw")
	b.env["SHORT"] = "abc"
	b.fails(exitFailed, "role changepw --role co --pin env:OTHER --new-pin env:SHORT", "CKR_PIN_LEN_RANGE", "4 to 255")
}

func TestConfirmation(t *testing.T) {
	for _, line := range []string{
		"hsm zeroize", "partition init --slot 0 --label x --so-pin env:PO",
		"key delete --label k --pin env:CO", "partition delete --slot 0 --hsm-so-pin env:HSM_SO",
	} {
		b := ready(t)
		b.do("hsm init --label lab --so-pin env:HSM_SO")
		b.do("key generate --type aes --label k --pin env:CO")
		b.fails(exitUsage, line, "--force")
		for _, no := range []string{"", "yes", "quit", "Proceed"} {
			b.answers = []string{no}
			b.fails(exitFailed, line, "not confirmed; nothing was changed")
		}
		b.answers = nil
		if list := decode[[]keyJSON](t, b.do("key list --json --pin env:CO")); len(list) != 1 {
			t.Fatalf("perilune %s destroyed something without being told", line)
		}
		b.answers = []string{"proceed\n"}
		b.do(line)
	}
}

func TestUsage(t *testing.T) {
	b := ready(t)
	for line, want := range map[string]string{
		"hsm shwo":                `did you mean "perilune hsm show"`,
		"nothing":                 "no command",
		"hsm init":                "needs --label",
		"hsm show --nothing":      "unknown flag: --nothing",
		"hsm show extra":          "no arguments",
		"partition create --name": "flag needs an argument",
		"partition show --slot x": "not a number",
		"partition show --slot 0 --partition app":    "--slot and --partition exclude",
		"role init --role nobody --pin env:CO":       "so, po, co, lco, cu and au",
		"role init --role po --so-pin env:PO":        "perilune partition init",
		"role init --role so --pin env:CO":           "perilune hsm init",
		"role resetpw --role po --so-pin env:PO":     "role changepw --role po",
		"role init --role co --pin env:CO":           "no use for --pin",
		"role changepw --role so --slot 0":           "no partition",
		"partition delete --hsm-so-pin env:HSM_SO":   "which partition",
		"key generate --pin env:CO":                  "needs --type",
		"key generate --type tdes --pin env:CO":      "the types are",
		"key generate --type rsa:big --pin env:CO":   "no size",
		"key generate --type aes:255 --pin env:CO":   "no size",
		"key generate --type ed25519:3 --pin env:CO": "one size only",
		"key generate --type ec:P-1 --pin env:CO":    "P-256",
		"key generate --type aes --id xyz":           "hex",
		"key generate --type aes --usage fly":        "sign, encrypt",
		"key show --pin env:CO":                      "--label, --id or --handle",
		"key show --handle x --pin env:CO":           "not a number",
		"key list --class x --pin env:CO":            "private, public",
		"key list --public --pin env:CO":             "--public and --pin exclude",
		"key list --role po --pin env:CO":            "sees no keys",
		"key export-public --label x --format x":     "pem and der",
		"key delete --pin env:CO --force":            "--all",
		"key import":                                 "which files",
		"key import --type rsa main_test.go":         "secret keys",
		"key import --encoding hex main_test.go":     "--type",
		"key import --label x main_test.go key.go":   "one file",
		"key list":                                     "no terminal to ask for a PIN",
		"role changepw --role co --pin env:CO":         "no terminal to ask for a PIN",
		"partition init --label x --slot 0 --so-pin x": "takes the place of a PIN",
	} {
		r := b.fails(exitUsage, line, want)
		if r.stdout != "" {
			t.Errorf("perilune %s printed on stdout: %s", line, r.stdout)
		}
	}
	for _, line := range []string{"", "hsm", "key"} {
		r := b.run(strings.Fields(line)...)
		if r.status != exitUsage || !strings.Contains(r.stderr, "Available Commands") {
			t.Errorf("perilune %s: status %d, %s", line, r.status, r.stderr)
		}
	}
	for _, line := range []string{"--help", "help", "key --help", "key generate --help", "help key generate"} {
		b.do(line)
	}
}

// A PIN may end up in the place of something else; it is not repeated then.
func TestMisplacedPIN(t *testing.T) {
	b := ready(t)
	pin := b.env[co]
	for _, args := range [][]string{
		{"key", "list", "--pin", pin},
		{"key", "list", "--pin=" + pin},
		{"key", "list", "--pin", "env:CO", pin},
		{"hsm", "show", pin},
		{"key", "list", "--pin", "pass:" + pin},
		{"key", "list", "--pin", "fd:" + pin},
	} {
		r := b.run(args...) // run looks for PINs in what is printed
		if r.status != exitUsage {
			t.Errorf("perilune %v: status %d", args[:2], r.status)
		}
	}
}

func TestUnreachableHSM(t *testing.T) {
	b := newBench(t)
	write(t, b.home, "a file in the place of the directory")
	b.fails(exitFailed, "hsm show", "cannot open the HSM in "+b.home, "perilune doctor")
	write(t, b.env["PERILUNE_CONF"], "homme = \"x\"\n")
	b.fails(exitFailed, "hsm show", "homme", "docs/configuration.md")
}

// stubModule answers what a test says, and everything else from another module.
type stubModule struct {
	p11.Module
	do func(ctx context.Context, req p11.Request) (handled bool, err error)
}

func (m stubModule) Do(ctx context.Context, req p11.Request, reply any) error {
	if handled, err := m.do(ctx, req); handled {
		return err
	}
	return m.Module.Do(ctx, req, reply)
}

// interpose lets do see every request first.
func (b *bench) interpose(do func(ctx context.Context, req p11.Request) (bool, error)) {
	b.open = func(ctx context.Context, c *config.Config) (p11.Module, error) {
		m, err := openLocal(ctx, c)
		return stubModule{m, do}, err
	}
}

func TestInterruptedGeneration(t *testing.T) {
	b := ready(t)
	ctx, cancel := context.WithCancel(t.Context())
	b.ctx = ctx
	release := make(chan struct{})
	b.interpose(func(_ context.Context, req p11.Request) (bool, error) {
		if _, ok := req.(*p11.GenerateKeyPair); !ok {
			return false, nil
		}
		cancel()
		<-release // as a prime search that does not look at the context
		return true, ck.CKR_FUNCTION_CANCELED
	})
	r := b.run("key", "generate", "--type", "rsa:4096", "--pin", "env:CO")
	close(release)
	if r.status != exitInterrupted || !strings.Contains(r.stderr, "interrupted") {
		t.Errorf("status %d: %s", r.status, r.stderr)
	}
}

func TestInterruptedQuestion(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := wait(ctx, func() (string, error) { select {} })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	var stderr bytes.Buffer
	a := &app{stderr: &stderr}
	if status := a.report(ctx, err); status != exitInterrupted || !strings.Contains(stderr.String(), "nothing was changed") {
		t.Errorf("status %d: %s", status, stderr.String())
	}
}

// Every return code that reaches people comes with its name.
func TestDescribe(t *testing.T) {
	for _, c := range []struct {
		err  error
		want string
	}{
		{errors.New("plain"), "plain"},
		{ck.CKR_MECHANISM_INVALID, "the HSM does not have the mechanism (CKR_MECHANISM_INVALID)"},
		{fmt.Errorf("AES-9: %w", ck.CKR_MECHANISM_INVALID), "AES-9 (CKR_MECHANISM_INVALID)"},
		{ck.CKR_BUFFER_TOO_SMALL, "CKR_BUFFER_TOO_SMALL"},
		{failing(ck.CKR_SLOT_ID_INVALID, "cannot use slot %d", 3), "cannot use slot 3: there is no such slot (CKR_SLOT_ID_INVALID)\n  `perilune slot list` shows the slots there are."},
	} {
		if got := describe(c.err); got != c.want {
			t.Errorf("describe(%v):\n%s\nwant\n%s", c.err, got, c.want)
		}
	}
}

func TestCompletion(t *testing.T) {
	b := newBench(t)
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		if out := b.do("completion " + shell); !strings.Contains(out, "perilune") {
			t.Errorf("completion for %s: %q", shell, out)
		}
	}
	b.do("__complete partition show --partition app")
	if _, err := os.Stat(b.home); err == nil {
		t.Error("completion made an HSM")
	}
	b.do("partition init --label app --so-pin env:PO")
	b.do("role init --role co --so-pin env:PO --new-pin env:CO")
	b.do("key generate --type ec --label signer --id 01 --pin env:CO")
	b.do("key generate --type aes --label secret --pin env:CO")
	for line, want := range map[string]string{
		"__complete partition show --partition part": "partition1\tapp",
		"__complete partition show --slot 0":         "0\tapp",
		"__complete role init --role c":              "co",
		"__complete key generate --type rsa:2":       "rsa:2048",
		"__complete key list --pin e":                "env:",
		"__complete key gen":                         "generate",
		"__complete key show --label s":              "signer\tec:P-256 public signer",
		"__complete hsm policy set --id 1":           "12\tAllow non-FIPS algorithms",
		"__complete partition policy set --id 1":     "17\tAllow signing",
		"__complete key delete --id 0":               "01\tec:P-256 public signer",
		"__complete key delete --class c":            "cert",
	} {
		if out := b.do(line); !strings.Contains(out, want) {
			t.Errorf("%s: %q, want %q", line, out, want)
		}
	}
}

// TestShellInterrupted is of the signal that ends a shell, which the shell may see
// before the program does.
func TestShellInterrupted(t *testing.T) {
	var stderr strings.Builder
	a := &app{stderr: &stderr}
	if got := a.report(t.Context(), fmt.Errorf("reading: %w", context.Canceled)); got != exitInterrupted {
		t.Errorf("exit status %d", got)
	}
	if got := stderr.String(); !strings.HasPrefix(got, "perilune: interrupted:") {
		t.Errorf("%q", got)
	}
}
