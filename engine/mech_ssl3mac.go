package engine

import (
	"encoding"
	"hash"

	"github.com/perilune/perilune/cryptoki/ck"
)

// The authentication codes of SSL 3.0 (PKCS#11 v3.1 section 6.39; RFC
// 6101, section 5.2.3.1): the forerunner of HMAC, whose pads are appended
// to the key where HMAC adds them to it.

func init() { later(ssl3macMechanisms) }

func ssl3macMechanisms() {
	row := func(t, digest ck.MechanismType, pads int, key, code string) *Mechanism {
		h := findHash(digest)
		begin := func(k *Key, p any) (mac, error) {
			n, err := macGeneralLen(p, h.size)
			if err != nil {
				return nil, err
			}
			return newSSL3MAC(h, pads, k, n)
		}
		return &Mechanism{
			Type: t, Param: uint64(0), Keys: []ck.KeyType{ck.CKK_GENERIC_SECRET}, Min: 1, Max: maxSecret,
			Sign:   func(k *Key, p any) (Op, error) { return newSign(begin(k, p)) },
			Verify: func(k *Key, p any) (Verifier, error) { return newVerify(begin(k, p)) },
			SelfTest: func() error {
				return testMAC(t, secretKey(ck.CKK_GENERIC_SECRET, unhex(key)), uint64(h.size), "00", code)
			},
			Vectors: "Botan's ssl3mac.vec",
		}
	}
	register(
		row(ck.CKM_SSL3_MD5_MAC, ck.CKM_MD5, 48, "0123456789abcdef0123456789abcdef",
			"a856430af077ae2c328d9ffe4e56813a"),
		row(ck.CKM_SSL3_SHA1_MAC, ck.CKM_SHA_1, 40, "0123456789abcdef0123456789abcdef01234567",
			"dd2ba1f4a721f22c8a9ba7350b5cd6838b225827"),
	)
}

// ssl3MAC is a code under way.
type ssl3MAC struct {
	inner, outer hash.Hash
	len          int
}

func newSSL3MAC(h *hashFunction, pads int, k *Key, n int) (mac, error) {
	if len(k.Value()) == 0 {
		return nil, ck.CKR_KEY_SIZE_RANGE
	}
	m := &ssl3MAC{h.new(), h.new(), n}
	m.inner.Write(k.Value())
	m.outer.Write(k.Value())
	for range pads {
		m.inner.Write([]byte{0x36})
		m.outer.Write([]byte{0x5c})
	}
	return m, nil
}

func (m *ssl3MAC) write(src []byte) error {
	m.inner.Write(src)
	return nil
}

func (m *ssl3MAC) size() int { return m.len }

func (m *ssl3MAC) sum(dst []byte) []byte {
	var buf [maxMAC]byte
	m.outer.Write(m.inner.Sum(buf[:0]))
	return append(dst, m.outer.Sum(buf[:0])[:m.len]...)
}

func (m *ssl3MAC) save() ([]byte, error) {
	return m.inner.(encoding.BinaryMarshaler).MarshalBinary()
}

func (m *ssl3MAC) load(state []byte) error {
	if err := m.inner.(encoding.BinaryUnmarshaler).UnmarshalBinary(state); err != nil {
		return ck.CKR_SAVED_STATE_INVALID
	}
	return nil
}
