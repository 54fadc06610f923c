package profiles

import (
	"fmt"
	"strings"
	"testing"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/test/c11"
)

// situations are those that the documentation of devices lists with their codes,
// as far as an HSM without hardware comes into them, and what each profile
// answers. Each has a host of its own, whose partition has a Crypto Officer.
var situations = []struct {
	situation      string
	fips           bool
	standard, luna ck.RV
	answer         func(h *host) ck.RV
}{
	{"wrong PIN", false, ck.CKR_PIN_INCORRECT, ck.CKR_PIN_INCORRECT,
		func(h *host) ck.RV { return h.wrong(ck.CKU_USER) }},
	{"wrong PIN that zeroizes the partition", false, ck.CKR_PIN_INCORRECT, ck.CKR_PIN_INCORRECT,
		func(h *host) ck.RV { return h.wrongTimes(10, ck.CKU_SO) }},
	{"wrong PIN that locks the role", false, ck.CKR_PIN_INCORRECT, ck.CKR_PIN_INCORRECT,
		func(h *host) ck.RV { return h.wrongTimes(10, ck.CKU_USER) }},
	{"login of a locked role", false, ck.CKR_PIN_LOCKED, ck.CKR_PIN_LOCKED,
		func(h *host) ck.RV { h.wrongTimes(10, ck.CKU_USER); return h.login(h.s, ck.CKU_USER, pin) }},
	{"third wrong PIN of the HSM SO", false, ck.CKR_SO_LOGIN_FAILURE_THRESHOLD, ck.CKR_SO_LOGIN_FAILURE_THRESHOLD,
		func(h *host) ck.RV {
			h.s = h.session(adminSlot, ck.CKF_RW_SESSION)
			return h.wrongTimes(3, ck.CKU_SO)
		}},
	{"HSM not initialised", false, ck.CKR_USER_PIN_NOT_INITIALIZED, ck.CKR_SECURITY_PARAMETER_MISSING,
		func(h *host) ck.RV {
			h.perilune("hsm zeroize --force")
			return h.login(h.session(adminSlot, ck.CKF_RW_SESSION), ck.CKU_SO, hsmPIN)
		}},
	{"new PIN too short", false, ck.CKR_PIN_LEN_RANGE, ck.CKR_PIN_LEN_RANGE,
		func(h *host) ck.RV {
			return h.Call("C_SetPIN", h.asOfficer().s, h.Exact([]byte(pin)), len(pin), h.Exact([]byte("abc")), 3)
		}},
	{"PIN to be changed first", false, ck.CKR_OK, ck.CKR_PIN_EXPIRED,
		func(h *host) ck.RV {
			h.perilune("role init --slot 0 --role cu --pin env:CO --new-pin env:CU")
			h.answers(ck.CKR_OK, "C_Login", h.login(h.s, ck.CKU_CRYPTO_USER, userPIN))
			return h.Call("C_FindObjectsInit", h.s, nil, 0)
		}},
	{"the same role logs in again", false, ck.CKR_USER_ALREADY_LOGGED_IN, ck.CKR_USER_ALREADY_LOGGED_IN,
		func(h *host) ck.RV { return h.asOfficer().login(h.s, ck.CKU_USER, pin) }},
	{"another role is logged in", false, ck.CKR_USER_ANOTHER_ALREADY_LOGGED_IN, ck.CKR_USER_ALREADY_LOGGED_IN,
		func(h *host) ck.RV { return h.asOfficer().login(h.s, ck.CKU_SO, soPIN) }},
	{"nobody is logged in", false, ck.CKR_USER_NOT_LOGGED_IN, ck.CKR_USER_NOT_LOGGED_IN,
		func(h *host) ck.RV { return h.tryGenerate(ck.NewBool(ck.CKA_PRIVATE, true)) }},
	{"the role may not", false, ck.CKR_USER_NOT_AUTHORIZED, ck.CKR_USER_NOT_AUTHORIZED,
		func(h *host) ck.RV { return h.asUser().tryGenerate() }},
	{"role without a PIN", false, ck.CKR_USER_PIN_NOT_INITIALIZED, ck.CKR_USER_PIN_NOT_INITIALIZED,
		func(h *host) ck.RV { return h.login(h.s, ck.CKU_CRYPTO_USER, userPIN) }},
	{"unknown role", false, ck.CKR_USER_TYPE_INVALID, ck.CKR_USER_TYPE_INVALID,
		func(h *host) ck.RV { return h.login(h.s, 77, pin) }},
	{"unknown session", false, ck.CKR_SESSION_HANDLE_INVALID, ck.CKR_SESSION_HANDLE_INVALID,
		func(h *host) ck.RV { return h.login(h.s+1, ck.CKU_USER, pin) }},
	{"partition full", false, ck.CKR_CONTAINER_OBJECT_STORAGE_FULL, ck.CKR_CONTAINER_OBJECT_STORAGE_FULL,
		func(h *host) ck.RV {
			h.perilune("partition resize --slot 0 --size 100 --hsm-so-pin env:HSM_SO")
			return h.asOfficer().tryGenerate(ck.NewBool(ck.CKA_TOKEN, true))
		}},

	{"secret key in the clear in FIPS mode", true, ck.CKR_OK, ck.CKR_TEMPLATE_INCONSISTENT,
		func(h *host) ck.RV { return h.asOfficer().tryCreate(ck.NewBool(ck.CKA_SENSITIVE, true)) }},
	{"token key in the clear that is not sensitive", false, ck.CKR_OK, ck.CKR_ATTRIBUTE_VALUE_INVALID,
		func(h *host) ck.RV {
			return h.asOfficer().tryCreate(ck.NewBool(ck.CKA_TOKEN, true), ck.NewBool(ck.CKA_SENSITIVE, false))
		}},
	{"token key in the clear that does not say", false, ck.CKR_OK, ck.CKR_TEMPLATE_INCOMPLETE,
		func(h *host) ck.RV { return h.asOfficer().tryCreate(ck.NewBool(ck.CKA_TOKEN, true)) }},
	{"key that is not extractable", false, ck.CKR_KEY_UNEXTRACTABLE, ck.CKR_KEY_UNEXTRACTABLE,
		func(h *host) ck.RV {
			key := h.asOfficer().generate(yes(ck.CKA_WRAP)...)
			_, rv := h.Wrap(h.Arena, h.s, c11.Mech{Type: ck.CKM_AES_KW}, key, key)
			return rv
		}},
	{"usage that the template did not name", false, ck.CKR_OK, ck.CKR_KEY_FUNCTION_NOT_PERMITTED,
		func(h *host) ck.RV { return h.begin("C_SignInit", ck.CKM_AES_CMAC, nil, h.asOfficer().generate()) }},
	{"key that cannot be digested", false, ck.CKR_KEY_INDIGESTIBLE, ck.CKR_KEY_INDIGESTIBLE,
		func(h *host) ck.RV {
			_, private := h.asOfficer().rsa()
			h.must("C_DigestInit", h.s, h.Mechanism(ck.CKM_SHA256, nil))
			return h.Call("C_DigestKey", h.s, private)
		}},
	{"type of the key does not fit", false, ck.CKR_KEY_TYPE_INCONSISTENT, ck.CKR_KEY_TYPE_INCONSISTENT,
		func(h *host) ck.RV {
			return h.begin("C_SignInit", ck.CKM_SHA256_RSA_PKCS, nil, h.asOfficer().generate(yes(ck.CKA_SIGN)...))
		}},
	{"size beyond the limits", false, ck.CKR_KEY_SIZE_RANGE, ck.CKR_KEY_SIZE_RANGE,
		func(h *host) ck.RV {
			_, _, rv := h.asOfficer().GeneratePair(h.Arena, h.s, c11.Mech{Type: ck.CKM_RSA_PKCS_KEY_PAIR_GEN},
				[]ck.Attribute{ck.NewULong(ck.CKA_MODULUS_BITS, uint64(128))}, nil)
			return rv
		}},
	{"size below that of FIPS mode", true, ck.CKR_KEY_SIZE_RANGE, ck.CKR_KEY_SIZE_RANGE,
		func(h *host) ck.RV {
			_, _, rv := h.asOfficer().GeneratePair(h.Arena, h.s, c11.Mech{Type: ck.CKM_RSA_FIPS_186_3_AUX_PRIME_KEY_PAIR_GEN},
				[]ck.Attribute{ck.NewULong(ck.CKA_MODULUS_BITS, uint64(1024))}, nil)
			return rv
		}},
	{"unknown mechanism", false, ck.CKR_MECHANISM_INVALID, ck.CKR_MECHANISM_INVALID,
		func(h *host) ck.RV { return h.Call("C_DigestInit", h.s, h.Mechanism(0x7fffffff, nil)) }},
	{"mechanism that came after the device", false, ck.CKR_OK, ck.CKR_MECHANISM_INVALID,
		func(h *host) ck.RV { return h.Call("C_DigestInit", h.s, h.Mechanism(ck.CKM_SHA3_256, nil)) }},
	{"mechanism that FIPS mode forbids", true, ck.CKR_MECHANISM_INVALID, ck.CKR_MECHANISM_INVALID,
		func(h *host) ck.RV { return h.Call("C_DigestInit", h.s, h.Mechanism(ck.CKM_SM3, nil)) }},
	{"wrong parameter", false, ck.CKR_MECHANISM_PARAM_INVALID, ck.CKR_MECHANISM_PARAM_INVALID,
		func(h *host) ck.RV {
			return h.begin("C_EncryptInit", ck.CKM_AES_CBC, make([]byte, 3), h.asOfficer().generate(yes(ck.CKA_ENCRYPT)...))
		}},
	{"the caller's IV for GCM in FIPS mode", true, ck.CKR_OK, ck.CKR_MECHANISM_PARAM_INVALID,
		func(h *host) ck.RV {
			iv := h.Ptr(make([]byte, 12))
			return h.begin("C_EncryptInit", ck.CKM_AES_GCM, c11.Words(iv, 12, 96, 0, 0, 128), h.asOfficer().generate(yes(ck.CKA_ENCRYPT)...))
		}},
	{"usage limit reached", false, ck.CKR_KEY_NOT_ACTIVE, ck.CKR_KEY_NOT_ACTIVE,
		func(h *host) ck.RV {
			key := h.asOfficer().generate(append(yes(ck.CKA_SIGN), ck.NewULong(ck.CKA_USAGE_LIMIT, uint64(1)))...)
			h.answers(ck.CKR_OK, "C_SignInit", h.begin("C_SignInit", ck.CKM_AES_CMAC, nil, key))
			return h.Call("C_SignInit", h.session(0, 0), h.Mechanism(ck.CKM_AES_CMAC, nil), key)
		}},
	{"unknown curve", false, ck.CKR_CURVE_NOT_SUPPORTED, ck.CKR_ECC_UNKNOWN_CURVE,
		func(h *host) ck.RV {
			_, _, rv := h.asOfficer().GeneratePair(h.Arena, h.s, c11.Mech{Type: ck.CKM_EC_KEY_PAIR_GEN},
				[]ck.Attribute{ck.NewBytes(ck.CKA_EC_PARAMS, []byte{6, 5, 0x2b, 0x81, 4, 0, 99})}, nil)
			return rv
		}},
	{"point that is not on the curve", false, ck.CKR_ATTRIBUTE_VALUE_INVALID, ck.CKR_ECC_POINT_INVALID,
		func(h *host) ck.RV {
			return h.asOfficer().create(ck.NewULong(ck.CKA_CLASS, ck.CKO_PUBLIC_KEY), ck.NewULong(ck.CKA_KEY_TYPE, ck.CKK_EC),
				ck.NewBytes(ck.CKA_EC_PARAMS, p256), ck.NewBytes(ck.CKA_EC_POINT, append([]byte{4, 65, 4}, make([]byte, 64)...)))
		}},
	{"attribute that is read only", false, ck.CKR_ATTRIBUTE_READ_ONLY, ck.CKR_ATTRIBUTE_READ_ONLY,
		func(h *host) ck.RV { return h.asOfficer().set(h.generate(), ck.NewBool(ck.CKA_LOCAL, false)) }},
	{"attribute of an object that stays as it is", false, ck.CKR_ACTION_PROHIBITED, ck.CKR_ATTRIBUTE_READ_ONLY,
		func(h *host) ck.RV {
			return h.asOfficer().set(h.generate(ck.NewBool(ck.CKA_MODIFIABLE, false)), ck.NewBytes(ck.CKA_LABEL, []byte("x")))
		}},
	{"attribute that is sensitive", false, ck.CKR_ATTRIBUTE_SENSITIVE, ck.CKR_ATTRIBUTE_SENSITIVE,
		func(h *host) ck.RV {
			_, rv := h.asOfficer().Get(h.s, h.generate(yes(ck.CKA_SENSITIVE)...), ck.CKA_VALUE)
			return rv
		}},
	{"attribute that the object does not have", false, ck.CKR_ATTRIBUTE_TYPE_INVALID, ck.CKR_ATTRIBUTE_TYPE_INVALID,
		func(h *host) ck.RV {
			_, rv := h.asOfficer().Get(h.s, h.generate(), ck.CKA_MODULUS)
			return rv
		}},
	{"unknown attribute", false, ck.CKR_ATTRIBUTE_TYPE_INVALID, ck.CKR_ATTRIBUTE_TYPE_INVALID,
		func(h *host) ck.RV { return h.asOfficer().tryGenerate(ck.NewBytes(0x12345678, nil)) }},
	{"value that an attribute cannot have", false, ck.CKR_ATTRIBUTE_VALUE_INVALID, ck.CKR_ATTRIBUTE_VALUE_INVALID,
		func(h *host) ck.RV { return h.asOfficer().tryGenerate(ck.NewBytes(ck.CKA_START_DATE, []byte("today"))) }},

	{"key with several usages, policy 10 off", false, ck.CKR_TEMPLATE_INCONSISTENT, ck.CKR_TEMPLATE_INCONSISTENT,
		func(h *host) ck.RV {
			return h.policy(10, "off").asOfficer().tryGenerate(yes(ck.CKA_ENCRYPT, ck.CKA_SIGN)...)
		}},
	{"usage changed, policy 11 off", false, ck.CKR_ATTRIBUTE_READ_ONLY, ck.CKR_ATTRIBUTE_READ_ONLY,
		func(h *host) ck.RV {
			return h.policy(11, "off").asOfficer().set(h.generate(), ck.NewBool(ck.CKA_DERIVE, true))
		}},
	{"signing with a key from outside, policy 17 off", false, ck.CKR_KEY_FUNCTION_NOT_PERMITTED, ck.CKR_KEY_FUNCTION_NOT_PERMITTED,
		func(h *host) ck.RV {
			key, rv := h.policy(17, "off").asOfficer().Create(h.s, ck.NewULong(ck.CKA_CLASS, ck.CKO_SECRET_KEY), ck.NewULong(ck.CKA_KEY_TYPE, ck.CKK_AES),
				ck.NewBytes(ck.CKA_VALUE, make([]byte, 16)), ck.NewBool(ck.CKA_SIGN, true))
			h.answers(ck.CKR_OK, "C_CreateObject", rv)
			return h.begin("C_SignInit", ck.CKM_AES_CMAC, nil, key)
		}},
	{"private key wrapped, policy 1 as it is at first", false, ck.CKR_OK, ck.CKR_KEY_NOT_WRAPPABLE,
		func(h *host) ck.RV {
			_, private := h.asOfficer().rsa(yes(ck.CKA_EXTRACTABLE)...)
			_, rv := h.Wrap(h.Arena, h.s, cbcPad, h.generate(yes(ck.CKA_WRAP)...), private)
			return rv
		}},
	{"secret key wrapped, policy 5 off", false, ck.CKR_KEY_NOT_WRAPPABLE, ck.CKR_KEY_NOT_WRAPPABLE,
		func(h *host) ck.RV {
			key := h.policy(5, "off").asOfficer().generate(yes(ck.CKA_WRAP, ck.CKA_EXTRACTABLE)...)
			_, rv := h.Wrap(h.Arena, h.s, cbcPad, key, key)
			return rv
		}},
	{"private key unwrapped, policy 2 off", false, ck.CKR_KEY_NOT_WRAPPABLE, ck.CKR_KEY_NOT_WRAPPABLE,
		func(h *host) ck.RV { return h.policy(2, "off").asOfficer().tryUnwrap(ck.CKO_PRIVATE_KEY, ck.CKK_EC) }},
	{"secret key unwrapped, policy 6 off", false, ck.CKR_KEY_NOT_WRAPPABLE, ck.CKR_KEY_NOT_WRAPPABLE,
		func(h *host) ck.RV { return h.policy(6, "off").asOfficer().tryUnwrap(ck.CKO_SECRET_KEY, ck.CKK_AES) }},
	{"unwrapped key without a length", false, ck.CKR_OK, ck.CKR_TEMPLATE_INCOMPLETE,
		func(h *host) ck.RV { return h.asOfficer().tryUnwrap(ck.CKO_SECRET_KEY, ck.CKK_GENERIC_SECRET) }},
	{"RSA of PKCS #1, policy 33 off", false, ck.CKR_MECHANISM_INVALID, ck.CKR_MECHANISM_INVALID,
		func(h *host) ck.RV {
			_, private := h.policy(33, "off").asOfficer().rsa(yes(ck.CKA_SIGN)...)
			return h.begin("C_SignInit", ck.CKM_RSA_PKCS, nil, private)
		}},
	{"key whose time is over, policy 39 on", false, ck.CKR_KEY_NOT_ACTIVE, ck.CKR_KEY_NOT_ACTIVE,
		func(h *host) ck.RV {
			key := h.policy(39, "on").asOfficer().generate(append(yes(ck.CKA_SIGN), ck.NewBytes(ck.CKA_END_DATE, []byte("20010101")))...)
			return h.begin("C_SignInit", ck.CKM_AES_CMAC, nil, key)
		}},
	{"the officer is a user, policy 28 off", false, ck.CKR_USER_NOT_AUTHORIZED, ck.CKR_USER_NOT_AUTHORIZED,
		func(h *host) ck.RV { return h.policy(28, "off").asOfficer().tryGenerate() }},
	{"function that the device lacks", false, ck.CKR_OPERATION_NOT_INITIALIZED, ck.CKR_FUNCTION_NOT_SUPPORTED,
		func(h *host) ck.RV {
			return h.Call("C_SignRecover", h.s, h.Exact(make([]byte, 8)), 8, h.Exact(make([]byte, 256)), h.ULong(256))
		}},
}

