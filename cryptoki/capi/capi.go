// Package capi is the C interface of the library: it turns calls of the C_
// functions into requests to a [p11.Module], and its answers into what the C
// program sees.
//
// stubs.c has the functions themselves, made from the rows of pkcs11.h; each
// enters Go once, in [enter], which finds the function's row in [functions].
// fork.c keeps children of fork away from the Go code of their parent. The
// package adds no rule of its own to what a request may do: sessions, roles
// and objects are the module's.
//
// What the program passes is used where it lies. Input that overlaps the
// output otherwise than by beginning at the same byte is copied first.
package capi

import (
	"context"
	"log/slog"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"unsafe"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/cryptoki/cmem"
	"github.com/perilune/perilune/cryptoki/p11"
)

// Prototypes returns what the parameters of a mechanism look like, for package
// cmem: of the mechanism itself, of its message-based functions, and of
// wrapping.
type Prototypes func(ck.MechanismType) (param, message, wrap any, known bool)

// Provide says where the module comes from: open is called by C_Initialize.
// It must be called before the first call from C, in an init function.
func Provide(open func() (p11.Module, error), params Prototypes) {
	library.open, library.params = open, params
}

// library is the state of the interface.
var library struct {
	open   func() (p11.Module, error)
	params Prototypes

	mu      sync.Mutex // held by C_Initialize and C_Finalize
	current atomic.Pointer[instance]
}

// instance is the life of the library from C_Initialize to C_Finalize.
type instance struct {
	module   p11.Module
	waiting  context.Context // ends with C_Finalize, for calls that wait for events
	cancel   context.CancelFunc
	calls    [16]counter // under way
	left     chan struct{}
	messages messages
	domain   domain // for the next C_InitToken
}

// counter counts calls under way, apart from other counters' cache lines.
type counter struct {
	n atomic.Int64
	_ [56]byte
}

// join counts a call in, unless the library is not initialised. A call picks
// its counter by its place on the thread's stack, so that threads seldom
// share one.
func join(place unsafe.Pointer) (*instance, *counter) {
	in := library.current.Load()
	if in == nil {
		return nil, nil
	}
	h := uint64(uintptr(place)) >> 12 * 0x9e3779b97f4a7c15
	c := &in.calls[h>>60]
	c.n.Add(1)
	if library.current.Load() != in {
		in.leave(c)
		return nil, nil
	}
	return in, c
}

// leave counts it out again, and tells a C_Finalize that waits.
func (in *instance) leave(c *counter) {
	if c.n.Add(-1) == 0 && library.current.Load() != in {
		select {
		case in.left <- struct{}{}:
		default:
		}
	}
}

// drain waits for the calls under way. No call joins any more, so a counter
// that was zero stays so.
func (in *instance) drain() {
	for i := range in.calls {
		for in.calls[i].n.Load() != 0 {
			<-in.left
		}
	}
}

// initializeArgs is CK_C_INITIALIZE_ARGS.
type initializeArgs struct {
	CreateMutex, DestroyMutex, LockMutex, UnlockMutex uintptr
	Flags                                             ck.Flags
	Reserved                                          uintptr
}

// check applies the rules of C_Initialize (PKCS#11 v3.1 section 5.4.1).
//
// CKF_LIBRARY_CANT_CREATE_OS_THREADS is accepted. The Go runtime has its
// threads from the time that the library was loaded, starts others from a
// thread of its own and never from one that calls us, and NSS sets the flag
// for every module.
func (a *initializeArgs) check() error {
	given := 0
	for _, f := range []uintptr{a.CreateMutex, a.DestroyMutex, a.LockMutex, a.UnlockMutex} {
		if f != 0 {
			given++
		}
	}
	switch {
	case a.Reserved != 0, given != 0 && given != 4:
		return ck.CKR_ARGUMENTS_BAD
	case given == 4 && a.Flags&ck.CKF_OS_LOCKING_OK == 0:
		return ck.CKR_CANT_LOCK
	}
	return nil
}

func initialize(c call) error {
	if p := c.ptr(0); p != nil {
		var args initializeArgs
		if err := cmem.Load(&args, p, cmem.Host); err != nil {
			return err
		}
		if err := args.check(); err != nil {
			return err
		}
	}
	library.mu.Lock()
	defer library.mu.Unlock()
	if library.current.Load() != nil {
		return ck.CKR_CRYPTOKI_ALREADY_INITIALIZED
	}
	tuneRuntime()
	m, err := library.open()
	if err != nil {
		slog.Error("perilune: C_Initialize failed", "err", err)
		return err
	}
	in := &instance{module: m, left: make(chan struct{}, 1)}
	in.waiting, in.cancel = context.WithCancel(context.Background())
	library.current.Store(in)
	return nil
}

func finalize(c call) error {
	library.mu.Lock()
	defer library.mu.Unlock()
	in := library.current.Load()
	if in == nil {
		return ck.CKR_CRYPTOKI_NOT_INITIALIZED
	}
	if c.ptr(0) != nil {
		return ck.CKR_ARGUMENTS_BAD
	}
	library.current.Store(nil)
	in.cancel()
	in.drain()
	return in.module.Close()
}

// procs is how many threads of the program may be in Go at once. With as many
// as there are cores, which is Go's default, one more caller than cores waits
// for tens of milliseconds. Each takes memory and a look from the collector, so
// it is few until a program opens manySessions: calls on one session wait for
// each other anyway, and the collector needs some of them too.
const (
	procs        = 64
	few          = 8
	manySessions = 4
)

// opened counts the sessions that the program opened, up to manySessions.
var opened atomic.Int32

// countSession lets more threads in when there are sessions for them.
func countSession() {
	if opened.Load() < manySessions && opened.Add(1) == manySessions {
		allow(procs)
	}
}

func allow(n int) {
	if os.Getenv("GOMAXPROCS") == "" && runtime.GOMAXPROCS(0) < n {
		runtime.GOMAXPROCS(n)
	}
}

func tuneRuntime() {
	allow(few)
	if os.Getenv("GOGC") == "" {
		startCollector.Do(collectLess)
	}
}
