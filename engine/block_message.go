package engine

import (
	"bytes"
	"crypto/cipher"
	"encoding/binary"
	"fmt"

	"github.com/perilune/perilune/cryptoki/ck"
)

// GCM and CCM for message-based encryption (PKCS#11 v3.1 sections 6.13.2, 6.13.3
// and 6.13.5): many messages under one key, the IV made here if so wanted, the
// tag in the parameter.

// GCMMessageParams is CK_GCM_MESSAGE_PARAMS.
type GCMMessageParams struct {
	IV          []byte `c:"ptr,len,inout"`
	IVFixedBits uint64
	IVGenerator ck.GeneratorFunction
	Tag         []byte `c:"ptr,bits,inout"`
	TagBits     uint64 `c:"-"`
}

// CCMMessageParams is CK_CCM_MESSAGE_PARAMS.
type CCMMessageParams struct {
	DataLen        uint64
	Nonce          []byte `c:"ptr,len,inout"`
	NonceFixedBits uint64
	NonceGenerator ck.GeneratorFunction
	MAC            []byte `c:"ptr,len,inout"`
}

// ivGenerator makes the IVs of one message-based encryption. Once it has made
// one, all further ones must be made in the same way, so that a counter cannot
// come round to an IV that was used.
type ivGenerator struct {
	how     ck.GeneratorFunction
	len     int
	fixed   uint64
	count   uint64
	base    []byte // CKG_GENERATE_COUNTER_XOR: the IV as the first call passed it
	last    []byte // and as the last call got it back
	started bool
}

// next fills in iv.
func (g *ivGenerator) next(iv []byte, fixed uint64, how ck.GeneratorFunction) error {
	if len(iv) == 0 {
		return fmt.Errorf("the IV is empty: %w", ck.CKR_MECHANISM_PARAM_INVALID)
	}
	if how == ck.CKG_NO_GENERATE {
		return g.none()
	}
	if fixed > uint64(len(iv))*8 {
		return fmt.Errorf("more fixed bits than the IV has: %w", ck.CKR_MECHANISM_PARAM_INVALID)
	}
	if g.started && (how != g.how || len(iv) != g.len || fixed != g.fixed) {
		return fmt.Errorf("the way of making IVs cannot change: %w", ck.CKR_MECHANISM_PARAM_INVALID)
	}
	free := uint64(len(iv))*8 - fixed
	var err error
	switch how {
	case ck.CKG_GENERATE, ck.CKG_GENERATE_RANDOM:
		err = randomIV(iv, fixed, free)
	case ck.CKG_GENERATE_COUNTER:
		err = g.counter(iv, fixed, free)
	case ck.CKG_GENERATE_COUNTER_XOR:
		err = g.counterXOR(iv, free)
	default:
		err = fmt.Errorf("unknown IV generator: %w", ck.CKR_MECHANISM_PARAM_INVALID)
	}
	if err != nil {
		return err
	}
	g.started, g.how, g.len, g.fixed = true, how, len(iv), fixed
	g.count++
	return nil
}

func (g *ivGenerator) none() error {
	if g.started {
		return fmt.Errorf("the way of making IVs cannot change: %w", ck.CKR_MECHANISM_PARAM_INVALID)
	}
	return nil
}

// minRandomBits is how many bits an IV must leave for chance, unless it is
// shorter as a whole.
const minRandomBits = 64

func randomIV(iv []byte, fixed, free uint64) error {
	if fixed > 0 && free < minRandomBits {
		return fmt.Errorf("too few free bits for a random IV: %w", ck.CKR_MECHANISM_PARAM_INVALID)
	}
	r := make([]byte, len(iv))
	if err := Random(r); err != nil {
		return err
	}
	for i := range iv {
		m := freeMask(i, fixed)
		iv[i] = iv[i]&^m | r[i]&m
	}
	return nil
}

// freeMask has the bits of byte i set that lie behind the fixed ones.
func freeMask(i int, fixed uint64) byte {
	first := fixed - min(fixed, uint64(i)*8)
	if first >= 8 {
		return 0
	}
	return 0xff >> first
}

