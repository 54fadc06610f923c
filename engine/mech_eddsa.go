package engine

import (
	"crypto"
	"crypto/ed25519"
	"fmt"

	"github.com/cloudflare/circl/sign/ed448"

	"github.com/perilune/perilune/cryptoki/ck"
)

// EdDSA on edwards25519 and edwards448 (RFC 8032; PKCS#11 v3.1, section 6.3).
//
// Of the device's further forms its documentation says little: its header calls
// those with NACL "NaCl compatible", and those with a hash take that of the
// message. NaCl's signatures are those of Ed25519, so the former are the same
// here; the latter sign the digest as a message, as with ECDSA, and are not
// Ed25519ph, which has a flag in the parameter of CKM_EDDSA.

// EDDSAParams is CK_EDDSA_PARAMS (PKCS#11 v3.1, section 6.3).
type EDDSAParams struct {
	PhFlag      bool
	ContextData []byte `c:"len,ptr"`
}

const edwardsFlags = ck.CKF_EC_F_P | ck.CKF_EC_OID | ck.CKF_EC_CURVENAME

var edwardsKeys = []ck.KeyType{ck.CKK_EC_EDWARDS}

func init() { later(eddsaMechanisms) }

func eddsaMechanisms() {
	const vectors = "RFC 8032, section 7; Wycheproof"
	register(&Mechanism{
		Type:    ck.CKM_EC_EDWARDS_KEY_PAIR_GEN,
		Aliases: []ck.MechanismType{ck.CKM_EC_EDWARDS_KEY_PAIR_GEN_OLD},
		Keys:    edwardsKeys, Makes: ck.CKK_EC_EDWARDS, Min: 255, Max: 448, Flags: edwardsFlags,
		Vectors:      vectors,
		GeneratePair: generateEC(ck.CKK_EC_EDWARDS),
		SelfTest:     testGenerateEdwards,
	})
	for m, old := range map[ck.MechanismType][]ck.MechanismType{
		ck.CKM_EDDSA: {ck.CKM_EDDSA_OLD}, ck.CKM_EDDSA_NACL: nil,
	} {
		register(&Mechanism{
			Type: m, Aliases: old, Param: (*EDDSAParams)(nil), Optional: true,
			Keys: edwardsKeys, Min: 255, Max: 448, Flags: edwardsFlags,
			Vectors:  vectors,
			Sign:     eddsaSign,
			Verify:   eddsaVerify,
			SelfTest: testEdDSA,
		})
	}
	for m, h := range map[ck.MechanismType]ck.MechanismType{
		ck.CKM_SHA1_EDDSA: ck.CKM_SHA_1, ck.CKM_SHA1_EDDSA_NACL: ck.CKM_SHA_1,
		ck.CKM_SHA224_EDDSA: ck.CKM_SHA224, ck.CKM_SHA224_EDDSA_NACL: ck.CKM_SHA224,
		ck.CKM_SHA256_EDDSA: ck.CKM_SHA256, ck.CKM_SHA256_EDDSA_NACL: ck.CKM_SHA256,
		ck.CKM_SHA384_EDDSA: ck.CKM_SHA384, ck.CKM_SHA384_EDDSA_NACL: ck.CKM_SHA384,
		ck.CKM_SHA512_EDDSA: ck.CKM_SHA512, ck.CKM_SHA512_EDDSA_NACL: ck.CKM_SHA512,
	} {
		f := findHash(h)
		register(&Mechanism{
			Type: m, Keys: edwardsKeys, Min: 255, Max: 448, Flags: edwardsFlags,
			Vectors:  "RFC 8032, section 7.1, with SHA-512",
			Sign:     eddsaSignHashed(f),
			Verify:   eddsaVerifyHashed(f),
			SelfTest: func() error { return testHashedEdDSA(m, f) },
		})
	}
}

// eddsaVariant is what the parameter asks for. Without one, and with an empty
// one, the signature is pure Ed25519; with a context Ed25519ctx; with the flag
// Ed25519ph. Ed448 is the same without the difference of the first two.
type eddsaVariant struct {
	prehash bool
	context string
}

func eddsaParams(p any) (eddsaVariant, error) {
	params, _ := p.(*EDDSAParams)
	if params == nil {
		return eddsaVariant{}, noParam(nilParam(p))
	}
	if len(params.ContextData) > 255 {
		return eddsaVariant{}, fmt.Errorf("an EdDSA context has 255 bytes at most: %w", ck.CKR_MECHANISM_PARAM_INVALID)
	}
	return eddsaVariant{params.PhFlag, string(params.ContextData)}, nil
}

// nilParam turns a nil pointer to the structure into no parameter.
func nilParam(p any) any {
	if _, ok := p.(*EDDSAParams); ok {
		return nil
	}
	return p
}

// options are those of Ed25519, whose pre-hashed variant takes a digest.
func (v eddsaVariant) options() *ed25519.Options {
	o := &ed25519.Options{Context: v.context}
	if v.prehash {
		o.Hash = crypto.SHA512
	}
	return o
}

// edwardsPrivate and edwardsPublic are keys on one of the two curves.
type (
	edwardsPrivate struct {
		small ed25519.PrivateKey
		large ed448.PrivateKey // nil for edwards25519
	}
	edwardsPublic struct {
		small ed25519.PublicKey
		large ed448.PublicKey
	}
)

func (k *edwardsPrivate) size() int {
	if k.large != nil {
		return ed448.SignatureSize
	}
	return ed25519.SignatureSize
}

