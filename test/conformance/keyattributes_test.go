package conformance

import (
	"bytes"
	"crypto/aes"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/x509"
	"testing"
	"unsafe"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/test/c11"
)

// CKA_UNIQUE_ID (section 4.4.1): of every object, never two the same, never to
// be chosen or changed.
func TestUniqueID(t *testing.T) {
	if !apart(t) {
		return
	}
	c := open(t)
	pub, priv := c.ec(p256)
	objects := []uint64{pub, priv, c.generate(ck.CKM_AES_KEY_GEN, ulong(ck.CKA_VALUE_LEN, uint64(16))),
		c.object(class(ck.CKO_DATA), boolean(ck.CKA_TOKEN, true), text(ck.CKA_VALUE, "v"))}
	h := c.ULong(0)
	c.must("C_CopyObject", c.s, objects[3], nil, 0, h)
	objects = append(objects, c11.Number(h))
	seen := map[string]bool{}
	for _, o := range objects {
		id := c.get(o, ck.CKA_UNIQUE_ID)
		if len(id) == 0 || seen[string(id)] {
			t.Errorf("CKA_UNIQUE_ID %q", id)
		}
		seen[string(id)] = true
		if found := c.find(c.s, bytesOf(ck.CKA_UNIQUE_ID, id)); len(found) != 1 || found[0] != o {
			t.Errorf("a search by CKA_UNIQUE_ID finds %v, not %d", found, o)
		}
		c.want("setting it", c.set(o, text(ck.CKA_UNIQUE_ID, "mine")), ck.CKR_ATTRIBUTE_READ_ONLY)
	}
	_, rv := c.tryObject(with(secret(ck.CKK_AES, sequence(16)), text(ck.CKA_UNIQUE_ID, "mine"))...)
	c.want("creating with it", rv, ck.CKR_ATTRIBUTE_READ_ONLY)
	before := c.get(objects[3], ck.CKA_UNIQUE_ID)
	c.ok("C_SetAttributeValue", c.set(objects[3], text(ck.CKA_LABEL, "new")))
	if !bytes.Equal(c.get(objects[3], ck.CKA_UNIQUE_ID), before) {
		t.Error("CKA_UNIQUE_ID changed with the label")
	}
}

// CKA_ALLOWED_MECHANISMS (section 4.7): enforced by every Init, by wrapping,
// unwrapping and derivation.
func TestAllowedMechanisms(t *testing.T) {
	if !apart(t) {
		return
	}
	c := open(t)
	only := func(m ...ck.MechanismType) ck.Attribute {
		return bytesOf(ck.CKA_ALLOWED_MECHANISMS, ck.PutMechanismTypes(m...))
	}
	ecb := c.object(with(secret(ck.CKK_AES, sequence(16)), only(ck.CKM_AES_ECB))...)
	mac := c.object(with(secret(ck.CKK_AES, sequence(16)), only(ck.CKM_AES_CMAC, ck.CKM_AES_KEY_WRAP))...)
	target := c.object(secret(ck.CKK_AES, sequence(16))...)
	bad := ck.RV(ck.CKR_MECHANISM_INVALID)
	out, h := c.Alloc(256), c.ULong(0)
	n := func() unsafe.Pointer { return c.ULong(256) }
	m := func(t ck.MechanismType) unsafe.Pointer { return c.Mechanism(t, nil) }
	cbc := c.Mechanism(ck.CKM_AES_CBC, sequence(16))
	c.must("C_EncryptInit", c.s, m(ck.CKM_AES_ECB), ecb)
	c.must("C_DecryptInit", c.s, m(ck.CKM_AES_ECB), ecb)
	c.must("C_SessionCancel", c.s, uint64(ck.CKF_ENCRYPT|ck.CKF_DECRYPT))
	c.refuses(bad, "C_EncryptInit", c.s, cbc, ecb)
	c.refuses(bad, "C_DecryptInit", c.s, cbc, ecb)
	c.refuses(bad, "C_SignInit", c.s, m(ck.CKM_AES_CMAC), ecb)
	c.refuses(bad, "C_VerifyInit", c.s, m(ck.CKM_AES_CMAC), ecb)
	c.refuses(bad, "C_MessageEncryptInit", c.s, m(ck.CKM_AES_GCM), ecb)
	c.refuses(bad, "C_MessageDecryptInit", c.s, m(ck.CKM_AES_GCM), ecb)
	c.refuses(bad, "C_WrapKey", c.s, m(ck.CKM_AES_KEY_WRAP), ecb, target, out, n())
	c.refuses(bad, "C_UnwrapKey", c.s, m(ck.CKM_AES_KEY_WRAP), ecb, out, 24, c.Template(class(ck.CKO_SECRET_KEY), keyType(ck.CKK_AES)), 2, h)
	c.refuses(bad, "C_DeriveKey", c.s, m(ck.CKM_SHA256_KEY_DERIVATION), ecb, nil, 0, h)
	c.must("C_WrapKey", c.s, m(ck.CKM_AES_KEY_WRAP), mac, target, out, n())
	c.must("C_SignInit", c.s, m(ck.CKM_AES_CMAC), mac)
	c.refuses(bad, "C_EncryptInit", c.s, m(ck.CKM_AES_ECB), mac)

	_, priv := c.rsa(only(ck.CKM_SHA256_RSA_PKCS))
	c.must("C_SessionCancel", c.s, uint64(ck.CKF_SIGN))
	c.refuses(bad, "C_SignInit", c.s, m(ck.CKM_RSA_PKCS), priv)
	c.refuses(bad, "C_SignRecoverInit", c.s, m(ck.CKM_RSA_PKCS), priv)
	c.refuses(bad, "C_DecryptInit", c.s, m(ck.CKM_RSA_PKCS), priv)
	c.must("C_SignInit", c.s, m(ck.CKM_SHA256_RSA_PKCS), priv)
	c.want("changing the list", c.set(mac, only(ck.CKM_AES_ECB)), ck.CKR_ATTRIBUTE_READ_ONLY)
}

