package hsm

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"math/big"
	"slices"
	"strconv"
	"time"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/cryptoki/p11"
	"github.com/perilune/perilune/store"
)

// hsmState is the record of the HSM.
type hsmState struct {
	record
	Serial      uint64
	Label       string
	Initialized bool // an HSM SO exists
	Zeroized    bool // it had an HSM SO, and lost him with everything else
	// ByHand says that a command zeroized it, not failed logins.
	ByHand bool `json:",omitempty"`
	// Life changes whenever the HSM SO is destroyed; a process in which one is
	// logged in on the administration's slot ends that.
	Life []byte `json:",omitempty"`
	// Unclean is a random mark while what was destroyed may still be found in
	// the files. Whoever sees it goes on with the cleaning: zeroize.go.
	Unclean []byte `json:",omitempty"`
	Profile string
	Created string
	// Storage is what the HSM has for partitions, in bytes; 0 for no limit.
	Storage       uint64 `json:",omitempty"`
	NextPartition uint64 // number of the next partition, from 1, never reused
	// Domain is the key of the administration's cloning domain, under the key
	// that the HSM SO holds; empty where none was set.
	Domain []byte `json:",omitempty"`
	// Policies holds the settings that were changed, by id.
	Policies map[uint64]uint64 `json:",omitempty"`
	// Marked says that a mark was made; see mark.go.
	Marked bool `json:",omitempty"`
}

// partitionState is the record of a partition.
type partitionState struct {
	record
	Number      uint64
	Name        string
	Label       string
	Initialized bool
	// Epoch changes whenever the contents are destroyed; a process that holds
	// sessions of another epoch loses them.
	Epoch []byte
	// Salt makes the keys of public objects; destroying it destroys them.
	Salt []byte
	// ObjectSalt makes the keys of private objects from the partition key;
	// destroying it destroys them, whoever holds the partition key. Partitions
	// of old have none until they are emptied.
	ObjectSalt []byte `json:",omitempty"`
	// WipedTo is the last reference of the objects whose keys are destroyed.
	WipedTo store.Ref `json:",omitempty"`
	// Wiping says that old objects may still have to be deleted. Their keys
	// are gone already.
	Wiping bool
	// Removing says that the partition itself goes when that is done.
	Removing bool
	Created  string
	// Policies holds the settings that were changed, by id.
	Policies map[uint64]uint64 `json:",omitempty"`
	// Destructive holds the directions that the initialisation made
	// destructive beyond the table, by id.
	Destructive map[uint64]directions `json:",omitempty"`
	// Size is what the objects may take, in bytes of account; 0 for no limit.
	Size uint64 `json:",omitempty"`
	// Restarts counts how often all sessions of all processes were ended.
	Restarts uint64 `json:",omitempty"`
	// Domain is the key of the cloning domain under the partition key; empty
	// where none was set.
	Domain []byte `json:",omitempty"`
}

// record is where a piece of metadata was read from.
type record struct {
	ref     store.Ref
	version uint64
}

// metaState is the HSM and its partitions, as read in one transaction.
type metaState struct {
	hsm   hsmState
	parts []partitionState
	// Of partitions whose records are damaged: the records, and the numbers of
	// the partitions as far as there is something in them.
	damaged []store.Record
	lost    []uint64
}

// MaxPartitions is how many partitions an HSM can have.
const MaxPartitions = 100

// serialFactor makes partition serials from HSM serials: 2^32 of them fit into
// the 16 digits of CK_TOKEN_INFO.
const serialFactor = 2_328_306

// errNoFreeSlot is for administration on a slot that holds no partition yet.
var errNoFreeSlot = fmt.Errorf("the slot has no partition yet: %w", ck.CKR_TOKEN_NOT_RECOGNIZED)

func slotOf(space store.Space) ck.SlotID { return ck.SlotID(space) - 1 }
func spaceOf(number uint64) store.Space  { return store.Space(number) }
func (s *partitionState) free() bool     { return s.ref == 0 }
func (h *HSM) timestamp() string         { return h.opts.Now().UTC().Format(time.RFC3339) }
func (h *HSM) serialOf(n uint64) string  { return strconv.FormatUint(h.info.Serial*serialFactor+n, 10) }
func (p *partition) admin() bool         { return p.slot == p11.AdminSlot }
func randomBytes(n int) []byte           { b := make([]byte, n); rand.Read(b); return b }

