package oracle

import (
	"fmt"
	"math/bits"

	"github.com/perilune/perilune/cryptoki/ck"
)

// cipher is a block cipher, with its names elsewhere.
type cipher struct {
	kind    func(n int) ck.KeyType
	keys    []int // lengths in bytes
	block   int
	openssl func(n int) string // without the mode; nil if it is not there
	bouncy  string
}

func always(t ck.KeyType) func(int) ck.KeyType { return func(int) ck.KeyType { return t } }

func desKind(n int) ck.KeyType {
	return map[int]ck.KeyType{8: ck.CKK_DES, 16: ck.CKK_DES2, 24: ck.CKK_DES3}[n]
}

func sized(name string) func(int) string {
	return func(n int) string { return fmt.Sprintf("%s-%d", name, 8*n) }
}

func named(name string) func(int) string { return func(int) string { return name } }

func desName(n int) string {
	if n == 8 {
		return "DES"
	}
	return "DES-EDE3"
}

var (
	aes      = &cipher{always(ck.CKK_AES), []int{16, 24, 32}, 16, sized("AES"), "AES"}
	aria     = &cipher{always(ck.CKK_ARIA), []int{16, 24, 32}, 16, sized("ARIA"), "ARIA"}
	camellia = &cipher{always(ck.CKK_CAMELLIA), []int{16, 24, 32}, 16, sized("CAMELLIA"), "Camellia"}
	seed     = &cipher{always(ck.CKK_SEED), []int{16}, 16, named("SEED"), "SEED"}
	sm4      = &cipher{always(ck.CKK_SM4), []int{16}, 16, named("SM4"), "SM4"}
	des      = &cipher{desKind, []int{8}, 8, desName, "DES"}
	des3     = &cipher{desKind, []int{16, 24}, 8, desName, "DESede"}
	desAny   = &cipher{desKind, []int{8, 16, 24}, 8, desName, ""}
	cast     = &cipher{always(ck.CKK_CAST128), []int{5, 8, 10, 11, 16}, 8, named("CAST5"), "CAST5"}
	blowfish = &cipher{always(ck.CKK_BLOWFISH), []int{4, 5, 16, 33, 56}, 8, named("BF"), "Blowfish"}
	twofish  = &cipher{always(ck.CKK_TWOFISH), []int{16, 24, 32}, 16, nil, "Twofish"}
)

// value is a random key, with the parity that DES asks for.
func (k *cipher) value(c *check, n int) []byte {
	v := c.bytes(n)
	if k.block == 8 && k.kind(n) == desKind(n) {
		for i, b := range v {
			v[i] = b&^1 | byte(bits.OnesCount8(b>>1)&1^1)
		}
	}
	return v
}

// whole is a key as the oracles take it: those of two keys of DES as of three.
func (k *cipher) whole(v []byte) []byte {
	if k.kind(len(v)) == ck.CKK_DES2 {
		return cat(v, v[:8])
	}
	return v
}

// seal encrypts with the row's oracle.
func (k *cipher) seal(c *check, mode string, key, iv, plain []byte, pad string) []byte {
	if c.o == openssl {
		return c.ask("cipher", k.openssl(len(key))+"-"+mode, "enc", k.whole(key), iv, pad, plain)
	}
	name := k.bouncy
	if name == "" {
		name = map[bool]string{true: "DES", false: "DESede"}[len(key) == 8]
	}
	return c.ask("cipher", name, mode, "enc", k.whole(key), iv, pad, plain)
}

// lengths of messages, in blocks of a cipher or not.
func (k *cipher) whollyBlocks() []int {
	return []int{0, k.block, 2 * k.block, 7 * k.block, 64 * k.block}
}

var anyLengths = []int{0, 1, 7, 8, 9, 15, 16, 17, 31, 32, 33, 64, 100, 1029}

