package oracle

import (
	"fmt"
	"math/bits"
	"unicode/utf16"
	"unsafe"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/test/c11"
)

func init() {
	compare(openssl, hkdf, ck.CKM_HKDF_DERIVE, ck.CKM_HKDF_DATA)
	compare(openssl, pbkdf2, ck.CKM_PKCS5_PBKD2)
	compare(openssl, kbkdf, ck.CKM_SP800_108_COUNTER_KDF, ck.CKM_SP800_108_FEEDBACK_KDF)
	compare(bouncy, kbkdfBouncy, ck.CKM_SP800_108_COUNTER_KDF, ck.CKM_SP800_108_FEEDBACK_KDF, ck.CKM_SP800_108_DOUBLE_PIPELINE_KDF)
	compare(openssl, prfKDF, ck.CKM_NIST_PRF_KDF, ck.CKM_PRF_KDF)
	compare(openssl, xorKDF, ck.CKM_XOR_BASE_AND_DATA_W_KDF)
	compare(openssl, kmac("KMAC-128"), ck.CKM_KMAC_128)
	compare(openssl, kmac("KMAC-256"), ck.CKM_KMAC_256)
	compare(bouncy, kmac("128"), ck.CKM_KMAC_128)
	compare(bouncy, kmac("256"), ck.CKM_KMAC_256)
	compare(openssl, shake("SHAKE128", 32), ck.CKM_SHAKE_128)
	compare(openssl, shake("SHAKE256", 64), ck.CKM_SHAKE_256)
	compare(openssl, shakeDerives("SHAKE128"), ck.CKM_SHAKE_128_KEY_DERIVATION)
	compare(openssl, shakeDerives("SHAKE256"), ck.CKM_SHAKE_256_KEY_DERIVATION)
	for size, list := range sorted(map[int]types{
		20: {ck.CKM_BLAKE2B_160_HMAC, ck.CKM_BLAKE2B_160_HMAC_GENERAL}, 32: {ck.CKM_BLAKE2B_256_HMAC, ck.CKM_BLAKE2B_256_HMAC_GENERAL},
		48: {ck.CKM_BLAKE2B_384_HMAC, ck.CKM_BLAKE2B_384_HMAC_GENERAL}, 64: {ck.CKM_BLAKE2B_512_HMAC, ck.CKM_BLAKE2B_512_HMAC_GENERAL},
	}) {
		compare(openssl, blake2b("BLAKE2BMAC", size, 1), list[0])
		compare(openssl, blake2b("BLAKE2BMAC", size, 8), list[1])
		compare(bouncy, blake2b("BLAKE2B", size, 1), list[0])
	}
	compare(openssl, tlsMaster("MD5-SHA1", 0), ck.CKM_TLS_MASTER_KEY_DERIVE, ck.CKM_TLS_MASTER_KEY_DERIVE_DH)
	for name, h := range sorted(map[string]ck.MechanismType{"SHA256": ck.CKM_SHA256, "SHA384": ck.CKM_SHA384, "SHA512": ck.CKM_SHA512}) {
		compare(openssl, tlsMaster(name, h), ck.CKM_TLS12_MASTER_KEY_DERIVE, ck.CKM_TLS12_MASTER_KEY_DERIVE_DH)
		compare(openssl, tlsExtended(name, h), ck.CKM_TLS12_EXTENDED_MASTER_KEY_DERIVE, ck.CKM_TLS12_EXTENDED_MASTER_KEY_DERIVE_DH)
		compare(openssl, tlsKeys(name, h), ck.CKM_TLS12_KEY_AND_MAC_DERIVE, ck.CKM_TLS12_KEY_SAFE_DERIVE)
		compare(openssl, tlsKDF(name, h), ck.CKM_TLS_KDF, ck.CKM_TLS12_KDF)
		compare(openssl, tlsMAC(name, h), ck.CKM_TLS_MAC, ck.CKM_TLS12_MAC)
	}
	compare(openssl, tlsKeys("MD5-SHA1", 0), ck.CKM_TLS_KEY_AND_MAC_DERIVE)
	compare(openssl, tlsKDF("MD5-SHA1", ck.CKM_TLS_PRF), ck.CKM_TLS_KDF)
	compare(openssl, tlsMAC("MD5-SHA1", ck.CKM_TLS_PRF), ck.CKM_TLS_MAC)
	compare(openssl, tls10MAC("server finished"), ck.CKM_TLS10_MAC_SERVER)
	compare(openssl, tls10MAC("client finished"), ck.CKM_TLS10_MAC_CLIENT)
	compare(openssl, tlsPRF, ck.CKM_TLS_PRF)
	for _, b := range []pkcs12{
		{ck.CKM_PBE_SHA1_RC4_128, 1, 16, false, false},
		{ck.CKM_PBE_SHA1_RC4_40, 1, 5, false, false},
		{ck.CKM_PBE_SHA1_DES3_EDE_CBC, 1, 24, true, true},
		{ck.CKM_PBE_SHA1_DES2_EDE_CBC, 1, 16, true, true},
		{ck.CKM_PBE_SHA1_DES3_EDE_CBC_OLD, 1, 24, true, true},
		{ck.CKM_PBE_SHA1_DES2_EDE_CBC_OLD, 1, 16, true, true},
		{ck.CKM_PBE_SHA1_RC2_128_CBC, 1, 16, true, false},
		{ck.CKM_PBE_SHA1_RC2_40_CBC, 1, 5, true, false},
		{ck.CKM_PBA_SHA1_WITH_SHA1_HMAC, 3, 20, false, false},
	} {
		compare(openssl, b.check, b.m)
	}
	compare(bouncy, pbkdf1("MD2", 8, true), ck.CKM_PBE_MD2_DES_CBC)
	compare(bouncy, pbkdf1("MD5", 8, true), ck.CKM_PBE_MD5_DES_CBC)
	compare(bouncy, pbkdf1("MD5", 8, false), ck.CKM_PBE_MD5_CAST128_CBC)
	compare(bouncy, pbkdf1("SHA-1", 12, false), ck.CKM_PBE_SHA1_CAST128_CBC)
}

