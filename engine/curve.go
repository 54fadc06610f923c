package engine

import (
	"crypto/elliptic"
	"crypto/fips140"
	"crypto/subtle"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/engine/internal/ct"
	"github.com/perilune/perilune/engine/internal/isa"
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
	// nist is set for curves of the standard library: see standardServes.
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

// standardOnly reports whether the standard library must serve the curve: where Go's
// FIPS mode is on.
func (c *curve) standardOnly() bool { return c.nist != nil && fips140.Enabled() }

// standardServes reports whether the standard library multiplies points of the
// curve: where it must, and P-256 where it has assembly and we have none.
func (c *curve) standardServes() bool {
	return c.standardOnly() || c.nist == elliptic.P256() && !isa.ADX()
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
