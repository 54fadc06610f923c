package engine

import (
	"fmt"

	"golang.org/x/crypto/cryptobyte"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/engine/internal/lms"
)

// HSS, hierarchies of LMS trees (RFC 8554; NIST SP 800-208; PKCS#11 v3.2,
// section 6.65). Signatures are verified only: a signer must never use a state
// twice, which a token whose files can be copied, and put back from a backup,
// cannot promise.

func init() { later(hssMechanisms) }

func hssMechanisms() {
	registerKeyType(&KeyType{
		Type: ck.CKK_HSS, Size: valueSize, Complete: completeHSS,
		PublicInfo: rawPublicInfo("1.2.840.113549.1.9.16.3.17"), // RFC 9802
	})
	register(&Mechanism{
		Type: ck.CKM_HSS, Keys: []ck.KeyType{ck.CKK_HSS}, FIPS: true,
		Vectors:  "RFC 8554, appendix F; RFC 9858, appendix A",
		Verify:   hssVerify,
		SelfTest: testHSS,
	})
}

// valueSize is the length of CKA_VALUE. (The mechanisms have no bounds.)
func valueSize(k *Key) uint64 { return uint64(len(k.Value())) }

// rawPublicInfo is SubjectPublicKeyInfo with CKA_VALUE as it is.
func rawPublicInfo(oid string) func(k *Key) ([]byte, error) {
	return func(k *Key) ([]byte, error) {
		return publicKeyInfo(oid, nil, func(b *cryptobyte.Builder) { b.AddBytes(k.Value()) })
	}
}

func parseHSS(k *Key) (*lms.PublicKey, error) {
	if k.Type != ck.CKK_HSS || k.Class != ck.CKO_PUBLIC_KEY {
		return nil, ck.CKR_KEY_TYPE_INCONSISTENT
	}
	if len(k.Value()) == 0 {
		return nil, fmt.Errorf("CKA_VALUE is missing: %w", ck.CKR_TEMPLATE_INCOMPLETE)
	}
	pub, err := lms.NewPublicKey(k.Value())
	if err != nil {
		return nil, fmt.Errorf("CKA_VALUE is no HSS public key: %w", ck.CKR_ATTRIBUTE_VALUE_INVALID)
	}
	return pub, nil
}

// completeHSS adds what the value says of the hierarchy.
func completeHSS(k *Key) ([]ck.Attribute, error) {
	pub, err := parseHSS(k)
	if err != nil {
		return nil, err
	}
	tree, once := pub.Types()
	return []ck.Attribute{
		ck.NewULong(ck.CKA_HSS_LEVELS, uint64(pub.Levels())),
		ck.NewULong(ck.CKA_HSS_LMS_TYPE, uint64(tree)),
		ck.NewULong(ck.CKA_HSS_LMOTS_TYPE, uint64(once)),
	}, nil
}

func hssVerify(k *Key, p any) (Verifier, error) {
	if err := noParam(p); err != nil {
		return nil, err
	}
	pub, err := Parsed(k, parseHSS)
	if err != nil {
		return nil, err
	}
	return onceVerifier(func(message, sig []byte) error {
		if !pub.Verify(message, sig) {
			return ck.CKR_SIGNATURE_INVALID
		}
		return nil
	}), nil
}
