package engine

import (
	"bytes"
	"crypto/ecdsa"
	"fmt"
	"io"
	"math/big"

	smecdh "github.com/emmansun/gmsm/ecdh"
	"github.com/emmansun/gmsm/sm2"
	"github.com/emmansun/gmsm/sm3"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/engine/internal/ct"
)

// SM2 (GB/T 32918-2016; GM/T 0003-2012): signatures, encryption and key
// exchange on the curve sm2p256v1. Its keys are ordinary keys of CKK_EC. The
// mechanisms have no numbers in the standard.

const sm2Vectors = "GB/T 32918.5-2017 (GM/T 0003.5-2012) annexes A to C"

func init() { later(sm2Mechanisms) }

func sm2Mechanisms() {
	register(
		sm2Row(&Mechanism{
			Type: ck.CKM_SM2,
			Sign: func(k *Key, p any) (Op, error) {
				s, err := sm2Private(k)
				if err := firstError(noParam(p), err); err != nil {
					return nil, err
				}
				return &once{max: sm2SignatureSize, exact: true, run: s.sign}, nil
			},
			Verify: func(k *Key, p any) (Verifier, error) {
				v, err := sm2Public(k)
				if err := firstError(noParam(p), err); err != nil {
					return nil, err
				}
				return onceVerifier(v.verify), nil
			},
			SelfTest: testRawSM2,
		}),
		sm2Row(&Mechanism{
			Type: ck.CKM_SM2_SM3, Param: []byte(nil), Optional: true,
			Sign: func(k *Key, p any) (Op, error) {
				s, err := sm2Private(k)
				if err != nil {
					return nil, err
				}
				h, err := s.hash(p)
				if err != nil {
					return nil, err
				}
				return newHashedOp(h, sm2SignatureSize, s), nil
			},
			Verify: func(k *Key, p any) (Verifier, error) {
				v, err := sm2Public(k)
				if err != nil {
					return nil, err
				}
				h, err := v.hash(p)
				if err != nil {
					return nil, err
				}
				return newHashedVerifier(h, v), nil
			},
			SelfTest: testSM2,
		}),
		sm2Row(&Mechanism{
			Type: ck.CKM_SM2_ENCRYPT, Param: uint64(0), Optional: true,
			Encrypt: sm2Encrypt, Decrypt: sm2Decrypt,
			Wrap: wrapping(sm2Encrypt), Unwrap: unwrapping(sm2Decrypt),
			SelfTest: testSM2Encrypt,
		}),
		sm2Row(&Mechanism{
			Type: ck.CKM_SM2_KEY_EXCHANGE, Param: (*SM2KeyExchangeParams)(nil),
			Derive:   sm2Derive,
			SelfTest: testSM2KeyExchange,
		}),
	)
}

func sm2Row(m *Mechanism) *Mechanism {
	m.Keys, m.Min, m.Max = ecKeys, 256, 256
	m.Flags = ecFlags
	m.Vectors = sm2Vectors
	return m
}

func firstError(list ...error) error {
	for _, err := range list {
		if err != nil {
			return err
		}
	}
	return nil
}

const (
	sm2Size          = 32 // of a coordinate, a private value and a digest
	sm2SignatureSize = 2 * sm2Size
)

// sm2Curve demands a key on the curve of SM2.
func sm2Curve(k *Key) (*curve, error) {
	c, err := parseCurve(k)
	if err != nil {
		return nil, err
	}
	if c.names[0] != "sm2p256v1" {
		return nil, fmt.Errorf("the key is not on the curve of SM2: %w", ck.CKR_KEY_TYPE_INCONSISTENT)
	}
	return c, nil
}

// sm2Point takes a point in any form that we know.
func sm2Point(c *curve, b []byte) (*smecdh.PublicKey, error) {
	b, err := c.parsePoint(b)
	if err != nil {
		return nil, err
	}
	p, err := smecdh.P256().NewPublicKey(b)
	if err != nil {
		return nil, errPoint
	}
	return p, nil
}

// sm2Checker is a public key ready for use.
type sm2Checker struct {
	point *smecdh.PublicKey
	key   *ecdsa.PublicKey
}

