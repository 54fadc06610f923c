package oracle

import (
	"fmt"

	"github.com/perilune/perilune/cryptoki/ck"
)

// Random keys have no known answers. What can be compared is that a new key is
// what it says: that the module does with its handle what an oracle does with
// its value.

func init() {
	for m, k := range sorted(map[ck.MechanismType]*cipher{
		ck.CKM_AES_KEY_GEN: aes, ck.CKM_ARIA_KEY_GEN: aria, ck.CKM_CAMELLIA_KEY_GEN: camellia, ck.CKM_SEED_KEY_GEN: seed, ck.CKM_SEED_KEY_GEN_OLD: seed,
		ck.CKM_SM4_KEY_GEN: sm4, ck.CKM_DES_KEY_GEN: des, ck.CKM_CAST128_KEY_GEN: cast, ck.CKM_BLOWFISH_KEY_GEN: blowfish,
	}) {
		compare(openssl, k.generates(cbcOf[k]), m)
	}
	compare(openssl, (&cipher{desKind, []int{16}, 8, desName, ""}).generates(ck.CKM_DES3_CBC), ck.CKM_DES2_KEY_GEN)
	compare(openssl, (&cipher{desKind, []int{24}, 8, desName, ""}).generates(ck.CKM_DES3_CBC), ck.CKM_DES3_KEY_GEN)
	compare(bouncy, twofish.generates(ck.CKM_TWOFISH_CBC), ck.CKM_TWOFISH_KEY_GEN)
	compare(openssl, generatesXTS, ck.CKM_AES_XTS_KEY_GEN)
	compare(openssl, publicHalves, ck.CKM_PUB_KEY_FROM_PRIV_KEY)

	stream := func(use ck.MechanismType, lengths []int, param func(c *check) []byte, ask func(c *check, value, in []byte) []byte) func(*check) {
		return func(c *check) {
			for _, n := range lengths {
				key, value := c.generated(n)
				in := c.bytes(80)
				c.enciphersWith(use, param(c), key, in, ask(c, value, in))
			}
		}
	}
	none := func(*check) []byte { return nil }
	compare(openssl, stream(ck.CKM_RC4, []int{5, 16, 256}, none, func(c *check, value, in []byte) []byte {
		return c.ask("cipher", "RC4", "enc", value, noIV, "raw", in)
	}), ck.CKM_RC4_KEY_GEN)
	compare(openssl, stream(ck.CKM_RC2_ECB, []int{5, 16, 128}, func(*check) []byte { return words(128) }, func(c *check, value, in []byte) []byte {
		return c.ask("cipher", "RC2-ECB", "enc", value, noIV, "raw", in, "keybits=128")
	}), ck.CKM_RC2_KEY_GEN)
	compare(bouncy, stream(ck.CKM_RC5_ECB, []int{5, 16, 255}, func(*check) []byte { return words(4, 12) }, func(c *check, value, in []byte) []byte {
		return c.ask("cipher", "RC5", "ECB", "enc", value, noIV, "raw", in, "rounds=12")
	}), ck.CKM_RC5_KEY_GEN)
	compare(openssl, stream(ck.CKM_CHACHA20, []int{32}, func(c *check) []byte { return chachaParam(c, make([]byte, 4), make([]byte, 12)) },
		func(c *check, value, in []byte) []byte {
			return c.ask("cipher", "ChaCha20", "enc", value, make([]byte, 16), "raw", in)
		}), ck.CKM_CHACHA20_KEY_GEN)
	compare(sodium, stream(ck.CKM_SALSA20, []int{32}, func(c *check) []byte { return salsaParam(c, make([]byte, 8), make([]byte, 8)) },
		func(c *check, value, in []byte) []byte {
			return c.ask("stream", "salsa20", value, make([]byte, 8), 0, in)
		}), ck.CKM_SALSA20_KEY_GEN)

	for m, use := range sorted(map[ck.MechanismType]struct {
		mac     ck.MechanismType
		options []any // with the name of OpenSSL's function first
	}{
		ck.CKM_GENERIC_SECRET_KEY_GEN: {ck.CKM_SHA256_HMAC, []any{"HMAC", "digest=SHA256"}},
		ck.CKM_SHA_1_KEY_GEN:          {ck.CKM_SHA_1_HMAC, []any{"HMAC", "digest=SHA1"}},
		ck.CKM_SHA224_KEY_GEN:         {ck.CKM_SHA224_HMAC, []any{"HMAC", "digest=SHA224"}},
		ck.CKM_SHA256_KEY_GEN:         {ck.CKM_SHA256_HMAC, []any{"HMAC", "digest=SHA256"}},
		ck.CKM_SHA384_KEY_GEN:         {ck.CKM_SHA384_HMAC, []any{"HMAC", "digest=SHA384"}},
		ck.CKM_SHA512_KEY_GEN:         {ck.CKM_SHA512_HMAC, []any{"HMAC", "digest=SHA512"}},
		ck.CKM_SHA512_224_KEY_GEN:     {ck.CKM_SHA512_224_HMAC, []any{"HMAC", "digest=SHA512-224"}},
		ck.CKM_SHA512_256_KEY_GEN:     {ck.CKM_SHA512_256_HMAC, []any{"HMAC", "digest=SHA512-256"}},
		ck.CKM_SHA3_224_KEY_GEN:       {ck.CKM_SHA3_224_HMAC, []any{"HMAC", "digest=SHA3-224"}},
		ck.CKM_SHA3_256_KEY_GEN:       {ck.CKM_SHA3_256_HMAC, []any{"HMAC", "digest=SHA3-256"}},
		ck.CKM_SHA3_384_KEY_GEN:       {ck.CKM_SHA3_384_HMAC, []any{"HMAC", "digest=SHA3-384"}},
		ck.CKM_SHA3_512_KEY_GEN:       {ck.CKM_SHA3_512_HMAC, []any{"HMAC", "digest=SHA3-512"}},
		ck.CKM_BLAKE2B_160_KEY_GEN:    {ck.CKM_BLAKE2B_160_HMAC, []any{"BLAKE2BMAC", "size=20"}},
		ck.CKM_BLAKE2B_256_KEY_GEN:    {ck.CKM_BLAKE2B_256_HMAC, []any{"BLAKE2BMAC", "size=32"}},
		ck.CKM_BLAKE2B_384_KEY_GEN:    {ck.CKM_BLAKE2B_384_HMAC, []any{"BLAKE2BMAC", "size=48"}},
		ck.CKM_BLAKE2B_512_KEY_GEN:    {ck.CKM_BLAKE2B_512_HMAC, []any{"BLAKE2BMAC", "size=64"}},
		ck.CKM_POLY1305_KEY_GEN:       {ck.CKM_POLY1305, []any{"POLY1305"}},
	}) {
		compare(openssl, generatesMAC(use.mac, use.options[0], use.options[1:]), m)
	}
	compare(openssl, generatesSHA512T, ck.CKM_SHA512_T_KEY_GEN)
	compare(openssl, generatesHKDF, ck.CKM_HKDF_KEY_GEN)
	compare(openssl, generatesPremaster, ck.CKM_SSL3_PRE_MASTER_KEY_GEN, ck.CKM_TLS_PRE_MASTER_KEY_GEN)
}

