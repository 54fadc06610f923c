package engine

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math"
	"slices"

	"github.com/perilune/perilune/cryptoki/ck"
)

// Key derivation by pseudorandom functions: NIST SP 800-108, in counter,
// feedback and double-pipeline mode (PKCS#11 v3.1 section 6.42).

func init() { later(sp800108Mechanisms) }

func sp800108Mechanisms() {
	row := func(t ck.MechanismType, param any, test func() error) *Mechanism {
		return &Mechanism{
			Type: t, Param: param, Keys: anySecretKey, Min: 1, Max: maxSecret, FIPS: true, FIPSMin: hmacFIPSMin, Approve: approvePRFKey,
			DeriveKeys: func(k *Key, p any, d *Derivation) ([]Derived, error) { return deriveSP800108(t, k, p, d) },
			SelfTest:   test,
			Leaks:      "only with DES3-CMAC: " + sboxLeaks, Vectors: "NIST CAVP KBKDF",
		}
	}
	register(
		row(ck.CKM_SP800_108_COUNTER_KDF, (*SP800108Params)(nil), testCounterKDF),
		row(ck.CKM_SP800_108_FEEDBACK_KDF, (*SP800108FeedbackParams)(nil), testFeedbackKDF),
		row(ck.CKM_SP800_108_DOUBLE_PIPELINE_KDF, (*SP800108Params)(nil), testPipelineKDF),
	)
}

// SP800108Params is CK_SP800_108_KDF_PARAMS (PKCS#11 v3.1 section 6.42.2).
type SP800108Params struct {
	PRF        ck.MechanismType
	Data       []PRFDataParam `c:"len,ptr"`
	Additional []DerivedKey   `c:"len,ptr"`
}

// SP800108FeedbackParams is CK_SP800_108_FEEDBACK_KDF_PARAMS.
type SP800108FeedbackParams struct {
	PRF        ck.MechanismType
	Data       []PRFDataParam `c:"len,ptr"`
	IV         []byte         `c:"len,ptr"`
	Additional []DerivedKey   `c:"len,ptr"`
}

// PRFDataParam is CK_PRF_DATA_PARAM: one field of what the function is applied
// to. Its value is a *CounterFormat, a *DKMLengthFormat, bytes, or nil.
type PRFDataParam struct {
	Type  uint64
	Value any `c:"ptr,len"`
}

// Variant tells package cmem what the value is.
func (p *PRFDataParam) Variant() any {
	switch p.Type {
	case ck.CK_SP800_108_ITERATION_VARIABLE, ck.CK_SP800_108_COUNTER:
		return (*CounterFormat)(nil)
	case ck.CK_SP800_108_DKM_LENGTH:
		return (*DKMLengthFormat)(nil)
	case ck.CK_SP800_108_BYTE_ARRAY:
		return []byte(nil)
	}
	return nil
}

// CounterFormat is CK_SP800_108_COUNTER_FORMAT.
type CounterFormat struct {
	LittleEndian bool
	WidthInBits  uint64
}

// DKMLengthFormat is CK_SP800_108_DKM_LENGTH_FORMAT.
type DKMLengthFormat struct {
	Method       uint64
	LittleEndian bool
	WidthInBits  uint64
}

// DerivedKey is CK_DERIVED_KEY: one more key to be derived.
type DerivedKey struct {
	Template []ck.Attribute `c:"ptr,len"`
	Handle   *NewHandle     `c:"ptr,inout"`
}

// maxAdditional is how many more keys there can be.
const maxAdditional = 256

