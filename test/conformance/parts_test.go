package conformance

import (
	"bytes"
	"fmt"
	"testing"
	"unsafe"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/test/c11"
)

// mech is a mechanism to be tried on messages of some lengths.
type mech struct {
	name   string
	param  func(n int) []byte // for a message of n bytes; nil for none
	t      ck.MechanismType
	key    uint64 // of encryption or signing; of decryption or verification
	pub    uint64
	sizes  []int // of the message
	random bool  // the result differs from call to call
	single bool  // there is no Update
}

var anySize = []int{0, 1, 15, 16, 17, 64, 100}

// ciphers are all mechanisms of C_EncryptUpdate.
func (c *client) ciphers() []mech {
	key := c.object(secret(ck.CKK_AES, sequence(32))...)
	iv := sequence(16)
	blocks, wrap := []int{16, 32, 112}, []int{16, 24, 96}
	fixed := func(b []byte) func(int) []byte { return func(int) []byte { return b } }
	list := []mech{
		{name: "CKM_AES_ECB", t: ck.CKM_AES_ECB, sizes: blocks},
		{name: "CKM_AES_CBC", t: ck.CKM_AES_CBC, param: fixed(iv), sizes: blocks},
		{name: "CKM_AES_CBC_PAD", t: ck.CKM_AES_CBC_PAD, param: fixed(iv), sizes: anySize},
		{name: "CKM_AES_CTR", t: ck.CKM_AES_CTR, param: fixed(append(c11.Words(128), iv...)), sizes: anySize},
		{name: "CKM_AES_GCM", t: ck.CKM_AES_GCM, param: func(int) []byte { return c11.Words(c.Ptr(iv), 16, 128, c.Ptr(iv), 16, 128) }, sizes: anySize},
		{name: "CKM_AES_CCM", t: ck.CKM_AES_CCM, param: func(n int) []byte { return c11.Words(uint64(n), c.Ptr(iv[:12]), 12, c.Ptr(iv), 16, 16) }, sizes: anySize},
		{name: "CKM_AES_KEY_WRAP", t: ck.CKM_AES_KEY_WRAP, sizes: wrap, single: true},
		{name: "CKM_AES_KEY_WRAP_KWP", t: ck.CKM_AES_KEY_WRAP_KWP, sizes: []int{1, 16, 17, 90}, single: true},
	}
	for i := range list {
		list[i].key, list[i].pub = key, key
	}
	return list
}

func (m *mech) at(c *client, n int) c11.Mech {
	if m.param == nil {
		return c11.Mech{Type: m.t}
	}
	return c11.Mech{Type: m.t, Param: m.param(n)}
}

// TestCipherParts compares what a cipher makes of a message as a whole and in
// parts of every size from 1 to 33, both ways.
func TestCipherParts(t *testing.T) {
	if !apart(t) {
		return
	}
	c := open(t)
	for _, m := range c.ciphers() {
		for _, n := range m.sizes {
			c.sub(fmt.Sprint(m.name, " ", n), func(c *client) {
				msg := sequence(n)
				whole, rv := c.Single(c.Arena, c.Encryption(), c.s, m.at(c, n), m.key, msg)
				c.ok("C_Encrypt", rv)
				back, rv := c.Single(c.Arena, c.Decryption(), c.s, m.at(c, n), m.pub, whole)
				c.ok("C_Decrypt", rv)
				if !bytes.Equal(back, msg) {
					c.t.Fatalf("decrypted to %x", back)
				}
				if m.single {
					c.onlySingle(m, n)
					return
				}
				for size := 1; size <= 33; size++ {
					parts, rv := c.Parts(c.Arena, c.Encryption(), c.s, m.at(c, n), m.key, msg, size)
					if c.ok("C_EncryptUpdate", rv); !bytes.Equal(parts, whole) {
						c.t.Errorf("in parts of %d: %x, as a whole %x", size, parts, whole)
					}
					back, rv := c.Parts(c.Arena, c.Decryption(), c.s, m.at(c, n), m.pub, whole, size)
					if c.ok("C_DecryptUpdate", rv); !bytes.Equal(back, msg) {
						c.t.Errorf("decrypted in parts of %d: %x", size, back)
					}
				}
			})
		}
	}
}

