package hsm

import (
	"bytes"
	"context"
	"crypto/ecdh"
	"encoding/hex"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/crypto/argon2"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/cryptoki/p11"
	"github.com/perilune/perilune/store"
	"github.com/perilune/perilune/store/memory"
)

// house is a partition whose Crypto Officer is logged in.
type house struct {
	*testing.T
	h    *HSM
	slot ck.SlotID
	s    ck.SessionHandle
}

const lyra, vega = "the domain of Lyra", "another: Vega!"

// The tests pay for each domain once.
func init() {
	var known sync.Map
	stretchDomain = func(domain, salt []byte, passes, memory uint32, threads uint8, n uint32) []byte {
		key, ok := known.Load(string(domain))
		if !ok {
			key, _ = known.LoadOrStore(string(domain), argon2.IDKey(domain, salt, passes, memory, threads, n))
		}
		return slices.Clone(key.([]byte))
	}
}

// newHouse initialises a slot, with a cloning domain unless it is "".
func newHouse(t *testing.T, h *HSM, slot ck.SlotID, domain string) *house {
	t.Helper()
	q := &p11.InitToken{Slot: slot, PIN: []byte(soPIN), Label: "test"}
	if domain != "" {
		q.Domain = []byte(domain)
	}
	must(t, h, q)
	s := open(t, h, slot, true)
	must(t, h, &p11.Login{Session: s, User: ck.CKU_SO, PIN: []byte(soPIN)})
	must(t, h, &p11.InitPIN{Session: s, PIN: []byte(userPIN)})
	must(t, h, &p11.Logout{Session: s})
	login(t, h, s)
	return &house{t, h, slot, s}
}

func (p *house) key(label string, more ...ck.Attribute) ck.ObjectHandle {
	p.Helper()
	return must(p.T, p.h, &p11.CreateObject{Session: p.s, Template: append([]ck.Attribute{
		ck.NewULong(ck.CKA_CLASS, ck.CKO_SECRET_KEY), ck.NewULong(ck.CKA_KEY_TYPE, ck.CKK_AES), ck.NewBool(ck.CKA_TOKEN, true),
		ck.NewBytes(ck.CKA_VALUE, bytes.Repeat([]byte{7}, 32)), ck.NewBytes(ck.CKA_LABEL, []byte(label)),
		ck.NewBool(ck.CKA_SENSITIVE, true),
	}, more...)}).Object
}

func (p *house) data(label string, private bool) ck.ObjectHandle {
	p.Helper()
	return must(p.T, p.h, &p11.CreateObject{Session: p.s, Template: []ck.Attribute{
		ck.NewULong(ck.CKA_CLASS, ck.CKO_DATA), ck.NewBool(ck.CKA_TOKEN, true), ck.NewBool(ck.CKA_PRIVATE, private),
		ck.NewBytes(ck.CKA_LABEL, []byte(label)), ck.NewBytes(ck.CKA_VALUE, []byte("of "+label)),
	}}).Object
}

func (p *house) pair(label string) (public, private ck.ObjectHandle) {
	p.Helper()
	common := []ck.Attribute{ck.NewBool(ck.CKA_TOKEN, true), ck.NewBytes(ck.CKA_LABEL, []byte(label)), ck.NewBytes(ck.CKA_ID, []byte(label))}
	r := must(p.T, p.h, &p11.GenerateKeyPair{Session: p.s, Mechanism: &ck.Mechanism{Type: ck.CKM_EC_KEY_PAIR_GEN},
		Public:  append(slices.Clone(common), ck.NewBytes(ck.CKA_EC_PARAMS, []byte{0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07})),
		Private: append(slices.Clone(common), ck.NewBytes(ck.CKA_START_DATE, []byte("20200101")))})
	return r.Public, r.Private
}

