package hsm

import (
	"errors"
	"fmt"

	"github.com/perilune/perilune/cryptoki/ck"
)

// schemaTable has a line for every class and type of objects that there can be.
// A new key type is one line more; that its key is sound is the engine's
// business.
var schemaTable = []schemaDef{
	{class: ck.CKO_DATA, subtypes: types0, parts: parts(storageRows, applicationRows, dataRows)},

	{class: ck.CKO_CERTIFICATE, subtypes: one(ck.CKC_X_509),
		parts: parts(storageRows, applicationRows, publicRows, certificateRows, certificateX509Rows), check: checkCertificate},
	{class: ck.CKO_CERTIFICATE, subtypes: one(ck.CKC_WTLS),
		parts: parts(storageRows, applicationRows, publicRows, certificateRows, certificateWTLSRows), check: checkCertificate},
	{class: ck.CKO_CERTIFICATE, subtypes: one(ck.CKC_X_509_ATTR_CERT),
		parts: parts(storageRows, applicationRows, publicRows, certificateRows, certificateAttributeRows)},

	{class: ck.CKO_PUBLIC_KEY, subtypes: one(ck.CKK_RSA), parts: parts(storageRows, publicRows, keyRows, usageRows, fingerprintRows, applicationRows, publicKeyRows, publicRSARows),
		uses: uses(ck.CKA_ENCRYPT, ck.CKA_VERIFY, ck.CKA_VERIFY_RECOVER, ck.CKA_WRAP)},
	{class: ck.CKO_PRIVATE_KEY, subtypes: one(ck.CKK_RSA), parts: parts(storageRows, keyRows, secretKindRows, usageRows, fingerprintRows, applicationRows, privateKeyRows, privateRSARows),
		uses: uses(ck.CKA_DECRYPT, ck.CKA_SIGN, ck.CKA_SIGN_RECOVER, ck.CKA_UNWRAP), check: checkPrivateKey},
	{class: ck.CKO_PUBLIC_KEY, subtypes: one(ck.CKK_EC, ck.CKK_EC_EDWARDS), parts: parts(storageRows, publicRows, keyRows, usageRows, fingerprintRows, applicationRows, publicKeyRows, publicECRows),
		uses: uses(ck.CKA_VERIFY)},
	{class: ck.CKO_PRIVATE_KEY, subtypes: one(ck.CKK_EC, ck.CKK_EC_EDWARDS), parts: parts(storageRows, keyRows, secretKindRows, usageRows, fingerprintRows, applicationRows, privateKeyRows, privateECRows),
		uses: uses(ck.CKA_SIGN), check: checkPrivateKey},
	{class: ck.CKO_PUBLIC_KEY, subtypes: one(ck.CKK_EC_MONTGOMERY), parts: parts(storageRows, publicRows, keyRows, usageRows, fingerprintRows, applicationRows, publicKeyRows, publicECRows)},
	{class: ck.CKO_PRIVATE_KEY, subtypes: one(ck.CKK_EC_MONTGOMERY), parts: parts(storageRows, keyRows, secretKindRows, usageRows, fingerprintRows, applicationRows, privateKeyRows, privateECRows),
		check: checkPrivateKey},

	{class: ck.CKO_PUBLIC_KEY, subtypes: one(ck.CKK_BIP32), parts: parts(storageRows, publicRows, keyRows, usageRows, fingerprintRows, applicationRows, publicKeyRows, publicECRows, bip32Rows),
		uses: uses(ck.CKA_VERIFY)},
	{class: ck.CKO_PRIVATE_KEY, subtypes: one(ck.CKK_BIP32), parts: parts(storageRows, keyRows, secretKindRows, usageRows, fingerprintRows, applicationRows, privateKeyRows, privateECRows, bip32Rows, privateBIP32Rows),
		uses: uses(ck.CKA_SIGN), check: checkPrivateKey},

	{class: ck.CKO_PUBLIC_KEY, subtypes: one(ck.CKK_ML_KEM), parts: parts(storageRows, publicRows, keyRows, usageRows, fingerprintRows, applicationRows, publicKeyRows, publicSetRows),
		uses: uses(ck.CKA_ENCAPSULATE)},
	{class: ck.CKO_PRIVATE_KEY, subtypes: one(ck.CKK_ML_KEM), parts: parts(storageRows, keyRows, secretKindRows, usageRows, fingerprintRows, applicationRows, privateKeyRows, privateSetRows, seedRows),
		uses: uses(ck.CKA_DECAPSULATE), check: checkPrivateKey},

	{class: ck.CKO_PUBLIC_KEY, subtypes: one(ck.CKK_ML_DSA), parts: parts(storageRows, publicRows, keyRows, usageRows, fingerprintRows, applicationRows, publicKeyRows, publicSetRows),
		uses: uses(ck.CKA_VERIFY)},
	{class: ck.CKO_PRIVATE_KEY, subtypes: one(ck.CKK_ML_DSA), parts: parts(storageRows, keyRows, secretKindRows, usageRows, fingerprintRows, applicationRows, privateKeyRows, privateSetRows, seedRows),
		uses: uses(ck.CKA_SIGN), check: checkPrivateKey},

	{class: ck.CKO_PUBLIC_KEY, subtypes: one(ck.CKK_SLH_DSA), parts: parts(storageRows, publicRows, keyRows, usageRows, fingerprintRows, applicationRows, publicKeyRows, publicSetRows),
		uses: uses(ck.CKA_VERIFY)},
	{class: ck.CKO_PRIVATE_KEY, subtypes: one(ck.CKK_SLH_DSA), parts: parts(storageRows, keyRows, secretKindRows, usageRows, fingerprintRows, applicationRows, privateKeyRows, privateSetRows),
		uses: uses(ck.CKA_SIGN), check: checkPrivateKey},

	{class: ck.CKO_PUBLIC_KEY, subtypes: one(ck.CKK_DSA, ck.CKK_KCDSA), parts: parts(storageRows, publicRows, keyRows, usageRows, fingerprintRows, applicationRows, publicKeyRows, publicDHRows, publicOrderRows),
		uses: uses(ck.CKA_VERIFY)},
	{class: ck.CKO_PRIVATE_KEY, subtypes: one(ck.CKK_DSA, ck.CKK_KCDSA), parts: parts(storageRows, keyRows, secretKindRows, usageRows, fingerprintRows, applicationRows, privateKeyRows, privateDHRows, privateOrderRows),
		uses: uses(ck.CKA_SIGN), check: checkPrivateKey},
	{class: ck.CKO_PUBLIC_KEY, subtypes: one(ck.CKK_DH), parts: parts(storageRows, publicRows, keyRows, usageRows, fingerprintRows, applicationRows, publicKeyRows, publicDHRows)},
	{class: ck.CKO_PRIVATE_KEY, subtypes: one(ck.CKK_DH), parts: parts(storageRows, keyRows, secretKindRows, usageRows, fingerprintRows, applicationRows, privateKeyRows, privateDHRows, privateLengthRows),
		check: checkPrivateKey},
	{class: ck.CKO_PUBLIC_KEY, subtypes: one(ck.CKK_X9_42_DH), parts: parts(storageRows, publicRows, keyRows, usageRows, fingerprintRows, applicationRows, publicKeyRows, publicDHRows, publicOrderRows)},
	{class: ck.CKO_PRIVATE_KEY, subtypes: one(ck.CKK_X9_42_DH), parts: parts(storageRows, keyRows, secretKindRows, usageRows, fingerprintRows, applicationRows, privateKeyRows, privateDHRows, privateOrderRows),
		check: checkPrivateKey},

	{class: ck.CKO_PUBLIC_KEY, subtypes: one(ck.CKK_HSS), parts: parts(storageRows, publicRows, keyRows, usageRows, fingerprintRows, applicationRows, publicKeyRows, publicHSSRows),
		uses: uses(ck.CKA_VERIFY)},
	{class: ck.CKO_PUBLIC_KEY, subtypes: one(ck.CKK_XMSS, ck.CKK_XMSSMT), parts: parts(storageRows, publicRows, keyRows, usageRows, fingerprintRows, applicationRows, publicKeyRows, publicSetRows),
		uses: uses(ck.CKA_VERIFY)},

	{class: ck.CKO_SECRET_KEY, subtypes: one(ck.CKK_AES, ck.CKK_DES, ck.CKK_DES2, ck.CKK_DES3), parts: parts(storageRows, keyRows, secretKindRows, usageRows, applicationRows, secretKeyRows, secretValueRows),
		uses: uses(ck.CKA_ENCRYPT, ck.CKA_DECRYPT, ck.CKA_SIGN, ck.CKA_VERIFY, ck.CKA_WRAP, ck.CKA_UNWRAP)},
	{class: ck.CKO_SECRET_KEY, subtypes: one(ck.CKK_AES_XTS), parts: parts(storageRows, keyRows, secretKindRows, usageRows, applicationRows, secretKeyRows, secretValueRows),
		uses: uses(ck.CKA_ENCRYPT, ck.CKA_DECRYPT)},
	{class: ck.CKO_SECRET_KEY, subtypes: cipherTypes, parts: parts(storageRows, keyRows, secretKindRows, usageRows, applicationRows, secretKeyRows, secretValueRows),
		uses: uses(ck.CKA_ENCRYPT, ck.CKA_DECRYPT, ck.CKA_SIGN, ck.CKA_VERIFY, ck.CKA_WRAP, ck.CKA_UNWRAP)},
	{class: ck.CKO_SECRET_KEY, subtypes: streamTypes, parts: parts(storageRows, keyRows, secretKindRows, usageRows, applicationRows, secretKeyRows, secretValueRows),
		uses: uses(ck.CKA_ENCRYPT, ck.CKA_DECRYPT, ck.CKA_WRAP, ck.CKA_UNWRAP)},
	{class: ck.CKO_SECRET_KEY, subtypes: one(ck.CKK_POLY1305), parts: parts(storageRows, keyRows, secretKindRows, usageRows, applicationRows, secretKeyRows, secretValueRows),
		uses: uses(ck.CKA_SIGN, ck.CKA_VERIFY)},
	{class: ck.CKO_SECRET_KEY, subtypes: hmacTypes, parts: parts(storageRows, keyRows, secretKindRows, usageRows, applicationRows, secretKeyRows, secretValueRows),
		uses: uses(ck.CKA_SIGN, ck.CKA_VERIFY)},
	{class: ck.CKO_SECRET_KEY, subtypes: one(ck.CKK_HKDF), parts: parts(storageRows, keyRows, secretKindRows, usageRows, applicationRows, secretKeyRows, secretValueRows)},

	{class: ck.CKO_DOMAIN_PARAMETERS, subtypes: one(ck.CKK_DH), parts: parts(storageRows, publicRows, domainRows, domainDHRows)},
	{class: ck.CKO_DOMAIN_PARAMETERS, subtypes: one(ck.CKK_DSA, ck.CKK_KCDSA, ck.CKK_X9_42_DH),
		parts: parts(storageRows, publicRows, domainRows, domainDHRows, domainOrderRows)},

	{class: ck.CKO_PROFILE, subtypes: types0, parts: parts(profileRows)},
}

