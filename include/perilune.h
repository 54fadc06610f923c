/*
 * perilune.h: what Perilune adds to PKCS#11.
 *
 * The numbers are those that applications written for network HSMs of the
 * Luna-compatible kind already use. They lie in the ranges that the standard
 * leaves to vendors, except where a comment says otherwise.
 */
#ifndef PERILUNE_H
#define PERILUNE_H 1

#include "pkcs11.h"

/*
 * Users
 *
 * A partition has a Partition SO (CKU_SO), a Crypto Officer, who owns the keys
 * and is the standard's normal user, and users who may only use keys.
 */

#define CKU_VENDOR_DEFINED         0x80000000UL
#define CKU_CRYPTO_OFFICER         CKU_USER
#define CKU_CRYPTO_USER            0x80000001UL
#define CKU_LIMITED_USER           CKU_CRYPTO_USER
#define CKU_AUDIT                  0x80000002UL
#define CKU_LIMITED_CRYPTO_OFFICER 0x80000003UL

/* A misprint of CKU_LIMITED_USER that old programs were compiled with. */
#define CKU_LIMITED_USER_OLD       0x08000001UL

/* Never a user. */
#define CKU_INVALID_USER_TYPE      0xFFFFFFFFUL

/*
 * Session states; the first is outside the vendor range
 */

#define CKS_RO_SO_FUNCTIONS    5UL
#define CKS_RW_AUDIT_FUNCTIONS 0x90000001UL

/*
 * Attributes
 */

/* Accepted and ignored. */
#define CKA_CCM_PRIVATE              0x80000001UL

/* What the object is and where it came from: read-only. */
#define CKA_FINGERPRINT_SHA1         0x80000002UL
#define CKA_PKC_TCTRUST              0x80000003UL
#define CKA_PKC_CITS                 0x80000004UL
#define CKA_OUID                     0x80000005UL
#define CKA_X9_31_GENERATED          0x80000006UL
#define CKA_PKC_ECC                  0x80000007UL
#define CKA_FINGERPRINT_SHA256       0x80001003UL

/* Free for the application. */
#define CKA_EKM_UID                  0x80000008UL
#define CKA_GENERIC_1                0x80001000UL
#define CKA_GENERIC_2                0x80001001UL
#define CKA_GENERIC_3                0x80001002UL

/* How much a key has been and may be used. */
#define CKA_USAGE_COUNT              0x80000101UL
#define CKA_BYTES_REMAINING          0x80000105UL
#define CKA_USAGE_LIMIT              0x80000200UL
#define CKA_WARNING_THRESHOLD        0x80001004UL

/* Authorization of single keys. */
#define CKA_AUTH_DATA                0x80001005UL
#define CKA_ASSIGNED                 0x80001006UL
#define CKA_KEY_STATUS               0x80001007UL
#define CKA_FAILED_KEY_AUTH_COUNT    0x80001008UL

/* Hierarchical deterministic keys, BIP 32. */
#define CKA_BIP32_CHAIN_CODE         0x80001100UL
#define CKA_BIP32_VERSION_BYTES      0x80001101UL
#define CKA_BIP32_CHILD_INDEX        0x80001102UL
#define CKA_BIP32_CHILD_DEPTH        0x80001103UL
#define CKA_BIP32_ID                 0x80001104UL
#define CKA_BIP32_FINGERPRINT        0x80001105UL
#define CKA_BIP32_PARENT_FINGERPRINT 0x80001106UL

/* A CK_USER_TYPE: which role made the object. Only what the Limited Crypto Officer made has it. */
#define CKA_MADE_BY                  0x80504C01UL

/*
 * Key types
 */

#define CKK_KCDSA                                     0x80000010UL
#define CKK_SEED_OLD                                  0x80000011UL
#define CKK_EC_EDWARDS_OLD                            0x80000012UL
#define CKK_EC_MONTGOMERY_OLD                         0x80000013UL
#define CKK_BIP32                                     0x80000014UL

/* Perilune's own. */
#define CKK_SM4                                       0x80504C01UL

/*
 * Mechanisms
 *
 * Those that end in _OLD are the numbers that devices gave to mechanisms before
 * the standard had numbers for them, or gave them others.
 */

/* Passwords. */
#define CKM_PBE_SHA1_DES3_EDE_CBC_OLD                 0x0000801EUL
#define CKM_PBE_SHA1_DES2_EDE_CBC_OLD                 0x0000801FUL

/* Derivations of early devices. */
#define CKM_CONCATENATE_KEY_AND_BASE                  0x0000800DUL

/* Korean algorithms. */
#define CKM_HAS160                                    0x80000100UL
#define CKM_KCDSA_KEY_PAIR_GEN                        0x80000101UL
#define CKM_KCDSA_HAS160                              0x80000102UL
#define CKM_SEED_KEY_GEN_OLD                          0x80000103UL
#define CKM_SEED_ECB_OLD                              0x80000104UL
#define CKM_SEED_CBC_OLD                              0x80000105UL
#define CKM_SEED_CBC_PAD_OLD                          0x80000106UL
#define CKM_SEED_MAC_OLD                              0x80000107UL
#define CKM_SEED_MAC_GENERAL_OLD                      0x80000108UL
#define CKM_KCDSA_SHA1                                0x80000109UL
#define CKM_KCDSA_SHA224                              0x8000010AUL
#define CKM_KCDSA_SHA256                              0x8000010BUL
#define CKM_KCDSA_SHA384                              0x8000010CUL
#define CKM_KCDSA_SHA512                              0x8000010DUL
#define CKM_KCDSA_PARAMETER_GEN                       0x8000010FUL
#define CKM_SEED_CTR                                  0x80000144UL
#define CKM_KCDSA_HAS160_NO_PAD                       0x80000145UL
#define CKM_KCDSA_SHA1_NO_PAD                         0x80000146UL
#define CKM_KCDSA_SHA224_NO_PAD                       0x80000147UL
#define CKM_KCDSA_SHA256_NO_PAD                       0x80000148UL
#define CKM_KCDSA_SHA384_NO_PAD                       0x80000149UL
#define CKM_KCDSA_SHA512_NO_PAD                       0x80000151UL
#define CKM_SEED_CMAC                                 0x8000012CUL
#define CKM_SEED_CMAC_GENERAL                         0x8000012DUL

/* Modes of block ciphers. */
#define CKM_DES3_CTR                                  0x80000116UL
#define CKM_AES_CFB8_OLD                              0x80000118UL
#define CKM_AES_CFB128_OLD                            0x80000119UL
#define CKM_AES_OFB_OLD                               0x8000011AUL
#define CKM_AES_GCM_OLD                               0x8000011CUL
#define CKM_ARIA_CFB8                                 0x8000011DUL
#define CKM_ARIA_CFB128                               0x8000011EUL
#define CKM_ARIA_OFB                                  0x8000011FUL
#define CKM_ARIA_CTR                                  0x80000120UL
#define CKM_AES_GMAC_OLD                              0x80000126UL
#define CKM_ARIA_CMAC                                 0x80000128UL
#define CKM_ARIA_CMAC_GENERAL                         0x80000129UL
#define CKM_DES3_CBC_PAD_IPSEC                        0x8000012EUL
#define CKM_AES_CBC_PAD_IPSEC                         0x8000012FUL
#define CKM_DES3_X919_MAC                             0x80000150UL
#define CKM_AES_KW                                    0x80000170UL
#define CKM_AES_KWP                                   0x80000171UL
#define CKM_AES_XTS_OLD                               0x80000A04UL

/* What ARIA-L is has never been published: numbers only, nothing serves them. */
#define CKM_ARIA_L_ECB                                0x80000130UL
#define CKM_ARIA_L_CBC                                0x80000131UL
#define CKM_ARIA_L_CBC_PAD                            0x80000132UL
#define CKM_ARIA_L_MAC                                0x80000133UL
#define CKM_ARIA_L_MAC_GENERAL                        0x80000134UL

/* RSA and DSA. */
#define CKM_SHA224_RSA_X9_31                          0x80000135UL
#define CKM_SHA256_RSA_X9_31                          0x80000136UL
#define CKM_SHA384_RSA_X9_31                          0x80000137UL
#define CKM_SHA512_RSA_X9_31                          0x80000138UL
#define CKM_SHA1_RSA_X9_31_NON_FIPS                   0x80000139UL
#define CKM_SHA224_RSA_X9_31_NON_FIPS                 0x8000013AUL
#define CKM_SHA256_RSA_X9_31_NON_FIPS                 0x8000013BUL
#define CKM_SHA384_RSA_X9_31_NON_FIPS                 0x8000013CUL
#define CKM_SHA512_RSA_X9_31_NON_FIPS                 0x8000013DUL
#define CKM_RSA_X9_31_NON_FIPS                        0x8000013EUL
#define CKM_DSA_SHA224_OLD                            0x80000140UL
#define CKM_DSA_SHA256_OLD                            0x80000141UL
#define CKM_RSA_FIPS_186_3_AUX_PRIME_KEY_PAIR_GEN     0x80000142UL
#define CKM_RSA_FIPS_186_3_PRIME_KEY_PAIR_GEN         0x80000143UL

