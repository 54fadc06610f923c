package oracle

import (
	"encoding/asn1"
	"fmt"
	"math/big"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/test/c11"
)

// rsaHash is a hash function with RSA.
type rsaHash struct {
	openssl           string
	digest            ck.MechanismType
	mgf               ck.MGF
	pkcs1, pss        ck.MechanismType
	x931, x931Relaxed ck.MechanismType
	size              int
	x931ID            byte
	x931InOpenSSL     bool
}

var rsaHashes = []rsaHash{
	{openssl: "MD5", digest: ck.CKM_MD5, pkcs1: ck.CKM_MD5_RSA_PKCS, size: 16},
	{openssl: "RIPEMD160", digest: ck.CKM_RIPEMD160, pkcs1: ck.CKM_RIPEMD160_RSA_PKCS, size: 20},
	{
		"SHA1", ck.CKM_SHA_1, ck.CKG_MGF1_SHA1, ck.CKM_SHA1_RSA_PKCS, ck.CKM_SHA1_RSA_PKCS_PSS,
		ck.CKM_SHA1_RSA_X9_31, ck.CKM_SHA1_RSA_X9_31_NON_FIPS, 20, 0x33, true,
	},
	{
		"SHA224", ck.CKM_SHA224, ck.CKG_MGF1_SHA224, ck.CKM_SHA224_RSA_PKCS, ck.CKM_SHA224_RSA_PKCS_PSS,
		ck.CKM_SHA224_RSA_X9_31, ck.CKM_SHA224_RSA_X9_31_NON_FIPS, 28, 0x38, false,
	},
	{
		"SHA256", ck.CKM_SHA256, ck.CKG_MGF1_SHA256, ck.CKM_SHA256_RSA_PKCS, ck.CKM_SHA256_RSA_PKCS_PSS,
		ck.CKM_SHA256_RSA_X9_31, ck.CKM_SHA256_RSA_X9_31_NON_FIPS, 32, 0x34, true,
	},
	{
		"SHA384", ck.CKM_SHA384, ck.CKG_MGF1_SHA384, ck.CKM_SHA384_RSA_PKCS, ck.CKM_SHA384_RSA_PKCS_PSS,
		ck.CKM_SHA384_RSA_X9_31, ck.CKM_SHA384_RSA_X9_31_NON_FIPS, 48, 0x36, true,
	},
	{
		"SHA512", ck.CKM_SHA512, ck.CKG_MGF1_SHA512, ck.CKM_SHA512_RSA_PKCS, ck.CKM_SHA512_RSA_PKCS_PSS,
		ck.CKM_SHA512_RSA_X9_31, ck.CKM_SHA512_RSA_X9_31_NON_FIPS, 64, 0x35, true,
	},
	{openssl: "SHA3-224", digest: ck.CKM_SHA3_224, mgf: ck.CKG_MGF1_SHA3_224, pkcs1: ck.CKM_SHA3_224_RSA_PKCS, pss: ck.CKM_SHA3_224_RSA_PKCS_PSS, size: 28},
	{openssl: "SHA3-256", digest: ck.CKM_SHA3_256, mgf: ck.CKG_MGF1_SHA3_256, pkcs1: ck.CKM_SHA3_256_RSA_PKCS, pss: ck.CKM_SHA3_256_RSA_PKCS_PSS, size: 32},
	{openssl: "SHA3-384", digest: ck.CKM_SHA3_384, mgf: ck.CKG_MGF1_SHA3_384, pkcs1: ck.CKM_SHA3_384_RSA_PKCS, pss: ck.CKM_SHA3_384_RSA_PKCS_PSS, size: 48},
	{openssl: "SHA3-512", digest: ck.CKM_SHA3_512, mgf: ck.CKG_MGF1_SHA3_512, pkcs1: ck.CKM_SHA3_512_RSA_PKCS, pss: ck.CKM_SHA3_512_RSA_PKCS_PSS, size: 64},
}

