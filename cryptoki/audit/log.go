package audit

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/perilune/perilune/ownfile"
)

// ErrFull says that the log has no room left, by its limit or on its disk.
var ErrFull = errors.New("the audit log is full")

// log is the chain in its files. Who calls its methods holds the lock of the
// log, which all processes share.
type log struct {
	dir    string
	serial string
	secret []byte
	chain  *Chain
	head   headFile
	seen   Head // the newest head that this process saw: it never goes back

	buf []byte
}

func newLog(dir, serial string, secret, headKey []byte) *log {
	return &log{dir: dir, serial: serial, secret: secret, chain: NewChain(secret), head: newHeadFile(dir, headKey)}
}

// position is where the next record goes.
type position struct {
	Head
	turn uint64 // of the head file
	// written has, for each spool, the index up to which records were found
	// in the log that no head knew of: the process that wrote them died
	// before it could say so.
	written map[uint32]uint32
	// repairs is what was found in disorder.
	repairs []string
	stale   bool // the head file has to be written anew
}

func (l *log) path(number uint32) string { return filepath.Join(l.dir, FileName(l.serial, number)) }

// find finds the end of the log. settled is the checkpoint of the store. Nearly
// always the head file is right and nothing else is read.
func (l *log) find(settled Head) (*position, error) {
	h, turn, ok, err := l.head.read()
	if err != nil {
		return nil, err
	}
	newest := newer(newer(h, settled), l.seen)
	p := &position{Head: newest, turn: turn}
	if ok && newest.Sequence == h.Sequence && h.File != 0 {
		info, err := os.Lstat(l.path(h.File))
		if err == nil && info.Size() == h.Size {
			return p, nil
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
	if !ok && newest.Sequence > 0 {
		p.repairs = append(p.repairs, "the head file was missing or damaged")
	}
	if err := l.recover(p); err != nil {
		return nil, err
	}
	return p, nil
}

// recover brings files and head together after a crash, or after somebody
// meddled. Records beyond the head are taken over if they continue the chain:
// only a process of this HSM can have written them.
func (l *log) recover(p *position) error {
	files, err := Files(l.dir, l.serial)
	if err != nil {
		return err
	}
	found := p.Size == 0 // of an empty file: the newest record is in one before it
	p.written, p.stale = map[uint32]uint32{}, true
	for _, f := range files {
		if f.Number < p.File {
			continue
		}
		ok, err := l.adopt(p, f)
		if err != nil {
			return err
		}
		found = found || ok
	}
	if !found {
		p.repairs = append(p.repairs, fmt.Sprintf("record %d is not where it was written: the log was cut or changed", p.Sequence))
	}
	return l.settleFiles(p, files)
}

// adopt takes over the records of a file that continue the chain. found tells
// whether the newest record known is at its place.
func (l *log) adopt(p *position, f File) (found bool, err error) {
	data, err := os.ReadFile(f.Path)
	if err != nil {
		return false, err
	}
	newest := p.Sequence
	for at := 0; at+LineSize <= len(data); at += LineSize {
		line, err := l.chain.Parse(data[at : at+LineSize])
		switch {
		case err != nil:
		case line.Sequence == newest && line.Link == p.Link:
			found = true
		case line.Sequence == p.Sequence+1 && line.Before == p.Link:
			if p.File != f.Number {
				p.Opened = line.Time.Unix()
			}
			p.Sequence, p.Link, p.File, p.Size = line.Sequence, line.Link, f.Number, int64(at+LineSize)
			p.written[line.Spool] = line.Index
		}
	}
	return found, nil
}

// settleFiles finds the file to go on in, and cuts off what a crash left of a
// record that was not written to its end. What is left there of complete lines
// is evidence, and goes to the archive.
func (l *log) settleFiles(p *position, files []File) error {
	last := p.File
	var current *File
	for i := range files {
		f := &files[i]
		last = max(last, f.Number)
		if f.Archived {
			continue
		}
		if current != nil {
			if err := l.archive(current.Number); err != nil {
				return err
			}
		}
		current = f
	}
	var keep int64
	if current != nil && current.Number == p.File {
		keep = p.Size
	}
	switch {
	case current == nil, current.Number < p.File:
		p.File, p.Size = last, -1
	case current.Size-keep >= LineSize:
		p.repairs = append(p.repairs, fmt.Sprintf("file %s ends in what are no records of this HSM", current.Name))
		p.File, p.Size = last, -1
	default:
		p.File, p.Size = current.Number, min(keep, current.Size/LineSize*LineSize)
		if current.Size != p.Size {
			return os.Truncate(current.Path, p.Size)
		}
		return nil
	}
	if current != nil {
		return l.archive(current.Number)
	}
	return nil
}

// archive moves a file out of the way: from then on nothing is written to it.
func (l *log) archive(number uint32) error {
	to := filepath.Join(l.dir, ArchiveDir)
	if err := ownfile.MakeDir(to); err != nil {
		return err
	}
	if err := os.Rename(l.path(number), filepath.Join(to, FileName(l.serial, number))); err != nil {
		return err
	}
	return errors.Join(ownfile.SyncDir(to), ownfile.SyncDir(l.dir))
}

// rotate ends the current file and begins the next.
func (l *log) rotate(p *position, now time.Time) error {
	if err := l.archive(p.File); err != nil {
		return err
	}
	p.Size = -1
	f, err := l.open(p, now)
	if err != nil {
		return err
	}
	return errors.Join(f.Close(), l.note(p))
}

// open opens the current file for appending, making it if p says that a new one
// begins.
func (l *log) open(p *position, now time.Time) (*os.File, error) {
	if p.Size >= 0 {
		return ownfile.Open(l.path(p.File), os.O_WRONLY|os.O_APPEND)
	}
	f, err := ownfile.Open(l.path(p.File+1), os.O_WRONLY|os.O_APPEND|os.O_CREATE)
	if err != nil {
		return nil, err
	}
	if err := ownfile.SyncDir(l.dir); err != nil {
		_ = f.Close()
		return nil, err
	}
	p.File, p.Size, p.Opened = p.File+1, 0, now.Unix()
	return f, nil
}

// room is what is set aside on the disk for the records of acts that were
// allowed to begin.
const room = 64 << 10

// prepare rotates if it is time, and makes sure of some room on the disk.
func (l *log) prepare(p *position, conf *Config, now time.Time) error {
	if p.Size >= conf.FileSize/LineSize*LineSize || p.Size > 0 && conf.Rotation.due(time.Unix(p.Opened, 0), now) {
		if err := l.rotate(p, now); err != nil {
			return err
		}
	}
	f, err := l.open(p, now)
	if err != nil {
		return err
	}
	return errors.Join(reserve(f, p.Size, room), f.Close())
}

// append writes as many of the records as fit into the current file, durably,
// and returns how many. The position is moved, and the head file says so.
func (l *log) append(p *position, conf *Config, records []Record, now time.Time) (n int, err error) {
	f, err := l.open(p, now)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	if p.Size == 0 {
		p.Opened = now.Unix()
	}
	fit := max(1, (conf.FileSize-p.Size)/LineSize)
	n = int(min(fit, int64(len(records))))
	link := p.Link
	l.buf = l.buf[:0]
	for i := range records[:n] {
		r := &records[i]
		r.Sequence = p.Sequence + uint64(i) + 1
		l.buf, link = l.chain.Append(l.buf, r, link)
	}
	if _, err := f.Write(l.buf); err != nil {
		// What was written of it is no record, and the next try starts here.
		return 0, errors.Join(err, f.Truncate(p.Size))
	}
	if err := unix.Fdatasync(int(f.Fd())); err != nil {
		return 0, errors.Join(err, f.Truncate(p.Size))
	}
	p.Sequence += uint64(n)
	p.Link, p.Size = link, p.Size+int64(len(l.buf))
	return n, nil
}

// note writes the head file.
func (l *log) note(p *position) error {
	l.seen, p.stale = p.Head, false
	p.turn++
	return l.head.write(p.Head, p.turn)
}
