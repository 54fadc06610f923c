package engine

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"math/bits"
	"sync"
	"testing"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/engine/internal/drbg"
)

// TestRandom looks for stuck and repeated output, with and without a seed, at
// lengths on both sides of every boundary. (Fewer than 40 % or more than 60 %
// of the bits of 1024 bytes set: never.)
func TestRandom(t *testing.T) {
	s := newGenerators(rand.Read)
	for _, seeded := range []bool{false, true} {
		if seeded {
			s.seeds.add([]byte("seed"))
			s.seeds.add(nil)
		}
		for _, n := range []int{0, 1, 16, shortMax, shortMax + 1, blockLen, drbg.MaxRequest, 3*drbg.MaxRequest + 17} {
			a, b := make([]byte, n), bytes.Repeat([]byte{0xff}, n)
			for _, part := range [][]byte{a, b} {
				if err := s.fill(part); err != nil {
					t.Fatal(err)
				}
			}
			if n >= 16 && bytes.Equal(a, b) {
				t.Errorf("%d bytes came twice", n)
			}
			for _, part := range [][]byte{a, b} {
				if n < 1024 {
					continue
				}
				ones := 0
				for _, x := range part {
					ones += bits.OnesCount8(x)
				}
				if ones < n*32/10 || ones > n*48/10 {
					t.Errorf("%d of %d bits are set", ones, n*8)
				}
				if tail := part[len(part)-16:]; bytes.Equal(tail, make([]byte, 16)) {
					t.Error("the end is not filled")
				}
			}
		}
	}
	b := make([]byte, 40)
	if n, err := io.ReadFull(Reader, b); n != 40 || err != nil || bytes.Equal(b[20:], make([]byte, 20)) {
		t.Errorf("Reader: %d, %v", n, err)
	}
}

// meteredSource is an entropy source that the system gives, and counts requests.
type meteredSource int

func (c *meteredSource) read(b []byte) (int, error) {
	*c++
	return rand.Read(b)
}

// TestFreshEntropy checks when entropy is added, and that what was given out
// leaves no trace.
func TestFreshEntropy(t *testing.T) {
	var c meteredSource
	s := newGenerators(c.read)
	g := &generator{source: s}
	step := func(what string, n int, want meteredSource) []byte {
		t.Helper()
		before, b := c, make([]byte, n)
		if err := g.fill(b); err != nil {
			t.Fatal(err)
		}
		if c-before != want {
			t.Errorf("%s: %d requests for entropy", what, c-before)
		}
		return b
	}
	given := step("first", 32, 1)
	if bytes.Contains(g.block[:], given) || len(g.left) != blockLen-32 {
		t.Error("what was given is still there")
	}
	step("second", 32, 0)
	step("long", shortMax+1, 1)
	step("several blocks", 2*drbg.MaxRequest+1, 3)
	s.seeds.add([]byte("x"))
	step("after a seed", 32, 1)
	g.made = g.made.Add(-blockLife)
	rest := bytes.Clone(g.left)
	next := step("too old", 32, 1)
	if bytes.Equal(rest[:32], next) {
		t.Error("an old block was used")
	}
	for range blockLen/shortMax - 1 {
		step("until the block is used up", shortMax, 0)
	}
	step("used up", shortMax, 1)
}

