package engine

import (
	"bytes"
	"testing"

	"github.com/perilune/perilune/cryptoki/ck"
)

// cipherRows are the mechanisms of the ciphers beside AES and DES.
func cipherRows() (rows []*Mechanism) {
	types := []ck.KeyType{ck.CKK_ARIA, ck.CKK_SEED, ck.CKK_CAMELLIA, ck.CKK_SM4, ck.CKK_CAST128, ck.CKK_BLOWFISH,
		ck.CKK_TWOFISH, ck.CKK_RC2, ck.CKK_RC5, ck.CKK_RC4, ck.CKK_CHACHA20, ck.CKK_POLY1305, ck.CKK_SALSA20}
	for _, m := range Mechanisms() {
		for _, t := range types {
			if len(m.Keys) > 0 && m.Keys[0] == t || m.Makes == t && m.Generate != nil {
				rows = append(rows, m)
			}
		}
	}
	return rows
}

// TestCipherRows checks what is said of each row, and that parameters and keys
// that do not fit are refused.
func TestCipherRows(t *testing.T) {
	for _, m := range cipherRows() {
		if m.FIPS || m.FIPSMin != 0 || m.LegacyMin != 0 {
			t.Errorf("%v is not for FIPS mode", m.Type)
		}
		if m.Vectors == "" {
			t.Errorf("%v names no vectors", m.Type)
		}
		for _, kt := range m.Keys {
			for _, value := range [][]byte{nil, make([]byte, 300)} {
				k := secretKey(kt, value)
				for _, p := range []any{nil, []byte{}, uint64(1 << 40), (*RC5Params)(nil), (*CTRParams)(nil), (*ChaCha20Params)(nil)} {
					if _, err := start(m, k, p); err == nil {
						t.Errorf("%v takes a key of %d bytes", m.Type, len(value))
					}
				}
			}
			if _, err := start(m, secretKey(ck.CKK_DES, make([]byte, 16)), m.Param); err == nil {
				t.Errorf("%v takes a DES key", m.Type)
			}
		}
	}
}

// start begins whatever a row does with a key.
func start(m *Mechanism, k *Key, p any) (any, error) {
	switch {
	case m.Encrypt != nil:
		return m.Encrypt(k, p)
	case m.Sign != nil:
		return m.Sign(k, p)
	}
	return m.Derive(k, p, &Derivation{Type: ck.CKK_GENERIC_SECRET})
}