// counter puts the count into the free bits.
func (g *ivGenerator) counter(iv []byte, fixed, free uint64) error {
	if err := g.roomIn(free); err != nil {
		return err
	}
	for i := range iv {
		iv[i] &^= freeMask(i, fixed)
	}
	g.xorCount(iv)
	return nil
}

// counterXOR adds the count to the IV of the first message. The caller passes
// that again, or what it got back last.
func (g *ivGenerator) counterXOR(iv []byte, free uint64) error {
	if err := g.roomIn(free); err != nil {
		return err
	}
	switch {
	case !g.started:
		g.base = bytes.Clone(iv)
	case !bytes.Equal(iv, g.base) && !bytes.Equal(iv, g.last):
		return fmt.Errorf("the IV under the counter must not vary: %w", ck.CKR_MECHANISM_PARAM_INVALID)
	}
	copy(iv, g.base)
	g.xorCount(iv)
	g.last = bytes.Clone(iv)
	return nil
}

// roomIn refuses a count that has more than that many bits.
func (g *ivGenerator) roomIn(free uint64) error {
	if free < 64 && g.count >= 1<<free {
		return fmt.Errorf("the IV counter is exhausted: %w", ck.CKR_DATA_LEN_RANGE)
	}
	return nil
}

// xorCount adds the count to the end of iv, where there are bits enough.
func (g *ivGenerator) xorCount(iv []byte) {
	var c [8]byte
	binary.BigEndian.PutUint64(c[:], g.count)
	n := min(len(iv), 8)
	for i := range n {
		iv[len(iv)-1-i] ^= c[7-i]
	}
}

// gcmMessages is a message-based operation with GCM.
type gcmMessages struct {
	key     *gcmKey
	gen     ivGenerator
	decrypt bool
}

func (c *blockCipher) newGCMMessages(k *Key, decrypt bool) (MessageOp, error) {
	key, err := c.gcmKey(k)
	return &gcmMessages{key: key, decrypt: decrypt}, err
}

// Begin makes the IV (encryption) and starts a message.
func (m *gcmMessages) Begin(param any, aad []byte) (Op, error) {
	p, err := structParam[GCMMessageParams](param)
	if err != nil {
		return nil, err
	}
	if err := p.checkTag(); err != nil {
		return nil, err
	}
	if m.decrypt {
		if len(p.IV) == 0 {
			return nil, fmt.Errorf("the IV is empty: %w", ck.CKR_MECHANISM_PARAM_INVALID)
		}
		return &gcmMessageDecrypt{p: p, key: m.key, iv: bytes.Clone(p.IV), aad: bytes.Clone(aad)}, nil
	}
	if err := m.gen.next(p.IV, p.IVFixedBits, p.IVGenerator); err != nil {
		return nil, err
	}
	return &gcmMessageEncrypt{p: p, stream: newGCMStream(m.key, p.IV, aad)}, nil
}

// checkTag checks the length of the tag and that there is room for it.
func (p *GCMMessageParams) checkTag() error {
	n, err := gcmTagLen(p.TagBits)
	if err == nil && len(p.Tag) < n {
		err = fmt.Errorf("no room for the tag: %w", ck.CKR_MECHANISM_PARAM_INVALID)
	}
	return err
}

// setParam takes the parameter of a later call.
func (p *GCMMessageParams) setParam(param any) (*GCMMessageParams, error) {
	q, err := structParam[GCMMessageParams](param)
	if err != nil {
		return p, err
	}
	if q.TagBits != p.TagBits {
		return p, fmt.Errorf("the tag length cannot change: %w", ck.CKR_MECHANISM_PARAM_INVALID)
	}
	return q, q.checkTag()
}

// gcmMessageEncrypt is one message; the tag goes to the parameter.
type gcmMessageEncrypt struct {
	p      *GCMMessageParams
	stream *gcmStream
}

// Param implements MessageStep.
func (o *gcmMessageEncrypt) Param(p any) (err error) {
	o.p, err = o.p.setParam(p)
	return err
}

func (o *gcmMessageEncrypt) UpdateLen(n int) int { return n }

