package migrate

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/cryptoki/hsm"
	"github.com/perilune/perilune/cryptoki/p11"
	"github.com/perilune/perilune/engine"
	"github.com/perilune/perilune/store/memory"
)

// bench is an HSM with a partition whose Crypto Officer is logged in. before, if
// set, sees each request first, and may answer in the HSM's place.
type bench struct {
	*testing.T
	module  p11.Module
	session ck.SessionHandle
	before  func(ctx context.Context, req p11.Request) (done bool, err error)
}

func (b *bench) Do(ctx context.Context, req p11.Request, reply any) error {
	if b.before != nil {
		if done, err := b.before(ctx, req); done {
			return err
		}
	}
	return b.module.Do(ctx, req, reply)
}

func (b *bench) Close() error { return nil }

func call[R any](b *bench, req p11.Typed[R]) R {
	b.Helper()
	r, err := p11.Call(context.Background(), b.module, req)
	if err != nil {
		b.Fatalf("%T: %v", req, err)
	}
	return r
}

func newBench(t *testing.T) *bench {
	t.Helper()
	h, err := hsm.Open(t.Context(), hsm.Options{
		Store: memory.New().Open(), RootKey: hsm.RootKeyBytes(bytes.Repeat([]byte{7}, 32)), Location: "memory",
		Password: hsm.PasswordCost{Passes: 1, MemoryKiB: 8, Threads: 1}, Log: slog.New(slog.DiscardHandler),
		Now: func() time.Time { return time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC) },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Close() })
	b := &bench{T: t, module: h}
	call(b, &p11.InitToken{PIN: []byte("so pin 1"), Label: "app"})
	s := call(b, &p11.OpenSession{Flags: ck.CKF_SERIAL_SESSION | ck.CKF_RW_SESSION}).Session
	call(b, &p11.Login{Session: s, User: ck.CKU_SO, PIN: []byte("so pin 1")})
	call(b, &p11.InitPIN{Session: s, PIN: []byte("co pin 1")})
	call(b, &p11.Logout{Session: s})
	call(b, &p11.Login{Session: s, User: ck.CKU_USER, PIN: []byte("co pin 1")})
	b.session = s
	return b
}

func (b *bench) importer() *Importer { return &Importer{Module: b, Session: b.session} }

// objects counts the objects of the partition, and those of the session.
func (b *bench) objects() (token, session int) {
	b.Helper()
	for _, isToken := range []bool{true, false} {
		list, err := b.importer().find(context.Background(), []ck.Attribute{ck.NewBool(ck.CKA_TOKEN, isToken)})
		if err != nil {
			b.Fatal(err)
		}
		for _, h := range list {
			if a, _ := b.importer().attribute(context.Background(), h, ck.CKA_CLASS); !bytes.Equal(a.Value, ck.PutULong(ck.CKO_PROFILE)) {
				if isToken {
					token++
				} else {
					session++
				}
			}
		}
	}
	return token, session
}

// mustImport imports what must be imported.
func (b *bench) mustImport(o Object) Result {
	b.Helper()
	r := b.importer().Import(context.Background(), o)
	if r.Status != Imported {
		b.Fatalf("%s: %v", r.Status, r.Err)
	}
	return r
}

