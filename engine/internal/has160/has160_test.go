package has160

import (
	"encoding"
	"encoding/hex"
	"strings"
	"testing"
)

// vectors are those of TTAS.KO-12.0011/R1, as the tests of go-krypto v1.3.0 and
// of RHash have them.
var vectors = []struct{ message, digest string }{
	{"", "307964ef34151d37c8047adec7ab50f4ff89762d"},
	{"a", "4872bcbc4cd0f0a9dc7c2f7045e5b43b6c830db8"},
	{"abc", "975e810488cf2a3d49838478124afce4b1c78804"},
	{"message digest", "2338dbc8638d31225f73086246ba529f96710bc6"},
	{"abcdefghijklmnopqrstuvwxyz", "596185c9ab6703d0d0dbb98702bc0f5729cd1d3c"},
	{"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789", "cb5d7efbca2f02e0fb7167cabb123af5795764e5"},
	{strings.Repeat("1234567890", 8), "07f05c8c0773c55ca3a5a695ce6aca4c438911b5"},
	{strings.Repeat("a", 1e6), "d6ad6f0608b878da9b87999c2525cc84f4c9f18d"},
}

func TestVectors(t *testing.T) {
	for _, v := range vectors {
		h := New()
		h.Write([]byte(v.message))
		if got := hex.EncodeToString(h.Sum(nil)); got != v.digest {
			t.Errorf("%.20q: %s, want %s", v.message, got, v.digest)
		}
	}
}

// A message gives the same digest in whatever parts it comes, over a saved
// state too.
func TestParts(t *testing.T) {
	message := []byte(strings.Repeat("1234567890", 20))
	for cut := range len(message) {
		whole := New()
		whole.Write(message)
		first := New()
		first.Write(message[:cut])
		first.Sum(nil)
		state, err := first.(encoding.BinaryMarshaler).MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		second := New()
		if err := second.(encoding.BinaryUnmarshaler).UnmarshalBinary(state); err != nil {
			t.Fatal(err)
		}
		second.Write(message[cut:])
		if string(second.Sum(nil)) != string(whole.Sum(nil)) {
			t.Errorf("cut at %d: another digest", cut)
		}
	}
}

func TestBadState(t *testing.T) {
	h := New().(encoding.BinaryUnmarshaler)
	state, _ := New().(encoding.BinaryMarshaler).MarshalBinary()
	for _, b := range [][]byte{nil, state[1:], append([]byte{1}, state[1:]...)} {
		if h.UnmarshalBinary(b) == nil {
			t.Errorf("took a state of %d bytes", len(b))
		}
	}
}
