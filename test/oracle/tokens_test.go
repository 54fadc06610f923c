package oracle

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"unsafe"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/test/c11"
)

// Two oracles are PKCS#11 modules themselves: NSS has many of the derivations
// that no library knows by themselves, and SoftHSM2 has wrapping.

var (
	nss         = &oracle{name: "NSS", ready: loadNSS}
	softHSM     = &oracle{name: "SoftHSM2", ready: loadSoftHSM}
	nssSide     side
	softHSMSide side
)

func found(patterns ...string) (string, error) {
	for _, p := range patterns {
		if list, err := filepath.Glob(p); err == nil && len(list) > 0 {
			return list[0], nil
		}
	}
	return "", fmt.Errorf("there is no %v", patterns)
}

func loadNSS() error {
	path, err := found("/usr/lib/*/libsoftokn3.so", "/usr/lib/*/nss/libsoftokn3.so", "/usr/lib64/libsoftokn3.so")
	if err != nil {
		return err
	}
	nssSide.m, nssSide.s, err = c11.OpenNSS(path)
	return err
}

func loadSoftHSM() error {
	path, err := found("/usr/lib/softhsm/libsofthsm2.so", "/usr/lib/*/softhsm/libsofthsm2.so")
	if err != nil {
		return err
	}
	tokens, conf := filepath.Join(scratch, "tokens"), filepath.Join(scratch, "softhsm2.conf")
	err = errors.Join(os.Mkdir(tokens, 0o700),
		os.WriteFile(conf, []byte("directories.tokendir = "+tokens+"\nobjectstore.backend = file\nlog.level = ERROR\n"), 0o600))
	if err != nil {
		return err
	}
	os.Setenv("SOFTHSM2_CONF", conf)
	if softHSMSide.m, err = c11.OpenOld(path); err != nil {
		return err
	}
	softHSMSide.s, err = softHSMSide.m.FreshToken("so pin 1", "user pin")
	return err
}

// side is a module at work for a check.
type side struct {
	c *check
	m *c11.Module
	s uint64
}

// both does the same with the module and with an oracle, and compares.
func (c *check) both(what string, do func(x *side) []byte) {
	c.Helper()
	theirs := nssSide
	if c.o == softHSM {
		theirs = softHSMSide
	}
	theirs.c = c
	ours := &side{c, mod, session}
	c.used = true
	c.equal(what, do(ours), do(&theirs))
}

func (x *side) good(what string, rv ck.RV) {
	x.c.Helper()
	if rv != ck.CKR_OK {
		who := x.c.o.name
		if x.m == mod {
			who = "the module"
		}
		x.c.Fatalf("%s of %s: %v", what, who, rv)
	}
}

func (x *side) secret(kind ck.KeyType, value []byte) uint64 {
	x.c.Helper()
	list := secretTemplate(kind, ck.NewBytes(ck.CKA_VALUE, value))
	if x.m == nssSide.m { // where it knows no key type of that number, it makes a generic secret
		list = slices.DeleteFunc(list, func(a ck.Attribute) bool { return a.Type == ck.CKA_EXTRACTABLE })
	}
	o, rv := x.m.Create(x.s, list...)
	x.good("C_CreateObject", rv)
	return o
}

func (x *side) value(o uint64) []byte {
	x.c.Helper()
	b, rv := x.m.Get(x.s, o, ck.CKA_VALUE)
	x.good("C_GetAttributeValue", rv)
	return b
}

// derive makes a generic secret of n bytes, or of as many as there are for 0.
func (x *side) derive(param []byte, base uint64, n int) []byte {
	x.c.Helper()
	return x.value(x.deriveWith(param, base, derivedTemplate(n)...))
}

func derivedTemplate(n int) []ck.Attribute {
	list := append(bools(true, ck.CKA_SIGN, ck.CKA_DERIVE, ck.CKA_EXTRACTABLE), ck.NewBool(ck.CKA_SENSITIVE, false),
		ck.NewULong(ck.CKA_CLASS, ck.CKO_SECRET_KEY), ck.NewULong(ck.CKA_KEY_TYPE, ck.CKK_GENERIC_SECRET))
	if n > 0 {
		list = append(list, ck.NewULong(ck.CKA_VALUE_LEN, uint64(n)))
	}
	return list
}

