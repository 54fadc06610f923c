package engine

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"fmt"
	"hash"
	"math/big"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/engine/internal/weierstrass"
)

// Tests of the curves that we compute with ourselves.

func fromHex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// records reads lines of n fields; "-" stands for an empty one.
func records(t *testing.T, file string, n int) (list [][]string) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); len(f) == n && f[0] != "#" {
			list = append(list, f)
		}
	}
	return list
}

func dashed(s string) string { return strings.TrimPrefix(s, "-") }

// TestPrimeCurves checks the parameters of every curve as if somebody else had
// made them: primes, equation, order of the base, cofactor.
func TestPrimeCurves(t *testing.T) {
	n := 0
	for _, c := range curves() {
		if c.prime == nil {
			continue
		}
		n++
		params := *c.prime()
		params.H = 0
		if err := weierstrass.Check(&params); err != nil || params.H != c.prime().H {
			t.Errorf("%s: %v", c.names[0], err)
		}
		if g := c.group(); g.FieldBits() != c.bits || !bytes.Equal(g.Order(), trimZeros(c.prime().N)) || g.Cofactor() != params.H {
			t.Errorf("%s: field, order or cofactor", c.names[0])
		}
		one := make([]byte, c.scalarSize())
		one[len(one)-1] = 1
		if base, ok := c.group().BaseMult(one); !ok || !bytes.Equal(base, c.prime().Base) {
			t.Errorf("%s: base", c.names[0])
		}
	}
	if n != 36 {
		t.Errorf("%d curves", n)
	}
}

// TestPrimeCurveNames checks that names, object identifiers and parameters all
// lead to the same curve, and that no two curves share one.
func TestPrimeCurveNames(t *testing.T) {
	seen := map[string]bool{}
	for _, c := range curves() {
		for _, x := range append(slices.Clone(c.names), c.oids...) {
			if seen[strings.ToLower(x)] {
				t.Errorf("%s: twice", x)
			}
			seen[strings.ToLower(x)] = true
		}
		if c.prime == nil {
			continue
		}
		der := ecParameters(c.prime(), c.prime().Base)
		if got, err := parseECParams(der, ck.CKK_EC); err != nil || got != c {
			t.Errorf("%s by its parameters: %v", c.names[0], err)
		}
	}
}

// TestScalarEdges gives private values at the ends of the range.
func TestScalarEdges(t *testing.T) {
	for _, c := range curves() {
		if c.group == nil {
			continue
		}
		n := new(big.Int).SetBytes(c.group().Order())
		for add, rv := range map[int64]ck.RV{-1: ck.CKR_OK, 0: ck.CKR_ATTRIBUTE_VALUE_INVALID, 1: ck.CKR_ATTRIBUTE_VALUE_INVALID} {
			k := c.testKey(answer{"value": new(big.Int).Add(n, big.NewInt(add)).Bytes()})
			wantRV(t, fmt.Sprintf("%s, n%+d", c.names[0], add), complete(k), rv)
		}
		wantRV(t, c.names[0]+", 0", complete(c.testKey(answer{"value": {0}})), ck.CKR_ATTRIBUTE_VALUE_INVALID)
		wantRV(t, c.names[0]+", 1", complete(c.testKey(answer{"value": {1}})), ck.CKR_OK)
	}
}

func TestECDSAPrime(t *testing.T) {
	list := records(t, "testdata/ecdsa_prime.txt", 6)
	if len(list) != 77 {
		t.Errorf("%d signatures", len(list))
	}
	for _, f := range list {
		k := completed(t, testCurve(f[0]).testVerifyKey(answer{"point": fromHex(t, f[2])}))
		i := slices.IndexFunc(Mechanisms(), func(m *Mechanism) bool { return m.Type.String() == f[1] })
		want := map[string]ck.RV{"valid": ck.CKR_OK, "invalid": ck.CKR_SIGNATURE_INVALID}[f[5]]
		got := verify(k, Mechanisms()[i].Type, nil, fromHex(t, dashed(f[3])), fromHex(t, f[4]))
		wantRV(t, fmt.Sprint(f), got, want)
	}
}

