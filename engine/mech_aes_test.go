package engine

import (
	"bytes"
	"crypto/aes"
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/perilune/perilune/cryptoki/ck"
)

// The example vectors of NIST SP 800-38A, appendix F: keys of 128, 192 and 256
// bits over the same plaintext.
var sp80038a = []struct{ key, ecb, cbc, ctr string }{
	{sp80038aKey, aesECBAnswer.out, aesCBCAnswer.out, aesCTRAnswer.out},
	{
		"8e73b0f7da0e6452c810f32b809079e562f8ead2522c6b7b",
		"bd334f1d6e45f25ff712a214571fa5cc974104846d0ad3ad7734ecb3ecee4eef" +
			"ef7afd2270e2e60adce0ba2face6444e9a4b41ba738d6c72fb16691603c18e0e",
		"4f021db243bc633d7178183a9fa071e8b4d9ada9ad7dedf4e5e738763f69145a" +
			"571b242012fb7ae07fa9baac3df102e008b0e27988598881d920a9e64f5615cd",
		"1abc932417521ca24f2b0459fe7e6e0b090339ec0aa6faefd5ccc2c6f4ce8e94" +
			"1e36b26bd1ebc670d1bd1d665620abf74f78a7f6d29809585a97daec58c6b050",
	},
	{
		"603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4",
		"f3eed1bdb5d2a03c064b5a7e3db181f8591ccb10d410ed26dc5ba74a31362870" +
			"b6ed21b99ca6f4f9f153e7b1beafed1d23304b7a39f9f3ff067d8d8f9e24ecc7",
		"f58c4c04d6e5f1ba779eabfb5f7bfbd69cfc4e967edb808d679f777bc6702c7d" +
			"39f23369a9d9bacfa530e26304231461b2eb05e2c39be9fcda6c19078c6a9d1b",
		"601ec313775789a5b7a7f504bbf3d228f443e3ca4d62b59aca84e990cacaf5c5" +
			"2b0930daa23de94ce87017ba2d84988ddfc9c58db67aada613c2dd08457941a6",
	},
}

func TestSP80038A(t *testing.T) {
	plain := unhex(sp80038aPlain)
	for _, v := range sp80038a {
		k := aesKey(v.key)
		checkCipher(t, ck.CKM_AES_ECB, k, nil, plain, unhex(v.ecb))
		checkCipher(t, ck.CKM_AES_CBC, k, unhex(aesIV), plain, unhex(v.cbc))
		for _, bits := range []uint64{32, 64, 100, 128} {
			p := &CTRParams{bits, [16]byte(unhex(aesCTRCounter))}
			checkCipher(t, ck.CKM_AES_CTR, k, p, plain, unhex(v.ctr))
			checkCipher(t, ck.CKM_AES_CTR, k, p, plain[:37], unhex(v.ctr)[:37])
		}
	}
}

// TestCBCPad: cases 21 and 93 of Wycheproof's aes_cbc_pkcs5_test.json.
func TestCBCPad(t *testing.T) {
	for _, v := range []struct{ key, iv, plain, cipher string }{
		{aesPadAnswer.key, "088e01c2c65b26e7ad6af7b92ea09d73", aesPadAnswer.in, aesPadAnswer.out},
		{"b7f165bced1613da5e747fdf9255832d30c07f2deeb5a326", "07ece5fe02266e073499fd4d66929034",
			"289647ea8d0ff31375a82aa1c620903048bb1d0e",
			"455d516e87851e6c894578a0f7126e0acbc7cfbb1d80296647ab89a79dfa6f71"},
	} {
		checkCipher(t, ck.CKM_AES_CBC_PAD, aesKey(v.key), unhex(v.iv), unhex(v.plain), unhex(v.cipher))
	}
	// Every length, there and back.
	k := aesKey(sp80038aKey)
	row := Find(ck.CKM_AES_CBC_PAD)
	for n := range 70 {
		op, err := row.Encrypt(k, pattern(16))
		sealed, err := runOp(op, err, pattern(n))
		if err != nil || len(sealed) != n/16*16+16 {
			t.Fatalf("%d bytes became %d, %v", n, len(sealed), err)
		}
		checkCipher(t, ck.CKM_AES_CBC_PAD, k, pattern(16), pattern(n), sealed)
	}
}

