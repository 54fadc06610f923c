package conformance

import (
	"testing"
	"unsafe"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/test/c11"
)

// login is C_Login.
func (c *client) login(s uint64, user ck.UserType, pin string) ck.RV {
	return c.Call("C_Login", s, uint64(user), c.Exact([]byte(pin)), len(pin))
}

func (c *client) sessionState(s uint64) ck.SessionState {
	c.t.Helper()
	p := c.Alloc(64)
	c.must("C_GetSessionInfo", s, p)
	return ck.SessionState(c11.Number(unsafe.Add(p, 8)))
}

// TestLogin is sections 5.6.8 to 5.6.11: who may log in when, and what
// sessions tell of it.
func TestLogin(t *testing.T) {
	if !apart(t) {
		return
	}
	c := open(t)
	c.want("twice", c.login(c.s, ck.CKU_USER, userPIN), ck.CKR_USER_ALREADY_LOGGED_IN)
	c.want("the SO beside the user", c.login(c.s, ck.CKU_SO, soPIN), ck.CKR_USER_ANOTHER_ALREADY_LOGGED_IN)
	ro := c.session(0, 0)
	states := func(want ...ck.SessionState) {
		t.Helper()
		for i, s := range []uint64{c.s, ro}[:len(want)] {
			if got := c.sessionState(s); got != want[i] {
				t.Errorf("session %d is in state %v, want %v", i, got, want[i])
			}
		}
	}
	states(ck.CKS_RW_USER_FUNCTIONS, ck.CKS_RO_USER_FUNCTIONS)
	c.must("C_Logout", ro) // from any session
	states(ck.CKS_RW_PUBLIC_SESSION, ck.CKS_RO_PUBLIC_SESSION)
	c.refuses(ck.CKR_USER_NOT_LOGGED_IN, "C_Logout", c.s)
	c.want("the SO beside a R/O session", c.login(c.s, ck.CKU_SO, soPIN), ck.CKR_SESSION_READ_ONLY_EXISTS)
	c.want("context-specific with nobody", c.login(c.s, ck.CKU_CONTEXT_SPECIFIC, userPIN), ck.CKR_USER_NOT_LOGGED_IN, ck.CKR_OPERATION_NOT_INITIALIZED)
	c.want("wrong PIN", c.login(c.s, ck.CKU_USER, "wrong"), ck.CKR_PIN_INCORRECT)
	c.want("empty PIN", c.Call("C_Login", c.s, uint64(ck.CKU_USER), nil, 0), ck.CKR_PIN_INCORRECT)
	p := c.Alloc(256)
	c.must("C_GetTokenInfo", 0, p)
	if f := ck.Flags(c11.Number(unsafe.Add(p, 96))); f&ck.CKF_USER_PIN_COUNT_LOW == 0 {
		t.Errorf("flags %#x after a wrong PIN lack CKF_USER_PIN_COUNT_LOW", f)
	}
	c.must("C_CloseSession", ro)
	c.ok("SO", c.login(c.s, ck.CKU_SO, soPIN))
	states(ck.CKS_RW_SO_FUNCTIONS)
	c.refuses(ck.CKR_SESSION_READ_WRITE_SO_EXISTS, "C_OpenSession", 0, uint64(ck.CKF_SERIAL_SESSION), nil, nil, c.ULong(0))
	c.refuses(ck.CKR_PIN_LEN_RANGE, "C_InitPIN", c.s, c.Exact([]byte("abc")), 3)
	c.refuses(ck.CKR_PIN_LEN_RANGE, "C_InitPIN", c.s, c.Alloc(256), 256)
	c.must("C_Logout", c.s)

	// C_SetPIN, of the user with nobody logged in and of whoever is.
	set := func(old, new string) ck.RV {
		return c.Call("C_SetPIN", c.s, c.Exact([]byte(old)), len(old), c.Exact([]byte(new)), len(new))
	}
	c.ok("C_SetPIN with nobody logged in", set(userPIN, "second pin"))
	c.want("C_SetPIN with a wrong PIN", set(userPIN, "third pin"), ck.CKR_PIN_INCORRECT)
	c.want("C_SetPIN to a short one", set("second pin", "abc"), ck.CKR_PIN_LEN_RANGE)
	c.ok("user", c.login(c.s, ck.CKU_USER, "second pin"))
	c.ok("C_SetPIN of the user", set("second pin", userPIN))
	c.refuses(ck.CKR_USER_NOT_LOGGED_IN, "C_InitPIN", c.s, c.Exact([]byte(userPIN)), len(userPIN))
	roAgain := c.session(0, 0)
	rv := c.Call("C_SetPIN", roAgain, c.Exact([]byte(userPIN)), len(userPIN), c.Exact([]byte("other pin")), 9)
	c.want("C_SetPIN in a R/O session", rv, ck.CKR_SESSION_READ_ONLY)
	// The last session takes the login along.
	c.must("C_CloseAllSessions", 0)
	c.s = c.session(0, ck.CKF_RW_SESSION)
	states(ck.CKS_RW_PUBLIC_SESSION)
}

