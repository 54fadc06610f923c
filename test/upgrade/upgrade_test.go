// Package upgrade opens whole homes that earlier versions left: database, root
// key and PINs. A home is never changed once a release wrote it; a new form of
// what is stored gets a new folder under testdata.
package upgrade

import (
	"bytes"
	"encoding/hex"
	"errors"
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/miekg/pkcs11"

	"github.com/perilune/perilune/test/built"
)

var update = flag.String("make", "", "make the home of this name with the present version")

const (
	soPIN   = "so pin of old"
	userPIN = "user pin of old"
	label   = "an old home"
)

// oldKey is the value of the AES key in every home; its encryption of the
// plaintext is that of FIPS 197, appendix C.3.
var (
	oldKey, _     = hex.DecodeString("000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f")
	plaintext, _  = hex.DecodeString("00112233445566778899aabbccddeeff")
	ciphertext, _ = hex.DecodeString("8ea2b7ca516745bfeafc49904b496089")
)

func open(t *testing.T, home string) *pkcs11.Ctx {
	t.Helper()
	path := built.Library(t)
	conf := filepath.Join(t.TempDir(), "perilune.toml")
	must(t, os.WriteFile(conf, []byte(built.CheapPINs), 0o600))
	t.Setenv("PERILUNE_CONF", conf)
	t.Setenv("PERILUNE_HOME", home)
	p := pkcs11.New(path)
	if p == nil {
		t.Fatalf("%s does not load: run make build", path)
	}
	must(t, p.Initialize())
	t.Cleanup(func() { p.Finalize(); p.Destroy() })
	return p
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func login(t *testing.T, p *pkcs11.Ctx, user uint, pin string) pkcs11.SessionHandle {
	t.Helper()
	s, err := p.OpenSession(0, pkcs11.CKF_SERIAL_SESSION|pkcs11.CKF_RW_SESSION)
	must(t, err)
	must(t, p.Login(s, user, pin))
	return s
}

// TestOldHomes works with a copy of every home.
func TestOldHomes(t *testing.T) {
	if *update != "" {
		makeHome(t, *update)
	}
	homes, err := os.ReadDir("testdata")
	must(t, err)
	if len(homes) == 0 {
		t.Fatal("no old home is there")
	}
	for _, entry := range homes {
		t.Run(entry.Name(), func(t *testing.T) {
			home := t.TempDir()
			must(t, os.Chmod(home, 0o700))
			copyHome(t, filepath.Join("testdata", entry.Name()), home)
			use(t, open(t, home))
		})
	}
}

func copyHome(t *testing.T, from, to string) {
	t.Helper()
	for _, name := range []string{"perilune.db", "root.key", "perilune.mark"} {
		data, err := os.ReadFile(filepath.Join(from, name))
		if name == "perilune.mark" && errors.Is(err, fs.ErrNotExist) {
			continue // homes of before marks
		}
		must(t, err)
		must(t, os.WriteFile(filepath.Join(to, name), data, 0o600))
	}
}

// use finds the old key, uses it, and goes on with the home.
func use(t *testing.T, p *pkcs11.Ctx) {
	info, err := p.GetTokenInfo(0)
	must(t, err)
	if info.Label != label {
		t.Errorf("label %q", info.Label)
	}
	s := login(t, p, pkcs11.CKU_USER, userPIN)
	must(t, p.FindObjectsInit(s, []*pkcs11.Attribute{pkcs11.NewAttribute(pkcs11.CKA_LABEL, "old key")}))
	found, _, err := p.FindObjects(s, 2)
	must(t, err)
	must(t, p.FindObjectsFinal(s))
	if len(found) != 1 {
		t.Fatalf("found the old key %d times", len(found))
	}
	must(t, p.EncryptInit(s, []*pkcs11.Mechanism{pkcs11.NewMechanism(pkcs11.CKM_AES_ECB, nil)}, found[0]))
	got, err := p.Encrypt(s, plaintext)
	must(t, err)
	if !bytes.Equal(got, ciphertext) {
		t.Errorf("the old key encrypts to %x", got)
	}
	must(t, p.SetAttributeValue(s, found[0], []*pkcs11.Attribute{pkcs11.NewAttribute(pkcs11.CKA_LABEL, "renamed")}))
	must(t, p.SetPIN(s, userPIN, "a new pin"))
	must(t, p.Logout(s))
	must(t, p.CloseSession(s))
	must(t, p.CloseSession(login(t, p, pkcs11.CKU_USER, "a new pin")))
	must(t, p.CloseSession(login(t, p, pkcs11.CKU_SO, soPIN)))
}

// makeHome makes a home with the present version.
func makeHome(t *testing.T, name string) {
	t.Helper()
	home := filepath.Join(t.TempDir(), "home")
	t.Run("make", func(t *testing.T) {
		p := open(t, home)
		must(t, p.InitToken(0, soPIN, label))
		s := login(t, p, pkcs11.CKU_SO, soPIN)
		must(t, p.InitPIN(s, userPIN))
		must(t, p.CloseSession(s))
		s = login(t, p, pkcs11.CKU_USER, userPIN)
		_, err := p.CreateObject(s, []*pkcs11.Attribute{
			pkcs11.NewAttribute(pkcs11.CKA_CLASS, pkcs11.CKO_SECRET_KEY), pkcs11.NewAttribute(pkcs11.CKA_KEY_TYPE, pkcs11.CKK_AES),
			pkcs11.NewAttribute(pkcs11.CKA_TOKEN, true), pkcs11.NewAttribute(pkcs11.CKA_PRIVATE, true),
			pkcs11.NewAttribute(pkcs11.CKA_SENSITIVE, true), pkcs11.NewAttribute(pkcs11.CKA_LABEL, "old key"),
			pkcs11.NewAttribute(pkcs11.CKA_VALUE, oldKey),
		})
		must(t, err)
	})
	to := filepath.Join("testdata", name)
	must(t, os.MkdirAll(to, 0o755))
	copyHome(t, home, to)
}
