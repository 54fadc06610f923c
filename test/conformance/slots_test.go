package conformance

import (
	"bytes"
	"testing"
	"unsafe"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/test/c11"
)

// list is the function list of a version.
func (c *client) list(major, minor byte) unsafe.Pointer {
	c.t.Helper()
	i := c.Alloc(8)
	c.must("C_GetInterface", c.Exact([]byte("PKCS 11\x00")), c.Exact([]byte{major, minor}), i, 0)
	return at(at(i, 0), 8)
}

// at is the address that lies at an address.
func at(p unsafe.Pointer, offset int) unsafe.Pointer {
	return *(*unsafe.Pointer)(unsafe.Add(p, offset))
}

// TestInterfaces is sections 5.4.4 to 5.4.6.
func TestInterfaces(t *testing.T) {
	if !apart(t) {
		return
	}
	c := load(t)
	name := c.Exact([]byte("PKCS 11\x00"))
	for _, row := range []struct {
		title   string
		name    any
		version []byte
		flags   uint64
		want    ck.RV
		gives   []byte
	}{
		{"default", nil, nil, 0, ck.CKR_OK, []byte{3, 2}},
		{"default of the name", name, nil, 0, ck.CKR_OK, []byte{3, 2}},
		{"2.40", name, []byte{2, 40}, 0, ck.CKR_OK, []byte{2, 40}},
		{"3.0", name, []byte{3, 0}, 0, ck.CKR_OK, []byte{3, 0}},
		{"3.2", name, []byte{3, 2}, 0, ck.CKR_OK, []byte{3, 2}},
		{"any name, 3.0", nil, []byte{3, 0}, 0, ck.CKR_OK, []byte{3, 0}},
		{"no such version", name, []byte{9, 9}, 0, ck.CKR_FUNCTION_FAILED, nil},
		{"no such name", c.Exact([]byte("PKCS 12\x00")), nil, 0, ck.CKR_FUNCTION_FAILED, nil},
		{"fork safe", name, nil, uint64(ck.CKF_INTERFACE_FORK_SAFE), ck.CKR_FUNCTION_FAILED, nil},
		{"unknown flag", name, nil, 1 << 40, ck.CKR_FUNCTION_FAILED, nil},
	} {
		c.sub(row.title, func(c *client) {
			var v any
			if row.version != nil {
				v = c.Exact(row.version)
			}
			i := c.Alloc(8)
			rv := c.Call("C_GetInterface", row.name, v, i, row.flags)
			c.want("C_GetInterface", rv, row.want)
			if rv == ck.CKR_OK && !bytes.Equal(c11.Peek(at(at(i, 0), 8), 2), row.gives) {
				c.t.Errorf("version %v, want %v", c11.Peek(at(at(i, 0), 8), 2), row.gives)
			}
		})
	}
	c.refuses(ck.CKR_ARGUMENTS_BAD, "C_GetInterface", nil, nil, nil, 0)
	c.refuses(ck.CKR_ARGUMENTS_BAD, "C_GetInterfaceList", nil, nil)
	c.refuses(ck.CKR_ARGUMENTS_BAD, "C_GetFunctionList", nil)

	n := c.ULong(0)
	c.must("C_GetInterfaceList", nil, n)
	count := c11.Number(n)
	g := c.Guarded(24 * int(count))
	n = c.ULong(count - 1)
	c.refuses(ck.CKR_BUFFER_TOO_SMALL, "C_GetInterfaceList", g.Ptr(), n)
	if c11.Number(n) != count || !g.Untouched(0) {
		t.Error("C_GetInterfaceList with too little room")
	}
	c.must("C_GetInterfaceList", g.Ptr(), n)
	if !g.Untouched(24 * int(count)) {
		t.Error("C_GetInterfaceList wrote too much")
	}
	// The lists lead to the same module: what one initialises the other finalises.
	c.ok("C_Initialize of 2.40", c.CallAt(c11.Member(c.list(2, 40), "C_Initialize"), nil))
	c.want("C_Initialize of 3.0", c.CallAt(c11.Member(c.list(3, 0), "C_Initialize"), nil), ck.CKR_CRYPTOKI_ALREADY_INITIALIZED)
	c.ok("C_Finalize of 3.0", c.CallAt(c11.Member(c.list(3, 0), "C_Finalize"), nil))
	f := c.Alloc(8)
	c.must("C_GetFunctionList", f)
	if got := c11.Peek(at(f, 0), 2); !bytes.Equal(got, []byte{2, 40}) {
		t.Errorf("C_GetFunctionList gives version %v", got)
	}
}