func hkdf(c *check) {
	for _, h := range rsaHashes {
		if h.mgf == 0 {
			continue
		}
		for i, salt := range []uint64{ck.CKF_HKDF_SALT_NULL, ck.CKF_HKDF_SALT_DATA, ck.CKF_HKDF_SALT_KEY} {
			for flags, mode := range sorted(map[uint64]string{0x0101: "EXTRACT_AND_EXPAND", 1: "EXTRACT_ONLY", 0x0100: "EXPAND_ONLY"}) {
				value, saltValue, info := c.bytes(32+20*i), c.bytes(20), c.bytes(11*i)
				n := h.size
				if mode != "EXTRACT_ONLY" {
					n = []int{1, 70, 200}[i]
				}
				options := []any{"kdf", "HKDF", n, option("digest", h.openssl), option("mode", mode), option("key", value)}
				if mode != "EXTRACT_ONLY" {
					options = append(options, option("info", info))
				}
				if mode != "EXPAND_ONLY" && salt != ck.CKF_HKDF_SALT_NULL {
					options = append(options, option("salt", saltValue))
				}
				var ptr, length, handle uint64
				switch salt {
				case ck.CKF_HKDF_SALT_DATA:
					ptr, length = c.a.Ptr(saltValue), 20
				case ck.CKF_HKDF_SALT_KEY:
					handle = c.secret(ck.CKK_GENERIC_SECRET, saltValue)
				}
				param := words(flags, uint64(h.digest), salt, ptr, length, handle, c.a.Ptr(info), uint64(len(info)))
				want, base := c.ask(options...), c.secret(ck.CKK_HKDF, value)
				if c.m == ck.CKM_HKDF_DERIVE {
					c.derives(param, base, want)
					continue
				}
				o, rv := mod.Derive(c.a, session, c.mech(param), base, ck.NewULong(ck.CKA_CLASS, ck.CKO_DATA), ck.NewULong(ck.CKA_VALUE_LEN, uint64(n)))
				c.good("C_DeriveKey", rv)
				c.equal("derived data", c.get(c.keep(o), ck.CKA_VALUE), want)
			}
		}
	}
}

