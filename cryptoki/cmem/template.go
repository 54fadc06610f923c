package cmem

import (
	"encoding/binary"
	"fmt"
	"unsafe"

	"github.com/perilune/perilune/cryptoki/ck"
)

// maxCount bounds the elements of an array, and the attributes of a template
// with those of the templates in it.
const maxCount = 1 << 16

// maxTemplateDepth bounds templates in templates: a wrap template in a wrap
// template in a template is deeper than any use.
const maxTemplateDepth = 3

// attribute is the layout of CK_ATTRIBUTE.
type attribute struct{ typ, value, len, size int }

func (s *space) attribute() attribute {
	value := s.ULong
	if !s.Packed {
		value = max(s.ULong, s.Ptr)
	}
	a := attribute{value: value, len: value + s.Ptr}
	a.size = a.len + s.ULong
	if !s.Packed {
		a.size = (a.size + s.Ptr - 1) / s.Ptr * s.Ptr
	}
	return a
}

// ReadTemplate copies the template of count attributes at p. Values of
// CK_ULONG attributes take the canonical form of package ck.
//
// An absurd count, or a null template with a count, is CKR_ARGUMENTS_BAD; a
// null value with a length, or an absurd length, CKR_ATTRIBUTE_VALUE_INVALID.
func ReadTemplate(p unsafe.Pointer, count uint64, abi ABI) ([]ck.Attribute, error) {
	return (&space{ABI: abi, at: process}).template(address(p), count)
}

func (s *space) template(addr, count uint64) ([]ck.Attribute, error) {
	r := reader{space: s, layout: s.attribute(), left: maxCount}
	return r.template(addr, count, 0)
}

// reader reads one template with those in it.
type reader struct {
	*space
	layout attribute
	left   uint64 // attributes that may still come
}

func (r *reader) template(addr, count uint64, depth int) ([]ck.Attribute, error) {
	if count == 0 {
		return nil, nil
	}
	if count > r.left {
		return nil, fmt.Errorf("%w: %d attributes", ck.CKR_ARGUMENTS_BAD, count)
	}
	r.left -= count
	mem, ok := r.bytes(addr, count*uint64(r.layout.size))
	if !ok {
		return nil, fmt.Errorf("%w: no template at the pointer", ck.CKR_ARGUMENTS_BAD)
	}
	list := make([]ck.Attribute, count)
	for i := range list {
		if err := r.attribute(&list[i], mem[i*r.layout.size:], depth); err != nil {
			return nil, err
		}
	}
	return list, nil
}

func (r *reader) attribute(dst *ck.Attribute, mem []byte, depth int) error {
	dst.Type = ck.AttributeType(r.ulong(mem[r.layout.typ:]))
	addr, n := r.ptr(mem[r.layout.value:]), r.ulong(mem[r.layout.len:])
	if addr == 0 && n == 0 {
		return nil
	}
	if dst.Type.IsTemplate() {
		return r.nested(dst, addr, n, depth)
	}
	v, ok := r.bytes(addr, n)
	if !ok {
		return badValue(dst.Type, n)
	}
	return r.canonical(dst, v)
}

// nested reads the value of a template-valued attribute. One without
// attributes is empty, not absent.
func (r *reader) nested(dst *ck.Attribute, addr, n uint64, depth int) (err error) {
	size := uint64(r.layout.size)
	if depth >= maxTemplateDepth || n%size != 0 || addr == 0 {
		return badValue(dst.Type, n)
	}
	dst.Template, err = r.template(addr, n/size, depth+1)
	if ck.RVOf(err) == ck.CKR_ARGUMENTS_BAD {
		return badValue(dst.Type, n)
	}
	if dst.Template == nil && err == nil {
		dst.Template = []ck.Attribute{}
	}
	return err
}

// canonical copies v, the value of dst in C, to dst in the form of package ck:
// eight bytes for a CK_ULONG, the lowest first.
func (s *space) canonical(dst *ck.Attribute, v []byte) error {
	form := formOf(dst.Type)
	if form == formULong && len(v) == 8 && s.ULong != 8 {
		return badValue(dst.Type, 8) // wrong here, but it would look right above
	}
	if form == formBytes || form == formULong && len(v) != s.ULong || len(v)%s.ULong != 0 {
		dst.Value = append(make([]byte, 0, len(v)), v...)
		return nil
	}
	dst.Value = make([]byte, 0, len(v)/s.ULong*8)
	for ; len(v) > 0; v = v[s.ULong:] {
		x := s.ulong(v)
		if x == ^uint64(0)>>(64-8*s.ULong) {
			x = ck.UnavailableInformation
		}
		dst.Value = binary.LittleEndian.AppendUint64(dst.Value, x)
	}
	return nil
}

