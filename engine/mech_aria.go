package engine

import (
	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/engine/internal/aria"
)

// ARIA (RFC 5794; PKCS#11 v3.1 sections 6.49 and 6.50), in constant time. The
// parameter structures are those of AES under other names.
//
// The mechanisms CKM_ARIA_L_* of devices are left out: no document at hand says
// what ARIA-L is, which they only decrypt, unwrap and verify with.

func init() { later(ariaMechanisms) }

func ariaMechanisms() {
	c := &blockCipher{
		keys: []ck.KeyType{ck.CKK_ARIA}, size: 16, new: aria.NewCipher,
		row: Mechanism{Min: 16, Max: 32, Vectors: "RFC 5794, appendix A; KISA's ARIA test vectors; Wycheproof"},
	}
	registerBlockCipher(c,
		c.keyGen(ck.CKM_ARIA_KEY_GEN, ck.CKK_ARIA, ariaECBAnswers[0]),
		c.ecb(ck.CKM_ARIA_ECB, ariaECBAnswers...),
		c.cbc(ck.CKM_ARIA_CBC, ariaCBCAnswer),
		c.cbcPad(ck.CKM_ARIA_CBC_PAD, known{ // Wycheproof, aria_cbc_pkcs5_test.json, 165
			"c2039f0d05951aa8d9fbdf68be58a37cf99bd1afcedda286a9db470c3729ca92", unhex("9a1d8ccc24c5e4d3995480af236be103"),
			"ed5b5e28e9703bdf5c7b3b080f2690a605fcd0d9", "3e5a8671868c0c5ad9fef58c0a7dc460b13bf1162b5bbf525722dcdecfc6936e",
		}),
		c.mac(ck.CKM_ARIA_MAC, knownCBCMAC(ariaCBCAnswer, nil, 8)),
		c.macGeneral(ck.CKM_ARIA_MAC_GENERAL, knownCBCMAC(ariaCBCAnswer, uint64(16), 16)),
		c.cmac(ck.CKM_ARIA_CMAC, ariaCMACAnswers(nil, 16)...),
		c.cmacGeneral(ck.CKM_ARIA_CMAC_GENERAL, ariaCMACAnswers(uint64(4), 4)...),
		c.ctr(ck.CKM_ARIA_CTR, known{
			ariaKey, &CTRParams{CounterBits: 128}, ariaPlain,
			"ac5d7de805a0bf1c57c854501af60fa11497e2a34519dea1569e91e5b5ccae2f",
		}),
		c.ofb(ck.CKM_ARIA_OFB, 128, known{
			ariaKey, unhex(ariaIV), ariaPlain,
			"3720e53ba7d615383406b09f0a05a2000063063f0560083483faeb041c8adece",
		}),
		c.cfb(ck.CKM_ARIA_CFB8, 8, known{
			ariaKey, unhex(ariaIV), ariaPlain,
			"373c8f6a965599ec785cc8f8149f6c81b632ccb8e0c6eb6a9707ae52c59257a4",
		}),
		c.cfb(ck.CKM_ARIA_CFB128, 128, known{
			ariaKey, unhex(ariaIV), ariaPlain,
			"3720e53ba7d615383406b09f0a05a200c07c21e6370f413a5d132500a6828501",
		}),
		c.gcm(ck.CKM_ARIA_GCM, known{ // Wycheproof, aria_gcm_test.json, 9
			"28ff3def08179311e2734c6d1c4e2871",
			&GCMParams{IV: unhex("32bcb9b569e3b852d37c766a"), AAD: unhex("c3"), TagBits: 128},
			"dfc61a20df8505b53e3cd59f25770d5018add3d6",
			"8071025813ba6138d92d16449f95c9dbdfa50bd0" + "e766554d68d47e6974d51aaed467f3fb",
		}),
		c.ccm(ck.CKM_ARIA_CCM, known{ // Wycheproof, aria_ccm_test.json, 13
			"d97c9b043bdccfd59491a995e78f1696",
			&CCMParams{17, unhex("ef423240358830df915506a3"), unhex("3ddba7b3ab69c8b2"), 16},
			"f047594a5cffda64303a80b2fa6a957169",
			"a04e49ea8118eb17236f28f4a603615e24" + "9de1225f567452d43c8cdc89aa9b8bf9",
		}),
		c.keyWrap(ck.CKM_ARIA_KEY_WRAP, known{ // Wycheproof, aria_wrap_test.json, 4
			"e0e12959109103e30ae8b5684a22e662", nil, "dbb0f2bb2be912a20430972d9842ce3fd3b928e573e1ac8e",
			"83b16a7de462fe744b7c51b0e1b94987c18e3418e543b040c9ed61aaa5465569",
		}),
		c.keyWrapPad(ck.CKM_ARIA_KEY_WRAP_PAD, known{ // Wycheproof, aria_kwp_test.json, 1 and 17
			"6f67486d1e914419cb43c28509c7c1ea", nil, "8dc0632d92ee0be4f740028410b08270",
			"61caf6dfab80d354b681c712949a0d8db7e77a8855f435fe",
		}, known{
			"1abf4b7fa2bb62a78f09ddab04625dca", nil, "7c8dfbb68d72af", "dd079a6c379ccaadbe904627f2ec7e80",
		}),
		c.ecbEncryptData(ck.CKM_ARIA_ECB_ENCRYPT_DATA, knownECBData(ariaECBAnswers[0])),
		c.cbcEncryptData(ck.CKM_ARIA_CBC_ENCRYPT_DATA, (*AESCBCEncryptDataParams)(nil), knownCBCData(ariaCBCAnswer)),
	)
}

// ariaECBAnswers are those of RFC 5794, appendix A.
var ariaECBAnswers = []known{
	{"000102030405060708090a0b0c0d0e0f", nil,
		"00112233445566778899aabbccddeeff", "d718fbd6ab644c739da95f3be6451778"},
	{"000102030405060708090a0b0c0d0e0f1011121314151617", nil,
		"00112233445566778899aabbccddeeff", "26449c1805dbe7aa25a468ce263a9e79"},
	{"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f", nil,
		"00112233445566778899aabbccddeeff", "f92bd7c79fb72e2f2b8f80c1972d24fc"},
}

// The first two blocks of KISA's test vectors for ARIA-128, which OpenSSL has in
// evpciph_aria.txt.
const (
	ariaKey   = "00112233445566778899aabbccddeeff"
	ariaIV    = "0f1e2d3c4b5a69788796a5b4c3d2e1f0"
	ariaPlain = "11111111aaaaaaaa11111111bbbbbbbb11111111cccccccc11111111dddddddd"
)

var ariaCBCAnswer = known{ariaKey, unhex(ariaIV), ariaPlain,
	"49d61860b14909109cef0d22a9268134fadf9fb23151e9645fba75018bdb1538"}

// ariaCMACAnswers are tests 18 and 221 of Wycheproof's aria_cmac_test.json, cut
// to n bytes.
func ariaCMACAnswers(p any, n int) []known {
	return []known{
		{"831e664c9e3f0c3094c0b27b9d908eb2", p,
			"26603bb76dd0a0180791c4ed4d3b058807", "76e898d6eb7c14b0ff6416bd7bb5b01b"[:2*n]},
		{"612e837843ceae7f61d49625faa7e7494f9253e20cb3adcea686512b043936cd", p,
			"cc37fae15f745a2f40e2c8b192f2b38d", "bd51fd7cdbcc022cbccca09f299febce"[:2*n]},
	}
}
