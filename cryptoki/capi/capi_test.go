package capi

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"reflect"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"unsafe"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/cryptoki/cmem"
	"github.com/perilune/perilune/cryptoki/p11"
)

// script is a module that does what a test says.
type script struct {
	do    func(ctx context.Context, req p11.Request, reply any) error
	close func() error
}

func (s *script) Do(ctx context.Context, req p11.Request, reply any) error {
	return s.do(ctx, req, reply)
}

func (s *script) Close() error {
	if s.close == nil {
		return nil
	}
	return s.close()
}

// gcmParams and gcmMessageParams are CK_GCM_PARAMS and CK_GCM_MESSAGE_PARAMS.
type (
	gcmParams struct {
		IV      []byte `c:"ptr,len"`
		IVBits  uint64
		AAD     []byte `c:"ptr,len"`
		TagBits uint64
	}
	gcmMessageParams struct {
		IV          []byte `c:"ptr,len,inout"`
		IVFixedBits uint64
		IVGenerator ck.GeneratorFunction
		Tag         []byte `c:"ptr,bits,inout"`
		TagBits     uint64 `c:"-"`
	}
)

func testPrototypes(t ck.MechanismType) (param, message, wrap any, known bool) {
	switch t {
	case ck.CKM_AES_GCM:
		return (*gcmParams)(nil), (*gcmMessageParams)(nil), nil, true
	case ck.CKM_AES_CBC:
		return []byte(nil), nil, nil, true
	case ck.CKM_SHA256:
		return nil, nil, nil, true
	}
	return nil, nil, nil, false
}

// provide makes m the module until the test ends. The library is not
// initialised.
func provide(t *testing.T, m p11.Module) {
	t.Helper()
	Provide(func() (p11.Module, error) { return m, nil }, testPrototypes)
	t.Cleanup(func() {
		if library.current.Load() != nil {
			if rv := callC("C_Finalize", nil); rv != ck.CKR_OK {
				t.Errorf("C_Finalize: %v", rv)
			}
		}
	})
}

// use initialises the library with a module that does what do says.
func use(t *testing.T, do func(req p11.Request, reply any) error) {
	t.Helper()
	provide(t, &script{do: func(_ context.Context, req p11.Request, reply any) error { return do(req, reply) }})
	want(t, ck.CKR_OK, "C_Initialize", nil)
}

// answering initialises it with a module whose answer is always the same.
func answering(t *testing.T, answer any, err error) {
	t.Helper()
	use(t, func(_ p11.Request, reply any) error {
		if answer != nil {
			reflect.ValueOf(reply).Elem().Set(reflect.ValueOf(answer))
		}
		return err
	})
}

// callC calls a function as the stubs do. Arguments are numbers, nil for null,
// a slice (whose memory is passed), or a pointer.
func callC(function string, args ...any) ck.RV {
	heap.Store(&args) // what is on a stack may move
	words := new([maxArgs]uintptr)
	for i, a := range args {
		words[i] = word(a)
	}
	rv := enter(index(function), words)
	runtime.KeepAlive(args)
	return rv
}

var heap atomic.Pointer[[]any]

func word(a any) uintptr {
	switch v := reflect.ValueOf(a); v.Kind() {
	case reflect.Invalid:
		return 0
	case reflect.Int:
		return uintptr(v.Int())
	case reflect.Slice, reflect.Pointer, reflect.UnsafePointer:
		return uintptr(v.UnsafePointer())
	default:
		return uintptr(v.Uint())
	}
}

func index(function string) int {
	for i := range functions {
		if name(i) == function {
			return i
		}
	}
	panic("no function " + function)
}

func want(t *testing.T, rv ck.RV, function string, args ...any) {
	t.Helper()
	if got := callC(function, args...); got != rv {
		t.Errorf("%s: %v, want %v", function, got, rv)
	}
}

// The C structures that tests pass, for a platform where Go lays out structures
// as C does.
type (
	cMechanism struct {
		Type  uint64
		Param unsafe.Pointer
		Len   uint64
	}
	cAttribute struct {
		Type  uint64
		Value unsafe.Pointer
		Len   uint64
	}
	cGCM struct {
		IV      unsafe.Pointer
		IVLen   uint64
		IVBits  uint64
		AAD     unsafe.Pointer
		AADLen  uint64
		TagBits uint64
	}
	cGCMMessage struct {
		IV                       unsafe.Pointer
		IVLen, FixedBits, Method uint64
		Tag                      unsafe.Pointer
		TagBits                  uint64
	}
)

func ptr[T any](s []T) unsafe.Pointer { return unsafe.Pointer(unsafe.SliceData(s)) }

func attribute(t ck.AttributeType, v []byte) cAttribute {
	return cAttribute{uint64(t), ptr(v), uint64(len(v))}
}