func TestECDHPrime(t *testing.T) {
	list := records(t, "testdata/ecdh_prime.txt", 4)
	if len(list) != 56 {
		t.Errorf("%d agreements", len(list))
	}
	for _, f := range list {
		k := completed(t, testCurve(f[0]).testKey(answer{"value": trimZeros(fromHex(t, f[1]))}))
		for _, m := range []ck.MechanismType{ck.CKM_ECDH1_DERIVE, ck.CKM_ECDH1_COFACTOR_DERIVE} {
			p := &ECDH1DeriveParams{KDF: ck.CKD_NULL, PublicData: fromHex(t, dashed(f[2]))}
			got, err := Find(m).Derive(k, p, &Derivation{})
			if f[3] == "-" {
				wantRV(t, fmt.Sprint(f), err, ck.CKR_MECHANISM_PARAM_INVALID)
			} else if err != nil || hex.EncodeToString(got) != f[3] {
				t.Errorf("%v: %x, %v", f, got, err)
			}
		}
	}
}

// TestRFC7027 agrees in both directions.
func TestRFC7027(t *testing.T) {
	for _, x := range []struct{ curve, a, b, z string }{
		{
			"brainpoolP256r1", "81db1ee100150ff2ea338d708271be38300cb54241d79950f77b063039804f1d",
			"55e40bc41e37e3e2ad25c3c6654511ffa8474a91a0032087593852d3e7d76bd3",
			"89afc39d41d3b327814b80940b042590f96556ec91e6ae7939bce31f3a18bf2b",
		},
		{
			"brainpoolP384r1", "1e20f5e048a5886f1f157c74e91bde2b98c8b52d58e5003d57053fc4b0bd65d6f15eb5d1ee1610df870795143627d042",
			"032640bc6003c59260f7250c3db58ce647f98e1260acce4acda3dd869f74e01f8ba5e0324309db6a9831497abac96670",
			"0bd9d3a7ea0b3d519d09d8e48d0785fb744a6b355e6304bc51c229fbbce239bbadf6403715c35d4fb2a5444f575d4f42",
		},
		{
			"brainpoolP512r1", "16302ff0dbbb5a8d733dab7141c1b45acbc8715939677f6a56850a38bd87bd59b09e80279609ff333eb9d4c061231fb26f92eeb04982a5f1d1764cad57665422",
			"230e18e1bcc88a362fa54e4ea3902009292f7f8033624fd471b5d8ace49d12cfabbc19963dab8e2f1eba00bffb29e4d72d13f2224562f405cb80503666b25429",
			"a7927098655f1f9976fa50a9d566865dc530331846381c87256baf3226244b76d36403c024d7bbf0aa0803eaff405d3d24f11a9b5c0bef679fe1454b21c4cd1f",
		},
	} {
		c := testCurve(x.curve)
		a := completed(t, c.testKey(answer{"value": fromHex(t, x.a)}))
		b := completed(t, c.testKey(answer{"value": fromHex(t, x.b)}))
		for _, keys := range [][2]*Key{{a, b}, {b, a}} {
			p := &ECDH1DeriveParams{KDF: ck.CKD_NULL, PublicData: keys[1].Bytes(ck.CKA_EC_POINT)}
			if got, err := agree(keys[0], p, 0); err != nil || hex.EncodeToString(got) != x.z {
				t.Errorf("%s: %x, %v", x.curve, got, err)
			}
		}
	}
}

// fixedOrder is a group of which only the order matters.
type fixedOrder struct {
	group
	n []byte
}

func (g fixedOrder) Order() []byte  { return g.n }
func (g fixedOrder) FieldBits() int { return 8 * len(g.n) }

