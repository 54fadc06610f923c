package engine

import (
	"bytes"
	"fmt"
	"math/bits"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/engine/internal/ct"
	"github.com/perilune/perilune/engine/internal/rsacore"
)

func init() { later(rsaKeyTypes) }

func rsaKeyTypes() {
	registerKeyType(&KeyType{
		Type:           ck.CKK_RSA,
		Size:           rsaSize,
		Complete:       completeRSA,
		PublicInfo:     rsaPublicInfo,
		OIDs:           []string{oidRSA, oidRSAOAEP, oidRSAPSS},
		MarshalPKCS8:   marshalRSA,
		UnmarshalPKCS8: unmarshalRSA, unmarshalPublic: unmarshalPublicRSA,
	})
}

// Object identifiers of RSA keys (RFC 8017, appendix C). The last two restrict
// a key to one padding; such a restriction is read over.
const (
	oidRSA     = "1.2.840.113549.1.1.1"
	oidRSAOAEP = "1.2.840.113549.1.1.7"
	oidRSAPSS  = "1.2.840.113549.1.1.10"
)

// rsaSize is the length of the modulus in bits.
func rsaSize(k *Key) uint64 {
	n := trimZeros(k.Bytes(ck.CKA_MODULUS))
	if len(n) == 0 {
		return 0
	}
	return uint64(len(n)*8 - bits.LeadingZeros8(n[0]))
}

// trimZeros removes leading zeros from a big integer. How many there are, shows.
func trimZeros(b []byte) []byte {
	for len(b) > 0 && ct.Reveal(b[0]) == 0 {
		b = b[1:]
	}
	return b
}

// rsaNumbers gathers the components of a key.
func rsaNumbers(k *Key) *rsacore.Numbers {
	return &rsacore.Numbers{
		N: k.Bytes(ck.CKA_MODULUS), E: k.Bytes(ck.CKA_PUBLIC_EXPONENT),
		D: k.Bytes(ck.CKA_PRIVATE_EXPONENT),
		P: k.Bytes(ck.CKA_PRIME_1), Q: k.Bytes(ck.CKA_PRIME_2),
		DP: k.Bytes(ck.CKA_EXPONENT_1), DQ: k.Bytes(ck.CKA_EXPONENT_2),
		QInv: k.Bytes(ck.CKA_COEFFICIENT),
	}
}

// rsaPublicAttributes are the value attributes of a public key.
func rsaPublicAttributes(n, e []byte) []ck.Attribute {
	n, e = trimZeros(n), trimZeros(e)
	list := []ck.Attribute{
		ck.NewBytes(ck.CKA_MODULUS, n),
		ck.NewBytes(ck.CKA_PUBLIC_EXPONENT, e),
	}
	return append(list, ck.NewULong(ck.CKA_MODULUS_BITS, rsaSize(&Key{Attrs: list})))
}

// rsaPrivateAttributes are the value attributes of a private key, those that
// the numbers have.
func rsaPrivateAttributes(c *rsacore.Numbers) (list []ck.Attribute) {
	for _, x := range []struct {
		t ck.AttributeType
		b []byte
	}{
		{ck.CKA_MODULUS, c.N},
		{ck.CKA_PUBLIC_EXPONENT, c.E},
		{ck.CKA_PRIVATE_EXPONENT, c.D},
		{ck.CKA_PRIME_1, c.P},
		{ck.CKA_PRIME_2, c.Q},
		{ck.CKA_EXPONENT_1, c.DP},
		{ck.CKA_EXPONENT_2, c.DQ},
		{ck.CKA_COEFFICIENT, c.QInv},
	} {
		if len(x.b) > 0 {
			list = append(list, ck.NewBytes(x.t, x.b))
		}
	}
	return list
}

// completeRSA checks a key. A private key needs the modulus and the private
// exponent only (PKCS#11 v3.1, section 6.1); what is missing is computed.
func completeRSA(k *Key) ([]ck.Attribute, error) {
	c := rsaNumbers(k)
	if k.Class == ck.CKO_PUBLIC_KEY {
		if len(c.N) == 0 || len(c.E) == 0 {
			return nil, fmt.Errorf("an RSA public key has CKA_MODULUS and CKA_PUBLIC_EXPONENT: %w", ck.CKR_TEMPLATE_INCOMPLETE)
		}
		if _, err := rsacore.NewPublicKey(c.N, c.E); err != nil {
			return nil, fmt.Errorf("unusable RSA public key: %w", ck.CKR_ATTRIBUTE_VALUE_INVALID)
		}
		return rsaPublicAttributes(c.N, c.E), nil
	}
	if len(c.N) == 0 || len(c.D) == 0 {
		return nil, fmt.Errorf("an RSA private key has CKA_MODULUS and CKA_PRIVATE_EXPONENT: %w", ck.CKR_TEMPLATE_INCOMPLETE)
	}
	full, err := rsacore.Complete(*c)
	if err != nil {
		return nil, fmt.Errorf("inconsistent RSA private key, or one of more than two primes: %w", ck.CKR_ATTRIBUTE_VALUE_INVALID)
	}
	return rsaPrivateAttributes(&full), nil
}

// rsaPublicInfo is SubjectPublicKeyInfo with an RSAPublicKey (RFC 8017, A.1.1).
func rsaPublicInfo(k *Key) ([]byte, error) {
	c := rsaNumbers(k)
	if len(c.N) == 0 || len(c.E) == 0 {
		return nil, nil
	}
	return publicKeyInfo(oidRSA, addNull, func(b *cryptobyte.Builder) {
		b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
			addInteger(b, c.N)
			addInteger(b, c.E)
		})
	})
}

// marshalRSA is PrivateKeyInfo with an RSAPrivateKey (RFC 8017, A.1.2).
func marshalRSA(k *Key) ([]byte, error) {
	c := rsaNumbers(k)
	list := [][]byte{c.N, c.E, c.D, c.P, c.Q, c.DP, c.DQ, c.QInv}
	for _, x := range list {
		if len(x) == 0 {
			return nil, fmt.Errorf("RSAPrivateKey needs all CRT components: %w", ck.CKR_KEY_NOT_WRAPPABLE)
		}
	}
	return privateKeyInfo(oidRSA, addNull, func(b *cryptobyte.Builder) {
		b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1Uint64(0)
			for _, x := range list {
				addInteger(b, x)
			}
		})
	})
}

func unmarshalRSA(der []byte) ([]ck.Attribute, error) {
	info, err := parsePrivateKeyInfo(der)
	if err != nil {
		return nil, err
	}
	var c rsacore.Numbers
	var seq, version cryptobyte.String
	s := info.key
	if !s.ReadASN1(&seq, asn1.SEQUENCE) || !s.Empty() || !seq.ReadASN1(&version, asn1.INTEGER) {
		return nil, errPKCS8
	}
	switch string(version) {
	case "\x00":
	case "\x01": // with otherPrimeInfos
		return nil, fmt.Errorf("an RSA key of more than two primes: %w", ck.CKR_WRAPPED_KEY_INVALID)
	default:
		return nil, errPKCS8
	}
	for _, b := range []*[]byte{&c.N, &c.E, &c.D, &c.P, &c.Q, &c.DP, &c.DQ, &c.QInv} {
		if !readInteger(&seq, b) {
			return nil, errPKCS8
		}
		*b = bytes.Clone(*b) // der is the caller's to erase
	}
	if !seq.Empty() {
		return nil, errPKCS8
	}
	return rsaPrivateAttributes(&c), nil
}
