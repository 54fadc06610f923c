//go:build !race

package vaes

// The race detector sees allocations of its own, and that a key is looked at that
// nobody has any more.

import (
	"runtime"
	"testing"
)

func TestNoAllocations(t *testing.T) {
	k, iv, aad := NewKey(make([]byte, 32)), make([]byte, 16), make([]byte, 50)
	for _, n := range []int{0, 16, 240, 241, 10_000} {
		buf, out := make([]byte, n+BlockSize), make([]byte, n)
		if a := testing.AllocsPerRun(20, func() {
			k.Seal(buf, iv, buf[:n], aad)
			if !k.Open(out, iv, buf[:n], buf[n:], aad) {
				t.Fatal("not opened")
			}
		}); a > 0 {
			t.Errorf("%d bytes: %v allocations", n, a)
		}
	}
}

// TestWiped: the secrets of a key that nobody has any more are cleared.
func TestWiped(t *testing.T) {
	k := NewKey([]byte("a key of 16 byte"))
	s := k.secrets
	if s.round[0][0] == 0 || s.powers[0] == [BlockSize]byte{} {
		t.Fatal("no key")
	}
	runtime.KeepAlive(k)
	for range 10_000 {
		runtime.GC()
		if *s == (secrets{}) {
			return
		}
		runtime.Gosched()
	}
	t.Error("a key is not wiped")
}
