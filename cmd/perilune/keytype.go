package main

import (
	"encoding/asn1"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/engine"
)

// keyKind is a line of the table of key types by the names that the program
// prints and understands.
type keyKind struct {
	name    string
	keyType ck.KeyType
	// generate makes such keys, if they do not come from elsewhere only;
	// approved does in FIPS mode, if generate does not.
	generate, approved ck.MechanismType
	pair               bool
	byDefault          string   // size, curve or parameter set if none is given
	unit               uint64   // sizes are given in bits (8) or bytes (1) of CKA_VALUE_LEN; secret keys only
	curve              string   // of a type with one curve
	sets               []keySet // parameter sets
	usage              []string // by default
}

// elsewhere is where keys come from that the program does not generate.
const elsewhere = ck.MechanismType(ck.UnavailableInformation)

// keySet is a set of parameters by its name.
type keySet struct {
	name string
	set  uint64
}

var keyKinds = []keyKind{
	{name: "rsa", keyType: ck.CKK_RSA, generate: ck.CKM_RSA_PKCS_KEY_PAIR_GEN, approved: ck.CKM_RSA_FIPS_186_3_PRIME_KEY_PAIR_GEN,
		pair: true, byDefault: "3072", usage: []string{"sign", "encrypt"}},
	{name: "ec", keyType: ck.CKK_EC, generate: ck.CKM_EC_KEY_PAIR_GEN, pair: true, byDefault: "P-256", usage: []string{"sign"}},
	{name: "ed25519", keyType: ck.CKK_EC_EDWARDS, generate: ck.CKM_EC_EDWARDS_KEY_PAIR_GEN, pair: true, curve: "Ed25519", usage: []string{"sign"}},
	{name: "ed448", keyType: ck.CKK_EC_EDWARDS, generate: ck.CKM_EC_EDWARDS_KEY_PAIR_GEN, pair: true, curve: "Ed448", usage: []string{"sign"}},
	{name: "x25519", keyType: ck.CKK_EC_MONTGOMERY, generate: ck.CKM_EC_MONTGOMERY_KEY_PAIR_GEN, pair: true, curve: "X25519", usage: []string{"derive"}},
	{name: "x448", keyType: ck.CKK_EC_MONTGOMERY, generate: ck.CKM_EC_MONTGOMERY_KEY_PAIR_GEN, pair: true, curve: "X448", usage: []string{"derive"}},
	{name: "ml-kem", keyType: ck.CKK_ML_KEM, generate: ck.CKM_ML_KEM_KEY_PAIR_GEN, pair: true, byDefault: "768", usage: []string{"encapsulate"},
		sets: []keySet{{"512", uint64(ck.CKP_ML_KEM_512)}, {"768", uint64(ck.CKP_ML_KEM_768)}, {"1024", uint64(ck.CKP_ML_KEM_1024)}}},
	{name: "ml-dsa", keyType: ck.CKK_ML_DSA, generate: ck.CKM_ML_DSA_KEY_PAIR_GEN, pair: true, byDefault: "65", usage: []string{"sign"},
		sets: []keySet{{"44", uint64(ck.CKP_ML_DSA_44)}, {"65", uint64(ck.CKP_ML_DSA_65)}, {"87", uint64(ck.CKP_ML_DSA_87)}}},
	{name: "slh-dsa", keyType: ck.CKK_SLH_DSA, generate: ck.CKM_SLH_DSA_KEY_PAIR_GEN, pair: true, byDefault: "SHA2-128s", usage: []string{"sign"},
		sets: []keySet{
			{"SHA2-128s", uint64(ck.CKP_SLH_DSA_SHA2_128S)}, {"SHAKE-128s", uint64(ck.CKP_SLH_DSA_SHAKE_128S)},
			{"SHA2-128f", uint64(ck.CKP_SLH_DSA_SHA2_128F)}, {"SHAKE-128f", uint64(ck.CKP_SLH_DSA_SHAKE_128F)},
			{"SHA2-192s", uint64(ck.CKP_SLH_DSA_SHA2_192S)}, {"SHAKE-192s", uint64(ck.CKP_SLH_DSA_SHAKE_192S)},
			{"SHA2-192f", uint64(ck.CKP_SLH_DSA_SHA2_192F)}, {"SHAKE-192f", uint64(ck.CKP_SLH_DSA_SHAKE_192F)},
			{"SHA2-256s", uint64(ck.CKP_SLH_DSA_SHA2_256S)}, {"SHAKE-256s", uint64(ck.CKP_SLH_DSA_SHAKE_256S)},
			{"SHA2-256f", uint64(ck.CKP_SLH_DSA_SHA2_256F)}, {"SHAKE-256f", uint64(ck.CKP_SLH_DSA_SHAKE_256F)},
		}},
	{name: "dsa", generate: elsewhere, keyType: ck.CKK_DSA, pair: true, byDefault: "2048", usage: []string{"sign"}},
	{name: "kcdsa", generate: elsewhere, keyType: ck.CKK_KCDSA, pair: true, byDefault: "2048", usage: []string{"sign"}},
	{name: "dh", generate: elsewhere, keyType: ck.CKK_DH, pair: true, byDefault: "2048", usage: []string{"derive"}},
	{name: "x942-dh", generate: elsewhere, keyType: ck.CKK_X9_42_DH, pair: true, byDefault: "2048", usage: []string{"derive"}},
	{name: "bip32", generate: elsewhere, keyType: ck.CKK_BIP32, pair: true, usage: []string{"sign", "derive"}},
	{name: "hss", generate: elsewhere, keyType: ck.CKK_HSS, pair: true, usage: []string{"sign"}},
	{name: "xmss", generate: elsewhere, keyType: ck.CKK_XMSS, pair: true, usage: []string{"sign"}},
	{name: "xmssmt", generate: elsewhere, keyType: ck.CKK_XMSSMT, pair: true, usage: []string{"sign"}},

	symmetric("aes", ck.CKK_AES, ck.CKM_AES_KEY_GEN, "256"),
	symmetric("aes-xts", ck.CKK_AES_XTS, ck.CKM_AES_XTS_KEY_GEN, "512"),
	symmetric("aria", ck.CKK_ARIA, ck.CKM_ARIA_KEY_GEN, "256"),
	symmetric("camellia", ck.CKK_CAMELLIA, ck.CKM_CAMELLIA_KEY_GEN, "256"),
	symmetric("twofish", ck.CKK_TWOFISH, ck.CKM_TWOFISH_KEY_GEN, "256"),
	symmetric("seed", ck.CKK_SEED, ck.CKM_SEED_KEY_GEN, ""),
	symmetric("sm4", ck.CKK_SM4, ck.CKM_SM4_KEY_GEN, ""),
	symmetric("chacha20", ck.CKK_CHACHA20, ck.CKM_CHACHA20_KEY_GEN, ""),
	symmetric("salsa20", ck.CKK_SALSA20, ck.CKM_SALSA20_KEY_GEN, ""),
	symmetric("des3", ck.CKK_DES3, ck.CKM_DES3_KEY_GEN, ""),
	symmetric("des2", ck.CKK_DES2, ck.CKM_DES2_KEY_GEN, ""),
	symmetric("des", ck.CKK_DES, elsewhere, ""),
	symmetric("blowfish", ck.CKK_BLOWFISH, elsewhere, "128"),
	symmetric("cast128", ck.CKK_CAST128, elsewhere, "128"),
	symmetric("rc2", ck.CKK_RC2, elsewhere, "128"),
	symmetric("rc4", ck.CKK_RC4, elsewhere, "128"),
	symmetric("rc5", ck.CKK_RC5, elsewhere, "128"),

	{name: "generic", keyType: ck.CKK_GENERIC_SECRET, generate: ck.CKM_GENERIC_SECRET_KEY_GEN, byDefault: "32", unit: 1, usage: []string{"sign", "derive"}},
	{name: "hkdf", keyType: ck.CKK_HKDF, generate: ck.CKM_HKDF_KEY_GEN, byDefault: "32", unit: 1, usage: []string{"derive"}},
	{name: "poly1305", keyType: ck.CKK_POLY1305, generate: ck.CKM_POLY1305_KEY_GEN, usage: []string{"sign"}},
	hmac("md5", ck.CKK_MD5_HMAC, elsewhere, 16),
	hmac("sha1", ck.CKK_SHA_1_HMAC, ck.CKM_SHA_1_KEY_GEN, 20),
	hmac("sha224", ck.CKK_SHA224_HMAC, ck.CKM_SHA224_KEY_GEN, 28),
	hmac("sha256", ck.CKK_SHA256_HMAC, ck.CKM_SHA256_KEY_GEN, 32),
	hmac("sha384", ck.CKK_SHA384_HMAC, ck.CKM_SHA384_KEY_GEN, 48),
	hmac("sha512", ck.CKK_SHA512_HMAC, ck.CKM_SHA512_KEY_GEN, 64),
	hmac("sha512-224", ck.CKK_SHA512_224_HMAC, ck.CKM_SHA512_224_KEY_GEN, 28),
	hmac("sha512-256", ck.CKK_SHA512_256_HMAC, ck.CKM_SHA512_256_KEY_GEN, 32),
	hmac("sha512-t", ck.CKK_SHA512_T_HMAC, elsewhere, 32),
	hmac("sha3-224", ck.CKK_SHA3_224_HMAC, ck.CKM_SHA3_224_KEY_GEN, 28),
	hmac("sha3-256", ck.CKK_SHA3_256_HMAC, ck.CKM_SHA3_256_KEY_GEN, 32),
	hmac("sha3-384", ck.CKK_SHA3_384_HMAC, ck.CKM_SHA3_384_KEY_GEN, 48),
	hmac("sha3-512", ck.CKK_SHA3_512_HMAC, ck.CKM_SHA3_512_KEY_GEN, 64),
	hmac("blake2b-160", ck.CKK_BLAKE2B_160_HMAC, ck.CKM_BLAKE2B_160_KEY_GEN, 20),
	hmac("blake2b-256", ck.CKK_BLAKE2B_256_HMAC, ck.CKM_BLAKE2B_256_KEY_GEN, 32),
	hmac("blake2b-384", ck.CKK_BLAKE2B_384_HMAC, ck.CKM_BLAKE2B_384_KEY_GEN, 48),
	hmac("blake2b-512", ck.CKK_BLAKE2B_512_HMAC, ck.CKM_BLAKE2B_512_KEY_GEN, 64),
	hmac("ripemd128", ck.CKK_RIPEMD128_HMAC, elsewhere, 16),
	hmac("ripemd160", ck.CKK_RIPEMD160_HMAC, elsewhere, 20),
}

