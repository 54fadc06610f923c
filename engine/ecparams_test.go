package engine

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"math/big"
	"testing"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"github.com/perilune/perilune/cryptoki/ck"
)

func derOID(oid string) []byte {
	var b cryptobyte.Builder
	addOID(&b, oid)
	return b.BytesOrPanic()
}

func derString(t asn1.Tag, s string) []byte {
	var b cryptobyte.Builder
	b.AddASN1(t, func(b *cryptobyte.Builder) { b.AddBytes([]byte(s)) })
	return b.BytesOrPanic()
}

// explicitParams are ECParameters as programs write them, which a test can then
// change.
type explicitParams struct {
	version            int64
	field              string
	p, order, cofactor *big.Int
	a, b, seed, base   []byte
	hash               bool
}

func explicitOf(c elliptic.Curve) *explicitParams {
	p := c.Params()
	size := (p.BitSize + 7) / 8
	a := new(big.Int).Sub(p.P, big.NewInt(3))
	base := append([]byte{4}, p.Gx.FillBytes(make([]byte, size))...)
	return &explicitParams{
		version: 1, field: primeField, p: p.P, order: p.N, cofactor: big.NewInt(1),
		a: a.FillBytes(make([]byte, size)), b: p.B.FillBytes(make([]byte, size)),
		base: append(base, p.Gy.FillBytes(make([]byte, size))...),
	}
}

func (e *explicitParams) der() []byte {
	var b cryptobyte.Builder
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1Int64(e.version)
		b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
			addOID(b, e.field)
			b.AddASN1BigInt(e.p)
		})
		b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1OctetString(e.a)
			b.AddASN1OctetString(e.b)
			if e.seed != nil {
				b.AddASN1BitString(e.seed)
			}
		})
		b.AddASN1OctetString(e.base)
		b.AddASN1BigInt(e.order)
		if e.cofactor != nil {
			b.AddASN1BigInt(e.cofactor)
		}
		if e.hash {
			addAlgorithm(b, "2.16.840.1.101.3.4.2.1", nil)
		}
	})
	return b.BytesOrPanic()
}

func TestECParamsKnown(t *testing.T) {
	explicit := func(curve elliptic.Curve, change func(*explicitParams)) []byte {
		e := explicitOf(curve)
		change(e)
		return e.der()
	}
	unchanged := func(*explicitParams) {}
	for _, x := range []struct {
		name string
		der  []byte
		t    ck.KeyType
		want string
	}{
		{"OID", derOID("1.2.840.10045.3.1.7"), ck.CKK_EC, "secp256r1"},
		{"OID", derOID("1.3.132.0.33"), ck.CKK_EC, "secp224r1"},
		{"OID", derOID("1.3.132.0.34"), ck.CKK_EC, "secp384r1"},
		{"OID", derOID("1.3.132.0.35"), ck.CKK_EC, "secp521r1"},
		{"OID", derOID("1.3.101.112"), ck.CKK_EC_EDWARDS, "edwards25519"},
		{"old OID", derOID("1.3.6.1.4.1.11591.15.1"), ck.CKK_EC_EDWARDS, "edwards25519"},
		{"OID", derOID("1.3.101.110"), ck.CKK_EC_MONTGOMERY, "curve25519"},
		{"old OID", derOID("1.3.6.1.4.1.3029.1.5.1"), ck.CKK_EC_MONTGOMERY, "curve25519"},
		{"OID", derOID("1.3.101.113"), ck.CKK_EC_EDWARDS, "edwards448"},
		{"OID", derOID("1.3.101.111"), ck.CKK_EC_MONTGOMERY, "curve448"},
		{"name", derString(asn1.PrintableString, "edwards448"), ck.CKK_EC_EDWARDS, "edwards448"},
		{"name", derString(asn1.PrintableString, "curve448"), ck.CKK_EC_MONTGOMERY, "curve448"},
		{"name", derString(asn1.PrintableString, "edwards25519"), ck.CKK_EC_EDWARDS, "edwards25519"},
		{"name", derString(asn1.PrintableString, "Ed25519"), ck.CKK_EC_EDWARDS, "edwards25519"},
		{"name", derString(asn1.PrintableString, "curve25519"), ck.CKK_EC_MONTGOMERY, "curve25519"},
		{"name", derString(asn1.PrintableString, "X25519"), ck.CKK_EC_MONTGOMERY, "curve25519"},
		{"UTF-8 name", derString(asn1.UTF8String, "secp256r1"), ck.CKK_EC, "secp256r1"},
		{"name", derString(asn1.PrintableString, "prime256v1"), ck.CKK_EC, "secp256r1"},
		{"name", derString(asn1.PrintableString, "P-384"), ck.CKK_EC, "secp384r1"},
		{"name in capitals", derString(asn1.PrintableString, "SECP521R1"), ck.CKK_EC, "secp521r1"},
		{"explicit", explicit(elliptic.P224(), unchanged), ck.CKK_EC, "secp224r1"},
		{"explicit", explicit(elliptic.P256(), unchanged), ck.CKK_EC, "secp256r1"},
		{"explicit", explicit(elliptic.P384(), unchanged), ck.CKK_EC, "secp384r1"},
		{"explicit", explicit(elliptic.P521(), unchanged), ck.CKK_EC, "secp521r1"},
		{"explicit with seed", explicit(elliptic.P256(), func(e *explicitParams) { e.seed = make([]byte, 20) }), ck.CKK_EC, "secp256r1"},
		{"explicit without cofactor", explicit(elliptic.P256(), func(e *explicitParams) { e.cofactor = nil }), ck.CKK_EC, "secp256r1"},
		{"explicit of version 3 with hash", explicit(elliptic.P256(), func(e *explicitParams) { e.version, e.hash = 3, true }), ck.CKK_EC, "secp256r1"},
		{"explicit, compressed base", explicit(elliptic.P256(), func(e *explicitParams) {
			e.base = append([]byte{3}, e.base[1:33]...)
		}), ck.CKK_EC, "secp256r1"},
		{"explicit, b without zeros", explicit(elliptic.P521(), func(e *explicitParams) { e.b = trimZeros(e.b) }), ck.CKK_EC, "secp521r1"},
	} {
		c, err := parseECParams(x.der, x.t)
		if err != nil || c.names[0] != x.want {
			t.Errorf("%s of %s: %v", x.name, x.want, err)
		}
	}
}

