package engine

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	_ "embed"
	"encoding/hex"
	"fmt"
	"math/big"
	"strings"
	"testing"

	"github.com/perilune/perilune/cryptoki/ck"
)

// TestGenerateRSARows is about sizes and exponents of each way to make keys.
func TestGenerateRSARows(t *testing.T) {
	for _, x := range []struct {
		m    ck.MechanismType
		bits uint64
		e    string
		want ck.RV
	}{
		{ck.CKM_RSA_PKCS_KEY_PAIR_GEN, 256, "\x03", ck.CKR_OK},
		{ck.CKM_RSA_PKCS_KEY_PAIR_GEN, 257, "\x11", ck.CKR_OK},
		{ck.CKM_RSA_PKCS_KEY_PAIR_GEN, 512, "\x01\x00\x00\x00\x0f", ck.CKR_OK},
		{ck.CKM_RSA_PKCS_KEY_PAIR_GEN, 255, "\x03", ck.CKR_KEY_SIZE_RANGE},
		{ck.CKM_RSA_PKCS_KEY_PAIR_GEN, 8193, "\x03", ck.CKR_KEY_SIZE_RANGE},
		{ck.CKM_RSA_X9_31_KEY_PAIR_GEN, 1024, "\x03", ck.CKR_OK},
		{ck.CKM_RSA_X9_31_KEY_PAIR_GEN, 1280, "\x01\x00\x01", ck.CKR_OK},
		{ck.CKM_RSA_X9_31_KEY_PAIR_GEN, 1152, "\x03", ck.CKR_KEY_SIZE_RANGE},
		{ck.CKM_RSA_X9_31_KEY_PAIR_GEN, 768, "\x03", ck.CKR_KEY_SIZE_RANGE},
		{ck.CKM_RSA_FIPS_186_3_PRIME_KEY_PAIR_GEN, 2048, "\x01\x00\x01", ck.CKR_OK},
		{ck.CKM_RSA_FIPS_186_3_PRIME_KEY_PAIR_GEN, 2047, "\x01\x00\x01", ck.CKR_KEY_SIZE_RANGE},
		{ck.CKM_RSA_FIPS_186_3_PRIME_KEY_PAIR_GEN, 2049, "\x01\x00\x01", ck.CKR_KEY_SIZE_RANGE},
		{ck.CKM_RSA_FIPS_186_3_PRIME_KEY_PAIR_GEN, 2048, "\x00\x03", ck.CKR_ATTRIBUTE_VALUE_INVALID},
		{ck.CKM_RSA_FIPS_186_3_PRIME_KEY_PAIR_GEN, 2048, "\xff\xff", ck.CKR_ATTRIBUTE_VALUE_INVALID},
		{ck.CKM_RSA_FIPS_186_3_PRIME_KEY_PAIR_GEN, 2048, "\x01\x00\x00", ck.CKR_ATTRIBUTE_VALUE_INVALID},
		{ck.CKM_RSA_FIPS_186_3_PRIME_KEY_PAIR_GEN, 2048, "\x01" + strings.Repeat("\xff", 32), ck.CKR_ATTRIBUTE_VALUE_INVALID},
		{ck.CKM_RSA_FIPS_186_3_AUX_PRIME_KEY_PAIR_GEN, 1024, "\x01\x00\x01", ck.CKR_OK},
		{ck.CKM_RSA_FIPS_186_3_AUX_PRIME_KEY_PAIR_GEN, 1026, strings.Repeat("\xff", 32), ck.CKR_OK},
		{ck.CKM_RSA_FIPS_186_3_AUX_PRIME_KEY_PAIR_GEN, 1022, "\x01\x00\x01", ck.CKR_KEY_SIZE_RANGE},
		{ck.CKM_RSA_FIPS_186_3_AUX_PRIME_KEY_PAIR_GEN, 1024, "\x11", ck.CKR_ATTRIBUTE_VALUE_INVALID},
	} {
		what := fmt.Sprintf("%v, %d bits, e = %x", x.m, x.bits, x.e)
		pub, priv, err := Find(x.m).GeneratePair(nil, []ck.Attribute{
			ck.NewULong(ck.CKA_MODULUS_BITS, x.bits), ck.NewBytes(ck.CKA_PUBLIC_EXPONENT, []byte(x.e))}, nil)
		wantRV(t, what, err, x.want)
		if err != nil {
			continue
		}
		k := &Key{Class: ck.CKO_PRIVATE_KEY, Type: ck.CKK_RSA, Attrs: priv}
		if rsaSize(k) != x.bits || !bytes.Equal(k.Bytes(ck.CKA_PUBLIC_EXPONENT), []byte(x.e)) {
			t.Errorf("%s: another key", what)
		}
		x931 := x.m == ck.CKM_RSA_X9_31_KEY_PAIR_GEN || x.m == ck.CKM_RSA_FIPS_186_3_AUX_PRIME_KEY_PAIR_GEN
		for _, list := range [][]ck.Attribute{pub, priv} {
			if (ck.Find(list, ck.CKA_X9_31_GENERATED) != nil) != x931 {
				t.Errorf("%s: CKA_X9_31_GENERATED", what)
			}
		}
		checkPair(t, what, &Key{Class: ck.CKO_PUBLIC_KEY, Type: ck.CKK_RSA, Attrs: pub}, k)
	}
}