// symmetric is a kind of secret key for encryption; without a size if there is one
// only.
func symmetric(name string, t ck.KeyType, m ck.MechanismType, byDefault string) keyKind {
	k := keyKind{name: name, keyType: t, generate: m, byDefault: byDefault, usage: []string{"encrypt"}}
	if byDefault != "" {
		k.unit = 8
	}
	return k
}

func hmac(hash string, t ck.KeyType, m ck.MechanismType, size int) keyKind {
	return keyKind{name: "hmac-" + hash, keyType: t, generate: m, byDefault: strconv.Itoa(size), unit: 1, usage: []string{"sign"}}
}

const keyTypesHelp = "rsa:BITS, ec:CURVE (P-256, secp256k1, brainpoolP256r1 and the like, or an OID), ed25519, ed448, x25519, x448, " +
	"ml-kem:768, ml-dsa:65, slh-dsa:SHA2-128s and the like, aes:BITS, aes-xts:BITS, aria:BITS, camellia:BITS, twofish:BITS, " +
	"seed, sm4, chacha20, salsa20, des3, des2, generic:BYTES, hkdf:BYTES, poly1305, hmac-sha256:BYTES and the like"

// keySpec is a key type with its size, curve or parameter set.
type keySpec struct {
	keyKind
	size   uint64 // bits of an RSA modulus, bytes of a secret key; 0 if there is one only
	params []byte // CKA_EC_PARAMS
	set    uint64 // CKA_PARAMETER_SET
}

