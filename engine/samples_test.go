package engine

// Samples: keys of every type and parameters of every structure with which the
// mechanisms work. Fuzzing starts from them, and the tests under valgrind use
// them. A key type or a structure that has none fails TestSamples.

import (
	"bytes"
	"fmt"
	"reflect"
	"slices"
	"sync"
	"testing"

	"github.com/perilune/perilune/cryptoki/ck"
)

// sampleKeys are keys that belong together. Those that there cannot be are nil.
type sampleKeys struct {
	name            string
	secret          *Key
	private, public *Key
	// Of the other party, in the same group.
	peerPrivate, peerPublic *Key
	// set holds the components that are secret; the others are public.
	set []ck.AttributeType
	// open are the parts of CKA_VALUE that are public, from and to.
	open [][2]int
}

// of returns the key that an operation takes.
func (s *sampleKeys) of(public bool) *Key {
	switch {
	case s.secret != nil:
		return s.secret
	case public:
		return s.public
	}
	return s.private
}

// fresh is a copy of s that shares no memory with it, and has nothing parsed.
func (s *sampleKeys) fresh() *sampleKeys {
	c := *s
	for _, k := range []**Key{&c.secret, &c.private, &c.public, &c.peerPrivate, &c.peerPublic} {
		if *k == nil {
			continue
		}
		n := &Key{Class: (*k).Class, Type: (*k).Type}
		for _, a := range (*k).Attrs {
			n.Attrs = append(n.Attrs, ck.Attribute{Type: a.Type, Value: bytes.Clone(a.Value)})
		}
		*k = n
	}
	return &c
}

// sampleKeysOf makes the samples of a key type; none if it is not known.
var sampleKeysOf = func() func(t ck.KeyType) []*sampleKeys {
	var mu sync.Mutex
	made := map[ck.KeyType][]*sampleKeys{}
	return func(t ck.KeyType) []*sampleKeys {
		mu.Lock()
		defer mu.Unlock()
		if _, ok := made[t]; !ok {
			made[t] = makeSampleKeys(t)
		}
		var list []*sampleKeys
		for _, s := range made[t] {
			list = append(list, s.fresh())
		}
		return list
	}
}()

// sampleCurves are one of each kind of arithmetic.
var sampleCurves = []string{
	"secp256r1", "sm2p256v1", "brainpoolP256r1", "secp256k1", "sect163k1", "secp224r1", "secp384r1", "secp521r1",
}

