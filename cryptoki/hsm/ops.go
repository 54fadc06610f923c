package hsm

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"sync/atomic"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/cryptoki/p11"
	"github.com/perilune/perilune/engine"
)

// operation is one cryptographic operation under way in a session (PKCS#11
// v3.1 sections 5.8 to 5.15). It has one of op, verifier and messages.
type operation struct {
	kind  p11.Operation
	row   *engine.Mechanism
	param any     // of the mechanism
	done  func()  // called when param is needed no longer, or nil
	key   *object // nil for digests

	op       engine.Op
	verifier engine.Verifier
	messages engine.MessageOp
	message  engine.Op // the message that came in parts so far; message.go

	signature []byte // what OpVerifySignature verifies

	mode     mode
	recorded bool // its use is in the audit log

	// A key with CKA_ALWAYS_AUTHENTICATE must not be used before a login of
	// its own (section 4.9); contextLogin sets authenticated.
	needsLogin, authenticated bool
	begun                     uint64 // order among the operations that need a login
	refused                   bool   // a call was refused for want of that login

	// kept is the result of a last step that had to be computed to learn its
	// length, for the caller to come back with a larger buffer. The engine's
	// operation is used up then.
	kept    []byte
	keptFor [sha256.Size]byte // the digest of the input it came from
}

// mode says which calls an operation has seen: those for one part and those
// for several do not mix.
type mode uint8

const (
	modeFresh mode = iota
	modeSingle
	modeMulti
)

var (
	// errMultiPart refuses a single-part call in the middle of a multi-part
	// operation. It "cannot be used to terminate" that (section 5.8.2), so the
	// operation goes on.
	errMultiPart = fmt.Errorf("a multi-part operation is under way, which only its Final call ends: %w", ck.CKR_OPERATION_ACTIVE)
	// errSinglePart refuses multi-part calls after a single-part call that
	// asked for the length, or whose buffer was too small.
	errSinglePart = fmt.Errorf("a single-part call is under way and must be repeated: %w", ck.CKR_OPERATION_ACTIVE)
	// errOtherInput refuses to give the kept result for another input.
	errOtherInput = fmt.Errorf("the call repeated after CKR_BUFFER_TOO_SMALL has other input: %w", ck.CKR_OPERATION_ACTIVE)
	// errNeedsLogin is for keys with CKA_ALWAYS_AUTHENTICATE.
	errNeedsLogin = denyFor(refuseContextLogin, ck.CKA_ALWAYS_AUTHENTICATE, "the key has CKA_ALWAYS_AUTHENTICATE, so C_Login(CKU_CONTEXT_SPECIFIC) must come first")
)

// handleBegin serves C_EncryptInit and its kin.
func (h *HSM) handleBegin(ctx context.Context, s *session, q *p11.Begin, _ *p11.None) error {
	if int(q.Op) >= len(s.ops) {
		return ck.CKR_ARGUMENTS_BAD
	}
	if q.Mechanism == nil { // PKCS#11 v3.0 and later
		s.cancel(q.Op)
		return nil
	}
	if old := s.ops[q.Op]; old != nil {
		// After a refusal for want of a login the caller may either log in
		// and repeat the call, or take the operation for ended.
		if !old.refused {
			return ck.CKR_OPERATION_ACTIVE
		}
		s.cancel(q.Op)
	}
	o, err := h.begin(ctx, s, q)
	if err != nil {
		return err
	}
	o.signature, o.done = bytes.Clone(q.Signature), q.Done
	s.ops[q.Op] = o
	return nil
}

