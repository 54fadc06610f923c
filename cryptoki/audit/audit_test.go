package audit

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/perilune/perilune/cryptoki/ck"
)

var (
	testSecret = bytes.Repeat([]byte{0x5e}, SecretSize)
	testTime   = time.Date(2026, 11, 22, 10, 20, 30, 123456789, time.UTC)
)

// keeper is the HSM of the tests: locks and a checkpoint in memory, shared by
// several recorders as by processes.
type keeper struct {
	mu      sync.Mutex
	locks   map[string]chan struct{}
	settled Head
}

func newKeeper() *keeper { return &keeper{locks: map[string]chan struct{}{}} }

func (k *keeper) Lock(ctx context.Context, name string) (func(), error) {
	k.mu.Lock()
	if k.locks[name] == nil {
		k.locks[name] = make(chan struct{}, 1)
	}
	c := k.locks[name]
	k.mu.Unlock()
	select {
	case c <- struct{}{}:
		return func() { <-c }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (k *keeper) Secret(context.Context) ([]byte, error) { return testSecret, nil }

func (k *keeper) Settled(context.Context) (Head, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.settled, nil
}

func (k *keeper) Settle(_ context.Context, h Head) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.settled = h
	return nil
}

// die frees the locks of a process, as its death does.
func (k *keeper) die(r *Recorder) {
	close(r.quit)
	r.done.Wait()
	if r.unlock != nil {
		r.unlock()
	}
}

// bench is a place with an audit log.
type bench struct {
	t    testing.TB
	dir  string
	k    *keeper
	conf Config
	now  time.Time
	warn []string
}

func newBench(t testing.TB) *bench {
	conf := DefaultConfig
	conf.Mask = AllOfIt
	return &bench{t: t, dir: filepath.Join(t.TempDir(), "audit"), k: newKeeper(), conf: conf, now: testTime}
}

// process is a recorder of one more process.
func (b *bench) process() *Recorder {
	r := NewRecorder(Options{
		Dir: b.dir, Serial: "1234567", HeadKey: []byte("head key"), Keeper: b.k,
		Now:  func() time.Time { return b.now },
		Role: func(n byte) string { return [...]string{"", "so"}[n%2] },
		Warn: func(text string, _ ...any) { b.warn = append(b.warn, text) },
	})
	// As the HSM does: else what is recorded before a forwarder first looks
	// belongs to the time before its server.
	if err := r.BeginForwarding(b.conf.Remotes); err != nil {
		b.t.Fatal(err)
	}
	r.Configure(b.conf)
	return r
}

// record records one event on its own.
func (b *bench) record(r *Recorder, e Event, code ck.RV) {
	b.t.Helper()
	if err := b.try(r, e, code); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) try(r *Recorder, e Event, code ck.RV) error {
	entry := Entry{Time: b.now, Event: e, Session: 7, AccessLo: 42}
	t, err := r.Begin(context.Background(), &entry)
	if err != nil {
		return err
	}
	entry.Code = uint32(code)
	r.End(context.Background(), t, &entry, LogManage|e.Category()|Asymmetric)
	return nil
}

// verify verifies the whole log against what the HSM remembers.
func (b *bench) verify() Result {
	b.t.Helper()
	head, _, _, err := newHeadFile(b.dir, []byte("head key")).read()
	if err != nil {
		b.t.Fatal(err)
	}
	files, err := Files(b.dir, "1234567")
	if err != nil {
		b.t.Fatal(err)
	}
	v := NewVerifier(testSecret, 1, 0)
	for _, f := range files {
		if err := v.ReadFile(f, 0); err != nil {
			b.t.Fatal(err)
		}
	}
	return v.End(newer(head, b.k.settled))
}

// sound fails the test unless the log verifies and has n records.
func (b *bench) sound(n uint64) {
	b.t.Helper()
	r := b.verify()
	if len(r.Faults) > 0 || r.Records != n || r.Last != n {
		b.t.Fatalf("%d records to %d, want %d; faults %v", r.Records, r.Last, n, r.Faults)
	}
}

func TestLineVector(t *testing.T) {
	c := NewChain(testSecret)
	e := Entry{Time: testTime, Event: SignSinglepart, Role: 1, Session: 3, AccessHi: 1, AccessLo: 2, Serial: 77,
		Mechanic: true, Mechanism: uint64(ck.CKM_ECDSA), Key: 12, KeyID: "0102"}
	r := Record{Sequence: 1, Time: e.Time, Message: e.message("so"), Event: e.Event, Role: 1, Spool: 5, Index: 9}
	line, link := c.Append(nil, &r, Link{})
	want := "0000000001,26/11/22 10:20:30,S/N 77 session 3 Access 1:2 operation SIGN_SINGLEPART returned RC_OK(0x00000000) role so key 12 id 0102 CKM_ECDSA"
	if got := strings.TrimRight(string(line[:linkAt-1]), " "); got != want {
		t.Errorf("line %q", got)
	}
	if got := string(line[linkAt:]); got != lineVectorEnd {
		t.Errorf("end of the line\n%q, want\n%q", got, lineVectorEnd)
	}
	if got := hex.EncodeToString(link[:]); got != linkVector {
		t.Errorf("link %s, want %s", got, linkVector)
	}
	l, err := c.Parse(line)
	if err != nil || l.Record != r || l.Link != link {
		t.Errorf("parsed %+v, %v", l, err)
	}
}

func TestEveryCharacterOfALineCounts(t *testing.T) {
	c := NewChain(testSecret)
	line, _ := c.Append(nil, &Record{Sequence: 38, Time: testTime, Message: "session 1", Event: Login}, Link{1, 2, 3})
	for i := range line {
		for _, bad := range []byte{line[i] ^ 1, line[i] ^ 0x20, ' ', '0', 'a', '\n'} {
			if bad == line[i] {
				continue
			}
			changed := bytes.Clone(line)
			changed[i] = bad
			if _, err := c.Parse(changed); err == nil {
				t.Fatalf("character %d changed from %q to %q unnoticed", i, line[i], bad)
			}
		}
	}
}

func TestRecordsOfSeveralProcessesMakeOneChain(t *testing.T) {
	b := newBench(t)
	var list []*Recorder
	for range 4 {
		list = append(list, b.process())
	}
	var done sync.WaitGroup
	for _, r := range list {
		for range 4 {
			done.Go(func() {
				for i := range 200 {
					e := SignSinglepart
					if i%50 == 0 {
						e = Login
					}
					if err := b.try(r, e, ck.CKR_OK); err != nil {
						t.Error(err)
					}
				}
			})
		}
	}
	done.Wait()
	for _, r := range list {
		r.Close()
	}
	b.sound(4 * 4 * 200)
	if b.k.settled.Sequence != 3200 {
		t.Errorf("the checkpoint is at %d after all closed", b.k.settled.Sequence)
	}
	if left, _ := os.ReadDir(filepath.Join(b.dir, SpoolDir)); len(left) != 0 {
		t.Errorf("%d spools are left", len(left))
	}
}

func TestWhatIsRecorded(t *testing.T) {
	for _, c := range []struct {
		mask   string
		event  Event
		code   ck.RV
		wanted bool
	}{
		{"none", Login, ck.CKR_OK, false},
		{"none", Zeroize, ck.CKR_OK, true},
		{"none", InitToken, ck.CKR_PIN_INCORRECT, true},
		{"access,failure", Login, ck.CKR_OK, false},
		{"access,failure", Login, ck.CKR_PIN_INCORRECT, true},
		{"access,success", Login, ck.CKR_OK, true},
		{"access,success", Login, ck.CKR_PIN_INCORRECT, false},
		{"a,s,f", GenerateKey, ck.CKR_OK, false},
		{"k,s,f", GenerateKey, ck.CKR_OK, true},
		{"all", GenerateKey, ck.CKR_OK, true},
	} {
		b := newBench(t)
		m, err := ParseMask(c.mask)
		if err != nil {
			t.Fatal(err)
		}
		b.conf.Mask = m
		r := b.process()
		e := Entry{Time: b.now, Event: c.event}
		if r.Wants(c.event, c.event.Category()) {
			tk, err := r.Begin(t.Context(), &e)
			if err != nil {
				t.Fatal(err)
			}
			e.Code = uint32(c.code)
			r.End(t.Context(), tk, &e, c.event.Category())
		}
		r.Close()
		if got := b.verify().Records == 1; got != c.wanted {
			t.Errorf("%s, %v ending with %v: recorded %v", c.mask, c.event, c.code, got)
		}
	}
}

func TestMasks(t *testing.T) {
	for _, bad := range []string{"", "acess", "access", "success", "success,failure", "none,access,success"} {
		if m, err := ParseMask(bad); err == nil {
			t.Errorf("%q was taken for %v", bad, m)
		}
	}
	for m := range Mask(endOfMask) {
		if m.Check() != nil {
			continue
		}
		if got, err := ParseMask(m.String()); err != nil || got != m {
			t.Errorf("%v came back as %v, %v", m, got, err)
		}
	}
	for e := Event(1); int(e) < NumEvents; e++ {
		if e.String() == "" {
			t.Errorf("event %d has no row", e)
		}
	}
}

// deadProcess leaves the spool of a process that recorded n uses of a key and
// was killed before any of them got into the log.
func deadProcess(b *bench, n int) *Recorder {
	r := b.process()
	r.pending.Store(true) // the drainer does not hear of it
	for range n {
		b.record(r, SignSinglepart, ck.CKR_OK)
	}
	b.k.die(r)
	return r
}

func TestSpoolOfADeadProcess(t *testing.T) {
	b := newBench(t)
	dead := deadProcess(b, 100)
	entry := Entry{Time: b.now, Event: DestroyObject, Key: 5}
	dead.spool.begin(3, &entry) // it died in the middle of this
	r := b.process()
	b.record(r, Login, ck.CKR_OK)
	if err := r.AdoptOrphans(t.Context(), time.Second); err != nil {
		t.Fatal(err)
	}
	r.Close()
	b.sound(1 + 100 + 1)
	if text := b.text(); !strings.Contains(text, "operation DESTROY_OBJECT returned RC_UNFINISHED(0xFFFFFFFF) key 5") {
		t.Errorf("the act under way is not in the log:\n%s", text)
	}
}

// text is the whole log.
func (b *bench) text() string {
	files, err := Files(b.dir, "1234567")
	if err != nil {
		b.t.Fatal(err)
	}
	var text []byte
	for _, f := range files {
		data, err := os.ReadFile(f.Path)
		if err != nil {
			b.t.Fatal(err)
		}
		text = append(text, data...)
	}
	return string(text)
}

func TestSpoolOfALivingProcessIsLeftAlone(t *testing.T) {
	b := newBench(t)
	living := b.process()
	living.pending.Store(true)
	b.record(living, SignSinglepart, ck.CKR_OK)
	r := b.process()
	if err := r.AdoptOrphans(t.Context(), time.Millisecond); err != nil {
		t.Fatal(err)
	}
	r.Close()
	b.sound(0)
	living.Close()
	b.sound(1)
}

// TestDeathAtEachStep stops the writing of a batch after each of its steps, and
// looks whether the next process finds every record once.
func TestDeathAtEachStep(t *testing.T) {
	for step, name := range []string{"nothing written", "half a line", "lines, not the spool", "lines and spool, not the head"} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			first := b.process()
			b.record(first, Login, ck.CKR_OK)
			first.Close()
			dead := deadProcess(b, 20)
			tear(t, b, dead, step)
			r := b.process()
			if err := r.AdoptOrphans(t.Context(), time.Second); err != nil {
				t.Fatal(err)
			}
			b.record(r, Logout, ck.CKR_OK)
			r.Close()
			b.sound(1 + 20 + 1)
		})
	}
}

