package engine

import (
	"crypto/cipher"
	"fmt"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/engine/internal/rc2"
)

// RC2 (RFC 2268; PKCS#11 Historical Mechanisms v3.1 section 2.3). The parameter
// says to how many bits the key is to be weakened. Sizes are in bits.

// RC2CBCParams is CK_RC2_CBC_PARAMS.
type RC2CBCParams struct {
	EffectiveBits uint64
	IV            [8]byte
}

// RC2MACGeneralParams is CK_RC2_MAC_GENERAL_PARAMS.
type RC2MACGeneralParams struct {
	EffectiveBits uint64
	MACLen        uint64
}

func init() { later(rc2Mechanisms) }

func rc2Mechanisms() {
	c := &blockCipher{
		keys: []ck.KeyType{ck.CKK_RC2}, size: rc2.BlockSize, open: openRC2,
		row: Mechanism{
			Min: 1, Max: 1024,
			Leaks: "tables and parts of the key are looked up", Vectors: "RFC 2268, section 5; OpenSSL",
		},
	}
	ecb := rc2ECBAnswers[0]
	pad := knownPad(ecb, "0123456789")
	registerBlockCipher(c,
		c.keyGenOf(ck.CKM_RC2_KEY_GEN, ck.CKK_RC2, 8, 1024, ecb),
		taking(c.ecb(ck.CKM_RC2_ECB, rc2ECBAnswers...), uint64(0)),
		taking(c.cbc(ck.CKM_RC2_CBC, rc2CBCAnswer), (*RC2CBCParams)(nil)),
		taking(c.cbcPad(ck.CKM_RC2_CBC_PAD, known{
			pad.key, &RC2CBCParams{63, [8]byte(pad.p.([]byte))}, pad.in, pad.out,
		}), (*RC2CBCParams)(nil)),
		taking(c.mac(ck.CKM_RC2_MAC, rc2MACAnswer(uint64(63), 4)), uint64(0)),
		taking(c.macGeneral(ck.CKM_RC2_MAC_GENERAL, rc2MACAnswer(&RC2MACGeneralParams{63, 8}, 8)), (*RC2MACGeneralParams)(nil)),
	)
}

// openRC2 makes the cipher as the parameter of any of the mechanisms says.
func openRC2(k *Key, param any) (cipher.Block, any, error) {
	var bits uint64
	var rest any
	switch p := param.(type) {
	case uint64:
		bits = p
	case *RC2CBCParams:
		if p != nil {
			bits, rest = p.EffectiveBits, p.IV[:]
		}
	case *RC2MACGeneralParams:
		if p != nil {
			bits, rest = p.EffectiveBits, p.MACLen
		}
	}
	if bits < 1 || bits > 1024 {
		return nil, nil, fmt.Errorf("there must be 1 to 1024 effective bits: %w", ck.CKR_MECHANISM_PARAM_INVALID)
	}
	block, err := rc2.NewCipher(k.Value(), int(bits))
	if err != nil {
		return nil, nil, ck.CKR_KEY_SIZE_RANGE
	}
	return block, rest, nil
}

// keyGenOf is keyGen for ciphers whose sizes are in bits, or that take more than
// the key.
func (c *blockCipher) keyGenOf(t ck.MechanismType, makes ck.KeyType, min, max uint64, answer known) *Mechanism {
	m := c.keyGen(t, makes, answer)
	m.Min, m.Max = min, max
	m.Generate = func(p any, template []ck.Attribute) ([]ck.Attribute, error) { return generateOf(makes, p, template) }
	return m
}

// rc2ECBAnswers are most of those of RFC 2268, section 5.
var rc2ECBAnswers = []known{
	{"0000000000000000", uint64(63), "0000000000000000", "ebb773f993278eff"},
	{"ffffffffffffffff", uint64(64), "ffffffffffffffff", "278b27e42e2f0d49"},
	{"88", uint64(64), "0000000000000000", "61a8a244adacccf0"},
	{"88bca90e90875a7f0f79c384627bafb2", uint64(64), "0000000000000000", "1a807d272bbe5db1"},
	{"88bca90e90875a7f0f79c384627bafb2", uint64(128), "0000000000000000", "2269552ab0f85ca6"},
	{"88bca90e90875a7f0f79c384627bafb216f80a6f85920584c42fceb0be255daf1e", uint64(129),
		"0000000000000000", "5b78d3a43dfff1f1"},
}

// rc2CBCAnswer is in OpenSSL's evpciph_rc2.txt.
var rc2CBCAnswer = known{"0000000000000000", &RC2CBCParams{EffectiveBits: 63},
	"000102030405060708090a0b0c0d0e0f", "b406b9037baf2d866614ef5e55e95b8d"}

func rc2MACAnswer(p any, n int) known {
	return knownCBCMAC(known{rc2CBCAnswer.key, make([]byte, 8), rc2CBCAnswer.in, rc2CBCAnswer.out}, p, n)
}
