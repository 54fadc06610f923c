package jks

import (
	"errors"
	"fmt"
)

// Secret keys in JCEKS are objects in Java's serialisation: a sealed object, which
// has another object encrypted in it, the key. This reads the protocol as far as
// objects of fields, arrays of bytes, strings and enumerations go, and makes no
// object of anything: classes are names here.

// Marks of the stream (Java Object Serialization Specification, chapter 6).
const (
	tcNull       = 0x70
	tcReference  = 0x71
	tcClassDesc  = 0x72
	tcObject     = 0x73
	tcString     = 0x74
	tcArray      = 0x75
	tcBlockData  = 0x77
	tcEndOfBlock = 0x78
	tcLongBlock  = 0x7A
	tcLongString = 0x7C
	tcEnum       = 0x7E

	scWriteMethod  = 1
	scSerializable = 2

	baseHandle = 0x7E0000
)

var errSerial = errors.New("the secret key is in a form of Java that nobody knows here")

// object is a Java object: its class and its fields.
type object struct {
	class  string
	fields map[string]any // *object, []byte, string, or nil for what does not matter
}

type classDesc struct {
	name   string
	flags  byte
	fields []field
	super  *classDesc
}

type field struct {
	kind byte
	name string
}

// stream reads a stream of objects.
type stream struct {
	r       *reader
	handles []any
	depth   int
	items   int
}

// Bounds of what is read: far more than any key has.
const (
	maxSerialDepth = 24
	maxSerialItems = 10_000
)

// object reads the next object, which stands in the store as a stream of its own.
func (r *reader) object() (*object, error) {
	if r.u16() != 0xACED || r.u16() != 5 {
		return nil, errDamaged
	}
	s := &stream{r: r}
	v, err := s.value()
	if err == nil {
		err = r.err
	}
	o, ok := v.(*object)
	if err == nil && !ok {
		err = errSerial
	}
	return o, err
}

func (s *stream) byte() byte { return s.r.take(1)[0] }

func (s *stream) keep(v any) int {
	s.handles = append(s.handles, v)
	return len(s.handles) - 1
}

// value reads whatever comes next.
func (s *stream) value() (any, error) {
	s.depth++
	s.items++
	defer func() { s.depth-- }()
	if s.depth > maxSerialDepth || s.items > maxSerialItems || s.r.err != nil {
		return nil, errDamaged
	}
	switch mark := s.byte(); mark {
	case tcNull:
		return nil, nil
	case tcReference:
		return s.reference()
	case tcClassDesc:
		return s.newClass()
	case tcObject:
		return s.object()
	case tcString:
		text := s.r.text()
		s.keep(text)
		return text, s.r.err
	case tcLongString:
		text := modifiedUTF8(s.r.take(s.r.u64()))
		s.keep(text)
		return text, s.r.err
	case tcArray:
		return s.array()
	case tcEnum:
		return s.enum()
	default:
		return nil, fmt.Errorf("%w (mark %#x)", errSerial, mark)
	}
}

func (s *stream) reference() (any, error) {
	n := int(s.r.u32()) - baseHandle
	if s.r.err != nil || n < 0 || n >= len(s.handles) {
		return nil, errDamaged
	}
	return s.handles[n], nil
}

// class reads the description of a class, nil for none.
func (s *stream) class() (*classDesc, error) {
	v, err := s.value()
	if err != nil || v == nil {
		return nil, err
	}
	c, ok := v.(*classDesc)
	if !ok {
		return nil, errDamaged
	}
	return c, nil
}

func (s *stream) newClass() (*classDesc, error) {
	c := &classDesc{name: s.r.text()}
	s.r.u64() // serialVersionUID
	s.keep(c)
	c.flags = s.byte()
	for range s.r.u16() {
		f := field{kind: s.byte(), name: s.r.text()}
		if f.kind == 'L' || f.kind == '[' {
			if _, err := s.value(); err != nil { // the name of its class
				return nil, err
			}
		}
		if s.r.err != nil {
			return nil, s.r.err
		}
		c.fields = append(c.fields, f)
	}
	if err := s.annotation(); err != nil {
		return nil, err
	}
	var err error
	c.super, err = s.class()
	return c, err
}

