package p11test

import (
	"bytes"
	"crypto/aes"
	"crypto/hmac"
	"crypto/sha256"
	"fmt"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/cryptoki/p11"
)

func (h *host) begin(op p11.Operation, m *ck.Mechanism, k ck.ObjectHandle) {
	h.Helper()
	must(h, &p11.Begin{Session: h.s, Op: op, Mechanism: m, Key: k})
}

// single does a message in one part.
func (h *host) single(op p11.Operation, m *ck.Mechanism, k ck.ObjectHandle, in []byte) []byte {
	h.Helper()
	h.begin(op, m, k)
	buf := make([]byte, len(in)+600)
	n := must(h, &p11.Finish{Session: h.s, Op: op, Single: true, In: in, Out: p11.Output{Buf: buf}}).N
	return buf[:n]
}

// parts does it in parts of a size.
func (h *host) parts(op p11.Operation, m *ck.Mechanism, k ck.ObjectHandle, in []byte, size int) (all []byte) {
	h.Helper()
	h.begin(op, m, k)
	buf := make([]byte, len(in)+600)
	for len(in) > 0 {
		part := in[:min(size, len(in))]
		in = in[len(part):]
		n := must(h, &p11.Update{Session: h.s, Op: op, In: part, Out: p11.Output{Buf: buf}}).N
		all = append(all, buf[:n]...)
	}
	n := must(h, &p11.Finish{Session: h.s, Op: op, Out: p11.Output{Buf: buf}}).N
	return append(all, buf[:n]...)
}

// verify checks a signature, in one part or in parts of a size.
func (h *host) verify(m *ck.Mechanism, k ck.ObjectHandle, in, sig []byte, size int) error {
	h.Helper()
	h.begin(p11.OpVerify, m, k)
	req := &p11.Finish{Session: h.s, Op: p11.OpVerify, Single: size == 0, In: in, Signature: sig}
	if size != 0 {
		for req.In = nil; len(in) > 0; {
			part := in[:min(size, len(in))]
			in = in[len(part):]
			must(h, &p11.Update{Session: h.s, Op: p11.OpVerify, In: part})
		}
	}
	_, err := ask(h, req)
	return err
}

// testOutput is the length convention at its one place.
func testOutput(h *host) {
	h.token()
	k := h.aes()
	cbc := mech(ck.CKM_AES_CBC_PAD, sequence(16))
	encrypting := func() {
		must(h, &p11.Begin{Session: h.s, Op: p11.OpEncrypt}) // cancels
		h.begin(p11.OpEncrypt, cbc, k)
	}
	for name, c := range map[string]struct {
		begin func()
		call  func(p11.Output) (p11.Length, error)
		need  int
	}{
		"Finish, single": {encrypting, func(o p11.Output) (p11.Length, error) {
			return ask(h, &p11.Finish{Session: h.s, Op: p11.OpEncrypt, Single: true, In: sequence(20), Out: o})
		}, 32},
		"Update": {encrypting, func(o p11.Output) (p11.Length, error) {
			return ask(h, &p11.Update{Session: h.s, Op: p11.OpEncrypt, In: sequence(20), Out: o})
		}, 16},
		"Finish of a signature": {func() { h.begin(p11.OpSign, mech(ck.CKM_AES_CMAC, nil), k) }, func(o p11.Output) (p11.Length, error) {
			return ask(h, &p11.Finish{Session: h.s, Op: p11.OpSign, Single: true, In: sequence(20), Out: o})
		}, 16},
		"Finish of a digest": {func() { h.begin(p11.OpDigest, mech(ck.CKM_SHA256, nil), 0) }, func(o p11.Output) (p11.Length, error) {
			return ask(h, &p11.Finish{Session: h.s, Op: p11.OpDigest, Out: o})
		}, 32},
		"WrapKey": {func() {}, func(o p11.Output) (p11.Length, error) {
			return ask(h, &p11.WrapKey{Session: h.s, Mechanism: mech(ck.CKM_AES_KEY_WRAP, nil), WrappingKey: k, Key: k, Out: o})
		}, 40},
	} {
		c.begin()
		for range 2 {
			if r, err := c.call(p11.Output{Query: true}); err != nil || r.N != c.need {
				h.Errorf("%s: a query says %d (%v), want %d", name, r.N, err, c.need)
			}
		}
		for _, n := range []int{0, c.need - 1} {
			buf := bytes.Repeat([]byte{0xA5}, n)
			r, err := c.call(p11.Output{Buf: buf})
			h.wants(name, err, ck.CKR_BUFFER_TOO_SMALL)
			if r.N != c.need || !bytes.Equal(buf, bytes.Repeat([]byte{0xA5}, n)) {
				h.Errorf("%s: too small a buffer: %d bytes needed, buffer %x", name, r.N, buf)
			}
		}
		buf := bytes.Repeat([]byte{0xA5}, c.need+8)
		r, err := c.call(p11.Output{Buf: buf})
		if err != nil || r.N != c.need || !bytes.Equal(buf[c.need:], bytes.Repeat([]byte{0xA5}, 8)) {
			h.Errorf("%s: %d bytes (%v), buffer %x", name, r.N, err, buf)
		}
	}
}

