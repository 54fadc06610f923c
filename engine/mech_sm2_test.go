package engine

import (
	"bytes"
	"errors"
	"testing"

	"github.com/perilune/perilune/cryptoki/ck"
)

func TestSM2Signatures(t *testing.T) {
	private := sm2TestKey(sm2AnswerValue)
	public := ecPublicHalf(t, private)
	for _, x := range []struct {
		mechanism ck.MechanismType
		p         any
		message   string
	}{
		{ck.CKM_SM2, nil, string(unhex(sm2AnswerDigest))},
		{ck.CKM_SM2_SM3, nil, sm2AnswerMessage},
		{ck.CKM_SM2_SM3, []byte{}, sm2AnswerMessage},
		{ck.CKM_SM2_SM3, []byte("1234567812345678"), sm2AnswerMessage},
	} {
		m := Find(x.mechanism)
		v, err := m.Verify(public, x.p)
		if err != nil {
			t.Fatal(err)
		}
		half := 0
		if x.mechanism == ck.CKM_SM2_SM3 {
			half = len(x.message) / 2
			if err := v.Update([]byte(x.message[:half])); err != nil {
				t.Fatal(err)
			}
		}
		if err := v.Verify([]byte(x.message[half:]), unhex(sm2AnswerSignature)); err != nil {
			t.Errorf("%v: %v", x.mechanism, err)
		}
		op, err := m.Sign(private, x.p)
		first, err := runOp(op, err, []byte(x.message))
		if err != nil {
			t.Fatal(err)
		}
		op, err = m.Sign(private, x.p)
		second, err := runOp(op, err, []byte(x.message))
		if err != nil || bytes.Equal(first, second) {
			t.Errorf("%v: two signatures with one random number: %v", x.mechanism, err)
		}
		for _, sig := range [][]byte{first, second} {
			if v, err = m.Verify(public, x.p); err != nil {
				t.Fatal(err)
			}
			if err := v.Verify([]byte(x.message), sig); err != nil {
				t.Error(err)
			}
		}
	}
}