// mode compares a mode whose parameter is made from the IV.
func (k *cipher) mode(name, pad string, sizes []int, ivLen int, param func(c *check, iv []byte) []byte) func(*check) {
	return func(c *check) {
		for _, n := range k.keys {
			value := k.value(c, n)
			key := c.secret(k.kind(n), value)
			for _, size := range sizes {
				iv, plain := c.bytes(ivLen), c.bytes(size)
				c.enciphers(param(c, iv), key, plain, k.seal(c, name, value, iv, plain, pad))
			}
			if c.has(ck.CKF_WRAP) {
				iv, v := c.bytes(ivLen), c.bytes(48)
				c.wraps(param(c, iv), key, v, k.seal(c, name, value, iv, v, pad))
			}
		}
	}
}

func plainIV(_ *check, iv []byte) []byte { return iv }

// counter is the parameter of CTR, whose counter block is the oracles' IV.
func counter(_ *check, iv []byte) []byte { return cat(words(uint64(8*len(iv))), iv) }

func (c *check) has(f ck.Flags) bool {
	info, rv := mod.MechanismInfo(c.a, 0, c.m)
	c.good("C_GetMechanismInfo", rv)
	return info.Flags&f != 0
}

// wraps compares the wrapping of a secret key, and its unwrapping.
func (c *check) wraps(param []byte, wrapping uint64, value, want []byte) {
	c.Helper()
	m := c.mech(param)
	got, rv := mod.Wrap(c.a, session, m, wrapping, c.secret(ck.CKK_GENERIC_SECRET, value))
	c.good("C_WrapKey", rv)
	c.equal("wrapped key", got, want)
	o, rv := mod.Unwrap(c.a, session, m, wrapping, want, secretTemplate(ck.CKK_GENERIC_SECRET)...)
	c.good("C_UnwrapKey", rv)
	c.equal("unwrapped key", c.get(c.keep(o), ck.CKA_VALUE), value)
}

type types = []ck.MechanismType

