package vaes

import (
	"crypto/subtle"
	"encoding/binary"
)

// Stream is counter mode in parts: a cipher.Stream.
type Stream struct {
	key     *Key
	wide    bool // all of the block counts, not the last 32 bits
	counter [BlockSize]byte
	rest    [BlockSize]byte // of the stream, at its end
	left    int
}

// NewStream begins a stream with a counter in the last 32 bits of its block, that of
// GCM.
func (k *Key) NewStream(counter *[BlockSize]byte) *Stream {
	return &Stream{key: k, counter: *counter}
}

// NewWideStream begins a stream with a counter that is all of its block.
func (k *Key) NewWideStream(counter *[BlockSize]byte) *Stream {
	return &Stream{key: k, counter: *counter, wide: true}
}

// XORKeyStream implements cipher.Stream.
func (s *Stream) XORKeyStream(dst, src []byte) {
	n := subtle.XORBytes(dst, src, s.rest[BlockSize-s.left:])
	s.left -= n
	dst, src = dst[n:], src[n:]
	whole := len(src) &^ (BlockSize - 1)
	s.blocks(dst, src[:whole])
	if dst, src = dst[whole:], src[whole:]; len(src) > 0 {
		clear(s.rest[:])
		s.blocks(s.rest[:], s.rest[:])
		s.left = BlockSize - subtle.XORBytes(dst, src, s.rest[:])
	}
}

// blocks works on whole blocks. A wide counter carries where the last 32 bits come to
// their end.
func (s *Stream) blocks(dst, src []byte) {
	for s.wide && len(src) > 0 {
		n := (1<<32 - uint64(binary.BigEndian.Uint32(s.counter[12:]))) * BlockSize
		if n > uint64(len(src)) {
			break
		}
		s.key.CTR(dst, src[:n], &s.counter)
		for i := 11; i >= 0; i-- {
			if s.counter[i]++; s.counter[i] != 0 {
				break
			}
		}
		dst, src = dst[n:], src[n:]
	}
	s.key.CTR(dst, src, &s.counter)
}
