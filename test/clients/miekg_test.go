package clients

import (
	"bytes"
	"crypto"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"sync"
	"testing"

	"github.com/miekg/pkcs11"
)

func init() { children["miekg"] = miekgTour }

// TestMiekg is a tour with github.com/miekg/pkcs11, the C interface in Go.
// The module's own Go runtime lives in the process beside the client's.
func TestMiekg(t *testing.T) {
	onEachModule(t, nil, func(c *client) { c.goChild("miekg") })
}

// A miekg is a session of the tour, logged in as the user.
type miekg struct {
	*pkcs11.Ctx
	slot    uint
	session pkcs11.SessionHandle
}

func miekgTour(r *reporter, tok childToken) {
	m := &miekg{Ctx: pkcs11.New(tok.library)}
	check(m.Ctx != nil, "the module does not load")
	r.step("initialize", func() {
		must(m.Initialize())
		m.refuse(pkcs11.CKR_CRYPTOKI_ALREADY_INITIALIZED, m.Initialize())
	})
	r.step("slot and token", func() {
		slots := must2(m.GetSlotList(true))
		index := slices.IndexFunc(slots, func(slot uint) bool {
			return must2(m.GetTokenInfo(slot)).Label == tok.label
		})
		check(index >= 0, "no token %q in %v", tok.label, slots)
		m.slot = slots[index]
		info := must2(m.GetTokenInfo(m.slot))
		check(info.Flags&pkcs11.CKF_USER_PIN_INITIALIZED != 0 && info.SerialNumber != "", "token: %+v", info)
		check(len(must2(m.GetMechanismList(m.slot))) > 50, "fewer than 50 mechanisms")
		mechanism := must2(m.GetMechanismInfo(m.slot, one(pkcs11.CKM_RSA_PKCS, nil)))
		check(mechanism.MaxKeySize >= 4096 && mechanism.Flags&pkcs11.CKF_SIGN != 0, "CKM_RSA_PKCS: %+v", mechanism)
	})
	r.step("sessions and login states", func() {
		m.session = must2(m.OpenSession(m.slot, pkcs11.CKF_SERIAL_SESSION|pkcs11.CKF_RW_SESSION))
		m.state(m.session, pkcs11.CKS_RW_PUBLIC_SESSION)
		m.refuse(pkcs11.CKR_PIN_INCORRECT, m.Login(m.session, pkcs11.CKU_USER, "wrong-pin"))
		must(m.Login(m.session, pkcs11.CKU_USER, tok.pin))
		m.state(m.session, pkcs11.CKS_RW_USER_FUNCTIONS)
		m.refuse(pkcs11.CKR_USER_ALREADY_LOGGED_IN, m.Login(m.session, pkcs11.CKU_USER, tok.pin))
		readOnly := must2(m.OpenSession(m.slot, pkcs11.CKF_SERIAL_SESSION))
		m.state(readOnly, pkcs11.CKS_RO_USER_FUNCTIONS)
		_, err := m.CreateObject(readOnly, template(pkcs11.CKA_CLASS, pkcs11.CKO_DATA, pkcs11.CKA_TOKEN, true))
		m.refuse(pkcs11.CKR_SESSION_READ_ONLY, err)
		must(m.CloseSession(readOnly))
		m.refuse(pkcs11.CKR_SESSION_HANDLE_INVALID, m.CloseSession(readOnly))
		_, err = m.OpenSession(m.slot, pkcs11.CKF_RW_SESSION)
		m.refuse(pkcs11.CKR_SESSION_PARALLEL_NOT_SUPPORTED, err)
	})
	r.step("random", func() {
		must(m.SeedRandom(m.session, []byte("seed")))
		check(!bytes.Equal(must2(m.GenerateRandom(m.session, 32)), must2(m.GenerateRandom(m.session, 32))), "the same bytes twice")
	})
	r.step("digest", func() {
		want := sha256.Sum256([]byte("one two"))
		must(m.DigestInit(m.session, mech(pkcs11.CKM_SHA256)))
		check(bytes.Equal(must2(m.Digest(m.session, []byte("one two"))), want[:]), "wrong digest")
		must(m.DigestInit(m.session, mech(pkcs11.CKM_SHA256)))
		must(m.DigestUpdate(m.session, []byte("one ")))
		must(m.DigestUpdate(m.session, []byte("two")))
		check(bytes.Equal(must2(m.DigestFinal(m.session)), want[:]), "wrong digest in parts")
		_, err := m.Digest(m.session, nil)
		m.refuse(pkcs11.CKR_OPERATION_NOT_INITIALIZED, err)
	})
	m.objects(r)
	m.rsa(r)
	m.ellipticCurves(r)
	m.secretKeys(r)
	r.step("many threads", func() { m.manyThreads() })
	r.step("logout hides private objects", func() {
		must(m.Logout(m.session))
		m.state(m.session, pkcs11.CKS_RW_PUBLIC_SESSION)
		check(len(m.find(template(pkcs11.CKA_CLASS, pkcs11.CKO_PRIVATE_KEY))) == 0, "private keys show after the logout")
		check(len(m.find(template(pkcs11.CKA_CLASS, pkcs11.CKO_PUBLIC_KEY))) > 0, "no public keys show after the logout")
	})
	r.step("finalize and initialize again", func() {
		must(m.Finalize())
		_, err := m.GetSlotList(true)
		m.refuse(pkcs11.CKR_CRYPTOKI_NOT_INITIALIZED, err)
		must(m.Initialize())
		must2(m.GetSlotList(true))
		must(m.Finalize())
	})
	m.Destroy()
}

