package engine

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"math/big"
	"os"
	"strings"
	"testing"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"github.com/perilune/perilune/cryptoki/ck"
)

// TestDSACAVP verifies signatures that NIST published, and refuses others of
// the same file.
func TestDSACAVP(t *testing.T) {
	text, err := os.ReadFile("testdata/dsa_cavp.txt")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, a := range parseAnswersInOrder(string(text)) {
		n++
		k := dsaType.testKey(ck.CKO_PUBLIC_KEY, a.answer, "y", "g")
		if err := complete(k); err != nil && a.answer["result"][0] == 0 {
			continue // its key was changed
		} else if err != nil {
			t.Fatal(err)
		}
		var m ck.MechanismType
		for _, row := range Mechanisms() {
			if row.Type.String() == a.mechanism {
				m = row.Type
			}
		}
		want := ck.CKR_OK
		if a.answer["result"][0] == 0 {
			want = ck.CKR_SIGNATURE_INVALID
		}
		wantRV(t, a.mechanism, verify(k, m, nil, a.answer["message"], a.answer["signature"]), want)
	}
	if n != 10 {
		t.Errorf("%d signatures", n)
	}
}

type mechanismAnswer struct {
	mechanism string
	answer    answer
}

// parseAnswersInOrder is parseAnswers for files with several sections of a name.
func parseAnswersInOrder(text string) (list []mechanismAnswer) {
	for i, part := range strings.Split(text, "\n[") {
		if i == 0 {
			continue
		}
		name, _, _ := strings.Cut(part, "]")
		list = append(list, mechanismAnswer{name, parseAnswers("[" + part)[name]})
	}
	return list
}

// dlPair makes a key pair in the group of an answer.
func dlPair(t testing.TB, kt *dlType, m ck.MechanismType, section string) (pub, priv *Key) {
	t.Helper()
	return pair(t, m, kt.testKey(ck.CKO_PUBLIC_KEY, dlAnswers()[section], "y", "g").Attrs[:3]...)
}

// Every mechanism's signatures verify, and not when anything is changed.
func TestDLSignatures(t *testing.T) {
	for _, m := range Mechanisms() {
		if len(m.Keys) == 0 || m.Keys[0] != ck.CKK_DSA && m.Keys[0] != ck.CKK_KCDSA {
			continue
		}
		kt, gen, section := dsaType, ck.CKM_DSA_KEY_PAIR_GEN, "dsa"
		if m.Keys[0] == ck.CKK_KCDSA {
			kt, gen, section = kcdsaType, ck.CKM_KCDSA_KEY_PAIR_GEN, "kcdsa-has160"
		}
		pub, priv := dlPair(t, kt, gen, section)
		message := []byte("a message of 32 bytes, or so ...")
		sig, err := sign(priv, m.Type, nil, message)
		if err != nil {
			t.Fatalf("%v: %v", m.Type, err)
		}
		again, err := sign(priv, m.Type, nil, message)
		if err != nil || bytes.Equal(sig, again) {
			t.Errorf("%v: two signatures are the same", m.Type)
		}
		name := m.Type.String()
		wantRV(t, name, verify(pub, m.Type, nil, message, sig), ck.CKR_OK)
		wantRV(t, name, verify(pub, m.Type, nil, flip(message, 0), sig), ck.CKR_SIGNATURE_INVALID)
		wantRV(t, name, verify(pub, m.Type, nil, message, flip(sig, 0)), ck.CKR_SIGNATURE_INVALID)
		wantRV(t, name, verify(pub, m.Type, nil, message, flip(sig, len(sig)-1)), ck.CKR_SIGNATURE_INVALID)
		wantRV(t, name, verify(pub, m.Type, nil, message, sig[1:]), ck.CKR_SIGNATURE_LEN_RANGE)
		wantRV(t, name, verify(pub, m.Type, nil, message, make([]byte, len(sig))), ck.CKR_SIGNATURE_INVALID)
		other, _ := dlPair(t, kt, gen, section)
		wantRV(t, name, verify(other, m.Type, nil, message, sig), ck.CKR_SIGNATURE_INVALID)
		_, err = Find(m.Type).Sign(priv, []byte{1})
		wantRV(t, name, err, ck.CKR_MECHANISM_PARAM_INVALID)
	}
}