// TestRFC6979Nonces compares the nonces of RFC 6979, sections A.1 (an order of
// 163 bits) and A.2.3 (P-192).
func TestRFC6979Nonces(t *testing.T) {
	const a1, p192 = "04000000000000000000020108a2e0cc0d99f8a5ef", "ffffffffffffffffffffffff99def836146bc9b1b4d22831"
	const a1Key, p192Key = "009a4d6792295a7f730fc3f2b49cbc0f62e862272f", "6fab034934e4c0fc9ae67f5b5659a9d7d1fefd187ee09fd4"
	for _, x := range []struct {
		n, key  string
		hash    func() hash.Hash
		message string
		k       string
	}{
		{a1, a1Key, sha256.New, "sample", "023af4074c90a02b3fe61d286d5c87f425e6bdd81b"},
		{p192, p192Key, sha1.New, "sample", "37d7ca00d2c7b0e5e412ac03bd44ba837fdd5b28cd3b0021"},
		{p192, p192Key, sha256.New224, "sample", "4381526b3fc1e7128f202e194505592f01d5ff4c5af015d8"},
		{p192, p192Key, sha256.New, "sample", "32b1b6d7d42a05cb449065727a84804fb1a3e34d8f261496"},
		{p192, p192Key, sha512.New384, "sample", "4730005c4fcb01834c063a7b6760096dbe284b8252ef4311"},
		{p192, p192Key, sha512.New, "sample", "a2ac7ab055e4f20692d49209544c203a7d1f2c0bfbc75db1"},
		{p192, p192Key, sha1.New, "test", "d9cf9c3d3297d3260773a1da7418db5537ab8dd93de7fa25"},
		{p192, p192Key, sha256.New, "test", "5c4ce89cf56d9e7c77c8585339b006b97b5f0680b4306c6c"},
		{p192, p192Key, sha512.New, "test", "0758753a5254759c7cfbad2e2d9b0792eee44136c9480527"},
	} {
		key, err := newECDSAPrivateKey(fixedOrder{n: fromHex(t, x.n)}, fromHex(t, x.key))
		if err != nil {
			t.Fatal(err)
		}
		h := x.hash()
		h.Write([]byte(x.message))
		digest := h.Sum(nil)
		if got := nextNonce(t, key, key.deterministic(x.hash, digest)); hex.EncodeToString(got) != x.k {
			t.Errorf("%s, %d: %x, not %s", x.message, len(digest), got, x.k)
		}
	}
}

func nextNonce(t *testing.T, key *ecdsaPrivateKey, nonces nonceSource) []byte {
	t.Helper()
	nonce := make([]byte, len(key.n.order))
	if err := nonces.next(nonce); err != nil {
		t.Fatal(err)
	}
	return nonce
}

// TestHedgedNonces looks at what nonces depend on, and how far they reach.
func TestHedgedNonces(t *testing.T) {
	for _, name := range []string{"secp160r1", "P-192", "P-256", "P-384", "brainpoolP512r1", "P-521"} {
		c := testCurve(name)
		_, priv := ecPair(t, name)
		key, err := newECDSAPrivateKey(c.group(), priv.Value())
		if err != nil {
			t.Fatal(err)
		}
		var one, two hedgedNonces
		one.init(key, pattern(32))
		two.init(key, pattern(32))
		first := nextNonce(t, key, &one)
		if bytes.Equal(first, nextNonce(t, key, &two)) || bytes.Equal(first, nextNonce(t, key, &one)) {
			t.Errorf("%s: a nonce twice", name)
		}
		// Of 64 nonces practically one at least is in the upper half.
		high := 0
		for range 64 {
			nonce := nextNonce(t, key, &one)
			if !inRange(key.n.order, nonce) {
				t.Errorf("%s: nonce %x", name, nonce)
			}
			if nonce[0] > key.n.order[0]/2 || key.n.order[0] == 1 && nonce[1] > 127 {
				high++
			}
		}
		if high == 0 || high == 64 {
			t.Errorf("%s: %d of 64 nonces are high", name, high)
		}
		// They are the hash of all that the comment says.
		in := bytes.Clone(one.in[:one.used])
		size := len(key.n.order)
		if !bytes.Equal(in[1:1+size], key.value) || bytes.Equal(in[1+size:1+size+hedgeLen], two.in[1+size:1+size+hedgeLen]) {
			t.Errorf("%s: nonces of %x", name, in)
		}
		if one.done(); !bytes.Equal(one.in[:], make([]byte, len(one.in))) {
			t.Errorf("%s: leaves the private value", name)
		}
	}
}

