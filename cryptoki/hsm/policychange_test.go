package hsm

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/cryptoki/p11"
	"github.com/perilune/perilune/store"
)

// governed is an HSM with an SO, and partitions with all roles.
type governed struct {
	t    *testing.T
	host *testHost
	h    *HSM
}

func newGoverned(t *testing.T, profile string, partitions int) *governed {
	t.Helper()
	host := newTestHost()
	g := &governed{t, host, host.process(t)}
	must(t, g.h, &p11.InitHSM{Label: "governed", PIN: []byte("hsm so pin"), Profile: profile})
	s := g.so(p11.AdminSlot)
	for i := range partitions {
		p := must(t, g.h, &p11.CreatePartition{Session: s, Name: fmt.Sprintf("p%d", i)})
		g.initPartition(p.Slot)
	}
	must(t, g.h, &p11.CloseSession{Session: s})
	return g
}

// initPartition makes the roles, and lets the Crypto Officer choose its PIN,
// which a profile may want.
func (g *governed) initPartition(slot ck.SlotID) {
	g.t.Helper()
	initPartition(g.t, g.h, slot)
	s := open(g.t, g.h, slot, true)
	login(g.t, g.h, s)
	must(g.t, g.h, &p11.SetPIN{Session: s, Old: []byte(userPIN), New: []byte(userPIN)})
	must(g.t, g.h, &p11.CloseSession{Session: s})
}

// so is a session of the SO of a slot.
func (g *governed) so(slot ck.SlotID) ck.SessionHandle {
	g.t.Helper()
	s := open(g.t, g.h, slot, true)
	pin := soPIN
	if slot == p11.AdminSlot {
		pin = "hsm so pin"
	}
	must(g.t, g.h, &p11.Login{Session: s, User: ck.CKU_SO, PIN: []byte(pin)})
	return s
}

// set changes policies of a partition, or of the HSM on p11.AdminSlot.
func (g *governed) set(slot ck.SlotID, destroy bool, list ...p11.PolicySetting) error {
	g.t.Helper()
	s := g.so(slot)
	defer g.h.Do(context.Background(), &p11.CloseSession{Session: s}, new(p11.None)) // gone with the objects, perhaps
	var err error
	if slot == p11.AdminSlot {
		_, err = p11.Call(g.t.Context(), g.h, &p11.SetHSMPolicy{Session: s, Policies: list, Destroy: destroy})
	} else {
		_, err = p11.Call(g.t.Context(), g.h, &p11.SetPartitionPolicy{Session: s, Policies: list, Destroy: destroy})
	}
	return err
}

func (g *governed) refused(slot ck.SlotID, rv ck.RV, list ...p11.PolicySetting) {
	g.t.Helper()
	if err := g.set(slot, false, list...); ck.RVOf(err) != rv {
		g.t.Errorf("%+v: %v, want %v", list, err, rv)
	}
}

// values are the policies in force by number.
func (g *governed) values(h *HSM, slot ck.SlotID) map[uint64]uint64 {
	g.t.Helper()
	var list p11.PolicyList
	if slot == p11.AdminSlot {
		list = must(g.t, h, &p11.ListHSMPolicies{})
	} else {
		list = must(g.t, h, &p11.ListPartitionPolicies{Slot: slot})
	}
	v := map[uint64]uint64{}
	for _, p := range list.Policies {
		v[p.ID] = p.Value
	}
	return v
}

// object makes a token object as the Crypto Officer; its label is name.
func (g *governed) object(slot ck.SlotID, name string, private bool) {
	g.t.Helper()
	s := open(g.t, g.h, slot, true)
	login(g.t, g.h, s)
	must(g.t, g.h, &p11.CreateObject{Session: s, Template: []ck.Attribute{
		ck.NewULong(ck.CKA_CLASS, ck.CKO_DATA), ck.NewBytes(ck.CKA_LABEL, []byte(name)),
		ck.NewBool(ck.CKA_TOKEN, true), ck.NewBool(ck.CKA_PRIVATE, private),
	}})
	must(g.t, g.h, &p11.CloseSession{Session: s})
}

// objects counts what the Crypto Officer finds in a process.
func (g *governed) objects(h *HSM, slot ck.SlotID) int {
	g.t.Helper()
	s := open(g.t, h, slot, true)
	login(g.t, h, s)
	must(g.t, h, &p11.FindObjectsInit{Session: s})
	n := len(must(g.t, h, &p11.FindObjects{Session: s, Max: 100}).Objects)
	must(g.t, h, &p11.CloseSession{Session: s})
	return n
}

