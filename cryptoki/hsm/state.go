package hsm

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"reflect"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/cryptoki/p11"
	"github.com/perilune/perilune/engine"
)

// stateVersion is the first byte of a saved state. What follows is the JSON of
// a savedState, sealed by HSM.stateKey.
const stateVersion = 1

// savedState is what C_GetOperationState gives away. Keys are not in it: they
// come back as handles, and are known again by their CKA_UNIQUE_ID.
type savedState struct {
	Operations []savedOperation
}

type savedOperation struct {
	Kind      p11.Operation
	Mechanism ck.MechanismType
	Bytes     []byte          `json:",omitempty"` // a parameter of plain bytes
	Param     json.RawMessage `json:",omitempty"` // any other
	Key       []byte          `json:",omitempty"` // CKA_UNIQUE_ID
	Mode      mode
	State     []byte // of the engine's operation
}

// savable are the operations that PKCS#11 v3.1 section 5.6.6 lets be saved.
func savable(kind p11.Operation) bool {
	switch kind {
	case p11.OpEncrypt, p11.OpDecrypt, p11.OpDigest, p11.OpSign, p11.OpVerify:
		return true
	}
	return false
}

// handleGetOperationState serves C_GetOperationState. A length query saves,
// too: there is no other way to know the length.
func (h *HSM) handleGetOperationState(_ context.Context, s *session, q *p11.GetOperationState, r *p11.Length) error {
	saved, err := s.save()
	if err != nil {
		return err
	}
	plain, err := json.Marshal(saved)
	if err != nil {
		return fmt.Errorf("%w: %w", err, ck.CKR_STATE_UNSAVEABLE)
	}
	defer clear(plain)
	r.N = 1 + len(plain) + h.stateKey().Overhead()
	switch {
	case q.Out.Query:
		return nil
	case len(q.Out.Buf) < r.N:
		return ck.CKR_BUFFER_TOO_SMALL
	}
	q.Out.Buf[0] = stateVersion
	h.stateKey().Seal(q.Out.Buf[1:1:r.N], nil, plain, s.stateAAD())
	return nil
}

// stateAAD binds a saved state to the token and to the session state, which
// must be the same where it is restored (section 5.6.7).
func (s *session) stateAAD() []byte {
	b := append(make([]byte, 0, 80), "perilune operation state"...)
	b = binary.LittleEndian.AppendUint64(b, uint64(s.part.space))
	b = binary.LittleEndian.AppendUint64(b, uint64(s.state()))
	return append(b, s.part.stateNow().Epoch...)
}

func (s *session) save() (*savedState, error) {
	var (
		saved savedState
		other bool
		keys  = map[bool]*object{} // by whether it is the authentication key
	)
	for kind, o := range s.ops {
		switch {
		case o == nil:
			continue
		case !savable(p11.Operation(kind)):
			other = true
			continue
		}
		one, err := o.save()
		if err != nil {
			return nil, err
		}
		if o.key != nil {
			auth := authenticates(o.kind)
			if k := keys[auth]; k != nil && k.handle != o.key.handle {
				return nil, fmt.Errorf("C_SetOperationState takes one key for both operations, and they have two: %w", ck.CKR_STATE_UNSAVEABLE)
			}
			keys[auth] = o.key
		}
		saved.Operations = append(saved.Operations, *one)
	}
	switch {
	case len(saved.Operations) == 0:
		return nil, ck.CKR_OPERATION_NOT_INITIALIZED
	case other:
		return nil, fmt.Errorf("an operation with recovery or on messages is under way: %w", ck.CKR_STATE_UNSAVEABLE)
	}
	return &saved, nil
}

// authenticates reports whether an operation's key is the authentication key of
// C_SetOperationState, rather than the encryption key.
func authenticates(kind p11.Operation) bool { return kind == p11.OpSign || kind == p11.OpVerify }

func (o *operation) save() (*savedOperation, error) {
	var saver engine.Saver
	if o.verifier != nil {
		saver, _ = o.verifier.(engine.Saver)
	} else {
		saver, _ = o.op.(engine.Saver)
	}
	if saver == nil || o.kept != nil {
		return nil, fmt.Errorf("%v cannot be saved: %w", o.row.Type, ck.CKR_STATE_UNSAVEABLE)
	}
	state, err := saver.Save()
	if err != nil {
		return nil, renamed(err, map[ck.RV]ck.RV{ck.RVOf(err): ck.CKR_STATE_UNSAVEABLE})
	}
	one := &savedOperation{Kind: o.kind, Mechanism: o.row.Type, Mode: o.mode, State: state}
	if o.key != nil {
		one.Key = o.key.bytes(ck.CKA_UNIQUE_ID)
	}
	switch p := o.param.(type) {
	case nil:
	case []byte:
		one.Bytes = p
	default:
		if one.Param, err = json.Marshal(p); err != nil {
			return nil, fmt.Errorf("%w: %w", err, ck.CKR_STATE_UNSAVEABLE)
		}
	}
	return one, nil
}