func (c *check) rsa(bits int, more ...any) *pair {
	c.Helper()
	return c.pairOf(append([]any{"RSA", option("rsa_keygen_bits", bits)}, more...)...)
}

var rsaSizes = []int{1024, 1033, 2048}

func init() {
	for _, h := range rsaHashes {
		compare(openssl, rsaPKCS1(h), h.pkcs1)
		if h.pss == 0 {
			continue
		}
		compare(openssl, rsaPSS(h), h.pss)
		if h.x931 == 0 {
			continue
		}
		compare(bouncy, rsaX931Bouncy(h), h.x931, h.x931Relaxed)
		if h.x931InOpenSSL {
			compare(openssl, rsaX931(h), h.x931, h.x931Relaxed)
		}
	}
	compare(bouncy, rsaMD2, ck.CKM_MD2_RSA_PKCS)
	compare(openssl, rsaRawPSS, ck.CKM_RSA_PKCS_PSS)
	compare(openssl, rsaRawPKCS1, ck.CKM_RSA_PKCS)
	compare(openssl, rsaRaw, ck.CKM_RSA_X_509)
	compare(openssl, rsaRawX931, ck.CKM_RSA_X9_31, ck.CKM_RSA_X9_31_NON_FIPS)
	compare(openssl, rsaOAEP, ck.CKM_RSA_PKCS_OAEP)
	compare(openssl, rsaTPM("rsa_padding_mode=pkcs1"), ck.CKM_RSA_PKCS_TPM_1_1)
	compare(openssl, rsaTPM("rsa_padding_mode=oaep", "rsa_oaep_md=SHA1", "rsa_oaep_label=54435041"), ck.CKM_RSA_PKCS_OAEP_TPM_1_1)
	compare(openssl, rsaAESKeyWrap, ck.CKM_RSA_AES_KEY_WRAP)
	for _, m := range []ck.MechanismType{
		ck.CKM_RSA_PKCS_KEY_PAIR_GEN, ck.CKM_RSA_X9_31_KEY_PAIR_GEN,
		ck.CKM_RSA_FIPS_186_3_AUX_PRIME_KEY_PAIR_GEN, ck.CKM_RSA_FIPS_186_3_PRIME_KEY_PAIR_GEN,
	} {
		compare(openssl, rsaGenerates, m)
	}
}

func rsaPKCS1(h rsaHash) func(*check) {
	return func(c *check) {
		for _, bits := range rsaSizes {
			c.signsSame(c.rsa(bits), nil, h.openssl, c.bytes(bits/7), "rsa_padding_mode=pkcs1")
		}
		c.signsSame(c.rsa(1024, "rsa_keygen_pubexp=3"), nil, h.openssl, c.bytes(1), "rsa_padding_mode=pkcs1")
	}
}

func (h rsaHash) pssParam(mgf ck.MGF, salt int) []byte {
	return words(uint64(h.digest), uint64(mgf), uint64(salt))
}

func rsaPSS(h rsaHash) func(*check) {
	return func(c *check) {
		for _, bits := range []int{1024 + 8*(h.size/8), 1025 + 8*(h.size/8), 2048} {
			for _, salt := range []int{0, 1, h.size, (bits-2)/8 - h.size - 2} {
				mgf := rsaHashes[2+c.random.IntN(len(rsaHashes)-2)]
				c.signs(c.rsa(bits), plainForm, h.pssParam(mgf.mgf, salt), h.openssl, c.bytes(salt),
					"rsa_padding_mode=pss", option("rsa_pss_saltlen", salt), option("rsa_mgf1_md", mgf.openssl))
			}
		}
	}
}

func rsaRawPSS(c *check) {
	for _, h := range rsaHashes[2:] {
		for _, bits := range []int{1536, 2048} {
			c.signs(c.rsa(bits), plainForm, h.pssParam(h.mgf, h.size), "-", c.bytes(h.size),
				"rsa_padding_mode=pss", option("digest", h.openssl), option("rsa_pss_saltlen", h.size), option("rsa_mgf1_md", h.openssl))
		}
	}
}