func set(id, value uint64) p11.PolicySetting { return p11.PolicySetting{ID: id, Value: value} }

// The codes of refused changes; and that a list is set whole or not at all.
func TestPolicyRefusals(t *testing.T) {
	g := newGoverned(t, profileLuna72, 2)
	slot := must(t, g.h, &p11.GetSlotList{}).Slots[0]
	const admin = p11.AdminSlot
	before, beforeHSM := g.values(g.h, slot), g.values(g.h, admin)

	g.refused(admin, ck.CKR_POLICY_ID_INVALID, set(999, 1))
	g.refused(admin, ck.CKR_CONFIG_CHANGE_ILLEGAL, set(0, 0))
	g.refused(admin, ck.CKR_CONFIG_CHANGE_ILLEGAL, set(39, 1))
	g.refused(admin, ck.CKR_CONFIG_ILLEGAL, set(policyNonFIPS, 2))
	g.refused(admin, ck.CKR_CONFIG_ILLEGAL, set(policyMaxPartitions, 0))
	g.refused(admin, ck.CKR_CONFIG_FAILS_DEPENDENCIES, set(policyMaxPartitions, 1)) // there are two
	g.refused(admin, ck.CKR_CONFIG_FAILS_DEPENDENCIES, set(policyKorean, 0), set(policyKorean, 0))
	g.refused(admin, ck.CKR_DATA_INVALID, set(policyNonFIPS, 0)) // nobody agreed
	g.refused(admin, ck.CKR_CONFIG_ILLEGAL, set(policyKorean, 0), set(policyMaxPartitions, 101))
	g.refused(admin, ck.CKR_CONFIG_CHANGE_ILLEGAL, p11.PolicySetting{ID: policyKorean, OnOff: true})

	g.refused(slot, ck.CKR_POLICY_ID_INVALID, set(999, 1))
	g.refused(slot, ck.CKR_CONFIG_CHANGE_ILLEGAL, set(22, 1))
	g.refused(slot, ck.CKR_CONFIG_CHANGE_ILLEGAL, set(policyMinPIN, 249)) // a shorter PIN
	g.refused(slot, ck.CKR_CONFIG_ILLEGAL, set(policyMinPIN, 252))
	g.refused(slot, ck.CKR_CONFIG_ILLEGAL, set(policyMaxFailedLogins, 11))
	g.refused(slot, ck.CKR_CONFIG_FAILS_DEPENDENCIES, set(policyMaxPIN, 7)) // the least is 7
	g.refused(slot, ck.CKR_CONFIG_FAILS_DEPENDENCIES, set(policyPrivateWrap, 1))
	g.refused(slot, ck.CKR_CONFIG_FAILS_DEPENDENCIES, set(policyKeyManagement, 0), set(policyPrivateWrap, 1))
	g.refused(slot, ck.CKR_CONFIG_CHANGE_ILLEGAL, p11.PolicySetting{ID: policyNonLocalSigning, Value: 1, OnOff: true})
	if now := g.values(g.h, slot); !maps.Equal(now, before) {
		t.Errorf("refused changes left %v of %v", now, before)
	}
	if now := g.values(g.h, admin); !maps.Equal(now, beforeHSM) {
		t.Errorf("refused changes left %v of %v", now, beforeHSM)
	}

	// A refusal says which policy it is about.
	s := g.so(slot)
	want(t, g.h, ck.CKR_CONFIG_FAILS_DEPENDENCIES, &p11.SetPartitionPolicy{Session: s, Policies: []p11.PolicySetting{set(policyPrivateWrap, 1)}})
	if e := explain(t, g.h, s); e.Rule != "policy-dependency" || e.Policy != "partition policy 1 (Allow private key wrapping)" || e.Remedy == "" {
		t.Errorf("%+v", e)
	}
	must(t, g.h, &p11.CloseSession{Session: s})

	// Only the roles that rule may ask.
	s = open(t, g.h, slot, true)
	want(t, g.h, ck.CKR_USER_NOT_LOGGED_IN, &p11.SetPartitionPolicy{Session: s, Policies: []p11.PolicySetting{set(policyKeyManagement, 0)}})
	login(t, g.h, s)
	want(t, g.h, ck.CKR_USER_NOT_AUTHORIZED, &p11.SetPartitionPolicy{Session: s, Policies: []p11.PolicySetting{set(policyKeyManagement, 0)}})
	want(t, g.h, ck.CKR_USER_NOT_AUTHORIZED, &p11.SetHSMPolicy{Session: s, Policies: []p11.PolicySetting{set(policyKorean, 0)}})
	must(t, g.h, &p11.CloseSession{Session: s})

	// One exchange: wrapping for cloning, the least and the greatest length.
	if err := g.set(slot, true, set(policyPrivateClone, 0), set(policyPrivateWrap, 1)); err != nil {
		t.Error(err)
	}
	if err := g.set(slot, false, set(policyMinPIN, 247), set(policyMaxPIN, 9)); err != nil {
		t.Error(err)
	}
	g.refused(slot, ck.CKR_CONFIG_CHANGE_ILLEGAL, set(policyMinPIN, 248))
}

