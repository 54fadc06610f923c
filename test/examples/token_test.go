package examples

import (
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/miekg/pkcs11"

	"github.com/perilune/perilune/test/built"
)

const (
	label    = "example token"
	soPIN    = "so-pin-of-tests"
	userPIN  = "pin-of-tests"
	softHSM2 = "/usr/lib/softhsm/libsofthsm2.so"
)

// The keys that the programs find in the token, so that what they make of them
// can be checked with other code.
var (
	gcmKey  = unhex("101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f")
	wrapKey = unhex("404142434445464748494a4b4c4d4e4f505152535455565758595a5b5c5d5e5f")
)

func unhex(s string) []byte {
	b, err := hex.DecodeString(s)
	if err != nil {
		panic(err)
	}
	return b
}

// module is a PKCS#11 module and a place for its tokens.
type module struct {
	name, path string
	env        []string
}

// perilune is the module under test with a new HSM.
func perilune(t *testing.T) *module {
	t.Helper()
	dir := t.TempDir()
	conf := filepath.Join(dir, "perilune.toml")
	write(t, conf, built.CheapPINs)
	return &module{"Perilune", built.Library(t), []string{"PERILUNE_HOME=" + filepath.Join(dir, "home"), "PERILUNE_CONF=" + conf}}
}

// soft is SoftHSM2 with a new directory of tokens, to see that the programs are
// not only good for our own module.
func soft(t *testing.T) *module {
	t.Helper()
	if _, err := os.Stat(softHSM2); err != nil {
		missing(t, "SoftHSM2 ("+softHSM2+")", "softhsm2")
	}
	dir := t.TempDir()
	conf := filepath.Join(dir, "softhsm2.conf")
	write(t, conf, "directories.tokendir = "+dir+"\nobjectstore.backend = file\nlog.level = ERROR\n")
	return &module{"SoftHSM2", softHSM2, []string{"SOFTHSM2_CONF=" + conf}}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// missing skips what the machine has not the means for; with CI=true it fails.
func missing(t *testing.T, what, debianPackage string) {
	t.Helper()
	text := what + " is missing; nothing was tested with it. Install " + debianPackage
	if os.Getenv("CI") == "true" {
		t.Fatal(text)
	}
	fmt.Fprintf(os.Stderr, "SKIPPED %s: %s\n", t.Name(), text)
	t.Skip(text)
}

// setupVariable makes this test binary a program that initialises a token: a
// process of its own, because modules read their environment only once.
const setupVariable = "PERILUNE_TEST_EXAMPLES_SETUP"

func TestMain(m *testing.M) {
	if path := os.Getenv(setupVariable); path != "" {
		if err := setUp(path); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// initialise makes the token with its keys.
func (m *module) initialise(t *testing.T) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), append(m.env, setupVariable+"="+m.path)...)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("setting up a token of %s: %v\n%s", m.name, err, out)
	}
}

func setUp(path string) error {
	p := pkcs11.New(path)
	if p == nil {
		return fmt.Errorf("%s cannot be loaded", path)
	}
	if err := p.Initialize(); err != nil {
		return fmt.Errorf("C_Initialize: %w", err)
	}
	defer p.Finalize()
	slots, err := p.GetSlotList(true)
	if err != nil || len(slots) == 0 {
		return fmt.Errorf("C_GetSlotList: %d slots, %w", len(slots), err)
	}
	if err := p.InitToken(slots[len(slots)-1], soPIN, label); err != nil {
		return fmt.Errorf("C_InitToken: %w", err)
	}
	slot, err := find(p)
	if err != nil {
		return err
	}
	session, err := p.OpenSession(slot, pkcs11.CKF_SERIAL_SESSION|pkcs11.CKF_RW_SESSION)
	if err != nil {
		return fmt.Errorf("C_OpenSession: %w", err)
	}
	if err := p.Login(session, pkcs11.CKU_SO, soPIN); err != nil {
		return fmt.Errorf("C_Login of the SO: %w", err)
	}
	if err := p.InitPIN(session, userPIN); err != nil {
		return fmt.Errorf("C_InitPIN: %w", err)
	}
	if err := p.Logout(session); err != nil {
		return fmt.Errorf("C_Logout: %w", err)
	}
	if err := p.Login(session, pkcs11.CKU_USER, userPIN); err != nil {
		return fmt.Errorf("C_Login: %w", err)
	}
	if err := create(p, session, "example-gcm", gcmKey, pkcs11.CKA_ENCRYPT, pkcs11.CKA_DECRYPT); err != nil {
		return err
	}
	return create(p, session, "example-wrap", wrapKey, pkcs11.CKA_WRAP, pkcs11.CKA_UNWRAP)
}

// find looks for the token again: SoftHSM2 moves it to another slot.
func find(p *pkcs11.Ctx) (uint, error) {
	slots, err := p.GetSlotList(true)
	if err != nil {
		return 0, fmt.Errorf("C_GetSlotList: %w", err)
	}
	for _, slot := range slots {
		info, err := p.GetTokenInfo(slot)
		if err != nil {
			return 0, fmt.Errorf("C_GetTokenInfo: %w", err)
		}
		if strings.TrimRight(info.Label, " ") == label {
			return slot, nil
		}
	}
	return 0, fmt.Errorf("none of the slots %v has the token %q", slots, label)
}

func create(p *pkcs11.Ctx, session pkcs11.SessionHandle, label string, value []byte, usages ...uint) error {
	template := []*pkcs11.Attribute{
		pkcs11.NewAttribute(pkcs11.CKA_CLASS, pkcs11.CKO_SECRET_KEY),
		pkcs11.NewAttribute(pkcs11.CKA_KEY_TYPE, pkcs11.CKK_AES),
		pkcs11.NewAttribute(pkcs11.CKA_TOKEN, true),
		pkcs11.NewAttribute(pkcs11.CKA_PRIVATE, true),
		pkcs11.NewAttribute(pkcs11.CKA_SENSITIVE, true),
		pkcs11.NewAttribute(pkcs11.CKA_LABEL, label),
		pkcs11.NewAttribute(pkcs11.CKA_VALUE, value),
	}
	for _, usage := range usages {
		template = append(template, pkcs11.NewAttribute(usage, true))
	}
	if _, err := p.CreateObject(session, template); err != nil {
		return fmt.Errorf("C_CreateObject of %s: %w", label, err)
	}
	return nil
}
