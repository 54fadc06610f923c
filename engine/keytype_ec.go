package engine

import (
	"bytes"
	"fmt"
	"math/bits"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/engine/internal/ct"
)

func init() { later(ecKeyTypes) }

func ecKeyTypes() {
	registerKeyType(
		ecKeyType(ck.CKK_EC, oidECPublicKey, oidECDH, oidECMQV),
		alsoCalled(ecKeyType(ck.CKK_EC_EDWARDS, oidEd25519, oidEd25519Old, oidEd448), ck.CKK_EC_EDWARDS_OLD),
		alsoCalled(ecKeyType(ck.CKK_EC_MONTGOMERY, oidX25519, oidX25519Old, oidX448), ck.CKK_EC_MONTGOMERY_OLD),
	)
}

func ecKeyType(t ck.KeyType, oids ...string) *KeyType {
	return &KeyType{
		Type:           t,
		Size:           ecSize,
		Complete:       completeEC,
		PublicInfo:     ecPublicInfo,
		OIDs:           oids,
		MarshalPKCS8:   marshalEC,
		UnmarshalPKCS8: func(der []byte) ([]ck.Attribute, error) { return unmarshalEC(der, t) }, unmarshalPublic: unmarshalPublicEC,
	}
}

// Object identifiers of keys on curves with parameters (RFC 5480). The last
// two restrict a key to key agreement; such a restriction is read over.
const (
	oidECPublicKey = "1.2.840.10045.2.1"
	oidECDH        = "1.3.132.1.12"
	oidECMQV       = "1.3.132.1.13"
)

// ecCurve is the curve of a key.
func ecCurve(k *Key) (*curve, error) { return Parsed(k, parseCurve) }

// parseCurve is ecCurve for functions that Parsed calls: it is not to be called
// from within itself.
func parseCurve(k *Key) (*curve, error) {
	t := k.Type
	if t == ck.CKK_BIP32 {
		t = ck.CKK_EC
	}
	return parseECParams(k.Bytes(ck.CKA_EC_PARAMS), t)
}

// ecSize is the length of the field in bits.
func ecSize(k *Key) uint64 {
	c, err := ecCurve(k)
	if err != nil {
		return 0
	}
	return uint64(c.bits)
}

// ecPoint is the point of a public key, or of a private key that has kept it. It
// must be a multiple of the base.
func ecPoint(k *Key, c *curve) ([]byte, error) {
	point, err := c.parsePoint(k.Bytes(ck.CKA_EC_POINT))
	if err != nil {
		return nil, err
	}
	if c.group != nil && !c.group().InSubgroup(point) {
		return nil, errPoint
	}
	return point, nil
}

// ecPublicPoint is the point of a public or private key.
func ecPublicPoint(k *Key, c *curve) ([]byte, error) {
	if len(k.Bytes(ck.CKA_EC_POINT)) > 0 {
		return ecPoint(k, c)
	}
	if len(k.Value()) == 0 {
		return nil, errPoint
	}
	value, err := c.privateValue(k.Value())
	if err != nil {
		return nil, err
	}
	return c.pointOf(value)
}

var errPrivateValue = fmt.Errorf("CKA_VALUE is no private value of the curve: %w", ck.CKR_ATTRIBUTE_VALUE_INVALID)

// privateValue brings a CKA_VALUE to its length: a big integer for the curves
// whose points have coordinates, else the bytes of RFC 7748 and RFC 8032, for
// which some callers pass the OCTET STRING that RFC 8410 has around them.
func (c *curve) privateValue(b []byte) ([]byte, error) {
	size := c.scalarSize()
	if c.group == nil {
		if len(b) == size+2 && b[0] == byte(asn1.OCTET_STRING) && int(b[1]) == size {
			b = b[2:]
		}
		if len(b) != size {
			return nil, errPrivateValue
		}
		return bytes.Clone(b), nil
	}
	for len(b) > size && b[0] == 0 {
		b = b[1:]
	}
	if len(b) > size {
		return nil, errPrivateValue
	}
	return append(make([]byte, size-len(b), size), b...), nil
}

// pointOf computes the point of a private value and checks its range.
func (c *curve) pointOf(value []byte) ([]byte, error) {
	if c.group == nil {
		return c.edwardsPointOf(value)
	}
	g := c.group()
	if !isScalar(g, value) {
		return nil, errPrivateValue
	}
	point, ok := g.BaseMult(value)
	if !ok {
		return nil, errPrivateValue
	}
	ct.Public(point)
	return point, nil
}

