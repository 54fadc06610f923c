package engine

import (
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/engine/internal/ct"
)

// This file holds what the operations of secret keys share.

// MessageStep is implemented by every Op that a MessageOp begins. Param takes
// the parameter as a later call for the same message passes it: the tag is
// written to the last one (encryption), or read from it (decryption).
type MessageStep interface {
	Op
	Param(p any) error
}

// WithKeys is a parameter whose handles name keys, together with these, in the
// order of the fields. Operations other than derivations get it instead of the
// parameter itself; nil stands for the handle 0.
type WithKeys struct {
	Param any
	Keys  []*Key
}

// onePart gives an Op that works in one part only its Update.
type onePart struct{}

func (onePart) UpdateLen(int) int { return 0 }

func (onePart) Update(_, _ []byte) (int, error) { return 0, ck.CKR_FUNCTION_NOT_SUPPORTED }

// mac is an Op that makes an authentication code of fixed length.
type mac interface {
	// write takes more of the message.
	write(src []byte) error
	// size is the length of the code.
	size() int
	// sum appends the whole code to dst, which has room for it. It is called
	// once, at the end.
	sum(dst []byte) []byte
}

// savableMAC is a mac whose state can be kept.
type savableMAC interface {
	save() ([]byte, error)
	load(state []byte) error
}

func saveMAC(m mac) ([]byte, error) {
	if s, ok := m.(savableMAC); ok {
		return s.save()
	}
	return nil, ck.CKR_STATE_UNSAVEABLE
}

func loadMAC(m mac, state []byte) error {
	if s, ok := m.(savableMAC); ok {
		return s.load(state)
	}
	return ck.CKR_SAVED_STATE_INVALID
}

// maxMAC is the length of the longest code that a mac makes; KMAC can make more,
// and then takes memory of its own.
const maxMAC = 64

// signMAC makes the code of a message: an Op.
type signMAC struct{ mac }

var signMACs recycler[signMAC]

// Release implements Releaser.
func (s *signMAC) Release() {
	Release(s.mac)
	s.mac = nil
	signMACs.put(s)
}

func (*signMAC) UpdateLen(int) int { return 0 }

func (s *signMAC) Update(_, src []byte) (int, error) { return 0, s.write(src) }

func (s *signMAC) FinishLen(int) (int, bool) { return s.size(), true }

func (s *signMAC) Finish(dst, src []byte) (int, error) {
	if err := s.write(src); err != nil {
		return 0, err
	}
	return len(s.sum(dst[:0])), nil
}

// Save implements Saver.
func (s *signMAC) Save() ([]byte, error) { return saveMAC(s.mac) }

// Load implements Saver.
func (s *signMAC) Load(state []byte) error { return loadMAC(s.mac, state) }

// verifyMAC checks the code of a message: a Verifier.
type verifyMAC struct {
	mac
	buf [maxMAC]byte
}

var verifyMACs recycler[verifyMAC]

// Release implements Releaser.
func (v *verifyMAC) Release() {
	Release(v.mac)
	*v = verifyMAC{}
	verifyMACs.put(v)
}

func (v *verifyMAC) Update(src []byte) error { return v.write(src) }

func (v *verifyMAC) Verify(src, sig []byte) error {
	if err := v.write(src); err != nil {
		return err
	}
	if len(sig) != v.size() {
		return ck.CKR_SIGNATURE_LEN_RANGE
	}
	if ct.Reveal(ct.Equal(v.sum(v.buf[:0]), sig)) != 1 {
		return ck.CKR_SIGNATURE_INVALID
	}
	return nil
}

// Save implements Saver.
func (v *verifyMAC) Save() ([]byte, error) { return saveMAC(v.mac) }

// Load implements Saver.
func (v *verifyMAC) Load(state []byte) error { return loadMAC(v.mac, state) }

// macGeneralLen is the length that a CK_MAC_GENERAL_PARAMS asks for, 1 to max.
func macGeneralLen(p any, max int) (int, error) {
	n, ok := p.(uint64)
	if !ok || n < 1 || n > uint64(max) {
		return 0, fmt.Errorf("MAC length must be 1 to %d: %w", max, ck.CKR_MECHANISM_PARAM_INVALID)
	}
	return int(n), nil
}

