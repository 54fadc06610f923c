package hsm

import (
	"testing"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/cryptoki/p11"
)

// Clients of the device know some key types by the numbers that they had before
// the standard gave them others. They make and find keys by these, and read the
// standard's.
func TestOldKeyTypes(t *testing.T) {
	b := newBench(t)
	ed25519 := ck.NewBytes(ck.CKA_EC_PARAMS, []byte("\x06\x09\x2b\x06\x01\x04\x01\xda\x47\x0f\x01")) // by the device's OID too
	x25519 := ck.NewBytes(ck.CKA_EC_PARAMS, []byte("\x06\x03\x2b\x65\x6e"))
	for _, c := range []struct {
		old, standard ck.KeyType
		gen           ck.MechanismType
		params        ck.Attribute
	}{
		{ck.CKK_EC_EDWARDS_OLD, ck.CKK_EC_EDWARDS, ck.CKM_EC_EDWARDS_KEY_PAIR_GEN_OLD, ed25519},
		{ck.CKK_EC_MONTGOMERY_OLD, ck.CKK_EC_MONTGOMERY, ck.CKM_EC_MONTGOMERY_KEY_PAIR_GEN_OLD, x25519},
	} {
		oldType := ck.NewULong(ck.CKA_KEY_TYPE, c.old)
		pair := ok(b, &p11.GenerateKeyPair{
			Session: b.s, Mechanism: mech(c.gen), Public: []ck.Attribute{oldType, c.params}, Private: append(with(extractable), oldType),
		})
		b.hasType(pair.Private, c.standard, c.old)
		b.hasType(pair.Public, c.standard, c.old)

		wrapping := b.aes()
		wrapped := b.wrap(mech(ck.CKM_AES_KEY_WRAP_KWP), wrapping, pair.Private)
		again := b.unwrap(mech(ck.CKM_AES_KEY_WRAP_KWP), wrapping, wrapped, ck.NewULong(ck.CKA_CLASS, ck.CKO_PRIVATE_KEY), oldType)
		b.hasType(again, c.standard, c.old)

		created := ok(b, &p11.CreateObject{Session: b.s, Template: []ck.Attribute{
			ck.NewULong(ck.CKA_CLASS, ck.CKO_PUBLIC_KEY), oldType, c.params, ck.NewBytes(ck.CKA_EC_POINT, b.attr(pair.Public, ck.CKA_EC_POINT)),
		}}).Object
		b.hasType(created, c.standard, c.old)
	}

	oldSEED := ck.NewULong(ck.CKA_KEY_TYPE, ck.CKK_SEED_OLD)
	secret := ck.NewULong(ck.CKA_CLASS, ck.CKO_SECRET_KEY)
	key := ok(b, &p11.GenerateKey{Session: b.s, Mechanism: mech(ck.CKM_SEED_KEY_GEN_OLD), Template: append(with(extractable), oldSEED)}).Object
	b.hasType(key, ck.CKK_SEED, ck.CKK_SEED_OLD)
	wrapping := b.aes()
	wrapped := b.wrap(mech(ck.CKM_AES_KEY_WRAP_KWP), wrapping, key)
	b.hasType(b.unwrap(mech(ck.CKM_AES_KEY_WRAP_KWP), wrapping, wrapped, secret, oldSEED), ck.CKK_SEED, ck.CKK_SEED_OLD)
	derived := ok(b, b.derive(mech(ck.CKM_SHA256_KEY_DERIVATION), b.base("some base key", false, true), secret, oldSEED)).Object
	b.hasType(derived, ck.CKK_SEED, ck.CKK_SEED_OLD)
	b.whole(p11.OpEncrypt, mech(ck.CKM_SEED_ECB_OLD), b.secret(ck.CKK_SEED_OLD, make([]byte, 16), yes(ck.CKA_ENCRYPT)...), make([]byte, 16))

	// In a template on a key too, and without letting other types pass.
	bound := b.aes(ck.Attribute{Type: ck.CKA_UNWRAP_TEMPLATE, Template: []ck.Attribute{oldSEED}})
	b.hasType(b.unwrap(mech(ck.CKM_AES_KEY_WRAP_KWP), bound, wrapped, secret), ck.CKK_SEED, ck.CKK_SEED_OLD)
	fails(b, ck.CKR_TEMPLATE_INCONSISTENT, &p11.GenerateKey{Session: b.s, Mechanism: mech(ck.CKM_AES_KEY_GEN), Template: []ck.Attribute{oldSEED, valueLen(16)}})
}

// hasType checks the type of a key, and that it is found by both numbers.
func (b *bench) hasType(o ck.ObjectHandle, standard, old ck.KeyType) {
	b.t.Helper()
	if t, _ := ck.ULong(b.attr(o, ck.CKA_KEY_TYPE)); ck.KeyType(t) != standard {
		b.t.Errorf("key %d is of type %v, not %v", o, ck.KeyType(t), standard)
	}
	unique := ck.NewBytes(ck.CKA_UNIQUE_ID, b.attr(o, ck.CKA_UNIQUE_ID))
	for _, t := range []ck.KeyType{standard, old} {
		ok(b, &p11.FindObjectsInit{Session: b.s, Template: []ck.Attribute{unique, ck.NewULong(ck.CKA_KEY_TYPE, t)}})
		if found := ok(b, &p11.FindObjects{Session: b.s, Max: 9}).Objects; len(found) != 1 || found[0] != o {
			b.t.Errorf("search for type %v: %v, not %d", t, found, o)
		}
		ok(b, &p11.FindObjectsFinal{Session: b.s})
	}
}