// find returns the objects with the attributes.
func (p *house) find(template ...ck.Attribute) []ck.ObjectHandle {
	p.Helper()
	must(p.T, p.h, &p11.FindObjectsInit{Session: p.s, Template: template})
	found := must(p.T, p.h, &p11.FindObjects{Session: p.s, Max: 1000}).Objects
	must(p.T, p.h, &p11.FindObjectsFinal{Session: p.s})
	return found
}

func (p *house) ouid(o ck.ObjectHandle) p11.OUID {
	p.Helper()
	r := must(p.T, p.h, &p11.GetAttributeValue{Session: p.s, Object: o, Types: []ck.AttributeType{ck.CKA_OUID}})
	return p11.OUID(r.Results[0].Value)
}

// attributes is all that is stored of an object, with its OUID.
func (p *house) attributes(o ck.ObjectHandle) string {
	p.Helper()
	part, err := p.h.partition(p.slot)
	if err != nil {
		p.Fatal(err)
	}
	obj, err := p.h.lookUp(p.Context(), part, o)
	if err != nil {
		p.Fatal(err)
	}
	b, err := obj.travelling()
	if err != nil {
		p.Fatal(err)
	}
	return string(b)
}

func (p *house) cloneTo(to *house, o ck.ObjectHandle, replace bool) (ck.ObjectHandle, error) {
	p.Helper()
	r, err := p11.Call(context.Background(), to.h, &p11.CloneObject{Session: to.s, Source: p.s, Object: o, Replace: replace})
	return r.Object, err
}

// wantErr checks the code of an error and words of its text.
func wantErr(t *testing.T, err error, rv ck.RV, words ...string) {
	t.Helper()
	if ck.RVOf(err) != rv {
		t.Fatalf("got %v, want %v", err, rv)
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("%q is not in: %v", w, err)
		}
	}
}

func TestEveryTokenObjectHasAnOUID(t *testing.T) {
	h := newTestHost().process(t)
	p := newHouse(t, h, 0, "")
	public, private := p.pair("pair")
	objs := []ck.ObjectHandle{public, private, p.key("k"), p.data("d", false)}
	seen := map[p11.OUID]bool{}
	for _, o := range objs {
		id := p.ouid(o)
		if seen[id] {
			t.Errorf("two objects with OUID %x", id)
		}
		seen[id] = true
		if got := p.find(ck.NewBytes(ck.CKA_OUID, id[:])); !slices.Equal(got, []ck.ObjectHandle{o}) {
			t.Errorf("search for the OUID of %d finds %v", o, got)
		}
		if got := must(t, h, &p11.GetObjectHandle{Slot: 0, UID: id}).Object; got != o {
			t.Errorf("OUID of %d belongs to %d", o, got)
		}
		if got := must(t, h, &p11.GetObjectUID{Slot: 0, Object: o}).UID; got != id {
			t.Errorf("object %d has OUID %x, and CKA_OUID %x", o, got, id)
		}
	}
	// The last word is the HSM's serial number, the second one is the same for all.
	info, part := must(t, h, &p11.GetHSMInfo{}), must(t, h, &p11.ListPartitions{}).Partitions[0]
	for id := range seen {
		if !bytes.Equal(id[4:], part.UID[4:]) || uint64(id[8])|uint64(id[9])<<8|uint64(id[10])<<16|uint64(id[11])<<24 != info.Serial {
			t.Errorf("OUID %x of HSM %d, partition %x", id, info.Serial, part.UID)
		}
	}
	// A copy is another object.
	c := must(t, h, &p11.CopyObject{Session: p.s, Object: objs[2]}).Object
	if seen[p.ouid(c)] {
		t.Error("a copy has the OUID of its original")
	}
	// Nobody chooses one, and session objects have none.
	want(t, h, ck.CKR_ATTRIBUTE_READ_ONLY, &p11.CreateObject{Session: p.s, Template: []ck.Attribute{
		ck.NewULong(ck.CKA_CLASS, ck.CKO_DATA), ck.NewBytes(ck.CKA_OUID, make([]byte, 12))}})
	so := must(t, h, &p11.CreateObject{Session: p.s, Template: []ck.Attribute{ck.NewULong(ck.CKA_CLASS, ck.CKO_DATA)}}).Object
	want(t, h, ck.CKR_ATTRIBUTE_TYPE_INVALID, &p11.GetAttributeValue{Session: p.s, Object: so, Types: []ck.AttributeType{ck.CKA_OUID}})
	want(t, h, ck.CKR_OBJECT_HANDLE_INVALID, &p11.GetObjectUID{Slot: 0, Object: so})
	// After logout private objects are not found by it either.
	id := p.ouid(private)
	must(t, h, &p11.Logout{Session: p.s})
	want(t, h, ck.CKR_OBJECT_HANDLE_INVALID, &p11.GetObjectHandle{Slot: 0, UID: id})
	want(t, h, ck.CKR_OBJECT_HANDLE_INVALID, &p11.GetObjectUID{Slot: 0, Object: private})
	if got := p.find(ck.NewBytes(ck.CKA_OUID, id[:])); len(got) > 0 {
		t.Errorf("a private object is found by its OUID without login: %v", got)
	}
}

