package local

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	_ "github.com/mattn/go-sqlite3"

	"github.com/perilune/perilune/config"
	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/cryptoki/hsm"
	"github.com/perilune/perilune/cryptoki/p11"
)

// The home of these tests has two partitions with all their roles, each with
// keys and other objects, public and private. Every record of it is damaged in
// every column, one at a time. That must be found and told; everything else must
// work; and nothing may be deleted because of it.

const (
	hsmSO   = "pin of the hsm so"
	partSO  = "pin of the partition so"
	officer = "pin of the officer"
	user    = "pin of the user"
)

// thing is what a record of the home is about.
type thing struct {
	ref   int64
	kind  int64
	space int64
	user  ck.UserType // of roles
	len   int         // of the sealed bytes
	terms int
}

func (r thing) String() string {
	return fmt.Sprintf("record %d (kind %d, space %d)", r.ref, r.kind, r.space)
}

// damageHome is the home that copies are made of.
type damageHome struct {
	t      *testing.T
	dir    string
	things []thing
	keys   map[ck.SlotID][]ck.ObjectHandle // AES keys and private EC keys, by slot
}

func openAt(dir string) (*hsm.HSM, error) {
	c := &config.Config{Home: dir}
	c.Password.Passes, c.Password.MemoryKiB, c.Password.Threads = 1, 8, 1
	c.Log.Level, c.Log.File = "error", dir+".log"
	return Open(context.Background(), c)
}

func call[R any](t *testing.T, h *hsm.HSM, req p11.Typed[R]) R {
	t.Helper()
	r, err := p11.Call(context.Background(), h, req)
	if err != nil {
		t.Fatalf("%v: %v", req.Kind(), err)
	}
	return r
}

func newDamageHome(t *testing.T) *damageHome {
	t.Helper()
	b := &damageHome{t: t, dir: filepath.Join(t.TempDir(), "home"), keys: map[ck.SlotID][]ck.ObjectHandle{}}
	h, err := openAt(b.dir)
	if err != nil {
		t.Fatal(err)
	}
	call(t, h, &p11.InitHSM{Label: "hsm", PIN: []byte(hsmSO)})
	admin := session(t, h, p11.AdminSlot)
	call(t, h, &p11.Login{Session: admin, User: ck.CKU_SO, PIN: []byte(hsmSO)})
	for _, name := range []string{"one", "two"} {
		b.fill(h, call(t, h, &p11.CreatePartition{Session: admin, Name: name}).Slot)
	}
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	b.look()
	return b
}

func session(t *testing.T, h *hsm.HSM, slot ck.SlotID) ck.SessionHandle {
	t.Helper()
	return call(t, h, &p11.OpenSession{Slot: slot, Flags: ck.CKF_SERIAL_SESSION | ck.CKF_RW_SESSION}).Session
}

// fill initialises a partition and puts objects into it.
func (b *damageHome) fill(h *hsm.HSM, slot ck.SlotID) {
	t := b.t
	call(t, h, &p11.InitToken{Slot: slot, PIN: []byte(partSO), Label: "damage"})
	s := session(t, h, slot)
	call(t, h, &p11.Login{Session: s, User: ck.CKU_SO, PIN: []byte(partSO)})
	call(t, h, &p11.InitPIN{Session: s, PIN: []byte(officer)})
	call(t, h, &p11.Logout{Session: s})
	call(t, h, &p11.Login{Session: s, User: ck.CKU_USER, PIN: []byte(officer)})
	call(t, h, &p11.InitRole{Session: s, Role: p11.RoleCryptoUser, PIN: []byte(user)})
	token, label := ck.NewBool(ck.CKA_TOKEN, true), ck.NewBytes(ck.CKA_LABEL, []byte("label"))
	aes := call(t, h, &p11.GenerateKey{Session: s, Mechanism: &ck.Mechanism{Type: ck.CKM_AES_KEY_GEN}, Template: []ck.Attribute{
		token, label, ck.NewBool(ck.CKA_PRIVATE, true), ck.NewULong(ck.CKA_VALUE_LEN, uint64(32)), ck.NewBool(ck.CKA_ENCRYPT, true)}}).Object
	pair := call(t, h, &p11.GenerateKeyPair{Session: s, Mechanism: &ck.Mechanism{Type: ck.CKM_EC_KEY_PAIR_GEN},
		Public:  []ck.Attribute{token, label, ck.NewBytes(ck.CKA_EC_PARAMS, []byte{6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7})},
		Private: []ck.Attribute{token, label, ck.NewBool(ck.CKA_SIGN, true)}})
	call(t, h, &p11.CreateObject{Session: s, Template: []ck.Attribute{token, label, ck.NewULong(ck.CKA_CLASS, ck.CKO_DATA),
		ck.NewBool(ck.CKA_PRIVATE, false), ck.NewBytes(ck.CKA_VALUE, []byte("public data"))}})
	call(t, h, &p11.DestroyObject{Session: s, Object: call(t, h, &p11.CreateObject{Session: s, Template: []ck.Attribute{token, ck.NewULong(ck.CKA_CLASS, ck.CKO_DATA)}}).Object})
	call(t, h, &p11.OpenAppID{Slot: slot, ID: p11.AppID{byte(slot + 1)}})
	b.keys[slot] = []ck.ObjectHandle{aes, pair.Private}
}

