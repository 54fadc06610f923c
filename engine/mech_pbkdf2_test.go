package engine

import (
	"bytes"
	"math"
	"testing"

	"github.com/perilune/perilune/cryptoki/ck"
)

// TestPBKDF2Vectors: RFC 6070, section 2, without the one of 16 million
// iterations, and RFC 7914, section 11.
func TestPBKDF2Vectors(t *testing.T) {
	for _, v := range []struct {
		prf            ck.PRF
		password, salt string
		iterations     uint64
		want           string
	}{
		{ck.CKP_PKCS5_PBKD2_HMAC_SHA1, "password", "salt", 1, "0c60c80f961f0e71f3a9b524af6012062fe037a6"},
		{ck.CKP_PKCS5_PBKD2_HMAC_SHA1, "password", "salt", 2, "ea6c014dc72d6f8ccd1ed92ace1d41f0d8de8957"},
		{ck.CKP_PKCS5_PBKD2_HMAC_SHA1, "password", "salt", 4096, "4b007901b765489abead49d926f721d065a429c1"},
		{ck.CKP_PKCS5_PBKD2_HMAC_SHA1, "passwordPASSWORDpassword", "saltSALTsaltSALTsaltSALTsaltSALTsalt", 4096,
			"3d2eec4fe41c849b80c8d83662c0e44a8b291a964cf2f07038"},
		{ck.CKP_PKCS5_PBKD2_HMAC_SHA1, "pass\x00word", "sa\x00lt", 4096, "56fa6aa75548099dcc37d7f03425e0c3"},
		{ck.CKP_PKCS5_PBKD2_HMAC_SHA256, "passwd", "salt", 1,
			"55ac046e56e3089fec1691c22544b605f94185216dde0465e68b9d57c20dacbc" +
				"49ca9cccf179b645991664b39d77ef317c71b845b1e30bd509112041d3a19783"},
		{ck.CKP_PKCS5_PBKD2_HMAC_SHA256, "Password", "NaCl", 80000,
			"4ddcd8f60b98be21830cee5ef22701f9641a4418d04c0414aeff08876b34ab56" +
				"a1d425a1225833549adb841b51c9b3176a272bdebba1d078478f62b397f33c8d"},
	} {
		p := &PBKDF2Params{ck.CKZ_SALT_SPECIFIED, []byte(v.salt), v.iterations, v.prf, nil, []byte(v.password)}
		attrs, err := generatePBKDF2(p, []ck.Attribute{ck.NewULong(ck.CKA_VALUE_LEN, uint64(len(v.want)/2))})
		if err != nil || !bytes.Equal(ck.Find(attrs, ck.CKA_VALUE).Value, unhex(v.want)) {
			t.Errorf("%+v: %v, %v", v, attrs, err)
		}
	}
}

func TestPBKDF2Errors(t *testing.T) {
	good := PBKDF2Params{ck.CKZ_SALT_SPECIFIED, pattern(8), 2, ck.CKP_PKCS5_PBKD2_HMAC_SHA512, nil, pattern(5)}
	template := []ck.Attribute{ck.NewULong(ck.CKA_KEY_TYPE, ck.CKK_AES), ck.NewULong(ck.CKA_VALUE_LEN, uint64(32))}
	try := func(want ck.RV, change func(*PBKDF2Params), template ...ck.Attribute) {
		t.Helper()
		p := good
		change(&p)
		_, err := generatePBKDF2(&p, template)
		if want == ck.CKR_OK {
			if err != nil {
				t.Error(err)
			}
			return
		}
		wantError(t, err, want)
	}
	same := func(*PBKDF2Params) {}
	try(ck.CKR_OK, same, template...)
	try(ck.CKR_OK, func(p *PBKDF2Params) { p.Password, p.Salt = nil, nil }, template...)
	for _, n := range []uint64{0, maxPBKDF2Work + 1, 1 << 40, math.MaxUint64} {
		try(ck.CKR_MECHANISM_PARAM_INVALID, func(p *PBKDF2Params) { p.Iterations = n }, template...)
	}
	try(ck.CKR_MECHANISM_PARAM_INVALID, func(p *PBKDF2Params) { p.PRF = ck.CKP_PKCS5_PBKD2_HMAC_GOSTR3411 }, template...)
	try(ck.CKR_MECHANISM_PARAM_INVALID, func(p *PBKDF2Params) { p.PRF = 0 }, template...)
	try(ck.CKR_MECHANISM_PARAM_INVALID, func(p *PBKDF2Params) { p.PRFData = pattern(1) }, template...)
	try(ck.CKR_MECHANISM_PARAM_INVALID, func(p *PBKDF2Params) { p.SaltSource = 0 }, template...)
	try(ck.CKR_TEMPLATE_INCOMPLETE, same, template[0])
	try(ck.CKR_TEMPLATE_INCOMPLETE, same)
	try(ck.CKR_ATTRIBUTE_VALUE_INVALID, same, ck.NewBytes(ck.CKA_KEY_TYPE, []byte{1}), template[1])
	try(ck.CKR_ATTRIBUTE_VALUE_INVALID, same, template[0], ck.NewULong(ck.CKA_VALUE_LEN, uint64(1<<40)))
	_, err := generatePBKDF2(nil, template)
	wantError(t, err, ck.CKR_MECHANISM_PARAM_INVALID)
}
