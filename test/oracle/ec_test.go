package oracle

import (
	"encoding/asn1"
	"fmt"
	"strings"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/test/c11"
)

// curves are all that OpenSSL names but those of WAP and Oakley that are others
// under a second name, or that have no order of a prime.
var curves = strings.Fields(`
	secp112r1 secp112r2 secp128r1 secp128r2 secp160k1 secp160r1 secp160r2 secp192k1 secp224k1 secp224r1 secp256k1 secp384r1 secp521r1
	prime192v1 prime192v2 prime192v3 prime239v1 prime239v2 prime239v3 prime256v1
	sect113r1 sect113r2 sect131r1 sect131r2 sect163k1 sect163r1 sect163r2 sect193r1 sect193r2 sect233k1 sect233r1 sect239k1
	sect283k1 sect283r1 sect409k1 sect409r1 sect571k1 sect571r1
	c2pnb163v1 c2pnb163v2 c2pnb163v3 c2pnb176v1 c2tnb191v1 c2tnb191v2 c2tnb191v3 c2pnb208w1 c2tnb239v1 c2tnb239v2 c2tnb239v3
	c2pnb272w1 c2pnb304w1 c2tnb359v1 c2pnb368w1 c2tnb431r1
	brainpoolP160r1 brainpoolP160t1 brainpoolP192r1 brainpoolP192t1 brainpoolP224r1 brainpoolP224t1 brainpoolP256r1 brainpoolP256t1
	brainpoolP320r1 brainpoolP320t1 brainpoolP384r1 brainpoolP384t1 brainpoolP512r1 brainpoolP512t1`)

// fewCurves stand for the rest where the curve matters little.
var fewCurves = []string{"prime256v1", "secp521r1", "sect233k1", "brainpoolP384r1"}

func (c *check) ec(curve string, more ...any) *pair {
	c.Helper()
	return c.pairOf(append([]any{"EC", option("ec_paramgen_curve", curve), "ec_param_enc=named_curve"}, more...)...)
}

// scalarSize is the length of a private value.
func (p *pair) scalarSize(c *check) int { return len(p.scalar(c)) }

func (p *pair) scalar(c *check) []byte {
	var info struct {
		Version   int
		Algorithm struct {
			A, B any `asn1:"optional"`
		}
		Key []byte
	}
	c.parse(p.pkcs8, &info)
	var key struct {
		Version int
		Value   []byte
		Public  any `asn1:"optional,explicit,tag:1"`
	}
	c.parse(info.Key, &key)
	return key.Value
}

