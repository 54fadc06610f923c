//go:build valgrind && linux && amd64

package ct

import "encoding/binary"

// Client requests (valgrind's manual, sections 3.1 and 4.7).
const (
	runningOnValgrind = 0x1001
	countErrors       = 0x1201
	makeMemUndefined  = 'M'<<24 | 'C'<<16 | 1
	makeMemDefined    = 'M'<<24 | 'C'<<16 | 2
)

// request makes a client request about the memory of b, and returns 0 where
// there is no valgrind.
//
//go:noescape
func request(code uint64, b []byte) uint64

// Marking reports whether this build can mark secrets.
const Marking = true

// Secret says that b is secret: nothing may branch on it or look up by it.
func Secret(b []byte) { request(makeMemUndefined, b) }

// Public says that b, although computed from secrets, is none.
func Public(b []byte) { request(makeMemDefined, b) }

// Reveal returns x, which, although computed from secrets, is none.
func Reveal[T integer](x T) T {
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], uint64(x))
	Public(b[:])
	return T(binary.LittleEndian.Uint64(b[:]))
}

// Valgrind reports whether this program runs under valgrind.
func Valgrind() bool { return request(runningOnValgrind, nil) > 0 }

// Errors is how many errors valgrind has found so far.
func Errors() uint64 { return request(countErrors, nil) }