// look notes what the records are about. Roles are made in the order of their
// making: the SO, the Crypto Officer, the Crypto User.
func (b *damageHome) look() {
	b.query(b.dir, "SELECT ref, kind, space, length(sealed), length(terms) FROM record ORDER BY ref", func(scan func(...any) error) error {
		var r thing
		err := scan(&r.ref, &r.kind, &r.space, &r.len, &r.terms)
		b.things = append(b.things, r)
		return err
	})
	seen := map[int64]int{}
	users := []ck.UserType{ck.CKU_SO, ck.CKU_USER, ck.CKU_CRYPTO_USER}
	for i := range b.things {
		if r := &b.things[i]; r.kind == 3 {
			r.user = users[seen[r.space]]
			seen[r.space]++
		}
	}
}

func (b *damageHome) query(dir, query string, row func(scan func(...any) error) error) {
	b.t.Helper()
	db, err := sql.Open("sqlite3", filepath.Join(dir, "perilune.db"))
	if err != nil {
		b.t.Fatal(err)
	}
	defer db.Close()
	rows, err := db.Query(query)
	if err != nil {
		b.t.Fatalf("%s: %v", query, err)
	}
	defer rows.Close()
	for rows.Next() {
		if err := row(rows.Scan); err != nil {
			b.t.Fatal(err)
		}
	}
	if err := rows.Err(); err != nil {
		b.t.Fatal(err)
	}
}

// damaged is a copy of the home after a statement.
func (b *damageHome) damaged(statement string) (dir string) {
	b.t.Helper()
	dir = filepath.Join(b.t.TempDir(), "home")
	if err := os.Mkdir(dir, 0o700); err != nil {
		b.t.Fatal(err)
	}
	for _, name := range []string{"perilune.db", "root.key", "perilune.mark"} {
		data, err := os.ReadFile(filepath.Join(b.dir, name))
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, name), data, 0o600)
		}
		if err != nil {
			b.t.Fatal(err)
		}
	}
	db, err := sql.Open("sqlite3", filepath.Join(dir, "perilune.db"))
	if err != nil {
		b.t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec(statement); err != nil {
		b.t.Fatalf("%s: %v", statement, err)
	}
	return dir
}

// rows are the records of a home: what is sealed, by ref. Roles count their
// logins, so of those only that they are there.
func (b *damageHome) rows(dir string) map[int64]string {
	m := map[int64]string{}
	b.query(dir, "SELECT ref, kind, sealed FROM record", func(scan func(...any) error) error {
		var ref, kind int64
		var sealed []byte
		err := scan(&ref, &kind, &sealed)
		if kind == 3 {
			sealed = nil
		}
		m[ref] = string(sealed)
		return err
	})
	return m
}

// flip is a statement that changes a bit of a column of bytes.
func (b *damageHome) flip(r thing, column string, at int) string {
	var content []byte
	b.query(b.dir, fmt.Sprintf("SELECT %s FROM record WHERE ref = %d", column, r.ref),
		func(scan func(...any) error) error { return scan(&content) })
	content[at] ^= 1 << (at % 8)
	return fmt.Sprintf("UPDATE record SET %s = x'%x' WHERE ref = %d", column, content, r.ref)
}

