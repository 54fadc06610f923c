package engine

import (
	"bytes"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"math/big"
	"slices"
	"strings"
	"testing"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"github.com/perilune/perilune/cryptoki/ck"
)

func unbase64(t testing.TB, s string) []byte {
	t.Helper()
	b, err := base64.StdEncoding.DecodeString(strings.ReplaceAll(s, "\n", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// unmarshal finds the key type by the algorithm, as the HSM does.
func unmarshal(der []byte) (*Key, error) {
	oid, err := PrivateKeyAlgorithm(der)
	if err != nil {
		return nil, err
	}
	for _, kt := range KeyTypes() {
		if slices.Contains(kt.OIDs, oid) {
			attrs, err := kt.UnmarshalPKCS8(der)
			if err != nil {
				return nil, err
			}
			k := &Key{Class: ck.CKO_PRIVATE_KEY, Type: kt.Type, Attrs: attrs}
			return k, complete(k)
		}
	}
	return nil, ck.CKR_KEY_TYPE_INCONSISTENT
}

// TestRFC8410 reads and writes the examples of RFC 8410, section 10.3 and 10.1.
func TestRFC8410(t *testing.T) {
	v1 := unbase64(t, "MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC")
	v2 := unbase64(t, `MHICAQEwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC
oB8wHQYKKoZIhvcNAQkJFDEPDA1DdXJkbGUgQ2hhaXJzgSEAGb9ECWmEzf6FQbrB
Z9w7lshQhqowtrbLDFw4rXAxZuE=`)
	public := unbase64(t, "MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=")
	for name, der := range map[string][]byte{"version 0": v1, "version 1": v2} {
		k, err := unmarshal(der)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if got, err := marshalEC(k); err != nil || !bytes.Equal(got, v1) {
			t.Errorf("%s: written again: %x, %v", name, got, err)
		}
		for _, k := range []*Key{k, publicOf(k)} {
			if got, err := ecPublicInfo(k); err != nil || !bytes.Equal(got, public) {
				t.Errorf("%s: SubjectPublicKeyInfo: %x, %v", name, got, err)
			}
		}
	}
	wrongPublic := bytes.Clone(v2)
	wrongPublic[len(wrongPublic)-1] ^= 1
	_, err := unmarshal(wrongPublic)
	wantRV(t, "public key of another", err, ck.CKR_ATTRIBUTE_VALUE_INVALID)
}

// TestCurvePrivateKeyVariants: some writers leave out the inner OCTET STRING,
// or add NULL parameters.
func TestCurvePrivateKeyVariants(t *testing.T) {
	seed := bytes.Repeat([]byte{0x42}, 32)
	for _, oid := range []string{oidEd25519, oidEd25519Old, oidX25519, oidX25519Old} {
		for name, params := range map[string]func(*cryptobyte.Builder){"": nil, " with NULL": addNull} {
			for inner, add := range map[string]func(*cryptobyte.Builder){
				"nested": func(b *cryptobyte.Builder) { b.AddASN1OctetString(seed) },
				"bare":   func(b *cryptobyte.Builder) { b.AddBytes(seed) },
			} {
				der, err := privateKeyInfo(oid, params, add)
				if err != nil {
					t.Fatal(err)
				}
				k, err := unmarshal(der)
				if err != nil || !bytes.Equal(k.Value(), seed) {
					t.Errorf("%s%s, %s: %v", oid, name, inner, err)
				}
			}
		}
	}
	for _, n := range []int{0, 31, 33, 64} {
		der, err := privateKeyInfo(oidEd25519, nil, func(b *cryptobyte.Builder) { b.AddASN1OctetString(make([]byte, n)) })
		if err != nil {
			t.Fatal(err)
		}
		if _, err := unmarshal(der); err == nil {
			t.Errorf("%d bytes: accepted", n)
		}
	}
}

// TestRSAPublishedPKCS8 writes the published RSA key as it was read.
func TestRSAPublishedPKCS8(t *testing.T) {
	der := asymAnswers()["rsa"]["pkcs8"]
	k, err := unmarshal(der)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := marshalRSA(k); err != nil || !bytes.Equal(got, der) {
		t.Errorf("%x, %v", got, err)
	}
	padded := append(bytes.Clone(der), 0, 0, 0, 0, 0)
	if _, err := unmarshal(padded); err != nil {
		t.Errorf("padding of key wrap: %v", err)
	}
	_, err = unmarshal(append(bytes.Clone(der), 1))
	wantRV(t, "byte behind", err, ck.CKR_WRAPPED_KEY_INVALID)

	attrs, err := unmarshalRSA(padded)
	if err != nil {
		t.Fatal(err)
	}
	clear(padded)
	if allZero(attrs[0].Value) {
		t.Error("attributes share the memory of the encoding")
	}
}

// TestX509Agrees writes what crypto/x509 reads, and reads what it writes.
func TestX509Agrees(t *testing.T) {
	_, priv := published(t)
	keys := []*Key{priv}
	for _, c := range curves() {
		if c.bits == 224 || c.bits == 448 || c.group != nil && c.nist == nil {
			continue // crypto/x509 reads P-224, but has no ECDH; the others it does not know
		}
		value, _, err := c.generate()
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, completed(t, c.testKey(answer{"value": value})))
	}
	for _, k := range keys {
		kt := FindKeyType(k.Type)
		der, err := kt.MarshalPKCS8(k)
		if err != nil {
			t.Fatal(err)
		}
		std, err := x509.ParsePKCS8PrivateKey(der)
		if err != nil {
			t.Fatalf("%v: %v", k.Type, err)
		}
		again, err := x509.MarshalPKCS8PrivateKey(std)
		if err != nil {
			t.Fatal(err)
		}
		k2, err := unmarshal(again)
		if err != nil {
			t.Fatalf("%v: %v", k.Type, err)
		}
		der2, err := kt.MarshalPKCS8(k2)
		if err != nil || !bytes.Equal(der, der2) {
			t.Errorf("%v: %x, then %x, %v", k.Type, der, der2, err)
		}
		spki, err := kt.PublicInfo(k)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := x509.ParsePKIXPublicKey(spki); err != nil {
			t.Errorf("%v: %v", k.Type, err)
		}
		if fromPublic, err := kt.PublicInfo(publicOf(k)); err != nil || !bytes.Equal(spki, fromPublic) {
			t.Errorf("%v: public and private key give other information: %v", k.Type, err)
		}
	}
}

// ecPrivateKeyInfo builds a PrivateKeyInfo of an EC key with the parts wanted.
func ecPrivateKeyInfo(t *testing.T, outer, inner, point []byte, value []byte) []byte {
	t.Helper()
	params := func(b *cryptobyte.Builder) { b.AddBytes(outer) }
	der, err := privateKeyInfo(oidECPublicKey, params, func(b *cryptobyte.Builder) {
		b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1Uint64(1)
			b.AddASN1OctetString(value)
			if inner != nil {
				b.AddASN1(tagECParameters, func(b *cryptobyte.Builder) { b.AddBytes(inner) })
			}
			if point != nil {
				b.AddASN1(tagECPublicKey, func(b *cryptobyte.Builder) { b.AddASN1BitString(point) })
			}
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func TestECPrivateKeyVariants(t *testing.T) {
	c := testCurve("secp256r1")
	a := asymAnswers()["ec-key"]
	p256, p384 := c.params(), testCurve("secp384r1").params()
	null := []byte{5, 0}
	for _, x := range []struct {
		name                       string
		outer, inner, point, value []byte
		rv                         ck.RV
	}{
		{"usual", p256, nil, a["point"], a["value"], ck.CKR_OK},
		{"no point", p256, nil, nil, a["value"], ck.CKR_OK},
		{"parameters twice", p256, p256, nil, a["value"], ck.CKR_OK},
		{"parameters inside", nil, p256, nil, a["value"], ck.CKR_OK},
		{"NULL outside", null, p256, nil, a["value"], ck.CKR_OK},
		{"explicit outside, OID inside", explicitOf(c.nist).der(), p256, nil, a["value"], ck.CKR_OK},
		{"leading zeros", p256, nil, nil, append(make([]byte, 3), a["value"]...), ck.CKR_OK},
		{"two curves", p256, p384, nil, a["value"], ck.CKR_WRAPPED_KEY_INVALID},
		{"no parameters", nil, nil, nil, a["value"], ck.CKR_ATTRIBUTE_VALUE_INVALID},
		{"unknown curve", derOID("1.3.132.0.99"), nil, nil, a["value"], ck.CKR_CURVE_NOT_SUPPORTED},
		{"another point", p256, nil, anotherPoint(), a["value"], ck.CKR_ATTRIBUTE_VALUE_INVALID},
		{"too long", p256, nil, nil, append([]byte{1}, a["value"]...), ck.CKR_ATTRIBUTE_VALUE_INVALID},
		{"value 0", p256, nil, nil, make([]byte, 32), ck.CKR_ATTRIBUTE_VALUE_INVALID},
		{"value = order", p256, nil, nil, c.nist.Params().N.Bytes(), ck.CKR_ATTRIBUTE_VALUE_INVALID},
		{"no value", p256, nil, nil, nil, ck.CKR_TEMPLATE_INCOMPLETE},
	} {
		k, err := unmarshal(ecPrivateKeyInfo(t, x.outer, x.inner, x.point, x.value))
		wantRV(t, x.name, err, x.rv)
		if err == nil && (!bytes.Equal(k.Value(), a["value"]) || !bytes.Equal(k.Bytes(ck.CKA_EC_POINT), storedPoint(a["point"]))) {
			t.Errorf("%s: another key", x.name)
		}
	}
	// A short value is filled up; RFC 5915 wants the length of the order.
	short := ecPrivateKeyInfo(t, p256, nil, nil, []byte{7})
	k, err := unmarshal(short)
	if err != nil || len(k.Value()) != 32 {
		t.Fatalf("short value: %v", err)
	}
	der, err := marshalEC(k)
	if err != nil || !bytes.Contains(der, append([]byte{4, 32}, k.Value()...)) {
		t.Errorf("%x, %v", der, err)
	}
}

func TestPKCS8Refused(t *testing.T) {
	good := asymAnswers()["rsa"]["pkcs8"]
	change := func(at int, b byte) []byte {
		der := bytes.Clone(good)
		der[at] = b
		return der
	}
	for name, der := range map[string][]byte{
		"nothing":             nil,
		"zeros":               make([]byte, 40),
		"cut short":           good[:len(good)-1],
		"version 2":           change(6, 2),
		"another RSA version": change(bytes.Index(good, []byte{2, 1, 0, 2, 0x82})+2, 1),
		"ECPrivateKey for RSA": func() []byte {
			der, _ := privateKeyInfo(oidRSA, addNull, func(b *cryptobyte.Builder) { addECPrivateKey(b, []byte{1}, []byte{4}) })
			return der
		}(),
		"two primes missing": func() []byte {
			der, _ := privateKeyInfo(oidRSA, addNull, func(b *cryptobyte.Builder) {
				b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
					b.AddASN1Uint64(0)
					b.AddASN1Uint64(15)
				})
			})
			return der
		}(),
		"public key that is no BIT STRING of bytes": append(bytes.Clone(unbase64(t, "MDECAQEwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC")), 0x81, 1, 7),
	} {
		_, err := unmarshal(der)
		wantRV(t, name, err, ck.CKR_WRAPPED_KEY_INVALID)
	}
}

// TestMarshalIncomplete is about keys without the values that PKCS #8 needs.
func TestMarshalIncomplete(t *testing.T) {
	pub, priv := published(t)
	plain := &Key{Class: ck.CKO_PRIVATE_KEY, Type: ck.CKK_RSA, Attrs: []ck.Attribute{
		ck.NewBytes(ck.CKA_MODULUS, priv.Bytes(ck.CKA_MODULUS)), ck.NewBytes(ck.CKA_PRIVATE_EXPONENT, priv.Bytes(ck.CKA_PRIVATE_EXPONENT)),
	}}
	for _, k := range []*Key{pub, plain, {Type: ck.CKK_RSA}} {
		_, err := marshalRSA(k)
		wantRV(t, "RSA", err, ck.CKR_KEY_NOT_WRAPPABLE)
	}
	if info, err := rsaPublicInfo(plain); info != nil || err != nil {
		t.Errorf("public information of a key without exponent: %x, %v", info, err)
	}
	for _, c := range curves() {
		if _, err := marshalEC(&Key{Type: c.key, Attrs: []ck.Attribute{ck.NewBytes(ck.CKA_EC_PARAMS, c.params())}}); err == nil {
			t.Errorf("%s: a key without value is written", c.names[0])
		}
		if _, err := marshalEC(&Key{Type: c.key}); err == nil {
			t.Errorf("%s: a key without anything is written", c.names[0])
		}
	}
}

// TestPKCS8OpenSSL reads the many forms that the openssl command writes, and
// lets it read ours.
func TestPKCS8OpenSSL(t *testing.T) {
	o := newOpenSSL(t)
	for name, args := range map[string][]string{
		"RSA":             {"-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:1024"},
		"RSA, e = 3":      {"-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:1024", "-pkeyopt", "rsa_keygen_pubexp:3"},
		"RSA-PSS":         {"-algorithm", "RSA-PSS", "-pkeyopt", "rsa_keygen_bits:1024", "-pkeyopt", "rsa_pss_keygen_md:sha256"},
		"P-224":           {"-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-224"},
		"P-256, explicit": {"-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-pkeyopt", "ec_param_enc:explicit"},
		"P-521":           {"-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-521"},
		"Ed25519":         {"-algorithm", "ED25519"},
		"X25519":          {"-algorithm", "X25519"},
	} {
		der := o.run(append([]string{"genpkey", "-outform", "DER"}, args...)...)
		o.write("theirs.der", der)
		k, err := unmarshal(o.run("pkcs8", "-topk8", "-nocrypt", "-inform", "DER", "-in", "theirs.der", "-outform", "DER"))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		ours, err := FindKeyType(k.Type).MarshalPKCS8(k)
		if err != nil {
			t.Fatal(err)
		}
		o.write("ours.der", ours)
		theirs := o.run("pkey", "-inform", "DER", "-in", "ours.der", "-pubout", "-outform", "DER")
		info, err := FindKeyType(k.Type).PublicInfo(k)
		if err != nil || !bytes.Equal(info, theirs) {
			t.Errorf("%s: SubjectPublicKeyInfo\n%x, openssl\n%x, %v", name, info, theirs, err)
		}
	}
}

func FuzzPKCS8(f *testing.F) {
	f.Add(asymAnswers()["rsa"]["pkcs8"])
	f.Add(unbase64(f, `MHICAQEwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC
oB8wHQYKKoZIhvcNAQkJFDEPDA1DdXJkbGUgQ2hhaXJzgSEAGb9ECWmEzf6FQbrB
Z9w7lshQhqowtrbLDFw4rXAxZuE=`))
	for _, c := range curves() {
		value, _, err := c.generate()
		if err != nil {
			f.Fatal(err)
		}
		der, err := marshalEC(c.testKey(answer{"value": value}))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(der)
	}
	f.Fuzz(func(t *testing.T, der []byte) {
		for _, kt := range KeyTypes() {
			if kt.UnmarshalPKCS8 == nil {
				continue
			}
			attrs, err := kt.UnmarshalPKCS8(der)
			if err != nil {
				continue
			}
			k := &Key{Class: ck.CKO_PRIVATE_KEY, Type: kt.Type, Attrs: attrs}
			if kt.Type == ck.CKK_RSA && rsaSize(k) > 1024 || complete(k) != nil {
				continue
			}
			if _, err := kt.MarshalPKCS8(k); err != nil && kt.Type != ck.CKK_RSA {
				t.Fatalf("a complete key cannot be written: %v\n%x", err, der)
			}
			if _, err := kt.PublicInfo(k); err != nil {
				t.Fatalf("a complete key has no public information: %v\n%x", err, der)
			}
		}
	})
}

// TestOIDsAreOurs: no two key types answer to one algorithm.
func TestOIDsAreOurs(t *testing.T) {
	seen := map[string]ck.KeyType{}
	for _, kt := range KeyTypes() {
		for _, oid := range kt.OIDs {
			if other, ok := seen[oid]; ok {
				t.Errorf("%s: %v and %v", oid, kt.Type, other)
			}
			seen[oid] = kt.Type
		}
	}
}

func TestCompleteRSA(t *testing.T) {
	pub, priv := published(t)
	attr := func(k *Key, types ...ck.AttributeType) (list []ck.Attribute) {
		for _, t := range types {
			list = append(list, ck.NewBytes(t, k.Bytes(t)))
		}
		return list
	}
	n := append([]byte{0}, pub.Bytes(ck.CKA_MODULUS)...)
	k := completed(t, &Key{Class: ck.CKO_PUBLIC_KEY, Type: ck.CKK_RSA, Attrs: []ck.Attribute{
		ck.NewBytes(ck.CKA_MODULUS, n), ck.NewBytes(ck.CKA_PUBLIC_EXPONENT, []byte{0, 1, 0, 1})}})
	if bits, _ := ck.ULong(k.Bytes(ck.CKA_MODULUS_BITS)); bits != 2048 || len(k.Bytes(ck.CKA_MODULUS)) != 256 || len(k.Bytes(ck.CKA_PUBLIC_EXPONENT)) != 3 {
		t.Errorf("%d bits, modulus %x", bits, k.Bytes(ck.CKA_MODULUS))
	}
	k = completed(t, &Key{Class: ck.CKO_PRIVATE_KEY, Type: ck.CKK_RSA, Attrs: attr(priv, ck.CKA_MODULUS, ck.CKA_PRIVATE_EXPONENT)})
	for _, a := range priv.Attrs {
		if !bytes.Equal(k.Bytes(a.Type), a.Value) {
			t.Errorf("%v: not found again", a.Type)
		}
	}
	for _, x := range []struct {
		name  string
		class ck.ObjectClass
		attrs []ck.Attribute
		rv    ck.RV
	}{
		{"public, empty", ck.CKO_PUBLIC_KEY, nil, ck.CKR_TEMPLATE_INCOMPLETE},
		{"public, no exponent", ck.CKO_PUBLIC_KEY, attr(pub, ck.CKA_MODULUS), ck.CKR_TEMPLATE_INCOMPLETE},
		{"public, even exponent", ck.CKO_PUBLIC_KEY, append(attr(pub, ck.CKA_MODULUS), ck.NewBytes(ck.CKA_PUBLIC_EXPONENT, []byte{4})), ck.CKR_ATTRIBUTE_VALUE_INVALID},
		{"private, empty", ck.CKO_PRIVATE_KEY, nil, ck.CKR_TEMPLATE_INCOMPLETE},
		{"private, no modulus", ck.CKO_PRIVATE_KEY, attr(priv, ck.CKA_PRIVATE_EXPONENT), ck.CKR_TEMPLATE_INCOMPLETE},
		{"private, wrong", ck.CKO_PRIVATE_KEY, append(attr(priv, ck.CKA_MODULUS, ck.CKA_PUBLIC_EXPONENT), ck.NewBytes(ck.CKA_PRIVATE_EXPONENT, []byte{3})), ck.CKR_ATTRIBUTE_VALUE_INVALID},
	} {
		wantRV(t, x.name, complete(&Key{Class: x.class, Type: ck.CKK_RSA, Attrs: x.attrs}), x.rv)
	}
}

func TestCompleteEC(t *testing.T) {
	for _, c := range curves() {
		value, point, err := c.generate()
		if err != nil {
			t.Fatal(err)
		}
		params := ck.NewBytes(ck.CKA_EC_PARAMS, derString(asn1.PrintableString, c.names[0]))
		for name, form := range pointForms(c, point) {
			k := completed(t, &Key{Class: ck.CKO_PUBLIC_KEY, Type: c.key, Attrs: []ck.Attribute{params, ck.NewBytes(ck.CKA_EC_POINT, form)}})
			if !bytes.Equal(k.Bytes(ck.CKA_EC_POINT), storedPoint(point)) || !bytes.Equal(k.Bytes(ck.CKA_EC_PARAMS), params.Value) {
				t.Errorf("%s, %s: stored %x", c.names[0], name, k.Attrs)
			}
			if FindKeyType(c.key).Size(k) != uint64(c.bits) {
				t.Errorf("%s: size %d", c.names[0], FindKeyType(c.key).Size(k))
			}
		}
		k := completed(t, &Key{Class: ck.CKO_PRIVATE_KEY, Type: c.key, Attrs: []ck.Attribute{params, ck.NewBytes(ck.CKA_VALUE, value)}})
		if !bytes.Equal(k.Bytes(ck.CKA_EC_POINT), storedPoint(point)) {
			t.Errorf("%s: private key got another point", c.names[0])
		}
		for what, attrs := range map[string][]ck.Attribute{
			"no value":      {params},
			"no parameters": {ck.NewBytes(ck.CKA_VALUE, value), ck.NewBytes(ck.CKA_EC_POINT, point)},
		} {
			for _, class := range []ck.ObjectClass{ck.CKO_PUBLIC_KEY, ck.CKO_PRIVATE_KEY} {
				wantRV(t, c.names[0]+", "+what, complete(&Key{Class: class, Type: c.key, Attrs: attrs}), ck.CKR_TEMPLATE_INCOMPLETE)
			}
		}
	}
}

// TestEdwardsPoints: what RFC 8032, section 5.1.3, does not decode is refused.
func TestEdwardsPoints(t *testing.T) {
	little := func(x *big.Int) []byte {
		b := x.FillBytes(make([]byte, 32))
		slices.Reverse(b)
		return b
	}
	p := new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 255), big.NewInt(19))
	one := little(big.NewInt(1))
	negativeZero := bytes.Clone(one)
	negativeZero[31] |= 0x80
	for name, x := range map[string]struct {
		b  []byte
		ok bool
	}{
		"neutral element":    {one, true},
		"x = -0":             {negativeZero, false},
		"y = p":              {little(p), false},
		"y = p + 1":          {little(new(big.Int).Add(p, big.NewInt(1))), false},
		"y = 2, no x":        {little(big.NewInt(2)), false},
		"RFC 8032, test 2":   {asymAnswers()["ed25519"]["point"], true},
		"base point":         {append([]byte{0x58}, bytes.Repeat([]byte{0x66}, 31)...), true},
		"base point negated": {append(append([]byte{0x58}, bytes.Repeat([]byte{0x66}, 30)...), 0xe6), true},
	} {
		if onEdwards25519(x.b) != x.ok {
			t.Errorf("%s: want %v", name, x.ok)
		}
	}
	k := &Key{Class: ck.CKO_PUBLIC_KEY, Type: ck.CKK_EC_EDWARDS, Attrs: []ck.Attribute{
		ck.NewBytes(ck.CKA_EC_PARAMS, derOID(oidEd25519)), ck.NewBytes(ck.CKA_EC_POINT, little(big.NewInt(2))),
	}}
	wantRV(t, "no point", complete(k), ck.CKR_ATTRIBUTE_VALUE_INVALID)
}

// TestWrappedValue: a CKA_VALUE that still has its OCTET STRING around it.
func TestWrappedValue(t *testing.T) {
	seed := bytes.Repeat([]byte{1}, 32)
	for _, name := range []string{"edwards25519", "curve25519"} {
		k := completed(t, testCurve(name).testKey(answer{"value": append([]byte{4, 32}, seed...)}))
		if hex.EncodeToString(k.Value()) != hex.EncodeToString(seed) {
			t.Errorf("%s: %x", name, k.Value())
		}
	}
}