// wrap is C_WrapKey.
func (c *client) wrap(m unsafe.Pointer, wrapping, key uint64) ([]byte, ck.RV) {
	out, n := c.Alloc(4096), c.ULong(4096)
	rv := c.Call("C_WrapKey", c.s, m, wrapping, key, out, n)
	if rv != ck.CKR_OK {
		return nil, rv
	}
	return c11.Peek(out, int(c11.Number(n))), rv
}

// unwrap is C_UnwrapKey.
func (c *client) unwrap(m unsafe.Pointer, key uint64, wrapped []byte, list ...ck.Attribute) (uint64, ck.RV) {
	h := c.ULong(0)
	rv := c.Call("C_UnwrapKey", c.s, m, key, c.Bytes(wrapped), len(wrapped), c.Template(list...), len(list), h)
	return c11.Number(h), rv
}

// derive is C_DeriveKey.
func (c *client) derive(m unsafe.Pointer, key uint64, list ...ck.Attribute) (uint64, ck.RV) {
	h := c.ULong(0)
	rv := c.Call("C_DeriveKey", c.s, m, key, c.Template(list...), len(list), h)
	return c11.Number(h), rv
}

// CKA_WRAP_TEMPLATE, CKA_UNWRAP_TEMPLATE and CKA_DERIVE_TEMPLATE (sections
// 4.8 to 4.10, 5.18.3 to 5.18.5).
func TestKeyTemplates(t *testing.T) {
	if !apart(t) {
		return
	}
	c := open(t)
	kw := func() unsafe.Pointer { return c.Mechanism(ck.CKM_AES_KEY_WRAP, nil) }
	k := c.object(with(secret(ck.CKK_AES, sequence(32)),
		template(ck.CKA_WRAP_TEMPLATE, keyType(ck.CKK_AES), text(ck.CKA_LABEL, "may leave")),
		template(ck.CKA_UNWRAP_TEMPLATE, boolean(ck.CKA_EXTRACTABLE, false), boolean(ck.CKA_SENSITIVE, true), text(ck.CKA_LABEL, "from outside")),
		template(ck.CKA_DERIVE_TEMPLATE, boolean(ck.CKA_SENSITIVE, true), text(ck.CKA_LABEL, "derived")),
	)...)
	good := c.object(with(secret(ck.CKK_AES, sequence(16)), text(ck.CKA_LABEL, "may leave"))...)
	otherLabel := c.object(with(secret(ck.CKK_AES, sequence(16)), text(ck.CKA_LABEL, "stays"))...)
	otherType := c.object(with(secret(ck.CKK_GENERIC_SECRET, sequence(16)), text(ck.CKA_LABEL, "may leave"))...)
	wrapped, rv := c.wrap(kw(), k, good)
	c.ok("C_WrapKey of a key that matches", rv)
	for _, o := range []uint64{otherLabel, otherType} {
		_, rv := c.wrap(kw(), k, o)
		c.want("C_WrapKey of one that does not", rv, ck.CKR_KEY_HANDLE_INVALID)
	}

	base := []ck.Attribute{class(ck.CKO_SECRET_KEY), keyType(ck.CKK_AES), boolean(ck.CKA_TOKEN, false)}
	o, rv := c.unwrap(kw(), k, wrapped, base...)
	c.ok("C_UnwrapKey", rv)
	if c.getBool(o, ck.CKA_EXTRACTABLE) || !c.getBool(o, ck.CKA_SENSITIVE) || string(c.get(o, ck.CKA_LABEL)) != "from outside" {
		t.Error("CKA_UNWRAP_TEMPLATE was not applied")
	}
	_, rv = c.unwrap(kw(), k, wrapped, with(base, boolean(ck.CKA_EXTRACTABLE, false))...)
	c.ok("C_UnwrapKey with a template that agrees", rv)
	for _, a := range []ck.Attribute{boolean(ck.CKA_EXTRACTABLE, true), boolean(ck.CKA_SENSITIVE, false), text(ck.CKA_LABEL, "other")} {
		_, rv = c.unwrap(kw(), k, wrapped, with(base, a)...)
		c.want("C_UnwrapKey against the template", rv, ck.CKR_TEMPLATE_INCONSISTENT)
	}

	sha := func() unsafe.Pointer { return c.Mechanism(ck.CKM_SHA256_KEY_DERIVATION, nil) }
	o, rv = c.derive(sha(), k, class(ck.CKO_SECRET_KEY), keyType(ck.CKK_GENERIC_SECRET))
	c.ok("C_DeriveKey", rv)
	if !c.getBool(o, ck.CKA_SENSITIVE) || string(c.get(o, ck.CKA_LABEL)) != "derived" {
		t.Error("CKA_DERIVE_TEMPLATE was not applied")
	}
	_, rv = c.derive(sha(), k, boolean(ck.CKA_SENSITIVE, false))
	c.want("C_DeriveKey against the template", rv, ck.CKR_TEMPLATE_INCONSISTENT)

	// The templates go with generated pairs, too, each with its half.
	pub, priv := c.pair(ck.CKM_RSA_PKCS_KEY_PAIR_GEN,
		with(yes(ck.CKA_WRAP), ulong(ck.CKA_MODULUS_BITS, uint64(2048)), template(ck.CKA_WRAP_TEMPLATE, text(ck.CKA_LABEL, "may leave"))),
		with(yes(ck.CKA_UNWRAP), template(ck.CKA_UNWRAP_TEMPLATE, text(ck.CKA_LABEL, "x"))))
	pkcs := func() unsafe.Pointer { return c.Mechanism(ck.CKM_RSA_PKCS, nil) }
	_, rv = c.wrap(pkcs(), pub, otherLabel)
	c.want("C_WrapKey under RSA", rv, ck.CKR_KEY_HANDLE_INVALID)
	wrapped, rv = c.wrap(pkcs(), pub, good)
	c.ok("C_WrapKey under RSA", rv)
	o, rv = c.unwrap(pkcs(), priv, wrapped, base...)
	c.ok("C_UnwrapKey under RSA", rv)
	if string(c.get(o, ck.CKA_LABEL)) != "x" {
		t.Error("CKA_UNWRAP_TEMPLATE of a private key was not applied")
	}
}

