package weierstrass

import (
	"bytes"
	"crypto/elliptic"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math/big"
	"testing"

	"filippo.io/nistec"

	"github.com/perilune/perilune/engine/internal/isa"
)

// standard are curves of which there is another implementation to compare with.
var standard = map[string]struct {
	params *elliptic.CurveParams
	mult   func(k, point []byte) ([]byte, error)
}{
	"P-224": {params: elliptic.P224().Params(), mult: multBy(nistec.NewP224Point)},
	"P-256": {params: elliptic.P256().Params(), mult: multBy(nistec.NewP256Point)},
	"P-384": {params: elliptic.P384().Params(), mult: multBy(nistec.NewP384Point)},
	"P-521": {params: elliptic.P521().Params(), mult: multBy(nistec.NewP521Point)},
}

type theirs[P any] interface {
	SetBytes([]byte) (P, error)
	ScalarMult(P, []byte) (P, error)
	Bytes() []byte
}

func multBy[P theirs[P]](newPoint func() P) func(k, point []byte) ([]byte, error) {
	return func(k, point []byte) ([]byte, error) {
		p, err := newPoint().SetBytes(point)
		if err != nil {
			return nil, err
		}
		if p, err = p.ScalarMult(p, k); err != nil {
			return nil, err
		}
		return p.Bytes(), nil
	}
}

func paramsOf(p *elliptic.CurveParams) *Params {
	a := new(big.Int).Sub(p.P, big.NewInt(3))
	size := (p.BitSize + 7) / 8
	base := append([]byte{4}, p.Gx.FillBytes(make([]byte, size))...)
	base = append(base, p.Gy.FillBytes(make([]byte, size))...)
	return &Params{p.P.Bytes(), a.Bytes(), p.B.Bytes(), base, p.N.Bytes(), 1}
}

func standardCurve(t testing.TB, name string) *Curve {
	t.Helper()
	c, err := New(paramsOf(standard[name].params))
	if err != nil {
		t.Fatal(name, err)
	}
	return c
}

// variants are all ways to compute with a curve.
func variants(t testing.TB, params *Params) map[string]*Curve {
	t.Helper()
	list := map[string]*Curve{}
	for _, adx := range []bool{false, isa.ADX()} {
		for _, complete := range []bool{false, true} {
			c, err := newFor(params, adx)
			if err != nil {
				t.Fatal(err)
			}
			if complete {
				c.fast = nil
			}
			list[fmt.Sprintf("ADX %v, complete formulas %v", adx, complete)] = c
		}
	}
	return list
}

// scalars are the edges and a few at random, but always the same. One curve
// gets them all, as the code is the same for the others.
func scalars(c *Curve) (list [][]byte) {
	edges := int64(2)
	if c.FieldBits() == 256 {
		edges = 18 // beyond the largest digit
	}
	n := new(big.Int).SetBytes(c.Order())
	add := func(k *big.Int) { list = append(list, k.FillBytes(make([]byte, len(c.Order())))) }
	for i := int64(0); i < edges; i++ {
		add(big.NewInt(i))
		add(new(big.Int).Sub(n, big.NewInt(i+1)))
	}
	for i := uint(0); i < uint(n.BitLen()-1); i += 131 {
		add(new(big.Int).Lsh(big.NewInt(1), i))
	}
	for i := range byte(5) {
		k := new(big.Int)
		for j := range byte(3) {
			h := sha256.Sum256([]byte{i, j})
			k.Lsh(k, 256).Add(k, new(big.Int).SetBytes(h[:]))
		}
		add(k.Mod(k, n))
	}
	return list
}

// TestStandard compares multiplication with that of nistec, with the a = -3 that
// the curves have and as if that were any a.
func TestStandard(t *testing.T) {
	for name, s := range standard {
		for variant, c := range variants(t, paramsOf(s.params)) {
			name := name + ", " + variant
			base, _ := c.encode(&c.base)
			seven := make([]byte, len(c.n))
			seven[len(seven)-1] = 7
			point, _ := c.Mult(seven, base)
			for _, k := range scalars(c) {
				if c.fast == nil {
					c.kind = anyA
					checkMult(t, name, c, s.mult, k, point)
					c.kind = minus3A
				}
				checkMult(t, name, c, s.mult, k, point)
				got, _ := c.BaseMult(k)
				if again, _ := c.Mult(k, base); !bytes.Equal(got, again) {
					t.Fatalf("%s: %x times the base: the comb differs", name, k)
				}
			}
		}
	}
}