/* Elliptic curves. */
#define CKM_ECDSA_SHA224_OLD                          0x80000122UL
#define CKM_ECDSA_SHA256_OLD                          0x80000123UL
#define CKM_ECDSA_SHA384_OLD                          0x80000124UL
#define CKM_ECDSA_SHA512_OLD                          0x80000125UL
#define CKM_ECDSA_KEY_PAIR_GEN_W_EXTRA_BITS           0x80000160UL
#define CKM_ECDSA_GBCS_SHA256                         0x80000161UL
#define CKM_ECIES                                     0x80000A00UL
#define CKM_EC_EDWARDS_KEY_PAIR_GEN_OLD               0x80000C01UL
#define CKM_EDDSA_NACL                                0x80000C02UL
#define CKM_EDDSA_OLD                                 0x80000C03UL
#define CKM_SHA1_EDDSA_NACL                           0x80000C04UL
#define CKM_SHA224_EDDSA_NACL                         0x80000C05UL
#define CKM_SHA256_EDDSA_NACL                         0x80000C06UL
#define CKM_SHA384_EDDSA_NACL                         0x80000C07UL
#define CKM_SHA512_EDDSA_NACL                         0x80000C08UL
#define CKM_SHA1_EDDSA                                0x80000C09UL
#define CKM_SHA224_EDDSA                              0x80000C0AUL
#define CKM_SHA256_EDDSA                              0x80000C0BUL
#define CKM_SHA384_EDDSA                              0x80000C0CUL
#define CKM_SHA512_EDDSA                              0x80000C0DUL
#define CKM_EC_MONTGOMERY_KEY_PAIR_GEN_OLD            0x80000D01UL
#define CKM_BIP32_MASTER_DERIVE                       0x80000E00UL
#define CKM_BIP32_CHILD_DERIVE                        0x80000E01UL

/* Derivations and payment. */
#define CKM_DES2_DUKPT_PIN                            0x80000611UL
#define CKM_DES2_DUKPT_MAC                            0x80000612UL
#define CKM_DES2_DUKPT_MAC_RESP                       0x80000613UL
#define CKM_DES2_DUKPT_DATA                           0x80000614UL
#define CKM_DES2_DUKPT_DATA_RESP                      0x80000615UL
#define CKM_XOR_BASE_AND_DATA_W_KDF                   0x80000A01UL
#define CKM_NIST_PRF_KDF                              0x80000A02UL
#define CKM_PRF_KDF                                   0x80000A03UL

/* SM3. */
#define CKM_SM3                                       0x80000B01UL
#define CKM_SM3_HMAC                                  0x80000B02UL
#define CKM_SM3_HMAC_GENERAL                          0x80000B03UL
#define CKM_SM3_KEY_DERIVATION                        0x80000B04UL

/* Perilune's own: specified elsewhere, but without a number in any header. */
#define CKM_SHAKE_128                                 0x80504C01UL
#define CKM_SHAKE_256                                 0x80504C02UL
#define CKM_KMAC_128                                  0x80504C03UL
#define CKM_KMAC_256                                  0x80504C04UL
#define CKM_HAS160_HMAC                               0x80504C05UL
#define CKM_HAS160_HMAC_GENERAL                       0x80504C06UL
#define CKM_HAS160_KEY_DERIVATION                     0x80504C07UL
#define CKM_RIPEMD160_KEY_DERIVATION                  0x80504C08UL
#define CKM_DES3_CFB8                                 0x80504C09UL
#define CKM_DES3_CFB64                                0x80504C0AUL
#define CKM_DES3_OFB64                                0x80504C0BUL
#define CKM_ARIA_GCM                                  0x80504C0DUL
#define CKM_ARIA_CCM                                  0x80504C0EUL
#define CKM_ARIA_KEY_WRAP                             0x80504C0FUL
#define CKM_ARIA_KEY_WRAP_PAD                         0x80504C10UL
#define CKM_SEED_GCM                                  0x80504C11UL
#define CKM_SEED_CCM                                  0x80504C12UL
#define CKM_SEED_KEY_WRAP                             0x80504C13UL
#define CKM_SEED_OFB                                  0x80504C14UL
#define CKM_SEED_CFB128                               0x80504C15UL
#define CKM_SEED_CFB8                                 0x80504C16UL
#define CKM_CAMELLIA_CMAC                             0x80504C17UL
#define CKM_CAMELLIA_GCM                              0x80504C18UL
#define CKM_CAMELLIA_CCM                              0x80504C19UL
#define CKM_CAMELLIA_KEY_WRAP                         0x80504C1AUL
#define CKM_CAMELLIA_OFB                              0x80504C1BUL
#define CKM_CAMELLIA_CFB128                           0x80504C1CUL
#define CKM_SM4_KEY_GEN                               0x80504C1DUL
#define CKM_SM4_ECB                                   0x80504C1EUL
#define CKM_SM4_CBC                                   0x80504C1FUL
#define CKM_SM4_CBC_PAD                               0x80504C20UL
#define CKM_SM4_CTR                                   0x80504C21UL
#define CKM_SM4_OFB                                   0x80504C22UL
#define CKM_SM4_CFB128                                0x80504C23UL
#define CKM_SM4_GCM                                   0x80504C24UL
#define CKM_SM4_CCM                                   0x80504C25UL
#define CKM_SM4_CMAC                                  0x80504C26UL
#define CKM_SM4_CMAC_GENERAL                          0x80504C27UL
#define CKM_SM2                                       0x80504C2AUL
#define CKM_SM2_SM3                                   0x80504C2BUL
#define CKM_SM2_ENCRYPT                               0x80504C2CUL
#define CKM_SM2_KEY_EXCHANGE                          0x80504C2DUL
#define CKM_EC_KCDSA_SHA224                           0x80504C2FUL
#define CKM_EC_KCDSA_SHA256                           0x80504C30UL
#define CKM_EC_KCDSA_SHA384                           0x80504C31UL
#define CKM_EC_KCDSA_SHA512                           0x80504C32UL
#define CKM_XCHACHA20_POLY1305                        0x80504C35UL

/*
 * Key derivation functions and pseudo-random functions
 */

#define CKD_RIPEMD160_KDF                             0x80000007UL
#define CKD_SHA1_NIST_KDF                             0x00000012UL
#define CKD_SHA224_NIST_KDF                           0x80000013UL
#define CKD_SHA256_NIST_KDF                           0x80000014UL
#define CKD_SHA384_NIST_KDF                           0x80000015UL
#define CKD_SHA512_NIST_KDF                           0x80000016UL
#define CKD_RIPEMD160_NIST_KDF                        0x80000017UL
#define CKD_SHA224_KDF_OLD                            0x80000003UL
#define CKD_SHA256_KDF_OLD                            0x80000004UL
#define CKD_SHA384_KDF_OLD                            0x80000005UL
#define CKD_SHA512_KDF_OLD                            0x80000006UL

#define CKP_PKCS5_PBKD2_HMAC_SM3                      0x80000B01UL

/* The pseudo-random functions of CKM_NIST_PRF_KDF and CKM_PRF_KDF. */
#define CK_PRF_KDF_DES3_CMAC                          0x00000001UL
#define CK_PRF_KDF_AES_CMAC                           0x00000002UL
#define CK_PRF_KDF_ARIA_CMAC                          0x00000003UL
#define CK_PRF_KDF_SEED_CMAC                          0x00000004UL
#define CK_PRF_KDF_HMAC_SHA1                          0x00000005UL
#define CK_PRF_KDF_HMAC_SHA224                        0x00000006UL
#define CK_PRF_KDF_HMAC_SHA256                        0x00000007UL
#define CK_PRF_KDF_HMAC_SHA384                        0x00000008UL
#define CK_PRF_KDF_HMAC_SHA512                        0x00000009UL
#define CK_PRF_KDF_HMAC_RIPEMD160                     0x0000000AUL
#define CK_PRF_KDF_HMAC_SHA3_224                      0x0000000BUL
#define CK_PRF_KDF_HMAC_SHA3_256                      0x0000000CUL
#define CK_PRF_KDF_HMAC_SHA3_384                      0x0000000DUL
#define CK_PRF_KDF_HMAC_SHA3_512                      0x0000000EUL

/*
 * What they are applied to: the counter, then the fields that follow here. The
 * length is that of the derived key in bits.
 */
#define CK_PRF_KDF_ENCODING_SCHEME_1                  0x00000000UL /* context, 0, label, length */
#define CK_PRF_KDF_ENCODING_SCHEME_2                  0x00000001UL /* context, label */
#define CK_PRF_KDF_ENCODING_SCHEME_3                  0x00000002UL /* label, 0, context, length */
#define CK_PRF_KDF_ENCODING_SCHEME_4                  0x00000003UL /* label, context */
#define CK_PRF_KDF_ENCODING_SCHEME_SCP03              0x00000004UL
#define CK_PRF_KDF_ENCODING_SCHEME_HID_KD             0x00000005UL

/*
 * BIP 32: the flag of a hardened child in a path
 */

#define CKF_BIP32_HARDENED                            0x80000000UL

/*
 * Parameters of mechanisms
 */

#if defined(_WIN32) || defined(CRYPTOKI_FORCE_WIN32)
#pragma pack(push, 1)
#endif

/* CKM_AES_XTS_OLD: the key of the tweak, and the tweak */
typedef struct CK_AES_XTS_PARAMS {
  CK_OBJECT_HANDLE hTweakKey;
  CK_BYTE          cb[16];
} CK_AES_XTS_PARAMS;

typedef CK_AES_XTS_PARAMS CK_PTR CK_AES_XTS_PARAMS_PTR;

/* CKM_DES3_CTR */
typedef struct CK_DES_CTR_PARAMS {
  CK_ULONG ulCounterBits;
  CK_BYTE  cb[8];
} CK_DES_CTR_PARAMS;

typedef CK_DES_CTR_PARAMS CK_PTR CK_DES_CTR_PARAMS_PTR;

/* CKM_XOR_BASE_AND_DATA_W_KDF */
typedef struct CK_XOR_BASE_DATA_KDF_PARAMS {
  CK_EC_KDF_TYPE kdf;
  CK_ULONG       ulSharedDataLen;
  CK_BYTE_PTR    pSharedData;
} CK_XOR_BASE_DATA_KDF_PARAMS;

