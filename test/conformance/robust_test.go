package conformance

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"
	"unsafe"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/test/c11"
)

// TestRobust makes thousands of calls in a pseudo-random order with good and
// bad arguments. No address dangles, but lengths, handles, mechanisms and
// parameters are of any kind. The module must answer each and work afterwards.
// PERILUNE_SEED=n repeats a run, PERILUNE_SOAK=1 makes two hundred of them.
func TestRobust(t *testing.T) {
	if os.Getenv("PERILUNE_SOAK") != "" && os.Getenv(childVariable) == "" {
		for seed := range 200 {
			_, env := home(t)
			out, err := child(t.Name(), append(env, fmt.Sprint("PERILUNE_SEED=", seed))).CombinedOutput()
			report(t, out, err)
		}
		return
	}
	if !apart(t) {
		return
	}
	const calls = 8000
	seed := uint64(20261122)
	if s := os.Getenv("PERILUNE_SEED"); s != "" {
		n, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		seed = n
	}
	c := open(t)
	r := &robust{client: c, rng: rand.New(rand.NewPCG(seed, 1))}
	r.prepare()
	answers := map[ck.RV]int{}
	for i := range calls {
		if i%100 == 99 {
			r.Arena.Free()
			r.prepare()
		}
		f := c11.Functions[r.rng.IntN(len(c11.Functions))]
		if r.rng.IntN(2) == 0 {
			f = r.deeper()
		}
		switch f.Name {
		case "C_Initialize", "C_InitToken", "C_Logout", "C_CloseSession", "C_CloseAllSessions":
			if r.rng.IntN(20) != 0 {
				continue // too many of these leave nothing to do
			}
		}
		if f.Name == "C_Finalize" || f.Name == "C_WaitForSlotEvent" {
			continue // the one comes at the end, the other waits
		}
		args := make([]any, len(f.Params))
		for k, p := range f.Params {
			args[k] = r.argument(f, p)
		}
		rv := c.Call(f.Name, args...)
		answers[rv]++
		if rv == ck.CKR_GENERAL_ERROR || rv == ck.CKR_DEVICE_ERROR || rv == ck.CKR_FUNCTION_FAILED && f.Name != "C_GetInterface" {
			t.Errorf("seed %d, call %d: %s answers %v", seed, i, f.Name, rv)
		}
	}
	if len(answers) < 20 || answers[ck.CKR_OK] < calls/50 {
		t.Errorf("the calls were of little variety: %v", answers)
	}
	t.Logf("answers: %v", answers)

	// All is well afterwards.
	c.must("C_Finalize", nil)
	c.must("C_Initialize", nil)
	c.ok("C_InitToken of a fresh token", func() ck.RV {
		n := c.ULong(0)
		c.must("C_GetSlotList", true, nil, n)
		slots := c.Alloc(8 * int(c11.Number(n)))
		c.must("C_GetSlotList", true, slots, n)
		slot := c11.Number(unsafe.Add(slots, 8*(c11.Number(n)-1))) // the free one
		rv := c.InitToken(slot, soPIN, "sane")
		c.s = c.session(slot, ck.CKF_RW_SESSION)
		return rv
	}())
	c.ok("C_Login", c.login(c.s, ck.CKU_SO, soPIN))
	c.must("C_InitPIN", c.s, c.Exact([]byte(userPIN)), len(userPIN))
	c.must("C_Logout", c.s)
	c.ok("C_Login", c.login(c.s, ck.CKU_USER, userPIN))
	o := c.object(secret(ck.CKK_AES, sequence(16))...)
	ct, rv := c.Single(c.Arena, c.Encryption(), c.s, c11.Mech{Type: ck.CKM_AES_ECB}, o, sequence(32))
	c.ok("C_Encrypt", rv)
	pt, rv := c.Single(c.Arena, c.Decryption(), c.s, c11.Mech{Type: ck.CKM_AES_ECB}, o, ct)
	if c.ok("C_Decrypt", rv); string(pt) != string(sequence(32)) {
		t.Error("another plaintext after all")
	}
}

