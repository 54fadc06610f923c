package conformance

import (
	"bytes"
	"testing"
	"unsafe"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/test/c11"
)

// aead is a message parameter in C memory: CK_GCM_MESSAGE_PARAMS or
// CK_CCM_MESSAGE_PARAMS.
type aead struct {
	t       ck.MechanismType
	iv, tag *c11.Guarded
	ivLen   int
	param   unsafe.Pointer
	size    int
}

// newAEAD makes the parameter for a message of n bytes with an IV, the first
// bits of which are fixed.
func (c *client) newAEAD(t ck.MechanismType, n int, iv []byte, fixedBits int, generator ck.GeneratorFunction, tag []byte) *aead {
	a := &aead{t: t, iv: c.Guarded(len(iv)), tag: c.Guarded(16), ivLen: len(iv)}
	c11.Poke(a.iv.Ptr(), iv)
	if tag != nil {
		c11.Poke(a.tag.Ptr(), tag)
	}
	ivp, tagp := uint64(uintptr(a.iv.Ptr())), uint64(uintptr(a.tag.Ptr()))
	w := c11.Words(ivp, uint64(len(iv)), uint64(fixedBits), uint64(generator), tagp, 128)
	if t == ck.CKM_AES_CCM {
		w = c11.Words(uint64(n), ivp, uint64(len(iv)), uint64(fixedBits), uint64(generator), tagp, 16)
	}
	a.param, a.size = c.Exact(w), len(w)
	return a
}

// classic is the same by C_Encrypt: the ciphertext, and behind it the tag.
func (c *client) classic(t ck.MechanismType, key uint64, iv, aad, msg []byte) []byte {
	c.t.Helper()
	p := c11.Words(c.Ptr(iv), uint64(len(iv)), uint64(8*len(iv)), c.Ptr(aad), uint64(len(aad)), 128)
	if t == ck.CKM_AES_CCM {
		p = c11.Words(uint64(len(msg)), c.Ptr(iv), uint64(len(iv)), c.Ptr(aad), uint64(len(aad)), 16)
	}
	out, rv := c.Single(c.Arena, c.Encryption(), c.s, c11.Mech{Type: t, Param: p}, key, msg)
	c.ok("C_Encrypt", rv)
	return out
}

