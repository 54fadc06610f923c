// Package slhdsa is SLH-DSA (FIPS 205): the functions that the standard calls
// internal, which take the message M' with its prefix, so that a digest can be
// signed as well as a message.
//
// What is looked up, and how often what is hashed, depends on the digest of the
// message, which a signature shows; never on a key.
package slhdsa

import (
	"crypto/subtle"
	"encoding/binary"
	"errors"

	"github.com/perilune/perilune/engine/internal/ct"
)

// Parameters is one parameter set (FIPS 205, table 2).
type Parameters struct {
	n      int // bytes of a hash
	layers int // of trees: d
	height int // of one tree: h'
	a, k   int // FORS has k trees of height a
	m      int // bytes of a message digest
	sha2   bool
}

// The parameter sets.
var (
	SHA2128s  = &Parameters{16, 7, 9, 12, 14, 30, true}
	SHA2128f  = &Parameters{16, 22, 3, 6, 33, 34, true}
	SHA2192s  = &Parameters{24, 7, 9, 14, 17, 39, true}
	SHA2192f  = &Parameters{24, 22, 3, 8, 33, 42, true}
	SHA2256s  = &Parameters{32, 8, 8, 14, 22, 47, true}
	SHA2256f  = &Parameters{32, 17, 4, 9, 35, 49, true}
	SHAKE128s = &Parameters{16, 7, 9, 12, 14, 30, false}
	SHAKE128f = &Parameters{16, 22, 3, 6, 33, 34, false}
	SHAKE192s = &Parameters{24, 7, 9, 14, 17, 39, false}
	SHAKE192f = &Parameters{24, 22, 3, 8, 33, 42, false}
	SHAKE256s = &Parameters{32, 8, 8, 14, 22, 47, false}
	SHAKE256f = &Parameters{32, 17, 4, 9, 35, 49, false}
)

// RandomSize is how many random bytes a signature takes.
func (p *Parameters) RandomSize() int { return p.n }

// SeedSize is how many random bytes make a key.
func (p *Parameters) SeedSize() int { return 3 * p.n }

// PublicSize is the length of a public key.
func (p *Parameters) PublicSize() int { return 2 * p.n }

// PrivateSize is the length of a private key, which ends with the public one.
func (p *Parameters) PrivateSize() int { return 4 * p.n }

// chains is how many chains a one-time signature has: two for each byte, and
// three for the checksum.
func (p *Parameters) chains() int { return 2*p.n + 3 }

func (p *Parameters) forsSize() int { return p.k * (p.a + 1) * p.n }

// layerSize is the length of a signature in one tree.
func (p *Parameters) layerSize() int { return (p.chains() + p.height) * p.n }

// SignatureSize is the length of a signature.
func (p *Parameters) SignatureSize() int { return p.n + p.forsSize() + p.layers*p.layerSize() }

var errSize = errors.New("slhdsa: wrong length")

// NewKey makes a private key from its seed, its PRF key and the public seed
// (algorithm 18).
func (p *Parameters) NewKey(seed []byte) ([]byte, error) {
	if len(seed) != p.SeedSize() {
		return nil, errSize
	}
	s := &signer{newHasher(p, seed[2*p.n:]), seed[:p.n]}
	var a address
	a.setLayer(p.layers - 1)
	root := make([]byte, p.n)
	s.treeNode(root, &a, 0, p.height)
	return append(append(make([]byte, 0, p.PrivateSize()), seed...), root...), nil
}

// Sign signs M' (algorithm 19). random has RandomSize bytes; nil makes the
// deterministic signature.
func (p *Parameters) Sign(private, message, random []byte) ([]byte, error) {
	n := p.n
	if len(private) != p.PrivateSize() || random != nil && len(random) != n {
		return nil, errSize
	}
	secret, prf, seed, root := private[:n], private[n:2*n], private[2*n:3*n], private[3*n:]
	if random == nil {
		random = seed
	}
	r := p.randomizer(prf, random, message)
	sig := append(make([]byte, 0, p.SignatureSize()), r...)
	at := p.place(p.digest(r, seed, root, message))
	s := &signer{newHasher(p, seed), secret}

	a := at.address()
	sig = s.signFORS(sig, at.md, a)
	node := make([]byte, n)
	s.forsRoot(node, sig[n:], at.md, a)
	return s.signTrees(sig, node, at), nil
}

// Verify reports whether sig is a signature of M' (algorithm 20).
func (p *Parameters) Verify(public, message, sig []byte) bool {
	n := p.n
	if len(public) != p.PublicSize() || len(sig) != p.SignatureSize() {
		return false
	}
	seed, root := public[:n], public[n:]
	r, fors, trees := sig[:n], sig[n:n+p.forsSize()], sig[n+p.forsSize():]
	at := p.place(p.digest(r, seed, root, message))
	x := newHasher(p, seed)
	node := make([]byte, n)
	x.forsRoot(node, fors, at.md, at.address())
	for layer := range p.layers {
		x.treeRoot(node, trees[layer*p.layerSize():], layer, at)
		at = at.up(p)
	}
	return subtle.ConstantTimeCompare(node, root) == 1
}

// place is where in the hypertree a message is signed.
type place struct {
	md   []byte // what FORS signs
	tree uint64
	leaf int
}

// place reads a digest (algorithm 19, lines 6 to 10).
func (p *Parameters) place(digest []byte) place {
	ct.Public(digest)
	md := (p.k*p.a + 7) / 8
	treeBits := p.height * (p.layers - 1)
	treeSize, leafSize := (treeBits+7)/8, (p.height+7)/8
	return place{
		md:   digest[:md],
		tree: number(digest[md:md+treeSize]) & (1<<treeBits - 1),
		leaf: int(number(digest[md+treeSize:md+treeSize+leafSize]) & (1<<p.height - 1)),
	}
}

func number(b []byte) uint64 {
	var x [8]byte
	copy(x[8-len(b):], b)
	return binary.BigEndian.Uint64(x[:])
}

// up is the place in the next layer.
func (at place) up(p *Parameters) place {
	at.leaf = int(at.tree & (1<<p.height - 1))
	at.tree >>= p.height
	return at
}

// address is that of the FORS key of the place.
func (at place) address() *address {
	var a address
	a.setTree(at.tree)
	a.setType(typeFORSTree)
	a.setKeyPair(at.leaf)
	return &a
}