// deriveSP800108 derives one key, and those that the parameter has templates
// for.
func deriveSP800108(t ck.MechanismType, base *Key, param any, d *Derivation) ([]Derived, error) {
	p, err := sp800108Params(t, param)
	if err != nil {
		return nil, err
	}
	lengths, err := p.lengths(d)
	if err != nil {
		return nil, err
	}
	function, err := approvedPRF(p.PRF, base)
	if err != nil {
		return nil, err
	}
	x := &kdf{prf: function, mode: t, data: p.Data, iv: p.IV}
	if err := x.prepare(lengths); err != nil {
		return nil, err
	}
	keys := make([]Derived, len(lengths))
	for i, n := range lengths {
		keys[i] = Derived{Class: ck.CKO_SECRET_KEY, Type: ck.CKK_GENERIC_SECRET, Values: []ck.Attribute{ck.NewBytes(ck.CKA_VALUE, x.next(n))}}
		if i == 0 {
			keys[i].Type = d.Type
		} else {
			keys[i].Handle, keys[i].Template = p.Additional[i-1].Handle, p.Additional[i-1].Template
		}
	}
	return keys, nil
}

// sp800108Params is the parameter of any of the three.
func sp800108Params(t ck.MechanismType, param any) (*SP800108FeedbackParams, error) {
	if t == ck.CKM_SP800_108_FEEDBACK_KDF {
		return structParam[SP800108FeedbackParams](param)
	}
	p, err := structParam[SP800108Params](param)
	if err != nil {
		return nil, err
	}
	return &SP800108FeedbackParams{PRF: p.PRF, Data: p.Data, Additional: p.Additional}, nil
}

// lengths are those of all keys in bytes, that of the call first.
func (p *SP800108FeedbackParams) lengths(d *Derivation) ([]int, error) {
	if len(p.Additional) > maxAdditional {
		return nil, fmt.Errorf("at most %d additional keys: %w", maxAdditional, ck.CKR_MECHANISM_PARAM_INVALID)
	}
	first, err := wantedLen(d)
	if err != nil {
		return nil, err
	}
	list := []int{first}
	for i, k := range p.Additional {
		if k.Handle == nil {
			return nil, fmt.Errorf("additional key %d has no place for its handle: %w", i, ck.CKR_MECHANISM_PARAM_INVALID)
		}
		n, err := templateLen(k.Template)
		if err != nil {
			*k.Handle = 0 // tells whose template is to blame
			return nil, fmt.Errorf("additional key %d: %w", i, err)
		}
		list = append(list, n)
	}
	return list, nil
}

// approvedPRF is one of the functions that SP 800-108 approves.
func approvedPRF(t ck.MechanismType, k *Key) (*prf, error) {
	var f *prf
	var err error
	approved := func(h hashFamily) bool { return h.fips && h.hmac == t }
	if t == ck.CKM_AES_CMAC || t == ck.CKM_DES3_CMAC || slices.ContainsFunc(hashFamilies[:], approved) {
		f, err = newPRF(t, k)
	}
	if f == nil && err == nil {
		err = fmt.Errorf("SP 800-108 does not take this pseudorandom function: %w", ck.CKR_MECHANISM_PARAM_INVALID)
	}
	return f, err
}

// kdf is a derivation under way.
type kdf struct {
	prf  *prf
	mode ck.MechanismType
	data []PRFDataParam
	iv   []byte

	length uint64 // L: of all keys together, in bits
	i      uint32
	chain  []byte // K(i-1) or A(i)
}

// prepare checks the fields and computes what is the same for all segments.
func (x *kdf) prepare(lengths []int) error {
	var segments, bytes uint64
	for _, n := range lengths {
		bytes += uint64(n)
		segments += uint64((n + x.prf.size - 1) / x.prf.size)
	}
	if err := x.check(segments); err != nil {
		return err
	}
	x.length = 8 * bytes
	for _, f := range x.data {
		format, ok := f.Value.(*DKMLengthFormat)
		if !ok {
			continue
		}
		if format.Method == ck.CK_SP800_108_DKM_LENGTH_SUM_OF_SEGMENTS {
			x.length = 8 * segments * uint64(x.prf.size)
		}
		if x.length > widest(format.WidthInBits) {
			return fmt.Errorf("the length of the keys does not fit into its field: %w", ck.CKR_MECHANISM_PARAM_INVALID)
		}
	}
	switch x.mode {
	case ck.CKM_SP800_108_FEEDBACK_KDF:
		x.chain = x.iv
	case ck.CKM_SP800_108_DOUBLE_PIPELINE_KDF:
		x.chain = x.fixed()
	}
	return nil
}

