package engine

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"

	"github.com/perilune/perilune/cryptoki/ck"
)

// The device's own derivations by a pseudorandom function in counter mode (NIST
// SP 800-108, section 4.1): CKM_NIST_PRF_KDF with those that NIST approves, and
// CKM_PRF_KDF with more.

func init() { later(prfkdfMechanisms) }

func prfkdfMechanisms() {
	row := func(t ck.MechanismType, nist bool) *Mechanism {
		m := &Mechanism{
			Type: t, Param: (*KDFPRFParams)(nil), Keys: anySecretKey, Min: 1, Max: maxSecret,
			Derive:   func(k *Key, p any, d *Derivation) ([]byte, error) { return derivePRF(k, p, d, nist) },
			SelfTest: func() error { return testPRFKDF(t) },
			Leaks:    "only with CMAC of DES3: " + sboxLeaks,
			Vectors:  "NIST CAVP KBKDF; RFC 8009 A; pySim for SCP03",
		}
		if nist {
			m.FIPS, m.FIPSMin, m.Approve = true, hmacFIPSMin, approvePRFKey
		}
		return m
	}
	register(row(ck.CKM_NIST_PRF_KDF, true), row(ck.CKM_PRF_KDF, false))
}

// KDFPRFParams is CK_KDF_PRF_PARAMS.
type KDFPRFParams struct {
	PRF      uint64
	Label    []byte `c:"ptr,len"`
	Context  []byte `c:"ptr,len"`
	Counter  uint64 // of the first segment
	Encoding uint64
}

// kdfPRF is one function that the parameter can name.
type kdfPRF struct {
	mechanism ck.MechanismType
	nist      bool
}

var kdfPRFs = map[uint64]kdfPRF{
	ck.CK_PRF_KDF_DES3_CMAC:      {ck.CKM_DES3_CMAC, true},
	ck.CK_PRF_KDF_AES_CMAC:       {ck.CKM_AES_CMAC, true},
	ck.CK_PRF_KDF_ARIA_CMAC:      {ck.CKM_ARIA_CMAC, false},
	ck.CK_PRF_KDF_SEED_CMAC:      {ck.CKM_SEED_CMAC, false},
	ck.CK_PRF_KDF_HMAC_SHA1:      {ck.CKM_SHA_1_HMAC, true},
	ck.CK_PRF_KDF_HMAC_SHA224:    {ck.CKM_SHA224_HMAC, true},
	ck.CK_PRF_KDF_HMAC_SHA256:    {ck.CKM_SHA256_HMAC, true},
	ck.CK_PRF_KDF_HMAC_SHA384:    {ck.CKM_SHA384_HMAC, true},
	ck.CK_PRF_KDF_HMAC_SHA512:    {ck.CKM_SHA512_HMAC, true},
	ck.CK_PRF_KDF_HMAC_RIPEMD160: {ck.CKM_RIPEMD160_HMAC, false},
	ck.CK_PRF_KDF_HMAC_SHA3_224:  {ck.CKM_SHA3_224_HMAC, true},
	ck.CK_PRF_KDF_HMAC_SHA3_256:  {ck.CKM_SHA3_256_HMAC, true},
	ck.CK_PRF_KDF_HMAC_SHA3_384:  {ck.CKM_SHA3_384_HMAC, true},
	ck.CK_PRF_KDF_HMAC_SHA3_512:  {ck.CKM_SHA3_512_HMAC, true},
}

func derivePRF(base *Key, param any, d *Derivation, nist bool) ([]byte, error) {
	p, err := structParam[KDFPRFParams](param)
	if err != nil {
		return nil, err
	}
	n, err := wantedLen(d)
	if err != nil {
		return nil, err
	}
	known, ok := kdfPRFs[p.PRF]
	if !ok || nist && !known.nist {
		return nil, fmt.Errorf("the mechanism does not take this pseudorandom function: %w", ck.CKR_MECHANISM_PARAM_INVALID)
	}
	f, err := newPRF(known.mechanism, base)
	if err != nil {
		return nil, err
	}
	if more, most := uint64((n-1)/f.size), p.maxCounter(); more > most || p.Counter > most-more {
		return nil, fmt.Errorf("the counter does not do for so long a key: %w", ck.CKR_MECHANISM_PARAM_INVALID)
	}
	out := make([]byte, 0, n+f.size)
	for i := p.Counter; len(out) < n; i++ {
		input, err := p.input(i, uint64(n)*8)
		if err != nil {
			return nil, err
		}
		out = append(out, f.sum(input)...)
	}
	return out[:n], nil
}

