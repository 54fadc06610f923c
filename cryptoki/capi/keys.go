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
	out, err := c.output(4)
	if err != nil {
		return err
	}
	m, raw, err := c.mechanism(1)
	if err != nil {
		return err
	}
	defer cmem.WipeParameter(m.Param)
	r, err := ask(c, &p11.WrapKey{
		Session:     c.session(),
		Mechanism:   m,
		WrappingKey: c.object(2),
		Key:         c.object(3),
		Out:         out,
	})
	if err = c.wrote(4, &r, err); err != nil || out.Query {
		return err
	}
	return raw.WriteBack(m.Param)
}

func unwrapKey(c call) error {
	if err := c.needs(7); err != nil {
		return err
	}
	m, raw, err := c.mechanism(1)
	if err != nil {
		return err
	}
	defer cmem.WipeParameter(m.Param)
	wrapped, err := c.bytes(3)
	if err != nil {
		return err
	}
	template, err := c.template(5)
	if err != nil {
		return err
	}
	defer cmem.Wipe(template)
	r, err := ask(c, &p11.UnwrapKey{
		Session:       c.session(),
		Mechanism:     m,
		UnwrappingKey: c.object(2),
		Wrapped:       wrapped,
		Template:      template,
	})
	return c.keyMade(7, r, err, m, raw)
}

func deriveKey(c call) error {
	if err := c.needs(5); err != nil {
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
	r, err := ask(c, &p11.DeriveKey{
		Session:   c.session(),
		Mechanism: m,
		BaseKey:   c.object(2),
		Template:  template,
	})
	return c.keyMade(5, r, err, m, raw)
}
