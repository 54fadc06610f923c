package hsm

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"fmt"
	"testing"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/cryptoki/p11"
	"github.com/perilune/perilune/engine"
)

// bench is an HSM with a session of the Crypto Officer.
type bench struct {
	t testing.TB
	h *HSM
	s ck.SessionHandle
}

func newBench(t *testing.T) *bench {
	t.Helper()
	h := newTestHSM(t)
	b := &bench{t: t, h: h, s: open(t, h, 0, true)}
	login(t, h, b.s)
	return b
}

// on is the same bench with another session.
func (b *bench) on(s ck.SessionHandle) *bench { return &bench{b.t, b.h, s} }

func (b *bench) open() *bench {
	b.t.Helper()
	r, err := p11.Call(context.Background(), b.h, &p11.OpenSession{Flags: ck.CKF_SERIAL_SESSION | ck.CKF_RW_SESSION})
	if err != nil {
		b.t.Fatal(err)
	}
	return b.on(r.Session)
}

// ok is a call that must succeed, fails one that must end with rv.
func ok[R any](b *bench, req p11.Typed[R]) R {
	b.t.Helper()
	r, err := p11.Call(context.Background(), b.h, req)
	if err != nil {
		b.t.Fatalf("%v: %v", req.Kind(), err)
	}
	return r
}

func fails[R any](b *bench, rv ck.RV, req p11.Typed[R]) R {
	b.t.Helper()
	r, err := p11.Call(context.Background(), b.h, req)
	if ck.RVOf(err) != rv {
		b.t.Fatalf("%v: got %v (%v), want %v", req.Kind(), ck.RVOf(err), err, rv)
	}
	return r
}

func mech(t ck.MechanismType, param ...any) *ck.Mechanism {
	m := &ck.Mechanism{Type: t}
	if len(param) > 0 {
		m.Param = param[0]
	}
	return m
}

func yes(types ...ck.AttributeType) (list []ck.Attribute) {
	for _, t := range types {
		list = append(list, ck.NewBool(t, true))
	}
	return list
}

func with(lists ...[]ck.Attribute) (all []ck.Attribute) {
	for _, l := range lists {
		all = append(all, l...)
	}
	return all
}

// secret creates a secret session key, readable unless attrs say otherwise.
func (b *bench) secret(kt ck.KeyType, value []byte, attrs ...ck.Attribute) ck.ObjectHandle {
	b.t.Helper()
	template := append([]ck.Attribute{
		ck.NewULong(ck.CKA_CLASS, ck.CKO_SECRET_KEY), ck.NewULong(ck.CKA_KEY_TYPE, kt), ck.NewBytes(ck.CKA_VALUE, value),
	}, attrs...)
	for _, a := range extractable {
		if ck.Find(attrs, a.Type) == nil {
			template = append(template, a)
		}
	}
	return ok(b, &p11.CreateObject{Session: b.s, Template: template}).Object
}

var allUses = yes(ck.CKA_ENCRYPT, ck.CKA_DECRYPT, ck.CKA_SIGN, ck.CKA_VERIFY, ck.CKA_WRAP, ck.CKA_UNWRAP, ck.CKA_DERIVE)

func (b *bench) aes(attrs ...ck.Attribute) ck.ObjectHandle {
	b.t.Helper()
	return b.secret(ck.CKK_AES, testAESKey, with(allUses, attrs)...)
}

func (b *bench) hmac(attrs ...ck.Attribute) ck.ObjectHandle {
	b.t.Helper()
	return b.secret(ck.CKK_GENERIC_SECRET, testHMACKey, with(yes(ck.CKA_SIGN, ck.CKA_VERIFY, ck.CKA_DERIVE), attrs)...)
}

// ecPair generates a key pair on P-256.
func (b *bench) ecPair(private ...ck.Attribute) p11.KeyPair {
	b.t.Helper()
	return ok(b, &p11.GenerateKeyPair{
		Session: b.s, Mechanism: mech(ck.CKM_EC_KEY_PAIR_GEN),
		Public:  with([]ck.Attribute{ck.NewBytes(ck.CKA_EC_PARAMS, p256)}, yes(ck.CKA_VERIFY)),
		Private: with(yes(ck.CKA_SIGN, ck.CKA_DERIVE), private),
	})
}

// rsaPair generates an RSA key pair of 2048 bits for everything.
func (b *bench) rsaPair(private ...ck.Attribute) p11.KeyPair {
	b.t.Helper()
	return ok(b, &p11.GenerateKeyPair{
		Session: b.s, Mechanism: mech(ck.CKM_RSA_PKCS_KEY_PAIR_GEN),
		Public:  with([]ck.Attribute{ck.NewULong(ck.CKA_MODULUS_BITS, uint64(2048))}, yes(ck.CKA_ENCRYPT, ck.CKA_VERIFY, ck.CKA_VERIFY_RECOVER, ck.CKA_WRAP)),
		Private: with(yes(ck.CKA_DECRYPT, ck.CKA_SIGN, ck.CKA_SIGN_RECOVER, ck.CKA_UNWRAP), private),
	})
}

var (
	testAESKey  = []byte("an AES key: 16 b")
	testHMACKey = []byte("an HMAC key")
	testIV      = []byte("initialization..")
	p256        = []byte{6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7}
)