func (x *side) deriveWith(param []byte, base uint64, list ...ck.Attribute) uint64 {
	x.c.Helper()
	m := x.c.m
	if x.m == nssSide.m && nssNumbers[m] != 0 {
		m = nssNumbers[m]
	}
	o, rv := x.m.Derive(x.c.a, x.s, c11.Mech{Type: m, Param: param}, base, list...)
	x.good("C_DeriveKey", rv)
	return o
}

func (x *side) sign(param []byte, key uint64, message []byte) []byte {
	x.c.Helper()
	b, rv := x.m.SignParts(x.c.a, x.s, c11.Mech{Type: x.c.m, Param: param}, key, message, 1000)
	x.good("C_SignFinal", rv)
	return b
}

// nssNumbers are those that mechanisms had in NSS before the standard took them
// over; the structures are the same.
var nssNumbers = map[ck.MechanismType]ck.MechanismType{
	ck.CKM_IKE2_PRF_PLUS_DERIVE: 0xce534372, ck.CKM_IKE_PRF_DERIVE: 0xce534373,
	ck.CKM_IKE1_PRF_DERIVE: 0xce534374, ck.CKM_IKE1_EXTENDED_DERIVE: 0xce534375,
}

func init() {
	compare(nss, nssTwoKeys, ck.CKM_CONCATENATE_BASE_AND_KEY)
	compare(nss, nssTwoKeysTheOtherWay, ck.CKM_CONCATENATE_KEY_AND_BASE)
	compare(nss, nssKeyAndData, ck.CKM_CONCATENATE_BASE_AND_DATA, ck.CKM_CONCATENATE_DATA_AND_BASE, ck.CKM_XOR_BASE_AND_DATA)
	compare(nss, nssExtract, ck.CKM_EXTRACT_KEY_FROM_KEY)
	compare(nss, nssMaster(nil), ck.CKM_SSL3_MASTER_KEY_DERIVE, ck.CKM_SSL3_MASTER_KEY_DERIVE_DH, ck.CKM_TLS_MASTER_KEY_DERIVE, ck.CKM_TLS_MASTER_KEY_DERIVE_DH)
	compare(nss, nssMaster(words(uint64(ck.CKM_SHA256))), ck.CKM_TLS12_MASTER_KEY_DERIVE, ck.CKM_TLS12_MASTER_KEY_DERIVE_DH)
	compare(nss, nssKeys(nil), ck.CKM_SSL3_KEY_AND_MAC_DERIVE, ck.CKM_TLS_KEY_AND_MAC_DERIVE)
	compare(nss, nssKeys(words(uint64(ck.CKM_SHA384))), ck.CKM_TLS12_KEY_AND_MAC_DERIVE)
	compare(nss, nssMAC(ck.CKK_GENERIC_SECRET, 16, 16), ck.CKM_SSL3_MD5_MAC)
	compare(nss, nssMAC(ck.CKK_GENERIC_SECRET, 20, 20), ck.CKM_SSL3_SHA1_MAC)
	compare(nss, nssMAC(ck.CKK_AES, 16, 0), ck.CKM_AES_XCBC_MAC, ck.CKM_AES_XCBC_MAC_96)
	compare(nss, nssTLSMAC, ck.CKM_TLS_MAC)
	compare(nss, nssPBE, ck.CKM_PBE_MD2_DES_CBC, ck.CKM_PBE_MD5_DES_CBC, ck.CKM_PBE_SHA1_RC4_128, ck.CKM_PBE_SHA1_RC4_40,
		ck.CKM_PBE_SHA1_DES3_EDE_CBC, ck.CKM_PBE_SHA1_RC2_128_CBC, ck.CKM_PBE_SHA1_RC2_40_CBC, ck.CKM_PBA_SHA1_WITH_SHA1_HMAC)
	compare(nss, ikePRF, ck.CKM_IKE_PRF_DERIVE)
	compare(nss, ike2, ck.CKM_IKE2_PRF_PLUS_DERIVE)
	compare(nss, ike1, ck.CKM_IKE1_PRF_DERIVE)
	compare(nss, ike1Extended, ck.CKM_IKE1_EXTENDED_DERIVE)
	compare(nss, nssKBKDF, ck.CKM_SP800_108_COUNTER_KDF, ck.CKM_SP800_108_FEEDBACK_KDF, ck.CKM_SP800_108_DOUBLE_PIPELINE_KDF)
	compare(softHSM, softHSMWraps, ck.CKM_AES_KEY_WRAP, ck.CKM_AES_KEY_WRAP_PAD)
	compare(softHSM, softHSMWrapsRSA, ck.CKM_RSA_PKCS, ck.CKM_RSA_PKCS_OAEP)
}

