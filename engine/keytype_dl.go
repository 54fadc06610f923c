package engine

import (
	"bytes"
	"errors"
	"fmt"
	"math/bits"
	"slices"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/engine/internal/dl"
)

// Keys and domain parameters over discrete logarithms modulo a prime: DSA (PKCS#11
// v3.1, section 6.2), Diffie-Hellman of PKCS #3 and of X9.42 (section 6.4) and
// KCDSA.

// dlType is what these key types differ in.
type dlType struct {
	key ck.KeyType
	// ordered types have the order q of the group, CKA_SUBPRIME.
	ordered bool
	// fits says whether keys can have these lengths in bits; order is 0 if not
	// ordered.
	fits func(prime, order int) bool
	// public computes a public key.
	public func(g *dl.Group, x []byte) ([]byte, error)
	// oids are those of keys, the first one ours.
	oids []string
	// orderLast says that DER parameters are p, g, q and not p, q, g.
	orderLast bool
}

// Object identifiers of keys: RFC 3279, sections 2.3.2 and 2.3.3, and PKCS #3,
// section 9. KCDSA has one of KISA, one of ISO/IEC 14888-3, and one that names
// HAS-160 with it.
const (
	oidDSA       = "1.2.840.10040.4.1"
	oidDH        = "1.2.840.113549.1.3.1"
	oidX942      = "1.2.840.10046.2.1"
	oidKCDSA     = "1.2.410.200004.1.1"
	oidKCDSAISO  = "1.0.14888.3.0.2"
	oidKCDSA1    = "1.2.410.200004.1.21"
	dlMaxKeyBits = dl.MaxBits
)

var (
	dsaType = &dlType{
		key: ck.CKK_DSA, ordered: true, oids: []string{oidDSA}, public: powerOfBase,
		fits: func(prime, order int) bool {
			return prime >= dsaMinBits && prime <= dsaMaxBits && (order == 160 || order == 224 || order == 256)
		},
	}
	dhType = &dlType{
		key: ck.CKK_DH, oids: []string{oidDH}, public: powerOfBase,
		fits: func(prime, _ int) bool { return prime >= dhMinBits && prime <= dlMaxKeyBits },
	}
	x942Type = &dlType{
		key: ck.CKK_X9_42_DH, ordered: true, oids: []string{oidX942}, orderLast: true, public: powerOfBase,
		fits: func(prime, _ int) bool { return prime >= x942MinBits && prime <= dlMaxKeyBits },
	}
	kcdsaType = &dlType{
		key: ck.CKK_KCDSA, ordered: true, oids: []string{oidKCDSA, oidKCDSAISO, oidKCDSA1},
		public: (*dl.Group).PublicKCDSA,
		fits: func(prime, order int) bool {
			return prime >= kcdsaMinBits && prime <= kcdsaMaxBits && order >= 160 && order <= 256 && order%32 == 0
		},
	}
)

func init() { later(dlKeyTypes) }

func dlKeyTypes() {
	for _, t := range []*dlType{dsaType, dhType, x942Type, kcdsaType} {
		registerKeyType(&KeyType{
			Type:           t.key,
			Size:           dlSize,
			Complete:       t.complete,
			PublicInfo:     t.publicInfo,
			OIDs:           t.oids,
			MarshalPKCS8:   t.marshal,
			UnmarshalPKCS8: t.unmarshal, unmarshalPublic: t.unmarshalPublic,
		})
	}
}

func powerOfBase(g *dl.Group, x []byte) ([]byte, error) { return g.Public(x), nil }

// dlSize is the length of the prime in bits.
func dlSize(k *Key) uint64 { return uint64(bitLen(k.Bytes(ck.CKA_PRIME))) }

// bitLen is the length of a big integer in bits.
func bitLen(b []byte) int {
	b = trimZeros(b)
	if len(b) == 0 {
		return 0
	}
	return 8*len(b) - bits.LeadingZeros8(b[0])
}

// dlError gives an error of package dl its code.
func dlError(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, dl.ErrGroup), errors.Is(err, dl.ErrOrder), errors.Is(err, dl.ErrSeed):
		return fmt.Errorf("unusable domain parameters (%v): %w", err, ck.CKR_DOMAIN_PARAMS_INVALID)
	case errors.Is(err, dl.ErrPublic):
		return fmt.Errorf("unusable public key (%v): %w", err, ck.CKR_ATTRIBUTE_VALUE_INVALID)
	case errors.Is(err, dl.ErrPrivate):
		return fmt.Errorf("unusable private key: %w", ck.CKR_ATTRIBUTE_VALUE_INVALID)
	}
	return err
}

// group is the group of a key.
func (t *dlType) group(k *Key) (*dl.Group, error) {
	return Parsed(k, func(k *Key) (*dl.Group, error) { return t.parseGroup(k.Attrs) })
}

