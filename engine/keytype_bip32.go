package engine

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"sync"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/engine/internal/ct"
	"github.com/perilune/perilune/engine/internal/mont"
	"github.com/perilune/perilune/engine/internal/ripemd"
)

// Keys of hierarchical deterministic wallets (BIP 32): keys on secp256k1 that
// have a chain code and know their place in the tree. For other mechanisms they
// are elliptic curve keys like others; PKCS #8 has no form for them.

func init() { later(bip32KeyTypes) }

func bip32KeyTypes() {
	registerKeyType(&KeyType{
		Type:       ck.CKK_BIP32,
		Size:       ecSize,
		Complete:   completeBIP32,
		PublicInfo: ecPublicInfo,
	})
}

var secp256k1 = sync.OnceValue(func() *curve {
	c, err := curveByName("secp256k1")
	if err != nil {
		panic("engine: " + err.Error()) // it is one of ours
	}
	return c
})

// bip32Version is the version bytes of serialized keys, which tell the network.
type bip32Version struct{ public, private [4]byte }

// bip32Versions are the main network's and the test network's.
var bip32Versions = []bip32Version{
	{public: [4]byte{0x04, 0x88, 0xb2, 0x1e}, private: [4]byte{0x04, 0x88, 0xad, 0xe4}},
	{public: [4]byte{0x04, 0x35, 0x87, 0xcf}, private: [4]byte{0x04, 0x35, 0x83, 0x94}},
}

// bytes is the version of keys of a class.
func (v *bip32Version) bytes(class ck.ObjectClass) []byte {
	if class == ck.CKO_PUBLIC_KEY {
		return v.public[:]
	}
	return v.private[:]
}

// bip32VersionOf finds the version that keys of a class have in their
// CKA_BIP32_VERSION_BYTES; the main network's if there is none.
func bip32VersionOf(list []ck.Attribute, class ck.ObjectClass) (*bip32Version, error) {
	a := ck.Find(list, ck.CKA_BIP32_VERSION_BYTES)
	if a == nil {
		return &bip32Versions[0], nil
	}
	for i := range bip32Versions {
		if v := &bip32Versions[i]; bytes.Equal(a.Value, v.bytes(class)) {
			return v, nil
		}
	}
	return nil, fmt.Errorf("CKA_BIP32_VERSION_BYTES: no version of such a key: %w", ck.CKR_ATTRIBUTE_VALUE_INVALID)
}

// A key of BIP 32 in numbers.
const (
	bip32ChainLen       = 32
	bip32FingerprintLen = 4
	bip32MaxDepth       = 255
	bip32Hardened       = uint32(ck.CKF_BIP32_HARDENED)
)

// bip32Place is where in its tree a key is.
type bip32Place struct {
	depth  uint64
	index  uint64
	parent []byte // its fingerprint
}

// attributes are how a key tells its place.
func (p *bip32Place) attributes() []ck.Attribute {
	return []ck.Attribute{
		ck.NewULong(ck.CKA_BIP32_CHILD_DEPTH, p.depth),
		ck.NewULong(ck.CKA_BIP32_CHILD_INDEX, p.index),
		ck.NewBytes(ck.CKA_BIP32_PARENT_FINGERPRINT, p.parent),
	}
}

// bip32PlaceOf reads and checks the place of a key; that of a master key if
// nothing tells it.
func bip32PlaceOf(k *Key) (*bip32Place, error) {
	p := &bip32Place{parent: make([]byte, bip32FingerprintLen)}
	for _, x := range []struct {
		t   ck.AttributeType
		to  *uint64
		max uint64
	}{
		{ck.CKA_BIP32_CHILD_DEPTH, &p.depth, bip32MaxDepth},
		{ck.CKA_BIP32_CHILD_INDEX, &p.index, math.MaxUint32},
	} {
		a := ck.Find(k.Attrs, x.t)
		if a == nil {
			continue
		}
		v, ok := ck.ULong(a.Value)
		if !ok || v > x.max {
			return nil, fmt.Errorf("%v: more than %d: %w", x.t, x.max, ck.CKR_ATTRIBUTE_VALUE_INVALID)
		}
		*x.to = v
	}
	if a := ck.Find(k.Attrs, ck.CKA_BIP32_PARENT_FINGERPRINT); a != nil {
		if len(a.Value) != bip32FingerprintLen {
			return nil, fmt.Errorf("CKA_BIP32_PARENT_FINGERPRINT: a fingerprint has 4 bytes: %w", ck.CKR_ATTRIBUTE_VALUE_INVALID)
		}
		p.parent = bytes.Clone(a.Value)
	}
	if p.depth == 0 && (p.index != 0 || !allZero(p.parent)) {
		return nil, fmt.Errorf("a key of depth 0 is nobody's child: %w", ck.CKR_ATTRIBUTE_VALUE_INVALID)
	}
	return p, nil
}