func pbkdf2(c *check) {
	for prf, name := range sorted(map[ck.PRF]string{
		ck.CKP_PKCS5_PBKD2_HMAC_SHA1: "SHA1", ck.CKP_PKCS5_PBKD2_HMAC_SHA224: "SHA224", ck.CKP_PKCS5_PBKD2_HMAC_SHA256: "SHA256",
		ck.CKP_PKCS5_PBKD2_HMAC_SHA384: "SHA384", ck.CKP_PKCS5_PBKD2_HMAC_SHA512: "SHA512", ck.CKP_PKCS5_PBKD2_HMAC_SHA512_224: "SHA512-224",
		ck.CKP_PKCS5_PBKD2_HMAC_SHA512_256: "SHA512-256", ck.CKP_PKCS5_PBKD2_HMAC_SM3: "SM3",
	}) {
		for i, n := range []int{1, 16, 20, 100} {
			password, salt := c.bytes(1+50*i), c.bytes(8*i)
			want := c.ask("kdf", "PBKDF2", n, "pkcs5=1", option("digest", name), option("pass", password), option("salt", salt), option("iter", 1+40*i))
			param := words(uint64(ck.CKZ_SALT_SPECIFIED), c.a.Ptr(salt), uint64(len(salt)), uint64(1+40*i), uint64(prf), 0, 0, c.a.Ptr(password), uint64(len(password)))
			c.makes(param, want, secretTemplate(ck.CKK_GENERIC_SECRET, ck.NewULong(ck.CKA_VALUE_LEN, uint64(n)))...)
		}
	}
}

// makes compares the value of a key that C_GenerateKey makes.
func (c *check) makes(param, want []byte, template ...ck.Attribute) {
	c.Helper()
	o, rv := mod.Generate(c.a, session, c.mech(param), template...)
	c.good("C_GenerateKey", rv)
	c.equal("value", c.get(c.keep(o), ck.CKA_VALUE), want)
}

// kbkdfPRFs are the functions of SP 800-108.
var kbkdfPRFs = []struct {
	m       ck.MechanismType
	options []any
	bouncy  string
	kind    ck.KeyType
	key     int
	size    int // of the output
}{
	{ck.CKM_SHA_1_HMAC, []any{"mac=HMAC", "digest=SHA1"}, "SHA-1", ck.CKK_GENERIC_SECRET, 30, 20},
	{ck.CKM_SHA256_HMAC, []any{"mac=HMAC", "digest=SHA256"}, "SHA-256", ck.CKK_GENERIC_SECRET, 32, 32},
	{ck.CKM_SHA512_HMAC, []any{"mac=HMAC", "digest=SHA512"}, "SHA-512", ck.CKK_GENERIC_SECRET, 64, 64},
	{ck.CKM_SHA3_384_HMAC, []any{"mac=HMAC", "digest=SHA3-384"}, "SHA3-384", ck.CKK_GENERIC_SECRET, 20, 48},
	{ck.CKM_AES_CMAC, []any{"mac=CMAC", "cipher=AES-128-CBC"}, "CMAC-AES", ck.CKK_AES, 16, 16},
	{ck.CKM_AES_CMAC, []any{"mac=CMAC", "cipher=AES-256-CBC"}, "CMAC-AES", ck.CKK_AES, 32, 16},
	{ck.CKM_DES3_CMAC, []any{"mac=CMAC", "cipher=DES-EDE3-CBC"}, "CMAC-DESede", ck.CKK_DES3, 24, 8},
}

// field is CK_PRF_DATA_PARAM.
func (c *check) field(kind uint64, value []byte) []byte {
	return words(kind, c.a.Ptr(value), uint64(len(value)))
}

