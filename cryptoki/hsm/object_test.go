package hsm

import (
	"bytes"
	"context"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"math/big"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/cryptoki/p11"
	"github.com/perilune/perilune/engine"
)

// tmpl makes a template of pairs of a type and a value.
func tmpl(pairs ...any) (list []ck.Attribute) {
	for i := 0; i < len(pairs); i += 2 {
		list = append(list, attr(pairs[i].(ck.AttributeType), pairs[i+1]))
	}
	return list
}

func attr(t ck.AttributeType, v any) ck.Attribute {
	switch v := v.(type) {
	case nil:
		return ck.Attribute{Type: t}
	case bool:
		return ck.NewBool(t, v)
	case string:
		return ck.NewBytes(t, []byte(v))
	case []byte:
		return ck.NewBytes(t, v)
	case []ck.Attribute:
		return ck.Attribute{Type: t, Template: v}
	}
	return ck.NewULong(t, reflect.ValueOf(v).Convert(reflect.TypeFor[uint64]()).Uint())
}

// officer is a HSM with a R/W session of the Crypto Officer.
func officer(t *testing.T) (*HSM, ck.SessionHandle) {
	t.Helper()
	h := newTestHSM(t)
	s := open(t, h, 0, true)
	login(t, h, s)
	return h, s
}

func create(t *testing.T, h *HSM, s ck.SessionHandle, pairs ...any) ck.ObjectHandle {
	t.Helper()
	return must(t, h, &p11.CreateObject{Session: s, Template: tmpl(pairs...)}).Object
}

// read reads one attribute.
func read(h *HSM, s ck.SessionHandle, o ck.ObjectHandle, a ck.AttributeType) ([]byte, ck.RV) {
	r, err := p11.Call(context.Background(), h, &p11.GetAttributeValue{Session: s, Object: o, Types: []ck.AttributeType{a}})
	if len(r.Results) == 1 && r.Results[0].RV == ck.CKR_OK {
		return r.Results[0].Value, ck.RVOf(err)
	}
	return nil, ck.RVOf(err)
}

// check compares attributes with pairs of a type and a value.
func check(t *testing.T, h *HSM, s ck.SessionHandle, o ck.ObjectHandle, pairs ...any) {
	t.Helper()
	for _, a := range tmpl(pairs...) {
		v, rv := read(h, s, o, a.Type)
		if rv != ck.CKR_OK || !bytes.Equal(v, a.Value) {
			t.Errorf("%v is %x (%v), want %x", a.Type, v, rv, a.Value)
		}
	}
}

func find(t *testing.T, h *HSM, s ck.SessionHandle, pairs ...any) (list []ck.ObjectHandle) {
	t.Helper()
	must(t, h, &p11.FindObjectsInit{Session: s, Template: tmpl(pairs...)})
	for {
		page := must(t, h, &p11.FindObjects{Session: s, Max: 10}).Objects
		if len(page) == 0 {
			break
		}
		list = append(list, page...)
	}
	must(t, h, &p11.FindObjectsFinal{Session: s})
	return list
}

var testRSA = sync.OnceValue(func() *rsa.PrivateKey {
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return k
})

var testEC = sync.OnceValue(func() *ecdsa.PrivateKey {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	return k
})

var (
	p256Params    = []byte{6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7}
	ed25519Params = []byte{6, 3, 0x2b, 0x65, 0x70}
	x25519Params  = []byte{6, 3, 0x2b, 0x65, 0x6e}
)

func octetString(b []byte) []byte { return append([]byte{4, byte(len(b))}, b...) }

// sampleKey is what a client needs to create a key of some type.
type sampleKey struct {
	class  ck.ObjectClass
	typ    ck.KeyType
	public []ck.Attribute // readable whatever the flags say
	hidden []ck.Attribute
	// computed are added by the HSM, to be as well hidden.
	computedHidden []ck.AttributeType
	computed       []ck.AttributeType
}

func (k sampleKey) template(more ...any) []ck.Attribute {
	return slices.Concat(tmpl(ck.CKA_CLASS, k.class, ck.CKA_KEY_TYPE, k.typ), k.public, k.hidden, tmpl(more...))
}

func (k sampleKey) String() string { return fmt.Sprintf("%v %v", k.class, k.typ) }

// sampleKeys has one of every class and type that the schemas and the engine
// know, but public keys.
func sampleKeys(t *testing.T) (list []sampleKey) {
	t.Helper()
	r, e := testRSA(), testEC()
	ed := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{1}, 32))
	x, err := ecdh.X25519().NewPrivateKey(bytes.Repeat([]byte{2}, 32))
	if err != nil {
		t.Fatal(err)
	}
	d, _ := e.Bytes()
	list = []sampleKey{
		{class: ck.CKO_PRIVATE_KEY, typ: ck.CKK_RSA,
			public: tmpl(ck.CKA_MODULUS, r.N.Bytes(), ck.CKA_PUBLIC_EXPONENT, big.NewInt(int64(r.E)).Bytes()),
			hidden: tmpl(ck.CKA_PRIVATE_EXPONENT, r.D.Bytes()),
			computedHidden: []ck.AttributeType{ck.CKA_PRIME_1, ck.CKA_PRIME_2, ck.CKA_EXPONENT_1,
				ck.CKA_EXPONENT_2, ck.CKA_COEFFICIENT},
			computed: []ck.AttributeType{ck.CKA_PUBLIC_KEY_INFO}},
		{class: ck.CKO_PRIVATE_KEY, typ: ck.CKK_EC, public: tmpl(ck.CKA_EC_PARAMS, p256Params),
			hidden: tmpl(ck.CKA_VALUE, d), computed: []ck.AttributeType{ck.CKA_EC_POINT, ck.CKA_PUBLIC_KEY_INFO}},
		{class: ck.CKO_PRIVATE_KEY, typ: ck.CKK_EC_EDWARDS, public: tmpl(ck.CKA_EC_PARAMS, ed25519Params),
			hidden: tmpl(ck.CKA_VALUE, ed.Seed()), computed: []ck.AttributeType{ck.CKA_EC_POINT, ck.CKA_PUBLIC_KEY_INFO}},
		{class: ck.CKO_PRIVATE_KEY, typ: ck.CKK_EC_MONTGOMERY, public: tmpl(ck.CKA_EC_PARAMS, x25519Params),
			hidden: tmpl(ck.CKA_VALUE, x.Bytes()), computed: []ck.AttributeType{ck.CKA_EC_POINT, ck.CKA_PUBLIC_KEY_INFO}},
	}
	for key := range schemas() {
		if key.class == ck.CKO_SECRET_KEY && engine.FindKeyType(ck.KeyType(key.subtype)) != nil {
			value := "0123456789abcdef"
			if lengths := engine.FindKeyType(ck.KeyType(key.subtype)).Lengths; len(lengths) > 0 && !slices.Contains(lengths, 16) {
				value = strings.Repeat(value, 2)[:lengths[0]]
			}
			list = append(list, sampleKey{class: key.class, typ: ck.KeyType(key.subtype),
				hidden:   tmpl(ck.CKA_VALUE, value),
				computed: []ck.AttributeType{ck.CKA_VALUE_LEN, ck.CKA_CHECK_VALUE}})
		}
	}
	return list
}

