package conformance

import (
	"bytes"
	"encoding/hex"
	"os"
	"strings"
	"testing"
	"unsafe"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/test/c11"
)

// TestRecover signs and verifies with recovery (sections 5.13.5 and 5.15.5).
func TestRecover(t *testing.T) {
	if !apart(t) {
		return
	}
	c := open(t)
	pub, priv := c.rsa()
	raw := make([]byte, 256)
	copy(raw[100:], sequence(156))
	for _, row := range []struct {
		name string
		t    ck.MechanismType
		msg  []byte
	}{
		{"CKM_RSA_PKCS", ck.CKM_RSA_PKCS, sequence(100)},
		{"CKM_RSA_PKCS, longest", ck.CKM_RSA_PKCS, sequence(245)},
		{"CKM_RSA_PKCS, empty", ck.CKM_RSA_PKCS, nil},
		{"CKM_RSA_X_509", ck.CKM_RSA_X_509, raw},
	} {
		c.sub(row.name, func(c *client) {
			sig, n := c.Guarded(256), c.ULong(256)
			c.must("C_SignRecoverInit", c.s, c.Mechanism(row.t, nil), priv)
			c.must("C_SignRecover", c.s, c.Bytes(row.msg), len(row.msg), sig.Ptr(), n)
			if !sig.Untouched(256) || c11.Number(n) != 256 {
				c.t.Error("the signature is no 256 bytes")
			}
			plain, rv := c.Single(c.Arena, c.Signing(), c.s, c11.Mech{Type: row.t}, priv, row.msg)
			if c.ok("C_Sign", rv); !bytes.Equal(plain, sig.Bytes(256)) {
				c.t.Error("C_Sign gives another signature")
			}
			out, n := c.Alloc(256), c.ULong(256)
			c.must("C_VerifyRecoverInit", c.s, c.Mechanism(row.t, nil), pub)
			c.must("C_VerifyRecover", c.s, sig.Ptr(), 256, out, n)
			got := c11.Peek(out, int(c11.Number(n)))
			if !bytes.Equal(bytes.TrimLeft(got, "\x00"), bytes.TrimLeft(row.msg, "\x00")) {
				c.t.Errorf("recovered %x", got)
			}
			c.must("C_VerifyRecoverInit", c.s, c.Mechanism(row.t, nil), pub)
			c.refuses(ck.CKR_SIGNATURE_LEN_RANGE, "C_VerifyRecover", c.s, sig.Ptr(), 255, out, c.ULong(256))
			c.refuses(ck.CKR_OPERATION_NOT_INITIALIZED, "C_VerifyRecover", c.s, sig.Ptr(), 256, out, c.ULong(256))
			if row.t == ck.CKM_RSA_PKCS {
				bad := sig.Bytes(256)
				bad[7] ^= 1
				c.must("C_VerifyRecoverInit", c.s, c.Mechanism(row.t, nil), pub)
				c.refuses(ck.CKR_SIGNATURE_INVALID, "C_VerifyRecover", c.s, c.Exact(bad), 256, out, c.ULong(256))
			}
		})
	}
	c.must("C_SignRecoverInit", c.s, c.Mechanism(ck.CKM_RSA_PKCS, nil), priv)
	c.refuses(ck.CKR_DATA_LEN_RANGE, "C_SignRecover", c.s, c.Exact(sequence(246)), 246, c.Alloc(256), c.ULong(256))
	c.refuses(ck.CKR_MECHANISM_INVALID, "C_SignRecoverInit", c.s, c.Mechanism(ck.CKM_SHA256_RSA_PKCS, nil), priv)
	c.refuses(ck.CKR_KEY_FUNCTION_NOT_PERMITTED, "C_SignRecoverInit", c.s, c.Mechanism(ck.CKM_RSA_PKCS, nil), pub)
}

// savedOperation is an operation to be saved in the middle and gone on with.
type savedOperation struct {
	name   string
	begin  string
	args   func(c *client) []any
	update string
	final  string
	enc    bool // the key is the encryption key
	auth   bool
}

