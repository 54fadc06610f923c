package engine

import (
	"bytes"
	"crypto/elliptic"
	"errors"
	"fmt"
	"math"
	"math/big"
	"slices"
	"strings"
	"sync"

	"golang.org/x/crypto/cryptobyte"
	tag "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/engine/internal/weierstrass"
)

// Encodings of curves and points: CKA_EC_PARAMS and CKA_EC_POINT (PKCS#11
// v3.1, section 6.3). On input every encoding that clients are known to use is
// understood.

// curves lists the curves that have a name.
var curves = sync.OnceValue(func() (list []*curve) {
	list = plainCurves()
	completeNIST(list)
	for _, c := range binaryCurves() {
		list = append(list, c.curve)
	}
	return append(list, primeCurves()...)
})

// plainCurves are those of the standard library, and those that have no other
// form than one string.
func plainCurves() []*curve {
	return []*curve{
		{key: ck.CKK_EC, names: []string{"secp224r1", "P-224", "wap-wsg-idm-ecid-wtls12"},
			oids: []string{"1.3.132.0.33"}, bits: 224, size: 28, nist: elliptic.P224()},
		{key: ck.CKK_EC, names: []string{"secp256r1", "prime256v1", "P-256"},
			oids: []string{"1.2.840.10045.3.1.7"}, bits: 256, size: 32, nist: elliptic.P256()},
		{key: ck.CKK_EC, names: []string{"secp384r1", "P-384"},
			oids: []string{"1.3.132.0.34"}, bits: 384, size: 48, nist: elliptic.P384()},
		{key: ck.CKK_EC, names: []string{"secp521r1", "P-521"},
			oids: []string{"1.3.132.0.35"}, bits: 521, size: 66, nist: elliptic.P521()},
		{key: ck.CKK_EC_EDWARDS, names: []string{"edwards25519", "Ed25519"},
			oids: []string{oidEd25519, oidEd25519Old}, bits: 255, size: 32},
		{key: ck.CKK_EC_MONTGOMERY, names: []string{"curve25519", "X25519"},
			oids: []string{oidX25519, oidX25519Old}, bits: 255, size: 32},
		{key: ck.CKK_EC_EDWARDS, names: []string{"edwards448", "Ed448"}, oids: []string{oidEd448}, bits: 448, size: 57},
		{key: ck.CKK_EC_MONTGOMERY, names: []string{"curve448", "X448"}, oids: []string{oidX448}, bits: 448, size: 56},
	}
}

// Object identifiers of RFC 8410, and those in use before it.
const (
	oidX25519     = "1.3.101.110"
	oidX25519Old  = "1.3.6.1.4.1.3029.1.5.1"
	oidEd25519    = "1.3.101.112"
	oidEd25519Old = "1.3.6.1.4.1.11591.15.1"
	oidX448       = "1.3.101.111"
	oidEd448      = "1.3.101.113"
)

// ErrPoint is in errors about points that are on no curve, beside a ck.RV.
var ErrPoint = errors.New("not a point of the curve")

var (
	errCurve    = fmt.Errorf("unknown elliptic curve: %w", ck.CKR_CURVE_NOT_SUPPORTED)
	errECParams = fmt.Errorf("malformed CKA_EC_PARAMS: %w", ck.CKR_ATTRIBUTE_VALUE_INVALID)
	errDomain   = fmt.Errorf("the explicit curve parameters are not those of a usable curve: %w", ck.CKR_DOMAIN_PARAMS_INVALID)
	errPoint    = fmt.Errorf("%w: %w", ErrPoint, ck.CKR_ATTRIBUTE_VALUE_INVALID)
)

// parseECParams finds the curve that a CKA_EC_PARAMS of a key of type t means:
// by OID, by name, or by explicit parameters.
func parseECParams(der []byte, t ck.KeyType) (*curve, error) {
	s := cryptobyte.String(der)
	var element cryptobyte.String
	var kind tag.Tag
	if !s.ReadAnyASN1Element(&element, &kind) || !s.Empty() {
		return miscountedName(der, t)
	}
	c, err := parseECParamsElement(element, kind)
	if err != nil {
		return nil, err
	}
	if c.key != t {
		return nil, fmt.Errorf("%s is no curve of this key type: %w", c.names[0], ck.CKR_CURVE_NOT_SUPPORTED)
	}
	return c, nil
}

// miscountedName takes a printable name whose length is one too much, as OpenSC
// (up to 0.23 at least) sends it for curve25519.
func miscountedName(der []byte, t ck.KeyType) (*curve, error) {
	if len(der) < 3 || der[0] != byte(tag.PrintableString) || int(der[1]) != len(der)-1 {
		return nil, errECParams
	}
	c, err := curveByName(string(der[2:]))
	if err != nil || c.key != t {
		return nil, errECParams
	}
	return c, nil
}

func parseECParamsElement(s cryptobyte.String, kind tag.Tag) (*curve, error) {
	switch kind {
	case tag.OBJECT_IDENTIFIER:
		return curveByOID(s)
	case tag.PrintableString, tag.UTF8String, tag.IA5String:
		var name cryptobyte.String
		if !s.ReadASN1(&name, kind) {
			return nil, errECParams
		}
		return curveByName(string(name))
	case tag.SEQUENCE:
		return curveByParameters(s)
	case tag.NULL: // implicitCurve: somebody else knows the curve
		return nil, errCurve
	}
	return nil, errECParams
}

func curveByOID(s cryptobyte.String) (*curve, error) {
	var oid string
	if !readOID(&s, &oid) {
		return nil, errECParams
	}
	for _, c := range curves() {
		if slices.Contains(c.oids, oid) {
			return c, nil
		}
	}
	return nil, errCurve
}

