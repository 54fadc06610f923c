package capi

import (
	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/cryptoki/cmem"
	"github.com/perilune/perilune/cryptoki/p11"
)

// Key management (PKCS#11 v3.1 section 5.18). Templates and parameters carry
// keys and passwords, so the copies are wiped after use.

func generateKey(c call) error {
	if err := c.needs(4); err != nil {
		return err
	}
	m, raw, err := c.mechanism(1)
	if err != nil {
		return err
	}
	defer cmem.WipeParameter(m.Param)
	template, err := c.template(2)
	if err != nil {
		return err
	}
	defer cmem.Wipe(template)
	r, err := ask(c, &p11.GenerateKey{Session: c.session(), Mechanism: m, Template: template})
	return c.keyMade(4, r, err, m, raw)
}

// keyMade is made, for functions that may have changed their mechanism's
// parameter.
func (c call) keyMade(i int, r p11.Handle, err error, m *ck.Mechanism, raw cmem.Mechanism) error {
	if err != nil {
		return err
	}
	set(c, i, r.Object)
	return raw.WriteBack(m.Param)
}

func generateKeyPair(c call) error {
	if err := c.needs(6, 7); err != nil {
		return err
	}
	m, raw, err := c.mechanism(1)
	if err != nil {
		return err
	}
	defer cmem.WipeParameter(m.Param)
	public, err := c.template(2)
	if err != nil {
		return err
	}
	private, err := c.template(4)
	if err != nil {
		return err
	}
	defer cmem.Wipe(private)
	r, err := ask(c, &p11.GenerateKeyPair{Session: c.session(), Mechanism: m, Public: public, Private: private})
	if err != nil {
		return err
	}
	set(c, 6, r.Public)
	set(c, 7, r.Private)
	return raw.WriteBack(m.Param)
}

func wrapKey(c call) error {
	m, raw, err := c.wrapMechanism(1)
	if err != nil {
		return err
	}
	return c.wrap(p11.WrapKey{Mechanism: m}, raw, 4)
}

func wrapKeyAuthenticated(c call) error {
	m, raw, err := c.messageMechanism(1)
	if err != nil {
		return err
	}
	aad, err := c.bytes(4)
	if err != nil {
		return err
	}
	return c.wrap(p11.WrapKey{Mechanism: m, Authenticated: true, AAD: aad}, raw, 6)
}

// wrap wraps the key that is argument 3 with the one that is argument 2, into
// the output that is argument i.
func (c call) wrap(req p11.WrapKey, raw cmem.Mechanism, i int) error {
	defer cmem.WipeParameter(req.Mechanism.Param)
	out, err := c.output(i)
	if err != nil {
		return err
	}
	req.Session, req.WrappingKey, req.Key, req.Out = c.session(), c.object(2), c.object(3), out
	copied := apart(&req.AAD, out)
	r, err := ask(c, &req)
	clear(copied)
	if err = c.wrote(i, &r, err); err != nil || out.Query {
		return err
	}
	return raw.WriteBack(req.Mechanism.Param)
}

func unwrapKey(c call) error {
	m, raw, err := c.wrapMechanism(1)
	if err != nil {
		return err
	}
	return c.unwrap(p11.UnwrapKey{Mechanism: m}, raw, 7)
}

func unwrapKeyAuthenticated(c call) error {
	m, raw, err := c.messageMechanism(1)
	if err != nil {
		return err
	}
	aad, err := c.bytes(7)
	if err != nil {
		return err
	}
	return c.unwrap(p11.UnwrapKey{Mechanism: m, Authenticated: true, AAD: aad}, raw, 9)
}

// unwrap unwraps argument 3 with the key that is argument 2 and the template
// that is argument 5; the handle goes where argument i points.
func (c call) unwrap(req p11.UnwrapKey, raw cmem.Mechanism, i int) error {
	defer cmem.WipeParameter(req.Mechanism.Param)
	if err := c.needs(i); err != nil {
		return err
	}
	wrapped, err := c.bytes(3)
	if err != nil {
		return err
	}
	template, err := c.template(5)
	if err != nil {
		return err
	}
	defer cmem.Wipe(template)
	req.Session, req.UnwrappingKey, req.Wrapped, req.Template = c.session(), c.object(2), wrapped, template
	r, err := ask(c, &req)
	return c.keyMade(i, r, err, req.Mechanism, raw)
}

func encapsulateKey(c call) error {
	out, err := c.output(5)
	if err != nil {
		return err
	}
	if !out.Query {
		if err := c.needs(7); err != nil {
			return err
		}
	}
	m, raw, err := c.mechanism(1)
	if err != nil {
		return err
	}
	defer cmem.WipeParameter(m.Param)
	template, err := c.template(3)
	if err != nil {
		return err
	}
	defer cmem.Wipe(template)
	r, err := ask(c, &p11.EncapsulateKey{
		Session:   c.session(),
		Mechanism: m,
		PublicKey: c.object(2),
		Template:  template,
		Out:       out,
	})
	if err = c.wrote(5, &p11.Length{N: r.N}, err); err != nil || out.Query {
		return err
	}
	set(c, 7, r.Object)
	return raw.WriteBack(m.Param)
}

func decapsulateKey(c call) error {
	if err := c.needs(7); err != nil {
		return err
	}
	m, raw, err := c.mechanism(1)
	if err != nil {
		return err
	}
	defer cmem.WipeParameter(m.Param)
	template, err := c.template(3)
	if err != nil {
		return err
	}
	defer cmem.Wipe(template)
	ciphertext, err := c.bytes(5)
	if err != nil {
		return err
	}
	r, err := ask(c, &p11.DecapsulateKey{
		Session:    c.session(),
		Mechanism:  m,
		PrivateKey: c.object(2),
		Ciphertext: ciphertext,
		Template:   template,
	})
	return c.keyMade(7, r, err, m, raw)
}

// deriveKey takes null for the handle's place from callers whose mechanism
// returns handles in its parameter.
func deriveKey(c call) error {
	m, raw, err := c.mechanism(1)
	if err != nil {
		return err
	}
	defer cmem.WipeParameter(m.Param)
	template, err := c.template(3)
	if err != nil {
		return err
	}
	defer cmem.Wipe(template)
	r, err := ask(c, &p11.DeriveKey{
		Session:   c.session(),
		Mechanism: m,
		BaseKey:   c.object(2),
		Template:  template,
		NoHandle:  c.words[5] == 0,
	})
	if err != nil {
		// The parameter may say which of several keys could not be made.
		_ = raw.WriteBack(m.Param)
		return err
	}
	if c.words[5] != 0 {
		set(c, 5, r.Object)
	}
	return raw.WriteBack(m.Param)
}
