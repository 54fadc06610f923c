package policies

import (
	"bytes"
	"crypto/ecdh"
	"crypto/rand"
	"encoding/binary"
	"math/big"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/pkcs11"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/test/c11"
)

// shared gives the partition of h, and another one, a cloning domain, and
// returns an officer's session on each.
func (h *hsm) shared() (source, target pkcs11.SessionHandle) {
	h.t.Helper()
	domain := func() {
		s := h.as(pkcs11.CKU_SO, "SO")
		var a c11.Arena
		defer a.Free()
		if rv := h.vendor("CA_SetKCV", uint64(s), a.Bytes([]byte("lab domain")), 10); rv != ck.CKR_OK {
			h.t.Fatalf("CA_SetKCV: %v", rv)
		}
		h.close()
	}
	domain()
	first := h.slot
	h.partition("")
	domain()
	target = h.officer()
	h.slot = first
	return h.officer(), target
}

// clone clones an object from one session's partition to that of another.
func (h *hsm) clone(source, target pkcs11.SessionHandle, o pkcs11.ObjectHandle) ck.RV {
	h.t.Helper()
	var a c11.Arena
	defer a.Free()
	return h.vendor("CA_CloneObject", uint64(target), uint64(source), 0, uint64(o), a.ULong(0))
}

func (h *hsm) wantsRV(rv ck.RV, what string, got ck.RV) {
	h.t.Helper()
	if got != rv {
		h.t.Errorf("%s: %v, want %v", what, got, rv)
	}
}

func TestPolicy00PrivateKeyCloning(t *testing.T) {
	h := newHSM(t, "")
	source, target := h.shared()
	_, private := h.rsa(source)
	_, second := h.rsa(source)
	h.wantsRV(ck.CKR_OK, "with policy 0", h.clone(source, target, private))
	h.set("0", "off")
	h.wantsRV(ck.CKR_OPERATION_NOT_ALLOWED, "without", h.clone(source, target, second))
	h.wantsRV(ck.CKR_OK, "a secret key", h.clone(source, target, h.aes(source)))
}

func TestPolicy04SecretKeyCloning(t *testing.T) {
	h := newHSM(t, "")
	source, target := h.shared()
	h.wantsRV(ck.CKR_OK, "with policy 4", h.clone(source, target, h.aes(source)))
	h.set("4", "off")
	h.wantsRV(ck.CKR_OPERATION_NOT_ALLOWED, "without", h.clone(source, target, h.aes(source)))
	_, private := h.rsa(source)
	h.wantsRV(ck.CKR_OK, "a private key", h.clone(source, target, private))
}

func TestPolicyHSM07Cloning(t *testing.T) {
	h := newHSM(t, "")
	source, target := h.shared()
	h.wantsRV(ck.CKR_OK, "with HSM policy 7", h.clone(source, target, h.aes(source)))
	h.setHSM("7", "off")
	h.wantsRV(ck.CKR_OPERATION_NOT_ALLOWED, "without", h.clone(source, target, h.aes(source)))
	if out, err := h.try("partition policy set --id 4 --value on --so-pin env:SO --slot " + number(h.slot)); err == nil || !strings.Contains(out, "CKR_CONFIG_FAILS_DEPENDENCIES") {
		t.Errorf("partition policy 4 is switched on: %s", out)
	}
}

// Part 1 of a clone that another HSM asks for is a version, its serial number
// and a key.
func TestPolicyHSM16NetworkReplication(t *testing.T) {
	h := newHSM(t, "")
	source, _ := h.shared()
	key, err := ecdh.P256().GenerateKey(rand.Reader)
	h.good(err)
	part1 := append(binary.LittleEndian.AppendUint64([]byte{1}, 1), key.PublicKey().Bytes()...)
	o := h.aes(source)
	send := func() ck.RV {
		var a c11.Arena
		defer a.Free()
		n := a.ULong(65536)
		return h.vendor("CA_CloneAsSource", uint64(source), 0, uint64(o), a.Bytes(part1), len(part1), 0, a.Alloc(65536), n)
	}
	h.wantsRV(ck.CKR_OK, "to another HSM", send())
	h.setHSM("16", "off")
	h.wantsRV(ck.CKR_OPERATION_NOT_ALLOWED, "without HSM policy 16", send())
}