// What needs a policy of the HSM is off without it, and comes back with it.
func TestPolicyNeedsHSM(t *testing.T) {
	g := newGoverned(t, "", 1)
	slot := must(t, g.h, &p11.GetSlotList{}).Slots[0]
	other := g.host.process(t)
	if err := g.set(p11.AdminSlot, false, set(policyCloning, 0)); err != nil {
		t.Fatal(err)
	}
	for _, h := range []*HSM{g.h, other, g.host.process(t)} {
		if v := g.values(h, slot); v[policyPrivateClone] != 0 || v[policySecretClone] != 0 {
			t.Errorf("cloning goes on without HSM policy 7: %v", v)
		}
	}
	g.refused(slot, ck.CKR_CONFIG_FAILS_DEPENDENCIES, set(policySecretClone, 1))
	if err := g.set(slot, false, set(policyKeyManagement, 0)); err != nil {
		t.Errorf("another policy: %v", err)
	}
	// Policy 12 empties the HSM; a partition made afterwards is in FIPS mode,
	// whatever its own policy says.
	if err := g.set(p11.AdminSlot, true, set(policyNonFIPS, 0)); err != nil {
		t.Fatal(err)
	}
	if list := must(t, other, &p11.ListPartitions{}).Partitions; len(list) != 0 {
		t.Fatalf("partitions after a destructive change: %+v", list)
	}
	p := must(t, g.h, &p11.CreatePartition{Session: g.so(p11.AdminSlot), Name: "fips"})
	g.initPartition(p.Slot)
	if v := g.values(g.h, p.Slot); v[policyPartitionNonFIPS] != 0 {
		t.Error("a partition of an HSM in FIPS mode is not in it")
	}
	g.refused(p.Slot, ck.CKR_CONFIG_FAILS_DEPENDENCIES, set(policyPartitionNonFIPS, 1))
	if info := must(t, g.h, &p11.GetHSMInfo{}); !info.FIPSMode || !info.Initialized {
		t.Errorf("%+v", info)
	}
}

// A destructive change of a partition takes the objects, in every process, and
// nothing else: roles, PINs, label and name stay. What was in the records opens
// with no key that anybody can make afterwards.
func TestDestructivePartitionPolicy(t *testing.T) {
	g := newGoverned(t, "", 2)
	slots := must(t, g.h, &p11.GetSlotList{}).Slots
	slot, neighbour := slots[0], slots[1]
	for _, name := range []string{"a", "b"} {
		g.object(slot, name, true)
		g.object(slot, name, false)
	}
	g.object(neighbour, "stays", true)
	other := g.host.process(t)
	theirs := open(t, other, slot, true)
	login(t, other, theirs)
	must(t, other, &p11.FindObjectsInit{Session: theirs})
	seen := must(t, other, &p11.FindObjects{Session: theirs, Max: 10}).Objects
	if len(seen) != 4 {
		t.Fatalf("%d objects", len(seen))
	}
	old := g.records(slot)
	info := must(t, g.h, &p11.GetTokenInfo{Slot: slot})

	if err := g.set(slot, false, set(policyDates, 1)); err != nil { // off to on does not destroy
		t.Fatal(err)
	}
	if n := g.objects(g.h, slot); n != 4 {
		t.Fatalf("%d objects after a change that destroys nothing", n)
	}
	g.refused(slot, ck.CKR_DATA_INVALID, set(policyDates, 0))
	if err := g.set(slot, true, set(policyDates, 0)); err != nil {
		t.Fatal(err)
	}

	want(t, other, ck.CKR_SESSION_HANDLE_INVALID, &p11.GetObjectSize{Session: theirs, Object: seen[0]})
	for _, h := range []*HSM{g.h, other, g.host.process(t)} {
		if n := g.objects(h, slot); n != 0 {
			t.Errorf("%d objects are left", n)
		}
	}
	now := must(t, g.h, &p11.GetTokenInfo{Slot: slot})
	if now.Label != info.Label || now.Flags != info.Flags || now.SerialNumber != info.SerialNumber {
		t.Errorf("the token became %+v", now)
	}
	if n := g.objects(g.h, neighbour); n != 1 {
		t.Errorf("the neighbour has %d objects", n)
	}
	g.unreadable(slot, old)
	g.object(slot, "after", true)
	if n := g.objects(other, slot); n != 1 {
		t.Errorf("%d objects of the one made afterwards", n)
	}
}