// TestRFC6979Sign signs as in RFC 6979, section A.2.3, on P-192.
func TestRFC6979Sign(t *testing.T) {
	c := testCurve("P-192")
	key, err := newECDSAPrivateKey(c.group(), fromHex(t, "6fab034934e4c0fc9ae67f5b5659a9d7d1fefd187ee09fd4"))
	if err != nil {
		t.Fatal(err)
	}
	for message, want := range map[string]string{
		"sample": "4b0b8ce98a92866a2820e20aa6b75b56382e0f9bfd5ecb55ccdb006926ea9565cbadc840829d8c384e06de1f1e381b85",
		"test":   "3a718bd8b4926c3b52ee6bbe67ef79b18cb6eb62b1ad97ae5662e6848a4a19b1f1ae2f72acd4b8bbe50f1eac65d9124f",
	} {
		digest := sha256.Sum256([]byte(message))
		sig := make([]byte, 48)
		if _, err := key.sign(sig, digest[:], key.deterministic(sha256.New, digest[:])); err != nil || hex.EncodeToString(sig) != want {
			t.Errorf("%s: %x, %v", message, sig, err)
		}
	}
}

// TestECDSASamePaths signs with our own arithmetic on the curves of the standard
// library, for which that verifies.
func TestECDSASamePaths(t *testing.T) {
	digest := sha512.Sum512([]byte("message"))
	for _, c := range curves() {
		if c.nist == nil {
			continue
		}
		pub, priv := ecPair(t, c.names[0])
		key, err := newECDSAPrivateKey(c.group(), priv.Value())
		if err != nil {
			t.Fatal(err)
		}
		size := len(key.n.order)
		sig := make([]byte, 2*size)
		if n, err := key.signHedged(sig, digest[:]); n != len(sig) || err != nil {
			t.Fatal(err)
		}
		r, s := sig[:size], sig[size:]
		point, err := ecPoint(pub, c)
		if err != nil {
			t.Fatal(err)
		}
		std, err := ecdsa.ParseUncompressedPublicKey(c.nist, point)
		if err != nil || !ecdsa.VerifyASN1(std, digest[:], ecdsaDER(nil, sig)) {
			t.Errorf("%s: the standard library does not verify: %v", c.names[0], err)
		}
		f, err := newScalarField(c.group())
		if err != nil {
			t.Fatal(err)
		}
		if !verifyECDSA(c.group(), f, point, digest[:], r, s) || verifyECDSA(c.group(), f, point, digest[1:], r, s) {
			t.Errorf("%s: verified by ourselves", c.names[0])
		}
	}
}

func TestGBCS(t *testing.T) {
	for _, name := range []string{"secp256r1", "secp256k1", "brainpoolP256t1"} {
		pub, priv := ecPair(t, name)
		var last []byte
		for range 2 {
			sig, err := sign(priv, ck.CKM_ECDSA_GBCS_SHA256, nil, []byte("message"))
			if err != nil || len(sig) != 64 || last != nil && !bytes.Equal(last, sig) {
				t.Fatalf("%s: %x, %v", name, sig, err)
			}
			last = sig
		}
		wantRV(t, name, verify(pub, ck.CKM_ECDSA_SHA256, nil, []byte("message"), last), ck.CKR_OK)
		wantRV(t, name, verify(pub, ck.CKM_ECDSA_GBCS_SHA256, nil, []byte("message"), last), ck.CKR_OK)
		wantRV(t, name, errOf(Find(ck.CKM_ECDSA_GBCS_SHA256).Sign(priv, []byte{1})), ck.CKR_MECHANISM_PARAM_INVALID)
	}
	_, priv := ecPair(t, "secp384r1")
	wantRV(t, "384 bits", errOf(Find(ck.CKM_ECDSA_GBCS_SHA256).Sign(priv, nil)), ck.CKR_KEY_SIZE_RANGE)
}

