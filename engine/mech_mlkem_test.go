package engine

import (
	"bytes"
	"testing"

	"github.com/perilune/perilune/cryptoki/ck"
)

// pqcPair makes a pair of a parameter set and checks that both keys would be
// taken if they came from outside.
func pqcPair(t testing.TB, m ck.MechanismType, set uint64) (pub, priv *Key) {
	t.Helper()
	pub, priv = pair(t, m, ck.NewULong(ck.CKA_PARAMETER_SET, set))
	return completed(t, pub), completed(t, priv)
}

// with is a copy of k with another value of an attribute; nil leaves it out.
func with(k *Key, t ck.AttributeType, value []byte) *Key {
	c := &Key{Class: k.Class, Type: k.Type}
	for _, a := range k.Attrs {
		if a.Type != t {
			c.Attrs = append(c.Attrs, a)
		}
	}
	if value != nil {
		c.Attrs = append(c.Attrs, ck.NewBytes(t, value))
	}
	return c
}

func completeRV(k *Key) error {
	_, err := FindKeyType(k.Type).Complete(k)
	return err
}

func TestMLKEM(t *testing.T) {
	for _, s := range mlkemFamily.sets {
		pub, priv := pqcPair(t, ck.CKM_ML_KEM_KEY_PAIR_GEN, s.id)
		n, err := mlkemCiphertextLen(pub, nil)
		if err != nil {
			t.Fatal(err)
		}
		ciphertext, secret, err := mlkemEncapsulate(pub, nil, &Derivation{})
		if err != nil || len(ciphertext) != n || len(secret) != 32 {
			t.Fatalf("%d, %d bytes, %v", len(ciphertext), len(secret), err)
		}
		found, err := mlkemDecapsulate(priv, nil, &Derivation{Len: 32}, ciphertext)
		if err != nil || !bytes.Equal(found, secret) {
			t.Errorf("not found again: %v", err)
		}
		found, err = mlkemDecapsulate(priv, nil, &Derivation{Len: 16}, ciphertext)
		if err != nil || !bytes.Equal(found, secret[:16]) {
			t.Errorf("half a secret: %v", err)
		}
		_, err = mlkemDecapsulate(priv, nil, &Derivation{Len: 33}, ciphertext)
		wantRV(t, "too long a key", err, ck.CKR_KEY_SIZE_RANGE)

		// Implicit rejection: another secret, always the same, and no error.
		var other [2][]byte
		for i := range other {
			if other[i], err = mlkemDecapsulate(priv, nil, nil, flip(ciphertext, 7)); err != nil {
				t.Error(err)
			}
		}
		if !bytes.Equal(other[0], other[1]) || bytes.Equal(other[0], secret) {
			t.Error("implicit rejection")
		}
		for _, bad := range [][]byte{nil, ciphertext[1:], append(bytes.Clone(ciphertext), 0)} {
			_, err = mlkemDecapsulate(priv, nil, nil, bad)
			wantRV(t, "length of the ciphertext", err, ck.CKR_WRAPPED_KEY_LEN_RANGE)
		}
		_, _, err = mlkemEncapsulate(pub, []byte{1}, nil)
		wantRV(t, "parameter", err, ck.CKR_MECHANISM_PARAM_INVALID)
	}
}

// TestPQCKeys imports keys with a part missing or wrong, of all families.
func TestPQCKeys(t *testing.T) {
	for _, f := range pqcFamilies() {
		s := f.family.sets[f.sample]
		pub, priv := pqcPair(t, f.generate, s.id)
		name := f.generate.String()
		for what, bad := range map[string]struct {
			key  *Key
			want ck.RV
		}{
			"no set":             {with(pub, ck.CKA_PARAMETER_SET, nil), ck.CKR_TEMPLATE_INCOMPLETE},
			"set of one byte":    {with(pub, ck.CKA_PARAMETER_SET, []byte{1}), ck.CKR_ATTRIBUTE_VALUE_INVALID},
			"set 0":              {with(pub, ck.CKA_PARAMETER_SET, ck.PutULong(uint64(0))), ck.CKR_PARAMETER_SET_NOT_SUPPORTED},
			"no public value":    {with(pub, ck.CKA_VALUE, nil), ck.CKR_TEMPLATE_INCOMPLETE},
			"short public value": {with(pub, ck.CKA_VALUE, pub.Value()[1:]), ck.CKR_ATTRIBUTE_VALUE_INVALID},
			"no value":           {with(with(priv, ck.CKA_VALUE, nil), ck.CKA_SEED, nil), ck.CKR_TEMPLATE_INCOMPLETE},
			"short value":        {with(with(priv, ck.CKA_VALUE, priv.Value()[1:]), ck.CKA_SEED, nil), ck.CKR_ATTRIBUTE_VALUE_INVALID},
			"seed of one byte":   {with(priv, ck.CKA_SEED, []byte{1}), ck.CKR_ATTRIBUTE_VALUE_INVALID},
		} {
			wantRV(t, name+", "+what, completeRV(bad.key), bad.want)
		}
		_, _, err := f.family.generate(nil, nil, nil)
		wantRV(t, name+", no set", err, ck.CKR_TEMPLATE_INCOMPLETE)
		_, _, err = f.family.generate(nil, []ck.Attribute{ck.NewULong(ck.CKA_PARAMETER_SET, uint64(99))}, nil)
		wantRV(t, name+", set 99", err, ck.CKR_PARAMETER_SET_NOT_SUPPORTED)
		if got := FindKeyType(f.family.key).Size(priv); got != uint64(s.public) {
			t.Errorf("%s: size %d", name, got)
		}
		if s.seed > 0 {
			testSeed(t, s, priv)
		}
		testPQCEncodings(t, s, pub, priv)
	}
}

