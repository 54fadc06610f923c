// Package c11 calls a PKCS#11 module from Go as a C program would, with
// include/pkcs11.h and nothing between: tests of the C API are written on it.
// It knows no more of the module than its path.
package c11

/*
#cgo CFLAGS: -I${SRCDIR}/../../include
#cgo LDFLAGS: -ldl
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
#include "pkcs11.h"

static CK_FUNCTION_LIST_3_2 *load(const char *path, char **err)
{
	void *so = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	if (!so) {
		*err = dlerror();
		return NULL;
	}
	CK_C_GetInterface get;
	*(void **)&get = dlsym(so, "C_GetInterface");
	CK_INTERFACE *i = NULL;
	CK_VERSION v = {3, 2};
	if (!get || get((CK_UTF8CHAR *)"PKCS 11", &v, &i, 0) != CKR_OK) {
		*err = "the module has no interface of version 3.2";
		return NULL;
	}
	return i->pFunctionList;
}

// The calls that take one buffer in and give one out share a shape.
typedef CK_RV (*in_out)(CK_SESSION_HANDLE, CK_BYTE *, CK_ULONG, CK_BYTE *, CK_ULONG *);
typedef CK_RV (*out_only)(CK_SESSION_HANDLE, CK_BYTE *, CK_ULONG *);
typedef CK_RV (*in_only)(CK_SESSION_HANDLE, CK_BYTE *, CK_ULONG);
typedef CK_RV (*init)(CK_SESSION_HANDLE, CK_MECHANISM *, CK_OBJECT_HANDLE);

static CK_RV call_in_out(void *f, CK_SESSION_HANDLE s, void *in, CK_ULONG n, void *out, CK_ULONG *len) { return ((in_out)f)(s, in, n, out, len); }
static CK_RV call_out(void *f, CK_SESSION_HANDLE s, void *out, CK_ULONG *len) { return ((out_only)f)(s, out, len); }
static CK_RV call_in(void *f, CK_SESSION_HANDLE s, void *in, CK_ULONG n) { return ((in_only)f)(s, in, n); }
static CK_RV call_init(void *f, CK_SESSION_HANDLE s, CK_MECHANISM *m, CK_OBJECT_HANDLE k) { return ((init)f)(s, m, k); }

static CK_RV initialize(CK_FUNCTION_LIST_3_2 *f) { CK_C_INITIALIZE_ARGS a; memset(&a, 0, sizeof a); a.flags = CKF_OS_LOCKING_OK; return f->C_Initialize(&a); }
static CK_RV finalize(CK_FUNCTION_LIST_3_2 *f) { return f->C_Finalize(NULL); }
static CK_RV init_token(CK_FUNCTION_LIST_3_2 *f, CK_SLOT_ID slot, void *pin, CK_ULONG n, void *label) { return f->C_InitToken(slot, pin, n, label); }
static CK_RV init_pin(CK_FUNCTION_LIST_3_2 *f, CK_SESSION_HANDLE s, void *pin, CK_ULONG n) { return f->C_InitPIN(s, pin, n); }
static CK_RV open_session(CK_FUNCTION_LIST_3_2 *f, CK_SLOT_ID slot, CK_FLAGS flags, CK_SESSION_HANDLE *s) { return f->C_OpenSession(slot, flags, NULL, NULL, s); }
static CK_RV close_session(CK_FUNCTION_LIST_3_2 *f, CK_SESSION_HANDLE s) { return f->C_CloseSession(s); }
static CK_RV login(CK_FUNCTION_LIST_3_2 *f, CK_SESSION_HANDLE s, CK_USER_TYPE u, void *pin, CK_ULONG n) { return f->C_Login(s, u, pin, n); }
static CK_RV create(CK_FUNCTION_LIST_3_2 *f, CK_SESSION_HANDLE s, CK_ATTRIBUTE *t, CK_ULONG n, CK_OBJECT_HANDLE *o) { return f->C_CreateObject(s, t, n, o); }
static CK_RV destroy(CK_FUNCTION_LIST_3_2 *f, CK_SESSION_HANDLE s, CK_OBJECT_HANDLE o) { return f->C_DestroyObject(s, o); }
static CK_RV get(CK_FUNCTION_LIST_3_2 *f, CK_SESSION_HANDLE s, CK_OBJECT_HANDLE o, CK_ATTRIBUTE *t, CK_ULONG n) { return f->C_GetAttributeValue(s, o, t, n); }
static CK_RV derive(CK_FUNCTION_LIST_3_2 *f, CK_SESSION_HANDLE s, CK_MECHANISM *m, CK_OBJECT_HANDLE k, CK_ATTRIBUTE *t, CK_ULONG n, CK_OBJECT_HANDLE *o) { return f->C_DeriveKey(s, m, k, t, n, o); }
static CK_RV generate(CK_FUNCTION_LIST_3_2 *f, CK_SESSION_HANDLE s, CK_MECHANISM *m, CK_ATTRIBUTE *t, CK_ULONG n, CK_OBJECT_HANDLE *o) { return f->C_GenerateKey(s, m, t, n, o); }
static CK_RV wrap(CK_FUNCTION_LIST_3_2 *f, CK_SESSION_HANDLE s, CK_MECHANISM *m, CK_OBJECT_HANDLE w, CK_OBJECT_HANDLE k, void *out, CK_ULONG *len) { return f->C_WrapKey(s, m, w, k, out, len); }
static CK_RV unwrap(CK_FUNCTION_LIST_3_2 *f, CK_SESSION_HANDLE s, CK_MECHANISM *m, CK_OBJECT_HANDLE w, void *in, CK_ULONG inlen, CK_ATTRIBUTE *t, CK_ULONG n, CK_OBJECT_HANDLE *o) { return f->C_UnwrapKey(s, m, w, in, inlen, t, n, o); }
static CK_RV verify(CK_FUNCTION_LIST_3_2 *f, CK_SESSION_HANDLE s, void *in, CK_ULONG n, void *sig, CK_ULONG siglen) { return f->C_Verify(s, in, n, sig, siglen); }
static CK_RV verify_final(CK_FUNCTION_LIST_3_2 *f, CK_SESSION_HANDLE s, void *sig, CK_ULONG siglen) { return f->C_VerifyFinal(s, sig, siglen); }

#define ADDRESS(name) static void *address_##name(CK_FUNCTION_LIST_3_2 *f) { return *(void **)&f->name; }
ADDRESS(C_EncryptInit) ADDRESS(C_Encrypt) ADDRESS(C_EncryptUpdate) ADDRESS(C_EncryptFinal)
ADDRESS(C_DecryptInit) ADDRESS(C_Decrypt) ADDRESS(C_DecryptUpdate) ADDRESS(C_DecryptFinal)
ADDRESS(C_SignInit) ADDRESS(C_Sign) ADDRESS(C_SignUpdate) ADDRESS(C_SignFinal)
ADDRESS(C_VerifyInit) ADDRESS(C_VerifyUpdate)
*/
import "C"