// maxCounter is the highest number that the counter has room for.
func (p *KDFPRFParams) maxCounter() uint64 {
	if p.Encoding == ck.CK_PRF_KDF_ENCODING_SCHEME_SCP03 {
		return math.MaxUint8
	}
	return math.MaxUint32
}

// input is what the function is applied to: as a rule the counter in 32 bits,
// then the fields. SCP03 has it behind the length (GlobalPlatform Card
// Specification 2.3, Amendment D, section 4.1.5). CK_PRF_KDF_ENCODING_SCHEME_HID_KD
// is not published.
func (p *KDFPRFParams) input(i, bits uint64) ([]byte, error) {
	counter := binary.BigEndian.AppendUint32(nil, uint32(i))
	length := binary.BigEndian.AppendUint32(nil, uint32(bits))
	zero := []byte{0}
	switch p.Encoding {
	case ck.CK_PRF_KDF_ENCODING_SCHEME_1:
		return slices.Concat(counter, p.Context, zero, p.Label, length), nil
	case ck.CK_PRF_KDF_ENCODING_SCHEME_2:
		return slices.Concat(counter, p.Context, p.Label), nil
	case ck.CK_PRF_KDF_ENCODING_SCHEME_3:
		return slices.Concat(counter, p.Label, zero, p.Context, length), nil
	case ck.CK_PRF_KDF_ENCODING_SCHEME_4:
		return slices.Concat(counter, p.Label, p.Context), nil
	case ck.CK_PRF_KDF_ENCODING_SCHEME_SCP03:
		if bits > math.MaxUint16 {
			return nil, fmt.Errorf("SCP03 derives shorter keys: %w", ck.CKR_KEY_SIZE_RANGE)
		}
		return slices.Concat(p.Label, zero, length[2:], []byte{byte(i)}, p.Context), nil
	}
	return nil, fmt.Errorf("unknown encoding: %w", ck.CKR_MECHANISM_PARAM_INVALID)
}

// testPRFKDF checks a vector of NIST CAVP's KDFCTR_gen (AES-128 CMAC, counter of
// 32 bits before the fixed data, number 10) and the key Kc of RFC 8009,
// appendix A, aes128-cts-hmac-sha256-128.
func testPRFKDF(t ck.MechanismType) error {
	for _, a := range []struct {
		p         KDFPRFParams
		kt        ck.KeyType
		key, want string
	}{
		{KDFPRFParams{PRF: ck.CK_PRF_KDF_AES_CMAC, Counter: 1, Encoding: ck.CK_PRF_KDF_ENCODING_SCHEME_4, Context: unhex(
			"4fce5942832a390aa1cbe8a0bf9d202cb799e986c9d6b51f45e4d597a6b57f06" +
				"a4ebfec6467335d116b7f5f9c5b954062f661820f5db2a5bbb3e0625")},
			ck.CKK_AES, "695f1b1a16c949cea51cdf2554ec9d42", "d34b601ec18c34dfa0f9e0b7523e218bdddb9befe8d08b6c0202d75ace0dba89"},
		{KDFPRFParams{PRF: ck.CK_PRF_KDF_HMAC_SHA256, Counter: 1, Encoding: ck.CK_PRF_KDF_ENCODING_SCHEME_3, Label: unhex("0000000299")},
			ck.CKK_GENERIC_SECRET, "3705d96080c17728a0e800eab6e0d23c", "b31a018a48f54776f403e9a396325dc3"},
	} {
		if err := testDeriveFrom(t, secretKey(a.kt, unhex(a.key)), &a.p, a.want); err != nil {
			return err
		}
	}
	return nil
}
