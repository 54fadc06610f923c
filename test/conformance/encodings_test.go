package conformance

import (
	"bytes"
	"crypto/ecdh"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/asn1"
	"hash"
	"math/big"
	"testing"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/test/c11"
)

// TestOAEP tries hashes, mask generation functions and labels (section 6.1.8),
// against Go's implementation where it can do the same.
func TestOAEP(t *testing.T) {
	if !apart(t) {
		return
	}
	c := open(t)
	pub, priv := c.rsa()
	hashFuncs := map[ck.MechanismType]func() hash.Hash{ck.CKM_SHA_1: sha1.New, ck.CKM_SHA224: sha256.New224, ck.CKM_SHA256: sha256.New, ck.CKM_SHA384: sha512.New384, ck.CKM_SHA512: sha512.New}
	label := []byte("a label")
	param := func(h ck.MechanismType, mgf uint64, source uint64, label []byte) []byte {
		return c11.Words(uint64(h), mgf, source, c.Ptr(label), uint64(len(label)))
	}
	for _, h := range hashes {
		for _, g := range hashes {
			if h.mgf == 0 || g.mgf == 0 {
				continue
			}
			for _, row := range []struct {
				name   string
				source uint64
				label  []byte
			}{{"label", 1, label}, {"no label", 1, nil}, {"no source", 0, nil}} {
				if row.name == "no source" && h.mgf != g.mgf {
					continue
				}
				c.sub(h.name+" MGF "+g.name+" "+row.name, func(c *client) {
					m := c11.Mech{Type: ck.CKM_RSA_PKCS_OAEP, Param: param(h.digest, g.mgf, row.source, row.label)}
					for _, n := range []int{0, 1, 100} {
						ct, rv := c.Single(c.Arena, c.Encryption(), c.s, m, pub, sequence(n))
						c.ok("C_Encrypt", rv)
						pt, rv := c.Single(c.Arena, c.Decryption(), c.s, m, priv, ct)
						if c.ok("C_Decrypt", rv); !bytes.Equal(pt, sequence(n)) {
							c.t.Error("another plaintext")
						}
						if f := hashFuncs[h.digest]; f != nil && h.mgf == g.mgf {
							pt, err := rsa.DecryptOAEP(f(), nil, rsaKey(), ct, row.label)
							if err != nil || !bytes.Equal(pt, sequence(n)) {
								c.t.Errorf("Go: %v", err)
							}
						}
						wrong := c11.Mech{Type: m.Type, Param: param(h.digest, g.mgf, 1, []byte("another label"))}
						_, rv = c.Single(c.Arena, c.Decryption(), c.s, wrong, priv, ct)
						c.want("with another label", rv, ck.CKR_ENCRYPTED_DATA_INVALID)
						c.Call("C_DecryptInit", c.s, nil, 0)
					}
				})
			}
		}
	}
	// The longest message: k - 2 hLen - 2.
	m := func(h ck.MechanismType, mgf uint64) c11.Mech {
		return c11.Mech{Type: ck.CKM_RSA_PKCS_OAEP, Param: param(h, mgf, 1, nil)}
	}
	sha := m(ck.CKM_SHA256, uint64(ck.CKG_MGF1_SHA256))
	_, rv := c.Single(c.Arena, c.Encryption(), c.s, sha, pub, sequence(190))
	c.ok("190 bytes", rv)
	_, rv = c.Single(c.Arena, c.Encryption(), c.s, sha, pub, sequence(191))
	c.want("191 bytes", rv, ck.CKR_DATA_LEN_RANGE)
	c.Call("C_EncryptInit", c.s, nil, 0)
	bad := ck.RV(ck.CKR_MECHANISM_PARAM_INVALID)
	for name, p := range map[string][]byte{
		"no parameter": nil, "short": make([]byte, 39), "long": make([]byte, 41),
		"no such hash": param(ck.CKM_AES_ECB, uint64(ck.CKG_MGF1_SHA256), 1, nil), "no such MGF": param(ck.CKM_SHA256, 99, 1, nil),
		"no such source":         param(ck.CKM_SHA256, uint64(ck.CKG_MGF1_SHA256), 7, nil),
		"no source but its data": param(ck.CKM_SHA256, uint64(ck.CKG_MGF1_SHA256), 0, label),
	} {
		rv := c.Call("C_EncryptInit", c.s, c.Mechanism(ck.CKM_RSA_PKCS_OAEP, p), pub)
		c.want(name, rv, bad)
		c.Call("C_EncryptInit", c.s, nil, 0)
	}
}

