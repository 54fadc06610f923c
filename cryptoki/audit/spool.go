package audit

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/perilune/perilune/ownfile"
)

// A spool holds what one process has to record until it is in the log. It is a
// file mapped into memory, so that what a process wrote outlives it however it
// ends: the pages belong to the system. A ring of slots takes what happened;
// beside it are places for what has begun and not ended, so that an act cannot
// go unrecorded because its process was killed in the middle.
const (
	SpoolDir = "spool"

	spoolMagic = "PRLNSP\x00\x01"
	slotSize   = 256
	ringSlots  = 4096
	openSlots  = 64
	// The header: magic, spool number, and in lines of their own the numbers
	// of the last slot written and of the last that is in the log.
	spoolHeader = 4096
	numberAt    = 8
	writtenAt   = 64
	drainedAt   = 128
	openAt      = spoolHeader
	ringAt      = openAt + openSlots*slotSize
	spoolSize   = ringAt + ringSlots*slotSize
)

// Entry is something that happened, or that is about to.
type Entry struct {
	Time      time.Time
	Event     Event
	Role      byte
	Code      uint32 // CK_RV
	Session   uint64
	AccessHi  uint32
	AccessLo  uint32
	Serial    uint64 // of the partition; 0 for the HSM's own administration
	Mechanism uint64
	Mechanic  bool   // there is a mechanism
	Key       uint64 // handle; 0 for none
	KeyID     string // of the key, for ever; cut to 40 bytes
	Detail    string // cut to what a slot holds
	Exempt    bool   // it goes on when nothing can be recorded, as some events always do
}

// Unfinished is the code of an act whose process ended before the act did, so
// that nobody knows what became of it.
const Unfinished = 0xFFFFFFFF

const (
	maxKeyID  = 40
	maxDetail = slotSize - 116
)

// encode writes e into a slot. The check is over everything: after a loss of
// power, pages may be missing.
func (e *Entry) encode(b []byte, index uint64) {
	le := binary.LittleEndian
	le.PutUint64(b[0:], index)
	le.PutUint64(b[8:], uint64(e.Time.UnixNano()))
	le.PutUint32(b[16:], e.Code)
	le.PutUint16(b[20:], uint16(e.Event))
	b[22] = e.Role
	b[23] = 0
	if e.Mechanic {
		b[23] = 1
	}
	le.PutUint64(b[24:], e.Session)
	le.PutUint32(b[32:], e.AccessHi)
	le.PutUint32(b[36:], e.AccessLo)
	le.PutUint64(b[40:], e.Serial)
	le.PutUint64(b[48:], e.Mechanism)
	le.PutUint64(b[56:], e.Key)
	b[64] = byte(copy(b[66:66+maxKeyID], e.KeyID))
	b[65] = byte(copy(b[106:106+maxDetail], e.Detail))
	le.PutUint32(b[slotSize-4:], crc32.ChecksumIEEE(b[:slotSize-4]))
}

// decode reads a slot; false if it is not whole.
func (e *Entry) decode(b []byte, index uint64) bool {
	le := binary.LittleEndian
	if len(b) < slotSize || le.Uint64(b) != index || le.Uint32(b[slotSize-4:]) != crc32.ChecksumIEEE(b[:slotSize-4]) ||
		b[64] > maxKeyID || int(b[65]) > maxDetail || int(le.Uint16(b[20:])) >= NumEvents {
		return false
	}
	*e = Entry{
		Time: time.Unix(0, int64(le.Uint64(b[8:]))).UTC(), Code: le.Uint32(b[16:]), Event: Event(le.Uint16(b[20:])),
		Role: b[22], Mechanic: b[23]&1 != 0, Session: le.Uint64(b[24:]), AccessHi: le.Uint32(b[32:]), AccessLo: le.Uint32(b[36:]),
		Serial: le.Uint64(b[40:]), Mechanism: le.Uint64(b[48:]), Key: le.Uint64(b[56:]),
		KeyID: string(b[66 : 66+int(b[64])]), Detail: string(b[106 : 106+int(b[65])]),
	}
	return true
}

// spool is a spool in memory: this process's own, or a copy of a dead one's.
type spool struct {
	name   string
	number uint32
	mem    []byte
	mapped bool

	written, drained uint64
}

// spoolName names a spool; the process number is for people.
func spoolName(number uint32) string { return fmt.Sprintf("%d-%08x", os.Getpid(), number) }

