package seed

import (
	"encoding/hex"
	"testing"

	"github.com/perilune/perilune/engine/internal/sbox"
)

// The tables of RFC 4269, appendix A.
const tableS1 = "" +
	"a985d6d3541dac255d43181e51fcca632844209de0e2c817a58f037bbb13d2ee" +
	"708c3fa832ddf674ec950b575c5bbd01241c739810ccf2d92ce772839bd186c9" +
	"6050a3eb0db69e4fb75ac678a612afd561c3b441527d8d081f9900190453f7e1" +
	"fd762f27b08b0eaba26e934d697c090abfeff3c58714fe64de2e4b1a06216b66" +
	"02f5928a0cb37ed07a4796e52680addfa13037ae36152238f4a7454c81e98497" +
	"35cbce3c7111c78975fbdaf8945982c4ff493967c0cfd7b80f8e4223916cdba4" +
	"34f148c26f3d2d40be3ebcc1aaba4e553bdc687f9cd84a5677a0ed46b52b65fa" +
	"e3b9b19f5ef9e6b231ea6d5fe4f0cd88163a58d462290733e81b0579906a2a9a"

const tableS2 = "" +
	"38e82da6cfdeb3b8af6055c7446f6b5bc36233b529a0e2a7d39111061cbc364b" +
	"ef886ca817c416f4c245e1d63f3d8e98284ef63ea5f90ddfd82b667a272ff172" +
	"42d441c07367ac8bf7ad801fca2caa34d20beee95d9418f857ae08c513cd86b9" +
	"ff7dc131f58a6ab1d120d7022204687107db9d9961bee659dd5190dc9aa3abd0" +
	"810f471ae3ec8dbf967b5ca2a163234dc89e9c3a0c2eba6e9f5af292f34978cc" +
	"15fb70757f351003646dc674d5b4ea097619fe4012e0bd05fa01f02a5ea95643" +
	"8514899bb0e5487997fc1e82218c1b5f7754b21d254f0046ed5852eb7edac9fd" +
	"3095653cb6e4bb7c0e5039263284699337e724a4cb530a87d94c838fce3b4ab7"

func TestBoxes(t *testing.T) {
	table := func(s string) func(byte) byte {
		b := unhex(t, s)
		return func(x byte) byte { return b[x] }
	}
	checkBox(t, "S1", s1, table(tableS1))
	checkBox(t, "S2", s2, table(tableS2))
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
