package hsm

import (
	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/cryptoki/p11"
	"github.com/perilune/perilune/engine"
)

// Names of the profiles.
const (
	profileStandard = "standard"
	profileLuna72   = "luna-7.2"
)

// profileTable has the profiles, first that of whoever names none.
var profileTable = []*profile{
	{
		name:              profileStandard,
		about:             "PKCS#11 first: the defaults, codes and mechanisms of the standard, and no limits",
		hsmPolicies:       map[uint64]uint64{policySOResetsPIN: 1, policyForcePINChange: 0, policyMaxPartitions: MaxPartitions},
		partitionPolicies: map[uint64]uint64{policyMinPIN: 255 - 4, policyPrivateWrap: 1},
		minSOPIN:          4,
		limitedOfficer:    true,
		info: profileInfo{
			cryptoki:    ck.Version{Major: 3, Minor: 2},
			description: "Perilune software HSM",
			model:       "Perilune HSM",
			tokenFlags:  ck.CKF_RNG | ck.CKF_LOGIN_REQUIRED | ck.CKF_DUAL_CRYPTO_OPERATIONS,
		},
	},
	{
		name:     profileLuna72,
		about:    "as a network HSM of the Luna 7 class with client 7.2 and firmware 7.0.3 behaves",
		minSOPIN: 8, cloneOrWrap: true,
		storage: 33_554_432,

		narrowRoles: true,
		pins:        " !#$%'*+,-./:=?@[]^_{}~",
		hsmLabels:   "_",
		labels:      " " + partitionNameChars,
		cutLabels:   true,
		info: profileInfo{
			cryptoki:       ck.Version{Major: 2, Minor: 20},
			library:        ck.Version{Major: 7, Minor: 2},
			description:    "Perilune network HSM client",
			slot:           "Net Token Slot",
			model:          "Perilune 7.2.0",
			firmware:       "7.0.3",
			slotFlags:      ck.CKF_HW_SLOT,
			tokenFlags:     ck.CKF_RNG | ck.CKF_LOGIN_REQUIRED | ck.CKF_RESTORE_KEY_NOT_NEEDED,
			mechanismFlags: ck.CKF_HW,
		},
		lacks:       luna72Lacks,
		mechanisms:  luna72Mechanisms.list(),
		ownIV:       true,
		defaults:    luna72Defaults,
		plaintext:   plaintextRules{notInFIPS: true, sensitive: true, private: true},
		needsLength: true,
		remap: map[ck.MechanismType]ck.MechanismType{
			ck.CKM_RSA_PKCS_KEY_PAIR_GEN:  ck.CKM_RSA_FIPS_186_3_PRIME_KEY_PAIR_GEN,
			ck.CKM_RSA_X9_31_KEY_PAIR_GEN: ck.CKM_RSA_FIPS_186_3_AUX_PRIME_KEY_PAIR_GEN,
		},
		answers: map[refusal]ck.RV{
			refuseOtherRole:      ck.CKR_USER_ALREADY_LOGGED_IN,
			refuseTryLength:      ck.CKR_PIN_LEN_RANGE,
			refuseNotInitialized: ck.CKR_SECURITY_PARAMETER_MISSING,
			refuseNotModifiable:  ck.CKR_ATTRIBUTE_READ_ONLY,
		},
		// Codes that came after version 2.20, or that the device names itself.
		renames: map[ck.RV]ck.RV{
			ck.CKR_CURVE_NOT_SUPPORTED: ck.CKR_ECC_UNKNOWN_CURVE,
			ck.CKR_AEAD_DECRYPT_FAILED: ck.CKR_ENCRYPTED_DATA_INVALID,
		},
		causes: map[error]ck.RV{engine.ErrPoint: ck.CKR_ECC_POINT_INVALID},
	},
}

// usageAttributes say what a key may be used for.
var usageAttributes = []ck.AttributeType{
	ck.CKA_ENCRYPT, ck.CKA_DECRYPT, ck.CKA_SIGN, ck.CKA_SIGN_RECOVER, ck.CKA_VERIFY, ck.CKA_VERIFY_RECOVER,
	ck.CKA_WRAP, ck.CKA_UNWRAP, ck.CKA_DERIVE, ck.CKA_ENCAPSULATE, ck.CKA_DECAPSULATE,
}

func never(p11.Role, ck.ObjectClass) bool  { return false }
func surely(p11.Role, ck.ObjectClass) bool { return true }

