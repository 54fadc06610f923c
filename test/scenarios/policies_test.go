package scenarios

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/miekg/pkcs11"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/test/built"
)

// governed is an HSM that behaves as the device, between its operators, who have
// the program, and an application, which has the library.
type governed struct {
	t    *testing.T
	dir  string
	p    *pkcs11.Ctx
	slot uint
}

const governedPIN = "officer-pin-1828"

func newGoverned(t *testing.T) *governed {
	t.Helper()
	g := &governed{t: t, dir: t.TempDir()}
	g.configure("")
	t.Setenv("PERILUNE_CONF", filepath.Join(g.dir, "perilune.toml"))
	t.Setenv("PERILUNE_HOME", filepath.Join(g.dir, "home"))
	for name, pin := range map[string]string{"HSM_SO": "hsm-so-pin-2718", "SO": "partition-so-2818", "FIRST": "first-pin-2845", "CO": governedPIN} {
		t.Setenv(name, pin)
	}
	g.perilune("hsm init --label lab --profile luna-7.2 --so-pin env:HSM_SO")
	g.p = pkcs11.New(built.Library(t))
	g.good(g.p.Initialize())
	t.Cleanup(func() { g.p.Finalize(); g.p.Destroy() })
	return g
}

// configure writes the configuration, with more lines at its beginning.
func (g *governed) configure(lines string) {
	g.t.Helper()
	text := lines + built.CheapPINs
	g.good(os.WriteFile(filepath.Join(g.dir, "perilune.toml"), []byte(text), 0o600))
}

// try runs the program with the words of a line.
func (g *governed) try(line string) (string, error) {
	g.t.Helper()
	out, err := exec.Command(built.Program(g.t), strings.Fields(line)...).CombinedOutput()
	return string(out), err
}

func (g *governed) perilune(line string) string {
	g.t.Helper()
	out, err := g.try(line)
	if err != nil {
		g.t.Fatalf("perilune %s: %v\n%s", line, err, out)
	}
	return out
}

// refused runs the program and wants it to fail with all of the texts.
func (g *governed) refused(line string, texts ...string) {
	g.t.Helper()
	out, err := g.try(line)
	if err == nil {
		g.t.Errorf("perilune %s works:\n%s", line, out)
	}
	for _, text := range texts {
		if !strings.Contains(out, text) {
			g.t.Errorf("perilune %s does not say %q:\n%s", line, text, out)
		}
	}
}

// partition makes a partition with an officer who has chosen his PIN.
func (g *governed) partition(name, flags string) {
	g.t.Helper()
	var made struct{ Slot uint }
	g.good(json.Unmarshal([]byte(g.perilune("partition create --json --hsm-so-pin env:HSM_SO --name "+name)), &made))
	g.slot = made.Slot
	g.perilune("partition init --so-pin env:SO --label " + name + " --partition " + name + " " + flags)
	g.perilune("role init --role co --so-pin env:SO --new-pin env:FIRST --partition " + name)
	g.perilune("role changepw --role co --pin env:FIRST --new-pin env:CO --partition " + name)
}

func (g *governed) officer() pkcs11.SessionHandle {
	g.t.Helper()
	s, err := g.p.OpenSession(g.slot, pkcs11.CKF_SERIAL_SESSION|pkcs11.CKF_RW_SESSION)
	g.good(err)
	g.good(g.p.Login(s, pkcs11.CKU_USER, governedPIN))
	return s
}

func (g *governed) good(err error) {
	g.t.Helper()
	if err != nil {
		g.t.Fatal(err)
	}
}

func (g *governed) wants(rv ck.RV, what string, err error) {
	g.t.Helper()
	var code pkcs11.Error
	if err != nil && !errors.As(err, &code) || ck.RV(code) != rv {
		g.t.Errorf("%s: %v, want %v", what, err, rv)
	}
}

func (g *governed) mechanisms() map[uint]bool {
	g.t.Helper()
	list, err := g.p.GetMechanismList(g.slot)
	g.good(err)
	has := map[uint]bool{}
	for _, m := range list {
		has[m.Mechanism] = true
	}
	return has
}

