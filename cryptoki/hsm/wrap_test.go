package hsm

import (
	"bytes"
	"testing"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/cryptoki/p11"
	"github.com/perilune/perilune/engine"
)

func (b *bench) wrap(m *ck.Mechanism, wrapping, key ck.ObjectHandle) []byte {
	b.t.Helper()
	q := &p11.WrapKey{Session: b.s, Mechanism: m, WrappingKey: wrapping, Key: key, Out: p11.Output{Query: true}}
	n := ok(b, q).N
	q.Out = p11.Output{Buf: make([]byte, n-1)}
	if got := fails(b, ck.CKR_BUFFER_TOO_SMALL, q).N; got != n {
		b.t.Errorf("%v: needs %d, after a query said %d", m.Type, got, n)
	}
	sameBytes(b.t, "buffer", q.Out.Buf, make([]byte, n-1))
	q.Out.Buf = make([]byte, n)
	return q.Out.Buf[:ok(b, q).N]
}

func newKey(class ck.ObjectClass, kt ck.KeyType, attrs ...ck.Attribute) []ck.Attribute {
	return append([]ck.Attribute{
		ck.NewULong(ck.CKA_CLASS, class), ck.NewULong(ck.CKA_KEY_TYPE, kt),
		ck.NewBool(ck.CKA_SENSITIVE, false), ck.NewBool(ck.CKA_EXTRACTABLE, true),
	}, attrs...)
}

func valueLen(n int) ck.Attribute { return ck.NewULong(ck.CKA_VALUE_LEN, uint64(n)) }

func (b *bench) unwrap(m *ck.Mechanism, key ck.ObjectHandle, wrapped []byte, template ...ck.Attribute) ck.ObjectHandle {
	b.t.Helper()
	return ok(b, &p11.UnwrapKey{Session: b.s, Mechanism: m, UnwrappingKey: key, Wrapped: wrapped, Template: template}).Object
}

func (b *bench) attr(o ck.ObjectHandle, t ck.AttributeType) []byte {
	b.t.Helper()
	return ok(b, &p11.GetAttributeValue{Session: b.s, Object: o, Types: []ck.AttributeType{t}}).Results[0].Value
}

func (b *bench) truth(o ck.ObjectHandle, t ck.AttributeType) bool {
	b.t.Helper()
	v, _ := ck.Bool(b.attr(o, t))
	return v
}

var extractable = []ck.Attribute{ck.NewBool(ck.CKA_EXTRACTABLE, true), ck.NewBool(ck.CKA_SENSITIVE, false)}

