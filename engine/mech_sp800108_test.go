package engine

import (
	"bytes"
	"slices"
	"testing"

	"github.com/perilune/perilune/cryptoki/ck"
)

// counterVectors are number 30 of sections of NIST CAVP's KDFCTR_gen.txt, one
// for each function; together all places and lengths of the counter.
var counterVectors = []struct {
	prf           ck.MechanismType
	keyType       ck.KeyType
	width         uint64
	key           string
	before, after string // the fixed data around the counter
	want          string
}{
	{ck.CKM_AES_CMAC, ck.CKK_AES, 8, "e91e0d06ab23a4e495bbcc430efddcaf",
		"", "24acb8e9227b180f2ccebea48051cbdbcd1be2bf94400d1e92945fe9b887585a295f46c469036107697813a3e12c45ae2ffde9a940f8f8c181018a93",
		"e81ef2483729d4165aaa4866c17f26496e6c6924e2fe34f608efef0c35835f86df29a1e19ce166a8"},
	{ck.CKM_AES_CMAC, ck.CKK_AES, 16, "49b8c2c6a91719926a64b7acc2f8aea75ba0f3d4ee77875c",
		"81a4351d1687c2c767ba0bf7ea1d92175cc2026ddf3b767ecda951cbf5ad9742518bb7f7c78dea8ed28ae25c1d9eff0819dc7a862c4e1ba56a3e4a78", "",
		"5c4ed05a7d7f76c9c60aa388260f19a0db83415ce556ead4c8dfb97221c33d82fbc8642d86dad781"},
	{ck.CKM_AES_CMAC, ck.CKK_AES, 24, "92c3c064c83bd60eec09763e60fd163db96393d17151e44f29fae5b0c9d469f1",
		"39783bb69fdd82f9613cb6032f9a36393f80036df1d4c1451bd5bcd0eef23f6bf4ed6ace02495572cd22c3808f3753a9e551", "d6359d54fd0917666ec2",
		"d261eb9a3a76f5ed8d67e9257c3acc3363f6e2aebb0dad8a84d098b8e2f2e81a81f37defd5c05a07"},
	{ck.CKM_DES3_CMAC, ck.CKK_DES2, 32, "34303a3732f2d902b907118340ff8551",
		"", "3460dfe07fb060c513584699797cc25cbc88ace8e551353d3560a179bf1cea0c8812c5f7152d49e58ad6a553437ccd2a28a7b755f8d6ee5f170ab40e",
		"a46243af8521fa44b1e5c1699f5bd4c3da69f14f128aa86c56b8e83ac999177e083fc4b129c88078"},
	{ck.CKM_DES3_CMAC, ck.CKK_DES3, 8, "38681bb8496a55da320ed4f067ddc0b1d99e9e065f97d45d",
		"e0cba0b91c9e95ad738a7d787175cff1e86d23af028a0aa885a4360c886771895f0bf63a2ff6abca5da3e5f9534ea4d888a274075c4d708ea701989b", "",
		"47cc5c524e2d2479cd94a451471c8723763e8ea0ab9075108aa255a9549823ead2529574bbbfbfc7"},
	{ck.CKM_SHA_1_HMAC, ck.CKK_GENERIC_SECRET, 16, "6aba6f0e9035dba33a07fb62a4bfed6ad52948ad",
		"43ac14e80c5072326ef57ac3222b02bf506e23881b8ce47a48a77d13e4ad8c6b356e2b35990c818f80441d8e3581510b5536", "007664abeb864b3956f3",
		"b51a28e9e7beea7176c395581e2f4c79247527c519d48168b47ca76a4d1f4178d637907ca2725f49"},
	{ck.CKM_SHA224_HMAC, ck.CKK_GENERIC_SECRET, 24, "0b15638489d3ac7729a7db82797754e7a7c8d52da0cf3638a27a1a9c",
		"", "90988848764dacc6eeba817e0b74086b1233bca9d573717b8e3dd3bd23a532aac7db8b196e4c4702f54cc71bb8882dc776b0317457803a632b429776",
		"481293e1e621ad8bab5c9f5090594bb2507a1456ee8ffc30db159cb5b02d69110c3e5270880bf4a7"},
	{ck.CKM_SHA256_HMAC, ck.CKK_GENERIC_SECRET, 32, "9bf5b12f020f550bffeb3e20d5e59b8c6df5aca37156fbebd2ea98f38896d7ba",
		"96987325eba124f7ecb4768d3b53f88d917f6e58f8eaec2b1f30cfd90c5d317687788a7156cdffb159e02c71010ce51e05635d83275b566fc0377ee6", "",
		"3bd8c80796053099b32bacd01a6dadd4bb5aab62421532b381727708dee9ed6a54c150367ffbc353"},
	{ck.CKM_SHA384_HMAC, ck.CKK_GENERIC_SECRET, 8, "87d3006e0109122473d407d895bb94c0479eed30c3a2a3e635a497d21bb8739ed1259b015e5919692b7e7bd261cad8bf",
		"ec3372ed3bdff659542e010d390223aa3336db9313303a8876028380136416da4f7ba8738701eb38bea31b294a0e73ebfd4b", "309a88c9ada5de9cdf2f",
		"72977a6a454f142087adaa4cf91ae9deac9b0e9f59684783d571486a72e5e4bf8f1658cb13a3073e"},
	{ck.CKM_SHA512_HMAC, ck.CKK_GENERIC_SECRET, 16, "62690d8ef259d175911d8eb52a331af29a8e3b797c4b315a67fa5cd1b00e585b2f7d97341284d0fcaa15a080732f7958e3b33e938e730623d1e651dbea9b2233",
		"", "266535b58de26ed62f936bc7147c8c3b31ee0c1bb92c5ef63699ac7225e01cec5afd2e6e39cf095882324c7dc94b0daa2befc50f790da0547d7c6184",
		"9336a88737d9ae01b5c43be5789c8545689557aad295ea3c03d2a2e0143603365fea1656175c20bf"},
}