// begin starts an operation that may begin.
func (h *HSM) begin(ctx context.Context, s *session, q *p11.Begin) (*operation, error) {
	if c := h.cleared(s, q); c != nil {
		return s.newOperation(q.Op, c.row, c.key, q.Mechanism.Param)
	}
	now := h.situation(s)
	row, key, err := h.operands(ctx, s, q)
	if err != nil {
		return nil, err
	}
	param, err := h.paramWithKeys(ctx, s, q, row)
	if err != nil {
		return nil, err
	}
	o, err := s.newOperation(q.Op, row, key, param)
	if err != nil {
		return nil, err
	}
	if key != nil {
		if err := h.countUse(ctx, s, key); err != nil {
			s.end(o)
			return nil, err
		}
	}
	s.clearFor(q, now, row, key)
	return o, nil
}

// operands finds the row and the key of an operation, if both may be used so.
func (h *HSM) operands(ctx context.Context, s *session, q *p11.Begin) (row *engine.Mechanism, key *object, err error) {
	if row, err = h.mechanismFor(s.part, q.Mechanism, use(q.Op)); err != nil || q.Op == p11.OpDigest {
		return row, nil, err
	}
	if s.role() == p11.RolePartitionSO {
		return nil, nil, deny(refuseRole, "the Partition SO can only digest")
	}
	if key, err = h.keyObject(ctx, s, q.Key); err != nil {
		return nil, nil, err
	}
	return row, key, h.checkUse(s.part, row, use(q.Op), key, q.Mechanism.Param)
}

// paramWithKeys adds the keys that the parameter names to it. They must permit
// what the operation does, like its own key.
func (h *HSM) paramWithKeys(ctx context.Context, s *session, q *p11.Begin, row *engine.Mechanism) (any, error) {
	handles := paramHandles(q.Mechanism.Param)
	if len(handles) == 0 {
		return q.Mechanism.Param, nil
	}
	keys := make([]*engine.Key, len(handles))
	for i, handle := range handles {
		if handle == 0 {
			continue
		}
		key, err := h.keyObject(ctx, s, handle)
		if err == nil {
			err = h.checkUse(s.part, row, use(q.Op), key, q.Mechanism.Param)
		}
		if err == nil {
			err = h.countUse(ctx, s, key)
		}
		if err != nil {
			return nil, fmt.Errorf("a key in the parameter: %w", err)
		}
		keys[i] = key.key()
	}
	return &engine.WithKeys{Param: q.Mechanism.Param, Keys: keys}, nil
}

// beginCount orders the operations that wait for a login of their own.
var beginCount atomic.Uint64

// newOperation starts the engine's operation. param is kept.
func (s *session) newOperation(kind p11.Operation, row *engine.Mechanism, key *object, param any) (*operation, error) {
	o := s.spare
	if s.spare = nil; o == nil {
		o = new(operation)
	}
	o.kind, o.row, o.key, o.param = kind, row, key, param
	if err := o.start(); err != nil {
		*o = operation{}
		s.spare = o
		return nil, err
	}
	if key != nil && alwaysAuthenticate(key) {
		o.needsLogin, o.begun = true, beginCount.Add(1)
	}
	return o, nil
}

func (o *operation) start() (err error) {
	if o.kind == p11.OpDigest {
		o.op, err = o.row.Digest(o.param)
		return err
	}
	key := o.key.key()
	switch o.kind {
	case p11.OpEncrypt:
		o.op, err = o.row.Encrypt(key, o.param)
	case p11.OpDecrypt:
		o.op, err = o.row.Decrypt(key, o.param)
	case p11.OpSign:
		o.op, err = o.row.Sign(key, o.param)
	case p11.OpVerify, p11.OpVerifySignature:
		o.verifier, err = o.row.Verify(key, o.param)
	case p11.OpSignRecover:
		o.op, err = o.row.SignRecover(key, o.param)
	case p11.OpVerifyRecover:
		o.op, err = o.row.VerifyRecover(key, o.param)
	case p11.OpMessageEncrypt:
		o.messages, err = o.row.MessageEncrypt(key, o.param)
	case p11.OpMessageDecrypt:
		o.messages, err = o.row.MessageDecrypt(key, o.param)
	case p11.OpMessageSign:
		o.messages, err = newSignMessages(o.row, key, o.param)
	case p11.OpMessageVerify:
		o.messages, err = newVerifyMessages(o.row, key, o.param)
	default:
		err = ck.CKR_MECHANISM_INVALID
	}
	return err
}

