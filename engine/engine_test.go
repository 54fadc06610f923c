package engine

import (
	"encoding/binary"
	"errors"
	"reflect"
	"slices"
	"testing"

	"github.com/perilune/perilune/cryptoki/ck"
)

// TestSelfTests runs the self-test of every row.
func TestSelfTests(t *testing.T) {
	for _, m := range Mechanisms() {
		t.Run(m.Type.String(), func(t *testing.T) {
			t.Parallel()
			if m.SelfTest == nil {
				t.Fatal("no self-test")
			}
			if err := m.SelfTest(); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestRows checks that rows are sound in themselves.
func TestRows(t *testing.T) {
	for _, m := range Mechanisms() {
		needsKey := m.Encrypt != nil || m.Decrypt != nil || m.Sign != nil || m.Verify != nil ||
			m.SignRecover != nil || m.VerifyRecover != nil || m.Wrap != nil || m.Unwrap != nil ||
			m.MessageEncrypt != nil || m.MessageDecrypt != nil || m.Derive != nil ||
			m.DeriveKeys != nil || m.Encapsulate != nil || m.Decapsulate != nil
		makesKey := m.Generate != nil || m.GeneratePair != nil || m.GenerateParameters != nil
		if needsKey && len(m.Keys) == 0 || !needsKey && !makesKey && len(m.Keys) > 0 {
			t.Errorf("%v: needs a key: %v, key types: %v", m.Type, needsKey, m.Keys)
		}
		if m.Info().Flags == 0 {
			t.Errorf("%v: does nothing", m.Type)
		}
		if m.Min > m.Max {
			t.Errorf("%v: smallest key %d, largest %d", m.Type, m.Min, m.Max)
		}
		for _, k := range m.Keys {
			if k != AnySecret && FindKeyType(k) == nil {
				t.Errorf("%v: key type %v has no row", m.Type, k)
			}
		}
		if makesKey && m.Makes != AnySecret && FindKeyType(m.Makes) == nil {
			t.Errorf("%v: makes %v, which has no row", m.Type, m.Makes)
		}
		if Find(m.Type) != m {
			t.Errorf("%v: not found", m.Type)
		}
		checkPrototype(t, m, m.Param)
		checkPrototype(t, m, m.MessageParam)
		checkPrototype(t, m, m.WrapParam)
		if m.Derive != nil && m.DeriveKeys != nil {
			t.Errorf("%v: derives in two ways", m.Type)
		}
		if (m.Encapsulate == nil) != (m.CiphertextLen == nil) {
			t.Errorf("%v: CiphertextLen belongs to Encapsulate", m.Type)
		}
	}
}

// checkPrototype checks that a parameter's prototype is of one of the forms
// that the contract knows.
func checkPrototype(t *testing.T, m *Mechanism, p any) {
	switch p.(type) {
	case nil, []byte, uint64, ck.ObjectHandle:
		return
	}
	if v := reflect.ValueOf(p); v.Kind() != reflect.Pointer || !v.IsNil() || v.Type().Elem().Kind() != reflect.Struct {
		t.Errorf("%v: prototype %T", m.Type, p)
	}
}

func TestKeyTypes(t *testing.T) {
	seen := map[ck.KeyType]bool{}
	for _, k := range KeyTypes() {
		if seen[k.Type] {
			t.Errorf("two rows for %v", k.Type)
		}
		seen[k.Type] = true
		if k.Complete == nil { // Size may be nil: hash-based keys have none
			t.Errorf("%v: row is not complete", k.Type)
		}
	}
}

func TestUnknown(t *testing.T) {
	for _, n := range []ck.MechanismType{ck.CKM_VENDOR_DEFINED | 0x7fffffff, 1<<64 - 1} {
		if Find(n) != nil {
			t.Errorf("found %#x", uint64(n))
		}
		if _, _, _, ok := ParamPrototypes(n); ok {
			t.Errorf("prototypes of %#x", uint64(n))
		}
	}
	if FindKeyType(1<<64-1) != nil {
		t.Error("found a key type")
	}
}

func TestInfo(t *testing.T) {
	for _, c := range []struct {
		mech     ck.MechanismType
		min, max uint64
		flags    ck.Flags
	}{
		{ck.CKM_AES_KEY_GEN, 16, 32, ck.CKF_GENERATE},
		{ck.CKM_AES_CBC_PAD, 16, 32, ck.CKF_ENCRYPT | ck.CKF_DECRYPT | ck.CKF_WRAP | ck.CKF_UNWRAP},
		{ck.CKM_AES_GCM, 16, 32, ck.CKF_ENCRYPT | ck.CKF_DECRYPT | ck.CKF_WRAP | ck.CKF_UNWRAP |
			ck.CKF_MESSAGE_ENCRYPT | ck.CKF_MESSAGE_DECRYPT},
		{ck.CKM_SHA256, 0, 0, ck.CKF_DIGEST},
		{ck.CKM_GENERIC_SECRET_KEY_GEN, 8, 8 * maxSecret, ck.CKF_GENERATE},
		{ck.CKM_SHA256_HMAC, 1, maxSecret, ck.CKF_SIGN | ck.CKF_VERIFY | ck.CKF_MESSAGE_SIGN | ck.CKF_MESSAGE_VERIFY},
		{ck.CKM_HKDF_DERIVE, 1, maxSecret, ck.CKF_DERIVE},
	} {
		got := Find(c.mech).Info()
		if want := (ck.MechanismInfo{MinKeySize: c.min, MaxKeySize: c.max, Flags: c.flags}); got != want {
			t.Errorf("%v: %+v, want %+v", c.mech, got, want)
		}
	}
}

// TestNilParams gives no parameter and no key material to every row.
func TestNilParams(t *testing.T) {
	for _, m := range Mechanisms() {
		params := []any{nil, []byte(nil), []byte{}}
		for _, p := range []any{m.Param, m.MessageParam} {
			if v := reflect.ValueOf(p); v.IsValid() {
				params = append(params, p)
				if v.Kind() == reflect.Pointer {
					params = append(params, reflect.New(v.Type().Elem()).Interface())
				}
			}
		}
		for _, p := range params {
			types := m.Keys
			if len(types) == 0 {
				types = []ck.KeyType{0}
			}
			for _, kt := range types {
				for _, class := range []ck.ObjectClass{ck.CKO_SECRET_KEY, ck.CKO_PRIVATE_KEY, ck.CKO_PUBLIC_KEY} {
					k := &Key{Class: class, Type: kt}
					exercise(t, m, k, p, nil, []byte("some data, more than a block"))
				}
			}
		}
	}
}

// FuzzParams gives parameters of the right Go type but with any content, and
// keys with any attributes, to every row: no panic, and only CK_RV errors.
func FuzzParams(f *testing.F) {
	for i := range Mechanisms() {
		f.Add(uint16(i), []byte{}, []byte("0123456789abcdef"), []byte("message"))
	}
	f.Fuzz(func(t *testing.T, row uint16, param, key, message []byte) {
		m := Mechanisms()[int(row)%len(Mechanisms())]
		d := &filler{param}
		var k *Key
		if len(m.Keys) > 0 {
			kt := m.Keys[int(d.byte())%len(m.Keys)]
			k = fuzzKey(kt, ck.CKO_PUBLIC_KEY+ck.ObjectClass(d.byte()%3), key)
		} else {
			k = &Key{}
		}
		exercise(t, m, k, d.value(m.Param), d.value(m.MessageParam), message)
	})
}

// fuzzKey makes a key with every attribute that any key type looks at.
func fuzzKey(kt ck.KeyType, class ck.ObjectClass, b []byte) *Key {
	k := &Key{Class: class, Type: kt}
	d := &filler{b}
	for _, a := range []ck.AttributeType{
		ck.CKA_EC_PARAMS, ck.CKA_EC_POINT, ck.CKA_MODULUS, ck.CKA_PUBLIC_EXPONENT, ck.CKA_PRIVATE_EXPONENT,
		ck.CKA_PRIME_1, ck.CKA_PRIME_2, ck.CKA_EXPONENT_1, ck.CKA_EXPONENT_2, ck.CKA_COEFFICIENT,
	} {
		if d.byte()&1 != 0 {
			k.Attrs = append(k.Attrs, ck.NewBytes(a, d.bytes()))
		}
	}
	k.Attrs = append(k.Attrs, ck.NewBytes(ck.CKA_VALUE, b))
	return k
}

// filler makes values out of bytes.
type filler struct{ b []byte }

func (d *filler) byte() byte {
	if len(d.b) == 0 {
		return 0
	}
	x := d.b[0]
	d.b = d.b[1:]
	return x
}

// How filler.bytes tells what the length does not: see pour for the way back.
const (
	fillNil  = 0xfe // no slice, or pointer
	fillLong = 0xff // two bytes of length follow
)

// bytes takes a length and as many bytes.
func (d *filler) bytes() []byte {
	n := int(d.byte())
	switch n {
	case fillNil:
		return nil
	case fillLong:
		n = int(d.byte()) | int(d.byte())<<8
	}
	n = min(n, len(d.b))
	x := d.b[:n:n]
	d.b = d.b[n:]
	return slices.Clone(x)
}

func (d *filler) uint64() uint64 {
	var x [8]byte
	d.b = d.b[copy(x[:], d.b):]
	return binary.LittleEndian.Uint64(x[:])
}

// value makes a value of the type of a prototype.
func (d *filler) value(prototype any) any {
	v := reflect.ValueOf(prototype)
	if !v.IsValid() {
		return nil
	}
	x := reflect.New(v.Type()).Elem()
	d.fill(x)
	return x.Interface()
}

func (d *filler) fill(v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		if d.byte() == fillNil {
			return
		}
		v.Set(reflect.New(v.Type().Elem()))
		d.fill(v.Elem())
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Field(i).Kind() == reflect.Interface {
				d.variant(v.Field(i), v.Addr().Interface().(interface{ Variant() any }).Variant())
				continue
			}
			d.fill(v.Field(i))
		}
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			v.SetBytes(d.bytes())
			return
		}
		n := d.byte()
		if n == fillNil {
			return
		}
		v.Set(reflect.MakeSlice(v.Type(), int(n%4), 4))
		fallthrough
	case reflect.Array:
		for i := range v.Len() {
			d.fill(v.Index(i))
		}
	case reflect.Uint64:
		v.SetUint(d.uint64())
	case reflect.Uint8:
		v.SetUint(uint64(d.byte()))
	case reflect.Bool:
		v.SetBool(d.byte()&1 != 0)
	default:
		panic("the test does not know parameters with a " + v.Kind().String())
	}
}

// variant fills a field of type any, at times with nil.
func (d *filler) variant(v reflect.Value, prototype any) {
	if x := d.value(prototype); x != nil && d.byte()&1 == 0 {
		v.Set(reflect.ValueOf(x))
	}
}

// exercise calls every function of a row.
func exercise(t *testing.T, m *Mechanism, k *Key, p, messageParam any, message []byte) {
	t.Helper()
	check := func(err error) {
		t.Helper()
		var rv ck.RV
		if err != nil && (!errors.As(err, &rv) || rv == ck.CKR_OK) {
			t.Errorf("%v: error without a CK_RV: %v", m.Type, err)
		}
	}
	ops := []func(*Key, any) (Op, error){m.Encrypt, m.Decrypt, m.Sign, m.SignRecover, m.VerifyRecover, m.Wrap, m.Unwrap}
	if m.Digest != nil {
		ops = append(ops, func(_ *Key, p any) (Op, error) { return m.Digest(p) })
	}
	for _, begin := range ops {
		if begin == nil {
			continue
		}
		op, err := begin(k, p)
		check(err)
		if err == nil {
			_, err = finishWhole(t, m, op, message)
			check(err)
		}
		if op, err = begin(k, p); err == nil {
			_, err = inParts(t, m, op, message)
			check(err)
		}
		if op, err = begin(k, p); err == nil {
			if s, ok := op.(Saver); ok {
				check(s.Load(message))
			}
		}
	}
	if m.Verify != nil {
		v, err := m.Verify(k, p)
		check(err)
		if err == nil {
			half := len(message) / 2
			check(v.Verify(message[:half], message[half:]))
		}
	}
	for _, begin := range []func(*Key, any) (MessageOp, error){m.MessageEncrypt, m.MessageDecrypt} {
		if begin == nil {
			continue
		}
		mo, err := begin(k, nil)
		check(err)
		for range 3 {
			if err != nil {
				break
			}
			var op Op
			if op, err = mo.Begin(messageParam, message); err == nil {
				_, err = finishWhole(t, m, op, message)
			}
			check(err)
		}
	}
	if m.Generate != nil {
		for _, template := range [][]ck.Attribute{nil, {ck.NewBytes(ck.CKA_VALUE_LEN, message)},
			{ck.NewULong(ck.CKA_VALUE_LEN, uint64(len(message)))}} {
			_, err := m.Generate(bounded(p), template)
			check(err)
		}
	}
	if m.GeneratePair != nil {
		_, _, err := m.GeneratePair(p, nil, nil)
		check(err)
		template := []ck.Attribute{
			ck.NewBytes(ck.CKA_EC_PARAMS, message),
			ck.NewBytes(ck.CKA_MODULUS_BITS, message),
			ck.NewBytes(ck.CKA_PUBLIC_EXPONENT, message),
		}
		_, _, err = m.GeneratePair(p, template, nil)
		check(err)
	}
	derive := m.Derive
	if m.DeriveKeys != nil {
		derive = func(k *Key, p any, d *Derivation) ([]byte, error) {
			_, err := m.DeriveKeys(k, p, d)
			return nil, err
		}
	}
	if derive != nil {
		for _, d := range []Derivation{
			{Type: ck.CKK_GENERIC_SECRET},
			{Type: ck.CKK_AES},
			{Type: ck.CKK_AES, Len: 32, Keys: []*Key{nil}},
			{Type: ck.CKK_GENERIC_SECRET, Len: 100000, Keys: []*Key{k}},
		} {
			_, err := derive(k, p, &d)
			check(err)
		}
	}
}

// bounded keeps derivations from passwords short: their parameters have a field
// Iterations or Iteration.
func bounded(p any) any {
	v := reflect.ValueOf(p)
	if v.Kind() != reflect.Pointer || v.IsNil() {
		return p
	}
	for _, name := range []string{"Iterations", "Iteration"} {
		if f := v.Elem().FieldByName(name); f.IsValid() && f.Uint() < 1<<50 {
			f.SetUint(f.Uint() % 100)
		}
	}
	return p
}

// guard is written behind the room that an operation is given.
const guard = 0xa5

func room(n int) []byte {
	b := make([]byte, n+1)
	b[n] = guard
	return b
}

// finishWhole runs op over the message in one part.
func finishWhole(t *testing.T, m *Mechanism, op Op, message []byte) ([]byte, error) {
	t.Helper()
	limit, exact := op.FinishLen(len(message))
	dst := room(limit)
	n, err := op.Finish(dst[:limit], message)
	if dst[limit] != guard {
		t.Errorf("%v: wrote past its room", m.Type)
	}
	if err == nil && (n > limit || exact && n != limit) {
		t.Errorf("%v: wrote %d bytes, announced %d (exact: %v)", m.Type, n, limit, exact)
	}
	return dst[:min(n, limit)], err
}

// inParts runs op over the message in parts.
func inParts(t *testing.T, m *Mechanism, op Op, message []byte) (out []byte, err error) {
	t.Helper()
	for size := 1; len(message) > size; size += 6 {
		limit := op.UpdateLen(size)
		dst := room(limit)
		n, err := op.Update(dst[:limit], message[:size])
		if err != nil {
			return nil, err
		}
		if dst[limit] != guard || n > limit {
			t.Errorf("%v: wrote %d bytes, announced %d", m.Type, n, limit)
		}
		out = append(out, dst[:min(n, limit)]...)
		message = message[size:]
	}
	last, err := finishWhole(t, m, op, message)
	return append(out, last...), err
}
