package engine

import "github.com/perilune/perilune/cryptoki/ck"

// X25519 (RFC 7748) is one more curve of CKM_ECDH1_DERIVE; only the making of
// keys has a mechanism of its own (PKCS#11 v3.1, section 6.3).

func init() {
	register(&Mechanism{
		Type: ck.CKM_EC_MONTGOMERY_KEY_PAIR_GEN,
		Keys: []ck.KeyType{ck.CKK_EC_MONTGOMERY}, Makes: ck.CKK_EC_MONTGOMERY, Min: 255, Max: 255,
		Flags:        edwardsFlags,
		GeneratePair: generateEC(ck.CKK_EC_MONTGOMERY),
		SelfTest:     testGenerateMontgomery,
	})
}
