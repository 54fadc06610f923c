package hsm

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"testing"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/cryptoki/p11"
	"github.com/perilune/perilune/engine"
)

func gcmParams(iv string) *engine.GCMMessageParams {
	return &engine.GCMMessageParams{IV: []byte(iv), IVGenerator: ck.CKG_NO_GENERATE, Tag: make([]byte, 16), TagBits: 128}
}

func gcmSealed(iv string, aad, plain []byte) (ct, tag []byte) {
	block, _ := aes.NewCipher(testAESKey)
	aead, _ := cipher.NewGCM(block)
	out := aead.Seal(nil, []byte(iv), plain, aad)
	return out[:len(plain)], out[len(plain):]
}

func TestMessages(t *testing.T) {
	b := newBench(t)
	key := b.aes()
	enc := func(q p11.Message) *p11.Message {
		q.Session, q.Op = b.s, p11.OpMessageEncrypt
		return &q
	}
	dec := func(q p11.Message) *p11.Message {
		q.Session, q.Op = b.s, p11.OpMessageDecrypt
		return &q
	}
	data, aad := []byte("a message in one part or in three"), []byte("associated")
	fails(b, ck.CKR_OPERATION_NOT_INITIALIZED, enc(p11.Message{Whole: true}))
	fails(b, ck.CKR_OPERATION_NOT_INITIALIZED, &p11.EndMessages{Session: b.s, Op: p11.OpMessageEncrypt})
	b.begin(p11.OpMessageEncrypt, mech(ck.CKM_AES_GCM), key)
	b.begin(p11.OpMessageDecrypt, mech(ck.CKM_AES_GCM), key)
	fails(b, ck.CKR_OPERATION_ACTIVE, &p11.Begin{Session: b.s, Op: p11.OpMessageEncrypt, Mechanism: mech(ck.CKM_AES_GCM), Key: key})

	for _, iv := range []string{"first iv ...", "second iv .."} {
		want, tag := gcmSealed(iv, aad, data)

		// In one part, by the convention for output.
		p := gcmParams(iv)
		one := p11.Message{Whole: true, Param: p, AAD: aad, In: data, Out: p11.Output{Query: true}}
		if n := ok(b, enc(one)).N; n != len(data) {
			t.Errorf("query: %d", n)
		}
		one.Out = p11.Output{Buf: make([]byte, len(data)-1)}
		if n := fails(b, ck.CKR_BUFFER_TOO_SMALL, enc(one)).N; n != len(data) {
			t.Errorf("needed: %d", n)
		}
		sameBytes(t, "tag after CKR_BUFFER_TOO_SMALL", p.Tag, make([]byte, 16))
		one.Out = p11.Output{Buf: make([]byte, len(data))}
		ok(b, enc(one))
		sameBytes(t, "ciphertext", one.Out.Buf, want)
		sameBytes(t, "tag", p.Tag, tag)

		back := p11.Message{Whole: true, Param: p, AAD: aad, In: want, Out: p11.Output{Buf: make([]byte, len(data))}}
		ok(b, dec(back))
		sameBytes(t, "plaintext", back.Out.Buf, data)
		p.Tag[0]++
		fails(b, ck.CKR_AEAD_DECRYPT_FAILED, dec(back))
		p.Tag[0]--
		ok(b, dec(back))

		// In parts.
		p = gcmParams(iv)
		fails(b, ck.CKR_OPERATION_NOT_INITIALIZED, enc(p11.Message{Param: p, In: data}))
		ownAAD := bytes.Clone(aad)
		ok(b, enc(p11.Message{Start: true, Param: p, AAD: ownAAD}))
		clear(ownAAD)
		fails(b, ck.CKR_OPERATION_ACTIVE, enc(p11.Message{Start: true, Param: p, AAD: aad}))
		fails(b, ck.CKR_OPERATION_ACTIVE, enc(one))
		fails(b, ck.CKR_OPERATION_ACTIVE, &p11.EndMessages{Session: b.s, Op: p11.OpMessageEncrypt})
		var got []byte
		for _, part := range [][]byte{data[:10], data[10:17], data[17:]} {
			last := len(got)+len(part) == len(data)
			q := p11.Message{Last: last, Param: p, In: part, Out: p11.Output{Query: true}}
			if n := ok(b, enc(q)).N; n != len(part) {
				t.Errorf("query: %d", n)
			}
			q.Out = p11.Output{Buf: make([]byte, len(part)-1)}
			fails(b, ck.CKR_BUFFER_TOO_SMALL, enc(q))
			q.Out = p11.Output{Buf: make([]byte, 40)}
			got = append(got, q.Out.Buf[:ok(b, enc(q)).N]...)
		}
		sameBytes(t, "ciphertext in parts", got, want)
		sameBytes(t, "tag", p.Tag, tag)

		// An error ends the message, not the operation.
		ok(b, dec(p11.Message{Start: true, Param: p, AAD: aad}))
		out := p11.Output{Buf: make([]byte, 40)}
		ok(b, dec(p11.Message{Param: p, In: want[:20], Out: out}))
		wrong := gcmParams(iv)
		fails(b, ck.CKR_AEAD_DECRYPT_FAILED, dec(p11.Message{Last: true, Param: wrong, In: want[20:], Out: p11.Output{Buf: make([]byte, 40)}}))
		fails(b, ck.CKR_OPERATION_NOT_INITIALIZED, dec(p11.Message{Last: true, Param: p, In: want[20:], Out: out}))
		ok(b, dec(p11.Message{Start: true, Param: p, AAD: aad}))
		plain := bytes.Clone(out.Buf[:ok(b, dec(p11.Message{Param: p, In: want[:20], Out: out})).N])
		plain = append(plain, out.Buf[:ok(b, dec(p11.Message{Last: true, Param: p, In: want[20:], Out: out})).N]...)
		sameBytes(t, "plaintext in parts", plain, data)
	}
	ok(b, &p11.EndMessages{Session: b.s, Op: p11.OpMessageEncrypt})
	fails(b, ck.CKR_OPERATION_NOT_INITIALIZED, &p11.EndMessages{Session: b.s, Op: p11.OpMessageEncrypt})
	ok(b, &p11.Begin{Session: b.s, Op: p11.OpMessageDecrypt})
	fails(b, ck.CKR_OPERATION_NOT_INITIALIZED, &p11.EndMessages{Session: b.s, Op: p11.OpMessageDecrypt})
}

