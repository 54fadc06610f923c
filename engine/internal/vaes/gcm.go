package vaes

import (
	"crypto/subtle"
	"encoding/binary"

	"github.com/perilune/perilune/engine/internal/ct"
)

// GCM of a message in one part (NIST SP 800-38D, section 7).

// room is for what is worked on at once: short messages wholly, so that they need few
// calls of the kernels.
const room = 16 * BlockSize

// message is a message being worked on.
type message struct {
	key     *Key
	counter [BlockSize]byte // the next
	hash    [BlockSize]byte // of what is not in waiting
	waiting [room]byte      // to be hashed
	n       int             // bytes there
	// The mask of the tag, and behind it a short message.
	mask [room]byte
}

// Seal puts the ciphertext of src into dst, and behind it the tag of it and of aad, in
// what room is left there.
func (k *Key) Seal(dst, iv, src, aad []byte) {
	m := message{key: k}
	m.begin(iv, aad)
	n := len(src)
	if n <= room-BlockSize {
		m.short(src)
		copy(dst, m.mask[BlockSize:][:n])
		m.add(dst[:n])
	} else {
		m.short(nil)
		m.flush()
		long := n &^ (together - 1)
		k.seal(dst[:long], src[:long], &m.counter, &m.hash)
		k.CTR(dst[long:], src[long:], &m.counter)
		m.add(dst[long:n])
	}
	m.end(uint64(len(aad)), uint64(n))
	copy(dst[n:], m.hash[:])
	m.wipe()
}

// Open decrypts src to dst if tag is the tag of it and of aad. Otherwise it leaves dst
// as it is.
func (k *Key) Open(dst, iv, src, tag, aad []byte) bool {
	m := message{key: k}
	defer m.wipe()
	m.begin(iv, aad)
	m.add(src)
	short := len(src) <= room-BlockSize
	if short {
		m.short(src)
	} else {
		m.short(nil)
	}
	m.end(uint64(len(aad)), uint64(len(src)))
	if ct.Reveal(ct.Equal(m.hash[:len(tag)], tag)) != 1 {
		return false
	}
	if short {
		copy(dst, m.mask[BlockSize:][:len(src)])
	} else {
		k.CTR(dst, src, &m.counter)
	}
	return true
}

// begin makes the first counter, and hashes the associated data.
func (m *message) begin(iv, aad []byte) {
	if len(iv) == 12 {
		copy(m.counter[:], iv)
		m.counter[15] = 1
	} else {
		m.add(iv)
		m.lengths(0, uint64(len(iv)))
		m.counter, m.hash = m.hash, [BlockSize]byte{}
	}
	m.add(aad)
}

// short makes the mask of the tag and encrypts a short message in one go.
func (m *message) short(src []byte) {
	n := BlockSize + copy(m.mask[BlockSize:], src)
	m.key.CTR(m.mask[:n], m.mask[:n], &m.counter)
}

// add has data hashed, filled up with zeros to whole blocks.
func (m *message) add(data []byte) {
	if len(data) > room-m.n {
		m.flush()
		whole := len(data) &^ (BlockSize - 1)
		m.key.Hash(&m.hash, data[:whole])
		data = data[whole:]
	}
	copy(m.waiting[m.n:], data)
	end := m.n + len(data)
	m.n = (end + BlockSize - 1) &^ (BlockSize - 1)
	clear(m.waiting[end:m.n])
}

// lengths hashes the last block: two lengths in bytes, as bits.
func (m *message) lengths(a, c uint64) {
	var b [BlockSize]byte
	binary.BigEndian.PutUint64(b[:], 8*a)
	binary.BigEndian.PutUint64(b[8:], 8*c)
	m.add(b[:])
	m.flush()
}

func (m *message) flush() {
	m.key.Hash(&m.hash, m.waiting[:m.n])
	m.n = 0
}

// end makes the tag of the hash.
func (m *message) end(aad, n uint64) {
	m.lengths(aad, n)
	subtle.XORBytes(m.hash[:], m.hash[:], m.mask[:BlockSize])
}

// wipe clears the mask and what was encrypted, or decrypted, with it.
func (m *message) wipe() { clear(m.mask[:]) }
