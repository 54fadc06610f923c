package vaes

import "crypto/subtle"

// Stream is counter mode in parts: a cipher.Stream. The counter wraps in its last 32
// bits.
type Stream struct {
	key     *Key
	counter [BlockSize]byte
	rest    [BlockSize]byte // of the stream, at its end
	left    int
}

// NewStream begins a stream.
func (k *Key) NewStream(counter *[BlockSize]byte) *Stream {
	return &Stream{key: k, counter: *counter}
}

// XORKeyStream implements cipher.Stream.
func (s *Stream) XORKeyStream(dst, src []byte) {
	n := subtle.XORBytes(dst, src, s.rest[BlockSize-s.left:])
	s.left -= n
	dst, src = dst[n:], src[n:]
	whole := len(src) &^ (BlockSize - 1)
	s.key.CTR(dst, src[:whole], &s.counter)
	if dst, src = dst[whole:], src[whole:]; len(src) > 0 {
		clear(s.rest[:])
		s.key.CTR(s.rest[:], s.rest[:], &s.counter)
		s.left = BlockSize - subtle.XORBytes(dst, src, s.rest[:])
	}
}
