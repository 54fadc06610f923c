package engine

import (
	"crypto/elliptic"
	"crypto/subtle"
	"slices"

	"filippo.io/nistec"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/engine/internal/ct"
	"github.com/perilune/perilune/engine/internal/weierstrass"
)

// curve is what the engine knows of one elliptic curve.
type curve struct {
	key   ck.KeyType
	names []string // of the curve, the first one is ours
	oids  []string // the first one is ours; none for user-defined curves
	bits  int      // of the field
	// size is the length in bytes of a coordinate. For curves without a group
	// it is that of points and private values.
	size int
	// group is the arithmetic of curves whose points have coordinates (CKK_EC).
	// It is made at the first call. Points of the other curves are plain
	// strings of size bytes.
	group func() group
	// nist is set where crypto/ecdsa serves.
	nist elliptic.Curve
	// prime are the parameters of a named curve over a prime field, else nil.
	prime func() *weierstrass.Params
	// ecParameters is the DER of a user-defined curve.
	ecParameters []byte
}

// group is the arithmetic of one curve whose points have coordinates: all that
// ECDSA, key agreement, key generation and the encodings of keys need. A new
// kind of curve implements it and gets its rows in the list of curves.
//
// Between the functions points travel uncompressed (SEC 1, section 2.3.3), which
// leaves out infinity, and scalars as big-endian strings of len(Order()) bytes.
// Implementations are safe for concurrent use.
type group interface {
	// FieldBits is the length of the field in bits: log2 of its size, rounded
	// up. A coordinate takes (FieldBits()+7)/8 bytes.
	FieldBits() int
	// Order is the order n of the base point, a prime, big-endian and without
	// leading zeros. It is not to be changed.
	Order() []byte
	// Cofactor is the number of points of the curve divided by n.
	Cofactor() uint64
	// Decode takes a point in uncompressed, compressed or hybrid form and
	// returns it uncompressed, in memory of its own. It refuses infinity and
	// points that are not on the curve. Which order the point has it does not
	// check: that is for InSubgroup. Points are public.
	Decode(point []byte) (uncompressed []byte, ok bool)
	// InSubgroup reports whether a point from Decode is a multiple of the base.
	// It is always true if the cofactor is 1.
	InSubgroup(point []byte) bool
	// BaseMult returns k times the base point, for 0 < k < n, in constant time.
	BaseMult(k []byte) (point []byte, ok bool)
	// Mult returns k times a point, for k < n, in constant time. ok is false
	// if that is infinity. Points outside the subgroup of the base do no harm,
	// but the result need not be right unless k is the cofactor.
	Mult(k, point []byte) (product []byte, ok bool)
	// Add returns the sum of two points, which are public. ok is false if that
	// is infinity.
	Add(p, q []byte) (sum []byte, ok bool)
	// Combine returns u times the base plus v times a point of its subgroup,
	// for u and v < n, all of them public. ok is false if that is infinity.
	Combine(u, v, point []byte) (sum []byte, ok bool)
}

// scalarSize is the length of a private value and of half a signature.
func (c *curve) scalarSize() int {
	if c.group == nil {
		return c.size
	}
	return len(c.group().Order())
}

// isScalar reports in constant time whether k is as long as n and 0 < k < n.
func isScalar(g group, k []byte) bool { return inRange(g.Order(), k) }

func inRange(n, k []byte) bool {
	if len(k) != len(n) {
		return false
	}
	borrow, bits := 0, byte(0)
	for i := len(n) - 1; i >= 0; i-- {
		borrow = (int(k[i]) - int(n[i]) - borrow) >> 8 & 1
		bits |= k[i]
	}
	return ct.Reveal(borrow&^subtle.ConstantTimeByteEq(bits, 0)) == 1
}

// nistGroup is a group over filippo.io/nistec, P being one of its points.
type nistGroup[P nistPoint[P]] struct {
	curve    elliptic.Curve
	newPoint func() P
}

type nistPoint[P any] interface {
	Bytes() []byte
	SetBytes([]byte) (P, error)
	Add(P, P) P
	ScalarMult(P, []byte) (P, error)
	ScalarBaseMult([]byte) (P, error)
}

func newNISTGroup[P nistPoint[P]](c elliptic.Curve, newPoint func() P) func() group {
	g := &nistGroup[P]{c, newPoint}
	return func() group { return g }
}

var (
	p224Group = newNISTGroup(elliptic.P224(), nistec.NewP224Point)
	p256Group = newNISTGroup(elliptic.P256(), nistec.NewP256Point)
	p384Group = newNISTGroup(elliptic.P384(), nistec.NewP384Point)
	p521Group = newNISTGroup(elliptic.P521(), nistec.NewP521Point)
)

func (g *nistGroup[P]) FieldBits() int         { return g.curve.Params().BitSize }
func (g *nistGroup[P]) Order() []byte          { return g.curve.Params().N.Bytes() }
func (g *nistGroup[P]) Cofactor() uint64       { return 1 }
func (g *nistGroup[P]) InSubgroup([]byte) bool { return true }

func (g *nistGroup[P]) Decode(b []byte) ([]byte, bool) {
	form, hybrid := splitHybrid(b)
	if !hybrid {
		form = b
	}
	if len(form) < 2 {
		return nil, false // infinity is 0
	}
	p, err := g.newPoint().SetBytes(form)
	if err != nil {
		return nil, false
	}
	return p.Bytes(), true
}

// splitHybrid turns a point in hybrid form into an uncompressed one: its first
// byte tells the last bit of y too (SEC 1, section 2.3.4, and ANSI X9.62).
func splitHybrid(b []byte) (uncompressed []byte, ok bool) {
	if len(b) < 3 || b[0] != 6|b[len(b)-1]&1 {
		return nil, false
	}
	uncompressed = slices.Clone(b)
	uncompressed[0] = 4
	return uncompressed, true
}

func (g *nistGroup[P]) BaseMult(k []byte) ([]byte, bool) {
	p, err := g.newPoint().ScalarBaseMult(k)
	return finite(p, err)
}

func (g *nistGroup[P]) Mult(k, point []byte) ([]byte, bool) {
	p, err := g.newPoint().SetBytes(point)
	if err != nil {
		return nil, false
	}
	p, err = p.ScalarMult(p, k)
	return finite(p, err)
}

func (g *nistGroup[P]) Add(p, q []byte) ([]byte, bool) {
	a, err := g.newPoint().SetBytes(p)
	if err != nil {
		return nil, false
	}
	b, err := g.newPoint().SetBytes(q)
	if err != nil {
		return nil, false
	}
	return finite(a.Add(a, b), nil)
}

func (g *nistGroup[P]) Combine(u, v, point []byte) ([]byte, bool) {
	p, err := g.newPoint().SetBytes(point)
	if err != nil {
		return nil, false
	}
	if p, err = p.ScalarMult(p, v); err != nil {
		return nil, false
	}
	base, err := g.newPoint().ScalarBaseMult(u)
	if err != nil {
		return nil, false
	}
	return finite(p.Add(p, base), nil)
}

// finite encodes a point unless it is infinity.
func finite[P nistPoint[P]](p P, err error) ([]byte, bool) {
	if err != nil {
		return nil, false
	}
	b := p.Bytes()
	return b, len(b) > 1
}