// TestSeedAdds gives two generators the same entropy: they are equal without a
// seed, and differ after one; with different entropy the same seed does not
// make them equal.
func TestSeedAdds(t *testing.T) {
	output := func(source byte, seed string) string {
		n := uint16(0)
		s := newGenerators(func(b []byte) (int, error) {
			n++
			d := drbg.New([]byte{source, byte(n)}, nil, nil)
			return d.Generate(b, nil), nil
		})
		if seed != "" {
			s.seeds.add([]byte(seed))
		}
		b := make([]byte, 32)
		if err := s.fill(b); err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	plain, seeded := output(1, ""), output(1, "a")
	if plain != output(1, "") || seeded != output(1, "a") {
		t.Error("the test itself is random")
	}
	if plain == seeded || output(1, "b") == seeded {
		t.Error("a seed adds nothing")
	}
	if output(2, "a") == seeded {
		t.Error("a seed replaces the entropy")
	}
}

// TestBrokenSource feeds what no entropy source gives: the generators must stop,
// and stay so when the source is good again.
func TestBrokenSource(t *testing.T) {
	for name, x := range map[string]struct {
		after int // good requests before
		bad   func(b []byte) (int, error)
		rv    ck.RV
		stays bool
	}{
		"stuck from the start": {0, func(b []byte) (int, error) { clear(b); return len(b), nil }, ck.CKR_DEVICE_ERROR, true},
		"stuck later":          {5, func(b []byte) (int, error) { clear(b); return len(b), nil }, ck.CKR_DEVICE_ERROR, true},
		"the same again": {5, func(b []byte) (int, error) {
			return copy(b, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"), nil
		}, ck.CKR_DEVICE_ERROR, true},
		"error":                   {5, func([]byte) (int, error) { return 0, errors.New("x") }, ck.CKR_RANDOM_NO_RNG, false},
		"error from the start":    {0, func([]byte) (int, error) { return 0, errors.New("x") }, ck.CKR_RANDOM_NO_RNG, false},
		"fewer bytes than wanted": {5, func(b []byte) (int, error) { return len(b) - 1, nil }, ck.CKR_RANDOM_NO_RNG, false},
	} {
		requests, good := 0, false
		s := newGenerators(func(b []byte) (int, error) {
			if requests++; requests <= x.after || good {
				return rand.Read(b)
			}
			return x.bad(b)
		})
		var err error
		b := make([]byte, shortMax+1)
		for i := 0; i < 10 && err == nil; i++ {
			for j := range b {
				b[j] = 1
			}
			err = s.fill(b)
		}
		wantRV(t, name, err, x.rv)
		if !bytes.Equal(b, make([]byte, len(b))) {
			t.Errorf("%s: something came out", name)
		}
		good = true
		for _, n := range []int{0, 1, len(b)} {
			if err := s.fill(b[:n]); x.stays {
				wantRV(t, fmt.Sprintf("%s, %d bytes afterwards", name, n), err, ck.CKR_DEVICE_ERROR)
			} else if err != nil {
				t.Errorf("%s: %v afterwards", name, err)
			}
		}
	}
}

// TestSeedsStep checks that the pool moves on, depends on every seed, and on
// their order.
func TestSeedsStep(t *testing.T) {
	next := func(seeds ...string) string {
		var p seedPool
		for _, s := range seeds {
			p.add([]byte(s))
		}
		var one, two [64]byte
		p.next(one[:])
		p.next(two[:])
		if len(seeds) > 0 && one == two {
			t.Error("the pool stands still")
		}
		return string(one[:])
	}
	if next() != string(make([]byte, 64)) {
		t.Error("a pool without seeds adds something")
	}
	seen := map[string]bool{}
	for _, s := range [][]string{{""}, {"a"}, {"a", ""}, {"a", "b"}, {"b", "a"}, {"ab"}} {
		m := next(s...)
		if seen[m] {
			t.Errorf("%q gives nothing new", s)
		}
		seen[m] = true
	}
}

// TestRandomConcurrent is for the race detector.
func TestRandomConcurrent(t *testing.T) {
	s := newGenerators(rand.Read)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for i := range 100 {
				s.seeds.add([]byte("x"))
				if err := s.fill(make([]byte, 3*i)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}

func BenchmarkRandom(b *testing.B) {
	for _, n := range []int{16, 32, 256, 1 << 10, 4 << 10, 64 << 10, 1 << 20} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			buf := make([]byte, n)
			b.SetBytes(int64(n))
			b.ReportAllocs()
			for b.Loop() {
				if err := Random(buf); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
