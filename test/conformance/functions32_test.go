package conformance

import (
	"bytes"
	"testing"
	"unsafe"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/test/c11"
)

// TestMessageSignatures signs and verifies by messages (sections 5.13 and 5.15
// of 3.2), whole and in parts, and compares with C_Sign.
func TestMessageSignatures(t *testing.T) {
	if !apart(t) {
		return
	}
	c := open(t)
	pub, priv := c.rsa(boolean(ck.CKA_TOKEN, false))
	hmac := c.object(secret(ck.CKK_GENERIC_SECRET, sequence(32))...)
	for _, row := range []struct {
		m         ck.MechanismType
		priv, pub uint64
	}{{ck.CKM_SHA256_RSA_PKCS, priv, pub}, {ck.CKM_SHA256_HMAC, hmac, hmac}} {
		c.sub(row.m.String(), func(c *client) {
			m := c.Mechanism(row.m, nil)
			c.must("C_MessageSignInit", c.s, m, row.priv)
			c.refuses(ck.CKR_OPERATION_ACTIVE, "C_MessageSignInit", c.s, m, row.priv)
			c.must("C_MessageVerifyInit", c.s, m, row.pub)
			for _, n := range []int{0, 1, 100} {
				msg := sequence(n)
				want, rv := c.Single(c.Arena, c.Signing(), c.s, c11.Mech{Type: row.m}, row.priv, msg)
				c.ok("C_Sign", rv)
				size := c.ULong(0)
				c.must("C_SignMessage", c.s, nil, 0, c.Bytes(msg), n, nil, size)
				if c11.Number(size) != uint64(len(want)) {
					c.t.Errorf("C_SignMessage announces %d bytes, not %d", c11.Number(size), len(want))
				}
				small := c.ULong(uint64(len(want) - 1))
				c.refuses(ck.CKR_BUFFER_TOO_SMALL, "C_SignMessage", c.s, nil, 0, c.Bytes(msg), n, c.Alloc(len(want)), small)
				out := c.Guarded(len(want))
				c.must("C_SignMessage", c.s, nil, 0, c.Bytes(msg), n, out.Ptr(), size)
				if !bytes.Equal(out.Bytes(len(want)), want) || !out.Untouched(len(want)) {
					c.t.Error("C_SignMessage gives another signature than C_Sign")
				}
				c.must("C_SignMessageBegin", c.s, nil, 0)
				c.refuses(ck.CKR_OPERATION_ACTIVE, "C_SignMessage", c.s, nil, 0, c.Bytes(msg), n, out.Ptr(), size)
				for _, b := range msg {
					c.must("C_SignMessageNext", c.s, nil, 0, c.Bytes([]byte{b}), 1, nil, nil)
				}
				size = c.ULong(uint64(len(want)))
				out = c.Guarded(len(want))
				c.must("C_SignMessageNext", c.s, nil, 0, nil, 0, out.Ptr(), size)
				if !bytes.Equal(out.Bytes(len(want)), want) {
					c.t.Error("C_SignMessageNext gives another signature")
				}

				sig := c.Exact(want)
				c.must("C_VerifyMessage", c.s, nil, 0, c.Bytes(msg), n, sig, len(want))
				c.must("C_VerifyMessageBegin", c.s, nil, 0)
				for _, b := range msg {
					c.must("C_VerifyMessageNext", c.s, nil, 0, c.Bytes([]byte{b}), 1, nil, 0)
				}
				c.must("C_VerifyMessageNext", c.s, nil, 0, nil, 0, sig, len(want))
				bad := bytes.Clone(want)
				bad[5] ^= 1
				c.refuses(ck.CKR_SIGNATURE_INVALID, "C_VerifyMessage", c.s, nil, 0, c.Bytes(msg), n, c.Exact(bad), len(bad))
				c.refuses(ck.CKR_SIGNATURE_LEN_RANGE, "C_VerifyMessage", c.s, nil, 0, c.Bytes(msg), n, c.Exact(bad), len(bad)-1)
				c.must("C_VerifyMessageBegin", c.s, nil, 0)
				c.refuses(ck.CKR_SIGNATURE_INVALID, "C_VerifyMessageNext", c.s, nil, 0, c.Bytes(msg), n, c.Exact(bad), len(bad))
			}
			c.must("C_MessageSignFinal", c.s)
			c.must("C_MessageVerifyFinal", c.s)
			c.refuses(ck.CKR_OPERATION_NOT_INITIALIZED, "C_MessageSignFinal", c.s)
			c.refuses(ck.CKR_OPERATION_NOT_INITIALIZED, "C_SignMessage", c.s, nil, 0, nil, 0, c.Alloc(512), c.ULong(512))
			c.refuses(ck.CKR_OPERATION_NOT_INITIALIZED, "C_VerifyMessage", c.s, nil, 0, nil, 0, c.Alloc(512), 512)
		})
	}
	c.sub("keys", func(c *client) {
		m := c.Mechanism(ck.CKM_SHA256_RSA_PKCS, nil)
		rv := c.Call("C_MessageSignInit", c.s, m, pub)
		c.want("signing with a public key", rv, ck.CKR_KEY_FUNCTION_NOT_PERMITTED, ck.CKR_KEY_TYPE_INCONSISTENT)
		c.refuses(ck.CKR_KEY_TYPE_INCONSISTENT, "C_MessageSignInit", c.s, m, hmac)
		c.refuses(ck.CKR_MECHANISM_INVALID, "C_MessageSignInit", c.s, c.Mechanism(ck.CKM_AES_GMAC, c11.Words(0)), hmac)
	})
}

