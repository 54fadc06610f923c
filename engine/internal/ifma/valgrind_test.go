//go:build valgrind

package ifma

import (
	"bytes"
	_ "os/user" // has cgo: without it, valgrind denies Go's threads their own stacks
	"testing"

	"github.com/perilune/perilune/engine/internal/ct"
)

// TestSecrets runs four private operations in a pass, and lone ones, with a secret key
// and secret messages, under valgrind, which test/ct starts. One of the pass and
// one of the others have a message that is not below the modulus.
func TestSecrets(t *testing.T) {
	_, std := testKey(t, 1536)
	n := numbersOf(std)
	for _, b := range [][]byte{n.P, n.Q, n.DP, n.DQ, n.QInv} {
		ct.Secret(b)
	}
	k, err := NewKey(n)
	if err != nil {
		t.Fatal(err)
	}
	message := func(first byte) []byte {
		b := bytes.Repeat([]byte{first}, len(n.N))
		ct.Secret(b)
		return b
	}
	var jobs []*job
	for i := range batch {
		jobs = append(jobs, &job{Key: k, Dst: make([]byte, len(n.N)), Src: message(byte(i + 1))})
	}
	jobs[2].Src = message(0xff)
	privates(jobs)
	for i, j := range jobs {
		alone := make([]byte, len(n.N))
		err := k.single(alone, j.Src)
		ct.Public(alone)
		ct.Public(j.Dst)
		if i == 2 && err != ErrRange || i != 2 && err != nil || j.Err != err || !bytes.Equal(alone, j.Dst) {
			t.Errorf("number %d: %v in a pass, %v alone", i, j.Err, err)
		}
	}
}
