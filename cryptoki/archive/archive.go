// Package archive is the form of backup archives: a header, sealed objects, and
// an end, so that whatever is cut off, moved, doubled or changed shows. It knows
// neither objects nor domains, and keeps no secrets: the caller brings the key.
// docs/FORMAT.md specifies the bytes.
package archive

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

var (
	// ErrFormat says that a file is no archive.
	ErrFormat = errors.New("not a backup archive")
	// ErrVersion says that a newer program wrote it.
	ErrVersion = errors.New("the archive was written by a newer version")
	// ErrKey says that the archive belongs to another key.
	ErrKey = errors.New("the archive is of another cloning domain, or its header is damaged")
	// ErrDamaged says that something was changed, moved, doubled or cut off.
	ErrDamaged = errors.New("the archive is damaged or cut short")
)

// Info is what the header tells. It can be read without the key, but is only
// true when the key says so.
type Info struct {
	HSM     uint64 // serial number
	Serial  string // of the partition
	Label   string // of the partition
	Created string // RFC 3339, UTC
	KDF     KDF    // how the key is made of the domain
	Salt    []byte // 32 random bytes, by which each archive has keys of its own
}

// KDF names a way to make keys of passwords, with its cost.
type KDF struct {
	Name      string
	Passes    uint32
	MemoryKiB uint32
	Threads   uint8
	Salt      string
}

const (
	magic    = "PRLNARCH"
	endMagic = "PRLNAEND"
	version  = 1

	fixedLen = 8 + 4 + 4   // magic, version, length of what describes
	maxInfo  = 4096        // bytes of it
	checkLen = 16          // tells another key from damage
	macLen   = sha256.Size // over all before it
	endLen   = 4 + 8 + 8 + 8 + macLen

	overhead = 12 + 16 // nonce and tag of a sealed object
	// MaxObject is the greatest length of an object.
	MaxObject = 8 << 20
)

// keys are an archive's own.
type keys struct {
	check, mac []byte
	aead       cipher.AEAD
}

func newKeys(key, salt []byte) (*keys, error) {
	var k keys
	var seal []byte
	for _, d := range []struct {
		to   *[]byte
		info string
		n    int
	}{{&k.check, "check", checkLen}, {&k.mac, "mac", 32}, {&seal, "seal", 32}} {
		b, err := hkdf.Key(sha256.New, key, salt, "perilune archive "+d.info, d.n)
		if err != nil {
			return nil, err
		}
		*d.to = b
	}
	defer clear(seal)
	block, err := aes.NewCipher(seal)
	if err != nil {
		return nil, err
	}
	k.aead, err = cipher.NewGCMWithRandomNonce(block)
	return &k, err
}

func (k *keys) sum(parts ...[]byte) []byte {
	h := hmac.New(sha256.New, k.mac)
	for _, p := range parts {
		h.Write(p)
	}
	return h.Sum(nil)
}

// place binds an object to its place in the archive.
func place(i uint64) []byte {
	return binary.LittleEndian.AppendUint64([]byte("perilune archive object"), i)
}

// end is the end of an archive of count objects and length bytes. The MAC of the
// header, which the salt makes the archive's own, binds it.
func (k *keys) end(headerMAC []byte, count, length uint64) []byte {
	b := make([]byte, 4, endLen) // a length that no object has
	b = binary.LittleEndian.AppendUint64(b, count)
	b = binary.LittleEndian.AppendUint64(b, length)
	b = append(b, endMagic...)
	return append(b, k.sum(headerMAC, b)...)
}

// Writer writes an archive. It buffers nothing.
type Writer struct {
	w         io.Writer
	keys      *keys
	headerMAC []byte
	count     uint64
	length    uint64
	buf       []byte
}

// Create begins an archive under a key. It chooses the salt.
func Create(w io.Writer, info Info, key []byte) (*Writer, error) {
	info.Salt = make([]byte, 32)
	rand.Read(info.Salt)
	k, err := newKeys(key, info.Salt)
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(info)
	if err != nil {
		return nil, err
	}
	if len(text) > maxInfo {
		return nil, fmt.Errorf("a description of %d bytes is too long", len(text))
	}
	b := binary.LittleEndian.AppendUint32([]byte(magic), version)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(text)))
	b = append(append(b, text...), k.check...)
	a := &Writer{w: w, keys: k, headerMAC: k.sum(b)}
	return a, a.write(append(b, a.headerMAC...))
}

func (a *Writer) write(b []byte) error {
	n, err := a.w.Write(b)
	a.length += uint64(n)
	return err
}

// Add writes one object, which is not empty.
func (a *Writer) Add(object []byte) error {
	if len(object) == 0 || len(object) > MaxObject {
		return fmt.Errorf("an object of %d bytes does not fit into an archive", len(object))
	}
	a.buf = binary.LittleEndian.AppendUint32(a.buf[:0], uint32(len(object)+overhead))
	a.buf = a.keys.aead.Seal(a.buf, nil, object, place(a.count))
	a.count++
	return a.write(a.buf)
}

// Count is how many objects were added.
func (a *Writer) Count() uint64 { return a.count }

// Close writes the end, without which no archive is read. It does not close what
// it writes to.
func (a *Writer) Close() error { return a.write(a.keys.end(a.headerMAC, a.count, a.length+endLen)) }

// header is a header as it was read.
type header struct {
	info  Info
	bytes []byte // up to the MAC
	mac   []byte
}

