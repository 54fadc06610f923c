package hsm

import (
	"fmt"
	"runtime"
	"testing"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/cryptoki/p11"
	"github.com/perilune/perilune/engine"
)

// BenchmarkCache says what an object in the cache takes of the memory: after it
// was read, after it was used, and by the account that bounds the cache.
func BenchmarkCache(b *testing.B) {
	for _, c := range []struct {
		name string
		n    int
		gen  func(run *bench) ck.ObjectHandle
		op   p11.Operation
		m    *ck.Mechanism
	}{
		{"AES", 20_000, (*bench).tokenAES, p11.OpEncrypt, mech(ck.CKM_AES_GCM, &engine.GCMParams{IV: []byte("twelve bytes"), TagBits: 128})},
		{"P-256", 5_000, func(run *bench) ck.ObjectHandle {
			return run.tokenPair(ck.CKM_EC_KEY_PAIR_GEN, tmpl(ck.CKA_EC_PARAMS, p256OID))
		}, p11.OpSign, mech(ck.CKM_ECDSA)},
		{"RSA-2048", 60, func(run *bench) ck.ObjectHandle {
			return run.tokenPair(ck.CKM_RSA_PKCS_KEY_PAIR_GEN, tmpl(ck.CKA_MODULUS_BITS, 2048))
		}, p11.OpSign, mech(ck.CKM_RSA_PKCS)},
	} {
		b.Run(c.name, func(b *testing.B) {
			run := benchmarkBench(b)
			keys := make([]ck.ObjectHandle, c.n)
			for i := range keys {
				keys[i] = c.gen(run)
			}
			ses, err := run.h.session(run.s)
			if err != nil {
				b.Fatal(err)
			}
			p := ses.part
			out := make([]byte, 512)
			use := func() {
				for _, k := range keys {
					must(b, run.h, &p11.Begin{Session: run.s, Op: c.op, Mechanism: c.m, Key: k})
					must(b, run.h, &p11.Finish{Session: run.s, Op: c.op, Single: true, In: out[:32], Out: p11.Output{Buf: out}})
				}
			}
			use() // whatever is made at the first use of all
			for b.Loop() {
				p.objects.clear()
				before := liveHeap()
				for _, k := range keys {
					must(b, run.h, &p11.GetObjectSize{Session: run.s, Object: k})
				}
				read, account := liveHeap(), 0
				for i := range p.objects.shards {
					account += p.objects.shards[i].bytes
				}
				use()
				b.ReportMetric(float64(read-before)/float64(c.n), "B/read")
				b.ReportMetric(float64(liveHeap()-before)/float64(c.n), "B/used")
				b.ReportMetric(float64(account)/float64(c.n), "B/account")
			}
		})
	}
}

func liveHeap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC() // what finalizers and pools held
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

func (run *bench) tokenAES() ck.ObjectHandle {
	return ok(run, &p11.GenerateKey{Session: run.s, Mechanism: mech(ck.CKM_AES_KEY_GEN),
		Template: tmpl(ck.CKA_TOKEN, true, ck.CKA_VALUE_LEN, 32, ck.CKA_LABEL, fmt.Sprint(run.s))}).Object
}

func (run *bench) tokenPair(m ck.MechanismType, public []ck.Attribute) ck.ObjectHandle {
	return ok(run, &p11.GenerateKeyPair{Session: run.s, Mechanism: mech(m), Public: public,
		Private: tmpl(ck.CKA_TOKEN, true, ck.CKA_SIGN, true)}).Private
}
