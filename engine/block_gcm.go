package engine

import (
	"bytes"
	"crypto/cipher"
	"crypto/subtle"
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"sync"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/engine/internal/ct"
	"github.com/perilune/perilune/engine/internal/ghash"
	"github.com/perilune/perilune/engine/internal/vaes"
)

// GCM and GMAC (PKCS#11 v3.1 section 6.13.2, 6.13.4; NIST SP 800-38D).
//
// A message of AES that comes in one part goes through the standard library, which is
// faster with short ones, or through package vaes, where the processor has what that
// needs. For other ciphers, for ciphertext that must leave piece by piece, and for what
// the standard library lacks, tags shorter than 96 bits and tags kept apart from the
// ciphertext, there is gcmStream.

// gcm is GCM, with the message-based functions.
func (c *blockCipher) gcm(t ck.MechanismType, answers ...known) *Mechanism {
	m := wrappingToo(c.enciphering(t, c.newGCMEncrypt, c.newGCMDecrypt, answers))
	m.Param, m.MessageParam = (*GCMParams)(nil), (*GCMMessageParams)(nil)
	m.MessageEncrypt = func(k *Key, _ any) (MessageOp, error) { return c.newGCMMessages(k, false) }
	m.MessageDecrypt = func(k *Key, _ any) (MessageOp, error) { return c.newGCMMessages(k, true) }
	wrapsWith(m, (*GCMWrapParams)(nil))
	return m
}

// gmac is GMAC.
func (c *blockCipher) gmac(t ck.MechanismType, answers ...known) *Mechanism {
	m := c.mechanism(t, answers)
	m.Param, m.OneMessage = (*GMACParams)(nil), true
	m.Sign = func(k *Key, p any) (Op, error) { return newSign(c.newGMAC(k, p)) }
	m.Verify = c.newGMACVerify
	return m
}

// GCMParams is CK_GCM_PARAMS (PKCS#11 v3.1 section 6.13.5). IVBits repeats the
// length of the IV, or is 0, or anything: the standard says to go by ulIvLen.
//
// With no IV (a null pointer) one is made, and put behind what comes out.
type GCMParams struct {
	IV      []byte `c:"ptr,len"`
	IVBits  uint64
	AAD     []byte `c:"ptr,len"`
	TagBits uint64
}

// CallersIV reports whether the caller chose the IV.
func (p *GCMParams) CallersIV() bool { return p.IV != nil }

// gcmMaxLen is the longest message (NIST SP 800-38D, section 5.2.1.1).
const gcmMaxLen = 1<<36 - 32

// gcmKey is a key made ready for GCM.
type gcmKey struct {
	block cipher.Block
	aead  cipher.AEAD     // for IVs of 96 bits and tags of 128, or nil
	more  func() *gcmMore // made when it is first asked for
}

// gcmMore is what short messages in one part do without.
type gcmMore struct {
	vectors *vaes.Key // or nil
	hash    *ghash.Key
}

func (c *blockCipher) gcmKey(k *Key) (*gcmKey, error) {
	if !slices.Contains(c.keys, k.Type) {
		return nil, ck.CKR_KEY_TYPE_INCONSISTENT
	}
	return Parsed(k, func(k *Key) (*gcmKey, error) {
		block, err := c.keyed(k)
		if err != nil {
			return nil, err
		}
		var aead cipher.AEAD
		if c.isAES {
			if aead, err = cipher.NewGCM(block); err != nil {
				return nil, ck.CKR_MECHANISM_INVALID
			}
		}
		return &gcmKey{block, aead, sync.OnceValue(func() *gcmMore {
			if v := c.vectors(k); v != nil {
				return &gcmMore{v, ghash.NewVectorKey(v)}
			}
			return &gcmMore{nil, ghash.NewKey(block, aead)}
		})}, nil
	})
}

// vectorsFor returns package vaes's GCM if it is of use for these lengths, or nil.
func (k *gcmKey) vectorsFor(ivLen, tagLen, n int) *vaes.Key {
	if n < vectorsFrom && ivLen == 12 && tagLen == 16 {
		return nil
	}
	return k.more().vectors
}

// vectorsFrom is the length of messages from which on package vaes is faster than
// what the standard library keeps with the key.
const vectorsFrom = 512

