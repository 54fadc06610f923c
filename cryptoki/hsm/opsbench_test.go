package hsm

import (
	"context"
	"crypto/sha256"
	"path/filepath"
	"testing"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/cryptoki/p11"
	"github.com/perilune/perilune/engine"
)

// BenchmarkOneShot is Begin and Finish of small messages through Do.
func BenchmarkOneShot(b *testing.B) {
	run := benchmarkBench(b)
	aes, mac := run.aes(), run.hmac()
	for _, c := range []struct {
		name string
		op   p11.Operation
		m    *ck.Mechanism
		key  ck.ObjectHandle
	}{
		{"AES-GCM", p11.OpEncrypt, mech(ck.CKM_AES_GCM, &engine.GCMParams{IV: []byte("twelve bytes"), TagBits: 128}), aes},
		{"AES-CBC-PAD", p11.OpEncrypt, mech(ck.CKM_AES_CBC_PAD, testIV), aes},
		{"HMAC-SHA-256", p11.OpSign, mech(ck.CKM_SHA256_HMAC), mac},
		{"SHA-256", p11.OpDigest, mech(ck.CKM_SHA256), 0},
	} {
		b.Run(c.name, func(b *testing.B) {
			in, buf := make([]byte, 64), make([]byte, 128)
			begin := &p11.Begin{Session: run.s, Op: c.op, Mechanism: c.m, Key: c.key}
			finish := &p11.Finish{Session: run.s, Op: c.op, Single: true, In: in, Out: p11.Output{Buf: buf}}
			var none p11.None
			var n p11.Length
			ctx := context.Background()
			b.ReportAllocs()
			for b.Loop() {
				if err := run.h.Do(ctx, begin, &none); err != nil {
					b.Fatal(err)
				}
				if err := run.h.Do(ctx, finish, &n); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("SHA-256 of the standard library", func(b *testing.B) {
		in := make([]byte, 64)
		for b.Loop() {
			sha256.Sum256(in)
		}
	})
}

// BenchmarkRecordedSign is signing with P-256, with and without a record of each.
func BenchmarkRecordedSign(b *testing.B) {
	for _, events := range []string{"none", "asymmetric,success"} {
		b.Run(events, func(b *testing.B) {
			run := benchmarkBench(b)
			if events != "none" {
				au := must(b, run.h, &p11.OpenSession{Slot: p11.AdminSlot, Flags: ck.CKF_SERIAL_SESSION | ck.CKF_RW_SESSION}).Session
				must(b, run.h, &p11.InitAuditor{PIN: []byte(auditorPIN), Domain: []byte(auditDomain)})
				must(b, run.h, &p11.Login{Session: au, User: ck.CKU_AUDIT, PIN: []byte(auditorPIN)})
				configure(b, run.h, au, events)
			}
			key := ok(run, &p11.GenerateKeyPair{Session: run.s, Mechanism: mech(ck.CKM_EC_KEY_PAIR_GEN),
				Public:  tmpl(ck.CKA_EC_PARAMS, p256OID),
				Private: tmpl(ck.CKA_TOKEN, true, ck.CKA_SIGN, true)}).Private
			begin := &p11.Begin{Session: run.s, Op: p11.OpSign, Mechanism: mech(ck.CKM_ECDSA), Key: key}
			finish := &p11.Finish{Session: run.s, Op: p11.OpSign, Single: true, In: make([]byte, 32), Out: p11.Output{Buf: make([]byte, 64)}}
			b.ReportAllocs()
			for b.Loop() {
				must(b, run.h, begin)
				must(b, run.h, finish)
			}
		})
	}
}

// benchmarkBench is newBench for benchmarks.
func benchmarkBench(b *testing.B) *bench {
	host := newTestHost()
	h, err := Open(b.Context(), Options{Store: host.place.Open(), RootKey: host.root, Location: "memory", Password: cheap, AuditDir: filepath.Join(b.TempDir(), "audit")})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { h.Close() })
	run := &bench{t: b, h: h}
	ok(run, &p11.InitToken{PIN: []byte(soPIN), Label: "test"})
	run = run.open()
	ok(run, &p11.Login{Session: run.s, User: ck.CKU_SO, PIN: []byte(soPIN)})
	ok(run, &p11.InitPIN{Session: run.s, PIN: []byte(userPIN)})
	ok(run, &p11.Logout{Session: run.s})
	ok(run, &p11.Login{Session: run.s, User: ck.CKU_USER, PIN: []byte(userPIN)})
	return run
}
