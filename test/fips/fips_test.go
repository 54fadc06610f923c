// Package fips builds the library and the program with Go's FIPS 140-3 module
// and looks whether they say so, and work.
package fips

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/test/built"
	"github.com/perilune/perilune/test/c11"
)

// version is the module to build with: the newest that this Go brings along.
const version = "v1.26.0"

func TestModule(t *testing.T) {
	dir := t.TempDir()
	build := exec.Command("make", "-C", "../..", "BUILD="+dir, "build")
	build.Env = append(os.Environ(), "GOFIPS140="+version, "MAKEFLAGS=", "GOFLAGS=")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("GOFIPS140=%s make build: %v\n%s", version, err, out)
	}
	conf := filepath.Join(dir, "perilune.toml")
	if err := os.WriteFile(conf, []byte(built.CheapPINs), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PERILUNE_CONF", conf)
	t.Setenv("PERILUNE_HOME", filepath.Join(dir, "home"))

	t.Run("works", func(t *testing.T) { works(t, filepath.Join(dir, "libperilune.so")) })
	for godebug, want := range map[string]string{
		"":              "Go FIPS 140-3 module " + version + ", on",
		"fips140=off":   "Go FIPS 140-3 module " + version + ", switched off by GODEBUG",
		"fips140=on":    "Go FIPS 140-3 module " + version + ", on",
		"fips140=debug": "Go FIPS 140-3 module " + version + ", on",
	} {
		t.Run("GODEBUG="+godebug, func(t *testing.T) { says(t, dir, godebug, want) })
	}
}

// says checks what the program tells of itself and of the library.
func says(t *testing.T, dir, godebug, want string) {
	run := func(args ...string) []byte {
		t.Helper()
		cmd := exec.Command(filepath.Join(dir, "perilune"), args...)
		cmd.Env = append(os.Environ(), "GODEBUG="+godebug)
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("perilune %s: %v\n%s%s", strings.Join(args, " "), err, out, &stderr)
		}
		return out
	}
	var checks []struct{ Check, Status, Detail string }
	if err := json.Unmarshal(run("doctor", "--json", "--self-test", "--module", filepath.Join(dir, "libperilune.so")), &checks); err != nil {
		t.Fatal(err)
	}
	seen := 0
	for _, c := range checks {
		text, known := map[string]string{"cryptography": want, "library": "Go FIPS 140-3 module " + version, "self-tests": ""}[c.Check]
		if !known {
			continue
		}
		seen++
		if c.Status != "OK" || !strings.Contains(c.Detail, text) {
			t.Errorf("doctor says of %s: %s, %s; want %q", c.Check, c.Status, c.Detail, text)
		}
	}
	if seen != 3 {
		t.Errorf("doctor says nothing of the module: %+v", checks)
	}
	var hsm struct{ Cryptography string }
	if err := json.Unmarshal(run("hsm", "show", "--json"), &hsm); err != nil || hsm.Cryptography != want {
		t.Errorf("hsm show says %q, want %q (%v)", hsm.Cryptography, want, err)
	}
}