// aeadFor returns the standard library's GCM for these lengths, or nil.
func (k *gcmKey) aeadFor(ivLen, tagLen int) cipher.AEAD {
	if k.aead == nil {
		return nil
	}
	var aead cipher.AEAD
	var err error
	switch {
	case ivLen == 12 && tagLen == 16:
		return k.aead
	case ivLen == 12 && tagLen >= 12:
		aead, err = cipher.NewGCMWithTagSize(k.block, tagLen)
	case tagLen == 16:
		aead, err = cipher.NewGCMWithNonceSize(k.block, ivLen)
	}
	if err != nil {
		return nil
	}
	return aead
}

// gcmTagLen is the length in bytes of a tag of that many bits.
func gcmTagLen(bits uint64) (int, error) {
	switch bits {
	case 32, 64, 96, 104, 112, 120, 128:
		return int(bits / 8), nil
	}
	return 0, fmt.Errorf("a tag has 32, 64, 96, 104, 112, 120 or 128 bits: %w", ck.CKR_MECHANISM_PARAM_INVALID)
}

// gcmOp is what encryption and decryption share.
type gcmOp struct {
	key     *gcmKey
	iv, aad []byte
	tagLen  int
	ownIV   int // length of the IV that comes behind the tag, or 0
	made    [madeIV]byte
}

// madeIV is the length of the IVs that are made here, as HSMs of old do it.
const madeIV = 16

// begin sets o up for a key and a parameter.
func (o *gcmOp) begin(c *blockCipher, k *Key, param any) error {
	p, err := structParam[GCMParams](param)
	if err != nil {
		return err
	}
	if p.IV == nil {
		o.ownIV = madeIV
	} else if len(p.IV) == 0 {
		return fmt.Errorf("the IV is empty: %w", ck.CKR_MECHANISM_PARAM_INVALID)
	}
	o.iv, o.aad = p.IV, p.AAD
	if o.tagLen, err = gcmTagLen(p.TagBits); err != nil {
		return err
	}
	o.key, err = c.gcmKey(k)
	return err
}

// makeIV makes the IV if that is wanted.
func (o *gcmOp) makeIV() error {
	if o.ownIV == 0 {
		return nil
	}
	o.iv = o.made[:]
	return Random(o.iv)
}

// gcmEncrypt puts the tag behind the ciphertext.
type gcmEncrypt struct {
	gcmOp
	stream *gcmStream // once a part came
}

var gcmEncrypts recycler[gcmEncrypt]

func (c *blockCipher) newGCMEncrypt(k *Key, p any) (Op, error) {
	o := gcmEncrypts.get()
	err := o.begin(c, k, p)
	if err == nil {
		err = o.makeIV()
	}
	if err != nil {
		o.Release()
		return nil, err
	}
	return o, nil
}

// Release implements Releaser.
func (o *gcmEncrypt) Release() {
	*o = gcmEncrypt{}
	gcmEncrypts.put(o)
}

func (o *gcmEncrypt) UpdateLen(n int) int { return n }

func (o *gcmEncrypt) Update(dst, src []byte) (int, error) {
	if o.stream == nil {
		o.stream = newGCMStream(o.key, o.iv, o.aad)
	}
	return len(src), o.stream.encrypt(dst, src)
}

func (o *gcmEncrypt) FinishLen(n int) (int, bool) { return n + o.tagLen + o.ownIV, true }

func (o *gcmEncrypt) Finish(dst, src []byte) (int, error) {
	n := len(src) + o.tagLen
	if err := o.seal(dst[:n], src); err != nil {
		return 0, err
	}
	return n + copy(dst[n:n+o.ownIV], o.iv), nil
}

// seal encrypts the last bytes, and puts the tag behind them.
func (o *gcmEncrypt) seal(dst, src []byte) error {
	if o.stream == nil && uint64(len(src)) <= gcmMaxLen {
		if v := o.key.vectorsFor(len(o.iv), o.tagLen, len(src)+len(o.aad)); v != nil {
			v.Seal(dst, o.iv, src, o.aad)
			return nil
		}
		if aead := o.key.aeadFor(len(o.iv), o.tagLen); aead != nil {
			aead.Seal(dst[:0], o.iv, src, o.aad)
			return nil
		}
	}
	if _, err := o.Update(dst, src); err != nil {
		return err
	}
	var tag [16]byte
	o.stream.tag(&tag)
	copy(dst[len(src):], tag[:])
	return nil
}

// gcmDecrypt keeps everything back until the tag is checked.
type gcmDecrypt struct {
	gcmOp
	buf []byte
}

var gcmDecrypts recycler[gcmDecrypt]