typedef CK_XOR_BASE_DATA_KDF_PARAMS CK_PTR CK_XOR_BASE_DATA_KDF_PARAMS_PTR;

/* CKM_NIST_PRF_KDF and CKM_PRF_KDF */
typedef CK_ULONG CK_KDF_PRF_TYPE;
typedef CK_ULONG CK_KDF_PRF_ENCODING_SCHEME;

typedef struct CK_KDF_PRF_PARAMS {
  CK_KDF_PRF_TYPE            prfType;
  CK_BYTE_PTR                pLabel;
  CK_ULONG                   ulLabelLen;
  CK_BYTE_PTR                pContext;
  CK_ULONG                   ulContextLen;
  CK_ULONG                   ulCounter;
  CK_KDF_PRF_ENCODING_SCHEME ulEncodingScheme;
} CK_KDF_PRF_PARAMS;

typedef CK_KDF_PRF_PARAMS CK_PTR CK_KDF_PRF_PARAMS_PTR;

/*
 * CKM_KMAC_128 and CKM_KMAC_256, which may go without: the customization string
 * and the length of the code in bytes, 0 for 32 (KMAC128) or 64 (KMAC256).
 */
typedef struct CK_KMAC_PARAMS {
  CK_BYTE_PTR pCustomization;
  CK_ULONG    ulCustomizationLen;
  CK_ULONG    ulMacLen;
} CK_KMAC_PARAMS;

typedef CK_KMAC_PARAMS CK_PTR CK_KMAC_PARAMS_PTR;

/*
 * CKM_BIP32_MASTER_DERIVE. The handles come back in the structure; a key whose
 * template has no attributes is not made.
 */
typedef struct CK_BIP32_MASTER_DERIVE_PARAMS {
  CK_ATTRIBUTE_PTR pPublicKeyTemplate;
  CK_ULONG         ulPublicKeyAttributeCount;
  CK_ATTRIBUTE_PTR pPrivateKeyTemplate;
  CK_ULONG         ulPrivateKeyAttributeCount;
  CK_OBJECT_HANDLE hPublicKey;
  CK_OBJECT_HANDLE hPrivateKey;
} CK_BIP32_MASTER_DERIVE_PARAMS;

typedef CK_BIP32_MASTER_DERIVE_PARAMS CK_PTR CK_BIP32_MASTER_DERIVE_PARAMS_PTR;

/*
 * CKM_BIP32_CHILD_DERIVE: the same, and the path from the base key. If a step of
 * it fails, ulPathErrorIndex tells which.
 */
typedef struct CK_BIP32_CHILD_DERIVE_PARAMS {
  CK_ATTRIBUTE_PTR pPublicKeyTemplate;
  CK_ULONG         ulPublicKeyAttributeCount;
  CK_ATTRIBUTE_PTR pPrivateKeyTemplate;
  CK_ULONG         ulPrivateKeyAttributeCount;
  CK_ULONG_PTR     pulPath;
  CK_ULONG         ulPathLen;
  CK_OBJECT_HANDLE hPublicKey;
  CK_OBJECT_HANDLE hPrivateKey;
  CK_ULONG         ulPathErrorIndex;
} CK_BIP32_CHILD_DERIVE_PARAMS;

typedef CK_BIP32_CHILD_DERIVE_PARAMS CK_PTR CK_BIP32_CHILD_DERIVE_PARAMS_PTR;

#if defined(_WIN32) || defined(CRYPTOKI_FORCE_WIN32)
#pragma pack(pop)
#endif

/*
 * Return values
 */

/* Names of early Cryptoki versions; these three are outside the vendor range. */
#define CKR_FUNCTION_PARALLEL                             0x00000052UL
#define CKR_SESSION_EXCLUSIVE_EXISTS                      0x000000B2UL
#define CKR_INSERTION_CALLBACK_NOT_SUPPORTED              0x00000141UL

/* The HSM and its partitions. */
#define CKR_RC_ERROR                                      0x80000004UL
#define CKR_CONTAINER_HANDLE_INVALID                      0x80000005UL
#define CKR_TOO_MANY_CONTAINERS                           0x80000006UL
#define CKR_USER_LOCKED_OUT                               0x80000007UL
#define CKR_CLONING_PARAMETER_ALREADY_EXISTS              0x80000008UL
#define CKR_CLONING_PARAMETER_MISSING                     0x80000009UL
#define CKR_CERTIFICATE_DATA_MISSING                      0x8000000AUL
#define CKR_CERTIFICATE_DATA_INVALID                      0x8000000BUL
#define CKR_ACCEL_DEVICE_ERROR                            0x8000000CUL
#define CKR_WRAPPING_ERROR                                0x8000000DUL
#define CKR_UNWRAPPING_ERROR                              0x8000000EUL
#define CKR_MAC_MISSING                                   0x8000000FUL
#define CKR_DAC_POLICY_PID_MISMATCH                       0x80000010UL
#define CKR_DAC_MISSING                                   0x80000011UL
#define CKR_BAD_DAC                                       0x80000012UL
#define CKR_SSK_MISSING                                   0x80000013UL
#define CKR_BAD_MAC                                       0x80000014UL
#define CKR_DAK_MISSING                                   0x80000015UL
#define CKR_BAD_DAK                                       0x80000016UL
#define CKR_SIM_AUTHORIZATION_FAILED                      0x80000017UL
#define CKR_SIM_VERSION_UNSUPPORTED                       0x80000018UL
#define CKR_SIM_CORRUPT_DATA                              0x80000019UL
#define CKR_USER_NOT_AUTHORIZED                           0x8000001AUL
#define CKR_MAX_OBJECT_COUNT_EXCEEDED                     0x8000001BUL
#define CKR_SO_LOGIN_FAILURE_THRESHOLD                    0x8000001CUL
#define CKR_SIM_AUTHFORM_INVALID                          0x8000001DUL
#define CKR_CITS_DAK_MISSING                              0x8000001EUL
#define CKR_UNABLE_TO_CONNECT                             0x8000001FUL
#define CKR_PARTITION_DISABLED                            0x80000020UL
#define CKR_CALLBACK_ERROR                                0x80000021UL
#define CKR_SECURITY_PARAMETER_MISSING                    0x80000022UL
#define CKR_SP_TIMEOUT                                    0x80000023UL
#define CKR_TIMEOUT                                       0x80000024UL
#define CKR_ECC_UNKNOWN_CURVE                             0x80000025UL
#define CKR_MTK_ZEROIZED                                  0x80000026UL
#define CKR_MTK_STATE_INVALID                             0x80000027UL
#define CKR_INVALID_ENTRY_TYPE                            0x80000028UL
#define CKR_MTK_SPLIT_INVALID                             0x80000029UL
#define CKR_HSM_STORAGE_FULL                              0x8000002AUL
#define CKR_DEVICE_TIMEOUT                                0x8000002BUL
#define CKR_CONTAINER_OBJECT_STORAGE_FULL                 0x8000002CUL
#define CKR_PED_CLIENT_NOT_RUNNING                        0x8000002DUL
#define CKR_PED_UNPLUGGED                                 0x8000002EUL
#define CKR_ECC_POINT_INVALID                             0x8000002FUL
#define CKR_OPERATION_NOT_ALLOWED                         0x80000030UL
#define CKR_LICENSE_CAPACITY_EXCEEDED                     0x80000031UL

/* The audit log and the Auditor. */
#define CKR_LOG_FILE_NOT_OPEN                             0x80000032UL
#define CKR_LOG_FILE_WRITE_ERROR                          0x80000033UL
#define CKR_LOG_BAD_FILE_NAME                             0x80000034UL
#define CKR_LOG_FULL                                      0x80000035UL
#define CKR_LOG_NO_KCV                                    0x80000036UL
#define CKR_LOG_BAD_RECORD_HMAC                           0x80000037UL
#define CKR_LOG_BAD_TIME                                  0x80000038UL
#define CKR_LOG_AUDIT_NOT_INITIALIZED                     0x80000039UL
#define CKR_LOG_RESYNC_NEEDED                             0x8000003AUL
#define CKR_AUDIT_LOGIN_TIMEOUT_IN_PROGRESS               0x8000003BUL
#define CKR_AUDIT_LOGIN_FAILURE_THRESHOLD                 0x8000003CUL

/* Firmware updates and further refusals. */
#define CKR_INVALID_FUF_TARGET                            0x8000003DUL
#define CKR_INVALID_FUF_HEADER                            0x8000003EUL
#define CKR_INVALID_FUF_VERSION                           0x8000003FUL
#define CKR_ECC_ECC_RESULT_AT_INF                         0x80000040UL
#define CKR_AGAIN                                         0x80000041UL
#define CKR_TOKEN_COPIED                                  0x80000042UL
#define CKR_SLOT_NOT_EMPTY                                0x80000043UL
#define CKR_USER_ALREADY_ACTIVATED                        0x80000044UL

