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
// C_EncryptMessageNext and the same for decryption (PKCS#11 v3.1 sections 5.9
// and 5.11). An error ends the message, not the operation.
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
	n := len(q.In)
	switch {
	case q.Out.Query:
		return n, nil
	case len(q.Out.Buf) < n:
		return n, ck.CKR_BUFFER_TOO_SMALL
	}
	op, err := o.messages.Begin(q.Param, q.AAD)
	if err != nil {
		return 0, err
	}
	n, kept, err := finishInto(op, q.In, q.Out, false)
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
