package migrate

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/engine"
)

// order is the order in which objects are imported.
var order = []ck.ObjectClass{ck.CKO_PRIVATE_KEY, ck.CKO_PUBLIC_KEY, ck.CKO_CERTIFICATE, ck.CKO_SECRET_KEY, ck.CKO_DOMAIN_PARAMETERS, ck.CKO_DATA}

// Arrange brings objects of one source into an order for people, and gives private
// keys the public keys and certificates that go by the same name.
func Arrange(list []*Object) {
	public := map[string][][]byte{}
	for _, o := range list {
		if info, t := o.publicKey(); info != nil {
			public[o.name(t)] = append(public[o.name(t)], info)
		}
	}
	for _, o := range list {
		if t, _ := ulong(o.Attrs, ck.CKA_KEY_TYPE); o.Class() == ck.CKO_PRIVATE_KEY {
			o.PublicKeys = append(o.PublicKeys, public[o.name(ck.KeyType(t))]...)
		}
	}
	slices.SortStableFunc(list, func(a, b *Object) int {
		return cmp.Or(cmp.Compare(slices.Index(order, a.Class()), slices.Index(order, b.Class())),
			bytes.Compare(a.value(ck.CKA_LABEL), b.value(ck.CKA_LABEL)), bytes.Compare(a.value(ck.CKA_ID), b.value(ck.CKA_ID)))
	})
}

// name is by what the halves of a pair find each other: the type of the key, and
// its identifier, or its label if it has none.
func (o *Object) name(t ck.KeyType) string {
	for _, a := range []ck.AttributeType{ck.CKA_ID, ck.CKA_LABEL} {
		if v := o.value(a); len(v) > 0 {
			return fmt.Sprintf("%v %v %x", engine.StandardKeyType(t), a, v)
		}
	}
	return fmt.Sprintf("nameless %p", o)
}

// Class is CKA_CLASS.
func (o *Object) Class() ck.ObjectClass {
	n, _ := ulong(o.Attrs, ck.CKA_CLASS)
	return ck.ObjectClass(n)
}

func (o *Object) value(t ck.AttributeType) []byte {
	if a := ck.Find(o.Attrs, t); a != nil {
		return a.Value
	}
	return nil
}

// publicKey is the SubjectPublicKeyInfo of a public key or certificate, and the
// type of the key.
func (o *Object) publicKey() ([]byte, ck.KeyType) {
	switch o.Class() {
	case ck.CKO_PUBLIC_KEY:
		j := &job{Object: Object{Attrs: o.Attrs}}
		j.sort()
		if j.identify() == nil {
			return j.public, j.keyType
		}
	case ck.CKO_CERTIFICATE:
		if c, err := ParseCertificate(o.value(ck.CKA_VALUE)); err == nil {
			return normal(c.PublicKey)
		}
	}
	return nil, 0
}

// normal is a public key in the form that the engine gives it, for comparison; nil
// if the engine does not know it.
func normal(info []byte) ([]byte, ck.KeyType) {
	t, values, err := engine.UnmarshalPublicKey(info)
	if err != nil {
		return nil, 0
	}
	k := &engine.Key{Class: ck.CKO_PUBLIC_KEY, Type: t, Attrs: values}
	same, err := engine.FindKeyType(t).PublicInfo(k)
	if err != nil {
		return nil, 0
	}
	return same, t
}