// records are the records of a partition's objects.
func (g *governed) records(slot ck.SlotID) (list []store.Record) {
	g.t.Helper()
	err := g.h.store.View(g.t.Context(), func(tx store.Tx) error {
		for _, kind := range []store.Kind{kindPublicObject, kindPrivateObject} {
			recs, err := tx.List(spaceOf(uint64(slot)+1), kind, 0, 0)
			if err != nil {
				return err
			}
			list = append(list, recs...)
		}
		return nil
	})
	if err != nil {
		g.t.Fatal(err)
	}
	return list
}

// unreadable tries the keys that the Crypto Officer has now on records.
func (g *governed) unreadable(slot ck.SlotID, old []store.Record) {
	g.t.Helper()
	if len(old) == 0 {
		g.t.Error("no records to try")
	}
	s := open(g.t, g.h, slot, true)
	login(g.t, g.h, s)
	defer must(g.t, g.h, &p11.CloseSession{Session: s})
	p := g.h.sessions.get(s).part
	bare, err := newSpaceKeys(p.who().secret)
	if err != nil {
		g.t.Fatal(err)
	}
	for i := range old {
		for _, keys := range []*spaceKeys{p.public, p.who().keys, bare} {
			if _, err := keys.open(&old[i]); err == nil {
				g.t.Errorf("record %d still opens", old[i].Ref)
			}
		}
	}
}

// dying is a store that breaks off after some commits, as if the process were
// killed: what it committed is there, and nothing more comes.
type dying struct {
	store.Store
	left *int
}

var errKilled = errors.New("killed")

func (d dying) Update(ctx context.Context, fn func(store.Tx) error) error {
	if *d.left == 0 {
		return errKilled
	}
	*d.left--
	return d.Store.Update(ctx, fn)
}

// A process that dies in the middle of a destructive change leaves the
// partition, or the HSM, as it was or emptied under the new policy; the next
// one that opens the HSM takes away what is left of the objects.
func TestPolicyChangeKilled(t *testing.T) {
	for _, c := range []struct {
		name   string
		slot   ck.SlotID
		policy uint64
	}{{"partition", 0, policyDates}, {"HSM", p11.AdminSlot, policyNonFIPS}} {
		for commits := range 8 {
			t.Run(fmt.Sprintf("%s, after %d commits", c.name, commits), func(t *testing.T) { killedAfter(t, c.slot, c.policy, commits) })
		}
	}
}

