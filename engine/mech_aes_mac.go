package engine

import (
	"crypto/cipher"
	"crypto/subtle"

	"github.com/perilune/perilune/cryptoki/ck"
)

// AES-CMAC (PKCS#11 v3.1 section 6.14; NIST SP 800-38B, RFC 4493).

func init() {
	full := func(k *Key, p any) (mac, error) {
		if err := noParam(p); err != nil {
			return nil, err
		}
		return newCMAC(k, 16)
	}
	general := func(k *Key, p any) (mac, error) {
		n, err := macGeneralLen(p, 16)
		if err != nil {
			return nil, err
		}
		return newCMAC(k, n)
	}
	register(
		aesRow(&Mechanism{
			Type:     ck.CKM_AES_CMAC,
			Sign:     func(k *Key, p any) (Op, error) { return newSign(full(k, p)) },
			Verify:   func(k *Key, p any) (Verifier, error) { return newVerify(full(k, p)) },
			SelfTest: func() error { return testCMAC(ck.CKM_AES_CMAC, nil, 16) },
		}),
		aesRow(&Mechanism{
			Type: ck.CKM_AES_CMAC_GENERAL, Param: uint64(0),
			Sign:     func(k *Key, p any) (Op, error) { return newSign(general(k, p)) },
			Verify:   func(k *Key, p any) (Verifier, error) { return newVerify(general(k, p)) },
			SelfTest: func() error { return testCMAC(ck.CKM_AES_CMAC_GENERAL, uint64(8), 8) },
		}),
	)
}

// cbcMAC chains blocks. The last block of what was written is not yet
// encrypted, so that whoever uses it can finish it in its own way.
type cbcMAC struct {
	block cipher.Block
	x     [16]byte
	n     int // bytes added to x since the last encryption
}

func (c *cbcMAC) write(b []byte) {
	for len(b) > 0 {
		if c.n == 16 {
			c.encrypt()
		}
		n := subtle.XORBytes(c.x[c.n:], c.x[c.n:], b)
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
	c.block.Encrypt(c.x[:], c.x[:])
	c.n = 0
}

// cmacKey is an AES key with the two subkeys of CMAC.
type cmacKey struct {
	block  cipher.Block
	k1, k2 [16]byte
}

func parseCMACKey(k *Key) (*cmacKey, error) {
	return Parsed(k, func(k *Key) (*cmacKey, error) {
		block, err := aesCipher(k)
		if err != nil {
			return nil, err
		}
		c := &cmacKey{block: block}
		var zero [16]byte
		block.Encrypt(zero[:], zero[:])
		c.k1 = double(zero)
		c.k2 = double(c.k1)
		return c, nil
	})
}

// double multiplies by x in the field of CMAC, x^128 + x^7 + x^2 + x + 1.
func double(b [16]byte) (out [16]byte) {
	var carry byte
	for i := 15; i >= 0; i-- {
		out[i] = b[i]<<1 | carry
		carry = b[i] >> 7
	}
	out[15] ^= 0x87 & -carry
	return out
}

// cmac is a CMAC under way.
type cmac struct {
	key   *cmacKey
	chain cbcMAC
	len   int
}

func newCMAC(k *Key, n int) (mac, error) {
	key, err := parseCMACKey(k)
	if err != nil {
		return nil, err
	}
	return &cmac{key: key, chain: cbcMAC{block: key.block}, len: n}, nil
}

func (c *cmac) write(src []byte) error {
	c.chain.write(src)
	return nil
}

func (c *cmac) size() int { return c.len }

func (c *cmac) sum(dst []byte) []byte {
	x, sub := &c.chain.x, &c.key.k1
	if c.chain.n < 16 {
		x[c.chain.n] ^= 0x80
		sub = &c.key.k2
	}
	subtle.XORBytes(x[:], x[:], sub[:])
	c.chain.encrypt()
	return append(dst, x[:c.len]...)
}

func (c *cmac) save() ([]byte, error) {
	return append([]byte{byte(c.chain.n)}, c.chain.x[:]...), nil
}

func (c *cmac) load(state []byte) error {
	if len(state) != 17 || state[0] > 16 {
		return ck.CKR_SAVED_STATE_INVALID
	}
	c.chain.n = int(state[0])
	copy(c.chain.x[:], state[1:])
	return nil
}

// testCMAC checks examples 1 and 3 of RFC 4493, section 4.
func testCMAC(t ck.MechanismType, p any, n int) error {
	k := secretKey(ck.CKK_AES, unhex(sp80038aKey))
	for _, a := range []struct{ message, code string }{
		{"", "bb1d6929e95937287fa37d129b756746"},
		{sp80038aPlain[:80], "dfa66747de9ae63030ca32611497c827"},
	} {
		if err := testMAC(t, k, p, a.message, a.code[:2*n]); err != nil {
			return err
		}
	}
	return nil
}
