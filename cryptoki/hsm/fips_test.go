package hsm

import (
	"encoding/hex"
	"reflect"
	"testing"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/cryptoki/p11"
	"github.com/perilune/perilune/engine"
)

// fipsBench has keys that were there before FIPS mode came. ask is what the
// handlers do until the engine begins.
type fipsBench struct {
	*bench
	t      *testing.T
	params map[string]fipsParams
}

// fipsParams are parameters of one structure: those that FIPS mode takes, those
// that it takes of nobody who produces, and those that it takes never.
type fipsParams struct{ good, consumed, bad []any }

func newFIPSBench(t *testing.T) *fipsBench {
	h := newTestHSM(t)
	must(t, h, &p11.InitHSM{Label: "fips", PIN: []byte("hsm so pin")})
	b := &bench{t, h, open(t, h, 0, true)}
	ok(b, &p11.Login{Session: b.s, User: ck.CKU_USER, PIN: []byte(userPIN)})
	return &fipsBench{b, t, fipsParameters(b)}
}

// on switches FIPS mode on, until the test ends.
func (b *fipsBench) on() {
	b.policy(policyPartitionNonFIPS, 0)
}

func unhex(s string) []byte {
	b, err := hex.DecodeString(s)
	if err != nil {
		panic(err)
	}
	return b
}

// everyUse is what permits a key everything.
var everyUse = []ck.AttributeType{
	ck.CKA_ENCRYPT, ck.CKA_DECRYPT, ck.CKA_SIGN, ck.CKA_VERIFY, ck.CKA_SIGN_RECOVER, ck.CKA_VERIFY_RECOVER,
	ck.CKA_WRAP, ck.CKA_UNWRAP, ck.CKA_DERIVE, ck.CKA_ENCAPSULATE, ck.CKA_DECAPSULATE,
}

// key is a key that no object stands for, sound or not.
func (b *fipsBench) key(class ck.ObjectClass, kt ck.KeyType, attrs ...ck.Attribute) *object {
	b.t.Helper()
	l := attrList{}
	for _, a := range append(yes(everyUse...), append(attrs, ck.NewULong(ck.CKA_CLASS, class), ck.NewULong(ck.CKA_KEY_TYPE, kt))...) {
		l.put(a)
	}
	o, err := newObject(flatten(l))
	if err != nil {
		b.t.Fatal(err)
	}
	return o
}

// uses lists what a row does with a key.
func usesOf(row *engine.Mechanism) (list []use) {
	for u := range use(numUses) {
		if r := &useRules[u]; r.able != nil && r.able(row) && r.attr != 0 {
			list = append(list, u)
		}
	}
	return list
}