func TestWrapAndUnwrapSecretKeys(t *testing.T) {
	b := newBench(t)
	kek, pair := b.aes(), b.rsaPair()
	oaep := &engine.OAEPParams{HashAlg: ck.CKM_SHA256, MGF: ck.CKG_MGF1_SHA256, Source: ck.CKZ_DATA_SPECIFIED}
	gcm := &engine.GCMParams{IV: []byte("twelve bytes"), TagBits: 128}
	value := []byte("a secret value of 24 b..")
	for _, c := range []struct {
		m            *ck.Mechanism
		wrap, unwrap ck.ObjectHandle
		needsLen     bool
	}{
		{mech(ck.CKM_AES_ECB), kek, kek, true},
		{mech(ck.CKM_AES_CBC, testIV), kek, kek, true},
		{mech(ck.CKM_AES_CBC_PAD, testIV), kek, kek, false},
		{mech(ck.CKM_AES_KEY_WRAP), kek, kek, false},
		{mech(ck.CKM_AES_KEY_WRAP_KWP), kek, kek, false},
		{mech(ck.CKM_AES_GCM, gcm), kek, kek, false},
		{mech(ck.CKM_RSA_PKCS), pair.Public, pair.Private, false},
		{mech(ck.CKM_RSA_PKCS_OAEP, oaep), pair.Public, pair.Private, false},
		{mech(ck.CKM_RSA_X_509), pair.Public, pair.Private, true},
		{mech(ck.CKM_RSA_AES_KEY_WRAP, &engine.RSAAESKeyWrapParams{AESKeyBits: 256, OAEP: oaep}), pair.Public, pair.Private, false},
	} {
		t.Run(c.m.Type.String(), func(t *testing.T) {
			b := &bench{t, b.h, b.s}
			key := b.secret(ck.CKK_GENERIC_SECRET, value)
			wrapped := b.wrap(c.m, c.wrap, key)
			got := b.unwrap(c.m, c.unwrap, wrapped, newKey(ck.CKO_SECRET_KEY, ck.CKK_GENERIC_SECRET, valueLen(24))...)
			sameBytes(t, "value", b.attr(got, ck.CKA_VALUE), value)
			for _, no := range []ck.AttributeType{ck.CKA_LOCAL, ck.CKA_ALWAYS_SENSITIVE, ck.CKA_NEVER_EXTRACTABLE} {
				if b.truth(got, no) {
					t.Errorf("%v of an unwrapped key is true", no)
				}
			}
			if !c.needsLen {
				got = b.unwrap(c.m, c.unwrap, wrapped, newKey(ck.CKO_SECRET_KEY, ck.CKK_GENERIC_SECRET)...)
				sameBytes(t, "value without CKA_VALUE_LEN", b.attr(got, ck.CKA_VALUE), value)
				bad := &p11.UnwrapKey{Session: b.s, Mechanism: c.m, UnwrappingKey: c.unwrap, Wrapped: wrapped,
					Template: newKey(ck.CKO_SECRET_KEY, ck.CKK_GENERIC_SECRET, valueLen(10))}
				if c.m.Type == ck.CKM_RSA_PKCS { // TestUnwrapIsNoOracle
					bad.Template = newKey(ck.CKO_SECRET_KEY, ck.CKK_GENERIC_SECRET, valueLen(246))
				} else {
					fails(b, ck.CKR_WRAPPED_KEY_LEN_RANGE, bad)
					bad.Template = newKey(ck.CKO_SECRET_KEY, ck.CKK_GENERIC_SECRET, valueLen(25))
				}
				fails(b, ck.CKR_WRAPPED_KEY_LEN_RANGE, bad)
			}
			got = b.unwrap(c.m, c.unwrap, wrapped, newKey(ck.CKO_SECRET_KEY, ck.CKK_AES, valueLen(24), ck.NewBool(ck.CKA_TOKEN, true))...)
			sameBytes(t, "AES key", b.attr(got, ck.CKA_VALUE), value)
			fails(b, ck.CKR_WRAPPED_KEY_LEN_RANGE, &p11.UnwrapKey{Session: b.s, Mechanism: c.m, UnwrappingKey: c.unwrap, Wrapped: wrapped,
				Template: newKey(ck.CKO_SECRET_KEY, ck.CKK_AES, valueLen(20))})
		})
	}
}

// Mechanisms that pad with zeros do not recover the length.
func TestUnwrapCutsPadding(t *testing.T) {
	b := newBench(t)
	kek, pair := b.aes(), b.rsaPair()
	key := b.secret(ck.CKK_GENERIC_SECRET, []byte("ten bytes!"))
	for _, c := range []struct {
		m            *ck.Mechanism
		wrap, unwrap ck.ObjectHandle
		whole        int // length without CKA_VALUE_LEN; 0 if it must be given
		least        int // that CKA_VALUE_LEN may be
	}{
		{mech(ck.CKM_AES_ECB), kek, kek, 16, 1},
		{mech(ck.CKM_AES_CBC, testIV), kek, kek, 16, 1},
		{mech(ck.CKM_AES_KEY_WRAP), kek, kek, 16, 9},
		{mech(ck.CKM_RSA_X_509), pair.Public, pair.Private, 0, 1},
	} {
		t.Run(c.m.Type.String(), func(t *testing.T) {
			b := &bench{t, b.h, b.s}
			wrapped := b.wrap(c.m, c.wrap, key)
			got := b.unwrap(c.m, c.unwrap, wrapped, newKey(ck.CKO_SECRET_KEY, ck.CKK_GENERIC_SECRET, valueLen(10))...)
			sameBytes(t, "value", b.attr(got, ck.CKA_VALUE), []byte("ten bytes!"))
			q := &p11.UnwrapKey{Session: b.s, Mechanism: c.m, UnwrappingKey: c.unwrap, Wrapped: wrapped,
				Template: newKey(ck.CKO_SECRET_KEY, ck.CKK_GENERIC_SECRET)}
			if c.whole == 0 {
				fails(b, ck.CKR_TEMPLATE_INCOMPLETE, q)
			} else if got := b.attr(ok(b, q).Object, ck.CKA_VALUE); len(got) != c.whole {
				t.Errorf("%d bytes without CKA_VALUE_LEN", len(got))
			}
			q.Template = newKey(ck.CKO_SECRET_KEY, ck.CKK_GENERIC_SECRET, valueLen(c.least))
			ok(b, q)
			q.Template = newKey(ck.CKO_SECRET_KEY, ck.CKK_GENERIC_SECRET, valueLen(c.least-1))
			if c.least == 1 {
				fails(b, ck.CKR_ATTRIBUTE_VALUE_INVALID, q)
			} else {
				fails(b, ck.CKR_WRAPPED_KEY_LEN_RANGE, q)
			}
		})
	}
}

