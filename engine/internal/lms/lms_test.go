package lms

import (
	"bytes"
	"encoding/binary"
	"testing"
)

// TestParameters compares the types of one-time signatures with the tables of
// RFC 8554, section 4.1, and SP 800-208, section 4. (Published signatures are in
// the tests of package engine.)
func TestParameters(t *testing.T) {
	for number, want := range map[uint32][4]int{ // n, w, p, ls
		1: {32, 1, 265, 7}, 2: {32, 2, 133, 6}, 3: {32, 4, 67, 4}, 4: {32, 8, 34, 0},
		5: {24, 1, 200, 8}, 6: {24, 2, 101, 6}, 7: {24, 4, 51, 4}, 8: {24, 8, 26, 0},
		9: {32, 1, 265, 7}, 16: {24, 8, 26, 0},
	} {
		o, ok := findOnce(number)
		if got := [4]int{o.hash.size, o.w, o.p, o.ls}; !ok || got != want || o.hash.shake != (number > 8) {
			t.Errorf("%d: %v", number, o)
		}
	}
	for number, height := range map[uint32]int{5: 5, 9: 25, 10: 5, 14: 25, 19: 25, 20: 5, 24: 25} {
		if tree, ok := findTree(number); !ok || tree.height != height {
			t.Errorf("%d: %v", number, tree)
		}
	}
	for _, number := range []uint32{0, 25, 1 << 31} {
		if _, ok := findTree(number); ok {
			t.Errorf("tree %d", number)
		}
		if _, ok := findOnce(number); ok {
			t.Errorf("once %d", number)
		}
	}
}

// TestMalformed reads keys and signatures that are none.
func TestMalformed(t *testing.T) {
	key := func(levels, tree, once uint32, n int) []byte {
		b := binary.BigEndian.AppendUint32(nil, levels)
		b = binary.BigEndian.AppendUint32(b, tree)
		b = binary.BigEndian.AppendUint32(b, once)
		return append(b, make([]byte, 16+n)...)
	}
	for _, b := range [][]byte{
		nil, key(0, 5, 4, 32), key(9, 5, 4, 32), key(1, 4, 4, 32), key(1, 5, 0, 32), key(1, 5, 17, 32),
		key(1, 5, 8, 32),  // hashes of two lengths
		key(1, 5, 12, 32), // two hash functions
		key(1, 5, 4, 31), key(1, 5, 4, 33),
	} {
		if _, err := NewPublicKey(b); err == nil {
			t.Errorf("%x", b)
		}
	}
	k, err := NewPublicKey(key(2, 5, 4, 32))
	if err != nil {
		t.Fatal(err)
	}
	n := k.top.signatureSize()
	for _, size := range []int{0, 3, 4, 5, 4 + n, 4 + n + 24, 4 + n + 56, 4 + 2*n + 56} {
		for _, first := range []byte{0, 1, 0xff} {
			sig := bytes.Repeat([]byte{0}, size)
			if size > 3 {
				sig[3] = first
			}
			if k.Verify([]byte("abc"), sig) {
				t.Errorf("%d bytes", size)
			}
		}
	}
}