var (
	keyWrap = []*pkcs11.Mechanism{pkcs11.NewMechanism(pkcs11.CKM_AES_KEY_WRAP_PAD, nil)}
	zeroIV  = make([]byte, 16)
)

func TestPolicy01PrivateKeyWrapping(t *testing.T) {
	h := newHSM(t, "")
	s := h.officer()
	key := h.aes(s)
	_, private := h.rsa(s)
	_, err := h.p.WrapKey(s, keyWrap, key, private)
	h.wants(ck.CKR_OK, "with policy 1", err)
	h.set("1", "off")
	_, err = h.p.WrapKey(s, keyWrap, key, private)
	h.wants(ck.CKR_KEY_NOT_WRAPPABLE, "without", err)
	_, err = h.p.WrapKey(s, keyWrap, key, h.aes(s))
	h.wants(ck.CKR_OK, "a secret key", err)
}

func TestPolicy05SecretKeyWrapping(t *testing.T) {
	h := newHSM(t, "")
	s := h.officer()
	key := h.aes(s)
	_, private := h.rsa(s)
	_, err := h.p.WrapKey(s, keyWrap, key, key)
	h.wants(ck.CKR_OK, "with policy 5", err)
	h.set("5", "off")
	_, err = h.p.WrapKey(s, keyWrap, key, key)
	h.wants(ck.CKR_KEY_NOT_WRAPPABLE, "without", err)
	_, err = h.p.WrapKey(s, keyWrap, key, private)
	h.wants(ck.CKR_OK, "a private key", err)
	unextractable := h.aes(s)
	h.good(h.p.SetAttributeValue(s, unextractable, attr(pkcs11.CKA_EXTRACTABLE, false)))
	_, err = h.p.WrapKey(s, keyWrap, key, unextractable)
	h.wants(ck.CKR_KEY_UNEXTRACTABLE, "an unextractable key", err)
}

// unwraps wraps a private and a secret key, and returns how to unwrap each.
func (h *hsm) unwraps(s pkcs11.SessionHandle) (private, secret func() error) {
	h.t.Helper()
	key := h.aes(s)
	_, own := h.rsa(s)
	unwrap := func(o pkcs11.ObjectHandle, pairs ...any) func() error {
		wrapped, err := h.p.WrapKey(s, keyWrap, key, o)
		h.good(err)
		return func() error {
			_, err := h.p.UnwrapKey(s, keyWrap, key, wrapped, attr(pairs...))
			return err
		}
	}
	return unwrap(own, pkcs11.CKA_CLASS, uint(pkcs11.CKO_PRIVATE_KEY), pkcs11.CKA_KEY_TYPE, uint(pkcs11.CKK_RSA)),
		unwrap(key, pkcs11.CKA_CLASS, uint(pkcs11.CKO_SECRET_KEY), pkcs11.CKA_KEY_TYPE, uint(pkcs11.CKK_AES))
}

func TestPolicy02PrivateKeyUnwrapping(t *testing.T) {
	h := newHSM(t, "")
	private, secret := h.unwraps(h.officer())
	h.wants(ck.CKR_OK, "with policy 2", private())
	h.set("2", "off")
	h.wants(ck.CKR_KEY_NOT_WRAPPABLE, "without", private())
	h.wants(ck.CKR_OK, "a secret key", secret())
	h.set("2", "on") // which destroys nothing
	h.wants(ck.CKR_OK, "with it again", private())
}

func TestPolicy06SecretKeyUnwrapping(t *testing.T) {
	h := newHSM(t, "")
	private, secret := h.unwraps(h.officer())
	h.wants(ck.CKR_OK, "with policy 6", secret())
	h.set("6", "off")
	h.wants(ck.CKR_KEY_NOT_WRAPPABLE, "without", secret())
	h.wants(ck.CKR_OK, "a private key", private())
}

