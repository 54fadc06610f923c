package engine

import (
	"bytes"
	"testing"

	"github.com/perilune/perilune/cryptoki/ck"
)

// What a key type writes as SubjectPublicKeyInfo it reads again.
func TestUnmarshalPublicKey(t *testing.T) {
	keys := map[string]*Key{}
	for _, name := range []string{"P-256", "secp256k1", "brainpoolP384r1", "sect283k1", "Ed25519", "Ed448", "X25519", "X448"} {
		params, kt, ok := CurveParams(name)
		if !ok {
			t.Fatalf("no curve %s", name)
		}
		pub, _, err := generateEC(kt)(nil, []ck.Attribute{ck.NewBytes(ck.CKA_EC_PARAMS, params)}, nil)
		if err != nil {
			t.Fatal(err)
		}
		keys[name] = &Key{Class: ck.CKO_PUBLIC_KEY, Type: kt, Attrs: pub}
		if names := CurveNames(params, kt); len(names) == 0 {
			t.Errorf("%s has no names", name)
		}
	}
	for name, set := range map[string]struct {
		m  ck.MechanismType
		id uint64
	}{
		"ML-KEM-512": {ck.CKM_ML_KEM_KEY_PAIR_GEN, uint64(ck.CKP_ML_KEM_512)}, "ML-DSA-87": {ck.CKM_ML_DSA_KEY_PAIR_GEN, uint64(ck.CKP_ML_DSA_87)},
		"SLH-DSA-SHAKE-128f": {ck.CKM_SLH_DSA_KEY_PAIR_GEN, uint64(ck.CKP_SLH_DSA_SHAKE_128F)},
	} {
		pub, _, err := Find(set.m).GeneratePair(nil, []ck.Attribute{ck.NewULong(ck.CKA_PARAMETER_SET, set.id)}, nil)
		if err != nil {
			t.Fatal(err)
		}
		keys[name] = &Key{Class: ck.CKO_PUBLIC_KEY, Type: Find(set.m).Makes, Attrs: pub}
	}
	for name, k := range keys {
		der, err := FindKeyType(k.Type).PublicInfo(k)
		if err != nil {
			t.Fatal(err)
		}
		kt, attrs, err := UnmarshalPublicKey(der)
		if err != nil || kt != k.Type {
			t.Errorf("%s: %v, %v", name, kt, err)
			continue
		}
		again := &Key{Class: k.Class, Type: kt, Attrs: attrs}
		if more, err := FindKeyType(kt).Complete(again); err != nil {
			t.Errorf("%s: %v", name, err)
		} else {
			again.Attrs = append(more, attrs...)
		}
		if other, err := FindKeyType(kt).PublicInfo(again); err != nil || !bytes.Equal(other, der) {
			t.Errorf("%s became another key, %v", name, err)
		}
		for _, cut := range [][]byte{nil, der[:len(der)-1], append(bytes.Clone(der), 0)} {
			if _, _, err := UnmarshalPublicKey(cut); ck.RVOf(err) != ck.CKR_ATTRIBUTE_VALUE_INVALID {
				t.Errorf("%s, damaged: %v", name, err)
			}
		}
	}
	unknown := unhex("300d300806062a030405060703010001") // some OID
	if _, _, err := UnmarshalPublicKey(unknown); ck.RVOf(err) != ck.CKR_ATTRIBUTE_VALUE_INVALID {
		t.Errorf("an unknown algorithm: %v", err)
	}
	if _, _, ok := CurveParams("P-1"); ok {
		t.Error("there is a curve P-1")
	}
	if CurveNames([]byte{5, 0}, ck.CKK_EC) != nil {
		t.Error("the implicit curve has names")
	}
}

// FuzzPublicKey looks for panics.
func FuzzPublicKey(f *testing.F) {
	f.Add(unhex("302a300506032b6570032100d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")) // RFC 8032, 7.1, test 1
	f.Add(unhex("3059301306072a8648ce3d020106082a8648ce3d030107034200046b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c2964fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5"))
	f.Fuzz(func(t *testing.T, der []byte) {
		kt, attrs, err := UnmarshalPublicKey(der)
		if err == nil {
			_, _ = FindKeyType(kt).Complete(&Key{Class: ck.CKO_PUBLIC_KEY, Type: kt, Attrs: attrs})
		}
	})
}
