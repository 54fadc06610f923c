package conformance

import (
	"crypto/rsa"
	"crypto/x509"
	_ "embed"
	"encoding/asn1"
	"encoding/pem"
	"sync"

	"github.com/perilune/perilune/cryptoki/ck"
)

// Keys for tests.

var (
	p256 = oid(1, 2, 840, 10045, 3, 1, 7)
	p384 = oid(1, 3, 132, 0, 34)
	p521 = oid(1, 3, 132, 0, 35)
	p224 = oid(1, 3, 132, 0, 33)
)

func oid(n ...int) []byte { return der(asn1.ObjectIdentifier(n)) }

func der(v any) []byte {
	b, err := asn1.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}

// ec generates a key pair on a curve that signs and derives.
func (c *client) ec(params []byte, more ...ck.Attribute) (pub, priv uint64) {
	c.t.Helper()
	return c.pair(ck.CKM_EC_KEY_PAIR_GEN,
		with(yes(ck.CKA_VERIFY), bytesOf(ck.CKA_EC_PARAMS, params)),
		with(with(yes(ck.CKA_SIGN, ck.CKA_DERIVE, ck.CKA_EXTRACTABLE), no(ck.CKA_SENSITIVE)...), more...))
}

// rsa imports a pair of keys of 2048 bits, which is quicker than to generate
// them. They can do everything and be read.
func (c *client) rsa(more ...ck.Attribute) (pub, priv uint64) {
	c.t.Helper()
	k := rsaKey()
	pub = c.object(with(yes(ck.CKA_ENCRYPT, ck.CKA_VERIFY, ck.CKA_VERIFY_RECOVER, ck.CKA_WRAP),
		class(ck.CKO_PUBLIC_KEY), keyType(ck.CKK_RSA), bytesOf(ck.CKA_MODULUS, k.N.Bytes()), bytesOf(ck.CKA_PUBLIC_EXPONENT, []byte{1, 0, 1}))...)
	priv = c.object(with(with(yes(ck.CKA_DECRYPT, ck.CKA_SIGN, ck.CKA_SIGN_RECOVER, ck.CKA_UNWRAP, ck.CKA_EXTRACTABLE), no(ck.CKA_SENSITIVE)...), with(more, rsaPrivate()...)...)...)
	return pub, priv
}

// rsaPrivate are the attributes of the private key that are its material.
func rsaPrivate() []ck.Attribute {
	k := rsaKey()
	return []ck.Attribute{
		class(ck.CKO_PRIVATE_KEY), keyType(ck.CKK_RSA),
		bytesOf(ck.CKA_MODULUS, k.N.Bytes()), bytesOf(ck.CKA_PUBLIC_EXPONENT, []byte{1, 0, 1}), bytesOf(ck.CKA_PRIVATE_EXPONENT, k.D.Bytes()),
		bytesOf(ck.CKA_PRIME_1, k.Primes[0].Bytes()), bytesOf(ck.CKA_PRIME_2, k.Primes[1].Bytes()),
		bytesOf(ck.CKA_EXPONENT_1, k.Precomputed.Dp.Bytes()), bytesOf(ck.CKA_EXPONENT_2, k.Precomputed.Dq.Bytes()), bytesOf(ck.CKA_COEFFICIENT, k.Precomputed.Qinv.Bytes()),
	}
}

//go:embed testdata/rsa2048.pem
var rsaPEM []byte

// rsaKey is a key made for these tests and for nothing else.
var rsaKey = sync.OnceValue(func() *rsa.PrivateKey {
	block, _ := pem.Decode(rsaPEM)
	k, err := x509.ParsePKCS1PrivateKey(block.Bytes)
	if err != nil {
		panic(err)
	}
	return k
})