// withOfficer is whether an officer is logged in, who may make private objects;
// and whether anybody is, of keys that hold secrets.
func withOfficer(role p11.Role, class ck.ObjectClass) bool {
	switch role {
	case p11.RoleCryptoOfficer, p11.RoleLimitedCryptoOfficer:
		return true
	case p11.RoleCryptoUser:
		return isSecretKind(class)
	}
	return false
}

// luna72Defaults: no usage that a template does not name, keys that stay in the
// HSM, and derived keys that can be read by whoever asks for it.
var luna72Defaults = []profileDefault{
	{attrs: usageAttributes, value: never},
	{attrs: []ck.AttributeType{ck.CKA_PRIVATE}, value: withOfficer},
	{attrs: []ck.AttributeType{ck.CKA_SENSITIVE}, classes: []ck.ObjectClass{ck.CKO_SECRET_KEY}, origins: []origin{originDerive}, value: never},
	{attrs: []ck.AttributeType{ck.CKA_SENSITIVE}, origins: []origin{originGenerate, originUnwrap, originDerive}, value: surely},
	{attrs: []ck.AttributeType{ck.CKA_EXTRACTABLE}, value: never},
}

// luna72Lacks are the functions of version 2.20 that its library does not
// offer, and those that came later.
var luna72Lacks = []lack{
	{functions: []string{"C_WaitForSlotEvent"}, kinds: []p11.Kind{p11.KindWaitForSlotEvent},
		only: func(req p11.Request) bool { return !req.(*p11.WaitForSlotEvent).Vendor }},
	{functions: []string{"C_SignRecoverInit", "C_SignRecover"}, kinds: operationKinds, ops: []p11.Operation{p11.OpSignRecover}},
	{functions: []string{"C_VerifyRecoverInit", "C_VerifyRecover"}, kinds: operationKinds, ops: []p11.Operation{p11.OpVerifyRecover}},
	{functions: []string{"C_DigestEncryptUpdate", "C_DecryptDigestUpdate", "C_SignEncryptUpdate", "C_DecryptVerifyUpdate"}, kinds: []p11.Kind{p11.KindDualUpdate}},

	{functions: []string{"C_LoginUser"}, kinds: []p11.Kind{p11.KindLogin}, only: func(req p11.Request) bool { return req.(*p11.Login).ByName }},
	{functions: []string{"C_MessageEncryptInit", "C_EncryptMessage", "C_EncryptMessageBegin", "C_EncryptMessageNext", "C_MessageEncryptFinal"},
		kinds: operationKinds, ops: []p11.Operation{p11.OpMessageEncrypt}},
	{functions: []string{"C_MessageDecryptInit", "C_DecryptMessage", "C_DecryptMessageBegin", "C_DecryptMessageNext", "C_MessageDecryptFinal"},
		kinds: operationKinds, ops: []p11.Operation{p11.OpMessageDecrypt}},
	{functions: []string{"C_MessageSignInit", "C_SignMessage", "C_SignMessageBegin", "C_SignMessageNext", "C_MessageSignFinal"},
		kinds: operationKinds, ops: []p11.Operation{p11.OpMessageSign}},
	{functions: []string{"C_MessageVerifyInit", "C_VerifyMessage", "C_VerifyMessageBegin", "C_VerifyMessageNext", "C_MessageVerifyFinal"},
		kinds: operationKinds, ops: []p11.Operation{p11.OpMessageVerify}},
	{functions: []string{"C_VerifySignatureInit", "C_VerifySignature", "C_VerifySignatureUpdate", "C_VerifySignatureFinal"},
		kinds: operationKinds, ops: []p11.Operation{p11.OpVerifySignature}},
	{functions: []string{"C_EncapsulateKey"}, kinds: []p11.Kind{p11.KindEncapsulateKey}},
	{functions: []string{"C_DecapsulateKey"}, kinds: []p11.Kind{p11.KindDecapsulateKey}},
	{functions: []string{"C_WrapKeyAuthenticated"}, kinds: []p11.Kind{p11.KindWrapKey}, only: func(req p11.Request) bool { return req.(*p11.WrapKey).Authenticated }},
	{functions: []string{"C_UnwrapKeyAuthenticated"}, kinds: []p11.Kind{p11.KindUnwrapKey}, only: func(req p11.Request) bool { return req.(*p11.UnwrapKey).Authenticated }},
	{functions: []string{"C_GetSessionValidationFlags"}, kinds: []p11.Kind{p11.KindGetValidationFlags}},
}

// operationKinds are the requests that name an operation.
var operationKinds = []p11.Kind{p11.KindBegin, p11.KindUpdate, p11.KindFinish, p11.KindMessage, p11.KindEndMessages}
