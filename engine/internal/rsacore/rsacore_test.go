package rsacore

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"encoding/hex"
	"errors"
	"fmt"
	"math/big"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"testing"

	"filippo.io/bigmod"

	"github.com/perilune/perilune/engine/internal/isa"
)

// testKey is a key made once, by the standard library.
var testKey = sync.OnceValue(func() Numbers {
	c, err := Generate(2048, []byte{1, 0, 1}, rand.Reader)
	if err != nil {
		panic(err)
	}
	return c
})

// The key and the pair of numbers are of OpenSSL's RSADP test "Ciphertext = 2
// should pass" (test/recipes/30-test_evp_data/evppkey_rsa_common.txt).
const (
	publishedN = "cd0081ea7b2ae1ea06d59f7c73d9ffb94a09615c2e4ba7c636cef08dd3533ec3185525b015c769b99a77d6725bf9c3532a9b6e5f6627d5fb85160768d3dda9cbd35974511717dc3d309d2fc47ee41f97e32adb7f9dd864a1c4767a666ecd71bc1aacf5e7517f4b38594fea9b05e42d5ada9912008013e45316a4d9bb8ed086b88d28758bacaf922d46a868b485d239c9baeb0e2b64592710f42b2d1ea0a4b4802c0becab328f8a68b0073bdb546feea9809d2849912b390c1532bc7e29c7658f8175fae46f34332ff87bcab3e40649b98577869da0ea718353f0722754886913648760d122be676e0fc483dd20ffc31bda96a31966c9aa2e75ad03de47e1c44f"
	publishedM = "93d0bae8ad0d94de400eb078dd10edd7418ef1bf11b8e8b5d2b86b142e77d603e108fbcca2b976aa7b5326e5369db3bb73bf74f8d47c36a6318e913888c873502a561fc69329e7c24a0a016d81310449a52b29e49a6a41bdfe6c10a8d90072d64b4486756fd007c0071da2a8c7107a904621c11f0d81aa80b655a713c28170594ece28133dfbfddd61d4e4dad0d6781f6145a351a994054993fd57cd1330966ce97d7ac259b15616fd7235e2cac29fdc1c05f1612c61785614b80e7b650c03ef77d64163d75fa637cc2a9a7e570b3176fdcfb6ad6d25e8515f6ced02cfb3a441c87220044110fd27dcb53888f0377e1797bf297b7da27d3f033cd8b5d60ececc"
)

func unhex(s string) []byte {
	b, err := hex.DecodeString(s)
	if err != nil {
		panic(err)
	}
	return b
}

func TestPublicPublished(t *testing.T) {
	k, err := NewPublicKey(unhex(publishedN), []byte{1, 0, 1})
	if err != nil {
		t.Fatal(err)
	}
	out := make([]byte, k.Size())
	if err := k.Public(out, unhex(publishedM)); err != nil {
		t.Fatal(err)
	}
	if out[255] != 2 || !bytes.Equal(out[:255], make([]byte, 255)) {
		t.Errorf("got %x", out)
	}
}