func (b *bench) begin(op p11.Operation, m *ck.Mechanism, key ck.ObjectHandle) {
	b.t.Helper()
	ok(b, &p11.Begin{Session: b.s, Op: op, Mechanism: m, Key: key})
}

// whole runs an operation in one part.
func (b *bench) whole(op p11.Operation, m *ck.Mechanism, key ck.ObjectHandle, in []byte) []byte {
	b.t.Helper()
	b.begin(op, m, key)
	return b.finish(op, in)
}

func (b *bench) finish(op p11.Operation, in []byte) []byte {
	b.t.Helper()
	buf := make([]byte, len(in)+20000) // a signature of SLH-DSA
	q := &p11.Finish{Session: b.s, Op: op, Single: true, In: in, Out: p11.Output{Buf: buf}}
	if op == p11.OpVerifyRecover {
		q.In, q.Signature = nil, in
	}
	return buf[:ok(b, q).N]
}

func (b *bench) update(op p11.Operation, in []byte) []byte {
	b.t.Helper()
	buf := make([]byte, len(in)+32)
	return buf[:ok(b, &p11.Update{Session: b.s, Op: op, In: in, Out: p11.Output{Buf: buf}}).N]
}

func (b *bench) final(op p11.Operation) []byte {
	b.t.Helper()
	buf := make([]byte, 600)
	return buf[:ok(b, &p11.Finish{Session: b.s, Op: op, Out: p11.Output{Buf: buf}}).N]
}

func (b *bench) verify(m *ck.Mechanism, key ck.ObjectHandle, in, sig []byte) ck.RV {
	b.t.Helper()
	b.begin(p11.OpVerify, m, key)
	_, err := p11.Call(context.Background(), b.h, &p11.Finish{Session: b.s, Op: p11.OpVerify, Single: true, In: in, Signature: sig})
	return ck.RVOf(err)
}

// The same by the standard library.

func cbcPadded(plain []byte) []byte {
	n := 16 - len(plain)%16
	out := append(bytes.Clone(plain), bytes.Repeat([]byte{byte(n)}, n)...)
	return cbc(out)
}

func cbc(plain []byte) []byte {
	block, _ := aes.NewCipher(testAESKey)
	out := bytes.Clone(plain)
	cipher.NewCBCEncrypter(block, testIV).CryptBlocks(out, out)
	return out
}

func hmacOf(data []byte) []byte {
	m := hmac.New(sha256.New, testHMACKey)
	m.Write(data)
	return m.Sum(nil)
}

func sameBytes(t testing.TB, what string, got, want []byte) {
	t.Helper()
	if !bytes.Equal(got, want) {
		t.Errorf("%s: got %x, want %x", what, got, want)
	}
}

func TestOnePartAndManyParts(t *testing.T) {
	b := newBench(t)
	key, mac := b.aes(), b.hmac()
	data := []byte("a message of more than two blocks, and not of whole ones")
	sum := sha256.Sum256(data)
	for _, c := range []struct {
		op       p11.Operation
		m        *ck.Mechanism
		key      ck.ObjectHandle
		in, want []byte
	}{
		{p11.OpEncrypt, mech(ck.CKM_AES_CBC_PAD, testIV), key, data, cbcPadded(data)},
		{p11.OpDecrypt, mech(ck.CKM_AES_CBC_PAD, testIV), key, cbcPadded(data), data},
		{p11.OpEncrypt, mech(ck.CKM_AES_CBC, testIV), key, data[:48], cbc(data[:48])},
		{p11.OpDigest, mech(ck.CKM_SHA256), 0, data, sum[:]},
		{p11.OpSign, mech(ck.CKM_SHA256_HMAC), mac, data, hmacOf(data)},
	} {
		what := fmt.Sprintf("%v, operation %v", c.m.Type, c.op)
		sameBytes(t, what, b.whole(c.op, c.m, c.key, c.in), c.want)
		b.begin(c.op, c.m, c.key)
		var got []byte
		for part := range chunks(c.in, 7) {
			got = append(got, b.update(c.op, part)...)
		}
		sameBytes(t, what+" in parts", append(got, b.final(c.op)...), c.want)
		fails(b, ck.CKR_OPERATION_NOT_INITIALIZED, &p11.Finish{Session: b.s, Op: c.op})
	}
	sig := hmacOf(data)
	if rv := b.verify(mech(ck.CKM_SHA256_HMAC), mac, data, sig); rv != ck.CKR_OK {
		t.Errorf("verify: %v", rv)
	}
	sig[3] ^= 1
	if rv := b.verify(mech(ck.CKM_SHA256_HMAC), mac, data, sig); rv != ck.CKR_SIGNATURE_INVALID {
		t.Errorf("verify of a wrong code: %v", rv)
	}
	if rv := b.verify(mech(ck.CKM_SHA256_HMAC), mac, data, sig[:9]); rv != ck.CKR_SIGNATURE_LEN_RANGE {
		t.Errorf("verify of a short code: %v", rv)
	}
	fails(b, ck.CKR_OPERATION_NOT_INITIALIZED, &p11.Finish{Session: b.s, Op: p11.OpVerify, Signature: sig})
}

func chunks(b []byte, n int) func(func([]byte) bool) {
	return func(yield func([]byte) bool) {
		for len(b) > n && yield(b[:n]) {
			b = b[n:]
		}
		yield(b)
	}
}

