package engine

import (
	"bytes"
	"slices"
	"testing"

	"github.com/perilune/perilune/cryptoki/ck"
)

// TestPRFKDF checks the keys of RFC 8009, appendix A (label, 0, context of no
// bytes, length), also with label and context in each other's place, and
// vectors of NIST CAVP's KDFCTR_gen with the fixed data cut in two.
func TestPRFKDF(t *testing.T) {
	for _, v := range []struct {
		prf              uint64
		key, label, want string
	}{
		{ck.CK_PRF_KDF_HMAC_SHA256, "3705d96080c17728a0e800eab6e0d23c", "00000002aa", "9b197dd1e8c5609d6e67c3e37c62c72e"},
		{ck.CK_PRF_KDF_HMAC_SHA256, "3705d96080c17728a0e800eab6e0d23c", "0000000255", "9fda0e56ab2d85e1569a688696c26a6c"},
		{ck.CK_PRF_KDF_HMAC_SHA384, "6d404d37faf79f9df0d33568d320669800eb4836472ea8a026d16b7182460c52", "0000000299",
			"ef5718be86cc84963d8bbb5031e9f5c4ba41f28faf69e73d"},
		{ck.CK_PRF_KDF_HMAC_SHA384, "6d404d37faf79f9df0d33568d320669800eb4836472ea8a026d16b7182460c52", "00000002aa",
			"56ab22bee63d82d7bc5227f6773f8ea7a5eb1c825160c38312980c442e5c7e49"},
		{ck.CK_PRF_KDF_HMAC_SHA384, "6d404d37faf79f9df0d33568d320669800eb4836472ea8a026d16b7182460c52", "0000000255",
			"69b16514e3cd8e56b82010d5c73012b622c4d00ffc23ed1f"},
	} {
		for _, p := range []*KDFPRFParams{
			{PRF: v.prf, Counter: 1, Encoding: ck.CK_PRF_KDF_ENCODING_SCHEME_3, Label: unhex(v.label)},
			{PRF: v.prf, Counter: 1, Encoding: ck.CK_PRF_KDF_ENCODING_SCHEME_1, Context: unhex(v.label)},
		} {
			for _, m := range []ck.MechanismType{ck.CKM_NIST_PRF_KDF, ck.CKM_PRF_KDF} {
				if err := testDerive(m, unhex(v.key), p, v.want); err != nil {
					t.Errorf("%v, %s, encoding %d: %v", m, v.label, p.Encoding, err)
				}
			}
		}
	}
	for _, v := range counterVectors {
		if v.width != 32 || v.before != "" {
			continue
		}
		for number, f := range kdfPRFs {
			if f.mechanism != v.prf {
				continue
			}
			label, context := unhex(v.after)[:20], unhex(v.after)[20:]
			for _, p := range []*KDFPRFParams{
				{PRF: number, Counter: 1, Encoding: ck.CK_PRF_KDF_ENCODING_SCHEME_4, Label: label, Context: context},
				{PRF: number, Counter: 1, Encoding: ck.CK_PRF_KDF_ENCODING_SCHEME_2, Label: context, Context: label},
			} {
				if err := testDeriveFrom(ck.CKM_NIST_PRF_KDF, secretKey(v.keyType, unhex(v.key)), p, v.want); err != nil {
					t.Errorf("%v, encoding %d: %v", v.prf, p.Encoding, err)
				}
			}
		}
	}
}

// TestSCP03 computes the cryptograms of cards in recorded sessions, from the
// tests of pySim (test_globalplatform.py): the session key for MACs, then with it
// the cryptogram.
func TestSCP03(t *testing.T) {
	for _, v := range []struct{ key, challenges, want string }{
		{"101112131415161718191a1b1c1d1e1f", "b13e5f938fc108c4" + "3eb51047495b249f", "66c484c1d2ef1948"},
		{"101112131415161718191a1b1c1d1e1f", "8e1552d0513c60f3" + "30760cd2c47c1dd3", "95065fe5ead8a9d7"},
	} {
		derive := func(key []byte, constant byte, n int) []byte {
			p := &KDFPRFParams{PRF: ck.CK_PRF_KDF_AES_CMAC, Counter: 1, Encoding: ck.CK_PRF_KDF_ENCODING_SCHEME_SCP03,
				Label: append(make([]byte, 11), constant), Context: unhex(v.challenges)}
			out, err := Find(ck.CKM_NIST_PRF_KDF).Derive(secretKey(ck.CKK_AES, key), p, &Derivation{Type: ck.CKK_GENERIC_SECRET, Len: n})
			if err != nil {
				t.Fatal(err)
			}
			return out
		}
		if got := derive(derive(unhex(v.key), 6, 16), 0, 8); !bytes.Equal(got, unhex(v.want)) {
			t.Errorf("%x, want %s", got, v.want)
		}
	}
}

