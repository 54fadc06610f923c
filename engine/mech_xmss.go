package engine

import (
	"fmt"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/engine/internal/xmss"
)

// XMSS and XMSS^MT (RFC 8391; NIST SP 800-208; PKCS#11 v3.2, section 6.66).
// Signatures are verified only, for the reason that mech_hss.go gives. The rows
// are not marked as approved, since SP 800-208 approves some of the parameter
// sets only.

func init() { later(xmssMechanisms) }

func xmssMechanisms() {
	registerKeyType(
		&KeyType{Type: ck.CKK_XMSS, Size: valueSize, Complete: completeXMSS, PublicInfo: rawPublicInfo("1.3.6.1.5.5.7.6.34")}, // RFC 9802
		&KeyType{Type: ck.CKK_XMSSMT, Size: valueSize, Complete: completeXMSS, PublicInfo: rawPublicInfo("1.3.6.1.5.5.7.6.35")},
	)
	register(
		&Mechanism{
			Type: ck.CKM_XMSS, Keys: []ck.KeyType{ck.CKK_XMSS},
			Vectors:  "the reference implementation's test/vectors; Botan's tests",
			Verify:   xmssVerify,
			SelfTest: func() error { return testXMSS(ck.CKM_XMSS, ck.CKK_XMSS) },
		},
		&Mechanism{
			Type: ck.CKM_XMSSMT, Keys: []ck.KeyType{ck.CKK_XMSSMT},
			Vectors:  "the reference implementation's test/vectors",
			Verify:   xmssVerify,
			SelfTest: func() error { return testXMSS(ck.CKM_XMSSMT, ck.CKK_XMSSMT) },
		},
	)
}

func parseXMSS(k *Key) (*xmss.PublicKey, error) {
	multi := k.Type == ck.CKK_XMSSMT
	if !multi && k.Type != ck.CKK_XMSS || k.Class != ck.CKO_PUBLIC_KEY {
		return nil, ck.CKR_KEY_TYPE_INCONSISTENT
	}
	if len(k.Value()) == 0 {
		return nil, fmt.Errorf("CKA_VALUE is missing: %w", ck.CKR_TEMPLATE_INCOMPLETE)
	}
	pub, err := xmss.NewPublicKey(k.Value(), multi)
	if err != nil {
		return nil, fmt.Errorf("CKA_VALUE is no XMSS public key: %w", ck.CKR_ATTRIBUTE_VALUE_INVALID)
	}
	return pub, nil
}

// completeXMSS compares CKA_PARAMETER_SET with the number in the value.
func completeXMSS(k *Key) ([]ck.Attribute, error) {
	pub, err := parseXMSS(k)
	if err != nil {
		return nil, err
	}
	a := ck.Find(k.Attrs, ck.CKA_PARAMETER_SET)
	if a == nil {
		return nil, fmt.Errorf("CKA_PARAMETER_SET is missing: %w", ck.CKR_TEMPLATE_INCOMPLETE)
	}
	if set, ok := ck.ULong(a.Value); !ok || set != uint64(pub.OID()) {
		return nil, fmt.Errorf("CKA_PARAMETER_SET is not that of CKA_VALUE: %w", ck.CKR_ATTRIBUTE_VALUE_INVALID)
	}
	return nil, nil
}

func xmssVerify(k *Key, p any) (Verifier, error) {
	if err := noParam(p); err != nil {
		return nil, err
	}
	pub, err := Parsed(k, parseXMSS)
	if err != nil {
		return nil, err
	}
	return onceVerifier(checkingLength(pub.SignatureSize(), pub.Verify)), nil
}