func init() {
	for m, digest := range sorted(map[ck.MechanismType]string{
		ck.CKM_ECDSA_SHA1: "SHA1", ck.CKM_ECDSA_SHA224: "SHA224", ck.CKM_ECDSA_SHA256: "SHA256", ck.CKM_ECDSA_SHA384: "SHA384", ck.CKM_ECDSA_SHA512: "SHA512",
		ck.CKM_ECDSA_SHA224_OLD: "SHA224", ck.CKM_ECDSA_SHA256_OLD: "SHA256", ck.CKM_ECDSA_SHA384_OLD: "SHA384", ck.CKM_ECDSA_SHA512_OLD: "SHA512",
		ck.CKM_ECDSA_SHA3_224: "SHA3-224", ck.CKM_ECDSA_SHA3_256: "SHA3-256", ck.CKM_ECDSA_SHA3_384: "SHA3-384", ck.CKM_ECDSA_SHA3_512: "SHA3-512",
	}) {
		list := fewCurves
		if m == ck.CKM_ECDSA_SHA512 || m == ck.CKM_ECDSA_SHA1 {
			list = curves
		}
		compare(openssl, ecdsa(digest, list), m)
	}
	compare(openssl, ecdsa("-", curves), ck.CKM_ECDSA)
	compare(openssl, ecdsa("SHA256", []string{"prime256v1", "secp256k1", "brainpoolP256r1"}), ck.CKM_ECDSA_GBCS_SHA256)
	compare(bouncy, gbcs, ck.CKM_ECDSA_GBCS_SHA256)
	compare(openssl, ecGenerates, ck.CKM_EC_KEY_PAIR_GEN, ck.CKM_ECDSA_KEY_PAIR_GEN_W_EXTRA_BITS, ck.CKM_EC_KEY_PAIR_GEN_W_EXTRA_BITS)
	x25519, x448 := []any{"X25519"}, []any{"X448"}
	named := func(curve string) []any {
		return []any{"EC", option("ec_paramgen_curve", curve), "ec_param_enc=named_curve"}
	}
	p256, p521, k233, bp384 := named("prime256v1"), named("secp521r1"), named("sect233k1"), named("brainpoolP384r1")
	compare(openssl, ecdhAESKeyWrap(false, nil, p256, p521, k233, bp384, x25519, x448), ck.CKM_ECDH_AES_KEY_WRAP)
	compare(openssl, ecdhAESKeyWrap(false, nil, x25519, x448), ck.CKM_ECDH_X_AES_KEY_WRAP)
	compare(openssl, ecdhAESKeyWrap(true, []any{"ecdh_cofactor_mode=1"}, p256, p521, k233, bp384), ck.CKM_ECDH_COF_AES_KEY_WRAP)
	compare(openssl, edwardsGenerates, ck.CKM_EC_EDWARDS_KEY_PAIR_GEN, ck.CKM_EC_EDWARDS_KEY_PAIR_GEN_OLD)
	compare(openssl, montgomeryGenerates, ck.CKM_EC_MONTGOMERY_KEY_PAIR_GEN, ck.CKM_EC_MONTGOMERY_KEY_PAIR_GEN_OLD)
	compare(openssl, ecdh(curves, ""), ck.CKM_ECDH1_DERIVE)
	compare(openssl, montgomery, ck.CKM_ECDH1_DERIVE)
	compare(openssl, ecdh(curves, "ecdh_cofactor_mode=1"), ck.CKM_ECDH1_COFACTOR_DERIVE)
	compare(openssl, ecdhKDFs, ck.CKM_ECDH1_DERIVE)
	compare(openssl, eddsa, ck.CKM_EDDSA, ck.CKM_EDDSA_OLD, ck.CKM_EDDSA_NACL)
	compare(bouncy, eddsaVariants, ck.CKM_EDDSA)
	for m, digest := range sorted(map[ck.MechanismType]string{
		ck.CKM_SHA1_EDDSA: "SHA1", ck.CKM_SHA224_EDDSA: "SHA224", ck.CKM_SHA256_EDDSA: "SHA256", ck.CKM_SHA384_EDDSA: "SHA384", ck.CKM_SHA512_EDDSA: "SHA512",
		ck.CKM_SHA1_EDDSA_NACL: "SHA1", ck.CKM_SHA224_EDDSA_NACL: "SHA224", ck.CKM_SHA256_EDDSA_NACL: "SHA256", ck.CKM_SHA384_EDDSA_NACL: "SHA384", ck.CKM_SHA512_EDDSA_NACL: "SHA512",
	}) {
		compare(openssl, eddsaHashed(digest), m)
	}
	compare(openssl, sm2SM3, ck.CKM_SM2_SM3)
	compare(openssl, sm2Raw, ck.CKM_SM2)
	compare(openssl, sm2Encrypts, ck.CKM_SM2_ENCRYPT)
	compare(bouncy, sm2EncryptsBouncy, ck.CKM_SM2_ENCRYPT)
	compare(bouncy, sm2Exchange, ck.CKM_SM2_KEY_EXCHANGE)
	compare(bouncy, mqv, ck.CKM_ECMQV_DERIVE)
	compare(bouncy, ecies, ck.CKM_ECIES)
}

// ecdsa signs messages, or with the digest "-" what stands for one.
func ecdsa(digest string, curves []string) func(*check) {
	return func(c *check) {
		for _, curve := range curves {
			k := c.ec(curve)
			f := dsaForm(k.scalarSize(c))
			for _, n := range []int{1, 20, 64} {
				c.signs(k, f, nil, digest, c.bytes(n))
			}
		}
	}
}

// gbcs is deterministic.
func gbcs(c *check) {
	for _, curve := range []string{"prime256v1", "secp256k1", "brainpoolP256r1"} {
		k := c.ec(curve)
		for n := range 4 {
			m := c.bytes(30 * n)
			got, rv := mod.Single(c.a, mod.Signing(), session, c.mech(nil), k.private, m)
			c.good("C_Sign", rv)
			c.equal("signature", got, dsaForm(32).toModule(c.ask("rfc6979", "SHA-256", k.pkcs8, m)))
		}
	}
}

