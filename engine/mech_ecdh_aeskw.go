package engine

import (
	"crypto/aes"
	"crypto/cipher"
	"fmt"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"github.com/perilune/perilune/cryptoki/ck"
)

// ECDH with AES key wrap (PKCS#11 v3.2, sections 6.3.21 to 6.3.24): a key pair for
// the occasion, on the curve of the wrapping key, makes an AES key with it, under
// which the wrapped key goes by AES key wrap with padding. Before that stands the
// public key of the occasion.

// ECDHAESKeyWrapParams is CK_ECDH_AES_KEY_WRAP_PARAMS.
type ECDHAESKeyWrapParams struct {
	AESKeyBits uint64
	KDF        ck.KDF
	SharedData []byte `c:"len,ptr"`
}

func init() { later(ecdhAeskwMechanisms) }

func ecdhAeskwMechanisms() {
	plain := ecdhAESWrap{agree: (*ecdhKey).agree}
	montgomery := plain.row(ck.CKM_ECDH_X_AES_KEY_WRAP, ck.CKK_EC_MONTGOMERY)
	montgomery.Min, montgomery.Max, montgomery.Flags = 255, 448, edwardsFlags
	register(
		plain.row(ck.CKM_ECDH_AES_KEY_WRAP, ck.CKK_EC, ck.CKK_EC_MONTGOMERY),
		ecdhAESWrap{agree: (*ecdhKey).agreeWithCofactor, der: true}.row(ck.CKM_ECDH_COF_AES_KEY_WRAP, ck.CKK_EC),
		notApproved(montgomery),
	)
}

// ecdhAESWrap is what the three mechanisms differ in.
type ecdhAESWrap struct {
	agree agreement
	der   bool // the public key is in an OCTET STRING
}

func (w ecdhAESWrap) row(t ck.MechanismType, keys ...ck.KeyType) *Mechanism {
	m := ecRow(&Mechanism{
		Type:     t,
		Param:    (*ECDHAESKeyWrapParams)(nil),
		Wrap:     w.wrap,
		Unwrap:   w.unwrap,
		Vectors:  "both halves have theirs: CKM_ECDH1_DERIVE and CKM_AES_KEY_WRAP_KWP",
		SelfTest: func() error { return w.test(t, keys) },
	})
	m.Keys, m.Approve = keys, approveAll(approveCurve, approveWrapKDF)
	return m
}

// approveWrapKDF is approveKDF for the parameter of these mechanisms.
func approveWrapKDF(_ *Key, p any, _ bool) error {
	if p, ok := p.(*ECDHAESKeyWrapParams); ok && p != nil && ecKDFs[p.KDF].foreign {
		return errNotApproved
	}
	return nil
}

// newOp checks the parameter.
func (w ecdhAESWrap) newOp(c *curve, p any) (ecdhAESWrapOp, error) {
	params, err := structParam[ECDHAESKeyWrapParams](p)
	if err != nil {
		return ecdhAESWrapOp{}, err
	}
	switch params.AESKeyBits {
	case 128, 192, 256:
	default:
		return ecdhAESWrapOp{}, fmt.Errorf("AES keys have 128, 192 or 256 bits: %w", ck.CKR_MECHANISM_PARAM_INVALID)
	}
	o := ecdhAESWrapOp{ecdhAESWrap: w, params: params, curve: c, keyLen: int(params.AESKeyBits / 8)}
	if params.KDF == ck.CKD_NULL && c.size < o.keyLen {
		return o, fmt.Errorf("the shared secret is shorter than the AES key: %w", ck.CKR_WRAPPING_KEY_SIZE_RANGE)
	}
	return o, checkECKDF(params.KDF, params.SharedData, o.keyLen)
}

// ecdhAESWrapOp is what wrapping and unwrapping share.
type ecdhAESWrapOp struct {
	onePart
	ecdhAESWrap
	params *ECDHAESKeyWrapParams
	curve  *curve
	keyLen int
}

// publicLen is the length of the public key that comes first.
func (o *ecdhAESWrapOp) publicLen() int {
	n := o.curve.size
	if o.curve.group != nil {
		n = 1 + 2*n
	}
	if o.der {
		n = len(storedPoint(make([]byte, n)))
	}
	return n
}

// cipher is AES with the key that the two parties make: the first bytes of what
// the key derivation function gives.
func (o *ecdhAESWrapOp) cipher(own *ecdhKey, public []byte) (cipher.Block, error) {
	secret, err := o.agree(own, public)
	if err != nil {
		return nil, err
	}
	defer clear(secret)
	if o.params.KDF == ck.CKD_NULL {
		return aes.NewCipher(secret[:o.keyLen])
	}
	key, err := deriveECKey(o.params.KDF, secret, o.params.SharedData, o.keyLen)
	if err != nil {
		return nil, err
	}
	defer clear(key)
	return aes.NewCipher(key)
}

