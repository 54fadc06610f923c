package scenarios

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/test/built"
	"github.com/perilune/perilune/test/c11"
)

// A program that was written with another token makes a key pair and signs. On
// devices a template names the usages, so it is refused; it learns from the log
// why, and works when its template says what the key is for.
func TestKeyPairWithoutUsage(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	const (
		so, first, officer = "the pin of the SOs", "first pin of the officer", "pin of the officer"
	)
	log := filepath.Join(dir, "log")
	for name, value := range map[string]string{
		"PERILUNE_HOME": filepath.Join(dir, "home"), "SO": so, "FIRST": first, "CO": officer,
		"PERILUNE_CONF": file("perilune.toml", fmt.Sprintf("[log]\nlevel = \"debug\"\nfile = %q\n", log)+built.CheapPINs),
	} {
		t.Setenv(name, value)
	}
	perilune := func(line string) {
		t.Helper()
		if out, err := exec.Command(built.Program(t), strings.Fields(line)...).CombinedOutput(); err != nil {
			t.Fatalf("perilune %s: %v\n%s", line, err, out)
		}
	}

	// An operator makes an HSM that behaves as the device, and a partition.
	perilune("hsm init --label hsm --profile luna-7.2 --so-pin env:SO")
	perilune("partition create --name app --hsm-so-pin env:SO")
	perilune("partition init --slot 0 --label app --so-pin env:SO")
	perilune("role init --slot 0 --role co --so-pin env:SO --new-pin env:FIRST")
	perilune("role changepw --slot 0 --role co --pin env:FIRST --new-pin env:CO")

	// The program begins.
	m, err := c11.Open(built.Library(t))
	if err != nil {
		t.Fatal(err)
	}
	a := new(c11.Arena)
	defer a.Free()
	must := func(what string, rv ck.RV) {
		t.Helper()
		if rv != ck.CKR_OK {
			t.Fatalf("%s: %v", what, rv)
		}
	}
	must("C_Initialize", m.Initialize())
	defer m.Finalize()
	session := a.ULong(0)
	must("C_OpenSession", m.Call("C_OpenSession", 0, uint64(ck.CKF_SERIAL_SESSION|ck.CKF_RW_SESSION), nil, nil, session))
	s := c11.Number(session)
	must("C_Login", m.Call("C_Login", s, uint64(ck.CKU_USER), a.Exact([]byte(officer)), len(officer)))

	// Its key pair has no usage, and does nothing.
	generate, curve := c11.Mech{Type: ck.CKM_EC_KEY_PAIR_GEN}, ck.NewBytes(ck.CKA_EC_PARAMS, []byte{6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7})
	sign := c11.Mech{Type: ck.CKM_ECDSA}
	digest := make([]byte, 32)
	_, private, rv := m.GeneratePair(a, s, generate, []ck.Attribute{curve}, nil)
	must("C_GenerateKeyPair", rv)
	if _, rv := m.Single(a, m.Signing(), s, sign, private, digest); rv != ck.CKR_KEY_FUNCTION_NOT_PERMITTED {
		t.Errorf("signing with a key pair without usages: %v", rv)
	}

	// The log tells why, and what to do.
	text, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	for _, word := range []string{"function=C_SignInit", "rv=CKR_KEY_FUNCTION_NOT_PERMITTED", "rule=key-usage", "attribute=CKA_SIGN", "Name the usage in the template"} {
		if !strings.Contains(string(text), word) {
			t.Errorf("the log does not say %q:\n%s", word, text)
		}
	}
	if strings.Contains(string(text), officer) {
		t.Error("the log has a PIN")
	}

	// With a template that says what the keys are for, it works.
	public, private, rv := m.GeneratePair(a, s, generate, []ck.Attribute{curve, ck.NewBool(ck.CKA_VERIFY, true)}, []ck.Attribute{ck.NewBool(ck.CKA_SIGN, true)})
	must("C_GenerateKeyPair", rv)
	signature, rv := m.Single(a, m.Signing(), s, sign, private, digest)
	must("C_Sign", rv)
	must("C_Verify", m.Verify(a, s, sign, public, digest, signature))
}