func rsaX931(h rsaHash) func(*check) {
	return func(c *check) {
		for _, bits := range []int{1024, 1536, 2048} {
			c.signsSame(c.rsa(bits), nil, h.openssl, c.bytes(bits/9), "rsa_padding_mode=x931")
		}
	}
}

func rsaX931Bouncy(h rsaHash) func(*check) {
	return func(c *check) {
		openssl.need(c.T)
		name := map[int]string{20: "SHA-1", 28: "SHA-224", 32: "SHA-256", 48: "SHA-384", 64: "SHA-512"}[h.size]
		for _, bits := range []int{1024, 1536, 2048} {
			k, m := c.rsa(bits), c.bytes(77)
			got, rv := mod.Single(c.a, mod.Signing(), session, c.mech(nil), k.private, m)
			c.good("C_Sign", rv)
			want := c.ask("x931", name, k.pkcs8, m)
			c.equal("signature", got, want)
			c.verifies(nil, k.public, m, want)
		}
	}
}

// rsaMD2 is for the hash function that OpenSSL is built without.
func rsaMD2(c *check) {
	openssl.need(c.T)
	for _, bits := range rsaSizes {
		k, m := c.rsa(bits), c.bytes(bits/7)
		got, rv := mod.Single(c.a, mod.Signing(), session, c.mech(nil), k.private, m)
		c.good("C_Sign", rv)
		want := c.ask("pkcs1", "MD2", k.pkcs8, m)
		c.equal("signature", got, want)
		c.verifies(nil, k.public, m, want)
	}
}

// rsaRawX931 gives the digest and the number of its function, which OpenSSL adds
// by itself.
func rsaRawX931(c *check) {
	for _, h := range rsaHashes {
		if !h.x931InOpenSSL {
			continue
		}
		for _, bits := range []int{1024, 2048} {
			k, digest := c.rsa(bits), c.bytes(h.size)
			in, options := append(cat(digest), h.x931ID), []any{option("digest", h.openssl), "rsa_padding_mode=x931"}
			got, rv := mod.Single(c.a, mod.Signing(), session, c.mech(nil), k.private, in)
			c.good("C_Sign", rv)
			want := c.ask(append([]any{"sign", k.pkcs8, "-", digest}, options...)...)
			c.equal("signature", got, want)
			c.verifies(nil, k.public, in, want)
		}
	}
}

// enciphersPublic compares encryption in both directions where it is not the
// same each time.
func (c *check) enciphersPublic(k *pair, param, plain []byte, toModule, toOracle func([]byte) []byte, options ...any) {
	c.Helper()
	got, rv := mod.Single(c.a, mod.Encryption(), session, c.mech(param), k.public, plain)
	c.good("C_Encrypt", rv)
	c.equal("what OpenSSL decrypts", toModule(c.ask(append([]any{"decrypt", k.pkcs8, got}, options...)...)), plain)
	theirs := c.ask(append([]any{"encrypt", k.spki, toOracle(plain)}, options...)...)
	got, rv = mod.Single(c.a, mod.Decryption(), session, c.mech(param), k.private, theirs)
	c.good("C_Decrypt", rv)
	c.equal("what OpenSSL encrypted", got, plain)
}

func itself(b []byte) []byte { return b }

// wrapsPublic is enciphersPublic for C_WrapKey and C_UnwrapKey.
func (c *check) wrapsPublic(k *pair, param, value []byte, toModule, toOracle func([]byte) []byte, options ...any) {
	c.Helper()
	got, rv := mod.Wrap(c.a, session, c.mech(param), k.public, c.secret(ck.CKK_GENERIC_SECRET, value))
	c.good("C_WrapKey", rv)
	c.equal("what OpenSSL unwraps", toModule(c.ask(append([]any{"decrypt", k.pkcs8, got}, options...)...)), value)
	theirs := c.ask(append([]any{"encrypt", k.spki, toOracle(value)}, options...)...)
	o, rv := mod.Unwrap(c.a, session, c.mech(param), k.private, theirs, secretTemplate(ck.CKK_GENERIC_SECRET)...)
	c.good("C_UnwrapKey", rv)
	c.equal("what OpenSSL wrapped", c.get(c.keep(o), ck.CKA_VALUE), value)
}

