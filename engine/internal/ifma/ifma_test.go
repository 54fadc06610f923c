package ifma

import (
	crand "crypto/rand"
	"crypto/rsa"
	"fmt"
	"math/big"
	"math/rand/v2"
	"testing"
)

func toBig(d []uint64) *big.Int {
	x := new(big.Int)
	for i := len(d) - 1; i >= 0; i-- {
		x.Lsh(x, digitBits).Add(x, new(big.Int).SetUint64(d[i]))
	}
	return x
}

func k0Of(m uint64) uint64 {
	x := m
	for range 5 {
		x *= 2 - m*x
	}
	return -x & digitMask
}

func fromBig(x *big.Int, n int) []uint64 {
	d := make([]uint64, n)
	split(d, x.Bytes())
	return d
}

func randBig(r *rand.Rand, max *big.Int) *big.Int {
	b := make([]byte, len(max.Bytes())+8)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return new(big.Int).Mod(new(big.Int).SetBytes(b), max)
}

func TestLanes(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, tiles := range []int{1, 2, 3, 4, 6, 8} {
		g := newGroup(tiles)
		d := 10 * tiles
		bits := uint(52*d - 10)
		R := new(big.Int).Lsh(big.NewInt(1), uint(52*d))
		var ms, xs, ys [8]*big.Int
		x, y, z := vectors(d), vectors(d), vectors(d)
		for trial := range 50 {
			for l := range lanes {
				m := randBig(r, new(big.Int).Lsh(big.NewInt(1), bits))
				if trial%3 == 0 {
					m.Sub(new(big.Int).Lsh(big.NewInt(1), bits), big.NewInt(int64(2*r.IntN(1000)+1)))
				}
				m.SetBit(m, 0, 1)
				m2 := new(big.Int).Lsh(m, 2)
				ms[l], xs[l], ys[l] = m, randBig(r, m2), randBig(r, m2)
				if trial%5 == 0 {
					xs[l] = new(big.Int).Sub(m2, big.NewInt(1+int64(r.IntN(3))))
				}
				if trial%7 == 0 {
					xs[l] = new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), bits), big.NewInt(1))
				}
				md, xd, yd := fromBig(m, d), fromBig(xs[l], d), fromBig(ys[l], d)
				for i := range d {
					g.m[8*i+l], x[8*i+l], y[8*i+l] = md[i], xd[i], yd[i]
				}
				g.k0[l] = k0Of(md[0])
			}
			check := func(what string, ys [8]*big.Int) {
				for l := range lanes {
					zd := make([]uint64, d)
					for i := range d {
						if zd[i] = z[8*i+l]; zd[i] > digitMask {
							t.Fatal("digit")
						}
					}
					got := toBig(zd)
					lhs := new(big.Int).Mul(got, R)
					lhs.Sub(lhs, new(big.Int).Mul(xs[l], ys[l]))
					if lhs.Mod(lhs, ms[l]).Sign() != 0 || got.Cmp(new(big.Int).Lsh(ms[l], 1)) > 0 {
						t.Fatalf("%s: tiles %d lane %d", what, tiles, l)
					}
				}
			}
			g.mul(z, x, y)
			check("mul", ys)
			g.square(z, x)
			check("square", xs)
		}
	}
}

