// Package pkcs12 reads PKCS #12 files (RFC 7292): all keys, certificates and
// secrets of any number, with their names and identifiers, whatever their algorithm.
// Libraries that give one key and its chain lose the rest.
package pkcs12

import (
	"encoding/asn1"
	"errors"
	"fmt"
	"unicode/utf16"

	"github.com/perilune/perilune/migrate/pbe"
)

// Kind is what a bag holds.
type Kind int

// The kinds.
const (
	Key         Kind = iota // a private key in PKCS #8
	Certificate             // an X.509 certificate
	Secret                  // a secret key: PKCS #8 as Java has it, or plain bytes
	Other                   // something else, which Err names
)

// Bag is one thing of a file. Err says why it cannot be read, or not be used.
type Bag struct {
	Kind Kind
	DER  []byte
	Name string   // friendlyName
	ID   []byte   // localKeyID
	Lost []string // attributes that mean nothing here
	Err  error
}

// File is what is in a file. Protected says that a MAC was there, and right.
type File struct {
	Bags      []Bag
	Protected bool
}

// ErrPassword says that the password is wrong.
var ErrPassword = errors.New("the password is wrong, or the file is damaged")

// Object identifiers.
var (
	oidData      = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 1}
	oidEncrypted = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 6}
	oidBags      = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 12, 10, 1}
	oidX509      = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 22, 1}
	oidName      = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 20}
	oidLocalID   = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 21}
)

// The bags by the last arc of their identifier.
const (
	bagKey      = 1
	bagShrouded = 2
	bagCert     = 3
	bagCRL      = 4
	bagSecret   = 5
	bagSafe     = 6
)

type contentInfo struct {
	Type    asn1.ObjectIdentifier
	Content asn1.RawValue `asn1:"optional,explicit,tag:0"`
}

type pfx struct {
	Version int
	Safe    contentInfo
	MAC     macData `asn1:"optional"`
}

type macData struct {
	MAC struct {
		Algorithm pbe.Algorithm
		Digest    []byte
	}
	Salt       []byte
	Iterations int `asn1:"optional,default:1"`
}

type encryptedData struct {
	Version int
	Content struct {
		Type      asn1.ObjectIdentifier
		Algorithm pbe.Algorithm
		Data      asn1.RawValue `asn1:"optional,tag:0"`
	}
}

type safeBag struct {
	ID         asn1.ObjectIdentifier
	Value      asn1.RawValue
	Attributes []attribute `asn1:"set,optional"`
}

type attribute struct {
	ID     asn1.ObjectIdentifier
	Values asn1.RawValue
}

// Is reports whether data look like a PKCS #12 file.
func Is(data []byte) bool {
	der, err := toDER(data)
	if err != nil {
		return false
	}
	var p pfx
	_, err = asn1.Unmarshal(der, &p)
	return err == nil && p.Version == 3
}

// reader is a file being read.
type reader struct {
	password    []byte
	keyPassword []byte
}

// Open reads a file. keyPassword opens its keys where they have one of their own;
// nil stands for the password of the file. Passwords are UTF-8.
func Open(data, password, keyPassword []byte) (*File, error) {
	der, err := toDER(data)
	if err != nil {
		return nil, err
	}
	var p pfx
	if rest, err := asn1.Unmarshal(der, &p); err != nil || len(rest) > 0 || p.Version != 3 {
		return nil, errDamaged
	}
	if !p.Safe.Type.Equal(oidData) {
		return nil, errors.New("it is signed or encrypted with a public key, which this program does not read")
	}
	content, err := octets(p.Safe.Content)
	if err != nil {
		return nil, err
	}
	f := &File{}
	if len(p.MAC.MAC.Digest) > 0 {
		ok, err := pbe.CheckMAC(p.MAC.MAC.Algorithm, pbe.Params{Salt: p.MAC.Salt, Iterations: p.MAC.Iterations}, password, content, p.MAC.MAC.Digest)
		if err != nil {
			return nil, err
		}
		if !ok {
			return nil, ErrPassword
		}
		f.Protected = true
	}
	r := &reader{password: password, keyPassword: keyPassword}
	if r.keyPassword == nil {
		r.keyPassword = password
	}
	f.Bags, err = r.safe(content)
	return f, err
}