// CKA_CHECK_VALUE (section 4.10.2): the first three bytes of a zero block
// encrypted, or of the SHA-1 of what is no block cipher's key.
func TestCheckValue(t *testing.T) {
	if !apart(t) {
		return
	}
	c := open(t)
	for _, n := range []int{16, 24, 32} {
		block, err := aes.NewCipher(sequence(n))
		if err != nil {
			t.Fatal(err)
		}
		zero := make([]byte, 16)
		block.Encrypt(zero, zero)
		o := c.object(secret(ck.CKK_AES, sequence(n))...)
		if got := c.get(o, ck.CKA_CHECK_VALUE); !bytes.Equal(got, zero[:3]) {
			t.Errorf("AES: %x, want %x", got, zero[:3])
		}
		// A right one may be given, a wrong one not, an empty one means none.
		_, rv := c.tryObject(with(secret(ck.CKK_AES, sequence(n)), bytesOf(ck.CKA_CHECK_VALUE, zero[:3]))...)
		c.ok("with the right value", rv)
		_, rv = c.tryObject(with(secret(ck.CKK_AES, sequence(n)), bytesOf(ck.CKA_CHECK_VALUE, []byte{1, 2, 3}))...)
		c.want("with a wrong value", rv, ck.CKR_ATTRIBUTE_VALUE_INVALID)
		o, rv = c.tryObject(with(secret(ck.CKK_AES, sequence(n)), bytesOf(ck.CKA_CHECK_VALUE, nil))...)
		c.ok("with an empty value", rv)
		if got, rv := c.Get(c.s, o, ck.CKA_CHECK_VALUE); rv == ck.CKR_OK && len(got) != 0 {
			t.Errorf("a check value that was not wanted: %x", got)
		}
	}
	sum := sha1.Sum(sequence(20))
	o := c.object(secret(ck.CKK_GENERIC_SECRET, sequence(20))...)
	if got := c.get(o, ck.CKA_CHECK_VALUE); !bytes.Equal(got, sum[:3]) {
		t.Errorf("generic secret: %x, want %x", got, sum[:3])
	}
	g := c.generate(ck.CKM_AES_KEY_GEN, ulong(ck.CKA_VALUE_LEN, uint64(32)))
	if got := c.get(g, ck.CKA_CHECK_VALUE); len(got) != 3 {
		t.Errorf("generated key: %x", got)
	}
	// Of a certificate: the beginning of the SHA-1 of it (section 4.6.2).
	cert := []byte("a certificate, as far as the token can tell")
	sum = sha1.Sum(cert)
	o = c.object(class(ck.CKO_CERTIFICATE), ulong(ck.CKA_CERTIFICATE_TYPE, ck.CKC_X_509), bytesOf(ck.CKA_SUBJECT, []byte{0x30, 0}), bytesOf(ck.CKA_VALUE, cert))
	if got := c.get(o, ck.CKA_CHECK_VALUE); !bytes.Equal(got, sum[:3]) {
		t.Errorf("certificate: %x, want %x", got, sum[:3])
	}
}

