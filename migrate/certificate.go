package migrate

import (
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"time"
)

// Certificate is what an import needs to know of an X.509 certificate. Fields are
// DER.
type Certificate struct {
	Subject, Issuer, SerialNumber []byte
	PublicKey                     []byte // SubjectPublicKeyInfo
	CommonName                    string // of the subject
	NotBefore, NotAfter           time.Time
}

// x509Certificate is RFC 5280, section 4.1.
type x509Certificate struct {
	TBS struct {
		Version      int `asn1:"optional,explicit,default:0,tag:0"`
		SerialNumber asn1.RawValue
		Algorithm    asn1.RawValue
		Issuer       asn1.RawValue
		Validity     struct{ NotBefore, NotAfter time.Time }
		Subject      asn1.RawValue
		PublicKey    asn1.RawValue
		IssuerID     asn1.BitString  `asn1:"optional,tag:1"`
		SubjectID    asn1.BitString  `asn1:"optional,tag:2"`
		Extensions   []asn1.RawValue `asn1:"optional,explicit,tag:3"`
	}
	Algorithm asn1.RawValue
	Signature asn1.BitString
}

// ParseCertificate reads the fields of a certificate, whatever the algorithms in
// them. It is more forgiving than crypto/x509, which refuses curves that it does
// not have: applications may depend on such certificates.
func ParseCertificate(der []byte) (*Certificate, error) {
	var c x509Certificate
	if rest, err := asn1.Unmarshal(der, &c); err != nil || len(rest) > 0 {
		return nil, errors.New("the certificate is damaged, or no X.509 certificate")
	}
	if c.TBS.SerialNumber.Tag != asn1.TagInteger || c.TBS.Subject.Tag != asn1.TagSequence || c.TBS.PublicKey.Tag != asn1.TagSequence {
		return nil, errors.New("the certificate is damaged, or no X.509 certificate")
	}
	out := &Certificate{Subject: c.TBS.Subject.FullBytes, Issuer: c.TBS.Issuer.FullBytes, SerialNumber: c.TBS.SerialNumber.FullBytes,
		PublicKey: c.TBS.PublicKey.FullBytes, NotBefore: c.TBS.Validity.NotBefore, NotAfter: c.TBS.Validity.NotAfter}
	var rdn pkix.RDNSequence
	if _, err := asn1.Unmarshal(out.Subject, &rdn); err == nil {
		var name pkix.Name
		name.FillFromRDNSequence(&rdn)
		out.CommonName = name.CommonName
	}
	return out, nil
}