// parseGroup is the group of attributes.
func (t *dlType) parseGroup(attrs []ck.Attribute) (*dl.Group, error) {
	var numbers [3][]byte
	for i, a := range t.parameters() {
		if attr := ck.Find(attrs, a); attr != nil {
			numbers[i] = trimZeros(attr.Value)
		}
		if len(numbers[i]) == 0 {
			return nil, fmt.Errorf("%v is missing: %w", a, ck.CKR_TEMPLATE_INCOMPLETE)
		}
	}
	p, g, q := numbers[0], numbers[1], numbers[2]
	if !t.fits(bitLen(p), bitLen(q)) {
		return nil, fmt.Errorf("no keys of this type with a prime of %d bits and an order of %d: %w", bitLen(p), bitLen(q), ck.CKR_KEY_SIZE_RANGE)
	}
	group, err := dl.NewGroup(p, q, g)
	return group, dlError(err)
}

// parameters are the attributes that make a group.
func (t *dlType) parameters() []ck.AttributeType {
	if t.ordered {
		return []ck.AttributeType{ck.CKA_PRIME, ck.CKA_BASE, ck.CKA_SUBPRIME}
	}
	return []ck.AttributeType{ck.CKA_PRIME, ck.CKA_BASE}
}

// attributes are the attributes of a group. They share no memory with it.
func (t *dlType) attributes(g *dl.Group) []ck.Attribute {
	list := []ck.Attribute{
		ck.NewBytes(ck.CKA_PRIME, bytes.Clone(g.P)),
		ck.NewBytes(ck.CKA_BASE, bytes.Clone(g.G)),
	}
	if t.ordered {
		list = append(list, ck.NewBytes(ck.CKA_SUBPRIME, bytes.Clone(g.Q)))
	}
	return list
}

// privateAttributes are those of a private key, the length of whose value a
// Diffie-Hellman key states.
func (t *dlType) privateAttributes(g *dl.Group, x []byte) []ck.Attribute {
	list := append(t.attributes(g), ck.NewBytes(ck.CKA_VALUE, x))
	if t.key == ck.CKK_DH {
		list = append(list, ck.NewULong(ck.CKA_VALUE_BITS, uint64(bitLen(x))))
	}
	return list
}

// complete checks domain parameters and keys.
func (t *dlType) complete(k *Key) ([]ck.Attribute, error) {
	g, err := t.parseGroup(k.Attrs)
	if err != nil || k.Class == ck.CKO_DOMAIN_PARAMETERS {
		if err != nil {
			return nil, err
		}
		return t.attributes(g), nil
	}
	if len(k.Value()) == 0 {
		return nil, fmt.Errorf("CKA_VALUE is missing: %w", ck.CKR_TEMPLATE_INCOMPLETE)
	}
	if k.Class == ck.CKO_PUBLIC_KEY {
		y, err := g.CheckPublic(k.Value())
		if err != nil {
			return nil, dlError(err)
		}
		return append(t.attributes(g), ck.NewBytes(ck.CKA_VALUE, bytes.Clone(y))), nil
	}
	x, err := g.CheckPrivate(k.Value())
	if err != nil {
		return nil, dlError(err)
	}
	return t.privateAttributes(g, x), nil
}

// private is the group and the value of a private key.
func (t *dlType) private(k *Key) (*dl.Group, []byte, error) {
	g, err := t.group(k)
	if err != nil {
		return nil, nil, err
	}
	x, err := g.CheckPrivate(k.Value())
	return g, x, dlError(err)
}

// publicValue is the group and the public value of a public or private key.
func (t *dlType) publicValue(k *Key) (*dl.Group, []byte, error) {
	if k.Class == ck.CKO_PRIVATE_KEY {
		g, x, err := t.private(k)
		if err != nil {
			return nil, nil, err
		}
		y, err := t.public(g, x)
		return g, y, dlError(err)
	}
	g, err := t.group(k)
	if err != nil {
		return nil, nil, err
	}
	y, err := g.CheckPublic(k.Value())
	return g, y, dlError(err)
}

// generatePair makes a key pair with the domain parameters of the public
// template.
func (t *dlType) generatePair(p any, public, private []ck.Attribute) (pub, priv []ck.Attribute, err error) {
	if err := noParam(p); err != nil {
		return nil, nil, err
	}
	g, err := t.parseGroup(public)
	if err != nil {
		return nil, nil, err
	}
	length, err := t.valueBits(g, private)
	if err != nil {
		return nil, nil, err
	}
	x, err := g.NewPrivate(Random, length)
	if err != nil {
		return nil, nil, dlError(err)
	}
	y, err := t.public(g, x)
	if err != nil {
		return nil, nil, dlError(err)
	}
	return append(t.attributes(g), ck.NewBytes(ck.CKA_VALUE, y)), t.privateAttributes(g, x), nil
}

// minValueBits is the least length of the private value of a Diffie-Hellman key
// that one can ask for.
const minValueBits = 160