func TestReduceToScalar(t *testing.T) {
	one := big.NewInt(1)
	for _, c := range curves() {
		if c.group == nil {
			continue
		}
		order := c.group().Order()
		m := new(big.Int).Sub(new(big.Int).SetBytes(order), one)
		wide := make([]byte, len(order)+8)
		for i := range 12 {
			switch i {
			case 0: // zeros
			case 1:
				m.FillBytes(wide)
			case 2:
				new(big.Int).Sub(m, one).FillBytes(wide)
			case 3:
				new(big.Int).Mul(m, big.NewInt(0x7fffffff)).FillBytes(wide)
			case 4:
				wide = bytes.Repeat([]byte{0xff}, len(wide))
			default:
				if err := Random(wide); err != nil {
					t.Fatal(err)
				}
			}
			want := new(big.Int).SetBytes(wide)
			want.Mod(want, m).Add(want, one)
			got := reduceToScalar(wide, order)
			if len(got) != len(order) || want.Cmp(new(big.Int).SetBytes(got)) != 0 {
				t.Fatalf("%s: %x: %x", c.names[0], wide, got)
			}
		}
	}
}

// userParams are the parameters of a curve that has no name here: number 9 of
// the WTLS specification.
func userParams(t testing.TB) *weierstrass.Params {
	t.Helper()
	base := append([]byte{4}, make([]byte, 40)...)
	base[20], base[40] = 1, 2
	return &weierstrass.Params{
		P: fromHex(t, "fffffffffffffffffffffffffffffffffffc808f"), A: nil, B: []byte{3},
		Base: base, N: fromHex(t, "0100000000000000000001cdc98ae0e2de574abf33"), H: 1,
	}
}

// TestUserCurve uses a curve that somebody has defined for all there is.
func TestUserCurve(t *testing.T) {
	params := userParams(t)
	der := ecParameters(params, params.Base)
	alicePub, alice := pair(t, ck.CKM_EC_KEY_PAIR_GEN, ck.NewBytes(ck.CKA_EC_PARAMS, der))
	bobPub, bob := pair(t, ck.CKM_ECDSA_KEY_PAIR_GEN_W_EXTRA_BITS, ck.NewBytes(ck.CKA_EC_PARAMS, der))
	if size := ecSize(alice); size != 160 {
		t.Errorf("size %d", size)
	}
	sig, err := sign(alice, ck.CKM_ECDSA_SHA256, nil, []byte("message"))
	if err != nil || len(sig) != 42 {
		t.Fatal(err)
	}
	wantRV(t, "signature", verify(alicePub, ck.CKM_ECDSA_SHA256, nil, []byte("message"), sig), ck.CKR_OK)
	one, err := agree(alice, &ECDH1DeriveParams{KDF: ck.CKD_NULL, PublicData: bobPub.Bytes(ck.CKA_EC_POINT)}, 0)
	if err != nil {
		t.Fatal(err)
	}
	two, err := agree(bob, &ECDH1DeriveParams{KDF: ck.CKD_NULL, PublicData: alicePub.Bytes(ck.CKA_EC_POINT)}, 0)
	if err != nil || !bytes.Equal(one, two) {
		t.Error("no agreement", err)
	}
	encoded, err := marshalEC(alice)
	if err != nil || !bytes.Contains(encoded, der) {
		t.Fatalf("%x, %v", encoded, err)
	}
	attrs, err := unmarshalEC(encoded, ck.CKK_EC)
	if err != nil {
		t.Fatal(err)
	}
	again := completed(t, &Key{Class: ck.CKO_PRIVATE_KEY, Type: ck.CKK_EC, Attrs: attrs})
	if !bytes.Equal(again.Value(), alice.Value()) {
		t.Error("another private value")
	}
	if info, err := ecPublicInfo(again); err != nil || !bytes.Contains(info, der) {
		t.Errorf("%x, %v", info, err)
	}
}

