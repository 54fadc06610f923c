package engine

import (
	"crypto/sha1"
	"fmt"
	"slices"

	"github.com/perilune/perilune/cryptoki/ck"
)

// Secret keys: AES (PKCS#11 v3.1 section 6.10.2; for XTS section 6.12.2), DES (6.18.2 and 6.19.2), generic secrets (section
// 6.8.2), the types for one HMAC each, and HKDF.

func init() { later(secretKeyTypes) }

func secretKeyTypes() {
	registerKeyType(secretType(ck.CKK_AES, checkValueBlock, 16, 24, 32))
	registerKeyType(secretType(ck.CKK_AES_XTS, checkValueXTS, 32, 64))
	// Keys with wrong parity are taken as they are: the standard would refuse
	// them, but the tokens in use do not, and the cipher does not look at it.
	registerKeyType(
		secretType(ck.CKK_DES, checkValueBlock, 8),
		secretType(ck.CKK_DES2, checkValueBlock, 16),
		secretType(ck.CKK_DES3, checkValueBlock, 24),
	)
	registerKeyType(secretType(ck.CKK_GENERIC_SECRET, checkValueSHA1), secretType(ck.CKK_HKDF, checkValueSHA1))
	for _, f := range hashFamilies {
		if f.key != 0 {
			registerKeyType(secretType(f.key, checkValueSHA1))
		}
	}
	registerKeyType(secretType(ck.CKK_SHA512_T_HMAC, checkValueSHA1))
}

// secretType is the row of a type of secret keys.
func secretType(t ck.KeyType, checkValue func(*Key) ([]byte, error), lengths ...int) *KeyType {
	return &KeyType{
		Type:       t,
		Size:       func(k *Key) uint64 { return uint64(len(k.Value())) },
		Complete:   func(k *Key) ([]ck.Attribute, error) { return completeSecret(k, lengths) },
		Lengths:    lengths,
		CheckValue: checkValue,
	}
}

// completeSecret checks the length of a key and states it.
func completeSecret(k *Key, lengths []int) ([]ck.Attribute, error) {
	if ck.Find(k.Attrs, ck.CKA_VALUE) == nil {
		return nil, fmt.Errorf("CKA_VALUE is missing: %w", ck.CKR_TEMPLATE_INCOMPLETE)
	}
	n := len(k.Value())
	if n == 0 || len(lengths) > 0 && !slices.Contains(lengths, n) {
		return nil, fmt.Errorf("CKA_VALUE has a length that the key type does not allow: %w", ck.CKR_ATTRIBUTE_VALUE_INVALID)
	}
	return []ck.Attribute{ck.NewULong(ck.CKA_VALUE_LEN, uint64(n))}, nil
}

// checkValueBlock encrypts a block of zeros (PKCS#11 v3.1 section 4.10.2).
func checkValueBlock(k *Key) ([]byte, error) {
	c, err := blockCipherOf(k)
	if err != nil {
		return nil, err
	}
	block, err := c.keyed(k)
	if err != nil {
		return nil, err
	}
	b := make([]byte, block.BlockSize())
	block.Encrypt(b, b)
	return b[:3], nil
}

// checkValueXTS encrypts a block of zeros in data unit 0, so that both halves of
// the key count.
func checkValueXTS(k *Key) ([]byte, error) {
	key, err := aesXTS.xtsKey(k)
	if err != nil {
		return nil, err
	}
	b := make([]byte, 16)
	if b, err = runOp(newXTS(key.data, key.tweak, b, false), nil, b); err != nil {
		return nil, err
	}
	return b[:3], nil
}

// checkValueSHA1 digests the value (PKCS#11 v3.1 section 6.8.2).
func checkValueSHA1(k *Key) ([]byte, error) {
	sum := sha1.Sum(k.Value())
	return sum[:3], nil
}