// parseKeySpec reads a type as --type has it.
func parseKeySpec(text string) (keySpec, error) {
	name, rest, sized := strings.Cut(text, ":")
	i := slices.IndexFunc(keyKinds, func(k keyKind) bool { return strings.EqualFold(k.name, name) })
	if i < 0 {
		return keySpec{}, usagef("--type %q: the types are %s", text, keyTypesHelp)
	}
	s := keySpec{keyKind: keyKinds[i]}
	if s.byDefault == "" {
		if sized {
			return s, usagef("--type %q: %s has one size only", text, s.name)
		}
		if s.curve != "" {
			s.params, _, _ = engine.CurveParams(s.curve)
		}
		return s, nil
	}
	if rest == "" {
		rest = s.byDefault
	}
	var err error
	switch {
	case s.keyType == ck.CKK_EC:
		s.params, err = curveParams(rest)
		return s, err
	case s.sets != nil:
		s.set, err = s.setNamed(rest)
		return s, err
	}
	n, err := strconv.ParseUint(rest, 10, 32)
	if err != nil || n == 0 || s.unit != 0 && n%s.unit != 0 {
		return s, usagef("--type %q: %q is no size; the types are %s", text, rest, keyTypesHelp)
	}
	if s.size = n; s.unit != 0 {
		s.size = n / s.unit
	}
	return s, nil
}

// setNamed finds a parameter set.
func (k *keyKind) setNamed(name string) (uint64, error) {
	var names []string
	for _, s := range k.sets {
		if strings.EqualFold(s.name, name) {
			return s.set, nil
		}
		names = append(names, s.name)
	}
	return 0, usagef("%s has no parameter set %q; it has %s", k.name, name, strings.Join(names, ", "))
}

// curveParams finds a curve by name or OID.
func curveParams(name string) ([]byte, error) {
	if params, t, ok := engine.CurveParams(name); ok && t == ck.CKK_EC {
		return params, nil
	}
	var arcs []int
	for arc := range strings.SplitSeq(name, ".") {
		n, err := strconv.Atoi(arc)
		if err != nil {
			return nil, usagef("there is no curve %q; give P-256, P-384, P-521, secp256k1, brainpoolP256r1 and the like, or an OID", name)
		}
		arcs = append(arcs, n)
	}
	der, err := asn1.Marshal(asn1.ObjectIdentifier(arcs))
	if err != nil {
		return nil, usagef("%q is no OID of a curve", name)
	}
	return der, nil
}

