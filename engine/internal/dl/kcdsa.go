package dl

import (
	"bytes"
	"hash"
	"math/big"

	"filippo.io/bigmod"

	"github.com/perilune/perilune/engine/internal/ct"
)

// KCDSA is the Korean certificate-based digital signature algorithm
// (TTAK.KO-12.0001, ISO/IEC 14888-3) with one hash function.
type KCDSA func() hash.Hash

// PublicKCDSA is the public key of a private key of KCDSA: g^(1/x).
func (g *Group) PublicKCDSA(x []byte) ([]byte, error) {
	s, err := g.NewSigner(x)
	if err != nil {
		return nil, err
	}
	y := g.exp(g.g, g.inverse(s.xn).Bytes(g.q)).Bytes(g.p)
	ct.Public(y)
	return trim(y), nil
}

// Prefix is z, which goes before the message: the last bits of the public key,
// as many as a block of the hash function has.
func (f KCDSA) Prefix(y []byte) []byte {
	size := f().BlockSize()
	y = trim(y)
	if len(y) > size {
		return bytes.Clone(y[len(y)-size:])
	}
	return append(make([]byte, size-len(y), size), y...)
}

// truncate cuts a digest to its last bytes, as many as q has.
func (g *Group) truncate(digest []byte) []byte {
	return digest[max(0, len(digest)-len(g.Q)):]
}

// Size is the length of a signature: r is as long as a digest or as q, whichever
// is shorter, and s as long as q.
func (f KCDSA) Size(g *Group) int { return min(f().Size(), len(g.Q)) + len(g.Q) }

// Sign signs a digest of the prefix and the message. The nonce is made like
// that of DSA.
func (f KCDSA) Sign(s *Signer, digest, random []byte, newHash func() hash.Hash) ([]byte, error) {
	nonces := newNonces(s, s.reduce(digest), random, newHash)
	for {
		k := nonces.next()
		sig, err := f.sign(s, k, digest)
		clear(k)
		if err != errNonce {
			return sig, err
		}
	}
}

// sign is r = h(g^k mod p) and s = x (k - (r xor digest)) mod q.
func (f KCDSA) sign(s *Signer, k, digest []byte) ([]byte, error) {
	kn, err := bigmod.NewNat().SetBytes(k, s.q)
	if err != nil {
		return nil, errNonce
	}
	r := f.witness(s.Group, s.exp(s.g, k).Bytes(s.p))
	ct.Public(r)
	e, err := bigmod.NewNat().SetOverflowingBytes(f.mix(s.Group, r, digest), s.q)
	if err != nil {
		return nil, ErrOrder
	}
	sn := bigmod.NewNat().Mod(kn, s.q).Sub(e, s.q).Mul(s.xn, s.q)
	if isTrue(kn.IsZero() | sn.IsZero()) {
		return nil, errNonce
	}
	return append(r, sn.Bytes(s.q)...), nil
}

// witness is r for w = g^k, as long as p.
func (f KCDSA) witness(g *Group, w []byte) []byte {
	h := f()
	h.Write(w)
	return g.truncate(h.Sum(nil))
}

// mix is r xor the digest.
func (f KCDSA) mix(g *Group, r, digest []byte) []byte {
	digest = g.truncate(digest)
	e := bytes.Clone(r)
	for i := range e {
		e[i] ^= digest[i]
	}
	return e
}

// Verify verifies a signature with a public key from CheckPublic.
func (f KCDSA) Verify(g *Group, y, digest, sig []byte) bool {
	if g.bq == nil || len(sig) != f.Size(g) {
		return false
	}
	r := sig[:len(sig)-len(g.Q)]
	s := new(big.Int).SetBytes(sig[len(r):])
	if !g.scalar(s) {
		return false
	}
	e := new(big.Int).SetBytes(f.mix(g, r, digest))
	w := g.combine(e.Mod(e, g.bq), s, y)
	return bytes.Equal(r, f.witness(g, w.FillBytes(make([]byte, len(g.P)))))
}