func (m *miekg) objects(r *reporter) {
	var object pkcs11.ObjectHandle
	r.step("create and read object", func() {
		object = must2(m.CreateObject(m.session, template(
			pkcs11.CKA_CLASS, pkcs11.CKO_DATA, pkcs11.CKA_TOKEN, true, pkcs11.CKA_PRIVATE, true,
			pkcs11.CKA_LABEL, "datum", pkcs11.CKA_APPLICATION, "tour", pkcs11.CKA_VALUE, "some data")))
		check(string(m.attribute(object, pkcs11.CKA_VALUE)) == "some data", "the value comes back as %q", m.attribute(object, pkcs11.CKA_VALUE))
		_, err := m.GetAttributeValue(m.session, object, []*pkcs11.Attribute{pkcs11.NewAttribute(pkcs11.CKA_MODULUS, nil)})
		m.refuse(pkcs11.CKR_ATTRIBUTE_TYPE_INVALID, err)
		must2(m.GetObjectSize(m.session, object))
	})
	r.step("set attribute", func() {
		must(m.SetAttributeValue(m.session, object, template(pkcs11.CKA_LABEL, "renamed")))
		check(string(m.attribute(object, pkcs11.CKA_LABEL)) == "renamed", "the label is still the old one")
		m.refuse(pkcs11.CKR_ATTRIBUTE_READ_ONLY, m.SetAttributeValue(m.session, object, template(pkcs11.CKA_CLASS, pkcs11.CKO_CERTIFICATE)))
	})
	r.step("find object", func() {
		check(slices.Equal(m.find(template(pkcs11.CKA_LABEL, "renamed", pkcs11.CKA_APPLICATION, "tour")), []pkcs11.ObjectHandle{object}), "the object is not found")
		check(len(m.find(template(pkcs11.CKA_LABEL, "datum"))) == 0, "the object is found under its old label")
	})
	r.step("copy and destroy object", func() {
		twin := must2(m.CopyObject(m.session, object, template(pkcs11.CKA_LABEL, "twin")))
		check(string(m.attribute(twin, pkcs11.CKA_VALUE)) == "some data", "the copy has another value")
		must(m.DestroyObject(m.session, twin))
		m.refuse(pkcs11.CKR_OBJECT_HANDLE_INVALID, m.DestroyObject(m.session, twin))
	})
	r.step("unmodifiable object", func() {
		fixed := must2(m.CreateObject(m.session, template(pkcs11.CKA_CLASS, pkcs11.CKO_DATA, pkcs11.CKA_MODIFIABLE, false)))
		m.refuse(pkcs11.CKR_ACTION_PROHIBITED, m.SetAttributeValue(m.session, fixed, template(pkcs11.CKA_LABEL, "new")))
	})
	r.step("uncopyable object", func() {
		fixed := must2(m.CreateObject(m.session, template(pkcs11.CKA_CLASS, pkcs11.CKO_DATA, pkcs11.CKA_COPYABLE, false)))
		_, err := m.CopyObject(m.session, fixed, template(pkcs11.CKA_LABEL, "twin"))
		m.refuse(pkcs11.CKR_ACTION_PROHIBITED, err)
	})
	r.step("indestructible object", func() {
		fixed := must2(m.CreateObject(m.session, template(pkcs11.CKA_CLASS, pkcs11.CKO_DATA, pkcs11.CKA_DESTROYABLE, false)))
		m.refuse(pkcs11.CKR_ACTION_PROHIBITED, m.DestroyObject(m.session, fixed))
	})
	r.step("incomplete template", func() {
		_, err := m.CreateObject(m.session, template(pkcs11.CKA_CLASS, pkcs11.CKO_SECRET_KEY, pkcs11.CKA_KEY_TYPE, pkcs11.CKK_AES))
		m.refuse(pkcs11.CKR_TEMPLATE_INCOMPLETE, err)
	})
}

