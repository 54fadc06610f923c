package hsm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/cryptoki/p11"
	"github.com/perilune/perilune/store"
	"github.com/perilune/perilune/store/sqlite"
)

// destroyers are the acts that destroy, by name.
var destroyers = map[string]func(lab *labHost, h *HSM){
	"hsm init": func(lab *labHost, h *HSM) {
		must(lab.t, h, &p11.InitHSM{Session: lab.login(h, p11.RoleHSMSO), Label: "anew"})
	},
	"hsm zeroize": func(lab *labHost, h *HSM) { must(lab.t, h, &p11.ZeroizeHSM{}) },
	"three wrong PINs of the HSM SO": func(lab *labHost, h *HSM) {
		lab.try(h, p11.RoleHSMSO, wrongPIN, ck.CKR_PIN_INCORRECT)
		lab.try(h, p11.RoleHSMSO, wrongPIN, ck.CKR_PIN_INCORRECT)
		lab.try(h, p11.RoleHSMSO, wrongPIN, ck.CKR_SO_LOGIN_FAILURE_THRESHOLD)
	},
	"hsm factory-reset": func(lab *labHost, h *HSM) { must(lab.t, h, &p11.FactoryReset{}) },
	"ten wrong PINs of the Partition SO": func(lab *labHost, h *HSM) {
		for range 10 {
			lab.try(h, p11.RolePartitionSO, wrongPIN, ck.CKR_PIN_INCORRECT)
		}
	},
	"partition zeroize": func(lab *labHost, h *HSM) {
		must(lab.t, h, &p11.ZeroizePartition{Session: lab.login(h, p11.RolePartitionSO)})
	},
	"partition init": func(lab *labHost, h *HSM) {
		must(lab.t, h, &p11.InitToken{PIN: rightsPIN(p11.RolePartitionSO), Label: "anew"})
	},
	"partition delete": func(lab *labHost, h *HSM) {
		must(lab.t, h, &p11.DeletePartition{Session: lab.login(h, p11.RoleHSMSO)})
	},
}

// TestWhatDestructionTakes: each act destroys what it is to destroy, and nothing
// else.
func TestWhatDestructionTakes(t *testing.T) {
	const kept, gone, emptied = "kept", "gone", "emptied"
	for act, want := range map[string]struct {
		partition, second, so, auditor, policies, profile string
		zeroized, byHand                                  bool
	}{
		"hsm init":                           {partition: gone, second: gone, so: kept, auditor: kept, policies: kept, profile: kept},
		"hsm zeroize":                        {partition: gone, second: gone, so: gone, auditor: kept, policies: kept, profile: kept, zeroized: true, byHand: true},
		"three wrong PINs of the HSM SO":     {partition: gone, second: gone, so: gone, auditor: kept, policies: kept, profile: kept, zeroized: true},
		"hsm factory-reset":                  {partition: gone, second: gone, so: gone, auditor: gone, policies: gone, profile: gone, zeroized: true, byHand: true},
		"ten wrong PINs of the Partition SO": {partition: emptied, second: kept, so: kept, auditor: kept, policies: kept, profile: kept},
		"partition zeroize":                  {partition: emptied, second: kept, so: kept, auditor: kept, policies: kept, profile: kept},
		"partition init":                     {partition: emptied, second: kept, so: kept, auditor: kept, policies: kept, profile: kept},
		"partition delete":                   {partition: gone, second: kept, so: kept, auditor: kept, policies: kept, profile: kept},
	} {
		t.Run(act, func(t *testing.T) {
			lab := newLab(t, profileLuna72)
			h := lab.process()
			changeMeta(t, h, func(m *metaState) { m.hsm.Policies = map[uint64]uint64{policyNetworkReplication: 0} })
			s := lab.login(h, p11.RoleHSMSO)
			must(t, h, &p11.CreatePartition{Session: s, Name: "second"})
			must(t, h, &p11.CloseSession{Session: s})
			must(t, h, &p11.InitToken{Slot: 1, PIN: rightsPIN(p11.RolePartitionSO), Label: "second"})

			destroyers[act](lab, h)
			for _, h := range []*HSM{h, lab.process()} {
				word := func(there bool) string {
					if there {
						return kept
					}
					return gone
				}
				roles, err := h.viewRoles(t.Context(), 0)
				if err != nil {
					t.Fatal(err)
				}
				info := must(t, h, &p11.GetHSMInfo{})
				parts := map[string]string{"p1": gone, "second": gone}
				for _, p := range must(t, h, &p11.ListPartitions{}).Partitions {
					parts[p.Name] = kept
					if !p.Initialized || p.Objects == 0 && p.Name == "p1" {
						parts[p.Name] = emptied
					}
				}
				got := want
				got.partition, got.second = parts["p1"], parts["second"]
				got.so, got.auditor = word(roles[p11.RoleHSMSO] != nil), word(roles[p11.RoleAuditor] != nil)
				got.policies, got.profile = word(!h.policies().on(policyNetworkReplication)), word(info.Profile == profileLuna72)
				got.zeroized, got.byHand = info.Zeroized, info.ZeroizedByHand
				if got != want {
					t.Errorf("got  %+v\nwant %+v", got, want)
				}
				if info.AuditorInitialized != (want.auditor == kept) || info.Initialized != (want.so == kept) {
					t.Errorf("%+v", info)
				}
			}
		})
	}
}