import (
	"encoding/binary"
	"fmt"
	"unsafe"

	"github.com/perilune/perilune/cryptoki/ck"
)

// Module is a loaded module.
type Module struct{ f *C.CK_FUNCTION_LIST_3_2 }

// Open loads the module at path.
func Open(path string) (*Module, error) {
	c := C.CString(path)
	defer C.free(unsafe.Pointer(c))
	var msg *C.char
	f := C.load(c, &msg)
	if f == nil {
		return nil, fmt.Errorf("%s: %s", path, C.GoString(msg))
	}
	return &Module{f}, nil
}

// Arena is C memory for the arguments of calls, freed together. Buffers lie
// exactly as long as they are, so that a read beyond the end can be found.
type Arena struct{ all []unsafe.Pointer }

// Free frees it all.
func (a *Arena) Free() {
	for _, p := range a.all {
		C.free(p)
	}
	a.all = nil
}

// Bytes copies b; null for none.
func (a *Arena) Bytes(b []byte) unsafe.Pointer {
	if len(b) == 0 {
		return nil
	}
	p := C.CBytes(b)
	a.all = append(a.all, p)
	return p
}

// Ptr is the address of a copy of b, as a field of Words.
func (a *Arena) Ptr(b []byte) uint64 { return uint64(uintptr(a.Bytes(b))) }

