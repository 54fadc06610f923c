package oracle

import (
	"fmt"

	"github.com/perilune/perilune/cryptoki/ck"
)

func init() {
	for _, f := range []struct {
		o                         *oracle
		k                         *cipher
		gcm, ccm, gmac, kw, kwpad types
	}{
		{
			openssl, aes, types{ck.CKM_AES_GCM, ck.CKM_AES_GCM_OLD}, types{ck.CKM_AES_CCM}, types{ck.CKM_AES_GMAC, ck.CKM_AES_GMAC_OLD},
			types{ck.CKM_AES_KEY_WRAP, ck.CKM_AES_KW}, types{ck.CKM_AES_KEY_WRAP_PAD, ck.CKM_AES_KEY_WRAP_KWP, ck.CKM_AES_KWP},
		},
		{openssl, aria, types{ck.CKM_ARIA_GCM}, types{ck.CKM_ARIA_CCM}, nil, nil, nil},
		{bouncy, aria, nil, nil, nil, types{ck.CKM_ARIA_KEY_WRAP}, types{ck.CKM_ARIA_KEY_WRAP_PAD}},
		{bouncy, camellia, types{ck.CKM_CAMELLIA_GCM}, types{ck.CKM_CAMELLIA_CCM}, nil, types{ck.CKM_CAMELLIA_KEY_WRAP}, nil},
		{bouncy, seed, types{ck.CKM_SEED_GCM}, types{ck.CKM_SEED_CCM}, nil, types{ck.CKM_SEED_KEY_WRAP}, nil},
		{bouncy, sm4, types{ck.CKM_SM4_GCM}, types{ck.CKM_SM4_CCM}, nil, nil, nil},
	} {
		compare(f.o, f.k.gcm, f.gcm...)
		compare(f.o, f.k.ccm, f.ccm...)
		compare(f.o, f.k.gmac, f.gmac...)
		compare(f.o, f.k.keyWrap, f.kw...)
		compare(f.o, f.k.keyWrapPad, f.kwpad...)
	}
	compare(openssl, aes.keyWrapPKCS7, ck.CKM_AES_KEY_WRAP_PKCS7)
	compare(openssl, chachaPoly, ck.CKM_CHACHA20_POLY1305)
	compare(sodium, xchachaPoly("xchacha20poly1305_ietf", 24), ck.CKM_CHACHA20_POLY1305, ck.CKM_XCHACHA20_POLY1305)
	compare(sodium, xchachaPoly("chacha20poly1305", 8), ck.CKM_CHACHA20_POLY1305)
	compare(openssl, func(c *check) { poly1305(c, "POLY1305") }, ck.CKM_POLY1305)
	compare(openssl, chacha, ck.CKM_CHACHA20)
	compare(sodium, streams("chacha20", 8, ck.CKK_CHACHA20, chachaParam), ck.CKM_CHACHA20)
	compare(sodium, streams("xchacha20", 24, ck.CKK_CHACHA20, chachaParam), ck.CKM_CHACHA20)
	compare(sodium, streams("salsa20", 8, ck.CKK_SALSA20, salsaParam), ck.CKM_SALSA20)
	compare(sodium, streams("xsalsa20", 24, ck.CKK_SALSA20, salsaParam), ck.CKM_SALSA20)
	compare(bouncy, salsa, ck.CKM_SALSA20)
	compare(openssl, rc4, ck.CKM_RC4)
}

func (k *cipher) sealAEAD(c *check, mode string, key, iv, aad, plain []byte, tag int) []byte {
	if c.o == openssl {
		return c.ask("aead", k.openssl(len(key))+"-"+mode, "enc", key, iv, aad, tag, plain)
	}
	return c.ask("aead", k.bouncy, mode, "enc", key, iv, aad, tag, plain)
}

