package engine

import (
	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/engine/internal/cast5"
)

// CAST-128, also known as CAST5 (RFC 2144; PKCS#11 Historical Mechanisms v3.1
// section 2.9). Its predecessors CAST and CAST3 were never published.

func init() { later(cast5Mechanisms) }

func cast5Mechanisms() {
	c := &blockCipher{
		keys: []ck.KeyType{ck.CKK_CAST128}, size: cast5.BlockSize, new: cast5.NewCipher,
		row: Mechanism{
			Min: 5, Max: 16,
			Leaks: sboxLeaks, Vectors: "RFC 2144, appendix B; pyca/cryptography",
		},
	}
	registerBlockCipher(c,
		c.keyGen(ck.CKM_CAST128_KEY_GEN, ck.CKK_CAST128, cast5ECBAnswers[0]),
		c.ecb(ck.CKM_CAST128_ECB, cast5ECBAnswers...),
		c.cbc(ck.CKM_CAST128_CBC, cast5CBCAnswer),
		c.cbcPad(ck.CKM_CAST128_CBC_PAD, knownPad(cast5ECBAnswers[0], "0123456789")),
		c.mac(ck.CKM_CAST128_MAC, knownCBCMAC(cast5CBCAnswer, nil, 4)),
		c.macGeneral(ck.CKM_CAST128_MAC_GENERAL, knownCBCMAC(cast5CBCAnswer, uint64(8), 8)),
	)
}

// cast5ECBAnswers are those of RFC 2144, appendix B.1: of 128, 80 and 40 bits.
var cast5ECBAnswers = []known{
	{"0123456712345678234567893456789a", nil, "0123456789abcdef", "238b4fe5847e44b2"},
	{"01234567123456782345", nil, "0123456789abcdef", "eb6a711a2c02271b"},
	{"0123456712", nil, "0123456789abcdef", "7ac816d16e9b302e"},
}

// cast5CBCAnswer is the first one of pyca/cryptography's cast5-cbc.txt.
var cast5CBCAnswer = known{"1f8e4973953f3fb0bd6b16662e9a3c17", unhex("2fe2b333ceda8f98"),
	"45cf12964fc824ab76616ae2f4bf0822", "327c198b9d0a59456a2194bd21fc3ff0"}
