package engine

import (
	"bytes"
	"crypto/aes"
	"testing"

	"github.com/perilune/perilune/cryptoki/ck"
)

// onceBoth checks a known answer of an operation that works in one part, in
// both directions and in place.
func onceBoth(t *testing.T, m ck.MechanismType, k *Key, p any, plain, cipher []byte) {
	t.Helper()
	for _, inPlace := range []bool{false, true} {
		op, err := Find(m).Encrypt(k, p)
		got, err := runParts(op, err, plain, 1<<20, inPlace)
		if err != nil || !bytes.Equal(got, cipher) {
			t.Errorf("%v: %x, %v; want %x", m, got, err, cipher)
		}
		op, err = Find(m).Decrypt(k, p)
		got, err = runParts(op, err, cipher, 1<<20, inPlace)
		if err != nil || !bytes.Equal(got, plain) {
			t.Errorf("%v, decrypting: %x, %v; want %x", m, got, err, plain)
		}
	}
}

// TestKeyWrapVectors: RFC 3394, section 4.
func TestKeyWrapVectors(t *testing.T) {
	kek := unhex("000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f")
	data := unhex("00112233445566778899aabbccddeeff000102030405060708090a0b0c0d0e0f")
	for _, v := range []struct {
		kek, data int
		cipher    string
	}{
		{16, 16, "1fa68b0a8112b447aef34bd8fb5a7b829d3e862371d2cfe5"},
		{24, 16, "96778b25ae6ca435f92b5b97c050aed2468ab8a17ad84e5d"},
		{32, 16, "64e8c3f9ce0f5ba263e9777905818a2a93c8191e7d6e8ae7"},
		{24, 24, "031d33264e15d33268f24ec260743edce1c6c7ddee725a936ba814915c6762d2"},
		{32, 24, "a8f9bc1612c68b3ff6e6f4fbe30e71e4769c8b80a32cb8958cd5d17d6b254da1"},
		{32, 32, "28c9f404c4b810f4cbccb35cfb87f8263f5786e2d80ed326cbc7f0e71a99f43bfb988b9b7a02dd21"},
	} {
		k := secretKey(ck.CKK_AES, kek[:v.kek])
		onceBoth(t, ck.CKM_AES_KEY_WRAP, k, nil, data[:v.data], unhex(v.cipher))
		onceBoth(t, ck.CKM_AES_KEY_WRAP, k, icv1[:], data[:v.data], unhex(v.cipher))
		wantError(t, decryptError(ck.CKM_AES_KEY_WRAP, k, pattern(8), unhex(v.cipher)), ck.CKR_ENCRYPTED_DATA_INVALID)
	}
}

func decryptError(m ck.MechanismType, k *Key, p any, src []byte) error {
	op, err := Find(m).Decrypt(k, p)
	return finishError(op, err, src)
}

// TestKeyWrapPadVectors: RFC 5649, section 6.
func TestKeyWrapPadVectors(t *testing.T) {
	k := aesKey("5840df6e29b02af1ab493b705bf16ea1ae8338f4dcc176a8")
	for _, m := range []ck.MechanismType{ck.CKM_AES_KEY_WRAP_KWP, ck.CKM_AES_KEY_WRAP_PAD} {
		for _, p := range []any{nil, []byte(nil), icv2[:]} {
			onceBoth(t, m, k, p, unhex("c37b7e6492584340bed12207808941155068f738"),
				unhex("138bdeaa9b8fa7fc61f97742e72248ee5ae6ae5360d1ae6a5f54f373fa543b6a"))
			onceBoth(t, m, k, p, unhex("466f7250617369"), unhex("afbeb0f07dfbf5419200f2ccb50bb24f"))
		}
		wantError(t, decryptError(m, k, pattern(4), unhex("afbeb0f07dfbf5419200f2ccb50bb24f")), ck.CKR_ENCRYPTED_DATA_INVALID)
		wantError(t, beginError(Find(m).Encrypt(k, pattern(8))), ck.CKR_MECHANISM_PARAM_INVALID)
	}
	wantError(t, beginError(Find(ck.CKM_AES_KEY_WRAP).Encrypt(k, pattern(4))), ck.CKR_MECHANISM_PARAM_INVALID)
}