func TestWrapAndUnwrapPrivateKeys(t *testing.T) {
	b := newBench(t)
	kek := b.aes()
	rsa, ec := b.rsaPair(extractable...), b.ecPair(extractable...)
	data := bytes.Repeat([]byte{3}, 32)
	for _, m := range []*ck.Mechanism{
		mech(ck.CKM_AES_CBC_PAD, testIV), mech(ck.CKM_AES_KEY_WRAP), mech(ck.CKM_AES_KEY_WRAP_KWP),
	} {
		wrapped := b.wrap(m, kek, ec.Private)
		got := b.unwrap(m, kek, wrapped, newKey(ck.CKO_PRIVATE_KEY, ck.CKK_EC, yes(ck.CKA_SIGN)...)...)
		sig := b.whole(p11.OpSign, mech(ck.CKM_ECDSA), got, data)
		if rv := b.verify(mech(ck.CKM_ECDSA), ec.Public, data, sig); rv != ck.CKR_OK {
			t.Errorf("%v: %v", m.Type, rv)
		}
		wrong := &p11.UnwrapKey{Session: b.s, Mechanism: m, UnwrappingKey: kek, Wrapped: wrapped, Template: newKey(ck.CKO_PRIVATE_KEY, ck.CKK_RSA)}
		fails(b, ck.CKR_WRAPPED_KEY_INVALID, wrong)

		wrapped = b.wrap(m, kek, rsa.Private)
		got = b.unwrap(m, kek, wrapped, newKey(ck.CKO_PRIVATE_KEY, ck.CKK_RSA, yes(ck.CKA_SIGN)...)...)
		sig = b.whole(p11.OpSign, mech(ck.CKM_RSA_PKCS), got, data)
		if rv := b.verify(mech(ck.CKM_RSA_PKCS), rsa.Public, data, sig); rv != ck.CKR_OK {
			t.Errorf("%v: %v", m.Type, rv)
		}
	}
	// What is no private key, under a mechanism that cannot tell.
	junk := b.wrap(mech(ck.CKM_AES_CBC_PAD, testIV), kek, b.secret(ck.CKK_GENERIC_SECRET, []byte("junk, junk, junk, and junk again")))
	fails(b, ck.CKR_WRAPPED_KEY_INVALID, &p11.UnwrapKey{Session: b.s, Mechanism: mech(ck.CKM_AES_CBC_PAD, testIV), UnwrappingKey: kek,
		Wrapped: junk, Template: newKey(ck.CKO_PRIVATE_KEY, ck.CKK_RSA)})

	for _, m := range []*ck.Mechanism{mech(ck.CKM_AES_ECB), mech(ck.CKM_AES_CBC, testIV)} {
		fails(b, ck.CKR_KEY_NOT_WRAPPABLE, &p11.WrapKey{Session: b.s, Mechanism: m, WrappingKey: kek, Key: ec.Private})
		fails(b, ck.CKR_TEMPLATE_INCONSISTENT, &p11.UnwrapKey{Session: b.s, Mechanism: m, UnwrappingKey: kek, Wrapped: make([]byte, 32),
			Template: newKey(ck.CKO_PRIVATE_KEY, ck.CKK_EC)})
	}
	fails(b, ck.CKR_KEY_NOT_WRAPPABLE, &p11.WrapKey{Session: b.s, Mechanism: mech(ck.CKM_RSA_PKCS), WrappingKey: rsa.Public, Key: ec.Private})
}