// TestMessages encrypts and decrypts by messages (sections 5.9 and 5.11),
// whole and in parts, and compares with C_Encrypt.
func TestMessages(t *testing.T) {
	if !apart(t) {
		return
	}
	c := open(t)
	key := c.object(secret(ck.CKK_AES, sequence(32))...)
	iv, aad := sequence(12), sequence(21)
	for _, mt := range []ck.MechanismType{ck.CKM_AES_GCM, ck.CKM_AES_CCM} {
		for _, n := range []int{0, 1, 16, 50} {
			c.sub(mt.String(), func(c *client) {
				msg := sequence(n)
				want := c.classic(mt, key, iv, aad, msg)
				c.must("C_MessageEncryptInit", c.s, c.Mechanism(mt, nil), key)
				c.refuses(ck.CKR_OPERATION_ACTIVE, "C_MessageEncryptInit", c.s, c.Mechanism(mt, nil), key)
				check := func(what string, a *aead, ct []byte) {
					c.t.Helper()
					if !bytes.Equal(append(ct, a.tag.Bytes(16)...), want) || !a.tag.Untouched(16) {
						c.t.Errorf("%s: %x and tag %x, want %x", what, ct, a.tag.Bytes(16), want)
					}
				}
				for range 2 { // an operation takes any number of messages
					a := c.newAEAD(mt, n, iv, 96, ck.CKG_NO_GENERATE, nil)
					out, l := c.Guarded(n), c.ULong(uint64(n))
					c.must("C_EncryptMessage", c.s, a.param, a.size, c.Exact(aad), len(aad), c.Bytes(msg), n, out.Ptr(), l)
					check("C_EncryptMessage", a, out.Bytes(n))
				}
				for _, size := range []int{1, 7, 16, 100} {
					a := c.newAEAD(mt, n, iv, 96, ck.CKG_NO_GENERATE, nil)
					c.must("C_EncryptMessageBegin", c.s, a.param, a.size, c.Exact(aad), len(aad))
					c.refuses(ck.CKR_OPERATION_ACTIVE, "C_MessageEncryptFinal", c.s)
					check("C_EncryptMessageNext", a, c.messageParts("C_EncryptMessageNext", a, msg, size))
				}
				c.must("C_MessageEncryptFinal", c.s)
				c.refuses(ck.CKR_OPERATION_NOT_INITIALIZED, "C_MessageEncryptFinal", c.s)

				ct, tag := want[:n], want[n:]
				c.must("C_MessageDecryptInit", c.s, c.Mechanism(mt, nil), key)
				a := c.newAEAD(mt, n, iv, 96, ck.CKG_NO_GENERATE, tag)
				out, l := c.Guarded(n), c.ULong(uint64(n))
				c.must("C_DecryptMessage", c.s, a.param, a.size, c.Exact(aad), len(aad), c.Bytes(ct), n, out.Ptr(), l)
				if !bytes.Equal(out.Bytes(n), msg) {
					c.t.Errorf("C_DecryptMessage: %x", out.Bytes(n))
				}
				for _, size := range []int{1, 7, 100} {
					a := c.newAEAD(mt, n, iv, 96, ck.CKG_NO_GENERATE, tag)
					c.must("C_DecryptMessageBegin", c.s, a.param, a.size, c.Exact(aad), len(aad))
					if got := c.messageParts("C_DecryptMessageNext", a, ct, size); !bytes.Equal(got, msg) {
						c.t.Errorf("C_DecryptMessageNext: %x", got)
					}
				}
				// A wrong tag gives no plaintext, and the operation goes on.
				bad := bytes.Clone(tag)
				bad[15] ^= 1
				a = c.newAEAD(mt, n, iv, 96, ck.CKG_NO_GENERATE, bad)
				out, l = c.Guarded(n), c.ULong(uint64(n))
				c.refuses(ck.CKR_AEAD_DECRYPT_FAILED, "C_DecryptMessage", c.s, a.param, a.size, c.Exact(aad), len(aad), c.Bytes(ct), n, out.Ptr(), l)
				if bytes.Contains(out.Bytes(n), msg) && n > 0 {
					c.t.Error("the plaintext came out with a wrong tag")
				}
				a = c.newAEAD(mt, n, iv, 96, ck.CKG_NO_GENERATE, tag)
				c.must("C_DecryptMessage", c.s, a.param, a.size, c.Exact(aad), len(aad), c.Bytes(ct), n, out.Ptr(), c.ULong(uint64(n)))
				c.must("C_MessageDecryptFinal", c.s)
			})
		}
	}
	c.sub("order", func(c *client) {
		a := c.newAEAD(ck.CKM_AES_GCM, 0, iv, 96, ck.CKG_NO_GENERATE, nil)
		none := ck.RV(ck.CKR_OPERATION_NOT_INITIALIZED)
		out, l := c.Alloc(64), c.ULong(64)
		c.refuses(none, "C_EncryptMessage", c.s, a.param, a.size, nil, 0, nil, 0, out, l)
		c.refuses(none, "C_EncryptMessageBegin", c.s, a.param, a.size, nil, 0)
		c.must("C_MessageEncryptInit", c.s, c.Mechanism(ck.CKM_AES_GCM, nil), key)
		c.refuses(none, "C_EncryptMessageNext", c.s, a.param, a.size, nil, 0, out, l, 0)
		c.must("C_EncryptMessageBegin", c.s, a.param, a.size, nil, 0)
		c.refuses(ck.CKR_OPERATION_ACTIVE, "C_EncryptMessageBegin", c.s, a.param, a.size, nil, 0)
		c.refuses(ck.CKR_OPERATION_ACTIVE, "C_EncryptMessage", c.s, a.param, a.size, nil, 0, nil, 0, out, l)
		c.must("C_MessageEncryptInit", c.s, nil, 0) // cancels
		c.refuses(none, "C_MessageEncryptFinal", c.s)
		for _, mt := range []ck.MechanismType{ck.CKM_AES_CBC, ck.CKM_AES_ECB, ck.CKM_SHA256} {
			c.refuses(ck.CKR_MECHANISM_INVALID, "C_MessageEncryptInit", c.s, c.Mechanism(mt, nil), key)
		}
		c.must("C_MessageEncryptInit", c.s, c.Mechanism(ck.CKM_AES_GCM, nil), key)
		for _, size := range []int{0, a.size - 8, a.size + 8} {
			rv := c.Call("C_EncryptMessage", c.s, a.param, size, nil, 0, nil, 0, out, l)
			c.want("a parameter of another size", rv, ck.CKR_MECHANISM_PARAM_INVALID, ck.CKR_ARGUMENTS_BAD)
		}
		rv := c.Call("C_EncryptMessage", c.s, nil, 0, nil, 0, nil, 0, out, l)
		c.want("no parameter", rv, ck.CKR_MECHANISM_PARAM_INVALID, ck.CKR_ARGUMENTS_BAD)
		c.must("C_MessageEncryptFinal", c.s)
	})
}

// messageParts passes a message in parts and returns what came out.
func (c *client) messageParts(name string, a *aead, msg []byte, size int) (all []byte) {
	c.t.Helper()
	for {
		part := msg[:min(size, len(msg))]
		msg = msg[len(part):]
		var flags ck.Flags
		if len(msg) == 0 {
			flags = ck.CKF_END_OF_MESSAGE
		}
		out, l := c.Alloc(len(part)+200), c.ULong(uint64(len(part)+200))
		c.must(name, c.s, a.param, a.size, c.Bytes(part), len(part), out, l, uint64(flags))
		all = append(all, c11.Peek(out, int(c11.Number(l)))...)
		if len(msg) == 0 {
			return all
		}
	}
}

