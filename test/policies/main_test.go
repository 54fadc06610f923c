// Package policies shows each policy of the HSM and of its partitions at work:
// the program sets it, and a caller of the C API meets what it says. A test of a
// policy is called TestPolicy and its number, with HSM between for those of the
// HSM; TestEveryPolicyIsShown looks whether one is missing.
package policies

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
	"github.com/perilune/perilune/test/c11"
)

// The PINs are in the environment of the program, under these names.
var pins = map[string]string{
	"HSM_SO": "hsm-so-pin-271", "SO": "partition-so-828", "CO": "officer-pin-182", "CU": "user-pin-845",
}

// hsm is an HSM under an HSM SO, with a partition in slot that has its officer,
// in the library and under the program.
type hsm struct {
	t    *testing.T
	p    *pkcs11.Ctx
	slot uint
	made int
}

// newHSM makes an HSM; flags are more of them for `hsm init`.
func newHSM(t *testing.T, flags string) *hsm {
	t.Helper()
	dir := t.TempDir()
	conf := filepath.Join(dir, "perilune.toml")
	if err := os.WriteFile(conf, []byte(built.CheapPINs), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PERILUNE_CONF", conf)
	t.Setenv("PERILUNE_HOME", filepath.Join(dir, "home"))
	for name, pin := range pins {
		t.Setenv(name, pin)
	}
	h := &hsm{t: t}
	h.run("hsm init --label lab --so-pin env:HSM_SO " + flags)
	h.partition("")
	h.p = pkcs11.New(built.Library(t))
	if h.p == nil {
		t.Fatal("the module does not load")
	}
	h.good(h.p.Initialize())
	t.Cleanup(func() { h.p.Finalize(); h.p.Destroy() })
	return h
}

// partition makes a partition with its officer and goes on with it; flags are
// more of them for `partition init`.
func (h *hsm) partition(flags string) {
	h.t.Helper()
	h.made++
	var made struct{ Slot uint }
	name := "app" + strings.Repeat("x", h.made)
	h.decode(&made, "partition create --json --hsm-so-pin env:HSM_SO --name "+name)
	h.slot = made.Slot
	h.run("partition init --label app --so-pin env:SO --partition " + name + " " + flags)
	h.run("role init --role co --so-pin env:SO --new-pin env:CO --partition " + name)
}

// try runs the program with the words of a line.
func (h *hsm) try(line string) (string, error) {
	h.t.Helper()
	out, err := exec.Command(built.Program(h.t), strings.Fields(line)...).CombinedOutput()
	return string(out), err
}

func (h *hsm) run(line string) string {
	h.t.Helper()
	out, err := h.try(line)
	if err != nil {
		h.t.Fatalf("perilune %s: %v\n%s", line, err, out)
	}
	return out
}

func (h *hsm) decode(v any, line string) {
	h.t.Helper()
	if err := json.Unmarshal([]byte(h.run(line)), v); err != nil {
		h.t.Fatalf("perilune %s: %v", line, err)
	}
}

// set sets a policy of the partition.
func (h *hsm) set(id, value string) {
	h.t.Helper()
	h.run("partition policy set --so-pin env:SO --force --id " + id + " --value " + value + " --slot " + number(h.slot))
}

// setHSM sets a policy of the HSM. What destroys the partition is followed by a
// new one.
func (h *hsm) setHSM(id, value string) {
	h.t.Helper()
	h.run("hsm policy set --hsm-so-pin env:HSM_SO --force --id " + id + " --value " + value)
	var list []struct{}
	if h.decode(&list, "partition list --json"); len(list) == 0 {
		h.partition("")
	}
}

func number(n uint) string {
	b, _ := json.Marshal(n)
	return string(b)
}

// as is a R/W session of a role: pkcs11.CKU_SO, CKU_USER or cryptoUser.
func (h *hsm) as(user uint, pin string) pkcs11.SessionHandle {
	h.t.Helper()
	s := h.open()
	h.good(h.p.Login(s, user, pins[pin]))
	return s
}

const cryptoUser = 0x80000001

func (h *hsm) officer() pkcs11.SessionHandle {
	h.t.Helper()
	return h.as(pkcs11.CKU_USER, "CO")
}

func (h *hsm) open() pkcs11.SessionHandle {
	h.t.Helper()
	s, err := h.p.OpenSession(h.slot, pkcs11.CKF_SERIAL_SESSION|pkcs11.CKF_RW_SESSION)
	h.good(err)
	return s
}

// close ends all sessions, and with them the login.
func (h *hsm) close() {
	h.t.Helper()
	h.good(h.p.CloseAllSessions(h.slot))
}

// good fails the test if a call failed.
func (h *hsm) good(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}

// wants fails the test if a call did not answer with a code.
func (h *hsm) wants(rv ck.RV, what string, err error) {
	h.t.Helper()
	var code pkcs11.Error
	if err != nil && !errors.As(err, &code) || ck.RV(code) != rv {
		h.t.Errorf("%s: %v, want %v", what, err, rv)
	}
}

// attr makes a template: pairs of an attribute and its value.
func attr(pairs ...any) (list []*pkcs11.Attribute) {
	for i := 0; i < len(pairs); i += 2 {
		var t uint
		switch v := pairs[i].(type) {
		case int:
			t = uint(v)
		case ck.AttributeType:
			t = uint(v)
		}
		list = append(list, pkcs11.NewAttribute(t, pairs[i+1]))
	}
	return list
}

func mech(t uint, param ...byte) []*pkcs11.Mechanism {
	if param == nil {
		return []*pkcs11.Mechanism{pkcs11.NewMechanism(t, nil)}
	}
	return []*pkcs11.Mechanism{pkcs11.NewMechanism(t, param)}
}

// generate makes a secret token key with the attributes.
func (h *hsm) generate(s pkcs11.SessionHandle, pairs ...any) (pkcs11.ObjectHandle, error) {
	t := append(attr(pkcs11.CKA_TOKEN, true, pkcs11.CKA_VALUE_LEN, 32, pkcs11.CKA_EXTRACTABLE, true), attr(pairs...)...)
	return h.p.GenerateKey(s, mech(pkcs11.CKM_AES_KEY_GEN), t)
}

// only are the usage attributes, all false but those named.
func only(usages ...int) (pairs []any) {
	for _, u := range []int{pkcs11.CKA_ENCRYPT, pkcs11.CKA_DECRYPT, pkcs11.CKA_SIGN, pkcs11.CKA_VERIFY, pkcs11.CKA_WRAP, pkcs11.CKA_UNWRAP, pkcs11.CKA_DERIVE} {
		named := false
		for _, x := range usages {
			named = named || x == u
		}
		pairs = append(pairs, u, named)
	}
	return pairs
}

// aes is a key for everything that secret keys do.
func (h *hsm) aes(s pkcs11.SessionHandle) pkcs11.ObjectHandle {
	h.t.Helper()
	o, err := h.generate(s, pkcs11.CKA_ENCRYPT, true, pkcs11.CKA_DECRYPT, true, pkcs11.CKA_WRAP, true, pkcs11.CKA_UNWRAP, true, pkcs11.CKA_DERIVE, true)
	h.good(err)
	return o
}

// rsa makes a pair of 2048 bits that signs, decrypts and can be wrapped.
func (h *hsm) rsa(s pkcs11.SessionHandle) (public, private pkcs11.ObjectHandle) {
	h.t.Helper()
	public, private, err := h.p.GenerateKeyPair(s, mech(pkcs11.CKM_RSA_PKCS_KEY_PAIR_GEN),
		attr(pkcs11.CKA_TOKEN, true, pkcs11.CKA_MODULUS_BITS, 2048, pkcs11.CKA_PUBLIC_EXPONENT, []byte{1, 0, 1}, pkcs11.CKA_VERIFY, true, pkcs11.CKA_ENCRYPT, true),
		attr(pkcs11.CKA_TOKEN, true, pkcs11.CKA_SIGN, true, pkcs11.CKA_DECRYPT, true, pkcs11.CKA_EXTRACTABLE, true))
	h.good(err)
	return public, private
}

// sign begins a signature and makes it.
func (h *hsm) sign(s pkcs11.SessionHandle, t uint, key pkcs11.ObjectHandle, message []byte) ([]byte, error) {
	if err := h.p.SignInit(s, mech(t), key); err != nil {
		return nil, err
	}
	return h.p.Sign(s, message)
}

// lists reports whether the slot has a mechanism, by list and info, which must
// agree.
func (h *hsm) lists(t uint) bool {
	h.t.Helper()
	list, err := h.p.GetMechanismList(h.slot)
	h.good(err)
	found := false
	for _, m := range list {
		found = found || m.Mechanism == t
	}
	_, err = h.p.GetMechanismInfo(h.slot, mech(t))
	if (err == nil) != found {
		h.t.Errorf("mechanism %#x: listed %v, information %v", t, found, err)
	}
	return found
}

// vendor calls a function of perilune.h.
func (h *hsm) vendor(name string, args ...any) ck.RV {
	h.t.Helper()
	path := built.Library(h.t)
	m, err := c11.Open(path)
	h.good(err)
	f, err := c11.Vendor(path, name)
	h.good(err)
	return m.CallAt(f, args...)
}