func nssTwoKeys(c *check) {
	for _, n := range []int{1, 16, 100} {
		a, b := c.bytes(n), c.bytes(n+3)
		c.both("two keys", func(x *side) []byte {
			return x.derive(words(x.secret(ck.CKK_GENERIC_SECRET, b)), x.secret(ck.CKK_GENERIC_SECRET, a), 0)
		})
		c.both("the beginning of two keys", func(x *side) []byte {
			return x.derive(words(x.secret(ck.CKK_GENERIC_SECRET, b)), x.secret(ck.CKK_GENERIC_SECRET, a), n+1)
		})
	}
}

// nssTwoKeysTheOtherWay is for the mechanism of early devices, which NSS has with
// the keys exchanged.
func nssTwoKeysTheOtherWay(c *check) {
	for _, n := range []int{1, 16, 100} {
		a, b := c.bytes(n), c.bytes(n+3)
		c.both("two keys", func(x *side) []byte {
			if x.m == mod {
				return x.derive(words(x.secret(ck.CKK_GENERIC_SECRET, b)), x.secret(ck.CKK_GENERIC_SECRET, a), 0)
			}
			o, rv := x.m.Derive(c.a, x.s, c11.Mech{Type: ck.CKM_CONCATENATE_BASE_AND_KEY, Param: words(x.secret(ck.CKK_GENERIC_SECRET, a))},
				x.secret(ck.CKK_GENERIC_SECRET, b), derivedTemplate(0)...)
			x.good("C_DeriveKey", rv)
			return x.value(o)
		})
	}
}

func nssKeyAndData(c *check) {
	for _, n := range []int{1, 16, 100} {
		for _, m := range []int{n, n + 5} {
			key, data := c.bytes(n), c.bytes(m)
			for _, want := range []int{0, n} {
				c.both("key and data", func(x *side) []byte {
					return x.derive(words(x.c.a.Ptr(data), uint64(m)), x.secret(ck.CKK_GENERIC_SECRET, key), want)
				})
			}
		}
	}
}

func nssExtract(c *check) {
	for _, first := range []uint64{0, 1, 8, 21, 47, 55} {
		key := c.bytes(16)
		c.both(fmt.Sprintf("from bit %d", first), func(x *side) []byte {
			return x.derive(words(first), x.secret(ck.CKK_GENERIC_SECRET, key), 9)
		})
	}
}

func nssMaster(more []byte) func(*check) {
	return func(c *check) {
		value, version := c.premaster()
		if isDH(c.m) {
			value = value[:48]
		}
		client, server := c.bytes(32), c.bytes(32)
		c.both("master secret", func(x *side) []byte {
			return x.derive(cat(randomInfo(c, client, server), words(address(version)), more), x.secret(ck.CKK_GENERIC_SECRET, value), 48)
		})
		c.versionIs(version, value)
	}
}

