package hsm

import (
	"context"
	"fmt"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/cryptoki/p11"
	"github.com/perilune/perilune/engine"
)

// handleEncapsulateKey serves C_EncapsulateKey (PKCS#11 v3.2 section 5.18.8).
// Neither a length query nor a buffer that is too small makes a key.
func (h *HSM) handleEncapsulateKey(ctx context.Context, s *session, q *p11.EncapsulateKey, r *p11.Encapsulated) error {
	row, key, err := h.kemKey(ctx, s, q.Mechanism, useEncapsulate, q.PublicKey)
	if err != nil {
		return err
	}
	d, wanted, err := kemDraft(key, originEncapsulate, q.Template)
	if err != nil {
		return err
	}
	if err := h.precheck(ctx, s, d); err != nil {
		return err
	}
	r.N, err = row.CiphertextLen(key.key(), q.Mechanism.Param)
	switch {
	case err != nil:
		return err
	case q.Out.Query:
		return nil
	case len(q.Out.Buf) < r.N:
		return ck.CKR_BUFFER_TOO_SMALL
	}
	if err := h.countUse(ctx, s, key); err != nil {
		return err
	}
	ciphertext, secret, err := row.Encapsulate(key.key(), q.Mechanism.Param, wanted)
	if err != nil {
		return err
	}
	if r.Object, err = h.makeSecret(ctx, s, d, secret); err != nil {
		return err
	}
	r.N = copy(q.Out.Buf, ciphertext)
	return nil
}

// handleDecapsulateKey serves C_DecapsulateKey (section 5.18.9).
func (h *HSM) handleDecapsulateKey(ctx context.Context, s *session, q *p11.DecapsulateKey, r *p11.Handle) error {
	row, key, err := h.kemKey(ctx, s, q.Mechanism, useDecapsulate, q.PrivateKey)
	if err != nil {
		return err
	}
	if alwaysAuthenticate(key) {
		return errAlwaysAuthenticate
	}
	d, wanted, err := kemDraft(key, originDecapsulate, q.Template)
	if err != nil {
		return err
	}
	if err := h.precheck(ctx, s, d); err != nil {
		return err
	}
	if err := h.countUse(ctx, s, key); err != nil {
		return err
	}
	secret, err := row.Decapsulate(key.key(), q.Mechanism.Param, wanted, q.Ciphertext)
	if err != nil {
		return renamed(err, wrappedCodes)
	}
	r.Object, err = h.makeSecret(ctx, s, d, secret)
	return err
}

// kemKey finds the mechanism and a key that may be used with it.
func (h *HSM) kemKey(ctx context.Context, s *session, m *ck.Mechanism, u use, handle ck.ObjectHandle) (*engine.Mechanism, *object, error) {
	row, err := h.mechanismFor(s.part, m, u)
	if err != nil {
		return nil, nil, err
	}
	key, err := h.keyObject(ctx, s, handle)
	if err != nil {
		return nil, nil, err
	}
	return row, key, h.checkUse(s.part, row, u, key, m.Param)
}

// kemDraft is the draft of the secret key, and what the engine needs to know of
// it.
func kemDraft(key *object, from origin, template []ck.Attribute) (*draft, *engine.Derivation, error) {
	d := &draft{
		origin: from, class: ck.CKO_SECRET_KEY, keyType: ck.CKK_GENERIC_SECRET, template: template, from: key,
	}
	w := wishes{template, d.bindingTemplate()}
	kt, ok, err := w.keyType()
	if err != nil {
		return nil, nil, err
	}
	if ok {
		d.keyType = kt
	}
	length, err := w.newLength(d.keyType)
	return d, &engine.Derivation{Type: d.keyType, Len: length}, err
}

// newLength is the length that a new secret key is to have by the templates or
// by its type; 0 if they leave it open.
func (w wishes) newLength(kt ck.KeyType) (int, error) {
	length, err := w.length()
	switch {
	case err != nil:
		return 0, err
	case !lengthFits(kt, length):
		return 0, refuse(ck.CKA_VALUE_LEN, ck.CKR_ATTRIBUTE_VALUE_INVALID, "%d: no length of %v", length, kt)
	case length == 0:
		return fixedLength(kt), nil
	}
	return length, nil
}

// makeSecret makes the key of a draft from its value.
func (h *HSM) makeSecret(ctx context.Context, s *session, d *draft, secret []byte) (ck.ObjectHandle, error) {
	d.values = []ck.Attribute{ck.NewBytes(ck.CKA_VALUE, secret)}
	handles, err := h.make(ctx, s, d)
	if err != nil {
		return 0, err
	}
	return handles[0], nil
}

// handleGetValidationFlags serves C_GetSessionValidationFlags (section 5.6.11).
// The flags name validation objects, of which there is none as long as nobody
// has validated this module; so none applies to any operation.
func (h *HSM) handleGetValidationFlags(_ context.Context, _ *session, q *p11.GetValidationFlags, r *p11.ValidationFlags) error {
	if q.Type != ck.CKS_LAST_VALIDATION_OK {
		return fmt.Errorf("there are no session validation flags of type %d: %w", q.Type, ck.CKR_ARGUMENTS_BAD)
	}
	r.Flags = 0
	return nil
}