func TestECParamsRefused(t *testing.T) {
	explicit := func(change func(*explicitParams)) []byte {
		e := explicitOf(elliptic.P256())
		change(e)
		return e.der()
	}
	one := big.NewInt(1)
	good := explicit(func(*explicitParams) {})
	for _, x := range []struct {
		name string
		der  []byte
		rv   ck.RV
	}{
		{"nothing", nil, ck.CKR_ATTRIBUTE_VALUE_INVALID},
		{"one byte", []byte{6}, ck.CKR_ATTRIBUTE_VALUE_INVALID},
		{"empty OID", []byte{6, 0}, ck.CKR_ATTRIBUTE_VALUE_INVALID},
		{"OID cut short", derOID("1.2.840.10045.3.1.7")[:9], ck.CKR_ATTRIBUTE_VALUE_INVALID},
		{"bytes behind", append(derOID("1.2.840.10045.3.1.7"), 0), ck.CKR_ATTRIBUTE_VALUE_INVALID},
		{"length 2^32-1", []byte{6, 0x84, 0xff, 0xff, 0xff, 0xff, 1}, ck.CKR_ATTRIBUTE_VALUE_INVALID},
		{"indefinite length", []byte{0x30, 0x80, 0, 0}, ck.CKR_ATTRIBUTE_VALUE_INVALID},
		{"integer", []byte{2, 1, 1}, ck.CKR_ATTRIBUTE_VALUE_INVALID},
		{"OID without its header", derOID("1.3.101.112")[2:], ck.CKR_ATTRIBUTE_VALUE_INVALID},
		{"implicit", []byte{5, 0}, ck.CKR_CURVE_NOT_SUPPORTED},
		{"unknown OID", derOID("1.3.132.0.99"), ck.CKR_CURVE_NOT_SUPPORTED},
		{"unknown name", derString(asn1.PrintableString, "curve1174"), ck.CKR_CURVE_NOT_SUPPORTED},
		{"empty name", derString(asn1.PrintableString, ""), ck.CKR_CURVE_NOT_SUPPORTED},
		{"curve of another key type", derOID("1.3.101.112"), ck.CKR_CURVE_NOT_SUPPORTED},
		{"explicit, cut short", good[:len(good)-1], ck.CKR_ATTRIBUTE_VALUE_INVALID},
		{"explicit, empty", []byte{0x30, 0}, ck.CKR_ATTRIBUTE_VALUE_INVALID},
		{"explicit, binary field", explicit(func(e *explicitParams) { e.field = "1.2.840.10045.1.2" }), ck.CKR_ATTRIBUTE_VALUE_INVALID},
		{"explicit, other field", explicit(func(e *explicitParams) { e.p = new(big.Int).Add(e.p, one) }), ck.CKR_DOMAIN_PARAMS_INVALID},
		{"explicit, negative field", explicit(func(e *explicitParams) { e.p = new(big.Int).Neg(e.p) }), ck.CKR_ATTRIBUTE_VALUE_INVALID},
		{"explicit, other a", explicit(func(e *explicitParams) { e.a = flip(e.a, 31) }), ck.CKR_DOMAIN_PARAMS_INVALID},
		{"explicit, other b", explicit(func(e *explicitParams) { e.b = flip(e.b, 0) }), ck.CKR_DOMAIN_PARAMS_INVALID},
		{"explicit, other order", explicit(func(e *explicitParams) { e.order = new(big.Int).Sub(e.order, one) }), ck.CKR_DOMAIN_PARAMS_INVALID},
		{"explicit, cofactor 2", explicit(func(e *explicitParams) { e.cofactor = big.NewInt(2) }), ck.CKR_DOMAIN_PARAMS_INVALID},
		{"explicit, huge cofactor", explicit(func(e *explicitParams) { e.cofactor = e.p }), ck.CKR_DOMAIN_PARAMS_INVALID},
		{"explicit, base not on the curve", explicit(func(e *explicitParams) { e.base = flip(e.base, 64) }), ck.CKR_DOMAIN_PARAMS_INVALID},
		{"explicit, base at infinity", explicit(func(e *explicitParams) { e.base = []byte{0} }), ck.CKR_DOMAIN_PARAMS_INVALID},
		// The private key 1 for any public key: the base is the point itself.
		{"explicit, another base", explicit(func(e *explicitParams) { e.base = anotherPoint() }), ck.CKR_DOMAIN_PARAMS_INVALID},
	} {
		_, err := parseECParams(x.der, ck.CKK_EC)
		wantRV(t, x.name, err, x.rv)
	}
}