// TestInformation looks at the texts and flags of sections 3.1 to 3.3.
func TestInformation(t *testing.T) {
	if !apart(t) {
		return
	}
	c := open(t)
	printable := func(what string, b []byte) {
		t.Helper()
		trimmed := bytes.TrimRight(b, " ")
		if len(trimmed) == 0 || bytes.IndexByte(b, 0) >= 0 {
			t.Errorf("%s is %q: padded with blanks it should be", what, b)
		}
	}
	p := c.Alloc(4096)
	c.must("C_GetInfo", p)
	info := c11.Peek(p, 88)
	if !bytes.Equal(info[:2], []byte{3, 2}) {
		t.Errorf("cryptokiVersion %v", info[:2])
	}
	printable("manufacturerID", info[2:34])
	if c11.Number(unsafe.Add(p, 40)) != 0 {
		t.Error("CK_INFO.flags must be 0")
	}
	printable("libraryDescription", info[48:80])

	c.must("C_GetSlotInfo", 0, p)
	printable("slotDescription", c11.Peek(p, 64))
	if f := ck.Flags(c11.Number(unsafe.Add(p, 96))); f&ck.CKF_TOKEN_PRESENT == 0 || f&ck.CKF_REMOVABLE_DEVICE != 0 {
		t.Errorf("CK_SLOT_INFO.flags %#x", f)
	}
	c.must("C_GetTokenInfo", 0, p)
	tok := c11.Peek(p, 208)
	if got := string(bytes.TrimRight(tok[:32], " ")); got != "test" {
		t.Errorf("label %q", got)
	}
	printable("model", tok[64:80])
	printable("serialNumber", tok[80:96])
	flags := ck.Flags(c11.Number(unsafe.Add(p, 96)))
	for _, f := range []ck.Flags{ck.CKF_RNG, ck.CKF_LOGIN_REQUIRED, ck.CKF_USER_PIN_INITIALIZED, ck.CKF_TOKEN_INITIALIZED} {
		if flags&f == 0 {
			t.Errorf("CK_TOKEN_INFO.flags %#x lack %#x", flags, f)
		}
	}
	if max, min := c11.Number(unsafe.Add(p, 136)), c11.Number(unsafe.Add(p, 144)); max != 255 || min != 4 {
		t.Errorf("PINs from %d to %d bytes", min, max)
	}
	if sessions := c11.Number(unsafe.Add(p, 112)); sessions != 1 {
		t.Errorf("ulSessionCount %d", sessions)
	}

	// Every mechanism that is listed has its information, with a flag at least.
	n := c.ULong(0)
	c.must("C_GetMechanismList", 0, nil, n)
	count := int(c11.Number(n))
	list := c.Alloc(8 * count)
	c.must("C_GetMechanismList", 0, list, n)
	seen := map[uint64]bool{}
	for i := range count {
		m := c11.Number(unsafe.Add(list, 8*i))
		if seen[m] {
			t.Errorf("%v is listed twice", ck.MechanismType(m))
		}
		seen[m] = true
		c.must("C_GetMechanismInfo", 0, m, p)
		if c11.Number(unsafe.Add(p, 16)) == 0 || c11.Number(p) > c11.Number(unsafe.Add(p, 8)) {
			t.Errorf("%v: information %x", ck.MechanismType(m), c11.Peek(p, 24))
		}
	}
}

// TestSlotList is section 5.5.1 and what a free slot is.
func TestSlotList(t *testing.T) {
	if !apart(t) {
		return
	}
	c := load(t)
	c.must("C_Initialize", nil)
	n := c.ULong(77)
	for _, present := range []bool{false, true} {
		c.must("C_GetSlotList", present, nil, n)
		if c11.Number(n) != 1 {
			t.Fatalf("%d slots on a new HSM", c11.Number(n))
		}
	}
	p := c.Alloc(256)
	c.must("C_GetTokenInfo", 0, p)
	if f := ck.Flags(c11.Number(unsafe.Add(p, 96))); f&ck.CKF_TOKEN_INITIALIZED != 0 {
		t.Errorf("flags of a token that was not initialised: %#x", f)
	}
	c.ok("C_InitToken", c.InitToken(0, soPIN, "a"))
	g := c.Guarded(16)
	n = c.ULong(1)
	c.refuses(ck.CKR_BUFFER_TOO_SMALL, "C_GetSlotList", false, g.Ptr(), n)
	if c11.Number(n) != 2 || !g.Untouched(0) {
		t.Error("C_GetSlotList with too little room")
	}
	c.must("C_GetSlotList", false, g.Ptr(), n)
	if !g.Untouched(16) {
		t.Error("C_GetSlotList wrote too much")
	}
}

// TestSlotEvents is section 5.5.4: not waiting, and waiting until C_Finalize.
func TestSlotEvents(t *testing.T) {
	if !apart(t) {
		return
	}
	c := open(t)
	slot := c.ULong(99)
	for range 10 { // the first answers may tell of slots that appeared
		if c.Call("C_WaitForSlotEvent", uint64(ck.CKF_DONT_BLOCK), slot, nil) == ck.CKR_NO_EVENT {
			break
		}
	}
	c.refuses(ck.CKR_NO_EVENT, "C_WaitForSlotEvent", uint64(ck.CKF_DONT_BLOCK), slot, nil)
	c.refuses(ck.CKR_ARGUMENTS_BAD, "C_WaitForSlotEvent", uint64(ck.CKF_DONT_BLOCK), nil, nil)
	c.refuses(ck.CKR_ARGUMENTS_BAD, "C_WaitForSlotEvent", uint64(ck.CKF_DONT_BLOCK), slot, slot)
	started, answer := make(chan bool), make(chan ck.RV, 1)
	go func() {
		close(started)
		answer <- c.Call("C_WaitForSlotEvent", 0, slot, nil)
	}()
	<-started
	// Whether the call waits already or comes too late: the answer is the same.
	c.must("C_Finalize", nil)
	c.want("C_WaitForSlotEvent", <-answer, ck.CKR_CRYPTOKI_NOT_INITIALIZED)
	c.must("C_Initialize", nil)
}
