package weierstrass

import (
	"bytes"
	"fmt"
	"math/big"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/perilune/perilune/engine/internal/isa"
)

// namedCurves are the curves of the engine.
func namedCurves(t *testing.T) map[string]*Params {
	t.Helper()
	text, err := os.ReadFile("../../curves_prime.txt")
	if err != nil {
		t.Fatal(err)
	}
	list := map[string]*Params{}
	for section := range strings.SplitSeq(string(text), "\n[") {
		names, lines, ok := strings.Cut(section, "]\n")
		if !ok || section[0] == '#' {
			continue
		}
		value := map[string]string{}
		for line := range strings.Lines(lines) {
			if name, v, ok := strings.Cut(strings.TrimSpace(line), " = "); ok {
				value[name] = v
			}
		}
		number := func(s string) *big.Int {
			n, _ := new(big.Int).SetString(s, 16)
			return n
		}
		p := number(value["p"])
		size := (p.BitLen() + 7) / 8
		h, _ := strconv.ParseUint(value["h"], 16, 64)
		base := append([]byte{4}, number(value["x"]).FillBytes(make([]byte, size))...)
		list[names] = &Params{
			P: p.Bytes(), A: number(value["a"]).Bytes(), B: number(value["b"]).Bytes(), N: number(value["n"]).Bytes(), H: h,
			Base: append(base, number(value["y"]).FillBytes(make([]byte, size))...),
		}
	}
	for name, s := range standard {
		list[name] = paramsOf(s.params)
	}
	return list
}

// TestFast compares the fast arithmetic with the complete formulas, on all curves
// that have it, at scalars where points that are added are the same or opposite.
func TestFast(t *testing.T) {
	without := 0
	for name, params := range namedCurves(t) {
		list := variants(t, params)
		reference := list[fmt.Sprintf("ADX %v, complete formulas true", isa.ADX())]
		if reference == nil || list["ADX false, complete formulas false"].fast == nil {
			without++
			continue
		}
		base, _ := reference.encode(&reference.base)
		point, _ := reference.Mult(append(make([]byte, len(reference.n)-1), 11), base)
		for _, k := range edgeScalars(reference.n) {
			wantBase, okBase := reference.BaseMult(k)
			want, ok := reference.Mult(k, point)
			for variant, c := range list {
				if c.fast == nil {
					continue
				}
				if got, gotOK := c.BaseMult(k); gotOK != okBase || !bytes.Equal(got, wantBase) {
					t.Fatalf("%s, %s: %x times the base: %x, not %x", name, variant, k, got, wantBase)
				}
				if got, gotOK := c.Mult(k, point); gotOK != ok || !bytes.Equal(got, want) {
					t.Fatalf("%s, %s: %x times a point: %x, not %x", name, variant, k, got, want)
				}
			}
		}
	}
	if without > 3 { // those with a cofactor
		t.Errorf("%d curves have no fast arithmetic", without)
	}
}

// edgeScalars are small numbers, those just below the order, such with few bits or
// few zeros, and some at random.
func edgeScalars(order []byte) (list [][]byte) {
	n := new(big.Int).SetBytes(order)
	add := func(k *big.Int) { list = append(list, k.Mod(k, n).FillBytes(make([]byte, len(order)))) }
	for i := range int64(4) {
		add(big.NewInt(i))
	}
	for i := range int64(33) {
		add(big.NewInt(-2*i - 1))
		add(big.NewInt(-2*i - 2))
	}
	one := big.NewInt(1)
	for i := uint(5); i < uint(n.BitLen()); i += 65 {
		add(new(big.Int).Lsh(one, i))
		add(new(big.Int).Neg(new(big.Int).Lsh(one, i)))
		add(new(big.Int).Sub(new(big.Int).Lsh(one, i), one))
	}
	r := rand.New(rand.NewPCG(13, 14))
	for range 5 {
		b := make([]byte, len(order))
		for i := range b {
			b[i] = byte(r.Uint32())
		}
		add(new(big.Int).SetBytes(b))
	}
	return list
}

