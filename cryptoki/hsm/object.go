package hsm

import (
	"bytes"
	"context"
	"fmt"
	"slices"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/cryptoki/p11"
	"github.com/perilune/perilune/engine"
	"github.com/perilune/perilune/store"
)

// newObject makes an object of its attributes.
func newObject(attrs flat) (*object, error) {
	o := &object{attrs: attrs}
	class, ok := o.ulong(ck.CKA_CLASS)
	if !ok {
		return nil, errFlat
	}
	o.class = ck.ObjectClass(class)
	var subtype uint64
	if t, has := subtypeAttribute(o.class); has {
		if subtype, ok = o.ulong(t); !ok {
			return nil, errFlat
		}
	}
	if o.schema = findSchema(o.class, subtype); o.schema == nil {
		return nil, fmt.Errorf("%w: no schema for class %v, type %#x", errFlat, o.class, subtype)
	}
	o.isPrivate = o.bool(ck.CKA_PRIVATE)
	return o, nil
}

// bytes returns the value of attribute t, nil if the object has none. It must
// not be changed.
func (o *object) bytes(t ck.AttributeType) []byte {
	v, _ := o.attrs.get(t)
	return v
}

// bool returns the value of a CK_BBOOL, false if the object has none.
func (o *object) bool(t ck.AttributeType) bool {
	v, ok := o.attrs.get(t)
	return ok && len(v) == 1 && v[0] != 0
}

// ulong returns the value of a CK_ULONG.
func (o *object) ulong(t ck.AttributeType) (uint64, bool) { return ck.ULong(o.bytes(t)) }

// template returns the value of a template-valued attribute, nil if the object
// has none.
func (o *object) template(t ck.AttributeType) []ck.Attribute {
	if i, ok := o.attrs.find(t); ok && t.IsTemplate() {
		return o.attrs.attribute(i).Template
	}
	return nil
}

// keyType returns CKA_KEY_TYPE, or CK_UNAVAILABLE_INFORMATION.
func (o *object) keyType() ck.KeyType {
	if v, ok := o.ulong(ck.CKA_KEY_TYPE); ok {
		return ck.KeyType(v)
	}
	return ck.KeyType(ck.UnavailableInformation)
}

func (o *object) private() bool { return o.isPrivate }
func (o *object) token() bool   { return o.owner == nil }

// key returns the key material for the engine, nil for objects that are no keys.
func (o *object) key() *engine.Key {
	if k := o.parsed.Load(); k != nil || !isKey(o.class) {
		return k
	}
	k := &engine.Key{Class: o.class, Type: o.keyType(), Attrs: o.material()}
	if o.parsed.CompareAndSwap(nil, k) {
		return k
	}
	return o.parsed.Load()
}

// material picks the attributes that the engine knows as the key.
func (o *object) material() []ck.Attribute {
	list := make([]ck.Attribute, 0, len(o.schema.material))
	for _, t := range o.schema.material {
		if i, ok := o.attrs.find(t); ok {
			list = append(list, o.attrs.attribute(i))
		}
	}
	return list
}

// hides reports whether attribute t cannot be revealed (footnote 7: "if object
// has its CKA_SENSITIVE attribute set to CK_TRUE or its CKA_EXTRACTABLE
// attribute set to CK_FALSE").
func (o *object) hides(t ck.AttributeType) bool {
	r := o.schema.row(t)
	return r != nil && r.rules&hideable != 0 && (o.bool(ck.CKA_SENSITIVE) || !o.bool(ck.CKA_EXTRACTABLE))
}

// matches reports whether the object has all attributes of the template, by
// the rules of C_FindObjects: byte for byte. What cannot be read cannot be
// searched for either: it never matches.
func (o *object) matches(template []ck.Attribute) bool {
	for i := range template {
		if o.hides(template[i].Type) || !o.equals(template[i]) {
			return false
		}
	}
	return true
}

