package capi

// #cgo CFLAGS: -I${SRCDIR}/../../include
// #cgo linux LDFLAGS: -ldl -lpthread
// #include "stubs.h"
import "C"

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"runtime"
	"runtime/debug"
	"strings"
	"unsafe"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/cryptoki/cmem"
	"github.com/perilune/perilune/cryptoki/p11"
)

const maxArgs = C.PERILUNE_MAX_ARGS

//export perilune_enter
func perilune_enter(f int32, words *uintptr) uint64 {
	return uint64(enter(int(f), (*[maxArgs]uintptr)(unsafe.Pointer(words))))
}

// enter is the one way in: it serves function f, and turns a panic into
// CKR_GENERAL_ERROR.
func enter(f int, words *[maxArgs]uintptr) (rv ck.RV) {
	defer func() {
		if p := recover(); p != nil {
			rv = panicked(f, p)
		}
	}()
	// A pointer to nowhere shall not end the process of a program that may
	// serve others meanwhile.
	debug.SetPanicOnFault(true)
	row := &functions[f]
	if row.life {
		return result(f, row.run(call{words: words}))
	}
	in, counter := join(unsafe.Pointer(words))
	if in == nil {
		return ck.CKR_CRYPTOKI_NOT_INITIALIZED
	}
	defer in.leave(counter)
	return result(f, row.run(call{words, in, row.op}))
}

// result is the RV of err. An explanation goes to the log.
func result(f int, err error) ck.RV {
	if err == nil {
		return ck.CKR_OK
	}
	if rv, ok := err.(ck.RV); ok {
		return rv
	}
	rv := ck.RVOf(err)
	var r *p11.Refusal
	if errors.As(err, &r) {
		slog.Debug("perilune: call refused", "function", name(f), "rv", rv, "err", err,
			"rule", r.Rule, "attribute", r.Attribute, "policy", r.Policy, "remedy", r.Remedy)
		return rv
	}
	slog.Debug("perilune: call failed", "function", name(f), "rv", rv, "err", err)
	return rv
}

// name is the function's; the vendor's follow the standard's.
func name(f int) string {
	if n := len(ck.FunctionNames); f >= n {
		return ck.VendorFunctionNames[f-n]
	}
	return ck.FunctionNames[f].Name
}

// panicked logs where a panic came from: functions and lines, and the type of
// its value, but neither the value nor any argument, for they may be secret.
func panicked(f int, p any) ck.RV {
	pcs := make([]uintptr, 32)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(3, pcs)])
	var stack []string
	for {
		fr, more := frames.Next()
		stack = append(stack, fmt.Sprintf("%s:%d", fr.Function, fr.Line))
		if !more || strings.HasSuffix(fr.Function, "capi.enter") {
			break
		}
	}
	slog.Error("perilune: panic", "function", name(f), "type", fmt.Sprintf("%T", p),
		"stack", strings.Join(stack, " < "))
	return ck.CKR_GENERAL_ERROR
}

// call is one call of a C function: its arguments, a word each.
type call struct {
	words *[maxArgs]uintptr
	in    *instance
	op    p11.Operation
}

var background = context.Background()

// do asks the module.
func (c call) do(req p11.Request, reply any) error {
	return c.in.module.Do(background, req, reply)
}

// ask is do for those who need no pool for their requests.
func ask[R any](c call, req p11.Typed[R]) (R, error) {
	return p11.Call(background, c.in.module, req)
}

func (c call) number(i int) uint64 { return uint64(c.words[i]) }

func (c call) ptr(i int) unsafe.Pointer { return *(*unsafe.Pointer)(unsafe.Pointer(&c.words[i])) }

// session is the first argument of most functions.
func (c call) session() ck.SessionHandle { return ck.SessionHandle(c.words[0]) }

func (c call) object(i int) ck.ObjectHandle { return ck.ObjectHandle(c.words[i]) }

// maxBytes bounds the length of an input or output; more is no length.
const maxBytes = math.MaxInt >> 16

// bytes is the input whose pointer is argument i and whose length is the next.
// Null with length 0 is nil.
func (c call) bytes(i int) ([]byte, error) {
	return input(c.ptr(i), c.words[i+1])
}

// input is n bytes of the caller's.
func input(p unsafe.Pointer, n uintptr) ([]byte, error) {
	if p == nil && n != 0 || n > maxBytes || uintptr(p)+n < n {
		return nil, ck.CKR_ARGUMENTS_BAD
	}
	if n != 0 {
		touch((*byte)(p))
		touch((*byte)(unsafe.Add(p, n-1)))
	}
	return unsafe.Slice((*byte)(p), n), nil
}

// touch reads a byte. If that faults, it faults here, where the panic is easy
// to survive, and not in the midst of the module's work with a lock held.
//
//go:noinline
func touch(p *byte) byte { return *p }

// output is the buffer that is argument i; the next points to its length.
func (c call) output(i int) (p11.Output, error) {
	p, size := c.ptr(i), c.ptr(i+1)
	if size == nil {
		return p11.Output{}, ck.CKR_ARGUMENTS_BAD
	}
	if p == nil {
		return p11.Output{Query: true}, nil
	}
	n := min(cmem.LoadULong(size, cmem.Host), maxBytes, uint64(^uintptr(0)-uintptr(p)))
	if n != 0 {
		touch((*byte)(p))
	}
	return p11.Output{Buf: unsafe.Slice((*byte)(p), n)}, nil
}