// TestEveryKeyHidesItsSecrets reads every attribute of every kind of key under
// all settings of CKA_SENSITIVE and CKA_EXTRACTABLE.
func TestEveryKeyHidesItsSecrets(t *testing.T) {
	h, s := officer(t)
	for _, k := range sampleKeys(t) {
		for _, token := range []bool{false, true} {
			for _, sensitive := range []bool{false, true} {
				for _, extractable := range []bool{false, true} {
					name := fmt.Sprintf("%v token %v sensitive %v extractable %v", k, token, sensitive, extractable)
					o := must(t, h, &p11.CreateObject{Session: s, Template: k.template(
						ck.CKA_TOKEN, token, ck.CKA_SENSITIVE, sensitive, ck.CKA_EXTRACTABLE, extractable)}).Object
					if token { // as another process would read it
						h.parts[0].objects.clear()
					}
					checkHidden(t, name, h, s, o, k, sensitive || !extractable)
					must(t, h, &p11.DestroyObject{Session: s, Object: o})
				}
			}
		}
	}
}

func checkHidden(t *testing.T, name string, h *HSM, s ck.SessionHandle, o ck.ObjectHandle, k sampleKey, hidden bool) {
	t.Helper()
	secret := map[ck.AttributeType]bool{}
	for _, a := range k.hidden {
		secret[a.Type] = true
		v, rv := read(h, s, o, a.Type)
		if hidden && (rv != ck.CKR_ATTRIBUTE_SENSITIVE || v != nil) || !hidden && (rv != ck.CKR_OK || !bytes.Equal(v, a.Value)) {
			t.Errorf("%s: %v: %v, %d bytes", name, a.Type, rv, len(v))
		}
		if found := find(t, h, s, ck.CKA_CLASS, k.class, a.Type, a.Value); hidden == slices.Contains(found, o) {
			t.Errorf("%s: found by %v: %v", name, a.Type, found)
		}
	}
	for _, a := range k.computedHidden {
		secret[a] = true
		if _, rv := read(h, s, o, a); hidden != (rv == ck.CKR_ATTRIBUTE_SENSITIVE) {
			t.Errorf("%s: %v: %v", name, a, rv)
		}
	}
	for _, a := range k.computed {
		if v, rv := read(h, s, o, a); rv != ck.CKR_OK || len(v) == 0 {
			t.Errorf("%s: %v: %v", name, a, rv)
		}
	}
	// Everything else that the key has is readable, and says nothing secret.
	for _, r := range findSchema(k.class, uint64(k.typ)).rows {
		v, rv := read(h, s, o, r.t)
		switch {
		case secret[r.t]:
		case rv == ck.CKR_ATTRIBUTE_SENSITIVE:
			t.Errorf("%s: %v is hidden and should not be", name, r.t)
		default:
			for _, a := range k.hidden {
				if hidden && bytes.Contains(v, a.Value) {
					t.Errorf("%s: %v tells %v", name, r.t, a.Type)
				}
			}
		}
	}
}

func TestGetAttributeValueTellsTheWorst(t *testing.T) {
	h, s := officer(t)
	o := create(t, h, s, ck.CKA_CLASS, ck.CKO_SECRET_KEY, ck.CKA_KEY_TYPE, ck.CKK_AES, ck.CKA_VALUE, "0123456789abcdef", ck.CKA_LABEL, "k")
	r, err := p11.Call(t.Context(), h, &p11.GetAttributeValue{Session: s, Object: o,
		Types: []ck.AttributeType{ck.CKA_LABEL, ck.CKA_MODULUS, ck.CKA_VALUE, ck.CKA_URL, ck.CKA_VALUE_LEN}})
	if ck.RVOf(err) != ck.CKR_ATTRIBUTE_SENSITIVE {
		t.Error(err)
	}
	var got []ck.RV
	for _, x := range r.Results {
		got = append(got, x.RV)
	}
	if want := []ck.RV{0, ck.CKR_ATTRIBUTE_TYPE_INVALID, ck.CKR_ATTRIBUTE_SENSITIVE, ck.CKR_ATTRIBUTE_TYPE_INVALID, 0}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	if string(r.Results[0].Value) != "k" || r.Results[2].Value != nil {
		t.Errorf("%+v", r.Results)
	}
	r.Results[0].Value[0] = 'x' // the reply is the caller's
	check(t, h, s, o, ck.CKA_LABEL, "k")
}

