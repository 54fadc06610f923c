// Package oracle compares every mechanism with other implementations through
// the C API, in both directions and with many keys and messages: OpenSSL,
// libsodium, Bouncy Castle, NSS and SoftHSM2. The table of checks says which
// mechanism is compared with what; mechanisms that no oracle has are listed with
// the reason, and rest on published vectors alone.
package oracle

import (
	"bytes"
	"cmp"
	"fmt"
	"hash/fnv"
	"iter"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/test/built"
	"github.com/perilune/perilune/test/c11"
)

var (
	mod     *c11.Module
	session uint64
	scratch string // a folder that goes away
)

func TestMain(m *testing.M) {
	code, err := prepared(m.Run)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func prepared(run func() int) (code int, err error) {
	if scratch, err = os.MkdirTemp("", "oracle"); err != nil {
		return 1, err
	}
	defer os.RemoveAll(scratch)
	os.Setenv("PERILUNE_HOME", scratch)
	path, err := built.FindLibrary()
	if err != nil {
		return 1, err
	}
	if mod, err = c11.Open(path); err != nil {
		return 1, err
	}
	if rv := mod.Initialize(); rv != ck.CKR_OK {
		return 1, fmt.Errorf("C_Initialize: %w", rv)
	}
	defer mod.Finalize()
	if session, err = mod.Token("so pin 1", "user pin"); err != nil {
		return 1, err
	}
	defer stopOracles()
	return run(), nil
}

// row is one line of the table: mechanisms, and how to compare each of them with
// an oracle.
type row struct {
	oracle     *oracle
	mechanisms []ck.MechanismType
	test       func(c *check)
}

var table []row

// compare adds a line to the table.
func compare(o *oracle, test func(c *check), mechanisms ...ck.MechanismType) {
	table = append(table, row{o, mechanisms, test})
}

func TestOracles(t *testing.T) {
	for _, r := range table {
		for _, m := range r.mechanisms {
			t.Run(strings.TrimPrefix(m.String(), "CKM_")+"/"+r.oracle.name, func(t *testing.T) {
				r.oracle.need(t)
				runCheck(t, r, m)
			})
		}
	}
}

func runCheck(t *testing.T, r row, m ck.MechanismType) {
	seed := fnv.New64a()
	fmt.Fprint(seed, r.oracle.name, m)
	c := &check{T: t, m: m, o: r.oracle, a: new(c11.Arena), random: rand.New(rand.NewPCG(seed.Sum64(), 11))}
	defer c.tidy()
	r.test(c)
	if !t.Failed() && (!c.used || c.compared == 0) {
		t.Errorf("the check compared %d results, and called the mechanism: %v", c.compared, c.used)
	}
}

// check is one comparison of one mechanism with one oracle.
type check struct {
	*testing.T
	m        ck.MechanismType
	o        *oracle
	a        *c11.Arena
	random   *rand.Rand
	objects  []uint64
	used     bool
	compared int
}

func (c *check) tidy() {
	for _, o := range c.objects {
		mod.Destroy(session, o)
	}
	c.a.Free()
}

// bytes are random, the same in each run.
func (c *check) bytes(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(c.random.Uint32())
	}
	return b
}

// ask asks the row's oracle.
func (c *check) ask(words ...any) []byte {
	c.Helper()
	return c.askOf(c.o, words...)
}

func (c *check) askOf(o *oracle, words ...any) []byte {
	c.Helper()
	out, err := o.ask(words...)
	if err != nil {
		c.Fatalf("%s: %v", o.name, err)
	}
	return out
}

// agrees asks the oracle for a yes, and expects a no with the last byte of one
// of the words changed.
func (c *check) agrees(what string, changed int, words ...any) {
	c.Helper()
	if _, err := c.o.ask(words...); err != nil {
		c.Errorf("%s: %s does not agree: %v", what, c.o.name, err)
	}
	bad := slices.Clone(words)
	b := slices.Clone(bad[changed].([]byte))
	b[len(b)-1] ^= 1
	bad[changed] = b
	if _, err := c.o.ask(bad...); err == nil {
		c.Errorf("%s: %s agrees to what was changed, too", what, c.o.name)
	}
	c.compared++
}

func (c *check) equal(what string, got, want []byte) {
	c.Helper()
	c.compared++
	if !bytes.Equal(got, want) {
		c.Errorf("%s: the module has %x, %s has %x", what, got, c.o.name, want)
	}
}

// good stops the check if a call failed.
func (c *check) good(what string, rv ck.RV) {
	c.Helper()
	if rv != ck.CKR_OK {
		c.Fatalf("%s: %v", what, rv)
	}
}

func (c *check) mech(param []byte) c11.Mech { return c.mechOf(c.m, param) }

func (c *check) mechOf(m ck.MechanismType, param []byte) c11.Mech {
	c.used = c.used || m == c.m
	return c11.Mech{Type: m, Param: param}
}

func bools(value bool, types ...ck.AttributeType) (list []ck.Attribute) {
	for _, t := range types {
		list = append(list, ck.NewBool(t, value))
	}
	return list
}

