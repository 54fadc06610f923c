package hsm

import (
	"slices"
	"testing"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/cryptoki/p11"
	"github.com/perilune/perilune/engine"
)

// newProfileBench is newBench on an HSM of a profile.
func newProfileBench(t *testing.T, profile string) *bench {
	t.Helper()
	h := newTestHost().process(t)
	must(t, h, &p11.InitHSM{Label: "hsm", PIN: []byte(hsmSOPIN), Profile: profile})
	admin := open(t, h, p11.AdminSlot, true)
	must(t, h, &p11.Login{Session: admin, User: ck.CKU_SO, PIN: []byte(hsmSOPIN)})
	must(t, h, &p11.CreatePartition{Session: admin, Name: "test"})
	must(t, h, &p11.CloseSession{Session: admin})
	initPartition(t, h, 0)
	b := &bench{t: t, h: h, s: open(t, h, 0, true)}
	must(t, h, &p11.Login{Session: b.s, User: ck.CKU_USER, PIN: []byte(userPIN)})
	if h.policies().on(policyForcePINChange) {
		must(t, h, &p11.SetPIN{Session: b.s, Old: []byte(userPIN), New: []byte(userPIN)})
	}
	return b
}

func TestProfileTable(t *testing.T) {
	names := map[string]bool{}
	for _, p := range behaviours() {
		if p.name == "" || p.about == "" || names[p.name] {
			t.Errorf("profile %q: no name, one twice, or nothing about it", p.name)
		}
		names[p.name] = true
		for r, code := range p.answers {
			if code == refusalTable[r].code {
				t.Errorf("%s answers %s as the standard does", p.name, refusalTable[r].name)
			}
		}
		for from, to := range p.remap {
			if p.mechanism(from) == nil || p.mechanism(to) == nil || p.mechanism(from).FIPS || !p.mechanism(to).FIPS {
				t.Errorf("%s: %v for %v in FIPS mode", p.name, to, from)
			}
		}
	}
	if findProfile("").name != profileStandard || findProfile("no such") != nil {
		t.Error("the profile of no name, or of one that there is not")
	}
}

