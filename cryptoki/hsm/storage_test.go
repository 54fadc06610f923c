package hsm

import (
	"bytes"
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/cryptoki/p11"
)

// deviceStorage is what devices of this class have.
const deviceStorage = 33_554_432

const hsmSOPIN = "hsm so pin"

// newStorageHSM is an HSM with an SO, whose session is returned, with so many
// bytes for so many partitions.
func newStorageHSM(t *testing.T, storage, licensed uint64) (*testHost, *HSM, ck.SessionHandle) {
	t.Helper()
	host := newTestHost()
	h := host.process(t)
	must(t, h, &p11.InitHSM{Label: "hsm", PIN: []byte(hsmSOPIN), Storage: &storage})
	s := open(t, h, p11.AdminSlot, true)
	must(t, h, &p11.Login{Session: s, User: ck.CKU_SO, PIN: []byte(hsmSOPIN)})
	must(t, h, &p11.SetHSMPolicy{Session: s, Policies: []p11.PolicySetting{{ID: policyMaxPartitions, Value: licensed}}})
	return host, h, s
}

// TestUsualSizes divides the storage among the partitions that may be made.
func TestUsualSizes(t *testing.T) {
	for licensed, sizes := range map[uint64][]uint64{
		10:  {3_345_795, 3_345_795, 3_345_795, 3_345_795, 3_345_795, 3_345_795, 3_345_795, 3_345_795, 3_345_796, 3_345_796},
		100: {325_896, 325_896, 325_896},
		1:   {33_544_784},
	} {
		_, h, s := newStorageHSM(t, deviceStorage, licensed)
		for i, size := range sizes {
			p := must(t, h, &p11.CreatePartition{Session: s, Name: fmt.Sprint("p", i)})
			if p.Storage != (p11.Storage{Total: size, Free: size, Overhead: 9_648}) {
				t.Errorf("of %d licensed, partition %d has %+v, want %d bytes", licensed, i, p.Storage, size)
			}
		}
		if len(sizes) == int(licensed) {
			account := p11.Storage{Total: deviceStorage, Used: deviceStorage, Overhead: licensed * 9_648}
			if got := must(t, h, &p11.GetHSMInfo{}).Storage; got != account {
				t.Errorf("the HSM's account with %d partitions is %+v, want %+v", licensed, got, account)
			}
			want(t, h, ck.CKR_LICENSE_CAPACITY_EXCEEDED, &p11.CreatePartition{Session: s, Name: "more"})
		}
	}
}

func TestPartitionSizes(t *testing.T) {
	_, h, s := newStorageHSM(t, 100_000, 10)
	create := func(name string, size uint64) *p11.CreatePartition {
		return &p11.CreatePartition{Session: s, Name: name, Size: size}
	}
	want(t, h, ck.CKR_HSM_STORAGE_FULL, create("a", 100_000-9_648+1))
	a := must(t, h, create("a", 50_000))
	want(t, h, ck.CKR_HSM_STORAGE_FULL, create("b", 40_000))
	if info := must(t, h, &p11.GetHSMInfo{}).Storage; info.Free != 40_352 || info.Used != 59_648 {
		t.Errorf("the HSM's account is %+v", info)
	}
	b := must(t, h, &p11.CreatePartition{Session: s, Name: "b", AllFree: true})
	if b.Storage.Total != 30_704 {
		t.Errorf("all that is free is %d bytes", b.Storage.Total)
	}
	want(t, h, ck.CKR_HSM_STORAGE_FULL, create("c", 1))
	want(t, h, ck.CKR_HSM_STORAGE_FULL, create("c", 0))
	want(t, h, ck.CKR_HSM_STORAGE_FULL, &p11.CreatePartition{Session: s, Name: "c", AllFree: true})

	resize := func(slot ck.SlotID, size uint64) *p11.ResizePartition {
		return &p11.ResizePartition{Session: s, Slot: slot, Size: size}
	}
	want(t, h, ck.CKR_HSM_STORAGE_FULL, resize(a.Slot, 50_001))
	want(t, h, ck.CKR_ARGUMENTS_BAD, resize(a.Slot, 0))
	if got := must(t, h, resize(b.Slot, 10_000)).Storage.Total; got != 10_000 {
		t.Errorf("resized to %d", got)
	}
	if got := must(t, h, &p11.ResizePartition{Session: s, Slot: a.Slot, AllFree: true}).Storage.Total; got != 70_704 {
		t.Errorf("all that is free and its own is %d", got)
	}
	must(t, h, &p11.DeletePartition{Session: s, Slot: a.Slot})
	if free := must(t, h, &p11.GetHSMInfo{}).Storage.Free; free != 100_000-10_000-9_648 {
		t.Errorf("after a deletion %d bytes are free", free)
	}
}

