// Package conformance calls the built library as C programs do and compares
// what it answers with what PKCS#11 says. Every test runs in a process of its
// own on an HSM of its own, for the library's state is the process's.
package conformance

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"unsafe"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/test/built"
	"github.com/perilune/perilune/test/c11"
)

const (
	soPIN   = "so-pin-31415926"
	userPIN = "user-pin-271828"

	childVariable = "CONFORMANCE_CHILD"
)

// home makes a place for an HSM and returns the environment that leads there.
// Hashing PINs costs next to nothing in it; lines are added to its configuration.
func home(t testing.TB, lines ...string) (dir string, env []string) {
	t.Helper()
	dir = t.TempDir()
	conf := filepath.Join(dir, "perilune.toml")
	text := strings.Join(lines, "\n") + "\n" + built.CheapPINs
	tokens := filepath.Join(dir, "tokens")
	soft := filepath.Join(dir, "softhsm2.conf")
	if err := os.Mkdir(tokens, 0o700); err != nil {
		t.Fatal(err)
	}
	for path, text := range map[string]string{
		conf: text,
		soft: "directories.tokendir = " + tokens + "\nobjectstore.backend = file\nlog.level = ERROR\n",
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir, []string{"PERILUNE_CONF=" + conf, "PERILUNE_HOME=" + filepath.Join(dir, "home"), "SOFTHSM2_CONF=" + soft}
}

// apart runs the calling test in a process of its own: it is true there, and
// false in the process that started it, where the test has nothing left to do.
func apart(t *testing.T) bool {
	t.Helper()
	if os.Getenv(childVariable) == t.Name() {
		return true
	}
	built.Library(t)
	_, env := home(t)
	out, err := child(t.Name(), env).CombinedOutput()
	report(t, out, err)
	return false
}

// child is a process that runs one test of this program.
func child(name string, env []string) *exec.Cmd {
	args := []string{"-test.run=^" + name + "$", "-test.timeout=5m"}
	for _, a := range os.Args[1:] {
		if a == "-test.v=true" || a == "-update" {
			args = append(args, a)
		}
	}
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(append(os.Environ(), childVariable+"="+name), env...)
	return cmd
}

func report(t *testing.T, out []byte, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("in its process: %v\n%s", err, out)
	}
	if testing.Verbose() {
		t.Logf("%s", out)
	}
}

// client is a module and C memory for the arguments of calls to it.
type client struct {
	t *testing.T
	*c11.Module
	*c11.Arena
	s uint64 // a R/W session of the user on slot 0
}

// load loads the module. Nothing is initialised.
func load(t *testing.T) *client {
	t.Helper()
	m, err := c11.Open(built.Library(t))
	if err != nil {
		t.Fatal(err)
	}
	c := &client{t: t, Module: m, Arena: new(c11.Arena)}
	t.Cleanup(c.Arena.Free)
	return c
}

// open gives a client with a token in slot 0 and the user logged in.
func open(t *testing.T) *client {
	t.Helper()
	c := load(t)
	c.ok("C_Initialize", c.Initialize())
	s, err := c.Token(soPIN, userPIN)
	if err != nil {
		t.Fatal(err)
	}
	c.s = s
	t.Cleanup(func() {
		if rv := c.Finalize(); rv != ck.CKR_OK && rv != ck.CKR_CRYPTOKI_NOT_INITIALIZED {
			t.Errorf("C_Finalize: %v", rv)
		}
	})
	return c
}

// sub is the client for a subtest.
func (c *client) sub(name string, f func(c *client)) {
	c.t.Helper()
	c.t.Run(name, func(t *testing.T) {
		d := *c
		d.t, d.Arena = t, new(c11.Arena)
		defer d.Arena.Free()
		f(&d)
	})
}

func (c *client) ok(what string, rv ck.RV) {
	c.t.Helper()
	if rv != ck.CKR_OK {
		c.t.Fatalf("%s: %v", what, rv)
	}
}

// want reports an answer that is none of those that are right.
func (c *client) want(what string, got ck.RV, right ...ck.RV) {
	c.t.Helper()
	for _, rv := range right {
		if got == rv {
			return
		}
	}
	c.t.Errorf("%s: got %v, want %v", what, got, right)
}

// must calls a function that has to succeed.
func (c *client) must(name string, args ...any) {
	c.t.Helper()
	c.ok(name, c.Call(name, args...))
}

// refuses calls a function that has to answer one of the codes.
func (c *client) refuses(rv ck.RV, name string, args ...any) {
	c.t.Helper()
	c.want(name, c.Call(name, args...), rv)
}

// session opens a session on a slot.
func (c *client) session(slot uint64, flags ck.Flags) uint64 {
	c.t.Helper()
	h := c.ULong(0)
	c.must("C_OpenSession", slot, flags|ck.CKF_SERIAL_SESSION, nil, nil, h)
	return c11.Number(h)
}

// secondToken initialises slot 1 and logs its user in.
func (c *client) secondToken() (s uint64) {
	c.t.Helper()
	so, user := c.Exact([]byte("second so")), c.Exact([]byte("second user"))
	c.must("C_InitToken", 1, so, 9, c.Exact(fmt.Appendf(nil, "%-32s", "second")))
	s = c.session(1, ck.CKF_RW_SESSION)
	c.must("C_Login", s, uint64(ck.CKU_SO), so, 9)
	c.must("C_InitPIN", s, user, 11)
	c.must("C_Logout", s)
	c.must("C_Login", s, uint64(ck.CKU_USER), user, 11)
	return s
}