func makeSampleKeys(t ck.KeyType) (list []*sampleKeys) {
	value := []ck.AttributeType{ck.CKA_VALUE}
	switch t {
	case AnySecret:
		return append(makeSampleKeys(ck.CKK_GENERIC_SECRET), makeSampleKeys(ck.CKK_AES)...)
	case ck.CKK_RSA:
		k, err := testRSAKey()
		if err != nil {
			return nil
		}
		public := &Key{Class: ck.CKO_PUBLIC_KEY, Type: t, Attrs: []ck.Attribute{
			*ck.Find(k.Attrs, ck.CKA_MODULUS), *ck.Find(k.Attrs, ck.CKA_PUBLIC_EXPONENT)}}
		return []*sampleKeys{{name: "RSA", private: k, public: public, set: []ck.AttributeType{ck.CKA_PRIVATE_EXPONENT,
			ck.CKA_PRIME_1, ck.CKA_PRIME_2, ck.CKA_EXPONENT_1, ck.CKA_EXPONENT_2, ck.CKA_COEFFICIENT}}}
	case ck.CKK_EC, ck.CKK_EC_EDWARDS, ck.CKK_EC_MONTGOMERY:
		for _, c := range curves() {
			if c.key != t || t == ck.CKK_EC && !slices.Contains(sampleCurves, c.names[0]) {
				continue
			}
			s := &sampleKeys{name: c.names[0], set: value}
			s.private, s.public = sampleECPair(c, 1)
			s.peerPrivate, s.peerPublic = sampleECPair(c, 2)
			list = append(list, s)
		}
		slices.SortStableFunc(list, func(a, b *sampleKeys) int {
			return slices.Index(sampleCurves, a.name) - slices.Index(sampleCurves, b.name)
		})
		return list
	case ck.CKK_BIP32:
		s := &sampleKeys{name: "BIP 32", set: append(value, ck.CKA_BIP32_CHAIN_CODE)}
		s.private, s.public = sampleECPair(testCurve("secp256k1"), 1)
		for _, k := range []*Key{s.private, s.public} {
			k.Type = t
			k.Attrs = append(k.Attrs, ck.NewBytes(ck.CKA_BIP32_CHAIN_CODE, pattern(32)))
			made, err := completeBIP32(k)
			if err != nil {
				return nil
			}
			k.Attrs = append(k.Attrs, made...)
		}
		return []*sampleKeys{s}
	case ck.CKK_DSA:
		return []*sampleKeys{sampleDL(dsaType, "dsa")}
	case ck.CKK_KCDSA:
		return []*sampleKeys{sampleDL(kcdsaType, "kcdsa-has160")}
	case ck.CKK_DH:
		return []*sampleKeys{sampleDL(dhType, "dh")}
	case ck.CKK_X9_42_DH:
		return []*sampleKeys{sampleDL(x942Type, "dh")}
	case ck.CKK_ML_KEM:
		// The encapsulation key and its hash lie between the rest (FIPS 203,
		// algorithm 16).
		return samplePQC(mlkemFamily, ck.CKP_ML_KEM_768, pqcAnswers()["ML-KEM-768"]["seed"], [2]int{1152, 1152 + 1184 + 32})
	case ck.CKK_ML_DSA:
		// Those that begin the public key, and its hash (FIPS 204, algorithm 24).
		return samplePQC(mldsaFamily, ck.CKP_ML_DSA_65, pattern(32), [2]int{0, 32}, [2]int{64, 128})
	case ck.CKK_SLH_DSA:
		k := slhdsaTestKey(pqcAnswers()["SLH-DSA-SHA2-128f"])
		public, err := slhdsaFamily.publicHalf(k)
		if err != nil {
			return nil
		}
		return []*sampleKeys{{name: "SLH-DSA-SHA2-128f", private: k, public: public, set: value, open: [][2]int{{32, 64}}}}
	case ck.CKK_HSS, ck.CKK_XMSS, ck.CKK_XMSSMT:
		section := map[ck.KeyType]string{ck.CKK_HSS: "hss", ck.CKK_XMSS: "CKM_XMSS", ck.CKK_XMSSMT: "CKM_XMSSMT"}[t]
		return []*sampleKeys{{name: section, public: &Key{Class: ck.CKO_PUBLIC_KEY, Type: t,
			Attrs: []ck.Attribute{ck.NewBytes(ck.CKA_VALUE, pqcAnswers()[section]["public"])}}}}
	}
	row := FindKeyType(t)
	if row == nil || row.CheckValue == nil {
		return nil
	}
	lengths := row.Lengths
	if len(lengths) == 0 {
		lengths = []int{48, 32}
	} else if len(lengths) > 3 {
		lengths = []int{16}
	}
	for _, n := range lengths {
		s := &sampleKeys{name: fmt.Sprintf("%v of %d bytes", t, n), secret: secretKey(t, pattern(n)), set: value}
		s.peerPrivate = secretKey(t, pattern(n + 1)[1:])
		list = append(list, s)
	}
	return list
}

// sampleECPair is a pair on c with a private value that is as long as all.
func sampleECPair(c *curve, seed byte) (private, public *Key) {
	value := pattern(c.scalarSize())
	if c.group != nil {
		value[0] = 0 // below the order
	}
	value[len(value)-1] ^= seed
	point, err := c.pointOf(value)
	if err != nil {
		panic(err)
	}
	return c.testKey(answer{"value": value}), c.testVerifyKey(answer{"point": point})
}

func sampleDL(t *dlType, section string) *sampleKeys {
	a := dlAnswers()[section]
	s := &sampleKeys{name: section, private: t.testKey(ck.CKO_PRIVATE_KEY, a, "x", "g"), set: []ck.AttributeType{ck.CKA_VALUE}}
	_, y, err := t.publicValue(s.private)
	if err != nil {
		panic(err)
	}
	s.public = t.testKey(ck.CKO_PUBLIC_KEY, answer{"p": a["p"], "q": a["q"], "g": a["g"], "y": y}, "y", "g")
	s.peerPrivate, s.peerPublic = s.private, s.public
	if len(a["other"]) > 0 {
		s.peerPublic = t.testKey(ck.CKO_PUBLIC_KEY, answer{"p": a["p"], "q": a["q"], "g": a["g"], "y": a["other"]}, "y", "g")
	}
	return s
}

