package conformance

import (
	"bytes"
	"testing"
	"unsafe"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/test/c11"
)

// sized is a call that gives data by the convention of section 5.2.
type sized struct {
	name string
	// begin prepares each round; nil for nothing.
	begin func()
	call  func(out, n unsafe.Pointer) ck.RV
	// again means that the operation ends with success and must be begun anew;
	// otherwise the call can simply be repeated.
	again bool
	// loose means that the length told may be more than what comes.
	loose bool
}

// checkLength makes the call with no buffer, with one byte too few, with
// exactly enough and with more.
func (c *client) checkLength(z sized) {
	begin := func() {
		c.t.Helper()
		if z.begin != nil {
			z.begin()
		}
	}
	begin()
	n := c.ULong(12345)
	c.ok("with no buffer", z.call(nil, n))
	told := int(c11.Number(n))
	for range 2 {
		c.ok("with no buffer, again", z.call(nil, n))
		if got := int(c11.Number(n)); got != told {
			c.t.Fatalf("told %d bytes, then %d", told, got)
		}
	}
	// What it really gives.
	probe := c.Guarded(told + 100)
	n = c.ULong(uint64(told + 100))
	c.ok("with a larger buffer", z.call(probe.Ptr(), n))
	need := int(c11.Number(n))
	if need > told || !z.loose && need != told {
		c.t.Errorf("told %d bytes, gave %d", told, need)
	}
	if !probe.Untouched(need) {
		c.t.Errorf("bytes beyond the %d of the result were written", need)
	}
	if z.again {
		begin()
	}
	if need > 0 {
		for _, room := range []int{0, need - 1} {
			if room == 0 && need == 1 {
				continue
			}
			small := c.Guarded(room)
			n = c.ULong(uint64(room))
			rv := z.call(small.Ptr(), n)
			c.want("with too small a buffer", rv, ck.CKR_BUFFER_TOO_SMALL)
			if got := int(c11.Number(n)); rv == ck.CKR_BUFFER_TOO_SMALL && (got < need || got > told) {
				c.t.Errorf("too small a buffer: told to come with %d bytes, %d are needed", got, need)
			}
			if !small.Untouched(0) {
				c.t.Error("a buffer that is too small was written to")
			}
		}
	}
	exact := c.Guarded(told)
	n = c.ULong(uint64(told))
	c.ok("with exactly enough, after CKR_BUFFER_TOO_SMALL", z.call(exact.Ptr(), n))
	if got := int(c11.Number(n)); got != need {
		c.t.Errorf("%d bytes, and %d before", got, need)
	}
	if !exact.Untouched(need) {
		c.t.Error("bytes beyond the result were written")
	}
}