/* Secure trusted channel between client and partition. */
#define CKR_STC_NO_CONTEXT                                0x80000045UL
#define CKR_STC_CLIENT_IDENTITY_NOT_CONFIGURED            0x80000046UL
#define CKR_STC_PARTITION_IDENTITY_NOT_CONFIGURED         0x80000047UL
#define CKR_STC_DH_KEYGEN_ERROR                           0x80000048UL
#define CKR_STC_CIPHER_SUITE_REJECTED                     0x80000049UL
#define CKR_STC_DH_KEY_NOT_FROM_SAME_GROUP                0x8000004AUL
#define CKR_STC_COMPUTE_DH_KEY_ERROR                      0x8000004BUL
#define CKR_STC_FIRST_PHASE_KDF_ERROR                     0x8000004CUL
#define CKR_STC_SECOND_PHASE_KDF_ERROR                    0x8000004DUL
#define CKR_STC_KEY_CONFIRMATION_FAILED                   0x8000004EUL
#define CKR_STC_NO_SESSION_KEY                            0x8000004FUL
#define CKR_STC_RESPONSE_BAD_MAC                          0x80000050UL
#define CKR_STC_NOT_ENABLED                               0x80000051UL
#define CKR_STC_CLIENT_HANDLE_INVALID                     0x80000052UL
#define CKR_STC_SESSION_INVALID                           0x80000053UL
#define CKR_STC_CONTAINER_INVALID                         0x80000054UL
#define CKR_STC_SEQUENCE_NUM_INVALID                      0x80000055UL
#define CKR_STC_NO_CHANNEL                                0x80000056UL
#define CKR_STC_RESPONSE_DECRYPT_ERROR                    0x80000057UL
#define CKR_STC_RESPONSE_REPLAYED                         0x80000058UL
#define CKR_STC_REKEY_CHANNEL_MISMATCH                    0x80000059UL
#define CKR_STC_RSA_ENCRYPT_ERROR                         0x8000005AUL
#define CKR_STC_RSA_SIGN_ERROR                            0x8000005BUL
#define CKR_STC_RSA_DECRYPT_ERROR                         0x8000005CUL
#define CKR_STC_RESPONSE_UNEXPECTED_KEY                   0x8000005DUL
#define CKR_STC_UNEXPECTED_NONCE_PAYLOAD_SIZE             0x8000005EUL
#define CKR_STC_UNEXPECTED_DH_DATA_SIZE                   0x8000005FUL
#define CKR_STC_OPEN_CIPHER_MISMATCH                      0x80000060UL
#define CKR_STC_OPEN_DHNIST_PUBKEY_ERROR                  0x80000061UL
#define CKR_STC_OPEN_KEY_MATERIAL_GEN_FAIL                0x80000062UL
#define CKR_STC_OPEN_RESP_GEN_FAIL                        0x80000063UL
#define CKR_STC_ACTIVATE_MACTAG_U_VERIFY_FAIL             0x80000064UL
#define CKR_STC_ACTIVATE_MACTAG_V_GEN_FAIL                0x80000065UL
#define CKR_STC_ACTIVATE_RESP_GEN_FAIL                    0x80000066UL

/* Challenges, access ids and fast-path keys. */
#define CKR_CHALLENGE_INCORRECT                           0x80000067UL
#define CKR_ACCESS_ID_INVALID                             0x80000068UL
#define CKR_ACCESS_ID_ALREADY_EXISTS                      0x80000069UL
#define CKR_KEY_NOT_KEKABLE                               0x8000006AUL
#define CKR_MECHANISM_INVALID_FOR_FP                      0x8000006BUL
#define CKR_OPERATION_INVALID_FOR_FP                      0x8000006CUL
#define CKR_SESSION_HANDLE_INVALID_FOR_FP                 0x8000006DUL

/* State of the HSM, policies and metrics. */
#define CKR_CMD_NOT_ALLOWED_HSM_IN_TRANSPORT              0x8000006EUL
#define CKR_OBJECT_ALREADY_EXISTS                         0x8000006FUL
#define CKR_PARTITION_ROLE_POLICY_VERSION_INVALID         0x80000071UL
#define CKR_PARTITION_ROLE_POLICY_SET_VERSION_INVALID     0x80000072UL
#define CKR_REKEK_KEY                                     0x80000073UL
#define CKR_KEK_RETRY_FAILURE                             0x80000074UL
#define CKR_RNG_RESEED_TOO_EARLY                          0x80000075UL
#define CKR_HSM_TAMPERED                                  0x80000076UL
#define CKR_CONFIG_CHANGE_ILLEGAL                         0x80000077UL
#define CKR_SESSION_CONTEXT_NOT_ALLOCATED                 0x80000078UL
#define CKR_SESSION_CONTEXT_ALREADY_ALLOCATED             0x80000079UL
#define CKR_INVALID_BL_ITB_AUTH_HEADER                    0x8000007AUL
#define CKR_POLICY_ID_INVALID                             0x8000007BUL
#define CKR_CONFIG_ILLEGAL                                0x8000007CUL
#define CKR_CONFIG_FAILS_DEPENDENCIES                     0x8000007DUL
#define CKR_CERTIFICATE_TYPE_INVALID                      0x8000007EUL
#define CKR_INVALID_UTILIZATION_METRICS                   0x8000007FUL
#define CKR_UTILIZATION_BIN_ID_INVALID                    0x80000080UL
#define CKR_UTILIZATION_COUNTER_ID_INVALID                0x80000081UL
#define CKR_INVALID_SERIAL_NUM                            0x80000082UL

/* BIP 32 derivation. */
#define CKR_BIP32_CHILD_INDEX_INVALID                     0x80000083UL
#define CKR_BIP32_INVALID_HARDENED_DERIVATION             0x80000084UL
#define CKR_BIP32_MASTER_SEED_LEN_INVALID                 0x80000085UL
#define CKR_BIP32_MASTER_SEED_INVALID                     0x80000086UL
#define CKR_BIP32_INVALID_KEY_PATH_LEN                    0x80000087UL

/* Restart and functionality modules. */
#define CKR_HSM_RESTART_REQUIRED                          0x8000008DUL
#define CKR_FM_CFG_ALLOWEDFLAG_DISABLED                   0x8000008EUL

/* Authorization of single keys. */
#define CKR_ASSIGNED_KEY_REQUIRES_AUTH_DATA               0x8000008FUL
#define CKR_ROLE_CANNOT_MAKE_KEYS_ASSIGNED                0x80000090UL
#define CKR_ASSIGNED_KEY_CANNOT_BE_MODIFIED               0x80000091UL
#define CKR_AUTH_DATA_TOO_LARGE                           0x80000092UL
#define CKR_AUTH_DATA_TOO_SMALL                           0x80000093UL
#define CKR_OH_AUTH_DATA_NOT_PROVIDED                     0x80000094UL
#define CKR_ASSIGNED_KEY_FAILED_ATTRIBUTE_DEPENDENCIES    0x80000095UL
#define CKR_KEY_CANNOT_BE_AUTHORIZED                      0x80000096UL
#define CKR_KEY_NOT_AUTHORIZED                            0x80000097UL
#define CKR_AUTH_DATA_INCORRECT                           0x80000098UL

/* Key blobs, integrity and PIN entry devices. */
#define CKR_SMK_ID_NOT_FOUND                              0x80000099UL
#define CKR_INTERNAL_INTEGRITY_ERROR                      0x8000009AUL
#define CKR_ASSIGNED_KEY_CANNOT_BE_RESET                  0x8000009BUL
#define CKR_AUTH_DATA_INCORRECT_AND_LIMIT_REACHED         0x8000009CUL
#define CKR_PED_UNSUPPORTED                               0x8000009DUL
#define CKR_PED_ERROR                                     0x8000009EUL
#define CKR_ACCESS_ID_CONFLICT                            0x8000009FUL

/* High availability, cloning and export. */
#define CKR_KEY_INVALID_FOR_HA_LOGIN                      0x80000100UL
#define CKR_KEY_EXTRACTABLE                               0x80000101UL
#define CKR_AUTH_DATA_NOT_ALLOWED                         0x80000102UL
#define CKR_ASSIGNED_KEY_NOT_ALLOWED                      0x80000103UL
#define CKR_INTEGER_OVERFLOW                              0x80000104UL
#define CKR_ECC_CURVE_NOT_ALLOWED                         0x80000105UL
#define CKR_FAILED_TO_CLONE_AN_OBJECT                     0x80000106UL
#define CKR_CLONE_NOT_ATTEMPTED                           0x80000107UL

/* Negotiation of a cloning session. */
#define CKR_SESSION_NEGOTIATION_NO_PSK                    0x80000108UL
#define CKR_SESSION_NEGOTIATION_NO_ROOTS                  0x80000109UL
#define CKR_SESSION_NEGOTIATION_NO_ALGS                   0x8000010AUL
#define CKR_SESSION_NEGOTIATION_EXPIRED                   0x8000010BUL
#define CKR_SESSION_NEGOTIATION_INVALID                   0x8000010CUL
#define CKR_SESSION_ID_INVALID                            0x8000010DUL
#define CKR_SESSION_ID_EXISTS                             0x8000010EUL
#define CKR_SESSION_ID_EXPIRED                            0x8000010FUL
#define CKR_ATTESTATION_EXPIRED                           0x80000110UL

/* Protocols and objects. */
#define CKR_PROTOCOL_DISABLED                             0x80000111UL
#define CKR_OBJECT_TYPE_INVALID                           0x80000112UL
#define CKR_OBJECT_READ_ONLY                              0x80000114UL
#define CKR_SESSION_NEGOTIATION_NO_SESSION_DURATION       0x80000116UL
#define CKR_SESSION_NEGOTIATION_NO_KDF                    0x80000118UL
#define CKR_SESSION_NEGOTIATION_NO_ENCODING               0x80000119UL
#define CKR_SESSION_NEGOTIATION_NO_CHAIN_ATT              0x8000011AUL
#define CKR_SESSION_NEGOTIATION_NO_EPHEMERAL_KEY          0x8000011BUL

/* Key dates and usage limits. */
#define CKR_KEY_NOT_ACTIVE                                0x80000136UL

/* Keyrings. */
#define CKR_OBJECT_NOT_KEYRING                            0x80000305UL
#define CKR_KEYRING_NOT_FOUND                             0x80000306UL
#define CKR_KEYRING_NOT_AUTHORIZED                        0x80000307UL

/* Load. */
#define CKR_BUSY                                          0x80001604UL

/*
 * Parameters of mechanisms with elliptic curves
 */

