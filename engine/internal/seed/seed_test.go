package seed

import (
	"bytes"
	"testing"
)

// RFC 4269, appendix B.
var vectors = []struct{ key, plain, cipher string }{
	{"00000000000000000000000000000000", "000102030405060708090a0b0c0d0e0f", "5ebac6e0054e166819aff1cc6d346cdb"},
	{"000102030405060708090a0b0c0d0e0f", "00000000000000000000000000000000", "c11f22f20140505084483597e4370f43"},
	{"4706480851e61be85d74bfb3fd956185", "83a2f8a288641fb9a4e9a5cc2f131c7d", "ee54d13ebcae706d226bc3142cd40d4a"},
	{"28dbc3bc49ffd87dcfa509b11d422be7", "b41e6be2eba84a148e2eed84593c5ec7", "9b9b7bfcd1813cb95d0b3618f40f5122"},
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
		if ok := n == 16; ok != (err == nil) {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
}
