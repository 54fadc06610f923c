package capi

import (
	"github.com/perilune/perilune/cryptoki/cmem"
	"github.com/perilune/perilune/cryptoki/p11"
)

// deriveKeyAndWrap derives a key, wraps it, and destroys it.
func deriveKeyAndWrap(c call) error {
	deriving, raw, err := c.mechanism(1)
	if err != nil {
		return err
	}
	defer cmem.WipeParameter(deriving.Param)
	template, err := c.template(3)
	if err != nil {
		return err
	}
	defer cmem.Wipe(template)
	wrapping, rawWrapping, err := c.wrapMechanism(5)
	if err != nil {
		return err
	}
	defer cmem.WipeParameter(wrapping.Param)
	out, err := c.output(7)
	if err != nil {
		return err
	}
	key, err := ask(c, &p11.DeriveKey{Session: c.session(), Mechanism: deriving, BaseKey: c.object(2), Template: template})
	if err != nil {
		return err
	}
	r, err := ask(c, &p11.WrapKey{
		Session: c.session(), Mechanism: wrapping, WrappingKey: c.object(6), Key: key.Object, Out: out,
	})
	destroyed := c.do(&p11.DestroyObject{Session: c.session(), Object: key.Object}, new(p11.None))
	if err = c.wrote(7, &r, err); err != nil || out.Query {
		return err
	}
	if destroyed != nil {
		return destroyed
	}
	if err := raw.WriteBack(deriving.Param); err != nil {
		return err
	}
	return rawWrapping.WriteBack(wrapping.Param)
}