// valueBits is CKA_VALUE_BITS of a template; 0 if it leaves the length open.
func (t *dlType) valueBits(g *dl.Group, private []ck.Attribute) (int, error) {
	a := ck.Find(private, ck.CKA_VALUE_BITS)
	if a == nil || t.key != ck.CKK_DH {
		return 0, nil
	}
	n, ok := ck.ULong(a.Value)
	if !ok || n < minValueBits || n >= uint64(g.Bits()) {
		return 0, fmt.Errorf("CKA_VALUE_BITS must be %d to %d: %w", minValueBits, g.Bits()-1, ck.CKR_ATTRIBUTE_VALUE_INVALID)
	}
	return int(n), nil
}

// addParameters adds the DER parameters of an algorithm.
func (t *dlType) addParameters(g *dl.Group) func(*cryptobyte.Builder) {
	list := [][]byte{g.P, g.G}
	switch {
	case t.ordered && t.orderLast:
		list = [][]byte{g.P, g.G, g.Q}
	case t.ordered:
		list = [][]byte{g.P, g.Q, g.G}
	}
	return func(b *cryptobyte.Builder) {
		b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
			for _, n := range list {
				addInteger(b, n)
			}
		})
	}
}

// publicInfo is SubjectPublicKeyInfo (RFC 3279; of PKCS #3 keys as OpenSSL and
// Java have it).
func (t *dlType) publicInfo(k *Key) ([]byte, error) {
	g, y, err := t.publicValue(k)
	if err != nil {
		return nil, err
	}
	return publicKeyInfo(t.oids[0], t.addParameters(g), func(b *cryptobyte.Builder) { addInteger(b, y) })
}

// marshal is PrivateKeyInfo with the private value as an INTEGER.
func (t *dlType) marshal(k *Key) ([]byte, error) {
	g, x, err := t.private(k)
	if err != nil {
		return nil, fmt.Errorf("no private key: %w", ck.CKR_KEY_NOT_WRAPPABLE)
	}
	return privateKeyInfo(t.oids[0], t.addParameters(g), func(b *cryptobyte.Builder) { addInteger(b, x) })
}

// readParameters reads the DER parameters of an algorithm.
func (t *dlType) readParameters(der cryptobyte.String) (list []ck.Attribute, ok bool) {
	var numbers [3][]byte
	if !readIntegers(der, numbers[:len(t.parameters())]) {
		return nil, false
	}
	if t.ordered && !t.orderLast {
		numbers[1], numbers[2] = numbers[2], numbers[1]
	}
	for i, a := range t.parameters() {
		list = append(list, ck.NewBytes(a, bytes.Clone(numbers[i])))
	}
	return list, true
}

// unmarshal reads PrivateKeyInfo. What comes after the numbers of a group is not
// needed: the length of private values (PKCS #3), or how the group was made.
func (t *dlType) unmarshal(der []byte) ([]ck.Attribute, error) {
	info, err := parsePrivateKeyInfo(der)
	if err != nil {
		return nil, err
	}
	if !slices.Contains(t.oids, info.oid) {
		return nil, errPKCS8 // the parameters of other types would pass for ours
	}
	list, ok := t.readParameters(info.params)
	var x []byte
	if !ok || !readInteger(&info.key, &x) || !info.key.Empty() {
		return nil, errPKCS8
	}
	return append(list, ck.NewBytes(ck.CKA_VALUE, bytes.Clone(x))), nil
}

// readIntegers reads the first numbers of a SEQUENCE.
func readIntegers(der cryptobyte.String, numbers [][]byte) bool {
	var seq cryptobyte.String
	if !der.ReadASN1(&seq, asn1.SEQUENCE) || !der.Empty() {
		return false
	}
	for i := range numbers {
		if !readInteger(&seq, &numbers[i]) {
			return false
		}
	}
	return true
}

// templateBits reads a length in bits from a template for domain parameters.
func templateBits(template []ck.Attribute, t ck.AttributeType, or int) (int, error) {
	a := ck.Find(template, t)
	if a == nil {
		if or != 0 {
			return or, nil
		}
		return 0, fmt.Errorf("%v is missing: %w", t, ck.CKR_TEMPLATE_INCOMPLETE)
	}
	n, ok := ck.ULong(a.Value)
	if !ok || n > 1<<20 {
		return 0, fmt.Errorf("%v is no length in bits: %w", t, ck.CKR_ATTRIBUTE_VALUE_INVALID)
	}
	return int(n), nil
}

// refuseValues refuses a template that has what is to be generated.
func refuseValues(template []ck.Attribute, types ...ck.AttributeType) error {
	for _, t := range types {
		if ck.Find(template, t) != nil {
			return fmt.Errorf("%v is what this mechanism makes: %w", t, ck.CKR_ATTRIBUTE_READ_ONLY)
		}
	}
	return nil
}