func TestDefaults(t *testing.T) {
	h, s := officer(t)
	storage := tmpl(ck.CKA_TOKEN, false, ck.CKA_MODIFIABLE, true, ck.CKA_COPYABLE, true, ck.CKA_DESTROYABLE, true, ck.CKA_LABEL, "")
	for _, c := range []struct{ template, want []ck.Attribute }{
		{tmpl(ck.CKA_CLASS, ck.CKO_DATA),
			tmpl(ck.CKA_PRIVATE, true, ck.CKA_VALUE, "", ck.CKA_APPLICATION, "", ck.CKA_OBJECT_ID, "")},
		{tmpl(ck.CKA_CLASS, ck.CKO_CERTIFICATE, ck.CKA_CERTIFICATE_TYPE, ck.CKC_X_509, ck.CKA_SUBJECT, "s", ck.CKA_VALUE, "v"),
			tmpl(ck.CKA_PRIVATE, false, ck.CKA_TRUSTED, false, ck.CKA_ID, "", ck.CKA_ISSUER, "", ck.CKA_SERIAL_NUMBER, "",
				ck.CKA_CERTIFICATE_CATEGORY, 0, ck.CKA_JAVA_MIDP_SECURITY_DOMAIN, 0, ck.CKA_NAME_HASH_ALGORITHM, ck.CKM_SHA_1,
				ck.CKA_URL, "", ck.CKA_PUBLIC_KEY_INFO, "", ck.CKA_START_DATE, "")},
		{tmpl(ck.CKA_CLASS, ck.CKO_CERTIFICATE, ck.CKA_CERTIFICATE_TYPE, ck.CKC_X_509_ATTR_CERT, ck.CKA_OWNER, "s", ck.CKA_VALUE, "v"),
			tmpl(ck.CKA_AC_ISSUER, "", ck.CKA_ATTR_TYPES, "")},
		{tmpl(ck.CKA_CLASS, ck.CKO_CERTIFICATE, ck.CKA_CERTIFICATE_TYPE, ck.CKC_WTLS, ck.CKA_SUBJECT, "s", ck.CKA_VALUE, "v"),
			tmpl(ck.CKA_ISSUER, "")},
		{tmpl(ck.CKA_CLASS, ck.CKO_SECRET_KEY, ck.CKA_KEY_TYPE, ck.CKK_AES, ck.CKA_VALUE, "0123456789abcdef"),
			tmpl(ck.CKA_PRIVATE, true, ck.CKA_SENSITIVE, false, ck.CKA_EXTRACTABLE, false, ck.CKA_ENCRYPT, true,
				ck.CKA_SIGN, true, ck.CKA_WRAP, true, ck.CKA_DERIVE, false, ck.CKA_LOCAL, false,
				ck.CKA_ALWAYS_SENSITIVE, false, ck.CKA_NEVER_EXTRACTABLE, false, ck.CKA_WRAP_WITH_TRUSTED, false,
				ck.CKA_TRUSTED, false, ck.CKA_KEY_GEN_MECHANISM, ck.UnavailableInformation, ck.CKA_VALUE_LEN, 16,
				ck.CKA_ID, "", ck.CKA_START_DATE, "", ck.CKA_END_DATE, "")},
		{tmpl(ck.CKA_CLASS, ck.CKO_SECRET_KEY, ck.CKA_KEY_TYPE, ck.CKK_SHA256_HMAC, ck.CKA_VALUE, "0"),
			tmpl(ck.CKA_ENCRYPT, false, ck.CKA_SIGN, true, ck.CKA_VERIFY, true)},
		{sampleKeys(t)[1].template(),
			tmpl(ck.CKA_PRIVATE, true, ck.CKA_SENSITIVE, true, ck.CKA_EXTRACTABLE, false, ck.CKA_SIGN, true,
				ck.CKA_DECRYPT, false, ck.CKA_DERIVE, false, ck.CKA_ALWAYS_AUTHENTICATE, false)},
		{tmpl(ck.CKA_CLASS, ck.CKO_PUBLIC_KEY, ck.CKA_KEY_TYPE, ck.CKK_RSA, ck.CKA_MODULUS, testRSA().N.Bytes(), ck.CKA_PUBLIC_EXPONENT, "\x01\x00\x01"),
			tmpl(ck.CKA_PRIVATE, false, ck.CKA_VERIFY, true, ck.CKA_ENCRYPT, true, ck.CKA_WRAP, true, ck.CKA_MODULUS_BITS, 2048,
				ck.CKA_SUBJECT, "", ck.CKA_LOCAL, false)},
		{tmpl(ck.CKA_CLASS, ck.CKO_DOMAIN_PARAMETERS, ck.CKA_KEY_TYPE, ck.CKK_DH, ck.CKA_PRIME, "\x00"+testPrime, ck.CKA_BASE, testBase),
			tmpl(ck.CKA_PRIVATE, false, ck.CKA_PRIME, testPrime, ck.CKA_PRIME_BITS, 1024, ck.CKA_LOCAL, false)},
		{tmpl(ck.CKA_CLASS, ck.CKO_DOMAIN_PARAMETERS, ck.CKA_KEY_TYPE, ck.CKK_X9_42_DH, ck.CKA_PRIME, testPrime, ck.CKA_BASE, testBase, ck.CKA_SUBPRIME, testOrder),
			tmpl(ck.CKA_PRIME_BITS, 1024, ck.CKA_SUBPRIME_BITS, 160)},
	} {
		o := must(t, h, &p11.CreateObject{Session: s, Template: c.template}).Object
		for _, a := range slices.Concat(c.want, storage) {
			check(t, h, s, o, a.Type, a.Value)
		}
	}
}

// errorOf is the code that C_CreateObject answers.
func errorOf(h *HSM, s ck.SessionHandle, template []ck.Attribute) (ck.RV, error) {
	_, err := p11.Call(context.Background(), h, &p11.CreateObject{Session: s, Template: template})
	return ck.RVOf(err), err
}

