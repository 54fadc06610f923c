package conformance

import (
	"strings"
	"testing"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/test/c11"
)

// discovery are the functions that need no C_Initialize.
func discovery(name string) bool {
	return name == "C_GetFunctionList" || name == "C_GetInterfaceList" || name == "C_GetInterface"
}

// missing are the functions of 3.2 that are not there: nothing here goes on
// without its caller.
var missing = map[string]bool{"C_AsyncComplete": true, "C_AsyncGetID": true, "C_AsyncJoin": true}

// scratch makes arguments that a function can bear: every address leads to
// zeroes, every length is 0, every room is large.
func (c *client) scratch(f c11.Function) []any {
	args := make([]any, len(f.Params))
	for i, p := range f.Params {
		switch {
		case p.Type == "CK_ULONG_PTR":
			args[i] = c.ULong(4096)
		case p.Name == "Notify", p.Name == "pReserved", p.Name == "pInitArgs":
			args[i] = nil
		case p.Pointer():
			args[i] = c.Alloc(8192)
		default:
			args[i] = 0
		}
	}
	return args
}

// TestBeforeAndAfter calls every function before C_Initialize and after
// C_Finalize (section 5.4).
func TestBeforeAndAfter(t *testing.T) {
	if !apart(t) {
		return
	}
	c := load(t)
	everything := func(when string) {
		for _, f := range c11.Functions {
			if discovery(f.Name) || f.Name == "C_Initialize" {
				continue
			}
			c.want(when+" "+f.Name, c.Call(f.Name, c.scratch(f)...), ck.CKR_CRYPTOKI_NOT_INITIALIZED)
			c.want(when+" "+f.Name+" with zeroes", c.Call(f.Name), ck.CKR_CRYPTOKI_NOT_INITIALIZED)
		}
		list := c.ULong(0)
		c.must("C_GetFunctionList", list)
		c.must("C_GetInterfaceList", nil, c.ULong(0))
		c.must("C_GetInterface", nil, nil, list, 0)
	}
	everything("before C_Initialize")
	for range 3 {
		c.must("C_Initialize", nil)
		c.refuses(ck.CKR_CRYPTOKI_ALREADY_INITIALIZED, "C_Initialize", nil)
		c.refuses(ck.CKR_ARGUMENTS_BAD, "C_Finalize", c.Alloc(8))
		c.must("C_GetInfo", c.Alloc(256))
		c.must("C_Finalize", nil)
		everything("after C_Finalize")
	}
}

// TestInitializeArguments is section 5.4.1.
func TestInitializeArguments(t *testing.T) {
	if !apart(t) {
		return
	}
	c := load(t)
	f := uint64(uintptr(c11.Member(c.list(2, 40), "C_GetInfo"))) // an address of code, never called
	system := uint64(ck.CKF_OS_LOCKING_OK)
	for _, row := range []struct {
		name string
		args []uint64
		want ck.RV
	}{
		{"no locks", []uint64{0, 0, 0, 0, 0, 0}, ck.CKR_OK},
		{"locks of the system", []uint64{0, 0, 0, 0, system, 0}, ck.CKR_OK},
		{"either", []uint64{f, f, f, f, system, 0}, ck.CKR_OK},
		{"no threads", []uint64{0, 0, 0, 0, system | uint64(ck.CKF_LIBRARY_CANT_CREATE_OS_THREADS), 0}, ck.CKR_OK}, // NSS asks so
		{"only the application's locks", []uint64{f, f, f, f, 0, 0}, ck.CKR_CANT_LOCK},
		{"some functions", []uint64{f, f, 0, f, 0, 0}, ck.CKR_ARGUMENTS_BAD},
		{"some functions, system's locks", []uint64{f, 0, 0, 0, system, 0}, ck.CKR_ARGUMENTS_BAD},
		{"reserved", []uint64{0, 0, 0, 0, system, f}, ck.CKR_ARGUMENTS_BAD},
	} {
		c.sub(row.name, func(c *client) {
			rv := c.Call("C_Initialize", c.Exact(c11.Words(row.args...)))
			c.want("C_Initialize", rv, row.want)
			if rv == ck.CKR_OK {
				c.must("C_Finalize", nil)
			}
		})
	}
}

