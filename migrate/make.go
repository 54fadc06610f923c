package migrate

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/cryptoki/p11"
	"github.com/perilune/perilune/engine"
)

// make makes the object, with as much of what it was as the HSM takes.
func (j *job) make(ctx context.Context) (ck.ObjectHandle, error) {
	all := slices.Concat(j.fixed, j.free)
	if h, err := j.create(ctx, all); err == nil {
		j.given = slices.Concat(j.material, all)
		return h, nil
	}
	fitting, err := j.fit(ctx)
	if err != nil {
		return 0, err
	}
	j.given = slices.Concat(j.material, fitting)
	return j.create(ctx, fitting)
}

// fit finds what the HSM takes, by making session objects: first with nothing but
// what must be, then with one attribute more at a time.
func (j *job) fit(ctx context.Context) ([]ck.Attribute, error) {
	fitting := slices.Clone(j.fixed)
	if err := j.rehearse(ctx, fitting); err != nil {
		return nil, err
	}
	for _, a := range j.free {
		with := append(slices.Clone(fitting), a)
		err := j.rehearse(ctx, with)
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if err == nil {
			fitting = with
			continue
		}
		j.lose(a.Type, "the HSM does not take it: "+err.Error())
		if slices.Contains(usages, a.Type) {
			if without := append(slices.Clone(fitting), ck.NewBool(a.Type, false)); j.rehearse(ctx, without) == nil {
				fitting = without
			}
		}
	}
	return fitting, nil
}

// rehearse makes a session object and destroys it.
func (j *job) rehearse(ctx context.Context, attrs []ck.Attribute) error {
	h, err := j.draft(ctx, attrs)
	if err != nil {
		return err
	}
	return j.destroy(ctx, h)
}

// draft makes the object for the session, so that it can be destroyed.
func (j *job) draft(ctx context.Context, attrs []ck.Attribute) (ck.ObjectHandle, error) {
	return j.bring(ctx, append(slices.Clone(attrs), ck.NewBool(ck.CKA_TOKEN, false), ck.NewBool(ck.CKA_DESTROYABLE, true)))
}

// create makes the object. One that cannot be destroyed is proven by a session
// object before, since it could not be removed if its proof failed.
func (j *job) create(ctx context.Context, attrs []ck.Attribute) (ck.ObjectHandle, error) {
	last := slices.ContainsFunc(attrs, func(a ck.Attribute) bool { return a.Type == ck.CKA_DESTROYABLE && isFalse(a) })
	if last || j.Rehearse {
		h, err := j.draft(ctx, attrs)
		if err != nil || j.Rehearse {
			return h, err
		}
		_, err = j.prove(ctx, h)
		if err := errors.Join(err, j.destroy(ctx, h)); err != nil {
			return 0, err
		}
	}
	return j.bring(ctx, append(slices.Clone(attrs), ck.NewBool(ck.CKA_TOKEN, true)))
}

// bring makes an object of the material and attributes, of which the later ones
// count: in the clear, or, where the HSM takes no private or secret keys so, in
// FIPS mode for one, wrapped under a key that it makes for the occasion.
func (j *job) bring(ctx context.Context, attrs []ck.Attribute) (ck.ObjectHandle, error) {
	attrs = lastOnes(attrs)
	r, err := p11.Call(ctx, j.Module, &p11.CreateObject{Session: j.Session, Template: slices.Concat(attrs, j.material)})
	if err == nil || ctx.Err() != nil || j.class != ck.CKO_PRIVATE_KEY && j.class != ck.CKO_SECRET_KEY {
		return r.Object, err
	}
	h, wrapErr := j.unwrap(ctx, attrs)
	if wrapErr != nil {
		return 0, err // wrapping was an attempt only: the first answer says more
	}
	return h, nil
}

// lastOnes keeps of each attribute the last.
func lastOnes(list []ck.Attribute) (out []ck.Attribute) {
	for i, a := range list {
		if ck.Find(list[i+1:], a.Type) == nil {
			out = append(out, a)
		}
	}
	return out
}

// gate is an AES key, known here and in the HSM, under which keys come in.
type gate struct {
	inside ck.ObjectHandle
	value  []byte
}

var (
	oaep     = &engine.OAEPParams{HashAlg: ck.CKM_SHA256, MGF: ck.CKG_MGF1_SHA256, Source: ck.CKZ_DATA_SPECIFIED}
	oaepSHA1 = &engine.OAEPParams{HashAlg: ck.CKM_SHA_1, MGF: ck.CKG_MGF1_SHA1, Source: ck.CKZ_DATA_SPECIFIED}
)

// unwrap wraps the key here and has it unwrapped in the HSM.
func (j *job) unwrap(ctx context.Context, attrs []ck.Attribute) (ck.ObjectHandle, error) {
	if j.gate == nil {
		g, err := j.openGate(ctx)
		if err != nil {
			return 0, err
		}
		j.gate = g
	}
	encoded, err := j.encoded()
	if err != nil {
		return 0, err
	}
	if j.class == ck.CKO_SECRET_KEY {
		attrs = append(slices.Clone(attrs), ck.NewULong(ck.CKA_VALUE_LEN, uint64(len(encoded))))
	}
	inner := &engine.Key{Class: ck.CKO_SECRET_KEY, Type: ck.CKK_AES, Attrs: []ck.Attribute{ck.NewBytes(ck.CKA_VALUE, j.gate.value)}}
	return j.unwrapWith(ctx, ck.CKM_AES_KEY_WRAP_KWP, nil, inner, j.gate.inside, encoded, attrs)
}

