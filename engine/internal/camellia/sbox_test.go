package camellia

import (
	"encoding/hex"
	"math/bits"
	"testing"

	"github.com/perilune/perilune/engine/internal/sbox"
)

// The table of RFC 3713, section 2.4.1; the other boxes follow from it.
const tableSBOX1 = "" +
	"70822cecb327c0e5e4855735ea0cae4123ef6b934519a521ed0e4f4e1d6592bd" +
	"86b8af8f7ceb1fce3e30dc5f5ec50b1aa6e139cad5475d3dd9015ad651566c4d" +
	"8b0d9a66fbccb02d74122b20f0b18499df4ccbc2347e76056db7a931d11704d7" +
	"14583a61de1b111c320f9c165318f222fe44cfb2c3b57a912408e8a860fc6950" +
	"aad0a07da1896297545b1e95e0ff64d210c40048a3f775db8a03e6da093fdd94" +
	"875c8302cd4a90337367f6f39d7fbfe2529bd826c837c63b81966f4b13be632e" +
	"e979a78c9f6ebc8e29f5f9b62ffdb4597898066ae74671bad425ab4288a28dfa" +
	"7207b955f8eeac0a36492a683c38f1a44028d37bbbc943c115e3adf477c7809e"

func TestBoxes(t *testing.T) {
	one := unhex(t, tableSBOX1)
	checkBox(t, "SBOX1", sbox1, func(x byte) byte { return one[x] })
	checkBox(t, "SBOX2", sbox2, func(x byte) byte { return bits.RotateLeft8(one[x], 1) })
	checkBox(t, "SBOX3", sbox3, func(x byte) byte { return bits.RotateLeft8(one[x], 7) })
	checkBox(t, "SBOX4", sbox4, func(x byte) byte { return one[bits.RotateLeft8(x, 1)] })
}

// checkBox compares a box with its table, in all lanes.
func checkBox(t *testing.T, name string, b sbox.Box, table func(byte) byte) {
	t.Helper()
	l := sbox.NewLayer([8]sbox.Box{b, b, b, b, b, b, b, b})
	for i := range 256 {
		x := uint64(i) * 0x0101010101010101
		want := uint64(table(byte(i))) * 0x0101010101010101
		if got := l.Sub(x); got != want {
			t.Errorf("%s: %02x becomes %016x, want %016x", name, i, got, want)
		}
		if one, two := l.Sub2(x, ^x); one != want || two != uint64(table(byte(255-i)))*0x0101010101010101 {
			t.Errorf("%s: %02x becomes %016x in a pair", name, i, one)
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
