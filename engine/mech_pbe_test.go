package engine

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha1"
	"encoding/hex"
	"testing"

	"github.com/perilune/perilune/cryptoki/ck"
)

// TestPKCS12KDF checks the vectors of the OpenSSL PKCS#12 FAQ's test.txt: those of
// keys have 24 bytes, of IVs 8, of MAC keys 20.
func TestPKCS12KDF(t *testing.T) {
	for _, v := range []struct {
		password, salt string
		purpose        byte
		iterations     uint64
		want           string
	}{
		{"smeg", "0a58cf64530d823f", 1, 1, "8aaae6297b6cb04642ab5b077851284eb7128f1a2a7fbca3"},
		{"smeg", "0a58cf64530d823f", 2, 1, "79993dfe048d3b76"},
		{"smeg", "642b99ab44fb4b1f", 1, 1, "f3a95fec48d7711e985cfe67908c5ab79fa3d7c5caa5d966"},
		{"smeg", "642b99ab44fb4b1f", 2, 1, "c0a38d64a79bea1d"},
		{"smeg", "3d83c0e4546ac140", 3, 1, "8d967d88f6caa9d714800ab3d48051d63f73a312"},
		{"queeg", "05dec959acff72f7", 1, 1000, "ed2034e36328830ff09df1e1a07dd357185dac0d4f9eb3d4"},
		{"queeg", "05dec959acff72f7", 2, 1000, "11dedad7758d4860"},
		{"queeg", "1682c0fc5b3f7ec5", 1, 1000, "483dd6e919d7de2e8e648ba8f862f3fbfbdc2bcb2c02957f"},
		{"queeg", "1682c0fc5b3f7ec5", 2, 1000, "9d461d1b00355c50"},
		{"queeg", "263216fcc2fab31c", 3, 1000, "5ec4c7a80df652294c3925b6489a7ab857c83476"},
	} {
		password, err := bmpString([]byte(v.password))
		if err != nil {
			t.Fatal(err)
		}
		got := pkcs12KDF(sha1.New(), v.purpose, password, unhex(v.salt), v.iterations, len(v.want)/2)
		if hex.EncodeToString(got) != v.want {
			t.Errorf("%s, %s, %d: %x, want %s", v.password, v.salt, v.purpose, got, v.want)
		}
	}
}

// TestPasswordMAC checks codes of Bouncy Castle's PBETest: HMAC-SHA1 with keys
// made of the password "hello", a salt of 20 zeros and 100 iterations.
func TestPasswordMAC(t *testing.T) {
	salt := make([]byte, 20)
	template := []ck.Attribute{ck.NewULong(ck.CKA_VALUE_LEN, uint64(20))}
	for _, v := range []struct {
		m    ck.MechanismType
		p    any
		want string
	}{
		{ck.CKM_PBA_SHA1_WITH_SHA1_HMAC, &PBEParams{nil, []byte("hello"), salt, 100}, "bcc42174ccb04f425d9a5c8c4a95d6fd7c372911"},
		{ck.CKM_PKCS5_PBKD2, &PBKDF2Params{ck.CKZ_SALT_SPECIFIED, salt, 100, ck.CKP_PKCS5_PBKD2_HMAC_SHA1, nil, []byte("hello")},
			"514aa173a302c770689269aac08eb8698e5879ac"},
		{ck.CKM_PKCS5_PBKD2, &PBKDF2Params{ck.CKZ_SALT_SPECIFIED, salt, 100, ck.CKP_PKCS5_PBKD2_HMAC_SM3, nil, []byte("hello")},
			"d24b4eb0e5bd611d4ca88bd6428d14ee2e004c7e"},
	} {
		attrs, err := Find(v.m).Generate(v.p, template)
		if err != nil {
			t.Fatal(err)
		}
		x := hmac.New(sha1.New, ck.Find(attrs, ck.CKA_VALUE).Value)
		x.Write(unhex("4869205468657265"))
		if got := x.Sum(nil); hex.EncodeToString(got) != v.want {
			t.Errorf("%v: %x, want %s", v.m, got, v.want)
		}
	}
}