func TestRawDSALengths(t *testing.T) {
	pub, priv := dlPair(t, dsaType, ck.CKM_DSA_KEY_PAIR_GEN, "dsa")
	for n := range 70 {
		want := ck.CKR_DATA_LEN_RANGE
		if n == 20 || n == 28 || n == 32 || n == 48 || n == 64 {
			want = ck.CKR_OK
		}
		sig, err := sign(priv, ck.CKM_DSA, nil, make([]byte, n))
		wantRV(t, "sign", err, want)
		if sig == nil {
			sig = make([]byte, 40)
		}
		wantRV(t, "verify", verify(pub, ck.CKM_DSA, nil, make([]byte, n), sig), want)
	}
}

// KCDSA without its own z is KCDSA over z and the message.
func TestKCDSANoPad(t *testing.T) {
	a := dlAnswers()["kcdsa-sha256"]
	pub := kcdsaType.testKey(ck.CKO_PUBLIC_KEY, a, "y", "g")
	priv := kcdsaType.testKey(ck.CKO_PRIVATE_KEY, a, "x", "g")
	message := []byte("message")
	sig, err := sign(priv, ck.CKM_KCDSA_SHA256_NO_PAD, nil, append(bytes.Clone(a["z"]), message...))
	if err != nil {
		t.Fatal(err)
	}
	wantRV(t, "with z", verify(pub, ck.CKM_KCDSA_SHA256, nil, message, sig), ck.CKR_OK)
	wantRV(t, "without z", verify(pub, ck.CKM_KCDSA_SHA256_NO_PAD, nil, message, sig), ck.CKR_SIGNATURE_INVALID)
}

// TestECKCDSA: TTAK.KO-12.0015/R3, annex II.2, where digests are longer than the
// order; the other examples over primes are in the self-tests.
func TestECKCDSA(t *testing.T) {
	a := dlAnswers()["eckcdsa-224-sha256"]
	priv, err := ecKCDSATestKey("secp224r1", a)
	if err != nil {
		t.Fatal(err)
	}
	if err := (ecKCDSA{sha256.New}).expectNonce(priv, a); err != nil {
		t.Error(err)
	}
	pub := completed(t, testCurve("secp224r1").testVerifyKey(a))
	m, message, sig := ck.CKM_EC_KCDSA_SHA256, a["message"], a["signature"]
	wantRV(t, "published", verify(pub, m, nil, message, sig), ck.CKR_OK)
	wantRV(t, "message", verify(pub, m, nil, flip(message, 0), sig), ck.CKR_SIGNATURE_INVALID)
	wantRV(t, "r", verify(pub, m, nil, message, flip(sig, 0)), ck.CKR_SIGNATURE_INVALID)
	wantRV(t, "s", verify(pub, m, nil, message, flip(sig, 55)), ck.CKR_SIGNATURE_INVALID)
	wantRV(t, "zeros", verify(pub, m, nil, message, make([]byte, 56)), ck.CKR_SIGNATURE_INVALID)
	wantRV(t, "short", verify(pub, m, nil, message, sig[1:]), ck.CKR_SIGNATURE_LEN_RANGE)
	_, err = Find(m).Sign(pub, nil)
	wantRV(t, "public key", err, ck.CKR_KEY_TYPE_INCONSISTENT)
}

// Signatures on curves of other lengths verify, with r as long as the digest at
// most.
func TestECKCDSACurves(t *testing.T) {
	for curve, sizes := range map[string][2]int{
		"secp256r1": {28 + 32, 32 + 32}, "secp384r1": {28 + 48, 48 + 48}, "secp521r1": {28 + 66, 64 + 66}, "brainpoolP256r1": {28 + 32, 32 + 32},
	} {
		pub, priv := ecPair(t, curve)
		for i, m := range []ck.MechanismType{ck.CKM_EC_KCDSA_SHA224, ck.CKM_EC_KCDSA_SHA512} {
			sig, err := sign(priv, m, nil, []byte("message"))
			if err != nil || len(sig) != sizes[i] {
				t.Fatalf("%s: %x, %v", curve, sig, err)
			}
			wantRV(t, curve, verify(pub, m, nil, []byte("message"), sig), ck.CKR_OK)
			wantRV(t, curve, verify(pub, m, nil, []byte("massage"), sig), ck.CKR_SIGNATURE_INVALID)
		}
	}
}

