package oracle

import (
	"github.com/perilune/perilune/cryptoki/ck"
)

// hash is a hash function: its mechanisms, and its names elsewhere.
type hash struct {
	digest, hmac, general, derive ck.MechanismType
	openssl                       string // its name in OpenSSL
	bouncy                        string // and in Bouncy Castle
	size                          int
}

var hashes = []hash{
	{ck.CKM_MD2, ck.CKM_MD2_HMAC, ck.CKM_MD2_HMAC_GENERAL, ck.CKM_MD2_KEY_DERIVATION, "", "MD2", 16},
	{ck.CKM_MD5, ck.CKM_MD5_HMAC, ck.CKM_MD5_HMAC_GENERAL, ck.CKM_MD5_KEY_DERIVATION, "MD5", "MD5", 16},
	{ck.CKM_SHA_1, ck.CKM_SHA_1_HMAC, ck.CKM_SHA_1_HMAC_GENERAL, ck.CKM_SHA1_KEY_DERIVATION, "SHA1", "SHA-1", 20},
	{ck.CKM_SHA224, ck.CKM_SHA224_HMAC, ck.CKM_SHA224_HMAC_GENERAL, ck.CKM_SHA224_KEY_DERIVATION, "SHA224", "SHA-224", 28},
	{ck.CKM_SHA256, ck.CKM_SHA256_HMAC, ck.CKM_SHA256_HMAC_GENERAL, ck.CKM_SHA256_KEY_DERIVATION, "SHA256", "SHA-256", 32},
	{ck.CKM_SHA384, ck.CKM_SHA384_HMAC, ck.CKM_SHA384_HMAC_GENERAL, ck.CKM_SHA384_KEY_DERIVATION, "SHA384", "SHA-384", 48},
	{ck.CKM_SHA512, ck.CKM_SHA512_HMAC, ck.CKM_SHA512_HMAC_GENERAL, ck.CKM_SHA512_KEY_DERIVATION, "SHA512", "SHA-512", 64},
	{ck.CKM_SHA512_224, ck.CKM_SHA512_224_HMAC, ck.CKM_SHA512_224_HMAC_GENERAL, ck.CKM_SHA512_224_KEY_DERIVATION, "SHA512-224", "SHA-512/224", 28},
	{ck.CKM_SHA512_256, ck.CKM_SHA512_256_HMAC, ck.CKM_SHA512_256_HMAC_GENERAL, ck.CKM_SHA512_256_KEY_DERIVATION, "SHA512-256", "SHA-512/256", 32},
	{ck.CKM_SHA3_224, ck.CKM_SHA3_224_HMAC, ck.CKM_SHA3_224_HMAC_GENERAL, ck.CKM_SHA3_224_KEY_DERIVATION, "SHA3-224", "SHA3-224", 28},
	{ck.CKM_SHA3_256, ck.CKM_SHA3_256_HMAC, ck.CKM_SHA3_256_HMAC_GENERAL, ck.CKM_SHA3_256_KEY_DERIVATION, "SHA3-256", "SHA3-256", 32},
	{ck.CKM_SHA3_384, ck.CKM_SHA3_384_HMAC, ck.CKM_SHA3_384_HMAC_GENERAL, ck.CKM_SHA3_384_KEY_DERIVATION, "SHA3-384", "SHA3-384", 48},
	{ck.CKM_SHA3_512, ck.CKM_SHA3_512_HMAC, ck.CKM_SHA3_512_HMAC_GENERAL, ck.CKM_SHA3_512_KEY_DERIVATION, "SHA3-512", "SHA3-512", 64},
	{ck.CKM_RIPEMD128, ck.CKM_RIPEMD128_HMAC, ck.CKM_RIPEMD128_HMAC_GENERAL, 0, "", "RIPEMD128", 16},
	{ck.CKM_RIPEMD160, ck.CKM_RIPEMD160_HMAC, ck.CKM_RIPEMD160_HMAC_GENERAL, ck.CKM_RIPEMD160_KEY_DERIVATION, "RIPEMD160", "RIPEMD160", 20},
	{ck.CKM_SM3, ck.CKM_SM3_HMAC, ck.CKM_SM3_HMAC_GENERAL, ck.CKM_SM3_KEY_DERIVATION, "SM3", "SM3", 32},
	{digest: ck.CKM_BLAKE2B_160, derive: ck.CKM_BLAKE2B_160_KEY_DERIVE, bouncy: "BLAKE2B-160", size: 20},
	{digest: ck.CKM_BLAKE2B_256, derive: ck.CKM_BLAKE2B_256_KEY_DERIVE, bouncy: "BLAKE2B-256", size: 32},
	{digest: ck.CKM_BLAKE2B_384, derive: ck.CKM_BLAKE2B_384_KEY_DERIVE, bouncy: "BLAKE2B-384", size: 48},
	{digest: ck.CKM_BLAKE2B_512, derive: ck.CKM_BLAKE2B_512_KEY_DERIVE, openssl: "BLAKE2B-512", bouncy: "BLAKE2B-512", size: 64},
}

