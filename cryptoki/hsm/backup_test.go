package hsm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/cryptoki/p11"
	"github.com/perilune/perilune/store"
)

func (p *house) backup(old []byte, replace bool) ([]byte, p11.ArchiveResult, error) {
	p.Helper()
	var out bytes.Buffer
	q := &p11.BackupArchive{Session: p.s, To: &out, Replace: replace}
	if old != nil {
		q.Old, q.Size = bytes.NewReader(old), int64(len(old))
	}
	r, err := p11.Call(context.Background(), p.h, q)
	return out.Bytes(), r, err
}

func (p *house) mustBackup() []byte {
	p.Helper()
	file, _, err := p.backup(nil, false)
	if err != nil {
		p.Fatal(err)
	}
	return file
}

func (p *house) restore(file []byte, replace bool) (p11.ArchiveResult, error) {
	p.Helper()
	return p11.Call(context.Background(), p.h, &p11.RestoreArchive{Session: p.s, From: bytes.NewReader(file), Size: int64(len(file)), Replace: replace})
}

func (p *house) contents(file []byte) (list []p11.ArchivedObject, err error) {
	p.Helper()
	_, err = p11.Call(context.Background(), p.h, &p11.ReadArchive{Session: p.s, From: bytes.NewReader(file), Size: int64(len(file)),
		Each: func(o p11.ArchivedObject) { list = append(list, o) }})
	return list, err
}

// all is everything that the partition holds, in an order of its own.
func (p *house) all() (list []string) {
	p.Helper()
	for _, o := range p.find() {
		list = append(list, p.attributes(o))
	}
	slices.Sort(list)
	return list
}

func wantResult(t *testing.T, got p11.ArchiveResult, objects, added, present, replaced uint64) {
	t.Helper()
	if got.Objects != objects || got.Added != added || got.Present != present || got.Replaced != replaced {
		t.Errorf("got %+v, want %d objects, %d added, %d present, %d replaced", got, objects, added, present, replaced)
	}
}

// furnish puts a little of everything into a partition: seven objects.
func (p *house) furnish() {
	p.Helper()
	p.pair("pair")
	p.key("secret")
	p.key("open", ck.NewBool(ck.CKA_PRIVATE, false))
	p.data("note", false)
	p.data("diary", true)
	must(p.T, p.h, &p11.CreateObject{Session: p.s, Template: []ck.Attribute{
		ck.NewULong(ck.CKA_CLASS, ck.CKO_SECRET_KEY), ck.NewULong(ck.CKA_KEY_TYPE, ck.CKK_AES), ck.NewBool(ck.CKA_TOKEN, true),
		ck.NewBytes(ck.CKA_VALUE, make([]byte, 16)), {Type: ck.CKA_UNWRAP_TEMPLATE, Template: []ck.Attribute{ck.NewBool(ck.CKA_EXTRACTABLE, false)}},
	}})
}

func TestBackupAndRestoreOnAnotherHSM(t *testing.T) {
	a, b := newTestHost().process(t), (&testHost{place: newTestHost().place, root: bytes.Repeat([]byte{9}, 32)}).process(t)
	from, to := newHouse(t, a, 0, lyra), newHouse(t, b, 0, lyra)
	from.furnish()
	file, r, err := from.backup(nil, false)
	if err != nil {
		t.Fatal(err)
	}
	wantResult(t, r, 7, 7, 0, 0)
	list, err := to.contents(file)
	if err != nil || len(list) != 7 || list[0].Label != "pair" || list[0].Class != ck.CKO_PUBLIC_KEY || list[0].KeyType != ck.CKK_EC {
		t.Fatalf("contents %+v, %v", list, err)
	}
	r, err = to.restore(file, false)
	if err != nil {
		t.Fatal(err)
	}
	wantResult(t, r, 7, 7, 0, 0)
	if !slices.Equal(from.all(), to.all()) {
		t.Error("what was restored is not what was backed up")
	}
	// Again: all is there already. With replace: all is replaced.
	r, err = to.restore(file, false)
	if err != nil {
		t.Fatal(err)
	}
	wantResult(t, r, 7, 0, 7, 0)
	r, err = to.restore(file, true)
	if err != nil {
		t.Fatal(err)
	}
	wantResult(t, r, 7, 0, 0, 7)
	if !slices.Equal(from.all(), to.all()) {
		t.Error("replacing changed something")
	}
	// At home everything is there, under the OUIDs that were never written down.
	r, err = from.restore(file, false)
	if err != nil {
		t.Fatal(err)
	}
	wantResult(t, r, 7, 0, 7, 0)
}