func (k *cipher) gcm(c *check) {
	for _, n := range k.keys {
		value := c.bytes(n)
		key := c.secret(k.kind(n), value)
		for _, ivLen := range []int{12, 8, 16, 60} {
			for _, tag := range []int{16, 12, 4} {
				for i, size := range []int{0, 1, 15, 16, 17, 64, 500} {
					iv, aad, plain := c.bytes(ivLen), c.bytes(i*7), c.bytes(size)
					sealed := k.sealAEAD(c, "GCM", value, iv, aad, plain, tag)
					param := words(c.a.Ptr(iv), uint64(ivLen), uint64(8*ivLen), c.a.Ptr(aad), uint64(len(aad)), uint64(8*tag))
					c.enciphers(param, key, plain, sealed)
					c.forged(param, key, sealed)
					if i == 4 {
						v := c.bytes(24)
						c.wraps(param, key, v, k.sealAEAD(c, "GCM", value, iv, aad, v, tag))
					}
				}
			}
		}
	}
}

func (k *cipher) ccm(c *check) {
	for _, n := range k.keys {
		value := c.bytes(n)
		key := c.secret(k.kind(n), value)
		for _, ivLen := range []int{7, 11, 12, 13} {
			for _, tag := range []int{4, 8, 14, 16} {
				for i, size := range []int{1, 15, 16, 17, 64, 500} {
					iv, aad, plain := c.bytes(ivLen), c.bytes(i*7), c.bytes(size)
					sealed := k.sealAEAD(c, "CCM", value, iv, aad, plain, tag)
					param := words(uint64(size), c.a.Ptr(iv), uint64(ivLen), c.a.Ptr(aad), uint64(len(aad)), uint64(tag))
					c.enciphers(param, key, plain, sealed)
					c.forged(param, key, sealed)
					if i == 4 {
						v := c.bytes(24)
						param := words(24, c.a.Ptr(iv), uint64(ivLen), c.a.Ptr(aad), uint64(len(aad)), uint64(tag))
						c.wraps(param, key, v, k.sealAEAD(c, "CCM", value, iv, aad, v, tag))
					}
				}
			}
		}
	}
}

// forged expects a changed ciphertext to be refused.
func (c *check) forged(param []byte, key uint64, sealed []byte) {
	c.Helper()
	bad := cat(sealed)
	bad[c.random.IntN(len(bad))] ^= 1 << c.random.IntN(8)
	if out, rv := mod.Single(c.a, mod.Decryption(), session, c.mech(param), key, bad); rv == ck.CKR_OK {
		c.Errorf("a changed ciphertext is decrypted to %x", out)
	}
}

func (k *cipher) gmac(c *check) {
	for _, n := range k.keys {
		value := c.bytes(n)
		key := c.secret(k.kind(n), value)
		for _, size := range anyLengths {
			iv, m := c.bytes(12), c.bytes(size)
			c.authenticates(iv, key, m, c.ask("mac", "GMAC", value, m, option("cipher", k.openssl(n)+"-GCM"), option("iv", iv)))
		}
	}
}

func (k *cipher) wrapped(c *check, mode string, key, plain []byte) []byte {
	if c.o == openssl {
		name := k.openssl(len(key)) + "-WRAP"
		if mode == "KWP" {
			name += "-PAD"
		}
		return c.ask("cipher", name, "enc", key, noIV, "raw", plain)
	}
	return c.ask("wrap", mode, k.bouncy, "enc", key, plain)
}

// noIV has the algorithm take its own.
var noIV []byte

func (k *cipher) keyWrap(c *check) {
	for _, n := range k.keys {
		value := c.bytes(n)
		key := c.secret(k.kind(n), value)
		for _, size := range []int{16, 24, 32, 40, 64, 256} {
			plain := c.bytes(size)
			sealed := k.wrapped(c, "KW", value, plain)
			c.enciphersParts(nil, key, plain, sealed)
			c.wraps(nil, key, plain, sealed)
			c.forged(nil, key, sealed)
		}
	}
}

func (k *cipher) keyWrapPad(c *check) {
	for _, n := range k.keys {
		value := c.bytes(n)
		key := c.secret(k.kind(n), value)
		for _, size := range []int{1, 7, 8, 9, 15, 16, 17, 24, 31, 100, 257} {
			plain := c.bytes(size)
			sealed := k.wrapped(c, "KWP", value, plain)
			c.enciphersParts(nil, key, plain, sealed)
			c.wraps(nil, key, plain, sealed)
			c.forged(nil, key, sealed)
		}
	}
}