func (m *miekg) rsa(r *reporter) {
	var (
		public, private pkcs11.ObjectHandle
		key             *rsa.PublicKey
	)
	message := []byte("a message to sign")
	digest := sha256.Sum256(message)
	r.step("generate RSA", func() {
		public, private = must3(m.GenerateKeyPair(m.session, mech(pkcs11.CKM_RSA_PKCS_KEY_PAIR_GEN),
			template(pkcs11.CKA_TOKEN, true, pkcs11.CKA_MODULUS_BITS, 2048, pkcs11.CKA_PUBLIC_EXPONENT, []byte{1, 0, 1}, pkcs11.CKA_LABEL, "rsa",
				pkcs11.CKA_VERIFY, true, pkcs11.CKA_ENCRYPT, true, pkcs11.CKA_WRAP, true),
			template(pkcs11.CKA_TOKEN, true, pkcs11.CKA_PRIVATE, true, pkcs11.CKA_SENSITIVE, true, pkcs11.CKA_LABEL, "rsa",
				pkcs11.CKA_SIGN, true, pkcs11.CKA_DECRYPT, true, pkcs11.CKA_UNWRAP, true)))
		key = &rsa.PublicKey{N: new(big.Int).SetBytes(m.attribute(public, pkcs11.CKA_MODULUS)), E: 65537}
		check(key.N.BitLen() == 2048, "a modulus of %d bits", key.N.BitLen())
		_, err := m.GetAttributeValue(m.session, private, []*pkcs11.Attribute{pkcs11.NewAttribute(pkcs11.CKA_PRIVATE_EXPONENT, nil)})
		m.refuse(pkcs11.CKR_ATTRIBUTE_SENSITIVE, err)
	})
	pss := pkcs11.NewPSSParams(pkcs11.CKM_SHA256, pkcs11.CKG_MGF1_SHA256, 32)
	r.step("sign RSA", func() {
		signature := m.sign(private, mech(pkcs11.CKM_SHA256_RSA_PKCS), message)
		must(rsa.VerifyPKCS1v15(key, crypto.SHA256, digest[:], signature))
		m.verify(public, mech(pkcs11.CKM_SHA256_RSA_PKCS), message, signature)
		signature = m.sign(private, one(pkcs11.CKM_SHA256_RSA_PKCS_PSS, pss), message)
		must(rsa.VerifyPSS(key, crypto.SHA256, digest[:], signature, nil))
		m.verify(public, one(pkcs11.CKM_SHA256_RSA_PKCS_PSS, pss), message, signature)
	})
	r.step("sign RSA in parts", func() {
		must(m.SignInit(m.session, mech(pkcs11.CKM_SHA256_RSA_PKCS), private))
		must(m.SignUpdate(m.session, message[:5]))
		must(m.SignUpdate(m.session, message[5:]))
		must(rsa.VerifyPKCS1v15(key, crypto.SHA256, digest[:], must2(m.SignFinal(m.session))))
	})
	r.step("decrypt OAEP", func() {
		oaep := pkcs11.NewOAEPParams(pkcs11.CKM_SHA_1, pkcs11.CKG_MGF1_SHA1, pkcs11.CKZ_DATA_SPECIFIED, nil)
		must(m.EncryptInit(m.session, one(pkcs11.CKM_RSA_PKCS_OAEP, oaep), public))
		sealed := must2(m.Encrypt(m.session, message))
		must(m.DecryptInit(m.session, one(pkcs11.CKM_RSA_PKCS_OAEP, oaep), private))
		check(bytes.Equal(must2(m.Decrypt(m.session, sealed)), message), "another plaintext comes back")
	})
	// VerifyRecover of this package (1.1.2) calls another function by mistake.
	r.step("sign recover", func() {
		must(m.SignRecoverInit(m.session, mech(pkcs11.CKM_RSA_PKCS), private))
		must(rsa.VerifyPKCS1v15(key, 0, message, must2(m.SignRecover(m.session, message))))
	})
	r.step("a private key signs only where it may", func() {
		must(m.SetAttributeValue(m.session, private, template(pkcs11.CKA_SIGN, false)))
		m.refuse(pkcs11.CKR_KEY_FUNCTION_NOT_PERMITTED, m.SignInit(m.session, mech(pkcs11.CKM_SHA256_RSA_PKCS), private))
	})
}

