package engine

import (
	"crypto/subtle"
	"fmt"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/engine/internal/ct"
)

// CKM_KEY_WRAP_SET_OAEP (PKCS#11 v2.20, section 12.29.3) wraps a DES key as the
// payment protocol SET of 1997 does: with a byte that tells the contents, and
// with a digest and further data on request.
//
// Where this comes from: SET's Formal Protocol Definition is not to be had any
// more. That the block is
//
//	type 03 | contents | seven zeros | DES key | X | zeros
//
// filled up to 17 bytes less than the modulus, for a zero in front and 16 bytes
// of salt, is said by the header of a payment client (Obigo AB, set.h) and fits
// IBM's CCA (CSNDSBC), in which X has at most 94 bytes for keys of 1024 bits. That
// the block comes before the salt is as Bellare and Rogaway wrote OAEP down. How
// SHA-1 makes the masks is in neither; here it is MGF1, which PKCS #1 took from
// the same proposal. Nobody else's ciphertext was there to try.

const (
	setSalt   = 16
	setKeyLen = 8
	setHeader = 9  // before the key
	setMaxX   = 94 // the room that SET has
)

// KeyWrapSETOAEPParams is CK_KEY_WRAP_SET_OAEP_PARAMS (PKCS#11 v2.20, section
// 12.29.2). Unwrapping sets BC, and in X, which must have room for 94 bytes, the
// digest and data with the zeros after them: BC tells the caller what they are.
type KeyWrapSETOAEPParams struct {
	BC byte   `c:"inout"`
	X  []byte `c:"ptr,len,inout"`
}

func init() { later(rsaSetMechanisms) }

func rsaSetMechanisms() {
	register(&Mechanism{
		Type:  ck.CKM_KEY_WRAP_SET_OAEP,
		Param: (*KeyWrapSETOAEPParams)(nil),
		Keys:  rsaKeys, Min: rsaMinBits, Max: rsaMaxBits,
		Wrap:     setWrap,
		Unwrap:   setUnwrap,
		Wrapped:  Wrapped{SecretOnly: true},
		Vectors:  "none to be found; the masks are an assumption, see mech_rsa_set.go",
		SelfTest: testSETOAEP,
	})
}

// setRoom is the length of X for a modulus of size bytes.
func setRoom(size int) (int, error) {
	room := size - 1 - setSalt - setHeader - setKeyLen
	if room < 0 {
		return 0, fmt.Errorf("RSA key too short for SET: %w", ck.CKR_WRAPPING_KEY_SIZE_RANGE)
	}
	return min(room, setMaxX), nil
}

func setWrap(k *Key, p any) (Op, error) {
	params, err := structParam[KeyWrapSETOAEPParams](p)
	if err != nil {
		return nil, err
	}
	pub, err := rsaPublic(k)
	if err != nil {
		return nil, err
	}
	room, err := setRoom(pub.Size())
	if err != nil {
		return nil, err
	}
	if len(params.X) > room {
		return nil, fmt.Errorf("SET has room for %d bytes: %w", room, ck.CKR_MECHANISM_PARAM_INVALID)
	}
	return &once{max: pub.Size(), exact: true, run: func(dst, src []byte) (int, error) {
		if len(src) != setKeyLen {
			return 0, ck.CKR_KEY_SIZE_RANGE
		}
		em := make([]byte, pub.Size())
		defer clear(em)
		block, salt := setSplit(em)
		block[0], block[1] = 3, params.BC
		copy(block[setHeader:], src)
		copy(block[setHeader+setKeyLen:], params.X)
		if err := Random(salt); err != nil {
			return 0, err
		}
		sha := findHash(ck.CKM_SHA_1).start()
		defer sha.release()
		mgf1XOR(block, sha, salt)
		mgf1XOR(salt, sha, block)
		return len(em), publicRSA(pub, dst[:len(em)], em, ck.CKR_DATA_INVALID)
	}}, nil
}

// setSplit returns block and salt of a block that RSA encrypts.
func setSplit(em []byte) (block, salt []byte) {
	at := len(em) - setSalt
	return em[1:at], em[at:]
}

func setUnwrap(k *Key, p any) (Op, error) {
	params, err := structParam[KeyWrapSETOAEPParams](p)
	if err != nil {
		return nil, err
	}
	priv, err := rsaPrivate(k)
	if err != nil {
		return nil, err
	}
	room, err := setRoom(priv.Size())
	if err != nil {
		return nil, err
	}
	if len(params.X) < room {
		return nil, fmt.Errorf("there must be room for %d bytes of data: %w", room, ck.CKR_BUFFER_TOO_SMALL)
	}
	return keyOp{&once{max: setKeyLen, exact: true, run: func(dst, src []byte) (int, error) {
		return setOpen(priv, params, room, dst, src)
	}}, unwrapCodes}, nil
}

// setOpen looks at all of the header before it says that something is wrong.
func setOpen(priv *rsaPrivateKey, params *KeyWrapSETOAEPParams, room int, dst, src []byte) (int, error) {
	em := make([]byte, priv.Size())
	defer clear(em)
	if err := rsaOpen(priv, em, src); err != nil {
		return 0, err
	}
	block, salt := setSplit(em)
	sha := findHash(ck.CKM_SHA_1).start()
	defer sha.release()
	mgf1XOR(salt, sha, block)
	mgf1XOR(block, sha, salt)
	var zeros [setHeader - 2]byte
	good := subtle.ConstantTimeByteEq(em[0], 0) & subtle.ConstantTimeByteEq(block[0], 3) &
		subtle.ConstantTimeCompare(block[2:setHeader], zeros[:])
	if ct.Reveal(good) != 1 {
		return 0, ck.CKR_ENCRYPTED_DATA_INVALID
	}
	params.BC = block[1]
	params.X = params.X[:copy(params.X, block[setHeader+setKeyLen:][:room])]
	return copy(dst, block[setHeader:][:setKeyLen]), nil
}
