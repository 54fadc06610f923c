package hsm

import (
	"context"
	"slices"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/cryptoki/p11"
	"github.com/perilune/perilune/engine"
)

// The names that C_WrapKey and C_UnwrapKey have for what is wrong with the key
// that wraps, and with what is wrapped.
var (
	wrappingKeyCodes = map[ck.RV]ck.RV{
		ck.CKR_KEY_HANDLE_INVALID:    ck.CKR_WRAPPING_KEY_HANDLE_INVALID,
		ck.CKR_KEY_TYPE_INCONSISTENT: ck.CKR_WRAPPING_KEY_TYPE_INCONSISTENT,
		ck.CKR_KEY_SIZE_RANGE:        ck.CKR_WRAPPING_KEY_SIZE_RANGE,
	}
	unwrappingKeyCodes = map[ck.RV]ck.RV{
		ck.CKR_KEY_HANDLE_INVALID:      ck.CKR_UNWRAPPING_KEY_HANDLE_INVALID,
		ck.CKR_KEY_TYPE_INCONSISTENT:   ck.CKR_UNWRAPPING_KEY_TYPE_INCONSISTENT,
		ck.CKR_KEY_SIZE_RANGE:          ck.CKR_UNWRAPPING_KEY_SIZE_RANGE,
		ck.CKR_WRAPPING_KEY_SIZE_RANGE: ck.CKR_UNWRAPPING_KEY_SIZE_RANGE,
	}
	payloadCodes = map[ck.RV]ck.RV{
		ck.CKR_DATA_LEN_RANGE: ck.CKR_KEY_SIZE_RANGE,
		ck.CKR_DATA_INVALID:   ck.CKR_KEY_SIZE_RANGE, // raw RSA: not less than the modulus
	}
	wrappedCodes = map[ck.RV]ck.RV{
		ck.CKR_ENCRYPTED_DATA_INVALID:   ck.CKR_WRAPPED_KEY_INVALID,
		ck.CKR_AEAD_DECRYPT_FAILED:      ck.CKR_WRAPPED_KEY_INVALID,
		ck.CKR_DATA_INVALID:             ck.CKR_WRAPPED_KEY_INVALID,
		ck.CKR_ENCRYPTED_DATA_LEN_RANGE: ck.CKR_WRAPPED_KEY_LEN_RANGE,
		ck.CKR_DATA_LEN_RANGE:           ck.CKR_WRAPPED_KEY_LEN_RANGE,
	}
)

// handleWrapKey serves C_WrapKey (section 5.18.3).
func (h *HSM) handleWrapKey(ctx context.Context, s *session, q *p11.WrapKey, r *p11.Length) error {
	u := useWrap
	if q.Authenticated {
		u = useWrapAuthenticated
	}
	row, err := h.mechanismFor(s.part, q.Mechanism, u)
	if err != nil {
		return err
	}
	wrapping, err := h.keyObject(ctx, s, q.WrappingKey)
	if err != nil {
		return renamed(err, wrappingKeyCodes)
	}
	key, err := h.keyObject(ctx, s, q.Key)
	if err != nil {
		return err
	}
	if err := h.checkUse(s.part, row, u, wrapping, q.Mechanism.Param); err != nil {
		return renamed(err, wrappingKeyCodes)
	}
	if err := wrappable(row, wrapping, key); err != nil {
		return err
	}
	policies := s.part.policies.Load()
	if err := policies.mayWrap(key); err != nil {
		return err
	}
	payload, wipe, err := payloadOf(key)
	if err != nil {
		return err
	}
	defer wipe()
	if row.CBCPad && len(payload) <= smallKey && !policies.on(policyCBCPadAny) {
		return deny(refuseCBCPadWrap, "a key of %d bytes under CBC with padding", len(payload))
	}
	if !q.Out.Query {
		if err := h.countUse(ctx, s, wrapping); err != nil {
			return err
		}
	}
	if q.Authenticated {
		r.N, err = wrapAuthenticated(row, wrapping, payload, q)
		return err
	}
	op, err := row.Wrap(wrapping.key(), q.Mechanism.Param)
	if err != nil {
		return renamed(err, wrappingKeyCodes)
	}
	n, kept, err := finishInto(op, payload, q.Out, true)
	clear(kept)
	r.N = n
	return renamed(err, payloadCodes)
}