// CKA_PUBLIC_KEY_INFO (sections 4.6 to 4.9): the SubjectPublicKeyInfo of both
// halves.
func TestPublicKeyInfo(t *testing.T) {
	if !apart(t) {
		return
	}
	c := open(t)
	check := func(name string, pub, priv uint64, want any) {
		t.Helper()
		a, b := c.get(pub, ck.CKA_PUBLIC_KEY_INFO), c.get(priv, ck.CKA_PUBLIC_KEY_INFO)
		if !bytes.Equal(a, b) {
			t.Errorf("%s: the halves have different values", name)
		}
		k, err := x509.ParsePKIXPublicKey(a)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if want != nil {
			if eq, ok := k.(*rsa.PublicKey); !ok || !eq.Equal(want.(*rsa.PublicKey)) {
				t.Errorf("%s: another key", name)
			}
		}
		if found := c.find(c.s, bytesOf(ck.CKA_PUBLIC_KEY_INFO, a)); len(found) != 2 {
			t.Errorf("%s: a search finds %d objects", name, len(found))
		}
		c.ok("setting it to what it is", c.set(priv, bytesOf(ck.CKA_PUBLIC_KEY_INFO, a)))
		c.want("setting it to another", c.set(priv, bytesOf(ck.CKA_PUBLIC_KEY_INFO, []byte{0x30, 0})), ck.CKR_ATTRIBUTE_VALUE_INVALID, ck.CKR_ATTRIBUTE_READ_ONLY)
	}
	pub, priv := c.rsa()
	check("RSA", pub, priv, &rsaKey().PublicKey)
	for name, params := range map[string][]byte{"P-256": p256, "P-384": p384, "P-521": p521} {
		pub, priv = c.ec(params)
		check(name, pub, priv, nil)
		k, err := x509.ParsePKIXPublicKey(c.get(pub, ck.CKA_PUBLIC_KEY_INFO))
		if _, ok := k.(*ecdsa.PublicKey); err != nil || !ok {
			t.Errorf("%s: %T (%v)", name, k, err)
		}
	}
	pub, priv = c.pair(ck.CKM_EC_EDWARDS_KEY_PAIR_GEN, with(yes(ck.CKA_VERIFY), bytesOf(ck.CKA_EC_PARAMS, oid(1, 3, 101, 112))), yes(ck.CKA_SIGN))
	check("Ed25519", pub, priv, nil)
	pub, priv = c.pair(ck.CKM_EC_MONTGOMERY_KEY_PAIR_GEN, []ck.Attribute{bytesOf(ck.CKA_EC_PARAMS, oid(1, 3, 101, 110))}, yes(ck.CKA_DERIVE))
	check("X25519", pub, priv, nil)
	if k, err := x509.ParsePKIXPublicKey(c.get(pub, ck.CKA_PUBLIC_KEY_INFO)); err != nil {
		t.Error(err)
	} else if _, ok := k.(*ecdh.PublicKey); !ok {
		t.Errorf("X25519: %T", k)
	}
}

