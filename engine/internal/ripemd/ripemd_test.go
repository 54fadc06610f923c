package ripemd

import (
	"encoding"
	"encoding/hex"
	"hash"
	"strings"
	"testing"
)

// vectors are those that the authors published with the functions.
var vectors = []struct{ message, want128, want160 string }{
	{"", "cdf26213a150dc3ecb610f18f6b38b46", "9c1185a5c5e9fc54612808977ee8f548b2258d31"},
	{"a", "86be7afa339d0fc7cfc785e72f578d33", "0bdc9d2d256b3ee9daae347be6f4dc835a467ffe"},
	{"abc", "c14a12199c66e4ba84636b0f69144c77", "8eb208f7e05d987a9b044a8e98c6b087f15a0bfc"},
	{"message digest", "9e327b3d6e523062afc1132d7df9d1b8", "5d0689ef49d2fae572b881b123a85ffa21595f36"},
	{"abcdefghijklmnopqrstuvwxyz", "fd2aa607f71dc8f510714922b371834e", "f71c27109c692c1b56bbdceb5b9d2865b3708dbc"},
	{"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", "a1aa0689d0fafa2ddc22e88b49133a06",
		"12a053384a9c0c88e405a06c27dcf49ada62eb2b"},
	{"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789", "d1e959eb179c911faea4624c60c5c702",
		"b0e20b6e3116640286ed3a87a5713079b21f5189"},
	{strings.Repeat("1234567890", 8), "3f45ef194732c2dbb2c4a2c769795fa3", "9b752e45573d4b39f4dbd3323cab82bf63326bfb"},
	{strings.Repeat("a", 1000000), "4a7f5723f954eba1216c9d8f6320431f", "52783243c1697bdbe16d37f97f68f08325dc1528"},
}

func TestVectors(t *testing.T) {
	for _, v := range vectors {
		check(t, New128, v.message, v.want128)
		check(t, New160, v.message, v.want160)
	}
}

// check digests the message in two parts, and with a saved state in between.
func check(t *testing.T, newHash func() hash.Hash, message, want string) {
	t.Helper()
	for cut := 0; cut <= min(len(message), 200); cut++ {
		if len(message) > 1000 && cut > 1 {
			break
		}
		one, two := newHash(), newHash()
		one.Write([]byte(message[:cut]))
		state, err := one.(encoding.BinaryMarshaler).MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		if err := two.(encoding.BinaryUnmarshaler).UnmarshalBinary(state); err != nil {
			t.Fatal(err)
		}
		for _, h := range []hash.Hash{one, two} {
			h.Write([]byte(message[cut:]))
			if got := hex.EncodeToString(h.Sum(nil)); got != want {
				t.Errorf("%.20q, cut at %d: %s, want %s", message, cut, got, want)
			}
		}
	}
}

func TestStates(t *testing.T) {
	state, err := New128().(encoding.BinaryMarshaler).MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range [][]byte{nil, state, state[1:], append([]byte("x"), state[1:]...)} {
		if New160().(encoding.BinaryUnmarshaler).UnmarshalBinary(b) == nil {
			t.Errorf("%x was taken for a state", b)
		}
	}
}
