package engine

import (
	"bytes"
	"fmt"
	"math"
	"math/big"
	"testing"

	"github.com/perilune/perilune/cryptoki/ck"
)

func TestSecretKeyGen(t *testing.T) {
	for _, m := range Mechanisms() {
		kt := FindKeyType(m.Makes)
		if m.Generate == nil || m.Param != nil || kt == nil || len(kt.Lengths) > 0 || m.Max < maxSecret {
			continue // these have tests of their own
		}
		for _, n := range []uint64{1, 20, maxSecret} {
			attrs, err := m.Generate(nil, []ck.Attribute{ck.NewULong(ck.CKA_VALUE_LEN, n)})
			if err != nil {
				t.Fatalf("%v: %v", m.Type, err)
			}
			k := &Key{Class: ck.CKO_SECRET_KEY, Type: m.Makes, Attrs: attrs}
			if got := kt.Size(k); got != n {
				t.Errorf("%v: %d bytes, want %d", m.Type, got, n)
			}
		}
		for _, n := range []uint64{0, maxSecret + 1, 1 << 40, math.MaxUint64} {
			_, err := m.Generate(nil, []ck.Attribute{ck.NewULong(ck.CKA_VALUE_LEN, n)})
			wantError(t, err, ck.CKR_ATTRIBUTE_VALUE_INVALID)
		}
		_, err := m.Generate(nil, nil)
		wantError(t, err, ck.CKR_TEMPLATE_INCOMPLETE)
	}
}

// TestConcatenate: the examples of the standard are the rows' self-tests; this
// is about lengths and what is refused.
func TestConcatenate(t *testing.T) {
	base, other := secretKey(ck.CKK_AES, pattern(16)), secretKey(ck.CKK_GENERIC_SECRET, pattern(10))
	both := append(pattern(16), pattern(10)...)
	derive := Find(ck.CKM_CONCATENATE_BASE_AND_KEY).Derive
	keys := []*Key{other}
	for _, c := range []struct {
		d    Derivation
		want []byte
		rv   ck.RV
	}{
		{Derivation{Type: ck.CKK_GENERIC_SECRET, Len: 0, Keys: keys}, both, 0},
		{Derivation{Type: ck.CKK_GENERIC_SECRET, Len: 26, Keys: keys}, both, 0},
		{Derivation{Type: ck.CKK_GENERIC_SECRET, Len: 5, Keys: keys}, both[:5], 0},
		{Derivation{Type: ck.CKK_AES, Len: 24, Keys: keys}, both[:24], 0},
		{Derivation{Type: ck.CKK_SHA256_HMAC, Len: 0, Keys: keys}, both, 0},
		{Derivation{Type: ck.CKK_GENERIC_SECRET, Len: 27, Keys: keys}, nil, ck.CKR_KEY_SIZE_RANGE},
		{Derivation{Type: ck.CKK_AES, Len: 0, Keys: keys}, nil, ck.CKR_TEMPLATE_INCOMPLETE},
		{Derivation{Type: ck.CKK_GENERIC_SECRET, Len: 0, Keys: nil}, nil, ck.CKR_MECHANISM_PARAM_INVALID},
		{Derivation{Type: ck.CKK_GENERIC_SECRET, Len: 0, Keys: []*Key{nil}}, nil, ck.CKR_MECHANISM_PARAM_INVALID},
		{Derivation{Type: ck.CKK_GENERIC_SECRET, Len: 0, Keys: []*Key{{Class: ck.CKO_PRIVATE_KEY}}}, nil, ck.CKR_KEY_TYPE_INCONSISTENT},
	} {
		got, err := derive(base, ck.ObjectHandle(7), &c.d)
		if c.rv != 0 {
			wantError(t, err, c.rv)
		} else if err != nil || !bytes.Equal(got, c.want) {
			t.Errorf("%+v: %x, %v; want %x", c.d, got, err, c.want)
		}
	}
	got, err := Find(ck.CKM_CONCATENATE_KEY_AND_BASE).Derive(base, ck.ObjectHandle(7), &Derivation{Type: ck.CKK_GENERIC_SECRET, Keys: keys})
	if err != nil || !bytes.Equal(got, append(pattern(10), pattern(16)...)) {
		t.Errorf("the other way round: %x, %v", got, err)
	}
	if !bytes.Equal(base.Value(), pattern(16)) || !bytes.Equal(other.Value(), pattern(10)) {
		t.Error("a key has changed")
	}
}