// TestPaddingOracle checks that wrong paddings all look alike, leave nothing of
// the plaintext behind, and that wrong lengths have their own code.
func TestPaddingOracle(t *testing.T) {
	k, iv := aesKey(sp80038aKey), pattern(16)
	cbc, pad := Find(ck.CKM_AES_CBC), Find(ck.CKM_AES_CBC_PAD)
	for _, end := range [][]byte{{0}, {17}, {255}, {1, 2}, {3, 2, 3}, slices.Repeat([]byte{16}, 15), slices.Repeat([]byte{32}, 16)} {
		plain := append(bytes.Repeat([]byte{0xaa}, 48-len(end)), end...)
		op, err := cbc.Encrypt(k, iv)
		sealed, err := runOp(op, err, plain)
		if err != nil {
			t.Fatal(err)
		}
		op, err = pad.Decrypt(k, iv)
		if err != nil {
			t.Fatal(err)
		}
		dst := make([]byte, 48)
		_, err = op.Finish(dst, sealed)
		wantError(t, err, ck.CKR_ENCRYPTED_DATA_INVALID)
		if !bytes.Equal(dst, make([]byte, 48)) {
			t.Errorf("left %x behind", dst)
		}
		op, err = pad.Unwrap(k, iv)
		wantError(t, finishError(op, err, sealed), ck.CKR_WRAPPED_KEY_INVALID)
	}
	for _, n := range []int{0, 1, 15, 17, 40} {
		op, err := pad.Decrypt(k, iv)
		wantError(t, finishError(op, err, pattern(n)), ck.CKR_ENCRYPTED_DATA_LEN_RANGE)
		op, err = pad.Unwrap(k, iv)
		wantError(t, finishError(op, err, pattern(n)), ck.CKR_WRAPPED_KEY_LEN_RANGE)
	}
}

func TestBlockLengths(t *testing.T) {
	k := aesKey(sp80038aKey)
	for m, p := range map[ck.MechanismType]any{ck.CKM_AES_ECB: nil, ck.CKM_AES_CBC: pattern(16)} {
		row := Find(m)
		for _, n := range []int{1, 15, 17} {
			op, err := row.Encrypt(k, p)
			wantError(t, finishError(op, err, pattern(n)), ck.CKR_DATA_LEN_RANGE)
			op, err = row.Decrypt(k, p)
			wantError(t, finishError(op, err, pattern(n)), ck.CKR_ENCRYPTED_DATA_LEN_RANGE)
			op, err = row.Unwrap(k, p)
			wantError(t, finishError(op, err, pattern(n)), ck.CKR_WRAPPED_KEY_LEN_RANGE)

			// Wrapping fills up with zeros.
			op, err = row.Wrap(k, p)
			wrapped, err := runOp(op, err, pattern(n))
			if err != nil {
				t.Fatal(err)
			}
			op, err = row.Unwrap(k, p)
			plain, err := runOp(op, err, wrapped)
			if want := append(pattern(n), make([]byte, 15-(n-1)%16)...); err != nil || !bytes.Equal(plain, want) {
				t.Errorf("%v: %x, %v; want %x", m, plain, err, want)
			}
		}
		op, err := row.Encrypt(k, p)
		if out, err := runOp(op, err, nil); err != nil || len(out) != 0 {
			t.Errorf("%v: nothing became %x, %v", m, out, err)
		}
	}
}