// unwrapWith wraps bytes with outer, a key known here, and has them unwrapped with
// its other half in the HSM.
func (im *Importer) unwrapWith(ctx context.Context, m ck.MechanismType, param any, outer *engine.Key, inside ck.ObjectHandle, data []byte, attrs []ck.Attribute) (ck.ObjectHandle, error) {
	op, err := engine.Find(m).Wrap(outer, param)
	if err != nil {
		return 0, err
	}
	n, _ := op.FinishLen(len(data))
	wrapped := make([]byte, n)
	if n, err = op.Finish(wrapped, data); err != nil {
		return 0, err
	}
	var r p11.Handle
	for _, t := range numbers(m) {
		r, err = p11.Call(ctx, im.Module, &p11.UnwrapKey{Session: im.Session, UnwrappingKey: inside, Wrapped: wrapped[:n],
			Mechanism: &ck.Mechanism{Type: t, Param: param}, Template: attrs})
		if ck.RVOf(err) != ck.CKR_MECHANISM_INVALID {
			break
		}
	}
	return r.Object, err
}

// numbers are those of a mechanism: the standard's, and those that devices gave it
// before. A profile may have the one or the other.
func numbers(m ck.MechanismType) []ck.MechanismType {
	list := []ck.MechanismType{m}
	if row := engine.Find(m); row != nil {
		list = append(list, row.Aliases...)
	}
	return list
}

// openGate brings an AES key in, under a key pair that the HSM makes for that.
func (im *Importer) openGate(ctx context.Context) (*gate, error) {
	pair, public, err := im.gatePair(ctx)
	if err != nil {
		return nil, err
	}
	g := &gate{value: make([]byte, 32)}
	rand.Read(g.value)
	attrs := []ck.Attribute{ck.NewULong(ck.CKA_CLASS, ck.CKO_SECRET_KEY), ck.NewULong(ck.CKA_KEY_TYPE, ck.CKK_AES), ck.NewULong(ck.CKA_VALUE_LEN, uint64(32)),
		ck.NewBool(ck.CKA_TOKEN, false), ck.NewBool(ck.CKA_PRIVATE, true), ck.NewBool(ck.CKA_SENSITIVE, true), ck.NewBool(ck.CKA_EXTRACTABLE, false)}
	attrs = append(attrs, onlyFor(ck.CKO_SECRET_KEY, ck.CKA_UNWRAP)...)
	for _, p := range []*engine.OAEPParams{oaep, oaepSHA1} {
		if g.inside, err = im.unwrapWith(ctx, ck.CKM_RSA_PKCS_OAEP, p, public, pair.Private, g.value, attrs); err == nil {
			break
		}
	}
	return g, errors.Join(err, im.destroy(ctx, pair.Public), im.destroy(ctx, pair.Private))
}

func (im *Importer) gatePair(ctx context.Context) (p11.KeyPair, *engine.Key, error) {
	session := ck.NewBool(ck.CKA_TOKEN, false)
	q := &p11.GenerateKeyPair{Session: im.Session, Mechanism: &ck.Mechanism{Type: ck.CKM_RSA_PKCS_KEY_PAIR_GEN},
		Public: append(onlyFor(ck.CKO_PUBLIC_KEY, ck.CKA_WRAP), session,
			ck.NewULong(ck.CKA_MODULUS_BITS, uint64(3072)), ck.NewBytes(ck.CKA_PUBLIC_EXPONENT, []byte{1, 0, 1})),
		Private: append(onlyFor(ck.CKO_PRIVATE_KEY, ck.CKA_UNWRAP), session,
			ck.NewBool(ck.CKA_PRIVATE, true), ck.NewBool(ck.CKA_SENSITIVE, true), ck.NewBool(ck.CKA_EXTRACTABLE, false))}
	pair, err := p11.Call(ctx, im.Module, q)
	if ck.RVOf(err) == ck.CKR_MECHANISM_INVALID { // FIPS mode
		q.Mechanism = &ck.Mechanism{Type: ck.CKM_RSA_FIPS_186_3_PRIME_KEY_PAIR_GEN}
		pair, err = p11.Call(ctx, im.Module, q)
	}
	public := &engine.Key{Class: ck.CKO_PUBLIC_KEY, Type: ck.CKK_RSA}
	for _, t := range []ck.AttributeType{ck.CKA_MODULUS, ck.CKA_PUBLIC_EXPONENT} {
		if err != nil {
			return pair, nil, err
		}
		var a *ck.Attribute
		if a, err = im.attribute(ctx, pair.Public, t); err == nil && a == nil {
			err = fmt.Errorf("the HSM does not show %v of a public key", t)
		}
		if err == nil {
			public.Attrs = append(public.Attrs, *a)
		}
	}
	return pair, public, err
}

// encoded is the key as it is wrapped.
func (j *job) encoded() ([]byte, error) {
	if j.class == ck.CKO_SECRET_KEY {
		if a := ck.Find(j.material, ck.CKA_VALUE); a != nil {
			return a.Value, nil
		}
		return nil, errors.New("the key has no value")
	}
	row := engine.FindKeyType(j.keyType)
	if row.MarshalPKCS8 == nil {
		return nil, fmt.Errorf("keys of type %v cannot be wrapped", j.keyType)
	}
	k, err := j.key(row)
	if err != nil {
		return nil, err
	}
	return row.MarshalPKCS8(k)
}