// TestPrivateObjects: what is private is not there without the user (section 4.4).
func TestPrivateObjects(t *testing.T) {
	if !apart(t) {
		return
	}
	c := open(t)
	mark := text(ck.CKA_LABEL, "marked")
	data := func(token, private bool) uint64 {
		return c.object(class(ck.CKO_DATA), boolean(ck.CKA_TOKEN, token), boolean(ck.CKA_PRIVATE, private), mark)
	}
	pubToken, privToken := data(true, false), data(true, true)
	pubSession, privSession := data(false, false), data(false, true)
	if got := c.find(c.s, mark); len(got) != 4 {
		t.Errorf("the user finds %v", got)
	}
	c.must("C_Logout", c.s)
	if got := c.find(c.s, mark); len(got) != 2 {
		t.Errorf("nobody finds %v, want %v", got, []uint64{pubToken, pubSession})
	}
	_, rv := c.Get(c.s, privToken, ck.CKA_LABEL)
	c.want("a private token object", rv, ck.CKR_OBJECT_HANDLE_INVALID)
	_, rv = c.tryObject(class(ck.CKO_DATA), boolean(ck.CKA_PRIVATE, true))
	c.want("creating a private object", rv, ck.CKR_USER_NOT_LOGGED_IN)
	_, rv = c.tryObject(class(ck.CKO_DATA), boolean(ck.CKA_PRIVATE, false), boolean(ck.CKA_TOKEN, false))
	c.ok("creating a public session object", rv)
	c.ok("C_Login", c.login(c.s, ck.CKU_USER, userPIN))
	// Private session objects went with the login (section 5.6.10), the token's came back.
	_, rv = c.Get(c.s, privSession, ck.CKA_LABEL)
	c.want("a private session object of an earlier login", rv, ck.CKR_OBJECT_HANDLE_INVALID)
	if _, rv = c.Get(c.s, privToken, ck.CKA_LABEL); rv != ck.CKR_OK {
		t.Errorf("the private token object: %v", rv)
	}
	// Session objects go with the session that made them.
	s2 := c.session(0, ck.CKF_RW_SESSION)
	h := c.ULong(0)
	tmpl := []ck.Attribute{class(ck.CKO_DATA), boolean(ck.CKA_TOKEN, false), text(ck.CKA_LABEL, "short-lived")}
	c.must("C_CreateObject", s2, c.Template(tmpl...), len(tmpl), h)
	c.get(c11.Number(h), ck.CKA_LABEL) // seen from the other session
	c.must("C_CloseSession", s2)
	_, rv = c.Get(c.s, c11.Number(h), ck.CKA_LABEL)
	c.want("an object of a closed session", rv, ck.CKR_OBJECT_HANDLE_INVALID)
	// A R/O session makes no token objects.
	ro := c.session(0, 0)
	tmpl[1] = boolean(ck.CKA_TOKEN, true)
	c.refuses(ck.CKR_SESSION_READ_ONLY, "C_CreateObject", ro, c.Template(tmpl...), len(tmpl), h)
	c.refuses(ck.CKR_SESSION_READ_ONLY, "C_SetAttributeValue", ro, pubToken, c.Template(text(ck.CKA_LABEL, "x")), 1)
}

