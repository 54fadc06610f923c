package adx

import (
	"math/big"
	"math/rand/v2"
	"testing"
)

var one = big.NewInt(1)

func toBig(x []uint64) *big.Int {
	b := make([]byte, 8*len(x))
	join(b, x)
	return new(big.Int).SetBytes(b)
}

func fromBig(x *big.Int, n int) []uint64 {
	z := make([]uint64, n)
	split(z, x.Bytes())
	return z
}

func randBig(r *rand.Rand, below *big.Int) *big.Int {
	b := make([]byte, len(below.Bytes())+8)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return new(big.Int).Mod(new(big.Int).SetBytes(b), below)
}

func power2(n int) *big.Int { return new(big.Int).Lsh(one, uint(n)) }

// ripple is a number of long runs of ones and zeros, through which carries go far.
func ripple(r *rand.Rand, bits int) *big.Int {
	x := new(big.Int)
	for x.BitLen() < bits {
		n := 1 + r.IntN(200)
		x.Lsh(x, uint(n))
		if r.IntN(2) == 0 {
			x.Add(x, power2(n)).Sub(x, one)
		}
		if x.Sign() == 0 {
			x.SetInt64(1)
		}
	}
	return x.Rsh(x, uint(x.BitLen()-bits))
}

// moduli are odd numbers of up to so many bits: random ones, 2^k - c, 2^k + 1, short
// ones and ones with long runs of ones and zeros.
func moduli(r *rand.Rand, bits int) (list []*big.Int) {
	add := func(x *big.Int) { list = append(list, new(big.Int).SetBit(x, 0, 1)) }
	for range 3 {
		add(randBig(r, power2(bits)))
		add(ripple(r, bits))
	}
	for _, c := range []int64{1, 3, 189, 1 << 40} {
		add(new(big.Int).Sub(power2(bits), big.NewInt(c)))
	}
	add(new(big.Int).Add(power2(bits-1), one))
	add(randBig(r, power2(bits-3)))
	add(randBig(r, power2(bits/3)))
	add(new(big.Int).Sub(power2(bits), power2(bits-64)))
	add(new(big.Int).Sub(power2(bits), power2(bits/2)))
	return list
}

// operands are numbers below R: random ones and edges.
func operands(r *rand.Rand, m *big.Int, bits int) (list []*big.Int) {
	limit := power2(bits)
	for _, x := range []*big.Int{
		new(big.Int), one, new(big.Int).Sub(m, one), m, new(big.Int).Add(m, one),
		new(big.Int).Sub(new(big.Int).Lsh(m, 1), one), new(big.Int).Lsh(m, 1),
		new(big.Int).Sub(limit, one), new(big.Int).Sub(limit, power2(64)), power2(bits - 1), power2(64),
		randBig(r, m), randBig(r, limit), randBig(r, limit), ripple(r, bits), ripple(r, bits),
	} {
		list = append(list, new(big.Int).Mod(x, limit))
	}
	return list
}

// forModuli runs f for numbers of different lengths.
func forModuli(t *testing.T, f func(r *rand.Rand, m *modulus, value *big.Int, bits int)) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, blocks := range []int{1, 2, 3, 4, 5, 6, 8} {
		for _, value := range moduli(r, blockBits*blocks) {
			m, err := newModulus(value.Bytes(), blocks)
			if err != nil {
				t.Fatal(err)
			}
			f(r, m, value, blockBits*blocks)
		}
	}
}

// product checks that z is x*y/R, and no more than it may be.
func product(t *testing.T, what string, z []uint64, x, y, m *big.Int) {
	t.Helper()
	bits := 64 * len(z)
	got := toBig(z)
	d := new(big.Int).Lsh(got, uint(bits))
	d.Sub(d, new(big.Int).Mul(x, y))
	if d.Mod(d, m).Sign() != 0 {
		t.Fatalf("%s of %x and %x modulo %x: %x", what, x, y, m, got)
	}
	// x*y/R + m, unless that is R or more.
	most := new(big.Int).Mul(x, y)
	most.Rsh(most, uint(bits)).Add(most, m)
	if got.Cmp(most) > 0 {
		t.Fatalf("%s of %x and %x modulo %x: %x is too large", what, x, y, m, got)
	}
}

func TestMultiply(t *testing.T) {
	forModuli(t, func(r *rand.Rand, m *modulus, value *big.Int, bits int) {
		z, scratch := m.number(1), m.number(2)
		for _, x := range operands(r, value, bits) {
			for _, y := range operands(r, value, bits) {
				a, b := fromBig(x, len(z)), fromBig(y, len(z))
				m.multiply(z, a, b, scratch)
				product(t, "product", z, x, y, value)
				m.multiply(a, a, b, scratch)
				if equal(a, z) != 1 {
					t.Fatal("in the place of a factor, the result is another")
				}
			}
			a := fromBig(x, len(z))
			m.square(z, a, scratch, 1)
			product(t, "square", z, x, x, value)
			m.multiply(z, a, a, scratch)
			m.square(a, a, scratch, 1)
			if equal(a, z) != 1 {
				t.Fatalf("the square of %x modulo %x is another than its product with itself", x, value)
			}
		}
	})
}