var cbcOf = map[*cipher]ck.MechanismType{
	aes: ck.CKM_AES_CBC, aria: ck.CKM_ARIA_CBC, camellia: ck.CKM_CAMELLIA_CBC, seed: ck.CKM_SEED_CBC,
	sm4: ck.CKM_SM4_CBC, des: ck.CKM_DES_CBC, cast: ck.CKM_CAST128_CBC, blowfish: ck.CKM_BLOWFISH_CBC,
}

// generated has the row's mechanism make a key of n bytes.
func (c *check) generated(n int, more ...ck.Attribute) (key uint64, value []byte) {
	c.Helper()
	list := append(bools(true, ck.CKA_ENCRYPT, ck.CKA_DECRYPT, ck.CKA_SIGN, ck.CKA_VERIFY, ck.CKA_DERIVE, ck.CKA_EXTRACTABLE), ck.NewBool(ck.CKA_SENSITIVE, false))
	switch c.m {
	case ck.CKM_DES_KEY_GEN, ck.CKM_DES2_KEY_GEN, ck.CKM_DES3_KEY_GEN: // know their lengths themselves
	default:
		list = append(list, ck.NewULong(ck.CKA_VALUE_LEN, uint64(n)))
	}
	key, rv := mod.Generate(c.a, session, c.mech(nil), append(list, more...)...)
	c.good("C_GenerateKey", rv)
	value = c.get(c.keep(key), ck.CKA_VALUE)
	if len(value) != n {
		c.Fatalf("the key has %d bytes, not %d", len(value), n)
	}
	return key, value
}

func (c *check) enciphersWith(use ck.MechanismType, param []byte, key uint64, plain, sealed []byte) {
	c.Helper()
	got, rv := mod.Single(c.a, mod.Encryption(), session, c.mechOf(use, param), key, plain)
	c.good(fmt.Sprintf("encryption with %v", use), rv)
	c.equal("encryption with the new key", got, sealed)
}