// history is where a key comes from, as its attributes tell.
type history struct {
	local, alwaysSensitive, neverExtractable bool
	mechanism                                ck.MechanismType
}

const noMechanism = ck.MechanismType(unavailable)

func (c *client) history(o uint64) history {
	return history{c.getBool(o, ck.CKA_LOCAL), c.getBool(o, ck.CKA_ALWAYS_SENSITIVE), c.getBool(o, ck.CKA_NEVER_EXTRACTABLE),
		ck.MechanismType(c.getULong(o, ck.CKA_KEY_GEN_MECHANISM))}
}

// CKA_LOCAL, CKA_KEY_GEN_MECHANISM, CKA_ALWAYS_SENSITIVE and
// CKA_NEVER_EXTRACTABLE (sections 4.7, 4.9, 4.10, 5.7.1, 5.18).
func TestHistory(t *testing.T) {
	if !apart(t) {
		return
	}
	c := open(t)
	aesGen := func(sensitive, extractable bool) uint64 {
		return c.generate(ck.CKM_AES_KEY_GEN, append(yes(ck.CKA_WRAP, ck.CKA_UNWRAP, ck.CKA_DERIVE, ck.CKA_ENCRYPT, ck.CKA_DECRYPT), ulong(ck.CKA_VALUE_LEN, uint64(32)),
			boolean(ck.CKA_SENSITIVE, sensitive), boolean(ck.CKA_EXTRACTABLE, extractable))...)
	}
	check := func(what string, o uint64, want history) {
		t.Helper()
		if got := c.history(o); got != want {
			t.Errorf("%s: %+v, want %+v", what, got, want)
		}
	}
	for _, sensitive := range []bool{false, true} {
		for _, extractable := range []bool{false, true} {
			o := aesGen(sensitive, extractable)
			check("generated", o, history{true, sensitive, !extractable, ck.CKM_AES_KEY_GEN})
			// Later changes do not rewrite history.
			c.ok("C_SetAttributeValue", c.set(o, boolean(ck.CKA_SENSITIVE, true), boolean(ck.CKA_EXTRACTABLE, false)))
			check("generated and changed", o, history{true, sensitive, !extractable, ck.CKM_AES_KEY_GEN})
			h := c.ULong(0)
			c.must("C_CopyObject", c.s, o, nil, 0, h)
			check("copied", c11.Number(h), history{true, sensitive, !extractable, ck.CKM_AES_KEY_GEN})
		}
	}
	check("created", c.object(with(secret(ck.CKK_AES, sequence(16))[:10], boolean(ck.CKA_SENSITIVE, true), boolean(ck.CKA_EXTRACTABLE, false))...),
		history{false, false, false, noMechanism})
	key, target := aesGen(true, true), aesGen(true, true)
	kw := c.Mechanism(ck.CKM_AES_KEY_WRAP, nil)
	wrapped, rv := c.wrap(kw, key, target)
	c.ok("C_WrapKey", rv)
	o, rv := c.unwrap(kw, key, wrapped, class(ck.CKO_SECRET_KEY), keyType(ck.CKK_AES), boolean(ck.CKA_SENSITIVE, true), boolean(ck.CKA_EXTRACTABLE, false))
	c.ok("C_UnwrapKey", rv)
	check("unwrapped", o, history{false, false, false, noMechanism})
	sha := func() unsafe.Pointer { return c.Mechanism(ck.CKM_SHA256_KEY_DERIVATION, nil) }
	for _, row := range []struct{ baseS, baseE, s, e bool }{
		{true, false, true, false}, {false, true, true, false}, {true, false, false, true}, {true, true, true, false}, {false, false, true, false},
	} {
		o, rv := c.derive(sha(), aesGen(row.baseS, row.baseE), boolean(ck.CKA_SENSITIVE, row.s), boolean(ck.CKA_EXTRACTABLE, row.e))
		c.ok("C_DeriveKey", rv)
		check("derived", o, history{false, row.baseS && row.s, !row.baseE && !row.e, noMechanism})
	}
	pub, priv := c.ec(p256)
	check("private key", priv, history{true, false, false, ck.CKM_EC_KEY_PAIR_GEN})
	if !c.getBool(pub, ck.CKA_LOCAL) || ck.MechanismType(c.getULong(pub, ck.CKA_KEY_GEN_MECHANISM)) != ck.CKM_EC_KEY_PAIR_GEN {
		t.Error("the public key's history")
	}
	for _, a := range append(yes(ck.CKA_LOCAL, ck.CKA_ALWAYS_SENSITIVE, ck.CKA_NEVER_EXTRACTABLE), ulong(ck.CKA_KEY_GEN_MECHANISM, ck.CKM_AES_KEY_GEN)) {
		_, rv := c.tryObject(with(secret(ck.CKK_AES, sequence(16)), a)...)
		c.want("creating with "+a.Type.String(), rv, ck.CKR_ATTRIBUTE_READ_ONLY)
		c.want("setting "+a.Type.String(), c.set(key, a), ck.CKR_ATTRIBUTE_READ_ONLY)
	}
	// One way only.
	c.want("CKA_SENSITIVE back", c.set(key, boolean(ck.CKA_SENSITIVE, false)), ck.CKR_ATTRIBUTE_READ_ONLY)
	c.ok("CKA_EXTRACTABLE to false", c.set(key, boolean(ck.CKA_EXTRACTABLE, false)))
	c.want("CKA_EXTRACTABLE back", c.set(key, boolean(ck.CKA_EXTRACTABLE, true)), ck.CKR_ATTRIBUTE_READ_ONLY)
	c.ok("CKA_WRAP_WITH_TRUSTED to true", c.set(key, boolean(ck.CKA_WRAP_WITH_TRUSTED, true)))
	c.want("CKA_WRAP_WITH_TRUSTED back", c.set(key, boolean(ck.CKA_WRAP_WITH_TRUSTED, false)), ck.CKR_ATTRIBUTE_READ_ONLY)
	// A sensitive key's value stays inside, an unextractable one's, too.
	for _, o := range []uint64{aesGen(true, true), aesGen(false, false)} {
		_, rv := c.Get(c.s, o, ck.CKA_VALUE)
		c.want("the value", rv, ck.CKR_ATTRIBUTE_SENSITIVE)
	}
}