func (m *miekg) ellipticCurves(r *reporter) {
	message := []byte("a message to sign")
	digest := sha256.Sum256(message)
	r.step("sign ECDSA", func() {
		oid := must2(asn1.Marshal(asn1.ObjectIdentifier{1, 2, 840, 10045, 3, 1, 7}))
		public, private := must3(m.GenerateKeyPair(m.session, mech(pkcs11.CKM_EC_KEY_PAIR_GEN),
			template(pkcs11.CKA_TOKEN, false, pkcs11.CKA_EC_PARAMS, oid, pkcs11.CKA_VERIFY, true),
			template(pkcs11.CKA_TOKEN, false, pkcs11.CKA_SIGN, true, pkcs11.CKA_DERIVE, true)))
		key := must2(ecdsa.ParseUncompressedPublicKey(elliptic.P256(), octets(m.attribute(public, pkcs11.CKA_EC_POINT))))
		signature := m.sign(private, mech(pkcs11.CKM_ECDSA), digest[:])
		check(len(signature) == 64, "a signature of %d bytes", len(signature))
		check(ecdsa.Verify(key, digest[:], new(big.Int).SetBytes(signature[:32]), new(big.Int).SetBytes(signature[32:])), "the signature is wrong")
		m.verify(public, mech(pkcs11.CKM_ECDSA), digest[:], signature)
	})
	r.step("derive ECDH", func() {
		oid := must2(asn1.Marshal(asn1.ObjectIdentifier{1, 3, 132, 0, 34}))
		var publics, privates [2]pkcs11.ObjectHandle
		for i := range 2 {
			publics[i], privates[i] = must3(m.GenerateKeyPair(m.session, mech(pkcs11.CKM_EC_KEY_PAIR_GEN),
				template(pkcs11.CKA_EC_PARAMS, oid), template(pkcs11.CKA_DERIVE, true)))
		}
		var secrets [2][]byte
		for i := range 2 {
			params := pkcs11.NewECDH1DeriveParams(pkcs11.CKD_NULL, nil, octets(m.attribute(publics[1-i], pkcs11.CKA_EC_POINT)))
			secret := must2(m.DeriveKey(m.session, one(pkcs11.CKM_ECDH1_DERIVE, params), privates[i],
				template(pkcs11.CKA_CLASS, pkcs11.CKO_SECRET_KEY, pkcs11.CKA_KEY_TYPE, pkcs11.CKK_GENERIC_SECRET, pkcs11.CKA_VALUE_LEN, 48,
					pkcs11.CKA_SENSITIVE, false, pkcs11.CKA_EXTRACTABLE, true)))
			secrets[i] = m.attribute(secret, pkcs11.CKA_VALUE)
		}
		check(len(secrets[0]) == 48 && bytes.Equal(secrets[0], secrets[1]), "%x and %x", secrets[0], secrets[1])
	})
	r.step("derive X25519", func() {
		oid := must2(asn1.Marshal(asn1.ObjectIdentifier{1, 3, 101, 110}))
		const ckmMontgomeryKeyPairGen = 0x1056
		public, private := must3(m.GenerateKeyPair(m.session, mech(ckmMontgomeryKeyPairGen),
			template(pkcs11.CKA_EC_PARAMS, oid), template(pkcs11.CKA_DERIVE, true)))
		peer := must2(ecdh.X25519().GenerateKey(rand.Reader))
		params := pkcs11.NewECDH1DeriveParams(pkcs11.CKD_NULL, nil, peer.PublicKey().Bytes())
		secret := must2(m.DeriveKey(m.session, one(pkcs11.CKM_ECDH1_DERIVE, params), private,
			template(pkcs11.CKA_CLASS, pkcs11.CKO_SECRET_KEY, pkcs11.CKA_KEY_TYPE, pkcs11.CKK_GENERIC_SECRET, pkcs11.CKA_VALUE_LEN, 32,
				pkcs11.CKA_SENSITIVE, false, pkcs11.CKA_EXTRACTABLE, true)))
		key := must2(ecdh.X25519().NewPublicKey(octets(m.attribute(public, pkcs11.CKA_EC_POINT))))
		check(bytes.Equal(m.attribute(secret, pkcs11.CKA_VALUE), must2(peer.ECDH(key))), "the secret is another")
	})
	r.step("sign EdDSA", func() {
		name := must2(asn1.MarshalWithParams("edwards25519", "printable"))
		const ckmEdwardsKeyPairGen, ckmEdDSA = 0x1055, 0x1057
		public, private := must3(m.GenerateKeyPair(m.session, mech(ckmEdwardsKeyPairGen),
			template(pkcs11.CKA_EC_PARAMS, name), template(pkcs11.CKA_SIGN, true)))
		key := ed25519.PublicKey(octets(m.attribute(public, pkcs11.CKA_EC_POINT)))
		check(ed25519.Verify(key, message, m.sign(private, mech(ckmEdDSA), message)), "the signature is wrong")
	})
}