// TestZeroizingEndsLogins: of the HSM SO, in every process.
func TestZeroizingEndsLogins(t *testing.T) {
	lab := newLab(t, profileStandard)
	h, other := lab.process(), lab.process()
	s, a := lab.login(other, p11.RoleHSMSO), lab.login(other, p11.RolePartitionSO)
	must(t, h, &p11.ZeroizeHSM{})
	must(t, h, &p11.InitHSM{Label: "new", PIN: []byte("another hsm so")})
	want(t, other, ck.CKR_SESSION_HANDLE_INVALID, &p11.CreatePartition{Session: s, Name: "x"})
	want(t, other, ck.CKR_SESSION_HANDLE_INVALID, &p11.GetSessionInfo{Session: a})
	if f := must(t, other, &p11.GetTokenInfo{Slot: p11.AdminSlot}).Flags; f&ck.CKF_TOKEN_INITIALIZED == 0 {
		t.Errorf("flags %#x", f)
	}
}

// mortal is a store that dies: the process that has it is killed at the step,
// before it is done.
type mortal struct {
	store.Store
	left *int
}

var errDied = errors.New("the process died")

func (m mortal) step() error {
	if *m.left--; *m.left < 0 {
		return errDied
	}
	return nil
}

func (m mortal) Update(ctx context.Context, fn func(store.Tx) error) error {
	if err := m.step(); err != nil {
		return err
	}
	return m.Store.Update(ctx, fn)
}

// Scrub makes it a Scrubber, though there is nothing to scrub in memory.
func (m mortal) Scrub(context.Context) error { return m.step() }