// works uses what the module serves, and RSA, which it does not.
func works(t *testing.T, library string) {
	m, err := c11.Open(library)
	if err != nil {
		t.Fatal(err)
	}
	var a c11.Arena
	defer a.Free()
	good := func(what string, rv ck.RV) {
		t.Helper()
		if rv != ck.CKR_OK {
			t.Fatalf("%s: %v", what, rv)
		}
	}
	good("C_Initialize", m.Initialize())
	defer m.Finalize()
	s, err := m.Token("so pin of test", "user pin of test")
	if err != nil {
		t.Fatal(err)
	}
	yes := func(t ck.AttributeType) ck.Attribute { return ck.NewBool(t, true) }
	message := []byte("a message of some length")

	key, rv := m.Generate(&a, s, c11.Mech{Type: ck.CKM_AES_KEY_GEN}, ck.NewULong(ck.CKA_VALUE_LEN, uint64(32)), yes(ck.CKA_ENCRYPT), yes(ck.CKA_DECRYPT))
	good("an AES key", rv)
	iv := bytes.Repeat([]byte{7}, 12)
	gcm := c11.Mech{Type: ck.CKM_AES_GCM, Param: c11.Words(a.Ptr(iv), 12, 96, 0, 0, 128)}
	ciphertext, rv := m.Single(&a, m.Encryption(), s, gcm, key, message)
	good("AES-GCM encrypts", rv)
	plain, rv := m.Single(&a, m.Decryption(), s, gcm, key, ciphertext)
	if good("AES-GCM decrypts", rv); !bytes.Equal(plain, message) {
		t.Errorf("AES-GCM gives %q", plain)
	}

	for _, c := range []struct {
		name      string
		gen, sign c11.Mech
		public    []ck.Attribute
	}{
		{"RSA", c11.Mech{Type: ck.CKM_RSA_FIPS_186_3_PRIME_KEY_PAIR_GEN}, c11.Mech{Type: ck.CKM_SHA256_RSA_PKCS_PSS, Param: c11.Words(uint64(ck.CKM_SHA256), uint64(ck.CKG_MGF1_SHA256), 32)},
			[]ck.Attribute{ck.NewULong(ck.CKA_MODULUS_BITS, uint64(2048)), ck.NewBytes(ck.CKA_PUBLIC_EXPONENT, []byte{1, 0, 1})}},
		{"ECDSA", c11.Mech{Type: ck.CKM_EC_KEY_PAIR_GEN}, c11.Mech{Type: ck.CKM_ECDSA_SHA384},
			[]ck.Attribute{ck.NewBytes(ck.CKA_EC_PARAMS, []byte{6, 5, 0x2b, 0x81, 4, 0, 0x22})}},
		{"Ed25519", c11.Mech{Type: ck.CKM_EC_EDWARDS_KEY_PAIR_GEN}, c11.Mech{Type: ck.CKM_EDDSA},
			[]ck.Attribute{ck.NewBytes(ck.CKA_EC_PARAMS, []byte{6, 3, 0x2b, 0x65, 0x70})}},
		{"ML-DSA", c11.Mech{Type: ck.CKM_ML_DSA_KEY_PAIR_GEN}, c11.Mech{Type: ck.CKM_ML_DSA},
			[]ck.Attribute{ck.NewULong(ck.CKA_PARAMETER_SET, uint64(ck.CKP_ML_DSA_65))}},
	} {
		public, private, rv := m.GeneratePair(&a, s, c.gen, append(c.public, yes(ck.CKA_VERIFY)), []ck.Attribute{yes(ck.CKA_SIGN)})
		good(c.name+": a key pair", rv)
		signature, rv := m.Single(&a, m.Signing(), s, c.sign, private, message)
		good(c.name+" signs", rv)
		good(c.name+" verifies", m.Verify(&a, s, c.sign, public, message, signature))
		signature[len(signature)/2] ^= 1
		if rv := m.Verify(&a, s, c.sign, public, message, signature); rv != ck.CKR_SIGNATURE_INVALID {
			t.Errorf("%s, a wrong signature: %v", c.name, rv)
		}
	}

	public, private, rv := m.GeneratePair(&a, s, c11.Mech{Type: ck.CKM_ML_KEM_KEY_PAIR_GEN},
		[]ck.Attribute{ck.NewULong(ck.CKA_PARAMETER_SET, uint64(ck.CKP_ML_KEM_768)), yes(ck.CKA_ENCAPSULATE)}, []ck.Attribute{yes(ck.CKA_DECAPSULATE)})
	good("an ML-KEM key pair", rv)
	secret := []ck.Attribute{ck.NewULong(ck.CKA_CLASS, ck.CKO_SECRET_KEY), ck.NewULong(ck.CKA_KEY_TYPE, ck.CKK_GENERIC_SECRET), yes(ck.CKA_EXTRACTABLE), ck.NewBool(ck.CKA_SENSITIVE, false)}
	sent, one, rv := m.Encapsulate(&a, s, c11.Mech{Type: ck.CKM_ML_KEM}, public, secret...)
	good("ML-KEM encapsulates", rv)
	other, rv := m.Decapsulate(&a, s, c11.Mech{Type: ck.CKM_ML_KEM}, private, sent, secret...)
	good("ML-KEM decapsulates", rv)
	x, rv := m.Get(s, one, ck.CKA_VALUE)
	good("the secret", rv)
	y, rv := m.Get(s, other, ck.CKA_VALUE)
	if good("the secret again", rv); !bytes.Equal(x, y) || len(x) != 32 {
		t.Errorf("two secrets, %x and %x", x, y)
	}
}
