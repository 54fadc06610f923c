// Package cast5 implements the block cipher CAST-128, also known as CAST5 (RFC
// 2144), for keys of 5 to 16 bytes. It looks up tables by secrets, so that
// caches may tell about them.
package cast5

import (
	"crypto/cipher"
	"encoding/binary"
	"math/bits"
	"strconv"
)

// BlockSize is the size of a block in bytes.
const BlockSize = 8

// KeySizeError is a key length that is not 5 to 16 bytes.
type KeySizeError int

func (e KeySizeError) Error() string { return "cast5: invalid key size " + strconv.Itoa(int(e)) }

// cast5 is the keys of the rounds.
type cast5 struct {
	mask   [16]uint32
	turn   [16]int
	rounds int
}

// NewCipher makes a cipher of a key of 5 to 16 bytes.
func NewCipher(key []byte) (cipher.Block, error) {
	if len(key) < 5 || len(key) > 16 {
		return nil, KeySizeError(len(key))
	}
	c := &cast5{rounds: 16}
	if len(key) <= 10 {
		c.rounds = 12 // section 2.5
	}
	c.expand(key)
	return c, nil
}

// expand makes the keys of the rounds (section 2.4). b holds the sixteen bytes
// that the RFC calls x, then those that it calls z.
func (c *cast5) expand(key []byte) {
	var b [32]byte
	copy(b[:16], key)
	var keys [32]uint32
	for i := range 8 {
		for _, s := range steps[i%2*4 : i%2*4+4] {
			w := binary.BigEndian.Uint32(b[s.from:]) ^ s.sum(&b)
			binary.BigEndian.PutUint32(b[s.to:], w)
		}
		for j, s := range keySteps[i%4*4 : i%4*4+4] {
			keys[4*i+j] = s.sum(&b)
		}
	}
	for i := range 16 {
		c.mask[i], c.turn[i] = keys[i], int(keys[16+i]&31)
	}
	clear(b[:])
}

// look says which bytes S5 to S8 are looked up at; and what else, by which of
// them.
type look struct {
	at    [4]byte
	other byte
	box   byte
}

func (l *look) sum(b *[32]byte) uint32 {
	return sBox[4][b[l.at[0]]] ^ sBox[5][b[l.at[1]]] ^ sBox[6][b[l.at[2]]] ^ sBox[7][b[l.at[3]]] ^
		sBox[l.box-1][b[l.other]]
}

// step makes four bytes anew from four others.
type step struct {
	to, from byte
	look
}

// Bytes of z have 16 added to their number.
var steps = [8]step{
	{0x10, 0x00, look{[4]byte{0x0d, 0x0f, 0x0c, 0x0e}, 0x08, 7}},
	{0x14, 0x08, look{[4]byte{0x10, 0x12, 0x11, 0x13}, 0x0a, 8}},
	{0x18, 0x0c, look{[4]byte{0x17, 0x16, 0x15, 0x14}, 0x09, 5}},
	{0x1c, 0x04, look{[4]byte{0x1a, 0x19, 0x1b, 0x18}, 0x0b, 6}},

	{0x00, 0x18, look{[4]byte{0x15, 0x17, 0x14, 0x16}, 0x10, 7}},
	{0x04, 0x10, look{[4]byte{0x00, 0x02, 0x01, 0x03}, 0x12, 8}},
	{0x08, 0x14, look{[4]byte{0x07, 0x06, 0x05, 0x04}, 0x11, 5}},
	{0x0c, 0x1c, look{[4]byte{0x0a, 0x09, 0x0b, 0x08}, 0x13, 6}},
}

// keySteps make the keys K1 to K16, and again K17 to K32.
var keySteps = [16]look{
	{[4]byte{0x18, 0x19, 0x17, 0x16}, 0x12, 5},
	{[4]byte{0x1a, 0x1b, 0x15, 0x14}, 0x16, 6},
	{[4]byte{0x1c, 0x1d, 0x13, 0x12}, 0x19, 7},
	{[4]byte{0x1e, 0x1f, 0x11, 0x10}, 0x1c, 8},

	{[4]byte{0x03, 0x02, 0x0c, 0x0d}, 0x08, 5},
	{[4]byte{0x01, 0x00, 0x0e, 0x0f}, 0x0d, 6},
	{[4]byte{0x07, 0x06, 0x08, 0x09}, 0x03, 7},
	{[4]byte{0x05, 0x04, 0x0a, 0x0b}, 0x07, 8},

	{[4]byte{0x13, 0x12, 0x1c, 0x1d}, 0x19, 5},
	{[4]byte{0x11, 0x10, 0x1e, 0x1f}, 0x1c, 6},
	{[4]byte{0x17, 0x16, 0x18, 0x19}, 0x12, 7},
	{[4]byte{0x15, 0x14, 0x1a, 0x1b}, 0x16, 8},

	{[4]byte{0x08, 0x09, 0x07, 0x06}, 0x03, 5},
	{[4]byte{0x0a, 0x0b, 0x05, 0x04}, 0x07, 6},
	{[4]byte{0x0c, 0x0d, 0x03, 0x02}, 0x08, 7},
	{[4]byte{0x0e, 0x0f, 0x01, 0x00}, 0x0d, 8},
}

// f is the round function, of one of three types (section 2.2).
func (c *cast5) f(round int, d uint32) uint32 {
	km, kr := c.mask[round], c.turn[round]
	switch round % 3 {
	case 0:
		p, q, s, t := look4(bits.RotateLeft32(km+d, kr))
		return (p ^ q) - s + t
	case 1:
		p, q, s, t := look4(bits.RotateLeft32(km^d, kr))
		return (p - q + s) ^ t
	default:
		p, q, s, t := look4(bits.RotateLeft32(km-d, kr))
		return ((p + q) ^ s) - t
	}
}

func look4(i uint32) (a, b, c, d uint32) {
	return sBox[0][i>>24], sBox[1][byte(i>>16)], sBox[2][byte(i>>8)], sBox[3][byte(i)]
}

func (c *cast5) BlockSize() int { return BlockSize }

func (c *cast5) Encrypt(dst, src []byte) {
	l, r := binary.BigEndian.Uint32(src), binary.BigEndian.Uint32(src[4:])
	for i := range c.rounds {
		l, r = r, l^c.f(i, r)
	}
	binary.BigEndian.PutUint32(dst, r)
	binary.BigEndian.PutUint32(dst[4:], l)
}

func (c *cast5) Decrypt(dst, src []byte) {
	l, r := binary.BigEndian.Uint32(src), binary.BigEndian.Uint32(src[4:])
	for i := c.rounds - 1; i >= 0; i-- {
		l, r = r, l^c.f(i, r)
	}
	binary.BigEndian.PutUint32(dst, r)
	binary.BigEndian.PutUint32(dst[4:], l)
}
