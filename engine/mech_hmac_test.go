package engine

import (
	"bytes"
	"encoding/hex"
	"testing"

	"github.com/perilune/perilune/cryptoki/ck"
)

// hmacVectors: test cases 1, 3 and 6 of RFC 4231, section 4 (short key, data of
// 50 bytes, key longer than a block), 1 and 6 of RFC 2202, sections 2 and 3, and
// of RFC 2286; for HAS-160 those of the project crypto-api.
var hmacVectors = []struct {
	m                  ck.MechanismType
	key, message, code string
}{
	{ck.CKM_MD5_HMAC, repeated("0b", 16), ascii("Hi There"), "9294727a3638bb1c13f48ef8158bfc9d"},
	{ck.CKM_MD5_HMAC, repeated("aa", 80), ascii("Test Using Larger Than Block-Size Key - Hash Key First"),
		"6b1ab7fe4bd7bf8f0b62e6ce61b9d0cd"},
	{ck.CKM_RIPEMD128_HMAC, repeated("0b", 16), ascii("Hi There"), "fbf61f9492aa4bbf81c172e84e0734db"},
	{ck.CKM_RIPEMD128_HMAC, repeated("aa", 80), ascii("Test Using Larger Than Block-Size Key - Hash Key First"),
		"dc732928de98104a1f59d373c150acbb"},
	{ck.CKM_RIPEMD160_HMAC, repeated("0b", 20), ascii("Hi There"), "24cb4bd67d20fc1a5d2ed7732dcc39377f0a5668"},
	{ck.CKM_RIPEMD160_HMAC, repeated("aa", 80), ascii("Test Using Larger Than Block-Size Key - Hash Key First"),
		"6466ca07ac5eac29e1bd523e5ada7605b791fd8b"},
	{ck.CKM_HAS160_HMAC, repeated("0b", 20), ascii("Hi There"), "f5b44115a53f716b6f488de1098ee7c251418623"},
	{ck.CKM_HAS160_HMAC, repeated("aa", 20), repeated("dd", 50), "e4c91bc71782fa44a56be1a34aae167e8ffc9734"},
	{ck.CKM_HAS160_HMAC, repeated("aa", 80), ascii("Test Using Larger Than Block-Size Key - Hash Key First"),
		"63750d67af40e3fde33526545d300972a1527053"},
	{ck.CKM_SHA_1_HMAC, repeated("0b", 20), ascii("Hi There"), "b617318655057264e28bc0b6fb378c8ef146be00"},
	{ck.CKM_SHA_1_HMAC, repeated("aa", 80), ascii("Test Using Larger Than Block-Size Key - Hash Key First"),
		"aa4ae5e15272d00e95705637ce8a3b55ed402112"},
	{ck.CKM_SHA224_HMAC, repeated("0b", 20), ascii("Hi There"),
		"896fb1128abbdf196832107cd49df33f47b4b1169912ba4f53684b22"},
	{ck.CKM_SHA224_HMAC, repeated("aa", 20), repeated("dd", 50),
		"7fb3cb3588c6c1f6ffa9694d7d6ad2649365b0c1f65d69d1ec8333ea"},
	{ck.CKM_SHA224_HMAC, repeated("aa", 131), ascii("Test Using Larger Than Block-Size Key - Hash Key First"),
		"95e9a0db962095adaebe9b2d6f0dbce2d499f112f2d2b7273fa6870e"},
	{ck.CKM_SHA256_HMAC, repeated("0b", 20), ascii("Hi There"),
		"b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"},
	{ck.CKM_SHA256_HMAC, repeated("aa", 20), repeated("dd", 50),
		"773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe"},
	{ck.CKM_SHA256_HMAC, repeated("aa", 131), ascii("Test Using Larger Than Block-Size Key - Hash Key First"),
		"60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"},
	{ck.CKM_SHA384_HMAC, repeated("0b", 20), ascii("Hi There"),
		"afd03944d84895626b0825f4ab46907f15f9dadbe4101ec682aa034c7cebc59cfaea9ea9076ede7f4af152e8b2fa9cb6"},
	{ck.CKM_SHA384_HMAC, repeated("aa", 131), ascii("Test Using Larger Than Block-Size Key - Hash Key First"),
		"4ece084485813e9088d2c63a041bc5b44f9ef1012a2b588f3cd11f05033ac4c60c2ef6ab4030fe8296248df163f44952"},
	{ck.CKM_SHA512_HMAC, repeated("0b", 20), ascii("Hi There"),
		"87aa7cdea5ef619d4ff0b4241a1d6cb02379f4e2ce4ec2787ad0b30545e17cde" +
			"daa833b7d6b8a702038b274eaea3f4e4be9d914eeb61f1702e696c203a126854"},
	{ck.CKM_SHA512_HMAC, repeated("aa", 131), ascii("Test Using Larger Than Block-Size Key - Hash Key First"),
		"80b24263c7c1a3ebb71493c1dd7be8b49b46d1f41b4aeec1121b013783f8f352" +
			"6b56d037e05f2598bd0fd2215d6a1e5295e64f73f63f0aec8b915a985d786598"},
}

func repeated(hexByte string, n int) string {
	return hex.EncodeToString(bytes.Repeat(unhex(hexByte), n))
}

func ascii(s string) string { return hex.EncodeToString([]byte(s)) }

