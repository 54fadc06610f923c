package engine

import (
	"bytes"
	"math/bits"
	"testing"

	"github.com/perilune/perilune/cryptoki/ck"
)

func TestDESKeyGen(t *testing.T) {
	for m, n := range map[ck.MechanismType]int{ck.CKM_DES_KEY_GEN: 8, ck.CKM_DES2_KEY_GEN: 16, ck.CKM_DES3_KEY_GEN: 24} {
		row := Find(m)
		for _, template := range [][]ck.Attribute{nil, {ck.NewULong(ck.CKA_VALUE_LEN, uint64(n))}} {
			attrs, err := row.Generate(nil, template)
			if err != nil {
				t.Fatal(err)
			}
			v := ck.Find(attrs, ck.CKA_VALUE).Value
			if len(v) != n || !hasOddParity(v) {
				t.Errorf("%v: %d bytes, odd parity %v", m, len(v), hasOddParity(v))
			}
		}
		_, err := row.Generate(nil, []ck.Attribute{ck.NewULong(ck.CKA_VALUE_LEN, uint64(n+8))})
		wantError(t, err, ck.CKR_ATTRIBUTE_VALUE_INVALID)
		_, err = row.Generate(pattern(1), nil)
		wantError(t, err, ck.CKR_MECHANISM_PARAM_INVALID)
	}
}

func hasOddParity(key []byte) bool {
	for _, b := range key {
		if bits.OnesCount8(b)%2 == 0 {
			return false
		}
	}
	return true
}

// TestFreshDES: a weak key is one under which encryption undoes itself, or what
// its partner did.
func TestFreshDES(t *testing.T) {
	for i, weak := range weakDES {
		if !hasOddParity(weak[:]) {
			t.Errorf("%x has no odd parity", weak)
		}
		partner := weakDES[i]
		if i >= 4 {
			partner = weakDES[i^1]
		}
		b := pattern(8)
		for _, key := range [][8]byte{weak, partner} {
			c, err := desFamily.new(key[:])
			if err != nil {
				t.Fatal(err)
			}
			c.Encrypt(b, b)
		}
		if !bytes.Equal(b, pattern(8)) {
			t.Errorf("%x is not weak", weak)
		}
		if wrong := weak; freshDES(wrong[:]) {
			t.Errorf("%x passes", weak)
		}
		wrong := weak
		wrong[3] ^= 1 // the parity bit alone
		if freshDES(append(unhex(fips81Key), wrong[:]...)) {
			t.Errorf("%x passes", wrong)
		}
	}
	one, two := unhex(fips81Key), unhex("fedcba9876543210")
	for _, c := range []struct {
		key  []byte
		good bool
	}{
		{bytes.Clone(one), true},
		{append(bytes.Clone(one), two...), true},
		{append(bytes.Clone(one), one...), false},
		{append(append(bytes.Clone(one), two...), one...), false},
	} {
		if got := freshDES(c.key); got != c.good {
			t.Errorf("%x: %v", c.key, got)
		}
	}
}

// TestDESKeyTypes checks lengths, that parity stays as it came, and check values.
func TestDESKeyTypes(t *testing.T) {
	for kt, n := range map[ck.KeyType]int{ck.CKK_DES: 8, ck.CKK_DES2: 16, ck.CKK_DES3: 24} {
		row := FindKeyType(kt)
		attrs, err := row.Complete(secretKey(kt, pattern(n)))
		if err != nil || ck.Find(attrs, ck.CKA_VALUE) != nil {
			t.Errorf("%v: %v, %v", kt, attrs, err)
		}
		for _, wrong := range []int{0, n - 1, n + 1, n + 8} {
			_, err := row.Complete(secretKey(kt, pattern(wrong)))
			wantError(t, err, ck.CKR_ATTRIBUTE_VALUE_INVALID)
		}
	}
	// KCVs that payment HSMs print for these well-known keys.
	for key, kcv := range map[string]string{
		"0123456789abcdef":                                 "d5d44f",
		"0123456789abcdeffedcba9876543210":                 "08d7b4",
		"6ac292faa1315b4d858ab3a3d7d5933a":                 "af8c07",
		"0123456789abcdeffedcba98765432100123456789abcdef": "08d7b4",
	} {
		kt := desAny.keys[len(key)/16-1]
		got, err := FindKeyType(kt).CheckValue(secretKey(kt, unhex(key)))
		if err != nil || !bytes.Equal(got, unhex(kcv)) {
			t.Errorf("%s: %x, %v; want %s", key, got, err, kcv)
		}
	}
}