func TestEmptyMessage(t *testing.T) {
	b := newBench(t)
	mac := b.hmac()
	sum := sha256.Sum256(nil)
	b.begin(p11.OpDigest, mech(ck.CKM_SHA256), 0)
	sameBytes(t, "C_DigestFinal at once", b.final(p11.OpDigest), sum[:])
	sameBytes(t, "C_Digest of nothing", b.whole(p11.OpDigest, mech(ck.CKM_SHA256), 0, nil), sum[:])
	b.begin(p11.OpSign, mech(ck.CKM_SHA256_HMAC), mac)
	sameBytes(t, "C_SignFinal at once", b.final(p11.OpSign), hmacOf(nil))
}

func TestOutputConvention(t *testing.T) {
	b := newBench(t)
	key := b.aes()
	data := []byte("twenty bytes of data")
	want := cbcPadded(data)
	b.begin(p11.OpEncrypt, mech(ck.CKM_AES_CBC_PAD, testIV), key)
	finish := func(out p11.Output) *p11.Finish {
		return &p11.Finish{Session: b.s, Op: p11.OpEncrypt, Single: true, In: data, Out: out}
	}
	for range 2 {
		if n := ok(b, finish(p11.Output{Query: true})).N; n != 32 {
			t.Errorf("query: %d", n)
		}
		buf := bytes.Repeat([]byte{0xaa}, 31)
		if n := fails(b, ck.CKR_BUFFER_TOO_SMALL, finish(p11.Output{Buf: buf})).N; n != 32 {
			t.Errorf("too small: %d", n)
		}
		sameBytes(t, "buffer after CKR_BUFFER_TOO_SMALL", buf, bytes.Repeat([]byte{0xaa}, 31))
	}
	buf := bytes.Repeat([]byte{0xaa}, 40)
	if n := ok(b, finish(p11.Output{Buf: buf})).N; n != 32 {
		t.Errorf("length %d", n)
	}
	sameBytes(t, "ciphertext", buf[:32], want)
	sameBytes(t, "rest of the buffer", buf[32:], bytes.Repeat([]byte{0xaa}, 8))
	fails(b, ck.CKR_OPERATION_NOT_INITIALIZED, finish(p11.Output{Buf: buf}))

	// In place, the buffer being longer than the text.
	copy(buf, data)
	b.begin(p11.OpEncrypt, mech(ck.CKM_AES_CBC_PAD, testIV), key)
	ok(b, &p11.Finish{Session: b.s, Op: p11.OpEncrypt, Single: true, In: buf[:20], Out: p11.Output{Buf: buf}})
	sameBytes(t, "in place", buf[:32], want)
}

// The length of a padded decryption is known only afterwards.
func TestInexactLength(t *testing.T) {
	b := newBench(t)
	key := b.aes()
	data := []byte("twenty bytes of data")
	ct := cbcPadded(data)
	dec := func(in []byte, out p11.Output) *p11.Finish {
		return &p11.Finish{Session: b.s, Op: p11.OpDecrypt, Single: true, In: in, Out: out}
	}
	start := func() { b.t.Helper(); b.begin(p11.OpDecrypt, mech(ck.CKM_AES_CBC_PAD, testIV), key) }

	start()
	if n := ok(b, dec(ct, p11.Output{Query: true})).N; n < 20 || n > 32 {
		t.Errorf("query: %d", n)
	}
	buf := make([]byte, 19)
	for range 2 {
		if n := fails(b, ck.CKR_BUFFER_TOO_SMALL, dec(ct, p11.Output{Buf: buf})).N; n != 20 {
			t.Errorf("needed: %d", n)
		}
		if n := ok(b, dec(ct, p11.Output{Query: true})).N; n != 20 {
			t.Errorf("query with the result there: %d", n)
		}
	}
	sameBytes(t, "buffer after CKR_BUFFER_TOO_SMALL", buf, make([]byte, 19))
	kept := b.session().ops[p11.OpDecrypt].kept
	buf = make([]byte, 20)
	ok(b, dec(ct, p11.Output{Buf: buf}))
	sameBytes(t, "plaintext", buf, data)
	sameBytes(t, "kept result", kept, make([]byte, 20))

	// A buffer just long enough is enough.
	start()
	buf = make([]byte, 20)
	ok(b, dec(ct, p11.Output{Buf: buf}))
	sameBytes(t, "plaintext", buf, data)

	// Other input does not get the result of the first.
	start()
	fails(b, ck.CKR_BUFFER_TOO_SMALL, dec(ct, p11.Output{Buf: buf[:3]}))
	other := bytes.Clone(ct)
	other[0]++
	fails(b, ck.CKR_OPERATION_ACTIVE, dec(other, p11.Output{Buf: buf}))
	fails(b, ck.CKR_OPERATION_NOT_INITIALIZED, dec(ct, p11.Output{Buf: buf}))

	// Errors come with any buffer, and end the operation.
	for _, n := range []int{0, 40} {
		start()
		fails(b, ck.CKR_ENCRYPTED_DATA_LEN_RANGE, dec(ct[:30], p11.Output{Buf: make([]byte, n)}))
		fails(b, ck.CKR_OPERATION_NOT_INITIALIZED, dec(ct, p11.Output{Buf: buf}))
	}

	// The same in parts.
	start()
	head := b.update(p11.OpDecrypt, ct)
	sameBytes(t, "first part", head, data[:16])
	final := func(n int) *p11.Finish {
		return &p11.Finish{Session: b.s, Op: p11.OpDecrypt, Out: p11.Output{Buf: make([]byte, n)}}
	}
	if n := fails(b, ck.CKR_BUFFER_TOO_SMALL, final(3)).N; n != 4 {
		t.Errorf("rest: %d", n)
	}
	q := final(4)
	ok(b, q)
	sameBytes(t, "rest", q.Out.Buf, data[16:])
	start()
	b.update(p11.OpDecrypt, ct)
	fails(b, ck.CKR_BUFFER_TOO_SMALL, final(3))
	fails(b, ck.CKR_OPERATION_ACTIVE, &p11.Update{Session: b.s, Op: p11.OpDecrypt, In: ct, Out: p11.Output{Buf: make([]byte, 64)}})
	fails(b, ck.CKR_OPERATION_NOT_INITIALIZED, final(4))
}