// TestSquares has many squares in one call.
func TestSquares(t *testing.T) {
	forModuli(t, func(r *rand.Rand, m *modulus, value *big.Int, bits int) {
		a, b, scratch := fromBig(randBig(r, power2(bits)), len(m.m)), m.number(1), m.number(2)
		m.square(b, a, scratch, 7)
		for range 7 {
			m.square(a, a, scratch, 1)
		}
		if equal(a, b) != 1 {
			t.Fatalf("modulo %x", value)
		}
	})
}

func TestReduce(t *testing.T) {
	forModuli(t, func(r *rand.Rand, m *modulus, value *big.Int, bits int) {
		z := m.number(1)
		for _, high := range operands(r, value, bits) {
			for _, low := range operands(r, value, bits)[7:] {
				x := new(big.Int).Add(new(big.Int).Lsh(high, uint(bits)), low)
				m.reduce(z, fromBig(x, 2*len(z)))
				product(t, "reduction", z, x, one, value)
			}
		}
		for _, x := range operands(r, value, bits) {
			a, scratch := fromBig(x, len(z)), m.number(2)
			m.plain(a, scratch)
			want := new(big.Int).ModInverse(power2(bits), value)
			if want.Mul(want, x).Mod(want, value); toBig(a).Cmp(want) != 0 {
				t.Fatalf("%x, out of Montgomery's form modulo %x: %x", x, value, a)
			}
		}
	})
}

// TestShift is of all shifts.
func TestShift(t *testing.T) {
	forModuli(t, func(r *rand.Rand, m *modulus, value *big.Int, bits int) {
		for i, x := range operands(r, value, bits) {
			for by := i % 3; by < 64; by += 3 {
				z := fromBig(x, len(m.m))
				m.shift(z, uint64(by))
				want := new(big.Int).Lsh(x, uint(by))
				got := new(big.Int).Lsh(toBig(z), 64)
				if want.Sub(want, got).Mod(want, value).Sign() != 0 {
					t.Fatalf("%x * 2^(%d-64) modulo %x: %x", x, by, value, z)
				}
			}
		}
	})
}

// TestConstants are what is known of a modulus.
func TestConstants(t *testing.T) {
	forModuli(t, func(r *rand.Rand, m *modulus, value *big.Int, bits int) {
		for i, got := range [][]uint64{m.m, m.r, m.rr} {
			want := new(big.Int).Mod(power2(i*bits), value)
			if i == 0 {
				want = value
			}
			if toBig(got).Cmp(want) != 0 {
				t.Errorf("R^%d modulo %x: %x", i, value, got)
			}
		}
		if m.k0*m.m[0] != ^uint64(0) {
			t.Errorf("-1/%x modulo 2^64: %x", m.m[0], m.k0)
		}
	})
}

func TestPick(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for blocks := 1; blocks <= maxBlocks; blocks++ {
		n := limbs * blocks
		table, z := make([]uint64, n<<window), make([]uint64, n+1)
		for i := range table {
			table[i] = r.Uint64()
		}
		for i := range 1 << window {
			z[n] = 17
			pick(z[:n], table, uint64(i))
			if equal(z[:n], table[i*n:][:n]) != 1 || z[n] != 17 {
				t.Errorf("entry %d of %d blocks", i, blocks)
			}
		}
	}
}

// TestRaise compares with math/big, for exponents of all lengths.
func TestRaise(t *testing.T) {
	forModuli(t, func(r *rand.Rand, m *modulus, value *big.Int, bits int) {
		if r.IntN(3) > 0 && bits > 1024 {
			return // math/big takes long
		}
		w := newPowers(m.blocks)
		x, e := randBig(r, value), randBig(r, power2(bits))
		for _, e := range []*big.Int{new(big.Int), one, new(big.Int).Sub(power2(bits), one), e} {
			copy(w.x, fromBig(x, len(w.x)))
			m.multiply(w.x, w.x, m.rr, w.t)
			m.raise(w, windows(e.Bytes(), bits))
			m.plain(w.x, w.t)
			if want := new(big.Int).Exp(x, e, value); toBig(w.x).Cmp(want) != 0 {
				t.Errorf("%x^%x modulo %x: %x", x, e, value, w.x)
			}
		}
	})
}

func TestNewModulusRefuses(t *testing.T) {
	for _, b := range [][]byte{nil, {0, 5}, {4}, make([]byte, 65)} {
		if _, err := newModulus(b, 1); err == nil {
			t.Errorf("%x: accepted", b)
		}
	}
}

func BenchmarkKernels(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, x := range []struct {
		name   string
		blocks int
	}{{"1024", 2}, {"1536", 3}, {"2048", 4}, {"4096", 8}} {
		m, err := newModulus(new(big.Int).SetBit(randBig(r, power2(blockBits*x.blocks)), 0, 1).Bytes(), x.blocks)
		if err != nil {
			b.Fatal(err)
		}
		z, a, t := m.number(1), fromBig(randBig(r, power2(blockBits*x.blocks)), limbs*x.blocks), m.number(2)
		table := make([]uint64, len(z)<<window)
		b.Run(x.name+"/multiply", func(b *testing.B) {
			for b.Loop() {
				m.multiply(z, a, a, t)
			}
		})
		b.Run(x.name+"/square", func(b *testing.B) {
			for b.Loop() {
				m.square(z, a, t, 1)
			}
		})
		b.Run(x.name+"/reduce", func(b *testing.B) {
			for b.Loop() {
				m.reduce(z, t)
			}
		})
		b.Run(x.name+"/pick", func(b *testing.B) {
			for b.Loop() {
				pick(z, table, 5)
			}
		})
	}
}