// kbkdf derives with a counter of 32 bits, a label, a zero, a context and the
// length, as OpenSSL does.
func kbkdf(c *check) {
	feedback := c.m == ck.CKM_SP800_108_FEEDBACK_KDF
	for _, f := range kbkdfPRFs {
		for i, n := range []int{1, 16, 33, 200} {
			value, label, context, iv := c.bytes(f.key), c.bytes(1+7*i), c.bytes(1+5*i), c.bytes(i%2*f.size)
			if f.kind == ck.CKK_DES3 {
				value = des3.value(c, 24)
			}
			options := append([]any{"kdf", "KBKDF", n, option("key", value), option("salt", label), option("info", context)}, f.options...)
			counter := c.field(ck.CK_SP800_108_ITERATION_VARIABLE, words(0, 32))
			fields := [][]byte{counter}
			if feedback {
				options = append(options, "mode=feedback")
				fields = [][]byte{c.field(ck.CK_SP800_108_ITERATION_VARIABLE, nil), c.field(ck.CK_SP800_108_COUNTER, words(0, 32))}
				if len(iv) > 0 {
					options = append(options, option("seed", iv))
				}
			}
			fields = append(fields, c.field(ck.CK_SP800_108_BYTE_ARRAY, cat(label, []byte{0}, context)), c.field(ck.CK_SP800_108_DKM_LENGTH, words(1, 0, 32)))
			c.derives(c.kbkdfParam(f.m, fields, iv), c.secret(f.kind, value), c.ask(options...))
		}
	}
}

// kbkdfParam is the parameter of any of the three.
func (c *check) kbkdfParam(prf ck.MechanismType, fields [][]byte, iv []byte) []byte {
	param := words(uint64(prf), uint64(len(fields)), c.a.Ptr(cat(fields...)))
	if c.m == ck.CKM_SP800_108_FEEDBACK_KDF {
		param = append(param, words(uint64(len(iv)), c.a.Ptr(iv))...)
	}
	return append(param, words(0, 0)...)
}

// kbkdfBouncy has fixed data, and counters of all widths before and behind.
func kbkdfBouncy(c *check) {
	name := map[ck.MechanismType]string{
		ck.CKM_SP800_108_COUNTER_KDF: "counter", ck.CKM_SP800_108_FEEDBACK_KDF: "feedback", ck.CKM_SP800_108_DOUBLE_PIPELINE_KDF: "pipeline",
	}[c.m]
	for _, f := range kbkdfPRFs {
		for _, width := range []int{0, 8, 16, 24, 32} {
			value, fixed, iv := c.bytes(f.key), c.bytes(60), c.bytes(20)
			if f.kind == ck.CKK_DES3 {
				value = des3.value(c, 24)
			}
			var fields [][]byte
			switch {
			case name == "counter" && width == 0:
				continue
			case name == "counter":
				fields = [][]byte{c.field(ck.CK_SP800_108_ITERATION_VARIABLE, words(0, uint64(width)))}
			default:
				fields = [][]byte{c.field(ck.CK_SP800_108_ITERATION_VARIABLE, nil)}
				if width > 0 {
					fields = append(fields, c.field(ck.CK_SP800_108_COUNTER, words(0, uint64(width))))
				}
			}
			fields = append(fields, c.field(ck.CK_SP800_108_BYTE_ARRAY, fixed))
			want := c.ask("kbkdf", name, f.bouncy, 100, value, fixed, iv, width)
			c.derives(c.kbkdfParam(f.m, fields, iv), c.secret(f.kind, value), want)
		}
	}
}

