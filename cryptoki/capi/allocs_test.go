//go:build !race

package capi

import "testing"

// (The race detector makes sync.Pool forget things on purpose.)

// TestNoAllocations: an operation in one part that is repeated takes no memory
// for the garbage collector to find, from the C function down to the cipher.
func TestNoAllocations(t *testing.T) {
	m := openMemory(t)
	session := loggedIn(t, m)
	for _, b := range busyOperations(t, m, session) {
		t.Run(b.name, func(t *testing.T) {
			call := b.prepared(t, session)
			allowed := 0.0
			if b.arithmetic != nil {
				allowed = testing.AllocsPerRun(50, b.arithmetic)
			}
			if n := testing.AllocsPerRun(200, call); n > allowed {
				t.Errorf("%v allocations, of which the arithmetic makes %v", n, allowed)
			}
		})
	}
}
