package c11

/*
#include <dlfcn.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "pkcs11.h"

// Every argument of every function fits a word, so one shape serves all.
typedef CK_RV (*any_function)(uintptr_t, uintptr_t, uintptr_t, uintptr_t, uintptr_t,
                              uintptr_t, uintptr_t, uintptr_t, uintptr_t, uintptr_t);

static CK_RV call_words(void *f, uintptr_t *w)
{
	return ((any_function)f)(w[0], w[1], w[2], w[3], w[4], w[5], w[6], w[7], w[8], w[9]);
}

#define NAME(name, params, args) #name,
#define PARAMS(name, params, args) #params,
static const char *const names[] = {CK_FUNCTIONS_ALL(NAME)};
static const char *const params[] = {CK_FUNCTIONS_ALL(PARAMS)};
enum { FUNCTIONS = sizeof names / sizeof names[0] };

static const char *name_of(int i) { return names[i]; }
static const char *params_of(int i) { return params[i]; }

static void *member(void *list, int i)
{
	return *(void **)((char *)list + offsetof(CK_FUNCTION_LIST_3_2, C_Initialize) + i * sizeof(void *));
}

enum { FUNCTIONS_OLD = (sizeof(CK_FUNCTION_LIST) - offsetof(CK_FUNCTION_LIST, C_Initialize)) / sizeof(void *) };

static void *vendor(const char *path, const char *name)
{
	void *so = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	return so ? dlsym(so, name) : NULL;
}

static void *open_old(const char *path, char **err)
{
	void *so = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	if (!so) {
		*err = dlerror();
		return NULL;
	}
	CK_C_GetFunctionList get;
	*(void **)&get = dlsym(so, "C_GetFunctionList");
	CK_FUNCTION_LIST *list = NULL;
	if (!get || get(&list) != CKR_OK) {
		*err = "the module gives no function list";
		return NULL;
	}
	return list;
}
*/
import "C"

import (
	"encoding/binary"
	"fmt"
	"reflect"
	"strings"
	"unsafe"

	"github.com/perilune/perilune/cryptoki/ck"
)

// Function is a row of the list of functions.
type Function struct {
	Name   string
	Params []Param
}

// Param is a parameter of a function.
type Param struct {
	Type, Name string
}

// Pointer reports whether the parameter is an address.
func (p Param) Pointer() bool { return strings.HasSuffix(p.Type, "_PTR") || p.Type == "CK_NOTIFY" }

// Functions are all functions of version 3.2, in the order of the list.
var Functions = readFunctions()

var functionIndex = func() map[string]int {
	m := map[string]int{}
	for i, f := range Functions {
		m[f.Name] = i
	}
	return m
}()

func readFunctions() (all []Function) {
	for i := range C.int(C.FUNCTIONS) {
		f := Function{Name: C.GoString(C.name_of(i))}
		for p := range strings.SplitSeq(strings.Trim(C.GoString(C.params_of(i)), "() "), ",") {
			w := strings.Fields(p)
			f.Params = append(f.Params, Param{w[0], w[1]})
		}
		all = append(all, f)
	}
	return all
}

// OpenOld loads a module through C_GetFunctionList: it has the functions of
// version 2.40 only.
func OpenOld(path string) (*Module, error) {
	c := C.CString(path)
	defer C.free(unsafe.Pointer(c))
	var msg *C.char
	list := C.open_old(c, &msg)
	if list == nil {
		return nil, fmt.Errorf("%s: %s", path, C.GoString(msg))
	}
	// The shorter list is the beginning of the longer one.
	return &Module{(*C.CK_FUNCTION_LIST_3_2)(list)}, nil
}

// Vendor is the address of a function of perilune.h, for CallAt.
func Vendor(path, name string) (unsafe.Pointer, error) {
	p, n := C.CString(path), C.CString(name)
	defer C.free(unsafe.Pointer(p))
	defer C.free(unsafe.Pointer(n))
	if f := C.vendor(p, n); f != nil {
		return f, nil
	}
	return nil, fmt.Errorf("%s has no function %s", path, name)
}

// Call calls the function of that name with any arguments: numbers, truth
// values, addresses in C memory and nil. Those that are left out are 0.
func (m *Module) Call(name string, args ...any) ck.RV {
	i, ok := functionIndex[name]
	if !ok {
		panic("c11: there is no function " + name)
	}
	old := C.int(C.FUNCTIONS_OLD)
	if m.f.version.major < 3 && C.int(i) >= old {
		panic("c11: the module is too old for " + name)
	}
	return m.CallAt(C.member(unsafe.Pointer(m.f), C.int(i)), args...)
}