// sampleKeys are a private or secret key of each kind that is proven differently:
// how it is generated, and the use that its trials begin with.
var sampleKeys = []struct {
	name   string
	m      ck.MechanismType
	attrs  []ck.Attribute
	secret bool
}{
	{"rsa", ck.CKM_RSA_PKCS_KEY_PAIR_GEN, []ck.Attribute{ck.NewULong(ck.CKA_MODULUS_BITS, uint64(2048)), ck.NewBytes(ck.CKA_PUBLIC_EXPONENT, []byte{1, 0, 1})}, false},
	{"ec", ck.CKM_EC_KEY_PAIR_GEN, curve("P-384"), false},
	{"brainpool", ck.CKM_EC_KEY_PAIR_GEN, curve("brainpoolP256r1"), false},
	{"ed25519", ck.CKM_EC_EDWARDS_KEY_PAIR_GEN, curve("Ed25519"), false},
	{"x25519", ck.CKM_EC_MONTGOMERY_KEY_PAIR_GEN, curve("X25519"), false},
	{"ml-kem", ck.CKM_ML_KEM_KEY_PAIR_GEN, []ck.Attribute{ck.NewULong(ck.CKA_PARAMETER_SET, uint64(ck.CKP_ML_KEM_512))}, false},
	{"ml-dsa", ck.CKM_ML_DSA_KEY_PAIR_GEN, []ck.Attribute{ck.NewULong(ck.CKA_PARAMETER_SET, uint64(ck.CKP_ML_DSA_44))}, false},
	{"slh-dsa", ck.CKM_SLH_DSA_KEY_PAIR_GEN, []ck.Attribute{ck.NewULong(ck.CKA_PARAMETER_SET, uint64(ck.CKP_SLH_DSA_SHA2_128F))}, false},
	{"aes", ck.CKM_AES_KEY_GEN, length(32), true},
	{"aes-xts", ck.CKM_AES_XTS_KEY_GEN, length(64), true},
	{"aria", ck.CKM_ARIA_KEY_GEN, length(16), true},
	{"camellia", ck.CKM_CAMELLIA_KEY_GEN, length(16), true},
	{"twofish", ck.CKM_TWOFISH_KEY_GEN, length(16), true},
	{"blowfish", ck.CKM_BLOWFISH_KEY_GEN, length(16), true},
	{"cast128", ck.CKM_CAST128_KEY_GEN, length(16), true},
	{"seed", ck.CKM_SEED_KEY_GEN, nil, true},
	{"rc2", ck.CKM_RC2_KEY_GEN, length(16), true},
	{"rc4", ck.CKM_RC4_KEY_GEN, length(16), true},
	{"chacha20", ck.CKM_CHACHA20_KEY_GEN, nil, true},
	{"salsa20", ck.CKM_SALSA20_KEY_GEN, nil, true},
	{"poly1305", ck.CKM_POLY1305_KEY_GEN, nil, true},
	{"des3", ck.CKM_DES3_KEY_GEN, nil, true},
	{"des2", ck.CKM_DES2_KEY_GEN, nil, true},
	{"des", ck.CKM_DES_KEY_GEN, nil, true},
	{"generic", ck.CKM_GENERIC_SECRET_KEY_GEN, length(20), true},
	{"hkdf", ck.CKM_HKDF_KEY_GEN, length(32), true},
	{"hmac-sha1", ck.CKM_SHA_1_KEY_GEN, length(20), true},
	{"hmac-sha256", ck.CKM_SHA256_KEY_GEN, length(32), true},
	{"hmac-sha3-512", ck.CKM_SHA3_512_KEY_GEN, length(64), true},
	{"hmac-blake2b-256", ck.CKM_BLAKE2B_256_KEY_GEN, length(32), true},
}

func length(n uint64) []ck.Attribute { return []ck.Attribute{ck.NewULong(ck.CKA_VALUE_LEN, n)} }

func curve(name string) []ck.Attribute {
	params, _, _ := engine.CurveParams(name)
	return []ck.Attribute{ck.NewBytes(ck.CKA_EC_PARAMS, params)}
}

// generated makes a key in the clear, for the session, and returns all that can be
// read of it, as a source would have it.
func (b *bench) generated(name string, more ...ck.Attribute) Object {
	b.Helper()
	i := slices.IndexFunc(sampleKeys, func(s struct {
		name   string
		m      ck.MechanismType
		attrs  []ck.Attribute
		secret bool
	}) bool {
		return s.name == name
	})
	s := sampleKeys[i]
	open := []ck.Attribute{ck.NewBool(ck.CKA_TOKEN, false), ck.NewBool(ck.CKA_SENSITIVE, false), ck.NewBool(ck.CKA_EXTRACTABLE, true)}
	var h ck.ObjectHandle
	if s.secret {
		h = call(b, &p11.GenerateKey{Session: b.session, Mechanism: &ck.Mechanism{Type: s.m}, Template: slices.Concat(open, s.attrs)}).Object
	} else {
		pair := call(b, &p11.GenerateKeyPair{Session: b.session, Mechanism: &ck.Mechanism{Type: s.m}, Public: append([]ck.Attribute{ck.NewBool(ck.CKA_TOKEN, false)}, s.attrs...), Private: open})
		h = pair.Private
		call(b, &p11.DestroyObject{Session: b.session, Object: pair.Public})
	}
	o := Object{Attrs: b.readAll(h)}
	call(b, &p11.DestroyObject{Session: b.session, Object: h})
	return with(o, append([]ck.Attribute{ck.NewBytes(ck.CKA_LABEL, []byte(name))}, more...)...)
}