// TestVerifySignature verifies with the signature first (section 5.15 of 3.2).
func TestVerifySignature(t *testing.T) {
	if !apart(t) {
		return
	}
	c := open(t)
	pub, priv := c.ec(p256)
	m, mech := c.Mechanism(ck.CKM_ECDSA_SHA256, nil), c11.Mech{Type: ck.CKM_ECDSA_SHA256}
	msg := sequence(100)
	sig, rv := c.Single(c.Arena, c.Signing(), c.s, mech, priv, msg)
	c.ok("C_Sign", rv)
	begin := func(sig []byte) { c.t.Helper(); c.must("C_VerifySignatureInit", c.s, m, pub, c.Exact(sig), len(sig)) }
	none := ck.RV(ck.CKR_OPERATION_NOT_INITIALIZED)

	c.refuses(none, "C_VerifySignature", c.s, c.Bytes(msg), len(msg))
	c.refuses(none, "C_VerifySignatureUpdate", c.s, c.Bytes(msg), len(msg))
	c.refuses(none, "C_VerifySignatureFinal", c.s)

	begin(sig)
	c.refuses(ck.CKR_OPERATION_ACTIVE, "C_VerifySignatureInit", c.s, m, pub, c.Exact(sig), len(sig))
	c.must("C_VerifySignature", c.s, c.Bytes(msg), len(msg))
	c.refuses(none, "C_VerifySignature", c.s, c.Bytes(msg), len(msg))

	for _, size := range []int{1, 33, 100} {
		begin(sig)
		for i := 0; i < len(msg); i += size {
			part := msg[i:min(i+size, len(msg))]
			c.must("C_VerifySignatureUpdate", c.s, c.Bytes(part), len(part))
		}
		c.must("C_VerifySignatureFinal", c.s)
	}

	bad := bytes.Clone(sig)
	bad[40] ^= 1
	begin(bad)
	c.refuses(ck.CKR_SIGNATURE_INVALID, "C_VerifySignature", c.s, c.Bytes(msg), len(msg))
	begin(bad)
	c.must("C_VerifySignatureUpdate", c.s, c.Bytes(msg), len(msg))
	c.refuses(ck.CKR_SIGNATURE_INVALID, "C_VerifySignatureFinal", c.s)
	begin(sig)
	c.refuses(ck.CKR_SIGNATURE_INVALID, "C_VerifySignature", c.s, c.Bytes(msg), len(msg)-1)
	rv = c.Call("C_VerifySignatureInit", c.s, m, pub, c.Exact(sig), len(sig)-1)
	if rv == ck.CKR_OK {
		rv = c.Call("C_VerifySignature", c.s, c.Bytes(msg), len(msg))
	}
	c.want("a signature too short", rv, ck.CKR_SIGNATURE_LEN_RANGE)

	// The signature's memory is the caller's once C_VerifySignatureInit is back.
	p := c.Exact(sig)
	c.must("C_VerifySignatureInit", c.s, m, pub, p, len(sig))
	c11.Poke(p, make([]byte, len(sig)))
	c.must("C_VerifySignature", c.s, c.Bytes(msg), len(msg))

	begin(sig)
	c.must("C_VerifySignatureInit", c.s, nil, 0, nil, 0) // cancels
	c.refuses(none, "C_VerifySignature", c.s, c.Bytes(msg), len(msg))
	begin(sig)
	c.must("C_SessionCancel", c.s, uint64(ck.CKF_VERIFY))
	c.refuses(none, "C_VerifySignature", c.s, c.Bytes(msg), len(msg))
	c.refuses(ck.CKR_KEY_TYPE_INCONSISTENT, "C_VerifySignatureInit", c.s, c.Mechanism(ck.CKM_SHA256_RSA_PKCS, nil), pub, c.Exact(sig), len(sig))
}

