package engine

import (
	"crypto"
	"crypto/ed25519"
	"crypto/sha512"
	"fmt"

	"github.com/perilune/perilune/cryptoki/ck"
)

// EdDSA on edwards25519 (RFC 8032; PKCS#11 v3.1, section 6.3).

// EDDSAParams is CK_EDDSA_PARAMS (PKCS#11 v3.1, section 6.3).
type EDDSAParams struct {
	PhFlag      bool
	ContextData []byte `c:"len,ptr"`
}

const edwardsFlags = ck.CKF_EC_F_P | ck.CKF_EC_OID | ck.CKF_EC_CURVENAME

var edwardsKeys = []ck.KeyType{ck.CKK_EC_EDWARDS}

func init() {
	register(
		&Mechanism{
			Type: ck.CKM_EC_EDWARDS_KEY_PAIR_GEN,
			Keys: edwardsKeys, Makes: ck.CKK_EC_EDWARDS, Min: 255, Max: 255, Flags: edwardsFlags, FIPS: true,
			GeneratePair: generateEC(ck.CKK_EC_EDWARDS),
			SelfTest:     testGenerateEdwards,
		},
		&Mechanism{
			Type:     ck.CKM_EDDSA,
			Param:    (*EDDSAParams)(nil),
			Optional: true,
			Keys:     edwardsKeys, Min: 255, Max: 255, Flags: edwardsFlags, FIPS: true,
			Sign:     eddsaSign,
			Verify:   eddsaVerify,
			SelfTest: testEdDSA,
		},
	)
}

// eddsaOptions reads the parameter. Without one, and with an empty one, the
// signature is pure Ed25519; with a context Ed25519ctx; with the flag
// Ed25519ph.
func eddsaOptions(p any) (*ed25519.Options, error) {
	params, _ := p.(*EDDSAParams)
	if params == nil {
		return &ed25519.Options{}, noParam(nilParam(p))
	}
	if len(params.ContextData) > 255 {
		return nil, fmt.Errorf("an EdDSA context has 255 bytes at most: %w", ck.CKR_MECHANISM_PARAM_INVALID)
	}
	o := &ed25519.Options{Context: string(params.ContextData)}
	if params.PhFlag {
		o.Hash = crypto.SHA512
	}
	return o, nil
}

// nilParam turns a nil pointer to the structure into no parameter.
func nilParam(p any) any {
	if _, ok := p.(*EDDSAParams); ok {
		return nil
	}
	return p
}

func eddsaSign(k *Key, p any) (Op, error) {
	o, err := eddsaOptions(p)
	if err != nil {
		return nil, err
	}
	priv, err := Parsed(k, parseEd25519Private)
	if err != nil {
		return nil, err
	}
	sign := func(dst, message []byte) (int, error) {
		sig, err := priv.Sign(nil, message, o)
		if err != nil {
			return 0, fmt.Errorf("cannot sign: %w", ck.CKR_FUNCTION_FAILED)
		}
		return copy(dst, sig), nil
	}
	if o.Hash != 0 {
		return &hashedOp{hashed: hashed{h: sha512.New()}, size: ed25519.SignatureSize, sign: sign}, nil
	}
	return &keptOp{size: ed25519.SignatureSize, sign: sign}, nil
}

func eddsaVerify(k *Key, p any) (Verifier, error) {
	o, err := eddsaOptions(p)
	if err != nil {
		return nil, err
	}
	pub, err := Parsed(k, parseEd25519Public)
	if err != nil {
		return nil, err
	}
	verify := func(message, sig []byte) error {
		if len(sig) != ed25519.SignatureSize {
			return ck.CKR_SIGNATURE_LEN_RANGE
		}
		if ed25519.VerifyWithOptions(pub, message, sig, o) != nil {
			return ck.CKR_SIGNATURE_INVALID
		}
		return nil
	}
	if o.Hash != 0 {
		return &hashedVerifier{hashed: hashed{h: sha512.New()}, verify: verify}, nil
	}
	return &keptVerifier{verify: verify}, nil
}

func parseEd25519Private(k *Key) (ed25519.PrivateKey, error) {
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
	return ed25519.NewKeyFromSeed(seed), nil
}

func parseEd25519Public(k *Key) (ed25519.PublicKey, error) {
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
	return point, nil
}

// kept collects a message that a signature must see twice.
type kept struct{ buf []byte }

// maxKept bounds the message of a multi-part operation, which is kept in
// memory. A message in one part is not copied and has no bound.
const maxKept = 64 << 20

func (w *kept) add(src []byte) error {
	if len(w.buf)+len(src) > maxKept {
		return fmt.Errorf("message too long to be kept: %w", ck.CKR_DATA_LEN_RANGE)
	}
	w.buf = append(w.buf, src...)
	return nil
}

// message returns all parts, of which src is the last.
func (w *kept) message(src []byte) ([]byte, error) {
	if len(w.buf) == 0 {
		return src, nil
	}
	if err := w.add(src); err != nil {
		return nil, err
	}
	return w.buf, nil
}

// keptOp signs a message.
type keptOp struct {
	kept
	size int // of a signature
	sign func(dst, message []byte) (int, error)
}

func (o *keptOp) UpdateLen(int) int { return 0 }

func (o *keptOp) Update(_, src []byte) (int, error) { return 0, o.add(src) }

func (o *keptOp) FinishLen(int) (int, bool) { return o.size, true }

func (o *keptOp) Finish(dst, src []byte) (int, error) {
	message, err := o.message(src)
	if err != nil {
		return 0, err
	}
	return o.sign(dst, message)
}

// keptVerifier verifies the signature of a message.
type keptVerifier struct {
	kept
	verify func(message, sig []byte) error
}

func (v *keptVerifier) Update(src []byte) error { return v.add(src) }

func (v *keptVerifier) Verify(src, sig []byte) error {
	message, err := v.message(src)
	if err != nil {
		return err
	}
	return v.verify(message, sig)
}
