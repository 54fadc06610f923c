package migrate

import (
	"errors"
	"fmt"
	"slices"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/engine"
)

// Attributes that the HSM decides itself: they are not given to it. With why,
// losing a value that says something is reported.
var decidedByHSM = map[ck.AttributeType]string{
	ck.CKA_TOKEN:             "",
	ck.CKA_VALUE_LEN:         "",
	ck.CKA_MODULUS_BITS:      "",
	ck.CKA_PRIME_BITS:        "",
	ck.CKA_SUBPRIME_BITS:     "",
	ck.CKA_VALUE_BITS:        "",
	ck.CKA_CHECK_VALUE:       "",
	ck.CKA_UNIQUE_ID:         "every HSM gives its objects identifiers of its own",
	ck.CKA_LOCAL:             "the key was not generated in this HSM",
	ck.CKA_KEY_GEN_MECHANISM: "the key was not generated in this HSM",
	ck.CKA_ALWAYS_SENSITIVE:  "this HSM cannot vouch for what the key was before",
	ck.CKA_NEVER_EXTRACTABLE: "this HSM cannot vouch for what the key was before",
	ck.CKA_TRUSTED:           "only the Partition SO can make an object trusted",
}

// material are the attributes that make a key, or what an object is about.
var material = []ck.AttributeType{
	ck.CKA_VALUE, ck.CKA_MODULUS, ck.CKA_PUBLIC_EXPONENT, ck.CKA_PRIVATE_EXPONENT, ck.CKA_PRIME_1, ck.CKA_PRIME_2,
	ck.CKA_EXPONENT_1, ck.CKA_EXPONENT_2, ck.CKA_COEFFICIENT, ck.CKA_EC_PARAMS, ck.CKA_EC_POINT,
	ck.CKA_PRIME, ck.CKA_SUBPRIME, ck.CKA_BASE, ck.CKA_PARAMETER_SET, ck.CKA_SEED,
	ck.CKA_BIP32_CHAIN_CODE, ck.CKA_BIP32_VERSION_BYTES, ck.CKA_BIP32_CHILD_DEPTH, ck.CKA_BIP32_CHILD_INDEX, ck.CKA_BIP32_PARENT_FINGERPRINT,
}

// kinds tell the schema of an object.
var kinds = []ck.AttributeType{ck.CKA_CLASS, ck.CKA_KEY_TYPE, ck.CKA_CERTIFICATE_TYPE}

// protecting are the attributes without which an object would be less protected
// than it was: rather no object than one without them.
var protecting = []ck.AttributeType{
	ck.CKA_PRIVATE, ck.CKA_SENSITIVE, ck.CKA_EXTRACTABLE, ck.CKA_WRAP_WITH_TRUSTED, ck.CKA_ALWAYS_AUTHENTICATE, ck.CKA_ALLOWED_MECHANISMS,
	ck.CKA_WRAP_TEMPLATE, ck.CKA_UNWRAP_TEMPLATE, ck.CKA_DERIVE_TEMPLATE, ck.CKA_ENCAPSULATE_TEMPLATE, ck.CKA_DECAPSULATE_TEMPLATE,
	ck.CKA_MODIFIABLE, ck.CKA_COPYABLE, ck.CKA_DESTROYABLE,
}

// usages are what a key may be used for. One that is refused is set to false,
// since the default may be true.
var usages = []ck.AttributeType{
	ck.CKA_ENCRYPT, ck.CKA_DECRYPT, ck.CKA_SIGN, ck.CKA_VERIFY, ck.CKA_SIGN_RECOVER, ck.CKA_VERIFY_RECOVER,
	ck.CKA_WRAP, ck.CKA_UNWRAP, ck.CKA_DERIVE, ck.CKA_ENCAPSULATE, ck.CKA_DECAPSULATE,
}

func isMaterial(t ck.AttributeType) bool { return slices.Contains(material, t) }

func isKey(c ck.ObjectClass) bool {
	return c == ck.CKO_PUBLIC_KEY || c == ck.CKO_PRIVATE_KEY || c == ck.CKO_SECRET_KEY
}

// sort divides the attributes into those that make the key, those that it must
// not come without, those that it can do without, and those that are the HSM's
// own to decide. Empty values say nothing: they are the default.
func (j *job) sort() {
	for _, a := range j.Attrs {
		why, decided := decidedByHSM[a.Type]
		switch {
		case decided:
			if why != "" && saysSomething(a) {
				j.lose(a.Type, why)
			}
		case len(a.Value) == 0 && len(a.Template) == 0:
		case isMaterial(a.Type):
			j.material = append(j.material, a)
		case slices.Contains(kinds, a.Type), slices.Contains(protecting, a.Type), isFalse(a) && slices.Contains(usages, a.Type):
			j.fixed = append(j.fixed, a)
		case a.Type == ck.CKA_SUBJECT, a.Type == ck.CKA_OWNER:
			j.fixed = append(j.fixed, a)
		default:
			j.free = append(j.free, a)
		}
	}
}

func saysSomething(a ck.Attribute) bool {
	if a.Type == ck.CKA_KEY_GEN_MECHANISM {
		n, ok := ck.ULong(a.Value)
		return ok && n != ck.UnavailableInformation
	}
	return len(a.Value) > 0 && !isFalse(a)
}

func isFalse(a ck.Attribute) bool { return len(a.Value) == 1 && a.Value[0] == 0 }

// identify tells what the object is, and of a key its public key.
func (j *job) identify() error {
	class, ok := ulong(j.Attrs, ck.CKA_CLASS)
	if !ok {
		return errors.New("it does not tell its class")
	}
	j.class = ck.ObjectClass(class)
	if !isKey(j.class) {
		return nil
	}
	n, ok := ulong(j.Attrs, ck.CKA_KEY_TYPE)
	if !ok {
		return errors.New("it does not tell its key type")
	}
	j.keyType = engine.StandardKeyType(ck.KeyType(n))
	row := engine.FindKeyType(j.keyType)
	if row == nil {
		return fmt.Errorf("the HSM has no keys of type %v", j.keyType)
	}
	key, err := j.key(row)
	if err != nil {
		return fmt.Errorf("the key is not sound: %w", err)
	}
	if j.class == ck.CKO_SECRET_KEY || row.PublicInfo == nil {
		return nil
	}
	j.public, err = row.PublicInfo(key)
	return err
}

// key is the key with what can be computed of it.
func (j *job) key(row *engine.KeyType) (*engine.Key, error) {
	k := &engine.Key{Class: j.class, Type: j.keyType, Attrs: j.material}
	if row.Complete == nil {
		return k, nil
	}
	added, err := row.Complete(k)
	if err != nil {
		return nil, err
	}
	return &engine.Key{Class: j.class, Type: j.keyType, Attrs: append(added, j.material...)}, nil // what was added comes first, and counts
}

// checkValue is CKA_CHECK_VALUE of a secret key.
func (j *job) checkValue() ([]byte, error) {
	row := engine.FindKeyType(j.keyType)
	if row.CheckValue == nil {
		return nil, nil
	}
	k, err := j.key(row)
	if err != nil {
		return nil, err
	}
	return row.CheckValue(k)
}

func ulong(list []ck.Attribute, t ck.AttributeType) (uint64, bool) {
	if a := ck.Find(list, t); a != nil {
		return ck.ULong(a.Value)
	}
	return 0, false
}