// completeEC checks a key and brings it to the form that we keep. A private
// key gets its CKA_EC_POINT too, as clients look for it there.
func completeEC(k *Key) ([]ck.Attribute, error) {
	if len(k.Bytes(ck.CKA_EC_PARAMS)) == 0 {
		return nil, fmt.Errorf("CKA_EC_PARAMS is missing: %w", ck.CKR_TEMPLATE_INCOMPLETE)
	}
	c, err := parseECParams(k.Bytes(ck.CKA_EC_PARAMS), k.Type)
	if err != nil {
		return nil, err
	}
	if k.Class == ck.CKO_PUBLIC_KEY {
		return c.completePublic(k)
	}
	return c.completePrivate(k)
}

func (c *curve) completePublic(k *Key) ([]ck.Attribute, error) {
	if len(k.Bytes(ck.CKA_EC_POINT)) == 0 {
		return nil, fmt.Errorf("CKA_EC_POINT is missing: %w", ck.CKR_TEMPLATE_INCOMPLETE)
	}
	point, err := ecPoint(k, c)
	if err != nil {
		return nil, err
	}
	if c.key == ck.CKK_EC_EDWARDS && !c.onEdwards(point) {
		return nil, errPoint
	}
	return []ck.Attribute{ck.NewBytes(ck.CKA_EC_POINT, storedPoint(point))}, nil
}

func (c *curve) completePrivate(k *Key) ([]ck.Attribute, error) {
	if len(k.Value()) == 0 {
		return nil, fmt.Errorf("CKA_VALUE is missing: %w", ck.CKR_TEMPLATE_INCOMPLETE)
	}
	value, err := c.privateValue(k.Value())
	if err != nil {
		return nil, err
	}
	point, err := c.pointOf(value)
	if err != nil {
		return nil, err
	}
	if len(k.Bytes(ck.CKA_EC_POINT)) > 0 {
		if given, err := ecPoint(k, c); err != nil || !bytes.Equal(given, point) {
			return nil, fmt.Errorf("CKA_EC_POINT does not belong to CKA_VALUE: %w", ck.CKR_ATTRIBUTE_VALUE_INVALID)
		}
	}
	return []ck.Attribute{
		ck.NewBytes(ck.CKA_VALUE, value),
		ck.NewBytes(ck.CKA_EC_POINT, storedPoint(point)),
	}, nil
}

// generateEC makes a key pair on the curve that CKA_EC_PARAMS of the public
// template names (PKCS#11 v3.1, section 6.3).
func generateEC(t ck.KeyType) func(p any, public, private []ck.Attribute) (pub, priv []ck.Attribute, err error) {
	return generateECBy(t, (*curve).generate)
}

// generateECExtraBits does so by another method.
var generateECExtraBits = generateECBy(ck.CKK_EC, (*curve).generateExtraBits)

func generateECBy(t ck.KeyType, generate func(*curve) (value, point []byte, err error)) func(p any, public, private []ck.Attribute) (pub, priv []ck.Attribute, err error) {
	return func(p any, public, _ []ck.Attribute) (pub, priv []ck.Attribute, err error) {
		if err := noParam(p); err != nil {
			return nil, nil, err
		}
		params := ck.Find(public, ck.CKA_EC_PARAMS)
		if params == nil {
			return nil, nil, fmt.Errorf("CKA_EC_PARAMS is missing: %w", ck.CKR_TEMPLATE_INCOMPLETE)
		}
		c, err := parseECParams(params.Value, t)
		if err != nil {
			return nil, nil, err
		}
		value, point, err := generate(c)
		if err != nil {
			return nil, nil, fmt.Errorf("cannot generate a key: %w", ck.CKR_FUNCTION_FAILED)
		}
		pub = []ck.Attribute{
			ck.NewBytes(ck.CKA_EC_PARAMS, bytes.Clone(params.Value)),
			ck.NewBytes(ck.CKA_EC_POINT, storedPoint(point)),
		}
		return pub, append(cloneAttributes(pub), ck.NewBytes(ck.CKA_VALUE, value)), nil
	}
}

