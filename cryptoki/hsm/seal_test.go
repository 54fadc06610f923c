package hsm

import (
	"bytes"
	"encoding/hex"
	"testing"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/store"
)

// The vector of docs/FORMAT.md, section "Sealed records".
const (
	vectorRoot   = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
	vectorMeta   = "9951531fede4a170d2fc733f03ee5f3d76c284663678026d319f647642a84f84"
	vectorTerm   = "ad491dbef4893e55ef1511d17e35c54f"
	vectorSealed = "012dfe81a66677b73f13cdb4255e59f34bb1937aac4c93e7fa114b963f0a15fdaa3eb42f66"
)

func vectorKeys(t *testing.T) (secret []byte, keys *spaceKeys) {
	t.Helper()
	root, err := hex.DecodeString(vectorRoot)
	if err != nil {
		t.Fatal(err)
	}
	if secret, err = RootKeyBytes(root).Derive("metadata", nil); err != nil {
		t.Fatal(err)
	}
	if keys, err = newSpaceKeys(secret); err != nil {
		t.Fatal(err)
	}
	return secret, keys
}

func TestSealVector(t *testing.T) {
	secret, keys := vectorKeys(t)
	if got := hex.EncodeToString(secret); got != vectorMeta {
		t.Errorf("metadata secret %s", got)
	}
	term := keys.term(ck.CKA_LABEL, []byte("label"))
	if got := hex.EncodeToString(term[:]); got != vectorTerm {
		t.Errorf("term %s", got)
	}
	sealed, _ := hex.DecodeString(vectorSealed)
	r := store.Record{Ref: 7, Space: 1, Kind: kindPublicObject, Version: 3, Sealed: sealed}
	plain, err := keys.open(&r)
	if err != nil || string(plain) != "perilune" {
		made := store.Record{Ref: 7, Space: 1, Kind: kindPublicObject, Version: 3}
		keys.seal(&made, []byte("perilune"))
		t.Errorf("opened %q, %v; one that would open: %x", plain, err, made.Sealed)
	}
}

// TestSealIsBound: a record opens only as what it was sealed as.
func TestSealIsBound(t *testing.T) {
	_, keys := vectorKeys(t)
	r := store.Record{Ref: 7, Space: 1, Kind: kindPublicObject, Version: 3}
	keys.seal(&r, []byte("content"))
	for _, change := range []func(*store.Record){
		func(r *store.Record) { r.Ref++ },
		func(r *store.Record) { r.Space++ },
		func(r *store.Record) { r.Kind++ },
		func(r *store.Record) { r.Version++ },
		func(r *store.Record) { r.Sealed[0]++ },
		func(r *store.Record) { r.Sealed[len(r.Sealed)-1] ^= 1 },
		func(r *store.Record) { r.Sealed = r.Sealed[:5] },
		func(r *store.Record) { r.Sealed = nil },
	} {
		x := r
		x.Sealed = bytes.Clone(r.Sealed)
		change(&x)
		if _, err := keys.open(&x); err == nil {
			t.Errorf("opened as %+v", x)
		}
	}
	for bit := range 8 * len(r.Sealed) {
		x := r
		x.Sealed = bytes.Clone(r.Sealed)
		x.Sealed[bit/8] ^= 1 << (bit % 8)
		if _, err := keys.open(&x); !isDamage(err) {
			t.Errorf("opened with bit %d changed: %v", bit, err)
		}
	}
}

// FuzzSealed: whatever lies in a record, opening it is an error and no more.
func FuzzSealed(f *testing.F) {
	f.Add([]byte{sealVersion}, uint64(1))
	f.Fuzz(func(t *testing.T, b []byte, ref uint64) {
		keys, err := newSpaceKeys(make([]byte, 32))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := keys.open(&store.Record{Ref: store.Ref(ref), Sealed: b}); err == nil {
			t.Error("arbitrary bytes opened")
		}
	})
}

// FuzzMetadata: whatever a metadata record holds inside its seal, reading the
// HSM ends with an error or a state, never in a panic.
func FuzzMetadata(f *testing.F) {
	f.Add([]byte(`{"Serial":1000000,"NextPartition":1}`))
	f.Add([]byte(`{"Role":200,"Salt":"AA==","Cost":{"Passes":1}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		_, keys := vectorKeys(t)
		h := &HSM{meta: keys}
		for _, v := range []struct {
			kind store.Kind
			into any
		}{{kindHSM, new(hsmState)}, {kindPartition, new(partitionState)}, {kindRole, new(roleState)}} {
			r := store.Record{Ref: 1, Kind: v.kind, Version: 1}
			keys.seal(&r, b)
			var at record
			_ = h.openMeta(r, &at, v.into)
		}
	})
}

// The vector of docs/FORMAT.md for the keys of private objects; without a salt
// they are made of the partition key itself, as they used to be.
func TestObjectKeys(t *testing.T) {
	var key, salt []byte
	for i := range byte(32) {
		key, salt = append(key, i), append(salt, 32+i)
	}
	for _, c := range []struct {
		salt []byte
		term string
	}{{salt, "2ede284e7707c38613ee31b1d507e2c4"}, {nil, ""}} {
		p := &partition{state: partitionState{ObjectSalt: c.salt}}
		keys, err := p.objectKeys(key)
		if err != nil {
			t.Fatal(err)
		}
		if c.term == "" {
			old, err := newSpaceKeys(key)
			if err != nil {
				t.Fatal(err)
			}
			term := old.term(ck.CKA_LABEL, []byte("label"))
			c.term = hex.EncodeToString(term[:])
		}
		if term := keys.term(ck.CKA_LABEL, []byte("label")); hex.EncodeToString(term[:]) != c.term {
			t.Errorf("salt %x: term %x, want %s", c.salt, term, c.term)
		}
	}
}