func rsaRawPKCS1(c *check) {
	for _, bits := range rsaSizes {
		k, size := c.rsa(bits), (bits+7)/8
		for _, n := range []int{0, 1, 20, size - 11} {
			if n > 0 {
				c.signsSame(k, nil, "-", c.bytes(n), "rsa_padding_mode=pkcs1")
			}
			c.enciphersPublic(k, nil, c.bytes(n), itself, itself, "rsa_padding_mode=pkcs1")
		}
		c.wrapsPublic(k, nil, c.bytes(32), itself, itself, "rsa_padding_mode=pkcs1")
	}
}

func rsaRaw(c *check) {
	for _, bits := range rsaSizes {
		k := c.rsa(bits)
		plain := c.bytes((bits + 7) / 8)
		plain[0] = 0
		got, rv := mod.Single(c.a, mod.Encryption(), session, c.mech(nil), k.public, plain)
		c.good("C_Encrypt", rv)
		c.equal("encryption", got, c.ask("encrypt", k.spki, plain, "rsa_padding_mode=none"))
		got, rv = mod.Single(c.a, mod.Decryption(), session, c.mech(nil), k.private, got)
		c.good("C_Decrypt", rv)
		c.equal("decryption", got, plain)
		c.signsSame(k, nil, "-", plain, "rsa_padding_mode=none")
	}
}

func (h rsaHash) oaepParam(c *check, mgf ck.MGF, label []byte) []byte {
	return words(uint64(h.digest), uint64(mgf), uint64(ck.CKZ_DATA_SPECIFIED), c.a.Ptr(label), uint64(len(label)))
}

func rsaOAEP(c *check) {
	for i, h := range rsaHashes[2:] {
		for _, g := range rsaHashes[2:] {
			k, label := c.rsa(2048), c.bytes(i)
			options := []any{"rsa_padding_mode=oaep", option("rsa_oaep_md", h.openssl), option("rsa_mgf1_md", g.openssl)}
			if len(label) > 0 {
				options = append(options, fmt.Sprintf("rsa_oaep_label=%x", label))
			}
			param := h.oaepParam(c, g.mgf, label)
			for _, n := range []int{0, 1, 256 - 2*h.size - 2} {
				c.enciphersPublic(k, param, c.bytes(n), itself, itself, options...)
			}
			c.wrapsPublic(k, param, c.bytes(32), itself, itself, options...)
		}
	}
}

// rsaTPM has five bytes before the data.
func rsaTPM(options ...any) func(*check) {
	return func(c *check) {
		header := []byte{1, 1, 0, 0, 2}
		cut := func(b []byte) []byte {
			if len(b) < 5 || string(b[:5]) != string(header) {
				c.Fatalf("what is encrypted begins with %x", b)
			}
			return b[5:]
		}
		add := func(b []byte) []byte { return cat(header, b) }
		for _, n := range []int{0, 1, 80} {
			c.enciphersPublic(c.rsa(2048), nil, c.bytes(n), cut, add, options...)
		}
		c.wrapsPublic(c.rsa(2048), nil, c.bytes(32), cut, add, options...)
	}
}