func (m *miekg) secretKeys(r *reporter) {
	value, nonce, message := randomBytes(32), randomBytes(12), randomBytes(1000)
	block := must2(aes.NewCipher(value))
	var key pkcs11.ObjectHandle
	r.step("import AES", func() {
		key = must2(m.CreateObject(m.session, template(
			pkcs11.CKA_CLASS, pkcs11.CKO_SECRET_KEY, pkcs11.CKA_KEY_TYPE, pkcs11.CKK_AES, pkcs11.CKA_VALUE, value, pkcs11.CKA_SENSITIVE, true,
			pkcs11.CKA_ENCRYPT, true, pkcs11.CKA_DECRYPT, true, pkcs11.CKA_WRAP, true, pkcs11.CKA_UNWRAP, true)))
		_, err := m.GetAttributeValue(m.session, key, []*pkcs11.Attribute{pkcs11.NewAttribute(pkcs11.CKA_VALUE, nil)})
		m.refuse(pkcs11.CKR_ATTRIBUTE_SENSITIVE, err)
	})
	r.step("AES-GCM", func() {
		want := must2(cipher.NewGCM(block)).Seal(nil, nonce, message, []byte("header"))
		params := pkcs11.NewGCMParams(nonce, []byte("header"), 128)
		defer params.Free()
		must(m.EncryptInit(m.session, one(pkcs11.CKM_AES_GCM, params), key))
		check(bytes.Equal(must2(m.Encrypt(m.session, message)), want), "wrong ciphertext")
		must(m.DecryptInit(m.session, one(pkcs11.CKM_AES_GCM, params), key))
		check(bytes.Equal(must2(m.Decrypt(m.session, want)), message), "wrong plaintext")
		want[3] ^= 1
		must(m.DecryptInit(m.session, one(pkcs11.CKM_AES_GCM, params), key))
		_, err := m.Decrypt(m.session, want)
		check(err != nil, "a changed ciphertext is decrypted")
	})
	r.step("AES-CBC in parts", func() {
		iv := randomBytes(16)
		must(m.EncryptInit(m.session, one(pkcs11.CKM_AES_CBC_PAD, iv), key))
		sealed := must2(m.EncryptUpdate(m.session, message[:333]))
		sealed = append(sealed, must2(m.EncryptUpdate(m.session, message[333:]))...)
		sealed = append(sealed, must2(m.EncryptFinal(m.session))...)
		must(m.DecryptInit(m.session, one(pkcs11.CKM_AES_CBC_PAD, iv), key))
		check(bytes.Equal(must2(m.Decrypt(m.session, sealed)), message), "another plaintext comes back")
	})
	r.step("wrap and unwrap", func() {
		secret := must2(m.GenerateKey(m.session, mech(pkcs11.CKM_AES_KEY_GEN),
			template(pkcs11.CKA_VALUE_LEN, 32, pkcs11.CKA_EXTRACTABLE, true, pkcs11.CKA_SENSITIVE, false, pkcs11.CKA_ENCRYPT, true)))
		wrapped := must2(m.WrapKey(m.session, mech(pkcs11.CKM_AES_KEY_WRAP), key, secret))
		check(len(wrapped) == 40, "%d bytes of wrapped key", len(wrapped))
		again := must2(m.UnwrapKey(m.session, mech(pkcs11.CKM_AES_KEY_WRAP), key, wrapped,
			template(pkcs11.CKA_CLASS, pkcs11.CKO_SECRET_KEY, pkcs11.CKA_KEY_TYPE, pkcs11.CKK_AES, pkcs11.CKA_EXTRACTABLE, true, pkcs11.CKA_SENSITIVE, false)))
		check(bytes.Equal(m.attribute(again, pkcs11.CKA_VALUE), m.attribute(secret, pkcs11.CKA_VALUE)), "another key comes back")
		check(m.attribute(again, pkcs11.CKA_LOCAL)[0] == 0 && m.attribute(secret, pkcs11.CKA_LOCAL)[0] == 1, "CKA_LOCAL is wrong")
	})
	r.step("HMAC", func() {
		secret := must2(m.CreateObject(m.session, template(
			pkcs11.CKA_CLASS, pkcs11.CKO_SECRET_KEY, pkcs11.CKA_KEY_TYPE, pkcs11.CKK_GENERIC_SECRET, pkcs11.CKA_VALUE, value, pkcs11.CKA_SIGN, true, pkcs11.CKA_VERIFY, true)))
		mac := hmac.New(sha256.New, value)
		mac.Write(message)
		check(bytes.Equal(m.sign(secret, mech(pkcs11.CKM_SHA256_HMAC), message), mac.Sum(nil)), "wrong MAC")
		must(m.VerifyInit(m.session, mech(pkcs11.CKM_SHA256_HMAC), secret))
		m.refuse(pkcs11.CKR_SIGNATURE_INVALID, m.Verify(m.session, message, flipBit(mac.Sum(nil))))
	})
}