// with sets attributes of an object.
func with(o Object, list ...ck.Attribute) Object {
	o.Attrs = lastOnes(slices.Concat(o.Attrs, list))
	return o
}

func (b *bench) readAll(h ck.ObjectHandle) (list []ck.Attribute) {
	b.Helper()
	types := slices.Concat(kinds, material, protecting, usages, []ck.AttributeType{ck.CKA_ID, ck.CKA_LABEL, ck.CKA_PUBLIC_KEY_INFO, ck.CKA_LOCAL, ck.CKA_START_DATE})
	for _, t := range types {
		a, err := b.importer().attribute(context.Background(), h, t)
		if err != nil {
			b.Fatal(err)
		}
		if a != nil {
			list = append(list, *a)
		}
	}
	return list
}

// A key of every kind comes in, is proven, and is found again by a second import,
// which makes no double.
func TestEveryKindIsProven(t *testing.T) {
	b := newBench(t)
	for _, s := range sampleKeys {
		o := b.generated(s.name)
		if s.name == "x25519" || s.name == "hkdf" { // which by default may do nothing
			o = with(o, ck.NewBool(ck.CKA_DERIVE, true))
		}
		before, _ := b.objects()
		r := b.mustImport(o)
		if r.Proof == "" {
			t.Errorf("%s: not proven", s.name)
		}
		if strings.Contains(r.Proof, "copy") {
			t.Errorf("%s: %s, and it may be used itself", s.name, r.Proof)
		}
		again := b.importer().Import(t.Context(), o)
		if again.Status != Present || again.Handle != r.Handle || again.Proof != r.Proof {
			t.Errorf("%s, once more: %+v", s.name, again)
		}
		if now, session := b.objects(); now != before+1 || session != 0 {
			t.Errorf("%s: %d objects became %d, and %d are left of the session", s.name, before, now, session)
		}
	}
}

// Every type of keys that the HSM has, and that somebody can import, has a way to
// be proven.
func TestEveryTypeHasTrials(t *testing.T) {
	without := []ck.KeyType{ck.CKK_BIP32, ck.CKK_HSS, ck.CKK_XMSS, ck.CKK_XMSSMT}
	for _, row := range engine.KeyTypes() {
		if trials[row.Type] == nil && !slices.Contains(without, row.Type) {
			t.Errorf("%v: no trial", row.Type)
		}
		for _, x := range trials[row.Type] {
			m := engine.Find(x.m.Type)
			if m == nil {
				t.Errorf("%v: the HSM has no %v", row.Type, x.m.Type)
			} else if x.way != agreeing && reflect.TypeOf(x.m.Param) != reflect.TypeOf(m.Param) && !(x.m.Param == nil && m.Optional) {
				t.Errorf("%v: %v takes a %T", row.Type, x.m.Type, m.Param)
			}
		}
	}
}

