package dl

import (
	"errors"
	"hash"
	"math/big"

	"filippo.io/bigmod"
)

// errNonce says that a nonce does not serve and that the next one is to be tried.
var errNonce = errors.New("dl: another nonce is needed")

// Signer is a private key that signs. q is a whole number of bytes long.
type Signer struct {
	*Group
	x  []byte
	xn *bigmod.Nat
}

// NewSigner makes a signer of a private key from CheckPrivate or NewPrivate.
func (g *Group) NewSigner(x []byte) (*Signer, error) {
	if g.q == nil || g.OrderBits()%8 != 0 {
		return nil, ErrOrder
	}
	n, err := bigmod.NewNat().SetBytes(x, g.q)
	if err != nil || isTrue(n.IsZero()) {
		return nil, ErrPrivate
	}
	return &Signer{g, x, n}, nil
}

// DSA signs a digest (FIPS 186-4, section 4.6): r and s, each as long as q. The
// nonce is that of RFC 6979 with the hash function newHash and random bytes,
// which may be nil.
func (s *Signer) DSA(digest, random []byte, newHash func() hash.Hash) ([]byte, error) {
	z := s.reduce(digest)
	nonces := newNonces(s, z, random, newHash)
	for {
		k := nonces.next()
		sig, err := s.dsa(k, z)
		clear(k)
		if err != errNonce {
			return sig, err
		}
	}
}

// reduce is the number that the leading bits of a digest make, modulo q.
func (g *Group) reduce(digest []byte) *bigmod.Nat {
	n, err := bigmod.NewNat().SetOverflowingBytes(digest[:min(len(digest), len(g.Q))], g.q)
	if err != nil {
		panic("dl: the digest was cut") // to the length of q
	}
	return n
}

// dsa is s = k^-1 (z + xr) mod q, with the inverse by Fermat's little theorem.
func (s *Signer) dsa(k []byte, z *bigmod.Nat) ([]byte, error) {
	kn, err := bigmod.NewNat().SetBytes(k, s.q)
	if err != nil {
		return nil, errNonce
	}
	r := bigmod.NewNat().Mod(s.exp(s.g, k), s.q)
	sn := bigmod.NewNat().Mod(r, s.q).Mul(s.xn, s.q).Add(z, s.q).Mul(s.inverse(kn), s.q)
	if isTrue(kn.IsZero() | r.IsZero() | sn.IsZero()) {
		return nil, errNonce
	}
	return append(r.Bytes(s.q), sn.Bytes(s.q)...), nil
}

// inverse is x^-1 mod q.
func (g *Group) inverse(x *bigmod.Nat) *bigmod.Nat {
	return bigmod.NewNat().Exp(x, new(big.Int).Sub(g.bq, big.NewInt(2)).Bytes(), g.q)
}

// VerifyDSA verifies a signature (section 4.7) with a public key from
// CheckPublic.
func (g *Group) VerifyDSA(y, digest, sig []byte) bool {
	if g.bq == nil || len(sig) != 2*len(g.Q) {
		return false
	}
	r, s := new(big.Int).SetBytes(sig[:len(g.Q)]), new(big.Int).SetBytes(sig[len(g.Q):])
	if !g.scalar(r) || !g.scalar(s) {
		return false
	}
	z := new(big.Int).SetBytes(digest[:min(len(digest), len(g.Q))])
	w := new(big.Int).ModInverse(s, g.bq)
	u1 := z.Mul(z, w).Mod(z, g.bq)
	u2 := w.Mul(w, r).Mod(w, g.bq)
	v := g.combine(u1, u2, y)
	return v.Mod(v, g.bq).Cmp(r) == 0
}

// scalar reports whether 0 < x < q.
func (g *Group) scalar(x *big.Int) bool { return x.Sign() > 0 && x.Cmp(g.bq) < 0 }

// combine is g^u y^v mod p.
func (g *Group) combine(u, v *big.Int, y []byte) *big.Int {
	a := new(big.Int).Exp(g.bg, u, g.bp)
	b := new(big.Int).Exp(new(big.Int).SetBytes(y), v, g.bp)
	return a.Mul(a, b).Mod(a, g.bp)
}
