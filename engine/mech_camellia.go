package engine

import (
	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/engine/internal/camellia"
)

// Camellia (RFC 3713; PKCS#11 v3.1 sections 6.47 and 6.48), in constant time.

func init() { later(camelliaMechanisms) }

func camelliaMechanisms() {
	c := &blockCipher{
		keys: []ck.KeyType{ck.CKK_CAMELLIA}, size: 16, new: camellia.NewCipher,
		row: Mechanism{Min: 16, Max: 32, Vectors: "RFC 3713, appendix A; RFC 5528; OpenSSL; draft-kato-ipsec-camellia-gcm; Wycheproof"},
	}
	registerBlockCipher(c,
		c.keyGen(ck.CKM_CAMELLIA_KEY_GEN, ck.CKK_CAMELLIA, camelliaECBAnswers[0]),
		c.ecb(ck.CKM_CAMELLIA_ECB, camelliaECBAnswers...),
		c.cbc(ck.CKM_CAMELLIA_CBC, camelliaCBCAnswer),
		c.cbcPad(ck.CKM_CAMELLIA_CBC_PAD, known{ // Wycheproof, camellia_cbc_pkcs5_test.json, 165
			"c2039f0d05951aa8d9fbdf68be58a37cf99bd1afcedda286a9db470c3729ca92", unhex("9a1d8ccc24c5e4d3995480af236be103"),
			"ed5b5e28e9703bdf5c7b3b080f2690a605fcd0d9", "8fe10299d62245bd03d8ca12a4453f6278e3ee0a9904c5743a8c3d1403d9d5d9",
		}),
		c.mac(ck.CKM_CAMELLIA_MAC, knownCBCMAC(camelliaCBCAnswer, nil, 8)),
		c.macGeneral(ck.CKM_CAMELLIA_MAC_GENERAL, knownCBCMAC(camelliaCBCAnswer, uint64(16), 16)),
		c.cmac(ck.CKM_CAMELLIA_CMAC, known{ // Wycheproof, camellia_cmac_test.json, 18 and 221
			"831e664c9e3f0c3094c0b27b9d908eb2", nil, "26603bb76dd0a0180791c4ed4d3b058807", "029aaf53565685b98228dca232f12194",
		}, known{
			"612e837843ceae7f61d49625faa7e7494f9253e20cb3adcea686512b043936cd", nil,
			"cc37fae15f745a2f40e2c8b192f2b38d", "89879086896578112de7b3a5bf8fdf8a",
		}),
		c.ctr(ck.CKM_CAMELLIA_CTR, known{ // RFC 5528, section 4.1, test vector 2
			"7e24067817fae0d743d6ce1f32539163",
			&CTRParams{CounterBits: 32, CB: [16]byte(unhex("006cb6dbc0543b59da48d90b00000001"))},
			"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
			"dbf3c78dc08396d4da7c907765bbcb442b8e8e0f31f0dca72c7417e35360e048",
		}),
		c.ofb(ck.CKM_CAMELLIA_OFB, 128, known{
			sp80038aKey, unhex(aesIV), sp80038aPlain[:32], "14f7646187817eb586599146b82bd719",
		}, known{
			sp80038aKey, unhex("50fe67cc996d32b6da0937e99bafec60"), sp80038aPlain[32:64], "25623db569ca51e01482649977e28d84",
		}),
		c.cfb(ck.CKM_CAMELLIA_CFB128, 128, known{
			sp80038aKey, unhex(aesIV), sp80038aPlain[:64],
			"14f7646187817eb586599146b82bd719a53d28bb82df741103ea4f921a44880b",
		}),
		c.gcm(ck.CKM_CAMELLIA_GCM, known{ // draft-kato-ipsec-camellia-gcm, test case 4
			"feffe9928665731c6d6a8f9467308308",
			&GCMParams{
				IV:      unhex("cafebabefacedbaddecaf888"),
				AAD:     unhex("feedfacedeadbeeffeedfacedeadbeefabaddad2"),
				TagBits: 128,
			},
			"d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72" +
				"1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39",
			"d0d94a13b632f337a0cc9955b94fa020c815f903aab12f1efaf2fe9d90f729a6" +
				"cccbfa986ef2ff2c33de418d9a2529091cf18fe652c1cfde13f82606" +
				"9f458869431576ea6a095456ec6b8101",
		}),
		c.ccm(ck.CKM_CAMELLIA_CCM, known{ // Wycheproof, camellia_ccm_test.json, 13
			"d97c9b043bdccfd59491a995e78f1696",
			&CCMParams{17, unhex("ef423240358830df915506a3"), unhex("3ddba7b3ab69c8b2"), 16},
			"f047594a5cffda64303a80b2fa6a957169",
			"0c0cf83315d3b3d3a94d21cd10d8d5222c" + "ac5dd07e9a1d117d33e01dada4310e6b",
		}),
		c.keyWrap(ck.CKM_CAMELLIA_KEY_WRAP, known{ // Wycheproof, camellia_wrap_test.json, 4
			"e0e12959109103e30ae8b5684a22e662", nil, "dbb0f2bb2be912a20430972d9842ce3fd3b928e573e1ac8e",
			"f0c096c18af796eef966dc0feb93b1e2e06df7670a39ca713a51138a02525ae2",
		}),
		c.ecbEncryptData(ck.CKM_CAMELLIA_ECB_ENCRYPT_DATA, knownECBData(camelliaECBAnswers[0])),
		c.cbcEncryptData(ck.CKM_CAMELLIA_CBC_ENCRYPT_DATA, (*AESCBCEncryptDataParams)(nil), knownCBCData(camelliaCBCAnswer)),
	)
}

// camelliaECBAnswers are those of RFC 3713, appendix A.
var camelliaECBAnswers = []known{
	{"0123456789abcdeffedcba9876543210", nil,
		"0123456789abcdeffedcba9876543210", "67673138549669730857065648eabe43"},
	{"0123456789abcdeffedcba98765432100011223344556677", nil,
		"0123456789abcdeffedcba9876543210", "b4993401b3e996f84ee5cee7d79b09b9"},
	{"0123456789abcdeffedcba987654321000112233445566778899aabbccddeeff", nil,
		"0123456789abcdeffedcba9876543210", "9acc237dff16d76c20ef7c919e3a7509"},
}

// camelliaCBCAnswer has the key, IV and plaintext of NIST SP 800-38A; like those
// for OFB and CFB it is in OpenSSL's evpciph_camellia.txt.
var camelliaCBCAnswer = known{sp80038aKey, unhex(aesIV), sp80038aPlain[:96],
	"1607cf494b36bbf00daeb0b503c831aba2f2cf671629ef7840c5a5dfb5074887" +
		"0f06165008cf8b8b5a63586362543e54"}