// hmacTypes are the key types for one HMAC each, and generic secrets, which
// serve all of them.
var hmacTypes = one(ck.CKK_GENERIC_SECRET, ck.CKK_MD5_HMAC, ck.CKK_SHA_1_HMAC,
	ck.CKK_SHA224_HMAC, ck.CKK_SHA256_HMAC, ck.CKK_SHA384_HMAC, ck.CKK_SHA512_HMAC,
	ck.CKK_SHA512_224_HMAC, ck.CKK_SHA512_256_HMAC, ck.CKK_SHA512_T_HMAC,
	ck.CKK_SHA3_224_HMAC, ck.CKK_SHA3_256_HMAC, ck.CKK_SHA3_384_HMAC, ck.CKK_SHA3_512_HMAC,
	ck.CKK_RIPEMD128_HMAC, ck.CKK_RIPEMD160_HMAC,
	ck.CKK_BLAKE2B_160_HMAC, ck.CKK_BLAKE2B_256_HMAC, ck.CKK_BLAKE2B_384_HMAC, ck.CKK_BLAKE2B_512_HMAC)

// cipherTypes are the key types of block ciphers beside AES and DES, streamTypes
// those of stream ciphers.
var (
	cipherTypes = one(ck.CKK_ARIA, ck.CKK_SEED, ck.CKK_CAMELLIA, ck.CKK_SM4,
		ck.CKK_RC2, ck.CKK_RC5, ck.CKK_CAST128, ck.CKK_BLOWFISH, ck.CKK_TWOFISH)
	streamTypes = one(ck.CKK_RC4, ck.CKK_CHACHA20, ck.CKK_SALSA20)
)