// TestZeroes calls every function with an open session, or the first slot, and
// otherwise nothing but zeroes. It must survive and say what is wrong.
func TestZeroes(t *testing.T) {
	if !apart(t) {
		return
	}
	c := open(t)
	other := map[string][]ck.RV{
		// What is right with zeroes.
		"C_CloseSession": {ck.CKR_OK}, "C_CloseAllSessions": {ck.CKR_OK}, "C_Logout": {ck.CKR_OK}, "C_SessionCancel": {ck.CKR_OK},
		"C_FindObjectsInit": {ck.CKR_OK}, // a search for everything
		// A null mechanism cancels (section 5.8.1 of 3.0); with nothing under way there is nothing to say.
		"C_EncryptInit": {ck.CKR_OK}, "C_DecryptInit": {ck.CKR_OK}, "C_DigestInit": {ck.CKR_OK}, "C_SignInit": {ck.CKR_OK},
		"C_SignRecoverInit": {ck.CKR_OK}, "C_VerifyInit": {ck.CKR_OK}, "C_VerifyRecoverInit": {ck.CKR_OK},
		"C_VerifySignatureInit": {ck.CKR_OK},
		"C_MessageEncryptInit":  {ck.CKR_OK}, "C_MessageDecryptInit": {ck.CKR_OK}, "C_MessageSignInit": {ck.CKR_OK}, "C_MessageVerifyInit": {ck.CKR_OK},
		"C_GenerateRandom": {ck.CKR_OK}, "C_SeedRandom": {ck.CKR_OK},
		// A length of 0 with a null address is an empty input.
		"C_InitPIN": {ck.CKR_USER_NOT_LOGGED_IN, ck.CKR_PIN_LEN_RANGE}, "C_SetPIN": {ck.CKR_PIN_LEN_RANGE, ck.CKR_PIN_INCORRECT},
		"C_Login": {ck.CKR_USER_ANOTHER_ALREADY_LOGGED_IN}, "C_LoginUser": {ck.CKR_USER_ANOTHER_ALREADY_LOGGED_IN},
		"C_SetOperationState":   {ck.CKR_SAVED_STATE_INVALID, ck.CKR_ARGUMENTS_BAD},
		"C_SetAttributeValue":   {ck.CKR_OBJECT_HANDLE_INVALID},
		"C_GetAttributeValue":   {ck.CKR_OBJECT_HANDLE_INVALID},
		"C_DestroyObject":       {ck.CKR_OBJECT_HANDLE_INVALID},
		"C_GetFunctionStatus":   {ck.CKR_FUNCTION_NOT_PARALLEL},
		"C_CancelFunction":      {ck.CKR_FUNCTION_NOT_PARALLEL},
		"C_DigestUpdate":        {ck.CKR_OPERATION_NOT_INITIALIZED},
		"C_DigestKey":           {ck.CKR_OPERATION_NOT_INITIALIZED, ck.CKR_KEY_HANDLE_INVALID},
		"C_SignUpdate":          {ck.CKR_OPERATION_NOT_INITIALIZED},
		"C_Verify":              {ck.CKR_OPERATION_NOT_INITIALIZED},
		"C_VerifyUpdate":        {ck.CKR_OPERATION_NOT_INITIALIZED},
		"C_VerifyFinal":         {ck.CKR_OPERATION_NOT_INITIALIZED},
		"C_FindObjectsFinal":    {ck.CKR_OPERATION_NOT_INITIALIZED},
		"C_MessageEncryptFinal": {ck.CKR_OPERATION_NOT_INITIALIZED}, "C_MessageDecryptFinal": {ck.CKR_OPERATION_NOT_INITIALIZED},
		"C_MessageSignFinal": {ck.CKR_OPERATION_NOT_INITIALIZED}, "C_MessageVerifyFinal": {ck.CKR_OPERATION_NOT_INITIALIZED},
		"C_EncryptMessageBegin": {ck.CKR_OPERATION_NOT_INITIALIZED}, "C_DecryptMessageBegin": {ck.CKR_OPERATION_NOT_INITIALIZED},
		"C_SignMessageBegin": {ck.CKR_OPERATION_NOT_INITIALIZED}, "C_VerifyMessageBegin": {ck.CKR_OPERATION_NOT_INITIALIZED},
		"C_SignMessageNext": {ck.CKR_OPERATION_NOT_INITIALIZED}, "C_VerifyMessageNext": {ck.CKR_OPERATION_NOT_INITIALIZED},
		"C_VerifyMessage": {ck.CKR_OPERATION_NOT_INITIALIZED},
	}
	for _, f := range c11.Functions {
		if f.Name == "C_Initialize" || f.Name == "C_Finalize" {
			continue
		}
		c.sub(f.Name, func(c *client) {
			c.must("C_CloseAllSessions", 0)
			c.s = c.session(0, ck.CKF_RW_SESSION)
			pin := c.Exact([]byte(userPIN))
			c.must("C_Login", c.s, uint64(ck.CKU_USER), pin, len(userPIN))
			var args []any
			if f.Params[0].Name == "hSession" {
				args = append(args, c.s)
			}
			want := other[f.Name]
			switch {
			case missing[f.Name]:
				want = []ck.RV{ck.CKR_FUNCTION_NOT_SUPPORTED}
			case want == nil && hasOperation(f.Name):
				// Which is found first, the missing place for the result or the
				// missing operation, is not said.
				want = []ck.RV{ck.CKR_ARGUMENTS_BAD, ck.CKR_OPERATION_NOT_INITIALIZED}
			case want == nil:
				want = []ck.RV{ck.CKR_ARGUMENTS_BAD}
			}
			c.want(f.Name, c.Call(f.Name, args...), want...)
		})
	}
}

