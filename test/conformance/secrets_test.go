package conformance

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/test/built"
	"github.com/perilune/perilune/test/c11"
)

// Secrets of TestSecrets, which are nowhere else.
var (
	secretValue = []byte("\x91K\xd3key material\x82\xee\x07\xb1")[:16]
	wrongPINs   = []string{"wrong-pin-86420", "other-wrong-97531"}
)

// TestSecrets works and fails with a log at level debug, and looks for PINs and
// keys in the log, on standard error and in the environment.
func TestSecrets(t *testing.T) {
	logFile := ""
	if os.Getenv(childVariable) != t.Name() {
		built.Library(t)
		logFile = filepath.Join(t.TempDir(), "debug.log")
		dir, env := home(t, "[log]", `level = "debug"`, fmt.Sprintf("file = %q", logFile))
		out, err := child(t.Name(), env).CombinedOutput()
		report(t, out, err)
		log, err := os.ReadFile(logFile)
		if err != nil || bytes.Count(log, []byte("\n")) < 10 {
			t.Fatalf("the log has %d bytes (%v): the test proves nothing", len(log), err)
		}
		clean(t, "the log", log)
		clean(t, "standard error", out)
		private(t, filepath.Join(dir, "home"))
		if info, err := os.Stat(logFile); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("the log has mode %v (%v)", info.Mode(), err)
		}
		return
	}
	c := open(t)
	c.badCalls()
	environ, err := os.ReadFile("/proc/self/environ")
	if err != nil {
		t.Fatal(err)
	}
	clean(t, "the environment", environ)
	cmdline, err := os.ReadFile("/proc/self/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	clean(t, "the command line", cmdline)
}

// badCalls does all that may go wrong with secrets at hand.
func (c *client) badCalls() {
	key := c.object(with(secret(ck.CKK_AES, secretValue), text(ck.CKA_LABEL, "secret"))...)
	token := c.object(with(secret(ck.CKK_AES, secretValue)[:11], boolean(ck.CKA_TOKEN, true))...)
	h := c.ULong(0)
	c.tryObject(secret(ck.CKK_AES, append(secretValue[:15:15], secretValue[0], secretValue[1]))...)
	c.tryObject(with(secret(ck.CKK_AES, secretValue), bytesOf(ck.CKA_MODULUS, secretValue))...)
	c.tryObject(with(secret(ck.CKK_AES, secretValue), bytesOf(ck.CKA_CHECK_VALUE, []byte{1, 2, 3}))...)
	c.tryObject(with(secret(ck.CKK_AES, secretValue), bytesOf(ck.CKA_VALUE, sequence(16)))...)
	c.tryObject(with(rsaPrivate(), bytesOf(ck.CKA_PRIVATE_EXPONENT, secretValue))...)
	c.set(key, bytesOf(ck.CKA_VALUE, secretValue))
	c.set(key, bytesOf(ck.CKA_UNIQUE_ID, secretValue))
	c.find(c.s, bytesOf(ck.CKA_VALUE, secretValue))
	c.Call("C_CopyObject", c.s, key, c.Template(bytesOf(ck.CKA_VALUE, secretValue)), 1, h)
	c.Call("C_EncryptInit", c.s, c.Mechanism(ck.CKM_AES_CBC, secretValue[:15]), key)
	for _, m := range []ck.MechanismType{ck.CKM_AES_KEY_WRAP, ck.CKM_AES_ECB, ck.CKM_RSA_PKCS, ck.CKM_AES_CBC_PAD} {
		c.unwrap(c.Mechanism(m, nil), key, secretValue, class(ck.CKO_SECRET_KEY), keyType(ck.CKK_AES))
		c.wrap(c.Mechanism(m, nil), key, token)
	}
	c.derive(c.Mechanism(ck.CKM_XOR_BASE_AND_DATA, c11.Words(c.Ptr(secretValue), 99)), key)
	c.derive(c.Mechanism(ck.CKM_CONCATENATE_BASE_AND_DATA, c11.Words(c.Ptr(secretValue), 16)), key, boolean(ck.CKA_TOKEN, true), ulong(ck.CKA_VALUE_LEN, uint64(999)))
	c.must("C_Logout", c.s)
	for _, pin := range wrongPINs {
		c.login(c.s, ck.CKU_USER, pin)
		c.login(c.s, ck.CKU_SO, pin)
		c.login(c.s, ck.CKU_CONTEXT_SPECIFIC, pin)
		c.login(c.s, 77, pin)
		c.Call("C_LoginUser", c.s, uint64(ck.CKU_USER), c.Exact([]byte(pin)), len(pin), c.Exact([]byte("nobody")), 6)
		c.Call("C_SetPIN", c.s, c.Exact([]byte(pin)), len(pin), c.Exact([]byte(userPIN)), len(userPIN))
		c.Call("C_SetPIN", c.s, c.Exact([]byte(userPIN)), len(userPIN), c.Exact([]byte(pin)), 3)
		c.Call("C_InitPIN", c.s, c.Exact([]byte(pin)), len(pin))
		c.Call("C_InitToken", 0, c.Exact([]byte(pin)), len(pin), c.Exact(bytes.Repeat([]byte(" "), 32)))
		c.Call("C_InitToken", 99, c.Exact([]byte(pin)), len(pin), c.Exact(bytes.Repeat([]byte(" "), 32)))
	}
	c.ok("C_Login", c.login(c.s, ck.CKU_USER, userPIN))
}

