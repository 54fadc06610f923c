// Package xmss verifies signatures of XMSS and XMSS^MT (RFC 8391, with the
// parameter sets of NIST SP 800-208). All that it works on is public.
package xmss

import (
	"bytes"
	"crypto/sha256"
	"crypto/sha3"
	"crypto/sha512"
	"encoding/binary"
	"errors"
)

// parameters is one parameter set.
type parameters struct {
	n      int // bytes of a hash
	pad    int // bytes of what tells the hash functions apart
	hash   func(b []byte, n int) []byte
	height int // of all trees together
	layers int
	multi  bool // XMSS^MT, whose signatures begin otherwise
}

// families are the hash functions, in the order of the numbers.
var families = []struct {
	n, pad int
	hash   func(b []byte, n int) []byte
}{
	{32, 32, func(b []byte, n int) []byte { x := sha256.Sum256(b); return x[:n] }},
	{64, 64, func(b []byte, n int) []byte { x := sha512.Sum512(b); return x[:n] }},
	{32, 32, sha3.SumSHAKE128},
	{64, 64, sha3.SumSHAKE256},
	{24, 4, func(b []byte, n int) []byte { x := sha256.Sum256(b); return x[:n] }},
	{32, 32, sha3.SumSHAKE256},
	{24, 4, sha3.SumSHAKE256},
}

// The heights and layers of a family, in the order of the numbers.
var (
	single   = [][2]int{{10, 1}, {16, 1}, {20, 1}}
	multiple = [][2]int{{20, 2}, {20, 4}, {40, 2}, {40, 4}, {40, 8}, {60, 3}, {60, 6}, {60, 12}}
)

// find reads the number of a parameter set, from 1 on.
func find(oid uint32, multi bool) (*parameters, bool) {
	shapes := single
	if multi {
		shapes = multiple
	}
	i := int(oid) - 1
	if oid == 0 || i >= len(shapes)*len(families) {
		return nil, false
	}
	f, shape := families[i/len(shapes)], shapes[i%len(shapes)]
	return &parameters{f.n, f.pad, f.hash, shape[0], shape[1], multi}, true
}

// chains is how many chains a one-time signature has: two for each byte, and
// three for the checksum.
func (p *parameters) chains() int { return 2*p.n + 3 }

// treeHeight is the height of one tree.
func (p *parameters) treeHeight() int { return p.height / p.layers }

func (p *parameters) indexSize() int {
	if p.multi {
		return (p.height + 7) / 8
	}
	return 4
}

func (p *parameters) layerSize() int { return (p.chains() + p.treeHeight()) * p.n }

func (p *parameters) signatureSize() int {
	return p.indexSize() + p.n + p.layers*p.layerSize()
}

// PublicKey is a public key.
type PublicKey struct {
	p          *parameters
	oid        uint32
	root, seed []byte
}

var errKey = errors.New("xmss: malformed public key")

// NewPublicKey reads an encoded public key (RFC 8391, section 4.1.7), of
// XMSS^MT if multi.
func NewPublicKey(b []byte, multi bool) (*PublicKey, error) {
	if len(b) < 4 {
		return nil, errKey
	}
	oid := binary.BigEndian.Uint32(b)
	p, ok := find(oid, multi)
	if !ok || len(b) != 4+2*p.n {
		return nil, errKey
	}
	b = bytes.Clone(b[4:])
	return &PublicKey{p, oid, b[:p.n], b[p.n:]}, nil
}

// OID is the number of the parameter set.
func (k *PublicKey) OID() uint32 { return k.oid }

// SignatureSize is the length of a signature.
func (k *PublicKey) SignatureSize() int { return k.p.signatureSize() }

// Verify reports whether sig is a signature of the message (algorithms 14 and
// 17).
func (k *PublicKey) Verify(message, sig []byte) bool {
	p := k.p
	if len(sig) != p.signatureSize() {
		return false
	}
	var long [8]byte
	copy(long[8-p.indexSize():], sig)
	index := binary.BigEndian.Uint64(long[:])
	if index>>p.height != 0 {
		return false
	}
	sig = sig[p.indexSize():]
	node := k.messageHash(sig[:p.n], index, message)
	sig = sig[p.n:]
	for layer := range p.layers {
		leaf := index & (1<<p.treeHeight() - 1)
		index >>= p.treeHeight()
		node = k.treeRoot(node, sig[:p.layerSize()], layer, index, int(leaf))
		sig = sig[p.layerSize():]
	}
	return bytes.Equal(node, k.root)
}

// The uses of the hash function (RFC 8391, section 5.1).
const (
	useF = iota
	useH
	useMessage
	usePRF
)

