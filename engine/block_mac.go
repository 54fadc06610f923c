package engine

import (
	"crypto/cipher"
	"crypto/subtle"
	"slices"

	"github.com/perilune/perilune/cryptoki/ck"
)

// Authentication codes of block ciphers: CBC-MAC with zeros at the end (NIST
// FIPS 113; ISO/IEC 9797-1 algorithm 1 with padding 1), CMAC (NIST SP 800-38B,
// RFC 4493) and XCBC (RFC 3566).

// newMAC makes a code as long as a block, and returns what is left of the
// parameter.
type newMAC func(c *blockCipher, k *Key, p any) (m cutMAC, rest any, err error)

// cutMAC is a code that can be cut to n bytes.
type cutMAC interface {
	mac
	cut(n int)
}

// authenticating begins a row for codes of n bytes.
func (c *blockCipher) authenticating(t ck.MechanismType, f newMAC, n int, answers []known) *Mechanism {
	return c.authenticatingWith(t, answers, func(k *Key, p any) (mac, error) {
		m, rest, err := f(c, k, p)
		if err != nil {
			return nil, err
		}
		m.cut(n)
		return m, noParam(rest)
	})
}

// authenticatingGeneral begins a row for codes whose length, up to that of a
// block, is the parameter.
func (c *blockCipher) authenticatingGeneral(t ck.MechanismType, f newMAC, answers []known) *Mechanism {
	m := c.authenticatingWith(t, answers, func(k *Key, p any) (mac, error) {
		m, rest, err := f(c, k, p)
		if err != nil {
			return nil, err
		}
		n, err := macGeneralLen(rest, m.size())
		m.cut(n)
		return m, err
	})
	m.Param = uint64(0)
	return m
}

func (c *blockCipher) authenticatingWith(t ck.MechanismType, answers []known, start func(*Key, any) (mac, error)) *Mechanism {
	m := c.mechanism(t, answers)
	m.Sign = func(k *Key, p any) (Op, error) { return newSign(start(k, p)) }
	m.Verify = func(k *Key, p any) (Verifier, error) { return newVerify(start(k, p)) }
	return m
}

// mac is CBC-MAC of half a block, as PKCS#11 has it for all its ciphers.
func (c *blockCipher) mac(t ck.MechanismType, answers ...known) *Mechanism {
	return c.authenticating(t, newPlainMAC, c.size/2, answers)
}

// macGeneral is CBC-MAC of any length.
func (c *blockCipher) macGeneral(t ck.MechanismType, answers ...known) *Mechanism {
	return c.authenticatingGeneral(t, newPlainMAC, answers)
}

// cmac is CMAC of a whole block.
func (c *blockCipher) cmac(t ck.MechanismType, answers ...known) *Mechanism {
	return c.authenticating(t, newCMACOf, c.size, answers)
}

// cmacGeneral is CMAC of any length.
func (c *blockCipher) cmacGeneral(t ck.MechanismType, answers ...known) *Mechanism {
	return c.authenticatingGeneral(t, newCMACOf, answers)
}

// xcbc is XCBC of n bytes, for ciphers with keys and blocks of 16 bytes.
func (c *blockCipher) xcbc(t ck.MechanismType, n int, answers ...known) *Mechanism {
	m := c.authenticating(t, newXCBC, n, answers)
	m.Min, m.Max = 16, 16
	return m
}

// cbcMAC chains blocks. The last block of what was written is not yet
// encrypted, so that whoever uses it can finish it in its own way.
type cbcMAC struct {
	block cipher.Block
	size  int
	x     [16]byte
	n     int // bytes added to x since the last encryption
}

func newCBCMAC(block cipher.Block) cbcMAC { return cbcMAC{block: block, size: block.BlockSize()} }

func (c *cbcMAC) write(b []byte) {
	for len(b) > 0 {
		if c.n == c.size {
			c.encrypt()
		}
		n := subtle.XORBytes(c.x[c.n:c.size], c.x[c.n:c.size], b)
		c.n += n
		b = b[n:]
	}
}

// flush ends the block under way, if there is one, filled up with zeros.
func (c *cbcMAC) flush() {
	if c.n > 0 {
		c.encrypt()
	}
}

func (c *cbcMAC) encrypt() {
	c.block.Encrypt(c.x[:c.size], c.x[:c.size])
	c.n = 0
}

func (c *cbcMAC) save() ([]byte, error) {
	return append([]byte{byte(c.n)}, c.x[:c.size]...), nil
}

func (c *cbcMAC) load(state []byte) error {
	if len(state) != 1+c.size || int(state[0]) > c.size {
		return ck.CKR_SAVED_STATE_INVALID
	}
	c.n = int(state[0])
	copy(c.x[:], state[1:])
	return nil
}

// chainMAC is what the codes share: the chain and the length of the code.
type chainMAC struct {
	chain cbcMAC
	len   int
}

func newChainMAC(block cipher.Block) chainMAC {
	chain := newCBCMAC(block)
	return chainMAC{chain, chain.size}
}

func (c *chainMAC) write(src []byte) error {
	c.chain.write(src)
	return nil
}