var savedOperations = []savedOperation{
	{name: "digest", begin: "C_DigestInit", update: "C_DigestUpdate", final: "C_DigestFinal",
		args: func(c *client) []any { return []any{c.Mechanism(ck.CKM_SHA256, nil)} }},
	{name: "HMAC", begin: "C_SignInit", update: "C_SignUpdate", final: "C_SignFinal", auth: true,
		args: func(c *client) []any { return []any{c.Mechanism(ck.CKM_SHA256_HMAC, nil)} }},
	{name: "CMAC", begin: "C_SignInit", update: "C_SignUpdate", final: "C_SignFinal", auth: true,
		args: func(c *client) []any { return []any{c.Mechanism(ck.CKM_AES_CMAC, nil)} }},
	{name: "CBC", begin: "C_EncryptInit", update: "C_EncryptUpdate", final: "C_EncryptFinal", enc: true,
		args: func(c *client) []any { return []any{c.Mechanism(ck.CKM_AES_CBC_PAD, sequence(16))} }},
	{name: "CTR", begin: "C_EncryptInit", update: "C_EncryptUpdate", final: "C_EncryptFinal", enc: true,
		args: func(c *client) []any {
			return []any{c.Mechanism(ck.CKM_AES_CTR, append(c11.Words(128), sequence(16)...))}
		}},
}

// half passes a part of the message, and returns what comes of it.
func (z savedOperation) half(c *client, s uint64, from, to int) []byte {
	c.t.Helper()
	p := c.Exact(sequence(50)[from:to])
	if !z.enc {
		c.must(z.update, s, p, to-from)
		return nil
	}
	out, n := c.Alloc(64), c.ULong(64)
	c.must(z.update, s, p, to-from, out, n)
	return c11.Peek(out, int(c11.Number(n)))
}

func (z savedOperation) end(c *client, s uint64) []byte {
	c.t.Helper()
	out, n := c.Alloc(64), c.ULong(64)
	c.must(z.final, s, out, n)
	return c11.Peek(out, int(c11.Number(n)))
}

func (z savedOperation) start(c *client, s, key uint64) {
	c.t.Helper()
	args := append([]any{s}, z.args(c)...)
	if z.enc || z.auth {
		args = append(args, key)
	}
	c.must(z.begin, args...)
}

func (z savedOperation) keys(key uint64) (enc, auth uint64) {
	if z.enc {
		enc = key
	}
	if z.auth {
		auth = key
	}
	return enc, auth
}

func (c *client) state(s uint64) []byte {
	c.t.Helper()
	n := c.ULong(0)
	c.must("C_GetOperationState", s, nil, n)
	p := c.Alloc(int(c11.Number(n)))
	c.must("C_GetOperationState", s, p, n)
	return c11.Peek(p, int(c11.Number(n)))
}

// stateKey is a token object, so that another process has it, too.
func (c *client) stateKey(z savedOperation) uint64 {
	c.t.Helper()
	kt := ck.KeyType(ck.CKK_AES)
	if z.name == "HMAC" {
		kt = ck.CKK_GENERIC_SECRET
	}
	list := secret(kt, sequence(32))
	return c.object(with(list[:len(list)-1], boolean(ck.CKA_TOKEN, true), text(ck.CKA_LABEL, "state "+z.name))...)
}

const stateVariable = "CONFORMANCE_STATES"

