package capi

import (
	"bytes"
	"runtime"
	"sync"
	"testing"
	"unsafe"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/cryptoki/hsm"
	"github.com/perilune/perilune/cryptoki/p11"
	"github.com/perilune/perilune/engine"
	"github.com/perilune/perilune/store/memory"
)

// busy is one of the operations that programs repeat most.
type busy struct {
	name             string
	begin, run       string // functions
	mechanism        ck.MechanismType
	param            any // a slice: plain bytes or a structure
	key              ck.ObjectHandle
	in, out, sig     []byte
	produces, checks bool // it has an output; it has a signature
	// arithmetic is the engine's operation alone, where that is arithmetic that
	// may allocate on some processors.
	arithmetic func()
}

// prepared is the busy operation as two calls, whose arguments are there.
func (b *busy) prepared(t testing.TB, session ck.SessionHandle) func() {
	type arguments struct {
		begin, run [maxArgs]uintptr
		mech       cMechanism
		n          uint64
	}
	a := new(arguments)
	a.mech.Type = uint64(b.mechanism)
	switch p := b.param.(type) {
	case []byte:
		a.mech.Param, a.mech.Len = ptr(p), uint64(len(p))
	case []cGCMParams:
		a.mech.Param, a.mech.Len = ptr(p), uint64(unsafe.Sizeof(p[0]))
	}
	a.begin = [maxArgs]uintptr{uintptr(session), uintptr(unsafe.Pointer(&a.mech)), uintptr(b.key)}
	a.run = [maxArgs]uintptr{uintptr(session), word(b.in), uintptr(len(b.in))}
	switch {
	case b.produces:
		a.run[3], a.run[4] = word(b.out), uintptr(unsafe.Pointer(&a.n))
	case b.checks:
		a.run[3], a.run[4] = word(b.sig), uintptr(len(b.sig))
	}
	begin, run := -1, index(b.run)
	if b.begin != "" {
		begin = index(b.begin)
	} else {
		a.run = [maxArgs]uintptr{uintptr(session), word(b.out), uintptr(len(b.out))}
	}
	return func() {
		if begin >= 0 {
			if rv := enter(begin, &a.begin); rv != ck.CKR_OK {
				t.Fatalf("%s: %v", b.begin, rv)
			}
		}
		a.n = uint64(len(b.out))
		if rv := enter(run, &a.run); rv != ck.CKR_OK {
			t.Fatalf("%s: %v", b.run, rv)
		}
		runtime.KeepAlive(b)
	}
}

// cGCMParams is CK_GCM_PARAMS.
type cGCMParams struct {
	IV      unsafe.Pointer
	IVLen   uint64
	IVBits  uint64
	AAD     unsafe.Pointer
	AADLen  uint64
	TagBits uint64
}

// BenchmarkBusy is the same operations, for profiles of what lies between the C
// function and the cipher.
func BenchmarkBusy(b *testing.B) {
	m := openMemory(b)
	session := loggedIn(b, m)
	for _, op := range busyOperations(b, m, session) {
		b.Run(op.name, func(b *testing.B) {
			call := op.prepared(b, session)
			b.ReportAllocs()
			for b.Loop() {
				call()
			}
		})
	}
}