func TestHMACVectors(t *testing.T) {
	for _, v := range hmacVectors {
		checkMAC(t, v.m, secretKey(ck.CKK_GENERIC_SECRET, unhex(v.key)), nil, unhex(v.message), unhex(v.code))
	}
	for _, f := range hashFamilies {
		if f.keyed {
			continue
		}
		a := hmacAnswers[f.hmac]
		k := secretKey(ck.CKK_GENERIC_SECRET, unhex(a.key))
		checkMAC(t, f.hmac, k, nil, unhex(a.message), unhex(a.code))
		size := len(a.code) / 2
		for n := 1; n <= size; n++ {
			checkMAC(t, f.general, k, uint64(n), unhex(a.message), unhex(a.code)[:n])
		}
		for _, p := range []any{nil, uint64(0), uint64(size + 1), uint64(1 << 63), pattern(3)} {
			wantError(t, beginError(Find(f.general).Sign(k, p)), ck.CKR_MECHANISM_PARAM_INVALID)
		}
		wantError(t, beginError(Find(f.hmac).Sign(k, uint64(1))), ck.CKR_MECHANISM_PARAM_INVALID)
		wantError(t, beginError(Find(f.hmac).Sign(secretKey(f.key, nil), nil)), ck.CKR_KEY_SIZE_RANGE)
	}
	for _, t512 := range []struct {
		t uint64
		m ck.MechanismType
	}{{224, ck.CKM_SHA512_224_HMAC}, {256, ck.CKM_SHA512_256_HMAC}} {
		a := hmacAnswers[t512.m]
		checkMAC(t, ck.CKM_SHA512_T_HMAC, secretKey(ck.CKK_SHA512_T_HMAC, unhex(a.key)), t512.t, unhex(a.message), unhex(a.code))
	}
	for _, p := range []any{nil, uint64(0), uint64(384), pattern(3)} {
		wantError(t, beginError(Find(ck.CKM_SHA512_T_HMAC).Sign(aesKey("00"), p)), ck.CKR_MECHANISM_PARAM_INVALID)
	}
}

// TestKeyedBLAKE2b checks keyed vectors of the authors' BLAKE2b test file
// (blake2b-kat.txt), for the key 00, 01 ... 3f; that the shorter codes are those
// of RFC 7693 is the row's self-test.
func TestKeyedBLAKE2b(t *testing.T) {
	k := secretKey(ck.CKK_BLAKE2B_512_HMAC, unhex(counted(0, 64)))
	for _, v := range []struct{ message, code string }{
		{"", "10ebb67700b1868efb4417987acf4690ae9d972fb7a590c2f02871799aaa4786" +
			"b5e996e8f0f4eb981fc214b005f42d2ff4233499391653df7aefcbc13fc51568"},
		{"00", "961f6dd1e4dd30f63901690c512e78e4b45e4742ed197c3c5e45c549fd25f2e4" +
			"187b0bc9fe30492b16b0d0bc4ef9b0f34c7003fac09a5ef1532e69430234cebd"},
	} {
		checkMAC(t, ck.CKM_BLAKE2B_512_HMAC, k, nil, unhex(v.message), unhex(v.code))
		checkMAC(t, ck.CKM_BLAKE2B_512_HMAC_GENERAL, k, uint64(7), unhex(v.message), unhex(v.code[:14]))
	}
	for _, f := range hashFamilies {
		if !f.keyed {
			continue
		}
		for _, n := range []int{0, 65} {
			wantError(t, beginError(Find(f.hmac).Sign(secretKey(f.key, pattern(n)), nil)), ck.CKR_KEY_SIZE_RANGE)
		}
		_, err := Find(f.keyGen).Generate(nil, []ck.Attribute{ck.NewULong(ck.CKA_VALUE_LEN, uint64(65))})
		wantError(t, err, ck.CKR_ATTRIBUTE_VALUE_INVALID)
		_, err = Find(f.keyGen).Generate(nil, []ck.Attribute{ck.NewULong(ck.CKA_VALUE_LEN, uint64(64))})
		if err != nil {
			t.Error(err)
		}
		op, err := Find(f.hmac).Sign(secretKey(f.key, pattern(20)), nil)
		if err != nil {
			t.Fatal(err)
		}
		_, err = op.(Saver).Save()
		wantError(t, err, ck.CKR_STATE_UNSAVEABLE)
		wantError(t, op.(Saver).Load([]byte("state")), ck.CKR_SAVED_STATE_INVALID)
	}
}

// TestHMACOneKey uses one key with every hash, so that their cached states
// would show if they were mixed up.
func TestHMACOneKey(t *testing.T) {
	k := secretKey(ck.CKK_GENERIC_SECRET, unhex(jefe))
	for range 2 {
		for _, m := range []ck.MechanismType{ck.CKM_SHA_1_HMAC, ck.CKM_SHA224_HMAC, ck.CKM_SHA256_HMAC,
			ck.CKM_SHA384_HMAC, ck.CKM_SHA512_HMAC} {
			checkMAC(t, m, k, nil, unhex(jefeMessage), unhex(hmacAnswers[m].code))
		}
	}
}

func BenchmarkHMACSHA256(b *testing.B) {
	benchCipher(b, Find(ck.CKM_SHA256_HMAC).Sign, secretKey(ck.CKK_GENERIC_SECRET, make([]byte, 32)), nil, 32)
}
