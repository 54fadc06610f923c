package engine

import (
	"bytes"
	"crypto/cipher"
	"fmt"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/engine/internal/ct"
)

// ECB and CBC, plain and with padding (NIST SP 800-38A), and the derivations of
// PKCS#11 v3.1 section 6.27 that use them.

// ecb is the electronic codebook: whole blocks. Wrapped keys are filled up with
// zeros.
func (c *blockCipher) ecb(t ck.MechanismType, answers ...known) *Mechanism {
	m := c.enciphering(t, c.blockMode(blockOp{}), c.blockMode(blockOp{decrypt: true}), answers)
	m.Wrap, m.Unwrap = wrapping(c.blockMode(blockOp{pad: zeros})), unwrapping(m.Decrypt)
	m.Wrapped = Wrapped{Zeros: c.size - 1, SecretOnly: true}
	return m
}

// cbc is cipher block chaining over whole blocks. Wrapped keys are filled up
// with zeros.
func (c *blockCipher) cbc(t ck.MechanismType, answers ...known) *Mechanism {
	m := c.enciphering(t, c.blockMode(blockOp{chained: true}), c.blockMode(blockOp{chained: true, decrypt: true}), answers)
	m.Param = []byte(nil)
	m.Wrap, m.Unwrap = wrapping(c.blockMode(blockOp{chained: true, pad: zeros})), unwrapping(m.Decrypt)
	m.Wrapped = Wrapped{Zeros: c.size - 1, SecretOnly: true}
	return m
}

// cbcPad is CBC with the padding of PKCS #7.
func (c *blockCipher) cbcPad(t ck.MechanismType, answers ...known) *Mechanism {
	return c.cbcPadded(t, pkcs7, answers)
}

// cbcPadIPsec is CBC with the padding bytes of IPsec (see the constant ipsec).
func (c *blockCipher) cbcPadIPsec(t ck.MechanismType, answers ...known) *Mechanism {
	return c.cbcPadded(t, ipsec, answers)
}

func (c *blockCipher) cbcPadded(t ck.MechanismType, pad padding, answers []known) *Mechanism {
	m := wrappingToo(c.enciphering(t, c.blockMode(blockOp{chained: true, pad: pad}),
		c.blockMode(blockOp{chained: true, pad: pad, decrypt: true}), answers))
	m.Param, m.CBCPad = []byte(nil), true
	return m
}

// padding is how a block mode treats the end of the message.
type padding int

const (
	unpadded padding = iota // the message must end with a whole block
	pkcs7                   // RFC 5652, section 6.3
	zeros                   // filled up with zeros; for wrapping
	// ipsec is the bytes 1, 2, 3 and so on to the end of the block, at least
	// one of them. That is the default padding of ESP (RFC 4303, section 2.4)
	// without the two bytes that follow it there, its length and the number of
	// the next protocol, which the HSM cannot know. The last byte tells the
	// length. The makers of devices that have the mechanism say no more of it
	// than its name.
	ipsec
)

// removable tells that the padding is found and taken off on decryption.
func (p padding) removable() bool { return p == pkcs7 || p == ipsec }

// fill puts the padding into b from n on.
func (p padding) fill(b []byte, n int) {
	for i := n; i < len(b); i++ {
		switch p {
		case pkcs7:
			b[i] = byte(len(b) - n)
		case ipsec:
			b[i] = byte(i - n + 1)
		default:
			b[i] = 0
		}
	}
}

// length is the length of the data in the last block, and ok = 1, or 0 for a
// wrong padding, in constant time.
func (p padding) length(b []byte) (n, ok int) {
	if p == ipsec {
		return ct.IPsecLen(b)
	}
	return ct.PKCS7Len(b)
}

// blockOp encrypts or decrypts with a mode that takes whole blocks.
type blockOp struct {
	block   cipher.Block
	size    int
	chained bool // CBC rather than ECB
	pad     padding
	decrypt bool

	mode  cipher.BlockMode
	ecb   ecb
	cbc   *cbcMode        // what mode is, if it comes from
	shelf *shelf[cbcMode] // and goes back to the key
	held  [16]byte        // the message from the last block boundary on, or its last block
	n     int             // bytes in held
	last  [16]byte        // the last block decrypted, while its padding is looked at
	chain [16]byte        // the last block of ciphertext, for Save
	buf   []byte          // for parts that do not begin with a block
}

// blockMode makes the function that starts operations like o.
func (c *blockCipher) blockMode(o blockOp) begin {
	return func(k *Key, p any) (Op, error) {
		block, p, err := c.block(k, p)
		if err != nil {
			return nil, err
		}
		op := blockOps.get()
		buf := op.buf
		*op = o
		op.block, op.size, op.buf = block, block.BlockSize(), buf
		if err := op.param(p); err != nil {
			op.Release()
			return nil, err
		}
		if o.chained && c.open == nil {
			if op.shelf, err = cbcShelf(k, o.decrypt); err != nil {
				return nil, err
			}
		}
		op.start()
		return op, nil
	}
}

var blockOps recycler[blockOp]