// TestPSS tries salt lengths and hashes of the mask that are not the message's
// (section 6.1.10).
func TestPSS(t *testing.T) {
	if !apart(t) {
		return
	}
	c := open(t)
	pub, priv := c.rsa()
	param := func(h ck.MechanismType, mgf, salt uint64) []byte { return c11.Words(uint64(h), mgf, salt) }
	for _, h := range hashes {
		if h.mgf == 0 {
			continue
		}
		for _, g := range hashes {
			if g.mgf == 0 {
				continue
			}
			c.sub(h.name+" MGF "+g.name, func(c *client) {
				n := uint64(len(c.digest(h.digest, nil)))
				for _, salt := range []uint64{0, 1, n, 256 - n - 2} {
					m := c11.Mech{Type: h.pss, Param: param(h.digest, g.mgf, salt)}
					sig, rv := c.Single(c.Arena, c.Signing(), c.s, m, priv, sequence(20))
					c.ok("C_Sign", rv)
					c.ok("C_Verify", c.Verify(c.Arena, c.s, m, pub, sequence(20), sig))
					// The hash made outside gives the same.
					raw := c11.Mech{Type: ck.CKM_RSA_PKCS_PSS, Param: m.Param}
					c.ok("C_Verify of the hash", c.Verify(c.Arena, c.s, raw, pub, c.digest(h.digest, sequence(20)), sig))
					other := c11.Mech{Type: h.pss, Param: param(h.digest, g.mgf, salt^3)}
					c.want("with another salt length", c.Verify(c.Arena, c.s, other, pub, sequence(20), sig), ck.CKR_SIGNATURE_INVALID, ck.CKR_MECHANISM_PARAM_INVALID)
					if salt == 0 {
						again, rv := c.Single(c.Arena, c.Signing(), c.s, m, priv, sequence(20))
						if c.ok("C_Sign", rv); !bytes.Equal(again, sig) {
							c.t.Error("two signatures without salt differ")
						}
					}
				}
				rv := c.Call("C_SignInit", c.s, c.Mechanism(h.pss, param(h.digest, g.mgf, 256-n-1)), priv)
				if rv == ck.CKR_OK {
					rv = c.Call("C_Sign", c.s, nil, 0, c.Alloc(256), c.ULong(256))
				}
				c.want("a salt that does not fit", rv, ck.CKR_MECHANISM_PARAM_INVALID, ck.CKR_KEY_SIZE_RANGE)
				c.Call("C_SignInit", c.s, nil, 0)
			})
		}
	}
	for name, p := range map[string][]byte{
		"no parameter": nil, "another hash": param(ck.CKM_SHA384, uint64(ck.CKG_MGF1_SHA256), 32),
		"no such MGF": param(ck.CKM_SHA256, 0, 32), "huge salt": param(ck.CKM_SHA256, uint64(ck.CKG_MGF1_SHA256), 1<<62),
	} {
		rv := c.Call("C_SignInit", c.s, c.Mechanism(ck.CKM_SHA256_RSA_PKCS_PSS, p), priv)
		c.want(name, rv, ck.CKR_MECHANISM_PARAM_INVALID)
		c.Call("C_SignInit", c.s, nil, 0)
	}
	c.must("C_SignInit", c.s, c.Mechanism(ck.CKM_RSA_PKCS_PSS, param(ck.CKM_SHA256, uint64(ck.CKG_MGF1_SHA256), 32)), priv)
	c.refuses(ck.CKR_DATA_LEN_RANGE, "C_Sign", c.s, c.Exact(sequence(31)), 31, c.Alloc(256), c.ULong(256))
}

