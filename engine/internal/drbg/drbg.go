// Package drbg is the deterministic random bit generator CTR_DRBG with AES-256
// and derivation function (NIST SP 800-90A Rev. 1, section 10.2.1), and the
// health tests of its entropy input (NIST SP 800-90B, section 4.4).
//
// Running time depends on lengths only, where AES has instructions of its own.
package drbg

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/subtle"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"math/bits"
)

const (
	// EntropyLen is the security strength in bytes, which the entropy input
	// must have at least.
	EntropyLen = 32
	// NonceLen is the length of the nonce, half the security strength.
	NonceLen = 16
	// MaxRequest is the most that one Generate gives: 2^19 bits (table 3).
	MaxRequest = 1 << 16

	seedLen = 32 + aes.BlockSize // a key and a counter
)

// CTR is the working state. It is for one goroutine at a time, and does not
// count requests: the limit of 2^48 is out of reach where whoever holds it
// calls Reseed as often as the engine does.
type CTR struct {
	key [32]byte
	v   [aes.BlockSize]byte
	// Scratch memory: what is given to a cipher would be allocated otherwise.
	seed, temp [seedLen]byte
	block      [aes.BlockSize]byte
	input      []byte
}

// New instantiates a generator (section 10.2.1.3.2).
func New(entropy, nonce, personalization []byte) *CTR {
	d := new(CTR)
	d.derive(entropy, nonce, personalization)
	d.update(newAES(d.key[:]))
	return d
}

// Reseed adds entropy and, if there is any, additional input (section
// 10.2.1.4.2). What there was before is kept under it.
func (d *CTR) Reseed(entropy, additional []byte) {
	d.derive(entropy, additional, nil)
	d.update(newAES(d.key[:]))
}

// Generate fills out, at most MaxRequest bytes of it, and leaves a state from
// which out cannot be told any more (section 10.2.1.5.2). It returns the number
// of bytes.
func (d *CTR) Generate(out, additional []byte) int {
	out = out[:min(len(out), MaxRequest)]
	if len(additional) > 0 { // it counts before and after
		d.derive(additional, nil, nil)
		d.update(newAES(d.key[:]))
		d.derive(additional, nil, nil)
	}
	block := newAES(d.key[:])
	clear(out)
	d.encrypt(block, out)
	d.update(block) // it goes on with the same key and counter
	return len(out)
}

// update is CTR_DRBG_Update (section 10.2.1.2) with d.seed, which it clears.
// block has the key.
func (d *CTR) update(block cipher.Block) {
	d.encrypt(block, d.seed[:])
	copy(d.key[:], d.seed[:32])
	copy(d.v[:], d.seed[32:])
	clear(d.seed[:])
}

// encrypt adds (XOR) the encrypted counters after v to b, whole blocks of them,
// of which the last may not be used up, and moves v.
func (d *CTR) encrypt(block cipher.Block, b []byte) {
	if len(b) >= streamFrom {
		n := len(b) &^ (aes.BlockSize - 1)
		next := d.v
		add(&next, 1)
		cipher.NewCTR(block, next[:]).XORKeyStream(b[:n], b[:n])
		add(&d.v, uint64(n/aes.BlockSize))
		b = b[n:]
	}
	for len(b) > 0 {
		add(&d.v, 1)
		block.Encrypt(d.block[:], d.v[:])
		b = b[subtle.XORBytes(b, b, d.block[:min(len(b), aes.BlockSize)]):]
	}
	clear(d.block[:])
}

// streamFrom is from where on it pays to make a stream.
const streamFrom = 256

// add adds n to a counter of 128 bits.
func add(v *[aes.BlockSize]byte, n uint64) {
	low, carry := bits.Add64(binary.BigEndian.Uint64(v[8:]), n, 0)
	binary.BigEndian.PutUint64(v[8:], low)
	binary.BigEndian.PutUint64(v[:8], binary.BigEndian.Uint64(v[:8])+carry)
}

func newAES(key []byte) cipher.Block {
	block, err := aes.NewCipher(key)
	if err != nil {
		panic("drbg: " + err.Error()) // the key has 32 bytes
	}
	return block
}

// dfCipher has the constant key of the derivation function.
var dfCipher = func() cipher.Block {
	var key [32]byte
	for i := range key {
		key[i] = byte(i)
	}
	return newAES(key[:])
}()

