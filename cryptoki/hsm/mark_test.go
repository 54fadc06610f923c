package hsm

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/cryptoki/p11"
)

// memoryMark is a MarkPlace. saved is called before each Save.
type memoryMark struct {
	b     []byte
	err   error
	saved func(b []byte)
}

func (m *memoryMark) Load() ([]byte, error) { return bytes.Clone(m.b), m.err }

func (m *memoryMark) Save(b []byte) error {
	if m.saved != nil {
		m.saved(b)
	}
	m.b = bytes.Clone(b)
	return m.err
}

// marked opens the host's HSM with a mark. What it logs goes to the buffer.
func (host *testHost) marked(t *testing.T, place MarkPlace) (*HSM, *bytes.Buffer) {
	t.Helper()
	log := new(bytes.Buffer)
	h, err := Open(t.Context(), Options{
		Store: host.place.Open(), RootKey: host.root, Mark: place, Location: "memory", Password: cheap,
		Log: slog.New(slog.NewTextHandler(log, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Close() })
	return h, log
}

func restoredText(t *testing.T, h *HSM) string {
	t.Helper()
	if r := must(t, h, &p11.GetHSMInfo{}).Restored; r != nil {
		return r.Text
	}
	return ""
}

// TestOlderStoreIsNoticed: the store of a host with fewer changes, under the same root
// key and mark, is what a copy put back looks like.
func TestOlderStoreIsNoticed(t *testing.T) {
	place := new(memoryMark)
	newest, older := newTestHost(), newTestHost()
	h, log := newest.marked(t, place)
	initPartition(t, h, 0)
	h.Close()
	h, log2 := newest.marked(t, place)
	if text := restoredText(t, h) + log.String() + log2.String(); text != "" {
		t.Fatalf("noticed without a cause: %s", text)
	}
	h.Close()

	h, log = older.marked(t, place)
	if text := restoredText(t, h); !strings.Contains(text, "seen at change") {
		t.Errorf("the HSM says %q", text)
	}
	if !strings.Contains(log.String(), "level=WARN") || !strings.Contains(log.String(), "accept-restore") {
		t.Errorf("the log says %q", log)
	}
	initPartition(t, h, 0) // everything works
	initPartition(t, h, 1)
	h.Close()
	h, _ = older.marked(t, place)
	if restoredText(t, h) == "" {
		t.Error("the notice went away when the store grew")
	}
	s := open(t, h, p11.AdminSlot, true)
	must(t, h, &p11.AcceptRestore{Session: s})
	if text := restoredText(t, h); text != "" {
		t.Errorf("after it was accepted: %q", text)
	}
	h.Close()
	h, log = older.marked(t, place)
	if text := restoredText(t, h) + log.String(); text != "" {
		t.Errorf("at the next opening: %q", text)
	}
}

// TestFailedLoginRaisesTheMark: a copy of before wrong PINs does not forget them
// unnoticed.
func TestFailedLoginRaisesTheMark(t *testing.T) {
	place, host := new(memoryMark), newTestHost()
	h, _ := host.marked(t, place)
	initPartition(t, h, 0)
	s := open(t, h, 0, true)
	for _, req := range []p11.Typed[p11.None]{
		&p11.Login{Session: s, User: ck.CKU_USER, PIN: []byte("wrong pin")},
		&p11.Login{Session: s, User: ck.CKU_USER, PIN: []byte(userPIN)},
		&p11.SetPIN{Session: s, Old: []byte(userPIN), New: []byte("another")},
		&p11.ZeroizeHSM{},
	} {
		before := momentOf(t, h, place)
		_, _ = p11.Call(context.Background(), h, req)
		if now := momentOf(t, h, place); now <= before {
			t.Errorf("%v left the mark at %d", req.Kind(), now)
		}
	}
}

func momentOf(t *testing.T, h *HSM, place *memoryMark) uint64 {
	t.Helper()
	m, err := openMark(h.mark.aead, place.b)
	if err != nil {
		t.Fatal(err)
	}
	return m.moment
}

// TestMarkIsNeverAhead lets two processes work at random, looks at every mark
// before it is saved, and takes each for the last thing that was written before
// a crash: no opening may raise an alarm.
func TestMarkIsNeverAhead(t *testing.T) {
	host := newTestHost()
	var h *HSM
	place := new(memoryMark)
	place.saved = func(b []byte) {
		if h == nil {
			return // the first of all
		}
		m, err := openMark(h.mark.aead, b)
		if err != nil {
			t.Error(err)
			return
		}
		if now, err := h.now(t.Context()); err != nil || m.moment > now {
			t.Errorf("the mark says %d, and the store is at %d (%v)", m.moment, now, err)
		}
	}
	h, _ = host.marked(t, place)
	other, _ := host.marked(t, place)
	initPartition(t, h, 0)
	rng := rand.New(rand.NewPCG(1, 2))
	for range 100 {
		p := []*HSM{h, other}[rng.IntN(2)]
		s := open(t, p, 0, true)
		switch rng.IntN(4) {
		case 0:
			_, _ = p11.Call(t.Context(), p, &p11.Login{Session: s, User: ck.CKU_USER, PIN: []byte("wrong pin")})
			login(t, p, s)
		case 1:
			must(t, p, &p11.CreateObject{Session: s, Template: dataObject(nil, ck.NewBool(ck.CKA_PRIVATE, false))})
		case 2:
			third, log := host.marked(t, place)
			if text := restoredText(t, third) + log.String(); text != "" {
				t.Fatalf("a false alarm: %s", text)
			}
			third.Close()
		case 3:
			must(t, p, &p11.Login{Session: s, User: ck.CKU_SO, PIN: []byte(soPIN)})
			must(t, p, &p11.LabelPartition{Session: s, Label: "x"})
		}
		must(t, p, &p11.CloseAllSessions{Slot: 0})
	}
}

// TestMarkOfAnything: whatever is where the mark should be, the HSM opens, works
// and says what it noticed.
func TestMarkOfAnything(t *testing.T) {
	host := newTestHost()
	sound := new(memoryMark)
	h, _ := host.marked(t, sound)
	initPartition(t, h, 0)
	h.Close()
	for name, c := range map[string]struct {
		place *memoryMark
		want  string
	}{
		"none":      {&memoryMark{}, "not beside it"},
		"empty":     {&memoryMark{b: []byte{}}, "cannot be read"},
		"text":      {&memoryMark{b: []byte("this is no mark")}, "cannot be read"},
		"cut short": {&memoryMark{b: sound.b[:40]}, "cannot be read"},
		"changed":   {&memoryMark{b: append(bytes.Clone(sound.b[:60]), 1)}, "cannot be read"},
		"unreadable": {&memoryMark{err: errors.New("input/output error")},
			""}, // only logged: nothing is known
	} {
		h, log := host.marked(t, c.place)
		s := open(t, h, 0, true)
		login(t, h, s)
		if text := restoredText(t, h); c.want == "" && text != "" || !strings.Contains(text, c.want) || log.Len() == 0 {
			t.Errorf("%s: the HSM says %q, want %q, and logs %q", name, text, c.want, log)
		}
		h.Close()
		if c.place.err == nil {
			h, _ := host.marked(t, c.place)
			if restoredText(t, h) == "" {
				t.Errorf("%s: the notice went away by itself", name)
			}
			must(t, h, &p11.AcceptRestore{Session: open(t, h, p11.AdminSlot, true)})
			h.Close()
		}
	}
}

// TestStoreOfBeforeMarks gets a mark, and from then on its loss is noticed.
func TestStoreOfBeforeMarks(t *testing.T) {
	host := newTestHost()
	host.process(t).Close() // without a mark
	place := new(memoryMark)
	for range 2 {
		h, log := host.marked(t, place)
		if text := restoredText(t, h) + log.String(); text != "" || len(place.b) == 0 {
			t.Errorf("with a mark of %d bytes: %s", len(place.b), text)
		}
		h.Close()
	}
	h, _ := host.marked(t, new(memoryMark))
	if text := restoredText(t, h); !strings.Contains(text, "not beside it") {
		t.Errorf("the mark is lost, and the HSM says %q", text)
	}
}

// TestWhoAcceptsARestore: the HSM SO where there is one.
func TestWhoAcceptsARestore(t *testing.T) {
	host := newTestHost()
	h, _ := host.marked(t, new(memoryMark))
	must(t, h, &p11.InitHSM{Label: "hsm", PIN: []byte(hsmSOPIN)})
	h.Close()
	h, _ = host.marked(t, new(memoryMark)) // the mark is lost
	s := open(t, h, p11.AdminSlot, true)
	want(t, h, ck.CKR_USER_NOT_LOGGED_IN, &p11.AcceptRestore{Session: s})
	must(t, h, &p11.Login{Session: s, User: ck.CKU_SO, PIN: []byte(hsmSOPIN)})
	must(t, h, &p11.AcceptRestore{Session: s})
	if text := restoredText(t, h); text != "" {
		t.Errorf("it was accepted, and yet: %s", text)
	}
}

func TestMarkFile(t *testing.T) {
	dir := t.TempDir()
	path := MarkFile(filepath.Join(dir, "perilune.mark"))
	if b, err := path.Load(); b != nil || err != nil {
		t.Errorf("load of nothing: %q, %v", b, err)
	}
	for _, text := range []string{"first mark", "other mark"} {
		if err := path.Save([]byte(text)); err != nil {
			t.Fatal(err)
		}
		if b, err := path.Load(); string(b) != text || err != nil {
			t.Errorf("loaded %q, %v", b, err)
		}
	}
	if info, err := os.Stat(string(path)); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	if err := os.WriteFile(string(path), make([]byte, 1000), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := path.Save([]byte("a new mark")); err != nil {
		t.Fatal(err)
	}
	if b, _ := path.Load(); string(b) != "a new mark" {
		t.Errorf("what was too long is now %q", b)
	}

	// It may be kept elsewhere, by a link.
	elsewhere := filepath.Join(t.TempDir(), "mark")
	link := MarkFile(filepath.Join(dir, "link"))
	if err := errors.Join(os.Rename(string(path), elsewhere), os.Symlink(elsewhere, string(link)), link.Save([]byte("moved mark"))); err != nil {
		t.Fatal(err)
	}
	if b, _ := os.ReadFile(elsewhere); string(b) != "moved mark" {
		t.Errorf("behind the link is %q", b)
	}

	// Nothing waits for ever at what is no file.
	fifo := MarkFile(filepath.Join(dir, "fifo"))
	if err := syscall.Mkfifo(string(fifo), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := fifo.Load(); err == nil {
		t.Error("a FIFO was read")
	}
	if err := fifo.Save([]byte("x")); err == nil {
		t.Error("a FIFO was written")
	}
	if entries, _ := filepath.Glob(filepath.Join(dir, ".perilune.mark-*")); len(entries) > 0 {
		t.Errorf("left over: %v", entries)
	}
}

// FuzzMark opens HSMs beside any mark.
func FuzzMark(f *testing.F) {
	root := RootKeyBytes(bytes.Repeat([]byte{7}, 32))
	secret, _ := root.Derive("mark", nil)
	aead, err := newAEAD(secret)
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte(nil))
	f.Add((&mark{moment: 1}).seal(aead))
	f.Add((&mark{moment: 1 << 60, notice: 77, had: 1 << 63, at: -1}).seal(aead))
	f.Fuzz(func(t *testing.T, b []byte) {
		host := newTestHost()
		host.process(t).Close()
		h, _ := host.marked(t, &memoryMark{b: b})
		if len(b) > 0 && !bytes.HasPrefix(b, []byte{markVersion}) && restoredText(t, h) == "" {
			t.Error("a strange mark went unnoticed")
		}
		if _, err := p11.Call(t.Context(), h, &p11.GetHSMInfo{}); err != nil {
			t.Error(err)
		}
	})
}

// The vector of docs/FORMAT.md, section "The mark".
const (
	vectorMarkKey = "c8a015900b96bb121b7ae8207e39711b59f272ea4bb726ecedca6ccc1678aeca"
	vectorMark    = "01a3ffd68387a4d50cd5ee740c328a1c8d54daf7ee7d2eee6502407790aa9e83bd1014fa45f9d2a64ec6f9b4d2ff17da7abf7b432e8e8997f898a40b9f6b7e7a84b9e50eae"
)

func TestMarkVector(t *testing.T) {
	root, _ := hex.DecodeString(vectorRoot)
	secret, err := RootKeyBytes(root).Derive("mark", nil)
	if err != nil || hex.EncodeToString(secret) != vectorMarkKey {
		t.Errorf("key %x, %v", secret, err)
	}
	aead, err := newAEAD(secret)
	if err != nil {
		t.Fatal(err)
	}
	sealed, _ := hex.DecodeString(vectorMark)
	if m, err := openMark(aead, sealed); err != nil || *m != (mark{moment: 258}) || len(sealed) != 69 {
		t.Errorf("opened %+v, %v; one that would open: %x", m, err, (&mark{moment: 258}).seal(aead))
	}
}
