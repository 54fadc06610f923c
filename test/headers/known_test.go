package headers

// What is known to differ, and why. Anything that is not here fails.

// A valueDifference is a constant to which other headers give another value.
type valueDifference struct {
	theirs []uint64
	reason string
}

const (
	nssTrust    = "NSS used the name for its own trust objects before 3.2 defined it"
	p11kitOwn   = "a mistake of p11-kit: the published headers have the number here"
	beforeThree = "number of the 2.40 header; 3.0 gave 0x33 to 0x35 to ChaCha20, Poly1305 and AES-XTS keys"
	noArrayFlag = "3.2 drafts lacked the array flag; a value that is a template needs it"
	nssOwn      = "vendor constant of NSS"
	otpFormat   = "p11-kit's name for CK_OTP_OUTPUT_FORMAT"
)

var valueDifferences = map[string]valueDifference{
	"CKA_TRUST_SERVER_AUTH":      {[]uint64{0xCE536358}, nssTrust},
	"CKA_TRUST_CLIENT_AUTH":      {[]uint64{0xCE536359}, nssTrust},
	"CKA_TRUST_CODE_SIGNING":     {[]uint64{0xCE53635A}, nssTrust},
	"CKA_TRUST_EMAIL_PROTECTION": {[]uint64{0xCE53635B}, nssTrust},
	"CKA_TRUST_TIME_STAMPING":    {[]uint64{0xCE53635F}, nssTrust},

	"CKR_EXCEEDED_MAX_ITERATIONS": {[]uint64{0x1C0}, p11kitOwn},
	"CKR_FIPS_SELF_TEST_FAILED":   {[]uint64{0x1C1}, p11kitOwn},
	"CKR_LIBRARY_LOAD_FAILED":     {[]uint64{0x1C2}, p11kitOwn},
	"CKR_PIN_TOO_WEAK":            {[]uint64{0x1C3}, p11kitOwn},
	"CKR_PUBLIC_KEY_INVALID":      {[]uint64{0x1C4}, p11kitOwn},

	"CKK_SHA3_224_HMAC": {[]uint64{0x33}, beforeThree},
	"CKK_SHA3_256_HMAC": {[]uint64{0x34}, beforeThree},
	"CKK_SHA3_384_HMAC": {[]uint64{0x35}, beforeThree},
	"CKK_SHA3_512_HMAC": {[]uint64{0x36}, beforeThree},

	"CKA_ENCAPSULATE_TEMPLATE": {[]uint64{0x62A}, noArrayFlag},
	"CKA_DECAPSULATE_TEMPLATE": {[]uint64{0x62B}, noArrayFlag},
}

// absentHere are names of other headers that ours leaves out, beside those
// with NSS in the name.
var absentHere = map[string]string{
	"CKC_OPENPGP":                 "vendor constant of GnuPG",
	"CK_OTP_FORMAT":               otpFormat,
	"CKA_CERT_MD5_HASH":           nssOwn,
	"CKA_CERT_SHA1_HASH":          nssOwn,
	"CKA_DIGEST":                  nssOwn,
	"CKA_FLAGS_ONLY":              nssOwn,
	"CKA_TRUST":                   nssOwn,
	"CKA_TRUST_CRL_SIGN":          nssOwn,
	"CKA_TRUST_DATA_ENCIPHERMENT": nssOwn,
	"CKA_TRUST_DIGITAL_SIGNATURE": nssOwn,
	"CKA_TRUST_IPSEC_END_SYSTEM":  nssOwn,
	"CKA_TRUST_IPSEC_TUNNEL":      nssOwn,
	"CKA_TRUST_IPSEC_USER":        nssOwn,
	"CKA_TRUST_KEY_AGREEMENT":     nssOwn,
	"CKA_TRUST_KEY_CERT_SIGN":     nssOwn,
	"CKA_TRUST_KEY_ENCIPHERMENT":  nssOwn,
	"CKA_TRUST_NON_REPUDIATION":   nssOwn,
	"CKA_TRUST_STEP_UP_APPROVED":  nssOwn,
	"CKK_INVALID_KEY_TYPE":        nssOwn,
	"CKM_FAKE_RANDOM":             nssOwn,
	"CKM_INVALID_MECHANISM":       nssOwn,
	"CKM_TLS_PRF_GENERAL":         nssOwn,
	"CKT_INVALID_TYPE":            nssOwn,
	"CKT_VENDOR_DEFINED":          nssOwn,
	"CK_NULL_PTR":                 nssOwn,
	"CK_GCM_PARAMS_V3":            "second name in NSS for CK_GCM_PARAMS",
}

