package mont

import (
	"math/rand/v2"
	"testing"
)

// TestPoints compares the assembly for points, in place too, with the formulas over
// math/big's numbers that the tests of package weierstrass check on curves.
func TestPoints(t *testing.T) {
	onAllPaths(t, func(t *testing.T, newModulus func(m []byte, width int) (*Modulus, error)) {
		r := rand.New(rand.NewPCG(9, 10))
		for _, m := range moduli(r) {
			f, err := newModulus(m.Bytes(), 0)
			if err != nil {
				t.Fatal(err)
			}
			element := func() (x Element) {
				f.Set(&x, random(r, m).Bytes())
				if r.IntN(8) == 0 {
					f.Negate(&x, f.One())
				}
				return x
			}
			for range 50 {
				p := Point{element(), element(), element()}
				x, y := element(), element()
				for _, zero := range []bool{false, true} {
					for times := 1; times < 4; times++ {
						var got, want Point
						f.Double(&got, &p, times, zero)
						f.doublesGo(&want, &p, times, zero)
						inPlace := p
						f.Double(&inPlace, &inPlace, times, zero)
						if got != want || !samePoint(f, &inPlace, &want) {
							t.Fatalf("modulus %x: 2^%d*%x", m, times, p)
						}
					}
				}
				var got, want Point
				f.AddAffine(&got, &p, &x, &y)
				f.addAffineGo(&want, &p, &x, &y)
				inPlace := p
				f.AddAffine(&inPlace, &inPlace, &x, &y)
				if got != want || !samePoint(f, &inPlace, &want) {
					t.Fatalf("modulus %x: %x + (%x, %x)", m, p, x, y)
				}
			}
		}
	})
}

func samePoint(f *Modulus, p, q *Point) bool {
	return f.Equal(&p.X, &q.X)&f.Equal(&p.Y, &q.Y)&f.Equal(&p.Z, &q.Z) == 1
}

func TestLookup(t *testing.T) {
	onAllPaths(t, func(t *testing.T, newModulus func(m []byte, width int) (*Modulus, error)) {
		r := rand.New(rand.NewPCG(11, 12))
		for _, m := range moduli(r) {
			f, err := newModulus(m.Bytes(), 0)
			if err != nil {
				t.Fatal(err)
			}
			const entries = 16
			table := make([]uint64, entries*2*f.Limbs())
			for i := range table {
				table[i] = r.Uint64()
			}
			for i := range uint64(entries) {
				var x, y Element
				f.Lookup(&x, &y, table, i)
				entry := table[i*2*uint64(f.Limbs()):]
				for j := range f.Limbs() {
					if x[j] != entry[j] || y[j] != entry[f.Limbs()+j] {
						t.Fatalf("%d limbs, entry %d: %x, %x", f.Limbs(), i, x, y)
					}
				}
			}
		}
	})
}
