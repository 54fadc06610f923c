package engine

import (
	"crypto/hmac"
	"slices"

	"github.com/perilune/perilune/cryptoki/ck"
)

// prf is a pseudorandom function with its key: what key derivations are built
// on.
type prf struct {
	size int // of what it returns, in bytes
	sum  func(parts ...[]byte) []byte
}

// cmacKeys says which keys the CMAC of a block cipher takes.
var cmacKeys = map[ck.MechanismType][]ck.KeyType{
	ck.CKM_AES_CMAC:  {ck.CKK_AES},
	ck.CKM_DES3_CMAC: {ck.CKK_DES2, ck.CKK_DES3},
	ck.CKM_ARIA_CMAC: {ck.CKK_ARIA},
	ck.CKM_SEED_CMAC: {ck.CKK_SEED},
}

// newPRF makes the function that an HMAC or CMAC mechanism is; nil if there is
// none of that number.
func newPRF(t ck.MechanismType, k *Key) (*prf, error) {
	if keys, ok := cmacKeys[t]; ok {
		return cmacPRF(keys, k)
	}
	for _, f := range hashFamilies {
		if f.hmac == t && !f.keyed {
			return hmacPRF(findHash(f.digest), k)
		}
	}
	return nil, nil
}

func cmacPRF(keys []ck.KeyType, k *Key) (*prf, error) {
	if !slices.Contains(keys, k.Type) {
		return nil, ck.CKR_KEY_TYPE_INCONSISTENT
	}
	c, err := blockCipherOf(k)
	if err != nil {
		return nil, err
	}
	if _, err := newCMAC(k, c.size); err != nil {
		return nil, err
	}
	return &prf{c.size, func(parts ...[]byte) []byte {
		m, _ := newCMAC(k, c.size) // which succeeded before with this key
		for _, b := range parts {
			m.write(b)
		}
		return m.sum(nil)
	}}, nil
}

func hmacPRF(h *hashFunction, k *Key) (*prf, error) {
	if len(k.Value()) == 0 {
		return nil, ck.CKR_KEY_SIZE_RANGE
	}
	x := hmac.New(h.new, k.Value())
	return &prf{h.size, func(parts ...[]byte) []byte {
		x.Reset()
		for _, b := range parts {
			x.Write(b)
		}
		return x.Sum(nil)
	}}, nil
}
