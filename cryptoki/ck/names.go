package ck

import (
	"slices"
	"strconv"
)

// A nameTable finds the name of a number: values is sorted, and the name of
// values[i] ends at ends[i] in names, where the name before it ended or the
// string begins.
type nameTable struct {
	values []uint32
	ends   []uint16
	names  string
}

// find returns "" for a number without a name.
func (t *nameTable) find(v uint64) string {
	if v != uint64(uint32(v)) {
		return ""
	}
	i, ok := slices.BinarySearch(t.values, uint32(v))
	if !ok {
		return ""
	}
	start := uint16(0)
	if i > 0 {
		start = t.ends[i-1]
	}
	return t.names[start:t.ends[i]]
}

// text is find, with the number itself where there is no name.
func (t *nameTable) text(v uint64) string {
	if name := t.find(v); name != "" {
		return name
	}
	return "0x" + strconv.FormatUint(v, 16)
}