// structureDifferences are structures that another header declares otherwise,
// with its layout.
var structureDifferences = map[string]struct{ theirs, reason string }{
	"CK_C_INITIALIZE_ARGS": {
		"CreateMutex@0+8 DestroyMutex@8+8 LockMutex@16+8 UnlockMutex@24+8 flags@32+8 LibraryParameters@40+8 pReserved@48+8 size 56",
		"NSS inserts its own parameter string",
	},
}

// unpackaged are the constants of 3.1 and 3.2 that packaged headers may not
// have yet, entered a second time, from other sources than those of pkcs11.h,
// as runs of consecutive numbers.
var unpackaged = runs(
	from(0x004, "CKA_UNIQUE_ID"),
	from(0x617, "CKA_HSS_LEVELS", "CKA_HSS_LMS_TYPE", "CKA_HSS_LMOTS_TYPE", "CKA_HSS_LMS_TYPES",
		"CKA_HSS_LMOTS_TYPES", "CKA_HSS_KEYS_REMAINING", "CKA_PARAMETER_SET", "CKA_OBJECT_VALIDATION_FLAGS",
		"CKA_VALIDATION_TYPE", "CKA_VALIDATION_VERSION", "CKA_VALIDATION_LEVEL", "CKA_VALIDATION_MODULE_ID",
		"CKA_VALIDATION_FLAG", "CKA_VALIDATION_AUTHORITY_TYPE", "CKA_VALIDATION_COUNTRY",
		"CKA_VALIDATION_CERTIFICATE_IDENTIFIER", "CKA_VALIDATION_CERTIFICATE_URI", "CKA_VALIDATION_VENDOR_URI",
		"CKA_VALIDATION_PROFILE"),
	from(1<<30|0x62A, "CKA_ENCAPSULATE_TEMPLATE", "CKA_DECAPSULATE_TEMPLATE"),
	from(0x62C, "CKA_TRUST_SERVER_AUTH", "CKA_TRUST_CLIENT_AUTH", "CKA_TRUST_CODE_SIGNING",
		"CKA_TRUST_EMAIL_PROTECTION", "CKA_TRUST_IPSEC_IKE", "CKA_TRUST_TIME_STAMPING", "CKA_TRUST_OCSP_SIGNING",
		"CKA_ENCAPSULATE", "CKA_DECAPSULATE", "CKA_HASH_OF_CERTIFICATE", "CKA_PUBLIC_CRC64_VALUE", "CKA_SEED"),

	from(1<<3, "CKF_ASYNC_SESSION"),
	from(1<<5, "CKF_MULTI_MESSGE"),
	from(1<<25, "CKF_SEED_RANDOM_REQUIRED"),
	from(1<<26, "CKF_ASYNC_SESSION_SUPPORTED"),
	from(1<<26, "CKF_EC_CURVENAME"),
	from(1<<28, "CKF_ENCAPSULATE"),
	from(1<<29, "CKF_DECAPSULATE"),

	from(0, "CKH_HEDGE_PREFERRED", "CKH_HEDGE_REQUIRED", "CKH_DETERMINISTIC_REQUIRED"),

	from(0x46, "CKK_HSS", "CKK_XMSS", "CKK_XMSSMT", "CKK_ML_KEM", "CKK_ML_DSA", "CKK_SLH_DSA"),

	from(0x0F, "CKM_ML_KEM_KEY_PAIR_GEN"),
	from(0x17, "CKM_ML_KEM"),
	from(0x1C, "CKM_ML_DSA_KEY_PAIR_GEN", "CKM_ML_DSA"),
	from(0x1F, "CKM_HASH_ML_DSA"),
	from(0x23, "CKM_HASH_ML_DSA_SHA224", "CKM_HASH_ML_DSA_SHA256", "CKM_HASH_ML_DSA_SHA384",
		"CKM_HASH_ML_DSA_SHA512", "CKM_HASH_ML_DSA_SHA3_224", "CKM_HASH_ML_DSA_SHA3_256",
		"CKM_HASH_ML_DSA_SHA3_384", "CKM_HASH_ML_DSA_SHA3_512", "CKM_HASH_ML_DSA_SHAKE128",
		"CKM_HASH_ML_DSA_SHAKE256", "CKM_SLH_DSA_KEY_PAIR_GEN", "CKM_SLH_DSA"),
	from(0x34, "CKM_HASH_SLH_DSA"),
	from(0x36, "CKM_HASH_SLH_DSA_SHA224", "CKM_HASH_SLH_DSA_SHA256", "CKM_HASH_SLH_DSA_SHA384",
		"CKM_HASH_SLH_DSA_SHA512", "CKM_HASH_SLH_DSA_SHA3_224", "CKM_HASH_SLH_DSA_SHA3_256",
		"CKM_HASH_SLH_DSA_SHA3_384", "CKM_HASH_SLH_DSA_SHA3_512", "CKM_HASH_SLH_DSA_SHAKE128",
		"CKM_HASH_SLH_DSA_SHAKE256"),
	from(0x56, "CKM_TLS12_EXTENDED_MASTER_KEY_DERIVE", "CKM_TLS12_EXTENDED_MASTER_KEY_DERIVE_DH"),
	from(0x1071, "CKM_AES_XTS", "CKM_AES_XTS_KEY_GEN"),
	from(0x210C, "CKM_AES_KEY_WRAP_PKCS7"),
	from(0x402E, "CKM_IKE2_PRF_PLUS_DERIVE", "CKM_IKE_PRF_DERIVE", "CKM_IKE1_PRF_DERIVE",
		"CKM_IKE1_EXTENDED_DERIVE", "CKM_HSS_KEY_PAIR_GEN", "CKM_HSS", "CKM_XMSS_KEY_PAIR_GEN",
		"CKM_XMSSMT_KEY_PAIR_GEN", "CKM_XMSS", "CKM_XMSSMT", "CKM_ECDH_X_AES_KEY_WRAP",
		"CKM_ECDH_COF_AES_KEY_WRAP", "CKM_PUB_KEY_FROM_PRIV_KEY"),

	from(0xA, "CKO_VALIDATION", "CKO_TRUST"),

	from(5, "CKP_COMPLETE_PROVIDER", "CKP_HKDF_TLS_TOKEN"),
	from(1, "CKP_ML_DSA_44", "CKP_ML_DSA_65", "CKP_ML_DSA_87"),
	from(1, "CKP_ML_KEM_512", "CKP_ML_KEM_768", "CKP_ML_KEM_1024"),
	from(1, "CKP_SLH_DSA_SHA2_128S", "CKP_SLH_DSA_SHAKE_128S", "CKP_SLH_DSA_SHA2_128F", "CKP_SLH_DSA_SHAKE_128F",
		"CKP_SLH_DSA_SHA2_192S", "CKP_SLH_DSA_SHAKE_192S", "CKP_SLH_DSA_SHA2_192F", "CKP_SLH_DSA_SHAKE_192F",
		"CKP_SLH_DSA_SHA2_256S", "CKP_SLH_DSA_SHAKE_256S", "CKP_SLH_DSA_SHA2_256F", "CKP_SLH_DSA_SHAKE_256F"),

	from(0x42, "CKR_AEAD_DECRYPT_FAILED"),
	from(0x203, "CKR_KEY_EXHAUSTED", "CKR_PENDING", "CKR_SESSION_ASYNC_NOT_SUPPORTED", "CKR_SEED_RANDOM_REQUIRED",
		"CKR_OPERATION_NOT_VALIDATED", "CKR_TOKEN_NOT_INITIALIZED", "CKR_PARAMETER_SET_NOT_SUPPORTED"),

	from(1, "CKS_LAST_VALIDATION_OK"),
	from(0, "CKT_TRUST_UNKNOWN", "CKT_TRUSTED", "CKT_TRUST_ANCHOR", "CKT_NOT_TRUSTED", "CKT_TRUST_MUST_VERIFY_TRUST"),
	from(0, "CKV_AUTHORITY_TYPE_UNSPECIFIED", "CKV_AUTHORITY_TYPE_NIST_CMVP", "CKV_AUTHORITY_TYPE_COMMON_CRITERIA"),
	from(0, "CKV_TYPE_UNSPECIFIED", "CKV_TYPE_SOFTWARE", "CKV_TYPE_HARDWARE", "CKV_TYPE_FIRMWARE", "CKV_TYPE_HYBRID"),
	from(5, "CK_SP800_108_KEY_HANDLE"),
)