// TestNoLimit has sizes only where somebody gave one.
func TestNoLimit(t *testing.T) {
	_, h, s := newStorageHSM(t, 0, 100)
	all := must(t, h, &p11.CreatePartition{Session: s, Name: "all", AllFree: true})
	usual := must(t, h, &p11.CreatePartition{Session: s, Name: "usual"})
	small := must(t, h, &p11.CreatePartition{Session: s, Name: "small", Size: 5_000})
	for _, c := range []struct {
		p    p11.PartitionInfo
		want uint64
	}{{all, 0}, {usual, 0}, {small, 5_000}} {
		if c.p.Storage.Total != c.want {
			t.Errorf("%s has %d bytes", c.p.Name, c.p.Storage.Total)
		}
	}
	want(t, h, ck.CKR_ARGUMENTS_BAD, &p11.CreatePartition{Session: s, Name: "absurd", Size: 1 << 63})
	if got := must(t, h, &p11.ResizePartition{Session: s, Slot: small.Slot}).Storage.Total; got != 0 {
		t.Errorf("without a limit %d bytes are left", got)
	}
	token := must(t, h, &p11.GetTokenInfo{Slot: usual.Slot})
	if token.TotalPrivateMemory != ck.UnavailableInformation || token.FreePublicMemory != ck.UnavailableInformation {
		t.Errorf("the token has %d of %d bytes free", token.FreePublicMemory, token.TotalPrivateMemory)
	}
}

// smallPartition is a partition of a size, with its Crypto Officer logged in.
func smallPartition(t *testing.T, h *HSM, so ck.SessionHandle, size uint64) (ck.SlotID, ck.SessionHandle) {
	t.Helper()
	slot := must(t, h, &p11.CreatePartition{Session: so, Name: "small", Size: size}).Slot
	initPartition(t, h, slot)
	s := open(t, h, slot, true)
	login(t, h, s)
	return slot, s
}

func dataObject(value []byte, more ...ck.Attribute) []ck.Attribute {
	return append([]ck.Attribute{
		ck.NewULong(ck.CKA_CLASS, ck.CKO_DATA), ck.NewBool(ck.CKA_TOKEN, true), ck.NewBytes(ck.CKA_VALUE, value),
	}, more...)
}