// rsaAESKeyWrap carries a private key of 4096 bits' length and a short secret.
func rsaAESKeyWrap(c *check) {
	k, target := c.rsa(2048), c.rsa(1024)
	for _, h := range rsaHashes[2:] {
		for _, bits := range []int{128, 192, 256} {
			options := []any{"rsa_padding_mode=oaep", option("rsa_oaep_md", h.openssl), option("rsa_mgf1_md", h.openssl)}
			oaep := c.a.Bytes(h.oaepParam(c, h.mgf, nil))
			param := words(uint64(bits), uint64(uintptr(oaep)))
			name := fmt.Sprintf("AES-%d-WRAP-PAD", bits)

			wrapped, rv := mod.Wrap(c.a, session, c.mech(param), k.public, target.private)
			c.good("C_WrapKey", rv)
			key := c.ask(append([]any{"decrypt", k.pkcs8, wrapped[:256]}, options...)...)
			c.equal("the length of the AES key", words(uint64(len(key))), words(uint64(bits/8)))
			c.samePKCS8("what OpenSSL unwraps", c.ask("cipher", name, "dec", key, noIV, "raw", wrapped[256:]), target.pkcs8)

			key, value := c.bytes(bits/8), c.bytes(33)
			theirs := cat(c.ask(append([]any{"encrypt", k.spki, key}, options...)...), c.ask("cipher", name, "enc", key, noIV, "raw", value))
			o, rv := mod.Unwrap(c.a, session, c.mech(param), k.private, theirs, secretTemplate(ck.CKK_GENERIC_SECRET)...)
			c.good("C_UnwrapKey", rv)
			c.equal("what OpenSSL wrapped", c.get(c.keep(o), ck.CKA_VALUE), value)
		}
	}
}

// samePKCS8 compares PrivateKeyInfos of RSA keys by their numbers.
func (c *check) samePKCS8(what string, got, want []byte) {
	c.Helper()
	type info struct {
		Version   int
		Algorithm asn1.RawValue
		Key       []byte
	}
	var a, b info
	c.parse(got, &a)
	c.parse(want, &b)
	c.equal(what, a.Key, b.Key)
}

func rsaGenerates(c *check) {
	for _, bits := range []int{1024, 2048} {
		if info, _ := mod.MechanismInfo(c.a, 0, c.m); uint64(bits) < info.MinKeySize {
			continue
		}
		k := c.generates(ck.CKK_RSA, []ck.Attribute{ck.NewULong(ck.CKA_MODULUS_BITS, uint64(bits)), ck.NewBytes(ck.CKA_PUBLIC_EXPONENT, []byte{1, 0, 1})}, nil)
		if n := new(big.Int).SetBytes(c.get(k.public, ck.CKA_MODULUS)); n.BitLen() != bits {
			c.Errorf("the modulus has %d bits, not %d", n.BitLen(), bits)
		}
		m := c.bytes(20)
		sig, rv := mod.Single(c.a, mod.Signing(), session, c11.Mech{Type: ck.CKM_SHA256_RSA_PKCS}, k.private, m)
		c.good("C_Sign", rv)
		c.agrees("a signature of the new key", 4, "verify", k.spki, "SHA256", m, sig, "rsa_padding_mode=pkcs1")
	}
}

// rsaPrivateTemplate has the numbers of an RSAPrivateKey.
func rsaPrivateTemplate(c *check, der []byte) []ck.Attribute {
	c.Helper()
	var k struct {
		Version                        int
		N, E, D, P, Q, DP, DQ, Inverse *big.Int
	}
	c.parse(der, &k)
	list := append(bools(true, ck.CKA_UNWRAP, ck.CKA_DECRYPT, ck.CKA_PRIVATE), ck.NewULong(ck.CKA_CLASS, ck.CKO_PRIVATE_KEY), ck.NewULong(ck.CKA_KEY_TYPE, ck.CKK_RSA))
	for t, n := range sorted(map[ck.AttributeType]*big.Int{
		ck.CKA_MODULUS: k.N, ck.CKA_PUBLIC_EXPONENT: k.E, ck.CKA_PRIVATE_EXPONENT: k.D, ck.CKA_PRIME_1: k.P, ck.CKA_PRIME_2: k.Q,
		ck.CKA_EXPONENT_1: k.DP, ck.CKA_EXPONENT_2: k.DQ, ck.CKA_COEFFICIENT: k.Inverse,
	}) {
		list = append(list, ck.NewBytes(t, n.Bytes()))
	}
	return list
}
