package engine

import (
	"crypto/cipher"

	//lint:ignore SA1019 the standard has it, and what was encrypted with it is still about
	"golang.org/x/crypto/blowfish"
	//lint:ignore SA1019 the same
	"golang.org/x/crypto/twofish"

	"github.com/perilune/perilune/cryptoki/ck"
)

// Blowfish and Twofish (PKCS#11 v3.1 sections 6.45 and 6.46), which the standard
// has in CBC only.

func init() { later(blowfishMechanisms) }

func blowfishMechanisms() {
	b := &blockCipher{
		keys: []ck.KeyType{ck.CKK_BLOWFISH}, size: blowfish.BlockSize,
		new: func(key []byte) (cipher.Block, error) { return blowfish.NewCipher(key) },
		row: Mechanism{Min: 1, Max: 56, Leaks: sboxLeaks, Vectors: "Schneier's vectors-2.txt"},
	}
	registerBlockCipher(b,
		b.keyGen(ck.CKM_BLOWFISH_KEY_GEN, ck.CKK_BLOWFISH, blowfishAnswer),
		b.cbc(ck.CKM_BLOWFISH_CBC, known{
			"0123456789abcdeff0e1d2c3b4a59687", unhex("fedcba9876543210"),
			"37363534333231204e6f77206973207468652074696d6520666f722000000000",
			"6b77b4d63006dee605b156e27403979358deb9e7154616d959f1652bd5ff92cc",
		}),
		b.cbcPad(ck.CKM_BLOWFISH_CBC_PAD, knownPad(blowfishAnswer, "0123456789")),
	)

	t := &blockCipher{
		keys: []ck.KeyType{ck.CKK_TWOFISH}, size: twofish.BlockSize,
		new: func(key []byte) (cipher.Block, error) { return twofish.NewCipher(key) },
		row: Mechanism{Min: 16, Max: 32, Leaks: sboxLeaks, Vectors: "the paper that proposed Twofish, appendix B"},
	}
	registerBlockCipher(t,
		t.keyGen(ck.CKM_TWOFISH_KEY_GEN, ck.CKK_TWOFISH, twofishAnswers[0]),
		t.cbc(ck.CKM_TWOFISH_CBC, knownCBC(twofishAnswers[0]), knownCBC(twofishAnswers[1]), knownCBC(twofishAnswers[2])),
		t.cbcPad(ck.CKM_TWOFISH_CBC_PAD, knownPad(twofishAnswers[0], "0123456789")),
	)
}

// blowfishAnswer is the first one of Schneier's vectors-2.txt; the one for CBC
// is there too.
var blowfishAnswer = known{"0000000000000000", nil, "0000000000000000", "4ef997456198dd78"}

// twofishAnswers are those of the paper (Schneier and others, "Twofish: A
// 128-Bit Block Cipher", appendix B.2).
var twofishAnswers = []known{
	{"00000000000000000000000000000000", nil,
		"00000000000000000000000000000000", "9f589f5cf6122c32b6bfec2f2ae8c35a"},
	{"0123456789abcdeffedcba98765432100011223344556677", nil,
		"00000000000000000000000000000000", "cfd1d2e5a9be9cdf501f13b892bd2248"},
	{"0123456789abcdeffedcba987654321000112233445566778899aabbccddeeff", nil,
		"00000000000000000000000000000000", "37527be0052334b89f0cfccae87cfa20"},
}
