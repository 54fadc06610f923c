package engine

import (
	"bytes"
	"fmt"
	"io"
	"math/bits"
	"sync"
	"testing"
)

// useSeeds puts a pool of its own in place for one test.
func useSeeds(t *testing.T) {
	seeds.mu.Lock()
	defer seeds.mu.Unlock()
	state, count := seeds.state, seeds.count.Load()
	t.Cleanup(func() {
		seeds.mu.Lock()
		defer seeds.mu.Unlock()
		seeds.state = state
		seeds.count.Store(count)
	})
}

// TestRandom looks for stuck and repeated output, with and without a seed, at
// lengths on both sides of every boundary. (Fewer than 40 % or more than 60 %
// of the bits set in 64 bytes or more happens once in about 10^3; in 1024
// bytes, never.)
func TestRandom(t *testing.T) {
	useSeeds(t)
	for _, seeded := range []bool{false, true} {
		if seeded {
			SeedRandom([]byte("seed"))
			SeedRandom(nil)
		}
		for _, n := range []int{0, 1, 16, stretchFrom - 1, stretchFrom, 1024, stretchMax, stretchMax + 1, 3*stretchMax + 17} {
			a, b := make([]byte, n), bytes.Repeat([]byte{0xff}, n)
			if err := Random(a); err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadFull(Reader, b); err != nil {
				t.Fatal(err)
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
}

// TestSeedsStep checks that the pool moves on, depends on every seed, and on
// their order.
func TestSeedsStep(t *testing.T) {
	mix := func(seeds ...string) string {
		var p seedPool
		for _, s := range seeds {
			p.add([]byte(s))
		}
		var one, two [48]byte
		p.mix(one[:])
		p.mix(two[:])
		if len(seeds) > 0 && one == two {
			t.Error("the pool stands still")
		}
		return string(one[:])
	}
	if mix() != string(make([]byte, 48)) {
		t.Error("a pool without seeds adds something")
	}
	seen := map[string]bool{}
	for _, s := range [][]string{{""}, {"a"}, {"a", ""}, {"a", "b"}, {"b", "a"}, {"ab"}} {
		m := mix(s...)
		if seen[m] {
			t.Errorf("%q gives nothing new", s)
		}
		seen[m] = true
	}
}

// TestRandomConcurrent is for the race detector.
func TestRandomConcurrent(t *testing.T) {
	useSeeds(t)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 100 {
				SeedRandom([]byte("x"))
				if err := Random(make([]byte, 300)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}

func BenchmarkRandom(b *testing.B) {
	for _, n := range []int{16, 32, 256, 1 << 10, 64 << 10, 1 << 20} {
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