// completeBIP32 checks a key and adds what identifies it.
func completeBIP32(k *Key) ([]ck.Attribute, error) {
	if k.Class != ck.CKO_PUBLIC_KEY && k.Class != ck.CKO_PRIVATE_KEY {
		return nil, ck.CKR_ATTRIBUTE_VALUE_INVALID
	}
	if err := checkBIP32Curve(k.Attrs); err != nil {
		return nil, err
	}
	switch chain := k.Bytes(ck.CKA_BIP32_CHAIN_CODE); len(chain) {
	case bip32ChainLen:
	case 0:
		return nil, fmt.Errorf("CKA_BIP32_CHAIN_CODE is missing: %w", ck.CKR_TEMPLATE_INCOMPLETE)
	default:
		return nil, fmt.Errorf("CKA_BIP32_CHAIN_CODE: a chain code has 32 bytes: %w", ck.CKR_ATTRIBUTE_VALUE_INVALID)
	}
	version, err := bip32VersionOf(k.Attrs, k.Class)
	if err != nil {
		return nil, err
	}
	place, err := bip32PlaceOf(k)
	if err != nil {
		return nil, err
	}
	complete := (*curve).completePublic
	if k.Class == ck.CKO_PRIVATE_KEY {
		complete = (*curve).completePrivate
	}
	c := secp256k1()
	list, err := complete(c, k)
	if err != nil {
		return nil, err
	}
	point, err := c.parsePoint(ck.Find(list, ck.CKA_EC_POINT).Value)
	if err != nil {
		return nil, err
	}
	id := bip32ID(point)
	return append(append(list, place.attributes()...),
		ck.NewBytes(ck.CKA_EC_PARAMS, c.params()),
		ck.NewBytes(ck.CKA_BIP32_VERSION_BYTES, bytes.Clone(version.bytes(k.Class))),
		ck.NewBytes(ck.CKA_BIP32_ID, id),
		ck.NewBytes(ck.CKA_BIP32_FINGERPRINT, bytes.Clone(id[:bip32FingerprintLen])),
	), nil
}

// checkBIP32Curve refuses other curves than secp256k1.
func checkBIP32Curve(list []ck.Attribute) error {
	a := ck.Find(list, ck.CKA_EC_PARAMS)
	if a == nil || len(a.Value) == 0 {
		return nil
	}
	if c, err := parseECParams(a.Value, ck.CKK_EC); err != nil || c != secp256k1() {
		return fmt.Errorf("CKA_EC_PARAMS: keys of BIP 32 are on secp256k1: %w", ck.CKR_TEMPLATE_INCONSISTENT)
	}
	return nil
}

// bip32ID is the identifier of a key: the hash of its compressed point. Its
// first bytes are the fingerprint.
func bip32ID(point []byte) []byte {
	sum := sha256.Sum256(compressed(point))
	h := ripemd.New160()
	h.Write(sum[:])
	return h.Sum(nil)
}

// compressed is the compressed form of an uncompressed point (SEC 1, section
// 2.3.3).
func compressed(point []byte) []byte {
	half := 1 + len(point)/2
	return append([]byte{2 | point[len(point)-1]&1}, point[1:half]...)
}

// bip32Node is a key ready to have children.
type bip32Node struct {
	bip32Place
	value []byte // nil for a public key
	point []byte
	chain []byte
}

func bip32NodeOf(k *Key) (*bip32Node, error) {
	c := secp256k1()
	place, err := bip32PlaceOf(k)
	if err != nil {
		return nil, err
	}
	n := &bip32Node{bip32Place: *place, chain: k.Bytes(ck.CKA_BIP32_CHAIN_CODE)}
	if n.point, err = ecPublicPoint(k, c); err != nil || len(n.chain) != bip32ChainLen {
		return nil, ck.CKR_KEY_TYPE_INCONSISTENT
	}
	if k.Class == ck.CKO_PRIVATE_KEY {
		if n.value, err = c.privateValue(k.Value()); err != nil {
			return nil, ck.CKR_KEY_TYPE_INCONSISTENT
		}
	}
	return n, nil
}

// derived is the key, or the public half of it, for an object.
func (n *bip32Node) derived(class ck.ObjectClass, to *NewHandle, template []ck.Attribute, version *bip32Version) Derived {
	values := append(n.attributes(),
		ck.NewBytes(ck.CKA_BIP32_CHAIN_CODE, bytes.Clone(n.chain)),
		ck.NewBytes(ck.CKA_BIP32_VERSION_BYTES, bytes.Clone(version.bytes(class))),
		ck.NewBytes(ck.CKA_EC_POINT, storedPoint(n.point)))
	if class == ck.CKO_PRIVATE_KEY {
		values = append(values, ck.NewBytes(ck.CKA_VALUE, bytes.Clone(n.value)))
	}
	return Derived{Handle: to, Template: template, Class: class, Type: ck.CKK_BIP32, Values: values}
}

// child is the functions CKDpriv and CKDpub of BIP 32. ok is false for the one
// index in 2^127 that has no child.
func (n *bip32Node) child(index uint32) (child *bip32Node, ok bool) {
	data := compressed(n.point)
	if index&bip32Hardened != 0 {
		data = slices.Concat([]byte{0}, n.value)
		defer clear(data)
	}
	tweak, chain := bip32Split(n.chain, binary.BigEndian.AppendUint32(data, index))
	defer clear(tweak)
	child = &bip32Node{
		bip32Place: bip32Place{depth: n.depth + 1, index: uint64(index), parent: bip32ID(n.point)[:bip32FingerprintLen]},
		chain:      chain,
	}
	g := secp256k1().group()
	if !isScalar(g, tweak) {
		return nil, false
	}
	if n.value == nil {
		product, ok := g.BaseMult(tweak)
		if !ok {
			return nil, false
		}
		child.point, ok = g.Add(product, n.point)
		return child, ok
	}
	if child.value, ok = addScalars(g, tweak, n.value); !ok {
		return nil, false
	}
	child.point, ok = g.BaseMult(child.value)
	return child, ok
}

// addScalars returns a+b modulo the order, unless that is 0.
func addScalars(g group, a, b []byte) (sum []byte, ok bool) {
	f, err := newScalarField(g)
	if err != nil {
		return nil, false
	}
	var x, y mont.Element
	f.Set(&x, a)
	f.Set(&y, b)
	f.Add(&x, &x, &y)
	return f.bytes(&x), ct.Reveal(f.IsZero(&x)) == 0
}