func (b *bench) session() *session { return b.h.sessions.get(b.s) }

// Single-part and multi-part calls do not mix: Google's pkcs11test checks this.
func TestModes(t *testing.T) {
	b := newBench(t)
	big := p11.Output{Buf: make([]byte, 64)}
	begin := func() { b.begin(p11.OpDigest, mech(ck.CKM_SHA256), 0) }
	digest := func(out p11.Output) *p11.Finish {
		return &p11.Finish{Session: b.s, Op: p11.OpDigest, Single: true, In: []byte("abc"), Out: out}
	}
	final := &p11.Finish{Session: b.s, Op: p11.OpDigest, Out: big}
	update := &p11.Update{Session: b.s, Op: p11.OpDigest, In: []byte("abc")}

	begin()
	ok(b, update)
	fails(b, ck.CKR_OPERATION_ACTIVE, digest(big))
	ok(b, update)
	ok(b, final)
	sum := sha256.Sum256([]byte("abcabc"))
	sameBytes(t, "digest", big.Buf[:32], sum[:])

	begin()
	ok(b, digest(p11.Output{Query: true}))
	fails(b, ck.CKR_OPERATION_ACTIVE, final)
	fails(b, ck.CKR_OPERATION_NOT_INITIALIZED, digest(big))

	begin()
	fails(b, ck.CKR_BUFFER_TOO_SMALL, digest(p11.Output{Buf: make([]byte, 2)}))
	fails(b, ck.CKR_OPERATION_ACTIVE, update)
	fails(b, ck.CKR_OPERATION_NOT_INITIALIZED, update)

	begin()
	fails(b, ck.CKR_BUFFER_TOO_SMALL, &p11.Finish{Session: b.s, Op: p11.OpDigest})
	ok(b, update)
	ok(b, final)

	for _, op := range []p11.Operation{p11.OpSignRecover, p11.OpVerifyRecover, p11.OpMessageEncrypt, 99} {
		fails(b, ck.CKR_ARGUMENTS_BAD, &p11.Update{Session: b.s, Op: op})
	}
	fails(b, ck.CKR_ARGUMENTS_BAD, &p11.Begin{Session: b.s, Op: 99, Mechanism: mech(ck.CKM_SHA256)})
	fails(b, ck.CKR_ARGUMENTS_BAD, &p11.Finish{Session: b.s, Op: 99})
}