func testOrder(h *host) {
	h.token()
	k := h.aes()
	none, active := ck.RV(ck.CKR_OPERATION_NOT_INITIALIZED), ck.RV(ck.CKR_OPERATION_ACTIVE)
	buf := p11.Output{Buf: make([]byte, 600)}
	for _, c := range []struct {
		op p11.Operation
		m  *ck.Mechanism
		k  ck.ObjectHandle
	}{
		{p11.OpEncrypt, mech(ck.CKM_AES_ECB, nil), k}, {p11.OpDecrypt, mech(ck.CKM_AES_ECB, nil), k},
		{p11.OpDigest, mech(ck.CKM_SHA256, nil), 0}, {p11.OpSign, mech(ck.CKM_AES_CMAC, nil), k},
	} {
		update := &p11.Update{Session: h.s, Op: c.op, In: sequence(16), Out: buf}
		final := &p11.Finish{Session: h.s, Op: c.op, Out: buf}
		single := &p11.Finish{Session: h.s, Op: c.op, Single: true, In: sequence(16), Out: buf}
		refused(h, update, none)
		refused(h, final, none)
		refused(h, single, none)
		h.begin(c.op, c.m, c.k)
		refused(h, &p11.Begin{Session: h.s, Op: c.op, Mechanism: c.m, Key: c.k}, active)
		must(h, update)
		refused(h, single, active)
		must(h, final)
		refused(h, final, none)
		h.begin(c.op, c.m, c.k)
		must(h, single)
		refused(h, single, none)
		h.begin(c.op, c.m, c.k)
		must(h, &p11.Begin{Session: h.s, Op: c.op}) // cancels
		refused(h, update, none)
	}
	// An error ends the operation.
	h.begin(p11.OpEncrypt, mech(ck.CKM_AES_ECB, nil), k)
	refused(h, &p11.Finish{Session: h.s, Op: p11.OpEncrypt, Single: true, In: sequence(15), Out: buf}, ck.CKR_DATA_LEN_RANGE)
	refused(h, &p11.Finish{Session: h.s, Op: p11.OpEncrypt, Out: buf}, none)
	for op := range p11.Operation(p11.NumOperations) {
		if op == p11.OpDigest {
			continue
		}
		_, err := ask(h, &p11.Begin{Session: h.s, Op: op, Mechanism: mech(ck.CKM_SHA256, nil), Key: k})
		h.wants("a mechanism for another function", err, ck.CKR_MECHANISM_INVALID)
		_, err = ask(h, &p11.Begin{Session: h.s, Op: op, Mechanism: mech(0x7fffffff, nil), Key: k})
		h.wants("an unknown mechanism", err, ck.CKR_MECHANISM_INVALID)
	}
	bare := h.create(useless(ck.CKK_AES, sequence(16))...)
	refused(h, &p11.Begin{Session: h.s, Op: p11.OpEncrypt, Mechanism: mech(ck.CKM_AES_ECB, nil), Key: bare}, ck.CKR_KEY_FUNCTION_NOT_PERMITTED)
	mac := h.create(useless(ck.CKK_GENERIC_SECRET, sequence(16))...)
	refused(h, &p11.Begin{Session: h.s, Op: p11.OpEncrypt, Mechanism: mech(ck.CKM_AES_ECB, nil), Key: mac}, ck.CKR_KEY_TYPE_INCONSISTENT)
	refused(h, &p11.Begin{Session: h.s, Op: p11.OpEncrypt, Mechanism: mech(ck.CKM_AES_ECB, nil), Key: 987654321}, ck.CKR_KEY_HANDLE_INVALID)
	refused(h, &p11.Begin{Session: h.s, Op: p11.OpEncrypt, Mechanism: mech(ck.CKM_AES_CBC, sequence(15)), Key: k}, ck.CKR_MECHANISM_PARAM_INVALID)
}