// TestLoginUser is C_LoginUser (section 5.6.9).
func TestLoginUser(t *testing.T) {
	if !apart(t) {
		return
	}
	c := open(t)
	c.must("C_Logout", c.s)
	try := func(user ck.UserType, pin, name string) ck.RV {
		return c.Call("C_LoginUser", c.s, uint64(user), c.Exact([]byte(pin)), len(pin), c.Exact([]byte(name)), len(name))
	}
	c.want("wrong PIN", try(ck.CKU_USER, "wrong pin", ""), ck.CKR_PIN_INCORRECT)
	c.want("a name that is none", try(ck.CKU_USER, userPIN, "alice"), ck.CKR_USER_TYPE_INVALID, ck.CKR_PIN_INCORRECT, ck.CKR_ARGUMENTS_BAD)
	c.ok("no name", try(ck.CKU_USER, userPIN, ""))
	c.must("C_Logout", c.s)
	c.ok("the role's name", try(ck.CKU_USER, userPIN, "Crypto Officer"))
	c.must("C_Logout", c.s)
	c.ok("a null name", c.Call("C_LoginUser", c.s, uint64(ck.CKU_SO), c.Exact([]byte(soPIN)), len(soPIN), nil, 0))
}

// TestAlwaysAuthenticate is CKA_ALWAYS_AUTHENTICATE (section 4.9): a login for
// each use.
func TestAlwaysAuthenticate(t *testing.T) {
	if !apart(t) {
		return
	}
	c := open(t)
	pub, priv := c.rsa(boolean(ck.CKA_ALWAYS_AUTHENTICATE, true), boolean(ck.CKA_PRIVATE, true))
	sha := func() unsafe.Pointer { return c.Mechanism(ck.CKM_SHA256_RSA_PKCS, nil) }
	msg, sig := c.Exact(sequence(50)), c.Alloc(256)
	n := func() unsafe.Pointer { return c.ULong(256) }
	context := func(pin string) ck.RV { return c.login(c.s, ck.CKU_CONTEXT_SPECIFIC, pin) }
	no := ck.RV(ck.CKR_USER_NOT_LOGGED_IN)

	c.want("with no operation", context(userPIN), ck.CKR_OPERATION_NOT_INITIALIZED)
	c.must("C_SignInit", c.s, sha(), priv)
	c.ok("C_Login", context(userPIN))
	c.must("C_Sign", c.s, msg, 50, sig, n())
	c.must("C_VerifyInit", c.s, sha(), pub)
	c.must("C_Verify", c.s, msg, 50, sig, 256)

	// It lasts for one use.
	c.must("C_SignInit", c.s, sha(), priv)
	c.refuses(no, "C_Sign", c.s, msg, 50, sig, n())
	c.ok("C_Login after the refusal", context(userPIN))
	c.must("C_Sign", c.s, msg, 50, sig, n())

	// A wrong PIN is no login, and counts.
	c.must("C_SignInit", c.s, sha(), priv)
	c.want("wrong PIN", context("wrong pin"), ck.CKR_PIN_INCORRECT)
	c.refuses(no, "C_Sign", c.s, msg, 50, sig, n())
	c.must("C_SignInit", c.s, nil, 0)

	// In parts: the login stands for all of them, asking for the length included.
	c.must("C_SignInit", c.s, sha(), priv)
	c.refuses(no, "C_SignUpdate", c.s, msg, 25)
	c.ok("C_Login", context(userPIN))
	c.must("C_SignUpdate", c.s, msg, 25)
	c.must("C_SignUpdate", c.s, unsafe.Add(msg, 25), 25)
	c.must("C_SignFinal", c.s, nil, n())
	c.refuses(ck.CKR_BUFFER_TOO_SMALL, "C_SignFinal", c.s, sig, c.ULong(255))
	c.must("C_SignFinal", c.s, sig, n())

	// Decryption, signing with recovery.
	ct, l := c.Alloc(256), n()
	c.must("C_EncryptInit", c.s, c.Mechanism(ck.CKM_RSA_PKCS, nil), pub)
	c.must("C_Encrypt", c.s, msg, 50, ct, l)
	c.must("C_DecryptInit", c.s, c.Mechanism(ck.CKM_RSA_PKCS, nil), priv)
	c.refuses(no, "C_Decrypt", c.s, ct, 256, sig, n())
	c.ok("C_Login", context(userPIN))
	c.must("C_Decrypt", c.s, ct, 256, sig, n())
	c.must("C_SignRecoverInit", c.s, c.Mechanism(ck.CKM_RSA_PKCS, nil), priv)
	c.refuses(no, "C_SignRecover", c.s, msg, 50, sig, n())
	c.ok("C_Login", context(userPIN))
	c.must("C_SignRecover", c.s, msg, 50, sig, n())

	// Unwrapping has no place for the login.
	aes := c.object(secret(ck.CKK_AES, sequence(16))...)
	wrapped, rv := c.wrap(c.Mechanism(ck.CKM_RSA_PKCS, nil), pub, aes)
	c.ok("C_WrapKey", rv)
	_, rv = c.unwrap(c.Mechanism(ck.CKM_RSA_PKCS, nil), priv, wrapped, class(ck.CKO_SECRET_KEY), keyType(ck.CKK_AES))
	c.want("C_UnwrapKey", rv, no)

	// The attribute needs CKA_PRIVATE, and cannot be changed.
	_, rv = c.tryObject(with(rsaPrivate(), boolean(ck.CKA_ALWAYS_AUTHENTICATE, true), boolean(ck.CKA_PRIVATE, false))...)
	c.want("public", rv, ck.CKR_TEMPLATE_INCONSISTENT)
	c.want("switching it off", c.set(priv, boolean(ck.CKA_ALWAYS_AUTHENTICATE, false)), ck.CKR_ATTRIBUTE_READ_ONLY)
}