func TestCloneKeepsAllButTheHandle(t *testing.T) {
	h := newTestHost().process(t)
	from, to := newHouse(t, h, 0, lyra), newHouse(t, h, 1, lyra)
	from.key("shifts the references")
	public, private := from.pair("pair")
	for _, o := range []ck.ObjectHandle{public, private, from.key("k"), from.data("d", true), from.data("e", false)} {
		clone, err := from.cloneTo(to, o, false)
		if err != nil {
			t.Fatal(err)
		}
		if clone == o {
			t.Errorf("the clone of %d has its handle", o)
		}
		if from.attributes(o) != to.attributes(clone) {
			t.Errorf("the clone of %d has other attributes", o)
		}
		id := from.ouid(o)
		if got := to.find(ck.NewBytes(ck.CKA_OUID, id[:])); !slices.Equal(got, []ck.ObjectHandle{clone}) {
			t.Errorf("search for the OUID of the clone %d finds %v", clone, got)
		}
		_, err = from.cloneTo(to, o, false)
		wantErr(t, err, ck.CKR_OBJECT_ALREADY_EXISTS)
	}
	// A copy of the clone is another object again.
	id := from.ouid(private)
	clone := must(t, h, &p11.GetObjectHandle{Slot: 1, UID: id}).Object
	if c := must(t, h, &p11.CopyObject{Session: to.s, Object: clone}).Object; to.ouid(c) == id {
		t.Error("the copy of a clone has the OUID of the original")
	}
	// It signs, and the original's public key verifies.
	m := &ck.Mechanism{Type: ck.CKM_ECDSA}
	digest, sig := make([]byte, 32), make([]byte, 64)
	must(t, h, &p11.Begin{Session: to.s, Op: p11.OpSign, Mechanism: m, Key: clone})
	must(t, h, &p11.Finish{Session: to.s, Op: p11.OpSign, Single: true, In: digest, Out: p11.Output{Buf: sig}})
	must(t, h, &p11.Begin{Session: from.s, Op: p11.OpVerify, Mechanism: m, Key: public})
	must(t, h, &p11.Finish{Session: from.s, Op: p11.OpVerify, Single: true, In: digest, Signature: sig})
}

