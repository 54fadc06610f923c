package ifma

import (
	"bytes"
	crand "crypto/rand"
	"crypto/rsa"
	"fmt"
	"math/big"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

func toBig(d []uint64) *big.Int {
	x := new(big.Int)
	for i := len(d) - 1; i >= 0; i-- {
		x.Lsh(x, digitBits).Add(x, new(big.Int).SetUint64(d[i]))
	}
	return x
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
				g.k0[l] = negativeInverse(md[0])
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
						k0[g*n+l] = negativeInverse(md[0])
					}
				}
				f := map[int]func(z, a, b, m, k0, s *uint64, lanes, n int){5: pair5, 8: pair8, 10: pair10}[s]
				f(&z[0], &x[0], &y[0], &m[0], &k0[0], &shapes[groups].first[0], n, 1)
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

var keys sync.Map

// testKey is a key of so many bits, the same one in all tests.
func testKey(t testing.TB, bits int) (*Key, *rsa.PrivateKey) {
	made, ok := keys.Load(bits)
	if !ok {
		std, err := rsa.GenerateKey(crand.Reader, bits)
		if err != nil {
			t.Fatal(err)
		}
		made, _ = keys.LoadOrStore(bits, std)
	}
	std := made.(*rsa.PrivateKey)
	k, err := NewKey(numbersOf(std))
	if err != nil {
		t.Fatal(err)
	}
	return k, std
}

func numbersOf(std *rsa.PrivateKey) *Numbers {
	return &Numbers{N: std.N.Bytes(), P: std.Primes[0].Bytes(), Q: std.Primes[1].Bytes(),
		DP: std.Precomputed.Dp.Bytes(), DQ: std.Precomputed.Dq.Bytes(), QInv: std.Precomputed.Qinv.Bytes(), E: uint(std.E)}
}

// TestPrivate compares with math/big, alone and in passes of one to four.
func TestPrivate(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, bits := range []int{1536, 2048, 2560, 3072, 4096} {
		k, std := testKey(t, bits)
		n := std.N
		minus := new(big.Int).Sub(n, big.NewInt(1))
		for i, x := range []*big.Int{new(big.Int), big.NewInt(1), minus, std.Primes[0], std.Primes[1], randBig(r, n), randBig(r, n), randBig(r, n)} {
			src := x.FillBytes(make([]byte, len(n.Bytes())))
			want := new(big.Int).Exp(x, std.D, n).FillBytes(make([]byte, len(src)))
			dst := make([]byte, len(src))
			if err := k.single(dst, src); err != nil || !bytes.Equal(dst, want) {
				t.Errorf("%d bits, value %d alone: %v", bits, i, err)
			}
			var jobs []*job
			for range i%batch + 1 {
				jobs = append(jobs, &job{Key: k, Dst: make([]byte, len(src)), Src: src})
			}
			privates(jobs)
			for _, j := range jobs {
				if j.Err != nil || !bytes.Equal(j.Dst, want) {
					t.Errorf("%d bits, value %d in a pass of %d: %v", bits, i, len(jobs), j.Err)
				}
			}
			if err := k.check.Power(dst, dst); err != nil || !bytes.Equal(dst, src) {
				t.Errorf("%d bits, value %d and back: %v", bits, i, err)
			}
		}
	}
}

