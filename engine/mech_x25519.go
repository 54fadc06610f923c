package engine

import (
	"github.com/cloudflare/circl/dh/x448"

	"github.com/perilune/perilune/cryptoki/ck"
)

// X25519 and X448 (RFC 7748) are further curves of CKM_ECDH1_DERIVE; only the
// making of keys has a mechanism of its own (PKCS#11 v3.1, section 6.3).

func init() { later(x25519Mechanisms) }

func x25519Mechanisms() {
	register(&Mechanism{
		Type:    ck.CKM_EC_MONTGOMERY_KEY_PAIR_GEN,
		Aliases: []ck.MechanismType{ck.CKM_EC_MONTGOMERY_KEY_PAIR_GEN_OLD},
		Keys:    []ck.KeyType{ck.CKK_EC_MONTGOMERY}, Makes: ck.CKK_EC_MONTGOMERY, Min: 255, Max: 448,
		Flags:        edwardsFlags,
		Vectors:      "RFC 7748, section 6; Wycheproof",
		GeneratePair: generateEC(ck.CKK_EC_MONTGOMERY),
		SelfTest:     testGenerateMontgomery,
	})
}

// agreeX448 is the shared secret of a private value and the other party's
// point. The result zero, which points of small order give, is refused.
func agreeX448(value, point []byte) ([]byte, error) {
	var shared, secret, public x448.Key
	copy(secret[:], value)
	copy(public[:], point)
	defer clear(secret[:])
	if len(point) != x448.Size || !x448.Shared(&shared, &secret, &public) {
		return nil, errPublicData
	}
	return shared[:], nil
}