func killedAfter(t *testing.T, slot ck.SlotID, id uint64, commits int) {
	g := newGoverned(t, "", 2)
	if slot == 0 {
		if err := g.set(slot, false, set(id, 1)); err != nil {
			t.Fatal(err)
		}
	}
	for range 3 {
		g.object(0, "x", true)
		g.object(0, "x", false)
	}
	s := g.so(slot)
	whole := g.h.store
	g.h.store = dying{whole, &commits}
	var err error
	if slot == p11.AdminSlot {
		_, err = p11.Call(t.Context(), g.h, &p11.SetHSMPolicy{Session: s, Policies: []p11.PolicySetting{set(id, 0)}, Destroy: true})
	} else {
		_, err = p11.Call(t.Context(), g.h, &p11.SetPartitionPolicy{Session: s, Policies: []p11.PolicySetting{set(id, 0)}, Destroy: true})
	}
	done := err == nil
	g.h.store = whole

	next := g.host.process(t)
	changed := g.values(next, slot)[id] == 0
	if done && !changed {
		t.Fatal("acknowledged, and not so")
	}
	parts := must(t, next, &p11.ListPartitions{}).Partitions
	left := len(g.records(0))
	switch {
	case !changed && (len(parts) != 2 || g.objects(next, 0) != 6):
		t.Errorf("the policy is as it was, and %d partitions, %d records are left", len(parts), left)
	case changed && left != 0:
		t.Errorf("the policy changed, and %d records are left", left)
	case changed && slot == p11.AdminSlot && len(parts) != 0:
		t.Errorf("the policy of the HSM changed, and %d partitions are left", len(parts))
	case changed && slot == 0 && g.objects(next, 0) != 0:
		t.Error("objects of before are found")
	}
}

// An object that is made while another process still deletes those of before
// stays.
func TestWipeSparesWhatIsNew(t *testing.T) {
	g := newGoverned(t, "", 1)
	if err := g.set(0, false, set(policyDates, 1)); err != nil {
		t.Fatal(err)
	}
	g.object(0, "old", true)
	g.object(0, "old", false)
	one := 1
	s := g.so(0)
	whole := g.h.store
	g.h.store = dying{whole, &one}
	if _, err := p11.Call(t.Context(), g.h, &p11.SetPartitionPolicy{Session: s, Policies: []p11.PolicySetting{set(policyDates, 0)}, Destroy: true}); err == nil {
		t.Fatal("it was not killed")
	}
	g.h.store = whole
	must(t, g.h, &p11.GetSlotList{}) // notices
	if n := len(g.records(0)); n != 2 {
		t.Fatalf("%d records are left", n)
	}
	if n := g.objects(g.h, 0); n != 0 {
		t.Errorf("%d objects of before are found while they are deleted", n)
	}
	g.object(0, "new", true)
	g.object(0, "new", false)
	next := g.host.process(t) // deletes what is left
	if n := g.objects(next, 0); n != 2 || len(g.records(0)) != 2 {
		t.Errorf("%d objects, %d records", n, len(g.records(0)))
	}
}

// Policies at initialisations: what is wrong with them is found before anything
// is destroyed; what they make destructive is.
func TestFirstPolicies(t *testing.T) {
	g := newGoverned(t, "", 1)
	g.object(0, "precious", true)
	initToken := func(list ...p11.PolicySetting) error {
		_, err := p11.Call(t.Context(), g.h, &p11.InitToken{PIN: []byte(soPIN), Label: "again", Policies: list})
		return err
	}
	for rv, list := range map[ck.RV][]p11.PolicySetting{
		ck.CKR_POLICY_ID_INVALID:         {set(policyDates, 1), set(999, 1)},
		ck.CKR_CONFIG_ILLEGAL:            {set(policyMaxFailedLogins, 0)},
		ck.CKR_CONFIG_CHANGE_ILLEGAL:     {{ID: policyMaxFailedLogins, Value: 3, OffOn: true}},
		ck.CKR_CONFIG_FAILS_DEPENDENCIES: {set(policyMinPIN, 200), set(policyMaxPIN, 40)},
		ck.CKR_PIN_LEN_RANGE:             {set(policyMinPIN, 230)},
	} {
		if err := initToken(list...); ck.RVOf(err) != rv {
			t.Errorf("%+v: %v, want %v", list, err, rv)
		}
	}
	if n := g.objects(g.h, 0); n != 1 || must(t, g.h, &p11.GetTokenInfo{}).Label != "test" {
		t.Fatal("a refused initialisation changed the token")
	}
	if err := initToken(set(policyRawRSA, 0), p11.PolicySetting{ID: policyNonLocalSigning, Value: 1, OffOn: true, OnOff: true}); err != nil {
		t.Fatal(err)
	}
	g.refused(0, ck.CKR_DATA_INVALID, set(policyNonLocalSigning, 0))
	if err := g.set(0, true, set(policyNonLocalSigning, 0)); err != nil {
		t.Fatal(err)
	}
	g.refused(0, ck.CKR_DATA_INVALID, set(policyNonLocalSigning, 1))
	if v := g.values(g.h, 0); v[policyRawRSA] != 0 {
		t.Error("the first policies are gone")
	}
	// Without any, an initialisation leaves them as they are; with an empty
	// list, they are the profile's again.
	if _, err := p11.Call(t.Context(), g.h, &p11.InitToken{PIN: []byte(soPIN), Label: "same"}); err != nil {
		t.Fatal(err)
	}
	if v := g.values(g.h, 0); v[policyRawRSA] != 0 {
		t.Error("an initialisation without policies set them back")
	}
	if err := initToken([]p11.PolicySetting{}...); err != nil {
		t.Fatal(err)
	}
}