func TestCloneReplaces(t *testing.T) {
	h := newTestHost().process(t)
	from, to := newHouse(t, h, 0, lyra), newHouse(t, h, 1, lyra)
	o := from.key("before")
	if _, err := from.cloneTo(to, o, false); err != nil {
		t.Fatal(err)
	}
	must(t, h, &p11.SetAttributeValue{Session: from.s, Object: o, Template: []ck.Attribute{ck.NewBytes(ck.CKA_LABEL, []byte("after"))}})
	clone, err := from.cloneTo(to, o, true)
	if err != nil {
		t.Fatal(err)
	}
	if n := len(to.find(ck.NewULong(ck.CKA_CLASS, ck.CKO_SECRET_KEY))); n != 1 {
		t.Errorf("%d keys after replacing", n)
	}
	if to.attributes(clone) != from.attributes(o) {
		t.Error("the old one was not replaced")
	}
	// And back home, where the original is gone.
	must(t, h, &p11.DestroyObject{Session: from.s, Object: o})
	id := to.ouid(clone)
	if got := from.find(ck.NewBytes(ck.CKA_OUID, id[:])); len(got) > 0 {
		t.Errorf("a destroyed object is found by its OUID: %v", got)
	}
	back, err := to.cloneTo(from, clone, false)
	if err != nil || back == o {
		t.Fatalf("clone back home: %d, %v", back, err)
	}
	if got := from.find(ck.NewBytes(ck.CKA_OUID, id[:])); !slices.Equal(got, []ck.ObjectHandle{back}) {
		t.Errorf("back home the OUID finds %v, want %d", got, back)
	}
}

func TestCloneRefusals(t *testing.T) {
	h := newTestHost().process(t)
	p, other, none := newHouse(t, h, 0, lyra), newHouse(t, h, 1, vega), newHouse(t, h, 2, "")
	same := newHouse(t, h, 3, lyra)
	o := p.key("k")
	public, private := p.pair("pair")
	empty := func(p *house) {
		t.Helper()
		if got := p.find(); len(got) > 0 {
			t.Errorf("slot %d has objects %v after a refusal", p.slot, got)
		}
	}
	for _, o := range []ck.ObjectHandle{o, public, private} { // one refusal for each object
		_, err := p.cloneTo(other, o, false)
		wantErr(t, err, ck.CKR_UNWRAPPING_ERROR, "different cloning domains")
	}
	_, err := p.cloneTo(none, o, false)
	wantErr(t, err, ck.CKR_CLONING_PARAMETER_MISSING)
	_, err = none.cloneTo(p, none.key("n"), false)
	wantErr(t, err, ck.CKR_CLONING_PARAMETER_MISSING)
	empty(other)
	for _, c := range []struct {
		p      *house
		id     uint64
		object ck.ObjectHandle
		also   ck.ObjectHandle // may go all the same
	}{{p, policyPrivateClone, private, o}, {same, policyPrivateClone, private, o}, {p, policySecretClone, o, public}, {same, policySecretClone, o, public}} {
		setPartitionPolicy(c.p, c.id, 0)
		_, err := p.cloneTo(same, c.object, false)
		wantErr(t, err, ck.CKR_OPERATION_NOT_ALLOWED, "policy")
		if _, err := p.cloneTo(same, c.also, true); err != nil {
			t.Errorf("policy %d holds back another class too: %v", c.id, err)
		}
		setPartitionPolicy(c.p, c.id, 1)
	}
	setHSMPolicy(t, h, policyCloning, 0)
	_, err = p.cloneTo(same, public, false)
	wantErr(t, err, ck.CKR_OPERATION_NOT_ALLOWED, "HSM policy 7")
	setHSMPolicy(t, h, policyCloning, 1)
	so := must(t, h, &p11.CreateObject{Session: p.s, Template: []ck.Attribute{ck.NewULong(ck.CKA_CLASS, ck.CKO_DATA)}}).Object
	_, err = p.cloneTo(same, so, false)
	wantErr(t, err, ck.CKR_OPERATION_NOT_ALLOWED, "token objects")
	_, err = p.cloneTo(same, 12345, false)
	wantErr(t, err, ck.CKR_OBJECT_HANDLE_INVALID)
	// Both sides need their officers.
	must(t, h, &p11.Logout{Session: same.s})
	_, err = p.cloneTo(same, o, false)
	wantErr(t, err, ck.CKR_USER_NOT_LOGGED_IN)
	login(t, h, same.s)
	must(t, h, &p11.Logout{Session: p.s})
	_, err = p.cloneTo(same, o, false)
	wantErr(t, err, ck.CKR_USER_NOT_LOGGED_IN)
}