func testCiphers(h *host) {
	h.token()
	k := h.aes()
	block, err := aes.NewCipher(sequence(32))
	if err != nil {
		h.Fatal(err)
	}
	want := make([]byte, 16)
	block.Encrypt(want, sequence(16))
	if got := h.single(p11.OpEncrypt, mech(ck.CKM_AES_ECB, nil), k, sequence(16)); !bytes.Equal(got, want) {
		h.Errorf("CKM_AES_ECB: %x, want %x", got, want)
	}
	for _, c := range []struct {
		m     *ck.Mechanism
		sizes []int
	}{
		{mech(ck.CKM_AES_ECB, nil), []int{16, 64}}, {mech(ck.CKM_AES_CBC, sequence(16)), []int{16, 64}}, {mech(ck.CKM_AES_CBC_PAD, sequence(16)), []int{0, 1, 16, 70}},
	} {
		for _, n := range c.sizes {
			ct := h.single(p11.OpEncrypt, c.m, k, sequence(n))
			if got := h.single(p11.OpDecrypt, c.m, k, ct); !bytes.Equal(got, sequence(n)) {
				h.Errorf("%v: %d bytes decrypt to %x", c.m.Type, n, got)
			}
			for _, size := range []int{1, 5, 16, 33} {
				if got := h.parts(p11.OpEncrypt, c.m, k, sequence(n), size); !bytes.Equal(got, ct) {
					h.Errorf("%v in parts of %d: %x, want %x", c.m.Type, size, got, ct)
				}
				if got := h.parts(p11.OpDecrypt, c.m, k, ct, size); !bytes.Equal(got, sequence(n)) {
					h.Errorf("%v decrypted in parts of %d: %x", c.m.Type, size, got)
				}
			}
		}
	}
}

// pair generates a pair of keys for signatures.
func (h *host) pair(m ck.MechanismType, public ...ck.Attribute) p11.KeyPair {
	h.Helper()
	use := func(list ...ck.AttributeType) (a []ck.Attribute) {
		for _, t := range list {
			a = append(a, ck.NewBool(t, true))
		}
		return a
	}
	pub, priv := use(ck.CKA_VERIFY), use(ck.CKA_SIGN)
	if m == ck.CKM_RSA_PKCS_KEY_PAIR_GEN {
		pub, priv = use(ck.CKA_VERIFY, ck.CKA_VERIFY_RECOVER, ck.CKA_ENCRYPT, ck.CKA_WRAP), use(ck.CKA_SIGN, ck.CKA_SIGN_RECOVER, ck.CKA_DECRYPT, ck.CKA_UNWRAP)
	}
	return must(h, &p11.GenerateKeyPair{Session: h.s, Mechanism: mech(m, nil), Public: append(pub, public...), Private: priv})
}

// p256 is the OID of the curve P-256 in DER.
var p256 = []byte{0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07}

