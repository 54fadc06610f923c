package engine

import (
	"fmt"
	"testing"
)

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