// TestFullPartition fills a partition to its last byte and tries every way to
// bring something more into it.
func TestFullPartition(t *testing.T) {
	_, h, so := newStorageHSM(t, deviceStorage, 10)
	const size = 20 * chargedFixed
	slot, s := smallPartition(t, h, so, size)
	free := func() uint64 {
		info := must(t, h, &p11.GetTokenInfo{Slot: slot})
		if info.TotalPublicMemory != size || info.TotalPrivateMemory != size || info.FreePrivateMemory != info.FreePublicMemory {
			t.Fatalf("memory: %+v", info)
		}
		return info.FreePublicMemory
	}
	aes := func(more ...ck.Attribute) *p11.GenerateKey {
		return &p11.GenerateKey{Session: s, Mechanism: mech(ck.CKM_AES_KEY_GEN),
			Template: append([]ck.Attribute{ck.NewBool(ck.CKA_TOKEN, true), valueLen(16)}, more...)}
	}
	key := must(t, h, aes(ck.NewBool(ck.CKA_EXTRACTABLE, true))).Object
	if free() != size-chargedFixed-16 {
		t.Fatalf("an AES key took %d bytes", size-free())
	}
	filler := must(t, h, &p11.CreateObject{Session: s, Template: dataObject(make([]byte, 1_000))}).Object
	rest := free()
	last := dataObject(make([]byte, rest-chargedFixed+chargedText))
	want(t, h, ck.CKR_CONTAINER_OBJECT_STORAGE_FULL, &p11.CreateObject{Session: s, Template: dataObject(make([]byte, rest-chargedFixed+chargedText+1))})
	final := must(t, h, &p11.CreateObject{Session: s, Template: last}).Object
	if free() != 0 {
		t.Fatalf("%d bytes are free in the full partition", free())
	}

	const full = ck.CKR_CONTAINER_OBJECT_STORAGE_FULL
	token := ck.NewBool(ck.CKA_TOKEN, true)
	objects := count(t, h, slot)
	want(t, h, full, &p11.CreateObject{Session: s, Template: dataObject(nil)})
	want(t, h, full, aes())
	want(t, h, full, &p11.GenerateKeyPair{Session: s, Mechanism: mech(ck.CKM_EC_KEY_PAIR_GEN),
		Public: []ck.Attribute{token, ck.NewBytes(ck.CKA_EC_PARAMS, p256)}})
	want(t, h, full, &p11.CopyObject{Session: s, Object: filler})
	want(t, h, full, &p11.SetAttributeValue{Session: s, Object: final, Template: []ck.Attribute{ck.NewBytes(ck.CKA_LABEL, make([]byte, 1))}})
	wrapping := must(t, h, &p11.GenerateKey{Session: s, Mechanism: mech(ck.CKM_AES_KEY_GEN), Template: []ck.Attribute{
		valueLen(16), ck.NewBool(ck.CKA_WRAP, true), ck.NewBool(ck.CKA_UNWRAP, true), ck.NewBool(ck.CKA_DERIVE, true)}}).Object
	wrapped := make([]byte, 64)
	n := must(t, h, &p11.WrapKey{Session: s, Mechanism: mech(ck.CKM_AES_KEY_WRAP), WrappingKey: wrapping, Key: key, Out: p11.Output{Buf: wrapped}}).N
	want(t, h, full, &p11.UnwrapKey{Session: s, Mechanism: mech(ck.CKM_AES_KEY_WRAP), UnwrappingKey: wrapping, Wrapped: wrapped[:n],
		Template: []ck.Attribute{token, ck.NewULong(ck.CKA_CLASS, ck.CKO_SECRET_KEY), ck.NewULong(ck.CKA_KEY_TYPE, ck.CKK_AES)}})
	want(t, h, full, &p11.DeriveKey{Session: s, Mechanism: mech(ck.CKM_SHA256_KEY_DERIVATION), BaseKey: wrapping,
		Template: []ck.Attribute{token, ck.NewULong(ck.CKA_CLASS, ck.CKO_SECRET_KEY), ck.NewULong(ck.CKA_KEY_TYPE, ck.CKK_GENERIC_SECRET)}})
	if got := count(t, h, slot); got != objects {
		t.Errorf("%d objects where there were %d", got, objects)
	}
	if rs := must(t, h, &p11.ListPartitions{}).Partitions[0]; rs.Objects != objects || rs.Storage.Used != size || rs.Storage.Free != 0 {
		t.Errorf("the partition's account is %+v", rs)
	}

	// What takes no more goes on: use, session objects, changes, deletion.
	must(t, h, &p11.SetAttributeValue{Session: s, Object: key, Template: []ck.Attribute{ck.NewBytes(ck.CKA_LABEL, bytes.Repeat([]byte("x"), 60))}})
	must(t, h, &p11.CreateObject{Session: s, Template: []ck.Attribute{ck.NewULong(ck.CKA_CLASS, ck.CKO_DATA), ck.NewBytes(ck.CKA_VALUE, make([]byte, 5_000))}})
	want(t, h, full, &p11.ResizePartition{Session: so, Slot: slot, Size: size - 1})
	must(t, h, &p11.DestroyObject{Session: s, Object: filler})
	must(t, h, aes())
	must(t, h, &p11.ResizePartition{Session: so, Slot: slot, Size: 2 * size})
	must(t, h, &p11.CreateObject{Session: s, Template: dataObject(make([]byte, size))})
}

