// Package cli runs build/perilune as people and scripts do: its exit statuses,
// messages, JSON, prompts on a terminal, and what the library makes of its work.
package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/pkcs11"

	"github.com/perilune/perilune/test/built"
)

// patience ends a program that hangs; none comes near it otherwise.
const patience = 2 * time.Minute

// The exit statuses that docs/administration.md promises.
const (
	done        = 0
	failed      = 1
	usage       = 2
	interrupted = 130
)

// PINs, which must never be printed.
const (
	hsmPIN  = "very secret of hsm"
	soPIN   = "very secret of so"
	pin     = "very secret of co"
	userPIN = "very secret of cu"
	wrong   = "very secret of none"
)

// host is a place with an HSM and the program to administer it.
type host struct {
	t       *testing.T
	program string
	module  string
	dir     string
	env     []string
}

func newHost(t *testing.T) *host {
	t.Helper()
	dir := t.TempDir()
	conf := filepath.Join(dir, "perilune.toml")
	if err := os.WriteFile(conf, []byte(built.CheapPINs), 0o600); err != nil {
		t.Fatal(err)
	}
	return &host{
		t: t, dir: dir,
		program: built.Program(t), module: built.Library(t),
		env: []string{
			"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "TERM=xterm",
			"PERILUNE_CONF=" + conf, "PERILUNE_HOME=" + filepath.Join(dir, "home"),
			"HSM_SO=" + hsmPIN, "SO=" + soPIN, "CO=" + pin, "CU=" + userPIN, "WRONG=" + wrong,
		},
	}
}

// command is the program without a terminal.
func (h *host) command(args ...string) *exec.Cmd {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	h.t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, h.program, args...)
	cmd.Env, cmd.Dir = h.env, h.dir
	return cmd
}

// outcome is what a run of the program did.
type outcome struct {
	status         int
	stdout, stderr string
}

