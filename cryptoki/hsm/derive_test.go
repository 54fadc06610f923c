package hsm

import (
	"bytes"
	"crypto/hkdf"
	"crypto/sha256"
	"reflect"
	"testing"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/cryptoki/p11"
	"github.com/perilune/perilune/engine"
)

func (b *bench) derive(m *ck.Mechanism, base ck.ObjectHandle, template ...ck.Attribute) *p11.DeriveKey {
	return &p11.DeriveKey{Session: b.s, Mechanism: m, BaseKey: base, Template: template}
}

// base creates a generic secret key with these four attributes.
func (b *bench) base(value string, sensitive, isExtractable bool) ck.ObjectHandle {
	b.t.Helper()
	return b.secret(ck.CKK_GENERIC_SECRET, []byte(value), append(yes(ck.CKA_DERIVE),
		ck.NewBool(ck.CKA_SENSITIVE, sensitive), ck.NewBool(ck.CKA_EXTRACTABLE, isExtractable))...)
}

func TestDerive(t *testing.T) {
	b := newBench(t)
	base := b.hmac()
	add := mech(ck.CKM_CONCATENATE_BASE_AND_DATA, &engine.StringDataParams{Data: []byte(" and more")})
	want := string(testHMACKey) + " and more"

	got := ok(b, b.derive(add, base, extractable...)).Object
	sameBytes(t, "value", b.attr(got, ck.CKA_VALUE), []byte(want))
	if kt, _ := ck.ULong(b.attr(got, ck.CKA_KEY_TYPE)); ck.KeyType(kt) != ck.CKK_GENERIC_SECRET {
		t.Errorf("default key type %#x", kt)
	}
	if b.truth(got, ck.CKA_LOCAL) {
		t.Error("CKA_LOCAL of a derived key is true")
	}
	got = ok(b, b.derive(add, base, newKey(ck.CKO_SECRET_KEY, ck.CKK_AES, valueLen(16))...)).Object
	sameBytes(t, "AES key", b.attr(got, ck.CKA_VALUE), []byte(want)[:16])
	sameBytes(t, "base key, afterwards", b.attr(base, ck.CKA_VALUE), testHMACKey)

	aesOnly := newKey(ck.CKO_SECRET_KEY, ck.CKK_AES)
	fails(b, ck.CKR_ARGUMENTS_BAD, b.derive(nil, base))
	fails(b, ck.CKR_MECHANISM_INVALID, b.derive(mech(ck.CKM_AES_CBC), base))
	fails(b, ck.CKR_KEY_HANDLE_INVALID, b.derive(add, 4711))
	fails(b, ck.CKR_KEY_TYPE_INCONSISTENT, b.derive(mech(ck.CKM_ECDH1_DERIVE), base))
	fails(b, ck.CKR_TEMPLATE_INCOMPLETE, b.derive(add, base, aesOnly...))
	fails(b, ck.CKR_ATTRIBUTE_VALUE_INVALID, b.derive(add, base, append(with(aesOnly), valueLen(17))...))
	fails(b, ck.CKR_ATTRIBUTE_VALUE_INVALID, b.derive(add, base, valueLen(0)))
	fails(b, ck.CKR_ATTRIBUTE_VALUE_INVALID, b.derive(add, base, ck.NewULong(ck.CKA_VALUE_LEN, ^uint64(0))))
	fails(b, ck.CKR_KEY_SIZE_RANGE, b.derive(add, base, valueLen(100)))
	fails(b, ck.CKR_TEMPLATE_INCONSISTENT, b.derive(add, base, newKey(ck.CKO_PRIVATE_KEY, ck.CKK_GENERIC_SECRET)...))
	fails(b, ck.CKR_ATTRIBUTE_VALUE_INVALID, b.derive(add, base, newKey(ck.CKO_SECRET_KEY, ck.CKK_RSA)...))
	fails(b, ck.CKR_MECHANISM_PARAM_INVALID, b.derive(mech(ck.CKM_CONCATENATE_BASE_AND_DATA), base))
	noDerive := b.secret(ck.CKK_GENERIC_SECRET, []byte("x"), ck.NewBool(ck.CKA_DERIVE, false))
	fails(b, ck.CKR_KEY_FUNCTION_NOT_PERMITTED, b.derive(add, noDerive))
	other := b.secret(ck.CKK_GENERIC_SECRET, []byte("x"), append(yes(ck.CKA_DERIVE),
		ck.NewBytes(ck.CKA_ALLOWED_MECHANISMS, ck.PutMechanismTypes(ck.CKM_HKDF_DERIVE)))...)
	fails(b, ck.CKR_MECHANISM_INVALID, b.derive(add, other))
	pair := b.ecPair()
	ok(b, &p11.SetAttributeValue{Session: b.s, Object: pair.Public, Template: yes(ck.CKA_DERIVE)})
	fails(b, ck.CKR_KEY_TYPE_INCONSISTENT, b.derive(mech(ck.CKM_ECDH1_DERIVE, &engine.ECDH1DeriveParams{}), pair.Public))

	// Extraction needs a length from somewhere.
	extract := mech(ck.CKM_EXTRACT_KEY_FROM_KEY, uint64(0))
	fails(b, ck.CKR_TEMPLATE_INCOMPLETE, b.derive(extract, base))
	got = ok(b, b.derive(extract, base, append(with(extractable), valueLen(4))...)).Object
	sameBytes(t, "extracted", b.attr(got, ck.CKA_VALUE), testHMACKey[:4])
}

