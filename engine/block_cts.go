package engine

import (
	"crypto/cipher"
	"crypto/subtle"
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/perilune/perilune/cryptoki/ck"
)

// Modes that take messages of any length from one block on by ciphertext
// stealing: CBC-CS1 and XTS.

// cts is CBC with ciphertext stealing in the form of PKCS#11, which refers to
// the addendum to NIST SP 800-38A without naming one of its three: CBC-CS1, the
// form that NIST names first, that is CBC for whole blocks, and that other
// implementations chose. (That of Kerberos is CBC-CS3.)
func (c *blockCipher) cts(t ck.MechanismType, answers ...known) *Mechanism {
	start := func(decrypt bool) begin {
		return func(k *Key, p any) (Op, error) {
			block, p, err := c.block(k, p)
			if err != nil {
				return nil, err
			}
			iv, err := ivParam(p, 16)
			if err != nil {
				return nil, err
			}
			s := &cbcStealing{block: block, iv: [16]byte(iv), decrypt: decrypt}
			if s.mode = cipher.NewCBCEncrypter(block, iv); decrypt {
				s.mode = cipher.NewCBCDecrypter(block, iv)
			}
			return &stealingOp{mode: s, decrypt: decrypt, left: 1 << 62}, nil
		}
	}
	m := c.enciphering(t, start(false), start(true), answers)
	m.Param = []byte(nil)
	return m
}

// xts is XTS (IEEE 1619, NIST SP 800-38E). The keys are two of the cipher in one,
// so Min and Max of the row are twice those of the cipher: the first half is for
// the data, the second for the tweak. The parameter is the tweak, which is a data
// unit's number in 16 bytes, the least significant first.
func (c *blockCipher) xts(t ck.MechanismType, answers ...known) *Mechanism {
	start := func(decrypt bool) begin {
		return func(k *Key, p any) (Op, error) {
			key, err := c.xtsKey(k)
			if err != nil {
				return nil, err
			}
			tweak, err := ivParam(p, 16)
			if err != nil {
				return nil, err
			}
			return newXTS(key.data, key.tweak, tweak, decrypt), nil
		}
	}
	m := c.enciphering(t, start(false), start(true), answers)
	m.Param = []byte(nil)
	return m
}

// AESXTSParams is CK_AES_XTS_PARAMS of perilune.h.
type AESXTSParams struct {
	TweakKey ck.ObjectHandle
	CB       [16]byte
}

// xtsTwoKeys is XTS with a key for the data, and another for the tweak that the
// parameter names.
func (c *blockCipher) xtsTwoKeys(t ck.MechanismType) *Mechanism {
	start := func(decrypt bool) begin {
		return func(k *Key, param any) (Op, error) {
			w, _ := param.(*WithKeys)
			if w == nil || len(w.Keys) != 1 || w.Keys[0] == nil {
				return nil, fmt.Errorf("the key of the tweak is missing: %w", ck.CKR_MECHANISM_PARAM_INVALID)
			}
			p, err := structParam[AESXTSParams](w.Param)
			if err != nil {
				return nil, err
			}
			data, _, err := c.block(k, nil)
			if err != nil {
				return nil, err
			}
			tweak, _, err := c.block(w.Keys[0], nil)
			if err != nil {
				return nil, err
			}
			if n := len(k.Value()); n == 24 || n != len(w.Keys[0].Value()) {
				return nil, fmt.Errorf("XTS takes two keys of 16 or of 32 bytes: %w", ck.CKR_KEY_SIZE_RANGE)
			}
			return newXTS(data, tweak, p.CB[:], decrypt), nil
		}
	}
	m := c.enciphering(t, start(false), start(true), nil)
	m.Param = (*AESXTSParams)(nil)
	return m
}

// xtsKey is the two keys of XTS.
type xtsKey struct{ data, tweak cipher.Block }

func (c *blockCipher) xtsKey(k *Key) (*xtsKey, error) {
	if !slices.Contains(c.keys, k.Type) {
		return nil, ck.CKR_KEY_TYPE_INCONSISTENT
	}
	return Parsed(k, func(k *Key) (*xtsKey, error) {
		half := len(k.Value()) / 2
		data, err := c.new(k.Value()[:half])
		if err != nil {
			return nil, ck.CKR_KEY_SIZE_RANGE
		}
		tweak, err := c.new(k.Value()[half:])
		if err != nil {
			return nil, ck.CKR_KEY_SIZE_RANGE
		}
		return &xtsKey{data, tweak}, nil
	})
}

// stealing is a mode that takes whole blocks, and at the end 16 to 32 bytes.
// dst and src may be the same memory.
type stealing interface {
	blocks(dst, src []byte)
	last(dst, src []byte)
}

// stealingOp keeps back what may be the end of the message.
type stealingOp struct {
	mode    stealing
	decrypt bool
	left    uint64   // bytes until the message is too long
	held    [32]byte // what came last
	n       int      // bytes in held
	buf     []byte
}

// early is how many of n bytes need not wait for the end: all but two blocks, the
// second of which may be cut short.
func early(n int) int { return max(0, (n+15)/16-2) * 16 }

func (o *stealingOp) UpdateLen(n int) int { return early(o.n + n) }

func (o *stealingOp) Update(dst, src []byte) (int, error) {
	if err := o.count(src); err != nil {
		return 0, err
	}
	n := early(o.n + len(src))
	o.take(dst[:n], src)
	return n, nil
}

func (o *stealingOp) count(src []byte) error {
	if uint64(len(src)) > o.left {
		return o.lengthError()
	}
	o.left -= uint64(len(src))
	return nil
}