// TestUserCurveRefused changes one parameter at a time.
func TestUserCurveRefused(t *testing.T) {
	big2 := func(b []byte, i int64) []byte {
		return new(big.Int).Add(new(big.Int).SetBytes(b), big.NewInt(i)).Bytes()
	}
	for name, change := range map[string]func(p *weierstrass.Params){
		"p not prime":             func(p *weierstrass.Params) { p.P = big2(p.P, 2) },
		"p of 111 bits":           func(p *weierstrass.Params) { p.P = p.P[:13] },
		"p of 522 bits":           func(p *weierstrass.Params) { p.P = append([]byte{3}, make([]byte, 65)...) },
		"p of many bits":          func(p *weierstrass.Params) { p.P = bytes.Repeat([]byte{0xff}, 5000) },
		"a = p":                   func(p *weierstrass.Params) { p.A = p.P },
		"another a":               func(p *weierstrass.Params) { p.A = []byte{1} },
		"another b":               func(p *weierstrass.Params) { p.B = []byte{4} },
		"singular":                func(p *weierstrass.Params) { p.B = nil },
		"base not on the curve":   func(p *weierstrass.Params) { p.Base = flip(p.Base, 40) },
		"base at infinity":        func(p *weierstrass.Params) { p.Base = []byte{0} },
		"base of another length":  func(p *weierstrass.Params) { p.Base = p.Base[:40] },
		"base not to be computed": func(p *weierstrass.Params) { p.Base = append([]byte{2}, p.P...) },
		"n not prime":             func(p *weierstrass.Params) { p.N = big2(p.N, 2) },
		"n of another curve":      func(p *weierstrass.Params) { p.N = testCurve("secp160k1").prime().N },
		"n = p":                   func(p *weierstrass.Params) { p.N = p.P },
		"n = 7":                   func(p *weierstrass.Params) { p.N = []byte{7} },
		"n of many bits":          func(p *weierstrass.Params) { p.N = bytes.Repeat([]byte{0xff}, 5000) },
		"cofactor 2":              func(p *weierstrass.Params) { p.H = 2 },
		"cofactor 2^64-1":         func(p *weierstrass.Params) { p.H = 1<<64 - 1 },
	} {
		params := userParams(t)
		change(params)
		_, err := parseECParams(ecParameters(params, params.Base), ck.CKK_EC)
		wantRV(t, name, err, ck.CKR_DOMAIN_PARAMS_INVALID)
	}
}

// TestUserCurveCache fills the cache.
func TestUserCurveCache(t *testing.T) {
	u := &curveCache{curves: map[string]*curve{}}
	for i := range maxUserCurves {
		u.curves[fmt.Sprint(i)] = nil
	}
	c, err := u.get(userParams(t))
	if err != nil {
		t.Fatal(err)
	}
	if again, err := u.get(userParams(t)); again != c || err != nil || len(u.curves) != 1 {
		t.Error("not kept", len(u.curves), err)
	}
}

