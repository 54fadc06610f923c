package md2

import (
	"encoding"
	"encoding/hex"
	"testing"
)

// vectors are those of RFC 1319, appendix A.5.
var vectors = []struct{ message, want string }{
	{"", "8350e5a3e24c153df2275c9f80692773"},
	{"a", "32ec01ec4a6dac72c0ab96fb34c0b5d1"},
	{"abc", "da853b0d3f88d99b30283a69e6ded6bb"},
	{"message digest", "ab4f496bfb2a530b219ff33031fe06b0"},
	{"abcdefghijklmnopqrstuvwxyz", "4e8ddff3650292ab5a4108c3aa47940b"},
	{"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789", "da33def2a42df13975352846c30338cd"},
	{"12345678901234567890123456789012345678901234567890123456789012345678901234567890",
		"d5976f79d83d3a0dc9806c3c66f3efd8"},
}

func TestVectors(t *testing.T) {
	for _, v := range vectors {
		d := New()
		for cut := range len(v.message) + 1 {
			d.Reset()
			d.Write([]byte(v.message[:cut]))
			d.Write([]byte(v.message[cut:]))
			if got := hex.EncodeToString(d.Sum(nil)); got != v.want {
				t.Errorf("%q, cut at %d: %s, want %s", v.message, cut, got, v.want)
			}
		}
	}
}

func TestState(t *testing.T) {
	v := vectors[5]
	for cut := range len(v.message) + 1 {
		one, two := New(), New()
		one.Write([]byte(v.message[:cut]))
		state, err := one.(encoding.BinaryMarshaler).MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		if err := two.(encoding.BinaryUnmarshaler).UnmarshalBinary(state); err != nil {
			t.Fatal(err)
		}
		two.Write([]byte(v.message[cut:]))
		if got := hex.EncodeToString(two.Sum(nil)); got != v.want {
			t.Errorf("saved after %d: %s, want %s", cut, got, v.want)
		}
		state[len(state)-1] = 16
		for _, b := range [][]byte{nil, state, state[1:]} {
			if two.(encoding.BinaryUnmarshaler).UnmarshalBinary(b) == nil {
				t.Errorf("%x was taken for a state", b)
			}
		}
	}
}