func (o *gcmMessageEncrypt) Update(dst, src []byte) (int, error) {
	return len(src), o.stream.encrypt(dst, src)
}

func (o *gcmMessageEncrypt) FinishLen(n int) (int, bool) { return n, true }

func (o *gcmMessageEncrypt) Finish(dst, src []byte) (int, error) {
	n, err := o.Update(dst, src)
	if err != nil {
		return 0, err
	}
	var tag [16]byte
	o.stream.tag(&tag)
	copy(o.p.Tag[:o.p.TagBits/8], tag[:])
	return n, nil
}

// gcmMessageDecrypt is one message, kept back until its tag is checked.
type gcmMessageDecrypt struct {
	p       *GCMMessageParams
	key     *gcmKey
	iv, aad []byte
	buf     []byte
}

// Param implements MessageStep.
func (o *gcmMessageDecrypt) Param(p any) (err error) {
	o.p, err = o.p.setParam(p)
	return err
}

func (o *gcmMessageDecrypt) UpdateLen(int) int { return 0 }

func (o *gcmMessageDecrypt) Update(_, src []byte) (int, error) {
	o.buf = append(o.buf, src...)
	return 0, nil
}

func (o *gcmMessageDecrypt) FinishLen(n int) (int, bool) { return len(o.buf) + n, true }

func (o *gcmMessageDecrypt) Finish(dst, src []byte) (int, error) {
	if len(o.buf) > 0 {
		src = append(o.buf, src...)
	}
	if uint64(len(src)) > gcmMaxLen {
		return 0, ck.CKR_ENCRYPTED_DATA_LEN_RANGE
	}
	if !o.key.openApart(dst, o.iv, src, o.p.Tag[:o.p.TagBits/8], o.aad) {
		return 0, ck.CKR_AEAD_DECRYPT_FAILED
	}
	return len(src), nil
}

// ccmMessages is a message-based operation with CCM.
type ccmMessages struct {
	cipher  *blockCipher
	block   cipher.Block
	gen     ivGenerator
	decrypt bool
}

func (c *blockCipher) newCCMMessages(k *Key, decrypt bool) (MessageOp, error) {
	block, _, err := c.block(k, nil)
	return &ccmMessages{cipher: c, block: block, decrypt: decrypt}, err
}

// Begin makes the nonce (encryption) and starts a message.
func (m *ccmMessages) Begin(param any, aad []byte) (Op, error) {
	p, err := structParam[CCMMessageParams](param)
	if err != nil {
		return nil, err
	}
	c, err := m.cipher.newCCMState(m.block, p.Nonce, bytes.Clone(aad), uint64(len(p.MAC)))
	if err != nil {
		return nil, err
	}
	if !c.fits(p.DataLen) {
		return nil, fmt.Errorf("ulDataLen is too large for the nonce: %w", ck.CKR_MECHANISM_PARAM_INVALID)
	}
	if !m.decrypt {
		if err := m.gen.next(p.Nonce, p.NonceFixedBits, p.NonceGenerator); err != nil {
			return nil, err
		}
	}
	c.nonce = bytes.Clone(p.Nonce)
	return &ccmMessage{ccm: c, p: p, dataLen: p.DataLen, decrypt: m.decrypt}, nil
}

// ccmMessage is one message; the code is in the parameter.
type ccmMessage struct {
	ccm
	p       *CCMMessageParams
	dataLen uint64
	decrypt bool
	buf     []byte
}

// Param implements MessageStep.
func (o *ccmMessage) Param(param any) error {
	q, err := structParam[CCMMessageParams](param)
	if err != nil {
		return err
	}
	if len(q.MAC) != o.macLen {
		return fmt.Errorf("the length of the code cannot change: %w", ck.CKR_MECHANISM_PARAM_INVALID)
	}
	o.p = q
	return nil
}

func (o *ccmMessage) UpdateLen(int) int { return 0 }

func (o *ccmMessage) Update(_, src []byte) (int, error) {
	if uint64(len(o.buf)+len(src)) > o.dataLen {
		return 0, o.lengthError()
	}
	o.buf = append(o.buf, src...)
	return 0, nil
}

