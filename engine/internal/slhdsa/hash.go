package slhdsa

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/sha3"
	"crypto/sha512"
	"encoding/binary"
	"hash"
)

// address tells every use of a hash function apart (FIPS 205, section 4.2).
type address [32]byte

// Types of addresses (table 1).
const (
	typeWOTSHash = iota
	typeWOTSKey
	typeTree
	typeFORSTree
	typeFORSRoots
	typeWOTSPRF
	typeFORSPRF
)

func (a *address) setLayer(x int) { binary.BigEndian.PutUint32(a[:], uint32(x)) }

func (a *address) setTree(x uint64) { binary.BigEndian.PutUint64(a[8:], x) }

// setType clears what depends on the type.
func (a *address) setType(x uint32) {
	clear(a[20:])
	binary.BigEndian.PutUint32(a[16:], x)
}

func (a *address) setKeyPair(x int) { binary.BigEndian.PutUint32(a[20:], uint32(x)) }

// setChain is the height, too, in addresses of trees.
func (a *address) setChain(x int) { binary.BigEndian.PutUint32(a[24:], uint32(x)) }

// setStep is the index, too, in addresses of trees.
func (a *address) setStep(x int) { binary.BigEndian.PutUint32(a[28:], uint32(x)) }

// as is the address of another type for the same key pair.
func (a *address) as(kind uint32) address {
	b := *a
	b.setType(kind)
	copy(b[20:24], a[20:24])
	return b
}

// hasher has the functions of one parameter set and public seed (section 11).
type hasher struct {
	p     *Parameters
	seed  []byte
	block [128]byte // the seed, filled up with zeros
	shake *sha3.SHAKE
	buf   []byte
}

func newHasher(p *Parameters, seed []byte) *hasher {
	x := &hasher{p: p, seed: seed, shake: sha3.NewSHAKE256()}
	copy(x.block[:], seed)
	return x
}

// f is F, and PRF, whose formulas are the same.
func (x *hasher) f(dst []byte, a *address, m []byte) {
	if x.p.sha2 {
		x.pad(64, a)
		x.buf = append(x.buf, m...)
		sum := sha256.Sum256(x.buf)
		copy(dst[:x.p.n], sum[:])
		return
	}
	x.sponge(dst[:x.p.n], a, m)
}

// t is H and T, whose input is longer.
func (x *hasher) t(dst []byte, a *address, m []byte) {
	switch {
	case !x.p.sha2:
		x.sponge(dst[:x.p.n], a, m)
	case x.p.n == 16:
		x.f(dst, a, m)
	default:
		x.pad(128, a)
		x.buf = append(x.buf, m...)
		sum := sha512.Sum512(x.buf)
		copy(dst[:x.p.n], sum[:])
	}
}

// pad begins the input with the seed, filled up to a block, and the compressed
// address (section 11.2).
func (x *hasher) pad(block int, a *address) {
	x.buf = append(x.buf[:0], x.block[:block]...)
	x.buf = append(x.buf, a[3])
	x.buf = append(x.buf, a[8:16]...)
	x.buf = append(x.buf, a[19])
	x.buf = append(x.buf, a[20:]...)
}

func (x *hasher) sponge(dst []byte, a *address, m []byte) {
	x.shake.Reset()
	x.shake.Write(x.seed)
	x.shake.Write(a[:])
	x.shake.Write(m)
	x.shake.Read(dst)
}

// wide is the hash function for messages.
func (p *Parameters) wide() func() hash.Hash {
	if p.n == 16 {
		return sha256.New
	}
	return sha512.New
}

// randomizer is PRF_msg.
func (p *Parameters) randomizer(key, random, message []byte) []byte {
	if !p.sha2 {
		return shake(p.n, key, random, message)
	}
	h := hmac.New(p.wide(), key)
	h.Write(random)
	h.Write(message)
	return h.Sum(nil)[:p.n]
}

// digest is H_msg.
func (p *Parameters) digest(r, seed, root, message []byte) []byte {
	if !p.sha2 {
		return shake(p.m, r, seed, root, message)
	}
	h := p.wide()()
	for _, b := range [][]byte{r, seed, root, message} {
		h.Write(b)
	}
	inner := h.Sum(nil)
	var out []byte // MGF1
	for i := uint32(0); len(out) < p.m; i++ {
		h.Reset()
		h.Write(r)
		h.Write(seed)
		h.Write(inner)
		h.Write(binary.BigEndian.AppendUint32(nil, i))
		out = h.Sum(out)
	}
	return out[:p.m]
}

func shake(size int, parts ...[]byte) []byte {
	h := sha3.NewSHAKE256()
	for _, b := range parts {
		h.Write(b)
	}
	out := make([]byte, size)
	h.Read(out)
	return out
}
