package hsm

import (
	"context"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/cryptoki/p11"
	"github.com/perilune/perilune/engine"
)

// handleGenerateKey serves C_GenerateKey (PKCS#11 v3.1 section 5.18.1), which
// makes a secret key or domain parameters. The template is judged before they
// are made.
func (h *HSM) handleGenerateKey(ctx context.Context, s *session, q *p11.GenerateKey, r *p11.Handle) error {
	row, err := h.mechanismFor(s.part, q.Mechanism, useGenerate)
	if err != nil {
		return err
	}
	class, generate := ck.CKO_SECRET_KEY, row.Generate
	if row.GenerateParameters != nil {
		class, generate = ck.CKO_DOMAIN_PARAMETERS, row.GenerateParameters
	}
	d := generated(row, class, q.Template)
	if err := h.precheck(ctx, s, d); err != nil {
		return err
	}
	if d.values, err = generate(q.Mechanism.Param, q.Template); err != nil {
		return err
	}
	if err := checkGenerated(s.part, row, d); err != nil {
		return err
	}
	handles, err := h.make(ctx, s, d)
	if err != nil {
		return err
	}
	r.Object = handles[0]
	return nil
}

// handleGenerateKeyPair serves C_GenerateKeyPair (section 5.18.2): both keys
// come into being, or none.
func (h *HSM) handleGenerateKeyPair(ctx context.Context, s *session, q *p11.GenerateKeyPair, r *p11.KeyPair) error {
	row, err := h.mechanismFor(s.part, q.Mechanism, useGeneratePair)
	if err != nil {
		return err
	}
	pub := generated(row, ck.CKO_PUBLIC_KEY, q.Public)
	priv := generated(row, ck.CKO_PRIVATE_KEY, q.Private)
	for _, d := range []*draft{pub, priv} {
		if err := h.precheck(ctx, s, d); err != nil {
			return err
		}
	}
	pub.values, priv.values, err = row.GeneratePair(q.Mechanism.Param, q.Public, q.Private)
	if err != nil {
		return err
	}
	if err := checkGenerated(s.part, row, pub, priv); err != nil {
		return err
	}
	handles, err := h.make(ctx, s, pub, priv)
	if err != nil {
		return err
	}
	r.Public, r.Private = handles[0], handles[1]
	return nil
}

// checkGenerated refuses keys that are not good enough for FIPS mode. The engine has
// judged the sizes that a mechanism can make.
func checkGenerated(p *partition, row *engine.Mechanism, drafts ...*draft) error {
	if !p.fips() {
		return nil
	}
	for _, d := range drafts {
		key := &engine.Key{Class: d.class, Type: d.keyType, Attrs: d.values}
		err := checkSize(row, key, row.ApprovedMin(true), row.Max)
		if err == nil {
			err = approve(row, key, nil, true)
		}
		if err != nil {
			wipeValues(drafts)
			return err
		}
	}
	return nil
}

// generated is the draft of a key that row generates.
func generated(row *engine.Mechanism, class ck.ObjectClass, template []ck.Attribute) *draft {
	d := &draft{
		origin: originGenerate, class: class, keyType: row.Makes,
		template: template, genMech: row.Type,
	}
	if row.Makes == engine.AnySecret {
		d.keyType = ck.CKK_GENERIC_SECRET
		if t, ok, err := (wishes{template}).keyType(); ok && err == nil {
			d.keyType = t
		}
	}
	return d
}

// make builds the objects of the drafts, which copies the values that the engine
// made, and adds all of them or none.
func (h *HSM) make(ctx context.Context, s *session, drafts ...*draft) ([]ck.ObjectHandle, error) {
	defer wipeValues(drafts)
	objs := make([]*object, len(drafts))
	for i, d := range drafts {
		var err error
		if objs[i], err = h.build(ctx, s, d); err != nil {
			return nil, err
		}
	}
	return h.add(ctx, s, objs...)
}

// wipeValues clears secret values. The others may be the caller's own, passed
// through from the template.
func wipeValues(drafts []*draft) {
	for _, d := range drafts {
		for _, a := range d.values {
			switch a.Type {
			case ck.CKA_VALUE, ck.CKA_SEED, ck.CKA_PRIVATE_EXPONENT, ck.CKA_PRIME_1, ck.CKA_PRIME_2,
				ck.CKA_EXPONENT_1, ck.CKA_EXPONENT_2, ck.CKA_COEFFICIENT, ck.CKA_BIP32_CHAIN_CODE:
				if isSecretKind(d.class) {
					clear(a.Value)
				}
			}
		}
	}
}
