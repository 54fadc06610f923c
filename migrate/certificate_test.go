package migrate

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"testing"
	"time"
)

func selfSigned(t testing.TB) []byte {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(77), Subject: pkix.Name{CommonName: "web", Organization: []string{"Org"}},
		NotBefore: time.Date(2024, 1, 2, 0, 0, 0, 0, time.UTC), NotAfter: time.Date(2060, 3, 4, 0, 0, 0, 0, time.UTC), DNSNames: []string{"web.example"},
	}, &x509.Certificate{Subject: pkix.Name{CommonName: "ca"}}, &k.PublicKey, k)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// What is read is what crypto/x509 reads.
func TestParseCertificate(t *testing.T) {
	der := selfSigned(t)
	c, err := ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	want, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(c.Subject, want.RawSubject) || !bytes.Equal(c.Issuer, want.RawIssuer) || !bytes.Equal(c.PublicKey, want.RawSubjectPublicKeyInfo) ||
		c.CommonName != "web" || !c.NotBefore.Equal(want.NotBefore) || !c.NotAfter.Equal(want.NotAfter) || !bytes.Equal(c.SerialNumber, []byte{2, 1, 77}) {
		t.Errorf("%+v", c)
	}
	for n := range der {
		if _, err := ParseCertificate(der[:n]); err == nil {
			t.Errorf("cut to %d bytes, it was taken", n)
		}
	}
	if _, err := ParseCertificate(append(bytes.Clone(der), 0)); err == nil {
		t.Error("with a byte behind it, it was taken")
	}
}

func FuzzParseCertificate(f *testing.F) {
	f.Add(selfSigned(f))
	f.Fuzz(func(t *testing.T, der []byte) {
		if c, err := ParseCertificate(der); err == nil && (len(c.Subject) == 0 || len(c.PublicKey) == 0) {
			t.Errorf("%+v", c)
		}
	})
}
