package engine

import (
	"fmt"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/engine/internal/mont"
)

// Menezes-Qu-Vanstone key agreement (PKCS#11 v3.2, section 6.3; SP 800-56A,
// section 5.7.2.3): each party has two key pairs, one that lasts and one for the
// occasion, and the secret depends on all four.

// ECMQVDeriveParams is CK_ECMQV_DERIVE_PARAMS. The base key is our lasting
// private key, PrivateData the one for the occasion, with its public key;
// PublicData and PublicData2 are the other party's points in the same order.
type ECMQVDeriveParams struct {
	KDF            ck.KDF
	SharedData     []byte `c:"len,ptr"`
	PublicData     []byte `c:"len,ptr"`
	PrivateDataLen uint64
	PrivateData    ck.ObjectHandle
	PublicData2    []byte `c:"len,ptr"`
	PublicKey      ck.ObjectHandle
}

func init() { later(ecMqvMechanisms) }

func ecMqvMechanisms() {
	row := ecRow(&Mechanism{
		Type:     ck.CKM_ECMQV_DERIVE,
		Param:    (*ECMQVDeriveParams)(nil),
		Vectors:  "SEC GEC 2 (secp160r1)",
		Derive:   mqvDerive,
		SelfTest: testMQV,
	})
	row.Approve = approveAll(approveCurve, approveKDF)
	register(row)
}

func mqvDerive(base *Key, p any, d *Derivation) ([]byte, error) {
	params, err := structParam[ECMQVDeriveParams](p)
	if err != nil {
		return nil, err
	}
	if err := checkECKDF(params.KDF, params.SharedData, d.Len); err != nil {
		return nil, err
	}
	own, err := mqvOwn(base, d.Keys)
	if err != nil {
		return nil, err
	}
	defer clear(own)
	c, err := ecCurve(base)
	if err != nil {
		return nil, err
	}
	secret, ok := mqvSecret(c, own, params.PublicData, params.PublicData2)
	if !ok {
		return nil, errPublicData
	}
	return deriveECKey(params.KDF, secret, params.SharedData, d.Len)
}

// mqvOwn is our half of the agreement, the implicit signature: the private value
// for the occasion, plus the lasting one times the associate value of the point
// for the occasion.
func mqvOwn(base *Key, keys []*Key) ([]byte, error) {
	c, lasting, err := parseECPrivate(base)
	if err != nil {
		return nil, err
	}
	if len(keys) == 0 || keys[0] == nil || keys[0].Class != ck.CKO_PRIVATE_KEY || keys[0].Type != ck.CKK_EC {
		return nil, fmt.Errorf("the second private key is missing: %w", ck.CKR_MECHANISM_PARAM_INVALID)
	}
	defer clear(lasting)
	c2, occasional, err := parseECPrivate(keys[0])
	if err != nil {
		return nil, err
	}
	defer clear(occasional)
	if string(c2.params()) != string(c.params()) {
		return nil, fmt.Errorf("the second private key is on another curve: %w", ck.CKR_KEY_TYPE_INCONSISTENT)
	}
	point, err := c.pointOf(occasional)
	if err != nil {
		return nil, err
	}
	f, err := newScalarField(c.group())
	if err != nil {
		return nil, errCurve
	}
	var sum, d, x mont.Element
	f.Set(&sum, occasional)
	f.Set(&d, lasting)
	f.Set(&x, f.associate(point))
	f.Mul(&d, &d, &x)
	f.Add(&sum, &sum, &d)
	return f.bytes(&sum), nil
}

// mqvSecret is the x coordinate of our half times the other party's.
func mqvSecret(c *curve, own, lasting, occasional []byte) ([]byte, bool) {
	g := c.group()
	q, err := c.parsePoint(lasting)
	if err != nil || !g.InSubgroup(q) {
		return nil, false
	}
	r, err := c.parsePoint(occasional)
	if err != nil || !g.InSubgroup(r) {
		return nil, false
	}
	f, err := newScalarField(g)
	if err != nil {
		return nil, false
	}
	sum, ok := g.Mult(f.associate(r), q)
	if ok {
		sum, ok = g.Add(sum, r)
	}
	if ok {
		sum, ok = clearCofactor(g, sum)
	}
	if ok {
		sum, ok = g.Mult(own, sum)
	}
	if !ok {
		return nil, false
	}
	return sum[1 : 1+len(sum)/2], true
}

// associate is the associate value of a point: the lower half of the bits of
// its x coordinate, as the order counts them, with the next bit set.
func (f *scalarField) associate(point []byte) []byte {
	x := point[1 : 1+len(point)/2]
	half := (f.bits + 1) / 2
	value := make([]byte, len(f.order))
	n := min(len(x), half/8+1)
	copy(value[len(value)-n:], x[len(x)-n:])
	top := len(value) - 1 - half/8
	value[top] &= 1<<(half%8) - 1
	value[top] |= 1 << (half % 8)
	return value
}
