package main

import (
	"encoding/asn1"
	"encoding/hex"
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
	name      string
	keyType   ck.KeyType
	generate  ck.MechanismType
	pair      bool
	byDefault string   // size or curve if none is given
	unit      uint64   // sizes are given in bits (8) or bytes (1) of CKA_VALUE_LEN; secret keys only
	params    []byte   // CKA_EC_PARAMS of a type with one curve
	usage     []string // by default
}

var keyKinds = []keyKind{
	{name: "rsa", keyType: ck.CKK_RSA, generate: ck.CKM_RSA_PKCS_KEY_PAIR_GEN, pair: true, byDefault: "3072", usage: []string{"sign", "encrypt"}},
	{name: "ec", keyType: ck.CKK_EC, generate: ck.CKM_EC_KEY_PAIR_GEN, pair: true, byDefault: "P-256", usage: []string{"sign"}},
	{name: "ed25519", keyType: ck.CKK_EC_EDWARDS, generate: ck.CKM_EC_EDWARDS_KEY_PAIR_GEN, pair: true, params: oid(1, 3, 101, 112), usage: []string{"sign"}},
	{name: "x25519", keyType: ck.CKK_EC_MONTGOMERY, generate: ck.CKM_EC_MONTGOMERY_KEY_PAIR_GEN, pair: true, params: oid(1, 3, 101, 110), usage: []string{"derive"}},
	{name: "aes", keyType: ck.CKK_AES, generate: ck.CKM_AES_KEY_GEN, byDefault: "256", unit: 8, usage: []string{"encrypt"}},
	{name: "generic", keyType: ck.CKK_GENERIC_SECRET, generate: ck.CKM_GENERIC_SECRET_KEY_GEN, byDefault: "32", unit: 1, usage: []string{"sign", "derive"}},
	{name: "hkdf", keyType: ck.CKK_HKDF, generate: ck.CKM_HKDF_KEY_GEN, byDefault: "32", unit: 1, usage: []string{"derive"}},
	hmac("sha1", ck.CKK_SHA_1_HMAC, ck.CKM_SHA_1_KEY_GEN, 20),
	hmac("sha224", ck.CKK_SHA224_HMAC, ck.CKM_SHA224_KEY_GEN, 28),
	hmac("sha256", ck.CKK_SHA256_HMAC, ck.CKM_SHA256_KEY_GEN, 32),
	hmac("sha384", ck.CKK_SHA384_HMAC, ck.CKM_SHA384_KEY_GEN, 48),
	hmac("sha512", ck.CKK_SHA512_HMAC, ck.CKM_SHA512_KEY_GEN, 64),
	hmac("sha512-224", ck.CKK_SHA512_224_HMAC, ck.CKM_SHA512_224_KEY_GEN, 28),
	hmac("sha512-256", ck.CKK_SHA512_256_HMAC, ck.CKM_SHA512_256_KEY_GEN, 32),
	hmac("sha3-224", ck.CKK_SHA3_224_HMAC, ck.CKM_SHA3_224_KEY_GEN, 28),
	hmac("sha3-256", ck.CKK_SHA3_256_HMAC, ck.CKM_SHA3_256_KEY_GEN, 32),
	hmac("sha3-384", ck.CKK_SHA3_384_HMAC, ck.CKM_SHA3_384_KEY_GEN, 48),
	hmac("sha3-512", ck.CKK_SHA3_512_HMAC, ck.CKM_SHA3_512_KEY_GEN, 64),
}

func hmac(hash string, t ck.KeyType, m ck.MechanismType, size int) keyKind {
	return keyKind{name: "hmac-" + hash, keyType: t, generate: m, byDefault: strconv.Itoa(size), unit: 1, usage: []string{"sign"}}
}

// curves are the names of CKA_EC_PARAMS, ours first.
var curves = []struct {
	names  []string
	params []byte
}{
	{[]string{"P-224", "secp224r1"}, oid(1, 3, 132, 0, 33)},
	{[]string{"P-256", "secp256r1", "prime256v1"}, oid(1, 2, 840, 10045, 3, 1, 7)},
	{[]string{"P-384", "secp384r1"}, oid(1, 3, 132, 0, 34)},
	{[]string{"P-521", "secp521r1"}, oid(1, 3, 132, 0, 35)},
}

