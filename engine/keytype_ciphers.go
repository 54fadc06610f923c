package engine

import (
	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/engine/internal/rc2"
)

// Keys of the ciphers beside AES and DES (PKCS#11 v3.1 sections 6.46 to 6.61
// and, for those that it counts as historical, sections 2.6 to 2.10 of PKCS#11
// Historical Mechanisms).

func init() { later(ciphersKeyTypes) }

func ciphersKeyTypes() {
	registerKeyType(
		secretType(ck.CKK_ARIA, checkValueBlock, 16, 24, 32),
		alsoCalled(secretType(ck.CKK_SEED, checkValueBlock, 16), ck.CKK_SEED_OLD),
		secretType(ck.CKK_CAMELLIA, checkValueBlock, 16, 24, 32),
		secretType(ck.CKK_SM4, checkValueBlock, 16),
		secretType(ck.CKK_CAST128, checkValueBlock, from(5, 16)...),
		secretType(ck.CKK_BLOWFISH, checkValueBlock, from(1, 56)...),
		secretType(ck.CKK_TWOFISH, checkValueBlock, 16, 24, 32),
		inBits(secretType(ck.CKK_RC2, checkValueRC2, from(1, 128)...)),
		// RC5 is no one cipher without words and rounds, so no block can be
		// the check value; neither can one of a stream cipher be.
		secretType(ck.CKK_RC5, checkValueSHA1, from(1, 255)...),
		inBits(secretType(ck.CKK_RC4, checkValueSHA1, from(1, 256)...)),
		secretType(ck.CKK_CHACHA20, checkValueSHA1, 32),
		secretType(ck.CKK_SALSA20, checkValueSHA1, 32),
		secretType(ck.CKK_POLY1305, checkValueSHA1, 32),
	)
}

// alsoCalled gives a key type another number, an older one.
func alsoCalled(t *KeyType, old ck.KeyType) *KeyType {
	t.Aliases = []ck.KeyType{old}
	return t
}

// from lists the numbers from a to b.
func from(a, b int) (list []int) {
	for ; a <= b; a++ {
		list = append(list, a)
	}
	return list
}

// inBits makes a key type one whose sizes the standard gives in bits.
func inBits(t *KeyType) *KeyType {
	t.Size = func(k *Key) uint64 { return 8 * uint64(len(k.Value())) }
	return t
}

// checkValueRC2 encrypts a block of zeros with all bits of the key in effect.
func checkValueRC2(k *Key) ([]byte, error) {
	block, err := rc2.NewCipher(k.Value(), 8*len(k.Value()))
	if err != nil {
		return nil, ck.CKR_KEY_SIZE_RANGE
	}
	var b [rc2.BlockSize]byte
	block.Encrypt(b[:], b[:])
	return b[:3], nil
}