// TestLengths is the convention of section 5.2 for everything that gives data.
func TestLengths(t *testing.T) {
	if !apart(t) {
		return
	}
	c := open(t)
	key := c.object(secret(ck.CKK_AES, sequence(16))...)
	pub, priv := c.rsa()
	_, ecPriv := c.ec(p256)
	in := c.Exact(sequence(40))
	iv := sequence(16)
	gcm := func() unsafe.Pointer {
		return c.Mechanism(ck.CKM_AES_GCM, c11.Words(c.Ptr(iv[:12]), 12, 96, 0, 0, 128))
	}
	encrypted := func(m unsafe.Pointer, k uint64, n int) ([]byte, int) {
		c.must("C_EncryptInit", c.s, m, k)
		out, l := c.Alloc(1024), c.ULong(1024)
		c.must("C_Encrypt", c.s, in, n, out, l)
		return c11.Peek(out, int(c11.Number(l))), int(c11.Number(l))
	}
	var list []sized
	crypt := func(name string, m func() unsafe.Pointer, k uint64, n int, loose bool) {
		list = append(list, sized{name: "C_Encrypt " + name, again: true,
			begin: func() { c.must("C_EncryptInit", c.s, m(), k) },
			call:  func(out, l unsafe.Pointer) ck.RV { return c.Call("C_Encrypt", c.s, in, n, out, l) }})
		pk := k
		if k == pub {
			pk = priv
		}
		ct, size := encrypted(m(), k, n)
		p := c.Exact(ct)
		list = append(list, sized{name: "C_Decrypt " + name, again: true, loose: loose,
			begin: func() { c.must("C_DecryptInit", c.s, m(), pk) },
			call:  func(out, l unsafe.Pointer) ck.RV { return c.Call("C_Decrypt", c.s, p, size, out, l) }})
	}
	simple := func(t ck.MechanismType, param []byte) func() unsafe.Pointer {
		return func() unsafe.Pointer { return c.Mechanism(t, param) }
	}
	oaep := c11.Words(uint64(ck.CKM_SHA256), uint64(ck.CKG_MGF1_SHA256), 1, 0, 0)
	pss := c11.Words(uint64(ck.CKM_SHA256), uint64(ck.CKG_MGF1_SHA256), 32)
	crypt("CKM_AES_ECB", simple(ck.CKM_AES_ECB, nil), key, 32, false)
	crypt("CKM_AES_CBC", simple(ck.CKM_AES_CBC, iv), key, 32, false)
	crypt("CKM_AES_CBC_PAD", simple(ck.CKM_AES_CBC_PAD, iv), key, 40, true)
	crypt("CKM_AES_CTR", simple(ck.CKM_AES_CTR, append(c11.Words(128), iv...)), key, 40, false)
	crypt("CKM_AES_GCM", gcm, key, 40, false)
	crypt("CKM_AES_CCM", func() unsafe.Pointer {
		return c.Mechanism(ck.CKM_AES_CCM, c11.Words(40, c.Ptr(iv[:12]), 12, 0, 0, 16))
	}, key, 40, false)
	list[len(list)-1].begin = func() { // the length of the data is told
		c.must("C_DecryptInit", c.s, c.Mechanism(ck.CKM_AES_CCM, c11.Words(40, c.Ptr(iv[:12]), 12, 0, 0, 16)), key)
	}
	crypt("CKM_AES_KEY_WRAP", simple(ck.CKM_AES_KEY_WRAP, nil), key, 40, false)
	crypt("CKM_AES_KEY_WRAP_KWP", simple(ck.CKM_AES_KEY_WRAP_KWP, nil), key, 37, true)
	crypt("CKM_RSA_PKCS", simple(ck.CKM_RSA_PKCS, nil), pub, 40, true)
	crypt("CKM_RSA_PKCS_OAEP", simple(ck.CKM_RSA_PKCS_OAEP, oaep), pub, 40, true)
	sign := func(name string, m func() unsafe.Pointer, k uint64, n int) {
		list = append(list, sized{name: "C_Sign " + name, again: true,
			begin: func() { c.must("C_SignInit", c.s, m(), k) },
			call:  func(out, l unsafe.Pointer) ck.RV { return c.Call("C_Sign", c.s, in, n, out, l) }})
	}
	final := func(name string, m func() unsafe.Pointer, k uint64) {
		list = append(list, sized{name: "C_SignFinal " + name, again: true,
			begin: func() {
				c.must("C_SignInit", c.s, m(), k)
				c.must("C_SignUpdate", c.s, in, 40)
			},
			call: func(out, l unsafe.Pointer) ck.RV { return c.Call("C_SignFinal", c.s, out, l) }})
	}
	generic := c.object(secret(ck.CKK_GENERIC_SECRET, sequence(32))...)
	sign("CKM_RSA_PKCS", simple(ck.CKM_RSA_PKCS, nil), priv, 40)
	sign("CKM_RSA_PKCS_PSS", simple(ck.CKM_RSA_PKCS_PSS, pss), priv, 32)
	sign("CKM_SHA256_RSA_PKCS", simple(ck.CKM_SHA256_RSA_PKCS, nil), priv, 40)
	sign("CKM_ECDSA", simple(ck.CKM_ECDSA, nil), ecPriv, 32)
	sign("CKM_ECDSA_SHA256", simple(ck.CKM_ECDSA_SHA256, nil), ecPriv, 40)
	sign("CKM_SHA256_HMAC", simple(ck.CKM_SHA256_HMAC, nil), generic, 40)
	sign("CKM_SHA256_HMAC_GENERAL", simple(ck.CKM_SHA256_HMAC_GENERAL, c11.Words(7)), generic, 40)
	sign("CKM_AES_CMAC", simple(ck.CKM_AES_CMAC, nil), key, 40)
	final("CKM_SHA256_RSA_PKCS", simple(ck.CKM_SHA256_RSA_PKCS, nil), priv)
	final("CKM_SHA256_RSA_PKCS_PSS", simple(ck.CKM_SHA256_RSA_PKCS_PSS, pss), priv)
	final("CKM_ECDSA_SHA256", simple(ck.CKM_ECDSA_SHA256, nil), ecPriv)
	final("CKM_SHA256_HMAC", simple(ck.CKM_SHA256_HMAC, nil), generic)
	final("CKM_AES_CMAC", simple(ck.CKM_AES_CMAC, nil), key)

	sha := simple(ck.CKM_SHA256, nil)
	state := func() { c.must("C_DigestInit", c.s, sha()); c.must("C_DigestUpdate", c.s, in, 40) }
	list = append(list,
		sized{name: "C_Digest", again: true, begin: func() { c.must("C_DigestInit", c.s, sha()) },
			call: func(out, l unsafe.Pointer) ck.RV { return c.Call("C_Digest", c.s, in, 40, out, l) }},
		sized{name: "C_DigestFinal", again: true, begin: state,
			call: func(out, l unsafe.Pointer) ck.RV { return c.Call("C_DigestFinal", c.s, out, l) }},
		sized{name: "C_EncryptUpdate", again: true,
			begin: func() {
				c.must("C_EncryptInit", c.s, nil, 0)
				c.must("C_EncryptInit", c.s, simple(ck.CKM_AES_CBC_PAD, iv)(), key)
			},
			call: func(out, l unsafe.Pointer) ck.RV { return c.Call("C_EncryptUpdate", c.s, in, 40, out, l) }},
		sized{name: "C_EncryptFinal", again: true,
			begin: func() {
				c.must("C_EncryptInit", c.s, nil, 0)
				c.must("C_EncryptInit", c.s, simple(ck.CKM_AES_CBC_PAD, iv)(), key)
				c.must("C_EncryptUpdate", c.s, in, 40, c.Alloc(64), c.ULong(64))
			},
			call: func(out, l unsafe.Pointer) ck.RV { return c.Call("C_EncryptFinal", c.s, out, l) }},
		sized{name: "C_SignRecover", again: true,
			begin: func() { c.must("C_SignRecoverInit", c.s, simple(ck.CKM_RSA_PKCS, nil)(), priv) },
			call:  func(out, l unsafe.Pointer) ck.RV { return c.Call("C_SignRecover", c.s, in, 40, out, l) }},
		sized{name: "C_WrapKey", loose: true,
			call: func(out, l unsafe.Pointer) ck.RV {
				return c.Call("C_WrapKey", c.s, simple(ck.CKM_AES_KEY_WRAP_KWP, nil)(), key, generic, out, l)
			}},
		sized{name: "C_WrapKey of a private key", loose: true,
			call: func(out, l unsafe.Pointer) ck.RV {
				return c.Call("C_WrapKey", c.s, simple(ck.CKM_AES_CBC_PAD, iv)(), key, priv, out, l)
			}},
	)
	for _, z := range list {
		c.sub(z.name, func(sub *client) { sub.checkLength(z) })
	}

	c.sub("C_VerifyRecover", func(c *client) {
		c.must("C_SignRecoverInit", c.s, simple(ck.CKM_RSA_PKCS, nil)(), priv)
		sig, n := c.Alloc(512), c.ULong(512)
		c.must("C_SignRecover", c.s, in, 40, sig, n)
		size := c11.Number(n)
		c.checkLength(sized{again: true, loose: true,
			begin: func() {
				c.must("C_VerifyRecoverInit", c.s, simple(ck.CKM_RSA_PKCS, nil)(), pub)
			},
			call: func(out, l unsafe.Pointer) ck.RV { return c.Call("C_VerifyRecover", c.s, sig, size, out, l) }})
	})
	c.sub("C_GetOperationState", func(c *client) {
		state()
		c.checkLength(sized{call: func(out, l unsafe.Pointer) ck.RV { return c.Call("C_GetOperationState", c.s, out, l) }})
		c.must("C_DigestFinal", c.s, c.Alloc(32), c.ULong(32))
	})
	c.sub("C_DecryptUpdate and C_DecryptFinal", func(c *client) {
		ct, size := encrypted(simple(ck.CKM_AES_CBC_PAD, iv)(), key, 40)
		p := c.Exact(ct)
		begin := func() {
			c.must("C_DecryptInit", c.s, nil, 0)
			c.must("C_DecryptInit", c.s, simple(ck.CKM_AES_CBC_PAD, iv)(), key)
		}
		c.checkLength(sized{again: true, loose: true, begin: begin,
			call: func(out, l unsafe.Pointer) ck.RV { return c.Call("C_DecryptUpdate", c.s, p, size, out, l) }})
		c.checkLength(sized{again: true, loose: true,
			begin: func() {
				begin()
				c.must("C_DecryptUpdate", c.s, p, size, c.Alloc(64), c.ULong(64))
			},
			call: func(out, l unsafe.Pointer) ck.RV { return c.Call("C_DecryptFinal", c.s, out, l) }})
	})
	c.sub("messages", func(c *client) {
		c.must("C_MessageEncryptInit", c.s, c.Mechanism(ck.CKM_AES_GCM, nil), key)
		param := c.Exact(c11.Words(c.Ptr(iv[:12]), 12, 0, 0, uint64(uintptr(c.Alloc(16))), 128))
		c.checkLength(sized{call: func(out, l unsafe.Pointer) ck.RV {
			return c.Call("C_EncryptMessage", c.s, param, 48, nil, 0, in, 40, out, l)
		}})
		c.must("C_MessageEncryptFinal", c.s)
	})
	// A signature that was too large for the buffer is the same one when the
	// caller comes back: it is not made twice.
	c.sub("kept result", func(c *client) {
		c.must("C_DecryptInit", c.s, simple(ck.CKM_RSA_PKCS, nil)(), priv)
		ct, _ := encrypted(simple(ck.CKM_RSA_PKCS, nil)(), pub, 40)
		p := c.Exact(ct)
		c.refuses(ck.CKR_BUFFER_TOO_SMALL, "C_Decrypt", c.s, p, len(ct), c.Alloc(39), c.ULong(39))
		out := c.Guarded(40)
		c.must("C_Decrypt", c.s, p, len(ct), out.Ptr(), c.ULong(40))
		if !bytes.Equal(out.Bytes(40), sequence(40)) {
			c.t.Error("another plaintext after CKR_BUFFER_TOO_SMALL")
		}
	})
}