// oid is an object identifier in DER.
func oid(arcs ...int) []byte {
	der, err := asn1.Marshal(asn1.ObjectIdentifier(arcs))
	if err != nil {
		panic(err) // a constant of ours
	}
	return der
}

const keyTypesHelp = "rsa:BITS, ec:CURVE (P-256 and the like, or an OID), ed25519, x25519, aes:BITS, generic:BYTES, hkdf:BYTES, hmac-sha256:BYTES and the like"

// keySpec is a key type with its size or curve.
type keySpec struct {
	keyKind
	size   uint64 // bits of an RSA modulus, bytes of a secret key
	params []byte // CKA_EC_PARAMS
}

// parseKeySpec reads a type as --type has it.
func parseKeySpec(text string) (keySpec, error) {
	name, rest, sized := strings.Cut(text, ":")
	i := slices.IndexFunc(keyKinds, func(k keyKind) bool { return strings.EqualFold(k.name, name) })
	if i < 0 {
		return keySpec{}, usagef("--type %q: the types are %s", text, keyTypesHelp)
	}
	s := keySpec{keyKind: keyKinds[i], params: keyKinds[i].params}
	if s.byDefault == "" {
		if sized {
			return s, usagef("--type %q: %s has one size only", text, s.name)
		}
		return s, nil
	}
	if rest == "" {
		rest = s.byDefault
	}
	if s.keyType == ck.CKK_EC {
		var err error
		s.params, err = curveParams(rest)
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

// curveParams finds a curve by name or OID.
func curveParams(name string) ([]byte, error) {
	var names []string
	for _, c := range curves {
		if slices.ContainsFunc(c.names, func(n string) bool { return strings.EqualFold(n, name) }) {
			return c.params, nil
		}
		names = append(names, c.names[0])
	}
	var arcs []int
	for arc := range strings.SplitSeq(name, ".") {
		n, err := strconv.Atoi(arc)
		if err != nil {
			return nil, usagef("there is no curve %q; give %s or an OID", name, strings.Join(names, ", "))
		}
		arcs = append(arcs, n)
	}
	der, err := asn1.Marshal(asn1.ObjectIdentifier(arcs))
	if err != nil {
		return nil, usagef("%q is no OID of a curve", name)
	}
	return der, nil
}

// typeName is the type of an object in the spelling of --type.
func typeName(class ck.ObjectClass, t ck.KeyType, attrs []ck.Attribute) string {
	i := slices.IndexFunc(keyKinds, func(k keyKind) bool { return k.keyType == t })
	if i < 0 {
		return t.String()
	}
	k := keyKinds[i]
	switch {
	case k.byDefault == "":
		return k.name
	case t == ck.CKK_EC:
		return k.name + ":" + curveName(ck.Find(attrs, ck.CKA_EC_PARAMS))
	case k.unit != 0:
		if a := ck.Find(attrs, ck.CKA_VALUE_LEN); a != nil {
			if n, ok := ck.ULong(a.Value); ok {
				return fmt.Sprintf("%s:%d", k.name, n*k.unit)
			}
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

func curveName(params *ck.Attribute) string {
	if params == nil {
		return "?"
	}
	for _, c := range curves {
		if string(c.params) == string(params.Value) {
			return c.names[0]
		}
	}
	var id asn1.ObjectIdentifier
	if rest, err := asn1.Unmarshal(params.Value, &id); err == nil && len(rest) == 0 {
		return id.String()
	}
	var name string
	if rest, err := asn1.Unmarshal(params.Value, &name); err == nil && len(rest) == 0 {
		return name
	}
	return hex.EncodeToString(params.Value)
}

// usageDef is a use of keys: which attributes of the public and of the private or
// secret key it stands for.
type usageDef struct {
	name            string
	public, private []ck.AttributeType
}

// usages are what keys can be for, in the words of --usage.
var usages = []usageDef{
	{"sign", []ck.AttributeType{ck.CKA_VERIFY}, []ck.AttributeType{ck.CKA_SIGN}},
	{"encrypt", []ck.AttributeType{ck.CKA_ENCRYPT}, []ck.AttributeType{ck.CKA_DECRYPT}},
	{"wrap", []ck.AttributeType{ck.CKA_WRAP}, []ck.AttributeType{ck.CKA_UNWRAP}},
	{"derive", nil, []ck.AttributeType{ck.CKA_DERIVE}},
}

const usagesHelp = "sign, encrypt, wrap, derive; each with its counterpart"

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