// hasOperation reports whether a function goes on with an operation.
func hasOperation(name string) bool {
	for _, verb := range []string{"Encrypt", "Decrypt", "Digest", "Sign", "Verify"} {
		if strings.HasPrefix(name, "C_"+verb) {
			return !strings.HasSuffix(name, "Init")
		}
	}
	return name == "C_FindObjects" || name == "C_GetOperationState"
}

// TestBadSessions gives every function of a session handles that are none, and
// one of a session that was closed.
func TestBadSessions(t *testing.T) {
	if !apart(t) {
		return
	}
	c := open(t)
	closed := c.session(0, ck.CKF_RW_SESSION)
	c.must("C_CloseSession", closed)
	for _, f := range c11.Functions {
		if f.Params[0].Name != "hSession" {
			continue
		}
		want := ck.RV(ck.CKR_SESSION_HANDLE_INVALID)
		if missing[f.Name] {
			want = ck.CKR_FUNCTION_NOT_SUPPORTED
		}
		if f.Name == "C_GetFunctionStatus" || f.Name == "C_CancelFunction" {
			want = ck.CKR_FUNCTION_NOT_PARALLEL
		}
		for _, h := range []uint64{0, closed, c.s + 100, 1 << 40, ^uint64(0)} {
			args := c.scratch(f)
			args[0] = h
			c.want(f.Name, c.Call(f.Name, args...), want)
		}
	}
}

