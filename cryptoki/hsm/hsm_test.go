package hsm

import (
	"bytes"
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/cryptoki/p11"
	"github.com/perilune/perilune/store/memory"
)

// cheap makes password hashing cost next to nothing.
var cheap = PasswordCost{Passes: 1, MemoryKiB: 8, Threads: 1}

// testHost is a place where several processes, one HSM each, share a store.
type testHost struct {
	place *memory.Place
	root  RootKeyBytes
	// auditDir is where the audit log is; "" for none.
	auditDir string
}

func newTestHost() *testHost {
	return &testHost{place: memory.New(), root: bytes.Repeat([]byte{7}, 32)}
}

// process opens the host's HSM as one more process would.
func (host *testHost) process(t *testing.T) *HSM {
	t.Helper()
	h, err := Open(t.Context(), Options{
		Store: host.place.Open(), RootKey: host.root, Location: "memory", Password: cheap,
		Log: slog.New(slog.DiscardHandler), AuditDir: host.auditDir,
		Now: func() time.Time { return time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC) },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Close() })
	return h
}

const (
	soPIN   = "so pin 1"
	userPIN = "user pin 1"
)

// newTestHSM is an HSM with one partition on slot 0, whose Crypto Officer exists.
func newTestHSM(t *testing.T) *HSM {
	t.Helper()
	h := newTestHost().process(t)
	initPartition(t, h, 0)
	return h
}

func initPartition(t *testing.T, h *HSM, slot ck.SlotID) {
	t.Helper()
	must(t, h, &p11.InitToken{Slot: slot, PIN: []byte(soPIN), Label: "test"})
	s := open(t, h, slot, true)
	must(t, h, &p11.Login{Session: s, User: ck.CKU_SO, PIN: []byte(soPIN)})
	must(t, h, &p11.InitPIN{Session: s, PIN: []byte(userPIN)})
	must(t, h, &p11.CloseSession{Session: s})
}

// must is a call that has to succeed.
func must[R any](t testing.TB, h *HSM, req p11.Typed[R]) R {
	t.Helper()
	r, err := p11.Call(context.Background(), h, req)
	if err != nil {
		t.Fatalf("%v: %v", req.Kind(), err)
	}
	return r
}

// want is a call that has to end with rv.
func want[R any](t *testing.T, h *HSM, rv ck.RV, req p11.Typed[R]) {
	t.Helper()
	if _, err := p11.Call(context.Background(), h, req); ck.RVOf(err) != rv {
		t.Fatalf("%v: got %v (%v), want %v", req.Kind(), ck.RVOf(err), err, rv)
	}
}

func open(t *testing.T, h *HSM, slot ck.SlotID, rw bool) ck.SessionHandle {
	t.Helper()
	f := ck.Flags(ck.CKF_SERIAL_SESSION)
	if rw {
		f |= ck.CKF_RW_SESSION
	}
	return must(t, h, &p11.OpenSession{Slot: slot, Flags: f}).Session
}

func login(t *testing.T, h *HSM, s ck.SessionHandle) {
	t.Helper()
	must(t, h, &p11.Login{Session: s, User: ck.CKU_USER, PIN: []byte(userPIN)})
}

func TestFreshHSMShowsOneFreeSlot(t *testing.T) {
	h := newTestHost().process(t)
	if got := must(t, h, &p11.GetSlotList{}).Slots; len(got) != 1 || got[0] != 0 {
		t.Fatalf("slots %v", got)
	}
	info := must(t, h, &p11.GetTokenInfo{})
	if info.Flags&ck.CKF_TOKEN_INITIALIZED != 0 {
		t.Error("the free slot's token claims to be initialised")
	}
	must(t, h, &p11.InitToken{Slot: 0, PIN: []byte(soPIN), Label: "first"})
	if got := must(t, h, &p11.GetSlotList{}).Slots; len(got) != 2 {
		t.Fatalf("slots after C_InitToken: %v", got)
	}
	info = must(t, h, &p11.GetTokenInfo{})
	if info.Flags&ck.CKF_TOKEN_INITIALIZED == 0 || info.Label != "first" {
		t.Errorf("token info %+v", info)
	}
}