// Release implements Releaser. buf holds nothing between the parts.
func (o *blockOp) Release() {
	if o.cbc != nil {
		o.shelf.put(o.cbc)
	}
	*o = blockOp{buf: o.buf}
	blockOps.put(o)
}

// cbcMode is a CBC that can begin again with another IV.
type cbcMode struct {
	cipher.BlockMode
	again interface{ SetIV(iv []byte) }
}

// cbcModes are those of a key: each has a copy of what the key became.
type cbcModes struct{ encrypt, decrypt shelf[cbcMode] }

func cbcShelf(k *Key, decrypt bool) (*shelf[cbcMode], error) {
	modes, err := Parsed(k, func(*Key) (*cbcModes, error) { return new(cbcModes), nil })
	switch {
	case err != nil:
		return nil, err
	case decrypt:
		return &modes.decrypt, nil
	}
	return &modes.encrypt, nil
}

func (o *blockOp) param(p any) error {
	if !o.chained {
		return noParam(p)
	}
	iv, err := ivParam(p, o.size)
	copy(o.chain[:], iv)
	return err
}

// start begins with the block in chain as IV.
func (o *blockOp) start() {
	if !o.chained {
		o.ecb = ecb{o.block, o.decrypt}
		o.mode = &o.ecb
		return
	}
	iv := o.chain[:o.size]
	if o.cbc == nil && o.shelf != nil {
		o.cbc = o.shelf.take()
	}
	if o.cbc != nil {
		o.cbc.again.SetIV(iv)
		o.mode = o.cbc.BlockMode
		return
	}
	if o.decrypt {
		o.mode = cipher.NewCBCDecrypter(o.block, iv)
	} else {
		o.mode = cipher.NewCBCEncrypter(o.block, iv)
	}
	if again, ok := o.mode.(interface{ SetIV(iv []byte) }); ok && o.shelf != nil {
		o.cbc = &cbcMode{o.mode, again}
	}
}

// ecb is the electronic codebook.
type ecb struct {
	block   cipher.Block
	decrypt bool
}

func (e *ecb) BlockSize() int { return e.block.BlockSize() }

func (e *ecb) CryptBlocks(dst, src []byte) {
	if bulk, ok := e.block.(bulkCipher); ok {
		if e.decrypt {
			bulk.DecryptBlocks(dst, src)
		} else {
			bulk.EncryptBlocks(dst, src)
		}
		return
	}
	crypt, size := e.block.Encrypt, e.block.BlockSize()
	if e.decrypt {
		crypt = e.block.Decrypt
	}
	for i := 0; i < len(src); i += size {
		crypt(dst[i:i+size], src[i:i+size])
	}
}

// holdsLast tells that the last whole block must wait, as it may be padding.
func (o *blockOp) holdsLast() bool { return o.decrypt && o.pad.removable() }

// whole rounds down to whole blocks.
func (o *blockOp) whole(n int) int { return n &^ (o.size - 1) }

// UpdateLen counts the blocks that n more bytes complete.
func (o *blockOp) UpdateLen(n int) int {
	total := o.n + n
	if o.holdsLast() {
		total--
	}
	return o.whole(max(total, 0))
}

func (o *blockOp) Update(dst, src []byte) (int, error) {
	n := o.UpdateLen(len(src))
	o.crypt(dst[:n], src)
	return n, nil
}

// crypt fills dst, a number of blocks that held and src are enough for, and
// holds the rest of src. dst may start where src does.
func (o *blockOp) crypt(dst, src []byte) {
	if o.n > 0 {
		o.cryptHeld(dst, src)
		return
	}
	o.n = copy(o.held[:], src[len(dst):])
	o.blocks(dst, src[:len(dst)])
}

// cryptHeld is crypt when there are held bytes to begin with. The bytes that a
// write to dst covers are read from src before it.
func (o *blockOp) cryptHeld(dst, src []byte) {
	if o.buf == nil {
		o.buf = make([]byte, 512)
	}
	buf := o.buf
	for len(dst) > 0 && len(src) >= o.size {
		n := min(len(dst), o.whole(len(src)), len(buf))
		copy(buf, o.held[:o.n])
		copy(buf[o.n:n], src)
		copy(o.held[:o.n], src[n-o.n:n])
		o.blocks(dst[:n], buf[:n])
		dst, src = dst[n:], src[n:]
	}
	if len(dst) > 0 {
		used := o.size - o.n
		copy(buf, o.held[:o.n])
		copy(buf[o.n:o.size], src)
		o.n = copy(o.held[:], src[used:])
		o.blocks(dst, buf[:o.size])
	} else {
		o.n += copy(o.held[o.n:], src)
	}
	clear(buf)
}

// blocks crypts whole blocks and notes the last block of ciphertext.
func (o *blockOp) blocks(dst, src []byte) {
	n := len(src)
	if n == 0 {
		return
	}
	if o.decrypt {
		copy(o.chain[:], src[n-o.size:])
	}
	o.mode.CryptBlocks(dst, src)
	if !o.decrypt {
		copy(o.chain[:], dst[n-o.size:n])
	}
}