// setPartitionPolicy and setHSMPolicy write what the requests for policies would.
func setPartitionPolicy(p *house, id, value uint64) {
	p.Helper()
	change := func(tx store.Tx) error {
		_, s, err := p.h.readPartition(tx, spaceOf(uint64(p.slot)+1))
		if err != nil {
			return err
		}
		if s.Policies == nil {
			s.Policies = map[uint64]uint64{}
		}
		s.Policies[id] = value
		return p.h.replaceMeta(tx, 0, kindPartition, &s.record, s)
	}
	if err := p.h.store.Update(p.Context(), change); err != nil {
		p.Fatal(err)
	}
}

func setHSMPolicy(t *testing.T, h *HSM, id, value uint64) {
	t.Helper()
	change := func(tx store.Tx) error {
		m, err := h.readMeta(tx)
		if err != nil {
			return err
		}
		if m.hsm.Policies == nil {
			m.hsm.Policies = map[uint64]uint64{}
		}
		m.hsm.Policies[id] = value
		return h.replaceMeta(tx, 0, kindHSM, &m.hsm.record, &m.hsm)
	}
	if err := h.store.Update(t.Context(), change); err != nil {
		t.Fatal(err)
	}
}

func TestCryptoUserClonesPublicObjectsOnly(t *testing.T) {
	h := newTestHost().process(t)
	from, to := newHouse(t, h, 0, lyra), newHouse(t, h, 1, lyra)
	public, private := from.pair("pair")
	secret, note := from.key("k"), from.data("note", true)
	must(t, h, &p11.InitRole{Session: from.s, Role: p11.RoleCryptoUser, PIN: []byte("crypto user")})
	must(t, h, &p11.Logout{Session: from.s})
	must(t, h, &p11.Login{Session: from.s, User: ck.CKU_CRYPTO_USER, PIN: []byte("crypto user")})
	if _, err := from.cloneTo(to, public, false); err != nil {
		t.Errorf("the Crypto User clones a public key: %v", err)
	}
	for _, o := range []ck.ObjectHandle{private, secret, note} {
		_, err := from.cloneTo(to, o, false)
		wantErr(t, err, ck.CKR_USER_NOT_AUTHORIZED, "Crypto User")
	}
	var out bytes.Buffer
	want(t, h, ck.CKR_USER_NOT_AUTHORIZED, &p11.BackupArchive{Session: from.s, To: &out})
	setProfile(t, h, profileLuna72)
	_, err := from.cloneTo(to, public, true)
	wantErr(t, err, ck.CKR_USER_NOT_AUTHORIZED)
}

