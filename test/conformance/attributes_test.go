package conformance

import (
	"bytes"
	"testing"
	"unsafe"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/test/c11"
)

const unavailable = ^uint64(0)

// slot is one attribute of a template for C_GetAttributeValue.
type slot struct {
	t    ck.AttributeType
	room int // of the buffer, -1 for none
	// want is the length told, and data what must be in the buffer.
	want uint64
	data []byte
}

// getTemplate calls C_GetAttributeValue and compares every attribute.
func (c *client) getTemplate(o uint64, rv ck.RV, slots ...slot) {
	c.t.Helper()
	p := c.Alloc(c11.AttributeSize * len(slots))
	bufs := make([]*c11.Guarded, len(slots))
	for i, z := range slots {
		at := c11.Words(uint64(z.t), 0, 0xdead)
		if z.room >= 0 {
			bufs[i] = c.Guarded(z.room)
			at = c11.Words(uint64(z.t), uint64(uintptr(bufs[i].Ptr())), uint64(z.room))
		}
		c11.Poke(unsafe.Add(p, i*c11.AttributeSize), at)
	}
	c.refuses(rv, "C_GetAttributeValue", c.s, o, p, len(slots))
	for i, z := range slots {
		at := unsafe.Add(p, i*c11.AttributeSize)
		if got := c11.Number(unsafe.Add(at, 16)); got != z.want {
			c.t.Errorf("attribute %d (%v): length %#x, want %#x", i, z.t, got, z.want)
		}
		if bufs[i] == nil {
			continue
		}
		if !bytes.Equal(bufs[i].Bytes(len(z.data)), z.data) {
			c.t.Errorf("attribute %d (%v): %x, want %x", i, z.t, bufs[i].Bytes(len(z.data)), z.data)
		}
		if !bufs[i].Untouched(len(z.data)) {
			c.t.Errorf("attribute %d (%v): bytes beyond the value were written", i, z.t)
		}
	}
}

// TestGetAttributeValue is section 5.7.5 with mixed templates.
func TestGetAttributeValue(t *testing.T) {
	if !apart(t) {
		return
	}
	c := open(t)
	value := sequence(16)
	o := c.object(with(no(ck.CKA_EXTRACTABLE), class(ck.CKO_SECRET_KEY), keyType(ck.CKK_AES), bytesOf(ck.CKA_VALUE, value),
		text(ck.CKA_LABEL, "label"), boolean(ck.CKA_SENSITIVE, true), bytesOf(ck.CKA_ID, nil))...)
	label, kt := []byte("label"), ck.PutULong(ck.CKK_AES)
	good := slot{ck.CKA_LABEL, 5, 5, label}
	goodLate := slot{ck.CKA_KEY_TYPE, 8, 8, kt}
	sensitive := slot{ck.CKA_VALUE, 16, unavailable, nil}
	sensitiveQuery := slot{ck.CKA_VALUE, -1, unavailable, nil}
	missing := slot{ck.CKA_MODULUS, 32, unavailable, nil}
	unknown := slot{0x7fffffff, 32, unavailable, nil}
	small := slot{ck.CKA_LABEL, 4, unavailable, nil}
	query := slot{ck.CKA_LABEL, -1, 5, nil}
	empty := slot{ck.CKA_ID, 4, 0, nil}
	emptyExact := slot{ck.CKA_ID, 0, 0, nil}
	for _, row := range []struct {
		name  string
		rv    ck.RV
		slots []slot
	}{
		{"nothing", ck.CKR_OK, nil},
		{"good", ck.CKR_OK, []slot{good, goodLate, query}},
		{"larger", ck.CKR_OK, []slot{{ck.CKA_LABEL, 50, 5, label}, goodLate}},
		{"empty value", ck.CKR_OK, []slot{empty, emptyExact, good}},
		{"twice the same", ck.CKR_OK, []slot{good, good, query}},
		{"sensitive", ck.CKR_ATTRIBUTE_SENSITIVE, []slot{sensitive, good}},
		{"length of a sensitive one", ck.CKR_ATTRIBUTE_SENSITIVE, []slot{sensitiveQuery, good}},
		{"missing", ck.CKR_ATTRIBUTE_TYPE_INVALID, []slot{good, missing, goodLate}},
		{"unknown", ck.CKR_ATTRIBUTE_TYPE_INVALID, []slot{unknown, goodLate}},
		{"too small", ck.CKR_BUFFER_TOO_SMALL, []slot{small, goodLate}},
		{"no room at all", ck.CKR_BUFFER_TOO_SMALL, []slot{{ck.CKA_LABEL, 0, unavailable, nil}, goodLate}},
	} {
		c.sub(row.name, func(c *client) { c.getTemplate(o, row.rv, row.slots...) })
	}
	// With several reasons any of the codes is right (section 5.7.5), but every
	// attribute is processed.
	for _, row := range [][]slot{
		{sensitive, missing, small, good, goodLate}, {small, missing, sensitive, goodLate},
		{missing, good, small}, {small, sensitive}, {missing, sensitive, query},
	} {
		c.sub("several", func(c *client) {
			codes := map[ck.RV]bool{}
			for _, z := range row {
				switch z.t {
				case ck.CKA_VALUE:
					codes[ck.CKR_ATTRIBUTE_SENSITIVE] = true
				case ck.CKA_MODULUS:
					codes[ck.CKR_ATTRIBUTE_TYPE_INVALID] = true
				}
			}
			rv := ck.RV(ck.CKR_ATTRIBUTE_TYPE_INVALID)
			if codes[ck.CKR_ATTRIBUTE_SENSITIVE] {
				rv = ck.CKR_ATTRIBUTE_SENSITIVE // ours: what matters most comes first
			}
			c.getTemplate(o, rv, row...)
		})
	}
	c.sub("bad lengths", func(c *client) {
		// A value that is said to have room for -1 bytes.
		p := c.Exact(c11.Words(uint64(ck.CKA_LABEL), 0, unavailable))
		c.must("C_GetAttributeValue", c.s, o, p, 1)
		if c11.Number(unsafe.Add(p, 16)) != 5 {
			c.t.Error("the length of a query is not told")
		}
	})
}

