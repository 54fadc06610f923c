package engine

import (
	"encoding/asn1"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/crypto/cryptobyte"
	tag "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/perilune/perilune/cryptoki/ck"
)

// Encodings of keys: PrivateKeyInfo (PKCS #8, RFC 5208) and its successor
// OneAsymmetricKey (RFC 5958), and SubjectPublicKeyInfo (RFC 5280).

var errPKCS8 = fmt.Errorf("not a PKCS #8 private key: %w", ck.CKR_WRAPPED_KEY_INVALID)

// privateInfo is a parsed PrivateKeyInfo.
type privateInfo struct {
	oid    string            // of the algorithm
	params cryptobyte.String // DER, empty if absent
	key    cryptobyte.String // content of privateKey
	public []byte            // publicKey, nil if absent
}

// parsePrivateKeyInfo reads versions 0 and 1, with attributes or without. Zero
// bytes that follow are padding of the mechanism that wrapped the key, such as
// CKM_AES_KEY_WRAP.
func parsePrivateKeyInfo(der []byte) (*privateInfo, error) {
	var seq, algorithm, version, attributes cryptobyte.String
	s := cryptobyte.String(der)
	if !s.ReadASN1(&seq, tag.SEQUENCE) || !allZero(s) {
		return nil, errPKCS8
	}
	if !seq.ReadASN1(&version, tag.INTEGER) || len(version) != 1 || version[0] > 1 {
		return nil, errPKCS8
	}
	var info privateInfo
	var ok bool
	if !seq.ReadASN1(&algorithm, tag.SEQUENCE) || !readOID(&algorithm, &info.oid) {
		return nil, errPKCS8
	}
	info.params = algorithm
	if !seq.ReadASN1(&info.key, tag.OCTET_STRING) {
		return nil, errPKCS8
	}
	if !seq.ReadOptionalASN1(&attributes, nil, tag.Tag(0).ContextSpecific().Constructed()) {
		return nil, errPKCS8
	}
	if info.public, ok = readOptionalPublic(&seq, tag.Tag(1).ContextSpecific()); !ok || !seq.Empty() {
		return nil, errPKCS8
	}
	return &info, nil
}

// readOptionalPublic reads an implicitly tagged BIT STRING of whole bytes.
func readOptionalPublic(s *cryptobyte.String, t tag.Tag) (public []byte, ok bool) {
	var bits cryptobyte.String
	var present bool
	if !s.ReadOptionalASN1(&bits, &present, t) {
		return nil, false
	}
	if !present {
		return nil, true
	}
	if len(bits) < 2 || bits[0] != 0 {
		return nil, false
	}
	return bits[1:], true
}

// privateKeyInfo makes a PrivateKeyInfo of version 0. key fills in the content
// of privateKey.
func privateKeyInfo(oid string, params, key func(*cryptobyte.Builder)) ([]byte, error) {
	var b cryptobyte.Builder
	b.AddASN1(tag.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1Uint64(0)
		addAlgorithm(b, oid, params)
		b.AddASN1(tag.OCTET_STRING, key)
	})
	return built(&b)
}

// publicKeyInfo makes a SubjectPublicKeyInfo. key fills in the content of the
// BIT STRING.
func publicKeyInfo(oid string, params, key func(*cryptobyte.Builder)) ([]byte, error) {
	var b cryptobyte.Builder
	b.AddASN1(tag.SEQUENCE, func(b *cryptobyte.Builder) {
		addAlgorithm(b, oid, params)
		b.AddASN1(tag.BIT_STRING, func(b *cryptobyte.Builder) {
			b.AddUint8(0) // unused bits
			key(b)
		})
	})
	return built(&b)
}

func built(b *cryptobyte.Builder) ([]byte, error) {
	der, err := b.Bytes()
	if err != nil {
		return nil, fmt.Errorf("cannot encode the key: %w", ck.CKR_FUNCTION_FAILED)
	}
	return der, nil
}

// addAlgorithm adds an AlgorithmIdentifier; params may be nil.
func addAlgorithm(b *cryptobyte.Builder, oid string, params func(*cryptobyte.Builder)) {
	b.AddASN1(tag.SEQUENCE, func(b *cryptobyte.Builder) {
		addOID(b, oid)
		if params != nil {
			params(b)
		}
	})
}

func addNull(b *cryptobyte.Builder) { b.AddASN1NULL() }

// addInteger adds a non-negative number, big-endian with any leading zeros.
func addInteger(b *cryptobyte.Builder, n []byte) {
	b.AddASN1(tag.INTEGER, func(b *cryptobyte.Builder) {
		n = trimZeros(n)
		if len(n) == 0 || n[0] >= 0x80 {
			b.AddUint8(0)
		}
		b.AddBytes(n)
	})
}

// readInteger reads a positive number without its leading zeros.
func readInteger(s *cryptobyte.String, n *[]byte) bool {
	var v cryptobyte.String
	if !s.ReadASN1(&v, tag.INTEGER) || len(v) == 0 || v[0] >= 0x80 {
		return false
	}
	*n = trimZeros(v)
	return len(*n) > 0
}

func addOID(b *cryptobyte.Builder, oid string) {
	var id asn1.ObjectIdentifier
	for arc := range strings.SplitSeq(oid, ".") {
		n, err := strconv.Atoi(arc)
		if err != nil {
			panic("engine: bad OID " + oid) // a constant of ours
		}
		id = append(id, n)
	}
	b.AddASN1ObjectIdentifier(id)
}

func readOID(s *cryptobyte.String, oid *string) bool {
	var id asn1.ObjectIdentifier
	if !s.ReadASN1ObjectIdentifier(&id) {
		return false
	}
	*oid = id.String()
	return true
}

// PrivateKeyAlgorithm returns the algorithm (dotted decimal) of a PKCS #8
// private key, by which UnmarshalPKCS8 of a [KeyType] is found.
func PrivateKeyAlgorithm(der []byte) (oid string, err error) {
	info, err := parsePrivateKeyInfo(der)
	if err != nil {
		return "", err
	}
	return info.oid, nil
}
