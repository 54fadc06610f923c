package hsm

import (
	"context"
	"fmt"
	"slices"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/cryptoki/p11"
	"github.com/perilune/perilune/engine"
)

// handleDeriveKey serves C_DeriveKey (PKCS#11 v3.1 section 5.18.5).
func (h *HSM) handleDeriveKey(ctx context.Context, s *session, q *p11.DeriveKey, r *p11.Handle) error {
	row, err := h.mechanismFor(s.part, q.Mechanism, useDerive)
	if err != nil {
		return err
	}
	if q.NoHandle && !row.InParam {
		return fmt.Errorf("there is no place for the handle of the new key: %w", ck.CKR_ARGUMENTS_BAD)
	}
	base, err := h.keyObject(ctx, s, q.BaseKey)
	if err != nil {
		return err
	}
	if err := h.checkUse(s.part, row, useDerive, base, q.Mechanism.Param); err != nil {
		return err
	}
	if row.DerivesPublic {
		return h.derivePublic(ctx, s, row, q, base, r)
	}
	if alwaysAuthenticate(base) {
		return errAlwaysAuthenticate
	}
	others, err := h.otherKeys(ctx, s, row, q.Mechanism.Param)
	if err != nil {
		return err
	}
	d, length, err := deriveDraft(row, base, others, q.Template)
	if err != nil {
		return err
	}
	if row.DeriveKeys == nil && !row.Inherits && d.keyType != ck.CKK_GENERIC_SECRET {
		if err := h.profile().wantsLength(d, length); err != nil {
			return err
		}
	}
	if err := h.precheck(ctx, s, d); err != nil {
		return err
	}
	for _, key := range append([]*object{base}, others...) {
		if key == nil {
			continue
		}
		if err := h.countUse(ctx, s, key); err != nil {
			return err
		}
	}
	wanted := &engine.Derivation{Type: d.keyType, Len: length, Keys: keysOf(others), Template: d.template}
	if row.DeriveKeys != nil {
		return h.deriveKeys(ctx, s, row, q, d, wanted, r)
	}
	value, err := row.Derive(base.key(), q.Mechanism.Param, wanted)
	if err != nil {
		return err
	}
	r.Object, err = h.makeSecret(ctx, s, d, value)
	return err
}

// deriveKeys is for mechanisms that derive several objects: all come into
// being, or none. d is the draft of the one that C_DeriveKey answers with.
func (h *HSM) deriveKeys(ctx context.Context, s *session, row *engine.Mechanism, q *p11.DeriveKey, d *draft, wanted *engine.Derivation, r *p11.Handle) error {
	list, err := row.DeriveKeys(d.from.key(), q.Mechanism.Param, wanted)
	if err != nil {
		return err
	}
	drafts, objs := make([]*draft, len(list)), make([]*object, len(list))
	for i := range list {
		drafts[i] = d.derived(&list[i])
	}
	defer wipeValues(drafts)
	for i, each := range drafts {
		if objs[i], err = h.buildDerived(ctx, s, row, each); err != nil {
			// The handle tells whose template is to blame (section 6.42.6).
			if to := list[i].Handle; to != nil {
				*to = 0
			}
			return err
		}
	}
	handles, err := h.add(ctx, s, objs...)
	if err != nil {
		return err
	}
	for i, handle := range handles {
		if to := list[i].Handle; to != nil {
			*to = engine.NewHandle(handle)
		} else {
			r.Object = handle
		}
	}
	return nil
}

func (h *HSM) buildDerived(ctx context.Context, s *session, row *engine.Mechanism, d *draft) (*object, error) {
	if row.Inherits && isSecretKind(d.class) {
		if err := d.inherit(); err != nil {
			return nil, err
		}
	}
	return h.build(ctx, s, d)
}

// derived is the draft of one of several objects.
func (d *draft) derived(one *engine.Derived) *draft {
	each := *d
	each.values, each.plan = one.Values, nil
	if one.Handle == nil {
		each.template = append(slices.Clip(d.template), one.Template...)
		return &each
	}
	each.template = one.Template
	each.class, each.keyType = one.Class, one.Type
	if v, ok, _ := (wishes{one.Template}).ulong(ck.CKA_CLASS); ok {
		each.class = ck.ObjectClass(v)
	}
	if t, ok, _ := (wishes{one.Template}).keyType(); ok {
		each.keyType = t
	}
	return &each
}

