package aria

import (
	"encoding/hex"
	"testing"

	"github.com/perilune/perilune/engine/internal/sbox"
)

// The tables of RFC 5794, section 2.4.2; SB3 and SB4 are their inverses.
const tableSB1 = "" +
	"637c777bf26b6fc53001672bfed7ab76ca82c97dfa5947f0add4a2af9ca472c0" +
	"b7fd9326363ff7cc34a5e5f171d8311504c723c31896059a071280e2eb27b275" +
	"09832c1a1b6e5aa0523bd6b329e32f8453d100ed20fcb15b6acbbe394a4c58cf" +
	"d0efaafb434d338545f9027f503c9fa851a3408f929d38f5bcb6da2110fff3d2" +
	"cd0c13ec5f974417c4a77e3d645d197360814fdc222a908846eeb814de5e0bdb" +
	"e0323a0a4906245cc2d3ac629195e479e7c8376d8dd54ea96c56f4ea657aae08" +
	"ba78252e1ca6b4c6e8dd741f4bbd8b8a703eb5664803f60e613557b986c11d9e" +
	"e1f8981169d98e949b1e87e9ce5528df8ca1890dbfe6426841992d0fb054bb16"

const tableSB2 = "" +
	"e24e54fc94c24acc620d6a463c4d8bd15efa64cbb497be2bbc772e03d31959c1" +
	"1d06416b55f09969ea9c18ae63dfe7bb007366fb964c85e43a0945aa0fee10eb" +
	"2d7ff429accfad918d78c895f92fcecd087a88385c832a2847dbb8c793a41253" +
	"ff870e3136215848018e377432cae9b1b7ab0cd7c4564226079860d9b6b91140" +
	"ec208cbda0c984044923f14f501f13dcd8c09e57e3c37b653b028f3ee82592e5" +
	"15ddfd17a9bfd49a7ec53967fe769d43a7e1d0f568f21b347005a38ad57986a8" +
	"30c6514b1ea627f635d26e2416825fdae675a2ef2cb21c9f5d6f800a72449b6c" +
	"900b5b337d5a52f361a1f7b0d63f7c6ded14e0a53d22b3f889de711aafbab581"

func TestBoxes(t *testing.T) {
	table := func(s string) func(byte) byte {
		b := unhex(t, s)
		return func(x byte) byte { return b[x] }
	}
	inverse := func(s string) func(byte) byte {
		var inv [256]byte
		for i, b := range unhex(t, s) {
			inv[b] = byte(i)
		}
		return func(x byte) byte { return inv[x] }
	}
	checkBox(t, "SB1", sb1, table(tableSB1))
	checkBox(t, "SB2", sb2, table(tableSB2))
	checkBox(t, "SB3", sb3, inverse(tableSB1))
	checkBox(t, "SB4", sb4, inverse(tableSB2))
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