func (h *header) length() int64 { return int64(len(h.bytes) + len(h.mac)) }

func readHeader(r io.ReaderAt, size int64) (*header, error) {
	fixed := make([]byte, fixedLen)
	if size < fixedLen {
		return nil, ErrFormat
	}
	if err := readAt(r, fixed, 0); err != nil {
		return nil, err
	}
	if string(fixed[:8]) != magic {
		return nil, ErrFormat
	}
	if v := binary.LittleEndian.Uint32(fixed[8:]); v != version {
		return nil, fmt.Errorf("%w: version %d", ErrVersion, v)
	}
	n := binary.LittleEndian.Uint32(fixed[12:])
	if n > maxInfo || fixedLen+int64(n)+checkLen+macLen+endLen > size {
		return nil, ErrDamaged
	}
	b := make([]byte, fixedLen+n+checkLen+macLen)
	if err := readAt(r, b, 0); err != nil {
		return nil, err
	}
	h := &header{bytes: b[:len(b)-macLen], mac: b[len(b)-macLen:]}
	if err := json.Unmarshal(b[fixedLen:fixedLen+n], &h.info); err != nil {
		return nil, ErrDamaged
	}
	return h, nil
}

func readAt(r io.ReaderAt, b []byte, at int64) error {
	n, err := r.ReadAt(b, at)
	if n == len(b) {
		return nil
	}
	if err == nil || errors.Is(err, io.EOF) {
		return ErrDamaged
	}
	return err
}

// readEnd reads the end and the count in it.
func readEnd(r io.ReaderAt, size int64) (end []byte, count uint64, err error) {
	end = make([]byte, endLen)
	if size < endLen {
		return nil, 0, ErrDamaged
	}
	if err := readAt(r, end, size-endLen); err != nil {
		return nil, 0, err
	}
	if string(end[20:28]) != endMagic || binary.LittleEndian.Uint64(end[12:]) != uint64(size) {
		return nil, 0, ErrDamaged
	}
	return end, binary.LittleEndian.Uint64(end[4:]), nil
}

// Stat says what an archive of size bytes is, and how many objects it has, as
// far as that can be told without the key. Where the error is ErrDamaged, the
// Info may be there nevertheless.
func Stat(r io.ReaderAt, size int64) (Info, uint64, error) {
	h, err := readHeader(r, size)
	if err != nil {
		return Info{}, 0, err
	}
	_, count, err := readEnd(r, size)
	return h.info, count, err
}

// Reader reads an archive from its beginning.
type Reader struct {
	r      io.ReaderAt
	keys   *keys
	info   Info
	count  uint64 // objects in the archive
	next   uint64 // the one that is read next
	at     int64  // where it is
	begin  int64
	end    int64
	sealed []byte
	object []byte
}

// Open checks header and end of an archive of size bytes. What is between, Next
// checks.
func Open(r io.ReaderAt, size int64, key []byte) (*Reader, error) {
	h, err := readHeader(r, size)
	if err != nil {
		return nil, err
	}
	k, err := newKeys(key, h.info.Salt)
	if err != nil {
		return nil, err
	}
	if check := h.bytes[len(h.bytes)-checkLen:]; !hmac.Equal(check, k.check) {
		return nil, ErrKey
	}
	if !hmac.Equal(h.mac, k.sum(h.bytes)) {
		return nil, ErrDamaged
	}
	end, count, err := readEnd(r, size)
	if err != nil {
		return nil, err
	}
	if !hmac.Equal(end, k.end(h.mac, count, uint64(size))) {
		return nil, ErrDamaged
	}
	return &Reader{r: r, keys: k, info: h.info, count: count, at: h.length(), begin: h.length(), end: size - endLen}, nil
}

// Info is the header, of which the key says that it is true.
func (a *Reader) Info() Info { return a.info }

// Count is how many objects the archive has.
func (a *Reader) Count() uint64 { return a.count }

// Next returns the next object, io.EOF after the last. The bytes are valid until
// the next call, which overwrites them.
func (a *Reader) Next() ([]byte, error) {
	clear(a.object)
	a.object = a.object[:0]
	if a.next == a.count {
		if a.at != a.end {
			return nil, a.damaged()
		}
		return nil, io.EOF
	}
	var length [4]byte
	if a.at+4 > a.end {
		return nil, a.damaged()
	}
	if err := readAt(a.r, length[:], a.at); err != nil {
		return nil, err
	}
	n := int64(binary.LittleEndian.Uint32(length[:]))
	if n <= overhead || n > MaxObject+overhead || a.at+4+n > a.end {
		return nil, a.damaged()
	}
	if int64(cap(a.sealed)) < n {
		a.sealed = make([]byte, n, n+n/4)
	}
	a.sealed = a.sealed[:n]
	if err := readAt(a.r, a.sealed, a.at+4); err != nil {
		return nil, err
	}
	object, err := a.keys.aead.Open(a.object, nil, a.sealed, place(a.next))
	if err != nil {
		return nil, a.damaged()
	}
	a.object = object
	a.at += 4 + n
	a.next++
	return object, nil
}

// Rewind goes back to the first object.
func (a *Reader) Rewind() { a.next, a.at = 0, a.begin }

func (a *Reader) damaged() error {
	return fmt.Errorf("object %d of %d, at byte %d: %w", min(a.next+1, a.count), a.count, a.at, ErrDamaged)
}