// otherKeys finds the keys that the parameter names; nil for the handle 0. A
// secret or private one must permit derivation like the base key: otherwise
// C_DeriveKey would copy a key that may not be used for it.
func (h *HSM) otherKeys(ctx context.Context, s *session, row *engine.Mechanism, param any) ([]*object, error) {
	handles := paramHandles(param)
	if len(handles) == 0 {
		return nil, nil
	}
	keys := make([]*object, len(handles))
	for i, handle := range handles {
		if handle == 0 {
			continue
		}
		key, err := h.keyObject(ctx, s, handle)
		if err != nil {
			return nil, err
		}
		err = mayContribute(row, key)
		if err == nil {
			err = h.checkKeyPolicies(s.part.policies.Load(), useDerive, key)
		}
		if err != nil {
			return nil, fmt.Errorf("a key in the parameter: %w", err)
		}
		keys[i] = key
	}
	return keys, nil
}

func mayContribute(row *engine.Mechanism, key *object) error {
	if key.class == ck.CKO_PUBLIC_KEY {
		return nil
	}
	if !key.bool(ck.CKA_DERIVE) {
		return denyFor(refuseKeyUsage, ck.CKA_DERIVE, "CKA_DERIVE is false")
	}
	if alwaysAuthenticate(key) {
		return errAlwaysAuthenticate
	}
	return checkAllowed(row.Type, key)
}

func keysOf(objs []*object) (keys []*engine.Key) {
	for _, o := range objs {
		if o == nil {
			keys = append(keys, nil)
		} else {
			keys = append(keys, o.key())
		}
	}
	return keys
}

// deriveDraft is the draft of the new key, and its length if the template or
// the key type gives one.
func deriveDraft(row *engine.Mechanism, base *object, others []*object, template []ck.Attribute) (*draft, int, error) {
	w := wishes{template, base.template(ck.CKA_DERIVE_TEMPLATE)}
	past, err := history(base, others)
	if err != nil {
		return nil, 0, err
	}
	d := &draft{
		origin: originDerive, class: derivedClass(row), template: template,
		base: past, from: base,
	}
	kt, ok, err := w.keyType()
	if err != nil {
		return nil, 0, err
	}
	switch {
	case ok:
		d.keyType = kt
	case row.Makes != 0:
		d.keyType = row.Makes
	default:
		d.keyType = ck.CKK_GENERIC_SECRET
	}
	length, err := w.newLength(d.keyType)
	if err != nil {
		return nil, 0, err
	}
	if row.Inherits {
		err = d.inherit()
	}
	return d, length, err
}

func derivedClass(row *engine.Mechanism) ck.ObjectClass {
	if row.DerivesData {
		return ck.CKO_DATA
	}
	return ck.CKO_SECRET_KEY
}

// history is the base key with the past of all keys that the new one comes
// from: sensitive if one is, extractable if all are (section 6.43.3).
func history(base *object, others []*object) (*object, error) {
	if len(others) == 0 {
		return base, nil
	}
	attrs := base.attrs.list()
	for _, t := range []ck.AttributeType{
		ck.CKA_SENSITIVE, ck.CKA_EXTRACTABLE, ck.CKA_ALWAYS_SENSITIVE, ck.CKA_NEVER_EXTRACTABLE,
	} {
		v := base.bool(t)
		for _, o := range others {
			switch {
			case o == nil || o.class == ck.CKO_PUBLIC_KEY:
			case t == ck.CKA_SENSITIVE:
				v = v || o.bool(t)
			default:
				v = v && o.bool(t)
			}
		}
		attrs.put(ck.NewBool(t, v))
	}
	return newObject(flatten(attrs))
}

// inherit makes the new key sensitive if the old ones are, and unextractable if
// they are, unless the template wants the contrary.
func (d *draft) inherit() error {
	if d.base.bool(ck.CKA_SENSITIVE) {
		if err := d.force(ck.CKA_SENSITIVE, true); err != nil {
			return err
		}
	}
	if !d.base.bool(ck.CKA_EXTRACTABLE) {
		return d.force(ck.CKA_EXTRACTABLE, false)
	}
	return nil
}

// force puts a truth into the template.
func (d *draft) force(t ck.AttributeType, v bool) error {
	a := ck.Find(d.template, t)
	if a == nil {
		d.template = append(slices.Clip(d.template), ck.NewBool(t, v))
		return nil
	}
	if got, ok := ck.Bool(a.Value); ok && got != v {
		return refuse(t, ck.CKR_TEMPLATE_INCONSISTENT, "must be %v, as it is with the base key", v)
	}
	return nil // precheck refuses what is no truth value
}
