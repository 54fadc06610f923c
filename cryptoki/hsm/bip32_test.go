package hsm

import (
	"bytes"
	"encoding/hex"
	"testing"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/cryptoki/p11"
	"github.com/perilune/perilune/engine"
)

// bip32Seed is that of BIP 32's test vector 1.
var bip32Seed = []byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}

const bip32Hardened = uint64(ck.CKF_BIP32_HARDENED)

// bip32Template is what the device's clients ask for.
func bip32Template(more ...ck.Attribute) []ck.Attribute {
	return append([]ck.Attribute{
		ck.NewULong(ck.CKA_KEY_TYPE, ck.CKK_BIP32), ck.NewBool(ck.CKA_TOKEN, true), ck.NewBool(ck.CKA_DERIVE, true),
	}, more...)
}

// deriving is C_DeriveKey as the device's clients call it: all is in the parameter.
func (b *bench) deriving(m ck.MechanismType, p any, base ck.ObjectHandle) *p11.DeriveKey {
	return &p11.DeriveKey{Session: b.s, Mechanism: mech(m, p), BaseKey: base, NoHandle: true}
}

func (b *bench) masterKeys(seed ck.ObjectHandle, private ...ck.Attribute) p11.KeyPair {
	b.t.Helper()
	p := &engine.BIP32MasterDeriveParams{PublicTemplate: bip32Template(), PrivateTemplate: bip32Template(private...)}
	if h := ok(b, b.deriving(ck.CKM_BIP32_MASTER_DERIVE, p, seed)).Object; h != 0 {
		b.t.Errorf("C_DeriveKey answers with %d", h)
	}
	return p11.KeyPair{Public: ck.ObjectHandle(p.Public), Private: ck.ObjectHandle(p.Private)}
}