// alwaysAuthenticate reports whether each use of the key needs a login.
func alwaysAuthenticate(key *object) bool {
	return key.class == ck.CKO_PRIVATE_KEY && key.bool(ck.CKA_ALWAYS_AUTHENTICATE)
}

// ready refuses to use a key before its login. A length query is a use, too:
// GnuTLS takes this answer to one as the request to log in.
func (o *operation) ready() error {
	if o.needsLogin && !o.authenticated {
		o.refused = true
		return errNeedsLogin
	}
	return nil
}

// contextOperation is the operation that waits for C_Login with
// CKU_CONTEXT_SPECIFIC, the one begun last if there are several; nil if none
// does.
func (s *session) contextOperation() (waiting *operation) {
	for _, o := range s.ops {
		if o != nil && o.needsLogin && !o.authenticated && (waiting == nil || o.begun > waiting.begun) {
			waiting = o
		}
	}
	return waiting
}

// handleUpdate serves C_EncryptUpdate and its kin.
func (h *HSM) handleUpdate(_ context.Context, s *session, q *p11.Update, r *p11.Length) error {
	o, err := s.inParts(q.Op)
	if err != nil {
		return err
	}
	r.N, err = o.update(q.In, q.Out)
	return s.settle(o, err)
}

// inParts finds the operation that a multi-part call is for.
func (s *session) inParts(op p11.Operation) (*operation, error) {
	switch op {
	case p11.OpEncrypt, p11.OpDecrypt, p11.OpDigest, p11.OpSign, p11.OpVerify, p11.OpVerifySignature:
		return s.active(op)
	}
	return nil, ck.CKR_ARGUMENTS_BAD
}

func (s *session) active(op p11.Operation) (*operation, error) {
	if int(op) >= len(s.ops) {
		return nil, ck.CKR_ARGUMENTS_BAD
	}
	if o := s.ops[op]; o != nil {
		return o, nil
	}
	return nil, ck.CKR_OPERATION_NOT_INITIALIZED
}

// settle ends the operation after an error, other than those that invite the
// caller to try again (sections 5.8.2 and 5.8.3, and their like).
func (s *session) settle(o *operation, err error) error {
	if err == nil {
		return nil
	}
	switch ck.RVOf(err) {
	case ck.CKR_BUFFER_TOO_SMALL, ck.CKR_USER_NOT_LOGGED_IN:
	default:
		s.cancel(o.kind)
	}
	return err
}

// update passes one part.
func (o *operation) update(in []byte, out p11.Output) (int, error) {
	if err := o.mayUpdate(); err != nil {
		return 0, err
	}
	if o.verifier != nil {
		o.mode = modeMulti
		return 0, o.verifier.Update(in)
	}
	n := o.op.UpdateLen(len(in))
	if out.Query {
		return n, nil
	}
	if len(out.Buf) < n {
		return n, ck.CKR_BUFFER_TOO_SMALL
	}
	o.mode = modeMulti
	return o.op.Update(out.Buf[:n], in)
}

// mayUpdate refuses parts where they do not belong.
func (o *operation) mayUpdate() error {
	if err := o.ready(); err != nil {
		return err
	}
	if o.mode == modeSingle || o.kept != nil {
		return errSinglePart
	}
	return nil
}

// handleDigestKey serves C_DigestKey. Any secret key will do, sensitive or not:
// the digest does not give it away.
func (h *HSM) handleDigestKey(ctx context.Context, s *session, q *p11.DigestKey, _ *p11.None) error {
	o, err := s.active(p11.OpDigest)
	if err != nil {
		return err
	}
	key, err := h.keyObject(ctx, s, q.Key)
	if err != nil {
		return err
	}
	if key.class != ck.CKO_SECRET_KEY {
		return denyFor(refuseIndigestible, ck.CKA_CLASS, "only secret keys can be digested")
	}
	if !s.part.policies.Load().on(policyDigestKey) {
		return deny(refuseDigestKey, "keys are not digested")
	}
	_, err = o.update(key.key().Value(), p11.Output{})
	return s.settle(o, err)
}

