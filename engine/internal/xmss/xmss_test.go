package xmss

import (
	"encoding/binary"
	"testing"
)

// TestSizes compares lengths of signatures with those of RFC 8391, sections 5.3
// and 5.4. (Published signatures are in the tests of package engine.)
func TestSizes(t *testing.T) {
	for _, want := range []struct {
		oid   uint32
		multi bool
		size  int
	}{
		{1, false, 2500}, {2, false, 2692}, {3, false, 2820}, {4, false, 9092}, {6, false, 9732}, {12, false, 9732},
		{1, true, 4963}, {2, true, 9251}, {4, true, 9893}, {8, true, 27688}, {16, true, 104520}, {32, true, 104520},
	} {
		p, ok := find(want.oid, want.multi)
		if !ok || p.signatureSize() != want.size {
			t.Errorf("%d, %v: %v", want.oid, want.multi, p)
		}
	}
}

// TestUnknown reads keys of all numbers and lengths.
func TestUnknown(t *testing.T) {
	for _, multi := range []bool{false, true} {
		known := 0
		for oid := range uint32(100) {
			for _, n := range []int{24, 32, 64} {
				b := binary.BigEndian.AppendUint32(nil, oid)
				k, err := NewPublicKey(append(b, make([]byte, 2*n)...), multi)
				if err != nil {
					continue
				}
				known++
				if k.OID() != oid || k.Verify(nil, nil) || n == 24 && k.Verify(nil, make([]byte, k.SignatureSize())) {
					t.Errorf("%d: a signature of zeros", oid)
				}
			}
		}
		if want := map[bool]int{false: 21, true: 56}[multi]; known != want {
			t.Errorf("%d parameter sets, want %d", known, want)
		}
		for _, b := range [][]byte{nil, {0, 0, 0}, {0, 0, 0, 1}, {0xff, 0xff, 0xff, 0xff}} {
			if _, err := NewPublicKey(b, multi); err == nil {
				t.Errorf("%x", b)
			}
		}
	}
}