// ecGenerates makes pairs on all curves.
func ecGenerates(c *check) {
	for _, curve := range curves {
		c.generates(ck.CKK_EC, c.ec(curve).groupOf(c), nil)
	}
}

func edwardsGenerates(c *check) {
	for _, name := range []string{"ED25519", "ED448"} {
		k := c.generates(ck.CKK_EC_EDWARDS, c.pairOf(name).groupOf(c), nil)
		m := c.bytes(50)
		sig, rv := mod.Single(c.a, mod.Signing(), session, c11.Mech{Type: ck.CKM_EDDSA}, k.private, m)
		c.good("C_Sign", rv)
		c.agrees("a signature of the new key", 4, "verify", k.spki, "none", m, sig)
	}
}

func montgomeryGenerates(c *check) {
	for _, name := range []string{"X25519", "X448"} {
		other := c.pairOf(name)
		k := c.generates(ck.CKK_EC_MONTGOMERY, other.groupOf(c), nil)
		c.equal("shared secret", c.shared(ck.CKM_ECDH1_DERIVE, k, other), c.ask("derive", k.pkcs8, other.spki))
	}
}

// ecdhParam is CK_ECDH1_DERIVE_PARAMS.
func ecdhParam(c *check, kdf ck.KDF, info, public []byte) []byte {
	return words(uint64(kdf), uint64(len(info)), c.a.Ptr(info), uint64(len(public)), c.a.Ptr(public))
}

// shared has the module derive a secret without a derivation function.
func (c *check) shared(m ck.MechanismType, own, other *pair) []byte {
	c.Helper()
	o, rv := mod.Derive(c.a, session, c.mechOf(m, ecdhParam(c, ck.CKD_NULL, nil, other.point)), own.private, secretTemplate(ck.CKK_GENERIC_SECRET)...)
	c.good("C_DeriveKey", rv)
	return c.get(c.keep(o), ck.CKA_VALUE)
}

func ecdh(curves []string, options ...any) func(*check) {
	if options[0] == "" {
		options = nil
	}
	return func(c *check) {
		for _, curve := range curves {
			own, other := c.ec(curve), c.ec(curve, "again=1")
			c.equal(curve, c.shared(c.m, own, other), c.ask(append([]any{"derive", own.pkcs8, other.spki}, options...)...))
			c.equal(curve, c.shared(c.m, other, own), c.ask(append([]any{"derive", own.pkcs8, other.spki}, options...)...))
		}
	}
}

func montgomery(c *check) {
	for _, name := range []string{"X25519", "X448"} {
		own, other := c.pairOf(name), c.another(1, name)
		c.equal(name, c.shared(c.m, own, other), c.ask("derive", own.pkcs8, other.spki))
		c.equal(name, c.shared(c.m, other, own), c.ask("derive", own.pkcs8, other.spki))
	}
}

// ecKDFs are the derivation functions of X9.63 and of one step.
var ecKDFs = []struct {
	kdf          ck.KDF
	name, digest string
}{
	{ck.CKD_SHA1_KDF, "X963KDF", "SHA1"},
	{ck.CKD_SHA1_KDF_CONCATENATE, "X963KDF", "SHA1"},
	{ck.CKD_SHA224_KDF, "X963KDF", "SHA224"},
	{ck.CKD_SHA256_KDF, "X963KDF", "SHA256"},
	{ck.CKD_SHA384_KDF, "X963KDF", "SHA384"},
	{ck.CKD_SHA512_KDF, "X963KDF", "SHA512"},
	{ck.CKD_SHA3_224_KDF, "X963KDF", "SHA3-224"},
	{ck.CKD_SHA3_256_KDF, "X963KDF", "SHA3-256"},
	{ck.CKD_SHA3_384_KDF, "X963KDF", "SHA3-384"},
	{ck.CKD_SHA3_512_KDF, "X963KDF", "SHA3-512"},
	{ck.CKD_SHA1_KDF_SP800, "SSKDF", "SHA1"},
	{ck.CKD_SHA224_KDF_SP800, "SSKDF", "SHA224"},
	{ck.CKD_SHA256_KDF_SP800, "SSKDF", "SHA256"},
	{ck.CKD_SHA384_KDF_SP800, "SSKDF", "SHA384"},
	{ck.CKD_SHA512_KDF_SP800, "SSKDF", "SHA512"},
	{ck.CKD_SHA3_224_KDF_SP800, "SSKDF", "SHA3-224"},
	{ck.CKD_SHA3_256_KDF_SP800, "SSKDF", "SHA3-256"},
	{ck.CKD_SHA3_384_KDF_SP800, "SSKDF", "SHA3-384"},
	{ck.CKD_SHA3_512_KDF_SP800, "SSKDF", "SHA3-512"},
	{ck.CKD_BLAKE2B_512_KDF, "SSKDF", "BLAKE2B-512"},
	{ck.CKD_SHA224_KDF_OLD, "X963KDF", "SHA224"},
	{ck.CKD_SHA256_KDF_OLD, "X963KDF", "SHA256"},
	{ck.CKD_SHA384_KDF_OLD, "X963KDF", "SHA384"},
	{ck.CKD_SHA512_KDF_OLD, "X963KDF", "SHA512"},
	{ck.CKD_RIPEMD160_KDF, "X963KDF", "RIPEMD160"},
	{ck.CKD_SHA224_NIST_KDF, "SSKDF", "SHA224"},
	{ck.CKD_SHA256_NIST_KDF, "SSKDF", "SHA256"},
	{ck.CKD_SHA384_NIST_KDF, "SSKDF", "SHA384"},
	{ck.CKD_SHA512_NIST_KDF, "SSKDF", "SHA512"},
	{ck.CKD_RIPEMD160_NIST_KDF, "SSKDF", "RIPEMD160"},
}

