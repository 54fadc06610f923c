package profiles

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/test/c11"
)

// Programs that people use do their ordinary work with an HSM of the device's
// profile, if they say what their keys are for.

// needs says that a program is there: in CI it must be.
func needs(t *testing.T, program string) {
	t.Helper()
	if _, err := exec.LookPath(program); err == nil {
		return
	}
	text := program + " is not there: run test/setup"
	if os.Getenv("CI") == "true" {
		t.Fatal(text)
	}
	t.Skip("NOT TESTED: " + text)
}

// tool runs pkcs11-tool logged in as the Crypto Officer.
func (h *host) tool(args ...string) string {
	h.t.Helper()
	out, err := h.tryTool(args...)
	if err != nil {
		h.t.Fatalf("pkcs11-tool %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

func (h *host) tryTool(args ...string) (string, error) {
	return h.run("pkcs11-tool", append([]string{"--module", h.library, "--token-label", "test", "--login", "--pin", pin}, args...)...)
}

// command runs another program, which must succeed.
func (h *host) command(name string, args ...string) string {
	h.t.Helper()
	out, err := h.run(name, args...)
	if err != nil {
		h.t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return out
}

func (h *host) write(name, text string) {
	h.t.Helper()
	if err := os.WriteFile(filepath.Join(h.dir, name), []byte(text), 0o600); err != nil {
		h.t.Fatal(err)
	}
}

// same compares two files.
func (h *host) same(a, b string) {
	h.t.Helper()
	h.command("cmp", a, b)
}

func TestPkcs11Tool(t *testing.T) {
	needs(t, "pkcs11-tool")
	needs(t, "openssl")
	h := newHost(t, luna)
	h.write("message", "to be signed, or kept secret")

	// A pair that was made for something else does not sign.
	h.tool("--keypairgen", "--key-type", "EC:prime256v1", "--id", "01", "--label", "other", "--usage-derive")
	out, err := h.tryTool("--sign", "--id", "01", "-m", "ECDSA-SHA256", "-i", "message", "-o", "signature")
	if err == nil || !strings.Contains(out, "CKR_KEY_FUNCTION_NOT_PERMITTED") {
		t.Errorf("signing by a pair for key agreement: %v\n%s", err, out)
	}

	for _, c := range []struct{ id, kind, mechanism, digest string }{
		{"02", "EC:prime256v1", "ECDSA-SHA256", "-sha256"},
		{"03", "rsa:2048", "SHA256-RSA-PKCS", "-sha256"},
	} {
		h.tool("--keypairgen", "--key-type", c.kind, "--id", c.id, "--label", "signer", "--usage-sign")
		h.tool("--sign", "--id", c.id, "-m", c.mechanism, "-i", "message", "-o", "signature", "--signature-format", "openssl")
		h.tool("--read-object", "--type", "pubkey", "--id", c.id, "-o", "public.der")
		h.command("openssl", "dgst", c.digest, "-verify", "public.der", "-keyform", "DER", "-signature", "signature", "message")
		h.tool("--verify", "--id", c.id, "-m", c.mechanism, "-i", "message", "--signature-file", "signature", "--signature-format", "openssl")
	}

	h.tool("--keypairgen", "--key-type", "rsa:2048", "--id", "04", "--label", "reader", "--usage-decrypt")
	h.tool("--read-object", "--type", "pubkey", "--id", "04", "-o", "public.der")
	h.command("openssl", "pkeyutl", "-encrypt", "-pubin", "-inkey", "public.der", "-keyform", "DER", "-in", "message", "-out", "sealed")
	h.tool("--decrypt", "--id", "04", "-m", "RSA-PKCS", "-i", "sealed", "-o", "opened")
	h.same("message", "opened")

	iv := "000102030405060708090a0b0c0d0e0f"
	h.tool("--keygen", "--key-type", "AES:32", "--id", "05", "--label", "secret", "--usage-decrypt")
	h.tool("--encrypt", "--id", "05", "-m", "AES-CBC-PAD", "--iv", iv, "-i", "message", "-o", "sealed")
	h.tool("--decrypt", "--id", "05", "-m", "AES-CBC-PAD", "--iv", iv, "-i", "sealed", "-o", "opened")
	h.same("message", "opened")

	h.tool("--keygen", "--key-type", "AES:16", "--id", "06", "--label", "wrapper", "--usage-wrap")
	h.tool("--keygen", "--key-type", "AES:16", "--id", "07", "--label", "traveller", "--usage-decrypt", "--extractable")
	h.tool("--wrap", "--id", "06", "--application-id", "07", "-m", "0x80000170", "-o", "wrapped")
	h.tool("--unwrap", "--id", "06", "-m", "0x80000170", "-i", "wrapped", "--key-type", "AES:16", "--application-id", "08", "--usage-decrypt", "--extractable")

	if out := h.tool("--list-objects"); !strings.Contains(out, "signer") || !strings.Contains(out, "wrapper") {
		t.Errorf("objects are missing:\n%s", out)
	}
	h.tool("--delete-object", "--type", "privkey", "--id", "02")
}

// TestPkcs11ToolSlots: the slot and the token say who they are by the profile's
// strings.
func TestPkcs11ToolSlots(t *testing.T) {
	needs(t, "pkcs11-tool")
	h := newHost(t, luna)
	out := h.command("pkcs11-tool", "--module", h.library, "--show-info", "--list-token-slots")
	for _, text := range []string{"Cryptoki version 2.20", "Net Token Slot", "Perilune 7.2.0", "pin min/max        : 7/255", "firmware version   : 7.3"} {
		if !strings.Contains(out, text) {
			t.Errorf("no %q in\n%s", text, out)
		}
	}
}

// engineFile finds OpenSSL's pkcs11 engine.
func engineFile(t *testing.T) string {
	t.Helper()
	out, err := exec.Command("openssl", "version", "-e").Output()
	_, dir, _ := strings.Cut(strings.TrimSpace(string(out)), ": ")
	file := filepath.Join(strings.Trim(dir, `"`), "pkcs11.so")
	if err == nil {
		_, err = os.Stat(file)
	}
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("OpenSSL's pkcs11 engine is not there (%v): run test/setup", err)
		}
		t.Skipf("NOT TESTED: OpenSSL's pkcs11 engine is not there (%v): run test/setup", err)
	}
	return file
}

// TestOpenSSL makes a certificate of a key in the HSM and signs by it.
func TestOpenSSL(t *testing.T) {
	needs(t, "openssl")
	engine := engineFile(t)
	h := newHost(t, luna)
	h.perilune("key generate --slot 0 --type ec:P-256 --label web --id 0a --usage sign --pin env:CO")
	h.write("openssl.cnf", fmt.Sprintf(`openssl_conf = init
[init]
engines = engines
[engines]
pkcs11 = pkcs11
[pkcs11]
engine_id = pkcs11
dynamic_path = %s
MODULE_PATH = %s
init = 0
[req]
distinguished_name = dn
[dn]
`, engine, h.library))
	t.Setenv("OPENSSL_CONF", filepath.Join(h.dir, "openssl.cnf"))
	h.write("message", "signed by OpenSSL")
	key := "pkcs11:token=test;object=web;type=private;pin-value=" + pin
	h.command("openssl", "req", "-new", "-x509", "-engine", "pkcs11", "-keyform", "engine", "-key", key, "-subj", "/CN=profile", "-days", "30", "-out", "certificate.pem")
	h.command("openssl", "verify", "-CAfile", "certificate.pem", "certificate.pem")
	h.command("openssl", "dgst", "-engine", "pkcs11", "-keyform", "engine", "-sign", key, "-sha256", "-out", "signature", "message")
	public := h.command("openssl", "x509", "-in", "certificate.pem", "-noout", "-pubkey")
	h.write("public.pem", public)
	h.command("openssl", "dgst", "-sha256", "-verify", "public.pem", "-signature", "signature", "message")
}

// TestProgram: what the program makes serves, though no template of its own was
// written for devices.
func TestProgram(t *testing.T) {
	h := officer(t, luna)
	for _, kind := range []string{"rsa:2048", "ec:P-256", "ed25519", "aes:256", "generic:32"} {
		h.perilune("key generate --slot 0 --pin env:CO --label made --type " + kind)
	}
	h.must("C_FindObjectsInit", h.s, h.Template(ck.NewBytes(ck.CKA_LABEL, []byte("made")), ck.NewBool(ck.CKA_SIGN, true)), 2)
	found, n := h.Alloc(64), h.ULong(0)
	h.must("C_FindObjects", h.s, found, 8, n)
	h.must("C_FindObjectsFinal", h.s)
	if got := c11.Number(n); got != 4 {
		t.Errorf("%d keys that sign, want those of RSA, P-256, Ed25519 and generic", got)
	}
}