func TestSM2BadSignatures(t *testing.T) {
	public := ecPublicHalf(t, sm2TestKey(sm2AnswerValue))
	sig, digest := unhex(sm2AnswerSignature), unhex(sm2AnswerDigest)
	order := unhex("fffffffeffffffffffffffffffffffff7203df6b21c6052b53bbf40939d54123")
	zero := make([]byte, 32)
	for name, x := range map[string]struct {
		digest, sig []byte
		want        ck.RV
	}{
		"short":        {digest, sig[:63], ck.CKR_SIGNATURE_LEN_RANGE},
		"empty":        {digest, nil, ck.CKR_SIGNATURE_LEN_RANGE},
		"r = 0":        {digest, append(zero, sig[32:]...), ck.CKR_SIGNATURE_INVALID},
		"s = 0":        {digest, append(sig[:32:32], zero...), ck.CKR_SIGNATURE_INVALID},
		"r = n":        {digest, append(order, sig[32:]...), ck.CKR_SIGNATURE_INVALID},
		"s = n":        {digest, append(sig[:32:32], order...), ck.CKR_SIGNATURE_INVALID},
		"swapped":      {digest, append(sig[32:64:64], sig[:32]...), ck.CKR_SIGNATURE_INVALID},
		"short digest": {digest[:31], sig, ck.CKR_DATA_LEN_RANGE},
	} {
		v, err := Find(ck.CKM_SM2).Verify(public, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := v.Verify(x.digest, x.sig); !errors.Is(err, x.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	v, err := Find(ck.CKM_SM2_SM3).Verify(public, []byte("another identity"))
	if err != nil {
		t.Fatal(err)
	}
	if err := v.Verify([]byte(sm2AnswerMessage), sig); !errors.Is(err, ck.CKR_SIGNATURE_INVALID) {
		t.Errorf("other identity: %v", err)
	}
	if _, err := Find(ck.CKM_SM2_SM3).Verify(public, make([]byte, 1<<13)); !errors.Is(err, ck.CKR_MECHANISM_PARAM_INVALID) {
		t.Errorf("identity of 8 KiB: %v", err)
	}
	if _, err := Find(ck.CKM_SM2_SM3).Sign(public, nil); err == nil {
		t.Error("signed with a public key")
	}
}

func TestSM2BadKeys(t *testing.T) {
	p256 := testCurve("secp256r1").testKey(asymAnswers()["ec-key"])
	bad := map[string]*Key{
		"P-256":    p256,
		"zero":     sm2TestKey("00"),
		"missing":  sm2TestKey(""),
		"n - 1":    sm2TestKey("fffffffeffffffffffffffffffffffff7203df6b21c6052b53bbf40939d54122"),
		"n":        sm2TestKey("fffffffeffffffffffffffffffffffff7203df6b21c6052b53bbf40939d54123"),
		"too long": sm2TestKey("01" + sm2AnswerValue),
	}
	for name, k := range bad {
		for _, m := range []ck.MechanismType{ck.CKM_SM2, ck.CKM_SM2_SM3} {
			if _, err := Find(m).Sign(k, nil); err == nil {
				t.Errorf("%s: accepted", name)
			}
			if _, err := Find(m).Verify(k, nil); err == nil {
				t.Errorf("%s: accepted", name)
			}
		}
		if _, err := sm2Decrypt(k, nil); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	off := ecPublicHalf(t, sm2TestKey(sm2AnswerValue))
	off.Attrs[1].Value[10] ^= 1
	if _, err := sm2Encrypt(off, nil); !errors.Is(err, ck.CKR_KEY_TYPE_INCONSISTENT) {
		t.Errorf("point off the curve: %v", err)
	}
}

func TestSM2Encryption(t *testing.T) {
	private := sm2TestKey(sm2AnswerValue)
	public := ecPublicHalf(t, private)
	for _, form := range []any{nil, uint64(ck.CK_SM2_C1C3C2), uint64(ck.CK_SM2_C1C2C3), uint64(ck.CK_SM2_ASN1)} {
		for _, n := range []int{1, 31, 32, 33, 1000} {
			message := bytes.Repeat([]byte{7}, n)
			op, err := sm2Encrypt(public, form)
			ciphertext, err := runOp(op, err, message)
			if err != nil {
				t.Fatal(form, n, err)
			}
			op, err = sm2Decrypt(private, form)
			got, err := runOp(op, err, ciphertext)
			if err != nil || !bytes.Equal(got, message) {
				t.Errorf("%v, %d bytes: %x %v", form, n, got, err)
			}
			for _, i := range []int{0, 1, 40, 70, len(ciphertext) - 1} {
				damaged := bytes.Clone(ciphertext)
				damaged[i] ^= 1
				op, err = sm2Decrypt(private, form)
				if got, err = runOp(op, err, damaged); !errors.Is(err, ck.CKR_ENCRYPTED_DATA_INVALID) {
					t.Errorf("%v, %d bytes, damaged at %d: %x %v", form, n, i, got, err)
				}
			}
		}
		op, err := sm2Decrypt(private, form)
		if _, err = runOp(op, err, make([]byte, 97)); !errors.Is(err, ck.CKR_ENCRYPTED_DATA_LEN_RANGE) {
			t.Errorf("no message: %v", err)
		}
		op, err = sm2Encrypt(public, form)
		if _, err = runOp(op, err, nil); !errors.Is(err, ck.CKR_DATA_LEN_RANGE) {
			t.Errorf("no message: %v", err)
		}
	}
	for _, p := range []any{uint64(3), []byte{1}} {
		if _, err := sm2Encrypt(public, p); !errors.Is(err, ck.CKR_MECHANISM_PARAM_INVALID) {
			t.Errorf("form %v: %v", p, err)
		}
	}
	// The example of GB/T 32918.5-2017 in the encoding of GM/T 0009, as the
	// tests of OpenSSL have it (test/sm2_internal_test.c).
	op, err := sm2Decrypt(private, uint64(ck.CK_SM2_ASN1))
	got, err := runOp(op, err, unhex("307c022004ebfc718e8d1798620432268e77feb6415e2ede0e073c0f4f640ecd2e149a73022100"+
		"e858f9d81e5430a57b36daab8f950a3c64e6ee6a63094d99283aff767e124df00420"+sm2AnswerC3+"0413"+sm2AnswerC2))
	if err != nil || string(got) != sm2AnswerPlain {
		t.Errorf("%x %v", got, err)
	}
}

// One in 256 ephemeral keys gives zero to encrypt a byte with, and must not be
// used.
func TestSM2EncryptByte(t *testing.T) {
	private := sm2TestKey(sm2AnswerValue)
	for range 1500 {
		op, err := sm2Encrypt(private, nil)
		ciphertext, err := runOp(op, err, []byte{7})
		if err != nil || ciphertext[len(ciphertext)-1] == 7 {
			t.Fatalf("%x %v", ciphertext, err)
		}
		op, err = sm2Decrypt(private, nil)
		if got, err := runOp(op, err, ciphertext); err != nil || !bytes.Equal(got, []byte{7}) {
			t.Fatalf("%x %v", got, err)
		}
	}
}

// The other side of the example of GB/T 32918.5-2017, annex B, and the first of
// the vectors in the tests of github.com/emmansun/gmsm (ecdh/ecdh_test.go).
func TestSM2KeyExchange(t *testing.T) {
	point := func(value string) []byte {
		s, err := sm2Private(sm2TestKey(value))
		if err != nil {
			t.Fatal(err)
		}
		return s.point.Bytes()
	}
	for _, x := range []struct {
		role                uint64
		static, ephemeral   string
		peer, peerEphemeral []byte
		ownID, peerID       string
		key                 string
	}{
		{ck.CK_SM2_RESPONDER, "785129917d45a9ea5437a59356b82338eaadda6ceb199088f14ae10defa229b5",
			"7e07124814b309489125eaed101113164ebf0f3458c5bd88335c1f9d596243d6",
			point(sm2AnswerStaticA), point(sm2AnswerEphemeralA), "", "1234567812345678", sm2AnswerKey},
		{ck.CK_SM2_INITIATOR, sm2AnswerStaticA, sm2AnswerEphemeralA,
			storedPoint(unhex(sm2AnswerPointB)), unhex(sm2AnswerEphemeralPointB), "1234567812345678", "", sm2AnswerKey},
		{ck.CK_SM2_INITIATOR, "e04c3fd77408b56a648ad439f673511a2ae248def3bab26bdfc9cdbd0ae9607e",
			"6fe0bac5b09d3ab10f724638811c34464790520e4604e71e6cb0e5310623b5b1",
			point("7a1136f60d2c5531447e5a3093078c2a505abf74f33aefed927ac0a5b27e7dd7"),
			point("d0233bdbb0b8a7bfe1aab66132ef06fc4efaedd5d5000692bc21185242a31f6f"), "Alice", "Bob",
			"1ad809ebc56ddda532020c352e1e60b121ebeb7b4e632db4dd90a362cf844f8bba85140e30984ddb581199bf5a9dda22"},
	} {
		p := &SM2KeyExchangeParams{
			Role: x.role, OwnID: []byte(x.ownID), PeerID: []byte(x.peerID),
			PeerPublicKey: x.peer, PeerEphemeralKey: x.peerEphemeral,
		}
		key, err := sm2Derive(sm2TestKey(x.static), p, &Derivation{Len: len(x.key) / 2, Keys: []*Key{sm2TestKey(x.ephemeral)}})
		if err != nil || !bytes.Equal(key, unhex(x.key)) {
			t.Errorf("%x %v", key, err)
		}
	}
}

func TestSM2KeyExchangeErrors(t *testing.T) {
	base, ephemeral := sm2TestKey(sm2AnswerStaticA), sm2TestKey(sm2AnswerEphemeralA)
	good := SM2KeyExchangeParams{PeerPublicKey: unhex(sm2AnswerPointB), PeerEphemeralKey: unhex(sm2AnswerEphemeralPointB)}
	for name, x := range map[string]struct {
		change func(p *SM2KeyExchangeParams, d *Derivation)
		want   ck.RV
	}{
		"role":              {func(p *SM2KeyExchangeParams, d *Derivation) { p.Role = 2 }, ck.CKR_MECHANISM_PARAM_INVALID},
		"no length":         {func(p *SM2KeyExchangeParams, d *Derivation) { d.Len = 0 }, ck.CKR_TEMPLATE_INCOMPLETE},
		"length":            {func(p *SM2KeyExchangeParams, d *Derivation) { d.Len = 1 << 40 }, ck.CKR_KEY_SIZE_RANGE},
		"no ephemeral key":  {func(p *SM2KeyExchangeParams, d *Derivation) { d.Keys = []*Key{nil} }, ck.CKR_MECHANISM_PARAM_INVALID},
		"no keys":           {func(p *SM2KeyExchangeParams, d *Derivation) { d.Keys = nil }, ck.CKR_MECHANISM_PARAM_INVALID},
		"secret key":        {func(p *SM2KeyExchangeParams, d *Derivation) { d.Keys = []*Key{aesKey("00")} }, ck.CKR_MECHANISM_PARAM_INVALID},
		"no point":          {func(p *SM2KeyExchangeParams, d *Derivation) { p.PeerPublicKey = nil }, ck.CKR_MECHANISM_PARAM_INVALID},
		"infinity":          {func(p *SM2KeyExchangeParams, d *Derivation) { p.PeerEphemeralKey = []byte{0} }, ck.CKR_MECHANISM_PARAM_INVALID},
		"off the curve":     {func(p *SM2KeyExchangeParams, d *Derivation) { p.PeerPublicKey = bytes.Repeat([]byte{4}, 65) }, ck.CKR_MECHANISM_PARAM_INVALID},
		"identity too long": {func(p *SM2KeyExchangeParams, d *Derivation) { p.PeerID = make([]byte, 8192) }, ck.CKR_MECHANISM_PARAM_INVALID},
	} {
		p, d := good, &Derivation{Len: 16, Keys: []*Key{ephemeral}}
		x.change(&p, d)
		if _, err := sm2Derive(base, &p, d); !errors.Is(err, x.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := sm2Derive(base, nil, &Derivation{Len: 16}); !errors.Is(err, ck.CKR_MECHANISM_PARAM_INVALID) {
		t.Error(err)
	}
}