// TestOperationState saves operations and goes on with them in another session
// and in another process (sections 5.6.6 and 5.6.7).
func TestOperationState(t *testing.T) {
	if !apart(t) {
		return
	}
	c := open(t)
	other := c.session(0, ck.CKF_RW_SESSION)
	var forChild []string
	for _, z := range savedOperations {
		c.sub(z.name, func(c *client) {
			key := c.stateKey(z)
			enc, auth := z.keys(key)
			z.start(c, c.s, key)
			z.half(c, c.s, 0, 21)
			state := c.state(c.s)
			p := c.Exact(state)
			rest := append(z.half(c, c.s, 21, 50), z.end(c, c.s)...)

			// It may have been at any point, so that it can be done again and
			// again, replacing what is under way.
			for range 2 {
				z.start(c, other, key)
				c.must("C_SetOperationState", other, p, len(state), enc, auth)
				got := append(z.half(c, other, 21, 50), z.end(c, other)...)
				if !bytes.Equal(got, rest) {
					c.t.Errorf("in another session: %x, want %x", got, rest)
				}
			}
			if z.enc || z.auth {
				c.refuses(ck.CKR_KEY_NEEDED, "C_SetOperationState", other, p, len(state), 0, 0)
				wrong := c.object(secret(ck.CKK_AES, sequence(16))...)
				e, a := z.keys(wrong)
				c.refuses(ck.CKR_KEY_CHANGED, "C_SetOperationState", other, p, len(state), e, a)
				c.refuses(ck.CKR_KEY_HANDLE_INVALID, "C_SetOperationState", other, p, len(state), enc*12345, auth*12345)
			}
			if z.enc {
				c.refuses(ck.CKR_KEY_NOT_NEEDED, "C_SetOperationState", other, p, len(state), enc, key)
			} else {
				c.refuses(ck.CKR_KEY_NOT_NEEDED, "C_SetOperationState", other, p, len(state), key, auth)
			}
			for _, i := range []int{0, 1, len(state) / 2, len(state) - 1} {
				bad := bytes.Clone(state)
				bad[i] ^= 1
				c.refuses(ck.CKR_SAVED_STATE_INVALID, "C_SetOperationState", other, c.Exact(bad), len(bad), enc, auth)
			}
			c.refuses(ck.CKR_SAVED_STATE_INVALID, "C_SetOperationState", other, p, len(state)-1, enc, auth)
			forChild = append(forChild, z.name+":"+hex.EncodeToString(state)+":"+hex.EncodeToString(rest))
		})
	}
	// Two operations at once, on one key each.
	aes, mac := c.stateKey(savedOperations[3]), c.stateKey(savedOperations[1])
	cbc, hmac := savedOperations[3], savedOperations[1]
	cbc.start(c, c.s, aes)
	hmac.start(c, c.s, mac)
	cbc.half(c, c.s, 0, 21)
	hmac.half(c, c.s, 0, 21)
	state := c.state(c.s)
	wantA := append(cbc.half(c, c.s, 21, 50), cbc.end(c, c.s)...)
	hmac.half(c, c.s, 21, 50)
	wantB := hmac.end(c, c.s)
	c.must("C_SetOperationState", other, c.Exact(state), len(state), aes, mac)
	gotA := append(cbc.half(c, other, 21, 50), cbc.end(c, other)...)
	hmac.half(c, other, 21, 50)
	if gotB := hmac.end(c, other); !bytes.Equal(gotA, wantA) || !bytes.Equal(gotB, wantB) {
		t.Error("two operations saved at once went on differently")
	}

	c.refuses(ck.CKR_OPERATION_NOT_INITIALIZED, "C_GetOperationState", c.s, nil, c.ULong(0))
	c.must("C_FindObjectsInit", c.s, nil, 0)
	rv := c.Call("C_GetOperationState", c.s, nil, c.ULong(0))
	c.want("C_GetOperationState with nothing but a search", rv, ck.CKR_OPERATION_NOT_INITIALIZED, ck.CKR_STATE_UNSAVEABLE)
	c.must("C_FindObjectsFinal", c.s)
	_, priv := c.rsa()
	c.must("C_SignRecoverInit", c.s, c.Mechanism(ck.CKM_RSA_PKCS, nil), priv)
	// Not one of the operations that section 5.6.6 lists; beside one that is, it
	// makes the whole unsaveable.
	c.refuses(ck.CKR_OPERATION_NOT_INITIALIZED, "C_GetOperationState", c.s, nil, c.ULong(0))
	c.must("C_DigestInit", c.s, c.Mechanism(ck.CKM_SHA256, nil))
	c.refuses(ck.CKR_STATE_UNSAVEABLE, "C_GetOperationState", c.s, nil, c.ULong(0))
	c.must("C_SessionCancel", c.s, uint64(ck.CKF_SIGN_RECOVER))

	out, err := child("TestOperationStateElsewhere", []string{stateVariable + "=" + strings.Join(forChild, ";")}).CombinedOutput()
	report(t, out, err)
}