// TestWrapAuthenticated wraps with a tag of its own and associated data
// (section 5.18.6 of 3.2), and compares with C_Encrypt.
func TestWrapAuthenticated(t *testing.T) {
	if !apart(t) {
		return
	}
	c := open(t)
	wrapping := c.object(secret(ck.CKK_AES, sequence(32))...)
	value := sequence(24)
	key := c.object(secret(ck.CKK_AES, value)...)
	aad := sequence(21)
	unwrapped := append(yes(ck.CKA_EXTRACTABLE), class(ck.CKO_SECRET_KEY), keyType(ck.CKK_AES), boolean(ck.CKA_SENSITIVE, false), boolean(ck.CKA_TOKEN, false))
	unwrap := func(c *client, m unsafe.Pointer, wrapped, aad []byte) (uint64, ck.RV) {
		h := c.ULong(0)
		rv := c.Call("C_UnwrapKeyAuthenticated", c.s, m, wrapping, c.Exact(wrapped), len(wrapped), c.Template(unwrapped...), len(unwrapped), c.Bytes(aad), len(aad), h)
		return c11.Number(h), rv
	}
	for _, mt := range []ck.MechanismType{ck.CKM_AES_GCM, ck.CKM_AES_CCM} {
		for name, g := range map[string]ck.GeneratorFunction{"the caller's IV": ck.CKG_NO_GENERATE, "a counter": ck.CKG_GENERATE_COUNTER, "random": ck.CKG_GENERATE_RANDOM} {
			c.sub(mt.String()+" "+name, func(c *client) {
				given := sequence(12)
				a := c.newAEAD(mt, len(value), given, 32, g, nil)
				m := c.Mechanism(mt, c11.Peek(a.param, a.size))
				// To ask for the length makes no IV and no tag.
				n := c.ULong(0)
				c.must("C_WrapKeyAuthenticated", c.s, m, wrapping, key, c.Bytes(aad), len(aad), nil, n)
				if c11.Number(n) != uint64(len(value)) || !bytes.Equal(a.iv.Bytes(12), given) || !a.tag.Untouched(0) {
					c.t.Errorf("the question for the length: %d bytes, IV %x", c11.Number(n), a.iv.Bytes(12))
				}
				c.refuses(ck.CKR_BUFFER_TOO_SMALL, "C_WrapKeyAuthenticated", c.s, m, wrapping, key, c.Bytes(aad), len(aad), c.Alloc(23), c.ULong(23))
				out := c.Guarded(len(value))
				c.must("C_WrapKeyAuthenticated", c.s, m, wrapping, key, c.Bytes(aad), len(aad), out.Ptr(), c.ULong(uint64(len(value))))
				iv, tag := a.iv.Bytes(12), a.tag.Bytes(16)
				if !out.Untouched(len(value)) || !a.iv.Untouched(12) || !a.tag.Untouched(16) {
					c.t.Error("bytes beyond what is due were written")
				}
				if made := !bytes.Equal(iv, given); made != (g != ck.CKG_NO_GENERATE) || !bytes.Equal(iv[:4], given[:4]) {
					c.t.Errorf("the IV is %x", iv)
				}
				wrapped := out.Bytes(len(value))
				if want := c.classic(mt, wrapping, iv, aad, value); !bytes.Equal(append(bytes.Clone(wrapped), tag...), want) {
					c.t.Errorf("wrapped as %x with tag %x, want %x", wrapped, tag, want)
				}

				back := func(iv, tag []byte) unsafe.Pointer {
					b := c.newAEAD(mt, len(value), iv, 96, ck.CKG_NO_GENERATE, tag)
					return c.Mechanism(mt, c11.Peek(b.param, b.size))
				}
				o, rv := unwrap(c, back(iv, tag), wrapped, aad)
				c.ok("C_UnwrapKeyAuthenticated", rv)
				if got := c.get(o, ck.CKA_VALUE); !bytes.Equal(got, value) {
					c.t.Errorf("unwrapped as %x", got)
				}
				flip := func(b []byte) []byte { b = bytes.Clone(b); b[len(b)-1] ^= 1; return b }
				for what, try := range map[string]func() (uint64, ck.RV){
					"tag":             func() (uint64, ck.RV) { return unwrap(c, back(iv, flip(tag)), wrapped, aad) },
					"IV":              func() (uint64, ck.RV) { return unwrap(c, back(flip(iv), tag), wrapped, aad) },
					"wrapped key":     func() (uint64, ck.RV) { return unwrap(c, back(iv, tag), flip(wrapped), aad) },
					"associated data": func() (uint64, ck.RV) { return unwrap(c, back(iv, tag), wrapped, flip(aad)) },
				} {
					_, rv := try()
					c.want("another "+what, rv, ck.CKR_WRAPPED_KEY_INVALID, ck.CKR_AEAD_DECRYPT_FAILED)
				}
			})
		}
	}
	c.sub("refusals", func(c *client) {
		a := c.newAEAD(ck.CKM_AES_GCM, 24, sequence(12), 96, ck.CKG_NO_GENERATE, nil)
		m := c.Mechanism(ck.CKM_AES_GCM, c11.Peek(a.param, a.size))
		hidden := c.object(append(secret(ck.CKK_AES, value)[:10], boolean(ck.CKA_EXTRACTABLE, false))...)
		c.refuses(ck.CKR_KEY_UNEXTRACTABLE, "C_WrapKeyAuthenticated", c.s, m, wrapping, hidden, nil, 0, c.Alloc(64), c.ULong(64))
		c.refuses(ck.CKR_WRAPPING_KEY_HANDLE_INVALID, "C_WrapKeyAuthenticated", c.s, m, 987654, key, nil, 0, c.Alloc(64), c.ULong(64))
		c.refuses(ck.CKR_KEY_HANDLE_INVALID, "C_WrapKeyAuthenticated", c.s, m, wrapping, 987654, nil, 0, c.Alloc(64), c.ULong(64))
		rv := c.Call("C_WrapKeyAuthenticated", c.s, c.Mechanism(ck.CKM_AES_KEY_WRAP, nil), wrapping, key, nil, 0, c.Alloc(64), c.ULong(64))
		c.want("a mechanism without a tag", rv, ck.CKR_MECHANISM_INVALID)
		rv = c.Call("C_WrapKeyAuthenticated", c.s, c.Mechanism(ck.CKM_AES_GCM, nil), wrapping, key, nil, 0, c.Alloc(64), c.ULong(64))
		c.want("no parameter", rv, ck.CKR_MECHANISM_PARAM_INVALID, ck.CKR_ARGUMENTS_BAD)
	})
}