// TestDerivedParity: a derivation that makes a DES key sets its parity, and does
// not touch the bytes that it took them from.
func TestDerivedParity(t *testing.T) {
	base := secretKey(ck.CKK_DES3, pattern(24))
	p := &StringDataParams{make([]byte, 24)}
	derive := Find(ck.CKM_DES3_ECB_ENCRYPT_DATA).Derive
	raw, err := derive(base, p, &Derivation{Type: ck.CKK_GENERIC_SECRET, Len: 24})
	if err != nil || hasOddParity(raw) {
		t.Fatalf("%x, %v", raw, err)
	}
	for kt, n := range map[ck.KeyType]int{ck.CKK_DES: 8, ck.CKK_DES2: 16, ck.CKK_DES3: 24} {
		got, err := derive(base, p, &Derivation{Type: kt, Len: n})
		oddParity(raw)
		if err != nil || !bytes.Equal(got, raw[:n]) {
			t.Errorf("%v: %x, %v; want %x", kt, got, err, raw[:n])
		}
	}
	_, err = derive(base, &StringDataParams{make([]byte, 12)}, &Derivation{Type: ck.CKK_DES, Len: 8})
	wantError(t, err, ck.CKR_MECHANISM_PARAM_INVALID)
}

// TestDESLengths: blocks are of 8 bytes.
func TestDESLengths(t *testing.T) {
	k := secretKey(ck.CKK_DES2, pattern(16))
	for m, p := range map[ck.MechanismType]any{ck.CKM_DES3_ECB: nil, ck.CKM_DES3_CBC: pattern(8)} {
		op, err := Find(m).Encrypt(k, p)
		wantError(t, finishError(op, err, pattern(12)), ck.CKR_DATA_LEN_RANGE)
		op, err = Find(m).Decrypt(k, p)
		wantError(t, finishError(op, err, pattern(12)), ck.CKR_ENCRYPTED_DATA_LEN_RANGE)
		op, err = Find(m).Wrap(k, p)
		wrapped, err := runOp(op, err, pattern(12))
		if err != nil || len(wrapped) != 16 {
			t.Errorf("%v: %x, %v", m, wrapped, err)
		}
	}
	for n := range 30 {
		op, err := Find(ck.CKM_DES3_CBC_PAD).Encrypt(k, pattern(8))
		sealed, err := runOp(op, err, pattern(n))
		if err != nil || len(sealed) != n/8*8+8 {
			t.Fatalf("%d bytes became %d, %v", n, len(sealed), err)
		}
		checkCipher(t, ck.CKM_DES3_CBC_PAD, k, pattern(8), pattern(n), sealed)
	}
	// A counter of 2 bits that starts as 1 (as in TestCTRLimit).
	counter := &DESCTRParams{2, [8]byte{7: 1}}
	op, err := Find(ck.CKM_DES3_CTR).Encrypt(k, counter)
	wantError(t, finishError(op, err, make([]byte, 25)), ck.CKR_DATA_LEN_RANGE)
	op, err = Find(ck.CKM_DES3_CTR).Encrypt(k, counter)
	got, err := runOp(op, err, make([]byte, 24))
	want := make([]byte, 24)
	for i := range 3 {
		want[8*i+7] = byte(i + 1)
	}
	ecb, err2 := Find(ck.CKM_DES3_ECB).Encrypt(k, nil)
	if want, err2 = runOp(ecb, err2, want); err != nil || err2 != nil || !bytes.Equal(got, want) {
		t.Errorf("%x, %v, %v; want %x", got, err, err2, want)
	}
}

