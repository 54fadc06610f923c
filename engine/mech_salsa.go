package engine

import (
	"encoding/binary"
	"fmt"
	"math"

	//lint:ignore SA1019 the other package has no block counter
	"golang.org/x/crypto/salsa20/salsa"

	"github.com/perilune/perilune/cryptoki/ck"
)

// Salsa20 (PKCS#11 v3.1 section 6.59). CKM_SALSA20_POLY1305 (section 6.61) is
// left out: the standard does not say how it puts the two together with
// associated data, and nobody published an answer for that.

func init() { later(salsaMechanisms) }

func salsaMechanisms() {
	register(
		chachaKeyGen(ck.CKM_SALSA20_KEY_GEN, ck.CKK_SALSA20),
		wrappingToo(&Mechanism{
			Type: ck.CKM_SALSA20, Param: (*Salsa20Params)(nil),
			Keys: []ck.KeyType{ck.CKK_SALSA20}, Min: 32, Max: 32,
			Encrypt: newSalsa20, Decrypt: newSalsa20,
			Vectors:  "eSTREAM; NaCl",
			SelfTest: func() error { return testKnown(ck.CKM_SALSA20, salsaAnswers) },
		}),
	)
}

// Salsa20Params is CK_SALSA20_PARAMS. The block counter is little-endian, as it
// stands in the state of the cipher.
type Salsa20Params struct {
	BlockCounter *[8]byte `c:"ptr"`
	Nonce        []byte   `c:"ptr,bits"`
	NonceBits    uint64   `c:"-"`
}

// newSalsa20 makes Salsa20 with a nonce of 64 bits, XSalsa20 with one of 192.
func newSalsa20(k *Key, param any) (Op, error) {
	p, err := structParam[Salsa20Params](param)
	if err != nil {
		return nil, err
	}
	if k.Type != ck.CKK_SALSA20 {
		return nil, ck.CKR_KEY_TYPE_INCONSISTENT
	}
	if len(k.Value()) != 32 {
		return nil, ck.CKR_KEY_SIZE_RANGE
	}
	if p.BlockCounter == nil {
		return nil, fmt.Errorf("the block counter is missing: %w", ck.CKR_MECHANISM_PARAM_INVALID)
	}
	if n := uint64(len(p.Nonce)); n*8 != p.NonceBits || n != 8 && n != 24 {
		return nil, fmt.Errorf("a nonce has 64 or 192 bits: %w", ck.CKR_MECHANISM_PARAM_INVALID)
	}
	key, nonce := [32]byte(k.Value()), p.Nonce
	if len(nonce) == 24 {
		salsa.HSalsa20(&key, (*[16]byte)(nonce), &key, &salsa.Sigma)
		nonce = nonce[16:]
	}
	first := binary.LittleEndian.Uint64(p.BlockCounter[:])
	return newStreamOp(first, math.MaxUint64, func(dst, src []byte, block uint64) {
		if len(src) == 0 {
			return
		}
		var in [16]byte
		copy(in[:], nonce)
		binary.LittleEndian.PutUint64(in[8:], block)
		salsa.XORKeyStream(dst, src, &in, &key)
	}), nil
}

var salsaAnswers = []known{
	// eSTREAM's verified vectors for keys of 256 bits, set 1, vector 0
	{"8000000000000000000000000000000000000000000000000000000000000000",
		&Salsa20Params{new([8]byte), make([]byte, 8), 64},
		"0000000000000000000000000000000000000000000000000000000000000000" +
			"0000000000000000000000000000000000000000000000000000000000000000",
		"e3be8fdd8beca2e3ea8ef9475b29a6e7003951e1097a5c38d23b7a5fad9f6844" +
			"b22c97559e2723c7cbbd3fe4fc8d9a0744652a83e72a9c461876af4d7ef1a117"},
	// the same from byte 192 on
	{"8000000000000000000000000000000000000000000000000000000000000000",
		&Salsa20Params{&[8]byte{3}, make([]byte, 8), 64},
		"0000000000000000000000000000000000000000000000000000000000000000",
		"57be81f47b17d9ae7c4ff15429a73e10acf250ed3a90a93c711308a74c6216a9"},
	// "Cryptography in NaCl", section 8: the beginning of an XSalsa20 stream
	{"1b27556473e985d462cd51197a9a46c76009549eac6474f206c4ee0844f68389",
		&Salsa20Params{new([8]byte), unhex("69696ee955b62b73cd62bda875fc73d68219e0036b7a0b37"), 192},
		"0000000000000000000000000000000000000000000000000000000000000000",
		"eea6a7251c1e72916d11c2cb214d3c252539121d8e234e652d651fa4c8cff880"},
}
