package hsm

import (
	"sync"

	"github.com/perilune/perilune/cryptoki/p11"
)

// lifeLock is held for reading by every call, and for writing by Close. Calls on
// different sessions mostly count in different places, so that cores do not
// pass a cache line to and fro.
type lifeLock struct{ places [16]lifePlace }

type lifePlace struct {
	sync.RWMutex
	_ [40]byte // to the end of a cache line
}

// of is where the calls on a session count.
func (l *lifeLock) of(req p11.Request) *sync.RWMutex {
	i := 0
	if on, ok := req.(p11.OnSession); ok {
		i = int(uint64(on.On()) % uint64(len(l.places)))
	}
	return &l.places[i].RWMutex
}

// Lock waits for the calls under way, and holds up new ones.
func (l *lifeLock) Lock() {
	for i := range l.places {
		l.places[i].Lock()
	}
}

// Unlock lets them go on.
func (l *lifeLock) Unlock() {
	for i := range l.places {
		l.places[i].Unlock()
	}
}
