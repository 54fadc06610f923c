package engine

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha512"
	"hash"
	"math/bits"
	"sync"

	"github.com/perilune/perilune/engine/internal/ct"
	"github.com/perilune/perilune/engine/internal/mont"
)

// ECDSA over any group (FIPS 186-5, section 6), in constant time where there are
// secrets.

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
	return f.shift(bytes.Clone(b[:len(f.order)]))
}

// shift drops the last bits of z, as many as it has more than the order.
func (f *scalarField) shift(z []byte) []byte {
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

// setDigest makes z the number that stands for a digest.
func (f *scalarField) setDigest(z *mont.Element, digest []byte) {
	var buf [maxScalar]byte
	if len(digest) >= len(f.order) && 8*len(digest) > f.bits {
		digest = f.shift(buf[:copy(buf[:len(f.order)], digest)])
	}
	f.Set(z, digest)
}

func (f *scalarField) bytes(x *mont.Element) []byte {
	b := make([]byte, f.Size())
	f.Bytes(b, x)
	return b
}

// ecdsaPrivateKey signs with our own arithmetic.
type ecdsaPrivateKey struct {
	group group
	n     *scalarField
	value []byte
	d     mont.Element
	// coordinate is the length of one.
	coordinate int
}

func newECDSAPrivateKey(g group, value []byte) (*ecdsaPrivateKey, error) {
	n, err := newScalarField(g)
	if err != nil || !isScalar(g, value) {
		return nil, errPrivateValue
	}
	k := &ecdsaPrivateKey{group: g, n: n, value: value, coordinate: (g.FieldBits() + 7) / 8}
	n.Set(&k.d, value)
	return k, nil
}

// xGroup is implemented by groups that can do without points in memory what
// ECDSA needs.
type xGroup interface {
	// BaseX writes the x coordinate of k times the base to x, for 0 < k < n, in
	// constant time.
	BaseX(x, k []byte) bool
	// CombinesTo reports whether the x coordinate of u times the base plus v times
	// a point, all of them public, is r modulo n.
	CombinesTo(r, u, v, point []byte) bool
}

// baseX returns the x coordinate of k times the base, in buf.
func baseX(g group, buf, k []byte) ([]byte, bool) {
	if g, ok := g.(xGroup); ok {
		return buf, g.BaseX(buf, k)
	}
	point, ok := g.BaseMult(k)
	if !ok {
		return nil, false
	}
	return point[1 : 1+len(point)/2], true
}

// nonceSource gives the per-message secret numbers of ECDSA, as long as the order,
// and 0 < nonce < n.
type nonceSource interface {
	next(nonce []byte) error
}

// maxScalar is the length of the longest order and of the longest coordinate.
const maxScalar = 72

// ecdsaScratch is what a signature or a verification works in.
type ecdsaScratch struct {
	nonce, x [maxScalar]byte
	u, v     [maxScalar]byte
	hedged   hedgedNonces
}

var ecdsaScratches = sync.Pool{New: func() any { return new(ecdsaScratch) }}

func (w *ecdsaScratch) done() {
	clear(w.nonce[:])
	clear(w.x[:])
	ecdsaScratches.Put(w)
}

// signHedged signs with nonces from the private key, the digest and random bytes.
func (k *ecdsaPrivateKey) signHedged(dst, digest []byte) (int, error) {
	w := ecdsaScratches.Get().(*ecdsaScratch)
	defer w.done()
	w.hedged.init(k, digest)
	defer w.hedged.done()
	return k.signIn(w, dst, digest, &w.hedged)
}

// sign writes r and s behind one another.
func (k *ecdsaPrivateKey) sign(dst, digest []byte, nonces nonceSource) (int, error) {
	w := ecdsaScratches.Get().(*ecdsaScratch)
	defer w.done()
	return k.signIn(w, dst, digest, nonces)
}

// signIn takes nonces until one gives a signature, which the first one practically
// always does.
func (k *ecdsaPrivateKey) signIn(w *ecdsaScratch, dst, digest []byte, nonces nonceSource) (int, error) {
	f, size := k.n, len(k.n.order)
	nonce := w.nonce[:size]
	var e mont.Element
	f.setDigest(&e, digest)
	for {
		if err := nonces.next(nonce); err != nil {
			return 0, err
		}
		x, ok := baseX(k.group, w.x[:k.coordinate], nonce)
		if !ok {
			continue
		}
		var re, se, t mont.Element
		f.Set(&re, x)
		f.Mul(&se, &re, &k.d)
		f.Add(&se, &se, &e)
		f.Set(&t, nonce)
		f.Invert(&t, &t)
		f.Mul(&se, &se, &t)
		if ct.Reveal(f.IsZero(&re)|f.IsZero(&se)) == 0 {
			f.Bytes(dst[:size], &re)
			f.Bytes(dst[size:2*size], &se)
			return 2 * size, nil
		}
	}
}

// verifyECDSA checks a signature. The point is in the subgroup of the base.
func verifyECDSA(g group, f *scalarField, point, digest, r, s []byte) bool {
	if !inRange(f.order, r) || !inRange(f.order, s) {
		return false
	}
	var e, re, t mont.Element
	f.setDigest(&e, digest)
	f.Set(&re, r)
	f.Set(&t, s)
	f.Invert(&t, &t)
	f.Mul(&e, &e, &t)
	f.Mul(&t, &re, &t)
	w := ecdsaScratches.Get().(*ecdsaScratch)
	defer w.done()
	u, v := w.u[:len(f.order)], w.v[:len(f.order)]
	f.Bytes(u, &e)
	f.Bytes(v, &t)
	if g, ok := g.(xGroup); ok {
		return g.CombinesTo(r, u, v, point)
	}
	sum, ok := g.Combine(u, v, point)
	if !ok {
		return false
	}
	f.Set(&t, sum[1:1+len(sum)/2])
	return f.Equal(&t, &re) == 1
}

// hedgedNonces makes nonces of the private key, the digest and random bytes, by
// SHA-512. Without the key nobody can tell them; a weak random number generator
// gives nonces that depend on the digest still, so that it does not give the key
// away; and with the random bytes, two signatures of one digest have nothing in
// common by which a fault could. The output is longer than the order by 64 bits or
// more, so that its rest is as good as uniform (FIPS 186-5, appendix A.3.1).
type hedgedNonces struct {
	n  *scalarField
	in [1 + maxScalar + hedgeLen + maxScalar]byte
	// used is the length of in: a counter, the private value, random bytes, the
	// digest as a number.
	used int
	wide [2 * sha512.Size]byte
}

// hedgeLen is the length of the random bytes.
const hedgeLen = 32

func (s *hedgedNonces) init(k *ecdsaPrivateKey, digest []byte) {
	size := len(k.n.order)
	var e mont.Element
	k.n.setDigest(&e, digest)
	s.n = k.n
	s.used = 1 + size + hedgeLen + size
	copy(s.in[1:], k.value)
	k.n.Bytes(s.in[1+size+hedgeLen:s.used], &e)
}

func (s *hedgedNonces) next(nonce []byte) error {
	size := len(s.n.order)
	for {
		if err := Random(s.in[1+size : 1+size+hedgeLen]); err != nil {
			return err
		}
		blocks := 1 + (s.n.bits+64-1)/(8*sha512.Size)
		for i := range blocks {
			s.in[0] = byte(i)
			out := sha512.Sum512(s.in[:s.used])
			copy(s.wide[i*sha512.Size:], out[:])
		}
		var k mont.Element
		s.n.SetWide(&k, s.wide[:min(blocks*sha512.Size, 16*s.n.Limbs())])
		s.n.Bytes(nonce, &k)
		if ct.Reveal(s.n.IsZero(&k)) == 0 {
			return nil
		}
	}
}

func (s *hedgedNonces) done() {
	clear(s.in[:])
	clear(s.wide[:])
}

// rfc6979 gives nonces by RFC 6979, section 3.2: from the private value and the
// digest, always the same.
type rfc6979 struct {
	f    *scalarField
	hash func() hash.Hash
	k, v []byte
}

func (k *ecdsaPrivateKey) deterministic(h func() hash.Hash, digest []byte) *rfc6979 {
	var e mont.Element
	k.n.setDigest(&e, digest)
	size := h().Size()
	s := &rfc6979{f: k.n, hash: h, k: make([]byte, size), v: bytes.Repeat([]byte{1}, size)}
	for round := range byte(2) {
		s.update(round, k.value, k.n.bytes(&e))
	}
	return s
}

// update makes a new key and a new value.
func (s *rfc6979) update(round byte, parts ...[]byte) {
	mac := hmac.New(s.hash, s.k)
	mac.Write(s.v)
	mac.Write([]byte{round})
	for _, p := range parts {
		mac.Write(p)
	}
	s.k = mac.Sum(s.k[:0])
	s.step()
}

func (s *rfc6979) step() {
	mac := hmac.New(s.hash, s.k)
	mac.Write(s.v)
	s.v = mac.Sum(s.v[:0])
}

// next is steps h2 and h3. Nonces out of range are thrown away, which tells
// nothing of those that are not.
func (s *rfc6979) next(nonce []byte) error {
	for {
		var t []byte
		for len(t) < len(s.f.order) {
			s.step()
			t = append(t, s.v...)
		}
		copy(nonce, s.f.bits2int(t[:len(s.f.order)]))
		clear(t)
		s.update(0)
		if inRange(s.f.order, nonce) {
			return nil
		}
	}
}
