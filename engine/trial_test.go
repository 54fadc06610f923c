package engine

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"testing"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/engine/internal/ct"
)

// trial is one mechanism with keys and a parameter.
type trial struct {
	t    *testing.T
	m    *Mechanism
	keys *sampleKeys
	p    any
	// template is the caller's, for what is made.
	template []ck.Attribute
	parts    bool // run operations in parts
}

// use is one thing that mechanisms do. in is what it works on: a message, a
// ciphertext, an encoded key. made is what the use named before made of it.
type use struct {
	name   string
	before string
	proto  func(m *Mechanism) any
	has    func(m *Mechanism) bool
	run    func(x *trial, in, made []byte) ([]byte, error)
}

// opUse is a use that is an Op.
func opUse(name, before string, public bool, f func(m *Mechanism) func(*Key, any) (Op, error)) use {
	return use{
		name: name, before: before, proto: ordinaryParam,
		has: func(m *Mechanism) bool { return f(m) != nil },
		run: func(x *trial, in, made []byte) ([]byte, error) {
			if before != "" {
				in = made
			}
			return x.op(f(x.m), x.keys.of(public), in)
		},
	}
}

func ordinaryParam(m *Mechanism) any { return m.Param }
func messageParam(m *Mechanism) any  { return m.MessageParam }

func wrapParamOf(m *Mechanism) any { return m.WrapParam }

// withProto is u with another parameter, where the row has it.
func (u use) withProto(name, before string, proto func(m *Mechanism) any) use {
	has := u.has
	u.name, u.before, u.proto = name, before, proto
	u.has = func(m *Mechanism) bool { return proto(m) != nil && has(m) }
	return u
}

var (
	wrapUse   = opUse("wrap", "", true, func(m *Mechanism) func(*Key, any) (Op, error) { return m.Wrap })
	unwrapUse = opUse("unwrap", "wrap", false, func(m *Mechanism) func(*Key, any) (Op, error) { return m.Unwrap })
)

var uses = []use{
	opUse("encrypt", "", true, func(m *Mechanism) func(*Key, any) (Op, error) { return m.Encrypt }),
	opUse("decrypt", "encrypt", false, func(m *Mechanism) func(*Key, any) (Op, error) { return m.Decrypt }),
	opUse("sign", "", false, func(m *Mechanism) func(*Key, any) (Op, error) { return m.Sign }),
	{name: "verify", before: "sign", proto: ordinaryParam, has: func(m *Mechanism) bool { return m.Verify != nil }, run: verifyTrial},
	opUse("sign-recover", "", false, func(m *Mechanism) func(*Key, any) (Op, error) { return m.SignRecover }),
	opUse("verify-recover", "sign-recover", true, func(m *Mechanism) func(*Key, any) (Op, error) { return m.VerifyRecover }),
	opUse("digest", "", false, func(m *Mechanism) func(*Key, any) (Op, error) {
		if m.Digest == nil {
			return nil
		}
		return func(_ *Key, p any) (Op, error) { return m.Digest(p) }
	}),
	wrapUse, unwrapUse,
	wrapUse.withProto("wrap-authenticated", "", wrapParamOf),
	unwrapUse.withProto("unwrap-authenticated", "wrap-authenticated", wrapParamOf),
	{name: "encapsulate", proto: ordinaryParam, has: func(m *Mechanism) bool { return m.Encapsulate != nil }, run: encapsulateTrial},
	{name: "decapsulate", before: "encapsulate", proto: ordinaryParam, has: func(m *Mechanism) bool { return m.Decapsulate != nil }, run: decapsulateTrial},
	messageUse("message-encrypt", "", func(m *Mechanism) func(*Key, any) (MessageOp, error) { return m.MessageEncrypt }),
	messageUse("message-decrypt", "message-encrypt", func(m *Mechanism) func(*Key, any) (MessageOp, error) { return m.MessageDecrypt }),
	{name: "derive", proto: ordinaryParam, has: func(m *Mechanism) bool { return m.Derive != nil || m.DeriveKeys != nil }, run: deriveTrial},
	{name: "generate", proto: ordinaryParam, has: func(m *Mechanism) bool { return m.Generate != nil }, run: generateTrial},
	{name: "generate-parameters", proto: ordinaryParam, has: func(m *Mechanism) bool { return m.GenerateParameters != nil }, run: generateParametersTrial},
	{name: "generate-pair", proto: ordinaryParam, has: func(m *Mechanism) bool { return m.GeneratePair != nil }, run: generatePairTrial},
}

// param is the parameter as operations get it.
func (x *trial) param() any {
	if keys := x.keys.namedKeys(x.p); len(keys) > 0 {
		return &WithKeys{x.p, keys}
	}
	return x.p
}

func (x *trial) op(begin func(*Key, any) (Op, error), k *Key, in []byte) ([]byte, error) {
	op, err := begin(k, x.param())
	if err != nil {
		return nil, err
	}
	if x.parts {
		return inParts(x.t, x.m, op, in)
	}
	return finishWhole(x.t, x.m, op, in)
}