// kindOf finds the kind of a key; nil if the program knows none.
func kindOf(t ck.KeyType, attrs []ck.Attribute) *keyKind {
	var names []string
	if a := ck.Find(attrs, ck.CKA_EC_PARAMS); a != nil {
		names = engine.CurveNames(a.Value, t)
	}
	for i := range keyKinds {
		k := &keyKinds[i]
		if k.keyType == t && (k.curve == "" || slices.Contains(names, k.curve)) {
			return k
		}
	}
	return nil
}

// typeName is the type of an object in the spelling of --type.
func typeName(class ck.ObjectClass, t ck.KeyType, attrs []ck.Attribute) string {
	k := kindOf(t, attrs)
	switch {
	case k == nil:
		return t.String()
	case k.byDefault == "":
		return k.name
	case t == ck.CKK_EC:
		return k.name + ":" + curveName(ck.Find(attrs, ck.CKA_EC_PARAMS))
	case k.sets != nil:
		n := number(attrs, ck.CKA_PARAMETER_SET)
		if i := slices.IndexFunc(k.sets, func(s keySet) bool { return s.set == n }); i >= 0 {
			return k.name + ":" + k.sets[i].name
		}
		return k.name
	case k.unit != 0:
		if n := number(attrs, ck.CKA_VALUE_LEN); n > 0 {
			return fmt.Sprintf("%s:%d", k.name, n*k.unit)
		}
		return k.name
	}
	if row := engine.FindKeyType(t); row != nil {
		if n := row.Size(&engine.Key{Class: class, Type: t, Attrs: attrs}); n > 0 {
			return fmt.Sprintf("%s:%d", k.name, n)
		}
	}
	return k.name
}

// curveName is the name of a curve, that of NIST if there is one.
func curveName(params *ck.Attribute) string {
	if params == nil {
		return "?"
	}
	if names := engine.CurveNames(params.Value, ck.CKK_EC); len(names) > 0 {
		if i := slices.IndexFunc(names, func(n string) bool { return strings.HasPrefix(n, "P-") }); i >= 0 {
			return names[i]
		}
		return names[0]
	}
	var id asn1.ObjectIdentifier
	if rest, err := asn1.Unmarshal(params.Value, &id); err == nil && len(rest) == 0 {
		return id.String()
	}
	var name string
	if rest, err := asn1.Unmarshal(params.Value, &name); err == nil && len(rest) == 0 {
		return name
	}
	return "explicit"
}

// usageDef is a use of keys: which attributes of the public and of the private or
// secret key it stands for.
type usageDef struct {
	name            string
	public, private []ck.AttributeType
	pairs           bool // secret keys do not have them
}

// usages are what keys can be for, in the words of --usage.
var usages = []usageDef{
	{name: "sign", public: []ck.AttributeType{ck.CKA_VERIFY}, private: []ck.AttributeType{ck.CKA_SIGN}},
	{name: "encrypt", public: []ck.AttributeType{ck.CKA_ENCRYPT}, private: []ck.AttributeType{ck.CKA_DECRYPT}},
	{name: "wrap", public: []ck.AttributeType{ck.CKA_WRAP}, private: []ck.AttributeType{ck.CKA_UNWRAP}},
	{name: "derive", private: []ck.AttributeType{ck.CKA_DERIVE}},
	{name: "encapsulate", public: []ck.AttributeType{ck.CKA_ENCAPSULATE}, private: []ck.AttributeType{ck.CKA_DECAPSULATE}, pairs: true},
}

const usagesHelp = "sign, encrypt, wrap, derive, encapsulate; each with its counterpart"

// usageAttributes are the attributes for a usage: of both halves of a pair, or
// of a secret key, which gets all of them. What a key is not for is said too: the
// standard's defaults would allow it.
func usageAttributes(names []string, pair bool) (public, private []ck.Attribute, err error) {
	for _, name := range names {
		if !slices.ContainsFunc(usages, func(u usageDef) bool { return u.name == name }) {
			return nil, nil, usagef("--usage %q: the usages are %s", name, usagesHelp)
		}
	}
	for _, u := range usages {
		used := slices.Contains(names, u.name)
		if u.pairs && !pair {
			if used {
				return nil, nil, usagef("--usage %s: secret keys cannot", u.name)
			}
			continue
		}
		for _, t := range u.public {
			public = append(public, ck.NewBool(t, used))
		}
		for _, t := range u.private {
			private = append(private, ck.NewBool(t, used))
		}
	}
	if !pair {
		return nil, append(public, private...), nil
	}
	return public, private, nil
}