// cbcPad wraps keys of any kind.
var cbcPad = c11.Mech{Type: ck.CKM_AES_CBC_PAD, Param: make([]byte, 16)}

// adminSlot is where the HSM's own roles log in.
const adminSlot = 0xFFFFFF00

var p256 = []byte{6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7}

func TestCodes(t *testing.T) {
	for _, c := range situations {
		for profile, want := range map[string]ck.RV{standard: c.standard, luna: c.luna} {
			t.Run(strings.ReplaceAll(c.situation, " ", "-")+"/"+profile, func(t *testing.T) {
				var h *host
				if c.fips {
					h = inFIPSMode(t, profile)
				} else {
					h = newHost(t, profile)
				}
				if got := c.answer(h); got != want {
					t.Errorf("got %v, want %v", got, want)
				}
			})
		}
	}
}

// policy sets a policy of the partition, in a direction that destroys nothing.
func (h *host) policy(id int, value string) *host {
	h.t.Helper()
	h.perilune(fmt.Sprintf("partition policy set --slot 0 --so-pin env:SO --id %d --value %s", id, value))
	return h
}

// tryUnwrap unwraps what was encrypted outside: a P-256 key or 16 bytes.
func (h *host) tryUnwrap(class ck.ObjectClass, kt ck.KeyType) ck.RV {
	h.t.Helper()
	kek := h.generate(yes(ck.CKA_ENCRYPT, ck.CKA_UNWRAP)...)
	plain := make([]byte, 16)
	template := []ck.Attribute{ck.NewULong(ck.CKA_CLASS, class), ck.NewULong(ck.CKA_KEY_TYPE, kt)}
	if class == ck.CKO_PRIVATE_KEY {
		plain = privateKeyInfo(h.t)
	}
	if kt == ck.CKK_AES {
		template = append(template, ck.NewULong(ck.CKA_VALUE_LEN, uint64(16)))
	}
	blob, rv := h.Single(h.Arena, h.Encryption(), h.s, cbcPad, kek, plain)
	h.answers(ck.CKR_OK, "C_Encrypt", rv)
	_, rv = h.Unwrap(h.Arena, h.s, cbcPad, kek, blob, template...)
	return rv
}

