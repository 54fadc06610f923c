package engine

import (
	"bytes"
	"crypto/cipher"
	"crypto/subtle"
	"encoding/binary"
	"fmt"
	"math"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/engine/internal/ct"
)

// Key wrap (PKCS#11 v3.1 section 6.16; NIST SP 800-38F, RFC 3394, RFC 5649), for
// blocks of 16 bytes.

// keyWrap is key wrap as it is, KW.
func (c *blockCipher) keyWrap(t ck.MechanismType, answers ...known) *Mechanism {
	m := c.keyWrapWith(t, wrapOp{}, answers)
	m.Wrap, m.Wrapped = wrapping(c.newWrapOp(wrapOp{pad: zeros})), Wrapped{Zeros: 7}
	return m
}

// keyWrapPad is key wrap with padding, KWP.
func (c *blockCipher) keyWrapPad(t ck.MechanismType, answers ...known) *Mechanism {
	return c.keyWrapWith(t, wrapOp{pad: kwp}, answers)
}

func (c *blockCipher) keyWrapWith(t ck.MechanismType, o wrapOp, answers []known) *Mechanism {
	inverse := o
	inverse.decrypt = true
	m := wrappingToo(c.enciphering(t, c.newWrapOp(o), c.newWrapOp(inverse), answers))
	m.Param, m.Optional = []byte(nil), true
	return m
}

// kwp is the padding of RFC 5649: zeros, and the length in the initial value.
const kwp padding = 10

// Initial values (NIST SP 800-38F, sections 6.2 and 6.3).
var (
	icv1 = [8]byte{0xa6, 0xa6, 0xa6, 0xa6, 0xa6, 0xa6, 0xa6, 0xa6}
	icv2 = [4]byte{0xa6, 0x59, 0x59, 0xa6}
)

// wrapOp is key wrap in one of its forms, over a message in one part.
type wrapOp struct {
	onePart
	block   cipher.Block
	iv      [8]byte // only its first half with kwp
	pad     padding
	either  bool // decryption with kwp takes PKCS #7 padding as well
	decrypt bool
}

// newWrapOp makes the function that starts operations like o.
func (c *blockCipher) newWrapOp(o wrapOp) begin {
	return func(k *Key, p any) (Op, error) {
		block, p, err := c.block(k, p)
		if err != nil {
			return nil, err
		}
		op := o
		op.block = block
		op.setIV()
		if iv, _ := p.([]byte); p != nil && len(iv) != 0 {
			n := len(op.iv)
			if op.pad == kwp {
				n = len(icv2)
			}
			if len(iv) != n {
				return nil, fmt.Errorf("the initial value has %d bytes: %w", n, ck.CKR_MECHANISM_PARAM_INVALID)
			}
			copy(op.iv[:], iv)
		}
		return &op, nil
	}
}

// setIV puts the default initial value in place.
func (o *wrapOp) setIV() {
	o.iv = icv1
	if o.pad == kwp {
		copy(o.iv[:], icv2[:])
	}
}

func (o *wrapOp) FinishLen(n int) (int, bool) {
	switch {
	case o.decrypt && o.pad == unpadded:
		return max(0, n-8), true
	case o.decrypt:
		return max(0, n-8), false
	}
	return o.padded(n) + 8, true
}

// padded is the length of n bytes with padding.
func (o *wrapOp) padded(n int) int {
	switch o.pad {
	case pkcs7:
		return n&^7 + 8
	case zeros:
		return max(16, (n+7)&^7)
	case kwp:
		return (n + 7) &^ 7
	}
	return n
}

func (o *wrapOp) Finish(dst, src []byte) (int, error) {
	if o.decrypt {
		return o.open(dst, src)
	}
	if !o.lenOK(len(src)) {
		return 0, ck.CKR_DATA_LEN_RANGE
	}
	n := o.padded(len(src))
	buf := make([]byte, 8+n)
	defer clear(buf)
	copy(buf, o.iv[:])
	copy(buf[8:], src)
	switch o.pad {
	case kwp:
		binary.BigEndian.PutUint32(buf[4:], uint32(len(src)))
	case pkcs7:
		for i := 8 + len(src); i < len(buf); i++ {
			buf[i] = byte(n - len(src))
		}
	}
	if len(buf) == 16 {
		o.block.Encrypt(buf, buf)
	} else {
		wrapBlocks(o.block, buf)
	}
	return copy(dst, buf), nil
}

// lenOK tells whether n bytes can be wrapped. Key wrap proper needs two
// semiblocks; a key of one, which the standard would not have us pad further,
// is too short, and so is nothing at all.
func (o *wrapOp) lenOK(n int) bool {
	if n > math.MaxInt32 {
		return false
	}
	switch o.pad {
	case unpadded:
		return n >= 16 && n%8 == 0
	case zeros:
		return n > 8
	case kwp:
		return n > 0
	}
	return n >= 8
}