// CKA_START_DATE and CKA_END_DATE (section 4.7): kept, not acted upon.
func TestDates(t *testing.T) {
	if !apart(t) {
		return
	}
	c := open(t)
	o := c.object(with(secret(ck.CKK_AES, sequence(16)), text(ck.CKA_START_DATE, "20200229"), text(ck.CKA_END_DATE, "20200301"))...)
	if string(c.get(o, ck.CKA_START_DATE)) != "20200229" || string(c.get(o, ck.CKA_END_DATE)) != "20200301" {
		t.Error("the dates are others")
	}
	c.must("C_EncryptInit", c.s, c.Mechanism(ck.CKM_AES_ECB, nil), o) // past its end
	plain := c.object(secret(ck.CKK_AES, sequence(16))...)
	if got := c.get(plain, ck.CKA_START_DATE); len(got) != 0 {
		t.Errorf("a date by default: %q", got)
	}
	c.ok("setting a date", c.set(plain, text(ck.CKA_START_DATE, "20261122")))
	c.ok("removing it", c.set(plain, bytesOf(ck.CKA_START_DATE, nil)))
	for _, bad := range []string{"2026", "20260230", "20261301", "2026112x", "202611220"} {
		c.want("the date "+bad, c.set(plain, text(ck.CKA_START_DATE, bad)), ck.CKR_ATTRIBUTE_VALUE_INVALID)
	}
}