// prfKDF goes through the functions and the encodings.
func prfKDF(c *check) {
	for prf, f := range sorted(map[uint64]struct {
		kind    ck.KeyType
		key     int
		mac     string
		options []any
		nist    bool
	}{
		ck.CK_PRF_KDF_DES3_CMAC:      {ck.CKK_DES3, 24, "CMAC", []any{"cipher=DES-EDE3-CBC"}, true},
		ck.CK_PRF_KDF_AES_CMAC:       {ck.CKK_AES, 32, "CMAC", []any{"cipher=AES-256-CBC"}, true},
		ck.CK_PRF_KDF_ARIA_CMAC:      {ck.CKK_ARIA, 16, "CMAC", []any{"cipher=ARIA-128-CBC"}, false},
		ck.CK_PRF_KDF_SEED_CMAC:      {ck.CKK_SEED, 16, "CMAC", []any{"cipher=SEED-CBC"}, false},
		ck.CK_PRF_KDF_HMAC_SHA1:      {ck.CKK_GENERIC_SECRET, 20, "HMAC", []any{"digest=SHA1"}, true},
		ck.CK_PRF_KDF_HMAC_SHA224:    {ck.CKK_GENERIC_SECRET, 20, "HMAC", []any{"digest=SHA224"}, true},
		ck.CK_PRF_KDF_HMAC_SHA256:    {ck.CKK_GENERIC_SECRET, 20, "HMAC", []any{"digest=SHA256"}, true},
		ck.CK_PRF_KDF_HMAC_SHA384:    {ck.CKK_GENERIC_SECRET, 20, "HMAC", []any{"digest=SHA384"}, true},
		ck.CK_PRF_KDF_HMAC_SHA512:    {ck.CKK_GENERIC_SECRET, 20, "HMAC", []any{"digest=SHA512"}, true},
		ck.CK_PRF_KDF_HMAC_RIPEMD160: {ck.CKK_GENERIC_SECRET, 20, "HMAC", []any{"digest=RIPEMD160"}, false},
		ck.CK_PRF_KDF_HMAC_SHA3_224:  {ck.CKK_GENERIC_SECRET, 20, "HMAC", []any{"digest=SHA3-224"}, true},
		ck.CK_PRF_KDF_HMAC_SHA3_256:  {ck.CKK_GENERIC_SECRET, 20, "HMAC", []any{"digest=SHA3-256"}, true},
		ck.CK_PRF_KDF_HMAC_SHA3_384:  {ck.CKK_GENERIC_SECRET, 20, "HMAC", []any{"digest=SHA3-384"}, true},
		ck.CK_PRF_KDF_HMAC_SHA3_512:  {ck.CKK_GENERIC_SECRET, 20, "HMAC", []any{"digest=SHA3-512"}, true},
	}) {
		if c.m == ck.CKM_NIST_PRF_KDF && !f.nist {
			continue
		}
		for scheme, options := range sorted(map[uint64][]any{
			ck.CK_PRF_KDF_ENCODING_SCHEME_1: nil, ck.CK_PRF_KDF_ENCODING_SCHEME_2: {"use-l=0", "use-separator=0"},
			ck.CK_PRF_KDF_ENCODING_SCHEME_3: nil, ck.CK_PRF_KDF_ENCODING_SCHEME_4: {"use-l=0", "use-separator=0"},
		}) {
			value, label, context := c.bytes(f.key), c.bytes(12), c.bytes(21)
			if f.kind == ck.CKK_DES3 {
				value = des3.value(c, 24)
			}
			first, second := label, context
			if scheme == ck.CK_PRF_KDF_ENCODING_SCHEME_1 || scheme == ck.CK_PRF_KDF_ENCODING_SCHEME_2 {
				first, second = context, label
			}
			words2 := append([]any{"kdf", "KBKDF", 100, option("key", value), option("salt", first), option("info", second), option("mac", f.mac)}, f.options...)
			param := words(prf, c.a.Ptr(label), 12, c.a.Ptr(context), 21, 1, scheme)
			c.derives(param, c.secret(f.kind, value), c.ask(append(words2, options...)...))
		}
	}
}

func xorKDF(c *check) {
	for _, f := range ecKDFs {
		value, info, data := c.bytes(24), c.bytes(9), c.bytes(70)
		key := c.secret(ck.CKK_GENERIC_SECRET, value)
		param := words(uint64(f.kdf), uint64(len(info)), c.a.Ptr(info))
		stream := c.ask("kdf", f.name, len(data), option("digest", f.digest), option("key", value), option("info", info))
		sealed := make([]byte, len(data))
		for i := range sealed {
			sealed[i] = data[i] ^ stream[i]
		}
		c.enciphersParts(param, key, data, sealed)

		sum := c.bytes(24)
		shared := make([]byte, 24)
		for i := range sum {
			shared[i] = sum[i] ^ value[i]
		}
		c.derives(words(uint64(f.kdf), 24, c.a.Ptr(shared)), key, c.ask("kdf", f.name, 50, option("digest", f.digest), option("key", sum)))
	}
}

