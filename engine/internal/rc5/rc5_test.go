package rc5

import (
	"bytes"
	"encoding/hex"
	"testing"
)

// Rivest, "The RC5 Encryption Algorithm" (1994), appendix; RFC 2040, section 9
// (those with an IV of zeros); draft-krovetz-rc6-rc5-vectors-00, section 4.
var vectors = []struct {
	key           string
	word, rounds  int
	plain, cipher string
}{
	{"00000000000000000000000000000000", 4, 12, "0000000000000000", "21a5dbee154b8f6d"},
	{"915f4619be41b2516355a50110a9ce91", 4, 12, "21a5dbee154b8f6d", "f7c013ac5b2b8952"},
	{"783348e75aeb0f2fd7b169bb8dc16787", 4, 12, "f7c013ac5b2b8952", "2f42b3b70369fc92"},
	{"dc49db1375a5584f6485b413b5f12baf", 4, 12, "2f42b3b70369fc92", "65c178b284d197cc"},
	{"5269f149d41ba0152497574d7f153125", 4, 12, "65c178b284d197cc", "eb44e415da319824"},
	{"00", 4, 0, "0000000000000000", "7a7bba4d79111d1e"},
	{"11", 4, 1, "0000000000000000", "2f759fe7ad86a378"},
	{"00", 4, 2, "0000000000000000", "dca2694bf40e0788"},
	{"00000000", 4, 2, "0000000000000000", "dca2694bf40e0788"},
	{"01020304", 4, 16, "ffffffffffffffff", "cf270ef9717ff7c4"},
	{"0102030405060708", 4, 12, "ffffffffffffffff", "e493f1c1bb4d6e8c"},
	{"0102030405", 4, 12, "ffffffffffffffff", "97e0787837ed317f"},
	{"0001020304050607", 2, 16, "00010203", "23a8d72e"},
	{"000102030405060708090a0b0c0d0e0f", 4, 20, "0001020304050607", "2a0edc0e9431ff73"},
	{"000102030405060708090a0b0c0d0e0f1011121314151617", 8, 24, "000102030405060708090a0b0c0d0e0f", "a46772820edbce0235abea32ae7178da"},
}

func TestVectors(t *testing.T) {
	for _, c := range vectors {
		b, err := NewCipher(unhex(t, c.key), c.word, c.rounds)
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

func TestSizes(t *testing.T) {
	for _, c := range []struct {
		key, word, rounds int
		ok                bool
	}{
		{0, 4, 12, true}, {1, 2, 0, true}, {255, 8, 255, true}, {256, 4, 12, false},
		{16, 1, 12, false}, {16, 16, 12, false}, {16, 4, 256, false}, {16, 4, -1, false},
	} {
		if _, err := NewCipher(make([]byte, c.key), c.word, c.rounds); c.ok != (err == nil) {
			t.Errorf("%v: %v", c, err)
		}
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