func TestBeginRefusals(t *testing.T) {
	b := newBench(t)
	key := b.aes()
	noUses := b.secret(ck.CKK_AES, testAESKey, ck.NewBool(ck.CKA_ENCRYPT, false), ck.NewBool(ck.CKA_DECRYPT, false))
	gcmOnly := b.aes(ck.NewBytes(ck.CKA_ALLOWED_MECHANISMS, ck.PutMechanismTypes(ck.CKM_AES_GCM, ck.CKM_AES_ECB)))
	data := ok(b, &p11.CreateObject{Session: b.s, Template: []ck.Attribute{ck.NewULong(ck.CKA_CLASS, ck.CKO_DATA)}}).Object
	ec := b.ecPair()
	cbcMech, iv15 := mech(ck.CKM_AES_CBC, testIV), mech(ck.CKM_AES_CBC, testIV[:15])
	ecdsa := mech(ck.CKM_ECDSA)
	for _, c := range []struct {
		name string
		op   p11.Operation
		m    *ck.Mechanism
		key  ck.ObjectHandle
		want ck.RV
	}{
		{"unknown mechanism", p11.OpEncrypt, mech(0x7fffffff), key, ck.CKR_MECHANISM_INVALID},
		{"mechanism of another function", p11.OpSign, cbcMech, key, ck.CKR_MECHANISM_INVALID},
		{"digest as cipher", p11.OpEncrypt, mech(ck.CKM_SHA256), key, ck.CKR_MECHANISM_INVALID},
		{"message signing", p11.OpMessageSign, mech(ck.CKM_AES_GMAC, make([]byte, 12)), key, ck.CKR_MECHANISM_INVALID},
		{"no key", p11.OpEncrypt, cbcMech, 0, ck.CKR_KEY_HANDLE_INVALID},
		{"no such key", p11.OpEncrypt, cbcMech, 987654, ck.CKR_KEY_HANDLE_INVALID},
		{"data object", p11.OpEncrypt, cbcMech, data, ck.CKR_KEY_HANDLE_INVALID},
		{"key type", p11.OpEncrypt, mech(ck.CKM_RSA_PKCS), key, ck.CKR_KEY_TYPE_INCONSISTENT},
		{"key type before usage", p11.OpEncrypt, mech(ck.CKM_RSA_PKCS), noUses, ck.CKR_KEY_TYPE_INCONSISTENT},
		{"usage", p11.OpEncrypt, cbcMech, noUses, ck.CKR_KEY_FUNCTION_NOT_PERMITTED},
		{"public key signs", p11.OpSign, ecdsa, ec.Public, ck.CKR_KEY_FUNCTION_NOT_PERMITTED},
		{"private key verifies", p11.OpVerify, ecdsa, ec.Private, ck.CKR_KEY_FUNCTION_NOT_PERMITTED},
		{"allowed mechanisms", p11.OpEncrypt, cbcMech, gcmOnly, ck.CKR_MECHANISM_INVALID},
		{"IV too short", p11.OpEncrypt, iv15, key, ck.CKR_MECHANISM_PARAM_INVALID},
		{"no IV", p11.OpEncrypt, mech(ck.CKM_AES_CBC), key, ck.CKR_MECHANISM_PARAM_INVALID},
		{"parameter of another mechanism", p11.OpEncrypt, mech(ck.CKM_AES_CBC, &engine.GCMParams{}), key, ck.CKR_MECHANISM_PARAM_INVALID},
		{"nil parameter structure", p11.OpEncrypt, mech(ck.CKM_AES_GCM, (*engine.GCMParams)(nil)), key, ck.CKR_MECHANISM_PARAM_INVALID},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := &bench{t, b.h, b.s}
			fails(b, c.want, &p11.Begin{Session: b.s, Op: c.op, Mechanism: c.m, Key: c.key})
			fails(b, ck.CKR_OPERATION_NOT_INITIALIZED, &p11.Finish{Session: b.s, Op: c.op})
		})
	}
	b.begin(p11.OpEncrypt, mech(ck.CKM_AES_ECB), gcmOnly)
	fails(b, ck.CKR_OPERATION_ACTIVE, &p11.Begin{Session: b.s, Op: p11.OpEncrypt, Mechanism: cbcMech, Key: key})
	b.begin(p11.OpDecrypt, cbcMech, key) // another kind of operation may begin
	fails(b, ck.CKR_OPERATION_ACTIVE, &p11.Begin{Session: b.s, Op: p11.OpDecrypt, Mechanism: cbcMech, Key: key})
}

func TestKeySizes(t *testing.T) {
	b := newBench(t)
	row := *engine.Find(ck.CKM_AES_CBC)
	row.Min, row.Max = 24, 32
	o, err := b.h.keyObject(t.Context(), b.session(), b.aes())
	if err != nil {
		t.Fatal(err)
	}
	if err := b.h.checkUse(b.session().part, &row, use(p11.OpEncrypt), o, nil); ck.RVOf(err) != ck.CKR_KEY_SIZE_RANGE {
		t.Errorf("key shorter than Min: %v", err)
	}
	row.Min, row.Max = 1, 15
	if err := b.h.checkUse(b.session().part, &row, use(p11.OpEncrypt), o, nil); ck.RVOf(err) != ck.CKR_KEY_SIZE_RANGE {
		t.Errorf("key longer than Max: %v", err)
	}
	row.Min, row.Max = 16, 16
	if err := b.h.checkUse(b.session().part, &row, use(p11.OpEncrypt), o, nil); err != nil {
		t.Error(err)
	}
}

func TestCancel(t *testing.T) {
	b := newBench(t)
	key := b.aes()
	m := mech(ck.CKM_AES_CBC_PAD, testIV)
	none := func(op p11.Operation) {
		t.Helper()
		fails(b, ck.CKR_OPERATION_NOT_INITIALIZED, &p11.Finish{Session: b.s, Op: op})
	}
	ok(b, &p11.Begin{Session: b.s, Op: p11.OpEncrypt}) // nothing to cancel
	b.begin(p11.OpEncrypt, m, key)
	ok(b, &p11.Begin{Session: b.s, Op: p11.OpEncrypt})
	none(p11.OpEncrypt)

	b.begin(p11.OpEncrypt, m, key)
	b.begin(p11.OpDecrypt, m, key)
	b.begin(p11.OpDigest, mech(ck.CKM_SHA256), 0)
	ok(b, &p11.FindObjectsInit{Session: b.s})
	ok(b, &p11.SessionCancel{Session: b.s})
	ok(b, &p11.SessionCancel{Session: b.s, Flags: ck.CKF_ENCRYPT | ck.CKF_SIGN | ck.CKF_FIND_OBJECTS | ck.CKF_WRAP})
	none(p11.OpEncrypt)
	fails(b, ck.CKR_OPERATION_NOT_INITIALIZED, &p11.FindObjects{Session: b.s, Max: 1})
	b.final(p11.OpDigest)
	ok(b, &p11.SessionCancel{Session: b.s, Flags: ^ck.Flags(0)})
	none(p11.OpDecrypt)

	b.begin(p11.OpEncrypt, m, key)
	ok(b, &p11.Logout{Session: b.s})
	none(p11.OpEncrypt)
}