func (c *blockCipher) newGCMDecrypt(k *Key, p any) (Op, error) {
	o := gcmDecrypts.get()
	if err := o.begin(c, k, p); err != nil {
		o.Release()
		return nil, err
	}
	return o, nil
}

// Release implements Releaser.
func (o *gcmDecrypt) Release() {
	*o = gcmDecrypt{}
	gcmDecrypts.put(o)
}

func (o *gcmDecrypt) UpdateLen(int) int { return 0 }

func (o *gcmDecrypt) Update(_, src []byte) (int, error) {
	o.buf = append(o.buf, src...)
	return 0, nil
}

func (o *gcmDecrypt) FinishLen(n int) (int, bool) {
	return max(0, len(o.buf)+n-o.tagLen-o.ownIV), true
}

func (o *gcmDecrypt) Finish(dst, src []byte) (int, error) {
	if len(o.buf) > 0 {
		src = append(o.buf, src...)
	}
	n := len(src) - o.tagLen - o.ownIV
	if n < 0 || uint64(n) > gcmMaxLen {
		return 0, ck.CKR_ENCRYPTED_DATA_LEN_RANGE
	}
	if o.ownIV > 0 {
		src, o.iv = src[:n+o.tagLen], bytes.Clone(src[n+o.tagLen:])
	}
	if !o.key.open(dst[:n], o.iv, src, o.aad) {
		return 0, ck.CKR_ENCRYPTED_DATA_INVALID
	}
	return n, nil
}

// open decrypts a whole message, with the tag behind it, to dst, if the tag is right.
func (k *gcmKey) open(dst, iv, src, aad []byte) bool {
	n := len(dst)
	if v := k.vectorsFor(len(iv), len(src)-n, len(src)+len(aad)); v != nil {
		return v.Open(dst, iv, src[:n], src[n:], aad)
	}
	if aead := k.aeadFor(len(iv), len(src)-n); aead != nil {
		_, err := aead.Open(dst[:0:n], iv, src, aad)
		return err == nil
	}
	return k.openApart(dst, iv, src[:n], src[n:], aad)
}

// openApart does so with the tag in another place.
func (k *gcmKey) openApart(dst, iv, src, tag, aad []byte) bool {
	if v := k.more().vectors; v != nil {
		return v.Open(dst, iv, src, tag, aad)
	}
	return newGCMStream(k, iv, aad).open(dst, src, tag)
}

// gcmStream is GCM in parts.
type gcmStream struct {
	ctr  gctr
	hash ghash.Hash
	aad  uint64   // bytes of associated data
	n    uint64   // bytes of ciphertext so far
	mask [16]byte // for the tag
}

func newGCMStream(k *gcmKey, iv, aad []byte) *gcmStream {
	s := &gcmStream{hash: ghash.New(k.more().hash), aad: uint64(len(aad))}
	j0 := gcmJ0(k.more().hash, iv)
	k.block.Encrypt(s.mask[:], j0[:])
	binary.BigEndian.PutUint32(j0[12:], binary.BigEndian.Uint32(j0[12:])+1)
	s.ctr = k.gctr(j0)
	s.hash.Write(aad)
	s.hash.Pad()
	return s
}

// gcmJ0 makes the first counter block of the IV.
func gcmJ0(k *ghash.Key, iv []byte) (j0 [16]byte) {
	if len(iv) == 12 {
		copy(j0[:], iv)
		j0[15] = 1
		return j0
	}
	h := ghash.New(k)
	h.Write(iv)
	h.Pad()
	h.Lengths(0, uint64(len(iv)))
	h.Sum(&j0)
	return j0
}

// encrypt writes the ciphertext of src to dst.
func (s *gcmStream) encrypt(dst, src []byte) error {
	if uint64(len(src)) > gcmMaxLen-s.n {
		return fmt.Errorf("the message is too long for GCM: %w", ck.CKR_DATA_LEN_RANGE)
	}
	s.n += uint64(len(src))
	s.ctr.xor(dst, src)
	s.hash.Write(dst[:len(src)])
	return nil
}

// open decrypts the whole message src to dst if its tag is right.
func (s *gcmStream) open(dst, src, tag []byte) bool {
	s.n = uint64(len(src))
	s.hash.Write(src)
	var want [16]byte
	s.tag(&want)
	if ct.Reveal(ct.Equal(want[:len(tag)], tag)) != 1 {
		return false
	}
	s.ctr.xor(dst, src)
	return true
}