// TestEmptyMessages gives messages of no length as null and as an address.
func TestEmptyMessages(t *testing.T) {
	if !apart(t) {
		return
	}
	c := open(t)
	aes := c.object(secret(ck.CKK_AES, sequence(16))...)
	mac := c.object(secret(ck.CKK_GENERIC_SECRET, sequence(16))...)
	pub, priv := c.rsa()
	ecPub, ecPriv := c.ec(p256)
	edPub, edPriv := c.pair(ck.CKM_EC_EDWARDS_KEY_PAIR_GEN, with(yes(ck.CKA_VERIFY), bytesOf(ck.CKA_EC_PARAMS, oid(1, 3, 101, 112))), yes(ck.CKA_SIGN))
	gcm := c11.Words(c.Ptr(sequence(12)), 12, 96, 0, 0, 128)
	for name, empty := range map[string]any{"null": nil, "address": c.Exact(nil)} {
		c.sub(name, func(c *client) {
			out := c.Alloc(512)
			for _, m := range []struct {
				t         ck.MechanismType
				p         []byte
				sign, ver uint64
			}{
				{ck.CKM_SHA256_HMAC, nil, mac, mac}, {ck.CKM_AES_CMAC, nil, aes, aes}, {ck.CKM_SHA256_RSA_PKCS, nil, priv, pub}, {ck.CKM_RSA_PKCS, nil, priv, pub},
				{ck.CKM_ECDSA_SHA256, nil, ecPriv, ecPub}, {ck.CKM_EDDSA, nil, edPriv, edPub}, {ck.CKM_AES_GMAC, gcm, aes, aes},
			} {
				n := c.ULong(512)
				c.must("C_SignInit", c.s, c.Mechanism(m.t, m.p), m.sign)
				c.must("C_Sign", c.s, empty, 0, out, n)
				c.must("C_VerifyInit", c.s, c.Mechanism(m.t, m.p), m.ver)
				c.must("C_Verify", c.s, empty, 0, out, c11.Number(n))
				if m.t != ck.CKM_RSA_PKCS && m.t != ck.CKM_EDDSA {
					c.must("C_VerifyInit", c.s, c.Mechanism(m.t, m.p), m.ver)
					c.must("C_VerifyUpdate", c.s, empty, 0)
					c.must("C_VerifyFinal", c.s, out, c11.Number(n))
				}
				// An empty signature is wrong in its length, however it is given.
				c.must("C_VerifyInit", c.s, c.Mechanism(m.t, m.p), m.ver)
				c.refuses(ck.CKR_SIGNATURE_LEN_RANGE, "C_Verify", c.s, empty, 0, empty, 0)
			}
			for _, m := range []struct {
				t ck.MechanismType
				p []byte
				n uint64 // of the ciphertext
			}{
				{ck.CKM_AES_ECB, nil, 0}, {ck.CKM_AES_CBC, sequence(16), 0}, {ck.CKM_AES_CBC_PAD, sequence(16), 16}, {ck.CKM_AES_GCM, gcm, 16},
				{ck.CKM_AES_CTR, append(c11.Words(128), sequence(16)...), 0},
				{ck.CKM_AES_CCM, c11.Words(0, c.Ptr(sequence(12)), 12, 0, 0, 16), 16},
			} {
				n := c.ULong(512)
				c.must("C_EncryptInit", c.s, c.Mechanism(m.t, m.p), aes)
				c.must("C_Encrypt", c.s, empty, 0, out, n)
				if c11.Number(n) != m.n {
					c.t.Errorf("%v: %d bytes", m.t, c11.Number(n))
				}
				pt, l := c.Guarded(0), c.ULong(0)
				c.must("C_DecryptInit", c.s, c.Mechanism(m.t, m.p), aes)
				rv := c.Call("C_Decrypt", c.s, out, m.n, pt.Ptr(), l)
				if m.t == ck.CKM_AES_CBC_PAD && rv == ck.CKR_BUFFER_TOO_SMALL {
					c.t.Error("a buffer of 0 bytes is enough for a plaintext of 0")
				}
				c.want("C_Decrypt", rv, ck.CKR_OK)
			}
			n := c.ULong(512)
			c.must("C_DigestInit", c.s, c.Mechanism(ck.CKM_SHA256, nil))
			c.must("C_Digest", c.s, empty, 0, out, n)
			if want := sha256.Sum256(nil); !bytes.Equal(c11.Peek(out, 32), want[:]) {
				c.t.Error("the digest of nothing")
			}
		})
	}
}

