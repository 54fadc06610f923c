package engine

import (
	"bytes"
	"crypto/subtle"
	"fmt"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"github.com/perilune/perilune/cryptoki/ck"
)

// Keys that are byte strings of fixed length, in one of a few parameter sets
// that CKA_PARAMETER_SET names: ML-KEM, ML-DSA and SLH-DSA (PKCS#11 v3.2,
// sections 6.67 to 6.69).

// pqcFamily is the key type of one algorithm.
type pqcFamily struct {
	key  ck.KeyType
	sets []*pqcSet
}

// pqcSet is one parameter set.
type pqcSet struct {
	id  uint64 // CKP_...
	oid string
	// Lengths of CKA_VALUE of both keys, and of CKA_SEED: 0 where there is
	// none.
	public, private, seed int
	// expand makes the values of both keys from a seed, or from the random
	// bytes that a key without one is made from.
	expand func(seed []byte) (public, private []byte, err error)
	// publicOf finds the value of the public key that belongs to that of a
	// private one, and checks what it needs of it. check is what that leaves to
	// check, nil for nothing.
	publicOf func(private []byte) ([]byte, error)
	check    func(private []byte) error
	// checkPublic checks the value of a public key.
	checkPublic func(public []byte) error
}

// row makes the row of the family.
func (f *pqcFamily) row() *KeyType {
	t := &KeyType{
		Type: f.key,
		Size: f.size, Complete: f.complete, PublicInfo: f.publicInfo,
		MarshalPKCS8: f.marshal, UnmarshalPKCS8: f.unmarshal, unmarshalPublic: f.unmarshalPublic,
	}
	for _, s := range f.sets {
		t.OIDs = append(t.OIDs, s.oid)
	}
	return t
}

var errParameterSet = fmt.Errorf("unknown CKA_PARAMETER_SET: %w", ck.CKR_PARAMETER_SET_NOT_SUPPORTED)

// setIn is the parameter set that attributes name.
func (f *pqcFamily) setIn(attrs []ck.Attribute) (*pqcSet, error) {
	a := ck.Find(attrs, ck.CKA_PARAMETER_SET)
	if a == nil {
		return nil, fmt.Errorf("CKA_PARAMETER_SET is missing: %w", ck.CKR_TEMPLATE_INCOMPLETE)
	}
	id, ok := ck.ULong(a.Value)
	if !ok {
		return nil, fmt.Errorf("CKA_PARAMETER_SET is not a CK_ULONG: %w", ck.CKR_ATTRIBUTE_VALUE_INVALID)
	}
	for _, s := range f.sets {
		if s.id == id {
			return s, nil
		}
	}
	return nil, errParameterSet
}

// set is the parameter set of a key.
func (f *pqcFamily) set(k *Key) (*pqcSet, error) {
	if k.Type != f.key {
		return nil, ck.CKR_KEY_TYPE_INCONSISTENT
	}
	return f.setIn(k.Attrs)
}

// sizes are the shortest and the longest public key, in bytes: the unit that
// the standard has for these mechanisms.
func (f *pqcFamily) sizes() (min, max uint64) {
	for _, s := range f.sets {
		n := uint64(s.public)
		if min == 0 || n < min {
			min = n
		}
		if n > max {
			max = n
		}
	}
	return min, max
}

func (f *pqcFamily) size(k *Key) uint64 {
	s, err := f.set(k)
	if err != nil {
		return 0
	}
	return uint64(s.public)
}

func (f *pqcFamily) complete(k *Key) ([]ck.Attribute, error) {
	s, err := f.set(k)
	if err != nil {
		return nil, err
	}
	if k.Class == ck.CKO_PUBLIC_KEY {
		return nil, s.completePublic(k)
	}
	return s.completePrivate(k)
}

func (s *pqcSet) completePublic(k *Key) error {
	if len(k.Value()) == 0 {
		return fmt.Errorf("CKA_VALUE is missing: %w", ck.CKR_TEMPLATE_INCOMPLETE)
	}
	if len(k.Value()) != s.public {
		return fmt.Errorf("a public key of this parameter set has %d bytes: %w", s.public, ck.CKR_ATTRIBUTE_VALUE_INVALID)
	}
	if s.checkPublic(k.Value()) != nil {
		return fmt.Errorf("CKA_VALUE is no public key of this parameter set: %w", ck.CKR_ATTRIBUTE_VALUE_INVALID)
	}
	return nil
}

// completePrivate checks the value, or makes it from the seed, or checks that
// the two belong together.
func (s *pqcSet) completePrivate(k *Key) ([]ck.Attribute, error) {
	value, seed := k.Value(), k.Bytes(ck.CKA_SEED)
	if len(seed) == 0 {
		return nil, s.checkPrivate(value)
	}
	if s.seed == 0 || len(seed) != s.seed {
		return nil, fmt.Errorf("CKA_SEED is of the wrong length: %w", ck.CKR_ATTRIBUTE_VALUE_INVALID)
	}
	_, expanded, err := s.expand(seed)
	if err != nil {
		return nil, err
	}
	if len(value) > 0 && subtle.ConstantTimeCompare(value, expanded) != 1 {
		clear(expanded)
		return nil, fmt.Errorf("CKA_VALUE does not follow from CKA_SEED: %w", ck.CKR_ATTRIBUTE_VALUE_INVALID)
	}
	return []ck.Attribute{ck.NewBytes(ck.CKA_VALUE, expanded)}, nil
}