// robust makes arguments.
type robust struct {
	*client
	rng        *rand.Rand
	sessions   []uint64
	objects    []uint64
	mechanisms []ck.MechanismType
	room       unsafe.Pointer // where results go
}

const robustRoom = 1 << 16

// prepare makes sessions and objects anew, as far as the state allows.
func (r *robust) prepare() {
	r.room = r.Alloc(robustRoom)
	h := r.ULong(0)
	for _, flags := range []ck.Flags{ck.CKF_RW_SESSION, 0} {
		if r.Call("C_OpenSession", 0, uint64(flags|ck.CKF_SERIAL_SESSION), nil, nil, h) == ck.CKR_OK {
			r.sessions = append(r.sessions, c11.Number(h))
		}
	}
	if len(r.sessions) > 6 {
		for _, s := range r.sessions[:len(r.sessions)-6] {
			r.Call("C_CloseSession", s)
		}
		r.sessions = r.sessions[len(r.sessions)-6:]
	}
	if len(r.sessions) > 0 {
		r.s = r.sessions[0]
		r.Call("C_Login", r.s, uint64(ck.CKU_USER), r.Exact([]byte(userPIN)), len(userPIN))
	}
	for _, list := range [][]ck.Attribute{
		secret(ck.CKK_AES, sequence(32)), secret(ck.CKK_GENERIC_SECRET, sequence(20)), with(rsaPrivate(), yes(ck.CKA_SIGN, ck.CKA_DECRYPT)...),
		{class(ck.CKO_PUBLIC_KEY), keyType(ck.CKK_RSA), bytesOf(ck.CKA_MODULUS, rsaKey().N.Bytes()), bytesOf(ck.CKA_PUBLIC_EXPONENT, []byte{1, 0, 1})},
	} {
		if o, rv := r.tryObject(list...); rv == ck.CKR_OK {
			r.objects = append(r.objects, o)
		}
	}
	n := r.ULong(0)
	if r.mechanisms == nil && r.Call("C_GetMechanismList", 0, nil, n) == ck.CKR_OK {
		list := r.Alloc(8 * int(c11.Number(n)))
		r.Call("C_GetMechanismList", 0, list, n)
		for i := range c11.Number(n) {
			m := ck.MechanismType(c11.Number(unsafe.Add(list, 8*i)))
			if m != ck.CKM_RSA_PKCS_KEY_PAIR_GEN && m != ck.CKM_PKCS5_PBKD2 { // slow
				r.mechanisms = append(r.mechanisms, m)
			}
		}
	}
}

func (r *robust) oneOf(list ...uint64) uint64 { return list[r.rng.IntN(len(list))] }

// length is one that a buffer of robustRoom bytes can bear.
func (r *robust) length() uint64 {
	return r.oneOf(0, 1, 7, 8, 15, 16, 16, 17, 24, 32, 32, 33, 40, 64, 100, 255, 256, 257, 1000, robustRoom)
}