func TestPairs(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, s := range []int{5, 8, 10} {
		for groups := 1; groups <= 2; groups++ {
			n := lanes / groups
			d := n * s
			bits := uint(52*d - 10)
			R := new(big.Int).Lsh(big.NewInt(1), uint(52*d))
			m, x, y, z, k0 := vectors(s), vectors(s), vectors(s), vectors(s), vectors(1)
			for trial := range 300 {
				var ms, xs, ys [2]*big.Int
				for g := range groups {
					ms[g] = randBig(r, new(big.Int).Lsh(big.NewInt(1), bits))
					if trial%3 == 0 {
						ms[g].Sub(new(big.Int).Lsh(big.NewInt(1), bits), big.NewInt(int64(2*r.IntN(1000)+1)))
					}
					ms[g].SetBit(ms[g], 0, 1)
					m2 := new(big.Int).Lsh(ms[g], 2)
					xs[g], ys[g] = randBig(r, m2), randBig(r, m2)
					if trial%5 == 0 {
						xs[g] = new(big.Int).Sub(m2, big.NewInt(1+int64(r.IntN(3))))
					}
					if trial%7 == 0 {
						xs[g] = new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), bits), big.NewInt(1))
					}
					md, xd, yd := fromBig(ms[g], d), fromBig(xs[g], d), fromBig(ys[g], d)
					for i := range d {
						at := 8*(i%s) + i/s + g*n
						m[at], x[at], y[at] = md[i], xd[i], yd[i]
					}
					for l := range n {
						k0[g*n+l] = k0Of(md[0])
					}
				}
				f := map[int]func(z, a, b, m, k0 *uint64, s *uint64, n int){5: pair5, 8: pair8, 10: pair10}[s]
				f(&z[0], &x[0], &y[0], &m[0], &k0[0], &shapes[groups].first[0], 1)
				for g := range groups {
					zd := make([]uint64, d)
					for i := range d {
						if zd[i] = z[8*(i%s)+i/s+g*n]; zd[i] > digitMask {
							t.Fatal("digit")
						}
					}
					got := toBig(zd)
					lhs := new(big.Int).Mul(got, R)
					lhs.Sub(lhs, new(big.Int).Mul(xs[g], ys[g]))
					if lhs.Mod(lhs, ms[g]).Sign() != 0 || got.Cmp(new(big.Int).Lsh(ms[g], 1)) > 0 {
						t.Fatalf("s %d groups %d group %d trial %d", s, groups, g, trial)
					}
				}
			}
		}
	}
}

func BenchmarkLanesSquare(b *testing.B) {
	g := newGroup(2)
	x := vectors(20)
	for b.Loop() {
		g.square(x, x)
	}
}

func BenchmarkLanesMul(b *testing.B) {
	g := newGroup(2)
	x := vectors(20)
	for b.Loop() {
		g.mul(x, x, x)
	}
}

func BenchmarkPair5(b *testing.B) {
	x := vectors(5)
	m := vectors(5)
	k0 := vectors(1)
	for b.Loop() {
		pair5(&x[0], &x[0], &x[0], &m[0], &k0[0], &shapes[2].first[0], 5)
	}
}
func BenchmarkPair8(b *testing.B) {
	x := vectors(8)
	m := vectors(8)
	k0 := vectors(1)
	for b.Loop() {
		pair8(&x[0], &x[0], &x[0], &m[0], &k0[0], &shapes[2].first[0], 5)
	}
}
func BenchmarkPair10(b *testing.B) {
	x := vectors(10)
	m := vectors(10)
	k0 := vectors(1)
	for b.Loop() {
		pair10(&x[0], &x[0], &x[0], &m[0], &k0[0], &shapes[2].first[0], 5)
	}
}

func testKey(t testing.TB, bits int) (*Key, *rsa.PrivateKey) {
	std, err := rsa.GenerateKey(crand.Reader, bits)
	if err != nil {
		t.Fatal(err)
	}
	k, err := NewKey(&Numbers{N: std.N.Bytes(), P: std.Primes[0].Bytes(), Q: std.Primes[1].Bytes(),
		DP: std.Precomputed.Dp.Bytes(), DQ: std.Precomputed.Dq.Bytes(), QInv: std.Precomputed.Qinv.Bytes(), E: uint(std.E)})
	if err != nil {
		t.Fatal(err)
	}
	return k, std
}