func checkMult(t *testing.T, name string, c *Curve, mult func(k, point []byte) ([]byte, error), k, point []byte) {
	t.Helper()
	want, err := mult(k, point)
	if err != nil {
		t.Fatal(err)
	}
	got, ok := c.Mult(k, point)
	if ok != (len(want) > 1) || ok && !bytes.Equal(got, want) {
		t.Fatalf("%s: %x times %x: %x, not %x", name, k, point, got, want)
	}
}

// TestCombine checks that u*G + v*(7*G) = (u + 7v)*G.
func TestCombine(t *testing.T) {
	for name, s := range standard {
		for variant, c := range variants(t, paramsOf(s.params)) {
			testCombine(t, name+", "+variant, c)
		}
	}
}

func testCombine(t *testing.T, name string, c *Curve) {
	n := new(big.Int).SetBytes(c.n)
	list := scalars(c)
	fill := func(k *big.Int) []byte { return k.FillBytes(make([]byte, len(c.n))) }
	point, _ := c.BaseMult(fill(big.NewInt(7)))
	for i, u := range list[:len(list)/2] {
		v := list[len(list)-1-i]
		sum := new(big.Int).Mul(new(big.Int).SetBytes(v), big.NewInt(7))
		sum.Add(sum, new(big.Int).SetBytes(u)).Mod(sum, n)
		want, _ := c.BaseMult(fill(sum))
		got, ok := c.Combine(u, v, point)
		if ok != (sum.Sign() != 0) || !bytes.Equal(got, want) {
			t.Fatalf("%s: %x, %x", name, u, v)
		}
		if ok {
			x := new(big.Int).SetBytes(got[1 : 1+len(got)/2])
			r := fill(x.Mod(x, n))
			if !c.CombinesTo(r, u, v, point) {
				t.Fatalf("%s: %x, %x: another x", name, u, v)
			}
			if r[len(r)-1] ^= 1; c.CombinesTo(r, u, v, point) {
				t.Fatalf("%s: %x, %x: any x", name, u, v)
			}
		} else if c.CombinesTo(u, u, v, point) {
			t.Fatalf("%s: %x, %x: infinity has an x", name, u, v)
		}
	}
	// u = -7v: infinity; u = 7v: doubling.
	v := big.NewInt(5)
	if _, ok := c.Combine(fill(new(big.Int).Sub(n, big.NewInt(35))), fill(v), point); ok {
		t.Errorf("%s: infinity has an encoding", name)
	}
	want, _ := c.BaseMult(fill(big.NewInt(70)))
	if got, _ := c.Combine(fill(big.NewInt(35)), fill(v), point); !bytes.Equal(got, want) {
		t.Errorf("%s: doubling within a sum", name)
	}
}

func TestDecode(t *testing.T) {
	c := standardCurve(t, "P-256")
	point, _ := c.encode(&c.base)
	odd := point[64] & 1
	good := map[string][]byte{
		"uncompressed": point,
		"compressed":   append([]byte{2 | odd}, point[1:33]...),
		"hybrid":       append([]byte{6 | odd}, point[1:]...),
	}
	for name, b := range good {
		before := bytes.Clone(b)
		if got, ok := c.Decode(b); !ok || !bytes.Equal(got, point) || !bytes.Equal(b, before) {
			t.Errorf("%s: %x", name, got)
		}
	}
	p := standard["P-256"].params.P.Bytes()
	for name, b := range map[string][]byte{
		"nothing":         nil,
		"infinity":        {0},
		"zeros":           make([]byte, 65),
		"04 and zeros":    append([]byte{4}, make([]byte, 64)...),
		"short":           point[:64],
		"long":            append(bytes.Clone(point), 0),
		"wrong form":      append([]byte{5}, point[1:]...),
		"wrong bit":       append([]byte{7 - odd}, point[1:]...),
		"x = p":           append(append([]byte{4}, p...), point[33:]...),
		"x = p, alone":    append([]byte{2}, p...),
		"y = p":           append(bytes.Clone(point[:33]), p...),
		"no y":            append([]byte{2}, bytes.Repeat([]byte{0xff}, 32)...),
		"compressed as 4": append([]byte{4}, point[1:33]...),
	} {
		if _, ok := c.Decode(b); ok {
			t.Errorf("%s: accepted", name)
		}
		if _, ok := c.Mult(make([]byte, 32), b); ok {
			t.Errorf("%s: multiplied", name)
		}
	}
}

func unhex(s string) []byte {
	b, err := hex.DecodeString(s)
	if err != nil {
		panic(err)
	}
	return b
}