// native is the inverse of canonical.
func (s *space) native(t ck.AttributeType, v []byte) []byte {
	if formOf(t) == formBytes || len(v)%8 != 0 {
		return v
	}
	out := make([]byte, 0, len(v)/8*s.ULong)
	for ; len(v) > 0; v = v[8:] {
		out = append(out, make([]byte, s.ULong)...)
		s.putULong(out[len(out)-s.ULong:], binary.LittleEndian.Uint64(v))
	}
	return out
}

func badValue(t ck.AttributeType, n uint64) error {
	return fmt.Errorf("%w: %v of length %d", ck.CKR_ATTRIBUTE_VALUE_INVALID, t, n)
}

// Wipe overwrites the values that [ReadTemplate] copied.
func Wipe(list []ck.Attribute) {
	for _, a := range list {
		clear(a.Value)
		Wipe(a.Template)
	}
}

// Template is a template to be filled by C_GetAttributeValue.
type Template struct {
	space
	mem    []byte
	layout attribute
}

// NewTemplate is the template of count attributes at p; errors as of
// [ReadTemplate].
func NewTemplate(p unsafe.Pointer, count uint64, abi ABI) (*Template, error) {
	return newTemplate(space{ABI: abi, at: process}, address(p), count)
}

func newTemplate(s space, addr, count uint64) (*Template, error) {
	t := &Template{space: s, layout: s.attribute()}
	if count == 0 {
		return t, nil
	}
	if count > maxCount {
		return nil, fmt.Errorf("%w: %d attributes", ck.CKR_ARGUMENTS_BAD, count)
	}
	mem, ok := s.bytes(addr, count*uint64(t.layout.size))
	if !ok {
		return nil, fmt.Errorf("%w: no template at the pointer", ck.CKR_ARGUMENTS_BAD)
	}
	t.mem = mem
	return t, nil
}

// Types lists the attributes asked for.
func (t *Template) Types() []ck.AttributeType {
	list := make([]ck.AttributeType, 0, len(t.mem)/t.layout.size)
	for mem := t.mem; len(mem) > 0; mem = mem[t.layout.size:] {
		list = append(list, ck.AttributeType(t.ulong(mem[t.layout.typ:])))
	}
	return list
}

// Unavailable says of the i-th attribute that it cannot be given.
func (t *Template) Unavailable(i int) {
	t.putULong(t.mem[i*t.layout.size+t.layout.len:], ck.UnavailableInformation)
}

// Put answers the i-th attribute by the rules of C_GetAttributeValue (PKCS#11
// v3.1 section 5.7.5): the length alone if the caller's pointer is null, the
// value if there is room for it, CKR_BUFFER_TOO_SMALL otherwise.
func (t *Template) Put(i int, a *ck.Attribute) error {
	return t.put(t.mem[i*t.layout.size:][:t.layout.size], a, 0)
}

func (t *Template) put(mem []byte, a *ck.Attribute, depth int) error {
	if a.Type.IsTemplate() {
		return t.putNested(mem, a.Template, depth)
	}
	dst, err := t.room(mem, uint64(len(t.native(a.Type, a.Value))))
	if err != nil {
		return err
	}
	if dst != nil {
		copy(dst, t.native(a.Type, a.Value))
	}
	return nil
}

// putNested fills an array of attributes. The caller has given its elements
// pointers and lengths, to be answered like those of the template itself; the
// types are for us to set.
func (t *Template) putNested(mem []byte, list []ck.Attribute, depth int) error {
	dst, err := t.room(mem, uint64(len(list)*t.layout.size))
	if dst == nil {
		return err
	}
	if depth >= maxTemplateDepth {
		return ck.CKR_GENERAL_ERROR
	}
	for i := range list {
		elem := dst[i*t.layout.size:][:t.layout.size]
		t.putULong(elem[t.layout.typ:], uint64(list[i].Type))
		err = worse(err, t.put(elem, &list[i], depth+1))
	}
	return err
}

