package sm4

import (
	"bytes"
	"testing"
)

// GB/T 32907-2016, annex A.1.
var vectors = []struct{ key, plain, cipher string }{
	{"0123456789abcdeffedcba9876543210", "0123456789abcdeffedcba9876543210", "681edf34d206965e86b3e94f536e4246"},
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

// TestMillion is annex A.2: the same plaintext encrypted a million times, here
// for the long run only.
func TestMillion(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	c := vectors[0]
	b, err := NewCipher(unhex(t, c.key))
	if err != nil {
		t.Fatal(err)
	}
	x := unhex(t, c.plain)
	for range 1_000_000 {
		b.Encrypt(x, x)
	}
	if want := unhex(t, "595298c7c6fd271f0402f804c33d3f66"); !bytes.Equal(x, want) {
		t.Errorf("%x, want %x", x, want)
	}
}