// onlySingle tries the parts of a mechanism that has none. The refusal ends the
// operation.
func (c *client) onlySingle(m mech, n int) {
	out, l := c.Alloc(256), c.ULong(256)
	for _, verb := range []string{"Encrypt", "Decrypt"} {
		c.must("C_"+verb+"Init", c.s, c.Mechanism(m.t, nil), m.key)
		c.refuses(ck.CKR_FUNCTION_NOT_SUPPORTED, "C_"+verb+"Update", c.s, c.Exact(sequence(n)), n, out, l)
		c.refuses(ck.CKR_OPERATION_NOT_INITIALIZED, "C_"+verb+"Final", c.s, out, l)
	}
}

// TestInPlace gives every cipher the same buffer for input and output, and
// buffers that overlap by less.
func TestInPlace(t *testing.T) {
	if !apart(t) {
		return
	}
	c := open(t)
	for _, m := range c.ciphers() {
		for _, n := range m.sizes {
			if n == 0 {
				continue
			}
			c.sub(fmt.Sprint(m.name, " ", n), func(c *client) {
				msg := sequence(n)
				p := m.at(c, n)
				whole, rv := c.Single(c.Arena, c.Encryption(), c.s, p, m.key, msg)
				c.ok("C_Encrypt", rv)
				for _, shift := range []int{0, 1, -1, 5, -5, 16, -16} {
					c.overlapping("Encrypt", m, n, msg, whole, shift)
					c.overlapping("Decrypt", m, n, whole, msg, shift)
				}
			})
		}
	}
}

// overlapping runs an operation whose output lies shift bytes after its input,
// as a whole and in parts that all have the same place.
func (c *client) overlapping(verb string, m mech, n int, in, want []byte, shift int) {
	c.t.Helper()
	const margin = 64
	key := m.key
	if verb == "Decrypt" {
		key = m.pub
	}
	mp := m.at(c, n)
	begin := func() {
		c.t.Helper()
		c.must("C_"+verb+"Init", c.s, c.Mechanism(mp.Type, mp.Param), key)
	}
	room := max(len(in), len(want)) + 32
	buf := c.Alloc(room + 2*margin)
	src := unsafe.Add(buf, margin)
	dst := unsafe.Add(src, shift)
	c11.Poke(src, in)
	begin()
	l := c.ULong(uint64(room))
	c.must("C_"+verb, c.s, src, len(in), dst, l)
	if got := c11.Peek(dst, int(c11.Number(l))); !bytes.Equal(got, want) {
		c.t.Errorf("C_%s with the output %d bytes after the input: %x, want %x", verb, shift, got, want)
	}
	sizes := []int{7, 16}
	if m.single {
		sizes = nil
	}
	for _, size := range sizes {
		var all []byte
		begin()
		for rest := in; len(rest) > 0; {
			part := rest[:min(size, len(rest))]
			rest = rest[len(part):]
			c11.Poke(src, part)
			l := c.ULong(uint64(room))
			c.must("C_"+verb+"Update", c.s, src, len(part), dst, l)
			all = append(all, c11.Peek(dst, int(c11.Number(l)))...)
		}
		l := c.ULong(uint64(room))
		c.must("C_"+verb+"Final", c.s, dst, l)
		all = append(all, c11.Peek(dst, int(c11.Number(l)))...)
		if !bytes.Equal(all, want) {
			c.t.Errorf("C_%sUpdate with the output %d bytes after the input: %x, want %x", verb, shift, all, want)
		}
	}
}

