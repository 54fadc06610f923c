// Package ghash computes GHASH, the universal hash of GCM (NIST SP 800-38D,
// section 6.4), in parts, in constant time and without tables.
//
// The product of two field elements is made of integer multiplications: with
// only every fourth bit of the factors set, the sums in the product cannot
// carry into the bit that counts. The integer multiplier of every processor
// that Go runs on in earnest takes the same time for all values.
//
// That is slow beside the instructions for it that the standard library uses,
// whose GCM hands out no GHASH, but tags. Of the tag of a long piece of data
// one can find its hash, though, because GHASH is linear: see [Key.chunk]. Where
// package vaes serves the cipher, it hashes.
package ghash

import (
	"crypto/cipher"
	"encoding/binary"
	"math/bits"
	"sync"

	"github.com/perilune/perilune/engine/internal/vaes"
)

// BlockSize is the size of a block in bytes.
const BlockSize = 16

// element is a field element as GHASH has it: the first byte of the block is
// the most significant of hi, and the coefficient of x^0 is the first bit.
type element struct{ hi, lo uint64 }

// factor is a field element made ready to multiply by.
type factor struct {
	h    element
	r    element // h with the bits of each half reversed
	m, n uint64  // the sums of the halves of h and r, for Karatsuba
}

func newFactor(h element) factor {
	r := element{bits.Reverse64(h.hi), bits.Reverse64(h.lo)}
	return factor{h, r, h.hi ^ h.lo, r.hi ^ r.lo}
}

// Key is a hash key, prepared.
type Key struct {
	vectors *vaes.Key // or nil, and what follows

	h    factor
	gcm  cipher.AEAD
	mask element // what covers the tag for the IV of zeros

	once    sync.Once
	inverse factor // of h
	power   factor // h to the number of blocks in a chunk
}

// NewKey prepares the hash key of a block cipher with blocks of 16 bytes. gcm
// is its GCM with IVs of 12 bytes and tags of 16; it may be nil.
func NewKey(block cipher.Block, gcm cipher.AEAD) *Key {
	var h, mask [BlockSize]byte
	block.Encrypt(h[:], h[:])
	mask[15] = 1
	block.Encrypt(mask[:], mask[:])
	return &Key{h: newFactor(load(h[:])), gcm: gcm, mask: load(mask[:])}
}

// NewVectorKey is the hash key of a key of AES.
func NewVectorKey(k *vaes.Key) *Key { return &Key{vectors: k} }

// chunkSize is the length of the pieces that go through the standard library:
// long enough to be worth it, short enough for messages to have them.
const chunkSize = 1024

// prepare computes what chunk needs beside the key.
func (k *Key) prepare() {
	// The inverse is h to the power of 2^128 - 2 = 2 + 4 + ... + 2^127.
	square := k.h
	inverse := element{1 << 63, 0} // one
	for range 127 {
		square = newFactor(square.mul(square.h))
		inverse = square.mul(inverse)
	}
	k.inverse = newFactor(inverse)
	power := k.h
	for n := 1; n < chunkSize/BlockSize; n *= 2 {
		power = newFactor(power.mul(power.h))
	}
	k.power = power
}

// chunk continues the hash y with data of chunkSize bytes. The tag of data as
// associated data, with the mask taken off, is (P + L) * h, where L is the block
// of lengths and P the hash of data alone; and hashing data after y makes it
// y * h^n + P, n being the number of blocks.
func (k *Key) chunk(y element, data []byte, scratch []byte) element {
	k.once.Do(k.prepare)
	s := load(k.gcm.Seal(scratch[:0], zeroIV[:], nil, data))
	p := k.inverse.mul(element{s.hi ^ k.mask.hi, s.lo ^ k.mask.lo})
	y = k.power.mul(y)
	return element{y.hi ^ p.hi ^ chunkSize*8, y.lo ^ p.lo}
}

var zeroIV [12]byte

// Hash is a GHASH computation under way.
type Hash struct {
	key *Key
	y   element
	buf [BlockSize]byte
	n   int             // bytes in buf
	tag [BlockSize]byte // of a chunk; or, with vectors, y
}

// New returns a fresh computation.
func New(k *Key) Hash { return Hash{key: k} }

// Write takes more bytes.
func (s *Hash) Write(b []byte) {
	if s.n > 0 {
		n := copy(s.buf[s.n:], b)
		s.n += n
		b = b[n:]
		if s.n < BlockSize {
			return
		}
		s.blocks(s.buf[:])
		s.n = 0
	}
	whole := len(b) &^ (BlockSize - 1)
	s.blocks(b[:whole])
	s.n = copy(s.buf[:], b[whole:])
}