// TestCofactorPoints is about points outside the subgroup of the base, on a
// curve with the cofactor 4.
func TestCofactorPoints(t *testing.T) {
	c := testCurve("secp112r2")
	pub, priv := ecPair(t, "secp112r2")
	own, err := ecPoint(pub, c)
	if err != nil {
		t.Fatal(err)
	}
	x := make([]byte, 14)
	seen := 0
	for i := range byte(40) {
		x[13] = i
		point, ok := c.group().Decode(append([]byte{2}, x...))
		if !ok || c.group().InSubgroup(point) {
			continue
		}
		seen++
		k := c.testVerifyKey(answer{"point": point})
		wantRV(t, "as a public key", complete(k), ck.CKR_ATTRIBUTE_VALUE_INVALID)
		wantRV(t, "to verify", errOf(ecdsaVerify(k, nil)), ck.CKR_ATTRIBUTE_VALUE_INVALID)
		p := &ECDH1DeriveParams{KDF: ck.CKD_NULL, PublicData: point}
		_, err := agree(priv, p, 0)
		wantRV(t, "to agree", err, ck.CKR_MECHANISM_PARAM_INVALID)
		// With the cofactor the point may be anywhere: the result is that of
		// the point's part in the subgroup.
		got, err := Find(ck.CKM_ECDH1_COFACTOR_DERIVE).Derive(priv, p, &Derivation{})
		if err != nil {
			t.Fatal(err)
		}
		cleared, _ := clearCofactor(c.group(), point)
		if want, err := agree(priv, &ECDH1DeriveParams{KDF: ck.CKD_NULL, PublicData: cleared}, 0); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%x, %x, %v", got, want, err)
		}
	}
	if seen < 10 {
		t.Errorf("%d points only", seen)
	}
	// Points of the subgroup work with both, and differ.
	p := &ECDH1DeriveParams{KDF: ck.CKD_NULL, PublicData: own}
	one, err := agree(priv, p, 0)
	if err != nil {
		t.Fatal(err)
	}
	if two, err := Find(ck.CKM_ECDH1_COFACTOR_DERIVE).Derive(priv, p, &Derivation{}); err != nil || bytes.Equal(one, two) {
		t.Error("the cofactor makes no difference", err)
	}
}

func TestECDHKEM(t *testing.T) {
	for _, name := range []string{"secp256r1", "secp224r1", "brainpoolP320r1", "secp112r2", "curve25519"} {
		pub, priv := ecPair(t, name)
		for _, t2 := range []ck.MechanismType{ck.CKM_ECDH1_DERIVE, ck.CKM_ECDH1_COFACTOR_DERIVE} {
			m := Find(t2)
			if !m.Takes(ck.CKO_PUBLIC_KEY, pub.Type) {
				continue
			}
			p, d := &ECDH1DeriveParams{KDF: ck.CKD_SHA256_KDF, SharedData: []byte("info")}, &Derivation{Len: 40}
			ciphertext, secret, err := m.Encapsulate(pub, p, d)
			if n, err2 := m.CiphertextLen(pub, p); err != nil || err2 != nil || n != len(ciphertext) || len(secret) != 40 {
				t.Fatal(name, err, err2, n, len(ciphertext))
			}
			if got, err := m.Decapsulate(priv, p, d, ciphertext); err != nil || !bytes.Equal(got, secret) {
				t.Errorf("%s: %v", name, err)
			}
			q := *p
			q.PublicData = ciphertext
			if got, err := m.Derive(priv, &q, d); err != nil || !bytes.Equal(got, secret) {
				t.Errorf("%s: not what C_DeriveKey makes: %v", name, err)
			}
			_, _, err = m.Encapsulate(pub, &q, d)
			wantRV(t, "public data", err, ck.CKR_MECHANISM_PARAM_INVALID)
			_, err = m.Decapsulate(priv, p, d, ciphertext[1:])
			wantRV(t, "short", err, ck.CKR_ENCRYPTED_DATA_LEN_RANGE)
			_, err = m.Decapsulate(priv, p, d, make([]byte, len(ciphertext)))
			wantRV(t, "no point", err, ck.CKR_ENCRYPTED_DATA_INVALID)
			_, _, err = m.Encapsulate(pub, nil, d)
			wantRV(t, "no parameter", err, ck.CKR_MECHANISM_PARAM_INVALID)
			_, _, err = m.Encapsulate(pub, p, &Derivation{})
			wantRV(t, "no length", err, ck.CKR_TEMPLATE_INCOMPLETE)
		}
	}
}