// TestGCM tries IVs and tags of many lengths (section 6.13.2).
func TestGCM(t *testing.T) {
	if !apart(t) {
		return
	}
	c := open(t)
	aes := c.object(secret(ck.CKK_AES, sequence(16))...)
	seen := map[string]int{}
	for _, n := range []int{1, 7, 11, 12, 13, 16, 32, 128, 255, 256} {
		for _, tag := range []uint64{32, 64, 96, 104, 112, 120, 128} {
			m := c11.Mech{Type: ck.CKM_AES_GCM, Param: c11.Words(c.Ptr(sequence(n)), uint64(n), uint64(8*n), 0, 0, tag)}
			ct, rv := c.Single(c.Arena, c.Encryption(), c.s, m, aes, sequence(20))
			if c.ok("C_Encrypt", rv); len(ct) != 20+int(tag/8) {
				t.Fatalf("%d bytes with a tag of %d bits", len(ct), tag)
			}
			if tag == 128 {
				if other, ok := seen[string(ct)]; ok {
					t.Errorf("IVs of %d and %d bytes give the same", other, n)
				}
				seen[string(ct)] = n
			}
			pt, rv := c.Single(c.Arena, c.Decryption(), c.s, m, aes, ct)
			if c.ok("C_Decrypt", rv); !bytes.Equal(pt, sequence(20)) {
				t.Error("another plaintext")
			}
			ct[len(ct)-1] ^= 1
			_, rv = c.Single(c.Arena, c.Decryption(), c.s, m, aes, ct)
			c.want("a wrong tag", rv, ck.CKR_ENCRYPTED_DATA_INVALID, ck.CKR_AEAD_DECRYPT_FAILED)
			c.Call("C_DecryptInit", c.s, nil, 0)
		}
	}
	// ulIvBits is a trap: programs leave it 0, or put anything there. The bytes count.
	base := c11.Mech{Type: ck.CKM_AES_GCM, Param: c11.Words(c.Ptr(sequence(12)), 12, 96, 0, 0, 128)}
	want, rv := c.Single(c.Arena, c.Encryption(), c.s, base, aes, sequence(20))
	c.ok("C_Encrypt", rv)
	got, rv := c.Single(c.Arena, c.Encryption(), c.s, c11.Mech{Type: ck.CKM_AES_GCM, Param: c11.Words(c.Ptr(sequence(12)), 12, 0, 0, 0, 128)}, aes, sequence(20))
	if c.ok("with ulIvBits 0", rv); !bytes.Equal(got, want) {
		t.Error("ulIvBits 0 changes the result")
	}
	for name, p := range map[string][]byte{
		"an empty IV": c11.Words(c.Ptr(sequence(1)), 0, 0, 0, 0, 128), "a tag of 129 bits": c11.Words(c.Ptr(sequence(12)), 12, 96, 0, 0, 129), "a tag of 136 bits": c11.Words(c.Ptr(sequence(12)), 12, 96, 0, 0, 136),
		"a tag of 0 bits": c11.Words(c.Ptr(sequence(12)), 12, 96, 0, 0, 0), "nothing": nil, "half a structure": make([]byte, 24),
	} {
		c.want(name, c.Call("C_EncryptInit", c.s, c.Mechanism(ck.CKM_AES_GCM, p), aes), ck.CKR_MECHANISM_PARAM_INVALID)
	}
}

// explicit is the ECParameters of a curve, spelled out (X9.62, SEC 1 C.2).
func explicit(curve elliptic.Curve) []byte {
	p := curve.Params()
	size := (p.BitSize + 7) / 8
	a := new(big.Int).Sub(p.P, big.NewInt(3))
	type fieldID struct {
		Type  asn1.ObjectIdentifier
		Prime *big.Int
	}
	type coefficients struct{ A, B []byte }
	return der(struct {
		Version  int
		Field    fieldID
		Curve    coefficients
		Base     []byte
		Order    *big.Int
		Cofactor int
	}{
		1, fieldID{asn1.ObjectIdentifier{1, 2, 840, 10045, 1, 1}, p.P},
		coefficients{a.FillBytes(make([]byte, size)), p.B.FillBytes(make([]byte, size))},
		append(append([]byte{4}, p.Gx.FillBytes(make([]byte, size))...), p.Gy.FillBytes(make([]byte, size))...),
		p.N, 1,
	})
}