func TestDeriveECDH(t *testing.T) {
	b := newBench(t)
	one, two := b.ecPair(), b.ecPair()
	agree := func(private, public ck.ObjectHandle) []byte {
		t.Helper()
		p := &engine.ECDH1DeriveParams{KDF: ck.CKD_NULL, PublicData: b.attr(public, ck.CKA_EC_POINT)}
		key := ok(b, b.derive(mech(ck.CKM_ECDH1_DERIVE, p), private, newKey(ck.CKO_SECRET_KEY, ck.CKK_GENERIC_SECRET, valueLen(32))...)).Object
		return b.attr(key, ck.CKA_VALUE)
	}
	sameBytes(t, "shared secret", agree(one.Private, two.Public), agree(two.Private, one.Public))
}

// The matrix of what a key inherits whose bytes are those of others.
func TestInheritance(t *testing.T) {
	b := newBench(t)
	for _, m := range []*ck.Mechanism{
		mech(ck.CKM_CONCATENATE_BASE_AND_DATA, &engine.StringDataParams{Data: []byte("x")}),
		mech(ck.CKM_CONCATENATE_DATA_AND_BASE, &engine.StringDataParams{Data: []byte("x")}),
		mech(ck.CKM_XOR_BASE_AND_DATA, &engine.StringDataParams{Data: []byte("xxxxxxxx")}),
		mech(ck.CKM_EXTRACT_KEY_FROM_KEY, uint64(3)),
	} {
		for _, sensitive := range []bool{false, true} {
			for _, ext := range []bool{false, true} {
				base := b.base("base key", sensitive, ext)
				got := ok(b, b.derive(m, base, valueLen(4))).Object
				if b.truth(got, ck.CKA_SENSITIVE) != sensitive && sensitive {
					t.Errorf("%v: a sensitive key has an offspring that is not", m.Type)
				}
				if b.truth(got, ck.CKA_EXTRACTABLE) && !ext {
					t.Errorf("%v: an unextractable key has an extractable offspring", m.Type)
				}
				contrary := []ck.Attribute{valueLen(4), ck.NewBool(ck.CKA_SENSITIVE, false)}
				if sensitive {
					fails(b, ck.CKR_TEMPLATE_INCONSISTENT, b.derive(m, base, contrary...))
				} else {
					ok(b, b.derive(m, base, contrary...))
				}
				contrary[1] = ck.NewBool(ck.CKA_EXTRACTABLE, true)
				if ext {
					ok(b, b.derive(m, base, contrary...))
				} else {
					fails(b, ck.CKR_TEMPLATE_INCONSISTENT, b.derive(m, base, contrary...))
				}
				ok(b, b.derive(m, base, valueLen(4), ck.NewBool(ck.CKA_SENSITIVE, true), ck.NewBool(ck.CKA_EXTRACTABLE, false)))
			}
		}
	}
}