// TestBMPString: the first is the example of RFC 7292, appendix B.1; one character
// is outside the basic plane.
func TestBMPString(t *testing.T) {
	for _, v := range []struct{ password, want string }{
		{"Beavis", "0042006500610076006900730000"},
		{"", "0000"},
		{"ä€😀", "00e420acd83dde000000"},
	} {
		got, err := bmpString([]byte(v.password))
		if err != nil || hex.EncodeToString(got) != v.want {
			t.Errorf("%q: %x, %v", v.password, got, err)
		}
	}
	if got, err := bmpString(nil); err != nil || len(got) != 0 {
		t.Errorf("nothing: %x, %v", got, err)
	}
	_, err := bmpString([]byte("\xe4"))
	wantError(t, err, ck.CKR_MECHANISM_PARAM_INVALID)
}

// TestPBE checks what goes for every mechanism, and lengths that the template
// asks for.
func TestPBE(t *testing.T) {
	for _, b := range pbes {
		generate := Find(b.mechanism).Generate
		p := &PBEParams{new([8]byte), []byte(b.test.password), unhex(b.test.salt), b.test.iterations}
		attrs, err := generate(p, []ck.Attribute{ck.NewULong(ck.CKA_KEY_TYPE, b.makes), ck.NewULong(ck.CKA_VALUE_LEN, uint64(b.max))})
		if err != nil {
			t.Errorf("%v: %v", b.mechanism, err)
			continue
		}
		key := ck.Find(attrs, ck.CKA_VALUE).Value
		if len(key) != b.max || b.noIV && *p.IV != [8]byte{} {
			t.Errorf("%v: key %x, IV %x", b.mechanism, key, *p.IV)
		}
		if b.parity {
			again := bytes.Clone(key)
			if oddParity(again); !bytes.Equal(again, key) {
				t.Errorf("%v: parity of %x", b.mechanism, key)
			}
		}
		fails := func(want ck.RV, change func(p *PBEParams), template ...ck.Attribute) {
			t.Helper()
			p := *p
			change(&p)
			_, err := generate(&p, template)
			if ck.RVOf(err) != want {
				t.Errorf("%v: %v, want %v", b.mechanism, err, want)
			}
		}
		same := func(*PBEParams) {}
		fails(ck.CKR_MECHANISM_PARAM_INVALID, func(p *PBEParams) { p.Iterations = 0 })
		fails(ck.CKR_MECHANISM_PARAM_INVALID, func(p *PBEParams) { p.Iterations = 1 << 60 })
		fails(ck.CKR_ATTRIBUTE_VALUE_INVALID, same, ck.NewULong(ck.CKA_VALUE_LEN, uint64(b.max+1)))
		fails(ck.CKR_ATTRIBUTE_VALUE_INVALID, same, ck.NewULong(ck.CKA_VALUE_LEN, uint64(0)))
		fails(ck.CKR_TEMPLATE_INCONSISTENT, same, ck.NewULong(ck.CKA_KEY_TYPE, ck.CKK_AES))
		if !b.noIV {
			fails(ck.CKR_MECHANISM_PARAM_INVALID, func(p *PBEParams) { p.IV = nil })
		}
		if b.pkcs12 != 0 {
			fails(ck.CKR_MECHANISM_PARAM_INVALID, func(p *PBEParams) { p.Password = []byte{0xff} })
		}
		_, err = generate(nil, nil)
		wantError(t, err, ck.CKR_MECHANISM_PARAM_INVALID)
	}
	// A longer key takes the beginning of the same bytes, and the IV those behind.
	p := &PBEParams{new([8]byte), []byte("password"), unhex("78578e5a5d63cb06"), 1000}
	attrs, err := Find(ck.CKM_PBE_SHA1_CAST128_CBC).Generate(p, []ck.Attribute{ck.NewULong(ck.CKA_VALUE_LEN, uint64(12))})
	if err != nil || hex.EncodeToString(ck.Find(attrs, ck.CKA_VALUE).Value) != "dc19847e05c64d2faf10ebfb" ||
		hex.EncodeToString(p.IV[:4]) != "4a3d2a20" {
		t.Errorf("12 bytes: %v, IV %x, %v", attrs, *p.IV, err)
	}
}
