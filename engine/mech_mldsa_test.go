package engine

import (
	"bytes"
	"slices"
	"testing"

	"github.com/perilune/perilune/cryptoki/ck"
)

// TestPQCSignatures takes the parameters of ML-DSA and SLH-DSA through their
// range.
func TestPQCSignatures(t *testing.T) {
	for _, f := range pqcSigners() {
		pub, priv := pqcPair(t, f.generate, f.family.sets[f.sample].id)
		name := f.pure.String()
		message := []byte("message")
		fixed := func(context string) *SignAdditionalContext {
			return &SignAdditionalContext{ck.CKH_DETERMINISTIC_REQUIRED, []byte(context)}
		}
		a, err := sign(priv, f.pure, fixed("one"), message)
		if err != nil {
			t.Fatal(err)
		}
		b, _ := sign(priv, f.pure, fixed("one"), message)
		if !bytes.Equal(a, b) {
			t.Errorf("%s: deterministic signatures differ", name)
		}
		b, _ = sign(priv, f.pure, &SignAdditionalContext{ck.CKH_HEDGE_REQUIRED, []byte("one")}, message)
		if bytes.Equal(a, b) {
			t.Errorf("%s: hedged signatures are equal", name)
		}
		wantRV(t, name, verify(pub, f.pure, fixed("one"), message, a), ck.CKR_OK)
		wantRV(t, name, verify(priv, f.pure, fixed("one"), message, b), ck.CKR_OK)
		wantRV(t, name+", context", verify(pub, f.pure, fixed("two"), message, a), ck.CKR_SIGNATURE_INVALID)
		wantRV(t, name+", no context", verify(pub, f.pure, nil, message, a), ck.CKR_SIGNATURE_INVALID)
		wantRV(t, name+", message", verify(pub, f.pure, fixed("one"), nil, a), ck.CKR_SIGNATURE_INVALID)
		wantRV(t, name+", length", verify(pub, f.pure, fixed("one"), message, a[1:]), ck.CKR_SIGNATURE_LEN_RANGE)
		for what, p := range map[string]any{
			"context of 256 bytes": &SignAdditionalContext{Context: make([]byte, 256)},
			"hedge variant 3":      &SignAdditionalContext{Hedge: 3},
			"bytes":                []byte{1},
		} {
			_, err := Find(f.pure).Sign(priv, p)
			wantRV(t, name+", "+what, err, ck.CKR_MECHANISM_PARAM_INVALID)
			_, err = Find(f.pure).Verify(pub, p)
			wantRV(t, name+", "+what, err, ck.CKR_MECHANISM_PARAM_INVALID)
		}
		a, err = sign(priv, f.pure, (*SignAdditionalContext)(nil), nil)
		if err != nil {
			t.Errorf("%s, nothing signed: %v", name, err)
		}
		wantRV(t, name+", nothing signed", verify(pub, f.pure, nil, nil, a), ck.CKR_OK)
		testPQCParts(t, f, pub, priv)
	}
}