// Keys: over all approved rows and all kinds of keys that they take, whatever
// their parameters are.
func TestFIPSKeys(t *testing.T) {
	b := newFIPSBench(t)
	onCurve := func(name, params string, good bool, kt ck.KeyType) (list []fipsKey) {
		for _, class := range []ck.ObjectClass{ck.CKO_PUBLIC_KEY, ck.CKO_PRIVATE_KEY} {
			list = append(list, fipsKey{name, b.key(class, kt, ck.NewBytes(ck.CKA_EC_PARAMS, unhex(params))), good})
		}
		return list
	}
	var keys []fipsKey
	for _, c := range []struct {
		name, params string
		good         bool
		kt           ck.KeyType
	}{
		{"P-224", "06052b81040021", true, ck.CKK_EC}, {"P-256", "06082a8648ce3d030107", true, ck.CKK_EC},
		{"P-384", "06052b81040022", true, ck.CKK_EC}, {"P-521", "06052b81040023", true, ck.CKK_EC},
		{"secp256k1", "06052b8104000a", false, ck.CKK_EC}, {"brainpoolP256r1", "06092b2403030208010107", false, ck.CKK_EC},
		{"K-233", "06052b8104001a", false, ck.CKK_EC}, {"B-283", "06052b81040011", false, ck.CKK_EC},
		{"P-192", "06082a8648ce3d030101", false, ck.CKK_EC}, {"sm2p256v1", "06082a811ccf5501822d", false, ck.CKK_EC},
		{"BIP 32", "06052b8104000a", false, ck.CKK_BIP32}, {"X25519", "06032b656e", false, ck.CKK_EC_MONTGOMERY},
	} {
		keys = append(keys, onCurve(c.name, c.params, c.good, c.kt)...)
	}
	one, two, three := "0123456789abcdef", "fedcba9876543210", "76543210fedcba98"
	for _, c := range []struct {
		name, value string
		good        bool
		kt          ck.KeyType
	}{
		{"three keys", one + two + three, true, ck.CKK_DES3},
		{"two keys", one + two, false, ck.CKK_DES2},
		{"two keys in 24 bytes", one + two + one, false, ck.CKK_DES3},
		{"DES in 24 bytes", one + one + two, false, ck.CKK_DES3},
		{"DES at the end", one + two + two, false, ck.CKK_DES3},
	} {
		keys = append(keys, fipsKey{c.name, b.key(ck.CKO_SECRET_KEY, c.kt, ck.NewBytes(ck.CKA_VALUE, unhex(c.value))), c.good})
	}
	b.on()

	checked := map[string]int{}
	for _, row := range engine.Mechanisms() {
		if !row.FIPS {
			continue
		}
		for _, k := range keys {
			isDES := k.key.class == ck.CKO_SECRET_KEY
			if !row.Takes(k.key.class, k.key.keyType()) || isDES && row.Keys[0] == engine.AnySecret {
				continue // secrets of any type, which are no keys of triple DES there
			}
			for _, u := range usesOf(row) {
				if half := useRules[u].half; k.key.class != half && !isDES {
					continue
				}
				want := ck.CKR_OK
				if !k.good && producing[u] {
					want = ck.CKR_KEY_SIZE_RANGE
				}
				if err := b.h.checkUse(b.session().part, row, u, k.key, nil); ck.RVOf(err) != want {
					t.Errorf("%v, use %d, %s: %v, not %v", row.Type, u, k.name, err, want)
				}
				checked[k.name]++
			}
		}
	}
	for _, k := range keys {
		if checked[k.name] == 0 {
			t.Errorf("%s: no row takes such keys", k.name)
		}
	}
}

type fipsKey struct {
	name string
	key  *object
	good bool
}

// New keys are on the standard's curves, and of three keys.
func TestFIPSGenerate(t *testing.T) {
	b := newFIPSBench(t)
	b.on()
	pair := func(m ck.MechanismType, params string) *p11.GenerateKeyPair {
		return &p11.GenerateKeyPair{Session: b.s, Mechanism: mech(m), Public: []ck.Attribute{ck.NewBytes(ck.CKA_EC_PARAMS, unhex(params))}}
	}
	for _, m := range []ck.MechanismType{ck.CKM_EC_KEY_PAIR_GEN, ck.CKM_EC_KEY_PAIR_GEN_W_EXTRA_BITS} {
		ok(b.bench, pair(m, "06082a8648ce3d030107"))
		for _, params := range []string{"06052b8104000a", "06092b2403030208010107", "06052b8104001a"} {
			fails(b.bench, ck.CKR_CURVE_NOT_SUPPORTED, pair(m, params))
		}
	}
	ok(b.bench, &p11.GenerateKey{Session: b.s, Mechanism: mech(ck.CKM_DES3_KEY_GEN)})
	fails(b.bench, ck.CKR_MECHANISM_INVALID, &p11.GenerateKey{Session: b.s, Mechanism: mech(ck.CKM_DES2_KEY_GEN)})
	for hash, want := range map[ck.MechanismType]ck.RV{ck.CKM_SHA256: ck.CKR_OK, ck.CKM_SM3: ck.CKR_MECHANISM_PARAM_INVALID} {
		_, err := b.h.mechanismFor(b.session().part, mech(ck.CKM_DSA_PROBABILISTIC_PARAMETER_GEN, &engine.DSAParameterGenParams{Hash: hash}), useGenerate)
		if ck.RVOf(err) != want {
			t.Errorf("parameters of DSA by %v: %v", hash, err)
		}
	}
}