func nssKeys(more []byte) func(*check) {
	return func(c *check) {
		value, client, server := c.bytes(48), c.bytes(32), c.bytes(32)
		c.both("key block", func(x *side) (block []byte) {
			out, ivs := c.a.Alloc(48), c.a.Alloc(32)
			c11.Poke(unsafe.Add(out, 32), words(address(ivs), address(ivs)+16))
			param := cat(words(160, 128, 128, 0), randomInfo(c, client, server), words(address(out)), more)
			_, rv := x.m.Derive(c.a, x.s, c11.Mech{Type: c.m, Param: param}, x.secret(ck.CKK_GENERIC_SECRET, value),
				ck.NewULong(ck.CKA_CLASS, ck.CKO_SECRET_KEY), ck.NewULong(ck.CKA_KEY_TYPE, ck.CKK_AES),
				ck.NewULong(ck.CKA_VALUE_LEN, uint64(16)), ck.NewBool(ck.CKA_ENCRYPT, true), ck.NewBool(ck.CKA_SENSITIVE, false), ck.NewBool(ck.CKA_EXTRACTABLE, true))
			x.good("C_DeriveKey", rv)
			for i := range 4 {
				block = append(block, x.value(c11.Number(unsafe.Add(out, 8*i)))...)
			}
			return append(block, c11.Peek(ivs, 32)...)
		})
	}
}

func nssMAC(kind ck.KeyType, keyLen, macLen int) func(*check) {
	return func(c *check) {
		for _, n := range anyLengths[1:] {
			value, m := c.bytes(keyLen), c.bytes(n)
			c.both("code", func(x *side) []byte {
				var param []byte
				if macLen > 0 {
					param = words(uint64(macLen))
				}
				return x.sign(param, x.secret(kind, value), m)
			})
		}
	}
}

func nssTLSMAC(c *check) {
	for _, h := range []ck.MechanismType{ck.CKM_TLS_PRF, ck.CKM_SHA256, ck.CKM_SHA384} {
		for side1 := uint64(1); side1 <= 2; side1++ {
			value, m := c.bytes(48), c.bytes(36)
			c.both("code", func(x *side) []byte {
				return x.sign(words(uint64(h), 12, side1), x.secret(ck.CKK_GENERIC_SECRET, value), m)
			})
		}
	}
}

func nssPBE(c *check) {
	for i, password := range []string{"smeg", "a longer password"} {
		salt := c.bytes(8 + 4*i)
		if c.m == ck.CKM_PBE_MD2_DES_CBC || c.m == ck.CKM_PBE_MD5_DES_CBC {
			salt = salt[:8]
		}
		c.both("key and IV", func(x *side) []byte {
			pass := []byte(password)
			param, iv := passwordParam(c, pass, salt, 5+100*i)
			if x.m != mod && c.m != ck.CKM_PBE_MD2_DES_CBC && c.m != ck.CKM_PBE_MD5_DES_CBC { // NSS takes what PKCS #12 hashes
				var wide []byte
				for _, b := range append(pass, 0) {
					wide = append(wide, 0, b)
				}
				param, iv = passwordParam(c, wide, salt, 5+100*i)
			}
			o, rv := x.m.Generate(c.a, x.s, c11.Mech{Type: c.m, Param: param}, ck.NewBool(ck.CKA_SENSITIVE, false), ck.NewBool(ck.CKA_EXTRACTABLE, true))
			x.good("C_GenerateKey", rv)
			if c.m == ck.CKM_PBE_SHA1_RC4_128 || c.m == ck.CKM_PBE_SHA1_RC4_40 || c.m == ck.CKM_PBA_SHA1_WITH_SHA1_HMAC {
				return x.value(o)
			}
			return cat(x.value(o), c11.Peek(iv, 8))
		})
	}
}

// ikePRFs are functions for IKE with the length of their output.
var ikePRFs = []struct {
	m    ck.MechanismType
	size int
}{{ck.CKM_SHA_1_HMAC, 20}, {ck.CKM_SHA256_HMAC, 32}, {ck.CKM_SHA384_HMAC, 48}, {ck.CKM_SHA512_HMAC, 64}, {ck.CKM_AES_XCBC_MAC, 16}}