// open decrypts src and checks it.
func (o *wrapOp) open(dst, src []byte) (int, error) {
	if len(src)%8 != 0 || len(src) < 16 || len(src) < 24 && o.pad != kwp {
		return 0, ck.CKR_ENCRYPTED_DATA_LEN_RANGE
	}
	buf := bytes.Clone(src)
	defer clear(buf)
	if len(buf) == 16 {
		o.block.Decrypt(buf, buf)
	} else {
		unwrapBlocks(o.block, buf)
	}
	n, ok := o.check(buf)
	if ct.Reveal(ok) != 1 {
		return 0, ck.CKR_ENCRYPTED_DATA_INVALID
	}
	return copy(dst, buf[8:8+ct.Reveal(n)]), nil
}

// check returns the length of the data in buf, behind the initial value, and
// ok = 1 if that and the padding are right. Its time does not depend on what is
// wrong.
func (o *wrapOp) check(buf []byte) (n, ok int) {
	body := buf[8:]
	switch o.pad {
	case kwp:
		n, ok = checkKWP(o.iv[:4], buf)
		if o.either && len(buf) > 16 {
			n7, ok7 := ct.PKCS7Len(body[len(body)-8:])
			ok7 &= ct.Equal(buf[:8], icv1[:])
			n = subtle.ConstantTimeSelect(ok7, len(body)-8+n7, n)
			ok |= ok7
		}
		return n, ok
	case pkcs7:
		n, ok = ct.PKCS7Len(body[len(body)-8:])
		return len(body) - 8 + n, ok & ct.Equal(buf[:8], o.iv[:])
	}
	return len(body), ct.Equal(buf[:8], o.iv[:])
}

// checkKWP is the check of RFC 5649, section 3: the constant, a length that
// ends in the last eight bytes, and zeros behind it.
func checkKWP(iv, buf []byte) (n, ok int) {
	body := buf[8:]
	// The length is public once all is right; until then it is clamped so
	// that int arithmetic cannot overflow on any platform.
	length := binary.BigEndian.Uint32(buf[4:])
	small := 1 - int(length>>31)
	n = int(length & math.MaxInt32)
	ok = ct.Equal(buf[:4], iv) & small &
		ct.Less(len(body)-8, n) & subtle.ConstantTimeLessOrEq(n, len(body))
	last := body[len(body)-8:]
	used := subtle.ConstantTimeSelect(ok, n-(len(body)-8), 8)
	for i, b := range last {
		inPad := subtle.ConstantTimeLessOrEq(used, i)
		ok &= subtle.ConstantTimeSelect(inPad, subtle.ConstantTimeByteEq(b, 0), 1)
	}
	return n, ok
}

// wrapBlocks is the function W of NIST SP 800-38F, in place: the initial value
// and at least two more semiblocks.
func wrapBlocks(block cipher.Block, buf []byte) {
	var b [16]byte
	copy(b[:8], buf)
	t := uint64(0)
	for range 6 {
		for i := 8; i < len(buf); i += 8 {
			t++
			copy(b[8:], buf[i:i+8])
			block.Encrypt(b[:], b[:])
			xorCount(&b, t)
			copy(buf[i:], b[8:])
		}
	}
	copy(buf, b[:8])
}

// unwrapBlocks is the inverse of wrapBlocks.
func unwrapBlocks(block cipher.Block, buf []byte) {
	var b [16]byte
	copy(b[:8], buf)
	t := 6 * uint64(len(buf)/8-1)
	for range 6 {
		for i := len(buf) - 8; i >= 8; i -= 8 {
			copy(b[8:], buf[i:i+8])
			xorCount(&b, t)
			block.Decrypt(b[:], b[:])
			copy(buf[i:], b[8:])
			t--
		}
	}
	copy(buf, b[:8])
}

// xorCount adds the step count to the first half of b.
func xorCount(b *[16]byte, t uint64) {
	binary.BigEndian.PutUint64(b[:8], binary.BigEndian.Uint64(b[:8])^t)
}

// kwpWrap is key wrap with padding (RFC 5649) for mechanisms that contain it.
func kwpWrap(block cipher.Block, data []byte) ([]byte, error) {
	o := wrapOp{block: block, pad: kwp}
	o.setIV()
	return runOp(&o, nil, data)
}

// kwpUnwrap undoes kwpWrap.
func kwpUnwrap(block cipher.Block, wrapped []byte) ([]byte, error) {
	o := wrapOp{block: block, pad: kwp, decrypt: true}
	o.setIV()
	return runOp(&o, nil, wrapped)
}
