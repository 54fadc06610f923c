package engine

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/perilune/perilune/cryptoki/ck"
)

// Diffie-Hellman and MQV of ANSI X9.42 (PKCS#11 v3.1, sections 6.4.8 to 6.4.13).

// Lengths in bits of the prime, and of one that we make.
const (
	x942MinBits    = 1024
	x942MaxNewBits = 4096
)

// X942DH1Params is CK_X9_42_DH1_DERIVE_PARAMS.
type X942DH1Params struct {
	KDF        ck.KDF
	OtherInfo  []byte `c:"len,ptr"`
	PublicData []byte `c:"len,ptr"`
}

// X942DH2Params is CK_X9_42_DH2_DERIVE_PARAMS.
type X942DH2Params struct {
	KDF            ck.KDF
	OtherInfo      []byte `c:"len,ptr"`
	PublicData     []byte `c:"len,ptr"`
	PrivateDataLen uint64 // of no use beside a handle
	PrivateData    ck.ObjectHandle
	PublicData2    []byte `c:"len,ptr"`
}

// X942MQVParams is CK_X9_42_MQV_DERIVE_PARAMS.
type X942MQVParams struct {
	KDF            ck.KDF
	OtherInfo      []byte `c:"len,ptr"`
	PublicData     []byte `c:"len,ptr"`
	PrivateDataLen uint64
	PrivateData    ck.ObjectHandle
	PublicData2    []byte `c:"len,ptr"`
	PublicKey      ck.ObjectHandle
}

func init() { later(x942Mechanisms) }

func x942Mechanisms() {
	row := func(m *Mechanism) *Mechanism {
		m.Min, m.Max = x942MinBits, dlMaxKeyBits
		m.FIPS, m.FIPSMin, m.Approve = true, 2048, approveKDF
		return m
	}
	keys := []ck.KeyType{ck.CKK_X9_42_DH}
	register(
		row(&Mechanism{
			Type: ck.CKM_X9_42_DH_PARAMETER_GEN, Makes: ck.CKK_X9_42_DH, Vectors: "NIST CAVP PQGGen (FIPS 186-3)",
			GenerateParameters: generateX942Parameters, SelfTest: testProbablePrimes,
		}),
		row(&Mechanism{
			Type: ck.CKM_X9_42_DH_KEY_PAIR_GEN, Makes: ck.CKK_X9_42_DH, Vectors: "RFC 5114 appendix A (public key of a private one)",
			GeneratePair: x942Type.generatePair, SelfTest: testGenerateDH,
		}),
		row(&Mechanism{
			Type: ck.CKM_X9_42_DH_DERIVE, Param: (*X942DH1Params)(nil), Keys: keys, Vectors: "RFC 5114 appendix A; NIST CAVP KASValidityTest FFCStatic; RFC 2631 2.1.6",
			Derive: x942Derive, SelfTest: testX942,
			Encapsulate: x942Encapsulate, CiphertextLen: x942Type.ciphertextLen, Decapsulate: x942Decapsulate,
		}),
		row(&Mechanism{
			Type: ck.CKM_X9_42_DH_HYBRID_DERIVE, Param: (*X942DH2Params)(nil), Keys: keys, Vectors: "two shared secrets of RFC 5114 appendix A",
			Derive: x942Hybrid, SelfTest: testX942Hybrid,
		}),
		row(&Mechanism{
			Type: ck.CKM_X9_42_MQV_DERIVE, Param: (*X942MQVParams)(nil), Keys: keys, Vectors: "NIST CAVP KAS FFC MQV",
			Derive: x942MQV, SelfTest: testX942MQV,
		}),
	)
}

// generateX942Parameters makes the parameters as FIPS 186-4 does for DSA, which
// X9.42 has taken over, for more lengths.
func generateX942Parameters(p any, template []ck.Attribute) ([]ck.Attribute, error) {
	if err := noParam(p); err != nil {
		return nil, err
	}
	if err := refuseValues(template, ck.CKA_PRIME, ck.CKA_SUBPRIME, ck.CKA_BASE); err != nil {
		return nil, err
	}
	prime, err := templateBits(template, ck.CKA_PRIME_BITS, 0)
	if err != nil {
		return nil, err
	}
	order, err := templateBits(template, ck.CKA_SUBPRIME_BITS, 0)
	if err != nil {
		return nil, err
	}
	if prime < x942MinBits || prime > x942MaxNewBits || prime%64 != 0 || order < 160 || order > 512 || order%8 != 0 {
		return nil, fmt.Errorf("primes are of %d to %d bits, in steps of 64, with orders of 160 to 512: %w", x942MinBits, x942MaxNewBits, ck.CKR_KEY_SIZE_RANGE)
	}
	return x942Type.newParameters(Random, prime, order)
}

