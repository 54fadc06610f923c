package migrate

import (
	"context"
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
	h, err := j.bring(ctx, append(slices.Clone(attrs), ck.NewBool(ck.CKA_TOKEN, false), ck.NewBool(ck.CKA_DESTROYABLE, true)))
	if err != nil {
		return err
	}
	return j.destroy(ctx, h)
}

// create makes the object. One that cannot be destroyed is proven by a session
// object before, since it could not be removed if its proof failed.
func (j *job) create(ctx context.Context, attrs []ck.Attribute) (ck.ObjectHandle, error) {
	last := slices.ContainsFunc(attrs, func(a ck.Attribute) bool { return a.Type == ck.CKA_DESTROYABLE && isFalse(a) })
	if last || j.Rehearse {
		h, err := j.bring(ctx, append(slices.Clone(attrs), ck.NewBool(ck.CKA_TOKEN, false), ck.NewBool(ck.CKA_DESTROYABLE, true)))
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

// gate is a key pair of the HSM, for the session, under which keys come in.
type gate struct {
	private ck.ObjectHandle
	public  *engine.Key
}

var gateParams = &engine.RSAAESKeyWrapParams{AESKeyBits: 256, OAEP: oaep}

var oaep = &engine.OAEPParams{HashAlg: ck.CKM_SHA256, MGF: ck.CKG_MGF1_SHA256, Source: ck.CKZ_DATA_SPECIFIED}

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
	op, err := engine.Find(ck.CKM_RSA_AES_KEY_WRAP).Wrap(j.gate.public, gateParams)
	if err != nil {
		return 0, err
	}
	n, _ := op.FinishLen(len(encoded))
	wrapped := make([]byte, n)
	if n, err = op.Finish(wrapped, encoded); err != nil {
		return 0, err
	}
	r, err := p11.Call(ctx, j.Module, &p11.UnwrapKey{Session: j.Session, UnwrappingKey: j.gate.private, Wrapped: wrapped[:n],
		Mechanism: &ck.Mechanism{Type: ck.CKM_RSA_AES_KEY_WRAP, Param: gateParams}, Template: attrs})
	return r.Object, err
}

func (im *Importer) openGate(ctx context.Context) (*gate, error) {
	no, yes := func(t ck.AttributeType) ck.Attribute { return ck.NewBool(t, false) }, func(t ck.AttributeType) ck.Attribute { return ck.NewBool(t, true) }
	q := &p11.GenerateKeyPair{Session: im.Session, Mechanism: &ck.Mechanism{Type: ck.CKM_RSA_PKCS_KEY_PAIR_GEN},
		Public: []ck.Attribute{no(ck.CKA_TOKEN), no(ck.CKA_ENCRYPT), no(ck.CKA_VERIFY), no(ck.CKA_VERIFY_RECOVER), yes(ck.CKA_WRAP),
			ck.NewULong(ck.CKA_MODULUS_BITS, uint64(3072)), ck.NewBytes(ck.CKA_PUBLIC_EXPONENT, []byte{1, 0, 1})},
		Private: []ck.Attribute{no(ck.CKA_TOKEN), yes(ck.CKA_PRIVATE), yes(ck.CKA_SENSITIVE), no(ck.CKA_EXTRACTABLE),
			no(ck.CKA_DECRYPT), no(ck.CKA_SIGN), no(ck.CKA_SIGN_RECOVER), yes(ck.CKA_UNWRAP)}}
	pair, err := p11.Call(ctx, im.Module, q)
	if ck.RVOf(err) == ck.CKR_MECHANISM_INVALID { // FIPS mode
		q.Mechanism = &ck.Mechanism{Type: ck.CKM_RSA_FIPS_186_3_PRIME_KEY_PAIR_GEN}
		pair, err = p11.Call(ctx, im.Module, q)
	}
	if err != nil {
		return nil, err
	}
	g := &gate{private: pair.Private, public: &engine.Key{Class: ck.CKO_PUBLIC_KEY, Type: ck.CKK_RSA}}
	for _, t := range []ck.AttributeType{ck.CKA_MODULUS, ck.CKA_PUBLIC_EXPONENT} {
		a, err := im.attribute(ctx, pair.Public, t)
		if err != nil {
			return nil, err
		}
		if a == nil {
			return nil, fmt.Errorf("the HSM does not show %v of a public key", t)
		}
		g.public.Attrs = append(g.public.Attrs, *a)
	}
	return g, nil
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