func ecdhKDFs(c *check) {
	own, other := c.ec("secp384r1"), c.ec("secp384r1", "again=1")
	secret := c.ask("derive", own.pkcs8, other.spki)
	for i, f := range ecKDFs {
		for _, n := range []int{1, 16, 64, 200} {
			info := c.bytes(i)
			want := c.ask("kdf", f.name, n, option("digest", f.digest), option("key", secret), option("info", info))
			c.derives(ecdhParam(c, f.kdf, info, other.point), own.private, want)
		}
	}
}

// eddsaParam is CK_EDDSA_PARAMS.
func eddsaParam(c *check, prehash bool, context []byte) []byte {
	flag := uint64(0)
	if prehash {
		flag = 1
	}
	return words(flag, uint64(len(context)), c.a.Ptr(context))
}

func eddsa(c *check) {
	for _, name := range []string{"ED25519", "ED448"} {
		for _, n := range []int{0, 1, 64, 1000} {
			c.signsSame(c.pairOf(name), nil, "none", c.bytes(n))
			c.signsSame(c.pairOf(name), eddsaParam(c, false, nil), "none", c.bytes(n))
		}
	}
}

func eddsaVariants(c *check) {
	openssl.need(c.T)
	for _, name := range []string{"ED25519", "ED448"} {
		k := c.pairOf(name)
		for _, prehash := range []bool{false, true} {
			for _, n := range []int{0, 1, 255} {
				if n == 0 && name == "ED25519" && !prehash {
					continue // that is pure Ed25519
				}
				context, m := c.bytes(n), c.bytes(100)
				variant := map[bool]string{false: "ctx", true: "ph"}[prehash]
				want := c.ask("eddsa", name+variant, k.pkcs8, context, m)
				got, rv := mod.Single(c.a, mod.Signing(), session, c.mech(eddsaParam(c, prehash, context)), k.private, m)
				c.good("C_Sign", rv)
				c.equal(name+variant, got, want)
				c.verifies(eddsaParam(c, prehash, context), k.public, m, want)
			}
		}
	}
}

// eddsaHashed signs the digest as a message.
func eddsaHashed(digest string) func(*check) {
	return func(c *check) {
		for _, name := range []string{"ED25519", "ED448"} {
			k, m := c.pairOf(name), c.bytes(100)
			want := c.ask("sign", k.pkcs8, "none", c.ask("digest", digest, 0, m))
			got, rv := mod.Single(c.a, mod.Signing(), session, c.mech(nil), k.private, m)
			c.good("C_Sign", rv)
			c.equal("signature", got, want)
			c.verifies(nil, k.public, m, want)
		}
	}
}

func (c *check) sm2(more ...any) *pair { return c.pairOf(append([]any{"SM2"}, more...)...) }