// pair makes an RSA pair whose private key signs and may leave.
func (g *governed) pair(s pkcs11.SessionHandle, mechanism uint) (private pkcs11.ObjectHandle, err error) {
	_, private, err = g.p.GenerateKeyPair(s, []*pkcs11.Mechanism{pkcs11.NewMechanism(mechanism, nil)}, []*pkcs11.Attribute{
		pkcs11.NewAttribute(pkcs11.CKA_TOKEN, true), pkcs11.NewAttribute(pkcs11.CKA_MODULUS_BITS, 2048),
		pkcs11.NewAttribute(pkcs11.CKA_PUBLIC_EXPONENT, []byte{1, 0, 1}), pkcs11.NewAttribute(pkcs11.CKA_VERIFY, true),
	}, []*pkcs11.Attribute{
		pkcs11.NewAttribute(pkcs11.CKA_TOKEN, true), pkcs11.NewAttribute(pkcs11.CKA_SIGN, true), pkcs11.NewAttribute(pkcs11.CKA_EXTRACTABLE, true),
	})
	return private, err
}

func (g *governed) aes(s pkcs11.SessionHandle) pkcs11.ObjectHandle {
	g.t.Helper()
	o, err := g.p.GenerateKey(s, []*pkcs11.Mechanism{pkcs11.NewMechanism(pkcs11.CKM_AES_KEY_GEN, nil)}, []*pkcs11.Attribute{
		pkcs11.NewAttribute(pkcs11.CKA_TOKEN, true), pkcs11.NewAttribute(pkcs11.CKA_VALUE_LEN, 32),
		pkcs11.NewAttribute(pkcs11.CKA_ENCRYPT, true), pkcs11.NewAttribute(pkcs11.CKA_WRAP, true),
	})
	g.good(err)
	return o
}

// The HSM SO switches FIPS mode on. It empties the HSM, says so before, and what
// applications find afterwards is another list of mechanisms, in which old
// programs get along by a line of configuration.
func TestFIPSModeOfTheHSM(t *testing.T) {
	g := newGoverned(t)
	g.partition("app", "")
	s := g.officer()
	_, err := g.pair(s, pkcs11.CKM_RSA_PKCS_KEY_PAIR_GEN)
	g.good(err)
	before := g.mechanisms()
	old := g.slot

	g.refused("hsm policy set --id 12 --value off --hsm-so-pin env:HSM_SO",
		`policy 12, "Allow non-FIPS algorithms", to off destroys all partitions, 1 now`, "The HSM SO and the Auditor stay", "give --force")
	if _, err := g.pair(s, pkcs11.CKM_RSA_PKCS_KEY_PAIR_GEN); err != nil {
		t.Fatalf("a change that nobody agreed to did something: %v", err)
	}

	out := g.perilune("hsm policy set --id 12 --value off --hsm-so-pin env:HSM_SO --force")
	if !strings.Contains(out, "All partitions are destroyed") {
		t.Errorf("hsm policy set says\n%s", out)
	}
	_, err = g.p.GetSessionInfo(s)
	g.wants(ck.CKR_SESSION_HANDLE_INVALID, "the application's session", err)
	_, err = g.p.OpenSession(old, pkcs11.CKF_SERIAL_SESSION)
	g.wants(ck.CKR_SLOT_ID_INVALID, "the partition of before", err)
	if out := g.perilune("partition list"); !strings.Contains(out, "There are no partitions") {
		t.Errorf("partition list says\n%s", out)
	}
	var hsm struct {
		Label    string
		FIPSMode bool `json:"fips_mode"`
	}
	if g.good(json.Unmarshal([]byte(g.perilune("hsm show --json")), &hsm)); hsm.Label != "lab" || !hsm.FIPSMode {
		t.Errorf("the HSM is %+v", hsm)
	}

	g.partition("fips", "") // the HSM SO has kept his PIN
	after := g.mechanisms()
	for m := range after {
		if !before[m] {
			t.Errorf("mechanism %#x is there in FIPS mode only", m)
		}
	}
	if len(after) >= len(before) || after[pkcs11.CKM_MD5] || after[pkcs11.CKM_RSA_PKCS_KEY_PAIR_GEN] || !after[uint(ck.CKM_RSA_FIPS_186_3_PRIME_KEY_PAIR_GEN)] {
		t.Errorf("%d mechanisms before, %d in FIPS mode", len(before), len(after))
	}
	s = g.officer()
	_, err = g.pair(s, pkcs11.CKM_RSA_PKCS_KEY_PAIR_GEN)
	g.wants(ck.CKR_MECHANISM_INVALID, "CKM_RSA_PKCS_KEY_PAIR_GEN in FIPS mode", err)
	_, err = g.pair(s, uint(ck.CKM_RSA_FIPS_186_3_PRIME_KEY_PAIR_GEN))
	g.wants(ck.CKR_OK, "the mechanism in its place", err)

	// The IV of AES-GCM is the HSM's to make.
	key := g.aes(s)
	gcm := func(iv []byte) error {
		params := pkcs11.NewGCMParams(iv, nil, 128)
		defer params.Free()
		if err := g.p.EncryptInit(s, []*pkcs11.Mechanism{pkcs11.NewMechanism(pkcs11.CKM_AES_GCM, params)}, key); err != nil {
			return err
		}
		_, err := g.p.Encrypt(s, []byte("message"))
		return err
	}
	g.wants(ck.CKR_MECHANISM_PARAM_INVALID, "GCM with the caller's IV", gcm(make([]byte, 12)))
	g.wants(ck.CKR_OK, "GCM without one", gcm(nil))

	// A program that asks for the old mechanism gets along.
	g.good(g.p.Finalize())
	g.configure("[compatibility]\nremap_rsa_key_generation = true\n")
	g.good(g.p.Initialize())
	s = g.officer()
	private, err := g.pair(s, pkcs11.CKM_RSA_PKCS_KEY_PAIR_GEN)
	g.wants(ck.CKR_OK, "CKM_RSA_PKCS_KEY_PAIR_GEN with the mechanism remapped", err)
	g.good(g.p.SignInit(s, []*pkcs11.Mechanism{pkcs11.NewMechanism(pkcs11.CKM_SHA256_RSA_PKCS, nil)}, private))
	_, err = g.p.Sign(s, []byte("message"))
	g.wants(ck.CKR_OK, "signing", err)
}