// TestSameAndOpposite reaches the last addition with the same point twice, and with
// opposite ones: n-|d| is 32 times an odd number for one d, with which the digits of
// n-2|d| end; and those of 0 stand for n.
func TestSameAndOpposite(t *testing.T) {
	c := standardCurve(t, "P-384")
	j := c.fast
	n := new(big.Int).SetBytes(c.n)
	d := new(big.Int).Mod(n, big.NewInt(64)).Int64() - 32
	k := new(big.Int).Sub(n, big.NewInt(2*d)).Bytes()
	var r recoded
	if !j.recode(&r, k) {
		t.Fatal("not below n")
	}
	if place, negative := r.digit(0, j.count); int64(2*place+1) != d || negative != 1 {
		t.Errorf("the last digit of %x: %d, %d; want -%d", k, place, negative, d)
	}
	if got, want := mustBaseMult(t, c, k), mustMinus(t, c, 2*d); !bytes.Equal(got, want) {
		t.Errorf("%x, not %x", got, want)
	}
	if _, ok := c.BaseMult(make([]byte, 48)); ok {
		t.Error("0 times the base is a point")
	}
}

func mustBaseMult(t *testing.T, c *Curve, k []byte) []byte {
	t.Helper()
	point, ok := c.BaseMult(k)
	if !ok {
		t.Fatal("infinity")
	}
	return point
}

// mustMinus is -i times the base.
func mustMinus(t *testing.T, c *Curve, i int64) []byte {
	t.Helper()
	point := mustBaseMult(t, c, big.NewInt(i).FillBytes(make([]byte, len(c.n))))
	y := new(big.Int).SetBytes(point[1+c.f.Size():])
	y.Sub(c.p, y).FillBytes(point[1+c.f.Size():])
	return point
}

func TestRecode(t *testing.T) {
	for _, name := range []string{"P-224", "P-256", "P-384", "P-521"} {
		c := standardCurve(t, name)
		n := new(big.Int).SetBytes(c.n)
		for _, k := range edgeScalars(c.n) {
			var r recoded
			c.fast.recode(&r, k)
			sum := new(big.Int)
			for i := c.fast.count - 1; i >= 0; i-- {
				place, negative := r.digit(i, c.fast.count)
				if place >= odds {
					t.Fatalf("digit %d of %x: %d", i, k, place)
				}
				d := big.NewInt(int64(2*place + 1))
				if negative == 1 {
					d.Neg(d)
				}
				sum.Lsh(sum, window).Add(sum, d)
			}
			if r.negative == 1 {
				sum.Sub(n, sum)
			}
			if sum.Cmp(new(big.Int).SetBytes(k)) != 0 {
				t.Errorf("%s: %x: %x", name, k, sum)
			}
		}
		var r recoded
		if c.fast.recode(&r, bytes.Repeat([]byte{0xff}, len(c.n))) {
			t.Errorf("%s: takes a scalar above n", name)
		}
	}
}

func TestNonAdjacent(t *testing.T) {
	c := standardCurve(t, "P-521")
	for _, width := range []int{naf, wideNAF} {
		for _, k := range append(edgeScalars(c.n), bytes.Repeat([]byte{0xff}, 72), bytes.Repeat([]byte{0x55}, 72)) {
			var digits [nafLen]int8
			count := nonAdjacent(&digits, k, width)
			sum := new(big.Int)
			for i := nafLen - 1; i >= 0; i-- {
				d := int(digits[i])
				if d != 0 && (d%2 == 0 || d >= 1<<(width-1) || -d >= 1<<(width-1) || i >= count) {
					t.Fatalf("%x: digit %d is %d", k, i, d)
				}
				sum.Lsh(sum, 1).Add(sum, big.NewInt(int64(d)))
			}
			if sum.Cmp(new(big.Int).SetBytes(k)) != 0 {
				t.Errorf("%x: %x", k, sum)
			}
		}
	}
}
