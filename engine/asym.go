package engine

import (
	"encoding"
	"fmt"

	"github.com/perilune/perilune/cryptoki/ck"
)

// This file holds what the operations of key pairs share.

// once is an Op that works in one part.
type once struct {
	onePart
	max   int  // bytes of output at most
	exact bool // whether that is the number
	run   func(dst, src []byte) (int, error)
}

func (o *once) FinishLen(int) (int, bool) { return o.max, o.exact }

func (o *once) Finish(dst, src []byte) (int, error) { return o.run(dst, src) }

// opOf is an operation without a state, which is kept with the key.
func opOf[T Op](op T, err error) (Op, error) {
	if err != nil {
		return nil, err
	}
	return op, nil
}

// verifierOf is a verification without a state, which is kept with the key.
func verifierOf[T Verifier](v T, err error) (Verifier, error) {
	if err != nil {
		return nil, err
	}
	return v, nil
}

// onceVerifier is a Verifier that works in one part.
type onceVerifier func(src, sig []byte) error

func (onceVerifier) Update([]byte) error { return ck.CKR_FUNCTION_NOT_SUPPORTED }

func (v onceVerifier) Verify(src, sig []byte) error { return v(src, sig) }

// signer makes signatures of messages or of their digests, verifier verifies them.
// Both are kept with a key, or Releasers that end with the operation.
type (
	signer interface {
		sign(dst, message []byte) (int, error)
	}
	verifier interface {
		verify(message, sig []byte) error
	}
)

// signFunc and verifyFunc are functions that do so.
type (
	signFunc   func(dst, message []byte) (int, error)
	verifyFunc func(message, sig []byte) error
)

func (f signFunc) sign(dst, message []byte) (int, error) { return f(dst, message) }

func (f verifyFunc) verify(message, sig []byte) error { return f(message, sig) }

// hashed collects a message into its digest.
type hashed struct{ h *hasher }

// digest returns the digest of the message that ends with src.
func (d *hashed) digest(src []byte) []byte {
	d.h.Write(src)
	return d.h.sum()
}

// Save returns the state of the hash function.
func (d *hashed) Save() ([]byte, error) {
	m, ok := d.h.Hash.(encoding.BinaryMarshaler)
	if !ok {
		return nil, ck.CKR_STATE_UNSAVEABLE
	}
	return m.MarshalBinary()
}

// Load takes the state of the hash function.
func (d *hashed) Load(state []byte) error {
	m, ok := d.h.Hash.(encoding.BinaryUnmarshaler)
	if !ok || m.UnmarshalBinary(state) != nil {
		return ck.CKR_SAVED_STATE_INVALID
	}
	return nil
}

// hashedOp signs the digest of a message.
type hashedOp struct {
	hashed
	size int // of a signature
	signer
}

var hashedOps recycler[hashedOp]

func newHashedOp(h *hasher, size int, s signer) *hashedOp {
	o := hashedOps.get()
	o.h, o.size, o.signer = h, size, s
	return o
}

// Release implements Releaser.
func (o *hashedOp) Release() {
	o.h.release()
	Release(o.signer)
	*o = hashedOp{}
	hashedOps.put(o)
}

func (o *hashedOp) UpdateLen(int) int { return 0 }

func (o *hashedOp) Update(_, src []byte) (int, error) {
	o.h.Write(src)
	return 0, nil
}

func (o *hashedOp) FinishLen(int) (int, bool) { return o.size, true }

func (o *hashedOp) Finish(dst, src []byte) (int, error) { return o.sign(dst, o.digest(src)) }

// hashedVerifier verifies a signature of the digest of a message.
type hashedVerifier struct {
	hashed
	verifier
}

var hashedVerifiers recycler[hashedVerifier]

func newHashedVerifier(h *hasher, v verifier) *hashedVerifier {
	o := hashedVerifiers.get()
	o.h, o.verifier = h, v
	return o
}

// Release implements Releaser.
func (v *hashedVerifier) Release() {
	v.h.release()
	Release(v.verifier)
	*v = hashedVerifier{}
	hashedVerifiers.put(v)
}

func (v *hashedVerifier) Update(src []byte) error {
	v.h.Write(src)
	return nil
}

func (v *hashedVerifier) Verify(src, sig []byte) error { return v.verify(v.digest(src), sig) }

// kept collects a message that a signature must see twice.
type kept struct{ buf []byte }

// maxKept bounds the message of a multi-part operation, which is kept in
// memory. A message in one part is not copied and has no bound.
const maxKept = 64 << 20

func (w *kept) add(src []byte) error {
	if len(w.buf)+len(src) > maxKept {
		return fmt.Errorf("message too long to be kept: %w", ck.CKR_DATA_LEN_RANGE)
	}
	w.buf = append(w.buf, src...)
	return nil
}

// message returns all parts, of which src is the last.
func (w *kept) message(src []byte) ([]byte, error) {
	if len(w.buf) == 0 {
		return src, nil
	}
	if err := w.add(src); err != nil {
		return nil, err
	}
	return w.buf, nil
}

// keptOp signs a message.
type keptOp struct {
	kept
	size int // of a signature
	signer
}

var keptOps recycler[keptOp]

func newKeptOp(size int, s signer) *keptOp {
	o := keptOps.get()
	o.size, o.signer = size, s
	return o
}

// Release implements Releaser.
func (o *keptOp) Release() {
	clear(o.buf)
	Release(o.signer)
	*o = keptOp{}
	keptOps.put(o)
}

func (o *keptOp) UpdateLen(int) int { return 0 }

func (o *keptOp) Update(_, src []byte) (int, error) { return 0, o.add(src) }

func (o *keptOp) FinishLen(int) (int, bool) { return o.size, true }

func (o *keptOp) Finish(dst, src []byte) (int, error) {
	message, err := o.message(src)
	if err != nil {
		return 0, err
	}
	return o.sign(dst, message)
}

// keptVerifier verifies the signature of a message.
type keptVerifier struct {
	kept
	verifier
}

var keptVerifiers recycler[keptVerifier]

func newKeptVerifier(v verifier) *keptVerifier {
	o := keptVerifiers.get()
	o.verifier = v
	return o
}

// Release implements Releaser.
func (v *keptVerifier) Release() {
	clear(v.buf)
	Release(v.verifier)
	*v = keptVerifier{}
	keptVerifiers.put(v)
}

func (v *keptVerifier) Update(src []byte) error { return v.add(src) }

func (v *keptVerifier) Verify(src, sig []byte) error {
	message, err := v.message(src)
	if err != nil {
		return err
	}
	return v.verify(message, sig)
}

// checkingLength makes the errors of a verification.
func checkingLength(size int, valid func(message, sig []byte) bool) func(message, sig []byte) error {
	return func(message, sig []byte) error {
		if len(sig) != size {
			return ck.CKR_SIGNATURE_LEN_RANGE
		}
		if !valid(message, sig) {
			return ck.CKR_SIGNATURE_INVALID
		}
		return nil
	}
}
