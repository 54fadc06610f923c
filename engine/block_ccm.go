package engine

import (
	"crypto/cipher"
	"crypto/subtle"
	"encoding/binary"
	"fmt"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/engine/internal/ct"
)

// CCM (PKCS#11 v3.1 section 6.13.3; RFC 3610, NIST SP 800-38C). The length comes
// before the data, and the whole message is kept until the end.

// ccm is CCM, with the message-based functions.
func (c *blockCipher) ccm(t ck.MechanismType, answers ...known) *Mechanism {
	m := c.enciphering(t, c.newCCM(ccmOp{}), c.newCCM(ccmOp{decrypt: true}), answers)
	m.Param, m.MessageParam = (*CCMParams)(nil), (*CCMMessageParams)(nil)
	m.Wrap = wrapping(c.newCCM(ccmOp{anyLen: true}))
	m.Unwrap = unwrapping(c.newCCM(ccmOp{anyLen: true, decrypt: true}))
	m.MessageEncrypt = func(k *Key, _ any) (MessageOp, error) { return c.newCCMMessages(k, false) }
	m.MessageDecrypt = func(k *Key, _ any) (MessageOp, error) { return c.newCCMMessages(k, true) }
	wrapsWith(m, (*CCMWrapParams)(nil))
	return m
}

// CCMParams is CK_CCM_PARAMS (PKCS#11 v3.1 section 6.13.5). DataLen is the
// length of the plaintext; wrapping and unwrapping do not look at it.
type CCMParams struct {
	DataLen uint64
	Nonce   []byte `c:"ptr,len"`
	AAD     []byte `c:"ptr,len"`
	MACLen  uint64
}

// ccm is CCM with the parameters of one message.
type ccm struct {
	block  cipher.Block
	single bool // as in ctrOp
	nonce  []byte
	aad    []byte
	macLen int

	chain         cbcMAC
	counter, mask [16]byte
	tag           [16]byte
}

func (c *blockCipher) newCCMState(block cipher.Block, nonce, aad []byte, macLen uint64) (s ccm, err error) {
	if n := len(nonce); n < 7 || n > 13 {
		return s, fmt.Errorf("a CCM nonce has 7 to 13 bytes: %w", ck.CKR_MECHANISM_PARAM_INVALID)
	}
	if macLen < 4 || macLen > 16 || macLen%2 != 0 {
		return s, fmt.Errorf("a CCM code has 4, 6, 8, 10, 12, 14 or 16 bytes: %w", ck.CKR_MECHANISM_PARAM_INVALID)
	}
	return ccm{block: block, single: c.isAES, nonce: nonce, aad: aad, macLen: int(macLen)}, nil
}

// fits reports whether a length can be written in the bytes that the nonce
// leaves for it.
func (c *ccm) fits(n uint64) bool {
	room := 8 * uint(15-len(c.nonce))
	return room >= 64 || n < 1<<room
}

// start returns a block that begins with flags and the nonce.
func (c *ccm) start(flags byte) (b [16]byte) {
	b[0] = flags | byte(14-len(c.nonce))
	copy(b[1:], c.nonce)
	return b
}

// mac computes the code of a message, encrypted with the first block of the
// stream, in c.tag.
func (c *ccm) mac(plain []byte) {
	flags := byte(c.macLen-2) / 2 << 3
	if len(c.aad) > 0 {
		flags |= 0x40
	}
	b0 := c.start(flags)
	var n [8]byte
	binary.BigEndian.PutUint64(n[:], uint64(len(plain)))
	copy(b0[1+len(c.nonce):], n[8-(15-len(c.nonce)):])

	c.chain = newCBCMAC(c.block)
	m := &c.chain
	m.write(b0[:])
	if len(c.aad) > 0 {
		var buf [10]byte
		m.write(ccmAADLen(buf[:0], uint64(len(c.aad))))
		m.write(c.aad)
		m.flush()
	}
	m.write(plain)
	m.flush()

	c.counter = c.start(0)
	c.block.Encrypt(c.tag[:], c.counter[:])
	subtle.XORBytes(c.tag[:], c.tag[:], m.x[:])
}

