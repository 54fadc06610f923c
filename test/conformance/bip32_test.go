package conformance

import (
	"encoding/binary"
	"encoding/hex"
	"testing"
	"unsafe"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/test/c11"
)

// TestBIP32 derives keys as programs for the device do: both handles come back
// in the parameter, and C_DeriveKey has no place for another.
func TestBIP32(t *testing.T) {
	if !apart(t) {
		return
	}
	c := open(t)
	seed := c.object(secret(ck.CKK_GENERIC_SECRET, []byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15})...) // test vector 1
	public := []ck.Attribute{keyType(ck.CKK_BIP32), boolean(ck.CKA_TOKEN, false), boolean(ck.CKA_DERIVE, true), ck.NewBytes(ck.CKA_BIP32_VERSION_BYTES, []byte{0x04, 0x88, 0xb2, 0x1e})}
	private := append(public[:3:3], boolean(ck.CKA_SENSITIVE, false), boolean(ck.CKA_EXTRACTABLE, true))
	templates := func() []uint64 {
		return []uint64{uint64(uintptr(c.Template(public...))), uint64(len(public)), uint64(uintptr(c.Template(private...))), uint64(len(private))}
	}
	derive := func(m ck.MechanismType, base uint64, words ...uint64) (after []uint64, rv ck.RV) {
		param := c.Bytes(c11.Words(words...))
		mechanism := c.Bytes(c11.Words(uint64(m), uint64(uintptr(param)), uint64(8*len(words))))
		rv = c.Call("C_DeriveKey", c.s, mechanism, base, unsafe.Pointer(nil), 0, unsafe.Pointer(nil))
		for b := c11.Peek(param, 8*len(words)); len(b) > 0; b = b[8:] {
			after = append(after, binary.LittleEndian.Uint64(b))
		}
		return after, rv
	}
	after, rv := derive(ck.CKM_BIP32_MASTER_DERIVE, seed, append(templates(), 0, 0)...)
	c.ok("the master key", rv)
	master, masterPublic := after[5], after[4]

	path := func(steps ...uint64) (address, n uint64) { return c.Ptr(c11.Words(steps...)), uint64(len(steps)) }
	child := func(base uint64, words []uint64, steps ...uint64) ([]uint64, ck.RV) {
		at, n := path(steps...)
		return derive(ck.CKM_BIP32_CHILD_DERIVE, base, append(words, at, n, 0, 0, 99)...)
	}
	after, rv = child(master, templates(), 0x80000000, 1)
	c.ok("m/0H/1", rv)
	if got := hex.EncodeToString(c.get(after[7], ck.CKA_VALUE)); got != "3c6cb8d0f6a264c91ea8b5030fadaa8e538b020f0a387421a12de9319dc93368" {
		t.Errorf("the private key m/0H/1 is %s", got)
	}
	if after[6] == 0 || c.getULong(after[6], ck.CKA_BIP32_CHILD_DEPTH) != 2 || c.getULong(after[6], ck.CKA_BIP32_CHILD_INDEX) != 1 {
		t.Errorf("the public key m/0H/1 is object %d, of another place", after[6])
	}
	if hex.EncodeToString(c.get(after[6], ck.CKA_BIP32_PARENT_FINGERPRINT)) != "5c1bd648" {
		t.Errorf("the parent of m/0H/1 has fingerprint %x", c.get(after[6], ck.CKA_BIP32_PARENT_FINGERPRINT))
	}

	// What could not be derived, the parameter tells.
	onlyPublic := append(templates()[:2], 0, 0)
	after, rv = child(masterPublic, onlyPublic, 3, 0x80000004)
	c.want("a hardened child of a public key", rv, ck.CKR_BIP32_INVALID_HARDENED_DERIVATION)
	if after[8] != 1 || after[6] != 0 || after[7] != 0 {
		t.Errorf("the error is at step %d, with handles %d and %d", after[8], after[6], after[7])
	}
	after, rv = child(masterPublic, onlyPublic, 3)
	c.ok("a child of a public key", rv)
	if after[6] == 0 || after[7] != 0 {
		t.Errorf("a public key gives handles %d and %d", after[6], after[7])
	}
}
