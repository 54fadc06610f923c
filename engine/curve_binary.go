package engine

import (
	"errors"
	"math/big"
	"slices"
	"sync"

	"golang.org/x/crypto/cryptobyte"
	tag "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/engine/internal/ec2m"
)

// The curves over binary fields that package ec2m computes with.

// binaryCurves are the named ones among the curves.
var binaryCurves = sync.OnceValue(func() (list []binaryCurve) {
	for _, d := range ec2m.Curves {
		c := &curve{key: ck.CKK_EC, names: d.Names, oids: d.OIDs, bits: d.M, size: (d.M + 7) / 8}
		c.group = sync.OnceValue(func() group { return binaryGroup{d.Curve()} })
		list = append(list, binaryCurve{c, d.Curve})
	}
	return list
})

type binaryCurve struct {
	*curve
	arithmetic func() *ec2m.Curve
}

// binaryGroup is the arithmetic of one curve as the engine wants it.
type binaryGroup struct{ *ec2m.Curve }

func (g binaryGroup) FieldBits() int { return g.Params().M }
func (g binaryGroup) Order() []byte  { return g.Params().N }

func (g binaryGroup) Cofactor() uint64 { return new(big.Int).SetBytes(g.Params().H).Uint64() }

func (g binaryGroup) Decode(b []byte) ([]byte, bool) { return found(g.Curve.Decode(b)) }

func (g binaryGroup) BaseMult(k []byte) ([]byte, bool) { return found(g.ScalarBaseMult(k)) }

func (g binaryGroup) Mult(k, point []byte) ([]byte, bool) { return found(g.ScalarMult(point, k)) }

func (g binaryGroup) Add(p, q []byte) ([]byte, bool) { return found(g.Curve.Add(p, q)) }

func (g binaryGroup) Combine(u, v, point []byte) ([]byte, bool) {
	return found(g.CombinedMult(u, point, v))
}

func found(point []byte, err error) ([]byte, bool) { return point, err == nil }

// Object identifiers of explicit parameters (RFC 3279, section 2.3.5). Normal
// bases are not known here.
const (
	binaryField      = "1.2.840.10045.1.2"
	trinomialBasis   = "1.2.840.10045.1.2.3.2"
	pentanomialBasis = "1.2.840.10045.1.2.3.3"
)

// curveByBinaryParameters finds or makes the curve with explicit parameters:
// those of the field, and what follows it.
func curveByBinaryParameters(field, rest cryptobyte.String) (*curve, error) {
	var params ec2m.Params
	if err := readBinaryField(field, &params); err != nil {
		return nil, err
	}
	var coefficients cryptobyte.String
	if !rest.ReadASN1(&coefficients, tag.SEQUENCE) ||
		!readOctets(&coefficients, &params.A) || !readOctets(&coefficients, &params.B) ||
		!coefficients.SkipOptionalASN1(tag.BIT_STRING) || !coefficients.Empty() || // the seed
		!readOctets(&rest, &params.G) || !readInteger(&rest, &params.N) ||
		rest.PeekASN1Tag(tag.INTEGER) && !readInteger(&rest, &params.H) ||
		!rest.SkipOptionalASN1(tag.SEQUENCE) || !rest.Empty() { // a hash, in X9.62:2005
		return nil, errECParams
	}
	return binaryCurveOf(&params)
}

// readBinaryField reads Characteristic-two.
func readBinaryField(field cryptobyte.String, params *ec2m.Params) error {
	var two, terms cryptobyte.String
	var basis string
	if !field.ReadASN1(&two, tag.SEQUENCE) || !field.Empty() ||
		!two.ReadASN1Integer(&params.M) || !readOID(&two, &basis) {
		return errECParams
	}
	if params.M > ecMaxBits {
		return errCurve
	}
	count := 1
	switch basis {
	case trinomialBasis:
		terms = two
	case pentanomialBasis:
		count = 3
		if !two.ReadASN1(&terms, tag.SEQUENCE) || !two.Empty() {
			return errECParams
		}
	default:
		return errCurve
	}
	params.Middle = make([]int, count)
	for i := range params.Middle {
		if !terms.ReadASN1Integer(&params.Middle[i]) {
			return errECParams
		}
	}
	if !terms.Empty() {
		return errECParams
	}
	slices.Reverse(params.Middle)
	return nil
}

// binaryCurveOf finds or makes the curve with the parameters that somebody
// gives. As with prime curves, a known equation comes with its own base only.
func binaryCurveOf(params *ec2m.Params) (*curve, error) {
	for _, c := range binaryCurves() {
		if !c.sameEquation(params) {
			continue
		}
		if !c.sameBase(params) {
			return nil, errDomain
		}
		return c.curve, nil
	}
	return userCurves.find(string(binaryParameters(params)), func() (*curve, error) { return userBinaryCurve(params) })
}

func (c binaryCurve) sameEquation(params *ec2m.Params) bool {
	if c.bits != params.M {
		return false
	}
	own := c.arithmetic().Params()
	return slices.Equal(own.Middle, params.Middle) && sameNumber(own.A, params.A) && sameNumber(own.B, params.B)
}

func (c binaryCurve) sameBase(params *ec2m.Params) bool {
	own := c.arithmetic().Params()
	base, err := c.decodePoint(params.G)
	return err == nil && slices.Equal(base, own.G) && sameNumber(params.N, own.N) &&
		(params.H == nil || sameNumber(params.H, own.H))
}

func userBinaryCurve(params *ec2m.Params) (*curve, error) {
	c, err := ec2m.New(*params)
	if errors.Is(err, ec2m.ErrUnsupported) {
		return nil, errCurve
	}
	if err != nil {
		return nil, errDomain
	}
	return &curve{
		key:          ck.CKK_EC,
		names:        []string{"user-defined curve"},
		bits:         params.M,
		size:         c.Size(),
		group:        func() group { return binaryGroup{c} },
		ecParameters: binaryParameters(c.Params()),
	}, nil
}

// binaryParameters writes ECParameters of a curve over a binary field.
func binaryParameters(params *ec2m.Params) []byte {
	var b cryptobyte.Builder
	size := (max(0, params.M) + 7) / 8
	b.AddASN1(tag.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1Uint64(1)
		b.AddASN1(tag.SEQUENCE, func(b *cryptobyte.Builder) {
			addOID(b, binaryField)
			b.AddASN1(tag.SEQUENCE, func(b *cryptobyte.Builder) { addCharacteristicTwo(b, params) })
		})
		b.AddASN1(tag.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1OctetString(padded(params.A, size))
			b.AddASN1OctetString(padded(params.B, size))
		})
		b.AddASN1OctetString(params.G)
		addInteger(b, params.N)
		addInteger(b, params.H)
	})
	return b.BytesOrPanic()
}

func addCharacteristicTwo(b *cryptobyte.Builder, params *ec2m.Params) {
	b.AddASN1Int64(int64(params.M))
	if len(params.Middle) == 1 {
		addOID(b, trinomialBasis)
		b.AddASN1Int64(int64(params.Middle[0]))
		return
	}
	addOID(b, pentanomialBasis)
	b.AddASN1(tag.SEQUENCE, func(b *cryptobyte.Builder) {
		for _, k := range slices.Backward(params.Middle) {
			b.AddASN1Int64(int64(k))
		}
	})
}
