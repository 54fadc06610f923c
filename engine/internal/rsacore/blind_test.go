package rsacore

import (
	"bytes"
	"crypto/rand"
	"errors"
	"io"
	"math/big"
	"strings"
	"testing"
)

// counting counts what is read.
type counting struct {
	io.Reader
	n int
}

func (c *counting) Read(b []byte) (int, error) {
	n, err := c.Reader.Read(b)
	c.n += n
	return n, err
}

// TestBlinded compares with the operation without blinding, for keys with and
// without primes and exponents, beyond the life of a pair of factors.
func TestBlinded(t *testing.T) {
	c := testKey()
	for name, c := range map[string]*Numbers{"CRT": &c, "plain": {N: c.N, E: c.E, D: c.D}, "no exponent": {N: c.N, D: c.D}} {
		k, err := NewPrivateKey(c)
		if err != nil {
			t.Fatal(err)
		}
		uses := 3
		if name == "CRT" {
			uses = blindings + 2
		}
		random := &counting{Reader: rand.Reader}
		for i := range uses {
			src := big.NewInt(int64(i)).Bytes()
			want, got := make([]byte, k.Size()), make([]byte, k.Size())
			if err := k.Private(want, src); err != nil {
				t.Fatal(err)
			}
			if err := k.Blinded(got, src, random); err != nil || !bytes.Equal(got, want) {
				t.Fatalf("%s, %d: wrong result, %v", name, i, err)
			}
			if least := 2 * k.Size() * (1 + i/blindings); random.n < least {
				t.Errorf("%s, %d: %d random bytes, want %d at least", name, i, random.n, least)
			}
		}
		if err := k.Blinded(make([]byte, k.Size()), c.N, random); !errors.Is(err, ErrRange) {
			t.Errorf("%s: too large: %v", name, err)
		}
	}
}

// TestBlindingFactors looks at the pairs: each is r^e and 1/r, and none comes twice.
func TestBlindingFactors(t *testing.T) {
	c := testKey()
	k, err := NewPrivateKey(&c)
	if err != nil {
		t.Fatal(err)
	}
	n, e := new(big.Int).SetBytes(c.N), new(big.Int).SetBytes(c.E)
	seen := map[string]bool{}
	for range 5 {
		in, out, err := k.factors(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		a, b := new(big.Int).SetBytes(toBytes(in, k.n)), new(big.Int).SetBytes(toBytes(out, k.n))
		if b.Exp(b, e, n).Mul(b, a).Mod(b, n).Cmp(big.NewInt(1)) != 0 {
			t.Error("the factors do not cancel out")
		}
		if seen[a.String()] {
			t.Error("a factor came twice")
		}
		seen[a.String()] = true
	}
}

func TestBlindingWithoutRandom(t *testing.T) {
	c := testKey()
	k, err := NewPrivateKey(&c)
	if err != nil {
		t.Fatal(err)
	}
	dst := make([]byte, k.Size())
	if err := k.Blinded(dst, []byte{2}, strings.NewReader("short")); err == nil || !bytes.Equal(dst, make([]byte, len(dst))) {
		t.Errorf("%v", err)
	}
}