// wrapAuthenticated is C_WrapKeyAuthenticated (PKCS#11 v3.2 section 5.18.6): one
// message of message-based encryption, whose parameter takes the IV and the
// tag. The ciphertext is as long as the key.
func wrapAuthenticated(row *engine.Mechanism, wrapping *object, payload []byte, q *p11.WrapKey) (int, error) {
	switch n := len(payload); {
	case q.Out.Query:
		return n, nil
	case len(q.Out.Buf) < n:
		return n, ck.CKR_BUFFER_TOO_SMALL
	}
	messages, err := row.MessageEncrypt(wrapping.key(), nil)
	if err != nil {
		return 0, renamed(err, wrappingKeyCodes)
	}
	op, err := messages.Begin(q.Mechanism.Param, q.AAD)
	if err != nil {
		return 0, err
	}
	n, kept, err := finishInto(op, payload, q.Out, false)
	clear(kept)
	return n, renamed(err, payloadCodes)
}

// unwrapAuthenticated begins the contrary.
func unwrapAuthenticated(row *engine.Mechanism, unwrapping *object, q *p11.UnwrapKey) (engine.Op, error) {
	messages, err := row.MessageDecrypt(unwrapping.key(), nil)
	if err != nil {
		return nil, err
	}
	return messages.Begin(q.Mechanism.Param, q.AAD)
}

// wrappable checks whether key may leave the token under this wrapping key.
func wrappable(row *engine.Mechanism, wrapping, key *object) error {
	switch key.class {
	case ck.CKO_SECRET_KEY:
	case ck.CKO_PRIVATE_KEY:
		if row.Wrapped.SecretOnly {
			return deny(refuseNotWrappable, "%v wraps secret keys only", row.Type)
		}
	default:
		return deny(refuseNotWrappable, "a public key needs no wrapping")
	}
	if !key.bool(ck.CKA_EXTRACTABLE) {
		return denyFor(refuseUnextractable, ck.CKA_EXTRACTABLE, "CKA_EXTRACTABLE is false")
	}
	if key.bool(ck.CKA_WRAP_WITH_TRUSTED) && !wrapping.bool(ck.CKA_TRUSTED) {
		return denyFor(refuseWrapWithTrusted, ck.CKA_WRAP_WITH_TRUSTED, "CKA_WRAP_WITH_TRUSTED, but CKA_TRUSTED of the wrapping key is false")
	}
	template := wrapping.template(ck.CKA_WRAP_TEMPLATE)
	for i := range template {
		if !key.matches(template[i : i+1]) {
			return denyFor(refuseWrapTemplate, template[i].Type, "%v is not as CKA_WRAP_TEMPLATE of the wrapping key wants it", template[i].Type)
		}
	}
	return nil
}

// payloadOf is what gets wrapped: the value of a secret key, the PKCS #8
// encoding of a private key (section 6.7). wipe ends its use.
func payloadOf(key *object) (payload []byte, wipe func(), err error) {
	k := key.key()
	if key.class == ck.CKO_SECRET_KEY {
		return k.Value(), func() {}, nil
	}
	kt := engine.FindKeyType(key.keyType())
	if kt == nil || kt.MarshalPKCS8 == nil {
		return nil, nil, denyFor(refuseNotWrappable, ck.CKA_KEY_TYPE, "keys of type %v have no PKCS #8 form", key.keyType())
	}
	if payload, err = kt.MarshalPKCS8(k); err != nil {
		return nil, nil, deny(refuseNotWrappable, "no PKCS #8 form (%v)", err)
	}
	return payload, func() { clear(payload) }, nil
}

// handleUnwrapKey serves C_UnwrapKey (section 5.18.4).
func (h *HSM) handleUnwrapKey(ctx context.Context, s *session, q *p11.UnwrapKey, r *p11.Handle) error {
	u := useUnwrap
	if q.Authenticated {
		u = useUnwrapAuthenticated
	}
	row, err := h.mechanismFor(s.part, q.Mechanism, u)
	if err != nil {
		return err
	}
	unwrapping, err := h.keyObject(ctx, s, q.UnwrappingKey)
	if err != nil {
		return renamed(err, unwrappingKeyCodes)
	}
	if err := h.checkUse(s.part, row, u, unwrapping, q.Mechanism.Param); err != nil {
		return renamed(err, unwrappingKeyCodes)
	}
	if alwaysAuthenticate(unwrapping) {
		return errAlwaysAuthenticate
	}
	d, length, err := unwrapDraft(row, unwrapping, q.Template)
	if err != nil {
		return err
	}
	if err := h.profile().wantsLength(d, length); err != nil {
		return err
	}
	policies := s.part.policies.Load()
	if err := policies.mayUnwrap(d.class); err != nil {
		return err
	}
	if row.CBCPad && len(q.Wrapped) <= smallWrapped && !policies.on(policyCBCPadAny) {
		return deny(refuseCBCPadUnwrap, "a wrapped key of %d bytes under CBC with padding", len(q.Wrapped))
	}
	if err := h.precheck(ctx, s, d); err != nil {
		return err
	}
	if err := h.countUse(ctx, s, unwrapping); err != nil {
		return err
	}
	plain, err := unwrap(row, unwrapping, q, length)
	if err != nil {
		return err
	}
	defer clear(plain)
	if d.values, err = recovered(row, d, length, plain); err != nil {
		return err
	}
	handles, err := h.make(ctx, s, d)
	if err != nil {
		return unwrapError(d, err)
	}
	r.Object = handles[0]
	return nil
}

