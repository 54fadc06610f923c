package engine

import (
	"bytes"
	"crypto/elliptic"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"math/big"
	"os"
	"strings"
	"testing"

	"golang.org/x/crypto/cryptobyte/asn1"

	"github.com/perilune/perilune/cryptoki/ck"
)

// TestECDSAACVP verifies signatures on all curves with all hashes, which NIST
// accepted.
func TestECDSAACVP(t *testing.T) {
	text, err := os.ReadFile("testdata/ecdsa_acvp.txt")
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string]*Mechanism{}
	for _, m := range Mechanisms() {
		rows[m.Type.String()] = m
	}
	n := 0
	for line := range strings.Lines(string(text)) {
		f := strings.Fields(line)
		if len(f) != 5 || f[0] == "#" {
			continue
		}
		n++
		var bin [3][]byte
		for i := range bin {
			if bin[i], err = hex.DecodeString(f[2+i]); err != nil {
				t.Fatal(err)
			}
		}
		k := completed(t, testCurve(f[0]).testVerifyKey(answer{"point": bin[0]}))
		if err := expectSignature(rows[f[1]].Verify, k, nil, bin[1], bin[2]); err != nil {
			t.Errorf("%s, %s: %v", f[0], f[1], err)
		}
	}
	if n != 32 {
		t.Errorf("%d signatures", n)
	}
}

// TestRFC6979 verifies the signatures of RFC 6979, section A.2.5, over "sample".
func TestRFC6979(t *testing.T) {
	k := testCurve("P-256").testVerifyKey(asymAnswers()["ec-key"])
	for m, sig := range map[ck.MechanismType]string{
		ck.CKM_ECDSA_SHA1: "61340C88C3AAEBEB4F6D667F672CA9759A6CCAA9FA8811313039EE4A35471D32" +
			"6D7F147DAC089441BB2E2FE8F7A3FA264B9C475098FDCF6E00D7C996E1B8B7EB",
		ck.CKM_ECDSA_SHA256: "EFD48B2AACB6A8FD1140DD9CD45E81D69D2C877B56AAF991C34D0EA84EAF3716" +
			"F7CB1C942D657C41D436C7A1B6E29F65F3E900DBB9AFF4064DC4AB2F843ACDA8",
	} {
		b, err := hex.DecodeString(sig)
		if err != nil {
			t.Fatal(err)
		}
		wantRV(t, m.String(), verify(k, m, nil, []byte("sample"), b), ck.CKR_OK)
	}
}

func ecPair(t testing.TB, name string) (pub, priv *Key) {
	t.Helper()
	c := testCurve(name)
	m := map[ck.KeyType]ck.MechanismType{
		ck.CKK_EC: ck.CKM_EC_KEY_PAIR_GEN, ck.CKK_EC_EDWARDS: ck.CKM_EC_EDWARDS_KEY_PAIR_GEN,
		ck.CKK_EC_MONTGOMERY: ck.CKM_EC_MONTGOMERY_KEY_PAIR_GEN,
	}[c.key]
	return pair(t, m, ck.NewBytes(ck.CKA_EC_PARAMS, c.params()))
}

// TestECDSARoundTrip signs and verifies on every curve; on those with our own
// arithmetic, which is the same for all, fewer digests do.
func TestECDSARoundTrip(t *testing.T) {
	for _, c := range curves() {
		if c.group == nil {
			continue
		}
		pub, priv := ecPair(t, c.names[0])
		lengths := []int{0, 20, 67}
		if c.nist != nil {
			lengths = []int{0, 1, 20, 32, 64, 66, 67, 1000}
		}
		for _, n := range lengths { // shorter and longer than the order, and none
			checkECDSARoundTrip(t, c, pub, priv, n)
		}
	}
}

