package engine

import (
	"bytes"
	"testing"

	"github.com/perilune/perilune/cryptoki/ck"
)

// TestHKDFVectors: RFC 5869, appendix A, cases 1 to 7, in one step, and in two
// with the pseudorandom key in between.
func TestHKDFVectors(t *testing.T) {
	for i, v := range []struct {
		hash                      ck.MechanismType
		ikm, salt, info, prk, okm string
	}{
		{ck.CKM_SHA256, repeated("0b", 22), "000102030405060708090a0b0c", "f0f1f2f3f4f5f6f7f8f9",
			"077709362c2e32df0ddc3f0dc47bba6390b6c73bb50f9c3122ec844ad7c2b3e5",
			"3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865"},
		{ck.CKM_SHA256, counted(0x00, 80), counted(0x60, 80), counted(0xb0, 80),
			"06a6b88c5853361a06104c9ceb35b45cef760014904671014a193f40c15fc244",
			"b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c" +
				"59045a99cac7827271cb41c65e590e09da3275600c2f09b8367793a9aca3db71" +
				"cc30c58179ec3e87c14c01d5c1f3434f1d87"},
		{ck.CKM_SHA256, repeated("0b", 22), "", "",
			"19ef24a32c717b167f33a91d6f648bdf96596776afdb6377ac434c1c293ccb04",
			"8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8"},
		{ck.CKM_SHA_1, repeated("0b", 11), "000102030405060708090a0b0c", "f0f1f2f3f4f5f6f7f8f9",
			"9b6c18c432a7bf8f0e71c8eb88f4b30baa2ba243",
			"085a01ea1b10f36933068b56efa5ad81a4f14b822f5b091568a9cdd4f155fda2c22e422478d305f3f896"},
		{ck.CKM_SHA_1, counted(0x00, 80), counted(0x60, 80), counted(0xb0, 80),
			"8adae09a2a307059478d309b26c4115a224cfaf6",
			"0bd770a74d1160f7c9f12cd5912a06ebff6adcae899d92191fe4305673ba2ffe" +
				"8fa3f1a4e5ad79f3f334b3b202b2173c486ea37ce3d397ed034c7f9dfeb15c5e" +
				"927336d0441f4c4300e2cff0d0900b52d3b4"},
		{ck.CKM_SHA_1, repeated("0b", 22), "", "",
			"da8c8a73c7fa77288ec6f5e7c297786aa0d32d01",
			"0ac1af7002b3d761d1e55298da9d0506b9ae52057220a306e07b6b87e8df21d0ea00033de03984d34918"},
		{ck.CKM_SHA_1, repeated("0c", 22), "", "",
			"2adccada18779e7c2077ad2eb19d3f3e731385dd",
			"2c91117204d745f3500d636a62f64f0ab3bae548aa53d423b0d1f27ebba6f5e5673a081d70cce7acfc48"},
	} {
		p := HKDFParams{true, true, v.hash, ck.CKF_HKDF_SALT_DATA, unhex(v.salt), 0, unhex(v.info)}
		base := secretKey(ck.CKK_HKDF, unhex(v.ikm))
		run := func(base *Key, p HKDFParams, n int, want string, keys ...*Key) {
			t.Helper()
			for _, m := range []ck.MechanismType{ck.CKM_HKDF_DERIVE, ck.CKM_HKDF_DATA} {
				got, err := Find(m).Derive(base, &p, &Derivation{Type: ck.CKK_GENERIC_SECRET, Len: n, Keys: keys})
				if err != nil || !bytes.Equal(got, unhex(want)) {
					t.Errorf("case %d: %x, %v; want %s", i+1, got, err, want)
				}
			}
		}
		run(base, p, len(v.okm)/2, v.okm)
		if v.salt == "" {
			null := p
			null.SaltType = ck.CKF_HKDF_SALT_NULL
			run(base, null, len(v.okm)/2, v.okm)
		} else {
			byKey := p
			byKey.SaltType, byKey.Salt, byKey.SaltKey = ck.CKF_HKDF_SALT_KEY, nil, 9
			run(base, byKey, len(v.okm)/2, v.okm, secretKey(ck.CKK_GENERIC_SECRET, unhex(v.salt)))
		}
		extract := p
		extract.Expand = false
		run(base, extract, 0, v.prk)
		run(base, extract, len(v.prk)/2, v.prk)
		expand := p
		expand.Extract, expand.SaltType = false, 99 // not looked at
		run(secretKey(ck.CKK_GENERIC_SECRET, unhex(v.prk)), expand, len(v.okm)/2, v.okm)
	}
}

// counted is n bytes counting up from first.
func counted(first byte, n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = first + byte(i)
	}
	return ascii(string(b))
}

func TestHKDFErrors(t *testing.T) {
	base := secretKey(ck.CKK_HKDF, pattern(32))
	derive := Find(ck.CKM_HKDF_DERIVE).Derive
	good := HKDFParams{Extract: true, Expand: true, Hash: ck.CKM_SHA256, SaltType: ck.CKF_HKDF_SALT_NULL}
	try := func(change func(*HKDFParams), d Derivation, want ck.RV) {
		t.Helper()
		p := good
		change(&p)
		_, err := derive(base, &p, &d)
		wantError(t, err, want)
	}
	d := Derivation{Type: ck.CKK_GENERIC_SECRET, Len: 32}
	same := func(*HKDFParams) {}
	try(func(p *HKDFParams) { p.Extract, p.Expand = false, false }, d, ck.CKR_MECHANISM_PARAM_INVALID)
	try(func(p *HKDFParams) { p.Hash = ck.CKM_SHA256_HMAC }, d, ck.CKR_MECHANISM_PARAM_INVALID)
	try(func(p *HKDFParams) { p.Hash = ck.CKM_MD5 }, d, ck.CKR_MECHANISM_PARAM_INVALID)
	try(func(p *HKDFParams) { p.SaltType = 3 }, d, ck.CKR_MECHANISM_PARAM_INVALID)
	try(func(p *HKDFParams) { p.SaltType = ck.CKF_HKDF_SALT_KEY }, d, ck.CKR_MECHANISM_PARAM_INVALID)
	try(func(p *HKDFParams) { p.Expand = false }, Derivation{Type: ck.CKK_GENERIC_SECRET, Len: 31}, ck.CKR_TEMPLATE_INCONSISTENT)
	try(same, Derivation{Type: ck.CKK_GENERIC_SECRET}, ck.CKR_TEMPLATE_INCOMPLETE)
	try(same, Derivation{Type: ck.CKK_GENERIC_SECRET, Len: 255*32 + 1}, ck.CKR_KEY_SIZE_RANGE)
	if _, err := derive(base, &good, &Derivation{Type: ck.CKK_GENERIC_SECRET, Len: 255 * 32}); err != nil {
		t.Error(err)
	}
	_, err := derive(base, nil, &d)
	wantError(t, err, ck.CKR_MECHANISM_PARAM_INVALID)
}