// fipsParameters are parameters by the name of their structure. What the engine
// refuses in any mode is bad too.
func fipsParameters(b *bench) map[string]fipsParams {
	point := b.attr(b.ecPair().Public, ck.CKA_EC_POINT)
	kdfs := func(make func(ck.KDF) any) (p fipsParams) {
		for _, kdf := range []ck.KDF{ck.CKD_NULL, ck.CKD_SHA1_KDF, ck.CKD_SHA256_KDF, ck.CKD_SHA3_512_KDF, ck.CKD_SHA256_KDF_SP800, ck.CKD_SHA384_NIST_KDF, ck.CKD_SHA512_KDF_OLD} {
			p.good = append(p.good, make(kdf))
		}
		for _, kdf := range []ck.KDF{ck.CKD_RIPEMD160_KDF, ck.CKD_RIPEMD160_NIST_KDF, ck.CKD_BLAKE2B_256_KDF, ck.CKD_BLAKE2B_512_KDF} {
			p.bad = append(p.bad, make(kdf))
		}
		return p
	}
	prfs := func(make func(ck.MechanismType) any, good, bad []ck.MechanismType) (p fipsParams) {
		for _, m := range good {
			p.good = append(p.good, make(m))
		}
		for _, m := range bad {
			p.bad = append(p.bad, make(m))
		}
		return p
	}
	hmacs := []ck.MechanismType{ck.CKM_SHA_1_HMAC, ck.CKM_SHA256_HMAC, ck.CKM_SHA512_HMAC}
	oldHMACs := []ck.MechanismType{ck.CKM_MD5_HMAC, ck.CKM_RIPEMD160_HMAC}
	digests := []ck.MechanismType{ck.CKM_SHA256, ck.CKM_SHA384, ck.CKM_SHA512}
	oldDigests := []ck.MechanismType{ck.CKM_MD5, ck.CKM_RIPEMD160, ck.CKM_SM3, ck.CKM_BLAKE2B_256}
	counter := []engine.PRFDataParam{{Type: ck.CK_SP800_108_ITERATION_VARIABLE, Value: &engine.CounterFormat{WidthInBits: 32}}}
	ike := append([]ck.MechanismType{ck.CKM_AES_XCBC_MAC}, oldHMACs...)
	random := engine.SSL3RandomData{Client: make([]byte, 32), Server: make([]byte, 32)}
	ecies := func(kdf ck.KDF, enc, keyBits, mac uint64) any {
		return &engine.ECIESParams{DHPrimitive: ck.CKDHP_STANDARD, KDF: kdf, EncScheme: enc, EncKeyBits: keyBits, MACScheme: mac, MACKeyBits: 160, MACBits: 160}
	}
	oaep := func(h ck.MechanismType) *engine.OAEPParams {
		return &engine.OAEPParams{HashAlg: h, MGF: ck.CKG_MGF1_SHA256, Source: ck.CKZ_DATA_SPECIFIED}
	}
	pss := func(h ck.MechanismType, salt uint64) any {
		return &engine.PSSParams{HashAlg: h, MGF: ck.CKG_MGF1_SHA256, SaltLen: salt}
	}
	return map[string]fipsParams{
		"ECDH1DeriveParams":    kdfs(func(k ck.KDF) any { return &engine.ECDH1DeriveParams{KDF: k, PublicData: point} }),
		"ECMQVDeriveParams":    kdfs(func(k ck.KDF) any { return &engine.ECMQVDeriveParams{KDF: k, PublicData: point, PublicData2: point} }),
		"X942DH1Params":        kdfs(func(k ck.KDF) any { return &engine.X942DH1Params{KDF: k} }),
		"X942DH2Params":        kdfs(func(k ck.KDF) any { return &engine.X942DH2Params{KDF: k} }),
		"X942MQVParams":        kdfs(func(k ck.KDF) any { return &engine.X942MQVParams{KDF: k} }),
		"ECDHAESKeyWrapParams": kdfs(func(k ck.KDF) any { return &engine.ECDHAESKeyWrapParams{AESKeyBits: 128, KDF: k} }),
		"ECIESParams": {
			good: []any{ecies(ck.CKD_SHA256_KDF, ck.CKES_AES_CBC_PAD, 128, ck.CKMS_HMAC_SHA256)},
			consumed: []any{
				ecies(ck.CKD_SHA256_KDF, ck.CKES_DES3_CBC_PAD, 192, ck.CKMS_HMAC_SHA256), ecies(ck.CKD_SHA256_KDF, ck.CKES_DES3_CBC, 128, ck.CKMS_HMAC_SHA1),
			},
			bad: []any{
				ecies(ck.CKD_RIPEMD160_KDF, ck.CKES_AES_CBC_PAD, 128, ck.CKMS_HMAC_SHA256), ecies(ck.CKD_SHA256_KDF, ck.CKES_XOR, 0, ck.CKMS_HMAC_SHA256),
				ecies(ck.CKD_SHA256_KDF, ck.CKES_AES_CBC_PAD, 128, ck.CKMS_SHA256), ecies(ck.CKD_SHA256_KDF, ck.CKES_AES_CBC_PAD, 128, ck.CKMS_HMAC_RIPEMD160),
			},
		},
		"OAEPParams": {good: []any{oaep(ck.CKM_SHA_1), oaep(ck.CKM_SHA256)}, bad: []any{oaep(ck.CKM_MD5), oaep(ck.CKM_SM3)}},
		"RSAAESKeyWrapParams": {
			good: []any{&engine.RSAAESKeyWrapParams{AESKeyBits: 256, OAEP: oaep(ck.CKM_SHA256)}},
			bad:  []any{&engine.RSAAESKeyWrapParams{AESKeyBits: 256, OAEP: oaep(ck.CKM_MD5)}},
		},
		"PSSParams": {good: []any{pss(ck.CKM_SHA256, 32)}, consumed: []any{pss(ck.CKM_SHA_1, 20)}, bad: []any{pss(ck.CKM_SHA256, 33), pss(ck.CKM_MD5, 16)}},
		"HKDFParams": prfs(func(m ck.MechanismType) any {
			return &engine.HKDFParams{Extract: true, Expand: true, Hash: m, SaltType: ck.CKF_HKDF_SALT_NULL}
		}, digests, oldDigests),
		"SP800108Params": prfs(func(m ck.MechanismType) any { return &engine.SP800108Params{PRF: m, Data: counter} },
			hmacs, append([]ck.MechanismType{ck.CKM_SEED_CMAC, ck.CKM_ARIA_CMAC}, oldHMACs...)),
		"SP800108FeedbackParams": prfs(func(m ck.MechanismType) any {
			return &engine.SP800108FeedbackParams{PRF: m, Data: []engine.PRFDataParam{{Type: ck.CK_SP800_108_ITERATION_VARIABLE}}}
		}, hmacs, oldHMACs),
		"KDFPRFParams": {
			good: []any{&engine.KDFPRFParams{PRF: ck.CK_PRF_KDF_HMAC_SHA256, Counter: 1}},
			bad:  []any{&engine.KDFPRFParams{PRF: ck.CK_PRF_KDF_HMAC_RIPEMD160}, &engine.KDFPRFParams{PRF: ck.CK_PRF_KDF_SEED_CMAC}},
		},
		"IKEPRFDeriveParams": prfs(func(m ck.MechanismType) any {
			return &engine.IKEPRFDeriveParams{PRF: m, DataAsKey: true, Ni: make([]byte, 16), Nr: make([]byte, 16)}
		}, hmacs, ike),
		"IKE2PRFPlusDeriveParams": prfs(func(m ck.MechanismType) any { return &engine.IKE2PRFPlusDeriveParams{PRF: m, SeedData: []byte("seed")} }, hmacs, ike),
		"IKE1PRFDeriveParams":     prfs(func(m ck.MechanismType) any { return &engine.IKE1PRFDeriveParams{PRF: m} }, hmacs, ike),
		"IKE1ExtendedDeriveParams": prfs(func(m ck.MechanismType) any {
			return &engine.IKE1ExtendedDeriveParams{PRF: m, ExtraData: []byte("data")}
		}, hmacs, ike),
		"TLS12KeyMatParams": prfs(func(m ck.MechanismType) any {
			return &engine.TLS12KeyMatParams{KeyBits: 128, Random: random, Out: &engine.SSL3KeyMatOut{}, Hash: m}
		}, digests, append([]ck.MechanismType{ck.CKM_TLS_PRF, ck.CKM_SHA_1}, oldDigests...)),
		"TLS12ExtendedMasterKeyDeriveParams": prfs(func(m ck.MechanismType) any {
			return &engine.TLS12ExtendedMasterKeyDeriveParams{Hash: m, SessionHash: make([]byte, 32)}
		}, digests, append([]ck.MechanismType{ck.CKM_TLS_PRF, ck.CKM_SHA_1}, oldDigests...)),
		"HashSignAdditionalContext": prfs(func(m ck.MechanismType) any { return &engine.HashSignAdditionalContext{Hash: m} },
			[]ck.MechanismType{ck.CKM_SHA256, ck.CKM_SHA3_512}, append([]ck.MechanismType{ck.CKM_SHA_1}, oldDigests...)),
		"DSAParameterGenParams": {}, // no key: see TestFIPSGenerate
	}
}