func x942Derive(base *Key, p any, d *Derivation) ([]byte, error) {
	params, err := structParam[X942DH1Params](p)
	if err != nil {
		return nil, err
	}
	return x942Finish(params.KDF, params.OtherInfo, d, func() ([]byte, error) {
		return x942Type.shared(base, params.PublicData)
	})
}

// x942Hybrid joins two shared secrets: that of the second keys, which the
// structure for MQV calls ephemeral, and that of the first, static ones (X9.42,
// dhHybrid1; NIST SP 800-56A, section 6.1.1.1: Ze and then Zs).
func x942Hybrid(base *Key, p any, d *Derivation) ([]byte, error) {
	params, err := structParam[X942DH2Params](p)
	if err != nil {
		return nil, err
	}
	second, err := x942Second(base, d, 1)
	if err != nil {
		return nil, err
	}
	return x942Finish(params.KDF, params.OtherInfo, d, func() ([]byte, error) {
		static, err := x942Type.shared(base, params.PublicData)
		if err != nil {
			return nil, err
		}
		defer clear(static)
		ephemeral, err := x942Type.shared(second, params.PublicData2)
		defer clear(ephemeral)
		return slices.Concat(ephemeral, static), err
	})
}

// x942Second is the second private key, of the group of the first one, and the
// first of n keys in the parameter.
func x942Second(base *Key, d *Derivation, n int) (*Key, error) {
	if len(d.Keys) != n || d.Keys[0] == nil {
		return nil, fmt.Errorf("hPrivateData is missing: %w", ck.CKR_MECHANISM_PARAM_INVALID)
	}
	second := d.Keys[0]
	if second.Class != ck.CKO_PRIVATE_KEY || second.Type != ck.CKK_X9_42_DH {
		return nil, fmt.Errorf("hPrivateData is no X9.42 private key: %w", ck.CKR_KEY_TYPE_INCONSISTENT)
	}
	return second, sameGroup(base, second)
}

// sameGroup checks that keys belong together. Groups are remembered, so that
// the same numbers are mostly the same group; that is not relied on.
func sameGroup(a, b *Key) error {
	x, err := x942Type.group(a)
	if err != nil {
		return err
	}
	y, err := x942Type.group(b)
	if err != nil {
		return err
	}
	if !bytes.Equal(x.P, y.P) || !bytes.Equal(x.Q, y.Q) || !bytes.Equal(x.G, y.G) {
		return fmt.Errorf("the keys are of different groups: %w", ck.CKR_DOMAIN_PARAMS_INVALID)
	}
	return nil
}

// x942MQV takes the static private key as the base key; the parameter names the
// ephemeral private and public keys, and has the static and then the ephemeral
// public value of the other party.
func x942MQV(base *Key, p any, d *Derivation) ([]byte, error) {
	params, err := structParam[X942MQVParams](p)
	if err != nil {
		return nil, err
	}
	second, err := x942Second(base, d, 2)
	if err != nil {
		return nil, err
	}
	public := d.Keys[1]
	if public == nil {
		return nil, fmt.Errorf("publicKey is missing: %w", ck.CKR_MECHANISM_PARAM_INVALID)
	}
	if public.Class != ck.CKO_PUBLIC_KEY || public.Type != ck.CKK_X9_42_DH {
		return nil, fmt.Errorf("publicKey is no X9.42 public key: %w", ck.CKR_KEY_TYPE_INCONSISTENT)
	}
	if err := sameGroup(base, public); err != nil {
		return nil, err
	}
	return x942Finish(params.KDF, params.OtherInfo, d, func() ([]byte, error) {
		g, x, err := x942Type.private(base)
		if err != nil {
			return nil, err
		}
		_, r, err := x942Type.private(second)
		if err != nil {
			return nil, err
		}
		z, err := g.MQV(x, r, public.Value(), params.PublicData, params.PublicData2)
		return z, agreementError(err)
	})
}

// x942Finish makes the key of a shared secret, whose function is called only if
// all else is right. The key derivation functions are those of ECDH, to which
// X9.42 has lent its own: the secret, a counter and the other information are
// hashed, or the secret and the DER of OtherInfo with the counter inside.
func x942Finish(kdf ck.KDF, info []byte, d *Derivation, secret func() ([]byte, error)) ([]byte, error) {
	if err := checkECKDF(kdf, info, d.Len); err != nil {
		return nil, err
	}
	z, err := secret()
	if err != nil {
		return nil, err
	}
	return deriveECKey(kdf, z, info, d.Len)
}
