package adx

import (
	"bytes"
	crand "crypto/rand"
	"crypto/rsa"
	"fmt"
	"math/big"
	"math/rand/v2"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/perilune/perilune/engine/internal/isa"
)

func TestMain(m *testing.M) {
	if runtime.GOARCH == "amd64" && !Supported() && os.Getenv(isa.Variable) == "" {
		fmt.Fprintln(os.Stderr, "PACKAGE ADX IS NOT TESTED: this processor lacks MULX, ADCX, ADOX or AVX2")
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// Primes 2^bits - c of all lengths, for p and q.
var primesBelow = map[int][2]int64{512: {569, 629}, 1024: {105, 179}, 1536: {3453, 4977}, 2048: {1557, 2543}}

func below(bits int, c int64) *big.Int { return new(big.Int).Sub(power2(bits), big.NewInt(c)) }

// private is a key and what the tests know of it.
type private struct {
	Numbers
	n, d, p, q *big.Int
}

func fromPrimes(p, q *big.Int, e uint) *private {
	p1, q1 := new(big.Int).Sub(p, one), new(big.Int).Sub(q, one)
	k := &private{n: new(big.Int).Mul(p, q), p: p, q: q}
	k.d = new(big.Int).ModInverse(new(big.Int).SetUint64(uint64(e)), new(big.Int).Mul(p1, q1))
	k.Numbers = Numbers{N: k.n.Bytes(), P: p.Bytes(), Q: q.Bytes(), DP: new(big.Int).Mod(k.d, p1).Bytes(),
		DQ: new(big.Int).Mod(k.d, q1).Bytes(), QInv: new(big.Int).ModInverse(q, p).Bytes(), E: e}
	return k
}

// power is c^d, by the primes one by one: math/big takes long otherwise.
func (k *private) power(c *big.Int) *big.Int {
	a := new(big.Int).Exp(c, new(big.Int).SetBytes(k.DP), k.p)
	b := new(big.Int).Exp(c, new(big.Int).SetBytes(k.DQ), k.q)
	a.Sub(a, b).Mul(a, new(big.Int).SetBytes(k.QInv)).Mod(a, k.p)
	return a.Mul(a, k.q).Add(a, b)
}

var standardKeys sync.Map

// standard is a key of the standard library, the same one in all tests.
func standard(t testing.TB, bits int) *private {
	made, ok := standardKeys.Load(bits)
	if !ok {
		std, err := rsa.GenerateKey(crand.Reader, bits)
		if err != nil {
			t.Fatal(err)
		}
		made, _ = standardKeys.LoadOrStore(bits, std)
	}
	std := made.(*rsa.PrivateKey)
	return fromPrimes(std.Primes[0], std.Primes[1], uint(std.E))
}

func ready(t testing.TB, numbers *Numbers) *Key {
	t.Helper()
	k, err := NewKey(numbers)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// check has a key decrypt what is at the edges, and some random numbers; the public
// operation undoes it.
func (k *private) check(t *testing.T, r *rand.Rand, name string) {
	t.Helper()
	key := ready(t, &k.Numbers)
	list := []*big.Int{new(big.Int), one, new(big.Int).Sub(k.n, one), k.p, k.q, new(big.Int).Sub(k.n, k.p)}
	for range 3 {
		list = append(list, randBig(r, k.n))
	}
	for i, x := range list {
		src := x.FillBytes(make([]byte, len(k.N)))
		want := k.power(x).FillBytes(make([]byte, len(k.N)))
		dst := bytes.Clone(src)
		if err := key.Private(dst, dst); err != nil || !bytes.Equal(dst, want) {
			t.Errorf("%s, value %d: %v", name, i, err)
		}
		if err := key.check.Power(dst, want); err != nil || !bytes.Equal(dst, src) {
			t.Errorf("%s, value %d and back: %v", name, i, err)
		}
	}
	for _, x := range [][]byte{k.N, bytes.Repeat([]byte{0xff}, len(k.N))} {
		dst := make([]byte, len(k.N))
		if err := key.Private(dst, x); err != ErrRange || !bytes.Equal(dst, make([]byte, len(dst))) {
			t.Errorf("%s, too large: %v", name, err)
		}
		if err := key.check.Power(dst, x); err != ErrRange {
			t.Errorf("%s, too large for the public operation: %v", name, err)
		}
	}
}

// TestPrivate is of keys with random primes and with primes just below a power of
// 2, in both orders.
func TestPrivate(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, bits := range []int{1024, 1030, 1536, 2048, 2560, 3072} {
		standard(t, bits).check(t, r, fmt.Sprint(bits))
	}
	for bits, c := range primesBelow {
		p, q := below(bits, c[0]), below(bits, c[1])
		fromPrimes(p, q, 65537).check(t, r, fmt.Sprintf("below 2^%d", bits))
		fromPrimes(q, p, 65537).check(t, r, fmt.Sprintf("below 2^%d, the other way round", bits))
	}
	fromPrimes(below(4096, 2549), below(3072, 47), 65537).check(t, r, "below 2^4096 and 2^3072")
}

// TestUnevenPrimes has primes of different lengths, for which the modulus alone would
// need fewer blocks. Those that are 2^k - 1 are prime.
func TestUnevenPrimes(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, bits := range [][2]int{{521, 127}, {127, 521}, {607, 521}, {1279, 89}, {1279, 607}, {521, 2203}, {2281, 2203}, {3217, 61}} {
		fromPrimes(below(bits[0], 1), below(bits[1], 1), 65537).check(t, r, fmt.Sprint(bits))
	}
}

// TestManyKeys has random keys sign and the standard library verify; with
// PERILUNE_SOAK thousands of them.
func TestManyKeys(t *testing.T) {
	t.Setenv("GODEBUG", "rsa1024min=0")
	n := 4
	if os.Getenv("PERILUNE_SOAK") != "" {
		n = 1000
	}
	r := rand.New(rand.NewPCG(1, 2))
	for _, bits := range []int{640, 768, 1024, 1100} {
		for range n {
			std, err := rsa.GenerateKey(crand.Reader, bits)
			if err != nil {
				t.Fatal(err)
			}
			k := fromPrimes(std.Primes[0], std.Primes[1], uint(std.E))
			key := ready(t, &k.Numbers)
			for range 5 {
				x := randBig(r, k.n)
				b := x.FillBytes(make([]byte, len(k.N)))
				if err := key.Private(b, b); err != nil {
					t.Errorf("%x of %x: %v", x, k.Numbers, err)
				}
				if y := new(big.Int).SetBytes(b); y.Exp(y, big.NewInt(65537), k.n).Cmp(x) != 0 {
					t.Errorf("%x of %x: wrong result", x, k.Numbers)
				}
			}
		}
	}
}

// TestFaults: a single window of an exponent that is read wrong, or a wrong constant,
// and nothing comes out.
func TestFaults(t *testing.T) {
	for name, damage := range map[string]func(*Key){
		"dp":        func(k *Key) { k.dp[100] ^= 1 },
		"dq":        func(k *Key) { k.dq[0] ^= 16 },
		"qInv":      func(k *Key) { k.qInv[3] ^= 1 },
		"qInvR":     func(k *Key) { k.qInvR[3] ^= 1 },
		"R^3":       func(k *Key) { k.rrrP[0] ^= 1 },
		"R":         func(k *Key) { k.q.r[15] ^= 1 },
		"p":         func(k *Key) { k.p.m[7] ^= 1 },
		"the check": func(k *Key) { k.check.n.rr[2] ^= 4 },
	} {
		k := ready(t, &standard(t, 2048).Numbers)
		damage(k)
		src, dst := make([]byte, 256), make([]byte, 256)
		src[255] = 2
		if err := k.Private(dst, src); err != ErrFault || !bytes.Equal(dst, make([]byte, 256)) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestNothingStays looks for secrets in what the next operation finds.
func TestNothingStays(t *testing.T) {
	k := ready(t, &standard(t, 2048).Numbers)
	w := k.newWork()
	split(w.c, bytes.Repeat([]byte{7}, 256))
	k.power(w)
	k.check.power(w.back, w.m, w.base, w.t)
	w.clear()
	s := &spare{[]uint64{1}, []uint64{2}, []uint64{3}, []uint64{4}}
	s.clear()
	p := newTester(2)
	p.set(bytes.Repeat([]byte{0xff}, 128), p.t)
	p.fermat(1024)
	p.prepare(1024)
	if _, err := p.round(128, 1024, 1, crand.Reader); err != nil {
		t.Fatal(err)
	}
	p.clear()
	for name, b := range map[string][]uint64{
		"x": w.x, "y": w.y, "table": w.table, "scratch": w.powers.t, "a/q": w.first, "c": w.c, "m": w.m, "back": w.back, "base": w.base, "t": w.t,
		"public x": s.x, "public z": s.z, "public base": s.base, "public t": s.t,
		"prime": p.m, "inverse": {p.k0}, "R": p.r, "R^2": p.rr, "-1": p.minus, "power": p.x, "powers": p.table,
	} {
		if isZero(b) != 1 {
			t.Errorf("%s was not wiped", name)
		}
	}
	if !bytes.Equal(append(p.exponent, p.base...), make([]byte, len(p.exponent)+len(p.base))) {
		t.Error("the exponent of a prime was not wiped")
	}
}

func TestNoAllocations(t *testing.T) {
	k := ready(t, &standard(t, 2048).Numbers)
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

func TestConcurrent(t *testing.T) {
	k := standard(t, 2048)
	key := ready(t, &k.Numbers)
	var wg sync.WaitGroup
	for i := range 6 {
		wg.Go(func() {
			x := big.NewInt(int64(i + 2))
			src, dst := x.FillBytes(make([]byte, 256)), make([]byte, 256)
			want := k.power(x).FillBytes(make([]byte, 256))
			for range 10 {
				if err := key.Private(dst, src); err != nil || !bytes.Equal(dst, want) {
					t.Error(i, err)
				}
				if err := key.check.Power(dst, want); err != nil || !bytes.Equal(dst, src) {
					t.Error(i, err)
				}
			}
		})
	}
	wg.Wait()
}

func TestSizes(t *testing.T) {
	for _, bits := range []int{512, 8320} {
		n := bytes.Repeat([]byte{0xff}, bits/8)
		half := n[:bits/16]
		if _, err := NewKey(&Numbers{N: n, P: half, Q: half, DP: half, DQ: half, QInv: half, E: 3}); err != ErrSize {
			t.Errorf("%d bits: %v", bits, err)
		}
	}
	for _, n := range [][]byte{make([]byte, 256), bytes.Repeat([]byte{0xff}, 32), bytes.Repeat([]byte{0xff}, 1025)} {
		if _, err := NewPublic(n, 3); err == nil {
			t.Errorf("%d bytes: accepted", len(n))
		}
	}
	for bits, testable := range map[int]bool{256: false, 257: true, 4096: true, 4097: false} {
		if Testable(bits) != testable {
			t.Errorf("%d bits: %v", bits, !testable)
		}
	}
}

// TestExponents are public exponents other than the usual one.
func TestExponents(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, bits := range []int{257, 1024, 2048, 3072, 4096, 8192} {
		n := randBig(r, power2(bits))
		n.SetBit(n, bits-1, 1).SetBit(n, 0, 1)
		for _, e := range []uint{3, 5, 7, 11, 17, 257, 65535, 65537, 65539, 1<<32 + 15, 1 << 63, 1<<64 - 1} {
			e |= 1
			k, err := NewPublic(n.Bytes(), e)
			if err != nil {
				t.Fatal(err)
			}
			for _, x := range []*big.Int{new(big.Int), one, new(big.Int).Sub(n, one), randBig(r, n)} {
				dst := make([]byte, len(n.Bytes()))
				if err := k.Power(dst, x.FillBytes(make([]byte, len(dst)))); err != nil {
					t.Fatal(err)
				}
				if want := new(big.Int).Exp(x, new(big.Int).SetUint64(uint64(e)), n); want.Cmp(new(big.Int).SetBytes(dst)) != 0 {
					t.Errorf("%x^%d modulo %x: %x", x, e, n, dst)
				}
			}
		}
	}
}

// TestPrimes compares with math/big.
func TestPrimes(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	check := func(w *big.Int, known bool) {
		t.Helper()
		prime, err := MillerRabin(w.Bytes(), w.BitLen(), 5, crand.Reader)
		if err != nil || prime != known {
			t.Errorf("%x: prime is %v, %v", w, prime, err)
		}
	}
	for _, bits := range []int{257, 511, 512, 513, 777, 1023, 1024, 1025, 1536, 2048} {
		for i := range 4 {
			p := randBig(r, power2(bits))
			p.SetBit(p, bits-1, 1).SetBit(p, 0, 1)
			for i == 3 && bits < 1100 && !p.ProbablyPrime(0) {
				p.Add(p, big.NewInt(2))
			}
			check(p, p.ProbablyPrime(0))
		}
	}
	for bits, c := range primesBelow {
		check(below(bits, c[0]), true)
		check(below(bits, c[0]+2), false)
	}
	for _, bits := range []int{521, 607, 1279, 2203} {
		check(below(bits, 1), true)
	}
	// p - 1 with many factors of 2.
	check(new(big.Int).Add(new(big.Int).Mul(big.NewInt(3), power2(2816)), one), true) // Proth
	check(new(big.Int).Add(power2(512), one), false)                                  // Fermat's
}

// TestPseudoprimes are composite numbers that other tests take for primes: a product
// of p and 2p-1, with p = 5 mod 8, passes Fermat's test with base 2, and the one of
// Miller and Rabin with 3/16 of all bases.
func TestPseudoprimes(t *testing.T) {
	p := new(big.Int).Lsh(one, 300)
	for p.Add(p, big.NewInt(5)); ; p.Add(p, big.NewInt(8)) {
		q := new(big.Int).Add(p, p)
		if p.ProbablyPrime(0) && q.Sub(q, one).ProbablyPrime(0) {
			w := new(big.Int).Mul(p, q)
			passed := 0
			for range 100 {
				if prime, err := MillerRabin(w.Bytes(), w.BitLen(), 1, crand.Reader); err != nil {
					t.Fatal(err)
				} else if prime {
					passed++
				}
			}
			if passed == 0 || passed > 60 {
				t.Errorf("passed %d rounds of 100", passed)
			}
			if prime, err := MillerRabin(w.Bytes(), w.BitLen(), 64, crand.Reader); err != nil || prime {
				t.Errorf("%v, %v", prime, err)
			}
			return
		}
	}
}

func TestNoRandom(t *testing.T) {
	w := below(1024, 105).Bytes()
	if prime, err := MillerRabin(w, 1024, 5, strings.NewReader("short")); prime || err == nil {
		t.Error(prime, err)
	}
}

// TestBases has the source of random numbers begin with bases that serve nothing: 0,
// numbers above w, 1 and -1.
func TestBases(t *testing.T) {
	p := below(512, 569)
	r := new(big.Int).Mod(power2(512), p)
	var b []byte
	for _, x := range []*big.Int{new(big.Int), below(512, 1), p, r, new(big.Int).Sub(p, r), big.NewInt(2)} {
		b = append(b, x.FillBytes(make([]byte, 64))...)
	}
	random := bytes.NewReader(b)
	if prime, err := MillerRabin(p.Bytes(), 512, 1, random); !prime || err != nil || random.Len() != 0 {
		t.Errorf("%v, %v, %d bytes were left", prime, err, random.Len())
	}
}

func BenchmarkComposite(b *testing.B) {
	w := bytes.Repeat([]byte{0xff}, 128)
	for b.Loop() {
		if prime, _ := MillerRabin(w, 1024, 1, nil); prime {
			b.Fatal("2^1024-1 is no prime")
		}
	}
}

func BenchmarkPrivate(b *testing.B) {
	for _, bits := range []int{1024, 2048, 3072, 4096} {
		c := primesBelow[bits/2]
		k := ready(b, &fromPrimes(below(bits/2, c[0]), below(bits/2, c[1]), 65537).Numbers)
		x := make([]byte, bits/8)
		x[5] = 1
		b.Run(fmt.Sprint(bits), func(b *testing.B) {
			for b.Loop() {
				_ = k.Private(x, x)
			}
		})
		b.Run(fmt.Sprint(bits, "/public"), func(b *testing.B) {
			for b.Loop() {
				_ = k.check.Power(x, x)
			}
		})
		b.Run(fmt.Sprint(bits, "/new"), func(b *testing.B) {
			numbers := &fromPrimes(below(bits/2, c[0]), below(bits/2, c[1]), 65537).Numbers
			for b.Loop() {
				_ = ready(b, numbers)
			}
		})
	}
}