// object is C_CreateObject on the client's session.
func (c *client) object(list ...ck.Attribute) uint64 {
	c.t.Helper()
	o, rv := c.tryObject(list...)
	c.ok("C_CreateObject", rv)
	return o
}

func (c *client) tryObject(list ...ck.Attribute) (uint64, ck.RV) {
	h := c.ULong(0)
	rv := c.Call("C_CreateObject", c.s, c.Template(list...), len(list), h)
	return c11.Number(h), rv
}

// generate is C_GenerateKey.
func (c *client) generate(m ck.MechanismType, list ...ck.Attribute) uint64 {
	c.t.Helper()
	h := c.ULong(0)
	c.must("C_GenerateKey", c.s, c.Mechanism(m, nil), c.Template(list...), len(list), h)
	return c11.Number(h)
}

func (c *client) pair(m ck.MechanismType, public, private []ck.Attribute) (pub, priv uint64) {
	c.t.Helper()
	p, q := c.ULong(0), c.ULong(0)
	c.must("C_GenerateKeyPair", c.s, c.Mechanism(m, nil), c.Template(public...), len(public), c.Template(private...), len(private), p, q)
	return c11.Number(p), c11.Number(q)
}

// get reads an attribute that must be there.
func (c *client) get(o uint64, t ck.AttributeType) []byte {
	c.t.Helper()
	v, rv := c.Get(c.s, o, t)
	if rv != ck.CKR_OK {
		c.t.Errorf("C_GetAttributeValue(%v): %v", t, rv)
	}
	return v
}

func (c *client) getBool(o uint64, t ck.AttributeType) bool {
	c.t.Helper()
	v, ok := ck.Bool(c.get(o, t))
	if !ok {
		c.t.Errorf("%v is no CK_BBOOL", t)
	}
	return v
}

func (c *client) getULong(o uint64, t ck.AttributeType) uint64 {
	c.t.Helper()
	v, ok := ck.ULong(c.get(o, t))
	if !ok {
		c.t.Errorf("%v is no CK_ULONG", t)
	}
	return v
}

// set is C_SetAttributeValue.
func (c *client) set(o uint64, list ...ck.Attribute) ck.RV {
	return c.Call("C_SetAttributeValue", c.s, o, c.Template(list...), len(list))
}

// find is a whole search.
func (c *client) find(s uint64, list ...ck.Attribute) (found []uint64) {
	c.t.Helper()
	c.must("C_FindObjectsInit", s, c.Template(list...), len(list))
	hs, n := c.Alloc(8*1000), c.ULong(0)
	c.must("C_FindObjects", s, hs, 1000, n)
	for i := range c11.Number(n) {
		found = append(found, c11.Number(unsafe.Add(hs, 8*i)))
	}
	c.must("C_FindObjectsFinal", s)
	return found
}

// Attributes, short.
func boolean(t ck.AttributeType, v bool) ck.Attribute       { return ck.NewBool(t, v) }
func yes(list ...ck.AttributeType) (out []ck.Attribute)     { return all(true, list) }
func no(list ...ck.AttributeType) (out []ck.Attribute)      { return all(false, list) }
func bytesOf(t ck.AttributeType, b []byte) ck.Attribute     { return ck.NewBytes(t, b) }
func text(t ck.AttributeType, s string) ck.Attribute        { return ck.NewBytes(t, []byte(s)) }
func ulong[T ~uint64](t ck.AttributeType, v T) ck.Attribute { return ck.NewULong(t, v) }
func class(c ck.ObjectClass) ck.Attribute                   { return ulong(ck.CKA_CLASS, c) }
func keyType(k ck.KeyType) ck.Attribute                     { return ulong(ck.CKA_KEY_TYPE, k) }
func with(a []ck.Attribute, more ...ck.Attribute) []ck.Attribute {
	return append(a[:len(a):len(a)], more...)
}
func template(t ck.AttributeType, a ...ck.Attribute) ck.Attribute {
	return ck.Attribute{Type: t, Template: a}
}

func all(v bool, list []ck.AttributeType) (out []ck.Attribute) {
	for _, t := range list {
		out = append(out, ck.NewBool(t, v))
	}
	return out
}

// secret is the template of a secret key that can do everything and be read.
func secret(k ck.KeyType, value []byte) []ck.Attribute {
	l := []ck.Attribute{class(ck.CKO_SECRET_KEY), keyType(k), bytesOf(ck.CKA_VALUE, value)}
	l = append(l, yes(ck.CKA_ENCRYPT, ck.CKA_DECRYPT, ck.CKA_SIGN, ck.CKA_VERIFY, ck.CKA_WRAP, ck.CKA_UNWRAP, ck.CKA_DERIVE, ck.CKA_EXTRACTABLE)...)
	return append(l, no(ck.CKA_SENSITIVE, ck.CKA_TOKEN)...)
}

// sequence is n bytes that differ from their neighbours.
func sequence(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i*7 + 3)
	}
	return b
}