func (k *cipher) generates(use ck.MechanismType) func(*check) {
	return func(c *check) {
		for _, n := range k.keys {
			key, value := c.generated(n)
			iv, plain := c.bytes(k.block), c.bytes(4*k.block)
			c.enciphersWith(use, iv, key, plain, k.seal(c, "CBC", value, iv, plain, "raw"))
		}
	}
}

func generatesXTS(c *check) {
	for _, n := range []int{32, 64} {
		key, value := c.generated(n)
		tweak, plain := c.bytes(16), c.bytes(77)
		c.enciphersWith(ck.CKM_AES_XTS, tweak, key, plain, c.ask("cipher", fmt.Sprintf("AES-%d-XTS", 4*n), "enc", value, tweak, "raw", plain))
	}
}

func generatesMAC(use ck.MechanismType, name any, options []any) func(*check) {
	return func(c *check) {
		key, value := c.generated(32)
		m := c.bytes(90)
		got, rv := mod.Single(c.a, mod.Signing(), session, c.mechOf(use, nil), key, m)
		c.good(fmt.Sprintf("C_Sign with %v", use), rv)
		c.equal("code with the new key", got, c.ask(append([]any{"mac", name, value, m}, options...)...))
	}
}

// generatesSHA512T makes a key whose use has a parameter.
func generatesSHA512T(c *check) {
	key, value := c.generated(32)
	for t, name := range sorted(map[uint64]string{224: "SHA512-224", 256: "SHA512-256"}) {
		m := c.bytes(90)
		got, rv := mod.Single(c.a, mod.Signing(), session, c.mechOf(ck.CKM_SHA512_T_HMAC, words(t)), key, m)
		c.good("C_Sign", rv)
		c.equal("code with the new key", got, c.ask("mac", "HMAC", value, m, option("digest", name)))
	}
}

func generatesHKDF(c *check) {
	key, value := c.generated(40)
	info := c.bytes(8)
	param := words(0x0101, uint64(ck.CKM_SHA256), uint64(ck.CKF_HKDF_SALT_NULL), 0, 0, 0, c.a.Ptr(info), 8)
	o, rv := mod.Derive(c.a, session, c.mechOf(ck.CKM_HKDF_DERIVE, param), key, derivedTemplate(50)...)
	c.good("C_DeriveKey", rv)
	c.equal("key of the new key", c.get(c.keep(o), ck.CKA_VALUE), c.ask("kdf", "HKDF", 50, "digest=SHA256", option("key", value), option("info", info)))
}

// generatesPremaster makes secrets that begin with the version.
func generatesPremaster(c *check) {
	key, rv := mod.Generate(c.a, session, c.mech([]byte{3, 1}), ck.NewBool(ck.CKA_SENSITIVE, false), ck.NewBool(ck.CKA_EXTRACTABLE, true), ck.NewBool(ck.CKA_DERIVE, true))
	c.good("C_GenerateKey", rv)
	value := c.get(c.keep(key), ck.CKA_VALUE)
	if len(value) != 48 || value[0] != 3 || value[1] != 1 {
		c.Fatalf("the secret is %x", value)
	}
	client, server := c.bytes(32), c.bytes(32)
	o, rv := mod.Derive(c.a, session, c.mechOf(ck.CKM_TLS_MASTER_KEY_DERIVE, cat(randomInfo(c, client, server), words(0))), key, derivedTemplate(48)...)
	c.good("C_DeriveKey", rv)
	c.equal("master secret of the new one", c.get(c.keep(o), ck.CKA_VALUE), tlsPRFOf(c, "MD5-SHA1", 48, value, "master secret", cat(client, server)))
}

// publicHalves are those that OpenSSL finds for the private keys.
func publicHalves(c *check) {
	pairs := []*pair{c.rsa(2048), c.pairOf("ED25519"), c.pairOf("X448")}
	for _, curve := range curves {
		pairs = append(pairs, c.ec(curve))
	}
	for _, p := range pairs {
		public, rv := mod.Derive(c.a, session, c.mech(nil), p.private)
		c.good("C_DeriveKey", rv)
		derived := *p
		derived.public = c.keep(public)
		if got, want := fmt.Sprintf("%x", c.publicKeyOf(&derived)), fmt.Sprintf("%x", p.publicValues(c)); got != want {
			c.Errorf("the public key is %s, the private one belongs to %s", got, want)
		}
		c.compared++
	}
}