func TestCounterKDF(t *testing.T) {
	for _, v := range counterVectors {
		p := &SP800108Params{PRF: v.prf, Data: []PRFDataParam{
			{ck.CK_SP800_108_BYTE_ARRAY, unhex(v.before)},
			{ck.CK_SP800_108_ITERATION_VARIABLE, &CounterFormat{WidthInBits: v.width}},
			{ck.CK_SP800_108_BYTE_ARRAY, unhex(v.after)},
		}}
		if err := testKDF(ck.CKM_SP800_108_COUNTER_KDF, secretKey(v.keyType, unhex(v.key)), p, v.want); err != nil {
			t.Errorf("%v, %d bits: %v", v.prf, v.width, err)
		}
	}
}

// TestFeedbackKDF checks vectors of NIST CAVP's KDFFeedback_gen: without a
// counter numbers 0 and 25 (of AES-128), with a counter of 8 bits before what is
// fed back number 25, and with one of 32 bits behind it number 0 of HMAC-SHA256.
func TestFeedbackKDF(t *testing.T) {
	previous := PRFDataParam{ck.CK_SP800_108_ITERATION_VARIABLE, nil}
	counter := func(bits uint64) PRFDataParam {
		return PRFDataParam{ck.CK_SP800_108_COUNTER, &CounterFormat{WidthInBits: bits}}
	}
	for _, v := range []struct {
		prf                  ck.MechanismType
		keyType              ck.KeyType
		data                 []PRFDataParam
		key, iv, fixed, want string
	}{
		{ck.CKM_AES_CMAC, ck.CKK_AES, []PRFDataParam{previous}, "5c996c922f65de97d4408373229814c6", "28dc945cb8337ab5336c3e9b5bad21c7",
			"62afe5fed91e797221a854336b0aadd8a05ad0e3c8345729897b2efcec5a1178a2fa4c063007b67a7015e0d6b7271ea8d86b44",
			"88a9aae193abdd3fe8143bab66014ae41dc2d12ea9d08f5871588fc5d827924eb9942989d7a36d4b3b107997566472cad5942bd13cb5cff32b9dae30f1bb6300"},
		{ck.CKM_AES_CMAC, ck.CKK_AES, []PRFDataParam{previous}, "f603114a05cbd2752456655e9d48839f", "",
			"6811b708ab62783684a17d24c9c7a4f8b5c2c724969dcb653e57abe0cd0010bf35b57ea8982eee6e360f523d95a28de0a7773c",
			"c68d1e97b8f08cb14eff6486f77061dd7b07c9a56258094fb21d4d67cde2e48825b43a0ef326e8f21cfefd623690415507af78a2e176d6f4701e6d866f04a5e6a54f"},
		{ck.CKM_AES_CMAC, ck.CKK_AES, []PRFDataParam{counter(8), previous}, "03d35f2bb227b9e9d0b0a15abab30941", "",
			"4cabb856eb37fb483fe0d834823db9161eae627299bfdad957c54c289236a33b042ea235946a7b60c17432c6b27dca57641e1c",
			"83e8aa96c7090ea64a879f30a979e262e12e83b2c2e91862b8e62595dbc0b5d98096ce360daedf18511dcacf9937a188dc7fde957a153ecaf6a46b5db2fdcb905f0eea7a3ffd"},
		{ck.CKM_SHA256_HMAC, ck.CKK_GENERIC_SECRET, []PRFDataParam{previous, counter(32)},
			"93f698e842eed75394d629d957e2e89c6e741f810b623c8b901e38376d068e7b",
			"9f575d9059d3e0c0803f08112f8a806de3c3471912cdf42b095388b14b33508e",
			"53b89c18690e2057a1d167822e636de50be0018532c431f7f5e37f77139220d5e042599ebe266af5767ee18cd2c5c19a1f0f80",
			"bd1476f43a4e315747cf5918e0ea5bc0d98769457477c3ab18b742def0e079a933b756365afb5541f253fee43c6fd788a44041038509e9eeb68f7d65ffbb5f95"},
	} {
		p := &SP800108FeedbackParams{PRF: v.prf, IV: unhex(v.iv),
			Data: append(slices.Clone(v.data), PRFDataParam{ck.CK_SP800_108_BYTE_ARRAY, unhex(v.fixed)})}
		if err := testKDF(ck.CKM_SP800_108_FEEDBACK_KDF, secretKey(v.keyType, unhex(v.key)), p, v.want); err != nil {
			t.Errorf("%s: %v", v.key, err)
		}
	}
}