var types0 = []uint64{0}

func one[T ~uint64](list ...T) (out []uint64) {
	for _, t := range list {
		out = append(out, uint64(t))
	}
	return out
}

func parts(list ...[]row) [][]row                      { return append([][]row{commonRows}, list...) }
func uses(list ...ck.AttributeType) []ck.AttributeType { return list }

// commonRows are the attributes of every object (PKCS#11 v3.1 section 4.2).
var commonRows = []row{
	{t: ck.CKA_CLASS, shape: shapeULong, rules: needCreate},
	{t: ck.CKA_UNIQUE_ID, rules: readOnly},
}

// storageRows are those of every object but hardware features and profiles
// (section 4.4). CKA_PRIVATE defaults to true: forgetting it must not publish
// anything.
var storageRows = []row{
	{t: ck.CKA_TOKEN, shape: shapeBool, rules: copyGives, def: defNo},
	{t: ck.CKA_PRIVATE, shape: shapeBool, rules: copyGives, def: defYes},
	{t: ck.CKA_MODIFIABLE, shape: shapeBool, rules: copyGives, def: defYes},
	{t: ck.CKA_COPYABLE, shape: shapeBool, rules: mutable | onlyToFalse, def: defYes},
	{t: ck.CKA_DESTROYABLE, shape: shapeBool, rules: copyGives, def: defYes},
	{t: ck.CKA_LABEL, rules: mutable, def: defEmpty},
	{t: ck.CKA_MADE_BY, shape: shapeULong, rules: readOnly},
	{t: ck.CKA_OUID, rules: readOnly}, // only objects that came from elsewhere keep it: ouid.go
}