// TestCurveEncodings gives CKA_EC_PARAMS in all its forms (section 6.3.3).
func TestCurveEncodings(t *testing.T) {
	if !apart(t) {
		return
	}
	c := open(t)
	printable := func(s string) []byte { return append([]byte{0x13, byte(len(s))}, s...) }
	for _, row := range []struct {
		name   string
		params []byte
		bits   int
	}{
		{"P-224", p224, 224}, {"P-256", p256, 256}, {"P-384", p384, 384}, {"P-521", p521, 521},
		{"secp256r1 by name", printable("secp256r1"), 256}, {"P-256 by name", printable("P-256"), 256},
		{"secp384r1 by name", printable("secp384r1"), 384}, {"secp521r1 by name", printable("secp521r1"), 521},
		{"P-256 explicit", explicit(elliptic.P256()), 256}, {"P-384 explicit", explicit(elliptic.P384()), 384}, {"P-521 explicit", explicit(elliptic.P521()), 521},
	} {
		c.sub(row.name, func(c *client) {
			pub, priv := c.ec(row.params)
			// The caller finds the key by what it gave, and gets a point.
			if got := c.get(pub, ck.CKA_EC_PARAMS); !bytes.Equal(got, row.params) {
				c.t.Logf("CKA_EC_PARAMS became %x", got)
			}
			if a, b := c.get(pub, ck.CKA_EC_PARAMS), c.get(priv, ck.CKA_EC_PARAMS); !bytes.Equal(a, b) {
				c.t.Error("the halves have different parameters")
			}
			var point []byte
			if rest, err := asn1.Unmarshal(c.get(pub, ck.CKA_EC_POINT), &point); err != nil || len(rest) != 0 || len(point) != 1+2*((row.bits+7)/8) {
				c.t.Errorf("CKA_EC_POINT is no DER OCTET STRING of a point: %x", c.get(pub, ck.CKA_EC_POINT))
			}
			sig, rv := c.Single(c.Arena, c.Signing(), c.s, c11.Mech{Type: ck.CKM_ECDSA}, priv, sequence(28))
			c.ok("C_Sign", rv)
			if len(sig) != 2*((row.bits+7)/8) {
				c.t.Errorf("a signature of %d bytes", len(sig))
			}
			// The point goes in with DER around it and without.
			for form, p := range map[string][]byte{"DER": c.get(pub, ck.CKA_EC_POINT), "raw": point} {
				o := c.object(class(ck.CKO_PUBLIC_KEY), keyType(ck.CKK_EC), boolean(ck.CKA_VERIFY, true), bytesOf(ck.CKA_EC_PARAMS, row.params), bytesOf(ck.CKA_EC_POINT, p))
				c.ok("C_Verify with the point "+form, c.Verify(c.Arena, c.s, c11.Mech{Type: ck.CKM_ECDSA}, o, sequence(28), sig))
			}
			o := c.object(with(yes(ck.CKA_SIGN), class(ck.CKO_PRIVATE_KEY), keyType(ck.CKK_EC), bytesOf(ck.CKA_EC_PARAMS, row.params), bytesOf(ck.CKA_VALUE, c.get(priv, ck.CKA_VALUE)))...)
			sig, rv = c.Single(c.Arena, c.Signing(), c.s, c11.Mech{Type: ck.CKM_ECDSA}, o, sequence(28))
			c.ok("C_Sign with the imported key", rv)
			c.ok("C_Verify", c.Verify(c.Arena, c.s, c11.Mech{Type: ck.CKM_ECDSA}, pub, sequence(28), sig))
		})
	}
	generate := func(params []byte) ck.RV {
		pub, priv := []ck.Attribute{bytesOf(ck.CKA_EC_PARAMS, params)}, yes(ck.CKA_SIGN)
		return c.Call("C_GenerateKeyPair", c.s, c.Mechanism(ck.CKM_EC_KEY_PAIR_GEN, nil), c.Template(pub...), 1, c.Template(priv...), 1, c.ULong(0), c.ULong(0))
	}
	other := explicit(elliptic.P256())
	other[len(other)-6] ^= 1 // another order
	for name, row := range map[string]struct {
		params []byte
		rv     []ck.RV
	}{
		"an OID that is no curve":     {oid(1, 2, 3, 4, 5), []ck.RV{ck.CKR_CURVE_NOT_SUPPORTED, ck.CKR_DOMAIN_PARAMS_INVALID}},
		"a curve that we lack":        {oid(1, 3, 36, 3, 3, 2, 8, 1, 1, 99), []ck.RV{ck.CKR_CURVE_NOT_SUPPORTED, ck.CKR_DOMAIN_PARAMS_INVALID}},
		"Ed25519 among EC":            {oid(1, 3, 101, 112), []ck.RV{ck.CKR_CURVE_NOT_SUPPORTED, ck.CKR_DOMAIN_PARAMS_INVALID}},
		"an unknown name":             {printable("no-such-curve"), []ck.RV{ck.CKR_CURVE_NOT_SUPPORTED, ck.CKR_DOMAIN_PARAMS_INVALID}},
		"implicitlyCA":                {[]byte{5, 0}, []ck.RV{ck.CKR_CURVE_NOT_SUPPORTED, ck.CKR_DOMAIN_PARAMS_INVALID, ck.CKR_ATTRIBUTE_VALUE_INVALID}},
		"explicit with other numbers": {other, []ck.RV{ck.CKR_CURVE_NOT_SUPPORTED, ck.CKR_DOMAIN_PARAMS_INVALID}},
		"nothing":                     {nil, []ck.RV{ck.CKR_DOMAIN_PARAMS_INVALID, ck.CKR_ATTRIBUTE_VALUE_INVALID, ck.CKR_TEMPLATE_INCOMPLETE}},
		"garbage":                     {[]byte{0xff, 0xff, 0xff}, []ck.RV{ck.CKR_DOMAIN_PARAMS_INVALID, ck.CKR_ATTRIBUTE_VALUE_INVALID, ck.CKR_CURVE_NOT_SUPPORTED}},
		"an OID and more":             {append(bytes.Clone(p256), 0), []ck.RV{ck.CKR_DOMAIN_PARAMS_INVALID, ck.CKR_ATTRIBUTE_VALUE_INVALID, ck.CKR_CURVE_NOT_SUPPORTED}},
		"an OID cut short":            {p256[:5], []ck.RV{ck.CKR_DOMAIN_PARAMS_INVALID, ck.CKR_ATTRIBUTE_VALUE_INVALID, ck.CKR_CURVE_NOT_SUPPORTED}},
	} {
		c.want(name, generate(row.params), row.rv...)
	}
	for name, params := range map[string][]byte{"Ed25519 by OID": oid(1, 3, 101, 112), "edwards25519 by name": printable("edwards25519")} {
		pub, _ := c.pair(ck.CKM_EC_EDWARDS_KEY_PAIR_GEN, with(yes(ck.CKA_VERIFY), bytesOf(ck.CKA_EC_PARAMS, params)), yes(ck.CKA_SIGN))
		if len(c.get(pub, ck.CKA_EC_POINT)) < 32 {
			t.Errorf("%s: no point", name)
		}
	}
	for _, params := range [][]byte{oid(1, 3, 101, 110), printable("curve25519")} {
		c.pair(ck.CKM_EC_MONTGOMERY_KEY_PAIR_GEN, []ck.Attribute{bytesOf(ck.CKA_EC_PARAMS, params)}, yes(ck.CKA_DERIVE))
	}
}