// take fills dst and holds the rest of src. The bytes that a write to dst covers
// are read from src before it.
func (o *stealingOp) take(dst, src []byte) {
	if o.buf == nil {
		o.buf = make([]byte, 1024)
	}
	buf := o.buf
	defer clear(buf)
	for o.n+len(src) > len(buf) {
		n := len(buf) / 2
		copy(buf, o.held[:o.n])
		copy(buf[o.n:n], src)
		copy(o.held[:o.n], src[n-o.n:n])
		o.mode.blocks(dst[:n], buf[:n])
		dst, src = dst[n:], src[n:]
	}
	copy(buf, o.held[:o.n])
	total := o.n + copy(buf[o.n:], src)
	o.n = copy(o.held[:], buf[len(dst):total])
	o.mode.blocks(dst, buf[:len(dst)])
}

func (o *stealingOp) FinishLen(n int) (int, bool) { return o.n + n, true }

func (o *stealingOp) Finish(dst, src []byte) (int, error) {
	total := o.n + len(src)
	if total < 16 {
		return 0, o.lengthError()
	}
	if err := o.count(src); err != nil {
		return 0, err
	}
	n := early(total)
	if o.n == 0 {
		o.mode.blocks(dst[:n], src[:n])
		o.mode.last(dst[n:total], src[n:])
		return total, nil
	}
	o.take(dst[:n], src)
	o.mode.last(dst[n:total], o.held[:o.n])
	clear(o.held[:])
	return total, nil
}

func (o *stealingOp) lengthError() error {
	rv := ck.CKR_DATA_LEN_RANGE
	if o.decrypt {
		rv = ck.CKR_ENCRYPTED_DATA_LEN_RANGE
	}
	return fmt.Errorf("too short for this mode, or too long: %w", rv)
}

// cbcStealing is CBC-CS1.
type cbcStealing struct {
	block   cipher.Block
	mode    cipher.BlockMode
	iv      [16]byte // the block of ciphertext before, for decryption
	decrypt bool
}

func (s *cbcStealing) blocks(dst, src []byte) {
	if len(src) == 0 {
		return
	}
	if s.decrypt {
		copy(s.iv[:], src[len(src)-16:])
	}
	s.mode.CryptBlocks(dst, src)
}

func (s *cbcStealing) last(dst, src []byte) {
	var b [32]byte
	defer clear(b[:])
	n := len(src)
	part := n % 16 // of the block that is cut short
	copy(b[:], src)
	switch {
	case part == 0:
		s.blocks(dst, src)
	case s.decrypt:
		// The last 16 bytes are a block of ciphertext; what it decrypts to
		// is the stolen end of the block before, and the last plaintext.
		s.block.Decrypt(b[16:], src[part:])
		var end [16]byte
		subtle.XORBytes(end[:], b[16:], src[:part])
		copy(b[part:16], b[16+part:])
		s.mode.CryptBlocks(b[:16], b[:16])
		copy(dst, b[:16])
		copy(dst[16:], end[:part])
	default:
		s.mode.CryptBlocks(b[:], b[:])
		copy(dst, b[:part])
		copy(dst[part:], b[16:])
	}
}

// xtsMode is XTS in the middle of a data unit.
type xtsMode struct {
	block   cipher.Block
	tweak   [16]byte // for the next block
	decrypt bool
	tweaks  [16 * 16]byte
}

// xtsMaxLen is the length of the longest data unit (NIST SP 800-38E).
const xtsMaxLen = 16 << 20

func newXTS(data, tweakKey cipher.Block, tweak []byte, decrypt bool) Op {
	x := &xtsMode{block: data, decrypt: decrypt}
	tweakKey.Encrypt(x.tweak[:], tweak)
	return &stealingOp{mode: x, decrypt: decrypt, left: xtsMaxLen}
}

// next multiplies the tweak by x.
func (x *xtsMode) next() {
	lo, hi := binary.LittleEndian.Uint64(x.tweak[:]), binary.LittleEndian.Uint64(x.tweak[8:])
	binary.LittleEndian.PutUint64(x.tweak[:], lo<<1^0x87&-(hi>>63))
	binary.LittleEndian.PutUint64(x.tweak[8:], hi<<1|lo>>63)
}

func (x *xtsMode) blocks(dst, src []byte) {
	for len(src) > 0 {
		n := min(len(src), len(x.tweaks))
		for i := 0; i < n; i += 16 {
			copy(x.tweaks[i:], x.tweak[:])
			x.next()
		}
		x.crypt(dst[:n], src[:n], x.tweaks[:n])
		dst, src = dst[n:], src[n:]
	}
}

// crypt crypts blocks with their tweaks.
func (x *xtsMode) crypt(dst, src, tweaks []byte) {
	subtle.XORBytes(dst, src, tweaks)
	(&ecb{x.block, x.decrypt}).CryptBlocks(dst, dst)
	subtle.XORBytes(dst, dst, tweaks)
}

func (x *xtsMode) last(dst, src []byte) {
	part := len(src) % 16
	if part == 0 {
		x.blocks(dst, src)
		return
	}
	first := x.tweak
	x.next()
	second := x.tweak
	if x.decrypt {
		first, second = second, first
	}
	var b, end [16]byte
	defer clear(end[:])
	x.crypt(b[:], src[:16], first[:])
	copy(end[:], b[:part])
	copy(b[:], src[16:])
	x.crypt(b[:], b[:], second[:])
	copy(dst, b[:])
	copy(dst[16:], end[:part])
}