#if defined(_WIN32) || defined(CRYPTOKI_FORCE_WIN32)
#pragma pack(push, 1)
#endif

/* CKM_ECIES. The modified primitive, with the cofactor taken out, is refused. */
typedef CK_ULONG CK_EC_DH_PRIMITIVE;
#define CKDHP_STANDARD                                    0x00000001UL
#define CKDHP_MODIFIED                                    0x00000002UL
#define CKDHP_ECDH1_COFACTOR                              0x00000003UL

typedef CK_ULONG CK_EC_ENC_SCHEME;
#define CKES_XOR                                          0x00000001UL
#define CKES_DES3_CBC_PAD                                 0x00000002UL
#define CKES_AES_CBC_PAD                                  0x00000003UL
#define CKES_DES3_CBC                                     0x00000004UL
#define CKES_AES_CBC                                      0x00000005UL

/* Those without HMAC are the digest of the key followed by the message. */
typedef CK_ULONG CK_EC_MAC_SCHEME;
#define CKMS_HMAC_SHA1                                    0x00000001UL
#define CKMS_SHA1                                         0x00000002UL
#define CKMS_HMAC_SHA224                                  0x00000003UL
#define CKMS_SHA224                                       0x00000004UL
#define CKMS_HMAC_SHA256                                  0x00000005UL
#define CKMS_SHA256                                       0x00000006UL
#define CKMS_HMAC_SHA384                                  0x00000007UL
#define CKMS_SHA384                                       0x00000008UL
#define CKMS_HMAC_SHA512                                  0x00000009UL
#define CKMS_SHA512                                       0x0000000AUL
#define CKMS_HMAC_RIPEMD160                               0x0000000BUL
#define CKMS_RIPEMD160                                    0x0000000CUL

typedef struct CK_ECIES_PARAMS {
  CK_EC_DH_PRIMITIVE dhPrimitive;
  CK_EC_KDF_TYPE     kdf;
  CK_ULONG           ulSharedDataLen1;
  CK_BYTE_PTR        pSharedData1;
  CK_EC_ENC_SCHEME   encScheme;
  CK_ULONG           ulEncKeyLenInBits;
  CK_EC_MAC_SCHEME   macScheme;
  CK_ULONG           ulMacKeyLenInBits;
  CK_ULONG           ulMacLenInBits;
  CK_ULONG           ulSharedDataLen2;
  CK_BYTE_PTR        pSharedData2;
} CK_ECIES_PARAMS;

typedef CK_ECIES_PARAMS CK_PTR CK_ECIES_PARAMS_PTR;

/*
 * CKM_SM2_ENCRYPT takes the form of the ciphertext as a CK_ULONG, or nothing
 * for the first one. C1 is the ephemeral point, C2 what is encrypted, C3 the
 * digest.
 */
#define CK_SM2_C1C3C2                                     0x00000000UL
#define CK_SM2_C1C2C3                                     0x00000001UL
#define CK_SM2_ASN1                                       0x00000002UL /* GM/T 0009 */

/*
 * CKM_SM2_KEY_EXCHANGE. The base key is the party's own static key. An identity
 * of length 0 is 1234567812345678.
 */
#define CK_SM2_INITIATOR                                  0x00000000UL
#define CK_SM2_RESPONDER                                  0x00000001UL

typedef struct CK_SM2_KEY_EXCHANGE_PARAMS {
  CK_ULONG         role;
  CK_ULONG         ulOwnIdLen;
  CK_BYTE_PTR      pOwnId;
  CK_ULONG         ulPeerIdLen;
  CK_BYTE_PTR      pPeerId;
  CK_ULONG         ulPeerPublicKeyLen;
  CK_BYTE_PTR      pPeerPublicKey;
  CK_OBJECT_HANDLE hOwnEphemeralKey;
  CK_ULONG         ulPeerEphemeralKeyLen;
  CK_BYTE_PTR      pPeerEphemeralKey;
} CK_SM2_KEY_EXCHANGE_PARAMS;

typedef CK_SM2_KEY_EXCHANGE_PARAMS CK_PTR CK_SM2_KEY_EXCHANGE_PARAMS_PTR;

/*
 * Functions
 *
 * The CA_ functions have the names, arguments and meanings that programs for
 * network HSMs of the Luna-compatible kind know. Programs find them by name
 * (dlsym), or all at once by CA_GetFunctionList; the order in that structure is
 * this library's own and grows at its end. A partition is a slot; where a
 * function has an argument for a container, it is the number of a partition:
 * its slot's plus one, or 0 for that of the slot or session given. Functions
 * about the whole HSM take any slot that there is.
 *
 * CA_ExplainRefusal is Perilune's own: it says in lines of `name: text` why the
 * last call on the session that was refused was refused, and what to do.
 *
 * Further names of that interface, which make no sense here (PED, firmware,
 * functionality modules and the like) or which nothing serves yet (high
 * availability, authorization of single keys, key blobs, statistics), are
 * exported without a prototype and answer CKR_FUNCTION_NOT_SUPPORTED, so that
 * programs that look for all of them still load.
 */

/* CA_ModifyUsageCount: of a key with CKA_USAGE_LIMIT. */
#define CA_USAGE_COUNT_INCREMENT        0x00000001UL
#define CA_USAGE_COUNT_SET              0x00000002UL

/* CA_RoleStateGet */
typedef struct CA_ROLE_STATE {
  CK_BYTE flags; /* CAF_ROLE_STATE_ */
  CK_BYTE loginAttemptsLeft;
  CK_BYTE primaryAuthMech; /* CA_AUTH_ */
  CK_BYTE secondaryAuthMech;
} CA_ROLE_STATE;

typedef CA_ROLE_STATE CK_PTR CA_ROLE_STATE_PTR;

#define CAF_ROLE_STATE_INITIALIZED      0x01UL
#define CAF_ROLE_STATE_LOCKED_OUT       0x02UL
#define CAF_ROLE_STATE_ACTIVATED        0x04UL
#define CAF_ROLE_STATE_HAS_RDK          0x08UL /* a cloning domain */
#define CAF_ROLE_STATE_PIN_CHANGE       0x10UL /* the role must change its PIN */
#define CAF_ROLE_STATE_CHALLENGE_CHANGE 0x20UL

#define CA_AUTH_NONE     0UL
#define CA_AUTH_PASSWORD 1UL

/*
 * Application ids. A login belongs to the application id of the process, which
 * is its own unless it sets another. While an id is open on a slot, the login
 * made under it stays, with no session open and beyond the end of the process,
 * and every process that sets the same id has it.
 */
typedef struct CK_APPLICATION_ID {
  CK_BYTE id[16];
} CK_APPLICATION_ID;

typedef CK_APPLICATION_ID CK_PTR CK_APPLICATION_ID_PTR;

/* CA_CheckOperationState */
#define CA_OPERATION_ENCRYPT 0UL
#define CA_OPERATION_DECRYPT 1UL
#define CA_OPERATION_SIGN    2UL
#define CA_OPERATION_VERIFY  3UL
#define CA_OPERATION_DIGEST  4UL

/* CA_GetContainerStatus and CA_GetTokenStatus */
#define CAF_CONTAINER_INITIALIZED           0x00000400UL
#define CAF_CONTAINER_USER_PIN_INITIALIZED  0x00008000UL
#define CAF_CONTAINER_SO_PIN_LOCKED         0x00010000UL
#define CAF_CONTAINER_USER_PIN_LOCKED       0x00040000UL
#define CAF_CONTAINER_LIMITED_PIN_LOCKED    0x00080000UL
#define CAF_CONTAINER_LIMITED_CREATED       0x00200000UL
#define CAF_CONTAINER_USER_PIN_CHANGE       0x00400000UL
#define CAF_CONTAINER_LIMITED_PIN_CHANGE    0x00800000UL
#define CAF_CONTAINER_ENABLED               0x01000000UL
#define CAF_CONTAINER_DOMAIN_CREATED        0x02000000UL

/*
 * Cloning. An object goes to another partition with the same cloning domain in
 * three steps: CA_CloneAsTargetInit makes part 1, CA_CloneAsSource takes it and
 * makes part 2, CA_CloneAsTarget takes that. CA_CloneObject does all three. The
 * arguments that devices have for their certificates are ignored.
 */
#define CA_OBJECT_TYPE_CRYPTOKI 0UL

/*
 * Capabilities and policies, by number. Functions with Destructive in their
 * name make every change; the others of the HSM refuse what would erase
 * partitions, with CKR_DATA_INVALID. A change of a partition's policies erases
 * its objects where the policy says so: ask for the description first.
 */
typedef struct CK_POLICY_INFO {
  CK_ULONG ulId;
  CK_ULONG ulValue;
  CK_ULONG ulOffToOnDestructive;
  CK_ULONG ulOnToOffDestructive;
} CK_POLICY_INFO;

typedef CK_POLICY_INFO CK_PTR CK_POLICY_INFO_PTR;

/* CA_GetConfigurationElementDescription */
#define CA_DESTRUCTIVE_OFF_TO_ON 1UL
#define CA_DESTRUCTIVE_ON_TO_OFF 2UL

/*
 * The audit log, whose Auditor logs in on the administration's slot as
 * CKU_AUDIT. The mask has the outcomes and the categories that are recorded; a
 * category without an outcome records nothing. The offset of the rotation, and
 * the path, are the HSM's own.
 */