// The same with two keys, one of which may have always been what it is.
func TestConcatenateKeys(t *testing.T) {
	b := newBench(t)
	type kind struct{ sensitive, ext, always bool }
	make := func(k kind) ck.ObjectHandle {
		if !k.always {
			return b.base("8 bytes.", k.sensitive, k.ext)
		}
		return ok(b, &p11.GenerateKey{Session: b.s, Mechanism: mech(ck.CKM_GENERIC_SECRET_KEY_GEN), Template: append(yes(ck.CKA_DERIVE),
			valueLen(8), ck.NewBool(ck.CKA_SENSITIVE, k.sensitive), ck.NewBool(ck.CKA_EXTRACTABLE, k.ext))}).Object
	}
	kinds := []kind{{false, true, false}, {true, true, false}, {false, false, false}, {true, false, false}, {true, false, true}}
	for _, x := range kinds {
		for _, y := range kinds {
			got := ok(b, b.derive(mech(ck.CKM_CONCATENATE_BASE_AND_KEY, make(y)), make(x))).Object
			if (x.sensitive || y.sensitive) && !b.truth(got, ck.CKA_SENSITIVE) {
				t.Errorf("%+v %+v: not sensitive", x, y)
			}
			if (!x.ext || !y.ext) && b.truth(got, ck.CKA_EXTRACTABLE) {
				t.Errorf("%+v %+v: extractable", x, y)
			}
			if got, want := b.truth(got, ck.CKA_ALWAYS_SENSITIVE), x.always && y.always; got != want {
				t.Errorf("%+v %+v: CKA_ALWAYS_SENSITIVE %v", x, y, got)
			}
			if got, want := b.truth(got, ck.CKA_NEVER_EXTRACTABLE), x.always && y.always; got != want {
				t.Errorf("%+v %+v: CKA_NEVER_EXTRACTABLE %v", x, y, got)
			}
		}
	}
	base := b.base("base", false, true)
	got := ok(b, b.derive(mech(ck.CKM_CONCATENATE_BASE_AND_KEY, b.base(" and key", false, true)), base, extractable...)).Object
	sameBytes(t, "value", b.attr(got, ck.CKA_VALUE), []byte("base and key"))

	for _, c := range []struct {
		key  ck.ObjectHandle
		want ck.RV
	}{
		{0, ck.CKR_MECHANISM_PARAM_INVALID},
		{4711, ck.CKR_KEY_HANDLE_INVALID},
		{b.secret(ck.CKK_GENERIC_SECRET, []byte("x"), ck.NewBool(ck.CKA_DERIVE, false)), ck.CKR_KEY_FUNCTION_NOT_PERMITTED},
		{b.secret(ck.CKK_GENERIC_SECRET, []byte("x"), append(yes(ck.CKA_DERIVE), ck.NewBytes(ck.CKA_ALLOWED_MECHANISMS, ck.PutMechanismTypes(ck.CKM_HKDF_DERIVE)))...), ck.CKR_MECHANISM_INVALID},
		{b.ecPair(yes(ck.CKA_DERIVE)...).Private, ck.CKR_KEY_TYPE_INCONSISTENT},
	} {
		fails(b, c.want, b.derive(mech(ck.CKM_CONCATENATE_BASE_AND_KEY, c.key), base))
	}
}

func TestDeriveHKDF(t *testing.T) {
	b := newBench(t)
	base, salt := b.base("input keying material", false, true), b.base("salt", false, true)
	p := &engine.HKDFParams{Extract: true, Expand: true, Hash: ck.CKM_SHA256, SaltType: ck.CKF_HKDF_SALT_KEY, SaltKey: salt, Info: []byte("info")}
	got := ok(b, b.derive(mech(ck.CKM_HKDF_DERIVE, p), base, append(with(extractable), valueLen(40))...)).Object
	want, err := hkdf.Key(sha256.New, []byte("input keying material"), []byte("salt"), "info", 40)
	if err != nil {
		t.Fatal(err)
	}
	sameBytes(t, "value", b.attr(got, ck.CKA_VALUE), want)
	p.SaltType, p.SaltKey, p.Salt = ck.CKF_HKDF_SALT_DATA, 0, []byte("salt")
	got = ok(b, b.derive(mech(ck.CKM_HKDF_DERIVE, p), base, append(with(extractable), valueLen(40))...)).Object
	sameBytes(t, "value", b.attr(got, ck.CKA_VALUE), want)

	// A derivation that does not show the base key need not inherit.
	hidden := b.base("sensitive", true, false)
	got = ok(b, b.derive(mech(ck.CKM_HKDF_DERIVE, p), hidden, append(with(extractable), valueLen(16))...)).Object
	if b.truth(got, ck.CKA_ALWAYS_SENSITIVE) || b.truth(got, ck.CKA_NEVER_EXTRACTABLE) {
		t.Error("history of a key that is readable")
	}

	// CKM_HKDF_DATA makes a data object.
	got = ok(b, b.derive(mech(ck.CKM_HKDF_DATA, p), base, ck.NewULong(ck.CKA_CLASS, ck.CKO_DATA), valueLen(40))).Object
	sameBytes(t, "data", b.attr(got, ck.CKA_VALUE), want)
	if class, _ := ck.ULong(b.attr(got, ck.CKA_CLASS)); ck.ObjectClass(class) != ck.CKO_DATA {
		t.Errorf("class %#x", class)
	}
	fails(b, ck.CKR_TEMPLATE_INCONSISTENT, b.derive(mech(ck.CKM_HKDF_DATA, p), base, ck.NewULong(ck.CKA_CLASS, ck.CKO_SECRET_KEY), valueLen(40)))
}