// TestCTRLimit: a counter must not come round (PKCS#11 v3.1 section 6.11.3, with
// the standard's example of two bits that start as 1).
func TestCTRLimit(t *testing.T) {
	k := aesKey(sp80038aKey)
	for _, c := range []struct {
		bits  uint64
		cb    string
		bytes uint64
	}{
		{2, "00000000000000000000000000000001", 3 * 16},
		{2, "000000000000000000000000000000fd", 3 * 16},
		{1, "ffffffffffffffffffffffffffffffff", 16},
		{8, "00000000000000000000000000000000", 256 * 16},
		{64, "0000000000000000fffffffffffffffe", 2 * 16},
		{65, "0000000000000000fffffffffffffffe", math.MaxInt64},
		{65, "0000000000000001fffffffffffffffe", 2 * 16},
		{128, "fffffffffffffffffffffffffffffffd", 3 * 16},
		{128, "00000000000000000000000000000000", math.MaxInt64},
		{60, "00000000000000000000000000000000", math.MaxInt64},
		{58, "00000000000000000000000000000000", 1 << 62},
	} {
		if got := ctrBytes(unhex(c.cb), uint(c.bits)); got != c.bytes {
			t.Errorf("%d bits from %s: %d bytes, want %d", c.bits, c.cb, got, c.bytes)
		}
		if c.bytes > 1000 {
			continue
		}
		op, err := aesFamily.newCTR(k, &CTRParams{c.bits, [16]byte(unhex(c.cb))})
		wantError(t, finishError(op, err, make([]byte, c.bytes+1)), ck.CKR_DATA_LEN_RANGE)
		op, err = aesFamily.newCTR(k, &CTRParams{c.bits, [16]byte(unhex(c.cb))})
		out, err := runParts(op, err, make([]byte, c.bytes), 7, true)
		if err != nil {
			t.Error(err)
		}
		// The stream, block by block.
		block, _ := aes.NewCipher(k.Value())
		cb := [16]byte(unhex(c.cb))
		for i := 0; i < len(out); i += 16 {
			var want [16]byte
			block.Encrypt(want[:], cb[:])
			if !bytes.Equal(out[i:i+16], want[:]) {
				t.Errorf("%d bits from %s: wrong at %d", c.bits, c.cb, i)
			}
			addCounter(&cb, 1)
		}
		wantError(t, finishError(op, nil, []byte{1}), ck.CKR_DATA_LEN_RANGE)
	}
	for _, bits := range []uint64{0, 129, 1 << 63} {
		wantError(t, beginError(aesFamily.newCTR(k, &CTRParams{CounterBits: bits})), ck.CKR_MECHANISM_PARAM_INVALID)
	}
}

func TestAESParams(t *testing.T) {
	k := aesKey(sp80038aKey)
	for _, m := range []ck.MechanismType{ck.CKM_AES_CBC, ck.CKM_AES_CBC_PAD} {
		for _, p := range []any{nil, []byte(nil), pattern(15), pattern(17), uint64(1)} {
			wantError(t, beginError(Find(m).Encrypt(k, p)), ck.CKR_MECHANISM_PARAM_INVALID)
		}
	}
	wantError(t, beginError(Find(ck.CKM_AES_ECB).Encrypt(k, pattern(16))), ck.CKR_MECHANISM_PARAM_INVALID)
	for _, bad := range []*Key{secretKey(ck.CKK_AES, pattern(15)), secretKey(ck.CKK_AES, nil), {Type: ck.CKK_AES}} {
		wantError(t, beginError(Find(ck.CKM_AES_ECB).Encrypt(bad, nil)), ck.CKR_KEY_SIZE_RANGE)
	}
	wantError(t, beginError(Find(ck.CKM_AES_ECB).Encrypt(secretKey(ck.CKK_GENERIC_SECRET, pattern(16)), nil)),
		ck.CKR_KEY_TYPE_INCONSISTENT)
}

func TestAESKeyGen(t *testing.T) {
	generate := Find(ck.CKM_AES_KEY_GEN).Generate
	for _, n := range []uint64{16, 24, 32} {
		attrs, err := generate(nil, []ck.Attribute{ck.NewULong(ck.CKA_VALUE_LEN, n)})
		if err != nil {
			t.Fatal(err)
		}
		if v := ck.Find(attrs, ck.CKA_VALUE); uint64(len(v.Value)) != n {
			t.Errorf("%d bytes, want %d", len(v.Value), n)
		}
		if v, ok := ck.ULong(ck.Find(attrs, ck.CKA_VALUE_LEN).Value); !ok || v != n {
			t.Errorf("CKA_VALUE_LEN = %d, want %d", v, n)
		}
	}
	for _, n := range []uint64{0, 8, 17, 64, 1 << 40, math.MaxUint64} {
		_, err := generate(nil, []ck.Attribute{ck.NewULong(ck.CKA_VALUE_LEN, n)})
		wantError(t, err, ck.CKR_ATTRIBUTE_VALUE_INVALID)
	}
	_, err := generate(nil, []ck.Attribute{ck.NewBytes(ck.CKA_VALUE_LEN, []byte{16})})
	wantError(t, err, ck.CKR_ATTRIBUTE_VALUE_INVALID)
	_, err = generate(nil, nil)
	wantError(t, err, ck.CKR_TEMPLATE_INCOMPLETE)
	_, err = generate(pattern(1), []ck.Attribute{ck.NewULong(ck.CKA_VALUE_LEN, uint64(16))})
	wantError(t, err, ck.CKR_MECHANISM_PARAM_INVALID)
}