func testSignatures(h *host) {
	h.token()
	mac := h.create(key(ck.CKK_GENERIC_SECRET, sequence(20))...)
	aesKey := h.aes()
	ec := h.pair(ck.CKM_EC_KEY_PAIR_GEN, ck.NewBytes(ck.CKA_EC_PARAMS, p256))
	rsa := h.pair(ck.CKM_RSA_PKCS_KEY_PAIR_GEN, ck.NewULong(ck.CKA_MODULUS_BITS, uint64(2048)))
	for _, c := range []struct {
		m            ck.MechanismType
		sign, verify ck.ObjectHandle
		single       bool
	}{
		{ck.CKM_SHA256_HMAC, mac, mac, false}, {ck.CKM_AES_CMAC, aesKey, aesKey, false},
		{ck.CKM_ECDSA_SHA256, ec.Private, ec.Public, false}, {ck.CKM_SHA256_RSA_PKCS, rsa.Private, rsa.Public, false},
		{ck.CKM_ECDSA, ec.Private, ec.Public, true}, {ck.CKM_RSA_PKCS, rsa.Private, rsa.Public, true},
	} {
		m := mech(c.m, nil)
		msg := sequence(50)
		sigs := [][]byte{h.single(p11.OpSign, m, c.sign, msg)}
		sizes := []int{0}
		if !c.single {
			sigs = append(sigs, h.parts(p11.OpSign, m, c.sign, msg, 7))
			sizes = append(sizes, 1, 13)
		}
		for _, sig := range sigs {
			for _, size := range sizes {
				h.wants(c.m.String(), h.verify(m, c.verify, msg, sig, size), ck.CKR_OK)
				bad := bytes.Clone(sig)
				bad[len(bad)-1] ^= 1
				h.wants(c.m.String(), h.verify(m, c.verify, msg, bad, size), ck.CKR_SIGNATURE_INVALID)
				h.wants(c.m.String(), h.verify(m, c.verify, msg, sig[1:], size), ck.CKR_SIGNATURE_LEN_RANGE)
				h.wants(c.m.String(), h.verify(m, c.verify, msg[1:], sig, size), ck.CKR_SIGNATURE_INVALID)
			}
		}
	}
	want := hmac.New(sha256.New, sequence(20))
	want.Write(sequence(50))
	if got := h.single(p11.OpSign, mech(ck.CKM_SHA256_HMAC, nil), mac, sequence(50)); !bytes.Equal(got, want.Sum(nil)) {
		h.Errorf("CKM_SHA256_HMAC: %x", got)
	}
	// The halves of a pair are not for the other's work.
	refused(h, &p11.Begin{Session: h.s, Op: p11.OpSign, Mechanism: mech(ck.CKM_ECDSA, nil), Key: ec.Public}, ck.CKR_KEY_FUNCTION_NOT_PERMITTED)
	refused(h, &p11.Begin{Session: h.s, Op: p11.OpVerify, Mechanism: mech(ck.CKM_ECDSA, nil), Key: ec.Private}, ck.CKR_KEY_FUNCTION_NOT_PERMITTED)
}

func testDigests(h *host) {
	h.token()
	for _, n := range []int{0, 1, 100} {
		want := sha256.Sum256(sequence(n))
		if got := h.single(p11.OpDigest, mech(ck.CKM_SHA256, nil), 0, sequence(n)); !bytes.Equal(got, want[:]) {
			h.Errorf("%d bytes: %x", n, got)
		}
		if got := h.parts(p11.OpDigest, mech(ck.CKM_SHA256, nil), 0, sequence(n), 7); !bytes.Equal(got, want[:]) {
			h.Errorf("%d bytes in parts: %x", n, got)
		}
	}
	k := h.create(key(ck.CKK_GENERIC_SECRET, sequence(30))...)
	h.begin(p11.OpDigest, mech(ck.CKM_SHA256, nil), 0)
	must(h, &p11.Update{Session: h.s, Op: p11.OpDigest, In: []byte("before")})
	must(h, &p11.DigestKey{Session: h.s, Key: k})
	out := make([]byte, 32)
	must(h, &p11.Finish{Session: h.s, Op: p11.OpDigest, Out: p11.Output{Buf: out}})
	if want := sha256.Sum256(append([]byte("before"), sequence(30)...)); !bytes.Equal(out, want[:]) {
		h.Errorf("with a key: %x", out)
	}
	refused(h, &p11.DigestKey{Session: h.s, Key: k}, ck.CKR_OPERATION_NOT_INITIALIZED)
}

func testRecover(h *host) {
	h.token()
	rsa := h.pair(ck.CKM_RSA_PKCS_KEY_PAIR_GEN, ck.NewULong(ck.CKA_MODULUS_BITS, uint64(2048)))
	m := mech(ck.CKM_RSA_PKCS, nil)
	sig := h.single(p11.OpSignRecover, m, rsa.Private, sequence(40))
	h.begin(p11.OpVerifyRecover, m, rsa.Public)
	out := make([]byte, 256)
	n := must(h, &p11.Finish{Session: h.s, Op: p11.OpVerifyRecover, Single: true, Signature: sig, Out: p11.Output{Buf: out}}).N
	if !bytes.Equal(out[:n], sequence(40)) {
		h.Errorf("recovered %x", out[:n])
	}
	sig[9] ^= 1
	h.begin(p11.OpVerifyRecover, m, rsa.Public)
	refused(h, &p11.Finish{Session: h.s, Op: p11.OpVerifyRecover, Single: true, Signature: sig, Out: p11.Output{Buf: out}}, ck.CKR_SIGNATURE_INVALID)
}