func samplePQC(f *pqcFamily, id uint64, seed []byte, open ...[2]int) []*sampleKeys {
	k, err := f.testKey(id, seed)
	if err != nil {
		return nil
	}
	public, err := f.publicHalf(k)
	if err != nil {
		return nil
	}
	return []*sampleKeys{{name: k.Type.String(), private: k, public: public, open: open,
		set: []ck.AttributeType{ck.CKA_VALUE, ck.CKA_SEED}}}
}

// point is the public data of the other party.
func (s *sampleKeys) point() []byte {
	if s.peerPublic == nil {
		return nil
	}
	if s.peerPublic.Type != ck.CKK_EC && s.peerPublic.Type != ck.CKK_EC_MONTGOMERY {
		return s.peerPublic.Value()
	}
	c, err := ecCurve(s.peerPublic)
	if err != nil {
		return nil
	}
	point, err := c.parsePoint(s.peerPublic.Bytes(ck.CKA_EC_POINT))
	if err != nil {
		return nil
	}
	return point
}

// namedKeys are the keys for the handles of a parameter, in order.
func (s *sampleKeys) namedKeys(p any) (keys []*Key) {
	if _, one := p.(ck.ObjectHandle); one {
		return []*Key{s.peerPrivate}
	}
	v := reflect.ValueOf(p)
	if v.Kind() != reflect.Pointer || v.IsNil() {
		return nil
	}
	v = v.Elem()
	for i := range v.NumField() {
		if v.Field(i).Type() != reflect.TypeFor[ck.ObjectHandle]() {
			continue
		}
		k := s.peerPrivate
		switch {
		case v.Field(i).Uint() == 0:
			k = nil
		case v.Type().Field(i).Name == "PublicKey":
			k = s.public
		}
		keys = append(keys, k)
	}
	return keys
}