// handleFinish serves C_Encrypt, C_EncryptFinal and their kin.
func (h *HSM) handleFinish(_ context.Context, s *session, q *p11.Finish, r *p11.Length) error {
	o, err := s.active(q.Op)
	if err != nil {
		return err
	}
	if o.messages != nil {
		return ck.CKR_ARGUMENTS_BAD
	}
	single := q.Single || q.Op == p11.OpSignRecover || q.Op == p11.OpVerifyRecover
	if single && o.mode == modeMulti {
		return errMultiPart
	}
	r.N, err = o.finish(q, single)
	if err == nil && (!q.Out.Query || o.verifier != nil) {
		s.cancel(q.Op)
	}
	return s.settle(o, err)
}

// finish is the last step.
func (o *operation) finish(q *p11.Finish, single bool) (n int, err error) {
	if err := o.ready(); err != nil {
		return 0, err
	}
	if !single && o.mode == modeSingle {
		return 0, errSinglePart
	}
	if o.mode = modeMulti; single {
		o.mode = modeSingle
	}
	if o.verifier != nil {
		sig := q.Signature
		if o.kind == p11.OpVerifySignature {
			sig = o.signature
		}
		return 0, o.verifier.Verify(q.In, sig)
	}
	in := q.In
	if o.kind == p11.OpVerifyRecover {
		in = q.Signature
	}
	if o.kept != nil {
		return o.deliver(in, q.Out)
	}
	// C_VerifyRecover never answers CKR_BUFFER_TOO_SMALL for an invalid
	// signature (section 5.15.6), so it always computes first.
	n, o.kept, err = finishInto(o.op, in, q.Out, o.kind != p11.OpVerifyRecover)
	if o.kept != nil {
		o.keptFor = sha256.Sum256(in)
	}
	return n, err
}

// deliver gives the kept result to a caller who came back for it.
func (o *operation) deliver(in []byte, out p11.Output) (int, error) {
	n := len(o.kept)
	switch {
	case sha256.Sum256(in) != o.keptFor:
		return 0, errOtherInput
	case out.Query:
		return n, nil
	case len(out.Buf) < n:
		return n, ck.CKR_BUFFER_TOO_SMALL
	}
	return copy(out.Buf, o.kept), nil
}

// finishInto runs the last step of op under the convention for output of
// section 5.2. A query and a buffer that is certainly too short compute
// nothing. Where the length is only known afterwards, and the buffer is
// shorter than the longest result, the result is computed aside; if it does
// not fit, it is returned as kept, to be delivered later and to be wiped.
//
// trust is whether to believe op where it says that its length is exact.
func finishInto(op engine.Op, in []byte, out p11.Output, trust bool) (n int, kept []byte, err error) {
	n, exact := op.FinishLen(len(in))
	switch {
	case out.Query:
		return n, nil, nil
	case len(out.Buf) >= n:
		n, err = op.Finish(out.Buf[:n], in)
		return n, nil, err
	case exact && trust:
		return n, nil, ck.CKR_BUFFER_TOO_SMALL
	}
	scratch := make([]byte, n)
	n, err = op.Finish(scratch, in)
	if err != nil {
		clear(scratch)
		return 0, nil, err
	}
	if n > len(out.Buf) {
		return n, scratch[:n], ck.CKR_BUFFER_TOO_SMALL
	}
	copy(out.Buf, scratch[:n])
	clear(scratch)
	return n, nil, nil
}