// lengths of messages about the blocks of the functions.
var lengths = []int{0, 1, 3, 16, 55, 56, 63, 64, 65, 111, 112, 127, 128, 129, 135, 136, 137, 143, 144, 200, 1000, 5000}

func init() {
	for _, h := range hashes {
		for _, by := range []struct {
			o    *oracle
			name string
		}{{openssl, h.openssl}, {bouncy, h.bouncy}} {
			if by.name == "" {
				continue
			}
			compare(by.o, digests(by.name, nil), h.digest)
			if h.hmac != 0 {
				compare(by.o, hmacs(by.name, 0), h.hmac)
				compare(by.o, hmacs(by.name, h.size/2+1), h.general)
			}
			if h.derive != 0 {
				compare(by.o, hashDerives(by.name, nil), h.derive)
			}
		}
	}
	for t, name := range sorted(map[uint64]string{224: "SHA-512/224", 256: "SHA-512/256"}) {
		compare(bouncy, digests(name, words(t)), ck.CKM_SHA512_T)
		compare(bouncy, hashDerives(name, words(t)), ck.CKM_SHA512_T_KEY_DERIVATION)
		compare(bouncy, func(c *check) {
			for n := range 5 {
				value, m := c.bytes(20+50*n), c.bytes(100*n)
				c.authenticates(words(t), c.secret(ck.CKK_GENERIC_SECRET, value), m, c.ask("mac", "HMAC", value, m, option("digest", name)))
			}
		}, ck.CKM_SHA512_T_HMAC)
	}
}

func digests(name string, param []byte) func(*check) {
	return func(c *check) {
		for _, n := range lengths {
			m := c.bytes(n)
			want := c.ask("digest", name, 0, m)
			got, rv := mod.Digest(c.a, session, c.mech(param), m)
			c.good("C_Digest", rv)
			c.equal("digest", got, want)
			got, rv = mod.DigestParts(c.a, session, c.mech(param), m, 17)
			c.good("C_DigestFinal", rv)
			c.equal("digest in parts", got, want)
		}
	}
}

func hmacs(name string, cut int) func(*check) {
	return func(c *check) {
		var param []byte
		if cut > 0 {
			param = words(uint64(cut))
		}
		for _, k := range []int{1, 16, 64, 65, 128, 129, 200} {
			value := c.bytes(k)
			key := c.secret(ck.CKK_GENERIC_SECRET, value)
			for _, n := range []int{0, 1, 64, 200, 3000} {
				m := c.bytes(n)
				code := c.ask("mac", "HMAC", value, m, option("digest", name))
				if cut > 0 {
					code = code[:cut]
				}
				c.authenticates(param, key, m, code)
			}
		}
	}
}

func hashDerives(name string, param []byte) func(*check) {
	return func(c *check) {
		for _, n := range []int{1, 20, 64, 128, 300} {
			value := c.bytes(n)
			want := c.ask("digest", name, 0, value)
			base := c.secret(ck.CKK_GENERIC_SECRET, value)
			c.derives(param, base, want)
			c.derives(param, base, want[:(len(want)+1)/2])
		}
	}
}
