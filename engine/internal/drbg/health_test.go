package drbg

import (
	"crypto/rand"
	"errors"
	"testing"
)

// feed asks a source again and again, 32 bytes at a time, and returns how many
// bytes pass before the alarm.
func feed(source func(b []byte), limit int) (passed int, err error) {
	var h Health
	b := make([]byte, 32)
	for ; passed < limit; passed += len(b) {
		source(b)
		if err = h.Check(b); err != nil {
			break
		}
	}
	return passed, err
}

func TestHealthNotices(t *testing.T) {
	counter := byte(0)
	for name, x := range map[string]struct {
		source func(b []byte)
		within int
	}{
		"stuck at 0": {func(b []byte) { clear(b) }, 0},
		"stuck at 255": {func(b []byte) {
			for i := range b {
				b[i] = 255
			}
		}, 0},
		"stuck in the middle": {func(b []byte) {
			random(b)
			clear(b[10 : 10+repetitionCutoff])
		}, 0},
		"the same every time": {func(b []byte) {
			for i := range b {
				b[i] = byte(i * 7)
			}
		}, 32},
		// Every eighth byte is 9: no run, but 64 of 512.
		"one value too often": {func(b []byte) {
			random(b)
			for i := 0; i < len(b); i += 8 {
				b[i] = 9
			}
		}, 1024},
		"two values": {func(b []byte) {
			random(b)
			for i := range b {
				b[i] &= 1
			}
		}, 512},
		// It counts in blocks that begin differently: only the window sees it.
		"short period": {func(b []byte) {
			for i := range b {
				counter = (counter + 1) % 13
				b[i] = counter
			}
		}, 1024},
	} {
		passed, err := feed(x.source, 1<<16)
		if !errors.Is(err, ErrHealth) || passed > x.within {
			t.Errorf("%s: %v after %d bytes", name, err, passed)
		}
	}
}

// TestHealthPasses gives it what is good, a million bytes.
func TestHealthPasses(t *testing.T) {
	if passed, err := feed(random, 1<<20); err != nil {
		t.Errorf("%v after %d bytes", err, passed)
	}
	var h Health
	for i := range 100 { // short pieces: no comparison with what came before
		if err := h.Check([]byte{byte(i)}); err != nil {
			t.Fatal(err)
		}
	}
}

// TestHealthCutoffs is exact about the numbers.
func TestHealthCutoffs(t *testing.T) {
	var h Health
	if h.Check(make([]byte, repetitionCutoff-1)) != nil {
		t.Error("a run of one less")
	}
	if h.Check([]byte{0}) == nil {
		t.Error("a run of the cutoff")
	}
	window := make([]byte, proportionWindow)
	for i := range window {
		window[i] = byte(1 + i%251)
	}
	put := func(n int) *Health {
		for i := range n {
			window[i*2] = 0
		}
		return new(Health)
	}
	if put(proportionCutoff-1).Check(window) != nil {
		t.Error("proportion of one less")
	}
	if put(proportionCutoff).Check(window) == nil {
		t.Error("proportion of the cutoff")
	}
}

func random(b []byte) { _, _ = rand.Read(b) }
