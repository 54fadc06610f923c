package engine

import (
	"crypto/cipher"
	"crypto/subtle"
	"encoding/binary"
	"fmt"
	"math"
	"math/bits"
	"slices"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/engine/internal/vaes"
)

// Modes that make a stream of a block cipher: CTR, OFB and CFB (NIST SP
// 800-38A).

// CTRParams is CK_AES_CTR_PARAMS (PKCS#11 v3.1 section 6.11.2), and that of all
// ciphers with blocks of 16 bytes.
type CTRParams struct {
	CounterBits uint64
	CB          [16]byte
}

func (p *CTRParams) counter() (width uint64, block []byte) {
	if p == nil {
		return 0, nil
	}
	return p.CounterBits, p.CB[:]
}

// DESCTRParams is CK_DES_CTR_PARAMS, for ciphers with blocks of 8 bytes.
type DESCTRParams struct {
	CounterBits uint64
	CB          [8]byte
}

func (p *DESCTRParams) counter() (width uint64, block []byte) {
	if p == nil {
		return 0, nil
	}
	return p.CounterBits, p.CB[:]
}

// ctr is counter mode.
func (c *blockCipher) ctr(t ck.MechanismType, answers ...known) *Mechanism {
	m := wrappingToo(c.enciphering(t, c.newCTR, c.newCTR, answers))
	if m.Param = any((*CTRParams)(nil)); c.size == 8 {
		m.Param = (*DESCTRParams)(nil)
	}
	return m
}

// ctrOp is counter mode. The counter never passes the end of its bits, so that
// a counter over the whole block does the same.
type ctrOp struct {
	block   cipher.Block
	vectors *vaes.Key     // or nil
	start   [16]byte      // the first counter block, at its end
	stream  cipher.Stream // once it is needed
	wide    vaes.Stream   // what it is, with vectors
	single  bool          // whether short messages do without
	mask    [16]byte
	used    uint64 // bytes so far
	left    uint64 // bytes until the counter is exhausted, or very many
}

func (c *blockCipher) newCTR(k *Key, param any) (Op, error) {
	block, param, err := c.block(k, param)
	if err != nil {
		return nil, err
	}
	size := block.BlockSize()
	p, ok := param.(interface {
		counter() (width uint64, block []byte)
	})
	if !ok {
		return nil, fmt.Errorf("the parameter is missing: %w", ck.CKR_MECHANISM_PARAM_INVALID)
	}
	width, cb := p.counter()
	if len(cb) != size || width < 1 || width > uint64(size)*8 {
		return nil, fmt.Errorf("ulCounterBits must be 1 to %d: %w", size*8, ck.CKR_MECHANISM_PARAM_INVALID)
	}
	o := ctrOps.get()
	o.block, o.vectors, o.left = block, c.vectors(k), ctrBytes(cb, uint(width))
	o.single = c.isAES && o.vectors == nil
	copy(o.start[16-size:], cb)
	return o, nil
}

// begin begins the stream with a counter block.
func (o *ctrOp) begin(cb *[16]byte) {
	if o.vectors != nil {
		o.wide = *o.vectors.NewWideStream(cb)
		o.stream = &o.wide
		return
	}
	o.stream = cipher.NewCTR(o.block, cb[16-o.block.BlockSize():])
}

var ctrOps recycler[ctrOp]

// Release implements Releaser.
func (o *ctrOp) Release() {
	*o = ctrOp{}
	ctrOps.put(o)
}

// ctrShort is the length of messages up to which single blocks of AES are there
// before cipher.NewCTR has made a stream.
const ctrShort = 128

// xorBlocks is counter mode from a counter on, block by block.
func xorBlocks(block cipher.Block, counter, mask *[16]byte, dst, src []byte) {
	for len(src) > 0 {
		block.Encrypt(mask[:], counter[:])
		n := subtle.XORBytes(dst, src, mask[:])
		addCounter(counter, 1)
		dst, src = dst[n:], src[n:]
	}
}

// ctrBytes is how many bytes can be encrypted until the low width bits of the
// counter block come round to 0; it stops counting at 2^63-1.
func ctrBytes(cb []byte, width uint) uint64 {
	size := len(cb)
	hi, lo := uint64(0), ^binary.BigEndian.Uint64(cb[size-8:])
	if width < 64 {
		lo &= 1<<width - 1
	} else if width > 64 {
		hi = ^binary.BigEndian.Uint64(cb)
		if width < 128 {
			hi &= 1<<(width-64) - 1
		}
	}
	if hi != 0 || lo >= math.MaxInt64/16 {
		return math.MaxInt64
	}
	return (lo + 1) * uint64(size)
}

func (o *ctrOp) UpdateLen(n int) int { return n }

func (o *ctrOp) Update(dst, src []byte) (int, error) {
	if uint64(len(src)) > o.left {
		return 0, fmt.Errorf("the counter would wrap: %w", ck.CKR_DATA_LEN_RANGE)
	}
	o.left -= uint64(len(src))
	o.used += uint64(len(src))
	if o.stream == nil {
		o.begin(&o.start)
	}
	o.stream.XORKeyStream(dst[:len(src)], src)
	return len(src), nil
}

func (o *ctrOp) FinishLen(n int) (int, bool) { return n, true }

func (o *ctrOp) Finish(dst, src []byte) (int, error) {
	if o.stream != nil || !o.single || len(src) > ctrShort || uint64(len(src)) > o.left {
		return o.Update(dst, src)
	}
	xorBlocks(o.block, &o.start, &o.mask, dst, src)
	return len(src), nil
}

// Save returns the position in the stream.
func (o *ctrOp) Save() ([]byte, error) { return binary.BigEndian.AppendUint64(nil, o.used), nil }