// TestPipelineKDF checks vectors of NIST CAVP's KDFDblPipeline_gen with
// AES-128: without a counter numbers 0 and 20, with one of 8 bits before A(i)
// number 20.
func TestPipelineKDF(t *testing.T) {
	previous := PRFDataParam{ck.CK_SP800_108_ITERATION_VARIABLE, nil}
	for _, v := range []struct {
		data             []PRFDataParam
		key, fixed, want string
	}{
		{[]PRFDataParam{previous}, "ada2452f1f141a82c7a1b7d3e09ffed1",
			"335660eb265d2044efa06eacd848d3f9f57d219011343318f3a964df4a6fb1bf6cbdee711c7fcbe73b8f257f992e47e8b065af",
			"a73bd29176e38e761222ae07d639181f4b2c555a3b261815cde5d88a67c8b95c58b6b66ea4f10608c6d799b051519fc8e89de00cdc556350a7d966475086f9af"},
		{[]PRFDataParam{previous}, "76abade7735d387d672b47d0c38227e6",
			"9531fd80033032c0b118df077a4e5c8bb8e59c6ea9c1b3bd86fc0dfba73fefbd35efe742f4f4ec55ab2e64f8992c79e0d9653d",
			"e734a7b973746113067208a7d107a414315251ed95a8103b65c2f3d993dfb92e43bbec6d11fc4faa01b80cb2c9883b1c31cc22ba09c0e93305b17d61"},
		{[]PRFDataParam{{ck.CK_SP800_108_COUNTER, &CounterFormat{WidthInBits: 8}}, previous}, "d92dc7b9d007fc49734bc931ef8554e9",
			"a19d29ed42b369494d6547d8b5f1203078f2e49a85bd4cc8ff71657c10dca7f78f4bb7429063976b1124b031edfeffe2cc5951",
			"de6dee3c072fdd13b14f593a6ecef83e83b8af85149be566e32ffcceafa09e6727f642b4ccd106de370cab0d24cc77ea8a309ed0ccde326110b7bc58b07a7f82f2016df6433e"},
	} {
		p := &SP800108Params{PRF: ck.CKM_AES_CMAC, Data: append(slices.Clone(v.data), PRFDataParam{ck.CK_SP800_108_BYTE_ARRAY, unhex(v.fixed)})}
		if err := testKDF(ck.CKM_SP800_108_DOUBLE_PIPELINE_KDF, secretKey(ck.CKK_AES, unhex(v.key)), p, v.want); err != nil {
			t.Errorf("%s: %v", v.key, err)
		}
	}
}