// ensureHSM writes the record of the HSM into an empty store.
func (h *HSM) ensureHSM(ctx context.Context) error {
	used, err := h.used(ctx)
	if err != nil || used {
		return err
	}
	if err := h.newMark(ctx); err != nil {
		return err
	}
	return h.store.Update(ctx, func(tx store.Tx) error {
		if moment, err := tx.Now(); err != nil || moment > 0 {
			return err // another process was faster
		}
		serial, err := rand.Int(rand.Reader, big.NewInt(9_000_000))
		if err != nil {
			return err
		}
		s := hsmState{
			Serial: 1_000_000 + serial.Uint64(), Profile: profileStandard,
			Created: h.timestamp(), NextPartition: 1,
			Marked: h.mark.place != nil,
		}
		return h.insertMeta(tx, 0, kindHSM, &s.record, &s)
	})
}

// used reports whether the store ever had a record. One that had and has none of
// the HSM any more is damaged: nothing new is made in its place.
func (h *HSM) used(ctx context.Context) (bool, error) {
	moment, err := h.now(ctx)
	return moment > 0, err
}

// insertMeta seals v as JSON into a new record.
func (h *HSM) insertMeta(tx store.Tx, space store.Space, kind store.Kind, at *record, v any) error {
	ref, err := tx.NewRef()
	if err != nil {
		return err
	}
	r := store.Record{Ref: ref, Space: space, Kind: kind, Version: 1}
	if err := h.sealMeta(&r, v); err != nil {
		return err
	}
	*at = record{ref, 1}
	return tx.Insert(r)
}

// replaceMeta seals v into the record that it was read from.
func (h *HSM) replaceMeta(tx store.Tx, space store.Space, kind store.Kind, at *record, v any) error {
	r := store.Record{Ref: at.ref, Space: space, Kind: kind, Version: at.version + 1}
	if err := h.sealMeta(&r, v); err != nil {
		return err
	}
	if err := tx.Replace(r); err != nil {
		return err
	}
	at.version++
	return nil
}

func (h *HSM) sealMeta(r *store.Record, v any) error {
	plaintext, err := json.Marshal(v)
	if err != nil {
		return err
	}
	h.meta.seal(r, plaintext)
	return nil
}

func (h *HSM) openMeta(r store.Record, at *record, v any) error {
	plaintext, err := h.meta.open(&r)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(plaintext, v); err != nil {
		return fmt.Errorf("record %d: %w: %w", r.Ref, err, store.ErrCorrupt)
	}
	*at = record{r.Ref, r.Version}
	return nil
}

// readMeta reads the HSM and its partitions.
func (h *HSM) readMeta(tx store.Tx) (*metaState, error) {
	m := new(metaState)
	recs, err := tx.List(0, kindHSM, 0, 0)
	if err != nil {
		return nil, err
	}
	if len(recs) != 1 {
		return nil, fmt.Errorf("%d records of the HSM itself where one belongs in the store in %s: put the directory back from a copy: %w",
			len(recs), h.opts.Location, store.ErrCorrupt)
	}
	if err := h.openMeta(recs[0], &m.hsm.record, &m.hsm); err != nil {
		return nil, h.unopened(tx, err)
	}
	if recs, err = tx.List(0, kindPartition, 0, 0); err != nil {
		return nil, err
	}
	for _, r := range recs {
		var s partitionState
		err := h.openMeta(r, &s.record, &s)
		if isDamage(err) {
			h.noteDamage(&r, err)
			m.damaged = append(m.damaged, r)
			continue
		}
		if err != nil {
			return nil, err
		}
		m.parts = append(m.parts, s)
	}
	slices.SortFunc(m.parts, func(a, b partitionState) int { return cmp.Compare(a.Number, b.Number) })
	if n, err := tx.Count(0, kindPartition); err != nil || n != uint64(len(m.parts)) {
		return m, cmp.Or(err, m.findLost(tx))
	}
	return m, nil
}

// readPartition reads the state of one partition anew inside a transaction.
func (h *HSM) readPartition(tx store.Tx, space store.Space) (*metaState, *partitionState, error) {
	m, err := h.readMeta(tx)
	if err != nil {
		return nil, nil, err
	}
	for i := range m.parts {
		if spaceOf(m.parts[i].Number) == space {
			return m, &m.parts[i], nil
		}
	}
	return m, nil, nil
}