func parseSpoolName(name string) (number uint32, ok bool) {
	pid, digits, ok := strings.Cut(name, "-")
	if _, err := strconv.ParseUint(pid, 10, 32); err != nil || !ok || len(digits) != 8 {
		return 0, false
	}
	n, err := strconv.ParseUint(digits, 16, 32)
	return uint32(n), err == nil
}

// makeSpool makes the file and maps it. All its bytes are allocated: a write to
// mapped memory could not say that the disk is full.
func makeSpool(dir string, number uint32) (*spool, error) {
	where := filepath.Join(dir, SpoolDir)
	if err := ownfile.MakeDir(where); err != nil {
		return nil, err
	}
	s := &spool{name: spoolName(number), number: number, mapped: true}
	path := filepath.Join(where, s.name)
	f, err := ownfile.Open(path, os.O_RDWR|os.O_CREATE)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if err := allocate(f, spoolSize); err != nil {
		return nil, errors.Join(err, os.Remove(path))
	}
	s.mem, err = unix.Mmap(int(f.Fd()), 0, spoolSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("map %s: %w", path, err), os.Remove(path))
	}
	binary.LittleEndian.PutUint32(s.mem[numberAt:], number)
	copy(s.mem, spoolMagic)
	return s, nil
}

func allocate(f *os.File, size int64) error {
	err := unix.Fallocate(int(f.Fd()), 0, 0, size)
	if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENOSYS) {
		_, err = f.WriteAt(make([]byte, size), 0)
	}
	return err
}

// readSpool copies the spool of a dead process.
func readSpool(dir, name string) (*spool, error) {
	number, ok := parseSpoolName(name)
	if !ok {
		return nil, fmt.Errorf("%s is no spool", name)
	}
	mem, err := readBounded(filepath.Join(dir, SpoolDir, name), spoolSize)
	if err != nil {
		return nil, err
	}
	s := &spool{name: name, number: number, mem: mem}
	if len(mem) != spoolSize || string(mem[:8]) != spoolMagic {
		s.mem = make([]byte, spoolSize) // it died before it recorded anything
		return s, nil
	}
	s.written = binary.LittleEndian.Uint64(mem[writtenAt:])
	s.drained = min(s.written, binary.LittleEndian.Uint64(mem[drainedAt:]))
	return s, nil
}

// put writes the next slot of the ring. The caller knows that there is room.
func (s *spool) put(e *Entry) {
	next := s.written + 1
	e.encode(s.slot(next), next)
	s.written = next
	binary.LittleEndian.PutUint64(s.mem[writtenAt:], next)
}

func (s *spool) slot(index uint64) []byte {
	at := ringAt + int((index-1)%ringSlots)*slotSize
	return s.mem[at : at+slotSize]
}

// setDrained notes that the slots up to index are in the log.
func (s *spool) setDrained(dir string, index uint64) error {
	s.drained = index
	if s.mapped {
		binary.LittleEndian.PutUint64(s.mem[drainedAt:], index)
		return nil
	}
	return noteDrained(dir, s.name, index)
}

// noteDrained does so in the file of another process.
func noteDrained(dir, name string, index uint64) error {
	f, err := ownfile.Open(filepath.Join(dir, SpoolDir, name), os.O_WRONLY)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(binary.LittleEndian.AppendUint64(nil, index), drainedAt)
	return errors.Join(err, f.Close())
}

// begin notes in place i that an act begins, and end that it ended.
func (s *spool) begin(i int, e *Entry) {
	at := openAt + i*slotSize
	e.encode(s.mem[at:at+slotSize], uint64(i)+1)
}

func (s *spool) end(i int) {
	at := openAt + i*slotSize
	binary.LittleEndian.PutUint64(s.mem[at:], 0)
}

// unfinished returns what a dead process had begun.
func (s *spool) unfinished() (list []Entry) {
	for i := range openSlots {
		at := openAt + i*slotSize
		var e Entry
		if e.decode(s.mem[at:at+slotSize], uint64(i)+1) {
			e.Code = Unfinished
			list = append(list, e)
		}
	}
	return list
}

// entry reads a slot of the ring.
func (s *spool) entry(index uint64) (e Entry, ok bool) {
	ok = e.decode(s.slot(index), index)
	return e, ok
}

// remove unmaps the spool and deletes its file.
func (s *spool) remove(dir string) error {
	if s.mapped {
		_ = unix.Munmap(s.mem)
	}
	s.mem = nil
	return os.Remove(filepath.Join(dir, SpoolDir, s.name))
}