// TestDUKPT: the first five transactions of ANSI X9.24-1, annex A.4, by what
// their keys encrypt: a PIN block, and data in both directions; and the MACs of
// both directions.
func TestDUKPT(t *testing.T) {
	base := secretKey(ck.CKK_DES2, unhex("0123456789abcdeffedcba9876543210"))
	data := "34303132333435363738393039443938" + "37"
	for ksn, want := range map[string][5]string{
		"ffff9876543210e00001": {"1b9c1845eb993a7a", "fc0d53b7ea1fda9ee68aaf2e70d9b9506229be2aa993f04f",
			"1fcc89af66222f27b903898bb2bc8589cdbfde5ec6afcc25", "9ccc7817", "20364223"},
		"ffff9876543210e00002": {"10a01c8d02c69107", "a2b4e70f846e63d68775b7215eb4563dfd3037244c61cc13",
			"5b692a6b1fdd5e25b0defafde1672e402f8011360cff3508", "f608a9bc", "d1fca6be"},
		"ffff9876543210e00003": {"18dc07b94797b466", "bd751e65f10e75b6c1d5b1d283496a36c2de21d993c387a7",
			"345992d4163e4926c927bfd8abd5d76f087a9ce81d5a27b8", "20b59a4f", "bad4cc9c"},
		"ffff9876543210e00004": {"0bc79509d5645df7", "1118f50947441bbda3c8c70220021a12ec31cc473f7215f4",
			"418c7413576c0d1819e785d3807af32334231fdec23414db", "c7bfa6cc", "1eb08aee"},
		"ffff9876543210e00005": {"5bc0af22ad87b327", "9fd7bd1ec28845aca93367a9da9317bd555c6b33ae22d365",
			"7d4c109e49e83355a556ae949eed359f4404e7a2f0167c00", "0202b963", "5cbe3e81"},
	} {
		key := func(m ck.MechanismType) *Key {
			v, err := Find(m).Derive(base, &StringDataParams{unhex(ksn)}, &Derivation{Type: ck.CKK_DES2, Len: 16})
			if err != nil {
				t.Fatal(err)
			}
			return secretKey(ck.CKK_DES2, v)
		}
		ecb, cbc, iv := Find(ck.CKM_DES3_ECB).Encrypt, Find(ck.CKM_DES3_CBC).Encrypt, make([]byte, 8)
		for _, err := range []error{
			testOp(ck.CKM_DES2_DUKPT_PIN, ecb, key(ck.CKM_DES2_DUKPT_PIN), nil, "041274edcba9876f", want[0]),
			testOp(ck.CKM_DES2_DUKPT_DATA, cbc, key(ck.CKM_DES2_DUKPT_DATA), iv, dukptData, want[1]),
			testOp(ck.CKM_DES2_DUKPT_DATA_RESP, cbc, key(ck.CKM_DES2_DUKPT_DATA_RESP), iv, dukptData, want[2]),
			testMAC(ck.CKM_DES3_X919_MAC, key(ck.CKM_DES2_DUKPT_MAC), nil, data, want[3]),
			testMAC(ck.CKM_DES3_X919_MAC, key(ck.CKM_DES2_DUKPT_MAC_RESP), nil, data, want[4]),
		} {
			if err != nil {
				t.Errorf("%s: %v", ksn, err)
			}
		}
	}

	derive := Find(ck.CKM_DES2_DUKPT_PIN).Derive
	for _, p := range []any{nil, (*StringDataParams)(nil), &StringDataParams{}, &StringDataParams{pattern(9)}, &StringDataParams{pattern(11)}} {
		_, err := derive(base, p, &Derivation{Type: ck.CKK_DES2, Len: 16})
		wantError(t, err, ck.CKR_MECHANISM_PARAM_INVALID)
	}
	_, err := derive(base, &StringDataParams{pattern(10)}, &Derivation{Type: ck.CKK_AES, Len: 16})
	wantError(t, err, ck.CKR_TEMPLATE_INCONSISTENT)
	if !bytes.Equal(base.Value(), unhex("0123456789abcdeffedcba9876543210")) {
		t.Error("the base key has changed")
	}
}

// TestDUKPTCounter: later transactions of annex A.4, with many ones in the
// counter.
func TestDUKPTCounter(t *testing.T) {
	initial := dukptKey(unhex("6ac292faa1315b4d858ab3a3d7d5933a"))
	got, err := dukptInitial(secretKey(ck.CKK_DES2, unhex("0123456789abcdeffedcba9876543210")), [10]byte(unhex("ffff9876543210eff800")))
	if err != nil || got != initial {
		t.Errorf("initial key %x, %v", got, err)
	}
	for ksn, want := range map[string]string{
		"ffff9876543210e00001": "042666b49184cfa368de9628d0397bc9",
		"ffff9876543210eff800": "f9cdfebf4f5b1d9eb3ec12454527e176",
	} {
		key, err := dukptTransaction(initial, [10]byte(unhex(ksn)))
		if err != nil || key != dukptKey(unhex(want)) {
			t.Errorf("%s: %x, %v; want %s", ksn, key, err, want)
		}
	}
}
