package engine

import (
	"bytes"
	"crypto/cipher"
	"crypto/fips140"
	"encoding/hex"
	"fmt"
	"slices"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/engine/internal/vaes"
)

// blockCipher is a block cipher, from which the modes in block_*.go make
// mechanisms. A family of mechanisms registers itself so, in a function that is
// given to later:
//
//	c := &blockCipher{
//		keys: []ck.KeyType{ck.CKK_SEED}, size: 16, new: seed.New,
//		row: Mechanism{Min: 16, Max: 16, Leaks: "...", Vectors: "RFC 4269, appendix B"},
//	}
//	registerBlockCipher(c,
//		c.keyGen(ck.CKM_SEED_KEY_GEN, ck.CKK_SEED, known{key: "...", in: "...", out: "..."}),
//		c.ecb(ck.CKM_SEED_ECB, known{key: "...", in: "...", out: "..."}),
//		c.cbc(ck.CKM_SEED_CBC, known{key: "...", p: iv, in: "...", out: "..."}),
//		c.ctr(ck.CKM_SEED_CTR, known{key: "...", p: &CTRParams{...}, in: "...", out: "..."}),
//		c.macGeneral(ck.CKM_SEED_MAC_GENERAL, known{key: "...", p: uint64(4), in: "...", out: "..."}),
//		...)
//
// Each row begins as a copy of c.row; what differs from it can be set in what a
// mode returns. The known answers become its self-test; a row with none is not
// registered.
//
// The modes:
//
//	keyGen                          a random key
//	ecb, cbc, cbcPad, cbcPadIPsec   whole blocks, or padded
//	ctr                             counters of any width
//	ofb, cfb, cfb1                  feedback of any number of bytes; of one bit
//	cts                             ciphertext stealing; 16-byte blocks
//	xts                             two keys in one; 16-byte blocks
//	mac, macGeneral                 CBC-MAC: half a block, or any length
//	cmac, cmacGeneral               the whole block, or any length
//	gcm, gmac, ccm                  16-byte blocks
//	keyWrap, keyWrapPad             16-byte blocks
//	ecbEncryptData, cbcEncryptData  derivations
type blockCipher struct {
	// keys are the key types that the mechanisms take.
	keys []ck.KeyType
	// size is that of a block in bytes: a power of two up to 16.
	size int
	// new makes the cipher of a key. What it makes is kept with the key, and
	// serves many goroutines. It may have more methods, for speed and for
	// modes in constant time where single blocks are not: EncryptBlocks and
	// DecryptBlocks (see bulkCipher), and those that the constructors of
	// package cipher look for: NewCBCEncrypter, NewCBCDecrypter, NewCTR.
	new func(key []byte) (cipher.Block, error)
	// open, instead of new, is for ciphers that take more than a key, from the
	// mechanism's parameter. It returns what is left of the parameter for the
	// mode: the IV as []byte, the length of a MAC as uint64, nil. The rows need
	// their Param set, and size is that of the cipher that open returns. Modes
	// that keep more than the cipher with the key (CMAC, GCM, XTS) are not for
	// such ciphers.
	open func(k *Key, p any) (cipher.Block, any, error)
	// fresh makes a usable key of random bytes: it sets what is not random,
	// and returns false to have other bytes.
	fresh func(key []byte) bool
	// isAES says that the cipher is AES, for which cipher.NewGCM and package vaes
	// have code. For others, cipher.NewGCM would look up secrets in tables.
	isAES bool
	// row is where each row begins: Min, Max, the columns of FIPS mode, Leaks,
	// Vectors.
	row Mechanism
}

// bulkCipher is a block cipher that takes many blocks at a time: len(src) is a
// multiple of the size of the block.
type bulkCipher interface {
	EncryptBlocks(dst, src []byte)
	DecryptBlocks(dst, src []byte)
}

// known is a known answer: a key, the mechanism's parameter, what goes in and
// what comes out (ciphertext, MAC, derived key); bytes in hexadecimal.
type known struct {
	key     string
	p       any
	in, out string
}

// blockCiphers are the ciphers of key types, for what works with several.
var blockCiphers = map[ck.KeyType]*blockCipher{}