func setProfile(t *testing.T, h *HSM, name string) {
	t.Helper()
	err := h.store.Update(t.Context(), func(tx store.Tx) error {
		m, err := h.readMeta(tx)
		if err != nil {
			return err
		}
		m.hsm.Profile = name
		return h.replaceMeta(tx, 0, kindHSM, &m.hsm.record, &m.hsm)
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestCloneBetweenTwoHSMs(t *testing.T) {
	a, b := newTestHost().process(t), (&testHost{place: newTestHost().place, root: bytes.Repeat([]byte{9}, 32)}).process(t)
	from, to, stranger := newHouse(t, a, 0, lyra), newHouse(t, b, 0, lyra), newHouse(t, b, 1, vega)
	_, private := from.pair("pair")
	step := func(to *house) (part1, part2 []byte) {
		part1 = must(t, b, &p11.CloneAsTargetInit{Session: to.s}).Part
		return part1, must(t, a, &p11.CloneAsSource{Session: from.s, Object: private, Part: part1}).Part
	}
	part1, part2 := step(to)
	if len(part1) != 74 || len(part2) != 74+28+len(from.attributes(private)) {
		t.Errorf("parts of %d and %d bytes", len(part1), len(part2))
	}
	clone := must(t, b, &p11.CloneAsTarget{Session: to.s, Part: part2}).Object
	if to.attributes(clone) != from.attributes(private) {
		t.Error("the clone has other attributes")
	}
	// What was used once does not serve again, nor elsewhere, nor changed.
	want(t, b, ck.CKR_OPERATION_NOT_INITIALIZED, &p11.CloneAsTarget{Session: to.s, Part: part2})
	must(t, b, &p11.CloneAsTargetInit{Session: to.s})
	want(t, b, ck.CKR_UNWRAPPING_ERROR, &p11.CloneAsTarget{Session: to.s, Part: part2, Replace: true})
	_, part2 = step(stranger)
	want(t, b, ck.CKR_UNWRAPPING_ERROR, &p11.CloneAsTarget{Session: stranger.s, Part: part2})
	for i := 0; i < len(part2); i++ {
		_, part2 := step(to)
		part2[i] ^= 1
		_, err := p11.Call(context.Background(), b, &p11.CloneAsTarget{Session: to.s, Part: part2, Replace: true})
		if rv := ck.RVOf(err); rv != ck.CKR_UNWRAPPING_ERROR && rv != ck.CKR_DATA_INVALID {
			t.Fatalf("byte %d changed: %v", i, err)
		}
	}
	for _, bad := range [][]byte{nil, part1[:73], append(slices.Clone(part1), 0), make([]byte, 74)} {
		want(t, a, ck.CKR_DATA_INVALID, &p11.CloneAsSource{Session: from.s, Object: private, Part: bad})
		must(t, b, &p11.CloneAsTargetInit{Session: to.s})
		if len(bad) < 74 {
			want(t, b, ck.CKR_DATA_INVALID, &p11.CloneAsTarget{Session: to.s, Part: bad})
		}
	}
	// Network replication is for other HSMs.
	setHSMPolicy(t, a, policyNetworkReplication, 0)
	want(t, a, ck.CKR_OPERATION_NOT_ALLOWED, &p11.CloneAsSource{Session: from.s, Object: private, Part: part1})
	neighbour := newHouse(t, a, 1, lyra)
	if _, err := from.cloneTo(neighbour, private, false); err != nil {
		t.Errorf("clone within the HSM without network replication: %v", err)
	}
}

func TestCloningDomainIsGivenOnce(t *testing.T) {
	host := newTestHost()
	h, other := host.process(t), host.process(t)
	p := newHouse(t, h, 0, "")
	if must(t, h, &p11.ListPartitions{}).Partitions[0].HasDomain {
		t.Error("a partition without a domain says that it has one")
	}
	for _, bad := range []string{"", " leading", "trailing ", "a\"b", "a&b", "a|b", "a(b", "a`b", "a\\b", "tab\there", "ümlaut", strings.Repeat("x", 129)} {
		want(t, h, ck.CKR_ARGUMENTS_BAD, &p11.SetCloningDomain{Session: p.s, Domain: []byte(bad)})
		want(t, h, ck.CKR_ARGUMENTS_BAD, &p11.InitToken{Slot: 1, PIN: []byte(soPIN), Label: "x", Domain: []byte(bad)})
	}
	must(t, h, &p11.SetCloningDomain{Session: p.s, Domain: []byte(lyra)})
	want(t, h, ck.CKR_CLONING_PARAMETER_ALREADY_EXISTS, &p11.SetCloningDomain{Session: p.s, Domain: []byte(lyra)})
	if !must(t, other, &p11.ListPartitions{}).Partitions[0].HasDomain {
		t.Error("another process does not see that there is a domain now")
	}
	// The Partition SO can, as long as it holds the key.
	must(t, h, &p11.InitToken{Slot: 1, PIN: []byte(soPIN), Label: "x"})
	s := open(t, h, 1, true)
	must(t, h, &p11.Login{Session: s, User: ck.CKU_SO, PIN: []byte(soPIN)})
	must(t, h, &p11.SetCloningDomain{Session: s, Domain: []byte(strings.Repeat("x", 128))})
	want(t, h, ck.CKR_CLONING_PARAMETER_ALREADY_EXISTS, &p11.SetCloningDomain{Session: s, Domain: []byte(lyra)})
	// Initialised anew, the partition has none.
	must(t, h, &p11.CloseSession{Session: s})
	must(t, h, &p11.InitToken{Slot: 1, PIN: []byte(soPIN), Label: "x"})
	if must(t, h, &p11.ListPartitions{}).Partitions[1].HasDomain {
		t.Error("the domain survives initialisation")
	}
}

// The keys of domains are for ever: archives and other HSMs depend on them.
func TestDomainKeyVector(t *testing.T) {
	key, err := domainKey([]byte("perilune test domain"))
	if err != nil {
		t.Fatal(err)
	}
	if got := hexOf(key); got != domainVector {
		t.Errorf("the key of the domain of docs/FORMAT.md is %s", got)
	}
}

const domainVector = "e6eba47b1677197e7d4e785da18541eeda678e82c38eb9fdfadb07b92c7cc9f3"

func hexOf(b []byte) string { return fmt.Sprintf("%x", b) }

// The numbers of docs/FORMAT.md.
func TestOUIDVector(t *testing.T) {
	root := make(RootKeyBytes, 32)
	for i := range root {
		root[i] = byte(i)
	}
	epoch, err := epochOf(root, nil)
	if err != nil {
		t.Fatal(err)
	}
	home := &birthplace{epoch, 1234567}
	id := home.uid(7)
	if got := hexOf(id[:]); got != "070000009e8ea3e087d61200" {
		t.Errorf("OUID %s", got)
	}
	if home.ref(id) != 7 || (&birthplace{epoch, 1234568}).ref(id) != 0 {
		t.Error("the OUID is not known again, or elsewhere too")
	}
}

func TestCloneVector(t *testing.T) {
	unhex := func(s string) []byte {
		b, err := hex.DecodeString(s)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	part1 := unhex("0187d6120000000000046ff03b949241ce1dadd43519e6960e0a85b41a69a05c328103aa2bce1594ca163c4f753a55bf01dc53f6c0b0c7eee78b40c6ff7d25a96e2282b989cef71c144a")
	part2 := unhex("01b1cb74000000000004550f471003f3df97c3df506ac797f6721fb1a1fb7b8f6f83d224498a65c88e24136093d7012e509a73715cbd0b00a3cc0ff4b5c01b3ffa196ab1fb327036b8e60347eaf6a87e935589928af936c11ed69f105a3b4bd3b19cbf01a63634dc4c9ec3e3526a")
	key, err := ecdh.P256().NewPrivateKey(bytes.Repeat([]byte{1}, 32))
	if err != nil {
		t.Fatal(err)
	}
	serial, peer, err := parseClonePart(part2)
	if err != nil || serial != 7654321 {
		t.Fatal(serial, err)
	}
	aead, err := cloneAEAD(key, peer, bytes.Repeat([]byte{0x42}, 32), part1, part2[:clonePart1Len])
	if err != nil {
		t.Fatal(err)
	}
	plain, err := aead.Open(nil, nil, part2[clonePart1Len:], []byte(cloneInfo))
	if err != nil || string(plain) != "perilune" {
		t.Errorf("%q, %v", plain, err)
	}
}

// FuzzClonePart looks for parts that bring the target down.
func FuzzClonePart(f *testing.F) {
	h, err := Open(f.Context(), Options{Store: memory.New().Open(), RootKey: RootKeyBytes(make([]byte, 32)), Location: "memory", Password: cheap, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		f.Fatal(err)
	}
	target, err := h.newClonePart()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(target.part)
	f.Fuzz(func(t *testing.T, part []byte) {
		_, peer, err := parseClonePart(part)
		if err != nil {
			return
		}
		aead, err := cloneAEAD(target.key, peer, make([]byte, 32), target.part, part[:clonePart1Len])
		if err != nil {
			t.Fatal(err)
		}
		if _, err := aead.Open(nil, nil, part[clonePart1Len:], nil); err == nil {
			t.Error("a part that nobody made was opened")
		}
	})
}
