//go:build !race

package engine

// The race detector has pools forget things now and then.

import (
	"crypto/sha256"
	"testing"
)

// TestECDSAAllocatesNothing is of what computes signatures, on a curve of each kind.
func TestECDSAAllocatesNothing(t *testing.T) {
	digest := sha256.Sum256([]byte("message"))
	for _, name := range []string{"secp256r1", "secp384r1", "secp521r1", "secp256k1", "brainpoolP256r1"} {
		pub, priv := ecPair(t, name)
		signer, err := ecdsaPrivate(priv, nil)
		if err != nil {
			t.Fatal(err)
		}
		checker, err := ecdsaPublic(pub, nil)
		if err != nil {
			t.Fatal(err)
		}
		if signer.std != nil || checker.std != nil {
			continue // the standard library allocates
		}
		sig := make([]byte, 2*signer.size)
		if n := testing.AllocsPerRun(20, func() {
			if _, err := signer.sign(sig, digest[:]); err != nil {
				t.Fatal(err)
			}
		}); n > 0 {
			t.Errorf("%s: a signature allocates %v times", name, n)
		}
		if n := testing.AllocsPerRun(20, func() {
			if err := checker.verify(digest[:], sig); err != nil {
				t.Fatal(err)
			}
		}); n > 0 {
			t.Errorf("%s: a verification allocates %v times", name, n)
		}
	}
}