func TestBIP32(t *testing.T) {
	b := newBench(t)
	master := b.masterKeys(b.base(string(bip32Seed), false, true), extractable...)
	child := &engine.BIP32ChildDeriveParams{
		PublicTemplate:  bip32Template(ck.NewBool(ck.CKA_PRIVATE, true)),
		PrivateTemplate: bip32Template(extractable...),
		Path:            []uint64{bip32Hardened, 1},
	}
	ok(b, b.deriving(ck.CKM_BIP32_CHILD_DERIVE, child, master.Private))
	private, public := ck.ObjectHandle(child.Private), ck.ObjectHandle(child.Public)

	// Test vector 1, chain m/0H/1.
	for t, want := range map[ck.AttributeType]string{
		ck.CKA_VALUE:                    "3c6cb8d0f6a264c91ea8b5030fadaa8e538b020f0a387421a12de9319dc93368",
		ck.CKA_BIP32_CHAIN_CODE:         "2a7857631386ba23dacac34180dd1983734e444fdbf774041578e9b6adb37c19",
		ck.CKA_BIP32_VERSION_BYTES:      "0488ade4",
		ck.CKA_BIP32_PARENT_FINGERPRINT: "5c1bd648",
		ck.CKA_BIP32_CHILD_INDEX:        "0100000000000000",
		ck.CKA_BIP32_CHILD_DEPTH:        "0200000000000000",
		ck.CKA_EC_PARAMS:                "06052b8104000a",
	} {
		if got := hex.EncodeToString(b.attr(private, t)); got != want {
			b.t.Errorf("%v is %s, not %s", t, got, want)
		}
	}
	for _, t := range []ck.AttributeType{ck.CKA_EC_POINT, ck.CKA_BIP32_CHAIN_CODE, ck.CKA_BIP32_ID, ck.CKA_BIP32_FINGERPRINT, ck.CKA_PUBLIC_KEY_INFO} {
		if !bytes.Equal(b.attr(private, t), b.attr(public, t)) || len(b.attr(public, t)) == 0 {
			b.t.Errorf("%v of the two keys differs", t)
		}
	}
	for _, o := range []ck.ObjectHandle{private, public} {
		if !b.truth(o, ck.CKA_TOKEN) || b.truth(o, ck.CKA_LOCAL) {
			t.Errorf("key %d is not of its template", o)
		}
	}
	if !b.truth(public, ck.CKA_PRIVATE) {
		t.Error("CKA_PRIVATE of the public template is not heard")
	}

	// They are elliptic curve keys.
	sig := b.whole(p11.OpSign, mech(ck.CKM_ECDSA_SHA256), private, []byte("message"))
	if rv := b.verify(mech(ck.CKM_ECDSA_SHA256), public, []byte("message"), sig); rv != ck.CKR_OK {
		t.Errorf("the public child does not know its private half: %v", rv)
	}
	agree := func(private, public ck.ObjectHandle) []byte {
		p := &engine.ECDH1DeriveParams{KDF: ck.CKD_NULL, PublicData: b.attr(public, ck.CKA_EC_POINT)}
		key := ok(b, b.derive(mech(ck.CKM_ECDH1_DERIVE, p), private, newKey(ck.CKO_SECRET_KEY, ck.CKK_GENERIC_SECRET, append(extractable, valueLen(32))...)...)).Object
		return b.attr(key, ck.CKA_VALUE)
	}
	sameBytes(t, "shared secret", agree(private, master.Public), agree(master.Private, public))

	// The public parent has the same public child, and no private one.
	again := &engine.BIP32ChildDeriveParams{PublicTemplate: bip32Template(), Path: []uint64{7}}
	ok(b, b.deriving(ck.CKM_BIP32_CHILD_DERIVE, again, public))
	fromPublic := ck.ObjectHandle(again.Public)
	if again.Private != 0 {
		t.Errorf("a private key, handle %d, without a template", again.Private)
	}
	ok(b, b.deriving(ck.CKM_BIP32_CHILD_DERIVE, again, private))
	sameBytes(t, "public child", b.attr(ck.ObjectHandle(again.Public), ck.CKA_EC_POINT), b.attr(fromPublic, ck.CKA_EC_POINT))
	hardened := &engine.BIP32ChildDeriveParams{PublicTemplate: bip32Template(), Path: []uint64{7, bip32Hardened}}
	fails(b, ck.CKR_BIP32_INVALID_HARDENED_DERIVATION, b.deriving(ck.CKM_BIP32_CHILD_DERIVE, hardened, public))
	if hardened.PathErrorIndex != 1 || hardened.Public != 0 {
		t.Errorf("the error is at step %d, the public key %d", hardened.PathErrorIndex, hardened.Public)
	}

	// No form of them goes outside but their attributes.
	fails(b, ck.CKR_KEY_NOT_WRAPPABLE, &p11.WrapKey{Session: b.s, Mechanism: mech(ck.CKM_AES_KEY_WRAP_KWP), WrappingKey: b.aes(), Key: private, Out: p11.Output{Query: true}})
	created := ok(b, &p11.CreateObject{Session: b.s, Template: append(extractable,
		ck.NewULong(ck.CKA_CLASS, ck.CKO_PRIVATE_KEY), ck.NewULong(ck.CKA_KEY_TYPE, ck.CKK_BIP32),
		ck.NewBytes(ck.CKA_VALUE, b.attr(private, ck.CKA_VALUE)), ck.NewBytes(ck.CKA_BIP32_CHAIN_CODE, b.attr(private, ck.CKA_BIP32_CHAIN_CODE)),
		ck.NewULong(ck.CKA_BIP32_CHILD_DEPTH, uint64(2)), ck.NewULong(ck.CKA_BIP32_CHILD_INDEX, uint64(1)),
		ck.NewBytes(ck.CKA_BIP32_PARENT_FINGERPRINT, b.attr(private, ck.CKA_BIP32_PARENT_FINGERPRINT)),
	)}).Object
	for _, x := range []ck.AttributeType{ck.CKA_EC_POINT, ck.CKA_BIP32_ID, ck.CKA_BIP32_VERSION_BYTES} {
		sameBytes(t, x.String(), b.attr(created, x), b.attr(private, x))
	}
}