// publicRows is for classes of objects that hold no secrets.
var publicRows = []row{
	{t: ck.CKA_PRIVATE, shape: shapeBool, rules: copyGives, def: defNo},
}

// dataRows are for data objects (section 4.5). CKA_VALUE_LEN tells CKM_HKDF_DATA how much to
// derive.
var dataRows = []row{
	{t: ck.CKA_APPLICATION, def: defEmpty},
	{t: ck.CKA_OBJECT_ID, def: defEmpty},
	{t: ck.CKA_VALUE, rules: noDerive, def: defEmpty},
	{t: ck.CKA_VALUE_LEN, shape: shapeULong, rules: noCreate | transient},
}

// certificateRows are for every certificate (section 4.6).
var certificateRows = []row{
	{t: ck.CKA_CERTIFICATE_TYPE, shape: shapeULong, rules: needCreate},
	{t: ck.CKA_TRUSTED, shape: shapeBool, rules: bySO, def: defNo},
	{t: ck.CKA_CERTIFICATE_CATEGORY, shape: shapeULong, def: defZero, check: atMost(ck.CK_CERTIFICATE_CATEGORY_OTHER_ENTITY)},
	{t: ck.CKA_CHECK_VALUE, rules: erasable},
	{t: ck.CKA_START_DATE, shape: shapeDate, def: defEmpty},
	{t: ck.CKA_END_DATE, shape: shapeDate, def: defEmpty},
	{t: ck.CKA_PUBLIC_KEY_INFO, def: defEmpty},
}

// certificateX509Rows is section 4.6.3.
var certificateX509Rows = []row{
	{t: ck.CKA_SUBJECT, rules: needCreate},
	{t: ck.CKA_ID, rules: mutable, def: defEmpty},
	{t: ck.CKA_ISSUER, rules: mutable, def: defEmpty},
	{t: ck.CKA_SERIAL_NUMBER, rules: mutable, def: defEmpty},
	{t: ck.CKA_VALUE, rules: needCreate},
	{t: ck.CKA_URL, def: defEmpty},
	{t: ck.CKA_HASH_OF_SUBJECT_PUBLIC_KEY, def: defEmpty},
	{t: ck.CKA_HASH_OF_ISSUER_PUBLIC_KEY, def: defEmpty},
	{t: ck.CKA_JAVA_MIDP_SECURITY_DOMAIN, shape: shapeULong, def: defZero, check: atMost(ck.CK_SECURITY_DOMAIN_THIRD_PARTY)},
	{t: ck.CKA_NAME_HASH_ALGORITHM, shape: shapeULong, def: always(ck.PutULong(ck.CKM_SHA_1))},
}