// handleDualUpdate serves C_DigestEncryptUpdate and its kin (section 5.17). The
// plaintext goes to the second operation only when the cipher has delivered.
func (h *HSM) handleDualUpdate(_ context.Context, s *session, q *p11.DualUpdate, r *p11.Length) error {
	side, cipher, err := dualKinds(q.First, q.Second)
	if err != nil {
		return err
	}
	c, err := s.active(cipher)
	if err != nil {
		return err
	}
	o, err := s.active(side)
	if err != nil {
		return err
	}
	if err := o.mayUpdate(); err != nil {
		return s.settle(o, err)
	}
	plain := q.In
	if cipher == p11.OpEncrypt && sameStart(q.In, q.Out.Buf) {
		plain = append([]byte(nil), q.In...) // the ciphertext takes its place
		defer clear(plain)
	}
	r.N, err = c.update(q.In, q.Out)
	if err != nil || q.Out.Query {
		return s.settle(c, err)
	}
	if cipher == p11.OpDecrypt {
		plain = q.Out.Buf[:r.N]
	}
	_, err = o.update(plain, p11.Output{})
	return s.settle(o, err)
}

// dualKinds tells the cipher of a legal pair from the operation beside it.
func dualKinds(a, b p11.Operation) (side, cipher p11.Operation, err error) {
	if a == p11.OpEncrypt || a == p11.OpDecrypt {
		a, b = b, a
	}
	switch {
	case b == p11.OpEncrypt && (a == p11.OpDigest || a == p11.OpSign):
	case b == p11.OpDecrypt && (a == p11.OpDigest || a == p11.OpVerify):
	default:
		return 0, 0, ck.CKR_ARGUMENTS_BAD
	}
	return a, b, nil
}

func sameStart(a, b []byte) bool { return len(a) > 0 && len(b) > 0 && &a[0] == &b[0] }

// cancelFlags says which operation each flag of C_SessionCancel means.
var cancelFlags = [p11.NumOperations]ck.Flags{
	p11.OpEncrypt:         ck.CKF_ENCRYPT,
	p11.OpDecrypt:         ck.CKF_DECRYPT,
	p11.OpDigest:          ck.CKF_DIGEST,
	p11.OpSign:            ck.CKF_SIGN,
	p11.OpVerify:          ck.CKF_VERIFY,
	p11.OpSignRecover:     ck.CKF_SIGN_RECOVER,
	p11.OpVerifyRecover:   ck.CKF_VERIFY_RECOVER,
	p11.OpMessageEncrypt:  ck.CKF_MESSAGE_ENCRYPT,
	p11.OpMessageDecrypt:  ck.CKF_MESSAGE_DECRYPT,
	p11.OpMessageSign:     ck.CKF_MESSAGE_SIGN,
	p11.OpMessageVerify:   ck.CKF_MESSAGE_VERIFY,
	p11.OpVerifySignature: ck.CKF_VERIFY,
}

// handleSessionCancel serves C_SessionCancel (section 5.6.5): flags of
// operations that are not under way mean nothing.
func (h *HSM) handleSessionCancel(_ context.Context, s *session, q *p11.SessionCancel, _ *p11.None) error {
	for op, flag := range cancelFlags {
		if q.Flags&flag != 0 {
			s.cancel(p11.Operation(op))
		}
	}
	if q.Flags&ck.CKF_FIND_OBJECTS != 0 {
		s.search = nil
	}
	return nil
}

// cancel ends an operation, if it is under way.
func (s *session) cancel(op p11.Operation) {
	if o := s.ops[op]; o != nil {
		s.ops[op] = nil
		s.end(o)
	}
}

// end lets go of all that an operation held.
func (s *session) end(o *operation) {
	engine.Release(o.op)
	engine.Release(o.verifier)
	if o.done != nil {
		o.done()
	}
	clear(o.kept)
	*o = operation{}
	s.spare = o
}

// cancelAll ends all operations, and forgets their keys.
func (s *session) cancelAll() {
	s.clear = [p11.NumOperations]*clearance{}
	for op := range s.ops {
		s.cancel(p11.Operation(op))
	}
}