// TestKilledWhileDestroying kills the process at every step of every act. Before
// the keys are gone everything is there; from then on the next process ends the
// work.
func TestKilledWhileDestroying(t *testing.T) {
	for name, act := range map[string]func(h *HSM) error{
		"HSM":           func(h *HSM) error { return h.zeroizeHSM(context.Background(), true) },
		"factory reset": func(h *HSM) error { return h.destroyAll(context.Background(), resetting, nil) },
		"partition":     func(h *HSM) error { return h.zeroizePartition(context.Background(), spaceOf(1), false) },
		"deletion":      func(h *HSM) error { return h.zeroizePartition(context.Background(), spaceOf(1), true) },
	} {
		t.Run(name, func(t *testing.T) {
			for steps, done := 0, false; !done; steps++ {
				lab := newLab(t, profileStandard)
				h := lab.process()
				before := destroyed(t, h, spaceOf(1))
				left := steps
				h.store = mortal{h.store, &left}
				err := act(h)
				done = err == nil
				if !done && !errors.Is(err, errDied) {
					t.Fatal(err)
				}
				begun := destroyed(t, h, spaceOf(1)) != before
				next := lab.process()
				n := destroyed(t, next, spaceOf(1))
				if begun && n != 0 || !begun && n != before {
					t.Errorf("killed at step %d: %d of %d records are left", steps, n, before)
				}
				l, err := next.uncleaned(t.Context())
				if err != nil || !l.none() {
					t.Errorf("killed at step %d: left over is %+v (%v)", steps, l, err)
				}
				if steps == 0 && begun || done && steps < 4 {
					t.Errorf("the act has %d steps", steps)
				}
			}
		})
	}
}