func init() {
	iv := plainIV
	for _, f := range []struct {
		k                                             *cipher
		ecb, cbc, pad, ctr, ofb, cfb1, cfb8, cfb, cts types
		mac, general, cmac, cmacGeneral               types
		ecbData, cbcData                              types
	}{
		{
			k: aes, ecb: types{ck.CKM_AES_ECB}, cbc: types{ck.CKM_AES_CBC}, pad: types{ck.CKM_AES_CBC_PAD}, ctr: types{ck.CKM_AES_CTR},
			ofb: types{ck.CKM_AES_OFB, ck.CKM_AES_OFB_OLD}, cfb1: types{ck.CKM_AES_CFB1}, cfb8: types{ck.CKM_AES_CFB8, ck.CKM_AES_CFB8_OLD},
			cfb: types{ck.CKM_AES_CFB128, ck.CKM_AES_CFB128_OLD}, cts: types{ck.CKM_AES_CTS},
			mac: types{ck.CKM_AES_MAC}, general: types{ck.CKM_AES_MAC_GENERAL}, cmac: types{ck.CKM_AES_CMAC}, cmacGeneral: types{ck.CKM_AES_CMAC_GENERAL},
			ecbData: types{ck.CKM_AES_ECB_ENCRYPT_DATA}, cbcData: types{ck.CKM_AES_CBC_ENCRYPT_DATA},
		},
		{
			k: aria, ecb: types{ck.CKM_ARIA_ECB}, cbc: types{ck.CKM_ARIA_CBC}, pad: types{ck.CKM_ARIA_CBC_PAD}, ctr: types{ck.CKM_ARIA_CTR},
			ofb: types{ck.CKM_ARIA_OFB}, cfb8: types{ck.CKM_ARIA_CFB8}, cfb: types{ck.CKM_ARIA_CFB128},
			mac: types{ck.CKM_ARIA_MAC}, general: types{ck.CKM_ARIA_MAC_GENERAL}, cmac: types{ck.CKM_ARIA_CMAC}, cmacGeneral: types{ck.CKM_ARIA_CMAC_GENERAL},
			ecbData: types{ck.CKM_ARIA_ECB_ENCRYPT_DATA}, cbcData: types{ck.CKM_ARIA_CBC_ENCRYPT_DATA},
		},
		{
			k: camellia, ecb: types{ck.CKM_CAMELLIA_ECB}, cbc: types{ck.CKM_CAMELLIA_CBC}, pad: types{ck.CKM_CAMELLIA_CBC_PAD}, ctr: types{ck.CKM_CAMELLIA_CTR},
			ofb: types{ck.CKM_CAMELLIA_OFB}, cfb: types{ck.CKM_CAMELLIA_CFB128},
			mac: types{ck.CKM_CAMELLIA_MAC}, general: types{ck.CKM_CAMELLIA_MAC_GENERAL}, cmac: types{ck.CKM_CAMELLIA_CMAC},
			ecbData: types{ck.CKM_CAMELLIA_ECB_ENCRYPT_DATA}, cbcData: types{ck.CKM_CAMELLIA_CBC_ENCRYPT_DATA},
		},
		{
			k: seed, ecb: types{ck.CKM_SEED_ECB, ck.CKM_SEED_ECB_OLD}, cbc: types{ck.CKM_SEED_CBC, ck.CKM_SEED_CBC_OLD},
			pad: types{ck.CKM_SEED_CBC_PAD, ck.CKM_SEED_CBC_PAD_OLD}, ofb: types{ck.CKM_SEED_OFB}, cfb: types{ck.CKM_SEED_CFB128},
			mac: types{ck.CKM_SEED_MAC, ck.CKM_SEED_MAC_OLD}, general: types{ck.CKM_SEED_MAC_GENERAL, ck.CKM_SEED_MAC_GENERAL_OLD},
			cmac: types{ck.CKM_SEED_CMAC}, cmacGeneral: types{ck.CKM_SEED_CMAC_GENERAL},
			ecbData: types{ck.CKM_SEED_ECB_ENCRYPT_DATA}, cbcData: types{ck.CKM_SEED_CBC_ENCRYPT_DATA},
		},
		{
			k: sm4, ecb: types{ck.CKM_SM4_ECB}, cbc: types{ck.CKM_SM4_CBC}, pad: types{ck.CKM_SM4_CBC_PAD}, ctr: types{ck.CKM_SM4_CTR},
			ofb: types{ck.CKM_SM4_OFB}, cfb: types{ck.CKM_SM4_CFB128}, cmac: types{ck.CKM_SM4_CMAC}, cmacGeneral: types{ck.CKM_SM4_CMAC_GENERAL},
		},
		{
			k: des, ecb: types{ck.CKM_DES_ECB}, cbc: types{ck.CKM_DES_CBC}, pad: types{ck.CKM_DES_CBC_PAD},
			mac: types{ck.CKM_DES_MAC}, general: types{ck.CKM_DES_MAC_GENERAL},
			ecbData: types{ck.CKM_DES_ECB_ENCRYPT_DATA}, cbcData: types{ck.CKM_DES_CBC_ENCRYPT_DATA},
		},
		{k: desAny, ofb: types{ck.CKM_DES_OFB64}, cfb8: types{ck.CKM_DES_CFB8}, cfb: types{ck.CKM_DES_CFB64}},
		{
			k: des3, ecb: types{ck.CKM_DES3_ECB}, cbc: types{ck.CKM_DES3_CBC}, pad: types{ck.CKM_DES3_CBC_PAD},
			ofb: types{ck.CKM_DES3_OFB64}, cfb8: types{ck.CKM_DES3_CFB8}, cfb: types{ck.CKM_DES3_CFB64},
			mac: types{ck.CKM_DES3_MAC}, general: types{ck.CKM_DES3_MAC_GENERAL}, cmac: types{ck.CKM_DES3_CMAC}, cmacGeneral: types{ck.CKM_DES3_CMAC_GENERAL},
			ecbData: types{ck.CKM_DES3_ECB_ENCRYPT_DATA}, cbcData: types{ck.CKM_DES3_CBC_ENCRYPT_DATA},
		},
		{
			k: cast, ecb: types{ck.CKM_CAST128_ECB}, cbc: types{ck.CKM_CAST128_CBC}, pad: types{ck.CKM_CAST128_CBC_PAD},
			mac: types{ck.CKM_CAST128_MAC}, general: types{ck.CKM_CAST128_MAC_GENERAL},
		},
		{k: blowfish, cbc: types{ck.CKM_BLOWFISH_CBC}, pad: types{ck.CKM_BLOWFISH_CBC_PAD}},
	} {
		k := f.k
		compare(openssl, k.mode("ECB", "raw", k.whollyBlocks(), 0, iv), f.ecb...)
		compare(openssl, k.mode("CBC", "raw", k.whollyBlocks(), k.block, iv), f.cbc...)
		compare(openssl, k.mode("CBC", "pad", anyLengths, k.block, iv), f.pad...)
		compare(openssl, k.mode("CTR", "raw", anyLengths, k.block, counter), f.ctr...)
		compare(openssl, k.mode("OFB", "raw", anyLengths, k.block, iv), f.ofb...)
		compare(openssl, k.mode("CFB1", "raw", anyLengths, k.block, iv), f.cfb1...)
		compare(openssl, k.mode("CFB8", "raw", anyLengths, k.block, iv), f.cfb8...)
		compare(openssl, k.mode("CFB", "raw", anyLengths, k.block, iv), f.cfb...)
		compare(openssl, k.mode("CBC-CTS", "raw", []int{16, 17, 31, 32, 33, 48, 100, 1029}, k.block, iv), f.cts...)
		compare(openssl, k.cbcMAC(k.block/2, false), f.mac...)
		compare(openssl, k.cbcMAC(k.block-1, true), f.general...)
		compare(openssl, k.cmac(k.block, false), f.cmac...)
		compare(openssl, k.cmac(k.block-3, true), f.cmacGeneral...)
		compare(openssl, k.encryptData("ECB", 0), f.ecbData...)
		compare(openssl, k.encryptData("CBC", k.block), f.cbcData...)
	}
	// What OpenSSL lacks.
	compare(bouncy, seed.mode("CTR", "raw", anyLengths, 16, counter), ck.CKM_SEED_CTR)
	compare(bouncy, seed.mode("CFB8", "raw", anyLengths, 16, iv), ck.CKM_SEED_CFB8)
	compare(bouncy, des3.mode("CTR", "raw", anyLengths, 8, counter), ck.CKM_DES3_CTR)
	compare(bouncy, aes.mode("CFB64", "raw", anyLengths, 16, iv), ck.CKM_AES_CFB64)
	compare(bouncy, desAny.mode("OFB8", "raw", anyLengths, 8, iv), ck.CKM_DES_OFB8)
	compare(bouncy, aes.mode("CS1", "raw", []int{16, 17, 31, 32, 33, 48, 100, 1029}, 16, iv), ck.CKM_AES_CTS)
	compare(bouncy, twofish.mode("CBC", "raw", twofish.whollyBlocks(), 16, iv), ck.CKM_TWOFISH_CBC)
	compare(bouncy, twofish.mode("CBC", "pad", anyLengths, 16, iv), ck.CKM_TWOFISH_CBC_PAD)
	compare(openssl, aes.ipsec, ck.CKM_AES_CBC_PAD_IPSEC)
	compare(openssl, des3.ipsec, ck.CKM_DES3_CBC_PAD_IPSEC)
	compare(bouncy, retailMAC, ck.CKM_DES3_X919_MAC)
	compare(openssl, xcbc(16), ck.CKM_AES_XCBC_MAC)
	compare(openssl, xcbc(12), ck.CKM_AES_XCBC_MAC_96)
	compare(openssl, xts, ck.CKM_AES_XTS)
	compare(openssl, xtsTwoKeys, ck.CKM_AES_XTS_OLD)
}