// An HSM with partitions but without an SO loses them to policies that destroy,
// and only if that was agreed to.
func TestFirstHSMPolicies(t *testing.T) {
	host := newTestHost()
	h := host.process(t)
	initPartition(t, h, 0)
	q := &p11.InitHSM{Label: "late", PIN: []byte("hsm so pin"), Policies: []p11.PolicySetting{set(policyNonFIPS, 0)}}
	want(t, h, ck.CKR_DATA_INVALID, q)
	v := must(t, h, &p11.CheckHSMPolicies{New: true, Policies: q.Policies})
	if !v.Destroys || len(v.Verdicts) != 1 || v.Verdicts[0].RV != ck.CKR_OK {
		t.Errorf("%+v", v)
	}
	if len(must(t, h, &p11.ListPartitions{}).Partitions) != 1 {
		t.Fatal("the partition is gone")
	}
	q.Destroy = true
	must(t, h, q)
	if len(must(t, h, &p11.ListPartitions{}).Partitions) != 0 || !must(t, h, &p11.GetHSMInfo{}).FIPSMode {
		t.Error("the partition is there, or FIPS mode is not")
	}
	want(t, h, ck.CKR_ARGUMENTS_BAD, &p11.CheckHSMPolicies{New: true, Profile: "none"})
}

// The policies of an HSM and of a partition, changed at random, are those of a
// model that knows no more than the texts of docs/policies.md.
func TestPolicyModel(t *testing.T) {
	for _, name := range []string{profileStandard, profileLuna72} {
		t.Run(name, func(t *testing.T) {
			g := newGoverned(t, name, 1)
			m := newPolicyModel(g, name)
			rng := rand.New(rand.NewPCG(20261122, 4))
			for step := range 400 {
				m.step(rng, step)
				if t.Failed() {
					return
				}
			}
			if m.changed < 100 || m.refused < 50 || m.destroyed < 20 {
				t.Errorf("%d changes, %d refusals, %d destructions", m.changed, m.refused, m.destroyed)
			}
		})
	}
}

// policyModel keeps what was set, and objects, in the plainest way.
type policyModel struct {
	g       *governed
	luna    bool
	hsm     map[uint64]uint64
	part    map[uint64]uint64 // as set; HSM policies not looked at
	slot    ck.SlotID
	objects int

	changed, refused, destroyed int
}

func newPolicyModel(g *governed, name string) *policyModel {
	slot := must(g.t, g.h, &p11.GetSlotList{}).Slots[0]
	return &policyModel{g: g, luna: name == profileLuna72, hsm: g.values(g.h, p11.AdminSlot), part: g.values(g.h, slot), slot: slot}
}

// step makes an object, or tries a change of one to three policies.
func (m *policyModel) step(rng *rand.Rand, step int) {
	if step%5 == 0 {
		private := rng.IntN(2) == 0 && m.part[28] == 1 // else the officer makes public objects only
		m.g.object(m.slot, "x", private)
		m.objects++
	}
	slot, table, now := m.slot, partitionPolicies, m.part
	if rng.IntN(8) == 0 {
		slot, table, now = p11.AdminSlot, hsmPolicies, m.hsm
	}
	var list []p11.PolicySetting
	for range 1 + rng.IntN(3) {
		p := table[rng.IntN(len(table))]
		s := set(p.id, uint64(rng.IntN(2)))
		switch {
		case p.id == policyMinPIN && slot == m.slot:
			s.Value = now[p.id] + 1 - uint64(rng.IntN(3))
		case p.number && p.text != "":
			s.Value = p.cap - uint64(rng.IntN(3))
		case rng.IntN(20) == 0:
			s.ID = 60
		}
		list = append(list, s)
	}
	agreed := rng.IntN(3) > 0
	err := m.g.set(slot, agreed, list...)
	ok, destroys := m.judge(slot, list)
	switch {
	case ok && (!destroys || agreed):
		if err != nil {
			m.g.t.Fatalf("step %d, %+v: %v", step, list, err)
		}
		m.change(slot, list, destroys)
	case err == nil:
		m.g.t.Fatalf("step %d, %+v was accepted (can be: %v, destroys: %v, agreed: %v)", step, list, ok, destroys, agreed)
	case ok && ck.RVOf(err) != ck.CKR_DATA_INVALID:
		m.g.t.Fatalf("step %d, %+v: %v", step, list, err)
	default:
		m.refused++
	}
	m.compare(step)
}