// registerBlockCipher registers a cipher for its key types, and its rows.
func registerBlockCipher(c *blockCipher, rows ...*Mechanism) {
	for _, t := range c.keys {
		blockCiphers[t] = c
	}
	register(rows...)
}

// blockCipherOf finds the cipher of a key.
func blockCipherOf(k *Key) (*blockCipher, error) {
	c := blockCiphers[k.Type]
	if c == nil || c.open != nil {
		return nil, ck.CKR_KEY_TYPE_INCONSISTENT
	}
	return c, nil
}

// block makes the cipher of a key, and returns what is left of the parameter.
func (c *blockCipher) block(k *Key, p any) (cipher.Block, any, error) {
	if !slices.Contains(c.keys, k.Type) {
		return nil, nil, ck.CKR_KEY_TYPE_INCONSISTENT
	}
	if c.open != nil {
		return c.open(k, p)
	}
	b, err := c.keyed(k)
	return b, p, err
}

// keyed is block for ciphers that need nothing but the key.
func (c *blockCipher) keyed(k *Key) (cipher.Block, error) {
	return Parsed(k, func(k *Key) (cipher.Block, error) {
		b, err := c.new(k.Value())
		if err != nil {
			return nil, ck.CKR_KEY_SIZE_RANGE
		}
		return b, nil
	})
}

// vectors is the key for package vaes, or nil: if the cipher is not AES, if the
// processor has not what that needs, or if Go's FIPS mode wants AES of its module.
func (c *blockCipher) vectors(k *Key) *vaes.Key {
	if !c.isAES || !vaes.Supported() || fips140.Enabled() {
		return nil
	}
	v, _ := Parsed(k, func(k *Key) (*vaes.Key, error) { return vaes.NewKey(k.Value()), nil })
	return v
}

// mechanism begins a row.
func (c *blockCipher) mechanism(t ck.MechanismType, answers []known) *Mechanism {
	m := c.row
	m.Type, m.Keys = t, c.keys
	if len(answers) > 0 {
		m.SelfTest = func() error { return testKnown(t, answers) }
	}
	return &m
}

// sboxLeaks is what caches may tell of ciphers and digests with tables.
const sboxLeaks = "S-boxes are looked up in tables"

// proven says what outside source proves a row.
func proven(by string, m *Mechanism) *Mechanism {
	m.Vectors = by
	return m
}

// notApproved takes a row out of FIPS mode.
func notApproved(m *Mechanism) *Mechanism {
	m.FIPS, m.FIPSMin, m.LegacyMin = false, 0, 0
	return m
}

// alias gives a row further numbers.
func alias(m *Mechanism, numbers ...ck.MechanismType) *Mechanism {
	m.Aliases = numbers
	return m
}

// taking gives a row its parameter.
func taking(m *Mechanism, param any) *Mechanism {
	m.Param = param
	return m
}

// begin starts an operation of a row.
type begin = func(*Key, any) (Op, error)

// enciphering begins a row that encrypts and decrypts.
func (c *blockCipher) enciphering(t ck.MechanismType, encrypt, decrypt begin, answers []known) *Mechanism {
	m := c.mechanism(t, answers)
	m.Encrypt, m.Decrypt = encrypt, decrypt
	return m
}

// wrappingToo makes a row wrap keys as it encrypts.
func wrappingToo(m *Mechanism) *Mechanism {
	m.Wrap, m.Unwrap = wrapping(m.Encrypt), unwrapping(m.Decrypt)
	return m
}

// keyGen is the generation of keys of one type. The answer is one for the bare
// block.
func (c *blockCipher) keyGen(t ck.MechanismType, makes ck.KeyType, answer known) *Mechanism {
	m := c.mechanism(t, nil)
	m.Keys, m.Makes = nil, makes
	m.Generate = func(p any, template []ck.Attribute) ([]ck.Attribute, error) {
		if err := noParam(p); err != nil {
			return nil, err
		}
		n, err := generatedLen(makes, template)
		if err != nil {
			return nil, err
		}
		if uint64(n) < m.Min || uint64(n) > m.Max {
			return nil, fmt.Errorf("a key has %d to %d bytes: %w", m.Min, m.Max, ck.CKR_ATTRIBUTE_VALUE_INVALID)
		}
		return c.randomKey(n)
	}
	m.SelfTest = func() error { return c.testKeyGen(m, answer) }
	return m
}