// TestSignatureParts does the same for signatures and verification.
func TestSignatureParts(t *testing.T) {
	if !apart(t) {
		return
	}
	c := open(t)
	aes := c.object(secret(ck.CKK_AES, sequence(16))...)
	mac := c.object(secret(ck.CKK_GENERIC_SECRET, sequence(40))...)
	pub, priv := c.rsa()
	ecPub, ecPriv := c.ec(p256)
	general := func(int) []byte { return c11.Words(5) }
	list := []mech{
		{name: "CKM_AES_CMAC", t: ck.CKM_AES_CMAC, key: aes, pub: aes},
		{name: "CKM_AES_CMAC_GENERAL", t: ck.CKM_AES_CMAC_GENERAL, key: aes, pub: aes, param: general},
		{name: "CKM_AES_GMAC", t: ck.CKM_AES_GMAC, key: aes, pub: aes, param: func(int) []byte { return c11.Words(c.Ptr(sequence(12)), 12, 96, 0, 0, 128) }},
	}
	for _, h := range hashes {
		list = append(list,
			mech{name: h.name + "_HMAC", t: h.hmac, key: mac, pub: mac},
			mech{name: h.name + "_HMAC_GENERAL", t: h.hmacGeneral, key: mac, pub: mac, param: general})
		if h.rsa != 0 {
			pss := func(int) []byte { return c11.Words(uint64(h.digest), h.mgf, 20) }
			list = append(list,
				mech{name: h.name + "_RSA_PKCS", t: h.rsa, key: priv, pub: pub},
				mech{name: h.name + "_RSA_PKCS_PSS", t: h.pss, key: priv, pub: pub, param: pss, random: true},
				mech{name: "ECDSA_" + h.name, t: h.ecdsa, key: ecPriv, pub: ecPub, random: true})
		}
	}
	for _, m := range list {
		c.sub(m.name, func(c *client) {
			sizes := anySize
			step := 1
			if m.key == priv || m.key == ecPriv {
				sizes, step = []int{0, 33, 100}, 8 // these are slow
			}
			for _, n := range sizes {
				msg := sequence(n)
				whole, rv := c.Single(c.Arena, c.Signing(), c.s, m.at(c, n), m.key, msg)
				c.ok("C_Sign", rv)
				for size := 1; size <= 33; size += step {
					parts, rv := c.SignParts(c.Arena, c.s, m.at(c, n), m.key, msg, size)
					c.ok("C_SignUpdate", rv)
					if !m.random && !bytes.Equal(parts, whole) {
						c.t.Errorf("%d bytes in parts of %d: another signature", n, size)
					}
					c.ok("C_Verify of what was signed in parts", c.Verify(c.Arena, c.s, m.at(c, n), m.pub, msg, parts))
					c.ok("C_VerifyUpdate", c.VerifyParts(c.Arena, c.s, m.at(c, n), m.pub, msg, whole, size))
					bad := bytes.Clone(whole)
					bad[len(bad)/2] ^= 1
					c.want("C_VerifyUpdate of a bad signature", c.VerifyParts(c.Arena, c.s, m.at(c, n), m.pub, msg, bad, size), ck.CKR_SIGNATURE_INVALID)
				}
			}
		})
	}
}

// hashFamily are the mechanisms on one hash function.
type hashFamily struct {
	name                                       string
	digest, hmac, hmacGeneral, rsa, pss, ecdsa ck.MechanismType
	mgf                                        uint64
}

var hashes = []hashFamily{
	{"SHA_1", ck.CKM_SHA_1, ck.CKM_SHA_1_HMAC, ck.CKM_SHA_1_HMAC_GENERAL, ck.CKM_SHA1_RSA_PKCS, ck.CKM_SHA1_RSA_PKCS_PSS, ck.CKM_ECDSA_SHA1, uint64(ck.CKG_MGF1_SHA1)},
	{"SHA224", ck.CKM_SHA224, ck.CKM_SHA224_HMAC, ck.CKM_SHA224_HMAC_GENERAL, ck.CKM_SHA224_RSA_PKCS, ck.CKM_SHA224_RSA_PKCS_PSS, ck.CKM_ECDSA_SHA224, uint64(ck.CKG_MGF1_SHA224)},
	{"SHA256", ck.CKM_SHA256, ck.CKM_SHA256_HMAC, ck.CKM_SHA256_HMAC_GENERAL, ck.CKM_SHA256_RSA_PKCS, ck.CKM_SHA256_RSA_PKCS_PSS, ck.CKM_ECDSA_SHA256, uint64(ck.CKG_MGF1_SHA256)},
	{"SHA384", ck.CKM_SHA384, ck.CKM_SHA384_HMAC, ck.CKM_SHA384_HMAC_GENERAL, ck.CKM_SHA384_RSA_PKCS, ck.CKM_SHA384_RSA_PKCS_PSS, ck.CKM_ECDSA_SHA384, uint64(ck.CKG_MGF1_SHA384)},
	{"SHA512", ck.CKM_SHA512, ck.CKM_SHA512_HMAC, ck.CKM_SHA512_HMAC_GENERAL, ck.CKM_SHA512_RSA_PKCS, ck.CKM_SHA512_RSA_PKCS_PSS, ck.CKM_ECDSA_SHA512, uint64(ck.CKG_MGF1_SHA512)},
	{"SHA512_224", ck.CKM_SHA512_224, ck.CKM_SHA512_224_HMAC, ck.CKM_SHA512_224_HMAC_GENERAL, 0, 0, 0, 0},
	{"SHA512_256", ck.CKM_SHA512_256, ck.CKM_SHA512_256_HMAC, ck.CKM_SHA512_256_HMAC_GENERAL, 0, 0, 0, 0},
	{"SHA3_224", ck.CKM_SHA3_224, ck.CKM_SHA3_224_HMAC, ck.CKM_SHA3_224_HMAC_GENERAL, ck.CKM_SHA3_224_RSA_PKCS, ck.CKM_SHA3_224_RSA_PKCS_PSS, ck.CKM_ECDSA_SHA3_224, uint64(ck.CKG_MGF1_SHA3_224)},
	{"SHA3_256", ck.CKM_SHA3_256, ck.CKM_SHA3_256_HMAC, ck.CKM_SHA3_256_HMAC_GENERAL, ck.CKM_SHA3_256_RSA_PKCS, ck.CKM_SHA3_256_RSA_PKCS_PSS, ck.CKM_ECDSA_SHA3_256, uint64(ck.CKG_MGF1_SHA3_256)},
	{"SHA3_384", ck.CKM_SHA3_384, ck.CKM_SHA3_384_HMAC, ck.CKM_SHA3_384_HMAC_GENERAL, ck.CKM_SHA3_384_RSA_PKCS, ck.CKM_SHA3_384_RSA_PKCS_PSS, ck.CKM_ECDSA_SHA3_384, uint64(ck.CKG_MGF1_SHA3_384)},
	{"SHA3_512", ck.CKM_SHA3_512, ck.CKM_SHA3_512_HMAC, ck.CKM_SHA3_512_HMAC_GENERAL, ck.CKM_SHA3_512_RSA_PKCS, ck.CKM_SHA3_512_RSA_PKCS_PSS, ck.CKM_ECDSA_SHA3_512, uint64(ck.CKG_MGF1_SHA3_512)},
}