func newSM2Checker(p *smecdh.PublicKey) (*sm2Checker, error) {
	key, err := sm2.NewPublicKey(p.Bytes())
	if err != nil {
		return nil, errPoint
	}
	return &sm2Checker{p, key}, nil
}

func sm2Public(k *Key) (*sm2Checker, error) {
	return Parsed(k, func(k *Key) (*sm2Checker, error) {
		c, err := sm2Curve(k)
		if err != nil {
			return nil, err
		}
		if len(k.Bytes(ck.CKA_EC_POINT)) == 0 { // of a private key that has not kept it
			s, err := newSM2Signer(k)
			if err != nil {
				return nil, err
			}
			return s.sm2Checker, nil
		}
		point, err := sm2Point(c, k.Bytes(ck.CKA_EC_POINT))
		if err != nil {
			return nil, fmt.Errorf("unusable SM2 public key: %w", ck.CKR_KEY_TYPE_INCONSISTENT)
		}
		return newSM2Checker(point)
	})
}

// sm2Signer is a private key ready for use.
type sm2Signer struct {
	*sm2Checker
	curve *curve
	key   *sm2.PrivateKey
	ecdh  *smecdh.PrivateKey
}

func sm2Private(k *Key) (*sm2Signer, error) { return Parsed(k, newSM2Signer) }

// newSM2Signer refuses 0 and n-1, for which 1+d has no inverse, besides what is
// not below n.
func newSM2Signer(k *Key) (*sm2Signer, error) {
	c, err := sm2Curve(k)
	if err != nil {
		return nil, err
	}
	value, err := c.privateValue(k.Value())
	if err != nil {
		return nil, err
	}
	defer clear(value)
	ecdh, err := smecdh.P256().NewPrivateKey(value)
	if err != nil {
		return nil, fmt.Errorf("unusable SM2 private key: %w", ck.CKR_KEY_TYPE_INCONSISTENT)
	}
	key, err := sm2.NewPrivateKey(value)
	if err != nil {
		return nil, fmt.Errorf("unusable SM2 private key: %w", ck.CKR_KEY_TYPE_INCONSISTENT)
	}
	public, err := newSM2Checker(ecdh.PublicKey())
	if err != nil {
		return nil, err
	}
	return &sm2Signer{public, c, key, ecdh}, nil
}

// hash begins the digest of a message with Z_A, that of the signer's identity
// and public key (GB/T 32918.2, section 5.5). The parameter is the identity.
func (v *sm2Checker) hash(p any) (*hasher, error) {
	id, _ := p.([]byte)
	z, err := v.point.SM2ZA(sm3.New(), id)
	if err != nil {
		return nil, fmt.Errorf("the identity is too long: %w", ck.CKR_MECHANISM_PARAM_INVALID)
	}
	h := findHash(ck.CKM_SM3).start()
	h.Write(z)
	return h, nil
}

// sign signs a digest. The random numbers of SM2 signatures come from a
// generator that is seeded with the private key and the digest besides our
// source, so that a failure of that does not give the key away.
func (s *sm2Signer) sign(dst, digest []byte) (int, error) {
	if len(digest) != sm2Size {
		return 0, fmt.Errorf("SM2 signs digests of %d bytes: %w", sm2Size, ck.CKR_DATA_LEN_RANGE)
	}
	der, err := sm2.SignASN1(Reader, s.key, digest, nil)
	ct.Public(der)
	if err != nil || !ecdsaRaw(dst[:sm2SignatureSize], der) {
		return 0, fmt.Errorf("cannot sign: %w", ck.CKR_FUNCTION_FAILED)
	}
	return sm2SignatureSize, nil
}

func (v *sm2Checker) verify(digest, sig []byte) error {
	if len(digest) != sm2Size {
		return fmt.Errorf("SM2 signs digests of %d bytes: %w", sm2Size, ck.CKR_DATA_LEN_RANGE)
	}
	if len(sig) != sm2SignatureSize {
		return ck.CKR_SIGNATURE_LEN_RANGE
	}
	r, s := new(big.Int).SetBytes(sig[:sm2Size]), new(big.Int).SetBytes(sig[sm2Size:]) // public
	if !sm2.Verify(v.key, digest, r, s) {
		return ck.CKR_SIGNATURE_INVALID
	}
	return nil
}