// cloneAttributes copies attributes, so that two keys share no memory.
func cloneAttributes(list []ck.Attribute) []ck.Attribute {
	var out []ck.Attribute
	for _, a := range list {
		out = append(out, ck.NewBytes(a.Type, bytes.Clone(a.Value)))
	}
	return out
}

// generate makes a private value by testing candidates (FIPS 186-5, appendix
// A.2.2), and its point.
func (c *curve) generate() (value, point []byte, err error) {
	value = make([]byte, c.scalarSize())
	for {
		if err := Random(value); err != nil {
			return nil, nil, err
		}
		switch {
		case c.group != nil: // as many bits as the order has
			value[0] &= 0xff >> bits.LeadingZeros8(c.group().Order()[0])
		case c.key == ck.CKK_EC_MONTGOMERY:
			c.clamp(value)
		}
		if point, err = c.pointOf(value); err == nil {
			return value, point, nil
		}
	}
}

// generateExtraBits makes a private value of 64 bits more than the order has
// (FIPS 186-5, appendix A.2.1), and its point.
func (c *curve) generateExtraBits() (value, point []byte, err error) {
	wide := make([]byte, c.scalarSize()+8)
	defer clear(wide)
	if err := Random(wide); err != nil {
		return nil, nil, err
	}
	value = reduceToScalar(wide, c.group().Order())
	point, err = c.pointOf(value)
	return value, point, err
}

// reduceToScalar returns b mod (n-1) + 1 in constant time. The modulus is even,
// so this is long division by bits: the remainder is doubled, takes the next
// bit, and loses the modulus if that is not larger.
func reduceToScalar(b, n []byte) []byte {
	m := bytes.Clone(n)
	m[len(m)-1]-- // n is odd
	r := make([]byte, len(m)+1)
	m = append([]byte{0}, m...)
	for i := range 8 * len(b) {
		carry := b[i/8] >> (7 - i%8) & 1
		for j := len(r) - 1; j >= 0; j-- {
			carry, r[j] = r[j]>>7, r[j]<<1|carry
		}
		subtractIfNotLess(r, m)
	}
	carry := 1
	for j := len(r) - 1; j >= 0; j-- {
		carry += int(r[j])
		r[j], carry = byte(carry), carry>>8
	}
	return r[1:]
}

// subtractIfNotLess makes r -= m if r >= m.
func subtractIfNotLess(r, m []byte) {
	borrow := 0
	for j := len(r) - 1; j >= 0; j-- {
		borrow = (int(r[j]) - int(m[j]) - borrow) >> 8 & 1
	}
	mask := byte(borrow - 1)
	borrow = 0
	for j := len(r) - 1; j >= 0; j-- {
		d := int(r[j]) - int(m[j]&mask) - borrow
		r[j], borrow = byte(d), d>>8&1
	}
}

// ecPublicInfo is SubjectPublicKeyInfo (RFC 5480, RFC 8410).
func ecPublicInfo(k *Key) ([]byte, error) {
	c, err := ecCurve(k)
	if err != nil {
		return nil, err
	}
	point, err := ecPublicPoint(k, c)
	if err != nil {
		return nil, err
	}
	return publicKeyInfo(c.algorithm(), c.algorithmParams(), func(b *cryptobyte.Builder) {
		b.AddBytes(point)
	})
}

// algorithm is the OID of keys on c.
func (c *curve) algorithm() string {
	if c.group != nil {
		return oidECPublicKey
	}
	return c.oids[0]
}

// algorithmParams adds the parameters of an AlgorithmIdentifier, if there are
// any.
func (c *curve) algorithmParams() func(*cryptobyte.Builder) {
	if c.group == nil {
		return nil
	}
	return func(b *cryptobyte.Builder) { b.AddBytes(c.params()) }
}

// marshalEC is PrivateKeyInfo with an ECPrivateKey (RFC 5915), which holds the
// point too, or with a CurvePrivateKey (RFC 8410).
func marshalEC(k *Key) ([]byte, error) {
	c, err := ecCurve(k)
	if err != nil {
		return nil, err
	}
	value, err := c.privateValue(k.Value())
	if err != nil {
		return nil, fmt.Errorf("no private key: %w", ck.CKR_KEY_NOT_WRAPPABLE)
	}
	if c.group == nil {
		return privateKeyInfo(c.algorithm(), nil, func(b *cryptobyte.Builder) {
			b.AddASN1OctetString(value)
		})
	}
	point, err := ecPublicPoint(k, c)
	if err != nil {
		return nil, err
	}
	return privateKeyInfo(c.algorithm(), c.algorithmParams(), func(b *cryptobyte.Builder) {
		addECPrivateKey(b, value, point)
	})
}