// derive sets d.seed to Block_Cipher_df (section 10.3.2) of three strings, one
// after the other.
func (d *CTR) derive(a, b, c []byte) {
	s := append(d.input[:0], make([]byte, 8)...)
	s = append(append(append(s, a...), b...), c...)
	binary.BigEndian.PutUint32(s, uint32(len(s)-8))
	binary.BigEndian.PutUint32(s[4:], seedLen)
	s = append(s, 0x80)
	for len(s)%aes.BlockSize > 0 {
		s = append(s, 0)
	}
	for i := range seedLen / aes.BlockSize {
		bcc(d.temp[i*aes.BlockSize:][:aes.BlockSize], uint32(i), s)
	}
	block, x := newAES(d.temp[:32]), d.temp[32:]
	for i := 0; i < seedLen; i += aes.BlockSize {
		block.Encrypt(x, x)
		copy(d.seed[i:], x)
	}
	clear(s)
	clear(d.temp[:])
	d.input = s
}

// bcc sets chain to BCC (section 10.3.3), a CBC-MAC, of a block that begins
// with i, and s.
func bcc(chain []byte, i uint32, s []byte) {
	clear(chain)
	binary.BigEndian.PutUint32(chain, i)
	dfCipher.Encrypt(chain, chain)
	for ; len(s) > 0; s = s[aes.BlockSize:] {
		subtle.XORBytes(chain, chain, s[:aes.BlockSize])
		dfCipher.Encrypt(chain, chain)
	}
}

// answer is a known answer. Generate is called twice, and the second output
// counts; with prediction resistance there is entropy for each of the calls.
type answer struct {
	entropy, nonce, personalization string
	// one reseed before the calls, or between them
	reseed, reseedAdditional string
	between                  bool
	additional               [2]string
	resistance               [2]string
	out                      string
}

// knownAnswer is from NIST CAVP, drbgvectors_pr_true/CTR_DRBG.rsp, AES-256 use
// df, personalization string and additional input of 256 bits, count 0.
var knownAnswer = answer{
	entropy:         "534346a3e0baa65d7a51871b6d633a6f1efa9ff55dfde3212c95029adf2387d9",
	nonce:           "0cbe99821509975d824fd826c47d2abc",
	personalization: "020d7340569e68d992e6e8ddfbead9f993c74d971e4339fe91074f87e9d7d777",
	additional: [2]string{"f41040eff2a7010287c2a76d7867a66e61299be1e1247a6b22a64b829ada8624",
		"94efe68e2185646a17bb8a83268142a7b7a02786c1ee90ab8f7399ccf543de26"},
	resistance: [2]string{"286091709d2e91bfef6654b8449d5e5564b6c2fe1f3e4e6e59fe776461bfb0dc",
		"e68e127b2e5b9d6539c26f7e78bec13314e37febdb7105d1d65f0bde23c87d38"},
	out: "da6389d151e3b2b332fbcc02b2cc5af4f69835e9fbbe19130f91cbf30a3c24580ebfb4311b3487e9d6a61de9dc2842c107152158b0e75a932c38e5b8ddff10e6",
}

// check runs an answer.
func (a *answer) check() bool {
	d := New(unhex(a.entropy), unhex(a.nonce), unhex(a.personalization))
	out := make([]byte, len(a.out)/2)
	for i := range 2 {
		if a.reseed != "" && (i == 1) == a.between {
			d.Reseed(unhex(a.reseed), unhex(a.reseedAdditional))
		}
		additional := unhex(a.additional[i])
		if a.resistance[i] != "" { // section 9.3.1, step 7
			d.Reseed(unhex(a.resistance[i]), additional)
			additional = nil
		}
		d.Generate(out, additional)
	}
	return bytes.Equal(out, unhex(a.out))
}

func unhex(s string) []byte {
	b, err := hex.DecodeString(s)
	if err != nil {
		return nil // and the answer is wrong
	}
	return b
}

// ErrSelfTest says that this package does not compute what it should.
var ErrSelfTest = errors.New("drbg: wrong answer in the self-test")

// SelfTest checks a known answer.
func SelfTest() error {
	if !knownAnswer.check() {
		return ErrSelfTest
	}
	return nil
}