// Words is a structure of CK_ULONGs and pointers.
func Words(w ...uint64) []byte {
	var b []byte
	for _, v := range w {
		b = binary.LittleEndian.AppendUint64(b, v)
	}
	return b
}

func (a *Arena) mechanism(t ck.MechanismType, param []byte) *C.CK_MECHANISM {
	p := (*C.CK_MECHANISM)(a.alloc(C.sizeof_CK_MECHANISM))
	p.mechanism = C.CK_MECHANISM_TYPE(t)
	p.pParameter = C.CK_VOID_PTR(a.Bytes(param))
	p.ulParameterLen = C.CK_ULONG(len(param))
	return p
}

func (a *Arena) alloc(n int) unsafe.Pointer {
	p := C.calloc(1, C.size_t(max(n, 1)))
	a.all = append(a.all, p)
	return p
}

func (a *Arena) template(list []ck.Attribute) (*C.CK_ATTRIBUTE, C.CK_ULONG) {
	p := (*C.CK_ATTRIBUTE)(a.alloc(len(list) * C.sizeof_CK_ATTRIBUTE))
	for i, at := range list {
		c := &unsafe.Slice(p, len(list))[i]
		c._type = C.CK_ATTRIBUTE_TYPE(at.Type)
		c.pValue = C.CK_VOID_PTR(a.Bytes(at.Value))
		c.ulValueLen = C.CK_ULONG(len(at.Value))
	}
	return p, C.CK_ULONG(len(list))
}

// Initialize is C_Initialize with CKF_OS_LOCKING_OK.
func (m *Module) Initialize() ck.RV { return ck.RV(C.initialize(m.f)) }

// Finalize is C_Finalize.
func (m *Module) Finalize() ck.RV { return ck.RV(C.finalize(m.f)) }

// InitToken is C_InitToken.
func (m *Module) InitToken(slot uint64, pin, label string) ck.RV {
	var a Arena
	defer a.Free()
	return ck.RV(C.init_token(m.f, C.CK_SLOT_ID(slot), a.Bytes([]byte(pin)), C.CK_ULONG(len(pin)), a.Bytes(fmt.Appendf(nil, "%-32s", label))))
}

// Token makes a token with a user on slot 0 and returns a logged-in R/W session.
func (m *Module) Token(soPIN, pin string) (s uint64, err error) {
	var a Arena
	defer a.Free()
	step := func(name string, rv ck.RV) {
		if err == nil && rv != ck.CKR_OK {
			err = fmt.Errorf("%s: %w", name, rv)
		}
	}
	var h C.CK_SESSION_HANDLE
	so, user := a.Bytes([]byte(soPIN)), a.Bytes([]byte(pin))
	step("C_InitToken", m.InitToken(0, soPIN, "test"))
	step("C_OpenSession", ck.RV(C.open_session(m.f, 0, C.CKF_SERIAL_SESSION|C.CKF_RW_SESSION, &h)))
	step("C_Login", ck.RV(C.login(m.f, h, C.CKU_SO, so, C.CK_ULONG(len(soPIN)))))
	step("C_InitPIN", ck.RV(C.init_pin(m.f, h, user, C.CK_ULONG(len(pin)))))
	step("C_CloseSession", ck.RV(C.close_session(m.f, h)))
	step("C_OpenSession", ck.RV(C.open_session(m.f, 0, C.CKF_SERIAL_SESSION|C.CKF_RW_SESSION, &h)))
	step("C_Login", ck.RV(C.login(m.f, h, C.CKU_USER, user, C.CK_ULONG(len(pin)))))
	return uint64(h), err
}

