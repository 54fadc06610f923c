package hsm

import (
	"testing"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/cryptoki/p11"
	"github.com/perilune/perilune/engine"
)

// The keys of a TLS connection come in the parameter, all or none.
func TestDeriveConnection(t *testing.T) {
	b := newBench(t)
	master := b.secret(ck.CKK_GENERIC_SECRET, make([]byte, 48), ck.NewBool(ck.CKA_DERIVE, true), ck.NewBool(ck.CKA_SENSITIVE, true))
	out := &engine.SSL3KeyMatOut{IVClient: []byte{}, IVServer: []byte{}}
	params := &engine.TLS12KeyMatParams{MACBits: 256, KeyBits: 128, IVBits: 128, Out: out, Hash: ck.CKM_SHA256}
	q := &p11.DeriveKey{
		Session: b.s, Mechanism: mech(ck.CKM_TLS12_KEY_AND_MAC_DERIVE, params), BaseKey: master, NoHandle: true,
		Template: []ck.Attribute{
			ck.NewULong(ck.CKA_CLASS, ck.CKO_SECRET_KEY), ck.NewULong(ck.CKA_KEY_TYPE, ck.CKK_AES), ck.NewBool(ck.CKA_TOKEN, false),
		},
	}
	if h := ok(b, q).Object; h != 0 {
		t.Errorf("C_DeriveKey answers with %d", h)
	}
	seen := map[engine.NewHandle]bool{0: true}
	for i, handle := range []engine.NewHandle{out.ClientMACSecret, out.ServerMACSecret, out.ClientKey, out.ServerKey} {
		if seen[handle] {
			t.Fatalf("key %d has handle %d", i, handle)
		}
		seen[handle] = true
		o := ck.ObjectHandle(handle)
		kt, _ := ck.ULong(b.attr(o, ck.CKA_KEY_TYPE))
		if cipherKey := i >= 2; (ck.KeyType(kt) == ck.CKK_AES) != cipherKey || b.truth(o, ck.CKA_ENCRYPT) != cipherKey || !cipherKey && !b.truth(o, ck.CKA_SIGN) {
			t.Errorf("key %d has type %v", i, ck.KeyType(kt))
		}
		if !b.truth(o, ck.CKA_SENSITIVE) || b.truth(o, ck.CKA_LOCAL) {
			t.Errorf("key %d is less sensitive than its base", i)
		}
	}
	if len(out.IVClient) != 16 || len(out.IVServer) != 16 {
		t.Errorf("IVs %x, %x", out.IVClient, out.IVServer)
	}
	count := func() int {
		ok(b, &p11.FindObjectsInit{Session: b.s})
		n := len(ok(b, &p11.FindObjects{Session: b.s, Max: 100}).Objects)
		ok(b, &p11.FindObjectsFinal{Session: b.s})
		return n
	}
	before := count()
	params.KeyBits = 136 // no length of an AES key, which the third key shows
	fails(b, ck.CKR_ATTRIBUTE_VALUE_INVALID, q)
	params.KeyBits = 128
	q.Template = append(q.Template, ck.NewBool(ck.CKA_SENSITIVE, false))
	fails(b, ck.CKR_TEMPLATE_INCONSISTENT, q)
	if after := count(); after != before {
		t.Errorf("%d objects became %d", before, after)
	}
}

// Only where the parameter takes the result is there no need of a handle.
func TestDeriveWithoutHandle(t *testing.T) {
	b := newBench(t)
	base := b.base("some base key", false, true)
	q := b.derive(mech(ck.CKM_SHA256_KEY_DERIVATION), base)
	q.NoHandle = true
	fails(b, ck.CKR_ARGUMENTS_BAD, q)

	n := uint64(20)
	prf := &engine.TLSPRFParams{Seed: []byte("seed"), Label: []byte("label"), Output: []byte{}, OutputLen: &n}
	q = b.derive(mech(ck.CKM_TLS_PRF, prf), base)
	q.NoHandle = true
	if h := ok(b, q).Object; h != 0 || len(prf.Output) != 20 {
		t.Errorf("handle %d, output %x", h, prf.Output)
	}
}

// What a master secret of TLS 1.2 is good for, its mechanism says.
func TestDeriveMaster(t *testing.T) {
	b := newBench(t)
	premaster := ok(b, &p11.GenerateKey{
		Session: b.s, Mechanism: mech(ck.CKM_SSL3_PRE_MASTER_KEY_GEN, &engine.SSLVersion{Major: 3, Minor: 3}),
		Template: []ck.Attribute{ck.NewBool(ck.CKA_DERIVE, true)},
	}).Object
	p := &engine.TLS12MasterKeyDeriveParams{Version: &engine.SSLVersion{}, Hash: ck.CKM_SHA256}
	q := b.derive(mech(ck.CKM_TLS12_MASTER_KEY_DERIVE, p), premaster, ck.NewBool(ck.CKA_DERIVE, true), ck.NewBool(ck.CKA_SIGN, true))
	master := ok(b, q).Object
	if *p.Version != (engine.SSLVersion{Major: 3, Minor: 3}) {
		t.Errorf("version %v", *p.Version)
	}
	if n, _ := ck.ULong(b.attr(master, ck.CKA_VALUE_LEN)); n != 48 {
		t.Errorf("%d bytes", n)
	}
	mac := mech(ck.CKM_TLS_MAC, &engine.TLSMACParams{PRF: ck.CKM_SHA256, Len: 12, ServerOrClient: 1})
	if sig := b.whole(p11.OpSign, mac, master, make([]byte, 32)); len(sig) != 12 {
		t.Errorf("verify_data of %d bytes", len(sig))
	}
	fails(b, ck.CKR_MECHANISM_INVALID, &p11.Begin{Session: b.s, Op: p11.OpSign, Mechanism: mech(ck.CKM_SHA256_HMAC), Key: master})
}
