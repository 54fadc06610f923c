package hsm

import (
	"bytes"
	"context"
	"fmt"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/cryptoki/p11"
	"github.com/perilune/perilune/engine"
)

// handleMessage serves C_EncryptMessage, C_EncryptMessageBegin,
// C_EncryptMessageNext and the same for decryption, signatures and their
// verification (PKCS#11 v3.1 sections 5.9, 5.11, 5.14 and 5.16). An error ends
// the message, not the operation.
func (h *HSM) handleMessage(_ context.Context, s *session, q *p11.Message, r *p11.Length) error {
	o, err := s.active(q.Op)
	if err != nil {
		return err
	}
	if o.messages == nil || q.Whole && q.Start {
		return ck.CKR_ARGUMENTS_BAD
	}
	if err := o.ready(); err != nil {
		return err
	}
	switch {
	case q.Start || q.Whole:
		if o.message != nil {
			return fmt.Errorf("a message is under way: %w", ck.CKR_OPERATION_ACTIVE)
		}
		if err := checkParam(o.row, q.Param); err != nil {
			return err
		}
		if q.Start {
			return o.startMessage(q)
		}
		r.N, err = o.wholeMessage(q)
		return err
	case o.message == nil:
		return fmt.Errorf("no message was begun: %w", ck.CKR_OPERATION_NOT_INITIALIZED)
	}
	r.N, err = o.nextPart(q)
	if err != nil && ck.RVOf(err) != ck.CKR_BUFFER_TOO_SMALL || err == nil && q.Last && !q.Out.Query {
		o.message = nil
	}
	return err
}

// startMessage begins a message in parts.
func (o *operation) startMessage(q *p11.Message) (err error) {
	o.message, err = o.messages.Begin(q.Param, bytes.Clone(q.AAD))
	return err
}

// wholeMessage does a message in one part. Its tag goes into the parameter, so
// the output is as long as the input; that is told before Begin, which makes an
// IV and counts it.
func (o *operation) wholeMessage(q *p11.Message) (int, error) {
	n, signs := len(q.In), o.kind == p11.OpMessageSign
	switch {
	case signs || o.kind == p11.OpMessageVerify:
	case q.Out.Query:
		return n, nil
	case len(q.Out.Buf) < n:
		return n, ck.CKR_BUFFER_TOO_SMALL
	}
	op, err := o.messages.Begin(q.Param, q.AAD)
	if err != nil {
		return 0, err
	}
	if v, ok := op.(*verifyMessage); ok {
		return 0, v.Verify(q.In, q.Signature)
	}
	n, kept, err := finishInto(op, q.In, q.Out, signs)
	clear(kept)
	return n, err
}

// nextPart passes a part of the message that was begun, the last one perhaps.
// The parameter comes again with each part: the last one's takes the tag.
func (o *operation) nextPart(q *p11.Message) (int, error) {
	var n int
	if q.Last {
		n, _ = o.message.FinishLen(len(q.In))
	} else {
		n = o.message.UpdateLen(len(q.In))
	}
	switch {
	case q.Out.Query:
		return n, nil
	case len(q.Out.Buf) < n:
		return n, ck.CKR_BUFFER_TOO_SMALL
	}
	if step, ok := o.message.(engine.MessageStep); ok {
		if err := checkParam(o.row, q.Param); err != nil {
			return 0, err
		}
		if err := step.Param(q.Param); err != nil {
			return 0, err
		}
	}
	if v, ok := o.message.(*verifyMessage); ok && q.Last {
		return 0, v.Verify(q.In, q.Signature)
	}
	if q.Last {
		return o.message.Finish(q.Out.Buf[:n], q.In)
	}
	return o.message.Update(q.Out.Buf[:n], q.In)
}

// handleEndMessages serves C_MessageEncryptFinal and its kin. A message under
// way must be ended first.
func (h *HSM) handleEndMessages(_ context.Context, s *session, q *p11.EndMessages, _ *p11.None) error {
	o, err := s.active(q.Op)
	if err != nil {
		return err
	}
	if o.messages == nil {
		return ck.CKR_ARGUMENTS_BAD
	}
	if o.message != nil {
		return fmt.Errorf("a message is under way: %w", ck.CKR_OPERATION_ACTIVE)
	}
	s.cancel(q.Op)
	return nil
}

// signMessages makes a signature of each message, all with one key and
// parameter. No mechanism has a parameter for the single message.
type signMessages struct {
	row   *engine.Mechanism
	key   *engine.Key
	param any
}

// newSignMessages refuses at once what the first message would be refused for.
func newSignMessages(row *engine.Mechanism, key *engine.Key, param any) (engine.MessageOp, error) {
	_, err := row.Sign(key, param)
	return signMessages{row, key, param}, err
}

func (m signMessages) Begin(p any, _ []byte) (engine.Op, error) {
	if err := noMessageParam(p); err != nil {
		return nil, err
	}
	return m.row.Sign(m.key, m.param)
}

// verifyMessages verifies messages in the same way.
type verifyMessages signMessages

func newVerifyMessages(row *engine.Mechanism, key *engine.Key, param any) (engine.MessageOp, error) {
	_, err := row.Verify(key, param)
	return verifyMessages{row, key, param}, err
}

func (m verifyMessages) Begin(p any, _ []byte) (engine.Op, error) {
	if err := noMessageParam(p); err != nil {
		return nil, err
	}
	v, err := m.row.Verify(m.key, m.param)
	if err != nil {
		return nil, err
	}
	return &verifyMessage{v}, nil
}

// verifyMessage takes the parts of a message as an engine.Op does; its last
// step is Verify.
type verifyMessage struct{ v engine.Verifier }

func (m *verifyMessage) Verify(src, sig []byte) error { return m.v.Verify(src, sig) }

func (m *verifyMessage) UpdateLen(int) int { return 0 }

func (m *verifyMessage) Update(_, src []byte) (int, error) { return 0, m.v.Update(src) }

func (m *verifyMessage) FinishLen(int) (int, bool) { return 0, true }

func (m *verifyMessage) Finish(_, _ []byte) (int, error) { return 0, ck.CKR_GENERAL_ERROR }

func noMessageParam(p any) error {
	if b, ok := p.([]byte); p == nil || ok && len(b) == 0 {
		return nil
	}
	return fmt.Errorf("messages to sign or to verify have no parameter: %w", ck.CKR_MECHANISM_PARAM_INVALID)
}
