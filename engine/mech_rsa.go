package engine

import (
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/engine/internal/rsacore"
)

// Key sizes of RSA in bits. FIPS 186-5 and SP 800-131A want rsaFIPSBits of new
// keys and signatures, and let rsaLegacyBits verify and decrypt what is old.
const (
	rsaMinBits    = rsacore.MinBits
	rsaMaxBits    = rsacore.MaxBits
	rsaFIPSBits   = 2048
	rsaLegacyBits = 1024
)

var rsaKeys = []ck.KeyType{ck.CKK_RSA}

func init() { later(rsaMechanisms) }

func rsaMechanisms() {
	register(&Mechanism{
		Type: ck.CKM_RSA_X_509, RawRSA: true,
		Keys: rsaKeys, Min: rsaMinBits, Max: rsaMaxBits,
		Encrypt:       rawEncrypt,
		Decrypt:       rawDecrypt,
		Sign:          rawSign,
		Verify:        rawVerify,
		SignRecover:   rawSign,
		VerifyRecover: rawVerifyRecover,
		Wrap:          wrapping(rawEncrypt),
		Unwrap:        unwrapping(rawDecrypt),
		Wrapped:       Wrapped{Last: true, SecretOnly: true},
		Encapsulate:   rsasveEncapsulate,
		CiphertextLen: rsaCiphertextLen,
		Decapsulate:   rsasveDecapsulate,
		Vectors:       "OpenSSL, evppkey_rsa_common.txt",
		SelfTest:      testRawRSA,
	})
}

// approvedRSA makes row one that FIPS mode allows, with SHA-1 for old signatures
// only (SP 800-131A, section 9).
func approvedRSA(row *Mechanism, h ck.MechanismType) *Mechanism {
	row.FIPS, row.FIPSMin, row.LegacyMin = true, rsaFIPSBits, rsaLegacyBits
	row.Legacy = h == ck.CKM_SHA_1
	return row
}

// rsaPublic is the key for the public operation.
func rsaPublic(k *Key) (*rsacore.PublicKey, error) {
	return Parsed(k, func(k *Key) (*rsacore.PublicKey, error) {
		pub, err := rsacore.NewPublicKey(k.Bytes(ck.CKA_MODULUS), k.Bytes(ck.CKA_PUBLIC_EXPONENT))
		if err != nil {
			return nil, fmt.Errorf("unusable RSA public key: %w", ck.CKR_KEY_TYPE_INCONSISTENT)
		}
		return pub, checkRSASize(pub.Bits())
	})
}

// rsaPrivateKey is a key for the private operation, which may have to be blinded.
type rsaPrivateKey struct {
	*rsacore.PrivateKey
	blind *atomic.Bool
}

// operate is Private, blinded or not.
func (k *rsaPrivateKey) operate(dst, src []byte) error {
	if k.blind.Load() {
		return k.Blinded(dst, src, Reader)
	}
	return k.Private(dst, src)
}

// rsaPrivate is the key for the private operation.
func rsaPrivate(k *Key) (*rsaPrivateKey, error) {
	return Parsed(k, func(k *Key) (*rsaPrivateKey, error) {
		priv, err := rsacore.NewPrivateKey(rsaNumbers(k))
		if err != nil {
			return nil, fmt.Errorf("unusable RSA private key: %w", ck.CKR_KEY_TYPE_INCONSISTENT)
		}
		return &rsaPrivateKey{priv, &k.Blind}, checkRSASize(priv.Bits())
	})
}

// checkRSASize refuses keys of less than rsaMinBits, whatever the rows say.
func checkRSASize(bits int) error {
	if bits < rsaMinBits {
		return fmt.Errorf("RSA key of %d bits: %w", bits, ck.CKR_KEY_SIZE_RANGE)
	}
	return nil
}

// barePublic is the key for a mechanism without a parameter.
func barePublic(k *Key, p any) (*rsacore.PublicKey, error) {
	if err := noParam(p); err != nil {
		return nil, err
	}
	return rsaPublic(k)
}

// barePrivate is the key for a mechanism without a parameter.
func barePrivate(k *Key, p any) (*rsaPrivateKey, error) {
	if err := noParam(p); err != nil {
		return nil, err
	}
	return rsaPrivate(k)
}

// publicRSA sets dst to src^e mod n. Input too large gets the code outOfRange.
func publicRSA(pub *rsacore.PublicKey, dst, src []byte, outOfRange ck.RV) error {
	if err := pub.Public(dst, src); err != nil {
		return outOfRange
	}
	return nil
}

// privateRSA sets dst to src^d mod n. Input too large gets the code outOfRange.
func privateRSA(priv *rsaPrivateKey, dst, src []byte, outOfRange ck.RV) error {
	switch err := priv.operate(dst, src); {
	case err == nil:
		return nil
	case errors.Is(err, rsacore.ErrRange):
		return outOfRange
	default:
		return fmt.Errorf("the RSA private operation went wrong: %w", ck.CKR_FUNCTION_FAILED)
	}
}

