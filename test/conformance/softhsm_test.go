package conformance

import (
	"bytes"
	"crypto/dsa" //lint:ignore SA1019 the old algorithm is what is tested
	"crypto/rand"
	"encoding/hex"
	"flag"
	"fmt"
	"math/big"
	"math/bits"
	"os"
	"strings"
	"sync"
	"testing"
	"unsafe"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/test/c11"
)

var update = flag.Bool("update", false, "write docs/softhsm-differences.md anew")

const (
	softHSM         = "/usr/lib/softhsm/libsofthsm2.so"
	differencesFile = "../../docs/softhsm-differences.md"
)

// step is something done to both modules. What it returns is compared: a code,
// or a result.
type step struct {
	name string
	run  func(c *client) string
	// why explains a difference; a step without must come out the same.
	why string
}

// both calls one function.
func both(name, function string, args func(c *client) []any, why ...string) step {
	return step{name, func(c *client) string { return code(c.Call(function, args(c)...)) }, strings.Join(why, "")}
}

func code(rv ck.RV) string { return rv.String() }

// outcome is a code, and the result if there is one.
func outcome(b []byte, rv ck.RV) string {
	if rv != ck.CKR_OK {
		return code(rv)
	}
	if len(b) == 0 {
		return "empty"
	}
	return hex.EncodeToString(b)
}

// made tells how C_CreateObject ends, or what an attribute of the new object is.
func made(name string, t ck.AttributeType, why string, list ...ck.Attribute) step {
	return step{name, func(c *client) string {
		o, rv := c.tryObject(list...)
		if rv != ck.CKR_OK || t == 0 {
			return code(rv)
		}
		return outcome(c.Get(c.s, o, t))
	}, why}
}

// enc encrypts, or tells why not.
func enc(name string, m func(c *client) c11.Mech, value, in []byte, why ...string) step {
	return step{name, func(c *client) string {
		o := c.object(secret(ck.CKK_AES, value)...)
		return outcome(c.Single(c.Arena, c.Encryption(), c.s, m(c), o, in))
	}, strings.Join(why, "")}
}

func plainMech(t ck.MechanismType, param []byte) func(*client) c11.Mech {
	return func(*client) c11.Mech { return c11.Mech{Type: t, Param: param} }
}

func args(list ...any) func(*client) []any { return func(*client) []any { return list } }

func onSession(list ...any) func(*client) []any {
	return func(c *client) []any { return append([]any{c.s}, list...) }
}

func gcmMech(n int) func(*client) c11.Mech {
	return func(c *client) c11.Mech {
		return c11.Mech{Type: ck.CKM_AES_GCM, Param: c11.Words(c.Ptr(sequence(n)), uint64(n), uint64(8*n), c.Ptr(sequence(5)), 5, 128)}
	}
}

