package engine

import (
	"crypto/aes"
	"errors"
	"fmt"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/engine/internal/rsacore"
)

// CKM_RSA_AES_KEY_WRAP (PKCS#11 v3.1, section 6.1): a fresh AES key goes
// under OAEP, and the wrapped key under AES key wrap with padding.

// RSAAESKeyWrapParams is CK_RSA_AES_KEY_WRAP_PARAMS (PKCS#11 v3.1, section
// 6.1).
type RSAAESKeyWrapParams struct {
	AESKeyBits uint64
	OAEP       *OAEPParams `c:"ptr"`
}

func init() { later(rsaAeskwMechanisms) }

func rsaAeskwMechanisms() {
	register(approvedRSA(&Mechanism{
		Type:  ck.CKM_RSA_AES_KEY_WRAP,
		Param: (*RSAAESKeyWrapParams)(nil),
		Keys:  rsaKeys, Min: rsaMinBits, Max: rsaMaxBits,
		Wrap:     rsaAESWrap,
		Unwrap:   rsaAESUnwrap,
		Vectors:  "both halves have theirs: CKM_RSA_PKCS_OAEP and CKM_AES_KEY_WRAP_KWP",
		SelfTest: testRSAAESKeyWrap,
	}, ck.CKM_RSA_AES_KEY_WRAP))
}

// check returns the OAEP padding, with room in a modulus of size bytes for
// the AES key.
func (p *RSAAESKeyWrapParams) check(size int) (*oaep, error) {
	switch p.AESKeyBits {
	case 128, 192, 256:
	default:
		return nil, fmt.Errorf("AES keys have 128, 192 or 256 bits: %w", ck.CKR_MECHANISM_PARAM_INVALID)
	}
	o, err := newOAEP(p.OAEP)
	if err != nil {
		return nil, err
	}
	if o.maxLen(size) < int(p.AESKeyBits/8) {
		return nil, fmt.Errorf("RSA key too short for this OAEP hash: %w", ck.CKR_WRAPPING_KEY_SIZE_RANGE)
	}
	return o, nil
}

func rsaAESWrap(k *Key, p any) (Op, error) {
	params, err := structParam[RSAAESKeyWrapParams](p)
	if err != nil {
		return nil, err
	}
	pub, err := rsaPublic(k)
	if err != nil {
		return nil, err
	}
	o, err := params.check(pub.Size())
	if err != nil {
		return nil, err
	}
	return &rsaAESWrapOp{pub: pub, oaep: o, keyLen: int(params.AESKeyBits / 8)}, nil
}

type rsaAESWrapOp struct {
	onePart
	pub    *rsacore.PublicKey
	oaep   *oaep
	keyLen int
}

// FinishLen: the padded wrap adds eight bytes to a multiple of eight.
func (w *rsaAESWrapOp) FinishLen(n int) (int, bool) { return w.pub.Size() + (n+7)/8*8 + 8, true }

func (w *rsaAESWrapOp) Finish(dst, src []byte) (int, error) {
	if len(src) == 0 {
		return 0, ck.CKR_KEY_SIZE_RANGE
	}
	key := make([]byte, w.keyLen)
	defer clear(key)
	if err := Random(key); err != nil {
		return 0, err
	}
	em := make([]byte, w.pub.Size())
	defer clear(em)
	if err := w.oaep.pad(em, key); err != nil {
		return 0, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return 0, ck.CKR_FUNCTION_FAILED
	}
	wrapped, err := kwpWrap(block, src)
	if err != nil {
		return 0, err
	}
	size := w.pub.Size()
	if err := publicRSA(w.pub, dst[:size], em, ck.CKR_DATA_INVALID); err != nil {
		return 0, err
	}
	return size + copy(dst[size:], wrapped), nil
}

func rsaAESUnwrap(k *Key, p any) (Op, error) {
	params, err := structParam[RSAAESKeyWrapParams](p)
	if err != nil {
		return nil, err
	}
	priv, err := rsaPrivate(k)
	if err != nil {
		return nil, err
	}
	o, err := params.check(priv.Size())
	if err != nil {
		return nil, err
	}
	return &rsaAESUnwrapOp{priv: priv, oaep: o, keyLen: int(params.AESKeyBits / 8)}, nil
}

type rsaAESUnwrapOp struct {
	onePart
	priv   *rsaPrivateKey
	oaep   *oaep
	keyLen int
}

func (w *rsaAESUnwrapOp) FinishLen(n int) (int, bool) { return max(n-w.priv.Size()-8, 0), false }

// Finish gives one code to every failure of decryption, wherever it comes.
func (w *rsaAESUnwrapOp) Finish(dst, src []byte) (int, error) {
	size := w.priv.Size()
	if len(src) < size+16 || (len(src)-size)%8 != 0 {
		return 0, ck.CKR_WRAPPED_KEY_LEN_RANGE
	}
	plain, err := w.open(src[:size], src[size:])
	if err != nil {
		if errors.Is(err, ck.CKR_FUNCTION_FAILED) {
			return 0, err
		}
		return 0, ck.CKR_WRAPPED_KEY_INVALID
	}
	defer clear(plain)
	return copy(dst, plain), nil
}

func (w *rsaAESUnwrapOp) open(encrypted, wrapped []byte) ([]byte, error) {
	em := make([]byte, len(encrypted))
	defer clear(em)
	if err := rsaOpen(w.priv, em, encrypted); err != nil {
		return nil, err
	}
	key := make([]byte, len(em))
	defer clear(key)
	n, err := w.oaep.unpad(key, em)
	if err != nil {
		return nil, err
	}
	if n != w.keyLen {
		return nil, ck.CKR_WRAPPED_KEY_INVALID
	}
	block, err := aes.NewCipher(key[:n])
	if err != nil {
		return nil, err
	}
	return kwpUnwrap(block, wrapped)
}
