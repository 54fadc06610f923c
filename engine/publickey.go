package engine

import (
	"bytes"
	"fmt"
	"slices"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"github.com/perilune/perilune/cryptoki/ck"
)

// What programs need that bring public keys and curves: SubjectPublicKeyInfo
// (RFC 5280, section 4.1) read, and the names of curves.

var (
	errPublicKeyInfo = fmt.Errorf("not a SubjectPublicKeyInfo: %w", ck.CKR_ATTRIBUTE_VALUE_INVALID)
	errAlgorithm     = fmt.Errorf("no keys of this algorithm: %w", ck.CKR_ATTRIBUTE_VALUE_INVALID)
)

// publicInfo is a parsed SubjectPublicKeyInfo.
type publicInfo struct {
	oid    string            // of the algorithm
	params cryptobyte.String // DER, empty if absent
	key    cryptobyte.String
}

// UnmarshalPublicKey reads a SubjectPublicKeyInfo: the type of the key and the
// attributes that make it. Whether they do, KeyType.Complete checks.
func UnmarshalPublicKey(der []byte) (ck.KeyType, []ck.Attribute, error) {
	var seq, algorithm, bits cryptobyte.String
	var info publicInfo
	s := cryptobyte.String(der)
	if !s.ReadASN1(&seq, asn1.SEQUENCE) || !s.Empty() || !seq.ReadASN1(&algorithm, asn1.SEQUENCE) || !readOID(&algorithm, &info.oid) ||
		!seq.ReadASN1(&bits, asn1.BIT_STRING) || !seq.Empty() || len(bits) < 2 || bits[0] != 0 {
		return 0, nil, errPublicKeyInfo
	}
	info.params, info.key = algorithm, bits[1:]
	for _, t := range KeyTypes() {
		if t.unmarshalPublic != nil && slices.Contains(t.OIDs, info.oid) {
			attrs, err := t.unmarshalPublic(&info)
			return t.Type, attrs, err
		}
	}
	return 0, nil, errAlgorithm
}

func unmarshalPublicRSA(info *publicInfo) ([]ck.Attribute, error) {
	var numbers [2][]byte
	if !readIntegers(info.key, numbers[:]) {
		return nil, errPublicKeyInfo
	}
	return []ck.Attribute{
		ck.NewBytes(ck.CKA_MODULUS, bytes.Clone(numbers[0])), ck.NewBytes(ck.CKA_PUBLIC_EXPONENT, bytes.Clone(numbers[1])),
	}, nil
}

// unmarshalPublicEC takes keys whose algorithm is the curve (RFC 8410) too.
func unmarshalPublicEC(info *publicInfo) ([]ck.Attribute, error) {
	params := bytes.Clone(info.params)
	if len(params) == 0 {
		var b cryptobyte.Builder
		addOID(&b, info.oid)
		var err error
		if params, err = built(&b); err != nil {
			return nil, err
		}
	}
	return []ck.Attribute{ck.NewBytes(ck.CKA_EC_PARAMS, params), ck.NewBytes(ck.CKA_EC_POINT, storedPoint(info.key))}, nil
}

func (t *dlType) unmarshalPublic(info *publicInfo) ([]ck.Attribute, error) {
	list, ok := t.readParameters(info.params)
	var y []byte
	if !ok || !readInteger(&info.key, &y) || !info.key.Empty() {
		return nil, errPublicKeyInfo
	}
	return append(list, ck.NewBytes(ck.CKA_VALUE, bytes.Clone(y))), nil
}

func (f *pqcFamily) unmarshalPublic(info *publicInfo) ([]ck.Attribute, error) {
	for _, s := range f.sets {
		if s.oid == info.oid {
			return []ck.Attribute{ck.NewULong(ck.CKA_PARAMETER_SET, s.id), ck.NewBytes(ck.CKA_VALUE, bytes.Clone(info.key))}, nil
		}
	}
	return nil, errAlgorithm
}

// CurveParams is the CKA_EC_PARAMS of a curve by any of its names, and the type
// of its keys.
func CurveParams(name string) (params []byte, t ck.KeyType, ok bool) {
	c, err := curveByName(name)
	if err != nil {
		return nil, 0, false
	}
	return c.params(), c.key, true
}

// CurveNames lists the names of the curve that a CKA_EC_PARAMS means, nil for a
// curve that has none.
func CurveNames(params []byte, t ck.KeyType) []string {
	c, err := parseECParams(params, t)
	if err != nil || len(c.oids) == 0 {
		return nil
	}
	return slices.Clone(c.names)
}
