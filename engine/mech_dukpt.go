package engine

import (
	"crypto/des"
	"encoding/binary"
	"encoding/hex"
	"fmt"

	"github.com/perilune/perilune/cryptoki/ck"
)

// Derived unique keys per transaction (ANSI X9.24-1:2009, annex A, which is annex
// C of X9.24-3:2017): the side of the host, which has the base derivation key.
//
// The parameter is CK_KEY_DERIVATION_STRING_DATA with the key serial number, 10
// bytes. The result is a key of type CKK_DES2, without its parity adjusted, as
// the standard has it.

func init() { later(dukptMechanisms) }

func dukptMechanisms() {
	for _, v := range []struct {
		t       ck.MechanismType
		variant dukptVariant
		answer  string
	}{
		{ck.CKM_DES2_DUKPT_PIN, dukptVariant{at: 7}, "042666b49184cf5c68de9628d0397b36"},
		{ck.CKM_DES2_DUKPT_MAC, dukptVariant{at: 6}, "042666b4918430a368de9628d03984c9"},
		{ck.CKM_DES2_DUKPT_MAC_RESP, dukptVariant{at: 4}, "042666b46e84cfa368de96282f397bc9"},
		{ck.CKM_DES2_DUKPT_DATA, dukptVariant{at: 5, oneWay: true}, "448d3f076d8304036a55a3d7e0055a78"},
		{ck.CKM_DES2_DUKPT_DATA_RESP, dukptVariant{at: 3, oneWay: true}, ""},
	} {
		register(&Mechanism{
			Type: v.t, Param: (*StringDataParams)(nil), Keys: des3Family.keys, Makes: ck.CKK_DES2, Min: 16, Max: 24,
			Leaks: sboxLeaks, Vectors: "ANSI X9.24-1 A.4",
			Derive:   func(base *Key, p any, d *Derivation) ([]byte, error) { return deriveDUKPT(base, p, d, v.variant) },
			SelfTest: func() error { return testDUKPT(v.t, v.answer) },
		})
	}
}

// dukptVariant says how the key of one purpose comes from the key of the
// transaction: byte number at of both halves is inverted. Keys for data are then
// encrypted under themselves.
type dukptVariant struct {
	at     int
	oneWay bool
}

func deriveDUKPT(base *Key, param any, d *Derivation, v dukptVariant) ([]byte, error) {
	p, err := structParam[StringDataParams](param)
	if err != nil {
		return nil, err
	}
	if len(p.Data) != 10 {
		return nil, fmt.Errorf("a key serial number has 10 bytes: %w", ck.CKR_MECHANISM_PARAM_INVALID)
	}
	if d.Type != ck.CKK_DES2 {
		return nil, fmt.Errorf("the derived key is a CKK_DES2: %w", ck.CKR_TEMPLATE_INCONSISTENT)
	}
	initial, err := dukptInitial(base, [10]byte(p.Data))
	if err != nil {
		return nil, err
	}
	key, err := dukptTransaction(initial, [10]byte(p.Data))
	if err != nil {
		return nil, err
	}
	return v.of(key)
}

// dukptCounter is the mask of the 21 bits of the serial number that count the
// transactions.
const dukptCounter = 1<<21 - 1

// dukptMask makes of a key the one for right halves.
const dukptMask = 0xc0c0c0c000000000

// dukptInitial is the initial key of a device (annex A.6): the serial number
// without its counter, encrypted.
func dukptInitial(base *Key, ksn [10]byte) (key dukptKey, err error) {
	var block [8]byte
	copy(block[:], ksn[:8])
	block[7] &= 0xe0
	v := base.Value()
	masked := make([]byte, len(v))
	defer clear(masked)
	for i := 0; i+8 <= len(v); i += 8 {
		binary.BigEndian.PutUint64(masked[i:], binary.BigEndian.Uint64(v[i:])^dukptMask)
	}
	for i, k := range [][]byte{v, masked} {
		c, err := newDES3(k)
		if err != nil {
			return key, ck.CKR_KEY_SIZE_RANGE
		}
		c.Encrypt(key[8*i:8*i+8], block[:])
	}
	return key, nil
}

// dukptKey is a key of two halves.
type dukptKey [16]byte

// dukptTransaction is the key of one transaction (annex A.3): for each one in the
// counter, from the left, the key so far is replaced by one that does not lead
// back to it.
func dukptTransaction(key dukptKey, ksn [10]byte) (dukptKey, error) {
	register := binary.BigEndian.Uint64(ksn[2:])
	counter := register & dukptCounter
	register &^= dukptCounter
	for bit := uint64(1 << 20); bit > 0; bit >>= 1 {
		if counter&bit == 0 {
			continue
		}
		register |= bit
		var err error
		if key, err = key.next(register); err != nil {
			return key, err
		}
	}
	return key, nil
}

// next is the "non-reversible key generation process" of annex A.2.
func (k dukptKey) next(register uint64) (next dukptKey, err error) {
	if next, err = k.half(next, 8, register); err != nil {
		return next, err
	}
	for i := 0; i < 16; i += 8 {
		binary.BigEndian.PutUint64(k[i:], binary.BigEndian.Uint64(k[i:])^dukptMask)
	}
	return k.half(next, 0, register)
}

// half puts one half of the next key in place: the register and the right half of
// the key, added before DES with the left half and after it.
func (k dukptKey) half(next dukptKey, at int, register uint64) (dukptKey, error) {
	c, err := des.NewCipher(k[:8])
	if err != nil {
		return next, ck.CKR_KEY_SIZE_RANGE
	}
	right := binary.BigEndian.Uint64(k[8:])
	out := next[at : at+8]
	binary.BigEndian.PutUint64(out, register^right)
	c.Encrypt(out, out)
	binary.BigEndian.PutUint64(out, binary.BigEndian.Uint64(out)^right)
	return next, nil
}

// of is the key for the purpose.
func (v dukptVariant) of(key dukptKey) ([]byte, error) {
	key[v.at] ^= 0xff
	key[8+v.at] ^= 0xff
	if !v.oneWay {
		return key[:], nil
	}
	c, err := newDES3(key[:])
	if err != nil {
		return nil, ck.CKR_KEY_SIZE_RANGE
	}
	out := make([]byte, 16)
	c.Encrypt(out, key[:8])
	c.Encrypt(out[8:], key[8:])
	return out, nil
}

// testDUKPT checks the first transaction of the example in annex A.4. Of the key
// for data in responses only what it encrypts is published.
func testDUKPT(t ck.MechanismType, answer string) error {
	base := secretKey(ck.CKK_DES2, unhex("0123456789abcdeffedcba9876543210"))
	key, err := Find(t).Derive(base, &StringDataParams{unhex("ffff9876543210e00001")}, &Derivation{Type: ck.CKK_DES2, Len: 16})
	if err != nil {
		return err
	}
	if answer == "" {
		k := secretKey(ck.CKK_DES2, key)
		return testOp(t, Find(ck.CKM_DES3_CBC).Encrypt, k, make([]byte, 8), dukptData, "1fcc89af66222f27b903898bb2bc8589cdbfde5ec6afcc25")
	}
	if hex.EncodeToString(key) != answer {
		return errSelfTest(t)
	}
	return nil
}

// dukptData is "4012345678909D987", filled up with zeros.
const dukptData = "3430313233343536373839303944393837" + "00000000000000"