// room sets the length of an attribute to need and returns the caller's memory
// for it, nil if only the length was asked for.
func (t *Template) room(mem []byte, need uint64) ([]byte, error) {
	addr, have := t.ptr(mem[t.layout.value:]), t.ulong(mem[t.layout.len:])
	if addr != 0 && have < need {
		t.putULong(mem[t.layout.len:], ck.UnavailableInformation)
		return nil, ck.CKR_BUFFER_TOO_SMALL
	}
	t.putULong(mem[t.layout.len:], need)
	if addr == 0 || need == 0 {
		return nil, nil
	}
	dst, ok := t.bytes(addr, need)
	if !ok {
		return nil, ck.CKR_ARGUMENTS_BAD
	}
	return dst, nil
}

func worse(a, b error) error {
	if a != nil {
		return a
	}
	return b
}

// form is what an attribute's value consists of.
type form uint8

const (
	formBytes form = iota
	formULong
	formULongs // an array of CK_ULONG
)

// formOf knows the attributes that hold CK_ULONGs; all others hold bytes.
func formOf(t ck.AttributeType) form {
	switch t {
	case ck.CKA_ALLOWED_MECHANISMS, ck.CKA_HSS_LMS_TYPES, ck.CKA_HSS_LMOTS_TYPES:
		return formULongs
	case ck.CKA_CLASS, ck.CKA_CERTIFICATE_TYPE, ck.CKA_CERTIFICATE_CATEGORY,
		ck.CKA_JAVA_MIDP_SECURITY_DOMAIN, ck.CKA_NAME_HASH_ALGORITHM, ck.CKA_KEY_TYPE,
		ck.CKA_MODULUS_BITS, ck.CKA_PRIME_BITS, ck.CKA_SUBPRIME_BITS,
		ck.CKA_VALUE_BITS, ck.CKA_VALUE_LEN, ck.CKA_KEY_GEN_MECHANISM,
		ck.CKA_AUTH_PIN_FLAGS, ck.CKA_OTP_FORMAT, ck.CKA_OTP_LENGTH,
		ck.CKA_OTP_TIME_INTERVAL, ck.CKA_OTP_CHALLENGE_REQUIREMENT, ck.CKA_OTP_TIME_REQUIREMENT,
		ck.CKA_OTP_COUNTER_REQUIREMENT, ck.CKA_OTP_PIN_REQUIREMENT, ck.CKA_HW_FEATURE_TYPE,
		ck.CKA_PIXEL_X, ck.CKA_PIXEL_Y, ck.CKA_RESOLUTION,
		ck.CKA_CHAR_ROWS, ck.CKA_CHAR_COLUMNS, ck.CKA_BITS_PER_PIXEL,
		ck.CKA_MECHANISM_TYPE, ck.CKA_PROFILE_ID, ck.CKA_X2RATCHET_BAGSIZE,
		ck.CKA_X2RATCHET_NR, ck.CKA_X2RATCHET_NS, ck.CKA_X2RATCHET_PNS,
		ck.CKA_HSS_LEVELS, ck.CKA_HSS_LMS_TYPE, ck.CKA_HSS_LMOTS_TYPE,
		ck.CKA_HSS_KEYS_REMAINING, ck.CKA_PARAMETER_SET, ck.CKA_OBJECT_VALIDATION_FLAGS,
		ck.CKA_VALIDATION_TYPE, ck.CKA_VALIDATION_LEVEL, ck.CKA_VALIDATION_FLAG,
		ck.CKA_VALIDATION_AUTHORITY_TYPE, ck.CKA_TRUST_SERVER_AUTH, ck.CKA_TRUST_CLIENT_AUTH,
		ck.CKA_TRUST_CODE_SIGNING, ck.CKA_TRUST_EMAIL_PROTECTION, ck.CKA_TRUST_IPSEC_IKE,
		ck.CKA_TRUST_TIME_STAMPING, ck.CKA_TRUST_OCSP_SIGNING, ck.CKA_USAGE_COUNT,
		ck.CKA_USAGE_LIMIT, ck.CKA_WARNING_THRESHOLD, ck.CKA_KEY_STATUS,
		ck.CKA_FAILED_KEY_AUTH_COUNT, ck.CKA_BIP32_CHILD_INDEX, ck.CKA_BIP32_CHILD_DEPTH,
		ck.CKA_MADE_BY:
		return formULong
	}
	return formBytes
}