// secp112r2 has the cofactor 4 (SEC 2, version 1.0, section 2.2.2).
func secp112r2() *Params {
	return &Params{
		P: unhex("db7c2abf62e35e668076bead208b"), A: unhex("6127c24c05f38a0aaaf65c0ef02c"),
		B:    unhex("51def1815db5ed74fcc34c85d709"),
		Base: unhex("044ba30ab5e892b4e1649dd0928643adcd46f5882e3747def36e956e97"), N: unhex("36df0aafd8b8d7597ca10520d04b"), H: 4,
	}
}

// TestCofactor looks at points outside the subgroup of the base, those of order
// 2 among them: with these the formulas break down, which must not look like
// infinity.
func TestCofactor(t *testing.T) {
	c, err := New(secp112r2())
	if err != nil {
		t.Fatal(err)
	}
	inside, outside := 0, 0
	x := make([]byte, 14)
	for i := range byte(64) {
		x[13] = i
		point, ok := c.Decode(append([]byte{2}, x...))
		if !ok {
			continue
		}
		cleared, ok := c.Mult(append(make([]byte, 13), 4), point)
		if c.InSubgroup(point) {
			inside++
		} else {
			outside++
		}
		if !ok || !c.InSubgroup(cleared) {
			t.Errorf("4 times %x is not in the subgroup", point)
		}
	}
	if inside == 0 || outside < inside {
		t.Errorf("%d points inside, %d outside", inside, outside)
	}
	if two := pointOfOrder2(t, c); c.InSubgroup(two) {
		t.Error("the point of order 2 is in the subgroup")
	}
}

// pointOfOrder2 finds n times a point of order 2n, adding by the textbook.
func pointOfOrder2(t *testing.T, c *Curve) []byte {
	t.Helper()
	p := c.p
	a, b := new(big.Int).SetBytes(secp112r2().A), new(big.Int).SetBytes(secp112r2().B)
	// x^3 + a*x + b = 0 by Newton's iteration does not work mod p; the point
	// comes from the textbook sum instead.
	add := func(x1, y1, x2, y2 *big.Int) (x, y *big.Int) {
		if x1 == nil {
			return x2, y2
		}
		if x2 == nil {
			return x1, y1
		}
		l, d := new(big.Int), new(big.Int)
		if x1.Cmp(x2) == 0 {
			if new(big.Int).Mod(new(big.Int).Add(y1, y2), p).Sign() == 0 {
				return nil, nil
			}
			l.Mul(x1, x1).Mul(l, big.NewInt(3)).Add(l, a)
			d.Lsh(y1, 1)
		} else {
			l.Sub(y2, y1)
			d.Sub(x2, x1)
		}
		l.Mul(l, d.ModInverse(d.Mod(d, p), p))
		x = new(big.Int).Mul(l, l)
		x.Sub(x, x1).Sub(x, x2).Mod(x, p)
		y = new(big.Int).Sub(x1, x)
		y.Mul(y, l).Sub(y, y1).Mod(y, p)
		return x, y
	}
	n := new(big.Int).SetBytes(c.n)
	for i := int64(1); i < 100; i++ {
		x := big.NewInt(i)
		y := new(big.Int).Exp(x, big.NewInt(3), p)
		y.Add(y, new(big.Int).Mul(a, x)).Add(y, b).Mod(y, p)
		if y.ModSqrt(y, p) == nil {
			continue
		}
		var rx, ry *big.Int
		for j := n.BitLen() - 1; j >= 0; j-- {
			rx, ry = add(rx, ry, rx, ry)
			if n.Bit(j) == 1 {
				rx, ry = add(rx, ry, x, y)
			}
		}
		for rx != nil {
			if ry.Sign() == 0 {
				point := append([]byte{4}, rx.FillBytes(make([]byte, 14))...)
				return append(point, ry.FillBytes(make([]byte, 14))...)
			}
			rx, ry = add(rx, ry, rx, ry)
		}
	}
	t.Fatal("no point of order 2")
	return nil
}

