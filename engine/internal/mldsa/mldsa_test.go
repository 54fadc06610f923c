package mldsa

import (
	"bytes"
	"encoding/binary"
	"testing"

	circl "github.com/cloudflare/circl/sign"
	"github.com/cloudflare/circl/sign/mldsa/mldsa44"
	"github.com/cloudflare/circl/sign/mldsa/mldsa65"
	"github.com/cloudflare/circl/sign/mldsa/mldsa87"
)

var sets = []struct {
	p      *Parameters
	scheme circl.Scheme
}{
	{MLDSA44, mldsa44.Scheme()}, {MLDSA65, mldsa65.Scheme()}, {MLDSA87, mldsa87.Scheme()},
}

// mu is the representative of a message without a context (FIPS 204,
// algorithm 2).
func mu(tr []byte, message string) *[MuSize]byte {
	return (*[MuSize]byte)(shake(MuSize, tr, []byte{0, 0}, []byte(message)))
}

// TestAgainstLibrary signs with both implementations, whose deterministic
// signatures are to be equal. (Published signatures are in the tests of package
// engine.)
func TestAgainstLibrary(t *testing.T) {
	for _, s := range sets {
		seed := make([]byte, 32)
		for i := range 6 {
			binary.BigEndian.PutUint32(seed, uint32(i))
			pub, priv := s.scheme.DeriveKey(seed)
			pk, _ := pub.MarshalBinary()
			sk, _ := priv.MarshalBinary()
			private, err := NewPrivateKey(s.p, sk)
			if err != nil {
				t.Fatal(err)
			}
			public, err := NewPublicKey(s.p, pk)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(private.Public(), pk) || !bytes.Equal(private.Hash(), public.Hash()) {
				t.Error("another public key")
			}
			m := mu(public.Hash(), "abc")
			sig := private.Sign(m, new([RandomSize]byte))
			if !bytes.Equal(sig, s.scheme.Sign(priv, []byte("abc"), nil)) {
				t.Error("another signature")
			}
			hedged := private.Sign(m, &[RandomSize]byte{1})
			if bytes.Equal(sig, hedged) || !s.scheme.Verify(pub, []byte("abc"), hedged, nil) {
				t.Error("hedged signature")
			}
			if !public.Verify(m, sig) || public.Verify(mu(public.Hash(), "abd"), sig) {
				t.Error("verification")
			}
		}
	}
}

// TestMalformed gives both implementations signatures and keys with one byte
// changed.
func TestMalformed(t *testing.T) {
	for _, s := range sets {
		pub, priv := s.scheme.DeriveKey(make([]byte, 32))
		pk, _ := pub.MarshalBinary()
		sk, _ := priv.MarshalBinary()
		public, err := NewPublicKey(s.p, pk)
		if err != nil {
			t.Fatal(err)
		}
		m := mu(public.Hash(), "abc")
		sig := s.scheme.Sign(priv, []byte("abc"), nil)
		if len(sig) != s.p.SignatureSize() || !public.Verify(m, sig) {
			t.Fatal("a good signature")
		}
		hints := len(sig) - s.p.omega - s.p.k
		for _, at := range []int{0, s.p.cSize, s.p.cSize + 2, hints, hints + 1, len(sig) - s.p.k - 1, len(sig) - s.p.k, len(sig) - 1} {
			for _, x := range []byte{1, 0x80, 0xff} {
				bad := bytes.Clone(sig)
				bad[at] ^= x
				if public.Verify(m, bad) || s.scheme.Verify(pub, []byte("abc"), bad, nil) {
					t.Errorf("byte %d ^ %02x", at, x)
				}
			}
		}
		for _, n := range []int{0, 1, len(sig) - 1} {
			if public.Verify(m, sig[:n]) {
				t.Errorf("%d bytes", n)
			}
		}
		if public.Verify(m, append(bytes.Clone(sig), 0)) {
			t.Error("a byte more")
		}
		// rho, K (which is free), tr, s1 out of range, s2, t0.
		for _, at := range []int{0, 64, 128, 128 + s.p.l*n*s.p.etaBits/8, len(sk) - 1} {
			bad := bytes.Clone(sk)
			bad[at] ^= 0xff
			if _, err := NewPrivateKey(s.p, bad); err == nil {
				t.Errorf("key with byte %d changed", at)
			}
		}
		for _, n := range []int{0, len(sk) - 1} {
			if _, err := NewPrivateKey(s.p, sk[:n]); err == nil {
				t.Errorf("key of %d bytes", n)
			}
		}
		if _, err := NewPublicKey(s.p, pk[1:]); err == nil {
			t.Error("short public key")
		}
	}
}