// The use that a key has is what proves it, whichever it is.
func TestProvenByItsUse(t *testing.T) {
	b := newBench(t)
	for _, c := range []struct {
		key  string
		use  ck.AttributeType
		said string
	}{
		{"rsa", ck.CKA_SIGN, "signed and verified with CKM_SHA256_RSA_PKCS"},
		{"rsa", ck.CKA_DECRYPT, "encrypted and decrypted with CKM_RSA_PKCS_OAEP"},
		{"rsa", ck.CKA_UNWRAP, "wrapped and unwrapped with CKM_RSA_PKCS_OAEP"},
		{"ec", ck.CKA_SIGN, "signed and verified with CKM_ECDSA_SHA256"},
		{"ec", ck.CKA_DERIVE, "agreed with a new key with CKM_ECDH1_DERIVE"},
		{"aes", ck.CKA_ENCRYPT, "encrypted and decrypted with CKM_AES_CBC_PAD"},
		{"aes", ck.CKA_DECRYPT, "encrypted and decrypted with CKM_AES_CBC_PAD"},
		{"aes", ck.CKA_SIGN, "signed and verified with CKM_AES_CMAC"},
		{"aes", ck.CKA_VERIFY, "signed and verified with CKM_AES_CMAC"},
		{"aes", ck.CKA_WRAP, "wrapped and unwrapped with CKM_AES_KEY_WRAP_KWP"},
		{"aes", ck.CKA_UNWRAP, "wrapped and unwrapped with CKM_AES_KEY_WRAP_KWP"},
		{"aes", ck.CKA_DERIVE, "derived the same twice with CKM_AES_ECB_ENCRYPT_DATA"},
		{"generic", ck.CKA_DERIVE, "derived the same twice with CKM_SHA256_KEY_DERIVATION"},
		{"rsa", 0, "signed and verified with CKM_SHA256_RSA_PKCS, by a copy for the session: the key may not be used for any of what could prove it"},
		{"x25519", 0, "agreed with a new key with CKM_ECDH1_DERIVE, by a copy"},
		{"aes", 0, "encrypted and decrypted with CKM_AES_CBC_PAD, by a copy"},
	} {
		o := b.generated(c.key)
		o = with(o, onlyFor(o.Class(), c.use)...)
		if r := b.mustImport(o); !strings.HasPrefix(r.Proof, c.said) {
			t.Errorf("%s for %v: %q", c.key, c.use, r.Proof)
		}
	}
}

// Restrictions stay, and do not keep a key from being proven.
func TestRestrictedKeys(t *testing.T) {
	b := newBench(t)
	for _, c := range []struct {
		key  string
		with ck.Attribute
		said string
	}{
		{"rsa", ck.NewBytes(ck.CKA_ALLOWED_MECHANISMS, ck.PutMechanismTypes(ck.CKM_SHA512_RSA_PKCS)), "signed and verified with CKM_SHA512_RSA_PKCS"},
		{"aes", ck.NewBytes(ck.CKA_ALLOWED_MECHANISMS, ck.PutMechanismTypes(ck.CKM_AES_GCM)), "encrypted and decrypted with CKM_AES_GCM"},
		{"aes", ck.NewBytes(ck.CKA_ALLOWED_MECHANISMS, ck.PutMechanismTypes(ck.CKM_AES_CCM)), "encrypted and decrypted with CKM_AES_CBC_PAD, by a copy"},
		{"ec", ck.NewBool(ck.CKA_ALWAYS_AUTHENTICATE, true), "signed and verified with CKM_ECDSA_SHA256, by a copy for the session: each use of the key needs a login of its own"},
		{"ec", ck.NewBool(ck.CKA_DESTROYABLE, false), "signed and verified with CKM_ECDSA_SHA256"},
		{"ec", ck.NewBool(ck.CKA_MODIFIABLE, false), "signed and verified with CKM_ECDSA_SHA256"},
		{"aes", ck.NewBool(ck.CKA_WRAP_WITH_TRUSTED, true), "encrypted and decrypted"},
		{"aes", ck.Attribute{Type: ck.CKA_WRAP_TEMPLATE, Template: []ck.Attribute{ck.NewBool(ck.CKA_SENSITIVE, true)}}, "encrypted and decrypted"},
		{"aes", ck.NewBytes(ck.CKA_START_DATE, []byte("20240102")), "encrypted and decrypted"},
	} {
		r := b.mustImport(with(b.generated(c.key), c.with))
		if !strings.HasPrefix(r.Proof, c.said) {
			t.Errorf("%v: %q", c.with.Type, r.Proof)
		}
		a, err := b.importer().attribute(t.Context(), r.Handle, c.with.Type)
		if err != nil || a == nil || !bytes.Equal(a.Value, c.with.Value) || !sameTemplate(a.Template, c.with.Template) {
			t.Errorf("%v is %v in the HSM, %v", c.with.Type, a, err)
		}
	}
}