func count(t *testing.T, h *HSM, slot ck.SlotID) uint64 {
	t.Helper()
	for _, p := range must(t, h, &p11.ListPartitions{}).Partitions {
		if p.Slot == slot {
			return p.Objects
		}
	}
	t.Fatalf("no partition in slot %d", slot)
	return 0
}

// TestPairsFitTheDevice shows by generated pairs, with labels and identifiers as
// programs give them, how many fit a device: 19,000 of RSA-2048, 91,000 of P-256.
func TestPairsFitTheDevice(t *testing.T) {
	_, h, so := newStorageHSM(t, deviceStorage, 10)
	p := must(t, h, &p11.CreatePartition{Session: so, Name: "all", AllFree: true})
	initPartition(t, h, p.Slot)
	s := open(t, h, p.Slot, true)
	login(t, h, s)
	token, id := ck.NewBool(ck.CKA_TOKEN, true), ck.NewBytes(ck.CKA_ID, make([]byte, 20))
	label := ck.NewBytes(ck.CKA_LABEL, []byte("a label of 32 bytes for this key"))
	rsa := func(bits uint64) []ck.Attribute {
		return []ck.Attribute{token, id, label, ck.NewULong(ck.CKA_MODULUS_BITS, bits), ck.NewBytes(ck.CKA_PUBLIC_EXPONENT, []byte{1, 0, 1})}
	}
	for _, c := range []struct {
		name   string
		m      ck.MechanismType
		public []ck.Attribute
		atMost uint64
		fit    uint64
	}{
		{"RSA-2048", ck.CKM_RSA_PKCS_KEY_PAIR_GEN, rsa(2048), 1_765, 19_000},
		{"RSA-4096", ck.CKM_RSA_PKCS_KEY_PAIR_GEN, rsa(4096), 3_160, 10_000},
		{"P-256", ck.CKM_EC_KEY_PAIR_GEN, []ck.Attribute{token, id, label, ck.NewBytes(ck.CKA_EC_PARAMS, p256)}, 368, 91_000},
	} {
		for range 3 {
			before := must(t, h, &p11.GetTokenInfo{Slot: p.Slot}).FreePublicMemory
			must(t, h, &p11.GenerateKeyPair{Session: s, Mechanism: mech(c.m), Public: c.public, Private: []ck.Attribute{token, id, label}})
			pair := before - must(t, h, &p11.GetTokenInfo{Slot: p.Slot}).FreePublicMemory
			if fit := p.Storage.Total / pair; pair > c.atMost || fit < c.fit {
				t.Errorf("a pair of %s takes %d bytes, so %d fit; at least %d must", c.name, pair, fit, c.fit)
			}
		}
	}
}

