package engine

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha512"
	"hash"
	"math/bits"

	"github.com/perilune/perilune/engine/internal/ct"
	"github.com/perilune/perilune/engine/internal/mont"
)

// ECDSA over any group (FIPS 186-5, section 6), in constant time. Curves of the
// standard library use crypto/ecdsa instead.

// scalarField is the integers modulo the order of a group.
type scalarField struct {
	*mont.Modulus
	order []byte
	bits  int
}

func newScalarField(g group) (*scalarField, error) {
	n := g.Order()
	// Coordinates can be longer than the order; they are reduced too.
	m, err := mont.New(n, max(8*len(n), g.FieldBits()))
	if err != nil {
		return nil, err
	}
	return &scalarField{m, n, 8*len(n) - bits.LeadingZeros8(n[0])}, nil
}

// bits2int is the leftmost bits of b, as many as the order has (RFC 6979,
// section 2.3.2). It can still be larger than the order.
func (f *scalarField) bits2int(b []byte) []byte {
	if len(b) < len(f.order) || 8*len(b) <= f.bits {
		return b
	}
	z := bytes.Clone(b[:len(f.order)])
	if shift := 8*len(z) - f.bits; shift > 0 {
		for i := len(z) - 1; i >= 0; i-- {
			z[i] >>= shift
			if i > 0 {
				z[i] |= z[i-1] << (8 - shift)
			}
		}
	}
	return z
}

func (f *scalarField) bytes(x *mont.Element) []byte {
	b := make([]byte, f.Size())
	f.Bytes(b, x)
	return b
}

// xCoordinate is that of an uncompressed point, modulo the order.
func (f *scalarField) xCoordinate(z *mont.Element, point []byte) {
	f.Set(z, point[1:1+len(point)/2])
}

// ecdsaPrivateKey signs with our own arithmetic.
type ecdsaPrivateKey struct {
	group group
	n     *scalarField
	value []byte
	d     mont.Element
}

func newECDSAPrivateKey(g group, value []byte) (*ecdsaPrivateKey, error) {
	n, err := newScalarField(g)
	if err != nil || !isScalar(g, value) {
		return nil, errPrivateValue
	}
	k := &ecdsaPrivateKey{group: g, n: n, value: value}
	n.Set(&k.d, value)
	return k, nil
}

// sign returns r and s. It takes nonces until one gives a signature, which the
// first one practically always does.
func (k *ecdsaPrivateKey) sign(digest []byte, nonces *nonceSource) (r, s []byte) {
	f := k.n
	var e mont.Element
	f.Set(&e, f.bits2int(digest))
	for {
		nonce := nonces.next()
		point, ok := k.group.BaseMult(nonce)
		if !ok {
			continue
		}
		var re, se, t mont.Element
		f.xCoordinate(&re, point)
		f.Mul(&se, &re, &k.d)
		f.Add(&se, &se, &e)
		f.Set(&t, nonce)
		f.Invert(&t, &t)
		f.Mul(&se, &se, &t)
		clear(nonce)
		if ct.Reveal(f.IsZero(&re)|f.IsZero(&se)) == 0 {
			return f.bytes(&re), f.bytes(&se)
		}
	}
}

// verifyECDSA checks a signature. The point is in the subgroup of the base.
func verifyECDSA(g group, f *scalarField, point, digest, r, s []byte) bool {
	if !isScalar(g, r) || !isScalar(g, s) {
		return false
	}
	var e, re, w, x mont.Element
	f.Set(&e, f.bits2int(digest))
	f.Set(&re, r)
	f.Set(&w, s)
	f.Invert(&w, &w)
	f.Mul(&e, &e, &w)
	f.Mul(&w, &re, &w)
	sum, ok := g.Combine(f.bytes(&e), f.bytes(&w), point)
	if !ok {
		return false
	}
	f.xCoordinate(&x, sum)
	return f.Equal(&x, &re) == 1
}

// nonceSource gives the per-message secret numbers of ECDSA by RFC 6979, section
// 3.2: from the private value and the digest, so that a weak random number
// generator does not give the key away. With more bytes (section 3.6), random
// ones, faults cannot be provoked with two signatures under one nonce either.
type nonceSource struct {
	f    *scalarField
	hash func() hash.Hash
	k, v []byte
}

// hedgedNonces is what signing uses if nothing else is asked for.
func (k *ecdsaPrivateKey) hedgedNonces(digest []byte) (*nonceSource, error) {
	more := make([]byte, 32)
	if err := Random(more); err != nil {
		return nil, err
	}
	return k.nonces(sha512.New, digest, more), nil
}

func (k *ecdsaPrivateKey) nonces(h func() hash.Hash, digest, more []byte) *nonceSource {
	var e mont.Element
	k.n.Set(&e, k.n.bits2int(digest))
	size := h().Size()
	s := &nonceSource{f: k.n, hash: h, k: make([]byte, size), v: bytes.Repeat([]byte{1}, size)}
	for round := range byte(2) {
		s.update(round, k.value, k.n.bytes(&e), more)
	}
	clear(more)
	return s
}

// update makes a new key and a new value.
func (s *nonceSource) update(round byte, parts ...[]byte) {
	mac := hmac.New(s.hash, s.k)
	mac.Write(s.v)
	mac.Write([]byte{round})
	for _, p := range parts {
		mac.Write(p)
	}
	s.k = mac.Sum(s.k[:0])
	s.step()
}

func (s *nonceSource) step() {
	mac := hmac.New(s.hash, s.k)
	mac.Write(s.v)
	s.v = mac.Sum(s.v[:0])
}

// next is steps h2 and h3. Nonces out of range are thrown away, which tells
// nothing of those that are not.
func (s *nonceSource) next() []byte {
	for {
		var t []byte
		for len(t) < len(s.f.order) {
			s.step()
			t = append(t, s.v...)
		}
		nonce := bytes.Clone(s.f.bits2int(t[:len(s.f.order)]))
		clear(t)
		s.update(0)
		if inRange(s.f.order, nonce) {
			return nonce
		}
		clear(nonce)
	}
}
