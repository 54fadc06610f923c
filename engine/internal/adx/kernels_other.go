//go:build !amd64

package adx

import "math/bits"

// The kernels in Go, for processors that do not have these instructions and where
// this package is of no use but to its tests.

func multiply(z, x, y, m, t []uint64, k0 uint64) {
	clear(t)
	addProduct(t, x, y)
	reduce(z, t, m, k0)
}

func square(z, x, m, t []uint64, k0 uint64, times int) {
	for range times {
		multiply(z, x, x, m, t, k0)
		x = z
	}
}

func reduce(z, t, m []uint64, k0 uint64) {
	var top uint64
	for i := range m {
		q := t[i] * k0
		var carry uint64
		for j, d := range m {
			hi, lo := bits.Mul64(q, d)
			lo, c := bits.Add64(lo, carry, 0)
			hi += c
			t[i+j], c = bits.Add64(t[i+j], lo, 0)
			carry = hi + c
		}
		t[i+len(m)], top = bits.Add64(t[i+len(m)], carry, top)
	}
	copy(z, t[len(m):])
	sub(z, m, -top)
}

func pick(z, table []uint64, index uint64) {
	clear(z)
	for i := range len(table) / len(z) {
		d := uint64(i) ^ index
		mask := (d|-d)>>63 - 1
		for j, v := range table[i*len(z):][:len(z)] {
			z[j] |= v & mask
		}
	}
}