// What cannot be carried is said, and what protects a key is never left out.
func TestWhatIsNotCarried(t *testing.T) {
	b := newBench(t)
	o := with(b.generated("aes"), ck.NewBool(ck.CKA_NEVER_EXTRACTABLE, true), ck.NewBool(ck.CKA_ALWAYS_SENSITIVE, false), ck.NewBool(ck.CKA_TRUSTED, true),
		ck.NewBytes(0x80000123, []byte("vendor")), ck.NewBytes(ck.CKA_CHECK_VALUE, []byte{1, 2, 3}), ck.NewBool(ck.CKA_ENCAPSULATE, true))
	var what []string
	for _, l := range b.mustImport(o).Lost {
		what = append(what, l.What)
	}
	want := []string{"0x80000123", "CKA_ENCAPSULATE", "CKA_LOCAL", "CKA_NEVER_EXTRACTABLE", "CKA_TRUSTED"}
	if !slices.Equal(what, want) {
		t.Errorf("not carried: %v, want %v", what, want)
	}
	bad := with(b.generated("aes"), ck.NewBool(ck.CKA_ALWAYS_AUTHENTICATE, true)) // private keys only
	if r := b.importer().Import(t.Context(), bad); r.Status != Failed || !strings.Contains(r.Err.Error(), "CKA_ALWAYS_AUTHENTICATE") {
		t.Errorf("a protecting attribute that the HSM refuses: %+v", r)
	}
}

// A key that came in as another, by whatever fault, fails its proof and is
// removed.
func TestFailedProofRemovesTheKey(t *testing.T) {
	for _, name := range []string{"rsa", "ec", "ed25519", "x25519", "ml-kem", "aes", "generic", "hkdf"} {
		for _, usable := range []bool{true, false} {
			b := newBench(t)
			right, wrong := b.generated(name), b.generated(name)
			if !usable {
				right = with(right, onlyFor(right.Class())...)
			}
			b.before = func(ctx context.Context, req p11.Request) (bool, error) {
				if q, ok := req.(*p11.CreateObject); ok && isToken(q.Template) {
					q.Template = exchanged(q.Template, wrong.Attrs)
				}
				return false, nil
			}
			r := b.importer().Import(t.Context(), right)
			if r.Status != Failed {
				t.Errorf("%s, usable %v: %+v", name, usable, r)
			}
			if token, session := b.objects(); token != 0 || session != 0 {
				t.Errorf("%s, usable %v: %d objects are left, and %d of the session", name, usable, token, session)
			}
		}
	}
}

func isToken(template []ck.Attribute) bool {
	a := ck.Find(template, ck.CKA_TOKEN)
	return a != nil && !isFalse(*a)
}

// exchanged is a template with the material of another key.
func exchanged(template, other []ck.Attribute) (list []ck.Attribute) {
	for _, a := range template {
		if b := ck.Find(other, a.Type); b != nil && (isMaterial(a.Type) || a.Type == ck.CKA_PUBLIC_KEY_INFO) {
			a = *b
		}
		list = append(list, a)
	}
	return list
}

// Where keys may not come in the clear they come wrapped.
func TestWrappedWhereClearKeysAreRefused(t *testing.T) {
	b := newBench(t)
	keys := []Object{b.generated("rsa"), b.generated("ec"), b.generated("ed25519"), b.generated("aes"), b.generated("des3"), b.generated("generic")}
	b.before = func(ctx context.Context, req p11.Request) (bool, error) {
		q, ok := req.(*p11.CreateObject)
		if !ok || ck.Find(q.Template, ck.CKA_SENSITIVE) == nil {
			return false, nil
		}
		if a := ck.Find(q.Template, ck.CKA_SENSITIVE); isFalse(*a) {
			return false, nil // what is wrapped by way of trial
		}
		return true, ck.CKR_TEMPLATE_INCONSISTENT
	}
	im := b.importer()
	for _, o := range keys {
		o = with(o, ck.NewBool(ck.CKA_SENSITIVE, true), ck.NewBool(ck.CKA_EXTRACTABLE, false))
		r := im.Import(t.Context(), o)
		if r.Status != Imported || r.Proof == "" {
			t.Errorf("%s: %s %q %v", o.value(ck.CKA_LABEL), r.Status, r.Proof, r.Err)
		}
	}
	if token, _ := b.objects(); token != len(keys) {
		t.Errorf("%d objects, want %d", token, len(keys))
	}
}

