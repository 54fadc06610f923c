package engine

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"testing"

	"github.com/perilune/perilune/cryptoki/ck"
)

// FuzzMechanism is the fuzz target of every parameter structure: it runs every
// use of every row with keys that are right, and with a parameter of any
// content. [FuzzParams] is the other way round, with keys of any content.

// What the flags of FuzzMechanism say.
const (
	fuzzParts    = 1 << iota // operations in parts
	fuzzNoParam              // no parameter at all
	fuzzPrepared             // what the use before made, with its first bytes changed
	fuzzTemplate             // a template of the samples, rather than one of any content
)

// fuzzSeed is one input of FuzzMechanism.
type fuzzSeed struct {
	row            uint16
	use, key       byte
	flags          byte
	param, message []byte
	proto          any
	value          any
}

// fuzzSeeds are the first parameter of the samples for every use of every row,
// and the others for the first row that takes them.
func fuzzSeeds() (seeds []fuzzSeed) {
	seen := map[string]bool{}
	for i, m := range Mechanisms() {
		if m.alias {
			continue
		}
		for j, u := range usesOf(m) {
			keys := fuzzKeySets(m)
			params, _ := sampleParams(m, u.proto(m), keys[0])
			first := fmt.Sprintf("%s %T", u.name, u.proto(m))
			if seen[first] {
				n := slices.IndexFunc(params, func(p any) bool { return p != nil })
				params = params[:max(n, 0)+1]
			}
			seen[first] = true
			for n, p := range params {
				s := fuzzSeed{row: uint16(i), use: byte(j), flags: fuzzTemplate | fuzzPrepared, message: pattern(32), proto: u.proto(m), value: p}
				if s.key = byte(n); p == nil {
					s.flags |= fuzzNoParam
				} else {
					s.param = pour(nil, reflect.ValueOf(p))
				}
				seeds = append(seeds, s)
				if n == 1 {
					s.flags |= fuzzParts
					seeds = append(seeds, s)
				}
			}
		}
	}
	return seeds
}

// usesOf are the uses that m has.
func usesOf(m *Mechanism) (list []use) {
	for _, u := range uses {
		if u.has(m) {
			list = append(list, u)
		}
	}
	return list
}

// fuzzKeySets are the sample keys that m takes, or an empty set.
func fuzzKeySets(m *Mechanism) (list []*sampleKeys) {
	types := m.Keys
	if m.GeneratePair != nil || m.GenerateParameters != nil {
		types = []ck.KeyType{m.Makes}
	}
	for _, t := range types {
		list = append(list, sampleKeysOf(t)...)
	}
	if len(list) == 0 {
		list = []*sampleKeys{{}}
	}
	return list
}

// pour is the way back of filler.value.
func pour(b []byte, v reflect.Value) []byte {
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			return append(b, fillNil)
		}
		return pour(append(b, 0), v.Elem())
	case reflect.Interface:
		if v.IsNil() {
			return append(b, 1)
		}
		return append(pour(b, v.Elem()), 0)
	case reflect.Struct:
		for i := range v.NumField() {
			f := v.Field(i)
			if f.Kind() == reflect.Interface && f.IsNil() {
				// filler makes a value before it throws it away
				if proto := v.Addr().Interface().(interface{ Variant() any }).Variant(); proto != nil {
					b = append(pour(b, reflect.Zero(reflect.TypeOf(proto))), 1)
				}
				continue
			}
			b = pour(b, f)
		}
		return b
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			switch n := v.Len(); {
			case v.IsNil():
				return append(b, fillNil)
			case n >= fillNil:
				b = append(b, fillLong, byte(n), byte(n>>8))
			default:
				b = append(b, byte(n))
			}
			return append(b, v.Bytes()...)
		}
		if v.IsNil() {
			return append(b, fillNil)
		}
		b = append(b, byte(v.Len()))
		fallthrough
	case reflect.Array:
		for i := range v.Len() {
			b = pour(b, v.Index(i))
		}
		return b
	case reflect.Uint64:
		return binary.LittleEndian.AppendUint64(b, v.Uint())
	case reflect.Uint8:
		return append(b, byte(v.Uint()))
	case reflect.Bool:
		if v.Bool() {
			return append(b, 1)
		}
		return append(b, 0)
	}
	panic("pour does not know a " + v.Kind().String())
}