// comparisons are what both modules do. Explanations of differences are the
// table of docs/softhsm-differences.md.
func comparisons() []step {
	aesKey := secret(ck.CKK_AES, sequence(16))
	dataObject := []ck.Attribute{class(ck.CKO_DATA), boolean(ck.CKA_TOKEN, false), boolean(ck.CKA_PRIVATE, false), text(ck.CKA_LABEL, "d"), text(ck.CKA_VALUE, "v")}
	bare := func(t ck.KeyType) []ck.Attribute {
		return []ck.Attribute{class(ck.CKO_SECRET_KEY), keyType(t), bytesOf(ck.CKA_VALUE, sequence(16))}
	}
	rsaPublic := []ck.Attribute{class(ck.CKO_PUBLIC_KEY), keyType(ck.CKK_RSA), bytesOf(ck.CKA_MODULUS, rsaKey().N.Bytes()), bytesOf(ck.CKA_PUBLIC_EXPONENT, []byte{1, 0, 1})}
	sign := func(name string, m ck.MechanismType, param []byte, in []byte, why string) step {
		return step{name, func(c *client) string {
			_, priv := c.rsa(boolean(ck.CKA_TOKEN, false))
			return outcome(c.Single(c.Arena, c.Signing(), c.s, c11.Mech{Type: m, Param: param}, priv, in))
		}, why}
	}
	selfVerify := func(name string, m ck.MechanismType, param []byte, in []byte, why string) step {
		return step{name, func(c *client) string {
			pub, priv := c.rsa(boolean(ck.CKA_TOKEN, false))
			sig, rv := c.Single(c.Arena, c.Signing(), c.s, c11.Mech{Type: m, Param: param}, priv, in)
			if rv != ck.CKR_OK {
				return code(rv)
			}
			return code(c.Verify(c.Arena, c.s, c11.Mech{Type: m, Param: param}, pub, in, sig))
		}, why}
	}
	oaep := func(name string, h ck.MechanismType, mgf ck.MGF, label []byte, why string) step {
		return step{name, func(c *client) string {
			pub, priv := c.rsa(boolean(ck.CKA_TOKEN, false))
			m := c11.Mech{Type: ck.CKM_RSA_PKCS_OAEP, Param: c11.Words(uint64(h), uint64(mgf), 1, c.Ptr(label), uint64(len(label)))}
			ct, rv := c.Single(c.Arena, c.Encryption(), c.s, m, pub, sequence(20))
			if rv != ck.CKR_OK {
				return code(rv)
			}
			return outcome(c.Single(c.Arena, c.Decryption(), c.s, m, priv, ct))
		}, why}
	}
	curve := func(name string, params []byte, why string) step {
		return step{name, func(c *client) string {
			pub, priv := with(yes(ck.CKA_VERIFY), bytesOf(ck.CKA_EC_PARAMS, params)), yes(ck.CKA_SIGN)
			return code(c.Call("C_GenerateKeyPair", c.s, c.Mechanism(ck.CKM_EC_KEY_PAIR_GEN, nil), c.Template(pub...), len(pub), c.Template(priv...), len(priv), c.ULong(0), c.ULong(0)))
		}, why}
	}
	begun := func(name string, begin func(c *client, key uint64), do func(c *client, key uint64) string, why ...string) step {
		return step{name, func(c *client) string {
			key := c.object(aesKey...)
			begin(c, key)
			return do(c, key)
		}, strings.Join(why, "")}
	}
	des3 := func(name string, m ck.MechanismType, param []byte, keyLen, n int) step {
		return step{name, func(c *client) string {
			t := ck.KeyType(ck.CKK_DES3)
			if keyLen == 16 {
				t = ck.CKK_DES2
			}
			o := c.object(secret(t, oddParity(sequence(keyLen)))...)
			return outcome(c.Single(c.Arena, c.Encryption(), c.s, c11.Mech{Type: m, Param: param}, o, sequence(n)))
		}, ""}
	}
	derives := func(name string, m ck.MechanismType, t ck.KeyType, keyLen int, iv []byte, n int) step {
		return step{name, func(c *client) string {
			base := c.object(secret(t, oddParity(sequence(keyLen)))...)
			param := append(bytes.Clone(iv), c11.Words(c.Ptr(sequence(n)), uint64(n))...)
			o, rv := c.derive(c.Mechanism(m, param), base, append(no(ck.CKA_SENSITIVE, ck.CKA_TOKEN), class(ck.CKO_SECRET_KEY), keyType(ck.CKK_GENERIC_SECRET), ulong(ck.CKA_VALUE_LEN, uint64(24)), boolean(ck.CKA_EXTRACTABLE, true))...)
			if rv != ck.CKR_OK {
				return code(rv)
			}
			return outcome(c.Get(c.s, o, ck.CKA_VALUE))
		}, ""}
	}
	dsaSign := func(name string, m ck.MechanismType, n int) step {
		return step{name, func(c *client) string {
			pub, priv := c.dsa()
			sig, rv := c.Single(c.Arena, c.Signing(), c.s, c11.Mech{Type: m}, priv, sequence(n))
			if rv != ck.CKR_OK {
				return code(rv)
			}
			return fmt.Sprintf("%d bytes, %s", len(sig), code(c.Verify(c.Arena, c.s, c11.Mech{Type: m}, pub, sequence(n), sig)))
		}, ""}
	}
	dh := func(name string, more ...ck.Attribute) step {
		return step{name, func(c *client) string {
			p := new(big.Int).SetBytes(groupPrime)
			peer := new(big.Int).Exp(big.NewInt(2), new(big.Int).SetBytes(sequence(40)), p)
			return c.dh(peer.Bytes(), more...)
		}, ""}
	}
	ecb := func(c *client, key uint64) { c.must("C_EncryptInit", c.s, c.Mechanism(ck.CKM_AES_ECB, nil), key) }
	nothing := func(*client, uint64) {}
	list := []step{
		// General
		both("`C_Initialize` twice", "C_Initialize", args(nil)),
		both("`C_Finalize` with an argument", "C_Finalize", func(c *client) []any { return []any{c.Alloc(8)} }),
		both("`C_GetInfo` with null", "C_GetInfo", args(nil)),
		both("`C_GetSlotList` with null", "C_GetSlotList", args(0, nil, nil)),
		both("`C_GetSlotInfo` of a slot that is not there", "C_GetSlotInfo", func(c *client) []any { return []any{0x7777777, c.Alloc(256)} }),
		both("`C_GetMechanismInfo` of an unknown mechanism", "C_GetMechanismInfo", func(c *client) []any { return []any{0, 0x7fffffff, c.Alloc(64)} }),
		both("`C_OpenSession` without `CKF_SERIAL_SESSION`", "C_OpenSession", func(c *client) []any { return []any{0, 2, nil, nil, c.ULong(0)} }),
		both("`C_CloseSession` of a handle that is none", "C_CloseSession", args(987654)),
		both("`C_InitToken` with a session open", "C_InitToken", func(c *client) []any {
			return []any{0, c.Exact([]byte(soPIN)), len(soPIN), c.Exact(bytes.Repeat([]byte(" "), 32))}
		}),
		both("`C_GetFunctionStatus`", "C_GetFunctionStatus", onSession()),
		both("`C_CancelFunction`", "C_CancelFunction", onSession()),
		both("`C_GenerateRandom` of 0 bytes", "C_GenerateRandom", func(c *client) []any { return []any{c.s, c.Alloc(8), 0} }),
		both("`C_GenerateRandom` with null", "C_GenerateRandom", onSession(nil, 8)),
		both("`C_SeedRandom`", "C_SeedRandom", func(c *client) []any { return []any{c.s, c.Alloc(8), 8} }),
		// Login
		step{"`C_Login` of the user, again", func(c *client) string { return code(c.login(c.s, ck.CKU_USER, userPIN)) }, ""},
		step{"`C_Login` of the SO beside the user", func(c *client) string { return code(c.login(c.s, ck.CKU_SO, soPIN)) }, ""},
		step{"`C_Login` of an unknown user type", func(c *client) string { return code(c.login(c.s, 77, userPIN)) }, ""},
		step{"`C_Login` with `CKU_CONTEXT_SPECIFIC` and no operation", func(c *client) string { return code(c.login(c.s, ck.CKU_CONTEXT_SPECIFIC, userPIN)) }, ""},
		both("`C_InitPIN` as the user", "C_InitPIN", func(c *client) []any { return []any{c.s, c.Exact([]byte(userPIN)), len(userPIN)} }),
		step{"`C_SetPIN` with a wrong PIN", func(c *client) string {
			return code(c.Call("C_SetPIN", c.s, c.Exact([]byte("wrong pin")), 9, c.Exact([]byte("other pin")), 9))
		}, ""},
		step{"`C_SetPIN` to three bytes", func(c *client) string {
			return code(c.Call("C_SetPIN", c.s, c.Exact([]byte(userPIN)), len(userPIN), c.Exact([]byte("abc")), 3))
		}, ""},
		// Objects
		made("`C_CreateObject` with nothing", 0, ""),
		made("`C_CreateObject` of a secret key without a type", 0, "", class(ck.CKO_SECRET_KEY)),
		made("`C_CreateObject` of an unknown class", 0, "", class(99)),
		made("`C_CreateObject` with an attribute that is unknown", 0, "", with(dataObject, bytesOf(0x7fffffff, []byte{1}))...),
		made("`C_CreateObject` of a data object with `CKA_MODULUS`", 0, "", with(dataObject, bytesOf(ck.CKA_MODULUS, []byte{1}))...),
		made("`C_CreateObject` with `CKA_LOCAL`", 0, "", with(aesKey, boolean(ck.CKA_LOCAL, true))...),
		made("`C_CreateObject` with a wrong `CKA_CHECK_VALUE`", 0, "", with(aesKey, bytesOf(ck.CKA_CHECK_VALUE, []byte{1, 2, 3}))...),
		made("`C_CreateObject` of an AES key of 17 bytes", 0, "", secret(ck.CKK_AES, sequence(17))...),
		made("`C_CreateObject` with `CKA_TOKEN` of two bytes", 0, "", append([]ck.Attribute{bytesOf(ck.CKA_TOKEN, []byte{0, 0})}, bare(ck.CKK_AES)...)...),
		made("`C_CreateObject` with `CKA_TRUSTED` as the user", 0, "", with(rsaPublic, boolean(ck.CKA_TRUSTED, true))...),
		made("`C_CreateObject` with `CKA_UNIQUE_ID`", 0, "", with(dataObject, text(ck.CKA_UNIQUE_ID, "x"))...),
		made("`CKA_CHECK_VALUE` of an AES key", ck.CKA_CHECK_VALUE, "", aesKey...),
		made("`CKA_CHECK_VALUE` of a generic secret", ck.CKA_CHECK_VALUE, "", secret(ck.CKK_GENERIC_SECRET, sequence(16))...),
		made("`CKA_PRIVATE` of a secret key by default", ck.CKA_PRIVATE, "", bare(ck.CKK_AES)...),
		made("`CKA_PRIVATE` of a public key by default", ck.CKA_PRIVATE, "", rsaPublic...),
		made("`CKA_SENSITIVE` of a secret key by default", ck.CKA_SENSITIVE, "", bare(ck.CKK_AES)...),
		made("`CKA_EXTRACTABLE` of a secret key by default", ck.CKA_EXTRACTABLE, "", bare(ck.CKK_AES)...),
		made("`CKA_ENCRYPT` of an AES key by default", ck.CKA_ENCRYPT, "", bare(ck.CKK_AES)...),
		made("`CKA_SIGN` of an AES key by default", ck.CKA_SIGN, "", bare(ck.CKK_AES)...),
		made("`CKA_WRAP` of an AES key by default", ck.CKA_WRAP, "", bare(ck.CKK_AES)...),
		made("`CKA_DERIVE` of an AES key by default", ck.CKA_DERIVE, "", bare(ck.CKK_AES)...),
		made("`CKA_VERIFY` of an RSA public key by default", ck.CKA_VERIFY, "", rsaPublic...),
		made("`CKA_MODIFIABLE` by default", ck.CKA_MODIFIABLE, "", dataObject...),
		made("`CKA_COPYABLE` by default", ck.CKA_COPYABLE, "", dataObject...),
		made("`CKA_KEY_GEN_MECHANISM` of a created key", ck.CKA_KEY_GEN_MECHANISM, "", aesKey...),
		made("`CKA_VALUE_LEN` of a created key", ck.CKA_VALUE_LEN, "", aesKey...),
		made("`CKA_MODULUS_BITS` of a created public key", ck.CKA_MODULUS_BITS, "", rsaPublic...),
		made("`CKA_PUBLIC_KEY_INFO` of a created public key", ck.CKA_PUBLIC_KEY_INFO, "", rsaPublic...),
		made("`CKA_VALUE` of a sensitive key", ck.CKA_VALUE, "", append(bare(ck.CKK_AES), boolean(ck.CKA_SENSITIVE, true))...),
		made("`CKA_MODULUS` of a data object", ck.CKA_MODULUS, "", dataObject...),
		step{"`C_GetAttributeValue` with too small a buffer", func(c *client) string {
			o := c.object(dataObject...)
			p := c.Exact(c11.Words(uint64(ck.CKA_VALUE), uint64(uintptr(c.Alloc(1))), 0))
			rv := c.Call("C_GetAttributeValue", c.s, o, p, 1)
			return fmt.Sprintf("%s, length %#x", code(rv), c11.Number(unsafe.Add(p, 16)))
		}, ""},
		step{"`C_GetAttributeValue` of a sensitive, a missing and a short attribute", func(c *client) string {
			o := c.object(append(bare(ck.CKK_AES), boolean(ck.CKA_SENSITIVE, true))...)
			p := c.Exact(append(append(c11.Words(uint64(ck.CKA_VALUE), 0, 0), c11.Words(uint64(ck.CKA_MODULUS), 0, 0)...), c11.Words(uint64(ck.CKA_KEY_TYPE), uint64(uintptr(c.Alloc(1))), 1)...))
			return code(c.Call("C_GetAttributeValue", c.s, o, p, 3))
		}, ""},
		step{"`C_GetAttributeValue` of a destroyed object", func(c *client) string {
			o := c.object(dataObject...)
			c.must("C_DestroyObject", c.s, o)
			return outcome(c.Get(c.s, o, ck.CKA_LABEL))
		}, ""},
		step{"`C_SetAttributeValue` of `CKA_CLASS`", func(c *client) string { return code(c.set(c.object(dataObject...), class(ck.CKO_SECRET_KEY))) }, ""},
		step{"`C_SetAttributeValue` of `CKA_SENSITIVE` back to false", func(c *client) string {
			return code(c.set(c.object(append(bare(ck.CKK_AES), boolean(ck.CKA_SENSITIVE, true))...), boolean(ck.CKA_SENSITIVE, false)))
		}, ""},
		step{"`C_SetAttributeValue` of an object that is not modifiable", func(c *client) string {
			return code(c.set(c.object(with(dataObject, boolean(ck.CKA_MODIFIABLE, false))...), text(ck.CKA_LABEL, "x")))
		}, ""},
		step{"`C_CopyObject` of an object that is not copyable", func(c *client) string {
			return code(c.Call("C_CopyObject", c.s, c.object(with(dataObject, boolean(ck.CKA_COPYABLE, false))...), nil, 0, c.ULong(0)))
		}, ""},
		step{"`C_CopyObject` with another label", func(c *client) string {
			return code(c.Call("C_CopyObject", c.s, c.object(dataObject...), c.Template(text(ck.CKA_LABEL, "x")), 1, c.ULong(0)))
		}, ""},
		step{"`C_DestroyObject` of an object that is not destroyable", func(c *client) string {
			return code(c.Call("C_DestroyObject", c.s, c.object(with(dataObject, boolean(ck.CKA_DESTROYABLE, false))...)))
		}, ""},
		step{"`C_GetObjectSize`", func(c *client) string {
			p := c.ULong(0)
			rv := c.Call("C_GetObjectSize", c.s, c.object(dataObject...), p)
			if rv == ck.CKR_OK && c11.Number(p) == unavailable {
				return "CKR_OK, size not told"
			}
			return code(rv) + ", a size"
		}, ""},
		step{"`C_FindObjectsInit` twice", func(c *client) string {
			c.must("C_FindObjectsInit", c.s, nil, 0)
			defer c.must("C_FindObjectsFinal", c.s)
			return code(c.Call("C_FindObjectsInit", c.s, nil, 0))
		}, ""},
		both("`C_FindObjects` without `C_FindObjectsInit`", "C_FindObjects", func(c *client) []any { return []any{c.s, c.Alloc(8), 1, c.ULong(0)} }),
		step{"a search by an unknown attribute", func(c *client) string {
			return fmt.Sprint(len(c.find(c.s, bytesOf(0x7fffffff, []byte{1}))), " objects")
		}, ""},
		// Operations
		begun("`C_EncryptInit` twice", ecb, func(c *client, k uint64) string {
			return code(c.Call("C_EncryptInit", c.s, c.Mechanism(ck.CKM_AES_ECB, nil), k))
		}),
		begun("`C_EncryptInit` with a null mechanism, nothing under way", nothing, func(c *client, k uint64) string { return code(c.Call("C_EncryptInit", c.s, nil, 0)) }),
		begun("`C_EncryptInit` with a null mechanism, to cancel", ecb, func(c *client, k uint64) string { return code(c.Call("C_EncryptInit", c.s, nil, 0)) }),
		begun("`C_Encrypt` without `C_EncryptInit`", nothing, func(c *client, k uint64) string {
			return code(c.Call("C_Encrypt", c.s, c.Alloc(16), 16, c.Alloc(16), c.ULong(16)))
		}),
		begun("`C_Encrypt` after `C_EncryptUpdate`", ecb, func(c *client, k uint64) string {
			c.must("C_EncryptUpdate", c.s, c.Alloc(16), 16, c.Alloc(64), c.ULong(64))
			return code(c.Call("C_Encrypt", c.s, c.Alloc(16), 16, c.Alloc(64), c.ULong(64)))
		}),
		begun("`C_Encrypt` of 15 bytes with ECB", ecb, func(c *client, k uint64) string {
			return code(c.Call("C_Encrypt", c.s, c.Alloc(16), 15, c.Alloc(16), c.ULong(16)))
		}),
		begun("`C_Encrypt` with too small a buffer, then enough", ecb, func(c *client, k uint64) string {
			n := c.ULong(15)
			a := c.Call("C_Encrypt", c.s, c.Alloc(16), 16, c.Alloc(16), n)
			need := c11.Number(n)
			b := c.Call("C_Encrypt", c.s, c.Alloc(16), 16, c.Alloc(16), c.ULong(16))
			return fmt.Sprintf("%s (%d), %s", code(a), need, code(b))
		}),
		begun("`C_Encrypt` without a place for the length", ecb, func(c *client, k uint64) string {
			return code(c.Call("C_Encrypt", c.s, c.Alloc(16), 16, c.Alloc(16), nil))
		}),
		begun("`C_Encrypt` after such an error", ecb, func(c *client, k uint64) string {
			c.Call("C_Encrypt", c.s, c.Alloc(16), 16, c.Alloc(16), nil)
			return code(c.Call("C_Encrypt", c.s, c.Alloc(16), 16, c.Alloc(16), c.ULong(16)))
		}),
		begun("`C_EncryptInit` with a key that may not", nothing, func(c *client, k uint64) string {
			o := c.object(append(bare(ck.CKK_AES), boolean(ck.CKA_ENCRYPT, false))...)
			return code(c.Call("C_EncryptInit", c.s, c.Mechanism(ck.CKM_AES_ECB, nil), o))
		}),
		begun("`C_EncryptInit` with a key of another type", nothing, func(c *client, k uint64) string {
			o := c.object(secret(ck.CKK_GENERIC_SECRET, sequence(16))...)
			return code(c.Call("C_EncryptInit", c.s, c.Mechanism(ck.CKM_AES_ECB, nil), o))
		}),
		begun("`C_EncryptInit` with no key", nothing, func(c *client, k uint64) string {
			return code(c.Call("C_EncryptInit", c.s, c.Mechanism(ck.CKM_AES_ECB, nil), 987654))
		}),
		begun("`C_EncryptInit` with a mechanism for something else", nothing, func(c *client, k uint64) string {
			return code(c.Call("C_EncryptInit", c.s, c.Mechanism(ck.CKM_SHA256, nil), k))
		}),
		begun("`C_EncryptInit` against `CKA_ALLOWED_MECHANISMS`", nothing, func(c *client, k uint64) string {
			o := c.object(with(aesKey, bytesOf(ck.CKA_ALLOWED_MECHANISMS, ck.PutMechanismTypes(ck.CKM_AES_CBC)))...)
			return code(c.Call("C_EncryptInit", c.s, c.Mechanism(ck.CKM_AES_ECB, nil), o))
		}),
		begun("`C_DigestKey` of a sensitive key", nothing, func(c *client, k uint64) string {
			o := c.object(append(bare(ck.CKK_AES), boolean(ck.CKA_SENSITIVE, true), boolean(ck.CKA_EXTRACTABLE, false))...)
			c.must("C_DigestInit", c.s, c.Mechanism(ck.CKM_SHA256, nil))
			return code(c.Call("C_DigestKey", c.s, o))
		}),
		begun("`C_GetOperationState` of a digest", func(c *client, k uint64) { c.must("C_DigestInit", c.s, c.Mechanism(ck.CKM_SHA256, nil)) },
			func(c *client, k uint64) string { return code(c.Call("C_GetOperationState", c.s, nil, c.ULong(0))) }),
		begun("digesting and encrypting in one session", ecb, func(c *client, k uint64) string {
			return code(c.Call("C_DigestInit", c.s, c.Mechanism(ck.CKM_SHA256, nil)))
		}),
		enc("AES-ECB", plainMech(ck.CKM_AES_ECB, nil), sequence(16), sequence(32)),
		enc("AES-CBC", plainMech(ck.CKM_AES_CBC, sequence(16)), sequence(24), sequence(32)),
		enc("AES-CBC with an IV of 15 bytes", plainMech(ck.CKM_AES_CBC, sequence(15)), sequence(24), sequence(32)),
		enc("AES-CBC with padding", plainMech(ck.CKM_AES_CBC_PAD, sequence(16)), sequence(32), sequence(30)),
		enc("AES-CBC with padding, no data, given as null", plainMech(ck.CKM_AES_CBC_PAD, sequence(16)), sequence(32), nil),
		enc("AES-CTR", plainMech(ck.CKM_AES_CTR, append(c11.Words(128), sequence(16)...)), sequence(32), sequence(30)),
		enc("AES-GCM with an IV of 12 bytes", gcmMech(12), sequence(16), sequence(30)),
		enc("AES-GCM with an IV of 16 bytes", gcmMech(16), sequence(16), sequence(30)),
		enc("AES-GCM with an IV of 1 byte", gcmMech(1), sequence(16), sequence(30)),
		step{"AES-GCM without an IV", func(c *client) string {
			p := c11.Words(0, 0, 0, c.Ptr(sequence(5)), 5, 128)
			ct, rv := c.Single(c.Arena, c.Encryption(), c.s, c11.Mech{Type: ck.CKM_AES_GCM, Param: p}, c.object(aesKey...), sequence(30))
			return fmt.Sprintf("%s, %d bytes of 30", code(rv), len(ct))
		}, ""},
		enc("AES-GCM, no data, given as null", gcmMech(12), sequence(16), nil),
		step{"AES-GCM, a wrong tag", func(c *client) string {
			o := c.object(aesKey...)
			ct, rv := c.Single(c.Arena, c.Encryption(), c.s, gcmMech(12)(c), o, sequence(20))
			c.ok("C_Encrypt", rv)
			ct[30] ^= 1
			c.must("C_DecryptInit", c.s, c.Mechanism(ck.CKM_AES_GCM, gcmMech(12)(c).Param), o)
			return code(c.Call("C_Decrypt", c.s, c.Exact(ct), len(ct), c.Alloc(64), c.ULong(64)))
		}, ""},
		step{"AES-CBC with padding, wrong padding", func(c *client) string {
			o := c.object(aesKey...)
			c.must("C_DecryptInit", c.s, c.Mechanism(ck.CKM_AES_CBC_PAD, sequence(16)), o)
			return code(c.Call("C_Decrypt", c.s, c.Exact(sequence(32)), 32, c.Alloc(64), c.ULong(64)))
		}, ""},
		step{"SHA-256 of nothing, given as null", func(c *client) string {
			c.must("C_DigestInit", c.s, c.Mechanism(ck.CKM_SHA256, nil))
			out := c.Alloc(32)
			if rv := c.Call("C_Digest", c.s, nil, 0, out, c.ULong(32)); rv != ck.CKR_OK {
				return code(rv)
			}
			return hex.EncodeToString(c11.Peek(out, 32))
		}, ""},
		step{"SHA-512", func(c *client) string { return hex.EncodeToString(c.digest(ck.CKM_SHA512, sequence(200))) }, ""},
		step{"HMAC-SHA-256", func(c *client) string {
			o := c.object(secret(ck.CKK_GENERIC_SECRET, sequence(40))...)
			return outcome(c.Single(c.Arena, c.Signing(), c.s, c11.Mech{Type: ck.CKM_SHA256_HMAC}, o, sequence(50)))
		}, ""},
		step{"HMAC-SHA-256 with a key of 8 bytes", func(c *client) string {
			o := c.object(secret(ck.CKK_GENERIC_SECRET, sequence(8))...)
			return outcome(c.Single(c.Arena, c.Signing(), c.s, c11.Mech{Type: ck.CKM_SHA256_HMAC}, o, sequence(50)))
		}, ""},
		step{"HMAC-SHA-256 of nothing, given as null", func(c *client) string {
			o := c.object(secret(ck.CKK_GENERIC_SECRET, sequence(40))...)
			return outcome(c.Single(c.Arena, c.Signing(), c.s, c11.Mech{Type: ck.CKM_SHA256_HMAC}, o, nil))
		}, ""},
		step{"AES-CMAC", func(c *client) string {
			return outcome(c.Single(c.Arena, c.Signing(), c.s, c11.Mech{Type: ck.CKM_AES_CMAC}, c.object(aesKey...), sequence(50)))
		}, ""},
		step{"`C_Verify` of a wrong signature", func(c *client) string {
			return code(c.Verify(c.Arena, c.s, c11.Mech{Type: ck.CKM_AES_CMAC}, c.object(aesKey...), sequence(5), sequence(16)))
		}, ""},
		step{"`C_Verify` of a short signature", func(c *client) string {
			return code(c.Verify(c.Arena, c.s, c11.Mech{Type: ck.CKM_AES_CMAC}, c.object(aesKey...), sequence(5), sequence(15)))
		}, ""},
		sign("RSA PKCS #1 v1.5 with SHA-256", ck.CKM_SHA256_RSA_PKCS, nil, sequence(50), ""),
		sign("RSA PKCS #1 v1.5, raw data", ck.CKM_RSA_PKCS, nil, sequence(50), ""),
		sign("RSA PKCS #1 v1.5, data too long", ck.CKM_RSA_PKCS, nil, sequence(246), ""),
		sign("RSA PKCS #1 v1.5, no data, given as null", ck.CKM_RSA_PKCS, nil, nil, ""),
		sign("raw RSA, short data", ck.CKM_RSA_X_509, nil, sequence(50), ""),
		sign("PSS without salt", ck.CKM_SHA256_RSA_PKCS_PSS, c11.Words(uint64(ck.CKM_SHA256), uint64(ck.CKG_MGF1_SHA256), 0), sequence(50), ""),
		selfVerify("PSS", ck.CKM_SHA256_RSA_PKCS_PSS, c11.Words(uint64(ck.CKM_SHA256), uint64(ck.CKG_MGF1_SHA256), 32), sequence(50), ""),
		selfVerify("PSS with SHA-1 in the mask", ck.CKM_SHA256_RSA_PKCS_PSS, c11.Words(uint64(ck.CKM_SHA256), uint64(ck.CKG_MGF1_SHA1), 32), sequence(50), ""),
		selfVerify("PSS with too long a salt", ck.CKM_SHA256_RSA_PKCS_PSS, c11.Words(uint64(ck.CKM_SHA256), uint64(ck.CKG_MGF1_SHA256), 223), sequence(50), ""),
		oaep("OAEP with SHA-1", ck.CKM_SHA_1, ck.CKG_MGF1_SHA1, nil, ""),
		oaep("OAEP with SHA-256", ck.CKM_SHA256, ck.CKG_MGF1_SHA256, nil, ""),
		oaep("OAEP with a label", ck.CKM_SHA_1, ck.CKG_MGF1_SHA1, []byte("label"), ""),
		step{"`C_SignRecover`", func(c *client) string {
			_, priv := c.rsa(boolean(ck.CKA_TOKEN, false))
			return code(c.Call("C_SignRecoverInit", c.s, c.Mechanism(ck.CKM_RSA_PKCS, nil), priv))
		}, ""},
		step{"an RSA private key of modulus and exponents only", func(c *client) string {
			_, rv := c.tryObject(with(rsaPrivate()[:5], boolean(ck.CKA_SIGN, true))...)
			return code(rv)
		}, ""},
		// EC
		curve("P-256 by OID", p256, ""),
		curve("P-256 by name", append([]byte{0x13, 9}, "secp256r1"...), ""),
		curve("a curve by an unknown OID", oid(1, 2, 3, 4, 5), ""),
		curve("curve parameters that are no DER", []byte{0xff, 0xff}, ""),
		step{"an EC public key with a raw point", func(c *client) string {
			pub, _ := c.ec(p256)
			_, rv := c.tryObject(class(ck.CKO_PUBLIC_KEY), keyType(ck.CKK_EC), bytesOf(ck.CKA_EC_PARAMS, p256), bytesOf(ck.CKA_EC_POINT, c.get(pub, ck.CKA_EC_POINT)[2:]))
			return code(rv)
		}, ""},
		step{"an EC public key off the curve", func(c *client) string {
			_, rv := c.tryObject(class(ck.CKO_PUBLIC_KEY), keyType(ck.CKK_EC), bytesOf(ck.CKA_EC_PARAMS, p256), bytesOf(ck.CKA_EC_POINT, append([]byte{4, 65, 4}, sequence(64)...)))
			return code(rv)
		}, ""},
		step{"`CKA_EC_POINT` of a private key", func(c *client) string {
			_, priv := c.ec(p256)
			v, rv := c.Get(c.s, priv, ck.CKA_EC_POINT)
			return fmt.Sprintf("%s, %d bytes", code(rv), len(v))
		}, ""},
		step{"ECDSA of a hash longer than the curve", func(c *client) string {
			pub, priv := c.ec(p256)
			sig, rv := c.Single(c.Arena, c.Signing(), c.s, c11.Mech{Type: ck.CKM_ECDSA}, priv, sequence(64))
			if rv != ck.CKR_OK {
				return code(rv)
			}
			return code(c.Verify(c.Arena, c.s, c11.Mech{Type: ck.CKM_ECDSA}, pub, sequence(64), sig))
		}, ""},
		step{"`CKM_ECDSA_SHA256`", func(c *client) string {
			pub, priv := c.ec(p256)
			sig, rv := c.Single(c.Arena, c.Signing(), c.s, c11.Mech{Type: ck.CKM_ECDSA_SHA256}, priv, sequence(64))
			if rv != ck.CKR_OK {
				c.Call("C_SignInit", c.s, nil, 0)
				return code(rv)
			}
			return code(c.Verify(c.Arena, c.s, c11.Mech{Type: ck.CKM_ECDSA_SHA256}, pub, sequence(64), sig))
		}, ""},
		// Wrapping
		step{"AES key wrap", func(c *client) string {
			return outcome(c.wrap(c.Mechanism(ck.CKM_AES_KEY_WRAP, nil), c.object(aesKey...), c.object(secret(ck.CKK_AES, sequence(32))...)))
		}, ""},
		step{"AES key wrap with padding (`CKM_AES_KEY_WRAP_PAD`)", func(c *client) string {
			return outcome(c.wrap(c.Mechanism(ck.CKM_AES_KEY_WRAP_PAD, nil), c.object(aesKey...), c.object(secret(ck.CKK_GENERIC_SECRET, sequence(30))...)))
		}, ""},
		step{"wrapping a key that is not extractable", func(c *client) string {
			o := c.object(append(bare(ck.CKK_AES), boolean(ck.CKA_EXTRACTABLE, false))...)
			return outcome(c.wrap(c.Mechanism(ck.CKM_AES_KEY_WRAP, nil), c.object(aesKey...), o))
		}, ""},
		step{"wrapping a key for trusted keys with one that is not", func(c *client) string {
			o := c.object(with(aesKey, boolean(ck.CKA_WRAP_WITH_TRUSTED, true))...)
			return outcome(c.wrap(c.Mechanism(ck.CKM_AES_KEY_WRAP, nil), c.object(aesKey...), o))
		}, ""},
		step{"wrapping without a key that wraps", func(c *client) string {
			return outcome(c.wrap(c.Mechanism(ck.CKM_AES_KEY_WRAP, nil), 987654, c.object(aesKey...)))
		}, ""},
		step{"unwrapping what was changed", func(c *client) string {
			_, rv := c.unwrap(c.Mechanism(ck.CKM_AES_KEY_WRAP, nil), c.object(aesKey...), sequence(24), class(ck.CKO_SECRET_KEY), keyType(ck.CKK_AES), boolean(ck.CKA_TOKEN, false))
			return code(rv)
		}, ""},
		step{"unwrapping what has no possible length", func(c *client) string {
			_, rv := c.unwrap(c.Mechanism(ck.CKM_AES_KEY_WRAP, nil), c.object(aesKey...), sequence(23), class(ck.CKO_SECRET_KEY), keyType(ck.CKK_AES), boolean(ck.CKA_TOKEN, false))
			return code(rv)
		}, ""},
		// Generation
		step{"`C_GenerateKey` of AES without a length", func(c *client) string {
			return code(c.Call("C_GenerateKey", c.s, c.Mechanism(ck.CKM_AES_KEY_GEN, nil), c.Template(boolean(ck.CKA_TOKEN, false)), 1, c.ULong(0)))
		}, ""},
		step{"`C_GenerateKey` of AES with 17 bytes", func(c *client) string {
			return code(c.Call("C_GenerateKey", c.s, c.Mechanism(ck.CKM_AES_KEY_GEN, nil), c.Template(ulong(ck.CKA_VALUE_LEN, uint64(17))), 1, c.ULong(0)))
		}, ""},
		step{"`C_GenerateKey` with another class", func(c *client) string {
			l := []ck.Attribute{ulong(ck.CKA_VALUE_LEN, uint64(16)), class(ck.CKO_DATA)}
			return code(c.Call("C_GenerateKey", c.s, c.Mechanism(ck.CKM_AES_KEY_GEN, nil), c.Template(l...), 2, c.ULong(0)))
		}, ""},
		step{"`CKA_SENSITIVE` of a generated private key by default", func(c *client) string {
			_, priv := c.pair(ck.CKM_EC_KEY_PAIR_GEN, []ck.Attribute{bytesOf(ck.CKA_EC_PARAMS, p256)}, yes(ck.CKA_SIGN))
			return outcome(c.Get(c.s, priv, ck.CKA_SENSITIVE))
		}, ""},
		step{"`CKA_SENSITIVE` of a generated secret key by default", func(c *client) string {
			return outcome(c.Get(c.s, c.generate(ck.CKM_AES_KEY_GEN, ulong(ck.CKA_VALUE_LEN, uint64(16))), ck.CKA_SENSITIVE))
		}, ""},
		// Old algorithms and finite fields
		step{"MD5", func(c *client) string { return c.hashed(ck.CKM_MD5, sequence(100)) }, ""},
		step{"HMAC-MD5", func(c *client) string { return c.signWith(ck.CKM_MD5_HMAC, ck.CKK_GENERIC_SECRET, 16) }, ""},
		step{"AES-CMAC", func(c *client) string { return c.signWith(ck.CKM_AES_CMAC, ck.CKK_AES, 16) }, ""},
		step{"triple DES CMAC", func(c *client) string { return c.signWith(ck.CKM_DES3_CMAC, ck.CKK_DES3, 24) }, ""},
		enc("AES-CTR with a counter of 128 bits", plainMech(ck.CKM_AES_CTR, append(c11.Words(128), sequence(16)...)), sequence(16), sequence(100)),
		enc("AES-CTR with a counter of 8 bits", plainMech(ck.CKM_AES_CTR, append(c11.Words(8), sequence(16)...)), sequence(16), sequence(100)),
		enc("AES-CTR with a counter that comes round", plainMech(ck.CKM_AES_CTR, append(c11.Words(1), sequence(16)...)), sequence(16), sequence(100)),
		enc("AES-CTR with a counter of 0 bits", plainMech(ck.CKM_AES_CTR, append(c11.Words(0), sequence(16)...)), sequence(16), sequence(100)),
		enc("AES-CTR with a counter of 129 bits", plainMech(ck.CKM_AES_CTR, append(c11.Words(129), sequence(16)...)), sequence(16), sequence(100)),
		des3("triple DES ECB", ck.CKM_DES3_ECB, nil, 24, 40),
		des3("triple DES CBC", ck.CKM_DES3_CBC, sequence(8), 24, 40),
		des3("triple DES CBC of 7 bytes", ck.CKM_DES3_CBC, sequence(8), 24, 7),
		des3("triple DES CBC with padding", ck.CKM_DES3_CBC_PAD, sequence(8), 24, 41),
		des3("triple DES CBC with an IV of 16 bytes", ck.CKM_DES3_CBC, sequence(16), 24, 40),
		des3("triple DES with a key of two parts", ck.CKM_DES3_CBC, sequence(8), 16, 40),
		made("`C_CreateObject` of a triple DES key of 23 bytes", 0, "", secret(ck.CKK_DES3, sequence(23))...),
		made("`C_CreateObject` of a triple DES key without odd parity", 0, "", secret(ck.CKK_DES3, sequence(24))...),
		made("`CKA_VALUE` of a triple DES key created without odd parity", ck.CKA_VALUE, "", secret(ck.CKK_DES3, bytes.Repeat([]byte{2, 4, 6}, 8))...),
		made("`CKA_CHECK_VALUE` of a triple DES key", ck.CKA_CHECK_VALUE, "", secret(ck.CKK_DES3, oddParity(sequence(24)))...),
		made("`CKA_VALUE_LEN` of a triple DES key", ck.CKA_VALUE_LEN, "", secret(ck.CKK_DES3, oddParity(sequence(24)))...),
		step{"the parity of a generated triple DES key", func(c *client) string {
			v, rv := c.Get(c.s, c.generate(ck.CKM_DES3_KEY_GEN, append(no(ck.CKA_SENSITIVE, ck.CKA_TOKEN), boolean(ck.CKA_EXTRACTABLE, true))...), ck.CKA_VALUE)
			return fmt.Sprintf("%s, %d bytes, odd: %v", code(rv), len(v), bytes.Equal(v, oddParity(v)))
		}, ""},
		step{"`CKM_DES3_KEY_GEN` with `CKA_VALUE_LEN` of 24", func(c *client) string {
			return code(c.Call("C_GenerateKey", c.s, c.Mechanism(ck.CKM_DES3_KEY_GEN, nil), c.Template(ulong(ck.CKA_VALUE_LEN, uint64(24))), 1, c.ULong(0)))
		}, ""},
		step{"single DES", func(c *client) string {
			o := c.object(secret(ck.CKK_DES, oddParity(sequence(8)))...)
			return outcome(c.Single(c.Arena, c.Encryption(), c.s, c11.Mech{Type: ck.CKM_DES_ECB}, o, sequence(16)))
		}, ""},
		derives("deriving by triple DES ECB", ck.CKM_DES3_ECB_ENCRYPT_DATA, ck.CKK_DES3, 24, nil, 32),
		derives("deriving by AES ECB", ck.CKM_AES_ECB_ENCRYPT_DATA, ck.CKK_AES, 16, nil, 32),
		derives("deriving by AES CBC", ck.CKM_AES_CBC_ENCRYPT_DATA, ck.CKK_AES, 16, sequence(16), 32),
		derives("deriving by AES CBC, data of 31 bytes", ck.CKM_AES_CBC_ENCRYPT_DATA, ck.CKK_AES, 16, sequence(16), 31),
		step{"DSA domain parameters of 1024 bits", func(c *client) string {
			o := c.generate(ck.CKM_DSA_PARAMETER_GEN, ulong(ck.CKA_PRIME_BITS, uint64(1024)), boolean(ck.CKA_TOKEN, false))
			return fmt.Sprintf("p of %d bytes, q of %d, g: %v", len(c.get(o, ck.CKA_PRIME)), len(c.get(o, ck.CKA_SUBPRIME)), len(c.get(o, ck.CKA_BASE)) > 100)
		}, ""},
		dsaSign("DSA of 20 bytes", ck.CKM_DSA, 20), dsaSign("DSA of 32 bytes, more than the order", ck.CKM_DSA, 32), dsaSign("DSA with SHA-1", ck.CKM_DSA_SHA1, 100), dsaSign("DSA with SHA-256", ck.CKM_DSA_SHA256, 100),
		dsaSign("DSA of 0 bytes", ck.CKM_DSA, 0),
		dh("Diffie-Hellman", ulong(ck.CKA_VALUE_LEN, uint64(32))), dh("Diffie-Hellman, the whole secret", ulong(ck.CKA_VALUE_LEN, uint64(len(groupPrime)))), dh("Diffie-Hellman without `CKA_VALUE_LEN`"),
		dh("Diffie-Hellman, more than there is", ulong(ck.CKA_VALUE_LEN, uint64(1000))),
		step{"Diffie-Hellman with the other's key 1", func(c *client) string { return c.dh([]byte{1}, ulong(ck.CKA_VALUE_LEN, uint64(32))) }, ""},
		step{"Diffie-Hellman keys", func(c *client) string {
			pub, priv := c.pair(ck.CKM_DH_PKCS_KEY_PAIR_GEN, []ck.Attribute{bytesOf(ck.CKA_PRIME, groupPrime), bytesOf(ck.CKA_BASE, []byte{2})}, with(yes(ck.CKA_DERIVE, ck.CKA_EXTRACTABLE), boolean(ck.CKA_SENSITIVE, false)))
			return fmt.Sprintf("private: base of %d bytes; public: value %v", len(c.get(priv, ck.CKA_BASE)), len(c.get(pub, ck.CKA_VALUE)) > len(groupPrime)-3)
		}, ""},
		step{"the length of a Diffie-Hellman private key", func(c *client) string {
			_, priv := c.pair(ck.CKM_DH_PKCS_KEY_PAIR_GEN, []ck.Attribute{bytesOf(ck.CKA_PRIME, groupPrime), bytesOf(ck.CKA_BASE, []byte{2})}, with(yes(ck.CKA_DERIVE, ck.CKA_EXTRACTABLE), ulong(ck.CKA_VALUE_BITS, uint64(300)), boolean(ck.CKA_SENSITIVE, false)))
			n := new(big.Int).SetBytes(c.get(priv, ck.CKA_VALUE)).BitLen()
			return fmt.Sprintf("300 bits or somewhat fewer: %v; told: %d", n <= 300 && n > 270, c.getULong(priv, ck.CKA_VALUE_BITS))
		}, ""},
		curve("secp256k1", []byte{6, 5, 0x2b, 0x81, 4, 0, 10}, ""), curve("brainpoolP256r1", []byte{6, 9, 0x2b, 0x24, 3, 3, 2, 8, 1, 1, 7}, ""),
		step{"Ed25519", func(c *client) string {
			o := c.object(append(yes(ck.CKA_SIGN), class(ck.CKO_PRIVATE_KEY), keyType(ck.CKK_EC_EDWARDS), bytesOf(ck.CKA_EC_PARAMS, []byte("\x13\x0cedwards25519")), bytesOf(ck.CKA_VALUE, sequence(32)), boolean(ck.CKA_TOKEN, false))...)
			return outcome(c.Single(c.Arena, c.Signing(), c.s, c11.Mech{Type: ck.CKM_EDDSA}, o, sequence(50)))
		}, ""},
		both("`C_WaitForSlotEvent` without waiting, null for the slot", "C_WaitForSlotEvent", args(1, nil, nil)),
	}
	for i := range list {
		if why := differences[list[i].name]; why != "" {
			list[i].why = why
		}
	}
	return list
}

