// Package camellia implements the block cipher Camellia (RFC 3713) in constant
// time.
package camellia

import (
	"crypto/cipher"
	"encoding/binary"
	"math/bits"
	"strconv"

	"github.com/perilune/perilune/engine/internal/sbox"
)

// BlockSize is the size of a block in bytes.
const BlockSize = 16

// KeySizeError is a key length that is not 16, 24 or 32 bytes.
type KeySizeError int

func (e KeySizeError) Error() string { return "camellia: invalid key size " + strconv.Itoa(int(e)) }

// The S-boxes of RFC 3713, section 2.4.1: SBOX2 and SBOX3 turn what SBOX1
// gives, SBOX4 turns what it takes.
var (
	sbox1 = sbox.Box{
		In:  sbox.Affine{Bits: [8]byte{0x27, 0x55, 0xfc, 0x33, 0x0e, 0x24, 0xf8, 0x59}, Const: 0x7a},
		Out: sbox.Affine{Bits: [8]byte{0x14, 0x3c, 0xd5, 0x7f, 0x1c, 0xfc, 0x8f, 0xd7}, Const: 0x6e},
	}
	sbox2 = sbox.Box{In: sbox1.In, Out: turnedResult(sbox1.Out, 1)}
	sbox3 = sbox.Box{In: sbox1.In, Out: turnedResult(sbox1.Out, 7)}
	sbox4 = sbox.Box{In: turnedArgument(sbox1.In), Out: sbox1.Out}

	boxes = sbox.NewLayer([8]sbox.Box{sbox1, sbox2, sbox3, sbox4, sbox2, sbox3, sbox4, sbox1})
)

// turnedResult is a with its result turned left.
func turnedResult(a sbox.Affine, by int) sbox.Affine {
	for i, b := range a.Bits {
		a.Bits[i] = bits.RotateLeft8(b, by)
	}
	a.Const = bits.RotateLeft8(a.Const, by)
	return a
}

// turnedArgument is a of what is turned left by one bit.
func turnedArgument(a sbox.Affine) sbox.Affine {
	t := a
	for i := range a.Bits {
		t.Bits[i] = a.Bits[(i+1)%8]
	}
	return t
}

// f is the function F (section 2.4.1).
func f(x, key uint64) uint64 {
	y := boxes.Sub(x ^ key)
	l, r := uint32(y>>32), uint32(y)
	l ^= bits.RotateLeft32(r, 8)
	r ^= bits.RotateLeft32(l, 16)
	l ^= bits.RotateLeft32(r, -8)
	r ^= bits.RotateLeft32(l, -8)
	return uint64(r)<<32 | uint64(l)
}

// fl is the function FL (section 2.4.2).
func fl(x, key uint64) uint64 {
	l, r := uint32(x>>32), uint32(x)
	r ^= bits.RotateLeft32(l&uint32(key>>32), 1)
	l ^= r | uint32(key)
	return uint64(l)<<32 | uint64(r)
}

// flInv is the function FLINV (section 2.4.3).
func flInv(x, key uint64) uint64 {
	l, r := uint32(x>>32), uint32(x)
	l ^= r | uint32(key)
	r ^= bits.RotateLeft32(l&uint32(key>>32), 1)
	return uint64(l)<<32 | uint64(r)
}

// subkeys are the keys for one direction: kw1 to kw4, the keys of the rounds,
// and those of FL and FLINV between each six rounds.
type subkeys struct {
	kw [4]uint64
	k  []uint64
	ke []uint64
}

// camellia is the keys for both directions.
type camellia struct{ enc, dec subkeys }

// NewCipher makes a cipher of a key of 16, 24 or 32 bytes.
func NewCipher(key []byte) (cipher.Block, error) {
	var kl, kr block
	switch len(key) {
	case 16:
	case 24:
		kr.hi = binary.BigEndian.Uint64(key[16:])
		kr.lo = ^kr.hi
	case 32:
		kr = load(key[16:])
	default:
		return nil, KeySizeError(len(key))
	}
	kl = load(key)
	c := new(camellia)
	if len(key) == 16 {
		c.enc = expandShort(kl)
	} else {
		c.enc = expandLong(kl, kr)
	}
	c.dec = c.enc.reversed()
	return c, nil
}