// sampleParams are parameters of the type of a prototype. One at least is right
// for each mechanism that has the prototype; ok is false for prototypes that
// this does not know.
func sampleParams(m *Mechanism, proto any, s *sampleKeys) (list []any, ok bool) {
	point := s.point()
	random := SSL3RandomData{Client: pattern(32), Server: pattern(32)}
	zero := make([]byte, 24)
	handle := func() *NewHandle { return new(NewHandle) }
	switch proto.(type) {
	case nil:
		return []any{nil}, true
	case []byte:
		list = []any{zero[:16], zero[:8], pattern(10), point, nil}
	case uint64:
		list = []any{uint64(4), uint64(64), uint64(16), uint64(224), uint64(0), uint64(1)}
	case ck.ObjectHandle:
		list = []any{ck.ObjectHandle(1)}
	case *StringDataParams:
		list = []any{&StringDataParams{pattern(32)}, &StringDataParams{pattern(10)}}
	case *AESCBCEncryptDataParams:
		list = []any{&AESCBCEncryptDataParams{Data: pattern(32)}}
	case *DESCBCEncryptDataParams:
		list = []any{&DESCBCEncryptDataParams{Data: pattern(32)}}
	case *AESXTSParams:
		list = []any{&AESXTSParams{TweakKey: 1}}
	case *GCMParams:
		list = []any{&GCMParams{IV: zero[:12], IVBits: 96, AAD: pattern(7), TagBits: 128}, &GCMParams{IV: zero[:16], TagBits: 64},
			&GCMParams{TagBits: 96}}
	case *GMACParams:
		list = []any{&GMACParams{GCMParams{IV: zero[:12], TagBits: 128}}}
	case *GCMMessageParams:
		list = []any{&GCMMessageParams{IV: zero[:12], Tag: make([]byte, 16), TagBits: 128},
			&GCMMessageParams{IV: make([]byte, 12), IVGenerator: ck.CKG_GENERATE_RANDOM, Tag: make([]byte, 16), TagBits: 128},
			&GCMMessageParams{IV: make([]byte, 12), IVFixedBits: 32, IVGenerator: ck.CKG_GENERATE_COUNTER, Tag: make([]byte, 16), TagBits: 128}}
	case *GCMWrapParams:
		list = []any{&GCMWrapParams{IV: zero[:12], AAD: pattern(7), TagBits: 128}}
	case *CCMParams:
		list = []any{&CCMParams{DataLen: 32, Nonce: zero[:12], AAD: pattern(7), MACLen: 16}, &CCMParams{DataLen: 32, Nonce: zero[:7], MACLen: 4}}
	case *CCMMessageParams:
		list = []any{&CCMMessageParams{DataLen: 32, Nonce: zero[:12], MAC: make([]byte, 16)}}
	case *CCMWrapParams:
		list = []any{&CCMWrapParams{DataLen: 32, Nonce: zero[:12], AAD: pattern(7), MACLen: 16}}
	case *CTRParams:
		list = []any{&CTRParams{CounterBits: 128}, &CTRParams{CounterBits: 32}}
	case *DESCTRParams:
		list = []any{&DESCTRParams{CounterBits: 64}}
	case *ChaCha20Params:
		list = []any{&ChaCha20Params{BlockCounter: zero[:4], CounterBits: 32, Nonce: zero[:12], NonceBits: 96},
			&ChaCha20Params{BlockCounter: zero[:8], CounterBits: 64, Nonce: zero[:8], NonceBits: 64}}
	case *ChaChaPolyParams:
		list = []any{&ChaChaPolyParams{Nonce: zero[:12], AAD: pattern(7)}, &ChaChaPolyParams{Nonce: zero[:24]}, &ChaChaPolyParams{Nonce: zero[:8]}}
	case *ChaChaMessageParams:
		list = []any{&ChaChaMessageParams{Nonce: zero[:12], Tag: new([16]byte)}, &ChaChaMessageParams{Nonce: zero[:24], Tag: new([16]byte)}}
	case *Salsa20Params:
		list = []any{&Salsa20Params{BlockCounter: new([8]byte), Nonce: zero[:8], NonceBits: 64},
			&Salsa20Params{BlockCounter: new([8]byte), Nonce: zero[:24], NonceBits: 192}}
	case *RC2CBCParams:
		list = []any{&RC2CBCParams{EffectiveBits: 64}}
	case *RC2MACGeneralParams:
		list = []any{&RC2MACGeneralParams{EffectiveBits: 64, MACLen: 4}}
	case *RC5Params:
		list = []any{&RC5Params{WordSize: 4, Rounds: 12}, &RC5Params{WordSize: 8, Rounds: 16}}
	case *RC5CBCParams:
		list = []any{&RC5CBCParams{WordSize: 4, Rounds: 12, IV: zero[:8]}, &RC5CBCParams{WordSize: 8, Rounds: 16, IV: zero[:16]}}
	case *RC5MACGeneralParams:
		list = []any{&RC5MACGeneralParams{WordSize: 4, Rounds: 12, MACLen: 4}}
	case *OAEPParams:
		list = []any{sampleOAEP()}
	case *PSSParams:
		for _, h := range []struct {
			hash ck.MechanismType
			mgf  ck.MGF
		}{
			{ck.CKM_SHA_1, ck.CKG_MGF1_SHA1}, {ck.CKM_SHA224, ck.CKG_MGF1_SHA224}, {ck.CKM_SHA256, ck.CKG_MGF1_SHA256},
			{ck.CKM_SHA384, ck.CKG_MGF1_SHA384}, {ck.CKM_SHA512, ck.CKG_MGF1_SHA512}, {ck.CKM_SHA3_224, ck.CKG_MGF1_SHA3_224},
			{ck.CKM_SHA3_256, ck.CKG_MGF1_SHA3_256}, {ck.CKM_SHA3_384, ck.CKG_MGF1_SHA3_384}, {ck.CKM_SHA3_512, ck.CKG_MGF1_SHA3_512},
		} {
			list = append(list, &PSSParams{HashAlg: h.hash, MGF: h.mgf, SaltLen: 20})
		}
	case *RSAAESKeyWrapParams:
		list = []any{&RSAAESKeyWrapParams{AESKeyBits: 256, OAEP: sampleOAEP()}}
	case *KeyWrapSETOAEPParams:
		list = []any{&KeyWrapSETOAEPParams{BC: 1, X: make([]byte, 94)}}
	case *ECDH1DeriveParams:
		list = []any{&ECDH1DeriveParams{KDF: ck.CKD_NULL, PublicData: point},
			&ECDH1DeriveParams{KDF: ck.CKD_SHA256_KDF, SharedData: pattern(5), PublicData: point},
			&ECDH1DeriveParams{KDF: ck.CKD_SHA256_KDF}}
	case *ECMQVDeriveParams:
		list = []any{&ECMQVDeriveParams{KDF: ck.CKD_NULL, PublicData: point, PrivateData: 1, PublicData2: point, PublicKey: 2}}
	case *SM2KeyExchangeParams:
		list = []any{&SM2KeyExchangeParams{Role: 1, PeerPublicKey: point, OwnEphemeralKey: 1, PeerEphemeralKey: point},
			&SM2KeyExchangeParams{Role: 0, PeerPublicKey: point, OwnEphemeralKey: 1, PeerEphemeralKey: point}}
	case *ECIESParams:
		list = []any{&ECIESParams{DHPrimitive: ck.CKDHP_STANDARD, KDF: ck.CKD_SHA256_KDF, EncScheme: ck.CKES_AES_CBC_PAD, EncKeyBits: 256,
			MACScheme: ck.CKMS_HMAC_SHA256, MACKeyBits: 256, MACBits: 256},
			&ECIESParams{DHPrimitive: ck.CKDHP_STANDARD, KDF: ck.CKD_SHA1_KDF, EncScheme: ck.CKES_XOR, MACScheme: ck.CKMS_HMAC_SHA1,
				MACKeyBits: 160, MACBits: 160}}
	case *X942DH1Params:
		list = []any{&X942DH1Params{KDF: ck.CKD_NULL, PublicData: point}, &X942DH1Params{KDF: ck.CKD_NULL}}
	case *X942DH2Params:
		list = []any{&X942DH2Params{KDF: ck.CKD_NULL, PublicData: point, PrivateData: 1, PublicData2: point}}
	case *X942MQVParams:
		list = []any{&X942MQVParams{KDF: ck.CKD_NULL, PublicData: point, PrivateData: 1, PublicData2: point, PublicKey: 2}}
	case *EDDSAParams:
		list = []any{&EDDSAParams{}, &EDDSAParams{ContextData: pattern(5)}, &EDDSAParams{PhFlag: true}}
	case *SignAdditionalContext:
		list = []any{&SignAdditionalContext{Hedge: ck.CKH_HEDGE_PREFERRED}, &SignAdditionalContext{Hedge: ck.CKH_DETERMINISTIC_REQUIRED, Context: pattern(9)}}
	case *HashSignAdditionalContext:
		list = []any{&HashSignAdditionalContext{Hash: ck.CKM_SHA256}}
	case *HKDFParams:
		list = []any{&HKDFParams{Extract: true, Expand: true, Hash: ck.CKM_SHA256, SaltType: ck.CKF_HKDF_SALT_DATA, Salt: pattern(8), Info: pattern(9)},
			&HKDFParams{Extract: true, Expand: true, Hash: ck.CKM_SHA256, SaltType: ck.CKF_HKDF_SALT_KEY, SaltKey: 1},
			&HKDFParams{Expand: true, Hash: ck.CKM_SHA256, SaltType: ck.CKF_HKDF_SALT_NULL}}
	case *PBKDF2Params:
		list = []any{&PBKDF2Params{SaltSource: ck.CKZ_SALT_SPECIFIED, Salt: pattern(16), Iterations: 3, PRF: ck.CKP_PKCS5_PBKD2_HMAC_SHA256, Password: pattern(8)}}
	case *PBEParams:
		list = []any{&PBEParams{IV: new([8]byte), Password: pattern(8), Salt: pattern(8), Iterations: 3}}
	case *ECDHAESKeyWrapParams:
		list = []any{&ECDHAESKeyWrapParams{AESKeyBits: 256, KDF: ck.CKD_SHA256_KDF, SharedData: pattern(5)}}
	case *BIP32MasterDeriveParams:
		list = []any{&BIP32MasterDeriveParams{PublicTemplate: sampleTemplate, PrivateTemplate: sampleTemplate}}
	case *BIP32ChildDeriveParams:
		list = []any{&BIP32ChildDeriveParams{PublicTemplate: sampleTemplate, Path: []uint64{1, 2}},
			&BIP32ChildDeriveParams{PrivateTemplate: sampleTemplate, Path: []uint64{uint64(ck.CKF_BIP32_HARDENED) + 1}}}
	case *KMACParams:
		list = []any{&KMACParams{Customization: pattern(5), MACLen: 32}}
	case *IKEPRFDeriveParams:
		list = []any{&IKEPRFDeriveParams{PRF: ck.CKM_SHA256_HMAC, DataAsKey: true, Ni: pattern(16), Nr: pattern(16)},
			&IKEPRFDeriveParams{PRF: ck.CKM_SHA256_HMAC, Rekey: true, Ni: pattern(16), Nr: pattern(16), NewKey: 1}}
	case *IKE2PRFPlusDeriveParams:
		list = []any{&IKE2PRFPlusDeriveParams{PRF: ck.CKM_SHA256_HMAC, SeedData: pattern(16)},
			&IKE2PRFPlusDeriveParams{PRF: ck.CKM_SHA256_HMAC, HasSeedKey: true, SeedKey: 1, SeedData: pattern(16)}}
	case *IKE1PRFDeriveParams:
		list = []any{&IKE1PRFDeriveParams{PRF: ck.CKM_SHA256_HMAC, KeyGxy: 1, CKYi: pattern(8), CKYr: pattern(8)},
			&IKE1PRFDeriveParams{PRF: ck.CKM_SHA256_HMAC, HasPrevKey: true, KeyGxy: 1, PrevKey: 2, CKYi: pattern(8), CKYr: pattern(8), KeyNumber: 1}}
	case *IKE1ExtendedDeriveParams:
		list = []any{&IKE1ExtendedDeriveParams{PRF: ck.CKM_SHA256_HMAC, ExtraData: pattern(4)},
			&IKE1ExtendedDeriveParams{PRF: ck.CKM_SHA256_HMAC, HasKeyGxy: true, KeyGxy: 1, ExtraData: pattern(4)}}
	case *KDFPRFParams:
		list = []any{&KDFPRFParams{PRF: ck.CK_PRF_KDF_HMAC_SHA256, Label: pattern(4), Context: pattern(5), Counter: 1},
			&KDFPRFParams{PRF: ck.CK_PRF_KDF_AES_CMAC, Label: pattern(4), Context: pattern(5), Encoding: ck.CK_PRF_KDF_ENCODING_SCHEME_SCP03}}
	case *XORBaseDataKDFParams:
		list = []any{&XORBaseDataKDFParams{KDF: ck.CKD_SHA256_KDF, SharedData: pattern(9)}}
	case *SP800108Params:
		list = []any{&SP800108Params{PRF: ck.CKM_SHA256_HMAC, Data: samplePRFData(true)},
			&SP800108Params{PRF: ck.CKM_SHA256_HMAC, Data: samplePRFData(false), Additional: sampleDerivedKeys(handle)}}
	case *SP800108FeedbackParams:
		list = []any{&SP800108FeedbackParams{PRF: ck.CKM_SHA256_HMAC, Data: samplePRFData(false), IV: pattern(32), Additional: sampleDerivedKeys(handle)}}
	case *SSLVersion:
		list = []any{&SSLVersion{3, 0}, &SSLVersion{3, 1}}
	case *SSL3MasterKeyDeriveParams:
		list = []any{&SSL3MasterKeyDeriveParams{Random: random, Version: &SSLVersion{}}, &SSL3MasterKeyDeriveParams{Random: random}}
	case *SSL3KeyMatParams:
		list = []any{&SSL3KeyMatParams{MACBits: 160, KeyBits: 128, IVBits: 128, Random: random, Out: sampleKeyMat()}}
	case *TLS12KeyMatParams:
		list = []any{&TLS12KeyMatParams{MACBits: 160, KeyBits: 128, IVBits: 128, Random: random, Out: sampleKeyMat(), Hash: ck.CKM_SHA256},
			&TLS12KeyMatParams{MACBits: 160, KeyBits: 128, Random: random, Out: sampleKeyMat(), Hash: ck.CKM_SHA256}}
	case *TLS12MasterKeyDeriveParams:
		list = []any{&TLS12MasterKeyDeriveParams{Random: random, Version: &SSLVersion{}, Hash: ck.CKM_SHA256},
			&TLS12MasterKeyDeriveParams{Random: random, Hash: ck.CKM_SHA256}}
	case *TLS12ExtendedMasterKeyDeriveParams:
		list = []any{&TLS12ExtendedMasterKeyDeriveParams{Hash: ck.CKM_SHA256, SessionHash: pattern(32), Version: &SSLVersion{}},
			&TLS12ExtendedMasterKeyDeriveParams{Hash: ck.CKM_SHA256, SessionHash: pattern(32)}}
	case *TLSPRFParams:
		n := uint64(20)
		list = []any{&TLSPRFParams{Seed: pattern(9), Label: pattern(4), Output: []byte{}, OutputLen: &n}}
	case *TLSKDFParams:
		list = []any{&TLSKDFParams{PRF: ck.CKM_SHA256, Label: []byte("EXPERIMENTAL"), Random: random, Context: pattern(5)},
			&TLSKDFParams{PRF: ck.CKM_SHA256, Label: []byte("EXPERIMENTAL"), Random: random}}
	case *TLSMACParams:
		list = []any{&TLSMACParams{PRF: ck.CKM_SHA256, Len: 12, ServerOrClient: 1}}
	case *DSAParameterGenParams:
		list = []any{&DSAParameterGenParams{Hash: ck.CKM_SHA256, Seed: pattern(32), Index: 1}}
	default:
		return nil, false
	}
	if m.Optional {
		list = append([]any{nil}, list...)
	}
	return list, true
}

