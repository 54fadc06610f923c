package engine

import (
	"bytes"
	"crypto/subtle"
	"fmt"
	"slices"

	"github.com/perilune/perilune/cryptoki/ck"
)

// Generic secret keys (PKCS#11 v3.1 section 6.8) and simple derivations
// (section 6.43).

func init() { later(genericMechanisms) }

func genericMechanisms() {
	register(
		&Mechanism{
			// The one mechanism for secret keys whose sizes are in bits
			// (PKCS#11 v3.1 section 6.8.3).
			Type: ck.CKM_GENERIC_SECRET_KEY_GEN, Makes: ck.CKK_GENERIC_SECRET,
			Min: 8, Max: 8 * maxSecret, FIPS: true, FIPSMin: 112,
			Generate: generateSecret, Vectors: formOnly,
			SelfTest: func() error { return testSecretGen(ck.CKM_GENERIC_SECRET_KEY_GEN) },
		},
		keyRow(ck.CKM_CONCATENATE_BASE_AND_KEY, "0123456789abcdef",
			func(base, key []byte) []byte { return slices.Concat(base, key) }),
		keyRow(ck.CKM_CONCATENATE_KEY_AND_BASE, "89abcdef01234567", // of early devices
			func(base, key []byte) []byte { return slices.Concat(key, base) }),
		dataRow(ck.CKM_CONCATENATE_BASE_AND_DATA, "0123456789abcdef",
			func(base, data []byte) []byte { return slices.Concat(base, data) }),
		dataRow(ck.CKM_CONCATENATE_DATA_AND_BASE, "89abcdef01234567",
			func(base, data []byte) []byte { return slices.Concat(data, base) }),
		dataRow(ck.CKM_XOR_BASE_AND_DATA, "88888888", func(base, data []byte) []byte {
			out := make([]byte, min(len(base), len(data)))
			subtle.XORBytes(out, base, data)
			return out
		}),
		&Mechanism{
			Type: ck.CKM_EXTRACT_KEY_FROM_KEY, Param: uint64(0),
			Keys: anySecretKey, Inherits: true, Min: 1, Max: maxSecret,
			Derive: extractKey, Vectors: vectorsPKCS11,
			SelfTest: func() error {
				return testDerive(ck.CKM_EXTRACT_KEY_FROM_KEY, unhex("329f84a9"), uint64(21), "9526")
			},
		},
	)
}

// maxSecret is the length in bytes of the longest secret key that is made or
// used, so that no template can ask for all memory.
const maxSecret = 1 << 16

// anySecretKey, as the types that a mechanism takes, is every secret key.
var anySecretKey = []ck.KeyType{AnySecret}

// vectorsPKCS11 is where the simple derivations have their answers from.
const vectorsPKCS11 = "the standard's examples, PKCS#11 v3.1 section 6.43"

// dataRow is the row of a derivation from a key and data; its self-test uses
// the key, the data and the answer that the standard has as its example.
func dataRow(t ck.MechanismType, answer string, f func(base, data []byte) []byte) *Mechanism {
	return &Mechanism{
		Type: t, Param: (*StringDataParams)(nil), Keys: anySecretKey, Inherits: true, Min: 1, Max: maxSecret,
		Derive: func(base *Key, param any, d *Derivation) ([]byte, error) {
			p, err := structParam[StringDataParams](param)
			if err != nil {
				return nil, err
			}
			return leading(f(base.Value(), p.Data), d)
		},
		SelfTest: func() error {
			return testDerive(t, unhex("01234567"), &StringDataParams{unhex("89abcdef")}, answer)
		},
		Vectors: vectorsPKCS11,
	}
}

// keyRow is the row of a derivation from two keys, the second of which is the
// parameter.
func keyRow(t ck.MechanismType, answer string, f func(base, key []byte) []byte) *Mechanism {
	return &Mechanism{
		Type: t, Param: ck.ObjectHandle(0), Keys: anySecretKey, Inherits: true, Min: 1, Max: maxSecret,
		Derive: func(base *Key, _ any, d *Derivation) ([]byte, error) {
			if len(d.Keys) != 1 || d.Keys[0] == nil {
				return nil, fmt.Errorf("the second key is missing: %w", ck.CKR_MECHANISM_PARAM_INVALID)
			}
			if d.Keys[0].Class != ck.CKO_SECRET_KEY {
				return nil, ck.CKR_KEY_TYPE_INCONSISTENT
			}
			return leading(f(base.Value(), d.Keys[0].Value()), d)
		},
		SelfTest: func() error {
			key := secretKey(ck.CKK_GENERIC_SECRET, unhex("89abcdef"))
			return testDerive(t, unhex("01234567"), ck.ObjectHandle(1), answer, key)
		},
		Vectors: vectorsPKCS11,
	}
}

// extractKey is CKM_EXTRACT_KEY_FROM_KEY: bits of the base key from the given
// one on, the first bit being the most significant, going round at its end.
func extractKey(base *Key, p any, d *Derivation) ([]byte, error) {
	v := base.Value()
	first, ok := p.(uint64)
	if !ok || first >= uint64(len(v))*8 {
		return nil, fmt.Errorf("the key has no bit of this number: %w", ck.CKR_MECHANISM_PARAM_INVALID)
	}
	n, err := wantedLen(d)
	if err != nil {
		return nil, err
	}
	if n > len(v) {
		return nil, ck.CKR_KEY_SIZE_RANGE
	}
	out := make([]byte, n)
	at, shift := int(first/8), first%8
	for i := range out {
		hi, lo := v[(at+i)%len(v)], v[(at+i+1)%len(v)]
		out[i] = byte((uint16(hi)<<8 | uint16(lo)) << shift >> 8)
	}
	return out, nil
}

