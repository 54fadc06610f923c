package engine

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha512"
	"encoding/hex"
	"fmt"
	"math"

	"github.com/perilune/perilune/cryptoki/ck"
)

// BIP 32, hierarchical deterministic wallets: a master key from a seed, and its
// descendants. The parameter holds the templates of both halves and takes their
// handles; what C_DeriveKey takes besides is not used.

func init() { later(bip32Mechanisms) }

func bip32Mechanisms() {
	register(
		&Mechanism{
			Type: ck.CKM_BIP32_MASTER_DERIVE, Param: (*BIP32MasterDeriveParams)(nil),
			Keys: []ck.KeyType{ck.CKK_GENERIC_SECRET}, Inherits: true, InParam: true,
			DeriveKeys: deriveBIP32Master,
			Vectors:    "BIP 32, test vectors 1 to 4", SelfTest: testBIP32,
		},
		&Mechanism{
			Type: ck.CKM_BIP32_CHILD_DERIVE, Param: (*BIP32ChildDeriveParams)(nil),
			Keys: []ck.KeyType{ck.CKK_BIP32}, Min: 256, Max: 256, Inherits: true, InParam: true, DerivesFromPublic: true,
			DeriveKeys: deriveBIP32Child,
			Vectors:    "BIP 32, test vectors 1 to 4", SelfTest: testBIP32,
		},
	)
}

// BIP32MasterDeriveParams is CK_BIP32_MASTER_DERIVE_PARAMS. A key without
// attributes is not wanted.
type BIP32MasterDeriveParams struct {
	PublicTemplate  []ck.Attribute `c:"ptr,len"`
	PrivateTemplate []ck.Attribute `c:"ptr,len"`
	Public          NewHandle      `c:"inout"`
	Private         NewHandle      `c:"inout"`
}

// BIP32ChildDeriveParams is CK_BIP32_CHILD_DERIVE_PARAMS.
type BIP32ChildDeriveParams struct {
	PublicTemplate  []ck.Attribute `c:"ptr,len"`
	PrivateTemplate []ck.Attribute `c:"ptr,len"`
	Path            []uint64       `c:"ptr,len"`
	Public          NewHandle      `c:"inout"`
	Private         NewHandle      `c:"inout"`
	// PathErrorIndex is the place in the path of what could not be derived.
	PathErrorIndex uint64 `c:"inout"`
}

// Lengths of a seed in bytes.
const (
	bip32MinSeed = 16
	bip32MaxSeed = 64
)

func deriveBIP32Master(seed *Key, p any, _ *Derivation) ([]Derived, error) {
	params, err := structParam[BIP32MasterDeriveParams](p)
	if err != nil {
		return nil, err
	}
	if n := len(seed.Value()); n < bip32MinSeed || n > bip32MaxSeed {
		return nil, fmt.Errorf("a seed of %d bytes, where %d to %d make a master key: %w", n, bip32MinSeed, bip32MaxSeed, ck.CKR_BIP32_MASTER_SEED_LEN_INVALID)
	}
	wanted := bip32Wanted{
		public: params.PublicTemplate, private: params.PrivateTemplate,
		toPublic: &params.Public, toPrivate: &params.Private,
	}
	if err := wanted.check(); err != nil {
		return nil, err
	}
	master, ok := bip32Master(seed.Value())
	if !ok {
		return nil, fmt.Errorf("the seed has no master key: %w", ck.CKR_BIP32_MASTER_SEED_INVALID)
	}
	return wanted.derived(master, &bip32Versions[0])
}

// bip32Master makes the master key. ok is false for the one seed in 2^127 that
// has none.
func bip32Master(seed []byte) (n *bip32Node, ok bool) {
	value, chain := bip32Split([]byte("Bitcoin seed"), seed)
	if g := secp256k1().group(); isScalar(g, value) {
		n = &bip32Node{bip32Place: bip32Place{parent: make([]byte, bip32FingerprintLen)}, value: value, chain: chain}
		n.point, ok = g.BaseMult(value)
	}
	return n, ok
}

// bip32Split is the two halves of an HMAC-SHA-512.
func bip32Split(key, data []byte) (left, right []byte) {
	h := hmac.New(sha512.New, key)
	h.Write(data)
	sum := h.Sum(nil)
	return sum[:32:32], sum[32:]
}

func deriveBIP32Child(base *Key, p any, _ *Derivation) ([]Derived, error) {
	params, err := structParam[BIP32ChildDeriveParams](p)
	if err != nil {
		return nil, err
	}
	wanted := bip32Wanted{
		public: params.PublicTemplate, private: params.PrivateTemplate,
		toPublic: &params.Public, toPrivate: &params.Private,
	}
	if err := wanted.check(); err != nil {
		return nil, err
	}
	if len(wanted.private) > 0 && base.Class != ck.CKO_PRIVATE_KEY {
		return nil, fmt.Errorf("a public key has no private children: %w", ck.CKR_MECHANISM_PARAM_INVALID)
	}
	version, err := bip32VersionOf(base.Attrs, base.Class)
	if err != nil {
		return nil, ck.CKR_KEY_TYPE_INCONSISTENT
	}
	node, err := bip32NodeOf(base)
	if err != nil {
		return nil, err
	}
	if node, err = node.descend(params); err != nil {
		return nil, err
	}
	return wanted.derived(node, version)
}