// sm2Overhead is what a ciphertext has besides the message: an uncompressed
// point and a digest. In ASN.1 come the heads of five elements, and zeros
// before two integers.
const (
	sm2Overhead     = 1 + 2*sm2Size + sm2Size
	sm2OverheadASN1 = sm2Overhead + 6 + 2*3 + 2 + 6
)

func sm2Form(p any) (uint64, error) {
	if p == nil {
		return ck.CK_SM2_C1C3C2, nil
	}
	form, ok := p.(uint64)
	if !ok || form > ck.CK_SM2_ASN1 {
		return 0, fmt.Errorf("unknown form of SM2 ciphertexts: %w", ck.CKR_MECHANISM_PARAM_INVALID)
	}
	return form, nil
}

// sm2Encryption is an encryption or decryption.
type sm2Encryption struct {
	onePart
	form    uint64
	public  *ecdsa.PublicKey
	private *sm2.PrivateKey // for decryption
}

func sm2Encrypt(k *Key, p any) (Op, error) {
	form, err := sm2Form(p)
	if err != nil {
		return nil, err
	}
	v, err := sm2Public(k)
	if err != nil {
		return nil, err
	}
	return &sm2Encryption{form: form, public: v.key}, nil
}

func sm2Decrypt(k *Key, p any) (Op, error) {
	form, err := sm2Form(p)
	if err != nil {
		return nil, err
	}
	s, err := sm2Private(k)
	if err != nil {
		return nil, err
	}
	return &sm2Encryption{form: form, private: s.key}, nil
}

func (o *sm2Encryption) FinishLen(n int) (int, bool) {
	switch {
	case o.private != nil && o.form != ck.CK_SM2_ASN1:
		return max(0, n-sm2Overhead), true
	case o.private != nil:
		return n, false
	case o.form != ck.CK_SM2_ASN1:
		return n + sm2Overhead, true
	}
	return n + sm2OverheadASN1, false
}

func (o *sm2Encryption) Finish(dst, src []byte) (int, error) {
	if o.private != nil {
		return o.decrypt(dst, src)
	}
	if len(src) == 0 {
		return 0, fmt.Errorf("SM2 does not encrypt empty messages: %w", ck.CKR_DATA_LEN_RANGE)
	}
	out, err := o.encrypt(src)
	if err != nil {
		return 0, fmt.Errorf("cannot encrypt: %w", ck.CKR_FUNCTION_FAILED)
	}
	return copy(dst, out), nil
}

// sm2Tries is how often a new ephemeral key is tried. One in 256 does not do
// for a message of one byte, and fewer for longer ones.
const sm2Tries = 64

// encrypt makes the library begin anew with each ephemeral key: version 0.44.0,
// when it tries a second one itself, encrypts for another key than the
// recipient's.
func (o *sm2Encryption) encrypt(message []byte) (out []byte, err error) {
	opts := sm2EncrypterOpts(o.form)
	for range sm2Tries {
		if out, err = sm2.Encrypt(&oneRead{}, o.public, message, opts); err == nil {
			return out, nil
		}
	}
	return nil, err
}

// oneRead is our source of randomness for one ephemeral key.
type oneRead struct{ done bool }

func (r *oneRead) Read(b []byte) (int, error) {
	if r.done {
		return 0, io.ErrUnexpectedEOF
	}
	r.done = true
	return Reader.Read(b)
}

func (o *sm2Encryption) decrypt(dst, src []byte) (int, error) {
	if len(src) <= sm2Overhead {
		return 0, ck.CKR_ENCRYPTED_DATA_LEN_RANGE
	}
	first := byte(4)
	if o.form == ck.CK_SM2_ASN1 {
		first = 0x30
	}
	if src[0] != first { // the library would take any form
		return 0, ck.CKR_ENCRYPTED_DATA_INVALID
	}
	opts := sm2.NewPlainDecrypterOpts(sm2.C1C3C2)
	if o.form == ck.CK_SM2_C1C2C3 {
		opts = sm2.NewPlainDecrypterOpts(sm2.C1C2C3)
	}
	out, err := o.private.Decrypt(nil, src, opts)
	if err != nil {
		return 0, ck.CKR_ENCRYPTED_DATA_INVALID
	}
	defer clear(out)
	return copy(dst, out), nil
}