// blocks takes whole blocks.
func (s *Hash) blocks(b []byte) {
	if v := s.key.vectors; v != nil {
		v.Hash(&s.tag, b)
		return
	}
	for s.key.gcm != nil && len(b) >= chunkSize {
		s.y = s.key.chunk(s.y, b[:chunkSize], s.tag[:])
		b = b[chunkSize:]
	}
	for len(b) > 0 {
		x := load(b)
		s.y = s.key.h.mul(element{s.y.hi ^ x.hi, s.y.lo ^ x.lo})
		b = b[BlockSize:]
	}
}

// Pad fills up the block under way with zeros.
func (s *Hash) Pad() {
	if s.n > 0 {
		clear(s.buf[s.n:])
		s.blocks(s.buf[:])
		s.n = 0
	}
}

// Lengths takes the closing block, after whole ones: two lengths in bytes, hashed as
// bits.
func (s *Hash) Lengths(a, c uint64) {
	binary.BigEndian.PutUint64(s.buf[:8], 8*a)
	binary.BigEndian.PutUint64(s.buf[8:], 8*c)
	s.blocks(s.buf[:])
}

// Sum writes the hash of the whole blocks so far to out.
func (s *Hash) Sum(out *[BlockSize]byte) {
	if s.key.vectors != nil {
		*out = s.tag
		return
	}
	binary.BigEndian.PutUint64(out[:8], s.y.hi)
	binary.BigEndian.PutUint64(out[8:], s.y.lo)
}

func load(b []byte) element {
	return element{binary.BigEndian.Uint64(b), binary.BigEndian.Uint64(b[8:16])}
}

// mul multiplies by y. GHASH numbers bits from the most significant one, so that
// the 256-bit product of the words comes out one bit short: it is shifted by one
// before it is reduced by x^128 + x^7 + x^2 + x + 1.
func (k *factor) mul(y element) element {
	yr := element{bits.Reverse64(y.hi), bits.Reverse64(y.lo)}

	// The low 64 bits of the products, and, by way of the reversed factors,
	// the high 63.
	l0 := mul64(y.lo, k.h.lo)
	l1 := mul64(y.hi, k.h.hi)
	lm := mul64(y.hi^y.lo, k.m) ^ l0 ^ l1
	h0 := mul64(yr.lo, k.r.lo)
	h1 := mul64(yr.hi, k.r.hi)
	hm := mul64(yr.hi^yr.lo, k.n) ^ h0 ^ h1

	z0 := l0
	z1 := bits.Reverse64(h0)>>1 ^ lm
	z2 := bits.Reverse64(hm)>>1 ^ l1
	z3 := bits.Reverse64(h1) >> 1

	z3 = z3<<1 | z2>>63
	z2 = z2<<1 | z1>>63
	z1 = z1<<1 | z0>>63
	z0 = z0 << 1

	z2 ^= z0 ^ z0>>1 ^ z0>>2 ^ z0>>7
	z1 ^= z0<<63 ^ z0<<62 ^ z0<<57
	z3 ^= z1 ^ z1>>1 ^ z1>>2 ^ z1>>7
	z2 ^= z1<<63 ^ z1<<62 ^ z1<<57
	return element{z3, z2}
}

// Every fourth bit, from bit 0, 1, 2 and 3 on.
const (
	m0 = 0x1111111111111111
	m1 = m0 << 1
	m2 = m0 << 2
	m3 = m0 << 3
)

// mul64 is the low half of the carry-less product of x and y. A bit of a
// partial product is a sum of at most 16 terms, of which only the lowest bit
// survives; the carries spread over the three bits above it and, in the top
// positions, out of the word.
func mul64(x, y uint64) uint64 {
	x0, x1, x2, x3 := x&m0, x&m1, x&m2, x&m3
	y0, y1, y2, y3 := y&m0, y&m1, y&m2, y&m3
	z0 := x0*y0 ^ x1*y3 ^ x2*y2 ^ x3*y1
	z1 := x0*y1 ^ x1*y0 ^ x2*y3 ^ x3*y2
	z2 := x0*y2 ^ x1*y1 ^ x2*y0 ^ x3*y3
	z3 := x0*y3 ^ x1*y2 ^ x2*y1 ^ x3*y0
	return z0&m0 | z1&m1 | z2&m2 | z3&m3
}