#define CAF_LOG_FAILURE      0x00000001UL
#define CAF_LOG_SUCCESS      0x00000002UL
#define CAF_LOG_ACCESS       0x00000004UL
#define CAF_LOG_MANAGE       0x00000008UL
#define CAF_LOG_KEYMANAGE    0x00000010UL
#define CAF_LOG_ASYMMETRIC   0x00000020UL
#define CAF_LOG_FIRST        0x00000040UL
#define CAF_LOG_SYMMETRIC    0x00000080UL
#define CAF_LOG_SYMFIRST     0x00000100UL
#define CAF_LOG_EXTERNAL     0x00000200UL
#define CAF_LOG_LOGMANAGE    0x00000400UL

#define CA_LOG_ROTATE_NEVER   0UL
#define CA_LOG_ROTATE_HOURLY  1UL
#define CA_LOG_ROTATE_DAILY   2UL
#define CA_LOG_ROTATE_WEEKLY  3UL
#define CA_LOG_ROTATE_MONTHLY 4UL

typedef struct CK_CA_FUNCTION_LIST CK_CA_FUNCTION_LIST;
typedef CK_CA_FUNCTION_LIST CK_PTR CK_CA_FUNCTION_LIST_PTR;
typedef CK_CA_FUNCTION_LIST_PTR CK_PTR CK_CA_FUNCTION_LIST_PTR_PTR;