func ikePRF(c *check) {
	for _, f := range ikePRFs {
		value, fresh, ni, nr := c.bytes(f.size), c.bytes(40), c.bytes(16), c.bytes(24)
		if f.m == ck.CKM_AES_XCBC_MAC {
			ni, nr = ni[:8], nr[:8]
		}
		for flags, what := range sorted(map[uint64]string{0: "SKEYID", 1: "SKEYSEED", 0x100: "SKEYSEED anew"}) {
			c.both(what, func(x *side) []byte {
				var handle uint64
				if flags == 0x100 {
					handle = x.secret(ck.CKK_GENERIC_SECRET, fresh)
				}
				param := words(uint64(f.m), flags, c.a.Ptr(ni), uint64(len(ni)), c.a.Ptr(nr), uint64(len(nr)), handle)
				return x.derive(param, x.secret(ck.CKK_GENERIC_SECRET, value), f.size)
			})
		}
	}
}

func ike2(c *check) {
	for _, f := range ikePRFs {
		for _, n := range []int{f.size, 100, 200} {
			value, key, data := c.bytes(f.size), c.bytes(20), c.bytes(33)
			for _, has := range []uint64{0, 1} {
				c.both("SK", func(x *side) []byte {
					var handle uint64
					if has == 1 {
						handle = x.secret(ck.CKK_GENERIC_SECRET, key)
					}
					return x.derive(words(uint64(f.m), has, handle, c.a.Ptr(data), 33), x.secret(ck.CKK_GENERIC_SECRET, value), n)
				})
			}
		}
	}
}

func ike1(c *check) {
	for _, f := range ikePRFs {
		value, gxy, previous, i, r := c.bytes(f.size), c.bytes(64), c.bytes(f.size), c.bytes(8), c.bytes(8)
		for number := uint64(0); number < 3; number++ {
			c.both("SKEYID", func(x *side) []byte {
				var has, handle uint64
				if number > 0 {
					has, handle = 1, x.secret(ck.CKK_GENERIC_SECRET, previous)
				}
				param := words(uint64(f.m), has, x.secret(ck.CKK_GENERIC_SECRET, gxy), handle, c.a.Ptr(i), 8, c.a.Ptr(r), 8, number)
				return x.derive(param, x.secret(ck.CKK_GENERIC_SECRET, value), f.size)
			})
		}
	}
}

func ike1Extended(c *check) {
	for _, f := range ikePRFs {
		for _, n := range []int{8, f.size, 150} {
			value, gxy, data := c.bytes(f.size), c.bytes(64), c.bytes(21)
			for _, has := range []uint64{0, 1} {
				c.both("key", func(x *side) []byte {
					var handle uint64
					if has == 1 {
						handle = x.secret(ck.CKK_GENERIC_SECRET, gxy)
					}
					return x.derive(words(uint64(f.m), has, handle, c.a.Ptr(data), 21), x.secret(ck.CKK_GENERIC_SECRET, value), n)
				})
			}
		}
	}
}