// TestNestedTemplates reads and sets CKA_WRAP_TEMPLATE and its kin.
func TestNestedTemplates(t *testing.T) {
	if !apart(t) {
		return
	}
	c := open(t)
	o := c.object(with(secret(ck.CKK_AES, sequence(16)), template(ck.CKA_WRAP_TEMPLATE, class(ck.CKO_SECRET_KEY), text(ck.CKA_LABEL, "inner")))...)
	at := func(t ck.AttributeType, p unsafe.Pointer, n int) unsafe.Pointer {
		return c.Exact(c11.Words(uint64(t), uint64(uintptr(p)), uint64(n)))
	}
	q := at(ck.CKA_WRAP_TEMPLATE, nil, 0)
	c.must("C_GetAttributeValue", c.s, o, q, 1)
	size := int(c11.Number(unsafe.Add(q, 16)))
	if size != 2*c11.AttributeSize {
		t.Fatalf("CKA_WRAP_TEMPLATE takes %d bytes", size)
	}
	// A second call with null addresses inside tells types and lengths.
	inner := c.Alloc(size)
	q = at(ck.CKA_WRAP_TEMPLATE, inner, size)
	c.must("C_GetAttributeValue", c.s, o, q, 1)
	lengths := map[ck.AttributeType]uint64{}
	for i := range 2 {
		p := unsafe.Add(inner, i*c11.AttributeSize)
		lengths[ck.AttributeType(c11.Number(p))] = c11.Number(unsafe.Add(p, 16))
	}
	if lengths[ck.CKA_CLASS] != 8 || lengths[ck.CKA_LABEL] != 5 {
		t.Errorf("inner lengths %v", lengths)
	}
	// A third call takes the values.
	bufs := map[ck.AttributeType]*c11.Guarded{}
	for i := range 2 {
		p := unsafe.Add(inner, i*c11.AttributeSize)
		n := int(c11.Number(unsafe.Add(p, 16)))
		g := c.Guarded(n)
		bufs[ck.AttributeType(c11.Number(p))] = g
		c11.Poke(unsafe.Add(p, 8), c11.Words(uint64(uintptr(g.Ptr()))))
	}
	c.must("C_GetAttributeValue", c.s, o, q, 1)
	if got := bufs[ck.CKA_LABEL].Bytes(5); string(got) != "inner" {
		t.Errorf("inner label %q", got)
	}
	if got := bufs[ck.CKA_CLASS].Bytes(8); !bytes.Equal(got, ck.PutULong(ck.CKO_SECRET_KEY)) {
		t.Errorf("inner class %x", got)
	}
	// Too little room outside, and inside.
	g := c.Guarded(size - 1)
	q = at(ck.CKA_WRAP_TEMPLATE, g.Ptr(), size-1)
	c.refuses(ck.CKR_BUFFER_TOO_SMALL, "C_GetAttributeValue", c.s, o, q, 1)
	if c11.Number(unsafe.Add(q, 16)) != unavailable || !g.Untouched(0) {
		t.Error("a template that does not fit")
	}
	for i := range 2 {
		p := unsafe.Add(inner, i*c11.AttributeSize)
		small := c.Guarded(3)
		c11.Poke(unsafe.Add(p, 8), c11.Words(uint64(uintptr(small.Ptr())), 3))
	}
	c.refuses(ck.CKR_BUFFER_TOO_SMALL, "C_GetAttributeValue", c.s, o, at(ck.CKA_WRAP_TEMPLATE, inner, size), 1)

	// Templates that are none.
	bad := func(name string, value unsafe.Pointer, n int) {
		t.Helper()
		list := with(secret(ck.CKK_AES, sequence(16)), bytesOf(ck.CKA_WRAP_TEMPLATE, nil))
		p := c.Template(list...)
		c11.Poke(unsafe.Add(p, (len(list)-1)*c11.AttributeSize), c11.Words(uint64(ck.CKA_WRAP_TEMPLATE), uint64(uintptr(value)), uint64(n)))
		rv := c.Call("C_CreateObject", c.s, p, len(list), c.ULong(0))
		c.want(name, rv, ck.CKR_ATTRIBUTE_VALUE_INVALID, ck.CKR_ARGUMENTS_BAD, ck.CKR_TEMPLATE_INCONSISTENT)
	}
	bad("odd length", c.Alloc(100), c11.AttributeSize+1)
	bad("null with a length", nil, c11.AttributeSize)
	bad("huge", c.Alloc(100), 1<<62)
	loop := c.Alloc(c11.AttributeSize)
	c11.Poke(loop, c11.Words(uint64(ck.CKA_WRAP_TEMPLATE), uint64(uintptr(loop)), c11.AttributeSize))
	bad("a template in itself", loop, c11.AttributeSize)

	// An empty one is none.
	o = c.object(with(secret(ck.CKK_AES, sequence(16)), template(ck.CKA_WRAP_TEMPLATE))...)
	q = at(ck.CKA_WRAP_TEMPLATE, nil, 0)
	rv := c.Call("C_GetAttributeValue", c.s, o, q, 1)
	c.want("an empty template", rv, ck.CKR_OK, ck.CKR_ATTRIBUTE_TYPE_INVALID)

	// CKA_ALLOWED_MECHANISMS is an array of numbers.
	o = c.object(with(secret(ck.CKK_AES, sequence(16)), bytesOf(ck.CKA_ALLOWED_MECHANISMS, ck.PutMechanismTypes(ck.CKM_AES_ECB, ck.CKM_AES_GCM)))...)
	c.getTemplate(o, ck.CKR_OK,
		slot{ck.CKA_ALLOWED_MECHANISMS, 16, 16, ck.PutMechanismTypes(ck.CKM_AES_ECB, ck.CKM_AES_GCM)},
		slot{ck.CKA_ALLOWED_MECHANISMS, -1, 16, nil})
	for _, n := range []int{1, 7, 9} {
		_, rv := c.tryObject(with(secret(ck.CKK_AES, sequence(16)), bytesOf(ck.CKA_ALLOWED_MECHANISMS, make([]byte, n)))...)
		c.want("an odd length", rv, ck.CKR_ATTRIBUTE_VALUE_INVALID)
	}
}