// TestUnevenPrimes has primes of different lengths, for which the modulus alone would
// be of a smaller class.
func TestUnevenPrimes(t *testing.T) {
	for _, bits := range [][2]int{{1536, 512}, {1040, 1000}, {512, 1536}, {2048, 900}} {
		var primes [2]*big.Int
		e := big.NewInt(65537)
		for i := range primes {
			for one := big.NewInt(1); ; {
				p, err := crand.Prime(crand.Reader, bits[i])
				if err != nil {
					t.Fatal(err)
				}
				if primes[i] = p; new(big.Int).GCD(nil, nil, e, new(big.Int).Sub(p, one)).Cmp(one) == 0 {
					break
				}
			}
		}
		one, p, q := big.NewInt(1), primes[0], primes[1]
		p1, q1, n := new(big.Int).Sub(p, one), new(big.Int).Sub(q, one), new(big.Int).Mul(p, q)
		d := new(big.Int).ModInverse(e, new(big.Int).Mul(p1, q1))
		k, err := NewKey(&Numbers{N: n.Bytes(), P: p.Bytes(), Q: q.Bytes(), DP: new(big.Int).Mod(d, p1).Bytes(),
			DQ: new(big.Int).Mod(d, q1).Bytes(), QInv: new(big.Int).ModInverse(q, p).Bytes(), E: 65537})
		if err != nil {
			t.Fatal(bits, err)
		}
		src, dst := bytes.Repeat([]byte{0x5a}, len(n.Bytes())), make([]byte, len(n.Bytes()))
		src[0] = 0
		want := new(big.Int).Exp(new(big.Int).SetBytes(src), d, n).FillBytes(make([]byte, len(src)))
		if err := k.single(dst, src); err != nil || !bytes.Equal(dst, want) {
			t.Errorf("%v alone: %v", bits, err)
		}
		jobs := []*job{{Key: k, Dst: make([]byte, len(src)), Src: src}}
		privates(jobs)
		if jobs[0].Err != nil || !bytes.Equal(jobs[0].Dst, want) {
			t.Errorf("%v in a pass: %v", bits, jobs[0].Err)
		}
	}
}

// TestDifferentKeys has four keys share a pass, one of which cannot do its part.
func TestDifferentKeys(t *testing.T) {
	var jobs []*job
	var want [][]byte
	for i := range batch {
		std, err := rsa.GenerateKey(crand.Reader, 2048)
		if err != nil {
			t.Fatal(err)
		}
		k, err := NewKey(numbersOf(std))
		if err != nil {
			t.Fatal(err)
		}
		src := bytes.Repeat([]byte{byte(i + 1)}, 256)
		if i == 2 {
			src = std.N.Bytes()
		}
		jobs = append(jobs, &job{Key: k, Dst: make([]byte, 256), Src: src})
		want = append(want, new(big.Int).Exp(new(big.Int).SetBytes(src), std.D, std.N).FillBytes(make([]byte, 256)))
	}
	privates(jobs)
	for i, j := range jobs {
		if i == 2 {
			if j.Err != ErrRange || !bytes.Equal(j.Dst, make([]byte, 256)) {
				t.Errorf("job %d: %v", i, j.Err)
			}
		} else if j.Err != nil || !bytes.Equal(j.Dst, want[i]) {
			t.Errorf("job %d: %v", i, j.Err)
		}
	}
}

// TestFaults: a single window of an exponent that is read wrong, or a wrong inverse,
// and nothing comes out.
func TestFaults(t *testing.T) {
	_, std := testKey(t, 2048)
	for name, damage := range map[string]func(*Key){
		"dp":   func(k *Key) { k.alone.dp[100] ^= 1; k.batched.dp[100] ^= 1 },
		"dq":   func(k *Key) { k.alone.dq[0] ^= 16; k.batched.dq[0] ^= 8 },
		"qInv": func(k *Key) { k.alone.qInv[3] ^= 1; k.batched.qInv[3] ^= 1 },
		"p":    func(k *Key) { k.p[7] ^= 1; k.batched.p.m[7] ^= 1 },
	} {
		k, err := NewKey(numbersOf(std))
		if err != nil {
			t.Fatal(err)
		}
		damage(k)
		src, dst := make([]byte, 256), make([]byte, 256)
		src[255] = 2
		if err := k.single(dst, src); err != ErrFault {
			t.Errorf("%s alone: %v", name, err)
		}
		good, _ := testKey(t, 2048)
		jobs := []*job{{Key: good, Dst: make([]byte, 256), Src: src}, {Key: k, Dst: dst, Src: src}, {Key: good, Dst: make([]byte, 256), Src: src}}
		privates(jobs)
		if jobs[0].Err != nil || jobs[1].Err != ErrFault || jobs[2].Err != nil {
			t.Errorf("%s in a pass: %v, %v, %v", name, jobs[0].Err, jobs[1].Err, jobs[2].Err)
		}
		if !bytes.Equal(dst, make([]byte, 256)) {
			t.Errorf("%s: a faulty result came out", name)
		}
	}
}