func kmac(name string) func(*check) {
	return func(c *check) {
		for i, n := range []int{0, 1, 168, 500} {
			for _, length := range []int{8, 32, 64, 200} {
				value, custom, m := c.bytes(16+40*i), c.bytes(9*i), c.bytes(n)
				words2 := []any{"mac", name, value, m, option("size", length)}
				if c.o == bouncy {
					words2 = []any{"mac", "KMAC", value, m, option("bits", name), option("length", length)}
				}
				if len(custom) > 0 || c.o == bouncy {
					words2 = append(words2, option("custom", custom))
				}
				param := words(c.a.Ptr(custom), uint64(len(custom)), uint64(length))
				c.authenticates(param, c.secret(ck.CKK_GENERIC_SECRET, value), m, c.ask(words2...))
			}
		}
	}
}

func shake(name string, size int) func(*check) {
	return func(c *check) {
		for _, n := range lengths {
			m := c.bytes(n)
			for _, length := range []int{0, 1, 168, 500} {
				var param []byte
				if length > 0 {
					param = words(uint64(length))
				} else {
					length = size
				}
				got, rv := mod.Digest(c.a, session, c.mech(param), m)
				c.good("C_Digest", rv)
				c.equal("digest", got, c.ask("digest", name, length, m))
			}
		}
	}
}

func shakeDerives(name string) func(*check) {
	return func(c *check) {
		for _, n := range []int{1, 20, 200} {
			value := c.bytes(n)
			base := c.secret(ck.CKK_GENERIC_SECRET, value)
			for _, length := range []int{1, 32, 500} {
				c.derives(nil, base, c.ask("digest", name, length, value))
			}
		}
	}
}

// blake2b has keys inside the function; a code is cut to size/part bytes.
func blake2b(name string, size, part int) func(*check) {
	return func(c *check) {
		for _, k := range []int{1, 20, 64} {
			for _, n := range []int{0, 1, 128, 1000} {
				value, m := c.bytes(k), c.bytes(n)
				code := c.ask("mac", name, value, m, option("size", size))
				var param []byte
				if part > 1 {
					code = code[:len(code)/part]
					param = words(uint64(len(code)))
				}
				c.authenticates(param, c.secret(ck.CKK_GENERIC_SECRET, value), m, code)
			}
		}
	}
}

// tlsPRFOf asks OpenSSL for the function of TLS.
func tlsPRFOf(c *check, digest string, n int, secret []byte, label string, seed []byte) []byte {
	c.Helper()
	return c.askOf(openssl, "kdf", "TLS1-PRF", n, option("digest", digest), option("secret", secret), option("seed", cat([]byte(label), seed)))
}

// randomInfo is CK_SSL3_RANDOM_DATA.
func randomInfo(c *check, client, server []byte) []byte {
	return words(c.a.Ptr(client), uint64(len(client)), c.a.Ptr(server), uint64(len(server)))
}

func isDH(m ck.MechanismType) bool {
	switch m {
	case ck.CKM_TLS_MASTER_KEY_DERIVE_DH, ck.CKM_TLS12_MASTER_KEY_DERIVE_DH, ck.CKM_TLS12_EXTENDED_MASTER_KEY_DERIVE_DH, ck.CKM_SSL3_MASTER_KEY_DERIVE_DH:
		return true
	}
	return false
}

// premaster is a secret of 48 bytes, or of another length from Diffie and Hellman,
// and where the mechanism puts the version in it.
func (c *check) premaster() (value []byte, version unsafe.Pointer) {
	if isDH(c.m) {
		return c.bytes(133), nil
	}
	return c.bytes(48), c.a.Alloc(2)
}