// cbcMAC is the last block of CBC, begun with zeros.
func (k *cipher) cbcMAC(n int, general bool) func(*check) {
	return func(c *check) {
		for _, size := range k.keys {
			value := k.value(c, size)
			key := c.secret(k.kind(size), value)
			for _, n2 := range []int{1, 7, 8, 16, 17, 100, 1024} {
				m := c.bytes(n2)
				padded := append(cat(m), make([]byte, (k.block-n2%k.block)%k.block)...)
				all := k.seal(c, "CBC", value, make([]byte, k.block), padded, "raw")
				c.authenticates(length(n, general), key, m, all[len(all)-k.block:][:n])
			}
		}
	}
}

func length(n int, general bool) []byte {
	if general {
		return words(uint64(n))
	}
	return nil
}

func (k *cipher) cmac(n int, general bool) func(*check) {
	return func(c *check) {
		for _, size := range k.keys {
			value := k.value(c, size)
			key := c.secret(k.kind(size), value)
			for _, n2 := range anyLengths {
				m := c.bytes(n2)
				code := c.ask("mac", "CMAC", k.whole(value), m, option("cipher", k.openssl(size)+"-CBC"))
				c.authenticates(length(n, general), key, m, code[:n])
			}
		}
	}
}

// encryptData derives a key by encryption.
func (k *cipher) encryptData(mode string, ivLen int) func(*check) {
	return func(c *check) {
		for _, n := range k.keys {
			value := k.value(c, n)
			base := c.secret(k.kind(n), value)
			for _, blocks := range []int{1, 2, 5} {
				iv, data := c.bytes(ivLen), c.bytes(blocks*k.block)
				want := k.seal(c, mode, value, iv, data, "raw")
				param := cat(iv, words(c.a.Ptr(data), uint64(len(data))))
				c.derives(param, base, want)
				c.derives(param, base, want[:len(want)-3])
			}
		}
	}
}