// Keys that no template names a usage for can be used for nothing, are
// sensitive and stay in the HSM: the defaults of the device's profile, and
// beside them those of the standard.
func TestProfileDefaults(t *testing.T) {
	rsa := &p11.GenerateKeyPair{Mechanism: &ck.Mechanism{Type: ck.CKM_RSA_PKCS_KEY_PAIR_GEN}, Public: tmpl(ck.CKA_MODULUS_BITS, 1024)}
	for profile, want := range map[string]struct{ public, private, secret, unwrapped, derived []ck.Attribute }{
		profileStandard: {
			public:    tmpl(ck.CKA_PRIVATE, false, ck.CKA_ENCRYPT, true, ck.CKA_VERIFY, true, ck.CKA_WRAP, true, ck.CKA_DERIVE, false, ck.CKA_TOKEN, false, ck.CKA_MODIFIABLE, true),
			private:   tmpl(ck.CKA_PRIVATE, true, ck.CKA_SENSITIVE, true, ck.CKA_EXTRACTABLE, false, ck.CKA_DECRYPT, true, ck.CKA_SIGN, true, ck.CKA_UNWRAP, true, ck.CKA_DERIVE, false),
			secret:    tmpl(ck.CKA_PRIVATE, true, ck.CKA_SENSITIVE, false, ck.CKA_EXTRACTABLE, false, ck.CKA_ENCRYPT, true, ck.CKA_SIGN, true, ck.CKA_WRAP, true),
			unwrapped: tmpl(ck.CKA_SENSITIVE, false, ck.CKA_EXTRACTABLE, true, ck.CKA_ALWAYS_SENSITIVE, false, ck.CKA_NEVER_EXTRACTABLE, false, ck.CKA_ENCRYPT, true),
			derived:   tmpl(ck.CKA_SENSITIVE, false, ck.CKA_EXTRACTABLE, false, ck.CKA_SIGN, true),
		},
		profileLuna72: {
			public:    tmpl(ck.CKA_PRIVATE, true, ck.CKA_ENCRYPT, false, ck.CKA_VERIFY, false, ck.CKA_WRAP, false, ck.CKA_DERIVE, false, ck.CKA_TOKEN, false, ck.CKA_MODIFIABLE, true),
			private:   tmpl(ck.CKA_PRIVATE, true, ck.CKA_SENSITIVE, true, ck.CKA_EXTRACTABLE, false, ck.CKA_ALWAYS_SENSITIVE, true, ck.CKA_NEVER_EXTRACTABLE, true, ck.CKA_DECRYPT, false, ck.CKA_SIGN, false, ck.CKA_UNWRAP, false, ck.CKA_DERIVE, false),
			secret:    tmpl(ck.CKA_PRIVATE, true, ck.CKA_SENSITIVE, true, ck.CKA_EXTRACTABLE, false, ck.CKA_ALWAYS_SENSITIVE, true, ck.CKA_NEVER_EXTRACTABLE, true, ck.CKA_ENCRYPT, false, ck.CKA_SIGN, false, ck.CKA_WRAP, false),
			unwrapped: tmpl(ck.CKA_SENSITIVE, true, ck.CKA_EXTRACTABLE, false, ck.CKA_ALWAYS_SENSITIVE, false, ck.CKA_NEVER_EXTRACTABLE, false, ck.CKA_ENCRYPT, false, ck.CKA_PRIVATE, true),
			derived:   tmpl(ck.CKA_SENSITIVE, false, ck.CKA_EXTRACTABLE, false, ck.CKA_ALWAYS_SENSITIVE, false, ck.CKA_NEVER_EXTRACTABLE, false, ck.CKA_SIGN, false),
		},
	} {
		t.Run(profile, func(t *testing.T) {
			b := newProfileBench(t, profile)
			has := func(what string, o ck.ObjectHandle, list []ck.Attribute) {
				t.Helper()
				for _, a := range list {
					if got := b.attr(o, a.Type); string(got) != string(a.Value) {
						t.Errorf("%s: %v is %x, want %x", what, a.Type, got, a.Value)
					}
				}
			}
			rsa.Session = b.s
			pair := ok(b, rsa)
			has("generated public", pair.Public, want.public)
			has("generated private", pair.Private, want.private)

			base := ok(b, &p11.GenerateKey{Session: b.s, Mechanism: &ck.Mechanism{Type: ck.CKM_AES_KEY_GEN}, Template: tmpl(ck.CKA_VALUE_LEN, 16)}).Object
			has("generated secret", base, want.secret)

			wrapping := ok(b, &p11.GenerateKey{Session: b.s, Mechanism: &ck.Mechanism{Type: ck.CKM_AES_KEY_GEN},
				Template: tmpl(ck.CKA_VALUE_LEN, 16, ck.CKA_WRAP, true, ck.CKA_UNWRAP, true, ck.CKA_DERIVE, true, ck.CKA_EXTRACTABLE, true)}).Object
			m := &ck.Mechanism{Type: ck.CKM_AES_KW}
			wrapped := b.wrap(m, wrapping, wrapping)
			has("unwrapped", b.unwrap(m, wrapping, wrapped, tmpl(ck.CKA_CLASS, ck.CKO_SECRET_KEY, ck.CKA_KEY_TYPE, ck.CKK_AES, ck.CKA_VALUE_LEN, 16)...), want.unwrapped)
			derived := ok(b, b.derive(&ck.Mechanism{Type: ck.CKM_SHA256_KEY_DERIVATION}, wrapping)).Object
			has("derived", derived, want.derived)
		})
	}
}