func (c *check) versionIs(version unsafe.Pointer, value []byte) {
	c.Helper()
	if version != nil {
		c.equal("version", c11.Peek(version, 2), value[:2])
	}
}

func address(p unsafe.Pointer) uint64 { return uint64(uintptr(p)) }

func tlsMaster(digest string, h ck.MechanismType) func(*check) {
	return func(c *check) {
		value, version := c.premaster()
		client, server := c.bytes(32), c.bytes(32)
		param := cat(randomInfo(c, client, server), words(address(version)))
		if h != 0 {
			param = append(param, words(uint64(h))...)
		}
		c.derives(param, c.secret(ck.CKK_GENERIC_SECRET, value), tlsPRFOf(c, digest, 48, value, "master secret", cat(client, server)))
		c.versionIs(version, value)
	}
}

func tlsExtended(digest string, h ck.MechanismType) func(*check) {
	return func(c *check) {
		value, version := c.premaster()
		session := c.bytes(48)
		param := words(uint64(h), c.a.Ptr(session), 48, address(version))
		c.derives(param, c.secret(ck.CKK_GENERIC_SECRET, value), tlsPRFOf(c, digest, 48, value, "extended master secret", session))
		c.versionIs(version, value)
	}
}

// tlsKeys compares all pieces of a key block.
func tlsKeys(digest string, h ck.MechanismType) func(*check) {
	return func(c *check) {
		value, client, server := c.bytes(48), c.bytes(32), c.bytes(32)
		block := tlsPRFOf(c, digest, 2*(20+16+12), value, "key expansion", cat(server, client))
		c.keyBlock(h, value, client, server, block)
	}
}

// keyBlock has the module derive keys with codes of 20 bytes, keys of 16 and IVs
// of 12, and compares them with a block.
func (c *check) keyBlock(h ck.MechanismType, value, client, server, block []byte) {
	c.Helper()
	out, ivs := c.a.Alloc(48), c.a.Alloc(24)
	c11.Poke(unsafe.Add(out, 32), words(address(ivs), address(ivs)+12))
	param := cat(words(160, 128, 96, 0), randomInfo(c, client, server), words(address(out)))
	if h != 0 {
		param = append(param, words(uint64(h))...)
	}
	_, rv := mod.Derive(c.a, session, c.mech(param), c.secret(ck.CKK_GENERIC_SECRET, value),
		ck.NewULong(ck.CKA_CLASS, ck.CKO_SECRET_KEY), ck.NewULong(ck.CKA_KEY_TYPE, ck.CKK_AES), ck.NewBool(ck.CKA_SENSITIVE, false), ck.NewBool(ck.CKA_EXTRACTABLE, true))
	c.good("C_DeriveKey", rv)
	for i, n := range []int{20, 20, 16, 16} {
		o := c11.Number(unsafe.Add(out, 8*i))
		c.equal(fmt.Sprintf("key %d", i), c.get(c.keep(o), ck.CKA_VALUE), block[:n])
		block = block[n:]
	}
	c.equal("IVs", c11.Peek(ivs, 24), block)
}

func tlsKDF(digest string, h ck.MechanismType) func(*check) {
	return func(c *check) {
		for _, n := range []int{0, 1, 40} {
			value, client, server, context := c.bytes(48), c.bytes(32), c.bytes(32), c.bytes(n)
			label, seed := "EXPORTER-oracle", cat(client, server)
			if n > 0 {
				seed = cat(seed, []byte{0, byte(n)}, context)
			}
			param := cat(words(uint64(h), c.a.Ptr([]byte(label)), uint64(len(label))), randomInfo(c, client, server), words(c.a.Ptr(context), uint64(n)))
			c.derives(param, c.secret(ck.CKK_GENERIC_SECRET, value), tlsPRFOf(c, digest, 77, value, label, seed))
		}
	}
}