// sign signs a message without a context.
func (k *edwardsPrivate) sign(dst, message []byte) (int, error) {
	if k.large != nil {
		return copy(dst, ed448.Sign(k.large, message, "")), nil
	}
	return copy(dst, ed25519.Sign(k.small, message)), nil
}

// with signs as the parameter asks, for Ed25519ph a digest.
func (k *edwardsPrivate) with(v eddsaVariant) signer {
	switch {
	case v == eddsaVariant{}:
		return k
	case k.large == nil:
		return signFunc(func(dst, message []byte) (int, error) {
			sig, err := k.small.Sign(nil, message, v.options())
			if err != nil {
				return 0, fmt.Errorf("cannot sign: %w", ck.CKR_FUNCTION_FAILED)
			}
			return copy(dst, sig), nil
		})
	case v.prehash:
		return signFunc(func(dst, message []byte) (int, error) {
			return copy(dst, ed448.SignPh(k.large, message, v.context)), nil
		})
	}
	return signFunc(func(dst, message []byte) (int, error) {
		return copy(dst, ed448.Sign(k.large, message, v.context)), nil
	})
}

// verify is the reverse of sign.
func (k *edwardsPublic) verify(message, sig []byte) error {
	if len(sig) != k.size() {
		return ck.CKR_SIGNATURE_LEN_RANGE
	}
	if !k.isSignature(message, sig) {
		return ck.CKR_SIGNATURE_INVALID
	}
	return nil
}

func (k *edwardsPublic) isSignature(message, sig []byte) bool {
	if k.large != nil {
		return ed448.Verify(k.large, message, sig, "")
	}
	return ed25519.Verify(k.small, message, sig)
}

// size is the length of a signature.
func (k *edwardsPublic) size() int {
	if k.large != nil {
		return ed448.SignatureSize
	}
	return ed25519.SignatureSize
}

// with is the reverse of the private key's.
func (k *edwardsPublic) with(v eddsaVariant) verifier {
	switch {
	case v == eddsaVariant{}:
		return k
	case k.large == nil:
		return verifyFunc(checkingLength(k.size(), func(message, sig []byte) bool {
			return ed25519.VerifyWithOptions(k.small, message, sig, v.options()) == nil
		}))
	case v.prehash:
		return verifyFunc(checkingLength(k.size(), func(message, sig []byte) bool {
			return ed448.VerifyPh(k.large, message, sig, v.context)
		}))
	}
	return verifyFunc(checkingLength(k.size(), func(message, sig []byte) bool {
		return ed448.Verify(k.large, message, sig, v.context)
	}))
}

func eddsaSign(k *Key, p any) (Op, error) {
	v, err := eddsaParams(p)
	if err != nil {
		return nil, err
	}
	priv, err := Parsed(k, parseEdwardsPrivate)
	if err != nil {
		return nil, err
	}
	if v.prehash && priv.large == nil {
		return newHashedOp(findHash(ck.CKM_SHA512).start(), priv.size(), priv.with(v)), nil
	}
	return newKeptOp(priv.size(), priv.with(v)), nil
}

func eddsaVerify(k *Key, p any) (Verifier, error) {
	v, err := eddsaParams(p)
	if err != nil {
		return nil, err
	}
	pub, err := Parsed(k, parseEdwardsPublic)
	if err != nil {
		return nil, err
	}
	if v.prehash && pub.large == nil {
		return newHashedVerifier(findHash(ck.CKM_SHA512).start(), pub.with(v)), nil
	}
	return newKeptVerifier(pub.with(v)), nil
}

// eddsaSignHashed makes the Sign of a row that signs a digest.
func eddsaSignHashed(h *hashFunction) func(*Key, any) (Op, error) {
	return func(k *Key, p any) (Op, error) {
		if err := noParam(p); err != nil {
			return nil, err
		}
		priv, err := Parsed(k, parseEdwardsPrivate)
		if err != nil {
			return nil, err
		}
		return newHashedOp(h.start(), priv.size(), priv), nil
	}
}

func eddsaVerifyHashed(h *hashFunction) func(*Key, any) (Verifier, error) {
	return func(k *Key, p any) (Verifier, error) {
		if err := noParam(p); err != nil {
			return nil, err
		}
		pub, err := Parsed(k, parseEdwardsPublic)
		if err != nil {
			return nil, err
		}
		return newHashedVerifier(h.start(), pub), nil
	}
}

func parseEdwardsPrivate(k *Key) (*edwardsPrivate, error) {
	c, err := parseCurve(k)
	if err != nil {
		return nil, err
	}
	if c.key != ck.CKK_EC_EDWARDS {
		return nil, ck.CKR_KEY_TYPE_INCONSISTENT
	}
	seed, err := c.privateValue(k.Value())
	if err != nil {
		return nil, err
	}
	if c.is448() {
		return &edwardsPrivate{large: ed448.NewKeyFromSeed(seed)}, nil
	}
	return &edwardsPrivate{small: ed25519.NewKeyFromSeed(seed)}, nil
}

func parseEdwardsPublic(k *Key) (*edwardsPublic, error) {
	c, err := parseCurve(k)
	if err != nil {
		return nil, err
	}
	if c.key != ck.CKK_EC_EDWARDS {
		return nil, ck.CKR_KEY_TYPE_INCONSISTENT
	}
	point, err := ecPublicPoint(k, c)
	if err != nil {
		return nil, err
	}
	if c.is448() {
		return &edwardsPublic{large: point}, nil
	}
	return &edwardsPublic{small: point}, nil
}