// An import that is interrupted leaves nothing, at whichever request.
func TestInterruptedImport(t *testing.T) {
	b := newBench(t)
	o := b.generated("ec")
	for n := 1; ; n++ {
		ctx, cancel := context.WithCancelCause(t.Context())
		left := n
		b.before = func(ctx context.Context, req p11.Request) (bool, error) {
			if left--; left == 0 {
				cancel(errors.New("enough"))
			}
			return ctx.Err() != nil, ctx.Err()
		}
		r := b.importer().Import(ctx, o)
		interrupted := ctx.Err() != nil
		cancel(nil)
		b.before = nil
		token, session := b.objects()
		if !interrupted {
			if r.Status != Imported || token != 1 || n < 5 {
				t.Errorf("in the end, after %d requests: %+v, %d objects", n, r, token)
			}
			return
		}
		if session != 0 || r.Status == Imported != (token == 1) {
			t.Fatalf("interrupted at request %d: %s, %v; %d objects are left, and %d of the session", n, r.Status, r.Err, token, session)
		}
		if token == 1 {
			return // the last request had been made
		}
	}
}

// A rehearsal does everything and leaves nothing.
func TestRehearsal(t *testing.T) {
	b := newBench(t)
	im := b.importer()
	im.Rehearse = true
	for _, name := range []string{"rsa", "aes"} {
		r := im.Import(t.Context(), b.generated(name))
		if r.Status != Imported || r.Proof == "" || r.Handle != 0 {
			t.Errorf("%s: %+v", name, r)
		}
	}
	if token, session := b.objects(); token != 0 || session != 0 {
		t.Errorf("%d objects are left, and %d of the session", token, session)
	}
}

// A source that has an object twice gives it to the partition twice, however often
// it is imported.
func TestTwins(t *testing.T) {
	b := newBench(t)
	o := b.generated("aes")
	for range 2 {
		im := b.importer()
		im.Import(t.Context(), o)
		im.Import(t.Context(), o)
		if token, _ := b.objects(); token != 2 {
			t.Errorf("%d objects, want 2", token)
		}
	}
}

// Data and certificates are not used but compared.
func TestDataIsReadBack(t *testing.T) {
	b := newBench(t)
	data := Object{Attrs: []ck.Attribute{ck.NewULong(ck.CKA_CLASS, ck.CKO_DATA), ck.NewBytes(ck.CKA_LABEL, []byte("note")),
		ck.NewBytes(ck.CKA_APPLICATION, []byte("app")), ck.NewBytes(ck.CKA_VALUE, []byte("hello"))}}
	other := with(data, ck.NewBytes(ck.CKA_VALUE, []byte("hullo")))
	b.mustImport(data)
	b.mustImport(other)
	if r := b.importer().Import(t.Context(), data); r.Status != Present {
		t.Errorf("the same data: %+v", r)
	}
	b.before = func(ctx context.Context, req p11.Request) (bool, error) {
		if q, ok := req.(*p11.CreateObject); ok {
			q.Template = exchanged(q.Template, other.Attrs)
		}
		return false, nil
	}
	third := with(data, ck.NewBytes(ck.CKA_VALUE, []byte("hallo")))
	if r := b.importer().Import(t.Context(), third); r.Status != Failed {
		t.Errorf("data that were changed on the way: %+v", r)
	}
	if token, _ := b.objects(); token != 2 {
		t.Errorf("%d objects, want 2", token)
	}
}