// unpackagedStructures is the same for structures, as laid out where pointers
// and CK_ULONG have eight bytes.
var unpackagedStructures = map[string]string{
	"CK_ASYNC_DATA":                   "ulVersion@0+8 pValue@8+8 ulValue@16+8 hObject@24+8 hAdditionalObject@32+8 size 40",
	"CK_SIGN_ADDITIONAL_CONTEXT":      "hedgeVariant@0+8 pContext@8+8 ulContextLen@16+8 size 24",
	"CK_HASH_SIGN_ADDITIONAL_CONTEXT": "hedgeVariant@0+8 pContext@8+8 ulContextLen@16+8 hash@24+8 size 32",
	"CK_GCM_WRAP_PARAMS": "pIv@0+8 ulIvLen@8+8 ulIvFixedBits@16+8 ivGenerator@24+8 " +
		"pAAD@32+8 ulAADLen@40+8 ulTagBits@48+8 size 56",
	"CK_CCM_WRAP_PARAMS": "ulDataLen@0+8 pNonce@8+8 ulNonceLen@16+8 ulNonceFixedBits@24+8 nonceGenerator@32+8 " +
		"pAAD@40+8 ulAADLen@48+8 ulMACLen@56+8 size 64",
	"CK_IKE_PRF_DERIVE_PARAMS": "prfMechanism@0+8 bDataAsKey@8+1 bRekey@9+1 pNi@16+8 ulNiLen@24+8 pNr@32+8 ulNrLen@40+8 " +
		"hNewKey@48+8 size 56",
	"CK_IKE1_PRF_DERIVE_PARAMS": "prfMechanism@0+8 bHasPrevKey@8+1 hKeygxy@16+8 hPrevKey@24+8 pCKYi@32+8 ulCKYiLen@40+8 " +
		"pCKYr@48+8 ulCKYrLen@56+8 keyNumber@64+1 size 72",
	"CK_IKE1_EXTENDED_DERIVE_PARAMS":             "prfMechanism@0+8 bHasKeygxy@8+1 hKeygxy@16+8 pExtraData@24+8 ulExtraDataLen@32+8 size 40",
	"CK_IKE2_PRF_PLUS_DERIVE_PARAMS":             "prfMechanism@0+8 bHasSeedKey@8+1 hSeedKey@16+8 pSeedData@24+8 ulSeedDataLen@32+8 size 40",
	"CK_TLS12_EXTENDED_MASTER_KEY_DERIVE_PARAMS": "prfHashMechanism@0+8 pSessionHash@8+8 ulSessionHashLen@16+8 pVersion@24+8 size 32",
}