// TestBadObjects gives every function of an object handles that are none, that
// were destroyed, and that belong to another slot.
func TestBadObjects(t *testing.T) {
	if !apart(t) {
		return
	}
	c := open(t)
	d := &client{t: t, Module: c.Module, Arena: c.Arena, s: c.secondToken()}
	elsewhere := d.object(secret(ck.CKK_AES, sequence(16))...)
	elsewhereToken := d.object(with(secret(ck.CKK_AES, sequence(16))[:11], boolean(ck.CKA_TOKEN, true))...)
	gone := c.object(secret(ck.CKK_AES, sequence(16))...)
	c.must("C_DestroyObject", c.s, gone)
	good := c.object(secret(ck.CKK_AES, sequence(16))...)
	ecb := c.Mechanism(ck.CKM_AES_ECB, nil)
	wrap := c.Mechanism(ck.CKM_AES_KEY_WRAP, nil)
	concat := c.Mechanism(ck.CKM_SHA256_KEY_DERIVATION, nil)
	out, n := c.Alloc(64), c.ULong(64)
	tmpl := c.Template(class(ck.CKO_SECRET_KEY), keyType(ck.CKK_GENERIC_SECRET))
	h := c.ULong(0)
	c.must("C_DigestInit", c.s, c.Mechanism(ck.CKM_SHA256, nil))
	for name, o := range map[string]uint64{
		"zero": 0, "destroyed": gone, "other slot's session object": elsewhere, "other slot's token object": elsewhereToken,
		"large": 1 << 50, "all ones": ^uint64(0), "next": good + 1000,
	} {
		c.sub(name, func(c *client) {
			object, key := ck.RV(ck.CKR_OBJECT_HANDLE_INVALID), ck.RV(ck.CKR_KEY_HANDLE_INVALID)
			c.refuses(object, "C_CopyObject", c.s, o, nil, 0, h)
			c.refuses(object, "C_DestroyObject", c.s, o)
			c.refuses(object, "C_GetObjectSize", c.s, o, h)
			c.refuses(object, "C_GetAttributeValue", c.s, o, tmpl, 2)
			c.refuses(object, "C_SetAttributeValue", c.s, o, tmpl, 2)
			c.refuses(key, "C_EncryptInit", c.s, ecb, o)
			c.refuses(key, "C_DecryptInit", c.s, ecb, o)
			c.refuses(key, "C_SignInit", c.s, c.Mechanism(ck.CKM_AES_CMAC, nil), o)
			c.refuses(key, "C_VerifyInit", c.s, c.Mechanism(ck.CKM_AES_CMAC, nil), o)
			c.refuses(key, "C_SignRecoverInit", c.s, c.Mechanism(ck.CKM_RSA_PKCS, nil), o)
			c.refuses(key, "C_VerifyRecoverInit", c.s, c.Mechanism(ck.CKM_RSA_PKCS, nil), o)
			c.refuses(key, "C_MessageEncryptInit", c.s, c.Mechanism(ck.CKM_AES_GCM, nil), o)
			c.refuses(key, "C_MessageDecryptInit", c.s, c.Mechanism(ck.CKM_AES_GCM, nil), o)
			c.refuses(key, "C_WrapKey", c.s, wrap, good, o, out, n)
			c.refuses(ck.CKR_WRAPPING_KEY_HANDLE_INVALID, "C_WrapKey", c.s, wrap, o, good, out, n)
			c.refuses(ck.CKR_UNWRAPPING_KEY_HANDLE_INVALID, "C_UnwrapKey", c.s, wrap, o, out, 24, tmpl, 2, h)
			c.refuses(key, "C_DeriveKey", c.s, concat, o, tmpl, 2, h)
		})
	}
	// An error of C_DigestKey ends the digest (section 5.12.4), so it comes last.
	c.refuses(ck.CKR_KEY_HANDLE_INVALID, "C_DigestKey", c.s, elsewhere)
	// The key of the other slot was left alone.
	d.must("C_EncryptInit", d.s, ecb, elsewhere)
}