// certificateWTLSRows is section 4.6.4.
var certificateWTLSRows = []row{
	{t: ck.CKA_SUBJECT, rules: needCreate},
	{t: ck.CKA_ISSUER, rules: mutable, def: defEmpty},
	{t: ck.CKA_VALUE, rules: needCreate},
	{t: ck.CKA_URL, def: defEmpty},
	{t: ck.CKA_HASH_OF_SUBJECT_PUBLIC_KEY, def: defEmpty},
	{t: ck.CKA_HASH_OF_ISSUER_PUBLIC_KEY, def: defEmpty},
	{t: ck.CKA_NAME_HASH_ALGORITHM, shape: shapeULong, def: always(ck.PutULong(ck.CKM_SHA_1))},
}

// certificateAttributeRows is section 4.6.5.
var certificateAttributeRows = []row{
	{t: ck.CKA_OWNER, rules: needCreate},
	{t: ck.CKA_AC_ISSUER, rules: mutable, def: defEmpty},
	{t: ck.CKA_SERIAL_NUMBER, rules: mutable, def: defEmpty},
	{t: ck.CKA_ATTR_TYPES, rules: mutable, def: defEmpty},
	{t: ck.CKA_VALUE, rules: needCreate, check: notEmpty},
}

// keyRows are for every key (section 4.7).
var keyRows = []row{
	{t: ck.CKA_KEY_TYPE, shape: shapeULong, rules: needCreate | needUnwrap},
	{t: ck.CKA_ID, rules: mutable, def: defEmpty},
	{t: ck.CKA_START_DATE, shape: shapeDate, rules: mutable, def: defEmpty},
	{t: ck.CKA_END_DATE, shape: shapeDate, rules: mutable, def: defEmpty},
	{t: ck.CKA_DERIVE, shape: shapeBool, rules: mutable, def: defNo},
	{t: ck.CKA_LOCAL, shape: shapeBool, rules: readOnly},
	{t: ck.CKA_KEY_GEN_MECHANISM, shape: shapeULong, rules: readOnly},
	{t: ck.CKA_ALLOWED_MECHANISMS, shape: shapeMechanisms, def: defEmpty}, // no restriction
}

// publicKeyRows is section 4.8.
var publicKeyRows = []row{
	{t: ck.CKA_SUBJECT, rules: mutable, def: defEmpty},
	{t: ck.CKA_ENCRYPT, shape: shapeBool, rules: mutable, def: defNo},
	{t: ck.CKA_VERIFY, shape: shapeBool, rules: mutable, def: defNo},
	{t: ck.CKA_VERIFY_RECOVER, shape: shapeBool, rules: mutable, def: defNo},
	{t: ck.CKA_WRAP, shape: shapeBool, rules: mutable, def: defNo},
	{t: ck.CKA_TRUSTED, shape: shapeBool, rules: bySO, def: defNo},
	{t: ck.CKA_ENCAPSULATE, shape: shapeBool, rules: mutable, def: defNo},
	{t: ck.CKA_WRAP_TEMPLATE, shape: shapeTemplate},
	{t: ck.CKA_ENCAPSULATE_TEMPLATE, shape: shapeTemplate},
	{t: ck.CKA_PUBLIC_KEY_INFO},
}