// rsaOpen undoes an encryption: src, as long as the modulus, to dst of the
// same length.
func rsaOpen(priv *rsaPrivateKey, dst, src []byte) error {
	if len(src) != priv.Size() {
		return ck.CKR_ENCRYPTED_DATA_LEN_RANGE
	}
	return privateRSA(priv, dst, src, ck.CKR_ENCRYPTED_DATA_INVALID)
}

// rsaRecover applies the public operation to a signature.
func rsaRecover(pub *rsacore.PublicKey, dst, sig []byte) error {
	if len(sig) != pub.Size() {
		return ck.CKR_SIGNATURE_LEN_RANGE
	}
	return publicRSA(pub, dst, sig, ck.CKR_SIGNATURE_INVALID)
}

// CKM_RSA_X_509, raw RSA (PKCS#11 v3.1, section 6.1): input shorter than the
// modulus stands for a number, so zeros on the left are implied.

// These have no state and are kept with the key.
type (
	rawEncryptOp       struct{ once }
	rawDecryptOp       struct{ once }
	rawSignOp          struct{ once }
	rawVerifyRecoverOp struct{ once }
)

func rawEncrypt(k *Key, p any) (Op, error) {
	return keptBare(k, p, rsaPublic, func(pub *rsacore.PublicKey) *rawEncryptOp {
		return &rawEncryptOp{once{max: pub.Size(), exact: true, run: func(dst, src []byte) (int, error) {
			if len(src) > pub.Size() {
				return 0, ck.CKR_DATA_LEN_RANGE
			}
			return pub.Size(), publicRSA(pub, dst[:pub.Size()], src, ck.CKR_DATA_INVALID)
		}}}
	})
}

func rawDecrypt(k *Key, p any) (Op, error) {
	return keptBare(k, p, rsaPrivate, func(priv *rsaPrivateKey) *rawDecryptOp {
		return &rawDecryptOp{once{max: priv.Size(), exact: true, run: func(dst, src []byte) (int, error) {
			return priv.Size(), rsaOpen(priv, dst[:priv.Size()], src)
		}}}
	})
}

func rawSign(k *Key, p any) (Op, error) {
	return keptBare(k, p, rsaPrivate, func(priv *rsaPrivateKey) *rawSignOp {
		return &rawSignOp{once{max: priv.Size(), exact: true, run: func(dst, src []byte) (int, error) {
			if len(src) > priv.Size() {
				return 0, ck.CKR_DATA_LEN_RANGE
			}
			return priv.Size(), privateRSA(priv, dst[:priv.Size()], src, ck.CKR_DATA_INVALID)
		}}}
	})
}

func rawVerifyRecover(k *Key, p any) (Op, error) {
	return keptBare(k, p, rsaPublic, func(pub *rsacore.PublicKey) *rawVerifyRecoverOp {
		return &rawVerifyRecoverOp{once{max: pub.Size(), exact: true, run: func(dst, src []byte) (int, error) {
			return pub.Size(), rsaRecover(pub, dst[:pub.Size()], src)
		}}}
	})
}

// keptBare is the operation of a mechanism without a parameter that needs nothing
// but an RSA key, of which it is made once.
func keptBare[K any, T Op](k *Key, p any, key func(*Key) (K, error), make func(K) T) (Op, error) {
	if err := noParam(p); err != nil {
		return nil, err
	}
	return opOf(Parsed(k, func(k *Key) (op T, err error) {
		parsed, err := key(k)
		if err != nil {
			return op, err
		}
		return make(parsed), nil
	}))
}

// rawVerifier has no state and is kept with the key.
type rawVerifier struct{ pub *rsacore.PublicKey }

func rawVerify(k *Key, p any) (Verifier, error) {
	if err := noParam(p); err != nil {
		return nil, err
	}
	return verifierOf(Parsed(k, func(k *Key) (*rawVerifier, error) {
		pub, err := rsaPublic(k)
		return &rawVerifier{pub}, err
	}))
}

func (*rawVerifier) Update([]byte) error { return ck.CKR_FUNCTION_NOT_SUPPORTED }

func (v *rawVerifier) Verify(src, sig []byte) error {
	if len(src) > v.pub.Size() {
		return ck.CKR_DATA_LEN_RANGE
	}
	b := rsaScratch.get()
	defer rsaScratch.put(b)
	m := b[:v.pub.Size()]
	if err := rsaRecover(v.pub, m, sig); err != nil {
		return err
	}
	zeros := len(m) - len(src)
	if !allZero(m[:zeros]) || string(m[zeros:]) != string(src) {
		return ck.CKR_SIGNATURE_INVALID
	}
	return nil
}

func allZero(b []byte) bool {
	for _, x := range b {
		if x != 0 {
			return false
		}
	}
	return true
}