func TestCreateRefuses(t *testing.T) {
	h, s := officer(t)
	aes := func(more ...any) []ck.Attribute {
		return append(tmpl(ck.CKA_CLASS, ck.CKO_SECRET_KEY, ck.CKA_KEY_TYPE, ck.CKK_AES, ck.CKA_VALUE, "0123456789abcdef"), tmpl(more...)...)
	}
	x509 := func(more ...any) []ck.Attribute {
		return append(tmpl(ck.CKA_CLASS, ck.CKO_CERTIFICATE, ck.CKA_CERTIFICATE_TYPE, ck.CKC_X_509, ck.CKA_SUBJECT, "s"), tmpl(more...)...)
	}
	deep := tmpl(ck.CKA_LABEL, "x")
	for range 6 {
		deep = tmpl(ck.CKA_WRAP_TEMPLATE, deep)
	}
	for name, c := range map[string]struct {
		template []ck.Attribute
		want     ck.RV
	}{
		"nothing":              {nil, ck.CKR_TEMPLATE_INCOMPLETE},
		"no class":             {tmpl(ck.CKA_LABEL, "x"), ck.CKR_TEMPLATE_INCOMPLETE},
		"unknown class":        {tmpl(ck.CKA_CLASS, 99), ck.CKR_ATTRIBUTE_VALUE_INVALID},
		"hardware feature":     {tmpl(ck.CKA_CLASS, ck.CKO_HW_FEATURE), ck.CKR_ATTRIBUTE_VALUE_INVALID},
		"profile":              {tmpl(ck.CKA_CLASS, ck.CKO_PROFILE), ck.CKR_ATTRIBUTE_VALUE_INVALID},
		"mechanism":            {tmpl(ck.CKA_CLASS, ck.CKO_MECHANISM), ck.CKR_ATTRIBUTE_VALUE_INVALID},
		"no key type":          {tmpl(ck.CKA_CLASS, ck.CKO_SECRET_KEY), ck.CKR_TEMPLATE_INCOMPLETE},
		"unknown key type":     {tmpl(ck.CKA_CLASS, ck.CKO_SECRET_KEY, ck.CKA_KEY_TYPE, 0x7777), ck.CKR_ATTRIBUTE_VALUE_INVALID},
		"no certificate type":  {tmpl(ck.CKA_CLASS, ck.CKO_CERTIFICATE), ck.CKR_TEMPLATE_INCOMPLETE},
		"no value":             {aes()[:2], ck.CKR_TEMPLATE_INCOMPLETE},
		"class of 4 bytes":     {tmpl(ck.CKA_CLASS, "\x04\x00\x00\x00"), ck.CKR_ATTRIBUTE_VALUE_INVALID},
		"unknown attribute":    {aes(ck.AttributeType(0x77777777), "x"), ck.CKR_ATTRIBUTE_TYPE_INVALID},
		"64-bit attribute":     {aes(ck.AttributeType(1<<40), "x"), ck.CKR_ATTRIBUTE_TYPE_INVALID},
		"attribute of others":  {aes(ck.CKA_MODULUS, "x"), ck.CKR_TEMPLATE_INCONSISTENT},
		"two values":           {aes(ck.CKA_LABEL, "x", ck.CKA_LABEL, "y"), ck.CKR_TEMPLATE_INCONSISTENT},
		"one value twice":      {aes(ck.CKA_LABEL, "x", ck.CKA_LABEL, "x"), ck.CKR_OK},
		"true twice":           {aes(ck.CKA_SIGN, "\x01", ck.CKA_SIGN, "\xff"), ck.CKR_OK},
		"bool of 8 bytes":      {aes(ck.CKA_SIGN, 1), ck.CKR_ATTRIBUTE_VALUE_INVALID},
		"bool of no bytes":     {aes(ck.CKA_SIGN, nil), ck.CKR_ATTRIBUTE_VALUE_INVALID},
		"null label":           {aes(ck.CKA_LABEL, nil), ck.CKR_OK},
		"bad date":             {aes(ck.CKA_START_DATE, "20240230"), ck.CKR_ATTRIBUTE_VALUE_INVALID},
		"short date":           {aes(ck.CKA_START_DATE, "2024"), ck.CKR_ATTRIBUTE_VALUE_INVALID},
		"good date":            {aes(ck.CKA_START_DATE, "20240229"), ck.CKR_OK},
		"no date":              {aes(ck.CKA_START_DATE, ""), ck.CKR_OK},
		"absurd label":         {aes(ck.CKA_LABEL, make([]byte, maxValue+1)), ck.CKR_ATTRIBUTE_VALUE_INVALID},
		"value of AES":         {tmpl(ck.CKA_CLASS, ck.CKO_SECRET_KEY, ck.CKA_KEY_TYPE, ck.CKK_AES, ck.CKA_VALUE, "0123456"), ck.CKR_ATTRIBUTE_VALUE_INVALID},
		"unique id":            {aes(ck.CKA_UNIQUE_ID, "x"), ck.CKR_ATTRIBUTE_READ_ONLY},
		"local":                {aes(ck.CKA_LOCAL, true), ck.CKR_ATTRIBUTE_READ_ONLY},
		"always sensitive":     {aes(ck.CKA_ALWAYS_SENSITIVE, true), ck.CKR_ATTRIBUTE_READ_ONLY},
		"never extractable":    {aes(ck.CKA_NEVER_EXTRACTABLE, false), ck.CKR_ATTRIBUTE_READ_ONLY},
		"generation mechanism": {aes(ck.CKA_KEY_GEN_MECHANISM, 1), ck.CKR_ATTRIBUTE_READ_ONLY},
		"value length":         {aes(ck.CKA_VALUE_LEN, 16), ck.CKR_ATTRIBUTE_READ_ONLY},
		"trusted":              {aes(ck.CKA_TRUSTED, true), ck.CKR_ATTRIBUTE_READ_ONLY},
		"not trusted":          {aes(ck.CKA_TRUSTED, false), ck.CKR_OK},
		"wrong check value":    {aes(ck.CKA_CHECK_VALUE, "abc"), ck.CKR_ATTRIBUTE_VALUE_INVALID},
		"no check value":       {aes(ck.CKA_CHECK_VALUE, ""), ck.CKR_OK},
		"mechanisms":           {aes(ck.CKA_ALLOWED_MECHANISMS, "123"), ck.CKR_ATTRIBUTE_VALUE_INVALID},
		"wrap template":        {aes(ck.CKA_WRAP_TEMPLATE, tmpl(ck.CKA_SIGN, true)), ck.CKR_OK},
		"wrap template bytes":  {aes(ck.CKA_WRAP_TEMPLATE, "x"), ck.CKR_ATTRIBUTE_VALUE_INVALID},
		"unknown in template":  {aes(ck.CKA_WRAP_TEMPLATE, tmpl(ck.AttributeType(0x7777), "")), ck.CKR_ATTRIBUTE_TYPE_INVALID},
		"bool in template":     {aes(ck.CKA_WRAP_TEMPLATE, tmpl(ck.CKA_SIGN, "")), ck.CKR_ATTRIBUTE_VALUE_INVALID},
		"twice in template":    {aes(ck.CKA_WRAP_TEMPLATE, tmpl(ck.CKA_SIGN, true, ck.CKA_SIGN, false)), ck.CKR_TEMPLATE_INCONSISTENT},
		"deep templates":       {aes(ck.CKA_WRAP_TEMPLATE, deep), ck.CKR_ATTRIBUTE_VALUE_INVALID},
		"many attributes":      {aes(make([]any, 0)...), ck.CKR_OK},
		"modulus bits": {tmpl(ck.CKA_CLASS, ck.CKO_PUBLIC_KEY, ck.CKA_KEY_TYPE, ck.CKK_RSA, ck.CKA_MODULUS, testRSA().N.Bytes(),
			ck.CKA_PUBLIC_EXPONENT, "\x01\x00\x01", ck.CKA_MODULUS_BITS, 2048), ck.CKR_ATTRIBUTE_READ_ONLY},
		"key info of another": {sampleKeys(t)[1].template(ck.CKA_PUBLIC_KEY_INFO, "x"), ck.CKR_ATTRIBUTE_VALUE_INVALID},
		"always authenticate": {sampleKeys(t)[1].template(ck.CKA_ALWAYS_AUTHENTICATE, true, ck.CKA_PRIVATE, false), ck.CKR_TEMPLATE_INCONSISTENT},
		"point off the curve": {tmpl(ck.CKA_CLASS, ck.CKO_PUBLIC_KEY, ck.CKA_KEY_TYPE, ck.CKK_EC, ck.CKA_EC_PARAMS, p256Params,
			ck.CKA_EC_POINT, octetString(append([]byte{4}, make([]byte, 64)...))), ck.CKR_ATTRIBUTE_VALUE_INVALID},
		"certificate of nothing":       {x509(ck.CKA_VALUE, ""), ck.CKR_ATTRIBUTE_VALUE_INVALID},
		"certificate with URL":         {x509(ck.CKA_VALUE, "", ck.CKA_URL, "https://example.org/c"), ck.CKR_TEMPLATE_INCOMPLETE},
		"certificate with URL, hashes": {x509(ck.CKA_VALUE, "", ck.CKA_URL, "https://example.org/c", ck.CKA_HASH_OF_SUBJECT_PUBLIC_KEY, "h", ck.CKA_HASH_OF_ISSUER_PUBLIC_KEY, "h"), ck.CKR_OK},
		"certificate category":         {x509(ck.CKA_VALUE, "v", ck.CKA_CERTIFICATE_CATEGORY, 4), ck.CKR_ATTRIBUTE_VALUE_INVALID},
		"certificate check value":      {x509(ck.CKA_VALUE, "v", ck.CKA_CHECK_VALUE, "abc"), ck.CKR_ATTRIBUTE_VALUE_INVALID},
		"trusted certificate":          {x509(ck.CKA_VALUE, "v", ck.CKA_TRUSTED, true), ck.CKR_ATTRIBUTE_READ_ONLY},
		"empty prime":                  {tmpl(ck.CKA_CLASS, ck.CKO_DOMAIN_PARAMETERS, ck.CKA_KEY_TYPE, ck.CKK_DH, ck.CKA_PRIME, "", ck.CKA_BASE, "\x02"), ck.CKR_ATTRIBUTE_VALUE_INVALID},
	} {
		if got, err := errorOf(h, s, c.template); got != c.want {
			t.Errorf("%s: %v (%v), want %v", name, got, err, c.want)
		}
	}
	if got, _ := errorOf(h, s, make([]ck.Attribute, maxTemplate+1)); got != ck.CKR_TEMPLATE_INCONSISTENT {
		t.Errorf("endless template: %v", got)
	}
	five := append(aes(), tmpl(ck.CKA_LABEL, make([]byte, maxValue), ck.CKA_ID, make([]byte, maxValue))...)
	five = append(five, attr(ck.CKA_WRAP_TEMPLATE, tmpl(ck.CKA_LABEL, make([]byte, maxValue), ck.CKA_ID, make([]byte, maxValue))))
	if got, _ := errorOf(h, s, five); got != ck.CKR_DEVICE_MEMORY {
		t.Errorf("object of 4 MB: %v", got)
	}
}