// equals reports whether the object has attribute a with this value.
func (o *object) equals(a ck.Attribute) bool {
	have, ok := o.attribute(a.Type)
	if !ok {
		v, ok := o.implied(a.Type)
		return ok && bytes.Equal(v, a.Value)
	}
	if sh, known := shapes()[a.Type]; known {
		c, err := canonical(a, sh)
		if err != nil {
			return false
		}
		a = c
	}
	return sameValue(&have, &a)
}

// sameValue compares values in their canonical form.
func sameValue(a, b *ck.Attribute) bool {
	return bytes.Equal(a.Value, b.Value) && slices.EqualFunc(a.Template, b.Template, func(x, y ck.Attribute) bool {
		return x.Type == y.Type && sameValue(&x, &y)
	})
}

// object returns the object of a handle if the session may see it.
func (h *HSM) object(ctx context.Context, s *session, handle ck.ObjectHandle) (*object, error) {
	o, err := h.lookUp(ctx, s.part, handle)
	if err != nil {
		return nil, err
	}
	if o.private() && s.part.privateKeys() == nil {
		return nil, ck.CKR_OBJECT_HANDLE_INVALID
	}
	return o, nil
}

// lookUp finds an object on a slot, whoever is logged in. Without the keys of
// private objects it cannot read those that are not in the cache.
func (h *HSM) lookUp(ctx context.Context, p *partition, handle ck.ObjectHandle) (*object, error) {
	switch {
	case handle >= firstSessionObject:
		if o := h.objects.get(handle); o != nil && o.owner.part == p {
			return o, nil
		}
		return nil, ck.CKR_OBJECT_HANDLE_INVALID
	case handle >= firstBuiltin:
		if i := int(handle - firstBuiltin); i < len(profiles) {
			return builtins()[i], nil
		}
		return nil, ck.CKR_OBJECT_HANDLE_INVALID
	}
	if o := p.objects.get(store.Ref(handle)); o != nil {
		return o, nil
	}
	return h.load(ctx, p, store.Ref(handle))
}

// keyObject is object for the keys of operations.
func (h *HSM) keyObject(ctx context.Context, s *session, handle ck.ObjectHandle) (*object, error) {
	o, err := h.object(ctx, s, handle)
	switch {
	case err == nil && !isKey(o.class):
		return nil, fmt.Errorf("the object is no key: %w", ck.CKR_KEY_HANDLE_INVALID)
	case err != nil && ck.RVOf(err) == ck.CKR_OBJECT_HANDLE_INVALID:
		return nil, ck.CKR_KEY_HANDLE_INVALID
	}
	return o, err
}

// mayMake says whether the session's state and role may make such an object
// (PKCS#11 v3.1 sections 5.7.1 and 5.7.2). The Crypto User makes public
// objects, and derives keys that live as long as the session.
func (s *session) mayMake(from origin, class ck.ObjectClass, token, private bool) error {
	role, _ := s.acting()
	switch {
	case token && !s.rw:
		return deny(refuseReadOnlySession, "a token object is not made in a R/O session")
	case private && (role == p11.RoleNone || role == p11.RolePartitionSO):
		return denyFor(refuseNotLoggedIn, ck.CKA_PRIVATE, "private objects need the Crypto Officer")
	case role == p11.RolePartitionSO && isSecretKind(class):
		return deny(refuseRole, "the %s makes no secret or private keys", role)
	case role == p11.RoleCryptoUser && from.derives() && !token:
		return nil
	case role == p11.RoleCryptoUser && (private || isSecretKind(class)):
		return deny(refuseRole, "the Crypto User makes public objects and derived session keys only")
	}
	return nil
}

