package hsm

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/cryptoki/p11"
	"github.com/perilune/perilune/store"
)

// Version is the version of the library, major and minor.
var Version = ck.Version{Major: 0, Minor: 1}

const manufacturer = "Perilune"

func (h *HSM) handleGetInfo(_ context.Context, _ *p11.GetInfo, r *ck.Info) error {
	i := &h.profile().info
	*r = ck.Info{
		CryptokiVersion:    i.cryptoki,
		ManufacturerID:     manufacturer,
		LibraryDescription: i.description,
		LibraryVersion:     cmp.Or(i.library, Version),
	}
	return nil
}

// firmwareVersion is as much of the firmware's version as a CK_VERSION can
// say: minor and subminor share a byte, as in decimal.
func (i *profileInfo) firmwareVersion() ck.Version {
	var v [3]byte
	if n, _ := fmt.Sscanf(i.firmware, "%d.%d.%d", &v[0], &v[1], &v[2]); n != len(v) {
		return Version
	}
	return ck.Version{Major: v[0], Minor: 10*v[1] + v[2]}
}

// handleGetSlotList lists the partitions' slots and the free slot. Every one
// has a token, if not an initialised one.
func (h *HSM) handleGetSlotList(_ context.Context, _ *p11.GetSlotList, r *p11.SlotList) error {
	h.mu.RLock()
	defer h.mu.RUnlock()
	for slot := range h.parts {
		if slot != p11.AdminSlot {
			r.Slots = append(r.Slots, slot)
		}
	}
	slices.Sort(r.Slots)
	return nil
}

func (h *HSM) handleGetSlotInfo(_ context.Context, q *p11.GetSlotInfo, r *ck.SlotInfo) error {
	p, err := h.partition(q.Slot)
	if err != nil {
		return err
	}
	i := &h.profile().info
	*r = ck.SlotInfo{
		SlotDescription: cmp.Or(i.slot, "Perilune partition "+p.name()),
		ManufacturerID:  manufacturer,
		Flags:           ck.CKF_TOKEN_PRESENT | i.slotFlags,
		FirmwareVersion: i.firmwareVersion(),
	}
	return nil
}

// name is the partition's name for people.
func (p *partition) name() string {
	s := p.stateNow()
	switch {
	case p.admin():
		return "(administration)"
	case s.free():
		return "(free)"
	}
	return s.Name
}

func (h *HSM) handleGetTokenInfo(ctx context.Context, q *p11.GetTokenInfo, r *ck.TokenInfo) error {
	p, err := h.partition(q.Slot)
	if err != nil {
		return err
	}
	roles, err := h.viewRoles(ctx, p.space)
	if err != nil {
		return err
	}
	s := p.stateNow()
	minPIN, maxPIN := h.pinLengths(p)
	i := &h.profile().info
	*r = ck.TokenInfo{
		Label: s.Label, ManufacturerID: manufacturer, Model: i.model, SerialNumber: h.serial(p),
		Flags:             i.tokenFlags,
		MaxSessionCount:   ck.EffectivelyInfinite,
		MaxRwSessionCount: ck.EffectivelyInfinite,
		MinPinLen:         uint64(minPIN), MaxPinLen: uint64(maxPIN),
		FirmwareVersion: i.firmwareVersion(),
	}
	if err := h.tokenMemory(ctx, p, r); err != nil {
		return err
	}
	p.mu.RLock()
	r.SessionCount, r.RwSessionCount = uint64(p.nSessions), uint64(p.nRW)
	p.mu.RUnlock()
	so, user := p11.RolePartitionSO, p11.RoleCryptoOfficer
	if p.admin() {
		so = p11.RoleHSMSO
	}
	if s.Initialized || p.admin() && h.initialized() {
		r.Flags |= ck.CKF_TOKEN_INITIALIZED
	}
	if roles[user] != nil {
		r.Flags |= ck.CKF_USER_PIN_INITIALIZED
	}
	r.Flags |= h.pinFlags(p, roles[so], ck.CKF_SO_PIN_COUNT_LOW, ck.CKF_SO_PIN_FINAL_TRY, ck.CKF_SO_PIN_LOCKED, ck.CKF_SO_PIN_TO_BE_CHANGED)
	r.Flags |= h.pinFlags(p, roles[user], ck.CKF_USER_PIN_COUNT_LOW, ck.CKF_USER_PIN_FINAL_TRY, ck.CKF_USER_PIN_LOCKED, ck.CKF_USER_PIN_TO_BE_CHANGED)
	return nil
}

// pinFlags tells how many tries a role has left, and whether it must change its
// PIN.
func (h *HSM) pinFlags(p *partition, r *roleState, low, final, locked, change ck.Flags) (f ck.Flags) {
	if r == nil {
		return 0
	}
	if r.MustChange {
		f |= change
	}
	if h.locked(r) {
		return f | locked
	}
	if r.Failures > 0 {
		f |= low
	}
	if h.attemptsLeft(p, r) == 1 {
		f |= final
	}
	return f
}

func (h *HSM) serial(p *partition) string {
	h.mu.RLock()
	defer h.mu.RUnlock()
	if p.admin() {
		return fmt.Sprint(h.info.Serial)
	}
	return h.serialOf(uint64(p.space))
}