// handleSetOperationState serves C_SetOperationState (section 5.6.7). Whatever
// is under way ends when the state proves good, not before.
func (h *HSM) handleSetOperationState(ctx context.Context, s *session, q *p11.SetOperationState, _ *p11.None) error {
	saved, err := h.openState(s, q.State)
	if err != nil {
		return err
	}
	if err := saved.checkKeys(q); err != nil {
		return err
	}
	var ops []*operation
	for i := range saved.Operations {
		o, err := h.restore(ctx, s, &saved.Operations[i], q)
		if err != nil {
			return err
		}
		ops = append(ops, o)
	}
	s.cancelAll()
	s.search = nil
	for _, o := range ops {
		s.ops[o.kind] = o
	}
	return nil
}

func (h *HSM) openState(s *session, state []byte) (*savedState, error) {
	if len(state) < 1 || state[0] != stateVersion {
		return nil, ck.CKR_SAVED_STATE_INVALID
	}
	plain, err := h.stateKey().Open(nil, nil, state[1:], s.stateAAD())
	if err != nil {
		return nil, fmt.Errorf("not sealed by this HSM, for this token and this session state: %w", ck.CKR_SAVED_STATE_INVALID)
	}
	defer clear(plain)
	saved := new(savedState)
	if err := json.Unmarshal(plain, saved); err != nil {
		return nil, fmt.Errorf("%w: %w", err, ck.CKR_SAVED_STATE_INVALID)
	}
	return saved, nil
}

// checkKeys checks that the keys that are needed are there, and no others.
func (saved *savedState) checkKeys(q *p11.SetOperationState) error {
	var encryption, auth bool
	for _, o := range saved.Operations {
		if len(o.Key) > 0 {
			auth = auth || authenticates(o.Kind)
			encryption = encryption || !authenticates(o.Kind)
		}
	}
	switch {
	case q.EncryptionKey != 0 && !encryption, q.AuthKey != 0 && !auth:
		return ck.CKR_KEY_NOT_NEEDED
	case encryption && q.EncryptionKey == 0, auth && q.AuthKey == 0:
		return ck.CKR_KEY_NEEDED
	}
	return nil
}

// restore makes the operation anew and loads its state. The key is checked as
// at the beginning: its attributes may have changed.
func (h *HSM) restore(ctx context.Context, s *session, one *savedOperation, q *p11.SetOperationState) (*operation, error) {
	row := h.profile().mechanism(one.Mechanism)
	if row == nil || !savable(one.Kind) || !useRules[one.Kind].able(row) {
		return nil, ck.CKR_SAVED_STATE_INVALID
	}
	param, err := one.restoreParam(row)
	if err != nil {
		return nil, err
	}
	if _, err := h.mechanismFor(s.part, &ck.Mechanism{Type: one.Mechanism, Param: param}, use(one.Kind)); err != nil {
		return nil, err // FIPS mode may have come in between
	}
	key, err := h.restoreKey(ctx, s, row, one, q, param)
	if err != nil {
		return nil, err
	}
	o, err := s.newOperation(one.Kind, row, key, param)
	if err != nil {
		return nil, err
	}
	if key != nil { // an operation that is carried on twice is two
		if err := h.countUse(ctx, s, key); err != nil {
			return nil, err
		}
	}
	o.mode = one.Mode
	var saver engine.Saver
	if o.verifier != nil {
		saver, _ = o.verifier.(engine.Saver)
	} else {
		saver, _ = o.op.(engine.Saver)
	}
	if saver == nil {
		return nil, ck.CKR_SAVED_STATE_INVALID
	}
	if err := saver.Load(one.State); err != nil {
		return nil, renamed(err, map[ck.RV]ck.RV{ck.RVOf(err): ck.CKR_SAVED_STATE_INVALID})
	}
	return o, nil
}

func (h *HSM) restoreKey(ctx context.Context, s *session, row *engine.Mechanism, one *savedOperation, q *p11.SetOperationState, param any) (*object, error) {
	if len(one.Key) == 0 {
		if one.Kind != p11.OpDigest {
			return nil, ck.CKR_SAVED_STATE_INVALID
		}
		return nil, nil
	}
	handle := q.EncryptionKey
	if authenticates(one.Kind) {
		handle = q.AuthKey
	}
	key, err := h.keyObject(ctx, s, handle)
	if err != nil {
		return nil, err
	}
	if string(key.bytes(ck.CKA_UNIQUE_ID)) != string(one.Key) {
		return nil, ck.CKR_KEY_CHANGED
	}
	return key, h.checkUse(s.part, row, use(one.Kind), key, param)
}

func (one *savedOperation) restoreParam(row *engine.Mechanism) (any, error) {
	if one.Param == nil {
		if one.Bytes == nil {
			return nil, nil
		}
		return one.Bytes, nil
	}
	if row.Param == nil {
		return nil, ck.CKR_SAVED_STATE_INVALID
	}
	v := reflect.New(reflect.TypeOf(row.Param))
	if err := json.Unmarshal(one.Param, v.Interface()); err != nil {
		return nil, fmt.Errorf("%w: %w", err, ck.CKR_SAVED_STATE_INVALID)
	}
	return v.Elem().Interface(), nil
}
