package mont

import (
	"bytes"
	"fmt"
	"math/big"
	"math/rand/v2"
	"testing"
)

// moduli has numbers of every count of limbs, with their top bit set and
// without, with all bits set but few, and odd ones at random.
func moduli(r *rand.Rand) (list []*big.Int) {
	for _, bits := range []int{112, 160, 161, 192, 224, 239, 255, 256, 319, 320, 384, 448, 512, 521, 570, 576} {
		full := new(big.Int).Lsh(big.NewInt(1), uint(bits))
		list = append(list, new(big.Int).Sub(full, big.NewInt(1)))
		list = append(list, new(big.Int).Add(new(big.Int).Rsh(full, 1), big.NewInt(1)))
		m := random(r, full)
		m.SetBit(m, bits-1, 1).SetBit(m, 0, 1)
		list = append(list, m)
	}
	return list
}

func random(r *rand.Rand, below *big.Int) *big.Int {
	x := new(big.Int)
	for range 10 {
		x.Lsh(x, 64).Or(x, new(big.Int).SetUint64(r.Uint64()))
	}
	return x.Mod(x, below)
}

// TestAgainstBig compares with math/big, at random and at the edges.
func TestAgainstBig(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, m := range moduli(r) {
		f, err := New(m.Bytes(), 0)
		if err != nil {
			t.Fatal(err)
		}
		one := big.NewInt(1)
		values := []*big.Int{new(big.Int), one, new(big.Int).Sub(m, one), new(big.Int).Rsh(m, 1)}
		for range 6 {
			values = append(values, random(r, m))
		}
		for _, a := range values {
			for _, b := range values {
				checkPair(t, f, m, a, b)
			}
		}
	}
}

func checkPair(t *testing.T, f *Modulus, m, a, b *big.Int) {
	t.Helper()
	var x, y, z Element
	f.Set(&x, a.Bytes())
	f.Set(&y, b.Bytes())
	for _, op := range []struct {
		name string
		ours func(z, x, y *Element)
		big  *big.Int
	}{
		{"+", f.Add, new(big.Int).Add(a, b)},
		{"-", f.Sub, new(big.Int).Sub(a, b)},
		{"*", f.Mul, new(big.Int).Mul(a, b)},
	} {
		op.ours(&z, &x, &y)
		got := make([]byte, f.Size())
		f.Bytes(got, &z)
		if want := op.big.Mod(op.big, m).FillBytes(make([]byte, f.Size())); !bytes.Equal(got, want) {
			t.Fatalf("%x %s %x mod %x: %x, not %x", a, op.name, b, m, got, want)
		}
		alias := x
		op.ours(&alias, &alias, &y)
		if alias != z {
			t.Fatalf("%s in place differs", op.name)
		}
	}
	if (f.Equal(&x, &y) == 1) != (a.Cmp(b) == 0) || (f.IsZero(&x) == 1) != (a.Sign() == 0) {
		t.Fatal("Equal or IsZero")
	}
}

// TestSet reads numbers that are longer than the modulus.
func TestSet(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for _, m := range moduli(r) {
		f, err := New(m.Bytes(), 0)
		if err != nil {
			t.Fatal(err)
		}
		full := new(big.Int).Lsh(big.NewInt(1), uint(64*f.Limbs()))
		for _, a := range []*big.Int{new(big.Int).Sub(full, big.NewInt(1)), m, random(r, full)} {
			var x Element
			got := make([]byte, f.Size())
			f.Set(&x, a.Bytes())
			f.Bytes(got, &x)
			if new(big.Int).SetBytes(got).Cmp(new(big.Int).Mod(a, m)) != 0 {
				t.Fatalf("%x mod %x: %x", a, m, got)
			}
		}
		var x Element
		for a, want := range map[*big.Int]bool{m: false, new(big.Int).Sub(m, big.NewInt(1)): true, new(big.Int): true} {
			if f.SetReduced(&x, a.FillBytes(make([]byte, f.Size()))) != want {
				t.Errorf("%x below %x: not %v", a, m, want)
			}
		}
		if f.SetReduced(&x, make([]byte, f.Size()+1)) {
			t.Error("takes a number of another length")
		}
	}
}

func TestInvert(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	for _, bits := range []uint{127, 521} { // Mersenne primes
		p := new(big.Int).Lsh(big.NewInt(1), bits)
		p.Sub(p, big.NewInt(1))
		f, err := New(p.Bytes(), 0)
		if err != nil {
			t.Fatal(err)
		}
		var x, z Element
		f.Invert(&z, &x)
		if f.IsZero(&z) != 1 {
			t.Error("1/0 is not 0")
		}
		for range 5 {
			f.Set(&x, random(r, p).Bytes())
			f.Invert(&z, &x)
			f.Mul(&z, &z, &x)
			if f.Equal(&z, f.One()) != 1 {
				t.Error("x/x is not 1")
			}
		}
	}
}

func TestSelect(t *testing.T) {
	f, err := New([]byte{0xff, 0xff}, 0)
	if err != nil {
		t.Fatal(err)
	}
	z, x := Element{1}, Element{2}
	if f.Select(&z, &x, 0); z != (Element{1}) {
		t.Error(z)
	}
	if f.Select(&z, &x, 1); z != x {
		t.Error(z)
	}
}

func TestNewRefuses(t *testing.T) {
	for _, m := range [][]byte{nil, {0}, {1}, {4}, bytes.Repeat([]byte{0xff}, 73)} {
		if _, err := New(m, 0); err == nil {
			t.Errorf("%x: accepted", m)
		}
	}
	if _, err := New([]byte{7}, 577); err == nil {
		t.Error("width 577: accepted")
	}
}

func BenchmarkMul(b *testing.B) {
	for limbs := 3; limbs <= 9; limbs++ {
		f, err := New(bytes.Repeat([]byte{0xfb}, 8*limbs), 0)
		if err != nil {
			b.Fatal(err)
		}
		x := *f.One()
		b.Run(fmt.Sprint(limbs), func(b *testing.B) {
			for b.Loop() {
				f.Mul(&x, &x, &x)
			}
		})
		b.Run(fmt.Sprint(limbs, " add"), func(b *testing.B) {
			for b.Loop() {
				f.Add(&x, &x, &x)
			}
		})
	}
}