// mayDestroy says whether the session's state and role may destroy o.
func (s *session) mayDestroy(o *object) error {
	role, _ := s.acting()
	switch {
	case o.isBuiltin():
		return deny(refuseBuiltin, "an object of the HSM stays as it is")
	case o.token() && !s.rw:
		return deny(refuseReadOnlySession, "a token object does not change in a R/O session")
	case role == p11.RolePartitionSO && isSecretKind(o.class):
		return deny(refuseRole, "the %s destroys no secret or private keys", role)
	case role == p11.RoleCryptoUser && o.token() && (o.private() || isSecretKind(o.class)):
		return deny(refuseRole, "the Crypto User destroys public objects and session objects only")
	case role == p11.RoleLimitedCryptoOfficer && o.token() && o.guarded() && !o.madeByLimitedOfficer():
		return denyFor(refuseRole, ck.CKA_MADE_BY, "the Limited Crypto Officer destroys what it made itself only")
	}
	return nil
}

// guarded reports whether the object is a key, or private: not everybody's.
func (o *object) guarded() bool { return isKey(o.class) || o.private() }

// madeByLimitedOfficer reports whether the Limited Crypto Officer made the
// object, which is noted in the object itself.
func (o *object) madeByLimitedOfficer() bool {
	made, _ := o.ulong(ck.CKA_MADE_BY)
	return ck.UserType(made) == ck.CKU_LIMITED_CRYPTO_OFFICER
}

// limitedAttributes are those that the Limited Crypto Officer changes, of keys
// and private objects: what they are called and when they are used, not what
// they may do.
var limitedAttributes = []ck.AttributeType{ck.CKA_LABEL, ck.CKA_ID, ck.CKA_SUBJECT, ck.CKA_START_DATE, ck.CKA_END_DATE}

// limitedMay says whether the Limited Crypto Officer may change o like this, or
// make such a copy of it.
func limitedMay(from origin, o *object, template []ck.Attribute) error {
	if !o.guarded() {
		return nil
	}
	for _, a := range template {
		r := o.schema.row(a.Type)
		given := from == originCopy && r != nil && r.rules&copyGives != 0
		if !given && !slices.Contains(limitedAttributes, a.Type) {
			return denyFor(refuseRole, a.Type, "the Limited Crypto Officer does not change %v", a.Type)
		}
	}
	return nil
}

// mayModify says whether the session's state and role may make the changes. Of
// secret and private keys, the Partition SO sets CKA_TRUSTED only. A trusted certificate can be
// modified by nobody else (section 4.6.2).
func (s *session) mayModify(role p11.Role, o *object, template []ck.Attribute) error {
	switch {
	case o.isBuiltin():
		return deny(refuseBuiltin, "an object of the HSM stays as it is")
	case o.token() && !s.rw:
		return deny(refuseReadOnlySession, "a token object does not change in a R/O session")
	case role == p11.RoleCryptoUser:
		return deny(refuseRole, "the %s modifies nothing", role)
	case role == p11.RolePartitionSO && isSecretKind(o.class):
		for _, a := range template {
			if a.Type != ck.CKA_TRUSTED {
				return denyFor(refuseRole, a.Type, "of secret and private keys, the Partition SO changes CKA_TRUSTED only")
			}
		}
	case role != p11.RolePartitionSO && o.class == ck.CKO_CERTIFICATE && o.bool(ck.CKA_TRUSTED):
		return denyFor(refuseTrusted, ck.CKA_TRUSTED, "a trusted certificate")
	case role == p11.RoleLimitedCryptoOfficer:
		return limitedMay(originModify, o, template)
	}
	return nil
}

func (h *HSM) handleCreateObject(ctx context.Context, s *session, q *p11.CreateObject, r *p11.Handle) error {
	o, err := h.build(ctx, s, &draft{origin: originCreate, template: q.Template})
	if err != nil {
		return err
	}
	handles, err := h.add(ctx, s, o)
	if err != nil {
		return err
	}
	r.Object = handles[0]
	return nil
}