// secretKindRows is what private and secret keys have in common. Keys are not
// extractable unless somebody asks for it, but for unwrapped ones, for which
// C_UnwrapKey sets the other default (section 5.18.4).
var secretKindRows = []row{
	{t: ck.CKA_SENSITIVE, shape: shapeBool, rules: mutable | onlyToTrue, def: defNo},
	{t: ck.CKA_EXTRACTABLE, shape: shapeBool, rules: mutable | onlyToFalse,
		def: func(o origin) []byte {
			return ck.PutBool(o == originUnwrap || o == originEncapsulate || o == originDecapsulate)
		}},
	{t: ck.CKA_ALWAYS_SENSITIVE, shape: shapeBool, rules: readOnly},
	{t: ck.CKA_NEVER_EXTRACTABLE, shape: shapeBool, rules: readOnly},
	{t: ck.CKA_WRAP_WITH_TRUSTED, shape: shapeBool, rules: mutable | onlyToTrue, def: defNo},
	{t: ck.CKA_UNWRAP_TEMPLATE, shape: shapeTemplate},
	{t: ck.CKA_DERIVE_TEMPLATE, shape: shapeTemplate},
}

// privateKeyRows is section 4.9. Private keys default to sensitive (which the
// standard leaves to the token), secret keys do not (which it states).
var privateKeyRows = []row{
	{t: ck.CKA_SUBJECT, rules: mutable, def: defEmpty},
	{t: ck.CKA_SENSITIVE, shape: shapeBool, rules: mutable | onlyToTrue, def: defYes},
	{t: ck.CKA_DECRYPT, shape: shapeBool, rules: mutable, def: defNo},
	{t: ck.CKA_SIGN, shape: shapeBool, rules: mutable, def: defNo},
	{t: ck.CKA_SIGN_RECOVER, shape: shapeBool, rules: mutable, def: defNo},
	{t: ck.CKA_UNWRAP, shape: shapeBool, rules: mutable, def: defNo},
	{t: ck.CKA_DECAPSULATE, shape: shapeBool, rules: mutable, def: defNo},
	{t: ck.CKA_DECAPSULATE_TEMPLATE, shape: shapeTemplate},
	{t: ck.CKA_ALWAYS_AUTHENTICATE, shape: shapeBool, def: defNo},
	{t: ck.CKA_PUBLIC_KEY_INFO, rules: mutable},
	// The type can be told from what is unwrapped.
	{t: ck.CKA_KEY_TYPE, shape: shapeULong, rules: needCreate},
}

// secretKeyRows is section 4.10.
var secretKeyRows = []row{
	{t: ck.CKA_ENCRYPT, shape: shapeBool, rules: mutable, def: defNo},
	{t: ck.CKA_DECRYPT, shape: shapeBool, rules: mutable, def: defNo},
	{t: ck.CKA_SIGN, shape: shapeBool, rules: mutable, def: defNo},
	{t: ck.CKA_VERIFY, shape: shapeBool, rules: mutable, def: defNo},
	{t: ck.CKA_WRAP, shape: shapeBool, rules: mutable, def: defNo},
	{t: ck.CKA_UNWRAP, shape: shapeBool, rules: mutable, def: defNo},
	{t: ck.CKA_CHECK_VALUE, rules: erasable},
	{t: ck.CKA_TRUSTED, shape: shapeBool, rules: bySO, def: defNo},
	{t: ck.CKA_WRAP_TEMPLATE, shape: shapeTemplate},
}

// madeOutside are the rules of key material that C_CreateObject takes and every
// other function makes.
const madeOutside = noGenerate | noUnwrap | noDerive | material

// publicRSARows and privateRSARows are sections 6.1.2 and 6.1.3. The public exponent of
// a private key can be computed and need not be given.
var publicRSARows = []row{
	{t: ck.CKA_MODULUS, rules: needCreate | madeOutside},
	{t: ck.CKA_MODULUS_BITS, shape: shapeULong, rules: noCreate | needGenerate | material},
	{t: ck.CKA_PUBLIC_EXPONENT, rules: needCreate | material},
	{t: ck.CKA_X9_31_GENERATED, shape: shapeBool, rules: readOnly},
}