// Create is C_CreateObject.
func (m *Module) Create(s uint64, list ...ck.Attribute) (o uint64, rv ck.RV) {
	var a Arena
	defer a.Free()
	t, n := a.template(list)
	var h C.CK_OBJECT_HANDLE
	rv = ck.RV(C.create(m.f, C.CK_SESSION_HANDLE(s), t, n, &h))
	return uint64(h), rv
}

// Destroy is C_DestroyObject.
func (m *Module) Destroy(s, o uint64) ck.RV {
	return ck.RV(C.destroy(m.f, C.CK_SESSION_HANDLE(s), C.CK_OBJECT_HANDLE(o)))
}

// Get is C_GetAttributeValue for one attribute, of at most 64 KiB.
func (m *Module) Get(s, o uint64, t ck.AttributeType) ([]byte, ck.RV) {
	var a Arena
	defer a.Free()
	at := (*C.CK_ATTRIBUTE)(a.alloc(C.sizeof_CK_ATTRIBUTE))
	at._type = C.CK_ATTRIBUTE_TYPE(t)
	at.pValue, at.ulValueLen = C.CK_VOID_PTR(a.alloc(65536)), 65536
	rv := ck.RV(C.get(m.f, C.CK_SESSION_HANDLE(s), C.CK_OBJECT_HANDLE(o), at, 1))
	if rv != ck.CKR_OK {
		return nil, rv
	}
	return C.GoBytes(unsafe.Pointer(at.pValue), C.int(at.ulValueLen)), rv
}

// Mech is a mechanism whose parameter may point into the arena.
type Mech struct {
	Type  ck.MechanismType
	Param []byte
}

// Derive is C_DeriveKey.
func (m *Module) Derive(a *Arena, s uint64, mech Mech, base uint64, list ...ck.Attribute) (o uint64, rv ck.RV) {
	t, n := a.template(list)
	var h C.CK_OBJECT_HANDLE
	rv = ck.RV(C.derive(m.f, C.CK_SESSION_HANDLE(s), a.mechanism(mech.Type, mech.Param), C.CK_OBJECT_HANDLE(base), t, n, &h))
	return uint64(h), rv
}

// Generate is C_GenerateKey.
func (m *Module) Generate(a *Arena, s uint64, mech Mech, list ...ck.Attribute) (o uint64, rv ck.RV) {
	t, n := a.template(list)
	var h C.CK_OBJECT_HANDLE
	rv = ck.RV(C.generate(m.f, C.CK_SESSION_HANDLE(s), a.mechanism(mech.Type, mech.Param), t, n, &h))
	return uint64(h), rv
}

// Wrap is C_WrapKey with a large buffer.
func (m *Module) Wrap(a *Arena, s uint64, mech Mech, wrapping, key uint64) ([]byte, ck.RV) {
	out, n := a.alloc(65536), (*C.CK_ULONG)(a.alloc(8))
	*n = 65536
	rv := ck.RV(C.wrap(m.f, C.CK_SESSION_HANDLE(s), a.mechanism(mech.Type, mech.Param), C.CK_OBJECT_HANDLE(wrapping), C.CK_OBJECT_HANDLE(key), out, n))
	if rv != ck.CKR_OK {
		return nil, rv
	}
	return C.GoBytes(out, C.int(*n)), rv
}

// Unwrap is C_UnwrapKey.
func (m *Module) Unwrap(a *Arena, s uint64, mech Mech, unwrapping uint64, wrapped []byte, list ...ck.Attribute) (o uint64, rv ck.RV) {
	t, n := a.template(list)
	var h C.CK_OBJECT_HANDLE
	rv = ck.RV(C.unwrap(m.f, C.CK_SESSION_HANDLE(s), a.mechanism(mech.Type, mech.Param), C.CK_OBJECT_HANDLE(unwrapping), a.Bytes(wrapped), C.CK_ULONG(len(wrapped)), t, n, &h))
	return uint64(h), rv
}

