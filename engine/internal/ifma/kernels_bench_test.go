package ifma

import (
	"fmt"
	"testing"
)

// BenchmarkKernels is what the parts of an exponentiation take.
func BenchmarkKernels(b *testing.B) {
	for _, c := range classes {
		g := newGroup(c.tiles)
		x, y := vectors(10*c.tiles), vectors(10*c.tiles)
		table := vectors(10 * c.tiles << laneWindow)
		clear(table) // what was never written is slow to read under masks
		index := vectors(1)
		run := func(name string, f func()) {
			b.Run(fmt.Sprint(c.bits, "/", name), func(b *testing.B) {
				for b.Loop() {
					f()
				}
			})
		}
		run("square", func() { g.square(x, x) })
		run("mul", func() { g.mul(x, x, y) })
		run("product alone", func() { product(&g.t[0], &x[0], &y[0], c.tiles) })
		run("square alone", func() { square(&g.t[0], &x[0], c.tiles) })
		run("reduce", func() { reduce(&x[0], &g.t[0], &g.m[0], &g.k0[0], g.tiles) })
		run("select", func() { select5(&y[0], &table[0], &index[0], 10*c.tiles, 1<<laneWindow) })
		z, m, k0 := vectors(c.width), vectors(c.width), vectors(1)
		run("pair", func() { c.pair(&z[0], &z[0], &z[0], &m[0], &k0[0], &shapes[2].first[0], 4, 5) })
	}
}

// BenchmarkNewKey is what the first use of a key takes.
func BenchmarkNewKey(b *testing.B) {
	for _, bits := range []int{2048, 3072, 4096} {
		_, std := testKey(b, bits)
		n := numbersOf(std)
		b.Run(fmt.Sprint(bits), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := NewKey(n); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