// octets is the octet string in an explicit tag.
func octets(v asn1.RawValue) (b []byte, err error) {
	if _, err := asn1.Unmarshal(v.Bytes, &b); err != nil {
		return nil, errDamaged
	}
	return b, nil
}

// safe reads an AuthenticatedSafe.
func (r *reader) safe(ber []byte) (bags []Bag, err error) {
	var list []contentInfo
	if err := unmarshal(ber, &list); err != nil {
		return nil, err
	}
	for _, c := range list {
		var content []byte
		switch {
		case c.Type.Equal(oidData):
			content, err = octets(c.Content)
		case c.Type.Equal(oidEncrypted):
			content, err = r.decrypt(c.Content.Bytes)
		default:
			err = errors.New("a part of it is encrypted with a public key, which this program does not read")
		}
		if err != nil {
			return nil, err
		}
		some, err := r.bags(content, 0)
		if err != nil {
			return nil, err
		}
		bags = append(bags, some...)
	}
	return bags, nil
}

func unmarshal(ber []byte, v any) error {
	der, err := toDER(ber)
	if err != nil {
		return err
	}
	if rest, err := asn1.Unmarshal(der, v); err != nil || len(rest) > 0 {
		return errDamaged
	}
	return nil
}

// decrypt opens an EncryptedData.
func (r *reader) decrypt(der []byte) ([]byte, error) {
	var e encryptedData
	if err := unmarshal(der, &e); err != nil {
		return nil, err
	}
	data := e.Content.Data.Bytes
	if e.Content.Data.IsCompound { // in parts: an implicit tag hides that it is an octet string
		var err error
		if data, err = parts(data); err != nil {
			return nil, err
		}
	}
	plain, err := pbe.Open(e.Content.Algorithm, r.password, data)
	if errors.Is(err, pbe.ErrPassword) {
		return nil, ErrPassword
	}
	if err != nil {
		return nil, errScheme(e.Content.Algorithm)
	}
	if _, err := toDER(plain); err != nil { // padding can be right by chance
		return nil, ErrPassword
	}
	return plain, nil
}

func errScheme(alg pbe.Algorithm) error {
	return fmt.Errorf("it is encrypted in a way that this program does not read (OID %v); OpenSSL converts it: openssl pkcs12 -in FILE -out all.pem, then openssl pkcs12 -export -in all.pem -out NEW", alg.OID)
}

func parts(der []byte) (data []byte, err error) {
	for len(der) > 0 {
		var part []byte
		if der, err = asn1.Unmarshal(der, &part); err != nil {
			return nil, errDamaged
		}
		data = append(data, part...)
	}
	return data, nil
}

// bags reads a SafeContents.
func (r *reader) bags(ber []byte, depth int) (list []Bag, err error) {
	if depth > maxDepth {
		return nil, errDamaged
	}
	var bags []safeBag
	if err := unmarshal(ber, &bags); err != nil {
		return nil, err
	}
	for _, s := range bags {
		if id := s.ID; len(id) == len(oidBags)+1 && id[:len(oidBags)].Equal(oidBags) && id[len(oidBags)] == bagSafe {
			inner, err := r.bags(s.Value.Bytes, depth+1)
			if err != nil {
				return nil, err
			}
			list = append(list, inner...)
			continue
		}
		b := r.bag(&s)
		b.describe(s.Attributes)
		list = append(list, b)
	}
	return list, nil
}