// secretTemplate is of a key that may do everything and can be read.
func secretTemplate(kind ck.KeyType, more ...ck.Attribute) []ck.Attribute {
	return append(append(bools(true, ck.CKA_ENCRYPT, ck.CKA_DECRYPT, ck.CKA_SIGN, ck.CKA_VERIFY, ck.CKA_WRAP, ck.CKA_UNWRAP, ck.CKA_DERIVE, ck.CKA_EXTRACTABLE),
		ck.NewULong(ck.CKA_CLASS, ck.CKO_SECRET_KEY), ck.NewULong(ck.CKA_KEY_TYPE, kind), ck.NewBool(ck.CKA_SENSITIVE, false)), more...)
}

// secret makes a secret key.
func (c *check) secret(kind ck.KeyType, value []byte) uint64 {
	c.Helper()
	return c.create(secretTemplate(kind, ck.NewBytes(ck.CKA_VALUE, value))...)
}

func (c *check) create(list ...ck.Attribute) uint64 {
	c.Helper()
	o, rv := mod.Create(session, list...)
	c.good("C_CreateObject", rv)
	return c.keep(o)
}

// keep remembers an object that the check destroys at its end.
func (c *check) keep(o uint64) uint64 {
	c.objects = append(c.objects, o)
	return o
}

func (c *check) get(o uint64, t ck.AttributeType) []byte {
	c.Helper()
	b, rv := mod.Get(session, o, t)
	c.good(fmt.Sprintf("C_GetAttributeValue of %v", t), rv)
	return b
}

// enciphers compares encryption and decryption, in one part and in several.
func (c *check) enciphers(param []byte, key uint64, plain, sealed []byte) {
	c.Helper()
	c.enciphersParts(param, key, plain, sealed, 1, 7, 16, 50)
}

func (c *check) enciphersParts(param []byte, key uint64, plain, sealed []byte, parts ...int) {
	c.Helper()
	m := c.mech(param)
	for _, d := range []struct {
		what     string
		op       c11.Operation
		in, want []byte
	}{{"encryption", mod.Encryption(), plain, sealed}, {"decryption", mod.Decryption(), sealed, plain}} {
		what := fmt.Sprintf("%s of %d bytes", d.what, len(d.in))
		got, rv := mod.Single(c.a, d.op, session, m, key, d.in)
		c.good(what, rv)
		c.equal(what, got, d.want)
		for _, n := range parts {
			if n > 1 && n >= len(d.in) || n == 1 && len(d.in) > 100 {
				continue
			}
			got, rv := mod.Parts(c.a, d.op, session, m, key, d.in, n)
			c.good(fmt.Sprintf("%s in parts of %d", what, n), rv)
			c.equal(fmt.Sprintf("%s in parts of %d", what, n), got, d.want)
		}
	}
}

// authenticates compares a code that is the same each time.
func (c *check) authenticates(param []byte, key uint64, message, code []byte) {
	c.Helper()
	m := c.mech(param)
	got, rv := mod.Single(c.a, mod.Signing(), session, m, key, message)
	c.good("C_Sign", rv)
	c.equal(fmt.Sprintf("code of %d bytes", len(message)), got, code)
	got, rv = mod.SignParts(c.a, session, m, key, message, 13)
	c.good("C_SignFinal", rv)
	c.equal(fmt.Sprintf("code of %d bytes in parts", len(message)), got, code)
	c.verifies(param, key, message, code)
}

// verifies expects what an oracle signed to be verified, and nothing else.
func (c *check) verifies(param []byte, key uint64, message, code []byte) {
	c.Helper()
	m := c.mech(param)
	c.compared++
	if rv := mod.Verify(c.a, session, m, key, message, code); rv != ck.CKR_OK {
		c.Errorf("what %s signed (%d bytes) is refused: %v", c.o.name, len(message), rv)
	}
	bad := slices.Clone(code)
	bad[len(bad)/2] ^= 1
	if rv := mod.Verify(c.a, session, m, key, message, bad); rv == ck.CKR_OK {
		c.Errorf("what %s signed (%d bytes) is accepted after a change, too", c.o.name, len(message))
	}
}

// derives compares the bytes of a derived key.
func (c *check) derives(param []byte, base uint64, want []byte) {
	c.Helper()
	o, rv := mod.Derive(c.a, session, c.mech(param), base, secretTemplate(ck.CKK_GENERIC_SECRET, ck.NewULong(ck.CKA_VALUE_LEN, uint64(len(want))))...)
	c.good("C_DeriveKey", rv)
	c.equal("derived key", c.get(c.keep(o), ck.CKA_VALUE), want)
}

// sorted goes through a map in the order of its keys, so that all is drawn in the
// same order each time.
func sorted[K cmp.Ordered, V any](m map[K]V) iter.Seq2[K, V] {
	return func(yield func(K, V) bool) {
		for _, k := range slices.Sorted(maps.Keys(m)) {
			if !yield(k, m[k]) {
				return
			}
		}
	}
}

func words(w ...uint64) []byte { return c11.Words(w...) }

func cat(b ...[]byte) []byte { return bytes.Join(b, nil) }
