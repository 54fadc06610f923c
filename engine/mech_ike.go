package engine

import (
	"encoding/hex"
	"fmt"
	"slices"

	"github.com/perilune/perilune/cryptoki/ck"
)

// Key derivation of IKE, versions 1 and 2 (PKCS#11 v3.1 section 6.64; RFC 2409,
// RFC 7296).

func init() { later(ikeMechanisms) }

func ikeMechanisms() {
	const nist = "NIST CAVP IKE vectors (SP 800-135), and NSS's"
	row := func(m *Mechanism) *Mechanism {
		m.Keys, m.Min, m.Max, m.Vectors = anySecretKey, 1, maxSecret, nist
		return m
	}
	register(
		row(&Mechanism{
			Type: ck.CKM_IKE_PRF_DERIVE, Param: (*IKEPRFDeriveParams)(nil), FIPS: true, FIPSMin: hmacFIPSMin, Approve: approvePRF,
			Derive: deriveIKEPRF, SelfTest: testIKEPRF,
		}),
		row(&Mechanism{
			Type: ck.CKM_IKE2_PRF_PLUS_DERIVE, Param: (*IKE2PRFPlusDeriveParams)(nil), FIPS: true, FIPSMin: hmacFIPSMin, Approve: approvePRF,
			Derive: deriveIKE2PRFPlus, SelfTest: testIKE2PRFPlus,
		}),
		row(&Mechanism{
			Type: ck.CKM_IKE1_PRF_DERIVE, Param: (*IKE1PRFDeriveParams)(nil), FIPS: true, FIPSMin: hmacFIPSMin, Approve: approvePRF,
			Derive: deriveIKE1PRF, SelfTest: testIKE1PRF,
		}),
		row(&Mechanism{
			Type: ck.CKM_IKE1_EXTENDED_DERIVE, Param: (*IKE1ExtendedDeriveParams)(nil), FIPS: true, FIPSMin: hmacFIPSMin, Approve: approvePRF,
			Derive: deriveIKE1Extended, SelfTest: testIKE1Extended,
		}),
	)
}

// IKEPRFDeriveParams is CK_IKE_PRF_DERIVE_PARAMS (section 6.64.2).
type IKEPRFDeriveParams struct {
	PRF       ck.MechanismType
	DataAsKey bool
	Rekey     bool
	Ni        []byte `c:"ptr,len"`
	Nr        []byte `c:"ptr,len"`
	NewKey    ck.ObjectHandle
}

// IKE2PRFPlusDeriveParams is CK_IKE2_PRF_PLUS_DERIVE_PARAMS (section 6.64.2).
type IKE2PRFPlusDeriveParams struct {
	PRF        ck.MechanismType
	HasSeedKey bool
	SeedKey    ck.ObjectHandle
	SeedData   []byte `c:"ptr,len"`
}

// IKE1PRFDeriveParams is CK_IKE1_PRF_DERIVE_PARAMS (section 6.64.2).
type IKE1PRFDeriveParams struct {
	PRF        ck.MechanismType
	HasPrevKey bool
	KeyGxy     ck.ObjectHandle
	PrevKey    ck.ObjectHandle
	CKYi       []byte `c:"ptr,len"`
	CKYr       []byte `c:"ptr,len"`
	KeyNumber  byte
}

// IKE1ExtendedDeriveParams is CK_IKE1_EXTENDED_DERIVE_PARAMS (section 6.64.2).
type IKE1ExtendedDeriveParams struct {
	PRF       ck.MechanismType
	HasKeyGxy bool
	KeyGxy    ck.ObjectHandle
	ExtraData []byte `c:"ptr,len"`
}

// ikePRF is the pseudo-random function that a MAC mechanism makes.
func ikePRF(t ck.MechanismType, key []byte, parts ...[]byte) ([]byte, error) {
	m := Find(t)
	if m == nil || m.Sign == nil || m.Param != nil {
		return nil, fmt.Errorf("%v is no function of IKE: %w", t, ck.CKR_MECHANISM_PARAM_INVALID)
	}
	k := &Key{Class: ck.CKO_SECRET_KEY, Type: ck.CKK_GENERIC_SECRET, Attrs: secretValue(key)}
	switch {
	case slices.Contains(m.Keys, ck.CKK_GENERIC_SECRET):
	case t == ck.CKM_AES_XCBC_MAC || t == ck.CKM_AES_CMAC:
		k.Type = ck.CKK_AES
		fitted, err := aesPRFKey(t, key)
		if err != nil {
			return nil, err
		}
		k.Attrs = secretValue(fitted)
	default:
		return nil, fmt.Errorf("%v is no function of IKE: %w", t, ck.CKR_MECHANISM_PARAM_INVALID)
	}
	op, err := m.Sign(k, nil)
	return runOp(op, err, slices.Concat(parts...))
}