// Sessions do not see each other's operations; an operation outlives its key.
func TestOperationsAreTheSessionsOwn(t *testing.T) {
	b := newBench(t)
	other := b.open()
	key := b.aes()
	m := mech(ck.CKM_AES_CBC_PAD, testIV)
	b.begin(p11.OpEncrypt, m, key)
	fails(other, ck.CKR_OPERATION_NOT_INITIALIZED, &p11.Finish{Session: other.s, Op: p11.OpEncrypt})
	other.begin(p11.OpEncrypt, m, key)
	ok(b, &p11.DestroyObject{Session: b.s, Object: key})
	sameBytes(t, "first", b.finish(p11.OpEncrypt, []byte("one")), cbcPadded([]byte("one")))
	sameBytes(t, "second", other.finish(p11.OpEncrypt, []byte("two")), cbcPadded([]byte("two")))
	fails(b, ck.CKR_KEY_HANDLE_INVALID, &p11.Begin{Session: b.s, Op: p11.OpEncrypt, Mechanism: m, Key: key})
}

func TestDigestKey(t *testing.T) {
	b := newBench(t)
	mac := b.hmac()
	hidden := b.secret(ck.CKK_GENERIC_SECRET, []byte("hidden"), ck.NewBool(ck.CKA_TOKEN, false))
	fails(b, ck.CKR_OPERATION_NOT_INITIALIZED, &p11.DigestKey{Session: b.s, Key: mac})
	ec := b.ecPair()
	b.begin(p11.OpDigest, mech(ck.CKM_SHA256), 0)
	b.update(p11.OpDigest, []byte("before "))
	fails(b, ck.CKR_KEY_HANDLE_INVALID, &p11.DigestKey{Session: b.s, Key: 4711})
	fails(b, ck.CKR_KEY_INDIGESTIBLE, &p11.DigestKey{Session: b.s, Key: ec.Private})
	fails(b, ck.CKR_KEY_INDIGESTIBLE, &p11.DigestKey{Session: b.s, Key: ec.Public})
	ok(b, &p11.DigestKey{Session: b.s, Key: mac})
	ok(b, &p11.DigestKey{Session: b.s, Key: hidden})
	want := sha256.Sum256([]byte("before " + string(testHMACKey) + "hidden"))
	sameBytes(t, "digest", b.final(p11.OpDigest), want[:])

	b.begin(p11.OpDigest, mech(ck.CKM_SHA256), 0)
	ok(b, &p11.DigestKey{Session: b.s, Key: mac})
	fails(b, ck.CKR_OPERATION_ACTIVE, &p11.Finish{Session: b.s, Op: p11.OpDigest, Single: true, Out: p11.Output{Buf: make([]byte, 32)}})
}

func TestRecovery(t *testing.T) {
	b := newBench(t)
	pair := b.rsaPair()
	m := mech(ck.CKM_RSA_PKCS)
	data := []byte("to be recovered")
	sig := b.whole(p11.OpSignRecover, m, pair.Private, data)
	sameBytes(t, "recovered", b.whole(p11.OpVerifyRecover, m, pair.Public, sig), data)

	recover := func(sig []byte, n int) *p11.Finish {
		return &p11.Finish{Session: b.s, Op: p11.OpVerifyRecover, Single: true, Signature: sig, Out: p11.Output{Buf: make([]byte, n)}}
	}
	// An invalid signature is never told to need a larger buffer.
	for _, m := range []ck.MechanismType{ck.CKM_RSA_PKCS, ck.CKM_RSA_X_509} {
		b.begin(p11.OpVerifyRecover, mech(m), pair.Public)
		fails(b, ck.CKR_SIGNATURE_LEN_RANGE, recover(sig[1:], 1))
	}
	b.begin(p11.OpVerifyRecover, m, pair.Public)
	bad := bytes.Clone(sig)
	bad[9] ^= 1
	fails(b, ck.CKR_SIGNATURE_INVALID, recover(bad, 1))
	b.begin(p11.OpVerifyRecover, m, pair.Public)
	if n := fails(b, ck.CKR_BUFFER_TOO_SMALL, recover(sig, 1)).N; n != len(data) {
		t.Errorf("needed %d", n)
	}
	q := recover(sig, len(data))
	ok(b, q)
	sameBytes(t, "recovered at the second try", q.Out.Buf, data)

	// A one-part mechanism has no parts.
	b.begin(p11.OpSign, m, pair.Private)
	fails(b, ck.CKR_FUNCTION_NOT_SUPPORTED, &p11.Update{Session: b.s, Op: p11.OpSign, In: data})
	fails(b, ck.CKR_OPERATION_NOT_INITIALIZED, &p11.Update{Session: b.s, Op: p11.OpSign, In: data})
	b.begin(p11.OpSign, m, pair.Private)
	if n := ok(b, &p11.Finish{Session: b.s, Op: p11.OpSign, Single: true, In: data, Out: p11.Output{Query: true}}).N; n != 256 {
		t.Errorf("length of a signature: %d", n)
	}
	sig = b.finish(p11.OpSign, data)
	if rv := b.verify(m, pair.Public, data, sig); rv != ck.CKR_OK {
		t.Error(rv)
	}
}

