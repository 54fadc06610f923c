package capi

import (
	"math"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/cryptoki/cmem"
	"github.com/perilune/perilune/cryptoki/p11"
)

// Objects (PKCS#11 v3.1 section 5.7).
//
// Templates are copies, for the program could change its own while they are
// checked. They are wiped after use: some carry keys.

func createObject(c call) error {
	if err := c.needs(3); err != nil {
		return err
	}
	template, err := c.template(1)
	if err != nil {
		return err
	}
	defer cmem.Wipe(template)
	r, err := ask(c, &p11.CreateObject{Session: c.session(), Template: template})
	return c.made(3, r, err)
}

// made stores the handle of a new object where argument i points.
func (c call) made(i int, r p11.Handle, err error) error {
	if err == nil {
		set(c, i, r.Object)
	}
	return err
}

func copyObject(c call) error {
	if err := c.needs(4); err != nil {
		return err
	}
	template, err := c.template(2)
	if err != nil {
		return err
	}
	defer cmem.Wipe(template)
	r, err := ask(c, &p11.CopyObject{Session: c.session(), Object: c.object(1), Template: template})
	return c.made(4, r, err)
}

func destroyObject(c call) error {
	return c.do(&p11.DestroyObject{Session: c.session(), Object: c.object(1)}, new(p11.None))
}

func getObjectSize(c call) error {
	if err := c.needs(2); err != nil {
		return err
	}
	r, err := ask(c, &p11.GetObjectSize{Session: c.session(), Object: c.object(1)})
	if err == nil {
		set(c, 2, r.Bytes)
	}
	return err
}

// getAttributeValue processes every attribute, whatever becomes of the others.
// Of the codes that may apply it returns the module's, sensitive before
// invalid, and CKR_BUFFER_TOO_SMALL last.
func getAttributeValue(c call) error {
	template, err := cmem.NewTemplate(c.ptr(2), c.number(3), cmem.Host)
	if err != nil {
		return err
	}
	types := template.Types()
	r, err := ask(c, &p11.GetAttributeValue{Session: c.session(), Object: c.object(1), Types: types})
	switch ck.RVOf(err) {
	case ck.CKR_OK, ck.CKR_ATTRIBUTE_SENSITIVE, ck.CKR_ATTRIBUTE_TYPE_INVALID:
	default:
		return err
	}
	if len(r.Results) != len(types) {
		return ck.CKR_GENERAL_ERROR
	}
	for i := range r.Results {
		a := &r.Results[i]
		if a.RV != ck.CKR_OK {
			template.Unavailable(i)
			continue
		}
		a.Type = types[i]
		if e := template.Put(i, &a.Attribute); e != nil && err == nil {
			err = e
		}
	}
	return err
}

func setAttributeValue(c call) error {
	template, err := c.template(2)
	if err != nil {
		return err
	}
	defer cmem.Wipe(template)
	return c.do(&p11.SetAttributeValue{Session: c.session(), Object: c.object(1), Template: template}, new(p11.None))
}

func findObjectsInit(c call) error {
	template, err := c.template(1)
	if err != nil {
		return err
	}
	defer cmem.Wipe(template)
	return c.do(&p11.FindObjectsInit{Session: c.session(), Template: template}, new(p11.None))
}

func findObjects(c call) error {
	room := min(c.number(2), math.MaxInt32)
	if c.words[3] == 0 || c.words[1] == 0 && room != 0 {
		return ck.CKR_ARGUMENTS_BAD
	}
	r, err := ask(c, &p11.FindObjects{Session: c.session(), Max: int(room)})
	if err != nil {
		return err
	}
	found := r.Objects[:min(len(r.Objects), int(room))]
	array(c, 1, found)
	set(c, 3, uint64(len(found)))
	return nil
}

func findObjectsFinal(c call) error {
	return c.do(&p11.FindObjectsFinal{Session: c.session()}, new(p11.None))
}