// generatedLen is the length of a new key of a type: what the template says, or
// the only one that there is.
func generatedLen(t ck.KeyType, template []ck.Attribute) (int, error) {
	lengths := FindKeyType(t).Lengths
	if len(lengths) == 1 && ck.Find(template, ck.CKA_VALUE_LEN) == nil {
		return lengths[0], nil
	}
	n, err := valueLen(template)
	if err != nil {
		return 0, err
	}
	if len(lengths) > 0 && !slices.Contains(lengths, n) {
		return 0, fmt.Errorf("CKA_VALUE_LEN must be one of %v: %w", lengths, ck.CKR_ATTRIBUTE_VALUE_INVALID)
	}
	return n, nil
}

// randomKey makes the value attributes of a new key of n bytes.
func (c *blockCipher) randomKey(n int) ([]ck.Attribute, error) {
	for {
		attrs, err := randomSecret(n)
		if err != nil || c.fresh == nil || c.fresh(ck.Find(attrs, ck.CKA_VALUE).Value) {
			return attrs, err
		}
	}
}

// testKeyGen generates a key, which has no known answer, and checks its form
// and that the cipher it is for works.
func (c *blockCipher) testKeyGen(m *Mechanism, a known) error {
	n := len(unhex(a.key))
	attrs, err := m.Generate(nil, []ck.Attribute{ck.NewULong(ck.CKA_VALUE_LEN, uint64(n))})
	if err != nil {
		return err
	}
	if v := ck.Find(attrs, ck.CKA_VALUE); v == nil || len(v.Value) != n {
		return errSelfTest(m.Type)
	}
	block, err := c.bare(unhex(a.key), a.p)
	if err != nil {
		return err
	}
	out := unhex(a.in)
	block.Encrypt(out, out)
	if hex.EncodeToString(out) != a.out {
		return errSelfTest(m.Type)
	}
	return nil
}

// bare is the cipher for a self-test; of the first half, if a key is two.
func (c *blockCipher) bare(key []byte, p any) (cipher.Block, error) {
	if c.open != nil {
		block, _, err := c.open(secretKey(c.keys[0], key), p)
		return block, err
	}
	if block, err := c.new(key); err == nil {
		return block, nil
	}
	return c.new(key[:len(key)/2])
}

// testKnown checks known answers of a row, in both directions if there are two.
func testKnown(t ck.MechanismType, answers []known) error {
	m := Find(t)
	for _, a := range answers {
		k := secretKey(m.keyType(len(a.key)/2), unhex(a.key))
		var err error
		switch {
		case m.Encrypt != nil:
			if err = testOp(t, m.Encrypt, k, a.p, a.in, a.out); err == nil {
				err = testOp(t, m.Decrypt, k, a.p, a.out, a.in)
			}
		case m.Sign != nil:
			err = testMAC(t, k, a.p, a.in, a.out)
		default:
			var out []byte
			if out, err = m.Derive(k, a.p, &Derivation{Type: ck.CKK_GENERIC_SECRET}); err == nil && hex.EncodeToString(out) != a.out {
				err = errSelfTest(t)
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// keyType is the type of the row's keys that have n bytes.
func (m *Mechanism) keyType(n int) ck.KeyType {
	for _, t := range m.Keys {
		if row := FindKeyType(t); row != nil && slices.Contains(row.Lengths, n) {
			return t
		}
	}
	return m.Keys[0]
}

// testOp checks one known answer.
func testOp(t ck.MechanismType, begin begin, k *Key, p any, in, out string) error {
	op, err := begin(k, p)
	got, err := runOp(op, err, unhex(in))
	if err != nil {
		return err
	}
	if !bytes.Equal(got, unhex(out)) {
		return errSelfTest(t)
	}
	return nil
}