// check wants one iteration variable, and one counter and one length at most;
// the counter must do for all segments.
func (x *kdf) check(segments uint64) error {
	var count [ck.CK_SP800_108_BYTE_ARRAY + 1]int
	most := uint64(math.MaxUint32)
	for _, f := range x.data {
		if f.Type >= uint64(len(count)) {
			return badField("is of an unknown kind")
		}
		count[f.Type]++
		switch v := f.Value.(type) {
		case *CounterFormat:
			if v == nil || f.Type == ck.CK_SP800_108_ITERATION_VARIABLE && x.mode != ck.CKM_SP800_108_COUNTER_KDF || !wholeBytes(v.WidthInBits, 32) {
				return badField("is no counter of 8 to 32 bits")
			}
			most = widest(v.WidthInBits)
		case *DKMLengthFormat:
			if v == nil || !wholeBytes(v.WidthInBits, 64) ||
				v.Method != ck.CK_SP800_108_DKM_LENGTH_SUM_OF_KEYS && v.Method != ck.CK_SP800_108_DKM_LENGTH_SUM_OF_SEGMENTS {
				return badField("is no length of 8 to 64 bits")
			}
		case nil:
			if f.Type == ck.CK_SP800_108_ITERATION_VARIABLE && x.mode == ck.CKM_SP800_108_COUNTER_KDF ||
				f.Type == ck.CK_SP800_108_COUNTER || f.Type == ck.CK_SP800_108_DKM_LENGTH {
				return badField("has no format")
			}
		}
	}
	switch {
	case count[ck.CK_SP800_108_ITERATION_VARIABLE] != 1, count[ck.CK_SP800_108_COUNTER] > 1, count[ck.CK_SP800_108_DKM_LENGTH] > 1:
		return badField("is missing or there too often")
	case count[ck.CK_SP800_108_COUNTER] > 0 && x.mode == ck.CKM_SP800_108_COUNTER_KDF:
		return badField("is a second counter")
	case segments > most:
		return badField("is a counter too short for as many bytes")
	}
	return nil
}

func badField(what string) error {
	return fmt.Errorf("a field of the data %s: %w", what, ck.CKR_MECHANISM_PARAM_INVALID)
}

func wholeBytes(bits, most uint64) bool { return bits >= 8 && bits <= most && bits%8 == 0 }

// widest is the highest number of so many bits.
func widest(bits uint64) uint64 { return math.MaxUint64 >> (64 - bits) }

// next returns the next key of n bytes. Each begins with a segment of its own.
func (x *kdf) next(n int) []byte {
	out := make([]byte, 0, n+x.prf.size)
	for len(out) < n {
		out = append(out, x.segment()...)
	}
	return out[:n]
}

// segment is K(i) (SP 800-108, sections 4.1 to 4.3).
func (x *kdf) segment() []byte {
	x.i++
	switch x.mode {
	case ck.CKM_SP800_108_FEEDBACK_KDF:
		x.chain = x.prf.sum(x.input(true))
		return x.chain
	case ck.CKM_SP800_108_DOUBLE_PIPELINE_KDF:
		x.chain = x.prf.sum(x.chain)
	}
	return x.prf.sum(x.input(true))
}

// fixed is what of the data does not change from segment to segment.
func (x *kdf) fixed() []byte { return x.input(false) }

// input is what the function is applied to, with or without what changes.
func (x *kdf) input(all bool) (b []byte) {
	for _, f := range x.data {
		switch v := f.Value.(type) {
		case *CounterFormat:
			if all {
				b = append(b, number(uint64(x.i), v.WidthInBits, v.LittleEndian)...)
			}
		case *DKMLengthFormat:
			b = append(b, number(x.length, v.WidthInBits, v.LittleEndian)...)
		case []byte:
			b = append(b, v...)
		case nil:
			if all && f.Type == ck.CK_SP800_108_ITERATION_VARIABLE {
				b = append(b, x.chain...)
			}
		}
	}
	return b
}