// manyThreads signs from many goroutines, each with a session of its own.
func (m *miekg) manyThreads() {
	key := m.find(template(pkcs11.CKA_CLASS, pkcs11.CKO_PRIVATE_KEY, pkcs11.CKA_LABEL, "rsa"))[0]
	must(m.SetAttributeValue(m.session, key, template(pkcs11.CKA_SIGN, true)))
	public := m.find(template(pkcs11.CKA_CLASS, pkcs11.CKO_PUBLIC_KEY, pkcs11.CKA_LABEL, "rsa"))[0]
	verifier := &rsa.PublicKey{N: new(big.Int).SetBytes(m.attribute(public, pkcs11.CKA_MODULUS)), E: 65537}
	var (
		wg   sync.WaitGroup
		errs = make([]error, 16)
	)
	for i := range errs {
		wg.Go(func() {
			errs[i] = func() error {
				session, err := m.OpenSession(m.slot, pkcs11.CKF_SERIAL_SESSION)
				if err != nil {
					return err
				}
				for j := range 20 {
					message := fmt.Appendf(nil, "message %d of thread %d", j, i)
					if err := m.SignInit(session, mech(pkcs11.CKM_SHA256_RSA_PKCS), key); err != nil {
						return err
					}
					signature, err := m.Sign(session, message)
					if err != nil {
						return err
					}
					digest := sha256.Sum256(message)
					if err := rsa.VerifyPKCS1v15(verifier, crypto.SHA256, digest[:], signature); err != nil {
						return err
					}
				}
				return m.CloseSession(session)
			}()
		})
	}
	wg.Wait()
	must(errors.Join(errs...))
}

