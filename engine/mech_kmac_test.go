package engine

import (
	"testing"

	"github.com/perilune/perilune/cryptoki/ck"
)

// TestKMAC checks NIST's samples for SP 800-185 (1, 3, 5 and 6; 2 and 4 are in the
// self-tests), and case 1 of Wycheproof's kmac*_no_customization_test.json, which
// test/wycheproof runs in full.
func TestKMAC(t *testing.T) {
	key, tagged := counted(0x40, 32), []byte("My Tagged Application")
	for _, v := range []struct {
		m                  ck.MechanismType
		p                  any
		key, message, code string
	}{
		{ck.CKM_KMAC_128, nil, key, "00010203", "e5780b0d3ea6f7d3a429c5706aa43a00fadbd7d49628839e3187243f456ee14e"},
		{ck.CKM_KMAC_128, &KMACParams{Customization: tagged, MACLen: 32}, key, counted(0, 200),
			"1f5b4e6cca02209e0dcb5ca635b89a15e271ecc760071dfd805faa38f9729230"},
		{ck.CKM_KMAC_256, nil, key, counted(0, 200),
			"75358cf39e41494e949707927cee0af20a3ff553904c86b08f21cc414bcfd691" +
				"589d27cf5e15369cbbff8b9a4c2eb17800855d0235ff635da82533ec6b759b69"},
		{ck.CKM_KMAC_256, &KMACParams{Customization: tagged}, key, counted(0, 200),
			"b58618f71f92e1d56c1b8c55ddd7cd188b97b4ca4d99831eb2699a837da2e4d9" +
				"70fbacfde50033aea585f1a2708510c32d07880801bd182898fe476876fc8965"},
		{ck.CKM_KMAC_128, &KMACParams{MACLen: 16}, "7bf9e536b66a215c22233fe2daaa743a898b9acb9f7802de70b40e3d6e43ef97", "",
			"be57a6d8490ba4b078d9263500b9dd45"},
		{ck.CKM_KMAC_256, &KMACParams{MACLen: 16}, "7bf9e536b66a215c22233fe2daaa743a898b9acb9f7802de70b40e3d6e43ef97", "",
			"00dc4aa51c7870f5eed5841be03ad464"},
	} {
		checkMAC(t, v.m, secretKey(ck.CKK_GENERIC_SECRET, unhex(v.key)), v.p, unhex(v.message), unhex(v.code))
	}
}

func TestKMACErrors(t *testing.T) {
	k := secretKey(ck.CKK_GENERIC_SECRET, pattern(32))
	for _, p := range []any{uint64(16), pattern(3), &KMACParams{MACLen: maxSecret + 1}, &KMACParams{MACLen: 1 << 63}} {
		wantError(t, beginError(Find(ck.CKM_KMAC_128).Sign(k, p)), ck.CKR_MECHANISM_PARAM_INVALID)
	}
	wantError(t, beginError(Find(ck.CKM_KMAC_128).Sign(&Key{}, nil)), ck.CKR_KEY_SIZE_RANGE)
	// A code that is longer than those of other MACs.
	p := &KMACParams{MACLen: 1000}
	op, err := Find(ck.CKM_KMAC_256).Sign(k, p)
	code, err := runOp(op, err, []byte("message"))
	if err != nil {
		t.Fatal(err)
	}
	v, err := Find(ck.CKM_KMAC_256).Verify(k, p)
	if err != nil {
		t.Fatal(err)
	}
	if err := v.Verify([]byte("message"), code); err != nil {
		t.Error(err)
	}
}