// TestAdditionalKeys derives several keys: the first CAVP vector of AES-128 that
// has two segments, whose second is the second key, as each begins with a
// segment of its own.
func TestAdditionalKeys(t *testing.T) {
	v := counterVectors[0]
	base := secretKey(v.keyType, unhex(v.key))
	var one, two NewHandle
	template := func(n int) []ck.Attribute { return []ck.Attribute{ck.NewULong(ck.CKA_VALUE_LEN, uint64(n))} }
	p := &SP800108Params{PRF: v.prf, Data: []PRFDataParam{
		{ck.CK_SP800_108_ITERATION_VARIABLE, &CounterFormat{WidthInBits: v.width}},
		{ck.CK_SP800_108_BYTE_ARRAY, unhex(v.after)},
	}, Additional: []DerivedKey{{template(16), &one}, {template(5), &two}}}
	keys, err := Find(ck.CKM_SP800_108_COUNTER_KDF).DeriveKeys(base, p, &Derivation{Type: ck.CKK_AES, Len: 16})
	if err != nil {
		t.Fatal(err)
	}
	want := unhex(v.want)
	for i, w := range []struct {
		t     ck.KeyType
		h     *NewHandle
		value []byte
	}{
		{ck.CKK_AES, nil, want[:16]},
		{ck.CKK_GENERIC_SECRET, &one, want[16:32]},
		{ck.CKK_GENERIC_SECRET, &two, want[32:37]},
	} {
		k := keys[i]
		if k.Class != ck.CKO_SECRET_KEY || k.Type != w.t || k.Handle != w.h || !bytes.Equal(ck.Find(k.Values, ck.CKA_VALUE).Value, w.value) {
			t.Errorf("key %d: %+v", i, k)
		}
	}
}

// TestDKMLength puts the length of the keys where a vector without one has it
// as fixed data.
func TestDKMLength(t *testing.T) {
	base := secretKey(ck.CKK_GENERIC_SECRET, pattern(32))
	derive := func(last PRFDataParam, n int, more ...DerivedKey) []byte {
		t.Helper()
		p := &SP800108Params{PRF: ck.CKM_SHA256_HMAC, Additional: more, Data: []PRFDataParam{
			{ck.CK_SP800_108_ITERATION_VARIABLE, &CounterFormat{LittleEndian: true, WidthInBits: 16}}, last}}
		keys, err := Find(ck.CKM_SP800_108_COUNTER_KDF).DeriveKeys(base, p, &Derivation{Type: ck.CKK_GENERIC_SECRET, Len: n})
		if err != nil {
			t.Fatal(err)
		}
		return ck.Find(keys[0].Values, ck.CKA_VALUE).Value
	}
	more := DerivedKey{[]ck.Attribute{ck.NewULong(ck.CKA_VALUE_LEN, uint64(40))}, new(NewHandle)}
	for _, v := range []struct {
		format DKMLengthFormat
		fixed  string
		more   []DerivedKey
	}{
		{DKMLengthFormat{ck.CK_SP800_108_DKM_LENGTH_SUM_OF_KEYS, false, 32}, "000000a0", nil},
		{DKMLengthFormat{ck.CK_SP800_108_DKM_LENGTH_SUM_OF_KEYS, true, 16}, "a000", nil},
		{DKMLengthFormat{ck.CK_SP800_108_DKM_LENGTH_SUM_OF_SEGMENTS, false, 64}, "0000000000000100", nil},
		{DKMLengthFormat{ck.CK_SP800_108_DKM_LENGTH_SUM_OF_KEYS, false, 24}, "0001e0", []DerivedKey{more}},
		{DKMLengthFormat{ck.CK_SP800_108_DKM_LENGTH_SUM_OF_SEGMENTS, false, 16}, "0300", []DerivedKey{more}},
	} {
		got := derive(PRFDataParam{ck.CK_SP800_108_DKM_LENGTH, &v.format}, 20, v.more...)
		want := derive(PRFDataParam{ck.CK_SP800_108_BYTE_ARRAY, unhex(v.fixed)}, 20)
		if !bytes.Equal(got, want) {
			t.Errorf("%+v: not as with %s", v.format, v.fixed)
		}
	}
}