func TestMain(m *testing.M) {
	if cmem.Host != cmem.LP64 {
		fmt.Println("these tests pass structures as LP64 has them")
		return
	}
	os.Exit(m.Run())
}

func TestEveryFunctionHasARow(t *testing.T) {
	if n := len(ck.FunctionNames) + len(ck.VendorFunctionNames); len(functions) != n {
		t.Fatalf("%d rows for %d functions", len(functions), n)
	}
	for i, f := range functions {
		discovery := name(i) == "C_GetFunctionList" || name(i) == "C_GetInterface" || name(i) == "C_GetInterfaceList" ||
			name(i) == "CA_GetFunctionList"
		if (f.run == nil) != discovery {
			t.Errorf("%s: row %v", name(i), f)
		}
	}
}

// Every function says that the library is not initialised before it looks at
// its arguments.
func TestNotInitialized(t *testing.T) {
	check := func(when string) {
		for i, f := range functions {
			if f.run == nil || name(i) == "C_Initialize" {
				continue
			}
			if rv := callC(name(i)); rv != ck.CKR_CRYPTOKI_NOT_INITIALIZED {
				t.Errorf("%s %s: %v", name(i), when, rv)
			}
		}
	}
	provide(t, &script{})
	check("before C_Initialize")
	want(t, ck.CKR_OK, "C_Initialize", nil)
	want(t, ck.CKR_OK, "C_Finalize", nil)
	check("after C_Finalize")
}

func TestInitializeArgs(t *testing.T) {
	type args struct {
		callbacks [4]uintptr
		flags     ck.Flags
		reserved  uintptr
	}
	all, some := [4]uintptr{1, 2, 3, 4}, [4]uintptr{1, 0, 3, 4}
	none := [4]uintptr{}
	for _, c := range []struct {
		args args
		rv   ck.RV
	}{
		{args{none, 0, 0}, ck.CKR_OK},
		{args{none, ck.CKF_OS_LOCKING_OK, 0}, ck.CKR_OK},
		{args{all, ck.CKF_OS_LOCKING_OK, 0}, ck.CKR_OK},
		{args{all, 0, 0}, ck.CKR_CANT_LOCK},
		{args{some, ck.CKF_OS_LOCKING_OK, 0}, ck.CKR_ARGUMENTS_BAD},
		{args{some, 0, 0}, ck.CKR_ARGUMENTS_BAD},
		{args{none, 0, 1}, ck.CKR_ARGUMENTS_BAD},
		// What NSS passes.
		{args{all, ck.CKF_LIBRARY_CANT_CREATE_OS_THREADS | ck.CKF_OS_LOCKING_OK, 0}, ck.CKR_OK},
		{args{none, ck.CKF_LIBRARY_CANT_CREATE_OS_THREADS, 0}, ck.CKR_OK},
	} {
		t.Run(fmt.Sprint(c.args), func(t *testing.T) {
			provide(t, &script{})
			want(t, c.rv, "C_Initialize", &c.args)
		})
	}
}

func TestInitializeTwice(t *testing.T) {
	provide(t, &script{})
	want(t, ck.CKR_OK, "C_Initialize", nil)
	want(t, ck.CKR_CRYPTOKI_ALREADY_INITIALIZED, "C_Initialize", nil)
	want(t, ck.CKR_ARGUMENTS_BAD, "C_Finalize", new(int))
	want(t, ck.CKR_OK, "C_Finalize", nil)
	want(t, ck.CKR_CRYPTOKI_NOT_INITIALIZED, "C_Finalize", nil)
}

func TestInitializeAgainAndAgain(t *testing.T) {
	opened, closed := 0, 0
	Provide(func() (p11.Module, error) {
		opened++
		return &script{close: func() error { closed++; return nil }}, nil
	}, testPrototypes)
	before := runtime.NumGoroutine()
	for range 1000 {
		want(t, ck.CKR_OK, "C_Initialize", nil)
		want(t, ck.CKR_OK, "C_Finalize", nil)
	}
	if opened != 1000 || closed != 1000 {
		t.Errorf("%d opened, %d closed", opened, closed)
	}
	if after := runtime.NumGoroutine(); after > before {
		t.Errorf("%d goroutines became %d", before, after)
	}
}

func TestInitializeFails(t *testing.T) {
	logged := captureLog(t, slog.LevelInfo)
	Provide(func() (p11.Module, error) {
		return nil, fmt.Errorf("%w: the directory is missing", ck.CKR_DEVICE_ERROR)
	}, testPrototypes)
	want(t, ck.CKR_DEVICE_ERROR, "C_Initialize", nil)
	want(t, ck.CKR_CRYPTOKI_NOT_INITIALIZED, "C_GetInfo", nil)
	if s := logged.String(); strings.Count(s, "\n") != 1 || !strings.Contains(s, "the directory is missing") {
		t.Errorf("logged %q", s)
	}
}