func checkPair(t *testing.T, what string, pub, priv *Key) {
	t.Helper()
	c, err := encrypt(pub, ck.CKM_RSA_PKCS, nil, []byte("some data"))
	if err != nil {
		t.Fatal(what, err)
	}
	if got, err := decrypt(priv, ck.CKM_RSA_PKCS, nil, c); err != nil || string(got) != "some data" {
		t.Errorf("%s: %q, %v", what, got, err)
	}
}

// TestSmallKeys: what does not fit is refused when it begins.
func TestSmallKeys(t *testing.T) {
	pub, priv := rsaPair(t, 256)
	for _, m := range Mechanisms() {
		if len(m.Keys) != 1 || m.Keys[0] != ck.CKK_RSA {
			continue
		}
		for _, p := range []any{nil, oaepSHA256, &PSSParams{ck.CKM_SHA256, ck.CKG_MGF1_SHA256, 0}, &PSSParams{ck.CKM_SHA512, ck.CKG_MGF1_SHA1, 0},
			&RSAAESKeyWrapParams{256, oaepSHA256}, &KeyWrapSETOAEPParams{X: make([]byte, 128)}} {
			for _, f := range []func(*Key, any) (Op, error){m.Encrypt, m.Wrap} {
				if f != nil {
					op, err := f(pub, p)
					_, _ = single(op, err, []byte("x"))
				}
			}
			for _, f := range []func(*Key, any) (Op, error){m.Decrypt, m.Sign, m.SignRecover, m.Unwrap} {
				if f != nil {
					op, err := f(priv, p)
					_, _ = single(op, err, bytes.Repeat([]byte{1}, 32))
				}
			}
			if m.Verify != nil {
				if v, err := m.Verify(pub, p); err == nil {
					_ = v.Verify([]byte("x"), bytes.Repeat([]byte{1}, 32))
				}
			}
		}
	}
	wantRV(t, "SHA-256", errOf(Find(ck.CKM_SHA256_RSA_PKCS).Sign(priv, nil)), ck.CKR_KEY_SIZE_RANGE)
	wantRV(t, "SHA-256", errOf(Find(ck.CKM_SHA256_RSA_PKCS).Verify(pub, nil)), ck.CKR_KEY_SIZE_RANGE)
	wantRV(t, "SET", errOf(Find(ck.CKM_KEY_WRAP_SET_OAEP).Wrap(pub, &KeyWrapSETOAEPParams{})), ck.CKR_WRAPPING_KEY_SIZE_RANGE)
	sig, err := sign(priv, ck.CKM_RSA_PKCS, nil, []byte("21 bytes, at most so."))
	if err != nil {
		t.Fatal(err)
	}
	wantRV(t, "21 bytes", verify(pub, ck.CKM_RSA_PKCS, nil, []byte("21 bytes, at most so."), sig), ck.CKR_OK)
	_, err = sign(priv, ck.CKM_RSA_PKCS, nil, make([]byte, 22))
	wantRV(t, "22 bytes", err, ck.CKR_DATA_LEN_RANGE)

	pub, priv = rsaPair(t, 512)
	sig, err = sign(priv, ck.CKM_SHA256_RSA_PKCS, nil, []byte("x"))
	if err != nil {
		t.Fatal(err)
	}
	wantRV(t, "512 bits", verify(pub, ck.CKM_SHA256_RSA_PKCS, nil, []byte("x"), sig), ck.CKR_OK)
}