// errAlwaysAuthenticate is for functions without a place for the login that
// such a key needs. "Failing or omitting to re-authenticate" answers this
// (section 4.9), and to let them pass would make the attribute worth nothing.
var errAlwaysAuthenticate = denyFor(refuseNoContextLogin, ck.CKA_ALWAYS_AUTHENTICATE, "the key has CKA_ALWAYS_AUTHENTICATE, and this function has no place for the login")

// unwrapDraft is the draft of the new key, and its length if the template gives
// one.
func unwrapDraft(row *engine.Mechanism, from *object, template []ck.Attribute) (*draft, int, error) {
	w := wishes{template, from.template(ck.CKA_UNWRAP_TEMPLATE)}
	d := &draft{origin: originUnwrap, template: template, from: from}
	class, ok, err := w.ulong(ck.CKA_CLASS)
	if err != nil {
		return nil, 0, err
	}
	if !ok {
		return nil, 0, refuse(ck.CKA_CLASS, ck.CKR_TEMPLATE_INCOMPLETE, "missing")
	}
	d.class = ck.ObjectClass(class)
	switch {
	case d.class == ck.CKO_SECRET_KEY:
	case d.class != ck.CKO_PRIVATE_KEY:
		return nil, 0, refuse(ck.CKA_CLASS, ck.CKR_TEMPLATE_INCONSISTENT, "%v: only secret and private keys can be unwrapped", d.class)
	case row.Wrapped.SecretOnly:
		return nil, 0, refuse(ck.CKA_CLASS, ck.CKR_TEMPLATE_INCONSISTENT, "CKO_PRIVATE_KEY: %v wraps secret keys only", row.Type)
	}
	kt, ok, err := w.keyType()
	if err != nil {
		return nil, 0, err
	}
	if !ok {
		return nil, 0, refuse(ck.CKA_KEY_TYPE, ck.CKR_TEMPLATE_INCOMPLETE, "missing")
	}
	d.keyType = kt
	known := engine.FindKeyType(d.keyType)
	switch {
	case known == nil:
		return nil, 0, refuse(ck.CKA_KEY_TYPE, ck.CKR_ATTRIBUTE_VALUE_INVALID, "%v is not known", d.keyType)
	case d.class == ck.CKO_PRIVATE_KEY && known.UnmarshalPKCS8 == nil:
		return nil, 0, refuse(ck.CKA_KEY_TYPE, ck.CKR_TEMPLATE_INCONSISTENT, "%v: these keys have no PKCS #8 form", d.keyType)
	}
	if d.class == ck.CKO_PRIVATE_KEY {
		return d, 0, nil
	}
	length, err := unwrappedLength(row, d.keyType, w)
	return d, length, err
}

// unwrappedLength is the length that a secret key is to have, 0 for as long as
// the mechanism recovers it.
func unwrappedLength(row *engine.Mechanism, kt ck.KeyType, w wishes) (int, error) {
	length, err := w.length()
	switch {
	case err != nil:
		return 0, err
	case !lengthFits(kt, length):
		return 0, refuse(ck.CKA_VALUE_LEN, ck.CKR_WRAPPED_KEY_LEN_RANGE, "%d: no length of %v", length, kt)
	case length == 0:
		length = fixedLength(kt)
	}
	if length == 0 && row.Wrapped.Last {
		return 0, refuse(ck.CKA_VALUE_LEN, ck.CKR_TEMPLATE_INCOMPLETE, "missing, and nothing else tells the length")
	}
	return length, nil
}

// unwrap decrypts. length is that of the key, 0 if the mechanism must tell.
func unwrap(row *engine.Mechanism, unwrapping *object, q *p11.UnwrapKey, length int) ([]byte, error) {
	op, err := engine.Op(nil), error(nil)
	if q.Authenticated {
		op, err = unwrapAuthenticated(row, unwrapping, q)
	} else {
		op, err = row.Unwrap(unwrapping.key(), q.Mechanism.Param)
	}
	if err != nil {
		return nil, renamed(err, unwrappingKeyCodes)
	}
	if e, ok := op.(engine.Expecter); ok && length > 0 {
		if err := e.Expect(length); err != nil {
			return nil, err
		}
	}
	n, _ := op.FinishLen(len(q.Wrapped))
	plain := make([]byte, n)
	if n, err = op.Finish(plain, q.Wrapped); err != nil {
		clear(plain)
		return nil, renamed(err, wrappedCodes)
	}
	return plain[:n], nil
}