// TestPointsLikeDER gives raw points whose first bytes could be a DER header:
// 0x04 is both "uncompressed point" and OCTET STRING.
func TestPointsLikeDER(t *testing.T) {
	if !apart(t) {
		return
	}
	c := open(t)
	// A point on P-256 whose X begins with 0x3f, the length of what follows it
	// (65 - 2 bytes): the raw point then looks like a whole OCTET STRING.
	curve := elliptic.P256()
	for b := byte(0x3e); b <= 0x41; b++ {
		raw := pointWithX(curve, b)
		for form, p := range map[string][]byte{"raw": raw, "DER": der(raw)} {
			o, rv := c.tryObject(class(ck.CKO_PUBLIC_KEY), keyType(ck.CKK_EC), bytesOf(ck.CKA_EC_PARAMS, p256), bytesOf(ck.CKA_EC_POINT, p))
			if c.want(form, rv, ck.CKR_OK); rv == ck.CKR_OK && !bytes.Equal(c.get(o, ck.CKA_EC_POINT), der(raw)) {
				t.Errorf("a %s point with X beginning with %#x: became %x", form, b, c.get(o, ck.CKA_EC_POINT))
			}
		}
	}
	raw := pointWithX(curve, 0x3f)
	for name, p := range map[string][]byte{
		"off the curve": append(bytes.Clone(raw[:64]), raw[64]^1), "infinity": {0}, "short": raw[:64], "long": append(bytes.Clone(raw), 0), "empty": nil,
		"DER of nothing": {4, 0}, "DER and more": append(der(raw), 0), "DER of infinity": {4, 1, 0}, "zero": append([]byte{4}, make([]byte, 64)...),
	} {
		_, rv := c.tryObject(class(ck.CKO_PUBLIC_KEY), keyType(ck.CKK_EC), bytesOf(ck.CKA_EC_PARAMS, p256), bytesOf(ck.CKA_EC_POINT, p))
		c.want(name, rv, ck.CKR_ATTRIBUTE_VALUE_INVALID, ck.CKR_TEMPLATE_INCOMPLETE)
	}

	// A peer's point for ECDH, raw and in DER (section 6.3.17 asks for both).
	_, priv := c.ec(p256)
	peer, err := ecdh.P256().NewPublicKey(raw)
	if err != nil {
		t.Fatal(err)
	}
	var want []byte
	if k, err := ecdh.P256().NewPrivateKey(c.get(priv, ck.CKA_VALUE)); err != nil {
		t.Fatal(err)
	} else if want, err = k.ECDH(peer); err != nil {
		t.Fatal(err)
	}
	ecdhMech := func(p []byte) c11.Mech {
		return c11.Mech{Type: ck.CKM_ECDH1_DERIVE, Param: c11.Words(uint64(ck.CKD_NULL), 0, 0, uint64(len(p)), c.Ptr(p))}
	}
	for form, p := range map[string][]byte{"raw": raw, "DER": der(raw)} {
		m := ecdhMech(p)
		o, rv := c.derive(c.Mechanism(m.Type, m.Param), priv, with(no(ck.CKA_SENSITIVE), class(ck.CKO_SECRET_KEY), keyType(ck.CKK_GENERIC_SECRET), boolean(ck.CKA_EXTRACTABLE, true))...)
		if c.ok("C_DeriveKey with the point "+form, rv); !bytes.Equal(c.get(o, ck.CKA_VALUE), want) {
			t.Errorf("C_DeriveKey with the point %s: another secret", form)
		}
	}
	for name, p := range map[string][]byte{"off the curve": append(bytes.Clone(raw[:64]), raw[64]^1), "infinity": {0}, "nothing": nil, "short": raw[:33]} {
		m := ecdhMech(p)
		_, rv := c.derive(c.Mechanism(m.Type, m.Param), priv, class(ck.CKO_SECRET_KEY), keyType(ck.CKK_GENERIC_SECRET))
		c.want("C_DeriveKey with a point "+name, rv, ck.CKR_MECHANISM_PARAM_INVALID, ck.CKR_PUBLIC_KEY_INVALID)
	}
}

// pointWithX finds a point whose X begins with b.
func pointWithX(curve elliptic.Curve, b byte) []byte {
	p := curve.Params()
	for x := new(big.Int).Lsh(big.NewInt(int64(b)), 248); ; x.Add(x, big.NewInt(1)) {
		// y² = x³ - 3x + b
		y2 := new(big.Int).Exp(x, big.NewInt(3), p.P)
		y2.Sub(y2, new(big.Int).Mul(x, big.NewInt(3)))
		y2.Add(y2, p.B).Mod(y2, p.P)
		if y := new(big.Int).ModSqrt(y2, p.P); y != nil {
			return append(append([]byte{4}, x.FillBytes(make([]byte, 32))...), y.FillBytes(make([]byte, 32))...)
		}
	}
}
