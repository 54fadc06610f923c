package hsm

import (
	"testing"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/cryptoki/p11"
	"github.com/perilune/perilune/engine"
)

// BenchmarkMade is making a session object, in each way that there is, and
// destroying it.
func BenchmarkMade(b *testing.B) {
	run := benchmarkBench(b)
	pair := run.ecPair()
	point := run.attr(pair.Public, ck.CKA_EC_POINT)[2:]
	aes := run.aes(ck.NewBool(ck.CKA_WRAP, true), ck.NewBool(ck.CKA_UNWRAP, true))
	wrapped := run.wrap(mech(ck.CKM_AES_KEY_WRAP), aes, run.secret(ck.CKK_GENERIC_SECRET, make([]byte, 32), ck.NewBool(ck.CKA_EXTRACTABLE, true)))
	class, generic := ck.NewULong(ck.CKA_CLASS, ck.CKO_SECRET_KEY), ck.NewULong(ck.CKA_KEY_TYPE, ck.CKK_GENERIC_SECRET)
	session, length := ck.NewBool(ck.CKA_TOKEN, false), ck.NewULong(ck.CKA_VALUE_LEN, uint64(32))
	for _, c := range []struct {
		name string
		make p11.Typed[p11.Handle]
	}{
		{"derived by ECDH", &p11.DeriveKey{Session: run.s, Mechanism: mech(ck.CKM_ECDH1_DERIVE, &engine.ECDH1DeriveParams{KDF: ck.CKD_NULL, PublicData: point}), BaseKey: pair.Private, Template: []ck.Attribute{class, generic, session, length}}},
		{"derived from data", &p11.DeriveKey{Session: run.s, Mechanism: mech(ck.CKM_CONCATENATE_BASE_AND_DATA, &engine.StringDataParams{Data: []byte("data")}), BaseKey: run.base("secret", false, true), Template: []ck.Attribute{class, generic, session}}},
		{"unwrapped", &p11.UnwrapKey{Session: run.s, Mechanism: mech(ck.CKM_AES_KEY_WRAP), UnwrappingKey: aes, Wrapped: wrapped, Template: []ck.Attribute{class, generic, session}}},
		{"generated", &p11.GenerateKey{Session: run.s, Mechanism: mech(ck.CKM_AES_KEY_GEN), Template: []ck.Attribute{session, length}}},
		{"created", &p11.CreateObject{Session: run.s, Template: []ck.Attribute{class, generic, session, ck.NewBytes(ck.CKA_VALUE, make([]byte, 32))}}},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				made := ok(run, c.make)
				ok(run, &p11.DestroyObject{Session: run.s, Object: made.Object})
			}
		})
	}
}