func TestPolicy09DigestKey(t *testing.T) {
	h := newHSM(t, "")
	s := h.officer()
	key := h.aes(s)
	digest := func() error {
		h.good(h.p.DigestInit(s, mech(pkcs11.CKM_SHA256)))
		if err := h.p.DigestKey(s, key); err != nil {
			h.p.Digest(s, nil) // ends it
			return err
		}
		_, err := h.p.DigestFinal(s)
		return err
	}
	h.wants(ck.CKR_OK, "with policy 9", digest())
	h.set("9", "off")
	h.wants(ck.CKR_KEY_INDIGESTIBLE, "without", digest())
}

// A key with two purposes is not made in any way, nor does one become it.
func TestPolicy10MultipurposeKeys(t *testing.T) {
	h := newHSM(t, "")
	s := h.officer()
	both := only(pkcs11.CKA_ENCRYPT, pkcs11.CKA_WRAP)
	old, err := h.generate(s, both...)
	h.wants(ck.CKR_OK, "with policy 10", err)
	base := h.aes(s)
	wrapped, err := h.p.WrapKey(s, keyWrap, base, old)
	h.good(err)
	h.set("10", "off")

	secret := attr(pkcs11.CKA_CLASS, uint(pkcs11.CKO_SECRET_KEY), pkcs11.CKA_KEY_TYPE, uint(pkcs11.CKK_AES))
	create := append(secret, attr(pkcs11.CKA_VALUE, make([]byte, 16))...)
	derive := append(secret, attr(pkcs11.CKA_VALUE_LEN, 16)...)
	data := []*pkcs11.Mechanism{pkcs11.NewMechanism(pkcs11.CKM_SHA256_KEY_DERIVATION, nil)}
	for what, with := range map[string]func(pairs []any) error{
		"generation": func(pairs []any) error { _, err := h.generate(s, pairs...); return err },
		"creation":   func(pairs []any) error { _, err := h.p.CreateObject(s, append(create, attr(pairs...)...)); return err },
		"unwrapping": func(pairs []any) error {
			_, err := h.p.UnwrapKey(s, keyWrap, base, wrapped, append(secret, attr(pairs...)...))
			return err
		},
		"derivation": func(pairs []any) error {
			_, err := h.p.DeriveKey(s, data, base, append(derive, attr(pairs...)...))
			return err
		},
		"a key pair": func(pairs []any) error {
			encrypts, wraps := pairs[1].(bool), pairs[9].(bool)
			_, _, err := h.p.GenerateKeyPair(s, mech(pkcs11.CKM_RSA_PKCS_KEY_PAIR_GEN),
				attr(pkcs11.CKA_MODULUS_BITS, 2048, pkcs11.CKA_PUBLIC_EXPONENT, []byte{1, 0, 1},
					pkcs11.CKA_ENCRYPT, encrypts, pkcs11.CKA_WRAP, wraps, pkcs11.CKA_VERIFY, false, pkcs11.CKA_VERIFY_RECOVER, false, ck.CKA_ENCAPSULATE, false),
				attr(pkcs11.CKA_DECRYPT, encrypts, pkcs11.CKA_UNWRAP, wraps, pkcs11.CKA_SIGN, false, pkcs11.CKA_SIGN_RECOVER, false, ck.CKA_DECAPSULATE, false))
			return err
		},
	} {
		h.wants(ck.CKR_TEMPLATE_INCONSISTENT, what+" of two purposes", with(both))
		h.wants(ck.CKR_OK, what+" of one purpose", with(only(pkcs11.CKA_ENCRYPT)))
	}
	both2, err := h.generate(s, only(pkcs11.CKA_ENCRYPT, pkcs11.CKA_DECRYPT)...)
	h.wants(ck.CKR_OK, "a purpose and its contrary", err)
	h.wants(ck.CKR_TEMPLATE_INCONSISTENT, "one that gets another", h.p.SetAttributeValue(s, both2, attr(pkcs11.CKA_SIGN, true)))
	_, err = h.p.CopyObject(s, both2, attr(pkcs11.CKA_SIGN, true))
	h.wants(ck.CKR_TEMPLATE_INCONSISTENT, "a copy that gets another", err)
}