// An encoding that is well-formed, of numbers that are no key.
func TestUnwrapImpossibleKey(t *testing.T) {
	b := newBench(t)
	kek, pair := b.aes(), b.ecPair(extractable...)
	kwp := mech(ck.CKM_AES_KEY_WRAP_KWP)
	der := b.whole(p11.OpDecrypt, kwp, kek, b.wrap(kwp, kek, pair.Private))
	value := b.attr(pair.Private, ck.CKA_VALUE)
	if !bytes.Contains(der, value) {
		t.Fatal("no PKCS #8 encoding of the key")
	}
	zero := bytes.Replace(der, value, make([]byte, len(value)), 1)
	fails(b, ck.CKR_WRAPPED_KEY_INVALID, &p11.UnwrapKey{Session: b.s, Mechanism: kwp, UnwrappingKey: kek,
		Wrapped: b.whole(p11.OpEncrypt, kwp, kek, zero), Template: newKey(ck.CKO_PRIVATE_KEY, ck.CKK_EC)})
	b.unwrap(kwp, kek, b.whole(p11.OpEncrypt, kwp, kek, der), newKey(ck.CKO_PRIVATE_KEY, ck.CKK_EC)...)
}

func TestWrapRefusals(t *testing.T) {
	b := newBench(t)
	kek, pair := b.aes(), b.rsaPair()
	key := b.secret(ck.CKK_GENERIC_SECRET, []byte("secret"))
	unextractable := b.secret(ck.CKK_GENERIC_SECRET, []byte("secret"))
	ok(b, &p11.SetAttributeValue{Session: b.s, Object: unextractable, Template: []ck.Attribute{ck.NewBool(ck.CKA_EXTRACTABLE, false)}})
	trustedOnly := b.secret(ck.CKK_GENERIC_SECRET, []byte("secret"), yes(ck.CKA_WRAP_WITH_TRUSTED)...)
	long := b.secret(ck.CKK_GENERIC_SECRET, bytes.Repeat([]byte{1}, 300))
	noWrap := b.secret(ck.CKK_AES, testAESKey, ck.NewBool(ck.CKA_WRAP, false))
	labelled := b.secret(ck.CKK_GENERIC_SECRET, []byte("secret"), ck.NewBytes(ck.CKA_LABEL, []byte("exportable")))
	choosy := b.aes(ck.Attribute{Type: ck.CKA_WRAP_TEMPLATE, Template: []ck.Attribute{
		ck.NewULong(ck.CKA_CLASS, ck.CKO_SECRET_KEY), ck.NewBytes(ck.CKA_LABEL, []byte("exportable")),
	}})
	kwp := mech(ck.CKM_AES_KEY_WRAP_KWP)
	for _, c := range []struct {
		name          string
		m             *ck.Mechanism
		wrapping, key ck.ObjectHandle
		want          ck.RV
	}{
		{"fine", kwp, kek, key, ck.CKR_OK},
		{"no mechanism", nil, kek, key, ck.CKR_ARGUMENTS_BAD},
		{"not for wrapping", mech(ck.CKM_SHA256), kek, key, ck.CKR_MECHANISM_INVALID},
		{"no wrapping key", kwp, 4711, key, ck.CKR_WRAPPING_KEY_HANDLE_INVALID},
		{"no key", kwp, kek, 4711, ck.CKR_KEY_HANDLE_INVALID},
		{"type of the wrapping key", mech(ck.CKM_RSA_PKCS), kek, key, ck.CKR_WRAPPING_KEY_TYPE_INCONSISTENT},
		{"CKA_WRAP", kwp, noWrap, key, ck.CKR_KEY_FUNCTION_NOT_PERMITTED},
		{"private key wraps", mech(ck.CKM_RSA_PKCS), pair.Private, key, ck.CKR_KEY_FUNCTION_NOT_PERMITTED},
		{"public key", kwp, kek, pair.Public, ck.CKR_KEY_NOT_WRAPPABLE},
		{"CKA_EXTRACTABLE", kwp, kek, unextractable, ck.CKR_KEY_UNEXTRACTABLE},
		{"CKA_EXTRACTABLE of a private key", kwp, kek, pair.Private, ck.CKR_KEY_UNEXTRACTABLE},
		{"CKA_WRAP_WITH_TRUSTED", kwp, kek, trustedOnly, ck.CKR_KEY_NOT_WRAPPABLE},
		{"CKA_WRAP_TEMPLATE", kwp, choosy, key, ck.CKR_KEY_HANDLE_INVALID},
		{"CKA_WRAP_TEMPLATE satisfied", kwp, choosy, labelled, ck.CKR_OK},
		{"too long", mech(ck.CKM_RSA_PKCS), pair.Public, long, ck.CKR_KEY_SIZE_RANGE},
		{"too long for raw RSA", mech(ck.CKM_RSA_X_509), pair.Public, long, ck.CKR_KEY_SIZE_RANGE},
		{"parameter", mech(ck.CKM_AES_CBC, testIV[1:]), kek, key, ck.CKR_MECHANISM_PARAM_INVALID},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := &bench{t, b.h, b.s}
			fails(b, c.want, &p11.WrapKey{Session: b.s, Mechanism: c.m, WrappingKey: c.wrapping, Key: c.key, Out: p11.Output{Buf: make([]byte, 300)}})
		})
	}
}

