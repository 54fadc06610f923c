// Package lms verifies HSS signatures, hierarchies of LMS trees (RFC 8554, with
// the parameter sets of NIST SP 800-208, which are those of RFC 9858). All that
// it works on is public.
package lms

import (
	"bytes"
	"crypto/sha256"
	"crypto/sha3"
	"encoding/binary"
	"errors"
)

// maxLevels is the largest number of trees in a hierarchy (RFC 8554, section
// 6).
const maxLevels = 8

// hashFunction is SHA-256 or SHAKE256, cut to size bytes.
type hashFunction struct {
	shake bool
	size  int
}

func (f hashFunction) sum(parts ...[]byte) []byte {
	b := bytes.Join(parts, nil)
	if f.shake {
		return sha3.SumSHAKE256(b, f.size)
	}
	sum := sha256.Sum256(b)
	return sum[:f.size]
}

// The families in the order of their numbers.
var families = []hashFunction{{false, 32}, {false, 24}, {true, 32}, {true, 24}}

// tree is a type of LMS trees.
type tree struct {
	hash   hashFunction
	height int
}

// findTree reads an LMS type: from 5 on, five heights for each family.
func findTree(number uint32) (tree, bool) {
	i := int(number) - 5
	if number < 5 || i >= 5*len(families) {
		return tree{}, false
	}
	return tree{families[i/5], 5 + i%5*5}, true
}

// once is a type of one-time signatures.
type once struct {
	hash hashFunction
	w    int // bits of a digit
	p    int // digits, those of the checksum with them
	ls   int // how far the checksum is shifted
}

// findOnce reads an LM-OTS type: from 1 on, w = 1, 2, 4, 8 for each family.
func findOnce(number uint32) (once, bool) {
	i := int(number) - 1
	if number < 1 || i >= 4*len(families) {
		return once{}, false
	}
	o := once{hash: families[i/4], w: 1 << (i % 4)}
	digits := 8 * o.hash.size / o.w
	bits := 0 // of the largest checksum
	for x := digits * (1<<o.w - 1); x > 0; x >>= 1 {
		bits++
	}
	sumDigits := (bits + o.w - 1) / o.w
	o.p = digits + sumDigits
	o.ls = 16 - sumDigits*o.w
	return o, true
}

func (o once) size() int { return 4 + (1+o.p)*o.hash.size }

// publicKey is that of a tree.
type publicKey struct {
	tree             tree
	once             once
	treeType, otType uint32
	id               []byte
	root             []byte
}

var errKey = errors.New("lms: malformed public key")

// readKey reads a key from the beginning of b.
func readKey(b []byte) (k publicKey, rest []byte, err error) {
	if len(b) < 24 {
		return k, nil, errKey
	}
	k.treeType, k.otType = binary.BigEndian.Uint32(b), binary.BigEndian.Uint32(b[4:])
	var ok1, ok2 bool
	k.tree, ok1 = findTree(k.treeType)
	k.once, ok2 = findOnce(k.otType)
	// One hash function serves all (SP 800-208, section 4).
	if !ok1 || !ok2 || k.tree.hash != k.once.hash || len(b) < 24+k.tree.hash.size {
		return k, nil, errKey
	}
	k.id = b[8:24]
	k.root = b[24 : 24+k.tree.hash.size]
	return k, b[24+k.tree.hash.size:], nil
}

// PublicKey is the public key of a hierarchy.
type PublicKey struct {
	levels int
	top    publicKey
}

// NewPublicKey reads an encoded HSS public key (RFC 8554, section 6.1).
func NewPublicKey(b []byte) (*PublicKey, error) {
	if len(b) < 4 {
		return nil, errKey
	}
	levels := binary.BigEndian.Uint32(b)
	top, rest, err := readKey(bytes.Clone(b[4:]))
	if err != nil || len(rest) > 0 || levels < 1 || levels > maxLevels {
		return nil, errKey
	}
	return &PublicKey{int(levels), top}, nil
}

// Levels is the number of trees between the key and a message.
func (k *PublicKey) Levels() int { return k.levels }

// Types are the numbers of the types of the top tree and of its one-time
// signatures.
func (k *PublicKey) Types() (tree, once uint32) { return k.top.treeType, k.top.otType }

// Verify reports whether sig is a signature of the message (RFC 8554, section
// 6.3).
func (k *PublicKey) Verify(message, sig []byte) bool {
	if len(sig) < 4 || binary.BigEndian.Uint32(sig) != uint32(k.levels-1) {
		return false
	}
	sig = sig[4:]
	key := k.top
	for range k.levels - 1 {
		n := key.signatureSize()
		if len(sig) < n {
			return false
		}
		next, rest, err := readKey(sig[n:])
		if err != nil || !key.verify(sig[n:len(sig)-len(rest)], sig[:n]) {
			return false
		}
		key, sig = next, rest
	}
	return len(sig) == key.signatureSize() && key.verify(message, sig)
}

// signatureSize is the length of a signature in the tree.
func (k *publicKey) signatureSize() int {
	return 4 + k.once.size() + 4 + k.tree.height*k.tree.hash.size
}

// verify checks a signature of the right length (algorithms 6 and 6a).
func (k *publicKey) verify(message, sig []byte) bool {
	q := sig[:4]
	onceSig, sig := sig[4:4+k.once.size()], sig[4+k.once.size():]
	path := sig[4:]
	leaf := binary.BigEndian.Uint32(q)
	if leaf >= 1<<k.tree.height || binary.BigEndian.Uint32(sig) != k.treeType ||
		binary.BigEndian.Uint32(onceSig) != k.otType {
		return false
	}
	h := k.tree.hash
	number := 1<<k.tree.height + leaf
	node := h.sum(k.id, u32(number), []byte{0x82, 0x82}, k.onceKey(message, q, onceSig[4:]))
	for ; number > 1; number /= 2 {
		sibling := path[:h.size]
		path = path[h.size:]
		left, right := node, sibling
		if number%2 == 1 {
			left, right = sibling, node
		}
		node = h.sum(k.id, u32(number/2), []byte{0x83, 0x83}, left, right)
	}
	return bytes.Equal(node, k.root)
}

func u32(x uint32) []byte { return binary.BigEndian.AppendUint32(nil, x) }

// onceKey finds the public key that a one-time signature belongs to (algorithm
// 4b).
func (k *publicKey) onceKey(message, q, sig []byte) []byte {
	o, n := k.once, k.once.hash.size
	digest := o.hash.sum(k.id, q, []byte{0x81, 0x81}, sig[:n], message)
	var ends []byte
	for i, from := range o.digits(digest) {
		x := sig[n+i*n : n+(i+1)*n]
		for j := from; j < 1<<o.w-1; j++ {
			x = o.hash.sum(k.id, q, []byte{byte(i >> 8), byte(i), byte(j)}, x)
		}
		ends = append(ends, x...)
	}
	return o.hash.sum(k.id, q, []byte{0x80, 0x80}, ends)
}

// digits are those of a digest and of its checksum (RFC 8554, sections 3.1.3
// and 4.4).
func (o once) digits(digest []byte) []int {
	sum := 0
	for _, x := range digits(digest, o.w, 8*o.hash.size/o.w) {
		sum += 1<<o.w - 1 - x
	}
	return digits(binary.BigEndian.AppendUint16(bytes.Clone(digest), uint16(sum<<o.ls)), o.w, o.p)
}

func digits(b []byte, w, count int) []int {
	list := make([]int, count)
	for i := range list {
		at := i * w
		list[i] = int(b[at/8]) >> (8 - w - at%8) & (1<<w - 1)
	}
	return list
}