// keyWrapPKCS7 wraps what is padded to units of 8 bytes.
func (k *cipher) keyWrapPKCS7(c *check) {
	for _, n := range k.keys {
		value := c.bytes(n)
		key := c.secret(k.kind(n), value)
		for _, size := range []int{8, 9, 15, 16, 17, 24, 31, 100} {
			plain := c.bytes(size)
			pad := 8 - size%8
			padded := cat(plain)
			for range pad {
				padded = append(padded, byte(pad))
			}
			sealed := k.wrapped(c, "KW", value, padded)
			c.enciphersParts(nil, key, plain, sealed)
			c.wraps(nil, key, plain, sealed)
		}
	}
}

func polyParam(c *check, nonce, aad []byte) []byte {
	return words(c.a.Ptr(nonce), uint64(len(nonce)), c.a.Ptr(aad), uint64(len(aad)))
}

var polyLengths = []int{0, 1, 15, 16, 17, 63, 64, 65, 128, 1029}

func chachaPoly(c *check) {
	for i, size := range polyLengths {
		value, nonce, aad, plain := c.bytes(32), c.bytes(12), c.bytes(9*i), c.bytes(size)
		sealed := c.ask("aead", "ChaCha20-Poly1305", "enc", value, nonce, aad, 16, plain)
		key, param := c.secret(ck.CKK_CHACHA20, value), polyParam(c, nonce, aad)
		c.enciphers(param, key, plain, sealed)
		c.forged(param, key, sealed)
	}
}

func xchachaPoly(name string, nonceLen int) func(*check) {
	return func(c *check) {
		for i, size := range polyLengths {
			value, nonce, aad, plain := c.bytes(32), c.bytes(nonceLen), c.bytes(9*i), c.bytes(size)
			sealed := c.ask("seal", name, value, nonce, aad, plain)
			key, param := c.secret(ck.CKK_CHACHA20, value), polyParam(c, nonce, aad)
			c.enciphers(param, key, plain, sealed)
			c.forged(param, key, sealed)
		}
	}
}

func poly1305(c *check, name string) {
	for _, size := range polyLengths {
		value, m := c.bytes(32), c.bytes(size)
		c.authenticates(nil, c.secret(ck.CKK_POLY1305, value), m, c.ask("mac", name, value, m))
	}
}

func chachaParam(c *check, counter, nonce []byte) []byte {
	return words(c.a.Ptr(counter), uint64(8*len(counter)), c.a.Ptr(nonce), uint64(8*len(nonce)))
}

func salsaParam(c *check, counter, nonce []byte) []byte {
	return words(c.a.Ptr(counter), c.a.Ptr(nonce), uint64(8*len(nonce)))
}

// chacha is that of RFC 8439; OpenSSL's IV is the counter and the nonce.
func chacha(c *check) {
	for _, size := range polyLengths {
		value, counter, nonce, plain := c.bytes(32), c.bytes(4), c.bytes(12), c.bytes(size)
		sealed := c.ask("cipher", "ChaCha20", "enc", value, cat(counter, nonce), "raw", plain)
		c.enciphers(chachaParam(c, counter, nonce), c.secret(ck.CKK_CHACHA20, value), plain, sealed)
	}
}

func streams(name string, nonceLen int, kind ck.KeyType, param func(c *check, counter, nonce []byte) []byte) func(*check) {
	return func(c *check) {
		for _, size := range polyLengths {
			value, nonce, plain := c.bytes(32), c.bytes(nonceLen), c.bytes(size)
			for _, first := range []uint64{0, 1, 1<<32 - 2, 1 << 40} {
				sealed := c.ask("stream", name, value, nonce, first, plain)
				c.enciphers(param(c, words(first), nonce), c.secret(kind, value), plain, sealed)
			}
		}
	}
}

func salsa(c *check) {
	for _, size := range polyLengths {
		value, nonce, plain := c.bytes(32), c.bytes(8), c.bytes(size)
		sealed := c.ask("stream", "Salsa20", value, nonce, plain)
		c.enciphers(salsaParam(c, words(0), nonce), c.secret(ck.CKK_SALSA20, value), plain, sealed)
	}
}

