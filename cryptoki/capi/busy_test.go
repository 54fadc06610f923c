package capi

import (
	"bytes"
	"reflect"
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
	a.mech = b.cMechanism()
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

// cMechanism is the CK_MECHANISM, with the parameter's memory as it is.
func (b *busy) cMechanism() cMechanism {
	m := cMechanism{Type: uint64(b.mechanism)}
	if p := reflect.ValueOf(b.param); p.IsValid() {
		m.Param, m.Len = p.UnsafePointer(), uint64(p.Len())*uint64(p.Type().Elem().Size())
	}
	return m
}

// CK_RSA_PKCS_PSS_PARAMS, CK_RSA_PKCS_OAEP_PARAMS, CK_AES_CTR_PARAMS, CK_CCM_PARAMS and
// CK_SALSA20_CHACHA20_POLY1305_PARAMS.
type (
	cPSSParams  struct{ Hash, MGF, SaltLen uint64 }
	cOAEPParams struct {
		Hash, MGF, Source uint64
		Data              unsafe.Pointer
		DataLen           uint64
	}
	cCTRParams struct {
		Bits uint64
		CB   [16]byte
	}
	cCCMParams struct {
		DataLen  uint64
		Nonce    unsafe.Pointer
		NonceLen uint64
		AAD      unsafe.Pointer
		AADLen   uint64
		MACLen   uint64
	}
	cChaChaPolyParams struct {
		Nonce     unsafe.Pointer
		NonceBits uint64
		AAD       unsafe.Pointer
		AADLen    uint64
	}
)

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

// twoWay is an operation and the one that undoes or checks it.
type twoWay struct {
	name      string
	mechanism ck.MechanismType
	param     any
	in        []byte
}

func busyOperations(t testing.TB, m p11.Module, session ck.SessionHandle) []busy {
	yes := func(types ...ck.AttributeType) (list []ck.Attribute) {
		for _, at := range types {
			list = append(list, ck.NewBool(at, true))
		}
		return list
	}
	secret := func(kt ck.KeyType, n int) ck.ObjectHandle {
		return asked(t, m, &p11.CreateObject{Session: session, Template: append(
			yes(ck.CKA_TOKEN, ck.CKA_ENCRYPT, ck.CKA_DECRYPT, ck.CKA_SIGN, ck.CKA_VERIFY),
			ck.NewULong(ck.CKA_CLASS, ck.CKO_SECRET_KEY), ck.NewULong(ck.CKA_KEY_TYPE, kt), ck.NewBytes(ck.CKA_VALUE, make([]byte, n)))}).Object
	}
	pair := func(mech ck.MechanismType, public ck.Attribute, private ...ck.AttributeType) p11.KeyPair {
		return asked(t, m, &p11.GenerateKeyPair{Session: session, Mechanism: &ck.Mechanism{Type: mech},
			Public:  append(yes(ck.CKA_TOKEN, ck.CKA_VERIFY, ck.CKA_ENCRYPT)[:2+len(private)], public),
			Private: append(yes(append(private, ck.CKA_TOKEN, ck.CKA_SIGN, ck.CKA_EXTRACTABLE)...), ck.NewBool(ck.CKA_SENSITIVE, false))})
	}
	oid := func(b ...byte) ck.Attribute {
		return ck.NewBytes(ck.CKA_EC_PARAMS, append([]byte{6, byte(len(b))}, b...))
	}
	aes, mac, chacha := secret(ck.CKK_AES, 32), secret(ck.CKK_GENERIC_SECRET, 32), secret(ck.CKK_CHACHA20, 32)
	rsa := pair(ck.CKM_RSA_PKCS_KEY_PAIR_GEN, ck.NewULong(ck.CKA_MODULUS_BITS, uint64(2048)), ck.CKA_DECRYPT)
	ec := pair(ck.CKM_EC_KEY_PAIR_GEN, oid(0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7))
	edwards := pair(ck.CKM_EC_EDWARDS_KEY_PAIR_GEN, oid(0x2b, 101, 112))

	iv, aad, message := make([]byte, 16), make([]byte, 13), make([]byte, 64)
	gcm := func(ivLen, tagBits uint64) []cGCMParams {
		return []cGCMParams{{IV: ptr(iv), IVLen: ivLen, AAD: ptr(aad), AADLen: uint64(len(aad)), TagBits: tagBits}}
	}
	ctr := []cCTRParams{{Bits: 128}}
	ccm := []cCCMParams{{DataLen: uint64(len(message)), Nonce: ptr(iv), NonceLen: 12, AAD: ptr(aad), AADLen: uint64(len(aad)), MACLen: 16}}
	poly := []cChaChaPolyParams{{Nonce: ptr(iv), NonceBits: 96, AAD: ptr(aad), AADLen: uint64(len(aad))}}
	oaep := []cOAEPParams{{Hash: uint64(ck.CKM_SHA256), MGF: uint64(ck.CKG_MGF1_SHA256), Source: uint64(ck.CKZ_DATA_SPECIFIED)}}
	pss := []cPSSParams{{Hash: uint64(ck.CKM_SHA256), MGF: uint64(ck.CKG_MGF1_SHA256), SaltLen: 32}}

	var list []busy
	add := func(b busy) []byte {
		list = append(list, b)
		return b.made(t, session)
	}
	buffer := func(in []byte) []byte { return make([]byte, len(in)+512) }
	crypt := func(public, private ck.ObjectHandle, rows ...twoWay) {
		for _, r := range rows {
			b := busy{name: r.name + " encrypt", begin: "C_EncryptInit", run: "C_Encrypt", mechanism: r.mechanism, param: r.param,
				key: public, in: r.in, out: buffer(r.in), produces: true}
			ciphertext := add(b)
			b.name, b.begin, b.run, b.key, b.in = r.name+" decrypt", "C_DecryptInit", "C_Decrypt", private, ciphertext
			add(b)
		}
	}
	sign := func(public, private ck.ObjectHandle, rows ...twoWay) {
		for _, r := range rows {
			b := busy{name: r.name + " sign", begin: "C_SignInit", run: "C_Sign", mechanism: r.mechanism, param: r.param,
				key: private, in: r.in, out: buffer(r.in), produces: true}
			signature := add(b)
			add(busy{name: r.name + " verify", begin: "C_VerifyInit", run: "C_Verify", mechanism: r.mechanism, param: r.param,
				key: public, in: r.in, sig: signature, checks: true})
		}
	}
	// allow lets the operations from number i on allocate as much as that of the engine.
	allow := func(i int, private, public func()) {
		for ; i < len(list); i++ {
			if b := &list[i]; b.run == "C_Sign" || b.run == "C_Decrypt" {
				b.arithmetic = private
			} else {
				b.arithmetic = public
			}
		}
	}

	crypt(aes, aes,
		twoWay{"AES-GCM", ck.CKM_AES_GCM, gcm(12, 128), message},
		twoWay{"AES-GCM, long,", ck.CKM_AES_GCM, gcm(12, 128), make([]byte, 4096)},
		twoWay{"AES-CBC", ck.CKM_AES_CBC, iv, message},
		twoWay{"AES-CBC-PAD", ck.CKM_AES_CBC_PAD, iv, message},
		twoWay{"AES-ECB", ck.CKM_AES_ECB, nil, message},
		twoWay{"AES-CTR", ck.CKM_AES_CTR, ctr, message},
		twoWay{"AES-CCM", ck.CKM_AES_CCM, ccm, message},
	)
	// The standard library makes a GCM of these lengths where package vaes does not serve.
	for _, x := range []struct {
		name           string
		ivLen, tagBits uint64
	}{{"AES-GCM, tag of 96 bits,", 12, 96}, {"AES-GCM, IV of 16 bytes,", 16, 128}} {
		first := len(list)
		crypt(aes, aes, twoWay{x.name, ck.CKM_AES_GCM, gcm(x.ivLen, x.tagBits), message})
		seal := seals(t, &engine.GCMParams{IV: iv[:x.ivLen], AAD: aad, TagBits: x.tagBits}, message)
		allow(first, seal, seal)
	}
	crypt(chacha, chacha, twoWay{"ChaCha20-Poly1305", ck.CKM_CHACHA20_POLY1305, poly, message})
	sign(mac, mac, twoWay{"HMAC", ck.CKM_SHA256_HMAC, nil, message})
	sign(aes, aes,
		twoWay{"AES-CMAC", ck.CKM_AES_CMAC, nil, message},
		twoWay{"AES-MAC", ck.CKM_AES_MAC, nil, message},
	)
	add(busy{name: "SHA-256", begin: "C_DigestInit", run: "C_Digest", mechanism: ck.CKM_SHA256, in: message, out: make([]byte, 32), produces: true})
	list = append(list, busy{name: "random", run: "C_GenerateRandom", out: make([]byte, 256)})

	first := len(list)
	sign(rsa.Public, rsa.Private,
		twoWay{"RSA", ck.CKM_RSA_PKCS, nil, message[:51]},
		twoWay{"RSA with SHA-256", ck.CKM_SHA256_RSA_PKCS, nil, message},
		twoWay{"RSA with SHA-512", ck.CKM_SHA512_RSA_PKCS, nil, message},
		twoWay{"RSA-PSS", ck.CKM_RSA_PKCS_PSS, pss, message[:32]},
		twoWay{"RSA-PSS with SHA-256", ck.CKM_SHA256_RSA_PKCS_PSS, pss, message},
		twoWay{"raw RSA", ck.CKM_RSA_X_509, nil, message},
	)
	crypt(rsa.Public, rsa.Private,
		twoWay{"RSA", ck.CKM_RSA_PKCS, nil, message[:32]},
		twoWay{"RSA-OAEP", ck.CKM_RSA_PKCS_OAEP, oaep, message[:32]},
		twoWay{"raw RSA", ck.CKM_RSA_X_509, nil, message},
	)
	allow(first, signs(t, m, session, ck.CKM_RSA_PKCS, ck.CKK_RSA, rsa.Private, message[:51]),
		verifies(t, m, session, ck.CKM_RSA_PKCS, ck.CKK_RSA, rsa.Public, message[:51], list[first+1].sig))

	first = len(list)
	sign(ec.Public, ec.Private,
		twoWay{"ECDSA", ck.CKM_ECDSA, nil, message[:32]},
		twoWay{"ECDSA with SHA-256", ck.CKM_ECDSA_SHA256, nil, message},
		twoWay{"ECDSA with SHA-384", ck.CKM_ECDSA_SHA384, nil, message},
	)
	allow(first, signs(t, m, session, ck.CKM_ECDSA, ck.CKK_EC, ec.Private, message[:32]),
		verifies(t, m, session, ck.CKM_ECDSA, ck.CKK_EC, ec.Public, message[:32], list[first+1].sig))
	sign(edwards.Public, edwards.Private, twoWay{"EdDSA", ck.CKM_EDDSA, nil, message})
	return list
}

// made is what an operation makes, or nil.
func (b *busy) made(t testing.TB, session ck.SessionHandle) []byte {
	if rv := callC(b.begin, session, []cMechanism{b.cMechanism()}, b.key); rv != ck.CKR_OK {
		t.Fatalf("%s: %v", b.name, rv)
	}
	n := new(uint64)
	*n = uint64(len(b.out))
	words := new([maxArgs]uintptr)
	*words = [maxArgs]uintptr{uintptr(session), word(b.in), uintptr(len(b.in)), word(b.out), uintptr(unsafe.Pointer(n))}
	if b.checks {
		words[3], words[4] = word(b.sig), uintptr(len(b.sig))
	}
	if rv := enter(index(b.run), words); rv != ck.CKR_OK {
		t.Fatalf("%s: %v", b.name, rv)
	}
	return append([]byte(nil), b.out[:*n]...)
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

// seals is an encryption with AES-GCM by the engine alone.
func seals(t testing.TB, p *engine.GCMParams, in []byte) func() {
	k := &engine.Key{Class: ck.CKO_SECRET_KEY, Type: ck.CKK_AES, Attrs: []ck.Attribute{ck.NewBytes(ck.CKA_VALUE, make([]byte, 32))}}
	dst := make([]byte, len(in)+16)
	return func() {
		op, err := engine.Find(ck.CKM_AES_GCM).Encrypt(k, p)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := op.Finish(dst[:len(in)+int(p.TagBits/8)], in); err != nil {
			t.Fatal(err)
		}
		engine.Release(op)
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
