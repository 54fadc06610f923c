package ct

import (
	"bytes"
	"testing"
)

// unpad is PKCS7Len written plainly.
func unpad(b []byte) (int, bool) {
	if len(b) == 0 {
		return 0, false
	}
	n := int(b[len(b)-1])
	if n < 1 || n > len(b) || !bytes.Equal(b[len(b)-n:], bytes.Repeat([]byte{byte(n)}, n)) {
		return 0, false
	}
	return len(b) - n, true
}

func TestPKCS7Len(t *testing.T) {
	check := func(b []byte) {
		t.Helper()
		n, ok := PKCS7Len(b)
		want, wantOK := unpad(b)
		if (ok == 1) != wantOK || wantOK && n != want {
			t.Errorf("%x: %d, %d; want %d, %v", b, n, ok, want, wantOK)
		}
	}
	check(nil)
	for _, size := range []int{8, 16} {
		for pad := range 256 {
			b := bytes.Repeat([]byte{byte(pad)}, size)
			check(b)
			for i := range size { // one byte wrong
				b[i] ^= 1
				check(b)
				b[i] ^= 1
			}
			b[0] = 0xee
			check(b)
		}
	}
}

func TestIPsecLen(t *testing.T) {
	for _, size := range []int{0, 8, 16} {
		for pad := range 256 {
			b := bytes.Repeat([]byte{0xee}, size)
			for i := range min(pad, size) {
				b[size-1-i] = byte(pad - i)
			}
			if pad == 0 && size > 0 {
				b[size-1] = 0
			}
			good := pad > 0 && pad <= size
			if n, ok := IPsecLen(b); (ok == 1) != good || good && n != size-pad {
				t.Errorf("%x: %d, %d", b, n, ok)
			}
			for i := range min(pad-1, size-1) { // one byte of the padding wrong
				b[size-2-i] ^= 0x80
				if _, ok := IPsecLen(b); ok == 1 {
					t.Errorf("%x passes", b)
				}
				b[size-2-i] ^= 0x80
			}
		}
	}
}

func TestSmall(t *testing.T) {
	for _, c := range []struct{ x, y, less int }{{0, 0, 0}, {0, 1, 1}, {1, 0, 0}, {15, 16, 1}, {16, 16, 0}} {
		if got := Less(c.x, c.y); got != c.less {
			t.Errorf("Less(%d, %d) = %d", c.x, c.y, got)
		}
	}
	if Equal([]byte("ab"), []byte("ab")) != 1 || Equal([]byte("ab"), []byte("ac")) != 0 || Equal(nil, []byte("a")) != 0 {
		t.Error("Equal is wrong")
	}
}