func (c *chainMAC) size() int { return c.len }

func (c *chainMAC) cut(n int) { c.len = n }

func (c *chainMAC) save() ([]byte, error) { return c.chain.save() }

func (c *chainMAC) load(state []byte) error { return c.chain.load(state) }

// plainMAC is CBC-MAC as it is.
type plainMAC struct{ chainMAC }

var plainMACs recycler[plainMAC]

// Release implements Releaser.
func (c *plainMAC) Release() {
	*c = plainMAC{}
	plainMACs.put(c)
}

func newPlainMAC(c *blockCipher, k *Key, p any) (cutMAC, any, error) {
	block, rest, err := c.block(k, p)
	if err != nil {
		return nil, nil, err
	}
	m := plainMACs.get()
	m.chainMAC = newChainMAC(block)
	return m, rest, nil
}

// sum encrypts the last block; that of an empty message is all zeros.
func (c *plainMAC) sum(dst []byte) []byte {
	c.chain.encrypt()
	return append(dst, c.chain.x[:c.len]...)
}

// cmacKey is a key with the two subkeys of CMAC.
type cmacKey struct {
	block  cipher.Block
	k1, k2 [16]byte
}

func (c *blockCipher) cmacKey(k *Key) (*cmacKey, error) {
	if !slices.Contains(c.keys, k.Type) {
		return nil, ck.CKR_KEY_TYPE_INCONSISTENT
	}
	return Parsed(k, func(k *Key) (*cmacKey, error) {
		block, err := c.keyed(k)
		if err != nil {
			return nil, err
		}
		key, size := &cmacKey{block: block}, block.BlockSize()
		block.Encrypt(key.k1[:size], key.k1[:size])
		double(key.k1[:size])
		key.k2 = key.k1
		double(key.k2[:size])
		return key, nil
	})
}

// double multiplies by x in the field of CMAC: x^128 + x^7 + x^2 + x + 1, or
// x^64 + x^4 + x^3 + x + 1.
func double(b []byte) {
	reduction := byte(0x87)
	if len(b) == 8 {
		reduction = 0x1b
	}
	var carry byte
	for i := len(b) - 1; i >= 0; i-- {
		b[i], carry = b[i]<<1|carry, b[i]>>7
	}
	b[len(b)-1] ^= reduction & -carry
}

// cmac is a CMAC under way.
type cmac struct {
	chainMAC
	key *cmacKey
}

var cmacs recycler[cmac]

// Release implements Releaser.
func (c *cmac) Release() {
	*c = cmac{}
	cmacs.put(c)
}

// newCMAC makes a code of n bytes with a key of any block cipher.
func newCMAC(k *Key, n int) (mac, error) {
	c, err := blockCipherOf(k)
	if err != nil {
		return nil, err
	}
	m, _, err := newCMACOf(c, k, nil)
	if err != nil {
		return nil, err
	}
	m.cut(n)
	return m, nil
}

func newCMACOf(c *blockCipher, k *Key, p any) (cutMAC, any, error) {
	key, err := c.cmacKey(k)
	if err != nil {
		return nil, nil, err
	}
	m := cmacs.get()
	m.chainMAC, m.key = newChainMAC(key.block), key
	return m, p, nil
}

func (c *cmac) sum(dst []byte) []byte {
	return c.lastBlock(dst, &c.key.k1, &c.key.k2)
}

// lastBlock ends a code that adds one of two subkeys to the last block: the
// first to a whole one, the second to one that is marked where it ends.
func (c *chainMAC) lastBlock(dst []byte, whole, partial *[16]byte) []byte {
	x, sub := c.chain.x[:c.chain.size], whole
	if c.chain.n < c.chain.size {
		x[c.chain.n] ^= 0x80
		sub = partial
	}
	subtle.XORBytes(x, x, sub[:])
	c.chain.encrypt()
	return append(dst, x[:c.len]...)
}

// xcbcKey is the three keys of XCBC.
type xcbcKey struct {
	block  cipher.Block
	k2, k3 [16]byte
}

// xcbc is XCBC under way.
type xcbc struct {
	chainMAC
	key *xcbcKey
}

// newXCBC derives the keys by encrypting a block full of 1, 2 and 3.
func newXCBC(c *blockCipher, k *Key, p any) (cutMAC, any, error) {
	block, p, err := c.block(k, p)
	if err != nil {
		return nil, nil, err
	}
	if len(k.Value()) != 16 {
		return nil, nil, ck.CKR_KEY_SIZE_RANGE
	}
	key, err := Parsed(k, func(*Key) (*xcbcKey, error) {
		var keys [3][16]byte
		for i := range keys {
			for j := range keys[i] {
				keys[i][j] = byte(i + 1)
			}
			block.Encrypt(keys[i][:], keys[i][:])
		}
		first, err := c.new(keys[0][:])
		return &xcbcKey{first, keys[1], keys[2]}, err
	})
	if err != nil {
		return nil, nil, err
	}
	return &xcbc{newChainMAC(key.block), key}, p, nil
}

func (x *xcbc) sum(dst []byte) []byte { return x.lastBlock(dst, &x.key.k2, &x.key.k3) }