// digest is C_Digest of msg.
func (c *client) digest(m ck.MechanismType, msg []byte) []byte {
	c.t.Helper()
	c.must("C_DigestInit", c.s, c.Mechanism(m, nil))
	out, n := c.Alloc(64), c.ULong(64)
	c.must("C_Digest", c.s, c.Bytes(msg), len(msg), out, n)
	return c11.Peek(out, int(c11.Number(n)))
}

// TestDigestParts does the same for digests, and C_DigestKey, which is an
// Update with a key's value (section 5.12.4).
func TestDigestParts(t *testing.T) {
	if !apart(t) {
		return
	}
	c := open(t)
	final := func() []byte {
		out, n := c.Alloc(64), c.ULong(64)
		c.must("C_DigestFinal", c.s, out, n)
		return c11.Peek(out, int(c11.Number(n)))
	}
	for _, h := range hashes {
		c.sub(h.name, func(sub *client) {
			for _, n := range append(anySize, 200) {
				msg := sequence(n)
				whole := c.digest(h.digest, msg)
				for size := 1; size <= 33; size++ {
					c.must("C_DigestInit", c.s, c.Mechanism(h.digest, nil))
					for rest := msg; len(rest) > 0; {
						part := rest[:min(size, len(rest))]
						rest = rest[len(part):]
						c.must("C_DigestUpdate", c.s, sub.Bytes(part), len(part))
					}
					if got := final(); !bytes.Equal(got, whole) {
						sub.t.Errorf("%d bytes in parts of %d: %x, as a whole %x", n, size, got, whole)
					}
				}
			}
			for _, sensitive := range []bool{false, true} {
				key := c.object(with(secret(ck.CKK_GENERIC_SECRET, sequence(40))[:11], boolean(ck.CKA_SENSITIVE, sensitive))...)
				want := c.digest(h.digest, []byte("before"+string(sequence(40))+"after"))
				c.must("C_DigestInit", c.s, c.Mechanism(h.digest, nil))
				c.must("C_DigestUpdate", c.s, sub.Exact([]byte("before")), 6)
				c.must("C_DigestKey", c.s, key)
				c.must("C_DigestUpdate", c.s, sub.Exact([]byte("after")), 5)
				if got := final(); !bytes.Equal(got, want) {
					sub.t.Errorf("with a key: %x, want %x", got, want)
				}
			}
		})
	}
	_, priv := c.rsa()
	c.must("C_DigestInit", c.s, c.Mechanism(ck.CKM_SHA256, nil))
	c.refuses(ck.CKR_KEY_INDIGESTIBLE, "C_DigestKey", c.s, priv)
}