// TestXOR: the shorter of key and data gives the length.
func TestXOR(t *testing.T) {
	derive := Find(ck.CKM_XOR_BASE_AND_DATA).Derive
	base := secretKey(ck.CKK_GENERIC_SECRET, pattern(8))
	for n := 1; n < 12; n++ {
		got, err := derive(base, &StringDataParams{make([]byte, n)}, &Derivation{Type: ck.CKK_GENERIC_SECRET})
		if err != nil || !bytes.Equal(got, pattern(min(n, 8))) {
			t.Errorf("%x, %v", got, err)
		}
	}
	_, err := derive(base, &StringDataParams{}, &Derivation{Type: ck.CKK_GENERIC_SECRET})
	wantError(t, err, ck.CKR_TEMPLATE_INCOMPLETE)
	_, err = derive(base, &StringDataParams{}, &Derivation{Type: ck.CKK_GENERIC_SECRET, Len: 1})
	wantError(t, err, ck.CKR_KEY_SIZE_RANGE)
	_, err = derive(base, nil, &Derivation{Type: ck.CKK_GENERIC_SECRET})
	wantError(t, err, ck.CKR_MECHANISM_PARAM_INVALID)
}

// TestExtract compares each position with the bits of the number written out.
func TestExtract(t *testing.T) {
	derive := Find(ck.CKM_EXTRACT_KEY_FROM_KEY).Derive
	for _, value := range [][]byte{{0x5a}, unhex("329f84a9"), pattern(9)} {
		base := secretKey(ck.CKK_GENERIC_SECRET, value)
		written := fmt.Sprintf("%0*b", len(value)*8, new(big.Int).SetBytes(value))
		for first := range len(written) {
			for n := 1; n <= len(value); n++ {
				got, err := derive(base, uint64(first), &Derivation{Type: ck.CKK_GENERIC_SECRET, Len: n})
				want := (written + written)[first : first+8*n]
				if err != nil || fmt.Sprintf("%0*b", 8*n, new(big.Int).SetBytes(got)) != want {
					t.Errorf("%x from bit %d: %x, %v", value, first, got, err)
				}
			}
		}
		for _, p := range []any{nil, uint64(len(value) * 8), uint64(math.MaxUint64), pattern(8)} {
			_, err := derive(base, p, &Derivation{Type: ck.CKK_GENERIC_SECRET, Len: 1})
			wantError(t, err, ck.CKR_MECHANISM_PARAM_INVALID)
		}
		_, err := derive(base, uint64(0), &Derivation{Type: ck.CKK_GENERIC_SECRET})
		wantError(t, err, ck.CKR_TEMPLATE_INCOMPLETE)
		_, err = derive(base, uint64(0), &Derivation{Type: ck.CKK_GENERIC_SECRET, Len: len(value) + 1})
		wantError(t, err, ck.CKR_KEY_SIZE_RANGE)
	}
}

func TestSecretKeyTypes(t *testing.T) {
	for _, row := range KeyTypes() {
		kt := row.Type
		if row.CheckValue == nil || kt != ck.CKK_AES && len(row.Lengths) > 0 {
			continue
		}
		for _, n := range []int{1, 16, 24, 32, 33} {
			k := secretKey(kt, pattern(n))
			attrs, err := row.Complete(k)
			if kt == ck.CKK_AES && (n < 16 || n == 33) {
				wantError(t, err, ck.CKR_ATTRIBUTE_VALUE_INVALID)
				continue
			}
			if err != nil {
				t.Errorf("%v of %d bytes: %v", kt, n, err)
				continue
			}
			if v, ok := ck.ULong(ck.Find(attrs, ck.CKA_VALUE_LEN).Value); !ok || v != uint64(n) || row.Size(k) != v {
				t.Errorf("%v of %d bytes: CKA_VALUE_LEN %d, size %d", kt, n, v, row.Size(k))
			}
			if check, err := row.CheckValue(k); err != nil || len(check) != 3 {
				t.Errorf("%v: check value %x, %v", kt, check, err)
			}
		}
		_, err := row.Complete(secretKey(kt, nil))
		wantError(t, err, ck.CKR_ATTRIBUTE_VALUE_INVALID)
		_, err = row.Complete(&Key{Class: ck.CKO_SECRET_KEY, Type: kt})
		wantError(t, err, ck.CKR_TEMPLATE_INCOMPLETE)
	}
}

// TestCheckValues: the beginnings of AES of zeros under a key of zeros (test case
// 2 of the GCM proposal prints it as H) and of SHA-1 of "abc" (FIPS 180-4).
func TestCheckValues(t *testing.T) {
	for _, c := range []struct {
		k    *Key
		want string
	}{
		{secretKey(ck.CKK_AES, make([]byte, 16)), "66e94b"},
		{secretKey(ck.CKK_GENERIC_SECRET, []byte("abc")), "a9993e"},
	} {
		got, err := FindKeyType(c.k.Type).CheckValue(c.k)
		if err != nil || !bytes.Equal(got, unhex(c.want)) {
			t.Errorf("%v: %x, %v; want %s", c.k.Type, got, err, c.want)
		}
	}
}
