package c11

/*
#include "pkcs11.h"
*/
import "C"

import (
	"fmt"
	"unsafe"

	"github.com/perilune/perilune/cryptoki/ck"
)

// Digest is C_DigestInit and C_Digest.
func (m *Module) Digest(a *Arena, s uint64, mech Mech, in []byte) ([]byte, ck.RV) {
	if rv := m.Call("C_DigestInit", s, a.Mechanism(mech.Type, mech.Param)); rv != ck.CKR_OK {
		return nil, rv
	}
	return m.output(a, "C_Digest", s, a.Exact(in), len(in))
}

// DigestParts is C_DigestInit, C_DigestUpdate with parts of a size, and
// C_DigestFinal.
func (m *Module) DigestParts(a *Arena, s uint64, mech Mech, in []byte, size int) ([]byte, ck.RV) {
	if rv := m.Call("C_DigestInit", s, a.Mechanism(mech.Type, mech.Param)); rv != ck.CKR_OK {
		return nil, rv
	}
	for len(in) > 0 {
		part := in[:min(size, len(in))]
		in = in[len(part):]
		if rv := m.Call("C_DigestUpdate", s, a.Exact(part), len(part)); rv != ck.CKR_OK {
			return nil, rv
		}
	}
	return m.output(a, "C_DigestFinal", s)
}

// output calls a function whose last arguments are a buffer and its length.
func (m *Module) output(a *Arena, name string, args ...any) ([]byte, ck.RV) {
	const room = 1 << 16
	out, n := a.Alloc(room), a.ULong(room)
	rv := m.Call(name, append(args, out, n)...)
	if rv != ck.CKR_OK {
		return nil, rv
	}
	return Peek(out, int(Number(n))), rv
}

// GeneratePair is C_GenerateKeyPair.
func (m *Module) GeneratePair(a *Arena, s uint64, mech Mech, public, private []ck.Attribute) (pub, priv uint64, rv ck.RV) {
	x, y := a.ULong(0), a.ULong(0)
	rv = m.Call("C_GenerateKeyPair", s, a.Mechanism(mech.Type, mech.Param), a.Template(public...), len(public),
		a.Template(private...), len(private), x, y)
	return Number(x), Number(y), rv
}

// Mechanisms is C_GetMechanismList.
func (m *Module) Mechanisms(a *Arena, slot uint64) ([]ck.MechanismType, ck.RV) {
	n := a.ULong(0)
	if rv := m.Call("C_GetMechanismList", slot, nil, n); rv != ck.CKR_OK {
		return nil, rv
	}
	list := a.Alloc(8 * int(Number(n)))
	if rv := m.Call("C_GetMechanismList", slot, list, n); rv != ck.CKR_OK {
		return nil, rv
	}
	var all []ck.MechanismType
	for i := range int(Number(n)) {
		all = append(all, ck.MechanismType(Number(unsafe.Add(list, 8*i))))
	}
	return all, ck.CKR_OK
}

// MechanismInfo is C_GetMechanismInfo.
func (m *Module) MechanismInfo(a *Arena, slot uint64, t ck.MechanismType) (ck.MechanismInfo, ck.RV) {
	p := a.Alloc(24)
	rv := m.Call("C_GetMechanismInfo", slot, uint64(t), p)
	at := func(i int) uint64 { return Number(unsafe.Add(p, 8*i)) }
	return ck.MechanismInfo{MinKeySize: at(0), MaxKeySize: at(1), Flags: ck.Flags(at(2))}, rv
}

// OpenNSS loads and initialises the software token of NSS, without a database,
// and opens a session on the slot that needs no login.
func OpenNSS(path string) (m *Module, session uint64, err error) {
	if m, err = OpenOld(path); err != nil {
		return nil, 0, err
	}
	var a Arena
	defer a.Free()
	// Its arguments have a pointer to a string before the reserved word.
	text := a.Exact([]byte("configdir='' certPrefix='' keyPrefix='' secmod='' flags=readOnly,noCertDB,noModDB,forceOpen,optimizeSpace\x00"))
	args := a.Exact(Words(0, 0, 0, 0, C.CKF_OS_LOCKING_OK, uint64(uintptr(text)), 0))
	if rv := m.Call("C_Initialize", args); rv != ck.CKR_OK {
		return nil, 0, fmt.Errorf("%s: C_Initialize: %w", path, rv)
	}
	s := a.ULong(0)
	const genericServices = 1
	if rv := m.Call("C_OpenSession", genericServices, C.CKF_SERIAL_SESSION|C.CKF_RW_SESSION, nil, nil, s); rv != ck.CKR_OK {
		return nil, 0, fmt.Errorf("%s: C_OpenSession: %w", path, rv)
	}
	return m, Number(s), nil
}

// FreshToken initialises a module, and a token in it with a user, and returns a
// session with the user logged in.
func (m *Module) FreshToken(soPIN, pin string) (session uint64, err error) {
	if rv := m.Initialize(); rv != ck.CKR_OK {
		return 0, fmt.Errorf("C_Initialize: %w", rv)
	}
	return m.Token(soPIN, pin)
}