// tag writes the tag of the whole message to out.
func (s *gcmStream) tag(out *[16]byte) {
	s.hash.Pad()
	s.hash.Lengths(s.aad, s.n)
	s.hash.Sum(out)
	subtle.XORBytes(out[:], out[:], s.mask[:])
}

// gctr is counter mode with a counter in the last 32 bits of the block.
type gctr struct {
	block  cipher.Block
	next   [16]byte // where the next stream begins
	stream cipher.Stream
	left   uint64 // bytes of stream until the counter comes round to 0
}

// gctr begins a stream with that counter.
func (k *gcmKey) gctr(next [16]byte) gctr {
	if v := k.more().vectors; v != nil { // its streams wrap as GCM wants
		return gctr{stream: v.NewStream(&next), left: math.MaxUint64}
	}
	return gctr{block: k.block, next: next}
}

func (c *gctr) xor(dst, src []byte) {
	for len(src) > 0 {
		if c.left == 0 {
			c.stream = cipher.NewCTR(c.block, c.next[:])
			c.left = (1<<32 - uint64(binary.BigEndian.Uint32(c.next[12:]))) * 16
			clear(c.next[12:])
		}
		n := len(src)
		if uint64(n) > c.left {
			n = int(c.left)
		}
		c.stream.XORKeyStream(dst[:n], src[:n])
		c.left -= uint64(n)
		dst, src = dst[n:], src[n:]
	}
}

// gmac is the tag of a message that is all associated data.
type gmac struct {
	gcmOp
	hash      ghash.Hash
	n         uint64
	tag, mask [16]byte
}

var gmacs recycler[gmac]

// Release implements Releaser.
func (g *gmac) Release() {
	*g = gmac{}
	gmacs.put(g)
}

// GMACParams is CK_GCM_PARAMS, or the IV alone, with which the tag has 128 bits.
type GMACParams struct{ GCMParams }

// FromBytes takes the IV alone, which must be there.
func (p *GMACParams) FromBytes(iv []byte) error {
	p.GCMParams = GCMParams{IV: append([]byte{}, iv...), TagBits: 128}
	return nil
}

func (c *blockCipher) newGMAC(k *Key, param any) (mac, error) {
	p, err := structParam[GMACParams](param)
	if err != nil {
		return nil, err
	}
	if len(p.AAD) > 0 {
		return nil, fmt.Errorf("GMAC takes its data from the message: %w", ck.CKR_MECHANISM_PARAM_INVALID)
	}
	g := gmacs.get()
	if err := g.begin(c, k, &p.GCMParams); err != nil {
		return nil, err
	}
	if err := g.makeIV(); err != nil {
		return nil, err
	}
	g.hash = ghash.New(g.key.more().hash)
	return g, nil
}

// newGMACVerify starts a verification.
func (c *blockCipher) newGMACVerify(k *Key, p any) (Verifier, error) {
	m, err := c.newGMAC(k, p)
	if err != nil {
		return nil, err
	}
	if g := m.(*gmac); g.ownIV > 0 {
		return &gmacOwnIV{verifyMAC{mac: g}, g}, nil
	}
	return newVerify(m, nil)
}

// gmacOwnIV is a verification with the IV behind the tag.
type gmacOwnIV struct {
	verifyMAC
	g *gmac
}

// Release does nothing: verifyMAC is not in memory of its own.
func (v *gmacOwnIV) Release() {}

func (v *gmacOwnIV) Verify(src, sig []byte) error {
	if len(sig) != v.g.size() {
		return ck.CKR_SIGNATURE_LEN_RANGE
	}
	v.g.iv = sig[v.g.tagLen:]
	return v.verifyMAC.Verify(src, sig)
}

func (g *gmac) write(src []byte) error {
	if uint64(len(src)) > math.MaxInt64/8-g.n {
		return ck.CKR_DATA_LEN_RANGE
	}
	g.n += uint64(len(src))
	g.hash.Write(src)
	return nil
}

func (g *gmac) size() int { return g.tagLen + g.ownIV }

func (g *gmac) sum(dst []byte) []byte {
	g.mask = gcmJ0(g.key.more().hash, g.iv)
	g.key.block.Encrypt(g.mask[:], g.mask[:])
	g.hash.Pad()
	g.hash.Lengths(g.n, 0)
	g.hash.Sum(&g.tag)
	subtle.XORBytes(g.tag[:], g.tag[:], g.mask[:])
	dst = append(dst, g.tag[:g.tagLen]...)
	if g.ownIV > 0 {
		dst = append(dst, g.iv...)
	}
	return dst
}
