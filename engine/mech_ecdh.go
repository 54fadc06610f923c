package engine

import (
	"crypto/ecdh"
	"encoding/binary"
	"fmt"
	"hash"

	"filippo.io/nistec"

	"github.com/perilune/perilune/cryptoki/ck"
)

// Elliptic curve Diffie-Hellman (PKCS#11 v3.1, section 6.3).

// ECDH1DeriveParams is CK_ECDH1_DERIVE_PARAMS (PKCS#11 v3.1, section 6.3).
type ECDH1DeriveParams struct {
	KDF        ck.KDF
	SharedData []byte `c:"len,ptr"`
	PublicData []byte `c:"len,ptr"`
}

func init() {
	for _, m := range []ck.MechanismType{
		ck.CKM_ECDH1_DERIVE,
		ck.CKM_ECDH1_COFACTOR_DERIVE, // the same: all our curves with points have cofactor 1
	} {
		register(&Mechanism{
			Type:  m,
			Param: (*ECDH1DeriveParams)(nil),
			Keys:  []ck.KeyType{ck.CKK_EC, ck.CKK_EC_MONTGOMERY},
			Min:   ecMinBits, Max: ecMaxBits, Flags: ecFlags, FIPS: true,
			Derive:   ecdhDerive,
			SelfTest: testECDH,
		})
	}
}

// ecKDF is a key derivation function of ECDH.
type ecKDF struct {
	hash ck.MechanismType
	// counterFirst tells the function of SP 800-56C, one-step, from that of
	// ANSI X9.63: the counter goes before the shared secret.
	counterFirst bool
}

var ecKDFs = map[ck.KDF]ecKDF{
	ck.CKD_SHA1_KDF:           {ck.CKM_SHA_1, false},
	ck.CKD_SHA224_KDF:         {ck.CKM_SHA224, false},
	ck.CKD_SHA256_KDF:         {ck.CKM_SHA256, false},
	ck.CKD_SHA384_KDF:         {ck.CKM_SHA384, false},
	ck.CKD_SHA512_KDF:         {ck.CKM_SHA512, false},
	ck.CKD_SHA3_224_KDF:       {ck.CKM_SHA3_224, false},
	ck.CKD_SHA3_256_KDF:       {ck.CKM_SHA3_256, false},
	ck.CKD_SHA3_384_KDF:       {ck.CKM_SHA3_384, false},
	ck.CKD_SHA3_512_KDF:       {ck.CKM_SHA3_512, false},
	ck.CKD_SHA1_KDF_SP800:     {ck.CKM_SHA_1, true},
	ck.CKD_SHA224_KDF_SP800:   {ck.CKM_SHA224, true},
	ck.CKD_SHA256_KDF_SP800:   {ck.CKM_SHA256, true},
	ck.CKD_SHA384_KDF_SP800:   {ck.CKM_SHA384, true},
	ck.CKD_SHA512_KDF_SP800:   {ck.CKM_SHA512, true},
	ck.CKD_SHA3_224_KDF_SP800: {ck.CKM_SHA3_224, true},
	ck.CKD_SHA3_256_KDF_SP800: {ck.CKM_SHA3_256, true},
	ck.CKD_SHA3_384_KDF_SP800: {ck.CKM_SHA3_384, true},
	ck.CKD_SHA3_512_KDF_SP800: {ck.CKM_SHA3_512, true},
}

// maxDerived bounds what one derivation gives.
const maxDerived = 1 << 20

func ecdhDerive(base *Key, p any, d *Derivation) ([]byte, error) {
	params, err := structParam[ECDH1DeriveParams](p)
	if err != nil {
		return nil, err
	}
	kdf, known := ecKDFs[params.KDF]
	plain := params.KDF == ck.CKD_NULL
	if !known && !plain || plain && len(params.SharedData) > 0 {
		return nil, fmt.Errorf("unknown key derivation function, or shared data without one: %w", ck.CKR_MECHANISM_PARAM_INVALID)
	}
	if d.Len < 0 || d.Len > maxDerived {
		return nil, ck.CKR_KEY_SIZE_RANGE
	}
	key, err := ecdhPrivate(base)
	if err != nil {
		return nil, err
	}
	secret, err := key.agree(params.PublicData)
	if err != nil {
		return nil, err
	}
	if plain {
		return lastBytes(secret, d.Len)
	}
	defer clear(secret)
	if d.Len == 0 {
		return nil, fmt.Errorf("CKA_VALUE_LEN is missing: %w", ck.CKR_TEMPLATE_INCOMPLETE)
	}
	return kdf.derive(secret, params.SharedData, d.Len), nil
}

