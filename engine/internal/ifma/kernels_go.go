//go:build !amd64 || valgrind

package ifma

import (
	"math/bits"
	"unsafe"

	"github.com/perilune/perilune/engine/internal/ct"
)

// The kernels in Go, for the tests of constant time: valgrind does not know the
// vectors. They are too slow for anything else.

// Supported reports whether this package is of use here.
func Supported() bool { return ct.Marking }

func words(p *uint64, n int) []uint64 { return unsafe.Slice(p, lanes*n) }

// addProducts adds the halves of x*y to two digits.
func addProducts(low, high *uint64, x, y uint64) {
	hi, lo := bits.Mul64(x&digitMask, y&digitMask)
	*low += lo & digitMask
	*high += hi<<(64-digitBits) | lo>>digitBits
}

func product(t, x, y *uint64, n int) {
	d := 10 * n
	tt, xx, yy := words(t, 2*d), words(x, d), words(y, d)
	clear(tt)
	for i := range d {
		for j := range d {
			for l := range lanes {
				addProducts(&tt[lanes*(i+j)+l], &tt[lanes*(i+j+1)+l], xx[lanes*i+l], yy[lanes*j+l])
			}
		}
	}
}

func square(t, x *uint64, n int) { product(t, x, x, n) }

func reduce(z, t, m, k0 *uint64, n int) {
	d := 10 * n
	zz, tt, mm, kk := words(z, d), words(t, 2*d), words(m, d), words(k0, 1)
	for l := range lanes {
		for i := range d {
			q := tt[lanes*i+l] * kk[l] & digitMask
			for j := range d {
				addProducts(&tt[lanes*(i+j)+l], &tt[lanes*(i+j+1)+l], q, mm[lanes*j+l])
			}
			tt[lanes*(i+1)+l] += tt[lanes*i+l] >> digitBits
		}
		var carry uint64
		for i := range d {
			v := tt[lanes*(d+i)+l] + carry
			zz[lanes*i+l], carry = v&digitMask, v>>digitBits
		}
	}
}

func pair5(z, a, b, m, k0, s *uint64, each, n int)  { pair(5, z, a, b, m, k0, s, each, n) }
func pair8(z, a, b, m, k0, s *uint64, each, n int)  { pair(8, z, a, b, m, k0, s, each, n) }
func pair10(z, a, b, m, k0, s *uint64, each, n int) { pair(10, z, a, b, m, k0, s, each, n) }

func pair(width int, z, a, b, m, k0, s *uint64, each, n int) {
	l := layout{(*shape)(unsafe.Pointer(s)), width}
	d := each * width
	x, y, mm, t := make([]uint64, d), make([]uint64, d), make([]uint64, d), make([]uint64, 2*d+1)
	for range n {
		for g := range lanes / each {
			l.get(x, words(a, width), g)
			l.get(y, words(b, width), g)
			l.get(mm, words(m, width), g)
			clear(t)
			for i := range d {
				for j := range d {
					addProducts(&t[i+j], &t[i+j+1], x[j], y[i])
				}
				q := t[i] * words(k0, 1)[g*each] & digitMask
				for j := range d {
					addProducts(&t[i+j], &t[i+j+1], q, mm[j])
				}
				t[i+1] += t[i] >> digitBits
			}
			for i := d; i < 2*d; i++ {
				t[i+1] += t[i] >> digitBits
				t[i] &= digitMask
			}
			l.set(words(z, width), g, t[d:2*d])
		}
	}
}

func select5(z, table, index *uint64, n, entries int) { selectAny(z, table, index, n, entries) }
func select8(z, table, index *uint64, n, entries int) { selectAny(z, table, index, n, entries) }

func selectAny(z, table, index *uint64, n, entries int) {
	zz, tt, want := words(z, n), words(table, n*entries), words(index, 1)
	clear(zz)
	for e := range entries {
		for i := range zz {
			d := want[i%lanes] ^ uint64(e)
			zz[i] |= tt[e*len(zz)+i] & ((d|-d)>>63 - 1)
		}
	}
}