// Parameters: over all approved rows. Those that name a function are all in the
// table.
func TestFIPSParameters(t *testing.T) {
	b := newFIPSBench(t)
	keys := b.sampleKeys()
	b.on()
	for _, row := range engine.Mechanisms() {
		if !row.FIPS || !namesFunction(reflect.TypeOf(row.Param)) {
			continue
		}
		name := reflect.TypeOf(row.Param).Elem().Name()
		list, known := b.params[name]
		if !known {
			t.Errorf("%v: parameters engine.%s name a function, and are not in the table of this test", row.Type, name)
		}
		for _, u := range usesOf(row) {
			if row.Legacy && producing[u] {
				continue // refused whatever the parameter is
			}
			key := keys(row, useRules[u].half)
			check := func(p any, want ck.RV) {
				t.Helper()
				if hash := ownHash(row.Type); hash != 0 { // the parameter must name the mechanism's own
					own := *p.(*engine.PSSParams)
					if own.HashAlg != ck.CKM_MD5 && (hash == ck.CKM_SHA_1) != (own.HashAlg == ck.CKM_SHA_1) {
						return
					}
					if own.HashAlg == ck.CKM_SHA256 {
						own.HashAlg, own.SaltLen = hash, own.SaltLen-32+hashSize(hash)
					}
					p = &own
				}
				if err := b.begin(row, u, key, p); ck.RVOf(err) != want {
					t.Errorf("%v, use %d, %+v: %v, not %v", row.Type, u, p, err, want)
				}
			}
			for _, p := range list.good {
				check(p, ck.CKR_OK)
			}
			for _, p := range list.consumed {
				if producing[u] {
					check(p, ck.CKR_MECHANISM_PARAM_INVALID)
				} else {
					check(p, ck.CKR_OK)
				}
			}
			for _, p := range list.bad {
				check(p, ck.CKR_MECHANISM_PARAM_INVALID)
			}
		}
	}
	// Two keys of triple DES do not derive either.
	two := b.key(ck.CKO_SECRET_KEY, ck.CKK_DES2, ck.NewBytes(ck.CKA_VALUE, unhex("0123456789abcdeffedcba9876543210")))
	for m, p := range map[ck.MechanismType]any{
		ck.CKM_NIST_PRF_KDF:          &engine.KDFPRFParams{PRF: ck.CK_PRF_KDF_DES3_CMAC},
		ck.CKM_SP800_108_COUNTER_KDF: &engine.SP800108Params{PRF: ck.CKM_DES3_CMAC},
	} {
		if err := b.h.checkUse(b.session().part, engine.Find(m), useDerive, two, p); ck.RVOf(err) != ck.CKR_KEY_SIZE_RANGE {
			t.Errorf("%v: %v", m, err)
		}
	}
}

