package hsm

import (
	"encoding/binary"
	"errors"
	"math"
	"slices"
	"sync"

	"github.com/perilune/perilune/cryptoki/ck"
)

// attrList is a list of attributes in rising order of type, each once: an
// object in the making.
type attrList []ck.Attribute

// index tells where attribute t is, or would be. It looks at attributes where
// they are, which slices.BinarySearchFunc would copy.
func (l attrList) index(t ck.AttributeType) (int, bool) {
	lo, hi := 0, len(l)
	for lo < hi {
		if mid := int(uint(lo+hi) / 2); l[mid].Type < t {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo, lo < len(l) && l[lo].Type == t
}

func (l attrList) get(t ck.AttributeType) *ck.Attribute {
	if i, ok := l.index(t); ok {
		return &l[i]
	}
	return nil
}

func (l attrList) bytes(t ck.AttributeType) []byte {
	if a := l.get(t); a != nil {
		return a.Value
	}
	return nil
}

func (l attrList) bool(t ck.AttributeType) bool {
	v, _ := ck.Bool(l.bytes(t))
	return v
}

func (l *attrList) put(a ck.Attribute) {
	i, ok := l.index(a.Type)
	if ok {
		(*l)[i] = a
		return
	}
	*l = slices.Insert(*l, i, a)
}

func (l *attrList) remove(t ck.AttributeType) {
	if i, ok := l.index(t); ok {
		*l = slices.Delete(*l, i, i+1)
	}
}

// lists are lists that were released, to be used again: they are large beside
// the objects that are made of them.
var lists sync.Pool

// listWithRoom is an empty list with room for n attributes.
func listWithRoom(n int) attrList {
	if l, _ := lists.Get().(*attrList); l != nil && cap(*l) >= n {
		return *l
	}
	return make(attrList, 0, n)
}

// release ends the use of a list, which forgets what was in it.
func (l attrList) release() {
	clear(l[:cap(l)])
	l = l[:0]
	lists.Put(&l)
}

// flat is an object's attributes in one piece of memory, as it is kept in a
// record and in the cache. docs/FORMAT.md specifies it:
//
//	version byte, zero byte, number of attributes (2 bytes),
//	per attribute its type and the end of its value (4 bytes each),
//	the values.
//
// Numbers have their lowest byte first, ends count from the first value, types
// rise. A list of attributes has exactly one such form.
type flat []byte

const (
	flatVersion = 1
	flatHeader  = 4
	flatEntry   = 8
)

// flatSize is the length of the flat form of l.
func flatSize(l attrList) int {
	n := flatHeader + flatEntry*len(l)
	for i := range l {
		if l[i].Type.IsTemplate() {
			n += flatSize(l[i].Template)
		}
		n += len(l[i].Value)
	}
	return n
}

// flatten makes the flat form of l, copying all values. Templates in l are
// sorted too.
func flatten(l attrList) flat { return appendFlat(make(flat, 0, flatSize(l)), l) }

func appendFlat(f flat, l attrList) flat {
	f = append(f, flatVersion, 0)
	f = binary.LittleEndian.AppendUint16(f, uint16(len(l)))
	entries := len(f)
	f = append(f, make(flat, flatEntry*len(l))...)
	values := len(f)
	for i := range l {
		if f = append(f, l[i].Value...); l[i].Type.IsTemplate() {
			f = appendFlat(f, l[i].Template)
		}
		entry := f[entries+flatEntry*i:]
		binary.LittleEndian.PutUint32(entry, uint32(l[i].Type))
		binary.LittleEndian.PutUint32(entry[4:], uint32(len(f)-values))
	}
	return f
}

var errFlat = errors.New("malformed object")

// parseFlat checks b, which the result shares.
func parseFlat(b []byte) (flat, error) { return parseFlatTo(b, 0) }

func parseFlatTo(b []byte, depth int) (flat, error) {
	if len(b) < flatHeader || b[0] != flatVersion || b[1] != 0 || len(b) > math.MaxUint32 || depth > maxNesting {
		return nil, errFlat
	}
	f := flat(b)
	values := f.values()
	if values > len(b) {
		return nil, errFlat
	}
	end, last := 0, int64(-1)
	for i := range f.count() {
		t, next := f.entry(i)
		if int64(t) <= last || next < end || next > len(b)-values {
			return nil, errFlat
		}
		if t.IsTemplate() {
			if _, err := parseFlatTo(b[values+end:values+next], depth+1); err != nil {
				return nil, err
			}
		}
		end, last = next, int64(t)
	}
	if end != len(b)-values {
		return nil, errFlat
	}
	return f, nil
}

func (f flat) count() int  { return int(binary.LittleEndian.Uint16(f[2:])) }
func (f flat) values() int { return flatHeader + flatEntry*f.count() }

// entry returns the type of the i-th attribute and where its value ends.
func (f flat) entry(i int) (t ck.AttributeType, end int) {
	e := f[flatHeader+flatEntry*i:][:flatEntry]
	return ck.AttributeType(binary.LittleEndian.Uint32(e)), int(binary.LittleEndian.Uint32(e[4:]))
}

// value is the value of the i-th attribute. Its capacity is its length.
func (f flat) value(i int) []byte {
	start := 0
	if i > 0 {
		_, start = f.entry(i - 1)
	}
	_, end := f.entry(i)
	base := f.values()
	return f[base+start : base+end : base+end]
}

// find returns the place of attribute t.
func (f flat) find(t ck.AttributeType) (int, bool) {
	lo, hi := 0, f.count()
	for lo < hi {
		mid := int(uint(lo+hi) / 2)
		if at, _ := f.entry(mid); at < t {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	if lo == f.count() {
		return 0, false
	}
	at, _ := f.entry(lo)
	return lo, at == t
}

// get returns the value of attribute t; of templates it is the flat form.
func (f flat) get(t ck.AttributeType) ([]byte, bool) {
	if i, ok := f.find(t); ok {
		return f.value(i), true
	}
	return nil, false
}

// attribute is the i-th attribute. Its value shares the memory of f.
func (f flat) attribute(i int) ck.Attribute {
	t, _ := f.entry(i)
	v := f.value(i)
	if t.IsTemplate() {
		return ck.Attribute{Type: t, Template: flat(v).list()}
	}
	return ck.Attribute{Type: t, Value: v}
}

// list returns all attributes, with values that share the memory of f.
func (f flat) list() attrList {
	l := make(attrList, f.count())
	for i := range l {
		l[i] = f.attribute(i)
	}
	return l
}