func TestWrapWithTrusted(t *testing.T) {
	b := newBench(t)
	kek := b.secret(ck.CKK_AES, testAESKey, with(allUses, yes(ck.CKA_TOKEN), []ck.Attribute{ck.NewBool(ck.CKA_PRIVATE, false)})...)
	key := b.secret(ck.CKK_GENERIC_SECRET, []byte("secret"), yes(ck.CKA_WRAP_WITH_TRUSTED, ck.CKA_TOKEN)...)
	q := &p11.WrapKey{Session: b.s, Mechanism: mech(ck.CKM_AES_KEY_WRAP_KWP), WrappingKey: kek, Key: key, Out: p11.Output{Buf: make([]byte, 64)}}
	fails(b, ck.CKR_KEY_NOT_WRAPPABLE, q)
	ok(b, &p11.Logout{Session: b.s})
	must(t, b.h, &p11.Login{Session: b.s, User: ck.CKU_SO, PIN: []byte(soPIN)})
	ok(b, &p11.SetAttributeValue{Session: b.s, Object: kek, Template: yes(ck.CKA_TRUSTED)})
	ok(b, &p11.Logout{Session: b.s})
	login(t, b.h, b.s)
	ok(b, q)
}

func TestUnwrapRefusals(t *testing.T) {
	b := newBench(t)
	kek, pair := b.aes(), b.rsaPair()
	noUnwrap := b.secret(ck.CKK_AES, testAESKey, ck.NewBool(ck.CKA_UNWRAP, false))
	kwp := mech(ck.CKM_AES_KEY_WRAP_KWP)
	wrapped := b.wrap(kwp, kek, b.secret(ck.CKK_GENERIC_SECRET, []byte("secret of 16 by.")))
	damaged := bytes.Clone(wrapped)
	damaged[3] ^= 1
	generic := newKey(ck.CKO_SECRET_KEY, ck.CKK_GENERIC_SECRET)
	cbcpad := mech(ck.CKM_AES_CBC_PAD, testIV)
	for _, c := range []struct {
		name     string
		m        *ck.Mechanism
		key      ck.ObjectHandle
		wrapped  []byte
		template []ck.Attribute
		want     ck.RV
	}{
		{"fine", kwp, kek, wrapped, generic, ck.CKR_OK},
		{"no mechanism", nil, kek, wrapped, generic, ck.CKR_ARGUMENTS_BAD},
		{"not for unwrapping", mech(ck.CKM_SHA256), kek, wrapped, generic, ck.CKR_MECHANISM_INVALID},
		{"no key", kwp, 4711, wrapped, generic, ck.CKR_UNWRAPPING_KEY_HANDLE_INVALID},
		{"type of the key", mech(ck.CKM_RSA_PKCS), kek, wrapped, generic, ck.CKR_UNWRAPPING_KEY_TYPE_INCONSISTENT},
		{"CKA_UNWRAP", kwp, noUnwrap, wrapped, generic, ck.CKR_KEY_FUNCTION_NOT_PERMITTED},
		{"public key unwraps", mech(ck.CKM_RSA_PKCS), pair.Public, wrapped, generic, ck.CKR_KEY_FUNCTION_NOT_PERMITTED},
		{"no class", kwp, kek, wrapped, generic[1:], ck.CKR_TEMPLATE_INCOMPLETE},
		{"no key type", kwp, kek, wrapped, generic[:1], ck.CKR_TEMPLATE_INCOMPLETE},
		{"class", kwp, kek, wrapped, newKey(ck.CKO_PUBLIC_KEY, ck.CKK_RSA), ck.CKR_TEMPLATE_INCONSISTENT},
		{"unknown key type", kwp, kek, wrapped, newKey(ck.CKO_SECRET_KEY, 0x777), ck.CKR_ATTRIBUTE_VALUE_INVALID},
		{"secret key of a pair's type", kwp, kek, wrapped, newKey(ck.CKO_SECRET_KEY, ck.CKK_RSA), ck.CKR_ATTRIBUTE_VALUE_INVALID},
		{"private key of a secret type", kwp, kek, wrapped, newKey(ck.CKO_PRIVATE_KEY, ck.CKK_AES), ck.CKR_TEMPLATE_INCONSISTENT},
		{"key type malformed", kwp, kek, wrapped, append(with(generic[:1]), ck.NewBytes(ck.CKA_KEY_TYPE, []byte{1})), ck.CKR_ATTRIBUTE_VALUE_INVALID},
		{"length malformed", kwp, kek, wrapped, append(with(generic), ck.NewBytes(ck.CKA_VALUE_LEN, []byte{1})), ck.CKR_ATTRIBUTE_VALUE_INVALID},
		{"absurd length", kwp, kek, wrapped, append(with(generic), ck.NewULong(ck.CKA_VALUE_LEN, ^uint64(0))), ck.CKR_ATTRIBUTE_VALUE_INVALID},
		{"unknown attribute", kwp, kek, wrapped, append(with(generic), ck.NewBytes(0x7ffffff0, nil)), ck.CKR_ATTRIBUTE_TYPE_INVALID},
		{"damaged", kwp, kek, damaged, generic, ck.CKR_WRAPPED_KEY_INVALID},
		{"cut off", kwp, kek, wrapped[1:], generic, ck.CKR_WRAPPED_KEY_LEN_RANGE},
		{"empty", kwp, kek, nil, generic, ck.CKR_WRAPPED_KEY_LEN_RANGE},
		{"padding", cbcpad, kek, cbc(make([]byte, 32)), generic, ck.CKR_WRAPPED_KEY_INVALID},
		{"no whole blocks", cbcpad, kek, make([]byte, 33), generic, ck.CKR_WRAPPED_KEY_LEN_RANGE},
		{"nothing left", cbcpad, kek, cbcPadded(nil), generic, ck.CKR_WRAPPED_KEY_LEN_RANGE},
		{"no length of the key type", cbcpad, kek, cbcPadded([]byte("15 bytes, sadly")), newKey(ck.CKO_SECRET_KEY, ck.CKK_AES), ck.CKR_WRAPPED_KEY_LEN_RANGE},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := &bench{t, b.h, b.s}
			fails(b, c.want, &p11.UnwrapKey{Session: b.s, Mechanism: c.m, UnwrappingKey: c.key, Wrapped: c.wrapped, Template: c.template})
		})
	}
	ro := b.on(ok(b, &p11.OpenSession{Flags: ck.CKF_SERIAL_SESSION}).Session)
	fails(ro, ck.CKR_SESSION_READ_ONLY, &p11.UnwrapKey{Session: ro.s, Mechanism: kwp, UnwrappingKey: kek, Wrapped: wrapped, Template: append(with(generic), yes(ck.CKA_TOKEN)...)})
	ro.unwrap(kwp, kek, wrapped, generic...)
}