// namesFunction reports whether a field of a parameter structure, or of those in
// it, names a mechanism or something like it.
func namesFunction(t reflect.Type) bool {
	if t == nil || t.Kind() != reflect.Pointer || t.Elem().Kind() != reflect.Struct {
		return false
	}
	for i := range t.Elem().NumField() {
		f := t.Elem().Field(i)
		switch f.Type {
		case reflect.TypeFor[ck.MechanismType](), reflect.TypeFor[ck.KDF](), reflect.TypeFor[ck.MGF]():
			return true
		}
		if namesFunction(f.Type) {
			return true
		}
	}
	return t == reflect.TypeFor[*engine.ECIESParams]() || t == reflect.TypeFor[*engine.KDFPRFParams]()
}

// ownHash is the hash function of a mechanism of PSS that has one, else 0.
func ownHash(m ck.MechanismType) ck.MechanismType {
	return map[ck.MechanismType]ck.MechanismType{
		ck.CKM_SHA1_RSA_PKCS_PSS: ck.CKM_SHA_1, ck.CKM_SHA224_RSA_PKCS_PSS: ck.CKM_SHA224, ck.CKM_SHA256_RSA_PKCS_PSS: ck.CKM_SHA256,
		ck.CKM_SHA384_RSA_PKCS_PSS: ck.CKM_SHA384, ck.CKM_SHA512_RSA_PKCS_PSS: ck.CKM_SHA512, ck.CKM_SHA3_224_RSA_PKCS_PSS: ck.CKM_SHA3_224,
		ck.CKM_SHA3_256_RSA_PKCS_PSS: ck.CKM_SHA3_256, ck.CKM_SHA3_384_RSA_PKCS_PSS: ck.CKM_SHA3_384, ck.CKM_SHA3_512_RSA_PKCS_PSS: ck.CKM_SHA3_512,
	}[m]
}

