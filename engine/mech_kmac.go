package engine

import (
	"crypto/sha3"
	"encoding/binary"
	"fmt"

	"github.com/perilune/perilune/cryptoki/ck"
)

// KMAC128 and KMAC256 (NIST SP 800-185, section 4), by numbers and a parameter
// of our own.

func init() { later(kmacMechanisms) }

func kmacMechanisms() {
	row := func(t ck.MechanismType, f *kmacFunction, code string) *Mechanism {
		begin := func(k *Key, p any) (mac, error) { return newKMAC(f, k, p) }
		return &Mechanism{
			Type: t, Param: (*KMACParams)(nil), Optional: true, Keys: []ck.KeyType{ck.CKK_GENERIC_SECRET},
			Min: 1, Max: maxSecret, FIPS: true, FIPSMin: hmacFIPSMin,
			Sign:   func(k *Key, p any) (Op, error) { return newSign(begin(k, p)) },
			Verify: func(k *Key, p any) (Verifier, error) { return newVerify(begin(k, p)) },
			SelfTest: func() error {
				key := "404142434445464748494a4b4c4d4e4f505152535455565758595a5b5c5d5e5f"
				p := &KMACParams{Customization: []byte("My Tagged Application")}
				return testMAC(t, secretKey(ck.CKK_GENERIC_SECRET, unhex(key)), p, "00010203", code)
			},
			Vectors: "NIST's KMAC samples; Wycheproof",
		}
	}
	register(
		row(ck.CKM_KMAC_128, &kmacFunction{sha3.NewCSHAKE128, 32},
			"3b1fba963cd8b0b59e8c1a6d71888b7143651af8ba0a7070c0979e2811324aa5"),
		row(ck.CKM_KMAC_256, &kmacFunction{sha3.NewCSHAKE256, 64},
			"20c570c31346f703c9ac36c61c03cb64c3970d0cfc787e9b79599d273a68d2f7"+
				"f69d4cc3de9d104a351689f27cf6f5951f0103f33f4f24871024d9c27773a8dd"),
	)
}

// KMACParams is CK_KMAC_PARAMS.
type KMACParams struct {
	Customization []byte `c:"ptr,len"`
	MACLen        uint64
}

// kmacFunction is one of the two.
type kmacFunction struct {
	new func(name, customization []byte) *sha3.SHAKE
	len int // of a code where the caller asks for none
}

// kmac is a code under way.
type kmac struct {
	x   *sha3.SHAKE
	len int
}

func newKMAC(f *kmacFunction, k *Key, param any) (mac, error) {
	p := &KMACParams{}
	if noParam(param) != nil {
		var err error
		if p, err = structParam[KMACParams](param); err != nil {
			return nil, err
		}
	}
	n := uint64(f.len)
	if p.MACLen != 0 {
		n = p.MACLen
	}
	if n > maxSecret {
		return nil, fmt.Errorf("the MAC has at most %d bytes: %w", maxSecret, ck.CKR_MECHANISM_PARAM_INVALID)
	}
	if len(k.Value()) == 0 {
		return nil, ck.CKR_KEY_SIZE_RANGE
	}
	m := &kmac{f.new([]byte("KMAC"), p.Customization), int(n)}
	m.writeKey(k.Value())
	return m, nil
}

// writeKey takes in the encoded key, filled up with zeros to whole blocks
// (sections 2.3.2 and 2.3.3).
func (m *kmac) writeKey(key []byte) {
	block := m.x.BlockSize()
	b := append(leftEncode(uint64(block)), leftEncode(uint64(len(key))*8)...)
	m.x.Write(b)
	m.x.Write(key)
	m.x.Write(make([]byte, (block-(len(b)+len(key))%block)%block))
}

// leftEncode is section 2.3.1: the number of bytes, then the bytes.
func leftEncode(n uint64) []byte {
	b := shortest(n)
	return append([]byte{byte(len(b))}, b...)
}

// rightEncode is the same the other way round.
func rightEncode(n uint64) []byte {
	b := shortest(n)
	return append(b, byte(len(b)))
}

// shortest is n in as few bytes as it takes, but one at least.
func shortest(n uint64) []byte {
	b := binary.BigEndian.AppendUint64(nil, n)
	for len(b) > 1 && b[0] == 0 {
		b = b[1:]
	}
	return b
}

func (m *kmac) write(src []byte) error {
	m.x.Write(src)
	return nil
}

func (m *kmac) size() int { return m.len }

func (m *kmac) sum(dst []byte) []byte {
	m.x.Write(rightEncode(uint64(m.len) * 8))
	code := make([]byte, m.len)
	m.x.Read(code)
	return append(dst, code...)
}

func (m *kmac) save() ([]byte, error) { return m.x.MarshalBinary() }

func (m *kmac) load(state []byte) error {
	if err := m.x.UnmarshalBinary(state); err != nil {
		return ck.CKR_SAVED_STATE_INVALID
	}
	return nil
}