// fileHSM is an HSM whose store is a database in a directory.
func fileHSM(t *testing.T, dir string) *HSM {
	t.Helper()
	st, err := sqlite.Open(t.Context(), dir, sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	h, err := Open(t.Context(), Options{Store: st, RootKey: rightsRoot, Location: dir, Password: cheap, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// sealedNow are the sealed bytes of all records.
func sealedNow(t *testing.T, h *HSM) map[string]bool {
	t.Helper()
	list := map[string]bool{}
	err := h.store.View(t.Context(), func(tx store.Tx) error {
		for space := range store.Space(4) {
			for kind := range store.Kind(20) {
				recs, err := tx.List(space, kind, 0, 0)
				if err != nil {
					return err
				}
				for _, r := range recs {
					list[string(r.Sealed)] = true
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// pieces are parts of a record that would be found even if the record was cut
// in two.
func pieces(sealed string) (list []string) {
	const n = 24
	for i := 0; i+n <= len(sealed); i += 64 {
		list = append(list, sealed[i:i+n])
	}
	return list
}

// found counts the records of which a piece is in any file of a directory.
func found(t *testing.T, dir string, records map[string]bool) (n int) {
	t.Helper()
	var all []byte
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		all = append(append(all, b...), 0)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for r := range records {
		for _, p := range pieces(r) {
			if bytes.Contains(all, []byte(p)) {
				n++
				break
			}
		}
	}
	return n
}

// TestNothingIsLeftInTheFiles: what was in the records before is in no file
// afterwards, neither in the database, nor in its log, nor in pages that are
// free; while the HSM is open and after it was closed.
func TestNothingIsLeftInTheFiles(t *testing.T) {
	for name, act := range map[string]func(t *testing.T, h *HSM){
		"zeroize": func(t *testing.T, h *HSM) { must(t, h, &p11.ZeroizeHSM{}) },
		"reset":   func(t *testing.T, h *HSM) { must(t, h, &p11.FactoryReset{}) },
		"partition": func(t *testing.T, h *HSM) {
			s := open(t, h, 0, true)
			must(t, h, &p11.Login{Session: s, User: ck.CKU_SO, PIN: rightsPIN(p11.RolePartitionSO)})
			must(t, h, &p11.ZeroizePartition{Session: s})
		},
		"lock": func(t *testing.T, h *HSM) { // the wraps of the partition key
			for range 10 {
				s := open(t, h, 0, true)
				want(t, h, ck.CKR_PIN_INCORRECT, &p11.Login{Session: s, User: ck.CKU_USER, PIN: []byte(wrongPIN)})
				must(t, h, &p11.CloseSession{Session: s})
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "home")
			h := fileHSM(t, dir)
			b := &rightsBench{t: t}
			b.makeHSM(h, profileLuna72)
			b.makeRoles(h, profileLuna72)
			s := open(t, h, 0, true)
			must(t, h, &p11.Login{Session: s, User: ck.CKU_USER, PIN: rightsPIN(p11.RoleCryptoOfficer)})
			seen := sealedNow(t, h)
			for i := range 60 {
				o := b.aes(h, s)
				data := tmpl(ck.CKA_CLASS, ck.CKO_DATA, ck.CKA_TOKEN, true, ck.CKA_PRIVATE, i%2 == 0, ck.CKA_VALUE, bytes.Repeat([]byte{byte(i)}, 100*i))
				must(t, h, &p11.CreateObject{Session: s, Template: data})
				must(t, h, &p11.SetAttributeValue{Session: s, Object: o, Template: tmpl(ck.CKA_LABEL, fmt.Sprint("key ", i))})
				if i%7 == 0 {
					for r := range sealedNow(t, h) {
						seen[r] = true
					}
					must(t, h, &p11.DestroyObject{Session: s, Object: o})
				}
			}
			must(t, h, &p11.CloseSession{Session: s})
			for r := range sealedNow(t, h) {
				seen[r] = true
			}
			if n := found(t, dir, seen); n < 100 {
				t.Fatalf("before: only %d records are found in the files, so this test would find nothing", n)
			}

			act(t, h)
			live := sealedNow(t, h)
			for r := range live {
				delete(seen, r)
			}
			if name == "lock" && len(live) < 100 {
				t.Errorf("the objects are gone, too")
			}
			if n := found(t, dir, seen); n != 0 {
				t.Errorf("%d records are left in the files", n)
			}
			if err := h.Close(); err != nil {
				t.Fatal(err)
			}
			if n := found(t, dir, seen); n != 0 {
				t.Errorf("%d records are left in the files after closing", n)
			}
		})
	}
}

// TestKilledWhileTakingKeys kills the process at every step of what takes wraps
// of the partition key away: the lock of the Crypto Officer for ever, and the
// making of a Crypto Officer that takes the key from the SO.
func TestKilledWhileTakingKeys(t *testing.T) {
	kill := func(lab *labHost, h *HSM, steps int, req p11.Typed[p11.None]) (done bool, next *HSM) {
		left := steps
		h.store = mortal{h.store, &left}
		_, err := p11.Call(t.Context(), h, req)
		next = lab.process()
		if l, err := next.uncleaned(t.Context()); err != nil || !l.none() {
			t.Errorf("killed at step %d: left over is %+v (%v)", steps, l, err)
		}
		return !errors.Is(err, errDied), next
	}
	for steps, done := 0, false; !done; steps++ {
		lab := newLab(t, profileLuna72)
		h := lab.process()
		for range 9 {
			lab.try(h, p11.RoleCryptoOfficer, wrongPIN, ck.CKR_PIN_INCORRECT)
		}
		s := open(t, h, 0, true)
		var next *HSM
		done, next = kill(lab, h, steps, &p11.Login{Session: s, User: ck.CKU_USER, PIN: []byte(wrongPIN)})
		if lab.info(next, p11.RoleCryptoOfficer).Locked {
			wantHolders(t, next)
		} else {
			wantHolders(t, next, p11.RoleCryptoOfficer, p11.RoleCryptoUser)
		}
		if locked := lab.info(next, p11.RoleCryptoOfficer).Locked; locked != (steps > 0) {
			t.Errorf("killed at step %d of the last try: locked is %v", steps, locked)
		}
	}
	for steps, done := 0, false; !done; steps++ {
		lab := newLab(t, profileLuna72)
		h := lab.process()
		must(t, h, &p11.InitToken{PIN: rightsPIN(p11.RolePartitionSO), Label: "again"})
		s := lab.login(h, p11.RolePartitionSO)
		var next *HSM
		done, next = kill(lab, h, steps, &p11.InitRole{Session: s, Role: p11.RoleCryptoOfficer, PIN: rightsPIN(p11.RoleCryptoOfficer)})
		if steps == 0 {
			wantHolders(t, next, p11.RolePartitionSO)
		} else {
			wantHolders(t, next, p11.RoleCryptoOfficer)
		}
	}
}
