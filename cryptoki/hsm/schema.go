package hsm

import (
	"cmp"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/cryptoki/p11"
	"github.com/perilune/perilune/engine"
)

// shape is what the value of an attribute consists of.
type shape uint8

const (
	shapeBytes      shape = iota // byte arrays, big integers and strings
	shapeBool                    // CK_BBOOL
	shapeULong                   // CK_ULONG and the types over it
	shapeDate                    // CK_DATE, or nothing
	shapeMechanisms              // an array of CK_MECHANISM_TYPE
	shapeTemplate                // an array of attributes
)

// rule is a set of rules for an attribute. The numbers in brackets are those of
// the footnotes that the attribute tables of the standard refer to (PKCS#11 v3.1
// table 10).
type rule uint32

const (
	needCreate   rule = 1 << iota // (1) must be given to C_CreateObject
	noCreate                      // (2) must not be
	needGenerate                  // (3) must be given when a key is generated
	noGenerate                    // (4) must not be
	needUnwrap                    // (5) must be given to C_UnwrapKey
	noUnwrap                      // (6) must not be
	noDerive                      // must not be given to C_DeriveKey
	hideable                      // (7) hidden when CKA_SENSITIVE or not CKA_EXTRACTABLE
	mutable                       // (8) C_SetAttributeValue and C_CopyObject may change it
	copyGives                     // C_CopyObject may change it (section 4.1.3)
	bySO                          // (10) only the SO may make it true
	onlyToTrue                    // (11) cannot be changed once true
	onlyToFalse                   // (12) cannot be changed once false
	erasable                      // may be emptied, and otherwise not changed
	material                      // part of what the engine knows as the key
	transient                     // heard, not kept

	// readOnly is for what the HSM alone decides.
	readOnly = noCreate | noGenerate | noUnwrap | noDerive
)

// row says all about one attribute of a class of objects.
type row struct {
	t     ck.AttributeType
	shape shape
	rules rule
	// def is the value of an attribute that was not given. Objects do not
	// have attributes that were neither given nor computed and have no
	// default.
	def func(origin) []byte
	// check says why a value of the right shape is none.
	check func(value []byte) error
	// derived is the value of an attribute that follows from others and is not
	// kept; nil for none.
	derived func(*object) []byte
}

// refused reports whether a caller may not give the attribute to an object
// that comes into being, or changes, like this.
func (r *row) refused(o origin) bool {
	switch o {
	case originCreate:
		return r.rules&noCreate != 0
	case originGenerate:
		return r.rules&noGenerate != 0
	case originUnwrap:
		return r.rules&noUnwrap != 0
	case originDerive, originEncapsulate, originDecapsulate:
		return r.rules&noDerive != 0
	case originCopy:
		return r.rules&(mutable|copyGives|bySO|erasable) == 0
	}
	return r.rules&(mutable|bySO|erasable) == 0
}

// needed reports whether the caller must give it.
func (r *row) needed(o origin) bool {
	switch o {
	case originCreate:
		return r.rules&needCreate != 0
	case originGenerate:
		return r.rules&needGenerate != 0
	case originUnwrap:
		return r.rules&needUnwrap != 0
	}
	return false
}

// schema holds the attributes that objects of one class and type can have.
type schema struct {
	class ck.ObjectClass
	rows  []row // in rising order of type
	// material and transient are the attributes with these rules, in the same
	// order.
	material, transient []ck.AttributeType
	// check refuses values that do not go together.
	check func(l attrList) error
}