// recovered makes the value attributes of the new key.
func recovered(row *engine.Mechanism, d *draft, length int, plain []byte) ([]ck.Attribute, error) {
	if d.class == ck.CKO_SECRET_KEY {
		value, err := secretFrom(row.Wrapped, d.keyType, length, plain)
		if err != nil {
			return nil, err
		}
		return []ck.Attribute{ck.NewBytes(ck.CKA_VALUE, value)}, nil
	}
	// Zeros that CKM_AES_KEY_WRAP put behind the encoding, the engine ignores.
	attrs, err := engine.FindKeyType(d.keyType).UnmarshalPKCS8(plain)
	if err != nil {
		return nil, renamedUnwrapped(err)
	}
	return attrs, nil
}

// secretFrom takes the key out of what was decrypted: as long as the template
// or the key type says, or as long as the mechanism recovered it. A conflict of
// these is CKR_WRAPPED_KEY_LEN_RANGE (section 5.18.4).
func secretFrom(rule engine.Wrapped, kt ck.KeyType, length int, plain []byte) ([]byte, error) {
	if length == 0 {
		length = len(plain)
	}
	rest := len(plain) - length
	switch {
	case rest < 0 || length == 0 || !lengthFits(kt, length):
		return nil, refuse(ck.CKA_VALUE_LEN, ck.CKR_WRAPPED_KEY_LEN_RANGE, "the wrapped key has another length")
	case rule.Last:
		return plain[rest:], nil
	case rest <= rule.Zeros:
		return plain[:length], nil
	}
	return nil, refuse(ck.CKA_VALUE_LEN, ck.CKR_WRAPPED_KEY_LEN_RANGE, "the wrapped key has another length")
}

// renamedUnwrapped gives whatever is wrong with an unwrapped private key the
// name that C_UnwrapKey has for it, save for a curve or a set of parameters
// that we do not have.
func renamedUnwrapped(err error) error {
	switch rv := ck.RVOf(err); rv {
	case ck.CKR_CURVE_NOT_SUPPORTED, ck.CKR_DOMAIN_PARAMS_INVALID, ck.CKR_PARAMETER_SET_NOT_SUPPORTED:
		return err
	default:
		return renamed(err, map[ck.RV]ck.RV{rv: ck.CKR_WRAPPED_KEY_INVALID})
	}
}

// unwrapError judges the failure to build a key whose template was found good:
// what is wrong is the private key's numbers.
func unwrapError(d *draft, err error) error {
	if d.class == ck.CKO_PRIVATE_KEY && ck.RVOf(err) == ck.CKR_ATTRIBUTE_VALUE_INVALID {
		return renamedUnwrapped(err)
	}
	return err
}

// wishes are the templates that bind a new key: the caller's, and the one on
// the key that it comes from. Whether they conflict is for precheck to find.
type wishes [2][]ck.Attribute

func (w wishes) ulong(t ck.AttributeType) (v uint64, ok bool, err error) {
	for _, template := range w {
		if a := ck.Find(template, t); a != nil {
			if v, ok = ck.ULong(a.Value); !ok {
				return 0, false, refuse(t, ck.CKR_ATTRIBUTE_VALUE_INVALID, "not a CK_ULONG")
			}
			return v, true, nil
		}
	}
	return 0, false, nil
}

// keyType is CKA_KEY_TYPE, by the standard's number.
func (w wishes) keyType() (t ck.KeyType, ok bool, err error) {
	v, ok, err := w.ulong(ck.CKA_KEY_TYPE)
	return engine.StandardKeyType(ck.KeyType(v)), ok, err
}

// maxSecretLen is the longest secret key that can be derived or unwrapped.
const maxSecretLen = 1 << 20

// length is CKA_VALUE_LEN, 0 if there is none.
func (w wishes) length() (int, error) {
	v, ok, err := w.ulong(ck.CKA_VALUE_LEN)
	if err != nil || !ok {
		return 0, err
	}
	if v == 0 || v > maxSecretLen {
		return 0, refuse(ck.CKA_VALUE_LEN, ck.CKR_ATTRIBUTE_VALUE_INVALID, "%d: must be 1 to %d", v, maxSecretLen)
	}
	return int(v), nil
}

// fixedLength is the length of secret keys of a type that have only one, else 0.
func fixedLength(kt ck.KeyType) int {
	if row := engine.FindKeyType(kt); row != nil && len(row.Lengths) == 1 {
		return row.Lengths[0]
	}
	return 0
}

// lengthFits reports whether secret keys of a type can have a length, 0 meaning
// that it is not known yet.
func lengthFits(kt ck.KeyType, n int) bool {
	row := engine.FindKeyType(kt)
	return n == 0 || row == nil || len(row.Lengths) == 0 || slices.Contains(row.Lengths, n)
}