// block is 128 bits, big-endian.
type block struct{ hi, lo uint64 }

func load(b []byte) block {
	return block{binary.BigEndian.Uint64(b), binary.BigEndian.Uint64(b[8:])}
}

func (b block) xor(c block) block { return block{b.hi ^ c.hi, b.lo ^ c.lo} }

// turn turns b left by n bits, n < 128, and returns its halves.
func (b block) turn(n uint) []uint64 {
	if n >= 64 {
		b.hi, b.lo = b.lo, b.hi
		n -= 64
	}
	return []uint64{b.hi<<n | b.lo>>(64-n), b.lo<<n | b.hi>>(64-n)}
}

// rounds does two rounds with the keys s1 and s2.
func (b block) rounds(s1, s2 uint64) block {
	b.lo ^= f(b.hi, s1)
	b.hi ^= f(b.lo, s2)
	return b
}

// makeKA makes KA (section 2.2).
func makeKA(kl, kr block) block {
	return kl.xor(kr).rounds(0xa09e667f3bcc908b, 0xb67ae8584caa73b2).
		xor(kl).rounds(0xc6ef372fe94f82be, 0x54ff53a5f1d36f1c)
}

// makeKB makes KB.
func makeKB(ka, kr block) block {
	return ka.xor(kr).rounds(0x10e527fade682d1d, 0xb05688c2b3e6c1fd)
}

// expandShort makes the keys of the 18 rounds for a key of 128 bits.
func expandShort(kl block) (s subkeys) {
	ka := makeKA(kl, block{})
	s.setEnds(kl.turn(0), ka.turn(111))
	s.k = join(ka.turn(0), kl.turn(15), ka.turn(15),
		kl.turn(45), ka.turn(45)[:1], kl.turn(60)[1:], ka.turn(60),
		kl.turn(94), ka.turn(94), kl.turn(111))
	s.ke = join(ka.turn(30), kl.turn(77))
	return s
}

// expandLong makes the keys of the 24 rounds for a key of 192 or 256 bits.
func expandLong(kl, kr block) (s subkeys) {
	ka := makeKA(kl, kr)
	kb := makeKB(ka, kr)
	s.setEnds(kl.turn(0), kb.turn(111))
	s.k = join(kb.turn(0), kr.turn(15), ka.turn(15),
		kb.turn(30), kl.turn(45), ka.turn(45),
		kr.turn(60), kb.turn(60), kl.turn(77),
		kr.turn(94), ka.turn(94), kl.turn(111))
	s.ke = join(kr.turn(30), kl.turn(60), ka.turn(77))
	return s
}

func (s *subkeys) setEnds(first, last []uint64) { s.kw = [4]uint64(join(first, last)) }

func join(list ...[]uint64) (out []uint64) {
	for _, l := range list {
		out = append(out, l...)
	}
	return out
}

// reversed is the keys for the other direction (section 2.3.3).
func (s *subkeys) reversed() subkeys {
	r := subkeys{kw: [4]uint64{s.kw[2], s.kw[3], s.kw[0], s.kw[1]}}
	for i := range s.k {
		r.k = append(r.k, s.k[len(s.k)-1-i])
	}
	for i := range s.ke {
		r.ke = append(r.ke, s.ke[len(s.ke)-1-i])
	}
	return r
}

func (c *camellia) BlockSize() int { return BlockSize }

func (c *camellia) Encrypt(dst, src []byte) { c.enc.crypt(dst, src) }

func (c *camellia) Decrypt(dst, src []byte) { c.dec.crypt(dst, src) }

func (s *subkeys) crypt(dst, src []byte) {
	_, _ = src[15], dst[15]
	d := load(src).xor(block{s.kw[0], s.kw[1]})
	for i := 0; i < len(s.k); i += 2 {
		if i > 0 && i%6 == 0 {
			d = block{fl(d.hi, s.ke[i/3-2]), flInv(d.lo, s.ke[i/3-1])}
		}
		d = d.rounds(s.k[i], s.k[i+1])
	}
	binary.BigEndian.PutUint64(dst, d.lo^s.kw[2])
	binary.BigEndian.PutUint64(dst[8:], d.hi^s.kw[3])
}