// keyOp is an operation over encoded key material. Its errors speak of keys.
type keyOp struct {
	Op
	codes map[ck.RV]ck.RV
}

var (
	wrapCodes = map[ck.RV]ck.RV{
		ck.CKR_DATA_LEN_RANGE: ck.CKR_KEY_SIZE_RANGE,
	}
	unwrapCodes = map[ck.RV]ck.RV{
		ck.CKR_ENCRYPTED_DATA_INVALID:   ck.CKR_WRAPPED_KEY_INVALID,
		ck.CKR_ENCRYPTED_DATA_LEN_RANGE: ck.CKR_WRAPPED_KEY_LEN_RANGE,
		ck.CKR_DATA_LEN_RANGE:           ck.CKR_WRAPPED_KEY_LEN_RANGE,
	}
)

func (o keyOp) Finish(dst, src []byte) (int, error) {
	n, err := o.Op.Finish(dst, src)
	var rv ck.RV
	if errors.As(err, &rv) {
		if code, ok := o.codes[rv]; ok {
			return 0, code
		}
	}
	return n, err
}

// wrapping makes the Wrap function of a row from its Encrypt.
func wrapping(encrypt func(*Key, any) (Op, error)) func(*Key, any) (Op, error) {
	return translating(encrypt, wrapCodes)
}

// unwrapping makes the Unwrap function of a row from its Decrypt.
func unwrapping(decrypt func(*Key, any) (Op, error)) func(*Key, any) (Op, error) {
	return translating(decrypt, unwrapCodes)
}

func translating(f func(*Key, any) (Op, error), codes map[ck.RV]ck.RV) func(*Key, any) (Op, error) {
	return func(k *Key, p any) (Op, error) {
		op, err := f(k, p)
		if err != nil {
			return nil, err
		}
		return keyOp{op, codes}, nil
	}
}

// noParam refuses a parameter where the mechanism has none.
func noParam(p any) error {
	if b, ok := p.([]byte); p == nil || ok && len(b) == 0 {
		return nil
	}
	return fmt.Errorf("the mechanism takes no parameter: %w", ck.CKR_MECHANISM_PARAM_INVALID)
}

// ivParam is the parameter that is an initialization vector of n bytes.
func ivParam(p any, n int) ([]byte, error) {
	iv, _ := p.([]byte)
	if len(iv) != n {
		return nil, fmt.Errorf("the parameter must be an IV of %d bytes: %w", n, ck.CKR_MECHANISM_PARAM_INVALID)
	}
	return iv, nil
}

// structParam is the parameter that is a structure.
func structParam[T any](p any) (*T, error) {
	s, ok := p.(*T)
	if !ok || s == nil {
		return nil, fmt.Errorf("the parameter is missing: %w", ck.CKR_MECHANISM_PARAM_INVALID)
	}
	return s, nil
}

// newSign makes an Op of a mac; it takes the two results of a constructor.
func newSign(m mac, err error) (Op, error) {
	if err != nil {
		return nil, err
	}
	s := signMACs.get()
	s.mac = m
	return s, nil
}

// newVerify makes a Verifier of a mac.
func newVerify(m mac, err error) (Verifier, error) {
	if err != nil {
		return nil, err
	}
	v := verifyMACs.get()
	v.mac = m
	return v, nil
}

// runOp finishes op over src in one part.
func runOp(op Op, err error, src []byte) ([]byte, error) {
	if err != nil {
		return nil, err
	}
	n, _ := op.FinishLen(len(src))
	dst := make([]byte, n)
	n, err = op.Finish(dst, src)
	return dst[:n], err
}

// testMAC checks a known answer of a mechanism that signs with a secret key.
func testMAC(t ck.MechanismType, k *Key, p any, message, code string) error {
	m := Find(t)
	op, err := m.Sign(k, p)
	out, err := runOp(op, err, unhex(message))
	if err != nil {
		return err
	}
	if hex.EncodeToString(out) != code {
		return errSelfTest(t)
	}
	v, err := m.Verify(k, p)
	if err != nil {
		return err
	}
	return v.Verify(unhex(message), unhex(code))
}