func captureLog(t *testing.T, level slog.Level) *bytes.Buffer {
	t.Helper()
	var buf bytes.Buffer
	old := slog.Default()
	slog.SetDefault(slog.New(slog.NewTextHandler(&buf, &slog.HandlerOptions{Level: level})))
	t.Cleanup(func() { slog.SetDefault(old) })
	return &buf
}

// C_Finalize waits for calls under way; a call that comes meanwhile is refused.
func TestFinalizeWaits(t *testing.T) {
	entered, release := make(chan struct{}), make(chan struct{})
	var ended bool
	provide(t, &script{
		do: func(context.Context, p11.Request, any) error {
			close(entered)
			<-release
			ended = true
			return nil
		},
		close: func() error {
			if !ended {
				t.Error("closed with a call under way")
			}
			return nil
		},
	})
	want(t, ck.CKR_OK, "C_Initialize", nil)
	in := library.current.Load()

	called, finalized := make(chan ck.RV), make(chan ck.RV)
	go func() { called <- callC("C_Logout", 1) }()
	<-entered
	go func() { finalized <- callC("C_Finalize", nil) }()
	<-in.waiting.Done() // C_Finalize has begun
	want(t, ck.CKR_CRYPTOKI_NOT_INITIALIZED, "C_Logout", 1)
	close(release)
	if rv := <-called; rv != ck.CKR_OK {
		t.Errorf("the call under way: %v", rv)
	}
	if rv := <-finalized; rv != ck.CKR_OK {
		t.Errorf("C_Finalize: %v", rv)
	}
}

func TestFinalizeEndsWaiting(t *testing.T) {
	entered := make(chan struct{})
	provide(t, &script{do: func(ctx context.Context, req p11.Request, _ any) error {
		if !req.(*p11.WaitForSlotEvent).Block {
			return ck.CKR_NO_EVENT
		}
		close(entered)
		<-ctx.Done()
		return ctx.Err()
	}})
	want(t, ck.CKR_OK, "C_Initialize", nil)
	slot := make([]uint64, 1)
	want(t, ck.CKR_NO_EVENT, "C_WaitForSlotEvent", uint64(ck.CKF_DONT_BLOCK), slot, nil)
	want(t, ck.CKR_ARGUMENTS_BAD, "C_WaitForSlotEvent", uint64(ck.CKF_DONT_BLOCK), slot, slot)
	want(t, ck.CKR_ARGUMENTS_BAD, "C_WaitForSlotEvent", uint64(ck.CKF_DONT_BLOCK), nil, nil)
	waited := make(chan ck.RV)
	go func() { waited <- callC("C_WaitForSlotEvent", 0, slot, nil) }()
	<-entered
	want(t, ck.CKR_OK, "C_Finalize", nil)
	if rv := <-waited; rv != ck.CKR_CRYPTOKI_NOT_INITIALIZED {
		t.Errorf("C_WaitForSlotEvent: %v", rv)
	}
}

// Threads that call, initialise and finalise as they like never reach a module
// that is closed.
func TestFinalizeRaces(t *testing.T) {
	type life struct{ *script }
	Provide(func() (p11.Module, error) {
		closed := make(chan struct{})
		return life{&script{
			do: func(context.Context, p11.Request, any) error {
				select {
				case <-closed:
					t.Error("a call after Close")
				default:
				}
				return nil
			},
			close: func() error { close(closed); return nil },
		}}, nil
	}, testPrototypes)
	done := make(chan struct{})
	for range 4 {
		go func() {
			defer func() { done <- struct{}{} }()
			for range 2000 {
				callC("C_Logout", 1)
				callC("C_Initialize", nil)
				callC("C_Logout", 1)
				callC("C_Finalize", nil)
			}
		}()
	}
	for range 4 {
		<-done
	}
	callC("C_Finalize", nil)
}

func TestPanic(t *testing.T) {
	const secret = "correct horse battery staple"
	logged := captureLog(t, slog.LevelDebug)
	var p any
	use(t, func(req p11.Request, _ any) error {
		if p != nil {
			panic(p)
		}
		return nil
	})
	for _, p = range []any{secret, fmt.Errorf("%s", secret), runtime.Error(nil), []byte(secret)} {
		if p == nil {
			continue
		}
		logged.Reset()
		want(t, ck.CKR_GENERAL_ERROR, "C_Login", 1, uint64(ck.CKU_USER), []byte(secret), len(secret))
		s := logged.String()
		if strings.Count(s, "\n") != 1 || !strings.Contains(s, "C_Login") ||
			!strings.Contains(s, fmt.Sprintf("type=%T", p)) || !strings.Contains(s, "capi.login") {
			t.Errorf("logged %q", s)
		}
		if strings.Contains(s, "horse") || strings.Contains(s, "0x") || strings.Contains(s, fmt.Sprint([]byte("horse"))) {
			t.Errorf("logged more than it may: %q", s)
		}
	}
	p = nil
	want(t, ck.CKR_OK, "C_Login", 1, uint64(ck.CKU_USER), []byte(secret), len(secret))
}