// The list has what the table says, in its order; what is not in it is refused
// wherever it is named, though the engine has it.
func TestProfileMechanisms(t *testing.T) {
	b := newProfileBench(t, profileLuna72)
	list := ok(b, &p11.GetMechanismList{}).Mechanisms
	if n := len(list); n < 200 || n >= len(engine.Mechanisms()) || list[0] != ck.CKM_RSA_PKCS_KEY_PAIR_GEN {
		t.Errorf("%d mechanisms, the first of them %v", n, list[0])
	}
	for _, m := range []ck.MechanismType{ck.CKM_AES_CMAC_GENERAL, ck.CKM_AES_XTS_OLD, ck.CKM_SM3, ck.CKM_ECIES} {
		if !slices.Contains(list, m) {
			t.Errorf("%v is not listed", m)
		}
	}
	for _, m := range []ck.MechanismType{ck.CKM_MD5, ck.CKM_ML_DSA, ck.CKM_AES_CCM, ck.CKM_AES_KEY_WRAP, ck.CKM_SHA3_256} {
		fails(b, ck.CKR_MECHANISM_INVALID, &p11.GetMechanismInfo{Type: m})
		if slices.Contains(list, m) {
			t.Errorf("%v is listed", m)
		}
	}
	// Newer numbers are understood, and not listed.
	if slices.Contains(list, ck.CKM_ECDSA_SHA256) || !slices.Contains(list, ck.CKM_ECDSA_SHA256_OLD) {
		t.Error("the numbers of ECDSA with SHA-256")
	}
	ok(b, &p11.GetMechanismInfo{Type: ck.CKM_ECDSA_SHA256})

	info := ok(b, &p11.GetMechanismInfo{Type: ck.CKM_RSA_X_509})
	if info != (ck.MechanismInfo{MinKeySize: 256, MaxKeySize: 8192, Flags: ck.CKF_HW | ck.CKF_ENCRYPT | ck.CKF_DECRYPT}) {
		t.Errorf("CKM_RSA_X_509: %+v", info)
	}
	pair := b.rsaPair()
	fails(b, ck.CKR_MECHANISM_INVALID, &p11.Begin{Session: b.s, Op: p11.OpSign, Mechanism: &ck.Mechanism{Type: ck.CKM_RSA_X_509}, Key: pair.Private})
	fails(b, ck.CKR_MECHANISM_INVALID, &p11.Begin{Session: b.s, Op: p11.OpDigest, Mechanism: &ck.Mechanism{Type: ck.CKM_SHA3_256}})
	if e := ok(b, &p11.ExplainRefusal{Session: b.s}); e.Rule != "mechanism-of-profile" {
		t.Errorf("explained by %+v", e)
	}
}

func TestProfileFunctions(t *testing.T) {
	b := newProfileBench(t, profileLuna72)
	no := ck.CKR_FUNCTION_NOT_SUPPORTED
	fails(b, no, &p11.WaitForSlotEvent{})
	for _, op := range []p11.Operation{p11.OpSignRecover, p11.OpVerifyRecover, p11.OpMessageEncrypt, p11.OpMessageDecrypt,
		p11.OpMessageSign, p11.OpMessageVerify, p11.OpVerifySignature} {
		fails(b, no, &p11.Begin{Session: b.s, Op: op, Mechanism: &ck.Mechanism{Type: ck.CKM_AES_GCM}})
		fails(b, no, &p11.Finish{Session: b.s, Op: op})
	}
	fails(b, no, &p11.DualUpdate{Session: b.s, First: p11.OpDigest, Second: p11.OpEncrypt})
	fails(b, no, &p11.Login{Session: b.s, ByName: true})
	fails(b, no, &p11.EncapsulateKey{Session: b.s})
	fails(b, no, &p11.DecapsulateKey{Session: b.s})
	fails(b, no, &p11.WrapKey{Session: b.s, Authenticated: true})
	fails(b, no, &p11.UnwrapKey{Session: b.s, Authenticated: true})
	fails(b, no, &p11.GetValidationFlags{Session: b.s})
	if e := ok(b, &p11.ExplainRefusal{Session: b.s}); e.Rule != "function-of-profile" || e.Request != "GetValidationFlags" {
		t.Errorf("explained by %+v", e)
	}
	// What the device has goes on.
	fails(b, ck.CKR_ARGUMENTS_BAD, &p11.WrapKey{Session: b.s})
	fails(b, ck.CKR_USER_ALREADY_LOGGED_IN, &p11.Login{Session: b.s, User: ck.CKU_USER})
}

func TestProfileInfos(t *testing.T) {
	b := newProfileBench(t, profileLuna72)
	if i := ok(b, &p11.GetInfo{}); i.CryptokiVersion != (ck.Version{Major: 2, Minor: 20}) || i.LibraryVersion != (ck.Version{Major: 7, Minor: 2}) {
		t.Errorf("info %+v", i)
	}
	if i := ok(b, &p11.GetSlotInfo{}); i.SlotDescription != "Net Token Slot" || i.Flags != ck.CKF_TOKEN_PRESENT|ck.CKF_HW_SLOT ||
		i.FirmwareVersion != (ck.Version{Major: 7, Minor: 3}) {
		t.Errorf("slot info %+v", i)
	}
	i := ok(b, &p11.GetTokenInfo{})
	if i.Flags&(ck.CKF_RESTORE_KEY_NOT_NEEDED|ck.CKF_DUAL_CRYPTO_OPERATIONS) != ck.CKF_RESTORE_KEY_NOT_NEEDED || i.MinPinLen != 7 || i.MaxPinLen != 255 {
		t.Errorf("token info %+v", i)
	}
}