// usable tries what the home has on a slot, but for one record, and returns what
// does not work.
func (b *damageHome) usable(h *hsm.HSM, slot ck.SlotID, but thing) error {
	ctx := context.Background()
	open, err := p11.Call(ctx, h, &p11.OpenSession{Slot: slot, Flags: ck.CKF_SERIAL_SESSION | ck.CKF_RW_SESSION})
	if err != nil {
		return err
	}
	s := open.Session
	here := but.space == int64(slot)+1
	for _, login := range []struct {
		user ck.UserType
		pin  string
	}{{ck.CKU_SO, partSO}, {ck.CKU_CRYPTO_USER, user}, {ck.CKU_USER, officer}} {
		_, err := p11.Call(ctx, h, &p11.Login{Session: s, User: login.user, PIN: []byte(login.pin)})
		switch mine := here && but.kind == 3 && but.user == login.user; {
		case mine && ck.RVOf(err) != ck.CKR_DEVICE_ERROR:
			return fmt.Errorf("user %d, whose record is damaged: %w", login.user, err)
		case !mine && err != nil:
			return fmt.Errorf("user %d: %w", login.user, err)
		}
		if err == nil && login.user != ck.CKU_USER {
			if _, err := p11.Call(ctx, h, &p11.Logout{Session: s}); err != nil {
				return err
			}
		}
	}
	if here && but.kind == 3 && but.user == ck.CKU_USER {
		if _, err := p11.Call(ctx, h, &p11.Login{Session: s, User: ck.CKU_CRYPTO_USER, PIN: []byte(user)}); err != nil {
			return err
		}
	}
	for i, key := range b.keys[slot] {
		err := use(h, s, key, i == 0)
		if int64(key) == but.ref {
			if err == nil {
				return fmt.Errorf("the damaged key %d was used", key)
			}
			continue
		}
		if err != nil {
			return fmt.Errorf("key %d: %w", key, err)
		}
	}
	return nil
}

// use encrypts or signs.
func use(h *hsm.HSM, s ck.SessionHandle, key ck.ObjectHandle, encrypt bool) error {
	ctx := context.Background()
	op, m := p11.OpSign, &ck.Mechanism{Type: ck.CKM_ECDSA}
	if encrypt {
		op, m = p11.OpEncrypt, &ck.Mechanism{Type: ck.CKM_AES_ECB}
	}
	if _, err := p11.Call(ctx, h, &p11.Begin{Session: s, Op: op, Mechanism: m, Key: key}); err != nil {
		return err
	}
	_, err := p11.Call(ctx, h, &p11.Finish{Session: s, Op: op, Single: true, In: make([]byte, 32), Out: p11.Output{Buf: make([]byte, 64)}})
	return err
}

// examine opens a damaged home as programs and doctor do. Why it does not open,
// and what was found, is returned.
func (b *damageHome) examine(dir string, but thing, hurts bool) (found []string, opening error) {
	t := b.t
	h, err := openAt(dir)
	if err != nil {
		return nil, err
	}
	defer h.Close()
	if !hurts {
		but = thing{}
	}
	lost := lostSlots(t, h)
	if want := but.kind == 2; want != (len(lost) == 1) {
		t.Errorf("%v: the partitions in slots %v are damaged", but, lost)
	}
	for slot := range b.keys {
		err := b.usable(h, slot, but)
		switch {
		case slices.Contains(lost, slot) && ck.RVOf(err) != ck.CKR_DEVICE_ERROR:
			t.Errorf("%v: the damaged partition in slot %d: %v", but, slot, err)
		case !slices.Contains(lost, slot) && err != nil:
			t.Errorf("%v: slot %d: %v", but, slot, err)
		}
	}
	_, err = p11.Call(t.Context(), h, &p11.Login{Session: session(t, h, p11.AdminSlot), User: ck.CKU_SO, PIN: []byte(hsmSO)})
	if want := but.kind == 3 && but.space == 0; want != (ck.RVOf(err) == ck.CKR_DEVICE_ERROR) || !want && err != nil {
		t.Errorf("%v: the HSM SO: %v", but, err)
	}
	report := call(t, h, &p11.CheckRecords{})
	for _, p := range report.Problems {
		if !strings.Contains(p.Advice, "from a copy") {
			t.Errorf("%v: no advice about %q: %q", but, p.What, p.Advice)
		}
		found = append(found, p.What)
	}
	return found, nil
}

