package slhdsa

import "github.com/perilune/perilune/engine/internal/ct"

// signer is a hasher with the secret seed.
type signer struct {
	*hasher
	secret []byte
}

// signFORS appends a few-time signature (algorithm 16): of each tree the
// secret of a leaf, and its authentication path.
func (s *signer) signFORS(sig, md []byte, a *address) []byte {
	node := make([]byte, s.p.n)
	for tree, leaf := range digits(md, s.p.a, s.p.k) {
		s.forsSecret(node, a, tree<<s.p.a+leaf)
		sig = append(sig, node...)
		for height := range s.p.a {
			s.forsNode(node, a, tree<<(s.p.a-height)+(leaf>>height^1), height)
			sig = append(sig, node...)
		}
	}
	return sig
}

// forsSecret is algorithm 14.
func (s *signer) forsSecret(dst []byte, a *address, index int) {
	b := a.as(typeFORSPRF)
	b.setStep(index)
	s.f(dst, &b, s.secret)
}

// forsNode is algorithm 15.
func (s *signer) forsNode(dst []byte, a *address, index, height int) {
	if height == 0 {
		secret := make([]byte, s.p.n)
		s.forsSecret(secret, a, index)
		s.leaf(dst, a, index, secret)
		return
	}
	pair := make([]byte, 2*s.p.n)
	s.forsNode(pair, a, 2*index, height-1)
	s.forsNode(pair[s.p.n:], a, 2*index+1, height-1)
	s.parent(dst, a, index, height, pair)
}

// leaf hashes the secret of a leaf of FORS.
func (x *hasher) leaf(dst []byte, a *address, index int, secret []byte) {
	a.setChain(0)
	a.setStep(index)
	x.f(dst, a, secret)
}

// parent hashes two nodes of a tree of any kind.
func (x *hasher) parent(dst []byte, a *address, index, height int, pair []byte) {
	a.setChain(height)
	a.setStep(index)
	x.t(dst, a, pair)
}

// forsRoot finds the public key of a few-time signature (algorithm 17).
func (x *hasher) forsRoot(dst, sig, md []byte, a *address) {
	n := x.p.n
	var roots []byte
	node := make([]byte, n)
	for tree, leaf := range digits(md, x.p.a, x.p.k) {
		index := tree<<x.p.a + leaf
		x.leaf(node, a, index, sig[:n])
		x.climb(node, a, index, sig[n:], x.p.a)
		sig = sig[(x.p.a+1)*n:]
		roots = append(roots, node...)
	}
	b := a.as(typeFORSRoots)
	x.t(dst, &b, roots)
}

// climb goes from a leaf to the root along an authentication path.
func (x *hasher) climb(node []byte, a *address, index int, path []byte, height int) {
	n := x.p.n
	pair := make([]byte, 2*n)
	for h := range height {
		own := index & 1 * n
		copy(pair[own:], node)
		copy(pair[n-own:], path[h*n:(h+1)*n])
		index >>= 1
		x.parent(node, a, index, h+1, pair)
	}
}

// signTrees appends the signatures of all layers (algorithm 12), of the FORS
// key and of each layer's root.
func (s *signer) signTrees(sig, node []byte, at place) []byte {
	for layer := range s.p.layers {
		start := len(sig)
		sig = s.signTree(sig, node, layer, at)
		s.treeRoot(node, sig[start:], layer, at)
		at = at.up(s.p)
	}
	return sig
}

// signTree is algorithm 10.
func (s *signer) signTree(sig, message []byte, layer int, at place) []byte {
	a := at.treeAddress(layer)
	sig = s.signOnce(sig, message, a, at.leaf)
	node := make([]byte, s.p.n)
	for height := range s.p.height {
		s.treeNode(node, a, at.leaf>>height^1, height)
		sig = append(sig, node...)
	}
	return sig
}

// treeAddress is the address of the tree of a layer.
func (at place) treeAddress(layer int) *address {
	var a address
	a.setLayer(layer)
	a.setTree(at.tree)
	return &a
}

// treeNode is algorithm 9.
func (s *signer) treeNode(dst []byte, a *address, index, height int) {
	if height == 0 {
		s.oneTimeKey(dst, a, index)
		return
	}
	pair := make([]byte, 2*s.p.n)
	s.treeNode(pair, a, 2*index, height-1)
	s.treeNode(pair[s.p.n:], a, 2*index+1, height-1)
	a.setType(typeTree)
	s.parent(dst, a, index, height, pair)
}

// treeRoot replaces a message by the root of the tree that signed it (algorithm
// 11).
func (x *hasher) treeRoot(node, sig []byte, layer int, at place) {
	a := at.treeAddress(layer)
	n := x.p.n
	a.setType(typeWOTSHash)
	a.setKeyPair(at.leaf)
	var ends []byte
	end := make([]byte, n)
	for i, digit := range x.p.checksummed(node) {
		a.setChain(i)
		x.chain(end, a, sig[i*n:(i+1)*n], digit, 15)
		ends = append(ends, end...)
	}
	b := a.as(typeWOTSKey)
	x.t(node, &b, ends)
	a.setType(typeTree)
	x.climb(node, a, at.leaf, sig[x.p.chains()*n:], x.p.height)
}

// oneTimeKey makes the public key of a leaf (algorithm 6).
func (s *signer) oneTimeKey(dst []byte, a *address, leaf int) {
	n := s.p.n
	a.setType(typeWOTSHash)
	a.setKeyPair(leaf)
	ends := make([]byte, s.p.chains()*n)
	for i := range s.p.chains() {
		end := ends[i*n : (i+1)*n]
		s.chainStart(end, a, i)
		s.chain(end, a, end, 0, 15)
	}
	b := a.as(typeWOTSKey)
	s.t(dst, &b, ends)
}

// signOnce appends a one-time signature (algorithm 7).
func (s *signer) signOnce(sig, message []byte, a *address, leaf int) []byte {
	a.setType(typeWOTSHash)
	a.setKeyPair(leaf)
	end := make([]byte, s.p.n)
	for i, digit := range s.p.checksummed(message) {
		s.chainStart(end, a, i)
		s.chain(end, a, end, 0, digit)
		sig = append(sig, end...)
	}
	return sig
}

func (s *signer) chainStart(dst []byte, a *address, i int) {
	b := a.as(typeWOTSPRF)
	b.setChain(i)
	s.f(dst, &b, s.secret)
	a.setChain(i)
}

// chain hashes from one step to another (algorithm 5).
func (x *hasher) chain(dst []byte, a *address, from []byte, first, last int) {
	copy(dst, from)
	for i := first; i < last; i++ {
		a.setStep(i)
		x.f(dst, a, dst)
	}
}

// checksummed is a message in digits of four bits, and three digits that grow
// when they shrink (algorithm 7, lines 1 to 7).
func (p *Parameters) checksummed(message []byte) []int {
	list := digits(message, 4, 2*p.n)
	sum := 0
	for _, x := range list {
		sum += 15 - x
	}
	return append(list, sum>>8, sum>>4&15, sum&15)
}

// digits are the first numbers of some bits each (algorithm 4). What is signed is
// public.
func digits(b []byte, bits, count int) []int {
	ct.Public(b)
	list := make([]int, 0, count+3)
	acc, have := 0, 0
	for range count {
		for have < bits {
			acc = acc<<8 | int(b[0])
			b = b[1:]
			have += 8
		}
		have -= bits
		list = append(list, acc>>have&(1<<bits-1))
		acc &= 1<<have - 1
	}
	return list
}