// lastBytes truncates a shared secret to n bytes (all of it for 0), from the
// leading end as the standard says.
func lastBytes(secret []byte, n int) ([]byte, error) {
	if n == 0 {
		return secret, nil
	}
	if n > len(secret) {
		return nil, fmt.Errorf("the shared secret has %d bytes only: %w", len(secret), ck.CKR_KEY_SIZE_RANGE)
	}
	return secret[len(secret)-n:], nil
}

func (f ecKDF) derive(secret, info []byte, n int) []byte {
	h := findHash(f.hash)
	return concatKDF(h.new(), secret, info, n, f.counterFirst)
}

// concatKDF hashes secret, a counter from 1 and info until there are n bytes:
// ANSI X9.63 (SEC 1, section 3.6.1), or with the counter in front NIST SP
// 800-56C, section 4.1, option 1.
func concatKDF(h hash.Hash, secret, info []byte, n int, counterFirst bool) []byte {
	out := make([]byte, 0, n+h.Size())
	var counter [4]byte
	for i := uint32(1); len(out) < n; i++ {
		binary.BigEndian.PutUint32(counter[:], i)
		h.Reset()
		if counterFirst {
			h.Write(counter[:])
			h.Write(secret)
		} else {
			h.Write(secret)
			h.Write(counter[:])
		}
		h.Write(info)
		out = h.Sum(out)
	}
	return out[:n:n]
}

// ecdhKey is a private key ready for key agreement.
type ecdhKey struct {
	curve *curve
	std   *ecdh.PrivateKey
	// p224 is the private value on the curve that crypto/ecdh leaves out.
	p224 []byte
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
	std := c.ecdh()
	if std == nil {
		if _, err := c.pointOf(value); err != nil || c.bits != 224 {
			return nil, fmt.Errorf("unusable EC private key: %w", ck.CKR_KEY_TYPE_INCONSISTENT)
		}
		return &ecdhKey{curve: c, p224: value}, nil
	}
	priv, err := std.NewPrivateKey(value)
	if err != nil {
		return nil, fmt.Errorf("unusable EC private key: %w", ck.CKR_KEY_TYPE_INCONSISTENT)
	}
	return &ecdhKey{curve: c, std: priv}, nil
}

// ecdh is the curve of crypto/ecdh, or nil.
func (c *curve) ecdh() ecdh.Curve {
	switch {
	case c.key == ck.CKK_EC_MONTGOMERY:
		return ecdh.X25519()
	case c.key == ck.CKK_EC && c.bits == 256:
		return ecdh.P256()
	case c.key == ck.CKK_EC && c.bits == 384:
		return ecdh.P384()
	case c.key == ck.CKK_EC && c.bits == 521:
		return ecdh.P521()
	}
	return nil
}

var errPublicData = fmt.Errorf("the other party's public key is no point of the curve: %w", ck.CKR_MECHANISM_PARAM_INVALID)

// agree returns the shared secret with the point of the other party. The
// result zero, which X25519 gives for points of small order, is refused.
func (e *ecdhKey) agree(public []byte) ([]byte, error) {
	point, err := e.curve.parsePoint(public)
	if err != nil {
		return nil, errPublicData
	}
	if e.std == nil {
		return e.agreeP224(point)
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

func (e *ecdhKey) agreeP224(point []byte) ([]byte, error) {
	peer, err := nistec.NewP224Point().SetBytes(point)
	if err != nil {
		return nil, errPublicData
	}
	if _, err := peer.ScalarMult(peer, e.p224); err != nil {
		return nil, errPublicData
	}
	secret, err := peer.BytesX()
	if err != nil {
		return nil, errPublicData
	}
	return secret, nil
}