// wrong tries a wrong PIN.
func (h *host) wrong(user ck.UserType) ck.RV { return h.login(h.s, user, "pin-of-nobody") }

// wrongTimes tries it n times and answers the last answer.
func (h *host) wrongTimes(n int, user ck.UserType) (rv ck.RV) {
	h.t.Helper()
	for range n - 1 {
		h.answers(ck.CKR_PIN_INCORRECT, "C_Login", h.wrong(user))
	}
	return h.wrong(user)
}

// asUser logs the Crypto User in, with a PIN of its own.
func (h *host) asUser() *host {
	h.t.Helper()
	h.perilune("role init --slot 0 --role cu --pin env:CO --new-pin env:FIRST")
	h.perilune("role changepw --slot 0 --role cu --pin env:FIRST --new-pin env:CU")
	h.answers(ck.CKR_OK, "C_Login", h.login(h.s, ck.CKU_CRYPTO_USER, userPIN))
	return h
}

func (h *host) tryGenerate(list ...ck.Attribute) ck.RV {
	_, rv := h.Generate(h.Arena, h.s, c11.Mech{Type: ck.CKM_AES_KEY_GEN}, append(list, ck.NewULong(ck.CKA_VALUE_LEN, uint64(16)))...)
	return rv
}

func (h *host) create(list ...ck.Attribute) ck.RV {
	_, rv := h.Create(h.s, list...)
	return rv
}