// CallAt calls a function by its address.
func (m *Module) CallAt(f unsafe.Pointer, args ...any) ck.RV {
	var w [10]C.uintptr_t
	for k, a := range args {
		w[k] = word(a)
	}
	return ck.RV(C.call_words(f, &w[0]))
}

// Member is the address of a function of another list, such as one that
// C_GetInterface gave.
func Member(list unsafe.Pointer, name string) unsafe.Pointer {
	return C.member(list, C.int(functionIndex[name]))
}

func word(a any) C.uintptr_t {
	switch v := a.(type) {
	case nil:
		return 0
	case unsafe.Pointer:
		return C.uintptr_t(uintptr(v))
	case bool:
		if v {
			return 1
		}
		return 0
	}
	switch v := reflect.ValueOf(a); v.Kind() {
	case reflect.Int, reflect.Int64, reflect.Int32:
		return C.uintptr_t(v.Int())
	case reflect.Uint, reflect.Uint64, reflect.Uint32, reflect.Uint8, reflect.Uintptr:
		return C.uintptr_t(v.Uint())
	}
	panic(fmt.Sprintf("c11: an argument of type %T", a))
}

// Alloc is n zero bytes; not null even if n is 0.
func (a *Arena) Alloc(n int) unsafe.Pointer { return a.alloc(n) }

// Exact copies b into as many bytes; not null even if b is empty.
func (a *Arena) Exact(b []byte) unsafe.Pointer { return a.sig(b) }

// ULong is the address of a CK_ULONG with a value.
func (a *Arena) ULong(v uint64) unsafe.Pointer {
	p := a.alloc(8)
	*(*uint64)(p) = v
	return p
}

// Mechanism is the address of a CK_MECHANISM.
func (a *Arena) Mechanism(t ck.MechanismType, param []byte) unsafe.Pointer {
	return unsafe.Pointer(a.mechanism(t, param))
}

// AttributeSize is the size of a CK_ATTRIBUTE.
const AttributeSize = C.sizeof_CK_ATTRIBUTE

// Template is the address of a template, with templates in it.
func (a *Arena) Template(list ...ck.Attribute) unsafe.Pointer {
	flat := make([]ck.Attribute, len(list))
	for i, at := range list {
		flat[i] = at
		if at.Type.IsTemplate() {
			flat[i].Value = Peek(a.Template(at.Template...), len(at.Template)*AttributeSize)
		}
	}
	t, _ := a.template(flat)
	return unsafe.Pointer(t)
}

// Peek copies what lies at an address.
func Peek(p unsafe.Pointer, n int) []byte { return C.GoBytes(p, C.int(n)) }

// Poke stores b at an address.
func Poke(p unsafe.Pointer, b []byte) { copy(unsafe.Slice((*byte)(p), len(b)), b) }

// Number is the CK_ULONG at an address.
func Number(p unsafe.Pointer) uint64 { return binary.LittleEndian.Uint64(Peek(p, 8)) }

// Guarded is a buffer of a size between guard bytes.
type Guarded struct {
	all  unsafe.Pointer
	size int
}

const (
	guardBytes = 64
	guardByte  = 0xA5
)

// Guarded is a buffer of n bytes, filled with guard bytes like its borders.
func (a *Arena) Guarded(n int) *Guarded {
	g := &Guarded{a.alloc(n + 2*guardBytes), n}
	for i := range n + 2*guardBytes {
		*(*byte)(unsafe.Add(g.all, i)) = guardByte
	}
	return g
}

// Ptr is the buffer's address.
func (g *Guarded) Ptr() unsafe.Pointer { return unsafe.Add(g.all, guardBytes) }

// Bytes is what the buffer begins with.
func (g *Guarded) Bytes(n int) []byte { return Peek(g.Ptr(), n) }

// Untouched reports whether nothing was written but to the first n bytes.
func (g *Guarded) Untouched(n int) bool {
	for i, b := range Peek(g.all, g.size+2*guardBytes) {
		if b != guardByte && (i < guardBytes || i >= guardBytes+n) {
			return false
		}
	}
	return true
}