/* Rows as in pkcs11.h. */
#define CK_FUNCTIONS_VENDOR(X) \
  X(CA_GetFunctionList, \
    (CK_CA_FUNCTION_LIST_PTR_PTR ppFunctionList), \
    (ppFunctionList)) \
  X(CA_InitRolePIN, \
    (CK_SESSION_HANDLE hSession, CK_USER_TYPE userType, \
     CK_UTF8CHAR_PTR pPin, CK_ULONG ulPinLen), \
    (hSession, userType, pPin, ulPinLen)) \
  X(CA_ResetPIN, \
    (CK_SESSION_HANDLE hSession, CK_UTF8CHAR_PTR pPin, CK_ULONG ulPinLen), \
    (hSession, pPin, ulPinLen)) \
  X(CA_InitSlotRolePIN, \
    (CK_SESSION_HANDLE hSession, CK_SLOT_ID slotID, CK_USER_TYPE userType, \
     CK_UTF8CHAR_PTR pPin, CK_ULONG ulPinLen), \
    (hSession, slotID, userType, pPin, ulPinLen)) \
  X(CA_CreateLoginChallenge, \
    (CK_SESSION_HANDLE hSession, CK_USER_TYPE userType, CK_ULONG ulDataLen, \
     CK_BYTE_PTR pData, CK_ULONG_PTR pulChallengeLen, CK_BYTE_PTR pChallenge), \
    (hSession, userType, ulDataLen, pData, pulChallengeLen, pChallenge)) \
  X(CA_CreateContainerLoginChallenge, \
    (CK_SESSION_HANDLE hSession, CK_SLOT_ID slotID, CK_USER_TYPE userType, \
     CK_ULONG ulDataLen, CK_BYTE_PTR pData, CK_ULONG_PTR pulChallengeLen, \
     CK_BYTE_PTR pChallenge), \
    (hSession, slotID, userType, ulDataLen, pData, pulChallengeLen, \
     pChallenge)) \
  X(CA_Zeroize, \
    (CK_SLOT_ID slotID, CK_FLAGS flags), \
    (slotID, flags)) \
  X(CA_FactoryReset, \
    (CK_SLOT_ID slotID, CK_FLAGS flags), \
    (slotID, flags)) \
  X(CA_ZeroizeContainer, \
    (CK_SESSION_HANDLE hSession), \
    (hSession)) \
  X(CA_TokenZeroize, \
    (CK_SESSION_HANDLE hSession, CK_SLOT_ID slotID, CK_FLAGS flags), \
    (hSession, slotID, flags)) \
  X(CA_GetFirmwareVersion, \
    (CK_SLOT_ID slotID, CK_ULONG_PTR pulMajor, CK_ULONG_PTR pulMinor, \
     CK_ULONG_PTR pulSubMinor), \
    (slotID, pulMajor, pulMinor, pulSubMinor)) \
  X(CA_RoleStateGet, \
    (CK_SLOT_ID slotID, CK_USER_TYPE userType, CA_ROLE_STATE_PTR pState), \
    (slotID, userType, pState)) \
  X(CA_Deactivate, \
    (CK_SLOT_ID slotID, CK_USER_TYPE userType), \
    (slotID, userType)) \
  X(CA_SetApplicationID, \
    (CK_ULONG ulHigh, CK_ULONG ulLow), \
    (ulHigh, ulLow)) \
  X(CA_OpenApplicationID, \
    (CK_SLOT_ID slotID, CK_ULONG ulHigh, CK_ULONG ulLow), \
    (slotID, ulHigh, ulLow)) \
  X(CA_CloseApplicationID, \
    (CK_SLOT_ID slotID, CK_ULONG ulHigh, CK_ULONG ulLow), \
    (slotID, ulHigh, ulLow)) \
  X(CA_OpenApplicationIDForContainer, \
    (CK_SLOT_ID slotID, CK_ULONG ulContainerNumber, CK_ULONG ulHigh, \
     CK_ULONG ulLow), \
    (slotID, ulContainerNumber, ulHigh, ulLow)) \
  X(CA_CloseApplicationIDForContainer, \
    (CK_SLOT_ID slotID, CK_ULONG ulContainerNumber, CK_ULONG ulHigh, \
     CK_ULONG ulLow), \
    (slotID, ulContainerNumber, ulHigh, ulLow)) \
  X(CA_SetApplicationIDV2, \
    (CK_APPLICATION_ID_PTR pID), \
    (pID)) \
  X(CA_GetApplicationID, \
    (CK_APPLICATION_ID_PTR pID), \
    (pID)) \
  X(CA_OpenApplicationIDV2, \
    (CK_SLOT_ID slotID, CK_APPLICATION_ID_PTR pID), \
    (slotID, pID)) \
  X(CA_CloseApplicationIDV2, \
    (CK_SLOT_ID slotID, CK_APPLICATION_ID_PTR pID), \
    (slotID, pID)) \
  X(CA_RandomizeApplicationID, \
    (void), \
    ()) \
  X(CA_OpenSession, \
    (CK_SLOT_ID slotID, CK_ULONG ulContainerNumber, CK_FLAGS flags, \
     CK_VOID_PTR pApplication, CK_NOTIFY Notify, \
     CK_SESSION_HANDLE_PTR phSession), \
    (slotID, ulContainerNumber, flags, pApplication, Notify, phSession)) \
  X(CA_OpenSessionWithAppID, \
    (CK_SLOT_ID slotID, CK_FLAGS flags, CK_ULONG ulHigh, CK_ULONG ulLow, \
     CK_VOID_PTR pApplication, CK_NOTIFY Notify, \
     CK_SESSION_HANDLE_PTR phSession), \
    (slotID, flags, ulHigh, ulLow, pApplication, Notify, phSession)) \
  X(CA_GetSessionInfo, \
    (CK_SESSION_HANDLE hSession, CK_ULONG_PTR pulAidHigh, \
     CK_ULONG_PTR pulAidLow, CK_ULONG_PTR pulContainerNumber, \
     CK_ULONG_PTR pulAuthenticationLevel), \
    (hSession, pulAidHigh, pulAidLow, pulContainerNumber, \
     pulAuthenticationLevel)) \
  X(CA_CheckOperationState, \
    (CK_SESSION_HANDLE hSession, CK_ULONG ulOperation, \
     CK_BBOOL CK_PTR pIsActive), \
    (hSession, ulOperation, pIsActive)) \
  X(CA_Restart, \
    (CK_SLOT_ID slotID), \
    (slotID)) \
  X(CA_RestartForContainer, \
    (CK_SLOT_ID slotID, CK_ULONG ulContainerNumber), \
    (slotID, ulContainerNumber)) \
  X(CA_WaitForSlotEvent, \
    (CK_FLAGS flags, CK_ULONG_PTR pulHistory, CK_SLOT_ID_PTR pSlotID, \
     CK_VOID_PTR pReserved), \
    (flags, pulHistory, pSlotID, pReserved)) \
  X(CA_SessionCancel, \
    (CK_SESSION_HANDLE hSession, CK_FLAGS flags), \
    (hSession, flags)) \
  X(CA_FindAdminSlotForSlot, \
    (CK_SLOT_ID slotID, CK_SLOT_ID_PTR pAdminSlotID), \
    (slotID, pAdminSlotID)) \
  X(CA_GetSlotIdForContainer, \
    (CK_SLOT_ID slotID, CK_ULONG ulContainerNumber, CK_SLOT_ID_PTR pSlotID), \
    (slotID, ulContainerNumber, pSlotID)) \
  X(CA_GetContainerList, \
    (CK_SLOT_ID slotID, CK_ULONG ulGroup, CK_ULONG ulType, \
     CK_ULONG_PTR pulContainers, CK_ULONG_PTR pulCount), \
    (slotID, ulGroup, ulType, pulContainers, pulCount)) \
  X(CA_GetContainerName, \
    (CK_SLOT_ID slotID, CK_ULONG ulContainerNumber, CK_UTF8CHAR_PTR pName, \
     CK_ULONG_PTR pulNameLen), \
    (slotID, ulContainerNumber, pName, pulNameLen)) \
  X(CA_GetNumberOfAllowedContainers, \
    (CK_SLOT_ID slotID, CK_ULONG_PTR pulCount), \
    (slotID, pulCount)) \
  X(CA_CreateContainer, \
    (CK_SESSION_HANDLE hSession, CK_ULONG ulReserved, CK_UTF8CHAR_PTR pName, \
     CK_ULONG ulNameLen, CK_UTF8CHAR_PTR pPin, CK_ULONG ulPinLen, \
     CK_ULONG ulIdHigh, CK_ULONG ulIdLow, CK_ULONG ulOwner, \
     CK_ULONG ulStorageFlags, CK_ULONG ulSize, \
     CK_ULONG_PTR pulContainerNumber), \
    (hSession, ulReserved, pName, ulNameLen, pPin, ulPinLen, ulIdHigh, \
     ulIdLow, ulOwner, ulStorageFlags, ulSize, pulContainerNumber)) \
  X(CA_DeleteContainerWithHandle, \
    (CK_SESSION_HANDLE hSession, CK_ULONG ulContainerNumber), \
    (hSession, ulContainerNumber)) \
  X(CA_TokenDelete, \
    (CK_SESSION_HANDLE hSession, CK_SLOT_ID slotID), \
    (hSession, slotID)) \
  X(CA_SetContainerSize, \
    (CK_SESSION_HANDLE hSession, CK_ULONG ulContainerNumber, CK_ULONG ulSize), \
    (hSession, ulContainerNumber, ulSize)) \
  X(CA_ChangeLabel, \
    (CK_SESSION_HANDLE hSession, CK_SLOT_ID slotID, CK_UTF8CHAR_PTR pLabel, \
     CK_ULONG ulLabelLen), \
    (hSession, slotID, pLabel, ulLabelLen)) \
  X(CA_GetContainerStatus, \
    (CK_SLOT_ID slotID, CK_ULONG ulContainerNumber, CK_ULONG_PTR pulFlags, \
     CK_ULONG_PTR pulFailedSoLogins, CK_ULONG_PTR pulFailedUserLogins, \
     CK_ULONG_PTR pulFailedLimitedUserLogins), \
    (slotID, ulContainerNumber, pulFlags, pulFailedSoLogins, \
     pulFailedUserLogins, pulFailedLimitedUserLogins)) \
  X(CA_GetTokenStatus, \
    (CK_SLOT_ID slotID, CK_ULONG_PTR pulFlags, CK_ULONG_PTR pulSessions, \
     CK_ULONG_PTR pulRwSessions), \
    (slotID, pulFlags, pulSessions, pulRwSessions)) \
  X(CA_GetHSMStorageInformation, \
    (CK_SLOT_ID slotID, CK_ULONG_PTR pulOverhead, CK_ULONG_PTR pulTotal, \
     CK_ULONG_PTR pulUsed, CK_ULONG_PTR pulFree), \
    (slotID, pulOverhead, pulTotal, pulUsed, pulFree)) \
  X(CA_GetTokenStorageInformation, \
    (CK_SLOT_ID slotID, CK_ULONG_PTR pulOverhead, CK_ULONG_PTR pulTotal, \
     CK_ULONG_PTR pulUsed, CK_ULONG_PTR pulFree, \
     CK_ULONG_PTR pulObjectCount), \
    (slotID, pulOverhead, pulTotal, pulUsed, pulFree, pulObjectCount)) \
  X(CA_GetContainerStorageInformation, \
    (CK_SLOT_ID slotID, CK_ULONG ulContainerNumber, \
     CK_ULONG_PTR pulOverhead, CK_ULONG_PTR pulTotal, CK_ULONG_PTR pulUsed, \
     CK_ULONG_PTR pulFree, CK_ULONG_PTR pulObjectCount), \
    (slotID, ulContainerNumber, pulOverhead, pulTotal, pulUsed, pulFree, \
     pulObjectCount)) \
  X(CA_ExplainRefusal, \
    (CK_SESSION_HANDLE hSession, CK_UTF8CHAR_PTR pText, \
     CK_ULONG_PTR pulTextLen), \
    (hSession, pText, pulTextLen)) \
  X(CA_GetHSMCapabilitySet, \
    (CK_SLOT_ID slotID, CK_ULONG_PTR pulIds, \
     CK_ULONG_PTR pulIdCount, CK_ULONG_PTR pulValues, \
     CK_ULONG_PTR pulValueCount), \
    (slotID, pulIds, pulIdCount, pulValues, pulValueCount)) \
  X(CA_GetHSMCapabilitySetting, \
    (CK_SLOT_ID slotID, CK_ULONG ulId, \
     CK_ULONG_PTR pulValue), \
    (slotID, ulId, pulValue)) \
  X(CA_GetHSMPolicySet, \
    (CK_SLOT_ID slotID, CK_ULONG_PTR pulIds, \
     CK_ULONG_PTR pulIdCount, CK_ULONG_PTR pulValues, \
     CK_ULONG_PTR pulValueCount), \
    (slotID, pulIds, pulIdCount, pulValues, pulValueCount)) \
  X(CA_GetHSMPolicySetting, \
    (CK_SLOT_ID slotID, CK_ULONG ulId, \
     CK_ULONG_PTR pulValue), \
    (slotID, ulId, pulValue)) \
  X(CA_GetContainerCapabilitySet, \
    (CK_SLOT_ID slotID, CK_ULONG ulContainerNumber, CK_ULONG_PTR pulIds, \
     CK_ULONG_PTR pulIdCount, CK_ULONG_PTR pulValues, \
     CK_ULONG_PTR pulValueCount), \
    (slotID, ulContainerNumber, pulIds, pulIdCount, pulValues, pulValueCount)) \
  X(CA_GetContainerCapabilitySetting, \
    (CK_SLOT_ID slotID, CK_ULONG ulContainerNumber, CK_ULONG ulId, \
     CK_ULONG_PTR pulValue), \
    (slotID, ulContainerNumber, ulId, pulValue)) \
  X(CA_GetContainerPolicySet, \
    (CK_SLOT_ID slotID, CK_ULONG ulContainerNumber, CK_ULONG_PTR pulIds, \
     CK_ULONG_PTR pulIdCount, CK_ULONG_PTR pulValues, \
     CK_ULONG_PTR pulValueCount), \
    (slotID, ulContainerNumber, pulIds, pulIdCount, pulValues, pulValueCount)) \
  X(CA_GetContainerPolicySetting, \
    (CK_SLOT_ID slotID, CK_ULONG ulContainerNumber, CK_ULONG ulId, \
     CK_ULONG_PTR pulValue), \
    (slotID, ulContainerNumber, ulId, pulValue)) \
  X(CA_GetTokenCapabilities, \
    (CK_SLOT_ID slotID, CK_ULONG_PTR pulIds, CK_ULONG_PTR pulIdCount, \
     CK_ULONG_PTR pulValues, CK_ULONG_PTR pulValueCount), \
    (slotID, pulIds, pulIdCount, pulValues, pulValueCount)) \
  X(CA_GetTokenPolicies, \
    (CK_SLOT_ID slotID, CK_ULONG_PTR pulIds, CK_ULONG_PTR pulIdCount, \
     CK_ULONG_PTR pulValues, CK_ULONG_PTR pulValueCount), \
    (slotID, pulIds, pulIdCount, pulValues, pulValueCount)) \
  X(CA_SetHSMPolicy, \
    (CK_SESSION_HANDLE hSession, CK_ULONG ulId, CK_ULONG ulValue), \
    (hSession, ulId, ulValue)) \
  X(CA_SetHSMPolicies, \
    (CK_SESSION_HANDLE hSession, CK_ULONG ulCount, CK_ULONG_PTR pulIds, \
     CK_ULONG_PTR pulValues), \
    (hSession, ulCount, pulIds, pulValues)) \
  X(CA_SetDestructiveHSMPolicy, \
    (CK_SESSION_HANDLE hSession, CK_ULONG ulId, CK_ULONG ulValue), \
    (hSession, ulId, ulValue)) \
  X(CA_SetDestructiveHSMPolicies, \
    (CK_SESSION_HANDLE hSession, CK_ULONG ulCount, CK_ULONG_PTR pulIds, \
     CK_ULONG_PTR pulValues), \
    (hSession, ulCount, pulIds, pulValues)) \
  X(CA_SetContainerPolicy, \
    (CK_SESSION_HANDLE hSession, CK_ULONG ulContainerNumber, CK_ULONG ulId, \
     CK_ULONG ulValue), \
    (hSession, ulContainerNumber, ulId, ulValue)) \
  X(CA_SetContainerPolicies, \
    (CK_SESSION_HANDLE hSession, CK_ULONG ulContainerNumber, \
     CK_ULONG ulCount, CK_ULONG_PTR pulIds, CK_ULONG_PTR pulValues), \
    (hSession, ulContainerNumber, ulCount, pulIds, pulValues)) \
  X(CA_SetTokenPolicies, \
    (CK_SESSION_HANDLE hSession, CK_SLOT_ID slotID, CK_ULONG ulCount, \
     CK_ULONG_PTR pulIds, CK_ULONG_PTR pulValues), \
    (hSession, slotID, ulCount, pulIds, pulValues)) \
  X(CA_GetDefaultHSMPolicyValue, \
    (CK_SLOT_ID slotID, CK_ULONG ulId, CK_ULONG_PTR pulValue), \
    (slotID, ulId, pulValue)) \
  X(CA_GetDefaultPartitionPolicyValue, \
    (CK_SLOT_ID slotID, CK_ULONG ulId, CK_ULONG_PTR pulValue), \
    (slotID, ulId, pulValue)) \
  X(CA_ValidateHSMPolicySet, \
    (CK_SLOT_ID slotID, CK_ULONG ulCount, CK_POLICY_INFO_PTR pPolicies, \
     CK_RV CK_PTR pResults), \
    (slotID, ulCount, pPolicies, pResults)) \
  X(CA_ValidateContainerPolicySet, \
    (CK_SLOT_ID slotID, CK_ULONG ulCount, CK_POLICY_INFO_PTR pPolicies, \
     CK_RV CK_PTR pResults), \
    (slotID, ulCount, pPolicies, pResults)) \
  X(CA_GetConfigurationElementDescription, \
    (CK_SLOT_ID slotID, CK_ULONG ulIsContainer, CK_ULONG ulIsCapability, \
     CK_ULONG ulId, CK_ULONG_PTR pulBitLength, CK_ULONG_PTR pulDestructive, \
     CK_ULONG_PTR pulWriteRestricted, CK_UTF8CHAR_PTR pDescription, \
     CK_ULONG_PTR pulDescriptionLen), \
    (slotID, ulIsContainer, ulIsCapability, ulId, pulBitLength, \
     pulDestructive, pulWriteRestricted, pDescription, pulDescriptionLen)) \
  X(CA_InitToken, \
    (CK_SLOT_ID slotID, CK_UTF8CHAR_PTR pPin, CK_ULONG ulPinLen, \
     CK_UTF8CHAR_PTR pLabel, CK_BYTE_PTR pDomain, CK_ULONG ulDomainLen, \
     CK_ULONG ulPolicyCount, CK_POLICY_INFO_PTR pPolicies, \
     CK_ULONG ulHSMPolicyCount, CK_POLICY_INFO_PTR pHSMPolicies), \
    (slotID, pPin, ulPinLen, pLabel, pDomain, ulDomainLen, ulPolicyCount, \
     pPolicies, ulHSMPolicyCount, pHSMPolicies)) \
  X(CA_DeriveKeyAndWrap, \
    (CK_SESSION_HANDLE hSession, CK_MECHANISM_PTR pDeriving, \
     CK_OBJECT_HANDLE hBaseKey, CK_ATTRIBUTE_PTR pTemplate, \
     CK_ULONG ulAttributeCount, CK_MECHANISM_PTR pWrapping, \
     CK_OBJECT_HANDLE hWrappingKey, CK_BYTE_PTR pWrappedKey, \
     CK_ULONG_PTR pulWrappedKeyLen), \
    (hSession, pDeriving, hBaseKey, pTemplate, ulAttributeCount, pWrapping, \
     hWrappingKey, pWrappedKey, pulWrappedKeyLen)) \
  X(CA_InitAudit, \
    (CK_SLOT_ID slotID, CK_UTF8CHAR_PTR pPin, CK_ULONG ulPinLen, \
     CK_UTF8CHAR_PTR pLabel), \
    (slotID, pPin, ulPinLen, pLabel)) \
  X(CA_LogSetConfig, \
    (CK_SESSION_HANDLE hSession, CK_ULONG ulMask, CK_ULONG ulRotateOffset, \
     CK_ULONG ulRotateInterval, CK_ULONG ulMaxLogSize, \
     CK_UTF8CHAR_PTR pPath), \
    (hSession, ulMask, ulRotateOffset, ulRotateInterval, ulMaxLogSize, pPath)) \
  X(CA_LogGetConfig, \
    (CK_SESSION_HANDLE hSession, CK_ULONG_PTR pulMask, \
     CK_ULONG_PTR pulRotateOffset, CK_ULONG_PTR pulRotateInterval, \
     CK_ULONG_PTR pulMaxLogSize), \
    (hSession, pulMask, pulRotateOffset, pulRotateInterval, pulMaxLogSize)) \
  X(CA_LogVerify, \
    (CK_SESSION_HANDLE hSession, CK_BYTE_PTR pRecords, CK_ULONG ulCount, \
     CK_ULONG ulChainToHSM, CK_ULONG_PTR pulVerified), \
    (hSession, pRecords, ulCount, ulChainToHSM, pulVerified)) \
  X(CA_LogVerifyFile, \
    (CK_SESSION_HANDLE hSession, CK_UTF8CHAR_PTR pFile, \
     CK_ULONG_PTR pulVerified), \
    (hSession, pFile, pulVerified)) \
  X(CA_LogExternal, \
    (CK_SLOT_ID slotID, CK_SESSION_HANDLE hSession, CK_BYTE_PTR pMessage, \
     CK_ULONG ulMessageLen), \
    (slotID, hSession, pMessage, ulMessageLen)) \
  X(CA_LogExportSecret, \
    (CK_SESSION_HANDLE hSession, CK_BYTE_PTR pSecret, \
     CK_ULONG_PTR pulSecretLen), \
    (hSession, pSecret, pulSecretLen)) \
  X(CA_LogImportSecret, \
    (CK_SESSION_HANDLE hSession, CK_BYTE_PTR pSecret, CK_ULONG ulSecretLen), \
    (hSession, pSecret, ulSecretLen)) \
  X(CA_GetObjectUID, \
    (CK_SLOT_ID slotID, CK_ULONG ulContainerNumber, CK_ULONG ulType, \
     CK_ULONG ulHandle, CK_BYTE_PTR pUID), \
    (slotID, ulContainerNumber, ulType, ulHandle, pUID)) \
  X(CA_GetTokenObjectUID, \
    (CK_SLOT_ID slotID, CK_ULONG ulType, CK_ULONG ulHandle, CK_BYTE_PTR pUID), \
    (slotID, ulType, ulHandle, pUID)) \
  X(CA_GetObjectHandle, \
    (CK_SLOT_ID slotID, CK_ULONG ulContainerNumber, CK_BYTE_PTR pUID, \
     CK_ULONG_PTR pulType, CK_ULONG_PTR pulHandle), \
    (slotID, ulContainerNumber, pUID, pulType, pulHandle)) \
  X(CA_GetTokenObjectHandle, \
    (CK_SLOT_ID slotID, CK_BYTE_PTR pUID, CK_ULONG_PTR pulType, \
     CK_ULONG_PTR pulHandle), \
    (slotID, pUID, pulType, pulHandle)) \
  X(CA_SetCloningDomain, \
    (CK_BYTE_PTR pDomain, CK_ULONG ulDomainLen), \
    (pDomain, ulDomainLen)) \
  X(CA_SetKCV, \
    (CK_SESSION_HANDLE hSession, CK_BYTE_PTR pDomain, CK_ULONG ulDomainLen), \
    (hSession, pDomain, ulDomainLen)) \
  X(CA_SetRDK, \
    (CK_SESSION_HANDLE hSession, CK_BYTE_PTR pDomain, CK_ULONG ulDomainLen), \
    (hSession, pDomain, ulDomainLen)) \
  X(CA_CloneObject, \
    (CK_SESSION_HANDLE hTargetSession, CK_SESSION_HANDLE hSourceSession, \
     CK_ULONG ulType, CK_OBJECT_HANDLE hObject, \
     CK_OBJECT_HANDLE_PTR phClone), \
    (hTargetSession, hSourceSession, ulType, hObject, phClone)) \
  X(CA_CloneAsTargetInit, \
    (CK_SESSION_HANDLE hSession, CK_BYTE_PTR pCertificate, \
     CK_ULONG ulCertificateLen, CK_BYTE_PTR pKeyVector, \
     CK_ULONG ulKeyVectorLen, CK_BBOOL bReplicate, CK_BYTE_PTR pPart1, \
     CK_ULONG_PTR pulPart1Len), \
    (hSession, pCertificate, ulCertificateLen, pKeyVector, ulKeyVectorLen, \
     bReplicate, pPart1, pulPart1Len)) \
  X(CA_CloneAsSource, \
    (CK_SESSION_HANDLE hSession, CK_ULONG ulType, CK_ULONG ulHandle, \
     CK_BYTE_PTR pPart1, CK_ULONG ulPart1Len, CK_BBOOL bReplicate, \
     CK_BYTE_PTR pPart2, CK_ULONG_PTR pulPart2Len), \
    (hSession, ulType, ulHandle, pPart1, ulPart1Len, bReplicate, pPart2, \
     pulPart2Len)) \
  X(CA_CloneAsTarget, \
    (CK_SESSION_HANDLE hSession, CK_BYTE_PTR pKeyVector, \
     CK_ULONG ulKeyVectorLen, CK_BYTE_PTR pPart2, CK_ULONG ulPart2Len, \
     CK_ULONG ulType, CK_ULONG ulHandle, CK_BBOOL bReplicate, \
     CK_OBJECT_HANDLE_PTR phClone), \
    (hSession, pKeyVector, ulKeyVectorLen, pPart2, ulPart2Len, ulType, \
     ulHandle, bReplicate, phClone)) \
  X(CA_DestroyMultipleObjects, \
    (CK_SESSION_HANDLE hSession, CK_ULONG ulCount, \
     CK_OBJECT_HANDLE_PTR phObjects, CK_ULONG_PTR pulIndex), \
    (hSession, ulCount, phObjects, pulIndex)) \
  X(CA_ModifyUsageCount, \
    (CK_SESSION_HANDLE hSession, CK_OBJECT_HANDLE hObject, \
     CK_ULONG ulCommand, CK_ULONG ulValue), \
    (hSession, hObject, ulCommand, ulValue))

#ifdef __cplusplus
extern "C" {
#endif

#define CK_PROTOTYPE_(name, params, args) \
  extern CK_DECLARE_FUNCTION(CK_RV, name) params;
#define CK_POINTER_TYPE_(name, params, args) \
  typedef CK_DECLARE_FUNCTION_POINTER(CK_RV, CK_##name) params;
#define CK_MEMBER_(name, params, args) CK_##name name;

CK_FUNCTIONS_VENDOR(CK_PROTOTYPE_)
CK_FUNCTIONS_VENDOR(CK_POINTER_TYPE_)

struct CK_CA_FUNCTION_LIST {
  CK_VERSION version;
  CK_FUNCTIONS_VENDOR(CK_MEMBER_)
};

#undef CK_PROTOTYPE_
#undef CK_POINTER_TYPE_
#undef CK_MEMBER_

#ifdef __cplusplus
}
#endif

#if defined(_WIN32) || defined(CRYPTOKI_FORCE_WIN32)
#pragma pack(pop)
#endif

#endif /* PERILUNE_H */