// hashed, signWith, dsa and dh make short steps of longer ones.
func (c *client) hashed(m ck.MechanismType, in []byte) string {
	c.must("C_DigestInit", c.s, c.Mechanism(m, nil))
	out, n := c.Alloc(64), c.ULong(64)
	rv := c.Call("C_Digest", c.s, c.Bytes(in), len(in), out, n)
	return outcome(c11.Peek(out, int(c11.Number(n))), rv)
}

func (c *client) signWith(m ck.MechanismType, t ck.KeyType, keyLen int) string {
	o := c.object(secret(t, oddParity(sequence(keyLen)))...)
	return outcome(c.Single(c.Arena, c.Signing(), c.s, c11.Mech{Type: m}, o, sequence(77)))
}

// dsaKey is made once, for that takes a while.
var dsaKey = sync.OnceValue(func() *dsa.PrivateKey {
	k := new(dsa.PrivateKey)
	if err := dsa.GenerateParameters(&k.Parameters, rand.Reader, dsa.L1024N160); err != nil {
		panic(err)
	}
	if err := dsa.GenerateKey(k, rand.Reader); err != nil {
		panic(err)
	}
	return k
})

func (c *client) dsa() (pub, priv uint64) {
	k := dsaKey()
	group := []ck.Attribute{
		keyType(ck.CKK_DSA), boolean(ck.CKA_TOKEN, false),
		bytesOf(ck.CKA_PRIME, k.P.Bytes()), bytesOf(ck.CKA_SUBPRIME, k.Q.Bytes()), bytesOf(ck.CKA_BASE, k.G.Bytes()),
	}
	pub = c.object(with(group, class(ck.CKO_PUBLIC_KEY), boolean(ck.CKA_VERIFY, true), bytesOf(ck.CKA_VALUE, k.Y.Bytes()))...)
	priv = c.object(with(group, class(ck.CKO_PRIVATE_KEY), boolean(ck.CKA_SIGN, true), bytesOf(ck.CKA_VALUE, k.X.Bytes()))...)
	return pub, priv
}