func testDual(h *host) {
	h.token()
	k, mac := h.aes(), h.create(key(ck.CKK_GENERIC_SECRET, sequence(20))...)
	cbc, sha, hm := mech(ck.CKM_AES_CBC, sequence(16)), mech(ck.CKM_SHA256, nil), mech(ck.CKM_SHA256_HMAC, nil)
	msg := sequence(64)
	ct := h.single(p11.OpEncrypt, cbc, k, msg)
	hash := h.single(p11.OpDigest, sha, 0, msg)
	sig := h.single(p11.OpSign, hm, mac, msg)
	both := func(first, second p11.Operation, in []byte) (out []byte) {
		h.Helper()
		buf := make([]byte, 64)
		for len(in) > 0 {
			n := must(h, &p11.DualUpdate{Session: h.s, First: first, Second: second, In: in[:16], Out: p11.Output{Buf: buf}}).N
			out, in = append(out, buf[:n]...), in[16:]
		}
		n := must(h, &p11.Finish{Session: h.s, Op: second, Out: p11.Output{Buf: buf}}).N
		return append(out, buf[:n]...)
	}
	final := func(op p11.Operation) []byte {
		h.Helper()
		buf := make([]byte, 64)
		return buf[:must(h, &p11.Finish{Session: h.s, Op: op, Out: p11.Output{Buf: buf}}).N]
	}
	same := func(what string, got, want []byte) {
		h.Helper()
		if !bytes.Equal(got, want) {
			h.Errorf("%s: %x, want %x", what, got, want)
		}
	}
	h.begin(p11.OpDigest, sha, 0)
	h.begin(p11.OpEncrypt, cbc, k)
	same("digest and encrypt", both(p11.OpDigest, p11.OpEncrypt, msg), ct)
	same("its digest", final(p11.OpDigest), hash)
	h.begin(p11.OpDigest, sha, 0)
	h.begin(p11.OpDecrypt, cbc, k)
	same("decrypt and digest", both(p11.OpDigest, p11.OpDecrypt, ct), msg)
	same("its digest", final(p11.OpDigest), hash)
	h.begin(p11.OpSign, hm, mac)
	h.begin(p11.OpEncrypt, cbc, k)
	same("sign and encrypt", both(p11.OpSign, p11.OpEncrypt, msg), ct)
	same("its signature", final(p11.OpSign), sig)
	h.begin(p11.OpVerify, hm, mac)
	h.begin(p11.OpDecrypt, cbc, k)
	same("decrypt and verify", both(p11.OpVerify, p11.OpDecrypt, ct), msg)
	must(h, &p11.Finish{Session: h.s, Op: p11.OpVerify, Signature: sig})
	refused(h, &p11.DualUpdate{Session: h.s, First: p11.OpDigest, Second: p11.OpEncrypt, In: msg}, ck.CKR_OPERATION_NOT_INITIALIZED)
}