func TestSP800108Errors(t *testing.T) {
	iteration := PRFDataParam{ck.CK_SP800_108_ITERATION_VARIABLE, &CounterFormat{WidthInBits: 8}}
	chained := PRFDataParam{ck.CK_SP800_108_ITERATION_VARIABLE, nil}
	counter := PRFDataParam{ck.CK_SP800_108_COUNTER, &CounterFormat{WidthInBits: 8}}
	length := PRFDataParam{ck.CK_SP800_108_DKM_LENGTH, &DKMLengthFormat{ck.CK_SP800_108_DKM_LENGTH_SUM_OF_KEYS, false, 8}}
	good := func(data ...PRFDataParam) *SP800108Params {
		return &SP800108Params{PRF: ck.CKM_SHA256_HMAC, Data: data}
	}
	list := func(p *SP800108Params, k ...DerivedKey) *SP800108Params { p.Additional = k; return p }
	handle := new(NewHandle)
	four := []ck.Attribute{ck.NewULong(ck.CKA_VALUE_LEN, uint64(4))}
	for name, c := range map[string]struct {
		m    ck.MechanismType
		p    any
		n    int
		want ck.RV
	}{
		"none":              {ck.CKM_SP800_108_COUNTER_KDF, nil, 16, ck.CKR_MECHANISM_PARAM_INVALID},
		"empty":             {ck.CKM_SP800_108_COUNTER_KDF, good(), 16, ck.CKR_MECHANISM_PARAM_INVALID},
		"two variables":     {ck.CKM_SP800_108_COUNTER_KDF, good(iteration, iteration), 16, ck.CKR_MECHANISM_PARAM_INVALID},
		"two lengths":       {ck.CKM_SP800_108_COUNTER_KDF, good(iteration, length, length), 1, ck.CKR_MECHANISM_PARAM_INVALID},
		"two counters":      {ck.CKM_SP800_108_DOUBLE_PIPELINE_KDF, good(chained, counter, counter), 1, ck.CKR_MECHANISM_PARAM_INVALID},
		"counter beside":    {ck.CKM_SP800_108_COUNTER_KDF, good(iteration, counter), 1, ck.CKR_MECHANISM_PARAM_INVALID},
		"no format":         {ck.CKM_SP800_108_COUNTER_KDF, good(chained), 16, ck.CKR_MECHANISM_PARAM_INVALID},
		"format":            {ck.CKM_SP800_108_DOUBLE_PIPELINE_KDF, good(iteration), 16, ck.CKR_MECHANISM_PARAM_INVALID},
		"no counter format": {ck.CKM_SP800_108_DOUBLE_PIPELINE_KDF, good(chained, PRFDataParam{Type: ck.CK_SP800_108_COUNTER}), 16, ck.CKR_MECHANISM_PARAM_INVALID},
		"no length format":  {ck.CKM_SP800_108_COUNTER_KDF, good(iteration, PRFDataParam{Type: ck.CK_SP800_108_DKM_LENGTH}), 16, ck.CKR_MECHANISM_PARAM_INVALID},
		"unknown field":     {ck.CKM_SP800_108_COUNTER_KDF, good(iteration, PRFDataParam{Type: 6}), 16, ck.CKR_MECHANISM_PARAM_INVALID},
		"absurd field":      {ck.CKM_SP800_108_COUNTER_KDF, good(iteration, PRFDataParam{Type: 1 << 63}), 16, ck.CKR_MECHANISM_PARAM_INVALID},
		"12 bits":           {ck.CKM_SP800_108_COUNTER_KDF, good(PRFDataParam{1, &CounterFormat{WidthInBits: 12}}), 16, ck.CKR_MECHANISM_PARAM_INVALID},
		"40 bits":           {ck.CKM_SP800_108_COUNTER_KDF, good(PRFDataParam{1, &CounterFormat{WidthInBits: 40}}), 16, ck.CKR_MECHANISM_PARAM_INVALID},
		"0 bits":            {ck.CKM_SP800_108_COUNTER_KDF, good(PRFDataParam{1, &CounterFormat{}}), 16, ck.CKR_MECHANISM_PARAM_INVALID},
		"length method":     {ck.CKM_SP800_108_COUNTER_KDF, good(iteration, PRFDataParam{3, &DKMLengthFormat{3, false, 32}}), 16, ck.CKR_MECHANISM_PARAM_INVALID},
		"length too long":   {ck.CKM_SP800_108_COUNTER_KDF, good(iteration, length), 32, ck.CKR_MECHANISM_PARAM_INVALID},
		"counter too short": {ck.CKM_SP800_108_COUNTER_KDF, good(iteration), 255*32 + 1, ck.CKR_MECHANISM_PARAM_INVALID},
		"function":          {ck.CKM_SP800_108_COUNTER_KDF, &SP800108Params{PRF: ck.CKM_MD5_HMAC, Data: []PRFDataParam{iteration}}, 16, ck.CKR_MECHANISM_PARAM_INVALID},
		"no function":       {ck.CKM_SP800_108_COUNTER_KDF, &SP800108Params{Data: []PRFDataParam{iteration}}, 16, ck.CKR_MECHANISM_PARAM_INVALID},
		"key type":          {ck.CKM_SP800_108_COUNTER_KDF, &SP800108Params{PRF: ck.CKM_AES_CMAC, Data: []PRFDataParam{iteration}}, 16, ck.CKR_KEY_TYPE_INCONSISTENT},
		"no key length":     {ck.CKM_SP800_108_COUNTER_KDF, good(iteration), 0, ck.CKR_TEMPLATE_INCOMPLETE},
		"no handle":         {ck.CKM_SP800_108_COUNTER_KDF, list(good(iteration), DerivedKey{Template: four}), 16, ck.CKR_MECHANISM_PARAM_INVALID},
		"no other length":   {ck.CKM_SP800_108_COUNTER_KDF, list(good(iteration), DerivedKey{Handle: handle}), 16, ck.CKR_TEMPLATE_INCOMPLETE},
		"too many keys":     {ck.CKM_SP800_108_COUNTER_KDF, list(good(iteration), make([]DerivedKey, maxAdditional+1)...), 16, ck.CKR_MECHANISM_PARAM_INVALID},
		"wrong structure":   {ck.CKM_SP800_108_FEEDBACK_KDF, good(iteration), 16, ck.CKR_MECHANISM_PARAM_INVALID},
	} {
		_, err := Find(c.m).DeriveKeys(secretKey(ck.CKK_GENERIC_SECRET, pattern(32)), c.p, &Derivation{Type: ck.CKK_GENERIC_SECRET, Len: c.n})
		if ck.RVOf(err) != c.want {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
	_, err := Find(ck.CKM_SP800_108_COUNTER_KDF).DeriveKeys(&Key{}, good(iteration), &Derivation{Type: ck.CKK_GENERIC_SECRET, Len: 16})
	wantError(t, err, ck.CKR_KEY_SIZE_RANGE)
}
