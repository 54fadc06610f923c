package local

import (
	"context"
	"encoding/binary"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/cryptoki/p11"
	"github.com/perilune/perilune/store/sqlite"
)

// onDisk is a partition in a store of SQLite.
func onDisk(b *testing.B) *bench {
	disk, err := sqlite.Open(b.Context(), b.TempDir(), sqlite.Options{})
	if err != nil {
		b.Fatal(err)
	}
	return newBench(b, disk, 1)
}

// each calls do N times, shared by as many goroutines as told, each with a session of its own.
func (x *bench) each(goroutines int, do func(s ck.SessionHandle, i uint64) error) {
	var next atomic.Uint64
	var all sync.WaitGroup
	sessions := make([]ck.SessionHandle, goroutines)
	for i := range sessions {
		sessions[i] = benchDo(x, &p11.OpenSession{Flags: ck.CKF_SERIAL_SESSION | ck.CKF_RW_SESSION}).Session
	}
	x.ReportAllocs()
	x.ResetTimer()
	for _, s := range sessions {
		all.Go(func() {
			for i := next.Add(1); i <= uint64(x.N); i = next.Add(1) {
				if err := do(s, i); err != nil {
					x.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
	x.StopTimer()
	x.ReportMetric(float64(x.N)/x.Elapsed().Seconds(), "objects/s")
}

func aesKey(i uint64, token bool) []ck.Attribute {
	value := binary.BigEndian.AppendUint64(make([]byte, 24), i)
	return []ck.Attribute{
		ck.NewULong(ck.CKA_CLASS, ck.CKO_SECRET_KEY), ck.NewULong(ck.CKA_KEY_TYPE, ck.CKK_AES), ck.NewBool(ck.CKA_TOKEN, token),
		ck.NewBytes(ck.CKA_VALUE, value), ck.NewBytes(ck.CKA_LABEL, fmt.Appendf(nil, "key %d", i/10)), ck.NewBytes(ck.CKA_ID, value[24:]),
	}
}

// BenchmarkCreate makes durable token objects.
func BenchmarkCreate(b *testing.B) {
	for _, n := range []int{1, 8, 64} {
		b.Run(fmt.Sprintf("goroutines=%d", n), func(b *testing.B) {
			x := onDisk(b)
			x.each(n, func(s ck.SessionHandle, i uint64) error {
				_, err := p11.Call(context.Background(), x.h, &p11.CreateObject{Session: s, Template: aesKey(i, true)})
				return err
			})
		})
	}
}

// BenchmarkCreateSessionObject makes session objects and destroys them.
func BenchmarkCreateSessionObject(b *testing.B) {
	for _, n := range []int{1, 8} {
		b.Run(fmt.Sprintf("goroutines=%d", n), func(b *testing.B) {
			x := onDisk(b)
			x.each(n, func(s ck.SessionHandle, i uint64) error {
				o, err := p11.Call(context.Background(), x.h, &p11.CreateObject{Session: s, Template: aesKey(i, false)})
				if err == nil {
					_, err = p11.Call(context.Background(), x.h, &p11.DestroyObject{Session: s, Object: o.Object})
				}
				return err
			})
		})
	}
}