func TestMessageRefusals(t *testing.T) {
	b := newBench(t)
	noEncrypt := b.secret(ck.CKK_AES, testAESKey, ck.NewBool(ck.CKA_ENCRYPT, false), ck.NewBool(ck.CKA_DECRYPT, true))
	fails(b, ck.CKR_KEY_FUNCTION_NOT_PERMITTED, &p11.Begin{Session: b.s, Op: p11.OpMessageEncrypt, Mechanism: mech(ck.CKM_AES_GCM), Key: noEncrypt})
	fails(b, ck.CKR_MECHANISM_INVALID, &p11.Begin{Session: b.s, Op: p11.OpMessageEncrypt, Mechanism: mech(ck.CKM_AES_CBC), Key: noEncrypt})
	b.begin(p11.OpMessageDecrypt, mech(ck.CKM_AES_GCM), noEncrypt)
	q := p11.Message{Session: b.s, Op: p11.OpMessageDecrypt, Whole: true, Param: &engine.CTRParams{}, In: []byte("x"), Out: p11.Output{Buf: make([]byte, 1)}}
	fails(b, ck.CKR_MECHANISM_PARAM_INVALID, &q)
	q.Param = nil
	fails(b, ck.CKR_MECHANISM_PARAM_INVALID, &q)
	q.Param = (*engine.GCMMessageParams)(nil)
	fails(b, ck.CKR_MECHANISM_PARAM_INVALID, &q)
	q.Start = true
	fails(b, ck.CKR_ARGUMENTS_BAD, &q)
	fails(b, ck.CKR_ARGUMENTS_BAD, &p11.Finish{Session: b.s, Op: p11.OpMessageDecrypt, Single: true})
	fails(b, ck.CKR_ARGUMENTS_BAD, &p11.EndMessages{Session: b.s, Op: 99})
	b.begin(p11.OpDecrypt, mech(ck.CKM_AES_CBC, testIV), noEncrypt)
	fails(b, ck.CKR_ARGUMENTS_BAD, &p11.Message{Session: b.s, Op: p11.OpDecrypt, Whole: true})
	fails(b, ck.CKR_ARGUMENTS_BAD, &p11.EndMessages{Session: b.s, Op: p11.OpDecrypt})
}

// IVs that the token makes count on, and a refused buffer uses none up.
func TestGeneratedIV(t *testing.T) {
	b := newBench(t)
	b.begin(p11.OpMessageEncrypt, mech(ck.CKM_AES_GCM), b.aes())
	seen := map[string]bool{}
	for range 5 {
		p := gcmParams("fixed part..")
		p.IVFixedBits, p.IVGenerator = 64, ck.CKG_GENERATE_COUNTER
		q := &p11.Message{Session: b.s, Op: p11.OpMessageEncrypt, Whole: true, Param: p, In: []byte("data")}
		fails(b, ck.CKR_BUFFER_TOO_SMALL, q)
		if string(p.IV) != "fixed part.." {
			t.Error("a refused call made an IV")
		}
		q.Out.Buf = make([]byte, 4)
		ok(b, q)
		if seen[string(p.IV)] || string(p.IV[:8]) != "fixed pa" {
			t.Errorf("IV %q", p.IV)
		}
		seen[string(p.IV)] = true
	}
}
