package sm4

import (
	"encoding/hex"
	"testing"

	"github.com/perilune/perilune/engine/internal/sbox"
)

// The table of GB/T 32907-2016, section 6.2.
const tableS = "" +
	"d690e9fecce13db716b614c228fb2c052b679a762abe04c3aa44132649860699" +
	"9c4250f491ef987a33540b43edcfac62e4b31ca9c908e89580df94fa758f3fa6" +
	"4707a7fcf37317ba83593c19e6854fa8686b81b27164da8bf8eb0f4b70569d35" +
	"1e240e5e6358d1a225227c3b01217887d40046579fd327524c3602e7a0c4c89e" +
	"eabf8ad240c738b5a3f7f2cef96115a1e0ae5da49b341a55ad933230f58cb1e3" +
	"1df6e22e8266ca60c02923ab0d534e6fd5db3745defd8e2f03ff6a726d6c5b51" +
	"8d1baf92bbddbc7f11d95c411f105ad80ac13188a5cd7bbd2d74d012b8e5b4b0" +
	"8969974a0c96777e65b9f109c56ec68418f07dec3adc4d2079ee5f3ed7cb3948"

func TestBoxes(t *testing.T) {
	table := func(s string) func(byte) byte {
		b := unhex(t, s)
		return func(x byte) byte { return b[x] }
	}
	checkBox(t, "S", box, table(tableS))
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