// TestEncapsulate makes a secret for the holder of a private key (sections
// 5.18.8 and 5.18.9 of 3.2).
func TestEncapsulate(t *testing.T) {
	if !apart(t) {
		return
	}
	c := open(t)
	readable := append(no(ck.CKA_SENSITIVE, ck.CKA_TOKEN), class(ck.CKO_SECRET_KEY), keyType(ck.CKK_GENERIC_SECRET), boolean(ck.CKA_EXTRACTABLE, true), ulong(ck.CKA_VALUE_LEN, uint64(32)))
	both := func(c *client, mech c11.Mech, pub, priv uint64, size int) (ciphertext, value []byte) {
		c.t.Helper()
		m := func() unsafe.Pointer { return c.Mechanism(mech.Type, mech.Param) }
		n, h := c.ULong(0), c.ULong(0)
		tmpl := c.Template(readable...)
		c.must("C_EncapsulateKey", c.s, m(), pub, tmpl, len(readable), nil, n, nil)
		if c11.Number(n) != uint64(size) {
			c.t.Fatalf("the ciphertext is announced with %d bytes, not %d", c11.Number(n), size)
		}
		c.refuses(ck.CKR_BUFFER_TOO_SMALL, "C_EncapsulateKey", c.s, m(), pub, tmpl, len(readable), c.Alloc(size), c.ULong(uint64(size-1)), h)
		out := c.Guarded(size)
		c.must("C_EncapsulateKey", c.s, m(), pub, tmpl, len(readable), out.Ptr(), n, h)
		ciphertext, value = out.Bytes(size), c.get(c11.Number(h), ck.CKA_VALUE)
		if !out.Untouched(size) || len(value) != 32 {
			c.t.Errorf("a secret of %d bytes", len(value))
		}
		if c.getBool(c11.Number(h), ck.CKA_LOCAL) {
			c.t.Error("CKA_LOCAL of an encapsulated key is true")
		}
		o, rv := c.Decapsulate(c.Arena, c.s, mech, priv, ciphertext, readable...)
		c.ok("C_DecapsulateKey", rv)
		if again := c.get(o, ck.CKA_VALUE); !bytes.Equal(again, value) {
			c.t.Errorf("%x is encapsulated and %x comes out", value, again)
		}
		_, rv = c.Decapsulate(c.Arena, c.s, mech, priv, ciphertext[1:], readable...)
		c.want("a ciphertext too short", rv, ck.CKR_WRAPPED_KEY_LEN_RANGE)
		second, _, rv := c.Encapsulate(c.Arena, c.s, mech, pub, readable...)
		if c.ok("C_EncapsulateKey", rv); bytes.Equal(second, ciphertext) {
			c.t.Error("the same ciphertext twice")
		}
		return ciphertext, value
	}
	uses := func() (pub, priv []ck.Attribute) {
		return yes(ck.CKA_ENCAPSULATE), yes(ck.CKA_DECAPSULATE, ck.CKA_DERIVE)
	}
	for set, size := range map[uint64]int{ck.CKP_ML_KEM_512: 768, ck.CKP_ML_KEM_768: 1088, ck.CKP_ML_KEM_1024: 1568} {
		c.sub("ML-KEM", func(c *client) {
			pubT, privT := uses()
			pub, priv := c.pair(ck.CKM_ML_KEM_KEY_PAIR_GEN, with(pubT, ulong(ck.CKA_PARAMETER_SET, set)), privT[:1])
			mech := c11.Mech{Type: ck.CKM_ML_KEM}
			ciphertext, value := both(c, mech, pub, priv, size)
			// Implicit rejection: another ciphertext gives another secret, and no error.
			ciphertext[7] ^= 1
			o, rv := c.Decapsulate(c.Arena, c.s, mech, priv, ciphertext, readable...)
			if c.ok("C_DecapsulateKey of a changed ciphertext", rv); bytes.Equal(c.get(o, ck.CKA_VALUE), value) {
				c.t.Error("a changed ciphertext gives the same secret")
			}
		})
	}
	c.sub("ECDH", func(c *client) {
		pubT, privT := uses()
		pub, priv := c.pair(ck.CKM_EC_KEY_PAIR_GEN, with(pubT, bytesOf(ck.CKA_EC_PARAMS, p256)), privT)
		mech := func(point []byte) c11.Mech {
			return c11.Mech{Type: ck.CKM_ECDH1_DERIVE, Param: c11.Words(uint64(ck.CKD_SHA256_KDF), 5, c.Ptr(sequence(5)), uint64(len(point)), c.Ptr(point))}
		}
		ciphertext, value := both(c, mech(nil), pub, priv, 65)
		o, rv := c.Derive(c.Arena, c.s, mech(ciphertext), priv, readable...)
		if c.ok("C_DeriveKey", rv); !bytes.Equal(c.get(o, ck.CKA_VALUE), value) {
			t.Error("C_DeriveKey with the ciphertext as the other's point gives another secret")
		}
		ciphertext[60] ^= 1 // not on the curve
		_, rv = c.Decapsulate(c.Arena, c.s, mech(nil), priv, ciphertext, readable...)
		c.want("a point off the curve", rv, ck.CKR_WRAPPED_KEY_INVALID)
	})
	c.sub("refusals", func(c *client) {
		pub, priv := c.pair(ck.CKM_ML_KEM_KEY_PAIR_GEN, []ck.Attribute{ulong(ck.CKA_PARAMETER_SET, uint64(ck.CKP_ML_KEM_512)), boolean(ck.CKA_ENCAPSULATE, false)}, no(ck.CKA_DECAPSULATE))
		m := c11.Mech{Type: ck.CKM_ML_KEM}
		_, _, rv := c.Encapsulate(c.Arena, c.s, m, pub, readable...)
		c.want("a key that may not encapsulate", rv, ck.CKR_KEY_FUNCTION_NOT_PERMITTED)
		_, rv = c.Decapsulate(c.Arena, c.s, m, priv, make([]byte, 768), readable...)
		c.want("a key that may not decapsulate", rv, ck.CKR_KEY_FUNCTION_NOT_PERMITTED)
		_, _, rv = c.Encapsulate(c.Arena, c.s, c11.Mech{Type: ck.CKM_AES_GCM}, pub, readable...)
		c.want("a mechanism that does not encapsulate", rv, ck.CKR_MECHANISM_INVALID)
		_, _, rv = c.Encapsulate(c.Arena, c.s, m, 987654, readable...)
		c.want("no key", rv, ck.CKR_KEY_HANDLE_INVALID)
	})
}