// testPQCParts signs in parts, with a hash and without.
func testPQCParts(t *testing.T, f pqcSignSample, pub, priv *Key) {
	t.Helper()
	for _, m := range []ck.MechanismType{f.pure, f.hashed} {
		op, err := Find(m).Sign(priv, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, part := range []string{"one ", "", "two "} {
			if _, err := op.Update(nil, []byte(part)); err != nil {
				t.Fatal(err)
			}
		}
		n, _ := op.FinishLen(5)
		sig := make([]byte, n)
		if _, err = op.Finish(sig, []byte("three")); err != nil {
			t.Fatal(err)
		}
		wantRV(t, m.String(), verify(pub, m, nil, []byte("one two three"), sig), ck.CKR_OK)
		v, err := Find(m).Verify(pub, nil)
		if err != nil {
			t.Fatal(err)
		}
		wantRV(t, m.String(), v.Update([]byte("one ")), ck.CKR_OK)
		wantRV(t, m.String()+" in parts", v.Verify([]byte("two three"), sig), ck.CKR_OK)
	}
}

// TestPQCDigests signs digests, which must have the length of their hash.
func TestPQCDigests(t *testing.T) {
	for _, f := range pqcSigners() {
		if Find(f.digest) == nil {
			continue
		}
		pub, priv := pqcPair(t, f.generate, f.family.sets[f.sample].id)
		p := &HashSignAdditionalContext{Hash: ck.CKM_SHA256}
		digest := make([]byte, 32)
		sig, err := sign(priv, f.digest, p, digest)
		if err != nil {
			t.Fatal(err)
		}
		name := f.digest.String()
		wantRV(t, name, verify(pub, f.digest, p, digest, sig), ck.CKR_OK)
		other := &HashSignAdditionalContext{Hash: ck.CKM_SHA3_256}
		wantRV(t, name+", hash", verify(pub, f.digest, other, digest, sig), ck.CKR_SIGNATURE_INVALID)
		wantRV(t, name+", digest", verify(pub, f.digest, p, flip(digest, 0), sig), ck.CKR_SIGNATURE_INVALID)
		wantRV(t, name+", length", verify(pub, f.digest, p, digest, sig[1:]), ck.CKR_SIGNATURE_LEN_RANGE)
		wantRV(t, name+", short digest", verify(pub, f.digest, p, digest[1:], sig), ck.CKR_DATA_LEN_RANGE)
		_, err = sign(priv, f.digest, p, digest[1:])
		wantRV(t, name+", short digest", err, ck.CKR_DATA_LEN_RANGE)
		for _, bad := range []any{nil, (*HashSignAdditionalContext)(nil), &HashSignAdditionalContext{},
			&HashSignAdditionalContext{Hash: ck.CKM_MD5}, &HashSignAdditionalContext{Hash: ck.CKM_SHA256, Hedge: 9}} {
			_, err := Find(f.digest).Sign(priv, bad)
			wantRV(t, name+", parameter", err, ck.CKR_MECHANISM_PARAM_INVALID)
		}
		for i := range preHashes { // every hash that can be named
			h := &preHashes[i]
			p := &HashSignAdditionalContext{Hash: h.digest}
			sig, err := sign(priv, f.digest, p, make([]byte, h.size))
			if err != nil {
				t.Fatal(err)
			}
			wantRV(t, h.digest.String(), verify(pub, f.digest, p, make([]byte, h.size), sig), ck.CKR_OK)
		}
	}
}

type pqcSignSample struct {
	pqcSample
	pure, digest, hashed ck.MechanismType
}

func pqcSigners() []pqcSignSample {
	return []pqcSignSample{
		{pqcSample{mldsaFamily, ck.CKM_ML_DSA_KEY_PAIR_GEN, 1}, ck.CKM_ML_DSA, ck.CKM_HASH_ML_DSA, ck.CKM_HASH_ML_DSA_SHAKE256},
		{pqcSample{slhdsaFamily, ck.CKM_SLH_DSA_KEY_PAIR_GEN, 1}, ck.CKM_SLH_DSA, ck.CKM_HASH_SLH_DSA, ck.CKM_HASH_SLH_DSA_SHAKE128},
	}
}

// TestPQCDegenerateKeys gives every row keys with nothing, or the wrong thing, in
// them: there must be an error, and no panic.
func TestPQCDegenerateKeys(t *testing.T) {
	var keys []*Key
	for _, kt := range []ck.KeyType{ck.CKK_ML_KEM, ck.CKK_ML_DSA, ck.CKK_SLH_DSA, ck.CKK_HSS, ck.CKK_XMSS, ck.CKK_XMSSMT} {
		for _, class := range []ck.ObjectClass{ck.CKO_PUBLIC_KEY, ck.CKO_PRIVATE_KEY, ck.CKO_SECRET_KEY} {
			keys = append(keys, &Key{Class: class, Type: kt})
			for _, n := range []int{0, 1, 32, 64, 3168} {
				keys = append(keys, &Key{Class: class, Type: kt, Attrs: []ck.Attribute{
					ck.NewULong(ck.CKA_PARAMETER_SET, uint64(3)), ck.NewBytes(ck.CKA_VALUE, make([]byte, n)),
				}})
			}
		}
	}
	for _, m := range Mechanisms() {
		for _, k := range keys {
			if !slices.Contains(m.Keys, k.Type) {
				continue
			}
			p := any(nil)
			if m.Type == ck.CKM_HASH_ML_DSA || m.Type == ck.CKM_HASH_SLH_DSA {
				p = &HashSignAdditionalContext{Hash: ck.CKM_SHA256}
			}
			if m.Sign != nil {
				if op, err := m.Sign(k, p); err == nil {
					n, _ := op.FinishLen(32)
					_, err = op.Finish(make([]byte, n), make([]byte, 32))
					wantErr(t, m, k, err)
				}
			}
			if m.Verify != nil {
				if v, err := m.Verify(k, p); err == nil {
					wantErr(t, m, k, v.Verify(make([]byte, 32), make([]byte, 100)))
				}
			}
			if m.Decapsulate != nil {
				_, err := m.Decapsulate(k, p, nil, make([]byte, 1568))
				wantErr(t, m, k, err)
				_, _, err = m.Encapsulate(k, p, nil)
				wantErr(t, m, k, err)
			}
		}
	}
	for _, k := range keys {
		kt := FindKeyType(k.Type)
		_, _ = kt.Complete(k)
		_, _ = kt.PublicInfo(k)
		_ = kt.Size(k)
		if kt.MarshalPKCS8 != nil {
			_, _ = kt.MarshalPKCS8(k)
		}
	}
}

func wantErr(t *testing.T, m *Mechanism, k *Key, err error) {
	t.Helper()
	if err == nil && !(k.Type == ck.CKK_SLH_DSA && k.Class == ck.CKO_PRIVATE_KEY) { // 64 zeros are a key
		t.Errorf("%v: works with %d bytes", m.Type, len(k.Value()))
	}
}