// aesPRFKey fits a key of any length to a PRF of AES-128: RFC 4434 section 2 for
// XCBC, RFC 4615 section 3 for CMAC.
func aesPRFKey(t ck.MechanismType, key []byte) ([]byte, error) {
	switch {
	case len(key) == 16:
		return key, nil
	case len(key) < 16 && t == ck.CKM_AES_XCBC_MAC:
		return append(slices.Clone(key), make([]byte, 16-len(key))...), nil
	}
	return ikePRF(t, make([]byte, 16), key)
}

// secretIn is one of the keys that a parameter names.
func secretIn(d *Derivation, i int) ([]byte, error) {
	if i >= len(d.Keys) || d.Keys[i] == nil {
		return nil, fmt.Errorf("a key in the parameter is missing: %w", ck.CKR_MECHANISM_PARAM_INVALID)
	}
	if d.Keys[i].Class != ck.CKO_SECRET_KEY {
		return nil, fmt.Errorf("a key in the parameter is no secret key: %w", ck.CKR_KEY_TYPE_INCONSISTENT)
	}
	return d.Keys[i].Value(), nil
}

// deriveIKEPRF makes SKEYSEED and SKEYID: as long as the function's output.
func deriveIKEPRF(k *Key, param any, d *Derivation) ([]byte, error) {
	p, err := structParam[IKEPRFDeriveParams](param)
	if err != nil {
		return nil, err
	}
	var out []byte
	switch {
	case p.DataAsKey && p.Rekey:
		return nil, fmt.Errorf("bDataAsKey and bRekey exclude each other: %w", ck.CKR_ARGUMENTS_BAD)
	case p.DataAsKey:
		out, err = ikePRF(p.PRF, slices.Concat(p.Ni, p.Nr), k.Value())
	case p.Rekey:
		var fresh []byte
		if fresh, err = secretIn(d, 0); err == nil {
			out, err = ikePRF(p.PRF, k.Value(), fresh, p.Ni, p.Nr)
		}
	default:
		out, err = ikePRF(p.PRF, k.Value(), p.Ni, p.Nr)
	}
	if err != nil {
		return nil, err
	}
	if n := derivedLen(d, len(out)); n != len(out) {
		return nil, fmt.Errorf("the key has %d bytes, those of the function: %w", len(out), ck.CKR_KEY_SIZE_RANGE)
	}
	return out, nil
}

// deriveIKE1PRF makes SKEYID_d, SKEYID_a and SKEYID_e.
func deriveIKE1PRF(k *Key, param any, d *Derivation) ([]byte, error) {
	p, err := structParam[IKE1PRFDeriveParams](param)
	if err != nil {
		return nil, err
	}
	gxy, err := secretIn(d, 0)
	if err != nil {
		return nil, err
	}
	var previous []byte
	if p.HasPrevKey {
		if previous, err = secretIn(d, 1); err != nil {
			return nil, err
		}
	}
	out, err := ikePRF(p.PRF, k.Value(), previous, gxy, p.CKYi, p.CKYr, []byte{p.KeyNumber})
	if err != nil {
		return nil, err
	}
	return leading(out, d)
}

// deriveIKE2PRFPlus is prf+ (RFC 7296 section 2.13).
func deriveIKE2PRFPlus(k *Key, param any, d *Derivation) ([]byte, error) {
	p, err := structParam[IKE2PRFPlusDeriveParams](param)
	if err != nil {
		return nil, err
	}
	seed := p.SeedData
	if p.HasSeedKey {
		fresh, err := secretIn(d, 0)
		if err != nil {
			return nil, err
		}
		seed = slices.Concat(fresh, seed)
	}
	return ikeChain(d, func(last []byte, i byte) ([]byte, error) {
		return ikePRF(p.PRF, k.Value(), last, seed, []byte{i})
	})
}

// ikeChain joins blocks of a function, each made from the one before and its
// number, until there are enough.
func ikeChain(d *Derivation, block func(last []byte, i byte) ([]byte, error)) ([]byte, error) {
	n, err := wantedLen(d)
	if err != nil {
		return nil, err
	}
	var out, last []byte
	for i := 1; len(out) < n; i++ {
		if i > 255 {
			return nil, fmt.Errorf("more than 255 blocks: %w", ck.CKR_KEY_SIZE_RANGE)
		}
		if last, err = block(last, byte(i)); err != nil {
			return nil, err
		}
		out = append(out, last...)
	}
	return out[:n], nil
}

