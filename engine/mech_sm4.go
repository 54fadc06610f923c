package engine

import (
	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/engine/internal/sm4"
)

// SM4 (GB/T 32907-2016), in constant time. The numbers are Perilune's own. Key
// wrap and derivations are left out, because nobody published answers for them.

func init() { later(sm4Mechanisms) }

func sm4Mechanisms() {
	c := &blockCipher{
		keys: []ck.KeyType{ck.CKK_SM4}, size: 16, new: sm4.NewCipher,
		row: Mechanism{Min: 16, Max: 16, Vectors: "GB/T 32907-2016; GB/T 15852.1-2020; draft-ribose-cfrg-sm4; RFC 8998; Wycheproof"},
	}
	registerBlockCipher(c,
		c.keyGen(ck.CKM_SM4_KEY_GEN, ck.CKK_SM4, sm4ECBAnswer),
		c.ecb(ck.CKM_SM4_ECB, sm4ECBAnswer),
		c.cbc(ck.CKM_SM4_CBC, known{
			sm4Key, unhex(sm4Key), sm4Key + sm4Key,
			"2677f46b09c122cc975533105bd4a22af6125f7275ce552c3a2bbcf533de8a3b",
		}),
		c.cbcPad(ck.CKM_SM4_CBC_PAD, knownPad(sm4ECBAnswer, "0123456789")),
		c.cmac(ck.CKM_SM4_CMAC, sm4CMACAnswers(nil, 16)...),
		c.cmacGeneral(ck.CKM_SM4_CMAC_GENERAL, sm4CMACAnswers(uint64(8), 8)...),
		c.ctr(ck.CKM_SM4_CTR, known{
			sm4Key, &CTRParams{CounterBits: 128, CB: [16]byte(unhex(sm4Key))}, sm4Message,
			"c2b4759e78ac3cf43d0852f4e8d5f9fd7256e8a5fcb65a350ee00630912e4449" +
				"2a0b17e1b85b060d0fba612d8a95831638b361fd5ffacd942f081485a83ca35d",
		}),
		c.ofb(ck.CKM_SM4_OFB, 128, known{
			sm4Key, unhex(sm4Key), sm4Key + sm4Key,
			"693d9a535bad5bb1786f53d7253a7056f2075d28b5235f58d50027e4177d2bce",
		}),
		c.cfb(ck.CKM_SM4_CFB128, 128, known{
			sm4Key, unhex(sm4Key), sm4Key + sm4Key,
			"693d9a535bad5bb1786f53d7253a70569ed258a85a0467cc92aab393dd978995",
		}),
		c.gcm(ck.CKM_SM4_GCM, known{ // RFC 8998, appendix A.1
			sm4Key, &GCMParams{IV: unhex(sm4Nonce), AAD: unhex(sm4AAD), TagBits: 128}, sm4Message,
			"17f399f08c67d5ee19d0dc9969c4bb7d5fd46fd3756489069157b282bb200735" +
				"d82710ca5c22f0ccfa7cbf93d496ac15a56834cbcf98c397b4024a2691233b8d" +
				"83de3541e4c2b58177e065a9bf7b62ec",
		}),
		c.ccm(ck.CKM_SM4_CCM, known{ // RFC 8998, appendix A.2
			sm4Key, &CCMParams{64, unhex(sm4Nonce), unhex(sm4AAD), 16}, sm4Message,
			"48af93501fa62adbcd414cce6034d895dda1bf8f132f042098661572e7483094" +
				"fd12e518ce062c98acee28d95df4416bed31a2f04476c18bb40c84a74b97dc5b" +
				"16842d4fa186f56ab33256971fa110f4",
		}),
	)
}

const sm4Key = "0123456789abcdeffedcba9876543210"

// sm4ECBAnswer is GB/T 32907-2016, annex A.1. The further ones without a source
// beside them are from draft-ribose-cfrg-sm4-10, appendix A.2.
var sm4ECBAnswer = known{sm4Key, nil, sm4Key, "681edf34d206965e86b3e94f536e4246"}

// sm4CMACAnswers are those of GB/T 15852.1-2020, annex B, for CMAC, cut to n
// bytes.
func sm4CMACAnswers(p any, n int) []known {
	return []known{
		// "This is the test message for mac"
		{sm4Key, p, "54686973206973207468652074657374206d65737361676520666f72206d6163",
			"692c437100f3b5ee2b8abcef373d990c"[:2*n]},
		// "This is the test message "
		{sm4Key, p, "54686973206973207468652074657374206d65737361676520",
			"4738a6c760b280fc0c8a8af3886e9f5d"[:2*n]},
	}
}

// The message of RFC 8998.
const (
	sm4Nonce   = "00001234567800000000abcd"
	sm4AAD     = "feedfacedeadbeeffeedfacedeadbeefabaddad2"
	sm4Message = "aaaaaaaaaaaaaaaabbbbbbbbbbbbbbbbccccccccccccccccdddddddddddddddd" +
		"eeeeeeeeeeeeeeeeffffffffffffffffeeeeeeeeeeeeeeeeaaaaaaaaaaaaaaaa"
)