func TestDeriveTemplate(t *testing.T) {
	b := newBench(t)
	strict := b.secret(ck.CKK_GENERIC_SECRET, bytes.Repeat([]byte{5}, 32), append(yes(ck.CKA_DERIVE),
		ck.Attribute{Type: ck.CKA_DERIVE_TEMPLATE, Template: []ck.Attribute{
			ck.NewULong(ck.CKA_KEY_TYPE, ck.CKK_AES), valueLen(16), ck.NewBool(ck.CKA_WRAP, false),
		}})...)
	m := mech(ck.CKM_CONCATENATE_BASE_AND_DATA, &engine.StringDataParams{Data: []byte("x")})
	got := ok(b, b.derive(m, strict, extractable...)).Object
	sameBytes(t, "value", b.attr(got, ck.CKA_VALUE), bytes.Repeat([]byte{5}, 16))
	if kt, _ := ck.ULong(b.attr(got, ck.CKA_KEY_TYPE)); ck.KeyType(kt) != ck.CKK_AES || b.truth(got, ck.CKA_WRAP) {
		t.Error("CKA_DERIVE_TEMPLATE was not applied")
	}
	fails(b, ck.CKR_TEMPLATE_INCONSISTENT, b.derive(m, strict, yes(ck.CKA_WRAP)...))
	fails(b, ck.CKR_TEMPLATE_INCONSISTENT, b.derive(m, strict, valueLen(32)))
	fails(b, ck.CKR_TEMPLATE_INCONSISTENT, b.derive(m, strict, ck.NewULong(ck.CKA_KEY_TYPE, ck.CKK_GENERIC_SECRET)))
}

func TestCryptoUserDerivesSessionKeys(t *testing.T) {
	b := newBench(t)
	base := b.hmac(yes(ck.CKA_TOKEN)...)
	ok(b, &p11.InitRole{Session: b.s, Role: p11.RoleCryptoUser, PIN: []byte("cu pin")})
	ok(b, &p11.Logout{Session: b.s})
	ok(b, &p11.Login{Session: b.s, User: ck.CKU_CRYPTO_USER, PIN: []byte("cu pin")})
	m := mech(ck.CKM_CONCATENATE_BASE_AND_DATA, &engine.StringDataParams{Data: []byte("x")})
	ok(b, b.derive(m, base))
	fails(b, ck.CKR_USER_NOT_AUTHORIZED, b.derive(m, base, yes(ck.CKA_TOKEN)...))
	fails(b, ck.CKR_USER_NOT_AUTHORIZED, &p11.WrapKey{Session: b.s, Mechanism: mech(ck.CKM_AES_KEY_WRAP), WrappingKey: base, Key: base})
	sameBytes(t, "code", b.whole(p11.OpSign, mech(ck.CKM_SHA256_HMAC), base, []byte("x")), hmacOf([]byte("x")))
}

func TestParamHandles(t *testing.T) {
	type inner struct {
		N   uint64
		Key ck.ObjectHandle
	}
	type outer struct {
		A    ck.ObjectHandle
		Data []byte
		In   inner
		P    *inner
		Q    *inner
		Z    ck.ObjectHandle
	}
	for _, c := range []struct {
		param any
		want  []ck.ObjectHandle
	}{
		{nil, nil},
		{[]byte("bytes"), nil},
		{uint64(7), nil},
		{ck.ObjectHandle(7), []ck.ObjectHandle{7}},
		{(*outer)(nil), nil},
		{&engine.GCMParams{}, nil},
		{&outer{A: 1, In: inner{0, 2}, P: &inner{0, 3}, Z: 5}, []ck.ObjectHandle{1, 2, 3, 0, 5}},
	} {
		if got := paramHandles(c.param); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%+v: %v", c.param, got)
		}
	}
}