func (s *schema) row(t ck.AttributeType) *row {
	lo, hi := 0, len(s.rows)
	for lo < hi {
		if mid := int(uint(lo+hi) / 2); s.rows[mid].t < t {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	if lo == len(s.rows) || s.rows[lo].t != t {
		return nil
	}
	return &s.rows[lo]
}

// subtypeAttribute is the attribute that, after CKA_CLASS, tells the schema.
func subtypeAttribute(c ck.ObjectClass) (t ck.AttributeType, has bool) {
	switch c {
	case ck.CKO_CERTIFICATE:
		return ck.CKA_CERTIFICATE_TYPE, true
	case ck.CKO_PUBLIC_KEY, ck.CKO_PRIVATE_KEY, ck.CKO_SECRET_KEY, ck.CKO_DOMAIN_PARAMETERS:
		return ck.CKA_KEY_TYPE, true
	}
	return 0, false
}

// hasKeyType reports whether the engine knows objects of the class by their
// CKA_KEY_TYPE: keys, and domain parameters.
func hasKeyType(c ck.ObjectClass) bool { return isKey(c) || c == ck.CKO_DOMAIN_PARAMETERS }

func isKey(c ck.ObjectClass) bool { return c == ck.CKO_PUBLIC_KEY || isSecretKind(c) }

// isSecretKind reports whether objects of the class hold secrets.
func isSecretKind(c ck.ObjectClass) bool {
	return c == ck.CKO_PRIVATE_KEY || c == ck.CKO_SECRET_KEY
}

type schemaKey struct {
	class   ck.ObjectClass
	subtype uint64
}

// schemas is made of the tables when it is first needed.
var schemas = sync.OnceValue(func() map[schemaKey]*schema {
	m := map[schemaKey]*schema{}
	for _, d := range schemaTable {
		for _, subtype := range d.subtypes {
			m[schemaKey{d.class, subtype}] = d.schema()
		}
	}
	return m
})

// findSchema returns the schema of a class and subtype, or nil.
func findSchema(class ck.ObjectClass, subtype uint64) *schema {
	return schemas()[schemaKey{class, subtype}]
}

// schemaDef is a line of schemaTable.
type schemaDef struct {
	class    ck.ObjectClass
	subtypes []uint64 // key or certificate types; 0 where the class has none
	parts    [][]row  // later ones go before earlier ones
	// uses are the usage attributes that default to true: what the type can
	// do at all.
	uses  []ck.AttributeType
	check func(l attrList) error
}

func (d *schemaDef) schema() *schema {
	s := &schema{class: d.class, check: d.check}
	for _, part := range d.parts {
		for _, r := range part {
			s.put(r)
		}
	}
	for _, t := range d.uses {
		s.row(t).def = defYes
	}
	s.material, s.transient = s.having(material), s.having(transient)
	return s
}

func (s *schema) having(r rule) (list []ck.AttributeType) {
	for i := range s.rows {
		if s.rows[i].rules&r != 0 {
			list = append(list, s.rows[i].t)
		}
	}
	return list
}

func (s *schema) put(r row) {
	i, ok := slices.BinarySearchFunc(s.rows, r.t, func(r row, t ck.AttributeType) int { return cmp.Compare(r.t, t) })
	if ok {
		s.rows[i] = r
		return
	}
	s.rows = slices.Insert(s.rows, i, r)
}

// shapes knows the shape of every attribute in any schema.
var shapes = sync.OnceValue(func() map[ck.AttributeType]shape {
	m := map[ck.AttributeType]shape{}
	for _, s := range schemas() {
		for _, r := range s.rows {
			m[r.t] = r.shape
		}
	}
	return m
})

// Defaults.
var (
	defYes   = always(ck.PutBool(true))
	defNo    = always(ck.PutBool(false))
	defEmpty = always([]byte{})
	defZero  = always(ck.PutULong(uint64(0)))
)

func always(v []byte) func(origin) []byte { return func(origin) []byte { return v } }

// refuse is the error rv about an attribute, with the rule that it broke.
func refuse(t ck.AttributeType, rv ck.RV, format string, args ...any) error {
	text := fmt.Sprintf("%v: %s", t, fmt.Sprintf(format, args...))
	r, ok := attributeRefusals[rv]
	if !ok {
		return &p11.Refusal{Code: rv, Text: text, Attribute: t.String()}
	}
	return denyFor(r, t, "%s", text)
}

// attributeRefusals are the refusals of templates, by what the standard answers.
var attributeRefusals = map[ck.RV]refusal{
	ck.CKR_ATTRIBUTE_TYPE_INVALID:  refuseAttributeUnknown,
	ck.CKR_ATTRIBUTE_VALUE_INVALID: refuseAttributeValue,
	ck.CKR_ATTRIBUTE_READ_ONLY:     refuseAttributeReadOnly,
	ck.CKR_TEMPLATE_INCONSISTENT:   refuseTemplateInconsistent,
	ck.CKR_TEMPLATE_INCOMPLETE:     refuseTemplateIncomplete,
	ck.CKR_WRAPPED_KEY_LEN_RANGE:   refuseWrappedLength,
}

// maxValue bounds the length of one value, maxObject of a whole object.
const (
	maxValue  = 1 << 20
	maxObject = 4 << 20
)

// canonical checks that a is of its shape and returns it in the one form that
// is kept. The result shares no memory with a that the caller could change, but
// for byte arrays, which are copied when the object is made.
func canonical(a ck.Attribute, sh shape) (ck.Attribute, error) {
	if len(a.Value) > maxValue {
		return a, refuse(a.Type, ck.CKR_ATTRIBUTE_VALUE_INVALID, "%d bytes are too many", len(a.Value))
	}
	switch sh {
	case shapeBool:
		v, ok := ck.Bool(a.Value)
		if !ok {
			return a, refuse(a.Type, ck.CKR_ATTRIBUTE_VALUE_INVALID, "a CK_BBOOL has 1 byte, not %d", len(a.Value))
		}
		return ck.NewBool(a.Type, v), nil
	case shapeULong:
		v, ok := ck.ULong(a.Value)
		if !ok {
			return a, refuse(a.Type, ck.CKR_ATTRIBUTE_VALUE_INVALID, "not a CK_ULONG")
		}
		if a.Type == ck.CKA_KEY_TYPE {
			return ck.NewULong(a.Type, engine.StandardKeyType(ck.KeyType(v))), nil
		}
	case shapeDate:
		if !isDate(a.Value) {
			return a, refuse(a.Type, ck.CKR_ATTRIBUTE_VALUE_INVALID, "not a date of the form YYYYMMDD, nor empty")
		}
	case shapeMechanisms:
		if _, ok := ck.MechanismTypes(a.Value); !ok {
			return a, refuse(a.Type, ck.CKR_ATTRIBUTE_VALUE_INVALID, "not an array of CK_MECHANISM_TYPE")
		}
	case shapeTemplate:
		return canonicalTemplate(a, 1)
	}
	if a.Value == nil {
		a.Value = []byte{}
	}
	return a, nil
}

// isDate accepts CK_DATE (PKCS#11 v3.1 section 3.4): four, two and two digits
// that are a day. Empty means no date.
func isDate(b []byte) bool {
	if len(b) == 0 {
		return true
	}
	_, err := time.Parse("20060102", string(b))
	return err == nil
}

// maxNesting bounds templates in templates.
const maxNesting = 3

// canonicalTemplate brings a template-valued attribute to its one form: sorted,
// each attribute once, every value of its shape.
func canonicalTemplate(a ck.Attribute, depth int) (ck.Attribute, error) {
	if len(a.Value) > 0 {
		return a, refuse(a.Type, ck.CKR_ATTRIBUTE_VALUE_INVALID, "not an array of CK_ATTRIBUTE")
	}
	if depth > maxNesting {
		return a, refuse(a.Type, ck.CKR_ATTRIBUTE_VALUE_INVALID, "templates nested too deeply")
	}
	if len(a.Template) > maxTemplate {
		return a, refuse(a.Type, ck.CKR_ATTRIBUTE_VALUE_INVALID, "%d attributes are too many", len(a.Template))
	}
	list := make(attrList, 0, len(a.Template))
	for _, inner := range a.Template {
		sh, known := shapes()[inner.Type]
		if !known {
			return a, refuse(inner.Type, ck.CKR_ATTRIBUTE_TYPE_INVALID, "unknown attribute in %v", a.Type)
		}
		var err error
		if sh == shapeTemplate {
			inner, err = canonicalTemplate(inner, depth+1)
		} else {
			inner, err = canonical(inner, sh)
		}
		if err != nil {
			return a, err
		}
		if old := list.get(inner.Type); old != nil && !sameValue(old, &inner) {
			return a, refuse(inner.Type, ck.CKR_TEMPLATE_INCONSISTENT, "two values in %v", a.Type)
		}
		list.put(inner)
	}
	return ck.Attribute{Type: a.Type, Template: list}, nil
}

// derives reports whether the object comes from a key by mathematics, and
// brings nothing into the token from outside.
func (o origin) derives() bool {
	return o == originDerive || o == originEncapsulate || o == originDecapsulate
}