func TestCheck(t *testing.T) {
	for name, s := range standard {
		if err := Check(paramsOf(s.params)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	params := secp112r2()
	if err := Check(params); err != nil {
		t.Error(err)
	}
	if params.H = 0; Check(params) != nil || params.H != 4 {
		t.Errorf("finds the cofactor %d", params.H)
	}
}

func TestCheckRefuses(t *testing.T) {
	p256 := standard["P-256"].params
	plus := func(b []byte, i int64) []byte {
		return new(big.Int).Add(new(big.Int).SetBytes(b), big.NewInt(i)).Bytes()
	}
	for name, change := range map[string]func(p *Params){
		"nothing":            func(p *Params) { *p = Params{} },
		"p not prime":        func(p *Params) { p.P = plus(p.P, 2) },
		"p even":             func(p *Params) { p.P = plus(p.P, 1) },
		"p too long":         func(p *Params) { p.P = new(big.Int).Lsh(p256.P, 300).Bytes() },
		"p too short":        func(p *Params) { p.P = []byte{0xff, 0xf1} },
		"a not reduced":      func(p *Params) { p.A = plus(p.P, -3+1<<40) },
		"another a":          func(p *Params) { p.A = plus(p.A, -1) },
		"b not reduced":      func(p *Params) { p.B = p.P },
		"another b":          func(p *Params) { p.B = plus(p.B, 1) },
		"base not on curve":  func(p *Params) { p.Base = plus(p.Base, 1) },
		"no base":            func(p *Params) { p.Base = nil },
		"base at infinity":   func(p *Params) { p.Base = []byte{0} },
		"n not prime":        func(p *Params) { p.N = plus(p.N, 2) },
		"n another prime":    func(p *Params) { p.N = primeNear(p.N) },
		"n = p":              func(p *Params) { p.N = p.P },
		"n small":            func(p *Params) { p.N = []byte{7} },
		"n zero":             func(p *Params) { p.N = nil },
		"n twice as large":   func(p *Params) { p.N = new(big.Int).Lsh(p256.N, 1).Bytes() },
		"cofactor 2":         func(p *Params) { p.H = 2 },
		"singular":           func(p *Params) { p.A, p.B = nil, nil },
		"y^2 = (x-1)^2(x+2)": func(p *Params) { p.A, p.B = plus(p.P, -3), []byte{2} },
	} {
		params := paramsOf(p256)
		change(params)
		if Check(params) == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func primeNear(b []byte) []byte {
	x := new(big.Int).SetBytes(b)
	for x.Add(x, big.NewInt(2)); !x.ProbablyPrime(0); {
		x.Add(x, big.NewInt(2))
	}
	return x.Bytes()
}

// TestSupersingular offers y^2 = x^3 + x over p = 3 mod 4, which has p+1 points:
// everything fits but the embedding degree, which is 2.
func TestSupersingular(t *testing.T) {
	one := big.NewInt(1)
	n := new(big.Int).Lsh(one, 126)
	p := new(big.Int)
	for { // p + 1 = 4n, with n and p prime
		n.Add(n, one)
		if !n.ProbablyPrime(0) {
			continue
		}
		p.Lsh(n, 2).Sub(p, one)
		if p.ProbablyPrime(0) {
			break
		}
	}
	params := &Params{P: p.Bytes(), A: []byte{1}, B: nil, N: n.Bytes(), H: 4}
	params.Base = multipleOf4(t, params)
	c, err := New(params)
	if err != nil || !c.hasOrderN(&c.base) {
		t.Fatal("not what the test is about")
	}
	if Check(params) == nil {
		t.Error("accepted")
	}
}

func multipleOf4(t *testing.T, params *Params) []byte {
	t.Helper()
	for x := byte(1); ; x++ {
		try := *params
		try.Base = append([]byte{2}, make([]byte, len(params.P))...)
		try.Base[len(params.P)] = x
		c, err := New(&try)
		if err != nil {
			continue // no point has this x
		}
		var r point
		c.double(&r, &c.base)
		c.double(&r, &r)
		if b, ok := c.encode(&r); ok {
			return b
		}
	}
}

func TestDigits(t *testing.T) {
	c := standardCurve(t, "P-521")
	for _, k := range append(scalars(c), bytes.Repeat([]byte{0xff}, 66), bytes.Repeat([]byte{0x84, 0x21, 8}, 22)) {
		sum := new(big.Int)
		list := digits(k)
		for i := len(list) - 1; i >= 0; i-- {
			d := new(big.Int).SetUint64(list[i].size)
			if list[i].size > 16 || list[i].negative > 1 {
				t.Fatal(list[i])
			}
			if list[i].negative == 1 {
				d.Neg(d)
			}
			sum.Lsh(sum, window).Add(sum, d)
		}
		if sum.Cmp(new(big.Int).SetBytes(k)) != 0 {
			t.Errorf("%x: %x", k, sum)
		}
	}
}

func BenchmarkMult(b *testing.B) {
	for _, name := range []string{"P-256", "P-384", "P-521"} {
		c := standardCurve(b, name)
		base, _ := c.encode(&c.base)
		k := scalars(c)[len(scalars(c))-1]
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				c.Mult(k, base)
			}
		})
		b.Run(name+" base", func(b *testing.B) {
			for b.Loop() {
				c.BaseMult(k)
			}
		})
	}
}
