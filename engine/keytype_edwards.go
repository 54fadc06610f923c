package engine

import (
	"bytes"
	"crypto/ecdh"
	"crypto/ed25519"
	"math/big"

	"github.com/cloudflare/circl/dh/x448"
	"github.com/cloudflare/circl/ecc/goldilocks"
	"github.com/cloudflare/circl/sign/ed448"

	"github.com/perilune/perilune/cryptoki/ck"
)

// Keys on the curves of RFC 7748 and RFC 8032, whose private values and points
// are plain strings.

// is448 tells the larger curves from the smaller ones.
func (c *curve) is448() bool { return c.bits == 448 }

// edwardsPointOf computes the public key of a private value of the right
// length.
func (c *curve) edwardsPointOf(value []byte) ([]byte, error) {
	switch {
	case len(value) != c.size:
		return nil, errPrivateValue
	case c.key == ck.CKK_EC_EDWARDS && c.is448():
		return ed448.NewKeyFromSeed(value).Public().(ed448.PublicKey), nil
	case c.key == ck.CKK_EC_EDWARDS:
		return ed25519.NewKeyFromSeed(value).Public().(ed25519.PublicKey), nil
	case c.is448():
		var public, secret x448.Key
		copy(secret[:], value)
		x448.KeyGen(&public, &secret)
		return public[:], nil
	}
	priv, err := ecdh.X25519().NewPrivateKey(value)
	if err != nil {
		return nil, errPrivateValue
	}
	return priv.PublicKey().Bytes(), nil
}

// clamp sets the bits of a private value that RFC 7748, section 5, sets at each
// use.
func (c *curve) clamp(value []byte) {
	if c.is448() {
		value[0] &= 252
		value[55] |= 128
		return
	}
	value[0] &= 248
	value[31] = value[31]&127 | 64
}

// onEdwards reports whether b decodes to a point of the Edwards curve.
func (c *curve) onEdwards(b []byte) bool {
	if c.is448() {
		_, err := goldilocks.FromBytes(b)
		return err == nil
	}
	return onEdwards25519(b)
}

// onEdwards25519 reports whether b decodes to a point (RFC 8032, section
// 5.1.3): x^2 = (y^2 - 1) / (d y^2 + 1) has a solution. Points are public.
func onEdwards25519(b []byte) bool {
	p := new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 255), big.NewInt(19))
	d := new(big.Int).Mul(big.NewInt(-121665), new(big.Int).ModInverse(big.NewInt(121666), p))

	y := bytes.Clone(b)
	for i, j := 0, len(y)-1; i < j; i, j = i+1, j-1 {
		y[i], y[j] = y[j], y[i]
	}
	sign := y[0] >> 7
	y[0] &= 0x7f
	yy := new(big.Int).SetBytes(y)
	if yy.Cmp(p) >= 0 {
		return false
	}
	yy.Mul(yy, yy)
	u := new(big.Int).Sub(yy, big.NewInt(1))
	v := new(big.Int).Mul(yy, d)
	v.Add(v, big.NewInt(1)).Mod(v, p) // never 0: d is no square
	u.Mul(u, v.ModInverse(v, p)).Mod(u, p)
	return new(big.Int).ModSqrt(u, p) != nil && !(u.Sign() == 0 && sign == 1)
}