// FinishLen is exact but for a padded decryption.
func (o *blockOp) FinishLen(n int) (int, bool) {
	total := o.n + n
	switch {
	case o.holdsLast():
		return total, false
	case o.pad.removable():
		return o.whole(total) + o.size, true
	case o.pad == zeros:
		return o.whole(total + o.size - 1), true
	}
	return o.whole(total), true
}

func (o *blockOp) Finish(dst, src []byte) (int, error) {
	total := o.n + len(src)
	if o.holdsLast() {
		return o.finishPadded(dst, src)
	}
	n := o.whole(total)
	if n != total && o.pad == unpadded {
		return 0, o.lengthError()
	}
	o.crypt(dst[:n], src)
	if o.pad.removable() || o.pad == zeros && o.n > 0 {
		o.pad.fill(o.held[:o.size], o.n)
		o.blocks(dst[n:n+o.size], o.held[:o.size])
		n += o.size
	}
	clear(o.held[:])
	return n, nil
}

// finishPadded decrypts the rest and takes the padding off, in the same time
// and with the same error whatever is wrong with it.
func (o *blockOp) finishPadded(dst, src []byte) (int, error) {
	total := o.n + len(src)
	if total == 0 || o.whole(total) != total {
		return 0, o.lengthError()
	}
	rest := total - o.size
	o.crypt(dst[:rest], src)
	last := o.last[:o.size]
	defer clear(last)
	o.blocks(last, o.held[:o.size])
	n, ok := o.pad.length(last)
	if ct.Reveal(ok) != 1 {
		clear(dst[:rest])
		return 0, ck.CKR_ENCRYPTED_DATA_INVALID
	}
	n = ct.Reveal(n)
	copy(dst[rest:], last[:n])
	return rest + n, nil
}

func (o *blockOp) lengthError() error {
	if o.decrypt {
		return ck.CKR_ENCRYPTED_DATA_LEN_RANGE
	}
	return ck.CKR_DATA_LEN_RANGE
}

// Save returns the chaining block and the bytes held.
func (o *blockOp) Save() ([]byte, error) {
	return append(bytes.Clone(o.chain[:]), o.held[:o.n]...), nil
}

// Load takes what Save returned.
func (o *blockOp) Load(state []byte) error {
	n := len(state) - len(o.chain)
	if n < 0 || n > o.size || n == o.size && !o.holdsLast() {
		return ck.CKR_SAVED_STATE_INVALID
	}
	copy(o.chain[:], state)
	o.n = copy(o.held[:], state[len(o.chain):])
	o.start()
	return nil
}

// StringDataParams is CK_KEY_DERIVATION_STRING_DATA (PKCS#11 v3.1 section 6.43.2).
type StringDataParams struct {
	Data []byte `c:"ptr,len"`
}

// AESCBCEncryptDataParams is CK_AES_CBC_ENCRYPT_DATA_PARAMS (PKCS#11 v3.1
// section 6.27.1), and that of all ciphers with blocks of 16 bytes.
type AESCBCEncryptDataParams struct {
	IV   [16]byte
	Data []byte `c:"ptr,len"`
}

func (p *AESCBCEncryptDataParams) split() (iv, data []byte) {
	if p == nil {
		return nil, nil
	}
	return p.IV[:], p.Data
}

// ivAndData is a parameter with an IV and data; nil has none.
type ivAndData interface{ split() (iv, data []byte) }

// ecbEncryptData derives keys by encrypting data.
func (c *blockCipher) ecbEncryptData(t ck.MechanismType, answers ...known) *Mechanism {
	m := c.mechanism(t, answers)
	m.Param = (*StringDataParams)(nil)
	m.Derive = func(base *Key, param any, d *Derivation) ([]byte, error) {
		p, err := structParam[StringDataParams](param)
		if err != nil {
			return nil, err
		}
		return c.deriveByEncryption(blockOp{}, base, nil, p.Data, d)
	}
	return m
}

// cbcEncryptData derives keys by encrypting data. proto is the prototype of the
// parameter, (*AESCBCEncryptDataParams)(nil) for blocks of 16 bytes.
func (c *blockCipher) cbcEncryptData(t ck.MechanismType, proto ivAndData, answers ...known) *Mechanism {
	m := c.mechanism(t, answers)
	m.Param = proto
	m.Derive = func(base *Key, param any, d *Derivation) ([]byte, error) {
		p, ok := param.(ivAndData)
		if !ok {
			return nil, fmt.Errorf("the parameter is missing: %w", ck.CKR_MECHANISM_PARAM_INVALID)
		}
		iv, data := p.split()
		return c.deriveByEncryption(blockOp{chained: true}, base, iv, data, d)
	}
	return m
}

func (c *blockCipher) deriveByEncryption(o blockOp, base *Key, p any, data []byte, d *Derivation) ([]byte, error) {
	op, err := c.blockMode(o)(base, p)
	if err != nil {
		return nil, err
	}
	if len(data) == 0 || len(data)%c.size != 0 {
		return nil, fmt.Errorf("the data must be whole blocks: %w", ck.CKR_MECHANISM_PARAM_INVALID)
	}
	out := make([]byte, len(data))
	if _, err := op.Finish(out, data); err != nil {
		return nil, err
	}
	return leading(out, d)
}