// Another role logged in is the same to the device as the same one.
func TestProfileCodes(t *testing.T) {
	for profile, code := range map[string]ck.RV{profileStandard: ck.CKR_USER_ANOTHER_ALREADY_LOGGED_IN, profileLuna72: ck.CKR_USER_ALREADY_LOGGED_IN} {
		b := newProfileBench(t, profile)
		fails(b, code, &p11.Login{Session: b.s, User: ck.CKU_SO, PIN: []byte(soPIN)})
		if e := ok(b, &p11.ExplainRefusal{Session: b.s}); e.Rule != "another-role-logged-in" || e.Code != code {
			t.Errorf("%s: explained by %+v", profile, e)
		}
	}
}

// Keys in the clear: sensitive and private as token objects, and none in FIPS
// mode.
func TestProfilePlaintextKeys(t *testing.T) {
	b := newProfileBench(t, profileLuna72)
	key := func(pairs ...any) *p11.CreateObject {
		return &p11.CreateObject{Session: b.s, Template: append(tmpl(ck.CKA_CLASS, ck.CKO_SECRET_KEY, ck.CKA_KEY_TYPE, ck.CKK_AES,
			ck.CKA_VALUE, "0123456789abcdef"), tmpl(pairs...)...)}
	}
	ok(b, key())
	ok(b, key(ck.CKA_TOKEN, true, ck.CKA_SENSITIVE, true))
	fails(b, ck.CKR_TEMPLATE_INCOMPLETE, key(ck.CKA_TOKEN, true))
	fails(b, ck.CKR_ATTRIBUTE_VALUE_INVALID, key(ck.CKA_TOKEN, true, ck.CKA_SENSITIVE, false))
	fails(b, ck.CKR_ATTRIBUTE_VALUE_INVALID, key(ck.CKA_TOKEN, true, ck.CKA_SENSITIVE, true, ck.CKA_PRIVATE, false))
	b.policy(policyPartitionNonFIPS, 0)
	fails(b, ck.CKR_TEMPLATE_INCONSISTENT, key())
	if e := ok(b, &p11.ExplainRefusal{Session: b.s}); e.Rule != "plaintext-key-fips" || e.Policy != "HSM policy 12 (Allow non-FIPS algorithms)" {
		t.Errorf("explained by %+v", e)
	}
	ok(b, &p11.CreateObject{Session: b.s, Template: tmpl(ck.CKA_CLASS, ck.CKO_PUBLIC_KEY, ck.CKA_KEY_TYPE, ck.CKK_RSA,
		ck.CKA_MODULUS, testRSA().N.Bytes(), ck.CKA_PUBLIC_EXPONENT, "\x01\x00\x01")})
}

// In FIPS mode the HSM makes the IV of GCM and puts it behind the tag; whoever
// decrypts may give it, or leave it there.
func TestProfileOwnIV(t *testing.T) {
	b := newProfileBench(t, profileLuna72)
	key := ok(b, &p11.GenerateKey{Session: b.s, Mechanism: &ck.Mechanism{Type: ck.CKM_AES_KEY_GEN},
		Template: tmpl(ck.CKA_VALUE_LEN, 32, ck.CKA_ENCRYPT, true, ck.CKA_DECRYPT, true)}).Object
	gcm := func(iv []byte) *ck.Mechanism {
		return &ck.Mechanism{Type: ck.CKM_AES_GCM, Param: &engine.GCMParams{IV: iv, TagBits: 128}}
	}
	b.whole(p11.OpEncrypt, gcm(make([]byte, 12)), key, []byte("outside FIPS mode the caller chooses"))
	b.policy(policyPartitionNonFIPS, 0)
	fails(b, ck.CKR_MECHANISM_PARAM_INVALID, &p11.Begin{Session: b.s, Op: p11.OpEncrypt, Mechanism: gcm(make([]byte, 12)), Key: key})
	if e := ok(b, &p11.ExplainRefusal{Session: b.s}); e.Rule != "callers-iv" {
		t.Errorf("explained by %+v", e)
	}
	sealed := b.whole(p11.OpEncrypt, gcm(nil), key, []byte("message"))
	if len(sealed) != 7+16+16 {
		t.Fatalf("%d bytes", len(sealed))
	}
	for _, plain := range [][]byte{
		b.whole(p11.OpDecrypt, gcm(nil), key, sealed),
		b.whole(p11.OpDecrypt, gcm(sealed[23:]), key, sealed[:23]),
	} {
		if string(plain) != "message" {
			t.Errorf("decrypted to %q", plain)
		}
	}
}

