// Package vaes is AES in counter mode and the hash of GCM (NIST SP 800-38D) in
// vectors of 512 bits, with the AES instructions and the carry-less multiplication
// of AVX-512, in constant time; and GCM of messages in one part.
//
// A vector holds four blocks. The kernel ctr encrypts up to eight vectors side by side,
// and ghash hashes up to sixteen with one reduction; seal does both, and hashes eight
// vectors while it encrypts the next. To open a message is to hash it all first, so that
// nothing is decrypted before its tag is found right.
package vaes

import (
	"encoding/binary"
	"runtime"

	"github.com/perilune/perilune/engine/internal/isa"
)

//go:generate go run -C gen . -out ../kernels_amd64.s -stubs ../stubs_amd64.go -pkg vaes

// Supported reports whether the processor has what this package needs. Without it no
// function but this one may be called.
func Supported() bool { return isa.VAES() }

// BlockSize is the size of a block in bytes.
const BlockSize = 16

// Key is an AES key made ready, with its hash key.
type Key struct {
	rounds int
	*secrets
}

// secrets are what is wiped when nobody has the key any more.
type secrets struct {
	powers powers
	round  [15][BlockSize]byte
}

// powers are those of the hash key: the fourth to the first for the lanes of a
// vector, then the 4th, 8th, 12th and so on. A block is a number here, least
// significant byte first, whose highest bit is the coefficient of x^0; and a power
// is divided by x, so that the product with a block need not be shifted.
type powers = [lanes + strides][BlockSize]byte

const (
	lanes   = 4  // blocks of a vector
	strides = 16 // vectors that are hashed with one reduction
)

// NewKey prepares a key of 16, 24 or 32 bytes.
func NewKey(key []byte) *Key {
	k := &Key{rounds: len(key)/4 + 6, secrets: new(secrets)}
	k.expand(key)
	k.raise()
	runtime.AddCleanup(k, func(s *secrets) { *s = secrets{} }, k.secrets)
	return k
}

// expand makes the round keys (NIST FIPS 197, section 5.2).
func (k *Key) expand(key []byte) {
	n := len(key) / 4
	var w [len(k.round) * 4]uint32
	for i := range 4 * (k.rounds + 1) {
		if i < n {
			w[i] = binary.LittleEndian.Uint32(key[4*i:])
			continue
		}
		t := w[i-1]
		switch {
		case i%n == 0:
			t = subWord(t>>8|t<<24) ^ constants[i/n]
		case n > 6 && i%n == 4:
			t = subWord(t)
		}
		w[i] = w[i-n] ^ t
	}
	for i, x := range w {
		binary.LittleEndian.PutUint32(k.round[i/4][i%4*4:], x)
	}
	clear(w[:])
}

// constants are those of the rounds.
var constants = [...]uint32{0, 0x01, 0x02, 0x04, 0x08, 0x10, 0x20, 0x40, 0x80, 0x1b, 0x36}

// raise computes the powers of the hash key, by the kernel itself: to hash n blocks
// of zeros is to multiply by the nth power.
func (k *Key) raise() {
	var h, counter [BlockSize]byte
	k.CTR(h[:], h[:], &counter)
	hi, lo := binary.BigEndian.Uint64(h[:]), binary.BigEndian.Uint64(h[8:])
	over := -(hi >> 63)
	hi, lo = hi<<1|lo>>63, lo<<1
	p := &k.powers
	binary.LittleEndian.PutUint64(p[lanes-1][:], lo^over&1)
	binary.LittleEndian.PutUint64(p[lanes-1][8:], hi^over&(0xc2<<56))
	for i := lanes - 2; i >= 0; i-- {
		p[i] = k.times(&p[i+1], 1)
	}
	p[lanes] = p[0]
	for i := lanes + 1; i < len(p); i++ {
		p[i] = k.times(&p[i-1], lanes)
	}
}

// times multiplies a power by the nth, which must be there.
func (k *Key) times(x *[BlockSize]byte, n int) (y [BlockSize]byte) {
	var zeros [lanes * BlockSize]byte
	turn(&y, x)
	k.Hash(&y, zeros[:n*BlockSize])
	z := y
	turn(&y, &z)
	return y
}

// turn is y with the bytes of x in the other order.
func turn(y, x *[BlockSize]byte) {
	binary.LittleEndian.PutUint64(y[8:], binary.BigEndian.Uint64(x[:]))
	binary.LittleEndian.PutUint64(y[:], binary.BigEndian.Uint64(x[8:]))
}

// CTR encrypts or decrypts src in counter mode. The counter is in the last 32 bits of
// its block and wraps there; CTR leaves the next one, for which what is left of the
// last block does not count. dst may be src, but must not overlap it in any other way.
func (k *Key) CTR(dst, src []byte, counter *[BlockSize]byte) {
	ctr(dst[:len(src)], src, counter, &k.round, k.rounds)
	runtime.KeepAlive(k) // or it is wiped
}

// seal is CTR and then Hash of dst, for a multiple of so many bytes.
func (k *Key) seal(dst, src []byte, counter, hash *[BlockSize]byte) {
	if len(src) > 0 {
		seal(dst, src, counter, &k.round, k.rounds, hash, &k.powers)
		runtime.KeepAlive(k)
	}
}

// together is how many bytes are encrypted while as many are hashed.
const together = 512

// Hash continues the hash y with the whole blocks of data.
func (k *Key) Hash(y *[BlockSize]byte, data []byte) {
	if data = data[:len(data)&^(BlockSize-1)]; len(data) > 0 {
		ghash(y, data, &k.powers)
		runtime.KeepAlive(k)
	}
}