// clean looks for the secrets in the forms in which a log could have them.
func clean(t *testing.T, where string, text []byte) {
	t.Helper()
	check := func(name string, secret []byte) {
		forms := [][]byte{secret, []byte(hex.EncodeToString(secret)), []byte(strings.ToUpper(hex.EncodeToString(secret))),
			[]byte(base64.StdEncoding.EncodeToString(secret)[:len(secret)]), []byte(strings.Trim(fmt.Sprintf("%v", secret), "[]")), []byte(strings.Trim(fmt.Sprintf("%q", secret), `"`))}
		for _, f := range forms {
			if i := bytes.Index(text, f); i >= 0 {
				t.Errorf("%s holds %s, near %q", where, name, text[max(0, i-100):i])
			}
		}
	}
	for _, pin := range append(wrongPINs, userPIN, soPIN) {
		check("a PIN", []byte(pin))
	}
	check("a key", secretValue)
	check("part of a key", secretValue[:12])
	check("a private exponent", rsaKey().D.Bytes()[:32])
}

// private checks that nobody else may look into the HSM's home.
func private(t *testing.T, dir string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		want := fs.FileMode(0o600)
		if d.IsDir() {
			want = 0o700
		}
		if info.Mode().Perm() != want {
			t.Errorf("%s has mode %v, want %v", filepath.Base(path), info.Mode().Perm(), want)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestModes: an HSM that others may write to is not opened.
func TestModes(t *testing.T) {
	if os.Getenv(childVariable) == t.Name() {
		c := load(t)
		rv := c.Call("C_Initialize", nil)
		want := os.Getenv("CONFORMANCE_WANT") == "OK"
		if (rv == ck.CKR_OK) != want {
			t.Errorf("C_Initialize: %v", rv)
		}
		if rv == ck.CKR_OK && !want {
			return
		}
		if !want && rv != ck.CKR_GENERAL_ERROR && rv != ck.CKR_FUNCTION_FAILED && rv != ck.CKR_DEVICE_ERROR {
			t.Errorf("C_Initialize: %v is not what an HSM that does not open answers", rv)
		}
		return
	}
	built.Library(t)
	dir, env := home(t)
	try := func(name, want string) string {
		t.Helper()
		cmd := child(t.Name(), append(env, "CONFORMANCE_WANT="+want))
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
		return string(out)
	}
	try("new", "OK")
	var files []string
	home := filepath.Join(dir, "home")
	if err := filepath.WalkDir(home, func(path string, _ fs.DirEntry, err error) error {
		files = append(files, path)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	for _, path := range append(files, filepath.Join(dir, "perilune.toml")) {
		for _, mode := range []fs.FileMode{0o020, 0o002} {
			info, err := os.Stat(path)
			if err != nil {
				continue // it lives only while the library does
			}
			if err := os.Chmod(path, info.Mode().Perm()|mode); err != nil {
				t.Fatal(err)
			}
			name := fmt.Sprintf("%s with mode %v", filepath.Base(path), info.Mode().Perm()|mode)
			out := try(name, "refused")
			if !strings.Contains(out, filepath.Base(path)) {
				t.Errorf("%s: the message does not name it:\n%s", name, out)
			}
			if err := os.Chmod(path, info.Mode().Perm()); err != nil {
				t.Fatal(err)
			}
		}
	}
	try("as it was", "OK")
}