func sm2SM3(c *check) {
	for _, id := range []string{"", "1234567812345678", "ALICE123@YAHOO.COM"} {
		var param []byte
		if id != "" {
			param = []byte(id)
		}
		name := id
		if name == "" {
			name = "1234567812345678"
		}
		options := []string{fmt.Sprintf("hexdistid=%x", name)}
		for _, n := range []int{0, 1, 100} {
			c.signs(c.sm2(), dsaForm(32), param, "SM3", c.bytes(n), options...)
		}
	}
}

func sm2Raw(c *check) {
	for range 4 {
		c.signs(c.sm2(), dsaForm(32), nil, "-", c.bytes(32))
	}
}

func sm2Encrypts(c *check) {
	for _, n := range []int{1, 32, 33, 500} {
		c.enciphersPublic(c.sm2(), words(2), c.bytes(n), itself, itself)
	}
	c.wrapsPublic(c.sm2(), words(2), c.bytes(32), itself, itself)
}

// sm2EncryptsBouncy has the forms that are no ASN.1.
func sm2EncryptsBouncy(c *check) {
	openssl.need(c.T)
	k := c.sm2()
	for form, name := range []string{"C1C3C2", "C1C2C3"} {
		for _, n := range []int{1, 32, 33, 500} {
			plain := c.bytes(n)
			got, rv := mod.Single(c.a, mod.Encryption(), session, c.mech(words(uint64(form))), k.public, plain)
			c.good("C_Encrypt", rv)
			c.equal("what Bouncy Castle decrypts", c.ask("sm2", name, "dec", k.pkcs8, got), plain)
			got, rv = mod.Single(c.a, mod.Decryption(), session, c.mech(words(uint64(form))), k.private, c.ask("sm2", name, "enc", k.spki, plain))
			c.good("C_Decrypt", rv)
			c.equal("what Bouncy Castle encrypted", got, plain)
		}
	}
}

func sm2Exchange(c *check) {
	openssl.need(c.T)
	var k [4]*pair
	for i := range k {
		k[i] = c.another(i, "SM2")
	}
	static, own, peer, peerOwn := k[0], k[1], k[2], k[3]
	id, peerID := []byte("Alice"), []byte("Bill the responder")
	for role, name := range []string{"initiator", "responder"} {
		for _, n := range []int{16, 32, 100} {
			param := words(uint64(role), uint64(len(id)), c.a.Ptr(id), uint64(len(peerID)), c.a.Ptr(peerID), uint64(len(peer.point)), c.a.Ptr(peer.point),
				own.private, uint64(len(peerOwn.point)), c.a.Ptr(peerOwn.point))
			c.derives(param, static.private, c.ask("sm2exchange", name, n, static.pkcs8, own.pkcs8, id, peer.spki, peerOwn.spki, peerID))
		}
	}
}

func mqv(c *check) {
	openssl.need(c.T)
	for _, curve := range fewCurves {
		var k [4]*pair
		for i := range k {
			k[i] = c.ec(curve, option("again", i))
		}
		own, second, peer, peerSecond := k[0], k[1], k[2], k[3]
		param := words(uint64(ck.CKD_NULL), 0, 0, uint64(len(peer.point)), c.a.Ptr(peer.point),
			uint64(second.scalarSize(c)), second.private, uint64(len(peerSecond.point)), c.a.Ptr(peerSecond.point), second.public)
		c.derives(param, own.private, c.ask("mqv", own.pkcs8, second.pkcs8, peer.spki, peerSecond.spki))
	}
}