// Operation is one of the families of four calls.
type Operation struct{ init, single, update, final unsafe.Pointer }

// Encryption, Decryption and Signing are the families of those names.
func (m *Module) Encryption() Operation {
	return Operation{C.address_C_EncryptInit(m.f), C.address_C_Encrypt(m.f), C.address_C_EncryptUpdate(m.f), C.address_C_EncryptFinal(m.f)}
}

// Decryption is C_DecryptInit and its kin.
func (m *Module) Decryption() Operation {
	return Operation{C.address_C_DecryptInit(m.f), C.address_C_Decrypt(m.f), C.address_C_DecryptUpdate(m.f), C.address_C_DecryptFinal(m.f)}
}

// Signing is C_SignInit and its kin.
func (m *Module) Signing() Operation {
	return Operation{C.address_C_SignInit(m.f), C.address_C_Sign(m.f), nil, C.address_C_SignFinal(m.f)}
}

// Single initialises an operation and ends it in one part.
func (m *Module) Single(a *Arena, op Operation, s uint64, mech Mech, key uint64, in []byte) ([]byte, ck.RV) {
	h := C.CK_SESSION_HANDLE(s)
	if rv := ck.RV(C.call_init(op.init, h, a.mechanism(mech.Type, mech.Param), C.CK_OBJECT_HANDLE(key))); rv != ck.CKR_OK {
		return nil, rv
	}
	src := a.Bytes(in)
	n := (*C.CK_ULONG)(a.alloc(8))
	if rv := ck.RV(C.call_in_out(op.single, h, src, C.CK_ULONG(len(in)), nil, n)); rv != ck.CKR_OK {
		return nil, rv
	}
	out := a.alloc(int(*n))
	rv := ck.RV(C.call_in_out(op.single, h, src, C.CK_ULONG(len(in)), out, n))
	if rv != ck.CKR_OK {
		return nil, rv
	}
	return C.GoBytes(out, C.int(*n)), rv
}

// Parts does the same in parts of the given size. The operation must have an
// Update with output.
func (m *Module) Parts(a *Arena, op Operation, s uint64, mech Mech, key uint64, in []byte, size int) (all []byte, rv ck.RV) {
	h := C.CK_SESSION_HANDLE(s)
	if rv := ck.RV(C.call_init(op.init, h, a.mechanism(mech.Type, mech.Param), C.CK_OBJECT_HANDLE(key))); rv != ck.CKR_OK {
		return nil, rv
	}
	n := (*C.CK_ULONG)(a.alloc(8))
	room := len(in) + 1024
	out := a.alloc(room)
	for len(in) > 0 {
		part := in[:min(size, len(in))]
		in = in[len(part):]
		*n = C.CK_ULONG(room)
		if rv := ck.RV(C.call_in_out(op.update, h, a.Bytes(part), C.CK_ULONG(len(part)), out, n)); rv != ck.CKR_OK {
			return nil, rv
		}
		all = append(all, C.GoBytes(out, C.int(*n))...)
	}
	*n = C.CK_ULONG(room)
	if rv := ck.RV(C.call_out(op.final, h, out, n)); rv != ck.CKR_OK {
		return nil, rv
	}
	return append(all, C.GoBytes(out, C.int(*n))...), ck.CKR_OK
}

// SignParts signs in parts of the given size.
func (m *Module) SignParts(a *Arena, s uint64, mech Mech, key uint64, in []byte, size int) ([]byte, ck.RV) {
	h := C.CK_SESSION_HANDLE(s)
	if rv := ck.RV(C.call_init(C.address_C_SignInit(m.f), h, a.mechanism(mech.Type, mech.Param), C.CK_OBJECT_HANDLE(key))); rv != ck.CKR_OK {
		return nil, rv
	}
	if rv := m.feed(a, C.address_C_SignUpdate(m.f), h, in, size); rv != ck.CKR_OK {
		return nil, rv
	}
	n := (*C.CK_ULONG)(a.alloc(8))
	*n = 4096
	out := a.alloc(4096)
	rv := ck.RV(C.call_out(C.address_C_SignFinal(m.f), h, out, n))
	if rv != ck.CKR_OK {
		return nil, rv
	}
	return C.GoBytes(out, C.int(*n)), rv
}