func lostSlots(t *testing.T, h *hsm.HSM) (list []ck.SlotID) {
	for _, p := range call(t, h, &p11.ListPartitions{}).Partitions {
		if p.Damaged {
			list = append(list, p.Slot)
		}
	}
	return list
}

// judge says whether damage by a statement was found and did no harm.
func (b *damageHome) judge(statement string, r thing, hurts bool) {
	t := b.t
	t.Helper()
	dir := b.damaged(statement)
	before := b.rows(dir)
	found, opening := b.examine(dir, r, hurts)
	switch {
	case opening != nil && r.kind != 1:
		t.Errorf("%v, %s: the HSM does not open: %v", r, statement, opening)
	case opening != nil && !strings.Contains(opening.Error(), "from a copy"):
		t.Errorf("%v, %s: no advice in %v", r, statement, opening)
	case opening == nil && len(found) == 0:
		t.Errorf("%v, %s: not found", r, statement)
	}
	after := b.rows(dir)
	for ref, sealed := range before {
		if now, there := after[ref]; !there || now != sealed && ref != r.ref {
			t.Errorf("%v, %s: record %d was deleted or changed", r, statement, ref)
		}
	}
	if len(after) != len(before) {
		t.Errorf("%v, %s: %d records where there were %d", r, statement, len(after), len(before))
	}
}

// TestEveryRecordDamaged changes a byte of what is sealed, at several places of
// every record.
func TestEveryRecordDamaged(t *testing.T) {
	t.Parallel()
	b := newDamageHome(t)
	b.judgeSound()
	for _, r := range b.things {
		for _, at := range []int{0, 1, 13, r.len / 2, r.len - 1} { // version, nonce, content, tag
			b.judge(b.flip(r, "sealed", at), r, true)
		}
	}
}

// judgeSound makes sure that the tests can tell: nothing is found in a sound home.
func (b *damageHome) judgeSound() {
	b.t.Helper()
	found, opening := b.examine(b.damaged("PRAGMA user_version"), thing{}, false)
	if opening != nil || len(found) > 0 {
		b.t.Fatalf("a sound home: %v, %v", opening, found)
	}
}

// TestEveryColumnDamaged changes each column of every record beside what is
// sealed. Some changes take the record away; others leave it usable and are
// found by comparison.
func TestEveryColumnDamaged(t *testing.T) {
	t.Parallel()
	b := newDamageHome(t)
	for _, r := range b.things {
		for _, c := range []struct {
			set   string
			hurts bool
		}{
			{"ref = ref + 4096", true},
			{"space = space + 64", true},
			{"kind = kind + 16", true},
			{"version = version + 1", true},
			{"moment = moment + 4096", false},
			{"charge = charge + 256", false},
		} {
			if r.kind == 3 && c.set == "moment = moment + 4096" {
				continue // the next login writes it anew
			}
			b.judge(fmt.Sprintf("UPDATE record SET %s WHERE ref = %d", c.set, r.ref), r, c.hurts)
		}
		if r.terms > 0 {
			b.judge(b.flip(r, "terms", r.terms/2), r, false)
		}
	}
}

// TestEveryOtherTableDamaged: what is beside the records can be made anew from
// them, and is compared with them.
func TestEveryOtherTableDamaged(t *testing.T) {
	t.Parallel()
	b := newDamageHome(t)
	none := thing{ref: -1}
	for _, statement := range []string{
		"UPDATE tally SET n = n + 1 WHERE kind = %d",
		"UPDATE tally SET charge = charge + 1 WHERE kind = %d",
		"DELETE FROM tally WHERE kind = %d",
		"DELETE FROM term WHERE kind = %d",
		"UPDATE term SET ref = ref + 4096 WHERE kind = %d",
		"UPDATE term SET term = randomblob(16) WHERE kind = %d",
	} {
		for _, kind := range []int{4, 5} {
			b.judge(fmt.Sprintf(statement, kind), none, false)
		}
	}
	for _, statement := range []string{
		"UPDATE state SET moment = 1",
		"UPDATE state SET last_ref = 2",
		"UPDATE state SET gone = gone + 1",
		"DELETE FROM gone",
	} {
		b.judge(statement, none, false)
	}
}