var privateRSARows = []row{
	{t: ck.CKA_MODULUS, rules: needCreate | madeOutside},
	{t: ck.CKA_PUBLIC_EXPONENT, rules: madeOutside},
	{t: ck.CKA_PRIVATE_EXPONENT, rules: needCreate | madeOutside | hideable},
	{t: ck.CKA_PRIME_1, rules: madeOutside | hideable},
	{t: ck.CKA_PRIME_2, rules: madeOutside | hideable},
	{t: ck.CKA_EXPONENT_1, rules: madeOutside | hideable},
	{t: ck.CKA_EXPONENT_2, rules: madeOutside | hideable},
	{t: ck.CKA_COEFFICIENT, rules: madeOutside | hideable},
	{t: ck.CKA_X9_31_GENERATED, shape: shapeBool, rules: readOnly},
}

// publicECRows and privateECRows are sections 6.3.3 to 6.3.8. A private key has its
// point too, because clients look for it there.
var publicECRows = []row{
	{t: ck.CKA_EC_PARAMS, rules: needCreate | needGenerate | material},
	{t: ck.CKA_EC_POINT, rules: needCreate | madeOutside},
}

var privateECRows = []row{
	{t: ck.CKA_EC_PARAMS, rules: needCreate | madeOutside},
	{t: ck.CKA_EC_POINT, rules: madeOutside},
	{t: ck.CKA_VALUE, rules: needCreate | madeOutside | hideable},
}

// bip32Rows are those of keys with a place in a tree. Where nothing else is
// said they are master keys of the main network on the only curve. Who has the
// private key of a child and the chain code of the parent can find the parent's
// private key, so that private keys hide theirs.
var bip32Rows = []row{
	{t: ck.CKA_EC_PARAMS, rules: material},
	{t: ck.CKA_BIP32_CHAIN_CODE, rules: needCreate | madeOutside},
	{t: ck.CKA_BIP32_VERSION_BYTES, rules: noGenerate | noUnwrap | material},
	{t: ck.CKA_BIP32_CHILD_DEPTH, shape: shapeULong, rules: madeOutside},
	{t: ck.CKA_BIP32_CHILD_INDEX, shape: shapeULong, rules: madeOutside},
	{t: ck.CKA_BIP32_PARENT_FINGERPRINT, rules: madeOutside},
	{t: ck.CKA_BIP32_ID, rules: readOnly},
	{t: ck.CKA_BIP32_FINGERPRINT, rules: readOnly},
}

var privateBIP32Rows = []row{
	{t: ck.CKA_BIP32_CHAIN_CODE, rules: needCreate | madeOutside | hideable},
}

// publicSetRows and privateSetRows are for keys in one of a few sets of
// parameters (PKCS#11 v3.2 sections 6.66.2 to 6.69.3).
var publicSetRows = []row{
	{t: ck.CKA_PARAMETER_SET, shape: shapeULong, rules: needCreate | needGenerate | material},
	{t: ck.CKA_VALUE, rules: needCreate | madeOutside},
}

var privateSetRows = []row{
	{t: ck.CKA_PARAMETER_SET, shape: shapeULong, rules: needCreate | madeOutside},
	{t: ck.CKA_VALUE, rules: needCreate | madeOutside | hideable},
}

// seedRows are for private keys that can be made from a seed: one of the two
// must be given, which the engine checks.
var seedRows = []row{
	{t: ck.CKA_SEED, rules: madeOutside | hideable},
	{t: ck.CKA_VALUE, rules: madeOutside | hideable},
}

// publicHSSRows is section 6.65.2 of version 3.2. All but the value is read from
// the value.
var publicHSSRows = []row{
	{t: ck.CKA_HSS_LEVELS, shape: shapeULong, rules: noCreate | madeOutside},
	{t: ck.CKA_HSS_LMS_TYPE, shape: shapeULong, rules: noCreate | madeOutside},
	{t: ck.CKA_HSS_LMOTS_TYPE, shape: shapeULong, rules: noCreate | madeOutside},
	{t: ck.CKA_VALUE, rules: needCreate | madeOutside},
}

// publicDHRows to privateLengthRows are sections 6.2.2, 6.2.3 and 6.4.2 to 6.4.10:
// Diffie-Hellman keys have these, those of groups of known order (DSA, X9.42)
// have the order too, and private keys of PKCS #3 a length.
var publicDHRows = []row{
	{t: ck.CKA_PRIME, rules: needCreate | needGenerate | material},
	{t: ck.CKA_BASE, rules: needCreate | needGenerate | material},
	{t: ck.CKA_VALUE, rules: needCreate | madeOutside},
}