func testMessages(h *host) {
	h.token()
	k := h.aes()
	m := mech(ck.CKM_AES_GCM, nil)
	iv, aad, msg := sequence(12), []byte("associated"), sequence(40)
	begin := func(op p11.Operation) { h.begin(op, m, k) }
	begin(p11.OpMessageEncrypt)
	tag := make([]byte, 16)
	ct := make([]byte, len(msg))
	must(h, &p11.Message{Session: h.s, Op: p11.OpMessageEncrypt, Whole: true, Param: h.suite.GCMMessage(iv, tag), AAD: aad, In: msg, Out: p11.Output{Buf: ct}})
	// The same in three parts.
	tag2, ct2 := make([]byte, 16), make([]byte, 0, len(msg))
	param := h.suite.GCMMessage(iv, tag2)
	must(h, &p11.Message{Session: h.s, Op: p11.OpMessageEncrypt, Start: true, Param: param, AAD: aad})
	refused(h, &p11.EndMessages{Session: h.s, Op: p11.OpMessageEncrypt}, ck.CKR_OPERATION_ACTIVE)
	for i, part := range [][]byte{msg[:7], msg[7:30], msg[30:]} {
		buf := make([]byte, 64)
		n := must(h, &p11.Message{Session: h.s, Op: p11.OpMessageEncrypt, Last: i == 2, Param: param, In: part, Out: p11.Output{Buf: buf}}).N
		ct2 = append(ct2, buf[:n]...)
	}
	if !bytes.Equal(ct, ct2) || !bytes.Equal(tag, tag2) {
		h.Errorf("as a whole %x %x, in parts %x %x", ct, tag, ct2, tag2)
	}
	must(h, &p11.EndMessages{Session: h.s, Op: p11.OpMessageEncrypt})
	refused(h, &p11.EndMessages{Session: h.s, Op: p11.OpMessageEncrypt}, ck.CKR_OPERATION_NOT_INITIALIZED)

	begin(p11.OpMessageDecrypt)
	decrypt := func(tag []byte) ([]byte, error) {
		pt := make([]byte, len(ct))
		_, err := ask(h, &p11.Message{Session: h.s, Op: p11.OpMessageDecrypt, Whole: true, Param: h.suite.GCMMessage(iv, tag), AAD: aad, In: ct, Out: p11.Output{Buf: pt}})
		return pt, err
	}
	bad := bytes.Clone(tag)
	bad[0] ^= 1
	if pt, err := decrypt(bad); ck.RVOf(err) != ck.CKR_AEAD_DECRYPT_FAILED || bytes.Equal(pt, msg) {
		h.Errorf("a wrong tag: %v", err)
	}
	if pt, err := decrypt(tag); err != nil || !bytes.Equal(pt, msg) {
		h.Errorf("decrypted to %x (%v)", pt, err)
	}
	must(h, &p11.EndMessages{Session: h.s, Op: p11.OpMessageDecrypt})
	refused(h, &p11.Message{Session: h.s, Op: p11.OpMessageDecrypt, Whole: true, Param: h.suite.GCMMessage(iv, tag), In: ct, Out: p11.Output{Buf: ct2}}, ck.CKR_OPERATION_NOT_INITIALIZED)
	refused(h, &p11.Begin{Session: h.s, Op: p11.OpMessageEncrypt, Mechanism: mech(ck.CKM_AES_CBC, sequence(16)), Key: k}, ck.CKR_MECHANISM_INVALID)
}

func (h *host) saveState(s ck.SessionHandle) []byte {
	h.Helper()
	n := must(h, &p11.GetOperationState{Session: s, Out: p11.Output{Query: true}}).N
	buf := make([]byte, n)
	return buf[:must(h, &p11.GetOperationState{Session: s, Out: p11.Output{Buf: buf}}).N]
}

func testOperationState(h *host) {
	h.token()
	refused(h, &p11.GetOperationState{Session: h.s, Out: p11.Output{Query: true}}, ck.CKR_OPERATION_NOT_INITIALIZED)
	mac := h.create(key(ck.CKK_GENERIC_SECRET, sequence(20))...)
	other := h.open(0, true)
	want := h.single(p11.OpSign, mech(ck.CKM_SHA256_HMAC, nil), mac, sequence(50))
	h.begin(p11.OpSign, mech(ck.CKM_SHA256_HMAC, nil), mac)
	must(h, &p11.Update{Session: h.s, Op: p11.OpSign, In: sequence(50)[:20]})
	state := h.saveState(h.s)
	set := func(s []byte, enc, auth ck.ObjectHandle) error {
		_, err := ask(h, &p11.SetOperationState{Session: other, State: s, EncryptionKey: enc, AuthKey: auth})
		return err
	}
	h.wants("no key", set(state, 0, 0), ck.CKR_KEY_NEEDED)
	h.wants("a key too many", set(state, mac, mac), ck.CKR_KEY_NOT_NEEDED)
	h.wants("another key", set(state, 0, h.create(key(ck.CKK_GENERIC_SECRET, sequence(20))...)), ck.CKR_KEY_CHANGED)
	h.wants("nonsense", set([]byte("nonsense"), 0, mac), ck.CKR_SAVED_STATE_INVALID)
	h.wants("nothing", set(nil, 0, mac), ck.CKR_SAVED_STATE_INVALID)
	h.wants("the state", set(state, 0, mac), ck.CKR_OK)
	for _, s := range []ck.SessionHandle{h.s, other} {
		must(h, &p11.Update{Session: s, Op: p11.OpSign, In: sequence(50)[20:]})
		got := make([]byte, 32)
		must(h, &p11.Finish{Session: s, Op: p11.OpSign, Out: p11.Output{Buf: got}})
		if !bytes.Equal(got, want) {
			h.Errorf("gone on with: %x, want %x", got, want)
		}
	}
	// Another slot's session does not take it.
	h.initToken(1)
	other = h.open(1, true)
	h.wants("on another token", set(state, 0, mac), ck.CKR_SAVED_STATE_INVALID, ck.CKR_KEY_HANDLE_INVALID)
}

