package hsm

import (
	"context"
	"runtime"
	"testing"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/store"
)

// BenchmarkCache fills the cache with 50,000 AES keys, and says what one takes
// of the memory, by the collector's account and by the cache's own: as it was
// read, and once it has been used.
func BenchmarkCache(b *testing.B) {
	const n = 50_000
	h, s := benchmarkHSM(b, n)
	ses, err := h.session(s)
	if err != nil {
		b.Fatal(err)
	}
	cache := &ses.part.objects
	last := someKey(b, h, s) + n // more than there are: those of 500 and of what is after it
	heap := func() int64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.GC()
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	for b.Loop() {
		cache.clear()
		before, held := heap(), 0
		load := func(use bool) {
			held = 0
			for ref := store.Ref(1); ref < store.Ref(last); ref++ {
				if o, err := h.lookUp(context.Background(), ses.part, ck.ObjectHandle(ref)); err == nil && o.class == ck.CKO_SECRET_KEY {
					held++
					if use && o.key() == nil {
						b.Fatal(ref)
					}
				}
			}
		}
		load(false)
		read := heap()
		load(true)
		used := heap()
		account := 0
		for i := range cache.shards {
			account += cache.shards[i].bytes
		}
		b.ReportMetric(float64(read-before)/float64(held), "B/read")
		b.ReportMetric(float64(used-before)/float64(held), "B/used")
		b.ReportMetric(float64(account)/float64(held), "B/account")
		b.ReportMetric(float64(held), "objects")
	}
}