// handleInitToken initialises a partition: it makes one in the free slot, gives
// an empty one its SO, and empties one that has an SO if the PIN is the SO's
// (PKCS#11 v3.1 section 5.5.7).
func (h *HSM) handleInitToken(ctx context.Context, q *p11.InitToken, _ *p11.None) error {
	p, err := h.partition(q.Slot)
	if err != nil {
		return err
	}
	if p.admin() {
		return fmt.Errorf("the HSM itself is initialised by its own command: %w", ck.CKR_FUNCTION_NOT_SUPPORTED)
	}
	least, err := h.checkInit(p, q)
	if err != nil {
		return err
	}
	if q.Domain != nil {
		if err := checkDomain(q.Domain); err != nil {
			return err
		}
	}
	label, err := h.profile().label(q.Label, h.profile().labels)
	if err != nil {
		return err
	}
	p.mu.RLock()
	open := p.nSessions
	p.mu.RUnlock()
	if open > 0 {
		return deny(refuseSessionsOpen, "%d sessions are open on the slot", open)
	}
	release, err := h.lockRole(ctx, p.space, p11.RolePartitionSO)
	if err != nil {
		return err
	}
	defer release()
	if err := h.refresh(ctx); err != nil {
		return err
	}
	if p, err = h.emptied(ctx, q.Slot); err != nil { // another process may have been faster
		return err
	}
	if p.stateNow().Initialized {
		ok, err := h.authenticateLocked(ctx, p, p11.RolePartitionSO, q.PIN)
		if err != nil {
			return err
		}
		clear(ok.secret)
		if err := h.zeroizePartition(ctx, p.space, false); err != nil {
			return err
		}
	}
	return h.initPartition(ctx, p.space, label, q, least)
}

// checkInit judges the policies that an initialisation sets, and the PIN by
// them, before anything is destroyed. It returns the least length of PINs.
func (h *HSM) checkInit(p *partition, q *p11.InitToken) (int, error) {
	s := p.policies.Load()
	if q.Policies != nil {
		h.mu.RLock()
		c := h.info.firstPartitionPolicies(q.Policies)
		h.mu.RUnlock()
		if err := c.err(); err != nil {
			return 0, err
		}
		s = c.after()
	}
	least := 255 - int(s[policyMinPIN])
	return least, h.profile().checkPIN(q.PIN, least, int(s[policyMaxPIN]))
}

// initPartition gives an empty partition its SO, its label, its key and, unless
// it is nil, its cloning domain.
func (h *HSM) initPartition(ctx context.Context, space store.Space, label string, q *p11.InitToken, least int) error {
	secret := randomBytes(32)
	defer clear(secret)
	so, err := h.newRoleState(space, p11.RolePartitionSO, q.PIN, least, secret)
	if err != nil {
		return err
	}
	wrap, err := wrapDomain(q.Domain, secret)
	if err != nil {
		return err
	}
	err = h.store.Update(ctx, func(tx store.Tx) error {
		m, s, err := h.readPartition(tx, space)
		if err != nil {
			return err
		}
		if s == nil {
			if m.hsm.Initialized || space != spaceOf(m.hsm.NextPartition) {
				return fmt.Errorf("the slot is no longer free: %w", ck.CKR_SLOT_ID_INVALID)
			}
			if s, err = h.createPartition(tx, m, "", wish{}); err != nil {
				return err
			}
		}
		if s.Initialized || s.Wiping {
			return fmt.Errorf("another process initialised or zeroized the token meanwhile: %w", ck.CKR_DEVICE_REMOVED)
		}
		if q.Policies != nil {
			c := m.hsm.firstPartitionPolicies(q.Policies)
			if err := c.err(); err != nil {
				return err
			}
			s.Policies, s.Destructive = c.merged(nil), c.directions()
		}
		s.Initialized, s.Label, s.Epoch, s.Domain = true, label, randomBytes(16), wrap
		if err := h.replaceMeta(tx, 0, kindPartition, &s.record, s); err != nil {
			return err
		}
		return h.putRole(tx, space, so)
	})
	if err != nil {
		return storeError(err)
	}
	return h.refresh(ctx)
}

func (h *HSM) handleGetMechanismList(_ context.Context, q *p11.GetMechanismList, r *p11.MechanismList) error {
	p, err := h.partition(q.Slot)
	if err != nil {
		return err
	}
	for _, m := range h.profile().listed() {
		if row, err := h.findMechanism(p, m.Type); err == nil && h.permits(p, row) == nil {
			r.Mechanisms = append(r.Mechanisms, m.Type)
		}
	}
	return nil
}

func (h *HSM) handleGetMechanismInfo(_ context.Context, q *p11.GetMechanismInfo, r *ck.MechanismInfo) error {
	p, err := h.partition(q.Slot)
	if err != nil {
		return err
	}
	m, err := h.findMechanism(p, q.Type)
	if err != nil {
		return err
	}
	if err := h.permits(p, m); err != nil {
		return err
	}
	if *r = m.Info(); p.fips() {
		*r = m.ApprovedInfo()
	}
	r.Flags |= h.profile().info.mechanismFlags
	return nil
}

// eventPause is how often a blocked C_WaitForSlotEvent looks at the store for
// what other processes did.
const eventPause = 50 * time.Millisecond

// handleWaitForSlotEvent reports slots that came, went or changed hands since
// the HSM was opened.
func (h *HSM) handleWaitForSlotEvent(ctx context.Context, q *p11.WaitForSlotEvent, r *p11.SlotEvent) error {
	tick := time.NewTicker(eventPause)
	defer tick.Stop()
	for {
		if slot, ok := h.nextEvent(); ok {
			r.Slot = slot
			return nil
		}
		if !q.Block {
			return ck.CKR_NO_EVENT
		}
		select {
		case <-h.ctx.Done():
			return ck.CKR_CRYPTOKI_NOT_INITIALIZED
		case <-ctx.Done():
			return errors.Join(ctx.Err(), ck.CKR_FUNCTION_CANCELED)
		case <-tick.C:
		}
		if err := h.refresh(ctx); err != nil {
			return err
		}
	}
}

func (h *HSM) nextEvent() (ck.SlotID, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.events) == 0 {
		return 0, false
	}
	slot := h.events[0]
	h.events = h.events[1:]
	return slot, true
}