func TestDualUpdate(t *testing.T) {
	b := newBench(t)
	key, mac := b.aes(), b.hmac()
	data := bytes.Repeat([]byte("0123456789abcdef"), 3)
	ct := cbc(data)
	sum := sha256.Sum256(data)
	cbcMech := mech(ck.CKM_AES_CBC, testIV)
	for _, c := range []struct {
		side, cipher p11.Operation
		in, out      []byte
	}{
		{p11.OpDigest, p11.OpEncrypt, data, ct},
		{p11.OpSign, p11.OpEncrypt, data, ct},
		{p11.OpDigest, p11.OpDecrypt, ct, data},
		{p11.OpVerify, p11.OpDecrypt, ct, data},
	} {
		for _, inPlace := range []bool{false, true} {
			dual := func(in []byte, out p11.Output) *p11.DualUpdate {
				return &p11.DualUpdate{Session: b.s, First: c.side, Second: c.cipher, In: in, Out: out}
			}
			big := p11.Output{Buf: make([]byte, 48)}
			fails(b, ck.CKR_OPERATION_NOT_INITIALIZED, dual(c.in, big))
			b.begin(c.cipher, cbcMech, key)
			fails(b, ck.CKR_OPERATION_NOT_INITIALIZED, dual(c.in, big))
			switch c.side {
			case p11.OpDigest:
				b.begin(c.side, mech(ck.CKM_SHA256), 0)
			default:
				b.begin(c.side, mech(ck.CKM_SHA256_HMAC), mac)
			}
			if n := ok(b, dual(c.in, p11.Output{Query: true})).N; n != 48 {
				t.Errorf("query: %d", n)
			}
			if n := fails(b, ck.CKR_BUFFER_TOO_SMALL, dual(c.in, p11.Output{Buf: big.Buf[:47]})).N; n != 48 {
				t.Errorf("needed: %d", n)
			}
			in := c.in
			if inPlace {
				copy(big.Buf, in)
				in = big.Buf
			}
			ok(b, dual(in, big))
			sameBytes(t, "output", big.Buf, c.out)
			b.final(c.cipher)
			switch c.side {
			case p11.OpDigest:
				sameBytes(t, "digest", b.final(c.side), sum[:])
			case p11.OpSign:
				sameBytes(t, "signature", b.final(c.side), hmacOf(data))
			default:
				ok(b, &p11.Finish{Session: b.s, Op: p11.OpVerify, Signature: hmacOf(data)})
			}
		}
	}
	for _, pair := range [][2]p11.Operation{
		{p11.OpDigest, p11.OpSign}, {p11.OpEncrypt, p11.OpDecrypt}, {p11.OpSign, p11.OpDecrypt},
		{p11.OpVerify, p11.OpEncrypt}, {99, p11.OpEncrypt}, {p11.OpDigest, 99},
	} {
		fails(b, ck.CKR_ARGUMENTS_BAD, &p11.DualUpdate{Session: b.s, First: pair[0], Second: pair[1]})
	}
}

// An error of one half leaves the other as it was.
func TestDualUpdateError(t *testing.T) {
	b := newBench(t)
	b.begin(p11.OpDigest, mech(ck.CKM_SHA256), 0)
	b.update(p11.OpDigest, []byte("abc"))
	b.begin(p11.OpEncrypt, mech(ck.CKM_AES_CTR, &engine.CTRParams{CounterBits: 1}), b.aes())
	fails(b, ck.CKR_DATA_LEN_RANGE, &p11.DualUpdate{
		Session: b.s, First: p11.OpDigest, Second: p11.OpEncrypt, In: make([]byte, 64), Out: p11.Output{Buf: make([]byte, 64)},
	})
	fails(b, ck.CKR_OPERATION_NOT_INITIALIZED, &p11.Finish{Session: b.s, Op: p11.OpEncrypt})
	sum := sha256.Sum256([]byte("abc"))
	sameBytes(t, "digest", b.final(p11.OpDigest), sum[:])
}