// TestOperationStateElsewhere is the other process of TestOperationState.
func TestOperationStateElsewhere(t *testing.T) {
	states := os.Getenv(stateVariable)
	if states == "" {
		return // it has nothing to do on its own
	}
	c := load(t)
	c.must("C_Initialize", nil)
	c.s = c.session(0, ck.CKF_RW_SESSION)
	c.must("C_Login", c.s, uint64(ck.CKU_USER), c.Exact([]byte(userPIN)), len(userPIN))
	found := 0
	for line := range strings.SplitSeq(states, ";") {
		f := strings.Split(line, ":")
		state, _ := hex.DecodeString(f[1])
		want, _ := hex.DecodeString(f[2])
		for _, z := range savedOperations {
			if z.name != f[0] {
				continue
			}
			found++
			var key uint64
			if list := c.find(c.s, text(ck.CKA_LABEL, "state "+z.name)); len(list) > 0 {
				key = list[0]
			}
			enc, auth := z.keys(key)
			c.must("C_SetOperationState", c.s, c.Exact(state), len(state), enc, auth)
			if got := append(z.half(c, c.s, 21, 50), z.end(c, c.s)...); !bytes.Equal(got, want) {
				t.Errorf("%s in another process: %x, want %x", z.name, got, want)
			}
		}
	}
	if found != len(savedOperations) {
		t.Errorf("%d states came over", found)
	}
}

// TestSessionCancel is section 5.6.10 of 3.0.
func TestSessionCancel(t *testing.T) {
	if !apart(t) {
		return
	}
	c := open(t)
	aes := c.object(secret(ck.CKK_AES, sequence(16))...)
	pub, priv := c.rsa()
	type op struct {
		flag  ck.Flags
		begin string
		args  []any
	}
	m := func(t ck.MechanismType) unsafe.Pointer { return c.Mechanism(t, nil) }
	list := []op{
		{ck.CKF_ENCRYPT, "C_EncryptInit", []any{c.s, m(ck.CKM_AES_ECB), aes}},
		{ck.CKF_DECRYPT, "C_DecryptInit", []any{c.s, m(ck.CKM_AES_ECB), aes}},
		{ck.CKF_DIGEST, "C_DigestInit", []any{c.s, m(ck.CKM_SHA256)}},
		{ck.CKF_SIGN, "C_SignInit", []any{c.s, m(ck.CKM_AES_CMAC), aes}},
		{ck.CKF_VERIFY, "C_VerifyInit", []any{c.s, m(ck.CKM_AES_CMAC), aes}},
		{ck.CKF_SIGN_RECOVER, "C_SignRecoverInit", []any{c.s, m(ck.CKM_RSA_PKCS), priv}},
		{ck.CKF_VERIFY_RECOVER, "C_VerifyRecoverInit", []any{c.s, m(ck.CKM_RSA_PKCS), pub}},
		{ck.CKF_MESSAGE_ENCRYPT, "C_MessageEncryptInit", []any{c.s, m(ck.CKM_AES_GCM), aes}},
		{ck.CKF_MESSAGE_DECRYPT, "C_MessageDecryptInit", []any{c.s, m(ck.CKM_AES_GCM), aes}},
		{ck.CKF_FIND_OBJECTS, "C_FindObjectsInit", []any{c.s, nil, 0}},
	}
	beginAll := func() {
		for _, o := range list {
			c.must(o.begin, o.args...)
		}
	}
	beginAll()
	var every ck.Flags
	for i, o := range list {
		every |= o.flag
		c.must("C_SessionCancel", c.s, uint64(o.flag))
		for j, other := range list {
			want := ck.RV(ck.CKR_OPERATION_ACTIVE)
			if j == i {
				want = ck.CKR_OK
			}
			c.want(other.begin+" after cancelling "+o.begin, c.Call(other.begin, other.args...), want)
		}
	}
	c.must("C_SessionCancel", c.s, uint64(every))
	beginAll()
	c.must("C_SessionCancel", c.s, 0)
	c.refuses(ck.CKR_OPERATION_ACTIVE, list[0].begin, list[0].args...)
	// Logout and closing end operations, too.
	c.must("C_Logout", c.s)
	c.must("C_Login", c.s, uint64(ck.CKU_USER), c.Exact([]byte(userPIN)), len(userPIN))
	c.must("C_DigestInit", c.s, m(ck.CKM_SHA256))
}