// ecies goes through ciphers, hash functions and curves.
func ecies(c *check) {
	openssl.need(c.T)
	for i, curve := range []string{"prime256v1", "secp521r1", "sect233k1", "secp112r2", "brainpoolP384r1", "prime256v1"} {
		for j, cipher := range []struct {
			scheme, bits uint64
			name         string
			unit         int
		}{{1, 0, "XOR", 1}, {2, 192, "DESede/pad", 1}, {3, 128, "AES/pad", 1}, {4, 192, "DESede/raw", 8}, {5, 256, "AES/raw", 16}} {
			hash := []struct {
				kdf  ck.KDF
				mac  uint64
				name string
				size uint64
			}{
				{ck.CKD_SHA1_KDF, 1, "SHA-1", 20}, {ck.CKD_SHA224_KDF, 3, "SHA-224", 28}, {ck.CKD_SHA256_KDF, 5, "SHA-256", 32},
				{ck.CKD_SHA384_KDF, 7, "SHA-384", 48}, {ck.CKD_SHA512_KDF, 9, "SHA-512", 64}, {ck.CKD_RIPEMD160_KDF, 11, "RIPEMD160", 20},
			}[(i+j)%6]
			primitive := uint64(1 + 2*((i+j)%2))
			k, info1, info2 := c.ec(curve), c.bytes(3*i), c.bytes(5*j)
			for _, units := range []int{1, 5} {
				plain := c.bytes(units * cipher.unit)
				param := words(primitive, uint64(hash.kdf), uint64(len(info1)), c.a.Ptr(info1), cipher.scheme, cipher.bits,
					hash.mac, 8*hash.size, 8*hash.size, uint64(len(info2)), c.a.Ptr(info2))
				words := func(direction string, key, data []byte) []any {
					return []any{"ecies", direction, key, hash.name, cipher.name, cipher.bits, 8 * hash.size, primitive, info1, info2, data}
				}
				got, rv := mod.Single(c.a, mod.Encryption(), session, c.mech(param), k.public, plain)
				c.good("C_Encrypt", rv)
				c.equal("what Bouncy Castle decrypts", c.ask(words("dec", k.pkcs8, got)...), plain)
				got, rv = mod.Single(c.a, mod.Decryption(), session, c.mech(param), k.private, c.ask(words("enc", k.spki, plain)...))
				c.good("C_Decrypt", rv)
				c.equal("what Bouncy Castle encrypted", got, plain)
			}
		}
	}
}

// otherPublic is the SubjectPublicKeyInfo of another point on the curve of a key.
func (p *pair) otherPublic(point []byte) []byte {
	return marshal(struct {
		Algorithm any
		Key       asn1.BitString
	}{p.algorithm, asn1.BitString{Bytes: point, BitLength: 8 * len(point)}})
}

// ecdhAESKeyWrap puts it together from OpenSSL's agreement, derivation and key
// wrap. The point of the occasion stands before the wrapped key, with der in an
// OCTET STRING.
func ecdhAESKeyWrap(der bool, options []any, algorithms ...[]any) func(*check) {
	return func(c *check) {
		for _, algorithm := range algorithms {
			k, second := c.pairOf(algorithm...), c.another(1, algorithm...)
			before := k.point
			if der {
				before = marshal(k.point)
			}
			for i, kdf := range []ck.KDF{ck.CKD_NULL, ck.CKD_SHA256_KDF, ck.CKD_SHA512_KDF} {
				bits := 128 + 64*(i%2) // what the shortest of the curves has
				info, value := c.bytes(7*i), c.bytes(20+i)
				cipher := fmt.Sprintf("AES-%d-WRAP-PAD", bits)
				key := func(private, public []byte) []byte {
					z := c.ask(append([]any{"derive", private, public}, options...)...)
					if kdf == ck.CKD_NULL {
						return z[:bits/8]
					}
					digest := map[ck.KDF]string{ck.CKD_SHA256_KDF: "SHA256", ck.CKD_SHA512_KDF: "SHA512"}[kdf]
					return c.ask("kdf", "X963KDF", bits/8, option("digest", digest), option("key", z), option("info", info))
				}
				param := words(uint64(bits), uint64(kdf), uint64(len(info)), c.a.Ptr(info))
				wrapped, rv := mod.Wrap(c.a, session, c.mech(param), k.public, c.secret(ck.CKK_GENERIC_SECRET, value))
				c.good("C_WrapKey", rv)
				point := wrapped[len(before)-len(k.point) : len(before)]
				c.equal("what OpenSSL unwraps", c.ask("cipher", cipher, "dec", key(k.pkcs8, k.otherPublic(point)), noIV, "raw", wrapped[len(before):]), value)

				theirs := second.point
				if der {
					theirs = marshal(theirs)
				}
				theirs = cat(theirs, c.ask("cipher", cipher, "enc", key(second.pkcs8, k.spki), noIV, "raw", value))
				o, rv := mod.Unwrap(c.a, session, c.mech(param), k.private, theirs, secretTemplate(ck.CKK_GENERIC_SECRET)...)
				c.good("C_UnwrapKey", rv)
				c.equal("what OpenSSL wrapped", c.get(c.keep(o), ck.CKA_VALUE), value)
			}
		}
	}
}