func TestPolicy11ChangingKeyAttributes(t *testing.T) {
	h := newHSM(t, "")
	s := h.officer()
	key := h.aes(s)
	h.wants(ck.CKR_OK, "with policy 11", h.p.SetAttributeValue(s, key, attr(pkcs11.CKA_SIGN, false)))
	h.set("11", "off")
	for _, a := range []int{pkcs11.CKA_ENCRYPT, pkcs11.CKA_DECRYPT, pkcs11.CKA_WRAP, pkcs11.CKA_UNWRAP, pkcs11.CKA_DERIVE, pkcs11.CKA_EXTRACTABLE} {
		h.wants(ck.CKR_ATTRIBUTE_READ_ONLY, "a change without", h.p.SetAttributeValue(s, key, attr(a, false)))
		_, err := h.p.CopyObject(s, key, attr(a, false))
		h.wants(ck.CKR_ATTRIBUTE_READ_ONLY, "a changed copy without", err)
		h.wants(ck.CKR_OK, "no change at all", h.p.SetAttributeValue(s, key, attr(a, true)))
	}
	h.wants(ck.CKR_OK, "another attribute", h.p.SetAttributeValue(s, key, attr(pkcs11.CKA_LABEL, "renamed")))
}

func TestPolicy17SigningWithNonLocalKeys(t *testing.T) {
	h := newHSM(t, "")
	s := h.officer()
	public, own := h.rsa(s)
	wrapping := h.aes(s)
	wrapped, err := h.p.WrapKey(s, keyWrap, wrapping, own)
	h.good(err)
	foreign, err := h.p.UnwrapKey(s, keyWrap, wrapping, wrapped, attr(pkcs11.CKA_CLASS, uint(pkcs11.CKO_PRIVATE_KEY), pkcs11.CKA_KEY_TYPE, uint(pkcs11.CKK_RSA), pkcs11.CKA_SIGN, true))
	h.good(err)
	_, err = h.sign(s, pkcs11.CKM_SHA256_RSA_PKCS, foreign, []byte("m"))
	h.wants(ck.CKR_OK, "with policy 17", err)
	h.set("17", "off")
	_, err = h.sign(s, pkcs11.CKM_SHA256_RSA_PKCS, foreign, []byte("m"))
	h.wants(ck.CKR_KEY_FUNCTION_NOT_PERMITTED, "without", err)
	signature, err := h.sign(s, pkcs11.CKM_SHA256_RSA_PKCS, own, []byte("m"))
	h.wants(ck.CKR_OK, "a key that was made here", err)
	h.good(h.p.VerifyInit(s, mech(pkcs11.CKM_SHA256_RSA_PKCS), public))
	h.wants(ck.CKR_OK, "verifying", h.p.Verify(s, []byte("m"), signature))
}

func TestPolicy18RawRSA(t *testing.T) {
	h := newHSM(t, "")
	s := h.officer()
	public, private := h.rsa(s)
	block := make([]byte, 256)
	block[1] = 1
	_, err := h.sign(s, pkcs11.CKM_RSA_X_509, private, block)
	h.wants(ck.CKR_OK, "with policy 18", err)
	h.set("18", "off")
	h.wants(ck.CKR_MECHANISM_INVALID, "signing without", h.p.SignInit(s, mech(pkcs11.CKM_RSA_X_509), private))
	h.wants(ck.CKR_MECHANISM_INVALID, "encrypting without", h.p.EncryptInit(s, mech(pkcs11.CKM_RSA_X_509), public))
	h.wants(ck.CKR_MECHANISM_INVALID, "decrypting without", h.p.DecryptInit(s, mech(pkcs11.CKM_RSA_X_509), private))
	if h.lists(pkcs11.CKM_RSA_X_509) || !h.lists(pkcs11.CKM_RSA_PKCS) {
		t.Error("the list of mechanisms is wrong")
	}
}