// tryCreate makes an AES key in the clear.
func (h *host) tryCreate(list ...ck.Attribute) ck.RV {
	return h.create(append(list, ck.NewULong(ck.CKA_CLASS, ck.CKO_SECRET_KEY), ck.NewULong(ck.CKA_KEY_TYPE, ck.CKK_AES), ck.NewBytes(ck.CKA_VALUE, make([]byte, 16)))...)
}

func (h *host) set(o uint64, a ck.Attribute) ck.RV {
	return h.Call("C_SetAttributeValue", h.s, o, h.Template(a), 1)
}

func (h *host) begin(name string, m ck.MechanismType, param []byte, key uint64) ck.RV {
	return h.Call(name, h.s, h.Mechanism(m, param), key)
}

func (h *host) rsa(private ...ck.Attribute) (pub, priv uint64) {
	h.t.Helper()
	pub, priv, rv := h.GeneratePair(h.Arena, h.s, c11.Mech{Type: ck.CKM_RSA_PKCS_KEY_PAIR_GEN}, []ck.Attribute{ck.NewULong(ck.CKA_MODULUS_BITS, uint64(1024))}, private)
	h.answers(ck.CKR_OK, "C_GenerateKeyPair", rv)
	return pub, priv
}

// TestAdministrationCodes: with as many partitions as the profile allows, and no
// room for one more.
func TestAdministrationCodes(t *testing.T) {
	h := bare(t)
	h.perilune("hsm init --label hsm --so-pin env:HSM_SO --profile " + luna)
	create := []string{"partition", "create", "--hsm-so-pin", "env:HSM_SO", "--size", "2000", "--name"}
	for _, name := range strings.Split("abcdefghij", "") {
		if out, err := h.run(h.program, append(create, "p"+name)...); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	h.refuses("CKR_LICENSE_CAPACITY_EXCEEDED", append(create, "p11")...)
	h.perilune("partition delete --slot 9 --force --hsm-so-pin env:HSM_SO")
	create[5] = "40000000"
	h.refuses("CKR_HSM_STORAGE_FULL", append(create, "big")...)
}

// refuses runs the program, which must fail with a code in its message.
func (h *host) refuses(code string, args ...string) {
	h.t.Helper()
	out, err := h.run(h.program, args...)
	if err == nil || !strings.Contains(out, code) {
		h.t.Errorf("perilune %s: %v, want %s\n%s", strings.Join(args, " "), err, code, out)
	}
}