// ipsec pads with 1, 2, 3 and so on.
func (k *cipher) ipsec(c *check) {
	for _, n := range k.keys {
		value := k.value(c, n)
		key := c.secret(k.kind(n), value)
		for _, size := range anyLengths {
			iv, plain := c.bytes(k.block), c.bytes(size)
			padded := cat(plain)
			for i := byte(1); i == 1 || len(padded)%k.block != 0; i++ {
				padded = append(padded, i)
			}
			c.enciphers(iv, key, plain, k.seal(c, "CBC", value, iv, padded, "raw"))
		}
	}
}

func retailMAC(c *check) {
	for _, n := range []int{16, 24} {
		value := des3.value(c, n)
		key := c.secret(desKind(n), value)
		for _, size := range []int{1, 8, 9, 16, 100} {
			m := c.bytes(size)
			c.authenticates(nil, key, m, c.ask("mac", "RETAIL", value, m)[:4])
		}
	}
}

// xcbc puts RFC 3566 together from OpenSSL's blocks.
func xcbc(n int) func(*check) {
	return func(c *check) {
		for _, size := range anyLengths {
			value, m := c.bytes(16), c.bytes(size)
			var k [3][]byte
			for i := range k {
				constant := make([]byte, 16)
				for j := range constant {
					constant[j] = byte(i + 1)
				}
				k[i] = aes.seal(c, "ECB", value, nil, constant, "raw")
			}
			padded, last := cat(m), k[1]
			if size == 0 || size%16 != 0 {
				padded, last = append(padded, 0x80), k[2]
				padded = append(padded, make([]byte, (16-len(padded)%16)%16)...)
			}
			for i := range 16 {
				padded[len(padded)-16+i] ^= last[i]
			}
			all := aes.seal(c, "CBC", k[0], make([]byte, 16), padded, "raw")
			c.authenticates(nil, c.secret(ck.CKK_AES, value), m, all[len(all)-16:][:n])
		}
	}
}

var xtsLengths = []int{16, 17, 31, 32, 33, 100, 512, 1029}

func xts(c *check) {
	for _, n := range []int{32, 64} {
		for _, size := range xtsLengths {
			value, tweak, plain := c.bytes(n), c.bytes(16), c.bytes(size)
			sealed := c.ask("cipher", fmt.Sprintf("AES-%d-XTS", 4*n), "enc", value, tweak, "raw", plain)
			c.enciphers(tweak, c.secret(ck.CKK_AES_XTS, value), plain, sealed)
		}
	}
}

// xtsTwoKeys has the key of the tweak in the parameter.
func xtsTwoKeys(c *check) {
	for _, n := range []int{16, 32} {
		for _, size := range xtsLengths {
			data, other, tweak, plain := c.bytes(n), c.bytes(n), c.bytes(16), c.bytes(size)
			sealed := c.ask("cipher", fmt.Sprintf("AES-%d-XTS", 8*n), "enc", cat(data, other), tweak, "raw", plain)
			c.enciphers(cat(words(c.secret(ck.CKK_AES, other)), tweak), c.secret(ck.CKK_AES, data), plain, sealed)
		}
	}
}