// groupPrime is the prime of the second Oakley group (RFC 2409, section 6.2).
var groupPrime, _ = hex.DecodeString("ffffffffffffffffc90fdaa22168c234c4c6628b80dc1cd129024e088a67cc74020bbea63b139b22514a08798e3404dd" +
	"ef9519b3cd3a431b302b0a6df25f14374fe1356d6d51c245e485b576625e7ec6f44c42e9a637ed6b0bff5cb6f406b7edee386bfb5a899fa5ae9f24117c4b1fe649286651ece65381ffffffffffffffff")

// dh agrees with the holder of another key.
func (c *client) dh(public []byte, more ...ck.Attribute) string {
	o := c.object(append(yes(ck.CKA_DERIVE), class(ck.CKO_PRIVATE_KEY), keyType(ck.CKK_DH), boolean(ck.CKA_TOKEN, false),
		bytesOf(ck.CKA_PRIME, groupPrime), bytesOf(ck.CKA_BASE, []byte{2}), bytesOf(ck.CKA_VALUE, sequence(32)))...)
	template := append(no(ck.CKA_SENSITIVE, ck.CKA_TOKEN), class(ck.CKO_SECRET_KEY), keyType(ck.CKK_GENERIC_SECRET), boolean(ck.CKA_EXTRACTABLE, true))
	k, rv := c.derive(c.Mechanism(ck.CKM_DH_PKCS_DERIVE, public), o, append(template, more...)...)
	if rv != ck.CKR_OK {
		return code(rv)
	}
	return outcome(c.Get(c.s, k, ck.CKA_VALUE))
}

