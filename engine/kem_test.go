package engine

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"math/big"
	"testing"

	"github.com/perilune/perilune/cryptoki/ck"
)

// kemCase is one way to encapsulate, with what another implementation does.
type kemCase struct {
	name      string
	m         ck.MechanismType
	p         any
	pub, priv *Key
	d         *Derivation
	// open finds the secret of a ciphertext by other code; seal makes one.
	open func(ciphertext []byte) []byte
	seal func(secret []byte) []byte
}

func kemCases(t *testing.T) []kemCase {
	pub, priv := published(t)
	std := standardKey(t, priv)
	must := func(b []byte, err error) []byte {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	raw := func(c []byte) []byte {
		z := new(big.Int).Exp(new(big.Int).SetBytes(c), std.D, std.N)
		return z.FillBytes(make([]byte, std.Size()))
	}
	dhPub, dhPriv := dlPair(t, dhType, ck.CKM_DH_PKCS_KEY_PAIR_GEN, "dh")
	dhShared := func(priv *Key, c []byte) []byte {
		p := new(big.Int).SetBytes(priv.Bytes(ck.CKA_PRIME))
		z := new(big.Int).Exp(new(big.Int).SetBytes(c), new(big.Int).SetBytes(priv.Value()), p)
		return z.FillBytes(make([]byte, (p.BitLen()+7)/8))
	}
	xPub, xPriv := dlPair(t, x942Type, ck.CKM_X9_42_DH_KEY_PAIR_GEN, "dh")
	return []kemCase{
		{name: "PKCS1", m: ck.CKM_RSA_PKCS, pub: pub, priv: priv, d: &Derivation{Type: ck.CKK_GENERIC_SECRET, Len: 48},
			//lint:ignore SA1019 it is what is tested
			open: func(c []byte) []byte { return must(rsa.DecryptPKCS1v15(nil, std, c)) },
			//lint:ignore SA1019 the same
			seal: func(s []byte) []byte { return must(rsa.EncryptPKCS1v15(rand.Reader, &std.PublicKey, s)) }},
		{name: "OAEP", m: ck.CKM_RSA_PKCS_OAEP, p: oaepSHA256, pub: pub, priv: priv, d: &Derivation{Type: ck.CKK_AES, Len: 32},
			open: func(c []byte) []byte { return must(rsa.DecryptOAEP(sha256.New(), nil, std, c, nil)) },
			seal: func(s []byte) []byte {
				return must(rsa.EncryptOAEP(sha256.New(), rand.Reader, &std.PublicKey, s, nil))
			}},
		{name: "RSASVE", m: ck.CKM_RSA_X_509, pub: pub, priv: priv, d: &Derivation{Type: ck.CKK_GENERIC_SECRET}, open: raw},
		{name: "RSASVE, the last bytes", m: ck.CKM_RSA_X_509, pub: pub, priv: priv, d: &Derivation{Type: ck.CKK_GENERIC_SECRET, Len: 40},
			open: func(c []byte) []byte { return raw(c)[std.Size()-40:] }},
		{name: "DH", m: ck.CKM_DH_PKCS_DERIVE, pub: dhPub, priv: dhPriv, d: &Derivation{Type: ck.CKK_AES, Len: 32},
			open: func(c []byte) []byte { z := dhShared(dhPriv, c); return z[len(z)-32:] }},
		{name: "X9.42", m: ck.CKM_X9_42_DH_DERIVE, p: &X942DH1Params{KDF: ck.CKD_NULL}, pub: xPub, priv: xPriv, d: &Derivation{Type: ck.CKK_GENERIC_SECRET},
			open: func(c []byte) []byte { return dhShared(xPriv, c) }},
		{name: "X9.42 with SHA-1", m: ck.CKM_X9_42_DH_DERIVE, p: &X942DH1Params{KDF: ck.CKD_SHA1_KDF_CONCATENATE, OtherInfo: []byte("info")},
			pub: xPub, priv: xPriv, d: &Derivation{Type: ck.CKK_GENERIC_SECRET, Len: 50},
			open: func(c []byte) []byte {
				return ecKDFs[ck.CKD_SHA1_KDF].derive(dhShared(xPriv, c), []byte("info"), 50)
			}},
	}
}

func TestKEMs(t *testing.T) {
	for _, k := range kemCases(t) {
		m := Find(k.m)
		ciphertext, secret, err := m.Encapsulate(k.pub, k.p, k.d)
		if err != nil {
			t.Fatal(k.name, err)
		}
		if n, err := m.CiphertextLen(k.pub, k.p); err != nil || n != len(ciphertext) {
			t.Errorf("%s: %d bytes announced, %d made, %v", k.name, n, len(ciphertext), err)
		}
		if !bytes.Equal(k.open(ciphertext), secret) {
			t.Errorf("%s: another implementation finds another secret", k.name)
		}
		if got, err := m.Decapsulate(k.priv, k.p, k.d, ciphertext); err != nil || !bytes.Equal(got, secret) {
			t.Errorf("%s: %x, %v", k.name, got, err)
		}
		if again, _, err := m.Encapsulate(k.pub, k.p, k.d); err != nil || bytes.Equal(again, ciphertext) {
			t.Errorf("%s: the same twice (%v)", k.name, err)
		}
		if k.seal != nil {
			own := bytes.Repeat([]byte{7}, k.d.Len)
			if got, err := m.Decapsulate(k.priv, k.p, k.d, k.seal(own)); err != nil || !bytes.Equal(got, own) {
				t.Errorf("%s: of another implementation: %x, %v", k.name, got, err)
			}
		}
		if _, err := m.Decapsulate(k.priv, k.p, k.d, ciphertext[1:]); err == nil {
			t.Errorf("%s: takes a short ciphertext", k.name)
		}
	}
}

func TestKEMRefusals(t *testing.T) {
	pub, priv := published(t)
	raw, oaep := Find(ck.CKM_RSA_X_509), Find(ck.CKM_RSA_PKCS_OAEP)
	whole := &Derivation{Type: ck.CKK_GENERIC_SECRET}
	n := pub.Bytes(ck.CKA_MODULUS)
	for what, c := range map[string][]byte{
		"0": make([]byte, len(n)), "1": append(make([]byte, len(n)-1), 1), "n-1": append(bytes.Clone(n[:len(n)-1]), n[len(n)-1]-1),
	} {
		_, err := raw.Decapsulate(priv, nil, whole, c)
		wantRV(t, what, err, ck.CKR_ENCRYPTED_DATA_INVALID)
	}
	_, _, err := raw.Encapsulate(pub, nil, &Derivation{Len: len(n) + 1})
	wantRV(t, "longer than the modulus", err, ck.CKR_KEY_SIZE_RANGE)
	_, _, err = oaep.Encapsulate(pub, oaepSHA256, whole)
	wantRV(t, "no length", err, ck.CKR_TEMPLATE_INCOMPLETE)
	_, _, err = oaep.Encapsulate(pub, oaepSHA256, &Derivation{Len: 191})
	wantRV(t, "longer than fits", err, ck.CKR_KEY_SIZE_RANGE)
	_, _, err = oaep.Encapsulate(pub, nil, &Derivation{Len: 16})
	wantRV(t, "no parameter", err, ck.CKR_MECHANISM_PARAM_INVALID)
	c, _, err := oaep.Encapsulate(pub, oaepSHA256, &Derivation{Len: 16})
	if err != nil {
		t.Fatal(err)
	}
	_, err = oaep.Decapsulate(priv, oaepSHA256, &Derivation{Len: 17}, c)
	wantRV(t, "another length", err, ck.CKR_WRAPPED_KEY_LEN_RANGE)
	_, err = oaep.Decapsulate(priv, oaepSHA256, &Derivation{Len: 16}, flip(c, 100))
	wantRV(t, "changed", err, ck.CKR_WRAPPED_KEY_INVALID)
	// With PKCS #1 v1.5 nothing shows.
	p1 := Find(ck.CKM_RSA_PKCS)
	if got, err := p1.Decapsulate(priv, nil, &Derivation{Len: 16}, c); err != nil || len(got) != 16 {
		t.Errorf("%x, %v", got, err)
	}

	x := Find(ck.CKM_X9_42_DH_DERIVE)
	xPub, xPriv := dlPair(t, x942Type, ck.CKM_X9_42_DH_KEY_PAIR_GEN, "dh")
	_, _, err = x.Encapsulate(xPub, &X942DH1Params{KDF: ck.CKD_NULL, PublicData: []byte{2}}, whole)
	wantRV(t, "public data", err, ck.CKR_MECHANISM_PARAM_INVALID)
	size := len(xPub.Bytes(ck.CKA_PRIME))
	for _, last := range []byte{0, 1} {
		_, err = x.Decapsulate(xPriv, &X942DH1Params{KDF: ck.CKD_NULL}, whole, append(make([]byte, size-1), last))
		wantRV(t, "trivial public value", err, ck.CKR_ENCRYPTED_DATA_INVALID)
	}
	_, _, err = Find(ck.CKM_DH_PKCS_DERIVE).Encapsulate(xPub, []byte{2}, whole)
	wantRV(t, "public data", err, ck.CKR_MECHANISM_PARAM_INVALID)
}