// Private keys of a partition can be cloned, or wrapped off, never both. The
// Partition SO chooses with one change, which costs him the objects.
func TestCloningOrWrapping(t *testing.T) {
	g := newGoverned(t)
	g.partition("app", "")
	s := g.officer()
	private, err := g.pair(s, pkcs11.CKM_RSA_PKCS_KEY_PAIR_GEN)
	g.good(err)
	iv := make([]byte, 16)
	wrap := func(private pkcs11.ObjectHandle) error {
		_, err := g.p.WrapKey(s, []*pkcs11.Mechanism{pkcs11.NewMechanism(pkcs11.CKM_AES_CBC_PAD, iv)}, g.aes(s), private)
		return err
	}
	g.wants(ck.CKR_KEY_NOT_WRAPPABLE, "wrapping in a partition that clones", wrap(private))

	const set = "partition policy set --partition app --so-pin env:SO --force "
	g.refused(set+"--id 1 --value on", "CKR_CONFIG_FAILS_DEPENDENCIES", "private keys can be cloned or wrapped, not both")
	g.refused(set+"--id 0,1 --value on,on", "CKR_CONFIG_FAILS_DEPENDENCIES")
	g.wants(ck.CKR_KEY_NOT_WRAPPABLE, "wrapping after refused changes", wrap(private))

	g.refused("partition policy set --partition app --so-pin env:SO --id 0,1 --value off,on", `"Allow private key wrapping", to on`, "destroys", "give --force")
	g.perilune(set + "--id 0,1 --value off,on")
	_, err = g.p.GetSessionInfo(s)
	g.wants(ck.CKR_SESSION_HANDLE_INVALID, "the application's session", err)
	s = g.officer() // his PIN is what it was
	g.good(g.p.FindObjectsInit(s, nil))
	found, _, err := g.p.FindObjects(s, 10)
	g.good(err)
	if g.good(g.p.FindObjectsFinal(s)); len(found) != 0 {
		t.Errorf("%d objects outlived the change", len(found))
	}
	private, err = g.pair(s, pkcs11.CKM_RSA_PKCS_KEY_PAIR_GEN)
	g.good(err)
	g.wants(ck.CKR_OK, "wrapping in a partition that wraps", wrap(private))
	g.refused(set+"--id 0 --value on", "CKR_CONFIG_FAILS_DEPENDENCIES")

	// Nor does a template bring both.
	path := filepath.Join(g.dir, "both.txt")
	g.good(os.WriteFile(path, []byte("policies: partition\n0 | Allow private key cloning | on\n1 | Allow private key wrapping | on\n"), 0o600))
	g.perilune("partition create --hsm-so-pin env:HSM_SO --name other")
	g.refused("partition init --partition other --label other --so-pin env:SO --policies "+path, path+":2:", "CKR_CONFIG_FAILS_DEPENDENCIES")
	if out := g.perilune("partition show --partition other"); !strings.Contains(out, "no label") {
		t.Errorf("a refused initialisation did something:\n%s", out)
	}
}