func TestDHDerive(t *testing.T) {
	a := dlAnswers()["dh"]
	k := dhType.testKey(ck.CKO_PRIVATE_KEY, a, "x", "g")
	derive := func(p any, n int) ([]byte, error) {
		return Find(ck.CKM_DH_PKCS_DERIVE).Derive(k, p, &Derivation{Type: ck.CKK_GENERIC_SECRET, Len: n})
	}
	for n, want := range map[int][]byte{0: a["z"], 128: a["z"], 16: a["z"][112:], 1: a["z"][127:]} {
		got, err := derive(a["other"], n)
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%d bytes: %x, %v", n, got, err)
		}
	}
	// As Java's BigInteger has it, with a sign.
	if got, err := derive(append([]byte{0}, a["other"]...), 0); err != nil || !bytes.Equal(got, a["z"]) {
		t.Errorf("with a leading zero: %x, %v", got, err)
	}
	_, err := derive(a["other"], 129)
	wantRV(t, "too long", err, ck.CKR_KEY_SIZE_RANGE)
	p := new(big.Int).SetBytes(a["p"])
	for name, y := range map[string][]byte{
		"nothing": nil, "0": {0}, "1": {1}, "p-1": new(big.Int).Sub(p, big.NewInt(1)).Bytes(), "p": a["p"],
		"longer than p": make([]byte, 1000), "long": bytes.Repeat([]byte{1}, 129),
	} {
		_, err := derive(y, 0)
		wantRV(t, name, err, ck.CKR_MECHANISM_PARAM_INVALID)
	}
	_, err = derive(nil, 0)
	wantRV(t, "no parameter", err, ck.CKR_MECHANISM_PARAM_INVALID)
}

// A public value outside the subgroup is refused where the order is known.
func TestX942SmallSubgroup(t *testing.T) {
	a := dlAnswers()["dh"]
	k := x942Type.testKey(ck.CKO_PRIVATE_KEY, a, "x", "g")
	p, q := new(big.Int).SetBytes(a["p"]), new(big.Int).SetBytes(a["q"])
	e := new(big.Int).Sub(p, big.NewInt(1))
	e.Div(e, q)
	for _, y := range [][]byte{{2}, new(big.Int).Exp(big.NewInt(3), q, p).Bytes()} {
		_, err := x942Derive(k, &X942DH1Params{KDF: ck.CKD_NULL, PublicData: y}, &Derivation{})
		wantRV(t, "outside", err, ck.CKR_MECHANISM_PARAM_INVALID)
	}
	inside := new(big.Int).Exp(big.NewInt(2), e, p).Bytes()
	_, err := x942Derive(k, &X942DH1Params{KDF: ck.CKD_NULL, PublicData: inside}, &Derivation{})
	wantRV(t, "inside", err, ck.CKR_OK)
}

// TestX942Functions: RFC 2631, section 2.1.6, the second example, which has
// partyAInfo; the first is in the self-test. Parameters that do not go together
// are refused.
func TestX942Functions(t *testing.T) {
	z := unhex("000102030405060708090a0b0c0d0e0f10111213")
	info := unhex("3061" + "3013060b2a864886f70d010910030704040000ffff" +
		"a0420440" + strings.Repeat("0123456789abcdeffedcba9876543201", 4) + "a2060404" + "00000080")
	got, err := deriveECKey(ck.CKD_SHA1_KDF_ASN1, bytes.Clone(z), info, 16)
	if err != nil || hex.EncodeToString(got) != "48950c46e0530075403cce72889604e0" {
		t.Errorf("%x, %v", got, err)
	}
	a := dlAnswers()["dh"]
	k := x942Type.testKey(ck.CKO_PRIVATE_KEY, a, "x", "g")
	for name, c := range map[string]struct {
		kdf  ck.KDF
		info []byte
		n    int
		want ck.RV
	}{
		"good":                    {ck.CKD_SHA1_KDF_ASN1, info, 50, ck.CKR_OK},
		"concatenation":           {ck.CKD_SHA1_KDF_CONCATENATE, []byte("info"), 50, ck.CKR_OK},
		"no DER":                  {ck.CKD_SHA1_KDF_ASN1, []byte("info"), 16, ck.CKR_MECHANISM_PARAM_INVALID},
		"information for nothing": {ck.CKD_NULL, []byte("info"), 16, ck.CKR_MECHANISM_PARAM_INVALID},
		"unknown function":        {99, nil, 16, ck.CKR_MECHANISM_PARAM_INVALID},
		"no length":               {ck.CKD_SHA1_KDF_ASN1, info, 0, ck.CKR_TEMPLATE_INCOMPLETE},
		"too long":                {ck.CKD_NULL, nil, 129, ck.CKR_KEY_SIZE_RANGE},
	} {
		out, err := x942Derive(k, &X942DH1Params{KDF: c.kdf, OtherInfo: c.info, PublicData: a["other"]}, &Derivation{Len: c.n})
		wantRV(t, name, err, c.want)
		if err == nil && len(out) != c.n {
			t.Errorf("%s: %d bytes", name, len(out))
		}
	}
}