func TestHSMSORulesPartitions(t *testing.T) {
	host := newTestHost()
	h, other := host.process(t), host.process(t)
	must(t, h, &p11.InitHSM{Label: "hsm", PIN: []byte("hsm so pin")})
	if got := must(t, other, &p11.GetSlotList{}).Slots; len(got) != 0 {
		t.Fatalf("slots of an HSM with an SO and no partition: %v", got)
	}
	want(t, h, ck.CKR_USER_NOT_LOGGED_IN, &p11.InitHSM{PIN: []byte("hsm so pin")})
	s := open(t, h, p11.AdminSlot, true)
	want(t, h, ck.CKR_USER_NOT_LOGGED_IN, &p11.CreatePartition{Session: s, Name: "p1"})
	must(t, h, &p11.Login{Session: s, User: ck.CKU_SO, PIN: []byte("hsm so pin")})
	p := must(t, h, &p11.CreatePartition{Session: s, Name: "p1"})
	want(t, h, ck.CKR_OBJECT_ALREADY_EXISTS, &p11.CreatePartition{Session: s, Name: "p1"})
	if got := must(t, other, &p11.GetSlotList{}).Slots; len(got) != 1 || got[0] != p.Slot {
		t.Fatalf("the other process sees slots %v", got)
	}
	initPartition(t, other, p.Slot)
	os := open(t, other, p.Slot, true)
	login(t, other, os)
	must(t, h, &p11.DeletePartition{Session: s, Slot: p.Slot})
	want(t, other, ck.CKR_SESSION_HANDLE_INVALID, &p11.GetSessionInfo{Session: os})
	if got := must(t, other, &p11.ListPartitions{}).Partitions; len(got) != 0 {
		t.Fatalf("partitions after deletion: %+v", got)
	}
	q := must(t, h, &p11.CreatePartition{Session: s, Name: "p1"})
	if q.Slot == p.Slot || q.Serial == p.Serial {
		t.Error("a deleted partition's slot or serial number was used again")
	}
}

func TestEveryRequestHasItsRows(t *testing.T) {
	for _, row := range p11.Table {
		if handlers[row.Kind] == nil {
			t.Errorf("%v has no handler", row.Kind)
		}
	}
}

func TestWrongRootKey(t *testing.T) {
	host := newTestHost()
	host.process(t)
	_, err := Open(t.Context(), Options{
		Store: host.place.Open(), RootKey: RootKeyBytes(bytes.Repeat([]byte{8}, 32)), Location: "memory",
	})
	if err == nil || !bytes.Contains([]byte(err.Error()), []byte("root key does not fit")) {
		t.Errorf("opened with another root key: %v", err)
	}
}

func TestMissingRootKey(t *testing.T) {
	host := newTestHost()
	host.process(t)
	_, err := Open(t.Context(), Options{
		Store: host.place.Open(), RootKey: RootKeyFile(t.TempDir() + "/root.key"), Location: "memory",
	})
	if err == nil {
		t.Error("a new root key was made beside an old store")
	}
}

func TestSlotEvents(t *testing.T) {
	host := newTestHost()
	h, other := host.process(t), host.process(t)
	want(t, h, ck.CKR_NO_EVENT, &p11.WaitForSlotEvent{})
	must(t, other, &p11.InitToken{Slot: 0, PIN: []byte(soPIN), Label: "x"})
	seen := map[ck.SlotID]bool{}
	for range 2 { // the token of slot 0, and the new free slot
		seen[must(t, h, &p11.WaitForSlotEvent{}).Slot] = true
	}
	if !seen[0] || !seen[1] {
		t.Errorf("events of slots %v", seen)
	}
	want(t, h, ck.CKR_NO_EVENT, &p11.WaitForSlotEvent{})

	// Closing ends a blocked call.
	done := make(chan error)
	go func() {
		_, err := p11.Call(context.Background(), h, &p11.WaitForSlotEvent{Block: true})
		done <- err
	}()
	h.Close()
	if err := <-done; ck.RVOf(err) != ck.CKR_CRYPTOKI_NOT_INITIALIZED {
		t.Errorf("a blocked call ended with %v", err)
	}
}