// sampleTemplate is one that asks for nothing in particular.
var sampleTemplate = []ck.Attribute{ck.NewBytes(ck.CKA_LABEL, []byte("new"))}

func sampleOAEP() *OAEPParams {
	return &OAEPParams{HashAlg: ck.CKM_SHA256, MGF: ck.CKG_MGF1_SHA256, Source: ck.CKZ_DATA_SPECIFIED, SourceData: pattern(3)}
}

func sampleKeyMat() *SSL3KeyMatOut { return &SSL3KeyMatOut{IVClient: []byte{}, IVServer: []byte{}} }

// samplePRFData are the fields of SP 800-108. The iteration variable is a
// counter, or, where there is none, what was there before.
func samplePRFData(counter bool) []PRFDataParam {
	first := PRFDataParam{Type: ck.CK_SP800_108_ITERATION_VARIABLE}
	if counter {
		first.Value = &CounterFormat{WidthInBits: 32}
	}
	return []PRFDataParam{first,
		{Type: ck.CK_SP800_108_BYTE_ARRAY, Value: pattern(6)},
		{Type: ck.CK_SP800_108_DKM_LENGTH, Value: &DKMLengthFormat{Method: ck.CK_SP800_108_DKM_LENGTH_SUM_OF_KEYS, WidthInBits: 32}}}
}

func sampleDerivedKeys(handle func() *NewHandle) []DerivedKey {
	return []DerivedKey{{Template: []ck.Attribute{ck.NewULong(ck.CKA_CLASS, uint64(ck.CKO_SECRET_KEY)),
		ck.NewULong(ck.CKA_KEY_TYPE, uint64(ck.CKK_GENERIC_SECRET)), ck.NewULong(ck.CKA_VALUE_LEN, uint64(16))}, Handle: handle()}}
}

// TestSampleKeys wants keys of every type.
func TestSampleKeys(t *testing.T) {
	for _, k := range KeyTypes() {
		if len(sampleKeysOf(k.Type)) == 0 {
			t.Errorf("%v: no sample key: add one to makeSampleKeys", k.Type)
		}
	}
}
