package engine

import (
	"encoding"
	"hash"

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

// onceVerifier is a Verifier that works in one part.
type onceVerifier func(src, sig []byte) error

func (onceVerifier) Update([]byte) error { return ck.CKR_FUNCTION_NOT_SUPPORTED }

func (v onceVerifier) Verify(src, sig []byte) error { return v(src, sig) }

// hashed collects a message into its digest.
type hashed struct {
	h   hash.Hash
	buf [64]byte // the longest digest
}

// digest returns the digest of the message that ends with src.
func (d *hashed) digest(src []byte) []byte {
	d.h.Write(src)
	return d.h.Sum(d.buf[:0])
}

// Save returns the state of the hash function.
func (d *hashed) Save() ([]byte, error) {
	m, ok := d.h.(encoding.BinaryMarshaler)
	if !ok {
		return nil, ck.CKR_STATE_UNSAVEABLE
	}
	return m.MarshalBinary()
}

// Load takes the state of the hash function.
func (d *hashed) Load(state []byte) error {
	m, ok := d.h.(encoding.BinaryUnmarshaler)
	if !ok || m.UnmarshalBinary(state) != nil {
		return ck.CKR_SAVED_STATE_INVALID
	}
	return nil
}

// hashedOp signs the digest of a message.
type hashedOp struct {
	hashed
	size int // of a signature
	sign func(dst, digest []byte) (int, error)
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
	verify func(digest, sig []byte) error
}

func (v *hashedVerifier) Update(src []byte) error {
	v.h.Write(src)
	return nil
}

func (v *hashedVerifier) Verify(src, sig []byte) error { return v.verify(v.digest(src), sig) }

// signThenVerify checks that verification takes what signing gives: the
// pairwise part of the self-tests of randomised signatures.
func signThenVerify(op Op, v Verifier, message []byte) error {
	n, _ := op.FinishLen(len(message))
	sig := make([]byte, n)
	n, err := op.Finish(sig, message)
	if err != nil {
		return err
	}
	return v.Verify(message, sig[:n])
}