func checkECDSARoundTrip(t *testing.T, c *curve, pub, priv *Key, n int) {
	t.Helper()
	size := c.scalarSize()
	orderBits := new(big.Int).SetBytes(c.group().Order()).BitLen()
	digest := bytes.Repeat([]byte{0x5a}, n)
	sig, err := sign(priv, ck.CKM_ECDSA, nil, digest)
	if err != nil || len(sig) != 2*size {
		t.Fatalf("%s, %d bytes: %d, %v", c.names[0], n, len(sig), err)
	}
	wantRV(t, c.names[0], verify(pub, ck.CKM_ECDSA, nil, digest, sig), ck.CKR_OK)
	wantRV(t, c.names[0], verify(priv, ck.CKM_ECDSA, nil, digest, sig), ck.CKR_OK)
	// Only the leftmost bits of a long digest count.
	longer := append(bytes.Clone(digest), 1)
	want := ck.CKR_OK
	if n*8 < orderBits {
		want = ck.CKR_SIGNATURE_INVALID
	}
	if n > 0 {
		wantRV(t, fmt.Sprintf("%s, one byte behind %d", c.names[0], n), verify(pub, ck.CKM_ECDSA, nil, longer, sig), want)
	}
	for _, at := range []int{size - 1, 2*size - 1} {
		wantRV(t, "flipped", verify(pub, ck.CKM_ECDSA, nil, digest, flip(sig, at)), ck.CKR_SIGNATURE_INVALID)
	}
}

// TestECDSARange gives verification r and s out of range.
func TestECDSARange(t *testing.T) {
	for _, c := range curves() {
		if c.group == nil {
			continue
		}
		pub, priv := ecPair(t, c.names[0])
		digest := make([]byte, 32)
		sig, err := sign(priv, ck.CKM_ECDSA, nil, digest)
		if err != nil {
			t.Fatal(err)
		}
		size := c.scalarSize()
		r, s := sig[:size], sig[size:]
		zero, order := make([]byte, size), c.group().Order()
		ones := bytes.Repeat([]byte{0xff}, size)
		join := func(a, b []byte) []byte { return append(bytes.Clone(a), b...) }
		for name, x := range map[string][]byte{
			"zeros": join(zero, zero), "r = 0": join(zero, s), "s = 0": join(r, zero), "r = n": join(order, s),
			"s = n": join(r, order), "ones": join(ones, ones), "exchanged": join(s, r),
		} {
			wantRV(t, c.names[0]+", "+name, verify(pub, ck.CKM_ECDSA, nil, digest, x), ck.CKR_SIGNATURE_INVALID)
		}
		for _, x := range [][]byte{nil, sig[1:], sig[:len(sig)-2], append(bytes.Clone(sig), 0)} {
			wantRV(t, c.names[0]+", length", verify(pub, ck.CKM_ECDSA, nil, digest, x), ck.CKR_SIGNATURE_LEN_RANGE)
		}
	}
}