// TestCipherKeys checks the lengths of keys: generated ones, ones from outside,
// and their check values.
func TestCipherKeys(t *testing.T) {
	for _, c := range []struct {
		gen      ck.MechanismType
		key      ck.KeyType
		min, max int
		size     uint64 // of the shortest
	}{
		{ck.CKM_ARIA_KEY_GEN, ck.CKK_ARIA, 16, 32, 16},
		{ck.CKM_SEED_KEY_GEN, ck.CKK_SEED, 16, 16, 16},
		{ck.CKM_SEED_KEY_GEN_OLD, ck.CKK_SEED, 16, 16, 16},
		{ck.CKM_CAMELLIA_KEY_GEN, ck.CKK_CAMELLIA, 16, 32, 16},
		{ck.CKM_SM4_KEY_GEN, ck.CKK_SM4, 16, 16, 16},
		{ck.CKM_CAST128_KEY_GEN, ck.CKK_CAST128, 5, 16, 5},
		{ck.CKM_BLOWFISH_KEY_GEN, ck.CKK_BLOWFISH, 1, 56, 1},
		{ck.CKM_TWOFISH_KEY_GEN, ck.CKK_TWOFISH, 16, 32, 16},
		{ck.CKM_RC2_KEY_GEN, ck.CKK_RC2, 1, 128, 8},
		{ck.CKM_RC4_KEY_GEN, ck.CKK_RC4, 1, 256, 8},
		{ck.CKM_RC5_KEY_GEN, ck.CKK_RC5, 1, 255, 1},
		{ck.CKM_CHACHA20_KEY_GEN, ck.CKK_CHACHA20, 32, 32, 32},
		{ck.CKM_POLY1305_KEY_GEN, ck.CKK_POLY1305, 32, 32, 32},
		{ck.CKM_SALSA20_KEY_GEN, ck.CKK_SALSA20, 32, 32, 32},
	} {
		m, kt := Find(c.gen), FindKeyType(c.key)
		if m.Makes != c.key {
			t.Errorf("%v makes %v", c.gen, m.Makes)
		}
		for n, ok := range map[int]bool{c.min - 1: false, c.min: true, c.max: true, c.max + 1: false} {
			attrs, err := m.Generate(nil, []ck.Attribute{ck.NewULong(ck.CKA_VALUE_LEN, uint64(n))})
			if ok != (err == nil) {
				t.Errorf("%v, %d bytes: %v", c.gen, n, err)
			}
			if !ok {
				_, err = kt.Complete(secretKey(c.key, make([]byte, n)))
				wantError(t, err, ck.CKR_ATTRIBUTE_VALUE_INVALID)
				continue
			}
			k := &Key{Class: ck.CKO_SECRET_KEY, Type: c.key, Attrs: attrs}
			if _, err := kt.Complete(k); err != nil || len(k.Value()) != n {
				t.Errorf("%v, %d bytes: %v", c.gen, n, err)
			}
			if v, err := kt.CheckValue(k); err != nil || len(v) != 3 {
				t.Errorf("%v, check value: %x, %v", c.gen, v, err)
			}
			if n == c.min && kt.Size(k) != c.size {
				t.Errorf("%v: size %d", c.key, kt.Size(k))
			}
		}
		_, err := m.Generate(nil, nil)
		if c.min == c.max && err != nil {
			t.Errorf("%v without a length: %v", c.gen, err)
		} else if c.min != c.max {
			wantError(t, err, ck.CKR_TEMPLATE_INCOMPLETE)
		}
	}
}

// TestCheckValueBlock uses the answers for a block of zeros of RFC 4269, appendix
// B.2, and RFC 2268, section 5.
func TestCheckValueBlock(t *testing.T) {
	v, err := FindKeyType(ck.CKK_SEED).CheckValue(secretKey(ck.CKK_SEED, unhex("000102030405060708090a0b0c0d0e0f")))
	if err != nil || !bytes.Equal(v, unhex("c11f22")) {
		t.Errorf("SEED: %x, %v", v, err)
	}
	v, err = FindKeyType(ck.CKK_RC2).CheckValue(secretKey(ck.CKK_RC2, unhex("88bca90e90875a7f0f79c384627bafb2")))
	if err != nil || !bytes.Equal(v, unhex("226955")) {
		t.Errorf("RC2: %x, %v", v, err)
	}
}

// TestOldSEED checks that the numbers that devices had do the same.
func TestOldSEED(t *testing.T) {
	for old, a := range map[ck.MechanismType]known{
		ck.CKM_SEED_ECB_OLD:         seedECBAnswers[0],
		ck.CKM_SEED_CBC_OLD:         seedCBCAnswer,
		ck.CKM_SEED_CBC_PAD_OLD:     knownPad(seedECBAnswers[0], "0123456789"),
		ck.CKM_SEED_MAC_OLD:         knownCBCMAC(seedCBCAnswer, nil, 8),
		ck.CKM_SEED_MAC_GENERAL_OLD: knownCBCMAC(seedCBCAnswer, uint64(5), 5),
	} {
		if err := testKnown(old, []known{a}); err != nil {
			t.Error(err)
		}
	}
}

func TestRC2Params(t *testing.T) {
	k := secretKey(ck.CKK_RC2, make([]byte, 16))
	for _, p := range []any{nil, uint64(0), uint64(1025), (*RC2CBCParams)(nil), &RC2CBCParams{}, (*RC2MACGeneralParams)(nil)} {
		for _, m := range []ck.MechanismType{ck.CKM_RC2_ECB, ck.CKM_RC2_CBC, ck.CKM_RC2_CBC_PAD, ck.CKM_RC2_MAC, ck.CKM_RC2_MAC_GENERAL} {
			_, err := start(Find(m), k, p)
			wantError(t, err, ck.CKR_MECHANISM_PARAM_INVALID)
		}
	}
	_, err := Find(ck.CKM_RC2_MAC_GENERAL).Sign(k, &RC2MACGeneralParams{128, 9})
	wantError(t, err, ck.CKR_MECHANISM_PARAM_INVALID)
	_, err = Find(ck.CKM_RC2_ECB).Encrypt(k, &RC2CBCParams{EffectiveBits: 128})
	wantError(t, err, ck.CKR_MECHANISM_PARAM_INVALID)
}