func TestRestoreAfterZeroize(t *testing.T) {
	h := newTestHost().process(t)
	p := newHouse(t, h, 0, lyra)
	p.furnish()
	before, file := p.all(), p.mustBackup()
	must(t, h, &p11.ZeroizeHSM{})
	list := must(t, h, &p11.GetSlotList{}).Slots
	q := newHouse(t, h, list[0], lyra)
	if r, err := q.restore(file, false); err != nil || r.Added != 7 {
		t.Fatal(r, err)
	}
	if !slices.Equal(before, q.all()) {
		t.Error("what was restored is not what was backed up")
	}
}

func TestAppendAndReplaceInArchives(t *testing.T) {
	h := newTestHost().process(t)
	p := newHouse(t, h, 0, lyra)
	kept, changed, gone := p.key("kept"), p.key("old label"), p.key("gone")
	first := p.mustBackup()
	must(t, h, &p11.SetAttributeValue{Session: p.s, Object: changed, Template: []ck.Attribute{ck.NewBytes(ck.CKA_LABEL, []byte("new label"))}})
	must(t, h, &p11.DestroyObject{Session: p.s, Object: gone})
	p.key("added")
	_ = kept
	labels := func(file []byte) (list []string) {
		objs, err := p.contents(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range objs {
			list = append(list, o.Label)
		}
		slices.Sort(list)
		return list
	}
	appended, r, err := p.backup(first, false)
	if err != nil {
		t.Fatal(err)
	}
	wantResult(t, r, 4, 1, 2, 0)
	if got := labels(appended); !slices.Equal(got, []string{"added", "gone", "kept", "old label"}) {
		t.Errorf("appended: %q", got)
	}
	replaced, r, err := p.backup(first, true)
	if err != nil {
		t.Fatal(err)
	}
	wantResult(t, r, 4, 1, 0, 2)
	if got := labels(replaced); !slices.Equal(got, []string{"added", "gone", "kept", "new label"}) {
		t.Errorf("replaced: %q", got)
	}
}

func TestArchiveOfAnotherDomain(t *testing.T) {
	h := newTestHost().process(t)
	p, other, none := newHouse(t, h, 0, lyra), newHouse(t, h, 1, vega), newHouse(t, h, 2, "")
	p.furnish()
	file := p.mustBackup()
	for _, c := range []struct {
		to *house
		rv ck.RV
	}{{other, ck.CKR_UNWRAPPING_ERROR}, {none, ck.CKR_CLONING_PARAMETER_MISSING}} {
		_, err := c.to.restore(file, false)
		wantErr(t, err, c.rv, "cloning domain")
		_, err = c.to.contents(file)
		wantErr(t, err, c.rv)
		out, _, err := c.to.backup(file, false)
		wantErr(t, err, c.rv)
		if len(out) > 0 || len(c.to.find()) > 0 {
			t.Error("a refusal left something behind")
		}
	}
	if out, _, err := none.backup(nil, false); ck.RVOf(err) != ck.CKR_CLONING_PARAMETER_MISSING || len(out) > 0 {
		t.Errorf("backup without a domain: %v, %d bytes", err, len(out))
	}
}

func TestPoliciesHoldBackWholeArchives(t *testing.T) {
	h := newTestHost().process(t)
	p, to := newHouse(t, h, 0, lyra), newHouse(t, h, 1, lyra)
	for i := range 12 {
		p.key(fmt.Sprint("secret ", i))
	}
	p.pair("the pair")
	file := p.mustBackup()
	for _, c := range []struct {
		id    uint64
		words []string
	}{
		{policyPrivateClone, []string{"nothing was copied", "1 objects", `"the pair"`, "policy 0"}},
		{policySecretClone, []string{"nothing was copied", "12 objects", `"secret 9" and 2 more`, "policy 4"}},
	} {
		setPartitionPolicy(p, c.id, 0)
		out, _, err := p.backup(nil, false)
		wantErr(t, err, ck.CKR_OPERATION_NOT_ALLOWED, c.words...)
		if len(out) > 0 {
			t.Errorf("%d bytes were written", len(out))
		}
		setPartitionPolicy(p, c.id, 1)
		setPartitionPolicy(to, c.id, 0)
		_, err = to.restore(file, false)
		wantErr(t, err, ck.CKR_OPERATION_NOT_ALLOWED, c.words...)
		if len(to.find()) > 0 {
			t.Error("something was restored")
		}
		setPartitionPolicy(to, c.id, 1)
	}
	setHSMPolicy(t, h, policyCloning, 0)
	_, _, err := p.backup(nil, false)
	wantErr(t, err, ck.CKR_OPERATION_NOT_ALLOWED, "HSM policy 7")
	_, err = to.restore(file, false)
	wantErr(t, err, ck.CKR_OPERATION_NOT_ALLOWED, "HSM policy 7")
	setHSMPolicy(t, h, policyCloning, 1)
	// Without network replication an archive stays where it was made.
	setHSMPolicy(t, h, policyNetworkReplication, 0)
	_, _, err = p.backup(nil, false)
	wantErr(t, err, ck.CKR_OPERATION_NOT_ALLOWED, "HSM policy 16")
	if _, err = to.restore(file, false); err != nil {
		t.Errorf("an archive of this HSM: %v", err)
	}
	b := (&testHost{place: newTestHost().place, root: bytes.Repeat([]byte{9}, 32)}).process(t)
	far := newHouse(t, b, 0, lyra)
	setHSMPolicy(t, b, policyNetworkReplication, 0)
	_, err = far.restore(file, false)
	wantErr(t, err, ck.CKR_OPERATION_NOT_ALLOWED, "HSM policy 16")
}

// Every byte of an archive matters: whichever is changed, or wherever it is cut,
// nothing is restored.
func TestChangedArchivesRestoreNothing(t *testing.T) {
	h := newTestHost().process(t)
	p, to := newHouse(t, h, 0, lyra), newHouse(t, h, 1, lyra)
	p.furnish()
	file := p.mustBackup()
	refused := func(what string, bad []byte) {
		t.Helper()
		_, err := to.restore(bad, true)
		switch ck.RVOf(err) {
		case ck.CKR_UNWRAPPING_ERROR, ck.CKR_ENCRYPTED_DATA_INVALID, ck.CKR_DATA_INVALID:
		default:
			t.Fatalf("%s: %v", what, err)
		}
	}
	for i := range file {
		bad := slices.Clone(file)
		bad[i] ^= 1 << (i % 8)
		refused(fmt.Sprintf("byte %d changed", i), bad)
	}
	for n := range file {
		if n%7 == 0 || n > len(file)-70 || n < 400 {
			refused(fmt.Sprintf("cut to %d bytes", n), file[:n])
		}
	}
	refused("a byte more", append(slices.Clone(file), 0))
	if len(to.find()) > 0 {
		t.Error("something was restored")
	}
	if _, err := to.restore(file, true); err != nil {
		t.Fatal(err)
	}
}

// What does not fit is not restored by halves; what fits exactly is.
func TestRestoreNeedsRoom(t *testing.T) {
	h := newTestHost().process(t)
	p, to := newHouse(t, h, 0, lyra), newHouse(t, h, 1, lyra)
	p.furnish()
	file := p.mustBackup()
	resize := func(size uint64) {
		t.Helper()
		err := h.store.Update(t.Context(), func(tx store.Tx) error {
			_, s, err := h.readPartition(tx, spaceOf(uint64(to.slot)+1))
			if err != nil {
				return err
			}
			s.Size = size
			return h.replaceMeta(tx, 0, kindPartition, &s.record, s)
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	used := func(p *house) uint64 {
		t.Helper()
		return must(t, h, &p11.ListPartitions{}).Partitions[p.slot].Storage.Used
	}
	resize(used(p) - 1)
	_, err := to.restore(file, false)
	wantErr(t, err, ck.CKR_CONTAINER_OBJECT_STORAGE_FULL, "nothing was restored")
	if len(to.find()) > 0 {
		t.Error("half of the archive was restored")
	}
	resize(used(p))
	if _, err := to.restore(file, false); err != nil {
		t.Fatal(err)
	}
	if used(to) != used(p) {
		t.Errorf("the copies are charged with %d, the originals with %d", used(to), used(p))
	}
	for _, replace := range []bool{false, true} { // no more room is needed
		if _, err := to.restore(file, replace); err != nil {
			t.Error(err)
		}
	}
	resize(used(p) + 10)
	_, err = p.cloneTo(to, p.key("one more"), false)
	wantErr(t, err, ck.CKR_CONTAINER_OBJECT_STORAGE_FULL)
}

// fullDisk is a place that can take no more than some bytes.
type fullDisk struct{ left int }

func (f *fullDisk) Write(b []byte) (int, error) {
	if f.left -= len(b); f.left < 0 {
		return 0, errors.New("no space left on the device")
	}
	return len(b), nil
}

func TestBackupSaysWhatFailed(t *testing.T) {
	h := newTestHost().process(t)
	p := newHouse(t, h, 0, lyra)
	p.furnish()
	_, err := p11.Call(context.Background(), h, &p11.BackupArchive{Session: p.s, To: &fullDisk{1000}})
	wantErr(t, err, ck.CKR_DEVICE_ERROR, "no space left")
	ctx, cancel := context.WithCancel(t.Context())
	_, err = p11.Call(ctx, h, &p11.BackupArchive{Session: p.s, To: io.Discard, Progress: func(g p11.ArchiveProgress) {
		if g.Done == 3 && g.Total == 7 {
			cancel()
		}
	}})
	wantErr(t, err, ck.CKR_FUNCTION_CANCELED)
}

// An object that cannot be read is told of, and all others are saved.
func TestBackupOfADamagedPartition(t *testing.T) {
	host := newTestHost()
	h := host.process(t)
	p := newHouse(t, h, 0, lyra)
	p.furnish()
	bad := p.key("damaged")
	err := h.store.Update(t.Context(), func(tx store.Tx) error {
		rec, err := tx.Get(store.Ref(bad))
		if err != nil {
			return err
		}
		rec.Sealed = slices.Clone(rec.Sealed)
		rec.Sealed[20] ^= 1
		rec.Version++
		return tx.Replace(rec)
	})
	if err != nil {
		t.Fatal(err)
	}
	file, r, err := p.backup(nil, false)
	if err != nil || !slices.Equal(r.Unreadable, []uint64{uint64(bad)}) {
		t.Fatalf("%+v, %v", r, err)
	}
	wantResult(t, r, 7, 7, 0, 0)
	if list, err := p.contents(file); err != nil || len(list) != 7 {
		t.Error(len(list), err)
	}
}

// A restore that ends in the middle is finished by the next one.
func TestInterruptedRestore(t *testing.T) {
	h := newTestHost().process(t)
	p, to := newHouse(t, h, 0, lyra), newHouse(t, h, 1, lyra)
	for i := range 250 {
		p.data(fmt.Sprint(i), i%2 == 0)
	}
	file := p.mustBackup()
	ctx, cancel := context.WithCancel(t.Context())
	_, err := p11.Call(ctx, h, &p11.RestoreArchive{Session: to.s, From: bytes.NewReader(file), Size: int64(len(file)), Progress: func(g p11.ArchiveProgress) {
		if !g.Verifying && g.Done == 100 {
			cancel()
		}
	}})
	wantErr(t, err, ck.CKR_FUNCTION_CANCELED)
	if n := len(to.find()); n != 100 {
		t.Fatalf("%d objects after the interruption", n)
	}
	r, err := to.restore(file, false)
	if err != nil {
		t.Fatal(err)
	}
	wantResult(t, r, 250, 150, 100, 0)
	if !slices.Equal(p.all(), to.all()) {
		t.Error("what was restored is not what was backed up")
	}
}

// An HSM that was put back from an old copy gives OUIDs out again. What is in an
// archive under such an OUID must not be taken for what is in the partition.
func TestStrangersWithOneOUID(t *testing.T) {
	a, b := newTestHost().process(t), newTestHost().process(t)
	p, q := newHouse(t, a, 0, lyra), newHouse(t, b, 0, lyra)
	o, _ := p.key("mine"), q.key("yours")
	p.data("more", false)
	// As if b were a, put back: its object has the OUID of a's.
	part, err := b.partition(0)
	if err != nil {
		t.Fatal(err)
	}
	home, err := a.partition(0)
	if err != nil {
		t.Fatal(err)
	}
	*part.home = *home.home
	if p.ouid(o) != q.ouid(o) {
		t.Fatal("the test does not make the case")
	}
	r, err := q.restore(p.mustBackup(), false)
	if err != nil || len(r.Strangers) != 1 || r.Strangers[0].Label != "mine" {
		t.Fatalf("%+v, %v", r, err)
	}
	wantResult(t, r, 2, 1, 0, 0)
	// An archive to which it is appended has both, for neither may be lost.
	file, r, err := q.backup(p.mustBackup(), false)
	if err != nil {
		t.Fatal(err)
	}
	wantResult(t, r, 3, 1, 1, 0)
	if list, err := q.contents(file); err != nil || !slices.ContainsFunc(list, func(o p11.ArchivedObject) bool { return o.Label == "yours" }) {
		t.Error(list, err)
	}
}

// Objects that this version could not have made are refused, although the domain
// vouches for them.
func TestArrivingObjectsAreChecked(t *testing.T) {
	h := newTestHost().process(t)
	p := newHouse(t, h, 0, lyra)
	good, err := parseFlat([]byte(p.attributes(p.key("k"))))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := arriving(good); err != nil {
		t.Fatal(err)
	}
	for what, change := range map[string]func(l *attrList){
		"no class":              func(l *attrList) { l.remove(ck.CKA_CLASS) },
		"no OUID":               func(l *attrList) { l.remove(ck.CKA_OUID) },
		"a short OUID":          func(l *attrList) { l.put(ck.NewBytes(ck.CKA_OUID, make([]byte, 11))) },
		"no unique ID":          func(l *attrList) { l.remove(ck.CKA_UNIQUE_ID) },
		"a session object":      func(l *attrList) { l.put(ck.NewBool(ck.CKA_TOKEN, false)) },
		"an unknown attribute":  func(l *attrList) { l.put(ck.NewBytes(0x12345678, nil)) },
		"another's attribute":   func(l *attrList) { l.put(ck.NewBytes(ck.CKA_MODULUS, nil)) },
		"a boolean of 2":        func(l *attrList) { l.put(ck.NewBytes(ck.CKA_SENSITIVE, []byte{2})) },
		"a boolean of 2 bytes":  func(l *attrList) { l.put(ck.NewBytes(ck.CKA_SENSITIVE, []byte{1, 1})) },
		"a date that is none":   func(l *attrList) { l.put(ck.NewBytes(ck.CKA_END_DATE, []byte("20261399"))) },
		"half a mechanism":      func(l *attrList) { l.put(ck.NewBytes(ck.CKA_ALLOWED_MECHANISMS, make([]byte, 12))) },
		"a profile":             func(l *attrList) { l.put(ck.NewULong(ck.CKA_CLASS, ck.CKO_PROFILE)) },
		"a key of unknown type": func(l *attrList) { l.put(ck.NewULong(ck.CKA_KEY_TYPE, ck.KeyType(0x7fffffff))) },
	} {
		l := slices.Clone(good.list())
		change(&l)
		if _, err := arriving(flatten(l)); ck.RVOf(err) != ck.CKR_DATA_INVALID {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := arriving([]byte(strings.Repeat("x", 50))); ck.RVOf(err) != ck.CKR_DATA_INVALID {
		t.Error(err)
	}
}

// FuzzArriving looks for bytes that bring the checks down.
func FuzzArriving(f *testing.F) {
	f.Add([]byte(flatten(attrList{ck.NewULong(ck.CKA_CLASS, ck.CKO_DATA), ck.NewBool(ck.CKA_TOKEN, true)})))
	f.Fuzz(func(t *testing.T, b []byte) {
		if o, err := arriving(b); err == nil {
			if again, err := o.travelling(); err != nil || !bytes.Equal(again, b) {
				t.Errorf("%x goes on as %x, %v", b, again, err)
			}
		}
	})
}

// testdata/archive-v1.parc was made by the first version, of a partition with
// the domain "perilune test domain". It is never written again.
func TestVersion1ArchiveIsReadForEver(t *testing.T) {
	file, err := os.ReadFile("testdata/archive-v1.parc")
	if err != nil {
		t.Fatal(err)
	}
	p := newHouse(t, newTestHost().process(t), 0, "perilune test domain")
	r, err := p.restore(file, false)
	if err != nil {
		t.Fatal(err)
	}
	wantResult(t, r, 7, 7, 0, 0)
	list, err := p.contents(file)
	if err != nil || len(list) != 7 || list[0].Label != "pair" || list[6].KeyType != ck.CKK_AES {
		t.Errorf("%+v, %v", list, err)
	}
	for _, o := range list {
		if got := p.find(ck.NewBytes(ck.CKA_OUID, o.UID[:])); len(got) != 1 {
			t.Errorf("OUID %x: %v", o.UID, got)
		}
	}
}