// TestChargeCountsWhatIsLong: labels and identifiers of ordinary length are
// free, what is longer is not, and no attribute hides a store of its own.
func TestChargeCountsWhatIsLong(t *testing.T) {
	h := newTestHSM(t)
	s := open(t, h, 0, true)
	login(t, h, s)
	used := func() uint64 { return must(t, h, &p11.ListPartitions{}).Partitions[0].Storage.Used }
	long := make([]byte, 10_000)
	cert := []ck.Attribute{ck.NewULong(ck.CKA_CLASS, ck.CKO_CERTIFICATE), ck.NewULong(ck.CKA_CERTIFICATE_TYPE, ck.CKC_X_509),
		ck.NewBool(ck.CKA_TOKEN, true), ck.NewBytes(ck.CKA_SUBJECT, []byte("subject")), ck.NewBytes(ck.CKA_VALUE, long)}
	for _, c := range []struct {
		name     string
		template []ck.Attribute
		want     uint64
	}{
		{"empty data", dataObject(nil), 124},
		{"short data", dataObject(make([]byte, 96)), 124},
		{"label and data", dataObject(make([]byte, 96), ck.NewBytes(ck.CKA_LABEL, make([]byte, 32))), 124 + 32},
		{"long data", dataObject(long), 124 + 10_000 - 96},
		{"long label", dataObject(nil, ck.NewBytes(ck.CKA_LABEL, long)), 124 + 10_000 - 96},
		{"certificate", cert, 124 + 10_000 + 7 + 3 - 96}, // with subject and check value,
	} {
		before := used()
		must(t, h, &p11.CreateObject{Session: s, Template: c.template})
		if got := used() - before; got != c.want {
			t.Errorf("%s takes %d bytes, want %d", c.name, got, c.want)
		}
	}
	key := must(t, h, &p11.GenerateKeyPair{Session: s, Mechanism: mech(ck.CKM_EC_KEY_PAIR_GEN),
		Public: []ck.Attribute{ck.NewBytes(ck.CKA_EC_PARAMS, p256)}, Private: []ck.Attribute{ck.NewBool(ck.CKA_TOKEN, true)}}).Private
	for _, attr := range []ck.AttributeType{ck.CKA_SUBJECT, ck.CKA_ID, ck.CKA_LABEL, ck.CKA_PUBLIC_KEY_INFO} {
		before := used()
		_, err := p11.Call(context.Background(), h, &p11.SetAttributeValue{Session: s, Object: key, Template: []ck.Attribute{ck.NewBytes(attr, long)}})
		if grown := used() - before; err == nil && grown < 9_000 {
			t.Errorf("10,000 bytes of %v were charged with %d", attr, grown)
		}
		if err == nil {
			must(t, h, &p11.SetAttributeValue{Session: s, Object: key, Template: []ck.Attribute{ck.NewBytes(attr, nil)}})
		}
	}
}

// TestFirstLimit gives partitions that were made without a size one, when the
// HSM gets a total: never less than what is in them.
func TestFirstLimit(t *testing.T) {
	h := newTestHSM(t)
	initPartition(t, h, 1)
	s := open(t, h, 0, true)
	login(t, h, s)
	must(t, h, &p11.CreateObject{Session: s, Template: dataObject(make([]byte, 50_000))})
	small, enough := uint64(60_000), uint64(100_000)
	want(t, h, ck.CKR_HSM_STORAGE_FULL, &p11.InitHSM{PIN: []byte(hsmSOPIN), Storage: &small})
	must(t, h, &p11.InitHSM{PIN: []byte(hsmSOPIN), Storage: &enough})
	parts := must(t, h, &p11.ListPartitions{}).Partitions
	if a, b := parts[0].Storage, parts[1].Storage; a.Used > a.Total || a.Used < 50_000 || b.Total == 0 || a.Total+b.Total+2*9_648 > enough {
		t.Errorf("accounts %+v and %+v", a, b)
	}
	must(t, h, &p11.DestroyObject{Session: s, Object: must(t, h, &p11.FindObjects{Session: findAll(t, h, s), Max: 1}).Objects[0]})
}

func findAll(t *testing.T, h *HSM, s ck.SessionHandle) ck.SessionHandle {
	t.Helper()
	must(t, h, &p11.FindObjectsInit{Session: s})
	return s
}

// TestRaceForTheLastBytes lets two processes fill a partition at once: never
// does more come in than fits.
func TestRaceForTheLastBytes(t *testing.T) {
	host, h, so := newStorageHSM(t, deviceStorage, 10)
	const fit = 50
	slot, s := smallPartition(t, h, so, fit*chargedFixed+chargedFixed-1)
	other := host.process(t)
	o := open(t, other, slot, true)
	login(t, other, o)
	var wg sync.WaitGroup
	made := make([]int, 2)
	for i, c := range []struct {
		h *HSM
		s ck.SessionHandle
	}{{h, s}, {other, o}} {
		wg.Go(func() {
			for {
				_, err := p11.Call(context.Background(), c.h, &p11.CreateObject{Session: c.s, Template: dataObject(nil)})
				if err != nil {
					if ck.RVOf(err) != ck.CKR_CONTAINER_OBJECT_STORAGE_FULL {
						t.Error(err)
					}
					return
				}
				made[i]++
			}
		})
	}
	wg.Wait()
	if made[0]+made[1] != fit {
		t.Errorf("%d and %d objects came in where %d fit", made[0], made[1], fit)
	}
}