// TestDual compares the four dual-function calls with the separate ones
// (section 5.17).
func TestDual(t *testing.T) {
	if !apart(t) {
		return
	}
	c := open(t)
	aes := c.object(secret(ck.CKK_AES, sequence(16))...)
	mac := c.object(secret(ck.CKK_GENERIC_SECRET, sequence(40))...)
	msg := sequence(100)
	cbc := c11.Mech{Type: ck.CKM_AES_CBC_PAD, Param: sequence(16)}
	ct, rv := c.Single(c.Arena, c.Encryption(), c.s, cbc, aes, msg)
	c.ok("C_Encrypt", rv)
	sig, rv := c.Single(c.Arena, c.Signing(), c.s, c11.Mech{Type: ck.CKM_SHA256_HMAC}, mac, msg)
	c.ok("C_Sign", rv)
	hash := c.digest(ck.CKM_SHA256, msg)
	cipher := func(verb string) { c.must("C_"+verb+"Init", c.s, c.Mechanism(cbc.Type, cbc.Param), aes) }
	result := func(name string) []byte {
		out, n := c.Alloc(128), c.ULong(128)
		c.must(name, c.s, out, n)
		return c11.Peek(out, int(c11.Number(n)))
	}
	feed := func(name string, in []byte, size int) (all []byte) {
		for len(in) > 0 {
			part := in[:min(size, len(in))]
			in = in[len(part):]
			n := c.ULong(0)
			p := c.Exact(part)
			c.must(name, c.s, p, len(part), nil, n)
			need := int(c11.Number(n))
			if need > 0 {
				g := c.Guarded(need - 1)
				rv := c.Call(name, c.s, p, len(part), g.Ptr(), c.ULong(uint64(need-1)))
				if c.want(name+" with too small a buffer", rv, ck.CKR_BUFFER_TOO_SMALL); !g.Untouched(0) {
					t.Error("the buffer that is too small was written")
				}
			}
			g := c.Guarded(need)
			n = c.ULong(uint64(need))
			c.must(name, c.s, p, len(part), g.Ptr(), n)
			if !g.Untouched(int(c11.Number(n))) {
				t.Error("bytes beyond the result were written")
			}
			all = append(all, g.Bytes(int(c11.Number(n)))...)
		}
		return all
	}
	same := func(what string, got, want []byte) {
		t.Helper()
		if !bytes.Equal(got, want) {
			t.Errorf("%s: %x, want %x", what, got, want)
		}
	}
	for _, size := range []int{1, 13, 16, 100} {
		cipher("Encrypt")
		c.must("C_DigestInit", c.s, c.Mechanism(ck.CKM_SHA256, nil))
		got := feed("C_DigestEncryptUpdate", msg, size)
		same("C_DigestEncryptUpdate", append(got, result("C_EncryptFinal")...), ct)
		same("its digest", result("C_DigestFinal"), hash)

		cipher("Encrypt")
		c.must("C_SignInit", c.s, c.Mechanism(ck.CKM_SHA256_HMAC, nil), mac)
		got = feed("C_SignEncryptUpdate", msg, size)
		same("C_SignEncryptUpdate", append(got, result("C_EncryptFinal")...), ct)
		same("its signature", result("C_SignFinal"), sig)

		// Padding is held back until C_DecryptFinal, which gives the other
		// operation nothing more (section 5.17.2): it is fed what remains.
		cipher("Decrypt")
		c.must("C_DigestInit", c.s, c.Mechanism(ck.CKM_SHA256, nil))
		got = feed("C_DecryptDigestUpdate", ct, size)
		rest := result("C_DecryptFinal")
		same("C_DecryptDigestUpdate", append(got, rest...), msg)
		c.must("C_DigestUpdate", c.s, c.Bytes(rest), len(rest))
		same("its digest", result("C_DigestFinal"), hash)

		cipher("Decrypt")
		c.must("C_VerifyInit", c.s, c.Mechanism(ck.CKM_SHA256_HMAC, nil), mac)
		got = feed("C_DecryptVerifyUpdate", ct, size)
		rest = result("C_DecryptFinal")
		same("C_DecryptVerifyUpdate", append(got, rest...), msg)
		c.must("C_VerifyUpdate", c.s, c.Bytes(rest), len(rest))
		c.must("C_VerifyFinal", c.s, c.Exact(sig), len(sig))
	}
	out, n := c.Alloc(64), c.ULong(64)
	none := ck.RV(ck.CKR_OPERATION_NOT_INITIALIZED)
	for _, name := range []string{"C_DigestEncryptUpdate", "C_SignEncryptUpdate", "C_DecryptDigestUpdate", "C_DecryptVerifyUpdate"} {
		c.refuses(none, name, c.s, c.Exact(msg), 16, out, n)
	}
	cipher("Encrypt")
	c.refuses(none, "C_DigestEncryptUpdate", c.s, c.Exact(msg), 16, out, n)
}