// TestAbsurdLengths gives huge numbers with null addresses, and with addresses
// where nothing is read before the number is refused.
func TestAbsurdLengths(t *testing.T) {
	if !apart(t) {
		return
	}
	c := open(t)
	key := c.object(secret(ck.CKK_AES, sequence(16))...)
	h, out, n := c.ULong(0), c.Alloc(64), c.ULong(64)
	bad := ck.RV(ck.CKR_ARGUMENTS_BAD)
	ecb := c.Mechanism(ck.CKM_AES_ECB, nil)
	for _, huge := range []uint64{1, 1 << 31, 1 << 32, 1<<63 - 1, 1 << 63, ^uint64(0)} {
		c.refuses(bad, "C_CreateObject", c.s, nil, huge, h)
		c.refuses(bad, "C_CopyObject", c.s, key, nil, huge, h)
		c.refuses(bad, "C_GetAttributeValue", c.s, key, nil, huge)
		c.refuses(bad, "C_SetAttributeValue", c.s, key, nil, huge)
		c.refuses(bad, "C_FindObjectsInit", c.s, nil, huge)
		c.refuses(bad, "C_GenerateKey", c.s, c.Mechanism(ck.CKM_AES_KEY_GEN, nil), nil, huge, h)
		c.refuses(bad, "C_GenerateKeyPair", c.s, c.Mechanism(ck.CKM_EC_KEY_PAIR_GEN, nil), nil, huge, nil, 0, h, h)
		c.refuses(bad, "C_GenerateKeyPair", c.s, c.Mechanism(ck.CKM_EC_KEY_PAIR_GEN, nil), nil, 0, nil, huge, h, h)
		c.refuses(bad, "C_DeriveKey", c.s, c.Mechanism(ck.CKM_SHA256_KEY_DERIVATION, nil), key, nil, huge, h)
		c.refuses(bad, "C_UnwrapKey", c.s, c.Mechanism(ck.CKM_AES_KEY_WRAP, nil), key, nil, huge, nil, 0, h)
		c.refuses(bad, "C_UnwrapKey", c.s, c.Mechanism(ck.CKM_AES_KEY_WRAP, nil), key, out, 24, nil, huge, h)
		c.refuses(bad, "C_GenerateRandom", c.s, nil, huge)
		c.refuses(bad, "C_SeedRandom", c.s, nil, huge)
		c.refuses(bad, "C_SetOperationState", c.s, nil, huge, 0, 0)
		c.refuses(bad, "C_InitToken", 0, nil, huge, out)
		c.refuses(bad, "C_InitPIN", c.s, nil, huge)
		c.refuses(bad, "C_SetPIN", c.s, nil, huge, nil, 0)
		c.refuses(bad, "C_SetPIN", c.s, nil, 0, nil, huge)
		c.refuses(bad, "C_LoginUser", c.s, uint64(ck.CKU_USER), out, 4, nil, huge)
		c.refuses(bad, "C_Login", c.s, uint64(ck.CKU_SO), nil, huge)
		// A mechanism whose parameter is nowhere, and one that claims more than it can.
		for _, p := range []uint64{0, uint64(uintptr(out))} {
			m := c.Exact(c11.Words(uint64(ck.CKM_AES_CBC), p, huge))
			c.refuses(ck.CKR_MECHANISM_PARAM_INVALID, "C_EncryptInit", c.s, m, key)
			m = c.Exact(c11.Words(uint64(ck.CKM_AES_GCM), p, huge))
			c.refuses(ck.CKR_MECHANISM_PARAM_INVALID, "C_EncryptInit", c.s, m, key)
		}
		// A parameter structure with a length to nowhere.
		gcm := c11.Words(0, huge, 96, 0, 0, 128)
		c.refuses(ck.CKR_MECHANISM_PARAM_INVALID, "C_EncryptInit", c.s, c.Mechanism(ck.CKM_AES_GCM, gcm), key)
		for _, step := range []struct {
			begin func()
			call  string
			args  []any
		}{
			{func() { c.must("C_EncryptInit", c.s, ecb, key) }, "C_Encrypt", []any{c.s, nil, huge, out, n}},
			{func() { c.must("C_EncryptInit", c.s, ecb, key) }, "C_EncryptUpdate", []any{c.s, nil, huge, out, n}},
			{func() { c.must("C_DecryptInit", c.s, ecb, key) }, "C_Decrypt", []any{c.s, nil, huge, out, n}},
			{func() { c.must("C_DecryptInit", c.s, ecb, key) }, "C_DecryptUpdate", []any{c.s, nil, huge, out, n}},
			{func() { c.must("C_DigestInit", c.s, c.Mechanism(ck.CKM_SHA256, nil)) }, "C_Digest", []any{c.s, nil, huge, out, n}},
			{func() { c.must("C_DigestInit", c.s, c.Mechanism(ck.CKM_SHA256, nil)) }, "C_DigestUpdate", []any{c.s, nil, huge}},
			{func() { c.must("C_SignInit", c.s, c.Mechanism(ck.CKM_AES_CMAC, nil), key) }, "C_Sign", []any{c.s, nil, huge, out, n}},
			{func() { c.must("C_SignInit", c.s, c.Mechanism(ck.CKM_AES_CMAC, nil), key) }, "C_SignUpdate", []any{c.s, nil, huge}},
			{func() { c.must("C_VerifyInit", c.s, c.Mechanism(ck.CKM_AES_CMAC, nil), key) }, "C_Verify", []any{c.s, nil, huge, out, 16}},
			{func() { c.must("C_VerifyInit", c.s, c.Mechanism(ck.CKM_AES_CMAC, nil), key) }, "C_Verify", []any{c.s, out, 16, nil, huge}},
			{func() { c.must("C_VerifyInit", c.s, c.Mechanism(ck.CKM_AES_CMAC, nil), key) }, "C_VerifyUpdate", []any{c.s, nil, huge}},
			{func() { c.must("C_VerifyInit", c.s, c.Mechanism(ck.CKM_AES_CMAC, nil), key) }, "C_VerifyFinal", []any{c.s, nil, huge}},
		} {
			step.begin()
			c.refuses(bad, step.call, step.args...)
			// Such an error ends the operation, so that the session is not stuck.
			if step.call == "C_Verify" {
				c.refuses(ck.CKR_OPERATION_NOT_INITIALIZED, step.call, c.s, out, 16, out, 16)
				continue
			}
			c.refuses(ck.CKR_OPERATION_NOT_INITIALIZED, step.call, c.s, out, 16, out, n)
		}
	}
	// An absurd room for the result is nothing but room.
	c.must("C_EncryptInit", c.s, ecb, key)
	c.must("C_Encrypt", c.s, c.Exact(sequence(16)), 16, out, c.ULong(^uint64(0)>>1))
	c.must("C_FindObjectsInit", c.s, nil, 0)
	c.must("C_FindObjects", c.s, c.Alloc(8*4096), ^uint64(0), n)
	if got := c11.Number(n); got < 1 || got > 4096 {
		t.Errorf("%d objects", got)
	}
}

