package rsacore

import (
	"bytes"
	"crypto/rand"
	_ "embed"
	"io"
	"math/big"
	"strings"
	"testing"
)

//go:embed testdata/primality.txt
var primality string

func TestPrimalityWycheproof(t *testing.T) {
	count := 0
	for line := range strings.Lines(primality) {
		kind, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		if kind == "#" || kind == "" {
			continue
		}
		count++
		got, err := MillerRabin(unhex(value), 24, rand.Reader)
		if err != nil || got != (kind == "prime") {
			t.Errorf("%s: %v, %v", value, got, err)
		}
	}
	if count != 196 {
		t.Errorf("%d vectors", count)
	}
}

//go:embed testdata/x931.txt
var x931 string

// TestAuxiliaryVectors goes the way of the vectors: from each x to an auxiliary
// prime, from both of them and X to a prime, from the primes to d.
func TestAuxiliaryVectors(t *testing.T) {
	for i, section := range strings.Split(strings.TrimSpace(x931), "\n\n")[1:] {
		v := map[string][]byte{}
		for line := range strings.Lines(section) {
			name, value, _ := strings.Cut(strings.TrimSpace(line), " = ")
			v[name] = unhex(value)
		}
		find := func(names ...string) []byte {
			r1, err := nextPrime(v[names[0]], rand.Reader)
			if err != nil {
				t.Fatal(err)
			}
			r2, err := nextPrime(v[names[1]], rand.Reader)
			if err != nil {
				t.Fatal(err)
			}
			l, err := newLattice(r1, r2)
			if err != nil {
				t.Fatal(err)
			}
			p, err := l.search(v[names[2]], bitLen(v[names[2]]), v["e"], rand.Reader)
			if err != nil {
				t.Fatal(err)
			}
			return p
		}
		p, q := find("xp1", "xp2", "Xp"), find("xq1", "xq2", "Xq")
		if !bytes.Equal(p, v["p"]) || !bytes.Equal(q, v["q"]) {
			t.Errorf("%d: other primes", i)
			continue
		}
		if d, err := privateExponent(p, q, v["e"]); err != nil || !bytes.Equal(d, v["d"]) {
			t.Errorf("%d: other d: %v", i, err)
		}
	}
}

// TestGenerateAuxiliary checks what the auxiliary primes are for: p-1 and p+1
// cannot be factored by hand here, but the search is shown to keep to the
// lattice.
func TestGenerateAuxiliary(t *testing.T) {
	for _, x := range []struct {
		size int
		e    string
	}{{1024, "010001"}, {1024, "03"}, {512, "11"}, {1030, "0100000001"}} {
		c, err := GenerateAuxiliary(x.size, unhex(x.e), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		if bitLen(c.N) != x.size || !equal(c.E, unhex(x.e)) {
			t.Errorf("%v: %d bits, e = %x", x, bitLen(c.N), c.E)
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
	if _, err := GenerateAuxiliary(1024, []byte{3}, bytes.NewReader(nil)); err == nil {
		t.Error("no random bytes: accepted")
	}
	if _, err := newLattice([]byte{5}, []byte{5}); err == nil {
		t.Error("equal auxiliary primes: accepted")
	}
}

// TestLattice compares with math/big.
func TestLattice(t *testing.T) {
	r1, r2 := unhex("100007"), unhex("40000f") // primes
	l, err := newLattice(r1, r2)
	if err != nil {
		t.Fatal(err)
	}
	x := bytes.Repeat([]byte{0xc5}, 20)
	p, err := l.search(x, 160, []byte{3}, rand.Reader)
	if err != nil || p == nil {
		t.Fatal(p, err)
	}
	n, one := new(big.Int).SetBytes(p), big.NewInt(1)
	below, above := new(big.Int).Sub(n, one), new(big.Int).Add(n, one)
	for _, y := range [][2]*big.Int{{below, new(big.Int).SetBytes(r1)}, {above, new(big.Int).SetBytes(r2)}} {
		if new(big.Int).Mod(y[0], y[1]).Sign() != 0 {
			t.Errorf("%d is no factor", y[1])
		}
	}
	if bytesLess(p, x) || !n.ProbablyPrime(20) {
		t.Errorf("%x", p)
	}
	// Nothing is left of 160 bits above the largest number.
	if p, err := l.search(bytes.Repeat([]byte{0xff}, 20), 160, []byte{3}, rand.Reader); p != nil || err != nil {
		t.Errorf("%x, %v", p, err)
	}
}

func TestTooClose(t *testing.T) {
	p := bytes.Repeat([]byte{0xf0}, 64) // of a modulus of 1024 bits
	for _, x := range []struct {
		bit   int // that is different
		close bool
	}{{0, true}, {410, true}, {411, true}, {412, false}, {500, false}} {
		q := bytes.Clone(p)
		q[len(q)-1-x.bit/8] ^= 1 << (x.bit % 8)
		if tooClose(p, q, 1024) != x.close || tooClose(q, p, 1024) != x.close {
			t.Errorf("bit %d", x.bit)
		}
	}
	if !tooClose(p, p, 1024) {
		t.Error("equal")
	}
}

// TestRandomTop checks the range: no candidate below the square root.
func TestRandomTop(t *testing.T) {
	low := unhex("16a09e667f3bcc908b2fb1366ea957d3e3adec") // 149 bits of sqrt(2)
	for _, source := range []string{"low", "high"} {
		b := make([]byte, len(low))
		first := bytes.Clone(low)
		if source == "high" {
			first[7]++
		}
		err := randomTop(b, 149, io.MultiReader(bytes.NewReader(first)))
		if (err == nil) != (source == "high") {
			t.Errorf("%s: %v", source, err)
		}
	}
}

func BenchmarkGenerate(b *testing.B) {
	for name, f := range map[string]func(int, []byte, io.Reader) (Numbers, error){"Random": Generate, "Auxiliary": GenerateAuxiliary} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if _, err := f(2048, []byte{1, 0, 1}, rand.Reader); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