// TestAttributeLengths creates objects with attributes of wrong lengths.
func TestAttributeLengths(t *testing.T) {
	if !apart(t) {
		return
	}
	c := open(t)
	for _, a := range []ck.Attribute{
		bytesOf(ck.CKA_TOKEN, []byte{0, 0}), bytesOf(ck.CKA_TOKEN, nil), bytesOf(ck.CKA_PRIVATE, make([]byte, 8)),
		bytesOf(ck.CKA_START_DATE, []byte("2026112")), bytesOf(ck.CKA_START_DATE, []byte("20261340")), bytesOf(ck.CKA_END_DATE, []byte("abcdefgh")),
	} {
		list := append([]ck.Attribute{class(ck.CKO_SECRET_KEY), keyType(ck.CKK_AES), bytesOf(ck.CKA_VALUE, sequence(16))}, a)
		_, rv := c.tryObject(list...)
		c.want(a.Type.String(), rv, ck.CKR_ATTRIBUTE_VALUE_INVALID)
	}
	_, rv := c.tryObject(bytesOf(ck.CKA_CLASS, []byte{4}), keyType(ck.CKK_AES), bytesOf(ck.CKA_VALUE, sequence(16)))
	c.want("CKA_CLASS of one byte", rv, ck.CKR_ATTRIBUTE_VALUE_INVALID)
	for _, n := range []int{0, 1, 15, 17, 33} {
		_, rv := c.tryObject(secret(ck.CKK_AES, sequence(n))...)
		c.want("an AES key of odd length", rv, ck.CKR_ATTRIBUTE_VALUE_INVALID, ck.CKR_KEY_SIZE_RANGE)
	}
	// A truth value of any byte but 0 is true, as C programs write it.
	o := c.object(class(ck.CKO_SECRET_KEY), keyType(ck.CKK_AES), bytesOf(ck.CKA_VALUE, sequence(16)), bytesOf(ck.CKA_ENCRYPT, []byte{0xff}))
	if got := c.get(o, ck.CKA_ENCRYPT); !bytes.Equal(got, []byte{1}) {
		t.Errorf("CKA_ENCRYPT %x", got)
	}
	// The same attribute twice: the same value is a slip, another one is an error.
	_, rv = c.tryObject(with(secret(ck.CKK_AES, sequence(16)), text(ck.CKA_LABEL, "a"), text(ck.CKA_LABEL, "b"))...)
	c.want("CKA_LABEL with two values", rv, ck.CKR_TEMPLATE_INCONSISTENT)
	_, rv = c.tryObject(with(secret(ck.CKK_AES, sequence(16))[:2], text(ck.CKA_LABEL, "a"))...)
	c.want("no CKA_VALUE", rv, ck.CKR_TEMPLATE_INCOMPLETE)
	_, rv = c.tryObject(text(ck.CKA_LABEL, "a"))
	c.want("no CKA_CLASS", rv, ck.CKR_TEMPLATE_INCOMPLETE)
}