func tlsMAC(digest string, h ck.MechanismType) func(*check) {
	return func(c *check) {
		for side, label := range sorted(map[uint64]string{1: "server finished", 2: "client finished"}) {
			value, m := c.bytes(48), c.bytes(48)
			c.authenticates(words(uint64(h), 12, side), c.secret(ck.CKK_GENERIC_SECRET, value), m, tlsPRFOf(c, digest, 12, value, label, m))
		}
	}
}

func tls10MAC(label string) func(*check) {
	return func(c *check) {
		value, m := c.bytes(48), c.bytes(36)
		c.authenticates(nil, c.secret(ck.CKK_GENERIC_SECRET, value), m, tlsPRFOf(c, "MD5-SHA1", 12, value, label, m))
	}
}

// tlsPRF gives no key but bytes.
func tlsPRF(c *check) {
	for _, n := range []int{1, 16, 100} {
		value, seed, label := c.bytes(n+32), c.bytes(64), "a label"
		out, length := c.a.Alloc(n), c.a.ULong(uint64(n))
		param := words(c.a.Ptr(seed), 64, c.a.Ptr([]byte(label)), uint64(len(label)), address(out), address(length))
		_, rv := mod.Derive(c.a, session, c.mech(param), c.secret(ck.CKK_GENERIC_SECRET, value))
		c.good("C_DeriveKey", rv)
		c.equal("output", c11.Peek(out, n), tlsPRFOf(c, "MD5-SHA1", n, value, label, seed))
	}
}

// pkcs12 is a key from a password by PKCS #12.
type pkcs12 struct {
	m        ck.MechanismType
	id, size int
	iv       bool
	parity   bool
}

// passwordParam is CK_PBE_PARAMS, with a place for the IV.
func passwordParam(c *check, password, salt []byte, n int) (param []byte, iv unsafe.Pointer) {
	iv = c.a.Alloc(8)
	return words(address(iv), c.a.Ptr(password), uint64(len(password)), c.a.Ptr(salt), uint64(len(salt)), uint64(n)), iv
}

func oddParity(b []byte) []byte {
	out := cat(b)
	for i, v := range b {
		out[i] = v&^1 | byte(bits.OnesCount8(v>>1)&1^1)
	}
	return out
}

func (b pkcs12) check(c *check) {
	for i, password := range []string{"smeg", "queeg", "Füße auf dem Tisch", "a password that is longer than a block of SHA-1, in UTF-16"} {
		var wide []byte
		for _, u := range append(utf16.Encode([]rune(password)), 0) {
			wide = append(wide, byte(u>>8), byte(u))
		}
		salt, n := c.bytes(8+4*i), 1+300*i
		ask := func(id, size int) []byte {
			return c.ask("kdf", "PKCS12KDF", size, "digest=SHA1", option("pass", wide), option("salt", salt), option("iter", n), option("id", id))
		}
		want := ask(b.id, b.size)
		if b.parity {
			want = oddParity(want)
		}
		param, iv := passwordParam(c, []byte(password), salt, n)
		c.makes(param, want, ck.NewBool(ck.CKA_SENSITIVE, false), ck.NewBool(ck.CKA_EXTRACTABLE, true))
		if b.iv {
			c.equal("IV", c11.Peek(iv, 8), ask(2, 8))
		}
	}
}

func pbkdf1(digest string, size int, parity bool) func(*check) {
	return func(c *check) {
		for i := range 3 {
			password, salt, n := c.bytes(3+9*i), c.bytes(8), 1+100*i
			for j := range password {
				password[j] = 'a' + password[j]%26
			}
			all := c.ask("pbkdf1", digest, size, password, salt, n)
			want, wantIV := all[:size], all[size:]
			if parity {
				want = oddParity(want)
			}
			param, iv := passwordParam(c, password, salt, n)
			template := []ck.Attribute{ck.NewBool(ck.CKA_SENSITIVE, false), ck.NewBool(ck.CKA_EXTRACTABLE, true)}
			if !parity {
				template = append(template, ck.NewULong(ck.CKA_VALUE_LEN, uint64(size)))
			}
			c.makes(param, want, template...)
			c.equal("IV", c11.Peek(iv, 8), wantIV)
		}
	}
}