func sm2EncrypterOpts(form uint64) *sm2.EncrypterOpts {
	switch form {
	case ck.CK_SM2_ASN1:
		return sm2.ASN1EncrypterOpts
	case ck.CK_SM2_C1C2C3:
		return sm2.NewPlainEncrypterOpts(sm2.MarshalUncompressed, sm2.C1C2C3)
	}
	return sm2.NewPlainEncrypterOpts(sm2.MarshalUncompressed, sm2.C1C3C2)
}

// SM2KeyExchangeParams is CK_SM2_KEY_EXCHANGE_PARAMS, a structure of ours.
type SM2KeyExchangeParams struct {
	Role             uint64
	OwnID            []byte `c:"len,ptr"`
	PeerID           []byte `c:"len,ptr"`
	PeerPublicKey    []byte `c:"len,ptr"`
	OwnEphemeralKey  ck.ObjectHandle
	PeerEphemeralKey []byte `c:"len,ptr"`
}

// sm2Derive is the key exchange without the optional confirmation (GB/T
// 32918.3, section 6).
func sm2Derive(base *Key, p any, d *Derivation) ([]byte, error) {
	params, err := structParam[SM2KeyExchangeParams](p)
	if err != nil {
		return nil, err
	}
	if params.Role > ck.CK_SM2_RESPONDER {
		return nil, fmt.Errorf("unknown role: %w", ck.CKR_MECHANISM_PARAM_INVALID)
	}
	if d.Len < 0 || d.Len > maxDerived {
		return nil, ck.CKR_KEY_SIZE_RANGE
	}
	if d.Len == 0 {
		return nil, fmt.Errorf("CKA_VALUE_LEN is missing: %w", ck.CKR_TEMPLATE_INCOMPLETE)
	}
	if len(d.Keys) != 1 || d.Keys[0] == nil || d.Keys[0].Type != ck.CKK_EC {
		return nil, fmt.Errorf("the ephemeral key is no EC private key: %w", ck.CKR_MECHANISM_PARAM_INVALID)
	}
	static, err := sm2Private(base)
	if err != nil {
		return nil, err
	}
	ephemeral, err := sm2Private(d.Keys[0])
	if err != nil {
		return nil, fmt.Errorf("the ephemeral key is no SM2 private key: %w", ck.CKR_MECHANISM_PARAM_INVALID)
	}
	peer, err1 := sm2Point(static.curve, params.PeerPublicKey)
	peerEphemeral, err2 := sm2Point(static.curve, params.PeerEphemeralKey)
	if firstError(err1, err2) != nil {
		return nil, errPublicData
	}
	secret, err := static.ecdh.SM2MQV(ephemeral.ecdh, peer, peerEphemeral)
	if err != nil { // infinity
		return nil, errPublicData
	}
	key, err := secret.SM2SharedKey(params.Role == ck.CK_SM2_RESPONDER, d.Len, static.point, peer, params.OwnID, params.PeerID)
	if err != nil {
		return nil, fmt.Errorf("an identity is too long: %w", ck.CKR_MECHANISM_PARAM_INVALID)
	}
	return key, nil
}

