package main

// The layouts of package cmem against those of a C compiler.

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/perilune/perilune/cryptoki/cmem"
	"github.com/perilune/perilune/engine"
)

// structures are the C names of the engine's parameter structures.
var structures = map[string]string{
	"AESCBCEncryptDataParams": "CK_AES_CBC_ENCRYPT_DATA_PARAMS",
	"AESXTSParams":            "CK_AES_XTS_PARAMS",
	"BIP32ChildDeriveParams":  "CK_BIP32_CHILD_DERIVE_PARAMS",
	"BIP32MasterDeriveParams": "CK_BIP32_MASTER_DERIVE_PARAMS",
	"CCMMessageParams":        "CK_CCM_MESSAGE_PARAMS",
	"CCMParams":               "CK_CCM_PARAMS",
	"CCMWrapParams":           "CK_CCM_WRAP_PARAMS",
	"CTRParams":               "CK_AES_CTR_PARAMS",
	"DESCBCEncryptDataParams": "CK_DES_CBC_ENCRYPT_DATA_PARAMS",
	"DESCTRParams":            "CK_DES_CTR_PARAMS",
	"ChaCha20Params":          "CK_CHACHA20_PARAMS",
	"ChaChaMessageParams":     "CK_SALSA20_CHACHA20_POLY1305_MSG_PARAMS",
	"ChaChaPolyParams":        "CK_SALSA20_CHACHA20_POLY1305_PARAMS",
	"ECDH1DeriveParams":       "CK_ECDH1_DERIVE_PARAMS",
	"ECDHAESKeyWrapParams":    "CK_ECDH_AES_KEY_WRAP_PARAMS",
	"ECMQVDeriveParams":       "CK_ECMQV_DERIVE_PARAMS",
	"DSAParameterGenParams":   "CK_DSA_PARAMETER_GEN_PARAM",
	"ECIESParams":             "CK_ECIES_PARAMS",
	"EDDSAParams":             "CK_EDDSA_PARAMS",
	"GCMMessageParams":        "CK_GCM_MESSAGE_PARAMS",
	"GCMParams":               "CK_GCM_PARAMS",
	"GCMWrapParams":           "CK_GCM_WRAP_PARAMS",
	"GMACParams":              "CK_GCM_PARAMS",
	"HKDFParams":              "CK_HKDF_PARAMS",
	"KeyWrapSETOAEPParams":    "CK_KEY_WRAP_SET_OAEP_PARAMS",
	"KDFPRFParams":            "CK_KDF_PRF_PARAMS",
	"XORBaseDataKDFParams":    "CK_XOR_BASE_DATA_KDF_PARAMS",
	"KMACParams":              "CK_KMAC_PARAMS",
	"OAEPParams":              "CK_RSA_PKCS_OAEP_PARAMS",
	"PBEParams":               "CK_PBE_PARAMS",
	"PBKDF2Params":            "CK_PKCS5_PBKD2_PARAMS2",
	"PSSParams":               "CK_RSA_PKCS_PSS_PARAMS",
	"RC2CBCParams":            "CK_RC2_CBC_PARAMS",
	"RC2MACGeneralParams":     "CK_RC2_MAC_GENERAL_PARAMS",
	"RC5CBCParams":            "CK_RC5_CBC_PARAMS",
	"RC5MACGeneralParams":     "CK_RC5_MAC_GENERAL_PARAMS",
	"RC5Params":               "CK_RC5_PARAMS",
	"RSAAESKeyWrapParams":     "CK_RSA_AES_KEY_WRAP_PARAMS",
	"Salsa20Params":           "CK_SALSA20_PARAMS",
	"SM2KeyExchangeParams":    "CK_SM2_KEY_EXCHANGE_PARAMS",
	"SP800108FeedbackParams":  "CK_SP800_108_FEEDBACK_KDF_PARAMS",
	"SP800108Params":          "CK_SP800_108_KDF_PARAMS",
	"CounterFormat":           "CK_SP800_108_COUNTER_FORMAT",
	"DKMLengthFormat":         "CK_SP800_108_DKM_LENGTH_FORMAT",
	"PRFDataParam":            "CK_PRF_DATA_PARAM",
	"DerivedKey":              "CK_DERIVED_KEY",
	"StringDataParams":        "CK_KEY_DERIVATION_STRING_DATA",

	"IKE1ExtendedDeriveParams":           "CK_IKE1_EXTENDED_DERIVE_PARAMS",
	"IKE1PRFDeriveParams":                "CK_IKE1_PRF_DERIVE_PARAMS",
	"IKE2PRFPlusDeriveParams":            "CK_IKE2_PRF_PLUS_DERIVE_PARAMS",
	"IKEPRFDeriveParams":                 "CK_IKE_PRF_DERIVE_PARAMS",
	"SSL3KeyMatParams":                   "CK_SSL3_KEY_MAT_PARAMS",
	"SSL3MasterKeyDeriveParams":          "CK_SSL3_MASTER_KEY_DERIVE_PARAMS",
	"SSLVersion":                         "CK_VERSION",
	"TLS12ExtendedMasterKeyDeriveParams": "CK_TLS12_EXTENDED_MASTER_KEY_DERIVE_PARAMS",
	"TLS12KeyMatParams":                  "CK_TLS12_KEY_MAT_PARAMS",
	"TLS12MasterKeyDeriveParams":         "CK_TLS12_MASTER_KEY_DERIVE_PARAMS",
	"TLSKDFParams":                       "CK_TLS_KDF_PARAMS",
	"TLSMACParams":                       "CK_TLS_MAC_PARAMS",
	"TLSPRFParams":                       "CK_TLS_PRF_PARAMS",
	"SignAdditionalContext":              "CK_SIGN_ADDITIONAL_CONTEXT",
	"HashSignAdditionalContext":          "CK_HASH_SIGN_ADDITIONAL_CONTEXT",
	"X942DH1Params":                      "CK_X9_42_DH1_DERIVE_PARAMS",
	"X942DH2Params":                      "CK_X9_42_DH2_DERIVE_PARAMS",
	"X942MQVParams":                      "CK_X9_42_MQV_DERIVE_PARAMS",
}