// CKA_TRUSTED and CKA_WRAP_WITH_TRUSTED (sections 4.9, 4.10, 5.18.3).
func TestTrusted(t *testing.T) {
	if !apart(t) {
		return
	}
	c := open(t)
	list := secret(ck.CKK_AES, sequence(16))
	kek := c.object(with(list[:len(list)-1], boolean(ck.CKA_TOKEN, true), boolean(ck.CKA_PRIVATE, false), text(ck.CKA_LABEL, "kek"))...)
	key := c.object(with(secret(ck.CKK_AES, sequence(16)), boolean(ck.CKA_WRAP_WITH_TRUSTED, true))...)
	kw := c.Mechanism(ck.CKM_AES_KEY_WRAP, nil)
	_, rv := c.wrap(kw, kek, key)
	c.want("wrapping with a key that is not trusted", rv, ck.CKR_KEY_NOT_WRAPPABLE)
	c.want("trusting it as the user", c.set(kek, boolean(ck.CKA_TRUSTED, true)), ck.CKR_ATTRIBUTE_READ_ONLY)
	_, rv = c.tryObject(with(secret(ck.CKK_AES, sequence(16)), boolean(ck.CKA_TRUSTED, true))...)
	c.want("creating a trusted key as the user", rv, ck.CKR_ATTRIBUTE_READ_ONLY)
	_, rv = c.tryObject(with(secret(ck.CKK_AES, sequence(16)), boolean(ck.CKA_TRUSTED, false))...)
	c.ok("creating a key that is not", rv)

	c.must("C_Logout", c.s)
	c.must("C_Login", c.s, uint64(ck.CKU_SO), c.Exact([]byte(soPIN)), len(soPIN))
	c.ok("trusting it as the SO", c.set(kek, boolean(ck.CKA_TRUSTED, true)))
	c.must("C_Logout", c.s)
	c.must("C_Login", c.s, uint64(ck.CKU_USER), c.Exact([]byte(userPIN)), len(userPIN))
	key = c.object(with(secret(ck.CKK_AES, sequence(16)), boolean(ck.CKA_WRAP_WITH_TRUSTED, true))...)
	_, rv = c.wrap(kw, kek, key)
	c.ok("wrapping with the trusted key", rv)
	if !c.getBool(kek, ck.CKA_TRUSTED) {
		t.Error("CKA_TRUSTED is not told")
	}
	h := c.ULong(0)
	c.must("C_CopyObject", c.s, kek, nil, 0, h)
	if c.getBool(c11.Number(h), ck.CKA_TRUSTED) {
		t.Error("the user's copy of a trusted key is trusted")
	}
}

