// Package audit keeps the audit log: records chained by HMAC in files, a spool
// that takes records from the hot path, and what is needed to verify, export
// and forward them. It knows neither requests nor the store: package hsm says
// what happened, and lends a lock and a place for secrets ([Keeper]).
//
// docs/FORMAT.md has the bytes.
package audit

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"hash"
	"strconv"
	"strings"
	"time"
)

// A line has fixed places:
//
//	sequence,YY/MM/DD hh:mm:ss,message,HMAC of the record before,raw data\n
const (
	LineSize = 448 // with the newline

	sequenceSize = 10
	timeSize     = 17
	messageSize  = 256
	rawSize      = 48

	timeAt    = sequenceSize + 1
	messageAt = timeAt + timeSize + 1
	linkAt    = messageAt + messageSize + 1
	rawAt     = linkAt + 2*sha256.Size + 1

	// plainSize is how much of the raw data is said by the record; the rest
	// is its tag.
	plainSize = 32
	tagSize   = rawSize - plainSize
)

const timeLayout = "06/01/02 15:04:05"

// Record is one record as it is in a line.
type Record struct {
	Sequence uint64
	Time     time.Time // UTC; the line shows the second, the raw data all
	Message  string    // at most 256 printable ASCII characters
	Event    Event
	Role     byte // of who acted, as package p11 numbers it
	Code     uint32
	// Spool and Index say where the record waited: a record that comes back
	// from the spool of a process that died is known by them.
	Spool, Index uint32
}

// Link is the HMAC of a record, which its successor carries. The first record
// carries the zero Link.
type Link [sha256.Size]byte

// Chain makes and checks lines under one log secret. Not for several
// goroutines at once.
type Chain struct {
	mac hash.Hash
	sum [sha256.Size]byte

	second int64 // whose text is time
	time   []byte
}

// SecretSize is the length of a log secret.
const SecretSize = 32

// NewChain is a chain under a log secret.
func NewChain(secret []byte) *Chain { return &Chain{mac: hmac.New(sha256.New, secret)} }

// Append adds the line of r, which follows the record whose link is before, to
// dst, and returns the link of r.
func (c *Chain) Append(dst []byte, r *Record, before Link) ([]byte, Link) {
	start := len(dst)
	dst = appendPadded(dst, r.Sequence, sequenceSize)
	dst = append(dst, ',')
	dst = append(dst, c.timestamp(r.Time)...)
	dst = append(dst, ',')
	dst = appendMessage(dst, r.Message)
	dst = append(dst, ',')
	raw := r.raw()
	link := c.link(dst[start:], raw[:plainSize], before)
	copy(raw[plainSize:], link[:tagSize])
	dst = appendHex(dst, before[:])
	dst = append(dst, ',')
	dst = appendHex(dst, raw[:])
	return append(dst, '\n'), link
}

// timestamp is the time as a line shows it; many records share one.
func (c *Chain) timestamp(t time.Time) []byte {
	if second := t.Unix(); second != c.second || c.time == nil {
		c.second, c.time = second, t.UTC().AppendFormat(c.time[:0], timeLayout)
	}
	return c.time
}

// link is HMAC-SHA256 over what people read, the plain raw data, and the link
// of the record before. Its first half is the record's tag, so that a line can
// be checked by itself, the last one too.
func (c *Chain) link(readable, plain []byte, before Link) (l Link) {
	c.mac.Reset()
	c.mac.Write(readable)
	c.mac.Write(plain)
	c.mac.Write(before[:])
	return Link(c.mac.Sum(c.sum[:0]))
}

func (r *Record) raw() (raw [rawSize]byte) {
	b := binary.LittleEndian
	b.PutUint64(raw[0:], r.Sequence)
	b.PutUint64(raw[8:], uint64(r.Time.UnixNano()))
	b.PutUint16(raw[16:], uint16(r.Event))
	raw[18] = r.Role
	b.PutUint32(raw[20:], r.Code)
	b.PutUint32(raw[24:], r.Spool)
	b.PutUint32(raw[28:], r.Index)
	return raw
}

// Line is a line taken apart.
type Line struct {
	Record
	Before Link // the link of the record before, as the line says
	Link   Link // its own, as computed
}

// Why a line is no record.
var (
	ErrForm = errors.New("not in the form of a record")
	ErrTag  = errors.New("changed after it was written, or written under another log secret")
)

// Parse takes a line apart, with its newline, and checks its tag: not one
// character of it can be another without an error. After ErrTag the content
// is returned as it stands, to be shown but not believed.
func (c *Chain) Parse(line []byte) (Line, error) {
	var l Line
	raw, ok := l.read(line)
	if !ok {
		return Line{}, ErrForm
	}
	l.Link = c.link(line[:linkAt], raw[:plainSize], l.Before)
	if !hmac.Equal(l.Link[:tagSize], raw[plainSize:]) {
		return l, ErrTag
	}
	return l, nil
}

// ParseLine takes a line apart without checking its tag.
func ParseLine(line []byte) (Record, error) {
	var l Line
	if _, ok := l.read(line); !ok {
		return Record{}, ErrForm
	}
	return l.Record, nil
}

func (l *Line) read(line []byte) (raw [rawSize]byte, ok bool) {
	if len(line) != LineSize || line[timeAt-1] != ',' || line[messageAt-1] != ',' ||
		line[linkAt-1] != ',' || line[rawAt-1] != ',' || line[LineSize-1] != '\n' {
		return raw, false
	}
	if !readHex(l.Before[:], line[linkAt:rawAt-1]) || !readHex(raw[:], line[rawAt:LineSize-1]) {
		return raw, false
	}
	sequence, ok := readDecimal(line[:sequenceSize])
	if !ok {
		return raw, false
	}
	b := binary.LittleEndian
	l.Record = Record{
		Sequence: sequence,
		Time:     time.Unix(0, int64(b.Uint64(raw[8:]))).UTC(),
		Message:  string(bytes.TrimRight(line[messageAt:linkAt-1], " ")),
		Event:    Event(b.Uint16(raw[16:])), Role: raw[18], Code: b.Uint32(raw[20:]),
		Spool: b.Uint32(raw[24:]), Index: b.Uint32(raw[28:]),
	}
	return raw, true
}

func appendPadded(dst []byte, n uint64, width int) []byte {
	var digits [20]byte
	d := strconv.AppendUint(digits[:0], n, 10)
	for i := len(d); i < width; i++ {
		dst = append(dst, '0')
	}
	return append(dst, d...)
}

// appendMessage adds text made safe for a log: printable ASCII, cut or padded to
// its width.
func appendMessage(dst []byte, text string) []byte {
	text = text[:min(len(text), messageSize)]
	dst = append(dst, text...)
	for i := len(dst) - len(text); i < len(dst); i++ {
		if dst[i] < ' ' || dst[i] > '~' {
			dst[i] = '?'
		}
	}
	return append(dst, blank[len(text):]...)
}

var blank = strings.Repeat(" ", messageSize)

const hexDigits = "0123456789ABCDEF"

func appendHex(dst, b []byte) []byte {
	for _, c := range b {
		dst = append(dst, hexDigits[c>>4], hexDigits[c&15])
	}
	return dst
}

// readHex takes upper case only, so that there is one way to write a line.
func readHex(dst, text []byte) bool {
	for _, c := range text {
		if c >= 'a' && c <= 'f' {
			return false
		}
	}
	n, err := hex.Decode(dst, text)
	return err == nil && n == len(dst)
}

func readDecimal(text []byte) (n uint64, ok bool) {
	for _, c := range text {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = 10*n + uint64(c-'0')
	}
	return n, true
}
