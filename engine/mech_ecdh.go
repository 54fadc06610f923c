package engine

import (
	"crypto/ecdh"
	"crypto/elliptic"
	"fmt"

	"github.com/perilune/perilune/cryptoki/ck"
)

// Elliptic curve Diffie-Hellman (PKCS#11 v3.2, section 6.3).

// ECDH1DeriveParams is CK_ECDH1_DERIVE_PARAMS (PKCS#11 v3.1, section 6.3).
type ECDH1DeriveParams struct {
	KDF        ck.KDF
	SharedData []byte `c:"len,ptr"`
	PublicData []byte `c:"len,ptr"`
}

func init() { later(ecdhMechanisms) }

func ecdhMechanisms() {
	register(
		agreement((*ecdhKey).agree).row(ck.CKM_ECDH1_DERIVE, ck.CKK_EC, ck.CKK_EC_MONTGOMERY, ck.CKK_BIP32),
		agreement((*ecdhKey).agreeWithCofactor).row(ck.CKM_ECDH1_COFACTOR_DERIVE, ck.CKK_EC, ck.CKK_BIP32),
	)
}

// agreement finds the secret shared with the holder of a public key.
type agreement func(k *ecdhKey, public []byte) ([]byte, error)

func (agree agreement) row(m ck.MechanismType, keys ...ck.KeyType) *Mechanism {
	row := ecRow(&Mechanism{
		Type:          m,
		Param:         (*ECDH1DeriveParams)(nil),
		Vectors:       "NIST CAVP; RFC 7027; RFC 7748; Wycheproof",
		Derive:        agree.derive,
		Encapsulate:   agree.encapsulate,
		CiphertextLen: ecdhCiphertextLen,
		Decapsulate:   agree.decapsulate,
		SelfTest:      func() error { return testECDH(m) },
	})
	row.Keys, row.Approve = keys, approveAll(approveCurve, approveKDF)
	return row
}

// maxDerived bounds what one derivation gives.
const maxDerived = 1 << 20

func (agree agreement) derive(base *Key, p any, d *Derivation) ([]byte, error) {
	params, err := structParam[ECDH1DeriveParams](p)
	if err != nil {
		return nil, err
	}
	if err := checkECKDF(params.KDF, params.SharedData, d.Len); err != nil {
		return nil, err
	}
	key, err := ecdhPrivate(base)
	if err != nil {
		return nil, err
	}
	secret, err := agree(key, params.PublicData)
	if err != nil {
		return nil, err
	}
	return deriveECKey(params.KDF, secret, params.SharedData, d.Len)
}

// As a KEM, the ciphertext is the public key of a pair made for the occasion,
// and the parameter has none. It is written as C_DeriveKey takes it.

// kemParams is the parameter of a KEM.
func kemParams(p any, d *Derivation) (*ECDH1DeriveParams, error) {
	params, err := structParam[ECDH1DeriveParams](p)
	if err != nil {
		return nil, err
	}
	if len(params.PublicData) > 0 {
		return nil, errKEMPublicData
	}
	return params, checkECKDF(params.KDF, params.SharedData, d.Len)
}

func ecdhCiphertextLen(public *Key, _ any) (int, error) {
	c, err := ecCurve(public)
	if err != nil {
		return 0, err
	}
	if c.group == nil {
		return c.size, nil
	}
	return 1 + 2*c.size, nil
}

func (agree agreement) encapsulate(public *Key, p any, d *Derivation) (ciphertext, secret []byte, err error) {
	params, err := kemParams(p, d)
	if err != nil {
		return nil, nil, err
	}
	c, err := ecCurve(public)
	if err != nil {
		return nil, nil, err
	}
	value, point, err := c.generate()
	if err != nil {
		return nil, nil, fmt.Errorf("cannot generate a key: %w", ck.CKR_FUNCTION_FAILED)
	}
	defer clear(value)
	key, err := newECDHKey(c, value)
	if err != nil {
		return nil, nil, err
	}
	z, err := agree(key, public.Bytes(ck.CKA_EC_POINT))
	if err != nil {
		return nil, nil, fmt.Errorf("unusable EC public key: %w", ck.CKR_KEY_TYPE_INCONSISTENT)
	}
	secret, err = deriveECKey(params.KDF, z, params.SharedData, d.Len)
	return point, secret, err
}