// Tags of the optional parts of ECPrivateKey.
var (
	tagECParameters = asn1.Tag(0).ContextSpecific().Constructed()
	tagECPublicKey  = asn1.Tag(1).ContextSpecific().Constructed()
)

func addECPrivateKey(b *cryptobyte.Builder, value, point []byte) {
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1Uint64(1)
		b.AddASN1OctetString(value)
		b.AddASN1(tagECPublicKey, func(b *cryptobyte.Builder) {
			b.AddASN1BitString(point)
		})
	})
}

func unmarshalEC(der []byte, t ck.KeyType) ([]ck.Attribute, error) {
	info, err := parsePrivateKeyInfo(der)
	if err != nil {
		return nil, err
	}
	if t == ck.CKK_EC {
		return unmarshalECPrivateKey(info)
	}
	return unmarshalCurvePrivateKey(info)
}

func unmarshalECPrivateKey(info *privateInfo) ([]ck.Attribute, error) {
	var seq, version, value, params, public cryptobyte.String
	var hasPublic bool
	s := info.key
	if !s.ReadASN1(&seq, asn1.SEQUENCE) || !s.Empty() ||
		!seq.ReadASN1(&version, asn1.INTEGER) || string(version) != "\x01" ||
		!seq.ReadASN1(&value, asn1.OCTET_STRING) ||
		!seq.ReadOptionalASN1(&params, nil, tagECParameters) ||
		!seq.ReadOptionalASN1(&public, &hasPublic, tagECPublicKey) || !seq.Empty() {
		return nil, errPKCS8
	}
	params, err := sameECParams(info.params, params)
	if err != nil {
		return nil, err
	}
	list := []ck.Attribute{
		ck.NewBytes(ck.CKA_EC_PARAMS, bytes.Clone(params)),
		ck.NewBytes(ck.CKA_VALUE, bytes.Clone(value)),
	}
	point := info.public
	if hasPublic {
		var bits cryptobyte.String
		if !public.ReadASN1(&bits, asn1.BIT_STRING) || !public.Empty() || len(bits) < 2 || bits[0] != 0 {
			return nil, errPKCS8
		}
		point = bits[1:]
	}
	return withPoint(list, point), nil
}

// sameECParams returns the parameters of the algorithm, or of the key itself
// where the algorithm has none. Where both are there, they mean one curve.
func sameECParams(outer, inner cryptobyte.String) (cryptobyte.String, error) {
	if len(outer) == 0 || bytes.Equal(outer, []byte{5, 0}) {
		outer = inner
	}
	c, err := parseECParams(outer, ck.CKK_EC)
	if err != nil {
		return nil, err
	}
	if len(inner) > 0 {
		if c2, err := parseECParams(inner, ck.CKK_EC); err != nil || !bytes.Equal(c2.params(), c.params()) {
			return nil, errPKCS8
		}
	}
	return outer, nil
}

// withPoint adds the point that came with a private key, for Complete to check.
func withPoint(list []ck.Attribute, point []byte) []ck.Attribute {
	if len(point) == 0 {
		return list
	}
	return append(list, ck.NewBytes(ck.CKA_EC_POINT, bytes.Clone(point)))
}

// unmarshalCurvePrivateKey takes the OCTET STRING in an OCTET STRING of RFC
// 8410; some writers leave out the inner one.
func unmarshalCurvePrivateKey(info *privateInfo) ([]ck.Attribute, error) {
	var b cryptobyte.Builder
	addOID(&b, info.oid)
	params, err := built(&b)
	if err != nil {
		return nil, err
	}
	s, value := info.key, info.key
	var inner cryptobyte.String
	if s.ReadASN1(&inner, asn1.OCTET_STRING) && s.Empty() {
		value = inner
	}
	return withPoint([]ck.Attribute{
		ck.NewBytes(ck.CKA_EC_PARAMS, params),
		ck.NewBytes(ck.CKA_VALUE, bytes.Clone(value)),
	}, info.public), nil
}