// judge says whether a change can be, and whether it destroys.
func (m *policyModel) judge(slot ck.SlotID, list []p11.PolicySetting) (ok, destroys bool) {
	table, now := partitionPolicies, m.effective()
	if slot == p11.AdminSlot {
		table, now = hsmPolicies, m.hsm
	}
	after := maps.Clone(now)
	seen := map[uint64]bool{}
	for _, s := range list {
		i := slices.IndexFunc(table, func(p policy) bool { return p.id == s.ID })
		if i < 0 || seen[s.ID] {
			return false, false
		}
		p := table[i]
		seen[s.ID] = true
		if p.text == "" || p.fixed {
			if s.Value != now[s.ID] {
				return false, false
			}
			continue
		}
		if s.Value > p.cap || s.Value < p.min {
			return false, false
		}
		if slot == m.slot {
			switch {
			case s.ID == 25 && s.Value > now[25], // a shorter PIN
				(s.ID == 0 || s.ID == 4) && s.Value == 1 && m.hsm[7] == 0,
				s.ID == 43 && s.Value == 1 && m.hsm[12] == 0:
				return false, false
			}
		}
		after[s.ID] = s.Value
		destroys = destroys || !p.number && (now[s.ID] == 0 && s.Value == 1 && p.offOn || now[s.ID] == 1 && s.Value == 0 && p.onOff)
	}
	if slot == m.slot && (255-after[25] >= after[26] || m.luna && after[0] == 1 && after[1] == 1) {
		return false, false
	}
	return true, destroys
}

// effective are the partition's policies as the HSM's let them be.
func (m *policyModel) effective() map[uint64]uint64 {
	v := maps.Clone(m.part)
	if m.hsm[7] == 0 {
		v[0], v[4] = 0, 0
	}
	if m.hsm[12] == 0 {
		v[43] = 0
	}
	return v
}

func (m *policyModel) change(slot ck.SlotID, list []p11.PolicySetting, destroys bool) {
	m.changed++
	of := m.part
	if slot == p11.AdminSlot {
		of = m.hsm
	}
	for _, s := range list {
		of[s.ID] = s.Value
	}
	if !destroys {
		return
	}
	m.destroyed++
	m.objects = 0
	if slot == p11.AdminSlot { // a partition to go on with
		s := m.g.so(p11.AdminSlot)
		p := must(m.g.t, m.g.h, &p11.CreatePartition{Session: s, Name: fmt.Sprintf("next%d", m.destroyed)})
		must(m.g.t, m.g.h, &p11.CloseSession{Session: s})
		m.g.initPartition(p.Slot)
		m.slot, m.part = p.Slot, settingsMap(m.luna)
	}
}

// settingsMap are the policies of a new partition.
func settingsMap(luna bool) map[uint64]uint64 {
	v := map[uint64]uint64{}
	for _, p := range partitionPolicies {
		v[p.id] = p.def
	}
	if !luna {
		v[policyMinPIN], v[policyPrivateWrap] = 251, 1
	}
	return v
}

// compare asks another process, too.
func (m *policyModel) compare(step int) {
	m.g.t.Helper()
	h := m.g.h
	if step%50 == 0 {
		h = m.g.host.process(m.g.t)
	}
	if got, want := m.g.values(h, m.slot), m.effective(); !maps.Equal(got, want) {
		m.g.t.Fatalf("step %d: the partition has %v, the model %v", step, got, want)
	}
	if got := m.g.values(h, p11.AdminSlot); got[7] != m.hsm[7] || got[12] != m.hsm[12] || got[33] != m.hsm[33] || got[17] != m.hsm[17] {
		m.g.t.Fatalf("step %d: the HSM has %v, the model %v", step, got, m.hsm)
	}
	if n := m.g.objects(h, m.slot); n != m.objects {
		m.g.t.Fatalf("step %d: %d objects, the model has %d", step, n, m.objects)
	}
}