func TestPolicy20MaxFailedLogins(t *testing.T) {
	h := newHSM(t, "")
	h.set("20", "3")
	s := h.open()
	for range 3 {
		h.wants(ck.CKR_PIN_INCORRECT, "a wrong PIN", h.p.Login(s, pkcs11.CKU_USER, "wrong pin"))
	}
	h.wants(ck.CKR_PIN_LOCKED, "the right PIN afterwards", h.p.Login(s, pkcs11.CKU_USER, pins["CO"]))
}

func TestPolicy25MinimumPIN(t *testing.T) {
	h := newHSM(t, "")
	h.set("25", "235") // 20 bytes
	s := h.officer()
	h.wants(ck.CKR_PIN_LEN_RANGE, "19 bytes", h.p.SetPIN(s, pins["CO"], "nineteen bytes long"))
	h.wants(ck.CKR_OK, "20 bytes", h.p.SetPIN(s, pins["CO"], "these are 20 bytes.."))
	info, err := h.p.GetTokenInfo(h.slot)
	if h.good(err); info.MinPinLen != 20 {
		t.Errorf("the token says that PINs have %d bytes at least", info.MinPinLen)
	}
}

func TestPolicy26MaximumPIN(t *testing.T) {
	h := newHSM(t, "")
	h.set("26", "20")
	s := h.officer()
	h.wants(ck.CKR_PIN_LEN_RANGE, "21 bytes", h.p.SetPIN(s, pins["CO"], "these are 21 bytes..."))
	h.wants(ck.CKR_OK, "20 bytes", h.p.SetPIN(s, pins["CO"], "these are 20 bytes.."))
	info, err := h.p.GetTokenInfo(h.slot)
	if h.good(err); info.MaxPinLen != 20 {
		t.Errorf("the token says that PINs have %d bytes at most", info.MaxPinLen)
	}
}

func TestPolicy28KeyManagement(t *testing.T) {
	h := newHSM(t, "")
	s := h.officer()
	_, private := h.rsa(s)
	h.set("28", "off")
	_, err := h.generate(s)
	h.wants(ck.CKR_USER_NOT_AUTHORIZED, "the officer makes a key", err)
	_, err = h.sign(s, pkcs11.CKM_SHA256_RSA_PKCS, private, []byte("m"))
	h.wants(ck.CKR_OK, "the officer uses a key", err)
	h.wants(ck.CKR_USER_NOT_AUTHORIZED, "the officer destroys a key", h.p.DestroyObject(s, private))
}

// What is blinded cannot be seen from outside, and must not be: a key's signatures
// and decryptions stay what they were. That random numbers are drawn for it, a test of
// the engine shows, and that each use asks the policy, one of the HSM.
func TestPolicy16RSABlinding(t *testing.T) {
	h := newHSM(t, "")
	s := h.officer()
	public, private := h.rsa(s)
	message := []byte("a message")
	before, err := h.sign(s, pkcs11.CKM_SHA256_RSA_PKCS, private, message)
	h.wants(ck.CKR_OK, "without blinding", err)
	h.good(h.p.EncryptInit(s, mech(pkcs11.CKM_RSA_PKCS), public))
	ciphertext, err := h.p.Encrypt(s, message)
	h.good(err)
	h.set("16", "off")
	for range 3 {
		after, err := h.sign(s, pkcs11.CKM_SHA256_RSA_PKCS, private, message)
		h.wants(ck.CKR_OK, "blinded", err)
		if !bytes.Equal(before, after) {
			t.Error("another signature")
		}
		h.good(h.p.DecryptInit(s, mech(pkcs11.CKM_RSA_PKCS), private))
		if plaintext, err := h.p.Decrypt(s, ciphertext); err != nil || !bytes.Equal(plaintext, message) {
			t.Errorf("decrypted %q, %v", plaintext, err)
		}
	}
	if out, err := h.try("partition policy set --so-pin env:SO --id 16 --value on --slot " + number(h.slot)); err == nil {
		t.Errorf("without blinding again, and what the partition holds was not asked about: %s", out)
	}
}