// TestX942KDF has the example of RFC 2631, section 2.1.6.
func TestX942KDF(t *testing.T) {
	info := fromHex(t, "301d"+"3013"+"060b2a864886f70d0109100306"+"040400000001"+"a2060404000000c0")
	secret := fromHex(t, "000102030405060708090a0b0c0d0e0f10111213")
	got := ecKDFs[ck.CKD_SHA1_KDF_ASN1].derive(secret, info, 24)
	if hex.EncodeToString(got) != "a09661392376f7044d9052a397883246b67f5f1ef63eb5fb" {
		t.Errorf("%x", got)
	}
	for _, bad := range [][]byte{nil, {}, {0x30, 0}, info[:len(info)-1], append(bytes.Clone(info), 0), info[2:]} {
		wantRV(t, fmt.Sprintf("%x", bad), checkECKDF(ck.CKD_SHA1_KDF_ASN1, bad, 24), ck.CKR_MECHANISM_PARAM_INVALID)
	}
}

func TestMQV(t *testing.T) {
	for _, name := range []string{"secp256r1", "secp160k1", "secp112r2", "brainpoolP512t1"} {
		c := testCurve(name)
		aPub, a := ecPair(t, name)
		a2Pub, a2 := ecPair(t, name)
		bPub, b := ecPair(t, name)
		b2Pub, b2 := ecPair(t, name)
		run := func(k, k2, pub, pub2 *Key) ([]byte, error) {
			p := &ECMQVDeriveParams{KDF: ck.CKD_NULL, PublicData: pub.Bytes(ck.CKA_EC_POINT), PublicData2: pub2.Bytes(ck.CKA_EC_POINT)}
			return Find(ck.CKM_ECMQV_DERIVE).Derive(k, p, &Derivation{Keys: []*Key{k2, nil}})
		}
		one, err := run(a, a2, bPub, b2Pub)
		if err != nil || len(one) != c.size {
			t.Fatal(name, err)
		}
		if two, err := run(b, b2, aPub, a2Pub); err != nil || !bytes.Equal(one, two) {
			t.Errorf("%s: no agreement: %v", name, err)
		}
		if two, err := run(a2, a, bPub, b2Pub); err != nil || bytes.Equal(one, two) {
			t.Errorf("%s: the keys can be exchanged: %v", name, err)
		}
		_, err = run(a, nil, bPub, b2Pub)
		wantRV(t, "no second key", err, ck.CKR_MECHANISM_PARAM_INVALID)
		_, err = run(a, a2, bPub, &Key{})
		wantRV(t, "no second point", err, ck.CKR_MECHANISM_PARAM_INVALID)
		_, other := ecPair(t, "secp384r1")
		_, err = run(a, other, bPub, b2Pub)
		wantRV(t, "another curve", err, ck.CKR_KEY_TYPE_INCONSISTENT)
	}
	_, priv := ecPair(t, "secp256r1")
	_, err := Find(ck.CKM_ECMQV_DERIVE).Derive(priv, nil, &Derivation{})
	wantRV(t, "no parameter", err, ck.CKR_MECHANISM_PARAM_INVALID)
	_, err = Find(ck.CKM_ECMQV_DERIVE).Derive(priv, &ECMQVDeriveParams{KDF: ck.CKD_NULL}, &Derivation{})
	wantRV(t, "no keys", err, ck.CKR_MECHANISM_PARAM_INVALID)
}

// TestUserCurveOpenSSL has openssl verify on a curve that has no name here, with
// keys that carry its parameters.
func TestUserCurveOpenSSL(t *testing.T) {
	o := newOpenSSL(t)
	der := o.run("ecparam", "-name", "wap-wsg-idm-ecid-wtls9", "-param_enc", "explicit", "-conv_form", "compressed", "-outform", "DER")
	_, priv := pair(t, ck.CKM_EC_KEY_PAIR_GEN, ck.NewBytes(ck.CKA_EC_PARAMS, der))
	info, err := ecPublicInfo(priv)
	if err != nil {
		t.Fatal(err)
	}
	sig, err := sign(priv, ck.CKM_ECDSA_SHA256, nil, []byte("message"))
	if err != nil {
		t.Fatal(err)
	}
	o.write("pub.der", info)
	o.write("message", []byte("message"))
	o.write("sig", ecdsaDER(nil, sig))
	o.run("dgst", "-sha256", "-verify", "pub.der", "-keyform", "DER", "-signature", "sig", "message")
}