// Programs at work while another process changes policies: what they use ends,
// and nothing hangs or comes back.
func TestPolicyChangesUnderLoad(t *testing.T) {
	g := newGoverned(t, "", 1)
	worker := g.host.process(t)
	stop := make(chan struct{})
	var done sync.WaitGroup
	for range 4 {
		done.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					workOnce(worker)
				}
			}
		})
	}
	const changes = 15
	for i := range changes {
		// On to off destroys, off to on does not.
		if err := g.set(0, true, set(policyDates, uint64(i+1)%2)); err != nil {
			t.Error(err)
		}
	}
	close(stop)
	done.Wait()
	if err := g.set(0, false, set(policyDates, 0)); changes%2 == 1 && ck.RVOf(err) != ck.CKR_DATA_INVALID {
		t.Errorf("the policy is not as it was set last: %v", err)
	}
	fresh := g.host.process(t)
	if n, m := g.objects(fresh, 0), len(g.records(0)); n != m {
		t.Errorf("%d objects are found, and there are %d records", n, m)
	}
}

// workOnce makes an object and uses it, whatever becomes of that.
func workOnce(h *HSM) {
	ctx := context.Background()
	s, err := p11.Call(ctx, h, &p11.OpenSession{Flags: ck.CKF_SERIAL_SESSION | ck.CKF_RW_SESSION})
	if err != nil {
		return
	}
	defer h.Do(ctx, &p11.CloseSession{Session: s.Session}, new(p11.None))
	_, _ = p11.Call(ctx, h, &p11.Login{Session: s.Session, User: ck.CKU_USER, PIN: []byte(userPIN)})
	key, err := p11.Call(ctx, h, &p11.GenerateKey{Session: s.Session, Mechanism: mech(ck.CKM_AES_KEY_GEN), Template: []ck.Attribute{
		ck.NewULong(ck.CKA_VALUE_LEN, uint64(16)), ck.NewBool(ck.CKA_TOKEN, true)}})
	if err != nil {
		return
	}
	_, _ = p11.Call(ctx, h, &p11.Begin{Session: s.Session, Op: p11.OpEncrypt, Mechanism: mech(ck.CKM_AES_ECB), Key: key.Object})
	_, _ = p11.Call(ctx, h, &p11.Finish{Session: s.Session, Op: p11.OpEncrypt, Single: true, In: make([]byte, 16), Out: p11.Output{Buf: make([]byte, 16)}})
}

// A partition that an older version made has no salt for its private objects.
// The first change that destroys gives it one.
func TestOldPartitionGetsItsSalt(t *testing.T) {
	g := newGoverned(t, "", 1)
	g.state(func(s *partitionState) { s.ObjectSalt, s.Epoch = nil, randomBytes(16) })
	g.object(0, "old", true)
	old := g.host.process(t)
	if n := g.objects(old, 0); n != 1 || len(old.parts[0].stateNow().ObjectSalt) != 0 {
		t.Fatalf("%d objects", n)
	}
	if err := errors.Join(g.set(0, false, set(policyDates, 1)), g.set(0, true, set(policyDates, 0))); err != nil {
		t.Fatal(err)
	}
	if n := g.objects(old, 0); n != 0 || len(g.records(0)) != 0 {
		t.Errorf("%d objects, %d records are left", n, len(g.records(0)))
	}
	g.object(0, "new", true)
	if n := g.objects(old, 0); n != 1 || len(old.parts[0].stateNow().ObjectSalt) != 32 {
		t.Errorf("%d objects, salt %x", n, old.parts[0].stateNow().ObjectSalt)
	}
}

// state changes the record of the first partition.
func (g *governed) state(change func(*partitionState)) {
	g.t.Helper()
	err := g.h.store.Update(g.t.Context(), func(tx store.Tx) error {
		_, s, err := g.h.readPartition(tx, 1)
		if err != nil {
			return err
		}
		change(s)
		return g.h.replaceMeta(tx, 0, kindPartition, &s.record, s)
	})
	if err != nil {
		g.t.Fatal(err)
	}
}
