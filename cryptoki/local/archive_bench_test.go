package local

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/cryptoki/hsm"
	"github.com/perilune/perilune/cryptoki/p11"
	"github.com/perilune/perilune/store"
	"github.com/perilune/perilune/store/memory"
	"github.com/perilune/perilune/store/sqlite"
)

// BenchmarkArchive backs up and restores a partition of 100,000 AES keys, and
// says how much memory lived in its midst beyond what was there before.
// docs/PERFORMANCE.md has its figures.
func BenchmarkArchive(b *testing.B) {
	const hsms, each = 20, 5_000
	for b.Loop() {
		dir := b.TempDir()
		var old []byte
		path := filepath.Join(dir, "made.parc")
		for i := range hsms { // an HSM in memory is slow when it is large
			made := newBench(b, memory.New().Open(), byte(i))
			made.fill(each)
			made.backup("", path, old)
			old, _ = os.ReadFile(path)
		}
		disk, err := sqlite.Open(b.Context(), filepath.Join(dir, "home"), sqlite.Options{})
		if err != nil {
			b.Fatal(err)
		}
		kept := newBench(b, disk, hsms)
		kept.restore("restore", path)
		kept.restore("restore-again", path)
		kept.backup("backup", filepath.Join(dir, "kept.parc"), nil)
		kept.backup("append", filepath.Join(dir, "again.parc"), old)
	}
}

// bench is a partition whose Crypto Officer is logged in.
type bench struct {
	*testing.B
	h *hsm.HSM
	s ck.SessionHandle
}

func newBench(b *testing.B, s store.Store, root byte) *bench {
	h, err := hsm.Open(b.Context(), hsm.Options{Store: s, RootKey: hsm.RootKeyBytes(bytes.Repeat([]byte{root}, 32)), Location: "bench", Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { h.Close() })
	x := &bench{B: b, h: h}
	benchDo(x, &p11.InitToken{PIN: []byte("12345678"), Label: "bench", Domain: []byte("bench")})
	x.s = benchDo(x, &p11.OpenSession{Flags: ck.CKF_SERIAL_SESSION | ck.CKF_RW_SESSION}).Session
	benchDo(x, &p11.Login{Session: x.s, User: ck.CKU_SO, PIN: []byte("12345678")})
	benchDo(x, &p11.InitPIN{Session: x.s, PIN: []byte("12345678")})
	benchDo(x, &p11.Logout{Session: x.s})
	benchDo(x, &p11.Login{Session: x.s, User: ck.CKU_USER, PIN: []byte("12345678")})
	return x
}

func benchDo[R any](x *bench, q p11.Typed[R]) R {
	x.Helper()
	r, err := p11.Call(context.Background(), x.h, q)
	if err != nil {
		x.Fatal(err)
	}
	return r
}

func (x *bench) fill(n int) {
	for i := range n {
		value := binary.BigEndian.AppendUint64(make([]byte, 24), uint64(i))
		benchDo(x, &p11.CreateObject{Session: x.s, Template: []ck.Attribute{
			ck.NewULong(ck.CKA_CLASS, ck.CKO_SECRET_KEY), ck.NewULong(ck.CKA_KEY_TYPE, ck.CKK_AES), ck.NewBool(ck.CKA_TOKEN, true),
			ck.NewBytes(ck.CKA_VALUE, value), ck.NewBytes(ck.CKA_LABEL, fmt.Appendf(nil, "key %d", i)), ck.NewBytes(ck.CKA_ID, value[24:]),
		}})
	}
}

// measure reports the speed of do, and the most memory that it held at once.
func (x *bench) measure(name string, do func(progress func(p11.ArchiveProgress)) uint64) {
	heap := func() float64 { // what lives
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return float64(m.HeapAlloc) / (1 << 20)
	}
	before, most := heap(), 0.0
	begin := time.Now()
	n := do(func(g p11.ArchiveProgress) {
		if g.Done%10_000 == 0 {
			most = max(most, heap())
		}
	})
	if name != "" {
		x.ReportMetric(float64(n)/time.Since(begin).Seconds(), name+"-objects/s")
		x.ReportMetric(most-before, name+"-MiB")
	}
}

func (x *bench) backup(name, path string, old []byte) {
	f, err := os.Create(path)
	if err != nil {
		x.Fatal(err)
	}
	defer f.Close()
	x.measure(name, func(progress func(p11.ArchiveProgress)) uint64 {
		q := &p11.BackupArchive{Session: x.s, To: f, Progress: progress}
		if old != nil {
			q.Old, q.Size = bytes.NewReader(old), int64(len(old))
		}
		return benchDo(x, q).Objects
	})
}

func (x *bench) restore(name, path string) {
	file, err := os.ReadFile(path)
	if err != nil {
		x.Fatal(err)
	}
	from := io.ReaderAt(bytes.NewReader(file))
	x.measure(name, func(progress func(p11.ArchiveProgress)) uint64 {
		return benchDo(x, &p11.RestoreArchive{Session: x.s, From: from, Size: int64(len(file)), Progress: progress}).Objects
	})
}