func (r *reader) bag(s *safeBag) Bag {
	if len(s.ID) != len(oidBags)+1 || !s.ID[:len(oidBags)].Equal(oidBags) {
		return Bag{Kind: Other, Err: fmt.Errorf("it is of a kind that nobody knows here (OID %v)", s.ID)}
	}
	switch s.ID[len(oidBags)] {
	case bagKey:
		return Bag{Kind: Key, DER: s.Value.Bytes}
	case bagShrouded:
		der, err := r.key(s.Value.Bytes)
		return Bag{Kind: Key, DER: der, Err: err}
	case bagCert:
		return certificate(s.Value.Bytes)
	case bagSecret:
		return r.secret(s.Value.Bytes)
	case bagCRL:
		return Bag{Kind: Other, Err: errors.New("it is a revocation list, for which PKCS#11 has no object")}
	}
	return Bag{Kind: Other, Err: fmt.Errorf("it is of a kind that nobody knows here (OID %v)", s.ID)}
}

// key opens an EncryptedPrivateKeyInfo.
func (r *reader) key(der []byte) ([]byte, error) {
	var e pbe.EncryptedKey
	if err := unmarshal(der, &e); err != nil {
		return nil, err
	}
	plain, err := pbe.Open(e.Algorithm, r.keyPassword, e.Data)
	if err == nil && !pbe.IsSequence(plain) {
		err = pbe.ErrPassword
	}
	switch {
	case errors.Is(err, pbe.ErrPassword):
		return nil, errors.New("the password of the key is another than that of the file, or wrong; give it with --key-pin")
	case err != nil:
		return nil, errScheme(e.Algorithm)
	}
	return plain, nil
}

func certificate(der []byte) Bag {
	var c struct {
		ID    asn1.ObjectIdentifier
		Value asn1.RawValue
	}
	if _, err := asn1.Unmarshal(der, &c); err != nil {
		return Bag{Kind: Certificate, Err: errDamaged}
	}
	if !c.ID.Equal(oidX509) {
		return Bag{Kind: Other, Err: fmt.Errorf("it is a certificate of another kind than X.509 (OID %v)", c.ID)}
	}
	b, err := octets(c.Value)
	return Bag{Kind: Certificate, DER: b, Err: err}
}

// secret reads a SecretBag as Java writes it: with an encrypted PKCS #8 in it, bare
// or in an octet string.
func (r *reader) secret(der []byte) Bag {
	var s struct {
		Type  asn1.ObjectIdentifier
		Value asn1.RawValue
	}
	if _, err := asn1.Unmarshal(der, &s); err != nil {
		return Bag{Kind: Secret, Err: errDamaged}
	}
	inner := s.Value.Bytes
	if b, err := octets(s.Value); err == nil {
		inner = b
	}
	if !s.Type.Equal(append(append(asn1.ObjectIdentifier{}, oidBags...), bagShrouded)) {
		return Bag{Kind: Other, Err: fmt.Errorf("it is a secret of a kind that nobody knows here (OID %v)", s.Type)}
	}
	plain, err := r.key(inner)
	return Bag{Kind: Secret, DER: plain, Err: err}
}

// describe reads the attributes of a bag.
func (b *Bag) describe(list []attribute) {
	for _, a := range list {
		var value asn1.RawValue
		if _, err := asn1.Unmarshal(a.Values.Bytes, &value); err != nil {
			b.Lost = append(b.Lost, a.ID.String())
			continue
		}
		switch {
		case a.ID.Equal(oidName):
			b.Name = text(value)
		case a.ID.Equal(oidLocalID):
			b.ID = value.Bytes
		default:
			b.Lost = append(b.Lost, a.ID.String())
		}
	}
}

// text is a name: a BMPString, or whatever else somebody wrote.
func text(v asn1.RawValue) string {
	if v.Tag != asn1.TagBMPString {
		return string(v.Bytes)
	}
	var units []uint16
	for i := 0; i+1 < len(v.Bytes); i += 2 {
		units = append(units, uint16(v.Bytes[i])<<8|uint16(v.Bytes[i+1]))
	}
	return string(utf16.Decode(units))
}