// A private key of which nobody knows the public exponent, and whose exponent is
// none that one would guess, cannot confirm its signatures.
func TestPolicy29RSAWithoutConfirmation(t *testing.T) {
	h := newHSM(t, "")
	s := h.officer()
	_, own := h.rsa(s)
	n, e, d := strangeRSA(t)
	strange, err := h.p.CreateObject(s, attr(pkcs11.CKA_CLASS, uint(pkcs11.CKO_PRIVATE_KEY), pkcs11.CKA_KEY_TYPE, uint(pkcs11.CKK_RSA),
		pkcs11.CKA_MODULUS, n.Bytes(), pkcs11.CKA_PRIVATE_EXPONENT, d.Bytes(), pkcs11.CKA_SIGN, true))
	h.good(err)
	signature, err := h.sign(s, pkcs11.CKM_RSA_X_509, strange, []byte{1, 2, 3})
	h.wants(ck.CKR_OK, "with policy 29", err)
	if m := new(big.Int).Exp(new(big.Int).SetBytes(signature), e, n); m.Int64() != 0x010203 {
		t.Error("the signature is wrong")
	}
	h.set("29", "off")
	_, err = h.sign(s, pkcs11.CKM_RSA_X_509, strange, []byte{1, 2, 3})
	h.wants(ck.CKR_KEY_FUNCTION_NOT_PERMITTED, "without", err)
	_, err = h.sign(s, pkcs11.CKM_SHA256_RSA_PKCS, own, []byte("m"))
	h.wants(ck.CKR_OK, "a key with its public exponent", err)
}

