package engine

import (
	"bytes"
	_ "embed"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"

	"github.com/perilune/perilune/cryptoki/ck"
)

//go:embed testdata/x931.txt
var x931Text string

func TestX931Vectors(t *testing.T) {
	strict := map[string]ck.MechanismType{"SHA1": ck.CKM_SHA1_RSA_X9_31, "SHA256": ck.CKM_SHA256_RSA_X9_31,
		"SHA384": ck.CKM_SHA384_RSA_X9_31, "SHA512": ck.CKM_SHA512_RSA_X9_31}
	relaxed := map[string]ck.MechanismType{"SHA1": ck.CKM_SHA1_RSA_X9_31_NON_FIPS, "SHA256": ck.CKM_SHA256_RSA_X9_31_NON_FIPS,
		"SHA384": ck.CKM_SHA384_RSA_X9_31_NON_FIPS, "SHA512": ck.CKM_SHA512_RSA_X9_31_NON_FIPS}
	for i, section := range strings.Split(strings.TrimSpace(x931Text), "\n\n")[1:] {
		v, b := map[string]string{}, map[string][]byte{}
		for line := range strings.Lines(section) {
			name, value, _ := strings.Cut(strings.TrimSpace(line), " = ")
			v[name] = value
			b[name], _ = hex.DecodeString(value)
		}
		want := ck.CKR_SIGNATURE_INVALID
		if v["result"] == "P" {
			want = ck.CKR_OK
		}
		pub := &Key{Class: ck.CKO_PUBLIC_KEY, Type: ck.CKK_RSA, Attrs: rsaPublicAttributes(b["n"], b["e"])}
		for _, m := range []ck.MechanismType{strict[v["hash"]], relaxed[v["hash"]]} {
			wantRV(t, fmt.Sprintf("%d: %v", i, m), verify(pub, m, nil, b["message"], b["signature"]), want)
		}
	}
}

// TestX931Rules is about key sizes, lengths, and the smaller of two numbers.
func TestX931Rules(t *testing.T) {
	digest := append(bytes.Repeat([]byte{7}, 32), 0x34)
	for _, x := range []struct {
		bits            uint64
		strict, relaxed ck.RV
	}{
		{1016, ck.CKR_KEY_SIZE_RANGE, ck.CKR_KEY_SIZE_RANGE},
		{1024, ck.CKR_OK, ck.CKR_OK},
		{1025, ck.CKR_KEY_SIZE_RANGE, ck.CKR_KEY_SIZE_RANGE},
		{1032, ck.CKR_KEY_SIZE_RANGE, ck.CKR_OK},
	} {
		pub, priv := rsaPair(t, x.bits)
		for m, want := range map[ck.MechanismType]ck.RV{ck.CKM_RSA_X9_31: x.strict, ck.CKM_RSA_X9_31_NON_FIPS: x.relaxed} {
			what := fmt.Sprintf("%v, %d bits", m, x.bits)
			sig, err := sign(priv, m, nil, digest)
			wantRV(t, what, err, want)
			wantRV(t, what, errOf(Find(m).Verify(pub, nil)), want)
			if err != nil {
				continue
			}
			n, err := rsaPublic(pub)
			if err != nil {
				t.Fatal(err)
			}
			if string(n.Negative(sig)) < string(sig) {
				t.Errorf("%s: the larger number", what)
			}
			wantRV(t, what, verify(pub, m, nil, digest, sig), ck.CKR_OK)
			wantRV(t, what+", the larger number", verify(pub, m, nil, digest, n.Negative(sig)), ck.CKR_OK)
			wantRV(t, what+", other digest", verify(pub, m, nil, flip(digest, 0), sig), ck.CKR_SIGNATURE_INVALID)
			wantRV(t, what+", flipped bit", verify(pub, m, nil, digest, flip(sig, 100)), ck.CKR_SIGNATURE_INVALID)
			wantRV(t, what+", not less than n", verify(pub, m, nil, digest, bytes.Repeat([]byte{0xff}, len(sig))), ck.CKR_SIGNATURE_INVALID)
			wantRV(t, what+", zero", verify(pub, m, nil, digest, make([]byte, len(sig))), ck.CKR_SIGNATURE_INVALID)
			wantRV(t, what+", other length", verify(pub, m, nil, digest, sig[1:]), ck.CKR_SIGNATURE_LEN_RANGE)
			for n, rv := range map[int]ck.RV{0: ck.CKR_DATA_LEN_RANGE, 1: ck.CKR_OK, len(sig) - 3: ck.CKR_OK, len(sig) - 2: ck.CKR_DATA_LEN_RANGE, 5000: ck.CKR_DATA_LEN_RANGE} {
				_, err := sign(priv, m, nil, make([]byte, n))
				wantRV(t, fmt.Sprintf("%s, %d bytes", what, n), err, rv)
			}
		}
	}
}

// TestX931WithOpenSSL has OpenSSL verify what we sign, and the other way round.
func TestX931WithOpenSSL(t *testing.T) {
	o := newOpenSSL(t)
	pub, priv := published(t)
	der, err := marshalRSA(priv)
	if err != nil {
		t.Fatal(err)
	}
	spki, err := rsaPublicInfo(priv)
	if err != nil {
		t.Fatal(err)
	}
	o.write("key.der", der)
	o.write("pub.der", spki)
	o.write("message", []byte("message"))
	for m, name := range map[ck.MechanismType]string{ck.CKM_SHA1_RSA_X9_31: "sha1", ck.CKM_SHA256_RSA_X9_31: "sha256",
		ck.CKM_SHA384_RSA_X9_31: "sha384", ck.CKM_SHA512_RSA_X9_31_NON_FIPS: "sha512"} {
		sig, err := sign(priv, m, nil, []byte("message"))
		if err != nil {
			t.Fatal(err)
		}
		o.write("sig", sig)
		mode := []string{"-sigopt", "rsa_padding_mode:x931", "message"}
		o.run(append([]string{"dgst", "-" + name, "-verify", "pub.der", "-keyform", "DER", "-signature", "sig"}, mode...)...)
		theirs := o.run(append([]string{"dgst", "-" + name, "-sign", "key.der", "-keyform", "DER"}, mode...)...)
		if !bytes.Equal(theirs, sig) {
			t.Errorf("%s: %x, OpenSSL %x", name, sig, theirs)
		}
		wantRV(t, name, verify(pub, m, nil, []byte("message"), theirs), ck.CKR_OK)
	}
}