// Under PKCS #1 v1.5 nothing tells a bad padding, or a key of another length than
// the template's, from a good one: there is a key in any case.
func TestUnwrapIsNoOracle(t *testing.T) {
	b := newBench(t)
	pair := b.rsaPair()
	m := mech(ck.CKM_RSA_PKCS)
	good := b.whole(p11.OpEncrypt, m, pair.Public, []byte("sixteen bytes..."))
	badPadding := b.whole(p11.OpEncrypt, mech(ck.CKM_RSA_X_509), pair.Public, []byte("no padding at all"))
	otherLength := b.whole(p11.OpEncrypt, m, pair.Public, []byte("seventeen bytes.."))
	template := newKey(ck.CKO_SECRET_KEY, ck.CKK_GENERIC_SECRET, valueLen(16))
	sameBytes(t, "good", b.attr(b.unwrap(m, pair.Private, good, template...), ck.CKA_VALUE), []byte("sixteen bytes..."))
	for _, wrapped := range [][]byte{badPadding, otherLength} {
		got := b.attr(b.unwrap(m, pair.Private, wrapped, template...), ck.CKA_VALUE)
		if len(got) != 16 || bytes.Contains([]byte("no padding at all, seventeen bytes.."), got) {
			t.Errorf("got %q", got)
		}
		sameBytes(t, "again", b.attr(b.unwrap(m, pair.Private, wrapped, template...), ck.CKA_VALUE), got)
	}
}