// anotherPoint is twice the base of P-256.
func anotherPoint() []byte {
	value := make([]byte, 32)
	value[31] = 2
	point, err := testCurve("secp256r1").pointOf(value)
	if err != nil {
		panic(err)
	}
	return point
}

// pointForms are the encodings of a point of one of our curves, by name.
func pointForms(c *curve, point []byte) map[string][]byte {
	bare := map[string][]byte{"uncompressed or plain": point}
	if c.group != nil {
		odd := point[len(point)-1] & 1
		if g, ok := c.group().(binaryGroup); ok { // there it is the last bit of y/x
			compressed, err := g.Compress(point)
			if err != nil {
				panic(err)
			}
			odd = compressed[0] & 1
		}
		bare["compressed"] = append([]byte{2 | odd}, point[1:1+c.size]...)
		bare["hybrid"] = append([]byte{6 | odd}, point[1:]...)
	}
	forms := map[string][]byte{}
	for name, p := range bare {
		var octets, bits cryptobyte.Builder
		octets.AddASN1OctetString(p)
		bits.AddASN1BitString(p)
		forms[name] = p
		forms[name+" in OCTET STRING"] = octets.BytesOrPanic()
		forms[name+" in BIT STRING"] = bits.BytesOrPanic()
	}
	return forms
}

func TestPoints(t *testing.T) {
	for _, c := range curves() {
		times := 20
		if c.group != nil && c.nist == nil {
			times = 1 // one implementation for all of them
		}
		for range times {
			_, point, err := c.generate()
			if err != nil {
				t.Fatal(err)
			}
			for name, form := range pointForms(c, point) {
				got, err := c.parsePoint(form)
				if err != nil || !bytes.Equal(got, point) {
					t.Errorf("%s, %s: %x, %v", c.names[0], name, form, err)
				}
				for _, bad := range [][]byte{form[:len(form)-1], append(bytes.Clone(form), 0), form[1:]} {
					if _, err := c.parsePoint(bad); err == nil {
						t.Errorf("%s, %s: %x: accepted", c.names[0], name, bad)
					}
				}
			}
		}
	}
}