func (h *HSM) handleCopyObject(ctx context.Context, s *session, q *p11.CopyObject, r *p11.Handle) error {
	for {
		base, err := h.object(ctx, s, q.Object)
		if err != nil {
			return err
		}
		o, err := h.build(ctx, s, &draft{origin: originCopy, template: q.Template, base: base})
		if err != nil {
			return err
		}
		handles, err := h.addCopy(ctx, s, o, base)
		if isConflict(err) {
			s.part.objects.forget(base.ref, 0)
			continue // somebody changed the original meanwhile: look again
		}
		if err != nil {
			return err
		}
		r.Object = handles[0]
		return nil
	}
}

func (h *HSM) handleDestroyObject(ctx context.Context, s *session, q *p11.DestroyObject, _ *p11.None) error {
	o, err := h.object(ctx, s, q.Object)
	if err != nil {
		return err
	}
	if err := s.mayDestroy(o); err != nil {
		return err
	}
	if !o.token() {
		if !o.bool(ck.CKA_DESTROYABLE) {
			return errNotDestroyable()
		}
		h.objects.remove(o)
		return nil
	}
	return h.destroy(ctx, s.part, o.ref)
}

func errNotDestroyable() error {
	return denyFor(refuseNotDestroyable, ck.CKA_DESTROYABLE, "CKA_DESTROYABLE is false")
}

// handleGetObjectSize tells how many bytes the attributes take.
func (h *HSM) handleGetObjectSize(ctx context.Context, s *session, q *p11.GetObjectSize, r *p11.Size) error {
	o, err := h.object(ctx, s, q.Object)
	if err != nil {
		return err
	}
	r.Bytes = uint64(len(o.attrs))
	return nil
}

// handleGetAttributeValue reads attributes (PKCS#11 v3.1 section 5.7.5). If
// some are hidden and some are not there, hidden is what the caller learns.
func (h *HSM) handleGetAttributeValue(ctx context.Context, s *session, q *p11.GetAttributeValue, r *p11.Attributes) error {
	o, err := h.object(ctx, s, q.Object)
	if err != nil {
		return err
	}
	var worst ck.RV
	r.Results = make([]p11.AttributeResult, len(q.Types))
	for i, t := range q.Types {
		res := &r.Results[i]
		*res = o.read(t)
		if res.RV == ck.CKR_ATTRIBUTE_SENSITIVE || worst == ck.CKR_OK {
			worst = res.RV
		}
	}
	if worst != ck.CKR_OK {
		return worst
	}
	return nil
}

// read returns a copy of an attribute, or why there is none.
func (o *object) read(t ck.AttributeType) p11.AttributeResult {
	if o.hides(t) {
		return p11.AttributeResult{Attribute: ck.Attribute{Type: t}, RV: ck.CKR_ATTRIBUTE_SENSITIVE}
	}
	i, ok := o.attrs.find(t)
	if ok && t.IsTemplate() {
		return p11.AttributeResult{Attribute: ck.Attribute{Type: t, Template: flat(bytes.Clone(o.attrs.value(i))).list()}}
	}
	a, ok := o.attribute(t)
	if !ok {
		if v, ok := o.implied(t); ok {
			return p11.AttributeResult{Attribute: ck.NewBytes(t, v)}
		}
		return p11.AttributeResult{Attribute: ck.Attribute{Type: t}, RV: ck.CKR_ATTRIBUTE_TYPE_INVALID}
	}
	return p11.AttributeResult{Attribute: ck.Attribute{Type: t, Value: append([]byte{}, a.Value...)}}
}

func (h *HSM) handleSetAttributeValue(ctx context.Context, s *session, q *p11.SetAttributeValue, _ *p11.None) error {
	o, err := h.object(ctx, s, q.Object)
	if err != nil {
		return err
	}
	role, _ := s.acting()
	change := func(now *object) (flat, error) {
		if err := s.mayModify(role, now, q.Template); err != nil {
			return nil, err
		}
		return now.changed(role, s.part.policies.Load(), q.Template)
	}
	if _, err := change(o); err != nil { // without troubling the store
		return err
	}
	if o.token() {
		return h.modify(ctx, s.part, o.ref, change)
	}
	return h.objects.modify(o.handle, change)
}