// CKA_COPYABLE, CKA_DESTROYABLE and CKA_MODIFIABLE (section 4.4).
func TestCopyableDestroyable(t *testing.T) {
	if !apart(t) {
		return
	}
	c := open(t)
	h := c.ULong(0)
	for _, token := range []bool{false, true} {
		data := func(more ...ck.Attribute) uint64 {
			return c.object(with(more, class(ck.CKO_DATA), boolean(ck.CKA_TOKEN, token), text(ck.CKA_VALUE, "v"))...)
		}
		o := data(boolean(ck.CKA_COPYABLE, false))
		c.refuses(ck.CKR_ACTION_PROHIBITED, "C_CopyObject", c.s, o, nil, 0, h)
		c.want("CKA_COPYABLE back", c.set(o, boolean(ck.CKA_COPYABLE, true)), ck.CKR_ATTRIBUTE_READ_ONLY)
		o = data()
		c.must("C_CopyObject", c.s, o, nil, 0, h)
		c.ok("CKA_COPYABLE to false", c.set(o, boolean(ck.CKA_COPYABLE, false)))
		c.refuses(ck.CKR_ACTION_PROHIBITED, "C_CopyObject", c.s, o, nil, 0, h)

		o = data(boolean(ck.CKA_DESTROYABLE, false))
		c.refuses(ck.CKR_ACTION_PROHIBITED, "C_DestroyObject", c.s, o)
		c.get(o, ck.CKA_VALUE)
		o = data(boolean(ck.CKA_MODIFIABLE, false))
		c.want("changing what is not modifiable", c.set(o, text(ck.CKA_LABEL, "x")), ck.CKR_ACTION_PROHIBITED)
		c.must("C_DestroyObject", c.s, o)
	}
	// A copy may become a token object, may not become public, and may take
	// no liberties with a key.
	key := c.object(with(secret(ck.CKK_AES, sequence(16)), boolean(ck.CKA_PRIVATE, true))...)
	list := []ck.Attribute{boolean(ck.CKA_TOKEN, true), text(ck.CKA_LABEL, "copy"), boolean(ck.CKA_SENSITIVE, true)}
	c.must("C_CopyObject", c.s, key, c.Template(list...), len(list), h)
	copied := c11.Number(h)
	if !c.getBool(copied, ck.CKA_TOKEN) || string(c.get(copied, ck.CKA_LABEL)) != "copy" || !c.getBool(copied, ck.CKA_SENSITIVE) {
		t.Error("the copy lacks the changes")
	}
	for _, row := range []struct {
		a  ck.Attribute
		rv ck.RV
	}{
		{boolean(ck.CKA_SENSITIVE, false), ck.CKR_ATTRIBUTE_READ_ONLY},
		{boolean(ck.CKA_PRIVATE, false), ck.CKR_TEMPLATE_INCONSISTENT},
		{bytesOf(ck.CKA_VALUE, sequence(16)), ck.CKR_ATTRIBUTE_READ_ONLY},
		{class(ck.CKO_DATA), ck.CKR_ATTRIBUTE_READ_ONLY},
		{keyType(ck.CKK_GENERIC_SECRET), ck.CKR_ATTRIBUTE_READ_ONLY},
	} {
		rv := c.Call("C_CopyObject", c.s, copied, c.Template(row.a), 1, h)
		c.want("a copy with another "+row.a.Type.String(), rv, row.rv)
	}
	// A session of its own slot can only make session objects without R/W.
	ro := c.session(0, 0)
	rv := c.Call("C_CopyObject", ro, key, c.Template(boolean(ck.CKA_TOKEN, true)), 1, h)
	c.want("a token copy in a R/O session", rv, ck.CKR_SESSION_READ_ONLY)
	c.refuses(ck.CKR_SESSION_READ_ONLY, "C_DestroyObject", ro, copied)
	c.must("C_CopyObject", ro, copied, c.Template(boolean(ck.CKA_TOKEN, false)), 1, h)
}

// C_GetObjectSize (section 5.7.4): some measure that grows with the object.
func TestObjectSize(t *testing.T) {
	if !apart(t) {
		return
	}
	c := open(t)
	size := func(n int) uint64 {
		o := c.object(class(ck.CKO_DATA), boolean(ck.CKA_TOKEN, false), bytesOf(ck.CKA_VALUE, make([]byte, n)))
		p := c.ULong(0)
		c.must("C_GetObjectSize", c.s, o, p)
		return c11.Number(p)
	}
	if small, large := size(10), size(10_000); large < small+9_990 {
		t.Errorf("%d and %d bytes for 10 and 10000", small, large)
	}
}
