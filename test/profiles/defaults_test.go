package profiles

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"testing"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/test/c11"
)

// defaults are the truths of keys made by templates that say nothing of them,
// with the Crypto Officer logged in: by profile, kind of key and attribute, as
// PKCS#11 v3.1 and the documentation of devices have them.
var defaults = []struct {
	key            string
	attr           ck.AttributeType
	standard, luna string
}{
	{"generated public", ck.CKA_TOKEN, "false", "false"},
	{"generated public", ck.CKA_PRIVATE, "false", "true"},
	{"generated public", ck.CKA_MODIFIABLE, "true", "true"},
	{"generated public", ck.CKA_ENCRYPT, "true", "false"},
	{"generated public", ck.CKA_VERIFY, "true", "false"},
	{"generated public", ck.CKA_WRAP, "true", "false"},
	{"generated public", ck.CKA_DERIVE, "false", "false"},

	{"generated private", ck.CKA_TOKEN, "false", "false"},
	{"generated private", ck.CKA_PRIVATE, "true", "true"},
	{"generated private", ck.CKA_SENSITIVE, "true", "true"},
	{"generated private", ck.CKA_MODIFIABLE, "true", "true"},
	{"generated private", ck.CKA_EXTRACTABLE, "false", "false"},
	{"generated private", ck.CKA_ALWAYS_SENSITIVE, "true", "true"},
	{"generated private", ck.CKA_NEVER_EXTRACTABLE, "true", "true"},
	{"generated private", ck.CKA_DECRYPT, "true", "false"},
	{"generated private", ck.CKA_SIGN, "true", "false"},
	{"generated private", ck.CKA_UNWRAP, "true", "false"},
	{"generated private", ck.CKA_DERIVE, "false", "false"},

	{"generated secret", ck.CKA_PRIVATE, "true", "true"},
	{"generated secret", ck.CKA_SENSITIVE, "false", "true"},
	{"generated secret", ck.CKA_EXTRACTABLE, "false", "false"},
	{"generated secret", ck.CKA_ALWAYS_SENSITIVE, "false", "true"},
	{"generated secret", ck.CKA_NEVER_EXTRACTABLE, "true", "true"},
	{"generated secret", ck.CKA_ENCRYPT, "true", "false"},
	{"generated secret", ck.CKA_SIGN, "true", "false"},
	{"generated secret", ck.CKA_WRAP, "true", "false"},

	{"unwrapped secret", ck.CKA_PRIVATE, "true", "true"},
	{"unwrapped secret", ck.CKA_SENSITIVE, "false", "true"},
	{"unwrapped secret", ck.CKA_EXTRACTABLE, "true", "false"},
	{"unwrapped secret", ck.CKA_ALWAYS_SENSITIVE, "false", "false"},
	{"unwrapped secret", ck.CKA_NEVER_EXTRACTABLE, "false", "false"},
	{"unwrapped secret", ck.CKA_DECRYPT, "true", "false"},
	{"unwrapped secret", ck.CKA_LOCAL, "false", "false"},

	{"unwrapped private", ck.CKA_PRIVATE, "true", "true"},
	{"unwrapped private", ck.CKA_SENSITIVE, "true", "true"},
	{"unwrapped private", ck.CKA_EXTRACTABLE, "true", "false"},
	{"unwrapped private", ck.CKA_ALWAYS_SENSITIVE, "false", "false"},
	{"unwrapped private", ck.CKA_SIGN, "true", "false"},

	{"derived secret", ck.CKA_PRIVATE, "true", "true"},
	{"derived secret", ck.CKA_SENSITIVE, "false", "false"},
	{"derived secret", ck.CKA_EXTRACTABLE, "false", "false"},
	{"derived secret", ck.CKA_ALWAYS_SENSITIVE, "false", "false"},
	{"derived secret", ck.CKA_NEVER_EXTRACTABLE, "false", "false"},
	{"derived secret", ck.CKA_SIGN, "true", "false"},
}

func TestDefaults(t *testing.T) {
	for _, profile := range []string{standard, luna} {
		t.Run(profile, func(t *testing.T) {
			h := officer(t, profile)
			keys := h.sampleKeys()
			for _, d := range defaults {
				want := map[string]string{standard: d.standard, luna: d.luna}[profile]
				if got := h.truth(keys[d.key], d.attr); got != want {
					t.Errorf("%s key: %v is %s, want %s", d.key, d.attr, got, want)
				}
			}
		})
	}
}

// sampleKeys makes a key of each kind, by templates with no more than they must
// have.
func (h *host) sampleKeys() map[string]uint64 {
	h.t.Helper()
	keys := map[string]uint64{"generated secret": h.generate()}
	pub, priv, rv := h.GeneratePair(h.Arena, h.s, c11.Mech{Type: ck.CKM_RSA_PKCS_KEY_PAIR_GEN}, []ck.Attribute{ck.NewULong(ck.CKA_MODULUS_BITS, uint64(1024))}, nil)
	h.answers(ck.CKR_OK, "C_GenerateKeyPair", rv)
	keys["generated public"], keys["generated private"] = pub, priv

	kek := h.generate(yes(ck.CKA_ENCRYPT, ck.CKA_WRAP, ck.CKA_UNWRAP, ck.CKA_DERIVE, ck.CKA_EXTRACTABLE)...)
	wrapped, rv := h.Wrap(h.Arena, h.s, c11.Mech{Type: ck.CKM_AES_KW}, kek, kek)
	h.answers(ck.CKR_OK, "C_WrapKey", rv)
	keys["unwrapped secret"], rv = h.Unwrap(h.Arena, h.s, c11.Mech{Type: ck.CKM_AES_KW}, kek, wrapped,
		ck.NewULong(ck.CKA_CLASS, ck.CKO_SECRET_KEY), ck.NewULong(ck.CKA_KEY_TYPE, ck.CKK_AES), ck.NewULong(ck.CKA_VALUE_LEN, uint64(16)))
	h.answers(ck.CKR_OK, "C_UnwrapKey of a secret key", rv)

	// A private key comes from outside, encrypted: the partition may forbid
	// wrapping one.
	cbc := c11.Mech{Type: ck.CKM_AES_CBC_PAD, Param: make([]byte, 16)}
	blob, rv := h.Single(h.Arena, h.Encryption(), h.s, cbc, kek, privateKeyInfo(h.t))
	h.answers(ck.CKR_OK, "C_Encrypt", rv)
	keys["unwrapped private"], rv = h.Unwrap(h.Arena, h.s, cbc, kek, blob, ck.NewULong(ck.CKA_CLASS, ck.CKO_PRIVATE_KEY), ck.NewULong(ck.CKA_KEY_TYPE, ck.CKK_EC))
	h.answers(ck.CKR_OK, "C_UnwrapKey of a private key", rv)

	keys["derived secret"], rv = h.Derive(h.Arena, h.s, c11.Mech{Type: ck.CKM_SHA256_KEY_DERIVATION}, kek)
	h.answers(ck.CKR_OK, "C_DeriveKey", rv)
	return keys
}

// privateKeyInfo is a P-256 key as PKCS #8 has it.
func privateKeyInfo(t *testing.T) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func (h *host) answers(want ck.RV, what string, got ck.RV) {
	h.t.Helper()
	if got != want {
		h.t.Fatalf("%s: got %v, want %v", what, got, want)
	}
}