// TestPointLikeDER takes points whose own bytes look like a DER OCTET STRING
// that fills them exactly: 04, then for P-256 a first byte of x that is 63.
func TestPointLikeDER(t *testing.T) {
	for _, c := range curves()[:3] {
		look := byte(2*c.size - 1)
		x := make([]byte, c.size)
		for i := range 256 {
			x[0], x[c.size-1] = look, byte(i)
			point, err := c.decodePoint(append([]byte{2}, x...))
			if err != nil {
				continue // no point has this x
			}
			if got, err := c.parsePoint(point); err != nil || !bytes.Equal(got, point) {
				t.Errorf("%s: %x: %v", c.names[0], point, err)
			}
			if got, err := c.parsePoint(storedPoint(point)); err != nil || !bytes.Equal(got, point) {
				t.Errorf("%s, wrapped: %x: %v", c.names[0], point, err)
			}
			break
		}
	}
	for _, name := range []string{"edwards25519", "curve25519"} {
		c := testCurve(name)
		plain := append([]byte{4, 30}, bytes.Repeat([]byte{9}, 30)...)
		if got, err := c.parsePoint(plain); err != nil || !bytes.Equal(got, plain) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestPointsRefused(t *testing.T) {
	c := testCurve("secp256r1")
	point := anotherPoint()
	p := c.nist.Params().P
	outside := append([]byte{4}, p.Bytes()...) // x = p, which is 0
	for name, b := range map[string][]byte{
		"nothing":             nil,
		"infinity":            {0},
		"wrapped infinity":    {4, 1, 0},
		"zeros":               make([]byte, 65),
		"04 and zeros":        append([]byte{4}, make([]byte, 64)...),
		"not on the curve":    flip(point, 64),
		"form 5":              append([]byte{5}, point[1:]...),
		"hybrid, wrong bit":   append([]byte{7 - point[64]&1}, point[1:]...),
		"x = p":               append(outside, point[33:]...),
		"x without y":         append([]byte{2}, bytes.Repeat([]byte{0xff}, 32)...),
		"compressed as 4":     append([]byte{4}, point[1:33]...),
		"coordinates alone":   point[1:],
		"twice wrapped":       storedPoint(storedPoint(point)),
		"of another curve":    append([]byte{4}, make([]byte, 96)...),
		"length in long form": append([]byte{4, 0x81, 65}, point...),
		"one unused bit":      append([]byte{3, 66, 1}, point...),
	} {
		if _, err := c.parsePoint(b); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func FuzzECParams(f *testing.F) {
	f.Add(explicitOf(elliptic.P256()).der())
	f.Add(ecParameters(userParams(f), userParams(f).Base))
	f.Add(derOID("1.3.132.0.35"))
	f.Add(derString(asn1.PrintableString, "edwards25519"))
	f.Add([]byte{0x30, 0x84, 0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, der []byte) {
		for _, k := range []ck.KeyType{ck.CKK_EC, ck.CKK_EC_EDWARDS, ck.CKK_EC_MONTGOMERY} {
			c, err := parseECParams(der, k)
			if (c == nil) == (err == nil) {
				t.Fatal(c, err)
			}
			if err == nil && c.key != k {
				t.Fatal("curve of another key type")
			}
		}
	})
}

func FuzzECPoint(f *testing.F) {
	for i, c := range curves() {
		_, point, err := c.generate()
		if err != nil {
			f.Fatal(err)
		}
		for _, form := range pointForms(c, point) {
			f.Add(byte(i), form)
		}
	}
	f.Fuzz(func(t *testing.T, which byte, b []byte) {
		c := curves()[int(which)%len(curves())]
		point, err := c.parsePoint(b)
		if err != nil {
			return
		}
		again, err := c.parsePoint(storedPoint(point))
		if err != nil || !bytes.Equal(point, again) {
			t.Fatal("the stored form is not the same point")
		}
		if c.nist == nil {
			return
		}
		if _, err := ecdsa.ParseUncompressedPublicKey(c.nist, point); err != nil {
			t.Fatal("not on the curve")
		}
	})
}

// TestECParamsOpenSSL reads what the openssl command writes.
func TestECParamsOpenSSL(t *testing.T) {
	o := newOpenSSL(t)
	for _, name := range []string{"secp224r1", "prime256v1", "secp384r1", "secp521r1"} {
		for _, enc := range []string{"named_curve", "explicit"} {
			for _, form := range []string{"uncompressed", "compressed", "hybrid"} {
				der := o.run("ecparam", "-name", name, "-param_enc", enc, "-conv_form", form, "-outform", "DER")
				c, err := parseECParams(der, ck.CKK_EC)
				if err != nil || c != testCurve(name) {
					t.Errorf("%s, %s, %s: %v", name, enc, form, err)
				}
			}
		}
	}
	der := o.run("ecparam", "-name", "secp256k1", "-param_enc", "explicit", "-outform", "DER")
	if c, err := parseECParams(der, ck.CKK_EC); err != nil || c != testCurve("secp256k1") {
		t.Errorf("explicit secp256k1: %v", err)
	}
}

func BenchmarkParseECParams(b *testing.B) {
	for name, der := range map[string][]byte{"OID": derOID("1.2.840.10045.3.1.7"), "explicit": explicitOf(elliptic.P256()).der()} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if _, err := parseECParams(der, ck.CKK_EC); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