func verifyTrial(x *trial, in, made []byte) ([]byte, error) {
	v, err := x.m.Verify(x.keys.of(true), x.param())
	if err != nil {
		return nil, err
	}
	if half := len(in) / 2; x.parts && half > 0 {
		if err := v.Update(in[:half]); err != nil {
			return nil, err
		}
		in = in[half:]
	}
	return nil, v.Verify(in, made)
}

// derivation is what x wants of a derivation.
func (x *trial) derivation() *Derivation {
	d := &Derivation{Type: ck.CKK_GENERIC_SECRET, Keys: x.keys.namedKeys(x.p), Template: x.template}
	if x.m.Makes != 0 && x.m.Makes != AnySecret {
		d.Type = x.m.Makes
	}
	if a := ck.Find(x.template, ck.CKA_VALUE_LEN); a != nil {
		if n, ok := ck.ULong(a.Value); ok {
			d.Len = int(min(n, 1<<17))
		}
	}
	return d
}

// encapsulateTrial returns the ciphertext.
func encapsulateTrial(x *trial, _, _ []byte) ([]byte, error) {
	n, err := x.m.CiphertextLen(x.keys.of(true), x.p)
	if err != nil {
		return nil, err
	}
	ciphertext, secret, err := x.m.Encapsulate(x.keys.of(true), x.p, x.derivation())
	if err == nil && (len(ciphertext) != n || len(secret) == 0) {
		x.t.Errorf("%v: a ciphertext of %d bytes, announced %d; a secret of %d", x.m.Type, len(ciphertext), n, len(secret))
	}
	return ciphertext, err
}

func decapsulateTrial(x *trial, _, made []byte) ([]byte, error) {
	return x.m.Decapsulate(x.keys.of(false), x.p, x.derivation(), made)
}

func messageUse(name, before string, f func(m *Mechanism) func(*Key, any) (MessageOp, error)) use {
	return use{
		name: name, before: before, proto: messageParam,
		has: func(m *Mechanism) bool { return f(m) != nil },
		run: func(x *trial, in, made []byte) ([]byte, error) {
			if before != "" {
				in = made
			}
			mo, err := f(x.m)(x.keys.of(false), nil)
			if err != nil {
				return nil, err
			}
			op, err := mo.Begin(x.p, []byte("associated"))
			if err != nil {
				return nil, err
			}
			if x.parts {
				return inParts(x.t, x.m, op, in)
			}
			return finishWhole(x.t, x.m, op, in)
		},
	}
}

func deriveTrial(x *trial, _, _ []byte) ([]byte, error) {
	if x.m.DeriveKeys == nil {
		return x.m.Derive(x.keys.of(false), x.p, x.derivation())
	}
	list, err := x.m.DeriveKeys(x.keys.of(false), x.p, x.derivation())
	var out []byte
	for _, d := range list {
		out = append(out, (&Key{Attrs: d.Values}).Value()...)
	}
	return out, err
}

// values puts attributes behind one another.
func values(lists ...[]ck.Attribute) (out []byte) {
	for _, list := range lists {
		for _, a := range list {
			out = append(out, a.Value...)
		}
	}
	return out
}

func generateTrial(x *trial, _, _ []byte) ([]byte, error) {
	attrs, err := x.m.Generate(bounded(x.p), x.template)
	return values(attrs), err
}

func generateParametersTrial(x *trial, _, _ []byte) ([]byte, error) {
	attrs, err := x.m.GenerateParameters(x.p, x.template)
	return values(attrs), err
}

func generatePairTrial(x *trial, _, _ []byte) ([]byte, error) {
	pub, priv, err := x.m.GeneratePair(x.p, x.template, nil)
	return values(pub, priv), err
}

// sampleTemplates are templates that serve generation and derivation by m.
func sampleTemplates(m *Mechanism, s *sampleKeys) [][]ck.Attribute {
	length := func(n uint64) []ck.Attribute { return []ck.Attribute{ck.NewULong(ck.CKA_VALUE_LEN, n)} }
	switch {
	case m.GeneratePair != nil && s != nil && s.public != nil:
		list := [][]ck.Attribute{s.public.Attrs}
		if s.public.Type == ck.CKK_RSA {
			for _, bits := range []uint64{512, 1024, 2048} {
				list = append(list, []ck.Attribute{ck.NewULong(ck.CKA_MODULUS_BITS, bits)})
			}
			return list
		}
		var group []ck.Attribute
		for _, t := range []ck.AttributeType{ck.CKA_EC_PARAMS, ck.CKA_PRIME, ck.CKA_SUBPRIME, ck.CKA_BASE, ck.CKA_PARAMETER_SET} {
			if a := ck.Find(s.public.Attrs, t); a != nil && len(a.Value) > 0 {
				group = append(group, *a)
			}
		}
		return append(list, group)
	case m.GenerateParameters != nil:
		bits := []ck.Attribute{ck.NewULong(ck.CKA_PRIME_BITS, uint64(1024)), ck.NewULong(ck.CKA_SUBPRIME_BITS, uint64(160))}
		list := [][]ck.Attribute{bits, {ck.NewULong(ck.CKA_PRIME_BITS, uint64(512))}}
		if s != nil && s.public != nil {
			list = append(list, s.public.Attrs, append([]ck.Attribute{*ck.Find(s.public.Attrs, ck.CKA_PRIME)}, *ck.Find(s.public.Attrs, ck.CKA_SUBPRIME)))
		}
		return list
	case m.Generate != nil:
		return [][]ck.Attribute{length(16), nil, length(24), length(32)}
	}
	return [][]ck.Attribute{length(16), nil}
}