// applyMeta makes the slots what the store says.
func (h *HSM) applyMeta(m *metaState) error {
	seen := map[ck.SlotID]bool{}
	var lost []*partition
	h.mu.Lock()
	if admin := h.parts[p11.AdminSlot]; admin != nil && string(h.info.Life) != string(m.hsm.Life) {
		lost = append(lost, admin)
		delete(h.parts, p11.AdminSlot)
	}
	h.info = m.hsm
	if err := h.findHome(); err != nil {
		h.mu.Unlock()
		return err
	}
	h.applyPolicies()
	h.lost = map[ck.SlotID]bool{}
	for _, n := range m.lost {
		h.lost[slotOf(spaceOf(n))] = true
	}
	for _, s := range m.parts {
		slot := slotOf(spaceOf(s.Number))
		seen[slot] = true
		old := h.parts[slot]
		policies := s.settings(&m.hsm)
		if old != nil && old.takeState(s, policies) {
			continue
		}
		p, err := h.newPartition(s, policies)
		if err != nil {
			h.mu.Unlock()
			return err
		}
		if old != nil {
			lost = append(lost, old)
		}
		h.parts[slot] = p
		h.noteEvent(slot)
	}
	if !m.hsm.Initialized {
		h.addFreeSlot(m.hsm.NextPartition, seen)
	}
	for slot, p := range h.parts {
		if !seen[slot] && !p.admin() {
			lost = append(lost, p)
			delete(h.parts, slot)
			h.noteEvent(slot)
		}
	}
	h.showBare(p11.AdminSlot, 0)
	h.mu.Unlock()
	for _, p := range lost {
		h.closeAll(p)
	}
	return nil
}

// noteEvent tells C_WaitForSlotEvent of a slot, once until somebody asks. The
// caller holds h.mu.
func (h *HSM) noteEvent(slot ck.SlotID) {
	if !slices.Contains(h.events, slot) {
		h.events = append(h.events, slot)
	}
}

// takeState updates a partition that is still the same one.
func (p *partition) takeState(s partitionState, policies *settings) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if string(p.state.Epoch) != string(s.Epoch) || p.state.Restarts != s.Restarts {
		return false
	}
	p.state = s
	p.policies.Store(policies)
	return true
}

func (h *HSM) newPartition(s partitionState, policies *settings) (*partition, error) {
	secret, err := h.root.Derive("public objects", append([]byte(strconv.FormatUint(s.Number, 10)+":"), s.Salt...))
	if err != nil {
		return nil, err
	}
	public, err := newSpaceKeys(secret)
	if err != nil {
		return nil, err
	}
	p := &partition{slot: slotOf(spaceOf(s.Number)), space: spaceOf(s.Number), public: public, state: s, home: h.home}
	p.policies.Store(policies)
	return p, nil
}

// addFreeSlot shows the slot whose C_InitToken makes a partition.
func (h *HSM) addFreeSlot(next uint64, seen map[ck.SlotID]bool) {
	slot := slotOf(spaceOf(next))
	seen[slot] = true
	if h.showBare(slot, spaceOf(next)) {
		h.noteEvent(slot)
	}
}

// showBare shows a slot that holds no partition, the free one or the
// administration's, and reports whether it is new. The caller holds h.mu.
func (h *HSM) showBare(slot ck.SlotID, space store.Space) bool {
	p, there := h.parts[slot]
	if !there {
		p = &partition{slot: slot, space: space}
		h.parts[slot] = p
	}
	p.policies.Store(h.info.partitionDefaults())
	return !there
}

// partition returns the partition in a slot.
func (h *HSM) partition(slot ck.SlotID) (*partition, error) {
	h.mu.RLock()
	defer h.mu.RUnlock()
	if p := h.parts[slot]; p != nil {
		return p, nil
	}
	if h.lost[slot] {
		return nil, errDamagedPartition(slot)
	}
	return nil, ck.CKR_SLOT_ID_INVALID
}

// stateNow is a copy of the partition's record.
func (p *partition) stateNow() partitionState {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return p.state
}

// createPartition adds an empty, uninitialised partition.
func (h *HSM) createPartition(tx store.Tx, m *metaState, name string, w wish) (*partitionState, error) {
	if licensed := m.hsm.licensed(); len(m.parts) >= licensed {
		return nil, deny(refusePartitions, "the HSM may have %d partitions (HSM policy %d), and has %d",
			licensed, policyMaxPartitions, len(m.parts))
	}
	size, err := m.sizeOf(w, 0)
	if err != nil {
		return nil, err
	}
	number := m.hsm.NextPartition
	if name == "" {
		name = fmt.Sprintf("partition%d", number)
	}
	if err := m.nameIsFree(name, number); err != nil {
		return nil, err
	}
	m.hsm.NextPartition++
	if err := h.replaceMeta(tx, 0, kindHSM, &m.hsm.record, &m.hsm); err != nil {
		return nil, err
	}
	s := &partitionState{
		Number: number, Name: name, Epoch: randomBytes(16), Salt: randomBytes(32), ObjectSalt: randomBytes(32),
		Created: h.timestamp(), Size: size,
	}
	return s, h.insertMeta(tx, 0, kindPartition, &s.record, s)
}