// TestMultiPrime: such keys have no place in PKCS #11.
func TestMultiPrime(t *testing.T) {
	//lint:ignore SA1019 there is no other way to come by such a key
	k, err := rsa.GenerateMultiPrimeKey(rand.Reader, 3, 1024)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	_, err = unmarshalRSA(der)
	wantRV(t, "PKCS #8", err, ck.CKR_WRAPPED_KEY_INVALID)
	if err == nil || !strings.Contains(err.Error(), "more than two primes") {
		t.Errorf("it says %v", err)
	}
	_, err = completeRSA(&Key{Class: ck.CKO_PRIVATE_KEY, Type: ck.CKK_RSA, Attrs: []ck.Attribute{
		ck.NewBytes(ck.CKA_MODULUS, k.N.Bytes()), ck.NewBytes(ck.CKA_PUBLIC_EXPONENT, []byte{1, 0, 1}), ck.NewBytes(ck.CKA_PRIVATE_EXPONENT, k.D.Bytes()),
		ck.NewBytes(ck.CKA_PRIME_1, k.Primes[0].Bytes()), ck.NewBytes(ck.CKA_PRIME_2, k.Primes[1].Bytes())}})
	wantRV(t, "n is not p*q", err, ck.CKR_ATTRIBUTE_VALUE_INVALID)
}

