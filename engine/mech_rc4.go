package engine

import (
	"crypto/rc4"

	"github.com/perilune/perilune/cryptoki/ck"
)

// RC4 (PKCS#11 Historical Mechanisms v3.1 section 2.4). Sizes are in bits.

func init() { later(rc4Mechanisms) }

func rc4Mechanisms() {
	register(
		&Mechanism{
			Type: ck.CKM_RC4_KEY_GEN, Makes: ck.CKK_RC4, Min: 8, Max: 2048, Vectors: formOnly,
			Generate: func(p any, template []ck.Attribute) ([]ck.Attribute, error) {
				return generateOf(ck.CKK_RC4, p, template)
			},
			SelfTest: func() error { return testSecretGen(ck.CKM_RC4_KEY_GEN) },
		},
		&Mechanism{
			Type: ck.CKM_RC4, Keys: []ck.KeyType{ck.CKK_RC4}, Min: 8, Max: 2048,
			Leaks: "the state is a table that is looked up", Vectors: "RFC 6229",
			Encrypt: newRC4, Decrypt: newRC4,
			SelfTest: func() error {
				return testKnown(ck.CKM_RC4, []known{{"0102030405", nil, "00000000000000000000000000000000" +
					"00000000000000000000000000000000", "b2396305f03dc027ccc3524a0a1118a86982944f18fc82d589c403a47a0d0919"}})
			},
		},
	)
}

// rc4Op is RC4 under way. Its state cannot be saved.
type rc4Op struct{ stream *rc4.Cipher }

func newRC4(k *Key, p any) (Op, error) {
	if err := noParam(p); err != nil {
		return nil, err
	}
	if k.Type != ck.CKK_RC4 {
		return nil, ck.CKR_KEY_TYPE_INCONSISTENT
	}
	stream, err := rc4.NewCipher(k.Value())
	if err != nil {
		return nil, ck.CKR_KEY_SIZE_RANGE
	}
	return rc4Op{stream}, nil
}

func (rc4Op) UpdateLen(n int) int { return n }

func (o rc4Op) Update(dst, src []byte) (int, error) {
	o.stream.XORKeyStream(dst[:len(src)], src)
	return len(src), nil
}

func (rc4Op) FinishLen(n int) (int, bool) { return n, true }

func (o rc4Op) Finish(dst, src []byte) (int, error) { return o.Update(dst, src) }
