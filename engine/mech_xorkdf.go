package engine

import (
	"crypto/subtle"
	"fmt"

	"github.com/perilune/perilune/cryptoki/ck"
)

// CKM_XOR_BASE_AND_DATA_W_KDF. The device lists it with ECIES, as encryption
// and decryption, and says no more. Here they are the encryption by XOR of SEC
// 1, section 3.8.1: the key and the shared data go through the function of ANSI
// X9.63, and what comes out is added to the message. As a derivation it is
// CKM_XOR_BASE_AND_DATA, followed by the function.

func init() { later(xorkdfMechanisms) }

func xorkdfMechanisms() {
	register(&Mechanism{
		Type: ck.CKM_XOR_BASE_AND_DATA_W_KDF, Param: (*XORBaseDataKDFParams)(nil), Keys: anySecretKey,
		Min: 1, Max: maxSecret, Inherits: true,
		Encrypt: newXORKDF, Decrypt: newXORKDF,
		Derive:   deriveXORKDF,
		SelfTest: testXORKDF, Vectors: "PKCS#11 v3.1 section 6.43; NIST CAVP ANS X9.63",
	})
}

// XORBaseDataKDFParams is CK_XOR_BASE_DATA_KDF_PARAMS.
type XORBaseDataKDFParams struct {
	KDF        ck.KDF
	SharedData []byte `c:"len,ptr"`
}

// xorKDF is the parameter with its function.
type xorKDF struct {
	onePart
	key *Key
	*XORBaseDataKDFParams
}

func newXORKDF(k *Key, param any) (Op, error) {
	p, err := structParam[XORBaseDataKDFParams](param)
	if err != nil {
		return nil, err
	}
	if _, ok := ecKDFs[p.KDF]; !ok {
		return nil, fmt.Errorf("unknown key derivation function: %w", ck.CKR_MECHANISM_PARAM_INVALID)
	}
	if len(k.Value()) == 0 {
		return nil, ck.CKR_KEY_SIZE_RANGE
	}
	return &xorKDF{key: k, XORBaseDataKDFParams: p}, nil
}

func (x *xorKDF) FinishLen(n int) (int, bool) { return n, true }

func (x *xorKDF) Finish(dst, src []byte) (int, error) {
	if len(src) > maxSecret {
		return 0, ck.CKR_DATA_LEN_RANGE
	}
	stream := ecKDFs[x.KDF].derive(x.key.Value(), x.SharedData, len(src))
	defer clear(stream)
	return subtle.XORBytes(dst, src, stream), nil
}

func deriveXORKDF(base *Key, param any, d *Derivation) ([]byte, error) {
	p, err := structParam[XORBaseDataKDFParams](param)
	if err != nil {
		return nil, err
	}
	if len(p.SharedData) == 0 || len(base.Value()) == 0 { // nothing secret would be left
		return nil, fmt.Errorf("the data are missing: %w", ck.CKR_MECHANISM_PARAM_INVALID)
	}
	sum := make([]byte, min(len(base.Value()), len(p.SharedData)))
	subtle.XORBytes(sum, base.Value(), p.SharedData)
	if p.KDF == ck.CKD_NULL {
		return leading(sum, d)
	}
	f, ok := ecKDFs[p.KDF]
	if !ok {
		return nil, fmt.Errorf("unknown key derivation function: %w", ck.CKR_MECHANISM_PARAM_INVALID)
	}
	n, err := wantedLen(d)
	if err != nil {
		return nil, err
	}
	defer clear(sum)
	return f.derive(sum, nil, n), nil
}

// testXORKDF checks the standard's example of CKM_XOR_BASE_AND_DATA, and the
// first vector of SHA-1 without shared data of NIST's CAVP for ANS X9.63 in both
// roles.
func testXORKDF() error {
	t, zero := ck.CKM_XOR_BASE_AND_DATA_W_KDF, make([]byte, 24)
	if err := testDerive(t, unhex("01234567"), &XORBaseDataKDFParams{ck.CKD_NULL, unhex("89abcdef")}, "88888888"); err != nil {
		return err
	}
	z, want := unhex("1c7d7b5f0597b03d06a018466ed1a93e30ed4b04dc64ccdd"), "bf71dffd8f4d99223936beb46fee8ccc"
	if err := testDerive(t, z, &XORBaseDataKDFParams{ck.CKD_SHA1_KDF, zero}, want); err != nil {
		return err
	}
	return testOp(t, newXORKDF, secretKey(ck.CKK_GENERIC_SECRET, z), &XORBaseDataKDFParams{KDF: ck.CKD_SHA1_KDF},
		"00000000000000000000000000000000", want)
}