func (h *host) finish(cmd *exec.Cmd) outcome {
	h.t.Helper()
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	if _, ok := err.(*exec.ExitError); err != nil && !ok {
		h.t.Fatal(err)
	}
	o := outcome{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
	h.noPIN(o.stdout + o.stderr)
	return o
}

func (h *host) noPIN(text string) {
	h.t.Helper()
	if strings.Contains(text, "very secret") {
		h.t.Errorf("a PIN was printed:\n%s", text)
	}
}

// run runs a command line and wants an exit status.
func (h *host) run(status int, line string) outcome {
	h.t.Helper()
	o := h.finish(h.command(strings.Fields(line)...))
	if o.status != status {
		h.t.Fatalf("perilune %s: exit status %d, want %d\n%s%s", line, o.status, status, o.stdout, o.stderr)
	}
	return o
}

// says runs a command line that ends with a status and a message on stderr.
func (h *host) says(status int, line string, texts ...string) {
	h.t.Helper()
	o := h.run(status, line)
	for _, text := range texts {
		if !strings.Contains(o.stderr, text) {
			h.t.Errorf("perilune %s does not say %q:\n%s", line, text, o.stderr)
		}
	}
	if o.stdout != "" {
		h.t.Errorf("perilune %s: a failure printed on stdout:\n%s", line, o.stdout)
	}
}

// ready makes a partition "app" with all its roles.
func ready(t *testing.T) *host {
	t.Helper()
	h := newHost(t)
	h.run(done, "partition init --label app --so-pin env:SO")
	h.run(done, "role init --role co --so-pin env:SO --new-pin env:CO")
	h.run(done, "role init --role cu --pin env:CO --new-pin env:CU")
	return h
}

func TestExitStatus(t *testing.T) {
	h := ready(t)
	h.run(done, "hsm show")
	h.run(done, "--help")
	h.run(done, "key generate --help")
	h.says(failed, "key list --pin env:WRONG", "CKR_PIN_INCORRECT", "9 of 10 tries are left")
	h.says(failed, "key show --label none --pin env:CO", "cannot find the key")
	h.says(failed, "partition show --partition none", "perilune partition list")
	h.says(usage, "hsm shwo", "did you mean")
	h.says(usage, "hsm init", "needs --label")
	h.says(usage, "key list --nothing", "--nothing")
	h.says(usage, "key list", "no terminal to ask for a PIN", "--pin", "env:NAME, file:PATH, fd:N or stdin")
	h.says(usage, "hsm zeroize", "destroys", "--force")
	h.run(usage, "")
	h.run(done, "hsm zeroize --force")

	o := h.finish(h.command("key", "list", "--pin", pin))
	if o.status != usage || !strings.Contains(o.stderr, "not the PIN") {
		t.Errorf("a bare PIN: status %d\n%s", o.status, o.stderr)
	}
}

// shape lists the keys of a JSON object, of the first one in an array.
func shape(t *testing.T, text string) []string {
	t.Helper()
	var v any
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	if list, ok := v.([]any); ok {
		if len(list) == 0 {
			t.Fatal("an empty array")
		}
		v = list[0]
	}
	m, ok := v.(map[string]any)
	if !ok {
		t.Fatalf("no object in\n%s", text)
	}
	var keys []string
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// What scripts may rely on. Names may be added, never taken away.
func TestJSON(t *testing.T) {
	h := ready(t)
	h.run(done, "key generate --type ec --label k --pin env:CO")
	for line, want := range map[string]string{
		"version --json":                 "go sqlite system version",
		"hsm show --json":                "created cryptography fips_mode home initialized label max_partitions model partitions profile serial so_attempts_left version zeroized",
		"hsm policy list --json":         "id text value",
		"partition list --json":          "created initialized label name objects serial slot",
		"partition show --slot 0 --json": "created initialized label manufacturer model name objects roles serial slot token_flags",
		"slot list --json":               "free initialized label partition serial slot",
		"role list --json":               "attempts_left initialized locked name role slot threshold",
		"key list --pin env:CO --json":   "class extractable handle id label private sensitive type usage",
		"key show --label k --class private --pin env:CO --json": "always_sensitive bytes class extractable handle id key_gen_mechanism label local modifiable never_extractable private public_key_sha256 sensitive type unique_id uri usage",
		"key generate --type aes --pin env:CO --json":            "class extractable handle id label private sensitive type usage",
		"doctor --json": "check detail status",
	} {
		o := h.run(done, line)
		have := shape(t, o.stdout)
		for _, name := range strings.Fields(want) {
			if !slices.Contains(have, name) {
				t.Errorf("perilune %s: %q is gone from %v", line, name, have)
			}
		}
	}
	for _, line := range []string{"partition list --json", "slot list --json"} {
		fresh := newHost(t)
		fresh.run(done, "hsm init --label x --so-pin env:HSM_SO")
		if o := fresh.run(done, line); strings.TrimSpace(o.stdout) != "[]" {
			t.Errorf("perilune %s with nothing to list: %q", line, o.stdout)
		}
	}
}

func TestPINsFromElsewhere(t *testing.T) {
	h := ready(t)
	cmd := h.command("key", "list", "--pin", "fd:3")
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.ExtraFiles = []*os.File{r}
	fmt.Fprintln(w, pin)
	w.Close()
	if o := h.finish(cmd); o.status != done {
		t.Errorf("fd:3: status %d\n%s", o.status, o.stderr)
	}
	r.Close()

	cmd = h.command("role", "changepw", "--role", "co", "--pin", "stdin", "--new-pin", "stdin")
	cmd.Stdin = strings.NewReader(pin + "\n" + wrong + "\n")
	if o := h.finish(cmd); o.status != done {
		t.Errorf("stdin: status %d\n%s", o.status, o.stderr)
	}
	file := filepath.Join(h.dir, "pin")
	if err := os.WriteFile(file, []byte(wrong+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	h.run(done, "key list --pin file:"+file)
	if err := os.Chmod(file, 0o644); err != nil {
		t.Fatal(err)
	}
	h.says(failed, "key list --pin file:"+file, "chmod")
	h.says(failed, "key list --pin fd:9", "descriptor 9")
}

// The library sees what the program made, and counts with it.
func TestWithLibrary(t *testing.T) {
	h := ready(t)
	h.run(done, "key generate --type ec:P-256 --label signer --id 0102 --pin env:CO")
	for _, v := range h.env {
		if name, value, _ := strings.Cut(v, "="); strings.HasPrefix(name, "PERILUNE_") {
			t.Setenv(name, value)
		}
	}
	m := pkcs11.New(h.module)
	if m == nil {
		t.Fatal("the library does not load")
	}
	defer m.Destroy()
	if err := m.Initialize(); err != nil {
		t.Fatal(err)
	}
	defer m.Finalize()
	s, err := m.OpenSession(0, pkcs11.CKF_SERIAL_SESSION|pkcs11.CKF_RW_SESSION)
	if err != nil {
		t.Fatal(err)
	}
	tries := func() float64 {
		var roles []map[string]any
		o := h.run(done, "role list --slot 0 --json")
		if err := json.Unmarshal([]byte(o.stdout), &roles); err != nil {
			t.Fatal(err)
		}
		for _, r := range roles {
			if r["role"] == "co" {
				return r["attempts_left"].(float64)
			}
		}
		t.Fatal("no Crypto Officer")
		return 0
	}
	if err := m.Login(s, pkcs11.CKU_USER, wrong); err != pkcs11.Error(pkcs11.CKR_PIN_INCORRECT) {
		t.Errorf("a wrong PIN: %v", err)
	}
	h.says(failed, "key list --pin env:WRONG", "8 of 10")
	if n := tries(); n != 8 {
		t.Errorf("%v tries are left, want 8", n)
	}
	if err := m.Login(s, pkcs11.CKU_USER, pin); err != nil {
		t.Fatal(err)
	}
	if n := tries(); n != 10 {
		t.Errorf("%v tries are left after a good login, want 10", n)
	}
	if err := m.FindObjectsInit(s, []*pkcs11.Attribute{pkcs11.NewAttribute(pkcs11.CKA_ID, []byte{1, 2}), pkcs11.NewAttribute(pkcs11.CKA_CLASS, pkcs11.CKO_PRIVATE_KEY)}); err != nil {
		t.Fatal(err)
	}
	found, _, err := m.FindObjects(s, 2)
	if err != nil || len(found) != 1 {
		t.Fatalf("found %v, %v", found, err)
	}
	if err := m.FindObjectsFinal(s); err != nil {
		t.Fatal(err)
	}
	if err := m.SignInit(s, []*pkcs11.Mechanism{pkcs11.NewMechanism(pkcs11.CKM_ECDSA_SHA256, nil)}, found[0]); err != nil {
		t.Fatal(err)
	}
	if _, err := m.Sign(s, []byte("message")); err != nil {
		t.Fatal(err)
	}

	// A key that goes while the library has it open is gone there too.
	h.run(done, "key delete --id 0102 --pin env:CO --force")
	if err := m.SignInit(s, []*pkcs11.Mechanism{pkcs11.NewMechanism(pkcs11.CKM_ECDSA_SHA256, nil)}, found[0]); err != pkcs11.Error(pkcs11.CKR_KEY_HANDLE_INVALID) {
		t.Errorf("a deleted key: %v", err)
	}
}

func TestDoctor(t *testing.T) {
	h := ready(t)
	o := h.run(done, "doctor --module "+h.module)
	if !strings.Contains(o.stdout, "OK    library") {
		t.Errorf("the library is not well:\n%s", o.stdout)
	}
	// A shared library that is no PKCS#11 module, one that is cut off, and one
	// for another processor.
	whole, err := os.ReadFile(h.module)
	if err != nil {
		t.Fatal(err)
	}
	cut := filepath.Join(h.dir, "cut.so")
	if err := os.WriteFile(cut, whole[:len(whole)/3], 0o700); err != nil {
		t.Fatal(err)
	}
	foreign := filepath.Join(h.dir, "foreign.so")
	other := bytes.Clone(whole)
	other[18], other[19] = 8, 0 // e_machine: MIPS
	if err := os.WriteFile(foreign, other, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{cut, foreign, filepath.Join(h.dir, "none.so"), libc(t)} {
		o := h.run(failed, "doctor --module "+path)
		if !strings.Contains(o.stdout, "FAIL  library") {
			t.Errorf("%s passed:\n%s", path, o.stdout)
		}
	}
	if err := os.Remove(filepath.Join(h.dir, "home", "root.key")); err != nil {
		t.Fatal(err)
	}
	o = h.run(failed, "doctor")
	if !strings.Contains(o.stdout, "FAIL  root key") || !strings.Contains(o.stdout, "-> Put") {
		t.Errorf("a missing root key:\n%s", o.stdout)
	}
}

// libc is the C library of this machine.
func libc(t *testing.T) string {
	t.Helper()
	for _, pattern := range []string{"/lib/*/libc.so.6", "/lib64/libc.so.6", "/usr/lib/libc.so.6"} {
		if found, _ := filepath.Glob(pattern); len(found) > 0 {
			return found[0]
		}
	}
	t.Fatal("no C library in /lib")
	return ""
}

func TestCompletionScripts(t *testing.T) {
	h := newHost(t)
	script := filepath.Join(h.dir, "completion.bash")
	if err := os.WriteFile(script, []byte(h.run(done, "completion bash").stdout), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("bash", "-n", script).CombinedOutput(); err != nil {
		t.Errorf("bash does not read its completion: %v\n%s", err, out)
	}
	for _, shell := range []string{"zsh", "fish", "powershell"} {
		if o := h.run(done, "completion "+shell); len(o.stdout) < 1000 {
			t.Errorf("completion for %s: %q", shell, o.stdout)
		}
	}
}

// need ends a test that lacks a program: as a failure where all must run.
func need(t *testing.T, program string) {
	t.Helper()
	if _, err := exec.LookPath(program); err == nil {
		return
	}
	if os.Getenv("CI") == "true" {
		t.Fatalf("%s is not installed", program)
	}
	t.Skipf("NOT TESTED: %s is not installed", program)
}

// Keys as OpenSSL writes them.
func TestImportFromOpenSSL(t *testing.T) {
	need(t, "openssl")
	h := ready(t)
	h.env = append(h.env, "KEY_PIN="+wrong)
	params := exec.Command("openssl", "genpkey", "-genparam", "-algorithm", "DSA", "-pkeyopt", "dsa_paramgen_bits:1024", "-pkeyopt", "dsa_paramgen_q_bits:160",
		"-out", filepath.Join(h.dir, "dsa-parameters.pem"))
	if out, err := params.CombinedOutput(); err != nil {
		t.Fatalf("openssl genpkey -genparam: %v\n%s", err, out)
	}
	for name, args := range map[string]string{
		"rsa":     "genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048",
		"enc-rsa": "genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -aes-256-cbc -pass env:KEY_PIN",
		"ec":      "ecparam -genkey -name prime256v1",
		"noparam": "ecparam -genkey -noout -name secp384r1",
		"ed25519": "genpkey -algorithm ED25519",
		"x25519":  "genpkey -algorithm X25519",
		"ed448":   "genpkey -algorithm ED448",
		"x448":    "genpkey -algorithm X448",
		"coin":    "ecparam -genkey -name secp256k1",
		"bp":      "genpkey -algorithm EC -pkeyopt ec_paramgen_curve:brainpoolP384r1",
		"binary":  "genpkey -algorithm EC -pkeyopt ec_paramgen_curve:sect409k1",
		"dsa":     "genpkey -paramfile dsa-parameters.pem",
	} {
		path := filepath.Join(h.dir, name+".pem")
		cmd := exec.Command("openssl", append(strings.Fields(args), "-out", path)...)
		cmd.Env, cmd.Dir = h.env, h.dir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("openssl %s: %v\n%s", args, err, out)
		}
		h.run(done, "key import --pin env:CO --key-pin env:KEY_PIN "+path)
		cmd = exec.Command("openssl", "pkey", "-in", path, "-passin", "env:KEY_PIN", "-pubout")
		cmd.Env = h.env
		want, err := cmd.Output()
		if err != nil {
			t.Fatalf("openssl pkey: %v", err)
		}
		if got := h.run(done, "key export-public --public --label "+name).stdout; got != string(want) {
			t.Errorf("%s: the public key is\n%s\nOpenSSL says\n%s", name, got, want)
		}
	}
}