// TestMessageIVs lets the token make the IVs (section 6.13.3 of 3.1).
func TestMessageIVs(t *testing.T) {
	if !apart(t) {
		return
	}
	c := open(t)
	key := c.object(secret(ck.CKK_AES, sequence(32))...)
	msg := sequence(30)
	for _, mt := range []ck.MechanismType{ck.CKM_AES_GCM, ck.CKM_AES_CCM} {
		for name, g := range map[string]ck.GeneratorFunction{
			"CKG_GENERATE": ck.CKG_GENERATE, "CKG_GENERATE_COUNTER": ck.CKG_GENERATE_COUNTER,
			"CKG_GENERATE_RANDOM": ck.CKG_GENERATE_RANDOM, "CKG_GENERATE_COUNTER_XOR": ck.CKG_GENERATE_COUNTER_XOR,
		} {
			c.sub(mt.String()+" "+name, func(c *client) {
				fixed := sequence(12)
				const fixedBits = 32
				c.must("C_MessageEncryptInit", c.s, c.Mechanism(mt, nil), key)
				seen := map[string]bool{}
				var previous []byte
				for i := range 10 {
					a := c.newAEAD(mt, len(msg), fixed, fixedBits, g, nil)
					if previous != nil {
						c11.Poke(a.iv.Ptr(), previous) // as programs that keep their parameter do
					}
					out, l := c.Alloc(30), c.ULong(30)
					c.must("C_EncryptMessage", c.s, a.param, a.size, nil, 0, c.Bytes(msg), len(msg), out, l)
					iv := a.iv.Bytes(12)
					if !a.iv.Untouched(12) {
						c.t.Error("bytes beyond the IV were written")
					}
					if !bytes.Equal(iv[:4], fixed[:4]) {
						c.t.Errorf("IV %d %x does not begin with the fixed bits", i, iv)
					}
					if seen[string(iv)] {
						c.t.Errorf("IV %x twice", iv)
					}
					seen[string(iv)] = true
					want := c.classic(mt, key, iv, nil, msg)
					if got := append(c11.Peek(out, 30), a.tag.Bytes(16)...); !bytes.Equal(got, want) {
						c.t.Error("the ciphertext does not belong to the IV")
					}
					previous = iv
				}
				c.must("C_MessageEncryptFinal", c.s)
			})
		}
		c.sub(mt.String()+" counter at its end", func(c *client) {
			// Four bits count 16 messages, and no bit counts one. Then the IV
			// would come again.
			for _, row := range []struct{ fixed, messages int }{{92, 16}, {96, 1}} {
				c.must("C_MessageEncryptInit", c.s, c.Mechanism(mt, nil), key)
				seen := map[string]bool{}
				for range row.messages {
					a := c.newAEAD(mt, len(msg), sequence(12), row.fixed, ck.CKG_GENERATE_COUNTER, nil)
					c.must("C_EncryptMessage", c.s, a.param, a.size, nil, 0, c.Bytes(msg), len(msg), c.Alloc(30), c.ULong(30))
					seen[string(a.iv.Bytes(12))] = true
				}
				if len(seen) != row.messages {
					c.t.Errorf("%d IVs for %d messages", len(seen), row.messages)
				}
				a := c.newAEAD(mt, len(msg), sequence(12), row.fixed, ck.CKG_GENERATE_COUNTER, nil)
				rv := c.Call("C_EncryptMessage", c.s, a.param, a.size, nil, 0, c.Bytes(msg), len(msg), c.Alloc(30), c.ULong(30))
				if rv == ck.CKR_OK {
					c.t.Errorf("the counter of %d bits came round: IV %x", 96-row.fixed, a.iv.Bytes(12))
				}
				c.must("C_MessageEncryptFinal", c.s)
			}
		})
		c.sub(mt.String()+" wrong", func(c *client) {
			c.must("C_MessageEncryptInit", c.s, c.Mechanism(mt, nil), key)
			for _, row := range []struct {
				fixed int
				g     ck.GeneratorFunction
			}{{97, ck.CKG_GENERATE_COUNTER}, {0, 99}, {1 << 40, ck.CKG_GENERATE}} {
				a := c.newAEAD(mt, len(msg), sequence(12), row.fixed, row.g, nil)
				out, l := c.Alloc(30), c.ULong(30)
				rv := c.Call("C_EncryptMessage", c.s, a.param, a.size, nil, 0, c.Bytes(msg), len(msg), out, l)
				c.want("fixed bits and generator that do not fit", rv, ck.CKR_MECHANISM_PARAM_INVALID)
			}
			c.must("C_MessageEncryptFinal", c.s)
		})
	}
}