// A laterFunction is a function of 3.2 with the types of its parameters.
type laterFunction struct{ name, parameters string }

// laterFunctions are in the order in which they end CK_FUNCTION_LIST_3_2.
var laterFunctions = []laterFunction{
	{"C_EncapsulateKey", "ulong, CK_MECHANISM*, ulong, CK_ATTRIBUTE*, ulong, byte*, ulong*, ulong*"},
	{"C_DecapsulateKey", "ulong, CK_MECHANISM*, ulong, CK_ATTRIBUTE*, ulong, byte*, ulong, ulong*"},
	{"C_VerifySignatureInit", "ulong, CK_MECHANISM*, ulong, byte*, ulong"},
	{"C_VerifySignature", "ulong, byte*, ulong"},
	{"C_VerifySignatureUpdate", "ulong, byte*, ulong"},
	{"C_VerifySignatureFinal", "ulong"},
	{"C_GetSessionValidationFlags", "ulong, ulong, ulong*"},
	{"C_AsyncComplete", "ulong, byte*, CK_ASYNC_DATA*"},
	{"C_AsyncGetID", "ulong, byte*, ulong*"},
	{"C_AsyncJoin", "ulong, byte*, ulong, byte*, ulong"},
	{"C_WrapKeyAuthenticated", "ulong, CK_MECHANISM*, ulong, ulong, byte*, ulong, byte*, ulong*"},
	{"C_UnwrapKeyAuthenticated", "ulong, CK_MECHANISM*, ulong, byte*, ulong, CK_ATTRIBUTE*, ulong, byte*, ulong, ulong*"},
}