// The examples of GB/T 32918.5-2017: annexes A (signature), B (key exchange)
// and C (encryption), on the recommended curve, with the usual identity.
const (
	sm2AnswerValue     = "3945208f7b2144b13f36e38ac6d39f95889393692860b51a42fb81ef4df7c5b8"
	sm2AnswerMessage   = "message digest"
	sm2AnswerDigest    = "f0b43e94ba45accaace692ed534382eb17e6ab5a19ce7b31f4486fdfc0d28640"
	sm2AnswerSignature = "f5a03b0648d2c4630eeac513e1bb81a15944da3827d5b74143ac7eaceee720b3" +
		"b1b6aa29df212fd8763182bc0d421ca1bb9038fd1f7f42d4840b69c485bbc1aa"
	sm2AnswerPlain = "encryption standard"
	sm2AnswerC1    = "0404ebfc718e8d1798620432268e77feb6415e2ede0e073c0f4f640ecd2e149a73" +
		"e858f9d81e5430a57b36daab8f950a3c64e6ee6a63094d99283aff767e124df0"
	sm2AnswerC2 = "21886ca989ca9c7d58087307ca93092d651efa"
	sm2AnswerC3 = "59983c18f809e262923c53aec295d30383b54e39d609d160afcb1908d0bd8766"

	sm2AnswerStaticA    = "81eb26e941bb5af16df116495f90695272ae2cd63d6c4ae1678418be48230029"
	sm2AnswerEphemeralA = "d4de15474db74d06491c440d305e012400990f3e390c7e87153c12db2ea60bb3"
	sm2AnswerPointB     = "046ae848c57c53c7b1b5fa99eb2286af078ba64c64591b8b566f7357d576f16dfb" +
		"ee489d771621a27b36c5c7992062e9cd09a9264386f3fbea54dff69305621c4d"
	sm2AnswerEphemeralPointB = "04acc27688a6f7b706098bc91ff3ad1bff7dc2802cdb14ccccdb0a90471f9bd707" +
		"2fedac0494b2ffc4d6853876c79b8f301c6573ad0aa50f39fc87181e1a1b46fe"
	sm2AnswerKey = "6c89347354de2484c60b4ab1fde4c6e5"
)

// sm2TestKey is the private key with a value.
func sm2TestKey(value string) *Key {
	return testCurve("sm2p256v1").testKey(answer{"value": unhex(value)})
}

func testRawSM2() error {
	return testSM2Signature(ck.CKM_SM2, unhex(sm2AnswerDigest))
}

func testSM2() error {
	return testSM2Signature(ck.CKM_SM2_SM3, []byte(sm2AnswerMessage))
}

func testSM2Signature(t ck.MechanismType, message []byte) error {
	k, m := sm2TestKey(sm2AnswerValue), Find(t)
	if err := expectSignature(m.Verify, k, nil, message, unhex(sm2AnswerSignature)); err != nil {
		return err
	}
	op, err := m.Sign(k, nil)
	if err != nil {
		return err
	}
	v, err := m.Verify(k, nil)
	if err != nil {
		return err
	}
	return signThenVerify(op, v, message)
}

func testSM2Encrypt() error {
	k := sm2TestKey(sm2AnswerValue)
	for form, ciphertext := range []string{
		ck.CK_SM2_C1C3C2: sm2AnswerC1 + sm2AnswerC3 + sm2AnswerC2,
		ck.CK_SM2_C1C2C3: sm2AnswerC1 + sm2AnswerC2 + sm2AnswerC3,
	} {
		op, err := sm2Decrypt(k, uint64(form))
		if err := expect(op, err, unhex(ciphertext), []byte(sm2AnswerPlain)); err != nil {
			return err
		}
	}
	op, err := sm2Encrypt(k, nil)
	out, err := runOp(op, err, []byte(sm2AnswerPlain))
	if err != nil {
		return err
	}
	op, err = sm2Decrypt(k, nil)
	return expect(op, err, out, []byte(sm2AnswerPlain))
}

func testSM2KeyExchange() error {
	p := &SM2KeyExchangeParams{
		Role: ck.CK_SM2_INITIATOR, PeerPublicKey: unhex(sm2AnswerPointB), PeerEphemeralKey: unhex(sm2AnswerEphemeralPointB),
	}
	key, err := sm2Derive(sm2TestKey(sm2AnswerStaticA), p, &Derivation{Len: 16, Keys: []*Key{sm2TestKey(sm2AnswerEphemeralA)}})
	if err != nil {
		return err
	}
	if !bytes.Equal(key, unhex(sm2AnswerKey)) {
		return errSelfTest(ck.CKM_SM2_KEY_EXCHANGE)
	}
	return nil
}