// TestKeyWrapLengths goes through all short lengths of each form, there and
// back, changes each byte, and wraps as a key what must be padded for it.
func TestKeyWrapLengths(t *testing.T) {
	k := aesKey(sp80038aKey)
	for _, c := range []struct {
		m       ck.MechanismType
		takes   func(n int) bool
		wraps   func(n int) bool
		payload func(n int) int // length of what is unwrapped
	}{
		{ck.CKM_AES_KEY_WRAP, func(n int) bool { return n >= 16 && n%8 == 0 },
			func(n int) bool { return n > 8 }, func(n int) int { return (n + 7) &^ 7 }},
		{ck.CKM_AES_KEY_WRAP_KWP, func(n int) bool { return n > 0 },
			func(n int) bool { return n > 0 }, func(n int) int { return n }},
		{ck.CKM_AES_KEY_WRAP_PAD, func(n int) bool { return n > 0 },
			func(n int) bool { return n > 0 }, func(n int) int { return n }},
		{ck.CKM_AES_KEY_WRAP_PKCS7, func(n int) bool { return n >= 8 },
			func(n int) bool { return n >= 8 }, func(n int) int { return n }},
	} {
		row := Find(c.m)
		for n := range 50 {
			op, err := row.Encrypt(k, nil)
			sealed, err := runOp(op, err, pattern(n))
			if !c.takes(n) {
				wantError(t, err, ck.CKR_DATA_LEN_RANGE)
			} else if err != nil {
				t.Errorf("%v, %d bytes: %v", c.m, n, err)
			} else {
				onceBoth(t, c.m, k, nil, pattern(n), sealed)
				for i := range sealed {
					bad := bytes.Clone(sealed)
					bad[i] ^= 4
					wantError(t, decryptError(c.m, k, nil, bad), ck.CKR_ENCRYPTED_DATA_INVALID)
				}
				wantError(t, decryptError(c.m, k, nil, sealed[:len(sealed)-1]), ck.CKR_ENCRYPTED_DATA_LEN_RANGE)
				wantError(t, decryptError(c.m, k, nil, sealed[:8]), ck.CKR_ENCRYPTED_DATA_LEN_RANGE)
			}
			op, err = row.Wrap(k, nil)
			wrapped, err := runOp(op, err, pattern(n))
			if !c.wraps(n) {
				wantError(t, err, ck.CKR_KEY_SIZE_RANGE)
				continue
			}
			op, err = row.Unwrap(k, nil)
			key, err := runOp(op, err, wrapped)
			want := append(pattern(n), make([]byte, c.payload(n)-n)...)
			if err != nil || !bytes.Equal(key, want) {
				t.Errorf("%v, key of %d bytes: %x, %v", c.m, n, key, err)
			}
			wrapped[0] ^= 1
			op, err = row.Unwrap(k, nil)
			wantError(t, finishError(op, err, wrapped), ck.CKR_WRAPPED_KEY_INVALID)
		}
		op, err := row.Encrypt(k, nil)
		if err != nil {
			t.Fatal(err)
		}
		_, err = op.Update(nil, pattern(8))
		wantError(t, err, ck.CKR_FUNCTION_NOT_SUPPORTED)
	}
}

// TestKeyWrapPadReadsBoth: what CKM_AES_KEY_WRAP_PKCS7 wrote,
// CKM_AES_KEY_WRAP_PAD reads, and CKM_AES_KEY_WRAP_KWP does not.
func TestKeyWrapPadReadsBoth(t *testing.T) {
	k := aesKey(sp80038aKey)
	for n := 8; n < 40; n++ {
		op, err := Find(ck.CKM_AES_KEY_WRAP_PKCS7).Encrypt(k, nil)
		sealed, err := runOp(op, err, pattern(n))
		if err != nil {
			t.Fatal(err)
		}
		op, err = Find(ck.CKM_AES_KEY_WRAP_PAD).Decrypt(k, nil)
		got, err := runOp(op, err, sealed)
		if err != nil || !bytes.Equal(got, pattern(n)) {
			t.Errorf("%x, %v; want %x", got, err, pattern(n))
		}
		wantError(t, decryptError(ck.CKM_AES_KEY_WRAP_KWP, k, nil, sealed), ck.CKR_ENCRYPTED_DATA_INVALID)
	}
}

// TestKWPChecks makes blocks with a right constant and wrong lengths or padding.
func TestKWPChecks(t *testing.T) {
	k := aesKey(sp80038aKey)
	block, err := aes.NewCipher(k.Value())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		plain string // the initial value and the padded data
		ok    bool
	}{
		{"a65959a60000000c" + "0102030405060708090a0b0c00000000", true},
		{"a65959a600000010" + "0102030405060708090a0b0c0d0e0f10", true},
		{"a65959a600000009" + "01020304050607080900000000000000", true},
		{"a65959a600000008" + "01020304050607080000000000000000", false},
		{"a65959a600000011" + "0102030405060708090a0b0c0d0e0f10", false},
		{"a65959a60000000c" + "0102030405060708090a0b0c00000001", false},
		{"a65959a60000000c" + "0102030405060708090a0b0c01000000", false},
		{"a65959a68000000c" + "0102030405060708090a0b0c00000000", false},
		{"a65959a6ffffffff" + "0102030405060708090a0b0c00000000", false},
		{"a65959a600000000" + "00000000000000000000000000000000", false},
		{"a65959a70000000c" + "0102030405060708090a0b0c00000000", false},
	} {
		buf := unhex(c.plain)
		wrapBlocks(block, buf)
		_, err := kwpUnwrap(block, buf)
		if c.ok && err != nil {
			t.Errorf("%s: %v", c.plain, err)
		} else if !c.ok {
			wantError(t, err, ck.CKR_ENCRYPTED_DATA_INVALID)
		}
	}
}