// A pointer to nowhere is an error of the program; it does not end the process.
func TestWildPointers(t *testing.T) {
	captureLog(t, slog.LevelInfo)
	answering(t, nil, nil)
	const nowhere = 0x10
	size := []uint64{32}
	want(t, ck.CKR_GENERAL_ERROR, "C_GetInfo", nowhere)
	want(t, ck.CKR_GENERAL_ERROR, "C_EncryptInit", 1, nowhere, 2)
	want(t, ck.CKR_GENERAL_ERROR, "C_CreateObject", 1, nowhere, 3, size)
	want(t, ck.CKR_GENERAL_ERROR, "C_Sign", 1, nowhere, 16, make([]byte, 32), size)
	want(t, ck.CKR_GENERAL_ERROR, "C_Sign", 1, make([]byte, 32), 32, nowhere, size)
	want(t, ck.CKR_GENERAL_ERROR, "C_Sign", 1, make([]byte, 32), 32, make([]byte, 32), nowhere)
	want(t, ck.CKR_GENERAL_ERROR, "C_GenerateRandom", 1, nowhere, 16)
	want(t, ck.CKR_OK, "C_Logout", 1)
}

// What is logged of an error is its explanation, at debug level.
func TestErrorsAreExplained(t *testing.T) {
	logged := captureLog(t, slog.LevelDebug)
	answering(t, nil, fmt.Errorf("%w: no such role", ck.CKR_USER_TYPE_INVALID))
	want(t, ck.CKR_USER_TYPE_INVALID, "C_Logout", 1)
	if s := logged.String(); !strings.Contains(s, "no such role") || !strings.Contains(s, "C_Logout") {
		t.Errorf("logged %q", s)
	}
	logged.Reset()
	answering2(t, ck.CKR_DEVICE_ERROR)
	want(t, ck.CKR_DEVICE_ERROR, "C_Logout", 1)
	if logged.Len() > 0 {
		t.Errorf("logged %q", logged)
	}
}

// answering2 changes the answer.
func answering2(t *testing.T, err error) {
	t.Helper()
	want(t, ck.CKR_OK, "C_Finalize", nil)
	answering(t, nil, err)
}

func BenchmarkCalls(b *testing.B) {
	Provide(func() (p11.Module, error) {
		return &script{do: func(context.Context, p11.Request, any) error { return nil }}, nil
	}, testPrototypes)
	callC("C_Initialize", nil)
	defer callC("C_Finalize", nil)
	buf, out, size := make([]byte, 64), make([]byte, 80), []uint64{80}
	iv := make([]byte, 12)
	gcm := []cGCM{{ptr(iv), 12, 96, nil, 0, 128}}
	m := []cMechanism{{uint64(ck.CKM_AES_GCM), ptr(gcm), uint64(unsafe.Sizeof(gcm[0]))}}
	sha := []cMechanism{{uint64(ck.CKM_SHA256), nil, 0}}
	for _, c := range []struct {
		name string
		args []any
	}{
		{"C_GetFunctionStatus", []any{1}},
		{"C_GenerateRandom", []any{1, buf, 64}},
		{"C_Encrypt", []any{1, buf, 64, out, size}},
		{"C_DigestInit", []any{1, sha}},
		{"C_EncryptInit", []any{1, m, 2}},
	} {
		b.Run(c.name, func(b *testing.B) {
			words := new([maxArgs]uintptr)
			for i, a := range c.args {
				words[i] = word(a)
			}
			f := index(c.name)
			b.ReportAllocs()
			for b.Loop() {
				enter(f, words)
			}
			runtime.KeepAlive(c.args)
		})
	}
}

// TestThreadsThatMayEnter: a program with few sessions does not pay for threads
// that it does not have, and one with many has room for its threads.
func TestThreadsThatMayEnter(t *testing.T) {
	t.Setenv("GOMAXPROCS", "")
	before := runtime.GOMAXPROCS(2)
	t.Cleanup(func() { runtime.GOMAXPROCS(before) })
	opened.Store(0)
	answering(t, p11.Session{Session: 1}, nil)
	for i := range 2 * manySessions {
		wanted := few
		if i >= manySessions {
			wanted = procs
		}
		if n := runtime.GOMAXPROCS(0); n != wanted {
			t.Errorf("%d threads may enter with %d sessions, want %d", n, i, wanted)
		}
		want(t, ck.CKR_OK, "C_OpenSession", 0, uint64(ck.CKF_SERIAL_SESSION), nil, nil, room)
	}
}
