package hsm

import (
	"bytes"
	"context"
	"slices"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/cryptoki/p11"
	"github.com/perilune/perilune/engine"
)

// derivePublic derives the public key of a private key (PKCS#11 v3.2,
// CKM_PUB_KEY_FROM_PRIV_KEY). Nothing secret comes of it, so the private key need
// permit no derivation and no login of its own goes before.
func (h *HSM) derivePublic(ctx context.Context, s *session, row *engine.Mechanism, q *p11.DeriveKey, private *object, r *p11.Handle) error {
	d := &draft{origin: originDerive, class: ck.CKO_PUBLIC_KEY, template: q.Template, base: private, from: private}
	if err := d.publicHalf(); err != nil {
		return err
	}
	if err := h.precheck(ctx, s, d); err != nil {
		return err
	}
	if err := h.countUse(ctx, s, private); err != nil {
		return err
	}
	list, err := row.DeriveKeys(private.key(), q.Mechanism.Param, &engine.Derivation{Type: d.keyType, Template: d.template})
	if err != nil {
		return err
	}
	d.values = list[0].Values
	if err := d.agrees(); err != nil {
		return err
	}
	handles, err := h.make(ctx, s, d)
	if err != nil {
		return err
	}
	r.Object = handles[0]
	return nil
}

// agrees refuses a template that wants another public key.
func (d *draft) agrees() error {
	for _, v := range d.values {
		if a := ck.Find(d.template, v.Type); a != nil && !bytes.Equal(a.Value, v.Value) {
			return refuse(v.Type, ck.CKR_TEMPLATE_INCONSISTENT, "not that of the private key")
		}
	}
	return nil
}

// publicHalves names what a public key may do where its private key may do
// something.
var publicHalves = []struct{ public, private ck.AttributeType }{
	{ck.CKA_ENCRYPT, ck.CKA_DECRYPT},
	{ck.CKA_VERIFY, ck.CKA_SIGN},
	{ck.CKA_VERIFY_RECOVER, ck.CKA_SIGN_RECOVER},
	{ck.CKA_WRAP, ck.CKA_UNWRAP},
	{ck.CKA_ENCAPSULATE, ck.CKA_DECAPSULATE},
	{ck.CKA_DERIVE, ck.CKA_DERIVE},
}

// publicHalf makes the draft one of the public key of the base key, which
// permits what goes with it and is found by the same name, but as the template
// says otherwise. It is public, and as short-lived as the session.
func (d *draft) publicHalf() error {
	t, ok, err := (wishes{d.template}).keyType()
	if err != nil {
		return err
	}
	d.keyType = d.from.keyType()
	if ok && t != d.keyType {
		return refuse(ck.CKA_KEY_TYPE, ck.CKR_TEMPLATE_INCONSISTENT, "%v, and the private key is one of type %v", t, d.keyType)
	}
	add := func(a ck.Attribute) {
		if ck.Find(d.template, a.Type) == nil {
			d.template = append(slices.Clip(d.template), a)
		}
	}
	for _, half := range publicHalves {
		add(ck.NewBool(half.public, d.from.bool(half.private)))
	}
	for _, t := range []ck.AttributeType{ck.CKA_ID, ck.CKA_SUBJECT, ck.CKA_ALLOWED_MECHANISMS} {
		if v := d.from.bytes(t); len(v) > 0 {
			add(ck.NewBytes(t, v))
		}
	}
	add(ck.NewBool(ck.CKA_PRIVATE, false))
	return nil
}