func strangeRSA(t *testing.T) (n, e, d *big.Int) {
	t.Helper()
	prime := func(bits int) *big.Int {
		p, err := rand.Prime(rand.Reader, bits)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	one := big.NewInt(1)
	for {
		p, q := prime(1024), prime(1024)
		n, e = new(big.Int).Mul(p, q), prime(96)
		phi := new(big.Int).Mul(p.Sub(p, one), q.Sub(q, one))
		if d = new(big.Int).ModInverse(e, phi); d != nil && n.BitLen() == 2048 {
			return n, e, d
		}
	}
}

func TestPolicy33RSAPKCS(t *testing.T) {
	h := newHSM(t, "")
	s := h.officer()
	public, private := h.rsa(s)
	_, err := h.sign(s, pkcs11.CKM_RSA_PKCS, private, []byte("m"))
	h.wants(ck.CKR_OK, "with policy 33", err)
	h.set("33", "off")
	h.wants(ck.CKR_MECHANISM_INVALID, "signing without", h.p.SignInit(s, mech(pkcs11.CKM_RSA_PKCS), private))
	h.wants(ck.CKR_MECHANISM_INVALID, "encrypting without", h.p.EncryptInit(s, mech(pkcs11.CKM_RSA_PKCS), public))
	_, err = h.sign(s, pkcs11.CKM_SHA256_RSA_PKCS, private, []byte("m"))
	h.wants(ck.CKR_OK, "with a hash", err)
	if h.lists(pkcs11.CKM_RSA_PKCS) || !h.lists(pkcs11.CKM_SHA256_RSA_PKCS) {
		t.Error("the list of mechanisms is wrong")
	}
}

func TestPolicy34CBCPadOfAnySize(t *testing.T) {
	h := newHSM(t, "")
	s := h.officer()
	wrapping := h.aes(s)
	cbc := mech(pkcs11.CKM_AES_CBC_PAD, zeroIV...)
	secret := attr(pkcs11.CKA_CLASS, uint(pkcs11.CKO_SECRET_KEY), pkcs11.CKA_KEY_TYPE, uint(pkcs11.CKK_GENERIC_SECRET), pkcs11.CKA_EXTRACTABLE, true)
	keys, wrapped := map[int]pkcs11.ObjectHandle{}, map[int][]byte{}
	for _, n := range []int{8, 15, 16, 24} {
		o, err := h.p.CreateObject(s, append(secret, attr(pkcs11.CKA_VALUE, slices.Repeat([]byte{7}, n))...))
		h.good(err)
		keys[n] = o
		wrapped[n], err = h.p.WrapKey(s, cbc, wrapping, o)
		h.wants(ck.CKR_OK, "with policy 34", err)
	}
	h.set("34", "off")
	for n, o := range keys {
		wrap, unwrap := ck.CKR_KEY_SIZE_RANGE, ck.CKR_WRAPPED_KEY_LEN_RANGE
		if n >= 16 {
			wrap, unwrap = ck.CKR_OK, ck.CKR_OK
		}
		_, err := h.p.WrapKey(s, cbc, wrapping, o)
		h.wants(wrap, "wrapping "+number(uint(n))+" bytes without", err)
		_, err = h.p.UnwrapKey(s, cbc, wrapping, wrapped[n], secret)
		h.wants(unwrap, "unwrapping "+number(uint(n))+" bytes without", err)
		_, err = h.p.WrapKey(s, keyWrap, wrapping, o)
		h.wants(ck.CKR_OK, "by another mechanism", err)
	}
}

func TestPolicy39Dates(t *testing.T) {
	h := newHSM(t, "")
	s := h.officer()
	keys := map[string]pkcs11.ObjectHandle{}
	for name, dates := range map[string][2]string{
		"past": {"20010101", "20011231"}, "future": {"29990101", ""}, "now": {"20010101", "29991231"}, "ever": {"", ""},
	} {
		o, err := h.generate(s, pkcs11.CKA_ENCRYPT, true, pkcs11.CKA_START_DATE, []byte(dates[0]), pkcs11.CKA_END_DATE, []byte(dates[1]))
		h.good(err)
		keys[name] = o
	}
	use := func(o pkcs11.ObjectHandle) error {
		if err := h.p.EncryptInit(s, mech(pkcs11.CKM_AES_ECB), o); err != nil {
			return err
		}
		_, err := h.p.Encrypt(s, make([]byte, 16))
		return err
	}
	for name, o := range keys {
		h.wants(ck.CKR_OK, name+", without policy 39", use(o))
	}
	h.set("39", "on")
	for name, o := range keys {
		want := ck.CKR_OK
		if name == "past" || name == "future" {
			want = ck.CKR_KEY_NOT_ACTIVE
		}
		h.wants(want, name+", with policy 39", use(o))
	}
}

func TestPolicy43NonFIPS(t *testing.T) {
	h := newHSM(t, "")
	s := h.officer()
	key := h.aes(s)
	h.wants(ck.CKR_OK, "with policy 43", h.p.DigestInit(s, mech(pkcs11.CKM_MD5)))
	_, err := h.p.Digest(s, nil)
	h.good(err)
	h.set("43", "off")
	h.wants(ck.CKR_MECHANISM_INVALID, "without", h.p.DigestInit(s, mech(pkcs11.CKM_MD5)))
	if h.lists(pkcs11.CKM_MD5) || !h.lists(pkcs11.CKM_SHA256) || !h.lists(pkcs11.CKM_AES_ECB) {
		t.Error("the list of mechanisms is wrong")
	}
	h.good(h.p.EncryptInit(s, mech(pkcs11.CKM_AES_ECB), key)) // the keys stay
	_, err = h.p.Encrypt(s, make([]byte, 16))
	h.good(err)
	// Another partition of the HSM is not in FIPS mode.
	h.close()
	h.partition("")
	if !h.lists(pkcs11.CKM_MD5) {
		t.Error("FIPS mode of one partition is that of another")
	}
}