// wrote tells the caller the length of the output that is argument i.
func (c call) wrote(i int, n *p11.Length, err error) error {
	if err == nil || errors.Is(err, ck.CKR_BUFFER_TOO_SMALL) {
		cmem.StoreULong(c.ptr(i+1), uint64(n.N), cmem.Host)
	}
	return err
}

// give answers with data that is there already as the output that is argument
// i. Text has no zero at its end.
func (c call) give(i int, out p11.Output, data []byte) error {
	var err error
	switch {
	case out.Query:
	case len(out.Buf) < len(data):
		err = ck.CKR_BUFFER_TOO_SMALL
	default:
		copy(out.Buf, data)
	}
	return c.wrote(i, &p11.Length{N: len(data)}, err)
}

// apart replaces the input by a copy if it overlaps the output otherwise than
// by beginning at the same byte. The caller clears the copy after use.
func apart(in *[]byte, out p11.Output) (copied []byte) {
	if len(*in) == 0 || len(out.Buf) == 0 || &(*in)[0] == &out.Buf[0] || !overlap(*in, out.Buf) {
		return nil
	}
	copied = append([]byte(nil), *in...)
	*in = copied
	return copied
}

func overlap(a, b []byte) bool {
	p, q := uintptr(unsafe.Pointer(&a[0])), uintptr(unsafe.Pointer(&b[0]))
	return p < q+uintptr(len(b)) && q < p+uintptr(len(a))
}

// needs refuses null where a result is to be stored.
func (c call) needs(list ...int) error {
	for _, i := range list {
		if c.words[i] == 0 {
			return ck.CKR_ARGUMENTS_BAD
		}
	}
	return nil
}

// load copies what argument i points to.
func (c call) load(i int, dst []byte) error {
	if err := c.needs(i); err != nil {
		return err
	}
	copy(dst, unsafe.Slice((*byte)(c.ptr(i)), len(dst)))
	return nil
}

// store copies to where argument i points.
func (c call) store(i int, src []byte) { copy(unsafe.Slice((*byte)(c.ptr(i)), len(src)), src) }

// set stores a number where argument i points.
func set[T ~uint64](c call, i int, v T) {
	cmem.StoreULong(c.ptr(i), uint64(v), cmem.Host)
}

// list answers with numbers by the convention for lists: argument i is the
// array, the next points to its size.
func list[T ~uint64](c call, i int, values []T) error {
	if c.words[i] != 0 && cmem.LoadULong(c.ptr(i+1), cmem.Host) < uint64(len(values)) {
		set(c, i+1, uint64(len(values)))
		return ck.CKR_BUFFER_TOO_SMALL
	}
	set(c, i+1, uint64(len(values)))
	if c.words[i] != 0 {
		array(c, i, values)
	}
	return nil
}

// array stores numbers where argument i points.
func array[T ~uint64](c call, i int, values []T) {
	for k, v := range values {
		cmem.StoreULong(unsafe.Add(c.ptr(i), k*cmem.Host.ULong), uint64(v), cmem.Host)
	}
}

// element is number k of the array that argument i points to.
func (c call) element(i, k int) uint64 {
	return cmem.LoadULong(unsafe.Add(c.ptr(i), k*cmem.Host.ULong), cmem.Host)
}

// template is the template that is argument i; the next is its count.
func (c call) template(i int) ([]ck.Attribute, error) {
	return cmem.ReadTemplate(c.ptr(i), c.number(i+1), cmem.Host)
}

// mechanism is the mechanism that is argument i. The second result writes what
// the module changed in its parameter back to the caller.
func (c call) mechanism(i int) (*ck.Mechanism, cmem.Mechanism, error) {
	return c.decode(i, func(t ck.MechanismType) (proto, second any, known bool) {
		proto, _, _, known = library.params(t)
		return proto, nil, known
	})
}

// wrapMechanism is mechanism for functions that wrap: some have a second
// structure for it, of another size.
func (c call) wrapMechanism(i int) (*ck.Mechanism, cmem.Mechanism, error) {
	return c.decode(i, func(t ck.MechanismType) (proto, second any, known bool) {
		proto, _, second, known = library.params(t)
		return proto, second, known
	})
}

// messageMechanism is mechanism for functions that take the parameter of a
// message.
func (c call) messageMechanism(i int) (*ck.Mechanism, cmem.Mechanism, error) {
	return c.decode(i, func(t ck.MechanismType) (proto, second any, known bool) {
		_, proto, _, known = library.params(t)
		return proto, nil, known
	})
}

// decode reads the mechanism by the first prototype that fits; second may be nil.
func (c call) decode(i int, protos func(ck.MechanismType) (first, second any, known bool)) (*ck.Mechanism, cmem.Mechanism, error) {
	p := c.ptr(i)
	if p == nil {
		return nil, cmem.Mechanism{}, ck.CKR_ARGUMENTS_BAD
	}
	raw := cmem.NewMechanism(p, cmem.Host)
	m := &ck.Mechanism{Type: raw.Type}
	first, second, known := protos(raw.Type)
	if !known {
		return m, raw, nil // the module knows what to answer
	}
	var err error
	if m.Param, err = raw.Decode(first); err != nil && second != nil {
		m.Param, err = raw.Decode(second)
	}
	return m, raw, err
}

// slot is the slot that is argument i.
func (c call) slot(i int) ck.SlotID { return ck.SlotID(c.words[i]) }