// TestFuzzSeeds wants a seed for every prototype of every row, which comes back
// as it was.
func TestFuzzSeeds(t *testing.T) {
	seen := map[string]bool{}
	for _, s := range fuzzSeeds() {
		m := Mechanisms()[s.row]
		if s.value == nil {
			continue
		}
		got := (&filler{s.param}).value(s.proto)
		if !reflect.DeepEqual(got, s.value) {
			t.Errorf("%v: seed %+v comes back as %+v", m.Type, deref(s.value), deref(got))
		}
		seen[fmt.Sprintf("%v %T", m.Type, s.proto)] = true
	}
	for _, m := range Mechanisms() {
		for _, proto := range []any{m.Param, m.MessageParam, m.WrapParam} {
			if proto != nil && !m.alias && !seen[fmt.Sprintf("%v %T", m.Type, proto)] {
				t.Errorf("%v: %T has no seed: add a sample to sampleParams", m.Type, proto)
			}
		}
	}
}

func deref(p any) any {
	if v := reflect.ValueOf(p); v.Kind() == reflect.Pointer && !v.IsNil() {
		return v.Elem().Interface()
	}
	return p
}

func FuzzMechanism(f *testing.F) {
	for _, s := range fuzzSeeds() {
		f.Add(s.row, s.use, s.key, s.flags, s.param, s.message)
	}
	f.Fuzz(func(t *testing.T, row uint16, use, key, flags byte, param, message []byte) {
		m := Mechanisms()[int(row)%len(Mechanisms())]
		list := usesOf(m)
		u := list[int(use)%len(list)]
		sets := fuzzKeySets(m)
		x := &trial{t: t, m: m, keys: sets[int(key)%len(sets)], parts: flags&fuzzParts != 0}
		d := &filler{param}
		if flags&fuzzNoParam == 0 {
			x.p = bounded(d.value(u.proto(m)))
		}
		x.template = fuzzTemplateFor(x, d, flags)
		message = message[:min(len(message), 1<<12)]
		_, err := u.run(x, message, x.fuzzMade(u, flags, message))
		var rv ck.RV
		if err != nil && (!errors.As(err, &rv) || rv == ck.CKR_OK) {
			t.Errorf("%v, %s: error without a CK_RV: %v", m.Type, u.name, err)
		}
	})
}

// fuzzMade is what use u works on beside a message: the message, or what the use
// before makes of it, changed at its end.
func (x *trial) fuzzMade(u use, flags byte, message []byte) []byte {
	if flags&fuzzPrepared == 0 || u.before == "" {
		return message
	}
	before := *x
	before.p, before.parts = cloneParam(x.p), false
	made, err := before.prepare(u, message)
	if err != nil {
		return message
	}
	made = bytes.Clone(made)
	if len(message)%3 == 1 && len(made) > 0 {
		made[len(made)-1] ^= message[0]
	}
	return made
}

// fuzzTemplateFor is a template that keeps generation short.
func fuzzTemplateFor(x *trial, d *filler, flags byte) []ck.Attribute {
	if flags&fuzzTemplate != 0 && x.m.GenerateParameters == nil {
		list := sampleTemplates(x.m, x.keys)
		return list[int(d.byte())%min(2, len(list))]
	}
	length := d.uint64() % (1 << 12)
	switch {
	case x.m.GenerateParameters != nil: // too short for a group, or no length
		return []ck.Attribute{ck.NewULong(ck.CKA_PRIME_BITS, length%512), ck.NewBytes(ck.CKA_SUBPRIME_BITS, d.bytes())}
	case x.m.GeneratePair != nil:
		return []ck.Attribute{
			ck.NewULong(ck.CKA_MODULUS_BITS, length%512), ck.NewBytes(ck.CKA_PUBLIC_EXPONENT, d.bytes()),
			ck.NewBytes(ck.CKA_EC_PARAMS, d.bytes()), ck.NewULong(ck.CKA_PARAMETER_SET, length%4),
			ck.NewBytes(ck.CKA_PRIME, d.bytes()), ck.NewBytes(ck.CKA_SUBPRIME, d.bytes()), ck.NewBytes(ck.CKA_BASE, d.bytes()),
		}
	case length%5 == 0:
		return []ck.Attribute{ck.NewBytes(ck.CKA_VALUE_LEN, d.bytes())}
	}
	return []ck.Attribute{ck.NewULong(ck.CKA_VALUE_LEN, length)}
}