// olderNames gives the current name of every alias, in the number spaces whose
// names package ck prints.
var olderNames = map[string]string{
	"CKA_ECDSA_PARAMS":                   "CKA_EC_PARAMS",
	"CKA_SUB_PRIME_BITS":                 "CKA_SUBPRIME_BITS",
	"CKK_CAST5":                          "CKK_CAST128",
	"CKK_ECDSA":                          "CKK_EC",
	"CKM_CAST5_CBC":                      "CKM_CAST128_CBC",
	"CKM_CAST5_CBC_PAD":                  "CKM_CAST128_CBC_PAD",
	"CKM_CAST5_ECB":                      "CKM_CAST128_ECB",
	"CKM_CAST5_KEY_GEN":                  "CKM_CAST128_KEY_GEN",
	"CKM_CAST5_MAC":                      "CKM_CAST128_MAC",
	"CKM_CAST5_MAC_GENERAL":              "CKM_CAST128_MAC_GENERAL",
	"CKM_DSA_PROBABLISTIC_PARAMETER_GEN": "CKM_DSA_PROBABILISTIC_PARAMETER_GEN",
	"CKM_ECDSA_KEY_PAIR_GEN":             "CKM_EC_KEY_PAIR_GEN",
	"CKM_PBE_MD5_CAST5_CBC":              "CKM_PBE_MD5_CAST128_CBC",
	"CKM_PBE_SHA1_CAST5_CBC":             "CKM_PBE_SHA1_CAST128_CBC",
	"CKM_SHA3_224_KEY_DERIVE":            "CKM_SHA3_224_KEY_DERIVATION",
	"CKM_SHA3_256_KEY_DERIVE":            "CKM_SHA3_256_KEY_DERIVATION",
	"CKM_SHA3_384_KEY_DERIVE":            "CKM_SHA3_384_KEY_DERIVATION",
	"CKM_SHA3_512_KEY_DERIVE":            "CKM_SHA3_512_KEY_DERIVATION",
	"CKM_SHAKE_128_KEY_DERIVE":           "CKM_SHAKE_128_KEY_DERIVATION",
	"CKM_SHAKE_256_KEY_DERIVE":           "CKM_SHAKE_256_KEY_DERIVATION",
	"CKU_CRYPTO_OFFICER":                 "CKU_USER",
	"CKU_LIMITED_USER":                   "CKU_CRYPTO_USER",
}

// from numbers names consecutively from first.
func from(first uint64, names ...string) map[string]uint64 {
	m := make(map[string]uint64)
	for i, name := range names {
		m[name] = first + uint64(i)
	}
	return m
}

func runs(list ...map[string]uint64) map[string]uint64 {
	all := make(map[string]uint64)
	for _, m := range list {
		for name, v := range m {
			if _, dup := all[name]; dup {
				panic(name + " entered twice")
			}
			all[name] = v
		}
	}
	return all
}