func (agree agreement) decapsulate(private *Key, p any, d *Derivation, ciphertext []byte) ([]byte, error) {
	params, err := kemParams(p, d)
	if err != nil {
		return nil, err
	}
	key, err := ecdhPrivate(private)
	if err != nil {
		return nil, err
	}
	if n, err := ecdhCiphertextLen(private, p); err != nil || len(ciphertext) != n {
		return nil, ck.CKR_ENCRYPTED_DATA_LEN_RANGE
	}
	secret, err := agree(key, ciphertext)
	if err != nil {
		return nil, fmt.Errorf("the ciphertext is no point of the curve: %w", ck.CKR_ENCRYPTED_DATA_INVALID)
	}
	return deriveECKey(params.KDF, secret, params.SharedData, d.Len)
}

// ecdhKey is a private key ready for key agreement.
type ecdhKey struct {
	curve *curve
	std   *ecdh.PrivateKey // of a curve of crypto/ecdh, or nil
	value []byte
	// x448 is the private value on curve448, which crypto/ecdh leaves out.
	x448 []byte
}

func ecdhPrivate(k *Key) (*ecdhKey, error) {
	return Parsed(k, func(k *Key) (*ecdhKey, error) {
		c, err := parseCurve(k)
		if err != nil {
			return nil, err
		}
		value, err := c.privateValue(k.Value())
		if err != nil {
			return nil, err
		}
		return newECDHKey(c, value)
	})
}

func newECDHKey(c *curve, value []byte) (*ecdhKey, error) {
	if c.key == ck.CKK_EC_MONTGOMERY && c.is448() {
		return &ecdhKey{curve: c, x448: value}, nil
	}
	key := &ecdhKey{curve: c, value: value}
	if std := c.ecdh(); std != nil {
		var err error
		if key.std, err = std.NewPrivateKey(value); err != nil {
			return nil, errUnusablePrivate
		}
		return key, nil
	}
	if c.group == nil || !isScalar(c.group(), value) {
		return nil, errUnusablePrivate
	}
	return key, nil
}

// ecdh is the curve of crypto/ecdh, or nil.
func (c *curve) ecdh() ecdh.Curve {
	switch {
	case c.key == ck.CKK_EC_MONTGOMERY && c.size == 32:
		return ecdh.X25519()
	case !c.standardServes():
		return nil
	case c.nist == elliptic.P256():
		return ecdh.P256()
	case c.nist == elliptic.P384():
		return ecdh.P384()
	case c.nist == elliptic.P521():
		return ecdh.P521()
	}
	return nil
}

var errPublicData = fmt.Errorf("the other party's public key: %w: %w", ErrPoint, ck.CKR_MECHANISM_PARAM_INVALID)

// agree returns the shared secret with the point of the other party. The
// result zero, which X25519 gives for points of small order, is refused.
func (e *ecdhKey) agree(public []byte) ([]byte, error) { return e.multiply(public, false) }

// agreeWithCofactor multiplies by the cofactor too.
func (e *ecdhKey) agreeWithCofactor(public []byte) ([]byte, error) { return e.multiply(public, true) }

func (e *ecdhKey) multiply(public []byte, cofactor bool) ([]byte, error) {
	point, err := e.curve.parsePoint(public)
	if err != nil {
		return nil, errPublicData
	}
	if e.x448 != nil {
		return agreeX448(e.x448, point)
	}
	if e.std == nil {
		return agreeInGroup(e.curve.group(), e.value, point, cofactor)
	}
	peer, err := e.std.Curve().NewPublicKey(point)
	if err != nil {
		return nil, errPublicData
	}
	secret, err := e.std.ECDH(peer)
	if err != nil {
		return nil, errPublicData
	}
	return secret, nil
}

// agreeInGroup multiplies by the cofactor first, which leads into the subgroup
// from wherever the point is. Without the cofactor it must be there already.
func agreeInGroup(g group, value, point []byte, cofactor bool) ([]byte, error) {
	ok := true
	if cofactor {
		point, ok = clearCofactor(g, point)
	} else {
		ok = g.InSubgroup(point)
	}
	if !ok {
		return nil, errPublicData
	}
	product, ok := g.Mult(value, point)
	if !ok {
		return nil, errPublicData
	}
	return product[1 : 1+len(product)/2], nil
}

// clearCofactor multiplies a point by the cofactor; ok is false for points of
// small order.
func clearCofactor(g group, point []byte) (_ []byte, ok bool) {
	h := g.Cofactor()
	if h == 1 {
		return point, true
	}
	k := make([]byte, len(g.Order()))
	for i := len(k) - 1; i >= 0; i-- {
		k[i] = byte(h)
		h >>= 8
	}
	return g.Mult(k, point)
}
