package drbg

import (
	"encoding/binary"
	"errors"
)

// The cutoffs of the health tests. A sample is a byte, said to have eight bits
// of entropy. NIST SP 800-90B proposes false alarms of 2^-20 to 2^-40 a sample;
// after an alarm this generator is out of order for good, so they are made
// rarer here than 2^-64.
const (
	// repetitionCutoff is 1 + 64/8 equal samples in a row (section 4.4.1).
	repetitionCutoff = 9
	// proportionWindow and proportionCutoff: so many of the samples of a window
	// are equal to its first (section 4.4.2; the cutoff is from the binomial
	// distribution).
	proportionWindow = 512
	proportionCutoff = 27
	// StartupLen is the number of samples for the tests at the start (section
	// 4.3, requirement 4).
	StartupLen = 1024
)

// ErrHealth says that an entropy source is broken.
var ErrHealth = errors.New("drbg: the entropy source failed its health test")

// Health watches one entropy source: repetition count test, adaptive
// proportion test, and a test of our own that notices a source that gives the
// same again when it is asked again. The zero value is ready.
type Health struct {
	last  byte
	run   int // of last
	first byte
	seen  int // samples of the window, first included
	equal int // to first

	before uint64 // the beginning of what Check had before
	asked  bool
}

// Check takes what came from the source. After an error nothing of it is to be
// used, ever.
func (h *Health) Check(input []byte) error {
	ok := true
	for _, b := range input {
		ok = h.repetition(b) && h.proportion(b) && ok
	}
	if !h.news(input) || !ok {
		return ErrHealth
	}
	return nil
}

func (h *Health) repetition(b byte) bool {
	if h.run == 0 || b != h.last {
		h.last, h.run = b, 1
		return true
	}
	h.run++
	return h.run < repetitionCutoff
}

func (h *Health) proportion(b byte) bool {
	if h.seen == 0 || h.seen == proportionWindow {
		h.first, h.seen, h.equal = b, 1, 1
		return true
	}
	h.seen++
	if b == h.first {
		h.equal++
	}
	return h.equal < proportionCutoff
}

func (h *Health) news(input []byte) bool {
	if len(input) < 8 {
		return true
	}
	beginning := binary.BigEndian.Uint64(input)
	ok := !h.asked || beginning != h.before
	h.before, h.asked = beginning, true
	return ok
}
