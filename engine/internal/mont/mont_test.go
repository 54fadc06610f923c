package mont

import (
	"bytes"
	"fmt"
	"math/big"
	"math/rand/v2"
	"testing"

	"github.com/perilune/perilune/engine/internal/isa"
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
	// Those of P-256 and P-521, whose fields have code of their own.
	for _, hex := range []string{
		"ffffffff00000001000000000000000000000000ffffffffffffffffffffffff",
		"ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551",
	} {
		m, _ := new(big.Int).SetString(hex, 16)
		list = append(list, m)
	}
	one := big.NewInt(1)
	list = append(list, new(big.Int).Sub(new(big.Int).Lsh(one, 521), one))
	return list
}

// onAllPaths runs a test without the assembly and with it.
func onAllPaths(t *testing.T, test func(t *testing.T, newModulus func(m []byte, width int) (*Modulus, error))) {
	for name, adx := range map[string]bool{"portable": false, "ADX": true} {
		if adx && !isa.ADX() {
			continue
		}
		t.Run(name, func(t *testing.T) {
			test(t, func(m []byte, width int) (*Modulus, error) { return NewFor(m, width, adx) })
		})
	}
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
	onAllPaths(t, testAgainstBig)
}

func testAgainstBig(t *testing.T, newModulus func(m []byte, width int) (*Modulus, error)) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, m := range moduli(r) {
		f, err := newModulus(m.Bytes(), 0)
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
	onAllPaths(t, testSet)
}

func testSet(t *testing.T, newModulus func(m []byte, width int) (*Modulus, error)) {
	r := rand.New(rand.NewPCG(3, 4))
	for _, m := range moduli(r) {
		f, err := newModulus(m.Bytes(), 0)
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
	onAllPaths(t, testInvert)
}

func testInvert(t *testing.T, newModulus func(m []byte, width int) (*Modulus, error)) {
	r := rand.New(rand.NewPCG(5, 6))
	for _, p := range primes(r) {
		f, err := newModulus(p.Bytes(), 0)
		if err != nil {
			t.Fatal(err)
		}
		one := big.NewInt(1)
		values := []*big.Int{one, big.NewInt(2), new(big.Int).Sub(p, one), new(big.Int).Rsh(p, 1)}
		for i := range uint(p.BitLen()) { // powers of two and all ones take the longest ways
			values = append(values, new(big.Int).Mod(new(big.Int).Lsh(one, i), p))
			values = append(values, new(big.Int).Sub(new(big.Int).Lsh(one, i+1), one))
		}
		for range 200 {
			values = append(values, random(r, p))
		}
		for _, a := range values {
			if a.Mod(a, p).Sign() == 0 {
				continue
			}
			var x, z Element
			f.Set(&x, a.Bytes())
			f.Invert(&z, &x)
			got := make([]byte, f.Size())
			f.Bytes(got, &z)
			if want := new(big.Int).ModInverse(a, p); new(big.Int).SetBytes(got).Cmp(want) != 0 {
				t.Fatalf("1/%x mod %x: %x, not %x", a, p, got, want)
			}
			if f.Invert(&x, &x); x != z {
				t.Fatal("inversion in place differs")
			}
		}
		var x, z Element
		f.Invert(&z, &x)
		if f.IsZero(&z) != 1 {
			t.Error("1/0 is not 0")
		}
	}
}

// primes are the first and the last of some lengths, and those of P-256.
func primes(r *rand.Rand) (list []*big.Int) {
	all := moduli(r)
	list = append(list, all[len(all)-3:]...)
	for _, bits := range []uint{17, 61, 62, 63, 64, 112, 127, 128, 186, 192, 246, 248, 256, 320, 372, 384, 512, 521, 558, 576} {
		low := new(big.Int).Lsh(big.NewInt(1), bits-1)
		high := new(big.Int).Lsh(big.NewInt(1), bits)
		for low.Add(low, big.NewInt(1)); !low.ProbablyPrime(0); {
			low.Add(low, big.NewInt(1))
		}
		for high.Sub(high, big.NewInt(1)); !high.ProbablyPrime(0); {
			high.Sub(high, big.NewInt(1))
		}
		list = append(list, low, high)
	}
	return list
}

// TestSetWide reads numbers of twice the width.
func TestSetWide(t *testing.T) {
	onAllPaths(t, func(t *testing.T, newModulus func(m []byte, width int) (*Modulus, error)) {
		r := rand.New(rand.NewPCG(7, 8))
		for _, m := range moduli(r) {
			f, err := newModulus(m.Bytes(), 0)
			if err != nil {
				t.Fatal(err)
			}
			for _, n := range []int{0, 1, f.Size(), f.Size() + 8, 8*f.Limbs() + 1, 16 * f.Limbs()} {
				b := make([]byte, n)
				for i := range b {
					b[i] = byte(r.Uint32())
				}
				for range 2 {
					var x Element
					f.SetWide(&x, b)
					got := make([]byte, f.Size())
					f.Bytes(got, &x)
					want := new(big.Int).SetBytes(b)
					if new(big.Int).SetBytes(got).Cmp(want.Mod(want, m)) != 0 {
						t.Fatalf("%x mod %x: %x", b, m, got)
					}
					copy(b, bytes.Repeat([]byte{0xff}, n))
				}
			}
		}
	})
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
	for _, adx := range []bool{false, isa.ADX()} {
		for limbs := 3; limbs <= 9; limbs++ {
			m := bytes.Repeat([]byte{0xfb}, 8*limbs)
			if limbs == 9 {
				m = m[:66]
			}
			benchmarkModulus(b, fmt.Sprint(limbs, adx), m, adx)
		}
		benchmarkModulus(b, fmt.Sprint("P-256 ", adx), limbsBytes(p256), adx)
		benchmarkModulus(b, fmt.Sprint("P-521 ", adx), limbsBytes(p521), adx)
	}
}

func limbsBytes(x Element) []byte {
	n := new(big.Int)
	for i := range x {
		n.Lsh(n, 64).Or(n, new(big.Int).SetUint64(x[len(x)-1-i]))
	}
	return n.Bytes()
}

func benchmarkModulus(b *testing.B, name string, m []byte, adx bool) {
	f, err := NewFor(m, 0, adx)
	if err != nil {
		b.Fatal(err)
	}
	x := *f.One()
	for op, do := range map[string]func(){
		"mul": func() { f.Mul(&x, &x, &x) }, "add": func() { f.Add(&x, &x, &x) }, "invert": func() { f.Invert(&x, &x) },
	} {
		b.Run(name+" "+op, func(b *testing.B) {
			for b.Loop() {
				do()
			}
		})
	}
}