// C_UnwrapKey has no place for the login that such a key needs.
func TestUnwrapAlwaysAuthenticate(t *testing.T) {
	b := newBench(t)
	pair := b.rsaPair(yes(ck.CKA_ALWAYS_AUTHENTICATE, ck.CKA_PRIVATE)...)
	m := mech(ck.CKM_RSA_PKCS)
	wrapped := b.wrap(m, pair.Public, b.secret(ck.CKK_GENERIC_SECRET, []byte("secret")))
	fails(b, ck.CKR_USER_NOT_LOGGED_IN, &p11.UnwrapKey{Session: b.s, Mechanism: m, UnwrappingKey: pair.Private, Wrapped: wrapped,
		Template: newKey(ck.CKO_SECRET_KEY, ck.CKK_GENERIC_SECRET)})
}

func TestSecretFrom(t *testing.T) {
	plain := []byte("0123456789abcdef")
	block := engine.Wrapped{Zeros: 7}
	for _, c := range []struct {
		rule   engine.Wrapped
		kt     ck.KeyType
		length int
		plain  []byte
		want   string
	}{
		{engine.Wrapped{}, ck.CKK_GENERIC_SECRET, 0, plain, "0123456789abcdef"},
		{engine.Wrapped{}, ck.CKK_GENERIC_SECRET, 16, plain, "0123456789abcdef"},
		{engine.Wrapped{}, ck.CKK_GENERIC_SECRET, 15, plain, ""},
		{engine.Wrapped{}, ck.CKK_GENERIC_SECRET, 17, plain, ""},
		{engine.Wrapped{}, ck.CKK_GENERIC_SECRET, 0, nil, ""},
		{engine.Wrapped{}, ck.CKK_AES, 0, plain[1:], ""},
		{block, ck.CKK_GENERIC_SECRET, 9, plain, "012345678"},
		{block, ck.CKK_GENERIC_SECRET, 8, plain, ""},
		{block, ck.CKK_GENERIC_SECRET, 17, plain, ""},
		{engine.Wrapped{Last: true}, ck.CKK_GENERIC_SECRET, 3, plain, "def"},
		{engine.Wrapped{Last: true}, ck.CKK_GENERIC_SECRET, 17, plain, ""},
	} {
		got, err := secretFrom(c.rule, c.kt, c.length, c.plain)
		if string(got) != c.want || (err == nil) != (c.want != "") || err != nil && ck.RVOf(err) != ck.CKR_WRAPPED_KEY_LEN_RANGE {
			t.Errorf("%+v: %q, %v", c, got, err)
		}
	}
}

func TestUnwrapTemplate(t *testing.T) {
	b := newBench(t)
	key := b.secret(ck.CKK_GENERIC_SECRET, []byte("sixteen bytes..."))
	kwp := mech(ck.CKM_AES_KEY_WRAP_KWP)
	wrapped := b.wrap(kwp, b.aes(), key)
	strict := b.aes(ck.Attribute{Type: ck.CKA_UNWRAP_TEMPLATE, Template: []ck.Attribute{
		ck.NewULong(ck.CKA_CLASS, ck.CKO_SECRET_KEY), ck.NewULong(ck.CKA_KEY_TYPE, ck.CKK_AES),
		ck.NewBool(ck.CKA_EXTRACTABLE, false), ck.NewBool(ck.CKA_ENCRYPT, true),
	}})
	got := b.unwrap(kwp, strict, wrapped)
	if b.truth(got, ck.CKA_EXTRACTABLE) || !b.truth(got, ck.CKA_ENCRYPT) {
		t.Error("CKA_UNWRAP_TEMPLATE was not applied")
	}
	if kt, _ := ck.ULong(b.attr(got, ck.CKA_KEY_TYPE)); ck.KeyType(kt) != ck.CKK_AES {
		t.Error("key type", kt)
	}
	q := &p11.UnwrapKey{Session: b.s, Mechanism: kwp, UnwrappingKey: strict, Wrapped: wrapped, Template: []ck.Attribute{ck.NewBool(ck.CKA_EXTRACTABLE, true)}}
	fails(b, ck.CKR_TEMPLATE_INCONSISTENT, q)
	q.Template = newKey(ck.CKO_SECRET_KEY, ck.CKK_GENERIC_SECRET)[:2]
	fails(b, ck.CKR_TEMPLATE_INCONSISTENT, q)
}