// descend goes down the path.
func (n *bip32Node) descend(p *BIP32ChildDeriveParams) (*bip32Node, error) {
	if len(p.Path) == 0 || uint64(len(p.Path)) > bip32MaxDepth-n.depth {
		return nil, fmt.Errorf("a path of %d steps from depth %d: %w", len(p.Path), n.depth, ck.CKR_BIP32_INVALID_KEY_PATH_LEN)
	}
	for i, index := range p.Path {
		p.PathErrorIndex = uint64(i)
		switch {
		case index > math.MaxUint32:
			return nil, fmt.Errorf("step %d of the path has more than 32 bits: %w", i, ck.CKR_BIP32_CHILD_INDEX_INVALID)
		case uint32(index)&bip32Hardened != 0 && n.value == nil:
			return nil, fmt.Errorf("step %d of the path: a public key has no hardened children: %w", i, ck.CKR_BIP32_INVALID_HARDENED_DERIVATION)
		}
		child, ok := n.child(uint32(index))
		clear(n.value) // a copy
		if !ok {
			return nil, fmt.Errorf("step %d of the path: there is no child of this index: %w", i, ck.CKR_BIP32_CHILD_INDEX_INVALID)
		}
		n = child
	}
	p.PathErrorIndex = 0
	return n, nil
}

// bip32Wanted is what a parameter asks for.
type bip32Wanted struct {
	public, private     []ck.Attribute
	toPublic, toPrivate *NewHandle
}

// check refuses templates of other objects.
func (w *bip32Wanted) check() error {
	if len(w.public) == 0 && len(w.private) == 0 {
		return fmt.Errorf("neither key has a template: %w", ck.CKR_MECHANISM_PARAM_INVALID)
	}
	for class, template := range map[ck.ObjectClass][]ck.Attribute{ck.CKO_PUBLIC_KEY: w.public, ck.CKO_PRIVATE_KEY: w.private} {
		for t, v := range map[ck.AttributeType]uint64{ck.CKA_CLASS: uint64(class), ck.CKA_KEY_TYPE: uint64(ck.CKK_BIP32)} {
			if a := ck.Find(template, t); a != nil && !bytes.Equal(a.Value, ck.PutULong(v)) {
				return fmt.Errorf("%v is not what this mechanism makes: %w", t, ck.CKR_TEMPLATE_INCONSISTENT)
			}
		}
		if err := checkBIP32Curve(template); err != nil {
			return err
		}
	}
	return nil
}

// derived are the keys for what is wanted. They are of the version that their
// templates name, or else of that of their family.
func (w *bip32Wanted) derived(n *bip32Node, family *bip32Version) (list []Derived, err error) {
	for _, x := range []struct {
		class    ck.ObjectClass
		to       *NewHandle
		template []ck.Attribute
	}{{ck.CKO_PUBLIC_KEY, w.toPublic, w.public}, {ck.CKO_PRIVATE_KEY, w.toPrivate, w.private}} {
		if len(x.template) == 0 {
			continue
		}
		version := family
		if ck.Find(x.template, ck.CKA_BIP32_VERSION_BYTES) != nil {
			if version, err = bip32VersionOf(x.template, x.class); err != nil {
				return nil, err
			}
		}
		list = append(list, n.derived(x.class, x.to, x.template, version))
	}
	clear(n.value)
	return list, nil
}

// testBIP32 goes down the chain of test vector 2 with a step of each kind.
func testBIP32() error {
	seed := unhex("fffcf9f6f3f0edeae7e4e1dedbd8d5d2cfccc9c6c3c0bdbab7b4b1aeaba8a5a29f9c999693908d8a8784817e7b7875726f6c696663605d5a5754514e4b484542")
	n, ok := bip32Master(seed)
	if !ok {
		return errSelfTest(ck.CKM_BIP32_MASTER_DERIVE)
	}
	const (
		value  = "704addf544a06e5ee4bea37098463c23613da32020d604506da8c0518e1da4b7"
		public = "03a7d1d856deb74c508e05031f9895dab54626251b3806e16b4bd12e781a7df5b9"
	)
	for _, index := range []uint32{0, 2147483647 | bip32Hardened} {
		if n, ok = n.child(index); !ok {
			return errSelfTest(ck.CKM_BIP32_CHILD_DERIVE)
		}
	}
	parent := &bip32Node{bip32Place: n.bip32Place, point: n.point, chain: n.chain}
	n, ok1 := n.child(1)
	p, ok2 := parent.child(1)
	if !ok1 || !ok2 || hex.EncodeToString(n.value) != value || hex.EncodeToString(compressed(p.point)) != public || !bytes.Equal(n.point, p.point) {
		return errSelfTest(ck.CKM_BIP32_CHILD_DERIVE)
	}
	return nil
}