// ccmAADLen appends the length of the associated data (RFC 3610, section 2.2).
func ccmAADLen(dst []byte, n uint64) []byte {
	switch {
	case n < 0xff00:
		return binary.BigEndian.AppendUint16(dst, uint16(n))
	case n < 1<<32:
		return binary.BigEndian.AppendUint32(append(dst, 0xff, 0xfe), uint32(n))
	}
	return binary.BigEndian.AppendUint64(append(dst, 0xff, 0xff), n)
}

// xor encrypts or decrypts.
func (c *ccm) xor(dst, src []byte) {
	c.counter = c.start(0)
	c.counter[15] = 1
	if c.single && len(src) <= ctrShort {
		xorBlocks(c.block, &c.counter, &c.mask, dst, src)
		return
	}
	cipher.NewCTR(c.block, c.counter[:]).XORKeyStream(dst[:len(src)], src)
}

// seal encrypts plain to dst and returns the code.
func (c *ccm) seal(dst, plain []byte) []byte {
	c.mac(plain)
	c.xor(dst, plain)
	return c.tag[:c.macLen]
}

// open decrypts src to dst if tag is its code; otherwise it leaves zeros there.
func (c *ccm) open(dst, src, tag []byte) bool {
	var got [16]byte
	copy(got[:], tag) // dst may lie over it
	c.xor(dst, src)
	c.mac(dst[:len(src)])
	if ct.Reveal(ct.Equal(c.tag[:c.macLen], got[:len(tag)])) != 1 {
		clear(dst[:len(src)])
		return false
	}
	return true
}

// ccmOp puts the code behind the ciphertext.
type ccmOp struct {
	ccm
	decrypt bool
	anyLen  bool
	dataLen uint64
	buf     []byte
}

var ccmOps recycler[ccmOp]

// Release implements Releaser.
func (o *ccmOp) Release() {
	clear(o.buf)
	*o = ccmOp{}
	ccmOps.put(o)
}

// newCCM makes the function that starts operations like o.
func (c *blockCipher) newCCM(o ccmOp) begin {
	return func(k *Key, param any) (Op, error) {
		block, param, err := c.block(k, param)
		if err != nil {
			return nil, err
		}
		p, err := structParam[CCMParams](param)
		if err != nil {
			return nil, err
		}
		s, err := c.newCCMState(block, p.Nonce, p.AAD, p.MACLen)
		if err != nil {
			return nil, err
		}
		if !o.anyLen && !s.fits(p.DataLen) {
			return nil, fmt.Errorf("ulDataLen is too large for the nonce: %w", ck.CKR_MECHANISM_PARAM_INVALID)
		}
		op := ccmOps.get()
		*op = o
		op.ccm, op.dataLen = s, p.DataLen
		return op, nil
	}
}

func (o *ccmOp) UpdateLen(int) int { return 0 }

func (o *ccmOp) Update(_, src []byte) (int, error) {
	if !o.anyLen && uint64(len(o.buf)+len(src)) > o.dataLen+uint64(o.macLen) {
		return 0, o.lengthError()
	}
	o.buf = append(o.buf, src...)
	return 0, nil
}

func (o *ccmOp) FinishLen(n int) (int, bool) {
	n += len(o.buf)
	if o.decrypt {
		return max(0, n-o.macLen), true
	}
	return n + o.macLen, true
}

func (o *ccmOp) Finish(dst, src []byte) (int, error) {
	if len(o.buf) > 0 {
		src = append(o.buf, src...)
		defer clear(src)
	}
	n := len(src)
	if o.decrypt {
		n -= o.macLen
	}
	if n < 0 || !o.fits(uint64(n)) || !o.anyLen && uint64(n) != o.dataLen {
		return 0, o.lengthError()
	}
	if o.decrypt {
		if !o.open(dst, src[:n], src[n:]) {
			return 0, ck.CKR_ENCRYPTED_DATA_INVALID
		}
		return n, nil
	}
	return n + copy(dst[n:n+o.macLen], o.seal(dst, src)), nil
}

func (o *ccmOp) lengthError() error {
	rv := ck.CKR_DATA_LEN_RANGE
	if o.decrypt {
		rv = ck.CKR_ENCRYPTED_DATA_LEN_RANGE
	}
	return fmt.Errorf("the message has not the length that ulDataLen gives: %w", rv)
}