// TestNothingStays looks for secrets in what the next operation finds.
func TestNothingStays(t *testing.T) {
	k, _ := testKey(t, 2048)
	w := k.newLone()
	split(w.c, bytes.Repeat([]byte{7}, 256))
	k.power(w)
	k.combine(w)
	w.clear()
	m := k.newMany()
	m.bases([]*job{{Key: k}})
	m.combine([]*job{{Key: k}})
	m.check([]*job{{Key: k}})
	m.clear()
	p := &tester{powers: newPowers(k.tiles)}
	for l := range lanes {
		p.m[l], p.r[l], p.u[l] = make([]uint64, 20), make([]uint64, 20), make([]uint64, 20)
		p.setCandidate(l, bytes.Repeat([]byte{0xff}, 128), 1024)
	}
	p.clear()
	public := &spare{}
	for _, b := range []*[]uint64{&public.x, &public.z, &public.a, &public.b} {
		*b = []uint64{1, 2, 3}
	}
	public.clear()
	for name, b := range map[string][]uint64{
		"public x": public.x, "public z": public.z, "public a": public.a, "public b": public.b, "lo": w.lo, "hi": w.hi, "x": w.x, "table": w.table, "index": w.index, "c": w.c, "m": w.m, "back": w.back, "u": w.u, "v": w.v, "w": w.w,
		"pass x": m.x, "pass y": m.y, "pass table": m.table, "pass index": m.index, "pass t": m.t, "pass primes": m.group.m, "pass k0": m.group.k0,
		"candidates": p.group.m, "candidates' k0": p.group.k0, "a candidate": p.m[7], "its R": p.r[7],
		"pass base": m.base, "pass back": m.back, "pass n t": m.n.t, "pass u": m.u, "pass v": m.v, "pass w": m.w, "pass c": m.c[0], "pass m": m.m[0],
	} {
		for _, v := range b {
			if v != 0 {
				t.Errorf("%s was not wiped", name)
				break
			}
		}
	}
}