func (p *parameters) keyed(use byte, parts ...[]byte) []byte {
	b := make([]byte, p.pad, 8*p.n+64)
	b[p.pad-1] = use
	for _, x := range parts {
		b = append(b, x...)
	}
	return p.hash(b, p.n)
}

// messageHash is H_msg with the key r || root || index.
func (k *PublicKey) messageHash(r []byte, index uint64, message []byte) []byte {
	number := make([]byte, k.p.n)
	binary.BigEndian.PutUint64(number[k.p.n-8:], index)
	return k.p.keyed(useMessage, r, k.root, number, message)
}

// address is a hash function address (section 2.5), in words.
type address [8]uint32

// The types of addresses.
const (
	typeOTS = iota
	typeLTree
	typeTree
)

// The words of an address. What comes after the type depends on it.
const (
	wordLayer = 0
	wordTree  = 1 // two of them
	wordType  = 3
	wordOTS   = 4 // the leaf, in addresses of L-trees too
	wordChain = 5 // the height, in those of trees
	wordHash  = 6 // the index, in those of trees
	wordMask  = 7
)

// prf makes a key or a bit mask for an address.
func (k *PublicKey) prf(a *address, mask uint32) []byte {
	a[wordMask] = mask
	var b [32]byte
	for i, x := range a {
		binary.BigEndian.PutUint32(b[4*i:], x)
	}
	return k.p.keyed(usePRF, k.seed, b[:])
}

func xor(a, b []byte) []byte {
	out := make([]byte, len(a))
	for i := range a {
		out[i] = a[i] ^ b[i]
	}
	return out
}

// pair hashes two nodes (algorithm 7).
func (k *PublicKey) pair(left, right []byte, a *address) []byte {
	key := k.prf(a, 0)
	return k.p.keyed(useH, key, xor(left, k.prf(a, 1)), xor(right, k.prf(a, 2)))
}

// treeRoot finds the root of the tree that signed a message (algorithm 13).
func (k *PublicKey) treeRoot(message, sig []byte, layer int, tree uint64, leaf int) []byte {
	n := k.p.n
	ots := address{wordLayer: uint32(layer), wordTree: uint32(tree >> 32), wordTree + 1: uint32(tree)}
	a := ots
	ots[wordType], ots[wordOTS] = typeOTS, uint32(leaf)
	ends := k.chainEnds(message, sig, &ots)

	ltree := a
	ltree[wordType], ltree[wordOTS] = typeLTree, uint32(leaf)
	node := k.compress(ends, &ltree)

	a[wordType] = typeTree
	path := sig[k.p.chains()*n:]
	for height := range k.p.treeHeight() {
		other := path[height*n : (height+1)*n]
		left, right := node, other
		if leaf>>height&1 == 1 {
			left, right = other, node
		}
		a[wordChain], a[wordHash] = uint32(height), uint32(leaf>>(height+1))
		node = k.pair(left, right, &a)
	}
	return node
}

// chainEnds finds the public key of a one-time signature (algorithm 6).
func (k *PublicKey) chainEnds(message, sig []byte, a *address) [][]byte {
	n := k.p.n
	ends := make([][]byte, 0, k.p.chains())
	for i, digit := range checksummed(message) {
		a[wordChain] = uint32(i)
		x := sig[i*n : (i+1)*n]
		for step := digit; step < 15; step++ {
			a[wordHash] = uint32(step)
			key := k.prf(a, 0)
			x = k.p.keyed(useF, key, xor(x, k.prf(a, 1)))
		}
		ends = append(ends, x)
	}
	return ends
}

// checksummed is a message in digits of four bits, and three digits that grow
// when they shrink.
func checksummed(message []byte) []int {
	var list []int
	sum := 0
	for _, x := range message {
		list = append(list, int(x>>4), int(x&15))
		sum += 30 - int(x>>4) - int(x&15)
	}
	return append(list, sum>>8, sum>>4&15, sum&15)
}

// compress makes one node of a one-time public key (algorithm 8, the L-tree).
func (k *PublicKey) compress(nodes [][]byte, a *address) []byte {
	for height := uint32(0); len(nodes) > 1; height++ {
		var next [][]byte
		for i := 0; i+1 < len(nodes); i += 2 {
			a[wordChain], a[wordHash] = height, uint32(i/2)
			next = append(next, k.pair(nodes[i], nodes[i+1], a))
		}
		if len(nodes)%2 == 1 {
			next = append(next, nodes[len(nodes)-1])
		}
		nodes = next
	}
	return nodes[0]
}