// oddParity sets the last bit of each byte as a DES key has it.
func oddParity(key []byte) []byte {
	key = bytes.Clone(key)
	for i, b := range key {
		key[i] = b&0xfe | byte(bits.OnesCount8(b&0xfe)+1)&1
	}
	return key
}

// TestSoftHSM does the same with SoftHSM2 and this module, and compares. Every
// difference must be explained in the table, and nothing else may be in it.
func TestSoftHSM(t *testing.T) {
	if _, err := os.Stat(softHSM); err != nil {
		missingTool(t, softHSM+" is not there: run test/setup")
	}
	if !apart(t) {
		return
	}
	ours := open(t)
	m, err := c11.OpenOld(softHSM)
	if err != nil {
		t.Fatal(err)
	}
	theirs := &client{t: t, Module: m, Arena: new(c11.Arena)}
	defer theirs.Free()
	theirs.ok("C_Initialize", theirs.Initialize())
	if theirs.s, err = theirs.Token(soPIN, userPIN); err != nil {
		t.Fatal(err)
	}
	var doc strings.Builder
	doc.WriteString(differencesHead)
	known := map[string]bool{}
	for _, z := range comparisons() {
		known[z.name] = true
		a, b := ours.outcomeOf(z), theirs.outcomeOf(z)
		switch {
		case a == b && z.why != "":
			t.Errorf("%s: both answer %s, so the table must not explain a difference", z.name, a)
		case a != b && z.why == "":
			t.Errorf("%s: we answer %s, SoftHSM2 %s: explain it or change it", z.name, a, b)
		}
		if a != b {
			fmt.Fprintf(&doc, "| %s | %s | %s | %s |\n", z.name, short(a), short(b), z.why)
		}
	}
	for name := range differences {
		if !known[name] {
			t.Errorf("the table explains %q, which is not compared", name)
		}
	}
	theirs.must("C_Finalize", nil)
	if *update {
		if err := os.WriteFile(differencesFile, []byte(doc.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if old, err := os.ReadFile(differencesFile); err != nil || string(old) != doc.String() {
		t.Errorf("%s is not what this test finds (%v): go test ./conformance -run TestSoftHSM -update", differencesFile, err)
	}
}

// outcomeOf runs a step and leaves the session as it was.
func (c *client) outcomeOf(z step) (result string) {
	t := c.t
	t.Helper()
	t.Run(z.name, func(t *testing.T) {
		d := *c
		d.t, d.Arena = t, new(c11.Arena)
		defer d.Arena.Free()
		// A session of its own: operations that were begun end with it.
		d.s = d.session(0, ck.CKF_RW_SESSION)
		defer d.must("C_CloseSession", d.s)
		result = z.run(&d)
	})
	return result
}

// short is an outcome that fits a table.
func short(s string) string {
	if len(s) > 40 && !strings.Contains(s, "CKR") {
		s = s[:16] + "…"
	}
	return "`" + s + "`"
}

const differencesHead = `# Where Perilune and SoftHSM2 answer differently

For whoever moves from one to the other. The same calls are made to both by
` + "`test/conformance`" + ` (SoftHSM2 2.6.1); what is not listed came out the same. A result is
given by its first bytes.

| call | Perilune | SoftHSM2 | why |
|---|---|---|---|
`

// differences explains, by the step's name.
var differences = map[string]string{
	"`C_CreateObject` of a data object with `CKA_MODULUS`":     "an attribute that exists, and that this class does not have, is an inconsistent template (section 4.1.1)",
	"`C_CreateObject` of an AES key of 17 bytes":               "AES has no such key; SoftHSM2 finds out when it is used",
	"`C_CreateObject` with `CKA_UNIQUE_ID`":                    "the attribute is of 3.0, and read-only there (section 4.4.1); SoftHSM2 is of 2.40",
	"`CKA_PUBLIC_KEY_INFO` of a created public key":            "computed where it is not given, so that it can be read and searched for",
	"`C_CopyObject` of an object that is not copyable":         "the code that section 5.7.2 names",
	"`C_GetObjectSize`":                                        "the size is known; SoftHSM2 answers that it is not available",
	"`C_EncryptInit` with a null mechanism, nothing under way": "since 3.0 a null mechanism cancels (section 5.8.1), and to cancel nothing is no error",
	"`C_EncryptInit` with a null mechanism, to cancel":         "since 3.0 a null mechanism cancels (section 5.8.1)",
	"`C_Encrypt` after `C_EncryptUpdate`":                      "`C_Encrypt` cannot end an operation in parts (section 5.8.2)",
	"`C_Encrypt` after such an error":                          "every error but `CKR_BUFFER_TOO_SMALL` ends the operation (section 5.8.2)",
	"`C_EncryptInit` with no key":                              "the code that section 5.1.6 gives for keys",
	"`C_GetOperationState` of a digest":                        "states can be saved",
	"digesting and encrypting in one session":                  "a session may have one operation of each kind; the dual-function calls need two (section 5.17)",
	"AES-CBC with an IV of 15 bytes":                           "the mechanism is right, its parameter is not",
	"AES-CBC with padding, no data, given as null":             "a null address with the length 0 is an empty message (section 5.2); SoftHSM2 takes an empty message only with an address",
	"AES-GCM without an IV":                                    "one of 16 bytes is made, and put behind the tag, as on devices of old; SoftHSM2 encrypts without, and to do so twice gives the plaintext away",
	"AES-GCM, no data, given as null":                          "a null address with the length 0 is an empty message (section 5.2); SoftHSM2 takes an empty message only with an address",
	"AES-GCM, a wrong tag":                                     "a ciphertext that was changed is no failure of the token",
	"AES-CBC with padding, wrong padding":                      "a ciphertext that was changed is no failure of the token",
	"SHA-256 of nothing, given as null":                        "a null address with the length 0 is an empty message (section 5.2); SoftHSM2 takes an empty message only with an address",
	"HMAC-SHA-256 with a key of 8 bytes":                       "HMAC has keys of any length; SoftHSM2 wants them as long as the hash",
	"HMAC-SHA-256 of nothing, given as null":                   "a null address with the length 0 is an empty message (section 5.2); SoftHSM2 takes an empty message only with an address",
	"RSA PKCS #1 v1.5, data too long":                          "the code says what is wrong",
	"RSA PKCS #1 v1.5, no data, given as null":                 "a null address with the length 0 is an empty message (section 5.2); SoftHSM2 takes an empty message only with an address",
	"PSS with SHA-1 in the mask":                               "the hash of the mask may be another than the message's (section 6.1.10); OpenSSL makes such signatures",
	"PSS with too long a salt":                                 "the mechanism is right, its parameter is not",
	"OAEP with SHA-256":                                        "SoftHSM2 2.6.1 has OAEP with SHA-1 only",
	"OAEP with a label":                                        "SoftHSM2 2.6.1 has OAEP without label only",
	"`C_SignRecover`":                                          "signatures with recovery exist",
	"P-256 by name":                                            "since 2.40 curves may be named (section 6.3.3)",
	"a curve by an unknown OID":                                "the code says what is wrong",
	"curve parameters that are no DER":                         "the code says what is wrong",
	"an EC public key off the curve":                           "such a point is no key, and computing with it can give private keys away",
	"`CKA_EC_POINT` of a private key":                          "clients look for the point there when they find no public key",
	"`CKM_ECDSA_SHA256`":                                       "SoftHSM2 2.6.1 signs hashes only",
	"AES key wrap with padding (`CKM_AES_KEY_WRAP_PAD`)":       "RFC 5649, as OpenSSL computes it; SoftHSM2 pads with zeros first and wraps the padded length, so that the key comes back longer",
	"unwrapping what was changed":                              "the code of section 5.18.4",
	"`C_GenerateKey` with another class":                       "the template contradicts the mechanism",
	"`CKA_SENSITIVE` of a generated private key by default":    "forgetting the attribute must not make a private key readable",
	"`C_WaitForSlotEvent` without waiting, null for the slot":  "there is no place for the answer",
	"triple DES CBC with an IV of 16 bytes":                    "the mechanism is right, its parameter is not",
	"`C_CreateObject` of a triple DES key of 23 bytes":         "there is no such key; SoftHSM2 finds out when it is used",
	"`CKA_VALUE_LEN` of a triple DES key":                      "the standard has the attribute for keys of varying length only; here every secret key tells its length",
	"`CKM_DES3_KEY_GEN` with `CKA_VALUE_LEN` of 24":            "pkcs11-tool and others send the length whatever the type; another length than 24 is refused",
	"single DES":                             "SoftHSM2 lists it, and its OpenSSL 3 keeps it in a provider that is not loaded",
	"DSA of 0 bytes":                         "the code says what is wrong: DSA signs hashes, and this is none",
	"Diffie-Hellman without `CKA_VALUE_LEN`": "without a length the key is the whole secret",
	"Diffie-Hellman, more than there is":     "the code says what is wrong",
	"Diffie-Hellman with the other's key 1":  "the code says what is wrong",
}