// What is not sound is refused with words, not with a panic.
func TestUnsound(t *testing.T) {
	b := newBench(t)
	aes := b.generated("aes")
	for name, o := range map[string]Object{
		"nothing":          {},
		"no class":         {Attrs: []ck.Attribute{ck.NewBytes(ck.CKA_LABEL, []byte("x"))}},
		"no key type":      {Attrs: []ck.Attribute{ck.NewULong(ck.CKA_CLASS, ck.CKO_SECRET_KEY)}},
		"an unknown type":  with(aes, ck.NewULong(ck.CKA_KEY_TYPE, uint64(0x30))),
		"a wrong length":   with(aes, ck.NewBytes(ck.CKA_VALUE, []byte("short"))),
		"no value":         with(aes, ck.NewBytes(ck.CKA_VALUE, nil)),
		"a certificate":    {Attrs: []ck.Attribute{ck.NewULong(ck.CKA_CLASS, ck.CKO_CERTIFICATE), ck.NewULong(ck.CKA_CERTIFICATE_TYPE, ck.CKC_X_509)}},
		"an unknown class": {Attrs: []ck.Attribute{ck.NewULong(ck.CKA_CLASS, uint64(77))}},
	} {
		if r := b.importer().Import(t.Context(), o); r.Status != Failed || r.Err == nil {
			t.Errorf("%s: %+v", name, r)
		}
	}
	if token, session := b.objects(); token != 0 || session != 0 {
		t.Errorf("%d objects are left, and %d of the session", token, session)
	}
}

// A private key that comes with a public key or certificate must fit it: by its
// identifier, or by its label where it has none.
func TestSourceTellsThePublicKey(t *testing.T) {
	b := newBench(t)
	id := func(o Object, id string) *Object {
		o = with(o, ck.NewBytes(ck.CKA_ID, []byte(id)))
		return &o
	}
	public := func(o *Object) *Object {
		j := &job{Object: *o}
		j.sort()
		if err := j.identify(); err != nil {
			t.Fatal(err)
		}
		_, values, err := engine.UnmarshalPublicKey(j.public)
		if err != nil {
			t.Fatal(err)
		}
		return &Object{Attrs: append([]ck.Attribute{ck.NewULong(ck.CKA_CLASS, ck.CKO_PUBLIC_KEY), ck.NewULong(ck.CKA_KEY_TYPE, j.keyType),
			ck.NewBytes(ck.CKA_ID, o.value(ck.CKA_ID)), ck.NewBytes(ck.CKA_LABEL, o.value(ck.CKA_LABEL))}, values...)}
	}
	one, two, nameless := id(b.generated("ec"), "1"), id(b.generated("ec"), "1"), id(b.generated("rsa"), "")
	ed := id(b.generated("ed25519"), "1") // another type under the same identifier
	stray := id(b.generated("ec"), "2")
	list := []*Object{public(one), one, public(two), two, nameless, public(nameless), ed, public(id(b.generated("ec"), "2")), stray}
	Arrange(list)
	for _, c := range []struct {
		o    *Object
		want string
	}{{one, ", against"}, {two, ", against"}, {nameless, ", against"}, {ed, "signed and verified with CKM_EDDSA"}} {
		if r := b.mustImport(*c.o); !strings.Contains(r.Proof, c.want) || c.o == ed && strings.Contains(r.Proof, "against") {
			t.Errorf("%q", r.Proof)
		}
	}
	im := b.importer()
	if r := im.Import(t.Context(), *stray); r.Status != Failed || !errors.Is(r.Err, errOtherPublic) {
		t.Errorf("a key with the public key of another: %+v", r)
	}
	im.Mismatched = true
	if r := im.Import(t.Context(), *stray); r.Status != Imported || !slices.ContainsFunc(r.Lost, func(l Loss) bool { return strings.Contains(l.What, "tie") }) {
		t.Errorf("the same, wanted all the same: %+v", r)
	}
	if list[0].Class() != ck.CKO_PRIVATE_KEY || list[len(list)-1].Class() != ck.CKO_PUBLIC_KEY {
		t.Error("private keys do not come first")
	}
}