// sampleInputs are messages of lengths that suit one mechanism or another.
func sampleInputs() (list [][]byte) {
	for _, n := range []int{32, 20, 16, 8, 48, 64, 256} {
		list = append(list, pattern(n))
	}
	return list
}

// findTrial looks for samples with which use u of m works, and gives found fresh
// ones with what the use works on. It goes on with the next keys if found says
// so.
func findTrial(t *testing.T, m *Mechanism, u use, found func(x *trial, in, made []byte) (more bool)) (last error) {
	types := m.Keys
	if m.GeneratePair != nil || m.GenerateParameters != nil {
		types = []ck.KeyType{m.Makes}
	}
	sets := []*sampleKeys{{}}
	if len(types) > 0 {
		sets = nil
		for _, kt := range types {
			sets = append(sets, sampleKeysOf(kt)...)
		}
	}
	last = errors.New("no sample keys")
nextKeys:
	for _, s := range sets {
		params, ok := sampleParams(m, u.proto(m), s)
		if !ok {
			return fmt.Errorf("%T has no samples: add some to sampleParams", u.proto(m))
		}
		for i := range params {
			for _, template := range sampleTemplates(m, s) {
				for _, in := range sampleInputs() {
					x := &trial{t: t, m: m, keys: s.fresh(), template: template}
					x.p = cloneParam(params[i])
					made, err := x.prepare(u, in)
					if err == nil {
						_, err = u.run(x, in, bytes.Clone(made))
					}
					if err != nil {
						last = err
						continue
					}
					if !found(&trial{t: t, m: m, keys: s.fresh(), p: x.p, template: template}, in, made) {
						return nil
					}
					continue nextKeys
				}
			}
		}
	}
	return last
}

// prepare runs the use that comes before u.
func (x *trial) prepare(u use, in []byte) ([]byte, error) {
	if u.before == "" {
		return nil, nil
	}
	for _, before := range uses {
		if before.name == u.before {
			if !before.has(x.m) {
				return x.publishedSignature(in)
			}
			made, err := before.run(x, in, nil)
			ct.Public(made) // as ciphertexts and signatures are
			return made, err
		}
	}
	panic("no use " + u.before)
}

// publishedSignature is for mechanisms that only verify.
func (x *trial) publishedSignature([]byte) ([]byte, error) {
	return nil, ck.CKR_FUNCTION_NOT_SUPPORTED
}

// cloneParam copies a parameter, as it lies in memory of its own.
func cloneParam(p any) any {
	if p == nil {
		return nil
	}
	v := reflect.New(reflect.TypeOf(p)).Elem()
	cloneValue(v, reflect.ValueOf(p))
	return v.Interface()
}

func cloneValue(dst, src reflect.Value) {
	switch src.Kind() {
	case reflect.Pointer:
		if !src.IsNil() {
			dst.Set(reflect.New(src.Type().Elem()))
			cloneValue(dst.Elem(), src.Elem())
		}
	case reflect.Interface:
		if !src.IsNil() {
			v := reflect.New(src.Elem().Type()).Elem()
			cloneValue(v, src.Elem())
			dst.Set(v)
		}
	case reflect.Struct:
		for i := range src.NumField() {
			cloneValue(dst.Field(i), src.Field(i))
		}
	case reflect.Slice:
		if !src.IsNil() {
			dst.Set(reflect.MakeSlice(src.Type(), src.Len(), src.Len()))
			for i := range src.Len() {
				cloneValue(dst.Index(i), src.Index(i))
			}
		}
	default:
		dst.Set(src)
	}
}

// slowUses are not tried by TestSamples: they take seconds, and tests of their
// own cover them.
func slowUse(m *Mechanism, u use) bool { return m.GenerateParameters != nil }

// TestSamples wants samples with which every use of every row works.
func TestSamples(t *testing.T) {
	for _, m := range Mechanisms() {
		if m.alias {
			continue
		}
		for _, u := range uses {
			if !u.has(m) || slowUse(m, u) {
				continue
			}
			if u.before == "sign" && m.Sign == nil {
				continue // the self-tests verify published signatures
			}
			t.Run(m.Type.String()+"/"+u.name, func(t *testing.T) {
				t.Parallel()
				n := 0
				err := findTrial(t, m, u, func(*trial, []byte, []byte) bool { n++; return false })
				if n == 0 {
					t.Errorf("no sample works: %v", err)
				}
			})
		}
	}
}
