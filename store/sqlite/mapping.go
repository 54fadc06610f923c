package sqlite

import (
	"encoding/binary"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// mapping is the generation file in memory, shared with every process that has
// the store open. docs/FORMAT.md describes the bytes. This file is the only
// one here that needs package unsafe: Go has no other atomic access to mapped
// memory.
//
// Memory of a file that somebody cut short faults when it is touched. Every
// access runs under guard, which makes that an answer instead of a crash.
type mapping struct {
	id         fileID
	magic      *atomic.Uint64
	begin, end *atomic.Uint64 // see generation.go
	lastRef    *atomic.Uint64
	writable   bool
}

const (
	genSize  = 4096
	genMagic = "PRLNGEN\x01"
)

// mapGen maps the generation file, after creating or lengthening it if need
// be and allowed.
func mapGen(path string, readOnly bool) (*mapping, error) {
	f, err := openGen(path, readOnly)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, wrap(err)
	}
	if info.Size() < genSize {
		if readOnly {
			return nil, fmt.Errorf("store: %s is too short", path)
		}
		// Writing, unlike Truncate, says so when the disk is full.
		if _, err := f.WriteAt([]byte{0}, genSize-1); err != nil {
			return nil, wrap(err)
		}
	}
	return mapFile(f, readOnly)
}

func openGen(path string, readOnly bool) (*os.File, error) {
	if readOnly {
		f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW, 0)
		return f, wrap(err)
	}
	return openPrivate(path)
}

func mapFile(f *os.File, readOnly bool) (*mapping, error) {
	id, err := idOfFile(f)
	if err != nil {
		return nil, err
	}
	protection := unix.PROT_READ
	if !readOnly {
		protection |= unix.PROT_WRITE
	}
	mem, err := unix.Mmap(int(f.Fd()), 0, genSize, protection, unix.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("store: map %s: %w", f.Name(), err)
	}
	m := &mapping{id: id, writable: !readOnly}
	for i, word := range []**atomic.Uint64{&m.magic, &m.begin, &m.end, &m.lastRef} {
		*word = (*atomic.Uint64)(unsafe.Pointer(&mem[8*i]))
	}
	// Another goroutine may be reading it when a store closes, so the garbage
	// collector unmaps it, and not Close.
	runtime.AddCleanup(m, func(mem []byte) { _ = unix.Munmap(mem) }, mem)
	return m, nil
}

// valid reports whether the file says that it is a generation file.
func (m *mapping) valid() (is bool) {
	m.guard(func() { is = m.magic.Load() == magicWord })
	return is
}

var magicWord = binary.NativeEndian.Uint64([]byte(genMagic))

// stable returns the number of the last commit, unless one is under way.
func (m *mapping) stable() (n uint64, ok bool) {
	old, read := debug.SetPanicOnFault(true), false
	defer func() {
		debug.SetPanicOnFault(old)
		if !read && recover() != nil {
			ok = false
		}
	}()
	begin := m.begin.Load()
	ok = begin == m.end.Load() && begin != 0
	read = true
	runtime.KeepAlive(m)
	return begin, ok
}

// guard runs fn and reports false if the memory is gone.
func (m *mapping) guard(fn func()) (ok bool) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if !ok {
			_ = recover()
		}
	}()
	fn()
	runtime.KeepAlive(m)
	return true
}