func TestEncryptData(t *testing.T) {
	k := aesKey(sp80038aKey)
	derive := Find(ck.CKM_AES_ECB_ENCRYPT_DATA).Derive
	p := &StringDataParams{unhex(sp80038aPlain)}
	out, err := derive(k, p, &Derivation{Type: ck.CKK_AES, Len: 24})
	if err != nil || !bytes.Equal(out, unhex(aesECBAnswer.out)[:24]) {
		t.Errorf("%x, %v", out, err)
	}
	_, err = derive(k, p, &Derivation{Type: ck.CKK_GENERIC_SECRET, Len: 65})
	wantError(t, err, ck.CKR_KEY_SIZE_RANGE)
	_, err = derive(k, p, &Derivation{Type: ck.CKK_AES})
	wantError(t, err, ck.CKR_TEMPLATE_INCOMPLETE)
	for _, n := range []int{0, 1, 17} {
		_, err = derive(k, &StringDataParams{pattern(n)}, &Derivation{Type: ck.CKK_GENERIC_SECRET})
		wantError(t, err, ck.CKR_MECHANISM_PARAM_INVALID)
	}
}

// TestGCTR checks that the counter of GCM comes round in its 32 bits.
func TestGCTR(t *testing.T) {
	block, err := aes.NewCipher(unhex(sp80038aKey))
	if err != nil {
		t.Fatal(err)
	}
	g := gctr{block: block, next: [16]byte(unhex("00112233445566778899aabbfffffffe"))}
	out := make([]byte, 5*16)
	g.xor(out[:20], out[:20])
	g.xor(out[20:], out[20:])
	for i, low := range []string{"fffffffe", "ffffffff", "00000000", "00000001", "00000002"} {
		var want [16]byte
		block.Encrypt(want[:], unhex("00112233445566778899aabb"+low))
		if !bytes.Equal(out[i*16:i*16+16], want[:]) {
			t.Errorf("block %d is wrong", i)
		}
	}
}

// benchCipher measures single-part operations with a new Op each time, as
// C_EncryptInit and C_Encrypt make them.
func benchCipher(b *testing.B, begin func(*Key, any) (Op, error), k *Key, p any, extra int) {
	for _, n := range []int{16, 1 << 10, 16 << 10} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			src, dst := make([]byte, n), make([]byte, n+extra)
			b.SetBytes(int64(n))
			b.ReportAllocs()
			for b.Loop() {
				op, err := begin(k, p)
				if err != nil {
					b.Fatal(err)
				}
				if _, err := op.Finish(dst, src); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func benchKey(n int) *Key { return secretKey(ck.CKK_AES, make([]byte, n)) }

func BenchmarkAESGCM(b *testing.B) {
	benchCipher(b, aesFamily.newGCMEncrypt, benchKey(32), &GCMParams{IV: make([]byte, 12), TagBits: 128}, 16)
}

func BenchmarkAESGCMShortTag(b *testing.B) {
	benchCipher(b, aesFamily.newGCMEncrypt, benchKey(32), &GCMParams{IV: make([]byte, 12), TagBits: 64}, 16)
}

func BenchmarkAESCCM(b *testing.B) {
	benchCipher(b, aesFamily.newCCM(ccmOp{anyLen: true}),
		benchKey(32), &CCMParams{Nonce: make([]byte, 12), MACLen: 16}, 16)
}

func BenchmarkAESCBC(b *testing.B) {
	benchCipher(b, Find(ck.CKM_AES_CBC).Encrypt, benchKey(32), make([]byte, 16), 0)
}

func BenchmarkAESCBCDecrypt(b *testing.B) {
	benchCipher(b, Find(ck.CKM_AES_CBC).Decrypt, benchKey(32), make([]byte, 16), 0)
}

func BenchmarkAESECB(b *testing.B) {
	benchCipher(b, Find(ck.CKM_AES_ECB).Encrypt, benchKey(32), nil, 0)
}

func BenchmarkAESCTR(b *testing.B) {
	benchCipher(b, aesFamily.newCTR, benchKey(32), &CTRParams{CounterBits: 128}, 0)
}

func BenchmarkAESCMAC(b *testing.B) {
	benchCipher(b, Find(ck.CKM_AES_CMAC).Sign, benchKey(32), nil, 16)
}

func BenchmarkAESGMAC(b *testing.B) {
	benchCipher(b, Find(ck.CKM_AES_GMAC).Sign, benchKey(32), &GMACParams{GCMParams{IV: make([]byte, 12), TagBits: 128}}, 16)
}

func BenchmarkAESKeyWrap(b *testing.B) {
	benchCipher(b, Find(ck.CKM_AES_KEY_WRAP).Encrypt, benchKey(32), nil, 8)
}