func TestRC5Params(t *testing.T) {
	k := secretKey(ck.CKK_RC5, make([]byte, 16))
	for _, p := range []any{nil, &RC5Params{3, 12}, &RC5Params{1, 12}, &RC5Params{4, 256}, (*RC5CBCParams)(nil),
		&RC5CBCParams{16, 1, make([]byte, 32)}, &RC5MACGeneralParams{4, 12, 9}} {
		for _, m := range []ck.MechanismType{ck.CKM_RC5_ECB, ck.CKM_RC5_CBC, ck.CKM_RC5_CBC_PAD, ck.CKM_RC5_MAC, ck.CKM_RC5_MAC_GENERAL} {
			_, err := start(Find(m), k, p)
			if m == ck.CKM_RC5_MAC && err == nil {
				continue // only words and rounds count there
			}
			wantError(t, err, ck.CKR_MECHANISM_PARAM_INVALID)
		}
	}
	_, err := Find(ck.CKM_RC5_CBC).Encrypt(k, &RC5CBCParams{4, 12, make([]byte, 16)})
	wantError(t, err, ck.CKR_MECHANISM_PARAM_INVALID)

	// RFC 2040, section 9: two more with padding, the second of three blocks.
	for _, a := range []known{
		{"0102030405", &RC5CBCParams{4, 8, make([]byte, 8)}, "ffffffffffffffff", "7875dbf6738c64788f34c3c681c99695"},
		{"0102030405", &RC5CBCParams{4, 8, unhex("7875dbf6738c6478")}, "0808080808080808", "8f34c3c681c99695"},
	} {
		m := ck.CKM_RC5_CBC_PAD
		if len(a.in) == len(a.out) {
			m = ck.CKM_RC5_CBC
		}
		if err := testKnown(m, []known{a}); err != nil {
			t.Error(err)
		}
	}
}

// TestStreamParts crypts in parts of all lengths what the self-tests crypt in
// one, and goes on from saved states.
func TestStreamParts(t *testing.T) {
	for m, answers := range map[ck.MechanismType][]known{ck.CKM_CHACHA20: chachaAnswers, ck.CKM_SALSA20: salsaAnswers} {
		for _, a := range answers {
			in, want := unhex(a.in), unhex(a.out)
			k := secretKey(Find(m).Keys[0], unhex(a.key))
			for n := 1; n < len(in); n += 7 {
				op, err := Find(m).Encrypt(k, a.p)
				if err != nil {
					t.Fatal(err)
				}
				got := bytes.Clone(in) // in place
				if _, err := op.Update(got[:n], got[:n]); err != nil {
					t.Fatal(err)
				}
				state, err := op.(Saver).Save()
				if err != nil {
					t.Fatal(err)
				}
				if op, err = Find(m).Encrypt(k, a.p); err != nil {
					t.Fatal(err)
				}
				if err := op.(Saver).Load(state); err != nil {
					t.Fatal(err)
				}
				if _, err := op.Finish(got[n:], got[n:]); err != nil || !bytes.Equal(got, want) {
					t.Fatalf("%v after %d: %x, %v", m, n, got, err)
				}
			}
		}
	}
}