// TestOrder makes calls in wrong orders.
func TestOrder(t *testing.T) {
	if !apart(t) {
		return
	}
	c := open(t)
	key := c.object(secret(ck.CKK_AES, sequence(16))...)
	in, out := c.Exact(sequence(64)), c.Alloc(256)
	type family struct {
		name   string
		begin  []any
		update string
		final  string
		single string
		in     bool // Update and single give output
	}
	n := func() any { return c.ULong(256) }
	for _, f := range []family{
		{"Encrypt", []any{c.s, c.Mechanism(ck.CKM_AES_ECB, nil), key}, "C_EncryptUpdate", "C_EncryptFinal", "C_Encrypt", true},
		{"Decrypt", []any{c.s, c.Mechanism(ck.CKM_AES_ECB, nil), key}, "C_DecryptUpdate", "C_DecryptFinal", "C_Decrypt", true},
		{"Digest", []any{c.s, c.Mechanism(ck.CKM_SHA256, nil)}, "C_DigestUpdate", "C_DigestFinal", "C_Digest", false},
		{"Sign", []any{c.s, c.Mechanism(ck.CKM_AES_CMAC, nil), key}, "C_SignUpdate", "C_SignFinal", "C_Sign", false},
	} {
		c.sub(f.name, func(c *client) {
			update := func() ck.RV {
				if f.in {
					return c.Call(f.update, c.s, in, 16, out, n())
				}
				return c.Call(f.update, c.s, in, 16)
			}
			none, active := ck.RV(ck.CKR_OPERATION_NOT_INITIALIZED), ck.RV(ck.CKR_OPERATION_ACTIVE)
			c.want("Update without Init", update(), none)
			c.refuses(none, f.final, c.s, out, n())
			c.refuses(none, f.single, c.s, in, 16, out, n())
			init := "C_" + f.name + "Init"
			c.must(init, f.begin...)
			c.refuses(active, init, f.begin...)
			c.ok("Update", update())
			c.refuses(active, f.single, c.s, in, 16, out, n())
			c.ok("Update after the refused single-part call", update())
			c.must(f.final, c.s, out, n())
			c.refuses(none, f.final, c.s, out, n())
			c.want("Update after Final", update(), none)
			c.must(init, f.begin...)
			c.must(f.single, c.s, in, 16, out, n())
			c.refuses(none, f.single, c.s, in, 16, out, n())
			// Final without any Update is a message of no length.
			c.must(init, f.begin...)
			c.must(f.final, c.s, out, n())
			// A null mechanism cancels.
			c.must(init, f.begin...)
			c.must(init, c.s, nil, 0)
			c.want("Update after the cancellation", update(), none)
		})
	}
	c.sub("Verify", func(c *client) {
		init := []any{c.s, c.Mechanism(ck.CKM_AES_CMAC, nil), key}
		none := ck.RV(ck.CKR_OPERATION_NOT_INITIALIZED)
		c.refuses(none, "C_VerifyUpdate", c.s, in, 16)
		c.refuses(none, "C_VerifyFinal", c.s, out, 16)
		c.must("C_VerifyInit", init...)
		c.refuses(ck.CKR_OPERATION_ACTIVE, "C_VerifyInit", init...)
		c.must("C_VerifyUpdate", c.s, in, 16)
		c.refuses(ck.CKR_SIGNATURE_INVALID, "C_VerifyFinal", c.s, out, 16)
		c.refuses(none, "C_VerifyFinal", c.s, out, 16)
		c.must("C_VerifyInit", init...)
		c.refuses(ck.CKR_SIGNATURE_LEN_RANGE, "C_Verify", c.s, in, 16, out, 15)
		c.refuses(none, "C_Verify", c.s, in, 16, out, 16)
	})
	c.sub("FindObjects", func(c *client) {
		none := ck.RV(ck.CKR_OPERATION_NOT_INITIALIZED)
		c.refuses(none, "C_FindObjects", c.s, out, 1, n())
		c.refuses(none, "C_FindObjectsFinal", c.s)
		c.must("C_FindObjectsInit", c.s, nil, 0)
		c.refuses(ck.CKR_OPERATION_ACTIVE, "C_FindObjectsInit", c.s, nil, 0)
		c.must("C_FindObjects", c.s, out, 1, n())
		c.must("C_FindObjectsFinal", c.s)
		c.refuses(none, "C_FindObjectsFinal", c.s)
	})
	c.sub("one of each kind at a time", func(c *client) {
		c.must("C_EncryptInit", c.s, c.Mechanism(ck.CKM_AES_ECB, nil), key)
		c.must("C_DecryptInit", c.s, c.Mechanism(ck.CKM_AES_ECB, nil), key)
		c.must("C_DigestInit", c.s, c.Mechanism(ck.CKM_SHA256, nil))
		c.must("C_SignInit", c.s, c.Mechanism(ck.CKM_AES_CMAC, nil), key)
		c.must("C_VerifyInit", c.s, c.Mechanism(ck.CKM_AES_CMAC, nil), key)
		c.must("C_FindObjectsInit", c.s, nil, 0)
		c.must("C_Digest", c.s, in, 16, out, n())
		c.must("C_Encrypt", c.s, in, 16, out, n())
		c.must("C_SessionCancel", c.s, uint64(ck.CKF_DECRYPT|ck.CKF_SIGN|ck.CKF_VERIFY|ck.CKF_FIND_OBJECTS))
	})
}

