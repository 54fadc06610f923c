package engine

import (
	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/engine/internal/seed"
)

// SEED (RFC 4269; PKCS#11 v3.1 sections 6.51 and 6.52), in constant time.
// Devices had it before the standard, with numbers of their own for the
// mechanisms and for the key type.

func init() { later(seedMechanisms) }

func seedMechanisms() {
	c := &blockCipher{
		keys: []ck.KeyType{ck.CKK_SEED}, size: 16, new: seed.NewCipher,
		row: Mechanism{Korean: true, Min: 16, Max: 16, Vectors: "RFC 4269, appendix B; RFC 4196; pyca/cryptography; Wycheproof"},
	}
	registerBlockCipher(c,
		alias(c.keyGen(ck.CKM_SEED_KEY_GEN, ck.CKK_SEED, seedECBAnswers[0]), ck.CKM_SEED_KEY_GEN_OLD),
		alias(c.ecb(ck.CKM_SEED_ECB, seedECBAnswers...), ck.CKM_SEED_ECB_OLD),
		alias(c.cbc(ck.CKM_SEED_CBC, seedCBCAnswer), ck.CKM_SEED_CBC_OLD),
		alias(c.cbcPad(ck.CKM_SEED_CBC_PAD, knownPad(seedECBAnswers[0], "0123456789")), ck.CKM_SEED_CBC_PAD_OLD),
		alias(c.mac(ck.CKM_SEED_MAC, knownCBCMAC(seedCBCAnswer, nil, 8)), ck.CKM_SEED_MAC_OLD),
		alias(c.macGeneral(ck.CKM_SEED_MAC_GENERAL, knownCBCMAC(seedCBCAnswer, uint64(16), 16)), ck.CKM_SEED_MAC_GENERAL_OLD),
		c.cmac(ck.CKM_SEED_CMAC, seedCMACAnswer(nil, 16)),
		c.cmacGeneral(ck.CKM_SEED_CMAC_GENERAL, seedCMACAnswer(uint64(4), 4)),
		c.ctr(ck.CKM_SEED_CTR, knownCTR(seedECBAnswers[0])),
		c.ofb(ck.CKM_SEED_OFB, 128, known{ // pyca/cryptography, seed-ofb.txt, 1
			"c9f4ce21b4c7daaa4f93e292dc605bc5", unhex("5e5a8cf2808c720e01c1ed92d470a45d"),
			"8e19c5cacd015a662e7f40cdecadbf79a68081c06d9544b41c2dd248e77633b4",
			"814d987a07282f950fa9a6559e5443f0826243a630458327e5c20440d2a50a0d",
		}),
		c.cfb(ck.CKM_SEED_CFB8, 8, knownFeedback(seedECBAnswers[0], 1)),
		c.cfb(ck.CKM_SEED_CFB128, 128, known{ // pyca/cryptography, seed-cfb.txt, 1
			"701ccc4c0e36e512ce077f5af6ccb957", unhex("5337ddeaf89a00dd4d58d860de968469"),
			"cc1172f2f80866d0768b25f70fcf6361aab7c627c8488f97525d7d88949beeea",
			"a6841e5e4dea28f28d7a83031442c86e5b68d1048cda42452964df577d3c0abc",
		}),
		c.gcm(ck.CKM_SEED_GCM, known{ // Wycheproof, seed_gcm_test.json, 9
			"28ff3def08179311e2734c6d1c4e2871",
			&GCMParams{IV: unhex("32bcb9b569e3b852d37c766a"), AAD: unhex("c3"), TagBits: 128},
			"dfc61a20df8505b53e3cd59f25770d5018add3d6",
			"1e278e6a864af8e7764836075a915567f22eb245" + "322b4d1ccf210cac7131e37efef0911e",
		}),
		c.ccm(ck.CKM_SEED_CCM, known{ // Wycheproof, seed_ccm_test.json, 13
			"d97c9b043bdccfd59491a995e78f1696",
			&CCMParams{17, unhex("ef423240358830df915506a3"), unhex("3ddba7b3ab69c8b2"), 16},
			"f047594a5cffda64303a80b2fa6a957169",
			"d48441769e66da65c5d1ae102e08c0716f" + "60d032527626f88faf6d4b230de8e3ab",
		}),
		c.keyWrap(ck.CKM_SEED_KEY_WRAP, known{ // Wycheproof, seed_wrap_test.json, 1
			"6f67486d1e914419cb43c28509c7c1ea", nil, "8dc0632d92ee0be4f740028410b08270",
			"36124f93b4d7b9e1467f74614a028714ed76d0f301c3866c",
		}),
		c.ecbEncryptData(ck.CKM_SEED_ECB_ENCRYPT_DATA, knownECBData(seedECBAnswers[0])),
		c.cbcEncryptData(ck.CKM_SEED_CBC_ENCRYPT_DATA, (*AESCBCEncryptDataParams)(nil), knownCBCData(seedCBCAnswer)),
	)
}

// seedECBAnswers are those of RFC 4269, appendices B.1 and B.3.
var seedECBAnswers = []known{
	{"00000000000000000000000000000000", nil,
		"000102030405060708090a0b0c0d0e0f", "5ebac6e0054e166819aff1cc6d346cdb"},
	{"4706480851e61be85d74bfb3fd956185", nil,
		"83a2f8a288641fb9a4e9a5cc2f131c7d", "ee54d13ebcae706d226bc3142cd40d4a"},
}

// seedCBCAnswer is the first one of RFC 4196, section 4.
var seedCBCAnswer = known{"ed2401ad22fa255991bafdb01fefd697", unhex("93eb149f92c9905bae5cd34da06c3c8e"),
	"b40d7003d9b6904b35622750c91a24575bb9a632364aa26e3ac0cf3a9c9d0dcb",
	"f072c5b1a0588c105af8301adcd91dd067f6822155304bf3aad75ceb44341c25"}

// seedCMACAnswer is the first block of an answer of TTAK.KO-12.0272 for the key
// derivation in counter mode (NIST SP 800-108) with SEED-CMAC, cut to n bytes.
func seedCMACAnswer(p any, n int) known {
	const (
		label = "8ed363214d5ca03328964b636a889f83850bc41af69ce426d080490cf5746551" +
			"4ee2768d47fde795fad82ca919ca1c9553122d8017549d431ddd6b0a"
		context = "b78e81454183e6fea2de1e842e0b782433fdecc33f70b60279b9284fe02f6df2" +
			"517faffd9ac52c1ef442fc1145deee1edc53f55ffcba9ed9fe1087ca"
	)
	return known{"d899a261ac0bf40b04f110681b8859e4", p,
		"01" + label + "00" + context + "0200", "762dfe66668c7807611e8115156277e5"[:2*n]}
}
