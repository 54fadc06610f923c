package vaes

import (
	"bytes"
	"syscall"
	"testing"
)

// TestEdges seals and opens messages that end where the program's memory ends.
func TestEdges(t *testing.T) {
	page := syscall.Getpagesize()
	edge := func() []byte {
		m, err := syscall.Mmap(-1, 0, 3*page, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = syscall.Munmap(m) })
		for _, hole := range [][]byte{m[:page], m[2*page:]} {
			if err := syscall.Mprotect(hole, syscall.PROT_NONE); err != nil {
				t.Fatal(err)
			}
		}
		return m[page : 2*page]
	}
	r := newRandom(8)
	k, plain, out, data := NewKey(r.bytes(32)), edge(), edge(), edge()
	r.Read(plain)
	iv, tag := r.bytes(12), make([]byte, BlockSize)
	for n := range 700 {
		for _, end := range []bool{false, true} {
			part := func(b []byte, n int) []byte {
				if end {
					return b[page-n:]
				}
				return b[:n]
			}
			copy(part(data, n), part(plain, n))
			k.Seal(part(out, n), iv, part(plain, n), part(data, n))
			sealed := part(out, n+BlockSize)
			k.Seal(sealed, iv, part(plain, n), part(data, n))
			copy(tag, sealed[n:])
			if !k.Open(sealed[:n], iv, sealed[:n], tag, part(data, n)) || !bytes.Equal(sealed[:n], part(plain, n)) {
				t.Fatalf("%d bytes: not opened", n)
			}
		}
	}
}