func busyOperations(t testing.TB, m p11.Module, session ck.SessionHandle) []busy {
	attrs := func(list ...ck.Attribute) []ck.Attribute {
		return append(list, ck.NewBool(ck.CKA_TOKEN, true))
	}
	secret := func(kt ck.KeyType, n int) ck.ObjectHandle {
		return asked(t, m, &p11.CreateObject{Session: session, Template: attrs(
			ck.NewULong(ck.CKA_CLASS, ck.CKO_SECRET_KEY), ck.NewULong(ck.CKA_KEY_TYPE, kt), ck.NewBytes(ck.CKA_VALUE, make([]byte, n)),
			ck.NewBool(ck.CKA_ENCRYPT, true), ck.NewBool(ck.CKA_DECRYPT, true), ck.NewBool(ck.CKA_SIGN, true), ck.NewBool(ck.CKA_VERIFY, true))}).Object
	}
	pair := func(mech ck.MechanismType, public ck.Attribute) p11.KeyPair {
		return asked(t, m, &p11.GenerateKeyPair{Session: session, Mechanism: &ck.Mechanism{Type: mech},
			Public:  attrs(public, ck.NewBool(ck.CKA_VERIFY, true)),
			Private: attrs(ck.NewBool(ck.CKA_SIGN, true), ck.NewBool(ck.CKA_SENSITIVE, false), ck.NewBool(ck.CKA_EXTRACTABLE, true))})
	}
	aes, mac := secret(ck.CKK_AES, 32), secret(ck.CKK_GENERIC_SECRET, 32)
	rsa := pair(ck.CKM_RSA_PKCS_KEY_PAIR_GEN, ck.NewULong(ck.CKA_MODULUS_BITS, uint64(2048)))
	ec := pair(ck.CKM_EC_KEY_PAIR_GEN, ck.NewBytes(ck.CKA_EC_PARAMS, []byte{6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7}))

	iv, aad, message := make([]byte, 16), make([]byte, 13), make([]byte, 64)
	gcm := []cGCMParams{{IV: ptr(iv), IVLen: 12, AAD: ptr(aad), AADLen: uint64(len(aad)), TagBits: 128}}
	buffer := func() []byte { return make([]byte, 256) }
	list := []busy{
		{name: "AES-GCM encrypt", begin: "C_EncryptInit", run: "C_Encrypt", mechanism: ck.CKM_AES_GCM, param: gcm, key: aes, in: message, out: buffer(), produces: true},
		{name: "AES-GCM encrypt, long", begin: "C_EncryptInit", run: "C_Encrypt", mechanism: ck.CKM_AES_GCM, param: gcm, key: aes, in: make([]byte, 4096), out: make([]byte, 4112), produces: true},
		{name: "AES-CBC encrypt", begin: "C_EncryptInit", run: "C_Encrypt", mechanism: ck.CKM_AES_CBC, param: iv, key: aes, in: message, out: buffer(), produces: true},
		{name: "AES-CBC decrypt", begin: "C_DecryptInit", run: "C_Decrypt", mechanism: ck.CKM_AES_CBC, param: iv, key: aes, in: message, out: buffer(), produces: true},
		{name: "AES-CBC-PAD encrypt", begin: "C_EncryptInit", run: "C_Encrypt", mechanism: ck.CKM_AES_CBC_PAD, param: iv, key: aes, in: message, out: buffer(), produces: true},
		{name: "AES-ECB encrypt", begin: "C_EncryptInit", run: "C_Encrypt", mechanism: ck.CKM_AES_ECB, key: aes, in: message, out: buffer(), produces: true},
		{name: "HMAC sign", begin: "C_SignInit", run: "C_Sign", mechanism: ck.CKM_SHA256_HMAC, key: mac, in: message, out: buffer(), produces: true},
		{name: "SHA-256", begin: "C_DigestInit", run: "C_Digest", mechanism: ck.CKM_SHA256, in: message, out: buffer(), produces: true},
		{name: "random", run: "C_GenerateRandom", out: buffer()},
		{name: "RSA sign", begin: "C_SignInit", run: "C_Sign", mechanism: ck.CKM_RSA_PKCS, key: rsa.Private, in: message[:51], out: buffer(), produces: true,
			arithmetic: signs(t, m, session, ck.CKM_RSA_PKCS, ck.CKK_RSA, rsa.Private, message[:51])},
		{name: "ECDSA sign", begin: "C_SignInit", run: "C_Sign", mechanism: ck.CKM_ECDSA, key: ec.Private, in: message[:32], out: buffer(), produces: true,
			arithmetic: signs(t, m, session, ck.CKM_ECDSA, ck.CKK_EC, ec.Private, message[:32])},
	}
	// What undoes or checks the first ones needs what they make.
	made := func(name string) []byte {
		for i := range list {
			if b := &list[i]; b.name == name {
				words := new([maxArgs]uintptr)
				n := new(uint64)
				*n = uint64(len(b.out))
				mech := []cMechanism{{Type: uint64(b.mechanism)}}
				if p, ok := b.param.([]cGCMParams); ok {
					mech[0].Param, mech[0].Len = ptr(p), uint64(unsafe.Sizeof(p[0]))
				}
				if p, ok := b.param.([]byte); ok {
					mech[0].Param, mech[0].Len = ptr(p), uint64(len(p))
				}
				if rv := callC(b.begin, session, mech, b.key); rv != ck.CKR_OK {
					t.Fatalf("%s: %v", name, rv)
				}
				*words = [maxArgs]uintptr{uintptr(session), word(b.in), uintptr(len(b.in)), word(b.out), uintptr(unsafe.Pointer(n))}
				if rv := enter(index(b.run), words); rv != ck.CKR_OK {
					t.Fatalf("%s: %v", name, rv)
				}
				return append([]byte(nil), b.out[:*n]...)
			}
		}
		t.Fatalf("no %s", name)
		return nil
	}
	return append(list,
		busy{name: "AES-GCM decrypt", begin: "C_DecryptInit", run: "C_Decrypt", mechanism: ck.CKM_AES_GCM, param: gcm, key: aes, in: made("AES-GCM encrypt"), out: buffer(), produces: true},
		busy{name: "AES-GCM decrypt, long", begin: "C_DecryptInit", run: "C_Decrypt", mechanism: ck.CKM_AES_GCM, param: gcm, key: aes, in: made("AES-GCM encrypt, long"), out: make([]byte, 4096), produces: true},
		busy{name: "AES-CBC-PAD decrypt", begin: "C_DecryptInit", run: "C_Decrypt", mechanism: ck.CKM_AES_CBC_PAD, param: iv, key: aes, in: made("AES-CBC-PAD encrypt"), out: buffer(), produces: true},
		busy{name: "HMAC verify", begin: "C_VerifyInit", run: "C_Verify", mechanism: ck.CKM_SHA256_HMAC, key: mac, in: message, sig: made("HMAC sign"), checks: true},
		busy{name: "RSA verify", begin: "C_VerifyInit", run: "C_Verify", mechanism: ck.CKM_RSA_PKCS, key: rsa.Public, in: message[:51], sig: made("RSA sign"), checks: true,
			arithmetic: verifies(t, m, session, ck.CKM_RSA_PKCS, ck.CKK_RSA, rsa.Public, message[:51], made("RSA sign"))},
		busy{name: "ECDSA verify", begin: "C_VerifyInit", run: "C_Verify", mechanism: ck.CKM_ECDSA, key: ec.Public, in: message[:32], sig: made("ECDSA sign"), checks: true,
			arithmetic: verifies(t, m, session, ck.CKM_ECDSA, ck.CKK_EC, ec.Public, message[:32], made("ECDSA sign"))},
	)
}