// Load takes what Save returned.
func (o *ctrOp) Load(state []byte) error {
	if len(state) != 8 {
		return ck.CKR_SAVED_STATE_INVALID
	}
	used := binary.BigEndian.Uint64(state)
	if used > o.left {
		return ck.CKR_SAVED_STATE_INVALID
	}
	size := uint64(o.block.BlockSize())
	cb := o.start
	addCounter(&cb, used/size)
	o.begin(&cb)
	var skip [16]byte
	o.stream.XORKeyStream(skip[:used%size], skip[:used%size])
	o.used, o.left = used, o.left-used
	return nil
}

// addCounter adds n to the big-endian number in cb.
func addCounter(cb *[16]byte, n uint64) {
	lo, carry := bits.Add64(binary.BigEndian.Uint64(cb[8:]), n, 0)
	binary.BigEndian.PutUint64(cb[8:], lo)
	binary.BigEndian.PutUint64(cb[:8], binary.BigEndian.Uint64(cb[:8])+carry)
}

// ofb is output feedback of the given number of bits: that of a block, which
// NIST SP 800-38A has, or 8 (NBS FIPS 81).
func (c *blockCipher) ofb(t ck.MechanismType, bits int, answers ...known) *Mechanism {
	start := c.feedback(feedbackOp{segment: bits / 8, feeds: feedsStream})
	m := c.enciphering(t, start, start, answers)
	m.Param = []byte(nil)
	return m
}

// cfb is cipher feedback of the given number of bits, a multiple of 8. The
// message need not consist of whole segments: the last may be shorter.
func (c *blockCipher) cfb(t ck.MechanismType, bits int, answers ...known) *Mechanism {
	m := c.enciphering(t, c.feedback(feedbackOp{segment: bits / 8, feeds: feedsOutput}),
		c.feedback(feedbackOp{segment: bits / 8, feeds: feedsInput}), answers)
	m.Param = []byte(nil)
	return m
}

// cfb1 is cipher feedback of single bits, of which messages are whole bytes; the
// first bit of a byte is its most significant.
func (c *blockCipher) cfb1(t ck.MechanismType, answers ...known) *Mechanism {
	m := c.enciphering(t, c.feedback(feedbackOp{feeds: feedsOutput}), c.feedback(feedbackOp{feeds: feedsInput}), answers)
	m.Param = []byte(nil)
	return m
}

// feedbackOp is CFB or OFB.
type feedbackOp struct {
	block    cipher.Block
	size     int
	segment  int // bytes that are fed back together; 0: one bit
	feeds    feeds
	register [16]byte // what is encrypted next; being filled at its end
	stream   [16]byte
	n        int // bytes of the segment used
}

// feeds says what is fed back.
type feeds int

const (
	feedsStream feeds = iota // OFB
	feedsOutput              // CFB, encryption
	feedsInput               // CFB, decryption
)

func (c *blockCipher) feedback(o feedbackOp) begin {
	return func(k *Key, p any) (Op, error) {
		block, p, err := c.block(k, p)
		if err != nil {
			return nil, err
		}
		op := o
		op.block, op.size, op.n = block, block.BlockSize(), o.segment
		iv, err := ivParam(p, op.size)
		if err != nil {
			return nil, err
		}
		copy(op.register[:], iv)
		return &op, nil
	}
}

func (o *feedbackOp) UpdateLen(n int) int { return n }

func (o *feedbackOp) Update(dst, src []byte) (int, error) {
	if o.segment == 0 {
		o.bits(dst, src)
	} else {
		o.bytes(dst, src)
	}
	return len(src), nil
}

// bytes crypts src to dst, which may be the same memory.
func (o *feedbackOp) bytes(dst, src []byte) {
	for len(src) > 0 {
		if o.n == o.segment {
			o.block.Encrypt(o.stream[:o.size], o.register[:o.size])
			copy(o.register[:o.size], o.register[o.segment:o.size])
			o.n = 0
		}
		n := min(len(src), o.segment-o.n)
		stream, fed := o.stream[o.n:o.n+n], o.register[o.size-o.segment+o.n:]
		switch o.feeds {
		case feedsStream:
			copy(fed, stream)
		case feedsInput:
			copy(fed, src[:n])
		}
		subtle.XORBytes(dst[:n], src[:n], stream)
		if o.feeds == feedsOutput {
			copy(fed, dst[:n])
		}
		o.n += n
		dst, src = dst[n:], src[n:]
	}
}

// bits is the same bit by bit.
func (o *feedbackOp) bits(dst, src []byte) {
	for i, in := range src {
		var out byte
		for range 8 {
			o.block.Encrypt(o.stream[:o.size], o.register[:o.size])
			bit := in>>7 ^ o.stream[0]>>7
			out = out<<1 | bit
			if o.feeds == feedsInput {
				bit = in >> 7
			}
			in <<= 1
			for j := range o.size - 1 {
				o.register[j] = o.register[j]<<1 | o.register[j+1]>>7
			}
			o.register[o.size-1] = o.register[o.size-1]<<1 | bit
		}
		dst[i] = out
	}
}

func (o *feedbackOp) FinishLen(n int) (int, bool) { return n, true }

func (o *feedbackOp) Finish(dst, src []byte) (int, error) { return o.Update(dst, src) }

// Save returns the registers.
func (o *feedbackOp) Save() ([]byte, error) {
	return slices.Concat([]byte{byte(o.n)}, o.register[:], o.stream[:]), nil
}

// Load takes what Save returned.
func (o *feedbackOp) Load(state []byte) error {
	if len(state) != 33 || int(state[0]) > o.segment {
		return ck.CKR_SAVED_STATE_INVALID
	}
	o.n = int(state[0])
	copy(o.register[:], state[1:])
	copy(o.stream[:], state[17:])
	return nil
}