func TestStreamEnd(t *testing.T) {
	chacha, salsa := secretKey(ck.CKK_CHACHA20, make([]byte, 32)), secretKey(ck.CKK_SALSA20, make([]byte, 32))
	last := bytes.Repeat([]byte{0xff}, 8)
	for _, op := range []func() (Op, error){
		func() (Op, error) { return newChaCha20(chacha, &ChaCha20Params{last[:4], 32, make([]byte, 12), 96}) },
		func() (Op, error) { return newChaCha20(chacha, &ChaCha20Params{last[:4], 32, make([]byte, 8), 64}) },
		func() (Op, error) { return newChaCha20(chacha, &ChaCha20Params{last, 64, make([]byte, 8), 64}) },
		func() (Op, error) { return newChaCha20(chacha, &ChaCha20Params{last, 64, make([]byte, 24), 192}) },
		func() (Op, error) { return newSalsa20(salsa, &Salsa20Params{(*[8]byte)(last), make([]byte, 8), 64}) },
	} {
		one, err := op()
		if err != nil {
			t.Fatal(err)
		}
		var b [65]byte
		if _, err := one.Update(b[:64], b[:64]); err != nil {
			t.Error(err)
		}
		_, err = one.Update(b[:1], b[:1])
		wantError(t, err, ck.CKR_DATA_LEN_RANGE)
		two, _ := op()
		_, err = two.Finish(b[:], b[:])
		wantError(t, err, ck.CKR_DATA_LEN_RANGE)
	}
	for _, p := range []*ChaCha20Params{
		{}, {last[:4], 32, make([]byte, 16), 128}, {last, 64, make([]byte, 12), 96}, {last[:4], 31, make([]byte, 12), 96},
		{last[:4], 32, make([]byte, 12), 95}, {last[:4], 32, make([]byte, 8), 1 << 60},
	} {
		_, err := newChaCha20(chacha, p)
		wantError(t, err, ck.CKR_MECHANISM_PARAM_INVALID)
	}
	for _, p := range []*Salsa20Params{{}, {nil, make([]byte, 8), 64}, {new([8]byte), make([]byte, 12), 96}} {
		_, err := newSalsa20(salsa, p)
		wantError(t, err, ck.CKR_MECHANISM_PARAM_INVALID)
	}
}