// TestUnknown gives numbers that mean nothing.
func TestUnknown(t *testing.T) {
	if !apart(t) {
		return
	}
	c := open(t)
	key := c.object(secret(ck.CKK_AES, sequence(16))...)
	h, out := c.ULong(0), c.Alloc(256)
	for _, odd := range []uint64{0x7fffffff, 0x80001234, 1 << 40, ^uint64(0)} {
		m := c.Mechanism(ck.MechanismType(odd), nil)
		bad := ck.RV(ck.CKR_MECHANISM_INVALID)
		c.refuses(bad, "C_GetMechanismInfo", 0, odd, out)
		c.refuses(bad, "C_EncryptInit", c.s, m, key)
		c.refuses(bad, "C_DigestInit", c.s, m)
		c.refuses(bad, "C_SignInit", c.s, m, key)
		c.refuses(bad, "C_VerifyInit", c.s, m, key)
		c.refuses(bad, "C_GenerateKey", c.s, m, nil, 0, h)
		c.refuses(bad, "C_GenerateKeyPair", c.s, m, nil, 0, nil, 0, h, h)
		c.refuses(bad, "C_WrapKey", c.s, m, key, key, out, c.ULong(256))
		c.refuses(bad, "C_UnwrapKey", c.s, m, key, out, 16, nil, 0, h)
		c.refuses(bad, "C_DeriveKey", c.s, m, key, nil, 0, h)
		c.refuses(bad, "C_MessageEncryptInit", c.s, m, key)

		slot := ck.RV(ck.CKR_SLOT_ID_INVALID)
		c.refuses(slot, "C_GetSlotInfo", odd, out)
		c.refuses(slot, "C_GetTokenInfo", odd, out)
		c.refuses(slot, "C_GetMechanismList", odd, nil, h)
		c.refuses(slot, "C_GetMechanismInfo", odd, uint64(ck.CKM_AES_ECB), out)
		c.refuses(slot, "C_OpenSession", odd, uint64(ck.CKF_SERIAL_SESSION), nil, nil, h)
		c.refuses(slot, "C_CloseAllSessions", odd)
		c.refuses(slot, "C_InitToken", odd, out, 4, out)

		c.refuses(ck.CKR_ATTRIBUTE_TYPE_INVALID, "C_GetAttributeValue", c.s, key, c.Template(ck.Attribute{Type: ck.AttributeType(odd)}), 1)
		c.want("C_SetAttributeValue", c.set(key, bytesOf(ck.AttributeType(odd), []byte{1})), ck.CKR_ATTRIBUTE_TYPE_INVALID)
		_, rv := c.tryObject(with(secret(ck.CKK_AES, sequence(16)), bytesOf(ck.AttributeType(odd), []byte{1}))...)
		c.want("C_CreateObject", rv, ck.CKR_ATTRIBUTE_TYPE_INVALID)
		_, rv = c.tryObject(class(ck.ObjectClass(odd)))
		c.want("C_CreateObject of a class", rv, ck.CKR_ATTRIBUTE_VALUE_INVALID)
		_, rv = c.tryObject(secret(ck.KeyType(odd), sequence(16))...)
		c.want("C_CreateObject of a key type", rv, ck.CKR_ATTRIBUTE_VALUE_INVALID)

		pin := c.Exact([]byte(userPIN))
		c.refuses(ck.CKR_USER_TYPE_INVALID, "C_Login", c.s, odd, pin, len(userPIN))
		c.refuses(ck.CKR_USER_TYPE_INVALID, "C_LoginUser", c.s, odd, pin, len(userPIN), nil, 0)
	}
	c.refuses(ck.CKR_SESSION_PARALLEL_NOT_SUPPORTED, "C_OpenSession", 0, uint64(ck.CKF_RW_SESSION), nil, nil, h)
	// A search for what nothing can have finds nothing, and is no error
	// (section 5.7.7 compares only).
	if got := c.find(c.s, bytesOf(0x7fffffff, []byte{1})); len(got) != 0 {
		t.Errorf("a search by an unknown attribute found %v", got)
	}
}