func (r *robust) argument(f c11.Function, p c11.Param) any {
	bad := r.rng.IntN(12) == 0
	switch p.Type {
	case "CK_SESSION_HANDLE":
		if bad || len(r.sessions) == 0 {
			return r.oneOf(0, 1, 99999, ^uint64(0))
		}
		return r.sessions[r.rng.IntN(len(r.sessions))]
	case "CK_OBJECT_HANDLE":
		if bad || len(r.objects) == 0 {
			return r.oneOf(0, 1, 5, 99999, 1<<30, ^uint64(0))
		}
		return r.objects[r.rng.IntN(len(r.objects))]
	case "CK_MECHANISM_PTR":
		if bad {
			return nil
		}
		if strings.HasSuffix(f.Name, "Authenticated") {
			return r.messageMechanism()
		}
		return r.mechanism()
	case "CK_ATTRIBUTE_PTR":
		if bad {
			return nil
		}
		return r.attributes()
	case "CK_ULONG":
		switch p.Name {
		case "ulCount", "ulAttributeCount", "ulPublicKeyAttributeCount", "ulPrivateKeyAttributeCount":
			return r.oneOf(0, 1, 2, 4, 6)
		case "ulMaxObjectCount":
			return r.oneOf(0, 1, 10, 1000)
		}
		return r.length()
	case "CK_ULONG_PTR":
		if bad {
			return nil
		}
		return r.ULong(r.length())
	case "CK_SLOT_ID":
		return r.oneOf(0, 0, 0, 1, 2, 77, 0xFFFFFF00)
	case "CK_FLAGS":
		return r.oneOf(0, 1, 2, 4, 6, 1<<uint(r.rng.IntN(32)))
	case "CK_USER_TYPE":
		return r.oneOf(uint64(ck.CKU_USER), uint64(ck.CKU_CONTEXT_SPECIFIC), 77)
	case "CK_MECHANISM_TYPE":
		return uint64(r.mechanisms[r.rng.IntN(len(r.mechanisms))])
	case "CK_BBOOL":
		return r.rng.IntN(2)
	case "CK_NOTIFY":
		return nil
	}
	if !p.Pointer() {
		return r.oneOf(0, 1, 5)
	}
	if bad || p.Name == "pReserved" || p.Name == "pInitArgs" {
		return nil
	}
	switch p.Name {
	case "pParameter": // of a message: null addresses only
		return r.Alloc(robustRoom)
	case "pPin", "pOldPin", "pNewPin":
		return r.pin()
	case "pInterfaceName", "pFunctionName":
		return r.Exact([]byte("PKCS 11\x00"))
	}
	return r.room
}

// pin has robustRoom bytes; a PIN that is right would only be by its length.
func (r *robust) pin() unsafe.Pointer {
	p := r.Alloc(robustRoom)
	c11.Poke(p, []byte(userPIN))
	return p
}

// deeper begins an operation as it should be and returns a function that goes
// on with one.
func (r *robust) deeper() c11.Function {
	iv := r.Ptr(sequence(16))
	aes, mac, rsa := func() uint64 { return r.latest(3) }, func() uint64 { return r.latest(2) }, func() uint64 { return r.latest(1) }
	type beginning struct {
		verb  string
		m     ck.MechanismType
		param []byte
		key   func() uint64
	}
	var list []beginning
	for _, verb := range []string{"Encrypt", "Decrypt"} {
		list = append(list, beginning{verb, ck.CKM_AES_ECB, nil, aes}, beginning{verb, ck.CKM_AES_CBC, sequence(16), aes}, beginning{verb, ck.CKM_AES_CBC_PAD, sequence(16), aes},
			beginning{verb, ck.CKM_AES_CTR, append(c11.Words(128), sequence(16)...), aes}, beginning{verb, ck.CKM_AES_GCM, c11.Words(iv, 12, 96, iv, 5, 128), aes},
			beginning{verb, ck.CKM_AES_CCM, c11.Words(r.length(), iv, 12, iv, 5, 16), aes}, beginning{verb, ck.CKM_AES_KEY_WRAP, nil, aes},
			beginning{"Message" + verb, ck.CKM_AES_GCM, nil, aes}, beginning{"Message" + verb, ck.CKM_AES_CCM, nil, aes})
	}
	for _, verb := range []string{"Sign", "Verify"} {
		list = append(list, beginning{verb, ck.CKM_AES_CMAC, nil, aes}, beginning{verb, ck.CKM_SHA256_HMAC, nil, mac}, beginning{verb, ck.CKM_SHA256_HMAC_GENERAL, c11.Words(7), mac})
	}
	list = append(list, beginning{"Sign", ck.CKM_SHA256_RSA_PKCS, nil, rsa}, beginning{"Decrypt", ck.CKM_RSA_PKCS, nil, rsa}, beginning{"Digest", ck.CKM_SHA256, nil, mac},
		beginning{"FindObjects", 0, nil, mac})
	b := list[r.rng.IntN(len(list))]
	if len(r.sessions) > 0 {
		s := r.sessions[r.rng.IntN(len(r.sessions))]
		if b.verb == "FindObjects" {
			r.Call("C_FindObjectsInit", s, nil, 0)
		} else {
			r.Call("C_"+b.verb+"Init", s, r.Mechanism(b.m, b.param), b.key())
		}
	}
	verb := strings.TrimPrefix(b.verb, "Message")
	var on []c11.Function
	for _, f := range c11.Functions {
		if strings.Contains(f.Name, verb) && !strings.HasSuffix(f.Name, "Init") && !missing[f.Name] || f.Name == "C_GetOperationState" {
			on = append(on, f)
		}
	}
	return on[r.rng.IntN(len(on))]
}