// Both parties of MQV and of the hybrid scheme find the same.
func TestX942Pairs(t *testing.T) {
	type party struct{ static, staticPublic, ephemeral, public *Key }
	var parties [2]party
	for i := range parties {
		p := &parties[i]
		p.staticPublic, p.static = dlPair(t, x942Type, ck.CKM_X9_42_DH_KEY_PAIR_GEN, "dh")
		p.public, p.ephemeral = dlPair(t, x942Type, ck.CKM_X9_42_DH_KEY_PAIR_GEN, "dh")
	}
	var mqv, hybrid [2][]byte
	for i, me := range parties {
		other := parties[1-i]
		d := &Derivation{Len: 48, Keys: []*Key{me.ephemeral, me.public}}
		var err error
		mqv[i], err = x942MQV(me.static, &X942MQVParams{
			KDF: ck.CKD_SHA256_KDF, OtherInfo: []byte("info"),
			PublicData: other.staticPublic.Value(), PublicData2: other.public.Value(),
		}, d)
		if err != nil {
			t.Fatal(err)
		}
		d = &Derivation{Len: 256, Keys: []*Key{me.ephemeral}}
		hybrid[i], err = x942Hybrid(me.static, &X942DH2Params{
			KDF: ck.CKD_NULL, PublicData: other.staticPublic.Value(), PublicData2: other.public.Value(),
		}, d)
		if err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(mqv[0], mqv[1]) || !bytes.Equal(hybrid[0], hybrid[1]) {
		t.Error("two secrets are two")
	}
	me := parties[0]
	foreign := x942Type.testKey(ck.CKO_PRIVATE_KEY, dlAnswers()["dsa"], "x", "g")
	p := &X942DH2Params{KDF: ck.CKD_NULL, PublicData: me.public.Value(), PublicData2: me.public.Value()}
	for name, c := range map[string]struct {
		keys []*Key
		want ck.RV
	}{
		"no key":             {nil, ck.CKR_MECHANISM_PARAM_INVALID},
		"handle 0":           {[]*Key{nil}, ck.CKR_MECHANISM_PARAM_INVALID},
		"public key":         {[]*Key{me.public}, ck.CKR_KEY_TYPE_INCONSISTENT},
		"secret key":         {[]*Key{secretKey(ck.CKK_AES, make([]byte, 16))}, ck.CKR_KEY_TYPE_INCONSISTENT},
		"key of other group": {[]*Key{foreign}, ck.CKR_DOMAIN_PARAMS_INVALID},
	} {
		_, err := x942Hybrid(me.static, p, &Derivation{Keys: c.keys})
		wantRV(t, name, err, c.want)
	}
}

func TestDLComplete(t *testing.T) {
	a := dlAnswers()["dsa"]
	for _, kt := range []*dlType{dsaType, dhType, x942Type, kcdsaType} {
		for _, class := range []ck.ObjectClass{ck.CKO_PUBLIC_KEY, ck.CKO_PRIVATE_KEY} {
			value := map[ck.ObjectClass]string{ck.CKO_PUBLIC_KEY: "y", ck.CKO_PRIVATE_KEY: "x"}[class]
			good := kt.testKey(class, a, value, "g")
			completed(t, good)
			if n := FindKeyType(kt.key).Size(good); n != 1024 {
				t.Errorf("%v: size %d", kt.key, n)
			}
			for i, attr := range good.Attrs {
				if attr.Type == ck.CKA_SUBPRIME && !kt.ordered || attr.Type == ck.CKA_VALUE_BITS {
					continue
				}
				bad := kt.testKey(class, a, value, "g")
				bad.Attrs = append(cloneAttributes(good.Attrs[:i]), cloneAttributes(good.Attrs[i+1:])...)
				wantRV(t, attr.Type.String()+" missing", complete(bad), ck.CKR_TEMPLATE_INCOMPLETE)
				for _, v := range [][]byte{{}, {0}, {0, 0, 0}} {
					bad.Attrs = append(bad.Attrs[:len(good.Attrs)-1:len(good.Attrs)-1], ck.NewBytes(attr.Type, v))
					if complete(bad) == nil {
						t.Errorf("%v: %v %x", kt.key, attr.Type, v)
					}
				}
				bad.Attrs[len(bad.Attrs)-1] = ck.NewBytes(attr.Type, bytes.Repeat([]byte{0xff}, 2000))
				if complete(bad) == nil {
					t.Errorf("%v: %v of 2000 bytes", kt.key, attr.Type)
				}
			}
		}
	}
	small := answer{"p": {23}, "q": {11}, "g": {2}, "y": {4}}
	wantRV(t, "toy", complete(dsaType.testKey(ck.CKO_PUBLIC_KEY, small, "y", "g")), ck.CKR_KEY_SIZE_RANGE)
}

// OpenSSL reads our keys and writes theirs, verifies and makes signatures, and
// finds the same secrets.
func TestDLKeysOpenSSL(t *testing.T) {
	o := newOpenSSL(t)
	for _, c := range []struct {
		kt  *dlType
		gen ck.MechanismType
	}{{dsaType, ck.CKM_DSA_KEY_PAIR_GEN}, {dhType, ck.CKM_DH_PKCS_KEY_PAIR_GEN}, {x942Type, ck.CKM_X9_42_DH_KEY_PAIR_GEN}} {
		row := FindKeyType(c.kt.key)
		pub, priv := dlPair(t, c.kt, c.gen, "dh")
		der, err := row.MarshalPKCS8(priv)
		if err != nil {
			t.Fatal(err)
		}
		info, err := row.PublicInfo(priv)
		if err != nil {
			t.Fatal(err)
		}
		write(t, o.file("key.der"), der)
		write(t, o.file("pub.der"), info)
		if got := o.run("pkey", "-inform", "DER", "-in", "key.der", "-pubout", "-outform", "DER"); !bytes.Equal(got, info) {
			t.Errorf("%v: OpenSSL has another public key", c.kt.key)
		}
		theirs := o.run("pkcs8", "-topk8", "-nocrypt", "-inform", "DER", "-in", "key.der", "-outform", "DER")
		attrs, err := row.UnmarshalPKCS8(theirs)
		if err != nil {
			t.Fatal(err)
		}
		back := completed(t, &Key{Class: ck.CKO_PRIVATE_KEY, Type: c.kt.key, Attrs: attrs})
		if again, err := row.PublicInfo(back); err != nil || !bytes.Equal(again, info) {
			t.Errorf("%v: another key came back: %v", c.kt.key, err)
		}
		if again, err := row.PublicInfo(pub); err != nil || !bytes.Equal(again, info) {
			t.Errorf("%v: the public key has another CKA_PUBLIC_KEY_INFO: %v", c.kt.key, err)
		}
		if c.kt == dsaType {
			signWithOpenSSL(t, o, pub, priv)
		} else {
			agreeWithOpenSSL(t, o, c.kt, c.gen, priv)
		}
	}
}

func signWithOpenSSL(t *testing.T, o *openssl, pub, priv *Key) {
	t.Helper()
	digest := sha256.Sum256([]byte("message"))
	write(t, o.file("digest"), digest[:])
	sig, err := sign(priv, ck.CKM_DSA, nil, digest[:])
	if err != nil {
		t.Fatal(err)
	}
	var b cryptobyte.Builder
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		addInteger(b, sig[:20])
		addInteger(b, sig[20:])
	})
	write(t, o.file("sig"), b.BytesOrPanic())
	o.run("pkeyutl", "-verify", "-pubin", "-inkey", "pub.der", "-keyform", "DER", "-sigfile", "sig", "-in", "digest")
	der := cryptobyte.String(o.run("pkeyutl", "-sign", "-inkey", "key.der", "-keyform", "DER", "-in", "digest"))
	var numbers [2][]byte
	if !readIntegers(der, numbers[:]) {
		t.Fatalf("%x", der)
	}
	theirs := make([]byte, 40)
	copy(theirs[20-len(numbers[0]):], numbers[0])
	copy(theirs[40-len(numbers[1]):], numbers[1])
	wantRV(t, "OpenSSL's signature", verify(pub, ck.CKM_DSA, nil, digest[:], theirs), ck.CKR_OK)
}

