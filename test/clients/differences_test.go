package clients

import (
	"fmt"
	"regexp"
	"sync"
)

// A difference is a step that a module cannot do, and why that is so.
type difference struct {
	client string // name of the Test function
	step   string // a regular expression for the whole name of the step
	module string
	says   string // part of what the failure says
	why    string
	// never is set where the step crashes or hangs as threads happen to run:
	// it is not tried.
	never bool
}

var differences = []difference{
	// pkcs11-tool
	{client: "TestPkcs11ToolToken", step: "list interfaces", module: "softhsm2", says: "only in PKCS #11 3.0",
		why: "SoftHSM2 2.6 implements PKCS#11 2.40; Perilune has C_GetInterfaceList"},
	{client: "TestPkcs11ToolRSA", step: "decrypt OAEP SHA256", module: "softhsm2", says: "CKR_ARGUMENTS_BAD",
		why: "SoftHSM2 does OAEP with SHA-1 only"},
	{client: "TestPkcs11ToolRSA", step: "decrypt OAEP SHA512", module: "softhsm2", says: "CKR_ARGUMENTS_BAD",
		why: "SoftHSM2 does OAEP with SHA-1 only"},
	{client: "TestPkcs11ToolRSA", step: "a mechanism that the key cannot do", module: "softhsm2", says: "CKR_OPERATION_NOT_INITIALIZED",
		why: "SoftHSM2 starts an ECDSA signature with an RSA key and fails when it has to sign"},
	{client: "TestPkcs11ToolEC", step: "sign ECDSA-SHA.*", module: "softhsm2", says: "CKR_MECHANISM_INVALID",
		why: "SoftHSM2 has CKM_ECDSA without the hash"},
	{client: "TestPkcs11ToolEdwards", step: "generate X25519", module: "softhsm2", says: "mechanism 1056 not supported",
		why: "SoftHSM2 has no CKM_EC_MONTGOMERY_KEY_PAIR_GEN"},
	{client: "TestPkcs11ToolSecretKeys", step: "generate DES:8", module: "softhsm2", says: "CKR_ATTRIBUTE_TYPE_INVALID",
		why: "pkcs11-tool sends CKA_VALUE_LEN, which a DES key does not have, and SoftHSM2 refuses it"},
	{client: "TestPkcs11ToolSecretKeys", step: "generate DES3:24", module: "softhsm2", says: "CKR_ATTRIBUTE_TYPE_INVALID",
		why: "pkcs11-tool sends CKA_VALUE_LEN, which a DES3 key does not have, and SoftHSM2 refuses it"},
	{client: "TestPkcs11ToolSecretKeys", step: "wrap and unwrap AES with AES-CBC", module: "softhsm2", says: "C_UnwrapKey failed: rv = CKR_MECHANISM_INVALID",
		why: "SoftHSM2 wraps with CKM_AES_CBC and cannot unwrap with it"},
	{client: "TestPkcs11ToolSecretKeys", step: "wrap and unwrap AES with AES-CBC-PAD", module: "softhsm2", says: "C_WrapKey failed: rv = CKR_MECHANISM_INVALID",
		why: "SoftHSM2 does not wrap with CKM_AES_CBC_PAD"},
	{client: "TestPkcs11ToolSelfTests", step: "test with login", module: "softhsm2", says: "CKR_ARGUMENTS_BAD",
		why: "the self test decrypts OAEP with a label and SHA-256, and SoftHSM2 does SHA-1 without label only"},
	{client: "TestPkcs11ToolSelfTests", step: "test EC", module: "softhsm2", says: "CKR_MECHANISM_INVALID",
		why: "the self test signs with CKM_ECDSA_SHA1, which SoftHSM2 does not have"},
	{client: "TestPkcs11ToolSelfTests", step: "test fork", module: "softhsm2", says: "CKR_CRYPTOKI_ALREADY_INITIALIZED",
		why: "SoftHSM2 takes the parent's state for its own in a forked child"},
	{client: "TestPkcs11ToolSelfTests", step: "test threads .*", module: "softhsm2", never: true,
		why: "SoftHSM2 crashes or hangs when several threads call C_Initialize at once"},

	// p11tool
	{client: "TestP11Tool", step: "generate ed25519", module: "softhsm2", says: "unsupported feature", why: gnutlsEd25519},
	{client: "TestP11Tool", step: "generate ed25519", module: "perilune", says: "unsupported feature", why: gnutlsEd25519},
	{client: "TestP11Tool", step: "a user cannot mark a certificate trusted", module: "softhsm2", says: "the refused object is on the token",
		why: "SoftHSM2 leaves a half-made object behind when it refuses an attribute of a new object"},

	// Java
	{client: "TestJavaServices", step: "Cipher DES/.*", module: "softhsm2", says: "CKR_MECHANISM_INVALID", why: noDES},
	{client: "TestJavaServices", step: "KeyGenerator DES", module: "softhsm2", says: "CKR_MECHANISM_INVALID", why: noDES},
	{client: "TestJavaServices", step: "(KeyAgreement|KeyPairGenerator) DH", module: "softhsm2", says: "CKR_TEMPLATE_INCOMPLETE", why: noLength},
	{client: "TestJavaServices", step: "Signature NONEwithRSA", module: "softhsm2", says: "CKR_FUNCTION_NOT_SUPPORTED",
		why: "SoftHSM2 has no C_VerifyRecoverInit"},
	{client: "TestJavaServices", step: "Signature SHA3-.*withRSASSA-PSS", module: "perilune", says: "cannot be converted to native PKCS#11 type",
		why: "JDK 17 offers PSS with SHA-3 where a module has it and cannot hand over the parameters; SoftHSM2 does not have it"},

	// Go
	{client: "TestMiekg", step: "derive X25519", module: "softhsm2", says: "CKR_MECHANISM_INVALID",
		why: "SoftHSM2 has no CKM_EC_MONTGOMERY_KEY_PAIR_GEN"},
	{client: "TestMiekg", step: "sign recover", module: "softhsm2", says: "CKR_FUNCTION_NOT_SUPPORTED",
		why: "SoftHSM2 has no C_SignRecoverInit"},
	{client: "TestCrypto11", step: "OAEP SHA-256", module: "softhsm2", says: "CKR_ARGUMENTS_BAD",
		why: "SoftHSM2 does OAEP with SHA-1 only"},

	// Node.js
	{client: "TestNode", step: "pkcs11js sign and verify with recovery", module: "softhsm2", says: "CKR_FUNCTION_NOT_SUPPORTED",
		why: "SoftHSM2 has no C_SignRecoverInit"},
	{client: "TestNode", step: "pkcs11js decrypt OAEP SHA256", module: "softhsm2", says: "CKR_ARGUMENTS_BAD",
		why: "SoftHSM2 does OAEP with SHA-1 only"},
}

const (
	noDES    = "SoftHSM2 lists single DES, which its OpenSSL 3 keeps in a provider that is not loaded"
	noLength = "SoftHSM2 wants CKA_VALUE_LEN in C_DeriveKey of a generic secret, which may be left out"
)

const gnutlsEd25519 = "GnuTLS 3.7 asks C_GenerateKeyPair for CKM_EDDSA, which is a signature mechanism"

// met notes the differences that a run came across.
var met sync.Map

// explained returns the difference that covers a step, or nil.
func explained(client, step, module string) *difference {
	for i := range differences {
		d := &differences[i]
		if d.client != client || d.module != module {
			continue
		}
		if regexp.MustCompile(`^(?:` + d.step + `)$`).MatchString(step) {
			met.Store(d, true)
			return d
		}
	}
	return nil
}

// unmet lists the differences that belong to no step: left behind when a step
// was renamed or dropped.
func unmet() []error {
	var errs []error
	for i := range differences {
		d := &differences[i]
		if _, ok := met.Load(d); !ok {
			errs = append(errs, fmt.Errorf("differences_test.go explains step %q of %s on %s, and no such step ran: correct or remove the line", d.step, d.client, d.module))
		}
	}
	return errs
}