func TestNoAllocations(t *testing.T) {
	k, _ := testKey(t, 2048)
	src, dst := make([]byte, 256), make([]byte, 256)
	for name, f := range map[string]func(){
		"private": func() { _ = k.Private(dst, src) },
		"public":  func() { _ = k.check.Power(dst, src) },
	} {
		if n := testing.AllocsPerRun(50, f); n >= 1 && !racing {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

func TestSizes(t *testing.T) {
	for _, bits := range []int{1024, 8192} {
		n := bytes.Repeat([]byte{0xff}, bits/8)
		half := n[:bits/16]
		if _, err := NewKey(&Numbers{N: n, P: half, Q: half, DP: half, DQ: half, QInv: half, E: 3}); err != ErrSize {
			t.Errorf("%d bits: %v", bits, err)
		}
	}
	if _, err := NewPublic(make([]byte, 256), 3); err == nil {
		t.Error("0 is no modulus")
	}
}

// TestExponents are public exponents other than the usual one.
func TestExponents(t *testing.T) {
	_, std := testKey(t, 2048)
	for _, e := range []uint{3, 5, 17, 257, 65535, 65537, 1<<32 + 15, 1<<64 - 1} {
		k, err := NewPublic(std.N.Bytes(), e)
		if err != nil {
			t.Fatal(err)
		}
		x := big.NewInt(123456789)
		dst := make([]byte, 256)
		if err := k.Power(dst, x.FillBytes(make([]byte, 256))); err != nil {
			t.Fatal(err)
		}
		if want := x.Exp(x, new(big.Int).SetUint64(uint64(e)), std.N); want.Cmp(new(big.Int).SetBytes(dst)) != 0 {
			t.Errorf("exponent %d", e)
		}
	}
}

// TestPrimes compares with math/big.
func TestPrimes(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for _, bits := range []int{777, 1023, 1024, 1536, 2048} {
		var c [Candidates][]byte
		var known [Candidates]bool
		for l := range c {
			p := randBig(r, new(big.Int).Lsh(big.NewInt(1), uint(bits)))
			p.SetBit(p, bits-1, 1).SetBit(p, 0, 1)
			for l%4 == 3 && !p.ProbablyPrime(0) {
				p.Add(p, big.NewInt(2))
			}
			known[l] = p.ProbablyPrime(0)
			c[l] = p.FillBytes(make([]byte, (bits+7)/8))
		}
		for l, composite := range Fermat(&c, bits) {
			if composite == known[l] {
				t.Errorf("%d bits, number %d: composite is %v", bits, l, composite)
			}
			prime, err := MillerRabin(c[l], bits, 5, crand.Reader)
			if err != nil || prime != known[l] {
				t.Errorf("%d bits, number %d: prime is %v, %v", bits, l, prime, err)
			}
		}
	}
}

// TestPseudoprimes are composite numbers that other tests take for primes: a
// product of p and 2p-1, which is a strong pseudoprime to a quarter of all bases.
func TestPseudoprimes(t *testing.T) {
	p := new(big.Int).Lsh(big.NewInt(1), 511)
	for p.Add(p, big.NewInt(3)); ; p.Add(p, big.NewInt(4)) {
		q := new(big.Int).Add(p, p)
		if p.ProbablyPrime(0) && q.Sub(q, big.NewInt(1)).ProbablyPrime(0) {
			w := new(big.Int).Mul(p, q)
			prime, err := MillerRabin(w.FillBytes(make([]byte, (w.BitLen()+7)/8)), w.BitLen(), 64, crand.Reader)
			if err != nil || prime {
				t.Errorf("%v, %v", prime, err)
			}
			return
		}
	}
}

func TestNoRandom(t *testing.T) {
	w := bytes.Repeat([]byte{0xff}, 128)
	if prime, err := MillerRabin(w, 1024, 5, strings.NewReader("short")); prime || err == nil {
		t.Error(prime, err)
	}
}

func BenchmarkPrivate(b *testing.B) {
	for _, bits := range []int{2048, 3072, 4096} {
		k, std := testKey(b, bits)
		src := make([]byte, len(std.N.Bytes()))
		src[5] = 1
		b.Run(fmt.Sprint(bits, "/alone"), func(b *testing.B) {
			for b.Loop() {
				_ = k.single(src, src)
			}
		})
		var jobs []*job
		for range batch {
			jobs = append(jobs, &job{Key: k, Dst: make([]byte, len(src)), Src: src})
		}
		b.Run(fmt.Sprint(bits, "/four"), func(b *testing.B) {
			for b.Loop() {
				privates(jobs)
			}
		})
		b.Run(fmt.Sprint(bits, "/public"), func(b *testing.B) {
			for b.Loop() {
				_ = k.check.Power(src, src)
			}
		})
	}
}

func BenchmarkFermat(b *testing.B) {
	var c [Candidates][]byte
	for l := range c {
		c[l] = bytes.Repeat([]byte{0xff}, 128)
	}
	for b.Loop() {
		Fermat(&c, 1024)
	}
}

// BenchmarkShared is many callers at once; run it with GOMAXPROCS as in the library.
func BenchmarkShared(b *testing.B) {
	k, _ := testKey(b, 2048)
	for _, callers := range []int{1, 2, 4, 8, 16, 64} {
		b.Run(fmt.Sprint(callers), func(b *testing.B) {
			var left atomic.Int64
			left.Store(int64(b.N))
			var wg sync.WaitGroup
			for range callers {
				wg.Go(func() {
					src, dst := make([]byte, 256), make([]byte, 256)
					for left.Add(-1) >= 0 {
						if err := k.Private(dst, src); err != nil {
							b.Error(err)
						}
					}
				})
			}
			wg.Wait()
		})
	}
}