func TestAlwaysAuthenticate(t *testing.T) {
	b := newBench(t)
	pair := b.ecPair(ck.NewBool(ck.CKA_ALWAYS_AUTHENTICATE, true), ck.NewBool(ck.CKA_PRIVATE, true))
	m := mech(ck.CKM_ECDSA)
	digest := bytes.Repeat([]byte{7}, 32)
	sign := func(out p11.Output) *p11.Finish {
		return &p11.Finish{Session: b.s, Op: p11.OpSign, Single: true, In: digest, Out: out}
	}
	context := func(pin string) *p11.Login {
		return &p11.Login{Session: b.s, User: ck.CKU_CONTEXT_SPECIFIC, PIN: []byte(pin)}
	}
	buf := p11.Output{Buf: make([]byte, 100)}
	signed := func() {
		t.Helper()
		n := ok(b, sign(buf)).N
		if rv := b.verify(m, pair.Public, digest, buf.Buf[:n]); rv != ck.CKR_OK {
			t.Error(rv)
		}
	}
	fails(b, ck.CKR_OPERATION_NOT_INITIALIZED, context(userPIN))
	b.begin(p11.OpSign, m, pair.Private)
	ok(b, context(userPIN))
	signed()

	// Each operation needs its own.
	fails(b, ck.CKR_OPERATION_NOT_INITIALIZED, context(userPIN))
	b.begin(p11.OpSign, m, pair.Private)
	fails(b, ck.CKR_USER_NOT_LOGGED_IN, sign(buf))
	fails(b, ck.CKR_USER_NOT_LOGGED_IN, sign(p11.Output{Query: true}))
	sameBytes(t, "buffer", buf.Buf[70:], make([]byte, 30))

	// A wrong PIN changes nothing, and the right one may follow.
	fails(b, ck.CKR_PIN_INCORRECT, context("wrong pin"))
	fails(b, ck.CKR_USER_NOT_LOGGED_IN, sign(buf))
	ok(b, context(userPIN))
	fails(b, ck.CKR_OPERATION_NOT_INITIALIZED, context(userPIN))
	ok(b, sign(p11.Output{Query: true}))
	fails(b, ck.CKR_BUFFER_TOO_SMALL, sign(p11.Output{Buf: make([]byte, 1)}))
	signed()

	// Who takes the refusal for the end may begin again.
	b.begin(p11.OpSign, m, pair.Private)
	fails(b, ck.CKR_OPERATION_ACTIVE, &p11.Begin{Session: b.s, Op: p11.OpSign, Mechanism: m, Key: pair.Private})
	fails(b, ck.CKR_USER_NOT_LOGGED_IN, sign(buf))
	b.begin(p11.OpSign, m, pair.Private)
	ok(b, context(userPIN))
	signed()

	// Other keys do not need it.
	other := b.ecPair()
	b.begin(p11.OpSign, m, other.Private)
	fails(b, ck.CKR_OPERATION_NOT_INITIALIZED, context(userPIN))
	ok(b, sign(buf))

	// The functions that have no place for a login do not take the key.
	fails(b, ck.CKR_USER_NOT_LOGGED_IN, &p11.DeriveKey{
		Session: b.s, Mechanism: mech(ck.CKM_ECDH1_DERIVE, &engine.ECDH1DeriveParams{}), BaseKey: pair.Private,
	})
}

// Of two operations that wait, the login is for the one begun last.
func TestContextLoginOrder(t *testing.T) {
	b := newBench(t)
	pair := b.rsaPair(ck.NewBool(ck.CKA_ALWAYS_AUTHENTICATE, true), ck.NewBool(ck.CKA_PRIVATE, true))
	m := mech(ck.CKM_RSA_PKCS)
	ct := b.whole(p11.OpEncrypt, m, pair.Public, []byte("hello"))
	b.begin(p11.OpSign, m, pair.Private)
	b.begin(p11.OpDecrypt, m, pair.Private)
	ok(b, &p11.Login{Session: b.s, User: ck.CKU_CONTEXT_SPECIFIC, PIN: []byte(userPIN)})
	sameBytes(t, "decrypted", b.finish(p11.OpDecrypt, ct), []byte("hello"))
	fails(b, ck.CKR_USER_NOT_LOGGED_IN, &p11.Finish{Session: b.s, Op: p11.OpSign, Single: true, In: []byte("x"), Out: p11.Output{Buf: make([]byte, 256)}})
	ok(b, &p11.Login{Session: b.s, User: ck.CKU_CONTEXT_SPECIFIC, PIN: []byte(userPIN)})
	b.finish(p11.OpSign, []byte("x"))
}

func TestPartitionSODigestsOnly(t *testing.T) {
	h := newTestHSM(t)
	b := &bench{t, h, open(t, h, 0, true)}
	public := b.secret(ck.CKK_AES, testAESKey, with(allUses, []ck.Attribute{ck.NewBool(ck.CKA_PRIVATE, false)})...)
	b.begin(p11.OpEncrypt, mech(ck.CKM_AES_ECB), public) // nobody is logged in, the key is public
	ok(b, &p11.Begin{Session: b.s, Op: p11.OpEncrypt})
	must(t, h, &p11.Login{Session: b.s, User: ck.CKU_SO, PIN: []byte(soPIN)})
	fails(b, ck.CKR_USER_NOT_AUTHORIZED, &p11.Begin{Session: b.s, Op: p11.OpEncrypt, Mechanism: mech(ck.CKM_AES_ECB), Key: public})
	sum := sha256.Sum256([]byte("abc"))
	sameBytes(t, "digest", b.whole(p11.OpDigest, mech(ck.CKM_SHA256), 0, []byte("abc")), sum[:])
	buf := make([]byte, 40)
	ok(b, &p11.SeedRandom{Session: b.s, Seed: []byte("seed")})
	ok(b, &p11.GenerateRandom{Session: b.s, Buf: buf})
	if bytes.Equal(buf, make([]byte, 40)) {
		t.Error("no random bytes")
	}
	ok(b, &p11.GenerateRandom{Session: b.s})
}

func TestRenamed(t *testing.T) {
	err := renamed(fmt.Errorf("why: %w", ck.CKR_KEY_SIZE_RANGE), wrappingKeyCodes)
	if ck.RVOf(err) != ck.CKR_WRAPPING_KEY_SIZE_RANGE || errors.Is(err, ck.CKR_KEY_SIZE_RANGE) {
		t.Error(err)
	}
	if renamed(nil, wrappingKeyCodes) != nil {
		t.Error("nil renamed")
	}
}