func (m *Module) feed(a *Arena, update unsafe.Pointer, h C.CK_SESSION_HANDLE, in []byte, size int) ck.RV {
	for len(in) > 0 {
		part := in[:min(size, len(in))]
		in = in[len(part):]
		if rv := ck.RV(C.call_in(update, h, a.Bytes(part), C.CK_ULONG(len(part)))); rv != ck.CKR_OK {
			return rv
		}
	}
	return ck.CKR_OK
}

// Verify is C_VerifyInit and C_Verify.
func (m *Module) Verify(a *Arena, s uint64, mech Mech, key uint64, in, sig []byte) ck.RV {
	h := C.CK_SESSION_HANDLE(s)
	if rv := ck.RV(C.call_init(C.address_C_VerifyInit(m.f), h, a.mechanism(mech.Type, mech.Param), C.CK_OBJECT_HANDLE(key))); rv != ck.CKR_OK {
		return rv
	}
	return ck.RV(C.verify(m.f, h, a.Bytes(in), C.CK_ULONG(len(in)), a.sig(sig), C.CK_ULONG(len(sig))))
}

// sig is a signature, which is not a null pointer even if it is empty.
func (a *Arena) sig(sig []byte) unsafe.Pointer {
	if len(sig) == 0 {
		return a.alloc(1)
	}
	return a.Bytes(sig)
}

// VerifyParts verifies in parts of the given size.
func (m *Module) VerifyParts(a *Arena, s uint64, mech Mech, key uint64, in, sig []byte, size int) ck.RV {
	h := C.CK_SESSION_HANDLE(s)
	if rv := ck.RV(C.call_init(C.address_C_VerifyInit(m.f), h, a.mechanism(mech.Type, mech.Param), C.CK_OBJECT_HANDLE(key))); rv != ck.CKR_OK {
		return rv
	}
	if rv := m.feed(a, C.address_C_VerifyUpdate(m.f), h, in, size); rv != ck.CKR_OK {
		return rv
	}
	return ck.RV(C.verify_final(m.f, h, a.sig(sig), C.CK_ULONG(len(sig))))
}

// Encapsulate is C_EncapsulateKey: the ciphertext and the new secret.
func (m *Module) Encapsulate(a *Arena, s uint64, mech Mech, public uint64, list ...ck.Attribute) (ciphertext []byte, o uint64, rv ck.RV) {
	t, n := a.template(list)
	size, h := a.ULong(0), a.ULong(0)
	call := func(out unsafe.Pointer) ck.RV {
		return m.Call("C_EncapsulateKey", s, a.Mechanism(mech.Type, mech.Param), public, unsafe.Pointer(t), uint64(n), out, size, h)
	}
	if rv := call(nil); rv != ck.CKR_OK {
		return nil, 0, rv
	}
	out := a.Alloc(int(Number(size)))
	if rv := call(out); rv != ck.CKR_OK {
		return nil, 0, rv
	}
	return Peek(out, int(Number(size))), Number(h), ck.CKR_OK
}

// Decapsulate is C_DecapsulateKey.
func (m *Module) Decapsulate(a *Arena, s uint64, mech Mech, private uint64, ciphertext []byte, list ...ck.Attribute) (o uint64, rv ck.RV) {
	t, n := a.template(list)
	h := a.ULong(0)
	rv = m.Call("C_DecapsulateKey", s, a.Mechanism(mech.Type, mech.Param), private, unsafe.Pointer(t), uint64(n), a.Exact(ciphertext), len(ciphertext), h)
	return Number(h), rv
}