// TestErrorsNameAttributeAndRule is row 19 of the pains: the log must tell which
// attribute broke which rule.
func TestErrorsNameAttributeAndRule(t *testing.T) {
	h, s := officer(t)
	_, err := errorOf(h, s, tmpl(ck.CKA_CLASS, ck.CKO_SECRET_KEY, ck.CKA_KEY_TYPE, ck.CKK_AES, ck.CKA_VALUE, "0123456789abcdef", ck.CKA_LOCAL, true))
	if err == nil || !regexp.MustCompile(`CKA_LOCAL: .*CKR_ATTRIBUTE_READ_ONLY`).MatchString(err.Error()) {
		t.Error(err)
	}
}

func TestComputedAttributes(t *testing.T) {
	h, s := officer(t)
	// CKA_CHECK_VALUE of AES: a block of zeros encrypted (FIPS 197 key of zeros).
	zero := create(t, h, s, ck.CKA_CLASS, ck.CKO_SECRET_KEY, ck.CKA_KEY_TYPE, ck.CKK_AES, ck.CKA_VALUE, make([]byte, 16))
	check(t, h, s, zero, ck.CKA_CHECK_VALUE, "\x66\xe9\x4b")
	create(t, h, s, ck.CKA_CLASS, ck.CKO_SECRET_KEY, ck.CKA_KEY_TYPE, ck.CKK_AES, ck.CKA_VALUE, make([]byte, 16), ck.CKA_CHECK_VALUE, "\x66\xe9\x4b")
	none := create(t, h, s, ck.CKA_CLASS, ck.CKO_SECRET_KEY, ck.CKA_KEY_TYPE, ck.CKK_AES, ck.CKA_VALUE, make([]byte, 16), ck.CKA_CHECK_VALUE, "")
	check(t, h, s, none, ck.CKA_CHECK_VALUE, "")
	must(t, h, &p11.SetAttributeValue{Session: s, Object: zero, Template: tmpl(ck.CKA_CHECK_VALUE, "")})
	check(t, h, s, zero, ck.CKA_CHECK_VALUE, "")
	want(t, h, ck.CKR_ATTRIBUTE_VALUE_INVALID, &p11.SetAttributeValue{Session: s, Object: zero, Template: tmpl(ck.CKA_CHECK_VALUE, "\x66\xe9\x4b")})

	info, err := x509.MarshalPKIXPublicKey(&testEC().PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	priv := must(t, h, &p11.CreateObject{Session: s, Template: sampleKeys(t)[1].template(ck.CKA_PUBLIC_KEY_INFO, info)}).Object
	check(t, h, s, priv, ck.CKA_PUBLIC_KEY_INFO, info)
	must(t, h, &p11.SetAttributeValue{Session: s, Object: priv, Template: tmpl(ck.CKA_PUBLIC_KEY_INFO, info)})
	must(t, h, &p11.SetAttributeValue{Session: s, Object: priv, Template: tmpl(ck.CKA_PUBLIC_KEY_INFO, "")})
	want(t, h, ck.CKR_ATTRIBUTE_VALUE_INVALID, &p11.SetAttributeValue{Session: s, Object: priv, Template: tmpl(ck.CKA_PUBLIC_KEY_INFO, "x")})
	check(t, h, s, priv, ck.CKA_PUBLIC_KEY_INFO, info)
	point, _ := testEC().PublicKey.Bytes()
	pub := create(t, h, s, ck.CKA_CLASS, ck.CKO_PUBLIC_KEY, ck.CKA_KEY_TYPE, ck.CKK_EC, ck.CKA_EC_PARAMS, p256Params, ck.CKA_EC_POINT, point)
	check(t, h, s, pub, ck.CKA_PUBLIC_KEY_INFO, info, ck.CKA_EC_POINT, octetString(point))

	der := testCertificate(t)
	sum := sha1.Sum(der)
	cert := create(t, h, s, ck.CKA_CLASS, ck.CKO_CERTIFICATE, ck.CKA_CERTIFICATE_TYPE, ck.CKC_X_509, ck.CKA_SUBJECT, "s", ck.CKA_VALUE, der)
	check(t, h, s, cert, ck.CKA_PUBLIC_KEY_INFO, info, ck.CKA_CHECK_VALUE, sum[:3])
	cert = create(t, h, s, ck.CKA_CLASS, ck.CKO_CERTIFICATE, ck.CKA_CERTIFICATE_TYPE, ck.CKC_X_509, ck.CKA_SUBJECT, "s", ck.CKA_VALUE, der,
		ck.CKA_PUBLIC_KEY_INFO, "theirs", ck.CKA_CHECK_VALUE, "")
	check(t, h, s, cert, ck.CKA_PUBLIC_KEY_INFO, "theirs")

	id, _ := read(h, s, pub, ck.CKA_UNIQUE_ID)
	if !regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`).Match(id) {
		t.Errorf("CKA_UNIQUE_ID %q", id)
	}
	if found := find(t, h, s, ck.CKA_UNIQUE_ID, id); !slices.Equal(found, []ck.ObjectHandle{pub}) {
		t.Error(found)
	}
}

func testCertificate(t *testing.T) []byte {
	t.Helper()
	c := &x509.Certificate{SerialNumber: big.NewInt(5), Subject: pkix.Name{CommonName: "test"},
		NotBefore: time.Unix(0, 0), NotAfter: time.Unix(1<<31, 0)}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &testEC().PublicKey, testEC())
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func TestCertificateKeyInfoOfGarbage(t *testing.T) {
	for _, b := range [][]byte{nil, {0x30}, []byte("no certificate"), {0x30, 0x80}, bytes.Repeat([]byte{0x30, 0x82}, 40)} {
		if info := certificateKeyInfo(b); info != nil {
			t.Errorf("%x: %x", b, info)
		}
	}
	short, _ := asn1.Marshal(struct{ A, B int }{1, 2})
	if info := certificateKeyInfo(short); info != nil {
		t.Errorf("%x", info)
	}
}

func TestSetAttributeValue(t *testing.T) {
	h, s := officer(t)
	for _, token := range []bool{false, true} {
		o := create(t, h, s, ck.CKA_CLASS, ck.CKO_SECRET_KEY, ck.CKA_KEY_TYPE, ck.CKK_AES, ck.CKA_VALUE, "0123456789abcdef",
			ck.CKA_TOKEN, token, ck.CKA_EXTRACTABLE, true)
		set := func(pairs ...any) *p11.SetAttributeValue {
			return &p11.SetAttributeValue{Session: s, Object: o, Template: tmpl(pairs...)}
		}
		must(t, h, set(ck.CKA_LABEL, "new", ck.CKA_ID, "id", ck.CKA_ENCRYPT, false))
		check(t, h, s, o, ck.CKA_LABEL, "new", ck.CKA_ID, "id", ck.CKA_ENCRYPT, false, ck.CKA_VALUE, "0123456789abcdef")
		must(t, h, set())

		want(t, h, ck.CKR_ATTRIBUTE_READ_ONLY, set(ck.CKA_LABEL, "other", ck.CKA_VALUE, "x")) // all or none
		check(t, h, s, o, ck.CKA_LABEL, "new")
		for _, c := range []struct {
			t    ck.AttributeType
			v    any
			want ck.RV
		}{
			{ck.CKA_CLASS, ck.CKO_SECRET_KEY, ck.CKR_ATTRIBUTE_READ_ONLY},
			{ck.CKA_KEY_TYPE, ck.CKK_AES, ck.CKR_ATTRIBUTE_READ_ONLY},
			{ck.CKA_TOKEN, true, ck.CKR_ATTRIBUTE_READ_ONLY},
			{ck.CKA_PRIVATE, false, ck.CKR_ATTRIBUTE_READ_ONLY},
			{ck.CKA_MODIFIABLE, false, ck.CKR_ATTRIBUTE_READ_ONLY},
			{ck.CKA_DESTROYABLE, false, ck.CKR_ATTRIBUTE_READ_ONLY},
			{ck.CKA_UNIQUE_ID, "x", ck.CKR_ATTRIBUTE_READ_ONLY},
			{ck.CKA_VALUE_LEN, 16, ck.CKR_ATTRIBUTE_READ_ONLY},
			{ck.CKA_LOCAL, false, ck.CKR_ATTRIBUTE_READ_ONLY},
			{ck.CKA_ALLOWED_MECHANISMS, "", ck.CKR_ATTRIBUTE_READ_ONLY},
			{ck.CKA_WRAP_TEMPLATE, tmpl(), ck.CKR_ATTRIBUTE_READ_ONLY},
			{ck.CKA_TRUSTED, true, ck.CKR_ATTRIBUTE_READ_ONLY},
			{ck.CKA_MODULUS, "x", ck.CKR_TEMPLATE_INCONSISTENT},
			{ck.AttributeType(0x7777777), "x", ck.CKR_ATTRIBUTE_TYPE_INVALID},
			{ck.CKA_SIGN, "xx", ck.CKR_ATTRIBUTE_VALUE_INVALID},
			{ck.CKA_END_DATE, "today", ck.CKR_ATTRIBUTE_VALUE_INVALID},
		} {
			want(t, h, c.want, set(c.t, c.v))
		}
		// One way only, and staying is no change.
		for _, c := range []struct {
			t    ck.AttributeType
			last bool
		}{{ck.CKA_SENSITIVE, true}, {ck.CKA_EXTRACTABLE, false}, {ck.CKA_WRAP_WITH_TRUSTED, true}, {ck.CKA_COPYABLE, false}} {
			must(t, h, set(c.t, !c.last))
			must(t, h, set(c.t, c.last))
			must(t, h, set(c.t, c.last))
			want(t, h, ck.CKR_ATTRIBUTE_READ_ONLY, set(c.t, !c.last))
			check(t, h, s, o, c.t, c.last)
		}
		check(t, h, s, o, ck.CKA_ALWAYS_SENSITIVE, false, ck.CKA_NEVER_EXTRACTABLE, false)
		if _, rv := read(h, s, o, ck.CKA_VALUE); rv != ck.CKR_ATTRIBUTE_SENSITIVE {
			t.Error(rv)
		}
		want(t, h, ck.CKR_ACTION_PROHIBITED, &p11.CopyObject{Session: s, Object: o})

		o = create(t, h, s, ck.CKA_CLASS, ck.CKO_DATA, ck.CKA_TOKEN, token, ck.CKA_MODIFIABLE, false, ck.CKA_DESTROYABLE, false)
		want(t, h, ck.CKR_ACTION_PROHIBITED, set(ck.CKA_LABEL, "x"))
		want(t, h, ck.CKR_ACTION_PROHIBITED, &p11.DestroyObject{Session: s, Object: o})
	}
}

func TestCopyObject(t *testing.T) {
	h, s := officer(t)
	base := create(t, h, s, ck.CKA_CLASS, ck.CKO_SECRET_KEY, ck.CKA_KEY_TYPE, ck.CKK_AES, ck.CKA_VALUE, "0123456789abcdef",
		ck.CKA_EXTRACTABLE, true, ck.CKA_LABEL, "base")
	copied := func(pairs ...any) ck.ObjectHandle {
		t.Helper()
		return must(t, h, &p11.CopyObject{Session: s, Object: base, Template: tmpl(pairs...)}).Object
	}
	o := copied(ck.CKA_TOKEN, true, ck.CKA_MODIFIABLE, false, ck.CKA_DESTROYABLE, false, ck.CKA_LABEL, "copy")
	check(t, h, s, o, ck.CKA_TOKEN, true, ck.CKA_LABEL, "copy", ck.CKA_VALUE, "0123456789abcdef", ck.CKA_MODIFIABLE, false, ck.CKA_DESTROYABLE, false)
	if o >= firstBuiltin {
		t.Errorf("handle %d of a token object", o)
	}
	id1, _ := read(h, s, base, ck.CKA_UNIQUE_ID)
	id2, _ := read(h, s, o, ck.CKA_UNIQUE_ID)
	if bytes.Equal(id1, id2) {
		t.Error("the copy has the same CKA_UNIQUE_ID")
	}
	base = o // a copy of the copy may be modifiable again
	check(t, h, s, copied(ck.CKA_MODIFIABLE, true), ck.CKA_MODIFIABLE, true, ck.CKA_TOKEN, true)
	check(t, h, s, copied(ck.CKA_SENSITIVE, true, ck.CKA_EXTRACTABLE, false), ck.CKA_SENSITIVE, true, ck.CKA_EXTRACTABLE, false,
		ck.CKA_ALWAYS_SENSITIVE, false, ck.CKA_NEVER_EXTRACTABLE, false)

	base = copied(ck.CKA_SENSITIVE, true, ck.CKA_EXTRACTABLE, false, ck.CKA_TOKEN, false)
	for _, c := range []struct {
		t    ck.AttributeType
		v    any
		want ck.RV
	}{
		{ck.CKA_SENSITIVE, false, ck.CKR_ATTRIBUTE_READ_ONLY},
		{ck.CKA_EXTRACTABLE, true, ck.CKR_ATTRIBUTE_READ_ONLY},
		{ck.CKA_PRIVATE, false, ck.CKR_TEMPLATE_INCONSISTENT},
		{ck.CKA_VALUE, "0123456789abcdef", ck.CKR_ATTRIBUTE_READ_ONLY},
		{ck.CKA_CLASS, ck.CKO_SECRET_KEY, ck.CKR_ATTRIBUTE_READ_ONLY},
		{ck.CKA_UNIQUE_ID, "x", ck.CKR_ATTRIBUTE_READ_ONLY},
		{ck.CKA_TRUSTED, true, ck.CKR_ATTRIBUTE_READ_ONLY},
		{ck.CKA_MODULUS, "x", ck.CKR_TEMPLATE_INCONSISTENT},
	} {
		want(t, h, c.want, &p11.CopyObject{Session: s, Object: base, Template: tmpl(c.t, c.v)})
	}
	want(t, h, ck.CKR_OBJECT_HANDLE_INVALID, &p11.CopyObject{Session: s, Object: 12345})

	// Generated keys keep their history.
	g := must(t, h, &p11.GenerateKey{Session: s, Mechanism: &ck.Mechanism{Type: ck.CKM_AES_KEY_GEN},
		Template: tmpl(ck.CKA_VALUE_LEN, 32, ck.CKA_SENSITIVE, true)}).Object
	history := []any{ck.CKA_LOCAL, true, ck.CKA_ALWAYS_SENSITIVE, true, ck.CKA_NEVER_EXTRACTABLE, true, ck.CKA_KEY_GEN_MECHANISM, ck.CKM_AES_KEY_GEN}
	check(t, h, s, g, history...)
	base = g
	check(t, h, s, copied(), history...)
}

func TestGeneratedAndDerivedHistory(t *testing.T) {
	h, s := officer(t)
	for _, c := range []struct{ sensitive, extractable bool }{{false, false}, {true, true}, {false, true}, {true, false}} {
		g := must(t, h, &p11.GenerateKey{Session: s, Mechanism: &ck.Mechanism{Type: ck.CKM_GENERIC_SECRET_KEY_GEN},
			Template: tmpl(ck.CKA_VALUE_LEN, 32, ck.CKA_SENSITIVE, c.sensitive, ck.CKA_EXTRACTABLE, c.extractable, ck.CKA_DERIVE, true)}).Object
		check(t, h, s, g, ck.CKA_ALWAYS_SENSITIVE, c.sensitive, ck.CKA_NEVER_EXTRACTABLE, !c.extractable, ck.CKA_LOCAL, true)

		base, err := h.object(t.Context(), mustSession(t, h, s), g)
		if err != nil {
			t.Fatal(err)
		}
		for _, sensitive := range []bool{false, true} {
			for _, extractable := range []bool{false, true} {
				o, err := h.build(t.Context(), mustSession(t, h, s), &draft{origin: originDerive, class: ck.CKO_SECRET_KEY, keyType: ck.CKK_GENERIC_SECRET,
					template: tmpl(ck.CKA_SENSITIVE, sensitive, ck.CKA_EXTRACTABLE, extractable),
					values:   tmpl(ck.CKA_VALUE, "derived"), base: base, from: base})
				if err != nil {
					t.Fatal(err)
				}
				if got, want := o.bool(ck.CKA_ALWAYS_SENSITIVE), c.sensitive && sensitive; got != want {
					t.Errorf("base %+v, derived sensitive %v: always sensitive %v", c, sensitive, got)
				}
				if got, want := o.bool(ck.CKA_NEVER_EXTRACTABLE), !c.extractable && !extractable; got != want {
					t.Errorf("base %+v, derived extractable %v: never extractable %v", c, extractable, got)
				}
				if o.bool(ck.CKA_LOCAL) {
					t.Error("a derived key claims to be local")
				}
			}
		}
	}
}

func mustSession(t *testing.T, h *HSM, s ck.SessionHandle) *session {
	t.Helper()
	x, err := h.session(s)
	if err != nil {
		t.Fatal(err)
	}
	return x
}

func TestBindingTemplates(t *testing.T) {
	h, s := officer(t)
	ctx, ses := t.Context(), mustSession(t, h, s)
	unwrap := func(binding []ck.Attribute, pairs ...any) (*object, error) {
		k := create(t, h, s, ck.CKA_CLASS, ck.CKO_SECRET_KEY, ck.CKA_KEY_TYPE, ck.CKK_AES, ck.CKA_VALUE, "0123456789abcdef",
			ck.CKA_UNWRAP_TEMPLATE, binding)
		from, err := h.object(ctx, ses, k)
		if err != nil {
			t.Fatal(err)
		}
		d := &draft{origin: originUnwrap, class: ck.CKO_SECRET_KEY, keyType: ck.CKK_AES, template: tmpl(pairs...),
			values: tmpl(ck.CKA_VALUE, "fedcba9876543210"), from: from}
		if err := h.precheck(ctx, ses, d); err != nil {
			return nil, err
		}
		return h.build(ctx, ses, d)
	}
	keyType := []any{ck.CKA_KEY_TYPE, ck.CKK_AES}
	o, err := unwrap(tmpl(ck.CKA_EXTRACTABLE, false, ck.CKA_LABEL, "bound"), keyType...)
	if err != nil || o.bool(ck.CKA_EXTRACTABLE) || string(o.bytes(ck.CKA_LABEL)) != "bound" {
		t.Errorf("%v, %+v", err, o)
	}
	if o, err = unwrap(nil, keyType...); err != nil || !o.bool(ck.CKA_EXTRACTABLE) {
		t.Errorf("C_UnwrapKey defaults to extractable: %v", err)
	}
	if _, err = unwrap(tmpl(ck.CKA_KEY_TYPE, ck.CKK_AES)); err != nil {
		t.Errorf("the key type may come from the unwrapping key: %v", err)
	}
	for name, c := range map[string]struct {
		binding []ck.Attribute
		pairs   []any
		want    ck.RV
	}{
		"contradiction":     {tmpl(ck.CKA_EXTRACTABLE, false), append(keyType, ck.CKA_EXTRACTABLE, true), ck.CKR_TEMPLATE_INCONSISTENT},
		"agreement":         {tmpl(ck.CKA_EXTRACTABLE, false), append(keyType, ck.CKA_EXTRACTABLE, false), ck.CKR_OK},
		"other class":       {tmpl(ck.CKA_CLASS, ck.CKO_PRIVATE_KEY), keyType, ck.CKR_TEMPLATE_INCONSISTENT},
		"other type":        {tmpl(ck.CKA_KEY_TYPE, ck.CKK_GENERIC_SECRET), nil, ck.CKR_TEMPLATE_INCONSISTENT},
		"impossible":        {tmpl(ck.CKA_MODULUS, "m"), keyType, ck.CKR_TEMPLATE_INCONSISTENT},
		"computed, right":   {tmpl(ck.CKA_LOCAL, false), keyType, ck.CKR_OK},
		"computed, wrong":   {tmpl(ck.CKA_LOCAL, true), keyType, ck.CKR_TEMPLATE_INCONSISTENT},
		"length, right":     {tmpl(ck.CKA_VALUE_LEN, 16), keyType, ck.CKR_OK},
		"length, wrong":     {tmpl(ck.CKA_VALUE_LEN, 32), keyType, ck.CKR_WRAPPED_KEY_LEN_RANGE},
		"trusted":           {tmpl(ck.CKA_TRUSTED, true), keyType, ck.CKR_TEMPLATE_INCONSISTENT},
		"nested":            {tmpl(ck.CKA_WRAP_TEMPLATE, tmpl(ck.CKA_SIGN, true)), keyType, ck.CKR_OK},
		"nested, agreement": {tmpl(ck.CKA_WRAP_TEMPLATE, tmpl(ck.CKA_SIGN, true)), append(keyType, ck.CKA_WRAP_TEMPLATE, tmpl(ck.CKA_SIGN, true)), ck.CKR_OK},
		"nested, other":     {tmpl(ck.CKA_WRAP_TEMPLATE, tmpl(ck.CKA_SIGN, true)), append(keyType, ck.CKA_WRAP_TEMPLATE, tmpl(ck.CKA_SIGN, false)), ck.CKR_TEMPLATE_INCONSISTENT},
		"guessed value":     {tmpl(ck.CKA_VALUE, "fedcba9876543210"), append(keyType, ck.CKA_SENSITIVE, true), ck.CKR_TEMPLATE_INCONSISTENT},
		"no key type":       {nil, nil, ck.CKR_TEMPLATE_INCOMPLETE},
		"value":             {nil, append(keyType, ck.CKA_VALUE, "fedcba9876543210"), ck.CKR_ATTRIBUTE_READ_ONLY},
	} {
		if _, err := unwrap(c.binding, c.pairs...); ck.RVOf(err) != c.want {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}

func TestMatches(t *testing.T) {
	h, s := officer(t)
	handle := create(t, h, s, ck.CKA_CLASS, ck.CKO_SECRET_KEY, ck.CKA_KEY_TYPE, ck.CKK_AES, ck.CKA_VALUE, "0123456789abcdef",
		ck.CKA_WRAP_TEMPLATE, tmpl(ck.CKA_SIGN, true, ck.CKA_LABEL, "x"))
	o, err := h.object(t.Context(), mustSession(t, h, s), handle)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		template []ck.Attribute
		want     bool
	}{
		{nil, true},
		{tmpl(ck.CKA_KEY_TYPE, ck.CKK_AES, ck.CKA_ENCRYPT, true), true},
		{tmpl(ck.CKA_ENCRYPT, "\x02"), true},
		{tmpl(ck.CKA_ENCRYPT, ""), false},
		{tmpl(ck.CKA_ENCRYPT, false), false},
		{tmpl(ck.CKA_MODULUS, ""), false},
		{tmpl(ck.CKA_VALUE, "0123456789abcdef"), false},
		{tmpl(ck.CKA_LABEL, nil), true},
		{tmpl(ck.CKA_WRAP_TEMPLATE, tmpl(ck.CKA_LABEL, "x", ck.CKA_SIGN, true)), true},
		{tmpl(ck.CKA_WRAP_TEMPLATE, tmpl(ck.CKA_LABEL, "x")), false},
		{tmpl(ck.AttributeType(0x7777), ""), false},
	} {
		if got := o.matches(c.template); got != c.want {
			t.Errorf("%v: %v", c.template, got)
		}
	}
	if list := o.template(ck.CKA_WRAP_TEMPLATE); len(list) != 2 || list[0].Type != ck.CKA_LABEL {
		t.Error(list)
	}
	if o.template(ck.CKA_UNWRAP_TEMPLATE) != nil || o.template(ck.CKA_VALUE) != nil {
		t.Error("templates where none are")
	}
}

func TestKeyObjectsOnly(t *testing.T) {
	h, s := officer(t)
	ses := mustSession(t, h, s)
	data := create(t, h, s, ck.CKA_CLASS, ck.CKO_DATA)
	key := create(t, h, s, ck.CKA_CLASS, ck.CKO_SECRET_KEY, ck.CKA_KEY_TYPE, ck.CKK_AES, ck.CKA_VALUE, "0123456789abcdef", ck.CKA_TOKEN, true)
	for handle, want := range map[ck.ObjectHandle]ck.RV{data: ck.CKR_KEY_HANDLE_INVALID, 0: ck.CKR_KEY_HANDLE_INVALID,
		firstBuiltin: ck.CKR_KEY_HANDLE_INVALID, firstSessionObject + 1<<20: ck.CKR_KEY_HANDLE_INVALID, 1 << 40: ck.CKR_KEY_HANDLE_INVALID,
		^ck.ObjectHandle(0): ck.CKR_KEY_HANDLE_INVALID, key: ck.CKR_OK} {
		o, err := h.keyObject(t.Context(), ses, handle)
		if ck.RVOf(err) != want {
			t.Errorf("%d: %v", handle, err)
		}
		if err != nil {
			continue
		}
		k := o.key()
		if string(k.Value()) != "0123456789abcdef" || k != o.key() || k.Type != ck.CKK_AES {
			t.Errorf("key material %+v", k)
		}
	}
}

// A key is completed with the defaults of its template in place already.
func TestMaterialHasNoDefault(t *testing.T) {
	for key, sch := range schemas() {
		for _, a := range sch.material {
			if sch.row(a).def != nil {
				t.Errorf("class %v, type %#x: %v is key material and has a default", key.class, key.subtype, a)
			}
		}
	}
}

// What precheck found out holds for build only as long as nobody logged in or
// out, or changed a policy.
func TestPlanOfAnotherLogin(t *testing.T) {
	h, s := officer(t)
	ctx, ses := t.Context(), mustSession(t, h, s)
	d := &draft{origin: originDerive, class: ck.CKO_SECRET_KEY, keyType: ck.CKK_GENERIC_SECRET, values: tmpl(ck.CKA_VALUE, "value")}
	if err := h.precheck(ctx, ses, d); err != nil {
		t.Fatal(err)
	}
	must(t, h, &p11.Logout{Session: s})
	if _, err := h.build(ctx, ses, d); ck.RVOf(err) != ck.CKR_USER_NOT_LOGGED_IN {
		t.Errorf("a private key made after the logout: %v", err)
	}
}