// TestChaCha20Carry crosses the end of the low half of the block counter: what
// follows is what a counter of 2^32 begins with, and crypting twice gives back.
func TestChaCha20Carry(t *testing.T) {
	k := secretKey(ck.CKK_CHACHA20, bytes.Repeat([]byte{7}, 32))
	stream := func(counter []byte, n int) []byte {
		op, err := newChaCha20(k, &ChaCha20Params{counter, 64, make([]byte, 8), 64})
		out, err := runOp(op, err, make([]byte, n))
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	over := stream([]byte{0xfe, 0xff, 0xff, 0xff, 0, 0, 0, 0}, 200)
	if !bytes.Equal(over[128:], stream([]byte{0, 0, 0, 0, 1, 0, 0, 0}, 72)) {
		t.Error("the counter does not carry")
	}
	if bytes.Equal(over[128:192], stream(make([]byte, 8), 64)) {
		t.Error("the counter came round")
	}
}

// TestChaChaPoly encrypts in parts and message by message, and has each change
// refused.
func TestChaChaPoly(t *testing.T) {
	m := Find(ck.CKM_CHACHA20_POLY1305)
	for _, a := range append(chachaPolyAnswers, xchachaPolyAnswers...) {
		k, p := secretKey(ck.CKK_CHACHA20, unhex(a.key)), a.p.(*ChaChaPolyParams)
		in, want := unhex(a.in), unhex(a.out)
		for n := range in {
			op, err := m.Encrypt(k, p)
			if err != nil {
				t.Fatal(err)
			}
			got := append(bytes.Clone(in), make([]byte, 16)...)
			_, err1 := op.Update(got[:n], got[:n])
			_, err2 := op.Finish(got[n:], got[n:len(in)])
			if err1 != nil || err2 != nil || !bytes.Equal(got, want) {
				t.Fatalf("after %d: %x, %v, %v", n, got, err1, err2)
			}
		}
		for i := range want {
			bad := bytes.Clone(want)
			bad[i] ^= 1
			op, err := m.Decrypt(k, p)
			_, err = runOp(op, err, bad)
			wantError(t, err, ck.CKR_ENCRYPTED_DATA_INVALID)
		}
		op, err := m.Decrypt(k, p)
		_, err = runOp(op, err, want[:15])
		wantError(t, err, ck.CKR_ENCRYPTED_DATA_LEN_RANGE)
		testChaChaMessage(t, m, k, p, in, want)
	}
	k := secretKey(ck.CKK_CHACHA20, make([]byte, 32))
	for _, p := range []any{nil, (*ChaChaPolyParams)(nil), &ChaChaPolyParams{Nonce: make([]byte, 16)}} {
		_, err := m.Encrypt(k, p)
		wantError(t, err, ck.CKR_MECHANISM_PARAM_INVALID)
	}
	_, err := Find(ck.CKM_XCHACHA20_POLY1305).Encrypt(k, &ChaChaPolyParams{Nonce: make([]byte, 12)})
	wantError(t, err, ck.CKR_MECHANISM_PARAM_INVALID)
}

func testChaChaMessage(t *testing.T, m *Mechanism, k *Key, p *ChaChaPolyParams, in, want []byte) {
	t.Helper()
	var tag [16]byte
	mp := &ChaChaMessageParams{p.Nonce, &tag}
	enc, err := m.MessageEncrypt(k, nil)
	if err != nil {
		t.Fatal(err)
	}
	op, err := enc.Begin(mp, p.AAD)
	if err != nil {
		t.Fatal(err)
	}
	if err := op.(MessageStep).Param(mp); err != nil {
		t.Fatal(err)
	}
	wantError(t, op.(MessageStep).Param(&ChaChaMessageParams{Nonce: p.Nonce}), ck.CKR_MECHANISM_PARAM_INVALID)
	if op, err = enc.Begin(mp, p.AAD); err != nil {
		t.Fatal(err)
	}
	got, err := runOp(op, nil, in)
	if err != nil || !bytes.Equal(append(got, tag[:]...), want) {
		t.Fatalf("message: %x %x, %v", got, tag, err)
	}
	dec, err := m.MessageDecrypt(k, nil)
	if err != nil {
		t.Fatal(err)
	}
	op, err = dec.Begin(mp, p.AAD)
	if back, err := runOp(op, err, got); err != nil || !bytes.Equal(back, in) {
		t.Fatalf("message: %x, %v", back, err)
	}
	tag[3] ^= 1
	op, err = dec.Begin(mp, p.AAD)
	_, err = runOp(op, err, got)
	wantError(t, err, ck.CKR_AEAD_DECRYPT_FAILED)
	_, err = dec.Begin(&ChaChaMessageParams{Nonce: p.Nonce}, nil)
	wantError(t, err, ck.CKR_MECHANISM_PARAM_INVALID)
}

// TestPoly1305 has vectors 1 and 7 to 11 of RFC 8439, appendix A.3: the ends of
// the arithmetic.
func TestPoly1305(t *testing.T) {
	zeros := "0000000000000000000000000000000000000000000000000000000000000000"
	for _, a := range []known{
		{zeros, nil, zeros + zeros, "00000000000000000000000000000000"},
		{"02" + zeros[2:], nil, "ffffffffffffffffffffffffffffffff", "03000000000000000000000000000000"},
		{"02" + zeros[2:32] + "ffffffffffffffffffffffffffffffff", nil, "02000000000000000000000000000000", "03000000000000000000000000000000"},
		{"01" + zeros[2:], nil, "fffffffffffffffffffffffffffffffff0ffffffffffffffffffffffffffffff" + "11000000000000000000000000000000",
			"05000000000000000000000000000000"},
		{"01" + zeros[2:], nil, "fffffffffffffffffffffffffffffffffbfefefefefefefefefefefefefefefe" + "01010101010101010101010101010101",
			"00000000000000000000000000000000"},
		{"02" + zeros[2:], nil, "fdffffffffffffffffffffffffffffff", "faffffffffffffffffffffffffffffff"},
	} {
		if err := testKnown(ck.CKM_POLY1305, []known{a}); err != nil {
			t.Errorf("%s: %v", a.in, err)
		}
	}
}