func (m *miekg) sign(key pkcs11.ObjectHandle, mechanism []*pkcs11.Mechanism, message []byte) []byte {
	must(m.SignInit(m.session, mechanism, key))
	return must2(m.Sign(m.session, message))
}

// verify checks that the module accepts a signature, and not that of another message.
func (m *miekg) verify(key pkcs11.ObjectHandle, mechanism []*pkcs11.Mechanism, message, signature []byte) {
	must(m.VerifyInit(m.session, mechanism, key))
	must(m.Verify(m.session, message, signature))
	must(m.VerifyInit(m.session, mechanism, key))
	m.refuse(pkcs11.CKR_SIGNATURE_INVALID, m.Verify(m.session, flipBit(message), signature))
}

func (m *miekg) find(wanted []*pkcs11.Attribute) []pkcs11.ObjectHandle {
	must(m.FindObjectsInit(m.session, wanted))
	var found []pkcs11.ObjectHandle
	for {
		some, _, err := m.FindObjects(m.session, 2)
		must(err)
		if len(some) == 0 {
			break
		}
		found = append(found, some...)
	}
	must(m.FindObjectsFinal(m.session))
	return found
}

func (m *miekg) attribute(object pkcs11.ObjectHandle, kind uint) []byte {
	return must2(m.GetAttributeValue(m.session, object, []*pkcs11.Attribute{pkcs11.NewAttribute(kind, nil)}))[0].Value
}

func (m *miekg) state(session pkcs11.SessionHandle, want uint) {
	info := must2(m.GetSessionInfo(session))
	check(info.State == want, "the session is in state %d and not %d", info.State, want)
}

// refuse checks that a call failed with a certain code.
func (m *miekg) refuse(want pkcs11.Error, err error) {
	check(errors.Is(err, want), "the answer is %v and not %v", err, want)
}

// template makes attributes of pairs of type and value.
func template(pairs ...any) []*pkcs11.Attribute {
	var attributes []*pkcs11.Attribute
	for pair := range slices.Chunk(pairs, 2) {
		attributes = append(attributes, pkcs11.NewAttribute(uint(pair[0].(int)), pair[1]))
	}
	return attributes
}

func mech(mechanism uint) []*pkcs11.Mechanism { return one(mechanism, nil) }

func one(mechanism uint, parameter any) []*pkcs11.Mechanism {
	return []*pkcs11.Mechanism{pkcs11.NewMechanism(mechanism, parameter)}
}

// octets takes a DER octet string apart.
func octets(der []byte) []byte {
	var content []byte
	must2(asn1.Unmarshal(der, &content))
	return content
}