// hashSize is the length of the digests of a hash function.
func hashSize(m ck.MechanismType) uint64 {
	op, err := engine.Find(m).Digest(nil)
	if err != nil {
		panic(err)
	}
	n, _ := op.FinishLen(0)
	return uint64(n)
}

// sampleKeys makes a good key for each row.
func (b *fipsBench) sampleKeys() func(row *engine.Mechanism, half ck.ObjectClass) *object {
	get := func(h ck.ObjectHandle) *object {
		o, err := b.h.keyObject(b.t.Context(), b.session(), h)
		if err != nil {
			b.t.Fatal(err)
		}
		return o
	}
	pairs := map[ck.KeyType]p11.KeyPair{}
	for _, c := range []struct {
		kt     ck.KeyType
		gen    ck.MechanismType
		public []ck.Attribute
		use    []ck.AttributeType // of the public key, and of the private one
		priv   []ck.AttributeType
	}{
		{ck.CKK_RSA, ck.CKM_RSA_PKCS_KEY_PAIR_GEN, []ck.Attribute{ck.NewULong(ck.CKA_MODULUS_BITS, uint64(2048)), ck.NewBytes(ck.CKA_PUBLIC_EXPONENT, []byte{1, 0, 1})},
			[]ck.AttributeType{ck.CKA_ENCRYPT, ck.CKA_VERIFY, ck.CKA_WRAP, ck.CKA_ENCAPSULATE}, []ck.AttributeType{ck.CKA_DECRYPT, ck.CKA_SIGN, ck.CKA_UNWRAP, ck.CKA_DECAPSULATE}},
		{ck.CKK_EC, ck.CKM_EC_KEY_PAIR_GEN, []ck.Attribute{ck.NewBytes(ck.CKA_EC_PARAMS, unhex("06082a8648ce3d030107"))},
			[]ck.AttributeType{ck.CKA_ENCRYPT, ck.CKA_ENCAPSULATE, ck.CKA_WRAP}, []ck.AttributeType{ck.CKA_DECRYPT, ck.CKA_DERIVE, ck.CKA_DECAPSULATE, ck.CKA_UNWRAP}},
		{ck.CKK_ML_DSA, ck.CKM_ML_DSA_KEY_PAIR_GEN, []ck.Attribute{ck.NewULong(ck.CKA_PARAMETER_SET, uint64(ck.CKP_ML_DSA_44))}, []ck.AttributeType{ck.CKA_VERIFY}, []ck.AttributeType{ck.CKA_SIGN}},
		{ck.CKK_SLH_DSA, ck.CKM_SLH_DSA_KEY_PAIR_GEN, []ck.Attribute{ck.NewULong(ck.CKA_PARAMETER_SET, uint64(ck.CKP_SLH_DSA_SHA2_128F))}, []ck.AttributeType{ck.CKA_VERIFY}, []ck.AttributeType{ck.CKA_SIGN}},
	} {
		pairs[c.kt] = ok(b.bench, &p11.GenerateKeyPair{Session: b.s, Mechanism: mech(c.gen), Public: append(c.public, yes(c.use...)...), Private: yes(c.priv...)})
	}
	generic := get(b.secret(ck.CKK_GENERIC_SECRET, make([]byte, 48), yes(ck.CKA_DERIVE)...))
	prime := make([]byte, 256)
	prime[0], prime[255] = 0x80, 1
	x942 := map[ck.ObjectClass]*object{}
	for _, half := range []ck.ObjectClass{ck.CKO_PUBLIC_KEY, ck.CKO_PRIVATE_KEY} {
		x942[half] = b.key(half, ck.CKK_X9_42_DH, ck.NewBytes(ck.CKA_PRIME, prime))
	}
	return func(row *engine.Mechanism, half ck.ObjectClass) *object {
		kt := row.Keys[0]
		if kt == ck.CKK_X9_42_DH {
			return x942[half]
		}
		pair, isPair := pairs[kt]
		switch {
		case !isPair:
			return generic
		case half == ck.CKO_PUBLIC_KEY:
			return get(pair.Public)
		}
		return get(pair.Private)
	}
}