func curveByName(name string) (*curve, error) {
	for _, c := range curves() {
		for _, n := range c.names {
			if strings.EqualFold(n, name) {
				return c, nil
			}
		}
	}
	return nil, errCurve
}

// primeField is the field type of explicit parameters (ANSI X9.62).
const primeField = "1.2.840.10045.1.1"

// curveByParameters takes explicit parameters (ECParameters of RFC 3279, section
// 2.3.5): those of a curve that we know, or of one that somebody has defined.
func curveByParameters(s cryptobyte.String) (*curve, error) {
	var seq, version, field cryptobyte.String
	var fieldType string
	if !s.ReadASN1(&seq, tag.SEQUENCE) || !seq.ReadASN1(&version, tag.INTEGER) ||
		!seq.ReadASN1(&field, tag.SEQUENCE) || !readOID(&field, &fieldType) {
		return nil, errECParams
	}
	if fieldType == binaryField {
		return curveByBinaryParameters(field, seq)
	}
	if fieldType != primeField {
		return nil, errCurve
	}
	params, ok := readPrimeParams(field, seq)
	if !ok {
		return nil, errECParams
	}
	return primeCurveOf(params)
}

// readPrimeParams reads the parameters of the field, and what follows it.
func readPrimeParams(field, rest cryptobyte.String) (*weierstrass.Params, bool) {
	var params weierstrass.Params
	var coefficients cryptobyte.String
	if !readInteger(&field, &params.P) || !field.Empty() || !rest.ReadASN1(&coefficients, tag.SEQUENCE) ||
		!readOctets(&coefficients, &params.A) || !readOctets(&coefficients, &params.B) ||
		!coefficients.SkipOptionalASN1(tag.BIT_STRING) || !coefficients.Empty() || // the seed
		!readOctets(&rest, &params.Base) || !readInteger(&rest, &params.N) {
		return nil, false
	}
	if rest.PeekASN1Tag(tag.INTEGER) {
		var h []byte
		if !readInteger(&rest, &h) {
			return nil, false
		}
		params.H = math.MaxUint64 // of no curve that we take
		if len(h) < 8 {
			params.H = new(big.Int).SetBytes(h).Uint64()
		}
	}
	return &params, rest.SkipOptionalASN1(tag.SEQUENCE) && rest.Empty() // a hash, in X9.62:2005
}

// ecParameters writes ECParameters of a curve over a prime field.
func ecParameters(params *weierstrass.Params, base []byte) []byte {
	var b cryptobyte.Builder
	size := len(trimZeros(params.P))
	b.AddASN1(tag.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1Uint64(1)
		b.AddASN1(tag.SEQUENCE, func(b *cryptobyte.Builder) {
			addOID(b, primeField)
			addInteger(b, params.P)
		})
		b.AddASN1(tag.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1OctetString(padded(params.A, size))
			b.AddASN1OctetString(padded(params.B, size))
		})
		b.AddASN1OctetString(base)
		addInteger(b, params.N)
		b.AddASN1Uint64(params.H)
	})
	return b.BytesOrPanic()
}

// padded brings a number to n bytes, unless it is longer.
func padded(b []byte, n int) []byte {
	b = trimZeros(b)
	return append(make([]byte, max(0, n-len(b)), max(n, len(b))), b...)
}

func readOctets(s *cryptobyte.String, b *[]byte) bool {
	var v cryptobyte.String
	if !s.ReadASN1(&v, tag.OCTET_STRING) {
		return false
	}
	*b = v
	return true
}

// params is the canonical CKA_EC_PARAMS, the OID if there is one.
func (c *curve) params() []byte {
	if c.ecParameters != nil {
		return c.ecParameters
	}
	var b cryptobyte.Builder
	addOID(&b, c.oids[0])
	return b.BytesOrPanic()
}

// parsePoint decodes a CKA_EC_POINT or the public data of a derivation: a
// point as such, or in an OCTET STRING, or in a BIT STRING. For one curve the
// length tells which it is, whatever the first bytes look like. The result is
// the uncompressed point, or the plain string of an Edwards or Montgomery
// curve.
func (c *curve) parsePoint(b []byte) ([]byte, error) {
	if c.hasPointLength(len(b)) {
		return c.decodePoint(b)
	}
	s := cryptobyte.String(b)
	var inner cryptobyte.String
	if s.ReadASN1(&inner, tag.OCTET_STRING) && s.Empty() {
		return c.decodePoint(inner)
	}
	s = cryptobyte.String(b)
	if s.ReadASN1(&inner, tag.BIT_STRING) && s.Empty() && len(inner) > 0 && inner[0] == 0 {
		return c.decodePoint(inner[1:])
	}
	return nil, errPoint
}

func (c *curve) hasPointLength(n int) bool {
	if c.group == nil {
		return n == c.size
	}
	return n == 1+2*c.size || n == 1+c.size
}

// decodePoint decodes a point in uncompressed, compressed or hybrid form
// (SEC 1, section 2.3.4) and checks that it is on the curve.
func (c *curve) decodePoint(b []byte) ([]byte, error) {
	if !c.hasPointLength(len(b)) {
		return nil, errPoint
	}
	if c.group == nil {
		return bytes.Clone(b), nil
	}
	point, ok := c.group().Decode(b)
	if !ok {
		return nil, errPoint
	}
	return point, nil
}

// storedPoint is the CKA_EC_POINT that we keep, for all key types: the point in
// an OCTET STRING. Version 2.40 demands that for CKK_EC; for the others the
// versions of the standard differ, and this is the form that every client
// takes.
func storedPoint(point []byte) []byte {
	var b cryptobyte.Builder
	b.AddASN1OctetString(point)
	return b.BytesOrPanic()
}