type ecdhAESWrapping struct {
	ecdhAESWrapOp
	public []byte // of the wrapping key
}

func (w ecdhAESWrap) wrap(k *Key, p any) (Op, error) {
	c, err := ecCurve(k)
	if err != nil {
		return nil, err
	}
	o, err := w.newOp(c, p)
	if err != nil {
		return nil, err
	}
	return &ecdhAESWrapping{o, k.Bytes(ck.CKA_EC_POINT)}, nil
}

// FinishLen: the padded wrap adds eight bytes to a multiple of eight.
func (o *ecdhAESWrapping) FinishLen(n int) (int, bool) { return o.publicLen() + (n+7)/8*8 + 8, true }

func (o *ecdhAESWrapping) Finish(dst, src []byte) (int, error) {
	if len(src) == 0 {
		return 0, ck.CKR_KEY_SIZE_RANGE
	}
	value, point, err := o.curve.generate()
	if err != nil {
		return 0, fmt.Errorf("cannot generate a key: %w", ck.CKR_FUNCTION_FAILED)
	}
	defer clear(value)
	own, err := newECDHKey(o.curve, value)
	if err != nil {
		return 0, err
	}
	block, err := o.cipher(own, o.public)
	if err != nil {
		return 0, fmt.Errorf("unusable EC public key: %w", ck.CKR_KEY_TYPE_INCONSISTENT)
	}
	wrapped, err := kwpWrap(block, src)
	if err != nil {
		return 0, err
	}
	if o.der {
		point = storedPoint(point)
	}
	n := copy(dst, point)
	return n + copy(dst[n:], wrapped), nil
}

type ecdhAESUnwrapping struct {
	ecdhAESWrapOp
	own *ecdhKey
}

func (w ecdhAESWrap) unwrap(k *Key, p any) (Op, error) {
	own, err := ecdhPrivate(k)
	if err != nil {
		return nil, err
	}
	o, err := w.newOp(own.curve, p)
	if err != nil {
		return nil, err
	}
	return &ecdhAESUnwrapping{o, own}, nil
}

func (o *ecdhAESUnwrapping) FinishLen(n int) (int, bool) { return max(n-8, 0), false }

// Finish gives one code to everything that can be wrong but the length.
func (o *ecdhAESUnwrapping) Finish(dst, src []byte) (int, error) {
	public, wrapped, ok := o.split(src)
	if !ok || len(wrapped) < 16 || len(wrapped)%8 != 0 {
		return 0, ck.CKR_WRAPPED_KEY_LEN_RANGE
	}
	block, err := o.cipher(o.own, public)
	if err != nil {
		return 0, ck.CKR_WRAPPED_KEY_INVALID
	}
	plain, err := kwpUnwrap(block, wrapped)
	if err != nil {
		return 0, ck.CKR_WRAPPED_KEY_INVALID
	}
	defer clear(plain)
	return copy(dst, plain), nil
}

// split finds where the public key ends.
func (o *ecdhAESUnwrapping) split(src []byte) (public, wrapped []byte, ok bool) {
	if o.der {
		s := cryptobyte.String(src)
		ok = s.ReadASN1((*cryptobyte.String)(&public), asn1.OCTET_STRING)
		return public, s, ok
	}
	n := o.publicLen()
	if len(src) < n {
		return nil, nil, false
	}
	return src[:n], src[n:], true
}

// test unwraps what goes before a published shared secret, and what it wraps.
func (w ecdhAESWrap) test(t ck.MechanismType, keys []ck.KeyType) error {
	section, name := "ecdh-256", "secp256r1"
	if keys[0] == ck.CKK_EC_MONTGOMERY {
		section, name = "x25519", "curve25519"
	}
	a, c, key := asymAnswers()[section], testCurve(name), []byte("a key to wrap")
	private := c.testKey(a)
	block, err := aes.NewCipher(a["secret"][:16])
	if err != nil {
		return err
	}
	wrapped, err := kwpWrap(block, key)
	if err != nil {
		return err
	}
	public := a["point"]
	if w.der {
		public = storedPoint(public)
	}
	p := &ECDHAESKeyWrapParams{AESKeyBits: 128, KDF: ck.CKD_NULL}
	op, err := Find(t).Unwrap(private, p)
	if err := expect(op, err, append(public[:len(public):len(public)], wrapped...), key); err != nil {
		return err
	}
	own, err := c.pointOf(a["value"])
	if err != nil {
		return err
	}
	op, err = Find(t).Wrap(c.testVerifyKey(answer{"point": own}), p)
	if wrapped, err = runOp(op, err, key); err != nil {
		return err
	}
	op, err = Find(t).Unwrap(private, p)
	return expect(op, err, wrapped, key)
}