// latest is the object made last but so many.
func (r *robust) latest(n int) uint64 {
	if n++; len(r.objects) < n {
		return 0
	}
	return r.objects[len(r.objects)-n]
}

// mechanism has a parameter that it may or may not bear. Where the parameter
// has addresses in it, it is of the right form or of another length, lest a
// number be taken for an address.
func (r *robust) mechanism() unsafe.Pointer {
	m := r.mechanisms[r.rng.IntN(len(r.mechanisms))]
	if r.rng.IntN(20) == 0 {
		m = ck.MechanismType(1<<40 + r.rng.Uint64N(1<<20))
	}
	iv, n := r.Ptr(sequence(16)), r.oneOf(0, 1, 8, 12, 16)
	var p []byte
	switch m {
	case ck.CKM_RSA_PKCS_OAEP:
		p = c11.Words(uint64(ck.CKM_SHA256), uint64(ck.CKG_MGF1_SHA256), r.oneOf(0, 1), iv, n)
	case ck.CKM_RSA_AES_KEY_WRAP:
		oaep := r.Ptr(c11.Words(uint64(ck.CKM_SHA256), uint64(ck.CKG_MGF1_SHA256), 1, 0, 0))
		p = c11.Words(r.oneOf(128, 256, 3), r.oneOf(0, oaep))
	case ck.CKM_ECDH1_DERIVE, ck.CKM_ECDH1_COFACTOR_DERIVE:
		p = c11.Words(uint64(ck.CKD_NULL), 0, 0, n, iv)
	case ck.CKM_EDDSA:
		p = c11.Words(r.oneOf(0, 1), n, iv)
	case ck.CKM_CONCATENATE_BASE_AND_DATA, ck.CKM_CONCATENATE_DATA_AND_BASE, ck.CKM_XOR_BASE_AND_DATA:
		p = c11.Words(iv, n)
	case ck.CKM_HKDF_DERIVE, ck.CKM_HKDF_DATA:
		p = c11.Words(r.oneOf(0, 1, 257), uint64(ck.CKM_SHA256), r.oneOf(0, 1, 2, 4), iv, n, r.oneOf(0, 5), iv, n)
	case ck.CKM_CONCATENATE_BASE_AND_KEY:
		p = c11.Words(r.oneOf(append(r.objects, 0, 99999)...))
	case ck.CKM_TLS_PRF:
		p = c11.Words(iv, n, iv, n, r.Ptr(sequence(64)), r.Ptr(c11.Words(r.oneOf(0, 1, 64))))
	case ck.CKM_ML_DSA, ck.CKM_SLH_DSA:
		p = c11.Words(r.oneOf(0, 1, 2, 3), iv, n)
	case ck.CKM_CHACHA20_POLY1305, ck.CKM_XCHACHA20_POLY1305:
		p = c11.Words(iv, n, iv, n)
	default:
		p = r.parameter(m.String(), iv, n)
	}
	if r.rng.IntN(8) == 0 {
		p = p[:min(len(p), r.rng.IntN(8))]
	}
	return r.Mechanism(m, p)
}