func rc4(c *check) {
	for _, n := range []int{1, 5, 16, 32, 100, 256} {
		for _, size := range []int{0, 1, 16, 1029} {
			value, plain := c.bytes(n), c.bytes(size)
			c.enciphers(nil, c.secret(ck.CKK_RC4, value), plain, c.ask("cipher", "RC4", "enc", value, noIV, "raw", plain))
		}
	}
}

// RC2 and RC5 take more than a key.

func init() {
	compare(openssl, rc2("ECB", "raw"), ck.CKM_RC2_ECB)
	compare(openssl, rc2("CBC", "raw"), ck.CKM_RC2_CBC)
	compare(openssl, rc2("CBC", "pad"), ck.CKM_RC2_CBC_PAD)
	compare(openssl, rc2("MAC", "raw"), ck.CKM_RC2_MAC, ck.CKM_RC2_MAC_GENERAL)
	compare(bouncy, rc5("ECB", "raw"), ck.CKM_RC5_ECB)
	compare(bouncy, rc5("CBC", "raw"), ck.CKM_RC5_CBC)
	compare(bouncy, rc5("CBC", "pad"), ck.CKM_RC5_CBC_PAD)
	compare(bouncy, rc5("MAC", "raw"), ck.CKM_RC5_MAC, ck.CKM_RC5_MAC_GENERAL)
}

type rcKey struct{ length, bits int }

func rc2(mode, pad string) func(*check) {
	return func(c *check) {
		for _, k := range []rcKey{{1, 8}, {5, 40}, {5, 64}, {8, 63}, {16, 128}, {16, 40}, {33, 129}, {128, 1024}} {
			value := c.bytes(k.length)
			key := c.secret(ck.CKK_RC2, value)
			bits := uint64(k.bits)
			seal := func(mode string, iv, plain []byte) []byte {
				return c.ask("cipher", "RC2-"+mode, "enc", value, iv, pad, plain, fmt.Sprintf("keybits=%d", k.bits))
			}
			comparesModes(c, mode, pad, 8, key, seal, words(bits), func(iv []byte) []byte { return cat(words(bits), iv) },
				c.m == ck.CKM_RC2_MAC, 4)
		}
	}
}

func rc5(mode, pad string) func(*check) {
	return func(c *check) {
		for _, word := range []int{4, 8} {
			for _, k := range []rcKey{{1, 0}, {5, 12}, {16, 12}, {16, 16}, {32, 20}, {255, 255}} {
				value := c.bytes(k.length)
				key := c.secret(ck.CKK_RC5, value)
				name := map[int]string{4: "RC5", 8: "RC5-64"}[word]
				seal := func(mode string, iv, plain []byte) []byte {
					return c.ask("cipher", name, mode, "enc", value, iv, pad, plain, fmt.Sprintf("rounds=%d", k.bits))
				}
				start := words(uint64(word), uint64(k.bits))
				comparesModes(c, mode, pad, 2*word, key, seal, start,
					func(iv []byte) []byte { return cat(start, words(c.a.Ptr(iv), uint64(len(iv)))) }, c.m == ck.CKM_RC5_MAC, word)
			}
		}
	}
}

// comparesModes goes through ECB, CBC and the MAC of a cipher whose parameter
// begins with start.
func comparesModes(c *check, mode, pad string, block int, key uint64, seal func(mode string, iv, plain []byte) []byte,
	start []byte, withIV func(iv []byte) []byte, fixed bool, half int,
) {
	sizes := []int{0, block, 4 * block}
	if pad == "pad" {
		sizes = anyLengths
	}
	for _, size := range sizes {
		plain := c.bytes(size)
		switch mode {
		case "ECB":
			c.enciphers(start, key, plain, seal("ECB", nil, plain))
		case "CBC":
			iv := c.bytes(block)
			c.enciphers(withIV(iv), key, plain, seal("CBC", iv, plain))
		case "MAC":
			if size == 0 {
				continue
			}
			all := seal("CBC", make([]byte, block), plain)
			code, param := all[len(all)-block:][:half+1], cat(start, words(uint64(half+1)))
			if fixed {
				code, param = code[:half], start
			}
			c.authenticates(param, key, plain, code)
		}
	}
}
