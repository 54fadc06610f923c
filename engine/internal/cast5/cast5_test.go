package cast5

import (
	"bytes"
	"encoding/hex"
	"testing"
)

// RFC 2144, appendix B.1.
var vectors = []struct{ key, plain, cipher string }{
	{"0123456712345678234567893456789a", "0123456789abcdef", "238b4fe5847e44b2"},
	{"01234567123456782345", "0123456789abcdef", "eb6a711a2c02271b"},
	{"0123456712", "0123456789abcdef", "7ac816d16e9b302e"},
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
		if ok := n >= 5 && n <= 16; ok != (err == nil) {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
}

// TestMaintenance is the test of appendix B.2.
func TestMaintenance(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	a, b := unhex(t, vectors[0].key), unhex(t, vectors[0].key)
	twice := func(x, key []byte) {
		c, err := NewCipher(key)
		if err != nil {
			t.Fatal(err)
		}
		c.Encrypt(x[:8], x[:8])
		c.Encrypt(x[8:], x[8:])
	}
	for range 1_000_000 {
		twice(a, b)
		twice(b, a)
	}
	if want := unhex(t, "eea9d0a249fd3ba6b3436fb89d6dca92"); !bytes.Equal(a, want) {
		t.Errorf("%x, want %x", a, want)
	}
	if want := unhex(t, "b2c95eb00c31ad7180ac05b8e83d696e"); !bytes.Equal(b, want) {
		t.Errorf("%x, want %x", b, want)
	}
}

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