func TestPrivate(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, bits := range []int{2048, 3072, 4096, 1536, 2560} {
		k, std := testKey(t, bits)
		for i := range 20 {
			x := randBig(r, std.N)
			switch i {
			case 0, 1:
				x.SetInt64(int64(i))
			case 2:
				x.Sub(std.N, big.NewInt(1))
			case 3:
				x = std.Primes[0]
			case 4:
				x = std.Primes[1]
			}
			src, dst := x.FillBytes(make([]byte, len(std.N.Bytes()))), make([]byte, len(std.N.Bytes()))
			want := new(big.Int).Exp(x, std.D, std.N)
			if k.single(dst, src) != nil || new(big.Int).SetBytes(dst).Cmp(want) != 0 {
				t.Fatal(bits, i)
			}
			clear(dst)
			var jobs []*Job
			for range i%4 + 1 {
				jobs = append(jobs, &Job{Key: k, Dst: make([]byte, len(dst)), Src: src})
			}
			privates(jobs)
			for _, j := range jobs {
				if j.Err != nil || new(big.Int).SetBytes(j.Dst).Cmp(want) != 0 {
					t.Fatal("batch", bits, i, j.Err)
				}
			}
		}
	}
}

func BenchmarkPrivate(b *testing.B) {
	for _, bits := range []int{2048, 3072, 4096} {
		k, std := testKey(b, bits)
		src := make([]byte, len(std.N.Bytes()))
		src[5] = 1
		b.Run(fmt.Sprint(bits), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				k.Private(src, src)
			}
		})
		jobs := []*Job{}
		for range 4 {
			jobs = append(jobs, &Job{Key: k, Dst: make([]byte, len(src)), Src: src})
		}
		b.Run(fmt.Sprint(bits, "x4"), func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; i < b.N; i += 4 {
				privates(jobs)
			}
		})
	}
}

func BenchmarkParts(b *testing.B) {
	g := newGroup(2)
	x := vectors(20)
	b.Run("row1", func(b *testing.B) {
		for b.Loop() {
			row(&g.t[80], &x[0], &x[80], 1, 1)
		}
	})
	b.Run("row2", func(b *testing.B) {
		for b.Loop() {
			row(&g.t[0], &x[0], &x[0], 2, 1)
		}
	})
	b.Run("squares", func(b *testing.B) {
		for b.Loop() {
			squares(&g.t[0], &x[0], 2)
		}
	})
	b.Run("reduce", func(b *testing.B) {
		for b.Loop() {
			reduce(&x[0], &g.t[0], &g.m[0], &g.k0[0], 2)
		}
	})
	b.Run("clear", func(b *testing.B) {
		for b.Loop() {
			clear(g.t[:tileWords])
			clear(g.t[len(g.t)-tileWords:])
		}
	})
}

func TestPrimes(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for _, bits := range []int{1024, 1023, 777, 1536, 2048} {
		for range 4 {
			var c [Candidates][]byte
			var known [Candidates]bool
			for l := range c {
				p := randBig(r, new(big.Int).Lsh(big.NewInt(1), uint(bits)))
				p.SetBit(p, bits-1, 1).SetBit(p, 0, 1)
				if l%3 == 0 {
					for !p.ProbablyPrime(0) {
						p.Add(p, big.NewInt(2))
					}
				}
				known[l] = p.ProbablyPrime(0)
				c[l] = p.FillBytes(make([]byte, (bits+7)/8))
			}
			for l, composite := range Fermat(&c, bits) {
				if composite == known[l] {
					t.Fatal("fermat", bits, l, composite)
				}
				prime, err := MillerRabin(c[l], bits, 5, crand.Reader)
				if err != nil || prime != known[l] {
					t.Fatal("miller-rabin", bits, l, prime, err)
				}
			}
		}
	}
}

func BenchmarkFermat(b *testing.B) {
	var c [Candidates][]byte
	for l := range c {
		c[l] = make([]byte, 128)
		crand.Read(c[l])
		c[l][0] |= 0x80
		c[l][127] |= 1
	}
	for b.Loop() {
		Fermat(&c, 1024)
	}
}