func TestPRFKDFErrors(t *testing.T) {
	good := KDFPRFParams{PRF: ck.CK_PRF_KDF_HMAC_SHA256, Label: []byte("label"), Context: []byte("context"), Counter: 1}
	with := func(change func(p *KDFPRFParams)) *KDFPRFParams {
		p := good
		change(&p)
		return &p
	}
	for name, c := range map[string]struct {
		m    ck.MechanismType
		p    any
		n    int
		want ck.RV
	}{
		"none":         {ck.CKM_PRF_KDF, nil, 16, ck.CKR_MECHANISM_PARAM_INVALID},
		"function 0":   {ck.CKM_PRF_KDF, with(func(p *KDFPRFParams) { p.PRF = 0 }), 16, ck.CKR_MECHANISM_PARAM_INVALID},
		"function 15":  {ck.CKM_PRF_KDF, with(func(p *KDFPRFParams) { p.PRF = 15 }), 16, ck.CKR_MECHANISM_PARAM_INVALID},
		"RIPEMD-160":   {ck.CKM_NIST_PRF_KDF, with(func(p *KDFPRFParams) { p.PRF = ck.CK_PRF_KDF_HMAC_RIPEMD160 }), 16, ck.CKR_MECHANISM_PARAM_INVALID},
		"ARIA":         {ck.CKM_NIST_PRF_KDF, with(func(p *KDFPRFParams) { p.PRF = ck.CK_PRF_KDF_ARIA_CMAC }), 16, ck.CKR_MECHANISM_PARAM_INVALID},
		"key type":     {ck.CKM_NIST_PRF_KDF, with(func(p *KDFPRFParams) { p.PRF = ck.CK_PRF_KDF_AES_CMAC }), 16, ck.CKR_KEY_TYPE_INCONSISTENT},
		"HID":          {ck.CKM_PRF_KDF, with(func(p *KDFPRFParams) { p.Encoding = ck.CK_PRF_KDF_ENCODING_SCHEME_HID_KD }), 16, ck.CKR_MECHANISM_PARAM_INVALID},
		"encoding":     {ck.CKM_PRF_KDF, with(func(p *KDFPRFParams) { p.Encoding = 1 << 63 }), 16, ck.CKR_MECHANISM_PARAM_INVALID},
		"counter":      {ck.CKM_PRF_KDF, with(func(p *KDFPRFParams) { p.Counter = 1 << 32 }), 16, ck.CKR_MECHANISM_PARAM_INVALID},
		"last counter": {ck.CKM_PRF_KDF, with(func(p *KDFPRFParams) { p.Counter = 1<<32 - 1 }), 33, ck.CKR_MECHANISM_PARAM_INVALID},
		"SCP03, long":  {ck.CKM_PRF_KDF, with(func(p *KDFPRFParams) { p.Encoding = ck.CK_PRF_KDF_ENCODING_SCHEME_SCP03 }), 8193, ck.CKR_MECHANISM_PARAM_INVALID},
		"no length":    {ck.CKM_PRF_KDF, &good, 0, ck.CKR_TEMPLATE_INCOMPLETE},
		"too long":     {ck.CKM_PRF_KDF, &good, maxSecret + 1, ck.CKR_KEY_SIZE_RANGE},
	} {
		_, err := Find(c.m).Derive(secretKey(ck.CKK_GENERIC_SECRET, pattern(32)), c.p, &Derivation{Type: ck.CKK_GENERIC_SECRET, Len: c.n})
		if ck.RVOf(err) != c.want {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
	_, err := Find(ck.CKM_PRF_KDF).Derive(&Key{}, &good, &Derivation{Type: ck.CKK_GENERIC_SECRET, Len: 16})
	wantError(t, err, ck.CKR_KEY_SIZE_RANGE)
}

// TestXORKDF checks a vector of NIST CAVP's ANS X9.63 (SHA-256 with shared data)
// as encryption.
func TestXORKDF(t *testing.T) {
	m := Find(ck.CKM_XOR_BASE_AND_DATA_W_KDF)
	k := secretKey(ck.CKK_GENERIC_SECRET, unhex("22518b10e70f2a3f243810ae3254139efbee04aa57c7af7d"))
	p := &XORBaseDataKDFParams{ck.CKD_SHA256_KDF, unhex("75eef81aa3041e33b80971203d2c0c52")}
	stream := unhex("c498af77161cc59f2962b9a713e2b215152d139766ce34a776df11866a69bf2e" +
		"52a13d9c7c6fc878c50c5ea0bc7b00e0da2447cfd874f6cf92f30d0097111485")
	for _, begin := range []begin{m.Encrypt, m.Decrypt} {
		for _, n := range []int{0, 1, 31, 64} {
			message := bytes.Repeat([]byte{0x5a}, n)
			op, err := begin(k, p)
			got, err := runOp(op, err, slices.Clone(message))
			for i := range message {
				message[i] ^= stream[i]
			}
			if err != nil || !bytes.Equal(got, message) {
				t.Errorf("%d bytes: %x, %v", n, got, err)
			}
		}
		wantError(t, finishErr(begin(k, p)), ck.CKR_DATA_LEN_RANGE)
		wantError(t, beginError(begin(k, nil)), ck.CKR_MECHANISM_PARAM_INVALID)
		wantError(t, beginError(begin(k, &XORBaseDataKDFParams{KDF: ck.CKD_NULL})), ck.CKR_MECHANISM_PARAM_INVALID)
		wantError(t, beginError(begin(&Key{}, p)), ck.CKR_KEY_SIZE_RANGE)
	}
	for _, c := range []struct {
		p    any
		want ck.RV
	}{
		{nil, ck.CKR_MECHANISM_PARAM_INVALID},
		{&XORBaseDataKDFParams{KDF: ck.CKD_SHA256_KDF}, ck.CKR_MECHANISM_PARAM_INVALID},
		{&XORBaseDataKDFParams{1 << 40, []byte("data")}, ck.CKR_MECHANISM_PARAM_INVALID},
		{p, ck.CKR_TEMPLATE_INCOMPLETE},
	} {
		_, err := m.Derive(k, c.p, &Derivation{Type: ck.CKK_GENERIC_SECRET})
		wantError(t, err, c.want)
	}
}

// finishErr gives an operation more than it takes.
func finishErr(op Op, err error) error {
	if err != nil {
		return err
	}
	src := make([]byte, maxSecret+1)
	_, err = op.Finish(make([]byte, len(src)), src)
	return err
}