var publicOrderRows = []row{
	{t: ck.CKA_SUBPRIME, rules: needCreate | needGenerate | material},
}

var privateDHRows = []row{
	{t: ck.CKA_PRIME, rules: needCreate | madeOutside},
	{t: ck.CKA_BASE, rules: needCreate | madeOutside},
	{t: ck.CKA_VALUE, rules: needCreate | madeOutside | hideable},
}

var privateOrderRows = []row{
	{t: ck.CKA_SUBPRIME, rules: needCreate | madeOutside},
}

var privateLengthRows = []row{
	{t: ck.CKA_VALUE_BITS, shape: shapeULong, rules: noCreate | noUnwrap | noDerive | material},
}

// secretValueRows is what secret keys of variable length have (sections 6.8.2,
// 6.10.2). C_UnwrapKey takes a length even where the tables forbid it (section
// 5.18.4); whether C_GenerateKey needs one, the mechanism knows.
var secretValueRows = []row{
	{t: ck.CKA_VALUE, rules: needCreate | madeOutside | hideable},
	{t: ck.CKA_VALUE_LEN, shape: shapeULong, rules: noCreate | material},
}

// domainRows are for domain parameters (section 4.11, with 6.2.4, 6.4.4 and 6.4.5).
var domainRows = []row{
	{t: ck.CKA_KEY_TYPE, shape: shapeULong, rules: needCreate},
	{t: ck.CKA_LOCAL, shape: shapeBool, rules: readOnly},
}

// domainDHRows and domainOrderRows have no rule for generation: there are
// mechanisms that make one number for the others (section 6.2.10). The engine
// says what each one needs.
var domainDHRows = []row{
	{t: ck.CKA_PRIME, rules: needCreate | material, check: notEmpty},
	{t: ck.CKA_BASE, rules: needCreate | material, check: notEmpty},
	{t: ck.CKA_PRIME_BITS, shape: shapeULong, rules: noCreate | material},
}

var domainOrderRows = []row{
	{t: ck.CKA_SUBPRIME, rules: needCreate | material, check: notEmpty},
	{t: ck.CKA_SUBPRIME_BITS, shape: shapeULong, rules: noCreate | material},
}

// profileRows are for profile objects (section 4.13), which only the HSM makes.
var profileRows = []row{
	{t: ck.CKA_PROFILE_ID, shape: shapeULong, rules: readOnly},
}

func atMost(limit uint64) func([]byte) error {
	return func(v []byte) error {
		if n, _ := ck.ULong(v); n > limit {
			return fmt.Errorf("%d is no value of it", n)
		}
		return nil
	}
}

func notEmpty(v []byte) error {
	if len(v) == 0 {
		return errors.New("it must not be empty")
	}
	return nil
}

// checkPrivateKey is the rule about CKA_ALWAYS_AUTHENTICATE in section 4.9.
func checkPrivateKey(l attrList) error {
	if l.bool(ck.CKA_ALWAYS_AUTHENTICATE) && !l.bool(ck.CKA_PRIVATE) {
		return refuse(ck.CKA_ALWAYS_AUTHENTICATE, ck.CKR_TEMPLATE_INCONSISTENT, "needs CKA_PRIVATE")
	}
	return nil
}

// checkCertificate has the footnotes of sections 4.6.3 and 4.6.4: the
// certificate, or else where it is and which keys it is about.
func checkCertificate(l attrList) error {
	if len(l.bytes(ck.CKA_URL)) == 0 {
		if len(l.bytes(ck.CKA_VALUE)) == 0 {
			return refuse(ck.CKA_VALUE, ck.CKR_ATTRIBUTE_VALUE_INVALID, "must not be empty without CKA_URL")
		}
		return nil
	}
	for _, t := range []ck.AttributeType{ck.CKA_HASH_OF_SUBJECT_PUBLIC_KEY, ck.CKA_HASH_OF_ISSUER_PUBLIC_KEY} {
		if len(l.bytes(t)) == 0 {
			return refuse(t, ck.CKR_TEMPLATE_INCOMPLETE, "must not be empty with CKA_URL")
		}
	}
	return nil
}
