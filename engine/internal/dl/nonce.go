package dl

import (
	"crypto/hmac"
	"hash"

	"filippo.io/bigmod"
)

// nonces makes the nonces of a signature by RFC 6979, section 3.2, from the
// private key, the digest, and random bytes as in section 3.6: bad randomness
// does not betray the key, and good randomness makes faults harder to use.
type nonces struct {
	newHash func() hash.Hash
	k, v    []byte
	size    int // of q in bytes
	more    bool
}

func newNonces(s *Signer, digest *bigmod.Nat, random []byte, newHash func() hash.Hash) *nonces {
	size := newHash().Size()
	n := &nonces{newHash: newHash, k: make([]byte, size), v: make([]byte, size), size: len(s.Q)}
	for i := range n.v {
		n.v[i] = 1
	}
	d := digest.Bytes(s.q)
	n.k = n.mac(n.v, []byte{0}, s.x, d, random)
	n.v = n.mac(n.v)
	n.k = n.mac(n.v, []byte{1}, s.x, d, random)
	n.v = n.mac(n.v)
	return n
}

func (n *nonces) mac(parts ...[]byte) []byte {
	h := hmac.New(n.newHash, n.k)
	for _, p := range parts {
		h.Write(p)
	}
	return h.Sum(nil)
}

// next makes a candidate as long as q. That it is less than q is for the caller
// to see.
func (n *nonces) next() []byte {
	if n.more {
		n.k = n.mac(n.v, []byte{0})
		n.v = n.mac(n.v)
	}
	n.more = true
	var t []byte
	for len(t) < n.size {
		n.v = n.mac(n.v)
		t = append(t, n.v...)
	}
	return t[:n.size]
}