func testCancel(h *host) {
	h.token()
	k := h.aes()
	h.begin(p11.OpEncrypt, mech(ck.CKM_AES_ECB, nil), k)
	h.begin(p11.OpSign, mech(ck.CKM_AES_CMAC, nil), k)
	must(h, &p11.FindObjectsInit{Session: h.s})
	must(h, &p11.SessionCancel{Session: h.s, Flags: ck.CKF_ENCRYPT | ck.CKF_FIND_OBJECTS})
	none := ck.RV(ck.CKR_OPERATION_NOT_INITIALIZED)
	refused(h, &p11.Update{Session: h.s, Op: p11.OpEncrypt, In: sequence(16)}, none)
	refused(h, &p11.FindObjects{Session: h.s, Max: 1}, none)
	must(h, &p11.Update{Session: h.s, Op: p11.OpSign, In: sequence(16)})
	must(h, &p11.Logout{Session: h.s})
	refused(h, &p11.Update{Session: h.s, Op: p11.OpSign, In: sequence(16)}, none, ck.CKR_USER_NOT_LOGGED_IN)
}

// testRequestBelongsToCaller changes slices after Do returned.
func testRequestBelongsToCaller(h *host) {
	h.token()
	value, iv := sequence(32), sequence(16)
	label := []byte("label")
	o := h.create(key(ck.CKK_AES, value, ck.NewBytes(ck.CKA_LABEL, label))...)
	want := h.single(p11.OpEncrypt, mech(ck.CKM_AES_CBC, sequence(16)), o, sequence(32))
	clear(value)
	clear(label)
	if got := h.get(o, ck.CKA_LABEL); string(got) != "label" {
		h.Errorf("the label became %q with the caller's slice", got)
	}
	h.begin(p11.OpEncrypt, mech(ck.CKM_AES_CBC, iv), o)
	clear(iv)
	got := make([]byte, 32)
	in := sequence(16)
	n := must(h, &p11.Update{Session: h.s, Op: p11.OpEncrypt, In: in, Out: p11.Output{Buf: got}}).N
	clear(in)
	n += must(h, &p11.Update{Session: h.s, Op: p11.OpEncrypt, In: sequence(32)[16:], Out: p11.Output{Buf: got[n:]}}).N
	must(h, &p11.Finish{Session: h.s, Op: p11.OpEncrypt, Out: p11.Output{Buf: got[n:]}})
	if !bytes.Equal(got, want) {
		h.Error("changing slices after the request changed the operation")
	}
	must(h, &p11.FindObjectsInit{Session: h.s, Template: []ck.Attribute{text(ck.CKA_LABEL, "label")}})
	must(h, &p11.FindObjectsFinal{Session: h.s})
	// Nor does what a reply held.
	clear(h.get(o, ck.CKA_VALUE))
	if again := h.get(o, ck.CKA_VALUE); !bytes.Equal(again, sequence(32)) {
		h.Error("changing a reply changed the object")
	}
}

func testRandom(h *host) {
	h.token()
	seen := map[string]bool{}
	for i := range 10 {
		buf := make([]byte, 16+i)
		must(h, &p11.GenerateRandom{Session: h.s, Buf: buf})
		if seen[string(buf[:16])] || bytes.Equal(buf, make([]byte, len(buf))) {
			h.Errorf("random bytes %x", buf)
		}
		seen[string(buf[:16])] = true
	}
	must(h, &p11.GenerateRandom{Session: h.s})
	must(h, &p11.SeedRandom{Session: h.s, Seed: fmt.Append(nil, "seed")})
	ro := h.open(0, false)
	must(h, &p11.GenerateRandom{Session: ro, Buf: make([]byte, 8)})
}