// TestDamagedPartitionIsGivenUp: without a copy the HSM SO deletes what is left of
// it, and can make another; everything in the other partition stays.
func TestDamagedPartitionIsGivenUp(t *testing.T) {
	b := newDamageHome(t)
	i := slices.IndexFunc(b.things, func(r thing) bool { return r.kind == 2 })
	h, err := openAt(b.damaged(fmt.Sprintf("UPDATE record SET sealed = zeroblob(100) WHERE ref = %d", b.things[i].ref)))
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	lost := lostSlots(t, h)
	if len(lost) != 1 {
		t.Fatalf("lost slots %v", lost)
	}
	if slots := call(t, h, &p11.GetSlotList{}).Slots; slices.Contains(slots, lost[0]) || len(slots) != 1 {
		t.Errorf("programs see slots %v", slots)
	}
	s := session(t, h, p11.AdminSlot)
	call(t, h, &p11.Login{Session: s, User: ck.CKU_SO, PIN: []byte(hsmSO)})
	call(t, h, &p11.DeletePartition{Session: s, Slot: lost[0]})
	if problems := call(t, h, &p11.CheckRecords{}).Problems; len(problems) > 0 || len(lostSlots(t, h)) > 0 {
		t.Errorf("after it was deleted: %v", problems)
	}
	call(t, h, &p11.CreatePartition{Session: s, Name: "three"})
	for slot := range b.keys {
		if slot != lost[0] {
			if err := b.usable(h, slot, thing{}); err != nil {
				t.Error(err)
			}
		}
	}
	call(t, h, &p11.ZeroizeHSM{})
}

// TestZeroizeWithDamage leaves nothing of a damaged partition either. The record
// of the HSM stays, and so do those of the audit log (kinds 16 to 18).
func TestZeroizeWithDamage(t *testing.T) {
	b := newDamageHome(t)
	dir := b.damaged("UPDATE record SET sealed = zeroblob(100) WHERE kind IN (2, 3)")
	h, err := openAt(dir)
	if err != nil {
		t.Fatal(err)
	}
	call(t, h, &p11.ZeroizeHSM{})
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	for ref := range b.rows(dir) {
		i := slices.IndexFunc(b.things, func(r thing) bool { return r.ref == ref })
		if i >= 0 && (b.things[i].kind == 1 || b.things[i].kind >= 16) {
			continue
		}
		if i < 0 {
			t.Errorf("record %d is of the zeroizing's own", ref)
		} else {
			t.Errorf("%v outlived the zeroizing", b.things[i])
		}
	}
}

// TestDamagedRoleIsNotMadeAnew: a role whose record may be the damaged one gets no
// other PIN, under another key perhaps.
func TestDamagedRoleIsNotMadeAnew(t *testing.T) {
	b := newDamageHome(t)
	i := slices.IndexFunc(b.things, func(r thing) bool { return r.kind == 3 && r.user == ck.CKU_USER })
	h, err := openAt(b.damaged(fmt.Sprintf("UPDATE record SET sealed = zeroblob(100) WHERE ref = %d", b.things[i].ref)))
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	slot := ck.SlotID(b.things[i].space - 1)
	if info := call(t, h, &p11.GetTokenInfo{Slot: slot}); info.Flags&ck.CKF_TOKEN_INITIALIZED == 0 {
		t.Error("the token seems not initialised")
	}
	s := session(t, h, slot)
	call(t, h, &p11.Login{Session: s, User: ck.CKU_SO, PIN: []byte(partSO)})
	_, err = p11.Call(t.Context(), h, &p11.InitPIN{Session: s, PIN: []byte("another pin")})
	if ck.RVOf(err) != ck.CKR_DEVICE_ERROR || !strings.Contains(err.Error(), "from a copy") {
		t.Errorf("C_InitPIN: %v", err)
	}
}