// messageMechanism has a parameter for messages, which authenticated wrapping
// takes.
func (r *robust) messageMechanism() unsafe.Pointer {
	iv, tag, n := r.Ptr(sequence(16)), r.Ptr(sequence(16)), r.oneOf(0, 1, 8, 12, 16)
	fixed, generator := r.oneOf(0, 32, 96, 97), r.oneOf(0, 1, 2, 3, 4, 99)
	if r.rng.IntN(2) == 0 {
		return r.Mechanism(ck.CKM_AES_CCM, c11.Words(r.oneOf(0, 16, 100), iv, n, fixed, generator, tag, r.oneOf(4, 16, 17)))
	}
	return r.Mechanism(ck.CKM_AES_GCM, c11.Words(iv, n, fixed, generator, tag, r.oneOf(0, 96, 128)))
}

// parameter is one for the mechanism of that name: without addresses, or with
// good ones, or with null ones.
func (r *robust) parameter(name string, iv, n uint64) []byte {
	has := func(parts ...string) bool {
		for _, p := range parts {
			if strings.Contains(name, p) {
				return true
			}
		}
		return false
	}
	switch {
	case has("ECB_ENCRYPT_DATA"):
		return c11.Words(iv, n)
	case has("CBC_ENCRYPT_DATA"):
		return append(sequence(int(r.oneOf(8, 16))), c11.Words(iv, n)...)
	case has("_GCM", "_GMAC"):
		return c11.Words(iv, n, 8*n, iv, n, r.oneOf(0, 96, 128))
	case has("_CCM"):
		return c11.Words(r.oneOf(0, 16, 100), iv, n, iv, n, r.oneOf(4, 16, 17))
	case has("_CTR"):
		return append(c11.Words(r.oneOf(1, 8, 128, 129)), sequence(16)...)
	case has("_CBC", "_OFB", "_CFB", "_CTS", "_XTS") && !has("PBE_"):
		return sequence(int(r.oneOf(1, 8, 16)))
	case has("_GENERAL"):
		return c11.Words(r.oneOf(0, 1, 8, 16, 32, 1000))
	case has("_PSS"):
		return c11.Words(uint64(ck.CKM_SHA256), uint64(ck.CKG_MGF1_SHA256), r.oneOf(0, 1, 32, 1000))
	}
	if r.rng.IntN(2) == 0 {
		return nil
	}
	return make([]byte, 8*(1+r.rng.IntN(12)))
}

// attributes are six, of which a call may take fewer.
func (r *robust) attributes() unsafe.Pointer {
	pool := []ck.Attribute{
		class(ck.CKO_SECRET_KEY), class(ck.CKO_DATA), class(ck.CKO_PUBLIC_KEY), keyType(ck.CKK_AES), keyType(ck.CKK_GENERIC_SECRET), keyType(ck.CKK_EC),
		ulong(ck.CKA_VALUE_LEN, r.length()), bytesOf(ck.CKA_VALUE, sequence(int(r.oneOf(1, 16, 17, 32)))), text(ck.CKA_LABEL, "robust"),
		boolean(ck.CKA_TOKEN, r.rng.IntN(4) == 0), boolean(ck.CKA_PRIVATE, true), boolean(ck.CKA_SENSITIVE, false), boolean(ck.CKA_EXTRACTABLE, true),
		boolean(ck.CKA_ENCRYPT, true), bytesOf(ck.CKA_EC_PARAMS, p256), bytesOf(ck.CKA_EC_POINT, sequence(65)), bytesOf(ck.CKA_MODULUS, sequence(64)),
		bytesOf(ck.CKA_ALLOWED_MECHANISMS, sequence(8)), bytesOf(ck.CKA_ID, nil), bytesOf(0x7fffffff, sequence(3)), bytesOf(ck.CKA_UNIQUE_ID, sequence(3)),
		template(ck.CKA_WRAP_TEMPLATE, class(ck.CKO_SECRET_KEY), text(ck.CKA_LABEL, "inner")), bytesOf(ck.CKA_START_DATE, sequence(8)), bytesOf(ck.CKA_TOKEN, sequence(2)),
	}
	list := make([]ck.Attribute, 6)
	for i := range list {
		list[i] = pool[r.rng.IntN(len(pool))]
	}
	return r.Template(list...)
}