func TestECDSAMultiPart(t *testing.T) {
	pub, priv := ecPair(t, "secp384r1")
	op, err := Find(ck.CKM_ECDSA_SHA3_512).Sign(priv, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{"one, ", "", "two, "} {
		if _, err := op.Update(nil, []byte(part)); err != nil {
			t.Fatal(err)
		}
	}
	sig, err := single(op, nil, []byte("three"))
	if err != nil {
		t.Fatal(err)
	}
	wantRV(t, "in parts", verify(pub, ck.CKM_ECDSA_SHA3_512, nil, []byte("one, two, three"), sig), ck.CKR_OK)
}

func TestGenerateECTemplate(t *testing.T) {
	for _, x := range []struct {
		m      ck.MechanismType
		params []byte
		rv     ck.RV
	}{
		{ck.CKM_EC_KEY_PAIR_GEN, derOID("1.3.132.0.34"), ck.CKR_OK},
		{ck.CKM_EC_KEY_PAIR_GEN, derString(asn1.PrintableString, "secp384r1"), ck.CKR_OK},
		{ck.CKM_EC_KEY_PAIR_GEN, explicitOf(elliptic.P384()).der(), ck.CKR_OK},
		{ck.CKM_EC_KEY_PAIR_GEN, derOID("1.3.132.0.10"), ck.CKR_OK},
		{ck.CKM_EC_KEY_PAIR_GEN, derOID("1.3.132.0.99"), ck.CKR_CURVE_NOT_SUPPORTED},
		{ck.CKM_ECDSA_KEY_PAIR_GEN_W_EXTRA_BITS, derOID("1.3.132.0.10"), ck.CKR_OK},
		{ck.CKM_ECDSA_KEY_PAIR_GEN_W_EXTRA_BITS, explicitOf(elliptic.P384()).der(), ck.CKR_OK},
		{ck.CKM_ECDSA_KEY_PAIR_GEN_W_EXTRA_BITS, derOID(oidEd25519), ck.CKR_CURVE_NOT_SUPPORTED},
		{ck.CKM_EC_KEY_PAIR_GEN, derOID(oidEd25519), ck.CKR_CURVE_NOT_SUPPORTED},
		{ck.CKM_EC_KEY_PAIR_GEN, nil, ck.CKR_ATTRIBUTE_VALUE_INVALID},
		{ck.CKM_EC_EDWARDS_KEY_PAIR_GEN, derString(asn1.PrintableString, "edwards25519"), ck.CKR_OK},
		{ck.CKM_EC_EDWARDS_KEY_PAIR_GEN, derOID(oidEd25519Old), ck.CKR_OK},
		{ck.CKM_EC_EDWARDS_KEY_PAIR_GEN, derOID(oidX25519), ck.CKR_CURVE_NOT_SUPPORTED},
		{ck.CKM_EC_MONTGOMERY_KEY_PAIR_GEN, derString(asn1.PrintableString, "curve25519"), ck.CKR_OK},
		{ck.CKM_EC_MONTGOMERY_KEY_PAIR_GEN, derOID(oidX25519), ck.CKR_OK},
	} {
		pub, priv, err := Find(x.m).GeneratePair(nil, []ck.Attribute{ck.NewBytes(ck.CKA_EC_PARAMS, x.params)}, nil)
		wantRV(t, fmt.Sprintf("%v, %x", x.m, x.params), err, x.rv)
		if err != nil {
			continue
		}
		for _, list := range [][]ck.Attribute{pub, priv} {
			if a := ck.Find(list, ck.CKA_EC_PARAMS); a == nil || !bytes.Equal(a.Value, x.params) {
				t.Errorf("%v: CKA_EC_PARAMS are not what the caller gave", x.m)
			}
		}
		k := &Key{Class: ck.CKO_PRIVATE_KEY, Type: Find(x.m).Makes, Attrs: priv}
		if err := complete(k); err != nil {
			t.Errorf("%v: %v", x.m, err)
		}
	}
	for _, m := range []ck.MechanismType{ck.CKM_EC_KEY_PAIR_GEN, ck.CKM_EC_EDWARDS_KEY_PAIR_GEN, ck.CKM_EC_MONTGOMERY_KEY_PAIR_GEN} {
		_, _, err := Find(m).GeneratePair(nil, nil, nil)
		wantRV(t, m.String(), err, ck.CKR_TEMPLATE_INCOMPLETE)
	}
}

func agree(k *Key, p any, n int) ([]byte, error) {
	return Find(ck.CKM_ECDH1_DERIVE).Derive(k, p, &Derivation{Type: ck.CKK_GENERIC_SECRET, Len: n})
}

// TestECDHForms derives with every form of the other party's point, in both
// directions.
func TestECDHForms(t *testing.T) {
	for _, c := range curves() {
		if c.key == ck.CKK_EC_EDWARDS {
			continue
		}
		alicePub, alice := ecPair(t, c.names[0])
		bobPub, bob := ecPair(t, c.names[0])
		want, err := agree(bob, &ECDH1DeriveParams{KDF: ck.CKD_NULL, PublicData: alicePub.Bytes(ck.CKA_EC_POINT)}, 0)
		if err != nil || len(want) != c.size {
			t.Fatalf("%s: %v", c.names[0], err)
		}
		point, err := ecPoint(bobPub, c)
		if err != nil {
			t.Fatal(err)
		}
		for name, form := range pointForms(c, point) {
			got, err := agree(alice, &ECDH1DeriveParams{KDF: ck.CKD_NULL, PublicData: form}, 0)
			if err != nil || !bytes.Equal(got, want) {
				t.Errorf("%s, %s: %v", c.names[0], name, err)
			}
		}
		// Truncation removes bytes from the leading end.
		short, err := agree(alice, &ECDH1DeriveParams{KDF: ck.CKD_NULL, PublicData: point}, 10)
		if err != nil || !bytes.Equal(short, want[c.size-10:]) {
			t.Errorf("%s: truncated: %x, %v", c.names[0], short, err)
		}
		for _, bad := range [][]byte{nil, {0}, flip(point, 5)[1:], make([]byte, len(point)), storedPoint(nil)} {
			_, err := agree(alice, &ECDH1DeriveParams{KDF: ck.CKD_NULL, PublicData: bad}, 0)
			wantRV(t, fmt.Sprintf("%s, %x", c.names[0], bad), err, ck.CKR_MECHANISM_PARAM_INVALID)
		}
	}
}

func TestECDHParameters(t *testing.T) {
	pub, priv := ecPair(t, "secp256r1")
	point := pub.Bytes(ck.CKA_EC_POINT)
	for _, x := range []struct {
		name string
		p    any
		len  int
		rv   ck.RV
	}{
		{"KDF", &ECDH1DeriveParams{ck.CKD_SHA256_KDF, []byte("info"), point}, 100, ck.CKR_OK},
		{"KDF without length", &ECDH1DeriveParams{ck.CKD_SHA256_KDF, nil, point}, 0, ck.CKR_TEMPLATE_INCOMPLETE},
		{"absurd length", &ECDH1DeriveParams{ck.CKD_SHA256_KDF, nil, point}, math.MaxInt, ck.CKR_KEY_SIZE_RANGE},
		{"negative length", &ECDH1DeriveParams{ck.CKD_NULL, nil, point}, -1, ck.CKR_KEY_SIZE_RANGE},
		{"longer than the secret", &ECDH1DeriveParams{ck.CKD_NULL, nil, point}, 33, ck.CKR_KEY_SIZE_RANGE},
		{"shared data without KDF", &ECDH1DeriveParams{ck.CKD_NULL, []byte("info"), point}, 0, ck.CKR_MECHANISM_PARAM_INVALID},
		{"no KDF", &ECDH1DeriveParams{0, nil, point}, 16, ck.CKR_MECHANISM_PARAM_INVALID},
		{"KDF of DH", &ECDH1DeriveParams{ck.CKD_SHA1_KDF_ASN1, nil, point}, 16, ck.CKR_MECHANISM_PARAM_INVALID},
		{"unknown KDF", &ECDH1DeriveParams{1 << 40, nil, point}, 16, ck.CKR_MECHANISM_PARAM_INVALID},
		{"nil", nil, 16, ck.CKR_MECHANISM_PARAM_INVALID},
		{"nil pointer", (*ECDH1DeriveParams)(nil), 16, ck.CKR_MECHANISM_PARAM_INVALID},
	} {
		got, err := agree(priv, x.p, x.len)
		wantRV(t, x.name, err, x.rv)
		if err == nil && len(got) != x.len {
			t.Errorf("%s: %d bytes", x.name, len(got))
		}
	}
	if _, err := agree(&Key{Type: ck.CKK_EC}, &ECDH1DeriveParams{ck.CKD_NULL, nil, point}, 0); err == nil {
		t.Error("derives without a key")
	}
}

// TestECKDFs checks published answers of more functions: ANSI X9.63 with SHA-1
// and SHA-256 (NIST CAVP), one-step of SP 800-56C (OpenSSL, evpkdf_ss.txt).
func TestECKDFs(t *testing.T) {
	for _, x := range []struct {
		kdf               ck.KDF
		secret, info, key string
	}{
		{ck.CKD_SHA256_KDF, "96c05619d56c328ab95fe84b18264b08725b85e33fd34f08", "", "443024c3dae66b95e6f5670601558f71"},
		{ck.CKD_SHA1_KDF_SP800, "d09a6b1a472f930db4f5e6b967900744", "b117255ab5f1b6b96fc434b0", "b5a3c52e97ae6e8c5069954354eab3c7"},
		{ck.CKD_SHA1_KDF_SP800, "343666c0dd34b756e70f759f14c304f5", "722b28448d7eab85491bce09", "1003b650ddd3f0891a15166db5ec881d"},
		{ck.CKD_SHA1_KDF_SP800, "3f57fd3fd56199b3eb33890f7ee28180", "7a5056ba4fdb034c7cb6c4fe", "e51ebd30a8c4b8449b0fb29d9adc11af"},
	} {
		secret, _ := hex.DecodeString(x.secret)
		info, _ := hex.DecodeString(x.info)
		if got := ecKDFs[x.kdf].derive(secret, info, 16); hex.EncodeToString(got) != x.key {
			t.Errorf("%v: %x", x.kdf, got)
		}
	}
	// Every other function by what it is defined to be, for one block.
	for kdf, f := range ecKDFs {
		if f.der {
			continue // TestX942KDF
		}
		h := f.hash()
		parts := []string{"secret", "\x00\x00\x00\x01"}
		if f.counterFirst {
			parts[0], parts[1] = parts[1], parts[0]
		}
		h.Write([]byte(parts[0] + parts[1] + "info"))
		if got := f.derive([]byte("secret"), []byte("info"), 10); !bytes.Equal(got, h.Sum(nil)[:10]) {
			t.Errorf("%v: %x", kdf, got)
		}
	}
}

// TestX25519SmallOrder gives points for which the shared secret is zero.
func TestX25519SmallOrder(t *testing.T) {
	_, priv := ecPair(t, "curve25519")
	for _, point := range []string{ // RFC 7748, section 6.1, asks to refuse them
		"0000000000000000000000000000000000000000000000000000000000000000",
		"0100000000000000000000000000000000000000000000000000000000000000",
		"e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
		"5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
		"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	} {
		b, _ := hex.DecodeString(point)
		for _, m := range []ck.MechanismType{ck.CKM_ECDH1_DERIVE, ck.CKM_ECDH1_COFACTOR_DERIVE} {
			_, err := Find(m).Derive(priv, &ECDH1DeriveParams{KDF: ck.CKD_NULL, PublicData: b}, &Derivation{})
			wantRV(t, point, err, ck.CKR_MECHANISM_PARAM_INVALID)
		}
	}
}

// TestX448SmallOrder is the same for curve448: 0, 1 and p - 1 and p, p + 1, which
// stand for 0 and 1.
func TestX448SmallOrder(t *testing.T) {
	_, priv := ecPair(t, "curve448")
	p := append(bytes.Repeat([]byte{0xff}, 28), append([]byte{0xfe}, bytes.Repeat([]byte{0xff}, 27)...)...)
	minus, plus := bytes.Clone(p), make([]byte, 56)
	minus[0] = 0xfe
	copy(plus[28:], bytes.Repeat([]byte{0xff}, 28)) // p + 1 = 2^448 - 2^224
	one := append([]byte{1}, make([]byte, 55)...)
	for _, b := range [][]byte{make([]byte, 56), one, minus, p, plus} {
		_, err := agree(priv, &ECDH1DeriveParams{KDF: ck.CKD_NULL, PublicData: b}, 0)
		wantRV(t, hex.EncodeToString(b), err, ck.CKR_MECHANISM_PARAM_INVALID)
	}
}

// TestEd448Points imports public keys that are no points.
func TestEd448Points(t *testing.T) {
	pub, _ := ecPair(t, "edwards448")
	point, err := ecPoint(pub, testCurve("edwards448"))
	if err != nil {
		t.Fatal(err)
	}
	refused := 0
	for i := range 20 {
		bad := bytes.Clone(point)
		bad[1] ^= byte(i + 1)
		if errors.Is(completeRV(with(pub, ck.CKA_EC_POINT, bad)), ck.CKR_ATTRIBUTE_VALUE_INVALID) {
			refused++
		}
	}
	if refused == 0 || refused == 20 { // half of all strings are points
		t.Errorf("%d of 20 refused", refused)
	}
	last := bytes.Clone(point)
	last[56] |= 1 // more than p
	wantRV(t, "a bit more", completeRV(with(pub, ck.CKA_EC_POINT, last)), ck.CKR_ATTRIBUTE_VALUE_INVALID)
	wantRV(t, "a byte less", completeRV(with(pub, ck.CKA_EC_POINT, point[1:])), ck.CKR_ATTRIBUTE_VALUE_INVALID)
}

// TestHashedEdDSA signs in parts with the device's mechanisms.
func TestHashedEdDSA(t *testing.T) {
	pub, priv := ecPair(t, "edwards25519")
	for _, m := range []ck.MechanismType{ck.CKM_SHA256_EDDSA, ck.CKM_SHA384_EDDSA_NACL} {
		op, err := Find(m).Sign(priv, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := op.Update(nil, []byte("one ")); err != nil {
			t.Fatal(err)
		}
		sig, err := single(op, nil, []byte("two"))
		if err != nil {
			t.Fatal(err)
		}
		wantRV(t, m.String(), verify(pub, m, nil, []byte("one two"), sig), ck.CKR_OK)
		wantRV(t, m.String(), verify(pub, m, nil, []byte("one three"), sig), ck.CKR_SIGNATURE_INVALID)
		wantRV(t, m.String(), errOf(Find(m).Sign(priv, &EDDSAParams{PhFlag: true})), ck.CKR_MECHANISM_PARAM_INVALID)
	}
	sig, err := sign(priv, ck.CKM_EDDSA, nil, []byte("abc"))
	if err != nil {
		t.Fatal(err)
	}
	wantRV(t, "NACL", verify(pub, ck.CKM_EDDSA_NACL, nil, []byte("abc"), sig), ck.CKR_OK)
}

// TestEdDSAOptions is about the parameter.
func TestEdDSAOptions(t *testing.T) {
	testEdDSAOptions(t, "edwards25519", 64)
	testEdDSAOptions(t, "edwards448", 114)
}

func testEdDSAOptions(t *testing.T, curve string, size int) {
	t.Helper()
	pub, priv := ecPair(t, curve)
	message := []byte("message")
	pure, err := sign(priv, ck.CKM_EDDSA, nil, message)
	if err != nil || len(pure) != size {
		t.Fatal(err)
	}
	variants := map[string]any{
		"nil":         nil,
		"nil pointer": (*EDDSAParams)(nil),
		"empty":       &EDDSAParams{},
		"context":     &EDDSAParams{ContextData: []byte("c")},
		"long":        &EDDSAParams{ContextData: make([]byte, 255)},
		"ph":          &EDDSAParams{PhFlag: true},
		"ph, context": &EDDSAParams{PhFlag: true, ContextData: []byte("c")},
	}
	for name, p := range variants {
		sig, err := sign(priv, ck.CKM_EDDSA, p, message)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		isPure := name == "nil" || name == "nil pointer" || name == "empty"
		if bytes.Equal(sig, pure) != isPure {
			t.Errorf("%s: is pure: %v", name, !isPure)
		}
		for other, q := range variants {
			want := ck.CKR_OK
			if other != name && !(isPure && strings.HasPrefix("nil pointer empty", other) || isPure && other == "empty") {
				want = ck.CKR_SIGNATURE_INVALID
			}
			wantRV(t, name+" as "+other, verify(pub, ck.CKM_EDDSA, q, message, sig), want)
		}
		for _, bad := range [][]byte{nil, sig[1:], append(bytes.Clone(sig), 0)} {
			wantRV(t, name+", length", verify(pub, ck.CKM_EDDSA, p, message, bad), ck.CKR_SIGNATURE_LEN_RANGE)
		}
	}
	for name, p := range map[string]any{
		"long context": &EDDSAParams{ContextData: make([]byte, 256)},
		"bytes":        []byte("c"),
		"other struct": &PSSParams{},
	} {
		wantRV(t, name, errOf(Find(ck.CKM_EDDSA).Sign(priv, p)), ck.CKR_MECHANISM_PARAM_INVALID)
		wantRV(t, name, errOf(Find(ck.CKM_EDDSA).Verify(pub, p)), ck.CKR_MECHANISM_PARAM_INVALID)
	}
}

func TestEdDSAMultiPart(t *testing.T) {
	testEdDSAMultiPart(t, "edwards25519")
	testEdDSAMultiPart(t, "edwards448")
	op := &keptOp{kept: kept{buf: make([]byte, maxKept)}}
	_, err := op.Update(nil, []byte{1})
	wantRV(t, "more than is kept", err, ck.CKR_DATA_LEN_RANGE)
}

func testEdDSAMultiPart(t *testing.T, curve string) {
	t.Helper()
	pub, priv := ecPair(t, curve)
	for _, p := range []*EDDSAParams{nil, {PhFlag: true}} {
		op, err := Find(ck.CKM_EDDSA).Sign(priv, p)
		if err != nil {
			t.Fatal(err)
		}
		v, err := Find(ck.CKM_EDDSA).Verify(pub, p)
		if err != nil {
			t.Fatal(err)
		}
		for _, part := range []string{"", "one, ", "two, "} {
			if n, err := op.Update(nil, []byte(part)); n != 0 || err != nil {
				t.Fatal(n, err)
			}
			if err := v.Update([]byte(part)); err != nil {
				t.Fatal(err)
			}
		}
		sig, err := single(op, nil, []byte("three"))
		if err != nil {
			t.Fatal(err)
		}
		wantRV(t, "parts as a whole", verify(pub, ck.CKM_EDDSA, p, []byte("one, two, three"), sig), ck.CKR_OK)
		wantRV(t, "parts", v.Verify([]byte("three"), sig), ck.CKR_OK)
	}
}

// TestECWithoutAttributes gives every row a key with nothing in it, and one of
// the wrong kind of curve.
func TestECWithoutAttributes(t *testing.T) {
	_, x25519 := ecPair(t, "curve25519")
	_, p256 := ecPair(t, "secp256r1")
	for _, k := range []*Key{
		{}, {Type: ck.CKK_EC}, {Type: ck.CKK_EC_EDWARDS}, {Type: ck.CKK_EC_MONTGOMERY},
		{Type: ck.CKK_EC, Attrs: []ck.Attribute{ck.NewBytes(ck.CKA_EC_PARAMS, testCurve("secp256r1").params())}},
		{Type: ck.CKK_EC_EDWARDS, Attrs: []ck.Attribute{ck.NewBytes(ck.CKA_EC_PARAMS, testCurve("edwards25519").params())}},
		x25519,
	} {
		for _, m := range []ck.MechanismType{ck.CKM_ECDSA, ck.CKM_ECDSA_SHA256, ck.CKM_EDDSA} {
			if errOf(Find(m).Sign(k, nil)) == nil || errOf(Find(m).Verify(k, nil)) == nil {
				t.Errorf("%v: works with %v", m, k.Type)
			}
		}
	}
	if errOf(Find(ck.CKM_EDDSA).Sign(p256, nil)) == nil || errOf(Find(ck.CKM_EDDSA).Verify(p256, nil)) == nil {
		t.Error("CKM_EDDSA works with CKK_EC")
	}
}

func TestECDSAOpenSSL(t *testing.T) {
	o := newOpenSSL(t)
	for _, c := range curves() {
		if c.group == nil {
			continue
		}
		_, priv := ecPair(t, c.names[0])
		der, err := marshalEC(priv)
		if err != nil {
			t.Fatal(err)
		}
		info, err := ecPublicInfo(priv)
		if err != nil {
			t.Fatal(err)
		}
		o.write("key.der", der)
		o.write("pub.der", info)
		o.write("message", []byte("message"))
		if c.names[0] == "FRP256v1" || c.names[0] == "sm2p256v1" {
			continue // openssl has none, or takes it for a key of SM2
		}
		sig, err := sign(priv, ck.CKM_ECDSA_SHA3_384, nil, []byte("message"))
		if err != nil {
			t.Fatal(err)
		}
		o.write("sig", ecdsaDER(nil, sig))
		o.run("dgst", "-sha3-384", "-verify", "pub.der", "-keyform", "DER", "-signature", "sig", "message")
		theirs := make([]byte, 2*c.scalarSize())
		if !ecdsaRaw(theirs, o.run("dgst", "-sha3-384", "-sign", "key.der", "-keyform", "DER", "message")) {
			t.Fatal("not a signature")
		}
		wantRV(t, c.names[0], verify(priv, ck.CKM_ECDSA_SHA3_384, nil, []byte("message"), theirs), ck.CKR_OK)
	}
}

func TestECDSARaw(t *testing.T) {
	sig := append(bytes.Repeat([]byte{0xff}, 66), make([]byte, 66)...)
	sig[131] = 1
	got := make([]byte, 132)
	if !ecdsaRaw(got, ecdsaDER(nil, sig)) || !bytes.Equal(got, sig) {
		t.Errorf("%x", got)
	}
	for _, der := range [][]byte{nil, {0x30, 0}, {0x30, 3, 2, 1, 1}, ecdsaDER(nil, append([]byte{1, 2, 3}, sig...))} {
		if ecdsaRaw(make([]byte, 64), der) {
			t.Errorf("%x: accepted", der)
		}
	}
}

func BenchmarkECDSA(b *testing.B) {
	digest := sha256.Sum256([]byte("message"))
	for _, name := range []string{"secp256r1", "secp384r1", "brainpoolP256r1", "secp256k1", "brainpoolP512r1"} {
		pub, priv := ecPair(b, name)
		sig, err := sign(priv, ck.CKM_ECDSA, nil, digest[:])
		if err != nil {
			b.Fatal(err)
		}
		b.Run("Sign/"+name, func(b *testing.B) {
			dst := make([]byte, len(sig))
			b.ReportAllocs()
			for b.Loop() {
				op, err := ecdsaSign(priv, nil)
				if err == nil {
					_, err = op.Finish(dst, digest[:])
				}
				if err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run("Verify/"+name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				v, err := ecdsaVerify(pub, nil)
				if err == nil {
					err = v.Verify(digest[:], sig)
				}
				if err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkEd25519(b *testing.B) {
	_, priv := ecPair(b, "edwards25519")
	dst := make([]byte, 64)
	b.ReportAllocs()
	for b.Loop() {
		op, err := eddsaSign(priv, nil)
		if err == nil {
			_, err = op.Finish(dst, dst[:32])
		}
		if err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkECDH(b *testing.B) {
	for _, name := range []string{"secp224r1", "secp256r1", "secp384r1", "curve25519", "brainpoolP256r1", "secp256k1", "brainpoolP512r1"} {
		pub, priv := ecPair(b, name)
		p := &ECDH1DeriveParams{KDF: ck.CKD_NULL, PublicData: pub.Bytes(ck.CKA_EC_POINT)}
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := agree(priv, p, 0); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