// leading returns as many bytes from the start of out as the derived key has.
func leading(out []byte, d *Derivation) ([]byte, error) {
	n := derivedLen(d, len(out))
	if n == 0 {
		return nil, errNoLength
	}
	if n > len(out) {
		return nil, fmt.Errorf("the derivation yields too few bytes: %w", ck.CKR_KEY_SIZE_RANGE)
	}
	if out = out[:n]; isDES(d.Type) { // parity: PKCS#11 v3.1 section 6.43
		out = bytes.Clone(out)
		oddParity(out)
	}
	return out, nil
}

// derivedLen is the length of the derived key: what the template says, or that
// of a key type with one length only, or natural for a type that can have any;
// 0 if that leaves it open.
func derivedLen(d *Derivation, natural int) int {
	if d.Len != 0 {
		return d.Len
	}
	t := FindKeyType(d.Type)
	switch {
	case t == nil || len(t.Lengths) == 0:
		return natural
	case len(t.Lengths) == 1:
		return t.Lengths[0]
	}
	return 0
}

var errNoLength = fmt.Errorf("the template must give the length of the key: %w", ck.CKR_TEMPLATE_INCOMPLETE)

// wantedLen is the length of the derived key where the mechanism yields as many
// bytes as are wanted.
func wantedLen(d *Derivation) (int, error) {
	n := derivedLen(d, 0)
	if n == 0 {
		return 0, errNoLength
	}
	if n < 1 || n > maxSecret {
		return 0, fmt.Errorf("keys have at most %d bytes: %w", maxSecret, ck.CKR_KEY_SIZE_RANGE)
	}
	return n, nil
}

// templateLen is the length of the secret key that a whole template describes.
func templateLen(template []ck.Attribute) (int, error) {
	d := Derivation{Type: ck.CKK_GENERIC_SECRET}
	if a := ck.Find(template, ck.CKA_KEY_TYPE); a != nil {
		t, ok := ck.ULong(a.Value)
		if !ok {
			return 0, ck.CKR_ATTRIBUTE_VALUE_INVALID
		}
		d.Type = ck.KeyType(t)
	}
	if ck.Find(template, ck.CKA_VALUE_LEN) == nil {
		if n := derivedLen(&d, 0); n > 0 {
			return n, nil
		}
	}
	return valueLen(template)
}

// valueLen reads CKA_VALUE_LEN from a template for a new key.
func valueLen(template []ck.Attribute) (int, error) {
	a := ck.Find(template, ck.CKA_VALUE_LEN)
	if a == nil {
		return 0, fmt.Errorf("CKA_VALUE_LEN is missing: %w", ck.CKR_TEMPLATE_INCOMPLETE)
	}
	n, ok := ck.ULong(a.Value)
	if !ok || n < 1 || n > maxSecret {
		return 0, fmt.Errorf("CKA_VALUE_LEN must be 1 to %d: %w", maxSecret, ck.CKR_ATTRIBUTE_VALUE_INVALID)
	}
	return int(n), nil
}

// formOnly is what can be said of how random keys are proven.
const formOnly = "form only: random bytes; the generator has NIST's CTR_DRBG vectors"

// generateSecret makes a random key as long as the template says.
func generateSecret(p any, template []ck.Attribute) ([]ck.Attribute, error) {
	if err := noParam(p); err != nil {
		return nil, err
	}
	n, err := valueLen(template)
	if err != nil {
		return nil, err
	}
	return randomSecret(n)
}

// generateOf makes a random key of one of the lengths of its type.
func generateOf(t ck.KeyType, p any, template []ck.Attribute) ([]ck.Attribute, error) {
	if err := noParam(p); err != nil {
		return nil, err
	}
	n, err := generatedLen(t, template)
	if err != nil {
		return nil, err
	}
	return randomSecret(n)
}

// randomSecret makes the value attributes of a random key of n bytes.
func randomSecret(n int) ([]ck.Attribute, error) {
	v := make([]byte, n)
	if err := Random(v); err != nil {
		return nil, err
	}
	return secretValue(v), nil
}

// secretValue is the value attributes of a secret key.
func secretValue(v []byte) []ck.Attribute {
	return []ck.Attribute{
		ck.NewBytes(ck.CKA_VALUE, v),
		ck.NewULong(ck.CKA_VALUE_LEN, uint64(len(v))),
	}
}

// testSecretGen checks the form of a new key; there is no known answer.
func testSecretGen(t ck.MechanismType) error {
	template := []ck.Attribute{ck.NewULong(ck.CKA_VALUE_LEN, uint64(32))}
	one, err := Find(t).Generate(nil, template)
	if err != nil {
		return err
	}
	two, err := Find(t).Generate(nil, template)
	if err != nil {
		return err
	}
	a, b := ck.Find(one, ck.CKA_VALUE), ck.Find(two, ck.CKA_VALUE)
	if a == nil || b == nil || len(a.Value) != 32 || subtle.ConstantTimeCompare(a.Value, b.Value) == 1 {
		return errSelfTest(t)
	}
	return nil
}