// deriveIKE1Extended makes keys that are longer than the function's output (RFC
// 2409, appendix B), and those of quick mode (section 5.5).
func deriveIKE1Extended(k *Key, param any, d *Derivation) ([]byte, error) {
	p, err := structParam[IKE1ExtendedDeriveParams](param)
	if err != nil {
		return nil, err
	}
	var gxy []byte
	if p.HasKeyGxy {
		if gxy, err = secretIn(d, 0); err != nil {
			return nil, err
		}
	}
	data := slices.Concat(gxy, p.ExtraData)
	first := data
	if !p.HasKeyGxy && len(p.ExtraData) == 0 {
		whole, err := ikePRF(p.PRF, k.Value())
		if err != nil {
			return nil, err
		}
		if n := derivedLen(d, 0); n != 0 && n <= len(whole) {
			return leading(slices.Clone(k.Value()), d)
		}
		first = []byte{0}
	}
	return ikeChain(d, func(last []byte, i byte) ([]byte, error) {
		if i == 1 {
			return ikePRF(p.PRF, k.Value(), first)
		}
		return ikePRF(p.PRF, k.Value(), last, data)
	})
}

// Known answers, of HMAC-SHA-1.
const (
	ikeNi   = "32b50d5f4a3763f3"
	ikeNr   = "9206a04b26564cb1"
	ikeGir  = "4b2c1f971981a8ad8d0abeafabf38cf75fc8349c148142465ed9c8b516b8be52"
	ikeSeed = "a9a7b222b59f8f48645f28a1db5b5f5d7479cba7"
)

// testIKE derives, and compares.
func testIKE(t ck.MechanismType, base string, p any, n int, answer string, others ...string) error {
	d := &Derivation{Type: ck.CKK_GENERIC_SECRET, Len: n}
	for _, o := range others {
		d.Keys = append(d.Keys, secretKey(ck.CKK_GENERIC_SECRET, unhex(o)))
	}
	out, err := Find(t).Derive(secretKey(ck.CKK_GENERIC_SECRET, unhex(base)), p, d)
	if err == nil && hex.EncodeToString(out) != answer {
		err = errSelfTest(t)
	}
	return err
}

func testIKEPRF() error {
	err := testIKE(ck.CKM_IKE_PRF_DERIVE, ikeGir,
		&IKEPRFDeriveParams{PRF: ck.CKM_SHA_1_HMAC, DataAsKey: true, Ni: unhex(ikeNi), Nr: unhex(ikeNr)}, 0, ikeSeed)
	if err != nil {
		return err
	}
	return testIKE(ck.CKM_IKE_PRF_DERIVE, "a14293677cc80ff8f9cc0eee30d895da9d8f4056",
		&IKEPRFDeriveParams{PRF: ck.CKM_SHA_1_HMAC, Rekey: true, Ni: unhex(ikeNi), Nr: unhex(ikeNr)}, 0,
		"63e81194946ebd05df7df5ebf5d8750056bf1f1d", "863f3c9d06efd39d2b907b97f8699e5dd5251ef64a2a176f36ee40c87d4f9330")
}

func testIKE2PRFPlus() error {
	p := &IKE2PRFPlusDeriveParams{PRF: ck.CKM_SHA_1_HMAC, SeedData: unhex(ikeNi + ikeNr + "34c9e7c188868785" + "3ff77d760d2b2199")}
	return testIKE(ck.CKM_IKE2_PRF_PLUS_DERIVE, ikeSeed, p, 40,
		"a14293677cc80ff8f9cc0eee30d895da9d8f405666e30ef0dfcb63c634a46002a2a63080e514a062")
}

func testIKE1PRF() error {
	const gxy, skeyid = "8ba4cbc73c0187301dc19a975823854dbd641c597f637f8d053a83b9514673eb", "707197817fb2d90cf54d1842606bdea59b9f4823"
	p := &IKE1PRFDeriveParams{PRF: ck.CKM_SHA_1_HMAC, CKYi: unhex("8c3bcd3a69831d7f"), CKYr: unhex("d2d9a7ff4fbe95a7")}
	const d = "384be709a8a5e63c3ed160cfe3921c4b37d5b32d"
	if err := testIKE(ck.CKM_IKE1_PRF_DERIVE, skeyid, p, 0, d, gxy); err != nil {
		return err
	}
	p.HasPrevKey, p.KeyNumber = true, 1
	return testIKE(ck.CKM_IKE1_PRF_DERIVE, skeyid, p, 0, "48b327575abe3adba0f279849e289022a13e2b47", gxy, d)
}

func testIKE1Extended() error {
	const key = "63e81194946ebd05df7df5ebf5d8750056bf1f1d"
	p := &IKE1ExtendedDeriveParams{PRF: ck.CKM_SHA_1_HMAC}
	if err := testIKE(ck.CKM_IKE1_EXTENDED_DERIVE, key, p, 40,
		"933347a07de5782247dd36d1562ffe0eecade1eb4134165257e3af1000af8ae3f165063828cbb60d"); err != nil {
		return err
	}
	return testIKE(ck.CKM_IKE1_EXTENDED_DERIVE, key, p, 15, key[:30])
}
