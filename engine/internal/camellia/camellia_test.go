package camellia

import (
	"bytes"
	"testing"
)

// RFC 3713, appendix A.
var vectors = []struct{ key, plain, cipher string }{
	{"0123456789abcdeffedcba9876543210", "0123456789abcdeffedcba9876543210", "67673138549669730857065648eabe43"},
	{"0123456789abcdeffedcba98765432100011223344556677", "0123456789abcdeffedcba9876543210", "b4993401b3e996f84ee5cee7d79b09b9"},
	{"0123456789abcdeffedcba987654321000112233445566778899aabbccddeeff", "0123456789abcdeffedcba9876543210", "9acc237dff16d76c20ef7c919e3a7509"},
}

func TestVectors(t *testing.T) {
	for _, c := range vectors {
		b, err := NewCipher(unhex(t, c.key))
		if err != nil {
			t.Fatal(err)
		}
		got := make([]byte, b.BlockSize())
		b.Encrypt(got, unhex(t, c.plain))
		if !bytes.Equal(got, unhex(t, c.cipher)) {
			t.Errorf("key %s: %x, want %s", c.key, got, c.cipher)
		}
		b.Decrypt(got, got)
		if !bytes.Equal(got, unhex(t, c.plain)) {
			t.Errorf("key %s: %x from decryption", c.key, got)
		}
	}
}

func TestKeySize(t *testing.T) {
	for n := range 40 {
		_, err := NewCipher(make([]byte, n))
		if ok := n == 16 || n == 24 || n == 32; ok != (err == nil) {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
}