// signs is a signature by the engine alone.
func signs(t testing.TB, m p11.Module, session ck.SessionHandle, mech ck.MechanismType, kt ck.KeyType, key ck.ObjectHandle, in []byte) func() {
	k := material(t, m, session, ck.CKO_PRIVATE_KEY, kt, key)
	dst := make([]byte, 256)
	return func() {
		op, err := engine.Find(mech).Sign(k, nil)
		if err != nil {
			t.Fatal(err)
		}
		n, _ := op.FinishLen(len(in))
		if _, err := op.Finish(dst[:n], in); err != nil {
			t.Fatal(err)
		}
	}
}

// verifies is a verification by the engine alone.
func verifies(t testing.TB, m p11.Module, session ck.SessionHandle, mech ck.MechanismType, kt ck.KeyType, key ck.ObjectHandle, in, sig []byte) func() {
	k := material(t, m, session, ck.CKO_PUBLIC_KEY, kt, key)
	return func() {
		v, err := engine.Find(mech).Verify(k, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := v.Verify(in, sig); err != nil {
			t.Fatal(err)
		}
	}
}

// material is the key as the engine has it.
func material(t testing.TB, m p11.Module, session ck.SessionHandle, class ck.ObjectClass, kt ck.KeyType, key ck.ObjectHandle) *engine.Key {
	types := map[ck.KeyType][]ck.AttributeType{
		ck.CKK_RSA: {ck.CKA_MODULUS, ck.CKA_PUBLIC_EXPONENT},
		ck.CKK_EC:  {ck.CKA_EC_PARAMS, ck.CKA_EC_POINT},
	}[kt]
	if class == ck.CKO_PRIVATE_KEY {
		types = map[ck.KeyType][]ck.AttributeType{
			ck.CKK_RSA: {ck.CKA_MODULUS, ck.CKA_PUBLIC_EXPONENT, ck.CKA_PRIVATE_EXPONENT, ck.CKA_PRIME_1, ck.CKA_PRIME_2,
				ck.CKA_EXPONENT_1, ck.CKA_EXPONENT_2, ck.CKA_COEFFICIENT},
			ck.CKK_EC: {ck.CKA_EC_PARAMS, ck.CKA_VALUE},
		}[kt]
	}
	k := &engine.Key{Class: class, Type: kt}
	for _, r := range asked(t, m, &p11.GetAttributeValue{Session: session, Object: key, Types: types}).Results {
		k.Attrs = append(k.Attrs, r.Attribute)
	}
	return k
}

// openMemory initialises the library with an HSM in memory.
func openMemory(t testing.TB) p11.Module {
	h, err := hsm.Open(background, hsm.Options{Store: memory.New().Open(), RootKey: hsm.RootKeyBytes(make([]byte, 32)),
		Location: "memory", Password: hsm.PasswordCost{Passes: 1, MemoryKiB: 8, Threads: 1}})
	if err != nil {
		t.Fatal(err)
	}
	Provide(func() (p11.Module, error) { return h, nil }, engine.ParamPrototypes)
	t.Cleanup(func() { callC("C_Finalize", nil) })
	if rv := callC("C_Initialize", nil); rv != ck.CKR_OK {
		t.Fatal(rv)
	}
	return h
}

// loggedIn is a session of the Crypto Officer on a new token.
func loggedIn(t testing.TB, m p11.Module) ck.SessionHandle {
	so, user := []byte("so pin 1"), []byte("user pin 1")
	asked(t, m, &p11.InitToken{PIN: so, Label: "test"})
	s := asked(t, m, &p11.OpenSession{Flags: ck.CKF_SERIAL_SESSION | ck.CKF_RW_SESSION}).Session
	asked(t, m, &p11.Login{Session: s, User: ck.CKU_SO, PIN: so})
	asked(t, m, &p11.InitPIN{Session: s, PIN: user})
	asked(t, m, &p11.Logout{Session: s})
	asked(t, m, &p11.Login{Session: s, User: ck.CKU_USER, PIN: user})
	return s
}

// asked is a request that must succeed.
func asked[R any](t testing.TB, m p11.Module, req p11.Typed[R]) R {
	t.Helper()
	r, err := p11.Call(background, m, req)
	if err != nil {
		t.Fatalf("%v: %v", req.Kind(), err)
	}
	return r
}

// TestMemoryThatIsLent: threads that begin and end operations of one session as
// they like never see the parameter of another one's operation.
func TestMemoryThatIsLent(t *testing.T) {
	m := openMemory(t)
	session := loggedIn(t, m)
	key := asked(t, m, &p11.CreateObject{Session: session, Template: []ck.Attribute{
		ck.NewULong(ck.CKA_CLASS, ck.CKO_SECRET_KEY), ck.NewULong(ck.CKA_KEY_TYPE, ck.CKK_AES), ck.NewBytes(ck.CKA_VALUE, make([]byte, 16)),
		ck.NewBool(ck.CKA_ENCRYPT, true)}}).Object
	var threads sync.WaitGroup
	for thread := range 4 {
		threads.Go(func() {
			iv, out, n := make([]byte, 16), make([]byte, 16), new(uint64)
			iv[0] = byte(thread)
			mine := session
			if thread > 1 { // two share a session, two have one each
				mine = asked(t, m, &p11.OpenSession{Flags: ck.CKF_SERIAL_SESSION}).Session
			}
			var first []byte
			for range 500 {
				begun := callC("C_EncryptInit", mine, []cMechanism{{Type: uint64(ck.CKM_AES_CBC), Param: ptr(iv), Len: 16}}, key)
				*n = 16
				rv := callC("C_Encrypt", mine, make([]byte, 16), 16, out, n)
				switch {
				case begun != ck.CKR_OK && begun != ck.CKR_OPERATION_ACTIVE:
					t.Errorf("C_EncryptInit: %v", begun)
				case rv != ck.CKR_OK && rv != ck.CKR_OPERATION_NOT_INITIALIZED:
					t.Errorf("C_Encrypt: %v", rv)
				case thread < 2:
				case first == nil:
					first = append(first, out...)
				case !bytes.Equal(out, first):
					t.Errorf("%x, and before that %x", out, first)
				}
			}
		})
	}
	threads.Wait()
}