func TestRenameAndLabel(t *testing.T) {
	_, h, so := newStorageHSM(t, 0, 10)
	a := must(t, h, &p11.CreatePartition{Session: so, Name: "a"}).Slot
	must(t, h, &p11.CreatePartition{Session: so, Name: "b"})
	initPartition(t, h, a)
	want(t, h, ck.CKR_OBJECT_ALREADY_EXISTS, &p11.RenamePartition{Session: so, Slot: a, Name: "b"})
	want(t, h, ck.CKR_ARGUMENTS_BAD, &p11.RenamePartition{Session: so, Slot: a, Name: "with blank"})
	want(t, h, ck.CKR_SLOT_ID_INVALID, &p11.RenamePartition{Session: so, Slot: 99, Name: "c"})
	must(t, h, &p11.RenamePartition{Session: so, Slot: a, Name: "c"})
	must(t, h, &p11.RenamePartition{Session: so, Slot: a, Name: "c"})

	s := open(t, h, a, true)
	want(t, h, ck.CKR_USER_NOT_LOGGED_IN, &p11.LabelPartition{Session: s, Label: "new"})
	must(t, h, &p11.Login{Session: s, User: ck.CKU_SO, PIN: []byte(soPIN)})
	want(t, h, ck.CKR_ARGUMENTS_BAD, &p11.LabelPartition{Session: s, Label: "a label of more than 32 bytes, so far"})
	must(t, h, &p11.LabelPartition{Session: s, Label: "new   "})
	got := must(t, h, &p11.ListPartitions{}).Partitions[0]
	if got.Name != "c" || got.Label != "new" || must(t, h, &p11.GetTokenInfo{Slot: a}).Label != "new" {
		t.Errorf("the partition is %+v", got)
	}
	must(t, h, &p11.Logout{Session: s})
	login(t, h, s)
	want(t, h, ck.CKR_USER_NOT_AUTHORIZED, &p11.LabelPartition{Session: s, Label: "mine"})
}

// TestClear deletes what the role may delete, and no more.
func TestClear(t *testing.T) {
	h := newTestHSM(t)
	s := open(t, h, 0, true)
	want(t, h, ck.CKR_USER_NOT_LOGGED_IN, &p11.ClearPartition{Session: s})
	login(t, h, s)
	fill := func() {
		for i := range 450 {
			must(t, h, &p11.CreateObject{Session: s, Template: dataObject(nil, ck.NewBool(ck.CKA_PRIVATE, i%2 == 0))})
		}
		must(t, h, &p11.GenerateKey{Session: s, Mechanism: mech(ck.CKM_AES_KEY_GEN), Template: []ck.Attribute{ck.NewBool(ck.CKA_TOKEN, true), valueLen(16)}})
	}
	fill()
	must(t, h, &p11.CreateObject{Session: s, Template: dataObject(nil, ck.NewBool(ck.CKA_DESTROYABLE, false))})
	must(t, h, &p11.Logout{Session: s})
	must(t, h, &p11.Login{Session: s, User: ck.CKU_SO, PIN: []byte(soPIN)})
	if n := must(t, h, &p11.ClearPartition{Session: s}).Objects; n != 225 {
		t.Errorf("the Partition SO cleared %d objects", n)
	}
	must(t, h, &p11.Logout{Session: s})
	login(t, h, s)
	session := must(t, h, &p11.CreateObject{Session: s, Template: dataObject(nil)[:1]}).Object
	if n := must(t, h, &p11.ClearPartition{Session: s}).Objects; n != 226 {
		t.Errorf("the Crypto Officer cleared %d objects", n)
	}
	if left := count(t, h, 0); left != 1 {
		t.Errorf("%d objects are left", left)
	}
	must(t, h, &p11.GetObjectSize{Session: s, Object: session}) // it is none of the token's
	ro := open(t, h, 0, false)
	want(t, h, ck.CKR_SESSION_READ_ONLY, &p11.ClearPartition{Session: ro})
}