// tear does what a dying process did of a batch.
func tear(t *testing.T, b *bench, dead *Recorder, step int) {
	l := newLog(b.dir, "1234567", testSecret, []byte("head key"))
	p, err := l.find(b.k.settled)
	if err != nil {
		t.Fatal(err)
	}
	path := l.path(p.File)
	var records []Record
	for i := uint64(1); i <= dead.spool.written; i++ {
		e, _ := dead.spool.entry(i)
		records = append(records, dead.record(&e, dead.spool.number, uint32(i)))
	}
	switch step {
	case 1:
		line, _ := l.chain.Append(nil, &Record{Sequence: p.Sequence + 1, Time: testTime}, p.Link)
		f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
		if err != nil {
			t.Fatal(err)
		}
		f.Write(line[:200])
		f.Close()
	case 2, 3:
		if _, err := l.append(p, &b.conf, records, b.now); err != nil {
			t.Fatal(err)
		}
		if step == 3 {
			if err := dead.spool.setDrained(b.dir, dead.spool.written); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestDeathInsideRotation(t *testing.T) {
	for step, name := range []string{"file moved", "next file made"} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			r := b.process()
			b.record(r, Login, ck.CKR_OK)
			r.Close()
			l := newLog(b.dir, "1234567", testSecret, []byte("head key"))
			if err := l.archive(1); err != nil {
				t.Fatal(err)
			}
			if step == 1 {
				if err := os.WriteFile(l.path(2), nil, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			r = b.process()
			b.record(r, Logout, ck.CKR_OK)
			r.Close()
			b.sound(2)
			if len(b.warn) > 0 {
				t.Errorf("a false alarm: %q", b.warn)
			}
			files, _ := Files(b.dir, "1234567")
			if len(files) != 2 || !files[0].Archived || files[1].Archived || files[1].Number != 2 {
				t.Errorf("files %+v", files)
			}
		})
	}
}

func TestRotation(t *testing.T) {
	for _, c := range []struct {
		rotation Rotation
		later    time.Duration
		files    int
	}{
		{Never, 1000 * 24 * time.Hour, 1},
		{Hourly, 30 * time.Minute, 1}, {Hourly, 40 * time.Minute, 2},
		{Daily, 13 * time.Hour, 1}, {Daily, 14 * time.Hour, 2},
		{Weekly, 13 * time.Hour, 1}, {Weekly, 14 * time.Hour, 2}, // the 22nd is a Sunday
		{Monthly, 8 * 24 * time.Hour, 1}, {Monthly, 9 * 24 * time.Hour, 2},
	} {
		b := newBench(t)
		b.conf.Rotation = c.rotation
		r := b.process()
		b.record(r, Login, ck.CKR_OK)
		b.now = b.now.Add(c.later)
		b.record(r, Logout, ck.CKR_OK)
		r.Close()
		b.sound(2)
		if files, _ := Files(b.dir, "1234567"); len(files) != c.files {
			t.Errorf("%s, %v later: %d files", c.rotation, c.later, len(files))
		}
	}
}

func TestRotationBySize(t *testing.T) {
	b := newBench(t)
	b.conf.FileSize = MinFileSize
	r := b.process()
	for range 1000 {
		b.record(r, SignSinglepart, ck.CKR_OK)
	}
	r.Close()
	b.sound(1000)
	files, _ := Files(b.dir, "1234567")
	if want := 1000/(MinFileSize/LineSize) + 1; len(files) != want {
		t.Errorf("%d files, want %d", len(files), want)
	}
	for _, f := range files {
		if f.Size > MinFileSize {
			t.Errorf("%s has %d bytes", f.Name, f.Size)
		}
	}
}

// TestTampering does to a log what can be done to it and wants each named.
func TestTampering(t *testing.T) {
	line := func(d []byte, n int) []byte { return d[(n-1)*LineSize : n*LineSize] }
	cut := func(d []byte, first, last int) []byte {
		return append(bytes.Clone(d[:(first-1)*LineSize]), d[last*LineSize:]...)
	}
	for _, c := range []struct {
		name string
		do   func(d []byte) []byte
		want []string
	}{
		{"nothing", func(d []byte) []byte { return d }, nil},
		{"a message", func(d []byte) []byte { line(d, 4)[80] ^= 1; return d }, []string{"record 4 is changed"}},
		{"the last line", func(d []byte) []byte { line(d, 10)[60] ^= 1; return d }, []string{"record 10 is changed"}},
		{"the first line", func(d []byte) []byte { line(d, 1)[60] ^= 1; return d }, []string{"record 1 is changed"}},
		{"a link", func(d []byte) []byte { line(d, 5)[linkAt+3] ^= 1; return d }, []string{"record 5 is changed"}},
		{"a number", func(d []byte) []byte { copy(line(d, 5), "0000000006"); return d }, []string{"record 5 is changed"}},
		{"a newline", func(d []byte) []byte { line(d, 5)[LineSize-1] = ' '; return d }, []string{"record 5 is changed", "record 6 is removed"}},
		{"a character added", func(d []byte) []byte { return slices.Insert(d, 4*LineSize+20, 'x') }, []string{"record 5 is changed"}},
		{"two lines removed", func(d []byte) []byte { return cut(d, 5, 6) }, []string{"records 5 to 6 are removed"}},
		{"the first line removed", func(d []byte) []byte { return cut(d, 1, 1) }, []string{"record 1 is removed"}},
		{"the tail cut off", func(d []byte) []byte { return cut(d, 9, 10) }, []string{"records 9 to 10 are cut off"}},
		{"cut in a line", func(d []byte) []byte { return d[:9*LineSize+100] }, []string{"record 10 is changed"}},
		{"everything removed", func([]byte) []byte { return nil }, []string{"records 1 to 10 are cut off"}},
		{"two lines swapped", func(d []byte) []byte {
			a := bytes.Clone(line(d, 3))
			copy(line(d, 3), line(d, 4))
			copy(line(d, 4), a)
			return d
		}, []string{"record 3 is reordered"}},
		{"a line repeated", func(d []byte) []byte { return slices.Insert(d, 6*LineSize, bytes.Clone(line(d, 2))...) }, []string{"record 2 is repeated"}},
		{"a line invented", func(d []byte) []byte {
			l, _ := NewChain([]byte("another secret")).Append(nil, &Record{Sequence: 5, Time: testTime}, Link{})
			return slices.Insert(d, 4*LineSize, l...)
		}, []string{"record 5 is preceded by what is no record"}},
		{"a line invented at the end", func(d []byte) []byte {
			l, _ := NewChain([]byte("another secret")).Append(nil, &Record{Sequence: 11, Time: testTime}, Link{})
			return append(d, l...)
		}, []string{"record 11 is changed"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBench(t)
			r := b.process()
			for range 10 {
				b.record(r, Login, ck.CKR_OK)
			}
			r.Close()
			path := filepath.Join(b.dir, FileName("1234567", 1))
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, c.do(data), 0o600); err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, f := range b.verify().Faults {
				text, _, _ := strings.Cut(f.String(), " (")
				got = append(got, text)
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("found %q, want %q", got, c.want)
			}
		})
	}
}

// TestLogGoesOnAfterTampering wants a cut to stay visible for ever, and the
// records after it to verify.
func TestLogGoesOnAfterTampering(t *testing.T) {
	b := newBench(t)
	r := b.process()
	for range 10 {
		b.record(r, Login, ck.CKR_OK)
	}
	path := filepath.Join(b.dir, FileName("1234567", 1))
	if err := os.Truncate(path, 7*LineSize); err != nil {
		t.Fatal(err)
	}
	b.record(r, Logout, ck.CKR_OK)
	r.Close()
	res := b.verify()
	if len(res.Faults) != 1 || !strings.HasPrefix(res.Faults[0].String(), "records 8 to 10 are removed") {
		t.Errorf("faults %v", res.Faults)
	}
	if len(b.warn) == 0 || !strings.Contains(b.text(), "operation LOG_REPAIR") {
		t.Errorf("the cut was not noticed: %q", b.warn)
	}
}

func TestOldCopyOfTheLogIsNoticed(t *testing.T) {
	b := newBench(t)
	r := b.process()
	b.record(r, Login, ck.CKR_OK)
	r.Close()
	old := t.TempDir()
	if err := os.CopyFS(old, os.DirFS(b.dir)); err != nil {
		t.Fatal(err)
	}
	r = b.process()
	b.record(r, SetPIN, ck.CKR_OK)
	r.Close()
	os.RemoveAll(b.dir)
	if err := os.CopyFS(b.dir, os.DirFS(old)); err != nil {
		t.Fatal(err)
	}
	res := b.verify()
	if len(res.Faults) != 1 || !strings.HasPrefix(res.Faults[0].String(), "record 2 is cut off") {
		t.Errorf("faults %v", res.Faults)
	}
}

func TestForgedRecordsAreNotTakenOver(t *testing.T) {
	b := newBench(t)
	r := b.process()
	b.record(r, Login, ck.CKR_OK)
	r.Close()
	path := filepath.Join(b.dir, FileName("1234567", 1))
	// Who reads the log knows every link but cannot make a tag.
	forged, _ := NewChain([]byte("guess")).Append(nil, &Record{Sequence: 2, Time: testTime, Message: "nothing happened"}, b.k.settled.Link)
	f, _ := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	f.Write(forged)
	f.Close()
	r = b.process()
	b.record(r, Logout, ck.CKR_OK)
	r.Close()
	res := b.verify()
	if len(res.Faults) == 0 || res.Faults[0].Kind != Inserted && res.Faults[0].Kind != Changed {
		t.Errorf("faults %v", res.Faults)
	}
	if res.Last != 3 { // the first login, the note of the disorder, the logout
		t.Errorf("last record %d", res.Last)
	}
}

func TestFullLogStopsWhatMustBeRecorded(t *testing.T) {
	b := newBench(t)
	b.conf.FileSize, b.conf.Limit = MinFileSize, 2*MinFileSize
	r := b.process()
	var n int
	for ; n < 1000; n++ {
		if n%50 == 49 {
			r.drainQuietly(false)
		}
		if err := b.try(r, SignSinglepart, ck.CKR_OK); err != nil {
			if ck.RVOf(err) != ck.CKR_LOG_FULL {
				t.Fatal(err)
			}
			break
		}
	}
	if n == 1000 {
		t.Fatal("the log never was full")
	}
	if err := b.try(r, Login, ck.CKR_OK); ck.RVOf(err) != ck.CKR_LOG_FULL {
		t.Errorf("login with a full log: %v", err)
	}
	for _, e := range []Event{Zeroize, Logout, OpenSession, CloseSession, LogSetConfig, LogGetConfig, LogRemove} {
		if err := b.try(r, e, ck.CKR_OK); err != nil {
			t.Errorf("%v with a full log: %v", e, err)
		}
	}
	files, _ := Files(b.dir, "1234567")
	os.Remove(files[0].Path)
	if err := b.try(r, SignSinglepart, ck.CKR_OK); err != nil {
		t.Errorf("signing after a file was removed: %v", err)
	}
	r.Close()
}

func TestUnwritableLogStopsWhatMustBeRecorded(t *testing.T) {
	b := newBench(t)
	r := b.process()
	b.record(r, Login, ck.CKR_OK)
	// A file in the place of the directory cannot be written to by anybody.
	os.Rename(b.dir, b.dir+".away")
	if err := os.WriteFile(b.dir, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := b.try(r, Login, ck.CKR_OK); ck.RVOf(err) != ck.CKR_LOG_FILE_WRITE_ERROR {
		t.Errorf("login: %v", err)
	}
	if err := b.try(r, SignSinglepart, ck.CKR_OK); ck.RVOf(err) != ck.CKR_LOG_FILE_WRITE_ERROR {
		t.Errorf("signing: %v", err)
	}
	b.record(r, Logout, ck.CKR_OK) // goes on, and waits in the spool
	os.Remove(b.dir)
	os.Rename(b.dir+".away", b.dir)
	b.record(r, Login, ck.CKR_OK)
	r.Close()
	b.sound(3)
}

func TestFullRingWaitsForTheLog(t *testing.T) {
	b := newBench(t)
	r := b.process()
	r.pending.Store(true)
	for range 3 * ringSlots {
		b.record(r, SignSinglepart, ck.CKR_OK)
	}
	r.Close()
	b.sound(3 * ringSlots)
}

func TestSecretTravelsUnderItsDomain(t *testing.T) {
	s := &Secret{Serial: "1234567", Secret: testSecret, Head: Head{Sequence: 9, Link: Link{1}}}
	file, err := s.Export([]byte("audit domain"))
	if err != nil {
		t.Fatal(err)
	}
	got, err := ImportSecret(file, []byte("audit domain"))
	if err != nil || got.Serial != s.Serial || !bytes.Equal(got.Secret, s.Secret) || got.Head != s.Head {
		t.Fatalf("%+v, %v", got, err)
	}
	if _, err := ImportSecret(file, []byte("another")); !errors.Is(err, ErrDomain) {
		t.Errorf("another domain: %v", err)
	}
	if bytes.Contains(file, testSecret[:8]) {
		t.Error("the secret is in the file in the clear")
	}
	for i := 0; i < len(file); i += 7 {
		bad := bytes.Clone(file)
		bad[i] ^= 0x10
		if i >= 8 && i < saltAt { // the cost: refused, or as good as another domain
			continue
		}
		if _, err := ImportSecret(bad, []byte("audit domain")); err == nil {
			t.Fatalf("byte %d changed unnoticed", i)
		}
	}
}

func TestHeadSurvivesAHalfWrittenPlace(t *testing.T) {
	dir := t.TempDir()
	f := newHeadFile(dir, []byte("key"))
	for i := uint64(1); i <= 3; i++ {
		if err := f.write(Head{Sequence: i * 10}, i); err != nil {
			t.Fatal(err)
		}
	}
	data, _ := os.ReadFile(f.path)
	for i := range data {
		bad := bytes.Clone(data)
		bad[i] ^= 4
		os.WriteFile(f.path, bad, 0o600)
		h, _, ok, err := f.read()
		if err != nil || !ok || h.Sequence != 20 && h.Sequence != 30 {
			t.Fatalf("byte %d changed: %+v %v %v", i, h, ok, err)
		}
	}
	if h, _, ok, _ := newHeadFile(dir, []byte("other")).read(); ok {
		t.Errorf("head %+v opens under another key", h)
	}
}

func TestFileNames(t *testing.T) {
	if got := FileName("66331", 0x2a); got != "hsm_66331_0000002a.log" {
		t.Error(got)
	}
	for _, bad := range []string{"", "hsm_1.log", "hsm_1_1.log", "hsm__00000001.log", "hsm_1_0000000A.log", "hsm_1_00000001.log.gz", "x_1_00000001.log"} {
		if _, _, ok := ParseFileName(bad); ok {
			t.Errorf("%q is taken for a log", bad)
		}
	}
}

func FuzzParseLine(f *testing.F) {
	c := NewChain(testSecret)
	line, _ := c.Append(nil, &Record{Sequence: 1, Time: testTime, Message: "session 1 operation LOGIN"}, Link{})
	f.Add(line)
	f.Add(bytes.ToLower(line))
	f.Fuzz(func(t *testing.T, text []byte) {
		l, err := c.Parse(text)
		if _, err2 := ParseLine(text); (err2 != nil) != errors.Is(err, ErrForm) {
			t.Errorf("Parse %v, ParseLine %v", err, err2)
		}
		if err != nil {
			return
		}
		if again, _ := c.Append(nil, &l.Record, l.Before); !bytes.Equal(again, text) {
			t.Errorf("a genuine line came back as\n%q", again)
		}
	})
}

func FuzzImportSecret(f *testing.F) {
	s := &Secret{Serial: "1234567", Secret: testSecret}
	file, err := s.Export([]byte("d"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(file)
	f.Add(file[:50])
	f.Fuzz(func(t *testing.T, file []byte) {
		if checkSecretHeader(file) == nil && len(file) > 16 {
			copy(file[8:], "\x01\x00\x00\x00\x08\x00\x00\x00\x01\x00\x00\x00") // cheap: the cost is not what is looked at
		}
		if s, err := ImportSecret(file, []byte("d")); err == nil && (len(s.Secret) != SecretSize || s.Serial == "") {
			t.Errorf("imported %+v", s)
		}
	})
}

func FuzzSpool(f *testing.F) {
	e := Entry{Time: testTime, Event: SignSinglepart, KeyID: "id", Detail: "detail"}
	b := make([]byte, slotSize)
	e.encode(b, 1)
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		var e Entry
		if e.decode(b, 1) && len(e.message("")) == 0 {
			t.Error("no message")
		}
	})
}

func FuzzVerify(f *testing.F) {
	c := NewChain(testSecret)
	var data []byte
	var link Link
	for i := range uint64(5) {
		data, link = c.Append(data, &Record{Sequence: i + 1, Time: testTime}, link)
	}
	f.Add(data)
	f.Fuzz(func(t *testing.T, in []byte) {
		v := NewVerifier(testSecret, 1, 0)
		if err := v.Read("x", bytes.NewReader(in)); err != nil {
			t.Fatal(err)
		}
		res := v.End(Head{Sequence: 5, Link: link})
		if (len(res.Faults) == 0) != bytes.Equal(in, data) {
			t.Errorf("%d bytes, faults %v", len(in), res.Faults)
		}
	})
}

func BenchmarkRecord(b *testing.B) {
	bb := newBench(b)
	bb.conf.FileSize = MaxFileSize
	r := bb.process()
	for b.Loop() {
		bb.record(r, SignSinglepart, ck.CKR_OK)
	}
	r.Close()
}

func BenchmarkLine(b *testing.B) {
	c := NewChain(testSecret)
	e := Entry{Time: testTime, Event: SignSinglepart, Session: 1, Key: 12, KeyID: fmt.Sprintf("%024x", 77), Mechanic: true, Mechanism: uint64(ck.CKM_ECDSA)}
	var dst []byte
	for b.Loop() {
		dst, _ = c.Append(dst[:0], &Record{Sequence: 1, Time: e.Time, Message: e.message("co")}, Link{})
	}
}