func TestNewPublicKeyRefuses(t *testing.T) {
	n := unhex(publishedN)
	even := bytes.Clone(n)
	even[255] ^= 1
	for name, k := range map[string][2][]byte{
		"no modulus":    {nil, {3}},
		"zero modulus":  {make([]byte, 256), {3}},
		"even modulus":  {even, {3}},
		"small modulus": {{15}, {3}},
		"huge modulus":  {bytes.Repeat([]byte{0xff}, MaxBits/8+1), {3}},
		"no exponent":   {n, nil},
		"exponent 0":    {n, {0}},
		"exponent 1":    {n, {0, 0, 1}},
		"even exponent": {n, {2}},
		"exponent = n":  {n, n},
	} {
		if _, err := NewPublicKey(k[0], k[1]); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// TestLargeExponents uses exponents of 33, 64, 65 and 2047 bits.
func TestLargeExponents(t *testing.T) {
	c := testKey()
	for _, e := range []string{"0100000001", "ffffffffffffffc5", "010000000000000001", hex.EncodeToString(c.D)} {
		k, err := NewPublicKey(c.N, unhex(e))
		if err != nil {
			t.Fatal(err)
		}
		m := []byte("message")
		got := make([]byte, k.Size())
		if err := k.Public(got, m); err != nil {
			t.Fatal(err)
		}
		x := new(big.Int).Exp(new(big.Int).SetBytes(m), new(big.Int).SetBytes(unhex(e)), new(big.Int).SetBytes(c.N))
		if !bytes.Equal(got, x.FillBytes(make([]byte, k.Size()))) {
			t.Errorf("exponent %s: wrong result", e)
		}
	}
}

func TestPrivate(t *testing.T) {
	c := testKey()
	plain := Numbers{N: c.N, E: c.E, D: c.D}
	unchecked := Numbers{N: c.N, D: c.D}
	for name, c := range map[string]*Numbers{"CRT": &c, "plain": &plain, "no exponent": &unchecked} {
		k, err := NewPrivateKey(c)
		if err != nil {
			t.Fatal(name, err)
		}
		n := new(big.Int).SetBytes(c.N)
		last := new(big.Int).Sub(n, big.NewInt(1)).Bytes()
		p := testKey().P // not invertible mod n
		for _, m := range [][]byte{nil, {0}, {1}, {2}, last, p, unhex(publishedM)[1:]} {
			want := new(big.Int).Exp(new(big.Int).SetBytes(m), new(big.Int).SetBytes(c.D), n).FillBytes(make([]byte, 256))
			got := bytes.Repeat([]byte{0xaa}, 256)
			if err := k.Private(got, m); err != nil || !bytes.Equal(got, want) {
				t.Errorf("%s: %x: wrong result, %v", name, m, err)
			}
		}
		got := make([]byte, 256)
		for _, m := range [][]byte{c.N, bytes.Repeat([]byte{0xff}, 256), append([]byte{1}, make([]byte, 256)...)} {
			if err := k.Private(got, m); !errors.Is(err, ErrRange) {
				t.Errorf("%s: too large: %v", name, err)
			}
		}
	}
}

func TestPrivateInPlace(t *testing.T) {
	c := testKey()
	k, err := NewPrivateKey(&c)
	if err != nil {
		t.Fatal(err)
	}
	m := make([]byte, 256)
	copy(m[100:], "in place")
	buf := bytes.Clone(m)
	if err := k.Private(buf, buf); err != nil {
		t.Fatal(err)
	}
	if err := k.Public(buf, buf); err != nil || !bytes.Equal(buf, m) {
		t.Errorf("%x %v", buf, err)
	}
}

// TestFault damages each CRT value: the result must not leave.
func TestFault(t *testing.T) {
	good := testKey()
	for i := range 3 {
		c := good
		x := []*[]byte{&c.DP, &c.DQ, &c.QInv}[i]
		*x = bytes.Clone(*x)
		(*x)[len(*x)-1] ^= 2
		k, err := NewPrivateKey(&c)
		if err != nil {
			t.Fatal(err)
		}
		out := make([]byte, 256)
		if err := k.Private(out, []byte{2}); !errors.Is(err, ErrFault) {
			t.Errorf("value %d: %v", i, err)
		}
		if !bytes.Equal(out, make([]byte, 256)) {
			t.Errorf("value %d: a faulty result came out", i)
		}
	}
}

func TestComplete(t *testing.T) {
	full := testKey()
	drop := func(fields ...int) Numbers {
		c := full
		for _, i := range fields {
			*[]*[]byte{&c.N, &c.E, &c.D, &c.P, &c.Q, &c.DP, &c.DQ, &c.QInv}[i] = nil
		}
		return c
	}
	for name, c := range map[string]Numbers{
		"everything":      full,
		"n, e, d":         drop(3, 4, 5, 6, 7),
		"n, d":            drop(1, 3, 4, 5, 6, 7),
		"no CRT values":   drop(5, 6, 7),
		"no e":            drop(1),
		"no e, no CRT":    drop(1, 5, 6, 7),
		"p only":          drop(4, 5, 6, 7),
		"q only":          drop(3, 5, 6, 7),
		"qInv missing":    drop(7),
		"leading zeros":   {N: pad(full.N), E: pad(full.E), D: pad(full.D), P: pad(full.P), Q: pad(full.Q)},
		"empty not nil":   {N: full.N, E: []byte{}, D: full.D, P: []byte{}, Q: []byte{0}},
		"d modulo φ(n)":   largeD(full),
		"only dP missing": drop(5),
	} {
		got, err := Complete(c)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if !equal(got.E, full.E) || !equal(got.P, full.P) && !equal(got.P, full.Q) || got.DP == nil || got.QInv == nil {
			t.Errorf("%s: wrong components", name)
		}
		checkWithStandard(t, name, got)
	}
}

func pad(b []byte) []byte { return append([]byte{0, 0}, b...) }

// largeD replaces d by d plus a multiple of lcm(p-1, q-1).
func largeD(c Numbers) Numbers {
	one := big.NewInt(1)
	p1 := new(big.Int).Sub(new(big.Int).SetBytes(c.P), one)
	q1 := new(big.Int).Sub(new(big.Int).SetBytes(c.Q), one)
	lcm := new(big.Int).Div(new(big.Int).Mul(p1, q1), new(big.Int).GCD(nil, nil, p1, q1))
	d := new(big.Int).Add(new(big.Int).SetBytes(c.D), lcm)
	if d.Cmp(new(big.Int).SetBytes(c.N)) >= 0 {
		return c
	}
	return Numbers{N: c.N, E: c.E, D: d.Bytes()}
}

func checkWithStandard(t *testing.T, name string, c Numbers) {
	k := rsa.PrivateKey{
		PublicKey: rsa.PublicKey{N: new(big.Int).SetBytes(c.N), E: int(new(big.Int).SetBytes(c.E).Int64())},
		D:         new(big.Int).SetBytes(c.D),
		Primes:    []*big.Int{new(big.Int).SetBytes(c.P), new(big.Int).SetBytes(c.Q)},
		Precomputed: rsa.PrecomputedValues{
			Dp: new(big.Int).SetBytes(c.DP), Dq: new(big.Int).SetBytes(c.DQ), Qinv: new(big.Int).SetBytes(c.QInv),
		},
	}
	if err := k.Validate(); err != nil {
		t.Errorf("%s: crypto/rsa: %v", name, err)
	}
}

func TestCompleteRefuses(t *testing.T) {
	full := testKey()
	other, err := Generate(2048, []byte{1, 0, 1}, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	flip := func(b []byte) []byte {
		b = bytes.Clone(b)
		b[len(b)/2] ^= 0x10
		return b
	}
	with := func(change func(*Numbers)) Numbers {
		c := full
		change(&c)
		return c
	}
	for name, c := range map[string]Numbers{
		"nothing":          {},
		"no d":             with(func(c *Numbers) { c.D = nil }),
		"no n":             with(func(c *Numbers) { c.N = nil }),
		"wrong d":          with(func(c *Numbers) { c.D = flip(c.D) }),
		"wrong d, no p":    {N: full.N, E: full.E, D: flip(full.D)},
		"even d":           {N: full.N, E: full.E, D: append(bytes.Clone(full.D[:255]), full.D[len(full.D)-1]&^1)},
		"d = 0":            {N: full.N, E: full.E, D: []byte{0}},
		"d = 1":            {N: full.N, E: full.E, D: []byte{1}},
		"d = n":            {N: full.N, E: full.E, D: full.N},
		"wrong e":          with(func(c *Numbers) { c.E = []byte{3} }),
		"e = 1":            with(func(c *Numbers) { c.E, c.D = []byte{1}, []byte{1} }),
		"wrong p":          with(func(c *Numbers) { c.P = other.P }),
		"even p":           with(func(c *Numbers) { c.P = append(bytes.Clone(c.P[:len(c.P)-1]), 2) }),
		"p = 1":            with(func(c *Numbers) { c.P, c.Q = []byte{1}, c.N }),
		"p and q swapped":  with(func(c *Numbers) { c.P, c.Q = c.Q, c.P }),
		"p of another key": {N: full.N, E: full.E, D: full.D, P: other.P},
		"wrong dP":         with(func(c *Numbers) { c.DP = flip(c.DP) }),
		"wrong dQ":         with(func(c *Numbers) { c.DQ = flip(c.DQ) }),
		"wrong qInv":       with(func(c *Numbers) { c.QInv = flip(c.QInv) }),
		"wrong n":          with(func(c *Numbers) { c.N = other.N }),
		"n too long":       with(func(c *Numbers) { c.N = bytes.Repeat([]byte{0xff}, MaxBits/8+1) }),
		"p, but no e":      {N: full.N, D: flip(full.D), P: full.P},
		"square":           {N: square(full.P), E: full.E, D: full.D, P: full.P, Q: full.P},
	} {
		if _, err := Complete(c); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func square(p []byte) []byte {
	x := new(big.Int).SetBytes(p)
	return x.Mul(x, x).Bytes()
}

// TestUncommonExponent is about a key whose public exponent nobody would guess.
func TestUncommonExponent(t *testing.T) {
	c, err := Generate(1024, unhex("0123456789abcdef01"), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	got, err := Complete(Numbers{N: c.N, D: c.D})
	if err != nil || got.E != nil || got.P != nil {
		t.Errorf("n and d alone: e %x, p %v, %v", got.E, got.P != nil, err)
	}
	got, err = Complete(Numbers{N: c.N, D: c.D, P: c.P, Q: c.Q})
	if err != nil || !equal(got.E, c.E) {
		t.Errorf("n, d and primes: e %x, %v", got.E, err)
	}
}

// TestThreePrimes is about keys that PKCS #11 has no attributes for: they work
// by n, e and d.
func TestThreePrimes(t *testing.T) {
	//lint:ignore SA1019 there is no other way to come by such a key
	k, err := rsa.GenerateMultiPrimeKey(rand.Reader, 3, 1024)
	if err != nil {
		t.Fatal(err)
	}
	c := Numbers{N: k.N.Bytes(), E: []byte{1, 0, 1}, D: k.D.Bytes()}
	got, err := Complete(c)
	if err != nil || got.P != nil {
		t.Fatalf("p %v, %v", got.P != nil, err)
	}
	c.P, c.Q = k.Primes[0].Bytes(), k.Primes[1].Bytes()
	if _, err := Complete(c); err == nil {
		t.Error("n is not p*q: accepted")
	}
}

func TestGenerate(t *testing.T) {
	for _, x := range []struct {
		bits int
		e    string
	}{
		{1024, "010001"}, {1024, "03"}, {1025, "11"}, {1031, "0100000001"}, {1024, "0000010001"},
		{1024, "ffffffffffffffffffffffffffffff61"},
	} {
		c, err := Generate(x.bits, unhex(x.e), rand.Reader)
		if err != nil {
			t.Errorf("%v: %v", x, err)
			continue
		}
		n := new(big.Int).SetBytes(c.N)
		if n.BitLen() != x.bits || !equal(c.E, unhex(x.e)) {
			t.Errorf("%v: %d bits, e = %x", x, n.BitLen(), c.E)
		}
		for _, p := range [][]byte{c.P, c.Q} {
			if !new(big.Int).SetBytes(p).ProbablyPrime(20) {
				t.Errorf("%v: not a prime", x)
			}
		}
		if _, err := Complete(c); err != nil {
			t.Errorf("%v: %v", x, err)
		}
	}
}

func TestGenerateRefuses(t *testing.T) {
	for _, e := range []string{"", "00", "01", "02", "010000", publishedN} {
		if _, err := Generate(1024, unhex(e), rand.Reader); !errors.Is(err, ErrExponent) {
			t.Errorf("exponent %.10s: %v", e, err)
		}
	}
	if _, err := Generate(MinBits-1, []byte{3}, rand.Reader); err == nil {
		t.Error("too short: accepted")
	}
	if _, err := Generate(1024, []byte{3}, bytes.NewReader(nil)); err == nil {
		t.Error("no random bytes: accepted")
	}
}

func TestProbablyPrime(t *testing.T) {
	for _, x := range []struct {
		n     string
		prime bool
	}{
		{"", false}, {"00", false}, {"01", false}, {"02", true}, {"0003", true}, {"04", false}, {"05", true}, {"0d", true}, {"61", true}, {"63", false},
		{"0231", false},  // 561, a Carmichael number
		{"07ff", false},  // 2047, a strong pseudoprime to base 2
		{"010001", true}, // Fermat
		{"ffffffffffffffffffffffffffffff61", true}, // 2^128 - 159
		{"ffffffffffffffffffffffffffffff63", false},
	} {
		got, err := ProbablyPrime(unhex(x.n), rand.Reader)
		if err != nil || got != x.prime {
			t.Errorf("%s: %v, %v", x.n, got, err)
		}
	}
}

// TestPrivateExponent compares with math/big.
func TestPrivateExponent(t *testing.T) {
	c := testKey()
	e := []byte{1, 0, 1}
	d, err := privateExponent(c.P, c.Q, e)
	if err != nil || !equal(d, c.D) {
		t.Errorf("%v", err)
	}
}

func TestFill(t *testing.T) {
	m, err := bigmod.NewModulus(unhex(publishedN))
	if err != nil {
		t.Fatal(err)
	}
	x, err := bigmod.NewNat().SetBytes(unhex("0102030405060708090a"), m)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{10, 11, 17, 256, 300} {
		b := make([]byte, n)
		fill(b, x)
		if !bytes.Equal(trim(b), unhex("0102030405060708090a")) {
			t.Errorf("%d: %x", n, b)
		}
	}
}

func TestConcurrent(t *testing.T) {
	c := testKey()
	k, err := NewPrivateKey(&c)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			m := bytes.Repeat([]byte{byte(i + 1)}, 255)
			out := make([]byte, 256)
			for range 3 {
				if err := k.Private(out, m); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}

// FuzzComplete gives Complete numbers of all kinds: it must neither panic nor
// accept what the private operation then fails on.
func FuzzComplete(f *testing.F) {
	c := testKey()
	f.Add(c.N, c.E, c.D, c.P, c.Q, c.DP, c.DQ, c.QInv)
	f.Add(c.N, c.E, c.D, []byte{}, []byte{}, []byte{}, []byte{}, []byte{})
	f.Add([]byte{1, 1}, []byte{3}, []byte{5}, []byte{3}, []byte{7}, []byte{}, []byte{}, []byte{})
	f.Fuzz(func(t *testing.T, n, e, d, p, q, dp, dq, qInv []byte) {
		if len(n) > 128 { // larger ones are slow and show nothing new
			return
		}
		c, err := Complete(Numbers{N: n, E: e, D: d, P: p, Q: q, DP: dp, DQ: dq, QInv: qInv})
		if err != nil {
			return
		}
		k, err := NewPrivateKey(&c)
		if err != nil {
			t.Fatal(err)
		}
		if err := k.Private(make([]byte, k.Size()), []byte{2}); err != nil {
			t.Fatal(err)
		}
	})
}

// TestManyKeys has new keys sign, alone and many at once, and math/big verify; with
// PERILUNE_SOAK thousands of keys. Every path of the processor runs it.
func TestManyKeys(t *testing.T) {
	n := 2
	if os.Getenv("PERILUNE_SOAK") != "" {
		n = 700
	}
	for _, bits := range []int{1030, 1536, 2048, 2050, 3072, 4096} {
		for range n {
			c, err := Generate(bits, []byte{1, 0, 1}, rand.Reader)
			if err != nil {
				t.Fatal(err)
			}
			k, err := NewPrivateKey(&c)
			if err != nil {
				t.Fatal(err)
			}
			modulus := new(big.Int).SetBytes(c.N)
			var wg sync.WaitGroup
			for range 6 {
				wg.Go(func() {
					x, err := rand.Int(rand.Reader, modulus)
					if err != nil {
						t.Error(err)
						return
					}
					b := make([]byte, k.Size())
					if err := k.Private(b, x.Bytes()); err != nil {
						t.Error(bits, err)
					}
					if y := new(big.Int).SetBytes(b); y.Exp(y, big.NewInt(65537), modulus).Cmp(x) != 0 {
						t.Errorf("%d bits: wrong result for %x of %x", bits, x, c)
					}
				})
			}
			wg.Wait()
		}
	}
}

// TestOtherPaths runs the tests of this package as on lesser processors.
func TestOtherPaths(t *testing.T) {
	if os.Getenv(isa.Variable) != "" {
		return // this is one of them
	}
	for _, path := range []string{"portable", "adx"} {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), isa.Variable+"="+path)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", path, err, out)
		}
	}
}

func BenchmarkPrivate(b *testing.B) {
	benchmark(b, func(k *PrivateKey, buf []byte) error { return k.Private(buf, buf) })
}

func BenchmarkPublic(b *testing.B) {
	benchmark(b, func(k *PrivateKey, buf []byte) error { return k.Public(buf, buf) })
}

func benchmark(b *testing.B, f func(k *PrivateKey, buf []byte) error) {
	for _, bits := range []int{2048, 3072, 4096} {
		b.Run(strconv.Itoa(bits), func(b *testing.B) {
			c, err := Generate(bits, []byte{1, 0, 1}, rand.Reader)
			if err != nil {
				b.Fatal(err)
			}
			k, err := NewPrivateKey(&c)
			if err != nil {
				b.Fatal(err)
			}
			buf := make([]byte, k.Size())
			buf[1] = 1
			for b.Loop() {
				if err := f(k, buf); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkNewPrivateKey is what the first use of a key takes.
func BenchmarkNewPrivateKey(b *testing.B) {
	for _, bits := range []int{2048, 4096} {
		b.Run(fmt.Sprint(bits), func(b *testing.B) {
			c, err := Generate(bits, []byte{1, 0, 1}, rand.Reader)
			if err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				if _, err := NewPrivateKey(&c); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