// annotation skips what classes write beside their fields.
func (s *stream) annotation() error {
	for s.r.err == nil {
		if len(s.r.left) == 0 {
			return errDamaged
		}
		switch s.r.left[0] {
		case tcEndOfBlock:
			s.byte()
			return nil
		case tcBlockData:
			s.byte()
			s.r.take(uint64(s.byte()))
		case tcLongBlock:
			s.byte()
			s.r.blob()
		default:
			if _, err := s.value(); err != nil {
				return err
			}
		}
	}
	return s.r.err
}

func (s *stream) object() (*object, error) {
	c, err := s.class()
	if err != nil || c == nil {
		return nil, errors.Join(errDamaged, err)
	}
	o := &object{class: c.name, fields: map[string]any{}}
	s.keep(o)
	var line []*classDesc // from the class to its oldest ancestor
	for ; c != nil; c = c.super {
		if line = append(line, c); len(line) > maxSerialDepth {
			return nil, errDamaged
		}
	}
	for i := len(line) - 1; i >= 0; i-- {
		if err := s.fields(o, line[i]); err != nil {
			return nil, err
		}
	}
	return o, nil
}

func (s *stream) fields(o *object, c *classDesc) error {
	if c.flags&scSerializable == 0 {
		return errSerial
	}
	for _, f := range c.fields {
		v, err := s.field(f.kind)
		if err != nil {
			return err
		}
		o.fields[f.name] = v
	}
	if c.flags&scWriteMethod != 0 {
		return s.annotation()
	}
	return nil
}

// sizes are those of the primitive types.
var sizes = map[byte]uint64{'B': 1, 'C': 2, 'D': 8, 'F': 4, 'I': 4, 'J': 8, 'S': 2, 'Z': 1}

func (s *stream) field(kind byte) (any, error) {
	if kind == 'L' || kind == '[' {
		return s.value()
	}
	n := sizes[kind]
	if n == 0 {
		return nil, errDamaged
	}
	s.r.take(n)
	return nil, s.r.err
}

// array keeps arrays of bytes, and skips others of primitive types.
func (s *stream) array() (any, error) {
	c, err := s.class()
	if err != nil || c == nil || len(c.name) != 2 || c.name[0] != '[' {
		return nil, errors.Join(errSerial, err)
	}
	at := s.keep(nil)
	size := sizes[c.name[1]]
	if size == 0 {
		return nil, errSerial
	}
	b := s.r.take(size * uint64(s.r.u32()))
	if s.r.err != nil {
		return nil, s.r.err
	}
	if c.name != "[B" {
		return nil, nil
	}
	s.handles[at] = b
	return b, nil
}

func (s *stream) enum() (any, error) {
	if _, err := s.class(); err != nil {
		return nil, err
	}
	at := s.keep(nil)
	v, err := s.value()
	s.handles[at] = v
	return v, err
}

// openSecret opens a sealed object and finds the key in it: Java writes a
// SecretKeySpec, or what stands for a key of its own classes, a KeyRep.
func openSecret(sealed *object, password []byte) (key []byte, algorithm string, err error) {
	params, _ := sealed.fields["encodedParams"].([]byte)
	content, _ := sealed.fields["encryptedContent"].([]byte)
	if params == nil || content == nil {
		return nil, "", errSerial
	}
	plain, err := openJCEKS(params, content, password)
	if err != nil {
		return nil, "", err
	}
	inner := &reader{left: plain}
	if len(plain) < 4 || plain[0] != 0xAC || plain[1] != 0xED {
		return nil, "", errKeyPassword // padding can be right by chance
	}
	o, err := inner.object()
	if err != nil {
		return nil, "", err
	}
	algorithm, _ = o.fields["algorithm"].(string)
	for _, name := range []string{"key", "encoded"} {
		if key, ok := o.fields[name].([]byte); ok {
			return key, algorithm, nil
		}
	}
	return nil, "", fmt.Errorf("%w (class %s)", errSerial, o.class)
}