// begin is what handlers do, up to the engine's first word about a parameter.
func (b *fipsBench) begin(row *engine.Mechanism, u use, key *object, p any) (err error) {
	if _, err := b.h.mechanismFor(b.session().part, &ck.Mechanism{Type: row.Type, Param: p}, u); err != nil {
		return err
	}
	if err := b.h.checkUse(b.session().part, row, u, key, p); err != nil {
		return err
	}
	if key.keyType() == ck.CKK_X9_42_DH || row.Type == ck.CKM_ECMQV_DERIVE {
		return nil // no sound key here, or one key too few
	}
	if twice, ok := p.(*engine.SP800108Params); ok && row.Type == ck.CKM_SP800_108_DOUBLE_PIPELINE_KDF {
		other := *twice // whose iteration variable is no counter
		other.Data = []engine.PRFDataParam{{Type: ck.CK_SP800_108_ITERATION_VARIABLE}}
		p = &other
	}
	k := key.key()
	d := &engine.Derivation{Type: ck.CKK_GENERIC_SECRET, Len: 20, Keys: make([]*engine.Key, len(paramHandles(p)))}
	switch {
	case u == use(p11.OpEncrypt):
		_, err = row.Encrypt(k, p)
	case u == use(p11.OpDecrypt):
		_, err = row.Decrypt(k, p)
	case u == use(p11.OpSign), u == use(p11.OpMessageSign):
		_, err = row.Sign(k, p)
	case u == use(p11.OpVerify), u == use(p11.OpMessageVerify), u == use(p11.OpVerifySignature):
		_, err = row.Verify(k, p)
	case u == useWrap:
		_, err = row.Wrap(k, p)
	case u == useUnwrap:
		_, err = row.Unwrap(k, p)
	case u == useEncapsulate && row.Wrap != nil:
		_, _, err = row.Encapsulate(k, p, d)
	case u == useDecapsulate && row.Unwrap != nil:
		_, err = row.Unwrap(k, p)
	case u == useEncapsulate, u == useDecapsulate: // as in a derivation
	case u == useDerive && row.DeriveKeys != nil:
		if _, ok := p.(*engine.TLS12ExtendedMasterKeyDeriveParams); ok {
			d.Len = 48
		}
		_, err = row.DeriveKeys(k, p, d)
	case u == useDerive:
		if row.Type == ck.CKM_IKE1_PRF_DERIVE || row.Type == ck.CKM_IKE_PRF_DERIVE {
			d.Len = 0 // it is the function's
		}
		if row.Type == ck.CKM_IKE1_PRF_DERIVE {
			d.Keys[0] = k
		}
		_, err = row.Derive(k, p, d)
	default:
		b.t.Errorf("%v: no way to begin use %d", row.Type, u)
	}
	return err
}

// An operation that was saved before FIPS mode does not go on in it.
func TestFIPSState(t *testing.T) {
	b := newFIPSBench(t)
	for m, want := range map[ck.MechanismType]ck.RV{ck.CKM_MD5: ck.CKR_MECHANISM_INVALID, ck.CKM_SHA256: ck.CKR_OK} {
		b.digest(m)
		state := b.saveState()
		ok(b.bench, &p11.SessionCancel{Session: b.s, Flags: ^ck.Flags(0)})
		b.policy(policyPartitionNonFIPS, 0)
		fails(b.bench, want, &p11.SetOperationState{Session: b.s, State: state})
		ok(b.bench, &p11.SessionCancel{Session: b.s, Flags: ^ck.Flags(0)})
		b.policy(policyPartitionNonFIPS, 1)
	}
}

// digest begins a digest.
func (b *fipsBench) digest(m ck.MechanismType) {
	b.bench.begin(p11.OpDigest, mech(m), 0)
	b.update(p11.OpDigest, []byte("some bytes"))
}

// Generic secrets are measured in bits where mechanisms make them, and in bytes
// otherwise.
func TestGenericSecretsInFIPSMode(t *testing.T) {
	b := newFIPSBench(t)
	b.on()
	secret := func(n uint64) *p11.GenerateKey {
		return &p11.GenerateKey{Session: b.s, Mechanism: &ck.Mechanism{Type: ck.CKM_GENERIC_SECRET_KEY_GEN},
			Template: []ck.Attribute{ck.NewULong(ck.CKA_VALUE_LEN, n)}}
	}
	must(t, b.h, secret(32))
	must(t, b.h, secret(14)) // 112 bits
	want(t, b.h, ck.CKR_KEY_SIZE_RANGE, secret(13))
}