func (s *pqcSet) checkPrivate(value []byte) error {
	if len(value) == 0 {
		return fmt.Errorf("CKA_VALUE is missing: %w", ck.CKR_TEMPLATE_INCOMPLETE)
	}
	if len(value) != s.private {
		return fmt.Errorf("a private key of this parameter set has %d bytes: %w", s.private, ck.CKR_ATTRIBUTE_VALUE_INVALID)
	}
	_, err := s.publicOf(value)
	if err == nil && s.check != nil {
		err = s.check(value)
	}
	if err != nil {
		return fmt.Errorf("CKA_VALUE is no private key of this parameter set: %w", ck.CKR_ATTRIBUTE_VALUE_INVALID)
	}
	return nil
}

// publicValue is the value of the public key that belongs to a public or
// private key.
func (f *pqcFamily) publicValue(k *Key) ([]byte, error) {
	s, err := f.set(k)
	if err != nil {
		return nil, err
	}
	if k.Class == ck.CKO_PUBLIC_KEY {
		return k.Value(), nil
	}
	if len(k.Value()) != s.private {
		return nil, ck.CKR_KEY_TYPE_INCONSISTENT
	}
	return s.publicOf(k.Value())
}

// generate makes a key pair of the parameter set that the public template
// names.
func (f *pqcFamily) generate(p any, public, _ []ck.Attribute) (pub, priv []ck.Attribute, err error) {
	if err := noParam(p); err != nil {
		return nil, nil, err
	}
	s, err := f.setIn(public)
	if err != nil {
		return nil, nil, err
	}
	seed := make([]byte, s.seed)
	if s.seed == 0 {
		seed = make([]byte, s.private) // more than enough
		defer clear(seed)
	}
	if err := Random(seed); err != nil {
		return nil, nil, fmt.Errorf("cannot generate a key: %w", ck.CKR_FUNCTION_FAILED)
	}
	pubValue, value, err := s.expand(seed)
	if err != nil {
		return nil, nil, fmt.Errorf("cannot generate a key: %w", ck.CKR_FUNCTION_FAILED)
	}
	pub = []ck.Attribute{ck.NewULong(ck.CKA_PARAMETER_SET, s.id), ck.NewBytes(ck.CKA_VALUE, pubValue)}
	priv = []ck.Attribute{ck.NewULong(ck.CKA_PARAMETER_SET, s.id), ck.NewBytes(ck.CKA_VALUE, value)}
	if s.seed > 0 {
		priv = append(priv, ck.NewBytes(ck.CKA_SEED, seed))
	}
	return pub, priv, nil
}

// publicInfo is SubjectPublicKeyInfo: the value as it is, under an algorithm
// without parameters (RFC 9935, RFC 9881, RFC 9909).
func (f *pqcFamily) publicInfo(k *Key) ([]byte, error) {
	s, err := f.set(k)
	if err != nil {
		return nil, err
	}
	value, err := f.publicValue(k)
	if err != nil {
		return nil, err
	}
	return publicKeyInfo(s.oid, nil, func(b *cryptobyte.Builder) { b.AddBytes(value) })
}

// tagSeed is the tag of a private key that is a seed only.
var tagSeed = asn1.Tag(0).ContextSpecific()

// marshal is PrivateKeyInfo. A family with seeds has a choice of three forms
// (RFC 9935, section 6; RFC 9881, section 6): we write the seed and the value
// where we have both, since some readers can do with one of them only (PKCS#11
// v3.2, section 6.7). SLH-DSA has the value as it is (RFC 9909, section 6).
func (f *pqcFamily) marshal(k *Key) ([]byte, error) {
	s, err := f.set(k)
	if err != nil {
		return nil, err
	}
	value, seed := k.Value(), k.Bytes(ck.CKA_SEED)
	if len(value) != s.private {
		return nil, fmt.Errorf("no private key: %w", ck.CKR_KEY_NOT_WRAPPABLE)
	}
	return privateKeyInfo(s.oid, nil, func(b *cryptobyte.Builder) {
		switch {
		case s.seed == 0:
			b.AddBytes(value)
		case len(seed) == 0:
			b.AddASN1OctetString(value)
		default:
			b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
				b.AddASN1OctetString(seed)
				b.AddASN1OctetString(value)
			})
		}
	})
}

func (f *pqcFamily) unmarshal(der []byte) ([]ck.Attribute, error) {
	info, err := parsePrivateKeyInfo(der)
	if err != nil {
		return nil, err
	}
	if len(info.params) > 0 { // the RFCs say that they must be absent
		return nil, errPKCS8
	}
	for _, s := range f.sets {
		if s.oid == info.oid {
			return s.unmarshal(info.key)
		}
	}
	return nil, errPKCS8
}

// unmarshal reads all forms that marshal speaks of.
func (s *pqcSet) unmarshal(key cryptobyte.String) ([]ck.Attribute, error) {
	var seed, value, both cryptobyte.String
	ok := true
	switch {
	case s.seed == 0:
		key, value = nil, key
	case key.PeekASN1Tag(tagSeed):
		ok = key.ReadASN1(&seed, tagSeed)
	case key.PeekASN1Tag(asn1.OCTET_STRING):
		ok = key.ReadASN1(&value, asn1.OCTET_STRING)
	default:
		ok = key.ReadASN1(&both, asn1.SEQUENCE) && both.ReadASN1(&seed, asn1.OCTET_STRING) &&
			both.ReadASN1(&value, asn1.OCTET_STRING) && both.Empty()
	}
	if !ok || !key.Empty() || seed == nil && len(value) != s.private || seed != nil && len(seed) != s.seed {
		return nil, errPKCS8
	}
	list := []ck.Attribute{ck.NewULong(ck.CKA_PARAMETER_SET, s.id)}
	if seed != nil {
		list = append(list, ck.NewBytes(ck.CKA_SEED, bytes.Clone(seed)))
	}
	if seed == nil || value != nil {
		list = append(list, ck.NewBytes(ck.CKA_VALUE, bytes.Clone(value)))
	}
	return list, nil
}
