package sqlite

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"testing"

	"github.com/perilune/perilune/store"
)

// benchTerm is a term that stands for n.
func benchTerm(n uint64) (t store.Term) {
	binary.LittleEndian.PutUint64(t[:], n*0x9e3779b97f4a7c15)
	binary.LittleEndian.PutUint64(t[8:], n)
	return t
}

const (
	termOfAll   = 1 << 40 // carried by every record
	termOfTenth = 1 << 41 // carried by every tenth
	sealedSize  = 2048
	termsEach   = 8
)

// insertBench inserts record number i: eight terms, one of them its own.
func insertBench(tx store.Tx, i uint64) (store.Ref, error) {
	ref, err := tx.NewRef()
	if err != nil {
		return 0, err
	}
	terms := []store.Term{benchTerm(i), benchTerm(termOfAll)}
	if i%10 == 0 {
		terms = append(terms, benchTerm(termOfTenth))
	}
	for k := uint64(len(terms)); k < termsEach; k++ {
		terms = append(terms, benchTerm(1<<50+i*termsEach+k))
	}
	return ref, tx.Insert(store.Record{Ref: ref, Space: 1, Kind: 1, Version: 1, Sealed: make([]byte, sealedSize), Terms: terms})
}

func benchStore(b *testing.B, records int) *Store {
	b.Helper()
	s, err := open(b.Context(), b.TempDir(), Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { s.Close() })
	for i := 0; i < records; i += 5000 {
		err := s.Update(b.Context(), func(tx store.Tx) error {
			for k := i; k < min(i+5000, records); k++ {
				if _, err := insertBench(tx, uint64(k)); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
	}
	return s
}

func BenchmarkCreate(b *testing.B) {
	for _, n := range []int{1, 8, 64} {
		b.Run(fmt.Sprintf("goroutines=%d", n), func(b *testing.B) {
			s := benchStore(b, 0)
			var next atomic.Uint64
			work := make(chan struct{})
			done := make(chan error, n)
			for range n {
				go func() {
					for range work {
						if err := s.Update(context.Background(), func(tx store.Tx) error {
							_, err := insertBench(tx, next.Add(1))
							return err
						}); err != nil {
							done <- err
							return
						}
					}
					done <- nil
				}()
			}
			before := generationOf(b, s)
			b.ResetTimer()
			for range b.N {
				work <- struct{}{}
			}
			close(work)
			for range n {
				if err := <-done; err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N)/float64(generationOf(b, s)-before), "updates/commit")
		})
	}
}

func BenchmarkFind(b *testing.B) {
	for _, records := range []int{100, 10_000, 100_000} {
		s := benchStore(b, records)
		for _, c := range []struct {
			name  string
			limit int
			terms func(i uint64) []store.Term
		}{
			{"rare", 0, func(i uint64) []store.Term { return []store.Term{benchTerm(i)} }},
			{"rare+2", 0, func(i uint64) []store.Term {
				return []store.Term{benchTerm(i - i%10), benchTerm(termOfAll), benchTerm(termOfTenth)}
			}},
			{"none", 0, func(i uint64) []store.Term { return []store.Term{benchTerm(1 << 60), benchTerm(termOfAll)} }},
			{"common-limit-10", 10, func(uint64) []store.Term { return []store.Term{benchTerm(termOfAll)} }},
			{"common+tenth-limit-10", 10, func(uint64) []store.Term {
				return []store.Term{benchTerm(termOfAll), benchTerm(termOfTenth)}
			}},
		} {
			b.Run(fmt.Sprintf("%s/records=%d", c.name, records), func(b *testing.B) {
				rnd := rand.New(rand.NewPCG(1, 1))
				for b.Loop() {
					err := s.View(context.Background(), func(tx store.Tx) error {
						_, err := tx.Find(1, 1, c.terms(rnd.Uint64N(uint64(records))), 0, c.limit)
						return err
					})
					if err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

func BenchmarkGet(b *testing.B) {
	const records = 10_000
	s := benchStore(b, records)
	rnd := rand.New(rand.NewPCG(1, 1))
	for b.Loop() {
		err := s.View(context.Background(), func(tx store.Tx) error {
			_, err := tx.Get(store.Ref(1 + rnd.Uint64N(records)))
			return err
		})
		if err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkGeneration(b *testing.B) {
	s := benchStore(b, 1)
	b.Run("file", func(b *testing.B) {
		for b.Loop() {
			if _, err := s.Generation(); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("parallel", func(b *testing.B) {
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				if _, err := s.Generation(); err != nil {
					b.Fatal(err)
				}
			}
		})
	})
	b.Run("database", func(b *testing.B) {
		for b.Loop() {
			if _, err := s.generationInDatabase(context.Background()); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkOpen(b *testing.B) {
	for _, records := range []int{1, 10_000} {
		b.Run(fmt.Sprintf("records=%d", records), func(b *testing.B) {
			s := benchStore(b, records)
			for b.Loop() {
				again, err := Open(context.Background(), s.place.dir, Options{})
				if err != nil {
					b.Fatal(err)
				}
				if err := again.Close(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
