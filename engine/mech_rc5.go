package engine

import (
	"crypto/cipher"
	"fmt"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/engine/internal/rc5"
)

// RC5 (RFC 2040; PKCS#11 Historical Mechanisms v3.1 section 2.5). The parameter
// gives the size of the words in bytes, two of which are a block, and the number
// of rounds.

// RC5Params is CK_RC5_PARAMS.
type RC5Params struct {
	WordSize, Rounds uint64
}

// RC5CBCParams is CK_RC5_CBC_PARAMS.
type RC5CBCParams struct {
	WordSize, Rounds uint64
	IV               []byte `c:"ptr,len"`
}

// RC5MACGeneralParams is CK_RC5_MAC_GENERAL_PARAMS.
type RC5MACGeneralParams struct {
	WordSize, Rounds uint64
	MACLen           uint64
}

func init() { later(rc5Mechanisms) }

func rc5Mechanisms() {
	c := &blockCipher{
		keys: []ck.KeyType{ck.CKK_RC5}, size: 16, open: openRC5,
		row: Mechanism{Min: 1, Max: 255, Vectors: "RFC 2040, section 9; Rivest's paper; draft-krovetz-rc6-rc5-vectors"},
	}
	registerBlockCipher(c,
		c.keyGenOf(ck.CKM_RC5_KEY_GEN, ck.CKK_RC5, 1, 255, rc5ECBAnswers[0]),
		taking(c.ecb(ck.CKM_RC5_ECB, rc5ECBAnswers...), (*RC5Params)(nil)),
		taking(c.cbc(ck.CKM_RC5_CBC, known{
			"0102030405", &RC5CBCParams{4, 8, make([]byte, 8)},
			"ffffffffffffffff0808080808080808", "7875dbf6738c64788f34c3c681c99695",
		}), (*RC5CBCParams)(nil)),
		taking(c.cbcPad(ck.CKM_RC5_CBC_PAD, known{
			"0102030405", &RC5CBCParams{4, 8, make([]byte, 8)},
			"ffffffffffffffff", "7875dbf6738c64788f34c3c681c99695",
		}), (*RC5CBCParams)(nil)),
		c.rc5MAC(),
		taking(c.macGeneral(ck.CKM_RC5_MAC_GENERAL, known{
			"0102030405", &RC5MACGeneralParams{4, 8, 8}, "ffffffffffffffff0808080808080808", "8f34c3c681c99695",
		}), (*RC5MACGeneralParams)(nil)),
	)
}

// rc5MAC makes codes of half a block, which is a word.
func (c *blockCipher) rc5MAC() *Mechanism {
	answers := []known{{"0102030405", &RC5Params{4, 8}, "ffffffffffffffff0808080808080808", "8f34c3c6"}}
	m := c.authenticatingWith(ck.CKM_RC5_MAC, answers, func(k *Key, p any) (mac, error) {
		m, _, err := newPlainMAC(c, k, p)
		if err != nil {
			return nil, err
		}
		m.cut(m.size() / 2)
		return m, nil
	})
	m.Param = (*RC5Params)(nil)
	return m
}

// openRC5 makes the cipher as the parameter of any of the mechanisms says.
func openRC5(k *Key, param any) (cipher.Block, any, error) {
	var size, rounds uint64
	var rest any
	switch p := param.(type) {
	case *RC5Params:
		if p != nil {
			size, rounds = p.WordSize, p.Rounds
		}
	case *RC5CBCParams:
		if p != nil {
			size, rounds, rest = p.WordSize, p.Rounds, p.IV
		}
	case *RC5MACGeneralParams:
		if p != nil {
			size, rounds, rest = p.WordSize, p.Rounds, p.MACLen
		}
	}
	if size != 2 && size != 4 && size != 8 || rounds > 255 {
		return nil, nil, fmt.Errorf("a word has 2, 4 or 8 bytes, and there are 0 to 255 rounds: %w", ck.CKR_MECHANISM_PARAM_INVALID)
	}
	block, err := rc5.NewCipher(k.Value(), int(size), int(rounds))
	if err != nil {
		return nil, nil, ck.CKR_KEY_SIZE_RANGE
	}
	return block, rest, nil
}

// rc5ECBAnswers are those of Rivest's paper ("The RC5 Encryption Algorithm",
// 1994), of RFC 2040, section 9, with an IV of zeros, and of
// draft-krovetz-rc6-rc5-vectors-00, section 4. The further ones are from the RFC,
// or follow from those.
var rc5ECBAnswers = []known{
	{"915f4619be41b2516355a50110a9ce91", &RC5Params{4, 12}, "21a5dbee154b8f6d", "f7c013ac5b2b8952"},
	{"00", &RC5Params{4, 0}, "0000000000000000", "7a7bba4d79111d1e"},
	{"01020304", &RC5Params{4, 16}, "ffffffffffffffff", "cf270ef9717ff7c4"},
	{"0001020304050607", &RC5Params{2, 16}, "00010203", "23a8d72e"},
	{"000102030405060708090a0b0c0d0e0f1011121314151617", &RC5Params{8, 24},
		"000102030405060708090a0b0c0d0e0f", "a46772820edbce0235abea32ae7178da"},
}