func agreeWithOpenSSL(t *testing.T, o *openssl, kt *dlType, gen ck.MechanismType, priv *Key) {
	t.Helper()
	peer, peerPrivate := dlPair(t, kt, gen, "dh")
	info, err := FindKeyType(kt.key).PublicInfo(peerPrivate)
	if err != nil {
		t.Fatal(err)
	}
	write(t, o.file("peer.der"), info)
	want := o.run("pkeyutl", "-derive", "-inkey", "key.der", "-keyform", "DER", "-peerkey", "peer.der", "-peerform", "DER")
	got, err := kt.shared(priv, peer.Value())
	if err != nil || !bytes.Equal(got, append(make([]byte, 128-len(want)), want...)) {
		t.Errorf("%v: %x, %v, not %x", kt.key, got, err, want)
	}
}

func write(t *testing.T, name string, b []byte) {
	t.Helper()
	if err := os.WriteFile(name, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// Encodings of one type are not keys of another, and broken ones of none.
func TestDLUnmarshal(t *testing.T) {
	for _, kt := range []*dlType{dsaType, dhType, x942Type, kcdsaType} {
		priv := kt.testKey(ck.CKO_PRIVATE_KEY, dlAnswers()["dsa"], "x", "g")
		der, err := kt.marshal(priv)
		if err != nil {
			t.Fatal(err)
		}
		for _, other := range []*dlType{dsaType, dhType, x942Type, kcdsaType} {
			_, err := other.unmarshal(der)
			if (err == nil) != (other == kt) {
				t.Errorf("%v as %v: %v", kt.key, other.key, err)
			}
		}
		for n := range len(der) {
			if _, err := kt.unmarshal(der[:n]); err == nil {
				t.Errorf("%v: %d bytes of %d are a key", kt.key, n, len(der))
			}
		}
	}
}

func TestDHParameterLengths(t *testing.T) {
	gen := func(bits uint64) (*Key, error) {
		attrs, err := Find(ck.CKM_DH_PKCS_PARAMETER_GEN).GenerateParameters(nil, []ck.Attribute{ck.NewULong(ck.CKA_PRIME_BITS, bits)})
		return &Key{Class: ck.CKO_DOMAIN_PARAMETERS, Type: ck.CKK_DH, Attrs: attrs}, err
	}
	for _, bits := range []uint64{512, 2048, 4096} {
		k, err := gen(bits)
		if err != nil {
			t.Fatal(err)
		}
		if completed(t, k); dlSize(k) != bits {
			t.Errorf("%d bits, not %d", dlSize(k), bits)
		}
	}
	for _, bits := range []uint64{0, 511, 2047, 5000, 8193, 1 << 63} {
		if _, err := gen(bits); err == nil {
			t.Errorf("%d bits", bits)
		}
	}
}

func TestDHValueBits(t *testing.T) {
	k := dhType.testKey(ck.CKO_PUBLIC_KEY, dlAnswers()["dh"], "y", "g")
	for bits, want := range map[uint64]ck.RV{
		0: ck.CKR_ATTRIBUTE_VALUE_INVALID, 159: ck.CKR_ATTRIBUTE_VALUE_INVALID, 160: ck.CKR_OK, 257: ck.CKR_OK, 1023: ck.CKR_OK,
		1024: ck.CKR_ATTRIBUTE_VALUE_INVALID,
	} {
		_, priv, err := dhType.generatePair(nil, k.Attrs, []ck.Attribute{ck.NewULong(ck.CKA_VALUE_BITS, bits)})
		wantRV(t, "CKA_VALUE_BITS", err, want)
		if err == nil && bitLen(ck.Find(priv, ck.CKA_VALUE).Value) != int(bits) {
			t.Errorf("%d bits: %v", bits, priv)
		}
	}
}