func (o *ccmMessage) FinishLen(n int) (int, bool) { return len(o.buf) + n, true }

func (o *ccmMessage) Finish(dst, src []byte) (int, error) {
	if len(o.buf) > 0 {
		src = append(o.buf, src...)
		defer clear(src)
	}
	if uint64(len(src)) != o.dataLen {
		return 0, o.lengthError()
	}
	if o.decrypt {
		if !o.open(dst, src, o.p.MAC) {
			return 0, ck.CKR_AEAD_DECRYPT_FAILED
		}
		return len(src), nil
	}
	copy(o.p.MAC, o.seal(dst, src))
	return len(src), nil
}

func (o *ccmMessage) lengthError() error {
	rv := ck.CKR_DATA_LEN_RANGE
	if o.decrypt {
		rv = ck.CKR_ENCRYPTED_DATA_LEN_RANGE
	}
	return fmt.Errorf("the message has not the length that ulDataLen gives: %w", rv)
}

// Wrapping with an IV that is made here (PKCS#11 v3.2): the IV as in messages,
// the tag behind the ciphertext, as the parameters have no place for it.

// GCMWrapParams is CK_GCM_WRAP_PARAMS.
type GCMWrapParams struct {
	IV          []byte `c:"ptr,len,inout"`
	IVFixedBits uint64
	IVGenerator ck.GeneratorFunction
	AAD         []byte `c:"ptr,len"`
	TagBits     uint64
}

// CCMWrapParams is CK_CCM_WRAP_PARAMS.
type CCMWrapParams struct {
	DataLen        uint64
	Nonce          []byte `c:"ptr,len,inout"`
	NonceFixedBits uint64
	NonceGenerator ck.GeneratorFunction
	AAD            []byte `c:"ptr,len"`
	MACLen         uint64
}

// wrapParam is a parameter that becomes one for an ordinary operation; nil if it
// is nil itself.
type wrapParam interface {
	iv() (iv []byte, fixed uint64, how ck.GeneratorFunction)
	ordinary() any
}

func (p *GCMWrapParams) iv() ([]byte, uint64, ck.GeneratorFunction) {
	return p.IV, p.IVFixedBits, p.IVGenerator
}

// ordinary keeps an empty IV from being one to make.
func (p *GCMWrapParams) ordinary() any {
	if p == nil {
		return nil
	}
	return &GCMParams{IV: append([]byte{}, p.IV...), AAD: p.AAD, TagBits: p.TagBits}
}

func (p *CCMWrapParams) iv() ([]byte, uint64, ck.GeneratorFunction) {
	return p.Nonce, p.NonceFixedBits, p.NonceGenerator
}

func (p *CCMWrapParams) ordinary() any {
	if p == nil {
		return nil
	}
	return &CCMParams{DataLen: p.DataLen, Nonce: bytes.Clone(p.Nonce), AAD: p.AAD, MACLen: p.MACLen}
}

// wrapsWith adds the parameter proto to those that a row wraps with. A counter
// would begin anew with each key and repeat an IV, so there is none.
func wrapsWith(m *Mechanism, proto wrapParam) {
	m.WrapParam = proto
	wrap, unwrap := m.Wrap, m.Unwrap
	m.Wrap = func(k *Key, p any) (Op, error) {
		w, ok := p.(wrapParam)
		if !ok || w.ordinary() == nil {
			return wrap(k, p)
		}
		iv, fixed, how := w.iv()
		if how == ck.CKG_GENERATE_COUNTER || how == ck.CKG_GENERATE_COUNTER_XOR {
			return nil, fmt.Errorf("wrapping counts no IVs: %w", ck.CKR_MECHANISM_PARAM_INVALID)
		}
		if err := new(ivGenerator).next(iv, fixed, how); err != nil {
			return nil, err
		}
		return wrap(k, w.ordinary())
	}
	m.Unwrap = func(k *Key, p any) (Op, error) {
		if w, ok := p.(wrapParam); ok {
			p = w.ordinary()
		}
		return unwrap(k, p)
	}
}