// Who has a private child can find its parent, with the parent's chain code:
// children are as sensitive as their parents.
func TestBIP32Inherits(t *testing.T) {
	b := newBench(t)
	seed := b.base(string(bip32Seed), true, false)
	open := append(with(extractable), ck.NewBool(ck.CKA_SENSITIVE, false))
	wanted := &engine.BIP32MasterDeriveParams{PrivateTemplate: bip32Template(open...)}
	fails(b, ck.CKR_TEMPLATE_INCONSISTENT, b.deriving(ck.CKM_BIP32_MASTER_DERIVE, wanted, seed))
	master := b.masterKeys(seed)
	child := &engine.BIP32ChildDeriveParams{PublicTemplate: bip32Template(), PrivateTemplate: bip32Template(open...), Path: []uint64{0}}
	count := func() int {
		ok(b, &p11.FindObjectsInit{Session: b.s})
		defer ok(b, &p11.FindObjectsFinal{Session: b.s})
		return len(ok(b, &p11.FindObjects{Session: b.s, Max: 100}).Objects)
	}
	before := count()
	fails(b, ck.CKR_TEMPLATE_INCONSISTENT, b.deriving(ck.CKM_BIP32_CHILD_DERIVE, child, master.Private))
	if after := count(); after != before {
		t.Errorf("%d objects became %d: one key of a pair was made", before, after)
	}
	child.PrivateTemplate = bip32Template()
	ok(b, b.deriving(ck.CKM_BIP32_CHILD_DERIVE, child, master.Private))
	for _, o := range []ck.ObjectHandle{master.Private, ck.ObjectHandle(child.Private)} {
		if !b.truth(o, ck.CKA_SENSITIVE) || b.truth(o, ck.CKA_EXTRACTABLE) {
			t.Errorf("key %d is less sensitive than what it comes from", o)
		}
		for _, x := range []ck.AttributeType{ck.CKA_VALUE, ck.CKA_BIP32_CHAIN_CODE} {
			fails(b, ck.CKR_ATTRIBUTE_SENSITIVE, &p11.GetAttributeValue{Session: b.s, Object: o, Types: []ck.AttributeType{x}})
		}
		if len(b.attr(o, ck.CKA_BIP32_FINGERPRINT)) != 4 {
			t.Errorf("key %d has no fingerprint to show", o)
		}
	}
}

func TestBIP32Refusals(t *testing.T) {
	b := newBench(t)
	master := b.masterKeys(b.base(string(bip32Seed), false, true))
	public := func() *engine.BIP32ChildDeriveParams {
		return &engine.BIP32ChildDeriveParams{PublicTemplate: bip32Template(), Path: []uint64{1}}
	}
	fails(b, ck.CKR_KEY_TYPE_INCONSISTENT, b.deriving(ck.CKM_BIP32_CHILD_DERIVE, public(), b.ecPair(yes(ck.CKA_DERIVE)...).Private))
	short := b.base("15 bytes, short", false, true)
	fails(b, ck.CKR_BIP32_MASTER_SEED_LEN_INVALID, b.deriving(ck.CKM_BIP32_MASTER_DERIVE, &engine.BIP32MasterDeriveParams{PublicTemplate: bip32Template()}, short))
	ok(b, &p11.SetAttributeValue{Session: b.s, Object: master.Public, Template: []ck.Attribute{ck.NewBool(ck.CKA_DERIVE, false)}})
	fails(b, ck.CKR_KEY_FUNCTION_NOT_PERMITTED, b.deriving(ck.CKM_BIP32_CHILD_DERIVE, public(), master.Public))
	for _, a := range []ck.Attribute{
		ck.NewBytes(ck.CKA_BIP32_CHAIN_CODE, make([]byte, 32)), ck.NewULong(ck.CKA_BIP32_CHILD_INDEX, uint64(1)), ck.NewBytes(ck.CKA_BIP32_ID, make([]byte, 20)),
	} {
		p := public()
		p.PublicTemplate = append(p.PublicTemplate, a)
		fails(b, ck.CKR_ATTRIBUTE_READ_ONLY, b.deriving(ck.CKM_BIP32_CHILD_DERIVE, p, master.Private))
	}
	p := public()
	p.PublicTemplate = append(p.PublicTemplate, ck.NewULong(ck.CKA_CLASS, ck.CKO_SECRET_KEY))
	fails(b, ck.CKR_TEMPLATE_INCONSISTENT, b.deriving(ck.CKM_BIP32_CHILD_DERIVE, p, master.Private))
}