// testSeed leaves out the seed, or the value, or makes them differ.
func testSeed(t *testing.T, s *pqcSet, priv *Key) {
	t.Helper()
	seed := priv.Bytes(ck.CKA_SEED)
	if len(seed) != s.seed {
		t.Errorf("a seed of %d bytes", len(seed))
	}
	if got := completed(t, with(priv, ck.CKA_VALUE, nil)).Value(); !bytes.Equal(got, priv.Value()) {
		t.Error("the value does not follow from the seed")
	}
	wantRV(t, "value only", completeRV(with(priv, ck.CKA_SEED, nil)), ck.CKR_OK)
	wantRV(t, "other seed", completeRV(with(priv, ck.CKA_SEED, flip(seed, 3))), ck.CKR_ATTRIBUTE_VALUE_INVALID)
	wantRV(t, "other value", completeRV(with(priv, ck.CKA_VALUE, flip(priv.Value(), 3))), ck.CKR_ATTRIBUTE_VALUE_INVALID)
}

// testPQCEncodings takes keys through PKCS #8, in each of its forms.
func testPQCEncodings(t *testing.T, s *pqcSet, pub, priv *Key) {
	t.Helper()
	row := FindKeyType(priv.Type)
	infoA, errA := row.PublicInfo(pub)
	infoB, errB := row.PublicInfo(priv)
	if errA != nil || errB != nil || !bytes.Equal(infoA, infoB) || !bytes.HasSuffix(infoA, pub.Value()) {
		t.Errorf("%s: CKA_PUBLIC_KEY_INFO: %v, %v", s.oid, errA, errB)
	}
	for _, k := range []*Key{priv, with(priv, ck.CKA_SEED, nil)} {
		der, err := row.MarshalPKCS8(k)
		if err != nil {
			t.Fatal(err)
		}
		if oid, err := PrivateKeyAlgorithm(der); err != nil || oid != s.oid {
			t.Errorf("%s: %s, %v", s.oid, oid, err)
		}
		attrs, err := row.UnmarshalPKCS8(append(der, 0, 0, 0))
		if err != nil {
			t.Fatal(err)
		}
		got := completed(t, &Key{Class: ck.CKO_PRIVATE_KEY, Type: priv.Type, Attrs: attrs})
		for _, a := range []ck.AttributeType{ck.CKA_PARAMETER_SET, ck.CKA_SEED, ck.CKA_VALUE} {
			if !bytes.Equal(got.Bytes(a), k.Bytes(a)) {
				t.Errorf("%s: %v is lost", s.oid, a)
			}
		}
		for n := range der {
			if _, err := row.UnmarshalPKCS8(der[:n]); err == nil {
				t.Fatalf("%s: %d of %d bytes are enough", s.oid, n, len(der))
			}
		}
	}
	if _, err := row.MarshalPKCS8(pub); err == nil {
		t.Errorf("%s: a public key as a private one", s.oid)
	}
	if s.seed == 0 {
		return
	}
	var b []byte
	b = append(b, 0x80, byte(s.seed))
	b = append(b, priv.Bytes(ck.CKA_SEED)...)
	attrs, err := s.unmarshal(b)
	if err != nil {
		t.Fatal(err)
	}
	if got := completed(t, &Key{Class: ck.CKO_PRIVATE_KEY, Type: priv.Type, Attrs: attrs}); !bytes.Equal(got.Value(), priv.Value()) {
		t.Errorf("%s: the seed alone gives another key", s.oid)
	}
}

// TestMLKEMChecks imports keys that FIPS 203, section 7, has checks for.
func TestMLKEMChecks(t *testing.T) {
	pub, priv := pqcPair(t, ck.CKM_ML_KEM_KEY_PAIR_GEN, ck.CKP_ML_KEM_512)
	modulus := bytes.Clone(pub.Value())
	modulus[0], modulus[1] = 0x01, modulus[1]&0xf0|0x0d // the coefficient q
	wantRV(t, "modulus", completeRV(with(pub, ck.CKA_VALUE, modulus)), ck.CKR_ATTRIBUTE_VALUE_INVALID)

	expanded := with(priv, ck.CKA_SEED, nil)
	n := len(priv.Value())
	for what, at := range map[string]int{"hash": n - 64, "public half": n - 64 - 800, "private half": 1} {
		bad := with(expanded, ck.CKA_VALUE, flip(priv.Value(), at))
		wantRV(t, what, completeRV(bad), ck.CKR_ATTRIBUTE_VALUE_INVALID)
	}
}

type pqcSample struct {
	family   *pqcFamily
	generate ck.MechanismType
	sample   int // the set to test with
}

func pqcFamilies() []pqcSample {
	return []pqcSample{
		{mlkemFamily, ck.CKM_ML_KEM_KEY_PAIR_GEN, 1},
		{mldsaFamily, ck.CKM_ML_DSA_KEY_PAIR_GEN, 1},
		{slhdsaFamily, ck.CKM_SLH_DSA_KEY_PAIR_GEN, 1},
	}
}