// nssKBKDF has the fields in other orders than OpenSSL and Bouncy Castle, and
// their numbers in other widths.
func nssKBKDF(c *check) {
	for _, f := range kbkdfPRFs {
		if f.m != ck.CKM_SHA256_HMAC && f.m != ck.CKM_SHA512_HMAC && f.m != ck.CKM_AES_CMAC {
			continue
		}
		for _, little := range []uint64{0, 1} {
			for _, width := range []uint64{8, 16, 24, 32} {
				for _, method := range []uint64{ck.CK_SP800_108_DKM_LENGTH_SUM_OF_KEYS, ck.CK_SP800_108_DKM_LENGTH_SUM_OF_SEGMENTS} {
					value, before, after, iv := c.bytes(f.key), c.bytes(11), c.bytes(22), c.bytes(f.size)
					c.both(fmt.Sprintf("%v little=%d width=%d method=%d", f.m, little, width, method), func(x *side) []byte {
						length := c.field(ck.CK_SP800_108_DKM_LENGTH, words(method, little, max(width, 16)))
						var fields [][]byte
						if c.m == ck.CKM_SP800_108_COUNTER_KDF {
							fields = [][]byte{
								c.field(ck.CK_SP800_108_BYTE_ARRAY, before), c.field(ck.CK_SP800_108_ITERATION_VARIABLE, words(little, width)),
								length, c.field(ck.CK_SP800_108_BYTE_ARRAY, after),
							}
						} else {
							fields = [][]byte{
								c.field(ck.CK_SP800_108_ITERATION_VARIABLE, nil), c.field(ck.CK_SP800_108_BYTE_ARRAY, before),
								c.field(ck.CK_SP800_108_COUNTER, words(little, width)), c.field(ck.CK_SP800_108_BYTE_ARRAY, after), length,
							}
						}
						// NSS gives the length of the key as that of its segments, so that
						// the two can be compared only where they are one.
						n := 90
						if method == ck.CK_SP800_108_DKM_LENGTH_SUM_OF_SEGMENTS {
							n = 2 * f.size
						}
						return x.derive(c.kbkdfParam(f.m, fields, iv), x.secret(f.kind, value), n)
					})
				}
			}
		}
	}
}

// softHSMWraps carries secret keys and private keys over, in both directions.
func softHSMWraps(c *check) {
	for _, n := range []int{16, 24, 32} {
		// SoftHSM2 fills up with zeros what is not a multiple of 8.
		value, secret := c.bytes(n), c.bytes(n+8)
		c.carries(nil, func(x *side) (uint64, uint64) {
			k := x.secret(ck.CKK_AES, value)
			return k, k
		}, secret)
	}
}

func softHSMWrapsRSA(c *check) {
	openssl.need(c.T)
	k := c.rsa(2048)
	var param []byte
	if c.m == ck.CKM_RSA_PKCS_OAEP {
		param = words(uint64(ck.CKM_SHA_1), uint64(ck.CKG_MGF1_SHA1), uint64(ck.CKZ_DATA_SPECIFIED), 0, 0)
	}
	var der struct {
		Version   int
		Algorithm struct{ A, B any }
		Key       []byte
	}
	c.parse(k.pkcs8, &der)
	private := rsaPrivateTemplate(c, der.Key)
	c.carries(param, func(x *side) (uint64, uint64) {
		pub, rv := x.m.Create(x.s, append(bools(true, ck.CKA_WRAP), ck.NewULong(ck.CKA_CLASS, ck.CKO_PUBLIC_KEY), ck.NewULong(ck.CKA_KEY_TYPE, ck.CKK_RSA),
			k.publicValues(c)[0], k.publicValues(c)[1])...)
		x.good("C_CreateObject of a public key", rv)
		priv, rv := x.m.Create(x.s, private...)
		x.good("C_CreateObject of a private key", rv)
		return pub, priv
	}, c.bytes(32))
}

// carries wraps a secret key on one side and unwraps it on the other.
func (c *check) carries(param []byte, keys func(x *side) (wrapping, unwrapping uint64), value []byte) {
	c.Helper()
	ours, theirs := &side{c, mod, session}, &side{c, softHSMSide.m, softHSMSide.s}
	for _, d := range [][2]*side{{ours, theirs}, {theirs, ours}} {
		from, to := d[0], d[1]
		wrapping, _ := keys(from)
		wrapped, rv := from.m.Wrap(c.a, from.s, c.mech(param), wrapping, from.secret(ck.CKK_GENERIC_SECRET, value))
		from.good("C_WrapKey", rv)
		_, unwrapping := keys(to)
		o, rv := to.m.Unwrap(c.a, to.s, c.mech(param), unwrapping, wrapped, derivedTemplate(0)...)
		to.good("C_UnwrapKey", rv)
		c.equal(fmt.Sprintf("the key that was carried over (our turn to wrap: %v)", from.m == mod), to.value(o), value)
	}
}