// number is the lowest bits of n.
func number(n, bits uint64, littleEndian bool) []byte {
	b := binary.BigEndian.AppendUint64(nil, n)[8-bits/8:]
	if littleEndian {
		slices.Reverse(b)
	}
	return b
}

// testKDF checks a known answer of a derivation that could make several keys.
func testKDF(t ck.MechanismType, key *Key, p any, want string) error {
	keys, err := Find(t).DeriveKeys(key, p, &Derivation{Type: ck.CKK_GENERIC_SECRET, Len: len(want) / 2})
	if err != nil {
		return err
	}
	if v := ck.Find(keys[0].Values, ck.CKA_VALUE); v == nil || hex.EncodeToString(v.Value) != want {
		return errSelfTest(t)
	}
	return nil
}

// The self-tests are vectors of NIST's CAVP with AES-CMAC: KDFCTR_gen
// (counter before the fixed data, 8 bits, number 0), KDFFeedback_gen (counter
// before what is fed back, 8 bits, number 0) and KDFDblPipeline_gen (the same).

func testCounterKDF() error {
	p := &SP800108Params{PRF: ck.CKM_AES_CMAC, Data: []PRFDataParam{
		{ck.CK_SP800_108_ITERATION_VARIABLE, &CounterFormat{WidthInBits: 8}},
		{ck.CK_SP800_108_BYTE_ARRAY, unhex("c16e6e02c5a3dcc8d78b9ac1306877761310455b4e41469951d9e6c2245a064b" +
			"33fd8c3b01203a7824485bf0a64060c4648b707d2607935699316ea5")},
	}}
	return testKDF(ck.CKM_SP800_108_COUNTER_KDF, secretKey(ck.CKK_AES, unhex("dff1e50ac0b69dc40f1051d46c2b069c")), p,
		"8be8f0869b3c0ba97b71863d1b9f7813")
}

func testFeedbackKDF() error {
	p := &SP800108FeedbackParams{PRF: ck.CKM_AES_CMAC, IV: unhex("28f28a532c3be385d72ec5321367f8b6"), Data: []PRFDataParam{
		{ck.CK_SP800_108_COUNTER, &CounterFormat{WidthInBits: 8}},
		{ck.CK_SP800_108_ITERATION_VARIABLE, nil},
		{ck.CK_SP800_108_BYTE_ARRAY, unhex("eb507aff69f77eab6aba042034a5cb1990d77a7cd72a4984f3fb242fb44ce0fb" +
			"949e99d95d81e57109b7d5cd3746a3216c47a3")},
	}}
	return testKDF(ck.CKM_SP800_108_FEEDBACK_KDF, secretKey(ck.CKK_AES, unhex("20bbbe36e9c83c51844cd31e9c209431")), p,
		"277a473d3f514af3f760a2383343c0eb799f79a9c8f1f31db37e1104786d3ba2"+
			"0c9fb2a42d2997ccab7f79a5c19f094706d32e09bce4f77aed6162af08d89d1d")
}

func testPipelineKDF() error {
	p := &SP800108Params{PRF: ck.CKM_AES_CMAC, Data: []PRFDataParam{
		{ck.CK_SP800_108_COUNTER, &CounterFormat{WidthInBits: 8}},
		{ck.CK_SP800_108_ITERATION_VARIABLE, nil},
		{ck.CK_SP800_108_BYTE_ARRAY, unhex("22f498fc9b8d4b72188bce30ba9875fc2b0eb3fe76874d85426e6e5b3b237c9f" +
			"445f2da20a60ab189802e2c152c4a3602aa342")},
	}}
	return testKDF(ck.CKM_SP800_108_DOUBLE_PIPELINE_KDF, secretKey(ck.CKK_AES, unhex("c6254d95dd108e9bb29e0053ddeec351")), p,
		"1e133a952df55a11ee038120375f61e7c0162842c817160693b1f39dc0b795bc"+
			"6f3691db775cf3af4b0a9f69fecbe99679fd4b4873dda743f5c6a2d2e873f26d")
}