// prototypes are the parameter structures of all mechanisms, by name.
func prototypes() map[string]any {
	list := map[string]any{ // those that others point to
		"CounterFormat":   (*engine.CounterFormat)(nil),
		"DKMLengthFormat": (*engine.DKMLengthFormat)(nil),
		"PRFDataParam":    (*engine.PRFDataParam)(nil),
		"DerivedKey":      (*engine.DerivedKey)(nil),
	}
	for _, m := range engine.Mechanisms() {
		for _, proto := range []any{m.Param, m.MessageParam, m.WrapParam} {
			if t := reflect.TypeOf(proto); t != nil && t.Kind() == reflect.Pointer {
				list[t.Elem().Name()] = proto
			}
		}
	}
	return list
}

// A Go structure takes the room of its C structure, on every platform.
func TestParameterSizes(t *testing.T) {
	for _, platform := range []struct {
		target string
		abi    cmem.ABI
	}{
		{"x86_64-linux-gnu", cmem.LP64},
		{"aarch64-linux-gnu", cmem.LP64},
		{"i686-linux-gnu", cmem.ILP32},
		{"x86_64-w64-windows-gnu", cmem.Windows64},
		{"i686-w64-windows-gnu", cmem.Windows32},
	} {
		t.Run(platform.target, func(t *testing.T) {
			var c strings.Builder
			c.WriteString("#include <perilune.h>\n")
			for name, proto := range prototypes() {
				size, err := cmem.Size(proto, platform.abi)
				if err != nil {
					t.Error(err)
				}
				if structures[name] == "" {
					t.Errorf("engine.%s: its C structure is not in the table of this test", name)
					continue
				}
				fmt.Fprintf(&c, "_Static_assert(sizeof(%[1]s) == %[2]d, \"%[1]s is not of %[2]d bytes\");\n", structures[name], size)
			}
			compile(t, platform.target, c.String())
		})
	}
}

// compile checks a source text for a platform, whose libraries are not needed.
func compile(t *testing.T, target, text string) {
	t.Helper()
	if _, err := exec.LookPath("clang"); err != nil {
		t.Fatalf("%v: install the Debian package clang", err)
	}
	source := filepath.Join(t.TempDir(), "sizes.c")
	if err := os.WriteFile(source, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("clang", "--target="+target, "-std=c11", "-I", "../include", "-fsyntax-only", source)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
