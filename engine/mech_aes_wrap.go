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

// AES key wrap (PKCS#11 v3.1 section 6.16; NIST SP 800-38F, RFC 3394, RFC 5649).

func init() {
	row := func(t ck.MechanismType, o wrapOp, selfTest func() error) *Mechanism {
		encrypt := func(k *Key, p any) (Op, error) { return newWrapOp(k, p, o) }
		decrypt := func(k *Key, p any) (Op, error) {
			o := o
			o.decrypt = true
			return newWrapOp(k, p, o)
		}
		wrap, wrapped := encrypt, Wrapped{}
		if o.pad == unpadded {
			wrapped.Zeros = 7
			wrap = func(k *Key, p any) (Op, error) {
				o := o
				o.pad = zeros
				return newWrapOp(k, p, o)
			}
		}
		return aesRow(&Mechanism{
			Type: t, Param: []byte(nil), Optional: true,
			Encrypt: encrypt, Decrypt: decrypt, Wrap: wrapping(wrap), Unwrap: unwrapping(decrypt), Wrapped: wrapped,
			SelfTest: selfTest,
		})
	}
	register(
		row(ck.CKM_AES_KEY_WRAP, wrapOp{}, testKW),
		notApproved(row(ck.CKM_AES_KEY_WRAP_PKCS7, wrapOp{pad: pkcs7}, testKWPKCS7)),
		row(ck.CKM_AES_KEY_WRAP_KWP, wrapOp{pad: kwp},
			func() error { return testKWP(ck.CKM_AES_KEY_WRAP_KWP) }),
		// CKM_AES_KEY_WRAP_PAD is deprecated, because 2.40 described it as
		// what is CKM_AES_KEY_WRAP_PKCS7 now, while most tokens (and the users
		// of the name) mean RFC 5649. This one writes RFC 5649 and reads both:
		// the integrity check tells them apart.
		row(ck.CKM_AES_KEY_WRAP_PAD, wrapOp{pad: kwp, either: true},
			func() error { return testKWP(ck.CKM_AES_KEY_WRAP_PAD) }),
	)
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

func newWrapOp(k *Key, p any, o wrapOp) (Op, error) {
	o.setIV()
	if iv, _ := p.([]byte); p != nil && len(iv) != 0 {
		n := len(o.iv)
		if o.pad == kwp {
			n = len(icv2)
		}
		if len(iv) != n {
			return nil, fmt.Errorf("the initial value has %d bytes: %w", n, ck.CKR_MECHANISM_PARAM_INVALID)
		}
		copy(o.iv[:], iv)
	}
	block, err := aesCipher(k)
	if err != nil {
		return nil, err
	}
	o.block = block
	return &o, nil
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
	if ok != 1 {
		return 0, ck.CKR_ENCRYPTED_DATA_INVALID
	}
	return copy(dst, buf[8:8+n]), nil
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

// testKW checks RFC 3394, section 4.6, and that a wrong block is found out.
func testKW() error {
	a := cipherAnswer{
		"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
		"00112233445566778899aabbccddeeff000102030405060708090a0b0c0d0e0f",
		"28c9f404c4b810f4cbccb35cfb87f8263f5786e2d80ed326cbc7f0e71a99f43bfb988b9b7a02dd21",
	}
	if err := testCipher(ck.CKM_AES_KEY_WRAP, nil, a); err != nil {
		return err
	}
	bad := unhex(a.cipher)
	bad[0] ^= 1
	op, err := Find(ck.CKM_AES_KEY_WRAP).Decrypt(secretKey(ck.CKK_AES, unhex(a.key)), nil)
	if _, err := runOp(op, err, bad); err == nil {
		return errSelfTest(ck.CKM_AES_KEY_WRAP)
	}
	return nil
}

// testKWP checks both examples of RFC 5649, section 6.
func testKWP(t ck.MechanismType) error {
	const key = "5840df6e29b02af1ab493b705bf16ea1ae8338f4dcc176a8"
	for _, a := range []cipherAnswer{
		{key, "c37b7e6492584340bed12207808941155068f738",
			"138bdeaa9b8fa7fc61f97742e72248ee5ae6ae5360d1ae6a5f54f373fa543b6a"},
		{key, "466f7250617369", "afbeb0f07dfbf5419200f2ccb50bb24f"},
	} {
		if err := testCipher(t, nil, a); err != nil {
			return err
		}
	}
	return nil
}

// testKWPKCS7 checks that what comes out is the key wrap (which testKW checks
// with a published answer) of the data and its padding: nobody seems to have
// published an answer for the two together.
func testKWPKCS7() error {
	k := secretKey(ck.CKK_AES, unhex("000102030405060708090a0b0c0d0e0f"))
	m := Find(ck.CKM_AES_KEY_WRAP_PKCS7)
	data := unhex("00112233445566778899aabbcc")
	op, err := m.Encrypt(k, nil)
	out, err := runOp(op, err, data)
	if err != nil {
		return err
	}
	op, err = Find(ck.CKM_AES_KEY_WRAP).Decrypt(k, nil)
	plain, err := runOp(op, err, out)
	if err != nil {
		return err
	}
	if !bytes.Equal(plain, append(data, 3, 3, 3)) {
		return errSelfTest(ck.CKM_AES_KEY_WRAP_PKCS7)
	}
	op, err = m.Decrypt(k, nil)
	plain, err = runOp(op, err, out)
	if err != nil {
		return err
	}
	if !bytes.Equal(plain, data) {
		return errSelfTest(ck.CKM_AES_KEY_WRAP_PKCS7)
	}
	return nil
}