// TestExpect: with a length that is told there is never an error to be seen.
func TestExpect(t *testing.T) {
	pub, priv := published(t)
	unwrap := func(wrapped []byte, n int) []byte {
		t.Helper()
		op, err := Find(ck.CKM_RSA_PKCS).Unwrap(priv, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := op.(Expecter).Expect(n); err != nil {
			t.Fatal(err)
		}
		got, err := single(op, nil, wrapped)
		if err != nil || len(got) != n {
			t.Fatalf("%d bytes, %v", len(got), err)
		}
		return got
	}
	secret := bytes.Repeat([]byte{3}, 48)
	good, err := encrypt(pub, ck.CKM_RSA_PKCS, nil, secret)
	if err != nil {
		t.Fatal(err)
	}
	bad, err := encrypt(pub, ck.CKM_RSA_X_509, nil, secret)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(unwrap(good, 48), secret) {
		t.Error("not the secret")
	}
	seen := map[string]bool{string(secret): true}
	for _, x := range []struct {
		wrapped []byte
		n       int
	}{{bad, 48}, {good, 47}, {good, 49}, {bad, 245}, {bad, 1}} {
		got := string(unwrap(x.wrapped, x.n))
		if seen[got] || got == string(secret[:min(x.n, 48)]) || got != string(unwrap(x.wrapped, x.n)) {
			t.Errorf("%d bytes: %x", x.n, got)
		}
		seen[got] = true
	}
	op, err := Find(ck.CKM_RSA_PKCS).Unwrap(priv, nil)
	if err != nil {
		t.Fatal(err)
	}
	wantRV(t, "more than fits", op.(Expecter).Expect(246), ck.CKR_WRAPPED_KEY_LEN_RANGE)
}

func TestTPM(t *testing.T) {
	pub, priv := published(t)
	for m, inner := range map[ck.MechanismType]ck.MechanismType{ck.CKM_RSA_PKCS_TPM_1_1: ck.CKM_RSA_PKCS, ck.CKM_RSA_PKCS_OAEP_TPM_1_1: ck.CKM_RSA_PKCS_OAEP} {
		var p any
		longest := 245 - 5
		if inner == ck.CKM_RSA_PKCS_OAEP {
			p, longest = tpmOAEP, 256-42-5
		}
		for _, data := range [][]byte{nil, []byte("x"), bytes.Repeat([]byte{7}, longest)} {
			c, err := encrypt(pub, m, nil, data)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := decrypt(priv, m, nil, c); err != nil || !bytes.Equal(got, data) {
				t.Errorf("%v: %x, %v", m, got, err)
			}
		}
		_, err := encrypt(pub, m, nil, make([]byte, longest+1))
		wantRV(t, "too long", err, ck.CKR_DATA_LEN_RANGE)
		wantRV(t, "parameter", errOf(Find(m).Encrypt(pub, []byte{1})), ck.CKR_MECHANISM_PARAM_INVALID)
		for bound, want := range map[string]ck.RV{
			"\x01\x01\x00\x00\x02data": ck.CKR_OK,
			"\x01\x01\x12\x34\x02data": ck.CKR_OK,
			"\x01\x02\x00\x00\x02data": ck.CKR_ENCRYPTED_DATA_INVALID,
			"\x02\x01\x00\x00\x02data": ck.CKR_ENCRYPTED_DATA_INVALID,
			"\x01\x01\x00\x00\x05data": ck.CKR_ENCRYPTED_DATA_INVALID,
			"\x01\x01\x00\x00":         ck.CKR_ENCRYPTED_DATA_INVALID,
			"":                         ck.CKR_ENCRYPTED_DATA_INVALID,
		} {
			c, err := encrypt(pub, inner, p, []byte(bound))
			if err != nil {
				t.Fatal(err)
			}
			_, err = decrypt(priv, m, nil, c)
			wantRV(t, fmt.Sprintf("%v: %x", m, bound), err, want)
		}
		_, err = decrypt(priv, m, nil, make([]byte, 255))
		wantRV(t, "length", err, ck.CKR_ENCRYPTED_DATA_LEN_RANGE)
	}
}

func TestSETOAEP(t *testing.T) {
	pub, priv := published(t)
	row := Find(ck.CKM_KEY_WRAP_SET_OAEP)
	wrap := func(p *KeyWrapSETOAEPParams, key string) ([]byte, error) {
		op, err := row.Wrap(pub, p)
		return single(op, err, []byte(key))
	}
	for _, x := range [][]byte{nil, {1}, bytes.Repeat([]byte{9}, setMaxX)} {
		wrapped, err := wrap(&KeyWrapSETOAEPParams{BC: 7, X: x}, "DES key!")
		if err != nil {
			t.Fatal(err)
		}
		p := &KeyWrapSETOAEPParams{X: make([]byte, setMaxX+1)}
		op, err := row.Unwrap(priv, p)
		got, err := single(op, err, wrapped)
		if err != nil || string(got) != "DES key!" || p.BC != 7 || !bytes.Equal(p.X, append(x, make([]byte, setMaxX-len(x))...)) {
			t.Errorf("%q, %d, %x, %v", got, p.BC, p.X, err)
		}
		for _, at := range []int{0, 1, 8, 9} { // of the header
			c := flip(wrapped, at)
			op, err := row.Unwrap(priv, &KeyWrapSETOAEPParams{X: make([]byte, setMaxX)})
			_, err = single(op, err, c)
			wantRV(t, "flipped bit", err, ck.CKR_WRAPPED_KEY_INVALID)
		}
		op, err = row.Unwrap(priv, p)
		_, err = single(op, err, wrapped[1:])
		wantRV(t, "too short a buffer afterwards", err, ck.CKR_WRAPPED_KEY_LEN_RANGE)
	}
	_, err := wrap(&KeyWrapSETOAEPParams{}, "no DES key")
	wantRV(t, "other length", err, ck.CKR_KEY_SIZE_RANGE)
	_, err = wrap(&KeyWrapSETOAEPParams{X: make([]byte, setMaxX+1)}, "DES key!")
	wantRV(t, "X too long", err, ck.CKR_MECHANISM_PARAM_INVALID)
	wantRV(t, "no room", errOf(row.Unwrap(priv, &KeyWrapSETOAEPParams{X: make([]byte, setMaxX-1)})), ck.CKR_BUFFER_TOO_SMALL)
	wantRV(t, "no parameter", errOf(row.Unwrap(priv, nil)), ck.CKR_MECHANISM_PARAM_INVALID)
	wantRV(t, "no parameter", errOf(row.Wrap(pub, nil)), ck.CKR_MECHANISM_PARAM_INVALID)
}

//go:embed testdata/implicit_rejection.txt
var implicitRejectionText string

func TestImplicitRejectionVectors(t *testing.T) {
	sections := strings.Split(strings.TrimSpace(implicitRejectionText), "\n\n")[1:]
	number := func(s string) []byte {
		b, err := hex.DecodeString(s)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	key := strings.Split(sections[0], "\n")[1:]
	p, q := new(big.Int).SetBytes(number(key[0])), new(big.Int).SetBytes(number(key[1]))
	priv := completed(t, &Key{Class: ck.CKO_PRIVATE_KEY, Type: ck.CKK_RSA, Attrs: []ck.Attribute{
		ck.NewBytes(ck.CKA_MODULUS, new(big.Int).Mul(p, q).Bytes()), ck.NewBytes(ck.CKA_PUBLIC_EXPONENT, []byte{1, 0, 1}),
		ck.NewBytes(ck.CKA_PRIVATE_EXPONENT, number(key[2]))}})
	for _, section := range sections[1:] {
		v := strings.Split(section, "\n")
		got, err := decrypt(priv, ck.CKM_RSA_PKCS, nil, number(v[1]))
		if err != nil || !bytes.Equal(got, number(strings.TrimPrefix(v[2], "-"))) {
			t.Errorf("%s: %x, %v", v[0], got, err)
		}
	}
}
