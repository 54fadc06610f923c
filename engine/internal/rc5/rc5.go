// Package rc5 implements the block cipher RC5 (RFC 2040) for words of 16, 32
// and 64 bits and any number of rounds. It is constant-time where the
// processor's shifts are, which is so on all that matter.
package rc5

import (
	"crypto/cipher"
	"encoding/binary"
	"errors"
)

// word is a word of one of the three sizes.
type word interface{ uint16 | uint32 | uint64 }

// rc5 is the expanded key: two words before the first round and two for each.
type rc5[W word] struct {
	bits W // in a word
	s    []W
}

// NewCipher makes a cipher with words of that many bytes and blocks of two
// words.
func NewCipher(key []byte, wordSize, rounds int) (cipher.Block, error) {
	if len(key) > 255 {
		return nil, errors.New("rc5: a key has at most 255 bytes")
	}
	if rounds < 0 || rounds > 255 {
		return nil, errors.New("rc5: there are 0 to 255 rounds")
	}
	switch wordSize {
	case 2:
		return expand[uint16](key, 16, rounds, 0xb7e1, 0x9e37), nil
	case 4:
		return expand[uint32](key, 32, rounds, 0xb7e15163, 0x9e3779b9), nil
	case 8:
		return expand[uint64](key, 64, rounds, 0xb7e151628aed2a6b, 0x9e3779b97f4a7c15), nil
	}
	return nil, errors.New("rc5: a word has 2, 4 or 8 bytes")
}

// expand is section 5 of the RFC, p and q being its constants.
func expand[W word](key []byte, size W, rounds int, p, q W) *rc5[W] {
	c := &rc5[W]{bits: size, s: make([]W, 2*(rounds+1))}
	for i := range c.s {
		c.s[i] = p + W(i)*q
	}
	n := int(size / 8)
	l := make([]W, max(1, (len(key)+n-1)/n))
	for i, b := range key {
		l[i/n] |= W(b) << (8 * (i % n))
	}
	var a, b W
	for i := range 3 * max(len(c.s), len(l)) {
		s, k := &c.s[i%len(c.s)], &l[i%len(l)]
		a = c.turn(*s+a+b, 3)
		*s = a
		b = c.turn(*k+a+b, a+b)
		*k = b
	}
	clear(l)
	return c
}

// turn turns x left by the low bits of n.
func (c *rc5[W]) turn(x, n W) W {
	n &= c.bits - 1
	return x<<n | x>>(c.bits-n)
}

func (c *rc5[W]) BlockSize() int { return int(c.bits / 4) }

func (c *rc5[W]) Encrypt(dst, src []byte) {
	a, b := c.load(src)
	a += c.s[0]
	b += c.s[1]
	for i := 2; i < len(c.s); i += 2 {
		a = c.turn(a^b, b) + c.s[i]
		b = c.turn(b^a, a) + c.s[i+1]
	}
	c.store(dst, a, b)
}

func (c *rc5[W]) Decrypt(dst, src []byte) {
	a, b := c.load(src)
	for i := len(c.s) - 2; i > 0; i -= 2 {
		b = c.turn(b-c.s[i+1], -a) ^ a
		a = c.turn(a-c.s[i], -b) ^ b
	}
	c.store(dst, a-c.s[0], b-c.s[1])
}

func (c *rc5[W]) load(src []byte) (a, b W) {
	switch c.bits {
	case 16:
		return W(binary.LittleEndian.Uint16(src)), W(binary.LittleEndian.Uint16(src[2:]))
	case 32:
		return W(binary.LittleEndian.Uint32(src)), W(binary.LittleEndian.Uint32(src[4:]))
	}
	return W(binary.LittleEndian.Uint64(src)), W(binary.LittleEndian.Uint64(src[8:]))
}

func (c *rc5[W]) store(dst []byte, a, b W) {
	switch c.bits {
	case 16:
		binary.LittleEndian.PutUint16(dst, uint16(a))
		binary.LittleEndian.PutUint16(dst[2:], uint16(b))
	case 32:
		binary.LittleEndian.PutUint32(dst, uint32(a))
		binary.LittleEndian.PutUint32(dst[4:], uint32(b))
	default:
		binary.LittleEndian.PutUint64(dst, uint64(a))
		binary.LittleEndian.PutUint64(dst[8:], uint64(b))
	}
}