// In FIPS mode the usual RSA generation is gone, unless the configuration lets
// the approved one stand in for it.
func TestProfileRemap(t *testing.T) {
	b := newProfileBench(t, profileLuna72)
	b.policy(policyPartitionNonFIPS, 0)
	request := &p11.GenerateKeyPair{Session: b.s, Mechanism: &ck.Mechanism{Type: ck.CKM_RSA_PKCS_KEY_PAIR_GEN}, Public: tmpl(ck.CKA_MODULUS_BITS, 2048)}
	listed := func() bool {
		return slices.Contains(ok(b, &p11.GetMechanismList{}).Mechanisms, ck.CKM_RSA_PKCS_KEY_PAIR_GEN)
	}
	if listed() {
		t.Error("listed without the option")
	}
	fails(b, ck.CKR_MECHANISM_INVALID, request)
	b.h.opts.RemapKeyGen = true
	if !listed() {
		t.Error("not listed with the option")
	}
	if i := ok(b, &p11.GetMechanismInfo{Type: ck.CKM_RSA_PKCS_KEY_PAIR_GEN}); i.MinKeySize != 2048 {
		t.Errorf("with the option: %+v", i)
	}
	made := b.attr(ok(b, request).Private, ck.CKA_KEY_GEN_MECHANISM)
	if v, _ := ck.ULong(made); ck.MechanismType(v) != ck.CKM_RSA_FIPS_186_3_PRIME_KEY_PAIR_GEN {
		t.Errorf("made by %#x", v)
	}
}

func TestProfileNeedsLength(t *testing.T) {
	b := newProfileBench(t, profileLuna72)
	key := ok(b, &p11.GenerateKey{Session: b.s, Mechanism: &ck.Mechanism{Type: ck.CKM_AES_KEY_GEN},
		Template: tmpl(ck.CKA_VALUE_LEN, 16, ck.CKA_WRAP, true, ck.CKA_UNWRAP, true, ck.CKA_DERIVE, true, ck.CKA_EXTRACTABLE, true)}).Object
	m := &ck.Mechanism{Type: ck.CKM_AES_KWP}
	q := &p11.UnwrapKey{Session: b.s, Mechanism: m, UnwrappingKey: key, Wrapped: b.wrap(m, key, key),
		Template: tmpl(ck.CKA_CLASS, ck.CKO_SECRET_KEY, ck.CKA_KEY_TYPE, ck.CKK_AES)}
	fails(b, ck.CKR_TEMPLATE_INCOMPLETE, q)
	q.Template = append(q.Template, ck.NewULong(ck.CKA_VALUE_LEN, uint64(16)))
	ok(b, q)
}

// The device's tables count 256 bits for the curve that others count 255 for.
func TestEd25519OfEachProfile(t *testing.T) {
	for _, p := range behaviours() {
		t.Run(p.name, func(t *testing.T) {
			b := newProfileBench(t, p.name)
			pair := ok(b, &p11.GenerateKeyPair{
				Session: b.s, Mechanism: &ck.Mechanism{Type: ck.CKM_EC_EDWARDS_KEY_PAIR_GEN},
				Public:  []ck.Attribute{ck.NewBytes(ck.CKA_EC_PARAMS, unhex("06032b6570")), ck.NewBool(ck.CKA_VERIFY, true)},
				Private: []ck.Attribute{ck.NewBool(ck.CKA_SIGN, true)},
			})
			ok(b, &p11.Begin{Session: b.s, Op: p11.OpSign, Mechanism: &ck.Mechanism{Type: ck.CKM_EDDSA}, Key: pair.Private})
		})
	}
}