// TestLockout: ten wrong PINs lock the user, and the SO unlocks.
func TestLockout(t *testing.T) {
	if !apart(t) {
		return
	}
	c := open(t)
	c.must("C_Logout", c.s)
	flags := func() ck.Flags {
		p := c.Alloc(256)
		c.must("C_GetTokenInfo", 0, p)
		return ck.Flags(c11.Number(unsafe.Add(p, 96)))
	}
	for i := range 10 {
		if last := flags()&ck.CKF_USER_PIN_FINAL_TRY != 0; last != (i == 9) {
			t.Errorf("CKF_USER_PIN_FINAL_TRY before try %d: %v", i+1, last)
		}
		c.want("wrong PIN", c.login(c.s, ck.CKU_USER, "wrong pin"), ck.CKR_PIN_INCORRECT)
	}
	c.want("the right PIN", c.login(c.s, ck.CKU_USER, userPIN), ck.CKR_PIN_LOCKED)
	if flags()&ck.CKF_USER_PIN_LOCKED == 0 {
		t.Error("CKF_USER_PIN_LOCKED is not set")
	}
	c.ok("SO", c.login(c.s, ck.CKU_SO, soPIN))
	c.must("C_InitPIN", c.s, c.Exact([]byte("new user pin")), 12)
	c.must("C_Logout", c.s)
	c.ok("the new PIN", c.login(c.s, ck.CKU_USER, "new user pin"))
}

// TestInitToken: again, with the SO's PIN only, and not while sessions are open
// (section 5.5.6).
func TestInitToken(t *testing.T) {
	if !apart(t) {
		return
	}
	c := open(t)
	c.object(class(ck.CKO_DATA), boolean(ck.CKA_TOKEN, true), boolean(ck.CKA_PRIVATE, false), text(ck.CKA_LABEL, "old"))
	c.want("with a session open", c.InitToken(0, soPIN, "again"), ck.CKR_SESSION_EXISTS)
	c.must("C_CloseAllSessions", 0)
	c.want("with a wrong PIN", c.InitToken(0, "wrong pin", "again"), ck.CKR_PIN_INCORRECT)
	c.want("with a short PIN", c.InitToken(1, "abc", "other"), ck.CKR_PIN_LEN_RANGE, ck.CKR_PIN_INCORRECT)
	c.ok("C_InitToken", c.InitToken(0, soPIN, "again"))
	c.s = c.session(0, ck.CKF_RW_SESSION)
	if got := c.find(c.s, text(ck.CKA_LABEL, "old")); len(got) != 0 {
		t.Error("objects survived")
	}
	c.want("the user of before", c.login(c.s, ck.CKU_USER, userPIN), ck.CKR_USER_PIN_NOT_INITIALIZED)
}
